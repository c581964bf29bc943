/* Along one dim: running sums and products (in f64), extrema, recurrences. Lines beside each other go
 * together. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <math.h>
#include <string.h>

enum { PARALLEL = 32768, GROUP = 16 /* lines that one item takes */ };

typedef enum scan_kind { SUM, PRODUCT, LOGS, RECURRENCE, MOST, LEAST, FACTORS } scan_kind;

typedef struct task {
    tg_desc lines, lines_b; /* the inputs, their dim gone to size 1; lines_b: the recurrence's second */
    const void *x, *add;    /* add: the second's data                                                 */
    void *y;
    int64_t *place, n, inner; /* inner: the outputs' step along the dim */
    int64_t step, step_b;
    int dim;
    int32_t dtype;
    scan_kind kind;
    bool reverse;
} task;

/* Where line m begins in a row-major tensor of these dims with n along dim. */
static int64_t start_of(const tg_desc *lines, int dim, int64_t n, int64_t m)
{
    int64_t inner = 1;
    for (int d = lines->ndim - 1; d > dim; d--)
        inner *= lines->dim[d];
    return m / inner * inner * n + m % inner;
}

/* log(e^a + e^b) */
static double log_add(double a, double b)
{
    const double most = a > b ? a : b, least = a > b ? b : a;
    if (a != a || b != b)
        return a + b;
    return isinf(most) ? most : most + log1p(exp(least - most));
}

/* Where lines begin, in elements. */
typedef struct group {
    int count;
    int64_t from[GROUP], from_b[GROUP], to[GROUP];
} group;

/* One place of all lines at a time: they do not wait for each other. */
#define STEPS(TYPE, ...)                                                                                     \
    for (int64_t k = 0; k < t->n; k++) {                                                                     \
        const int64_t i = t->reverse ? t->n - 1 - k : k;                                                     \
        for (int l = 0; l < g->count; l++) {                                                                 \
            const double v = (double)x[g->from[l] + i * t->step];                                            \
            __VA_ARGS__;                                                                                     \
            y[g->to[l] + i * t->inner] = (TYPE)acc[l];                                                       \
        }                                                                                                    \
    }                                                                                                        \
    break
#define REAL(suffix, TYPE)                                                                                   \
    static void real_##suffix(const task *t, const group *g)                                                 \
    {                                                                                                        \
        const TYPE *x = t->x, *add = t->add;                                                                 \
        TYPE *y = t->y;                                                                                      \
        double acc[GROUP];                                                                                   \
        for (int l = 0; l < GROUP; l++)                                                                      \
            acc[l] = t->kind == LOGS ? -(double)INFINITY : t->kind == PRODUCT || t->kind == FACTORS;         \
        switch (t->kind) {                                                                                   \
        case SUM: STEPS(TYPE, acc[l] += v);                                                                  \
        case PRODUCT: STEPS(TYPE, acc[l] *= v);                                                              \
        case LOGS: STEPS(TYPE, acc[l] = log_add(acc[l], v));                                                 \
        case RECURRENCE:                                                                                     \
            STEPS(TYPE, acc[l] = (double)add[g->from_b[l] + i * t->step_b] + (k ? v * acc[l] : 0));          \
        default:                                                                                             \
            for (int64_t k = 0; k < t->n; k++)                                                               \
                for (int l = 0; l < g->count; l++)                                                           \
                    acc[l] *= (double)x[g->from[l] + k * t->step];                                           \
            for (int l = 0; l < g->count; l++)                                                               \
                y[g->to[l]] = (TYPE)acc[l];                                                                  \
        }                                                                                                    \
    }
REAL(f32, float)
REAL(f64, double)

/* i64 and bool, modulo 2^64. */
static void whole_line(const task *t, int64_t from, int64_t to)
{
    uint64_t y = t->kind != SUM;
    for (int64_t k = 0; k < t->n; k++) {
        const int64_t i = t->reverse ? t->n - 1 - k : k, at = from + i * t->step;
        const uint64_t x = t->dtype == TG_I64 ? ((const uint64_t *)t->x)[at] : ((const uint8_t *)t->x)[at];
        y = t->kind == SUM ? y + x : y * x;
        if (t->kind != FACTORS)
            ((uint64_t *)t->y)[to + i * t->inner] = y;
    }
    if (t->kind == FACTORS)
        ((uint64_t *)t->y)[to] = y;
}

/* A NaN stays, and the last of equal ones is named. */
#define RECORD(suffix, TYPE)                                                                                 \
    static void record_##suffix(const task *t, const group *g)                                               \
    {                                                                                                        \
        const TYPE *x = t->x;                                                                                \
        TYPE *y = t->y, best[GROUP];                                                                         \
        int64_t at[GROUP] = {0};                                                                             \
        for (int l = 0; l < g->count && t->n; l++)                                                           \
            best[l] = x[g->from[l]];                                                                         \
        for (int64_t k = 0; k < t->n; k++)                                                                   \
            for (int l = 0; l < g->count; l++) {                                                             \
                const TYPE v = x[g->from[l] + k * t->step], b = best[l];                                     \
                if (v != v || (b == b && (t->kind == MOST ? v >= b : v <= b))) {                             \
                    best[l] = v;                                                                             \
                    at[l] = k;                                                                               \
                }                                                                                            \
                y[g->to[l] + k * t->inner] = best[l];                                                        \
                t->place[g->to[l] + k * t->inner] = at[l];                                                   \
            }                                                                                                \
    }
RECORD(f32, float)
RECORD(f64, double)
RECORD(i64, int64_t)
RECORD(u8, uint8_t)

static void item(const void *arg, int64_t i)
{
    const task *t = arg;
    const int64_t lines = ref_count(&t->lines), first = i * GROUP;
    group g = {.count = (int)(lines - first < GROUP ? lines - first : GROUP)};
    for (int l = 0; l < g.count; l++) {
        g.from[l] = ref_place(&t->lines, first + l);
        g.from_b[l] = t->kind == RECURRENCE ? ref_place(&t->lines_b, first + l) : 0;
        g.to[l] = t->kind == FACTORS ? first + l : start_of(&t->lines, t->dim, t->n, first + l);
    }
    const bool record = t->kind == MOST || t->kind == LEAST;
    if (t->dtype == TG_F32)
        (record ? record_f32 : real_f32)(t, &g);
    else if (t->dtype == TG_F64)
        (record ? record_f64 : real_f64)(t, &g);
    else if (record)
        (t->dtype == TG_I64 ? record_i64 : record_u8)(t, &g);
    else
        for (int l = 0; l < g.count; l++)
            whole_line(t, g.from[l], g.to[l]);
}

static tg_status run(const tg_call *c, const tg_run *r, scan_kind kind, int64_t dim, bool reverse)
{
    task t = {.lines = *c->in[0],
              .x = r->in[0],
              .y = r->out[0],
              .place = c->n_out > 1 ? r->out[1] : NULL,
              .n = 1,
              .inner = 1,
              .dim = (int)dim,
              .dtype = c->in[0]->dtype,
              .kind = kind,
              .reverse = reverse};
    if (kind == RECURRENCE) {
        t.lines_b = *c->in[1];
        t.add = r->in[1];
    }
    if (t.lines.ndim) {
        t.n = t.lines.dim[dim];
        t.step = t.lines.stride[dim];
        t.step_b = t.lines_b.stride[dim];
        t.lines.dim[dim] = t.lines_b.dim[dim] = 1;
        for (int d = t.lines.ndim - 1; d > dim; d--)
            t.inner *= t.lines.dim[d];
    }
    tg_ref_each(ref_count(c->in[0]) > PARALLEL ? r->threads : 1, (ref_count(&t.lines) + GROUP - 1) / GROUP,
                item, &t);
    return TG_OK;
}

static tg_status run_scan(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    static const char *const name[] = {"cumsum",      "cumprod", "logcumsumexp",
                                       "linear_scan", "cummax",  "cummin"};
    const tg_scan_attrs *a = c->attrs;
    int kind = 0;
    while (strcmp(name[kind], c->op))
        kind++;
    return run(c, r, (scan_kind)kind, a->dim, a->reverse);
}

static tg_status run_prod(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, FACTORS, ((const tg_argmax_attrs *)c->attrs)->dim, false);
}

const tg_ref_kernel tg_ref_cumulative[] = {
    TG_REF_KERNEL("cumsum", run_scan),       TG_REF_KERNEL("cumprod", run_scan),
    TG_REF_KERNEL("logcumsumexp", run_scan), TG_REF_KERNEL("linear_scan", run_scan),
    TG_REF_KERNEL("cummax", run_scan),       TG_REF_KERNEL("cummin", run_scan),
    TG_REF_KERNEL("prod", run_prod),         {0},
};
