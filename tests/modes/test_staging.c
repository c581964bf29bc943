/* MODES.md, "State changes are staged": when they are committed, in which order, and when never. */
#include "layers/rig.h"

/* A model of one's own: calls its BatchNorm `calls` times, looks at the counter between, and then fails or
 * not. */
typedef struct probe {
    tg_module *bn, *drop;
    int calls;
    bool fail;
    double seen; /* num_batches_tracked before the end of the forward */
} probe;

static tg_status probe_init(tg_module *m, const void *attrs)
{
    (void)attrs;
    probe *p = tg_module_self(m);
    p->calls = 1;
    p->bn = tg_nn_batch_norm1d(rt, 3);
    tg_status status = tg_module_add_child(m, "bn", p->bn);
    if (status)
        return status;
    p->drop = tg_nn_dropout(rt, 0.5);
    return tg_module_add_child(m, "drop", p->drop);
}

static tg_status probe_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)n;
    probe *p = tg_module_self(m);
    tg_tensor *x = in[0];
    for (int i = 0; i < p->calls; i++)
        x = tg_add_scalar(t, tg_forward(t, p->bn, x), 1);
    if (!x)
        return tg_tape_status(t);
    tg_item(tg_module_tensor(p->bn, "num_batches_tracked"), &p->seen);
    x = tg_forward(t, p->drop, x);
    if (p->fail)
        return tg_fail(t, TG_EINVAL, "the probe was told to fail");
    out[0] = x;
    return tg_tape_status(t);
}

static const tg_layer_class probe_class = {.struct_size = sizeof(tg_layer_class),
                                           .name = "Probe",
                                           .state_size = sizeof(probe),
                                           .n_in = 1,
                                           .n_out = 1,
                                           .init = probe_init,
                                           .forward = {probe_forward, probe_forward}};

static tg_module *net;
static probe *self;
static tg_tensor *x;

static void open_probe(void)
{
    rig_open();
    net = tg_module_new(rt, &probe_class, NULL);
    ck_assert_msg(net != NULL, "%s", tg_error_message());
    self = tg_module_self(net);
    x = noisy(1, DIMS(5, 3));
}

static void close_probe(void)
{
    tg_module_destroy(net);
    rig_close();
}

static double tracked(void)
{
    return item(tg_module_tensor(net, "bn.num_batches_tracked"));
}

START_TEST(committed_when_the_outermost_forward_ends)
{
    ck_assert_ptr_nonnull(tg_forward(tape, net, x));
    ck_assert_double_eq(self->seen, 0);
    ck_assert_double_eq(tracked(), 1); /* an eval right after sees it */
}
END_TEST

START_TEST(committed_in_forward_order)
{
    self->calls = 3;
    ck_assert_ptr_nonnull(tg_forward(tape, net, x));
    ck_assert_double_eq(tracked(), 3);
    double got[3], want[3];
    get(tg_module_tensor(net, "bn.running_mean"), got, 3);
    /* the same, one forward at a time */
    tg_module *one = tg_nn_batch_norm1d(rt, 3);
    tg_tensor *y = x;
    for (int i = 0; i < 3; i++)
        y = tg_add_scalar(tape, tg_forward(tape, one, y), 1);
    get(tg_module_tensor(one, "running_mean"), want, 3);
    ck_assert_mem_eq(got, want, sizeof got);
    get(tg_module_tensor(net, "bn.running_var"), got, 3);
    get(tg_module_tensor(one, "running_var"), want, 3);
    ck_assert_mem_eq(got, want, sizeof got);
    tg_module_destroy(one);
}
END_TEST

START_TEST(a_failed_forward_leaves_everything)
{
    uint64_t before = checksum(net);
    tg_random_state random = tg_tape_random_state(tape);
    size_t nodes = tg_tape_size(tape);
    self->fail = true;
    tg_tensor *y = x;
    ck_assert_int_eq(tg_forward_n(tape, net, &x, 1, &y, 1), TG_EINVAL);
    ck_assert_ptr_null(y);
    tape_failed_with(TG_EINVAL, "Probe: the probe was told to fail");
    ck_assert_uint_eq(checksum(net), before);
    ck_assert(same_state(random, tg_tape_random_state(tape)));
    ck_assert_uint_eq(tg_tape_size(tape), nodes);
    ck_assert(tg_tensor_is_alive(x));
    /* and the next one is as if that had not been */
    self->fail = false;
    double a[15], b[15];
    get(tg_forward(tape, net, x), a, 15);
    ck_assert_double_eq(tracked(), 1);
    tg_module *fresh = tg_module_new(rt, &probe_class, NULL);
    tg_tape_set_random_state(tape, random);
    get(tg_forward(tape, fresh, x), b, 15);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert_uint_eq(checksum(fresh), checksum(net));
    tg_module_destroy(fresh);
}
END_TEST

/* The batch is rejected by a layer behind the BatchNorm. */
START_TEST(a_rejected_batch_leaves_everything)
{
    tg_module *wrong =
        tg_nn_sequential(rt, tg_nn_batch_norm1d(rt, 3), tg_nn_dropout(rt, 0.5), tg_nn_linear(rt, 4, 2));
    uint64_t before = checksum(wrong);
    tg_random_state random = tg_tape_random_state(tape);
    ck_assert_ptr_null(tg_forward(tape, wrong, x));
    tape_failed_with(TG_ESHAPE, "2 (Linear): got f64[5, 3], expected 4 features");
    ck_assert_uint_eq(checksum(wrong), before);
    ck_assert(same_state(random, tg_tape_random_state(tape)));
    tg_module_destroy(wrong);
}
END_TEST

START_TEST(a_step_commits_at_its_end)
{
    ck_assert_int_eq(tg_step_begin(tape), TG_OK);
    tg_random_state random = tg_tape_random_state(tape);
    ck_assert_ptr_nonnull(tg_forward(tape, net, x));
    ck_assert_ptr_nonnull(tg_forward(tape, net, x));
    ck_assert_double_eq(tracked(), 0);
    ck_assert(same_state(random, tg_tape_random_state(tape)));
    ck_assert_int_eq(tg_step_commit(tape), TG_OK);
    ck_assert_double_eq(tracked(), 2);
    ck_assert_uint_eq(tg_tape_random_state(tape).draw, random.draw + 2);
}
END_TEST

START_TEST(steps_nest)
{
    tg_step_begin(tape);
    tg_step_begin(tape);
    ck_assert_ptr_nonnull(tg_forward(tape, net, x));
    ck_assert_int_eq(tg_step_commit(tape), TG_OK);
    ck_assert_double_eq(tracked(), 0);
    ck_assert_int_eq(tg_step_commit(tape), TG_OK);
    ck_assert_double_eq(tracked(), 1);
    ck_assert_int_eq(tg_step_commit(tape), TG_ESTATE);
    tg_tape_clear_error(tape);
}
END_TEST

/* The loss is part of the step: a label out of range undoes the forward before it. */
START_TEST(a_failure_in_a_step_commits_nothing)
{
    uint64_t before = checksum(net);
    tg_random_state random = tg_tape_random_state(tape);
    ck_assert_int_eq(tg_step_begin(tape), TG_OK);
    tg_tensor *y = tg_forward(tape, net, x);
    ck_assert_ptr_nonnull(y);
    int64_t labels[5] = {0, 1, 2, 3, 0};
    ck_assert_ptr_null(tg_cross_entropy(tape, y, tg_input(tape, TG_I64, DIMS(5), labels)));
    ck_assert_int_eq(tg_tape_status(tape), TG_EINDEX);
    tg_tape_clear_error(tape); /* forgiving the error does not forgive the step */
    ck_assert_int_ne(tg_step_commit(tape), TG_OK);
    tg_tape_clear_error(tape);
    ck_assert_uint_eq(checksum(net), before);
    ck_assert(same_state(random, tg_tape_random_state(tape)));
}
END_TEST

START_TEST(a_rollback_draws_again)
{
    double a[15], b[15];
    uint64_t before = checksum(net);
    tg_step_begin(tape);
    get(tg_forward(tape, net, x), a, 15);
    tg_step_rollback(tape);
    ck_assert_uint_eq(checksum(net), before);
    get(tg_forward(tape, net, x), b, 15);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert_double_eq(tracked(), 1);
}
END_TEST

START_TEST(a_reset_within_a_step_commits_nothing)
{
    uint64_t before = checksum(net);
    tg_random_state random = tg_tape_random_state(tape);
    tg_step_begin(tape);
    ck_assert_ptr_nonnull(tg_forward(tape, net, x));
    tg_tape_reset(tape);
    ck_assert_uint_eq(checksum(net), before);
    ck_assert(same_state(random, tg_tape_random_state(tape)));
}
END_TEST

static tg_status checked(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                         size_t n_out)
{
    return tg_forward_n(t, arg, in, n_in, out, n_out);
}

START_TEST(a_gradient_check_commits_nothing)
{
    tg_tensor *own;
    ck_assert_int_eq(tg_tensor_create(&own, rt, TG_F64, DIMS(5, 3)), TG_OK);
    double v[15];
    for (size_t i = 0; i < 15; i++)
        v[i] = noise(9, i);
    put(own, v, 15);
    tg_tensor_set_requires_grad(own, true);
    uint64_t before = checksum(net);
    tg_random_state random = tg_tape_random_state(tape);
    ck_assert_msg(tg_gradcheck(tape, checked, net, &own, 1, 1, NULL) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_uint_eq(checksum(net), before);
    ck_assert(same_state(random, tg_tape_random_state(tape)));
    tg_tensor_destroy(own);
}
END_TEST

/* -- a recomputation --------------------------------------------------------------------------------- */

/* One node with a backward of its own over a BatchNorm and a Dropout: when the sweep is recorded, the forward
 * runs a second time. */
static tg_status block_backward(tg_module *m, tg_tape *t, const tg_node *node, tg_tensor *const gy[],
                                tg_tensor *gx[])
{
    (void)m, (void)node;
    gx[0] = tg_mul_scalar(t, gy[0], 1);
    return tg_tape_status(t);
}

START_TEST(a_recomputation_commits_nothing)
{
    tg_layer_class cls = probe_class;
    cls.backward[TG_TRAIN] = cls.backward[TG_EVAL] = block_backward;
    tg_module *block = tg_module_new(rt, &cls, NULL);
    tg_random_state random = tg_tape_random_state(tape);
    tg_tensor *y = tg_forward(tape, block, x), *gx = NULL;
    ck_assert_msg(y != NULL, "%s", tg_tape_error(tape));
    ck_assert_uint_eq(tg_tape_size(tape), 1);
    ck_assert_double_eq(item(tg_module_tensor(block, "bn.num_batches_tracked")), 1);
    uint64_t after = checksum(block);
    tg_module_eval(block); /* the node remembers train mode */
    ck_assert_msg(tg_grad(tape, tg_sum(tape, y), NULL, &x, 1, &gx, TG_CREATE_GRAPH) == TG_OK, "%s",
                  tg_tape_error(tape));
    ck_assert_uint_eq(checksum(block), after);
    ck_assert_uint_eq(tg_tape_random_state(tape).draw, random.draw + 1);
    tg_module_destroy(block);
}
END_TEST

START_TEST(an_eval_between_sees_the_commits_so_far)
{
    /* train, eval, train on one tape: the eval between sees exactly the first one's statistics */
    double got[15], want[15], v[15], mean[3], var[3];
    tg_module *bn = tg_module_find(net, "bn");
    ck_assert_ptr_nonnull(tg_forward(tape, bn, x));
    get(tg_module_tensor(bn, "running_mean"), mean, 3);
    get(tg_module_tensor(bn, "running_var"), var, 3);
    tg_module_eval(bn);
    get(tg_forward(tape, bn, x), got, 15);
    tg_module_train(bn);
    ck_assert_ptr_nonnull(tg_forward(tape, bn, x));
    get(x, v, 15);
    for (int i = 0; i < 15; i++)
        want[i] = (v[i] - mean[i % 3]) / sqrt(var[i % 3] + 1e-5);
    near_to(got, want, 15, 1e-12);
    ck_assert_double_eq(tracked(), 2);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("staging");
    TCase *c = tcase_create("staging");
    tcase_add_checked_fixture(c, open_probe, close_probe);
    tcase_add_test(c, committed_when_the_outermost_forward_ends);
    tcase_add_test(c, committed_in_forward_order);
    tcase_add_test(c, a_failed_forward_leaves_everything);
    tcase_add_test(c, a_rejected_batch_leaves_everything);
    tcase_add_test(c, a_step_commits_at_its_end);
    tcase_add_test(c, steps_nest);
    tcase_add_test(c, a_failure_in_a_step_commits_nothing);
    tcase_add_test(c, a_rollback_draws_again);
    tcase_add_test(c, a_reset_within_a_step_commits_nothing);
    tcase_add_test(c, a_gradient_check_commits_nothing);
    tcase_add_test(c, a_recomputation_commits_nothing);
    tcase_add_test(c, an_eval_between_sees_the_commits_so_far);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
