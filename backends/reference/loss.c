/* Losses: sums in f64, by chunks of fixed size that are then added in order. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"
#include "backends/reference/lanes.h"
#include "backends/reference/map.h"

#include <stdbool.h>

enum { WIDTH = 64 }; /* neighbouring columns worked on at a time */

/* [N, C, *] as N·inner positions of C classes. */
typedef struct nll {
    int64_t classes, inner, count, ignore, reduction;
    double smoothing, weights; /* Σ_c w[c] */
} nll;

/* The host has refused other labels than these and ignore_index; a kernel must not trust it with its memory.
 */
static inline bool counts(const nll *q, int64_t label)
{
    return label != q->ignore && (uint64_t)label < (uint64_t)q->classes;
}

typedef struct mse_task {
    const void *a, *b, *dy; /* dy: the backward's, of reduction none */
    void *dst;
    double *partial; /* the forward's sums, one a chunk; NULL: dst has each */
    double factor;   /* the backward's                                      */
    int64_t n;
} mse_task;

typedef struct nll_task {
    const nll *q;
    const void *x, *weight; /* the backward's x: log-probabilities or NULL */
    const int64_t *target;
    double *partial;
    void *dst; /* NULL: the forward writes sums alone */
    const void *dy;
    double scale;
    int64_t step, blocks; /* rows an item; blocks of WIDTH columns a sample */
} nll_task;

#define T float
#define NAME(x) x##_f32
#include "backends/reference/loss_typed.h"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_f64
#include "backends/reference/loss_typed.h"
#undef T
#undef NAME

/* Two partial sums a chunk. The target has an element for each position, also where there are no classes. */
static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    p->scratch_size = (size_t)((ref_count(c->in[1]) + REF_CHUNK - 1) / REF_CHUNK + 1) * 2 * sizeof(double);
    return TG_OK;
}

static tg_status run_mse_loss(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_mse_loss_attrs *a = c->attrs;
    int64_t n = ref_count(c->in[0]);
    int threads = n < REF_SERIAL ? 1 : r->threads;
    if (c->in[0]->dtype == TG_F32)
        mse_f32(r, a->reduction, n, threads);
    else
        mse_f64(r, a->reduction, n, threads);
    return TG_OK;
}

static tg_status run_mse_loss_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    const tg_mse_loss_attrs *a = c->attrs;
    int64_t n = ref_count(c->in[1]);
    int threads = n < REF_SERIAL ? 1 : r->threads;
    if (n == 0)
        return TG_OK;
    if (c->in[1]->dtype == TG_F32)
        mse_backward_f32(r, a->reduction, n, threads);
    else
        mse_backward_f64(r, a->reduction, n, threads);
    return TG_OK;
}

static tg_status run_label_range(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_label_range_attrs *a = c->attrs;
    const int64_t *t = r->in[0];
    int64_t n = ref_count(c->in[0]), bad = 0, *out = r->out[0];
    for (int64_t i = 0; i < n; i++)
        bad += (uint64_t)t[i] >= (uint64_t)a->classes && t[i] != a->ignore_index;
    out[0] = bad;
    out[1] = out[2] = 0;
    for (int64_t i = 0; bad && i < n; i++)
        if ((uint64_t)t[i] >= (uint64_t)a->classes && t[i] != a->ignore_index) {
            out[1] = i;
            out[2] = t[i];
            break;
        }
    return TG_OK;
}

static nll describe(const tg_desc *input, const tg_nll_loss_attrs *a)
{
    nll q = {
        .inner = 1, .ignore = a->ignore_index, .reduction = a->reduction, .smoothing = a->label_smoothing};
    q.classes = input->dim[input->ndim > 1];
    for (int i = 2; i < input->ndim; i++)
        q.inner *= input->dim[i];
    q.count = input->ndim > 1 ? input->dim[0] * q.inner : 1;
    return q;
}

static tg_status nll_forward(const tg_call *c, const tg_run *r, const void *x)
{
    nll q = describe(c->in[0], c->attrs);
    int threads = q.count < REF_SERIAL ? 1 : r->threads;
    if (c->in[0]->dtype == TG_F32)
        nll_loss_f32(&q, x, r->in[1], r->in[2], r->out[0], r->scratch, threads);
    else
        nll_loss_f64(&q, x, r->in[1], r->in[2], r->out[0], r->scratch, threads);
    return TG_OK;
}

static tg_status run_nll_loss(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return nll_forward(c, r, r->in[0]);
}

static tg_status run_cross_entropy(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                   const tg_run *r)
{
    (void)s, (void)p;
    nll q = describe(c->in[0], c->attrs);
    int64_t n = q.count * q.classes;
    if (n > 0)
        ref_log_softmax(c->in[0]->dtype, q.count / q.inner, q.classes, q.inner, r->out[1], r->in[0],
                        n < REF_SERIAL ? 1 : r->threads);
    return nll_forward(c, r, r->out[1]);
}

static tg_status nll_backward(const tg_call *c, const tg_run *r, const void *log_probs, size_t target)
{
    const tg_nll_loss_backward_attrs *a = c->attrs;
    tg_nll_loss_attrs plain = {a->ignore_index, a->reduction, a->label_smoothing};
    nll q = describe(&c->out[0], &plain);
    int64_t n = q.count * q.classes;
    int threads = n < REF_SERIAL ? 1 : r->threads;
    if (n == 0)
        return TG_OK;
    if (c->out[0].dtype == TG_F32)
        nll_back_f32(&q, r->out[0], r->in[0], log_probs, r->in[target], r->in[target + 1], threads);
    else
        nll_back_f64(&q, r->out[0], r->in[0], log_probs, r->in[target], r->in[target + 1], threads);
    return TG_OK;
}

static tg_status run_nll_loss_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    return nll_backward(c, r, NULL, 1);
}

static tg_status run_cross_entropy_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                            const tg_run *r)
{
    (void)s, (void)p;
    return nll_backward(c, r, r->in[1], 2);
}

/* Rare: in f64 throughout, and not compiled for each machine. */
#define BINARY(suffix, TYPE)                                                                                 \
    static void binary_##suffix(int64_t blocks, void *out, const void *const *in, const double *k)           \
    {                                                                                                        \
        TYPE *y = out;                                                                                       \
        const TYPE *x = in[0], *target = in[1];                                                              \
        (void)k;                                                                                             \
        for (int64_t i = 0; i < TG_REF_BLOCK * blocks; i++) {                                                \
            const double t = (double)target[i], log_x = log((double)x[i]), rest = log1p(-(double)x[i]);      \
            y[i] = (TYPE)-(t * (log_x < -100 ? -100 : log_x) + (1 - t) * (rest < -100 ? -100 : rest));     \
        }                                                                                                    \
    }
BINARY(f32, float)
BINARY(f64, double)

static tg_status run_binary_cross_entropy(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                          const tg_run *r)
{
    (void)s, (void)p;
    return tg_ref_map_float(c, r, binary_f32, binary_f64);
}

#define WITH_SCRATCH(name, run_fn)                                                                           \
    {                                                                                                        \
        .op = name, .prepare = prepare, .run = run_fn        \
    }

const tg_ref_kernel tg_ref_loss[] = {
    WITH_SCRATCH("mse_loss", run_mse_loss),
    TG_REF_KERNEL("mse_loss_backward", run_mse_loss_backward),
    TG_REF_KERNEL("binary_cross_entropy", run_binary_cross_entropy),
    TG_REF_KERNEL("label_range", run_label_range),
    WITH_SCRATCH("nll_loss", run_nll_loss),
    TG_REF_KERNEL("nll_loss_backward", run_nll_loss_backward),
    WITH_SCRATCH("cross_entropy", run_cross_entropy),
    TG_REF_KERNEL("cross_entropy_backward", run_cross_entropy_backward),
    {0},
};
