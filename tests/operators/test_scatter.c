/* Writing by index and choosing by a mask: dtypes, ties, zeros, order, scalars, sizes, and what is refused.
 */
#include "operators/rig.h"

#define INDEX(...) tensor(TG_I64, DIMS(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), VALUES(__VA_ARGS__))

START_TEST(putting)
{
    tg_tensor *x = leaf(TG_F64, DIMS(4), VALUES(1, 2, 3, 4)),
              *src = leaf(TG_F64, DIMS(3), VALUES(10, 20, 30));
    tg_tensor *y = tg_scatter(tape, x, 0, INDEX(2, 0, 2), src);
    expect(y, 0, DIMS(4), VALUES(20, 2, 30, 4));
    expect(weighted_gradient(y, x), 0, DIMS(4), VALUES(0, 2, 0, 4));
    expect(weighted_gradient(y, src), 0, DIMS(3), VALUES(3, 1, 3));
    y = tg_scatter_value(tape, x, 0, INDEX(1, 3), 9);
    expect(y, 0, DIMS(4), VALUES(1, 9, 3, 9));
    expect(weighted_gradient(y, x), 0, DIMS(4), VALUES(1, 0, 3, 0));
    tg_tensor *one = leaf(TG_F64, SCALAR, VALUES(7));
    y = tg_scatter(tape, x, 0, INDEX(1, 3), one);
    expect(weighted_gradient(y, one), 0, SCALAR, VALUES(6));
    tg_tensor *wide = leaf(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    y = tg_scatter(tape, tg_zeros_like(tape, wide), 1, tensor(TG_I64, DIMS(2, 1), VALUES(2, 0)), wide);
    expect(y, 0, DIMS(2, 3), VALUES(0, 0, 1, 4, 0, 0));
    expect(weighted_gradient(y, wide), 0, DIMS(2, 3), VALUES(3, 0, 0, 4, 0, 0));
    expect(tg_scatter(tape, wide, 0, tensor(TG_I64, DIMS(0), VALUES(0)), src), 0, DIMS(2, 3),
           VALUES(1, 2, 3, 4, 5, 6));
    expect(
        tg_scatter(tape, tensor(TG_F32, SCALAR, VALUES(3)), 0, INDEX(0), tensor(TG_F32, DIMS(1), VALUES(5))),
        0, SCALAR, VALUES(5));
}
END_TEST

/* Every dtype is moved; bool sums are "or", products "and". */
START_TEST(any_dtype)
{
    const tg_dtype dtypes[] = {TG_F32, TG_F64, TG_I64};
    tg_tensor *i = INDEX(0, 0, 1);
    for (int k = 0; k < 3; k++) {
        const tg_dtype t = dtypes[k];
        tg_tensor *x = tensor(t, DIMS(3), VALUES(3, 4, 5)), *src = tensor(t, DIMS(3), VALUES(6, -2, 7));
        expect(tg_scatter(tape, x, 0, i, src), 0, DIMS(3), VALUES(-2, 7, 5));
        expect(tg_scatter_add(tape, x, 0, i, src), 0, DIMS(3), VALUES(7, 11, 5));
        expect(tg_scatter_reduce(tape, x, 0, i, src, TG_REDUCTION_SUM, false), 0, DIMS(3), VALUES(4, 7, 5));
        expect(tg_scatter_reduce(tape, x, 0, i, src, TG_REDUCTION_PROD, true), 0, DIMS(3),
               VALUES(-36, 28, 5));
        expect(tg_scatter_reduce(tape, x, 0, i, src, TG_REDUCTION_PROD, false), 0, DIMS(3),
               VALUES(-12, 7, 5));
        expect(tg_scatter_reduce(tape, x, 0, i, src, TG_REDUCTION_AMAX, true), 0, DIMS(3), VALUES(6, 7, 5));
        expect(tg_scatter_reduce(tape, x, 0, i, src, TG_REDUCTION_AMIN, false), 0, DIMS(3), VALUES(-2, 7, 5));
        expect(tg_gather(tape, x, 0, INDEX(2, 0)), 0, DIMS(2), VALUES(5, 3));
        expect(tg_index_select(tape, x, 0, INDEX(2, 0)), 0, DIMS(2), VALUES(5, 3));
        expect(tg_index_add(tape, x, 0, INDEX(2, 2), tensor(t, DIMS(2), VALUES(1, 2)), 3), 0, DIMS(3),
               VALUES(3, 4, 14));
        expect(tg_index_fill(tape, x, 0, INDEX(-1), 2), 0, DIMS(3), VALUES(3, 4, 2));
        expect(tg_masked_fill(tape, x, tensor(TG_BOOL, DIMS(3), VALUES(0, 1, 0)), 8), 0, DIMS(3),
               VALUES(3, 8, 5));
    }
    tg_tensor *x = tensor(TG_BOOL, DIMS(3), VALUES(1, 0, 1)),
              *src = tensor(TG_BOOL, DIMS(3), VALUES(1, 0, 1));
    expect(tg_scatter_add(tape, x, 0, INDEX(1, 0, 1), src), 0, DIMS(3), VALUES(1, 1, 1));
    expect(tg_scatter_reduce(tape, x, 0, INDEX(0, 0, 1), src, TG_REDUCTION_PROD, false), 0, DIMS(3),
           VALUES(0, 1, 1));
    expect(tg_gather(tape, x, 0, INDEX(1, 1, 0)), 0, DIMS(3), VALUES(0, 0, 1));
    expect_error(tg_scatter_reduce(tape, tensor(TG_I64, DIMS(1), VALUES(1)), 0, INDEX(0), INDEX(2),
                                   TG_REDUCTION_MEAN, true),
                 TG_EDTYPE, "scatter_reduce: the mean is of f32 or f64, not i64");
}
END_TEST

/* As torch 2.14: ties share, x's own among them even where it takes no part; zeros in products; nothing is a
 * mean. */
START_TEST(reductions)
{
    tg_tensor *x = leaf(TG_F64, DIMS(3), VALUES(3, 1, 0)),
              *src = leaf(TG_F64, DIMS(5), VALUES(3, 3, 1, 0, 0));
    tg_tensor *i = INDEX(0, 0, 1, 2, 2), *gy = tensor(TG_F64, DIMS(3), VALUES(1, 10, 100)), *g[2];
    const double t = 1. / 3;
    const struct {
        tg_scatter_reduction reduce;
        bool include;
        double y[3], x[3], src[5];
    } cases[] = {
        {TG_REDUCTION_AMAX, true, {3, 1, 0}, {t, 5, 100 * t}, {t, t, 5, 100 * t, 100 * t}},
        {TG_REDUCTION_AMAX, false, {3, 1, 0}, {0, 0, 0}, {t, t, 5, 100 * t, 100 * t}},
        {TG_REDUCTION_PROD, true, {27, 1, 0}, {9, 10, 0}, {9, 9, 10, 0, 0}},
        {TG_REDUCTION_PROD, false, {9, 1, 0}, {0, 0, 0}, {3, 3, 10, 0, 0}},
        {TG_REDUCTION_MEAN, true, {3, 1, 0}, {t, 5, 100 * t}, {t, t, 5, 100 * t, 100 * t}},
        {TG_REDUCTION_MEAN, false, {3, 1, 0}, {0, 0, 0}, {.5, .5, 10, 50, 50}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        tg_tensor *y = tg_scatter_reduce(tape, x, 0, i, src, cases[k].reduce, cases[k].include);
        expect(y, 1e-15, DIMS(3), cases[k].y, 3);
        ck_assert_int_eq(tg_grad(tape, y, gy, (tg_tensor *[]){x, src}, 2, g, TG_RETAIN), TG_OK);
        expect(g[0], 1e-15, DIMS(3), cases[k].x, 3);
        expect(g[1], 1e-15, DIMS(5), cases[k].src, 5);
    }
    tg_tensor *two = tensor(TG_F64, DIMS(2), VALUES(1, NAN));
    expect(tg_scatter_reduce(tape, two, 0, INDEX(0, 1), tensor(TG_F64, DIMS(2), VALUES(NAN, 0)),
                             TG_REDUCTION_AMAX, true),
           0, DIMS(2), VALUES(NAN));
    expect(tg_scatter_reduce(tape, two, 0, INDEX(0), tensor(TG_F64, DIMS(1), VALUES(2)), TG_REDUCTION_MEAN,
                             false),
           0, DIMS(2), VALUES(2, NAN));
}
END_TEST

START_TEST(slices)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(0, 1, 2, 3, 4, 5)),
              *source = leaf(TG_F64, DIMS(2, 2), VALUES(1, 2, 3, 4));
    tg_tensor *y = tg_index_add(tape, x, -1, INDEX(2, 2), source, -2);
    expect(y, 0, DIMS(2, 3), VALUES(0, 1, -4, 3, 4, -9));
    expect(weighted_gradient(y, source), 0, DIMS(2, 2), VALUES(-6, -6, -12, -12));
    y = tg_index_copy(tape, x, 1, INDEX(0, 2), source);
    expect(y, 0, DIMS(2, 3), VALUES(1, 1, 2, 3, 4, 4));
    expect(weighted_gradient(y, x), 0, DIMS(2, 3), VALUES(0, 2, 0, 0, 5, 0));
    expect(weighted_gradient(y, source), 0, DIMS(2, 2), VALUES(1, 3, 4, 6));
    tg_tensor *value = leaf(TG_F64, SCALAR, VALUES(9));
    y = tg_index_fill_tensor(tape, x, 1, INDEX(-1, 2), value);
    expect(y, 0, DIMS(2, 3), VALUES(0, 1, 9, 3, 4, 9));
    expect(weighted_gradient(y, value), 0, SCALAR, VALUES(9));
    expect(weighted_gradient(y, x), 0, DIMS(2, 3), VALUES(1, 2, 0, 4, 5, 0));
    tg_tensor *row = tensor(TG_F64, DIMS(1, 3), VALUES(1)), *at = tensor(TG_I64, SCALAR, VALUES(1));
    expect(tg_index_add(tape, x, 0, at, row, 1), 0, DIMS(2, 3), VALUES(0, 1, 2, 4, 5, 6));
    expect(tg_index_copy(tape, x, 0, at, row), 0, DIMS(2, 3), VALUES(0, 1, 2, 1, 1, 1));
    tg_tensor *none = tensor(TG_I64, DIMS(0), VALUES(0));
    expect(tg_index_add(tape, x, 0, none, tensor(TG_F64, DIMS(0, 3), VALUES(0)), 1), 0, DIMS(2, 3),
           VALUES(0, 1, 2, 3, 4, 5));
    expect(tg_index_fill(tape, x, 0, none, 7), 0, DIMS(2, 3), VALUES(0, 1, 2, 3, 4, 5));
    expect_error(tg_index_add(tape, x, 1, INDEX(0, 3), source, 1), TG_EINDEX,
                 "index_add: index[1] is 3, outside [0, 3)");
    expect_error(tg_index_add(tape, x, 1, INDEX(0, -1), source, 1), TG_EINDEX, "index_add: index[1] is -1");
    expect_error(tg_index_fill(tape, x, 1, INDEX(-4), 1), TG_EINDEX,
                 "index_fill: index[0] is -4, outside [-3, 3)");
    expect_error(tg_index_copy(tape, x, 1, INDEX(0), source), TG_ESHAPE,
                 "index_copy: source is f64[2, 2], expected f64[2, 1]");
    expect_error(tg_index_add(tape, x, 1, INDEX(0, 1), tensor(TG_F32, DIMS(2, 2), VALUES(1)), 1), TG_EDTYPE,
                 "index_add: source is f32[2, 2], expected f64[2, 2]");
    expect_error(tg_index_fill_tensor(tape, x, 1, INDEX(0), source), TG_ESHAPE, "value must be a scalar");
    expect_error(tg_index_copy(tape, x, 1, source, source), TG_EDTYPE,
                 "index_copy: index must be i64, not f64");
}
END_TEST

START_TEST(masks)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 2), VALUES(1, 2, 3, 4)), *m = tensor(TG_BOOL, DIMS(2), VALUES(0, 1));
    tg_tensor *y = tg_masked_select(tape, x, m);
    expect(y, 0, DIMS(2), VALUES(2, 4));
    expect(weighted_gradient(y, x), 0, DIMS(2, 2), VALUES(0, 1, 0, 2));
    expect(tg_masked_select(tape, tg_transpose(tape, x, 0, 1), m), 0, DIMS(2), VALUES(3, 4));
    expect(tg_masked_select(tape, tensor(TG_I64, SCALAR, VALUES(3)), tensor(TG_BOOL, SCALAR, VALUES(1))), 0,
           DIMS(1), VALUES(3));
    expect(tg_masked_select(tape, x, tensor(TG_BOOL, SCALAR, VALUES(0))), 0, DIMS(0), VALUES(0));
    tg_tensor *source = leaf(TG_F64, DIMS(3), VALUES(7, 8, 9));
    y = tg_masked_scatter(tape, tensor(TG_F64, DIMS(2), VALUES(1, 2)),
                          tensor(TG_BOOL, DIMS(2, 1), VALUES(1, 0)), source);
    expect(y, 0, DIMS(2, 2), VALUES(7, 8, 1, 2));
    expect(weighted_gradient(y, source), 0, DIMS(3), VALUES(1, 2, 0));
    y = tg_masked_scatter(tape, x, m, source);
    expect(weighted_gradient(y, x), 0, DIMS(2, 2), VALUES(1, 0, 3, 0));
    tg_tensor *value = leaf(TG_F64, SCALAR, VALUES(5));
    y = tg_masked_fill_tensor(tape, x, m, value);
    expect(y, 0, DIMS(2, 2), VALUES(1, 5, 3, 5));
    expect(weighted_gradient(y, value), 0, SCALAR, VALUES(6));
    expect(tg_masked_fill(tape, tensor(TG_F64, DIMS(2), VALUES(1, 2)),
                          tensor(TG_BOOL, DIMS(2, 1), VALUES(1, 0)), INFINITY),
           0, DIMS(2, 2), VALUES(INFINITY, INFINITY, 1, 2));
    expect_error(tg_masked_scatter(tape, x, m, tensor(TG_F64, DIMS(1), VALUES(1))), TG_ESHAPE,
                 "the mask is true 2 times, but source has 1 elements");
    expect_error(tg_masked_select(tape, x, x), TG_EDTYPE, "masked_select: mask must be bool, not f64");
    expect_error(tg_masked_fill(tape, x, tensor(TG_BOOL, DIMS(3), VALUES(1)), 0), TG_ESHAPE,
                 "masked_fill: x f64[2, 2] and mask bool[3] do not broadcast");
    expect_error(tg_masked_fill_tensor(tape, x, m, source), TG_ESHAPE, "value must be a scalar");
}
END_TEST

START_TEST(not_zero)
{
    tg_tensor *x = tensor(TG_F64, DIMS(2, 3), VALUES(0, NAN, -0.0, 4, 0, -1)), *places[2] = {NULL};
    expect(tg_nonzero(tape, x), 0, DIMS(3, 2), VALUES(0, 1, 1, 0, 1, 2));
    expect(tg_nonzero(tape, tg_transpose(tape, x, 0, 1)), 0, DIMS(3, 2), VALUES(0, 1, 1, 0, 2, 1));
    ck_assert_int_eq(tg_nonzero_tuple(tape, x, places), TG_OK);
    expect(places[0], 0, DIMS(3), VALUES(0, 1, 1));
    expect(places[1], 0, DIMS(3), VALUES(1, 0, 2));
    tg_tensor *one = tensor(TG_I64, SCALAR, VALUES(3));
    expect(tg_nonzero(tape, one), 0, DIMS(1, 0), VALUES(0));
    ck_assert_int_eq(tg_nonzero_tuple(tape, one, places), TG_OK);
    expect(places[0], 0, DIMS(1), VALUES(0));
    expect(tg_nonzero(tape, tensor(TG_BOOL, DIMS(0, 2), VALUES(0))), 0, DIMS(0, 2), VALUES(0));
    ck_assert_int_eq(tg_nonzero_tuple(tape, x, NULL), TG_EINVAL);
    tg_tape_clear_error(tape);
}
END_TEST

/* The same bits on one thread and on several; a table's rows from columns of any length. */
START_TEST(order)
{
    enum { R = 700, C = 300, K = 2000 };
    float *v = malloc(sizeof *v * K * C), *sums[2] = {malloc(sizeof *v * R * C), malloc(sizeof *v * R * C)};
    int64_t *index = malloc(sizeof *index * K);
    for (int k = 0; k < K; k++) {
        index[k] = (int64_t)k * 37 % 11;
        for (int c = 0; c < C; c++)
            v[k * C + c] = (float)((k * 31 + c * 17) % 1009) * 0.1f;
    }
    for (int run = 0; run < 2; run++) {
        tg_runtime *own;
        tg_tape *on;
        tg_runtime_options options = {
            .struct_size = sizeof options, .backend = "reference", .threads = run ? 4 : 1};
        ck_assert_int_eq(tg_runtime_open(&own, &options), TG_OK);
        ck_assert_int_eq(tg_tape_open(&on, own), TG_OK);
        tg_tensor *x = tg_full(on, TG_F32, DIMS(R, C), 0.5), *i = tg_input(on, TG_I64, DIMS(K), index);
        tg_tensor *y = tg_index_add(on, x, 0, i, tg_input(on, TG_F32, DIMS(K, C), v), 1);
        ck_assert_int_eq(tg_tensor_read(y, sums[run], sizeof *v * R * C), TG_OK);
        tg_tape_close(on);
        tg_runtime_close(own);
    }
    for (int c = 0; c < C; c++) {
        float expected = 0.5f;
        for (int k = 0; k < K; k++)
            if (index[k] == 3)
                expected += v[k * C + c];
        ck_assert(sums[0][3 * C + c] == expected);
    }
    ck_assert_int_eq(memcmp(sums[0], sums[1], sizeof *v * R * C), 0);
    free(v);
    free(index);
    free(sums[0]);
    free(sums[1]);
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(3), VALUES(1, 2, 3));
    expect_error(tg_scatter(tape, x, 0, INDEX(0, 5), x), TG_EINDEX, "scatter: index[1] is 5, outside [0, 3)");
    expect_error(tg_scatter_value(tape, x, 0, INDEX(-1), 1), TG_EINDEX,
                 "scatter: index[0] is -1, outside [0, 3)");
    expect_error(tg_scatter_reduce(tape, x, 0, INDEX(3), x, TG_REDUCTION_AMIN, true), TG_EINDEX,
                 "scatter_reduce: index[0] is 3, outside [0, 3)");
    expect_error(tg_scatter_reduce(tape, x, 0, INDEX(0), x, (tg_scatter_reduction)9, true), TG_EINVAL,
                 "reduce must be between 0 and 4, got 9");
    expect_error(tg_scatter(tape, x, 1, INDEX(0), x), TG_EINVAL,
                 "scatter: dim must be between -1 and 0, got 1");
    expect_error(tg_scatter(tape, x, 0, INDEX(0, 0, 0, 0), x), TG_ESHAPE, "an element for each index");
    expect_error(tg_scatter(tape, x, 0, x, x), TG_EDTYPE, "index must be i64, not f64");
    expect_error(tg_scatter_value(tape, NULL, 0, INDEX(0), 1), TG_EINVAL, "scatter_value: x is NULL");
    expect_error(tg_index_add(tape, x, 0, INDEX(0), NULL, 1), TG_EINVAL, "index_add: source is NULL");
    expect_error(tg_masked_scatter(tape, x, NULL, x), TG_EINVAL, "masked_scatter: mask is NULL");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("scatter");
    TCase *t = tcase_create("scatter");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, putting);
    tcase_add_test(t, any_dtype);
    tcase_add_test(t, reductions);
    tcase_add_test(t, slices);
    tcase_add_test(t, masks);
    tcase_add_test(t, not_zero);
    tcase_add_test(t, order);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
