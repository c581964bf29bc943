/* Batch norm and layer norm against their definitions in long double, ill-conditioned data, copies of the
 * running statistics, the update row, errors, the same bits for any number of threads. */
#include "layers/rig.h"

#include <tapegrad/operator.h>

/* [N, C, inner]; the last three are cut into several chunks. */
static const int64_t shapes[][3] = {{5, 3, 1}, {128, 70, 1},  {4, 3, 6},     {2, 2, 37},
                                    {1, 3, 2}, {3000, 70, 1}, {90, 2, 2000}, {3, 2, 70000}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static tg_tensor *f32(const int64_t *dims, size_t ndim, const float *values)
{
    tg_tensor *x = tg_input(tape, TG_F32, dims, ndim, values);
    ck_assert_msg(x && tg_tensor_set_requires_grad(x, true) == TG_OK, "%s", tg_tape_error(tape));
    return x;
}

static void get_f32(const tg_tensor *t, float *out, size_t n)
{
    ck_assert_msg(t && tg_tensor_read(t, out, n * sizeof *out) == TG_OK, "%s", tg_tape_error(tape));
}

typedef struct channel {
    long double mean, var, invstd, g, gx; /* sums of gy and of gy·x̂ */
} channel;

static channel look_at(const float *x, const float *gy, const int64_t *s, int64_t c, double eps)
{
    channel h = {0};
    long double n = (long double)s[0] * s[2];
    for (int64_t b = 0; b < s[0]; b++)
        for (int64_t i = 0; i < s[2]; i++)
            h.mean += x[(b * s[1] + c) * s[2] + i] / n;
    for (int64_t b = 0; b < s[0]; b++)
        for (int64_t i = 0; i < s[2]; i++) {
            long double d = x[(b * s[1] + c) * s[2] + i] - h.mean;
            h.var += d * d / n;
        }
    h.invstd = 1 / sqrtl(h.var + eps);
    for (int64_t b = 0; b < s[0]; b++)
        for (int64_t i = 0; i < s[2]; i++) {
            int64_t at = (b * s[1] + c) * s[2] + i;
            h.g += gy[at];
            h.gx += gy[at] * (x[at] - h.mean) * h.invstd;
        }
    return h;
}

static void close_to(float got, long double want, long double scale)
{
    ck_assert_msg(fabsl(got - want) <= 2e-6L * scale, "got %.9g, want %.9Lg", (double)got, want);
}

typedef struct data {
    size_t count;
    float *x, *gy, *y, *gx, w[70], b[70], mean[70], var[70], gw[70], gb[70];
} data;

static data make_data(const int64_t *s)
{
    data d = {.count = (size_t)(s[0] * s[1] * s[2])};
    float *all = malloc(4 * d.count * sizeof *all);
    d.x = all, d.gy = all + d.count, d.y = d.gy + d.count, d.gx = d.y + d.count;
    for (size_t i = 0; i < d.count; i++) {
        d.x[i] = (float)(3 * noise(1, i) + 2);
        d.gy[i] = (float)noise(2, i);
    }
    for (size_t c = 0; c < 70; c++) {
        d.w[c] = (float)(1 + 0.5 * noise(3, c));
        d.b[c] = (float)noise(4, c);
    }
    return d;
}

static void run_batch_norm(data *d, const int64_t *s, int threads)
{
    tg_tape_reset(tape);
    ck_assert_int_eq(tg_tape_set_threads(tape, threads), TG_OK);
    size_t ndim = s[2] > 1 ? 3 : 2, channels = (size_t)s[1];
    tg_tensor *x = f32(s, ndim, d->x), *gy = f32(s, ndim, d->gy), *w = f32(s + 1, 1, d->w),
              *b = f32(s + 1, 1, d->b);
    tg_tensor *mean, *var, *g[3];
    tg_tensor *y = tg_batch_norm_train(tape, x, w, b, 1e-3, &mean, &var);
    get_f32(y, d->y, d->count);
    get_f32(mean, d->mean, channels);
    get_f32(var, d->var, channels);
    ck_assert(!tg_tensor_requires_grad(mean) && !tg_tensor_requires_grad(var));
    ck_assert_msg(tg_grad(tape, y, gy, (tg_tensor *[]){x, w, b}, 3, g, 0) == TG_OK, "%s",
                  tg_tape_error(tape));
    get_f32(g[0], d->gx, d->count);
    get_f32(g[1], d->gw, channels);
    get_f32(g[2], d->gb, channels);
}

START_TEST(train_agrees_with_its_definition)
{
    const int64_t *s = shapes[_i];
    data d = make_data(s);
    long double n = (long double)s[0] * s[2];
    run_batch_norm(&d, s, 2);
    for (int64_t c = 0; c < s[1]; c++) {
        channel h = look_at(d.x, d.gy, s, c, 1e-3);
        close_to(d.mean[c], h.mean, 1);
        close_to(d.var[c], h.var, 1);
        close_to(d.gb[c], h.g, 1 + sqrtl(n));
        close_to(d.gw[c], h.gx, 1 + sqrtl(n));
        for (int64_t b = 0; b < s[0]; b++)
            for (int64_t i = 0; i < s[2]; i++) {
                int64_t at = (b * s[1] + c) * s[2] + i;
                long double hat = (d.x[at] - h.mean) * h.invstd;
                close_to(d.y[at], hat * d.w[c] + d.b[c], 4);
                close_to(d.gx[at], d.w[c] * h.invstd * (d.gy[at] - h.g / n - hat * h.gx / n),
                         1 + fabsl(h.invstd));
            }
    }
    free(d.x);
}
END_TEST

START_TEST(threads_change_no_bit)
{
    const int64_t *s = shapes[_i];
    data one = make_data(s), two = make_data(s);
    rig_reopen_on_reference();
    run_batch_norm(&one, s, 1);
    run_batch_norm(&two, s, 2);
    ck_assert(memcmp(one.x, two.x, 4 * one.count * sizeof(float)) == 0);
    ck_assert(memcmp(one.mean, two.mean, (size_t)s[1] * 4) == 0 &&
              memcmp(one.var, two.var, (size_t)s[1] * 4) == 0);
    ck_assert(memcmp(one.gw, two.gw, (size_t)s[1] * 4) == 0 && memcmp(one.gb, two.gb, (size_t)s[1] * 4) == 0);
    free(one.x), free(two.x);
}
END_TEST

/* Mean 1e6 and variance 0.01: αx + β′ would keep no digit. */
START_TEST(ill_conditioned)
{
    double v[40], y[40], mean = 1e6, var = 0.01;
    for (int i = 0; i < 40; i++)
        v[i] = 1e6 + (i % 2 ? 0.1 : -0.1);
    tg_tensor *x = input(DIMS(40, 1), v), *m, *s;
    get(tg_batch_norm_train(tape, x, NULL, NULL, 0, &m, &s), y, 40);
    ck_assert(item(m) == 1e6 && fabs(item(s) - 0.01) < 1e-11); /* 0.1 itself is rounded beside 1e6 */
    for (int i = 0; i < 40; i++)
        ck_assert(fabs(fabs(y[i]) - 1) < 1e-15);
    get(tg_batch_norm_eval(tape, x, input(DIMS(1), &mean), input(DIMS(1), &var), NULL, NULL, 0), y, 40);
    for (int i = 0; i < 40; i++)
        ck_assert(fabs(fabs(y[i]) - 1) < 1e-9);
    float f[40], z[40]; /* f32 at 1e6 has steps of 1/16: mean 1e6 + 1/48 is between two of them */
    for (int i = 0; i < 40; i++)
        f[i] = i % 3 == 1 && i < 39 ? 1e6f + 0.0625f : 1e6f;
    get_f32(tg_batch_norm_train(tape, f32(DIMS(40, 1), f), NULL, NULL, 0, NULL, NULL), z, 40);
    double p = 13.0 / 40, sd = sqrt(p * (1 - p));
    for (int i = 0; i < 40; i++)
        ck_assert_msg(fabs((double)z[i] - (f[i] > 1e6f ? 1 - p : -p) / sd) < 1e-5, "%d: %g", i, (double)z[i]);
}
END_TEST

START_TEST(eval_keeps_its_own_statistics)
{
    double v[] = {1, 2, 3, 4}, rm[] = {1, -1}, rv[] = {4, 0.25}, ones[] = {1, 1}, g[4];
    tg_tensor *mean, *var;
    ck_assert_int_eq(tg_tensor_create(&mean, rt, TG_F64, DIMS(2)), TG_OK);
    ck_assert_int_eq(tg_tensor_create(&var, rt, TG_F64, DIMS(2)), TG_OK);
    put(mean, rm, 2);
    put(var, rv, 2);
    tg_tensor *x = input(DIMS(2, 2), v), *w = input(DIMS(2), ones), *gx[2];
    tg_tensor_set_requires_grad(x, true);
    tg_tensor_set_requires_grad(w, true);
    tg_tensor *y = tg_batch_norm_eval(tape, x, mean, var, w, NULL, 0);
    get(y, g, 4);
    near_to(g, (const double[]){0, 6, 1, 10}, 4, 1e-15);
    put(mean, (const double[]){50, 50}, 2); /* a train step in between */
    put(var, (const double[]){9, 9}, 2);
    ck_assert_msg(tg_grad(tape, tg_sum(tape, y), NULL, (tg_tensor *[]){x, w}, 2, gx, 0) == TG_OK, "%s",
                  tg_tape_error(tape));
    get(gx[0], g, 4);
    near_to(g, (const double[]){0.5, 2, 0.5, 2}, 4, 1e-15);
    get(gx[1], g, 2);
    near_to(g, (const double[]){1, 16}, 2, 1e-15);
    tg_tensor_destroy(mean);
    tg_tensor_destroy(var);
}
END_TEST

START_TEST(a_weight_that_was_overwritten_is_an_error)
{
    tg_tensor *x = noisy(1, DIMS(4, 2)), *w = noisy(2, DIMS(2));
    tg_tensor *y = tg_sum(tape, tg_batch_norm_train(tape, x, w, NULL, 1e-5, NULL, NULL));
    put(w, (const double[]){5, 6}, 2);
    ck_assert_int_eq(tg_backward(tape, y), TG_ESTATE);
    tg_tape_clear_error(tape);
}
END_TEST

START_TEST(an_empty_batch)
{
    double got[2];
    tg_tensor *x = input(DIMS(0, 2, 3), NULL), *w = noisy(2, DIMS(2)), *b = noisy(3, DIMS(2)), *g[3];
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *y = tg_batch_norm_train(tape, x, w, b, 1e-5, NULL, NULL);
    ck_assert(tg_tensor_ndim(y) == 3 && tg_tensor_count(y) == 0);
    ck_assert_msg(tg_grad(tape, tg_sum(tape, y), NULL, (tg_tensor *[]){x, w, b}, 3, g, 0) == TG_OK, "%s",
                  tg_tape_error(tape));
    ck_assert_int_eq(tg_tensor_count(g[0]), 0);
    get(g[1], got, 2);
    ck_assert(got[0] == 0 && got[1] == 0);
    get(g[2], got, 2);
    ck_assert(got[0] == 0 && got[1] == 0);
}
END_TEST

/* -- running statistics -----------------------------------------------------------------------------------
 */

START_TEST(updates_run_in_order)
{
    const double mean[] = {1, 2}, var[] = {3, 4}, start[] = {10, 20};
    double m[2], v[2];
    int64_t count = 0;
    tg_tensor *rm, *rv, *n;
    ck_assert_int_eq(tg_tensor_create(&rm, rt, TG_F64, DIMS(2)), TG_OK);
    ck_assert_int_eq(tg_tensor_create(&rv, rt, TG_F64, DIMS(2)), TG_OK);
    ck_assert_int_eq(tg_tensor_create(&n, rt, TG_I64, NULL, 0), TG_OK);
    put(rm, start, 2);
    put(rv, start, 2);
    tg_tensor *mu = input(DIMS(2), mean), *s = input(DIMS(2), var);
    tg_tensor *in[] = {rm, rv, n, mu, s, rm, rv, n, mu, s, rm, rv, n, mu, s};
    /* Momentum 0.5 of 5 values, the plain average's 1/2, and an empty batch. */
    const double scalars[] = {0.5, 5, NAN, 3, 0.5, 0};
    const tg_operator *op = tg_operator_find(rt, "batch_norm_update");
    ck_assert_msg(tg_apply(tape, op, in, 15, NULL, scalars, NULL) == TG_OK, "%s", tg_tape_error(tape));
    get(rm, m, 2);
    get(rv, v, 2);
    ck_assert_int_eq(tg_tensor_read(n, &count, sizeof count), TG_OK);
    ck_assert_int_eq(count, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert(m[i] == ((start[i] + mean[i]) / 2 + mean[i]) / 2);
        ck_assert(fabs(v[i] - ((start[i] + var[i] * 5 / 4) / 2 + var[i] * 3 / 2) / 2) < 1e-14);
    }
    in[4] = mu, in[3] = tg_input(tape, TG_F64, DIMS(3), NULL);
    ck_assert_int_eq(tg_apply(tape, op, in, 5, NULL, scalars, NULL), TG_ESHAPE);
    tape_failed_with(TG_ESHAPE, "mean is f64[3], expected f64[2]");
    tg_tensor_destroy(rm), tg_tensor_destroy(rv), tg_tensor_destroy(n);
}
END_TEST

/* -- layer norm -------------------------------------------------------------------------------------------
 */

static void run_layer_norm(data *d, const int64_t *s, int threads, float *gw, float *gb)
{
    tg_tape_reset(tape);
    ck_assert_int_eq(tg_tape_set_threads(tape, threads), TG_OK);
    tg_tensor *x = f32(s, 2, d->x), *gy = f32(s, 2, d->gy), *w = f32(s + 1, 1, d->w),
              *b = f32(s + 1, 1, d->b), *g[3];
    tg_tensor *y = tg_layer_norm(tape, x, 1, w, b, 1e-3);
    get_f32(y, d->y, d->count);
    ck_assert_msg(tg_grad(tape, y, gy, (tg_tensor *[]){x, w, b}, 3, g, 0) == TG_OK, "%s",
                  tg_tape_error(tape));
    get_f32(g[0], d->gx, d->count);
    get_f32(g[1], gw, (size_t)s[1]);
    get_f32(g[2], gb, (size_t)s[1]);
}

START_TEST(layer_norm_agrees_with_its_definition)
{
    static const int64_t sizes[][3] = {{3, 5, 1}, {2000, 33, 1}, {7, 70, 1}};
    const int64_t *s = sizes[_i], n = s[1];
    data d = make_data(s), again = make_data(s);
    float gw[2][70], gb[2][70];
    long double sw[70] = {0}, sb[70] = {0};
    run_layer_norm(&d, s, 2, gw[0], gb[0]);
    run_layer_norm(&again, s, 1, gw[1], gb[1]);
    ck_assert(memcmp(d.x, again.x, 4 * d.count * sizeof(float)) == 0);
    if (on_reference())
        ck_assert(memcmp(gw[0], gw[1], (size_t)n * 4) == 0 && memcmp(gb[0], gb[1], (size_t)n * 4) == 0);
    for (int64_t r = 0; r < s[0]; r++) {
        const float *x = d.x + r * n, *gy = d.gy + r * n;
        long double mean = 0, var = 0, sum = 0, dot = 0;
        for (int64_t i = 0; i < n; i++)
            mean += (long double)x[i] / n;
        for (int64_t i = 0; i < n; i++)
            var += (x[i] - mean) * (x[i] - mean) / n;
        long double rstd = 1 / sqrtl(var + 1e-3L);
        for (int64_t i = 0; i < n; i++) {
            long double hat = (x[i] - mean) * rstd, g = (long double)gy[i] * d.w[i];
            close_to(d.y[r * n + i], hat * d.w[i] + d.b[i], 4);
            sw[i] += gy[i] * hat;
            sb[i] += gy[i];
            sum += g / n;
            dot += g * hat / n;
        }
        for (int64_t i = 0; i < n; i++) {
            long double hat = (x[i] - mean) * rstd;
            close_to(d.gx[r * n + i], rstd * ((long double)gy[i] * d.w[i] - sum - hat * dot), 1 + rstd);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        for (int t = 0; t < 2; t++) {
            close_to(gw[t][i], sw[i], 1 + sqrtl(s[0]));
            close_to(gb[t][i], sb[i], 1 + sqrtl(s[0]));
        }
    }
    free(d.x), free(again.x);
}
END_TEST

START_TEST(what_it_refuses)
{
    tg_tensor *x = noisy(1, DIMS(4, 3)), *row = noisy(2, DIMS(3)), *four = noisy(3, DIMS(4));
    ck_assert(tg_batch_norm_train(tape, row, NULL, NULL, 1e-5, NULL, NULL) == NULL);
    tape_failed_with(TG_ESHAPE, "x has 1 dims, expected [N, C] or [N, C, *]");
    ck_assert(tg_batch_norm_train(tape, x, four, NULL, 1e-5, NULL, NULL) == NULL);
    tape_failed_with(TG_ESHAPE, "weight is f64[4], expected f64[3]");
    ck_assert(tg_batch_norm_train(tape, x, row, tg_to(tape, row, TG_F32), 1e-5, NULL, NULL) == NULL);
    tape_failed_with(TG_EDTYPE, "bias is f32[3], expected f64[3]");
    ck_assert(tg_batch_norm_train(tape, x, NULL, NULL, -1, NULL, NULL) == NULL);
    tape_failed_with(TG_EINVAL, "eps is -1");
    ck_assert(tg_batch_norm_eval(tape, x, row, row, NULL, NULL, NAN) == NULL);
    tape_failed_with(TG_EINVAL, "eps is nan");
    ck_assert(tg_batch_norm_eval(tape, x, row, four, NULL, NULL, 1e-5) == NULL);
    tape_failed_with(TG_ESHAPE, "running_var is f64[4], expected f64[3]");
    ck_assert(tg_batch_norm_eval(tape, x, NULL, row, NULL, NULL, 1e-5) == NULL);
    tape_failed_with(TG_EINVAL, "NULL");
    ck_assert(tg_layer_norm(tape, x, 0, NULL, NULL, 1e-5) == NULL);
    tape_failed_with(TG_ESHAPE, "0 trailing dims of x are to be normalised, expected 1 … 2");
    ck_assert(tg_layer_norm(tape, x, 3, NULL, NULL, 1e-5) == NULL);
    tape_failed_with(TG_ESHAPE, "expected 1 … 2");
    ck_assert(tg_layer_norm(tape, x, 2, row, NULL, 1e-5) == NULL);
    tape_failed_with(TG_ESHAPE, "weight is f64[3], expected f64[4, 3]");
    tg_tensor *mean = x;
    ck_assert(tg_batch_norm_train(tape, tg_input(tape, TG_I64, DIMS(2, 2), NULL), NULL, NULL, 1e-5, &mean,
                                  NULL) == NULL);
    ck_assert(mean == NULL);
    tape_failed_with(TG_EDTYPE, "x is i64");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("norm");
    TCase *t = tcase_create("norm");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, train_agrees_with_its_definition, 0, N_SHAPES);
    tcase_add_loop_test(t, threads_change_no_bit, 0, N_SHAPES);
    tcase_add_test(t, ill_conditioned);
    tcase_add_test(t, eval_keeps_its_own_statistics);
    tcase_add_test(t, a_weight_that_was_overwritten_is_an_error);
    tcase_add_test(t, an_empty_batch);
    tcase_add_test(t, updates_run_in_order);
    tcase_add_loop_test(t, layer_norm_agrees_with_its_definition, 0, 3);
    tcase_add_test(t, what_it_refuses);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
