/* One reverse sweep: what engine.c walks, gradient.c sets up and leaf.c delivers. */
#ifndef TG_SWEEP_H
#define TG_SWEEP_H

#include "autograd/internal.h"

/* A gradient under way to one value. */
typedef struct edge {
    tg_value *grad;
    bool owned; /* made by our own sum: may be added to in place */
    bool asked; /* tg_grad wants it                              */
    bool hooked;   /* its hooks have run                         */
    uint32_t last; /* of a leaf with hooks: 1 + the last reader that is visited */
} edge;

/* Leaves that live outside the tape, by pointer: open addressing. */
typedef struct leaf_edge {
    tg_value *leaf;
    edge edge;
} leaf_edge;

typedef struct sweep {
    tg_tape *tape;
    edge *slots; /* by slot of the tape's values that were there at the start */
    uint32_t n_slots;
    leaf_edge *leaves;
    tg_storage *leaves_block;
    size_t mask, n_leaves;
    bool leaf_on_tape; /* a gradient is under way to a leaf that is the tape's own */
    uint32_t first; /* the sweep ends at this node */
    bool *reach;    /* by node: leads to one that is asked for; NULL: all do */
    unsigned flags;
    bool leaf_hooks; /* some leaf has hooks */
    struct sweep *outer; /* that one's gradients are gone on with: tg_sweep_through */
} sweep;

/* Room for the edges of n more leaves outside the tape. */
tg_status tg_sweep_grow(sweep *s, size_t n);
static inline tg_status tg_sweep_reserve(sweep *s, size_t n)
{
    return s->leaves && 2 * (s->n_leaves + n) <= s->mask ? TG_OK : tg_sweep_grow(s, n);
}
/* The edge of a value (of the tape's at the start, or a leaf outside it, for which there is room). */
edge *tg_sweep_edge(sweep *s, tg_value *v);
/* Is v asked for, or does it lead there? */
bool tg_sweep_leads(sweep *s, const tg_value *v);
/* Visits the nodes from `from` down to s->first. */
tg_status tg_sweep_walk(sweep *s, uint32_t from);
/* Adds g to the gradient of `target`. */
tg_status tg_sweep_add(sweep *s, tg_value *target, tg_value *g);
/* Does the sweep need the gradient of the node's input i? */
bool tg_sweep_wants(sweep *s, const tg_node *node, uint32_t i);
/* Makes the leaves' new gradients, all of them before the first leaf changes. */
tg_status tg_sweep_deliver(sweep *s);
/* hooks.c: runs those of v, whose gradient is complete, once. */
tg_status tg_sweep_hooks(sweep *s, tg_value *v);
tg_status tg_sweep_watch_leaves(sweep *s, uint32_t end);
/* The node was visited: of leaves that no other will read, the gradient is complete. */
tg_status tg_sweep_leaves_of(sweep *s, const tg_node *node);
tg_status tg_hooks_accumulated(tg_tape *tape, tg_value *leaf);
/* Zeroed bytes from the pool; NULL: tg_fail has been called. */
void *tg_sweep_block(tg_tape *tape, size_t size, tg_storage **out);

static inline bool tg_sweep_owns(const sweep *s, const tg_value *v)
{
    return v->home == &s->tape->home;
}
/* Where the leaf's edge is, or would be. */
static inline leaf_edge *tg_sweep_leaf(const sweep *s, const tg_value *v)
{
    size_t i = ((uintptr_t)v >> 6) * 0x9e3779b97f4a7c15u >> 32 & s->mask;
    while (s->leaves[i].leaf && s->leaves[i].leaf != v)
        i = (i + 1) & s->mask;
    return &s->leaves[i];
}

#endif
