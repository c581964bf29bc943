/* A layer that brings its own backward is one node. When the sweep is itself recorded, the layer is replayed
 * through operators instead, with the draws and the mode it had. */
#include "autograd/internal.h"

#include <string.h>

enum { MAX_OUT = 16, MAX_IN = 64 };

/* A NULL where no gradient arrived becomes zeros: a layer's backward need not ask. */
static tg_status fill_gy(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *full[])
{
    for (uint32_t o = 0; o < node->n_out; o++) {
        full[o] = gy[o] ? gy[o] : tg_zeros_like(tape, node->out[o]);
        if (!full[o])
            return tape->status;
    }
    return TG_OK;
}

static tg_status replay_forward(tg_tape *tape, const tg_node *node, size_t n_in, tg_tensor *out[])
{
    const tg_layer_class *cls = tg_module_class(node->layer);
    tg_random_state next = tape->next;
    bool replaying = tape->replaying;
    tape->next.draw = node->draw;
    tape->replaying = true;
    tg_status status = cls->forward[node->mode](node->layer, tape, node->in, n_in, out);
    tape->replaying = replaying;
    tape->next = next;
    return status ? tg_fail_again(tape, status) : tape->status;
}

/* A tensor that comes in twice gets its whole gradient once. */
static bool comes_again(const tg_node *node, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (node->in[k] == node->in[i])
            return true;
    return false;
}

/* The sweep ends where the replay began: how the layer's inputs depend on each other is not its business. */
static tg_status add_gradients(tg_tape *tape, const tg_node *node, size_t first, tg_tensor *out,
                               tg_tensor *gy, tg_tensor *gx[])
{
    tg_tensor *wrt[MAX_IN], *g[MAX_IN];
    uint32_t index[MAX_IN], n = 0;
    for (uint32_t i = 0; i < node->n_in; i++)
        if (node->needs[i] && !comes_again(node, i)) {
            index[n] = i;
            wrt[n++] = node->in[i];
        }
    tg_status status = tg_grad_since(tape, first, out, gy, wrt, n, g, TG_CREATE_GRAPH | TG_ALLOW_UNUSED);
    for (uint32_t k = 0; k < n && status == TG_OK; k++) {
        if (!g[k])
            continue;
        tg_tensor **sum = &gx[index[k]];
        *sum = *sum ? tg_add(tape, *sum, g[k]) : g[k];
        status = tape->status;
    }
    return status;
}

static tg_status replay(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    const tg_layer_class *cls = tg_module_class(node->layer);
    if (cls->flags & TG_LAYER_ONCE)
        return tg_fail(tape, TG_ENODERIV, "%s is once differentiable: its backward cannot be recorded",
                       cls->name);
    tg_tensor *out[MAX_OUT] = {0};
    size_t first = tape->n_nodes;
    tg_status status = replay_forward(tape, node, cls->n_in, out);
    for (uint32_t o = 0; o < node->n_out && status == TG_OK; o++) {
        const tg_value *v = gy[o] && out[o] ? tg_resolve(out[o]) : NULL;
        if (v && (v->flags & TG_V_REQUIRES_GRAD))
            status = add_gradients(tape, node, first, out[o], gy[o], gx);
    }
    return status;
}

static tg_status vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    if (tape->recording)
        return replay(tape, node, gy, gx);
    tg_tensor *full[MAX_OUT];
    tg_status status = fill_gy(tape, node, gy, full);
    if (status)
        return status;
    return tg_module_class(node->layer)->backward[node->mode](node->layer, tape, node, full, gx);
}

const tg_operator tg_layer_row = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "layer",
    .n_in = TG_OP_VARIADIC,
    .vjp = vjp,
    .doc = "a layer with a backward function of its own",
};

tg_status tg_record_layer(tg_tape *tape, tg_module *module, tg_tensor *const in[], size_t n_in,
                          tg_tensor *const out[], size_t n_out, uint64_t draw)
{
    bool wanted = false;
    for (size_t i = 0; i < n_in && !wanted; i++) {
        const tg_value *v = in[i] ? tg_resolve(in[i]) : NULL;
        wanted = v && (v->flags & TG_V_REQUIRES_GRAD);
    }
    if (!tape->recording || !wanted)
        return TG_OK;
    if (n_out > MAX_OUT || n_in > MAX_IN)
        return tg_fail(
            tape, TG_EINVAL,
            "%s: a layer with a backward of its own has at most 16 outputs and 64 inputs and parameters",
            tg_module_class_name(module));
    for (size_t o = 0; o < n_out; o++) {
        const tg_value *v = tg_resolve(out[o]);
        if (!v || v->home != &tape->home || v->node != TG_NO_NODE)
            return tg_fail(tape, TG_EINVAL,
                           "%s: a layer with a backward of its own must make its outputs anew",
                           tg_module_class_name(module));
    }
    tg_node *node = tg_node_new(tape, &tg_layer_row, in, n_in, out, n_out, 0);
    if (!node)
        return tg_fail_again(tape, TG_ENOMEM);
    node->layer = module;
    node->draw = draw;
    tg_node_commit(tape, node);
    return TG_OK;
}
