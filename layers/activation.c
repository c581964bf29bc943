/* The activations: a table, and one forward for both modes. */
#include "layers/internal.h"

/* Of all activations; each has the members that its table of attributes names, some under names of their own. */
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

static tg_tensor *softmin(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_softmax(tape, tg_neg(tape, x), softmax_dim(x, o));
}

static tg_tensor *softmax2d(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    (void)o;
    return tg_softmax(tape, x, -3);
}

static tg_tensor *glu(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_glu(tape, x, o->dim);
}

static tg_tensor *hardshrink(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_hardshrink(tape, x, o->alpha);
}

static tg_tensor *softshrink(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_softshrink(tape, x, o->alpha);
}

static tg_tensor *threshold(tg_tape *tape, tg_tensor *x, const activation_options *o)
{
    return tg_threshold(tape, x, o->threshold, o->alpha);
}

static tg_status softmax2d_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                   tg_tensor *out[])
{
    char got[128];
    const tg_desc *x = tg_layer_desc(in[0]);
    if (x->ndim == 3 || x->ndim == 4)
        return activation_forward(m, tape, in, n_in, out);
    return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected [C, H, W] or [N, C, H, W]",
                         tg_desc_format(x, got, sizeof got));
}

/* The slopes are drawn in train mode. */
static tg_status rrelu_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const activation_options *o = m->attrs;
    return tg_layer_result(tape, tg_rrelu(tape, in[0], o->min_val, o->max_val, tape->mode), out);
}

static tg_status prelu_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const int64_t n = ((const activation_options *)m->attrs)->dim;
    const tg_desc *x = tg_layer_desc(in[0]);
    if (n != 1 && n != (x->ndim < 2 ? 1 : x->dim[1])) {
        char got[128];
        return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected %lld channels in dim 1",
                             tg_desc_format(x, got, sizeof got), (long long)n);
    }
    return tg_layer_result(tape, tg_prelu(tape, in[0], m->parameters.at[0].tensor), out);
}

static tg_status prelu_init(tg_module *m, const void *attrs)
{
    const activation_options *o = attrs;
    tg_tensor *weight = NULL;
    if (o->dim < 1)
        return tg_fail(NULL, TG_EINVAL, "PReLU: num_parameters is %lld, expected at least 1",
                       (long long)o->dim);
    tg_status status = tg_module_add_parameter(m, "weight", &o->dim, 1, &weight);
    return status ? status : tg_fill(weight, o->alpha);
}

static tg_status rrelu_init(tg_module *m, const void *attrs)
{
    (void)m;
    const activation_options *o = attrs;
    if (o->min_val <= o->max_val)
        return TG_OK;
    return tg_fail(NULL, TG_EINVAL, "RReLU: lower %g and upper %g, expected lower ≤ upper", o->min_val, o->max_val);
}

static tg_status softshrink_init(tg_module *m, const void *attrs)
{
    (void)m;
    const activation_options *o = attrs;
    return o->alpha >= 0 ? TG_OK : tg_fail(NULL, TG_EINVAL, "Softshrink: lambd is %g, expected at least 0", o->alpha);
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
#define NAMED(NAME, TYPE, FLAGS, FIELD, VALUE, DOC)                                                          \
    {                                                                                                        \
        NAME, TG_ATTR_##TYPE, FLAGS, offsetof(S, FIELD), {VALUE}, NULL, DOC                              \
    }
static const tg_attr_spec glu_specs[] = {NAMED("dim", INT, 0, dim, -1, "the dim that is halved"), TG_ATTR_END};
static const tg_attr_spec shrink_specs[] = {NAMED("lambd", REAL, 0, alpha, 0.5, "what is no farther from 0 becomes 0"),
                                            TG_ATTR_END};
static const tg_attr_spec threshold_specs[] = {
    NAMED("threshold", REAL, TG_ATTR_REQUIRED, threshold, 0, "what is above it stays"),
    NAMED("value", REAL, TG_ATTR_REQUIRED, alpha, 0, "what the rest becomes"), INPLACE, TG_ATTR_END};
static const tg_attr_spec prelu_specs[] = {
    NAMED("num_parameters", INT, 0, dim, 1, "slopes: one, or one for each channel (dim 1)"),
    NAMED("init", REAL, 0, alpha, 0.25, "what the slopes begin with"), TG_ATTR_END};
static const tg_attr_spec rrelu_specs[] = {NAMED("lower", REAL, 0, min_val, 1.0 / 8, "the least slope below 0"),
                                           NAMED("upper", REAL, 0, max_val, 1.0 / 3, "the greatest"), INPLACE, TG_ATTR_END};
#undef S

/* Away from the points where the function, or its derivative, has a bend. */
#define SMOOTH [3, 4], -3 : 3
#define BENT SMOOTH, away 0.1 from [0]
#define SAMPLE(LABEL, ATTRS, ...)                                                                            \
    {                                                                                                        \
        .label = LABEL, .in = TG_SAMPLE_INPUTS({__VA_ARGS__}), .attrs = ATTRS                                                \
    }

static const tg_sample smooth_table[] = {SAMPLE("2-D", NULL, SMOOTH),
                                         SAMPLE("scalar", NULL, [], -2 : 2)};
TG_SAMPLES(smooth, smooth_table)
static const tg_sample bent_table[] = {
    SAMPLE("2-D", NULL, BENT), SAMPLE("strided", NULL, BENT, strided),
    SAMPLE("scalar", NULL, [], -2 : 2, away 0.1 from [0])};
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
    SAMPLE("with a threshold", &low_threshold, SMOOTH, away 0.1 from [0.5])};
TG_SAMPLES(softplus_samples, softplus_table)
static const activation_options narrow = {.min_val = -0.5, .max_val = 2};
static const tg_sample hardtanh_table[] = {
    SAMPLE("2-D", NULL, SMOOTH, away 0.1 from [-1, 1]),
    SAMPLE("other bounds", &narrow, SMOOTH, away 0.1 from [-0.5, 2])};
TG_SAMPLES(hardtanh_samples, hardtanh_table)
static const tg_sample relu6_table[] = {SAMPLE("2-D", NULL, [3, 4], -3 : 9,
                                               away 0.1 from [0, 6])};
TG_SAMPLES(relu6_samples, relu6_table)
static const activation_options last_dim = {.dim = -1};
static const activation_options first_dim = {.dim = 0};
static const tg_sample dim_table[] = {
    SAMPLE("dim None", NULL, SMOOTH), SAMPLE("dim −1", &last_dim, SMOOTH),
    SAMPLE("dim 0", &first_dim, SMOOTH),
    SAMPLE("3-D, dim None", NULL, [2, 3, 2], -3 : 3)};
TG_SAMPLES(dim_samples, dim_table)

static const tg_sample plane_table[] = {SAMPLE("3-D", NULL, [3, 1, 2], -3 : 3)};
TG_SAMPLES(planes, plane_table)
/* What bends at −3 and 3. */
static const activation_options threes = {.threshold = 3, .alpha = 3};
static const tg_sample hard_table[] = {
    SAMPLE("2-D", &threes, [3, 4], -5 : 5, away 0.1 from [-3, 3])};
TG_SAMPLES(hard, hard_table)
static const activation_options four_slopes = {.dim = 4};
static const tg_sample prelu_table[] = {
    {.label = "one slope", .in = TG_SAMPLE_INPUTS({BENT}), .begins = "weight constant 0.25"},
    SAMPLE("channels", &four_slopes, BENT)};
TG_SAMPLES(prelu_samples, prelu_table)

static const char *const input_names[] = {"input"};

#define CLASS(NAME, INIT, SPECS, SAMPLES_OF, DOC)                                                            \
    CLASS_OF(NAME, INIT, activation_forward, 0, SPECS, SAMPLES_OF, DOC)
#define CLASS_OF(NAME, INIT, FORWARD, FLAGS, SPECS, SAMPLES_OF, DOC)                                                            \
    .cls = {.struct_size = sizeof(tg_layer_class),                                                           \
            .flags = FLAGS,                                                                                  \
            .name = NAME,                                                                                    \
            .attrs = SPECS,                                                                                  \
            .attrs_size = sizeof(activation_options),                                                        \
            .n_in = 1,                                                                                       \
            .n_out = 1,                                                                                      \
            .in_names = input_names,                                                                         \
            .init = INIT,                                                                                    \
            .forward = {FORWARD, FORWARD},                                                                   \
            .samples = TG_PROOF(SAMPLES_OF),                                                                           \
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

static const activation softmin_row = {
    CLASS("Softmin", NULL, dim_specs, dim_samples, "softmax(−x) along dim"), .with = softmin};
static const activation softmax2d_row = {
    CLASS_OF("Softmax2d", NULL, softmax2d_forward, 0, no_specs, planes, "softmax over the channels of each place"),
    .with = softmax2d};
static const activation glu_row = {
    CLASS("GLU", NULL, glu_specs, planes, "a·σ(b), a and b the halves of x along dim"), .with = glu};
static const activation hardshrink_row = {
    CLASS("Hardshrink", NULL, shrink_specs, hard, "x where |x| > lambd, else 0"), .with = hardshrink};
static const activation softshrink_row = {
    CLASS("Softshrink", softshrink_init, shrink_specs, hard, "x − sign(x)·lambd where |x| > lambd, else 0"),
    .with = softshrink};
static const activation tanhshrink_row = {
    CLASS("Tanhshrink", NULL, no_specs, smooth, "x − tanh(x)"), .plain = tg_tanhshrink};
static const activation hardswish_row = {
    CLASS("Hardswish", NULL, inplace_specs, hard, "x·min(max(x + 3, 0), 6)/6"), .plain = tg_hardswish};
static const activation hardsigmoid_row = {
    CLASS("Hardsigmoid", NULL, inplace_specs, hard, "min(max(x + 3, 0), 6)/6"), .plain = tg_hardsigmoid};
static const activation threshold_row = {
    CLASS("Threshold", NULL, threshold_specs, hard, "x where x > threshold, else value"),
    .with = threshold};
static const activation prelu_row = {CLASS_OF("PReLU", prelu_init, prelu_forward, 0, prelu_specs, prelu_samples,
                                              "x where x > 0, else w·x, w learned")};
static const activation rrelu_row = {
    CLASS_OF("RReLU", rrelu_init, rrelu_forward, TG_LAYER_RANDOM, rrelu_specs, bent,
             "x where x > 0, else s·x; train: s drawn from [lower, upper), eval: their mean")};

const tg_layer_class *const tg_layers_activation[] = {
    &relu_row.cls,     &relu6_row.cls,       &leaky_row.cls,
    &elu_row.cls,      &selu_row.cls,        &celu_row.cls,
    &gelu_row.cls,     &silu_row.cls,        &mish_row.cls,
    &sigmoid_row.cls,  &log_sigmoid_row.cls, &tanh_row.cls,
    &softplus_row.cls, &softsign_row.cls,    &hardtanh_row.cls,
    &softmax_row.cls,  &log_softmax_row.cls, &softmin_row.cls,
    &softmax2d_row.cls, &glu_row.cls,        &hardshrink_row.cls,
    &softshrink_row.cls, &tanhshrink_row.cls, &hardswish_row.cls,
    &hardsigmoid_row.cls, &threshold_row.cls, &prelu_row.cls,
    &rrelu_row.cls,    NULL};

#define PLAIN(NAME)                                                                                          \
    tg_module *tg_nn_##NAME(tg_runtime *rt)                                                                  \
    {                                                                                                        \
        return tg_module_new(rt, &NAME##_row.cls, NULL);                                                     \
    }
PLAIN(relu)
PLAIN(relu6)
PLAIN(selu)
PLAIN(gelu)
PLAIN(silu)
PLAIN(mish)
PLAIN(sigmoid)
PLAIN(log_sigmoid)
PLAIN(tanh)
PLAIN(softplus)
PLAIN(softsign)
PLAIN(hardtanh)
PLAIN(softmax2d)
PLAIN(tanhshrink)
PLAIN(hardswish)
PLAIN(hardsigmoid)

static tg_module *make(tg_runtime *rt, const activation *row, double alpha, double threshold_, int64_t dim)
{
    return tg_module_new(rt, &row->cls, &(activation_options){.alpha = alpha, .threshold = threshold_, .dim = dim});
}

tg_module *tg_nn_leaky_relu(tg_runtime *rt, double negative_slope)
{
    return tg_module_new(rt, &leaky_row.cls, &(activation_options){.negative_slope = negative_slope});
}

tg_module *tg_nn_elu(tg_runtime *rt, double alpha)
{
    return make(rt, &elu_row, alpha, 0, 0);
}

tg_module *tg_nn_celu(tg_runtime *rt, double alpha)
{
    return make(rt, &celu_row, alpha, 0, 0);
}

tg_module *tg_nn_softmax(tg_runtime *rt, int64_t dim)
{
    return make(rt, &softmax_row, 0, 0, dim);
}

tg_module *tg_nn_log_softmax(tg_runtime *rt, int64_t dim)
{
    return make(rt, &log_softmax_row, 0, 0, dim);
}

tg_module *tg_nn_softmin(tg_runtime *rt, int64_t dim)
{
    return make(rt, &softmin_row, 0, 0, dim);
}

tg_module *tg_nn_glu(tg_runtime *rt, int64_t dim)
{
    return make(rt, &glu_row, 0, 0, dim);
}

tg_module *tg_nn_hardshrink(tg_runtime *rt, double lambd)
{
    return make(rt, &hardshrink_row, lambd, 0, 0);
}

tg_module *tg_nn_softshrink(tg_runtime *rt, double lambd)
{
    return make(rt, &softshrink_row, lambd, 0, 0);
}

tg_module *tg_nn_threshold(tg_runtime *rt, double threshold_, double value)
{
    return make(rt, &threshold_row, value, threshold_, 0);
}

tg_module *tg_nn_prelu(tg_runtime *rt, int64_t num_parameters)
{
    return make(rt, &prelu_row, 0.25, 0, num_parameters);
}

tg_module *tg_nn_rrelu(tg_runtime *rt, double lower, double upper)
{
    return tg_module_new(rt, &rrelu_row.cls, &(activation_options){.min_val = lower, .max_val = upper});
}
