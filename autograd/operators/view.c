/* Views beyond those of shape.c: diagonals, windows, and other orders and groupings of dims. */
#include "autograd/operators/rows.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

/* How long the diagonal of a rows × columns matrix is, `offset` above the main one. */
static int64_t diagonal_length(int64_t rows, int64_t columns, int64_t offset)
{
    if (offset >= columns || offset <= -rows)
        return 0;
    if (offset >= 0)
        columns -= offset;
    else
        rows += offset;
    return rows < columns ? rows : columns;
}

static tg_status need_two_dims(const tg_infer *q, int ndim, int64_t dim1, int64_t dim2)
{
    if (dim1 < 0 || dim1 >= ndim || dim2 < 0 || dim2 >= ndim || dim1 == dim2)
        return tg_infer_fail(q, TG_EINVAL, "dim1 and dim2 must be two of the %d dims, got %lld and %lld",
                             ndim, (long long)dim1, (long long)dim2);
    return TG_OK;
}

static tg_status infer_diagonal(const tg_infer *q)
{
    const tg_diagonal_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    tg_status status = need_two_dims(q, x->ndim, a->dim1, a->dim2);
    if (status)
        return status;
    const int64_t n = diagonal_length(x->dim[a->dim1], x->dim[a->dim2], a->offset);
    int to = 0;
    q->out->dtype = x->dtype;
    for (int d = 0; d < x->ndim; d++)
        if (d != a->dim1 && d != a->dim2) {
            q->out->dim[to] = x->dim[d];
            q->out->stride[to++] = x->stride[d];
        }
    q->out->dim[to] = n;
    q->out->stride[to++] = x->stride[a->dim1] + x->stride[a->dim2];
    q->out->ndim = to;
    if (n)
        *q->offset = a->offset >= 0 ? a->offset * x->stride[a->dim2] : -a->offset * x->stride[a->dim1];
    return TG_OK;
}

static tg_status infer_diagonal_backward(const tg_infer *q)
{
    const tg_diagonal_backward_attrs *a = q->attrs;
    const tg_desc *gy = q->in[0];
    tg_status status = tg_infer_dims(q, gy->dtype, &a->dims);
    if (status == TG_OK)
        status = need_two_dims(q, q->out->ndim, a->dim1, a->dim2);
    if (status)
        return status;
    const int last = gy->ndim - 1;
    bool fits = gy->ndim == q->out->ndim - 1 &&
                gy->dim[last] == diagonal_length(q->out->dim[a->dim1], q->out->dim[a->dim2], a->offset);
    for (int d = 0, from = 0; d < q->out->ndim && fits; d++)
        if (d != a->dim1 && d != a->dim2)
            fits = gy->dim[from++] == q->out->dim[d];
    char text[200];
    return fits ? TG_OK
                : tg_infer_fail(q, TG_ESHAPE, "is no diagonal of %s",
                                tg_format_dims(a->dims.v, a->dims.n, text, sizeof text));
}

static tg_status need_windows(const tg_infer *q, int ndim, int64_t dim, int64_t size, int64_t step,
                              int64_t length)
{
    if (dim < 0 || dim >= ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld", ndim - 1,
                             (long long)dim);
    if (step < 1)
        return tg_infer_fail(q, TG_EINVAL, "step must be 1 or more, got %lld", (long long)step);
    if (size < 0 || size > length)
        return tg_infer_fail(q, TG_EINVAL, "size must be between 0 and %lld, dim %lld's size, got %lld",
                             (long long)length, (long long)dim, (long long)size);
    return TG_OK;
}

static tg_status infer_unfold_dim(const tg_infer *q)
{
    const tg_unfold_dim_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    const int64_t length = a->dim >= 0 && a->dim < x->ndim ? x->dim[a->dim] : 0;
    tg_status status = need_windows(q, x->ndim, a->dim, a->size, a->step, length);
    if (status)
        return status;
    if (x->ndim == TG_MAX_DIM)
        return tg_infer_fail(q, TG_ESHAPE, "x already has %d dims, the most there can be", TG_MAX_DIM);
    const int64_t n = (length - a->size) / a->step + 1;
    tg_desc dense;
    *q->out = *x;
    q->out->ndim = x->ndim + 1;
    q->out->dim[a->dim] = n;
    if (n > 1)
        q->out->stride[a->dim] *= a->step;
    q->out->dim[x->ndim] = a->size;
    q->out->stride[x->ndim] = x->stride[a->dim];
    status = tg_desc_make(&dense, (tg_dtype)x->dtype, q->out->dim, (size_t)q->out->ndim);
    return status ? tg_infer_fail(q, status, "the result is too large") : TG_OK;
}

static tg_status infer_unfold_dim_backward(const tg_infer *q)
{
    const tg_unfold_dim_backward_attrs *a = q->attrs;
    const tg_desc *gy = q->in[0];
    if (!tg_dtype_is_float(gy->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "gy must be f32 or f64, not %s", tg_dtype_name(gy->dtype));
    tg_status status = need_windows(q, gy->ndim - 1, a->dim, a->size, a->step, a->length);
    if (status)
        return status;
    if (gy->dim[gy->ndim - 1] != a->size || gy->dim[a->dim] != (a->length - a->size) / a->step + 1)
        return tg_infer_fail(q, TG_ESHAPE, "these are not the windows of %lld elements",
                             (long long)a->length);
    int64_t dims[TG_MAX_DIM];
    memcpy(dims, gy->dim, sizeof dims);
    dims[a->dim] = a->length;
    return tg_desc_make(q->out, (tg_dtype)gy->dtype, dims, (size_t)gy->ndim - 1);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_diagonal_backward, row_unfold_dim, row_unfold_dim_backward;

TG_RULE(diagonal)
{
    const tg_diagonal_attrs *a = tg_node_attrs(node);
    tg_desc x;
    if (tg_input_dims(tape, node, 0, &x))
        gx[0] = tg_diagonal_back(tape, gy[0], x.dim, x.ndim, a);
    return tg_tape_status(tape);
}

TG_RULE(diagonal_backward)
{
    const tg_diagonal_backward_attrs *a = tg_node_attrs(node);
    gx[0] = tg_diagonal(tape, gy[0], a->offset, a->dim1, a->dim2);
    return tg_tape_status(tape);
}

TG_RULE(unfold_dim)
{
    const tg_unfold_dim_attrs *a = tg_node_attrs(node);
    tg_desc x;
    if (tg_input_dims(tape, node, 0, &x)) {
        const tg_unfold_dim_backward_attrs back = {a->dim, a->size, a->step, x.dim[a->dim]};
        gx[0] = tg_row1(tape, &row_unfold_dim_backward, gy[0], &back, NULL);
    }
    return tg_tape_status(tape);
}

TG_RULE(unfold_dim_backward)
{
    const tg_unfold_dim_backward_attrs *a = tg_node_attrs(node);
    gx[0] = tg_row1(tape, &row_unfold_dim, gy[0], &(tg_unfold_dim_attrs){a->dim, a->size, a->step}, NULL);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define MATRIX TG_DIM2(3, 5), TG_RANGE(-2, 2)
#define CUBE TG_DIM3(2, 3, 4), TG_RANGE(-2, 2)
#define STRIDED strided
static const tg_diagonal_attrs main_diagonal = {0, 0, 1}, above = {1, 2, 0}, below = {-1, 0, 2},
                               nothing = {7, 0, 1};
TG_SAMPLES(
    diagonals, {.label = "matrix", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &main_diagonal},
    {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &main_diagonal},
    {.label = "above", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &above},
    {.label = "below", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &below},
    {.label = "nothing", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &nothing})
static const tg_diagonal_backward_attrs into_square = {{2, {4, 4}}, -1, 0, 1},
                                        into_cube = {{3, {2, 3, 4}}, 1, 2, 0};
TG_SAMPLES(diagonals_back,
           {.label = "square",
            .in = TG_SAMPLE_INPUTS({TG_DIM1(3), TG_RANGE(-2, 2)}),
            .attrs = &into_square},
           {.label = "cube",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 1), TG_RANGE(-2, 2), STRIDED}),
            .attrs = &into_cube})
static const tg_unfold_dim_attrs overlapping = {1, 3, 1}, gapped = {0, 1, 2}, last = {2, 2, 2};
TG_SAMPLES(windows,
           {.label = "overlapping", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &overlapping},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &overlapping},
           {.label = "gaps", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &gapped},
           {.label = "last", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &last})
static const tg_unfold_dim_backward_attrs back_rows = {0, 3, 1, 5}, back_last = {1, 2, 3, 7};
TG_SAMPLES(windows_back,
           {.label = "rows",
            .in = TG_SAMPLE_INPUTS({TG_DIM3(3, 2, 3), TG_RANGE(-2, 2)}),
            .attrs = &back_rows},
           {.label = "last, strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM3(3, 2, 2), TG_RANGE(-2, 2), STRIDED}),
            .attrs = &back_last})

#define INT_OF(struct_, member, doc_)                                                                        \
    {                                                                                                        \
        .name = #member, .type = TG_ATTR_INT, .offset = offsetof(struct_, member), .doc = doc_               \
    }
#define DIAGONAL_SPECS(type)                                                                                 \
    INT_OF(type, offset, "above the main one"), INT_OF(type, dim1, "the rows"),                              \
        INT_OF(type, dim2, "the columns")
#define WINDOW_SPECS(type)                                                                                   \
    INT_OF(type, dim, "along this dim"), INT_OF(type, size, "of a window"), INT_OF(type, step, "1 or more")
static const tg_attr_spec diagonal_specs[] = {DIAGONAL_SPECS(tg_diagonal_attrs), {0}};
static const tg_attr_spec diagonal_backward_specs[] = {
    {.name = "dims",
     .type = TG_ATTR_INTS,
     .offset = offsetof(tg_diagonal_backward_attrs, dims),
     .doc = "of the result"},
    DIAGONAL_SPECS(tg_diagonal_backward_attrs),
    {0},
};
static const tg_attr_spec unfold_dim_specs[] = {WINDOW_SPECS(tg_unfold_dim_attrs), {0}};
static const tg_attr_spec unfold_dim_backward_specs[] = {
    WINDOW_SPECS(tg_unfold_dim_backward_attrs),
    INT_OF(tg_unfold_dim_backward_attrs, length, "of dim in the result"),
    {0},
};
#define ONE_TO_ONE(name_, doc_, table)                                                                       \
    TG_ROW(#name_, doc_), .n_in = 1, .n_out = 1, .infer = infer_##name_, .vjp = name_##_vjp, .samples = TG_PROOF(table)
static const tg_operator row_diagonal = {
    ONE_TO_ONE(diagonal, "x[..., i, i + offset] of two dims, sharing x's memory", diagonals),
    .flags = TG_OP_VIEW,
    TG_ATTRS(tg_diagonal_attrs, diagonal_specs),
};
static const tg_operator row_diagonal_backward = {
    ONE_TO_ONE(diagonal_backward, "zeros, with gy on the diagonals of two dims", diagonals_back),
    TG_ATTRS(tg_diagonal_backward_attrs, diagonal_backward_specs),
};
static const tg_operator row_unfold_dim = {
    ONE_TO_ONE(unfold_dim, "windows along dim, sharing x's memory", windows),
    .flags = TG_OP_VIEW,
    TG_ATTRS(tg_unfold_dim_attrs, unfold_dim_specs),
};
static const tg_operator row_unfold_dim_backward = {
    ONE_TO_ONE(unfold_dim_backward, "the sums of gy over the windows that share an element", windows_back),
    TG_ATTRS(tg_unfold_dim_backward_attrs, unfold_dim_backward_specs),
};

/* -- the functions of ops.h ----------------------------------------------------------------------------- */

tg_tensor *tg_diagonal_back(tg_tape *tape, tg_tensor *gy, const int64_t *dims, int64_t ndim,
                            const tg_diagonal_attrs *a)
{
    tg_diagonal_backward_attrs back = {{.n = ndim}, a->offset, a->dim1, a->dim2};
    memcpy(back.dims.v, dims, (size_t)ndim * sizeof *dims);
    return tg_row1(tape, &row_diagonal_backward, gy, &back, NULL);
}

bool tg_resolve_two(tg_tape *tape, const char *what, int ndim, int64_t *dim1, int64_t *dim2)
{
    const long long got1 = *dim1, got2 = *dim2;
    if (!tg_resolve_dim(tape, what, *dim1, ndim, dim1) || !tg_resolve_dim(tape, what, *dim2, ndim, dim2))
        return false;
    if (*dim1 != *dim2)
        return true;
    tg_fail(tape, TG_EINVAL, "%s: takes two different dims, got %lld and %lld", what, got1, got2);
    return false;
}

tg_tensor *tg_diagonal(tg_tape *tape, tg_tensor *x, int64_t offset, int64_t dim1, int64_t dim2)
{
    const tg_desc *d = tg_argument(tape, x, "diagonal", "x");
    if (!d || !tg_resolve_two(tape, "diagonal", d->ndim, &dim1, &dim2))
        return NULL;
    return tg_row1(tape, &row_diagonal, x, &(tg_diagonal_attrs){offset, dim1, dim2}, NULL);
}

tg_tensor *tg_unfold_dim(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t size, int64_t step)
{
    const tg_desc *d = tg_argument(tape, x, "unfold", "x");
    if (!d || !tg_resolve_dim(tape, "unfold", dim, d->ndim, &dim))
        return NULL;
    if (!d->ndim) /* a scalar is one window, whose elements are the only dim */
        return step < 1 ? tg_unfold_dim(tape, tg_unsqueeze(tape, x, 0), 0, size, step)
                        : tg_narrow(tape, tg_unsqueeze(tape, x, 0), 0, 0, size);
    return tg_row1(tape, &row_unfold_dim, x, &(tg_unfold_dim_attrs){dim, size, step}, NULL);
}

tg_tensor *tg_t(tg_tape *tape, tg_tensor *x)
{
    const tg_desc *d = tg_argument(tape, x, "t", "x");
    if (!d || d->ndim < 2)
        return d ? x : NULL;
    if (d->ndim > 2) {
        char text[128];
        tg_fail(tape, TG_ESHAPE, "t: x must have at most two dims, got %s",
                tg_desc_format(d, text, sizeof text));
        return NULL;
    }
    return tg_transpose(tape, x, 0, 1);
}

tg_tensor *tg_movedim(tg_tape *tape, tg_tensor *x, const int64_t *source, const int64_t *destination,
                      size_t n)
{
    const tg_desc *d = tg_argument(tape, x, "movedim", "x");
    tg_dims_attrs from, to;
    if (!d || !tg_take_dims(tape, "movedim", source, n, &from) ||
        !tg_take_dims(tape, "movedim", destination, n, &to))
        return NULL;
    int64_t order[TG_MAX_DIM], next = 0;
    unsigned taken = 0, placed = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t s, t;
        if (!tg_resolve_dim(tape, "movedim", source[i], d->ndim, &s) ||
            !tg_resolve_dim(tape, "movedim", destination[i], d->ndim, &t))
            return NULL;
        if ((taken & 1u << s) || (placed & 1u << t)) {
            tg_fail(tape, TG_EINVAL, "movedim: dim %lld is listed twice",
                    (long long)(taken & 1u << s ? s : t));
            return NULL;
        }
        order[t] = s;
        taken |= 1u << s;
        placed |= 1u << t;
    }
    for (int64_t t = 0; t < d->ndim; t++) {
        if (placed & 1u << t)
            continue;
        while (taken & 1u << next)
            next++;
        order[t] = next++;
    }
    return tg_permute_dims(tape, x, order, (size_t)d->ndim);
}

tg_tensor *tg_unflatten(tg_tape *tape, tg_tensor *x, int64_t dim, const int64_t *sizes, size_t n)
{
    const tg_desc *d = tg_sliceable(tape, x, "unflatten", &dim);
    tg_dims_attrs to;
    if (!d || !tg_take_dims(tape, "unflatten", sizes, n, &to))
        return NULL;
    char text[200];
    int64_t known = 1, open = -1, dims[TG_MAX_DIM];
    bool fits = n > 0, one_way = true;
    for (size_t i = 0; i < n && fits; i++)
        if (sizes[i] == -1 && open < 0)
            open = (int64_t)i;
        else
            fits = sizes[i] >= 0 && !__builtin_mul_overflow(known, sizes[i], &known);
    one_way = open < 0 || known;
    if (fits && open >= 0 && known)
        known *= to.dims.v[open] = d->dim[dim] / known;
    if (!fits || !one_way || known != d->dim[dim]) {
        tg_fail(tape, TG_ESHAPE, "unflatten: dim %lld of size %lld does not fit %s%s", (long long)dim,
                (long long)d->dim[dim], tg_format_dims(sizes, to.dims.n, text, sizeof text),
                one_way ? "" : " in one way only");
        return NULL;
    }
    if ((size_t)d->ndim - 1 + n > TG_MAX_DIM) {
        tg_fail(tape, TG_ESHAPE, "unflatten: at most %d dims, got %zu", TG_MAX_DIM, (size_t)d->ndim - 1 + n);
        return NULL;
    }
    memcpy(dims, d->dim, (size_t)dim * sizeof *dims);
    memcpy(dims + dim, to.dims.v, n * sizeof *dims);
    memcpy(dims + dim + n, d->dim + dim + 1, (size_t)(d->ndim - 1 - dim) * sizeof *dims);
    return tg_reshape_dims(tape, x, dims, (size_t)d->ndim - 1 + n);
}

/* x without those of `chosen` that have size 1. */
static tg_tensor *without(tg_tape *tape, tg_tensor *x, const tg_desc *d, unsigned chosen)
{
    int64_t dims[TG_MAX_DIM];
    size_t n = 0;
    for (int i = 0; i < d->ndim; i++)
        if (!(chosen & 1u << i) || d->dim[i] != 1)
            dims[n++] = d->dim[i];
    return tg_reshape_dims(tape, x, dims, n);
}

tg_tensor *tg_squeeze_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims)
{
    const tg_desc *d = tg_argument(tape, x, "squeeze", "x");
    tg_dims_attrs take;
    unsigned chosen = 0;
    if (!d || !tg_take_dims(tape, "squeeze", dims, n_dims, &take))
        return NULL;
    for (size_t i = 0; i < n_dims; i++) {
        int64_t dim;
        if (!tg_resolve_dim(tape, "squeeze", dims[i], d->ndim, &dim))
            return NULL;
        if (chosen & 1u << dim) {
            tg_fail(tape, TG_EINVAL, "squeeze: dim %lld is listed twice", (long long)dim);
            return NULL;
        }
        chosen |= 1u << dim;
    }
    return without(tape, x, d, chosen);
}

tg_tensor *tg_squeeze_all(tg_tape *tape, tg_tensor *x)
{
    const tg_desc *d = tg_argument(tape, x, "squeeze", "x");
    return d ? without(tape, x, d, ~0u) : NULL;
}

const tg_operator *const tg_ops_view[] = {
    &row_diagonal, &row_diagonal_backward, &row_unfold_dim, &row_unfold_dim_backward, NULL,
};
