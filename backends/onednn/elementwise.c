/* The one elementwise operator at which oneDNN is faster than the reference and means the same. Microseconds, one
 * thread, Sapphire Rapids, oneDNN 2.6.3, `bench_onednn 1`: the reference, oneDNN, for elements
 *                              64 Ki          1 Mi           8 Mi
 *     gelu_backward           70    45     1141   733     10769  8803
 *     gelu_backward (tanh)    52    38      863   644      8926  8133
 * What it is not asked for, and why: docs/backends.md. */
#include "backends/onednn/onednn.h"

enum { FROM = 16384 };

static int64_t count(const tg_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    return n;
}

tg_accept tg_dnnl_accept_gelu_backward(const tg_call *c, const char **reason)
{
    if (count(c->out) >= FROM)
        return TG_ACCEPT;
    *reason = "few elements: the reference is faster";
    return TG_DECLINE;
}

void tg_dnnl_build_gelu_backward(tg_dnnl_maker *m)
{
    const tg_gelu_attrs *a = m->c->attrs;
    const dnnl_alg_kind_t algorithm = a->tanh_approximation ? dnnl_eltwise_gelu_tanh : dnnl_eltwise_gelu_erf;
    m->q->n = count(m->c->out);
    const tg_dnnl_md md = tg_dnnl_dense(m, 1, &m->q->n);
    TG_DNNL_DESCRIBE(m, hint, dnnl_eltwise_forward_primitive_desc_create, m->s->engine, dnnl_forward_training,
                     algorithm, md, md, 0.0f, 0.0f, m->attr);
    TG_DNNL_DESCRIBE(m, pd, dnnl_eltwise_backward_primitive_desc_create, m->s->engine, algorithm, md, md, md, 0.0f,
                     0.0f, hint, m->attr);
    tg_dnnl_step *step = tg_dnnl_add(m, pd);
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_DST, tg_dnnl_in(md, 0));
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, tg_dnnl_in(md, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SRC, tg_dnnl_out(md, 0));
}
