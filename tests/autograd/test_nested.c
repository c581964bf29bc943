/* Rules that append to the tape while it is being swept, and sweeps within sweeps: in a program's own row, in a layer's
 * backward, in a checkpoint; three deep; recorded or not. */
#include "autograd/rig.h"

#include <tapegrad/backend_abi.h>

/* -- a row whose rule differentiates by a sweep of its own ------------------------------------------------ */

/* y = x³. At depth 0 the rule is 3x²·gy; above, x³ of one depth less is recorded in the rule, and swept there. */
typedef struct cube_attrs {
    int64_t depth;
} cube_attrs;

static int rules, deepest;

static tg_status cube_infer(const tg_infer *q)
{
    return tg_infer_broadcast(q, q->in[0]->dtype, &q->out[0]);
}

static tg_status cube_run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    for (int64_t i = 0; i < tg_desc_count(c->out); i++) {
        double x = c->out->dtype == TG_F32 ? (double)((const float *)r->in[0])[i] : ((const double *)r->in[0])[i];
        if (c->out->dtype == TG_F32)
            ((float *)r->out[0])[i] = (float)(x * x * x);
        else
            ((double *)r->out[0])[i] = x * x * x;
    }
    return TG_OK;
}

static tg_tensor *cube(tg_tape *t, tg_tensor *x, int64_t depth)
{
    tg_tensor *y = NULL;
    tg_apply(t, tg_operator_find(tg_tape_runtime(t), "cube_by_sweep"), &x, 1, &(cube_attrs){depth}, NULL, &y);
    return y;
}

static tg_status cube_vjp(tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    static int level;
    int64_t depth = ((const cube_attrs *)tg_node_attrs(node))->depth;
    tg_tensor *x = tg_node_input(node, 0);
    rules++;
    level++;
    deepest = level > deepest ? level : deepest;
    if (depth == 0) {
        gx[0] = tg_mul(t, gy[0], tg_mul_scalar(t, tg_square(t, x), 3));
    } else {
        bool recorded = tg_tape_set_recording(t, true);
        tg_tensor *y = cube(t, x, depth - 1);
        tg_grad(t, y, gy[0], &x, 1, &gx[0], recorded ? TG_CREATE_GRAPH : 0);
        tg_tape_set_recording(t, recorded);
    }
    level--;
    return tg_tape_status(t);
}

static const tg_sample *cube_samples(size_t *n)
{
    static const cube_attrs none = {0}, one = {1}, three = {3};
    static const char in[] = "{[2, 3], -2 : 2}";
    static const tg_sample table[] = {{.label = "depth 0", .in = in, .attrs = &none},
                                      {.label = "depth 1", .in = in, .attrs = &one},
                                      {.label = "depth 3", .in = in, .attrs = &three}};
    *n = 3;
    return table;
}

static const tg_kernel cube_kernel = {
    .struct_size = sizeof cube_kernel, .version = 1, .op = "cube_by_sweep", .run = cube_run};
static const tg_operator cube_row = {.struct_size = sizeof cube_row,
                                     .version = 1,
                                     .name = "cube_by_sweep",
                                     .flags = TG_OP_DENSE,
                                     .saves = TG_OP_IN(0),
                                     .n_in = 1,
                                     .n_out = 1,
                                     .attrs_size = sizeof(cube_attrs),
                                     .infer = cube_infer,
                                     .vjp = cube_vjp,
                                     .samples = cube_samples,
                                     .doc = "y = x³",
                                     .kernel = &cube_kernel};

static void with_cube(void)
{
    tg_runtime_options options = {
        .struct_size = sizeof options, .dtype = TG_F64, .threads = 1, .seed = 5};
    ck_assert_int_eq(tg_runtime_open(&rt, &options), TG_OK);
    ck_assert_msg(tg_operator_register(rt, &cube_row) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    rules = deepest = 0;
}

static const double X[3] = {0.5, -1.25, 2};

START_TEST(a_sweep_in_a_rule)
{
    double want[3];
    for (int i = 0; i < 3; i++)
        want[i] = 3 * X[i] * X[i];
    for (int64_t depth = 0; depth <= 3; depth++) {
        tg_tape_reset(tape);
        tg_tensor *x = leaf(X, TG_DIMS(3)), *g = NULL;
        deepest = 0;
        ok(tg_grad(tape, tg_sum(tape, cube(tape, x, depth)), NULL, &x, 1, &g, 0));
        reads(g, want, 3);
        ck_assert_int_eq(deepest, (int)depth + 1);
        /* and handed over to a leaf, among others */
        tg_tensor *y = tg_add(tape, tg_sin(tape, x), cube(tape, tg_mul_scalar(tape, x, 1), depth));
        ok(tg_backward(tape, tg_sum(tape, y)));
        double sum[3];
        for (int i = 0; i < 3; i++)
            sum[i] = want[i] + cos(X[i]);
        reads(tg_tensor_grad(x), sum, 3);
    }
}
END_TEST

/* x³ and its derivatives 3x², 6x, 6, each by a recorded sweep, in which the rules sweep, recorded. */
START_TEST(recorded_three_times)
{
    for (int64_t depth = 0; depth <= 3; depth++) {
        tg_tape_reset(tape);
        tg_tensor *x = leaf(X, TG_DIMS(3)), *g = cube(tape, x, depth);
        for (int k = 0; k < 3; k++) {
            double want[3];
            tg_tensor *y = tg_sum(tape, g);
            for (int i = 0; i < 3; i++)
                want[i] = k == 0 ? 3 * X[i] * X[i] : k == 1 ? 6 * X[i] : 6;
            ok(tg_grad(tape, y, NULL, &x, 1, &g, TG_CREATE_GRAPH));
            reads(g, want, 3);
        }
    }
}
END_TEST

START_TEST(it_checks)
{
    tg_gradcheck_options o = tg_gradcheck_defaults();
    o.order = 3;
    ok(tg_gradcheck_operator(tape, "cube_by_sweep", &o));
    ck_assert_int_gt(deepest, 3);
}
END_TEST

/* What a rule leaves on the tape does not pile up in bytes, and the sweeps around it go on. */
START_TEST(memory_comes_back)
{
    enum { N = 4096, CHAIN = 20 };
    tg_tensor *x = tg_input(tape, TG_F64, TG_DIMS(N), NULL), *y = x;
    ok(tg_tensor_set_requires_grad(x, true));
    for (int i = 0; i < CHAIN; i++) {
        tg_tensor *next = cube(tape, y, 3);
        if (y != x)
            tg_discard(y);
        y = next;
    }
    size_t before = tg_tape_memory(tape).current;
    ok(tg_backward(tape, tg_sum(tape, y)));
    tg_memory m = tg_tape_memory(tape);
    ck_assert_msg(m.peak < before + 12 * N * sizeof(double), "%zu above %zu", m.peak - before, before);
    ck_assert_msg(m.kind[TG_MEMORY_VALUES] + m.kind[TG_MEMORY_GRADIENTS] <= 3 * N * sizeof(double) + 4096,
                  "%zu and %zu stay", m.kind[TG_MEMORY_VALUES], m.kind[TG_MEMORY_GRADIENTS]);
}
END_TEST

START_TEST(an_error_deep_inside)
{
    tg_tensor *x = own(X, TG_DIMS(3)), *y = cube(tape, tg_mul_scalar(tape, x, 2), 3);
    ok(tg_backward_with(tape, tg_sum(tape, y), NULL, TG_RETAIN));
    double first[3];
    ok(tg_tensor_read(tg_tensor_grad(x), first, sizeof first));
    ok(tg_backward_with(tape, tg_sum(tape, y), NULL, 0));
    /* released now: the rule of the outermost is not reached, and the leaf keeps what it has */
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, y)), TG_ESTATE);
    fails_with(TG_ESTATE, "second time");
    for (int i = 0; i < 3; i++)
        first[i] *= 2;
    reads(tg_tensor_grad(x), first, 3);
    ck_assert_int_eq(tg_tape_recording(tape), true);
    tg_tensor_destroy(x);
}
END_TEST

/* -- a layer whose backward sweeps ------------------------------------------------------------------------ */

/* y = w·x³ of 0-dim w; its backward differentiates its forward, written once, by a sweep. */
static tg_status scaled(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    out[0] = tg_mul(t, cube(t, in[0], 1), tg_module_tensor(m, "w"));
    return tg_tape_status(t);
}

static tg_status scaled_backward(tg_module *m, tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_tensor *in[2] = {tg_node_input(node, 0), tg_node_input(node, 1)}, *y;
    bool was = tg_tape_set_recording(t, true);
    tg_status status = scaled(m, t, in, 1, &y);
    if (!status)
        status = tg_grad(t, y, gy[0], in, 2, gx, TG_ALLOW_UNUSED);
    tg_tape_set_recording(t, was);
    return status;
}

static tg_status scaled_init(tg_module *m, const void *attrs)
{
    tg_tensor *w;
    (void)attrs;
    tg_status status = tg_module_add_parameter(m, "w", NULL, 0, &w);
    return status ? status : tg_fill(w, 0.5);
}

static const tg_layer_class scaled_class = {.struct_size = sizeof(tg_layer_class),
                                            .name = "Scaled",
                                            .n_in = 1,
                                            .n_out = 1,
                                            .init = scaled_init,
                                            .forward = {scaled, scaled},
                                            .backward = {scaled_backward, scaled_backward}};

static tg_status two_layers(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    (void)n_in, (void)n_out;
    tg_module **m = arg;
    out[0] = tg_forward(t, m[1], tg_sin(t, tg_forward(t, m[0], in[0])));
    return tg_tape_status(t);
}

static tg_status checkpointed(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    return tg_checkpoint(t, two_layers, arg, in, n_in, out, n_out);
}

/* A gradient inside a forward that is checkpointed: y = x·∂(layers)/∂x. */
static tg_status penalty(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    (void)n_out;
    tg_tensor *y, *g;
    tg_status status = checkpointed(arg, t, in, n_in, &y, 1);
    if (!status)
        status = tg_grad(t, tg_sum(t, y), NULL, in, 1, &g, TG_CREATE_GRAPH);
    if (!status)
        out[0] = tg_mul(t, in[0], g);
    return status;
}

static tg_status checkpointed_penalty(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                                      size_t n_out)
{
    return tg_checkpoint(t, penalty, arg, in, n_in, out, n_out);
}

START_TEST(layers_and_checkpoints_that_sweep)
{
    static const tg_check_fn fn[] = {two_layers, checkpointed, penalty, checkpointed_penalty};
    tg_module *m[2] = {tg_module_new(rt, &scaled_class, NULL), tg_module_new(rt, &scaled_class, NULL)};
    const double x[3] = {0.5, -0.75, 0.9};
    tg_tensor *in[3] = {own(x, TG_DIMS(3)), tg_module_tensor(m[0], "w"), tg_module_tensor(m[1], "w")};
    tg_gradcheck_options o = tg_gradcheck_defaults();
    o.order = _i < 2 ? 3 : 2;
    ck_assert_msg(tg_gradcheck(tape, fn[_i], m, in, 3, 1, &o) == TG_OK, "%s", tg_tape_error(tape));
    tg_tensor_destroy(in[0]);
    tg_module_destroy(m[0]);
    tg_module_destroy(m[1]);
}
END_TEST

/* From the second step on, nested sweeps and checkpoints take no more memory. */
START_TEST(steady)
{
    tg_module *m[2] = {tg_module_new(rt, &scaled_class, NULL), tg_module_new(rt, &scaled_class, NULL)};
    size_t reserved = 0;
    for (int step = 0; step < 5; step++) {
        tg_tape_reset(tape);
        tg_tensor *x = leaf(X, TG_DIMS(3)), *y;
        ok(checkpointed_penalty(m, tape, &x, 1, &y, 1));
        ok(tg_backward(tape, tg_sum(tape, y)));
        for (int k = 0; k < 2; k++)
            tg_tensor_zero_grad(tg_module_tensor(m[k], "w"));
        if (step == 1)
            reserved = tg_tape_memory(tape).reserved;
        else if (step > 1)
            ck_assert_uint_eq(reserved, tg_tape_memory(tape).reserved);
    }
    tg_module_destroy(m[0]);
    tg_module_destroy(m[1]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sweeps within sweeps");
    TCase *c = tcase_create("nested");
    tcase_add_checked_fixture(c, with_cube, teardown);
    tcase_add_test(c, a_sweep_in_a_rule);
    tcase_add_test(c, recorded_three_times);
    tcase_add_test(c, it_checks);
    tcase_add_test(c, memory_comes_back);
    tcase_add_test(c, an_error_deep_inside);
    tcase_add_loop_test(c, layers_and_checkpoints_that_sweep, 0, 4);
    tcase_add_test(c, steady);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
