/* Quantiles: the ranks between sorted values. */
#include "autograd/operators/indices.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_quantile_place(const tg_infer *q)
{
    const tg_quantile_attrs *a = q->attrs;
    const tg_desc *at = q->in[0], *unknown = q->in[1];
    int64_t dims[TG_MAX_DIM];
    if (!tg_dtype_is_float(at->dtype) || unknown->dtype != TG_BOOL)
        return tg_infer_fail(q, TG_EDTYPE, "q must be f32 or f64, and unknown bool");
    if (at->ndim != 1 || !unknown->ndim || unknown->dim[unknown->ndim - 1] != 1)
        return tg_infer_fail(q, TG_ESHAPE, "q must have one dim, and unknown a last one of size 1");
    if (a->n < 1 || a->n > INT64_C(1) << 53 || a->interpolation < TG_BETWEEN_LINEAR ||
        a->interpolation > TG_BETWEEN_MIDPOINT)
        return tg_infer_fail(q, TG_EINVAL, "n must be from 1 to 2^53, and interpolation between 0 and %d",
                             TG_BETWEEN_MIDPOINT);
    memcpy(dims, unknown->dim, sizeof dims);
    dims[unknown->ndim - 1] = at->dim[0];
    tg_status status = TG_OK;
    for (int o = 0; o < 3 && !status; o++)
        status = tg_desc_make(&q->out[o], o < 2 ? TG_I64 : (tg_dtype)at->dtype, dims, (size_t)unknown->ndim);
    return status ? tg_infer_fail(q, status, "the result is too large") : TG_OK;
}

/* -- rules ---------------------------------------------------------------------------------------------- */

/* Only the weight depends on q, and only where it is linear and something is known. */
TG_RULE(quantile_place)
{
    const tg_quantile_attrs *a = tg_node_attrs(node);
    tg_desc q;
    if (!gy[2] || a->interpolation != TG_BETWEEN_LINEAR || !tg_input_dims(tape, node, 0, &q))
        return tg_tape_status(tape);
    tg_tensor *known = tg_where(tape, tg_node_input(node, 1), tg_constant_like(tape, gy[2], 0), gy[2]);
    gx[0] = tg_sum_to_size(tape, tg_mul_scalar(tape, known, (double)(a->n - 1)), q.dim, (size_t)q.ndim);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

static const tg_quantile_attrs linear = {5, TG_BETWEEN_LINEAR};
TG_SAMPLES(quantiles, {.label = "linear",
                       .in = TG_SAMPLE_INPUTS({TG_DIM1(3), TG_RANGE(0.05, 0.95), away 0.01 from [0.25, 0.5, 0.75]},
                                              {TG_DIM2(2, 1), boolean, constant}),
                       .attrs = &linear})

static const tg_attr_spec quantile_specs[] = {
    TG_SPEC(tg_quantile_attrs, n, TG_ATTR_INT, "how many values are sorted"),
    TG_SPEC(tg_quantile_attrs, interpolation, TG_ATTR_INT, "0 linear, 1 lower, 2 higher, 3 nearest, 4 midpoint"),
    {0},
};
static const tg_operator row_quantile_place = {
    TG_ROW("quantile_place", "the ranks below and above q*(n - 1), and how far it is between them"),
    .n_in = 2,
    .n_out = 3,
    TG_ATTRS(tg_quantile_attrs, quantile_specs),
    .saves = TG_OP_IN(1),
    .nondiff_out = 3,
    .infer = infer_quantile_place,
    .vjp = quantile_place_vjp,
    .samples = TG_PROOF(quantiles),
};

const tg_operator *const tg_ops_quantile[] = {&row_quantile_place, NULL};

/* -- functions ------------------------------------------------------------------------------------------ */

/* Every element of q in [0, 1]? */
static bool check_fractions(tg_tape *tape, tg_tensor *q, const tg_desc *d)
{
    union {
        float f32;
        double f64;
    } bound;
    if (tape->rule_of || !tg_desc_count(d))
        return true;
    tg_tensor *free = tg_detach(tape, q);
    bool inside = true;
    for (int end = 0; end < 2 && inside; end++) {
        tg_tensor *found = (end ? tg_amax_dims : tg_amin_dims)(tape, free, NULL, 0, false);
        const bool wide = d->dtype == TG_F64;
        if (!found || tg_tensor_read(found, &bound, wide ? 8 : 4)) {
            tg_fail_again(tape, tg_tape_status(tape) ? tg_tape_status(tape) : TG_EINVAL);
            return false;
        }
        tg_discard(found);
        const double value = wide ? bound.f64 : (double)bound.f32;
        inside = value >= 0.0 && value <= 1.0;
        if (!inside)
            tg_fail(tape, TG_EINVAL, "quantile: q must be in [0, 1], got %g", value);
    }
    tg_discard(free);
    return inside;
}

static bool check_quantile(tg_tape *tape, tg_tensor *x, tg_tensor *q, tg_interpolation between)
{
    const tg_desc *d = tg_argument(tape, x, "quantile", "x"),
                  *f = d ? tg_argument(tape, q, "quantile", "q") : NULL;
    if (!f)
        return false;
    if (!tg_dtype_is_float(d->dtype) || f->dtype != d->dtype)
        tg_fail(tape, TG_EDTYPE, "quantile: x and q must be both f32 or both f64, not %s and %s",
                tg_dtype_name(d->dtype), tg_dtype_name(f->dtype));
    else if (f->ndim > 1)
        tg_fail(tape, TG_ESHAPE, "quantile: q must be a scalar or a vector, not of %d dims", f->ndim);
    else if (!tg_desc_count(d))
        tg_fail(tape, TG_ESHAPE, "quantile: x has no elements");
    else if ((unsigned)between > TG_BETWEEN_MIDPOINT)
        tg_fail(tape, TG_EINVAL, "quantile: between must be between 0 and %d, got %d", TG_BETWEEN_MIDPOINT,
                (int)between);
    else if (f->ndim && d->ndim == TG_MAX_DIM)
        tg_fail(tape, TG_ESHAPE, "quantile: x must have less than %d dims", TG_MAX_DIM);
    else
        return check_fractions(tape, q, f);
    return false;
}

/* sorted (…, n) at q (m): (…, m). */
static tg_tensor *at_ranks(tg_tape *tape, tg_tensor *sorted, tg_tensor *q, int64_t n,
                           tg_interpolation between)
{
    tg_tensor *place[3] = {NULL}, *last = tg_narrow(tape, sorted, -1, n - 1, 1);
    tg_tensor *in[] = {q, tg_ne(tape, last, last)};
    if (tg_apply(tape, &row_quantile_place, in, 2, &(tg_quantile_attrs){n, between}, NULL, place))
        return NULL;
    tg_tensor *below = tg_gather(tape, sorted, -1, place[0]);
    if (between != TG_BETWEEN_LINEAR && between != TG_BETWEEN_MIDPOINT)
        return below;
    tg_tensor *step = tg_sub(tape, tg_gather(tape, sorted, -1, place[1]), below);
    return tg_add(tape, below, tg_mul(tape, step, place[2]));
}

tg_tensor *tg_quantile(tg_tape *tape, tg_tensor *x, tg_tensor *q, int64_t dim, bool keepdim,
                       tg_interpolation between)
{
    TG_COMPOSES(tape, "quantile");
    int64_t dims[TG_MAX_DIM + 1], order[TG_MAX_DIM], n_dims = 0;
    if (!check_quantile(tape, x, q, between))
        return NULL;
    const bool vector = !tg_is_scalar(q), all = dim == TG_NONE_INT;
    const tg_desc own = *tg_argument(tape, x, "quantile", "x");
    if (!all && !tg_resolve_dim(tape, "quantile", dim, own.ndim, &dim))
        return NULL;
    if (vector)
        dims[n_dims++] = tg_tensor_count(q);
    for (int d = 0; d < own.ndim; d++)
        if (keepdim || (!all && d != dim))
            dims[n_dims++] = all || d == dim ? 1 : own.dim[d];
    if (all || !own.ndim) {
        const int64_t count = tg_desc_count(&own);
        x = tg_reshape_dims(tape, x, &count, 1);
    } else {
        x = tg_transpose(tape, x, dim, -1);
    }
    tg_desc lines;
    tg_tensor *sorted = tg_sort(tape, x, -1, false, NULL);
    if (!sorted || tg_tensor_desc(sorted, &lines))
        return NULL;
    tg_tensor *y = at_ranks(tape, sorted, tg_as_vector(tape, q), lines.dim[lines.ndim - 1], between);
    if (!y)
        return NULL;
    /* The ranks stand last: first of all to where x's dim was, then to the front. */
    if (!all && own.ndim)
        y = tg_transpose(tape, y, dim, -1);
    for (int64_t d = 0, from = all || !own.ndim ? 0 : dim; d < lines.ndim; d++)
        order[d] = d == 0 ? from : d <= from ? d - 1 : d;
    y = tg_permute_dims(tape, y, order, (size_t)lines.ndim);
    return tg_reshape_dims(tape, y, dims, (size_t)n_dims);
}
