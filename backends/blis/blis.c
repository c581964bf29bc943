/* The BLIS backend: matmul and linear through BLIS's typed API, which takes any strides and, for each call, a number of
 * threads. It includes nothing of Tapegrad's but the plug-in ABI. */
#include <tapegrad/backend_abi.h>
#include <tapegrad/op_attrs.h>

#include "backends/blis/arch.h"

#include <blis.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

struct tg_backend_state {
    const tg_host *host;
    char library[48];
};

/* A matrix as BLIS sees it. One whose strides BLIS would misread (0, or elements that overlap) is copied first. */
typedef struct matrix {
    int64_t rows, cols, row, col; /* strides in elements                                             */
    int64_t from_row, from_col;   /* those of the operand, where it is copied                        */
    int64_t copy;                 /* the copy's place in scratch, in elements; −1: used where it is  */
} matrix;

typedef struct plan {
    matrix a, b, c;
    int64_t batch, bias_step;
    int64_t copies;    /* elements of scratch that one product needs */
    int threads;       /* of one product                             */
    int batch_threads; /* products side by side, on one thread each  */
    bool wide;         /* f64                                        */
} plan;

/* -- shapes -------------------------------------------------------------------------------------------------------- */

static matrix last_two(const tg_desc *d, bool transposed)
{
    int i = d->ndim - (transposed ? 1 : 2), j = d->ndim - (transposed ? 2 : 1);
    return (matrix){.rows = d->dim[i], .cols = d->dim[j], .row = d->stride[i], .col = d->stride[j],
                    .from_row = d->stride[i], .from_col = d->stride[j], .copy = -1};
}

/* Gives a dim of size 1 a stride that cannot be misread, and tells whether each element has a place of its own. */
static bool is_plain(matrix *m)
{
    if (m->cols == 1)
        m->col = m->rows > 1 && m->row > 1 ? 1 : m->row * m->rows;
    if (m->rows == 1)
        m->row = m->cols > 1 && m->col > 1 ? 1 : m->col * m->cols;
    if (m->row <= 0 || m->col <= 0)
        return m->rows * m->cols <= 1;
    return m->rows == 1 || m->cols == 1 || m->row >= m->col * m->cols || m->col >= m->row * m->rows;
}

static void plan_copy(matrix *m, int64_t *used)
{
    if (is_plain(m))
        return;
    m->copy = *used;
    m->row = m->cols;
    m->col = 1;
    *used += (m->rows * m->cols + 15) / 16 * 16;
}

static int64_t batch_of(const tg_call *c)
{
    int64_t batch = 1;
    for (int i = 0; i < c->out->ndim - 2; i++)
        batch *= c->out->dim[i];
    return batch;
}

/* Of one product. */
static double flops(const tg_call *c)
{
    const tg_desc *out = c->out, *a = c->in[0];
    return 2.0 * (double)out->dim[out->ndim - 2] * (double)out->dim[out->ndim - 1] * (double)a->dim[a->ndim - 1];
}

/* -- which products, on how many threads --------------------------------------------------------------------------- */

static tg_accept accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    (void)s;
    int32_t dtype = c->in[0]->dtype;
    if (dtype != TG_F32 && dtype != TG_F64) {
        *reason = "BLIS has kernels for f32 and f64 only";
        return TG_REFUSE;
    }
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i] && c->in[i]->layout) {
            *reason = "BLIS reads strided matrices only";
            return TG_REFUSE;
        }
    if (batch_of(c) == 0 || flops(c) < 1) {
        *reason = "there is nothing to multiply";
        return TG_DECLINE;
    }
    return TG_ACCEPT;
}

static void choose_threads(plan *q, const tg_call *c)
{
    double work = flops(c);
    q->threads = work < 2e6 ? 1 : c->threads;
    q->batch_threads = 1;
    if (q->batch > 1 && work < 5e7 && work * (double)q->batch >= 1e6) {
        q->threads = 1;
        q->batch_threads = (int)(q->batch < c->threads ? q->batch : c->threads);
    }
}

static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    plan *q = s->host->alloc(s->host->arg, sizeof *q, 64);
    if (!q) {
        s->host->error(s->host->arg, TG_ENOMEM, "no memory for the plan of a product");
        return TG_ENOMEM;
    }
    bool is_linear = c->n_in == 3;
    *q = (plan){.a = last_two(c->in[0], false), .b = last_two(c->in[1], is_linear), .c = last_two(c->out, false),
                .batch = batch_of(c), .wide = c->out->dtype == TG_F64};
    q->bias_step = is_linear && c->in[2] ? c->in[2]->stride[0] : 0;
    plan_copy(&q->a, &q->copies);
    plan_copy(&q->b, &q->copies);
    is_plain(&q->c);
    choose_threads(q, c);
    p->impl = q;
    p->scratch_size = (size_t)(q->copies * q->batch_threads) * (q->wide ? sizeof(double) : sizeof(float));
    return TG_OK;
}

static void release(tg_backend_state *s, tg_prepared *p)
{
    s->host->free(s->host->arg, p->impl);
    p->impl = NULL;
}

/* -- running ------------------------------------------------------------------------------------------------------- */

/* Bytes from the first matrix of an operand to that of number `index` of the batch. */
static size_t batch_offset(const plan *q, const tg_desc *d, const tg_desc *out, int64_t index)
{
    int64_t offset = 0;
    for (int i = out->ndim - 3; index && i >= 0; i--) {
        int64_t at = index % out->dim[i];
        index /= out->dim[i];
        int own = i - (out->ndim - d->ndim);
        if (own >= 0 && d->dim[own] != 1)
            offset += at * d->stride[own];
    }
    return (size_t)offset * (q->wide ? sizeof(double) : sizeof(float));
}

/* The operand as BLIS can read it. */
static const void *readable(const plan *q, const matrix *m, const void *src, void *scratch)
{
    if (m->copy < 0)
        return src;
    if (q->wide) {
        double *dst = (double *)scratch + m->copy;
        for (int64_t i = 0; i < m->rows; i++)
            for (int64_t j = 0; j < m->cols; j++)
                dst[i * m->cols + j] = ((const double *)src)[i * m->from_row + j * m->from_col];
        return dst;
    }
    float *dst = (float *)scratch + m->copy;
    for (int64_t i = 0; i < m->rows; i++)
        for (int64_t j = 0; j < m->cols; j++)
            dst[i * m->cols + j] = ((const float *)src)[i * m->from_row + j * m->from_col];
    return dst;
}

/* Every row of C = the bias. */
static void fill_rows(const plan *q, const void *bias, void *dst)
{
    const matrix *c = &q->c;
    size_t size = q->wide ? sizeof(double) : sizeof(float);
    if (c->col == 1 && q->bias_step == 1) {
        for (int64_t i = 0; i < c->rows; i++)
            memcpy((char *)dst + (size_t)(i * c->row) * size, bias, (size_t)c->cols * size);
        return;
    }
    for (int64_t i = 0; i < c->rows; i++)
        for (int64_t j = 0; j < c->cols; j++)
            if (q->wide)
                ((double *)dst)[i * c->row + j * c->col] = ((const double *)bias)[j * q->bias_step];
            else
                ((float *)dst)[i * c->row + j * c->col] = ((const float *)bias)[j * q->bias_step];
}

static void product(const plan *q, int threads, const tg_call *call, int64_t index, const tg_run *r, void *scratch)
{
    const matrix *a = &q->a, *b = &q->b, *c = &q->c;
    const tg_desc *out = call->out;
    const void *pa = readable(q, a, (const char *)r->in[0] + batch_offset(q, call->in[0], out, index), scratch);
    const void *pb = readable(q, b, (const char *)r->in[1] + batch_offset(q, call->in[1], out, index), scratch);
    void *pc = (char *)r->out[0] + batch_offset(q, out, out, index);
    bool has_bias = r->n_in == 3 && r->in[2];
    if (has_bias)
        fill_rows(q, r->in[2], pc);
    rntm_t rntm = BLIS_RNTM_INITIALIZER;
    bli_rntm_set_num_threads(threads, &rntm);
    if (q->wide) {
        double one = 1, beta = has_bias ? 1 : 0;
        bli_dgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, c->rows, c->cols, a->cols, &one, (void *)(uintptr_t)pa,
                     a->row, a->col, (void *)(uintptr_t)pb, b->row, b->col, &beta, pc, c->row, c->col, NULL, &rntm);
    } else {
        float one = 1, beta = has_bias ? 1 : 0;
        bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, c->rows, c->cols, a->cols, &one, (void *)(uintptr_t)pa,
                     a->row, a->col, (void *)(uintptr_t)pb, b->row, b->col, &beta, pc, c->row, c->col, NULL, &rntm);
    }
}

static int at_most(int threads, int limit)
{
    return omp_in_parallel() ? 1 : threads < limit ? threads : limit;
}

static tg_status run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s;
    const plan *q = p->impl;
    int threads = at_most(q->threads, r->threads), side_by_side = at_most(q->batch_threads, r->threads);
    if (side_by_side <= 1) {
        for (int64_t i = 0; i < q->batch; i++)
            product(q, threads, c, i, r, r->scratch);
        return TG_OK;
    }
    size_t own = (size_t)q->copies * (q->wide ? sizeof(double) : sizeof(float));
#pragma omp parallel for num_threads(side_by_side) schedule(static)
    for (int64_t i = 0; i < q->batch; i++)
        product(q, 1, c, i, r, (char *)r->scratch + own * (size_t)omp_get_thread_num());
    return TG_OK;
}

/* -- the backend --------------------------------------------------------------------------------------------------- */

static int score(const char **reason)
{
    *reason = "matrix products by BLIS";
    return 20;
}

static tg_status blis_open(const tg_host *host, tg_backend_state **out)
{
    tg_backend_state *s = host->alloc(host->arg, sizeof *s, 64);
    if (!s) {
        host->error(host->arg, TG_ENOMEM, "no memory for its state");
        return TG_ENOMEM;
    }
    s->host = host;
    const char *warning = tg_blis_init();
    if (*warning)
        host->log(host->arg, 1, warning);
    snprintf(s->library, sizeof s->library, "BLIS %.40s", bli_info_get_version_str());
    *out = s;
    return TG_OK;
}

static void blis_close(tg_backend_state *s)
{
    s->host->free(s->host->arg, s);
}

static void facts(tg_backend_state *s, tg_backend_facts *out)
{
    out->library = s->library;
    out->kernels = bli_arch_string(bli_arch_query_id());
    out->threads = s->host->threads;
}

static const tg_kernel kernels[] = {
    {.struct_size = sizeof(tg_kernel), .version = 1, .op = "matmul", .accept = accept, .prepare = prepare, .run = run,
     .release = release},
    {.struct_size = sizeof(tg_kernel), .version = 1, .op = "linear", .accept = accept, .prepare = prepare, .run = run,
     .release = release},
};

static const tg_backend backend = {
    .struct_size = sizeof(tg_backend),
    .abi_major = TG_ABI_MAJOR,
    .abi_minor = TG_ABI_MINOR,
    .n_kernels = sizeof kernels / sizeof *kernels,
    .kernel_stride = sizeof(tg_kernel),
    .name = "blis",
    .kernels = kernels,
    .score = score,
    .open = blis_open,
    .close = blis_close,
    .facts = facts,
};

TG_API const tg_backend *tg_backend_entry(void);
const tg_backend *tg_backend_entry(void)
{
    return &backend;
}
