/* Values that outlive one reset: they live in the runtime's home, over the storage that they had on the tape. */
#include "autograd/internal.h"

tg_tensor *tg_carry(tg_tape *tape, tg_tensor *x)
{
    tg_value *v;
    if (!tape)
        tg_null(NULL, "tg_carry", "the tape");
    if (!tape || tape->status || tg_check_tensor(tape, x, "tg_carry", "x", &v) || tg_value_plain(tape, v))
        return NULL;
    const tg_allocator *a = &tape->rt->allocator;
    size_t i = 0;
    while (i < tape->n_carried && tape->carried[i].value)
        i++;
    if (i == tape->n_carried) {
        if (tg_grow(a, &tape->carried, &tape->carried_capacity, i + 1, sizeof *tape->carried)) {
            tg_fail_again(tape, TG_ENOMEM);
            return NULL;
        }
        tape->n_carried++;
    }
    tg_carried *c = &tape->carried[i];
    if (!c->desc)
        c->desc = tg_alloc(a, 2 * sizeof *c->desc);
    tg_value *own = c->desc ? tg_home_new_locked(&tape->rt->home) : NULL;
    if (!own) {
        tg_fail_again(tape, TG_ENOMEM);
        return NULL;
    }
    c->desc[0] = c->desc[1] = *v->desc;
    own->desc = c->desc;
    own->hash = v->hash;
    own->storage = v->storage;
    own->offset = v->offset;
    own->flags |= TG_V_PERSISTENT | (v->flags & TG_V_DENSE);
    own->refs = 1;
    tg_storage_ref(own->storage);
    c->value = own;
    c->fresh = true;
    return tg_handle(own);
}

void tg_carried_turn(tg_tape *tape, bool all)
{
    for (size_t i = 0; i < tape->n_carried; i++) {
        tg_carried *c = &tape->carried[i];
        if (!c->value || (c->fresh && !all)) {
            c->fresh = false;
            continue;
        }
        tg_pool_put(tape->pool, c->value->storage);
        c->value->storage = NULL;
        tg_home_drop_locked(c->value->home, c->value);
        c->value = NULL;
    }
}

void tg_carried_free(tg_tape *tape)
{
    for (size_t i = 0; i < tape->n_carried; i++)
        tg_free(&tape->rt->allocator, tape->carried[i].desc);
    tg_free(&tape->rt->allocator, tape->carried);
}
