#include <math.h>

#include "layers/internal.h"

typedef struct linear_state {
    tg_tensor *weight, *bias;
} linear_state;

static tg_status linear_init(tg_module *m, const void *attrs)
{
    const tg_linear_options *o = attrs;
    linear_state *s = m->self;
    if (o->in_features < 0 || o->out_features < 0)
        return tg_fail(NULL, TG_EINVAL,
                       "Linear: in_features %lld and out_features %lld, expected no negative number",
                       (long long)o->in_features, (long long)o->out_features);
    tg_status status =
        tg_module_add_parameter(m, "weight", (int64_t[]){o->out_features, o->in_features}, 2, &s->weight);
    if (!status && o->bias)
        status = tg_module_add_parameter(m, "bias", &o->out_features, 1, &s->bias);
    if (status || o->in_features == 0 || o->out_features == 0)
        return status;
    status = tg_init_kaiming_uniform(s->weight, sqrt(5.0));
    double bound = 1.0 / sqrt((double)o->in_features);
    return status || !s->bias ? status : tg_init_uniform(s->bias, -bound, bound);
}

static tg_status linear_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                tg_tensor *out[])
{
    (void)n_in;
    const linear_state *s = m->self;
    const tg_desc *x = tg_layer_desc(in[0]);
    int64_t features = ((const tg_linear_options *)m->attrs)->in_features;
    if (x->ndim < 1 || x->dim[x->ndim - 1] != features) {
        char got[128];
        return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected %lld features in the last dim",
                             tg_desc_format(x, got, sizeof got), (long long)features);
    }
    return tg_layer_result(tape, tg_linear(tape, in[0], s->weight, s->bias), out);
}

static const tg_attr_spec specs[] = {
    TG_ATTR_ROW(tg_linear_options, in_features, INT, TG_ATTR_REQUIRED, 0, NULL, "size of each input row"),
    TG_ATTR_ROW(tg_linear_options, out_features, INT, TG_ATTR_REQUIRED, 0, NULL, "size of each output row"),
    TG_ATTR_ROW(tg_linear_options, bias, BOOL, 0, 1, NULL, "adds a learned bias"),
    TG_ATTR_END,
};

static const char *const input_names[] = {"input"};

static const tg_linear_options four_three = {.in_features = 4, .out_features = 3, .bias = true};
static const tg_linear_options no_bias = {.in_features = 4, .out_features = 3, .bias = false};
static const tg_sample samples[] = {
    {.label = "rows",
     .n_in = 1,
     .in = TG_SAMPLE_INPUTS({.ndim = 2, .dim = {5, 4}, .low = -2, .high = 2}),
     .attrs = &four_three},
    {.label = "no bias",
     .n_in = 1,
     .in = TG_SAMPLE_INPUTS({.ndim = 2, .dim = {5, 4}, .low = -2, .high = 2}),
     .attrs = &no_bias},
    {.label = "one row without a batch",
     .n_in = 1,
     .in = TG_SAMPLE_INPUTS({.ndim = 1, .dim = {4}, .low = -2, .high = 2}),
     .attrs = &four_three},
    {.label = "3-D",
     .n_in = 1,
     .in = TG_SAMPLE_INPUTS({.ndim = 3, .dim = {2, 3, 4}, .low = -2, .high = 2, .flags = TG_SAMPLE_STRIDED}),
     .attrs = &four_three},
};
TG_SAMPLES(linear_samples, samples)

static const tg_layer_class linear = {
    .struct_size = sizeof(tg_layer_class),
    .name = "Linear",
    .attrs = specs,
    .attrs_size = sizeof(tg_linear_options),
    .state_size = sizeof(linear_state),
    .n_in = 1,
    .n_out = 1,
    .in_names = input_names,
    .init = linear_init,
    .forward = {linear_forward, linear_forward},
    .samples = linear_samples,
    .doc = "y = x·Wᵀ + b over the last dim",
};

const tg_layer_class *const tg_layers_linear[] = {&linear, NULL};

tg_linear_options tg_linear_defaults(int64_t in_features, int64_t out_features)
{
    return (tg_linear_options){.struct_size = sizeof(tg_linear_options),
                               .in_features = in_features,
                               .out_features = out_features,
                               .bias = true};
}

tg_module *tg_nn_linear_with(tg_runtime *rt, const tg_linear_options *options)
{
    tg_linear_options known = tg_linear_defaults(0, 0);
    return tg_options_read("Linear", &known, sizeof known, options) ? NULL
                                                                    : tg_module_new(rt, &linear, &known);
}

tg_module *tg_nn_linear(tg_runtime *rt, int64_t in_features, int64_t out_features)
{
    tg_linear_options options = tg_linear_defaults(in_features, out_features);
    return tg_module_new(rt, &linear, &options);
}
