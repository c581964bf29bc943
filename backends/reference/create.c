/* Making tensors of numbers. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <math.h>

static void put(void *dst, int32_t dtype, int64_t i, double x)
{
    if (dtype == TG_F64)
        ((double *)dst)[i] = x;
    else if (dtype == TG_F32)
        ((float *)dst)[i] = (float)x;
    else if (dtype == TG_I64)
        ((int64_t *)dst)[i] =
            x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (int64_t)x : INT64_MIN;
    else
        ((uint8_t *)dst)[i] = x != 0;
}

enum { CHUNK = 8192, PARALLEL = 32768 };

typedef struct numbers {
    const tg_range_attrs *a;
    const double *scalars;
    void *dst;
    double step;
} numbers;

static void arange_chunk(const void *arg, int64_t k)
{
    const numbers *t = arg;
    const int64_t end = (k + 1) * CHUNK < t->a->n ? (k + 1) * CHUNK : t->a->n;
    for (int64_t i = k * CHUNK; i < end; i++)
        put(t->dst, (int32_t)t->a->dtype, i, t->scalars[0] + (double)i * t->step);
}

/* From both ends, so that both are met. */
static void linspace_chunk(const void *arg, int64_t k)
{
    const numbers *t = arg;
    const int64_t n = t->a->n, end = (k + 1) * CHUNK < n ? (k + 1) * CHUNK : n;
    for (int64_t i = k * CHUNK; i < end; i++) {
        const bool front = i < n / 2 || n == 1;
        const double x =
            front ? t->scalars[0] + t->step * (double)i : t->scalars[1] - t->step * (double)(n - 1 - i);
        put(t->dst, (int32_t)t->a->dtype, i, t->a->power ? pow(t->scalars[2], x) : x);
    }
}

static void run_chunks(const numbers *t, tg_ref_item_fn fn, int threads)
{
    tg_ref_each(t->a->n > PARALLEL ? threads : 1, (t->a->n + CHUNK - 1) / CHUNK, fn, t);
}

static tg_status run_arange(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const numbers t = {c->attrs, r->scalars, r->out[0], r->scalars[1]};
    run_chunks(&t, arange_chunk, r->threads);
    return TG_OK;
}

static tg_status run_linspace(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    numbers t = {c->attrs, r->scalars, r->out[0], 0};
    if (t.a->n > 1)
        t.step = (r->scalars[1] - r->scalars[0]) / (double)(t.a->n - 1);
    run_chunks(&t, linspace_chunk, r->threads);
    return TG_OK;
}

const tg_ref_kernel tg_ref_create[] = {
    TG_REF_KERNEL("arange", run_arange),
    TG_REF_KERNEL("linspace", run_linspace),
    {0},
};
