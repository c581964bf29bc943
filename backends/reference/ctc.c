/* The loss of all alignments, in log space and in f64 throughout. The path of a target l of length L has 2L +
 * 1 places: the blank, l[0], the blank, l[1], …, the blank; a step stays, goes to the next one, or over a
 * blank between two labels that differ. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <math.h>
#include <string.h>

#define NONE (-(double)INFINITY) /* no path */

typedef struct ctc {
    const tg_ctc_loss_attrs *attrs;
    const void *log_probs, *dy;
    const int64_t *targets, *input_lengths, *target_lengths;
    void *dst;
    double *scratch;
    int64_t times, samples, classes, width, items, each; /* each: of doubles, for an item */
    bool f32, back;
} ctc;

/* One sample of them: `place` has the class of each place. */
typedef struct path {
    const ctc *q;
    int64_t *place, n, times, places;
} path;

static double load(const ctc *q, const void *x, int64_t i)
{
    return q->f32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void store(const ctc *q, int64_t i, double value)
{
    if (q->f32)
        ((float *)q->dst)[i] = (float)value;
    else
        ((double *)q->dst)[i] = value;
}

static int64_t within(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* The host has looked at lengths and labels; a kernel must not trust it with its memory. */
static path path_of(const ctc *q, int64_t n, double *scratch)
{
    path p = {q, (int64_t *)(void *)scratch, n, within(q->input_lengths[n], 0, q->times),
              2 * within(q->target_lengths[n], 0, q->width) + 1};
    for (int64_t s = 0; s < p.places; s++)
        p.place[s] = within(s & 1 ? q->targets[n * q->width + s / 2] : q->attrs->blank, 0, q->classes - 1);
    return p;
}

static double log_prob(const path *p, int64_t t, int64_t class)
{
    return load(p->q, p->q->log_probs, (t * p->q->samples + p->n) * p->q->classes + class);
}

/* From s − 2 to s? The blanks between labels are all one class. */
static bool leaps(const path *p, int64_t s)
{
    return s > 1 && s < p->places && p->place[s] != p->place[s - 2];
}

/* log(e^a + e^b + e^c); NaN stays. */
static double log_sum(double a, double b, double c)
{
    double m = a > b ? a : b;
    m = m > c ? m : c;
    if (m == NONE)
        return a + b + c;
    return m + log(exp(a - m) + exp(b - m) + exp(c - m));
}

/* The probability of each place at time t, and of what leads there, from those at t − 1; `to` may be `from`.
 */
static void advance(const path *p, int64_t t, const double *from, double *to)
{
    for (int64_t s = p->places - 1; s >= 0; s--) {
        double came = s < 2 ? 0 : NONE;
        if (t > 0)
            came = log_sum(from[s], s > 0 ? from[s - 1] : NONE, leaps(p, s) ? from[s - 2] : NONE);
        to[s] = came == NONE ? NONE : came + log_prob(p, t, p->place[s]);
    }
}

/* −log of what ends at the last label or the blank behind it; `last`: the last time's. */
static double cost(const path *p, const double *last)
{
    if (p->times == 0)
        return p->places == 1 ? 0 : -NONE;
    return -log_sum(last[p->places - 1], p->places > 1 ? last[p->places - 2] : NONE, NONE);
}

/* Adds to share how probable each class is at time t, given the target; `after` holds, for each place, what
 * follows it from t + 1 on, and is brought to t. */
static void occupy(const path *p, int64_t t, const double *alpha, double loss, double *after, double *share)
{
    for (int64_t s = 0; s < p->places; s++) {
        double follows = s < p->places - 2 ? NONE : 0;
        if (t < p->times - 1)
            follows = log_sum(after[s], s + 1 < p->places ? after[s + 1] : NONE,
                              leaps(p, s + 2) ? after[s + 2] : NONE);
        share[p->place[s]] += exp(alpha[s] + follows + loss);
        after[s] = follows == NONE ? NONE : follows + log_prob(p, t, p->place[s]);
    }
}

static void forward(const path *p, double *alpha)
{
    for (int64_t t = 0; t < p->times; t++)
        advance(p, t, alpha, alpha);
    const double loss = cost(p, alpha);
    store(p->q, p->n, p->q->attrs->zero_infinity && loss == -NONE ? 0 : loss);
}

static void backward(const path *p, double *after)
{
    const ctc *q = p->q;
    double *share = after + p->places, *alpha = share + q->classes, *last = alpha;
    for (int64_t t = 0; t < p->times; t++) {
        double *to = alpha + t * p->places;
        advance(p, t, last, to);
        last = to;
    }
    const double loss = cost(p, last), dy = load(q, q->dy, p->n);
    const bool lost = loss == -NONE, zero = lost && q->attrs->zero_infinity;
    for (int64_t t = q->times - 1; t >= 0; t--) {
        memset(share, 0, (size_t)q->classes * sizeof *share);
        if (t < p->times && !lost)
            occupy(p, t, alpha + t * p->places, loss, after, share);
        for (int64_t c = 0; c < q->classes; c++) {
            const double g = lost ? (double)NAN : exp(log_prob(p, t, c)) - share[c];
            store(q, (t * q->samples + p->n) * q->classes + c, t >= p->times || zero ? 0 : dy * g);
        }
    }
}

static void item(const void *arg, int64_t i)
{
    const ctc *q = arg;
    double *scratch = q->scratch + i * q->each;
    for (int64_t n = i; n < q->samples; n += q->items) {
        const path p = path_of(q, n, scratch);
        (q->back ? backward : forward)(&p, scratch + p.places);
    }
}

/* log_probs is the fourth from the end; before it, gy. */
static ctc describe(const tg_call *c, int threads)
{
    const uint32_t first = c->n_in - 4;
    const tg_desc *x = c->in[first];
    ctc q = {.attrs = c->attrs,
             .times = x->dim[0],
             .samples = x->dim[1],
             .classes = x->dim[2],
             .width = c->in[first + 1]->dim[1],
             .f32 = x->dtype == TG_F32,
             .back = first > 0};
    q.items = within(threads, 1, q.samples > 0 ? q.samples : 1);
    q.each = (2 * q.width + 1) * (q.back ? q.times + 2 : 2) + (q.back ? q.classes : 0);
    return q;
}

static tg_status run_ctc(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    ctc q = describe(c, r->threads < c->threads ? r->threads : c->threads);
    const void *const *in = r->in + c->n_in - 4;
    q.dy = r->in[0];
    q.log_probs = in[0];
    q.targets = in[1];
    q.input_lengths = in[2];
    q.target_lengths = in[3];
    q.dst = r->out[0];
    q.scratch = r->scratch;
    tg_ref_each((int)q.items, q.samples > 0 ? q.items : 0, item, &q);
    return TG_OK;
}

static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    const ctc q = describe(c, c->threads);
    p->scratch_size = (size_t)(q.items * q.each) * sizeof(double);
    return TG_OK;
}

const tg_ref_kernel tg_ref_ctc[] = {
    {.op = "ctc_loss", .prepare = prepare, .run = run_ctc},
    {.op = "ctc_loss_backward", .prepare = prepare, .run = run_ctc},
    {0},
};
