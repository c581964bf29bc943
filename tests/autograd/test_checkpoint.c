/* Activation checkpointing: the same bits with less memory. */
#include "autograd/rig.h"

/* -- a net with everything that a recomputation could get wrong ------------------------------------------ */

enum { BATCH = 12, WIDTH = 6 };

static tg_module *make_net(void)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, WIDTH, WIDTH), tg_nn_batch_norm1d(rt, WIDTH), tg_nn_tanh(rt),
                                      tg_nn_dropout(rt, 0.4), tg_nn_linear(rt, WIDTH, WIDTH),
                                      tg_nn_batch_norm1d(rt, WIDTH), tg_nn_gelu(rt), tg_nn_dropout(rt, 0.2),
                                      tg_nn_linear(rt, WIDTH, WIDTH));
    ck_assert_msg(net != NULL, "%s", tg_error_message());
    return net;
}

static tg_status forward_of(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    return tg_forward_n(t, arg, in, n_in, out, n_out);
}

/* A checkpoint in a checkpoint. */
static tg_status nested(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    return tg_checkpoint(t, forward_of, arg, in, n_in, out, n_out);
}

enum how { PLAIN, WHOLE, SEGMENTS, NESTED, N_HOW };

static tg_tensor *pass(tg_module *net, tg_tensor *x, enum how how)
{
    tg_tensor *y = NULL;
    switch (how) {
    case PLAIN: return tg_forward(tape, net, x);
    case WHOLE: return tg_checkpoint_forward(tape, net, x);
    case SEGMENTS: return tg_checkpoint_sequential(tape, net, 3, x);
    default: tg_checkpoint(tape, nested, net, &x, 1, &y, 1); return y;
    }
}

typedef struct outcome {
    double loss, gx[BATCH * WIDTH], gradient[256], state[256];
    size_t n_gradient, n_state;
    tg_random_state random;
} outcome;

static size_t append(double *to, size_t at, const tg_tensor *t)
{
    size_t n = (size_t)tg_tensor_count(t);
    if (tg_tensor_dtype(t) == TG_I64) {
        int64_t i;
        ok(tg_tensor_read(t, &i, sizeof i));
        to[at] = (double)i;
        return at + 1;
    }
    ok(tg_tensor_read(t, to + at, n * sizeof *to));
    return at + n;
}

static outcome two_steps(enum how how, bool other_mode_meanwhile, bool step)
{
    outcome o = {0};
    tg_seed(rt, 11);
    tg_tape_set_random_state(tape, (tg_random_state){3, 100});
    tg_module *net = make_net();
    for (int k = 0; k < 2; k++) {
        tg_tape_reset(tape);
        if (step)
            ok(tg_step_begin(tape));
        tg_tensor *x = noise(k, TG_DIMS(BATCH, WIDTH));
        ok(tg_tensor_set_requires_grad(x, true));
        tg_tensor *loss = tg_sum(tape, tg_square(tape, pass(net, x, how)));
        ck_assert_msg(loss != NULL, "%s", tg_tape_error(tape));
        if (other_mode_meanwhile)
            tg_module_eval(net);
        ok(tg_backward(tape, loss));
        tg_module_train(net);
        if (step)
            ok(tg_step_commit(tape));
        o.loss = item(loss);
        ok(tg_tensor_read(tg_tensor_grad(x), o.gx, sizeof o.gx));
    }
    const tg_named_tensors *p = tg_module_parameters(net), *b = tg_module_buffers(net);
    for (size_t i = 0; i < p->n; i++) {
        ck_assert_msg(tg_tensor_grad(p->tensor[i]) != NULL, "%s", p->name[i]);
        o.n_gradient = append(o.gradient, o.n_gradient, tg_tensor_grad(p->tensor[i]));
    }
    for (size_t i = 0; i < b->n; i++)
        o.n_state = append(o.state, o.n_state, b->tensor[i]);
    o.random = tg_tape_random_state(tape);
    tg_module_destroy(net);
    return o;
}

static void same(const outcome *a, const outcome *b)
{
    ck_assert_mem_eq(&a->loss, &b->loss, sizeof a->loss);
    ck_assert_mem_eq(a->gx, b->gx, sizeof a->gx);
    ck_assert_uint_eq(a->n_gradient, b->n_gradient);
    ck_assert_mem_eq(a->gradient, b->gradient, sizeof a->gradient);
    ck_assert_mem_eq(a->state, b->state, sizeof a->state); /* statistics once */
    ck_assert_uint_eq(a->random.draw, b->random.draw);
}

START_TEST(the_same_bits)
{
    outcome plain = two_steps(PLAIN, false, false), other = two_steps((enum how)_i, false, false);
    same(&plain, &other);
    other = two_steps((enum how)_i, true, false); /* the mode is the forward's */
    same(&plain, &other);
    other = two_steps((enum how)_i, false, true); /* in one transaction */
    same(&plain, &other);
}
END_TEST

START_TEST(frozen_statistics_as_they_were)
{
    double g[2][WIDTH * WIDTH];
    for (int k = 0; k < 2; k++) {
        tg_seed(rt, 11);
        tg_module *net = make_net();
        tg_tape_reset(tape);
        tg_tape_set_random_state(tape, (tg_random_state){3, 100});
        tg_module_freeze(net, TG_FREEZE_STATISTICS);
        tg_tensor *loss = tg_sum(tape, tg_square(tape, pass(net, noise(1, TG_DIMS(BATCH, WIDTH)), k ? WHOLE : PLAIN)));
        tg_module_unfreeze(net, TG_FREEZE_STATISTICS);
        ok(tg_backward(tape, loss));
        ck_assert_uint_eq(tg_module_frozen(net), 0);
        ok(tg_tensor_read(tg_tensor_grad(tg_module_tensor(net, "0.weight")), g[k], sizeof g[k]));
        tg_module_destroy(net);
    }
    ck_assert_mem_eq(g[0], g[1], sizeof g[0]);
}
END_TEST

/* -- what the function reaches through its argument ------------------------------------------------------ */

typedef struct closure {
    tg_tensor *w, *mask, *tied;
    int runs;
} closure;

static tg_status two_outputs(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    closure *c = arg;
    ck_assert_uint_eq(n_in, 2);
    ck_assert_uint_eq(n_out, 4);
    c->runs++;
    tg_tensor *h = tg_mul(t, tg_sin(t, tg_mul(t, in[0], c->w)), c->mask);
    h = tg_add(t, h, tg_mul(t, tg_exp(t, c->tied), in[1]));
    out[0] = tg_mul(t, h, c->tied);
    out[1] = tg_cos(t, h);
    out[2] = in[0];                         /* an input itself                */
    out[3] = tg_gt(t, h, tg_detach(t, h)); /* nothing that has a gradient     */
    return tg_tape_status(t);
}

static void closure_pass(closure *c, bool checkpointed, unsigned flags, tg_tensor *const in[2], tg_tensor *g[4])
{
    tg_tensor *out[4];
    tg_tensor *first = tg_mul(tape, in[0], in[1]);
    tg_tensor *given[2] = {first, in[1]};
    if (checkpointed)
        ok(tg_checkpoint(tape, two_outputs, c, given, 2, out, 4));
    else
        ok(two_outputs(c, tape, given, 2, out, 4));
    ck_assert(tg_tensor_requires_grad(out[0]) && tg_tensor_requires_grad(out[2]));
    ck_assert(!tg_tensor_requires_grad(out[3]));
    /* w and tied are used outside, too: sums must go on in the same order */
    tg_tensor *y = tg_add(tape, tg_mul(tape, out[0], out[1]), tg_mul(tape, out[2], c->w));
    y = tg_sum(tape, tg_mul(tape, y, tg_tanh(tape, c->tied)));
    ok(tg_grad(tape, y, NULL, (tg_tensor *[]){in[0], in[1], c->w, c->tied}, 4, g, flags));
}

START_TEST(what_the_function_reaches_is_an_input)
{
    const double v[3] = {0.3, -0.8, 1.1}, u[3] = {0.7, 0.2, -0.4}, m[3] = {1, 0, 2};
    double got[2][4][3], second[2][3], only[2][3];
    for (int k = 0; k < 2; k++) {
        tg_tape_reset(tape);
        tg_tensor *in[2] = {leaf(v, TG_DIMS(3)), leaf(u, TG_DIMS(3))}, *g[4], *gg = NULL;
        closure c = {.w = own(u, TG_DIMS(3)), .tied = own(v, TG_DIMS(3))};
        c.mask = tg_input(tape, TG_F64, TG_DIMS(3), m);
        closure_pass(&c, k, TG_CREATE_GRAPH, in, g);
        for (int i = 0; i < 4; i++)
            ok(tg_tensor_read(g[i], got[k][i], sizeof got[k][i]));
        tg_tensor *s = tg_sum(tape, tg_mul(tape, tg_square(tape, g[2]), g[0]));
        ok(tg_grad(tape, s, NULL, &c.tied, 1, &gg, 0));
        ok(tg_tensor_read(gg, second[k], sizeof second[k]));
        ck_assert_int_eq(c.runs, k ? 3 : 1); /* the second sweep goes through out[], too */
        /* and the first order, for one of them */
        closure_pass(&c, k, 0, in, g);
        ok(tg_tensor_read(g[3], only[k], sizeof only[k]));
        tg_tensor_destroy(c.w);
        tg_tensor_destroy(c.tied);
    }
    ck_assert_mem_eq(got[0], got[1], sizeof got[0]);
    ck_assert_mem_eq(only[0], only[1], sizeof only[0]);
    ck_assert_mem_eq(only[0], got[0][3], sizeof only[0]);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(second[0][i], second[1][i], 1e-12);
}
END_TEST

static tg_status fails(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    (void)n_in, (void)n_out;
    int *left = arg;
    out[0] = tg_dropout(t, tg_sin(t, in[0]), 0.5, TG_TRAIN);
    return (*left)-- ? TG_OK : tg_fail(t, TG_EINVAL, "not now");
}

START_TEST(errors_change_nothing)
{
    const double v[3] = {0.3, -0.8, 1.1};
    int left = 0;
    tg_tensor *x = own(v, TG_DIMS(3)), *y;
    tg_random_state before = tg_tape_random_state(tape);
    ck_assert_int_eq(tg_checkpoint(tape, fails, &left, &x, 1, &y, 1), TG_EINVAL);
    ck_assert_ptr_null(y);
    fails_with(TG_EINVAL, "not now");
    ck_assert_uint_eq(tg_tape_size(tape), 0);
    ck_assert_uint_eq(before.draw, tg_tape_random_state(tape).draw);
    left = 1; /* fails in the recomputation */
    ok(tg_checkpoint(tape, fails, &left, &x, 1, &y, 1));
    ck_assert_uint_eq(before.draw + 1, tg_tape_random_state(tape).draw);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, y)), TG_EINVAL);
    fails_with(TG_EINVAL, "not now");
    ck_assert_ptr_null(tg_tensor_grad(x));
    ck_assert_uint_eq(before.draw + 1, tg_tape_random_state(tape).draw);
    left = 9;
    /* an input that was overwritten is an error */
    ok(tg_checkpoint(tape, fails, &left, &x, 1, &y, 1));
    ok(tg_fill(x, 1));
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, y)), TG_ESTATE);
    fails_with(TG_ESTATE, "overwritten");
    ck_assert_int_eq(tg_checkpoint(tape, NULL, &left, &x, 1, &y, 1), TG_EINVAL);
    fails_with(TG_EINVAL, "the function");
    tg_module *net = make_net();
    ck_assert_ptr_null(tg_checkpoint_sequential(tape, net, 0, noise(1, TG_DIMS(BATCH, WIDTH))));
    fails_with(TG_EINVAL, "0 segments of 9");
    ck_assert_ptr_null(tg_checkpoint_sequential(tape, tg_module_child(net, 0), 1, noise(1, TG_DIMS(BATCH, WIDTH))));
    fails_with(TG_EINVAL, "not a Sequential");
    tg_module_destroy(net);
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(without_recording_it_is_a_call)
{
    const double v[3] = {0.3, -0.8, 1.1};
    int left = 9;
    tg_tensor *x = own(v, TG_DIMS(3)), *y;
    tg_tape_set_recording(tape, false);
    ok(tg_checkpoint(tape, fails, &left, &x, 1, &y, 1));
    ck_assert_uint_eq(tg_tape_size(tape), 0);
    ck_assert(!tg_tensor_requires_grad(y));
    tg_tape_set_recording(tape, true);
    ok(tg_tensor_set_requires_grad(x, false));
    ok(tg_checkpoint(tape, fails, &left, &x, 1, &y, 1));
    ck_assert_uint_eq(tg_tape_size(tape), 0);
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(twice_through_one_that_is_retained)
{
    const double v[3] = {0.3, -0.8, 1.1};
    closure c = {.w = own(v, TG_DIMS(3)), .tied = own(v, TG_DIMS(3)), .mask = own(v, TG_DIMS(3))};
    tg_tensor *in[2] = {leaf(v, TG_DIMS(3)), leaf(v, TG_DIMS(3))}, *out[4], *g[2];
    ok(tg_checkpoint(tape, two_outputs, &c, in, 2, out, 4));
    tg_tensor *y = tg_sum(tape, out[0]);
    ok(tg_grad(tape, y, NULL, in, 1, &g[0], TG_RETAIN));
    size_t nodes = tg_tape_size(tape);
    ok(tg_grad(tape, y, NULL, in, 1, &g[1], 0));
    ck_assert_uint_eq(nodes, tg_tape_size(tape)); /* what was recomputed is forgotten */
    double a[3], b[3];
    ok(tg_tensor_read(g[0], a, sizeof a));
    ok(tg_tensor_read(g[1], b, sizeof b));
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert_int_eq(tg_grad(tape, y, NULL, in, 1, &g[1], 0), TG_ESTATE);
    fails_with(TG_ESTATE, "second time");
    tg_tensor_destroy(c.w);
    tg_tensor_destroy(c.tied);
    tg_tensor_destroy(c.mask);
}
END_TEST

/* -- bytes ----------------------------------------------------------------------------------------------- */

enum { BLOCKS = 50, EVERY = 7, WIDE = 512, ROWS = 256 };

static tg_status block_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    out[0] = tg_add(t, in[0], tg_relu(t, tg_forward(t, tg_module_child(m, 0), in[0])));
    return tg_tape_status(t);
}

static tg_status block_init(tg_module *m, const void *attrs)
{
    (void)attrs;
    return tg_module_add_child(m, "linear", tg_nn_linear(tg_module_runtime(m), WIDE, WIDE));
}

static const tg_layer_class block_class = {.struct_size = sizeof(tg_layer_class),
                                           .name = "Block",
                                           .n_in = 1,
                                           .n_out = 1,
                                           .init = block_init,
                                           .forward = {block_forward, block_forward}};

/* Peak bytes of activations in one step, and a checksum of the gradients. */
static size_t residual(tg_module *net, size_t segments, uint64_t *sum)
{
    static float value[ROWS * WIDE];
    tg_tape *t;
    ck_assert_int_eq(tg_tape_open(&t, rt), TG_OK);
    for (int i = 0; i < ROWS * WIDE; i++)
        value[i] = (float)((i * 37) % 101) / 101.0f - 0.5f;
    tg_tensor *x = tg_input(t, TG_F32, TG_DIMS(ROWS, WIDE), value);
    tg_tensor *y = segments ? tg_checkpoint_sequential(t, net, segments, x) : tg_forward(t, net, x);
    tg_tensor *loss = tg_mean(t, tg_square(t, y));
    ck_assert_msg(tg_backward(t, loss) == TG_OK, "%s", tg_tape_error(t));
    tg_memory m = tg_tape_memory(t);
    fprintf(stderr, "%zu segments: activations %.1f MiB, saved %.1f, gradients %.1f, all %.1f\n", segments,
            (double)m.kind_peak[TG_MEMORY_VALUES] / 0x1p20, (double)m.kind_peak[TG_MEMORY_SAVED] / 0x1p20,
            (double)m.kind_peak[TG_MEMORY_GRADIENTS] / 0x1p20, (double)m.peak / 0x1p20);
    const tg_named_tensors *p = tg_module_parameters(net);
    static float g[WIDE * WIDE];
    *sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        size_t n = (size_t)tg_tensor_count(p->tensor[i]) * sizeof *g;
        ck_assert_int_eq(tg_tensor_read(tg_tensor_grad(p->tensor[i]), g, n), TG_OK);
        for (size_t k = 0; k < n / 4; k++) {
            uint32_t bits;
            memcpy(&bits, &g[k], 4);
            *sum = (*sum ^ bits) * 0x100000001b3u;
        }
        tg_tensor_zero_grad(p->tensor[i]);
    }
    tg_tape_close(t);
    return m.kind_peak[TG_MEMORY_VALUES] + m.kind_peak[TG_MEMORY_SAVED];
}

START_TEST(a_third_of_the_activations)
{
    ok(tg_runtime_set_dtype(rt, TG_F32));
    tg_module *net = tg_nn_sequential_n(rt, NULL, 0);
    for (int i = 0; i < BLOCKS; i++)
        ok(tg_nn_sequential_append(net, NULL, tg_module_new(rt, &block_class, NULL)));
    uint64_t plain, checkpointed;
    size_t all = residual(net, 0, &plain), less = residual(net, BLOCKS / EVERY, &checkpointed);
    ck_assert_uint_eq(plain, checkpointed);
    ck_assert_msg(all >= 3 * less, "%zu bytes and %zu", all, less);
    tg_module_destroy(net);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("checkpoints");
    TCase *c = tcase_create("checkpoint");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, the_same_bits, WHOLE, N_HOW);
    tcase_add_test(c, frozen_statistics_as_they_were);
    tcase_add_test(c, what_the_function_reaches_is_an_input);
    tcase_add_test(c, errors_change_nothing);
    tcase_add_test(c, without_recording_it_is_a_call);
    tcase_add_test(c, twice_through_one_that_is_retained);
    tcase_add_test(c, a_third_of_the_activations);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
