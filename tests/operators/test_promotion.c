/* dtypes: what torch.result_type makes of the inputs, what integers and bools give, and what refuses them. */
#include "operators/rig.h"

typedef tg_tensor *(*unary_fn)(tg_tape *, tg_tensor *);
typedef tg_tensor *(*binary_fn)(tg_tape *, tg_tensor *, tg_tensor *);

static tg_tensor *vector(tg_dtype dtype)
{
    return tensor(dtype, DIMS(2), VALUES(1, 0));
}

static tg_tensor *scalar(tg_dtype dtype)
{
    return tensor(dtype, SCALAR, VALUES(1));
}

static void is(const tg_tensor *x, tg_dtype dtype)
{
    ck_assert_msg(x != NULL, "%s", tg_tape_error(tape));
    ck_assert_msg(tg_tensor_dtype(x) == dtype, "got %s, expected %s", tg_dtype_name((int32_t)tg_tensor_dtype(x)),
                  tg_dtype_name((int32_t)dtype));
}

START_TEST(tensors_with_dims)
{
    const tg_dtype t[] = {TG_BOOL, TG_I64, TG_F32, TG_F64}; /* each above the ones before */
    const binary_fn all[] = {(tg_add), (tg_mul), (tg_maximum), (tg_minimum), (tg_fmax), (tg_fmin), (tg_heaviside)};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            for (size_t k = 0; k < sizeof all / sizeof *all; k++)
                is(all[k](tape, vector(t[i]), vector(t[j])), t[i > j ? i : j]);
    const binary_fn numbers[] = {(tg_sub), (tg_pow), (tg_floor_divide), (tg_remainder), (tg_fmod), (tg_div_trunc)};
    for (int i = 0; i < 4; i++)
        for (int j = 1; j < 4; j++)
            for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
                is(numbers[k](tape, vector(t[i]), tensor(t[j], DIMS(2), VALUES(1, 2))), t[i > j ? i : j]);
    is(tg_where(tape, vector(TG_BOOL), vector(TG_I64), vector(TG_F32)), TG_F32);
    is(tg_lerp(tape, vector(TG_F32), vector(TG_F64), vector(TG_F32)), TG_F64);
    is(tg_eq(tape, vector(TG_I64), vector(TG_F64)), TG_BOOL);
}
END_TEST

/* A tensor without dims raises the others from bool to integer to floating, no further. */
START_TEST(tensors_without_dims)
{
    is(tg_add(tape, vector(TG_F32), scalar(TG_F64)), TG_F32);
    is(tg_add(tape, scalar(TG_F64), vector(TG_F32)), TG_F32);
    is(tg_add(tape, vector(TG_I64), scalar(TG_F64)), TG_F64);
    is(tg_add(tape, vector(TG_I64), scalar(TG_F32)), TG_F32);
    is(tg_add(tape, vector(TG_BOOL), scalar(TG_I64)), TG_I64);
    is(tg_add(tape, vector(TG_F32), scalar(TG_I64)), TG_F32);
    is(tg_add(tape, scalar(TG_F32), scalar(TG_F64)), TG_F64);
    is(tg_where(tape, vector(TG_BOOL), scalar(TG_F64), vector(TG_F32)), TG_F32);
    expect(tg_gt(tape, vector(TG_I64), tensor(TG_F64, SCALAR, VALUES(0.5))), 0, DIMS(2), VALUES(1, 0));
}
END_TEST

START_TEST(integers_as_floats)
{
    const unary_fn fns[] = {(tg_exp),   (tg_log),  (tg_sqrt), (tg_sin),     (tg_tanh),       (tg_sigmoid), (tg_erf),
                            (tg_atan),  (tg_cosh), (tg_exp2), (tg_log10),   (tg_reciprocal), (tg_lgamma),  (tg_digamma),
                            (tg_rsqrt), (tg_sinc), (tg_i0),   (tg_deg2rad), (tg_rad2deg),    (tg_erfinv)};
    for (size_t k = 0; k < sizeof fns / sizeof *fns; k++) {
        is(fns[k](tape, vector(TG_I64)), TG_F32);
        is(fns[k](tape, vector(TG_BOOL)), TG_F32);
        is(fns[k](tape, vector(TG_F64)), TG_F64);
    }
    expect(tg_div(tape, tensor(TG_I64, DIMS(2), VALUES(7, -1)), tensor(TG_I64, SCALAR, VALUES(2))), 0, DIMS(2),
           VALUES(3.5, -0.5));
    is(tg_atan2(tape, vector(TG_BOOL), vector(TG_I64)), TG_F32);
    is(tg_polygamma(tape, 2, vector(TG_I64)), TG_F32);
    ck_assert_int_eq(tg_runtime_set_dtype(rt, TG_F64), TG_OK);
    is(tg_exp(tape, vector(TG_I64)), TG_F64);
    is(tg_div(tape, vector(TG_I64), vector(TG_BOOL)), TG_F64);
}
END_TEST

/* Beside a whole number integers stay exact; a refusal names the function that was called, and its number. */
START_TEST(integers_and_numbers)
{
    const int64_t big = INT64_C(1) << 60;
    int64_t got[1];
    tg_tensor *x = tg_input(tape, TG_I64, DIMS(1), &(int64_t){big + 1});
    tg_tensor *y = tg_rsub_scalar(tape, 3, x);
    is(y, TG_I64);
    ck_assert_int_eq(tg_tensor_read(y, got, sizeof got), TG_OK);
    ck_assert_int_eq(got[0], 2 - big);
    y = tg_addcmul(tape, x, x, tensor(TG_BOOL, DIMS(1), VALUES(1)), -1);
    is(y, TG_I64);
    expect(y, 0, DIMS(1), VALUES(0));
    is(tg_rsub_scalar(tape, 0.5, x), TG_F32);
    expect(tg_rpow_scalar(tape, -3, tensor(TG_I64, DIMS(3), VALUES(0, 3, 1))), 0, DIMS(3), VALUES(1, -27, -3));
    is(tg_rpow_scalar(tape, 2, vector(TG_BOOL)), TG_I64);
    is(tg_rpow_scalar(tape, 0.5, vector(TG_I64)), TG_F32);
    is(tg_softsign(tape, vector(TG_I64)), TG_F32);
    expect_error(tg_sub_scalar(tape, x, 2.5), TG_EINVAL, "sub_scalar: with i64, the scalar must be a whole number, not 2.5");
    expect_error(tg_sub_scalar(tape, x, -0x1p63), TG_EINVAL, "sub_scalar: with i64");
    expect_error(tg_addcmul(tape, x, x, x, 0.5), TG_EINVAL, "addcmul: mul_scalar: with i64");
}
END_TEST

START_TEST(integers_stay)
{
    tg_tensor *x = tensor(TG_I64, DIMS(4), VALUES(3, -2, 0, 5));
    expect(tg_neg(tape, x), 0, DIMS(4), VALUES(-3, 2, 0, -5));
    expect(tg_abs(tape, x), 0, DIMS(4), VALUES(3, 2, 0, 5));
    expect(tg_sign(tape, x), 0, DIMS(4), VALUES(1, -1, 0, 1));
    expect(tg_square(tape, x), 0, DIMS(4), VALUES(9, 4, 0, 25));
    expect(tg_floor(tape, x), 0, DIMS(4), VALUES(3, -2, 0, 5));
    expect(tg_nan_to_num(tape, x, 1, 2, 3), 0, DIMS(4), VALUES(3, -2, 0, 5));
    expect(tg_clamp(tape, x, -1, NAN), 0, DIMS(4), VALUES(3, -1, 0, 5));
    expect(tg_clamp(tape, x, -INFINITY, 3), 0, DIMS(4), VALUES(3, -2, 0, 3));
    expect(tg_pow(tape, x, tensor(TG_I64, DIMS(4), VALUES(3, 5, 0, -1))), 0, DIMS(4), VALUES(27, -32, 1, 0));
    expect(tg_add_scalar(tape, x, 2), 0, DIMS(4), VALUES(5, 0, 2, 7));
    expect(tg_mul_scalar(tape, x, -3), 0, DIMS(4), VALUES(-9, 6, 0, -15));
    expect(tg_pow_scalar(tape, x, 2), 0, DIMS(4), VALUES(9, 4, 0, 25));
    is(tg_sub_scalar(tape, x, 1), TG_I64);
    is(tg_add_scalar(tape, vector(TG_BOOL), 1), TG_I64);
    is(tg_abs(tape, x), TG_I64);
    /* Beyond what f64 counts exactly. */
    int64_t large[] = {INT64_C(0x40000000000001)}, product[1];
    tg_tensor *l = tg_input(tape, TG_I64, DIMS(1), large);
    ck_assert_int_eq(tg_tensor_read(tg_mul(tape, l, tensor(TG_I64, SCALAR, VALUES(3))), product, 8), TG_OK);
    ck_assert_int_eq(product[0], 3 * large[0]);
    tg_tensor *b = vector(TG_BOOL), *c = tensor(TG_BOOL, DIMS(2), VALUES(1, 1));
    expect(tg_add(tape, b, c), 0, DIMS(2), VALUES(1, 1));
    expect(tg_mul(tape, b, c), 0, DIMS(2), VALUES(1, 0));
    expect(tg_logical_xor(tape, b, tensor(TG_F32, DIMS(2), VALUES(NAN, 0))), 0, DIMS(2), VALUES(0, 0));
    expect(tg_logical_not(tape, tensor(TG_F64, DIMS(3), VALUES(0, NAN, 2))), 0, DIMS(3), VALUES(1, 0, 0));
    expect(tg_logical_or(tape, x, tensor(TG_BOOL, SCALAR, VALUES(0))), 0, DIMS(4), VALUES(1, 1, 0, 1));
}
END_TEST

START_TEST(tests_of_values)
{
    tg_tensor *x = tensor(TG_F32, DIMS(5), VALUES(NAN, INFINITY, -INFINITY, -0.0, 1));
    expect(tg_isnan(tape, x), 0, DIMS(5), VALUES(1, 0, 0, 0, 0));
    expect(tg_isinf(tape, x), 0, DIMS(5), VALUES(0, 1, 1, 0, 0));
    expect(tg_isfinite(tape, x), 0, DIMS(5), VALUES(0, 0, 0, 1, 1));
    expect(tg_signbit(tape, tensor(TG_I64, DIMS(2), VALUES(-1, 1))), 0, DIMS(2), VALUES(1, 0));
    expect(tg_isfinite(tape, vector(TG_BOOL)), 0, DIMS(2), VALUES(1, 1));
    expect(tg_isclose(tape, x, x, 0, 0, false), 0, DIMS(5), VALUES(0, 1, 1, 1, 1));
    expect(tg_isclose(tape, x, x, 0, 0, true), 0, DIMS(5), VALUES(1));
    tg_tensor *a = tensor(TG_F64, DIMS(3), VALUES(100, 100, INFINITY)), *b = tensor(TG_F64, DIMS(3), VALUES(101, 102, 1));
    expect(tg_isclose(tape, a, b, 0.01, 0, false), 0, DIMS(3), VALUES(1, 0, 0));
    expect(tg_isclose(tape, a, b, 0, 1.5, false), 0, DIMS(3), VALUES(1, 0, 0));
    expect_error(tg_isclose(tape, a, b, -1, 0, false), TG_EINVAL, "must not be negative");
}
END_TEST

START_TEST(with_numbers)
{
    tg_tensor *x = leaf(TG_F32, DIMS(2), VALUES(2, 4));
    expect(tg_div_scalar(tape, x, 4), 0, DIMS(2), VALUES(0.5, 1));
    expect(tg_rsub_scalar(tape, 1, x), 0, DIMS(2), VALUES(-1, -3));
    expect(tg_rdiv_scalar(tape, 1, x), 0, DIMS(2), VALUES(0.5, 0.25));
    expect(tg_rpow_scalar(tape, 3, x), 1e-6, DIMS(2), VALUES(9, 81));
    expect(weighted_gradient(tg_rpow_scalar(tape, 3, x), x), 1e-6, DIMS(2), VALUES(9 * log(3), 2 * 81 * log(3)));
    is(tg_rpow_scalar(tape, 0.5, vector(TG_I64)), TG_F32);
    is(tg_div_scalar(tape, vector(TG_I64), 2), TG_F32);
    expect_error(tg_rpow_scalar(tape, 2, NULL), TG_EINVAL, "rpow_scalar: x");
}
END_TEST

/* Through the recorded conversions each input gets a gradient of its own dtype. */
START_TEST(gradients)
{
    tg_tensor *a = leaf(TG_F32, DIMS(2), VALUES(2, 3)), *b = leaf(TG_F64, DIMS(2), VALUES(5, 7));
    tg_tensor *y = tg_mul(tape, a, b), *g = weighted_gradient(y, a);
    is(g, TG_F32);
    expect(g, 0, DIMS(2), VALUES(5, 14));
    is(weighted_gradient(y, b), TG_F64);
    tg_tensor *s = leaf(TG_F64, SCALAR, VALUES(0.5)), *z = tg_mul(tape, a, s);
    is(z, TG_F32);
    g = weighted_gradient(z, s);
    is(g, TG_F64);
    expect(g, 0, SCALAR, VALUES(8));
    expect(weighted_gradient(tg_mul(tape, a, tensor(TG_I64, DIMS(2), VALUES(3, 4))), a), 0, DIMS(2), VALUES(3, 8));
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *i = vector(TG_I64), *b = vector(TG_BOOL);
    expect_error(tg_sub(tape, b, b), TG_EDTYPE, "bools have no difference");
    expect_error(tg_neg(tape, b), TG_EDTYPE, "must be f32, f64 or i64, not bool");
    expect_error(tg_pow(tape, b, b), TG_EDTYPE, "not bool");
    expect_error(tg_fmod(tape, b, b), TG_EDTYPE, "not bool");
    expect_error(tg_frac(tape, i), TG_EDTYPE, "must be f32 or f64, not i64");
    expect_error(tg_round_decimals(tape, i, 2), TG_EDTYPE, "round_decimals");
    expect_error(tg_gelu(tape, i, false), TG_EDTYPE, "gelu");
    expect_error(tg_add_scalar(tape, i, 0.5), TG_EINVAL, "must be a whole number, not 0.5");
    expect_error(tg_mul_scalar(tape, i, NAN), TG_EINVAL, "whole");
    expect_error(tg_pow_scalar(tape, i, -1), TG_EINVAL, "whole number from 0, not -1");
    expect_error(tg_clamp(tape, i, 0.5, 1), TG_EINVAL, "whole");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("promotion");
    TCase *t = tcase_create("dtypes");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, tensors_with_dims);
    tcase_add_test(t, tensors_without_dims);
    tcase_add_test(t, integers_as_floats);
    tcase_add_test(t, integers_and_numbers);
    tcase_add_test(t, integers_stay);
    tcase_add_test(t, tests_of_values);
    tcase_add_test(t, with_numbers);
    tcase_add_test(t, gradients);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
