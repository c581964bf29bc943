/* Activations: against their formulae in long double, at kinks, far out, and at NaN. */
#include "operators/rig.h"

#define SELU_ALPHA 1.6732632423543772848170429916717
#define SELU_SCALE 1.0507009873554804934193349852946

typedef struct activation {
    const char *name;
    tg_tensor *(*fn)(tg_tape *, tg_tensor *);
    long double (*exact)(long double), (*slope)(long double);
    double at_plus, at_minus; /* the value at ±1000 */
} activation;

static long double sig(long double x)
{
    return 1 / (1 + expl(-x));
}
static long double sig_slope(long double x)
{
    return sig(x) * sig(-x);
}
static long double tanh_slope(long double x)
{
    return 1 / (coshl(x) * coshl(x));
}
static long double relu(long double x)
{
    return x > 0 ? x : 0;
}
static long double relu_slope(long double x)
{
    return x > 0;
}
static long double leaky(long double x)
{
    return x > 0 ? x : 0.01L * x;
}
static long double leaky_slope(long double x)
{
    return x > 0 ? 1 : 0.01L;
}
static long double elu(long double x)
{
    return x > 0 ? x : 1.5L * expm1l(x);
}
static long double elu_slope(long double x)
{
    return x > 0 ? 1 : 1.5L * expl(x);
}
static long double selu(long double x)
{
    return SELU_SCALE * (x > 0 ? x : SELU_ALPHA * expm1l(x));
}
static long double selu_slope(long double x)
{
    return SELU_SCALE * (x > 0 ? 1 : SELU_ALPHA * expl(x));
}
static long double celu(long double x)
{
    return x > 0 ? x : 2 * expm1l(x / 2);
}
static long double celu_slope(long double x)
{
    return x > 0 ? 1 : expl(x / 2);
}
static long double gelu(long double x)
{
    return 0.5L * x * erfcl(-x * sqrtl(0.5L));
}
static long double gelu_slope(long double x)
{
    return 0.5L * erfcl(-x * sqrtl(0.5L)) + x * expl(-0.5L * x * x) / sqrtl(2 * acosl(-1));
}
static long double gelu_t(long double x)
{
    return 0.5L * x * (1 + tanhl(sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x)));
}
static long double gelu_t_slope(long double x)
{
    const long double k = sqrtl(2 / acosl(-1)), t = tanhl(k * (x + 0.044715L * x * x * x));
    return 0.5L * (1 + t) + 0.5L * x * (1 - t * t) * k * (1 + 3 * 0.044715L * x * x);
}
static long double silu(long double x)
{
    return x * sig(x);
}
static long double silu_slope(long double x)
{
    return sig(x) * (1 + x * sig(-x));
}
static long double soft(long double x)
{
    return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x));
}
static long double mish(long double x)
{
    return x * tanhl(soft(x));
}
static long double mish_slope(long double x)
{
    return tanhl(soft(x)) + x * sig(x) * tanh_slope(soft(x));
}
static long double hardswish(long double x)
{
    return x * fminl(fmaxl(x + 3, 0), 6) / 6;
}
static long double hardswish_slope(long double x)
{
    return x <= -3 ? 0 : x < 3 ? x / 3 + 0.5L : 1;
}
static long double softplus(long double x)
{
    return soft(2 * x) / 2;
}
static long double softplus_slope(long double x)
{
    return sig(2 * x);
}
static long double softsign(long double x)
{
    return x / (1 + fabsl(x));
}
static long double softsign_slope(long double x)
{
    return 1 / ((1 + fabsl(x)) * (1 + fabsl(x)));
}
static long double log_sig(long double x)
{
    return -soft(-x);
}
static long double log_sig_slope(long double x)
{
    return sig(-x);
}

static tg_tensor *do_leaky(tg_tape *t, tg_tensor *x)
{
    return tg_leaky_relu(t, x, 0.01);
}
static tg_tensor *do_elu(tg_tape *t, tg_tensor *x)
{
    return tg_elu(t, x, 1.5);
}
static tg_tensor *do_celu(tg_tape *t, tg_tensor *x)
{
    return tg_celu(t, x, 2);
}
static tg_tensor *do_gelu(tg_tape *t, tg_tensor *x)
{
    return tg_gelu(t, x, false);
}
static tg_tensor *do_gelu_t(tg_tape *t, tg_tensor *x)
{
    return tg_gelu(t, x, true);
}
static tg_tensor *do_softplus(tg_tape *t, tg_tensor *x)
{
    return tg_softplus(t, x, 2, 40);
}

static long double softshrink(long double x)
{
    return x > 0.5L ? x - 0.5L : x < -0.5L ? x + 0.5L : 0;
}
static long double shrink_slope(long double x)
{
    return fabsl(x) > 0.5L ? 1 : 0;
}
static long double hardshrink(long double x)
{
    return fabsl(x) > 0.5L ? x : 0;
}
static long double tanhshrink(long double x)
{
    return x - tanhl(x);
}
static long double tanhshrink_slope(long double x)
{
    return tanhl(x) * tanhl(x);
}
static long double hardsigmoid(long double x)
{
    return fminl(fmaxl(x + 3, 0), 6) / 6;
}
static long double hardsigmoid_slope(long double x)
{
    return x > -3 && x < 3 ? 1.0L / 6 : 0;
}
static long double threshold(long double x)
{
    return x > 2 ? x : 7;
}
static long double threshold_slope(long double x)
{
    return x > 2 ? 1 : 0;
}
static tg_tensor *do_softshrink(tg_tape *t, tg_tensor *x)
{
    return tg_softshrink(t, x, 0.5);
}
static tg_tensor *do_hardshrink(tg_tape *t, tg_tensor *x)
{
    return tg_hardshrink(t, x, 0.5);
}
static tg_tensor *do_threshold(tg_tape *t, tg_tensor *x)
{
    return tg_threshold(t, x, 2, 7);
}

static const activation activations[] = {
    {"softshrink", do_softshrink, softshrink, shrink_slope, 999.5, -999.5},
    {"hardshrink", do_hardshrink, hardshrink, shrink_slope, 1000, -1000},
    {"tanhshrink", (tg_tanhshrink), tanhshrink, tanhshrink_slope, 999, -999},
    {"hardsigmoid", (tg_hardsigmoid), hardsigmoid, hardsigmoid_slope, 1, 0},
    {"threshold", do_threshold, threshold, threshold_slope, 1000, 7},
    {"sigmoid", (tg_sigmoid), sig, sig_slope, 1, 0},
    {"tanh", (tg_tanh), tanhl, tanh_slope, 1, -1},
    {"relu", (tg_relu), relu, relu_slope, 1000, 0},
    {"leaky_relu", do_leaky, leaky, leaky_slope, 1000, -10},
    {"elu", do_elu, elu, elu_slope, 1000, -1.5},
    {"selu", (tg_selu), selu, selu_slope, 1000 * SELU_SCALE, -SELU_SCALE *SELU_ALPHA},
    {"celu", do_celu, celu, celu_slope, 1000, -2},
    {"gelu", do_gelu, gelu, gelu_slope, 1000, 0},
    {"gelu, tanh", do_gelu_t, gelu_t, gelu_t_slope, 1000, 0},
    {"silu", (tg_silu), silu, silu_slope, 1000, 0},
    {"hardswish", (tg_hardswish), hardswish, hardswish_slope, 1000, 0},
    {"mish", (tg_mish), mish, mish_slope, 1000, 0},
    {"softplus", do_softplus, softplus, softplus_slope, 1000, 0},
    {"softsign", (tg_softsign), softsign, softsign_slope, 1000.0 / 1001, -1000.0 / 1001},
    {"log_sigmoid", (tg_log_sigmoid), log_sig, log_sig_slope, 0, -1000},
};
#define N_ACTIVATIONS (int)(sizeof activations / sizeof *activations)
enum { POINTS = 997 };

static void compare(const activation *a, const tg_tensor *t, tg_dtype dtype, const double *x,
                    long double (*exact)(long double), const char *what)
{
    double got[POINTS];
    ck_assert_msg(t != NULL, "%s: %s", a->name, tg_tape_error(tape));
    tg_tensor *wide = tg_to(tape, (tg_tensor *)(uintptr_t)t, TG_F64);
    ck_assert_int_eq(tg_tensor_read(wide, got, sizeof got), TG_OK);
    for (int i = 0; i < POINTS; i++) {
        const double y = (double)exact((long double)x[i]);
        const double tolerance = (dtype == TG_F32 ? 2e-6 : 4e-15) * fmax(1, fabs(x[i]));
        ck_assert_msg(fabs(got[i] - y) <= tolerance * fmax(1, fabs(y)), "%s%s(%.9g) in %s: %.17g, not %.17g",
                      a->name, what, x[i], tg_dtype_name(dtype), got[i], y);
    }
}

/* Over [−30, 30] without the kink at 0. */
START_TEST(values_and_slopes)
{
    const activation *a = &activations[_i];
    double x[POINTS], ones[] = {1};
    for (int f = 0; f < 2; f++) {
        const tg_dtype dtype = f ? TG_F64 : TG_F32;
        for (int i = 0; i < POINTS; i++) {
            x[i] = (i - POINTS / 2 + 0.5) * 0.06;
            x[i] = dtype == TG_F32 ? (double)(float)x[i] : x[i];
        }
        tg_tensor *t = leaf(dtype, DIMS(POINTS), x, POINTS), *y = a->fn(tape, t), *g = NULL;
        compare(a, y, dtype, x, a->exact, "");
        ck_assert_int_eq(tg_grad(tape, y, tensor(dtype, DIMS(POINTS), ones, 1), &t, 1, &g, 0), TG_OK);
        compare(a, g, dtype, x, a->slope, "'s slope");
    }
}
END_TEST

START_TEST(far_out_and_nan)
{
    const activation *a = &activations[_i];
    for (int f = 0; f < 2; f++) {
        const tg_dtype dtype = f ? TG_F64 : TG_F32;
        tg_tensor *x = leaf(dtype, DIMS(5), VALUES(1000, -1000, 3e38, -3e38, NAN)), *y = a->fn(tape, x),
                  *g = NULL;
        double v[5], d[5];
        ck_assert_int_eq(tg_tensor_read(tg_to(tape, y, TG_F64), v, sizeof v), TG_OK);
        ck_assert_msg(close_to(v[0], a->at_plus, 1e-6), "%s(1000) = %g", a->name, v[0]);
        ck_assert_msg(close_to(v[1], a->at_minus, 1e-6), "%s(-1000) = %g", a->name, v[1]);
        ck_assert_int_eq(tg_grad(tape, y, tg_ones_like(tape, y), &x, 1, &g, 0), TG_OK);
        ck_assert_int_eq(tg_tensor_read(tg_to(tape, g, TG_F64), d, sizeof d), TG_OK);
        for (int i = 0; i < 4; i++)
            ck_assert_msg(!isnan(v[i]) && isfinite(d[i]), "%s at %d: %g, slope %g", a->name, i, v[i], d[i]);
        ck_assert_msg(isnan(v[4]), "%s(NaN) = %g", a->name, v[4]);
    }
}
END_TEST

START_TEST(kinks)
{
    tg_tensor *x = leaf(TG_F64, DIMS(3), VALUES(-1, 0, 1));
    expect(weighted_gradient(tg_relu(tape, x), x), 0, DIMS(3), VALUES(0, 0, 3));
    expect(weighted_gradient(tg_leaky_relu(tape, x, 0.25), x), 0, DIMS(3), VALUES(0.25, 0.5, 3));
    expect(weighted_gradient(tg_elu(tape, x, 2), x), 1e-12, DIMS(3), VALUES(2 * exp(-1), 4, 3));
    expect(weighted_gradient(tg_clamp(tape, x, -1, 1), x), 0, DIMS(3), VALUES(0, 2, 0));
    expect(weighted_gradient(tg_hardtanh(tape, x, -1, 1), x), 0, DIMS(3), VALUES(0, 2, 0));
    expect(weighted_gradient(tg_softsign(tape, x), x), 1e-12, DIMS(3), VALUES(0.25, 2, 0.75));
}
END_TEST

START_TEST(clamps)
{
    tg_tensor *x = leaf(TG_F32, DIMS(6), VALUES(-INFINITY, -2, 0, 2, INFINITY, NAN));
    expect(tg_clamp(tape, x, -1, 1), 0, DIMS(6), VALUES(-1, -1, 0, 1, 1, NAN));
    expect(tg_clamp(tape, x, NAN, 1), 0, DIMS(6), VALUES(-INFINITY, -2, 0, 1, 1, NAN));
    expect(tg_clamp(tape, x, 0.5, NAN), 0, DIMS(6), VALUES(0.5, 0.5, 0.5, 2, INFINITY, NAN));
    expect(tg_clamp(tape, x, 3, 1), 0, DIMS(6), VALUES(1, 1, 1, 1, 1, NAN));
    expect(weighted_gradient(tg_clamp(tape, x, NAN, 1), x), 0, DIMS(6), VALUES(1, 2, 3, 0, 0, 0));
    expect(weighted_gradient(tg_clamp(tape, x, 3, 1), x), 0, DIMS(6), VALUES(0));
    expect(tg_hardtanh(tape, x, -1, 1), 0, DIMS(6), VALUES(-1, -1, 0, 1, 1, NAN));
}
END_TEST

/* Past the threshold it is x itself, with the slope 1. */
START_TEST(softplus_threshold)
{
    tg_tensor *x = leaf(TG_F64, DIMS(3), VALUES(1, 2, 2.5));
    tg_tensor *y = tg_softplus(tape, x, 2, 4);
    expect(y, 1e-12, DIMS(3), VALUES(log1p(exp(2)) / 2, log1p(exp(4)) / 2, 2.5));
    expect(weighted_gradient(y, x), 1e-12, DIMS(3), VALUES(1 / (1 + exp(-2)), 2 / (1 + exp(-4)), 3));
}
END_TEST

/* A number that changes every step makes no new kernel and no new cache entry; it is what the rule reads. */
START_TEST(scalars_are_of_the_call)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2), VALUES(-1, -3));
    for (int k = 1; k < 5; k++) {
        tg_tensor *y = tg_leaky_relu(tape, x, 0.1 * k);
        expect(y, 1e-15, DIMS(2), VALUES(-0.1 * k, -0.3 * k));
        expect(weighted_gradient(y, x), 1e-15, DIMS(2), VALUES(0.1 * k, 0.2 * k));
    }
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(3), VALUES(1));
    expect_error(tg_celu(tape, x, 0), TG_EINVAL, "celu: alpha");
    expect_error(tg_softplus(tape, x, 0, 20), TG_EINVAL, "softplus: beta");
    expect_error(tg_hardtanh(tape, x, 1, -1), TG_EINVAL,
                 "hardtanh: min_val must not be above max_val, got 1 and -1");
    expect_error(tg_hardtanh(tape, x, NAN, 1), TG_EINVAL, "hardtanh");
    expect_error(tg_relu(tape, tensor(TG_BOOL, DIMS(2), VALUES(1))), TG_EDTYPE, "bool");
    expect_error(tg_gelu(tape, NULL, true), TG_EINVAL, "NULL");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("activations");
    TCase *t = tcase_create("values");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, values_and_slopes, 0, N_ACTIVATIONS);
    tcase_add_loop_test(t, far_out_and_nan, 0, N_ACTIVATIONS);
    tcase_add_test(t, kinks);
    tcase_add_test(t, clamps);
    tcase_add_test(t, softplus_threshold);
    tcase_add_test(t, scalars_are_of_the_call);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
