/* Counts of values that are not finite. Places are row-major, and the smallest wins: no order of threads
 * shows. */
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

static tg_status run_nonfinite(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s;
    (void)p;
    const tg_desc *d = c->in[0];
    const bool dense = ref_is_dense(d);
    const int64_t n = ref_count(d), blocks = (n + BLOCK - 1) / BLOCK;
    census all = {0, 0, 0, -1, -1};
    if (r->threads > 1 && n > PARALLEL) {
#pragma omp parallel for num_threads(r->threads) schedule(static)
        for (int64_t b = 0; b < blocks; b++) {
            census part = {0, 0, 0, -1, -1};
            look(d, r->in[0], dense, b * BLOCK, b + 1 < blocks ? (b + 1) * BLOCK : n, &part);
            if (part.nan + part.inf + part.minus) {
#pragma omp critical
                join(&all, &part);
            }
        }
    } else {
        for (int64_t b = 0; b < blocks; b++)
            look(d, r->in[0], dense, b * BLOCK, b + 1 < blocks ? (b + 1) * BLOCK : n, &all);
    }
    int64_t *out = r->out[0];
    out[0] = all.nan;
    out[1] = all.inf;
    out[2] = all.minus;
    out[3] = all.first_nan;
    out[4] = all.first_inf;
    return TG_OK;
}

const tg_kernel tg_ref_look[] = {TG_REF_KERNEL("nonfinite", run_nonfinite), {0}};
