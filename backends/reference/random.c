/* Random rows: each value is a function of (seed, draw, element) alone. op_attrs.h has the mapping. */
#include "backends/reference/reference.h"
#include "backends/reference/lanes.h"
#include "backends/reference/philox.h"

#include <stdbool.h>

static int64_t elements(const tg_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    return n;
}

static bool is_dense(const tg_desc *d)
{
    int64_t step = 1;
    for (int i = d->ndim - 1; i >= 0; i--) {
        if (d->dim[i] != 1 && d->stride[i] != step)
            return false;
        step *= d->dim[i];
    }
    return true;
}

/* Where the row-major k-th element lies. */
static int64_t place(const tg_desc *d, int64_t k)
{
    int64_t at = 0;
    for (int i = d->ndim - 1; i >= 0; i--) {
        at += k % d->dim[i] * d->stride[i];
        k /= d->dim[i];
    }
    return at;
}

#define T float
#define NAME(x) x##_f32
#define PER 1
#define UNIFORM(words, i) ((float)((words)[i] >> 8) * 0x1p-24f)
#define SQRT sqrtf
#define LOG logf
#define COS cosf
#define SIN sinf
#define NEXTAFTER nextafterf
#include "backends/reference/random_typed.h"
#undef T
#undef NAME
#undef PER
#undef UNIFORM
#undef SQRT
#undef LOG
#undef COS
#undef SIN
#undef NEXTAFTER
#define T double
#define NAME(x) x##_f64
#define PER 2
#define UNIFORM(words, i)                                                                                    \
    ((double)(((uint64_t)(words)[2 * (i)] | (uint64_t)(words)[2 * (i) + 1] << 32) >> 11) * 0x1p-53)
#define SQRT sqrt
#define LOG log
#define COS cos
#define SIN sin
#define NEXTAFTER nextafter
#include "backends/reference/random_typed.h"
#undef T
#undef NAME
#undef PER
#undef UNIFORM

static tg_status run_dropout(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_dropout_attrs *a = c->attrs;
    int64_t n = elements(c->in[0]);
    int threads = n < REF_SERIAL ? 1 : r->threads;
    if (n == 0)
        return TG_OK;
    if (c->in[0]->dtype == TG_F32)
        dropout_f32(r, a->p, n, threads);
    else
        dropout_f64(r, a->p, n, threads);
    return TG_OK;
}

/* a + b·u below `end`, or a + b·z. */
static tg_status fill(const tg_desc *d, void *dst, const tg_run *r, bool normal, double a, double b,
                      double end)
{
    int64_t n = elements(d);
    int threads = n < REF_SERIAL ? 1 : r->threads;
    if (d->dtype == TG_F32)
        random_f32(d, dst, r->seed, r->draw, normal, a, b, end, n, threads);
    else
        random_f64(d, dst, r->seed, r->draw, normal, a, b, end, n, threads);
    return TG_OK;
}

static tg_status run_rand_like(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return fill(&c->out[0], r->out[0], r, false, 0.0, 1.0, 1.0);
}

static tg_status run_randn_like(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return fill(&c->out[0], r->out[0], r, true, 0.0, 1.0, 0.0);
}

static tg_status run_uniform(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    double low = r->scalars[0], high = r->scalars[1];
    return fill(c->in[0], (void *)(uintptr_t)r->in[0], r, false, low, high - low, high);
}

static tg_status run_normal(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return fill(c->in[0], (void *)(uintptr_t)r->in[0], r, true, r->scalars[0], r->scalars[1], 0.0);
}

const tg_kernel tg_ref_random[] = {
    TG_REF_KERNEL("dropout", run_dropout),       TG_REF_KERNEL("rand_like", run_rand_like),
    TG_REF_KERNEL("randn_like", run_randn_like), TG_REF_KERNEL("uniform_", run_uniform),
    TG_REF_KERNEL("normal_", run_normal),        {0},
};
