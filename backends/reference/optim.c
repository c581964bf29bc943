/* Optimizer steps, the gradients' norm and their scaling. Every row takes groups of tensors and makes one
 * pass over all of them, which is cut into one stretch a thread. */
#include "backends/reference/each.h"
#include "backends/reference/clones.h"
#include "backends/reference/reference.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { MAX_PERIOD = 5, TILE = 256, PARALLEL_FROM = 32768, NORM_BLOCK = 8192 };

#define REAL float
#define KIND TG_F32
#define SQRT sqrtf
#define FABS fabsf
#define SPAN(name) name##_f32
#include "backends/reference/optim_spans.h"
#include "backends/reference/optim_rules.h"
#undef REAL
#undef KIND
#undef SQRT
#undef FABS
#undef SPAN
#undef RULE
#define REAL double
#define KIND TG_F64
#define SQRT sqrt
#define FABS fabs
#define SPAN(name) name##_f64
#include "backends/reference/optim_spans.h"
#include "backends/reference/optim_rules.h"
#undef REAL
#undef KIND
#undef SQRT
#undef FABS
#undef SPAN

/* n dense elements of one group: a[i] is the i-th tensor's first one, s the group's scalars. */
typedef void (*span_fn)(void *const a[], size_t n, const double *s, const void *attrs);

typedef struct plan {
    span_fn f32, f64;
    uint32_t period, n_scalars, writes; /* writes: bit i, tensor i of a group is written */
} plan;

static void copy_element(char *dst, const char *src, size_t size)
{
    if (size == sizeof(float))
        memcpy(dst, src, sizeof(float));
    else
        memcpy(dst, src, sizeof(double));
}

/* Elements [from, to) of a group with a tensor that is not row-major: through dense tiles. */
static void run_tiles(const plan *p, span_fn span, const tg_desc *const *desc, void *const *data,
                      int64_t from, int64_t to, const double *s, const void *attrs)
{
    char tile[MAX_PERIOD][TILE * sizeof(double)] __attribute__((aligned(64)));
    void *a[MAX_PERIOD];
    size_t size = desc[0]->dtype == TG_F64 ? sizeof(double) : sizeof(float);
    for (; from < to; from += TILE) {
        int64_t n = to - from < TILE ? to - from : TILE;
        for (uint32_t k = 0; k < p->period; k++) {
            a[k] = tile[k];
            for (int64_t i = 0; i < n; i++)
                copy_element(tile[k] + (size_t)i * size,
                             (const char *)data[k] + ref_place(desc[k], from + i) * (int64_t)size, size);
        }
        span(a, (size_t)n, s, attrs);
        for (uint32_t k = 0; k < p->period; k++)
            for (int64_t i = 0; i < n && p->writes >> k & 1u; i++)
                copy_element((char *)data[k] + ref_place(desc[k], from + i) * (int64_t)size,
                             tile[k] + (size_t)i * size, size);
    }
}

static void run_group(const plan *p, const tg_call *c, const tg_run *r, uint32_t group, int64_t from,
                      int64_t to)
{
    const tg_desc *const *desc = c->in + (size_t)group * p->period;
    const double *s = r->scalars + (size_t)group * p->n_scalars;
    span_fn span = desc[0]->dtype == TG_F64 ? p->f64 : p->f32;
    if (!span) {
        const tg_rule_attrs *k = c->attrs;
        /* What is left of a mean square without the mean's is all rounding in f32 where they are close. */
        const bool centered = k->rule == TG_RULE_RMSPROP && s[6] != 0;
        (desc[0]->dtype == TG_F64 || centered ? run_rule_f64 : run_rule_f32)(desc, r->in + (size_t)group * p->period,
                                                                             from, to, s, k);
        return;
    }
    int64_t size = desc[0]->dtype == TG_F64 ? (int64_t)sizeof(double) : (int64_t)sizeof(float);
    void *data[MAX_PERIOD], *a[MAX_PERIOD];
    bool dense = true;
    for (uint32_t k = 0; k < p->period; k++) {
        /* An in-place row writes through `in`. */
        data[k] = (void *)(uintptr_t)r->in[(size_t)group * p->period + k];
        a[k] = (char *)data[k] + from * size;
        dense = dense && ref_is_dense(desc[k]);
    }
    if (dense)
        span(a, (size_t)(to - from), s, c->attrs);
    else
        run_tiles(p, span, desc, data, from, to, s, c->attrs);
}

/* Elements [lo, hi) of all groups laid end to end. */
static void run_stretch(const plan *p, const tg_call *c, const tg_run *r, int64_t lo, int64_t hi)
{
    int64_t first = 0;
    for (uint32_t g = 0; g < c->n_in / p->period && first < hi; g++) {
        int64_t n = ref_count(c->in[(size_t)g * p->period]);
        int64_t from = lo > first ? lo - first : 0, to = hi - first < n ? hi - first : n;
        if (from < to)
            run_group(p, c, r, g, from, to);
        first += n;
    }
}

static void run_plan(const plan *p, const tg_call *c, const tg_run *r)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < c->n_in; i += p->period)
        total += ref_count(c->in[i]);
    if (total < PARALLEL_FROM || r->threads <= 1) {
        run_stretch(p, c, r, 0, total);
        return;
    }
#pragma omp parallel num_threads(r->threads)
    {
        int64_t t = omp_get_thread_num(), n = omp_get_num_threads();
        /* Cut at multiples of a cache line. */
        int64_t lo = total * t / n & ~(int64_t)15,
                hi = t + 1 == n ? total : total * (t + 1) / n & ~(int64_t)15;
        run_stretch(p, c, r, lo, hi);
    }
}

/* -- sgd ------------------------------------------------------------------------------------------------- */
static void sgd_span_f32(void *const a[], size_t n, const double *s, const void *attrs)
{
    const tg_sgd_attrs *k = attrs;
    sgd_f32(a[0], a[1], n, s, k->maximize ? -1.0f : 1.0f);
}

static void sgd_span_f64(void *const a[], size_t n, const double *s, const void *attrs)
{
    const tg_sgd_attrs *k = attrs;
    sgd_f64(a[0], a[1], n, s, k->maximize ? -1.0 : 1.0);
}

static tg_status sgd_run(tg_backend_state *state, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    static const plan sgd = {sgd_span_f32, sgd_span_f64, 2, 2, 1u};
    (void)state;
    (void)p;
    run_plan(&sgd, c, r);
    return TG_OK;
}

static void momentum_span_f32(void *const a[], size_t n, const double *s, const void *attrs)
{
    const tg_sgd_attrs *k = attrs;
    sgd_momentum_f32(a[0], a[1], a[2], n, s, k->maximize ? -1.0f : 1.0f, k->nesterov != 0);
}

static void momentum_span_f64(void *const a[], size_t n, const double *s, const void *attrs)
{
    const tg_sgd_attrs *k = attrs;
    sgd_momentum_f64(a[0], a[1], a[2], n, s, k->maximize ? -1.0 : 1.0, k->nesterov != 0);
}

static tg_status momentum_run(tg_backend_state *state, const tg_call *c, const tg_prepared *p,
                              const tg_run *r)
{
    static const plan momentum = {momentum_span_f32, momentum_span_f64, 3, 5, 5u};
    (void)state;
    (void)p;
    run_plan(&momentum, c, r);
    return TG_OK;
}

/* -- adam ------------------------------------------------------------------------------------------------ */
static void adam_span_f32(void *const a[], size_t n, const double *s, const void *attrs)
{
    const tg_adam_attrs *k = attrs;
    adam_f32(a[0], a[1], a[2], a[3], n, s, k->maximize ? -1.0f : 1.0f);
}

static void adam_span_f64(void *const a[], size_t n, const double *s, const void *attrs)
{
    const tg_adam_attrs *k = attrs;
    adam_f64(a[0], a[1], a[2], a[3], n, s, k->maximize ? -1.0 : 1.0);
}

static tg_status adam_run(tg_backend_state *state, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    static const plan adam = {adam_span_f32, adam_span_f64, 4, 7, 13u};
    (void)state;
    (void)p;
    run_plan(&adam, c, r);
    return TG_OK;
}

static tg_status step_run(tg_backend_state *state, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    static const plan step = {.period = 5, .n_scalars = 8};
    (void)state;
    (void)p;
    run_plan(&step, c, r);
    return TG_OK;
}

/* -- scaling and the norm -------------------------------------------------------------------------------- */
static void scale_span_f32(void *const a[], size_t n, const double *s, const void *attrs)
{
    (void)attrs;
    scale_f32(a[0], n, s);
}

static void scale_span_f64(void *const a[], size_t n, const double *s, const void *attrs)
{
    (void)attrs;
    scale_f64(a[0], n, s);
}

static tg_status scale_run(tg_backend_state *state, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    static const plan scale = {scale_span_f32, scale_span_f64, 1, 1, 1u};
    (void)state;
    (void)p;
    run_plan(&scale, c, r);
    return TG_OK;
}

/* The sum of squares goes by blocks of fixed size, one partial sum each in scratch, so that it does not
 * depend on the number of threads. */
static int64_t blocks_of(const tg_desc *d)
{
    return (ref_count(d) + NORM_BLOCK - 1) / NORM_BLOCK;
}

static tg_status norm_prepare(tg_backend_state *state, const tg_call *c, tg_prepared *p)
{
    (void)state;
    int64_t blocks = 0;
    for (uint32_t i = 0; i < c->n_in; i++)
        blocks += blocks_of(c->in[i]);
    p->scratch_size = (size_t)blocks * sizeof(double);
    return TG_OK;
}

static double block_squares(const tg_desc *d, const void *src, int64_t from, int64_t to)
{
    if (ref_is_dense(d))
        return d->dtype == TG_F64 ? sum_squares_f64((const double *)src + from, (size_t)(to - from))
                                  : sum_squares_f32((const float *)src + from, (size_t)(to - from));
    double sum = 0;
    for (int64_t i = from; i < to; i++) {
        int64_t at = ref_place(d, i);
        double x = d->dtype == TG_F64 ? ((const double *)src)[at] : (double)((const float *)src)[at];
        sum += x * x;
    }
    return sum;
}

typedef struct norm_task {
    const tg_desc *d;
    const void *src;
    double *partial;
    int64_t n;
} norm_task;

static void norm_item(const void *arg, int64_t b)
{
    const norm_task *t = arg;
    int64_t from = b * NORM_BLOCK, to = from + NORM_BLOCK < t->n ? from + NORM_BLOCK : t->n;
    t->partial[b] = block_squares(t->d, t->src, from, to);
}

static tg_status norm_run(tg_backend_state *state, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)state;
    (void)p;
    double *partial = r->scratch, sum = 0;
    int64_t first = 0;
    for (uint32_t i = 0; i < c->n_in; i++) {
        const tg_desc *d = c->in[i];
        norm_task t = {d, r->in[i], partial + first, ref_count(d)};
        int64_t blocks = blocks_of(d);
        tg_ref_each(t.n < PARALLEL_FROM ? 1 : r->threads, blocks, norm_item, &t);
        first += blocks;
    }
    for (int64_t b = 0; b < first; b++)
        sum += partial[b];
    *(double *)r->out[0] = sqrt(sum);
    return TG_OK;
}

const tg_ref_kernel tg_ref_optim[] = {
    TG_REF_KERNEL("sgd_step", sgd_run),
    TG_REF_KERNEL("sgd_momentum_step", momentum_run),
    TG_REF_KERNEL("adam_step", adam_run),
    TG_REF_KERNEL("optim_step", step_run),
    TG_REF_KERNEL("scale_", scale_run),
    {.op = "grad_norm", .prepare = norm_prepare, .run = norm_run},
    {0},
};
