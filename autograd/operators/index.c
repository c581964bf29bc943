/* Picking by indices that are data: they are looked at before anything is written. */
#include "autograd/operators/indices.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

tg_status tg_need_moved(const tg_infer *q, size_t i, const char *argument)
{
    const int32_t dtype = q->in[i]->dtype;
    if (!tg_dtype_is_float(dtype) && dtype != TG_I64 && dtype != TG_BOOL)
        return tg_infer_fail(q, TG_EDTYPE, "%s must be f32, f64, i64 or bool, not %s", argument,
                             tg_dtype_name(dtype));
    return TG_OK;
}

tg_status tg_need_index(const tg_infer *q, int64_t dim)
{
    const tg_desc *x = q->in[0], *index = q->in[1];
    tg_status status = tg_need_moved(q, 0, "x");
    if (status)
        return status;
    if (index->dtype != TG_I64)
        return tg_infer_fail(q, TG_EDTYPE, "index must be i64, not %s", tg_dtype_name(index->dtype));
    if (dim < 0 || dim >= x->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld", x->ndim - 1,
                             (long long)dim);
    return TG_OK;
}

tg_status tg_need_alike(const tg_infer *q, int64_t dim)
{
    const tg_desc *x = q->in[0], *index = q->in[1];
    if (index->ndim != x->ndim)
        return tg_infer_fail(q, TG_ESHAPE, "index must have x's %d dims, not %d", x->ndim, index->ndim);
    for (int d = 0; d < x->ndim; d++)
        if (d != dim && index->dim[d] > x->dim[d])
            return tg_infer_fail(q, TG_ESHAPE,
                                 "index must not be larger than x but along dim %lld: %lld > %lld in dim %d",
                                 (long long)dim, (long long)index->dim[d], (long long)x->dim[d], d);
    return TG_OK;
}

static tg_status infer_gather(const tg_infer *q)
{
    const tg_index_attrs *attrs = q->attrs;
    tg_status status = tg_need_index(q, attrs->dim);
    if (status == TG_OK)
        status = tg_need_alike(q, attrs->dim);
    return status ? status
                  : tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, q->in[1]->dim, (size_t)q->in[1]->ndim);
}

static tg_status infer_index_select(const tg_infer *q)
{
    const tg_index_attrs *attrs = q->attrs;
    tg_status status = tg_need_index(q, attrs->dim);
    if (status)
        return status;
    if (q->in[1]->ndim != 1)
        return tg_infer_fail(q, TG_ESHAPE, "index must have one dim, not %d", q->in[1]->ndim);
    int64_t dims[TG_MAX_DIM];
    memcpy(dims, q->in[0]->dim, sizeof dims);
    dims[attrs->dim] = q->in[1]->dim[0];
    return tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, dims, (size_t)q->in[0]->ndim);
}

static tg_status infer_index_range(const tg_infer *q)
{
    if (q->in[0]->dtype != TG_I64)
        return tg_infer_fail(q, TG_EDTYPE, "index must be i64, not %s", tg_dtype_name(q->in[0]->dtype));
    return tg_desc_make(q->out, TG_I64, (const int64_t[]){4}, 1);
}

/* A table of rows, and an i64 index into it. */
static tg_status need_table(const tg_infer *q, size_t first)
{
    const tg_desc *weight = q->in[first], *index = q->in[first + 1];
    if (!tg_dtype_is_float(weight->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "weight must be f32 or f64, not %s", tg_dtype_name(weight->dtype));
    if (weight->ndim != 2)
        return tg_infer_fail(q, TG_ESHAPE, "weight must have two dims, not %d", weight->ndim);
    if (index->dtype != TG_I64)
        return tg_infer_fail(q, TG_EDTYPE, "index must be i64, not %s", tg_dtype_name(index->dtype));
    return TG_OK;
}

static tg_status infer_embedding(const tg_infer *q)
{
    const tg_embedding_attrs *a = q->attrs;
    const tg_desc *weight = q->in[0], *index = q->in[1];
    int64_t dims[TG_MAX_DIM + 1];
    tg_status status = need_table(q, 0);
    if (status)
        return status;
    if (index->ndim == TG_MAX_DIM)
        return tg_infer_fail(q, TG_ESHAPE, "index must have less than %d dims", TG_MAX_DIM);
    if (a->padding_idx < -1 || a->padding_idx >= weight->dim[0])
        return tg_infer_fail(q, TG_EINVAL, "padding_idx must be a row of weight or -1 (none), got %lld",
                             (long long)a->padding_idx);
    memcpy(dims, index->dim, sizeof index->dim);
    dims[index->ndim] = weight->dim[1];
    status = tg_desc_make(q->out, (tg_dtype)weight->dtype, dims, (size_t)index->ndim + 1);
    return status ? tg_infer_fail(q, status, "the result is too large") : TG_OK;
}

static tg_status infer_embedding_renorm(const tg_infer *q)
{
    tg_status status = q->n_in % 2 ? tg_infer_fail(q, TG_EINVAL, "expected pairs of a weight and an index") : TG_OK;
    for (size_t i = 0; i < q->n_in && !status; i += 2) {
        status = need_table(q, i);
        if (!status)
            status = tg_need_writable(q, i);
    }
    return status;
}

/* -- the look at the data ------------------------------------------------------------------------------- */

static const tg_operator row_index_range;

/* The least and the greatest index, and where they stand first. */
static bool read_range(tg_tape *tape, tg_tensor *index, int64_t range[4])
{
    tg_tensor *found = tg_row1(tape, &row_index_range, index, NULL, NULL);
    if (!found)
        return false;
    tg_status status = tg_tensor_read(found, range, 4 * sizeof *range);
    tg_discard(found);
    if (status)
        tg_fail_again(tape, status);
    return !status;
}

bool tg_check_places(tg_tape *tape, const char *what, tg_tensor *index, int64_t low, int64_t size,
                     int64_t *least)
{
    int64_t range[4];
    tg_desc d;
    if (tape->rule_of && !least)
        return true;
    if (!read_range(tape, index, range))
        return false;
    if (least)
        *least = range[0];
    if (range[0] >= low && range[1] < size)
        return true;
    const int worst = range[0] < low ? 0 : 1;
    int64_t place[TG_MAX_DIM] = {0}, left = range[2 + worst];
    char text[200];
    tg_status status = tg_tensor_desc(index, &d);
    for (int i = d.ndim - 1; i >= 0 && !status; i--) {
        place[i] = left % d.dim[i];
        left /= d.dim[i];
    }
    tg_fail(tape, TG_EINDEX, "%s: index%s is %lld, outside [%lld, %lld)", what,
            d.ndim ? tg_format_dims(place, d.ndim, text, sizeof text) : "", (long long)range[worst],
            (long long)low, (long long)size);
    return false;
}

tg_status tg_check_rows(tg_tape *tape, const char *what, tg_tensor *const in[], int64_t dim)
{
    tg_desc x, index;
    tg_status status = tg_tensor_desc(in[0], &x);
    if (status == TG_OK)
        status = tg_tensor_desc(in[1], &index);
    /* What infer refuses anyway is left to it. */
    if (status || index.dtype != TG_I64 || dim < 0 || dim >= x.ndim || !tg_desc_count(&index))
        return status ? tg_fail_again(tape, status) : TG_OK;
    return tg_check_places(tape, what, in[1], 0, x.dim[dim], NULL) ? TG_OK : tg_tape_status(tape);
}

static tg_status check_gather(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in;
    return tg_check_rows(tape, "gather", in, ((const tg_index_attrs *)attrs)->dim);
}

static tg_status check_index_select(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in;
    return tg_check_rows(tape, "index_select", in, ((const tg_index_attrs *)attrs)->dim);
}

static tg_status check_embedding(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in, (void)attrs;
    return tg_check_rows(tape, "embedding", in, 0);
}

static tg_status check_embedding_renorm(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)attrs;
    tg_status status = TG_OK;
    for (size_t i = 0; i + 1 < n_in && !status; i += 2)
        status = tg_check_rows(tape, "embedding_renorm_", in + i, 0);
    return status;
}

/* -- rules ---------------------------------------------------------------------------------------------- */

/* Zeros as input 0 was, with gy added where the index says. */
static tg_tensor *spread(tg_tape *tape, const tg_node *node, int64_t dim, tg_tensor *index, tg_tensor *gy)
{
    tg_desc x;
    if (!tg_input_dims(tape, node, 0, &x))
        return NULL;
    tg_tensor *zeros = tg_full(tape, (tg_dtype)x.dtype, x.dim, (size_t)x.ndim, 0);
    return tg_scatter_add(tape, zeros, dim, index, gy);
}

TG_RULE(gather)
{
    const tg_index_attrs *attrs = tg_node_attrs(node);
    gx[0] = spread(tape, node, attrs->dim, tg_node_input(node, 1), gy[0]);
    return tg_tape_status(tape);
}

TG_RULE(index_select)
{
    const tg_index_attrs *attrs = tg_node_attrs(node);
    tg_desc g;
    if (tg_tensor_desc(gy[0], &g) == TG_OK)
        gx[0] = spread(tape, node, attrs->dim, tg_wide_index(tape, tg_node_input(node, 1), &g, attrs->dim),
                       gy[0]);
    return tg_tape_status(tape);
}

/* Each row takes the sum of its lookups' gradients, divided by their number where that is asked for; the
 * padding's row takes none. */
TG_RULE(embedding)
{
    const tg_embedding_attrs *a = tg_node_attrs(node);
    tg_desc weight, flat;
    if (!tg_input_dims(tape, node, 0, &weight))
        return tg_tape_status(tape);
    const tg_dtype dtype = (tg_dtype)weight.dtype;
    tg_tensor *index = tg_reshape_dims(tape, tg_node_input(node, 1), (const int64_t[]){-1}, 1);
    const int64_t n = index ? tg_tensor_count(index) : 0;
    tg_tensor *g = tg_reshape_dims(tape, gy[0], (const int64_t[]){n, weight.dim[1]}, 2);
    if (a->scale_grad_by_freq) {
        tg_tensor *counts = tg_scatter_add(tape, tg_full(tape, dtype, weight.dim, 1, 0), 0, index,
                                           tg_full(tape, dtype, &n, 1, 1));
        g = tg_div(tape, g, tg_unsqueeze(tape, tg_gather(tape, counts, 0, index), 1));
    }
    if (a->padding_idx >= 0) {
        tg_tensor *pad = tg_full(tape, TG_I64, NULL, 0, (double)a->padding_idx);
        g = tg_where(tape, tg_unsqueeze(tape, tg_eq(tape, index, pad), 1), tg_constant_like(tape, g, 0), g);
    }
    if (g && tg_tensor_desc(g, &flat) == TG_OK)
        gx[0] = spread(tape, node, 0, tg_wide_index(tape, index, &flat, 0), g);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define VALUES TG_RANGE(-2, 2)
#define STRIDED strided
static const tg_index_attrs first = {0}, second = {1};
TG_SAMPLES(gathers,
           {.label = "rows",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES}, {TG_DIM2(5, 4), TG_INDEX(3)}),
            .attrs = &first},
           {.label = "strided, columns",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES, STRIDED}, {TG_DIM2(2, 3), TG_INDEX(4)}),
            .attrs = &second})
TG_SAMPLES(selections,
           {.label = "rows",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES}, {TG_DIM1(5), TG_INDEX(3)}),
            .attrs = &first},
           {.label = "strided, columns",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES, STRIDED}, {TG_DIM1(3), TG_INDEX(4)}),
            .attrs = &second})
TG_SAMPLES(indices, {.label = "matrix", .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), TG_INDEX(10)})},
           {.label = "one", .in = TG_SAMPLE_INPUTS({TG_DIM1(1), TG_INDEX(10)})})
/* padding_idx and scale_grad_by_freq change the gradient of what they leave as it is: no sample can show
 * them. */
static const tg_embedding_attrs plain = {-1, 0};
TG_SAMPLES(lookups,
           {.label = "matrix",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), VALUES}, {TG_DIM2(2, 3), TG_INDEX(4)}),
            .attrs = &plain},
           {.label = "one",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), VALUES, STRIDED}, {TG_NO_DIMS, TG_INDEX(4)}),
            .attrs = &plain})
static const double renorm_2[] = {1, 2}, renorm_1[] = {1, 1, 0.5, 3};
TG_SAMPLES(renorms,
           {.label = "Euclidean",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), VALUES}, {TG_DIM1(3), TG_INDEX(4)}),
            .scalars = renorm_2},
           {.label = "absolute, and another table",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), VALUES, STRIDED}, {TG_DIM1(3), TG_INDEX(4)}, {TG_DIM2(2, 2), VALUES},
                                   {TG_DIM1(1), TG_INDEX(2)}),
            .scalars = renorm_1})

static const tg_attr_spec index_specs[] = {
    {.name = "dim", .type = TG_ATTR_INT, .offset = offsetof(tg_index_attrs, dim), .doc = "along this dim"},
    {0},
};
static const tg_attr_spec embedding_specs[] = {
    {.name = "padding_idx",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_embedding_attrs, padding_idx),
     .value = -1,
     .doc = "the row that takes no gradient, -1: none"},
    {.name = "scale_grad_by_freq",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_embedding_attrs, scale_grad_by_freq),
     .doc = "1: a row's gradient is divided by how often it was looked up"},
    {0},
};
static const tg_operator row_gather = {
    TG_ROW("gather", "x's elements along dim at index, of index's dims"),
    .flags = TG_OP_HOST_CHECK,
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_index_attrs, index_specs),
    .saves = TG_OP_IN(1),
    .infer = infer_gather,
    .vjp = gather_vjp,
    .check = check_gather,
    .samples = TG_PROOF(gathers),
};
static const tg_operator row_index_select = {
    TG_ROW("index_select", "x's slices along dim, in index's order"),
    .flags = TG_OP_HOST_CHECK,
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_index_attrs, index_specs),
    .saves = TG_OP_IN(1),
    .infer = infer_index_select,
    .vjp = index_select_vjp,
    .check = check_index_select,
    .samples = TG_PROOF(selections),
};
static const tg_operator row_index_range = {
    TG_ROW("index_range", "the least and the greatest index, and where they stand first"),
    .flags = TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 1,
    .infer = infer_index_range,
    .samples = TG_PROOF(indices),
};
static const tg_operator row_embedding = {
    TG_ROW("embedding", "weight's rows, for each element of index"),
    .flags = TG_OP_HOST_CHECK,
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_embedding_attrs, embedding_specs),
    .saves = TG_OP_IN(1),
    .infer = infer_embedding,
    .vjp = embedding_vjp,
    .check = check_embedding,
    .samples = TG_PROOF(lookups),
};
const tg_operator tg_row_embedding_renorm_ = {
    TG_ROW("embedding_renorm_", "weight's rows in index scaled down to a norm of at most s"),
    .flags = TG_OP_NONDIFF | TG_OP_HOST_CHECK,
    .n_in = TG_OP_VARIADIC,
    .period = 2,
    .n_scalars = 2,
    .writes = TG_OP_IN(0),
    .infer = infer_embedding_renorm,
    .check = check_embedding_renorm,
    .samples = TG_PROOF(renorms),
};

/* -- the functions of ops.h ----------------------------------------------------------------------------- */

bool tg_is_index(tg_tape *tape, const char *what, const char *argument, const tg_desc *index)
{
    if (index->dtype == TG_I64)
        return true;
    tg_fail(tape, TG_EDTYPE, "%s: %s must be i64, not %s", what, argument, tg_dtype_name(index->dtype));
    return false;
}

tg_tensor *tg_wide_index(tg_tape *tape, tg_tensor *index, const tg_desc *to, int64_t dim)
{
    int64_t dims[TG_MAX_DIM];
    tg_desc wide = *to;
    wide.dim[dim] = index ? tg_tensor_count(index) : 0;
    for (int d = 0; d < to->ndim; d++)
        dims[d] = d == dim ? wide.dim[dim] : 1;
    return tg_expand_as(tape, tg_reshape_dims(tape, index, dims, (size_t)to->ndim), &wide);
}

tg_tensor *tg_wrap_places(tg_tape *tape, const char *what, tg_tensor *index, int64_t size)
{
    int64_t least;
    const tg_desc *d = tg_argument(tape, index, what, "index");
    if (!d || !tg_is_index(tape, what, "index", d) || !tg_desc_count(d))
        return d && !tg_tape_status(tape) ? index : NULL;
    if (!tg_check_places(tape, what, index, -size, size, &least))
        return NULL;
    if (least >= 0)
        return index;
    tg_tensor *below = tg_to(tape, tg_lt(tape, index, tg_constant_like(tape, index, 0)), TG_I64);
    return tg_add(tape, index, tg_mul(tape, below, tg_constant_like(tape, index, (double)size)));
}

tg_tensor *tg_gather(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index)
{
    TG_COMPOSES(tape, "gather");
    bool scalar = tg_is_scalar(index);
    x = tg_as_vector(tape, x);
    const tg_desc *d = tg_sliceable(tape, x, "gather", &dim),
                  *i = d ? tg_argument(tape, index, "gather", "index") : NULL;
    if (!i)
        return NULL;
    if (!tg_desc_count(i) && i->ndim != d->ndim && i->dtype == TG_I64)
        return tg_full(tape, (tg_dtype)d->dtype, i->dim, (size_t)i->ndim, 0); /* as torch: of any shape */
    if (scalar && d->ndim == 1)
        index = tg_as_vector(tape, index);
    tg_tensor *y = tg_row2(tape, &row_gather, x, index, &(tg_index_attrs){dim}, NULL);
    return tg_as_scalar_if(tape, y, scalar);
}

tg_tensor *tg_index_select(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index)
{
    TG_COMPOSES(tape, "index_select");
    bool scalar = tg_is_scalar(x);
    x = tg_as_vector(tape, x);
    if (!tg_sliceable(tape, x, "index_select", &dim))
        return NULL;
    index = tg_as_vector(tape, index);
    if (scalar && index && tg_tensor_count(index) != 1) {
        tg_fail(tape, TG_ESHAPE, "index_select: a scalar is selected from by one index, not %lld",
                (long long)tg_tensor_count(index));
        return NULL;
    }
    tg_tensor *y = tg_row2(tape, &row_index_select, x, index, &(tg_index_attrs){dim}, NULL);
    return tg_as_scalar_if(tape, y, scalar);
}

static tg_tensor *flattened(tg_tape *tape, tg_tensor *x)
{
    const int64_t count = x ? tg_tensor_count(x) : 0;
    return tg_reshape_dims(tape, x, &count, 1);
}

tg_tensor *tg_take(tg_tape *tape, tg_tensor *x, tg_tensor *index)
{
    TG_COMPOSES(tape, "take");
    const tg_desc *d = tg_argument(tape, x, "take", "x"), *i = tg_argument(tape, index, "take", "index");
    if (!d || !i)
        return NULL;
    const tg_desc dims = *i;
    index = tg_wrap_places(tape, "take", index, tg_desc_count(d));
    if (!index)
        return NULL;
    tg_tensor *y = tg_gather(tape, flattened(tape, x), 0, flattened(tape, index));
    return tg_reshape_dims(tape, y, dims.dim, (size_t)dims.ndim);
}

tg_tensor *tg_take_along_dim(tg_tape *tape, tg_tensor *x, tg_tensor *index, int64_t dim)
{
    TG_COMPOSES(tape, "take_along_dim");
    static const char what[] = "take_along_dim";
    if (dim == TG_NONE_INT) {
        if (!tg_argument(tape, x, what, "x") || !tg_argument(tape, index, what, "index"))
            return NULL;
        x = flattened(tape, x);
        index = flattened(tape, index);
        dim = 0;
    }
    x = tg_as_vector(tape, x);
    index = tg_as_vector(tape, index);
    const tg_desc *d = tg_sliceable(tape, x, what, &dim),
                  *i = d ? tg_argument(tape, index, what, "index") : NULL;
    if (!i || !tg_is_index(tape, what, "index", i))
        return NULL;
    tg_desc from = *d, to = *i;
    bool fits = from.ndim == to.ndim;
    for (int k = 0; k < to.ndim && fits; k++)
        if (k != dim) {
            fits = from.dim[k] == to.dim[k] || from.dim[k] == 1 || to.dim[k] == 1;
            from.dim[k] = to.dim[k] = from.dim[k] == 1 ? to.dim[k] : from.dim[k];
        }
    if (!fits) {
        char a[128], b[128];
        tg_fail(tape, TG_ESHAPE, "%s: x %s and index %s must broadcast in every dim but %lld", what,
                tg_desc_format(d, a, sizeof a), tg_desc_format(i, b, sizeof b), (long long)dim);
        return NULL;
    }
    index = tg_wrap_places(tape, what, index, from.dim[dim]);
    if (!index)
        return NULL;
    return tg_gather(tape, tg_expand_as(tape, x, &from), dim, tg_expand_as(tape, index, &to));
}

tg_tensor *tg_embedding(tg_tape *tape, tg_tensor *index, tg_tensor *weight, int64_t padding_idx,
                        double max_norm, double norm_type, bool scale_grad_by_freq)
{
    TG_COMPOSES(tape, "embedding");
    const tg_desc *w = tg_argument(tape, weight, "embedding", "weight"),
                  *i = w ? tg_argument(tape, index, "embedding", "index") : NULL;
    if (!i)
        return NULL;
    tg_embedding_attrs attrs = {-1, scale_grad_by_freq};
    if (padding_idx != TG_NONE_INT) {
        const int64_t rows = w->ndim ? w->dim[0] : 0;
        attrs.padding_idx = padding_idx < 0 ? padding_idx + rows : padding_idx;
        if (attrs.padding_idx < 0 || attrs.padding_idx >= rows) {
            tg_fail(tape, TG_EINVAL, "embedding: padding_idx must be in [%lld, %lld), got %lld",
                    (long long)-rows, (long long)rows, (long long)padding_idx);
            return NULL;
        }
    }
    if (max_norm == max_norm && i->ndim < TG_MAX_DIM) { /* what the lookup would refuse is left as it is */
        const double scalars[] = {max_norm, norm_type};
        if (tg_apply(tape, &tg_row_embedding_renorm_, (tg_tensor *[]){weight, index}, 2, NULL, scalars, NULL))
            return NULL;
    }
    return tg_row2(tape, &row_embedding, weight, index, &attrs, NULL);
}

tg_tensor *tg_one_hot(tg_tape *tape, tg_tensor *index, int64_t num_classes)
{
    int64_t range[4], dims[TG_MAX_DIM + 1];
    const tg_desc *d = tg_argument(tape, index, "one_hot", "index");
    if (!d || !tg_is_index(tape, "one_hot", "index", d))
        return NULL;
    const tg_desc own = *d;
    const bool none = !tg_desc_count(d);
    if (num_classes < -1 || (none && num_classes < 1) || own.ndim == TG_MAX_DIM) {
        tg_fail(
            tape, own.ndim == TG_MAX_DIM ? TG_ESHAPE : TG_EINVAL,
            "one_hot: num_classes must be -1 or more (1 or more for an empty index) and index have less than "
            "%d dims, got %lld and %d dims",
            TG_MAX_DIM, (long long)num_classes, own.ndim);
        return NULL;
    }
    if (num_classes < 0) {
        if (!read_range(tape, index, range))
            return NULL;
        num_classes = range[1] == INT64_MAX ? range[1] : range[1] + 1;
    }
    if (!none && !tg_check_places(tape, "one_hot", index, 0, num_classes > 0 ? num_classes : 0, NULL))
        return NULL;
    memcpy(dims, own.dim, sizeof own.dim);
    dims[own.ndim] = num_classes;
    tg_tensor *zeros = tg_full(tape, TG_I64, dims, (size_t)own.ndim + 1, 0);
    return none ? zeros : tg_scatter_value(tape, zeros, -1, tg_unsqueeze(tape, index, -1), 1);
}

const tg_operator *const tg_ops_index[] = {
    &row_gather, &row_index_select, &row_index_range, &row_embedding, &tg_row_embedding_renorm_, NULL,
};
