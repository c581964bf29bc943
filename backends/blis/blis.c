/* The BLIS backend: matmul and linear through BLIS's typed API, which takes any strides and, for each call, a
 * number of threads. It includes nothing of Tapegrad's but the plug-in ABI. */
#include <tapegrad/backend_abi.h>
#include <tapegrad/op_attrs.h>

#include "backends/blis/arch.h"
#include "backends/blis/attention.h"
#include "backends/blis/conv.h"
#include "backends/blis/skinny.h"

#include <blis.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
/* From where on BLIS gains over the reference, by kernel set. From `TG_BENCH_ACCEPT_ALL=1 bench_matmul 1 SHAPES blis.so`, and
 * 2, on a Sapphire Rapids; microseconds of the reference and of BLIS 0.9, B as it is and transposed ("turned"):
 *                        skx, one thread          skx, two threads        BLIS_ARCH_TYPE=3 (haswell), one thread
 *      48   48   48                                                          4.5   3.4    4.7   5.0
 *      64   64   64     9.9   9.8  10.0  11.0    7.0   9.9   7.2  11.3       9.9   7.1   10.0   9.7
 *      72   72   72    14.3  12.7  14.7  14.2   10.6  13.0  10.8  14.6
 *      80   80   80    19.6  15.6  19.6  17.6   13.8  15.9  13.7  18.0
 *      96   96   96    32.6  18.5  32.6  21.3   19.0  16.1  18.7  18.7      32.6  21.3   32.7  28.6
 *     128  128  128    73.8  37.7  73.2  42.7   41.9  27.0  41.9  32.9      73.9  50.0   73.3  61.4
 *      32   64  256    19.1  15.4  18.5  20.4   12.4  15.6  12.0  20.6      18.9  14.0   18.7  18.6
 *      16  512  512     196   145   177   231    103    88    93   125       192   105    176   115
 *      32  512   32    23.7  23.7  23.3  29.0   23.6  23.4  23.2  29.0      23.8  13.7   23.3  15.0
 *     128  784   16    74.3  85.4  74.5  90.9   43.0  57.9  43.2  63.0
 *     128   10  256    17.4  10.6  18.3  11.5   15.3  14.0  16.2  16.5
 * skx has no path of its own for small products, the others have one. */
/* clang-format on */
typedef struct tuning {
    const char *kernels;
    int64_t skinny_max;  /* so many rows or columns are better done as vectors                    */
    double vector_from;  /* operations (2·m·n·k, and C's own), for each of the vectors            */
    double gemm_from[2]; /* [1]: turned                                                           */
    double small_from;   /* where neither m nor n is above FEW                                    */
    double few_from;     /* where one of them is not: turned, or columns                          */
} tuning;
static const tuning tunings[] = {
    {"skx", 12, 8e3, {6.5e5, 1.05e6}, 1e9, 1e9},
    {NULL, 2, 8e3, {2.5e5, 5.5e5}, 1.2e5, 5.5e5},
};
enum { FEW = 32 };
/* The reference gains more from several threads than BLIS where little is to be done. */
static const double on_threads = 1.8;

/* From how many operations on threads bring more than they cost, and from how many on a product whose parts
 * would be narrow is given to BLIS's own threads. Elsewhere each thread computes a part of C by itself: as
 * fast on an idle machine, and many times faster on a busy one, because BLIS's threads meet at spinning
 * barriers. */
static const double threads_from = 1.5e6, blis_threads_from = 1e7;
enum { NARROW_PART = 64, PART = 32 };

struct tg_backend_state {
    const tg_host *host;
    const tuning *tuning;
    char library[48];
};

/* A matrix as BLIS sees it. One whose strides BLIS would misread (0, or elements that overlap) is copied
 * first. */
typedef struct matrix {
    int64_t rows, cols, row, col; /* strides in elements                                             */
    int64_t from_row, from_col;   /* those of the operand, where it is copied                        */
    int64_t copy;                 /* the copy's place in scratch, in elements; −1: used where it is  */
} matrix;

typedef struct plan {
    matrix a, b, c;
    int64_t batch, bias_step;
    int64_t copies;         /* elements of scratch that one product needs                              */
    int threads;            /* of BLIS's own, in one product                                           */
    int parts;              /* of one product, side by side, on one thread each                        */
    int batch_threads;      /* products side by side, likewise                                         */
    bool wide;              /* f64                                                                     */
    bool by_rows;           /* gemm: the parts are rows of C, else columns                             */
    bool by_columns;        /* skinny: A times the columns of B; else the rows of A times B            */
    skinny skinny;          /* 0 vectors: gemm does it                                                 */
    int64_t x_step;         /* of a skinny product's vectors, where they are not contiguous and copied */
    int64_t x_next, x_copy; /* x_copy −1: they are contiguous                                     */
} plan;

/* -- shapes ---------------------------------------------------------------------------------------------- */

static matrix last_two(const tg_desc *d, bool transposed)
{
    int i = d->ndim - (transposed ? 1 : 2), j = d->ndim - (transposed ? 2 : 1);
    return (matrix){.rows = d->dim[i],
                    .cols = d->dim[j],
                    .row = d->stride[i],
                    .col = d->stride[j],
                    .from_row = d->stride[i],
                    .from_col = d->stride[j],
                    .copy = -1};
}

/* Gives a dim of size 1 a stride that cannot be misread, and tells whether each element has a place of its
 * own. */
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

/* The smaller side as vectors, where the matrix has a unit stride for them to run along. */
static void plan_skinny(plan *q, int64_t most)
{
    const matrix *a = &q->a, *b = &q->b, *c = &q->c;
    bool by_columns = c->cols <= c->rows;
    skinny s = {
        .vectors = by_columns ? c->cols : c->rows,
        .outputs = by_columns ? c->rows : c->cols,
        .k = a->cols,
        .out_step = by_columns ? a->row : b->col,
        .k_step = by_columns ? a->col : b->row,
        .x_next = by_columns ? b->col : a->row,
        .y_step = by_columns ? c->row : c->col,
        .y_next = by_columns ? c->col : c->row,
    };
    if (s.vectors > most || (s.out_step != 1 && s.k_step != 1))
        return;
    s.dot = s.out_step != 1;
    q->x_step = by_columns ? b->row : a->col;
    q->x_next = s.x_next;
    q->x_copy = -1;
    if (q->x_step != 1) {
        s.x_next = s.k;
        q->x_copy = q->copies;
        q->copies += (s.vectors * s.k + 15) / 16 * 16;
    }
    q->by_columns = by_columns;
    q->skinny = s;
}

static int64_t batch_of(const tg_call *c)
{
    int64_t batch = 1;
    for (int i = 0; i < c->out->ndim - 2; i++)
        batch *= c->out->dim[i];
    return batch;
}

/* One matrix b for a whole batch of a's, whose rows follow each other: that is one product. */
static void merge(plan *q, const tg_call *c)
{
    const tg_desc *a = c->in[0], *b = c->in[1], *out = c->out;
    if (q->batch <= 1 || c->n_in == 3 || a->ndim != out->ndim)
        return;
    for (int i = 0; i < b->ndim - 2; i++)
        if (b->dim[i] > 1 && b->stride[i] != 0)
            return;
    for (int i = 0; i < out->ndim - 2; i++)
        if (a->dim[i] != out->dim[i] || a->stride[i] != a->stride[i + 1] * a->dim[i + 1])
            return;
    q->a.rows = q->c.rows *= q->batch;
    q->batch = 1;
}

static plan describe(const tg_call *c)
{
    bool is_linear = c->n_in == 3;
    plan q = {.a = last_two(c->in[0], false),
              .b = last_two(c->in[1], is_linear),
              .c = last_two(c->out, false),
              .batch = batch_of(c),
              .wide = c->out->dtype == TG_F64};
    q.bias_step = is_linear && c->in[2] ? c->in[2]->stride[0] : 0;
    merge(&q, c);
    return q;
}

/* Of one product. */
static double flops(const plan *q)
{
    return 2.0 * (double)q->c.rows * (double)q->c.cols * (double)q->a.cols;
}

/* -- which products, on how many threads ----------------------------------------------------------------- */

static tg_accept accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    const tuning *t = s->tuning;
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
    const plan q = describe(c);
    int64_t m = q.c.rows, n = q.c.cols;
    int64_t fewer = m < n ? m : n;
    double gain = flops(&q) + 16.0 * (double)m * (double)n;
    const bool turned = q.b.row == 1 && q.b.col > 1;
    double from = t->gemm_from[turned];
    if (fewer <= t->skinny_max)
        from = t->vector_from * (double)fewer;
    else if (m <= FEW && n <= FEW)
        from = t->small_from;
    else if ((turned && fewer <= FEW) || n < FEW)
        from = t->few_from;
    if (fewer > t->skinny_max && c->threads > 1)
        from *= on_threads;
    if (fewer == 0 || q.batch == 0 || flops(&q) < 1 || gain < from) {
        *reason = "too small: the reference is faster";
        return TG_DECLINE;
    }
    return TG_ACCEPT;
}

static void choose_threads(plan *q, const tg_call *c)
{
    double work = flops(q);
    int64_t longer = q->c.rows > q->c.cols ? q->c.rows : q->c.cols;
    q->threads = q->parts = q->batch_threads = 1;
    if (c->threads <= 1 || work * (double)q->batch < threads_from)
        return;
    if (q->batch > 1 && work < 5 * blis_threads_from)
        q->batch_threads = (int)(q->batch < c->threads ? q->batch : c->threads);
    else if (work >= blis_threads_from && !q->skinny.vectors && longer < (int64_t)c->threads * NARROW_PART)
        q->threads = c->threads;
    else if (work >= threads_from && longer >= 64)
        q->parts = (int)(longer / PART < c->threads ? longer / PART : c->threads);
    /* The rows, as the optimizer divides a gradient of weights, else the longer side. */
    const bool c_largest = q->c.rows >= q->a.cols && q->c.cols >= q->a.cols;
    q->by_rows = q->c.rows >= q->c.cols || (c_largest && q->c.rows >= (int64_t)q->parts * PART);
}

static const char *implementation(const plan *q)
{
    if (q->batch_threads > 1)
        return q->skinny.vectors ? "vectors:batch" : "gemm:batch";
    if (q->skinny.vectors)
        return q->parts > 1 ? "vectors:parts" : "vectors";
    return q->threads > 1  ? "gemm:threads"
           : q->parts <= 1 ? "gemm"
           : q->by_rows    ? "gemm:rows"
                           : "gemm:columns";
}

static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    plan *q = s->host->alloc(s->host->arg, sizeof *q, 64);
    if (!q) {
        s->host->error(s->host->arg, TG_ENOMEM, "no memory for the plan of a product");
        return TG_ENOMEM;
    }
    *q = describe(c);
    plan_copy(&q->a, &q->copies);
    plan_copy(&q->b, &q->copies);
    is_plain(&q->c);
    plan_skinny(q, s->tuning->skinny_max);
    choose_threads(q, c);
    p->impl = q;
    if (TG_ABI_HAS(p, implementation))
        p->implementation = implementation(q);
    p->scratch_size = (size_t)(q->copies * q->batch_threads) * (q->wide ? sizeof(double) : sizeof(float));
    return TG_OK;
}

static void release(tg_backend_state *s, tg_prepared *p)
{
    s->host->free(s->host->arg, p->impl);
    p->impl = NULL;
}

/* -- running --------------------------------------------------------------------------------------------- */

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

static int64_t part_size(int64_t n, int parts)
{
    return ((n + parts - 1) / parts + 15) / 16 * 16;
}

static void skinny_part(const plan *q, const skinny *s, const void *matrix, const void *x, void *y,
                        int64_t first, int64_t last)
{
    if (q->wide)
        tg_blis_skinny_f64(s, matrix, x, y, first, last);
    else
        tg_blis_skinny_f32(s, matrix, x, y, first, last);
}

static void run_skinny(const plan *q, int parts, const void *a, const void *b, void *c, bool add,
                       void *scratch)
{
    skinny s = q->skinny;
    s.add = add;
    const void *big = q->by_columns ? a : b, *x = q->by_columns ? b : a;
    if (q->x_copy >= 0) {
        matrix vectors = {
            .rows = s.vectors, .cols = s.k, .from_row = q->x_next, .from_col = q->x_step, .copy = q->x_copy};
        x = readable(q, &vectors, x, scratch);
    }
    if (parts <= 1) {
        skinny_part(q, &s, big, x, c, 0, s.outputs);
        return;
    }
    int64_t share = part_size(s.outputs, parts);
#pragma omp parallel for num_threads(parts)
    for (int64_t first = 0; first < s.outputs; first += share)
        skinny_part(q, &s, big, x, c, first, first + share < s.outputs ? first + share : s.outputs);
}

/* Rows [i, i + m) and columns [j, j + n) of C. */
static void gemm_part(const plan *q, int threads, const void *src_a, const void *src_b, void *dst, bool add,
                      int64_t i, int64_t m, int64_t j, int64_t n)
{
    const matrix *a = &q->a, *b = &q->b, *c = &q->c;
    rntm_t rntm = BLIS_RNTM_INITIALIZER;
    if (threads > 1) /* since 1.0 it also says by what threads, and the initializer: by none */
        bli_rntm_init_from_global(&rntm);
    bli_rntm_set_num_threads(threads, &rntm);
    /* Older versions of BLIS take what they only read as pointers to non-const. */
    if (q->wide) {
        double one = 1, beta = add ? 1 : 0, *pa = (double *)(uintptr_t)src_a,
               *pb = (double *)(uintptr_t)src_b;
        bli_dgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, a->cols, &one, pa + i * a->row, a->row,
                     a->col, pb + j * b->col, b->row, b->col, &beta, (double *)dst + i * c->row + j * c->col,
                     c->row, c->col, NULL, &rntm);
    } else {
        float one = 1, beta = add ? 1 : 0, *pa = (float *)(uintptr_t)src_a, *pb = (float *)(uintptr_t)src_b;
        bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, a->cols, &one, pa + i * a->row, a->row,
                     a->col, pb + j * b->col, b->row, b->col, &beta, (float *)dst + i * c->row + j * c->col,
                     c->row, c->col, NULL, &rntm);
    }
}

static void run_gemm(const plan *q, int threads, int parts, const void *a, const void *b, void *c, bool add)
{
    int64_t m = q->c.rows, n = q->c.cols;
    if (parts <= 1) {
        gemm_part(q, threads, a, b, c, add, 0, m, 0, n);
        return;
    }
    const bool by_rows = q->by_rows;
    int64_t whole = by_rows ? m : n, share = part_size(whole, parts);
#pragma omp parallel for num_threads(parts)
    for (int64_t first = 0; first < whole; first += share) {
        int64_t now = whole - first < share ? whole - first : share;
        gemm_part(q, 1, a, b, c, add, by_rows ? first : 0, by_rows ? now : m, by_rows ? 0 : first,
                  by_rows ? n : now);
    }
}

static void product(const plan *q, int threads, int parts, const tg_call *call, int64_t index,
                    const tg_run *r, void *scratch)
{
    const tg_desc *out = call->out;
    const void *a =
        readable(q, &q->a, (const char *)r->in[0] + batch_offset(q, call->in[0], out, index), scratch);
    const void *b =
        readable(q, &q->b, (const char *)r->in[1] + batch_offset(q, call->in[1], out, index), scratch);
    void *c = (char *)r->out[0] + batch_offset(q, out, out, index);
    bool add = r->n_in == 3 && r->in[2];
    if (add)
        fill_rows(q, r->in[2], c);
    if (q->skinny.vectors)
        run_skinny(q, parts, a, b, c, add, scratch);
    else
        run_gemm(q, threads, parts, a, b, c, add);
}

static int at_most(int threads, int limit)
{
    return omp_in_parallel() ? 1 : threads < limit ? threads : limit;
}

static tg_status run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s;
    const plan *q = p->impl;
    int threads = at_most(q->threads, r->threads), parts = at_most(q->parts, r->threads);
    int side_by_side = at_most(q->batch_threads, r->threads);
    if (side_by_side <= 1) {
        for (int64_t i = 0; i < q->batch; i++)
            product(q, threads, parts, c, i, r, r->scratch);
        return TG_OK;
    }
    size_t own = (size_t)q->copies * (q->wide ? sizeof(double) : sizeof(float));
#pragma omp parallel for num_threads(side_by_side) schedule(static)
    for (int64_t i = 0; i < q->batch; i++)
        product(q, 1, 1, c, i, r, (char *)r->scratch + own * (size_t)omp_get_thread_num());
    return TG_OK;
}

/* -- the backend ----------------------------------------------------------------------------------------- */

static int score(const char **reason)
{
    *reason = "matrix products and convolutions by BLIS";
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
    const char *chosen = bli_arch_string(bli_arch_query_id());
    s->tuning = tunings;
    while (s->tuning->kernels && strcmp(s->tuning->kernels, chosen) != 0)
        s->tuning++;
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

#define KERNEL(op_, accept_, prepare_, run_, release_)                                                       \
    {                                                                                                        \
        .struct_size = sizeof(tg_kernel), .version = 1, .op = op_, .accept = accept_, .prepare = prepare_,   \
        .run = run_, .release = release_                                                                     \
    }
#define PRODUCT(op_) KERNEL(op_, accept, prepare, run, release)
#define CONVOLUTION(op_) KERNEL(op_, tg_blis_conv_accept, tg_blis_conv_prepare, tg_blis_conv_run, NULL)
#define ATTENTION(op_) \
    KERNEL(op_, tg_blis_attention_accept, tg_blis_attention_prepare, tg_blis_attention_run, NULL)

static const tg_kernel kernels[] = {
    PRODUCT("matmul"),
    PRODUCT("linear"),
    CONVOLUTION("convolution"),
    CONVOLUTION("convolution_affine"),
    CONVOLUTION("convolution_backward_data"),
    CONVOLUTION("convolution_backward_weights"),
    ATTENTION("scaled_dot_product_attention"),
    ATTENTION("scaled_dot_product_attention_backward"),
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
