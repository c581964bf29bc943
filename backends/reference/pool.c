/* Pooling: a task is one line of the result, or one plane where what is written lies anywhere in it. */
#include "backends/reference/each.h"
#include "backends/reference/lanes.h"
#include "backends/reference/reference.h"

#include <math.h>

/* The pooled dims, with ones before them where they are fewer than three. */
typedef struct pooling {
    int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3], plane, size;
    double divisor; /* 0: the count */
    bool adaptive, count_padding;
    const void *x, *gy;
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

static double divisor_of(const pooling *t, const span s[3])
{
    return t->divisor ? t->divisor : s[0].count * s[1].count * s[2].count;
}

enum { POOL_GROUP = 64 };

/* How many windows from o on are looked at together: all of one size they must be. */
static int64_t group_of(const pooling *t, int64_t o)
{
    const int64_t left = t->out[2] - o;
    return t->adaptive ? 1 : left < POOL_GROUP ? left : POOL_GROUP;
}

/* The windows across a line of the result; returns which plane it lies in. */
static int64_t start_line(const pooling *t, int64_t line, span s[2])
{
    s[0] = window(t, 0, line / t->out[1] % t->out[0]);
    s[1] = window(t, 1, line % t->out[1]);
    return line / t->out[1] / t->out[0];
}

/* The place where a window begins that has nothing above −∞; −1: it covers nothing. */
static int64_t first_of(const pooling *t, const span s[2], int64_t o)
{
    const span last = window(t, 2, o);
    const bool some = s[0].from < s[0].to && s[1].from < s[1].to && last.from < last.to;
    return some ? (s[0].from * t->in[1] + s[1].from) * t->in[2] + last.from : -1;
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

/* -- maxima ------------------------------------------------------------------------------------------------ */

/* The maxima of n ≤ POOL_GROUP windows along the last dim from o on, and their places: element after element of a
 * window, each for all of them. s: the windows across. */
static void find(const pooling *t, const void *x, const span s[2], int64_t o, int64_t n, void *best, int64_t *at)
{
    const bool single = t->size == sizeof(float);
    const span first = window(t, 2, o);
    const int64_t apart = t->dilation[2], step = t->stride[2];
    const int64_t begin = t->adaptive ? first.from : o * step - t->padding[2];
    const int64_t end = t->adaptive ? first.to : begin + t->kernel[2] * apart;
    for (int64_t w = 0; w < n; w++) {
        if (single)
            ((float *)best)[w] = -INFINITY;
        else
            ((double *)best)[w] = -(double)INFINITY;
        at[w] = INT64_MIN;
    }
    for (int64_t i = s[0].from; i < s[0].to; i += t->dilation[0])
        for (int64_t j = s[1].from; j < s[1].to; j += t->dilation[1])
            for (int64_t k = begin; k < end; k += apart) {
                int64_t from = 0, to = n;
                while (k + from * step < 0)
                    from++;
                while (to > from && k + (to - 1) * step >= t->in[2])
                    to--;
                (single ? take_f32 : take_f64)(from, to, x, (i * t->in[1] + j) * t->in[2] + k, step, best, at);
            }
    for (int64_t w = 0; w < n; w++)
        at[w] = at[w] == INT64_MIN ? first_of(t, s, o + w) : at[w] + w * step;
}

/* One line of the result. */
static void max_line(const void *arg, int64_t line)
{
    const pooling *t = arg;
    span s[2];
    const char *x = (const char *)t->x + start_line(t, line, s) * t->plane * t->size;
    int64_t some[POOL_GROUP];
    for (int64_t o = 0; o < t->out[2]; o += group_of(t, o)) {
        const int64_t y = line * t->out[2] + o;
        find(t, x, s, o, group_of(t, o), (char *)t->y + y * t->size, t->index ? t->index + y : some);
    }
}

/* One plane of max_pool's gradient: gy goes to where the maxima are found once more. */
static void max_back_plane(const void *arg, int64_t plane)
{
    const pooling *t = arg;
    const int64_t lines = t->out[0] * t->out[1], bytes = t->plane * t->size;
    const char *gy = (const char *)t->gy + plane * lines * t->out[2] * t->size;
    void *gx = (char *)t->y + plane * bytes;
    double best[POOL_GROUP];
    int64_t at[POOL_GROUP];
    span s[2];
    memset(gx, 0, (size_t)bytes);
    for (int64_t line = 0; line < lines; line++) {
        start_line(t, line, s);
        for (int64_t o = 0, n; o < t->out[2]; o += n, gy += n * t->size) {
            n = group_of(t, o);
            find(t, (const char *)t->x + plane * bytes, s, o, n, best, at);
            if (t->size == sizeof(float))
                give_f32(n, (const float *)(const void *)gy, at, gx);
            else
                give_f64(n, (const double *)(const void *)gy, at, gx);
        }
    }
}

/* -- kernels ----------------------------------------------------------------------------------------------- */

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
    t.size = in->dtype == TG_F32 ? sizeof(float) : sizeof(double);
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
    each_line(r, c->in[0], &c->out[0], max_line, &t);
    return TG_OK;
}

static tg_status run_adaptive_max_pool(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    pooling t = make_pooling(r, c->in[0], &c->out[0], NULL);
    t.index = r->out[1];
    each_line(r, c->in[0], &c->out[0], max_line, &t);
    return TG_OK;
}

static tg_status run_avg_pool(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const pooling t = make_pooling(r, c->in[0], &c->out[0], c->attrs);
    each_line(r, c->in[0], &c->out[0], c->out[0].dtype == TG_F32 ? average_line_f32 : average_line_f64, &t);
    return TG_OK;
}

/* fn for each plane of x. */
static tg_status each_of(const tg_run *r, const tg_desc *x, tg_ref_item_fn fn, const pooling *t)
{
    const int64_t n = ref_count(x);
    if (n)
        tg_ref_each(n > REF_SERIAL ? r->threads : 1, n / t->plane, fn, t);
    return TG_OK;
}

static tg_status run_max_pool_src_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                           const tg_run *r)
{
    (void)s, (void)p;
    pooling t = make_pooling(r, c->in[1], c->in[0], c->attrs);
    t.gy = r->in[0];
    t.x = r->in[1];
    return each_of(r, c->in[1], max_back_plane, &t);
}

static tg_status run_avg_pool_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    const pooling t = make_pooling(r, &c->out[0], c->in[0], c->attrs);
    return each_of(r, &c->out[0], t.size == sizeof(float) ? average_back_plane_f32 : average_back_plane_f64, &t);
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
    TG_REF_KERNEL("max_pool_src_backward", run_max_pool_src_backward),
    TG_REF_KERNEL("pool_gather", run_pool_gather),
    TG_REF_KERNEL("avg_pool", run_avg_pool),
    TG_REF_KERNEL("avg_pool_backward", run_avg_pool_backward),
    TG_REF_KERNEL("adaptive_max_pool", run_adaptive_max_pool),
    {0},
};
