/* Along one dim: running sums, products and extrema, products of all, differences, areas. The derivatives of
 * products go through linear_scan instead of a division, so that zeros are exact in every order. */
#include "autograd/operators/reduced.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status need_dim(const tg_infer *q, int64_t dim)
{
    const int ndim = q->in[0]->ndim ? q->in[0]->ndim : 1;
    if (dim < 0 || dim >= ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld", ndim - 1,
                             (long long)dim);
    return TG_OK;
}

static tg_status like_x(const tg_infer *q, size_t o, int32_t dtype)
{
    return tg_desc_make(&q->out[o], (tg_dtype)dtype, q->in[0]->dim, (size_t)q->in[0]->ndim);
}

static tg_status infer_sums(const tg_infer *q)
{
    const int32_t dtype = q->in[0]->dtype;
    tg_status status = tg_infer_need_number(q);
    if (status == TG_OK)
        status = need_dim(q, ((const tg_scan_attrs *)q->attrs)->dim);
    return status ? status : like_x(q, 0, dtype == TG_BOOL ? TG_I64 : dtype);
}

static tg_status infer_logs(const tg_infer *q)
{
    tg_status status = tg_infer_need_float(q);
    return status ? status : infer_sums(q);
}

static tg_status infer_scan(const tg_infer *q)
{
    const tg_desc *a = q->in[0], *b = q->in[1];
    tg_status status = infer_logs(q);
    if (status == TG_OK && (a->dtype != b->dtype || !tg_desc_same_dims(a, b)))
        status = tg_infer_fail(q, TG_ESHAPE, "a and b must have the same dims and dtype");
    return status;
}

static tg_status infer_records(const tg_infer *q)
{
    tg_status status = tg_infer_need_number(q);
    if (status == TG_OK)
        status = need_dim(q, ((const tg_scan_attrs *)q->attrs)->dim);
    if (status == TG_OK)
        status = like_x(q, 0, q->in[0]->dtype);
    return status ? status : like_x(q, 1, TG_I64);
}

static tg_status infer_prod(const tg_infer *q)
{
    const tg_argmax_attrs *attrs = q->attrs;
    const int32_t dtype = q->in[0]->dtype;
    tg_status status = tg_infer_need_number(q);
    if (status == TG_OK)
        status = need_dim(q, attrs->dim);
    return status ? status
                  : tg_infer_reduced(q, q->in[0]->ndim ? (int64_t)1 << attrs->dim : 0, attrs->keepdim,
                                     tg_dtype_is_float(dtype) ? (tg_dtype)dtype : TG_I64);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_cumsum, row_cumprod, row_linear_scan;

/* Along dim by one place, `fill` where nothing moves in: to the end, or towards the front. x has dims. */
static tg_tensor *shift(tg_tape *tape, tg_tensor *x, int64_t dim, double fill, bool to_front)
{
    tg_desc d;
    if (tg_tensor_desc(x, &d) || !d.dim[dim])
        return x;
    const int64_t n = d.dim[dim];
    tg_tensor *rest = tg_narrow(tape, x, dim, to_front ? 1 : 0, n - 1);
    d.dim[dim] = 1;
    tg_tensor *edge = tg_full(tape, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, fill);
    return tg_cat_n(tape, to_front ? (tg_tensor *[]){rest, edge} : (tg_tensor *[]){edge, rest}, 2, dim);
}

static tg_tensor *scan(tg_tape *tape, tg_tensor *a, tg_tensor *b, int64_t dim, bool reverse)
{
    return tg_row2(tape, &row_linear_scan, a, b, &(tg_scan_attrs){dim, reverse}, NULL);
}

static tg_tensor *products(tg_tape *tape, tg_tensor *x, int64_t dim, bool reverse)
{
    return tg_row1(tape, &row_cumprod, x, &(tg_scan_attrs){dim, reverse}, NULL);
}

TG_RULE(cumsum)
{
    const tg_scan_attrs *a = tg_node_attrs(node);
    gx[0] = tg_row1(tape, &row_cumsum, gy[0], &(tg_scan_attrs){a->dim, !a->reverse}, NULL);
    return tg_tape_status(tape);
}

/* y(k) = a(k)·y(k − 1) + b(k): what comes back to b is such a scan from the other end. */
TG_RULE(linear_scan)
{
    const tg_scan_attrs *attrs = tg_node_attrs(node);
    tg_tensor *a = tg_node_input(node, 0), *y = tg_node_output(node, 0);
    if (!tg_tensor_ndim(y)) {
        gx[0] = tg_zeros_like(tape, gy[0]);
        gx[1] = gy[0];
        return tg_tape_status(tape);
    }
    tg_tensor *h =
        scan(tape, shift(tape, a, attrs->dim, 0, !attrs->reverse), gy[0], attrs->dim, !attrs->reverse);
    gx[1] = h;
    if (tg_node_needs(node, 0))
        gx[0] = tg_mul(tape, h, shift(tape, y, attrs->dim, 0, attrs->reverse));
    return tg_tape_status(tape);
}

/* With s(k) = gy(k) + x(k + 1)·s(k + 1): the product before k times s(k). */
TG_RULE(cumprod)
{
    const tg_scan_attrs *attrs = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0);
    if (!tg_tensor_ndim(x)) {
        gx[0] = gy[0];
        return tg_tape_status(tape);
    }
    tg_tensor *before = shift(tape, tg_node_output(node, 0), attrs->dim, 1, attrs->reverse);
    tg_tensor *s =
        scan(tape, shift(tape, x, attrs->dim, 0, !attrs->reverse), gy[0], attrs->dim, !attrs->reverse);
    gx[0] = tg_mul(tape, before, s);
    return tg_tape_status(tape);
}

/* The product of those before times the product of those behind. */
TG_RULE(prod)
{
    const tg_argmax_attrs *attrs = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0);
    tg_desc d;
    gx[0] = gy[0];
    if (tg_input_dims(tape, node, 0, &d) && d.ndim) {
        tg_tensor *before = shift(tape, products(tape, x, attrs->dim, false), attrs->dim, 1, false);
        tg_tensor *behind = shift(tape, products(tape, x, attrs->dim, true), attrs->dim, 1, true);
        tg_tensor *g = tg_restore_dims(tape, gy[0], &d, (int64_t)1 << attrs->dim, attrs->keepdim);
        gx[0] = tg_mul(tape, tg_mul(tape, g, before), behind);
    }
    return tg_tape_status(tape);
}

/* Σ_{i ≥ k} gy(i)·e^(x(k) − y(i)), where y never falls: as e^(x(k) − y(k))·u(k) with
 * u(k) = gy(k) + e^(y(k) − y(k + 1))·u(k + 1) nothing overflows. */
TG_RULE(logcumsumexp)
{
    const tg_scan_attrs *attrs = tg_node_attrs(node);
    const int64_t dim = attrs->dim;
    tg_tensor *x = tg_node_input(node, 0), *y = tg_node_output(node, 0), *u = gy[0];
    tg_desc d;
    if (!tg_input_dims(tape, node, 0, &d))
        return tg_tape_status(tape);
    if (d.ndim && d.dim[dim] > 1) {
        const int64_t n = d.dim[dim] - 1;
        tg_tensor *step =
            tg_exp(tape, tg_sub(tape, tg_narrow(tape, y, dim, 0, n), tg_narrow(tape, y, dim, 1, n)));
        d.dim[dim] = 1;
        tg_tensor *edge = tg_full(tape, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, 0);
        u = scan(tape, tg_cat_n(tape, (tg_tensor *[]){step, edge}, 2, dim), u, dim, true);
    }
    gx[0] = tg_mul(tape, tg_exp(tape, tg_sub(tape, x, y)), u);
    return tg_tape_status(tape);
}

/* gy is added up where its value came from. */
static tg_status record_vjp(tg_tape *tape, const tg_node *node, tg_tensor *gy, tg_tensor *gx[])
{
    const tg_scan_attrs *attrs = tg_node_attrs(node);
    gx[0] = gy;
    if (gy && tg_tensor_ndim(gy))
        gx[0] = tg_scatter_add(tape, tg_zeros_like(tape, gy), attrs->dim, tg_node_output(node, 1), gy);
    return tg_tape_status(tape);
}

TG_RULE(cummax)
{
    return record_vjp(tape, node, gy[0], gx);
}

TG_RULE(cummin)
{
    return record_vjp(tape, node, gy[0], gx);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define MATRIX TG_DIM2(4, 5), TG_RANGE(-2, 2)
#define CUBE TG_DIM3(2, 3, 3), TG_RANGE(-2, 2)
#define STRIDED strided
#define WHOLE i64, constant strided
static const tg_scan_attrs down = {0, 0}, across = {1, 0}, up = {0, 1}, back = {1, 1};
TG_SAMPLES(series, {.label = "across", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &across},
           {.label = "strided, down", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &down},
           {.label = "middle, from the end", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &back},
           {.label = "zeros", .in = TG_SAMPLE_INPUTS({TG_DIM1(3)}), .attrs = &down},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &down},
           {.label = "i64", .in = TG_SAMPLE_INPUTS({CUBE, WHOLE}), .attrs = &up})
TG_SAMPLES(logs, {.label = "across", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &across},
           {.label = "strided, down", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &down},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &down})
#define APART distinct, apart 0.05
TG_SAMPLES(records, {.label = "across", .in = TG_SAMPLE_INPUTS({MATRIX, APART}), .attrs = &across},
           {.label = "strided, down",
            .in = TG_SAMPLE_INPUTS({MATRIX, distinct strided,
                                    apart 0.05}),
            .attrs = &down},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &down},
           {.label = "i64", .in = TG_SAMPLE_INPUTS({CUBE, WHOLE}), .attrs = &across})
TG_SAMPLES(recurrences,
           {.label = "across", .in = TG_SAMPLE_INPUTS({MATRIX}, {MATRIX}), .attrs = &across},
           {.label = "strided, from the end",
            .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}, {MATRIX, STRIDED}),
            .attrs = &up},
           {.label = "scalar",
            .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}, {TG_RANGE(-2, 2)}),
            .attrs = &down})
static const tg_argmax_attrs rows = {0, 0}, columns_kept = {1, 1};
TG_SAMPLES(factors, {.label = "rows", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &rows},
           {.label = "strided, columns, kept",
            .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}),
            .attrs = &columns_kept},
           {.label = "zeros", .in = TG_SAMPLE_INPUTS({TG_DIM1(2)}), .attrs = &rows},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &rows},
           {.label = "i64", .in = TG_SAMPLE_INPUTS({CUBE, WHOLE}), .attrs = &columns_kept})

static const tg_attr_spec scan_specs[] = {
    {.name = "dim", .type = TG_ATTR_INT, .offset = offsetof(tg_scan_attrs, dim), .doc = "along this dim"},
    {.name = "reverse",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_scan_attrs, reverse),
     .doc = "1: from the end"},
    {0},
};
static const tg_attr_spec prod_specs[] = {
    {.name = "dim", .type = TG_ATTR_INT, .offset = offsetof(tg_argmax_attrs, dim), .doc = "along this dim"},
    {.name = "keepdim",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_argmax_attrs, keepdim),
     .doc = "1: it stays, of size 1"},
    {0},
};

#define SCAN(name_, n_, saved, infer_, table, text)                                                          \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text), TG_ATTRS(tg_scan_attrs, scan_specs),                                           \
        .n_in = n_,           .n_out = 1,                                                                    \
        .saves = saved,       .infer = infer_,                                                               \
        .vjp = name_##_vjp,   .samples = TG_PROOF(table),                                                              \
    };
SCAN(cumsum, 1, 0, infer_sums, series, "the sums of the first 1, 2, … along dim")
SCAN(cumprod, 1, TG_OP_IN(0) | TG_OP_OUT(0), infer_sums, series,
     "the products of the first 1, 2, … along dim")
SCAN(logcumsumexp, 1, TG_OP_IN(0) | TG_OP_OUT(0), infer_logs, logs,
     "the logarithms of the sums of the first 1, 2, … e^x along dim")
SCAN(linear_scan, 2, TG_OP_IN(0) | TG_OP_OUT(0), infer_scan, recurrences,
     "y(k) = a(k)·y(k − 1) + b(k) along dim")

#define RECORD(name_, text)                                                                                  \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text),                                                                                \
        TG_ATTRS(tg_scan_attrs, scan_specs),                                                                 \
        .n_in = 1,                                                                                           \
        .n_out = 2,                                                                                          \
        .nondiff_out = 2,                                                                                    \
        .saves = TG_OP_OUT(1),                                                                               \
        .infer = infer_records,                                                                              \
        .vjp = name_##_vjp,                                                                                  \
        .samples = TG_PROOF(records),                                                                                  \
    };
RECORD(cummax, "the largest of the first 1, 2, … along dim, and the place of the last such")
RECORD(cummin, "the smallest of the first 1, 2, … along dim, and the place of the last such")

static const tg_operator row_prod = {
    TG_ROW("prod", "the product along dim"),
    TG_ATTRS(tg_argmax_attrs, prod_specs),
    .n_in = 1,
    .n_out = 1,
    .saves = TG_OP_IN(0),
    .infer = infer_prod,
    .vjp = prod_vjp,
    .samples = TG_PROOF(factors),
};

const tg_operator *const tg_ops_cumulative[] = {
    &row_cumsum, &row_cumprod, &row_logcumsumexp, &row_linear_scan, &row_cummax, &row_cummin, &row_prod, NULL,
};

/* -- the functions -------------------------------------------------------------------------------------- */

static bool take_dim(tg_tape *tape, const tg_operator *op, const tg_tensor *x, int64_t dim, int64_t *out)
{
    const tg_desc *d = tg_argument(tape, x, op->name, "x");
    return d && tg_resolve_dim(tape, op->name, dim, d->ndim, out);
}

static tg_tensor *run(tg_tape *tape, const tg_operator *op, tg_tensor *x, int64_t dim)
{
    tg_scan_attrs attrs = {0};
    return take_dim(tape, op, x, dim, &attrs.dim) ? tg_row1(tape, op, x, &attrs, NULL) : NULL;
}

tg_tensor *tg_cumsum(tg_tape *tape, tg_tensor *x, int64_t dim)
{
    return run(tape, &row_cumsum, x, dim);
}

tg_tensor *tg_cumprod(tg_tape *tape, tg_tensor *x, int64_t dim)
{
    return run(tape, &row_cumprod, x, dim);
}

tg_tensor *tg_logcumsumexp(tg_tape *tape, tg_tensor *x, int64_t dim)
{
    return run(tape, &row_logcumsumexp, x, dim);
}

static tg_tensor *record(tg_tape *tape, const tg_operator *op, tg_tensor *x, int64_t dim, tg_tensor **indices)
{
    tg_scan_attrs attrs = {0};
    tg_tensor *out[2] = {NULL};
    if (indices)
        *indices = NULL;
    if (!take_dim(tape, op, x, dim, &attrs.dim) || tg_apply(tape, op, &x, 1, &attrs, NULL, out))
        return NULL;
    if (indices)
        *indices = out[1];
    else
        tg_discard(out[1]);
    return out[0];
}

tg_tensor *tg_cummax(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor **indices)
{
    return record(tape, &row_cummax, x, dim, indices);
}

tg_tensor *tg_cummin(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor **indices)
{
    return record(tape, &row_cummin, x, dim, indices);
}

tg_tensor *tg_prod_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim)
{
    tg_argmax_attrs attrs = {.keepdim = keepdim};
    return take_dim(tape, &row_prod, x, dim, &attrs.dim) ? tg_row1(tape, &row_prod, x, &attrs, NULL) : NULL;
}

tg_tensor *tg_prod(tg_tape *tape, tg_tensor *x)
{
    const tg_desc *d = tg_argument(tape, x, "prod", "x");
    tg_scope scope;
    if (!d)
        return NULL;
    tg_scope_enter(tape, &scope);
    tg_tensor *flat = tg_reshape_dims(tape, x, (const int64_t[]){tg_desc_count(d)}, 1);
    return tg_composed(tape, &scope, tg_row1(tape, &row_prod, flat, &(tg_argmax_attrs){0}, NULL), NULL);
}

/* What goes before or behind x along dim: of the same dims but that one. */
static tg_tensor *edge_of(tg_tape *tape, const tg_desc *x, tg_tensor *edge, const char *argument, int64_t dim)
{
    const tg_desc *d = tg_argument(tape, edge, "diff", argument);
    tg_desc to = *x;
    char got[128], expected[128];
    if (!d)
        return NULL;
    to.dim[dim] = d->dim[dim];
    if (tg_desc_same_dims(d, &to))
        return edge;
    tg_fail(tape, TG_ESHAPE, "diff: %s is %s, expected x's dims, %s, with any size of dim %lld", argument,
            tg_desc_format(d, got, sizeof got), tg_desc_format(x, expected, sizeof expected), (long long)dim);
    return NULL;
}

/* x[k + 1] − x[k] along dim, of bools: do they differ? */
static tg_tensor *difference(tg_tape *tape, tg_tensor *x, int64_t dim)
{
    tg_desc d;
    if (tg_tensor_desc(x, &d))
        return NULL;
    const int64_t n = d.dim[dim] ? d.dim[dim] - 1 : 0;
    tg_tensor *before = tg_narrow(tape, x, dim, 0, n), *behind = tg_narrow(tape, x, dim, d.dim[dim] - n, n);
    return d.dtype == TG_BOOL ? tg_ne(tape, behind, before) : tg_sub(tape, behind, before);
}

tg_tensor *tg_diff(tg_tape *tape, tg_tensor *x, int64_t n, int64_t dim, tg_tensor *prepend, tg_tensor *append)
{
    const tg_desc *d = tg_argument(tape, x, "diff", "x");
    tg_scope scope;
    int64_t along;
    if (!d || !tg_resolve_dim(tape, "diff", dim, d->ndim, &along))
        return NULL;
    if (!d->ndim || n < 0) {
        tg_fail(tape, d->ndim ? TG_EINVAL : TG_ESHAPE,
                d->ndim ? "diff: n is %lld, expected 0 or more" : "diff: x has no dims", (long long)n);
        return NULL;
    }
    tg_scope_enter(tape, &scope);
    tg_tensor *parts[3];
    size_t n_parts = 0;
    if (prepend && n)
        parts[n_parts++] = edge_of(tape, d, prepend, "prepend", along);
    parts[n_parts++] = x;
    if (append && n)
        parts[n_parts++] = edge_of(tape, d, append, "append", along);
    tg_tensor *y = n_parts > 1 && !tg_tape_status(tape) ? tg_cat_n(tape, parts, n_parts, along) : x;
    for (int64_t i = 0; i < n && y && tg_tensor_dim(y, (int)along); i++)
        y = difference(tape, y, along);
    return tg_composed(tape, &scope, y, NULL);
}

/* What dim `along` of y is stepped by: x's differences, x having one dim or dims that broadcast to y's. */
static tg_tensor *steps(tg_tape *tape, tg_tensor *x, const tg_desc *y, int64_t along)
{
    const tg_desc *d = tg_argument(tape, x, "trapezoid", "x");
    int64_t dims[TG_MAX_DIM];
    if (!d)
        return NULL;
    if (d->ndim == 0 || d->ndim > y->ndim || (d->ndim == 1 && d->dim[0] != y->dim[along])) {
        tg_fail(tape, TG_ESHAPE, "trapezoid: x needs one value for each of y's along dim %lld, or y's dims",
                (long long)along);
        return NULL;
    }
    for (int i = 0; i < y->ndim; i++)
        dims[i] = 1;
    if (d->ndim == 1)
        dims[along] = d->dim[0];
    for (int i = 0; i < d->ndim && d->ndim > 1; i++)
        dims[y->ndim - d->ndim + i] = d->dim[i];
    return difference(tape, tg_reshape_dims(tape, x, dims, (size_t)y->ndim), along);
}

static tg_tensor *area(tg_tape *tape, tg_tensor *y, tg_tensor *x, double dx, int64_t dim)
{
    const tg_desc *d = tg_argument(tape, y, "trapezoid", "y");
    tg_scope scope;
    int64_t along;
    if (!d || !tg_resolve_dim(tape, "trapezoid", dim, d->ndim, &along))
        return NULL;
    if (!d->ndim) {
        tg_fail(tape, TG_ESHAPE, "trapezoid: y has no dims");
        return NULL;
    }
    tg_scope_enter(tape, &scope);
    const tg_desc shape = *d;
    const int64_t n = d->dim[along] ? d->dim[along] - 1 : 0;
    if (!tg_dtype_is_float(d->dtype))
        y = tg_to(tape, y, tape->rt->dtype);
    tg_tensor *pairs =
        tg_add(tape, tg_narrow(tape, y, along, 0, n), tg_narrow(tape, y, along, shape.dim[along] - n, n));
    if (x)
        pairs = tg_mul(tape, pairs, steps(tape, x, &shape, along));
    tg_tensor *sum = tg_mul_scalar(tape, tg_sum_dims(tape, pairs, &along, 1, false), dx / 2);
    return tg_composed(tape, &scope, sum, NULL);
}

tg_tensor *tg_trapezoid(tg_tape *tape, tg_tensor *y, double dx, int64_t dim)
{
    return area(tape, y, NULL, dx, dim);
}

tg_tensor *tg_trapezoid_at(tg_tape *tape, tg_tensor *y, tg_tensor *x, int64_t dim)
{
    TG_COMPOSES(tape, "trapezoid");
    return tg_argument(tape, x, "trapezoid", "x") ? area(tape, y, x, 1, dim) : NULL;
}
