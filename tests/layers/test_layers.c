/* The layers themselves: values against the formulae, initialisation, state names, wrong input. */
#include "layers/rig.h"

/* -- elementwise and along a dim: against the formula ------------------------------------------------ */

/* clang-format off */
static double f_relu(double x) { return x > 0 ? x : 0; }
static double f_relu6(double x) { return x < 0 ? 0 : x > 6 ? 6 : x; }
static double f_leaky(double x) { return x > 0 ? x : 0.01 * x; }
static double f_elu(double x) { return x > 0 ? x : expm1(x); }
static double f_selu(double x)
{
    return 1.0507009873554804934193349852946 * (x > 0 ? x : 1.6732632423543772848170429916717 * expm1(x));
}
static double f_gelu(double x) { return x * 0.5 * (1 + erf(x / sqrt(2))); }
static double f_gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}
static double f_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double f_silu(double x) { return x * f_sigmoid(x); }
static double f_softplus(double x) { return log1p(exp(x)); }
static double f_mish(double x) { return x * tanh(f_softplus(x)); }
static double f_log_sigmoid(double x) { return -log1p(exp(-x)); }
static double f_softsign(double x) { return x / (1 + fabs(x)); }
static double f_hardtanh(double x) { return x < -1 ? -1 : x > 1 ? 1 : x; }
static double f_tanh(double x) { return tanh(x); }
static double f_identity(double x) { return x; }
static double f_narrow(double x) { return x < -0.5 ? -0.5 : x > 0.25 ? 0.25 : x; }
static double f_softplus_2_1(double x) { return 2 * x > 1 ? x : log1p(exp(2 * x)) / 2; }

/* clang-format on */

static const struct activation {
    const char *cls;
    double (*f)(double);
    size_t n;
    tg_attr attrs[2];
} activations[] = {
    {"ReLU", f_relu, 1, {{"inplace", TG_ATTR_BOOL, {.b = true}}}},
    {"ReLU6", f_relu6, 0, {{0}}},
    {"LeakyReLU", f_leaky, 0, {{0}}},
    {"ELU", f_elu, 0, {{0}}},
    {"CELU", f_elu, 0, {{0}}},
    {"SELU", f_selu, 0, {{0}}},
    {"GELU", f_gelu, 0, {{0}}},
    {"GELU", f_gelu_tanh, 1, {{"approximate", TG_ATTR_CHOICE, {.s = "tanh"}}}},
    {"Sigmoid", f_sigmoid, 0, {{0}}},
    {"SiLU", f_silu, 0, {{0}}},
    {"Mish", f_mish, 0, {{0}}},
    {"Softplus", f_softplus, 0, {{0}}},
    {"Softplus", f_softplus_2_1, 2, {{"beta", TG_ATTR_INT, {.i = 2}}, {"threshold", TG_ATTR_INT, {.i = 1}}}},
    {"LogSigmoid", f_log_sigmoid, 0, {{0}}},
    {"Softsign", f_softsign, 0, {{0}}},
    {"Hardtanh", f_hardtanh, 0, {{0}}},
    {"Hardtanh",
     f_narrow,
     2,
     {{"min_val", TG_ATTR_REAL, {.f = -0.5}}, {"max_val", TG_ATTR_REAL, {.f = 0.25}}}},
    {"Tanh", f_tanh, 0, {{0}}},
    {"Identity", f_identity, 0, {{0}}},
};
enum { N_ACTIVATIONS = sizeof activations / sizeof *activations };

START_TEST(activations_are_their_formula_in_both_modes)
{
    const struct activation *a = &activations[_i];
    double x[41], y[41], want[41];
    for (int i = 0; i < 41; i++) {
        x[i] = (i - 20) * 0.4 + 0.01;
        want[i] = a->f(x[i]);
    }
    tg_module *m = tg_module_create(rt, a->cls, a->attrs, a->n);
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    for (int mode = 0; mode < TG_N_MODES; mode++) {
        tg_module_set_mode(m, (tg_mode)mode);
        get(tg_forward(tape, m, input(DIMS(41), x)), y, 41);
        near_to(y, want, 41, 1e-12);
    }
    tg_module_destroy(m);
}
END_TEST

START_TEST(constructors_give_their_class)
{
    const struct {
        const char *cls;
        tg_module *m;
    } all[] = {
        {"ReLU", tg_nn_relu(rt)},
        {"ReLU6", tg_nn_relu6(rt)},
        {"LeakyReLU", tg_nn_leaky_relu(rt, 0.1)},
        {"ELU", tg_nn_elu(rt, 2)},
        {"SELU", tg_nn_selu(rt)},
        {"CELU", tg_nn_celu(rt, 2)},
        {"GELU", tg_nn_gelu(rt)},
        {"SiLU", tg_nn_silu(rt)},
        {"Mish", tg_nn_mish(rt)},
        {"Sigmoid", tg_nn_sigmoid(rt)},
        {"LogSigmoid", tg_nn_log_sigmoid(rt)},
        {"Tanh", tg_nn_tanh(rt)},
        {"Softplus", tg_nn_softplus(rt)},
        {"Softsign", tg_nn_softsign(rt)},
        {"Hardtanh", tg_nn_hardtanh(rt)},
        {"Softmax", tg_nn_softmax(rt, 1)},
        {"LogSoftmax", tg_nn_log_softmax(rt, 1)},
        {"Flatten", tg_nn_flatten(rt)},
        {"Identity", tg_nn_identity(rt)},
        {"Dropout", tg_nn_dropout(rt, 0.5)},
        {"CrossEntropyLoss", tg_nn_cross_entropy_loss(rt)},
        {"NLLLoss", tg_nn_nll_loss(rt)},
        {"MSELoss", tg_nn_mse_loss(rt, TG_REDUCE_SUM)},
        {"LayerNorm", tg_nn_layer_norm(rt, DIMS(4))},
        {"BatchNorm2d", tg_nn_batch_norm2d(rt, 4)},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ck_assert_str_eq(tg_module_class_name(all[i].m), all[i].cls);
        ck_assert_ptr_eq(tg_module_class(all[i].m), tg_layer_find(rt, all[i].cls));
        tg_module_destroy(all[i].m);
    }
}
END_TEST

/* torch's rule for dim None: 0 for 0, 1 and 3 dims, else 1. */
START_TEST(softmax_without_a_dim)
{
    static const struct {
        size_t ndim;
        int64_t dim[4], implied;
    } cases[] = {{1, {5}, 0}, {2, {3, 4}, 1}, {3, {2, 3, 4}, 0}, {4, {2, 3, 2, 2}, 1}};
    for (size_t i = 0; i < 4; i++)
        for (int log = 0; log < 2; log++) {
            tg_module *none = tg_module_create(rt, log ? "LogSoftmax" : "Softmax", NULL, 0);
            tg_tensor *x = noisy(1, cases[i].dim, cases[i].ndim);
            size_t n = (size_t)tg_tensor_count(x);
            double got[64], want[64];
            get(tg_forward(tape, none, x), got, n);
            get(log ? tg_log_softmax(tape, x, cases[i].implied) : tg_softmax(tape, x, cases[i].implied), want,
                n);
            ck_assert_mem_eq(got, want, n * sizeof *got);
            tg_module_destroy(none);
        }
    tg_module *none = tg_nn_softmax(rt, TG_NONE_INT);
    ck_assert_double_eq(item(tg_forward(tape, none, tg_scalar(tape, TG_F64, 3))), 1);
    tg_module_destroy(none);
}
END_TEST

START_TEST(flatten)
{
    tg_module *m = tg_nn_flatten(rt);
    tg_tensor *x = noisy(1, DIMS(2, 3, 2, 2)), *y = tg_forward(tape, m, x);
    ck_assert(tg_tensor_ndim(y) == 2 && tg_tensor_dim(y, 0) == 2 && tg_tensor_dim(y, 1) == 12);
    tg_module_destroy(m);
    m = tg_module_create(
        rt, "Flatten", (tg_attr[]){{"start_dim", TG_ATTR_INT, {.i = 0}}, {"end_dim", TG_ATTR_INT, {.i = -2}}},
        2);
    y = tg_forward(tape, m, x);
    ck_assert(tg_tensor_ndim(y) == 2 && tg_tensor_dim(y, 0) == 12 && tg_tensor_dim(y, 1) == 2);
    tg_module_destroy(m);
    m = tg_module_create(rt, "Flatten", (tg_attr[]){{"start_dim", TG_ATTR_INT, {.i = 7}}}, 1);
    ck_assert_ptr_null(tg_forward(tape, m, x));
    ck_assert_int_ne(tg_tape_status(tape), TG_OK);
    ck_assert_msg(strstr(tg_tape_error(tape), "Flatten"), "%s", tg_tape_error(tape));
    tg_tape_clear_error(tape);
    tg_module_destroy(m);
}
END_TEST

/* -- Linear ------------------------------------------------------------------------------------------ */

START_TEST(linear)
{
    tg_module *m = tg_nn_linear(rt, 3, 2);
    put(tg_module_tensor(m, "weight"), (double[]){1, 2, 3, -1, 0, 1}, 6);
    put(tg_module_tensor(m, "bias"), (double[]){10, 20}, 2);
    double y[4];
    get(tg_forward(tape, m, input(DIMS(2, 3), (double[]){1, 1, 1, 0, 2, -1})), y, 4);
    near_to(y, (double[]){16, 20, 11, 19}, 4, 1e-14);
    get(tg_forward(tape, m, input(DIMS(3), (double[]){1, 1, 1})), y, 2);
    near_to(y, (double[]){16, 20}, 2, 1e-14);
    tg_tensor *deep = tg_forward(tape, m, noisy(1, DIMS(2, 2, 2, 3)));
    ck_assert(tg_tensor_ndim(deep) == 4 && tg_tensor_dim(deep, 3) == 2);
    tg_tensor *empty = tg_forward(tape, m, input(DIMS(0, 3), NULL));
    ck_assert_msg(empty != NULL, "%s", tg_tape_error(tape));
    ck_assert(tg_tensor_dim(empty, 0) == 0 && tg_tensor_dim(empty, 1) == 2);
    tg_module_destroy(m);
}
END_TEST

/* U(−1/√in, 1/√in): bounds, mean and variance (a third of the bound squared), one draw each. */
START_TEST(linear_initialisation)
{
    enum { IN = 100, OUT = 200 };
    static double w[IN * OUT];
    tg_random_state before = tg_runtime_random_state(rt);
    tg_module *m = tg_nn_linear(rt, IN, OUT);
    ck_assert_uint_eq(tg_runtime_random_state(rt).draw, before.draw + 2);
    get(tg_module_tensor(m, "weight"), w, IN * OUT);
    double sum = 0, squares = 0, largest = 0;
    for (int i = 0; i < IN * OUT; i++) {
        sum += w[i];
        squares += w[i] * w[i];
        largest = fmax(largest, fabs(w[i]));
    }
    ck_assert_double_le(largest, 0.1);
    ck_assert_double_gt(largest, 0.0999);
    ck_assert_double_eq_tol(sum / (IN * OUT), 0, 0.003);
    ck_assert_double_eq_tol(squares / (IN * OUT), 0.01 / 3, 1e-4);
    get(tg_module_tensor(m, "bias"), w, OUT);
    for (int i = 0; i < OUT; i++)
        ck_assert(fabs(w[i]) <= 0.1 && w[i] != 0);
    tg_module_destroy(m);
}
END_TEST

START_TEST(the_seed_decides_the_initialisation)
{
    tg_seed(rt, 11);
    tg_module *a = tg_nn_linear(rt, 4, 3), *c = tg_nn_linear(rt, 4, 3);
    tg_seed(rt, 11);
    tg_module *b = tg_nn_linear(rt, 4, 3);
    ck_assert_uint_eq(checksum(a), checksum(b));
    ck_assert_uint_ne(checksum(a), checksum(c));
    tg_module_destroy(a);
    tg_module_destroy(b);
    tg_module_destroy(c);
}
END_TEST

START_TEST(linear_wrong)
{
    ck_assert_ptr_null(tg_nn_linear(rt, -1, 3));
    failed_with(TG_EINVAL, TG_EINVAL, "in_features -1");
    ck_assert_ptr_null(tg_nn_linear(rt, 3, INT64_MAX));
    ck_assert_ptr_null(tg_nn_linear_with(rt, NULL));
    ck_assert_ptr_null((tg_nn_linear)(NULL, 3, 3));
    failed_with(TG_EINVAL, TG_EINVAL, "runtime");
    tg_linear_options o = tg_linear_defaults(3, 2);
    o.bias = false;
    tg_module *m = tg_nn_linear_with(rt, &o);
    ck_assert_uint_eq(tg_module_parameters(m)->n, 1);
    tg_tensor *x = noisy(1, DIMS(2, 4));
    ck_assert_ptr_null(tg_forward(tape, m, x));
    tape_failed_with(TG_ESHAPE, "Linear: got f64[2, 4], expected 3 features in the last dim (test_layers.c:");
    ck_assert_ptr_null(tg_forward(tape, m, tg_scalar(tape, TG_F64, 1)));
    tape_failed_with(TG_ESHAPE, "expected 3 features");
    ck_assert_ptr_null(tg_forward(tape, m, tg_input(tape, TG_F32, DIMS(2, 3), NULL)));
    tape_failed_with(TG_EDTYPE, "Linear");
    ck_assert_ptr_null(tg_forward(tape, m, tg_input(tape, TG_I64, DIMS(2, 3), NULL)));
    tape_failed_with(TG_EDTYPE, "Linear");
    tg_module_destroy(m);
    m = tg_nn_linear(rt, 0, 2); /* torch allows it: the bias, which fan-in 0 leaves at 0 */
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    tg_module_destroy(m);
}
END_TEST

START_TEST(nan_and_inf_pass_through_linear)
{
    tg_module *m = tg_nn_linear(rt, 2, 1);
    put(tg_module_tensor(m, "weight"), (double[]){1, 1}, 2);
    double y[3];
    get(tg_forward(tape, m, input(DIMS(3, 2), (double[]){NAN, 1, INFINITY, 1, 1, 1})), y, 3);
    ck_assert(isnan(y[0]) && isinf(y[1]) && isfinite(y[2]));
    tg_module_destroy(m);
}
END_TEST

/* -- LayerNorm --------------------------------------------------------------------------------------- */

START_TEST(layer_norm)
{
    tg_layer_norm_options o = tg_layer_norm_defaults(DIMS(2, 3));
    ck_assert(o.eps == 1e-5 && o.elementwise_affine && o.bias);
    tg_module *m = tg_nn_layer_norm_with(rt, &o);
    ck_assert_str_eq(tg_module_parameters(m)->name[1], "bias");
    ck_assert_int_eq(tg_tensor_ndim(tg_module_tensor(m, "weight")), 2);
    double x[24], y[24], want[24];
    tg_tensor *in = noisy(1, DIMS(4, 2, 3));
    get(in, x, 24);
    for (int r = 0; r < 4; r++) {
        double mean = 0, var = 0;
        for (int i = 0; i < 6; i++)
            mean += x[r * 6 + i] / 6;
        for (int i = 0; i < 6; i++)
            var += (x[r * 6 + i] - mean) * (x[r * 6 + i] - mean) / 6;
        for (int i = 0; i < 6; i++)
            want[r * 6 + i] = (x[r * 6 + i] - mean) / sqrt(var + 1e-5);
    }
    for (int mode = 0; mode < TG_N_MODES; mode++) {
        tg_module_set_mode(m, (tg_mode)mode);
        get(tg_forward(tape, m, in), y, 24);
        near_to(y, want, 24, 1e-12);
    }
    ck_assert_ptr_null(tg_forward(tape, m, noisy(1, DIMS(2, 3, 2))));
    tape_failed_with(TG_ESHAPE, "LayerNorm: got f64[2, 3, 2], expected [*, 2, 3]");
    ck_assert_ptr_null(tg_forward(tape, m, noisy(1, DIMS(3))));
    tape_failed_with(TG_ESHAPE, "expected [*, 2, 3]");
    tg_module_destroy(m);
}
END_TEST

START_TEST(layer_norm_options)
{
    tg_layer_norm_options o = tg_layer_norm_defaults(DIMS(4));
    o.bias = false;
    tg_module *m = tg_nn_layer_norm_with(rt, &o);
    ck_assert_uint_eq(tg_module_parameters(m)->n, 1);
    tg_module_destroy(m);
    o.elementwise_affine = false;
    m = tg_nn_layer_norm_with(rt, &o);
    ck_assert_uint_eq(tg_module_parameters(m)->n, 0);
    ck_assert_ptr_nonnull(tg_forward(tape, m, noisy(1, DIMS(2, 4))));
    tg_module_destroy(m);
    o.eps = -1;
    ck_assert_ptr_null(tg_nn_layer_norm_with(rt, &o));
    failed_with(TG_EINVAL, TG_EINVAL, "eps");
    ck_assert_ptr_null(tg_nn_layer_norm(rt, NULL, 0));
    failed_with(TG_EINVAL, TG_EINVAL, "normalized_shape");
    ck_assert_ptr_null(tg_nn_layer_norm(rt, DIMS(3, 0)));
    ck_assert_ptr_null(tg_nn_layer_norm(rt, DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1)));
    ck_assert_ptr_null(tg_module_create(rt, "LayerNorm", NULL, 0));
    m = tg_module_create(rt, "LayerNorm", (tg_attr[]){{"normalized_shape", TG_ATTR_INT, {.i = 4}}}, 1);
    ck_assert_ptr_nonnull(m);
    tg_module_destroy(m);
}
END_TEST

/* -- activations' options ---------------------------------------------------------------------------- */

START_TEST(activation_options_out_of_range)
{
    ck_assert_ptr_null(tg_nn_celu(rt, 0));
    failed_with(TG_EINVAL, TG_EINVAL, "alpha");
    ck_assert_ptr_null(tg_module_create(
        rt, "Hardtanh", (tg_attr[]){{"min_val", TG_ATTR_REAL, {.f = 1}}, {"max_val", TG_ATTR_REAL, {.f = 1}}},
        2));
    failed_with(TG_EINVAL, TG_EINVAL, "min_val");
    ck_assert_ptr_null(
        tg_module_create(rt, "GELU", (tg_attr[]){{"approximate", TG_ATTR_CHOICE, {.s = "erf"}}}, 1));
    failed_with(TG_EINVAL, TG_EINVAL, "none|tanh");
}
END_TEST

/* -- losses ------------------------------------------------------------------------------------------ */

static double loss_of(tg_module *m, tg_tensor *a, tg_tensor *b)
{
    tg_tensor *in[2] = {a, b}, *y = NULL;
    ck_assert_msg(tg_forward_n(tape, m, in, 2, &y, 1) == TG_OK, "%s", tg_tape_error(tape));
    return item(y);
}

static const double scores[6] = {1, 2, 0.5, -1, 0, 3};
static const int64_t labels[2] = {1, 0};

static double log_p(int row, int64_t c)
{
    const double *s = scores + 3 * row;
    return s[c] - log(exp(s[0]) + exp(s[1]) + exp(s[2]));
}

START_TEST(cross_entropy)
{
    double a = -log_p(0, 1), b = -log_p(1, 0), w[3] = {0.5, 2, 1};
    tg_tensor *x = input(DIMS(2, 3), scores), *y = tg_input(tape, TG_I64, DIMS(2), labels);
    tg_module *m = tg_nn_cross_entropy_loss(rt);
    ck_assert_double_eq_tol(loss_of(m, x, y), (a + b) / 2, 1e-12);
    tg_module_destroy(m);
    tg_cross_entropy_options o = tg_cross_entropy_defaults();
    ck_assert(o.ignore_index == -100 && o.reduction == TG_REDUCE_MEAN && o.label_smoothing == 0);
    o.weight = input(DIMS(3), w);
    m = tg_nn_cross_entropy_loss_with(rt, &o);
    ck_assert_double_eq_tol(loss_of(m, x, y), (2 * a + 0.5 * b) / 2.5, 1e-12);
    tg_module_destroy(m);
    o.weight = NULL;
    o.reduction = TG_REDUCE_SUM;
    o.ignore_index = 0;
    m = tg_nn_cross_entropy_loss_with(rt, &o);
    ck_assert_double_eq_tol(loss_of(m, x, y), a, 1e-12);
    tg_module_destroy(m);
    o = tg_cross_entropy_defaults();
    o.label_smoothing = 0.3;
    m = tg_nn_cross_entropy_loss_with(rt, &o);
    double even = 0;
    for (int r = 0; r < 2; r++)
        for (int c = 0; c < 3; c++)
            even -= log_p(r, c) / 3;
    ck_assert_double_eq_tol(loss_of(m, x, y), (0.7 * (a + b) + 0.3 * even) / 2, 1e-12);
    tg_module_destroy(m);
    m = tg_nn_cross_entropy_loss(rt);
    double p[6] = {0.2, 0.3, 0.5, 1, 0, 0}, want = -log_p(1, 0);
    for (int c = 0; c < 3; c++)
        want -= p[c] * log_p(0, c);
    ck_assert_double_eq_tol(loss_of(m, x, input(DIMS(2, 3), p)), want / 2, 1e-12);
    tg_module_destroy(m);
}
END_TEST

START_TEST(nll)
{
    double w[3] = {0.5, 2, 1}, y[2];
    tg_tensor *x = input(DIMS(2, 3), scores), *t = tg_input(tape, TG_I64, DIMS(2), labels);
    tg_module *m = tg_nn_nll_loss(rt);
    ck_assert_double_eq_tol(loss_of(m, x, t), -(scores[1] + scores[3]) / 2, 1e-15);
    tg_module_destroy(m);
    tg_nll_loss_options o = tg_nll_loss_defaults();
    o.weight = input(DIMS(3), w);
    o.reduction = TG_REDUCE_NONE;
    m = tg_nn_nll_loss_with(rt, &o);
    tg_tensor *in[2] = {x, t}, *out = NULL;
    ck_assert_int_eq(tg_forward_n(tape, m, in, 2, &out, 1), TG_OK);
    get(out, y, 2);
    near_to(y, (double[]){-2 * scores[1], -0.5 * scores[3]}, 2, 1e-15);
    tg_module_destroy(m);
}
END_TEST

START_TEST(mse)
{
    static const double sum = 1 + 4 + 9;
    for (int r = TG_REDUCE_MEAN; r <= TG_REDUCE_SUM; r++) {
        tg_module *m = tg_nn_mse_loss(rt, (tg_reduction)r);
        double got = loss_of(m, input(DIMS(3), (double[]){1, 2, 3}), input(DIMS(3), (double[]){0, 4, 0}));
        ck_assert_double_eq_tol(got, r == TG_REDUCE_MEAN ? sum / 3 : sum, 1e-14);
        tg_module_destroy(m);
    }
}
END_TEST

START_TEST(losses_wrong)
{
    ck_assert_ptr_null(tg_nn_mse_loss(rt, (tg_reduction)9));
    failed_with(TG_EINVAL, TG_EINVAL, "reduction");
    static const char *const classes[] = {"CrossEntropyLoss", "NLLLoss", "MSELoss"};
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_null(
            tg_module_create(rt, classes[i], (tg_attr[]){{"reduction", TG_ATTR_CHOICE, {.s = "avg"}}}, 1));
    tg_cross_entropy_options o = tg_cross_entropy_defaults();
    o.label_smoothing = 1.5;
    ck_assert_ptr_null(tg_nn_cross_entropy_loss_with(rt, &o));
    failed_with(TG_EINVAL, TG_EINVAL, "label_smoothing");
    o.label_smoothing = NAN;
    ck_assert_ptr_null(tg_nn_cross_entropy_loss_with(rt, &o));
    o = tg_cross_entropy_defaults();
    o.weight = input(DIMS(2, 2), (double[4]){1});
    ck_assert_ptr_null(tg_nn_cross_entropy_loss_with(rt, &o));
    failed_with(TG_ESHAPE, TG_ESHAPE, "weight");
    o.weight = tg_input(tape, TG_I64, DIMS(2), NULL);
    ck_assert_ptr_null(tg_nn_cross_entropy_loss_with(rt, &o));
    failed_with(TG_EDTYPE, TG_EDTYPE, "weight");

    tg_module *m = tg_nn_cross_entropy_loss(rt);
    tg_tensor *x = input(DIMS(2, 3), scores), *in[2] = {x, NULL}, *y;
    in[1] = tg_input(tape, TG_I64, DIMS(2), (int64_t[]){1, 3});
    ck_assert_int_eq(tg_forward_n(tape, m, in, 2, &y, 1), TG_EINDEX);
    tape_failed_with(TG_EINDEX, "CrossEntropyLoss");
    in[1] = tg_input(tape, TG_I64, DIMS(2), (int64_t[]){-1, 0});
    ck_assert_int_eq(tg_forward_n(tape, m, in, 2, &y, 1), TG_EINDEX);
    tg_tape_clear_error(tape);
    in[1] = tg_input(tape, TG_I64, DIMS(3), (int64_t[]){1, 0, 0});
    ck_assert_int_eq(tg_forward_n(tape, m, in, 2, &y, 1), TG_ESHAPE);
    tg_tape_clear_error(tape);
    in[1] = NULL;
    ck_assert_int_eq(tg_forward_n(tape, m, in, 2, &y, 1), TG_EINVAL);
    tape_failed_with(TG_EINVAL, "target is NULL");
    tg_module_destroy(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("layers");
    TCase *c = tcase_create("layers");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_loop_test(c, activations_are_their_formula_in_both_modes, 0, N_ACTIVATIONS);
    tcase_add_test(c, constructors_give_their_class);
    tcase_add_test(c, softmax_without_a_dim);
    tcase_add_test(c, flatten);
    tcase_add_test(c, linear);
    tcase_add_test(c, linear_initialisation);
    tcase_add_test(c, the_seed_decides_the_initialisation);
    tcase_add_test(c, linear_wrong);
    tcase_add_test(c, nan_and_inf_pass_through_linear);
    tcase_add_test(c, layer_norm);
    tcase_add_test(c, layer_norm_options);
    tcase_add_test(c, activation_options_out_of_range);
    tcase_add_test(c, cross_entropy);
    tcase_add_test(c, nll);
    tcase_add_test(c, mse);
    tcase_add_test(c, losses_wrong);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
