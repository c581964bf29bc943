/* A convolution is cut into tiles of positions; the windows of a tile are gathered as columns, and multiplied. Parts of
 * the batch, for the gradient by the weights, are added in an order that the shapes alone decide. */
#include "backends/blis/conv.h"
#include "backends/conv_view.h"

#include <blis.h>
#include <omp.h>
#include <stdbool.h>
#include <string.h>

enum { DEPTH = 512, COLUMNS = 512, PARTS = 16 };

typedef struct work {
    tg_conv v;
    const void *in[3];
    void *out;
    char *scratch, *sums;
    int64_t rows, cols, depth, across, jobs, each, classes, parts, nt, kt; /* each: of T, for one thread */
    int threads;
    bool wide, backward, weights;
} work;

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t count_of(const tg_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    return n;
}

static work plan(const tg_call *c)
{
    const tg_convolution_attrs *a = c->attrs;
    work w = {.wide = c->out->dtype == TG_F64, .weights = c->n_in == 2, .parts = 1, .classes = 1};
    w.backward = !w.weights && a->size.n > 0;
    w.v = w.weights    ? tg_conv_make(a, c->in[1], c->out, c->in[0])
          : w.backward ? tg_conv_make(a, c->out, c->in[1], c->in[0])
                       : tg_conv_make(a, c->in[0], c->in[1], c->out);
    if (!count_of(c->out) || !w.v.batch)
        return w;
    const tg_conv *v = &w.v;
    w.rows = w.backward ? v->c : v->o;
    int64_t products = v->batch * v->groups;
    if (w.weights) {
        w.cols = v->c * v->places;
        w.depth = v->outs;
        w.parts = min64((v->batch + 1) / 2, PARTS);
        products = v->groups * w.parts;
    } else {
        const tg_conv_view view = w.backward ? tg_conv_backward(v, 0) : tg_conv_forward(v);
        w.classes = w.backward ? tg_conv_classes(v) : 1;
        w.cols = view.positions;
        w.depth = (w.backward ? v->o : v->c) * v->places;
        products *= w.classes;
    }
    w.kt = min64(w.depth, DEPTH);
    w.nt = min64(w.cols, COLUMNS);
    w.across = (w.cols + w.nt - 1) / w.nt;
    w.jobs = products * w.across;
    /* A block of columns, one of packed weights, a tile of the result. */
    w.each = (w.kt * w.nt + w.rows * w.kt + w.rows * w.nt + 15) / 16 * 16;
    w.threads = 2.0 * (double)w.rows * (double)w.cols * (double)w.depth * (double)products < 1.2e6 ? 1 : c->threads;
    w.threads = (int)min64(w.threads < 1 ? 1 : w.threads, w.jobs);
    return w;
}

#define T float
#define OUT float
#define GEMM bli_sgemm_ex
#define NAME(x) x##_f32
#include "backends/conv_typed.h"
#include "backends/blis/conv_typed.h"
#undef T
#undef OUT
#undef GEMM
#undef NAME
#define T double
#define OUT double
#define GEMM bli_dgemm_ex
#define NAME(x) x##_f64
#include "backends/conv_typed.h"
#include "backends/blis/conv_typed.h"

/* The reference's products, in f64, reach about half of BLIS's speed in f32; where the rows are few or the sums short,
 * BLIS loses more than that. */
tg_accept tg_blis_conv_accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    (void)s;
    if (c->out->dtype != TG_F32 && c->out->dtype != TG_F64) {
        *reason = "BLIS has kernels for f32 and f64 only";
        return TG_REFUSE;
    }
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i] && c->in[i]->layout) {
            *reason = "BLIS reads strided arrays only";
            return TG_REFUSE;
        }
    const work w = plan(c);
    if (w.rows < 8 || w.cols < 16 || w.depth < 32 ||
        2.0 * (double)w.rows * (double)w.cols * (double)w.depth < 5e5) {
        *reason = "too small: the reference is faster";
        return TG_DECLINE;
    }
    return TG_ACCEPT;
}

tg_status tg_blis_conv_prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    const work w = plan(c);
    const size_t sums = w.parts > 1 ? (size_t)(w.parts * count_of(c->out)) : 0;
    p->scratch_size = ((size_t)(w.threads * w.each) + sums) * (w.wide ? sizeof(double) : sizeof(float));
    return TG_OK;
}

tg_status tg_blis_conv_run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    work w = plan(c);
    const size_t size = w.wide ? sizeof(double) : sizeof(float);
    w.in[0] = r->in[0];
    w.in[1] = r->in[1];
    w.in[2] = c->n_in > 2 ? r->in[2] : NULL;
    w.out = r->out[0];
    w.scratch = r->scratch;
    w.sums = w.parts > 1 ? w.scratch + (size_t)(w.threads * w.each) * size : w.out;
    if (!w.jobs && count_of(c->out))
        memset(w.out, 0, (size_t)count_of(c->out) * size); /* gradients of nothing */
    const int threads = omp_in_parallel() ? 1 : (int)min64(w.threads, r->threads);
    void (*tile)(const work *, int64_t, void *) = w.weights ? (w.wide ? weights_tile_f64 : weights_tile_f32)
                                                            : (w.wide ? data_tile_f64 : data_tile_f32);
    if (threads <= 1)
        for (int64_t job = 0; job < w.jobs; job++)
            tile(&w, job, w.scratch);
    else {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
        for (int64_t job = 0; job < w.jobs; job++)
            tile(&w, job, w.scratch + (size_t)(omp_get_thread_num() * w.each) * size);
    }
    if (w.parts > 1)
        (w.wide ? add_parts_f64 : add_parts_f32)(&w, count_of(c->out));
    return TG_OK;
}
