/* The reverse sweep. It knows no operator: a node's row has the rule. */
#include "autograd/sweep.h"
#include "autograd/watch.h"

edge *tg_sweep_edge(sweep *s, tg_value *v)
{
    if (tg_sweep_owns(s, v))
        return &s->slots[v->slot];
    leaf_edge *e = tg_sweep_leaf(s, v);
    s->n_leaves += !e->leaf;
    e->leaf = v;
    return &e->edge;
}

bool tg_sweep_leads(sweep *s, const tg_value *v)
{
    if (!tg_sweep_owns(s, v))
        return tg_sweep_leaf(s, v)->edge.asked;
    return s->slots[v->slot].asked || (v->node != TG_NO_NODE && s->reach[v->node]);
}

/* The gradient in the input's own shape: what broadcasting spread is summed, here and nowhere else. NULL: failed. */
static tg_value *fit(tg_tape *tape, const tg_node *node, uint32_t i, const tg_value *in, tg_tensor *gx)
{
    tg_value *g = tg_resolve(gx);
    if (!g || !g->storage) {
        tg_fail(tape, TG_ESTALE, "the rule of %s gave a stale gradient for input %u", node->op->name, i);
        return NULL;
    }
    if (g->desc == in->desc)
        return g;
    const bool one_dtype = g->desc->dtype == in->desc->dtype;
    if (!one_dtype || !tg_desc_spreads(in->desc, g->desc)) {
        char text[128], other[128];
        tg_fail(tape, one_dtype ? TG_ESHAPE : TG_EDTYPE, "the rule of %s gave a gradient %s for input %u, which is %s",
                node->op->name, tg_desc_format(g->desc, text, sizeof text), i,
                tg_desc_format(in->desc, other, sizeof other));
        return NULL;
    }
    if (!tg_desc_same_dims(g->desc, in->desc))
        gx = tg_sum_to_size(tape, gx, in->desc->dim, (size_t)in->desc->ndim);
    return gx ? tg_resolve(gx) : NULL;
}

/* May the gradient be added to in place? It is a sum of ours, or nobody else holds it or shares its memory. */
static bool is_ours(const sweep *s, const edge *e)
{
    const tg_value *g = e->grad;
    if (!g || s->flags & TG_CREATE_GRAPH)
        return false;
    return e->owned || (tg_sweep_owns(s, g) && g->refs == 1 && g->storage->refs == 1 &&
                        g->storage->pool == s->tape->pool && g->flags & (TG_V_DENSE | TG_V_BLOCKED));
}

tg_tensor *tg_gradient_so_far(const tg_tape *tape, const tg_node *node, size_t i)
{
    const sweep *s = tape->sweep;
    /* Who looks on sees what the rule gives. */
    if (!s || tape->watch & TG_WATCH_ANOMALY || tape->observer.rule_ran)
        return NULL;
    const tg_value *v = tg_resolve(node->in[i]);
    const edge *e = tg_sweep_owns(s, v) ? &s->slots[v->slot] : &tg_sweep_leaf(s, v)->edge;
    return is_ours(s, e) && e->grad->flags & TG_V_DENSE ? tg_handle(e->grad) : NULL;
}

tg_status tg_sweep_add(sweep *s, tg_value *target, tg_value *g)
{
    tg_tape *tape = s->tape;
    edge *e = tg_sweep_edge(s, target);
    if (!e->grad) {
        e->grad = g;
        e->owned = false;
        s->leaf_on_tape |= (target->flags & TG_V_LEAF) && target->home->tape;
        tg_value_hold(g);
        return TG_OK;
    }
    if (is_ours(s, e) && (e->owned || tg_desc_equal(e->grad->desc, g->desc)))
        return tg_apply(tape, tape->rt->rows.add_, (tg_tensor *[]){tg_handle(e->grad), tg_handle(g)}, 2, NULL,
                        NULL, NULL);
    tg_tensor *sum = tg_add(tape, tg_handle(e->grad), tg_handle(g));
    if (!sum)
        return tape->status;
    tg_value_release(e->grad);
    e->grad = tg_resolve(sum);
    tg_value_hold(e->grad);
    e->owned = true;
    return TG_OK;
}

static tg_status run_rule(sweep *s, tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_tape *tape = s->tape;
    const tg_node *outer = tape->rule_of;
    tg_mode mode = tape->mode;
    tape->rule_of = node;
    tape->mode = (tg_mode)node->mode;
    tg_watched_rule watched;
    const bool watch = tape->watch;
    if (watch)
        tg_watch_rule_enter(tape, &watched);
    const uint64_t before = tg_failures();
    tg_status status = tg_node_check_versions(tape, node);
    if (tape->observer.rule)
        tape->observer.rule(tape->observer.arg, tape, node);
    if (status == TG_OK)
        status = node->op->vjp ? node->op->vjp(tape, node, gy, gx)
                               : tg_fail(tape, TG_ENODERIV, "%s has no derivative", node->op->name);
    if (status == TG_OK && tape->observer.rule_ran)
        tape->observer.rule_ran(tape->observer.arg, tape, node, gx);
    if (watch)
        status = tg_watch_rule_leave(tape, &watched, node, gy, gx, status);
    tape->rule_of = outer;
    tape->mode = mode;
    return tg_returned(tape, before, status, "the rule of %s", node->op->name);
}

/* What came back to the node's outputs, which are all on the tape: nothing? */
static bool take_gradients(const sweep *s, const tg_node *node, tg_tensor *gy[])
{
    bool any = false;
    for (uint32_t o = 0; o < node->n_out; o++) {
        const tg_value *g = s->slots[tg_handle_slot(node->out[o])].grad;
        gy[o] = g ? tg_handle(g) : NULL;
        any |= g != NULL;
    }
    return any && (!s->reach || s->reach[node->index]);
}

/* A gradient whose node has been visited is of no more use, unless somebody asked for it. */
static void let_go(sweep *s, const tg_node *node)
{
    for (uint32_t o = 0; o < node->n_out; o++) {
        edge *e = &s->slots[tg_handle_slot(node->out[o])];
        if (e->grad && !e->asked) {
            tg_value_release(e->grad);
            e->grad = NULL;
        }
    }
}

static tg_status hand_on(sweep *s, tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_tape *tape = s->tape;
    for (uint32_t i = 0; i < node->n_in; i++)
        gx[i] = NULL;
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tg_status status = run_rule(s, node, gy, gx);
    for (uint32_t i = 0; i < node->n_in && status == TG_OK; i++) {
        tg_value *in = gx[i] && node->needs[i] ? tg_resolve(node->in[i]) : NULL;
        if (!in || (s->reach && !tg_sweep_leads(s, in)))
            continue;
        tg_value *g = fit(tape, node, i, in, gx[i]);
        status = g ? tg_sweep_add(s, in, g) : tape->status;
    }
    tg_scope_leave(tape, &scope, NULL, 0);
    return status;
}

/* The gradients of the node's outputs are complete. */
static tg_status hooked(sweep *s, const tg_node *node, tg_tensor *gy[])
{
    for (uint32_t o = 0; o < node->n_out; o++) {
        tg_value *v = gy[o] ? tg_resolve(node->out[o]) : NULL;
        if (!v || !(v->flags & TG_V_HOOKED))
            continue;
        tg_status status = tg_sweep_hooks(s, v);
        if (status)
            return status;
        gy[o] = tg_handle(s->slots[v->slot].grad);
    }
    return TG_OK;
}

static tg_status visit(sweep *s, tg_node *node)
{
    tg_tape *tape = s->tape;
    tg_tensor *gy_here[16], *gx_here[16];
    tg_tensor **gy = gy_here, **gx = gx_here;
    if (node->n_out > 16 && !(gy = tg_arena_get(&tape->arena, node->n_out * sizeof *gy)))
        return tg_fail_again(tape, TG_ENOMEM);
    if (!take_gradients(s, node, gy))
        return TG_OK;
    if (node->released)
        return tg_fail(tape, TG_ESTATE,
                       "backward a second time through %s (recorded at %s:%d), whose saved values an earlier "
                       "backward gave back: pass TG_RETAIN to the first",
                       node->op->name, node->file ? node->file : "?", node->line);
    if (tape->hooks.n && hooked(s, node, gy))
        return tape->status;
    if (node->n_in > 16 && !(gx = tg_arena_get(&tape->arena, node->n_in * sizeof *gx)))
        return tg_fail_again(tape, TG_ENOMEM);
    tg_status status = tg_sweep_reserve(s, node->n_in);
    if (status == TG_OK)
        status = hand_on(s, node, gy, gx);
    if (status == TG_OK && !(s->flags & TG_RETAIN))
        tg_node_release(tape, node);
    return status;
}

tg_status tg_sweep_walk(sweep *s, uint32_t from)
{
    enum { PILE = 64 }; /* dead gradients, before their slots are used again */
    tg_tape *tape = s->tape;
    size_t first = tape->n_values, limit = first + PILE;
    for (uint32_t i = from + 1; i-- > s->first;) {
        tg_node *node = tape->nodes[i];
        tg_status status = visit(s, node);
        if (status == TG_OK && s->leaf_hooks)
            status = tg_sweep_leaves_of(s, node);
        if (status)
            return status;
        let_go(s, node);
        if (tape->n_values > limit) {
            tg_values_compact(tape, first);
            limit = tape->n_values + (tape->n_values - first) + PILE;
        }
    }
    return TG_OK;
}
