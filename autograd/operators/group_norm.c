/* Group norm and RMS norm, and with them instance norm. As in norm.c, a gradient that is itself recorded is
 * an expression of x, because the statistics are functions of x, too. */
#include "autograd/operators/checks.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status need_eps(const tg_infer *q, double eps)
{
    if (eps >= 0.0 && isfinite(eps))
        return TG_OK;
    return tg_infer_fail(q, TG_EINVAL, "eps is %g, expected a finite number, 0 or more", eps);
}

static tg_status need_groups(const tg_infer *q, size_t x, int64_t groups)
{
    const tg_desc *d = q->in[x];
    tg_status status = check_float(q, x, "x");
    if (!status && d->ndim < 2)
        status = tg_infer_fail(q, TG_ESHAPE, "x has %d dims, expected [N, C] or [N, C, *]", (int)d->ndim);
    if (!status && groups < 1)
        status = tg_infer_fail(q, TG_EINVAL, "groups is %lld, expected at least 1", (long long)groups);
    if (!status && d->dim[1] % groups)
        status = tg_infer_fail(q, TG_ESHAPE, "x has %lld channels, expected a multiple of the %lld groups",
                               (long long)d->dim[1], (long long)groups);
    return status;
}

static tg_status need_trailing(const tg_infer *q, size_t x, int64_t n)
{
    tg_status status = check_float(q, x, "x");
    if (!status && (n < 1 || n > q->in[x]->ndim))
        status = tg_infer_fail(q, TG_ESHAPE, "%lld trailing dims of x are to be normalised, expected 1 … %d",
                               (long long)n, (int)q->in[x]->ndim);
    return status;
}

/* What is wanted has its shape, what is not has no elements. */
static tg_status make_parts(const tg_infer *q, int64_t want, const int64_t *dims, int64_t ndim)
{
    const tg_desc *x = q->in[1];
    const int64_t none = 0, all = q->op->n_out > 2 ? 7 : 3;
    if (want < 0 || want > all)
        return tg_infer_fail(q, TG_EINVAL, "want is %lld, expected 0 … %lld", (long long)want,
                             (long long)all);
    tg_status status =
        want & TG_WANT_SRC ? infer_out_like(x, q->out) : tg_desc_make(q->out, (tg_dtype)x->dtype, &none, 1);
    for (int o = 1; o < q->op->n_out && !status; o++) {
        const bool wanted = want & (o == 1 ? TG_WANT_WEIGHT : TG_WANT_BIAS);
        status =
            tg_desc_make(&q->out[o], (tg_dtype)x->dtype, wanted ? dims : &none, wanted ? (size_t)ndim : 1);
    }
    return status;
}

static tg_status infer_group_norm(const tg_infer *q)
{
    const tg_group_norm_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    tg_status status = need_groups(q, 0, a->groups);
    if (!status)
        status = check_shape(q, 1, "weight", x->dtype, &x->dim[1], 1);
    if (!status)
        status = check_shape(q, 2, "bias", x->dtype, &x->dim[1], 1);
    if (!status)
        status = need_eps(q, a->eps);
    if (!status)
        status = infer_out_like(x, q->out);
    for (int o = 1; o < 3 && !status; o++)
        status = tg_desc_make(&q->out[o], (tg_dtype)x->dtype, (const int64_t[]){x->dim[0], a->groups}, 2);
    return status;
}

static tg_status infer_group_norm_backward(const tg_infer *q)
{
    const tg_group_norm_backward_attrs *a = q->attrs;
    const tg_desc *x = q->in[1];
    tg_status status = need_groups(q, 1, a->groups);
    if (!status)
        status = check_like(q, 0, "gy", 1);
    if (!status)
        status = check_shape(q, 2, "weight", x->dtype, &x->dim[1], 1);
    if (status)
        return status;
    const int64_t dims[] = {x->dim[0], a->groups};
    status = check_shape(q, 3, "mean", x->dtype, dims, 2);
    if (!status)
        status = check_shape(q, 4, "rstd", x->dtype, dims, 2);
    return status ? status : make_parts(q, a->want, &x->dim[1], 1);
}

/* x's dims with ones for the last n. */
static void leading(const tg_desc *x, int64_t n, int64_t *dims)
{
    for (int i = 0; i < x->ndim; i++)
        dims[i] = i < x->ndim - n ? x->dim[i] : 1;
}

static tg_status infer_rms_norm(const tg_infer *q)
{
    const tg_layer_norm_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    const int64_t n = a->normalized_ndim;
    int64_t dims[TG_MAX_DIM];
    tg_status status = need_trailing(q, 0, n);
    if (!status)
        status = check_shape(q, 1, "weight", x->dtype, &x->dim[x->ndim - n], (int32_t)n);
    if (!status)
        status = need_eps(q, a->eps);
    if (!status)
        status = infer_out_like(x, q->out);
    if (status)
        return status;
    leading(x, n, dims);
    return tg_desc_make(&q->out[1], (tg_dtype)x->dtype, dims, (size_t)x->ndim);
}

static tg_status infer_rms_norm_backward(const tg_infer *q)
{
    const tg_layer_norm_backward_attrs *a = q->attrs;
    const tg_desc *x = q->in[1];
    const int64_t n = a->normalized_ndim;
    int64_t dims[TG_MAX_DIM];
    tg_status status = need_trailing(q, 1, n);
    if (!status)
        status = check_like(q, 0, "gy", 1);
    if (!status)
        status = check_shape(q, 2, "weight", x->dtype, &x->dim[x->ndim - n], (int32_t)n);
    if (status)
        return status;
    leading(x, n, dims);
    status = check_shape(q, 3, "rstd", x->dtype, dims, x->ndim);
    return status ? status : make_parts(q, a->want, &x->dim[x->ndim - n], n);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_group_norm, row_group_norm_backward, row_rms_norm, row_rms_norm_backward;

static int64_t wanted(const tg_node *node)
{
    return (tg_node_needs(node, 0) ? TG_WANT_SRC : 0) | (tg_node_needs(node, 1) ? TG_WANT_WEIGHT : 0) |
           (tg_node_n_in(node) > 2 && tg_node_needs(node, 2) ? TG_WANT_BIAS : 0);
}

static tg_status fused(tg_tape *tape, const tg_node *node, const tg_operator *op, const void *attrs,
                       tg_tensor *const in[], tg_tensor *gx[])
{
    tg_tensor *out[3] = {NULL};
    tg_status status = tg_apply(tape, op, in, op->n_in, attrs, NULL, out);
    for (size_t i = 0; i < op->n_out && !status; i++)
        if (tg_node_needs(node, i))
            gx[i] = out[i];
    return status;
}

/* From x̂ and g = gy·weight, all with the same dims: rstd·(g − mean(g) − x̂·mean(g·x̂)) over the dims
 * `over`. */
static tg_tensor *slope(tg_tape *tape, tg_tensor *g, tg_tensor *xhat, tg_tensor *rstd, const tg_ints *over,
                        bool centred)
{
    const size_t n = (size_t)over->n;
    tg_tensor *mean_gx = tg_mean_dims(tape, tg_mul(tape, g, xhat), over->v, n, true);
    tg_tensor *inner = tg_sub(tape, g, tg_mul(tape, xhat, mean_gx));
    if (centred)
        inner = tg_sub(tape, inner, tg_mean_dims(tape, g, over->v, n, true));
    return tg_mul(tape, rstd, inner);
}

TG_RULE(group_norm)
{
    const tg_group_norm_attrs *attrs = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0), *weight = tg_node_input(node, 1);
    const tg_group_norm_backward_attrs a = {.groups = attrs->groups, .want = wanted(node)};
    tg_tensor *const in[] = {gy[0], x, weight, tg_node_output(node, 1), tg_node_output(node, 2)};
    if (!tg_tape_recording(tape))
        return fused(tape, node, &row_group_norm_backward, &a, in, gx);
    tg_desc d;
    tg_status status = tg_tensor_desc(x, &d);
    if (status)
        return status;
    /* [N, groups, channels of a group, inner] */
    int64_t inner = 1;
    for (int i = 2; i < d.ndim; i++)
        inner *= d.dim[i];
    const int64_t dims[] = {d.dim[0], a.groups, d.dim[1] / a.groups, inner}, batch_inner[] = {0, 3};
    const tg_ints over = {2, {2, 3}};
    tg_tensor *xs = tg_reshape_dims(tape, x, dims, 4), *g = tg_reshape_dims(tape, gy[0], dims, 4);
    tg_tensor *centred = tg_sub(tape, xs, tg_mean_dims(tape, xs, over.v, 2, true));
    tg_tensor *var = tg_mean_dims(tape, tg_square(tape, centred), over.v, 2, true);
    tg_tensor *rstd = tg_rsqrt(tape, tg_add_scalar(tape, var, attrs->eps));
    tg_tensor *xhat = tg_mul(tape, centred, rstd);
    if (tg_node_needs(node, 1))
        gx[1] = tg_reshape_dims(tape, tg_sum_dims(tape, tg_mul(tape, g, xhat), batch_inner, 2, false),
                                &d.dim[1], 1);
    if (tg_node_needs(node, 2))
        gx[2] = tg_reshape_dims(tape, tg_sum_dims(tape, g, batch_inner, 2, false), &d.dim[1], 1);
    if (tg_node_needs(node, 0)) {
        const int64_t beside[] = {1, dims[1], dims[2], 1};
        if (weight)
            g = tg_mul(tape, g, tg_reshape_dims(tape, weight, beside, 4));
        gx[0] = tg_reshape_dims(tape, slope(tape, g, xhat, rstd, &over, true), d.dim, (size_t)d.ndim);
    }
    return tg_tape_status(tape);
}

TG_RULE(rms_norm)
{
    const tg_layer_norm_attrs *attrs = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0), *weight = tg_node_input(node, 1), *g = gy[0];
    const tg_layer_norm_backward_attrs a = {.normalized_ndim = attrs->normalized_ndim, .want = wanted(node)};
    tg_tensor *const in[] = {g, x, weight, tg_node_output(node, 1)};
    if (!tg_tape_recording(tape))
        return fused(tape, node, &row_rms_norm_backward, &a, in, gx);
    tg_desc d;
    tg_status status = tg_tensor_desc(x, &d);
    if (status)
        return status;
    tg_ints over = {0}, before = {0};
    for (int i = 0; i < d.ndim; i++) {
        tg_ints *list = i < d.ndim - a.normalized_ndim ? &before : &over;
        list->v[list->n++] = i;
    }
    tg_tensor *square = tg_mean_dims(tape, tg_square(tape, x), over.v, (size_t)over.n, true);
    tg_tensor *rstd = tg_rsqrt(tape, tg_add_scalar(tape, square, attrs->eps));
    tg_tensor *xhat = tg_mul(tape, x, rstd);
    if (tg_node_needs(node, 1)) {
        gx[1] = tg_mul(tape, g, xhat);
        if (before.n)
            gx[1] = tg_sum_dims(tape, gx[1], before.v, (size_t)before.n, false);
    }
    if (tg_node_needs(node, 0))
        gx[0] = slope(tape, weight ? tg_mul(tape, g, weight) : g, xhat, rstd, &over, false);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

/* clang-format off */
#define GROUPS(n) &(const tg_group_norm_attrs){.groups = n, .eps = 1e-3}
TG_SAMPLES(samples_group_norm,
           {.label = "images", .attrs = GROUPS(2),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 4, 3, 2), DRAWN(0.5, 2, 4), DRAWN(-1, 1, 4))},
           {.label = "rows, strided", .attrs = GROUPS(1),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 3, 4), STRIDED(0.5, 2, 4), ABSENT)},
           {.label = "instances, past one vector", .attrs = GROUPS(2),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 2, 19), ABSENT, DRAWN(-1, 1, 2))},
           {.label = "empty batch", .attrs = GROUPS(2),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 0, 4), DRAWN(0.5, 2, 4), DRAWN(-1, 1, 4))})
#define GROUPS_BACK(n, set) &(const tg_group_norm_backward_attrs){.groups = n, .want = set}
TG_SAMPLES(samples_group_norm_backward,
           {.label = "all", .attrs = GROUPS_BACK(2, 7),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 4, 3), DRAWN(-2, 2, 2, 4, 3), DRAWN(0.5, 2, 4), DRAWN(-1, 1, 2, 2),
                   DRAWN(0.5, 2, 2, 2))},
           {.label = "source, rows, strided", .attrs = GROUPS_BACK(1, 1),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 3), STRIDED(-2, 2, 2, 3), ABSENT, DRAWN(-1, 1, 2, 1),
                   DRAWN(0.5, 2, 2, 1))})
#define LAST(n) &(const tg_layer_norm_attrs){.normalized_ndim = n, .eps = 1e-3}
TG_SAMPLES(samples_rms_norm,
           {.label = "rows", .attrs = LAST(1), .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 5), DRAWN(0.5, 2, 5))},
           {.label = "two dims, strided", .attrs = LAST(2),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 3, 2, 3), STRIDED(0.5, 2, 2, 3))},
           {.label = "all dims, plain", .attrs = LAST(1), .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 19), ABSENT)})
#define LAST_BACK(n, set) &(const tg_layer_norm_backward_attrs){.normalized_ndim = n, .want = set}
TG_SAMPLES(samples_rms_norm_backward,
           {.label = "all", .attrs = LAST_BACK(1, 3),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 5), DRAWN(-2, 2, 3, 5), DRAWN(0.5, 2, 5), DRAWN(0.5, 2, 3, 1))},
           {.label = "source", .attrs = LAST_BACK(2, 1),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 3, 7), DRAWN(-2, 2, 2, 3, 7), ABSENT, DRAWN(0.5, 2, 2, 1, 1))})
/* clang-format on */

#define SPEC(struct_, field_, kind_, doc_)                                                                   \
    {                                                                                                        \
        .name = #field_, .type = kind_, .offset = offsetof(struct_, field_), .doc = doc_                     \
    }
static const tg_attr_spec group_specs[] = {
    SPEC(tg_group_norm_attrs, groups, TG_ATTR_INT, "of channels"),
    SPEC(tg_group_norm_attrs, eps, TG_ATTR_REAL, "added to the variance"),
    {0},
};
static const tg_attr_spec group_back_specs[] = {
    SPEC(tg_group_norm_backward_attrs, groups, TG_ATTR_INT, "of channels"),
    SPEC(tg_group_norm_backward_attrs, want, TG_ATTR_INT, "TG_WANT_…"),
    {0},
};
static const tg_attr_spec rms_specs[] = {
    SPEC(tg_layer_norm_attrs, normalized_ndim, TG_ATTR_INT, "how many trailing dims"),
    SPEC(tg_layer_norm_attrs, eps, TG_ATTR_REAL, "added to the mean square"),
    {0},
};
static const tg_attr_spec rms_back_specs[] = {
    SPEC(tg_layer_norm_backward_attrs, normalized_ndim, TG_ATTR_INT, "how many trailing dims"),
    SPEC(tg_layer_norm_backward_attrs, want, TG_ATTR_INT, "TG_WANT_SRC, TG_WANT_WEIGHT"),
    {0},
};
static const tg_operator row_group_norm = {
    TG_ROW("group_norm",
           "y = (x − μ)/√(v + eps)·weight + bias over each sample's groups of channels (Wu, He 2018)"),
    TG_ATTRS(tg_group_norm_attrs, group_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_OUT(1) | TG_OP_OUT(2),
    .n_in = 3,
    .n_out = 3,
    .optional = TG_OP_IN(1) | TG_OP_IN(2),
    .nondiff_out = (TG_OP_OUT(1) | TG_OP_OUT(2)) >> 16,
    .kept_out = (TG_OP_OUT(1) | TG_OP_OUT(2)) >> 16,
    .infer = infer_group_norm,
    .vjp = group_norm_vjp,
    .samples = TG_PROOF(samples_group_norm),
};
static const tg_operator row_group_norm_backward = {
    TG_ROW("group_norm_backward", "rstd·(g − mean(g) − x̂·mean(g·x̂)) with g = gy·weight; Σgy·x̂; Σgy"),
    TG_ATTRS(tg_group_norm_backward_attrs, group_back_specs),
    .flags = TG_OP_DENSE | TG_OP_NONDIFF,
    .n_in = 5,
    .n_out = 3,
    .optional = TG_OP_IN(2),
    .infer = infer_group_norm_backward,
    .samples = TG_PROOF(samples_group_norm_backward),
};
static const tg_operator row_rms_norm = {
    TG_ROW("rms_norm", "y = x/√(mean(x²) + eps)·weight over the last dims (Zhang, Sennrich 2019)"),
    TG_ATTRS(tg_layer_norm_attrs, rms_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_OUT(1),
    .n_in = 2,
    .n_out = 2,
    .optional = TG_OP_IN(1),
    .nondiff_out = TG_OP_OUT(1) >> 16,
    .kept_out = TG_OP_OUT(1) >> 16,
    .infer = infer_rms_norm,
    .vjp = rms_norm_vjp,
    .samples = TG_PROOF(samples_rms_norm),
};
static const tg_operator row_rms_norm_backward = {
    TG_ROW("rms_norm_backward", "rstd·(g − x̂·mean(g·x̂)) with g = gy·weight; Σgy·x̂"),
    TG_ATTRS(tg_layer_norm_backward_attrs, rms_back_specs),
    .flags = TG_OP_DENSE | TG_OP_NONDIFF,
    .n_in = 4,
    .n_out = 2,
    .optional = TG_OP_IN(2),
    .infer = infer_rms_norm_backward,
    .samples = TG_PROOF(samples_rms_norm_backward),
};

const tg_operator *const tg_ops_group_norm[] = {
    &row_group_norm, &row_group_norm_backward, &row_rms_norm, &row_rms_norm_backward, NULL,
};

/* -- wrappers ------------------------------------------------------------------------------------------- */

tg_tensor *tg_group_norm(tg_tape *tape, tg_tensor *x, int64_t groups, tg_tensor *weight, tg_tensor *bias,
                         double eps)
{
    tg_tensor *const in[] = {x, weight, bias};
    return apply_first(tape, &row_group_norm, in, 3, &(tg_group_norm_attrs){.groups = groups, .eps = eps});
}

tg_tensor *tg_instance_norm(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias, double eps)
{
    const tg_desc *d = tg_argument(tape, x, "instance_norm", "x");
    if (!d)
        return NULL;
    int64_t values = 1;
    for (int i = 2; i < d->ndim; i++)
        values *= d->dim[i];
    if (d->ndim < 3 || values == 1) {
        char text[112];
        tg_fail(tape, TG_ESHAPE,
                "instance_norm: x is %s, expected [N, C, *] with more than one value a channel",
                tg_desc_format(d, text, sizeof text));
        return NULL;
    }
    return tg_group_norm(tape, x, d->dim[1] ? d->dim[1] : 1, weight, bias, eps);
}

tg_tensor *tg_rms_norm(tg_tape *tape, tg_tensor *x, size_t normalized_ndim, tg_tensor *weight, double eps)
{
    tg_tensor *const in[] = {x, weight};
    const tg_layer_norm_attrs a = {.normalized_ndim = (int64_t)normalized_ndim, .eps = eps};
    return apply_first(tape, &row_rms_norm, in, 2, &a);
}

/* As torch has it, an even size's window reaches one channel further down than up. */
tg_tensor *tg_local_response_norm(tg_tape *tape, tg_tensor *x, int64_t size, double alpha, double beta,
                                  double k)
{
    const tg_desc *d = tg_argument(tape, x, "local_response_norm", "x");
    if (!d)
        return NULL;
    if (d->ndim < 3 || size < 1 || size > INT32_MAX) {
        char text[112];
        tg_fail(tape, d->ndim < 3 ? TG_ESHAPE : TG_EINVAL, "local_response_norm: %s, got %s and size %lld",
                d->ndim < 3 ? "x must be [N, C, *] with 3 dims or more" : "size must be positive",
                tg_desc_format(d, text, sizeof text), (long long)size);
        return NULL;
    }
    if (!tg_desc_count(d))
        return x;
    int64_t inner = 1;
    for (int i = 2; i < d->ndim; i++)
        inner *= d->dim[i];
    const int64_t planes[] = {d->dim[0], 1, d->dim[1], inner};
    tg_tensor *square = tg_reshape_dims(tape, tg_square(tape, x), planes, 4);
    const tg_pool_options window = {.kernel = {size, 1}, .stride = {1, 1}, .padding = {size / 2, 0}};
    tg_tensor *mean = tg_avg_pool(tape, square, 2, &window);
    mean = tg_reshape_dims(tape, tg_slice(tape, mean, 2, 0, planes[2], 1), d->dim, (size_t)d->ndim);
    tg_tensor *scale = tg_add_scalar(tape, tg_mul_scalar(tape, mean, alpha), k);
    return tg_div(tape, x, tg_pow_scalar(tape, scale, beta));
}
