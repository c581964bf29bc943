#include "backends/reference/reference.h"

#include <string.h>

/* Goes through a tensor in row-major order. */
typedef struct cursor {
    const tg_desc *d;
    int64_t offset, at[TG_MAX_DIM];
} cursor;

static void next(cursor *c)
{
    for (int d = c->d->ndim - 1; d >= 0; d--) {
        c->offset += c->d->stride[d];
        if (++c->at[d] < c->d->dim[d])
            return;
        c->offset -= c->d->dim[d] * c->d->stride[d];
        c->at[d] = 0;
    }
}

static bool is_true(const void *x, int64_t at, int32_t dtype)
{
    switch (dtype) {
    case TG_F32: return ((const float *)x)[at] != 0;
    case TG_F64: return ((const double *)x)[at] != 0;
    case TG_I64: return ((const int64_t *)x)[at] != 0;
    default: return ((const uint8_t *)x)[at] != 0;
    }
}

static size_t size_of(int32_t dtype)
{
    return dtype == TG_BOOL ? 1 : dtype == TG_F32 ? 4 : 8;
}

static tg_status run_true_count(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const int64_t n = ref_count(c->in[0]);
    cursor x = {.d = c->in[0]};
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++, next(&x))
        found += is_true(r->in[0], x.offset, x.d->dtype);
    *(int64_t *)r->out[0] = found;
    return TG_OK;
}

static tg_status run_nonzero(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const int64_t n = ref_count(c->in[0]), count = ((const tg_count_attrs *)c->attrs)->count;
    const int ndim = c->in[0]->ndim;
    cursor x = {.d = c->in[0]};
    int64_t *places = r->out[0], found = 0;
    for (int64_t i = 0; i < n && found < count; i++, next(&x))
        if (is_true(r->in[0], x.offset, x.d->dtype)) {
            memcpy(places + found * ndim, x.at, (size_t)ndim * sizeof *places);
            found++;
        }
    memset(places + found * ndim, 0, (size_t)((count - found) * ndim) * sizeof *places);
    return TG_OK;
}

static tg_status run_masked_select(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                   const tg_run *r)
{
    (void)s, (void)p;
    const int64_t n = ref_count(c->in[0]), count = ((const tg_count_attrs *)c->attrs)->count;
    const size_t size = size_of(c->in[0]->dtype);
    cursor x = {.d = c->in[0]}, mask = {.d = c->in[1]};
    char *dst = r->out[0];
    int64_t found = 0;
    for (int64_t i = 0; i < n && found < count; i++, next(&x), next(&mask))
        if (((const uint8_t *)r->in[1])[mask.offset])
            memcpy(dst + (size_t)found++ * size, (const char *)r->in[0] + (size_t)x.offset * size, size);
    memset(dst + (size_t)found * size, 0, (size_t)(count - found) * size);
    return TG_OK;
}

static tg_status run_masked_scatter(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                    const tg_run *r)
{
    (void)s, (void)p;
    const int64_t n = ref_count(c->in[0]), count = ((const tg_count_attrs *)c->attrs)->count;
    const size_t size = size_of(c->in[0]->dtype);
    cursor x = {.d = c->in[0]}, mask = {.d = c->in[1]}, source = {.d = c->in[2]};
    char *dst = r->out[0];
    int64_t taken = 0;
    for (int64_t i = 0; i < n; i++, next(&x), next(&mask)) {
        const char *from = (const char *)r->in[0] + (size_t)x.offset * size;
        if (taken < count && ((const uint8_t *)r->in[1])[mask.offset]) {
            from = (const char *)r->in[2] + (size_t)source.offset * size;
            next(&source);
            taken++;
        }
        memcpy(dst + (size_t)i * size, from, size);
    }
    return TG_OK;
}

const tg_ref_kernel tg_ref_mask[] = {
    TG_REF_KERNEL("true_count", run_true_count),
    TG_REF_KERNEL("nonzero", run_nonzero),
    TG_REF_KERNEL("masked_select", run_masked_select),
    TG_REF_KERNEL("masked_scatter", run_masked_scatter),
    {0},
};
