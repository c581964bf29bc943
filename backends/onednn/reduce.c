/* sum and mean of tensors in our layouts, over all dims but the channels, or over the spatial ones: a convolution's bias,
 * and the average that ends a network. oneDNN's reduction is written to be fast over the innermost dims alone. */
#include "backends/onednn/onednn.h"

#include <omp.h>
#include <string.h>

enum { WIDTH = 16, RUN = 32, PARTS = 32 };

/* Bits of the reduced dims: all but the batch and the channels, or all but the channels. */
static int64_t spatial_dims(const tg_desc *d)
{
    return ((int64_t)1 << d->ndim) - 4;
}

tg_accept tg_dnnl_can_reduce(const tg_call *c, const char **reason)
{
    const tg_reduce_attrs *a = c->attrs;
    const tg_desc *d = c->in[0];
    const int64_t spatial = spatial_dims(d);
    if (d->layout && tg_dnnl_block_of(d) && (a->dims == spatial || a->dims == (spatial | 1)))
        return TG_ACCEPT;
    *reason = "for this backend's layouts, and over whole planes, alone: the reference is faster";
    return TG_DECLINE;
}

/* Sums of up to 32 values in f32, and of those in f64. */
#define ADD_UP(name, width)                                                                                  \
    static void name(const float *x, int64_t rows, int64_t step, int64_t n, double *sum)                     \
    {                                                                                                        \
        (void)n;                                                                                             \
        for (int64_t r = 0; r < rows; r += RUN) {                                                            \
            const int64_t end = rows - r < RUN ? rows : r + RUN;                                             \
            float some[WIDTH] = {0};                                                                         \
            for (int64_t i = r; i < end; i++)                                                                \
                for (int64_t j = 0; j < (width); j++)                                                        \
                    some[j] += x[i * step + j];                                                              \
            for (int64_t j = 0; j < (width); j++)                                                            \
                sum[j] += (double)some[j];                                                                   \
        }                                                                                                    \
    }
TG_DNNL_CLONES ADD_UP(add_up_16, WIDTH)
ADD_UP(add_up_few, n)

/* One image's channels, added to sum[0 … channels). */
static void add_image(const tg_dnnl_plan *q, const float *x, double *sum)
{
    for (int64_t c = 0; c < q->n; c += q->block, x += q->inner * q->block)
        for (int64_t j = 0; j < q->block; j += WIDTH) {
            const int64_t n = q->block - j < WIDTH ? q->block - j : WIDTH;
            (n == WIDTH ? add_up_16 : add_up_few)(x + j, q->inner, q->block, n, sum + c + j);
        }
}

/* Over the planes alone. */
static void reduce_planes(const tg_dnnl_plan *q, const tg_run *r)
{
    const float *x = r->in[0];
    float *y = r->out[0];
    double *sums = (double *)(void *)((char *)r->scratch + q->place);
#pragma omp parallel num_threads(q->threads) if (q->threads > 1 && q->outer * q->n * q->inner > 32768)
    {
        double *sum = sums + omp_get_thread_num() * q->n;
#pragma omp for
        for (int64_t i = 0; i < q->outer; i++) {
            memset(sum, 0, (size_t)q->n * sizeof *sum);
            add_image(q, x + i * q->n * q->inner, sum);
            for (int64_t c = 0; c < q->n; c++)
                y[i * q->n + c] = (float)(sum[c] * q->factor);
        }
    }
}

/* Over the batch, too: the parts do not depend on the number of threads. */
static void reduce_batch(const tg_dnnl_plan *q, const tg_run *r)
{
    const float *x = r->in[0];
    float *y = r->out[0];
    double *sums = (double *)(void *)((char *)r->scratch + q->place);
#pragma omp parallel for num_threads(q->threads) if (q->threads > 1 && q->outer * q->n * q->inner > 32768)
    for (int64_t p = 0; p < PARTS; p++) {
        double *sum = sums + p * q->n;
        memset(sum, 0, (size_t)q->n * sizeof *sum);
        for (int64_t i = q->outer * p / PARTS; i < q->outer * (p + 1) / PARTS; i++)
            add_image(q, x + i * q->n * q->inner, sum);
    }
    for (int64_t c = 0; c < q->n; c++) {
        double all = 0;
        for (int64_t p = 0; p < PARTS; p++)
            all += sums[p * q->n + c];
        y[c] = (float)(all * q->factor);
    }
}

static void build(tg_dnnl_maker *m, bool mean)
{
    const tg_reduce_attrs *a = m->c->attrs;
    const tg_desc *d = m->c->in[0];
    tg_dnnl_plan *q = m->q;
    const bool batch = a->dims & 1;
    q->outer = d->dim[0];
    q->n = d->dim[1];
    q->inner = 1;
    for (int i = 2; i < d->ndim; i++)
        q->inner *= d->dim[i];
    q->block = tg_dnnl_block_of(d);
    q->factor = mean ? 1 / (double)(q->inner * (batch ? q->outer : 1)) : 1;
    q->place = tg_dnnl_room(m, (size_t)q->n * (size_t)(batch ? PARTS : q->threads) * sizeof(double));
    tg_dnnl_add_function(m, batch ? reduce_batch : reduce_planes);
}

void tg_dnnl_build_sum(tg_dnnl_maker *m)
{
    build(m, false);
}

void tg_dnnl_build_mean(tg_dnnl_maker *m)
{
    build(m, true);
}
