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

typedef struct unflatten_options {
    int64_t dim;
    tg_ints unflattened_size;
} unflatten_options;

static tg_status unflatten_init(tg_module *m, const void *attrs)
{
    (void)m;
    const tg_ints *sizes = &((const unflatten_options *)attrs)->unflattened_size;
    bool fine = sizes->n > 0;
    for (int64_t k = 0; k < sizes->n; k++)
        fine = fine && sizes->v[k] >= -1;
    return fine ? TG_OK : tg_fail(NULL, TG_EINVAL, "Unflatten: expected unflattened_size of at least one entry, none below −1");
}

static tg_status unflatten_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const unflatten_options *o = m->attrs;
    return tg_layer_result(
        tape, tg_unflatten(tape, in[0], o->dim, o->unflattened_size.v, (size_t)o->unflattened_size.n), out);
}

static const char *const input_names[] = {"input"};

static const flatten_options middle = {.start_dim = 1, .end_dim = 2};
static const tg_sample flatten_table[] = {
    {.label = "1 to −1", .in = TG_SAMPLE_INPUTS({[2, 3, 2], -2 : 2})},
    {.label = "strided",
     .in = TG_SAMPLE_INPUTS({[2, 3, 2], -2 : 2, strided})},
    {.label = "1 to 2",
     .in = TG_SAMPLE_INPUTS({[2, 3, 2, 2], -2 : 2}),
     .attrs = &middle},
};
TG_SAMPLES(flatten_samples, flatten_table)

static const tg_attr_spec unflatten_specs[] = {
    TG_ATTR_ROW(unflatten_options, dim, INT, TG_ATTR_REQUIRED, 0, NULL, "the dim that is split"),
    TG_ATTR_ROW(unflatten_options, unflattened_size, INTS, TG_ATTR_REQUIRED, 0, NULL,
                "the sizes that it becomes, one of which may be −1"),
    TG_ATTR_END,
};
static const unflatten_options into_two = {.dim = 1, .unflattened_size = {2, {2, -1}}};
static const tg_sample unflatten_table[] = {
    {.label = "into two", .in = TG_SAMPLE_INPUTS({[3, 4], -2 : 2}), .attrs = &into_two}};
TG_SAMPLES(unflatten_samples, unflatten_table)

static const tg_sample identity_table[] = {
    {.label = "2-D", .in = TG_SAMPLE_INPUTS({[2, 3], -2 : 2})},
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
    .samples = TG_PROOF(flatten_samples),
    .doc = "merges the dims start_dim to end_dim into one",
};

static const tg_layer_class identity = {
    .struct_size = sizeof(tg_layer_class),
    .name = "Identity",
    .n_in = 1,
    .n_out = 1,
    .in_names = input_names,
    .forward = {identity_forward, identity_forward},
    .samples = TG_PROOF(identity_samples),
    .doc = "y = x",
};

static const tg_layer_class unflatten = {
    .struct_size = sizeof(tg_layer_class),
    .name = "Unflatten",
    .attrs = unflatten_specs,
    .attrs_size = sizeof(unflatten_options),
    .n_in = 1,
    .n_out = 1,
    .in_names = input_names,
    .init = unflatten_init,
    .forward = {unflatten_forward, unflatten_forward},
    .samples = TG_PROOF(unflatten_samples),
    .doc = "splits a dim into several",
};

const tg_layer_class *const tg_layers_flatten[] = {&flatten, &unflatten, &identity, NULL};

tg_module *tg_nn_unflatten(tg_runtime *rt, int64_t dim, const int64_t *sizes, size_t n)
{
    unflatten_options o = {.dim = dim, .unflattened_size.n = (int64_t)n};
    if (!sizes || n > TG_MAX_DIM) {
        tg_fail(NULL, TG_EINVAL, "Unflatten: %zu sizes, expected an array of 1 to %d", sizes ? n : 0, TG_MAX_DIM);
        return NULL;
    }
    for (size_t k = 0; k < n; k++)
        o.unflattened_size.v[k] = sizes[k];
    return tg_module_new(rt, &unflatten, &o);
}

tg_module *tg_nn_flatten(tg_runtime *rt)
{
    return tg_module_new(rt, &flatten, NULL);
}

tg_module *tg_nn_identity(tg_runtime *rt)
{
    return tg_module_new(rt, &identity, NULL);
}
