/* tg_backward and tg_grad: what a sweep starts from and what it hands over. */
#include "autograd/sweep.h"

#include <string.h>

static tg_status check_root(tg_tape *tape, tg_tensor *y, tg_tensor **gy, const char *what, tg_value **out)
{
    tg_status status = tg_check_tensor(tape, y, what, "the value to differentiate", out);
    if (status)
        return status;
    char text[128], other[128];
    const tg_desc *d = (*out)->desc;
    if (!((*out)->flags & TG_V_REQUIRES_GRAD) || !tg_dtype_is_float(d->dtype))
        return tg_fail(tape, TG_EINVAL,
                       "%s: %s does not depend on anything that wants a gradient (or was made while nothing "
                       "was recorded, or from a gradient without TG_CREATE_GRAPH)",
                       what, tg_desc_format(d, text, sizeof text));
    if (*gy) {
        tg_value *g;
        status = tg_check_tensor(tape, *gy, what, "gy", &g);
        if (status)
            return status;
        if (!tg_desc_same_dims(g->desc, d) || g->desc->dtype != d->dtype)
            return tg_fail(tape, TG_ESHAPE, "%s: gy must be as the value, %s, but is %s", what,
                           tg_desc_format(d, text, sizeof text),
                           tg_desc_format(g->desc, other, sizeof other));
        return TG_OK;
    }
    if (tg_desc_count(d) != 1)
        return tg_fail(tape, TG_ESHAPE, "%s: a value of one element is differentiated without gy, not %s",
                       what, tg_desc_format(d, text, sizeof text));
    *gy = tg_ones_like(tape, y);
    return *gy ? TG_OK : tape->status;
}

/* Nodes that depend on one of `wrt`. */
static void mark_wanted(sweep *s, uint32_t end, tg_tensor *const wrt[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        tg_sweep_edge(s, tg_resolve(wrt[i]))->asked = true;
    for (uint32_t k = s->first; k < end; k++) {
        const tg_node *node = s->tape->nodes[k];
        for (uint32_t i = 0; i < node->n_in && !s->reach[k]; i++) {
            const tg_value *v = node->needs[i] ? tg_resolve(node->in[i]) : NULL;
            s->reach[k] = v && tg_sweep_leads(s, v);
        }
    }
}

void *tg_sweep_block(tg_tape *tape, size_t size, tg_storage **out)
{
    unsigned kind = tg_pool_kind(tape->pool, TG_MEMORY_SCRATCH);
    *out = tg_pool_get(tape->pool, size);
    tg_pool_kind(tape->pool, kind);
    if (!*out) {
        tg_fail_again(tape, TG_ENOMEM);
        return NULL;
    }
    void *data = tape->planning ? tg_arena_get(&tape->arena, size + 1) : (*out)->data;
    if (!data)
        tg_fail_again(tape, TG_ENOMEM);
    return data ? memset(data, 0, size) : NULL;
}

bool tg_sweep_wants(sweep *s, const tg_node *node, uint32_t i)
{
    const tg_value *v = node->needs[i] ? tg_resolve(node->in[i]) : NULL;
    return v && (!s->reach || tg_sweep_leads(s, v));
}

tg_status tg_sweep_grow(sweep *s, size_t n)
{
    size_t n_old = s->leaves ? s->mask + 1 : 0, capacity = 16;
    while (capacity <= 2 * (s->n_leaves + n) || capacity <= n_old)
        capacity *= 2;
    const leaf_edge *old = s->leaves;
    tg_storage *block;
    leaf_edge *leaves = tg_sweep_block(s->tape, capacity * sizeof *leaves, &block);
    if (!leaves)
        return s->tape->status;
    s->leaves = leaves;
    s->mask = capacity - 1;
    for (size_t i = 0; i < n_old; i++)
        if (old[i].leaf)
            *tg_sweep_leaf(s, old[i].leaf) = old[i];
    tg_pool_put(s->tape->pool, s->leaves_block);
    s->leaves_block = block;
    return TG_OK;
}

static tg_status hand_over(sweep *s, tg_tensor *const wrt[], size_t n, tg_tensor *out[])
{
    for (size_t i = 0; i < n; i++) {
        tg_value *v = tg_resolve(wrt[i]);
        if (v->flags & TG_V_HOOKED && tg_sweep_hooks(s, v))
            return s->tape->status;
        const edge *e = tg_sweep_edge(s, v);
        out[i] = e->grad ? tg_handle(e->grad) : NULL;
        if (e->grad && !(e->grad->flags & (TG_V_HELD | TG_V_PERSISTENT))) {
            e->grad->flags |= TG_V_HELD;
            tg_value_hold(e->grad);
        }
    }
    return TG_OK;
}

static tg_status missing(tg_tape *tape, tg_tensor *const out[], size_t n, unsigned flags)
{
    for (size_t i = 0; i < n && !(flags & TG_ALLOW_UNUSED); i++)
        if (!out[i])
            return tg_fail(
                tape, TG_EINVAL,
                "tg_grad: the value does not depend on input %zu; pass TG_ALLOW_UNUSED to get NULL", i);
    return TG_OK;
}

/* Of a whole sweep for leaves outside the tape, nothing is left on it. */
static void drop_edges(sweep *s, bool whole)
{
    for (uint32_t i = 0; i < s->n_slots && (!whole || s->leaf_on_tape); i++)
        if (s->slots[i].grad)
            tg_value_release(s->slots[i].grad);
    for (size_t i = 0; i <= s->mask; i++)
        if (s->leaves[i].edge.grad)
            tg_value_release(s->leaves[i].edge.grad);
    tg_pool_put(s->tape->pool, s->leaves_block);
}

static bool stands_in(tg_tensor *const t[], size_t n, const tg_tensor *x)
{
    for (size_t i = 0; i < n; i++)
        if (t[i] == x)
            return true;
    return false;
}

/* Past the node that made y. */
static uint32_t end_of(const tg_value *y)
{
    return y->node == TG_NO_NODE ? 0 : y->node + 1;
}

/* What a sweep starts from. */
typedef struct roots {
    tg_tensor *const *y, *const *gy; /* one without a gy is passed over */
    size_t n;
    uint32_t end; /* past the node that made the last of them */
} roots;

static tg_status start(sweep *s, const roots *r, tg_tensor *const wrt[], size_t n)
{
    tg_status status = TG_OK;
    if (wrt)
        mark_wanted(s, r->end, wrt, n);
    for (size_t i = 0; i < n && s->outer; i++) { /* a sum goes on where it was */
        tg_value *v = tg_resolve(wrt[i]);
        edge *from = tg_sweep_edge(s->outer, v), *to = tg_sweep_edge(s, v);
        to->grad = from->grad;
        to->owned = from->owned;
        from->grad = NULL;
    }
    for (size_t i = 0; i < r->n && status == TG_OK; i++)
        if (r->gy[i])
            status = tg_sweep_add(s, tg_resolve(r->y[i]), tg_resolve(r->gy[i]));
    return status == TG_OK && r->end > s->first ? tg_sweep_walk(s, r->end - 1) : status;
}

static void give_back(sweep *s, tg_tensor *const wrt[], size_t n)
{
    s->outer->leaf_on_tape |= s->leaf_on_tape;
    for (size_t i = 0; i < n; i++) {
        tg_value *v = tg_resolve(wrt[i]);
        edge *from = tg_sweep_edge(s, v), *to = tg_sweep_edge(s->outer, v);
        to->grad = from->grad;
        to->owned = from->owned;
        from->grad = NULL;
    }
}

static tg_status run_sweep(tg_tape *tape, uint32_t first, const roots *r, tg_tensor *const wrt[], size_t n,
                           tg_tensor *out[], unsigned flags, sweep *outer)
{
    sweep s = {.tape = tape, .flags = flags, .first = first, .n_slots = tape->home.n_fresh, .outer = outer};
    size_t slots = s.n_slots * sizeof *s.slots, reach = wrt ? tape->n_nodes + 1 : 0;
    tg_storage *block;
    char *p = tg_sweep_block(tape, slots + reach, &block);
    if (!p || tg_sweep_reserve(&s, r->n + n)) {
        tg_pool_put(tape->pool, block);
        return tape->status;
    }
    s.slots = (edge *)(void *)p;
    s.reach = wrt ? (bool *)(p + slots) : NULL;
    sweep *around = tape->sweep;
    tape->sweep = &s;
    tg_status status = outer ? TG_OK : tg_sweep_watch_leaves(&s, r->end);
    if (status == TG_OK)
        status = start(&s, r, wrt, n);
    tape->sweep = around;
    if (outer) {
        give_back(&s, wrt, n);
    } else if (status == TG_OK && wrt) {
        status = hand_over(&s, wrt, n, out);
        if (status == TG_OK)
            status = missing(tape, out, n, flags);
    } else if (status == TG_OK) {
        status = tg_sweep_deliver(&s);
    }
    drop_edges(&s, status == TG_OK && !wrt);
    tg_pool_put(tape->pool, block);
    return status;
}

static tg_status check_roots(tg_tape *tape, const char *what, tg_tensor *const y[], tg_tensor *const gy[],
                             size_t n, roots *r)
{
    tg_tensor **all = tg_arena_get(&tape->arena, (n + 1) * sizeof *all);
    if (!all)
        return tg_fail_again(tape, TG_ENOMEM);
    *r = (roots){.y = y, .gy = all, .n = n};
    tg_status status = TG_OK;
    for (size_t i = 0; i < n && status == TG_OK; i++) {
        tg_value *v;
        all[i] = gy ? gy[i] : NULL;
        status = check_root(tape, y[i], &all[i], what, &v);
        if (status == TG_OK && end_of(v) > r->end)
            r->end = end_of(v);
    }
    return status;
}

static tg_status differentiate(tg_tape *tape, const char *what, tg_tensor *const y[], tg_tensor *const gy[],
                               size_t n_y, tg_tensor *const wrt[], size_t n, tg_tensor *out[], unsigned flags)
{
    if (tape->status)
        return tape->status;
    if (flags & TG_CREATE_GRAPH)
        flags |= TG_RETAIN;
    bool recording = tg_tape_set_recording(tape, (flags & TG_CREATE_GRAPH) != 0);
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tape->sweep_depth++;
    unsigned kind = tg_pool_kind(tape->pool, TG_MEMORY_GRADIENTS);
    roots r;
    tg_status status = check_roots(tape, what, y, gy, n_y, &r);
    if (status == TG_OK)
        status = run_sweep(tape, 0, &r, wrt, n, out, flags, NULL);
    tg_pool_kind(tape->pool, kind);
    if (status)
        tg_scope_undo(tape, &scope);
    else
        tg_scope_leave(tape, &scope, out, n);
    for (size_t i = 0; status && i < n; i++)
        out[i] = NULL;
    tape->sweep_depth--;
    tg_tape_set_recording(tape, recording);
    return status;
}

static tg_status backward(tg_tape *tape, const char *what, tg_tensor *y, tg_tensor *gy, unsigned flags)
{
    if (!tape)
        return tg_null(NULL, what, "the tape");
    if (flags & ~(unsigned)TG_RETAIN)
        return tg_fail(
            tape, TG_EINVAL,
            "%s: takes TG_RETAIN alone, not flags %#x; gradients to be differentiated come from tg_grad", what, flags);
    return differentiate(tape, what, &y, &gy, 1, NULL, 0, NULL, flags);
}

tg_status tg_backward_with(tg_tape *tape, tg_tensor *y, tg_tensor *gy, unsigned flags)
{
    return backward(tape, "tg_backward_with", y, gy, flags);
}

tg_status tg_backward(tg_tape *tape, tg_tensor *loss)
{
    return backward(tape, "tg_backward", loss, NULL, 0);
}

tg_status tg_sweep_through(tg_tape *tape, size_t first, const tg_node *node, tg_tensor *const y[],
                           tg_tensor *const gy[], size_t n)
{
    sweep *outer = tape->sweep;
    tg_tensor **wrt = tg_arena_get(&tape->arena, (node->n_in + 2 * n) * sizeof *wrt);
    if (!wrt)
        return tg_fail_again(tape, TG_ENOMEM);
    tg_tensor **from = wrt + node->n_in, **with = from + n;
    roots r = {.y = from, .gy = with, .end = (uint32_t)first};
    size_t n_wrt = 0;
    for (uint32_t i = 0; i < node->n_in; i++)
        if (tg_sweep_wants(outer, node, i) && !stands_in(wrt, n_wrt, node->in[i]))
            wrt[n_wrt++] = node->in[i];
    for (size_t o = 0; o < n; o++) {
        const tg_value *v = gy[o] && y[o] ? tg_resolve(y[o]) : NULL;
        if (!v || !(v->flags & TG_V_REQUIRES_GRAD))
            continue;
        bool made = tg_sweep_owns(outer, v) && v->node != TG_NO_NODE && v->node >= first;
        if (!made && !stands_in(wrt, n_wrt, y[o]))
            continue;
        from[r.n] = y[o];
        with[r.n++] = gy[o];
        if (made && end_of(v) > r.end)
            r.end = end_of(v);
    }
    /* What is recorded here is read once, unless this sweep is recorded itself. */
    unsigned flags = outer->flags & TG_CREATE_GRAPH ? outer->flags : outer->flags & ~(unsigned)TG_RETAIN;
    return r.n && n_wrt ? run_sweep(tape, (uint32_t)first, &r, wrt, n_wrt, NULL, flags, outer) : TG_OK;
}

tg_status tg_check_flags(tg_tape *tape, const char *what, unsigned flags)
{
    if (flags & ~(unsigned)(TG_RETAIN | TG_CREATE_GRAPH | TG_ALLOW_UNUSED))
        return tg_fail(tape, TG_EINVAL,
                       "%s: flags %#x, expected some of TG_RETAIN, TG_CREATE_GRAPH and TG_ALLOW_UNUSED", what, flags);
    return TG_OK;
}

tg_status tg_grad_of(tg_tape *tape, const char *what, tg_tensor *const y[], tg_tensor *const gy[], size_t n_y,
                     tg_tensor *const wrt[], size_t n, tg_tensor *out[], unsigned flags)
{
    if (!tape || !wrt || !out)
        return tg_null(tape, what,
                       !tape  ? "the tape"
                       : !wrt ? "the array of inputs"
                              : "the array of gradients");
    for (size_t i = 0; i < n; i++)
        out[i] = NULL;
    if (tape->status)
        return tape->status;
    if (tg_check_flags(tape, what, flags))
        return tape->status;
    if (!n)
        return tg_fail(tape, TG_EINVAL, "%s: no inputs to differentiate by", what);
    for (size_t i = 0; i < n; i++) {
        tg_value *v;
        tg_status status = tg_check_tensor(tape, wrt[i], what, "an input to differentiate by", &v);
        if (status)
            return status;
        if (!(v->flags & TG_V_REQUIRES_GRAD))
            return tg_fail(tape, TG_EINVAL, "%s: input %zu wants no gradient", what, i);
    }
    return differentiate(tape, what, y, gy, n_y, wrt, n, out, flags);
}

tg_status tg_grad(tg_tape *tape, tg_tensor *y, tg_tensor *gy, tg_tensor *const wrt[], size_t n,
                  tg_tensor *out[], unsigned flags)
{
    return tg_grad_of(tape, "tg_grad", &y, &gy, 1, wrt, n, out, flags);
}
