/* BatchNorm and ReLU beside each other in a Sequential are one row, with the same bits as two, unless somebody looks
 * at what is between them. */
#include "layers/rig.h"

#include <tapegrad/hooks.h>

enum { N = 5, C = 3, L = 7, ALL = N * C * L };
enum { ALONE, HOOK_ON_NORM, HOOK_ON_RELU, BACKWARD_HOOK, OBSERVED, ANOMALY, OTHER_MODE, CHECKPOINT, N_LOOKS };

typedef struct result {
    double y[ALL], gx[ALL], weight[C], bias[C], mean[C], var[C];
    int64_t tracked;
} result;

static tg_status look_on(void *arg, tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                         size_t n_out)
{
    (void)m, (void)t, (void)in, (void)n_in, (void)out, (void)n_out;
    ++*(int *)arg;
    return TG_OK;
}

static tg_status look_back(void *arg, tg_module *m, tg_tape *t, tg_tensor *gx[], size_t n_in, tg_tensor *const gy[],
                           size_t n_out)
{
    (void)m, (void)t, (void)gx, (void)n_in, (void)gy, (void)n_out;
    ++*(int *)arg;
    return TG_OK;
}

static void saw(void *arg, tg_tape *t, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                tg_tensor *const out[], size_t n_out, const tg_node *rule_of)
{
    (void)t, (void)in, (void)n_in, (void)out, (void)n_out;
    *(int *)arg += !rule_of && !strcmp(op->name, "relu");
}

static void read_all(const tg_tensor *t, void *to, size_t size)
{
    ck_assert_msg(tg_tensor_read(t, to, size) == TG_OK, "%s", tg_error_message());
}

/* One channel of y is all zeros; odd: one value is NaN. */
static void compute(int look, bool eval, bool odd, result *r, int *seen)
{
    double x[ALL], w[C] = {0.5, -1.5, 0}, b[C] = {0.25, -0.5, 0};
    for (int i = 0; i < ALL; i++)
        x[i] = (double)(i * 7919 % 41) / 13 - 1.5;
    if (odd)
        x[L + 2] = NAN;
    tg_module *norm = tg_nn_batch_norm1d(rt, C), *relu = tg_nn_relu(rt);
    tg_module *net = tg_nn_sequential(rt, tg_nn_identity(rt), norm, relu);
    ck_assert_ptr_nonnull(net);
    tg_tensor *weight = tg_module_parameters(norm)->tensor[0], *bias = tg_module_parameters(norm)->tensor[1];
    tg_tensor_write(weight, w, sizeof w);
    tg_tensor_write(bias, b, sizeof b);
    *seen = 0;
    if (eval)
        tg_module_eval(net);
    if (look == OTHER_MODE)
        eval ? tg_module_train(relu) : tg_module_eval(relu);
    if (look == HOOK_ON_NORM || look == HOOK_ON_RELU)
        tg_module_register_forward_hook(look == HOOK_ON_NORM ? norm : relu, look_on, seen);
    if (look == BACKWARD_HOOK)
        tg_module_register_full_backward_hook(relu, look_back, seen);
    if (look == OBSERVED)
        tg_tape_observe(tape, &(tg_observer){.applied = saw, .arg = seen});
    if (look == ANOMALY)
        tg_tape_set_anomaly(tape, TG_ANOMALY_NAN);
    tg_tape_reset(tape);
    tg_tensor *in = tg_input(tape, TG_F64, DIMS(N, C, L), x);
    tg_tensor_set_requires_grad(in, true);
    tg_tensor *y = look == CHECKPOINT ? tg_checkpoint_forward(tape, net, in) : tg_forward(tape, net, in);
    ck_assert_msg(y != NULL, "%s", tg_tape_error(tape));
    tg_tensor *wrt[] = {in, weight, bias}, *g[3];
    ck_assert_msg(tg_grad(tape, tg_sum(tape, tg_mul(tape, y, tg_add_scalar(tape, y, 3))), NULL, wrt, 3, g, 0) == TG_OK, "%s",
                  tg_tape_error(tape));
    read_all(y, r->y, sizeof r->y);
    read_all(g[0], r->gx, sizeof r->gx);
    read_all(g[1], r->weight, sizeof r->weight);
    read_all(g[2], r->bias, sizeof r->bias);
    const tg_named_tensors *buffers = tg_module_buffers(norm);
    read_all(buffers->tensor[0], r->mean, sizeof r->mean);
    read_all(buffers->tensor[1], r->var, sizeof r->var);
    read_all(buffers->tensor[2], &r->tracked, sizeof r->tracked);
    tg_tape_observe(tape, NULL);
    tg_tape_set_anomaly(tape, TG_ANOMALY_OFF);
    tg_module_destroy(net);
}

START_TEST(one_row_with_the_bits_of_two)
{
    static result one, two;
    const bool eval = _i & 1, odd = _i & 2;
    int seen;
    rig_reopen_on_reference();
    compute(ALONE, eval, odd, &one, &seen);
    const char *row = eval ? "batch_norm_relu_eval" : "batch_norm_relu_train";
    ck_assert_uint_eq(tg_tape_count_runs(tape, row, "reference"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_relu_backward", "reference"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "relu", "reference"), 0);
    for (int look = ALONE + 1; look < N_LOOKS; look++) {
        if (odd && look == ANOMALY)
            continue;
        rig_reopen_on_reference();
        compute(look, eval, odd, &two, &seen);
        ck_assert_msg(tg_tape_count_runs(tape, row, "reference") == 0, "look %d", look);
        ck_assert_msg(tg_tape_count_runs(tape, "relu", "reference") >= 1, "look %d", look);
        ck_assert_msg(seen == (look <= OBSERVED), "look %d was called %d times", look, seen);
        ck_assert_msg(!memcmp(&one, &two, sizeof one), "look %d", look);
    }
}
END_TEST

/* Statistics that are frozen are used in train mode, too; a batch of one value a channel fails as before. */
START_TEST(frozen_and_failing)
{
    rig_reopen_on_reference();
    tg_module *norm = tg_nn_batch_norm1d(rt, C), *net = tg_nn_sequential(rt, norm, tg_nn_relu(rt));
    const double x[C] = {-1, 2, 3};
    ck_assert_ptr_null(tg_forward(tape, net, tg_input(tape, TG_F64, DIMS(1, C), x)));
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "0 (BatchNorm1d)"));
    tg_tape_clear_error(tape);
    tg_module_freeze(norm, TG_FREEZE_STATISTICS);
    tg_tensor *y = tg_forward(tape, net, tg_input(tape, TG_F64, DIMS(1, C), x));
    ck_assert_ptr_nonnull(y);
    double got[C];
    read_all(y, got, sizeof got);
    for (int c = 0; c < C; c++)
        ck_assert_double_eq_tol(got[c], x[c] < 0 ? 0 : x[c] / sqrt(1 + 1e-5), 1e-12);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_relu_eval", "reference"), 1);
    /* one that fails leaves nothing behind: the next BatchNorm is alone */
    tg_module *alone = tg_nn_batch_norm1d(rt, C);
    const double two[2 * C] = {-1, -1, -1, 1, 1, 1};
    ck_assert_ptr_nonnull(tg_forward(tape, alone, tg_input(tape, TG_F64, DIMS(2, C), two)));
    ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_train", "reference"), 1);
    tg_module_destroy(alone);
    tg_module_destroy(net);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("fuse");
    TCase *t = tcase_create("fuse");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, one_row_with_the_bits_of_two, 0, 4);
    tcase_add_test(t, frozen_and_failing);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
