/* Sums, means, variances, truth: over any dims. */
#include "autograd/operators/reduced.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

tg_status tg_infer_need_float(const tg_infer *q)
{
    if (!tg_dtype_is_float(q->in[0]->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "x must be f32 or f64, not %s; convert it with tg_to",
                             tg_dtype_name(q->in[0]->dtype));
    return TG_OK;
}

static bool is_whole(int32_t dtype)
{
    return dtype == TG_I64 || dtype == TG_BOOL;
}

tg_status tg_infer_need_number(const tg_infer *q)
{
    if (!tg_dtype_is_float(q->in[0]->dtype) && !is_whole(q->in[0]->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "x must be f32, f64, i64 or bool, not %s",
                             tg_dtype_name(q->in[0]->dtype));
    return TG_OK;
}

tg_status tg_infer_reduced(const tg_infer *q, int64_t mask, int64_t keepdim, tg_dtype dtype)
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

tg_status tg_infer_reduced_like(const tg_infer *q)
{
    const tg_reduce_attrs *attrs = q->attrs;
    tg_status status = tg_infer_need_number(q);
    return status ? status : tg_infer_reduced(q, attrs->dims, attrs->keepdim, (tg_dtype)q->in[0]->dtype);
}

static tg_status infer_sum(const tg_infer *q)
{
    const tg_reduce_attrs *attrs = q->attrs;
    tg_status status = tg_infer_need_number(q);
    if (status)
        return status;
    return tg_infer_reduced(q, attrs->dims, attrs->keepdim,
                            is_whole(q->in[0]->dtype) ? TG_I64 : (tg_dtype)q->in[0]->dtype);
}

static tg_status infer_mean(const tg_infer *q)
{
    tg_status status = tg_infer_need_float(q);
    return status ? status : tg_infer_reduced_like(q);
}

static tg_status infer_truth(const tg_infer *q)
{
    const tg_reduce_attrs *attrs = q->attrs;
    tg_status status = tg_infer_need_number(q);
    return status ? status : tg_infer_reduced(q, attrs->dims, attrs->keepdim, TG_BOOL);
}

static tg_status infer_var(const tg_infer *q)
{
    const tg_var_attrs *attrs = q->attrs;
    tg_status status = tg_infer_need_float(q);
    return status ? status : tg_infer_reduced(q, attrs->dims, attrs->keepdim, (tg_dtype)q->in[0]->dtype);
}

tg_status tg_infer_need_values(const tg_infer *q, int64_t mask)
{
    for (int d = 0; d < q->in[0]->ndim; d++)
        if (mask >> d & 1 && !q->in[0]->dim[d])
            return tg_infer_fail(q, TG_ESHAPE, "there is no extremum of no values: dim %d has size 0", d);
    return TG_OK;
}

static tg_status infer_sum_to_size(const tg_infer *q)
{
    const tg_dims_attrs *attrs = q->attrs;
    const tg_desc *x = q->in[0];
    char text[200];
    tg_status status = tg_infer_need_number(q);
    if (status == TG_OK)
        status = tg_infer_dims(q, x->dtype == TG_BOOL ? TG_I64 : x->dtype, &attrs->dims);
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

tg_tensor *tg_restore_dims(tg_tape *tape, tg_tensor *y, const tg_desc *x, int64_t mask, int64_t keepdim)
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
        gx[0] = tg_expand_as(tape, tg_restore_dims(tape, gy[0], &x, attrs->dims, attrs->keepdim), &x);
    return tg_tape_status(tape);
}

/* Scaled while it is small, then repeated without a copy. */
TG_RULE(mean)
{
    const tg_reduce_attrs *attrs = tg_node_attrs(node);
    tg_desc x;
    if (tg_input_dims(tape, node, 0, &x)) {
        tg_tensor *g = tg_mul_scalar(tape, gy[0], 1.0 / (double)values_each(&x, attrs->dims));
        gx[0] = tg_expand_as(tape, tg_restore_dims(tape, g, &x, attrs->dims, attrs->keepdim), &x);
    }
    return tg_tape_status(tape);
}

static const tg_operator row_mean, row_sum;

tg_tensor *tg_sum_mask(tg_tape *tape, tg_tensor *x, int64_t mask)
{
    return tg_row1(tape, &row_sum, x, &(tg_reduce_attrs){mask, 1}, NULL);
}

/* g, of the result with its dims restored, times the derivative of the variance; with a correction beyond n, where the
 * variance is ∞, torch divides by the negative rest, too. */
static tg_tensor *around_mean(tg_tape *tape, tg_tensor *x, const tg_desc *d, const tg_var_attrs *attrs,
                              tg_tensor *g)
{
    const double left = (double)values_each(d, attrs->dims) - attrs->correction;
    tg_tensor *mean = tg_row1(tape, &row_mean, x, &(tg_reduce_attrs){attrs->dims, 1}, NULL);
    return tg_mul(tape, tg_mul_scalar(tape, g, 2 / left), tg_sub(tape, x, mean));
}

TG_RULE(var)
{
    const tg_var_attrs *attrs = tg_node_attrs(node);
    tg_desc d;
    if (tg_input_dims(tape, node, 0, &d))
        gx[0] = around_mean(tape, tg_node_input(node, 0), &d, attrs,
                            tg_restore_dims(tape, gy[0], &d, attrs->dims, attrs->keepdim));
    return tg_tape_status(tape);
}

/* Where all values are the same, the derivative of the root is taken for 0. */
TG_RULE(std)
{
    const tg_var_attrs *attrs = tg_node_attrs(node);
    tg_tensor *y = tg_node_output(node, 0), *zero = tg_constant_like(tape, gy[0], 0);
    tg_desc d;
    if (tg_input_dims(tape, node, 0, &d)) {
        tg_tensor *flat = tg_eq(tape, y, zero);
        tg_tensor *twice = tg_mul_scalar(tape, tg_where(tape, flat, tg_constant_like(tape, y, 1), y), 2);
        tg_tensor *g = tg_where(tape, flat, zero, tg_div(tape, gy[0], twice));
        gx[0] = around_mean(tape, tg_node_input(node, 0), &d, attrs,
                            tg_restore_dims(tape, g, &d, attrs->dims, attrs->keepdim));
    }
    return tg_tape_status(tape);
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
#define STRIDED strided
#define CONSTANT_STRIDED strided constant
static const tg_reduce_attrs nothing = {0, 0}, rows = {1, 0}, columns = {2, 0}, both_kept = {3, 1},
                             ends = {5, 0}, all3 = {7, 0}, planes = {12, 1};
TG_SAMPLES(
    sums, {.label = "rows", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &rows},
    {.label = "strided, columns", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &columns},
    {.label = "first and last dim", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &ends},
    {.label = "all", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &all3},
    {.label = "all, kept", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &both_kept},
    {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &nothing},
    {.label = "i64",
     .in = TG_SAMPLE_INPUTS({CUBE, i64, CONSTANT_STRIDED}),
     .attrs = &ends},
    {.label = "bool",
     .in = TG_SAMPLE_INPUTS({MATRIX, boolean, constant}),
     .attrs = &rows})
TG_SAMPLES(
    means, {.label = "rows", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &rows},
    {.label = "strided, columns", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &columns},
    {.label = "all, kept", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &both_kept},
    {.label = "planes", .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 3, 2, 2), TG_RANGE(-2, 2)}), .attrs = &planes},
    {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &nothing})
TG_SAMPLES(truths, {.label = "rows", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &rows},
           {.label = "i64",
            .in = TG_SAMPLE_INPUTS({CUBE, i64, CONSTANT_STRIDED}),
            .attrs = &ends},
           {.label = "bool",
            .in = TG_SAMPLE_INPUTS({MATRIX, boolean, CONSTANT_STRIDED}),
            .attrs = &columns})
static const tg_var_attrs var_rows = {1, 0, 1}, var_columns = {2, 1, 0}, var_ends = {5, 0, 1};
TG_SAMPLES(variances, {.label = "rows", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &var_rows},
           {.label = "strided, columns, kept, biased",
            .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}),
            .attrs = &var_columns},
           {.label = "first and last dim", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &var_ends})
static const tg_dims_attrs to_row = {{1, {4}}}, to_column = {{2, {3, 1}}}, to_scalar = {{0, {0}}};
TG_SAMPLES(
    sizes, {.label = "to a row", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &to_row},
    {.label = "strided, to a column",
     .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}),
     .attrs = &to_column},
    {.label = "three dims to a column", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &to_column},
    {.label = "to a scalar", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &to_scalar})

const tg_attr_spec tg_reduce_specs[] = {
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
static const tg_attr_spec size_specs[] = {
    {.name = "dims", .type = TG_ATTR_INTS, .offset = offsetof(tg_dims_attrs, dims), .doc = "of the result"},
    {0},
};

#define ONE_TO_ONE(name_, doc_, infer_, rule, table)                                                         \
    TG_ROW(name_, doc_), .n_in = 1, .n_out = 1, .infer = infer_, .vjp = rule, .samples = TG_PROOF(table)
static const tg_operator row_sum = {
    ONE_TO_ONE("sum", "the sum over dims", infer_sum, sum_vjp, sums),
    TG_ATTRS(tg_reduce_attrs, tg_reduce_specs),
};
static const tg_operator row_mean = {
    ONE_TO_ONE("mean", "the mean over dims", infer_mean, mean_vjp, means),
    TG_ATTRS(tg_reduce_attrs, tg_reduce_specs),
};
static const tg_operator row_var = {
    ONE_TO_ONE("var", "sum((x - mean)^2)/(n - correction) over dims", infer_var, var_vjp, variances),
    TG_ATTRS(tg_var_attrs, var_specs),
    .saves = TG_OP_IN(0),
};
static const tg_operator row_std = {
    ONE_TO_ONE("std", "the root of the variance; its derivative at 0 is 0", infer_var, std_vjp, variances),
    TG_ATTRS(tg_var_attrs, var_specs),
    .saves = TG_OP_IN(0) | TG_OP_OUT(0),
};
static const tg_operator row_any = {
    ONE_TO_ONE("any", "is one of them not 0?", infer_truth, NULL, truths),
    TG_ATTRS(tg_reduce_attrs, tg_reduce_specs),
    .flags = TG_OP_NONDIFF,
};
static const tg_operator row_all = {
    ONE_TO_ONE("all", "is none of them 0?", infer_truth, NULL, truths),
    TG_ATTRS(tg_reduce_attrs, tg_reduce_specs),
    .flags = TG_OP_NONDIFF,
};
static const tg_operator row_sum_to_size = {
    ONE_TO_ONE("sum_to_size", "the sum over what broadcasting repeats", infer_sum_to_size, sum_to_size_vjp,
               sizes),
    TG_ATTRS(tg_dims_attrs, size_specs),
};

/* -- the functions of ops.h ----------------------------------------------------------------------------- */

bool tg_dims_mask(tg_tape *tape, const char *what, tg_tensor *x, const int64_t *dims, size_t n_dims,
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
    if (!tg_dims_mask(tape, op->name, x, dims, n_dims, &attrs.dims))
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

tg_tensor *tg_any_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    return reduce(tape, &row_any, x, dims, n_dims, keepdim);
}

tg_tensor *tg_all_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    return reduce(tape, &row_all, x, dims, n_dims, keepdim);
}

tg_tensor *tg_count_nonzero_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims)
{
    tg_reduce_attrs attrs = {0};
    if (!tg_dims_mask(tape, "count_nonzero", x, dims, n_dims, &attrs.dims))
        return NULL;
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    return tg_composed(tape, &scope, tg_row1(tape, &row_sum, tg_to(tape, x, TG_BOOL), &attrs, NULL), NULL);
}

tg_tensor *tg_nansum_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    tg_reduce_attrs attrs = {.keepdim = keepdim};
    if (!tg_dims_mask(tape, "nansum", x, dims, n_dims, &attrs.dims))
        return NULL;
    if (!tg_dtype_is_float(tg_tensor_dtype(x)))
        return tg_row1(tape, &row_sum, x, &attrs, NULL);
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tg_tensor *numbers = tg_where(tape, tg_eq(tape, x, x), x, tg_constant_like(tape, x, 0));
    return tg_composed(tape, &scope, tg_row1(tape, &row_sum, numbers, &attrs, NULL), NULL);
}

tg_tensor *tg_nanmean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    tg_reduce_attrs attrs = {.keepdim = keepdim};
    if (!tg_float_argument(tape, x, "nanmean", "x") ||
        !tg_dims_mask(tape, "nanmean", x, dims, n_dims, &attrs.dims))
        return NULL;
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tg_tensor *is_number = tg_eq(tape, x, x);
    tg_tensor *numbers = tg_where(tape, is_number, x, tg_constant_like(tape, x, 0));
    tg_tensor *count = tg_row1(tape, &row_sum, is_number, &attrs, NULL);
    tg_tensor *sum = tg_row1(tape, &row_sum, numbers, &attrs, NULL);
    return tg_composed(tape, &scope, tg_div(tape, sum, tg_to(tape, count, tg_tensor_dtype(x))), NULL);
}

static tg_tensor *spread(tg_tape *tape, const tg_operator *op, tg_tensor *x, const int64_t *dims,
                         size_t n_dims, double correction, bool keepdim)
{
    tg_var_attrs attrs = {.keepdim = keepdim, .correction = correction};
    if (!tg_dims_mask(tape, op->name, x, dims, n_dims, &attrs.dims))
        return NULL;
    return tg_row1(tape, op, x, &attrs, NULL);
}

/* The variance or its root, and the mean. */
static tg_tensor *spread_mean(tg_tape *tape, const tg_operator *op, const char *what, tg_tensor *x,
                              const int64_t *dims, size_t n_dims, double correction, bool keepdim,
                              tg_tensor **mean)
{
    tg_var_attrs attrs = {.keepdim = keepdim, .correction = correction};
    if (mean)
        *mean = NULL;
    if (!tg_float_argument(tape, x, what, "x") || !tg_dims_mask(tape, what, x, dims, n_dims, &attrs.dims))
        return NULL;
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tg_tensor *centre = NULL, *y = tg_row1(tape, op, x, &attrs, NULL);
    if (mean)
        centre = tg_row1(tape, &row_mean, x, &(tg_reduce_attrs){attrs.dims, keepdim}, NULL);
    y = tg_composed(tape, &scope, y, centre);
    if (mean && y)
        *mean = centre;
    return y;
}

tg_tensor *tg_var_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, double correction,
                       bool keepdim)
{
    return spread(tape, &row_var, x, dims, n_dims, correction, keepdim);
}

tg_tensor *tg_std_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, double correction,
                       bool keepdim)
{
    return spread(tape, &row_std, x, dims, n_dims, correction, keepdim);
}

tg_tensor *tg_var_mean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims,
                            double correction, bool keepdim, tg_tensor **mean)
{
    return spread_mean(tape, &row_var, "var_mean", x, dims, n_dims, correction, keepdim, mean);
}

tg_tensor *tg_std_mean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims,
                            double correction, bool keepdim, tg_tensor **mean)
{
    return spread_mean(tape, &row_std, "std_mean", x, dims, n_dims, correction, keepdim, mean);
}

tg_tensor *tg_sum_to_size(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim)
{
    tg_dims_attrs attrs;
    if (!tg_argument(tape, x, "sum_to_size", "x") || !tg_take_dims(tape, "sum_to_size", dims, ndim, &attrs))
        return NULL;
    return tg_row1(tape, &row_sum_to_size, x, &attrs, NULL);
}

const tg_operator *const tg_ops_reduce[] = {
    &row_sum, &row_mean, &row_var, &row_std, &row_any, &row_all, &row_sum_to_size, NULL,
};
