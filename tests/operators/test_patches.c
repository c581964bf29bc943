/* Windows as columns, unpooling, pixels that move: other dtypes, strides, no elements, and refusals. */
#include "operators/rig.h"

#define LIST(...) ((const int64_t[]){__VA_ARGS__})

START_TEST(columns)
{
    const tg_dtype dtype = _i ? TG_F64 : TG_F32;
    tg_tensor *x = leaf(dtype, DIMS(1, 1, 2, 3), VALUES(1, 2, 3, 4, 5, 6));
    tg_tensor *y = tg_im2col(tape, x, LIST(2, 2), NULL, NULL, NULL);
    expect(y, 0, DIMS(1, 4, 2), VALUES(1, 2, 2, 3, 4, 5, 5, 6));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 2, 3), VALUES(1, 5, 4, 5, 13, 8));
    expect(tg_im2col(tape, x, LIST(1, 2), LIST(1, 2), LIST(0, 1), LIST(2, 2)), 0, DIMS(1, 2, 2),
           VALUES(0, 2, 2, 0));
    expect(tg_im2col(tape, tg_select(tape, x, 0, 0), LIST(2, 3), NULL, NULL, NULL), 0, DIMS(6, 1),
           VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_im2col(tape, tg_transpose(tape, x, 2, 3), LIST(1, 2), NULL, NULL, NULL), 0, DIMS(1, 2, 3),
           VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_im2col(tape, tensor(dtype, DIMS(0, 1, 2, 3), VALUES(0)), LIST(2, 2), NULL, NULL, NULL), 0,
           DIMS(0, 4, 2), VALUES(0));
}
END_TEST

START_TEST(columns_back)
{
    tg_tensor *x = leaf(TG_F64, DIMS(1, 4, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
    tg_tensor *y = tg_col2im(tape, x, LIST(2, 3), LIST(2, 2), NULL, NULL, NULL);
    expect(y, 0, DIMS(1, 1, 2, 3), VALUES(1, 5, 4, 5, 13, 8));
    expect(weighted_gradient(y, x), 0, DIMS(1, 4, 2), VALUES(1, 2, 2, 3, 4, 5, 5, 6));
    expect(tg_col2im(tape, tg_select(tape, x, 0, 0), LIST(2, 3), LIST(2, 2), NULL, NULL, NULL), 0,
           DIMS(1, 2, 3), VALUES(1, 5, 4, 5, 13, 8));
}
END_TEST

START_TEST(window_refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 1, 2, 3), VALUES(1)),
              *none = tensor(TG_F64, DIMS(1, 0, 2, 3), VALUES(1));
    expect_error(tg_im2col(tape, x, LIST(3, 3), NULL, NULL, NULL), TG_ESHAPE, "no window: it spans 3 of 2");
    expect_error(tg_im2col(tape, x, NULL, NULL, NULL, NULL), TG_EINVAL, "kernel is NULL");
    expect_error(tg_im2col(tape, x, LIST(0, 1), NULL, NULL, NULL), TG_EINVAL, "kernel is [0, 1]");
    expect_error(tg_im2col(tape, x, LIST(1, 1), LIST(0, 1), NULL, NULL), TG_EINVAL, "dilation is [0, 1]");
    expect_error(tg_im2col(tape, x, LIST(1, 1), NULL, LIST(-1, 1), NULL), TG_EINVAL, "padding is [-1, 1]");
    expect_error(tg_im2col(tape, x, LIST(1, 1), NULL, NULL, LIST(1, 0)), TG_EINVAL, "stride is [1, 0]");
    expect_error(tg_im2col(tape, x, LIST(1, 1), LIST(1, INT64_MAX), NULL, NULL), TG_EINVAL, "dilation");
    expect_error(tg_im2col(tape, none, LIST(1, 1), NULL, NULL, NULL), TG_ESHAPE, "im2col");
    expect_error(tg_im2col(tape, tensor(TG_F64, DIMS(2, 3), VALUES(1)), LIST(1, 1), NULL, NULL, NULL),
                 TG_ESHAPE, "3 or 4 dims, got 2");
    expect_error(tg_im2col(tape, tensor(TG_I64, DIMS(1, 2, 3), VALUES(1)), LIST(1, 1), NULL, NULL, NULL),
                 TG_EDTYPE, "x is i64");
    tg_tensor *c = tensor(TG_F64, DIMS(1, 4, 3), VALUES(1));
    expect_error(tg_col2im(tape, c, LIST(2, 3), LIST(2, 2), NULL, NULL, NULL), TG_ESHAPE, "[N, C·4, 2]");
    expect_error(tg_col2im(tape, c, LIST(2, 4), LIST(1, 3), NULL, NULL, NULL), TG_ESHAPE, "[N, C·3, 4]");
    expect_error(tg_col2im(tape, c, NULL, LIST(1, 3), NULL, NULL, NULL), TG_EINVAL, "size is NULL");
}
END_TEST

START_TEST(unpooling)
{
    tg_tensor *x = leaf(TG_F32, DIMS(1, 2, 2), VALUES(7, 8, 9, 5)),
              *i = tensor(TG_I64, DIMS(1, 2, 2), VALUES(5, 2, 15, 5));
    tg_tensor *y = tg_max_unpool(tape, x, i, 2, LIST(2, 2), NULL, NULL, NULL);
    expect(y, 0, DIMS(1, 4, 4),
           VALUES(0, 0, 8, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9)); /* the last one stays */
    expect(weighted_gradient(y, x), 0, DIMS(1, 2, 2), VALUES(6, 3, 16, 6));
    expect(tg_max_unpool(tape, x, i, 1, LIST(5), LIST(6), LIST(0), LIST(16)), 0, DIMS(1, 2, 16),
           VALUES(0, 0, 8, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                  9));
    expect(tg_max_unpool(tape, tensor(TG_F64, DIMS(0, 1, 2), VALUES(0)),
                         tensor(TG_I64, DIMS(0, 1, 2), VALUES(0)), 1, LIST(2), NULL, NULL, NULL),
           0, DIMS(0, 1, 4), VALUES(0));
}
END_TEST

START_TEST(unpooling_refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 2, 2), VALUES(1, 2, 3, 4)),
              *i = tensor(TG_I64, DIMS(1, 2, 2), VALUES(1, 20, 0, 0)),
              *low = tensor(TG_I64, DIMS(1, 2, 2), VALUES(0, 0, 0, -1)),
              *zero = tensor(TG_I64, DIMS(1, 2, 2), VALUES(0));
    expect_error(tg_max_unpool(tape, x, i, 2, LIST(2, 2), NULL, NULL, NULL), TG_EINDEX,
                 "max_unpool: index 20, element 1, is outside [0, 16)");
    expect_error(tg_max_unpool(tape, x, low, 2, LIST(2, 2), NULL, NULL, NULL), TG_EINDEX,
                 "index -1, element 3");
    expect_error(tg_max_unpool(tape, x, zero, 2, LIST(2, 2), NULL, NULL, LIST(7, 4)), TG_EINVAL,
                 "output_size 7 of dim 0, expected between 3 and 5");
    expect_error(tg_max_unpool(tape, x, zero, 0, LIST(2, 2), NULL, NULL, NULL), TG_EINVAL, "n must be");
    expect_error(tg_max_unpool(tape, x, zero, 2, NULL, NULL, NULL, NULL), TG_EINVAL, "kernel is NULL");
    expect_error(tg_max_unpool(tape, x, zero, 2, LIST(2, 0), NULL, NULL, NULL), TG_EINVAL, "kernel 0");
    expect_error(tg_max_unpool(tape, x, NULL, 2, LIST(2, 2), NULL, NULL, NULL), TG_EINVAL, "indices is NULL");
    expect_error(
        tg_max_unpool(tape, x, tensor(TG_I64, DIMS(1, 2, 3), VALUES(0)), 2, LIST(2, 2), NULL, NULL, NULL),
        TG_ESHAPE, "indices must have x's dims");
    expect_error(tg_max_unpool(tape, x, x, 2, LIST(2, 2), NULL, NULL, NULL), TG_EDTYPE, "index is f64");
    expect_error(tg_max_unpool(tape, x, zero, 3, LIST(2, 2, 2), NULL, NULL, NULL), TG_ESHAPE,
                 "n + 1 or n + 2");
}
END_TEST

START_TEST(pixels)
{
    tg_tensor *x = leaf(TG_F64, DIMS(4, 1, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
    tg_tensor *y = tg_pixel_shuffle(tape, x, 2);
    expect(y, 0, DIMS(1, 2, 4), VALUES(1, 3, 2, 4, 5, 7, 6, 8));
    expect(weighted_gradient(y, x), 0, DIMS(4, 1, 2), VALUES(1, 3, 2, 4, 5, 7, 6, 8));
    expect(tg_pixel_unshuffle(tape, y, 2), 0, DIMS(4, 1, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
    tg_tensor *deep = tensor(TG_I64, DIMS(1, 1, 1, 1, 1, 4, 1, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
    expect(tg_pixel_shuffle(tape, deep, 2), 0, DIMS(1, 1, 1, 1, 1, 1, 2, 4), VALUES(1, 3, 2, 4, 5, 7, 6, 8));
    expect_error(tg_pixel_shuffle(tape, x, 3), TG_ESHAPE,
                 "pixel_shuffle: x has 4 channels, expected a multiple of 9");
    expect_error(tg_pixel_shuffle(tape, x, 0), TG_EINVAL, "factor");
    expect_error(tg_pixel_shuffle(tape, tensor(TG_F64, DIMS(4, 1), VALUES(1)), 2), TG_ESHAPE,
                 "3 dims or more");
    expect_error(tg_pixel_unshuffle(tape, x, 2), TG_ESHAPE, "pixel_unshuffle: x's last dims are 1 and 2");
    expect_error(tg_pixel_unshuffle(tape, x, INT64_MAX), TG_EINVAL, "factor");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("patches");
    TCase *t = tcase_create("patches");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, columns, 0, 2);
    tcase_add_test(t, columns_back);
    tcase_add_test(t, window_refusals);
    tcase_add_test(t, unpooling);
    tcase_add_test(t, unpooling_refusals);
    tcase_add_test(t, pixels);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
