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

/* One sample of them. place: the class of each place; leap: 0 where one may come from two places before, else
 * −∞. */
typedef struct path {
    const ctc *q;
    int64_t *place, n, times, places;
    double *leap;
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

/* The host has looked at lengths and labels; a kernel must not trust it with its memory. The blanks between
 * labels are all one class. */
static path path_of(const ctc *q, int64_t n, double *scratch)
{
    path p = {q,
              (int64_t *)(void *)scratch,
              n,
              within(q->input_lengths[n], 0, q->times),
              2 * within(q->target_lengths[n], 0, q->width) + 1,
              NULL};
    p.leap = scratch + p.places;
    for (int64_t s = 0; s < p.places; s++) {
        p.place[s] = within(s & 1 ? q->targets[n * q->width + s / 2] : q->attrs->blank, 0, q->classes - 1);
        p.leap[s] = s > 1 && p.place[s] != p.place[s - 2] ? 0 : NONE;
    }
    return p;
}

static double log_prob(const path *p, int64_t t, int64_t class)
{
    return load(p->q, p->q->log_probs, (t * p->q->samples + p->n) * p->q->classes + class);
}

/* Rows have two places before the first one. This is what leads to the first step: only the first place, or
 * the second. */
static double *begin(double *row, int64_t n)
{
    for (int64_t s = 0; s < n + 2; s++)
        row[s] = s == 2 ? 0 : NONE;
    return row + 2;
}

/* What comes to each place in one step: log(e^from[s] + e^from[s − 1] + e^from[s − 2]), the last one where it
 * may leap. An exponential is dear: that of the largest is 1, and where there is no path it is 0. */
static double *step(int64_t n, double *to, const double *from, const double *leap)
{
    to[0] = to[1] = NONE;
    to += 2;
    for (int64_t s = 0; s < n; s++) {
        double a = from[s], b = from[s - 1], c = from[s - 2] + leap[s], rest = 0;
        if (b > a)
            a = b, b = from[s];
        if (c > a) {
            const double less = a;
            a = c;
            c = less;
        }
        if (b != NONE)
            rest = exp(b - a);
        if (c != NONE)
            rest += exp(c - a);
        to[s] = rest == 0 ? a : a + log(1 + rest);
    }
    return to;
}

/* The probability of each place at time t, and of what leads there. */
static double *advance(const path *p, int64_t t, double *row, const double *from)
{
    double *to = step(p->places, row, from, p->leap);
    for (int64_t s = 0; s < p->places; s++)
        to[s] += log_prob(p, t, p->place[s]);
    return to;
}

/* −log of what ends at the last label or the blank behind it. */
static double cost(const path *p, const double *last)
{
    const double a = last[p->places - 1], b = last[p->places - 2], m = a > b ? a : b;
    return m == NONE ? -(a + b) : -m - log(exp(a - m) + exp(b - m));
}

static void forward(const path *p, double *scratch)
{
    double *rows[] = {scratch, scratch + p->places + 2}, *last = begin(rows[1], p->places);
    for (int64_t t = 0; t < p->times; t++)
        last = advance(p, t, rows[t & 1], last);
    const double loss = cost(p, last);
    store(p->q, p->n, p->q->attrs->zero_infinity && loss == -NONE ? 0 : loss);
}

/* How probable each class is at each time, given the target: what leads to a place times what follows it. The
 * latter goes the same way from the end, through the places in reverse. */
static void backward(const path *p, double *scratch)
{
    const ctc *q = p->q;
    const int64_t n = p->places, row = n + 2;
    double *share = scratch, *leap = share + q->classes, *rows[] = {leap + n, leap + n + row},
           *alpha = rows[1] + row;
    double *last = begin(alpha, n), *after = begin(rows[1], n);
    for (int64_t s = 0; s < n; s++)
        leap[s] = s > 1 ? p->leap[n + 1 - s] : NONE;
    for (int64_t t = 0; t < p->times; t++)
        last = advance(p, t, alpha + (t + 1) * row, last);
    const double loss = cost(p, last), dy = load(q, q->dy, p->n);
    const bool lost = loss == -NONE, zero = lost && q->attrs->zero_infinity;
    for (int64_t t = q->times - 1; t >= 0; t--) {
        memset(share, 0, (size_t)q->classes * sizeof *share);
        if (t < p->times && !lost) {
            const double *lead = alpha + (t + 1) * row + 2;
            after = step(n, rows[(p->times - 1 - t) & 1], after, leap);
            for (int64_t s = 0; s < n; s++) {
                share[p->place[s]] += exp(lead[s] + after[n - 1 - s] + loss);
                after[n - 1 - s] += log_prob(p, t, p->place[s]);
            }
        }
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
        (q->back ? backward : forward)(&p, p.leap + p.places);
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
    const int64_t row = 2 * q.width + 3;
    q.each = q.back ? row * (q.times + 6) + q.classes : row * 4;
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
