/* Pooling of tensors in our layouts. Most loops are our own: oneDNN's maximum loses NaN and makes the lowest number of
 * −∞, its gradient wants places that the forward wrote, and its averages do not count as ceil_mode does. Channels that
 * lie together are computed together, so that windows need no order of their own. */
#include "backends/onednn/onednn.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 16, SERIAL = 32768 };

/* -- windows ------------------------------------------------------------------------------------------------- */

/* A window's elements along one dim, and how many count for a mean. */
typedef struct span {
    int64_t from, to, count;
} span;

static inline span window(const tg_dnnl_windows *w, int k, int64_t o)
{
    const int64_t apart = w->dilation[k], begin = o * w->stride[k] - w->padding[k];
    const int64_t end = begin + (w->kernel[k] - 1) * apart + 1, most = w->x[k] + w->padding[k];
    span s = {.from = begin < 0 ? begin + (-begin + apart - 1) / apart * apart : begin,
              .to = end < w->x[k] ? end : w->x[k]};
    s.count = w->count_padding ? (end < most ? end : most) - begin : s.to - s.from;
    return s;
}

/* 1 over what a window's sum is divided by. */
static inline float part_of(const tg_dnnl_windows *w, const span s[3])
{
    return (float)(1 / (w->divisor ? w->divisor : (double)s[0].count * (double)s[1].count * (double)s[2].count));
}

/* For each element of the windows s, whose channels are AT a plane's beginning. */
#define EACH(w, s)                                                                                           \
    for (int64_t i_ = (s)[0].from; i_ < (s)[0].to; i_ += (w)->dilation[0])                                   \
        for (int64_t j_ = (s)[1].from; j_ < (s)[1].to; j_ += (w)->dilation[1])                               \
            for (int64_t k_ = (s)[2].from; k_ < (s)[2].to; k_ += (w)->dilation[2])
#define AT(w, base) ((base) + ((i_ * (w)->x[1] + j_) * (w)->x[2] + k_) * (w)->step)

/* -- lines of windows ---------------------------------------------------------------------------------------- */

/* x and gx begin a plane, y and gy a line of windows, whose spans across are s[0] and s[1]. */
typedef void forward_line(const tg_dnnl_windows *w, span s[3], const float *x, float *y);
typedef void backward_line(const tg_dnnl_windows *w, span s[3], const float *x, const float *gy, float *gx);

/* Of so many channels, wherever they lie. */
typedef float lanes_16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef float lanes_8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float lanes_4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float lanes_1 __attribute__((vector_size(4), aligned(4), may_alias));
#define LANES(p) (*(lanes *)(void *)(p))
#define LANES_OF(p) (*(const lanes *)(const void *)(p))
/* Of a window's maxima: what is larger is taken, and every NaN. */
#define MORE(v, best) (((v) > (best)) | ((v) != (v)))
#define FOR_LANES(width) _Pragma("omp simd") for (int l = 0; l < (width); l++)

/* Sums are vectors, which stay in registers; gcc 12 takes vectors of 16 apart where they are compared. */
#define LINES(width, clones)                                                                                 \
    clones static void max_##width(const tg_dnnl_windows *w, span s[3], const float *x, float *y)            \
    {                                                                                                        \
        for (int64_t o = 0; o < w->y[2]; o++, y += w->step) {                                                \
            float best[width];                                                                               \
            FOR_LANES(width) best[l] = -INFINITY;                                                            \
            s[2] = window(w, 2, o);                                                                          \
            EACH(w, s)                                                                                       \
            {                                                                                                \
                const float *v = AT(w, x);                                                                   \
                FOR_LANES(width) best[l] = MORE(v[l], best[l]) ? v[l] : best[l];                             \
            }                                                                                                \
            FOR_LANES(width) y[l] = best[l];                                                                 \
        }                                                                                                    \
    }                                                                                                        \
    clones static void max_back_##width(const tg_dnnl_windows *w, span s[3], const float *x,                 \
                                        const float *gy, float *gx)                                          \
    {                                                                                                        \
        for (int64_t o = 0; o < w->y[2]; o++, gy += w->step) {                                               \
            float best[width];                                                                               \
            int32_t at[width], number = 0;                                                                   \
            FOR_LANES(width)                                                                                 \
            {                                                                                                \
                best[l] = -INFINITY;                                                                         \
                at[l] = 0;                                                                                   \
            }                                                                                                \
            s[2] = window(w, 2, o);                                                                          \
            EACH(w, s)                                                                                       \
            {                                                                                                \
                const float *v = AT(w, x);                                                                   \
                FOR_LANES(width)                                                                             \
                {                                                                                            \
                    const int more = MORE(v[l], best[l]);                                                    \
                    best[l] = more ? v[l] : best[l];                                                         \
                    at[l] = more ? number : at[l];                                                           \
                }                                                                                            \
                number++;                                                                                    \
            }                                                                                                \
            number = 0;                                                                                      \
            EACH(w, s)                                                                                       \
            {                                                                                                \
                float *to = AT(w, gx);                                                                       \
                FOR_LANES(width) to[l] += at[l] == number ? gy[l] : 0.0f;                                    \
                number++;                                                                                    \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    clones static void average_##width(const tg_dnnl_windows *w, span s[3], const float *x, float *y)        \
    {                                                                                                        \
        typedef lanes_##width lanes;                                                                         \
        for (int64_t o = 0; o < w->y[2]; o++, y += w->step) {                                                \
            lanes sum = {0};                                                                                 \
            s[2] = window(w, 2, o);                                                                          \
            EACH(w, s) sum += LANES_OF(AT(w, x));                                                            \
            LANES(y) = sum * part_of(w, s);                                                                  \
        }                                                                                                    \
    }                                                                                                        \
    clones static void average_back_##width(const tg_dnnl_windows *w, span s[3], const float *x,             \
                                            const float *gy, float *gx)                                      \
    {                                                                                                        \
        typedef lanes_##width lanes;                                                                         \
        (void)x;                                                                                             \
        for (int64_t o = 0; o < w->y[2]; o++, gy += w->step) {                                               \
            s[2] = window(w, 2, o);                                                                          \
            const lanes give = LANES_OF(gy) * part_of(w, s);                                                 \
            EACH(w, s) LANES(AT(w, gx)) += give;                                                             \
        }                                                                                                    \
    }
LINES(16, TG_DNNL_CLONES)
LINES(8, TG_DNNL_CLONES)
LINES(4, )
LINES(1, )

/* For how many channels at once there are functions. */
enum { KINDS = 4 };
static const int64_t widths[KINDS] = {16, 8, 4, 1};

/* -- tasks --------------------------------------------------------------------------------------------------- */

/* Up to 16 channels of one image: task t of outer · groups. */
typedef struct channels {
    int64_t n, x, y; /* how many, and where they begin in the two tensors */
} channels;

static int64_t groups_of(const tg_dnnl_plan *q)
{
    return q->n / q->block * ((q->block + WIDTH - 1) / WIDTH);
}

static channels channels_of(const tg_dnnl_plan *q, int64_t t)
{
    const int64_t a_block = (q->block + WIDTH - 1) / WIDTH, groups = groups_of(q);
    const int64_t block = t / groups * (q->n / q->block) + t % groups / a_block, first = t % a_block * WIDTH;
    const tg_dnnl_windows *w = &q->windows;
    return (channels){.n = q->block - first < WIDTH ? q->block - first : WIDTH,
                      .x = block * w->x_plane * q->block + first,
                      .y = block * w->y_plane * q->block + first};
}

static void *data(const tg_run *r, tg_dnnl_operand o)
{
    return tg_dnnl_data(r, o.where, o.at);
}

typedef struct work {
    const tg_dnnl_plan *q;
    const float *x, *gy;
    float *to;
    forward_line *const *forward; /* of each width */
    backward_line *const *backward;
} work;

/* One line of windows. */
static void go_forward(const work *k, int64_t t)
{
    const tg_dnnl_windows *w = &k->q->windows;
    const int64_t lines = w->y[0] * w->y[1], line = t % lines;
    channels c = channels_of(k->q, t / lines);
    span s[3] = {window(w, 0, line / w->y[1]), window(w, 1, line % w->y[1])};
    c.y += line * w->y[2] * w->step;
    for (int i = 0; i < KINDS; i++)
        for (; c.n >= widths[i]; c.n -= widths[i], c.x += widths[i], c.y += widths[i])
            k->forward[i](w, s, k->x + c.x, k->to + c.y);
}

/* All of a plane's. */
static void go_backward(const work *k, int64_t t)
{
    const tg_dnnl_windows *w = &k->q->windows;
    channels c = channels_of(k->q, t);
    for (int64_t i = 0; i < w->x_plane; i++)
        memset(k->to + c.x + i * w->step, 0, (size_t)c.n * sizeof(float));
    for (int i = 0; i < KINDS; i++)
        for (; c.n >= widths[i]; c.n -= widths[i], c.x += widths[i], c.y += widths[i])
            for (int64_t line = 0; line < w->y[0] * w->y[1]; line++) {
                span s[3] = {window(w, 0, line / w->y[1]), window(w, 1, line % w->y[1])};
                k->backward[i](w, s, k->x + c.x, k->gy + c.y + line * w->y[2] * w->step, k->to + c.x);
            }
}

/* Even a team of one would cost an allocation. */
static void each(const work *k, int64_t tasks, void (*go)(const work *k, int64_t t))
{
    const tg_dnnl_plan *q = k->q;
    if (q->threads < 2 || q->outer * q->n * q->windows.x_plane <= SERIAL) {
        for (int64_t t = 0; t < tasks; t++)
            go(k, t);
        return;
    }
#pragma omp parallel for num_threads(q->threads)
    for (int64_t t = 0; t < tasks; t++)
        go(k, t);
}

static void forward(const tg_dnnl_plan *q, const tg_run *r, forward_line *const of_width[KINDS])
{
    const tg_dnnl_windows *w = &q->windows;
    const work k = {.q = q, .x = data(r, w->in), .to = data(r, w->out), .forward = of_width};
    each(&k, q->outer * groups_of(q) * w->y[0] * w->y[1], go_forward);
}

static void backward(const tg_dnnl_plan *q, const tg_run *r, backward_line *const of_width[KINDS])
{
    const tg_dnnl_windows *w = &q->windows;
    const work k = {.q = q,
                    .x = data(r, w->in),
                    .gy = data(r, w->gradient),
                    .to = data(r, w->out),
                    .backward = of_width};
    each(&k, q->outer * groups_of(q), go_backward);
}

static void run_max(const tg_dnnl_plan *q, const tg_run *r)
{
    forward(q, r, (forward_line *const[]){max_16, max_8, max_4, max_1});
}

static void run_max_backward(const tg_dnnl_plan *q, const tg_run *r)
{
    backward(q, r, (backward_line *const[]){max_back_16, max_back_8, max_back_4, max_back_1});
}

static void run_average(const tg_dnnl_plan *q, const tg_run *r)
{
    forward(q, r, (forward_line *const[]){average_16, average_8, average_4, average_1});
}

static void run_average_backward(const tg_dnnl_plan *q, const tg_run *r)
{
    backward(q, r, (backward_line *const[]){average_back_16, average_back_8, average_back_4, average_back_1});
}

/* -- plans --------------------------------------------------------------------------------------------------- */

/* Microseconds, one thread, Sapphire Rapids, oneDNN 2.6.3, `bench_onednn 1 onednn.so pooling`: the reference, and
 * oneDNN's primitive row-major, of which only the average is asked for (its maximum loses NaN); in blocks: that,
 * ours; gradient: the reference, ours, in blocks. N × C, size of the image / of the window / step:
 * max 128×32 28/2/2    7413    1633     646     789       8946    3197
 *     128×64 14/2/2    6957     535     286     371       7248     955
 *     32×64 56/3/2    18551    3943    2413    2033      21718    9230
 *     16×24 32/3/1     4785     603     381     606       4989    1447
 * avg 128×32 28/2/2    6713    1683     651     761       7687    1810
 *     128×64 14/2/2    2981     508     282     370       3894     653
 *     32×64 56/3/2    17492    4116    2184    2500      24978    6665
 *     16×24 32/3/1     3879     554     199     642       4483     857 */

/* The last input, in whose layout all is done. */
tg_accept tg_dnnl_can_pool(const tg_call *c, const char **reason)
{
    const tg_pool_attrs *a = c->attrs;
    const tg_desc *x = c->in[c->n_in - 1];
    double elements = 1;
    for (int64_t k = 0; k < a->kernel.n; k++)
        elements *= (double)a->kernel.v[k];
    if (a->indices && c->n_out > 1) {
        *reason = "with indices: the reference finds them";
        return TG_DECLINE;
    }
    if (x->layout && tg_dnnl_block_of(x) && elements < INT32_MAX)
        return TG_ACCEPT;
    *reason = "for this backend's layouts alone";
    return TG_DECLINE;
}

/* Of d's dims, in the layout that x has. */
static tg_dnnl_md laid_as(tg_dnnl_maker *m, const tg_desc *d)
{
    static const dnnl_format_tag_t tags[][3] = {{dnnl_acb, dnnl_aBc8b, dnnl_aBc16b},
                                                {dnnl_acdb, dnnl_aBcd8b, dnnl_aBcd16b},
                                                {dnnl_acdeb, dnnl_aBcde8b, dnnl_aBcde16b}};
    const int64_t block = m->q->block;
    return tg_dnnl_tagged(m, d->ndim, d->dim, tags[d->ndim - 3][block == 16 ? 2 : block == 8 ? 1 : 0]);
}

static void three(int64_t to[3], int64_t otherwise, int64_t n, const int64_t *from)
{
    for (int64_t k = 0; k < 3; k++)
        to[k] = k < 3 - n ? otherwise : from[k - 3 + n];
}

/* Of what is pooled, x, and its result, y. */
static void take_windows(tg_dnnl_maker *m, const tg_desc *x, const tg_desc *y)
{
    const tg_pool_attrs *a = m->c->attrs;
    tg_dnnl_windows *w = &m->q->windows;
    const int64_t n = x->ndim - 2;
    m->q->outer = x->dim[0];
    m->q->n = x->dim[1];
    m->q->block = w->step = tg_dnnl_block_of(m->c->in[m->c->n_in - 1]);
    three(w->x, 1, n, x->dim + 2);
    three(w->y, 1, n, y->dim + 2);
    three(w->kernel, 1, n, a->kernel.v);
    three(w->stride, 1, n, a->stride.v);
    three(w->padding, 0, n, a->padding.v);
    three(w->dilation, 1, n, a->dilation.v);
    w->x_plane = w->x[0] * w->x[1] * w->x[2];
    w->y_plane = w->y[0] * w->y[1] * w->y[2];
    w->divisor = (double)a->divisor_override;
    w->count_padding = a->count_include_pad;
}

static void pool_backward(tg_dnnl_maker *m, tg_dnnl_function *run)
{
    const tg_desc *gy = m->c->in[0], *gx = m->c->out;
    take_windows(m, gx, gy);
    m->q->windows.gradient = tg_dnnl_as(m, tg_dnnl_given(m, 0), laid_as(m, gy));
    m->q->windows.in = m->c->n_in > 1 ? tg_dnnl_given(m, 1) : m->q->windows.gradient;
    m->q->windows.out = tg_dnnl_result(m, 0, laid_as(m, gx));
    tg_dnnl_add_function(m, run);
    tg_dnnl_finish(m, m->q->windows.out, 0);
}

void tg_dnnl_build_max_pool(tg_dnnl_maker *m)
{
    const tg_desc *x = m->c->in[0], *y = m->c->out;
    take_windows(m, x, y);
    m->q->windows.in = tg_dnnl_given(m, 0);
    m->q->windows.out = tg_dnnl_result(m, 0, laid_as(m, y));
    tg_dnnl_add_function(m, run_max);
    tg_dnnl_finish(m, m->q->windows.out, 0);
}

void tg_dnnl_build_max_pool_backward(tg_dnnl_maker *m)
{
    pool_backward(m, run_max_backward);
}

/* The padding of dim k behind x that the last window reaches into. */
static int64_t behind(const tg_call *c, int64_t k)
{
    const tg_pool_attrs *a = c->attrs;
    const int64_t over = (c->out->dim[2 + k] - 1) * a->stride.v[k] + a->kernel.v[k] - a->size.v[k] - a->padding.v[k];
    return over > 0 ? over : 0;
}

/* Does oneDNN count as we do? With the padding it counts a whole window, however far that reaches over the end. */
static bool counts_alike(const tg_call *c)
{
    const tg_pool_attrs *a = c->attrs;
    for (int64_t k = 0; k < a->kernel.n; k++)
        if (a->count_include_pad && behind(c, k) > a->padding.v[k])
            return false;
    return !a->divisor_override;
}

tg_accept tg_dnnl_can_avg_pool(const tg_call *c, const char **reason)
{
    if (c->in[0]->layout || !counts_alike(c))
        return tg_dnnl_can_pool(c, reason);
    return TG_ACCEPT; /* row-major: by oneDNN's own */
}

/* NULL: it has no fast code for this. */
static dnnl_primitive_desc_t vendors_average(tg_dnnl_maker *m, tg_dnnl_md from, tg_dnnl_md to)
{
    const tg_pool_attrs *a = m->c->attrs;
    const dnnl_alg_kind_t algorithm =
        a->count_include_pad ? dnnl_pooling_avg_include_padding : dnnl_pooling_avg_exclude_padding;
    dnnl_dims_t kernel = {0}, stride = {0}, none = {0}, before = {0}, after = {0};
    dnnl_primitive_desc_t pd = NULL;
    const char *name = "ref";
    for (int64_t k = 0; k < a->kernel.n; k++) {
        kernel[k] = a->kernel.v[k];
        stride[k] = a->stride.v[k];
        before[k] = a->padding.v[k];
        after[k] = behind(m->c, k);
    }
    if (m->failed || !counts_alike(m->c) ||
        dnnl_pooling_forward_primitive_desc_create(&pd, m->s->engine, dnnl_forward_inference, algorithm, from, to,
                                                   stride, kernel, none, before, after, m->attr))
        return NULL;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name);
    if (strncmp(name, "ref", 3) != 0)
        return pd;
    dnnl_primitive_desc_destroy(pd);
    return NULL;
}

void tg_dnnl_build_avg_pool(tg_dnnl_maker *m)
{
    const tg_desc *x = m->c->in[0], *y = m->c->out;
    const tg_dnnl_operand from = tg_dnnl_given(m, 0);
    tg_dnnl_operand to = tg_dnnl_out(NULL, 0);
    if (x->layout) {
        take_windows(m, x, y);
        to = tg_dnnl_result(m, 0, laid_as(m, y));
    } else {
        to.md = tg_dnnl_dense(m, y->ndim, y->dim);
    }
    const dnnl_primitive_desc_t pd = vendors_average(m, from.md, to.md);
    if (pd) {
        tg_dnnl_keep(m, pd);
        tg_dnnl_step *step = tg_dnnl_add(m, pd);
        tg_dnnl_bind(m, step, DNNL_ARG_SRC, from);
        tg_dnnl_bind(m, step, DNNL_ARG_DST, to);
    } else if (x->layout) {
        m->q->windows.in = from;
        m->q->windows.out = to;
        tg_dnnl_add_function(m, run_average);
    } else if (!m->failed) {
        m->slow = true;
        m->failed = dnnl_unimplemented;
    }
    tg_dnnl_finish(m, to, 0);
}

void tg_dnnl_build_avg_pool_backward(tg_dnnl_maker *m)
{
    pool_backward(m, run_average_backward);
}
