/* scaled_dot_product_attention and its gradient, by blocks of queries. */
#include "backends/attention_view.h"
#include "backends/reference/lanes.h"
#include "backends/reference/multiply.h"
#include "backends/reference/reference.h"

#include <omp.h>

/* Its time is that of its products and exponentials, which have clones of their own. */
#define CLONES
#define exps_f32 ref_exps_f32
#define exps_f64 ref_exps_f64

#define T float
#define NAME(x) x##_f32
#define WIDE false
#include "backends/reference/attention_typed.h"
#undef T
#undef NAME
#undef WIDE
#define T double
#define NAME(x) x##_f64
#define WIDE true
#include "backends/reference/attention_typed.h"
#undef T
#undef NAME
#undef WIDE

/* Of a thread's scratch, beside its scores. */
static const size_t products = TG_REF_PRODUCT_SCRATCH * sizeof(double);

static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    tg_attention_prepare(c, products, NULL, p);
    return TG_OK;
}

static tg_status run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_attention_view w = tg_attention_make(c);
    const int64_t jobs = tg_attention_jobs(&w);
    const size_t own = tg_attention_bytes(&w) + products;
    int threads = c->threads < r->threads ? c->threads : r->threads;
    threads = threads < jobs ? threads : (int)jobs;
    void (*one)(const tg_attention_view *, const tg_run *, int64_t, char *) =
        w.q.d->dtype == TG_F64 ? attention_f64 : attention_f32;
    if (threads <= 1 || jobs * w.block * w.k.rows < 4096) {
        for (int64_t i = 0; i < jobs; i++)
            one(&w, r, i, r->scratch);
        return TG_OK;
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < jobs; i++)
        one(&w, r, i, (char *)r->scratch + own * (size_t)omp_get_thread_num());
    return TG_OK;
}

const tg_ref_kernel tg_ref_attention[] = {
    {.op = "scaled_dot_product_attention", .prepare = prepare, .run = run},
    {.op = "scaled_dot_product_attention_backward", .prepare = prepare, .run = run},
    {0},
};
