/* Sums in a tree that depends on the shape alone: an output's values are cut into blocks, a block is summed
 * in lanes (or row by row, where neighbouring outputs are neighbours in memory), the blocks' sums are added
 * in pairs. All in f64. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"
#include "backends/reference/vector_math.h"

#include <string.h>

enum {
    LANES = 16,
    STAGE = 1024,    /* values gathered at a time where they are not consecutive */
    COLUMNS = 128,   /* neighbouring outputs that are summed together            */
    BLOCKS = 256,    /* of one output, at the most                               */
    PARALLEL = 32768 /* values below which one thread is faster                  */
};

typedef struct plan {
    int n_kept, n_red;
    int64_t kept[TG_MAX_DIM], kept_stride[TG_MAX_DIM], red[TG_MAX_DIM], red_stride[TG_MAX_DIM];
    int64_t m, r;          /* outputs; values of each              */
    int64_t block, blocks; /* values of a block; blocks an output  */
    bool by_columns;
} plan;

static int64_t offset_of(int n, const int64_t *dim, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    for (int d = n - 1; d > 0; d--) {
        at += i % dim[d] * stride[d];
        i /= dim[d];
    }
    return n ? at + i * stride[0] : 0;
}

static void push(int *n, int64_t *dims, int64_t *strides, int64_t dim, int64_t stride)
{
    if (dim == 1)
        return;
    if (*n && strides[*n - 1] == stride * dim) {
        dims[*n - 1] *= dim;
    } else {
        dims[*n] = dim;
        (*n)++;
    }
    strides[*n - 1] = stride;
}

/* The order of a sum is free: the values are taken as they lie in memory. */
static void push_reduced(plan *p, const tg_desc *x, int64_t mask)
{
    int order[TG_MAX_DIM], n = 0;
    for (int d = 0; d < x->ndim; d++) {
        if (!(mask >> d & 1))
            continue;
        int at = n++;
        for (; at > 0 && x->stride[order[at - 1]] < x->stride[d]; at--)
            order[at] = order[at - 1];
        order[at] = d;
    }
    for (int i = 0; i < n; i++)
        push(&p->n_red, p->red, p->red_stride, x->dim[order[i]], x->stride[order[i]]);
}

static plan make_plan(const tg_desc *x, int64_t mask)
{
    plan p = {.m = 1, .r = 1};
    for (int d = 0; d < x->ndim; d++) {
        *(mask >> d & 1 ? &p.r : &p.m) *= x->dim[d];
        if (!(mask >> d & 1))
            push(&p.n_kept, p.kept, p.kept_stride, x->dim[d], x->stride[d]);
    }
    push_reduced(&p, x, mask);
    p.by_columns = p.n_kept && p.n_red && p.kept_stride[p.n_kept - 1] == 1 && p.red_stride[p.n_red - 1] != 1;
    const int64_t least = p.by_columns ? 256 : 4096, most = p.by_columns ? (p.m > 4096 ? 1 : 64) : BLOCKS;
    int64_t blocks = (p.r + least - 1) / least;
    blocks = blocks > most ? most : blocks < 1 ? 1 : blocks;
    p.block = (p.r + blocks - 1) / blocks;
    p.block = (p.block + LANES - 1) / LANES * LANES;
    p.block = p.block ? p.block : LANES;
    p.blocks = p.r ? (p.r + p.block - 1) / p.block : 1;
    return p;
}

/* Adds n values, `step` apart, in pairs. */
static double add_tree(double *v, int64_t n, int64_t step)
{
    for (int64_t width = 1; width < n; width *= 2)
        for (int64_t i = 0; i + width < n; i += 2 * width)
            v[i * step] += v[(i + width) * step];
    return v[0];
}

/* One pass over everything: where x is, where the results go. */
typedef struct task {
    const plan *p;
    const void *x;
    const double *centre; /* of each output: the squares around it are summed; NULL: the values */
    double *partial;      /* [blocks][m]                                                        */
    double *result;       /* [m]; may be the first row of partial                               */
    void *dst;            /* of extrema and places                                              */
    int sign, threads;
    bool f64;
} task;

#define T float
#define TYPED(name) name##_f32
#include "backends/reference/reduce_typed.h"
#undef T
#undef TYPED
#define T double
#define TYPED(name) name##_f64
#include "backends/reference/reduce_typed.h"
#undef T
#undef TYPED

/* Groups of neighbouring outputs. */
static int64_t pieces_of(const plan *p)
{
    const int64_t row = p->kept[p->n_kept - 1];
    return p->m / row * ((row + COLUMNS - 1) / COLUMNS);
}

static void sum(const task *t)
{
    const plan *p = t->p;
    if (!p->m)
        return;
    if (p->by_columns)
        tg_ref_each(t->threads, pieces_of(p) * p->blocks,
                    t->f64 ? sum_columns_item_f64 : sum_columns_item_f32, t);
    else
        tg_ref_each(t->threads, p->m * p->blocks, t->f64 ? sum_item_f64 : sum_item_f32, t);
    if (p->blocks == 1 && t->result == t->partial)
        return;
    for (int64_t m = 0; m < p->m; m++)
        t->result[m] = add_tree(t->partial + m, p->blocks, p->m);
}

static int threads_for(const plan *p, const tg_run *r)
{
    return r->threads > 1 && p->m * p->r > PARALLEL ? r->threads : 1;
}

static bool is_spread(const tg_call *c)
{
    return !strcmp(c->op, "var") || !strcmp(c->op, "std");
}

/* Of a call to sum, mean, var or norm: which dims go. */
static int64_t mask_of(const tg_call *c)
{
    if (is_spread(c))
        return ((const tg_var_attrs *)c->attrs)->dims;
    if (!strcmp(c->op, "norm"))
        return ((const tg_norm_attrs *)c->attrs)->dims;
    if (strcmp(c->op, "sum_to_size") != 0)
        return ((const tg_reduce_attrs *)c->attrs)->dims;
    const tg_desc *x = c->in[0], *y = &c->out[0];
    const int lead = x->ndim - y->ndim;
    int64_t mask = 0;
    for (int d = 0; d < x->ndim; d++)
        if (d < lead || y->dim[d - lead] != x->dim[d])
            mask |= (int64_t)1 << d;
    return mask;
}

/* Partial sums, and for var the means (for norm, zeros in their place). */
static tg_status prepare_sum(tg_backend_state *s, const tg_call *c, tg_prepared *q)
{
    (void)s;
    const plan p = make_plan(c->in[0], mask_of(c));
    const bool centred = is_spread(c) || !strcmp(c->op, "norm");
    q->scratch_size = (size_t)(p.m * p.blocks + (centred ? p.m : 0)) * sizeof(double);
    return TG_OK;
}

static void store(const tg_call *c, const tg_run *r, const plan *p, const double *sums, double divisor)
{
    if (c->out[0].dtype == TG_F64) {
        double *dst = r->out[0];
        for (int64_t m = 0; m < p->m; m++)
            dst[m] = sums[m] / divisor;
    } else {
        float *dst = r->out[0];
        for (int64_t m = 0; m < p->m; m++)
            dst[m] = (float)(sums[m] / divisor);
    }
}

static task make_task(const tg_call *c, const tg_run *r, const plan *p)
{
    return (task){
        .p = p,
        .f64 = c->in[0]->dtype == TG_F64,
        .x = r->in[0],
        .partial = r->scratch,
        .result = r->scratch,
        .threads = threads_for(p, r),
    };
}

/* -- one value after the other: whole numbers, and what is true -------------------------------------------
 */

enum { FOLD_SUM, FOLD_MAX, FOLD_MIN, FOLD_ANY, FOLD_ALL };

typedef struct fold {
    const plan *p;
    const char *x;
    void *dst;
    int what;
    int32_t from, to; /* dtypes */
} fold;

#define FOLD(suffix, TYPE)                                                                                   \
    static int64_t fold_##suffix(int64_t y, const TYPE *x, int64_t n, int64_t step, int what)                \
    {                                                                                                        \
        switch (what) {                                                                                      \
        case FOLD_SUM:                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                                  \
                y = (int64_t)((uint64_t)y + (uint64_t)x[i * step]);                                          \
            return y;                                                                                        \
        case FOLD_MAX:                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                                  \
                y = (int64_t)x[i * step] > y ? (int64_t)x[i * step] : y;                                     \
            return y;                                                                                        \
        case FOLD_MIN:                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                                  \
                y = (int64_t)x[i * step] < y ? (int64_t)x[i * step] : y;                                     \
            return y;                                                                                        \
        case FOLD_ANY:                                                                                       \
            for (int64_t i = 0; i < n && !y; i++)                                                            \
                y = x[i * step] != 0;                                                                        \
            return y;                                                                                        \
        default:                                                                                             \
            for (int64_t i = 0; i < n && y; i++)                                                             \
                y = x[i * step] != 0;                                                                        \
            return y;                                                                                        \
        }                                                                                                    \
    }
FOLD(u8, uint8_t)
FOLD(i64, int64_t)
/* Only their truth is asked for. */
#define TRUTH(suffix, TYPE)                                                                                  \
    static int64_t fold_##suffix(int64_t y, const TYPE *x, int64_t n, int64_t step, int what)                \
    {                                                                                                        \
        for (int64_t i = 0; i < n && y == (what == FOLD_ALL); i++)                                           \
            y = x[i * step] != 0;                                                                            \
        return y;                                                                                            \
    }
TRUTH(f32, float)
TRUTH(f64, double)

static void fold_item(const void *arg, int64_t m)
{
    const fold *t = arg;
    const plan *p = t->p;
    const int64_t row = p->n_red ? p->red[p->n_red - 1] : 1,
                  step = p->n_red ? p->red_stride[p->n_red - 1] : 0;
    const int64_t at = offset_of(p->n_kept, p->kept, p->kept_stride, m);
    int64_t y = t->what == FOLD_MAX ? INT64_MIN : t->what == FOLD_MIN ? INT64_MAX : t->what == FOLD_ALL;
    for (int64_t i = 0; i < p->r; i += row) {
        const int64_t k = at + offset_of(p->n_red, p->red, p->red_stride, i);
        if (t->from == TG_I64)
            y = fold_i64(y, (const int64_t *)t->x + k, row, step, t->what);
        else if (t->from == TG_BOOL)
            y = fold_u8(y, (const uint8_t *)t->x + k, row, step, t->what);
        else if (t->from == TG_F32)
            y = fold_f32(y, (const float *)t->x + k, row, step, t->what);
        else
            y = fold_f64(y, (const double *)t->x + k, row, step, t->what);
    }
    if (t->to == TG_I64)
        ((int64_t *)t->dst)[m] = y;
    else
        ((uint8_t *)t->dst)[m] = (uint8_t)y;
}

static tg_status run_fold(const tg_call *c, const tg_run *r, int what)
{
    const plan p = make_plan(c->in[0], mask_of(c));
    const fold t = {.p = &p,
                    .x = r->in[0],
                    .dst = r->out[0],
                    .what = what,
                    .from = c->in[0]->dtype,
                    .to = c->out[0].dtype};
    tg_ref_each(threads_for(&p, r), p.m, fold_item, &t);
    return TG_OK;
}

static bool is_whole(const tg_call *c)
{
    return c->in[0]->dtype == TG_I64 || c->in[0]->dtype == TG_BOOL;
}

static tg_status run_any(tg_backend_state *s, const tg_call *c, const tg_prepared *q, const tg_run *r)
{
    (void)s, (void)q;
    return run_fold(c, r, FOLD_ANY);
}

static tg_status run_all(tg_backend_state *s, const tg_call *c, const tg_prepared *q, const tg_run *r)
{
    (void)s, (void)q;
    return run_fold(c, r, FOLD_ALL);
}

/* -- sums -------------------------------------------------------------------------------------------------
 */

static tg_status run_sum(tg_backend_state *s, const tg_call *c, const tg_prepared *q, const tg_run *r)
{
    (void)s, (void)q;
    if (is_whole(c))
        return run_fold(c, r, FOLD_SUM);
    const plan p = make_plan(c->in[0], mask_of(c));
    const task t = make_task(c, r, &p);
    sum(&t);
    store(c, r, &p, t.result, 1);
    return TG_OK;
}

static tg_status run_mean(tg_backend_state *s, const tg_call *c, const tg_prepared *q, const tg_run *r)
{
    (void)s, (void)q;
    const plan p = make_plan(c->in[0], mask_of(c));
    const task t = make_task(c, r, &p);
    sum(&t);
    store(c, r, &p, t.result, (double)p.r);
    return TG_OK;
}

/* Twice over the data: the means first, then the squares around them. The squares' sums are left in `sums`.
 */
static double *run_squares(const tg_call *c, const tg_run *r, const plan *p)
{
    double *mean = (double *)r->scratch + p->m * p->blocks;
    task t = make_task(c, r, p);
    t.result = mean;
    sum(&t);
    for (int64_t m = 0; m < p->m; m++)
        mean[m] /= (double)p->r;
    t.centre = mean;
    t.result = r->scratch;
    sum(&t);
    return t.result;
}

static tg_status run_var(tg_backend_state *s, const tg_call *c, const tg_prepared *q, const tg_run *r)
{
    (void)s, (void)q;
    const plan p = make_plan(c->in[0], mask_of(c));
    const double *squares = run_squares(c, r, &p);
    const double left = (double)p.r - ((const tg_var_attrs *)c->attrs)->correction;
    store(c, r, &p, squares, left > 0 ? left : 0);
    return TG_OK;
}

static tg_status run_std(tg_backend_state *s, const tg_call *c, const tg_prepared *q, const tg_run *r)
{
    (void)s, (void)q;
    const plan p = make_plan(c->in[0], mask_of(c));
    double *squares = run_squares(c, r, &p);
    const double left = (double)p.r - ((const tg_var_attrs *)c->attrs)->correction;
    for (int64_t m = 0; m < p.m; m++)
        squares[m] = sqrt(squares[m] / (left > 0 ? left : 0));
    store(c, r, &p, squares, 1);
    return TG_OK;
}

/* -- norms ------------------------------------------------------------------------------------------------
 */

typedef struct norm {
    const plan *p;
    const void *x;
    double *to;
    double order;
    bool f64;
} norm;

/* n values of one output more, `step` apart. */
#define NORM(suffix, TYPE)                                                                                   \
    static double norm_##suffix(double y, const TYPE *x, int64_t n, int64_t step, double order)              \
    {                                                                                                        \
        if (order == 1)                                                                                      \
            for (int64_t i = 0; i < n; i++)                                                                  \
                y += fabs((double)x[i * step]);                                                              \
        else if (order == 0)                                                                                 \
            for (int64_t i = 0; i < n; i++)                                                                  \
                y += x[i * step] != 0;                                                                       \
        else if (isinf(order))                                                                               \
            for (int64_t i = 0; i < n && y == y; i++) {                                                      \
                const double v = fabs((double)x[i * step]);                                                  \
                y = (order > 0 ? v <= y : v >= y) ? y : v;                                                   \
            }                                                                                                \
        else                                                                                                 \
            for (int64_t i = 0; i < n; i++)                                                                  \
                y += pow(fabs((double)x[i * step]), order);                                                  \
        return y;                                                                                            \
    }
NORM(f32, float)
NORM(f64, double)

static void norm_item(const void *arg, int64_t m)
{
    const norm *t = arg;
    const plan *p = t->p;
    const int64_t row = p->n_red ? p->red[p->n_red - 1] : 1,
                  step = p->n_red ? p->red_stride[p->n_red - 1] : 0;
    const int64_t at = offset_of(p->n_kept, p->kept, p->kept_stride, m);
    double y = isinf(t->order) && t->order < 0 ? (double)INFINITY : 0;
    for (int64_t i = 0; i < p->r; i += row) {
        const int64_t k = at + offset_of(p->n_red, p->red, p->red_stride, i);
        y = t->f64 ? norm_f64(y, (const double *)t->x + k, row, step, t->order)
                   : norm_f32(y, (const float *)t->x + k, row, step, t->order);
    }
    t->to[m] = t->order == 0 || t->order == 1 || isinf(t->order) ? y : pow(y, 1 / t->order);
}

static tg_status run_norm(tg_backend_state *s, const tg_call *c, const tg_prepared *q, const tg_run *r)
{
    (void)s, (void)q;
    const double order = ((const tg_norm_attrs *)c->attrs)->p;
    const plan p = make_plan(c->in[0], mask_of(c));
    double *y = r->scratch;
    if (order == 2) { /* the squares around 0 */
        double *zeros = y + p.m * p.blocks;
        task t = make_task(c, r, &p);
        for (int64_t m = 0; m < p.m; m++)
            zeros[m] = 0;
        t.centre = zeros;
        sum(&t);
        for (int64_t m = 0; m < p.m; m++)
            y[m] = sqrt(y[m]);
    } else {
        const norm t = {.p = &p, .x = r->in[0], .to = y, .order = order, .f64 = c->in[0]->dtype == TG_F64};
        tg_ref_each(threads_for(&p, r), p.m, norm_item, &t);
    }
    store(c, r, &p, y, 1);
    return TG_OK;
}

/* -- extrema ----------------------------------------------------------------------------------------------
 */

static tg_status run_extremum(const tg_call *c, const tg_run *r, int sign)
{
    if (is_whole(c))
        return run_fold(c, r, sign > 0 ? FOLD_MAX : FOLD_MIN);
    const plan p = make_plan(c->in[0], mask_of(c));
    task t = make_task(c, r, &p);
    t.sign = sign;
    t.dst = r->out[0];
    if (p.m)
        tg_ref_each(t.threads, p.by_columns ? pieces_of(&p) : p.m,
                    t.f64 ? extremum_item_f64 : extremum_item_f32, &t);
    return TG_OK;
}

static tg_status run_amax(tg_backend_state *s, const tg_call *c, const tg_prepared *q, const tg_run *r)
{
    (void)s, (void)q;
    return run_extremum(c, r, 1);
}

static tg_status run_amin(tg_backend_state *s, const tg_call *c, const tg_prepared *q, const tg_run *r)
{
    (void)s, (void)q;
    return run_extremum(c, r, -1);
}

#define SUMMING(name, run_fn)                                                                                \
    {                                                                                                        \
        .op = name, .prepare = prepare_sum, .run = run_fn    \
    }
const tg_ref_kernel tg_ref_reduce[] = {
    SUMMING("sum", run_sum),
    SUMMING("mean", run_mean),
    SUMMING("var", run_var),
    SUMMING("std", run_std),
    SUMMING("norm", run_norm),
    SUMMING("sum_to_size", run_sum),
    TG_REF_KERNEL("amax", run_amax),
    TG_REF_KERNEL("amin", run_amin),
    TG_REF_KERNEL("max_all", run_amax),
    TG_REF_KERNEL("min_all", run_amin),
    TG_REF_KERNEL("any", run_any),
    TG_REF_KERNEL("all", run_all),
    {0},
};
