/* MODES.md, "Modes" and "Where PyTorch is wrong and this is right": one case a row. */
#include "layers/rig.h"

#include <threads.h>

static tg_module *bn_net(void)
{
    tg_module *net =
        tg_nn_sequential(rt, tg_nn_linear(rt, 4, 3), tg_nn_batch_norm1d(rt, 3), tg_nn_dropout(rt, 0.5));
    ck_assert_msg(net != NULL, "%s", tg_error_message());
    return net;
}

START_TEST(born_in_train_mode_and_recursive)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_identity(rt), tg_nn_sequential(rt, tg_nn_dropout(rt, 0.5)));
    tg_module *deep = tg_module_find(net, "1.0");
    ck_assert_ptr_nonnull(deep);
    ck_assert_int_eq(tg_module_mode(net), TG_TRAIN);
    ck_assert_int_eq(tg_module_mode(deep), TG_TRAIN);
    tg_module_eval(net);
    ck_assert_int_eq(tg_module_mode(net), TG_EVAL);
    ck_assert_int_eq(tg_module_mode(tg_module_child(net, 1)), TG_EVAL);
    ck_assert_int_eq(tg_module_mode(deep), TG_EVAL);
    tg_module_train(net);
    ck_assert_int_eq(tg_module_mode(deep), TG_TRAIN);
    tg_module_set_mode(net, TG_EVAL);
    ck_assert_int_eq(tg_module_mode(deep), TG_EVAL);
    tg_module_destroy(net);
}
END_TEST

START_TEST(a_child_added_later_keeps_its_mode)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_identity(rt));
    tg_module_eval(net);
    ck_assert_int_eq(tg_nn_sequential_append(net, NULL, tg_nn_dropout(rt, 0.5)), TG_OK);
    ck_assert_int_eq(tg_module_mode(tg_module_child(net, 1)), TG_TRAIN);
    tg_module_destroy(net);
}
END_TEST

/* A BatchNorm in eval inside a model in train. */
START_TEST(mixed_trees_are_legal)
{
    tg_module *net = bn_net(), *bn = tg_module_find(net, "1");
    tg_module_eval(bn);
    uint64_t before = checksum(net);
    tg_random_state random = tg_tape_random_state(tape);
    tg_tensor *y = tg_forward(tape, net, noisy(1, DIMS(8, 4)));
    ck_assert_ptr_nonnull(y);
    ck_assert_uint_eq(checksum(net), before);                            /* the BatchNorm did not train */
    ck_assert_uint_eq(tg_tape_random_state(tape).draw, random.draw + 1); /* the Dropout did              */
    tg_module_destroy(net);
}
END_TEST

START_TEST(eval_does_not_stop_gradients)
{
    tg_module *net = bn_net();
    tg_module_eval(net);
    tg_tensor *x = noisy(1, DIMS(5, 4));
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_forward(tape, net, x))), TG_OK);
    ck_assert_ptr_nonnull(tg_tensor_grad(x));
    const tg_named_tensors *p = tg_module_parameters(net);
    for (size_t i = 0; i < p->n; i++)
        ck_assert_msg(tg_tensor_grad(p->tensor[i]) != NULL, "%s has no gradient", p->name[i]);
    tg_module_destroy(net);
}
END_TEST

START_TEST(no_grad_does_not_stop_dropout_or_statistics)
{
    tg_module *net = bn_net();
    tg_random_state random = tg_tape_random_state(tape);
    tg_tape_set_recording(tape, false);
    tg_tensor *y = tg_forward(tape, net, noisy(1, DIMS(64, 4)));
    tg_tape_set_recording(tape, true);
    ck_assert_uint_eq(tg_tape_size(tape), 0);
    ck_assert(!tg_tensor_requires_grad(y));
    ck_assert_double_eq(item(tg_module_tensor(net, "1.num_batches_tracked")), 1);
    ck_assert_uint_eq(tg_tape_random_state(tape).draw, random.draw + 1);
    double v[64 * 3];
    size_t zeros = 0;
    get(y, v, 64 * 3);
    for (size_t i = 0; i < 64 * 3; i++)
        zeros += v[i] == 0;
    ck_assert_uint_gt(zeros, 48);
    tg_module_destroy(net);
}
END_TEST

START_TEST(requires_grad_does_not_freeze_statistics)
{
    tg_module *bn = tg_nn_batch_norm1d(rt, 3);
    tg_tensor_set_requires_grad(tg_module_tensor(bn, "weight"), false);
    tg_tensor_set_requires_grad(tg_module_tensor(bn, "bias"), false);
    tg_tensor *x = noisy(1, DIMS(5, 3));
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_square(tape, tg_forward(tape, bn, x)))), TG_OK);
    ck_assert_double_eq(item(tg_module_tensor(bn, "num_batches_tracked")), 1);
    ck_assert_ptr_null(tg_tensor_grad(tg_module_tensor(bn, "weight")));
    ck_assert_ptr_nonnull(tg_tensor_grad(x));
    tg_module_destroy(bn);
}
END_TEST

/* The gradient of Σ y·c through a BatchNorm in `mode`, the mode being set to `later` before backward. */
static void gradient(tg_mode mode, tg_mode later, double gx[15], double gw[3])
{
    tg_module *bn = tg_nn_batch_norm1d(rt, 3);
    tg_module_set_mode(bn, mode);
    tg_tensor *x = noisy(3, DIMS(5, 3)), *c = noisy(4, DIMS(5, 3));
    tg_tensor *y = tg_forward(tape, bn, x);
    tg_module_set_mode(bn, later);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_mul(tape, y, c))), TG_OK);
    get(tg_tensor_grad(x), gx, 15);
    get(tg_tensor_grad(tg_module_tensor(bn, "weight")), gw, 3);
    tg_module_destroy(bn);
    tg_tape_reset(tape);
}

START_TEST(the_mode_is_kept_for_backward)
{
    double a[15], b[15], w[3], v[3];
    for (int mode = 0; mode < TG_N_MODES; mode++) {
        gradient((tg_mode)mode, (tg_mode)mode, a, w);
        gradient((tg_mode)mode, mode == TG_TRAIN ? TG_EVAL : TG_TRAIN, b, v);
        ck_assert_mem_eq(a, b, sizeof a);
        ck_assert_mem_eq(w, v, sizeof w);
    }
    gradient(TG_TRAIN, TG_TRAIN, a, w);
    gradient(TG_EVAL, TG_EVAL, b, v);
    ck_assert_mem_ne(a, b, sizeof a);
}
END_TEST

START_TEST(dropout_keeps_its_mask_for_backward_after_eval)
{
    tg_module *d = tg_nn_dropout(rt, 0.5);
    tg_tensor *x = noisy(3, DIMS(4, 8));
    tg_tensor *y = tg_forward(tape, d, x);
    tg_module_eval(d);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, y)), TG_OK);
    double v[32], g[32];
    get(y, v, 32);
    get(tg_tensor_grad(x), g, 32);
    for (int i = 0; i < 32; i++)
        ck_assert_double_eq(g[i], v[i] == 0 ? 0 : 2);
    tg_module_destroy(d);
}
END_TEST

/* -- freeze -------------------------------------------------------------------------------------------------
 */

START_TEST(freeze_statistics_is_sticky)
{
    tg_module *net = bn_net(), *bn = tg_module_find(net, "1");
    tg_module_freeze(net, TG_FREEZE_STATISTICS);
    ck_assert_uint_eq(tg_module_frozen(bn), TG_FREEZE_STATISTICS);
    ck_assert(!tg_module_updates_statistics(bn));
    tg_module_train(net); /* in PyTorch this would thaw it */
    ck_assert_uint_eq(tg_module_frozen(bn), TG_FREEZE_STATISTICS);
    put(tg_module_tensor(bn, "running_mean"), (double[]){1, 2, 3}, 3);
    put(tg_module_tensor(bn, "running_var"), (double[]){4, 5, 6}, 3);
    uint64_t before = checksum(net);
    tg_tensor *x = noisy(3, DIMS(5, 3));
    double got[15], v[15], want[15];
    get(tg_forward(tape, bn, x), got, 15);
    get(x, v, 15);
    for (int i = 0; i < 15; i++)
        want[i] = (v[i] - (1 + i % 3)) / sqrt(4 + i % 3 + 1e-5);
    near_to(got, want, 15, 1e-12); /* the running statistics are used, though the mode is train */
    ck_assert_uint_eq(checksum(net), before);
    /* gamma and beta still learn */
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_square(tape, tg_forward(tape, bn, x)))), TG_OK);
    ck_assert_ptr_nonnull(tg_tensor_grad(tg_module_tensor(bn, "weight")));
    tg_module_unfreeze(net, TG_FREEZE_STATISTICS);
    ck_assert(tg_module_updates_statistics(bn));
    tg_module_eval(net);
    ck_assert(!tg_module_updates_statistics(bn));
    tg_module_train(net);
    tg_forward(tape, bn, x);
    ck_assert_uint_ne(checksum(net), before);
    tg_module_destroy(net);
}
END_TEST

START_TEST(frozen_statistics_take_a_batch_of_one)
{
    tg_module *bn = tg_nn_batch_norm1d(rt, 3);
    tg_module_freeze(bn, TG_FREEZE_STATISTICS);
    ck_assert_ptr_nonnull(tg_forward(tape, bn, noisy(3, DIMS(1, 3))));
    tg_module_destroy(bn);
}
END_TEST

START_TEST(freeze_affine_is_sticky)
{
    tg_module *net = bn_net(), *bn = tg_module_find(net, "1");
    tg_tensor *weight = tg_module_tensor(bn, "weight"), *bias = tg_module_tensor(bn, "bias");
    tg_tensor_set_requires_grad(bias, false); /* not the freeze's doing */
    tg_module_freeze(bn, TG_FREEZE_AFFINE);
    tg_module_train(net);
    ck_assert(!tg_tensor_requires_grad(weight));
    ck_assert(tg_tensor_requires_grad(tg_module_tensor(net, "0.weight")));
    tg_tensor *x = noisy(3, DIMS(5, 4));
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_square(tape, tg_forward(tape, net, x)))), TG_OK);
    ck_assert_ptr_null(tg_tensor_grad(weight));
    ck_assert_ptr_nonnull(tg_tensor_grad(tg_module_tensor(net, "0.weight")));
    ck_assert_double_eq(item(tg_module_tensor(bn, "num_batches_tracked")), 1); /* the statistics move on */
    tg_module_unfreeze(bn, TG_FREEZE_AFFINE);
    ck_assert(tg_tensor_requires_grad(weight));
    ck_assert(!tg_tensor_requires_grad(bias));
    tg_module_destroy(net);
}
END_TEST

START_TEST(freeze_drops_a_gradient_that_is_there)
{
    tg_module *l = tg_nn_linear(rt, 4, 3);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_forward(tape, l, noisy(1, DIMS(5, 4))))), TG_OK);
    ck_assert_ptr_nonnull(tg_tensor_grad(tg_module_tensor(l, "weight")));
    tg_module_freeze(l, TG_FREEZE_AFFINE);
    ck_assert_ptr_null(tg_tensor_grad(tg_module_tensor(l, "weight")));
    tg_module_destroy(l);
}
END_TEST

START_TEST(freeze_all_holds_everything)
{
    tg_module *net = bn_net();
    tg_module_freeze(net, TG_FREEZE_ALL);
    tg_module_train(net);
    ck_assert_uint_eq(tg_module_frozen(net), TG_FREEZE_ALL);
    uint64_t before = checksum(net);
    tg_tensor *y = tg_forward(tape, net, input(DIMS(5, 4), (double[20]){1}));
    ck_assert_ptr_nonnull(y);
    ck_assert(!tg_tensor_requires_grad(y));
    ck_assert_uint_eq(checksum(net), before);
    tg_module_unfreeze(net, TG_FREEZE_ALL);
    ck_assert_uint_eq(tg_module_frozen(tg_module_find(net, "1")), 0);
    tg_module_destroy(net);
}
END_TEST

/* -- where PyTorch is wrong -------------------------------------------------------------------------- */

/* PyTorch's issue 13402. */
START_TEST(eval_then_train_then_backward)
{
    tg_module *bn = tg_nn_batch_norm1d(rt, 1);
    tg_tensor *x = input(DIMS(2, 1), (double[]){0, 1});
    tg_tensor_set_requires_grad(x, true);
    tg_module_eval(bn);
    tg_tensor *y = tg_forward(tape, bn, x);
    tg_module_train(bn);
    for (int i = 0; i < 5; i++)
        ck_assert_ptr_nonnull(tg_forward(tape, bn, input(DIMS(2, 1), (double[]){-40, 40})));
    double rv = item(tg_module_tensor(bn, "running_var"));
    ck_assert_double_gt(rv, 100);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, y)), TG_OK);
    double g[2], want = 1 / sqrt(1 + 1e-5); /* with the variance of then, 1 */
    get(tg_tensor_grad(x), g, 2);
    near_to(g, (double[]){want, want}, 2, 1e-12);
    double gw = item(tg_tensor_grad(tg_module_tensor(bn, "weight")));
    ck_assert_double_eq_tol(gw, want, 1e-12);
    tg_module_destroy(bn);
}
END_TEST

START_TEST(a_rejected_batch_of_one_counts_nothing)
{
    tg_module *bn = tg_nn_batch_norm1d(rt, 3);
    ck_assert_ptr_null(tg_forward(tape, bn, noisy(1, DIMS(1, 3))));
    tape_failed_with(TG_ESHAPE, "one value per channel");
    ck_assert_double_eq(item(tg_module_tensor(bn, "num_batches_tracked")), 0);
    tg_module_destroy(bn);
}
END_TEST

/* What a train forward leaves with so many threads. */
static uint64_t statistics_with(int threads)
{
    ck_assert_int_eq(tg_tape_set_threads(tape, threads), TG_OK);
    tg_module *bn = tg_nn_batch_norm2d(rt, 7);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_ptr_nonnull(tg_forward(tape, bn, noisy(i, DIMS(16, 7, 33, 31))));
        tg_tape_reset(tape);
    }
    uint64_t sum = checksum(bn);
    tg_module_destroy(bn);
    return sum;
}

START_TEST(statistics_do_not_depend_on_threads)
{
    ck_assert_uint_eq(statistics_with(1), statistics_with(2));
    ck_assert_uint_eq(statistics_with(1), statistics_with(5));
}
END_TEST

START_TEST(the_mode_is_an_argument)
{
    tg_tensor *x = noisy(1, DIMS(4, 4));
    size_t n = tg_tape_size(tape);
    ck_assert_ptr_eq(tg_dropout(tape, x, 0.5, TG_EVAL), x);
    ck_assert_uint_eq(tg_tape_size(tape), n);
    ck_assert_ptr_ne(tg_dropout(tape, x, 0.5, TG_TRAIN), x);
}
END_TEST

/* -- many tapes, one model --------------------------------------------------------------------------- */

typedef struct reader {
    tg_module *net;
    tg_tape *tape;
    double x[20], y[15];
    bool failed;
} reader;

static int read_model(void *arg)
{
    reader *r = arg;
    for (int i = 0; i < 200; i++) {
        tg_tape_reset(r->tape);
        tg_tensor *y = tg_forward(r->tape, r->net, tg_input(r->tape, TG_F64, DIMS(5, 4), r->x));
        r->failed |= !y || tg_tensor_read(y, r->y, sizeof r->y) != TG_OK;
    }
    return 0;
}

START_TEST(many_tapes_read_one_model_in_eval)
{
    enum { N = 4 };
    reader r[N];
    thrd_t thread[N];
    tg_module *net = bn_net();
    tg_module_eval(net);
    uint64_t before = checksum(net);
    for (int i = 0; i < N; i++) {
        r[i] = (reader){.net = net};
        ck_assert_int_eq(tg_tape_open(&r[i].tape, rt), TG_OK);
        for (size_t k = 0; k < 20; k++)
            r[i].x[k] = noise(5, k);
    }
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(thrd_create(&thread[i], read_model, &r[i]), thrd_success);
    for (int i = 0; i < N; i++)
        thrd_join(thread[i], NULL);
    for (int i = 0; i < N; i++) {
        ck_assert(!r[i].failed);
        ck_assert_mem_eq(r[i].y, r[0].y, sizeof r[0].y);
        tg_tape_close(r[i].tape);
    }
    ck_assert_uint_eq(checksum(net), before);
    tg_module_destroy(net);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("modes");
    TCase *c = tcase_create("modes");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_test(c, born_in_train_mode_and_recursive);
    tcase_add_test(c, a_child_added_later_keeps_its_mode);
    tcase_add_test(c, mixed_trees_are_legal);
    tcase_add_test(c, eval_does_not_stop_gradients);
    tcase_add_test(c, no_grad_does_not_stop_dropout_or_statistics);
    tcase_add_test(c, requires_grad_does_not_freeze_statistics);
    tcase_add_test(c, the_mode_is_kept_for_backward);
    tcase_add_test(c, dropout_keeps_its_mask_for_backward_after_eval);
    tcase_add_test(c, many_tapes_read_one_model_in_eval);
    suite_add_tcase(s, c);
    TCase *f = tcase_create("freeze");
    tcase_add_checked_fixture(f, rig_open, rig_close);
    tcase_add_test(f, freeze_statistics_is_sticky);
    tcase_add_test(f, frozen_statistics_take_a_batch_of_one);
    tcase_add_test(f, freeze_affine_is_sticky);
    tcase_add_test(f, freeze_drops_a_gradient_that_is_there);
    tcase_add_test(f, freeze_all_holds_everything);
    suite_add_tcase(s, f);
    TCase *w = tcase_create("deviations");
    tcase_add_checked_fixture(w, rig_open, rig_close);
    tcase_add_test(w, eval_then_train_then_backward);
    tcase_add_test(w, a_rejected_batch_of_one_counts_nothing);
    tcase_add_test(w, statistics_do_not_depend_on_threads);
    tcase_add_test(w, the_mode_is_an_argument);
    suite_add_tcase(s, w);
    return s;
}

TG_TEST_MAIN(suite)
