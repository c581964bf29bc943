/* What a program wants to see of a module's calls. Backward hooks stand between two nodes that pass gradients on: one
 * behind the module's outputs, one before its inputs. */
#include <string.h>

#include <tapegrad/hooks.h>

#include "layers/internal.h"

enum hook_kind { FORWARD_PRE, FORWARD, BACKWARD_PRE, BACKWARD };

typedef struct tg_module_hook {
    enum hook_kind kind;
    union {
        tg_forward_pre_hook forward_pre;
        tg_forward_hook forward;
        tg_backward_pre_hook backward_pre;
        tg_backward_hook backward;
    } fn;
    void *arg;
    tg_hook id;
} tg_module_hook;

static tg_hook add(const char *what, tg_module *m, tg_module_hook hook, bool given)
{
    if (!m || !given) {
        tg_null(NULL, what, m ? "the function" : "the module");
        return 0;
    }
    if (tg_grow(&m->rt->allocator, &m->hooks, &m->hook_capacity, m->n_hooks + 1, sizeof *m->hooks))
        return 0;
    mtx_lock(&m->rt->lock);
    hook.id = ++m->rt->last_hook;
    mtx_unlock(&m->rt->lock);
    m->hooks[m->n_hooks++] = hook;
    return hook.id;
}

tg_hook tg_module_register_forward_pre_hook(tg_module *module, tg_forward_pre_hook fn, void *arg)
{
    return add("tg_module_register_forward_pre_hook", module,
               (tg_module_hook){.kind = FORWARD_PRE, .fn.forward_pre = fn, .arg = arg}, fn != NULL);
}

tg_hook tg_module_register_forward_hook(tg_module *module, tg_forward_hook fn, void *arg)
{
    return add("tg_module_register_forward_hook", module,
               (tg_module_hook){.kind = FORWARD, .fn.forward = fn, .arg = arg}, fn != NULL);
}

tg_hook tg_module_register_full_backward_pre_hook(tg_module *module, tg_backward_pre_hook fn, void *arg)
{
    return add("tg_module_register_full_backward_pre_hook", module,
               (tg_module_hook){.kind = BACKWARD_PRE, .fn.backward_pre = fn, .arg = arg}, fn != NULL);
}

tg_hook tg_module_register_full_backward_hook(tg_module *module, tg_backward_hook fn, void *arg)
{
    return add("tg_module_register_full_backward_hook", module,
               (tg_module_hook){.kind = BACKWARD, .fn.backward = fn, .arg = arg}, fn != NULL);
}

void tg_module_remove_hook(tg_module *module, tg_hook hook)
{
    size_t kept = 0;
    for (size_t i = 0; module && i < module->n_hooks; i++)
        if (module->hooks[i].id != hook)
            module->hooks[kept++] = module->hooks[i];
    if (module)
        module->n_hooks = kept;
}

/* The module's next hook of a kind: a hook may register and remove others. */
static bool next_hook(const tg_module *m, enum hook_kind kind, tg_module_hook *hook)
{
    for (size_t i = 0; i < m->n_hooks; i++)
        if (m->hooks[i].kind == kind && m->hooks[i].id > hook->id) {
            *hook = m->hooks[i];
            return true;
        }
    return false;
}

static bool has_backward_hooks(const tg_module *m)
{
    return next_hook(m, BACKWARD_PRE, &(tg_module_hook){0}) || next_hook(m, BACKWARD, &(tg_module_hook){0});
}

/* -- the two nodes --------------------------------------------------------------------------------------- */

/* One call. The nodes pass only those tensors that want a gradient; `of` says which those are. */
typedef struct call {
    tg_module *module;
    tg_tensor *gy[TG_LAYER_MAX_ARGS]; /* held from the outputs' rule to the inputs' */
    uint8_t in_of[TG_LAYER_MAX_ARGS], out_of[TG_LAYER_MAX_ARGS];
    uint32_t n_in, n_out; /* that want a gradient */
} call;

static void let_gy_go(call *c)
{
    for (size_t o = 0; o < TG_LAYER_MAX_ARGS; o++) {
        tg_value *v = c->gy[o] ? tg_resolve(c->gy[o]) : NULL;
        if (v)
            tg_value_release(v);
        c->gy[o] = NULL;
    }
}

static tg_status run_backward_hooks(tg_tape *tape, call *c, tg_tensor *gx[])
{
    const tg_layer_class *cls = c->module->cls;
    tg_module_hook hook = {0};
    tg_status status = TG_OK;
    while (status == TG_OK && next_hook(c->module, BACKWARD, &hook)) {
        const uint64_t before = tg_failures();
        status = hook.fn.backward(hook.arg, c->module, tape, gx, cls->n_in, c->gy, cls->n_out);
        status = tg_returned(tape, before, status, "a backward hook of %s", cls->name);
    }
    let_gy_go(c);
    return status;
}

static tg_status outputs_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    call *c = (call *)(uintptr_t)node->attrs; /* in the arena: ours to write */
    tg_tensor *all[TG_LAYER_MAX_ARGS] = {NULL};
    tg_module_hook hook = {0};
    tg_status status = TG_OK;
    for (uint32_t o = 0; o < c->n_out; o++)
        all[c->out_of[o]] = gy[o];
    while (status == TG_OK && next_hook(c->module, BACKWARD_PRE, &hook)) {
        const uint64_t before = tg_failures();
        status = hook.fn.backward_pre(hook.arg, c->module, tape, all, c->module->cls->n_out);
        status = tg_returned(tape, before, status, "a backward pre-hook of %s", c->module->cls->name);
    }
    if (status)
        return status;
    let_gy_go(c);
    for (uint32_t o = 0; o < c->n_out; o++) {
        tg_tensor *g = gx[o] = all[c->out_of[o]];
        tg_value *v = g ? tg_resolve(g) : NULL;
        if (v)
            tg_value_hold(v);
        c->gy[c->out_of[o]] = v ? g : NULL;
    }
    tg_tensor *none[TG_LAYER_MAX_ARGS] = {NULL};
    return c->n_in ? TG_OK : run_backward_hooks(tape, c, none);
}

static tg_status inputs_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    call *c = (call *)(uintptr_t)node->attrs;
    tg_tensor *all[TG_LAYER_MAX_ARGS] = {NULL};
    for (uint32_t i = 0; i < c->n_in; i++)
        all[c->in_of[i]] = gy[i];
    tg_status status = run_backward_hooks(tape, c, all);
    for (uint32_t i = 0; i < c->n_in; i++)
        gx[i] = all[c->in_of[i]];
    return status;
}

static const tg_operator outputs_row = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "module_outputs",
    .n_in = TG_OP_VARIADIC,
    .vjp = outputs_vjp,
    .doc = "a module's outputs pass by its backward hooks",
};
static const tg_operator inputs_row = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "module_inputs",
    .n_in = TG_OP_VARIADIC,
    .vjp = inputs_vjp,
    .doc = "a module's inputs pass by its backward hooks",
};

/* Replaces those that want a gradient by the outputs of a node over the same storages. */
static tg_status pass_through(tg_tape *tape, const tg_operator *row, call *c, tg_tensor *t[], size_t n, uint8_t *of,
                              uint32_t *n_of)
{
    tg_tensor *from[TG_LAYER_MAX_ARGS], *to[TG_LAYER_MAX_ARGS];
    *n_of = 0;
    for (size_t i = 0; i < n; i++) {
        tg_value *v = t[i] ? tg_resolve(t[i]) : NULL;
        if (!v || !v->storage || !(v->flags & TG_V_REQUIRES_GRAD))
            continue;
        tg_value *alias = tg_value_alias(tape, v);
        if (!alias)
            return tg_fail_again(tape, TG_ENOMEM);
        from[*n_of] = t[i];
        to[*n_of] = t[i] = tg_handle(alias);
        of[(*n_of)++] = (uint8_t)i;
    }
    if (!*n_of)
        return TG_OK;
    tg_node *node = tg_node_new(tape, row, from, *n_of, to, *n_of, 0);
    if (!node)
        return tg_fail_again(tape, TG_ENOMEM);
    node->attrs = c;
    tg_node_commit(tape, node);
    return TG_OK;
}

/* -- the call -------------------------------------------------------------------------------------------- */

static tg_status run_pre_hooks(tg_module *m, tg_tape *tape, tg_tensor *in[])
{
    tg_module_hook hook = {0};
    tg_status status = TG_OK;
    while (status == TG_OK && next_hook(m, FORWARD_PRE, &hook)) {
        const uint64_t before = tg_failures();
        status = hook.fn.forward_pre(hook.arg, m, tape, in, m->cls->n_in);
        status = tg_returned(tape, before, status, "a forward pre-hook of %s", m->cls->name);
    }
    for (size_t i = 0; i < m->cls->n_in && status == TG_OK; i++) {
        tg_value *v;
        if (in[i] || !(m->cls->optional & TG_OP_IN(i)))
            status = tg_check_tensor(tape, in[i], m->cls->name, "an input that a hook gave", &v);
    }
    return status;
}

tg_status tg_module_call_hooked(tg_module *m, tg_tape *tape, const tg_scope *scope, tg_tensor *const in[],
                                tg_tensor *out[])
{
    tg_tensor *all[TG_LAYER_MAX_ARGS];
    memcpy(all, in, m->cls->n_in * sizeof *all);
    tg_status status = run_pre_hooks(m, tape, all);
    call *c = NULL;
    if (status == TG_OK && tape->recording && has_backward_hooks(m)) {
        if (!(c = tg_arena_get(&tape->arena, sizeof *c)))
            return tg_fail_again(tape, TG_ENOMEM);
        *c = (call){.module = m};
        status = pass_through(tape, &inputs_row, c, all, m->cls->n_in, c->in_of, &c->n_in);
    }
    if (status == TG_OK)
        status = tg_module_call(m, tape, scope, all, out);
    if (status == TG_OK)
        status = tape->status;
    tg_module_hook hook = {0};
    while (status == TG_OK && next_hook(m, FORWARD, &hook)) {
        const uint64_t before = tg_failures();
        status = hook.fn.forward(hook.arg, m, tape, all, m->cls->n_in, out, m->cls->n_out);
        status = tg_returned(tape, before, status, "a forward hook of %s", m->cls->name);
    }
    if (status == TG_OK && c)
        status = pass_through(tape, &outputs_row, c, out, m->cls->n_out, c->out_of, &c->n_out);
    return status;
}
