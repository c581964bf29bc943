/* Group norm, and with it instance norm; local response norm. */
#include "autograd/operators/norms.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status need_groups(const tg_infer *q, size_t x, int64_t groups)
{
    const tg_desc *d = q->in[x];
    tg_status status = tg_norm_check_channels(q, x);
    if (!status && groups < 1)
        status = tg_infer_fail(q, TG_EINVAL, "groups is %lld, expected at least 1", (long long)groups);
    if (!status && d->dim[1] % groups)
        status = tg_infer_fail(q, TG_ESHAPE, "x has %lld channels, expected a multiple of the %lld groups",
                               (long long)d->dim[1], (long long)groups);
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
        status = tg_norm_check_eps(q, a->eps);
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
    return status ? status : tg_norm_make_gradients(q, a->want, &x->dim[1], 1);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_group_norm_backward;

TG_RULE(group_norm)
{
    const tg_group_norm_attrs *attrs = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0), *weight = tg_node_input(node, 1);
    const tg_group_norm_backward_attrs a = {.groups = attrs->groups, .want = tg_norm_wanted(node, 1)};
    tg_tensor *const in[] = {gy[0], x, weight, tg_node_output(node, 1), tg_node_output(node, 2)};
    if (!tg_tape_recording(tape))
        return tg_norm_fused(tape, node, 1, &row_group_norm_backward, &a, in, gx);
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
        gx[0] = tg_reshape_dims(tape, tg_norm_slope(tape, g, xhat, rstd, &over, true), d.dim, (size_t)d.ndim);
    }
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
/* clang-format on */

static const tg_attr_spec group_specs[] = {
    TG_SPEC(tg_group_norm_attrs, groups, TG_ATTR_INT, "of channels"),
    TG_SPEC(tg_group_norm_attrs, eps, TG_ATTR_REAL, "added to the variance"),
    {0},
};
static const tg_attr_spec group_back_specs[] = {
    TG_SPEC(tg_group_norm_backward_attrs, groups, TG_ATTR_INT, "of channels"),
    TG_SPEC(tg_group_norm_backward_attrs, want, TG_ATTR_INT, "TG_WANT_…"),
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
const tg_operator *const tg_ops_group_norm[] = {
    &row_group_norm, &row_group_norm_backward, NULL,
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
