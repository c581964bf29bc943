/* The dropout layers: a table. */
#include "layers/internal.h"

typedef struct dropout_options {
    double p;
    bool inplace;
} dropout_options;

typedef struct dropout {
    tg_layer_class cls;
    tg_tensor *(*drop)(tg_tape *, tg_tensor *, double p, tg_mode);
} dropout;

static tg_status dropout_init(tg_module *m, const void *attrs)
{
    const dropout_options *o = attrs;
    if (!(o->p >= 0 && o->p <= 1)) /* NaN too */
        return tg_fail(NULL, TG_EINVAL, "%s: p is %g, expected a probability of dropping between 0 and 1",
                       m->cls->name, o->p);
    return TG_OK;
}

/* In eval mode it is the input, which must have the dims that train mode needs. */
static tg_status dropout_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const dropout *row = (const dropout *)(const void *)m->cls;
    return tg_layer_result(tape, row->drop(tape, in[0], ((const dropout_options *)m->attrs)->p, tape->mode), out);
}

static const tg_attr_spec specs[] = {
    TG_ATTR_ROW(dropout_options, p, REAL, 0, 0.5, NULL, "the probability of dropping an element, or a channel"),
    TG_ATTR_ROW(dropout_options, inplace, BOOL, 0, 0, NULL,
                "accepted and without effect: nothing works in place here"),
    TG_ATTR_END,
};

static const char *const input_names[] = {"input"};

static const dropout_options third = {.p = 0.3}, none = {.p = 0}, all = {.p = 1};
#define SAMPLE(LABEL, ATTRS, ...)                                                                            \
    {                                                                                                        \
        .label = LABEL, .attrs = ATTRS, .in = TG_SAMPLE_INPUTS({__VA_ARGS__, -2 : 2})                          \
    }
static const tg_sample element_table[] = {
    SAMPLE("p = 0.5", NULL, [3, 5]), SAMPLE("p = 0.3", &third, [2, 3, 4]),
    SAMPLE("p = 0", &none, [3, 5]), SAMPLE("p = 1", &all, [3, 5])};
static const tg_sample channel_table[] = {SAMPLE("batch", NULL, [3, 4, 2]),
                                          SAMPLE("p = 1", &all, [3, 5])};
static const tg_sample block_table[] = {SAMPLE("batch", &third, [2, 4, 1, 1, 2]),
                                        SAMPLE("no batch", NULL, [6, 1, 2, 1])};
TG_SAMPLES(elements, element_table)
TG_SAMPLES(channels, channel_table)
TG_SAMPLES(blocks, block_table)

#define ROW(NAME, DROP, SAMPLES, DOC)                                                                        \
    {                                                                                                        \
        .cls = {.struct_size = sizeof(tg_layer_class),                                                       \
                .flags = TG_LAYER_RANDOM,                                                                    \
                .name = NAME,                                                                                \
                .attrs = specs,                                                                              \
                .attrs_size = sizeof(dropout_options),                                                       \
                .n_in = 1,                                                                                   \
                .n_out = 1,                                                                                  \
                .in_names = input_names,                                                                     \
                .init = dropout_init,                                                                        \
                .forward = {dropout_forward, dropout_forward},                                               \
                .samples = TG_PROOF(SAMPLES),                                                                          \
                .doc = DOC},                                                                                 \
        .drop = DROP                                                                                         \
    }
static const dropout rows[] = {
    ROW("Dropout", tg_dropout, elements, "train: x/(1 − p) with probability 1 − p, else 0; eval: x"),
    ROW("Dropout1d", tg_dropout1d, channels, "Dropout of whole channels of [N, C, L] or [C, L]"),
    ROW("Dropout2d", tg_dropout2d, channels, "Dropout of whole channels of [N, C, *]"),
    ROW("Dropout3d", tg_dropout3d, blocks, "Dropout of whole channels of [N, C, D, H, W] or [C, D, H, W]"),
    ROW("AlphaDropout", tg_alpha_dropout, elements, "Dropout that keeps mean and variance behind a SELU"),
    ROW("FeatureAlphaDropout", tg_feature_alpha_dropout, channels, "AlphaDropout of whole channels of [N, C, *]"),
};
const tg_layer_class *const tg_layers_dropout[] = {&rows[0].cls, &rows[1].cls, &rows[2].cls, &rows[3].cls,
                                                   &rows[4].cls, &rows[5].cls, NULL};

#define CONSTRUCTOR(NAME, I)                                                                                 \
    tg_module *tg_nn_##NAME(tg_runtime *rt, double p)                                                        \
    {                                                                                                        \
        return tg_module_new(rt, &rows[I].cls, &(dropout_options){.p = p});                                  \
    }
CONSTRUCTOR(dropout, 0)
CONSTRUCTOR(dropout1d, 1)
CONSTRUCTOR(dropout2d, 2)
CONSTRUCTOR(dropout3d, 3)
CONSTRUCTOR(alpha_dropout, 4)
CONSTRUCTOR(feature_alpha_dropout, 5)
