/* Gradients come home: each leaf takes over the storage of the sweep's result where it can. */
#include "autograd/sweep.h"

/* The new gradient of a leaf: detached, row-major, with a storage of its own. */
static tg_value *for_leaf(tg_tape *tape, const tg_value *leaf, tg_value *g)
{
    tg_tensor *t = tg_handle(g);
    if (leaf->grad) {
        t = tg_add(tape, leaf->grad, t);
    } else {
        bool shared = !g->home->tape || atomic_load(&g->storage->refs) > 1 || g->refs > 1 ||
                      (g->flags & TG_V_HELD) || g->offset;
        if (!(g->flags & TG_V_DENSE))
            t = tg_contiguous(tape, t);
        else if (shared)
            t = tg_clone(tape, t);
    }
    tg_value *made = t ? tg_resolve(t) : NULL;
    return made && tg_value_plain(tape, made) == TG_OK ? made : NULL;
}

/* A slot for the new gradient of a leaf, filled by leaf_grad_set. A tape's own stays until its reset. */
static tg_value *leaf_grad_slot(tg_value *leaf)
{
    if (!leaf->home->tape)
        return tg_home_new_locked(leaf->home);
    tg_value *slot = tg_tape_new_value(leaf->home->tape, leaf->desc, leaf->hash);
    if (slot)
        slot->flags = (slot->flags & ~(uint32_t)TG_V_HELD) | TG_V_RECORDED;
    return slot;
}

static void leaf_grad_slot_drop(tg_value *slot)
{
    if (slot && !slot->home->tape)
        tg_home_drop_locked(slot->home, slot);
}

static void leaf_grad_set(tg_value *leaf, tg_value *slot, const tg_value *from)
{
    if (leaf->grad)
        tg_tensor_zero_grad(tg_handle(leaf));
    slot->storage = from->storage;
    tg_storage_ref(slot->storage);
    tg_storage_recount(slot->storage, TG_MEMORY_LEAF_GRADIENTS);
    slot->desc = leaf->flags & TG_V_OWNER ? &leaf->desc[1] : from->desc;
    slot->hash = tg_desc_hash(slot->desc);
    slot->flags |= TG_V_DENSE | (leaf->flags & TG_V_OWNER ? TG_V_PERSISTENT : 0u);
    slot->refs = 1;
    leaf->grad = tg_handle(slot);
}

typedef struct pending {
    tg_value *leaf, *slot, *grad;
} pending;

static tg_status collect(sweep *s, pending *p, size_t *n)
{
    tg_tape *tape = s->tape;
    for (size_t i = s->leaf_on_tape ? 0 : s->n_slots; i < s->n_slots + s->mask + 1; i++) {
        bool on_tape = i < s->n_slots;
        tg_value *leaf = on_tape ? NULL : s->leaves[i - s->n_slots].leaf;
        edge *e = on_tape ? &s->slots[i] : &s->leaves[i - s->n_slots].edge;
        if (!e->grad)
            continue;
        if (on_tape)
            leaf = tg_home_slot(&tape->home, (uint32_t)i);
        if (!(leaf->flags & TG_V_LEAF))
            continue;
        if (leaf->flags & TG_V_HOOKED) {
            if (tg_sweep_hooks(s, leaf))
                return tape->status;
            e = tg_sweep_edge(s, leaf);
        }
        pending *q = &p[(*n)++];
        *q = (pending){.leaf = leaf, .grad = for_leaf(tape, leaf, e->grad)};
        if (!q->grad)
            return tape->status;
        tg_value_hold(q->grad);
        q->slot = leaf_grad_slot(leaf);
        if (!q->slot)
            return tg_fail_again(tape, TG_ENOMEM);
    }
    return TG_OK;
}

/* All new gradients are made before the first leaf changes. */
tg_status tg_sweep_deliver(sweep *s)
{
    tg_tape *tape = s->tape;
    size_t edges = 0;
    for (uint32_t i = 0; i < s->n_slots && s->leaf_on_tape; i++)
        edges += s->slots[i].grad != NULL;
    tg_storage *block;
    pending *p = tg_sweep_block(tape, (edges + s->mask + 1) * sizeof *p, &block);
    if (!p)
        return tape->status;
    size_t n = 0;
    bool recording = tg_tape_set_recording(tape, false);
    tg_status status = collect(s, p, &n);
    tg_tape_set_recording(tape, recording);
    for (size_t i = 0; i < n; i++) {
        if (status == TG_OK && tape->planning && !p[i].leaf->home->tape) {
            tg_storage_recount(p[i].grad->storage, TG_MEMORY_LEAF_GRADIENTS);
            leaf_grad_slot_drop(p[i].slot);
            continue; /* the leaf is not touched: the plan's tape keeps it */
        }
        if (status == TG_OK)
            leaf_grad_set(p[i].leaf, p[i].slot, p[i].grad);
        else
            leaf_grad_slot_drop(p[i].slot);
        if (p[i].grad)
            tg_value_release(p[i].grad);
    }
    for (size_t i = 0; i < n && status == TG_OK && !tape->planning; i++)
        status = tg_hooks_accumulated(tape, p[i].leaf);
    tg_pool_put(tape->pool, block);
    return status;
}
