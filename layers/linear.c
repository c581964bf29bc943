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
     .in = TG_SAMPLE_INPUTS({[5, 4], -2 : 2}),
     .attrs = &four_three,
     .begins = "weight uniform sqrt(1/4), bias uniform sqrt(1/4)"},
    {.label = "no bias",
     .in = TG_SAMPLE_INPUTS({[5, 4], -2 : 2}),
     .attrs = &no_bias},
    {.label = "one row without a batch",
     .in = TG_SAMPLE_INPUTS({[4], -2 : 2}),
     .attrs = &four_three},
    {.label = "3-D",
     .in = TG_SAMPLE_INPUTS({[2, 3, 4], -2 : 2, strided}),
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
    .samples = TG_PROOF(linear_samples),
    .doc = "y = x·Wᵀ + b over the last dim",
};

/* -- Bilinear --------------------------------------------------------------------------------------------- */

typedef struct bilinear_options {
    int64_t in1_features, in2_features, out_features;
    bool bias;
} bilinear_options;

static tg_status bilinear_init(tg_module *m, const void *attrs)
{
    const bilinear_options *o = attrs;
    linear_state *s = m->self;
    if (o->in1_features < 1 || o->in2_features < 0 || o->out_features < 0)
        return tg_fail(NULL, TG_EINVAL,
                       "Bilinear: in1_features %lld, in2_features %lld, out_features %lld; expected at least 1, 0, 0",
                       (long long)o->in1_features, (long long)o->in2_features, (long long)o->out_features);
    const double bound = 1.0 / sqrt((double)o->in1_features);
    tg_status status = tg_module_add_parameter(
        m, "weight", (int64_t[]){o->out_features, o->in1_features, o->in2_features}, 3, &s->weight);
    if (!status && o->bias)
        status = tg_module_add_parameter(m, "bias", &o->out_features, 1, &s->bias);
    if (!status)
        status = tg_init_uniform(s->weight, -bound, bound);
    return status || !s->bias ? status : tg_init_uniform(s->bias, -bound, bound);
}

static tg_status bilinear_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const linear_state *s = m->self;
    const bilinear_options *o = m->attrs;
    const tg_desc *x1 = tg_layer_desc(in[0]), *x2 = tg_layer_desc(in[1]);
    bool fits = x1->ndim > 0 && x1->ndim == x2->ndim && x1->dim[x1->ndim - 1] == o->in1_features &&
                x2->dim[x2->ndim - 1] == o->in2_features;
    for (int i = 0; fits && i < x1->ndim - 1; i++)
        fits = x1->dim[i] == x2->dim[i];
    if (!fits) {
        char got1[128], got2[128];
        return tg_layer_fail(m, tape, TG_ESHAPE, "got %s and %s, expected […, %lld] and […, %lld]",
                             tg_desc_format(x1, got1, sizeof got1), tg_desc_format(x2, got2, sizeof got2),
                             (long long)o->in1_features, (long long)o->in2_features);
    }
    return tg_layer_result(tape, tg_bilinear(tape, in[0], in[1], s->weight, s->bias), out);
}

static const tg_attr_spec bilinear_specs[] = {
    TG_ATTR_ROW(bilinear_options, in1_features, INT, TG_ATTR_REQUIRED, 0, NULL, "size of each row of input1"),
    TG_ATTR_ROW(bilinear_options, in2_features, INT, TG_ATTR_REQUIRED, 0, NULL, "size of each row of input2"),
    TG_ATTR_ROW(bilinear_options, out_features, INT, TG_ATTR_REQUIRED, 0, NULL, "size of each output row"),
    TG_ATTR_ROW(bilinear_options, bias, BOOL, 0, 1, NULL, "adds a learned bias"),
    TG_ATTR_END,
};
static const bilinear_options two_three = {.in1_features = 2, .in2_features = 3, .out_features = 2, .bias = true};
static const tg_sample bilinear_table[] = {
    {.label = "rows",
     .in = TG_SAMPLE_INPUTS({[2, 1, 2], -2 : 2},
                            {[2, 1, 3], -2 : 2}),
     .attrs = &two_three,
     .begins = "weight uniform sqrt(1/2), bias uniform sqrt(1/2)"},
};
TG_SAMPLES(bilinear_samples, bilinear_table)

static const char *const two_names[] = {"input1", "input2"};
static const tg_layer_class bilinear = {
    .struct_size = sizeof(tg_layer_class),
    .name = "Bilinear",
    .attrs = bilinear_specs,
    .attrs_size = sizeof(bilinear_options),
    .state_size = sizeof(linear_state),
    .n_in = 2,
    .n_out = 1,
    .in_names = two_names,
    .init = bilinear_init,
    .forward = {bilinear_forward, bilinear_forward},
    .samples = TG_PROOF(bilinear_samples),
    .doc = "y_o = x1ᵀ·W_o·x2 + b_o over the last dims",
};

const tg_layer_class *const tg_layers_linear[] = {&linear, &bilinear, NULL};

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

tg_module *tg_nn_bilinear(tg_runtime *rt, int64_t in1_features, int64_t in2_features, int64_t out_features)
{
    return tg_module_new(rt, &bilinear, &(bilinear_options){in1_features, in2_features, out_features, true});
}
