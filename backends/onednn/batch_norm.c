/* batch_norm, and its gradients. y and diff_src stay in the layout that x comes in. */
#include "backends/onednn/onednn.h"

#include <math.h>

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
 * So what comes in oneDNN's layouts stays in them, and of the row-major only what has two dims and is large: the channels
 * are the last ones there. */
enum { MATRIX_FROM = 1 << 19, MATRIX_CHANNELS = 256, BLOCK = 16 };

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
    const tg_batch_norm_backward_attrs *a = c->attrs;
    if (a->want && (c->in[2] || !(a->want & TG_WANT_WEIGHT)))
        return accept(c->in[1], reason);
    *reason = "no gradient, or that of a weight which is not there";
    return TG_DECLINE;
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

/* y = …, with weight and bias behind each other among the inputs. */
static tg_dnnl_step *add_forward(tg_dnnl_maker *m, const images *s, dnnl_prop_kind_t kind, size_t weight)
{
    const tg_batch_norm_attrs *a = m->c->attrs;
    m->q->eps = a->eps;
    tg_dnnl_step *step = tg_dnnl_add(m, forward_of(m, s, kind, a->eps));
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, tg_dnnl_in(s->md, 0));
    if (m->c->in[weight])
        tg_dnnl_bind(m, step, DNNL_ARG_SCALE, tg_dnnl_in(s->channels, weight));
    if (m->c->in[weight + 1])
        tg_dnnl_bind(m, step, DNNL_ARG_SHIFT, tg_dnnl_in(s->channels, weight + 1));
    tg_dnnl_bind(m, step, DNNL_ARG_DST, tg_dnnl_out(s->md, 0));
    m->q->layout[0] = m->c->in[0]->layout;
    return step;
}

void tg_dnnl_build_batch_norm_train(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    images s = images_of(m, 0, flag(c->in[1], dnnl_use_scale) | flag(c->in[2], dnnl_use_shift));
    tg_dnnl_step *step = add_forward(m, &s, dnnl_forward_training, 1);
    tg_dnnl_bind(m, step, DNNL_ARG_MEAN, tg_dnnl_out(s.channels, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_VARIANCE, tg_dnnl_out(s.channels, 2));
    tg_dnnl_add_function(m, invert_variance);
}

void tg_dnnl_build_batch_norm_eval(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    images s = images_of(m, 0, (unsigned)dnnl_use_global_stats | flag(c->in[3], dnnl_use_scale) |
                                   flag(c->in[4], dnnl_use_shift));
    tg_dnnl_step *step = add_forward(m, &s, dnnl_forward_inference, 3);
    tg_dnnl_bind(m, step, DNNL_ARG_MEAN, tg_dnnl_in(s.channels, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_VARIANCE, tg_dnnl_in(s.channels, 2));
    tg_dnnl_add_function(m, hand_on_statistics);
}

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

void tg_dnnl_build_batch_norm_backward(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    const tg_batch_norm_backward_attrs *a = c->attrs;
    const bool weight = c->in[2], shift = a->want & TG_WANT_BIAS, all = a->want != TG_WANT_SRC;
    images s = images_of(m, 1, flag(!a->batch_stats, dnnl_use_global_stats) | flag(weight, dnnl_use_scale) |
                                   flag(shift, dnnl_use_shift));
    dnnl_primitive_desc_t hint = forward_of(m, &s, dnnl_forward_training, 0);
    TG_DNNL_DESCRIBE(m, pd, dnnl_batch_normalization_backward_primitive_desc_create, m->s->engine,
                     all ? dnnl_backward : dnnl_backward_data, s.md, s.md, s.md, 0.0f, s.flags, hint, m->attr);
    const tg_dnnl_operand v = {s.channels, TG_DNNL_SCRATCH,
                               m->q->place = tg_dnnl_room(m, (size_t)m->q->n * sizeof(float))};
    tg_dnnl_operand gy = tg_dnnl_as(m, tg_dnnl_given(m, 0), tg_dnnl_given(m, 1).md);
    gy.md = s.md;
    tg_dnnl_add_function(m, variance_back);
    tg_dnnl_step *step = tg_dnnl_add(m, pd);
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_DST, gy);
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, tg_dnnl_in(s.md, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_MEAN, tg_dnnl_in(s.channels, 3));
    tg_dnnl_bind(m, step, DNNL_ARG_VARIANCE, v);
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SRC, output(m, s.md, 0, a->want & TG_WANT_SRC));
    if (weight)
        tg_dnnl_bind(m, step, DNNL_ARG_SCALE, tg_dnnl_in(s.channels, 2));
    if (weight && all)
        tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SCALE, output(m, s.channels, 1, a->want & TG_WANT_WEIGHT));
    if (shift)
        tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SHIFT, tg_dnnl_out(s.channels, 2));
    if (shift && TG_DNNL_BATCH_NORM_BACKWARD_SHIFT) /* it is asked for, and not read */
        tg_dnnl_bind(m, step, DNNL_ARG_SHIFT, tg_dnnl_in(s.channels, 3));
    m->q->layout[0] = a->want & TG_WANT_SRC ? c->in[1]->layout : NULL;
}
