/* Rows that copy: what a view cannot give, what joins and fills, and the in-place rows of the core. */
#include "autograd/operators/rows.h"

#include <stdio.h>
#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_slice_backward(const tg_infer *q)
{
    const tg_slice_backward_attrs *a = q->attrs;
    const tg_desc *gy = q->in[0];
    if (a->dim < 0 || a->dim >= gy->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld", gy->ndim - 1,
                             (long long)a->dim);
    const int64_t n = gy->dim[a->dim];
    if (!tg_dtype_is_float(gy->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "gy must be f32 or f64, not %s", tg_dtype_name(gy->dtype));
    if (a->step < 1 || a->start < 0 || a->size < 0 || a->start > a->size ||
        (n && (a->start >= a->size || (a->size - 1 - a->start) / a->step < n - 1)))
        return tg_infer_fail(q, TG_EINVAL,
                             "%lld elements from %lld in steps of %lld are not inside a size of %lld",
                             (long long)n, (long long)a->start, (long long)a->step, (long long)a->size);
    int64_t dims[TG_MAX_DIM];
    memcpy(dims, gy->dim, sizeof dims);
    dims[a->dim] = a->size;
    return tg_desc_make(q->out, (tg_dtype)gy->dtype, dims, (size_t)gy->ndim);
}

static tg_status infer_copy(const tg_infer *q)
{
    return tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, q->in[0]->dim, (size_t)q->in[0]->ndim);
}

static tg_status infer_cat(const tg_infer *q)
{
    const tg_cat_attrs *attrs = q->attrs;
    const tg_desc *first = q->n_in ? q->in[0] : NULL;
    if (!first)
        return tg_infer_fail(q, TG_EINVAL, "needs at least one tensor");
    if (attrs->dim < 0 || attrs->dim >= first->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld", first->ndim - 1,
                             (long long)attrs->dim);
    int64_t dims[TG_MAX_DIM];
    memcpy(dims, first->dim, sizeof dims);
    for (size_t i = 1; i < q->n_in; i++) {
        if (q->in[i]->dtype != first->dtype)
            return tg_infer_fail(q, TG_EDTYPE, "tensors must be of one dtype, but tensor %zu is %s and tensor 0 is %s", i,
                                 tg_dtype_name(q->in[i]->dtype), tg_dtype_name(first->dtype));
        if (q->in[i]->ndim != first->ndim)
            return tg_infer_fail(q, TG_ESHAPE, "tensors must have %d dims as tensor 0, but tensor %zu has %d",
                                 first->ndim, i, q->in[i]->ndim);
        for (int d = 0; d < first->ndim; d++)
            if (d != attrs->dim && q->in[i]->dim[d] != first->dim[d])
                return tg_infer_fail(
                    q, TG_ESHAPE,
                    "tensors must have one size in every dim but %lld: in dim %d, tensor %zu has %lld and tensor 0 %lld",
                    (long long)attrs->dim, d, i, (long long)q->in[i]->dim[d], (long long)first->dim[d]);
        if (__builtin_add_overflow(dims[attrs->dim], q->in[i]->dim[attrs->dim], &dims[attrs->dim]))
            return tg_infer_fail(q, TG_ESHAPE, "the result is too large");
    }
    tg_status status = tg_desc_make(q->out, (tg_dtype)first->dtype, dims, (size_t)first->ndim);
    return status ? tg_infer_fail(q, status, "the result is too large") : TG_OK;
}

static tg_status infer_full(const tg_infer *q)
{
    const tg_full_attrs *attrs = q->attrs;
    if (attrs->dtype != TG_F32 && attrs->dtype != TG_F64 && attrs->dtype != TG_I64 && attrs->dtype != TG_BOOL)
        return tg_infer_fail(q, TG_EDTYPE, "dtype must be f32, f64, i64 or bool, not %s",
                             tg_dtype_name((int32_t)attrs->dtype));
    return tg_infer_dims(q, attrs->dtype, &attrs->dims);
}

/* Sorted by stride, does each dim step over all that lies in those before it? Views that tapegrad makes are
 * so unless they overlap. */
static bool overlaps(const tg_desc *x)
{
    unsigned seen = 0;
    int64_t reach = 0; /* the last element of the dims seen so far */
    for (int n = 0; n < x->ndim; n++) {
        int least = -1;
        for (int d = 0; d < x->ndim; d++)
            if (!(seen & 1u << d) && (least < 0 || x->stride[d] < x->stride[least]))
                least = d;
        seen |= 1u << least;
        if (x->dim[least] < 2)
            continue;
        if (x->stride[least] <= reach)
            return true;
        reach += (x->dim[least] - 1) * x->stride[least];
    }
    return false;
}

tg_status tg_need_writable(const tg_infer *q, size_t i)
{
    const tg_desc *dst = q->in[i];
    if (!overlaps(dst) || !tg_desc_count(dst))
        return TG_OK;
    bool expanded = false;
    for (int d = 0; d < dst->ndim; d++)
        expanded = expanded || (dst->dim[d] > 1 && dst->stride[d] == 0);
    return tg_infer_fail(q, TG_EINVAL, "cannot write to an %s view: several of its elements are one",
                         expanded ? "expanded" : "overlapping");
}

static tg_status infer_fill(const tg_infer *q)
{
    return tg_need_writable(q, 0);
}

static tg_status infer_copy_in_place(const tg_infer *q)
{
    const tg_desc *dst = q->in[0], *src = q->in[1];
    if (dst->dtype != src->dtype)
        return tg_infer_fail(q, TG_EDTYPE, "dst and src must be of one dtype");
    const int lead = dst->ndim - src->ndim;
    bool fits = lead >= 0;
    for (int d = 0; d < src->ndim && fits; d++)
        fits = src->dim[d] == 1 || src->dim[d] == dst->dim[d + lead];
    if (!fits)
        return tg_infer_fail(q, TG_ESHAPE, "src must broadcast to dst");
    return tg_need_writable(q, 0);
}

static tg_status infer_add_in_place(const tg_infer *q)
{
    if (q->in[0]->dtype != q->in[1]->dtype)
        return tg_infer_fail(q, TG_EDTYPE, "dst and src must be of one dtype");
    if (q->in[0]->dtype == TG_BOOL)
        return tg_infer_fail(q, TG_EDTYPE, "bool has no sum");
    if (!tg_desc_same_dims(q->in[0], q->in[1]))
        return tg_infer_fail(q, TG_ESHAPE, "dst and src must have the same dims");
    return tg_need_writable(q, 0);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

TG_RULE(slice_backward)
{
    const tg_slice_backward_attrs *a = tg_node_attrs(node);
    tg_desc x;
    if (tg_input_dims(tape, node, 0, &x)) {
        const tg_slice_attrs forth = {a->dim, a->start, x.dim[a->dim], a->step};
        gx[0] = tg_slice_of(tape, gy[0], &forth);
    }
    return tg_tape_status(tape);
}

TG_RULE(copy)
{
    gx[0] = gy[0];
    return tg_tape_status(tape);
}

TG_RULE(cat)
{
    const tg_cat_attrs *attrs = tg_node_attrs(node);
    tg_slice_attrs part = {.dim = attrs->dim, .step = 1};
    for (size_t i = 0; i < tg_node_n_in(node); i++) {
        tg_desc x;
        if (!tg_input_dims(tape, node, i, &x))
            return tg_tape_status(tape);
        part.length = x.dim[attrs->dim];
        if (tg_node_needs(node, i))
            gx[i] = tg_slice_of(tape, gy[0], &part);
        part.start += part.length;
    }
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define MATRIX TG_DIM2(3, 4), TG_RANGE(-2, 2)
#define STRIDED strided
static const tg_slice_backward_attrs back_rows = {0, 1, 1, 5}, back_columns = {1, 1, 2, 9};
TG_SAMPLES(slices_back, {.label = "rows", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &back_rows},
           {.label = "every second column", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &back_columns},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &back_columns})
#define PLANES TG_DIM4(2, 3, 2, 2), TG_RANGE(-2, 2)
TG_SAMPLES(copies, {.label = "matrix", .in = TG_SAMPLE_INPUTS({MATRIX})},
           {.label = "planes", .in = TG_SAMPLE_INPUTS({PLANES})},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED})},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)})})
static const tg_reorder_attrs first_layout = {0};
TG_SAMPLES(reorders,
           {.label = "planes", .in = TG_SAMPLE_INPUTS({PLANES}), .attrs = &first_layout},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &first_layout})
static const tg_cat_attrs along_rows = {0}, along_columns = {1};
TG_SAMPLES(
    joins,
    {.label = "rows", .in = TG_SAMPLE_INPUTS({MATRIX}, {TG_DIM2(2, 4), TG_RANGE(-2, 2)}), .attrs = &along_rows},
    {.label = "columns, strided",
     .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}, {TG_DIM2(3, 1), TG_RANGE(-2, 2)}, {TG_DIM2(3, 2), TG_RANGE(-2, 2)}),
     .attrs = &along_columns},
    {.label = "one", .in = TG_SAMPLE_INPUTS({TG_DIM1(4), TG_RANGE(-2, 2)}), .attrs = &along_rows})
static const tg_full_attrs full_matrix = {TG_F64, {2, {3, 4}}}, full_scalar = {TG_F32, {0, {0}}};
static const double seven[] = {7};
TG_SAMPLES(constants, {.label = "matrix", .attrs = &full_matrix, .scalars = seven},
           {.label = "scalar", .attrs = &full_scalar, .scalars = seven})
TG_SAMPLES(in_place, {.label = "matrix", .in = TG_SAMPLE_INPUTS({MATRIX}, {MATRIX})},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}, {MATRIX})},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}, {TG_RANGE(-2, 2)})})
TG_SAMPLES(in_place_broadcast, {.label = "matrix", .in = TG_SAMPLE_INPUTS({MATRIX}, {MATRIX})},
           {.label = "row into strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}, {TG_DIM1(4), TG_RANGE(-2, 2)})},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({MATRIX}, {TG_RANGE(-2, 2)})})
TG_SAMPLES(in_place_fill, {.label = "matrix", .in = TG_SAMPLE_INPUTS({MATRIX}), .scalars = seven},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .scalars = seven},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .scalars = seven})

static const tg_attr_spec slice_backward_specs[] = {
    {.name = "dim",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_slice_backward_attrs, dim),
     .doc = "along this dim"},
    {.name = "start",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_slice_backward_attrs, start),
     .doc = "the first element"},
    {.name = "step",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_slice_backward_attrs, step),
     .value = 1,
     .doc = "1 or more"},
    {.name = "size",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_slice_backward_attrs, size),
     .doc = "of dim in the result"},
    {0},
};
static const tg_attr_spec reorder_specs[] = {
    {.name = "layout", .type = TG_ATTR_INT, .offset = offsetof(tg_reorder_attrs, layout), .doc = "which of them"},
    {0},
};
static const tg_attr_spec cat_specs[] = {
    {.name = "dim", .type = TG_ATTR_INT, .offset = offsetof(tg_cat_attrs, dim), .doc = "along this dim"},
    {0},
};
static const tg_attr_spec full_specs[] = {
    {.name = "dtype", .type = TG_ATTR_INT, .offset = offsetof(tg_full_attrs, dtype), .doc = "a tg_dtype"},
    {.name = "dims", .type = TG_ATTR_INTS, .offset = offsetof(tg_full_attrs, dims), .doc = "of the result"},
    {0},
};

#define ONE_TO_ONE(name_, doc_, infer_, rule, table)                                                         \
    TG_ROW(name_, doc_), .n_in = 1, .n_out = 1, .infer = infer_, .vjp = rule, .samples = TG_PROOF(table)
static const tg_operator row_slice_backward = {
    ONE_TO_ONE("slice_backward", "zeros, with gy at start, start + step, ... along dim", infer_slice_backward,
               slice_backward_vjp, slices_back),
    TG_ATTRS(tg_slice_backward_attrs, slice_backward_specs),
};
static const tg_operator row_contiguous = {
    ONE_TO_ONE("contiguous", "a row-major copy of x", infer_copy, copy_vjp, copies),
};
static const tg_operator row_clone = {
    ONE_TO_ONE("clone", "a copy of x", infer_copy, copy_vjp, copies),
    .flags = TG_OP_POINTWISE,
};
static const tg_operator row_reorder = {
    ONE_TO_ONE("reorder", "x, in a layout of the backend's own where it has one", infer_copy, copy_vjp, reorders),
    TG_ATTRS(tg_reorder_attrs, reorder_specs),
};
static const tg_operator row_cat = {
    TG_ROW("cat", "the inputs joined along dim"),
    .n_in = TG_OP_VARIADIC,
    .n_out = 1,
    .promotes = TG_OP_IN(0),
    TG_ATTRS(tg_cat_attrs, cat_specs),
    .infer = infer_cat,
    .vjp = cat_vjp,
    .samples = TG_PROOF(joins),
};
static const tg_operator row_full = {
    TG_ROW("full", "every element s"),
    .flags = TG_OP_NONDIFF,
    .n_in = 0,
    .n_out = 1,
    .n_scalars = 1,
    TG_ATTRS(tg_full_attrs, full_specs),
    .infer = infer_full,
    .samples = TG_PROOF(constants),
};
#define IN_PLACE(name_, doc_, inputs, infer_, table)                                                         \
    TG_ROW(name_, doc_), .flags = TG_OP_NONDIFF | TG_OP_POINTWISE, .n_in = inputs, .n_out = 0, .writes = TG_OP_IN(0),          \
                         .infer = infer_, .samples = TG_PROOF(table)
static const tg_operator row_copy_ = {
    IN_PLACE("copy_", "dst = src", 2, infer_copy_in_place, in_place_broadcast)};
static const tg_operator row_add_ = {IN_PLACE("add_", "dst = dst + src", 2, infer_add_in_place, in_place)};
static const tg_operator row_fill_ = {IN_PLACE("fill_", "dst = s", 1, infer_fill, in_place_fill),
                                      .n_scalars = 1};

/* -- the functions of ops.h ----------------------------------------------------------------------------- */

tg_tensor *tg_slice_back(tg_tape *tape, tg_tensor *gy, const tg_slice_backward_attrs *attrs)
{
    return tg_row1(tape, &row_slice_backward, gy, attrs, NULL);
}

/* What torch.cat passes over, whatever the others' dims. */
static bool is_nothing(const tg_desc *d)
{
    return d->ndim == 1 && d->dim[0] == 0;
}

/* An array of n handles that lives as long as the tape's step; NULL: the tape's error is set. */
static tg_tensor **handles(tg_tape *tape, const char *what, tg_tensor *const xs[], size_t n)
{
    if (!tape || !xs || !n) {
        tg_fail(tape, TG_EINVAL, "%s: %s", what, tape ? "needs at least one tensor" : "tape is NULL");
        return NULL;
    }
    tg_tensor **out = tg_arena_get(&tape->arena, n * sizeof *out);
    if (!out)
        tg_fail_again(tape, TG_ENOMEM);
    return out;
}

static const tg_desc *element(tg_tape *tape, tg_tensor *const xs[], size_t i, const char *what)
{
    char which[32] = "";
    if (!tg_tensor_is_alive(xs[i]))
        snprintf(which, sizeof which, "tensor %zu", i);
    return tg_argument(tape, xs[i], what, which);
}

tg_tensor *tg_cat_n(tg_tape *tape, tg_tensor *const xs[], size_t n, int64_t dim)
{
    tg_tensor **some = handles(tape, "cat", xs, n), *out = NULL;
    size_t n_some = 0;
    for (size_t i = 0; some && i < n; i++) {
        const tg_desc *d = element(tape, xs, i, "cat");
        if (!d)
            return NULL;
        if (!is_nothing(d))
            some[n_some++] = xs[i];
    }
    if (!some)
        return NULL;
    if (!n_some) {
        memcpy(some, xs, n * sizeof *some);
        n_some = n;
    }
    if (tg_sliceable(tape, some[0], "cat", &dim))
        tg_apply(tape, &row_cat, some, n_some, &(tg_cat_attrs){dim}, NULL, &out);
    return out;
}

tg_tensor *tg_stack_n(tg_tape *tape, tg_tensor *const xs[], size_t n, int64_t dim)
{
    TG_COMPOSES(tape, "stack");
    tg_tensor **raised = handles(tape, "stack", xs, n), *out = NULL;
    const tg_desc *d = raised ? tg_argument(tape, xs[0], "stack", "tensor 0") : NULL;
    if (!d || !tg_resolve_dim(tape, "stack", dim, d->ndim + 1, &dim))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const tg_desc *other = element(tape, xs, i, "stack");
        if (other && !tg_desc_same_dims(other, d)) {
            char a[128], b[128];
            tg_fail(tape, TG_ESHAPE,
                    "stack: all tensors must have the same dims, but tensor %zu is %s and tensor 0 is %s", i,
                    tg_desc_format(other, a, sizeof a), tg_desc_format(d, b, sizeof b));
            return NULL;
        }
        raised[i] = tg_unsqueeze(tape, xs[i], dim);
    }
    tg_apply(tape, &row_cat, raised, n, &(tg_cat_attrs){dim}, NULL, &out);
    return out;
}

/* x with at least `ndim` dims; a vector stands in dim `vector`, a matrix in the first two. */
static tg_tensor *at_least(tg_tape *tape, tg_tensor *x, const tg_desc *d, int ndim, int vector)
{
    int64_t dims[3] = {1, 1, 1};
    if (d->ndim >= ndim)
        return x;
    if (d->ndim == 1)
        dims[vector] = d->dim[0];
    for (int i = 0; d->ndim == 2 && i < 2; i++)
        dims[i] = d->dim[i];
    return tg_reshape_dims(tape, x, dims, (size_t)ndim);
}

/* Joined along dim once all have `ndim` dims. */
static tg_tensor *join(tg_tape *tape, const char *what, tg_tensor *const xs[], size_t n, int ndim, int vector,
                       int64_t dim)
{
    tg_tensor **raised = handles(tape, what, xs, n);
    for (size_t i = 0; raised && i < n; i++) {
        const tg_desc *d = element(tape, xs, i, what);
        if (!d)
            return NULL;
        raised[i] = at_least(tape, xs[i], d, ndim, vector);
    }
    return raised ? tg_cat_n(tape, raised, n, dim) : NULL;
}

tg_tensor *tg_hstack_n(tg_tape *tape, tg_tensor *const xs[], size_t n)
{
    TG_COMPOSES(tape, "hstack");
    const bool flat = xs && n && tg_tensor_is_alive(xs[0]) && tg_tensor_ndim(xs[0]) <= 1;
    return join(tape, "hstack", xs, n, 1, 0, flat ? 0 : 1);
}

tg_tensor *tg_vstack_n(tg_tape *tape, tg_tensor *const xs[], size_t n)
{
    TG_COMPOSES(tape, "vstack");
    return join(tape, "vstack", xs, n, 2, 1, 0);
}

tg_tensor *tg_dstack_n(tg_tape *tape, tg_tensor *const xs[], size_t n)
{
    TG_COMPOSES(tape, "dstack");
    return join(tape, "dstack", xs, n, 3, 1, 2);
}

tg_tensor *tg_column_stack_n(tg_tape *tape, tg_tensor *const xs[], size_t n)
{
    TG_COMPOSES(tape, "column_stack");
    return join(tape, "column_stack", xs, n, 2, 0, 1);
}

tg_tensor *tg_contiguous(tg_tape *tape, tg_tensor *x)
{
    const tg_desc *d = tg_argument(tape, x, "contiguous", "x");
    if (!d || tg_desc_is_dense(d))
        return d ? x : NULL;
    return tg_row1(tape, &row_contiguous, x, NULL, NULL);
}

tg_tensor *tg_clone(tg_tape *tape, tg_tensor *x)
{
    return tg_row1(tape, &row_clone, x, NULL, NULL);
}

static tg_tensor *full(tg_tape *tape, const tg_full_attrs *attrs, double value)
{
    tg_tensor *out = NULL;
    tg_apply(tape, &row_full, &out, 0, attrs, &value, &out);
    return out;
}

static tg_tensor *full_like(tg_tape *tape, const tg_desc *d, double value)
{
    tg_full_attrs attrs = {.dtype = d->dtype, .dims = {.n = d->ndim}};
    memcpy(attrs.dims.v, d->dim, sizeof attrs.dims.v);
    return full(tape, &attrs, value);
}

tg_tensor *tg_zeros_like(tg_tape *tape, tg_tensor *x)
{
    const tg_desc *d = tg_argument(tape, x, "zeros_like", "x");
    return d ? full_like(tape, d, 0) : NULL;
}

tg_tensor *tg_ones_like(tg_tape *tape, tg_tensor *x)
{
    const tg_desc *d = tg_argument(tape, x, "ones_like", "x");
    return d ? full_like(tape, d, 1) : NULL;
}

tg_tensor *tg_full_like(tg_tape *tape, tg_tensor *x, tg_dtype dtype, double value)
{
    const tg_desc *d = tg_argument(tape, x, "full_like", "x");
    return d ? tg_full(tape, dtype, d->dim, (size_t)d->ndim, value) : NULL;
}

tg_tensor *tg_full(tg_tape *tape, tg_dtype dtype, const int64_t *dims, size_t ndim, double value)
{
    tg_dims_attrs to;
    if (!tg_take_dims(tape, "full", dims, ndim, &to))
        return NULL;
    return full(tape, &(tg_full_attrs){.dtype = dtype, .dims = to.dims}, value);
}

const tg_operator *const tg_ops_copy[] = {
    &row_slice_backward, &row_contiguous, &row_clone, &row_reorder, &row_cat, &row_full,
    &row_copy_,          &row_add_,       &row_fill_, NULL,
};
