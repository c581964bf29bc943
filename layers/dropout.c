#include "layers/internal.h"

typedef struct dropout_options {
    double p;
    bool inplace;
} dropout_options;

static tg_status dropout_init(tg_module *m, const void *attrs)
{
    const dropout_options *o = attrs;
    if (!(o->p >= 0 && o->p <= 1)) /* NaN too */
        return tg_fail(NULL, TG_EINVAL, "%s: p is %g, expected a probability of dropping between 0 and 1",
                       m->cls->name, o->p);
    return TG_OK;
}

static tg_status dropout_train(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                               tg_tensor *out[])
{
    (void)n_in;
    const dropout_options *o = m->attrs;
    return tg_layer_result(tape, tg_dropout(tape, in[0], o->p, TG_TRAIN), out);
}

static tg_status dropout_eval(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                              tg_tensor *out[])
{
    (void)m, (void)tape, (void)n_in;
    out[0] = in[0];
    return TG_OK;
}

static const tg_attr_spec specs[] = {
    TG_ATTR_ROW(dropout_options, p, REAL, 0, 0.5, NULL, "the probability of dropping an element"),
    TG_ATTR_ROW(dropout_options, inplace, BOOL, 0, 0, NULL,
                "accepted and without effect: nothing works in place here"),
    TG_ATTR_END,
};

static const char *const input_names[] = {"input"};

static const dropout_options third = {.p = 0.3};
static const dropout_options none = {.p = 0};
static const dropout_options all = {.p = 1};
static const tg_sample samples[] = {
    {.label = "p = 0.5", .n_in = 1, .in = TG_SAMPLE_INPUTS({.ndim = 2, .dim = {3, 5}, .low = -2, .high = 2})},
    {.label = "p = 0.3",
     .n_in = 1,
     .in = TG_SAMPLE_INPUTS({.ndim = 3, .dim = {2, 3, 4}, .low = -2, .high = 2}),
     .attrs = &third},
    {.label = "p = 0", .n_in = 1, .in = TG_SAMPLE_INPUTS({.ndim = 2, .dim = {3, 5}, .low = -2, .high = 2}), .attrs = &none},
    {.label = "p = 1", .n_in = 1, .in = TG_SAMPLE_INPUTS({.ndim = 2, .dim = {3, 5}, .low = -2, .high = 2}), .attrs = &all},
};
TG_SAMPLES(dropout_samples, samples)

static const tg_layer_class dropout = {
    .struct_size = sizeof(tg_layer_class),
    .flags = TG_LAYER_RANDOM,
    .name = "Dropout",
    .attrs = specs,
    .attrs_size = sizeof(dropout_options),
    .n_in = 1,
    .n_out = 1,
    .in_names = input_names,
    .init = dropout_init,
    .forward = {dropout_train, dropout_eval},
    .samples = dropout_samples,
    .doc = "train: x/(1 − p) with probability 1 − p, else 0; eval: x",
};

const tg_layer_class *const tg_layers_dropout[] = {&dropout, NULL};

tg_module *tg_nn_dropout(tg_runtime *rt, double p)
{
    return tg_module_new(rt, &dropout, &(dropout_options){.p = p});
}
