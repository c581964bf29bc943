/* Pooling to a size: adaptive, and by windows that are drawn. */
#include "autograd/operators/pools.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_adaptive_max_pool(const tg_infer *q)
{
    const tg_adaptive_pool_attrs *a = q->attrs;
    tg_status status = check_float(q, 0, "x");
    if (!status)
        status = tg_pool_need_sizes(q, &a->size, 1);
    if (!status && a->to.n != a->size.n)
        status = tg_infer_fail(q, TG_EINVAL, "to has %lld entries, expected %lld", (long long)a->to.n,
                               (long long)a->size.n);
    for (int64_t k = 0; k < a->to.n && !status; k++)
        if (a->to.v[k] < 0 || a->to.v[k] > INT32_MAX)
            status = tg_infer_fail(q, TG_EINVAL, "the output's dim %lld is %lld, expected 0 … 2147483647",
                                   (long long)k, (long long)a->to.v[k]);
    if (!status)
        status = tg_pool_need_dims(q, 0, "x", &a->size);
    if (!status)
        status = tg_pool_make_out(q, 0, q->in[0]->dtype, &a->to);
    return status ? status : tg_pool_make_out(q, 1, TG_I64, &a->to);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

TG_RULE(adaptive_max_pool)
{
    const tg_adaptive_pool_attrs *a = tg_node_attrs(node);
    const tg_pool_attrs back = {.size = a->size};
    gx[0] = tg_row2(tape, &tg_row_max_pool_backward, gy[0], tg_node_output(node, 1), &back, NULL);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

/* clang-format off */
TG_SAMPLES(adaptive,
           {.label = "shrinks and grows", .attrs = &((const tg_adaptive_pool_attrs){{2, {5, 2}}, {2, {3, 3}}}),
            .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 1, 5, 2), TG_RANGE(-4, 4), distinct strided, apart 0.05})})
/* clang-format on */

static const tg_attr_spec adaptive_specs[] = {
    TG_SPEC(tg_adaptive_pool_attrs, size, TG_ATTR_INTS, "of x's dims that are pooled"),
    TG_SPEC(tg_adaptive_pool_attrs, to, TG_ATTR_INTS, "of the result's"),
    {0},
};
static const tg_operator row_adaptive_max_pool = {
    TG_ROW("adaptive_max_pool", "max_pool with windows that cut x into `to` parts"),
    TG_ATTRS(tg_adaptive_pool_attrs, adaptive_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_OUT(1),
    .n_in = 1,
    .n_out = 2,
    .nondiff_out = TG_OP_OUT(1) >> 16,
    .infer = infer_adaptive_max_pool,
    .vjp = adaptive_max_pool_vjp,
    .samples = TG_PROOF(adaptive),
};

const tg_operator *const tg_ops_adaptive_pool[] = {&row_adaptive_max_pool, NULL};

/* -- functions ------------------------------------------------------------------------------------------ */

/* The result's sizes: TG_NONE_INT keeps x's. */
static bool take_sizes(tg_tape *tape, const char *what, const int64_t *to, const tg_ints *size, tg_ints *out)
{
    out->n = size->n;
    for (int64_t k = 0; k < size->n; k++) {
        out->v[k] = to[k] == TG_NONE_INT ? size->v[k] : to[k];
        if (out->v[k] >= 0 && size->v[k] > 0)
            continue;
        tg_fail(tape, out->v[k] < 0 ? TG_EINVAL : TG_ESHAPE,
                "%s: dim %lld of those that are pooled has size %lld, to become %lld", what, (long long)k,
                (long long)size->v[k], (long long)out->v[k]);
        return false;
    }
    return true;
}

tg_tensor *tg_adaptive_max_pool(tg_tape *tape, tg_tensor *x, size_t n, const int64_t *size,
                                tg_tensor **indices)
{
    tg_adaptive_pool_attrs a = {0};
    bool single = false;
    tg_tensor *out[2] = {NULL};
    if (indices)
        *indices = NULL;
    x = tg_pool_with_batch(tape, x, "adaptive_max_pool", n, size, &a.size, &single);
    if (!x || !take_sizes(tape, "adaptive_max_pool", size, &a.size, &a.to) ||
        tg_apply(tape, &row_adaptive_max_pool, &x, 1, &a, NULL, out))
        return NULL;
    if (indices)
        *indices = tg_pool_without_batch(tape, out[1], single);
    return tg_pool_without_batch(tape, out[0], single);
}

/* Where the windows of one dim begin, [N, C, size]. */
static tg_tensor *begins(tg_tape *tape, tg_tensor *samples, int64_t which, int64_t room, int64_t size)
{
    const double step = size > 1 ? (double)room / (double)(size - 1) : 0;
    tg_tensor *u = tg_narrow(tape, samples, 2, which, 1);
    tg_tensor *o = u ? tg_arange(tape, tg_tensor_dtype(u), 0, (double)(size - 1), 1) : NULL;
    tg_tensor *at = tg_to(tape, tg_mul_scalar(tape, tg_add(tape, u, o), step), TG_I64);
    tg_tensor *first = tg_to(tape, tg_mul_scalar(tape, u, step), TG_I64);
    tg_tensor *last = first ? tg_full_like(tape, first, TG_I64, (double)room) : NULL;
    return tg_cat_n(tape, (tg_tensor *[]){tg_sub(tape, at, first), last}, 2, 2);
}

/* Each window's places in its plane are looked up, and the largest taken. */
tg_tensor *tg_fractional_max_pool(tg_tape *tape, tg_tensor *x, size_t n, const int64_t *kernel, const int64_t *size,
                                  tg_tensor *samples, tg_tensor **indices)
{
    TG_COMPOSES(tape, "fractional_max_pool");
    tg_ints in = {0};
    bool single = false;
    if (indices)
        *indices = NULL;
    x = tg_pool_with_batch(tape, x, "fractional_max_pool", n, kernel && size ? kernel : NULL, &in, &single);
    const tg_desc *s = x ? tg_argument(tape, samples, "fractional_max_pool", "samples") : NULL;
    if (!s)
        return NULL;
    int64_t dims[5] = {tg_tensor_dim(x, 0), tg_tensor_dim(x, 1)}, area = 1, plane = 1, windows = 1;
    bool fits = s->ndim == 3 && s->dim[0] == dims[0] && s->dim[1] == dims[1] && s->dim[2] == in.n;
    for (int64_t k = 0; k < in.n; k++) {
        fits = fits && size[k] > 0 && kernel[k] > 0 && kernel[k] <= in.v[k] && size[k] <= in.v[k] - kernel[k] + 1;
        area *= fits ? kernel[k] : 0;
        windows *= fits ? dims[2 + k] = size[k] : 0;
        plane *= in.v[k];
    }
    if (!fits || s->dtype != (int32_t)tg_tensor_dtype(x)) {
        char text[112];
        tg_fail(tape, TG_ESHAPE, "fractional_max_pool: the windows do not fit, or samples is %s, expected %s [N, C, %lld]",
                tg_desc_format(s, text, sizeof text), tg_dtype_name((int32_t)tg_tensor_dtype(x)), (long long)in.n);
        return NULL;
    }
    tg_tensor *places = NULL;
    for (int64_t k = 0; k < in.n; k++) {
        int64_t shape[] = {dims[0], dims[1], 1, 1, 1, 1, 1, 1}, across[] = {1, 1, 1, 1, 1, 1, 1, 1};
        shape[2 + k] = size[k];
        across[5 + k] = kernel[k];
        tg_tensor *begin = begins(tape, samples, in.n == 2 ? 1 - k : k, in.v[k] - kernel[k], size[k]);
        tg_tensor *step = tg_reshape_dims(tape, tg_arange(tape, TG_I64, 0, (double)kernel[k], 1), across, 8);
        begin = tg_add(tape, tg_reshape_dims(tape, begin, shape, 8), step);
        places = k ? tg_add(tape, tg_mul_scalar(tape, places, (double)in.v[k]), begin) : begin;
    }
    const int64_t flat[] = {dims[0], dims[1], plane}, all[] = {dims[0], dims[1], windows * area},
                  wide[] = {dims[0], dims[1], windows, area};
    tg_tensor *at = NULL, *index = tg_reshape_dims(tape, places, all, 3);
    x = tg_gather(tape, tg_reshape_dims(tape, x, flat, 3), 2, index);
    x = tg_max_dim(tape, tg_reshape_dims(tape, x, wide, 4), 3, false, &at);
    x = tg_reshape_dims(tape, x, dims, (size_t)in.n + 2);
    if (indices && x) {
        index = tg_gather(tape, tg_reshape_dims(tape, index, wide, 4), 3, tg_unsqueeze(tape, at, 3));
        *indices = tg_pool_without_batch(tape, tg_reshape_dims(tape, index, dims, (size_t)in.n + 2), single);
    }
    return tg_pool_without_batch(tape, x, single);
}

/* What is averaged in parts is resampled by area, dim after dim. */
tg_tensor *tg_adaptive_avg_pool(tg_tape *tape, tg_tensor *x, size_t n, const int64_t *size)
{
    const int64_t last[] = {2, 3, 4};
    tg_ints from = {0}, to = {0};
    bool single = false, one = true;
    x = tg_pool_with_batch(tape, x, "adaptive_avg_pool", n, size, &from, &single);
    if (!x || !take_sizes(tape, "adaptive_avg_pool", size, &from, &to))
        return NULL;
    if (!tg_dtype_is_float(tg_tensor_dtype(x))) {
        tg_fail(tape, TG_EDTYPE, "adaptive_avg_pool: x is %s, expected f32 or f64",
                tg_dtype_name(tg_tensor_dtype(x)));
        return NULL;
    }
    tg_ints dims = {to.n + 2, {tg_tensor_dim(x, 0), tg_tensor_dim(x, 1)}};
    bool none = false;
    for (int64_t k = 0; k < to.n; k++) {
        dims.v[2 + k] = to.v[k];
        one = one && to.v[k] == 1;
        none = none || to.v[k] == 0;
    }
    if (none)
        x = tg_reshape_dims(tape, tg_slice(tape, x, 2, 0, 0, 1), dims.v, (size_t)dims.n);
    else
        x = one ? tg_mean_dims(tape, x, last, n, true)
                : tg_interpolate(tape, x, to.v, n, TG_AREA, false, false);
    return tg_pool_without_batch(tape, x, single);
}
