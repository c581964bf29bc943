/* Padding in all modes: values and gradients as PyTorch's, ends that are cut off, other dtypes, refusals. */
#include "operators/rig.h"

#define LIST(...) ((const int64_t[]){__VA_ARGS__})

START_TEST(planes)
{
    const tg_dtype dtype = _i ? TG_F64 : TG_F32;
    tg_tensor *x = leaf(dtype, DIMS(1, 1, 2, 3), VALUES(1, 2, 3, 4, 5, 6));
    tg_tensor *y = tg_pad(tape, x, LIST(2, 1, 1, -1), 4, TG_PAD_REFLECT, 0);
    expect(y, 0, DIMS(1, 1, 2, 6), VALUES(6, 5, 4, 5, 6, 5, 3, 2, 1, 2, 3, 2));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 2, 3), VALUES(9, 30, 18, 3, 12, 6));
    y = tg_pad(tape, x, LIST(2, 1, 1, -1), 4, TG_PAD_REPLICATE, 0);
    expect(y, 0, DIMS(1, 1, 2, 6), VALUES(1, 1, 1, 2, 3, 3, 1, 1, 1, 2, 3, 3));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 2, 3), VALUES(30, 14, 34, 0, 0, 0));
    y = tg_pad(tape, x, LIST(2, -1, 1, 1), 4, TG_PAD_CIRCULAR, 0);
    expect(y, 0, DIMS(1, 1, 4, 4), VALUES(4, 5, 4, 5, 1, 2, 1, 2));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 2, 3), VALUES(40, 44, 0, 24, 28, 0));
    y = tg_pad(tape, x, LIST(1, 0, 0, 1), 4, TG_PAD_CONSTANT, 7);
    expect(y, 0, DIMS(1, 1, 3, 4), VALUES(7, 1, 2, 3, 7, 4, 5, 6, 7, 7, 7, 7));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 2, 3), VALUES(2, 3, 4, 6, 7, 8));
}
END_TEST

/* Less at one end: what is mirrored or goes around is what is left. */
START_TEST(ends_cut_off)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 3), VALUES(1, 2, 3));
    static const double cut[][3] = {{0, 2, 3}, {2, 3, 2}, {2, 3, 3}, {2, 3, 2}};
    for (int mode = TG_PAD_REFLECT; mode <= TG_PAD_CIRCULAR; mode++) {
        expect(tg_pad(tape, x, LIST(-1, 1), 2, (tg_pad_mode)mode, 0), 0, DIMS(1, 3), cut[mode], 3);
        expect(tg_pad(tape, x, LIST(-1, -1), 2, (tg_pad_mode)mode, 0), 0, DIMS(1, 1), VALUES(2));
    }
    expect(tg_pad(tape, x, LIST(1, -2), 2, TG_PAD_REFLECT, 0), 0, DIMS(1, 2), VALUES(2, 1));
    expect(tg_pad(tape, x, LIST(1, -2), 2, TG_PAD_REPLICATE, 0), 0, DIMS(1, 2), VALUES(1, 1));
    expect(tg_pad(tape, x, LIST(1, -2), 2, TG_PAD_CIRCULAR, 0), 0, DIMS(1, 2), VALUES(1, 1));
    expect(tg_pad(tape, x, LIST(-1, -2), 2, TG_PAD_CONSTANT, 0), 0, DIMS(1, 0), VALUES(0));
    expect(tg_pad(tape, x, LIST(0), 0, TG_PAD_CONSTANT, 0), 0, DIMS(1, 3), VALUES(1, 2, 3));
}
END_TEST

START_TEST(dtypes_and_the_largest)
{
    expect(tg_pad(tape, tensor(TG_I64, DIMS(2), VALUES(5, -6)), LIST(1, 1), 2, TG_PAD_CONSTANT, 3), 0, DIMS(4),
           VALUES(3, 5, -6, 3));
    expect(tg_pad(tape, tensor(TG_BOOL, DIMS(1, 2), VALUES(1, 0)), LIST(1, 1), 2, TG_PAD_REFLECT, 0), 0, DIMS(1, 4),
           VALUES(0, 1, 0, 1));
    tg_tensor *x = tensor(TG_F64, DIMS(1, 3), VALUES(1, 2, 3));
    expect(tg_pad(tape, x, LIST(2, 2), 2, TG_PAD_REFLECT, 0), 0, DIMS(1, 7), VALUES(3, 2, 1, 2, 3, 2, 1));
    expect(tg_pad(tape, x, LIST(3, 3), 2, TG_PAD_CIRCULAR, 0), 0, DIMS(1, 9), VALUES(1, 2, 3));
    expect(tg_pad(tape, x, LIST(4, 0), 2, TG_PAD_REPLICATE, 0), 0, DIMS(1, 7), VALUES(1, 1, 1, 1, 1, 2, 3));
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 3), VALUES(1, 2, 3)), *none = tensor(TG_F64, DIMS(1, 0), VALUES(0));
    expect_error(tg_pad(tape, x, LIST(3, 0), 2, TG_PAD_REFLECT, 0), TG_ESHAPE, "dim 1 has size 3, which the padding 3, 0");
    expect_error(tg_pad(tape, x, LIST(4, 0), 2, TG_PAD_CIRCULAR, 0), TG_ESHAPE, "does not fit");
    expect_error(tg_pad(tape, none, LIST(1, 0), 2, TG_PAD_REPLICATE, 0), TG_ESHAPE, "size 0");
    expect_error(tg_pad(tape, x, LIST(-2, -2), 2, TG_PAD_CONSTANT, 0), TG_ESHAPE, "does not fit");
    expect_error(tg_pad(tape, x, LIST(-2, -2), 2, TG_PAD_REPLICATE, 0), TG_ESHAPE, "does not fit");
    expect_error(tg_pad(tape, x, LIST(1, 0, 0), 3, TG_PAD_CONSTANT, 0), TG_EINVAL, "two entries");
    expect_error(tg_pad(tape, x, LIST(1, 0, 0, 0, 1, 1), 6, TG_PAD_CONSTANT, 0), TG_EINVAL, "for 2 dims");
    expect_error(tg_pad(tape, x, NULL, 2, TG_PAD_CONSTANT, 0), TG_EINVAL, "pad:");
    expect_error(tg_pad(tape, x, LIST(1, 0), 2, (tg_pad_mode)9, 0), TG_EINVAL, "a tg_pad_mode");
    expect_error(tg_pad(tape, x, LIST(INT64_MAX, 0), 2, TG_PAD_CONSTANT, 0), TG_EINVAL, "out of range");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("padding");
    TCase *c = tcase_create("padding");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_loop_test(c, planes, 0, 2);
    tcase_add_test(c, ends_cut_off);
    tcase_add_test(c, dtypes_and_the_largest);
    tcase_add_test(c, refusals);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
