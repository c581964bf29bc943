#include "layers/internal.h"

typedef struct loss_state {
    tg_tensor *weight; /* the buffer, or NULL */
} loss_state;

typedef struct mse_loss_options {
    int64_t reduction;
} mse_loss_options;

static tg_status check_reduction(const tg_module *m, int64_t reduction)
{
    if (reduction >= TG_REDUCE_NONE && reduction <= TG_REDUCE_SUM)
        return TG_OK;
    return tg_fail(NULL, TG_EINVAL,
                   "%s: reduction is %lld, expected TG_REDUCE_NONE, TG_REDUCE_MEAN or TG_REDUCE_SUM",
                   m->cls->name, (long long)reduction);
}

/* Copies the caller's class weights into a buffer. */
static tg_status keep_weight(tg_module *m, tg_tensor *weight)
{
    if (!weight)
        return TG_OK;
    loss_state *s = m->self;
    tg_desc d;
    char got[128];
    tg_status status = tg_tensor_desc(weight, &d);
    if (status)
        return status;
    if (d.ndim != 1 || !tg_dtype_is_float(d.dtype))
        return tg_fail(NULL, d.ndim != 1 ? TG_ESHAPE : TG_EDTYPE,
                       "%s: weight is %s, expected one number per class", m->cls->name,
                       tg_desc_format(&d, got, sizeof got));
    status = tg_module_add_buffer(m, "weight", (tg_dtype)d.dtype, d.dim, 1, &s->weight);
    if (status)
        return status;
    const tg_allocator *a = tg_runtime_allocator(m->rt);
    size_t bytes = (size_t)d.dim[0] * tg_dtype_size(d.dtype);
    void *copy = tg_alloc(a, bytes ? bytes : 1);
    if (!copy)
        return TG_ENOMEM;
    status = tg_tensor_read(weight, copy, bytes);
    if (!status)
        status = tg_tensor_write(s->weight, copy, bytes);
    tg_free(a, copy);
    return status;
}

static tg_status cross_entropy_init(tg_module *m, const void *attrs)
{
    const tg_cross_entropy_options *o = attrs;
    tg_status status = check_reduction(m, o->reduction);
    if (status)
        return status;
    if (!(o->label_smoothing >= 0 && o->label_smoothing <= 1))
        return tg_fail(NULL, TG_EINVAL,
                       "CrossEntropyLoss: label_smoothing is %g, expected a number between 0 and 1",
                       o->label_smoothing);
    return keep_weight(m, o->weight);
}

static tg_status nll_init(tg_module *m, const void *attrs)
{
    const tg_nll_loss_options *o = attrs;
    tg_status status = check_reduction(m, o->reduction);
    return status ? status : keep_weight(m, o->weight);
}

static tg_status mse_init(tg_module *m, const void *attrs)
{
    return check_reduction(m, ((const mse_loss_options *)attrs)->reduction);
}

static tg_status cross_entropy_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                       tg_tensor *out[])
{
    (void)n_in;
    const tg_cross_entropy_options *o = m->attrs;
    const loss_state *s = m->self;
    return tg_layer_result(tape,
                           tg_cross_entropy_with(tape, in[0], in[1], s->weight, o->ignore_index,
                                                 (tg_reduction)o->reduction, o->label_smoothing),
                           out);
}

static tg_status nll_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                             tg_tensor *out[])
{
    (void)n_in;
    const tg_nll_loss_options *o = m->attrs;
    const loss_state *s = m->self;
    return tg_layer_result(
        tape, tg_nll_loss(tape, in[0], in[1], s->weight, o->ignore_index, (tg_reduction)o->reduction), out);
}

static tg_status mse_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                             tg_tensor *out[])
{
    (void)n_in;
    const mse_loss_options *o = m->attrs;
    return tg_layer_result(tape, tg_mse_loss(tape, in[0], in[1], (tg_reduction)o->reduction), out);
}

#define REDUCTION(S)                                                                                         \
    TG_ATTR_ROW(S, reduction, CHOICE, 0, TG_REDUCE_MEAN, "none|mean|sum",                                    \
                "one loss an element, their (weighted) mean, or their sum")
#define WEIGHT(S) TG_ATTR_ROW(S, weight, TENSOR, TG_ATTR_OPTIONAL, 0, NULL, "a factor for each class; copied")
#define IGNORE(S) TG_ATTR_ROW(S, ignore_index, INT, 0, -100, NULL, "a label that counts for nothing")
static const tg_attr_spec cross_entropy_specs[] = {
    WEIGHT(tg_cross_entropy_options),
    IGNORE(tg_cross_entropy_options),
    REDUCTION(tg_cross_entropy_options),
    TG_ATTR_ROW(tg_cross_entropy_options, label_smoothing, REAL, 0, 0, NULL,
                "the part of the target that is spread "
                "evenly over all classes"),
    TG_ATTR_END,
};
static const tg_attr_spec nll_specs[] = {WEIGHT(tg_nll_loss_options), IGNORE(tg_nll_loss_options),
                                         REDUCTION(tg_nll_loss_options), TG_ATTR_END};
static const tg_attr_spec mse_specs[] = {REDUCTION(mse_loss_options), TG_ATTR_END};

static const char *const input_names[] = {"input", "target"};

#define SCORES(...)                                                                                          \
    {                                                                                                        \
        __VA_ARGS__, .low = -2, .high = 2                                                                    \
    }
#define LABELS(...)                                                                                          \
    {                                                                                                        \
        __VA_ARGS__, .low = 0, .high = 3, .dtype = TG_I64, .flags = TG_SAMPLE_NO_GRAD                        \
    }
#define SAMPLE(LABEL, ATTRS, ...)                                                                            \
    {                                                                                                        \
        .label = LABEL, .n_in = 2, .in = TG_SAMPLE_INPUTS(__VA_ARGS__), .attrs = ATTRS                                       \
    }
static const tg_cross_entropy_options ce_sum = {.ignore_index = 1, .reduction = TG_REDUCE_SUM};
static const tg_cross_entropy_options ce_none = {.ignore_index = -100, .reduction = TG_REDUCE_NONE};
static const tg_cross_entropy_options ce_smooth = {
    .ignore_index = -100, .reduction = TG_REDUCE_MEAN, .label_smoothing = 0.2};
static const tg_sample cross_entropy_table[] = {
    SAMPLE("classes", NULL, SCORES(.ndim = 2, .dim = {4, 3}), LABELS(.ndim = 1, .dim = {4})),
    SAMPLE("sum, ignore_index", &ce_sum, SCORES(.ndim = 2, .dim = {6, 3}), LABELS(.ndim = 1, .dim = {6})),
    SAMPLE("none, positions", &ce_none, SCORES(.ndim = 3, .dim = {2, 3, 2}),
           LABELS(.ndim = 2, .dim = {2, 2})),
    SAMPLE("label smoothing", &ce_smooth, SCORES(.ndim = 2, .dim = {4, 3}), LABELS(.ndim = 1, .dim = {4})),
    SAMPLE("probabilities", NULL, SCORES(.ndim = 2, .dim = {4, 3}),
           {.ndim = 2, .dim = {4, 3}, .low = 0.1, .high = 0.9}),
};
TG_SAMPLES(cross_entropy_samples, cross_entropy_table)

static const tg_nll_loss_options nll_sum = {.ignore_index = 1, .reduction = TG_REDUCE_SUM};
static const tg_nll_loss_options nll_none = {.ignore_index = -100, .reduction = TG_REDUCE_NONE};
static const tg_sample nll_table[] = {
    SAMPLE("classes", NULL, SCORES(.ndim = 2, .dim = {4, 3}), LABELS(.ndim = 1, .dim = {4})),
    SAMPLE("sum, ignore_index", &nll_sum, SCORES(.ndim = 2, .dim = {6, 3}), LABELS(.ndim = 1, .dim = {6})),
    SAMPLE("none, positions", &nll_none, SCORES(.ndim = 3, .dim = {2, 3, 2}),
           LABELS(.ndim = 2, .dim = {2, 2})),
};
TG_SAMPLES(nll_samples, nll_table)

static const mse_loss_options mse_sum = {TG_REDUCE_SUM};
static const mse_loss_options mse_none = {TG_REDUCE_NONE};
static const tg_sample mse_table[] = {
    SAMPLE("mean", NULL, SCORES(.ndim = 2, .dim = {4, 3}), SCORES(.ndim = 2, .dim = {4, 3})),
    SAMPLE("sum", &mse_sum, SCORES(.ndim = 2, .dim = {4, 3}), SCORES(.ndim = 2, .dim = {4, 3})),
    SAMPLE("none", &mse_none, SCORES(.ndim = 1, .dim = {5}), SCORES(.ndim = 1, .dim = {5})),
};
TG_SAMPLES(mse_samples, mse_table)

#define CLASS(NAME, SPECS, OPTIONS, INIT, FORWARD, SAMPLES_OF, DOC)                                          \
    {                                                                                                        \
        .struct_size = sizeof(tg_layer_class), .flags = TG_LAYER_LOSS, .name = NAME, .attrs = SPECS,         \
        .attrs_size = sizeof(OPTIONS), .state_size = sizeof(loss_state), .n_in = 2, .n_out = 1,              \
        .in_names = input_names, .init = INIT, .forward = {FORWARD, FORWARD}, .samples = SAMPLES_OF,         \
        .doc = DOC                                                                                           \
    }
static const tg_layer_class cross_entropy =
    CLASS("CrossEntropyLoss", cross_entropy_specs, tg_cross_entropy_options, cross_entropy_init,
          cross_entropy_forward, cross_entropy_samples,
          "NLLLoss of log_softmax(input); the target is classes, or probabilities");
static const tg_layer_class nll =
    CLASS("NLLLoss", nll_specs, tg_nll_loss_options, nll_init, nll_forward, nll_samples,
          "−weight[target]·input[target]; mean: divided by Σ weight[target]");
static const tg_layer_class mse =
    CLASS("MSELoss", mse_specs, mse_loss_options, mse_init, mse_forward, mse_samples, "(input − target)²");

const tg_layer_class *const tg_layers_loss[] = {&cross_entropy, &nll, &mse, NULL};

tg_cross_entropy_options tg_cross_entropy_defaults(void)
{
    return (tg_cross_entropy_options){
        .struct_size = sizeof(tg_cross_entropy_options), .ignore_index = -100, .reduction = TG_REDUCE_MEAN};
}

tg_module *tg_nn_cross_entropy_loss_with(tg_runtime *rt, const tg_cross_entropy_options *options)
{
    tg_cross_entropy_options known = tg_cross_entropy_defaults();
    return tg_options_read("CrossEntropyLoss", &known, sizeof known, options)
               ? NULL
               : tg_module_new(rt, &cross_entropy, &known);
}

tg_module *tg_nn_cross_entropy_loss(tg_runtime *rt)
{
    return tg_module_new(rt, &cross_entropy, NULL);
}

tg_nll_loss_options tg_nll_loss_defaults(void)
{
    return (tg_nll_loss_options){
        .struct_size = sizeof(tg_nll_loss_options), .ignore_index = -100, .reduction = TG_REDUCE_MEAN};
}

tg_module *tg_nn_nll_loss_with(tg_runtime *rt, const tg_nll_loss_options *options)
{
    tg_nll_loss_options known = tg_nll_loss_defaults();
    return tg_options_read("NLLLoss", &known, sizeof known, options) ? NULL : tg_module_new(rt, &nll, &known);
}

tg_module *tg_nn_nll_loss(tg_runtime *rt)
{
    return tg_module_new(rt, &nll, NULL);
}

tg_module *tg_nn_mse_loss(tg_runtime *rt, tg_reduction reduction)
{
    return tg_module_new(rt, &mse, &(mse_loss_options){reduction});
}
