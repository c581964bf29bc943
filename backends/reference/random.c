/* Random rows: each value is a function of (seed, draw, element) alone. op_attrs.h has the mapping. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"
#include "backends/reference/lanes.h"
#include "backends/reference/philox.h"

#include <stdbool.h>

typedef struct random_task {
    philox_fn philox;
    uint64_t seed, draw;
    int64_t n;
    void *dst;
    const void *src; /* dropout's */
    double scale;    /* dropout: of what is kept                 */
    uint32_t last;   /* dropout: the largest word that keeps     */
    const tg_desc *d;
    bool normal, plain, dense; /* plain: a = 0 and b = 1                   */
    double a, b, end;
} random_task;

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
    int64_t n = ref_count(c->in[0]);
    uint64_t bound = (uint64_t)round((1.0 - a->p) * 4294967296.0);
    bool single = c->in[0]->dtype == TG_F32;
    if (bound == 0) {
        memset(r->out[0], 0, (size_t)n * (single ? sizeof(float) : sizeof(double)));
        return TG_OK;
    }
    random_task t = {.philox = philox_best(),
                     .seed = r->seed,
                     .draw = r->draw,
                     .n = n,
                     .dst = r->out[0],
                     .src = r->in[0],
                     .scale = 1.0 / (1.0 - a->p),
                     .last = (uint32_t)(bound - 1)};
    tg_ref_each(n < REF_SERIAL ? 1 : r->threads, (n + PHILOX_WORDS - 1) / PHILOX_WORDS,
                single ? dropout_item_f32 : dropout_item_f64, &t);
    return TG_OK;
}

/* a + b·u below `end`, or a + b·z. */
static tg_status fill(const tg_desc *d, void *dst, const tg_run *r, bool normal, double a, double b,
                      double end)
{
    int64_t n = ref_count(d);
    bool single = d->dtype == TG_F32;
    int64_t piece = single ? PHILOX_WORDS : PHILOX_WORDS / 2;
    random_task t = {.philox = philox_best(),
                     .seed = r->seed,
                     .draw = r->draw,
                     .n = n,
                     .dst = dst,
                     .d = d,
                     .normal = normal,
                     .plain = a == 0.0 && b == 1.0,
                     .dense = ref_is_dense(d),
                     .a = a,
                     .b = b,
                     .end = end};
    tg_ref_each(n < REF_SERIAL ? 1 : r->threads, (n + piece - 1) / piece,
                single ? random_item_f32 : random_item_f64, &t);
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

const tg_ref_kernel tg_ref_random[] = {
    TG_REF_KERNEL("dropout", run_dropout),       TG_REF_KERNEL("rand_like", run_rand_like),
    TG_REF_KERNEL("randn_like", run_randn_like), TG_REF_KERNEL("uniform_", run_uniform),
    TG_REF_KERNEL("normal_", run_normal),        {0},
};
