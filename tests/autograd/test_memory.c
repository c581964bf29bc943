/* What is released when; values over a reset; plans that agree with what the step then takes. */
#include "autograd/rig.h"

#include <tapegrad/operator.h>

/* -- saved values go as soon as their last reader has run ------------------------------------------------ */

enum { WIDE = 4096, DEEP = 16, BYTES = WIDE * 8 };

typedef struct watch {
    size_t in_use[256]; /* values and saved, before each rule */
    int n;
} watch;

static void before_rule(void *arg, tg_tape *t, const tg_node *node)
{
    watch *w = arg;
    tg_memory m = tg_tape_memory(t);
    (void)node;
    if (w->n < 256)
        w->in_use[w->n++] = m.kind[TG_MEMORY_VALUES] + m.kind[TG_MEMORY_SAVED];
}

/* A chain of which only nodes hold the values: each sin saves its input. */
static tg_tensor *chain(tg_tensor *x, bool views)
{
    tg_tensor *y = x;
    for (int i = 0; i < DEEP; i++) {
        tg_tensor *next = tg_sin(tape, y);
        if (views) {
            tg_tensor *square = tg_reshape(tape, next, 64, 64), *v = tg_transpose(tape, square, 0, 1);
            tg_tensor *flat = tg_sin(tape, v); /* saves the view */
            tg_discard(next);
            tg_discard(square);
            tg_discard(v);
            next = tg_reshape(tape, flat, WIDE);
            tg_discard(flat);
        }
        if (y != x)
            tg_discard(y);
        y = next;
    }
    return y;
}

static watch watched(tg_tensor *y, unsigned flags)
{
    watch w = {.n = 0};
    tg_observer o = {.arg = &w, .rule = before_rule};
    tg_tape_observe(tape, &o);
    ok(tg_backward_with(tape, tg_sum(tape, y), NULL, flags));
    tg_tape_observe(tape, NULL);
    return w;
}

START_TEST(memory_falls_as_the_sweep_goes)
{
    const bool views = _i;
    tg_tensor *x = tg_input(tape, TG_F64, TG_DIMS(WIDE), NULL);
    ok(tg_tensor_set_requires_grad(x, true));
    watch w = watched(chain(x, views), 0);
    ck_assert_int_ge(w.n, DEEP);
    for (int i = 1; i < w.n; i++)
        ck_assert_msg(w.in_use[i] <= w.in_use[i - 1], "rule %d: %zu after %zu", i, w.in_use[i], w.in_use[i - 1]);
    size_t first = w.in_use[0], last = w.in_use[w.n - 1];
    ck_assert_msg(first >= (size_t)DEEP * BYTES && last <= (views ? 4 : 3) * BYTES + 4096, "%zu to %zu", first, last);
    /* gradients do not pile up either */
    ck_assert_uint_le(tg_tape_memory(tape).kind_peak[TG_MEMORY_GRADIENTS], 6 * BYTES);
}
END_TEST

START_TEST(retained_until_the_last)
{
    tg_tensor *x = tg_input(tape, TG_F64, TG_DIMS(WIDE), NULL);
    ok(tg_tensor_set_requires_grad(x, true));
    tg_tensor *y = chain(x, false);
    size_t before = tg_tape_memory(tape).kind[TG_MEMORY_VALUES];
    watch w = watched(y, TG_RETAIN);
    ck_assert_uint_eq(w.in_use[0], w.in_use[w.n - 1]);
    ck_assert_uint_ge(tg_tape_memory(tape).kind[TG_MEMORY_VALUES], before);
    w = watched(y, 0);
    ck_assert_msg(w.in_use[w.n - 1] <= 3 * BYTES + 4096, "%zu", w.in_use[w.n - 1]);
}
END_TEST

static tg_status segment(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    (void)arg, (void)n_in, (void)n_out;
    out[0] = chain(in[0], false);
    return tg_tape_status(t);
}

START_TEST(checkpoints_hold_one_segment)
{
    enum { SEGMENTS = 8 };
    tg_tensor *x = tg_input(tape, TG_F64, TG_DIMS(WIDE), NULL), *y = x;
    ok(tg_tensor_set_requires_grad(x, true));
    for (int i = 0; i < SEGMENTS; i++) {
        tg_tensor *next = NULL;
        ok(tg_checkpoint(tape, segment, NULL, &y, 1, &next, 1));
        if (y != x)
            tg_discard(y);
        y = next;
    }
    tg_memory m = tg_tape_memory(tape);
    ck_assert_msg(m.kind[TG_MEMORY_VALUES] <= (SEGMENTS + 1) * BYTES + 4096, "%zu", m.kind[TG_MEMORY_VALUES]);
    watch w = watched(y, 0);
    m = tg_tape_memory(tape);
    ck_assert_msg(m.kind_peak[TG_MEMORY_VALUES] <= (SEGMENTS + DEEP + 3) * BYTES, "%zu",
                  m.kind_peak[TG_MEMORY_VALUES]);
    ck_assert_msg(w.in_use[w.n - 1] <= 4 * BYTES, "%zu", w.in_use[w.n - 1]);
}
END_TEST

/* -- over a reset ------------------------------------------------------------------------------------------ */

/* h ← tanh(W·h + U·x): values as without truncation, gradients of the last steps alone. */
START_TEST(recurrent_state)
{
    enum { STEPS = 12, EACH = 3, N = 4 };
    const double start[N] = {0};
    tg_tensor *w = NULL, *h = NULL;
    tg_random_state s = {9, 0};
    tg_runtime_set_random_state(rt, s);
    ok(tg_tensor_create(&w, rt, TG_F64, TG_DIMS(N, N)));
    ok(tg_init_normal(w, 0, 0.5));
    ok(tg_tensor_set_requires_grad(w, true));
    double truncated[N], whole[N], g_truncated[N * N], g_last[N * N];
    size_t reserved = 0;
    for (int k = 0; k < STEPS; k += EACH) {
        tg_tape_reset(tape);
        tg_tensor_zero_grad(w);
        ck_assert(!h || tg_tensor_is_alive(h));
        ck_assert(!h || (tg_tensor_is_leaf(h) && !tg_tensor_requires_grad(h)));
        tg_tensor *was = h;
        if (!h)
            h = tg_input(tape, TG_F64, TG_DIMS(N), start);
        for (int i = k; i < k + EACH; i++)
            h = tg_tanh(tape, tg_add(tape, tg_matmul(tape, w, h), noise(i, TG_DIMS(N))));
        tg_tensor *end = h;
        h = tg_carry(tape, h); /* before the backward: nothing is written */
        ck_assert(h != end);
        ok(tg_backward(tape, tg_sum(tape, end)));
        ok(tg_tensor_read(h, truncated, sizeof truncated));
        ok(tg_tensor_read(tg_tensor_grad(w), g_truncated, sizeof g_truncated));
        if (was)
            ck_assert(tg_tensor_is_alive(was));
        if (k == 2 * EACH)
            reserved = tg_tape_memory(tape).reserved;
        else if (k > 2 * EACH)
            ck_assert_uint_eq(reserved, tg_tape_memory(tape).reserved);
    }
    tg_tensor *old = h;
    tg_tape_reset(tape);
    ck_assert(tg_tensor_is_alive(old)); /* after one reset */
    tg_tensor_destroy(old);             /* not the caller's to destroy */
    ck_assert(tg_tensor_is_alive(old));
    ck_assert_int_eq(tg_tensor_set_requires_grad(old, true), TG_ESTATE);
    tg_tape_reset(tape);
    ck_assert(!tg_tensor_is_alive(old)); /* and no longer */
    ck_assert_ptr_null(tg_carry(tape, old));
    fails_with(TG_ESTALE, "tg_carry");
    tg_tensor_zero_grad(w);
    h = tg_input(tape, TG_F64, TG_DIMS(N), start);
    for (int i = 0; i < STEPS; i++) {
        if (i == STEPS - EACH)
            h = tg_detach(tape, h);
        h = tg_tanh(tape, tg_add(tape, tg_matmul(tape, w, h), noise(i, TG_DIMS(N))));
    }
    ok(tg_backward(tape, tg_sum(tape, h)));
    ok(tg_tensor_read(h, whole, sizeof whole));
    ok(tg_tensor_read(tg_tensor_grad(w), g_last, sizeof g_last));
    ck_assert_mem_eq(truncated, whole, sizeof whole);
    ck_assert_mem_eq(g_truncated, g_last, sizeof g_last);
    h = tg_carry(tape, h);
    tg_tape_close(tape); /* goes with its tape */
    ck_assert(!tg_tensor_is_alive(h));
    ok(tg_tape_open(&tape, rt));
    tg_tensor_destroy(w);
}
END_TEST

/* -- plans ------------------------------------------------------------------------------------------------- */

typedef struct model {
    tg_module *net;
    size_t segments;
    tg_optimizer *optimizer;
    unsigned flags;
} model;

static tg_status train_step(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    const model *m = arg;
    (void)n_in, (void)out, (void)n_out;
    tg_tensor *y = m->segments ? tg_checkpoint_sequential(t, m->net, m->segments, in[0]) : tg_forward(t, m->net, in[0]);
    tg_tensor *loss = tg_cross_entropy(t, y, in[1]);
    if (m->flags & TG_CREATE_GRAPH) { /* a gradient penalty */
        tg_tensor *w = tg_module_tensor(m->net, "0.weight"), *g = NULL;
        tg_status status = tg_grad(t, loss, NULL, &w, 1, &g, TG_CREATE_GRAPH);
        if (status)
            return status;
        loss = tg_add(t, loss, tg_sum(t, tg_square(t, g)));
    }
    tg_status status = tg_backward(t, loss);
    return status ? status : m->optimizer ? tg_optimizer_step(m->optimizer, t) : TG_OK;
}

static tg_module *wide_net(void)
{
    return tg_nn_sequential(rt, tg_nn_linear(rt, 40, 300), tg_nn_batch_norm1d(rt, 300), tg_nn_relu(rt),
                            tg_nn_dropout(rt, 0.3), tg_nn_linear(rt, 300, 200), tg_nn_layer_norm(rt, TG_DIMS(200)),
                            tg_nn_gelu(rt), tg_nn_linear(rt, 200, 200), tg_nn_tanh(rt), tg_nn_linear(rt, 200, 10));
}

static void describe(tg_desc in[2], int64_t batch)
{
    ok(tg_desc_make(&in[0], TG_F64, TG_DIMS(batch, 40)));
    ok(tg_desc_make(&in[1], TG_I64, TG_DIMS(batch)));
}

static void agree(const tg_memory *plan, const tg_memory *real)
{
    ck_assert_uint_eq(plan->peak, real->peak);
    ck_assert_uint_eq(plan->current, real->current);
    for (int k = 0; k < TG_N_MEMORY_KINDS; k++)
        ck_assert_msg(plan->kind_peak[k] == real->kind_peak[k], "kind %d: %zu planned, %zu taken", k,
                      plan->kind_peak[k], real->kind_peak[k]);
}

START_TEST(a_plan_is_what_the_step_takes)
{
    static const model kinds[] = {{.segments = 0}, {.segments = 3}, {.segments = 5}, {.flags = TG_CREATE_GRAPH},
                                  {.segments = 3, .flags = TG_CREATE_GRAPH}};
    for (int eval = 0; eval < 2; eval++) {
        model m = kinds[_i];
        tg_desc in[2];
        tg_memory plan, real;
        uint64_t before, after;
        m.net = wide_net();
        tg_module_set_mode(m.net, eval ? TG_EVAL : TG_TRAIN);
        describe(in, 64);
        ok(tg_module_checksum(m.net, &before));
        tg_random_state state = tg_runtime_random_state(rt);
        ck_assert_msg(tg_plan_memory(rt, train_step, &m, in, 2, &plan) == TG_OK, "%s", tg_error_message());
        ok(tg_module_checksum(m.net, &after));
        ck_assert_uint_eq(before, after);
        ck_assert_uint_eq(state.draw, tg_runtime_random_state(rt).draw);
        ck_assert_ptr_null(tg_tensor_grad(tg_module_tensor(m.net, "0.weight")));
        tg_tape *t;
        ok(tg_tape_open(&t, rt));
        tg_tensor *given[2] = {tg_input(t, TG_F64, TG_DIMS(64, 40), NULL), tg_input(t, TG_I64, TG_DIMS(64), NULL)};
        ck_assert_msg(train_step(&m, t, given, 2, NULL, 0) == TG_OK, "%s", tg_tape_error(t));
        real = tg_tape_memory(t);
        agree(&plan, &real);
        ck_assert_uint_gt(plan.kind_peak[TG_MEMORY_LEAF_GRADIENTS], 300 * 200 * 8);
        tg_tape_close(t);
        tg_module_destroy(m.net);
    }
}
END_TEST

START_TEST(a_plan_of_modules)
{
    tg_module *net = wide_net(), *loss = tg_nn_cross_entropy_loss(rt);
    tg_desc in[2];
    tg_memory training, forward, real;
    describe(in, 32);
    ck_assert_msg(tg_plan_module(net, loss, in, 2, &training) == TG_OK, "%s", tg_error_message());
    tg_module_eval(net);
    ck_assert_msg(tg_plan_module(net, NULL, in, 1, &forward) == TG_OK, "%s", tg_error_message());
    /* What is saved, and the gradients beside it; batch_norm and ReLU, one row, save no value between them. */
    ck_assert_uint_gt(2 * training.peak, 3 * forward.peak);
    tg_tape *t;
    ok(tg_tape_open(&t, rt));
    tg_tape_set_recording(t, false);
    ck_assert_ptr_nonnull(tg_forward(t, net, tg_input(t, TG_F64, TG_DIMS(32, 40), NULL)));
    real = tg_tape_memory(t);
    agree(&forward, &real);
    tg_tape_close(t);
    tg_module_destroy(loss);
    tg_module_destroy(net);
}
END_TEST

START_TEST(nothing_is_touched)
{
    /* far more than there is: 2⁴⁰ bytes an input */
    tg_module *net = wide_net();
    tg_desc in[2];
    tg_memory plan;
    describe(in, (int64_t)1 << 32);
    ck_assert_msg(tg_plan_module(net, NULL, in, 1, &plan) == TG_OK, "%s", tg_error_message());
    ck_assert_uint_gt(plan.peak, (size_t)1 << 43);
    /* an optimizer in the step changes nothing */
    model m = {.net = net, .optimizer = tg_optim_sgd(rt, tg_module_parameters(net), &(tg_sgd_options){.lr = 1})};
    uint64_t before, after;
    ok(tg_module_checksum(net, &before));
    describe(in, 8);
    ck_assert_msg(tg_plan_memory(rt, train_step, &m, in, 2, &plan) == TG_OK, "%s", tg_error_message());
    ok(tg_module_checksum(net, &after));
    ck_assert_uint_eq(before, after);
    tg_optimizer_destroy(m.optimizer);
    tg_module_destroy(net);
}
END_TEST

static tg_status reads_data(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    double x;
    (void)arg, (void)n_in, (void)out, (void)n_out;
    if (tg_item(tg_sum(t, in[0]), &x) == TG_OK)
        tg_discard(in[0]);
    return TG_OK; /* and goes on: the plan still fails */
}

static tg_status wrong_shape(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    (void)arg, (void)n_in, (void)out, (void)n_out;
    tg_matmul(t, in[0], in[0]);
    return tg_tape_status(t);
}

START_TEST(plans_that_fail)
{
    tg_desc in[2];
    tg_memory plan = {.peak = 1};
    describe(in, 8);
    ck_assert_int_eq(tg_plan_memory(rt, reads_data, NULL, in, 2, &plan), TG_ESTATE);
    ck_assert_msg(strstr(tg_error_message(), "tg_plan_memory: the step reads") != NULL, "%s", tg_error_message());
    ck_assert_uint_eq(plan.peak, 0);
    ck_assert_int_eq(tg_plan_memory(rt, wrong_shape, NULL, in, 2, &plan), TG_ESHAPE);
    ck_assert_int_eq(tg_plan_memory(rt, NULL, NULL, in, 2, &plan), TG_EINVAL);
    ck_assert_int_eq(tg_plan_memory(NULL, reads_data, NULL, in, 2, &plan), TG_EINVAL);
    ck_assert_int_eq(tg_plan_module(NULL, NULL, in, 1, &plan), TG_EINVAL);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("memory");
    TCase *c = tcase_create("memory");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, memory_falls_as_the_sweep_goes, 0, 2);
    tcase_add_test(c, retained_until_the_last);
    tcase_add_test(c, checkpoints_hold_one_segment);
    tcase_add_test(c, recurrent_state);
    tcase_add_loop_test(c, a_plan_is_what_the_step_takes, 0, 5);
    tcase_add_test(c, a_plan_of_modules);
    tcase_add_test(c, nothing_is_touched);
    tcase_add_test(c, plans_that_fail);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
