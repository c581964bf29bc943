#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 4096, PARALLEL = 32768 };

/* What the items of one call share. */
typedef struct task {
    const tg_desc *x, *index, *out;
    const void *from;
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

static void move(const task *t, int64_t to, int64_t from)
{
    char *dst = (char *)t->dst + to * t->size;
    const char *src = (const char *)t->from + from * t->size;
    if (t->size == 8)
        memcpy(dst, src, 8);
    else if (t->size == 4)
        memcpy(dst, src, 4);
    else
        *dst = *src;
}

static task make_task(const tg_call *c, const tg_run *r, int dim)
{
    task t = {
        .x = c->in[0],
        .index = c->in[1],
        .out = &c->out[0],
        .from = r->in[0],
        .places = r->in[1],
        .dst = r->out[0],
        .n = ref_count(&c->out[0]),
        .inner = 1,
        .size = c->in[0]->dtype == TG_BOOL  ? 1
                : c->in[0]->dtype == TG_F32 ? 4
                                            : 8,
        .dim = dim,
    };
    t.threads = t.n > PARALLEL ? r->threads : 1;
    return t;
}

/* A chunk of the result's elements, row by row. */
static void gather_item(const void *arg, int64_t chunk)
{
    const task *t = arg;
    const int last = t->index->ndim - 1;
    const int64_t end = (chunk + 1) * CHUNK < t->n ? (chunk + 1) * CHUNK : t->n, row = t->index->dim[last];
    const int64_t across = last == t->dim ? 0 : t->x->stride[last], step = t->x->stride[t->dim];
    for (int64_t i = chunk * CHUNK, n; i < end; i += n) {
        const int64_t *places = t->places + locate(t->index, t->index->stride, i, -1);
        const int64_t from = locate(t->index, t->x->stride, i, t->dim);
        n = row - i % row < end - i ? row - i % row : end - i;
        if (t->index->stride[last] == 0 && across == 1)
            memcpy((char *)t->dst + i * t->size, (const char *)t->from + (from + *places * step) * t->size,
                   (size_t)(n * t->size));
        else
            for (int64_t j = 0; j < n; j++)
                move(t, i + j, from + j * across + places[j * t->index->stride[last]] * step);
    }
}

static tg_status run_gather(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const task t = make_task(c, r, (int)((const tg_index_attrs *)c->attrs)->dim);
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
    task t = make_task(c, r, (int)((const tg_index_attrs *)c->attrs)->dim);
    if (!t.n)
        return TG_OK;
    for (int d = t.x->ndim - 1; d > t.dim && (t.x->stride[d] == t.inner || t.x->dim[d] == 1); d--)
        t.inner *= t.x->dim[d];
    if (t.inner > 1) {
        tg_ref_each(t.threads, t.n / t.inner, select_item, &t);
        return TG_OK;
    }
    tg_desc places = *t.out; /* of every element */
    memset(places.stride, 0, sizeof places.stride);
    places.stride[t.dim] = t.index->stride[0];
    t.index = &places;
    tg_ref_each(t.threads, (t.n + CHUNK - 1) / CHUNK, gather_item, &t);
    return TG_OK;
}

/* Each lookup is a row of the table. */
static void lookup_item(const void *arg, int64_t i)
{
    const task *t = arg;
    const int64_t from = t->places[ref_place(t->index, i)] * t->x->stride[0], step = t->x->stride[1];
    if (step == 1)
        memcpy((char *)t->dst + i * t->inner * t->size, (const char *)t->from + from * t->size,
               (size_t)(t->inner * t->size));
    else
        for (int64_t j = 0; j < t->inner; j++)
            move(t, i * t->inner + j, from + j * step);
}

static tg_status run_embedding(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    task t = make_task(c, r, 0);
    t.inner = t.x->dim[1];
    if (t.n)
        tg_ref_each(t.threads, t.n / t.inner, lookup_item, &t);
    return TG_OK;
}

static double norm_of(const tg_desc *d, const void *row, double p)
{
    double sum = 0.0;
    for (int64_t j = 0; j < d->dim[1]; j++) {
        const double x = d->dtype == TG_F64 ? ((const double *)row)[j * d->stride[1]]
                                            : (double)((const float *)row)[j * d->stride[1]];
        if (isinf(p))
            sum = fabs(x) > sum || x != x ? fabs(x) : sum;
        else
            sum += p == 2.0 ? x * x : p == 1.0 ? fabs(x) : p == 0.0 ? (double)(x != 0) : pow(fabs(x), p);
    }
    return p == 2.0 ? sqrt(sum) : isinf(p) || p == 1.0 || p == 0.0 ? sum : pow(sum, 1.0 / p);
}

static tg_status prepare_renorm(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    for (uint32_t i = 0; i < c->n_in; i += 2)
        if ((size_t)c->in[i]->dim[0] > p->scratch_size)
            p->scratch_size = (size_t)c->in[i]->dim[0];
    return TG_OK;
}

/* The rows of `d` at these places, each once. */
static void renorm_rows(const tg_desc *d, char *data, const tg_desc *index, const int64_t *places, double most, double p,
                        char *seen)
{
    const size_t size = d->dtype == TG_F64 ? 8 : 4;
    const int64_t n = ref_count(index);
    if (d->dim[0])
        memset(seen, 0, (size_t)d->dim[0]);
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = places[ref_place(index, i)];
        char *row = data + (size_t)(k * d->stride[0]) * size;
        const double norm = seen[k] ? 0.0 : norm_of(d, row, p), scale = most / (norm + 1e-7);
        seen[k] = 1;
        for (int64_t j = 0; norm > most && j < d->dim[1]; j++)
            if (size == 8)
                ((double *)(void *)row)[j * d->stride[1]] *= scale;
            else
                ((float *)(void *)row)[j * d->stride[1]] *= (float)scale;
    }
}

static tg_status run_renorm(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    for (uint32_t i = 0; i < c->n_in; i += 2)
        renorm_rows(c->in[i], (char *)(uintptr_t)r->in[i], c->in[i + 1], r->in[i + 1], r->scalars[i], r->scalars[i + 1],
                    r->scratch);
    return TG_OK;
}

/* A repeated dim (stride 0) is looked at once: the first of equal places is in its first slice. */
static tg_status run_index_range(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_desc *d = c->in[0];
    const int64_t *places = r->in[0];
    int64_t *found = r->out[0], whole[TG_MAX_DIM], step = 1;
    tg_desc once = *d;
    for (int i = d->ndim - 1; i >= 0; i--) {
        whole[i] = step;
        step *= d->dim[i];
        if (d->stride[i] == 0 && d->dim[i] > 1)
            once.dim[i] = 1;
    }
    const int64_t n = ref_count(&once);
    const bool dense = ref_is_dense(&once);
    int64_t least = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = places[dense ? i : ref_place(&once, i)];
        if (!i || k < found[0]) {
            found[0] = k;
            least = i;
        }
        if (!i || k > found[1]) {
            found[1] = k;
            most = i;
        }
    }
    if (!n)
        memcpy(found, (const int64_t[]){0, -1, 0, 0}, 4 * sizeof *found);
    else
        found[2] = locate(&once, whole, least, -1), found[3] = locate(&once, whole, most, -1);
    return TG_OK;
}

const tg_ref_kernel tg_ref_index[] = {
    TG_REF_KERNEL("gather", run_gather),
    TG_REF_KERNEL("index_select", run_index_select),
    TG_REF_KERNEL("index_range", run_index_range),
    TG_REF_KERNEL("embedding", run_embedding),
    {.op = "embedding_renorm_",
     .prepare = prepare_renorm,
     .run = run_renorm},
    {0},
};
