/* Order: NaN, ties, dtypes, scalars, strides, empty lines, sizes, and what is refused. What torch 2.14 gives.
 */
#include "operators/rig.h"

static tg_tensor *at;

static tg_tensor *vector(size_t n, const double *values)
{
    return leaf(TG_F64, DIMS((int64_t)n), values, n);
}
#define VECTOR(...) vector(sizeof((double[]){__VA_ARGS__}) / sizeof(double), (double[]){__VA_ARGS__})
/* Values, and places in `at`. */
#define BOTH(y, values, places)                                                                              \
    do {                                                                                                     \
        tg_tensor *both = y;                                                                                 \
        expect(both, 0, values);                                                                             \
        expect(at, 0, places);                                                                               \
    } while (0)
#define COMMA ,
#define L(...) DIMS(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), VALUES(__VA_ARGS__)
#define ONE(v) SCALAR, VALUES(v)

START_TEST(sorting)
{
    tg_tensor *x = VECTOR(3, NAN, 1, -INFINITY, 3, NAN);
    tg_tensor *y = tg_sort(tape, x, 0, false, &at);
    BOTH(y, L(-INFINITY, 1, 3, 3, NAN, NAN), L(3, 2, 0, 4, 1, 5));
    expect(weighted_gradient(y, x), 0, L(3, 5, 2, 1, 4, 6));
    BOTH(tg_sort(tape, x, -1, true, &at), L(NAN, NAN, 3, 3, 1, -INFINITY), L(1, 5, 0, 4, 2, 3));
    expect(tg_argsort(tape, x, 0, true), 0, L(1, 5, 0, 4, 2, 3));
    tg_sort(tape, VECTOR(0, -0.0, 0), 0, false, &at);
    expect(at, 0, L(0, 1, 2));
    tg_tensor *m = leaf(TG_F32, DIMS(2, 3), VALUES(3, 1, 2, 0, 5, 4));
    y = tg_msort(tape, m);
    expect(y, 0, DIMS(2, 3), VALUES(0, 1, 2, 3, 5, 4));
    expect(weighted_gradient(y, m), 0, DIMS(2, 3), VALUES(4, 2, 3, 1, 5, 6));
    BOTH(tg_sort(tape, tg_transpose(tape, m, 0, 1), 0, true, &at), DIMS(3, 2) COMMA VALUES(3, 5, 2, 4, 1, 0),
         DIMS(3, 2) COMMA VALUES(0, 1, 2, 2, 1, 0));
    BOTH(tg_sort(tape, tensor(TG_I64, L(5, -7, 5)), 0, false, &at), L(-7, 5, 5), L(1, 0, 2));
    BOTH(tg_sort(tape, tensor(TG_BOOL, L(1, 0, 1)), 0, false, &at), L(0, 1, 1), L(1, 0, 2));
    BOTH(tg_sort(tape, tensor(TG_F64, ONE(4)), -1, false, &at), ONE(4), ONE(0));
    expect(tg_sort(tape, tensor(TG_F64, DIMS(2, 0), VALUES(0)), 1, false, &at), 0, DIMS(2, 0), VALUES(0));
}
END_TEST

START_TEST(greatest)
{
    tg_tensor *x = VECTOR(1, NAN, 3, 3, 2);
    tg_tensor *y = tg_topk(tape, x, 3, 0, true, &at);
    BOTH(y, L(NAN, 3, 3), L(1, 2, 3));
    expect(weighted_gradient(y, x), 0, L(0, 1, 2, 3, 0));
    BOTH(tg_topk(tape, x, 2, 0, false, &at), L(1, 2), L(0, 4));
    expect(tg_topk(tape, x, 0, 0, false, NULL), 0, DIMS(0), VALUES(0));
    BOTH(tg_topk(tape, tensor(TG_F64, ONE(3)), 0, 0, true, &at), ONE(3), ONE(0));
    BOTH(tg_topk(tape, tensor(TG_I64, L(4, 9, 9)), 1, 0, true, &at), L(9), L(1));
    expect_error(tg_topk(tape, x, 6, 0, true, NULL), TG_EINVAL, "k must be between 0 and 5, got 6");
    expect_error(tg_topk(tape, tensor(TG_BOOL, L(1, 0)), 1, 0, true, NULL), TG_EDTYPE, "not bool");
    expect_error(tg_topk(tape, x, 1, 1, true, NULL), TG_EINVAL, "topk: dim must be between -1 and 0, got 1");
}
END_TEST

START_TEST(picking)
{
    BOTH(tg_kthvalue(tape, VECTOR(1, 1, 1, 1), 2, 0, false, &at), ONE(1), ONE(0));
    BOTH(tg_kthvalue(tape, VECTOR(2, 1, 1, 1, 3), 2, 0, false, &at), ONE(1), ONE(3));
    BOTH(tg_kthvalue(tape, VECTOR(2, 1, 1, 1, 3), 1, 0, true, &at), L(1), L(2));
    BOTH(tg_kthvalue(tape, VECTOR(1, NAN, 2, NAN, NAN), 2, 0, false, &at), ONE(2), ONE(2));
    BOTH(tg_kthvalue(tape, tensor(TG_F64, ONE(3)), 1, 0, true, &at), ONE(3), ONE(0));
    BOTH(tg_median_dim(tape, VECTOR(1, 1, 1, 1), 0, false, &at), ONE(1), ONE(1));
    BOTH(tg_median_dim(tape, VECTOR(2, 1, 1, 1, 3), 0, true, &at), L(1), L(3));
    BOTH(tg_median_dim(tape, VECTOR(1, NAN, 2, NAN), 0, false, &at), ONE(NAN), ONE(1));
    BOTH(tg_nanmedian_dim(tape, VECTOR(1, NAN, 2, NAN), 0, false, &at), ONE(1), ONE(0));
    BOTH(tg_nanmedian_dim(tape, VECTOR(NAN, NAN), 0, false, &at), ONE(NAN), ONE(0));
    BOTH(tg_median_dim(tape, tensor(TG_I64, L(3, 1, 2)), 0, false, &at), ONE(2), ONE(2));
    BOTH(tg_mode_dim(tape, VECTOR(1, 2, 2, 1), 0, false, &at), ONE(1), ONE(3));
    BOTH(tg_mode_dim(tape, tensor(TG_BOOL, L(1, 0, 1)), -1, true, &at), L(1), L(2));
    tg_tensor *x = VECTOR(5, 1, 4), *y = tg_kthvalue(tape, x, 2, 0, false, NULL);
    expect(weighted_gradient(y, x), 0, L(0, 0, 1));
    expect(tg_median_dim(tape, tensor(TG_F64, DIMS(2, 0), VALUES(0)), 0, false, NULL), 0, DIMS(0), VALUES(0));
    expect_error(tg_median_dim(tape, tensor(TG_F64, DIMS(0), VALUES(0)), 0, false, NULL), TG_ESHAPE,
                 "x has no elements along dim 0");
    expect_error(tg_kthvalue(tape, x, 0, 0, false, NULL), TG_EINVAL, "k must be between 1 and 3, got 0");
    expect_error(tg_median_dim(tape, tensor(TG_BOOL, L(1, 0)), 0, false, NULL), TG_EDTYPE, "not bool");
    expect_error(tg_mode_dim(tape, x, -2, false, NULL), TG_EINVAL, "mode: dim must be");
}
END_TEST

START_TEST(of_all)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 2), VALUES(1, 1, 2, 1));
    tg_tensor *y = tg_median(tape, tg_transpose(tape, x, 0, 1));
    expect(y, 0, ONE(1));
    expect(weighted_gradient(y, x), 1e-15, DIMS(2, 2), VALUES(1. / 3, 1. / 3, 0, 1. / 3));
    x = VECTOR(1, NAN, 2, NAN);
    y = tg_median(tape, x);
    expect(y, 0, ONE(NAN));
    expect(weighted_gradient(y, x), 0, L(0, .5, 0, .5));
    y = tg_nanmedian(tape, x);
    expect(y, 0, ONE(1));
    expect(weighted_gradient(y, x), 0, L(1, 0, 0, 0));
    expect(tg_median(tape, tensor(TG_F32, DIMS(0), VALUES(0))), 0, ONE(NAN));
    expect(tg_median(tape, tensor(TG_I64, L(4, 3, 9, 1))), 0, ONE(3));
    expect_error(tg_median(tape, tensor(TG_I64, DIMS(0), VALUES(0))), TG_ESHAPE, "no median of no integers");
    expect_error(tg_nanmedian(tape, NULL), TG_EINVAL, "nanmedian: x is NULL");
}
END_TEST

START_TEST(quantiles)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(0, 1, 2, 3, 4, 5)), *q = VECTOR(.5, .1),
              *half = leaf(TG_F64, ONE(.5));
    tg_tensor *y = tg_quantile(tape, x, q, 1, true, TG_BETWEEN_LINEAR);
    expect(y, 1e-15, DIMS(2, 2, 1), VALUES(1, 4, .2, 3.2));
    expect(weighted_gradient(y, q), 1e-15, L(0, 2 * (3 + 4)));
    expect(tg_quantile(tape, x, half, TG_NONE_INT, true, TG_BETWEEN_LINEAR), 0, DIMS(1, 1), VALUES(2.5));
    expect(tg_quantile(tape, x, half, 0, false, TG_BETWEEN_LOWER), 0, L(0, 1, 2));
    expect(tg_quantile(tape, x, half, 0, false, TG_BETWEEN_HIGHER), 0, L(3, 4, 5));
    expect(tg_quantile(tape, x, half, 0, false, TG_BETWEEN_MIDPOINT), 0, L(1.5, 2.5, 3.5));
    expect(tg_quantile(tape, VECTOR(0, 1, 2, 3), VECTOR(.5, 1. / 6, .8333333), 0, false, TG_BETWEEN_NEAREST),
           0, L(2, 0, 2));
    expect(tg_quantile(tape, VECTOR(1, NAN), q, 0, false, TG_BETWEEN_LINEAR), 0, L(NAN, NAN));
    expect(tg_quantile(tape, x, tensor(TG_F64, DIMS(0), VALUES(0)), 1, false, TG_BETWEEN_LINEAR), 0,
           DIMS(0, 2), VALUES(0));
    tg_tensor *cube = tensor(TG_F32, DIMS(2, 3, 2), VALUES(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    expect(tg_quantile(tape, cube, tensor(TG_F32, L(0, 1)), 1, false, TG_BETWEEN_LINEAR), 0, DIMS(2, 2, 2),
           VALUES(0, 1, 6, 7, 4, 5, 10, 11));
    expect_error(tg_quantile(tape, x, tensor(TG_F64, ONE(1.5)), 0, false, TG_BETWEEN_LINEAR), TG_EINVAL,
                 "quantile: q must be in [0, 1], got 1.5");
    expect_error(tg_quantile(tape, x, tensor(TG_F64, L(.5, NAN)), 0, false, TG_BETWEEN_LINEAR), TG_EINVAL,
                 "got nan");
    expect_error(tg_quantile(tape, x, tensor(TG_F32, ONE(.5)), 0, false, TG_BETWEEN_LINEAR), TG_EDTYPE,
                 "not f64 and f32");
    expect_error(tg_quantile(tape, tensor(TG_F64, DIMS(0), VALUES(0)), half, 0, false, TG_BETWEEN_LINEAR),
                 TG_ESHAPE, "quantile: x has no elements");
    expect_error(tg_quantile(tape, x, half, 2, false, TG_BETWEEN_LINEAR), TG_EINVAL, "quantile: dim must be");
    expect_error(tg_quantile(tape, x, x, 0, false, TG_BETWEEN_LINEAR), TG_ESHAPE, "a scalar or a vector");
}
END_TEST

START_TEST(searching)
{
    tg_tensor *s = VECTOR(1, 2, 2, 3);
    expect(tg_searchsorted(tape, s, VECTOR(NAN, 2, 0, 9), NULL, false), 0, L(4, 1, 0, 4));
    expect(tg_searchsorted(tape, s, tensor(TG_F64, ONE(2)), NULL, true), 0, ONE(3));
    expect(tg_searchsorted(tape, s, tensor(TG_I64, L(2, 3)), NULL, false), 0, L(1, 3));
    expect(tg_searchsorted(tape, VECTOR(3, 1, 2), VECTOR(2, 3), tensor(TG_I64, L(1, 2, 0)), false), 0,
           L(1, 2));
    tg_tensor *two = tensor(TG_F64, DIMS(2, 3), VALUES(1, 3, 5, 2, 4, 6));
    expect(tg_searchsorted(tape, two, tensor(TG_F64, DIMS(2, 2), VALUES(3, 4, 3, 4)), NULL, false), 0,
           DIMS(2, 2), VALUES(1, 2, 1, 1));
    expect(tg_searchsorted(tape, tensor(TG_F64, DIMS(2, 0), VALUES(0)), tensor(TG_F64, DIMS(2, 3), VALUES(0)),
                           NULL, true),
           0, DIMS(2, 3), VALUES(0));
    expect(tg_bucketize(tape, tensor(TG_F64, DIMS(2, 2), VALUES(0, 2, 3, 4)), s, true), 0, DIMS(2, 2),
           VALUES(0, 3, 4, 4));
    expect_error(tg_searchsorted(tape, s, s, tensor(TG_I64, L(0, 1, 2, 4)), false), TG_EINDEX,
                 "searchsorted: sorter: index[3] is 4, outside [0, 4)");
    expect_error(tg_searchsorted(tape, two, s, NULL, false), TG_ESHAPE, "values' dims but the last one");
    expect_error(tg_searchsorted(tape, tensor(TG_F64, ONE(1)), s, NULL, false), TG_ESHAPE, "one dim");
    expect_error(tg_bucketize(tape, s, two, false), TG_ESHAPE,
                 "bucketize: boundaries must have one dim, not 2");
}
END_TEST

START_TEST(different)
{
    tg_tensor *inverse, *counts, *x = VECTOR(3, NAN, 1, 2, 1, NAN);
    expect(tg_unique(tape, x, TG_NONE_INT, &inverse, &counts), 0, L(1, 2, 3, NAN, NAN));
    expect(inverse, 0, L(2, 3, 0, 1, 0, 4));
    expect(counts, 0, L(2, 1, 1, 1, 1));
    tg_tensor *m = tensor(TG_I64, DIMS(3, 2), VALUES(1, 2, 1, 2, 0, 5));
    expect(tg_unique(tape, m, 0, &inverse, &counts), 0, DIMS(2, 2), VALUES(0, 5, 1, 2));
    expect(inverse, 0, L(1, 1, 0));
    expect(counts, 0, L(1, 2));
    expect(tg_unique(tape, m, TG_NONE_INT, &inverse, NULL), 0, L(0, 1, 2, 5));
    expect(inverse, 0, DIMS(3, 2), VALUES(1, 2, 1, 2, 0, 3));
    expect(tg_unique(tape, tg_transpose(tape, m, 0, 1), 1, NULL, NULL), 0, DIMS(2, 2), VALUES(0, 1, 5, 2));
    expect(tg_unique(tape, tensor(TG_BOOL, L(1, 0, 1)), TG_NONE_INT, NULL, NULL), 0, L(0, 1));
    expect(tg_unique(tape, tensor(TG_F64, ONE(4)), TG_NONE_INT, &inverse, NULL), 0, L(4));
    expect(inverse, 0, ONE(0));
    expect(tg_unique(tape, tensor(TG_F64, DIMS(0, 3), VALUES(0)), 0, NULL, NULL), 0, DIMS(0, 3), VALUES(0));
    expect(tg_unique(tape, tensor(TG_F64, DIMS(2, 0), VALUES(0)), TG_NONE_INT, &inverse, &counts), 0, DIMS(0),
           VALUES(0));
    expect(inverse, 0, DIMS(2, 0), VALUES(0));
    expect_error(tg_unique(tape, tensor(TG_F64, DIMS(3, 0), VALUES(0)), 0, NULL, NULL), TG_ESHAPE,
                 "have no elements");
    expect_error(tg_unique(tape, tensor(TG_F64, ONE(4)), 0, NULL, NULL), TG_ESHAPE, "unique: x has no dims");
}
END_TEST

/* Long lines, many lines, lines that are made to take long. */
START_TEST(large)
{
    enum { N = 50000 };
    double *v = malloc(sizeof *v * N);
    int64_t *order = malloc(sizeof *order * N);
    for (int shape = 0; shape < 4; shape++) {
        for (int i = 0; i < N; i++)
            v[i] = shape == 0 ? i * 7919 % 1000 : shape == 1 ? i : shape == 2 ? (i < N / 2 ? i : N - i) : 5;
        tg_tensor *x = tg_input(tape, TG_F64, DIMS(N), v), *y = tg_sort(tape, x, 0, false, &at);
        ck_assert_int_eq(tg_tensor_read(at, order, sizeof *order * N), TG_OK);
        for (int i = 1; i < N; i++)
            ck_assert(v[order[i - 1]] < v[order[i]] ||
                      (v[order[i - 1]] == v[order[i]] && order[i - 1] < order[i]));
        double middle[4];
        tg_tensor *picked[] = {tg_median(tape, x), tg_kthvalue(tape, x, N / 2, 0, false, NULL),
                               tg_select(tape, tg_topk(tape, x, N / 2, 0, false, NULL), 0, N / 2 - 1),
                               tg_select(tape, y, 0, N / 2 - 1)};
        for (int k = 0; k < 4; k++)
            ck_assert_int_eq(tg_tensor_read(picked[k], &middle[k], sizeof(double)), TG_OK);
        ck_assert(middle[0] == v[order[N / 2 - 1]] && middle[1] == middle[0] && middle[2] == middle[0] &&
                  middle[3] == middle[0]);
    }
    for (int i = 0; i < N; i++)
        v[i] = (i / 50 * 13 + i % 50 * 29) % 101;
    tg_tensor *lines = tg_input(tape, TG_F64, DIMS(N / 50, 50), v);
    tg_tensor *y = tg_gather(tape, lines, 1, tg_argsort(tape, lines, 1, true)),
              *sorted = tg_sort(tape, lines, 1, true, NULL);
    ck_assert_int_eq(tg_tensor_read(sorted, v, sizeof *v * N), TG_OK);
    expect(y, 0, DIMS(N / 50, 50), v, N);
    free(v);
    free(order);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("order");
    TCase *t = tcase_create("order");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, sorting);
    tcase_add_test(t, greatest);
    tcase_add_test(t, picking);
    tcase_add_test(t, of_all);
    tcase_add_test(t, quantiles);
    tcase_add_test(t, searching);
    tcase_add_test(t, different);
    tcase_add_test(t, large);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
