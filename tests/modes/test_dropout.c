/* MODES.md, "Dropout": one case a row. */
#include "layers/rig.h"

enum { N = 10000 };

static tg_tensor *ones(void)
{
    static double v[N];
    for (int i = 0; i < N; i++)
        v[i] = 1;
    tg_tensor *x = input(DIMS(N / 100, 100), v);
    ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
    return x;
}

static const double probabilities[] = {0.1, 0.3, 0.5, 0.9};

START_TEST(train_drops_scales_and_keeps_the_mask)
{
    static double y[N], g[N];
    double p = probabilities[_i], scale = 1 / (1 - p), sum = 0;
    tg_module *d = tg_nn_dropout(rt, p);
    tg_tensor *x = ones(), *out = tg_forward(tape, d, x);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_mul_scalar(tape, out, 3))), TG_OK);
    get(out, y, N);
    get(tg_tensor_grad(x), g, N);
    size_t kept = 0;
    for (int i = 0; i < N; i++) {
        ck_assert_msg(y[i] == 0 || fabs(y[i] - scale) < 1e-15 * scale, "element %d is %.17g", i, y[i]);
        ck_assert_double_eq_tol(g[i], 3 * y[i], 1e-12); /* the same mask, the same factor */
        kept += y[i] != 0;
        sum += y[i];
    }
    double deviation = sqrt(N * p * (1 - p));
    ck_assert_msg(fabs((double)kept - N * (1 - p)) < 5 * deviation, "kept %zu of %d with p = %g", kept, N, p);
    ck_assert_double_eq_tol(sum / N, 1, 5 * scale * deviation / N); /* the expected value stays */
    tg_module_destroy(d);
}
END_TEST

START_TEST(eval_is_the_input_itself)
{
    tg_module *d = tg_nn_dropout(rt, 0.5);
    tg_module_eval(d);
    tg_tensor *x = ones();
    tg_random_state before = tg_tape_random_state(tape);
    ck_assert_ptr_eq(tg_forward(tape, d, x), x);
    ck_assert_uint_eq(tg_tape_size(tape), 0);
    ck_assert(same_state(before, tg_tape_random_state(tape)));
    tg_module_destroy(d);
}
END_TEST

START_TEST(p_0_is_the_input_itself)
{
    tg_module *d = tg_nn_dropout(rt, 0);
    tg_tensor *x = ones();
    tg_random_state before = tg_tape_random_state(tape);
    ck_assert_ptr_eq(tg_forward(tape, d, x), x);
    ck_assert_uint_eq(tg_tape_size(tape), 0);
    ck_assert(same_state(before, tg_tape_random_state(tape)));
    tg_module_destroy(d);
}
END_TEST

START_TEST(p_1_is_zeros_with_zero_gradient)
{
    static double y[N], g[N];
    static const double zero[N];
    tg_module *d = tg_nn_dropout(rt, 1);
    tg_tensor *x = ones(), *out = tg_forward(tape, d, x);
    get(out, y, N);
    ck_assert_mem_eq(y, zero, sizeof y);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, out)), TG_OK);
    get(tg_tensor_grad(x), g, N);
    ck_assert_mem_eq(g, zero, sizeof g);
    tg_module_destroy(d);
}
END_TEST

static const double bad[] = {-0.1, 1.0000001, NAN, INFINITY, -INFINITY, -1e-300};

START_TEST(p_out_of_range)
{
    ck_assert_ptr_null(tg_nn_dropout(rt, bad[_i]));
    ck_assert_msg(strstr(tg_error_message(), "Dropout: p is") != NULL, "%s", tg_error_message());
    tg_attr p = {"p", TG_ATTR_REAL, {.f = bad[_i]}};
    ck_assert_ptr_null(tg_module_create(rt, "Dropout", &p, 1));
}
END_TEST

static const double dropped[] = {INFINITY, -INFINITY, NAN};

START_TEST(a_dropped_inf_or_nan_is_0)
{
    double v[64], y[64], g[64];
    for (int i = 0; i < 64; i++)
        v[i] = dropped[_i];
    tg_module *d = tg_nn_dropout(rt, 0.5);
    tg_tensor *x = input(DIMS(64), v), *gy = input(DIMS(64), v);
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *out = tg_forward(tape, d, x);
    ck_assert_int_eq(tg_backward_with(tape, out, gy, 0), TG_OK);
    get(out, y, 64);
    get(tg_tensor_grad(x), g, 64);
    size_t zeros = 0;
    for (int i = 0; i < 64; i++) {
        zeros += y[i] == 0;
        ck_assert(y[i] == 0 || y[i] == v[i] || (isnan(y[i]) && isnan(v[i])));
        ck_assert((y[i] == 0) == (g[i] == 0)); /* selected in backward, too */
    }
    ck_assert_uint_gt(zeros, 10);
    ck_assert_uint_lt(zeros, 54);
    tg_module_destroy(d);
}
END_TEST

/* The mask: a function of (seed, draw, element) and of nothing else. */
static void mask(tg_random_state state, int threads, double out[N])
{
    tg_tape_set_threads(tape, threads);
    tg_tape_set_random_state(tape, state);
    tg_module *d = tg_nn_dropout(rt, 0.5);
    get(tg_forward(tape, d, ones()), out, N);
    tg_module_destroy(d);
    tg_tape_reset(tape);
}

START_TEST(the_mask_is_a_function_of_seed_draw_and_element)
{
    static double a[N], b[N];
    mask((tg_random_state){5, 9}, 1, a);
    mask((tg_random_state){5, 9}, 2, b);
    ck_assert_mem_eq(a, b, sizeof a);
    mask((tg_random_state){5, 10}, 2, b);
    ck_assert_mem_ne(a, b, sizeof a);
    mask((tg_random_state){6, 9}, 2, b);
    ck_assert_mem_ne(a, b, sizeof a);
}
END_TEST

START_TEST(the_mask_is_the_same_on_another_backend)
{
    static double a[N], b[N];
    mask((tg_random_state){5, 9}, 2, a);
    rig_close();
    if (rig_open_runtime(TG_F64, 2, "blis,reference") || tg_tape_open(&tape, rt)) {
        rig_open();
        TG_SKIP("no blis backend: %s", tg_error_message());
    }
    mask((tg_random_state){5, 9}, 2, b);
    ck_assert_mem_eq(a, b, sizeof a);
}
END_TEST

START_TEST(each_forward_takes_one_draw)
{
    static double a[N], b[N];
    tg_module *d = tg_nn_dropout(rt, 0.5);
    tg_random_state before = tg_tape_random_state(tape);
    get(tg_forward(tape, d, ones()), a, N);
    get(tg_forward(tape, d, ones()), b, N);
    ck_assert_mem_ne(a, b, sizeof a);
    ck_assert_uint_eq(tg_tape_random_state(tape).draw, before.draw + 2);
    tg_module_destroy(d);
}
END_TEST

START_TEST(inplace_is_accepted_and_changes_nothing)
{
    static double v[N];
    tg_module *d = tg_module_create(
        rt, "Dropout", (tg_attr[]){{"p", TG_ATTR_REAL, {.f = 0.5}}, {"inplace", TG_ATTR_BOOL, {.b = true}}},
        2);
    ck_assert_ptr_nonnull(d);
    tg_tensor *x = ones();
    ck_assert_ptr_ne(tg_forward(tape, d, x), x);
    get(x, v, N);
    for (int i = 0; i < N; i++)
        ck_assert_double_eq(v[i], 1);
    tg_module_destroy(d);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dropout");
    TCase *c = tcase_create("dropout");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_loop_test(c, train_drops_scales_and_keeps_the_mask, 0, 4);
    tcase_add_test(c, eval_is_the_input_itself);
    tcase_add_test(c, p_0_is_the_input_itself);
    tcase_add_test(c, p_1_is_zeros_with_zero_gradient);
    tcase_add_loop_test(c, p_out_of_range, 0, 6);
    tcase_add_loop_test(c, a_dropped_inf_or_nan_is_0, 0, 3);
    tcase_add_test(c, the_mask_is_a_function_of_seed_draw_and_element);
    tcase_add_test(c, the_mask_is_the_same_on_another_backend);
    tcase_add_test(c, each_forward_takes_one_draw);
    tcase_add_test(c, inplace_is_accepted_and_changes_nothing);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
