/* Distances of all pairs of rows, and their gradient, without a difference of each being kept. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"
#include "backends/reference/vector_math.h"

enum { PARALLEL = 32768, LANES = 8, PIECE = 64 /* parts of a row that are added up together */ };

/* (batches, P, M) and (batches, R, M), row-major. */
typedef struct task {
    const void *a, *b, *g, *d;
    void *out;
    int64_t p, r, m;
    double order;
} task;

/* ∂d/∂u without its factor d^(1 − p). u is rounded as d is, so that the largest is found again. */
static inline double slope(double u, double d, double order)
{
    const double side = (u > 0) - (u < 0);
    if (isinf(order))
        return fabs(u) == d ? side : 0;
    return u == 0 ? 0 : side * pow(fabs(u), order - 1);
}

#define LANE_SUMS(term)                                                                                      \
    {                                                                                                        \
        int64_t k = 0;                                                                                       \
        for (; k + LANES <= m; k += LANES)                                                                   \
            for (int l = 0; l < LANES; l++) {                                                                \
                const double u = (double)a[k + l] - (double)b[k + l];                                        \
                lane[l] += term;                                                                             \
            }                                                                                                \
        TG_REF_SIMD_LOOP for (int l = 0; l < (int)(m - k); l++)                                              \
        {                                                                                                    \
            const double u = (double)a[k + l] - (double)b[k + l];                                            \
            lane[l] += term;                                                                                 \
        }                                                                                                    \
    }

/* Σ|u|^p, or the count or the largest, of one row from another; one row's distances; and of one row's
 * gradient the sum over the other rows, where the factor d^(1 − p) is 0 if d is. */
#define ROWS(suffix, TYPE)                                                                                   \
    TG_REF_CLONES_##suffix static double usual_##suffix(const TYPE *a, const TYPE *b, int64_t m, bool squared)        \
    {                                                                                                        \
        double lane[LANES] = {0};                                                                            \
        if (squared)                                                                                         \
            LANE_SUMS(u *u)                                                                                  \
        else                                                                                                 \
            LANE_SUMS(fabs(u))                                                                               \
        for (int width = LANES / 2; width; width /= 2)                                                       \
            for (int l = 0; l < width; l++)                                                                  \
                lane[l] += lane[l + width];                                                                  \
        return lane[0];                                                                                      \
    }                                                                                                        \
    static double other_##suffix(const TYPE *a, const TYPE *b, int64_t m, double order)                      \
    {                                                                                                        \
        double y = 0;                                                                                        \
        for (int64_t k = 0; k < m; k++) {                                                                    \
            const double u = fabs((double)a[k] - (double)b[k]);                                              \
            if (order == 0)                                                                                  \
                y += u != u ? u : u != 0;                                                                    \
            else if (isinf(order))                                                                           \
                y = y != y || u <= y ? y : u;                                                                \
            else                                                                                             \
                y += pow(u, order);                                                                          \
        }                                                                                                    \
        return order == 0 || isinf(order) ? y : pow(y, 1 / order);                                           \
    }                                                                                                        \
    static void distance_item_##suffix(const void *arg, int64_t i)                                           \
    {                                                                                                        \
        const task *t = arg;                                                                                 \
        const TYPE *a = (const TYPE *)t->a + i * t->m, *b = (const TYPE *)t->b + i / t->p * t->r * t->m;     \
        for (int64_t j = 0; j < t->r; j++, b += t->m)                                                        \
            ((TYPE *)t->out)[i * t->r + j] = (TYPE)(t->order == 2   ? sqrt(usual_##suffix(a, b, t->m, true)) \
                                                    : t->order == 1 ? usual_##suffix(a, b, t->m, false)      \
                                                                    : other_##suffix(a, b, t->m, t->order)); \
    }                                                                                                        \
    TG_REF_CLONES_##suffix static void usual_add_##suffix(double *restrict y, const TYPE *a, const TYPE *b,           \
                                                 int64_t n, double g, bool squared)                          \
    {                                                                                                        \
        TG_REF_SIMD_LOOP for (int64_t k = 0; k < n; k++)                                                     \
        {                                                                                                    \
            const double u = (double)a[k] - (double)b[k];                                                    \
            y[k] += g * (squared ? u : (double)((u > 0) - (u < 0)));                                         \
        }                                                                                                    \
    }                                                                                                        \
    static void gradient_item_##suffix(const void *arg, int64_t i)                                           \
    {                                                                                                        \
        const task *t = arg;                                                                                 \
        const double order = t->order;                                                                       \
        for (int64_t k = 0; k < t->m; k += PIECE) {                                                          \
            const int64_t n = t->m - k < PIECE ? t->m - k : PIECE;                                           \
            const TYPE *a = (const TYPE *)t->a + i * t->m + k;                                               \
            const TYPE *b = (const TYPE *)t->b + i / t->p * t->r * t->m + k;                                 \
            double y[PIECE] = {0};                                                                           \
            for (int64_t j = 0; j < t->r && order != 0; j++, b += t->m) {                                    \
                const double d = (double)((const TYPE *)t->d)[i * t->r + j];                                 \
                double g = (double)((const TYPE *)t->g)[i * t->r + j];                                       \
                if (order != 1 && !isinf(order))                                                             \
                    g = d == 0 ? 0 : order == 2 ? g / d : g * pow(d, 1 - order);                             \
                if (order == 1 || order == 2)                                                                \
                    usual_add_##suffix(y, a, b, n, g, order == 2);                                           \
                else                                                                                         \
                    for (int64_t l = 0; l < n; l++)                                                          \
                        y[l] += g * slope((double)(TYPE)(a[l] - b[l]), d, order);                            \
            }                                                                                                \
            for (int64_t l = 0; l < n; l++)                                                                  \
                ((TYPE *)t->out)[i * t->m + k + l] = (TYPE)y[l];                                             \
        }                                                                                                    \
    }
ROWS(f32, float)
ROWS(f64, double)

static tg_status run(const tg_call *c, const tg_run *r, size_t first, tg_ref_item_fn f32, tg_ref_item_fn f64)
{
    const tg_desc *a = c->in[first], *b = c->in[first + 1];
    const task t = {.a = r->in[first],
                    .b = r->in[first + 1],
                    .g = r->in[0],
                    .d = r->in[c->n_in - 1],
                    .out = r->out[0],
                    .p = a->dim[a->ndim - 2],
                    .r = b->dim[b->ndim - 2],
                    .m = a->dim[a->ndim - 1],
                    .order = ((const tg_cdist_attrs *)c->attrs)->p};
    int64_t rows = 1;
    for (int d = 0; d < a->ndim - 1; d++)
        rows *= a->dim[d];
    tg_ref_each(rows * t.r * t.m > PARALLEL ? r->threads : 1, rows, a->dtype == TG_F32 ? f32 : f64, &t);
    return TG_OK;
}

static tg_status run_cdist(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, 0, distance_item_f32, distance_item_f64);
}

static tg_status run_cdist_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                    const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, 1, gradient_item_f32, gradient_item_f64);
}

const tg_ref_kernel tg_ref_distance[] = {
    TG_REF_KERNEL("cdist", run_cdist),
    TG_REF_KERNEL("cdist_backward", run_cdist_backward),
    {0},
};
