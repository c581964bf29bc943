/* Anomaly mode: who made the first NaN or infinity, and what did not. */
#include "operators/rig.h"

#include <stdlib.h>

static void setup(void)
{
    rig_open();
    ck_assert_int_eq(tg_tape_set_anomaly(tape, TG_ANOMALY_ALL), TG_ANOMALY_OFF);
}

/* The sentence has these words, and the line of this file. */
static void blames(int line, const char *words)
{
    char place[64];
    snprintf(place, sizeof place, "test_anomaly.c:%d", line);
    ck_assert_msg(tg_tape_status(tape) == TG_ENUMERIC, "%s: %s", tg_status_name(tg_tape_status(tape)),
                  tg_tape_error(tape));
    ck_assert_msg(strstr(tg_tape_error(tape), words) != NULL, "'%s' is not in: %s", words,
                  tg_tape_error(tape));
    ck_assert_msg(strstr(tg_tape_error(tape), place) != NULL, "'%s' is not in: %s", place,
                  tg_tape_error(tape));
    tg_tape_clear_error(tape);
}

static void is_fine(void)
{
    ck_assert_msg(tg_tape_status(tape) == TG_OK, "%s", tg_tape_error(tape));
}

START_TEST(forward)
{
    tg_tensor *x = tensor(TG_F32, DIMS(2, 3), VALUES(1, 2, 3, 0, 5, 0));
    ck_assert_ptr_null(tg_log(tape, x));
    blames(__LINE__ - 1, "log made it: its result f32[2, 3] has 2 -inf of 6 values, the first at [1, 0]; it "
                         "was given f32[2, 3]");
    ck_assert_ptr_null(tg_div(tape, x, x));
    blames(__LINE__ - 1, "div made it: its result f32[2, 3] has 2 NaN of 6 values, the first at [1, 0]");
    tg_tensor *y = tensor(TG_F64, DIMS(3), VALUES(1, 1000, 1));
    ck_assert_ptr_null(tg_sum(tape, tg_exp(tape, tg_mul(tape, y, y))));
    blames(__LINE__ - 1, "exp made it: its result f64[3] has 1 inf of 3 values, the first at [1]");
}
END_TEST

START_TEST(what_is_meant)
{
    tg_tensor *x = tensor(TG_F64, DIMS(2, 2), VALUES(1, 2, 3, 4)),
              *low = tensor(TG_F64, SCALAR, VALUES(-INFINITY));
    tg_tensor *mask = tensor(TG_BOOL, DIMS(2, 2), VALUES(1, 0, 0, 1));
    tg_tensor *masked = tg_where(tape, mask, x, low);
    tg_softmax(tape, masked, 1);
    tg_full(tape, TG_F64, DIMS(2), INFINITY);
    tg_clamp(tape, x, NAN, INFINITY);
    is_fine();
    /* A row that is masked as a whole: the NaN is softmax's. */
    tg_tensor *rows = tensor(TG_BOOL, DIMS(2, 1), VALUES(1, 0));
    ck_assert_ptr_null(tg_softmax(tape, tg_where(tape, rows, x, low), 1));
    blames(__LINE__ - 1, "softmax made it: its result f64[2, 2] has 2 NaN of 4 values, the first at [1, 0]");
    tg_tape_set_anomaly(tape, TG_ANOMALY_NAN);
    tg_log(tape, tensor(TG_F64, DIMS(1), VALUES(0)));
    is_fine();
    ck_assert_int_eq(tg_tape_set_anomaly(tape, TG_ANOMALY_OFF), TG_ANOMALY_NAN);
    tg_log(tape, tensor(TG_F64, DIMS(1), VALUES(-1)));
    is_fine();
}
END_TEST

START_TEST(backward)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 2), VALUES(4, 0, 1, 9));
    tg_tensor *root = tg_sqrt(tape, x);
    const int line = __LINE__ - 1;
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, root)), TG_ENUMERIC);
    ck_assert_ptr_null(tg_tensor_grad(x));
    blames(line, "the backward of sqrt");
    /* The branch that was not taken: 0·inf. */
    tg_tensor *l = leaf(TG_F64, DIMS(2), VALUES(0, 1)), *out = NULL;
    tg_tape_set_anomaly(tape, TG_ANOMALY_NAN);
    tg_tensor *safe = tg_where(tape, tensor(TG_BOOL, DIMS(2), VALUES(0, 1)), tg_log(tape, l), l);
    const int branch = __LINE__ - 1;
    ck_assert_int_eq(tg_grad(tape, tg_sum(tape, safe), NULL, &l, 1, &out, 0), TG_ENUMERIC);
    blames(
        branch,
        "its gradient of input 0 f64[2] has 1 NaN of 2 values, the first at [0]; the call was given f64[2]");
}
END_TEST

START_TEST(of_second_order)
{
    /* d²/dx² of x^1.5 at 0 is infinite; x^1.5 and its first derivative are not. */
    tg_tensor *x = leaf(TG_F64, DIMS(2), VALUES(0, 1)), *g = NULL, *h = NULL;
    tg_tensor *power = tg_pow_scalar(tape, x, 1.5);
    const int line = __LINE__ - 1;
    ck_assert_int_eq(tg_grad(tape, tg_sum(tape, power), NULL, &x, 1, &g, TG_CREATE_GRAPH), TG_OK);
    ck_assert_int_eq(tg_grad(tape, tg_sum(tape, g), NULL, &x, 1, &h, 0), TG_ENUMERIC);
    blames(line, "(of the backward of pow_scalar, called at ");
}
END_TEST

START_TEST(nothing_of_a_step_stays)
{
    tg_module *net =
        tg_nn_sequential(rt, tg_nn_linear(rt, 3, 4), tg_nn_batch_norm1d(rt, 4), tg_nn_linear(rt, 4, 1));
    tg_optimizer *sgd = tg_optim_sgd(rt, tg_module_parameters(net), &(tg_sgd_options){.lr = 0.1});
    uint64_t before, after;
    ck_assert_int_eq(tg_module_checksum(net, &before), TG_OK);
    ck_assert_int_eq(tg_step_begin(tape), TG_OK);
    tg_tensor *y = tg_forward(tape, net, tensor(TG_F32, DIMS(5, 3), VALUES(1, 2, -3, 4, 0.5, 6, 7)));
    tg_backward(tape, tg_sum(tape, tg_sqrt(tape, tg_mul_scalar(tape, y, 0))));
    tg_optimizer_step(sgd, tape);
    ck_assert_int_ne(tg_step_commit(tape), TG_OK);
    ck_assert_int_eq(tg_tape_status(tape), TG_ENUMERIC);
    ck_assert_int_eq(tg_module_checksum(net, &after), TG_OK);
    ck_assert_uint_eq(before, after);
    tg_tape_clear_error(tape);
    tg_tape_reset(tape);
    /* An update that overflows is taken back, all of it. */
    tg_optimizer *wild = tg_optim_sgd(rt, tg_module_parameters(net), &(tg_sgd_options){.lr = 1e38});
    tg_tape_set_anomaly(tape, TG_ANOMALY_OFF);
    y = tg_forward(tape, net, tensor(TG_F32, DIMS(5, 3), VALUES(1, 2, -3, 4, 0.5, 6, 7)));
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_mul_scalar(tape, y, 1e4))), TG_OK);
    ck_assert_int_eq(tg_module_checksum(net, &before), TG_OK);
    tg_tape_set_anomaly(tape, TG_ANOMALY_ALL);
    ck_assert_int_eq(tg_optimizer_step(wild, tape), TG_ENUMERIC);
    blames(__LINE__ - 1, "written input");
    ck_assert_int_eq(tg_module_checksum(net, &after), TG_OK);
    ck_assert_uint_eq(before, after);
    tg_optimizer_destroy(wild);
    tg_optimizer_destroy(sgd);
    tg_module_destroy(net);
}
END_TEST

START_TEST(a_layer_is_named)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, 2, 2), tg_nn_softmax(rt, 1));
    float bad[] = {-INFINITY, -INFINITY};
    tg_tape_clear_error(tape);
    tg_module *soft = tg_module_child(net, 1);
    ck_assert_ptr_null(tg_forward(tape, soft, tg_input(tape, TG_F32, DIMS(1, 2), bad)));
    blames(__LINE__ - 1, "1 (Softmax): anomaly: softmax made it");
    tg_module_destroy(net);
}
END_TEST

/* What is counted, recorded and drawn is as without. */
START_TEST(leaves_no_trace)
{
    size_t nodes[2];
    uint64_t runs[2], draws[2];
    for (int on = 0; on < 2; on++) {
        tg_tape *t;
        ck_assert_int_eq(tg_tape_open(&t, rt), TG_OK);
        tg_tape_set_anomaly(t, on ? TG_ANOMALY_ALL : TG_ANOMALY_OFF);
        uint64_t first = tg_tape_random_state(t).draw;
        tg_tensor *x = tg_input(t, TG_F32, DIMS(4), (float[]){1, 2, 3, 4});
        tg_tensor_set_requires_grad(x, true);
        tg_tensor *y = tg_sum(t, tg_exp(t, tg_dropout(t, x, 0.5, TG_TRAIN)));
        ck_assert_int_eq(tg_backward(t, y), TG_OK);
        nodes[on] = tg_tape_size(t);
        runs[on] = tg_tape_count_runs(t, NULL, NULL);
        draws[on] = tg_tape_random_state(t).draw - first;
        ck_assert_int_eq(tg_tape_count_runs(t, "nonfinite", NULL) > 0, on);
        tg_tape_close(t);
    }
    ck_assert_uint_eq(nodes[0], nodes[1]);
    ck_assert_uint_eq(runs[0], runs[1]);
    ck_assert_uint_eq(draws[0], draws[1]);
}
END_TEST

START_TEST(environment)
{
    tg_runtime *other;
    tg_tape *t;
    setenv("TAPEGRAD_ANOMALY", "2", 1);
    ck_assert_int_eq(tg_runtime_open(&other, NULL), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "TAPEGRAD_ANOMALY=2"));
    setenv("TAPEGRAD_ANOMALY", "nan", 1);
    ck_assert_int_eq(tg_runtime_open(&other, NULL), TG_OK);
    ck_assert_int_eq(tg_tape_open(&t, other), TG_OK);
    ck_assert_int_eq(tg_tape_set_anomaly(t, TG_ANOMALY_ALL), TG_ANOMALY_NAN);
    tg_tape_close(t);
    tg_runtime_close(other);
    unsetenv("TAPEGRAD_ANOMALY");
}
END_TEST

static void heard(void *arg, tg_log_level level, const char *message)
{
    (void)level;
    if (strstr(message, "anomaly: input 1 of mul, which no operator on the tape made, f32[2] has 1 NaN"))
        ++*(int *)arg;
}

START_TEST(data_is_said_once)
{
    int times = 0;
    tg_runtime *other;
    tg_tape *t;
    ck_assert_int_eq(
        tg_runtime_open(&other,
                        &(tg_runtime_options){.backend = "reference", .log = heard, .log_arg = &times}),
        TG_OK);
    ck_assert_int_eq(tg_tape_open(&t, other), TG_OK);
    tg_tape_set_anomaly(t, TG_ANOMALY_ALL);
    tg_tensor *x = tg_input(t, TG_F32, DIMS(2), (float[]){1, 2}),
              *bad = tg_input(t, TG_F32, DIMS(2), (float[]){1, NAN});
    tg_mul(t, x, bad);
    tg_mul(t, x, bad);
    ck_assert_int_eq(tg_tape_status(t), TG_OK);
    ck_assert_int_eq(times, 1);
    tg_tape_close(t);
    tg_runtime_close(other);
}
END_TEST

/* A large strided tensor: the place is the first in row-major order, on any number of threads. */
START_TEST(the_first_place)
{
    enum { N = 300 };
    float *data = calloc(N * N, sizeof *data);
    data[7 * N + 200] = -1;
    data[250 * N + 3] = -1;
    tg_tensor *x = tg_input(tape, TG_F32, DIMS(N, N), data);
    free(data);
    ck_assert_ptr_null(tg_sqrt(tape, tg_transpose(tape, x, 0, 1)));
    blames(__LINE__ - 1, "2 NaN of 90000 values, the first at [3, 250]");
}
END_TEST

static size_t allocations;

static void *counted(void *arg, size_t size, size_t align)
{
    (void)arg;
    allocations++;
    return aligned_alloc(align, size);
}

static void freed(void *arg, void *ptr)
{
    (void)arg;
    free(ptr);
}

/* Equal steps allocate nothing from the second on, looked at or not. */
START_TEST(steady)
{
    const tg_allocator allocator = {counted, freed, NULL};
    tg_runtime *other;
    tg_tape *t;
    size_t before = 0;
    ck_assert_int_eq(
        tg_runtime_open(&other, &(tg_runtime_options){.backend = "reference", .allocator = &allocator}),
        TG_OK);
    ck_assert_int_eq(tg_tape_open(&t, other), TG_OK);
    tg_tape_set_anomaly(t, TG_ANOMALY_ALL);
    tg_module *net = tg_nn_linear(other, 3, 2);
    tg_optimizer *sgd =
        tg_optim_sgd(other, tg_module_parameters(net), &(tg_sgd_options){.lr = 0.01, .momentum = 0.5});
    for (int i = 0; i < 20; i++) {
        tg_tape_reset(t);
        tg_tensor *y = tg_forward(t, net, tg_input(t, TG_F32, DIMS(2, 3), (float[]){1, 2, 3, 4, 5, 6}));
        tg_backward(t, tg_mean(t, tg_exp(t, tg_mul_scalar(t, y, 0.1))));
        ck_assert_int_eq(tg_optimizer_step(sgd, t), TG_OK);
        before = i == 4 ? allocations : before;
    }
    ck_assert_uint_eq(allocations, before);
    tg_optimizer_destroy(sgd);
    tg_module_destroy(net);
    tg_tape_close(t);
    tg_runtime_close(other);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("anomaly");
    TCase *c = tcase_create("anomaly");
    tcase_add_checked_fixture(c, setup, rig_close);
    tcase_add_test(c, forward);
    tcase_add_test(c, what_is_meant);
    tcase_add_test(c, backward);
    tcase_add_test(c, of_second_order);
    tcase_add_test(c, nothing_of_a_step_stays);
    tcase_add_test(c, a_layer_is_named);
    tcase_add_test(c, leaves_no_trace);
    tcase_add_test(c, environment);
    tcase_add_test(c, data_is_said_once);
    tcase_add_test(c, the_first_place);
    tcase_add_test(c, steady);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
