/* Convolution and its two gradients. oneDNN chooses the layouts; what is not row-major goes through scratch.
 */
#include "backends/onednn/onednn.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* The sizes of a convolution, whichever of its three tensors is sought. Weights have a dim for the groups,
 * where there is more than one. */
typedef struct shapes {
    int rank; /* of x and y */
    int64_t x[TG_MAX_DIM], y[TG_MAX_DIM], bias[1];
    int weight_rank;
    int64_t weight[TG_MAX_DIM];
    dnnl_dims_t stride, dilation, padding;
} shapes;

static void take(int64_t *to, const tg_desc *d)
{
    for (int i = 0; i < d->ndim; i++)
        to[i] = d->dim[i];
}

static shapes shapes_of(const tg_call *c, const tg_desc *x, const tg_desc *weight, const tg_desc *y)
{
    const tg_convolution_attrs *a = c->attrs;
    shapes s = {.rank = x->ndim};
    int n = x->ndim - 2, lead = a->groups > 1;
    take(s.x, x);
    take(s.y, y);
    s.bias[0] = y->dim[1];
    s.weight_rank = weight->ndim + lead;
    take(s.weight + lead, weight);
    if (lead) {
        s.weight[0] = a->groups;
        s.weight[1] = weight->dim[0] / a->groups;
    }
    for (int i = 0; i < n; i++) {
        s.stride[i] = a->stride.v[i];
        s.dilation[i] = a->dilation.v[i] - 1;
        s.padding[i] = a->padding.v[i];
    }
    return s;
}

/* Read off `bench_conv 1 f32 blis.so onednn.so` and the same with 2 threads, TG_BENCH_ACCEPT_ALL=1, oneDNN 2.6.3 and BLIS
 * 0.9, Sapphire Rapids; times faster than BLIS, then than the reference, one thread. Products of few positions and very
 * many channels lose as the gradient by the weights alone, that of images (1 to 4 channels) as the one by the data:
 *     x                y, kernel         forward        data           weights
 *     [64, 1, 28²]     32, 3             5.2    4.6     0.38   3.9     3.7    2.6
 *     [64, 3, 32²]     32, 3             4.2    4.8     0.53   3.5     2.7    2.9
 *     [16, 3, 64²]     64, 7, stride 2   2.4    3.9     0.43   5.1     2.3    3.2
 *     [64, 32, 32²]    64, 3             1.9    3.9     1.2    3.9     1.6    2.9
 *     [64, 64, 16²]    64, 1             1.5    2.8     1.6    2.8     1.4    2.1
 *     [16, 32, 32²]    32, 3, depthwise  23     9.6     22     9.6     30     11
 *     [2, 512, 7²]     512, 3            1.3    3.6     1.8    3.5     0.74   3.2
 *     [1, 16, 8²]      16, 3             6.4    6.3     7.1    6.4     6.1    5.9 */
enum { IMAGE = 4, FEW_POSITIONS = 128, MANY_WEIGHTS = 512 * 512 };

tg_accept tg_dnnl_can_convolution(const tg_call *c, const char **reason)
{
    const tg_convolution_attrs *a = c->attrs;
    if (!c->in[1]->layout || a->groups == 1)
        return TG_ACCEPT;
    *reason = "weights in groups are read row-major";
    return TG_REFUSE;
}

tg_accept tg_dnnl_accept_convolution_data(const tg_call *c, const char **reason)
{
    const tg_convolution_attrs *a = c->attrs;
    if (c->out->dim[1] > IMAGE || a->groups > 1)
        return TG_ACCEPT;
    *reason = "the gradient of an image of few channels: the next is faster";
    return TG_DECLINE;
}

tg_accept tg_dnnl_accept_convolution_weights(const tg_call *c, const char **reason)
{
    const tg_desc *gy = c->in[0], *gw = c->out;
    int64_t positions = gy->dim[0];
    for (int i = 2; i < gy->ndim; i++)
        positions *= gy->dim[i];
    if (positions > FEW_POSITIONS || gw->dim[0] * gw->dim[1] < MANY_WEIGHTS)
        return TG_ACCEPT;
    *reason = "few positions and many weights: the next is faster";
    return TG_DECLINE;
}

static tg_dnnl_operand given_weight(tg_dnnl_maker *m, const shapes *s)
{
    return m->c->in[1]->layout ? tg_dnnl_given(m, 1) : tg_dnnl_in(tg_dnnl_dense(m, s->weight_rank, s->weight), 1);
}

/* Channels that fill no block of 16 would be padded, computed with, and could not stay in that layout: they lie last. */
static tg_dnnl_md liked(tg_dnnl_maker *m, const shapes *s, const int64_t *dims)
{
    static const dnnl_format_tag_t last[] = {dnnl_acb, dnnl_acdb, dnnl_acdeb};
    const bool padded = (s->x[1] % 16 && s->x[1] > 4) || s->y[1] % 16;
    return padded ? tg_dnnl_tagged(m, s->rank, dims, last[s->rank - 3]) : tg_dnnl_any(m, s->rank, dims);
}

/* The forward, that the gradients give as a hint. */
static dnnl_primitive_desc_t forward_of(tg_dnnl_maker *m, const shapes *s, bool bias)
{
    TG_DNNL_DESCRIBE(m, pd, dnnl_convolution_forward_primitive_desc_create, m->s->engine,
                     dnnl_forward_training, dnnl_convolution_direct, liked(m, s, s->x),
                     tg_dnnl_any(m, s->weight_rank, s->weight), bias ? tg_dnnl_dense(m, 1, s->bias) : NULL,
                     liked(m, s, s->y), s->stride, s->dilation, s->padding, s->padding, m->attr);
    return pd;
}

typedef struct forward {
    shapes s;
    dnnl_primitive_desc_t pd;
    tg_dnnl_operand x, weight, bias, y;
    bool has_bias;
} forward;

/* Brings x and the weights to where the primitive wants them; f has the weights, and the bias, as they are. */
static void lay_forward(tg_dnnl_maker *m, forward *f)
{
    f->pd = forward_of(m, &f->s, f->has_bias);
    f->x = tg_dnnl_as(m, tg_dnnl_given(m, 0), tg_dnnl_chosen(m, f->pd, dnnl_query_src_md));
    f->weight = tg_dnnl_as(m, f->weight, tg_dnnl_chosen(m, f->pd, dnnl_query_weights_md));
    f->y = tg_dnnl_result(m, 0, tg_dnnl_chosen(m, f->pd, dnnl_query_dst_md));
}

static void add_forward(tg_dnnl_maker *m, const forward *f, dnnl_primitive_desc_t pd, tg_dnnl_when when)
{
    tg_dnnl_step *step = tg_dnnl_add(m, pd);
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, f->x);
    tg_dnnl_bind(m, step, DNNL_ARG_WEIGHTS, f->weight);
    if (f->has_bias)
        tg_dnnl_bind(m, step, DNNL_ARG_BIAS, f->bias);
    tg_dnnl_bind(m, step, DNNL_ARG_DST, f->y);
    if (!m->failed)
        step->when = when;
}

/* The inputs 0 to 2 are a convolution's. */
static forward forward_given(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    forward f = {.s = shapes_of(c, c->in[0], c->in[1], c->out), .has_bias = c->in[2]};
    f.weight = given_weight(m, &f.s);
    f.bias = tg_dnnl_in(tg_dnnl_dense(m, 1, f.s.bias), 2);
    return f;
}

void tg_dnnl_build_convolution(tg_dnnl_maker *m)
{
    forward f = forward_given(m);
    lay_forward(m, &f);
    add_forward(m, &f, f.pd, TG_DNNL_ALWAYS);
    tg_dnnl_finish(m, f.y, 0);
}

/* -- with scale, shift and relu ------------------------------------------------------------------------------- */

/* In scratch: whether the sums are all finite, then the bias, then the weights. */
typedef struct folded {
    size_t weight, bias, finite;
} folded;

static folded folded_at(const tg_dnnl_plan *q)
{
    return (folded){q->place, q->place + (size_t)q->weights * sizeof(float),
                    q->place + (size_t)(q->weights + q->n) * sizeof(float)};
}

static float *in_scratch(const tg_run *r, size_t at)
{
    return (float *)(void *)((char *)r->scratch + at);
}

TG_DNNL_CLONES static void times(float *restrict to, const float *restrict from, int64_t n, float scale)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = from[i] * scale;
}

/* (w·x + bias)·scale + shift = (w·scale)·x + (bias·scale + shift). As post-ops they would cost more than the pass that
 * they spare: 2.42 ms in place of 1.85 for 64 × 16 × 28 × 28, 3 × 3. */
static void fold(const tg_dnnl_plan *q, const tg_run *r)
{
    const folded at = folded_at(q);
    const float *w = r->in[1], *bias = r->in[2], *scale = r->in[3], *shift = r->in[4];
    float *to = in_scratch(r, at.weight), *b = in_scratch(r, at.bias);
    const int64_t n = q->weights / q->n;
    for (int64_t o = 0; o < q->n; o++)
        b[o] = (bias ? bias[o] : 0) * (scale ? scale[o] : 1) + (shift ? shift[o] : 0);
#pragma omp parallel for num_threads(q->threads) if (q->threads > 1 && q->weights > 65536)
    for (int64_t o = 0; o < (scale ? q->n : 0); o++)
        times(to + o * n, w + o * n, n, scale[o]);
}

/* The bits of a magnitude order as the magnitudes do: infinity's are above all finite ones, NaN's above these. */
TG_DNNL_CLONES static uint32_t largest_bits(const float *x, int64_t n)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    return most;
}

/* The largest magnitude; infinity where there is a NaN. A part for each thread: for a reduction clang makes a lock, which
 * the plug-in would export. */
static double largest(const float *x, int64_t n, int threads)
{
    enum { RUN = 65536, PARTS = 64 };
    uint32_t part[PARTS] = {0}, most = 0;
    const int64_t parts = n < RUN || threads < 2 ? 1 : threads < PARTS ? threads : PARTS;
    float value;
#pragma omp parallel for num_threads((int)parts) if (parts > 1)
    for (int64_t i = 0; i < parts; i++) {
        const int64_t from = n * i / parts;
        part[i] = largest_bits(x + from, n * (i + 1) / parts - from);
    }
    for (int64_t i = 0; i < parts; i++)
        most = part[i] > most ? part[i] : most;
    memcpy(&value, &most, sizeof value);
    return isfinite(value) ? (double)value : HUGE_VAL;
}

/* oneDNN's ReLU makes a NaN 0. None can come where all is finite and no sum can overflow; with anything else the plain
 * convolution runs, and a loop after it. One pass over x, in place of one over y. */
static void look_for_nan(const tg_dnnl_plan *q, const tg_run *r)
{
    const folded at = folded_at(q);
    const float *w = r->in[3] ? in_scratch(r, at.weight) : r->in[1];
    const double x_most = largest(r->in[0], q->elements, q->threads), w_most = largest(w, q->weights, q->threads);
    const double sum = x_most * w_most * (double)(q->weights / q->n) + largest(in_scratch(r, at.bias), q->n, 1);
    *(int *)(void *)in_scratch(r, at.finite) = sum < (double)FLT_MAX / 2;
}

bool tg_dnnl_is_finite(const tg_dnnl_plan *q, const tg_run *r)
{
    return *(const int *)(const void *)in_scratch(r, folded_at(q).finite);
}

TG_DNNL_CLONES static void rectify(float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = y[i] <= 0 ? 0 : y[i];
}

static void rectify_all(const tg_dnnl_plan *q, const tg_run *r)
{
    float *y = r->out[0];
#pragma omp parallel for num_threads(q->threads) if (q->threads > 1 && q->outer * q->inner > 32768)
    for (int64_t i = 0; i < q->outer; i++)
        rectify(y + i * q->inner, q->inner);
}

/* The same convolution with oneDNN's ReLU; NULL where it has not the same code for that. */
static dnnl_primitive_desc_t with_relu(tg_dnnl_maker *m, const forward *f)
{
    const shapes *s = &f->s;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_desc_t pd = NULL;
    if (m->failed)
        return NULL;
    dnnl_status_t status = dnnl_post_ops_create(&ops);
    if (!status)
        status = tg_dnnl_append_relu(ops);
    if (!status)
        status = dnnl_primitive_attr_create(&attr);
    if (!status)
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!status)
        status = dnnl_primitive_attr_set_post_ops(attr, ops);
    if (!status)
        status = dnnl_convolution_forward_primitive_desc_create(
            &pd, m->s->engine, dnnl_forward_training, dnnl_convolution_direct,
            tg_dnnl_chosen(m, f->pd, dnnl_query_src_md), tg_dnnl_chosen(m, f->pd, dnnl_query_weights_md), f->bias.md,
            tg_dnnl_chosen(m, f->pd, dnnl_query_dst_md), s->stride, s->dilation, s->padding, s->padding, attr);
    if (ops)
        dnnl_post_ops_destroy(ops);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    if (status == dnnl_out_of_memory)
        m->failed = status;
    if (!status && strcmp(tg_dnnl_name_of(pd), tg_dnnl_name_of(f->pd)) != 0) {
        dnnl_primitive_desc_destroy(pd);
        return NULL;
    }
    if (!status)
        tg_dnnl_keep(m, pd);
    return status ? NULL : pd;
}

tg_accept tg_dnnl_can_convolution_affine(const tg_call *c, const char **reason)
{
    if (!c->in[1]->layout)
        return TG_ACCEPT;
    *reason = "weights that are scaled are read row-major";
    return TG_REFUSE;
}

void tg_dnnl_build_convolution_affine(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    tg_dnnl_plan *q = m->q;
    forward f = forward_given(m);
    const bool relu = ((const tg_convolution_affine_attrs *)c->attrs)->relu;
    q->n = c->out->dim[1];
    q->elements = q->weights = 1;
    for (int i = 0; i < f.s.rank; i++) {
        q->elements *= c->in[0]->dim[i];
        q->weights *= c->in[1]->dim[i];
    }
    q->outer = c->out->dim[0];
    q->inner = c->out->dim[1];
    for (int i = 2; i < f.s.rank; i++)
        q->inner *= c->out->dim[i];
    q->place = tg_dnnl_room(m, (size_t)(q->weights + q->n + 1) * sizeof(float));
    f.has_bias = true;
    if (c->in[3])
        f.weight = (tg_dnnl_operand){f.weight.md, TG_DNNL_SCRATCH, folded_at(q).weight};
    f.bias = (tg_dnnl_operand){f.bias.md, TG_DNNL_SCRATCH, folded_at(q).bias};
    tg_dnnl_add_function(m, fold);
    lay_forward(m, &f);
    const dnnl_primitive_desc_t whole = relu ? with_relu(m, &f) : NULL;
    if (whole) {
        tg_dnnl_add_function(m, look_for_nan);
        add_forward(m, &f, whole, TG_DNNL_WHEN_FINITE);
    }
    const tg_dnnl_when else_when = whole ? TG_DNNL_WHEN_NOT_FINITE : TG_DNNL_ALWAYS;
    add_forward(m, &f, f.pd, else_when);
    tg_dnnl_finish(m, f.y, 0);
    if (relu) {
        tg_dnnl_add_function(m, rectify_all);
        if (!m->failed)
            q->step[q->n_steps - 1].when = else_when;
    }
}

/* Adds the bias of a transposed convolution to its result. */
static void add_bias(const tg_dnnl_plan *q, const tg_run *r)
{
    float *y = r->out[0];
    const float *bias = r->in[2];
    for (int64_t i = 0; i < q->outer; i++)
        for (int64_t ch = 0; ch < q->n; ch++, y += q->inner)
            for (int64_t j = 0; j < q->inner; j++)
                y[j] += bias[ch];
}

void tg_dnnl_build_convolution_data(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    shapes s = shapes_of(c, c->out, c->in[1], c->in[0]);
    dnnl_primitive_desc_t hint = forward_of(m, &s, false);
    TG_DNNL_DESCRIBE(m, pd, dnnl_convolution_backward_data_primitive_desc_create, m->s->engine,
                     dnnl_convolution_direct, liked(m, &s, s.x),
                     tg_dnnl_any(m, s.weight_rank, s.weight), liked(m, &s, s.y), s.stride,
                     s.dilation, s.padding, s.padding, hint, m->attr);
    tg_dnnl_operand gy = tg_dnnl_given(m, 0);
    tg_dnnl_operand weight = given_weight(m, &s);
    gy = tg_dnnl_as(m, gy, tg_dnnl_chosen(m, pd, dnnl_query_diff_dst_md));
    weight = tg_dnnl_as(m, weight, tg_dnnl_chosen(m, pd, dnnl_query_weights_md));
    const bool bias = c->n_in > 2 && c->in[2]; /* added to the row-major result */
    tg_dnnl_md md = tg_dnnl_chosen(m, pd, dnnl_query_diff_src_md);
    tg_dnnl_operand row = tg_dnnl_out(tg_dnnl_dense(m, s.rank, s.x), 0);
    tg_dnnl_operand gx = bias ? tg_dnnl_target(m, row, md) : tg_dnnl_result(m, 0, md);
    tg_dnnl_step *step = tg_dnnl_add(m, pd);
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_DST, gy);
    tg_dnnl_bind(m, step, DNNL_ARG_WEIGHTS, weight);
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SRC, gx);
    tg_dnnl_finish(m, gx, 0);
    if (bias) {
        m->q->outer = s.x[0];
        m->q->n = s.x[1];
        m->q->inner = 1;
        for (int i = 2; i < s.rank; i++)
            m->q->inner *= s.x[i];
        tg_dnnl_add_function(m, add_bias);
    }
}

void tg_dnnl_build_convolution_weights(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    shapes s = shapes_of(c, c->in[1], c->out, c->in[0]);
    dnnl_primitive_desc_t hint = forward_of(m, &s, false);
    TG_DNNL_DESCRIBE(m, pd, dnnl_convolution_backward_weights_primitive_desc_create, m->s->engine,
                     dnnl_convolution_direct, liked(m, &s, s.x),
                     tg_dnnl_any(m, s.weight_rank, s.weight), NULL, liked(m, &s, s.y), s.stride,
                     s.dilation, s.padding, s.padding, hint, m->attr);
    tg_dnnl_operand gy = tg_dnnl_given(m, 0), x = tg_dnnl_given(m, 1);
    tg_dnnl_operand gw = tg_dnnl_out(tg_dnnl_dense(m, s.weight_rank, s.weight), 0);
    gy = tg_dnnl_as(m, gy, tg_dnnl_chosen(m, pd, dnnl_query_diff_dst_md));
    x = tg_dnnl_as(m, x, tg_dnnl_chosen(m, pd, dnnl_query_src_md));
    tg_dnnl_operand to = tg_dnnl_target(m, gw, tg_dnnl_chosen(m, pd, dnnl_query_diff_weights_md));
    tg_dnnl_step *step = tg_dnnl_add(m, pd);
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_DST, gy);
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, x);
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_WEIGHTS, to);
    tg_dnnl_deliver(m, to, gw);
}
