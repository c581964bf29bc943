#include "autograd/operators/norms.h"

tg_status tg_norm_check_eps(const tg_infer *q, double eps)
{
    if (eps >= 0.0 && isfinite(eps))
        return TG_OK;
    return tg_infer_fail(q, TG_EINVAL, "eps is %g, expected a finite number, 0 or more", eps);
}

tg_status tg_norm_check_channels(const tg_infer *q, size_t x)
{
    tg_status status = check_float(q, x, "x");
    if (!status && q->in[x]->ndim < 2)
        status = tg_infer_fail(q, TG_ESHAPE, "x has %d dims, expected [N, C] or [N, C, *]", (int)q->in[x]->ndim);
    return status;
}

tg_status tg_norm_make_gradients(const tg_infer *q, int64_t want, const int64_t *dims, int64_t ndim)
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

int64_t tg_norm_wanted(const tg_node *node, size_t weight)
{
    const size_t bias = weight + 1;
    return (tg_node_needs(node, 0) ? TG_WANT_SRC : 0) | (tg_node_needs(node, weight) ? TG_WANT_WEIGHT : 0) |
           (bias < tg_node_n_in(node) && tg_node_needs(node, bias) ? TG_WANT_BIAS : 0);
}

tg_status tg_norm_fused(tg_tape *tape, const tg_node *node, size_t weight, const tg_operator *op, const void *attrs,
                        tg_tensor *const in[], tg_tensor *gx[])
{
    tg_tensor *out[3] = {NULL};
    tg_status status = tg_apply(tape, op, in, op->n_in, attrs, NULL, out);
    for (size_t o = 0; o < op->n_out && !status; o++) {
        const size_t i = o ? weight + o - 1 : 0;
        if (tg_node_needs(node, i))
            gx[i] = out[o];
    }
    return status;
}

/* No dims to a reduction would mean all of them. */
static tg_tensor *sum_for_parameter(tg_tape *tape, const tg_norm *m, tg_tensor *x)
{
    return m->param.n ? tg_sum_dims(tape, x, m->param.v, (size_t)m->param.n, false) : x;
}

void tg_norm_of_parameters(tg_tape *tape, const tg_node *node, const tg_norm *m, tg_tensor *gy, tg_tensor *xhat,
                           tg_tensor *gx[])
{
    const int64_t want = tg_norm_wanted(node, m->weight);
    if (want & TG_WANT_WEIGHT)
        gx[m->weight] = sum_for_parameter(tape, m, tg_mul(tape, gy, xhat));
    if (want & TG_WANT_BIAS)
        gx[m->weight + 1] = sum_for_parameter(tape, m, gy);
}

tg_tensor *tg_norm_slope(tg_tape *tape, tg_tensor *g, tg_tensor *xhat, tg_tensor *invstd, const tg_ints *over, bool centred)
{
    const size_t n = (size_t)over->n;
    tg_tensor *inner = centred ? tg_sub(tape, g, tg_mean_dims(tape, g, over->v, n, true)) : g;
    tg_tensor *mean_gx = tg_mean_dims(tape, tg_mul(tape, g, xhat), over->v, n, true);
    return tg_mul(tape, invstd, tg_sub(tape, inner, tg_mul(tape, xhat, mean_gx)));
}

tg_status tg_norm_composed(tg_tape *tape, const tg_node *node, const tg_norm *m, double eps, tg_tensor *gy, tg_tensor *gx[])
{
    const size_t n = (size_t)m->stat.n;
    tg_tensor *x = m->centred ? tg_sub(tape, m->x, tg_mean_dims(tape, m->x, m->stat.v, n, true)) : m->x;
    tg_tensor *var = tg_mean_dims(tape, tg_square(tape, x), m->stat.v, n, true);
    tg_tensor *invstd = tg_rsqrt(tape, tg_add_scalar(tape, var, eps));
    tg_tensor *xhat = tg_mul(tape, x, invstd);
    tg_norm_of_parameters(tape, node, m, gy, xhat, gx);
    if (tg_node_needs(node, 0)) {
        tg_tensor *g = m->w ? tg_mul(tape, gy, tg_reshape_dims(tape, m->w, m->view, m->ndim)) : gy;
        gx[0] = tg_norm_slope(tape, g, xhat, invstd, &m->stat, m->centred);
    }
    return tg_tape_status(tape);
}
