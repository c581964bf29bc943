#include "backends/blis/attention.h"
#include "backends/attention_view.h"
#include "backends/reference/lanes.h"

#include <blis.h>
#include <omp.h>

/* BLIS takes what it only reads as pointers to non-const in older versions. */
#define PRODUCT(GEMM)                                                                                        \
    static inline void NAME(product)(void *scratch, int64_t m, int64_t n, int64_t k, const T *a,             \
                                     int64_t a_row, int64_t a_col, const T *b, int64_t b_row, int64_t b_col, \
                                     bool add, T *c, int64_t c_row)                                          \
    {                                                                                                        \
        (void)scratch;                                                                                       \
        rntm_t rntm = BLIS_RNTM_INITIALIZER;                                                                 \
        bli_rntm_set_num_threads(1, &rntm);                                                                  \
        T one = 1, beta = add;                                                                               \
        GEMM(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, k, &one, (T *)(uintptr_t)a, a_row, a_col,           \
             (T *)(uintptr_t)b, b_row, b_col, &beta, c, c_row, 1, NULL, &rntm);                              \
    }

#define CLONES TG_REF_CLONES

CLONES static void exps_f32(float *y, const float *x, int64_t n)
{
    TG_REF_SIMD_LOOP
    for (int64_t j = 0; j < n; j++)
        y[j] = ref_expf(x[j]);
}

static void exps_f64(double *y, const double *x, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        y[j] = ref_exp(x[j]);
}

#define T float
#define NAME(x) x##_f32
#include "backends/reference/lanes_typed.h"
PRODUCT(bli_sgemm_ex)
#include "backends/attention_typed.h"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_f64
#include "backends/reference/lanes_typed.h"
PRODUCT(bli_dgemm_ex)
#include "backends/attention_typed.h"

/* From how many operations of one product of a block on BLIS gains. */
static const double least = 2.5e5;

tg_accept tg_blis_attention_accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    (void)s;
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i] && c->in[i]->layout) {
            *reason = "BLIS reads strided matrices only";
            return TG_REFUSE;
        }
    const tg_attention_view w = tg_attention_make(c);
    if (!tg_attention_in_rows(&w.q) || !tg_attention_in_rows(&w.k) || !tg_attention_in_rows(&w.v) ||
        !tg_attention_in_rows(&w.y)) {
        *reason = "its rows are not contiguous";
        return TG_DECLINE;
    }
    if (tg_attention_work(&w) >= least)
        return TG_ACCEPT;
    *reason = "too small: the reference is faster";
    return TG_DECLINE;
}

tg_status tg_blis_attention_prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    tg_attention_prepare(c, 0, "gemm:blocks", p);
    return TG_OK;
}

tg_status tg_blis_attention_run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_attention_view w = tg_attention_make(c);
    const int64_t jobs = tg_attention_jobs(&w);
    const size_t own = tg_attention_bytes(&w);
    const int threads = omp_in_parallel() ? 1 : r->threads < jobs ? r->threads : (int)jobs;
    void (*one)(const tg_attention_view *, const tg_run *, int64_t, char *) =
        w.q.d->dtype == TG_F64 ? attention_f64 : attention_f32;
    if (threads <= 1) {
        for (int64_t i = 0; i < jobs; i++)
            one(&w, r, i, r->scratch);
        return TG_OK;
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < jobs; i++)
        one(&w, r, i, (char *)r->scratch + own * (size_t)omp_get_thread_num());
    return TG_OK;
}
