/* scaled_dot_product_attention and its gradient, by blocks of queries whose products are dnnl_sgemm's. */
#include "backends/attention_view.h"
#include "backends/onednn/plan.h"
#include "backends/reference/lanes.h"

#include <omp.h>

#define T float
#define NAME(x) x##_f32
#define CLONES TG_DNNL_CLONES
#include "backends/reference/lanes_typed.h"

/* Of an operand either the rows or the columns lie in one piece. */
static inline void product_f32(void *scratch, int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row,
                               int64_t a_col, const float *b, int64_t b_row, int64_t b_col, bool add,
                               float *c, int64_t c_row)
{
    (void)scratch;
    const bool a_turned = a_col != 1, b_turned = b_col != 1;
    dnnl_sgemm(a_turned ? 'T' : 'N', b_turned ? 'T' : 'N', m, n, k, 1.0f, a, a_turned ? a_col : a_row, b,
               b_turned ? b_col : b_row, add ? 1.0f : 0.0f, c, c_row);
}

CLONES static void exps_f32(float *y, const float *x, int64_t n)
{
    TG_REF_SIMD_LOOP
    for (int64_t j = 0; j < n; j++)
        y[j] = ref_expf(x[j]);
}

#include "backends/attention_typed.h"

/* From how many operations of one product of a block on dnnl_sgemm gains. */
static const double least = 2.5e4;

tg_accept tg_dnnl_attention_accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    (void)s;
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i] && (c->in[i]->layout || c->in[i]->dtype != TG_F32)) {
            *reason = c->in[i]->layout ? "this backend reads strided tensors only"
                                       : "oneDNN has kernels for f32 only";
            return TG_REFUSE;
        }
    const tg_attention_view w = tg_attention_make(c);
    const tg_attention_matrix *all[] = {&w.q, &w.k, &w.v, &w.y};
    for (int i = 0; i < 4; i++)
        if (!tg_attention_in_rows(all[i]) || all[i]->col != 1 || all[i]->rows < 2 || all[i]->cols < 2) {
            *reason = "its rows are not contiguous";
            return TG_DECLINE;
        }
    if (tg_attention_work(&w) >= least)
        return TG_ACCEPT;
    *reason = "too small: the next is faster";
    return TG_DECLINE;
}

tg_status tg_dnnl_attention_prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    tg_attention_prepare(c, 0, "sgemm:blocks", p);
    return TG_OK;
}

tg_status tg_dnnl_attention_run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_attention_view w = tg_attention_make(c);
    const int64_t jobs = tg_attention_jobs(&w);
    const size_t own = tg_attention_bytes(&w);
    const int threads = r->threads < jobs ? r->threads : (int)jobs;
    if (threads <= 1) {
        const int before = tg_dnnl_set_threads(1);
        for (int64_t i = 0; i < jobs; i++)
            attention_f32(&w, r, i, r->scratch);
        tg_dnnl_restore_threads(before, 1);
        return TG_OK;
    }
    /* In a parallel region dnnl_sgemm keeps to its thread. */
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < jobs; i++)
        attention_f32(&w, r, i, (char *)r->scratch + own * (size_t)omp_get_thread_num());
    return TG_OK;
}
