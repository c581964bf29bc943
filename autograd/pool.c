/* Storages that come back are kept by size class for the next one of that class, so that a steady step
 * allocates nothing and touches no fresh page. A pool belongs to a tape and is used by its thread, without a
 * lock; what other threads give back waits in a list of its own. A leaf's gradient may outlive the tape, so a
 * closed pool lives until its last storage is back. */
#include "autograd/internal.h"

#include <string.h>

/* The smallest storages are cut from slabs, so that a long tape of them lies close together. */
enum { CLASSES = 256, SMALL = 64, CUT = sizeof(tg_storage) + SMALL };
#if defined __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* clang's word for it is another */
#endif
#endif
#if defined __SANITIZE_ADDRESS__
enum { IN_SLAB = 1 }; /* what is written past a storage is to be seen */
#else
enum { IN_SLAB = 63 };
#endif

typedef struct tg_slab {
    const tg_allocator *allocator;
    unsigned cut;  /* so many were given out so far                    */
    unsigned back; /* and, of a closed pool, so many will not be again */
} tg_slab;

struct tg_pool {
    const tg_allocator *allocator;
    tg_storage *free[CLASSES];
    tg_slab *slab;    /* the one that is being cut */
    size_t out;       /* not in free[]             */
    tg_memory memory; /* what is out, by kind */
    unsigned kind;
    bool plan;
    mtx_t lock; /* of what follows */
    _Atomic(tg_storage *) returned;
    bool closed;
};

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

void tg_pool_plan(tg_pool *pool)
{
    pool->plan = true;
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
    count_out(s->pool, s);
    s->kind = (uint8_t)kind;
    count_in(s->pool, s);
}

/* Four classes an octave: at most a quarter is wasted. */
static unsigned size_class(size_t size, size_t *rounded)
{
    if (size <= SMALL) {
        *rounded = SMALL;
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

/* Back among the free ones. */
static void shelve(tg_pool *pool, tg_storage *s)
{
    size_t rounded;
    unsigned c = size_class(s->size, &rounded);
    count_out(pool, s);
    pool->out--;
    s->next = pool->free[c];
    pool->free[c] = s;
}

static void collect(tg_pool *pool)
{
    if (!atomic_load_explicit(&pool->returned, memory_order_relaxed))
        return;
    mtx_lock(&pool->lock);
    tg_storage *s = atomic_load_explicit(&pool->returned, memory_order_relaxed);
    atomic_store_explicit(&pool->returned, NULL, memory_order_relaxed);
    mtx_unlock(&pool->lock);
    for (tg_storage *next; s; s = next) {
        next = s->next;
        shelve(pool, s);
    }
}

void tg_pool_memory(tg_pool *pool, bool again, tg_memory *out)
{
    tg_memory *m = &pool->memory;
    collect(pool);
    if (out)
        *out = *m;
    if (again) {
        m->peak = m->current;
        memcpy(m->kind_peak, m->kind, sizeof m->kind);
    }
}

static tg_storage *cut_from_slab(tg_pool *pool)
{
    tg_slab *slab = pool->slab;
    if (!slab || slab->cut == IN_SLAB) {
        slab = tg_alloc(pool->allocator, CUT * IN_SLAB + sizeof *slab);
        if (!slab)
            return NULL;
        /* behind what is cut, so that all of that is aligned */
        tg_slab *end = (tg_slab *)(void *)((char *)slab + CUT * IN_SLAB);
        *end = (tg_slab){.allocator = pool->allocator};
        slab = pool->slab = end;
    }
    char *first = (char *)slab - CUT * IN_SLAB;
    tg_storage *s = (tg_storage *)(void *)(first + (size_t)slab->cut++ * CUT);
    *s = (tg_storage){.data = s + 1, .size = SMALL, .slab = slab};
    return s;
}

static tg_storage *add_storage(tg_pool *pool, size_t size)
{
    const bool plan = pool->plan;
    tg_storage *s = size == SMALL ? cut_from_slab(pool) : tg_storage_new(pool->allocator, plan ? 0 : size);
    if (!s)
        return NULL;
    s->size = size;
    if (plan)
        s->data = NULL;
    if (size != SMALL)
        s->slab = NULL;
    s->pool = pool;
    pool->memory.reserved += size;
    return s;
}

tg_storage *tg_pool_get(tg_pool *pool, size_t size)
{
    size_t rounded;
    unsigned c = size_class(size, &rounded);
    collect(pool);
    tg_storage *s = pool->free[c];
    if (s)
        pool->free[c] = s->next;
    else if (!(s = add_storage(pool, rounded)))
        return NULL;
    pool->out++;
    s->kind = (uint8_t)pool->kind;
    count_in(pool, s);
    s->writer_file = NULL;
    s->version = 0;
    atomic_store_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

/* -- going back ------------------------------------------------------------------------------------------ */

/* One reason less; true: it was the last. Who holds the only one needs no atomic write to know it. */
static bool let_go(tg_storage *s)
{
    return s && (atomic_load_explicit(&s->refs, memory_order_acquire) == 1 ||
                 atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1);
}

static void slab_shrink(tg_slab *slab, unsigned by)
{
    slab->back += by;
    if (slab->back == IN_SLAB)
        tg_free(slab->allocator, (char *)slab - CUT * IN_SLAB);
}

/* Of a closed pool. */
static void storage_free(const tg_allocator *a, tg_storage *s)
{
    if (s->slab)
        slab_shrink(s->slab, 1);
    else
        tg_free(a, s);
}

static void pool_free(tg_pool *pool)
{
    const tg_allocator *a = pool->allocator;
    mtx_destroy(&pool->lock);
    tg_free(a, pool);
}

/* On any thread. */
static void come_back(tg_storage *s)
{
    tg_pool *pool = s->pool;
    if (!pool) {
        tg_free(s->allocator, s);
        return;
    }
    bool last = false;
    mtx_lock(&pool->lock);
    if (pool->closed) {
        storage_free(pool->allocator, s);
        last = --pool->out == 0;
    } else {
        s->next = atomic_load_explicit(&pool->returned, memory_order_relaxed);
        atomic_store_explicit(&pool->returned, s, memory_order_relaxed);
    }
    mtx_unlock(&pool->lock);
    if (last)
        pool_free(pool);
}

void tg_storage_unref(tg_storage *s)
{
    if (let_go(s))
        come_back(s);
}

void tg_pool_put(tg_pool *pool, tg_storage *s)
{
    if (!let_go(s))
        return;
    if (s->pool == pool)
        shelve(pool, s);
    else
        come_back(s);
}

void tg_pool_close(tg_pool *pool)
{
    if (!pool)
        return;
    mtx_lock(&pool->lock);
    pool->closed = true;
    for (tg_storage *s = atomic_load(&pool->returned), *next; s; s = next) {
        next = s->next;
        shelve(pool, s);
    }
    bool last = pool->out == 0;
    if (pool->slab)
        slab_shrink(pool->slab, IN_SLAB - pool->slab->cut);
    for (unsigned c = 0; c < CLASSES; c++)
        for (tg_storage *s = pool->free[c], *next; s; s = next) {
            next = s->next;
            storage_free(pool->allocator, s);
        }
    mtx_unlock(&pool->lock);
    if (last)
        pool_free(pool);
}
