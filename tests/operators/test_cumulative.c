/* Running sums and products, products of all, differences, areas: dtypes, zeros in every order, refusals. */
#include "operators/rig.h"

/* The gradient by x of Σ g·(1, 2, 3 …), where g is the weighted gradient of y by x. */
static tg_tensor *second(tg_tensor *y, tg_tensor *x)
{
    static const double w[] = {1, 2, 3, 4, 5, 6};
    tg_desc d;
    tg_tensor *g = NULL;
    tg_tensor_desc(y, &d);
    tg_tensor *gy = tensor(TG_F64, d.dim, (size_t)d.ndim, w, 6);
    ck_assert_int_eq(tg_grad(tape, y, gy, &x, 1, &g, TG_CREATE_GRAPH), TG_OK);
    return weighted_gradient(g, x);
}

START_TEST(sums)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 9));
    expect(tg_cumsum(tape, x, 1), 0, DIMS(2, 3), VALUES(1, 3, 6, 4, 9, 18));
    expect(tg_cumsum(tape, tg_transpose(tape, x, 0, 1), 1), 0, DIMS(3, 2), VALUES(1, 5, 2, 7, 3, 12));
    expect(weighted_gradient(tg_cumsum(tape, x, -1), x), 0, DIMS(2, 3), VALUES(6, 5, 3, 15, 11, 6));
    tg_tensor *b = tg_cumsum(tape, tensor(TG_BOOL, DIMS(3), VALUES(1, 0, 1)), 0);
    ck_assert_int_eq(tg_tensor_dtype(b), TG_I64);
    expect(b, 0, DIMS(3), VALUES(1, 1, 2));
    expect(tg_cumprod(tape, tensor(TG_I64, DIMS(3), VALUES(2, 3, -4)), 0), 0, DIMS(3), VALUES(2, 6, -24));
    expect(tg_cumsum(tape, tensor(TG_F32, SCALAR, VALUES(7)), 0), 0, SCALAR, VALUES(7));
    expect(tg_cumprod(tape, tensor(TG_F32, DIMS(0), VALUES(7)), 0), 0, DIMS(0), VALUES(7));
}
END_TEST

/* No line depends on another, nor on the number of threads. */
START_TEST(large)
{
    enum { ROWS = 300, COLUMNS = 257 };
    static double x[ROWS * COLUMNS], sum[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        x[i] = sin(i);
        sum[i] = x[i] + (i >= COLUMNS ? sum[i - COLUMNS] : 0);
    }
    expect(tg_cumsum(tape, tensor(TG_F64, DIMS(ROWS, COLUMNS), x, ROWS * COLUMNS), 0), 1e-13,
           DIMS(ROWS, COLUMNS), sum, ROWS * COLUMNS);
}
END_TEST

START_TEST(products)
{
    tg_tensor *x = leaf(TG_F64, DIMS(4), VALUES(0, 2, 0, 3)), *one = leaf(TG_F64, DIMS(3), VALUES(0, 2, 3));
    expect(weighted_gradient(tg_prod(tape, one), one), 0, DIMS(3), VALUES(6, 0, 0));
    expect(weighted_gradient(tg_prod(tape, x), x), 0, DIMS(4), VALUES(0));
    expect(second(tg_prod(tape, x), x), 0, DIMS(4), VALUES(18, 0, 6, 0));
    expect(weighted_gradient(tg_cumprod(tape, x, 0), x), 0, DIMS(4), VALUES(5, 0, 0, 0));
    expect(second(tg_cumprod(tape, x, 0), x), 0, DIMS(4), VALUES(94, 2, 30, 0));
    tg_tensor *m = leaf(TG_F64, DIMS(2, 2), VALUES(1, 2, 3, 4));
    expect(tg_prod_dim(tape, m, 0, true), 0, DIMS(1, 2), VALUES(3, 8));
    expect(weighted_gradient(tg_prod_dim(tape, m, 1, false), m), 0, DIMS(2, 2), VALUES(2, 1, 8, 6));
    expect(tg_prod(tape, tensor(TG_F32, DIMS(0), VALUES(1))), 0, SCALAR, VALUES(1));
    ck_assert_int_eq(tg_tensor_dtype(tg_prod(tape, tensor(TG_BOOL, DIMS(2), VALUES(1)))), TG_I64);
    expect(tg_prod(tape, tensor(TG_F32, SCALAR, VALUES(5))), 0, SCALAR, VALUES(5));
}
END_TEST

START_TEST(logs)
{
    const double inf = INFINITY;
    tg_tensor *x = leaf(TG_F64, DIMS(3), VALUES(-inf, -inf, 1));
    expect(tg_logcumsumexp(tape, x, 0), 0, DIMS(3), VALUES(-inf, -inf, 1));
    expect(weighted_gradient(tg_logcumsumexp(tape, x, 0), x), 0, DIMS(3), VALUES(NAN, NAN, 3));
    expect(tg_logcumsumexp(tape, tensor(TG_F32, DIMS(3), VALUES(inf, 1, -inf)), 0), 0, DIMS(3), VALUES(inf));
    expect(tg_logcumsumexp(tape, tensor(TG_F32, DIMS(2), VALUES(NAN, 1)), 0), 0, DIMS(2), VALUES(NAN));
    tg_tensor *far = leaf(TG_F64, DIMS(3), VALUES(0, 1000, -1000));
    expect(tg_logcumsumexp(tape, far, 0), 0, DIMS(3), VALUES(0, 1000, 1000));
    expect(weighted_gradient(tg_logcumsumexp(tape, far, 0), far), 0, DIMS(3), VALUES(1, 5, 0));
    expect(tg_logsumexp_dims(tape, tensor(TG_I64, DIMS(2), VALUES(1, 2)), NULL, 0, false), 1e-6, SCALAR,
           VALUES(log(exp(1) + exp(2))));
}
END_TEST

START_TEST(differences)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(1, 4, 9, 2, 2, 5)),
              *edge = tensor(TG_F64, DIMS(2, 1), VALUES(0, 1));
    expect(tg_diff(tape, x, 1, -1, NULL, NULL), 0, DIMS(2, 2), VALUES(3, 5, 0, 3));
    expect(tg_diff(tape, x, 2, 1, NULL, NULL), 0, DIMS(2, 1), VALUES(2, 3));
    expect(tg_diff(tape, x, 5, 1, NULL, NULL), 0, DIMS(2, 0), VALUES(0));
    expect(tg_diff(tape, x, 0, 1, NULL, NULL), 0, DIMS(2, 3), VALUES(1, 4, 9, 2, 2, 5));
    expect(tg_diff(tape, x, 1, 1, edge, edge), 0, DIMS(2, 4), VALUES(1, 3, 5, -9, 1, 0, 3, -4));
    expect(weighted_gradient(tg_diff(tape, x, 1, 0, NULL, NULL), x), 0, DIMS(2, 3),
           VALUES(-1, -2, -3, 1, 2, 3));
    expect(tg_diff(tape, tensor(TG_BOOL, DIMS(3), VALUES(1, 0, 0)), 1, 0, NULL, NULL), 0, DIMS(2),
           VALUES(1, 0));
    expect(tg_diff(tape, tensor(TG_I64, DIMS(3), VALUES(1, 5, 3)), 1, 0, NULL, NULL), 0, DIMS(2),
           VALUES(4, -2));
    expect_error(tg_diff(tape, x, -1, 0, NULL, NULL), TG_EINVAL, "diff: n is -1");
    expect_error(tg_diff(tape, tensor(TG_F64, SCALAR, VALUES(1)), 1, 0, NULL, NULL), TG_ESHAPE,
                 "diff: x has no dims");
    expect_error(tg_diff(tape, x, 1, 0, edge, NULL), TG_ESHAPE, "diff: prepend is f64[2, 1]");
    expect_error(tg_diff(tape, x, 1, 2, NULL, NULL), TG_EINVAL, "diff: dim must be");
}
END_TEST

START_TEST(areas)
{
    tg_tensor *y = leaf(TG_F64, DIMS(2, 3), VALUES(1, 2, 4, 0, 1, 0)),
              *x = tensor(TG_F64, DIMS(3), VALUES(0, 1, 3));
    expect(tg_trapezoid(tape, y, 2, -1), 0, DIMS(2), VALUES(9, 2));
    expect(tg_trapezoid_at(tape, y, x, 1), 0, DIMS(2), VALUES(7.5, 1.5));
    expect(weighted_gradient(tg_trapezoid_at(tape, y, x, 1), y), 0, DIMS(2, 3), VALUES(0.5, 1.5, 1, 1, 3, 2));
    expect(tg_trapezoid_at(tape, y, tensor(TG_F64, DIMS(2, 1), VALUES(0, 2)), 0), 0, DIMS(3),
           VALUES(1, 3, 4));
    expect(tg_trapezoid(tape, tensor(TG_I64, DIMS(2), VALUES(1, 2)), 1, 0), 0, SCALAR, VALUES(1.5));
    expect(tg_trapezoid(tape, tensor(TG_F32, DIMS(2, 0), VALUES(1)), 1, 1), 0, DIMS(2), VALUES(0));
    expect(tg_trapezoid(tape, tensor(TG_F32, DIMS(3, 1), VALUES(1)), 1, 1), 0, DIMS(3), VALUES(0));
    expect_error(tg_trapezoid_at(tape, y, tensor(TG_F64, DIMS(2), VALUES(1)), 1), TG_ESHAPE,
                 "trapezoid: x needs");
    expect_error(tg_trapezoid(tape, tensor(TG_F64, SCALAR, VALUES(1)), 1, 0), TG_ESHAPE,
                 "trapezoid: y has no dims");
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(2, 3), VALUES(1));
    expect_error(tg_cumsum(tape, x, 2), TG_EINVAL, "cumsum: dim must be between -2 and 1, got 2");
    expect_error(tg_prod_dim(tape, x, 2, false), TG_EINVAL, "prod: dim must be");
    expect_error(tg_logcumsumexp(tape, tensor(TG_I64, DIMS(2), VALUES(1)), 0), TG_EDTYPE,
                 "logcumsumexp(i64[2]): x must be");
    expect_error(tg_cumprod(tape, NULL, 0), TG_EINVAL, "cumprod: x is NULL");
    ck_assert_ptr_null(tg_cumsum(NULL, x, 0));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cumulative");
    TCase *t = tcase_create("values");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, sums);
    tcase_add_test(t, large);
    tcase_add_test(t, products);
    tcase_add_test(t, logs);
    tcase_add_test(t, differences);
    tcase_add_test(t, areas);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
