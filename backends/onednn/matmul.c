/* matmul and linear. A product of two matrices is dnnl_sgemm's, which needs no code made for its shape; a
 * batch of them is the primitive's. */
#include "backends/onednn/onednn.h"

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

static void run_gemm(const tg_dnnl_plan *q, const tg_run *r)
{
    const tg_dnnl_gemm *g = &q->gemm;
    float *y = r->out[0];
    const float *bias = g->bias ? r->in[2] : NULL;
    if (bias && g->bias_step == 1) {
        for (int64_t i = 0; i < g->m; i++)
            memcpy(y + i * g->n, bias, (size_t)g->n * sizeof *y);
    } else if (bias) {
        for (int64_t i = 0; i < g->m; i++)
            for (int64_t j = 0; j < g->n; j++)
                y[i * g->n + j] = bias[j * g->bias_step];
    }
    dnnl_sgemm(g->a_form, g->b_form, g->m, g->n, g->k, 1.0f, r->in[0], g->a_row, r->in[1], g->b_row,
               bias ? 1.0f : 0.0f, y, g->n);
}

/* An operand of a batch as the primitive sees it: a dim that repeats one matrix has size 1. */
static tg_dnnl_md batched(tg_dnnl_maker *m, const tg_desc *d)
{
    int64_t dims[TG_MAX_DIM], strides[TG_MAX_DIM];
    int rank = m->c->out->ndim, lead = rank - d->ndim;
    for (int i = rank; i-- > 0;) {
        bool repeats = i < lead || (i < rank - 2 && d->stride[i - lead] == 0);
        dims[i] = repeats ? 1 : d->dim[i - lead];
        strides[i] =
            repeats || dims[i] == 1 ? (i + 1 < rank ? dims[i + 1] * strides[i + 1] : 1) : d->stride[i - lead];
    }
    return tg_dnnl_strided(m, rank, dims, strides);
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

tg_accept tg_dnnl_accept_matmul(const tg_call *c, const char **reason)
{
    tg_dnnl_gemm g;
    if (merges(c, &g))
        return judge(&g, reason);
    if (batch_of(c->out) > 1 && as_gemm(c->in[0], c->in[1], false, &g))
        return TG_ACCEPT;
    *reason = "oneDNN reads matrices whose rows or columns are contiguous";
    return TG_DECLINE;
}

void tg_dnnl_build_matmul(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    if (merges(c, &m->q->gemm)) {
        tg_dnnl_add_function(m, run_gemm);
        return;
    }
    tg_dnnl_md a = batched(m, c->in[0]), b = batched(m, c->in[1]), y = batched(m, c->out);
    TG_DNNL_DESCRIBE(m, pd, dnnl_matmul_primitive_desc_create, m->s->engine, a, b, NULL, y, m->attr);
    tg_dnnl_step *step = tg_dnnl_add(m, pd);
    tg_dnnl_bind(m, step, DNNL_ARG_SRC, tg_dnnl_in(a, 0));
    tg_dnnl_bind(m, step, DNNL_ARG_WEIGHTS, tg_dnnl_in(b, 1));
    tg_dnnl_bind(m, step, DNNL_ARG_DST, tg_dnnl_out(y, 0));
}

tg_accept tg_dnnl_accept_linear(const tg_call *c, const char **reason)
{
    tg_dnnl_gemm g;
    if (as_gemm(c->in[0], c->in[1], true, &g))
        return judge(&g, reason);
    *reason = "oneDNN reads matrices whose rows or columns are contiguous";
    return TG_DECLINE;
}

void tg_dnnl_build_linear(tg_dnnl_maker *m)
{
    const tg_call *c = m->c;
    tg_dnnl_gemm *g = &m->q->gemm;
    as_gemm(c->in[0], c->in[1], true, g);
    g->bias = c->in[2];
    g->bias_step = g->bias ? c->in[2]->stride[0] : 0;
    tg_dnnl_add_function(m, run_gemm);
}
