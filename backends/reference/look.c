/* Counts of values that are not finite. Places are row-major, and the smallest wins: no order of threads
 * shows. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <math.h>

enum { BLOCK = 4096, PARALLEL = 32768 };

typedef struct census {
    int64_t nan, inf, minus, first_nan, first_inf;
} census;

static void note(census *c, double x, int64_t at)
{
    if (isnan(x)) {
        c->nan++;
        c->first_nan = c->first_nan < 0 || at < c->first_nan ? at : c->first_nan;
    } else if (isinf(x)) {
        c->inf += x > 0;
        c->minus += x < 0;
        c->first_inf = c->first_inf < 0 || at < c->first_inf ? at : c->first_inf;
    }
}

static double value(const void *x, bool wide, int64_t at)
{
    return wide ? ((const double *)x)[at] : (double)((const float *)x)[at];
}

/* x − x is 0 for the finite alone: one pass that vectorises says that there is nothing to look for. */
#define ANY(name, T)                                                                                         \
    static bool name(const T *x, int64_t n)                                                                  \
    {                                                                                                        \
        int bad = 0;                                                                                         \
        for (int64_t i = 0; i < n; i++)                                                                      \
            bad |= x[i] - x[i] != 0;                                                                         \
        return bad;                                                                                          \
    }
ANY(any_f32, float)
ANY(any_f64, double)

static void look(const tg_desc *d, const void *x, bool dense, int64_t from, int64_t to, census *c)
{
    const bool wide = d->dtype == TG_F64;
    if (dense &&
        !(wide ? any_f64((const double *)x + from, to - from) : any_f32((const float *)x + from, to - from)))
        return;
    for (int64_t i = from; i < to; i++)
        note(c, value(x, wide, dense ? i : ref_place(d, i)), i);
}

static int64_t first_of(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

static void join(census *to, const census *c)
{
    to->nan += c->nan;
    to->inf += c->inf;
    to->minus += c->minus;
    to->first_nan = first_of(to->first_nan, c->first_nan);
    to->first_inf = first_of(to->first_inf, c->first_inf);
}

/* The elements go in at most so many parts, each with its own count. */
enum { PARTS = 64 };
typedef struct parts {
    const tg_desc *d;
    const void *x;
    bool dense;
    int64_t n, each;
    census *found;
} parts;

static void look_part(const void *arg, int64_t k)
{
    const parts *t = arg;
    const int64_t from = k * t->each, to = from + t->each < t->n ? from + t->each : t->n;
    for (int64_t i = from; i < to; i += BLOCK)
        look(t->d, t->x, t->dense, i, i + BLOCK < to ? i + BLOCK : to, &t->found[k]);
}

static tg_status run_nonfinite(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s;
    (void)p;
    const int64_t n = ref_count(c->in[0]), each = n > PARALLEL ? (n + PARTS - 1) / PARTS : n;
    const int64_t count = n ? (n + each - 1) / each : 0;
    census all = {0, 0, 0, -1, -1}, found[PARTS];
    for (int64_t k = 0; k < count; k++)
        found[k] = all;
    const parts t = {c->in[0], r->in[0], ref_is_dense(c->in[0]), n, each, found};
    tg_ref_each(r->threads, count, look_part, &t);
    for (int64_t k = 0; k < count; k++)
        join(&all, &found[k]);
    int64_t *out = r->out[0];
    out[0] = all.nan;
    out[1] = all.inf;
    out[2] = all.minus;
    out[3] = all.first_nan;
    out[4] = all.first_inf;
    return TG_OK;
}

const tg_ref_kernel tg_ref_look[] = {TG_REF_KERNEL("nonfinite", run_nonfinite), {0}};
