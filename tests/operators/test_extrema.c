/* Extrema and running extrema: places, ties, NaN, and where the gradient goes, as in PyTorch. */
#include "operators/rig.h"

START_TEST(along_a_dim)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 4), VALUES(3, 1, 3, 2, 5, 7, 5, 5)), *at = NULL;
    expect(tg_max_dim(tape, x, 1, false, &at), 0, DIMS(2), VALUES(3, 7));
    expect(at, 0, DIMS(2), VALUES(0, 1));
    ck_assert_int_eq(tg_tensor_dtype(at), TG_I64);
    expect(tg_min_dim(tape, x, -1, true, &at), 0, DIMS(2, 1), VALUES(1, 5));
    expect(at, 0, DIMS(2, 1), VALUES(1, 0));
    expect(weighted_gradient(tg_max_dim(tape, x, 1, false, NULL), x), 0, DIMS(2, 4),
           VALUES(1, 0, 0, 0, 0, 2, 0, 0));
    expect(weighted_gradient(tg_min_dim(tape, x, 0, true, NULL), x), 0, DIMS(2, 4),
           VALUES(1, 2, 3, 4, 0, 0, 0, 0));
    expect(tg_argmin(tape, tg_transpose(tape, x, 0, 1), 0, false), 0, DIMS(2), VALUES(1, 0));
    expect(tg_argmax_all(tape, x, false), 0, SCALAR, VALUES(5));
    expect(tg_argmin_all(tape, tg_transpose(tape, x, 0, 1), true), 0, DIMS(1, 1), VALUES(2));
    tg_tensor *s = leaf(TG_F32, SCALAR, VALUES(4));
    expect(tg_max_dim(tape, s, -1, true, &at), 0, SCALAR, VALUES(4));
    expect(at, 0, SCALAR, VALUES(0));
    expect(weighted_gradient(tg_max_dim(tape, s, 0, false, NULL), s), 0, SCALAR, VALUES(1));
    expect(tg_max_dim(tape, tensor(TG_BOOL, DIMS(3), VALUES(0, 1, 1)), 0, false, &at), 0, SCALAR, VALUES(1));
    expect(at, 0, SCALAR, VALUES(1));
    expect(tg_min_dim(tape, tensor(TG_I64, DIMS(3), VALUES(4, -2, -2)), 0, false, &at), 0, SCALAR,
           VALUES(-2));
    expect(at, 0, SCALAR, VALUES(1));
}
END_TEST

START_TEST(nan_and_ties)
{
    tg_tensor *x = leaf(TG_F64, DIMS(4), VALUES(1, NAN, 3, NAN)), *at = NULL;
    expect(tg_max_dim(tape, x, 0, false, &at), 0, SCALAR, VALUES(NAN));
    expect(at, 0, SCALAR, VALUES(1));
    expect(tg_argmin(tape, x, 0, false), 0, SCALAR, VALUES(1));
    expect(weighted_gradient(tg_max_dim(tape, x, 0, false, NULL), x), 0, DIMS(4), VALUES(0, 1, 0, 0));
    expect(weighted_gradient(tg_max(tape, x), x), 0, DIMS(4), VALUES(0, 0.5, 0, 0.5));
    expect(weighted_gradient(tg_amax_dims(tape, x, NULL, 0, false), x), 0, DIMS(4), VALUES(NAN));
    tg_tensor *t = leaf(TG_F64, DIMS(3), VALUES(3, 1, 3)), *most = NULL;
    expect(weighted_gradient(tg_max(tape, t), t), 0, DIMS(3), VALUES(0.5, 0, 0.5));
    expect(weighted_gradient(tg_min(tape, t), t), 0, DIMS(3), VALUES(0, 1, 0));
    expect(tg_aminmax_dims(tape, t, NULL, 0, true, &most), 0, DIMS(1), VALUES(1));
    expect(weighted_gradient(most, t), 0, DIMS(3), VALUES(0.5, 0, 0.5));
    expect(tg_aminmax_dims(tape, tensor(TG_BOOL, DIMS(2), VALUES(1, 0)), NULL, 0, false, NULL), 0, SCALAR,
           VALUES(0));
}
END_TEST

START_TEST(running)
{
    tg_tensor *x = leaf(TG_F64, DIMS(6), VALUES(1, 1, NAN, NAN, 2, NAN)), *at = NULL;
    expect(tg_cummax(tape, x, 0, &at), 0, DIMS(6), VALUES(1, 1, NAN, NAN, NAN, NAN));
    expect(at, 0, DIMS(6), VALUES(0, 1, 2, 3, 3, 5));
    expect(tg_cummin(tape, tensor(TG_F32, DIMS(5), VALUES(1, 1, NAN, 0, NAN)), 0, &at), 0, DIMS(5),
           VALUES(1, 1, NAN, NAN, NAN));
    expect(at, 0, DIMS(5), VALUES(0, 1, 2, 2, 4));
    expect(tg_cummax(tape, tensor(TG_I64, DIMS(5), VALUES(3, 3, 1, 5, 5)), 0, &at), 0, DIMS(5),
           VALUES(3, 3, 3, 5, 5));
    expect(at, 0, DIMS(5), VALUES(0, 1, 1, 3, 4));
    tg_tensor *m = leaf(TG_F64, DIMS(3, 2), VALUES(1, 9, 4, 2, 3, 9));
    expect(tg_cummax(tape, m, 0, NULL), 0, DIMS(3, 2), VALUES(1, 9, 4, 9, 4, 9));
    expect(weighted_gradient(tg_cummax(tape, m, 0, NULL), m), 0, DIMS(3, 2), VALUES(1, 6, 8, 0, 0, 6));
    expect(tg_cummin(tape, tg_transpose(tape, m, 0, 1), 1, NULL), 0, DIMS(2, 3), VALUES(1, 1, 1, 9, 2, 2));
    expect(tg_cummax(tape, tensor(TG_F32, DIMS(0, 2), VALUES(1)), 0, &at), 0, DIMS(0, 2), VALUES(0));
    expect(at, 0, DIMS(0, 2), VALUES(0));
    expect(tg_cummin(tape, tensor(TG_F32, SCALAR, VALUES(7)), -1, &at), 0, SCALAR, VALUES(7));
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(0, 3), VALUES(1)), *at = x;
    expect_error(tg_max_dim(tape, x, 0, false, &at), TG_ESHAPE,
                 "max(f64[0, 3]): there is no extremum of no values");
    ck_assert_ptr_null(at);
    expect_error(tg_min_dim(tape, x, 2, false, NULL), TG_EINVAL, "min: dim must be between -2 and 1, got 2");
    expect_error(tg_cummax(tape, x, 2, NULL), TG_EINVAL, "cummax: dim must be");
    expect_error(tg_argmax_all(tape, x, false), TG_ESHAPE, "there is no extremum");
    expect_error(tg_aminmax_dims(tape, x, NULL, 0, false, &at), TG_ESHAPE, "no values");
    expect_error(tg_max(tape, NULL), TG_EINVAL, "max: x is NULL");
    ck_assert_uint_eq(tg_tape_size(tape), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("extrema");
    TCase *t = tcase_create("values");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, along_a_dim);
    tcase_add_test(t, nan_and_ties);
    tcase_add_test(t, running);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
