#include "backends/reference/reference.h"

static tg_status run_pad(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_pad_attrs *a = c->attrs;
    const tg_desc *x = c->in[0], *y = c->out;
    int64_t dim[TG_MAX_DIM], from = 0, to = 0;
    bool any = true;
    tg_ref_fill(y, r->out[0], r->scalars[0], r->threads);
    for (int d = 0; d < x->ndim; d++) {
        const int64_t before = a->before.v[d], after = a->after.v[d];
        from += before < 0 ? -before * x->stride[d] : 0;
        to += before > 0 ? before * y->stride[d] : 0;
        dim[d] = x->dim[d] + (before < 0 ? before : 0) + (after < 0 ? after : 0);
        any = any && dim[d] > 0;
    }
    const int64_t size = x->dtype == TG_BOOL ? 1 : x->dtype == TG_F32 ? 4 : 8;
    if (any)
        tg_ref_copy_strided(x->ndim, dim, x->dtype, (char *)r->out[0] + to * size, y->stride,
                            (const char *)r->in[0] + from * size, x->stride, r->threads);
    return TG_OK;
}

const tg_ref_kernel tg_ref_pad[] = {
    TG_REF_KERNEL("constant_pad_nd", run_pad),
    {0},
};
