/* Batch norm and layer norm. Statistics in f64, in two passes: mean, then squares about it. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"
#include "backends/reference/lanes.h"

#include <stdbool.h>

enum {
    WIDTH = 64,        /* channels side by side that one task works on   */
    LONG_CHUNK = 65536 /* elements a channel block has in one chunk      */
};

/* [batch, channels, inner] cut into tasks, by its shape alone. */
typedef struct layout {
    int64_t batch, channels, inner;
    int64_t width, blocks; /* channels a task, and how many such blocks      */
    int64_t rows, chunks;  /* samples a task, and how many such chunks       */
} layout;

/* What a backward reads and writes; NULL: absent, not wanted. */
typedef struct back_data {
    const void *dy, *x, *weight, *mean, *invstd, *y;
    void *dx, *dweight, *dbias;
    void *masked; /* of a row with ReLU: what of dy counts, in scratch */
} back_data;

/* A forward's. scratch: mean, invstd, then the partial sums, chunk by chunk. */
typedef struct batch_task {
    const layout *q;
    double eps;
    const void *x, *weight, *bias;
    void *y, *out[3];
    double *mean, *invstd, *partial;
    bool relu;
} batch_task;

/* scratch: the sums a, then b. */
typedef struct batch_back_task {
    const layout *q;
    const back_data *d;
    double *a, *b;
    bool batch_stats, sums; /* sums: they are needed */
} batch_back_task;

typedef struct rows_shape {
    int64_t rows, n, step, chunks;
} rows_shape;

typedef struct layer_task {
    const rows_shape *q;
    const void *x, *weight, *bias;
    void *y, *mean, *rstd;
    double eps;
} layer_task;

/* a, b: the chunks' sums for the parameters, in scratch; NULL: not wanted. */
typedef struct layer_back_task {
    const rows_shape *q;
    const back_data *d;
    double *a, *b;
} layer_back_task;

static void mean_item(const void *arg, int64_t block)
{
    const batch_task *t = arg;
    const layout *q = t->q;
    int64_t c = block * q->width, end = c + q->width < q->channels ? c + q->width : q->channels;
    for (; c < end; c++) {
        double sum = 0.0;
        for (int64_t k = 0; k < q->chunks; k++)
            sum += t->partial[k * q->channels + c];
        t->mean[c] = sum / (double)(q->batch * q->inner);
    }
}

#define T float
#define NAME(x) x##_f32
#include "backends/reference/lanes_typed.h"
#include "backends/reference/batch_norm_typed.h"
#include "backends/reference/layer_norm_typed.h"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_f64
#include "backends/reference/lanes_typed.h"
#include "backends/reference/batch_norm_typed.h"
#include "backends/reference/layer_norm_typed.h"
#undef T
#undef NAME

/* -- batch norm ----------------------------------------------------------------------------------------- */

static layout cut(const tg_desc *x)
{
    layout q = {.batch = x->dim[0], .channels = x->dim[1], .inner = 1};
    for (int i = 2; i < x->ndim; i++)
        q.inner *= x->dim[i];
    q.width = q.inner == 1 ? WIDTH : 1;
    q.blocks = (q.channels + q.width - 1) / q.width;
    int64_t sample = q.width * q.inner;
    q.rows = sample < LONG_CHUNK && sample > 0 ? LONG_CHUNK / sample : 1;
    q.chunks = (q.batch + q.rows - 1) / q.rows;
    if (q.chunks > 64) {
        q.rows = (q.batch + 63) / 64;
        q.chunks = (q.batch + q.rows - 1) / q.rows;
    }
    return q;
}

static bool is_empty(const layout *q)
{
    return q->batch == 0 || q->channels == 0 || q->inner == 0;
}

static int threads_for(const layout *q, int threads)
{
    return q->batch * q->channels * q->inner < REF_SERIAL ? 1 : threads;
}

static tg_status prepare_batch_norm(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    layout q = cut(c->in[0]);
    p->scratch_size = (size_t)(2 * (q.chunks + 1) * q.channels) * sizeof(double);
    if (c->n_in == 6)
        p->scratch_size += (size_t)(q.batch * q.channels * q.inner) * tg_dtype_size(c->in[0]->dtype);
    return TG_OK;
}

static void fill(int32_t dtype, void *dst, int64_t n, double value)
{
    for (int64_t i = 0; i < n; i++)
        if (dtype == TG_F32)
            ((float *)dst)[i] = (float)value;
        else
            ((double *)dst)[i] = value;
}

/* The inputs and outputs that train and eval have in common. */
static batch_task batch_arguments(const layout *q, const tg_call *c, const tg_run *r)
{
    double *mean = r->scratch, *invstd = mean + q->channels;
    return (batch_task){.q = q,
                        .eps = ((const tg_batch_norm_attrs *)c->attrs)->eps,
                        .x = r->in[0],
                        .y = r->out[0],
                        .out = {r->out[1], r->out[2]},
                        .mean = mean,
                        .invstd = invstd,
                        .partial = invstd + q->channels};
}

static tg_status train(const tg_call *c, const tg_run *r, bool relu)
{
    layout q = cut(c->in[0]);
    int32_t dtype = c->in[0]->dtype;
    batch_task t = batch_arguments(&q, c, r);
    t.relu = relu;
    t.weight = r->in[1];
    t.bias = r->in[2];
    t.out[2] = r->out[3];
    if (is_empty(&q)) { /* finite, so that the gradients of an empty sum are 0 */
        fill(dtype, t.out[0], q.channels, 0.0);
        fill(dtype, t.out[1], q.channels, 0.0);
        fill(dtype, t.out[2], q.channels, 1.0 / sqrt(t.eps));
    } else {
        (dtype == TG_F32 ? train_f32 : train_f64)(&t, threads_for(&q, r->threads));
    }
    return TG_OK;
}

static tg_status eval(const tg_call *c, const tg_run *r, bool relu)
{
    layout q = cut(c->in[0]);
    batch_task t = batch_arguments(&q, c, r);
    t.relu = relu;
    int threads = threads_for(&q, r->threads);
    t.weight = r->in[3];
    t.bias = r->in[4];
    if (c->in[0]->dtype == TG_F32)
        eval_f32(&t, r->in[1], r->in[2], threads);
    else
        eval_f64(&t, r->in[1], r->in[2], threads);
    return TG_OK;
}

/* With and without ReLU. */
#define RUN(name, of, relu)                                                                                  \
    static tg_status name(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)      \
    {                                                                                                        \
        (void)s, (void)p;                                                                                    \
        return of(c, r, relu);                                                                               \
    }
RUN(run_batch_norm_train, train, false)
RUN(run_batch_norm_eval, eval, false)
RUN(run_batch_norm_relu_train, train, true)
RUN(run_batch_norm_relu_eval, eval, true)

static back_data back_arguments(const tg_run *r, int64_t want)
{
    return (back_data){
        .dy = r->in[0],
        .x = r->in[1],
        .weight = r->in[2],
        .mean = r->in[3],
        .invstd = r->in[4],
        .dx = want & TG_WANT_SRC ? r->out[0] : NULL,
        .dweight = want & TG_WANT_WEIGHT ? r->out[1] : NULL,
        .dbias = want & TG_WANT_BIAS ? r->out[2] : NULL,
    };
}

static tg_status run_batch_norm_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                         const tg_run *r)
{
    (void)s, (void)p;
    const tg_batch_norm_backward_attrs *a = c->attrs;
    layout q = cut(c->in[1]);
    back_data d = back_arguments(r, a->want);
    int32_t dtype = c->in[1]->dtype;
    batch_back_task t = {.q = &q, .d = &d, .a = r->scratch, .batch_stats = a->batch_stats};
    t.b = t.a + q.chunks * q.channels;
    d.y = c->n_in == 6 ? r->in[5] : NULL;
    d.masked = t.b + q.chunks * q.channels;
    t.sums = d.dweight || d.dbias || d.y || (d.dx && t.batch_stats);
    if (is_empty(&q)) {
        fill(dtype, d.dweight, d.dweight ? q.channels : 0, 0.0);
        fill(dtype, d.dbias, d.dbias ? q.channels : 0, 0.0);
    } else {
        (dtype == TG_F32 ? backward_f32 : backward_f64)(&t, threads_for(&q, r->threads));
    }
    return TG_OK;
}

/* One group's buffers: to ← (1 − m)·to + m·factor·from. */
static void blend(const tg_desc *d, void *to, const void *from, const tg_desc *from_desc, double m,
                  double factor)
{
    for (int64_t i = 0; i < d->dim[0]; i++) {
        int64_t at = i * d->stride[0], source = i * from_desc->stride[0];
        if (d->dtype == TG_F32) {
            float *p = (float *)to + at;
            *p = (float)((1.0 - m) * (double)*p + m * factor * (double)((const float *)from)[source]);
        } else {
            double *p = (double *)to + at;
            *p = (1.0 - m) * *p + m * factor * ((const double *)from)[source];
        }
    }
}

static tg_status run_batch_norm_update(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    for (uint32_t i = 0, g = 0; i + 5 <= c->n_in; i += 5, g++) {
        double m = r->scalars[2 * g], n = r->scalars[2 * g + 1];
        if (n < 1.0) /* an empty batch */
            continue;
        /* The buffers are the caller's to change: the row says that it writes them. */
        void *mean = (void *)(uintptr_t)r->in[i], *var = (void *)(uintptr_t)r->in[i + 1];
        int64_t *count = (int64_t *)(uintptr_t)r->in[i + 2];
        *count = (int64_t)((uint64_t)*count + 1);
        if (m != m)
            m = 1.0 / (double)*count;
        blend(c->in[i], mean, r->in[i + 3], c->in[i + 3], m, 1.0);
        blend(c->in[i + 1], var, r->in[i + 4], c->in[i + 4], m, n / (n - 1.0));
    }
    return TG_OK;
}

/* -- layer norm ----------------------------------------------------------------------------------------- */

static rows_shape cut_rows(const tg_desc *x, int64_t normalized_ndim)
{
    rows_shape q = {.rows = 1, .n = 1};
    for (int i = 0; i < x->ndim; i++)
        *(i < x->ndim - normalized_ndim ? &q.rows : &q.n) *= x->dim[i];
    q.step = q.n < REF_CHUNK && q.n > 0 ? REF_CHUNK / q.n : 1;
    if (q.step * 64 < q.rows)
        q.step = (q.rows + 63) / 64;
    q.chunks = (q.rows + q.step - 1) / q.step;
    return q;
}

static tg_status prepare_layer_norm_backward(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    rows_shape q = cut_rows(c->in[1], ((const tg_layer_norm_backward_attrs *)c->attrs)->normalized_ndim);
    p->scratch_size = (size_t)(2 * q.chunks * q.n) * sizeof(double);
    return TG_OK;
}

static tg_status run_layer_norm(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_layer_norm_attrs *a = c->attrs;
    rows_shape q = cut_rows(c->in[0], a->normalized_ndim);
    int threads = q.rows * q.n < REF_SERIAL ? 1 : r->threads;
    layer_task t = {.q = &q,
                    .x = r->in[0],
                    .weight = r->in[1],
                    .bias = r->in[2],
                    .y = r->out[0],
                    .mean = r->out[1],
                    .rstd = r->out[2],
                    .eps = a->eps};
    tg_ref_each(threads, q.chunks, c->in[0]->dtype == TG_F32 ? layer_item_f32 : layer_item_f64, &t);
    return TG_OK;
}

static tg_status run_layer_norm_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                         const tg_run *r)
{
    (void)s, (void)p;
    const tg_layer_norm_backward_attrs *a = c->attrs;
    rows_shape q = cut_rows(c->in[1], a->normalized_ndim);
    back_data d = back_arguments(r, a->want);
    int threads = q.rows * q.n < REF_SERIAL ? 1 : r->threads;
    bool single = c->in[1]->dtype == TG_F32;
    double *sums = r->scratch;
    layer_back_task t = {
        .q = &q, .d = &d, .a = d.dweight ? sums : NULL, .b = sums && d.dbias ? sums + q.chunks * q.n : NULL};
    const tg_ref_phase phases[] = {{q.chunks, single ? layer_back_item_f32 : layer_back_item_f64},
                                   {q.n, single ? layer_sums_item_f32 : layer_sums_item_f64}};
    tg_ref_phases(threads, 2, phases, &t);
    return TG_OK;
}

#define PREPARED(name, prepare_fn, run_fn)                                                                   \
    {                                                                                                        \
        .struct_size = sizeof(tg_kernel), .version = 1, .op = name, .prepare = prepare_fn, .run = run_fn     \
    }

const tg_kernel tg_ref_norm[] = {
    PREPARED("batch_norm_train", prepare_batch_norm, run_batch_norm_train),
    PREPARED("batch_norm_eval", prepare_batch_norm, run_batch_norm_eval),
    PREPARED("batch_norm_backward", prepare_batch_norm, run_batch_norm_backward),
    PREPARED("batch_norm_relu_train", prepare_batch_norm, run_batch_norm_relu_train),
    PREPARED("batch_norm_relu_eval", prepare_batch_norm, run_batch_norm_relu_eval),
    PREPARED("batch_norm_relu_backward", prepare_batch_norm, run_batch_norm_backward),
    TG_REF_KERNEL("batch_norm_update", run_batch_norm_update),
    TG_REF_KERNEL("layer_norm", run_layer_norm),
    PREPARED("layer_norm_backward", prepare_layer_norm_backward, run_layer_norm_backward),
    {0},
};
