/* Rows applied directly, as a plug-in's author or a user may: the in-place ones, and attributes that no
 * function of ops.h would pass. */
#include "operators/rig.h"

#include <tapegrad/op_attrs.h>
#include <tapegrad/operator.h>

static tg_tensor *apply(const char *name, tg_tensor *const in[], size_t n, const void *attrs,
                        const double *scalars)
{
    tg_tensor *out = NULL;
    const tg_operator *op = tg_operator_find(rt, name);
    ck_assert_msg(op != NULL, "no row %s", name);
    tg_apply(tape, op, in, n, attrs, scalars, op->n_out ? &out : NULL);
    return out;
}
#define ONE(x) ((tg_tensor *[]){x}), 1
#define TWO(x, y) ((tg_tensor *[]){x, y}), 2
#define NONE NULL, NULL

static tg_tensor *six(tg_dtype dtype)
{
    return tensor(dtype, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
}

START_TEST(in_place)
{
    const tg_dtype dtypes[] = {TG_F32, TG_F64, TG_I64};
    for (int k = 0; k < 3; k++) {
        const tg_dtype t = dtypes[k];
        tg_tensor *x = six(t), *turned = tg_transpose(tape, x, 0, 1);
        apply("add_", TWO(x, six(t)), NONE);
        expect(x, 0, DIMS(2, 3), VALUES(2, 4, 6, 8, 10, 12));
        apply("add_", TWO(turned, tensor(t, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6))), NONE);
        expect(x, 0, DIMS(2, 3), VALUES(3, 7, 11, 10, 14, 18));
        apply("copy_", TWO(turned, tensor(t, DIMS(3, 1), VALUES(7, 8, 9))), NONE);
        expect(x, 0, DIMS(2, 3), VALUES(7, 8, 9, 7, 8, 9));
        apply("copy_", TWO(x, tensor(t, SCALAR, VALUES(4))), NONE);
        expect(x, 0, DIMS(2, 3), VALUES(4));
        apply("fill_", ONE(tg_slice(tape, x, 1, 0, 3, 2)), NULL, &(double){-2});
        expect(x, 0, DIMS(2, 3), VALUES(-2, 4, -2, -2, 4, -2));
        apply("copy_", TWO(x, tg_expand(tape, tensor(t, DIMS(3), VALUES(1, 2, 3)), 2, 3)), NONE);
        expect(x, 0, DIMS(2, 3), VALUES(1, 2, 3, 1, 2, 3));
        ck_assert_int_eq(tg_tape_status(tape), TG_OK);
    }
    tg_tensor *b = tensor(TG_BOOL, DIMS(3), VALUES(1, 0, 1));
    apply("fill_", ONE(b), NULL, &(double){NAN});
    expect(b, 0, DIMS(3), VALUES(1));
    tg_tensor *none = tensor(TG_F64, DIMS(0, 3), VALUES(1));
    apply("add_", TWO(none, none), NONE);
    apply("copy_", TWO(none, tensor(TG_F64, DIMS(3), VALUES(1))), NONE);
    ck_assert_int_eq(tg_tape_status(tape), TG_OK);
}
END_TEST

START_TEST(in_place_refusals)
{
    tg_tensor *x = six(TG_F64), *wide = tg_expand(tape, tensor(TG_F64, DIMS(3), VALUES(1, 2, 3)), 2, 3);
    expect_error(apply("add_", TWO(wide, x), NONE), TG_EINVAL, "expanded view");
    expect_error(apply("copy_", TWO(wide, x), NONE), TG_EINVAL, "expanded view");
    expect_error(apply("fill_", ONE(wide), NULL, &(double){1}), TG_EINVAL, "expanded view");
    expect_error(apply("add_", TWO(x, tensor(TG_F64, DIMS(3), VALUES(1))), NONE), TG_ESHAPE, "same dims");
    expect_error(apply("copy_", TWO(x, tensor(TG_F64, DIMS(2), VALUES(1))), NONE), TG_ESHAPE,
                 "src must broadcast to dst");
    expect_error(apply("copy_", TWO(x, tensor(TG_F64, DIMS(1, 2, 3), VALUES(1))), NONE), TG_ESHAPE,
                 "broadcast to dst");
    expect_error(apply("copy_", TWO(x, six(TG_F32)), NONE), TG_EDTYPE, "one dtype");
    expect_error(
        apply("add_", TWO(tensor(TG_BOOL, DIMS(1), VALUES(1)), tensor(TG_BOOL, DIMS(1), VALUES(1))), NONE),
        TG_EDTYPE, "no sum");
    expect(x, 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
}
END_TEST

START_TEST(views_out_of_bounds)
{
    tg_tensor *x = six(TG_F64), *out;
    const tg_slice_attrs slices[] = {
        {0, 0, 3, 1},         {0, 2, 1, 1},         {1, 0, 2, 3},        {1, -1, 1, 1}, {1, 0, -1, 1},
        {2, 0, 1, 1},         {-1, 0, 1, 1},        {1, 0, 1, 0},        {1, 4, 0, 1},  {1, 0, 2, -1},
        {1, 1, 2, INT64_MAX}, {1, INT64_MAX, 1, 1}, {1, 0, INT64_MAX, 1}};
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
        out = apply("slice", ONE(x), &slices[i], NULL);
        ck_assert_msg(out == NULL, "slice %zu", i);
        expect_error(out, TG_EINVAL, "slice");
    }
    const tg_slice_backward_attrs backs[] = {{0, 0, 1, 1},         {0, 1, 1, 2},  {0, 0, 2, 2},
                                             {3, 0, 1, 9},         {0, -1, 1, 9}, {0, 0, 0, 9},
                                             {0, 0, INT64_MAX, 9}, {0, 0, 1, -1}};
    for (size_t i = 0; i < sizeof backs / sizeof *backs; i++) {
        out = apply("slice_backward", ONE(x), &backs[i], NULL);
        ck_assert_msg(out == NULL, "slice_backward %zu", i);
        expect_error(out, TG_EINVAL, "slice_backward");
    }
    expect_error(apply("slice_backward", ONE(x), &(tg_slice_backward_attrs){0, 0, 1, INT64_MAX}, NULL),
                 TG_ESHAPE, "");
    const tg_dims_attrs too_many = {{9, {1}}}, negative = {{2, {-2, -3}}}, few = {{1, {5}}},
                        below = {{-1, {0}}};
    const tg_dims_attrs *bad[] = {&too_many, &negative, &few, &below};
    for (size_t i = 0; i < 4; i++) {
        expect_error(apply("view", ONE(x), bad[i], NULL), TG_ESHAPE, "view");
        expect_error(apply("expand", ONE(x), bad[i], NULL), TG_ESHAPE, "expand");
        expect_error(apply("sum_to_size", ONE(x), bad[i], NULL), TG_ESHAPE, "sum_to_size");
        expect_error(apply("permute", ONE(x), bad[i], NULL), i == 1 ? TG_EINVAL : TG_ESHAPE, "permute");
    }
    expect_error(apply("permute", ONE(x), &(tg_dims_attrs){{2, {0, INT64_MAX}}}, NULL), TG_EINVAL, "permute");
    expect_error(apply("view", ONE(tg_transpose(tape, x, 0, 1)), &(tg_dims_attrs){{1, {6}}}, NULL), TG_ESHAPE,
                 "without a copy");
}
END_TEST

START_TEST(other_attributes)
{
    tg_tensor *x = six(TG_F64), *i = tensor(TG_I64, DIMS(2, 3), VALUES(0));
    expect_error(apply("sum", ONE(x), &(tg_reduce_attrs){4, 0}, NULL), TG_EINVAL, "mask");
    expect_error(apply("mean", ONE(x), &(tg_reduce_attrs){-1, 0}, NULL), TG_EINVAL, "mask");
    expect_error(apply("amax", ONE(x), &(tg_reduce_attrs){INT64_MAX, 0}, NULL), TG_EINVAL, "mask");
    expect_error(apply("var", ONE(x), &(tg_var_attrs){8, 0, 1}, NULL), TG_EINVAL, "mask");
    expect_error(apply("argmax", ONE(x), &(tg_argmax_attrs){2, 0}, NULL), TG_EINVAL, "dim must be");
    expect_error(apply("argmax", ONE(x), &(tg_argmax_attrs){-1, 0}, NULL), TG_EINVAL, "dim must be");
    expect_error(apply("cat", TWO(x, x), &(tg_cat_attrs){2}, NULL), TG_EINVAL, "dim must be");
    expect_error(apply("gather", TWO(x, i), &(tg_index_attrs){2}, NULL), TG_EINVAL, "dim must be");
    expect_error(apply("gather", TWO(x, i), &(tg_index_attrs){-1}, NULL), TG_EINVAL, "dim must be");
    expect_error(apply("to", ONE(x), &(tg_to_attrs){1LL << 40}, NULL), TG_EDTYPE, "converts among");
    expect_error(apply("relu_backward", TWO(x, tensor(TG_F64, DIMS(3), VALUES(1))), NONE), TG_ESHAPE,
                 "same dims");
    expect(apply("sum", ONE(x), &(tg_reduce_attrs){0, 0}, NULL), 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
}
END_TEST

START_TEST(index_range)
{
    tg_tensor *x = tensor(TG_I64, DIMS(2, 3), VALUES(4, -2, 9, 9, -2, 0));
    expect(apply("index_range", ONE(x), NONE), 0, DIMS(4), VALUES(-2, 9, 1, 2));
    expect(apply("index_range", ONE(tg_transpose(tape, x, 0, 1)), NONE), 0, DIMS(4), VALUES(-2, 9, 2, 1));
    expect(apply("index_range", ONE(tensor(TG_I64, DIMS(0), VALUES(1))), NONE), 0, DIMS(4),
           VALUES(0, -1, 0, 0));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rows");
    TCase *t = tcase_create("rows");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, in_place);
    tcase_add_test(t, in_place_refusals);
    tcase_add_test(t, views_out_of_bounds);
    tcase_add_test(t, other_attributes);
    tcase_add_test(t, index_range);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
