#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 4096, PARALLEL = 32768, BLOCK = 256 };
enum { ASSIGN = -1 }; /* beside TG_SCATTER_… */

/* What the items of one call share. The result falls into panels, one for each place in all dims but dim and
 * the last one, and these into blocks of neighbouring columns along the last one. Whatever lands in a block
 * is written by one thread, in the index's order. */
typedef struct task task;
typedef void (*block_fn)(const task *t, void *to, const void *src, const int64_t *place, int64_t n);
struct task {
    const tg_desc *x, *index, *src, *out;
    const void *from, *added;
    const int64_t *places;
    void *dst;
    int64_t n, size, columns, blocks; /* size: of an element, in bytes */
    int dim, column;                  /* column: the last dim, −1 where that is dim */
    int64_t reduce;
    bool fresh; /* what is written to starts anew */
    block_fn block;
};

/* Every index of the block, in order: a: what is there, v: what comes. */
#define EACH(TYPE, expr)                                                                                     \
    for (int64_t k = 0; k < count; k++)                                                                      \
        for (int64_t j = 0; j < n; j++) {                                                                    \
            TYPE *at = y + place[k * index_step + j * index_column] * out_step + j * out_column;             \
            const TYPE a = *at, v = values[k * src_step + j * src_column];                                   \
            (void)a, (void)v;                                                                                \
            *at = (TYPE)(expr);                                                                              \
        }                                                                                                    \
    break
#define ANY_NAN(v) ((v) != (v))
#define NO_NAN(v) false
#define WRAP(v) (uint64_t)(v) /* sums and products of i64 wrap around */
#define BLOCK_OF(suffix, TYPE, LEAST, GREATEST, IS_NAN, NUMBER)                                              \
    static void block_##suffix(const task *t, void *to, const void *src, const int64_t *place, int64_t n)    \
    {                                                                                                        \
        const int d = t->dim, c = t->column;                                                                 \
        const int64_t count = t->index->dim[d], index_step = t->index->stride[d];                            \
        const int64_t out_step = t->out->stride[d], src_step = t->src->stride[d];                            \
        const int64_t index_column = c < 0 ? 0 : t->index->stride[c];                                        \
        const int64_t out_column = c < 0 ? 0 : t->out->stride[c],                                            \
                      src_column = c < 0 ? 0 : t->src->stride[c];                                            \
        TYPE *y = to;                                                                                        \
        const TYPE *values = src;                                                                            \
        const TYPE start[] = {(TYPE)0, (TYPE)1, LEAST, GREATEST};                                            \
        for (int pass = t->fresh ? 0 : 1; pass < 2; pass++)                                                  \
            switch (pass ? t->reduce : ASSIGN - 1) {                                                         \
            case ASSIGN - 1: EACH(TYPE, start[t->reduce]);                                                   \
            case ASSIGN: EACH(TYPE, v);                                                                      \
            case TG_SCATTER_SUM: EACH(TYPE, NUMBER(a) + NUMBER(v));                                          \
            case TG_SCATTER_PROD: EACH(TYPE, NUMBER(a) * NUMBER(v));                                         \
            case TG_SCATTER_AMAX: EACH(TYPE, IS_NAN(a) || a >= v ? a : v);                                   \
            default: EACH(TYPE, IS_NAN(a) || a <= v ? a : v);                                                \
            }                                                                                                \
    }
BLOCK_OF(f32, float, -INFINITY, INFINITY, ANY_NAN, )
BLOCK_OF(f64, double, -(double)INFINITY, (double)INFINITY, ANY_NAN, )
BLOCK_OF(bool, uint8_t, 0, 1, NO_NAN, )
BLOCK_OF(i64, int64_t, INT64_MIN, INT64_MAX, NO_NAN, WRAP)
static void block_item(const void *arg, int64_t i)
{
    const task *t = arg;
    const int64_t panel = i / t->blocks, first = i % t->blocks * BLOCK,
                  n = t->columns - first < BLOCK ? t->columns - first : BLOCK;
    tg_desc panels = *t->index;
    int64_t out = 0, src = 0, place = 0, left = panel;
    panels.dim[t->dim] = 1;
    if (t->column >= 0) {
        panels.dim[t->column] = 1;
        out = first * t->out->stride[t->column];
        src = first * t->src->stride[t->column];
        place = first * t->index->stride[t->column];
    }
    for (int d = panels.ndim - 1; d >= 0; d--) {
        const int64_t k = left % panels.dim[d];
        left /= panels.dim[d];
        out += k * t->out->stride[d];
        src += k * t->src->stride[d];
        place += k * t->index->stride[d];
    }
    t->block(t, (char *)t->dst + out * t->size, (const char *)t->added + src * t->size, t->places + place, n);
}

static void copy_item(const void *arg, int64_t chunk)
{
    const task *t = arg;
    const int64_t first = chunk * CHUNK, end = first + CHUNK < t->n ? first + CHUNK : t->n;
    if (ref_is_dense(t->x))
        memcpy((char *)t->dst + first * t->size, (const char *)t->from + first * t->size,
               (size_t)((end - first) * t->size));
    else
        for (int64_t i = first; i < end; i++)
            memcpy((char *)t->dst + i * t->size, (const char *)t->from + ref_place(t->x, i) * t->size,
                   (size_t)t->size);
}

static tg_status run(const tg_call *c, const tg_run *r, int64_t dim, int64_t reduce, bool fresh)
{
    const int32_t dtype = c->in[0]->dtype;
    const int last = c->in[0]->ndim - 1;
    task t = {
        .x = c->in[0],
        .index = c->in[1],
        .src = c->in[2],
        .out = &c->out[0],
        .from = r->in[0],
        .places = r->in[1],
        .added = r->in[2],
        .dst = r->out[0],
        .n = ref_count(&c->out[0]),
        .size = dtype == TG_BOOL  ? 1
                : dtype == TG_F32 ? 4
                                  : 8,
        .dim = (int)dim,
        .column = dim == last ? -1 : last,
        .reduce = reduce,
        .fresh = fresh,
        .block = dtype == TG_F32   ? block_f32
                 : dtype == TG_F64 ? block_f64
                 : dtype == TG_I64 ? block_i64
                                   : block_bool,
    };
    if (dtype == TG_BOOL && reduce >= 0) /* "or" is the greatest, "and" the least */
        t.reduce = reduce == TG_SCATTER_SUM || reduce == TG_SCATTER_AMAX ? TG_SCATTER_AMAX : TG_SCATTER_AMIN;
    const int64_t written = ref_count(t.index);
    tg_ref_each(t.n > PARALLEL ? r->threads : 1, (t.n + CHUNK - 1) / CHUNK, copy_item, &t);
    if (!written)
        return TG_OK;
    t.columns = t.column < 0 ? 1 : t.index->dim[t.column];
    t.blocks = (t.columns + BLOCK - 1) / BLOCK;
    const int64_t panels = written / t.index->dim[dim] / t.columns;
    tg_ref_each(written > PARALLEL ? r->threads : 1, panels * t.blocks, block_item, &t);
    return TG_OK;
}

static tg_status run_scatter(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, ((const tg_index_attrs *)c->attrs)->dim, ASSIGN, false);
}

static tg_status run_scatter_add(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run(c, r, ((const tg_index_attrs *)c->attrs)->dim, TG_SCATTER_SUM, false);
}

static tg_status run_scatter_reduce(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                    const tg_run *r)
{
    (void)s, (void)p;
    const tg_scatter_reduce_attrs *a = c->attrs;
    return run(c, r, a->dim, a->reduce, !a->include_self);
}

const tg_ref_kernel tg_ref_scatter[] = {
    TG_REF_KERNEL("scatter", run_scatter),
    TG_REF_KERNEL("scatter_add", run_scatter_add),
    TG_REF_KERNEL("scatter_reduce", run_scatter_reduce),
    {0},
};
