/* TAPEGRAD_VERIFY: a wrong kernel is named with the user's line, forward, backward and in place; a right one is not,
 * and nothing advances twice. */
#include "abi/rig.h"

#include <string.h>

#include <tapegrad/operator.h>

static void setup(void)
{
    fresh_env();
    env("TAPEGRAD_VERIFY", "reference");
}

static void teardown(void)
{
    env("TAPEGRAD_VERIFY", NULL);
}

static tg_tensor *three(tg_tape *tape)
{
    return tg_input(tape, TG_F32, TG_DIMS(3), (const float[]){1, 2, 3});
}

START_TEST(a_right_kernel_passes)
{
    tg_runtime *rt = open_chain("good");
    tg_tape *tape = open_tape(rt);
    check_neg(tape, "good");
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

START_TEST(a_wrong_one_is_named)
{
    tg_runtime *rt = open_chain("wrong");
    tg_tape *tape = open_tape(rt);
    tg_tensor *x = tg_transpose(tape, tg_input(tape, TG_F32, TG_DIMS(2, 3), (const float[]){1, 2, 3, 4, 5, 6}), 0, 1);
    ck_assert_ptr_null(tg_neg(tape, x));
    const int line = __LINE__ - 1;
    char place[40];
    snprintf(place, sizeof place, "(test_verify.c:%d)", line);
    ck_assert_int_eq(tg_tape_status(tape), TG_EBACKEND);
    has(tg_tape_error(tape), "verify: neg(f32[3, 2] with strides (1, 3)) on backend 'wrong' differs from 'reference'");
    has(tg_tape_error(tape), "result 0, f32[3, 2], has -5.5 at [2, 1], expected -6: off by 0.5");
    has(tg_tape_error(tape), place);
    ck_assert_ptr_null(tg_exp(tape, x)); /* it sticks */
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

START_TEST(a_wrong_one_in_a_backward)
{
    tg_runtime *rt = open_chain("wrong");
    tg_tape *tape = open_tape(rt);
    tg_tensor *a = three(tape), *b = three(tape);
    tg_tensor_set_requires_grad(b, true);
    tg_tensor *y = tg_sub(tape, a, b);
    const int line = __LINE__ - 1;
    tg_tensor *gb = NULL;
    ck_assert_int_eq(tg_grad(tape, tg_sum(tape, y), NULL, &b, 1, &gb, 0), TG_EBACKEND);
    char who[40];
    snprintf(who, sizeof who, "test_verify.c:%d), on backend", line);
    has(tg_tape_error(tape), "for the backward of sub (called at ");
    has(tg_tape_error(tape), who);
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

START_TEST(what_was_written_is_put_back)
{
    tg_runtime *rt = open_chain("wrong");
    tg_tape *tape = open_tape(rt);
    const tg_operator *fill = tg_operator_find(rt, "fill_");
    tg_tensor *x = three(tape);
    float after[3];
    ck_assert_int_eq(tg_apply(tape, fill, &x, 1, NULL, &(double){7}, NULL), TG_EBACKEND);
    has(tg_tape_error(tape), "its written input 0, f32[3], has 41 at [0], expected 7");
    ck_assert_int_eq(tg_tensor_read(x, after, sizeof after), TG_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(after[i], (float)(i + 1));
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

/* Two steps of a network with everything that has a state; returns its loss. */
static float train(const char *chain, tg_random_state *state, float *running)
{
    tg_runtime *rt = open_chain(chain);
    tg_tape *tape = open_tape(rt);
    tg_module *norm = tg_nn_batch_norm1d(rt, 16);
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, 8, 16), norm, tg_nn_relu(rt), tg_nn_dropout(rt, 0.5),
                                      tg_nn_linear(rt, 16, 4));
    tg_optimizer *opt = tg_optim_sgd(rt, tg_module_parameters(net), &(tg_sgd_options){.lr = 0.1, .momentum = 0.9});
    float loss = 0, x[20 * 8];
    for (int i = 0; i < 20 * 8; i++)
        x[i] = (float)(i * 7 % 13) * 0.1f;
    int64_t labels[20];
    for (int i = 0; i < 20; i++)
        labels[i] = i % 4;
    for (int step = 0; step < 2; step++) {
        tg_tape_reset(tape);
        tg_tensor *y = tg_forward(tape, net, tg_input(tape, TG_F32, TG_DIMS(20, 8), x));
        tg_tensor *l = tg_cross_entropy(tape, y, tg_input(tape, TG_I64, TG_DIMS(20), labels));
        tg_backward(tape, l);
        tg_optimizer_step(opt, tape);
        ck_assert_msg(tg_tape_status(tape) == TG_OK, "%s", tg_tape_error(tape));
        ck_assert_int_eq(tg_tensor_read(l, &loss, sizeof loss), TG_OK);
    }
    *state = tg_tape_random_state(tape);
    ck_assert_int_eq(tg_tensor_read(tg_module_tensor(norm, "running_mean"), running, 16 * sizeof *running), TG_OK);
    tg_tape_close(tape);
    tg_optimizer_destroy(opt);
    tg_module_destroy(net);
    tg_runtime_close(rt);
    return loss;
}

START_TEST(states_advance_once)
{
    tg_random_state with, without;
    float mean_with[16], mean_without[16];
    float verified = train("good,reference", &with, mean_with);
    env("TAPEGRAD_VERIFY", NULL);
    float plain = train("good,reference", &without, mean_without);
    ck_assert_float_eq(verified, plain);
    ck_assert_uint_eq(with.draw, without.draw);
    ck_assert_mem_eq(mean_with, mean_without, sizeof mean_with);
}
END_TEST

/* Values in oneDNN's layouts, outputs that only a rule reads, and sums of hundreds that come to nothing (the gradient of
 * a bias before a normalisation). */
START_TEST(a_network_of_convolutions_passes)
{
    if (!HAVE_ONEDNN)
        TG_SKIP("no oneDNN here");
    enum { N = 4, SIDE = 16 };
    tg_runtime *rt = open_chain("onednn,reference");
    tg_tape *tape = open_tape(rt);
    tg_module *net = tg_nn_sequential(rt, tg_nn_conv2d(rt, 3, 16, 3), tg_nn_batch_norm2d(rt, 16), tg_nn_relu(rt),
                                      tg_nn_conv2d(rt, 16, 32, 3), tg_nn_sigmoid(rt), tg_nn_max_pool2d(rt, 2),
                                      tg_nn_flatten(rt), tg_nn_linear(rt, 32 * 6 * 6, 64),
                                      tg_nn_layer_norm(rt, TG_DIMS(64)), tg_nn_linear(rt, 64, 10));
    tg_optimizer *opt = tg_optim_sgd(rt, tg_module_parameters(net), &(tg_sgd_options){.lr = 0.05});
    static float x[N * 3 * SIDE * SIDE];
    for (int i = 0; i < N * 3 * SIDE * SIDE; i++)
        x[i] = (float)(i * 7 % 23 - 11) * 0.1f;
    const int64_t labels[N] = {1, 2, 3, 4};
    for (int step = 0; step < 3; step++) {
        tg_tape_reset(tape);
        tg_tensor *y = tg_forward(tape, net, tg_input(tape, TG_F32, TG_DIMS(N, 3, SIDE, SIDE), x));
        tg_backward(tape, tg_cross_entropy(tape, y, tg_input(tape, TG_I64, TG_DIMS(N), labels)));
        ck_assert_msg(tg_optimizer_step(opt, tape) == TG_OK, "%s", tg_tape_error(tape));
    }
    ck_assert_uint_gt(tg_tape_count_runs(tape, "convolution", "onednn"), 0);
    ck_assert_uint_gt(tg_tape_count_runs(tape, "convolution_backward_weights", "onednn"), 0);
    tg_tape_close(tape);
    tg_optimizer_destroy(opt);
    tg_module_destroy(net);
    tg_runtime_close(rt);
}
END_TEST

START_TEST(values_of_the_variable)
{
    env("TAPEGRAD_VERIFY", "fpga");
    ck_assert_int_eq(refused("reference"), TG_EBACKEND);
    has(tg_error_message(), "TAPEGRAD_VERIFY=fpga: unknown backend");
    static const char *const bad[] = {"reference:", "reference:x", "reference:-1", "reference:0", "reference:2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        env("TAPEGRAD_VERIFY", bad[i]);
        ck_assert_int_eq(refused("reference"), TG_EINVAL);
        has(tg_error_message(), "NAME:TOLERANCE");
    }
    env("TAPEGRAD_VERIFY", "reference:0.9"); /* wrong by 0.5 of 3 */
    tg_runtime *rt = open_chain("wrong");
    tg_tape *tape = open_tape(rt);
    ck_assert_ptr_nonnull(tg_neg(tape, three(tape)));
    tg_tape_close(tape);
    tg_runtime_close(rt);
    env("TAPEGRAD_VERIFY", "0");
    rt = open_chain("wrong");
    tape = open_tape(rt);
    ck_assert_ptr_nonnull(tg_neg(tape, three(tape)));
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

/* The other way round: the reference's kernels against a plug-in's. */
START_TEST(against_another_backend)
{
    env("TAPEGRAD_VERIFY", "wrong");
    tg_runtime *rt = open_chain("reference");
    tg_tape *tape = open_tape(rt);
    ck_assert_ptr_null(tg_neg(tape, three(tape)));
    has(tg_tape_error(tape), "on backend 'reference' differs from 'wrong,reference'");
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("verify");
    TCase *t = tcase_create("verify");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_right_kernel_passes);
    tcase_add_test(t, a_wrong_one_is_named);
    tcase_add_test(t, a_wrong_one_in_a_backward);
    tcase_add_test(t, what_was_written_is_put_back);
    tcase_add_test(t, states_advance_once);
    tcase_add_test(t, a_network_of_convolutions_passes);
    tcase_add_test(t, values_of_the_variable);
    tcase_add_test(t, against_another_backend);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
