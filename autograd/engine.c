/* The reverse sweep. It knows no operator: a node's row has the rule. */
#include "autograd/sweep.h"
#include "autograd/watch.h"

#include <string.h>

edge *tg_sweep_edge(sweep *s, tg_value *v)
{
    if (tg_sweep_owns(s, v))
        return &s->slots[v->slot];
    size_t i = ((uintptr_t)v >> 5) * 0x9e3779b97f4a7c15u >> 32 & s->mask;
    while (s->leaves[i].leaf && s->leaves[i].leaf != v)
        i = (i + 1) & s->mask;
    s->leaves[i].leaf = v;
    return &s->leaves[i].edge;
}

/* The gradient in the input's own shape: what broadcasting spread is summed, here and nowhere else. */
static tg_value *fit(tg_tape *tape, const tg_node *node, uint32_t i, tg_tensor *gx)
{
    const tg_value *in = tg_resolve(node->in[i]);
    tg_value *g = tg_resolve(gx);
    if (!g || !g->storage) {
        tg_fail(tape, TG_ESTALE, "the rule of %s gave a stale gradient for input %u", node->op->name, i);
        return NULL;
    }
    if (!tg_desc_same_dims(g->desc, in->desc)) {
        gx = tg_sum_to_size(tape, gx, in->desc->dim, (size_t)in->desc->ndim);
        g = gx ? tg_resolve(gx) : NULL;
    }
    if (g && g->desc->dtype != in->desc->dtype) {
        tg_fail(tape, TG_EDTYPE, "the rule of %s gave a gradient of dtype %s for input %u of dtype %s",
                node->op->name, tg_dtype_name(g->desc->dtype), i, tg_dtype_name(in->desc->dtype));
        return NULL;
    }
    return g;
}

tg_status tg_sweep_add(sweep *s, tg_value *target, tg_value *g)
{
    tg_tape *tape = s->tape;
    edge *e = tg_sweep_edge(s, target);
    if (!e->grad) {
        e->grad = g;
        e->owned = false;
        tg_value_hold(g);
        return TG_OK;
    }
    if (e->owned && !(s->flags & TG_CREATE_GRAPH))
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

bool tg_sweep_wants(sweep *s, const tg_node *node, uint32_t i)
{
    if (!node->needs[i])
        return false;
    tg_value *v = tg_resolve(node->in[i]);
    if (!s->reach || !v)
        return v != NULL;
    return tg_sweep_edge(s, v)->asked || (tg_sweep_owns(s, v) && v->node != TG_NO_NODE && s->reach[v->node]);
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
                       "backward a second time through %s (recorded at %s:%d), whose saved values an earlier "
                       "backward gave "
                       "back: pass TG_RETAIN to the first",
                       node->op->name, node->file ? node->file : "?", node->line);
    memset(gx, 0, node->n_in * sizeof *gx);
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tg_status status = run_rule(s, node, gy, gx);
    for (uint32_t i = 0; i < node->n_in && status == TG_OK; i++) {
        if (!gx[i] || !tg_sweep_wants(s, node, i))
            continue;
        tg_value *g = fit(tape, node, i, gx[i]);
        status = g ? tg_sweep_add(s, tg_resolve(node->in[i]), g) : tape->status;
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

tg_status tg_sweep_walk(sweep *s, uint32_t from)
{
    tg_tape *tape = s->tape;
    size_t first = tape->n_values, limit = first + 1024;
    for (uint32_t i = from + 1; i-- > s->first;) {
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
