#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <string.h>

enum { CHUNK = 4096, PARALLEL = 32768 };

/* What the items of one call share. */
typedef struct task {
    const tg_desc *x, *index, *src, *out;
    const void *from, *added;
    const int64_t *places;
    void *dst;
    int64_t n, inner; /* elements of the result; as many consecutive ones move together */
    int64_t size;     /* of an element, in bytes                                         */
    int dim, threads;
} task;

/* The offset of row-major element i of `shape` in a tensor of these strides, dim `skip` left out. */
static int64_t locate(const tg_desc *shape, const int64_t *stride, int64_t i, int skip)
{
    int64_t at = 0;
    for (int d = shape->ndim - 1; d >= 0; d--) {
        if (d != skip)
            at += i % shape->dim[d] * stride[d];
        i /= shape->dim[d];
    }
    return at;
}

static task make_task(const tg_call *c, const tg_run *r)
{
    const tg_index_attrs *a = c->attrs;
    task t = {
        .x = c->in[0],
        .index = c->in[1],
        .src = c->n_in > 2 ? c->in[2] : NULL,
        .out = &c->out[0],
        .from = r->in[0],
        .added = c->n_in > 2 ? r->in[2] : NULL,
        .places = r->in[1],
        .dst = r->out[0],
        .n = ref_count(&c->out[0]),
        .inner = 1,
        .size = c->in[0]->dtype == TG_F64 ? 8 : 4,
        .dim = (int)a->dim,
    };
    t.threads = t.n > PARALLEL ? r->threads : 1;
    return t;
}

/* A chunk of the result's elements. */
static void gather_item(const void *arg, int64_t chunk)
{
    const task *t = arg;
    const int64_t end = (chunk + 1) * CHUNK < t->n ? (chunk + 1) * CHUNK : t->n;
    for (int64_t i = chunk * CHUNK; i < end; i++) {
        const int64_t k = t->places[locate(t->index, t->index->stride, i, -1)];
        const int64_t from = locate(t->index, t->x->stride, i, t->dim) + k * t->x->stride[t->dim];
        memcpy((char *)t->dst + i * t->size, (const char *)t->from + from * t->size, (size_t)t->size);
    }
}

static tg_status run_gather(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const task t = make_task(c, r);
    tg_ref_each(t.threads, (t.n + CHUNK - 1) / CHUNK, gather_item, &t);
    return TG_OK;
}

/* `inner` consecutive elements of the result. */
static void select_item(const void *arg, int64_t run)
{
    const task *t = arg;
    const int64_t i = run * t->inner;
    int64_t along = i;
    for (int d = t->out->ndim - 1; d > t->dim; d--)
        along /= t->out->dim[d];
    const int64_t k = t->places[along % t->out->dim[t->dim] * t->index->stride[0]];
    const int64_t from = locate(t->out, t->x->stride, i, t->dim) + k * t->x->stride[t->dim];
    memcpy((char *)t->dst + i * t->size, (const char *)t->from + from * t->size,
           (size_t)(t->inner * t->size));
}

static tg_status run_index_select(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                  const tg_run *r)
{
    (void)s, (void)p;
    task t = make_task(c, r);
    if (!t.n)
        return TG_OK;
    for (int d = t.x->ndim - 1; d > t.dim && (t.x->stride[d] == t.inner || t.x->dim[d] == 1); d--)
        t.inner *= t.x->dim[d];
    tg_ref_each(t.threads, t.n / t.inner, select_item, &t);
    return TG_OK;
}

/* Everything that lands on one line along dim is added by one thread, in the index's order. */
#define SCATTER(suffix, TYPE)                                                                                \
    static void scatter_item_##suffix(const void *arg, int64_t line)                                         \
    {                                                                                                        \
        const task *t = arg;                                                                                 \
        tg_desc lines = *t->index;                                                                           \
        lines.dim[t->dim] = 1;                                                                               \
        const int64_t *place = t->places + locate(&lines, t->index->stride, line, -1);                       \
        const TYPE *value = (const TYPE *)t->added + locate(&lines, t->src->stride, line, -1);               \
        TYPE *to = (TYPE *)t->dst + locate(&lines, t->out->stride, line, -1);                                \
        const int64_t step = t->index->stride[t->dim];                                                       \
        for (int64_t k = 0; k < t->index->dim[t->dim]; k++)                                                  \
            to[place[k * step] * t->out->stride[t->dim]] += value[k * t->src->stride[t->dim]];               \
    }
SCATTER(f32, float)
SCATTER(f64, double)

static void copy_item(const void *arg, int64_t chunk)
{
    const task *t = arg;
    const int64_t end = (chunk + 1) * CHUNK < t->n ? (chunk + 1) * CHUNK : t->n;
    for (int64_t i = chunk * CHUNK; i < end; i++)
        memcpy((char *)t->dst + i * t->size,
               (const char *)t->from + locate(t->out, t->x->stride, i, -1) * t->size, (size_t)t->size);
}

static tg_status run_scatter_add(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const task t = make_task(c, r);
    int64_t lines = 1;
    for (int d = 0; d < t.index->ndim; d++)
        lines *= d == t.dim ? 1 : t.index->dim[d];
    tg_ref_each(t.threads, (t.n + CHUNK - 1) / CHUNK, copy_item, &t);
    if (t.index->dim[t.dim])
        tg_ref_each(t.threads, lines, t.size == 8 ? scatter_item_f64 : scatter_item_f32, &t);
    return TG_OK;
}

static tg_status run_index_range(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_desc *d = c->in[0];
    const int64_t *places = r->in[0], n = ref_count(d);
    int64_t *found = r->out[0], step = 1;
    bool dense = true;
    for (int i = d->ndim - 1; i >= 0; i--) {
        dense = dense && (d->dim[i] == 1 || d->stride[i] == step);
        step *= d->dim[i];
    }
    found[0] = found[2] = found[3] = 0;
    found[1] = -1;
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = places[dense ? i : locate(d, d->stride, i, -1)];
        if (!i || k < found[0]) {
            found[0] = k;
            found[2] = i;
        }
        if (!i || k > found[1]) {
            found[1] = k;
            found[3] = i;
        }
    }
    return TG_OK;
}

const tg_kernel tg_ref_index[] = {
    TG_REF_KERNEL("gather", run_gather),
    TG_REF_KERNEL("index_select", run_index_select),
    TG_REF_KERNEL("scatter_add", run_scatter_add),
    TG_REF_KERNEL("index_range", run_index_range),
    {0},
};
