/* mse_loss, nll_loss, cross_entropy: formulae, reductions, what is ignored, wrong labels, errors. Values of
 * PyTorch's are in the golden cases. */
#include "layers/rig.h"

static tg_tensor *labels(const int64_t *dims, size_t ndim, const int64_t *values)
{
    tg_tensor *t = tg_input(tape, TG_I64, dims, ndim, values);
    ck_assert_msg(t != NULL, "%s", tg_tape_error(tape));
    return t;
}

static void gradient(tg_tensor *y, tg_tensor *x, double *out, size_t n)
{
    tg_tensor *g = NULL;
    ck_assert_msg(tg_grad(tape, y, NULL, &x, 1, &g, TG_RETAIN) == TG_OK, "%s", tg_tape_error(tape));
    get(g, out, n);
}

/* -- mse_loss ---------------------------------------------------------------------------------------------
 */

START_TEST(mse_reductions)
{
    const double a[] = {1, 2, 3}, b[] = {2, 4, -1};
    double y[3], g[3];
    tg_tensor *x = input(DIMS(3), a), *t = input(DIMS(3), b);
    tg_tensor_set_requires_grad(x, true);
    get(tg_mse_loss(tape, x, t, TG_REDUCE_NONE), y, 3);
    near_to(y, (const double[]){1, 4, 16}, 3, 0);
    ck_assert(item(tg_mse_loss(tape, x, t, TG_REDUCE_SUM)) == 21);
    tg_tensor *mean = tg_mse_loss(tape, x, t, TG_REDUCE_MEAN);
    ck_assert(item(mean) == 7);
    gradient(mean, x, g, 3);
    near_to(g, (const double[]){-2.0 / 3, -4.0 / 3, 8.0 / 3}, 3, 1e-15);
}
END_TEST

START_TEST(mse_broadcasts)
{
    const double a[] = {1, 2, 3, 4}, b[] = {1, 3};
    double g[2];
    tg_tensor *x = input(DIMS(2, 2), a), *t = input(DIMS(2), b);
    tg_tensor_set_requires_grad(t, true);
    tg_tensor *y = tg_mse_loss(tape, x, t, TG_REDUCE_MEAN);
    ck_assert(item(y) == (0 + 1 + 4 + 1) / 4.0);
    gradient(y, t, g, 2);
    near_to(g, (const double[]){-2.0 / 4 * 2, -2.0 / 4 * (-1 + 1)}, 2, 1e-15);
    ck_assert(tg_mse_loss(tape, x, input(DIMS(3), a), TG_REDUCE_MEAN) == NULL);
    tape_failed_with(TG_ESHAPE, "target is f64[3], expected f64[2, 2]");
    ck_assert(tg_mse_loss(tape, x, x, (tg_reduction)7) == NULL);
    tape_failed_with(TG_EINVAL, "reduction is 7");
    ck_assert(item(tg_mse_loss(tape, x, tg_to(tape, x, TG_F32), TG_REDUCE_MEAN)) == 0);
}
END_TEST

static int warnings;
static char warning[256];

static void hear(void *arg, tg_log_level level, const char *text)
{
    (void)arg;
    warnings += level == TG_LOG_WARNING;
    snprintf(warning, sizeof warning, "%s", text);
}

START_TEST(mse_warns_of_different_sizes)
{
    tg_runtime *other;
    tg_tape *t;
    ck_assert_int_eq(tg_runtime_open(&other, &(tg_runtime_options){.backend = "reference", .log = hear}),
                     TG_OK);
    ck_assert_int_eq(tg_tape_open(&t, other), TG_OK);
    tg_tensor *x = tg_input(t, TG_F32, DIMS(4, 1), NULL), *y = tg_input(t, TG_F32, DIMS(4), NULL),
              *three = tg_input(t, TG_F32, DIMS(3), NULL);
    warnings = 0;
    ck_assert_ptr_nonnull(tg_mse_loss(t, x, x, TG_REDUCE_MEAN));
    ck_assert_int_eq(warnings, 0);
    ck_assert_ptr_nonnull(tg_mse_loss(t, x, y, TG_REDUCE_MEAN));
    ck_assert_int_eq(warnings, 1);
    ck_assert_msg(strstr(warning, "input f32[4, 1] and target f32[4]") != NULL, "%s", warning);
    ck_assert_ptr_null(tg_mse_loss(t, y, three, TG_REDUCE_MEAN)); /* an error is no warning */
    ck_assert_int_eq(warnings, 1);
    tg_tape_close(t);
    tg_runtime_close(other);
}
END_TEST

START_TEST(nothing_to_lose)
{
    tg_tensor *x = input(DIMS(0, 3), NULL), *t = labels(DIMS(0), NULL);
    ck_assert(isnan(item(tg_mse_loss(tape, x, x, TG_REDUCE_MEAN))));
    ck_assert(item(tg_mse_loss(tape, x, x, TG_REDUCE_SUM)) == 0);
    ck_assert(isnan(item(tg_cross_entropy(tape, x, t))));
    ck_assert(item(tg_cross_entropy_with(tape, x, t, NULL, -100, TG_REDUCE_SUM, 0)) == 0);
    ck_assert(isnan(item(tg_cross_entropy(tape, x, x))));
    ck_assert_int_eq(tg_tensor_count(tg_cross_entropy_with(tape, x, t, NULL, -100, TG_REDUCE_NONE, 0)), 0);
    ck_assert_int_eq(tg_tape_status(tape), TG_OK);
}
END_TEST

/* -- labels -----------------------------------------------------------------------------------------------
 */

static const double logits[] = {1, 2, 0.5, -1, 0, 3, 0.25, 0.5, 0.75, 2, -2, 1};
static const double weights[] = {0.5, 2, 1};

/* The formula of ops.h, label by label; `sum` over the positions and of the weights. */
static void expected(const int64_t *t, const double *w, double s, double each[4], double sum[2])
{
    sum[0] = sum[1] = 0;
    for (int n = 0; n < 4; n++) {
        const double *x = logits + 3 * n;
        double lse = log(exp(x[0]) + exp(x[1]) + exp(x[2])), all = 0;
        each[n] = 0;
        if (t[n] < 0)
            continue;
        for (int c = 0; c < 3; c++)
            all += (w ? w[c] : 1) * (x[c] - lse);
        double wt = w ? w[t[n]] : 1;
        each[n] = -(1 - s) * wt * (x[t[n]] - lse) - s / 3 * all;
        sum[0] += each[n];
        sum[1] += wt;
    }
}

/* _i: bit 0 weights, bit 1 smoothing. */
START_TEST(cross_entropy_of_labels)
{
    const int64_t t[] = {1, 2, -1, 0};
    double each[4], sum[2], got[4], s = _i & 2 ? 0.3 : 0;
    expected(t, _i & 1 ? weights : NULL, s, each, sum);
    tg_tensor *x = input(DIMS(4, 3), logits), *y = labels(DIMS(4), t),
              *w = _i & 1 ? input(DIMS(3), weights) : NULL;
    get(tg_cross_entropy_with(tape, x, y, w, -1, TG_REDUCE_NONE, s), got, 4);
    near_to(got, each, 4, 1e-14);
    ck_assert(got[2] == 0);
    ck_assert(fabs(item(tg_cross_entropy_with(tape, x, y, w, -1, TG_REDUCE_SUM, s)) - sum[0]) < 1e-14);
    ck_assert(fabs(item(tg_cross_entropy_with(tape, x, y, w, -1, TG_REDUCE_MEAN, s)) - sum[0] / sum[1]) <
              1e-14);
    if (s == 0) {
        tg_tensor *lp = tg_log_softmax(tape, x, 1);
        get(tg_nll_loss(tape, lp, y, w, -1, TG_REDUCE_NONE), got, 4);
        near_to(got, each, 4, 1e-14);
    }
}
END_TEST

START_TEST(layouts_agree)
{
    /* [4, 3] with 4 labels, and the same as [2, 3, 2] with [2, 2] and as [3] with a scalar. */
    const int64_t t[] = {1, 2, 0, 0};
    double rows[4], planes[4], one;
    tg_tensor *x = input(DIMS(4, 3), logits), *w = input(DIMS(3), weights);
    get(tg_cross_entropy_with(tape, x, labels(DIMS(4), t), w, -1, TG_REDUCE_NONE, 0.1), rows, 4);
    tg_tensor *image = tg_transpose(tape, tg_reshape(tape, x, 2, 2, 3), 1, 2);
    get(tg_cross_entropy_with(tape, image, labels(DIMS(2, 2), t), w, -1, TG_REDUCE_NONE, 0.1), planes, 4);
    near_to(planes, rows, 4, 1e-15);
    one = item(tg_cross_entropy_with(tape, tg_select(tape, x, 0, 1), labels(NULL, 0, t + 1), w, -1,
                                     TG_REDUCE_SUM, 0.1));
    ck_assert(fabs(one - rows[1]) < 1e-15);
}
END_TEST

START_TEST(what_is_ignored_gets_no_gradient)
{
    const int64_t some[] = {1, 7, 2, 0}, all[] = {7, 7, 7, 7};
    double v[12], g[12], row[3] = {NAN, 0, INFINITY};
    memcpy(v, logits, sizeof v);
    memcpy(v + 3, row, sizeof row); /* not even where the logits are no numbers */
    tg_tensor *x = input(DIMS(4, 3), v);
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *y = tg_cross_entropy_with(tape, x, labels(DIMS(4), some), NULL, 7, TG_REDUCE_MEAN, 0.1);
    ck_assert(isfinite(item(y)));
    gradient(y, x, g, 12);
    ck_assert(g[3] == 0 && g[4] == 0 && g[5] == 0 && g[0] > 0 && g[1] < 0);
    y = tg_cross_entropy_with(tape, x, labels(DIMS(4), all), NULL, 7, TG_REDUCE_MEAN, 0);
    ck_assert(isnan(item(y)));
    gradient(y, x, g, 12);
    for (int i = 0; i < 12; i++)
        ck_assert(g[i] == 0);
    ck_assert(item(tg_cross_entropy_with(tape, x, labels(DIMS(4), all), NULL, 7, TG_REDUCE_SUM, 0)) == 0);
}
END_TEST

START_TEST(gradient_of_the_mean)
{
    const int64_t t[] = {1, 2, 0, 0};
    double g[12], p[12];
    tg_tensor *x = input(DIMS(4, 3), logits);
    tg_tensor_set_requires_grad(x, true);
    gradient(tg_cross_entropy(tape, x, labels(DIMS(4), t)), x, g, 12);
    get(tg_softmax(tape, x, 1), p, 12);
    for (int n = 0; n < 4; n++)
        p[3 * n + t[n]] -= 1;
    for (int i = 0; i < 12; i++)
        p[i] /= 4;
    near_to(g, p, 12, 1e-15);
}
END_TEST

START_TEST(labels_out_of_range)
{
    const int64_t bad[] = {0, 2, 10, -3}, least[] = {0, 1, 2, INT64_MIN};
    tg_tensor *x = noisy(2, DIMS(4, 10));
    size_t nodes = tg_tape_size(tape);
    ck_assert(tg_cross_entropy(tape, x, labels(DIMS(4), bad)) == NULL);
    tape_failed_with(TG_EINDEX,
                     "the label at position 2 of target is 10, expected 0 … 9 or ignore_index (-100)");
    ck_assert(tg_cross_entropy(tape, x, labels(DIMS(4), bad)) == NULL);
    tape_failed_with(TG_EINDEX, "2 of 4 labels");
    ck_assert(strstr(tg_error_message(), "test_loss.c:"));
    ck_assert(tg_nll_loss(tape, x, labels(DIMS(4), bad), NULL, 10, TG_REDUCE_SUM) == NULL);
    tape_failed_with(TG_EINDEX, "nll_loss: the label at position 3 of target is -3");
    ck_assert(tg_nll_loss(tape, x, labels(DIMS(4), least), NULL, -1, TG_REDUCE_SUM) == NULL);
    tape_failed_with(TG_EINDEX, "-9223372036854775808");
    /* Position and count are the view's, not the memory's. */
    const int64_t grid[] = {0, 1, 99, 3};
    tg_tensor *t = tg_select(tape, tg_transpose(tape, labels(DIMS(2, 2), grid), 0, 1), 0, 0);
    ck_assert(tg_cross_entropy(tape, tg_narrow(tape, x, 0, 0, 2), t) == NULL);
    tape_failed_with(TG_EINDEX, "position 1 of target is 99");
    ck_assert_int_eq(tg_tape_size(tape), nodes + 1); /* narrow's */
}
END_TEST

START_TEST(what_it_refuses)
{
    const int64_t t[] = {0, 1, 2, 0};
    tg_tensor *x = noisy(3, DIMS(4, 3)), *y = labels(DIMS(4), t);
    ck_assert(tg_cross_entropy(tape, x, labels(DIMS(3), t)) == NULL);
    tape_failed_with(TG_ESHAPE, "target is i64[3], expected i64[4]");
    ck_assert(tg_cross_entropy(tape, x, labels(DIMS(4, 1), t)) == NULL);
    tape_failed_with(TG_ESHAPE, "cross_entropy");
    ck_assert(tg_nll_loss(tape, x, x, NULL, -100, TG_REDUCE_MEAN) == NULL);
    tape_failed_with(TG_EDTYPE, "target is f64[4, 3], expected i64[4]");
    ck_assert(tg_cross_entropy(tape, x, noisy(4, DIMS(4))) == NULL);
    tape_failed_with(TG_ESHAPE, "target is f64[4], expected i64 labels or probabilities f64[4, 3]");
    ck_assert(tg_cross_entropy_with(tape, x, y, noisy(5, DIMS(4)), -100, TG_REDUCE_MEAN, 0) == NULL);
    tape_failed_with(TG_ESHAPE, "weight is f64[4], expected f64[3]");
    ck_assert(tg_cross_entropy_with(tape, x, x, noisy(5, DIMS(4)), -100, TG_REDUCE_MEAN, 0) == NULL);
    tape_failed_with(TG_ESHAPE, "weight is f64[4], expected f64[3]");
    ck_assert(tg_cross_entropy_with(tape, x, y, NULL, -100, TG_REDUCE_MEAN, 1.5) == NULL);
    tape_failed_with(TG_EINVAL, "label_smoothing is 1.5, expected 0 … 1");
    ck_assert(tg_cross_entropy_with(tape, x, x, NULL, -100, TG_REDUCE_MEAN, NAN) == NULL);
    tape_failed_with(TG_EINVAL, "label_smoothing is nan");
    ck_assert(tg_cross_entropy_with(tape, x, x, NULL, 0, TG_REDUCE_MEAN, 0) == NULL);
    tape_failed_with(TG_EINVAL, "ignore_index is 0, but the target holds probabilities");
    ck_assert(tg_cross_entropy_with(tape, x, y, NULL, -100, (tg_reduction)9, 0) == NULL);
    tape_failed_with(TG_EINVAL, "reduction is 9");
    ck_assert(tg_cross_entropy(tape, tg_scalar(tape, TG_F64, 1), y) == NULL);
    tape_failed_with(TG_ESHAPE, "input is a scalar, expected [C] or [N, C, *]");
    ck_assert(tg_cross_entropy(tape, y, y) == NULL);
    tape_failed_with(TG_EDTYPE, "input is i64");
    ck_assert(tg_cross_entropy(tape, x, NULL) == NULL);
    tape_failed_with(TG_EINVAL, "NULL");
}
END_TEST

START_TEST(class_weights_are_constants)
{
    const int64_t t[] = {0, 1, 2, 0};
    tg_tensor *x = noisy(3, DIMS(4, 3)), *w = noisy(4, DIMS(3));
    tg_tensor *y = tg_cross_entropy_with(tape, x, labels(DIMS(4), t), w, -100, TG_REDUCE_SUM, 0);
    ck_assert_int_eq(tg_backward(tape, y), TG_ENODERIV);
    tape_failed_with(TG_ENODERIV, "no derivative with respect to its class weights");
    ck_assert(tg_tensor_grad(x) == NULL);
}
END_TEST

/* -- probabilities ----------------------------------------------------------------------------------------
 */

START_TEST(probabilities)
{
    const int64_t t[] = {1, 2, 0, 0};
    const double hot[] = {0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0};
    double a[4], b[4], g[12], lp[12];
    tg_tensor *x = input(DIMS(4, 3), logits), *q = input(DIMS(4, 3), hot), *y = labels(DIMS(4), t);
    tg_tensor *w = input(DIMS(3), weights);
    for (double s = 0; s < 0.5; s += 0.2) { /* a one-hot target is its label */
        get(tg_cross_entropy_with(tape, x, y, w, -100, TG_REDUCE_NONE, s), a, 4);
        get(tg_cross_entropy_with(tape, x, q, w, -100, TG_REDUCE_NONE, s), b, 4);
        near_to(b, a, 4, 1e-14);
        double sum = a[0] + a[1] + a[2] + a[3];
        ck_assert(fabs(item(tg_cross_entropy_with(tape, x, q, w, -100, TG_REDUCE_SUM, s)) - sum) < 1e-13);
        ck_assert(fabs(item(tg_cross_entropy_with(tape, x, q, w, -100, TG_REDUCE_MEAN, s)) - sum / 4) <
                  1e-13);
    }
    tg_tensor_set_requires_grad(q, true);
    gradient(tg_cross_entropy(tape, x, q), q, g, 12);
    get(tg_log_softmax(tape, x, 1), lp, 12);
    for (int i = 0; i < 12; i++)
        ck_assert(fabs(g[i] + lp[i] / 4) < 1e-15);
}
END_TEST

/* -- a steady state ---------------------------------------------------------------------------------------
 */

static double step(int threads, int64_t n, const float *v, const int64_t *t, float *g)
{
    tg_tape_reset(tape);
    ck_assert_int_eq(tg_tape_set_threads(tape, threads), TG_OK);
    tg_tensor *x = tg_input(tape, TG_F32, (const int64_t[]){n, 10}, 2, v), *gx = NULL;
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *y =
        tg_cross_entropy_with(tape, x, labels((const int64_t[]){n}, 1, t), NULL, 3, TG_REDUCE_MEAN, 0.1);
    double loss = item(y);
    ck_assert_msg(tg_grad(tape, y, NULL, &x, 1, &gx, 0) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_int_eq(tg_tensor_read(gx, g, (size_t)n * 10 * sizeof *g), TG_OK);
    return loss;
}

START_TEST(threads_change_no_bit_and_nothing_is_allocated)
{
    enum { N = 40000 };
    static float v[N * 10], g[2][N * 10];
    static int64_t t[N];
    for (size_t i = 0; i < N * 10; i++)
        v[i] = (float)(5 * noise(1, i));
    for (size_t i = 0; i < N; i++)
        t[i] = (int64_t)(i * 7 % 10);
    double one = step(1, N, v, t, g[0]), two = step(2, N, v, t, g[1]);
    ck_assert(one == two && memcmp(g[0], g[1], sizeof g[0]) == 0);
    step(2, 128, v, t, g[0]);
    step(2, 128, v, t, g[0]);
    long calls = rig_calls;
    for (int i = 0; i < 5; i++)
        step(2, 128, v, t, g[0]);
    ck_assert_msg(rig_calls == calls, "%ld allocations in 5 steps", (long)rig_calls - calls);
}
END_TEST

/* The logarithm is cut off at −100, and so is the derivative's divisor. Values of PyTorch's. */
START_TEST(binary)
{
    const double a[] = {0, 1, 0.5, 0}, b[] = {1, 0, 0.5, 0}, w[] = {1, 2, 3, 4};
    double y[4], g[4];
    tg_tensor *x = input(DIMS(4), a), *t = input(DIMS(4), b), *weight = input(DIMS(4), w), *out = NULL;
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *each = tg_binary_cross_entropy(tape, x, t, NULL, TG_REDUCE_NONE);
    get(each, y, 4);
    near_to(y, (const double[]){100, 100, log(2), 0}, 4, 1e-14);
    ck_assert_int_eq(tg_grad(tape, each, tg_ones_like(tape, x), &x, 1, &out, 0), TG_OK);
    get(out, g, 4);
    near_to(g, (const double[]){-1e12, 1e12, 0, 0}, 4, 1e-3);
    ck_assert(fabs(item(tg_binary_cross_entropy(tape, x, t, weight, TG_REDUCE_SUM)) - (300 + 3 * log(2))) < 1e-12);
    ck_assert(fabs(item(tg_binary_cross_entropy(tape, x, t, weight, TG_REDUCE_MEAN)) - (300 + 3 * log(2)) / 4) < 1e-12);
    size_t nodes = tg_tape_size(tape);
    ck_assert(tg_binary_cross_entropy(tape, tg_add_scalar(tape, t, 1), t, NULL, TG_REDUCE_SUM) == NULL);
    tape_failed_with(TG_EINVAL, "binary_cross_entropy: input has values from 1 to 2, expected 0 … 1");
    ck_assert(tg_binary_cross_entropy(tape, x, weight, NULL, TG_REDUCE_SUM) == NULL);
    tape_failed_with(TG_EINVAL, "target has values from 1 to 4");
    ck_assert(tg_binary_cross_entropy(tape, x, input(DIMS(1), b), NULL, TG_REDUCE_SUM) == NULL);
    tape_failed_with(TG_ESHAPE, "target f64[1] has not the dims of input f64[4]");
    ck_assert(tg_binary_cross_entropy(tape, x, t, NULL, (tg_reduction)9) == NULL);
    tape_failed_with(TG_EINVAL, "binary_cross_entropy: reduction is 9");
    ck_assert_uint_eq(tg_tape_size(tape), nodes);
    ck_assert(tg_binary_cross_entropy(tape, tg_full(tape, TG_F64, DIMS(0), 0), tg_full(tape, TG_F64, DIMS(0), 0), NULL,
                                      TG_REDUCE_NONE) != NULL);
}
END_TEST

/* The scratch of a sum is by positions, not by values: there are none of these. */
START_TEST(no_classes)
{
    enum { N = 200000 };
    tg_tensor *x = tg_full(tape, TG_F64, DIMS(N, 0), 0), *t = tg_full(tape, TG_I64, DIMS(N), -100);
    ck_assert(isnan(item(tg_cross_entropy(tape, x, t))));
    ck_assert(item(tg_nll_loss(tape, x, t, NULL, -100, TG_REDUCE_SUM)) == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("loss");
    TCase *t = tcase_create("mse");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, mse_reductions);
    tcase_add_test(t, mse_broadcasts);
    tcase_add_test(t, mse_warns_of_different_sizes);
    tcase_add_test(t, nothing_to_lose);
    tcase_add_test(t, binary);
    suite_add_tcase(s, t);
    t = tcase_create("labels");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, cross_entropy_of_labels, 0, 4);
    tcase_add_test(t, layouts_agree);
    tcase_add_test(t, what_is_ignored_gets_no_gradient);
    tcase_add_test(t, gradient_of_the_mean);
    tcase_add_test(t, labels_out_of_range);
    tcase_add_test(t, what_it_refuses);
    tcase_add_test(t, class_weights_are_constants);
    tcase_add_test(t, no_classes);
    tcase_add_test(t, probabilities);
    tcase_add_test(t, threads_change_no_bit_and_nothing_is_allocated);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
