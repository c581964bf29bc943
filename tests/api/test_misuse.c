/* What a program may get wrong: calls at the wrong time, tensors that are gone. Each is an error with a
 * sentence, and nothing has changed. */
#include "api/rig.h"

#include <tapegrad/gradcheck.h>
#include <tapegrad/layer_class.h>

/* -- at the wrong time ---------------------------------------------------------------------------------- */

static tg_status reset_inside(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)m;
    (void)n_in;
    tg_tape_reset(t);
    out[0] = tg_exp(t, in[0]);
    return tg_tape_status(t);
}

static const tg_layer_class resetting = {.struct_size = sizeof(tg_layer_class),
                                         .name = "Resetting",
                                         .n_in = 1,
                                         .n_out = 1,
                                         .forward = {reset_inside, reset_inside}};

START_TEST(reset_inside_a_forward)
{
    double x = 1;
    tg_module *m = tg_module_new(rt, &resetting, NULL);
    tg_tensor *a = input(&x, 1);
    ck_assert_ptr_null(tg_forward(tape, m, a));
    fails_with(TG_ESTATE, "tg_tape_reset");
    ck_assert(tg_tensor_is_alive(a));
    tg_module_destroy(m);
    /* and forwards still commit */
    tg_module *drop = tg_nn_dropout(rt, 0.5);
    uint64_t draw = tg_tape_random_state(tape).draw;
    ck_assert_ptr_nonnull(tg_forward(tape, drop, a));
    ck_assert_uint_eq(tg_tape_random_state(tape).draw, draw + 1);
    tg_module_destroy(drop);
}
END_TEST

/* The gradient of a leaf is the leaf's: nobody else destroys it or makes a leaf of it. */
START_TEST(a_gradient_is_borrowed)
{
    double v[2] = {1, 2};
    tg_tensor *x = vector(v, 2);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_square(tape, x))), TG_OK);
    tg_tensor_destroy(tg_tensor_grad(x));
    reads(tg_tensor_grad(x), (double[]){2, 4}, 2);
    ck_assert_int_eq(tg_tensor_set_requires_grad(tg_tensor_grad(x), true), TG_ESTATE);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, x)), TG_OK);
    reads(tg_tensor_grad(x), (double[]){3, 5}, 2);
    /* as the vector of another backward of the same leaf */
    ck_assert_int_eq(tg_backward_with(tape, x, tg_tensor_grad(x), 0), TG_OK);
    reads(tg_tensor_grad(x), (double[]){6, 10}, 2);
    tg_tensor_destroy(x);
}
END_TEST

/* -- failed calls leave nothing ------------------------------------------------------------------------- */

START_TEST(a_failed_operator_leaves_no_node)
{
    double v[6] = {1, 2, 3, 4, 5, 6};
    tg_tensor *x = NULL;
    ck_assert_int_eq(tg_tensor_wrap(&x, rt, TG_F64, (int64_t[]){2, 3}, (int64_t[]){1, 2}, 2, v),
                     TG_OK); /* a transposed view */
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *wrong = tg_full(tape, TG_F64, DIMS(7), 0);
    size_t nodes = tg_tape_size(tape);
    ck_assert_ptr_null(tg_layer_norm(tape, x, 1, wrong, NULL, 1e-5)); /* wants x row-major */
    fails_with(TG_ESHAPE, NULL);
    ck_assert_uint_eq(tg_tape_size(tape), nodes);
    /* nor does a failed recorded sweep */
    tg_tensor *y = tg_sum(tape, tg_square(tape, x)), *far = tg_full(tape, TG_F64, NULL, 0, 0), *g[2];
    tg_tensor_set_requires_grad(far, true);
    nodes = tg_tape_size(tape);
    ck_assert_int_eq(tg_grad(tape, y, NULL, (tg_tensor *[]){x, far}, 2, g, TG_CREATE_GRAPH), TG_EINVAL);
    tg_tape_clear_error(tape);
    ck_assert_uint_eq(tg_tape_size(tape), nodes);
    ck_assert(!g[0] && !g[1]);
    tg_tensor_destroy(x);
}
END_TEST

/* A forward that tries one child and, where that fails, takes another. */
static tg_module *tried, *other;
static bool succeeded;

static tg_status try_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)m;
    (void)n_in;
    tg_tensor *h = tg_forward(t, tried, in[0]);
    succeeded = h != NULL;
    if (!h)
        tg_tape_clear_error(t);
    out[0] = tg_forward(t, other, in[0]);
    return tg_tape_status(t);
}

static const tg_layer_class trying = {.struct_size = sizeof(tg_layer_class),
                                      .name = "Trying",
                                      .n_in = 1,
                                      .n_out = 1,
                                      .forward = {try_forward, try_forward}};

static double first_of(tg_module *m, const char *name)
{
    double v[3];
    ck_assert_msg(tg_tensor_read(tg_module_tensor(m, name), v, sizeof v) == TG_OK, "%s", tg_error_message());
    return v[0];
}

START_TEST(a_failed_inner_forward_commits_nothing)
{
    double v[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    tried = tg_nn_sequential(rt, tg_nn_batch_norm1d(rt, 3), tg_nn_dropout(rt, 0.5),
                             tg_nn_linear(rt, 4, 2)); /* 4 is wrong */
    other = tg_nn_batch_norm1d(rt, 3);
    tg_module *m = tg_module_new(rt, &trying, NULL);
    ck_assert_int_eq(tg_module_add_child(m, "tried", tried), TG_OK);
    ck_assert_int_eq(tg_module_add_child(m, "other", other), TG_OK);
    tg_random_state before = tg_tape_random_state(tape);
    ck_assert_msg(tg_forward(tape, m, tg_input(tape, TG_F64, DIMS(4, 3), v)) != NULL, "%s",
                  tg_tape_error(tape));
    ck_assert(!succeeded);
    ck_assert_double_eq(first_of(tried, "0.running_mean"), 0);
    ck_assert_double_eq_tol(first_of(other, "running_mean"), 0.55, 1e-12);
    tg_random_state after = tg_tape_random_state(tape);
    ck_assert_mem_eq(&before, &after, sizeof before);
    ck_assert_uint_eq(tg_tape_size(tape), 1); /* the other's */
    tg_module_destroy(m);
}
END_TEST

START_TEST(a_rollback_inside_a_step)
{
    double v[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    tg_module *norm = tg_nn_batch_norm1d(rt, 3);
    tg_tensor *x = tg_input(tape, TG_F64, DIMS(4, 3), v);
    ck_assert_int_eq(tg_step_begin(tape), TG_OK);
    ck_assert_int_eq(tg_step_begin(tape), TG_OK);
    ck_assert_ptr_nonnull(tg_forward(tape, norm, x));
    tg_step_rollback(tape);
    ck_assert_int_eq(tg_step_commit(tape), TG_ESTATE);
    ck_assert_double_eq(first_of(norm, "running_mean"), 0);
    ck_assert_int_eq(tg_tape_status(tape), TG_OK);
    /* the next one is not spoilt */
    ck_assert_int_eq(tg_step_begin(tape), TG_OK);
    ck_assert_ptr_nonnull(tg_forward(tape, norm, x));
    ck_assert_int_eq(tg_step_commit(tape), TG_OK);
    ck_assert_double_eq_tol(first_of(norm, "running_mean"), 0.55, 1e-12);
    tg_module_destroy(norm);
}
END_TEST

static tg_status leaves_a_step_open(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in,
                                    tg_tensor *out[])
{
    (void)m;
    (void)n_in;
    tg_step_begin(t);
    out[0] = tg_exp(t, in[0]);
    return tg_tape_status(t);
}

static const tg_layer_class open_step = {.struct_size = sizeof(tg_layer_class),
                                         .name = "OpenStep",
                                         .n_in = 1,
                                         .n_out = 1,
                                         .forward = {leaves_a_step_open, leaves_a_step_open}};

START_TEST(a_step_left_open_in_a_forward)
{
    double v[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    tg_module *norm = tg_nn_batch_norm1d(rt, 3), *m = tg_module_new(rt, &open_step, NULL);
    tg_tensor *x = tg_input(tape, TG_F64, DIMS(4, 3), v);
    ck_assert_ptr_nonnull(tg_forward(tape, m, x));
    ck_assert_ptr_nonnull(tg_forward(tape, norm, x));
    ck_assert_double_eq_tol(first_of(norm, "running_mean"), 0.55, 1e-12);
    tg_module_destroy(norm);
    tg_module_destroy(m);
}
END_TEST

/* What a destroyed module staged is nowhere to be committed, and its slots may be somebody else's by then. */
START_TEST(a_module_destroyed_in_a_step)
{
    double v[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, seven[3] = {7, 7, 7};
    tg_module *norm = tg_nn_batch_norm1d(rt, 3);
    tg_tensor *later[16];
    ck_assert_int_eq(tg_step_begin(tape), TG_OK);
    ck_assert_ptr_nonnull(tg_forward(tape, norm, tg_input(tape, TG_F64, DIMS(4, 3), v)));
    tg_module_destroy(norm);
    for (int i = 0; i < 16; i++)
        later[i] = vector(seven, 3);
    ck_assert_int_eq(tg_step_commit(tape), TG_ESTALE);
    tg_tape_clear_error(tape);
    for (int i = 0; i < 16; i++) {
        reads(later[i], seven, 3);
        tg_tensor_destroy(later[i]);
    }
}
END_TEST

/* -- layers with a backward of their own, recorded ------------------------------------------------------ */

static tg_status product(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)m;
    (void)n_in;
    out[0] = tg_mul(t, in[0], in[1]);
    return tg_tape_status(t);
}

static tg_status product_back(tg_module *m, tg_tape *t, const tg_node *node, tg_tensor *const gy[],
                              tg_tensor *gx[])
{
    (void)m;
    gx[0] = tg_mul(t, gy[0], tg_node_input(node, 1));
    gx[1] = tg_mul(t, gy[0], tg_node_input(node, 0));
    return tg_tape_status(t);
}

static const tg_layer_class product_class = {.struct_size = sizeof(tg_layer_class),
                                             .name = "Product",
                                             .n_in = 2,
                                             .n_out = 1,
                                             .forward = {product, product},
                                             .backward = {product_back, product_back}};

static tg_status square_of(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                           size_t n_out)
{
    (void)n_in;
    tg_tensor *both[2] = {in[0], in[0]};
    return tg_forward_n(t, arg, both, 2, out, n_out);
}

static tg_status with_own_square(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                                 size_t n_out)
{
    (void)n_in;
    tg_tensor *both[2] = {in[0], tg_square(t, in[0])};
    return tg_forward_n(t, arg, both, 2, out, n_out);
}

/* A replay's gradients are the layer's alone: not counted twice where an input comes twice, or depends on
 * another. */
START_TEST(a_replayed_layer_whose_inputs_depend)
{
    double v[3] = {0.5, -1.5, 2};
    tg_tensor *x = vector(v, 3);
    tg_module *m = tg_module_new(rt, &product_class, NULL);
    tg_gradcheck_options options = tg_gradcheck_defaults();
    options.order = 3;
    ck_assert_msg(tg_gradcheck(tape, square_of, m, &x, 1, 1, &options) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_msg(tg_gradcheck(tape, with_own_square, m, &x, 1, 1, &options) == TG_OK, "%s",
                  tg_tape_error(tape));
    tg_module_destroy(m);
    tg_tensor_destroy(x);
}
END_TEST

static tg_tensor *captured;

static tg_status twice(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)m;
    (void)n_in;
    out[0] = out[1] = tg_mul_scalar(t, in[0], 3);
    out[2] = captured;
    return tg_tape_status(t);
}

static tg_status twice_back(tg_module *m, tg_tape *t, const tg_node *node, tg_tensor *const gy[],
                            tg_tensor *gx[])
{
    (void)m;
    (void)node;
    gx[0] = tg_mul_scalar(t, tg_add(t, gy[0], gy[1]), 3);
    return tg_tape_status(t);
}

static const tg_layer_class twice_class = {.struct_size = sizeof(tg_layer_class),
                                           .name = "Twice",
                                           .n_in = 1,
                                           .n_out = 3,
                                           .forward = {twice, twice},
                                           .backward = {twice_back, twice_back}};

START_TEST(outputs_of_one_node_are_new_and_different)
{
    double v[2] = {1, 2};
    tg_tensor *x = vector(v, 2), *out[3];
    tg_module *m = tg_module_new(rt, &twice_class, NULL);
    captured = input(v, 2);
    tg_tensor_set_requires_grad(captured, true);
    tg_tensor *before = tg_square(tape, captured);
    ck_assert_msg(tg_forward_n(tape, m, &x, 1, out, 3) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_ptr_ne(out[0], out[1]);
    ck_assert_ptr_ne(out[2], captured);
    ck_assert(tg_tensor_is_leaf(captured));
    tg_tensor *loss = tg_add(tape, tg_sum(tape, out[0]), tg_mul_scalar(tape, tg_sum(tape, out[1]), 10));
    ck_assert_int_eq(tg_backward(tape, tg_add(tape, loss, tg_sum(tape, before))), TG_OK);
    reads(tg_tensor_grad(x), (double[]){33, 33}, 2);
    reads(tg_tensor_grad(captured), (double[]){2, 4}, 2);
    tg_module_destroy(m);
    tg_tensor_destroy(x);
}
END_TEST

static tg_status stale_back(tg_module *m, tg_tape *t, const tg_node *node, tg_tensor *const gy[],
                            tg_tensor *gx[])
{
    (void)m;
    gx[0] = tg_mul(t, gy[0], tg_node_input(node, 1));
    tg_discard(gx[0]);
    return tg_tape_status(t);
}

static const tg_layer_class stale_class = {.struct_size = sizeof(tg_layer_class),
                                           .name = "Stale",
                                           .n_in = 2,
                                           .n_out = 1,
                                           .forward = {product, product},
                                           .backward = {stale_back, stale_back}};

START_TEST(a_rule_that_gives_a_stale_gradient)
{
    double v[2] = {1, 2};
    tg_tensor *x = vector(v, 2), *y;
    tg_module *m = tg_module_new(rt, &stale_class, NULL);
    ck_assert_int_eq(tg_forward_n(tape, m, (tg_tensor *[]){x, input(v, 2)}, 2, &y, 1), TG_OK);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, y)), TG_ESTALE);
    fails_with(TG_ESTALE, "stale gradient");
    ck_assert_ptr_null(tg_tensor_grad(x));
    tg_module_destroy(m);
    tg_tensor_destroy(x);
}
END_TEST

/* -- writes --------------------------------------------------------------------------------------------- */

typedef tg_status (*writer)(tg_tensor *);

static tg_status write_it(tg_tensor *t)
{
    return tg_tensor_write(t, (double[]){1, 2, 3, 4}, 4 * sizeof(double));
}

static tg_status fill_it(tg_tensor *t)
{
    return tg_fill(t, 3);
}

static tg_status draw_it(tg_tensor *t)
{
    return tg_init_uniform(t, 0, 1);
}

static const writer writers[] = {write_it, fill_it, draw_it};

/* Whoever writes, and through whichever name of the storage: the backward that saved it notices. */
START_TEST(every_writer_is_noticed)
{
    double v[4] = {1, 2, 3, 4};
    for (int kind = 0; kind < 4; kind++) {
        tg_tensor *x = NULL, *target;
        ck_assert_int_eq(
            tg_tensor_wrap(&x, rt, TG_F64, (int64_t[]){2, 2}, kind == 0 ? (int64_t[]){1, 2} : NULL, 2, v),
            TG_OK);
        tg_tensor_set_requires_grad(x, true);
        tg_tensor *h = kind < 2 ? x : tg_exp(tape, x);
        target = kind == 3 ? tg_detach(tape, tg_transpose(tape, h, 0, 1)) : h;
        tg_tensor *y = tg_sum(tape, tg_square(tape, h));
        ck_assert_msg(writers[_i](target) == TG_OK, "%s", tg_error_message());
        ck_assert_int_eq(tg_backward(tape, y), TG_ESTATE);
        fails_with(TG_ESTATE, "test_misuse.c");
        if (_i == 1) {
            double got[4];
            ck_assert_int_eq(tg_tensor_read(target, got, sizeof got), TG_OK);
            ck_assert_double_eq(got[3], 3);
        }
        tg_tensor_destroy(x);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("misuse");
    const struct {
        const char *name;
        const TTest *test[8];
    } cases[] = {
        {"time", {reset_inside_a_forward, a_gradient_is_borrowed}},
        {"failed",
         {a_failed_operator_leaves_no_node, a_failed_inner_forward_commits_nothing, a_rollback_inside_a_step,
          a_step_left_open_in_a_forward, a_module_destroyed_in_a_step}},
        {"layers",
         {a_replayed_layer_whose_inputs_depend, outputs_of_one_node_are_new_and_different,
          a_rule_that_gives_a_stale_gradient}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TCase *t = tcase_create(cases[i].name);
        tcase_add_checked_fixture(t, setup, teardown);
        for (size_t k = 0; k < 8 && cases[i].test[k]; k++)
            tcase_add_test(t, cases[i].test[k]);
        suite_add_tcase(s, t);
    }
    TCase *writes = tcase_create("writes");
    tcase_add_checked_fixture(writes, setup, teardown);
    tcase_add_loop_test(writes, every_writer_is_noticed, 0, 3);
    suite_add_tcase(s, writes);
    return s;
}

TG_TEST_MAIN(suite)
