/* Who holds a tape's values: the scope or the user, the nodes that save them, a sweep. */
#include "autograd/internal.h"

tg_value *tg_tape_new_value(tg_tape *tape, const tg_desc *desc, uint32_t hash)
{
    if (tape->n_values == tape->value_capacity &&
        tg_grow(&tape->rt->allocator, &tape->values, &tape->value_capacity, tape->n_values + 1,
                sizeof *tape->values))
        return NULL;
    tg_value *v = tg_home_new(&tape->home);
    if (!v)
        return NULL;
    v->desc = desc;
    v->hash = hash;
    v->flags |= TG_V_HELD;
    v->refs = 1;
    tape->values[tape->n_values++] = v;
    return v;
}

void tg_value_release(tg_value *v)
{
    tg_tape *tape = v->home->tape;
    if (!tape || --v->refs)
        return;
    tg_pool_put(tape->pool, v->storage);
    v->storage = NULL;
    v->flags |= TG_V_RELEASED;
}

static void let_go(tg_value *v)
{
    if (v->flags & TG_V_HELD) {
        v->flags &= ~(uint32_t)TG_V_HELD;
        tg_value_release(v);
    }
}

void tg_values_compact(tg_tape *tape, size_t first)
{
    size_t kept = first;
    for (size_t i = first; i < tape->n_values; i++) {
        tg_value *v = tape->values[i];
        if (v->refs || (v->flags & TG_V_RECORDED))
            tape->values[kept++] = v;
        else
            tg_home_drop(&tape->home, v);
    }
    tape->n_values = kept;
}

static void mark_kept(tg_tape *tape, tg_tensor *const keep[], size_t n_keep, bool kept)
{
    for (size_t i = 0; i < n_keep; i++) {
        tg_value *v = keep[i] ? tg_resolve(keep[i]) : NULL;
        if (v && v->home == &tape->home)
            v->flags = kept ? v->flags | TG_V_KEEP : v->flags & ~(uint32_t)TG_V_KEEP;
    }
}

void tg_scope_leave(tg_tape *tape, const tg_scope *scope, tg_tensor *const keep[], size_t n_keep)
{
    mark_kept(tape, keep, n_keep, true);
    for (size_t i = scope->first_value; i < tape->n_values; i++)
        if (!(tape->values[i]->flags & TG_V_KEEP))
            let_go(tape->values[i]);
    mark_kept(tape, keep, n_keep, false);
    tg_values_compact(tape, scope->first_value);
}

void tg_scope_undo(tg_tape *tape, const tg_scope *scope)
{
    while (tape->n_nodes > scope->first_node)
        tg_node_release(tape, tape->nodes[--tape->n_nodes]);
    while (tape->n_values >
           scope->first_value) { /* backwards, so that low slots are handed out first again */
        tg_value *v = tape->values[--tape->n_values];
        tg_pool_put(tape->pool, v->storage);
        v->storage = NULL;
        tg_home_drop(&tape->home, v);
    }
}

void tg_discard(tg_tensor *tensor)
{
    tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    if (v && v->home->tape)
        let_go(v);
}
