/* Slots behind the handles. A handle is (home, generation, slot): 12, 28 and 24 bits. Chunks double and never
 * move, so that a handle is resolved without a lock. */
#include "autograd/internal.h"

_Static_assert(sizeof(uintptr_t) == 8, "handles need 64-bit pointers");

_Atomic(tg_home *) tg_homes[4096];
/* Where a home that takes over an id goes on counting, so that handles of its predecessor stay stale. */
static _Atomic uint32_t last_gen[4096];

enum { MAX_SLOTS = 1 << 24 };

tg_status tg_home_open(tg_home *home, tg_runtime *rt, tg_tape *tape)
{
    home->rt = rt;
    home->tape = tape;
    home->allocator = &rt->allocator;
    for (uint32_t id = 1; id < 4096; id++) {
        tg_home *none = NULL;
        if (!atomic_load(&tg_homes[id]) && atomic_compare_exchange_strong(&tg_homes[id], &none, home)) {
            home->id = id;
            home->first_gen = atomic_load(&last_gen[id]);
            if (mtx_init(&home->lock, mtx_plain) == thrd_success)
                return TG_OK;
            atomic_store(&tg_homes[id], NULL);
            home->id = 0;
            return tg_fail(NULL, TG_ENOMEM, "a mutex could not be made");
        }
    }
    return tg_fail(NULL, TG_ENOMEM, "more than 4095 runtimes and tapes are open");
}

tg_value *tg_home_slot(tg_home *home, uint32_t slot)
{
    uint32_t k = 31u - (uint32_t)__builtin_clz((slot >> 6) + 1u);
    return &home->chunk[k][slot - ((64u << k) - 64u)];
}

void tg_home_close(tg_home *home)
{
    if (!home->id)
        return;
    uint32_t top = home->first_gen;
    for (uint32_t s = 0; s < home->n_slots; s++) {
        tg_value *v = tg_home_slot(home, s);
        if (v->gen > top)
            top = v->gen;
    }
    /* odd generations are live ones; see tg_home_new */
    atomic_store(&last_gen[home->id], ((top | 1u) + 1u) & 0xffffffeu);
    atomic_store(&tg_homes[home->id], NULL); /* from here on another may take the id */
    for (int k = 0; k < 20; k++)
        tg_free(home->allocator, home->chunk[k]);
    tg_free(home->allocator, home->free_slots);
    mtx_destroy(&home->lock);
    *home = (tg_home){0};
}

static tg_value *add_slot(tg_home *home)
{
    uint32_t slot = home->n_slots;
    if (slot >= MAX_SLOTS) {
        tg_fail(NULL, TG_ENOMEM, "a tape holds at most %d tensors between two resets", MAX_SLOTS);
        return NULL;
    }
    uint32_t k = 31u - (uint32_t)__builtin_clz((slot >> 6) + 1u);
    if (!home->chunk[k]) {
        home->chunk[k] = tg_alloc_zero(home->allocator, (64u << k) * sizeof(tg_value));
        if (!home->chunk[k])
            return NULL;
    }
    /* the free list must have room for every slot, so that dropping never fails */
    if (tg_grow(home->allocator, &home->free_slots, &home->free_capacity, slot + 1u,
                sizeof *home->free_slots))
        return NULL;
    tg_value *v = tg_home_slot(home, slot);
    *v = (tg_value){.gen = home->first_gen, .slot = slot, .home = home};
    atomic_store_explicit(&home->n_slots, slot + 1, memory_order_release);
    return v;
}

tg_value *tg_home_new(tg_home *home)
{
    tg_value *v;
    if (home->n_free) {
        v = tg_home_slot(home, home->free_slots[--home->n_free]);
    } else {
        v = home->n_fresh < home->n_slots ? tg_home_slot(home, home->n_fresh) : add_slot(home);
        if (!v)
            return NULL;
        home->n_fresh++;
    }
    v->gen = (v->gen + 1u) & 0xfffffffu;
    v->flags = TG_V_LEAF;
    v->refs = 0;
    v->node = TG_NO_NODE;
    v->hash = 0;
    v->desc = NULL;
    v->storage = NULL;
    v->offset = 0;
    v->grad = NULL;
    return v;
}

void tg_home_drop(tg_home *home, tg_value *v)
{
    v->gen = (v->gen + 1u) & 0xfffffffu;
    home->free_slots[home->n_free++] = v->slot;
}

void tg_home_rewind(tg_home *home)
{
    if (home->n_free == home->n_fresh)
        home->n_free = home->n_fresh = 0;
}

tg_value *tg_home_new_locked(tg_home *home)
{
    mtx_lock(&home->lock);
    tg_value *v = tg_home_new(home);
    mtx_unlock(&home->lock);
    return v;
}

void tg_home_drop_locked(tg_home *home, tg_value *v)
{
    mtx_lock(&home->lock);
    tg_home_drop(home, v);
    mtx_unlock(&home->lock);
}
