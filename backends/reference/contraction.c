/* The cross product. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"

enum { PARALLEL = 32768 };

typedef struct crossing {
    tg_desc a, b, y; /* without the dim of size 3 */
    int64_t sa, sb, sy;
    const void *src_a, *src_b;
    void *dst;
} crossing;

static tg_desc without(const tg_desc *d, int64_t dim)
{
    tg_desc out = *d;
    out.ndim = 0;
    for (int i = 0; i < d->ndim; i++)
        if (i != dim) {
            out.dim[out.ndim] = d->dim[i];
            out.stride[out.ndim++] = d->stride[i];
        }
    return out;
}

#define CROSS(suffix, TYPE)                                                                                  \
    static void cross_##suffix(const void *arg, int64_t i)                                                   \
    {                                                                                                        \
        const crossing *t = arg;                                                                             \
        const TYPE *a = (const TYPE *)t->src_a + ref_place(&t->a, i);                                        \
        const TYPE *b = (const TYPE *)t->src_b + ref_place(&t->b, i);                                        \
        TYPE *y = (TYPE *)t->dst + ref_place(&t->y, i);                                                      \
        for (int k = 0; k < 3; k++) {                                                                        \
            const int l = (k + 1) % 3, m = (k + 2) % 3;                                                      \
            y[k * t->sy] = a[l * t->sa] * b[m * t->sb] - a[m * t->sa] * b[l * t->sb];                        \
        }                                                                                                    \
    }
CROSS(f32, float)
CROSS(f64, double)
CROSS(i64, uint64_t)

static tg_status run_cross(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_cross_attrs *x = c->attrs;
    const tg_desc *a = c->in[0], *b = c->in[1], *y = &c->out[0];
    const crossing t = {without(a, x->dim), without(b, x->dim), without(y, x->dim),
                        a->stride[x->dim],  b->stride[x->dim],  y->stride[x->dim],
                        r->in[0],           r->in[1],           r->out[0]};
    const int64_t n = ref_count(&t.y);
    tg_ref_each(n > PARALLEL ? r->threads : 1, n,
                y->dtype == TG_F64   ? cross_f64
                : y->dtype == TG_F32 ? cross_f32
                                     : cross_i64,
                &t);
    return TG_OK;
}

const tg_ref_kernel tg_ref_contraction[] = {
    TG_REF_KERNEL("cross", run_cross),
    {0},
};
