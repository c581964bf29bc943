/* matmul and linear. A product of two matrices is dnnl_sgemm's, which needs no code made for its shape; a
 * batch of them is the primitive's. */
#include "backends/onednn/plan.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

/* How dnnl_sgemm may read a matrix: 'N', or 'T' where its columns are contiguous, with the stride of the
 * other dim; 0: not at all. */
static char form(int64_t rows, int64_t cols, int64_t row, int64_t col, int64_t *ld)
{
    if ((col == 1 || cols == 1) && (rows == 1 || row >= cols)) {
        *ld = rows == 1 ? cols : row;
        return 'N';
    }
    if ((row == 1 || rows == 1) && (cols == 1 || col >= rows)) {
        *ld = cols == 1 ? rows : col;
        return 'T';
    }
    return 0;
}

/* The two last dims of `a` and `b`, the latter as (n, k) where `turned`. */
static bool as_gemm(const tg_desc *a, const tg_desc *b, bool turned, tg_dnnl_gemm *g)
{
    int i = a->ndim - 2, j = b->ndim - 2;
    int64_t b_k = b->stride[j + turned], b_n = b->stride[j + !turned];
    *g = (tg_dnnl_gemm){.m = a->dim[i], .n = b->dim[j + !turned], .k = a->dim[i + 1]};
    g->a_form = form(g->m, g->k, a->stride[i], a->stride[i + 1], &g->a_row);
    g->b_form = form(g->k, g->n, b_k, b_n, &g->b_row);
    return g->a_form && g->b_form;
}

static int64_t batch_of(const tg_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->ndim - 2; i++)
        n *= d->dim[i];
    return n;
}

/* One matrix b for a whole batch of a's, whose rows follow each other: that is one product. */
static bool merges(const tg_call *c, tg_dnnl_gemm *g)
{
    const tg_desc *a = c->in[0], *b = c->in[1];
    if (!as_gemm(a, b, false, g))
        return false;
    if (batch_of(c->out) == 1)
        return true;
    for (int i = 0; i < b->ndim - 2; i++)
        if (b->dim[i] > 1 && b->stride[i] != 0)
            return false;
    for (int i = 0; i < a->ndim - 2; i++)
        if (a->stride[i] != a->stride[i + 1] * a->dim[i + 1])
            return false;
    if (batch_of(a) != batch_of(c->out) || g->a_form != 'N' || (g->m == 1 && a->stride[a->ndim - 2] < g->k))
        return false;
    g->m *= batch_of(a);
    g->a_row = a->stride[a->ndim - 2];
    return true;
}

/* -- threads ----------------------------------------------------------------------------------------------
 */

/* clang-format off */
/* Microseconds on a Sapphire Rapids of one thread, of two by dnnl_sgemm's own division, and of two that compute a half of C
 * each (rows, columns); oneDNN 2.6.3, least of 25 rounds in turns, B as linear has it:
 *      48   48   48      2.1     2.1     2.4     4.3       10  256  128     10.7     7.1    11.5     6.6
 *      64   64   64      4.4     5.5     3.6     5.3      128   10  256      8.7     6.6     5.8     9.4
 *      80   80   80      7.5     6.3     5.9     6.6       16 1024   64     21.5    14.6    22.1    13.3
 *     128  128  128     29.2    17.7    16.7    16.2        1 1024 1024     97.7    40.7    98.7    40.3
 *     128  512  784    653.3   373.6   362.1   358.3     1024    1 1024    117.5    44.3    42.7   118.4
 *     512  784  128    617.6   337.3   319.9   323.5     1024 1024 1024    13324    6863    6911    6845
 * So halves of C, at each side at least PART wide. What is divided is the larger operand, which then stays in the caches of
 * its threads while the smaller one goes to all: the weights, by columns of C, forward, and where C is the largest, its
 * rows, as the optimizer divides it. A step of `tapegrad bench mlp`, two threads: 1.52 ms; always by rows 1.62, always by
 * columns 1.59, by dnnl_sgemm itself 1.54, and on one thread 2.53. Where neither side is wide enough for all threads,
 * dnnl_sgemm divides both. */
/* clang-format on */
static const double threads_from = 8e5, part_from = 4e5;
enum { PART = 32, ITS_OWN = -1 };

/* Into q: outer parts, or ITS_OWN; inner is 1 where they are rows. */
static void divide(tg_dnnl_plan *q, int threads)
{
    const tg_dnnl_gemm *g = &q->gemm;
    const double work = 2.0 * (double)g->m * (double)g->n * (double)g->k;
    q->outer = 1;
    if (threads < 2 || work < threads_from)
        return;
    if (work < part_from * threads)
        threads = (int)(work / part_from);
    const bool rows = g->m >= (int64_t)threads * PART, columns = g->n >= (int64_t)threads * PART;
    const bool c_largest = g->n >= g->k && g->m >= g->k;
    q->inner = rows && (c_largest || g->m >= g->n || !columns);
    q->outer = rows || columns ? threads : ITS_OWN;
}

/* The gradient of a weight, XᵀY: dnnl_sgemm takes 384 rows of each at a time, and where a row is more than a page the
 * processor's table of pages is too small for them. GFLOP/s of one thread, in turns, m, n, k, at once and by 128 rows:
 *     1536  384 2048   116   145        384  384 2048   154   150
 *     2048  512 2048   123   146       1024 1024 1024   146   138
 *      384 1536 2048   132   147        256  384 2048   160   157
 *     1152  384 2048   140   146        768  768 4096   147   151 */
enum { PAGE = 4096 / sizeof(float), DEPTH = 128 };

static int64_t depth_of(const tg_dnnl_gemm *g)
{
    const bool far = g->a_form == 'T' && g->b_form == 'N' && (g->a_row > PAGE || g->b_row > PAGE);
    return far && g->k >= 4 * DEPTH ? DEPTH : g->k;
}

/* The rows [i, i + m) of C, its columns [j, j + n). */
static void part(const tg_dnnl_gemm *g, const tg_run *r, int64_t i, int64_t m, int64_t j, int64_t n)
{
    const float *a = (const float *)r->in[0] + (g->a_form == 'N' ? i * g->a_row : i);
    const float *b = (const float *)r->in[1] + (g->b_form == 'N' ? j : j * g->b_row);
    float *y = (float *)r->out[0] + i * g->n + j;
    const float *bias = g->bias ? (const float *)r->in[2] + j * g->bias_step : NULL;
    for (int64_t row = 0; bias && row < m; row++)
        if (g->bias_step == 1)
            memcpy(y + row * g->n, bias, (size_t)n * sizeof *y);
        else
            for (int64_t col = 0; col < n; col++)
                y[row * g->n + col] = bias[col * g->bias_step];
    const int64_t depth = depth_of(g);
    int64_t k = 0;
    do {
        const int64_t now = g->k - k < depth ? g->k - k : depth;
        dnnl_sgemm(g->a_form, g->b_form, m, n, now, 1.0f, a, g->a_row, b, g->b_row, bias || k ? 1.0f : 0.0f, y, g->n);
        a += g->a_form == 'N' ? now : now * g->a_row;
        b += g->b_form == 'N' ? now * g->b_row : now;
        k += now;
    } while (k < g->k);
}

static void run_gemm(const tg_dnnl_plan *q, const tg_run *r)
{
    const tg_dnnl_gemm *g = &q->gemm;
    if (q->outer == ITS_OWN) {
        part(g, r, 0, g->m, 0, g->n);
        return;
    }
    if (q->outer == 1) {
        const int before = tg_dnnl_set_threads(1);
        part(g, r, 0, g->m, 0, g->n);
        tg_dnnl_restore_threads(before, 1);
        return;
    }
    /* In a parallel region dnnl_sgemm keeps to its thread. */
    const bool rows = q->inner;
    const int64_t whole = rows ? g->m : g->n, share = ((whole + q->outer - 1) / q->outer + 15) / 16 * 16;
#pragma omp parallel for num_threads((int)q->outer) schedule(static)
    for (int64_t first = 0; first < whole; first += share) {
        const int64_t now = whole - first < share ? whole - first : share;
        part(g, r, rows ? first : 0, rows ? now : g->m, rows ? 0 : first, rows ? g->n : now);
    }
}

static void add_gemm(tg_dnnl_maker *m)
{
    tg_dnnl_plan *q = m->q;
    divide(q, q->threads);
    tg_dnnl_add_function(m, run_gemm);
    snprintf(q->implementation, sizeof q->implementation, "%s",
             q->outer == 1         ? "sgemm"
             : q->outer == ITS_OWN ? "sgemm:threads"
             : q->inner            ? "sgemm:rows"
                                   : "sgemm:columns");
}

/* Has it one matrix along dim i of the result's? */
static bool repeats(const tg_desc *d, int rank, int i)
{
    const int at = i - (rank - d->ndim);
    return at < 0 || (i < rank - 2 && (d->dim[at] == 1 || d->stride[at] == 0));
}

/* An operand of a batch as the primitive sees it: a dim that repeats one matrix has size 1. A dim of size 1 goes past
 * all of those behind it: oneDNN 3.7 computes wrong products where its stride is that of one of them. */
static void see(const tg_desc *d, int rank, int64_t *dims, int64_t *strides)
{
    const int lead = rank - d->ndim;
    int64_t extent = 1;
    for (int i = rank; i-- > 0;) {
        dims[i] = repeats(d, rank, i) ? 1 : d->dim[i - lead];
        strides[i] = dims[i] == 1 ? extent : d->stride[i - lead];
        if (dims[i] * strides[i] > extent)
            extent = dims[i] * strides[i];
    }
}

static tg_dnnl_md batched(tg_dnnl_maker *m, const tg_desc *d)
{
    int64_t dims[TG_MAX_DIM], strides[TG_MAX_DIM];
    see(d, m->c->out->ndim, dims, strides);
    return tg_dnnl_strided(m, m->c->out->ndim, dims, strides);
}

/* Do matrices lie one after the other in the order of the batch's dims, `step` apart? */
static bool in_order(int rank, const int64_t *dims, const int64_t *strides, int64_t step)
{
    for (int i = rank - 2; i-- > 0;) {
        if (dims[i] > 1 && strides[i] != step)
            return false;
        step *= dims[i];
    }
    return true;
}

/* Does oneDNN take other matrices than an operand's? 3.7 to 3.12 hold several dims of a batch for one where the largest
 * stride is as many times the least, rounded down, as there are matrices (is_batch_layout_trivial in its
 * brgemm_matmul_utils.cpp; right since 3.13). 3.12 takes rows, k = 1, of a batch as if nothing lay between them. */
static bool misread(const tg_desc *d, int rank, int64_t batch, bool rows)
{
    int64_t dims[TG_MAX_DIM], strides[TG_MAX_DIM];
    see(d, rank, dims, strides);
    if (rows && strides[rank - 1] == 1 && !in_order(rank, dims, strides, dims[rank - 1]))
        return true;
    int64_t least = strides[0], most = strides[0];
    for (int i = 1; i < rank - 2; i++) {
        least = strides[i] < least ? strides[i] : least;
        most = strides[i] > most ? strides[i] : most;
    }
    return rank > 3 && least > 0 && most / least == batch && !in_order(rank, dims, strides, strides[rank - 3]);
}

/* -- which products
 * ---------------------------------------------------------------------------------------------- */

/* From how many operations (2·m·n·k, and the result's own) on it gains over the reference, and with one row
 * or column; read off `bench_matmul 1 blis.so onednn.so` with TG_BENCH_ACCEPT_ALL=1, oneDNN 2.6.3, Sapphire
 * Rapids. From there on it is 1.2 to 4 times as fast as BLIS. */
static const double gemm_from = 2.5e4, vector_from = 4e3;

static bool too_small(double m, double n, double k)
{
    return 2 * m * n * k + 16 * m * n < (m == 1 || n == 1 ? vector_from : gemm_from);
}

static tg_accept judge(const tg_dnnl_gemm *g, const char **reason)
{
    if (!too_small((double)g->m, (double)g->n, (double)g->k))
        return TG_ACCEPT;
    *reason = "too small: the next is faster";
    return TG_DECLINE;
}

static tg_accept readable(const tg_call *c, bool turned, const char **reason)
{
    tg_dnnl_gemm g;
    if (as_gemm(c->in[0], c->in[1], turned, &g))
        return TG_ACCEPT;
    *reason = "oneDNN reads matrices whose rows or columns are contiguous";
    return TG_DECLINE;
}

/* The result's batch is what the operands, with 1 where they repeat, broadcast to. */
tg_accept tg_dnnl_can_matmul(const tg_call *c, const char **reason)
{
    const int rank = c->out->ndim;
    for (int i = 0; i < rank - 2; i++)
        if (c->out->dim[i] > 1 && repeats(c->in[0], rank, i) && repeats(c->in[1], rank, i)) {
            *reason = "both operands repeat along a dim of the batch: oneDNN computes one product of them";
            return TG_DECLINE;
        }
    tg_dnnl_gemm g;
    const int64_t batch = batch_of(c->out), k = c->in[0]->dim[c->in[0]->ndim - 1];
    if (!merges(c, &g) && batch > 1 &&
        (misread(c->in[0], rank, batch, false) || misread(c->in[1], rank, batch, k == 1))) {
        *reason = "some releases of oneDNN read other matrices of a batch of these strides";
        return TG_DECLINE;
    }
    return readable(c, false, reason);
}

tg_accept tg_dnnl_accept_matmul(const tg_call *c, const char **reason)
{
    tg_dnnl_gemm g;
    return merges(c, &g) ? judge(&g, reason) : TG_ACCEPT;
}

void tg_dnnl_build_matmul(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    if (merges(c, &m->q->gemm)) {
        add_gemm(m);
        return;
    }
    tg_dnnl_md a = batched(m, c->in[0]), b = batched(m, c->in[1]), y = batched(m, c->out);
    TG_DNNL_DESCRIBE(m, pd, dnnl_matmul_primitive_desc_create, m->s->engine, a, b, NULL, y, m->attr);
    tg_dnnl_step *step = tg_dnnl_add(m, pd);
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, tg_dnnl_in(a, 0));
    tg_dnnl_bind(m, step, DNNL_ARG_WEIGHTS, tg_dnnl_in(b, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_DST, tg_dnnl_out(y, 0));
}

tg_accept tg_dnnl_can_linear(const tg_call *c, const char **reason)
{
    return readable(c, true, reason);
}

tg_accept tg_dnnl_accept_linear(const tg_call *c, const char **reason)
{
    tg_dnnl_gemm g;
    as_gemm(c->in[0], c->in[1], true, &g);
    return judge(&g, reason);
}

void tg_dnnl_build_linear(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    tg_dnnl_gemm *g = &m->q->gemm;
    as_gemm(c->in[0], c->in[1], true, g);
    g->bias = c->in[2];
    g->bias_step = g->bias ? c->in[2]->stride[0] : 0;
    add_gemm(m);
}
