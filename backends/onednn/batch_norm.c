/* batch_norm, alone and with ReLU, and its gradients. y and diff_src stay in the layout that x comes in.
 * With ReLU, oneDNN's forward also writes a bit for each element, which its gradient then needs. They are kept from the one
 * to the other where the same node's forward ran here, in the same layout; else gy is masked by y. */
#include "backends/onednn/onednn.h"

#include <math.h>
#include <string.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

/* The operands of the three rows' data: all of x's dims, seen as images, for which oneDNN has its fastest code. */
typedef struct images {
    tg_dnnl_md md, channels;
    unsigned flags;
} images;

/* Of two dims, [N, C], as images of one pixel with channels last; of three, [N, C, L], as images of one line. */
static tg_dnnl_md seen_as_images(tg_dnnl_maker *m, size_t i)
{
    static const dnnl_format_tag_t tags[][2] = {
        {dnnl_acb, dnnl_acdb}, {dnnl_aBc16b, dnnl_aBcd16b}, {dnnl_aBc8b, dnnl_aBcd8b}};
    const tg_desc *d = m->c->in[i];
    const int64_t dims[] = {d->dim[0], d->dim[1], 1, d->ndim == 3 ? d->dim[2] : 1};
    if (d->ndim == 2)
        return tg_dnnl_tagged(m, 4, dims, dnnl_acdb);
    if (d->ndim == 3 && !d->layout)
        return tg_dnnl_dense(m, 4, dims);
    const tg_dnnl_md md = tg_dnnl_given(m, i).md;
    for (size_t t = 0; d->ndim == 3 && t < sizeof tags / sizeof *tags; t++) {
        const tg_dnnl_md known = tg_dnnl_tagged(m, 3, d->dim, tags[t][0]);
        if (!m->failed && dnnl_memory_desc_equal(known, md))
            return tg_dnnl_tagged(m, 4, dims, tags[t][1]);
    }
    return md;
}

static images images_of(tg_dnnl_maker *m, size_t x, unsigned flags)
{
    images s = {.md = seen_as_images(m, x), .flags = flags};
    m->q->n = m->c->in[x]->dim[1];
    s.channels = tg_dnnl_dense(m, 1, &m->q->n);
    return s;
}

static unsigned flag(bool on, dnnl_normalization_flags_t which)
{
    return on ? (unsigned)which : 0;
}

static dnnl_primitive_desc_t forward_of(tg_dnnl_maker *m, const images *s, dnnl_prop_kind_t kind, double eps)
{
    TG_DNNL_DESCRIBE(m, pd, dnnl_batch_normalization_forward_primitive_desc_create, m->s->engine, kind, s->md, s->md,
                     (float)eps, s->flags, m->attr);
    return pd;
}

/* Microseconds of the reference and of oneDNN 2.6.3 on a Sapphire Rapids, by `bench_norm 1 onednn.so batch_norm`; the
 * columns of oneDNN's own layout are of the same shape.
 *                        training             eval              gradient
 *     128 × 512          31.2    41.8      13.0    34.3      33.2    69.2
 *     512 × 512           169     161       146     127       312     290
 *     512 × 1024          640     370       375     246       716     600
 *     16384 × 64          859     820       423     484      1021    1229
 *     64 × 64 × 100       266     755       140     505       444    1289
 *       nCw16c                    115               131               241
 *     8 × 24 × 32 × 32   67.5     374      24.6     220      99.0     531
 *       nChw8c                   91.7              58.8              88.7
 *     16 × 20 × 24 × 24  65.8     346      23.0     207      95.5     500
 *       nhwc                      121              95.1               227
 *     128 × 32 × 28 × 28 2222    6407       976    3799      2851    8841
 *       nChw16c                  1657               836              2020
 *     64 × 512 × 4 × 4   1218    1285       318     812      1337    1555
 *       nChw16c                   190               196               315
 * and with ReLU, the gradient masked by y (from saved bits it is another kernel, which this bench does not reach):
 *     16 × 20 × 24 × 24  73.6     379      34.2     313       175     559
 *       nhwc                      146              58.8               289
 *     128 × 32 × 28 × 28 2543    7212      1520    5632      5188   10528
 *       nChw16c                  1663               868              5098
 * So what comes in oneDNN's layouts stays in them, and of the row-major only what has two dims and is large: the channels
 * are the last ones there. */
enum { MATRIX_FROM = 1 << 19, MATRIX_CHANNELS = 256, BLOCK = 16, PAST_CACHES = 1 << 20 };

static tg_accept accept(const tg_desc *x, const char **reason)
{
    const int64_t channels = x->dim[1];
    if (x->layout || (x->ndim == 2 && channels >= MATRIX_CHANNELS && channels % BLOCK == 0 &&
                      x->dim[0] >= MATRIX_FROM / channels))
        return TG_ACCEPT;
    *reason = "row-major: the reference is faster";
    return TG_DECLINE;
}

tg_accept tg_dnnl_accept_batch_norm(const tg_call *c, const char **reason)
{
    return accept(c->in[0], reason);
}

tg_accept tg_dnnl_accept_batch_norm_backward(const tg_call *c, const char **reason)
{
    return accept(c->in[1], reason);
}

/* ReLU's passes of our own, and what mends oneDNN's, go by blocks of channels. */
static tg_accept in_blocks(const tg_desc *x, const char **reason)
{
    if (!x->layout || tg_dnnl_block_of(x))
        return TG_ACCEPT;
    *reason = "in another order than blocks of channels";
    return TG_REFUSE;
}

tg_accept tg_dnnl_can_batch_norm_relu(const tg_call *c, const char **reason)
{
    const tg_accept answer = in_blocks(c->in[0], reason);
    return answer == TG_ACCEPT ? tg_dnnl_can_dense(c, reason) : answer;
}

tg_accept tg_dnnl_can_batch_norm_backward(const tg_call *c, const char **reason)
{
    const tg_batch_norm_backward_attrs *a = c->attrs;
    if (a->want && (c->in[2] || !(a->want & TG_WANT_WEIGHT)))
        return tg_dnnl_can_dense(c, reason);
    *reason = "no gradient, or that of a weight which is not there";
    return TG_DECLINE;
}

tg_accept tg_dnnl_can_batch_norm_relu_backward(const tg_call *c, const char **reason)
{
    const tg_accept answer = in_blocks(c->in[1], reason);
    return answer == TG_ACCEPT ? tg_dnnl_can_batch_norm_backward(c, reason) : answer;
}

/* 1/√(v + eps), in f64 as the other backends do. */
static void invert(float *to, const float *v, int64_t n, double eps)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)(1 / sqrt((double)v[i] + eps));
}

static void invert_variance(const tg_dnnl_plan *q, const tg_run *r)
{
    invert(r->out[3], r->out[2], q->n, q->eps);
}

static void hand_on_statistics(const tg_dnnl_plan *q, const tg_run *r)
{
    const float *mean = r->in[1];
    float *to = r->out[1];
    for (int64_t i = 0; i < q->n; i++)
        to[i] = mean[i];
    invert(r->out[2], r->in[2], q->n, q->eps);
}

/* -- forward ------------------------------------------------------------------------------------------------ */

/* y = …, with weight and bias behind each other among the inputs. */
static tg_dnnl_step *add_forward(tg_dnnl_maker *m, const images *s, dnnl_prop_kind_t kind, size_t weight)
{
    const tg_batch_norm_attrs *a = m->c->attrs;
    tg_dnnl_step *step = tg_dnnl_add(m, forward_of(m, s, kind, a->eps));
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, tg_dnnl_in(s->md, 0));
    if (m->c->in[weight])
        tg_dnnl_bind(m, step, DNNL_ARG_SCALE, tg_dnnl_in(s->channels, weight));
    if (m->c->in[weight + 1])
        tg_dnnl_bind(m, step, DNNL_ARG_SHIFT, tg_dnnl_in(s->channels, weight + 1));
    tg_dnnl_bind(m, step, DNNL_ARG_DST, tg_dnnl_out(s->md, 0));
    return step;
}

static images images_of_train(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    m->q->eps = ((const tg_batch_norm_attrs *)c->attrs)->eps;
    m->q->layout[0] = c->in[0]->layout;
    return images_of(m, 0, flag(c->in[1], dnnl_use_scale) | flag(c->in[2], dnnl_use_shift));
}

static void bind_statistics(tg_dnnl_maker *m, tg_dnnl_step *step, const images *s)
{
    tg_dnnl_bind(m, step, DNNL_ARG_MEAN, tg_dnnl_out(s->channels, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_VARIANCE, tg_dnnl_out(s->channels, 2));
    tg_dnnl_add_function(m, invert_variance);
}

void tg_dnnl_build_batch_norm_train(tg_dnnl_maker *m)
{
    images s = images_of_train(m);
    bind_statistics(m, add_forward(m, &s, dnnl_forward_training, 1), &s);
}

void tg_dnnl_build_batch_norm_eval(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    m->q->eps = ((const tg_batch_norm_attrs *)c->attrs)->eps;
    m->q->layout[0] = c->in[0]->layout;
    images s = images_of(m, 0, (unsigned)dnnl_use_global_stats | flag(c->in[3], dnnl_use_scale) |
                                   flag(c->in[4], dnnl_use_shift));
    tg_dnnl_step *step = add_forward(m, &s, dnnl_forward_inference, 3);
    tg_dnnl_bind(m, step, DNNL_ARG_MEAN, tg_dnnl_in(s.channels, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_VARIANCE, tg_dnnl_in(s.channels, 2));
    tg_dnnl_add_function(m, hand_on_statistics);
}

/* -- forward with ReLU ---------------------------------------------------------------------------------------- */

/* The loops of our own: outer runs of inner pixels of one block of channels. */
static void set_loops(tg_dnnl_plan *q, const tg_desc *x)
{
    q->n = x->dim[1];
    q->block = x->layout ? tg_dnnl_block_of(x) : x->ndim > 2 ? 1 : q->n;
    q->outer = x->dim[0] * (q->n / q->block);
    q->inner = 1;
    for (int i = 2; i < x->ndim; i++)
        q->inner *= x->dim[i];
}

/* y = by ≤ 0 ? 0 : g; y may be one of the others. */
TG_DNNL_CLONES static void rectify(float *y, const float *g, const float *by, int64_t n)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) {
        const float v = g[i], b = by[i];
        y[i] = b <= 0 ? 0 : v;
    }
}

static void rectify_all(const tg_dnnl_plan *q, float *y, const float *g, const float *by)
{
    const int64_t run = q->inner * q->block;
#pragma omp parallel for num_threads(q->threads) if (q->threads > 1 && q->outer * run > 32768)
    for (int64_t i = 0; i < q->outer; i++)
        rectify(y + i * run, g + i * run, by + i * run, run);
}

/* One channel of y, NaN where it is: oneDNN's ReLU makes 0 of it. */
static void mend(const tg_dnnl_plan *q, const tg_run *r, int64_t channel, float mean, float scale, float shift)
{
    const int64_t block = channel / q->block, blocks = q->n / q->block;
    for (int64_t i = block; i < q->outer; i += blocks) {
        const int64_t first = i * q->inner * q->block + channel % q->block;
        const float *x = (const float *)r->in[0] + first;
        float *y = (float *)r->out[0] + first;
        for (int64_t j = 0; j < q->inner * q->block; j += q->block) {
            const float v = (x[j] - mean) * scale + shift;
            y[j] = v <= 0 ? 0 : v;
        }
    }
}

/* No NaN comes of finite statistics and parameters. What was mended has other bits than oneDNN wrote. */
static void after_train(const tg_dnnl_plan *q, const tg_run *r)
{
    const float *weight = r->in[1], *bias = r->in[2], *mean = r->out[1], *invstd = r->out[3];
    bool whole = true;
    invert_variance(q, r);
    for (int64_t c = 0; c < q->n; c++) {
        const float scale = invstd[c] * (weight ? weight[c] : 1), shift = bias ? bias[c] : 0;
        if (isfinite(mean[c]) && isfinite(scale) && isfinite(shift))
            continue;
        whole = false;
        mend(q, r, c, mean[c], scale, shift);
    }
    if (r->saved)
        *(tg_dnnl_seal *)r->saved = whole ? q->seal : (tg_dnnl_seal){0};
}

/* Has oneDNN fast code for both at once? Of 20 channels that are the last ones it takes 12 times as long as one by one. */
static bool has_fused(tg_dnnl_maker *m, const images *s)
{
    dnnl_primitive_desc_t pd = NULL;
    const char *name = NULL;
    const unsigned flags = s->flags | (unsigned)dnnl_fuse_norm_relu;
    const bool whole = m->q->block == BLOCK / 2 || m->q->block % BLOCK == 0;
    if (m->failed || !whole || dnnl_batch_normalization_forward_primitive_desc_create(
                         &pd, m->s->engine, dnnl_forward_training, s->md, s->md, 1e-5f, flags, m->attr))
        return false;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name);
    const bool fast = name && strncmp(name, "ref", 3) != 0;
    dnnl_primitive_desc_destroy(pd);
    return fast;
}

/* The forward's bits, behind its seal in saved, or where nobody keeps them in scratch. */
static tg_dnnl_operand bits_of(tg_dnnl_maker *m, dnnl_primitive_desc_t pd)
{
    const tg_dnnl_md md = tg_dnnl_chosen(m, pd, dnnl_query_workspace_md);
    const size_t size = md ? dnnl_memory_desc_get_size(md) : 0;
    m->q->seal = (tg_dnnl_seal){.what = "batch_norm_relu", .layout = m->q->layout[0], .size = size};
    return (tg_dnnl_operand){md, TG_DNNL_SAVED, m->dry ? 0 : tg_dnnl_room(m, size)};
}

static void after_plain_train(const tg_dnnl_plan *q, const tg_run *r)
{
    invert_variance(q, r);
    rectify_all(q, r->out[0], r->out[0], r->out[0]);
}

void tg_dnnl_build_batch_norm_relu_train(tg_dnnl_maker *m)
{
    images s = images_of_train(m);
    set_loops(m->q, m->c->in[0]);
    const bool fused = has_fused(m, &s);
    s.flags |= flag(fused, dnnl_fuse_norm_relu);
    tg_dnnl_step *step = add_forward(m, &s, dnnl_forward_training, 1);
    tg_dnnl_bind(m, step, DNNL_ARG_MEAN, tg_dnnl_out(s.channels, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_VARIANCE, tg_dnnl_out(s.channels, 2));
    if (fused && !m->failed) {
        tg_dnnl_bind(m, step, DNNL_ARG_WORKSPACE, bits_of(m, m->pd[m->n_pds - 1]));
        m->q->saved = sizeof(tg_dnnl_seal) + m->q->seal.size;
    }
    tg_dnnl_add_function(m, fused ? after_train : after_plain_train);
}

TG_DNNL_CLONES static void apply_16(float *restrict y, const float *restrict x, int64_t n, const float *restrict mean,
                                    const float *restrict scale, const float *restrict shift)
{
    for (int64_t i = 0; i < n; i++, x += BLOCK, y += BLOCK)
        for (int j = 0; j < BLOCK; j++) {
            const float v = (x[j] - mean[j]) * scale[j] + shift[j];
            y[j] = v <= 0 ? 0 : v;
        }
}

/* The same, past the caches: what is larger than they are need not be read to be written. */
static void apply_16_past(float *y, const float *x, int64_t n, const float *mean, const float *scale, const float *shift)
{
#ifdef __SSE__
    __m128 m[4], a[4], b[4];
    for (int k = 0; k < 4; k++) {
        m[k] = _mm_loadu_ps(mean + 4 * k);
        a[k] = _mm_loadu_ps(scale + 4 * k);
        b[k] = _mm_loadu_ps(shift + 4 * k);
    }
    for (int64_t i = 0; i < n * BLOCK; i += BLOCK)
        for (int k = 0; k < 4; k++) {
            __m128 v = _mm_sub_ps(_mm_loadu_ps(x + i + 4 * k), m[k]);
            v = _mm_add_ps(_mm_mul_ps(v, a[k]), b[k]);
            _mm_stream_ps(y + i + 4 * k, _mm_andnot_ps(_mm_cmple_ps(v, _mm_setzero_ps()), v));
        }
    _mm_sfence();
#else
    apply_16(y, x, n, mean, scale, shift);
#endif
}

TG_DNNL_CLONES static void apply_few(float *restrict y, const float *restrict x, int64_t n, int64_t block,
                                     const float *restrict mean, const float *restrict scale,
                                     const float *restrict shift)
{
    for (int64_t i = 0; i < n; i++, x += block, y += block)
        for (int64_t j = 0; j < block; j++) {
            const float v = (x[j] - mean[j]) * scale[j] + shift[j];
            y[j] = v <= 0 ? 0 : v;
        }
}

static void run_eval_relu(const tg_dnnl_plan *q, const tg_run *r)
{
    const float *weight = r->in[3], *bias = r->in[4], *mean = r->in[1];
    float *scale = (float *)(void *)((char *)r->scratch + q->place), *shift = scale + q->n;
    const int64_t blocks = q->n / q->block, run = q->inner * q->block;
    const bool past = q->outer * run >= PAST_CACHES && (uintptr_t)r->out[0] % 16 == 0;
    hand_on_statistics(q, r);
    for (int64_t c = 0; c < q->n; c++) {
        scale[c] = ((const float *)r->out[2])[c] * (weight ? weight[c] : 1);
        shift[c] = bias ? bias[c] : 0;
    }
#pragma omp parallel for num_threads(q->threads) if (q->threads > 1 && q->outer * run > 32768)
    for (int64_t i = 0; i < q->outer; i++) {
        const int64_t c = i % blocks * q->block;
        float *y = (float *)r->out[0] + i * run;
        const float *x = (const float *)r->in[0] + i * run;
        if (q->block == BLOCK)
            (past ? apply_16_past : apply_16)(y, x, q->inner, mean + c, scale + c, shift + c);
        else
            apply_few(y, x, q->inner, q->block, mean + c, scale + c, shift + c);
    }
}

/* One pass of our own: oneDNN's ReLU would hide NaN. */
void tg_dnnl_build_batch_norm_relu_eval(tg_dnnl_maker *m)
{
    m->q->eps = ((const tg_batch_norm_attrs *)m->c->attrs)->eps;
    m->q->layout[0] = m->c->in[0]->layout;
    set_loops(m->q, m->c->in[0]);
    m->q->place = tg_dnnl_room(m, 2 * (size_t)m->q->n * sizeof(float));
    tg_dnnl_add_function(m, run_eval_relu);
}

/* -- gradient ------------------------------------------------------------------------------------------------- */

/* The variance of which 1/√(variance + 0) is the invstd that the forward gave. */
static void variance_back(const tg_dnnl_plan *q, const tg_run *r)
{
    const float *invstd = r->in[4];
    float *v = (float *)(void *)((char *)r->scratch + q->place);
    for (int64_t i = 0; i < q->n; i++)
        v[i] = 1 / (invstd[i] * invstd[i]);
}

/* Output o where it is wanted, else room for it: oneDNN computes all of them. */
static tg_dnnl_operand output(tg_dnnl_maker *m, tg_dnnl_md md, size_t o, bool wanted)
{
    if (wanted || m->failed)
        return tg_dnnl_out(md, o);
    return (tg_dnnl_operand){md, TG_DNNL_SCRATCH, tg_dnnl_room(m, dnnl_memory_desc_get_size(md))};
}

typedef struct gradient {
    tg_dnnl_operand gy, x, mean, variance, gx;
} gradient;

static dnnl_primitive_desc_t backward_of(tg_dnnl_maker *m, const images *s, bool all)
{
    dnnl_primitive_desc_t hint = forward_of(m, s, dnnl_forward_training, 0);
    TG_DNNL_DESCRIBE(m, pd, dnnl_batch_normalization_backward_primitive_desc_create, m->s->engine,
                     all ? dnnl_backward : dnnl_backward_data, s->md, s->md, s->md, 0.0f, s->flags, hint, m->attr);
    return pd;
}

static tg_dnnl_step *add_backward(tg_dnnl_maker *m, const images *s, const gradient *g, tg_dnnl_operand gy)
{
    const tg_batch_norm_backward_attrs *a = m->c->attrs;
    const bool weight = m->c->in[2], shift = a->want & TG_WANT_BIAS;
    const bool all = weight || shift; /* 3.x wants to be given a place for a weight's gradient with gx alone too */
    tg_dnnl_step *step = tg_dnnl_add(m, backward_of(m, s, all));
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_DST, gy);
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, g->x);
    tg_dnnl_bind(m, step, DNNL_ARG_MEAN, g->mean);
    tg_dnnl_bind(m, step, DNNL_ARG_VARIANCE, g->variance);
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SRC, g->gx);
    if (weight)
        tg_dnnl_bind(m, step, DNNL_ARG_SCALE, tg_dnnl_in(s->channels, 2));
    if (weight)
        tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SCALE, output(m, s->channels, 1, a->want & TG_WANT_WEIGHT));
    if (shift)
        tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SHIFT, tg_dnnl_out(s->channels, 2));
    if (shift && TG_DNNL_BATCH_NORM_BACKWARD_SHIFT) /* it is asked for, and not read */
        tg_dnnl_bind(m, step, DNNL_ARG_SHIFT, tg_dnnl_in(s->channels, 3));
    return step;
}

static images start_gradient(tg_dnnl_maker *m, gradient *g)
{
    const tg_call *c = m->c;
    const tg_batch_norm_backward_attrs *a = c->attrs;
    images s = images_of(m, 1, flag(!a->batch_stats, dnnl_use_global_stats) | flag(c->in[2], dnnl_use_scale) |
                                   flag(a->want & TG_WANT_BIAS, dnnl_use_shift));
    m->q->place = tg_dnnl_room(m, (size_t)m->q->n * sizeof(float));
    m->q->layout[0] = a->want & TG_WANT_SRC ? c->in[1]->layout : NULL;
    *g = (gradient){.gy = tg_dnnl_as(m, tg_dnnl_given(m, 0), tg_dnnl_given(m, 1).md),
                    .x = tg_dnnl_in(s.md, 1),
                    .mean = tg_dnnl_in(s.channels, 3),
                    .variance = {s.channels, TG_DNNL_SCRATCH, m->q->place},
                    .gx = output(m, s.md, 0, a->want & TG_WANT_SRC)};
    g->gy.md = s.md;
    tg_dnnl_add_function(m, variance_back);
    return s;
}

void tg_dnnl_build_batch_norm_backward(tg_dnnl_maker *m)
{
    gradient g;
    images s = start_gradient(m, &g);
    add_backward(m, &s, &g, g.gy);
}

/* gy where y lets it through, to where diff_src then comes: oneDNN's gradient works in place. */
static void mask(const tg_dnnl_plan *q, const tg_run *r)
{
    rectify_all(q, tg_dnnl_data(r, q->masked.where, q->masked.at), tg_dnnl_data(r, q->gy.where, q->gy.at),
                tg_dnnl_data(r, q->y.where, q->y.at));
}

void tg_dnnl_build_batch_norm_relu_backward(tg_dnnl_maker *m)
{
    const tg_batch_norm_backward_attrs *a = m->c->attrs;
    gradient g;
    images s = start_gradient(m, &g);
    set_loops(m->q, m->c->in[1]);
    const bool fused = a->batch_stats && has_fused(m, &s);
    if (fused) {
        images both = s;
        both.flags |= (unsigned)dnnl_fuse_norm_relu;
        tg_dnnl_step *step = add_backward(m, &both, &g, g.gy);
        dnnl_primitive_desc_t pd = m->failed ? NULL : m->pd[m->n_pds - 1];
        const tg_layout *layout = m->q->layout[0];
        m->q->layout[0] = m->c->in[1]->layout; /* of the forward's result */
        tg_dnnl_bind(m, step, DNNL_ARG_WORKSPACE, bits_of(m, pd));
        m->q->layout[0] = layout;
        if (step)
            step->when = TG_DNNL_WHEN_SAVED;
    }
    tg_dnnl_operand y = tg_dnnl_as(m, tg_dnnl_given(m, 5), tg_dnnl_given(m, 1).md);
    m->q->gy = g.gy;
    m->q->y = y;
    m->q->masked = g.gx;
    tg_dnnl_add_function(m, mask);
    if (fused && !m->failed)
        m->q->step[m->q->n_steps - 1].when = TG_DNNL_WHEN_NOT_SAVED;
    tg_dnnl_step *step = add_backward(m, &s, &g, g.gx);
    if (fused && step)
        step->when = TG_DNNL_WHEN_NOT_SAVED;
}
