/* Extrema along one dim with their places: the first of equal ones, the first NaN before all. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"

enum { PARALLEL = 32768 };

typedef struct task {
    tg_desc lines; /* the input, its dim gone to size 1 */
    const void *x;
    void *value; /* NULL: not asked for */
    int64_t *place, n, step;
    bool least;
} task;

/* After a NaN nothing is better. */
#define LINE(suffix, TYPE)                                                                                   \
    static void line_##suffix(const void *arg, int64_t m)                                                    \
    {                                                                                                        \
        const task *t = arg;                                                                                 \
        const TYPE *x = (const TYPE *)t->x + ref_place(&t->lines, m);                                        \
        TYPE best = x[0];                                                                                    \
        int64_t at = 0;                                                                                      \
        for (int64_t i = 1; i < t->n && best == best; i++) {                                                 \
            const TYPE v = x[i * t->step];                                                                   \
            if ((t->least ? v < best : v > best) || v != v) {                                                \
                best = v;                                                                                    \
                at = i;                                                                                      \
            }                                                                                                \
        }                                                                                                    \
        t->place[m] = at;                                                                                    \
        if (t->value)                                                                                        \
            ((TYPE *)t->value)[m] = best;                                                                    \
    }
LINE(f32, float)
LINE(f64, double)
LINE(i64, int64_t)
LINE(u8, uint8_t)

static tg_status run(const tg_call *c, const tg_run *r, bool least)
{
    const tg_argmax_attrs *a = c->attrs;
    const int32_t dtype = c->in[0]->dtype;
    task t = {.lines = *c->in[0],
              .x = r->in[0],
              .value = c->n_out > 1 ? r->out[0] : NULL,
              .place = r->out[c->n_out - 1],
              .n = 1,
              .least = least};
    if (t.lines.ndim) {
        t.n = t.lines.dim[a->dim];
        t.step = t.lines.stride[a->dim];
        t.lines.dim[a->dim] = 1;
    }
    tg_ref_each(ref_count(c->in[0]) > PARALLEL ? r->threads : 1, ref_count(&t.lines),
                dtype == TG_F32   ? line_f32
                : dtype == TG_F64 ? line_f64
                : dtype == TG_I64 ? line_i64
                                  : line_u8,
                &t);
    return TG_OK;
}

static tg_status run_max(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, false);
}

static tg_status run_min(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, true);
}

const tg_ref_kernel tg_ref_extrema[] = {
    TG_REF_KERNEL("max", run_max),
    TG_REF_KERNEL("min", run_min),
    TG_REF_KERNEL("argmax", run_max),
    TG_REF_KERNEL("argmin", run_min),
    {0},
};
