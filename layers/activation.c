/* The activations: a table, and one forward for both modes. */
#include "layers/internal.h"

/* Of all activations; each has the members that its table of attributes names. */
typedef struct activation_options {
    double negative_slope, alpha, beta, threshold, min_val, max_val;
    int64_t dim, approximate;
    bool inplace;
} activation_options;

typedef struct activation {
    tg_layer_class cls;
    tg_tensor *(*plain)(tg_tape *, tg_tensor *);
    tg_tensor *(*with)(tg_tape *, tg_tensor *, const activation_options *);
} activation;

static tg_status activation_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                    tg_tensor *out[])
{
    (void)n_in;
    const activation *row = (const activation *)(const void *)m->cls;
    return tg_layer_result(tape, row->plain ? row->plain(tape, in[0]) : row->with(tape, in[0], m->attrs),
                           out);
}

static tg_tensor *leaky_relu(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_leaky_relu(tape, x, o->negative_slope);
}

static tg_tensor *elu(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_elu(tape, x, o->alpha);
}

static tg_tensor *celu(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_celu(tape, x, o->alpha);
}

static tg_tensor *gelu(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_gelu(tape, x, o->approximate == 1);
}

static tg_tensor *softplus(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_softplus(tape, x, o->beta, o->threshold);
}

static tg_tensor *hardtanh(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_hardtanh(tape, x, o->min_val, o->max_val);
}

static tg_tensor *relu6(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    (void)o;
    return tg_hardtanh(tape, x, 0, 6);
}

/* torch's rule for dim None. */
static int64_t softmax_dim(const tg_tensor *x, const activation_options *o)
{
    int32_t ndim = tg_layer_desc(x)->ndim;
    if (o->dim != TG_NONE_INT)
        return o->dim;
    return ndim == 0 || ndim == 1 || ndim == 3 ? 0 : 1;
}

static tg_tensor *softmax(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_softmax(tape, x, softmax_dim(x, o));
}

static tg_tensor *log_softmax(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_log_softmax(tape, x, softmax_dim(x, o));
}

static tg_status celu_init(tg_module *m, const void *attrs)
{
    (void)m;
    const activation_options *o = attrs;
    return o->alpha != 0 ? TG_OK : tg_fail(NULL, TG_EINVAL, "CELU: alpha is 0, expected any other number");
}

static tg_status hardtanh_init(tg_module *m, const void *attrs)
{
    (void)m;
    const activation_options *o = attrs;
    if (o->max_val > o->min_val)
        return TG_OK;
    return tg_fail(NULL, TG_EINVAL, "Hardtanh: min_val %g and max_val %g, expected min_val < max_val",
                   o->min_val, o->max_val);
}

#define S activation_options
#define INPLACE                                                                                              \
    TG_ATTR_ROW(S, inplace, BOOL, 0, 0, NULL, "accepted and without effect: nothing works in place here")
#define DIM                                                                                                  \
    TG_ATTR_ROW(S, dim, INT, TG_ATTR_OPTIONAL, (double)TG_NONE_INT, NULL,                                    \
                "the dim that sums to 1; None: 0 for 0, 1 and 3 dims, else 1")
static const tg_attr_spec no_specs[] = {TG_ATTR_END};
static const tg_attr_spec inplace_specs[] = {INPLACE, TG_ATTR_END};
static const tg_attr_spec leaky_specs[] = {
    TG_ATTR_ROW(S, negative_slope, REAL, 0, 0.01, NULL, "the slope below 0"), INPLACE, TG_ATTR_END};
static const tg_attr_spec elu_specs[] = {TG_ATTR_ROW(S, alpha, REAL, 0, 1, NULL, "−alpha is the limit at −∞"),
                                         INPLACE, TG_ATTR_END};
static const tg_attr_spec gelu_specs[] = {
    TG_ATTR_ROW(S, approximate, CHOICE, 0, 0, "none|tanh", "none: with erf; tanh: the approximation"),
    TG_ATTR_END};
static const tg_attr_spec softplus_specs[] = {
    TG_ATTR_ROW(S, beta, REAL, 0, 1, NULL, "sharpness"),
    TG_ATTR_ROW(S, threshold, REAL, 0, 20, NULL, "y = x where beta·x is above it"), TG_ATTR_END};
static const tg_attr_spec hardtanh_specs[] = {TG_ATTR_ROW(S, min_val, REAL, 0, -1, NULL, "lower bound"),
                                              TG_ATTR_ROW(S, max_val, REAL, 0, 1, NULL, "upper bound"),
                                              INPLACE, TG_ATTR_END};
static const tg_attr_spec dim_specs[] = {DIM, TG_ATTR_END};
#undef S

/* Away from the points where the function, or its derivative, has a bend. */
#define SMOOTH .ndim = 2, .dim = {3, 4}, .low = -3, .high = 3
#define BENT SMOOTH, .n_kinks = 1, .kinks = {0}, .distance = 0.1
#define SAMPLE(LABEL, ATTRS, ...)                                                                            \
    {                                                                                                        \
        .label = LABEL, .n_in = 1, .in = TG_SAMPLE_INPUTS({__VA_ARGS__}), .attrs = ATTRS                                     \
    }

static const tg_sample smooth_table[] = {SAMPLE("2-D", NULL, SMOOTH),
                                         SAMPLE("scalar", NULL, .ndim = 0, .low = -2, .high = 2)};
TG_SAMPLES(smooth, smooth_table)
static const tg_sample bent_table[] = {
    SAMPLE("2-D", NULL, BENT), SAMPLE("strided", NULL, BENT, .flags = TG_SAMPLE_STRIDED),
    SAMPLE("scalar", NULL, .ndim = 0, .low = -2, .high = 2, .n_kinks = 1, .kinks = {0}, .distance = 0.1)};
TG_SAMPLES(bent, bent_table)
static const activation_options steep_leak = {.negative_slope = 0.5};
static const tg_sample leaky_table[] = {SAMPLE("2-D", NULL, BENT), SAMPLE("steep", &steep_leak, BENT)};
TG_SAMPLES(leaky, leaky_table)
static const activation_options alpha_two = {.alpha = 2};
static const tg_sample elu_table[] = {SAMPLE("2-D", NULL, BENT), SAMPLE("alpha 2", &alpha_two, BENT)};
TG_SAMPLES(elu_like, elu_table)
static const activation_options tanh_gelu = {.approximate = 1};
static const tg_sample gelu_table[] = {SAMPLE("erf", NULL, SMOOTH), SAMPLE("tanh", &tanh_gelu, SMOOTH)};
TG_SAMPLES(gelu_samples, gelu_table)
static const activation_options low_threshold = {.beta = 2, .threshold = 1};
static const tg_sample softplus_table[] = {
    SAMPLE("2-D", NULL, SMOOTH),
    SAMPLE("with a threshold", &low_threshold, SMOOTH, .n_kinks = 1, .kinks = {0.5}, .distance = 0.1)};
TG_SAMPLES(softplus_samples, softplus_table)
static const activation_options narrow = {.min_val = -0.5, .max_val = 2};
static const tg_sample hardtanh_table[] = {
    SAMPLE("2-D", NULL, SMOOTH, .n_kinks = 2, .kinks = {-1, 1}, .distance = 0.1),
    SAMPLE("other bounds", &narrow, SMOOTH, .n_kinks = 2, .kinks = {-0.5, 2}, .distance = 0.1)};
TG_SAMPLES(hardtanh_samples, hardtanh_table)
static const tg_sample relu6_table[] = {SAMPLE("2-D", NULL, .ndim = 2, .dim = {3, 4}, .low = -3, .high = 9,
                                               .n_kinks = 2, .kinks = {0, 6}, .distance = 0.1)};
TG_SAMPLES(relu6_samples, relu6_table)
static const activation_options last_dim = {.dim = -1};
static const activation_options first_dim = {.dim = 0};
static const tg_sample dim_table[] = {
    SAMPLE("dim None", NULL, SMOOTH), SAMPLE("dim −1", &last_dim, SMOOTH),
    SAMPLE("dim 0", &first_dim, SMOOTH),
    SAMPLE("3-D, dim None", NULL, .ndim = 3, .dim = {2, 3, 2}, .low = -3, .high = 3)};
TG_SAMPLES(dim_samples, dim_table)

static const char *const input_names[] = {"input"};

#define CLASS(NAME, INIT, SPECS, SAMPLES_OF, DOC)                                                            \
    .cls = {.struct_size = sizeof(tg_layer_class),                                                           \
            .name = NAME,                                                                                    \
            .attrs = SPECS,                                                                                  \
            .attrs_size = sizeof(activation_options),                                                        \
            .n_in = 1,                                                                                       \
            .n_out = 1,                                                                                      \
            .in_names = input_names,                                                                         \
            .init = INIT,                                                                                    \
            .forward = {activation_forward, activation_forward},                                             \
            .samples = SAMPLES_OF,                                                                           \
            .doc = DOC}

static const activation relu_row = {CLASS("ReLU", NULL, inplace_specs, bent, "max(x, 0)"), .plain = tg_relu};
static const activation relu6_row = {CLASS("ReLU6", NULL, inplace_specs, relu6_samples, "min(max(x, 0), 6)"),
                                     .with = relu6};
static const activation leaky_row = {
    CLASS("LeakyReLU", NULL, leaky_specs, leaky, "x where x > 0, else negative_slope·x"), .with = leaky_relu};
static const activation elu_row = {
    CLASS("ELU", NULL, elu_specs, elu_like, "x where x > 0, else alpha·(eˣ − 1)"), .with = elu};
static const activation selu_row = {
    CLASS("SELU", NULL, inplace_specs, bent, "1.0507…·ELU with alpha 1.6733…"), .plain = tg_selu};
static const activation celu_row = {
    CLASS("CELU", celu_init, elu_specs, elu_like, "max(0, x) + min(0, alpha·(exp(x/alpha) − 1))"),
    .with = celu};
static const activation gelu_row = {
    CLASS("GELU", NULL, gelu_specs, gelu_samples, "x·Φ(x), Φ the normal distribution function"),
    .with = gelu};
static const activation silu_row = {CLASS("SiLU", NULL, inplace_specs, smooth, "x·σ(x)"), .plain = tg_silu};
static const activation mish_row = {CLASS("Mish", NULL, inplace_specs, smooth, "x·tanh(log(1 + eˣ))"),
                                    .plain = tg_mish};
static const activation sigmoid_row = {CLASS("Sigmoid", NULL, no_specs, smooth, "1/(1 + e⁻ˣ)"),
                                       .plain = tg_sigmoid};
static const activation log_sigmoid_row = {CLASS("LogSigmoid", NULL, no_specs, smooth, "log σ(x)"),
                                           .plain = tg_log_sigmoid};
static const activation tanh_row = {CLASS("Tanh", NULL, no_specs, smooth, "tanh x"), .plain = tg_tanh};
static const activation softplus_row = {CLASS("Softplus", NULL, softplus_specs, softplus_samples,
                                              "log(1 + exp(beta·x))/beta, x above the threshold"),
                                        .with = softplus};
static const activation softsign_row = {CLASS("Softsign", NULL, no_specs, bent, "x/(1 + |x|)"),
                                        .plain = tg_softsign};
static const activation hardtanh_row = {
    CLASS("Hardtanh", hardtanh_init, hardtanh_specs, hardtanh_samples, "x held between min_val and max_val"),
    .with = hardtanh};
static const activation softmax_row = {
    CLASS("Softmax", NULL, dim_specs, dim_samples, "exp(x)/Σexp(x) along dim"), .with = softmax};
static const activation log_softmax_row = {
    CLASS("LogSoftmax", NULL, dim_specs, dim_samples, "x − log Σexp(x) along dim"), .with = log_softmax};

const tg_layer_class *const tg_layers_activation[] = {
    &relu_row.cls,     &relu6_row.cls,       &leaky_row.cls,
    &elu_row.cls,      &selu_row.cls,        &celu_row.cls,
    &gelu_row.cls,     &silu_row.cls,        &mish_row.cls,
    &sigmoid_row.cls,  &log_sigmoid_row.cls, &tanh_row.cls,
    &softplus_row.cls, &softsign_row.cls,    &hardtanh_row.cls,
    &softmax_row.cls,  &log_softmax_row.cls, NULL};

tg_module *tg_nn_relu(tg_runtime *rt)
{
    return tg_module_new(rt, &relu_row.cls, NULL);
}

tg_module *tg_nn_relu6(tg_runtime *rt)
{
    return tg_module_new(rt, &relu6_row.cls, NULL);
}

tg_module *tg_nn_leaky_relu(tg_runtime *rt, double negative_slope)
{
    return tg_module_new(rt, &leaky_row.cls, &(activation_options){.negative_slope = negative_slope});
}

tg_module *tg_nn_elu(tg_runtime *rt, double alpha)
{
    return tg_module_new(rt, &elu_row.cls, &(activation_options){.alpha = alpha});
}

tg_module *tg_nn_selu(tg_runtime *rt)
{
    return tg_module_new(rt, &selu_row.cls, NULL);
}

tg_module *tg_nn_celu(tg_runtime *rt, double alpha)
{
    return tg_module_new(rt, &celu_row.cls, &(activation_options){.alpha = alpha});
}

tg_module *tg_nn_gelu(tg_runtime *rt)
{
    return tg_module_new(rt, &gelu_row.cls, NULL);
}

tg_module *tg_nn_silu(tg_runtime *rt)
{
    return tg_module_new(rt, &silu_row.cls, NULL);
}

tg_module *tg_nn_mish(tg_runtime *rt)
{
    return tg_module_new(rt, &mish_row.cls, NULL);
}

tg_module *tg_nn_sigmoid(tg_runtime *rt)
{
    return tg_module_new(rt, &sigmoid_row.cls, NULL);
}

tg_module *tg_nn_log_sigmoid(tg_runtime *rt)
{
    return tg_module_new(rt, &log_sigmoid_row.cls, NULL);
}

tg_module *tg_nn_tanh(tg_runtime *rt)
{
    return tg_module_new(rt, &tanh_row.cls, NULL);
}

tg_module *tg_nn_softplus(tg_runtime *rt)
{
    return tg_module_new(rt, &softplus_row.cls, NULL);
}

tg_module *tg_nn_softsign(tg_runtime *rt)
{
    return tg_module_new(rt, &softsign_row.cls, NULL);
}

tg_module *tg_nn_hardtanh(tg_runtime *rt)
{
    return tg_module_new(rt, &hardtanh_row.cls, NULL);
}

tg_module *tg_nn_softmax(tg_runtime *rt, int64_t dim)
{
    return tg_module_new(rt, &softmax_row.cls, &(activation_options){.dim = dim});
}

tg_module *tg_nn_log_softmax(tg_runtime *rt, int64_t dim)
{
    return tg_module_new(rt, &log_softmax_row.cls, &(activation_options){.dim = dim});
}
