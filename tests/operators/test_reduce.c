/* Reductions: values, every set of dims, strides, empties, precision, threads, ties, refusals. */
#include "operators/rig.h"

static const tg_dtype floats[] = {TG_F32, TG_F64};

START_TEST(correction_beyond_n)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2), VALUES(1, 3));
    expect(weighted_gradient(tg_var_dims(tape, x, DIMS(0), 4, false), x), 0, DIMS(2), VALUES(1, -1));
    expect(weighted_gradient(tg_var_dims(tape, x, DIMS(0), 2, false), x), 0, DIMS(2), VALUES(-INFINITY, INFINITY));
    expect(weighted_gradient(tg_std_dims(tape, x, DIMS(0), 4, false), x), 0, DIMS(2), VALUES(0));
}
END_TEST

START_TEST(small_values)
{
    for (int f = 0; f < 2; f++) {
        tg_tensor *x = tensor(floats[f], DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 9));
        expect(tg_sum(tape, x), 0, SCALAR, VALUES(24));
        expect(tg_mean(tape, x), 0, SCALAR, VALUES(4));
        expect(tg_sum_dims(tape, x, DIMS(0), false), 0, DIMS(3), VALUES(5, 7, 12));
        expect(tg_sum_dims(tape, x, DIMS(-1), false), 0, DIMS(2), VALUES(6, 18));
        expect(tg_sum_dims(tape, x, DIMS(1), true), 0, DIMS(2, 1), VALUES(6, 18));
        expect(tg_sum_dims(tape, x, DIMS(1, 0), true), 0, DIMS(1, 1), VALUES(24));
        expect(tg_mean_dims(tape, x, DIMS(0), false), 0, DIMS(3), VALUES(2.5, 3.5, 6));
        expect(tg_var_dims(tape, x, DIMS(1), 1, false), 1e-6, DIMS(2), VALUES(1, 7));
        expect(tg_var_dims(tape, x, DIMS(1), 0, true), 1e-6, DIMS(2, 1), VALUES(2.0 / 3, 14.0 / 3));
        expect(tg_var_dims(tape, x, NULL, 0, 1, false), 1e-6, SCALAR, VALUES(8));
        expect(tg_amax_dims(tape, x, DIMS(0), false), 0, DIMS(3), VALUES(4, 5, 9));
        expect(tg_amin_dims(tape, x, DIMS(1), true), 0, DIMS(2, 1), VALUES(1, 4));
        expect(tg_amax_dims(tape, x, NULL, 0, false), 0, SCALAR, VALUES(9));
        expect(tg_argmax(tape, x, 1, false), 0, DIMS(2), VALUES(2, 2));
        expect(tg_argmax(tape, x, 0, true), 0, DIMS(1, 3), VALUES(1));
        expect(tg_sum_to_size(tape, x, DIMS(3)), 0, DIMS(3), VALUES(5, 7, 12));
        expect(tg_sum_to_size(tape, x, DIMS(2, 1)), 0, DIMS(2, 1), VALUES(6, 18));
        expect(tg_sum_to_size(tape, x, SCALAR), 0, SCALAR, VALUES(24));
        expect(tg_sum_to_size(tape, x, DIMS(2, 3)), 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 9));
        tg_tensor *s = tensor(floats[f], SCALAR, VALUES(7));
        expect(tg_sum(tape, s), 0, SCALAR, VALUES(7));
        expect(tg_mean_dims(tape, s, DIMS(-1), true), 0, SCALAR, VALUES(7));
        expect(tg_amax_dims(tape, s, NULL, 0, false), 0, SCALAR, VALUES(7));
        expect(tg_argmax(tape, s, 0, false), 0, SCALAR, VALUES(0));
        expect(tg_var_dims(tape, s, NULL, 0, 1, false), 0, SCALAR, VALUES(NAN));
    }
}
END_TEST

START_TEST(nan_and_ties)
{
    tg_tensor *x = tensor(TG_F32, DIMS(2, 3), VALUES(1, NAN, 3, 7, 2, 7));
    expect(tg_sum_dims(tape, x, DIMS(1), false), 0, DIMS(2), VALUES(NAN, 16));
    expect(tg_amax_dims(tape, x, DIMS(1), false), 0, DIMS(2), VALUES(NAN, 7));
    expect(tg_amin_dims(tape, x, DIMS(1), false), 0, DIMS(2), VALUES(NAN, 2));
    expect(tg_amax_dims(tape, x, DIMS(0), false), 0, DIMS(3), VALUES(7, NAN, 7));
    expect(tg_argmax(tape, x, 1, false), 0, DIMS(2), VALUES(1, 0));
    tg_tensor *inf = tensor(TG_F64, DIMS(2, 2), VALUES(-INFINITY, -INFINITY, INFINITY, -INFINITY));
    expect(tg_amax_dims(tape, inf, DIMS(1), false), 0, DIMS(2), VALUES(-INFINITY, INFINITY));
    expect(tg_amin_dims(tape, inf, DIMS(0), false), 0, DIMS(2), VALUES(-INFINITY));
    expect(tg_sum(tape, inf), 0, SCALAR, VALUES(NAN));
    tg_tensor *t = leaf(TG_F64, DIMS(2, 3), VALUES(5, 1, 5, 2, 3, 2));
    expect(weighted_gradient(tg_amax_dims(tape, t, DIMS(1), false), t), 0, DIMS(2, 3),
           VALUES(0.5, 0, 0.5, 0, 2, 0));
    expect(weighted_gradient(tg_amin_dims(tape, t, DIMS(1), true), t), 0, DIMS(2, 3),
           VALUES(0, 1, 0, 1, 0, 1));
    /* A NaN on its own wins over what a wide vector read before and after it. */
    double row[100];
    for (int at = 0; at < 100; at += 33) {
        for (int i = 0; i < 100; i++)
            row[i] = i == at ? NAN : i;
        expect(tg_amax_dims(tape, tensor(TG_F32, DIMS(100), row, 100), NULL, 0, false), 0, SCALAR,
               VALUES(NAN));
        expect(tg_argmax(tape, tensor(TG_F32, DIMS(100), row, 100), 0, false), 0, SCALAR, VALUES(at));
    }
}
END_TEST

START_TEST(gradients)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 9));
    expect(weighted_gradient(tg_sum_dims(tape, x, DIMS(1), false), x), 0, DIMS(2, 3),
           VALUES(1, 1, 1, 2, 2, 2));
    expect(weighted_gradient(tg_mean_dims(tape, x, DIMS(0), false), x), 0, DIMS(2, 3), VALUES(0.5, 1, 1.5));
    expect(weighted_gradient(tg_mean(tape, x), x), 1e-15, DIMS(2, 3), VALUES(1.0 / 6));
    expect(weighted_gradient(tg_sum_to_size(tape, x, DIMS(3)), x), 0, DIMS(2, 3), VALUES(1, 2, 3));
    expect(weighted_gradient(tg_var_dims(tape, x, DIMS(1), 1, false), x), 1e-15, DIMS(2, 3),
           VALUES(-1, 0, 1, -4, -2, 6));
    ck_assert(!tg_tensor_requires_grad(tg_argmax(tape, x, 0, false)));
}
END_TEST

/* Sums, truth and extrema of whole numbers, over every kind of stride. */
START_TEST(whole_numbers)
{
    tg_tensor *x = tensor(TG_I64, DIMS(2, 3), VALUES(1, -2, 3, 0, 5, 9));
    tg_tensor *b = tensor(TG_BOOL, DIMS(2, 3), VALUES(1, 0, 1, 1, 0, 0));
    ck_assert_int_eq(tg_tensor_dtype(tg_sum(tape, b)), TG_I64);
    expect(tg_sum(tape, x), 0, SCALAR, VALUES(16));
    expect(tg_sum_dims(tape, tg_transpose(tape, x, 0, 1), DIMS(0), false), 0, DIMS(2), VALUES(2, 14));
    expect(tg_sum_dims(tape, b, DIMS(0), true), 0, DIMS(1, 3), VALUES(2, 0, 1));
    expect(tg_sum_to_size(tape, x, DIMS(2, 1)), 0, DIMS(2, 1), VALUES(2, 14));
    expect(tg_nansum_dims(tape, x, NULL, 0, false), 0, SCALAR, VALUES(16));
    expect(tg_amax_dims(tape, x, DIMS(0), false), 0, DIMS(3), VALUES(1, 5, 9));
    expect(tg_amin_dims(tape, b, DIMS(1), false), 0, DIMS(2), VALUES(0));
    expect(tg_max(tape, x), 0, SCALAR, VALUES(9));
    expect(tg_any_dims(tape, b, DIMS(0), false), 0, DIMS(3), VALUES(1, 0, 1));
    expect(tg_all_dims(tape, x, DIMS(1), false), 0, DIMS(2), VALUES(1, 0));
    expect(tg_count_nonzero_dims(tape, x, DIMS(1)), 0, DIMS(2), VALUES(3, 2));
    expect(tg_prod_dim(tape, x, 1, false), 0, DIMS(2), VALUES(-6, 0));
    tg_tensor *none = tensor(TG_F32, DIMS(0, 2), VALUES(1));
    expect(tg_any_dims(tape, none, DIMS(0), false), 0, DIMS(2), VALUES(0));
    expect(tg_all_dims(tape, none, NULL, 0, false), 0, SCALAR, VALUES(1));
    expect(tg_any_dims(tape, tensor(TG_F32, DIMS(2), VALUES(0, NAN)), NULL, 0, false), 0, SCALAR, VALUES(1));
    /* What f64 cannot hold. */
    int64_t big[2] = {INT64_C(9007199254740993), 2}, sum;
    tg_tensor *y = tg_sum(tape, tg_input(tape, TG_I64, DIMS(2), big));
    ck_assert_int_eq(tg_tensor_read(y, &sum, sizeof sum), TG_OK);
    ck_assert_int_eq(sum, INT64_C(9007199254740995));
}
END_TEST

START_TEST(without_nan)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 2), VALUES(1, NAN, 3, 5));
    expect(tg_nansum_dims(tape, x, DIMS(1), false), 0, DIMS(2), VALUES(1, 8));
    expect(tg_nanmean_dims(tape, x, DIMS(1), true), 0, DIMS(2, 1), VALUES(1, 4));
    expect(weighted_gradient(tg_nansum_dims(tape, x, DIMS(1), false), x), 0, DIMS(2, 2), VALUES(1, 0, 2, 2));
    expect(weighted_gradient(tg_nanmean_dims(tape, x, DIMS(1), false), x), 0, DIMS(2, 2), VALUES(1, 0, 1, 1));
    tg_tensor *nothing = tensor(TG_F32, DIMS(1), VALUES(NAN));
    expect(tg_nanmean_dims(tape, nothing, NULL, 0, false), 0, SCALAR, VALUES(NAN));
    expect(tg_nansum_dims(tape, nothing, NULL, 0, false), 0, SCALAR, VALUES(0));
}
END_TEST

START_TEST(spread)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 4, 4)), *mean = NULL;
    expect(tg_std_dims(tape, x, DIMS(1), 1, false), 1e-15, DIMS(2), VALUES(1, 0));
    expect(weighted_gradient(tg_std_dims(tape, x, DIMS(1), 1, false), x), 1e-15, DIMS(2, 3),
           VALUES(-0.5, 0, 0.5, 0, 0, 0));
    expect(tg_var_mean_dims(tape, x, DIMS(1), 0, true, &mean), 1e-15, DIMS(2, 1), VALUES(2.0 / 3, 0));
    expect(mean, 0, DIMS(2, 1), VALUES(2, 4));
    expect(tg_std_mean_dims(tape, x, NULL, 0, 1, false, NULL), 1e-15, SCALAR, VALUES(sqrt(8.0 / 5)));
    expect(tg_std_dims(tape, tensor(TG_F32, DIMS(1), VALUES(3)), NULL, 0, 1, false), 0, SCALAR, VALUES(NAN));
    expect(tg_var_dims(tape, tensor(TG_F32, DIMS(2), VALUES(1, 2)), NULL, 0, 5, false), 0, SCALAR,
           VALUES(INFINITY));
}
END_TEST

/* Values, and the derivatives that torch gives where the formula has none. */
START_TEST(norms)
{
    const double inf = INFINITY;
    const struct {
        double p, norm, g[3], ties[2], of_nan;
    } c[] = {{0, 2, {0, 0, 0}, {0, 0}, 2},
             {0.5, 5.82842712474619, {0, 1.7071067811865475, -2.414213562373095}, {2, -2}, NAN},
             {1, 3, {0, 1, -1}, {1, -1}, NAN},
             {1.5,
              2.4472608147714756,
              {0, 0.9040134034531215, -0.6392340078652324},
              {0.7937005259840998, -0.7937005259840998},
              NAN},
             {2,
              2.23606797749979,
              {0, 0.8944271909999159, -0.4472135954999579},
              {0.7071067811865475, -0.7071067811865475},
              NAN},
             {3,
              2.080083823051904,
              {0, 0.9244816991341795, -0.2311204247835449},
              {0.6299605249474365, -0.6299605249474365},
              NAN},
             {inf, 2, {0, 1, 0}, {0.5, -0.5}, NAN},
             {-inf, 0, {0, 0, 0}, {0.5, -0.5}, NAN},
             {-1, 0, {0, 0, 0}, {0.25, -0.25}, NAN}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        tg_tensor *x = leaf(TG_F64, DIMS(3), VALUES(0, 2, -1)), *t = leaf(TG_F64, DIMS(2), VALUES(2, -2)),
                  *z = leaf(TG_F64, DIMS(2), VALUES(0, 0));
        expect(tg_norm_dims(tape, x, c[i].p, NULL, 0, false), 1e-14, SCALAR, VALUES(c[i].norm));
        expect(weighted_gradient(tg_norm_dims(tape, x, c[i].p, NULL, 0, false), x), 1e-14, DIMS(3), c[i].g,
               3);
        expect(weighted_gradient(tg_norm_dims(tape, t, c[i].p, DIMS(0), true), t), 1e-14, DIMS(2), c[i].ties,
               2);
        expect(weighted_gradient(tg_norm_dims(tape, z, c[i].p, NULL, 0, false), z), 0, DIMS(2), VALUES(0));
        expect(tg_norm_dims(tape, tensor(TG_F32, DIMS(2), VALUES(NAN, 2)), c[i].p, NULL, 0, false), 0, SCALAR,
               VALUES(c[i].of_nan));
    }
    tg_tensor *m = tensor(TG_F32, DIMS(2, 2), VALUES(3, 1, 4, 1));
    expect(tg_norm_dims(tape, m, 2, DIMS(0), false), 1e-6, DIMS(2), VALUES(5, sqrt(2)));
    expect(tg_norm_dims(tape, m, 1, DIMS(1), true), 0, DIMS(2, 1), VALUES(4, 5));
    tg_tensor *none = tensor(TG_F32, DIMS(0), VALUES(1));
    expect(tg_norm_dims(tape, none, 2, NULL, 0, false), 0, SCALAR, VALUES(0));
    expect(tg_norm_dims(tape, none, 0.5, NULL, 0, false), 0, SCALAR, VALUES(0));
}
END_TEST

START_TEST(empties)
{
    tg_tensor *x = tensor(TG_F64, DIMS(0, 3), VALUES(1));
    expect(tg_sum(tape, x), 0, SCALAR, VALUES(0));
    expect(tg_mean(tape, x), 0, SCALAR, VALUES(NAN));
    expect(tg_sum_dims(tape, x, DIMS(0), false), 0, DIMS(3), VALUES(0));
    expect(tg_mean_dims(tape, x, DIMS(0), false), 0, DIMS(3), VALUES(NAN));
    expect(tg_sum_dims(tape, x, DIMS(1), false), 0, DIMS(0), VALUES(0));
    expect(tg_var_dims(tape, x, DIMS(0), 1, false), 0, DIMS(3), VALUES(NAN));
    expect(tg_amax_dims(tape, x, DIMS(1), false), 0, DIMS(0), VALUES(0));
    expect(tg_argmax(tape, x, 1, true), 0, DIMS(0, 1), VALUES(0));
    expect(tg_sum_to_size(tape, x, DIMS(1, 3)), 0, DIMS(1, 3), VALUES(0));
    tg_tensor *y = tensor(TG_F32, DIMS(2, 0, 3, 0), VALUES(1));
    expect(tg_sum_dims(tape, y, DIMS(1, 3), false), 0, DIMS(2, 3), VALUES(0));
    expect(tg_sum_dims(tape, y, DIMS(0, 1), false), 0, DIMS(3, 0), VALUES(0));
    expect_error(tg_amax_dims(tape, x, DIMS(0), false), TG_ESHAPE, "dim 0 has size 0");
    expect_error(tg_argmax(tape, x, 0, false), TG_ESHAPE, "no values");
}
END_TEST

/* Every set of dims of a four-dim tensor, dense, permuted and gapped, against loops. */
START_TEST(any_dims_any_strides)
{
    enum { A = 3, B = 20, C = 5, D = 37, N = A * B * C * D };
    static double values[N];
    for (int i = 0; i < N; i++)
        values[i] = sin(i * 1.3) + 0.25;
    const tg_dtype dtype = floats[_i & 1];
    tg_tensor *x = tensor(dtype, DIMS(A, B, C, D), values, N);
    if (_i & 2)
        x = tg_permute(tape, x, 2, 0, 3, 1);
    if (_i & 4)
        x = tg_slice(tape, x, -1, 1, INT64_MAX, 2);
    tg_desc d;
    tg_tensor_desc(x, &d);
    static double in[N];
    ck_assert_int_eq(tg_tensor_read(tg_to(tape, x, TG_F64), in, (size_t)tg_desc_count(&d) * 8), TG_OK);
    for (int mask = 1; mask < 16; mask++) {
        int64_t dims[4], kept[4];
        size_t n = 0;
        static double sum[N], square[N], largest[N], count[N];
        for (int i = 0; i < N; i++) {
            sum[i] = square[i] = count[i] = 0;
            largest[i] = -INFINITY;
        }
        for (int k = 0; k < 4; k++) {
            kept[k] = mask >> k & 1 ? 1 : d.dim[k];
            if (mask >> k & 1)
                dims[n++] = k;
        }
        for (int pass = 0; pass < 2; pass++)
            for (int64_t i = 0; i < tg_desc_count(&d); i++) {
                int64_t left = i, at[4], o = 0;
                for (int k = 3; k >= 0; k--) {
                    at[k] = mask >> k & 1 ? 0 : left % d.dim[k];
                    left /= d.dim[k];
                }
                for (int k = 0; k < 4; k++)
                    o = o * kept[k] + at[k];
                if (!pass) {
                    sum[o] += in[i];
                    count[o]++;
                    largest[o] = fmax(largest[o], in[i]);
                } else {
                    square[o] += (in[i] - sum[o] / count[o]) * (in[i] - sum[o] / count[o]);
                }
            }
        const double tolerance = dtype == TG_F32 ? 1e-6 : 1e-13;
        expect(tg_sum_dims(tape, x, dims, n, true), tolerance, kept, 4, sum, N);
        expect(tg_sum_to_size(tape, x, kept, 4), tolerance, kept, 4, sum, N);
        expect(tg_amax_dims(tape, x, dims, n, true), 0, kept, 4, largest, N);
        for (int i = 0; i < N; i++)
            square[i] /= count[i] ? count[i] : 1;
        expect(tg_var_dims(tape, x, dims, n, 0, true), tolerance, kept, 4, square, N);
    }
}
END_TEST

/* A million times 0.1 in f32, and a variance around a large mean. */
START_TEST(precision)
{
    const int64_t n = 1 << 20;
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = 0.1f;
    tg_tensor *t = tg_input(tape, TG_F32, &n, 1, x);
    expect(tg_sum(tape, t), 1e-7, SCALAR, VALUES((double)0.1f * (double)n));
    expect(tg_sum_dims(tape, tg_reshape(tape, t, 1 << 16, 16), DIMS(0), false), 1e-7, DIMS(16),
           VALUES((double)0.1f * (1 << 16)));
    for (int64_t i = 0; i < n; i++)
        x[i] = 10000.0f + (float)(i % 2);
    t = tg_input(tape, TG_F32, &n, 1, x);
    expect(tg_var_dims(tape, t, NULL, 0, 0, false), 1e-7, SCALAR, VALUES(0.25));
    free(x);
}
END_TEST

START_TEST(threads_do_not_change_a_bit)
{
    const int64_t dims[] = {1000, 130};
    float *x = malloc(130000 * sizeof *x);
    for (int i = 0; i < 130000; i++)
        x[i] = (float)sin(i * 0.37) * 100;
    tg_tensor *t = tg_input(tape, TG_F32, dims, 2, x);
    float one[3][1000], more[3][1000];
    for (int pass = 0; pass < 2; pass++) {
        float(*to)[1000] = pass ? more : one;
        ck_assert_int_eq(tg_tape_set_threads(tape, pass ? 3 : 1), TG_OK);
        ck_assert_int_eq(tg_tensor_read(tg_sum(tape, t), to[0], 4), TG_OK);
        ck_assert_int_eq(tg_tensor_read(tg_sum_dims(tape, t, DIMS(0), false), to[1], 130 * 4), TG_OK);
        ck_assert_int_eq(tg_tensor_read(tg_var_dims(tape, t, DIMS(1), 1, false), to[2], 1000 * 4), TG_OK);
    }
    ck_assert(!memcmp(one[0], more[0], 4));
    ck_assert(!memcmp(one[1], more[1], 130 * 4));
    ck_assert(!memcmp(one[2], more[2], 1000 * 4));
    free(x);
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(2, 3), VALUES(1));
    expect_error(tg_sum_dims(tape, x, DIMS(2), false), TG_EINVAL, "sum: dim must be between -2 and 1, got 2");
    expect_error(tg_mean_dims(tape, x, DIMS(0, -2), false), TG_EINVAL, "mean: dim 0 is listed twice");
    expect_error(tg_sum_dims(tape, x, NULL, 2, false), TG_EINVAL, "dims is NULL");
    tg_tensor *whole = tensor(TG_I64, DIMS(2), VALUES(1));
    expect_error(tg_mean(tape, whole), TG_EDTYPE,
                 "mean(i64[2]): x must be f32 or f64, not i64; convert it with tg_to");
    expect_error(tg_nanmean_dims(tape, whole, NULL, 0, false), TG_EDTYPE, "nanmean: x must be f32 or f64");
    expect_error(tg_std_dims(tape, whole, NULL, 0, 1, false), TG_EDTYPE, "std(i64[2]): x must be");
    expect_error(tg_std_mean_dims(tape, whole, NULL, 0, 1, false, NULL), TG_EDTYPE, "std_mean: x must be");
    expect_error(tg_norm_dims(tape, whole, 2, NULL, 0, false), TG_EDTYPE, "norm(i64[2]): x must be");
    expect_error(tg_norm_dims(tape, x, NAN, NULL, 0, false), TG_EINVAL, "p is NaN");
    expect_error(tg_norm_dims(tape, tensor(TG_F64, DIMS(0), VALUES(1)), -1, NULL, 0, false), TG_ESHAPE,
                 "norm(f64[0]): there is no extremum");
    expect_error(tg_count_nonzero_dims(tape, x, DIMS(3)), TG_EINVAL, "count_nonzero: dim must be");
    expect_error(tg_argmax(tape, tensor(TG_BOOL, DIMS(2), VALUES(1)), 0, false), TG_EDTYPE, "not bool");
    expect_error(tg_max(tape, tensor(TG_F64, DIMS(0), VALUES(1))), TG_ESHAPE, "max: there is no extremum");
    expect_error(tg_argmax(tape, x, 5, false), TG_EINVAL, "argmax: dim");
    expect_error(tg_sum_to_size(tape, x, DIMS(2)), TG_ESHAPE, "[2] does not broadcast");
    expect_error(tg_sum_to_size(tape, x, DIMS(1, 2, 3)), TG_ESHAPE, "does not broadcast");
    expect_error(tg_sum_to_size(tape, x, DIMS(-1)), TG_ESHAPE, "negative");
    expect_error(tg_sum(tape, NULL), TG_EINVAL, "sum: x is NULL");
    ck_assert_ptr_null(tg_sum(NULL, x));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("reductions");
    TCase *t = tcase_create("values");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, correction_beyond_n);
    tcase_add_test(t, small_values);
    tcase_add_test(t, nan_and_ties);
    tcase_add_test(t, gradients);
    tcase_add_test(t, whole_numbers);
    tcase_add_test(t, without_nan);
    tcase_add_test(t, spread);
    tcase_add_test(t, norms);
    tcase_add_test(t, empties);
    tcase_add_loop_test(t, any_dims_any_strides, 0, 8);
    tcase_add_test(t, precision);
    tcase_add_test(t, threads_do_not_change_a_bit);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
