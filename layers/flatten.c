#include "layers/internal.h"

typedef struct flatten_options {
    int64_t start_dim, end_dim;
} flatten_options;

static tg_status flatten_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                 tg_tensor *out[])
{
    (void)n_in;
    const flatten_options *o = m->attrs;
    return tg_layer_result(tape, tg_flatten(tape, in[0], o->start_dim, o->end_dim), out);
}

static tg_status identity_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                  tg_tensor *out[])
{
    (void)m, (void)tape, (void)n_in;
    out[0] = in[0];
    return TG_OK;
}

static const tg_attr_spec flatten_specs[] = {
    TG_ATTR_ROW(flatten_options, start_dim, INT, 0, 1, NULL, "the first dim that is merged"),
    TG_ATTR_ROW(flatten_options, end_dim, INT, 0, -1, NULL, "the last dim that is merged"),
    TG_ATTR_END,
};

static const char *const input_names[] = {"input"};

static const flatten_options middle = {.start_dim = 1, .end_dim = 2};
static const tg_sample flatten_table[] = {
    {.label = "1 to −1", .n_in = 1, .in = TG_SAMPLE_INPUTS({.ndim = 3, .dim = {2, 3, 2}, .low = -2, .high = 2})},
    {.label = "strided",
     .n_in = 1,
     .in = TG_SAMPLE_INPUTS({.ndim = 3, .dim = {2, 3, 2}, .low = -2, .high = 2, .flags = TG_SAMPLE_STRIDED})},
    {.label = "1 to 2",
     .n_in = 1,
     .in = TG_SAMPLE_INPUTS({.ndim = 4, .dim = {2, 3, 2, 2}, .low = -2, .high = 2}),
     .attrs = &middle},
};
TG_SAMPLES(flatten_samples, flatten_table)

static const tg_sample identity_table[] = {
    {.label = "2-D", .n_in = 1, .in = TG_SAMPLE_INPUTS({.ndim = 2, .dim = {2, 3}, .low = -2, .high = 2})},
};
TG_SAMPLES(identity_samples, identity_table)

static const tg_layer_class flatten = {
    .struct_size = sizeof(tg_layer_class),
    .name = "Flatten",
    .attrs = flatten_specs,
    .attrs_size = sizeof(flatten_options),
    .n_in = 1,
    .n_out = 1,
    .in_names = input_names,
    .forward = {flatten_forward, flatten_forward},
    .samples = flatten_samples,
    .doc = "merges the dims start_dim to end_dim into one",
};

static const tg_layer_class identity = {
    .struct_size = sizeof(tg_layer_class),
    .name = "Identity",
    .n_in = 1,
    .n_out = 1,
    .in_names = input_names,
    .forward = {identity_forward, identity_forward},
    .samples = identity_samples,
    .doc = "y = x",
};

const tg_layer_class *const tg_layers_flatten[] = {&flatten, &identity, NULL};

tg_module *tg_nn_flatten(tg_runtime *rt)
{
    return tg_module_new(rt, &flatten, NULL);
}

tg_module *tg_nn_identity(tg_runtime *rt)
{
    return tg_module_new(rt, &identity, NULL);
}
