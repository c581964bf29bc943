/* Interpolation and grids: values in other dtypes, at the edges, where positions are no numbers, and
 * refusals. */
#include "operators/rig.h"

#include <tapegrad/op_attrs.h>
#include <tapegrad/operator.h>

#define SIZES(...) ((const int64_t[]){__VA_ARGS__}), sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
#define SCALES(...) ((const double[]){__VA_ARGS__}), sizeof((const double[]){__VA_ARGS__}) / sizeof(double)

static tg_tensor *ramp(tg_dtype dtype)
{
    return leaf(dtype, DIMS(1, 1, 4), VALUES(0, 1, 2, 3));
}

START_TEST(interpolating)
{
    const tg_dtype dtype = _i ? TG_F64 : TG_F32;
    tg_tensor *x = ramp(dtype);
    expect(tg_interpolate(tape, x, SIZES(6), TG_NEAREST, false, false), 0, DIMS(1, 1, 6),
           VALUES(0, 0, 1, 2, 2, 3));
    expect(tg_interpolate(tape, x, SIZES(3), TG_NEAREST_EXACT, false, false), 0, DIMS(1, 1, 3),
           VALUES(0, 2, 3));
    tg_tensor *y = tg_interpolate(tape, x, SIZES(2), TG_LINEAR, false, false);
    expect(y, 0, DIMS(1, 1, 2), VALUES(0.5, 2.5));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 4), VALUES(0.5, 0.5, 1, 1));
    expect(tg_interpolate(tape, x, SIZES(7), TG_LINEAR, true, false), 1e-6, DIMS(1, 1, 7),
           VALUES(0, 0.5, 1, 1.5, 2, 2.5, 3));
    y = tg_interpolate(tape, x, SIZES(3), TG_AREA, false, false);
    expect(y, 0, DIMS(1, 1, 3), VALUES(0.5, 1.5, 2.5));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 4), VALUES(0.5, 1.5, 2.5, 1.5));
}
END_TEST

/* The scale itself, or the ratio of the sizes. */
START_TEST(scaling)
{
    tg_tensor *x = ramp(TG_F64);
    expect(tg_interpolate_scale(tape, x, SCALES(1.1), TG_NEAREST, false, false, false), 0, DIMS(1, 1, 4),
           VALUES(0, 0, 1, 2));
    expect(tg_interpolate_scale(tape, x, SCALES(1.1), TG_NEAREST, false, false, true), 0, DIMS(1, 1, 4),
           VALUES(0, 1, 2, 3));
    expect(tg_interpolate_scale(tape, x, SCALES(1.1), TG_LINEAR, false, false, false), 0, DIMS(1, 1, 4),
           VALUES(0, 1, 2, 3));
    tg_tensor *z =
        tensor(TG_F64, DIMS(1, 1, 4, 4), VALUES(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    tg_tensor *y = tg_interpolate_scale(tape, z, SCALES(1.1), TG_CUBIC, false, false, false);
    expect(tg_slice(tape, y, 2, 0, 1, 1), 2e-4, DIMS(1, 1, 1, 4), VALUES(-0.1553, 0.6845, 1.6006, 2.6291));
    expect(tg_interpolate(tape, z, SIZES(2, 3), TG_LINEAR, true, true), 2e-4, DIMS(1, 1, 2, 3),
           VALUES(5.375, 6.7778, 7.8333, 11.0417, 12.4444, 13.5));
    expect(tg_interpolate(tape, z, SIZES(2, 3), TG_CUBIC, false, true), 2e-4, DIMS(1, 1, 2, 3),
           VALUES(2.5370, 3.8471, 5.1572, 9.8428, 11.1529, 12.4630));
}
END_TEST

/* Read where they lie, or without elements. */
START_TEST(other_inputs)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 4, 2), VALUES(0, 9, 1, 8, 2, 7, 3, 6));
    expect(tg_interpolate(tape, tg_transpose(tape, x, 1, 2), SIZES(2), TG_LINEAR, false, false), 0,
           DIMS(1, 2, 2), VALUES(0.5, 2.5, 8.5, 6.5));
    expect(tg_interpolate(tape, tensor(TG_F64, DIMS(0, 2, 4), VALUES(0)), SIZES(3), TG_LINEAR, false, false),
           0, DIMS(0, 2, 3), VALUES(0));
    tg_tensor *bad = tensor(TG_F64, DIMS(1, 1, 3), VALUES(NAN, INFINITY, 1));
    expect(tg_interpolate(tape, bad, SIZES(6), TG_NEAREST, false, false), 0, DIMS(1, 1, 6),
           VALUES(NAN, NAN, INFINITY, INFINITY, 1, 1));
    double *v = malloc(40000 * sizeof *v);
    for (int i = 0; i < 40000; i++)
        v[i] = i % 200 + i / 200;
    tg_tensor *large = leaf(TG_F32, DIMS(1, 1, 200, 200), v, 40000);
    tg_tensor *y = tg_interpolate(tape, large, SIZES(400), TG_LINEAR, false, false);
    tg_tensor *back = tg_interpolate(tape, y, SIZES(200), TG_AREA, false, false);
    tg_tensor *middle = tg_slice(tape, tg_slice(tape, back, 2, 50, 52, 1), 3, 60, 61, 1);
    expect(middle, 1e-5, DIMS(1, 1, 2, 1), VALUES(110, 111));
    free(v);
}
END_TEST

START_TEST(interpolation_refusals)
{
    tg_tensor *x = ramp(TG_F64), *flat = tensor(TG_F64, DIMS(4, 4), VALUES(1));
    expect_error(tg_interpolate(tape, flat, SIZES(3), TG_NEAREST, false, false), TG_ESHAPE,
                 "interpolate: x must have");
    expect_error(tg_interpolate(tape, x, SIZES(3, 3), TG_NEAREST, false, false), TG_ESHAPE,
                 "one for each spatial dim");
    expect_error(tg_interpolate(tape, x, NULL, 1, TG_NEAREST, false, false), TG_EINVAL, "NULL");
    expect_error(tg_interpolate(tape, x, SIZES(0), TG_NEAREST, false, false), TG_ESHAPE, "must be positive");
    expect_error(tg_interpolate(tape, x, SIZES(-2), TG_LINEAR, false, false), TG_ESHAPE,
                 "got 4, to become -2");
    expect_error(tg_interpolate(tape, x, SIZES(3), TG_NEAREST, true, false), TG_EINVAL,
                 "align_corners goes with linear and cubic, not with nearest");
    expect_error(tg_interpolate(tape, x, SIZES(3), (tg_resample)9, false, false), TG_EINVAL, "mode is 9");
    expect_error(tg_interpolate(tape, x, SIZES(3), TG_CUBIC, false, false), TG_ESHAPE, "two spatial dims");
    expect_error(tg_interpolate(tape, x, SIZES(3), TG_LINEAR, false, true), TG_ESHAPE, "antialias");
    expect_error(
        tg_interpolate(tape, tensor(TG_I64, DIMS(1, 1, 4), VALUES(1)), SIZES(3), TG_NEAREST, false, false),
        TG_EDTYPE, "x is i64");
    expect_error(tg_interpolate_scale(tape, x, SCALES(0.1), TG_NEAREST, false, false, false), TG_ESHAPE,
                 "positive");
    expect_error(tg_interpolate_scale(tape, x, SCALES(NAN), TG_NEAREST, false, false, false), TG_EINVAL,
                 "scale 0");
    expect_error(tg_interpolate_scale(tape, x, SCALES(INFINITY), TG_AREA, false, false, true), TG_EINVAL,
                 "scale 0");
    expect_error(tg_interpolate(tape, x, SIZES(INT64_MAX), TG_NEAREST, false, false), TG_ESHAPE, "too large");
    ck_assert_int_eq(tg_tape_size(tape), 0);
}
END_TEST

#define PLACE(x, y) tensor(TG_F64, DIMS(1, 1, 1, 2), VALUES(x, y))
static tg_tensor *picture(void)
{
    return leaf(TG_F64, DIMS(1, 1, 2, 3), VALUES(1, 2, 3, 4, 5, 6));
}

START_TEST(sampling)
{
    tg_tensor *x = picture();
    tg_tensor *grid = leaf(TG_F64, DIMS(1, 1, 2, 2), VALUES(0, 0, 0.5, -1));
    tg_tensor *y = tg_grid_sample(tape, x, grid, TG_LINEAR, TG_GRID_ZEROS, true);
    expect(y, 1e-12, DIMS(1, 1, 1, 2), VALUES(3.5, 2.5));
    expect(weighted_gradient(y, x), 1e-12, DIMS(1, 1, 2, 3), VALUES(0, 1.5, 1, 0, 0.5, 0));
    expect(tg_grid_sample(tape, x, PLACE(5, 0), TG_LINEAR, TG_GRID_ZEROS, true), 0, DIMS(1, 1, 1, 1),
           VALUES(0));
    tg_tensor *far = leaf(TG_F64, DIMS(1, 1, 1, 2), VALUES(5, 0));
    y = tg_grid_sample(tape, x, far, TG_LINEAR, TG_GRID_BORDER, true);
    expect(y, 0, DIMS(1, 1, 1, 1), VALUES(4.5));
    expect(weighted_gradient(y, far), 0, DIMS(1, 1, 1, 2), VALUES(0, 1.5));
    expect(tg_grid_sample(tape, x, PLACE(2, -1), TG_LINEAR, TG_GRID_REFLECTION, true), 1e-12,
           DIMS(1, 1, 1, 1), VALUES(2));
    expect(tg_grid_sample(tape, x, PLACE(0.9, 0.9), TG_NEAREST, TG_GRID_ZEROS, true), 0, DIMS(1, 1, 1, 1),
           VALUES(6));
}
END_TEST

/* As torch: weights that are no numbers give NaN, and nothing is read outside x. */
START_TEST(places_that_are_no_numbers)
{
    tg_tensor *x = picture();
    const double places[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300};
    for (int i = 0; i < 5; i++)
        for (int mode = TG_NEAREST; mode <= TG_CUBIC; mode++)
            for (int padding = TG_GRID_ZEROS; padding <= TG_GRID_REFLECTION; padding++) {
                if (mode == TG_NEAREST_EXACT)
                    continue;
                tg_tensor *grid = leaf(TG_F64, DIMS(1, 1, 1, 2), VALUES(places[i], 0));
                tg_tensor *y =
                    tg_grid_sample(tape, x, grid, (tg_resample)mode, (tg_grid_padding)padding, false);
                ck_assert_msg(y != NULL, "%s", tg_tape_error(tape));
                ck_assert_ptr_nonnull(weighted_gradient(y, x));
                ck_assert_ptr_nonnull(weighted_gradient(y, grid));
            }
    expect(tg_grid_sample(tape, x, PLACE(NAN, 0), TG_LINEAR, TG_GRID_ZEROS, false), 0, DIMS(1, 1, 1, 1),
           VALUES(NAN));
    expect(tg_grid_sample(tape, x, PLACE(NAN, 0), TG_LINEAR, TG_GRID_BORDER, false), 0, DIMS(1, 1, 1, 1),
           VALUES(2.5));
    expect(tg_grid_sample(tape, x, PLACE(NAN, 0), TG_NEAREST, TG_GRID_ZEROS, false), 0, DIMS(1, 1, 1, 1),
           VALUES(0));
    expect(tg_grid_sample(tape, x, PLACE(1e300, 0), TG_LINEAR, TG_GRID_ZEROS, false), 0, DIMS(1, 1, 1, 1),
           VALUES(0));
}
END_TEST

START_TEST(grid_refusals)
{
    tg_tensor *x = picture(), *grid = PLACE(0, 0);
    expect_error(tg_grid_sample(tape, ramp(TG_F64), grid, TG_LINEAR, TG_GRID_ZEROS, false), TG_ESHAPE,
                 "x has 3 dims, expected 4 or 5");
    expect_error(tg_grid_sample(tape, x, ramp(TG_F64), TG_LINEAR, TG_GRID_ZEROS, false), TG_ESHAPE,
                 "grid must have 4 dims");
    expect_error(
        tg_grid_sample(tape, x, tensor(TG_F64, DIMS(1, 1, 1, 3), VALUES(0)), TG_LINEAR, TG_GRID_ZEROS, false),
        TG_ESHAPE, "the last of size 2");
    expect_error(
        tg_grid_sample(tape, x, tensor(TG_F64, DIMS(2, 1, 1, 2), VALUES(0)), TG_LINEAR, TG_GRID_ZEROS, false),
        TG_ESHAPE, "the first of size 1");
    expect_error(
        tg_grid_sample(tape, x, tensor(TG_F32, DIMS(1, 1, 1, 2), VALUES(0)), TG_LINEAR, TG_GRID_ZEROS, false),
        TG_EDTYPE, "grid is f32, expected f64");
    expect_error(tg_grid_sample(tape, x, grid, TG_AREA, TG_GRID_ZEROS, false), TG_EINVAL, "mode is 4");
    expect_error(tg_grid_sample(tape, x, grid, TG_LINEAR, (tg_grid_padding)3, false), TG_EINVAL,
                 "padding is 3");
    expect_error(tg_grid_sample(tape, tensor(TG_F64, DIMS(1, 1, 0, 3), VALUES(0)), grid, TG_LINEAR,
                                TG_GRID_ZEROS, false),
                 TG_ESHAPE, "dim 2 has size 0");
    expect_error(tg_grid_sample(tape, tensor(TG_F64, DIMS(1, 1, 2, 2, 2), VALUES(0)),
                                tensor(TG_F64, DIMS(1, 1, 1, 1, 3), VALUES(0)), TG_CUBIC, TG_GRID_ZEROS,
                                false),
                 TG_EINVAL, "cubic takes 4 dims");
    expect_error(tg_grid_sample(tape, x, NULL, TG_LINEAR, TG_GRID_ZEROS, false), TG_EINVAL, "NULL");
}
END_TEST

START_TEST(row_attributes)
{
    tg_tensor *x = ramp(TG_F64), *out = NULL;
    const tg_operator *op = tg_operator_find(rt, "resample");
    const tg_resample_attrs bad[] = {{3, 4, 2, 0, 0, 0, 0},   {-1, 4, 2, 0, 0, 0, 0},  {2, 3, 2, 0, 0, 0, 0},
                                     {2, 4, 0, 0, 0, 0, 0},   {2, 4, 2, 5, 0, 0, 0},   {2, 4, 2, 2, 2, 0, 0},
                                     {2, 4, 2, 2, 0, -1, 0},  {2, 4, 2, 2, 0, 0, NAN}, {2, 4, 2, 2, 0, 0, -1},
                                     {2, 4, 2, 2, 0, 1, 1e9}, {2, 4, 2, 2, 0, 0, 1e-9}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tg_apply(tape, op, &x, 1, &bad[i], NULL, &out);
        expect_error(out, i == 2 ? TG_ESHAPE : TG_EINVAL, "resample(f64[1, 1, 4])");
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("resampling");
    TCase *t = tcase_create("resampling");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, interpolating, 0, 2);
    tcase_add_test(t, scaling);
    tcase_add_test(t, other_inputs);
    tcase_add_test(t, interpolation_refusals);
    tcase_add_test(t, sampling);
    tcase_add_test(t, places_that_are_no_numbers);
    tcase_add_test(t, grid_refusals);
    tcase_add_test(t, row_attributes);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
