#include "autograd/operators/rows.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status need_float(const tg_infer *q)
{
    if (!tg_dtype_is_float(q->in[0]->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "x must be f32 or f64, not %s; convert it with tg_to",
                             tg_dtype_name(q->in[0]->dtype));
    return TG_OK;
}

/* x's dims without those in the mask, or with size 1 there. */
static tg_status reduced(const tg_infer *q, int64_t mask, int64_t keepdim, tg_dtype dtype)
{
    const tg_desc *x = q->in[0];
    int64_t dims[TG_MAX_DIM], n = 0;
    if (mask < 0 || mask >> x->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dims is a mask of bits below %d, got %#llx", x->ndim,
                             (unsigned long long)mask);
    for (int d = 0; d < x->ndim; d++)
        if (!(mask >> d & 1))
            dims[n++] = x->dim[d];
        else if (keepdim)
            dims[n++] = 1;
    return tg_desc_make(q->out, dtype, dims, (size_t)n);
}

static tg_status infer_reduce(const tg_infer *q)
{
    const tg_reduce_attrs *attrs = q->attrs;
    tg_status status = need_float(q);
    return status ? status : reduced(q, attrs->dims, attrs->keepdim, (tg_dtype)q->in[0]->dtype);
}

static tg_status infer_var(const tg_infer *q)
{
    const tg_var_attrs *attrs = q->attrs;
    tg_status status = need_float(q);
    return status ? status : reduced(q, attrs->dims, attrs->keepdim, (tg_dtype)q->in[0]->dtype);
}

static tg_status need_values(const tg_infer *q, int64_t mask)
{
    for (int d = 0; d < q->in[0]->ndim; d++)
        if (mask >> d & 1 && !q->in[0]->dim[d])
            return tg_infer_fail(q, TG_ESHAPE, "there is no extremum of no values: dim %d has size 0", d);
    return TG_OK;
}

static tg_status infer_extremum(const tg_infer *q)
{
    const tg_reduce_attrs *attrs = q->attrs;
    tg_status status = infer_reduce(q);
    return status ? status : need_values(q, attrs->dims);
}

static tg_status infer_argmax(const tg_infer *q)
{
    const tg_argmax_attrs *attrs = q->attrs;
    const tg_desc *x = q->in[0];
    tg_status status = need_float(q);
    if (status)
        return status;
    if (attrs->dim < 0 || attrs->dim >= (x->ndim ? x->ndim : 1))
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld",
                             x->ndim ? x->ndim - 1 : 0, (long long)attrs->dim);
    const int64_t mask = x->ndim ? (int64_t)1 << attrs->dim : 0;
    status = need_values(q, mask);
    return status ? status : reduced(q, mask, attrs->keepdim, TG_I64);
}

static tg_status infer_sum_to_size(const tg_infer *q)
{
    const tg_dims_attrs *attrs = q->attrs;
    const tg_desc *x = q->in[0];
    char text[200];
    tg_status status = need_float(q);
    if (status == TG_OK)
        status = tg_infer_dims(q, x->dtype, &attrs->dims);
    if (status)
        return status;
    const int lead = x->ndim - q->out->ndim;
    bool fits = lead >= 0;
    for (int d = 0; d < q->out->ndim && fits; d++)
        fits = q->out->dim[d] == 1 || q->out->dim[d] == x->dim[d + lead];
    if (!fits)
        return tg_infer_fail(q, TG_ESHAPE, "%s does not broadcast to x's dims",
                             tg_format_dims(attrs->dims.v, attrs->dims.n, text, sizeof text));
    return TG_OK;
}

/* -- rules ---------------------------------------------------------------------------------------------- */

/* A result's gradient (or the result), with the reduced dims back as size 1. */
static tg_tensor *restore(tg_tape *tape, tg_tensor *y, const tg_desc *x, int64_t mask, int64_t keepdim)
{
    int64_t dims[TG_MAX_DIM];
    if (keepdim || !mask)
        return y;
    for (int d = 0; d < x->ndim; d++)
        dims[d] = mask >> d & 1 ? 1 : x->dim[d];
    return tg_reshape_dims(tape, y, dims, (size_t)x->ndim);
}

static int64_t values_each(const tg_desc *x, int64_t mask)
{
    int64_t n = 1;
    for (int d = 0; d < x->ndim; d++)
        n *= mask >> d & 1 ? x->dim[d] : 1;
    return n;
}

TG_RULE(sum)
{
    const tg_reduce_attrs *attrs = tg_node_attrs(node);
    tg_desc x;
    if (tg_input_dims(tape, node, 0, &x))
        gx[0] = tg_expand_as(tape, restore(tape, gy[0], &x, attrs->dims, attrs->keepdim), &x);
    return tg_tape_status(tape);
}

/* Scaled while it is small, then repeated without a copy. */
TG_RULE(mean)
{
    const tg_reduce_attrs *attrs = tg_node_attrs(node);
    tg_desc x;
    if (tg_input_dims(tape, node, 0, &x)) {
        tg_tensor *g = tg_mul_scalar(tape, gy[0], 1.0 / (double)values_each(&x, attrs->dims));
        gx[0] = tg_expand_as(tape, restore(tape, g, &x, attrs->dims, attrs->keepdim), &x);
    }
    return tg_tape_status(tape);
}

static const tg_operator row_mean, row_sum;

TG_RULE(var)
{
    const tg_var_attrs *attrs = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0);
    tg_desc d;
    if (tg_input_dims(tape, node, 0, &d)) {
        const double left = (double)values_each(&d, attrs->dims) - attrs->correction;
        tg_tensor *mean = tg_row1(tape, &row_mean, x, &(tg_reduce_attrs){attrs->dims, 1}, NULL);
        tg_tensor *g = tg_mul_scalar(tape, restore(tape, gy[0], &d, attrs->dims, attrs->keepdim),
                                     2 / (left > 0 ? left : 0));
        gx[0] = tg_mul(tape, g, tg_sub(tape, x, mean));
    }
    return tg_tape_status(tape);
}

/* gy in equal parts to all that are the extremum. */
static tg_status extremum_vjp(tg_tape *tape, const tg_node *node, tg_tensor *gy, tg_tensor *gx[])
{
    const tg_reduce_attrs *attrs = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0);
    tg_desc d;
    if (tg_input_dims(tape, node, 0, &d)) {
        tg_tensor *y = restore(tape, tg_node_output(node, 0), &d, attrs->dims, attrs->keepdim);
        tg_tensor *hit = tg_eq(tape, x, y);
        tg_tensor *hits = tg_row1(tape, &row_sum, tg_to(tape, hit, (tg_dtype)d.dtype),
                                  &(tg_reduce_attrs){attrs->dims, 1}, NULL);
        tg_tensor *part = tg_div(tape, restore(tape, gy, &d, attrs->dims, attrs->keepdim), hits);
        gx[0] = tg_where(tape, hit, part, tg_constant_like(tape, gy, 0));
    }
    return tg_tape_status(tape);
}

TG_RULE(amax)
{
    return extremum_vjp(tape, node, gy[0], gx);
}

TG_RULE(amin)
{
    return extremum_vjp(tape, node, gy[0], gx);
}

TG_RULE(sum_to_size)
{
    tg_desc x;
    if (tg_input_dims(tape, node, 0, &x))
        gx[0] = tg_expand_as(tape, gy[0], &x);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define MATRIX TG_DIM2(3, 4), TG_RANGE(-2, 2)
#define CUBE TG_DIM3(2, 3, 4), TG_RANGE(-2, 2)
#define STRIDED .flags = TG_SAMPLE_STRIDED
static const tg_reduce_attrs nothing = {0, 0}, rows = {1, 0}, columns = {2, 0}, both_kept = {3, 1},
                             ends = {5, 0}, all3 = {7, 0};
TG_SAMPLES(sums, {.label = "rows", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &rows},
           {.label = "strided, columns", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &columns},
           {.label = "first and last dim", .n_in = 1, .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &ends},
           {.label = "all", .n_in = 1, .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &all3},
           {.label = "all, kept", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &both_kept},
           {.label = "scalar", .n_in = 1, .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &nothing})
#define APART .flags = TG_SAMPLE_DISTINCT, .distance = 0.05
TG_SAMPLES(extrema, {.label = "rows", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX, APART}), .attrs = &rows},
           {.label = "strided, columns",
            .n_in = 1,
            .in = TG_SAMPLE_INPUTS({MATRIX, .flags = TG_SAMPLE_DISTINCT | TG_SAMPLE_STRIDED, .distance = 0.05}),
            .attrs = &columns},
           {.label = "first and last dim", .n_in = 1, .in = TG_SAMPLE_INPUTS({CUBE, APART}), .attrs = &ends},
           {.label = "all, kept", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX, APART}), .attrs = &both_kept},
           {.label = "scalar", .n_in = 1, .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &nothing})
static const tg_var_attrs var_rows = {1, 0, 1}, var_columns = {2, 1, 0}, var_ends = {5, 0, 1};
TG_SAMPLES(
    variances, {.label = "rows", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &var_rows},
    {.label = "strided, columns, kept, biased", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &var_columns},
    {.label = "first and last dim", .n_in = 1, .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &var_ends})
static const tg_argmax_attrs argmax_columns = {1, 0}, argmax_rows = {0, 1};
TG_SAMPLES(arguments, {.label = "columns", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX, APART}), .attrs = &argmax_columns},
           {.label = "strided, rows, kept",
            .n_in = 1,
            .in = TG_SAMPLE_INPUTS({MATRIX, .flags = TG_SAMPLE_DISTINCT | TG_SAMPLE_STRIDED, .distance = 0.05}),
            .attrs = &argmax_rows})
static const tg_dims_attrs to_row = {{1, {4}}}, to_column = {{2, {3, 1}}}, to_scalar = {{0, {0}}};
TG_SAMPLES(sizes, {.label = "to a row", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &to_row},
           {.label = "strided, to a column", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &to_column},
           {.label = "three dims to a column", .n_in = 1, .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &to_column},
           {.label = "to a scalar", .n_in = 1, .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &to_scalar})

static const tg_attr_spec reduce_specs[] = {
    {.name = "dims",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_reduce_attrs, dims),
     .doc = "bit d: dim d is reduced"},
    {.name = "keepdim",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_reduce_attrs, keepdim),
     .doc = "1: it stays, of size 1"},
    {0},
};
static const tg_attr_spec var_specs[] = {
    {.name = "dims",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_var_attrs, dims),
     .doc = "bit d: dim d is reduced"},
    {.name = "keepdim",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_var_attrs, keepdim),
     .doc = "1: it stays, of size 1"},
    {.name = "correction",
     .type = TG_ATTR_REAL,
     .offset = offsetof(tg_var_attrs, correction),
     .value = 1,
     .doc = "the divisor is n - correction"},
    {0},
};
static const tg_attr_spec argmax_specs[] = {
    {.name = "dim", .type = TG_ATTR_INT, .offset = offsetof(tg_argmax_attrs, dim), .doc = "along this dim"},
    {.name = "keepdim",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_argmax_attrs, keepdim),
     .doc = "1: it stays, of size 1"},
    {0},
};
static const tg_attr_spec size_specs[] = {
    {.name = "dims", .type = TG_ATTR_INTS, .offset = offsetof(tg_dims_attrs, dims), .doc = "of the result"},
    {0},
};

#define ONE_TO_ONE(name_, doc_, infer_, rule, table)                                                         \
    TG_ROW(name_, doc_), .n_in = 1, .n_out = 1, .infer = infer_, .vjp = rule, .samples = table
static const tg_operator row_sum = {
    ONE_TO_ONE("sum", "the sum over dims", infer_reduce, sum_vjp, sums),
    TG_ATTRS(tg_reduce_attrs, reduce_specs),
};
static const tg_operator row_mean = {
    ONE_TO_ONE("mean", "the mean over dims", infer_reduce, mean_vjp, sums),
    TG_ATTRS(tg_reduce_attrs, reduce_specs),
};
static const tg_operator row_var = {
    ONE_TO_ONE("var", "sum((x - mean)^2)/(n - correction) over dims", infer_var, var_vjp, variances),
    TG_ATTRS(tg_var_attrs, var_specs),
    .saves = TG_OP_IN(0),
};
static const tg_operator row_amax = {
    ONE_TO_ONE("amax", "the maximum over dims; NaN if one is; ties share the gradient", infer_extremum,
               amax_vjp, extrema),
    TG_ATTRS(tg_reduce_attrs, reduce_specs),
    .saves = TG_OP_IN(0) | TG_OP_OUT(0),
};
static const tg_operator row_amin = {
    ONE_TO_ONE("amin", "the minimum over dims; NaN if one is; ties share the gradient", infer_extremum,
               amin_vjp, extrema),
    TG_ATTRS(tg_reduce_attrs, reduce_specs),
    .saves = TG_OP_IN(0) | TG_OP_OUT(0),
};
static const tg_operator row_argmax = {
    ONE_TO_ONE("argmax", "the place of the first maximum along dim", infer_argmax, NULL, arguments),
    TG_ATTRS(tg_argmax_attrs, argmax_specs),
    .flags = TG_OP_NONDIFF,
};
static const tg_operator row_sum_to_size = {
    ONE_TO_ONE("sum_to_size", "the sum over what broadcasting repeats", infer_sum_to_size, sum_to_size_vjp,
               sizes),
    TG_ATTRS(tg_dims_attrs, size_specs),
};

/* -- the functions of ops.h ----------------------------------------------------------------------------- */

/* The listed dims as bits; none listed: all. */
static bool mask_of(tg_tape *tape, const char *what, tg_tensor *x, const int64_t *dims, size_t n_dims,
                    int64_t *mask)
{
    const tg_desc *d = tg_argument(tape, x, what, "x");
    if (!d)
        return false;
    if (n_dims && !dims) {
        tg_fail(tape, TG_EINVAL, "%s: dims is NULL", what);
        return false;
    }
    *mask = n_dims ? 0 : ((int64_t)1 << d->ndim) - 1;
    for (size_t i = 0; i < n_dims; i++) {
        int64_t dim;
        if (!tg_resolve_dim(tape, what, dims[i], d->ndim, &dim))
            return false;
        if (*mask >> dim & 1) {
            tg_fail(tape, TG_EINVAL, "%s: dim %lld is listed twice", what, (long long)dim);
            return false;
        }
        *mask |= (int64_t)1 << dim;
    }
    if (!d->ndim)
        *mask = 0;
    return true;
}

static tg_tensor *reduce(tg_tape *tape, const tg_operator *op, tg_tensor *x, const int64_t *dims,
                         size_t n_dims, bool keepdim)
{
    tg_reduce_attrs attrs = {.keepdim = keepdim};
    if (!mask_of(tape, op->name, x, dims, n_dims, &attrs.dims))
        return NULL;
    return tg_row1(tape, op, x, &attrs, NULL);
}

tg_tensor *tg_sum_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    return reduce(tape, &row_sum, x, dims, n_dims, keepdim);
}

tg_tensor *tg_mean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    return reduce(tape, &row_mean, x, dims, n_dims, keepdim);
}

tg_tensor *tg_sum(tg_tape *tape, tg_tensor *x)
{
    return reduce(tape, &row_sum, x, NULL, 0, false);
}

tg_tensor *tg_mean(tg_tape *tape, tg_tensor *x)
{
    return reduce(tape, &row_mean, x, NULL, 0, false);
}

tg_tensor *tg_amax_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    return reduce(tape, &row_amax, x, dims, n_dims, keepdim);
}

tg_tensor *tg_amin_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    return reduce(tape, &row_amin, x, dims, n_dims, keepdim);
}

tg_tensor *tg_var_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, double correction,
                       bool keepdim)
{
    tg_var_attrs attrs = {.keepdim = keepdim, .correction = correction};
    if (!mask_of(tape, "var", x, dims, n_dims, &attrs.dims))
        return NULL;
    return tg_row1(tape, &row_var, x, &attrs, NULL);
}

tg_tensor *tg_argmax(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim)
{
    tg_argmax_attrs attrs = {.keepdim = keepdim};
    const tg_desc *d = tg_argument(tape, x, "argmax", "x");
    if (!d || !tg_resolve_dim(tape, "argmax", dim, d->ndim, &attrs.dim))
        return NULL;
    return tg_row1(tape, &row_argmax, x, &attrs, NULL);
}

tg_tensor *tg_sum_to_size(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim)
{
    tg_dims_attrs attrs;
    if (!tg_argument(tape, x, "sum_to_size", "x") || !tg_take_dims(tape, "sum_to_size", dims, ndim, &attrs))
        return NULL;
    return tg_row1(tape, &row_sum_to_size, x, &attrs, NULL);
}

const tg_operator *const tg_ops_reduce[] = {
    &row_sum, &row_mean, &row_var, &row_amax, &row_amin, &row_argmax, &row_sum_to_size, NULL,
};
