/* Pooling: a task is one line of the result, or one plane where places lead anywhere in it. */
#include "backends/reference/each.h"
#include "backends/reference/lanes.h"
#include "backends/reference/reference.h"

#include <math.h>

/* The pooled dims, with ones before them where they are fewer than three. */
typedef struct pooling {
    int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3], plane;
    double divisor; /* 0: the count */
    bool adaptive, count_padding;
    const void *x;
    void *y;
    int64_t *index;
} pooling;

typedef struct places {
    int64_t n, plane; /* places of a plane, and its elements */
    const void *x;
    const int64_t *index;
    void *y;
} places;

/* A window's elements along one dim, and how many count for a mean. */
typedef struct span {
    int64_t from, to;
    double count;
} span;

static span window(const pooling *t, int k, int64_t o)
{
    span s;
    if (t->adaptive) {
        s.from = o * t->in[k] / t->out[k];
        s.to = ((o + 1) * t->in[k] + t->out[k] - 1) / t->out[k];
        s.count = (double)(s.to - s.from);
        return s;
    }
    const int64_t apart = t->dilation[k], begin = o * t->stride[k] - t->padding[k];
    int64_t end = begin + (t->kernel[k] - 1) * apart + 1;
    const int64_t most = t->in[k] + t->padding[k];
    s.count = (double)((end < most ? end : most) - begin);
    s.to = end < t->in[k] ? end : t->in[k];
    s.from = begin < 0 ? begin + (-begin + apart - 1) / apart * apart : begin;
    if (!t->count_padding)
        s.count = (double)(s.to - s.from);
    return s;
}

/* The windows that cover element i of dim k, without dilation. */
static span covering(const pooling *t, int k, int64_t i)
{
    const int64_t at = i + t->padding[k], before = at - t->kernel[k] + 1;
    span s = {before > 0 ? (before + t->stride[k] - 1) / t->stride[k] : 0, at / t->stride[k] + 1, 0};
    if (s.to > t->out[k])
        s.to = t->out[k];
    return s;
}

/* The windows across a line of the result; returns which plane it lies in. */
static int64_t start_line(const pooling *t, int64_t line, span s[3])
{
    s[0] = window(t, 0, line / t->out[1] % t->out[0]);
    s[1] = window(t, 1, line % t->out[1]);
    return line / t->out[1] / t->out[0];
}

#define T float
#define NAME(x) x##_f32
#include "backends/reference/pool_typed.h"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_f64
#include "backends/reference/pool_typed.h"
#undef T
#undef NAME

static void three(int64_t to[3], int64_t otherwise, int64_t n, const int64_t *from)
{
    for (int64_t k = 0; k < 3; k++)
        to[k] = k < 3 - n ? otherwise : from[k - 3 + n];
}

/* `in` has the size of x, `out` of the pooled. */
static pooling make_pooling(const tg_run *r, const tg_desc *in, const tg_desc *out, const tg_pool_attrs *a)
{
    const int64_t n = in->ndim - 2;
    pooling t = {.adaptive = !a, .x = r->in[0], .y = r->out[0]};
    three(t.in, 1, n, in->dim + 2);
    three(t.out, 1, n, out->dim + 2);
    three(t.dilation, 1, a ? n : 0, a ? a->dilation.v : NULL);
    t.plane = t.in[0] * t.in[1] * t.in[2];
    if (a) {
        three(t.kernel, 1, n, a->kernel.v);
        three(t.stride, 1, n, a->stride.v);
        three(t.padding, 0, n, a->padding.v);
        t.divisor = (double)a->divisor_override;
        t.count_padding = a->count_include_pad;
    }
    return t;
}

/* fn for each line of y, which x or y is, the larger one deciding about threads. */
static void each_line(const tg_run *r, const tg_desc *x, const tg_desc *y, tg_ref_item_fn fn, const void *t)
{
    const int64_t n = ref_count(y), most = n > ref_count(x) ? n : ref_count(x);
    if (n)
        tg_ref_each(most > REF_SERIAL ? r->threads : 1, n / y->dim[y->ndim - 1], fn, t);
}

static tg_status run_max_pool(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_pool_attrs *a = c->attrs;
    pooling t = make_pooling(r, c->in[0], &c->out[0], a);
    t.index = a->indices ? r->out[1] : NULL;
    each_line(r, c->in[0], &c->out[0], c->out[0].dtype == TG_F32 ? max_line_f32 : max_line_f64, &t);
    return TG_OK;
}

static tg_status run_adaptive_max_pool(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    pooling t = make_pooling(r, c->in[0], &c->out[0], NULL);
    t.index = r->out[1];
    each_line(r, c->in[0], &c->out[0], c->out[0].dtype == TG_F32 ? max_line_f32 : max_line_f64, &t);
    return TG_OK;
}

static tg_status run_avg_pool(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const pooling t = make_pooling(r, c->in[0], &c->out[0], c->attrs);
    each_line(r, c->in[0], &c->out[0], c->out[0].dtype == TG_F32 ? average_line_f32 : average_line_f64, &t);
    return TG_OK;
}

static tg_status run_avg_pool_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    const pooling t = make_pooling(r, &c->out[0], c->in[0], c->attrs);
    const bool single = c->out[0].dtype == TG_F32;
    each_line(r, c->in[0], &c->out[0], single ? average_back_line_f32 : average_back_line_f64, &t);
    return TG_OK;
}

/* `plane` is what has the planes' elements, `some` the places of each. */
static void each_plane(const tg_call *c, const tg_run *r, const tg_desc *plane, const tg_desc *some,
                       tg_ref_item_fn f32, tg_ref_item_fn f64)
{
    const int64_t planes = plane->dim[0] * plane->dim[1], n = ref_count(plane) + ref_count(some);
    if (!planes)
        return;
    const places t = {.n = ref_count(some) / planes,
                      .plane = ref_count(plane) / planes,
                      .x = r->in[0],
                      .index = r->in[1],
                      .y = r->out[0]};
    tg_ref_each(n > REF_SERIAL ? r->threads : 1, planes, c->out[0].dtype == TG_F32 ? f32 : f64, &t);
}

static tg_status run_max_pool_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    each_plane(c, r, &c->out[0], c->in[0], scatter_plane_f32, scatter_plane_f64);
    return TG_OK;
}

static tg_status run_pool_gather(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    each_plane(c, r, c->in[0], &c->out[0], gather_plane_f32, gather_plane_f64);
    return TG_OK;
}

const tg_kernel tg_ref_pool[] = {
    TG_REF_KERNEL("max_pool", run_max_pool),
    TG_REF_KERNEL("max_pool_backward", run_max_pool_backward),
    TG_REF_KERNEL("pool_gather", run_pool_gather),
    TG_REF_KERNEL("avg_pool", run_avg_pool),
    TG_REF_KERNEL("avg_pool_backward", run_avg_pool_backward),
    TG_REF_KERNEL("adaptive_max_pool", run_adaptive_max_pool),
    {0},
};
