/* Functions that wait for a tensor's gradient. A list for each home: the tape's is forgotten at its reset. */
#include <tapegrad/hooks.h>

#include "autograd/sweep.h"

static tg_hooks *hooks_of(const tg_value *v)
{
    return v->home->tape ? &v->home->tape->hooks : &v->home->rt->hooks;
}

/* Those of tensors that are gone make room. */
static void purge(tg_hooks *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->n; i++)
        if (tg_resolve(list->at[i].tensor))
            list->at[kept++] = list->at[i];
    list->n = kept;
}

static tg_hook add(const char *what, tg_tensor *tensor, tg_hook_entry entry)
{
    tg_value *v = tg_alive(tensor, what);
    if (!v)
        return 0;
    if (!entry.fn && !entry.accumulated) {
        tg_null(NULL, what, "the function");
        return 0;
    }
    if (!(v->flags & TG_V_REQUIRES_GRAD) || (entry.accumulated && !(v->flags & TG_V_LEAF))) {
        tg_fail(NULL, TG_ESTATE, "%s: the tensor %s", what,
                v->flags & TG_V_REQUIRES_GRAD ? "is no leaf" : "wants no gradient");
        return 0;
    }
    tg_runtime *rt = v->home->rt;
    tg_hooks *list = hooks_of(v);
    mtx_lock(&rt->lock);
    if (list->n == list->capacity)
        purge(list);
    tg_status status = tg_grow(&rt->allocator, &list->at, &list->capacity, list->n + 1, sizeof *list->at);
    if (!status) {
        entry.tensor = tensor;
        entry.id = ++rt->last_hook;
        list->at[list->n++] = entry;
        v->flags |= TG_V_HOOKED;
    }
    mtx_unlock(&rt->lock);
    return status ? 0 : entry.id;
}

tg_hook tg_tensor_register_hook(tg_tensor *tensor, tg_grad_hook fn, void *arg)
{
    return add("tg_tensor_register_hook", tensor, (tg_hook_entry){.fn = fn, .arg = arg});
}

tg_hook tg_tensor_register_post_accumulate_grad_hook(tg_tensor *leaf, tg_accumulated_hook fn, void *arg)
{
    return add("tg_tensor_register_post_accumulate_grad_hook", leaf,
               (tg_hook_entry){.accumulated = fn, .arg = arg});
}

void tg_tensor_remove_hook(tg_tensor *tensor, tg_hook hook)
{
    tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    if (!v || !(v->flags & TG_V_HOOKED))
        return;
    tg_hooks *list = hooks_of(v);
    bool others = false;
    size_t kept = 0;
    mtx_lock(&v->home->rt->lock);
    for (size_t i = 0; i < list->n; i++) {
        const tg_hook_entry e = list->at[i];
        if (e.tensor == tensor && e.id == hook)
            continue;
        others |= e.tensor == tensor;
        list->at[kept++] = e;
    }
    list->n = kept;
    if (!others)
        v->flags &= ~(uint32_t)TG_V_HOOKED;
    mtx_unlock(&v->home->rt->lock);
}

/* The tensor's next hook after `after`: a hook may register and remove others. */
static bool next_hook(const tg_value *v, uint64_t after, bool accumulated, tg_hook_entry *out)
{
    const tg_tensor *tensor = tg_handle(v);
    const tg_hooks *list = hooks_of(v);
    bool found = false;
    mtx_lock(&v->home->rt->lock);
    for (size_t i = 0; i < list->n && !found; i++) { /* ids rise */
        const tg_hook_entry *e = &list->at[i];
        found = e->tensor == tensor && e->id > after && (e->accumulated != NULL) == accumulated;
        if (found)
            *out = *e;
    }
    mtx_unlock(&v->home->rt->lock);
    return found;
}

static tg_status replace(tg_tape *tape, edge *e, tg_tensor *by)
{
    tg_value *g;
    tg_status status = tg_check_tensor(tape, by, "a gradient's hook", "what it returned", &g);
    if (status)
        return status;
    char text[128], other[128];
    const tg_desc *is = e->grad->desc;
    if (!tg_desc_same_dims(g->desc, is) || g->desc->dtype != is->dtype)
        return tg_fail(tape, TG_ESHAPE, "a gradient's hook returned %s for a gradient %s",
                       tg_desc_format(g->desc, text, sizeof text), tg_desc_format(is, other, sizeof other));
    tg_value_hold(g);
    tg_value_release(e->grad);
    e->grad = g;
    e->owned = false;
    return TG_OK;
}

tg_status tg_sweep_hooks(sweep *s, tg_value *v)
{
    tg_tape *tape = s->tape;
    edge *e = tg_sweep_edge(s, v);
    if (!e->grad || e->hooked)
        return TG_OK;
    e->hooked = true;
    edge mine = *e; /* a sweep in a hook may move the table of leaves */
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tg_status status = TG_OK;
    tg_hook_entry hook = {0};
    while (status == TG_OK && next_hook(v, hook.id, false, &hook)) {
        tg_value *g = mine.grad;
        bool lent = g->home->tape && !(g->flags & TG_V_HELD);
        if (lent) {
            g->flags |= TG_V_HELD;
            tg_value_hold(g);
        }
        tg_tensor *by = hook.fn(hook.arg, tape, tg_handle(g));
        status = tape->status;
        if (status == TG_OK && by && by != tg_handle(g))
            status = replace(tape, &mine, by);
        if (lent)
            tg_discard(tg_handle(g));
    }
    tg_scope_leave(tape, &scope, NULL, 0);
    *tg_sweep_edge(s, v) = mine;
    return status;
}

tg_status tg_hooks_accumulated(tg_tape *tape, tg_value *leaf)
{
    tg_hook_entry hook = {0};
    tg_status status = TG_OK;
    while (status == TG_OK && leaf->flags & TG_V_HOOKED && next_hook(leaf, hook.id, true, &hook)) {
        const uint64_t before = tg_failures();
        status = hook.accumulated(hook.arg, tape, tg_handle(leaf));
        status = tg_returned(tape, before, status, "a leaf's post-accumulate hook");
    }
    return status;
}

/* Leaves whose gradient somebody waits for: the node that is visited last of those that read them. */
tg_status tg_sweep_watch_leaves(sweep *s, uint32_t end)
{
    tg_tape *tape = s->tape;
    if (!tape->hooks.n && !tape->rt->hooks.n)
        return TG_OK;
    for (uint32_t k = s->first; k < end; k++) {
        const tg_node *node = tape->nodes[k];
        for (uint32_t i = 0; i < node->n_in; i++) {
            tg_value *v = node->needs[i] ? tg_resolve(node->in[i]) : NULL;
            if (!v || !(v->flags & TG_V_LEAF) || !(v->flags & TG_V_HOOKED))
                continue;
            if (tg_sweep_reserve(s, 1))
                return tape->status;
            edge *e = tg_sweep_edge(s, v);
            if (!e->last)
                e->last = k + 1;
            s->leaf_hooks = true;
        }
    }
    return TG_OK;
}

tg_status tg_sweep_leaves_of(sweep *s, const tg_node *node)
{
    tg_status status = TG_OK;
    for (uint32_t i = 0; i < node->n_in && status == TG_OK; i++) {
        tg_value *v = node->needs[i] ? tg_resolve(node->in[i]) : NULL;
        if (!v || !(v->flags & TG_V_LEAF) || !(v->flags & TG_V_HOOKED))
            continue;
        status = tg_sweep_reserve(s, 1);
        if (status == TG_OK && tg_sweep_edge(s, v)->last == node->index + 1)
            status = tg_sweep_hooks(s, v);
    }
    return status;
}
