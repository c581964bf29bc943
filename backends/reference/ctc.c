/* The loss of all alignments, in log space and in f64 throughout. The path of a target l of length L has 2L +
 * 1 places: the blank, l[0], the blank, l[1], …, the blank; a step stays, goes to the next one, or over a
 * blank between two labels that differ. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <math.h>

typedef struct ctc {
    const tg_ctc_loss_attrs *attrs;
    const void *log_probs, *dy;
    const int64_t *targets, *input_lengths, *target_lengths;
    void *dst;
    double *scratch;
    int64_t times, samples, classes, width, items, each; /* each: of doubles, for an item */
    bool f32;
} ctc;

/* One sample of them. */
typedef struct path {
    const ctc *q;
    int64_t n, times, places;
} path;

static inline double load(const void *x, bool f32, int64_t i)
{
    return f32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static inline void store(void *x, bool f32, int64_t i, double value)
{
    if (f32)
        ((float *)x)[i] = (float)value;
    else
        ((double *)x)[i] = value;
}

static inline int64_t within(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* The host has looked at lengths and labels; a kernel must not trust it with its memory. */
static path path_of(const ctc *q, int64_t n)
{
    return (path){q, n, within(q->input_lengths[n], 0, q->times),
                  2 * within(q->target_lengths[n], 0, q->width) + 1};
}

static inline int64_t class_at(const path *p, int64_t s)
{
    const int64_t label = s & 1 ? p->q->targets[p->n * p->q->width + s / 2] : p->q->attrs->blank;
    return within(label, 0, p->q->classes - 1);
}

static inline double log_prob(const path *p, int64_t t, int64_t s)
{
    return load(p->q->log_probs, p->q->f32, (t * p->q->samples + p->n) * p->q->classes + class_at(p, s));
}

/* From s − 2 to s? */
static inline bool leaps(const path *p, int64_t s)
{
    return s & 1 && s > 1 && class_at(p, s) != class_at(p, s - 2);
}

/* log(e^a + e^b + e^c); NaN stays. */
static double log_sum(double a, double b, double c)
{
    double m = a > b ? a : b;
    m = m > c ? m : c;
    if (m == -(double)INFINITY)
        return a + b + c;
    return m + log(exp(a - m) + exp(b - m) + exp(c - m));
}

/* The probability of each place at time t, and of what leads there, from those at t − 1; `to` may be `from`.
 */
static void advance(const path *p, int64_t t, const double *from, double *to)
{
    const double none = -(double)INFINITY;
    for (int64_t s = p->places - 1; s >= 0; s--) {
        const double came =
            t == 0 ? s < 2 ? 0 : none
                   : log_sum(from[s], s > 0 ? from[s - 1] : none, leaps(p, s) ? from[s - 2] : none);
        to[s] = came == none ? none : came + log_prob(p, t, s);
    }
}

/* −log of what ends at the last label or the blank behind it; `last`: the last time's. */
static double cost(const path *p, const double *last)
{
    const double none = -(double)INFINITY;
    if (p->times == 0)
        return p->places == 1 ? 0 : (double)INFINITY;
    return -log_sum(last[p->places - 1], p->places > 1 ? last[p->places - 2] : none, none);
}

static void forward_item(const void *arg, int64_t item)
{
    const ctc *q = arg;
    double *alpha = q->scratch + item * q->each;
    for (int64_t n = item; n < q->samples; n += q->items) {
        const path p = path_of(q, n);
        for (int64_t t = 0; t < p.times; t++)
            advance(&p, t, alpha, alpha);
        const double loss = cost(&p, alpha);
        store(q->dst, q->f32, n, q->attrs->zero_infinity && loss == (double)INFINITY ? 0 : loss);
    }
}

/* How probable each class is at time t, given the target; `after` holds, for each place, what follows it at t
 * + 1 and is brought to t. */
static void occupy(const path *p, int64_t t, const double *alpha, double loss, double *after, double *share)
{
    const double none = -(double)INFINITY;
    for (int64_t s = 0; s < p->places; s++) {
        const bool next = s + 1 < p->places, leap = s + 2 < p->places && leaps(p, s + 2);
        const double follows =
            t == p->times - 1 ? s < p->places - 2 ? none : 0
                              : log_sum(after[s], next ? after[s + 1] : none, leap ? after[s + 2] : none);
        share[class_at(p, s)] += exp(alpha[s] + follows + loss);
        after[s] = follows == none ? none : follows + log_prob(p, t, s);
    }
}

static void backward_sample(const ctc *q, int64_t n, double *scratch)
{
    const path p = path_of(q, n);
    const int64_t row = 2 * q->width + 1;
    double *after = scratch, *share = after + row, *alpha = share + q->classes;
    for (int64_t t = 0; t < p.times; t++)
        advance(&p, t, alpha + (t ? t - 1 : 0) * row, alpha + t * row);
    const double loss = cost(&p, alpha + (p.times ? p.times - 1 : 0) * row), dy = load(q->dy, q->f32, n);
    const bool lost = loss == (double)INFINITY, zero = lost && q->attrs->zero_infinity;
    for (int64_t t = q->times - 1; t >= 0; t--) {
        const int64_t at = (t * q->samples + n) * q->classes;
        for (int64_t c = 0; c < q->classes; c++)
            share[c] = 0;
        if (t < p.times && !lost)
            occupy(&p, t, alpha + t * row, loss, after, share);
        for (int64_t c = 0; c < q->classes; c++) {
            const double g = lost ? (double)NAN : exp(load(q->log_probs, q->f32, at + c)) - share[c];
            store(q->dst, q->f32, at + c, t >= p.times || zero ? 0 : dy * g);
        }
    }
}

static void backward_item(const void *arg, int64_t item)
{
    const ctc *q = arg;
    for (int64_t n = item; n < q->samples; n += q->items)
        backward_sample(q, n, q->scratch + item * q->each);
}

/* The call with log_probs in c->in[first]. */
static ctc describe(const tg_call *c, size_t first, int threads)
{
    const tg_desc *x = c->in[first];
    ctc q = {.attrs = c->attrs,
             .times = x->dim[0],
             .samples = x->dim[1],
             .classes = x->dim[2],
             .width = c->in[first + 1]->dim[1],
             .f32 = x->dtype == TG_F32};
    q.items = within(threads, 1, q.samples > 0 ? q.samples : 1);
    q.each = 2 * q.width + 1;
    if (first)
        q.each += q.classes + (q.times > 0 ? q.times : 1) * (2 * q.width + 1);
    return q;
}

static tg_status run(const tg_call *c, const tg_run *r, size_t first, tg_ref_item_fn fn)
{
    ctc q = describe(c, first, r->threads < c->threads ? r->threads : c->threads);
    q.dy = r->in[0];
    q.log_probs = r->in[first];
    q.targets = r->in[first + 1];
    q.input_lengths = r->in[first + 2];
    q.target_lengths = r->in[first + 3];
    q.dst = r->out[0];
    q.scratch = r->scratch;
    tg_ref_each((int)q.items, q.samples > 0 ? q.items : 0, fn, &q);
    return TG_OK;
}

static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    const ctc q = describe(c, c->n_in - 4, c->threads);
    p->scratch_size = (size_t)(q.items * q.each) * sizeof(double);
    return TG_OK;
}

static tg_status run_ctc_loss(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, 0, forward_item);
}

static tg_status run_ctc_loss_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, 1, backward_item);
}

const tg_ref_kernel tg_ref_ctc[] = {
    {.op = "ctc_loss", .prepare = prepare, .run = run_ctc_loss},
    {.op = "ctc_loss_backward", .prepare = prepare, .run = run_ctc_loss_backward},
    {0},
};
