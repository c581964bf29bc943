/* softmax, log_softmax, logsumexp: values, special values, errors, the same bits for any number of threads.
 */
#include "layers/rig.h"

static tg_tensor *input_f32(const int64_t *dims, size_t ndim, const float *values)
{
    tg_tensor *x = tg_input(tape, TG_F32, dims, ndim, values);
    ck_assert_msg(x != NULL, "%s", tg_tape_error(tape));
    return x;
}

/* Σexp over dim 1 of [outer, n, inner], by the plainest means. */
static long double log_sum(const double *x, size_t n, size_t step)
{
    long double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        max = x[i * step] > max ? x[i * step] : max;
    for (size_t i = 0; i < n; i++)
        sum += expl(x[i * step] - max);
    return max + logl(sum);
}

static const int64_t shapes[][3] = {{3, 5, 1}, {7, 1, 1},  {2, 1500, 1}, {150, 10, 1},
                                    {2, 5, 3}, {3, 4, 70}, {1, 2049, 1}, {1, 3, 1}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

START_TEST(agrees_with_its_definition)
{
    const int64_t *s = shapes[_i];
    size_t count = (size_t)(s[0] * s[1] * s[2]), n = (size_t)s[1], inner = (size_t)s[2];
    double *v = malloc(count * sizeof *v), *got = malloc(count * sizeof *got),
           *logs = malloc(count * sizeof *logs);
    float *f = malloc(count * sizeof *f), *gotf = malloc(count * sizeof *gotf);
    for (size_t i = 0; i < count; i++) {
        f[i] = (float)(20 * noise(3, i));
        v[i] = f[i];
    }
    get(tg_softmax(tape, input(s, 3, v), 1), got, count);
    get(tg_log_softmax(tape, input(s, 3, v), -2), logs, count);
    tg_tensor *y = tg_softmax(tape, input_f32(s, 3, f), 1);
    ck_assert_int_eq(tg_tensor_read(y, gotf, count * sizeof *gotf), TG_OK);
    for (size_t o = 0; o < (size_t)s[0]; o++)
        for (size_t j = 0; j < inner; j++) {
            long double lse = log_sum(v + o * n * inner + j, n, inner);
            for (size_t k = 0; k < n; k++) {
                size_t i = (o * n + k) * inner + j;
                long double p = expl(v[i] - lse);
                ck_assert(fabsl(got[i] - p) <= 1e-15L + 1e-14L * p);
                ck_assert(fabsl(logs[i] - (v[i] - lse)) <= 1e-13L);
                long double part = 4e-7L + 6e-8L * fabsl(v[i] - lse); /* x − max is rounded to f32 */
                ck_assert_msg(fabsl(gotf[i] - p) <= part * p + 1e-38L, "%zu: %g is not %Lg", i,
                              (double)gotf[i], p);
            }
        }
    free(v), free(got), free(logs), free(f), free(gotf);
}
END_TEST

START_TEST(infinities_and_nan)
{
    const double inf = INFINITY;
    const double v[] = {-inf, 0, 1, -inf, -inf, -inf, inf, 0, 1, NAN, 0, 1, 1e300, -1e300, 1e300};
    double y[15], l[15], s[5];
    get(tg_softmax(tape, input(DIMS(5, 3), v), 1), y, 15);
    get(tg_log_softmax(tape, input(DIMS(5, 3), v), 1), l, 15);
    get(tg_logsumexp_dims(tape, input(DIMS(5, 3), v), (const int64_t[]){1}, 1, false), s, 5);
    double e = exp(1.0);
    near_to(y, (const double[]){0, 1 / (1 + e), e / (1 + e)}, 3, 1e-15);
    ck_assert(l[0] == -inf && s[0] == log(1 + e));
    for (int i = 3; i < 12; i++) /* a row without a finite maximum says nothing, as torch's */
        ck_assert(isnan(y[i]) && isnan(l[i]));
    ck_assert(s[1] == -inf && s[2] == inf && isnan(s[3]));
    near_to(y + 12, (const double[]){0.5, 0, 0.5}, 3, 1e-15);
    ck_assert(s[4] == 1e300);
}
END_TEST

START_TEST(far_from_zero_in_f32)
{
    const float v[] = {1e4f, 1e4f + 1, -1e4f, -1e4f, -1e4f - 90, -1e4f - 300};
    float y[6], l[6];
    tg_tensor *x = input_f32(DIMS(2, 3), v);
    ck_assert_int_eq(tg_tensor_read(tg_softmax(tape, x, 1), y, sizeof y), TG_OK);
    ck_assert_int_eq(tg_tensor_read(tg_log_softmax(tape, x, 1), l, sizeof l), TG_OK);
    ck_assert(fabsf(y[0] + y[1] - 1) < 2e-7f && y[2] == 0 && fabsf(l[2] + 20001.3133f) < 0.01f);
    ck_assert(y[3] == 1 && y[4] > 0 && y[4] < 1e-38f && y[5] == 0 &&
              l[5] == -300); /* e⁻⁹⁰ is below the normal range */
}
END_TEST

START_TEST(logsumexp_over_dims)
{
    double v[24], y[24];
    for (size_t i = 0; i < 24; i++)
        v[i] = 3 * noise(5, i);
    tg_tensor *x = input(DIMS(2, 3, 4), v);
    get(tg_logsumexp_dims(tape, x, NULL, 0, false), y, 1);
    ck_assert(fabsl(y[0] - log_sum(v, 24, 1)) < 1e-14L);
    tg_tensor *apart = tg_logsumexp_dims(tape, x, (const int64_t[]){2, 0}, 2, false);
    ck_assert_int_eq(tg_tensor_ndim(apart), 1);
    get(apart, y, 3);
    for (size_t k = 0; k < 3; k++) {
        double both[8];
        for (size_t j = 0; j < 4; j++) {
            both[j] = v[k * 4 + j];
            both[4 + j] = v[12 + k * 4 + j];
        }
        ck_assert(fabsl(y[k] - log_sum(both, 8, 1)) < 1e-14L);
    }
    tg_tensor *kept = tg_logsumexp_dims(tape, x, (const int64_t[]){-2}, 1, true);
    ck_assert(tg_tensor_ndim(kept) == 3 && tg_tensor_dim(kept, 1) == 1);
    get(kept, y, 8);
    ck_assert(fabsl(y[7] - log_sum(v + 15, 3, 4)) < 1e-14L);
    get(tg_logsumexp_dims(tape, input(DIMS(2, 0), v), (const int64_t[]){1}, 1, false), y, 2);
    ck_assert(y[0] == -INFINITY && y[1] == -INFINITY);
    get(tg_logsumexp_dims(tape, tg_scalar(tape, TG_F64, 2.5), (const int64_t[]){-1}, 1, false), y, 1);
    ck_assert(y[0] == 2.5);
}
END_TEST

START_TEST(a_scalar_has_dim_zero)
{
    ck_assert(item(tg_softmax(tape, tg_scalar(tape, TG_F64, 3), 0)) == 1);
    ck_assert(item(tg_log_softmax(tape, tg_scalar(tape, TG_F64, 3), -1)) == 0);
    ck_assert(tg_softmax(tape, tg_scalar(tape, TG_F64, 3), 1) == NULL);
    tape_failed_with(TG_EINVAL, "dim is 1, expected -1 … 0");
}
END_TEST

START_TEST(what_it_refuses)
{
    tg_tensor *x = noisy(1, DIMS(2, 3)), *labels = tg_input(tape, TG_I64, DIMS(3), NULL);
    const int64_t twice[] = {1, -1}, many[9] = {0};
    ck_assert(tg_softmax(tape, x, 2) == NULL);
    tape_failed_with(TG_EINVAL, "dim is 2, expected -2 … 1");
    ck_assert(tg_log_softmax(tape, x, -3) == NULL);
    tape_failed_with(TG_EINVAL, "log_softmax");
    ck_assert(tg_softmax(tape, labels, 0) == NULL);
    tape_failed_with(TG_EDTYPE, "x is i64, expected f32 or f64");
    ck_assert(tg_logsumexp_dims(tape, x, twice, 2, false) == NULL);
    tape_failed_with(TG_EINVAL, "dim 1 is listed twice");
    ck_assert(tg_logsumexp_dims(tape, x, many, 9, false) == NULL);
    tape_failed_with(TG_ESHAPE, "logsumexp: at most 8 dims, got 9");
    ck_assert(tg_softmax(tape, NULL, 0) == NULL);
    tape_failed_with(TG_EINVAL, "NULL");
}
END_TEST

/* x's gradient of a weighted sum, with this many threads. */
static void run_with_threads(int threads, const int64_t *dims, int64_t dim, float *y, float *gx, size_t n)
{
    tg_tape_reset(tape);
    ck_assert_int_eq(tg_tape_set_threads(tape, threads), TG_OK);
    float *v = malloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(4 * noise(9, i));
    tg_tensor *x = input_f32(dims, 2, v), *g = NULL;
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *out = tg_log_softmax(tape, x, dim);
    ck_assert_int_eq(tg_tensor_read(out, y, n * sizeof *y), TG_OK);
    ck_assert_msg(tg_grad(tape, out, x, &x, 1, &g, 0) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_int_eq(tg_tensor_read(g, gx, n * sizeof *gx), TG_OK);
    free(v);
}

START_TEST(threads_change_no_bit)
{
    enum { N = 301 * 257 };
    static float y[2][N], gx[2][N];
    rig_reopen_on_reference();
    for (int threads = 1; threads <= 2; threads++)
        run_with_threads(threads, (const int64_t[]){301, 257}, _i, y[threads - 1], gx[threads - 1], N);
    ck_assert(memcmp(y[0], y[1], sizeof y[0]) == 0 && memcmp(gx[0], gx[1], sizeof gx[0]) == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("softmax");
    TCase *t = tcase_create("values");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, agrees_with_its_definition, 0, N_SHAPES);
    tcase_add_test(t, infinities_and_nan);
    tcase_add_test(t, far_from_zero_in_f32);
    tcase_add_test(t, logsumexp_over_dims);
    tcase_add_test(t, a_scalar_has_dim_zero);
    tcase_add_test(t, what_it_refuses);
    tcase_add_loop_test(t, threads_change_no_bit, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
