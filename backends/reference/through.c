#include "backends/reference/through.h"

typedef struct function {
    const tg_call *call;
    const double *k;
    tg_ref_real_fn real;
    tg_ref_whole_fn whole;
} function;

#define LOAD(TYPE)                                                                                           \
    for (int i = 0; i < TG_REF_BLOCK; i++)                                                                   \
        to[i] = (element)((const TYPE *)src)[at + i];
#define STORE(TYPE)                                                                                          \
    for (int i = 0; i < TG_REF_BLOCK; i++)                                                                   \
        ((TYPE *)dst)[at + i] = (TYPE)y[i];

/* A block of one input as f64 (i64), and of the output back. */
static void load_real(double *to, const void *src, int64_t at, int32_t dtype)
{
    typedef double element;
    if (dtype == TG_F32)
        LOAD(float)
    else if (dtype == TG_F64)
        LOAD(double)
    else if (dtype == TG_I64)
        LOAD(int64_t)
    else
        LOAD(uint8_t)
}

static void store_real(void *dst, const double *y, int64_t at, int32_t dtype)
{
    if (dtype == TG_F32)
        STORE(float)
    else if (dtype == TG_F64)
        STORE(double)
    else if (dtype == TG_I64)
        STORE(int64_t)
    else
        for (int i = 0; i < TG_REF_BLOCK; i++)
            ((uint8_t *)dst)[at + i] = y[i] != 0;
}

static void load_whole(int64_t *to, const void *src, int64_t at, int32_t dtype)
{
    typedef int64_t element;
    if (dtype == TG_I64)
        LOAD(int64_t)
    else
        LOAD(uint8_t)
}

static void store_whole(void *dst, const int64_t *y, int64_t at, int32_t dtype)
{
    if (dtype == TG_I64)
        STORE(int64_t)
    else
        for (int i = 0; i < TG_REF_BLOCK; i++)
            ((uint8_t *)dst)[at + i] = y[i] != 0;
}

static void real_loop(int64_t blocks, void *dst, const void *const *src, const double *context)
{
    const function *f = (const void *)context;
    const uint32_t n = f->call->n_in;
    double in[TG_REF_MAP_SRC][TG_REF_BLOCK], y[TG_REF_BLOCK];
    for (int64_t b = 0; b < blocks; b++) {
        for (uint32_t s = 0; s < n; s++)
            load_real(in[s], src[s], b * TG_REF_BLOCK, f->call->in[s]->dtype);
        f->real(y, (const double(*)[TG_REF_BLOCK])in, f->k);
        store_real(dst, y, b * TG_REF_BLOCK, f->call->out[0].dtype);
    }
}

static void whole_loop(int64_t blocks, void *dst, const void *const *src, const double *context)
{
    const function *f = (const void *)context;
    const uint32_t n = f->call->n_in;
    int64_t in[TG_REF_MAP_SRC][TG_REF_BLOCK], x[TG_REF_MAP_SRC], y[TG_REF_BLOCK];
    for (int64_t b = 0; b < blocks; b++) {
        for (uint32_t s = 0; s < n; s++)
            load_whole(in[s], src[s], b * TG_REF_BLOCK, f->call->in[s]->dtype);
        for (int i = 0; i < TG_REF_BLOCK; i++) {
            for (uint32_t s = 0; s < n; s++)
                x[s] = in[s][i];
            y[i] = f->whole(x, f->k);
        }
        store_whole(dst, y, b * TG_REF_BLOCK, f->call->out[0].dtype);
    }
}

tg_status tg_ref_through(const tg_call *c, const tg_run *r, const double *k, tg_ref_real_fn real, tg_ref_whole_fn whole)
{
    const function f = {c, k, real, whole};
    bool integers = whole != NULL;
    for (uint32_t s = 0; s < c->n_in; s++)
        integers = integers && (c->in[s]->dtype == TG_I64 || c->in[s]->dtype == TG_BOOL);
    tg_run with = *r;
    with.scalars = (const void *)&f;
    return tg_ref_map(c, &with, integers ? whole_loop : real_loop);
}
