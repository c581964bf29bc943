/* Extrema and where they are. Each has its own derivative at ties, as in PyTorch: amax and amin, max and min
 * of all share it; max and min along a dim give it to the one they name. */
#include "autograd/operators/reduced.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_extremum(const tg_infer *q)
{
    const tg_reduce_attrs *attrs = q->attrs;
    tg_status status = tg_infer_reduced_like(q);
    return status ? status : tg_infer_need_values(q, attrs->dims);
}

/* The shape of what is left without a dim, in q->out[o] of this dtype. */
static tg_status infer_along(const tg_infer *q, size_t o, tg_dtype dtype)
{
    const tg_argmax_attrs *attrs = q->attrs;
    const tg_desc *x = q->in[0];
    if (attrs->dim < 0 || attrs->dim >= (x->ndim ? x->ndim : 1))
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld",
                             x->ndim ? x->ndim - 1 : 0, (long long)attrs->dim);
    const int64_t mask = x->ndim ? (int64_t)1 << attrs->dim : 0;
    tg_infer one = *q;
    one.out = &q->out[o];
    tg_status status = tg_infer_need_values(q, mask);
    return status ? status : tg_infer_reduced(&one, mask, attrs->keepdim, dtype);
}

static tg_status infer_argument(const tg_infer *q)
{
    tg_status status = tg_infer_need_number(q);
    if (status == TG_OK && q->in[0]->dtype == TG_BOOL)
        status = tg_infer_fail(q, TG_EDTYPE, "x must be f32, f64 or i64, not bool");
    return status ? status : infer_along(q, 0, TG_I64);
}

static tg_status infer_with_place(const tg_infer *q)
{
    tg_status status = tg_infer_need_number(q);
    if (status == TG_OK)
        status = infer_along(q, 0, (tg_dtype)q->in[0]->dtype);
    return status ? status : infer_along(q, 1, TG_I64);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

/* gy in equal parts to all that are the extremum. Of an extremum that is NaN: NaN (0/0), or where
 * `nan_counts` in equal parts to all NaN. */
static tg_status shared_vjp(tg_tape *tape, const tg_node *node, tg_tensor *gy, tg_tensor *gx[],
                            bool nan_counts)
{
    const tg_reduce_attrs *attrs = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0);
    tg_desc d;
    if (tg_input_dims(tape, node, 0, &d)) {
        tg_tensor *y = tg_restore_dims(tape, tg_node_output(node, 0), &d, attrs->dims, attrs->keepdim);
        tg_tensor *hit = tg_eq(tape, x, y);
        if (nan_counts) {
            tg_tensor *is_nan = tg_ne(tape, y, y);
            hit = tg_where(tape, is_nan, tg_ne(tape, x, x), hit);
        }
        tg_tensor *hits = tg_to(tape, tg_sum_mask(tape, hit, attrs->dims), (tg_dtype)d.dtype);
        tg_tensor *g = tg_restore_dims(tape, gy, &d, attrs->dims, attrs->keepdim);
        gx[0] = tg_mul(tape, tg_div(tape, g, hits), tg_to(tape, hit, (tg_dtype)d.dtype));
    }
    return tg_tape_status(tape);
}

TG_RULE(amax)
{
    return shared_vjp(tape, node, gy[0], gx, false);
}

TG_RULE(amin)
{
    return shared_vjp(tape, node, gy[0], gx, false);
}

TG_RULE(max_all)
{
    return shared_vjp(tape, node, gy[0], gx, true);
}

TG_RULE(min_all)
{
    return shared_vjp(tape, node, gy[0], gx, true);
}

/* gy to where the value came from. */
static tg_status chosen_vjp(tg_tape *tape, const tg_node *node, tg_tensor *gy, tg_tensor *gx[])
{
    const tg_argmax_attrs *attrs = tg_node_attrs(node);
    tg_desc d;
    if (!gy || !tg_input_dims(tape, node, 0, &d))
        return tg_tape_status(tape);
    gx[0] = gy;
    if (d.ndim) {
        const int64_t mask = (int64_t)1 << attrs->dim;
        tg_tensor *at = tg_restore_dims(tape, tg_node_output(node, 1), &d, mask, attrs->keepdim);
        tg_tensor *g = tg_restore_dims(tape, gy, &d, mask, attrs->keepdim);
        tg_tensor *zeros = tg_full(tape, tg_tensor_dtype(gy), d.dim, (size_t)d.ndim, 0);
        gx[0] = tg_scatter_add(tape, zeros, attrs->dim, at, g);
    }
    return tg_tape_status(tape);
}

TG_RULE(max)
{
    return chosen_vjp(tape, node, gy[0], gx);
}

TG_RULE(min)
{
    return chosen_vjp(tape, node, gy[0], gx);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define MATRIX TG_DIM2(3, 4), TG_RANGE(-2, 2)
#define CUBE TG_DIM3(2, 3, 4), TG_RANGE(-2, 2)
#define APART distinct, apart 0.05
#define APART_STRIDED distinct strided, apart 0.05
#define WHOLE i64, constant strided
#define TRUTH boolean, constant
static const tg_reduce_attrs nothing = {0, 0}, rows = {1, 0}, columns = {2, 0}, both_kept = {3, 1},
                             ends = {5, 0};
TG_SAMPLES(extrema, {.label = "rows", .in = TG_SAMPLE_INPUTS({MATRIX, APART}), .attrs = &rows},
           {.label = "strided, columns",
            .in = TG_SAMPLE_INPUTS({MATRIX, APART_STRIDED}),
            .attrs = &columns},
           {.label = "first and last dim", .in = TG_SAMPLE_INPUTS({CUBE, APART}), .attrs = &ends},
           {.label = "all, kept", .in = TG_SAMPLE_INPUTS({MATRIX, APART}), .attrs = &both_kept},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &nothing},
           {.label = "i64", .in = TG_SAMPLE_INPUTS({CUBE, WHOLE}), .attrs = &ends},
           {.label = "bool", .in = TG_SAMPLE_INPUTS({MATRIX, TRUTH}), .attrs = &columns})
static const tg_argmax_attrs along_columns = {1, 0}, along_rows = {0, 1};
TG_SAMPLES(arguments,
           {.label = "columns", .in = TG_SAMPLE_INPUTS({MATRIX, APART}), .attrs = &along_columns},
           {.label = "strided, rows, kept",
            .in = TG_SAMPLE_INPUTS({MATRIX, APART_STRIDED}),
            .attrs = &along_rows},
           {.label = "middle", .in = TG_SAMPLE_INPUTS({CUBE, APART}), .attrs = &along_columns},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &along_rows},
           {.label = "i64", .in = TG_SAMPLE_INPUTS({CUBE, WHOLE}), .attrs = &along_columns})

static const tg_attr_spec argmax_specs[] = {
    {.name = "dim", .type = TG_ATTR_INT, .offset = offsetof(tg_argmax_attrs, dim), .doc = "along this dim"},
    {.name = "keepdim",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_argmax_attrs, keepdim),
     .doc = "1: it stays, of size 1"},
    {0},
};

#define EXTREMUM(name_, text)                                                                                \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text),                                                                                \
        TG_ATTRS(tg_reduce_attrs, tg_reduce_specs),                                                          \
        .n_in = 1,                                                                                           \
        .n_out = 1,                                                                                          \
        .saves = TG_OP_IN(0) | TG_OP_OUT(0),                                                                 \
        .infer = infer_extremum,                                                                             \
        .vjp = name_##_vjp,                                                                                  \
        .samples = TG_PROOF(extrema),                                                                                  \
    };
EXTREMUM(amax, "the maximum over dims; NaN if one is; ties share the gradient")
EXTREMUM(amin, "the minimum over dims; NaN if one is; ties share the gradient")
EXTREMUM(max_all, "amax whose gradient goes to the NaN where there are some")
EXTREMUM(min_all, "amin whose gradient goes to the NaN where there are some")

#define WITH_PLACE(name_, text)                                                                              \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text),                                                                                \
        TG_ATTRS(tg_argmax_attrs, argmax_specs),                                                             \
        .n_in = 1,                                                                                           \
        .n_out = 2,                                                                                          \
        .nondiff_out = 2,                                                                                    \
        .saves = TG_OP_OUT(1),                                                                               \
        .infer = infer_with_place,                                                                           \
        .vjp = name_##_vjp,                                                                                  \
        .samples = TG_PROOF(arguments),                                                                                \
    };
WITH_PLACE(max, "the maximum along dim and its place")
WITH_PLACE(min, "the minimum along dim and its place")

#define PLACE(name_, text)                                                                                   \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text),                                                                                \
        TG_ATTRS(tg_argmax_attrs, argmax_specs),                                                             \
        .flags = TG_OP_NONDIFF,                                                                              \
        .n_in = 1,                                                                                           \
        .n_out = 1,                                                                                          \
        .infer = infer_argument,                                                                             \
        .samples = TG_PROOF(arguments),                                                                                \
    };
PLACE(argmax, "the place of the first maximum along dim")
PLACE(argmin, "the place of the first minimum along dim")

const tg_operator *const tg_ops_extrema[] = {
    &row_amax, &row_amin, &row_max_all, &row_min_all, &row_max, &row_min, &row_argmax, &row_argmin, NULL,
};

/* -- the functions -------------------------------------------------------------------------------------- */

static tg_tensor *extremum(tg_tape *tape, const tg_operator *op, tg_tensor *x, const int64_t *dims,
                           size_t n_dims, bool keepdim)
{
    tg_reduce_attrs attrs = {.keepdim = keepdim};
    if (!tg_dims_mask(tape, op->name, x, dims, n_dims, &attrs.dims))
        return NULL;
    return tg_row1(tape, op, x, &attrs, NULL);
}

tg_tensor *tg_amax_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    return extremum(tape, &row_amax, x, dims, n_dims, keepdim);
}

tg_tensor *tg_amin_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    return extremum(tape, &row_amin, x, dims, n_dims, keepdim);
}

tg_tensor *tg_aminmax_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim,
                           tg_tensor **max)
{
    TG_COMPOSES(tape, "aminmax");
    tg_scope scope;
    tg_tensor *least, *most = NULL;
    if (max)
        *max = NULL;
    if (!tg_argument(tape, x, "aminmax", "x"))
        return NULL;
    tg_scope_enter(tape, &scope);
    least = extremum(tape, &row_amin, x, dims, n_dims, keepdim);
    if (max)
        most = extremum(tape, &row_amax, x, dims, n_dims, keepdim);
    least = tg_composed(tape, &scope, least, most);
    if (max && least)
        *max = most;
    return least;
}

static tg_tensor *of_all(tg_tape *tape, const tg_operator *op, tg_tensor *x, const char *what)
{
    const tg_desc *d = tg_argument(tape, x, what, "x");
    if (!d)
        return NULL;
    if (!tg_desc_count(d)) {
        tg_fail(tape, TG_ESHAPE, "%s: there is no extremum of no values", what);
        return NULL;
    }
    return extremum(tape, op, x, NULL, 0, false);
}

tg_tensor *tg_max(tg_tape *tape, tg_tensor *x)
{
    return of_all(tape, &row_max_all, x, "max");
}

tg_tensor *tg_min(tg_tape *tape, tg_tensor *x)
{
    return of_all(tape, &row_min_all, x, "min");
}

static tg_tensor *along(tg_tape *tape, const tg_operator *op, tg_tensor *x, int64_t dim, bool keepdim,
                        tg_tensor **indices)
{
    tg_argmax_attrs attrs = {.keepdim = keepdim};
    tg_tensor *out[2] = {NULL};
    if (indices)
        *indices = NULL;
    const tg_desc *d = tg_argument(tape, x, op->name, "x");
    if (!d || !tg_resolve_dim(tape, op->name, dim, d->ndim, &attrs.dim) ||
        tg_apply(tape, op, &x, 1, &attrs, NULL, out))
        return NULL;
    if (indices)
        *indices = out[1];
    else
        tg_discard(out[1]);
    return out[0];
}

tg_tensor *tg_max_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim, tg_tensor **indices)
{
    return along(tape, &row_max, x, dim, keepdim, indices);
}

tg_tensor *tg_min_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim, tg_tensor **indices)
{
    return along(tape, &row_min, x, dim, keepdim, indices);
}

static tg_tensor *place(tg_tape *tape, const tg_operator *op, tg_tensor *x, int64_t dim, bool keepdim)
{
    tg_argmax_attrs attrs = {.keepdim = keepdim};
    const tg_desc *d = tg_argument(tape, x, op->name, "x");
    if (!d || !tg_resolve_dim(tape, op->name, dim, d->ndim, &attrs.dim))
        return NULL;
    return tg_row1(tape, op, x, &attrs, NULL);
}

/* Counted over the values in row-major order. */
static tg_tensor *place_of_all(tg_tape *tape, const tg_operator *op, tg_tensor *x, bool keepdim)
{
    static const int64_t ones[TG_MAX_DIM] = {1, 1, 1, 1, 1, 1, 1, 1};
    const tg_desc *d = tg_argument(tape, x, op->name, "x");
    tg_scope scope;
    if (!d)
        return NULL;
    const size_t ndim = (size_t)d->ndim;
    tg_scope_enter(tape, &scope);
    tg_tensor *flat = tg_reshape_dims(tape, x, (const int64_t[]){tg_desc_count(d)}, 1);
    tg_tensor *at = tg_row1(tape, op, flat, &(tg_argmax_attrs){0, 0}, NULL);
    if (keepdim)
        at = tg_reshape_dims(tape, at, ones, ndim);
    return tg_composed(tape, &scope, at, NULL);
}

tg_tensor *tg_argmax(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim)
{
    return place(tape, &row_argmax, x, dim, keepdim);
}

tg_tensor *tg_argmin(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim)
{
    return place(tape, &row_argmin, x, dim, keepdim);
}

tg_tensor *tg_argmax_all(tg_tape *tape, tg_tensor *x, bool keepdim)
{
    return place_of_all(tape, &row_argmax, x, keepdim);
}

tg_tensor *tg_argmin_all(tg_tape *tape, tg_tensor *x, bool keepdim)
{
    return place_of_all(tape, &row_argmin, x, keepdim);
}
