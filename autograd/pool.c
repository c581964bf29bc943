/* Storages that come back are kept by size class for the next one of that class, so that a steady step
 * allocates nothing and touches no fresh page. A pool belongs to a tape and is used by its thread; a leaf's
 * gradient may outlive the tape, so a closed pool lives until its last storage is back. */
#include "autograd/internal.h"

#include <string.h>

enum { CLASSES = 256 };

struct tg_pool {
    const tg_allocator *allocator;
    tg_storage *free[CLASSES];
    mtx_t lock;
    size_t out;
    tg_memory memory; /* what is out, by kind */
    unsigned kind;
    bool closed;
};

/* Under the lock. */
static void count_in(tg_pool *pool, const tg_storage *s)
{
    tg_memory *m = &pool->memory;
    m->current += s->size;
    m->kind[s->kind] += s->size;
    if (m->current > m->peak)
        m->peak = m->current;
    if (m->kind[s->kind] > m->kind_peak[s->kind])
        m->kind_peak[s->kind] = m->kind[s->kind];
}

static void count_out(tg_pool *pool, const tg_storage *s)
{
    pool->memory.current -= s->size;
    pool->memory.kind[s->kind] -= s->size;
}

unsigned tg_pool_kind(tg_pool *pool, unsigned kind)
{
    unsigned was = pool->kind;
    pool->kind = kind;
    return was;
}

void tg_storage_recount(tg_storage *s, unsigned kind)
{
    if (!s->pool)
        return;
    mtx_lock(&s->pool->lock);
    count_out(s->pool, s);
    s->kind = (uint8_t)kind;
    count_in(s->pool, s);
    mtx_unlock(&s->pool->lock);
}

void tg_pool_memory(tg_pool *pool, bool again, tg_memory *out)
{
    mtx_lock(&pool->lock);
    tg_memory *m = &pool->memory;
    if (out)
        *out = *m;
    if (again) {
        m->peak = m->current;
        memcpy(m->kind_peak, m->kind, sizeof m->kind);
    }
    mtx_unlock(&pool->lock);
}

/* Four classes an octave: at most a quarter is wasted. */
static unsigned size_class(size_t size, size_t *rounded)
{
    if (size <= 64) {
        *rounded = 64;
        return 0;
    }
    unsigned top = 63u - (unsigned)__builtin_clzll(size - 1);
    size_t step = (size_t)1 << (top - 2);
    size_t up = (size + step - 1) & ~(step - 1);
    *rounded = up;
    unsigned octave = 63u - (unsigned)__builtin_clzll(up);
    return 4 * (octave - 5) + (unsigned)((up >> (octave - 2)) & 3);
}

tg_pool *tg_pool_open(const tg_allocator *a)
{
    tg_pool *pool = tg_alloc_zero(a, sizeof *pool);
    if (!pool)
        return NULL;
    if (mtx_init(&pool->lock, mtx_plain) != thrd_success) {
        tg_free(a, pool);
        tg_fail(NULL, TG_ENOMEM, "a mutex could not be made");
        return NULL;
    }
    pool->allocator = a;
    return pool;
}

tg_storage *tg_pool_get(tg_pool *pool, size_t size)
{
    size_t rounded;
    unsigned c = size_class(size ? size : 1, &rounded);
    mtx_lock(&pool->lock);
    tg_storage *s = pool->free[c];
    if (s) {
        pool->free[c] = s->next;
        s->kind = (uint8_t)pool->kind;
        count_in(pool, s);
    }
    pool->out++;
    mtx_unlock(&pool->lock);
    if (!s) {
        s = tg_storage_new(pool->allocator, rounded);
        if (!s) {
            mtx_lock(&pool->lock);
            pool->out--;
            mtx_unlock(&pool->lock);
            return NULL;
        }
        s->pool = pool;
        mtx_lock(&pool->lock);
        s->kind = (uint8_t)pool->kind;
        pool->memory.reserved += s->size;
        count_in(pool, s);
        mtx_unlock(&pool->lock);
    }
    s->next = NULL;
    s->version = 0;
    s->writer_file = NULL;
    atomic_store_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static void storage_free(tg_storage *s)
{
    if (!s->borrowed)
        tg_free(s->allocator, s->data);
    tg_free(s->allocator, s);
}

static void pool_free(tg_pool *pool)
{
    const tg_allocator *a = pool->allocator;
    mtx_destroy(&pool->lock);
    tg_free(a, pool);
}

void tg_storage_unref(tg_storage *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    tg_pool *pool = s->pool;
    if (!pool) {
        storage_free(s);
        return;
    }
    size_t rounded;
    unsigned c = size_class(s->size, &rounded);
    mtx_lock(&pool->lock);
    bool closed = pool->closed, last = --pool->out == 0;
    count_out(pool, s);
    if (!closed) {
        s->next = pool->free[c];
        pool->free[c] = s;
    }
    mtx_unlock(&pool->lock);
    if (closed) {
        storage_free(s);
        if (last)
            pool_free(pool);
    }
}

void tg_pool_close(tg_pool *pool)
{
    if (!pool)
        return;
    mtx_lock(&pool->lock);
    pool->closed = true;
    bool last = pool->out == 0;
    for (unsigned c = 0; c < CLASSES; c++)
        for (tg_storage *s = pool->free[c], *next; s; s = next) {
            next = s->next;
            storage_free(s);
        }
    memset(pool->free, 0, sizeof pool->free);
    mtx_unlock(&pool->lock);
    if (last)
        pool_free(pool);
}
