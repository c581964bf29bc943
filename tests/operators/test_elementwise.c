/* Elementwise operators: values at ordinary and special points, broadcasting, strides, dtypes and refusals.
 */
#include "operators/rig.h"

static const tg_dtype floats[] = {TG_F32, TG_F64};

typedef tg_tensor *(*unary_fn)(tg_tape *, tg_tensor *);
typedef struct unary {
    const char *name;
    unary_fn fn;
    double (*exact)(double);
    double low, high;
} unary;

static double negated(double x)
{
    return -x;
}
static double signum(double x)
{
    return (x > 0) - (x < 0);
}
static double reciprocal_root(double x)
{
    return 1 / sqrt(x);
}
static double squared(double x)
{
    return x * x;
}
static double inverse(double x)
{
    return 1 / x;
}

/* In parentheses: the functions, not the macros that note the place. */
static const unary unaries[] = {
    {"neg", (tg_neg), negated, -5, 5},
    {"abs", (tg_abs), fabs, -5, 5},
    {"sign", (tg_sign), signum, -5, 5},
    {"exp", (tg_exp), exp, -80, 80},
    {"expm1", (tg_expm1), expm1, -30, 30},
    {"log", (tg_log), log, 1e-6, 1e6},
    {"log1p", (tg_log1p), log1p, -0.99, 100},
    {"sqrt", (tg_sqrt), sqrt, 0, 1e6},
    {"rsqrt", (tg_rsqrt), reciprocal_root, 1e-6, 1e6},
    {"square", (tg_square), squared, -100, 100},
    {"reciprocal", (tg_reciprocal), inverse, 0.01, 100},
    {"sin", (tg_sin), sin, -50, 50},
    {"cos", (tg_cos), cos, -50, 50},
    {"tanh", (tg_tanh), tanh, -20, 20},
    {"erf", (tg_erf), erf, -5, 5},
};
#define N_UNARIES (int)(sizeof unaries / sizeof *unaries)

/* Against libm in f64, over the range, with a tail that fills no vector. */
START_TEST(one_input_over_its_range)
{
    const unary *u = &unaries[_i];
    enum { N = 1003 };
    double x[N], y[N];
    for (int f = 0; f < 2; f++) {
        for (int i = 0; i < N; i++) {
            x[i] = u->low + (u->high - u->low) * i / (N - 1);
            y[i] = u->exact(floats[f] == TG_F32 ? (double)(float)x[i] : x[i]);
        }
        tg_tensor *t = u->fn(tape, tensor(floats[f], DIMS(N), x, N));
        double got[N];
        tg_tensor *wide = tg_to(tape, t, TG_F64);
        ck_assert_int_eq(tg_tensor_read(wide, got, sizeof got), TG_OK);
        for (int i = 0; i < N; i++) {
            double scale = fmax(fabs(y[i]), floats[f] == TG_F32 ? 1e-3 : 1e-10);
            double error = fabs(got[i] - y[i]) / scale;
            ck_assert_msg(error < (floats[f] == TG_F32 ? 1e-6 : 2e-15), "%s(%g) in %s: %.17g, not %.17g",
                          u->name, x[i], tg_dtype_name(floats[f]), got[i], y[i]);
        }
    }
}
END_TEST

START_TEST(special_values)
{
    for (int f = 0; f < 2; f++) {
        tg_tensor *x = tensor(floats[f], DIMS(5), VALUES(NAN, INFINITY, -INFINITY, 0, -1));
        expect(tg_neg(tape, x), 0, DIMS(5), VALUES(NAN, -INFINITY, INFINITY, 0, 1));
        expect(tg_abs(tape, x), 0, DIMS(5), VALUES(NAN, INFINITY, INFINITY, 0, 1));
        expect(tg_sign(tape, x), 0, DIMS(5), VALUES(0, 1, -1, 0, -1));
        expect(tg_exp(tape, x), 1e-6, DIMS(5), VALUES(NAN, INFINITY, 0, 1, exp(-1)));
        expect(tg_expm1(tape, x), 1e-6, DIMS(5), VALUES(NAN, INFINITY, -1, 0, expm1(-1)));
        expect(tg_log(tape, x), 0, DIMS(5), VALUES(NAN, INFINITY, NAN, -INFINITY, NAN));
        expect(tg_log1p(tape, x), 0, DIMS(5), VALUES(NAN, INFINITY, NAN, 0, -INFINITY));
        expect(tg_sqrt(tape, x), 0, DIMS(5), VALUES(NAN, INFINITY, NAN, 0, NAN));
        expect(tg_rsqrt(tape, x), 0, DIMS(5), VALUES(NAN, 0, NAN, INFINITY, NAN));
        expect(tg_reciprocal(tape, x), 0, DIMS(5), VALUES(NAN, 0, 0, INFINITY, -1));
        expect(tg_sin(tape, x), 1e-6, DIMS(5), VALUES(NAN, NAN, NAN, 0, sin(-1)));
        expect(tg_tanh(tape, x), 1e-6, DIMS(5), VALUES(NAN, 1, -1, 0, tanh(-1)));
        expect(tg_erf(tape, x), 1e-6, DIMS(5), VALUES(NAN, 1, -1, 0, erf(-1)));
    }
}
END_TEST

START_TEST(powers)
{
    for (int f = 0; f < 2; f++) {
        tg_tensor *x = tensor(floats[f], DIMS(4), VALUES(-2, 0, 4, 2.5));
        expect(tg_pow_scalar(tape, x, 2), 0, DIMS(4), VALUES(4, 0, 16, 6.25));
        expect(tg_pow_scalar(tape, x, 3), 0, DIMS(4), VALUES(-8, 0, 64, 15.625));
        expect(tg_pow_scalar(tape, x, 0), 0, DIMS(4), VALUES(1));
        expect(tg_pow_scalar(tape, x, 1), 0, DIMS(4), VALUES(-2, 0, 4, 2.5));
        expect(tg_pow_scalar(tape, x, 0.5), 1e-6, DIMS(4), VALUES(NAN, 0, 2, sqrt(2.5)));
        expect(tg_pow_scalar(tape, x, -1), 1e-6, DIMS(4), VALUES(-0.5, INFINITY, 0.25, 0.4));
        expect(tg_pow_scalar(tape, x, 5), 1e-6, DIMS(4), VALUES(-32, 0, 1024, 97.65625));
        expect(tg_pow_scalar(tape, x, 1.5), 1e-6, DIMS(4), VALUES(NAN, 0, 8, pow(2.5, 1.5)));
        tg_tensor *a = tensor(floats[f], DIMS(5), VALUES(-2, 0, 0, 2, -8)),
                  *b = tensor(floats[f], DIMS(5), VALUES(3, 0, 2, -1, 0.5));
        expect(tg_pow(tape, a, b), 1e-6, DIMS(5), VALUES(-8, 1, 0, 0.5, NAN));
    }
}
END_TEST

START_TEST(powers_gradients_without_nan)
{
    tg_tensor *a = leaf(TG_F64, DIMS(4), VALUES(0, 0, 3, -2)), *b = leaf(TG_F64, DIMS(4), VALUES(0, 2, 0, 3));
    tg_tensor *y = tg_pow(tape, a, b), *g[2];
    tg_tensor *ones = tg_ones_like(tape, y);
    ck_assert_int_eq(tg_grad(tape, y, ones, (tg_tensor *[]){a, b}, 2, g, 0), TG_OK);
    expect(g[0], 1e-12, DIMS(4), VALUES(0, 0, 0, 12));
    expect(g[1], 1e-12, DIMS(4), VALUES(0, 0, log(3), NAN));
    tg_tensor *x = leaf(TG_F64, DIMS(2), VALUES(0, 2));
    expect(weighted_gradient(tg_pow_scalar(tape, x, 0), x), 0, DIMS(2), VALUES(0));
}
END_TEST

START_TEST(two_inputs)
{
    for (int f = 0; f < 2; f++) {
        tg_tensor *a = tensor(floats[f], DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)),
                  *b = tensor(floats[f], DIMS(3), VALUES(10, 20, 30));
        tg_tensor *c = tensor(floats[f], DIMS(2, 1), VALUES(2, 4)), *s = tensor(floats[f], SCALAR, VALUES(2));
        expect(tg_add(tape, a, b), 0, DIMS(2, 3), VALUES(11, 22, 33, 14, 25, 36));
        expect(tg_sub(tape, b, a), 0, DIMS(2, 3), VALUES(9, 18, 27, 6, 15, 24));
        expect(tg_mul(tape, a, c), 0, DIMS(2, 3), VALUES(2, 4, 6, 16, 20, 24));
        expect(tg_div(tape, a, s), 0, DIMS(2, 3), VALUES(0.5, 1, 1.5, 2, 2.5, 3));
        expect(tg_add(tape, s, s), 0, SCALAR, VALUES(4));
        expect(tg_mul(tape, b, c), 0, DIMS(2, 3), VALUES(20, 40, 60, 40, 80, 120));
        expect(tg_div(tape, tensor(floats[f], DIMS(4), VALUES(1, -1, 0, NAN)),
                      tensor(floats[f], SCALAR, VALUES(0))),
               0, DIMS(4), VALUES(INFINITY, -INFINITY, NAN, NAN));
        expect(tg_maximum(tape, tensor(floats[f], DIMS(4), VALUES(1, NAN, 3, -INFINITY)),
                          tensor(floats[f], DIMS(4), VALUES(2, 1, NAN, -3))),
               0, DIMS(4), VALUES(2, NAN, NAN, -3));
        expect(tg_minimum(tape, tensor(floats[f], DIMS(4), VALUES(1, NAN, 3, -INFINITY)),
                          tensor(floats[f], DIMS(4), VALUES(2, 1, NAN, -3))),
               0, DIMS(4), VALUES(1, NAN, NAN, -INFINITY));
    }
    tg_tensor *i = tensor(TG_I64, DIMS(3), VALUES(7, -2, 3)), *j = tensor(TG_I64, SCALAR, VALUES(5));
    expect(tg_add(tape, i, j), 0, DIMS(3), VALUES(12, 3, 8));
    expect(tg_sub(tape, i, j), 0, DIMS(3), VALUES(2, -7, -2));
    expect(tg_mul(tape, i, j), 0, DIMS(3), VALUES(35, -10, 15));
}
END_TEST

START_TEST(ties_share_the_gradient)
{
    tg_tensor *a = leaf(TG_F64, DIMS(3), VALUES(1, 5, 3)), *b = leaf(TG_F64, DIMS(3), VALUES(1, 2, 4));
    expect(weighted_gradient(tg_maximum(tape, a, b), a), 0, DIMS(3), VALUES(0.5, 2, 0));
    expect(weighted_gradient(tg_maximum(tape, a, b), b), 0, DIMS(3), VALUES(0.5, 0, 3));
    expect(weighted_gradient(tg_minimum(tape, a, b), a), 0, DIMS(3), VALUES(0.5, 0, 3));
    tg_tensor *x = leaf(TG_F64, DIMS(3), VALUES(-2, 0, 2));
    expect(weighted_gradient(tg_abs(tape, x), x), 0, DIMS(3), VALUES(-1, 0, 3));
    expect(weighted_gradient(tg_sign(tape, x), x), 0, DIMS(3), VALUES(0));
}
END_TEST

START_TEST(broadcast_gradients_are_summed)
{
    tg_tensor *a = leaf(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)),
              *b = leaf(TG_F64, DIMS(3), VALUES(10, 20, 30));
    tg_tensor *c = leaf(TG_F64, DIMS(2, 1), VALUES(2, 4)), *s = leaf(TG_F64, SCALAR, VALUES(2));
    expect(weighted_gradient(tg_add(tape, a, b), b), 0, DIMS(3), VALUES(5, 7, 9));
    expect(weighted_gradient(tg_mul(tape, a, c), c), 0, DIMS(2, 1), VALUES(14, 77));
    expect(weighted_gradient(tg_sub(tape, a, s), s), 0, SCALAR, VALUES(-21));
    expect(weighted_gradient(tg_div(tape, s, a), s), 1e-12, SCALAR, VALUES(6));
}
END_TEST

START_TEST(comparisons)
{
    const tg_dtype dtypes[] = {TG_F32, TG_F64, TG_I64};
    for (int k = 0; k < 3; k++) {
        tg_tensor *a = tensor(dtypes[k], DIMS(3), VALUES(1, 2, 3)), *b = tensor(dtypes[k], SCALAR, VALUES(2));
        expect(tg_eq(tape, a, b), 0, DIMS(3), VALUES(0, 1, 0));
        expect(tg_ne(tape, a, b), 0, DIMS(3), VALUES(1, 0, 1));
        expect(tg_lt(tape, a, b), 0, DIMS(3), VALUES(1, 0, 0));
        expect(tg_le(tape, a, b), 0, DIMS(3), VALUES(1, 1, 0));
        expect(tg_gt(tape, a, b), 0, DIMS(3), VALUES(0, 0, 1));
        expect(tg_ge(tape, a, b), 0, DIMS(3), VALUES(0, 1, 1));
        ck_assert_int_eq(tg_tensor_dtype(tg_eq(tape, a, b)), TG_BOOL);
    }
    tg_tensor *n = tensor(TG_F64, DIMS(2), VALUES(NAN, 1));
    expect(tg_eq(tape, n, n), 0, DIMS(2), VALUES(0, 1));
    expect(tg_ne(tape, n, n), 0, DIMS(2), VALUES(1, 0));
    expect(tg_le(tape, n, n), 0, DIMS(2), VALUES(0, 1));
    tg_tensor *t = tensor(TG_BOOL, DIMS(2), VALUES(1, 0)), *u = tensor(TG_BOOL, DIMS(2), VALUES(1, 1));
    expect(tg_eq(tape, t, u), 0, DIMS(2), VALUES(1, 0));
    expect(tg_lt(tape, t, u), 0, DIMS(2), VALUES(0, 1));
    ck_assert(!tg_tensor_requires_grad(tg_gt(tape, leaf(TG_F64, DIMS(2), VALUES(1, 2)), n)));
}
END_TEST

START_TEST(where_selects)
{
    tg_tensor *c = tensor(TG_BOOL, DIMS(2, 1), VALUES(1, 0)), *a = leaf(TG_F64, DIMS(3), VALUES(1, 2, NAN));
    tg_tensor *b = leaf(TG_F64, SCALAR, VALUES(-1)), *y = tg_where(tape, c, a, b);
    expect(y, 0, DIMS(2, 3), VALUES(1, 2, NAN, -1, -1, -1));
    expect(weighted_gradient(y, a), 0, DIMS(3), VALUES(1, 2, 3));
    expect(weighted_gradient(y, b), 0, SCALAR, VALUES(15));
    expect(tg_where(tape, c, tensor(TG_I64, DIMS(2), VALUES(5, 6)), tensor(TG_I64, DIMS(2), VALUES(7, 8))), 0,
           DIMS(2, 2), VALUES(5, 6, 7, 8));
    expect(tg_where(tape, c, tensor(TG_F32, DIMS(2), VALUES(INFINITY, 0)),
                    tensor(TG_F32, DIMS(2), VALUES(NAN, 8))),
           0, DIMS(2, 2), VALUES(INFINITY, 0, NAN, 8));
    expect_error(tg_where(tape, a, a, a), TG_EDTYPE, "condition must be bool");
}
END_TEST

START_TEST(conversions)
{
    tg_tensor *x = leaf(TG_F64, DIMS(5), VALUES(1.5, -2.75, 0, NAN, 1e300));
    expect(tg_to(tape, x, TG_I64), 0, DIMS(5), VALUES(1, -2, 0, -0x1p63, -0x1p63));
    expect(tg_to(tape, x, TG_BOOL), 0, DIMS(5), VALUES(1, 1, 0, 1, 1));
    expect(tg_to(tape, x, TG_F32), 0, DIMS(5), VALUES(1.5, -2.75, 0, NAN, INFINITY));
    ck_assert_ptr_eq(tg_to(tape, x, TG_F64), x);
    tg_tensor *g = weighted_gradient(tg_to(tape, x, TG_F32), x);
    ck_assert_int_eq(tg_tensor_dtype(g), TG_F64);
    expect(g, 0, DIMS(5), VALUES(1, 2, 3, 4, 5));
    expect(tg_to(tape, tensor(TG_BOOL, DIMS(2), VALUES(1, 0)), TG_F32), 0, DIMS(2), VALUES(1, 0));
    expect(tg_to(tape, tensor(TG_I64, DIMS(2), VALUES(-7, 9)), TG_F64), 0, DIMS(2), VALUES(-7, 9));
    expect_error(tg_to(tape, x, TG_BF16), TG_EDTYPE, "not to bf16");
    expect_error(tg_to(tape, x, (tg_dtype)77), TG_EDTYPE, "converts among");
}
END_TEST

/* The same bits from a transposed, a gapped and an expanded view as from a dense copy. */
START_TEST(strides_do_not_change_a_bit)
{
    enum { R = 70, C = 131 };
    double values[R * C];
    for (int i = 0; i < R * C; i++)
        values[i] = sin(i * 0.7) * 3;
    for (int f = 0; f < 2; f++) {
        tg_tensor *x = tensor(floats[f], DIMS(R, C), values, R * C);
        tg_tensor *views[] = {
            tg_transpose(tape, x, 0, 1),
            tg_slice(tape, x, 1, 1, INT64_MAX, 3),
            tg_slice(tape, x, 0, 5, 60, 2),
            tg_expand(tape, tg_narrow(tape, x, 1, 7, 1), R, 200),
            tg_permute(tape, tg_reshape(tape, x, 7, 10, C), 2, 0, 1),
        };
        for (size_t v = 0; v < sizeof views / sizeof *views; v++) {
            tg_tensor *dense = tg_clone(tape, views[v]);
            tg_tensor *pairs[][2] = {{tg_exp(tape, views[v]), tg_exp(tape, dense)},
                                     {tg_tanh(tape, views[v]), tg_tanh(tape, dense)},
                                     {tg_mul(tape, views[v], dense), tg_mul(tape, dense, dense)},
                                     {tg_pow_scalar(tape, views[v], 1.7), tg_pow_scalar(tape, dense, 1.7)}};
            for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
                size_t bytes = (size_t)tg_tensor_count(dense) * size_of(floats[f]);
                char *one = malloc(bytes), *two = malloc(bytes);
                ck_assert_int_eq(tg_tensor_read(pairs[p][0], one, bytes), TG_OK);
                ck_assert_int_eq(tg_tensor_read(pairs[p][1], two, bytes), TG_OK);
                ck_assert_msg(!memcmp(one, two, bytes), "view %zu, operator %zu", v, p);
                free(one);
                free(two);
            }
        }
    }
}
END_TEST

/* As of row-major copies, of rows and planes of every kind: short, long, with a rest, longer than what is laid out. */
START_TEST(broadcasting_does_not_change_a_bit)
{
    static const struct {
        int64_t dims[4], other[4];
    } shapes[] = {
        {{3, 1, 37, 10}, {1, 1, 1, 10}}, {{1, 1, 7001, 10}, {1, 1, 1, 10}},   {{1, 1, 401, 200}, {1, 1, 1, 200}},
        {{1, 1, 23, 3001}, {1, 1, 1, 3001}}, {{1, 1, 3, 5003}, {1, 1, 1, 5003}}, {{41, 10, 10, 10}, {1, 10, 1, 1}},
        {{1, 20, 28, 28}, {1, 20, 1, 1}}, {{2, 3, 1, 1501}, {1, 3, 1, 1}}, {{1, 1, 1, 60001}, {1, 1, 1, 1}},
        {{1, 30, 1, 70}, {20, 1, 5, 1}},  {{300, 1, 1, 9}, {1, 9, 13, 1}},   {{2, 9, 70, 13}, {2, 1, 70, 1}},
    };
    double values[1009];
    for (int i = 0; i < 1009; i++)
        values[i] = sin(i * 0.7) * 3;
    for (int i = 0; i < 4 * (int)(sizeof shapes / sizeof *shapes); i++) {
        const int64_t *dims = shapes[i / 4].dims, *other = shapes[i / 4].other;
        const tg_dtype dtype = floats[i % 2];
        int64_t both[4];
        for (int d = 0; d < 4; d++)
            both[d] = dims[d] > other[d] ? dims[d] : other[d];
        ck_assert_int_eq(tg_tape_set_threads(tape, i % 4 < 2 ? 1 : 2), TG_OK);
        tg_tensor *a = tensor(dtype, dims, 4, values, 1009), *b = tensor(dtype, other, 4, values, 1000);
        tg_tensor *whole_a = tg_clone(tape, tg_expand_dims(tape, a, both, 4));
        tg_tensor *whole_b = tg_clone(tape, tg_expand_dims(tape, b, both, 4));
        tg_tensor *pairs[][2] = {
            {tg_mul(tape, a, b), tg_mul(tape, whole_a, whole_b)},
            {tg_sub(tape, b, a), tg_sub(tape, whole_b, whole_a)},
            {tg_where(tape, tg_lt(tape, a, b), b, a), tg_where(tape, tg_lt(tape, whole_a, whole_b), whole_b, whole_a)},
            {tg_fmod(tape, a, b), tg_fmod(tape, whole_a, whole_b)}};
        for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
            const size_t bytes = (size_t)tg_tensor_count(whole_a) * size_of(dtype);
            char *one = malloc(bytes), *two = malloc(bytes);
            ck_assert_int_eq(tg_tensor_read(pairs[p][0], one, bytes), TG_OK);
            ck_assert_int_eq(tg_tensor_read(pairs[p][1], two, bytes), TG_OK);
            ck_assert_msg(!memcmp(one, two, bytes), "shape %d, dtype %d, operator %zu", i / 4, (int)dtype, p);
            free(one);
            free(two);
        }
        tg_tape_reset(tape);
    }
}
END_TEST

START_TEST(threads_do_not_change_a_bit)
{
    const int64_t n = 100003;
    size_t bytes = (size_t)n * sizeof(float);
    float *x = malloc(bytes), *one = malloc(bytes), *two = malloc(bytes);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(i % 1009) * 0.01f - 5;
    tg_tensor *t = tg_input(tape, TG_F32, &n, 1, x);
    ck_assert_int_eq(tg_tape_set_threads(tape, 1), TG_OK);
    ck_assert_int_eq(tg_tensor_read(tg_gelu(tape, t, false), one, bytes), TG_OK);
    ck_assert_int_eq(tg_tape_set_threads(tape, 3), TG_OK);
    ck_assert_int_eq(tg_tensor_read(tg_gelu(tape, t, false), two, bytes), TG_OK);
    ck_assert(!memcmp(one, two, bytes));
    free(x);
    free(one);
    free(two);
}
END_TEST

START_TEST(empties)
{
    tg_tensor *x = leaf(TG_F64, DIMS(0, 3), VALUES(1)), *b = leaf(TG_F64, DIMS(3), VALUES(1));
    for (int u = 0; u < N_UNARIES; u++)
        expect(unaries[u].fn(tape, x), 0, DIMS(0, 3), VALUES(0));
    expect(tg_add(tape, x, b), 0, DIMS(0, 3), VALUES(0));
    expect(weighted_gradient(tg_mul(tape, x, b), b), 0, DIMS(3), VALUES(0));
    expect(tg_eq(tape, x, x), 0, DIMS(0, 3), VALUES(0));
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(2, 3), VALUES(1)), *y = tensor(TG_F64, DIMS(2), VALUES(1));
    expect_error(tg_add(tape, x, y), TG_ESHAPE, "[2, 3]");
    expect_error(tg_add(tape, x, NULL), TG_EINVAL, "NULL");
    /* One failure, and everything behind it does nothing. */
    tg_tensor *bad = tg_add(tape, x, y);
    ck_assert_ptr_null(tg_exp(tape, tg_neg(tape, bad)));
    expect_error(tg_add(tape, bad, x), TG_ESHAPE, "add");
    ck_assert_ptr_null(tg_exp(NULL, x));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("elementwise");
    TCase *t = tcase_create("values");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, one_input_over_its_range, 0, N_UNARIES);
    tcase_add_test(t, special_values);
    tcase_add_test(t, powers);
    tcase_add_test(t, powers_gradients_without_nan);
    tcase_add_test(t, two_inputs);
    tcase_add_test(t, ties_share_the_gradient);
    tcase_add_test(t, broadcast_gradients_are_summed);
    tcase_add_test(t, comparisons);
    tcase_add_test(t, where_selects);
    tcase_add_test(t, conversions);
    suite_add_tcase(s, t);
    t = tcase_create("memory");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, strides_do_not_change_a_bit);
    tcase_add_test(t, broadcasting_does_not_change_a_bit);
    tcase_add_test(t, threads_do_not_change_a_bit);
    tcase_add_test(t, empties);
    suite_add_tcase(s, t);
    t = tcase_create("refusals");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
