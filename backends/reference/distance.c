/* Distances of all pairs of rows, and their gradient, without a difference of each being kept. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <math.h>

enum { PARALLEL = 32768 };

/* (batches, P, M) and (batches, R, M), row-major. */
typedef struct task {
    const void *a, *b, *g, *d;
    void *out;
    int64_t p, r, m;
    double order;
    bool f64;
} task;

static inline double at(const task *t, const void *x, int64_t i)
{
    return t->f64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

static inline void put(const task *t, int64_t i, double v)
{
    if (t->f64)
        ((double *)t->out)[i] = v;
    else
        ((float *)t->out)[i] = (float)v;
}

/* Item i is a row of x1: its distance from each of x2's. */
static void distance_item(const void *arg, int64_t i)
{
    const task *t = arg;
    const int64_t row = i * t->m, others = i / t->p * t->r;
    for (int64_t j = 0; j < t->r; j++) {
        double y = 0;
        for (int64_t k = 0; k < t->m; k++) {
            const double u = fabs(at(t, t->a, row + k) - at(t, t->b, (others + j) * t->m + k));
            if (t->order == 2)
                y += u * u;
            else if (t->order == 1)
                y += u;
            else if (t->order == 0)
                y += u != u ? u : u != 0;
            else if (isinf(t->order))
                y = y != y || u <= y ? y : u;
            else
                y += pow(u, t->order);
        }
        if (t->order == 2)
            y = sqrt(y);
        else if (t->order != 1 && t->order != 0 && !isinf(t->order))
            y = pow(y, 1 / t->order);
        put(t, i * t->r + j, y);
    }
}

/* ∂d/∂u, where d is 0 (or u is and p < 1) 0. */
static inline double slope(double u, double d, double order)
{
    const double side = (u > 0) - (u < 0);
    if (order == 1)
        return side;
    if (isinf(order))
        return fabs(u) == d ? side : 0;
    if (order == 0 || d == 0 || (u == 0 && order < 1))
        return 0;
    return order == 2 ? u / d : side * pow(fabs(u), order - 1) * pow(d, 1 - order);
}

/* Item i is a row of x1: the sum over x2's rows. */
static void gradient_item(const void *arg, int64_t i)
{
    const task *t = arg;
    const int64_t row = i * t->m, others = i / t->p * t->r;
    for (int64_t k = 0; k < t->m; k++) {
        double y = 0;
        for (int64_t j = 0; j < t->r; j++) {
            const double u = at(t, t->a, row + k) - at(t, t->b, (others + j) * t->m + k);
            y += at(t, t->g, i * t->r + j) * slope(u, at(t, t->d, i * t->r + j), t->order);
        }
        put(t, row + k, y);
    }
}

static tg_status run(const tg_call *c, const tg_run *r, size_t first, tg_ref_item_fn fn)
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
                    .order = ((const tg_cdist_attrs *)c->attrs)->p,
                    .f64 = a->dtype == TG_F64};
    int64_t rows = 1;
    for (int d = 0; d < a->ndim - 1; d++)
        rows *= a->dim[d];
    tg_ref_each(rows * t.r * t.m > PARALLEL ? r->threads : 1, rows, fn, &t);
    return TG_OK;
}

static tg_status run_cdist(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, 0, distance_item);
}

static tg_status run_cdist_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                    const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, 1, gradient_item);
}

const tg_kernel tg_ref_distance[] = {
    TG_REF_KERNEL("cdist", run_cdist),
    TG_REF_KERNEL("cdist_backward", run_cdist_backward),
    {0},
};
