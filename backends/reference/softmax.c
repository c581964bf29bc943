/* softmax, log_softmax, their gradients, logsumexp: shifted by the maximum, so that nothing overflows. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"
#include "backends/reference/lanes.h"

#include <stdbool.h>

enum {
    PIECE = 1024, /* elements of a row, or a group of rows, that are worked on at a time */
    WIDTH = 64    /* neighbouring columns                                               */
};

/* A dense tensor around one of its dims. */
typedef struct shape {
    int64_t outer, n, inner;
} shape;

static shape around(const tg_desc *d, int64_t dim)
{
    shape p = {1, 1, 1};
    if (dim < 0)
        dim += d->ndim;
    for (int i = 0; i < d->ndim; i++)
        *(i < dim ? &p.outer : i == dim ? &p.n : &p.inner) *= d->dim[i];
    return p;
}

/* A forward (dst = y, src = x) or a backward (dst = dx, src = y, dy not NULL). */
typedef struct task {
    shape p;
    void *dst;
    const void *src, *dy;
    bool logs;
    int64_t step, blocks; /* rows an item; blocks of WIDTH columns a sample */
} task;

/* The reduced dims of logsumexp; the innermost stretch without gaps is `run`. */
typedef struct span {
    int ndim;
    int64_t run, dim[TG_MAX_DIM], stride[TG_MAX_DIM];
} span;

/* The next offset; false after the last, when it is back at 0. */
static inline bool advance(const span *s, int64_t *at, int64_t *offset)
{
    for (int i = s->ndim - 1; i >= 0; i--) {
        *offset += s->stride[i];
        if (++at[i] < s->dim[i])
            return true;
        *offset -= s->dim[i] * s->stride[i];
        at[i] = 0;
    }
    return false;
}

#define T float
#define EXP ref_expf
#define NAME(x) x##_f32
#include "backends/reference/lanes_typed.h"
#include "backends/reference/softmax_typed.h"
#undef T
#undef EXP
#undef NAME
#define T double
#define EXP ref_exp
#define NAME(x) x##_f64
#include "backends/reference/lanes_typed.h"
#include "backends/reference/softmax_typed.h"
#undef T
#undef EXP
#undef NAME

static void run(task *t, int32_t dtype, int threads)
{
    bool single = dtype == TG_F32;
    const shape *p = &t->p;
    if (p->outer * p->n * p->inner == 0)
        return;
    if (p->inner == 1) {
        t->step = p->n > PIECE ? 1 : PIECE / p->n;
        tg_ref_each(threads, (p->outer + t->step - 1) / t->step, single ? rows_item_f32 : rows_item_f64, t);
    } else {
        t->blocks = (p->inner + WIDTH - 1) / WIDTH;
        tg_ref_each(threads, p->outer * t->blocks, single ? columns_item_f32 : columns_item_f64, t);
    }
}

static tg_status softmax(const tg_call *c, const tg_run *r, bool backward, bool logs)
{
    const tg_softmax_attrs *a = c->attrs;
    task t = {.p = around(c->in[0], a->dim),
              .dst = r->out[0],
              .src = r->in[backward ? 1 : 0],
              .dy = backward ? r->in[0] : NULL,
              .logs = logs};
    run(&t, c->in[0]->dtype, t.p.outer * t.p.n * t.p.inner < REF_SERIAL ? 1 : r->threads);
    return TG_OK;
}

void ref_log_softmax(int32_t dtype, int64_t outer, int64_t n, int64_t inner, void *y, const void *x,
                     int threads)
{
    task t = {.p = {outer, n, inner}, .dst = y, .src = x, .logs = true};
    run(&t, dtype, threads);
}

static tg_status run_softmax(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return softmax(c, r, false, false);
}

static tg_status run_log_softmax(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return softmax(c, r, false, true);
}

static tg_status run_softmax_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                      const tg_run *r)
{
    (void)s, (void)p;
    return softmax(c, r, true, false);
}

static tg_status run_log_softmax_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                          const tg_run *r)
{
    (void)s, (void)p;
    return softmax(c, r, true, true);
}

/* Splits x's dims into kept and reduced ones; the latter's innermost unbroken stretch becomes the run. */
static void split(const tg_desc *x, const tg_ints *dims, span *kept, span *reduced)
{
    bool reduce[TG_MAX_DIM] = {0};
    int64_t stride[TG_MAX_DIM], step = 1;
    for (int64_t i = 0; i < dims->n; i++)
        reduce[dims->v[i] < 0 ? dims->v[i] + (x->ndim ? x->ndim : 1) : dims->v[i]] = true;
    for (int i = x->ndim - 1; i >= 0; i--) {
        stride[i] = step;
        step *= x->dim[i];
    }
    *kept = *reduced = (span){.run = 1};
    int last = x->ndim;
    while (last > 0 && (dims->n == 0 || reduce[last - 1]))
        reduced->run *= x->dim[--last];
    for (int i = 0; i < last; i++) {
        span *s = reduce[i] ? reduced : kept;
        s->dim[s->ndim] = x->dim[i];
        s->stride[s->ndim++] = stride[i];
    }
}

static int64_t nth(const span *s, int64_t k)
{
    int64_t offset = 0;
    for (int i = s->ndim - 1; i >= 0; i--) {
        offset += k % s->dim[i] * s->stride[i];
        k /= s->dim[i];
    }
    return offset;
}

typedef struct logsumexp_task {
    span kept, reduced;
    const void *src;
    void *dst;
    bool single;
} logsumexp_task;

static void logsumexp_item(const void *arg, int64_t o)
{
    const logsumexp_task *t = arg;
    int64_t at = nth(&t->kept, o);
    if (t->single)
        ((float *)t->dst)[o] = logsumexp_one_f32((const float *)t->src + at, &t->reduced);
    else
        ((double *)t->dst)[o] = logsumexp_one_f64((const double *)t->src + at, &t->reduced);
}

static tg_status run_logsumexp(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_logsumexp_attrs *a = c->attrs;
    logsumexp_task t = {.src = r->in[0], .dst = r->out[0], .single = c->in[0]->dtype == TG_F32};
    split(c->in[0], &a->dims, &t.kept, &t.reduced);
    int64_t outputs = 1, each = t.reduced.run;
    for (int i = 0; i < t.kept.ndim; i++)
        outputs *= t.kept.dim[i];
    for (int i = 0; i < t.reduced.ndim; i++)
        each *= t.reduced.dim[i];
    if (!outputs)
        return TG_OK;
    if (each == 0) {
        t.reduced = (span){.run = 0};
        t.kept.ndim = 0; /* nothing is read: any offset will do */
    }
    const int threads = outputs * each < REF_SERIAL ? 1 : r->threads;
    if (each && t.reduced.run == 1 && t.reduced.ndim == 1) {
        task columns = {.p = {1, t.reduced.dim[0], t.reduced.stride[0]}, .dst = r->out[0], .src = r->in[0]};
        columns.p.outer = outputs / columns.p.inner;
        columns.blocks = (columns.p.inner + WIDTH - 1) / WIDTH;
        tg_ref_each(threads, columns.p.outer * columns.blocks,
                    t.single ? logsumexp_columns_item_f32 : logsumexp_columns_item_f64, &columns);
        return TG_OK;
    }
    tg_ref_each(threads, outputs, logsumexp_item, &t);
    return TG_OK;
}

const tg_ref_kernel tg_ref_softmax[] = {
    TG_REF_KERNEL("softmax", run_softmax),
    TG_REF_KERNEL("log_softmax", run_log_softmax),
    TG_REF_KERNEL("softmax_backward", run_softmax_backward),
    TG_REF_KERNEL("log_softmax_backward", run_log_softmax_backward),
    TG_REF_KERNEL("logsumexp", run_logsumexp),
    {0},
};
