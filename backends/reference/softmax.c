/* softmax, log_softmax, their gradients, logsumexp: shifted by the maximum, so that nothing overflows. */
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

static tg_status softmax(const tg_call *c, const tg_run *r, bool logs)
{
    const tg_softmax_attrs *a = c->attrs;
    shape p = around(c->in[0], a->dim);
    int64_t count = p.outer * p.n * p.inner;
    if (count == 0)
        return TG_OK;
    int threads = count < REF_SERIAL ? 1 : r->threads;
    if (c->in[0]->dtype == TG_F32)
        forward_f32(&p, r->out[0], r->in[0], logs, threads);
    else
        forward_f64(&p, r->out[0], r->in[0], logs, threads);
    return TG_OK;
}

static tg_status softmax_backward(const tg_call *c, const tg_run *r, bool logs)
{
    const tg_softmax_attrs *a = c->attrs;
    shape p = around(c->in[0], a->dim);
    int64_t count = p.outer * p.n * p.inner;
    if (count == 0)
        return TG_OK;
    int threads = count < REF_SERIAL ? 1 : r->threads;
    if (c->in[0]->dtype == TG_F32)
        backward_f32(&p, r->out[0], r->in[0], r->in[1], logs, threads);
    else
        backward_f64(&p, r->out[0], r->in[0], r->in[1], logs, threads);
    return TG_OK;
}

void ref_log_softmax(int32_t dtype, int64_t outer, int64_t n, int64_t inner, void *y, const void *x,
                     int threads)
{
    shape p = {outer, n, inner};
    if (dtype == TG_F32)
        forward_f32(&p, y, x, true, threads);
    else
        forward_f64(&p, y, x, true, threads);
}

static tg_status run_softmax(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return softmax(c, r, false);
}

static tg_status run_log_softmax(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return softmax(c, r, true);
}

static tg_status run_softmax_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                      const tg_run *r)
{
    (void)s, (void)p;
    return softmax_backward(c, r, false);
}

static tg_status run_log_softmax_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                          const tg_run *r)
{
    (void)s, (void)p;
    return softmax_backward(c, r, true);
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

static tg_status run_logsumexp(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_logsumexp_attrs *a = c->attrs;
    span kept, reduced;
    split(c->in[0], &a->dims, &kept, &reduced);
    int64_t outputs = 1, each = reduced.run;
    for (int i = 0; i < kept.ndim; i++)
        outputs *= kept.dim[i];
    for (int i = 0; i < reduced.ndim; i++)
        each *= reduced.dim[i];
    if (each == 0) {
        reduced = (span){.run = 0};
        kept.ndim = 0; /* nothing is read: any offset will do */
    }
    int threads = outputs * each < REF_SERIAL ? 1 : r->threads;
    bool single = c->in[0]->dtype == TG_F32;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t o = 0; o < outputs; o++) {
        if (single)
            ((float *)r->out[0])[o] = logsumexp_one_f32((const float *)r->in[0] + nth(&kept, o), &reduced);
        else
            ((double *)r->out[0])[o] = logsumexp_one_f64((const double *)r->in[0] + nth(&kept, o), &reduced);
    }
    return TG_OK;
}

const tg_kernel tg_ref_softmax[] = {
    TG_REF_KERNEL("softmax", run_softmax),
    TG_REF_KERNEL("log_softmax", run_log_softmax),
    TG_REF_KERNEL("softmax_backward", run_softmax_backward),
    TG_REF_KERNEL("log_softmax_backward", run_log_softmax_backward),
    TG_REF_KERNEL("logsumexp", run_logsumexp),
    {0},
};
