#include "backends/reference/reference.h"

#include <string.h>

enum { PARALLEL = 32768 };

static int64_t count_of(const tg_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    return n;
}

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

static tg_status run_gather(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_index_attrs *a = c->attrs;
    const tg_desc *x = c->in[0], *index = c->in[1];
    const int64_t n = count_of(&c->out[0]), *places = r->in[1];
    const int64_t size = x->dtype == TG_F64 ? 8 : 4;
    const int dim = (int)a->dim;
    char *dst = r->out[0];
#pragma omp parallel for num_threads(r->threads) if (n > PARALLEL) schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = places[locate(index, index->stride, i, -1)];
        const int64_t from = locate(index, x->stride, i, dim) + k * x->stride[dim];
        memcpy(dst + i * size, (const char *)r->in[0] + from * size, (size_t)size);
    }
    return TG_OK;
}

static tg_status run_index_select(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_index_attrs *a = c->attrs;
    const tg_desc *x = c->in[0], *index = c->in[1], *out = &c->out[0];
    const int64_t n = count_of(out), *places = r->in[1];
    const int64_t size = x->dtype == TG_F64 ? 8 : 4;
    const int dim = (int)a->dim;
    int64_t inner = 1; /* elements that are consecutive in both */
    for (int d = out->ndim - 1; d > dim && (x->stride[d] == inner || x->dim[d] == 1); d--)
        inner *= x->dim[d];
    char *dst = r->out[0];
#pragma omp parallel for num_threads(r->threads) if (n > PARALLEL) schedule(static)
    for (int64_t run = 0; run < (n ? n / inner : 0); run++) {
        const int64_t i = run * inner;
        int64_t along = i;
        for (int d = out->ndim - 1; d > dim; d--)
            along /= out->dim[d];
        const int64_t k = places[along % out->dim[dim] * index->stride[0]];
        const int64_t from = locate(out, x->stride, i, dim) + k * x->stride[dim];
        memcpy(dst + i * size, (const char *)r->in[0] + from * size, (size_t)(inner * size));
    }
    return TG_OK;
}

/* Everything that lands on one line along dim is added by one thread, in the index's order. */
#define SCATTER(suffix, TYPE)                                                                                \
    static void scatter_##suffix(const tg_call *c, const tg_run *r, int dim, int64_t lines)                  \
    {                                                                                                        \
        const tg_desc *x = c->in[0], *index = c->in[1], *src = c->in[2], *out = &c->out[0];                  \
        const TYPE *from = r->in[0], *added = r->in[2];                                                      \
        const int64_t *places = r->in[1], n = count_of(out);                                                 \
        TYPE *dst = r->out[0];                                                                               \
        tg_desc rest = *index;                                                                               \
        rest.dim[dim] = 1;                                                                                   \
        for (int64_t i = 0; i < n; i++)                                                                      \
            dst[i] = from[locate(out, x->stride, i, -1)];                                                    \
        _Pragma("omp parallel for num_threads(r->threads) if (n > PARALLEL) schedule(static)")               \
        for (int64_t line = 0; line < lines; line++) {                                                       \
            const int64_t *place = places + locate(&rest, index->stride, line, -1);                          \
            const TYPE *value = added + locate(&rest, src->stride, line, -1);                                \
            TYPE *to = dst + locate(&rest, out->stride, line, -1);                                           \
            for (int64_t k = 0; k < index->dim[dim]; k++)                                                    \
                to[place[k * index->stride[dim]] * out->stride[dim]] += value[k * src->stride[dim]];         \
        }                                                                                                    \
    }
SCATTER(f32, float)
SCATTER(f64, double)

static tg_status run_scatter_add(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_index_attrs *a = c->attrs;
    const int dim = (int)a->dim;
    int64_t lines = 1;
    for (int d = 0; d < c->in[1]->ndim; d++)
        lines *= d == dim ? 1 : c->in[1]->dim[d];
    if (c->in[0]->dtype == TG_F64)
        scatter_f64(c, r, dim, lines);
    else
        scatter_f32(c, r, dim, lines);
    return TG_OK;
}

static tg_status run_index_range(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_desc *d = c->in[0];
    const int64_t *places = r->in[0], n = count_of(d);
    const double left_out = r->scalars[0];
    int64_t *found = r->out[0], step = 1;
    bool dense = true, any = false;
    for (int i = d->ndim - 1; i >= 0; i--) {
        dense = dense && (d->dim[i] == 1 || d->stride[i] == step);
        step *= d->dim[i];
    }
    found[0] = found[2] = found[3] = 0;
    found[1] = -1;
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = places[dense ? i : locate(d, d->stride, i, -1)];
        if ((double)k == left_out)
            continue;
        if (!any || k < found[0]) {
            found[0] = k;
            found[2] = i;
        }
        if (!any || k > found[1]) {
            found[1] = k;
            found[3] = i;
        }
        any = true;
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
