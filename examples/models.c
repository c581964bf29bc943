#include "models.h"

#include <tapegrad/layer_class.h>

tg_module *model_mlp(tg_runtime *rt)
{
    return tg_nn_sequential(rt, tg_nn_linear(rt, 784, 512), tg_nn_batch_norm1d(rt, 512), tg_nn_relu(rt),
                            tg_nn_dropout(rt, 0.3), tg_nn_linear(rt, 512, 256), tg_nn_batch_norm1d(rt, 256),
                            tg_nn_relu(rt), tg_nn_dropout(rt, 0.3), tg_nn_linear(rt, 256, 10));
}

/* A square kernel that keeps the size, or halves it at stride 2. */
static tg_module *conv(tg_runtime *rt, int64_t from, int64_t to, int64_t kernel, int64_t stride, bool bias)
{
    tg_conv_options o = tg_conv_defaults(from, to, kernel);
    o.stride = (tg_ints){1, {stride}};
    o.padding = (tg_ints){1, {kernel / 2}};
    o.bias = bias;
    return tg_nn_conv2d_with(rt, &o);
}

tg_module *model_cnn(tg_runtime *rt)
{
    return tg_nn_sequential(
        rt, conv(rt, 1, 32, 3, 1, true), tg_nn_batch_norm2d(rt, 32), tg_nn_relu(rt), conv(rt, 32, 32, 3, 1, true),
        tg_nn_batch_norm2d(rt, 32), tg_nn_relu(rt), tg_nn_max_pool2d(rt, 2), tg_nn_dropout(rt, 0.25),
        conv(rt, 32, 64, 3, 1, true), tg_nn_batch_norm2d(rt, 64), tg_nn_relu(rt), conv(rt, 64, 64, 3, 1, true),
        tg_nn_batch_norm2d(rt, 64), tg_nn_relu(rt), tg_nn_max_pool2d(rt, 2), tg_nn_dropout(rt, 0.25),
        tg_nn_flatten(rt), tg_nn_linear(rt, 3136, 256), tg_nn_batch_norm1d(rt, 256), tg_nn_relu(rt),
        tg_nn_dropout(rt, 0.5), tg_nn_linear(rt, 256, 10));
}

/* -- ResNet's block: relu(body(x) + shortcut(x)) ---------------------------------------------------------- */

typedef struct block_options {
    int64_t from, to, stride;
} block_options;

typedef struct block {
    tg_module *body, *shortcut;
} block;

static tg_status block_init(tg_module *m, const void *attrs)
{
    const block_options *o = attrs;
    block *b = tg_module_self(m);
    tg_runtime *rt = tg_module_runtime(m);
    b->body = tg_nn_sequential(rt, conv(rt, o->from, o->to, 3, o->stride, false), tg_nn_batch_norm2d(rt, o->to),
                               tg_nn_relu(rt), conv(rt, o->to, o->to, 3, 1, false), tg_nn_batch_norm2d(rt, o->to));
    tg_status status = tg_module_add_child(m, "body", b->body);
    if (status)
        return status;
    b->shortcut = o->stride == 1 && o->from == o->to
                      ? tg_nn_identity(rt)
                      : tg_nn_sequential(rt, conv(rt, o->from, o->to, 1, o->stride, false),
                                         tg_nn_batch_norm2d(rt, o->to));
    return tg_module_add_child(m, "shortcut", b->shortcut);
}

static tg_status block_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    const block *b = tg_module_self(m);
    (void)n_in;
    out[0] = tg_relu(tape, tg_add(tape, tg_forward(tape, b->body, in[0]), tg_forward(tape, b->shortcut, in[0])));
    return tg_tape_status(tape);
}

static const tg_layer_class block_class = {
    .struct_size = sizeof(tg_layer_class),
    .name = "BasicBlock",
    .attrs_size = sizeof(block_options),
    .state_size = sizeof(block),
    .n_in = 1,
    .n_out = 1,
    .init = block_init,
    .forward = {block_forward, block_forward},
};

tg_module *model_resnet18(tg_runtime *rt, int64_t channels, int64_t classes)
{
    static const block_options blocks[] = {{64, 64, 1},   {64, 64, 1},   {64, 128, 2},  {128, 128, 1},
                                           {128, 256, 2}, {256, 256, 1}, {256, 512, 2}, {512, 512, 1}};
    tg_module *net = tg_nn_sequential(rt, conv(rt, channels, 64, 3, 1, false), tg_nn_batch_norm2d(rt, 64), tg_nn_relu(rt));
    tg_status status = net ? TG_OK : TG_ENOMEM;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks && !status; i++)
        status = tg_nn_sequential_append(net, NULL, tg_module_new(rt, &block_class, &blocks[i]));
    if (!status)
        status = tg_nn_sequential_append(net, NULL, tg_nn_adaptive_avg_pool2d(rt, 1, 1));
    if (!status)
        status = tg_nn_sequential_append(net, NULL, tg_nn_flatten(rt));
    if (!status)
        status = tg_nn_sequential_append(net, NULL, tg_nn_linear(rt, 512, classes));
    if (!status)
        return net;
    tg_module_destroy(net);
    return NULL;
}

/* -- GPT -------------------------------------------------------------------------------------------------- */

typedef struct layer {
    tg_module *norm1, *qkv, *proj, *norm2, *up, *down;
} layer;

static tg_status layer_init(tg_module *m, const void *attrs)
{
    const gpt_options *o = attrs;
    layer *l = tg_module_self(m);
    tg_runtime *rt = tg_module_runtime(m);
    const int64_t d = o->width;
    const struct {
        const char *name;
        tg_module **at, *made;
    } children[] = {{"norm1", &l->norm1, tg_nn_layer_norm(rt, &d, 1)}, {"qkv", &l->qkv, tg_nn_linear(rt, d, 3 * d)},
                    {"proj", &l->proj, tg_nn_linear(rt, d, d)},        {"norm2", &l->norm2, tg_nn_layer_norm(rt, &d, 1)},
                    {"up", &l->up, tg_nn_linear(rt, d, 4 * d)},        {"down", &l->down, tg_nn_linear(rt, 4 * d, d)}};
    tg_status status = TG_OK;
    for (size_t i = 0; i < sizeof children / sizeof *children; i++) {
        *children[i].at = children[i].made;
        tg_status added = tg_module_add_child(m, children[i].name, children[i].made);
        status = status ? status : added;
    }
    return status;
}

/* [N, T, width] to [N, heads, T, width/heads]. */
static tg_tensor *to_heads(tg_tape *tape, tg_tensor *x, int64_t heads)
{
    if (!x)
        return NULL;
    const int64_t n = tg_tensor_dim(x, 0), t = tg_tensor_dim(x, 1), width = tg_tensor_dim(x, 2);
    return tg_transpose(tape, tg_reshape(tape, x, n, t, heads, width / heads), 1, 2);
}

static tg_status layer_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    const gpt_options *o = tg_module_attrs(m);
    const layer *l = tg_module_self(m);
    tg_tensor *x = in[0], *part[3] = {NULL};
    (void)n_in;
    tg_chunk(tape, tg_forward(tape, l->qkv, tg_forward(tape, l->norm1, x)), 3, 2, part, 3);
    tg_tensor *y = tg_scaled_dot_product_attention(tape, to_heads(tape, part[0], o->heads), to_heads(tape, part[1], o->heads),
                                                   to_heads(tape, part[2], o->heads),
                                                   &(tg_attention_options){.is_causal = true});
    y = tg_flatten(tape, tg_transpose(tape, y, 1, 2), 2, -1);
    x = tg_add(tape, x, tg_forward(tape, l->proj, y));
    y = tg_gelu(tape, tg_forward(tape, l->up, tg_forward(tape, l->norm2, x)), true);
    out[0] = tg_add(tape, x, tg_forward(tape, l->down, y));
    return tg_tape_status(tape);
}

static const tg_layer_class layer_class = {
    .struct_size = sizeof(tg_layer_class),
    .name = "Block",
    .attrs_size = sizeof(gpt_options),
    .state_size = sizeof(layer),
    .n_in = 1,
    .n_out = 1,
    .init = layer_init,
    .forward = {layer_forward, layer_forward},
};

typedef struct gpt {
    tg_module *tokens, *places, *blocks, *norm, *head;
} gpt;

static tg_status gpt_init(tg_module *m, const void *attrs)
{
    const gpt_options *o = attrs;
    gpt *g = tg_module_self(m);
    tg_runtime *rt = tg_module_runtime(m);
    tg_linear_options head = tg_linear_defaults(o->width, o->vocabulary);
    head.bias = false;
    tg_status status = tg_module_add_child(m, "tokens", g->tokens = tg_nn_embedding(rt, o->vocabulary, o->width));
    if (!status)
        status = tg_module_add_child(m, "places", g->places = tg_nn_embedding(rt, o->length, o->width));
    if (!status)
        status = tg_module_add_child(m, "blocks", g->blocks = tg_module_create(rt, "Sequential", NULL, 0));
    for (int64_t i = 0; i < o->blocks && !status; i++)
        status = tg_nn_sequential_append(g->blocks, NULL, tg_module_new(rt, &layer_class, o));
    if (!status)
        status = tg_module_add_child(m, "norm", g->norm = tg_nn_layer_norm(rt, &o->width, 1));
    return status ? status : tg_module_add_child(m, "head", g->head = tg_nn_linear_with(rt, &head));
}

static tg_status gpt_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    const gpt *g = tg_module_self(m);
    (void)n_in;
    tg_tensor *places = tg_arange(tape, TG_I64, 0, (double)tg_tensor_dim(in[0], 1), 1);
    tg_tensor *x = tg_add(tape, tg_forward(tape, g->tokens, in[0]), tg_forward(tape, g->places, places));
    out[0] = tg_forward(tape, g->head, tg_forward(tape, g->norm, tg_forward(tape, g->blocks, x)));
    return tg_tape_status(tape);
}

static const tg_layer_class gpt_class = {
    .struct_size = sizeof(tg_layer_class),
    .name = "GPT",
    .attrs_size = sizeof(gpt_options),
    .state_size = sizeof(gpt),
    .n_in = 1,
    .n_out = 1,
    .init = gpt_init,
    .forward = {gpt_forward, gpt_forward},
};

tg_module *model_gpt(tg_runtime *rt, const gpt_options *options)
{
    return tg_module_new(rt, &gpt_class, options);
}
