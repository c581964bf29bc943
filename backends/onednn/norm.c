/* softmax, log_softmax and layer_norm, and their gradients. group_norm is the reference's: docs/backends.md; and so is
 * rms_norm, which oneDNN 2.6 has not. */
#include "backends/onednn/onednn.h"

#include <math.h>

/* -- softmax --------------------------------------------------------------------------------------------- */

static int dim_of(const tg_call *c, const tg_desc *d)
{
    const tg_softmax_attrs *a = c->attrs;
    return (int)(a->dim < 0 ? a->dim + d->ndim : a->dim);
}

/* x as (rows, along the dim). */
static tg_dnnl_md around(tg_dnnl_maker *m, const tg_desc *d, int dim)
{
    int64_t dims[2] = {1, d->dim[dim]};
    for (int i = 0; i < dim; i++)
        dims[0] *= d->dim[i];
    m->q->outer = dims[0];
    m->q->n = dims[1];
    return tg_dnnl_dense(m, 2, dims);
}

static dnnl_primitive_desc_t softmax_of(tg_dnnl_maker *m, dnnl_alg_kind_t algorithm, tg_dnnl_md md)
{
    TG_DNNL_DESCRIBE(m, pd, dnnl_softmax_forward_primitive_desc_create, m->s->engine, dnnl_forward_training, algorithm,
                     md, md, 1, m->attr);
    return pd;
}

/* Microseconds of the reference and of oneDNN 2.6.3 on a Sapphire Rapids, rows × values, by `bench_norm 1 onednn.so`, and
 * with 2 threads, the machine shared with others:
 *                        softmax        its gradient      log_softmax      its gradient      layer_norm       its gradient
 *         64 ×   10     1.5    2.2      0.9    0.9      1.6    3.7      0.9    1.8      2.0    1.4      3.1    1.7
 *         64 ×  100     6.8    6.4      2.2    1.8      5.9    7.2      4.5    4.4      4.4    3.4      6.9    5.1
 *        512 ×   64    33.2   26.0     10.8    7.8     31.1   35.3     22.5   17.2     24.3   13.1     34.0   18.6
 *        512 ×  128                                    52.2   54.1     42.8   29.9
 *         64 ×  512                                    22.6   20.5     21.1   14.4
 *        256 ×  256                                    48.4   43.9     42.2   28.3
 *        128 × 1000                                     104   79.3     85.4   60.7
 *       1000 × 1000     946    688      454    456      862    747      800    721      704    389      997    769
 *     100000 ×    4    1576   2622      850    925     3979   8760     1046   1823     2326   1160     3273   1682
 *   2 threads
 *         64 ×   10     1.5    3.0      0.9    2.0      1.6    4.6      0.9    3.4      2.0    2.6      3.1    5.7
 *         64 ×  100     6.5    6.1      2.2    2.4      5.9    6.6      4.5    6.1      4.4    3.4      7.1   14.4
 *        512 ×   64    17.6   20.4      6.5    5.5     16.9   23.1     12.5   13.0     13.2    9.1     19.6   13.9
 *        512 ×  128                                    28.1   29.7     22.7   18.8
 *        256 ×  256                                    25.6   24.7     22.4   17.8
 *        128 × 1000                                    53.4   43.5     42.7   34.2
 *       1000 × 1000     471    400      219    227      445    384      406    367      259    148      513    459
 *     100000 ×    4     912   1139      428    453                                      1153    749     1623   1046
 * What is taken does not depend on the number of threads: results must not. */
enum { SOFTMAX_FROM = 32, LOG_FROM = 256, LOG_BACKWARD_FROM = 128, LOG_COUNT = 16384, LAYER_NORM_FROM = 8192 };

tg_accept tg_dnnl_can_softmax(const tg_call *c, const char **reason)
{
    const tg_desc *d = c->in[c->n_in - 1];
    if (d->ndim == 0) {
        *reason = "one value: the reference is faster";
        return TG_DECLINE;
    }
    if (!tg_dnnl_all_dense(c)) {
        *reason = "this backend's softmax reads row-major tensors";
        return TG_REFUSE;
    }
    int64_t inner = 1;
    for (int i = dim_of(c, d) + 1; i < d->ndim; i++)
        inner *= d->dim[i];
    if (inner == 1)
        return TG_ACCEPT;
    *reason = "not along the last dim: the reference is faster";
    return TG_DECLINE;
}

tg_accept tg_dnnl_accept_softmax(const tg_call *c, const char **reason)
{
    const tg_desc *d = c->in[c->n_in - 1];
    if (d->dim[dim_of(c, d)] >= SOFTMAX_FROM)
        return TG_ACCEPT;
    *reason = "few values: the reference is faster";
    return TG_DECLINE;
}

tg_accept tg_dnnl_accept_log_softmax(const tg_call *c, const char **reason)
{
    const tg_desc *d = c->in[0];
    int64_t n = 1;
    for (int i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    if (n >= LOG_COUNT && d->dim[dim_of(c, d)] >= (c->n_in == 1 ? LOG_FROM : LOG_BACKWARD_FROM))
        return TG_ACCEPT;
    *reason = "few values: the reference is faster";
    return TG_DECLINE;
}

/* Has the row NaN, +inf or nothing but −inf in it? */
TG_DNNL_CLONES static bool has_no_sum(const float *x, int64_t n)
{
    int bad = 0, some = 0;
    for (int64_t j = 0; j < n; j++) {
        bad |= !(x[j] < INFINITY);
        some |= x[j] > -INFINITY;
    }
    return bad || !some;
}

TG_DNNL_CLONES static bool has_nan(const float *x, int64_t n)
{
    int bad = 0;
    for (int64_t j = 0; j < n; j++)
        bad |= x[j] != x[j];
    return bad;
}

/* oneDNN's exp makes infinity or 0 of NaN. Such a row's result is NaN. */
static void restore_nan(const tg_dnnl_plan *q, const tg_run *r)
{
    const int64_t n = q->n;
#pragma omp parallel for num_threads(q->threads) if (q->threads > 1 && q->outer * n > 32768)
    for (int64_t row = 0; row < q->outer; row++)
        if (has_no_sum((const float *)r->in[0] + row * n, n))
            for (int64_t j = 0; j < n; j++)
                ((float *)r->out[0])[row * n + j] = NAN;
}

/* In log_softmax's gradient too, where y, the second input, is NaN. */
static void restore_nan_of_y(const tg_dnnl_plan *q, const tg_run *r)
{
    const int64_t n = q->n;
#pragma omp parallel for num_threads(q->threads) if (q->threads > 1 && q->outer * n > 32768)
    for (int64_t row = 0; row < q->outer; row++) {
        const float *y = (const float *)r->in[1] + row * n;
        if (has_nan(y, n))
            for (int64_t j = 0; j < n; j++)
                if (y[j] != y[j])
                    ((float *)r->out[0])[row * n + j] = NAN;
    }
}

static void build_softmax(tg_dnnl_maker *m, dnnl_alg_kind_t algorithm)
{
    const tg_desc *x = m->c->in[0];
    tg_dnnl_md md = around(m, x, dim_of(m->c, x));
    tg_dnnl_step *step = tg_dnnl_add(m, softmax_of(m, algorithm, md));
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, tg_dnnl_in(md, 0));
    tg_dnnl_bind(m, step, DNNL_ARG_DST, tg_dnnl_out(md, 0));
    tg_dnnl_add_function(m, restore_nan);
}

static void build_softmax_backward(tg_dnnl_maker *m, dnnl_alg_kind_t algorithm)
{
    const tg_desc *y = m->c->in[1];
    tg_dnnl_md md = around(m, y, dim_of(m->c, y));
    dnnl_primitive_desc_t hint = softmax_of(m, algorithm, md);
    TG_DNNL_DESCRIBE(m, pd, dnnl_softmax_backward_primitive_desc_create, m->s->engine, algorithm, md, md, md, 1, hint,
                     m->attr);
    tg_dnnl_step *step = tg_dnnl_add(m, pd);
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_DST, tg_dnnl_in(md, 0));
    tg_dnnl_bind(m, step, DNNL_ARG_DST, tg_dnnl_in(md, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SRC, tg_dnnl_out(md, 0));
}

void tg_dnnl_build_softmax(tg_dnnl_maker *m)
{
    build_softmax(m, dnnl_softmax_accurate);
}

void tg_dnnl_build_softmax_backward(tg_dnnl_maker *m)
{
    build_softmax_backward(m, dnnl_softmax_accurate);
}

void tg_dnnl_build_log_softmax(tg_dnnl_maker *m)
{
    build_softmax(m, dnnl_softmax_log);
}

void tg_dnnl_build_log_softmax_backward(tg_dnnl_maker *m)
{
    build_softmax_backward(m, dnnl_softmax_log);
    tg_dnnl_add_function(m, restore_nan_of_y);
}

/* -- layer_norm ------------------------------------------------------------------------------------------ */

typedef struct rows {
    int64_t n[2]; /* rows, values a row */
    tg_dnnl_md x, statistics, weight;
} rows;

static rows rows_of(tg_dnnl_maker *m, const tg_desc *x, int64_t normalized)
{
    rows r = {.n = {1, 1}};
    for (int i = 0; i < x->ndim; i++)
        r.n[i >= x->ndim - normalized] *= x->dim[i];
    r.x = tg_dnnl_dense(m, 2, r.n);
    r.statistics = tg_dnnl_dense(m, 1, r.n);
    r.weight = tg_dnnl_dense(m, 1, r.n + 1);
    m->q->n = r.n[0];
    return r;
}

static dnnl_primitive_desc_t layer_norm_of(tg_dnnl_maker *m, const rows *r, double eps, unsigned flags)
{
    TG_DNNL_DESCRIBE(m, pd, dnnl_layer_normalization_forward_primitive_desc_create, m->s->engine,
                     dnnl_forward_training, r->x, r->x, r->statistics, (float)eps, flags, m->attr);
    return pd;
}

tg_accept tg_dnnl_accept_layer_norm(const tg_call *c, const char **reason)
{
    const tg_desc *x = c->in[c->n_in == 3 ? 0 : 1];
    int64_t n = 1;
    for (int i = 0; i < x->ndim; i++)
        n *= x->dim[i];
    if (n >= LAYER_NORM_FROM)
        return TG_ACCEPT;
    *reason = "few values: the reference is faster";
    return TG_DECLINE;
}

tg_accept tg_dnnl_can_layer_norm_backward(const tg_call *c, const char **reason)
{
    const tg_layer_norm_backward_attrs *a = c->attrs;
    if (a->want == (TG_WANT_SRC | TG_WANT_WEIGHT | TG_WANT_BIAS) && c->in[2])
        return tg_dnnl_can_dense(c, reason);
    *reason = "oneDNN computes all three gradients or none: the reference is faster";
    return TG_DECLINE;
}

/* oneDNN gives the variance; the row has 1/√(variance + eps). */
static void invert_variance(const tg_dnnl_plan *q, const tg_run *r)
{
    float *v = r->out[2];
    for (int64_t i = 0; i < q->n; i++)
        v[i] = (float)(1 / sqrt((double)v[i] + q->eps));
}

void tg_dnnl_build_layer_norm(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    const tg_layer_norm_attrs *a = c->attrs;
    rows r = rows_of(m, c->in[0], a->normalized_ndim);
    unsigned flags = (c->in[1] ? (unsigned)dnnl_use_scale : 0) | (c->in[2] ? (unsigned)dnnl_use_shift : 0);
    m->q->eps = a->eps;
    tg_dnnl_step *step = tg_dnnl_add(m, layer_norm_of(m, &r, a->eps, flags));
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, tg_dnnl_in(r.x, 0));
    if (c->in[1])
        tg_dnnl_bind(m, step, DNNL_ARG_SCALE, tg_dnnl_in(r.weight, 1));
    if (c->in[2])
        tg_dnnl_bind(m, step, DNNL_ARG_SHIFT, tg_dnnl_in(r.weight, 2));
    tg_dnnl_bind(m, step, DNNL_ARG_DST, tg_dnnl_out(r.x, 0));
    tg_dnnl_bind(m, step, DNNL_ARG_MEAN, tg_dnnl_out(r.statistics, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_VARIANCE, tg_dnnl_out(r.statistics, 2));
    tg_dnnl_add_function(m, invert_variance);
}

/* The variance of which 1/√(variance + 0) is the rstd that the forward gave. */
static void variance_back(const tg_dnnl_plan *q, const tg_run *r)
{
    const float *rstd = r->in[4];
    float *v = (float *)(void *)((char *)r->scratch + q->place);
    for (int64_t i = 0; i < q->n; i++)
        v[i] = 1 / (rstd[i] * rstd[i]);
}

void tg_dnnl_build_layer_norm_backward(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    const tg_layer_norm_backward_attrs *a = c->attrs;
    rows r = rows_of(m, c->in[1], a->normalized_ndim);
    unsigned flags = (unsigned)dnnl_use_scale | (unsigned)dnnl_use_shift;
    dnnl_primitive_desc_t hint = layer_norm_of(m, &r, 0, flags);
    TG_DNNL_DESCRIBE(m, pd, dnnl_layer_normalization_backward_primitive_desc_create, m->s->engine,
                     dnnl_backward, r.x, r.x, r.x, r.statistics, 0.0f, flags, hint, m->attr);
    m->q->place = tg_dnnl_room(m, (size_t)r.n[0] * sizeof(float));
    tg_dnnl_add_function(m, variance_back);
    tg_dnnl_step *step = tg_dnnl_add(m, pd);
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_DST, tg_dnnl_in(r.x, 0));
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, tg_dnnl_in(r.x, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_SCALE, tg_dnnl_in(r.weight, 2));
    tg_dnnl_bind(m, step, DNNL_ARG_MEAN, tg_dnnl_in(r.statistics, 3));
    tg_dnnl_bind(m, step, DNNL_ARG_VARIANCE, (tg_dnnl_operand){r.statistics, TG_DNNL_SCRATCH, m->q->place});
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SRC, tg_dnnl_out(r.x, 0));
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SCALE, tg_dnnl_out(r.weight, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_DIFF_SHIFT, tg_dnnl_out(r.weight, 2));
    if (TG_DNNL_LAYER_NORM_BACKWARD_SHIFT) /* it is asked for, and not read */
        tg_dnnl_bind(m, step, DNNL_ARG_SHIFT, tg_dnnl_in(r.weight, 2));
}
