/* The reverse sweep. It knows no operator: a node's row has the rule. */
#include "autograd/internal.h"

#include <string.h>

/* A gradient under way to one value. */
typedef struct edge {
    tg_value *grad;
    bool owned; /* made by our own sum: may be added to in place */
    bool asked; /* tg_grad wants it                              */
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
    size_t n_leaves, mask;
    bool *reach; /* by node: leads to one that is asked for; NULL: all do */
    unsigned flags;
} sweep;

static bool is_tape_value(const sweep *s, const tg_value *v)
{
    return v->home == &s->tape->home;
}

static edge *edge_of(sweep *s, tg_value *v)
{
    if (is_tape_value(s, v))
        return &s->slots[v->slot];
    size_t i = ((uintptr_t)v >> 5) * 0x9e3779b97f4a7c15u >> 32 & s->mask;
    while (s->leaves[i].leaf && s->leaves[i].leaf != v)
        i = (i + 1) & s->mask;
    s->leaves[i].leaf = v;
    return &s->leaves[i].edge;
}

static void *zeroed(tg_tape *tape, size_t size, tg_storage **out)
{
    *out = tg_pool_get(tape->pool, size);
    if (!*out) {
        tg_fail_again(tape, TG_ENOMEM);
        return NULL;
    }
    return memset((*out)->data, 0, size);
}

/* The gradient in the input's own shape: what broadcasting spread is summed, here and nowhere else. */
static tg_value *fit(tg_tape *tape, const tg_node *node, uint32_t i, tg_tensor *gx)
{
    const tg_value *in = tg_resolve(node->in[i]);
    tg_value *g = tg_resolve(gx);
    if (g && !tg_desc_same_dims(g->desc, in->desc)) {
        gx = tg_sum_to_size(tape, gx, in->desc->dim, (size_t)in->desc->ndim);
        g = gx ? tg_resolve(gx) : NULL;
    }
    if (g && g->desc->dtype != in->desc->dtype) {
        tg_fail(tape, TG_EDTYPE, "the rule of %s gave a gradient of dtype %s for input %u of dtype %s", node->op->name,
                tg_dtype_name(g->desc->dtype), i, tg_dtype_name(in->desc->dtype));
        return NULL;
    }
    return g;
}

static tg_status add_to(sweep *s, tg_value *target, tg_value *g)
{
    tg_tape *tape = s->tape;
    edge *e = edge_of(s, target);
    if (!e->grad) {
        e->grad = g;
        e->owned = false;
        g->refs++;
        return TG_OK;
    }
    if (e->owned && !(s->flags & TG_CREATE_GRAPH))
        return tg_apply(tape, tape->rt->rows.add_, (tg_tensor *[]){tg_handle(e->grad), tg_handle(g)}, 2, NULL, NULL, NULL);
    tg_tensor *sum = tg_add(tape, tg_handle(e->grad), tg_handle(g));
    if (!sum)
        return tape->status;
    tg_value_release(e->grad);
    e->grad = tg_resolve(sum);
    e->grad->refs++;
    e->owned = true;
    return TG_OK;
}

static bool input_wanted(sweep *s, const tg_node *node, uint32_t i)
{
    if (!node->needs[i])
        return false;
    tg_value *v = tg_resolve(node->in[i]);
    if (!s->reach || !v)
        return v != NULL;
    return edge_of(s, v)->asked || (is_tape_value(s, v) && v->node != TG_NO_NODE && s->reach[v->node]);
}

static tg_status run_rule(sweep *s, tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_tape *tape = s->tape;
    const tg_node *outer = tape->rule_of;
    tg_mode mode = tape->mode;
    tape->rule_of = node;
    tape->mode = (tg_mode)node->mode;
    tg_status status = tg_node_check_versions(tape, node);
    if (tape->observer.rule)
        tape->observer.rule(tape->observer.arg, tape, node);
    if (status == TG_OK)
        status = node->op->vjp ? node->op->vjp(tape, node, gy, gx)
                               : tg_fail(tape, TG_ENODERIV, "%s has no derivative", node->op->name);
    if (status == TG_OK && tape->observer.rule_ran)
        tape->observer.rule_ran(tape->observer.arg, tape, node, gx);
    if (status == TG_OK && o->rule_ran)
        o->rule_ran(o->arg, tape, node, gx);
    tape->rule_of = outer;
    tape->mode = mode;
    return status ? tg_fail_again(tape, status) : tape->status;
}

static tg_status visit(sweep *s, tg_node *node)
{
    tg_tape *tape = s->tape;
    tg_tensor *gy_here[16], *gx_here[32];
    tg_tensor **gy = gy_here, **gx = gx_here;
    if (node->n_in > 32 && !(gx = tg_arena_get(&tape->arena, node->n_in * sizeof *gx)))
        return tg_fail_again(tape, TG_ENOMEM);
    bool any = false;
    for (uint32_t o = 0; o < node->n_out; o++) {
        const tg_value *out = tg_resolve(node->out[o]);
        tg_value *g = s->slots[out->slot].grad;
        gy[o] = g ? tg_handle(g) : NULL;
        any |= g != NULL;
    }
    if (!any || (s->reach && !s->reach[node->index]))
        return TG_OK;
    if (node->released)
        return tg_fail(tape, TG_ESTATE,
                       "backward a second time through %s (recorded at %s:%d), whose saved values an earlier backward gave "
                       "back: pass TG_RETAIN to the first", node->op->name, node->file ? node->file : "?", node->line);
    memset(gx, 0, node->n_in * sizeof *gx);
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tg_status status = run_rule(s, node, gy, gx);
    for (uint32_t i = 0; i < node->n_in && status == TG_OK; i++) {
        if (!gx[i] || !input_wanted(s, node, i))
            continue;
        tg_value *g = fit(tape, node, i, gx[i]);
        status = g ? add_to(s, tg_resolve(node->in[i]), g) : tape->status;
    }
    tg_scope_leave(tape, &scope, NULL, 0);
    if (status == TG_OK && !(s->flags & TG_RETAIN))
        tg_node_release(tape, node);
    return status;
}

/* A gradient whose node has been visited is of no more use, unless somebody asked for it. */
static void let_go(sweep *s, const tg_node *node)
{
    for (uint32_t o = 0; o < node->n_out; o++) {
        edge *e = &s->slots[tg_resolve(node->out[o])->slot];
        if (e->grad && !e->asked) {
            tg_value_release(e->grad);
            e->grad = NULL;
        }
    }
}

static tg_status walk(sweep *s, uint32_t from)
{
    tg_tape *tape = s->tape;
    size_t first = tape->n_values, limit = first + 1024;
    for (uint32_t i = from + 1; i-- > 0;) {
        tg_node *node = tape->nodes[i];
        tg_status status = visit(s, node);
        if (status)
            return status;
        let_go(s, node);
        if (tape->n_values > limit) { /* so that a long sweep's dead gradients do not pile up */
            tg_values_compact(tape, first);
            limit = tape->n_values + (tape->n_values - first) + 1024;
        }
    }
    return TG_OK;
}

static tg_status check_root(tg_tape *tape, tg_tensor *y, tg_tensor **gy, const char *what, tg_value **out)
{
    tg_status status = tg_check_tensor(tape, y, what, "the value to differentiate", out);
    if (status)
        return status;
    char text[128], other[128];
    const tg_desc *d = (*out)->desc;
    if (!((*out)->flags & TG_V_REQUIRES_GRAD) || !tg_dtype_is_float(d->dtype))
        return tg_fail(tape, TG_EINVAL, "%s: %s does not depend on anything that wants a gradient (or was made while nothing "
                       "was recorded)", what, tg_desc_format(d, text, sizeof text));
    if (*gy) {
        tg_value *g;
        status = tg_check_tensor(tape, *gy, what, "gy", &g);
        if (status)
            return status;
        if (!tg_desc_same_dims(g->desc, d) || g->desc->dtype != d->dtype)
            return tg_fail(tape, TG_ESHAPE, "%s: gy must be as the value, %s, but is %s", what,
                           tg_desc_format(d, text, sizeof text), tg_desc_format(g->desc, other, sizeof other));
        return TG_OK;
    }
    if (tg_desc_count(d) != 1)
        return tg_fail(tape, TG_ESHAPE, "%s: a value of one element is differentiated without gy, not %s", what,
                       tg_desc_format(d, text, sizeof text));
    *gy = tg_ones_like(tape, y);
    return *gy ? TG_OK : tape->status;
}

/* Nodes that depend on one of `wrt`. */
static void mark_wanted(sweep *s, uint32_t last, tg_tensor *const wrt[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        edge_of(s, tg_resolve(wrt[i]))->asked = true;
    for (uint32_t k = 0; k <= last; k++) {
        const tg_node *node = s->tape->nodes[k];
        for (uint32_t i = 0; i < node->n_in && !s->reach[k]; i++) {
            tg_value *v = node->in[i] ? tg_resolve(node->in[i]) : NULL;
            if (!v || !node->needs[i])
                continue;
            s->reach[k] = edge_of(s, v)->asked || (is_tape_value(s, v) && v->node != TG_NO_NODE && s->reach[v->node]);
        }
    }
}

/* How many different leaves outside the tape the nodes name, at most. */
static size_t count_outside(const tg_tape *tape, uint32_t last)
{
    size_t n = 1;
    for (uint32_t k = 0; k <= last; k++)
        for (uint32_t i = 0; i < tape->nodes[k]->n_in; i++) {
            const tg_value *v = tape->nodes[k]->needs[i] ? tg_resolve(tape->nodes[k]->in[i]) : NULL;
            n += v && v->home != &tape->home;
        }
    return n;
}

static uint32_t slots_in_use(const tg_tape *tape)
{
    uint32_t n = 0;
    for (size_t i = 0; i < tape->n_values; i++)
        n = tape->values[i]->slot >= n ? tape->values[i]->slot + 1 : n;
    return n;
}

/* The new gradient of a leaf: detached, row-major, with a storage of its own. */
static tg_value *for_leaf(tg_tape *tape, const tg_value *leaf, tg_value *g)
{
    tg_tensor *t = tg_handle(g);
    if (leaf->grad) {
        t = tg_add(tape, leaf->grad, t);
    } else {
        bool shared = atomic_load(&g->storage->refs) > 1 || g->refs > 1 || (g->flags & TG_V_HELD) || g->offset;
        if (!(g->flags & TG_V_DENSE))
            t = tg_contiguous(tape, t);
        else if (shared)
            t = tg_clone(tape, t);
    }
    return t ? tg_resolve(t) : NULL;
}

typedef struct pending {
    tg_value *leaf, *slot, *grad;
} pending;

static tg_status collect(sweep *s, pending *p, size_t *n)
{
    tg_tape *tape = s->tape;
    for (size_t i = 0; i < s->n_slots + s->mask + 1; i++) {
        bool on_tape = i < s->n_slots;
        tg_value *leaf = on_tape ? NULL : s->leaves[i - s->n_slots].leaf;
        edge *e = on_tape ? &s->slots[i] : &s->leaves[i - s->n_slots].edge;
        if (!e->grad)
            continue;
        if (on_tape)
            leaf = tg_home_slot(&tape->home, (uint32_t)i);
        if (!(leaf->flags & TG_V_LEAF))
            continue;
        pending *q = &p[(*n)++];
        *q = (pending){.leaf = leaf, .grad = for_leaf(tape, leaf, e->grad)};
        if (!q->grad)
            return tape->status;
        q->grad->refs++;
        q->slot = tg_leaf_grad_slot(leaf);
        if (!q->slot)
            return tg_fail_again(tape, TG_ENOMEM);
    }
    return TG_OK;
}

/* All new gradients are made before the first leaf changes. */
static tg_status deliver(sweep *s)
{
    tg_tape *tape = s->tape;
    size_t edges = 0;
    for (uint32_t i = 0; i < s->n_slots; i++)
        edges += s->slots[i].grad != NULL;
    tg_storage *block;
    pending *p = zeroed(tape, (edges + s->mask + 1) * sizeof *p, &block);
    if (!p)
        return tape->status;
    size_t n = 0;
    bool recording = tg_tape_set_recording(tape, false);
    tg_status status = collect(s, p, &n);
    tg_tape_set_recording(tape, recording);
    for (size_t i = 0; i < n; i++) {
        if (status == TG_OK)
            tg_leaf_grad_set(p[i].leaf, p[i].slot, p[i].grad);
        else
            tg_leaf_grad_slot_drop(p[i].slot);
        if (p[i].grad)
            tg_value_release(p[i].grad);
    }
    tg_storage_unref(block);
    return status;
}

static void hand_over(sweep *s, tg_tensor *const wrt[], size_t n, tg_tensor *out[])
{
    for (size_t i = 0; i < n; i++) {
        const edge *e = edge_of(s, tg_resolve(wrt[i]));
        out[i] = e->grad ? tg_handle(e->grad) : NULL;
        if (e->grad && !(e->grad->flags & TG_V_HELD)) {
            e->grad->flags |= TG_V_HELD;
            e->grad->refs++;
        }
    }
}

static tg_status missing(tg_tape *tape, tg_tensor *const out[], size_t n, unsigned flags)
{
    for (size_t i = 0; i < n && !(flags & TG_ALLOW_UNUSED); i++)
        if (!out[i])
            return tg_fail(tape, TG_EINVAL, "tg_grad: the value does not depend on input %zu; pass TG_ALLOW_UNUSED to get NULL", i);
    return TG_OK;
}

static void drop_edges(sweep *s)
{
    for (uint32_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].grad)
            tg_value_release(s->slots[i].grad);
    for (size_t i = 0; i <= s->mask; i++)
        if (s->leaves[i].edge.grad)
            tg_value_release(s->leaves[i].edge.grad);
}

static tg_status start(sweep *s, tg_value *y, tg_tensor *gy, tg_tensor *const wrt[], size_t n)
{
    if (wrt)
        mark_wanted(s, y->node == TG_NO_NODE ? 0 : y->node, wrt, n);
    tg_value *g = tg_resolve(gy);
    edge *e = edge_of(s, y);
    e->grad = g;
    g->refs++;
    return y->node == TG_NO_NODE ? TG_OK : walk(s, y->node);
}

static tg_status run_sweep(tg_tape *tape, tg_value *y, tg_tensor *gy, tg_tensor *const wrt[], size_t n, tg_tensor *out[],
                           unsigned flags)
{
    uint32_t last = y->node == TG_NO_NODE ? 0 : y->node;
    size_t outside = (tape->n_nodes ? count_outside(tape, last) : 1) + n, capacity = 8;
    while (capacity < 2 * outside)
        capacity *= 2;
    sweep s = {.tape = tape, .flags = flags, .n_slots = slots_in_use(tape), .mask = capacity - 1};
    size_t slots = s.n_slots * sizeof *s.slots, leaves = capacity * sizeof *s.leaves, reach = wrt ? tape->n_nodes + 1 : 0;
    tg_storage *block;
    char *p = zeroed(tape, slots + leaves + reach, &block);
    if (!p)
        return tape->status;
    s.slots = (edge *)(void *)p;
    s.leaves = (leaf_edge *)(void *)(p + slots);
    s.reach = wrt ? (bool *)(p + slots + leaves) : NULL;
    tg_status status = start(&s, y, gy, wrt, n);
    if (status == TG_OK && wrt) {
        hand_over(&s, wrt, n, out);
        status = missing(tape, out, n, flags);
    } else if (status == TG_OK) {
        status = deliver(&s);
    }
    drop_edges(&s);
    tg_storage_unref(block);
    return status;
}

static tg_status differentiate(tg_tape *tape, const char *what, tg_tensor *y, tg_tensor *gy, tg_tensor *const wrt[], size_t n,
                               tg_tensor *out[], unsigned flags)
{
    if (tape->status)
        return tape->status;
    if (flags & TG_CREATE_GRAPH)
        flags |= TG_RETAIN;
    bool recording = tg_tape_set_recording(tape, (flags & TG_CREATE_GRAPH) != 0);
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tg_value *root;
    tg_status status = check_root(tape, y, &gy, what, &root);
    if (status == TG_OK)
        status = run_sweep(tape, root, gy, wrt, n, out, flags);
    tg_scope_leave(tape, &scope, out, status == TG_OK ? n : 0);
    for (size_t i = 0; status && i < n; i++)
        out[i] = NULL;
    tg_tape_set_recording(tape, recording);
    return status;
}

tg_status tg_backward_with(tg_tape *tape, tg_tensor *y, tg_tensor *gy, unsigned flags)
{
    if (flags & ~(unsigned)TG_RETAIN)
        return tg_fail(tape, TG_EINVAL, "tg_backward: takes TG_RETAIN alone; gradients to be differentiated come from tg_grad");
    return differentiate(tape, "tg_backward", y, gy, NULL, 0, NULL, flags);
}

tg_status tg_backward(tg_tape *tape, tg_tensor *loss)
{
    return tg_backward_with(tape, loss, NULL, 0);
}

tg_status tg_grad(tg_tape *tape, tg_tensor *y, tg_tensor *gy, tg_tensor *const wrt[], size_t n, tg_tensor *out[],
                  unsigned flags)
{
    for (size_t i = 0; i < n; i++)
        out[i] = NULL;
    if (tape->status)
        return tape->status;
    if (!n)
        return tg_fail(tape, TG_EINVAL, "tg_grad: no inputs to differentiate by");
    for (size_t i = 0; i < n; i++) {
        tg_value *v;
        tg_status status = tg_check_tensor(tape, wrt[i], "tg_grad", "an input to differentiate by", &v);
        if (status)
            return status;
        if (!(v->flags & TG_V_REQUIRES_GRAD))
            return tg_fail(tape, TG_EINVAL, "tg_grad: input %zu wants no gradient", i);
    }
    return differentiate(tape, "tg_grad", y, gy, wrt, n, out, flags);
}
