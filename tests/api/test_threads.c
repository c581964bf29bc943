/* One runtime and one model in eval mode, read by many tapes at once, a tape a thread. */
#include "support/check_main.h"

#include <stdatomic.h>
#include <string.h>
#include <threads.h>

#include <tapegrad/tapegrad.h>

enum { N_THREADS = 8, STEPS = 40, ROWS = 12, IN = 10, OUT = 4 };

static tg_runtime *rt;
static tg_module *net;
static float x[ROWS * IN], want[ROWS * OUT];

static void setup(void)
{
    tg_runtime_options options = {
        .struct_size = sizeof options, .seed = 2, .threads = 1};
    ck_assert_msg(tg_runtime_open(&rt, &options) == TG_OK, "%s", tg_error_message());
    net = tg_nn_sequential(rt, tg_nn_linear(rt, IN, 16), tg_nn_batch_norm1d(rt, 16), tg_nn_relu(rt),
                           tg_nn_dropout(rt, 0.5), tg_nn_linear(rt, 16, OUT));
    ck_assert_msg(net != NULL, "%s", tg_error_message());
    tg_module_eval(net);
    for (int i = 0; i < ROWS * IN; i++)
        x[i] = (float)((i * 31) % 23) / 11.0f - 1.0f;
    tg_tape *tape = NULL;
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    tg_tensor *y = tg_forward(tape, net, tg_input(tape, TG_F32, (int64_t[]){ROWS, IN}, 2, x));
    ck_assert_int_eq(tg_tensor_read(y, want, sizeof want), TG_OK);
    tg_tape_close(tape);
}

static void teardown(void)
{
    tg_module_destroy(net);
    tg_runtime_close(rt);
}

/* The number of steps that went wrong. */
static int evaluate(void *arg)
{
    (void)arg;
    tg_tape *tape = NULL;
    int wrong = 0;
    if (tg_tape_open(&tape, rt))
        return STEPS;
    for (int i = 0; i < STEPS; i++) {
        float got[ROWS * OUT];
        tg_tape_reset(tape);
        tg_tensor *y = tg_forward(tape, net, tg_input(tape, TG_F32, (int64_t[]){ROWS, IN}, 2, x));
        wrong += tg_tensor_read(y, got, sizeof got) || memcmp(got, want, sizeof got);
    }
    tg_tape_close(tape);
    return wrong;
}

/* A model, an optimizer and a tape of the thread's own in the shared runtime. */
static int train(void *arg)
{
    (void)arg;
    tg_tape *tape = NULL;
    tg_sgd_options sgd = tg_sgd_defaults();
    int wrong = 0;
    sgd.lr = 0.05;
    sgd.momentum = 0.9;
    tg_module *own = tg_nn_sequential(rt, tg_nn_linear(rt, IN, 8), tg_nn_batch_norm1d(rt, 8),
                                      tg_nn_dropout(rt, 0.2), tg_nn_linear(rt, 8, OUT));
    tg_optimizer *optimizer = own ? tg_optim_sgd(rt, tg_module_parameters(own), &sgd) : NULL;
    if (!optimizer || tg_tape_open(&tape, rt))
        return STEPS;
    for (int i = 0; i < STEPS; i++) {
        tg_tape_reset(tape);
        tg_tensor *y = tg_forward(tape, own, tg_input(tape, TG_F32, (int64_t[]){ROWS, IN}, 2, x));
        tg_backward(tape, tg_sum(tape, tg_square(tape, y)));
        wrong += tg_optimizer_step(optimizer, tape) != TG_OK;
    }
    tg_tape_close(tape);
    tg_optimizer_destroy(optimizer);
    tg_module_destroy(own);
    return wrong;
}

static void run_threads(thrd_start_t even, thrd_start_t odd)
{
    thrd_t thread[N_THREADS];
    int wrong = 0;
    uint64_t before = 0, after = 1;
    ck_assert_int_eq(tg_module_checksum(net, &before), TG_OK);
    for (int i = 0; i < N_THREADS; i++)
        ck_assert_int_eq(thrd_create(&thread[i], i % 2 ? odd : even, NULL), thrd_success);
    for (int i = 0; i < N_THREADS; i++) {
        int result = 0;
        thrd_join(thread[i], &result);
        wrong += result;
    }
    ck_assert_int_eq(tg_module_checksum(net, &after), TG_OK);
    ck_assert_int_eq(wrong, 0);
    ck_assert_uint_eq(before, after);
}

START_TEST(many_tapes_read_one_model)
{
    run_threads(evaluate, evaluate);
}
END_TEST

START_TEST(others_train_meanwhile)
{
    run_threads(evaluate, train);
}
END_TEST

/* Errors are a thread's and a tape's own. */
static int fail_here(void *arg)
{
    (void)arg;
    tg_tensor *none = NULL;
    return tg_tensor_create(&none, rt, TG_F32, (int64_t[]){-1}, 1) == TG_OK ||
           !strstr(tg_error_message(), "test_threads.c");
}

START_TEST(errors_are_the_threads_own)
{
    thrd_t thread;
    int result = 1;
    char before[1024];
    ck_assert_ptr_null(tg_nn_dropout(rt, 7.0));
    snprintf(before, sizeof before, "%s", tg_error_message());
    ck_assert_int_eq(thrd_create(&thread, fail_here, NULL), thrd_success);
    thrd_join(thread, &result);
    ck_assert_int_eq(result, 0);
    ck_assert_str_eq(tg_error_message(), before);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("threads");
    TCase *c = tcase_create("threads");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, many_tapes_read_one_model);
    tcase_add_test(c, others_train_meanwhile);
    tcase_add_test(c, errors_are_the_threads_own);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
