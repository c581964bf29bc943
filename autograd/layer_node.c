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

static tg_status run_forward(tg_tape *tape, const tg_node *node, tg_tensor *out[])
{
    const tg_layer_class *cls = tg_module_class(node->layer);
    const uint64_t before = tg_failures();
    tg_status status = cls->forward[node->mode](node->layer, tape, node->in, cls->n_in, out);
    return tg_returned(tape, before, status, "%s: the forward", cls->name);
}

static tg_status replay(tg_tape *tape, const tg_node *node, tg_tensor *const gy[])
{
    const tg_layer_class *cls = tg_module_class(node->layer);
    if (cls->flags & TG_LAYER_ONCE)
        return tg_fail(tape, TG_ENODERIV, "%s is once differentiable: its backward cannot be recorded",
                       cls->name);
    return tg_replay(tape, node, run_forward, gy);
}

static tg_status vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    if (tape->recording)
        return replay(tape, node, gy);
    tg_tensor *full[MAX_OUT];
    tg_status status = fill_gy(tape, node, gy, full);
    if (status)
        return status;
    const tg_layer_class *cls = tg_module_class(node->layer);
    const uint64_t before = tg_failures();
    status = cls->backward[node->mode](node->layer, tape, node, full, gx);
    return tg_returned(tape, before, status, "%s: the backward", cls->name);
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
