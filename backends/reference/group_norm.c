/* Group norm: each sample's groups of channels are rows of their own. RMS norm is the same with rows of one
 * group, each element a channel, and no mean. Statistics in f64, in two passes; sums for the parameters chunk
 * by chunk, cut by the shape alone. */
#include "backends/reference/each.h"
#include "backends/reference/lanes.h"
#include "backends/reference/reference.h"

#include <math.h>

/* x [batch, groups, channels, inner]. NULL: absent, not wanted; a mean of NULL is 0. */
typedef struct group_task {
    int64_t batch, groups, channels, inner;
    int64_t step, chunks; /* samples a chunk */
    double eps;
    const void *x, *gy, *weight, *bias;
    void *y, *mean, *rstd; /* what a forward writes and a backward reads */
    void *gx, *gweight, *gbias;
    double *a, *b; /* scratch: the chunks' Σgy·x̂ and Σgy of each channel */
} group_task;

#define T float
#define NAME(x) x##_f32
#include "backends/reference/lanes_typed.h"
#include "backends/reference/group_norm_typed.h"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_f64
#include "backends/reference/lanes_typed.h"
#include "backends/reference/group_norm_typed.h"
#undef T
#undef NAME

static void cut(group_task *t)
{
    t->step = (t->batch + 63) / 64;
    t->chunks = t->step ? (t->batch + t->step - 1) / t->step : 0;
}

static group_task groups_of(const tg_desc *x, int64_t groups)
{
    group_task t = {.batch = x->dim[0], .groups = groups, .channels = x->dim[1] / groups, .inner = 1};
    for (int i = 2; i < x->ndim; i++)
        t.inner *= x->dim[i];
    cut(&t);
    return t;
}

static group_task rows_of(const tg_desc *x, int64_t normalized_ndim)
{
    group_task t = {.batch = 1, .groups = 1, .channels = 1, .inner = 1};
    for (int i = 0; i < x->ndim; i++)
        *(i < x->ndim - normalized_ndim ? &t.batch : &t.channels) *= x->dim[i];
    cut(&t);
    return t;
}

static int team(const group_task *t, int threads)
{
    return t->batch * t->groups * t->channels * t->inner < REF_SERIAL ? 1 : threads;
}

static void forward(const group_task *t, int32_t dtype, int threads)
{
    if (t->channels * t->inner > 0)
        tg_ref_each(team(t, threads), t->batch * t->groups, dtype == TG_F32 ? group_item_f32 : group_item_f64,
                    t);
}

static void backward(const group_task *t, int32_t dtype, int threads)
{
    const bool single = dtype == TG_F32;
    const tg_ref_phase phases[] = {
        {t->chunks * t->groups, single ? group_back_item_f32 : group_back_item_f64},
        {t->a || t->b ? t->groups * t->channels : 0, single ? group_total_item_f32 : group_total_item_f64}};
    tg_ref_phases(team(t, threads), 2, phases, t);
}

static tg_status run_group_norm(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_group_norm_attrs *a = c->attrs;
    group_task t = groups_of(c->in[0], a->groups);
    t.eps = a->eps;
    t.x = r->in[0];
    t.weight = r->in[1];
    t.bias = r->in[2];
    t.y = r->out[0];
    t.mean = r->out[1];
    t.rstd = r->out[2];
    forward(&t, c->in[0]->dtype, r->threads);
    return TG_OK;
}

static tg_status run_rms_norm(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_layer_norm_attrs *a = c->attrs;
    group_task t = rows_of(c->in[0], a->normalized_ndim);
    t.eps = a->eps;
    t.x = r->in[0];
    t.weight = r->in[1];
    t.y = r->out[0];
    t.rstd = r->out[1];
    forward(&t, c->in[0]->dtype, r->threads);
    return TG_OK;
}

static tg_status scratch_for(const group_task *t, tg_prepared *p)
{
    p->scratch_size = (size_t)(2 * t->chunks * t->groups * t->channels) * sizeof(double);
    return TG_OK;
}

static tg_status prepare_group_norm_backward(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    const group_task t = groups_of(c->in[1], ((const tg_group_norm_backward_attrs *)c->attrs)->groups);
    return scratch_for(&t, p);
}

static tg_status prepare_rms_norm_backward(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    const group_task t = rows_of(c->in[1], ((const tg_layer_norm_backward_attrs *)c->attrs)->normalized_ndim);
    return scratch_for(&t, p);
}

/* The inputs gy, x, weight, [mean,] rstd; the outputs diff_src, diff_weight[, diff_bias]. */
static void run_backward(group_task *t, const tg_call *c, const tg_run *r, int64_t want, bool centred)
{
    t->gy = r->in[0];
    t->x = r->in[1];
    t->weight = r->in[2];
    t->mean = centred ? (void *)(uintptr_t)r->in[3] : NULL;
    t->rstd = (void *)(uintptr_t)r->in[centred ? 4 : 3];
    t->gx = want & TG_WANT_SRC ? r->out[0] : NULL;
    t->gweight = r->out[1];
    t->gbias = centred ? r->out[2] : NULL;
    t->a = want & TG_WANT_WEIGHT ? r->scratch : NULL;
    t->b = want & TG_WANT_BIAS ? (double *)r->scratch + t->chunks * t->groups * t->channels : NULL;
    backward(t, c->in[1]->dtype, r->threads);
}

static tg_status run_group_norm_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                         const tg_run *r)
{
    (void)s, (void)p;
    const tg_group_norm_backward_attrs *a = c->attrs;
    group_task t = groups_of(c->in[1], a->groups);
    run_backward(&t, c, r, a->want, true);
    return TG_OK;
}

static tg_status run_rms_norm_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    const tg_layer_norm_backward_attrs *a = c->attrs;
    group_task t = rows_of(c->in[1], a->normalized_ndim);
    run_backward(&t, c, r, a->want, false);
    return TG_OK;
}

#define PREPARED(name, prepare_fn, run_fn)                                                                   \
    {                                                                                                        \
        .op = name, .prepare = prepare_fn, .run = run_fn     \
    }

const tg_ref_kernel tg_ref_group_norm[] = {
    TG_REF_KERNEL("group_norm", run_group_norm),
    PREPARED("group_norm_backward", prepare_group_norm_backward, run_group_norm_backward),
    TG_REF_KERNEL("rms_norm", run_rms_norm),
    PREPARED("rms_norm_backward", prepare_rms_norm_backward, run_rms_norm_backward),
    {0},
};
