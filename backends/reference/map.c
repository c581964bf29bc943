#include "backends/reference/map.h"

#include <string.h>

enum {
    TILE = 512,      /* elements that are packed at a time                        */
    LAID = 1024,     /* 64-bit words of one source that is laid out beforehand    */
    CHUNK = 16384,   /* elements of one thread's turn, whatever the number of threads */
    PARALLEL = 32768 /* below, waking the other threads costs more than it saves  */
};

typedef struct plan {
    tg_ref_map_fn fn;
    const double *scalars;
    char *dst;
    const char *src[TG_REF_MAP_SRC];
    size_t dst_size, src_size[TG_REF_MAP_SRC];
    int n_src, ndim;
    int64_t count, dim[TG_MAX_DIM], stride[TG_REF_MAP_SRC][TG_MAX_DIM];
    bool flat[TG_REF_MAP_SRC];             /* row-major: element i is at i            */
    int64_t period[TG_REF_MAP_SRC], reach; /* not 0: at i % period, and so to reach   */
} plan;

#define PACK(suffix, TYPE)                                                                                   \
    static void pack_##suffix(TYPE *restrict dst, const TYPE *restrict src, int64_t stride, int64_t n)       \
    {                                                                                                        \
        if (stride == 0) {                                                                                   \
            const TYPE x = *src;                                                                             \
            for (int64_t i = 0; i < n; i++)                                                                  \
                dst[i] = x;                                                                                  \
        } else if (stride == 1) {                                                                            \
            memcpy(dst, src, (size_t)n * sizeof(TYPE));                                                      \
        } else {                                                                                             \
            for (int64_t i = 0; i < n; i++)                                                                  \
                dst[i] = src[i * stride];                                                                    \
        }                                                                                                    \
    }
PACK(8, uint8_t)
PACK(32, uint32_t)
PACK(64, uint64_t)

/* Copies n elements of `size` bytes from a strided array into consecutive ones. */
static void pack(void *dst, const void *src, int64_t stride, int64_t n, size_t size)
{
    if (size == 4)
        pack_32(dst, src, stride, n);
    else if (size == 8)
        pack_64(dst, src, stride, n);
    else
        pack_8(dst, src, stride, n);
}

/* n consecutive elements: whole blocks in place, the rest by a block of the last ones or of padded copies. */
static void run_dense(const plan *p, int64_t n, char *dst, const char *const src[])
{
    const void *in[TG_REF_MAP_SRC];
    const int64_t blocks = n / TG_REF_BLOCK, last = n - TG_REF_BLOCK;
    for (int s = 0; s < p->n_src; s++)
        in[s] = src[s];
    if (blocks)
        p->fn(blocks, dst, in, p->scalars);
    if (n % TG_REF_BLOCK == 0)
        return;
    uint64_t out[TG_REF_BLOCK], pad[TG_REF_MAP_SRC][TG_REF_BLOCK];
    for (int s = 0; s < p->n_src; s++) {
        in[s] = src[s] + last * (int64_t)p->src_size[s];
        if (!blocks) {
            const size_t bytes = (size_t)n * p->src_size[s];
            memcpy(pad[s], src[s], bytes);
            memset((char *)pad[s] + bytes, 0, TG_REF_BLOCK * p->src_size[s] - bytes);
            in[s] = pad[s];
        }
    }
    p->fn(1, blocks ? dst + (size_t)last * p->dst_size : (char *)out, in, p->scalars);
    if (!blocks)
        memcpy(dst, out, (size_t)n * p->dst_size);
}

/* Element `i` of source s as an offset, counting row-major. */
static int64_t locate(const plan *p, int s, int64_t i)
{
    int64_t at = 0;
    for (int d = p->ndim - 1; d >= 0; d--) {
        at += i % p->dim[d] * p->stride[s][d];
        i /= p->dim[d];
    }
    return at;
}

/* Packs elements [begin, begin + n) of source s, row by row. */
static void gather(const plan *p, int s, int64_t begin, int64_t n, char *buffer)
{
    const int64_t row = p->dim[p->ndim - 1], step = p->stride[s][p->ndim - 1];
    const size_t size = p->src_size[s];
    for (int64_t i = begin, end = begin + n; i < end;) {
        int64_t take = row - i % row;
        take = take < end - i ? take : end - i;
        pack(buffer, p->src[s] + locate(p, s, i) * (int64_t)size, step, take, size);
        buffer += (size_t)take * size;
        i += take;
    }
}

/* A source that repeats a few elements, a row or one for each channel, is laid out once, many times over. */
static void lay_out(plan *p, int s, uint64_t *buffer)
{
    const size_t size = p->src_size[s];
    const int64_t reach = LAID * (int64_t)(sizeof *buffer / size);
    int64_t period = p->count;
    for (int d = 0; d < p->ndim && p->stride[s][d] == 0; d++)
        period /= p->dim[d];
    const int64_t all = reach < p->count ? reach : p->count;
    if (p->flat[s] || 2 * period > all)
        return;
    gather(p, s, 0, period, (char *)buffer);
    for (int64_t have = period; have < all; have *= 2)
        memcpy((char *)buffer + (size_t)have * size, buffer,
               (size_t)(2 * have < all ? have : all - have) * size);
    p->src[s] = (const char *)buffer;
    p->period[s] = period;
    p->reach = p->reach && p->reach < reach ? p->reach : reach;
}

/* How run_range comes by the elements of a source, its place being the first's. */
typedef enum way { IN_ORDER, PERIODIC, IN_PLACE, ONE_FOR_ALL, GATHERED } way;

static way way_of(const plan *p, int s, bool by_row)
{
    const int64_t step = p->ndim ? p->stride[s][p->ndim - 1] : 0;
    return p->flat[s]            ? IN_ORDER
           : p->period[s]        ? PERIODIC
           : !by_row || step > 1 ? GATHERED
           : step                ? IN_PLACE
                                 : ONE_FOR_ALL;
}

/* n elements of which some sources have one for all: `buffer`s full of it. */
static void run_pieces(const plan *p, int64_t n, char *dst, const char *src[], const way *w)
{
    for (int64_t k = 0; k < n; k += TILE) {
        run_dense(p, n - k < TILE ? n - k : TILE, dst + (size_t)k * p->dst_size, src);
        for (int s = 0; s < p->n_src; s++)
            src[s] += w[s] == ONE_FOR_ALL ? 0 : TILE * p->src_size[s];
    }
}

/* Elements [begin, end) of the result. Long rows whose elements are consecutive are read in place. */
static void run_range(const plan *p, int64_t begin, int64_t end)
{
    _Alignas(64) uint64_t buffer[TG_REF_MAP_SRC][TILE];
    const char *src[TG_REF_MAP_SRC];
    const int64_t row = p->ndim ? p->dim[p->ndim - 1] : 1;
    const bool by_row = row >= 64;
    bool seen[GATHERED + 1] = {false};
    way w[TG_REF_MAP_SRC];
    for (int s = 0; s < p->n_src; s++)
        seen[w[s] = way_of(p, s, by_row)] = true;
    while (begin < end) {
        int64_t n = end - begin;
        if (seen[GATHERED] && n > TILE)
            n = TILE;
        if ((seen[IN_PLACE] || seen[ONE_FOR_ALL]) && row - begin % row < n)
            n = row - begin % row;
        for (int s = 0; s < p->n_src; s++)
            if (w[s] == PERIODIC && p->reach - begin % p->period[s] < n)
                n = p->reach - begin % p->period[s];
        for (int s = 0; s < p->n_src; s++) {
            const int64_t size = (int64_t)p->src_size[s];
            src[s] = (const char *)buffer[s];
            if (w[s] == IN_ORDER)
                src[s] = p->src[s] + begin * size;
            else if (w[s] == PERIODIC)
                src[s] = p->src[s] + begin % p->period[s] * size;
            else if (w[s] == IN_PLACE)
                src[s] = p->src[s] + locate(p, s, begin) * size;
            else
                gather(p, s, begin, w[s] == ONE_FOR_ALL && n > TILE ? TILE : n, (char *)buffer[s]);
        }
        if (seen[ONE_FOR_ALL])
            run_pieces(p, n, p->dst + (size_t)begin * p->dst_size, src, w);
        else
            run_dense(p, n, p->dst + (size_t)begin * p->dst_size, src);
        begin += n;
    }
}

static size_t size_of(int32_t dtype)
{
    return dtype == TG_F64 || dtype == TG_I64 ? 8 : dtype == TG_F32 ? 4 : 1;
}

static bool row_major(const tg_desc *d)
{
    int64_t expect = 1;
    for (int i = d->ndim - 1; i >= 0; i--) {
        if (d->dim[i] != 1 && d->stride[i] != expect)
            return false;
        expect *= d->dim[i];
    }
    return true;
}

/* Joins neighbouring dims that every source walks as one, and drops those of size 1. */
static void coalesce(plan *p, const tg_call *c)
{
    const tg_desc *out = &c->out[0];
    for (int d = 0; d < out->ndim; d++) {
        if (out->dim[d] == 1)
            continue;
        bool join = p->ndim > 0;
        for (int s = 0; s < p->n_src && join; s++)
            join = p->stride[s][p->ndim - 1] == c->in[s]->stride[d] * out->dim[d];
        if (!join)
            p->dim[p->ndim++] = 1;
        p->dim[p->ndim - 1] *= out->dim[d];
        for (int s = 0; s < p->n_src; s++)
            p->stride[s][p->ndim - 1] = c->in[s]->stride[d];
    }
}

static void run_all(const plan *p, int threads, bool flat)
{
    const int64_t chunks = (p->count + CHUNK - 1) / CHUNK;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t k = 0; k < chunks; k++) {
        const int64_t begin = k * CHUNK, end = begin + CHUNK < p->count ? begin + CHUNK : p->count;
        if (flat) {
            const char *src[TG_REF_MAP_SRC];
            for (int s = 0; s < p->n_src; s++)
                src[s] = p->src[s] + (size_t)begin * p->src_size[s];
            run_dense(p, end - begin, p->dst + (size_t)begin * p->dst_size, src);
        } else {
            run_range(p, begin, end);
        }
    }
}

static void run_planned(const tg_call *c, const tg_run *r, tg_ref_map_fn fn, int64_t count, bool flat)
{
    plan p = {.fn = fn, .scalars = r->scalars, .dst = r->out[0], .n_src = (int)c->n_in, .count = count};
    p.dst_size = size_of(c->out[0].dtype);
    for (int s = 0; s < p.n_src; s++) {
        p.src[s] = r->in[s];
        p.src_size[s] = size_of(c->in[s]->dtype);
        p.flat[s] = row_major(c->in[s]);
    }
    _Alignas(64) uint64_t laid[TG_REF_MAP_SRC][LAID];
    if (!flat)
        coalesce(&p, c);
    for (int s = 0; s < p.n_src && !flat; s++)
        lay_out(&p, s, laid[s]);
    if (r->threads > 1 && p.count > PARALLEL)
        run_all(&p, r->threads, flat);
    else if (flat)
        run_dense(&p, p.count, p.dst, p.src);
    else
        run_range(&p, 0, p.count);
}

/* Less than a block, row-major: one padded block, and no plan for it. */
static void run_few(const tg_call *c, const tg_run *r, tg_ref_map_fn fn, int64_t count)
{
    uint64_t out[TG_REF_BLOCK], pad[TG_REF_MAP_SRC][TG_REF_BLOCK];
    const void *in[TG_REF_MAP_SRC];
    for (uint32_t s = 0; s < c->n_in; s++) {
        const size_t size = size_of(c->in[s]->dtype);
        memset(pad[s], 0, sizeof pad[s] / 2);
        if (size == sizeof *pad[s])
            memset(pad[s] + TG_REF_BLOCK / 2, 0, sizeof pad[s] / 2);
        memcpy(pad[s], r->in[s], (size_t)count * size);
        in[s] = pad[s];
    }
    fn(1, out, in, r->scalars);
    memcpy(r->out[0], out, (size_t)count * size_of(c->out[0].dtype));
}

tg_status tg_ref_map(const tg_call *c, const tg_run *r, tg_ref_map_fn fn)
{
    int64_t count = 1;
    for (int d = 0; d < c->out[0].ndim; d++)
        count *= c->out[0].dim[d];
    if (!count)
        return TG_OK;
    bool flat = true;
    for (uint32_t s = 0; s < c->n_in && flat; s++)
        flat = row_major(c->in[s]);
    if (flat && count < TG_REF_BLOCK)
        run_few(c, r, fn, count);
    else
        run_planned(c, r, fn, count, flat);
    return TG_OK;
}

tg_status tg_ref_map_float(const tg_call *c, const tg_run *r, tg_ref_map_fn f32, tg_ref_map_fn f64)
{
    const int32_t dtype = c->in[0]->dtype;
    if (dtype != TG_F32 && dtype != TG_F64)
        return TG_EDTYPE;
    return tg_ref_map(c, r, dtype == TG_F32 ? f32 : f64);
}
