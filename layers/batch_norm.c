#include <math.h>
#include <string.h>

#include "layers/internal.h"

typedef struct batch_norm_state {
    tg_tensor *weight, *bias;
    tg_tensor *running_mean, *running_var, *num_batches_tracked; /* NULL: batch statistics in both modes */
    const tg_operator *update;
    int min_ndim, max_ndim;
    const char *expected;
} batch_norm_state;

static bool is_none(double v)
{
    double none = TG_NONE_REAL;
    return memcmp(&v, &none, sizeof v) == 0;
}

static tg_status check_options(const char *name, const tg_batch_norm_options *o)
{
    if (o->num_features < 1)
        return tg_fail(NULL, TG_EINVAL, "%s: num_features is %lld, expected at least 1", name,
                       (long long)o->num_features);
    if (!(o->eps > 0) || isinf(o->eps))
        return tg_fail(NULL, TG_EINVAL, "%s: eps is %g, expected a positive number", name, o->eps);
    if (!is_none(o->momentum) && !(o->momentum >= 0 && o->momentum <= 1))
        return tg_fail(NULL, TG_EINVAL, "%s: momentum is %g, expected a number between 0 and 1 or None", name,
                       o->momentum);
    return TG_OK;
}

static tg_status add_affine(tg_module *m, batch_norm_state *s, const tg_batch_norm_options *o)
{
    tg_status status = tg_module_add_parameter(m, "weight", &o->num_features, 1, &s->weight);
    if (!status)
        status = tg_fill(s->weight, 1);
    if (!status && o->bias)
        status = tg_module_add_parameter(m, "bias", &o->num_features, 1, &s->bias);
    return status;
}

static tg_status add_statistics(tg_module *m, batch_norm_state *s, const tg_batch_norm_options *o)
{
    tg_dtype dtype = tg_runtime_dtype(m->rt);
    tg_status status = tg_module_add_buffer(m, "running_mean", dtype, &o->num_features, 1, &s->running_mean);
    if (!status)
        status = tg_module_add_buffer(m, "running_var", dtype, &o->num_features, 1, &s->running_var);
    if (!status)
        status = tg_fill(s->running_var, 1);
    if (!status)
        status = tg_module_add_buffer(m, "num_batches_tracked", TG_I64, NULL, 0, &s->num_batches_tracked);
    return status;
}

static tg_status batch_norm_init(tg_module *m, const tg_batch_norm_options *o, int min_ndim, int max_ndim,
                                 const char *expected)
{
    batch_norm_state *s = m->self;
    s->min_ndim = min_ndim;
    s->max_ndim = max_ndim;
    s->expected = expected;
    tg_status status = check_options(m->cls->name, o);
    if (status)
        return status;
    s->update = tg_operator_find(m->rt, "batch_norm_update");
    if (!s->update)
        return tg_fail(NULL, TG_EUNKNOWN, "%s: the operator batch_norm_update is not registered",
                       m->cls->name);
    if (o->affine)
        status = add_affine(m, s, o);
    if (!status && o->track_running_stats)
        status = add_statistics(m, s, o);
    return status;
}

static tg_status init_1d(tg_module *m, const void *attrs)
{
    return batch_norm_init(m, attrs, 2, 3, "[N, C] or [N, C, L]");
}

static tg_status init_2d(tg_module *m, const void *attrs)
{
    return batch_norm_init(m, attrs, 4, 4, "[N, C, H, W]");
}

static tg_status init_3d(tg_module *m, const void *attrs)
{
    return batch_norm_init(m, attrs, 5, 5, "[N, C, D, H, W]");
}

static tg_status check_input(tg_module *m, tg_tape *tape, const tg_desc *x)
{
    const batch_norm_state *s = m->self;
    const tg_batch_norm_options *o = m->attrs;
    if (x->ndim >= s->min_ndim && x->ndim <= s->max_ndim && x->dim[1] == o->num_features)
        return TG_OK;
    char got[128];
    return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected %s with C = %lld",
                         tg_desc_format(x, got, sizeof got), s->expected, (long long)o->num_features);
}

static tg_status with_running(tg_module *m, tg_tape *tape, bool relu, tg_tensor *x, tg_tensor *out[])
{
    const batch_norm_state *s = m->self;
    const tg_batch_norm_options *o = m->attrs;
    tg_tensor *y = tg_batch_norm_eval_then(tape, relu, x, s->running_mean, s->running_var, s->weight,
                                           s->bias, o->eps);
    return tg_layer_result(tape, y, out);
}

static tg_status one_value(tg_module *m, tg_tape *tape, const tg_desc *x)
{
    const batch_norm_state *s = m->self;
    char got[128];
    return tg_layer_fail(
        m, tape, TG_ESHAPE,
        "%s holds one value per channel, and batch statistics need more than one; "
        "use a larger batch (a tg_loader's TG_LAST_MERGE or TG_LAST_DROP avoids a last batch of one)%s",
        tg_desc_format(x, got, sizeof got), s->running_mean ? ", eval mode, or tg_module_freeze" : "");
}

static tg_status with_batch(tg_module *m, tg_tape *tape, bool relu, tg_tensor *x, tg_tensor *out[])
{
    const batch_norm_state *s = m->self;
    const tg_batch_norm_options *o = m->attrs;
    const tg_desc *d = tg_layer_desc(x);
    int64_t n = tg_desc_count(d) / o->num_features; /* values per channel */
    if (n == 1)
        return one_value(m, tape, d);
    if (n == 0 || !s->running_mean)
        return tg_layer_result(
            tape, tg_batch_norm_train_then(tape, relu, x, s->weight, s->bias, o->eps, NULL, NULL), out);
    tg_tensor *mean, *var;
    tg_tensor *y = tg_batch_norm_train_then(tape, relu, x, s->weight, s->bias, o->eps, &mean, &var);
    if (!y)
        return tape->status;
    out[0] = y;
    return tg_stage(tape, s->update,
                    (tg_tensor *const[]){s->running_mean, s->running_var, s->num_batches_tracked, mean, var},
                    5, (const double[]){o->momentum, (double)n});
}

static bool takes_running(const tg_module *m, tg_mode mode)
{
    const batch_norm_state *s = m->self;
    return s->running_mean && (mode == TG_EVAL || m->frozen & TG_FREEZE_STATISTICS);
}

static tg_status forward_then(tg_module *m, tg_tape *tape, bool relu, tg_tensor *x, tg_tensor *out[])
{
    tg_status status = check_input(m, tape, tg_layer_desc(x));
    if (status)
        return status;
    return takes_running(m, tape->mode) ? with_running(m, tape, relu, x, out) : with_batch(m, tape, relu, x, out);
}

static tg_status batch_norm_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                    tg_tensor *out[])
{
    (void)n_in;
    return forward_then(m, tape, false, in[0], out);
}

tg_status tg_batch_norm_relu(tg_module *m, tg_tape *tape, tg_tensor *x, const void *unused, tg_tensor **y)
{
    (void)unused;
    return forward_then(m, tape, true, x, y);
}

#define S tg_batch_norm_options
static const tg_attr_spec specs[] = {
    TG_ATTR_ROW(S, num_features, INT, TG_ATTR_REQUIRED, 0, NULL, "channels: C of [N, C, …]"),
    TG_ATTR_ROW(S, eps, REAL, 0, 1e-5, NULL, "added to the variance"),
    TG_ATTR_ROW(S, momentum, REAL, TG_ATTR_OPTIONAL, 0.1, NULL,
                "the new batch's part in the running statistics; None: the plain average over batches"),
    TG_ATTR_ROW(S, affine, BOOL, 0, 1, NULL, "learned weight and bias"),
    TG_ATTR_ROW(S, track_running_stats, BOOL, 0, 1, NULL,
                "false: no buffers, batch statistics in both modes"),
    TG_ATTR_ROW(S, bias, BOOL, 0, 1, NULL, "false: affine without a bias"),
    TG_ATTR_END,
};

static const S plain = {.num_features = 3,
                        .eps = 1e-5,
                        .momentum = 0.1,
                        .affine = true,
                        .track_running_stats = true,
                        .bias = true};
static const S average = {.num_features = 3,
                          .eps = 1e-3,
                          .momentum = TG_NONE_REAL,
                          .affine = true,
                          .track_running_stats = true,
                          .bias = true};
static const S no_affine = {.num_features = 3, .eps = 1e-5, .momentum = 0.1, .track_running_stats = true};
static const S no_bias = {
    .num_features = 3, .eps = 1e-5, .momentum = 0.1, .affine = true, .track_running_stats = true};
static const S no_statistics = {
    .num_features = 3, .eps = 1e-5, .momentum = 0.1, .affine = true, .bias = true};
#undef S

/* The same options for each rank. */
#define ROW(LABEL, ATTRS, ...)                                                                               \
    {                                                                                                        \
        .label = LABEL, .in = TG_SAMPLE_INPUTS({__VA_ARGS__, -2 : 2}), .attrs = &ATTRS                                       \
    }
#define ROWS(...)                                                                                            \
    {.label = "plain",                                                                                       \
     .in = TG_SAMPLE_INPUTS({__VA_ARGS__, -2 : 2}),                                                          \
     .attrs = &plain,                                                                                        \
     .begins = "weight constant 1, bias constant 0"},                                                        \
        ROW("momentum None", average, __VA_ARGS__),                                                          \
        ROW("affine False", no_affine, __VA_ARGS__), ROW("bias False", no_bias, __VA_ARGS__),                \
        ROW("track_running_stats False", no_statistics, __VA_ARGS__)
static const tg_sample samples_1d[] = {
    ROWS([4, 3]),
    ROW("3-D", plain, [2, 3, 4]),
    ROW("3-D strided", no_statistics, [2, 3, 4], strided),
};
static const tg_sample samples_2d[] = {ROWS([2, 3, 2, 2])};
static const tg_sample samples_3d[] = {ROWS([2, 3, 1, 2, 2])};
TG_SAMPLES(batch_norm_1d_samples, samples_1d)
TG_SAMPLES(batch_norm_2d_samples, samples_2d)
TG_SAMPLES(batch_norm_3d_samples, samples_3d)

static const char *const input_names[] = {"input"};

#define CLASS(NAME, INIT, SAMPLES)                                                                           \
    {                                                                                                        \
        .struct_size = sizeof(tg_layer_class), .name = NAME, .attrs = specs,                                 \
        .attrs_size = sizeof(tg_batch_norm_options), .state_size = sizeof(batch_norm_state), .n_in = 1,      \
        .n_out = 1, .in_names = input_names, .init = INIT, .forward = {batch_norm_forward, batch_norm_forward},   \
        .samples = TG_PROOF(SAMPLES),                                                                                  \
        .doc = "y = (x − μ)/√(v + eps)·γ + β; train: the batch's μ and v, eval: the running ones"   \
    }
static const tg_layer_class class_1d = CLASS("BatchNorm1d", init_1d, batch_norm_1d_samples);
static const tg_layer_class class_2d = CLASS("BatchNorm2d", init_2d, batch_norm_2d_samples);
static const tg_layer_class class_3d = CLASS("BatchNorm3d", init_3d, batch_norm_3d_samples);

const tg_layer_class *const tg_layers_batch_norm[] = {&class_1d, &class_2d, &class_3d, NULL};

bool tg_batch_norm_facts_of(const tg_module *m, tg_batch_norm_facts *out)
{
    const tg_layer_class *const *cls = tg_layers_batch_norm;
    while (*cls && *cls != m->cls)
        cls++;
    if (!*cls)
        return false;
    const batch_norm_state *s = m->self;
    const tg_batch_norm_options *o = m->attrs;
    const bool running = takes_running(m, m->mode);
    *out = (tg_batch_norm_facts){.min_ndim = s->min_ndim,
                                 .max_ndim = s->max_ndim,
                                 .channels = o->num_features,
                                 .eps = o->eps,
                                 .mean = running ? s->running_mean : NULL,
                                 .var = running ? s->running_var : NULL,
                                 .weight = s->weight,
                                 .bias = s->bias};
    return true;
}

tg_batch_norm_options tg_batch_norm_defaults(int64_t num_features)
{
    return (tg_batch_norm_options){.struct_size = sizeof(tg_batch_norm_options),
                                   .num_features = num_features,
                                   .eps = 1e-5,
                                   .momentum = 0.1,
                                   .affine = true,
                                   .track_running_stats = true,
                                   .bias = true};
}

static tg_module *make(tg_runtime *rt, const tg_layer_class *cls, const tg_batch_norm_options *options)
{
    tg_batch_norm_options known = tg_batch_norm_defaults(0);
    return tg_options_read(cls->name, &known, sizeof known, options) ? NULL : tg_module_new(rt, cls, &known);
}

tg_module *tg_nn_batch_norm1d_with(tg_runtime *rt, const tg_batch_norm_options *options)
{
    return make(rt, &class_1d, options);
}

tg_module *tg_nn_batch_norm2d_with(tg_runtime *rt, const tg_batch_norm_options *options)
{
    return make(rt, &class_2d, options);
}

tg_module *tg_nn_batch_norm3d_with(tg_runtime *rt, const tg_batch_norm_options *options)
{
    return make(rt, &class_3d, options);
}

tg_module *tg_nn_batch_norm1d(tg_runtime *rt, int64_t num_features)
{
    tg_batch_norm_options options = tg_batch_norm_defaults(num_features);
    return make(rt, &class_1d, &options);
}

tg_module *tg_nn_batch_norm2d(tg_runtime *rt, int64_t num_features)
{
    tg_batch_norm_options options = tg_batch_norm_defaults(num_features);
    return make(rt, &class_2d, &options);
}

tg_module *tg_nn_batch_norm3d(tg_runtime *rt, int64_t num_features)
{
    tg_batch_norm_options options = tg_batch_norm_defaults(num_features);
    return make(rt, &class_3d, &options);
}
