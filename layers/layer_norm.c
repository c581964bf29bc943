#include <math.h>
#include <stdio.h>
#include <string.h>

#include "layers/internal.h"

typedef struct layer_norm_state {
    tg_tensor *weight, *bias;
} layer_norm_state;

static tg_status check_options(const tg_layer_norm_options *o)
{
    if (o->normalized_shape.n < 1 || o->normalized_shape.n > TG_MAX_DIM)
        return tg_fail(NULL, TG_EINVAL, "LayerNorm: normalized_shape has %lld dims, expected 1 to %d",
                       (long long)o->normalized_shape.n, TG_MAX_DIM);
    for (int64_t i = 0; i < o->normalized_shape.n; i++)
        if (o->normalized_shape.v[i] < 1)
            return tg_fail(NULL, TG_EINVAL,
                           "LayerNorm: dim %lld of normalized_shape is %lld, expected at least 1",
                           (long long)i, (long long)o->normalized_shape.v[i]);
    if (!(o->eps > 0) || isinf(o->eps))
        return tg_fail(NULL, TG_EINVAL, "LayerNorm: eps is %g, expected a positive number", o->eps);
    return TG_OK;
}

static tg_status layer_norm_init(tg_module *m, const void *attrs)
{
    const tg_layer_norm_options *o = attrs;
    layer_norm_state *s = m->self;
    tg_status status = check_options(o);
    if (status || !o->elementwise_affine)
        return status;
    size_t ndim = (size_t)o->normalized_shape.n;
    status = tg_module_add_parameter(m, "weight", o->normalized_shape.v, ndim, &s->weight);
    if (!status)
        status = tg_fill(s->weight, 1);
    if (!status && o->bias)
        status = tg_module_add_parameter(m, "bias", o->normalized_shape.v, ndim, &s->bias);
    return status;
}

static tg_status layer_norm_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                    tg_tensor *out[])
{
    (void)n_in;
    const tg_layer_norm_options *o = m->attrs;
    const layer_norm_state *s = m->self;
    const tg_desc *x = tg_layer_desc(in[0]);
    int32_t n = (int32_t)o->normalized_shape.n;
    if (x->ndim < n || memcmp(x->dim + x->ndim - n, o->normalized_shape.v, (size_t)n * sizeof *x->dim) != 0) {
        char got[128], expected[160] = "";
        size_t at = 0;
        for (int32_t i = 0; i < n && at < sizeof expected; i++)
            at += (size_t)snprintf(expected + at, sizeof expected - at, ", %lld",
                                   (long long)o->normalized_shape.v[i]);
        return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected [*%s]", tg_desc_format(x, got, sizeof got),
                             expected);
    }
    return tg_layer_result(tape, tg_layer_norm(tape, in[0], (size_t)n, s->weight, s->bias, o->eps), out);
}

#define S tg_layer_norm_options
static const tg_attr_spec specs[] = {
    TG_ATTR_ROW(S, normalized_shape, INTS, TG_ATTR_REQUIRED, 0, NULL, "the last dims of the input"),
    TG_ATTR_ROW(S, eps, REAL, 0, 1e-5, NULL, "added to the variance"),
    TG_ATTR_ROW(S, elementwise_affine, BOOL, 0, 1, NULL, "learned weight and bias of normalized_shape"),
    TG_ATTR_ROW(S, bias, BOOL, 0, 1, NULL, "false: affine without a bias"),
    TG_ATTR_END,
};

static const char *const input_names[] = {"input"};

static const S plain = {.normalized_shape = {1, {4}}, .eps = 1e-5, .elementwise_affine = true, .bias = true};
static const S two_dims = {
    .normalized_shape = {2, {3, 4}}, .eps = 1e-3, .elementwise_affine = true, .bias = true};
static const S no_bias = {.normalized_shape = {1, {4}}, .eps = 1e-5, .elementwise_affine = true};
static const S no_affine = {.normalized_shape = {1, {4}}, .eps = 1e-5};
#undef S
static const tg_sample samples[] = {
    {.label = "rows",
     .in = TG_SAMPLE_INPUTS({[3, 4], -2 : 2}),
     .attrs = &plain,
     .begins = "weight constant 1, bias constant 0"},
    {.label = "two dims",
     .in = TG_SAMPLE_INPUTS({[2, 3, 4], -2 : 2}),
     .attrs = &two_dims},
    {.label = "bias False",
     .in = TG_SAMPLE_INPUTS({[2, 2, 4], -2 : 2}),
     .attrs = &no_bias},
    {.label = "elementwise_affine False",
     .in = TG_SAMPLE_INPUTS({[3, 4], -2 : 2}),
     .attrs = &no_affine},
};
TG_SAMPLES(layer_norm_samples, samples)

static const tg_layer_class layer_norm = {
    .struct_size = sizeof(tg_layer_class),
    .name = "LayerNorm",
    .attrs = specs,
    .attrs_size = sizeof(tg_layer_norm_options),
    .state_size = sizeof(layer_norm_state),
    .n_in = 1,
    .n_out = 1,
    .in_names = input_names,
    .init = layer_norm_init,
    .forward = {layer_norm_forward, layer_norm_forward},
    .samples = TG_PROOF(layer_norm_samples),
    .doc = "y = (x − μ)/√(v + eps)·γ + β, μ and v over the last dims of each example",
};

const tg_layer_class *const tg_layers_layer_norm[] = {&layer_norm, NULL};

tg_layer_norm_options tg_layer_norm_defaults(const int64_t *normalized_shape, size_t ndim)
{
    tg_layer_norm_options o = {.struct_size = sizeof o,
                               .normalized_shape = {.n = ndim > INT64_MAX ? INT64_MAX : (int64_t)ndim},
                               .eps = 1e-5,
                               .elementwise_affine = true,
                               .bias = true};
    for (size_t i = 0; normalized_shape && i < ndim && i < TG_MAX_DIM; i++)
        o.normalized_shape.v[i] = normalized_shape[i];
    return o;
}

tg_module *tg_nn_layer_norm_with(tg_runtime *rt, const tg_layer_norm_options *options)
{
    tg_layer_norm_options known = tg_layer_norm_defaults(NULL, 0);
    return tg_options_read("LayerNorm", &known, sizeof known, options)
               ? NULL
               : tg_module_new(rt, &layer_norm, &known);
}

tg_module *tg_nn_layer_norm(tg_runtime *rt, const int64_t *normalized_shape, size_t ndim)
{
    tg_layer_norm_options options = tg_layer_norm_defaults(normalized_shape, ndim);
    return tg_module_new(rt, &layer_norm, &options);
}
