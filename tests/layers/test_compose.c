/* Models composed by a user: a C struct with a forward of its own, several inputs and outputs, tied weights,
 * layers with a backward of their own. */
#include "layers/rig.h"

/* -- two inputs, one of them optional, two outputs --------------------------------------------------- */

typedef struct two_heads {
    tg_module *trunk, *norm, *left, *right;
    void *own; /* freed by finish */
} two_heads;

typedef struct two_heads_options {
    int64_t width;
} two_heads_options;

static int finished;

static tg_status two_heads_init(tg_module *m, const void *attrs)
{
    const two_heads_options *o = attrs;
    two_heads *self = tg_module_self(m);
    tg_runtime *r = tg_module_runtime(m);
    if (!(self->own = malloc(16)))
        return tg_fail(NULL, TG_ENOMEM, "TwoHeads: out of memory");
    tg_status status = tg_module_add_child(m, "trunk", self->trunk = tg_nn_linear(r, 4, o->width));
    if (!status)
        status = tg_module_add_child(m, "norm", self->norm = tg_nn_batch_norm1d(r, o->width));
    if (!status)
        status = tg_module_add_child(m, "left", self->left = tg_nn_linear(r, o->width, 2));
    if (!status)
        status = tg_module_add_child(m, "right", self->right = tg_nn_linear(r, o->width, 3));
    return status;
}

static tg_status two_heads_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n,
                                   tg_tensor *out[])
{
    two_heads *self = tg_module_self(m);
    ck_assert_uint_eq(n, 2); /* a trailing optional one that the caller left out is there, as NULL */
    tg_tensor *h = tg_forward(t, self->norm, tg_forward(t, self->trunk, in[0]));
    if (in[1])
        h = tg_add(t, h, in[1]);
    h = tg_relu(t, h);
    out[0] = tg_forward(t, self->left, h);
    out[1] = tg_forward(t, self->right, h);
    return tg_tape_status(t);
}

static void two_heads_finish(tg_module *m)
{
    two_heads *self = tg_module_self(m);
    free(self->own);
    finished++;
}

static const tg_attr_spec two_heads_specs[] = {
    {"width", TG_ATTR_INT, 0, offsetof(two_heads_options, width), {8}, NULL, "of the trunk"},
    {NULL, TG_ATTR_NONE, 0, 0, {0}, NULL, NULL},
};
static const char *const two_heads_inputs[] = {"input", "skip"};
static const tg_layer_class two_heads_class = {.struct_size = sizeof(tg_layer_class),
                                               .name = "TwoHeads",
                                               .attrs = two_heads_specs,
                                               .attrs_size = sizeof(two_heads_options),
                                               .state_size = sizeof(two_heads),
                                               .n_in = 2,
                                               .n_out = 2,
                                               .optional = TG_OP_IN(1),
                                               .in_names = two_heads_inputs,
                                               .init = two_heads_init,
                                               .forward = {two_heads_forward, two_heads_forward},
                                               .finish = two_heads_finish};

START_TEST(several_inputs_and_outputs)
{
    finished = 0;
    tg_module *net = tg_module_new(rt, &two_heads_class, NULL);
    ck_assert_msg(net != NULL, "%s", tg_error_message());
    tg_tensor *in[2] = {noisy(1, DIMS(5, 4)), noisy(2, DIMS(5, 8))}, *out[2];
    ck_assert_int_eq(tg_forward_n(tape, net, in, 2, out, 2), TG_OK);
    ck_assert(tg_tensor_dim(out[0], 1) == 2 && tg_tensor_dim(out[1], 1) == 3);
    tg_tensor *loss = tg_add(tape, tg_sum(tape, tg_square(tape, out[0])), tg_mean(tape, out[1]));
    ck_assert_int_eq(tg_backward(tape, loss), TG_OK);
    ck_assert_ptr_nonnull(tg_tensor_grad(in[0]));
    ck_assert_ptr_nonnull(tg_tensor_grad(in[1]));
    const tg_named_tensors *p = tg_module_parameters(net);
    ck_assert_uint_eq(p->n, 8);
    ck_assert_str_eq(p->name[2], "norm.weight");
    for (size_t i = 0; i < p->n; i++)
        ck_assert_msg(tg_tensor_grad(p->tensor[i]) != NULL, "%s", p->name[i]);
    /* without the optional one, NULL or left out */
    double a[10], b[10];
    tg_module_eval(net);
    ck_assert_int_eq(tg_module_mode(tg_module_find(net, "norm")), TG_EVAL);
    in[1] = NULL;
    ck_assert_int_eq(tg_forward_n(tape, net, in, 2, out, 2), TG_OK);
    get(out[0], a, 10);
    ck_assert_int_eq(tg_forward_n(tape, net, in, 1, out, 2), TG_OK);
    get(out[0], b, 10);
    ck_assert_mem_eq(a, b, sizeof a);
    get(tg_forward(tape, net, in[0]), b, 10); /* the first output alone */
    ck_assert_mem_eq(a, b, sizeof a);
    tg_tensor *none[3];
    ck_assert_int_eq(tg_forward_n(tape, net, in, 1, none, 3), TG_EINVAL);
    tape_failed_with(TG_EINVAL, "gives 2");
    ck_assert_int_eq(tg_forward_n(tape, net, in, 1, none, 0), TG_EINVAL);
    tape_failed_with(TG_EINVAL, "gives 2");
    in[0] = noisy(1, DIMS(5, 3));
    ck_assert_int_eq(tg_forward_n(tape, net, in, 1, out, 2), TG_ESHAPE);
    tape_failed_with(TG_ESHAPE, "trunk (Linear): got");
    ck_assert_ptr_null(out[0]);
    tg_module_destroy(net);
    ck_assert_int_eq(finished, 1);
}
END_TEST

START_TEST(options_of_ones_own)
{
    tg_module *net = tg_module_new(rt, &two_heads_class, &(two_heads_options){.width = 5});
    ck_assert_int_eq(tg_tensor_dim(tg_module_tensor(net, "left.weight"), 1), 5);
    ck_assert_int_eq(((const two_heads_options *)tg_module_attrs(net))->width, 5);
    tg_module_destroy(net);
}
END_TEST

/* Draws for a child, then fails. */
static tg_status late_init(tg_module *m, const void *attrs)
{
    (void)attrs;
    tg_status status = tg_module_add_child(m, "drawn", tg_nn_linear(tg_module_runtime(m), 4, 3));
    return status ? status : tg_fail(NULL, TG_EINVAL, "Late: no");
}

START_TEST(an_init_that_fails_halfway)
{
    tg_layer_class late = two_heads_class;
    finished = 0;
    tg_random_state before = tg_runtime_random_state(rt);
    ck_assert_ptr_null(tg_module_new(rt, &two_heads_class, &(two_heads_options){.width = 0}));
    ck_assert_msg(strstr(tg_error_message(), "num_features is 0"), "%s", tg_error_message());
    ck_assert_int_eq(finished, 1); /* what init had put into the state is freed */
    late.init = late_init;
    late.finish = NULL;
    ck_assert_ptr_null(tg_module_new(rt, &late, NULL));
    failed_with(TG_EINVAL, TG_EINVAL, "Late: no");
    ck_assert(same_state(before, tg_runtime_random_state(rt)));
}
END_TEST

START_TEST(modules_within_a_sequential)
{
    tg_layer_class cls = two_heads_class;
    tg_module *inner = tg_module_new(rt, &cls, NULL);
    tg_module *net = tg_nn_sequential(rt, tg_nn_relu(rt));
    ck_assert_int_ne(tg_nn_sequential_append(net, NULL, inner), TG_OK); /* two outputs */
    tg_module_destroy(net);
}
END_TEST

/* -- tied weights: y = x·Wᵀ·W ------------------------------------------------------------------------ */

typedef struct autoencoder {
    tg_module *encoder;
    tg_tensor *tied;
} autoencoder;

static tg_status autoencoder_init(tg_module *m, const void *attrs)
{
    (void)attrs;
    autoencoder *self = tg_module_self(m);
    tg_linear_options o = tg_linear_defaults(4, 2);
    o.bias = false;
    self->encoder = tg_nn_linear_with(tg_module_runtime(m), &o);
    tg_status status = tg_module_add_child(m, "encoder", self->encoder);
    if (status)
        return status;
    self->tied = tg_module_tensor(m, "encoder.weight");
    return tg_module_tie_parameter(m, "decoder", self->tied);
}

static tg_status autoencoder_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n,
                                     tg_tensor *out[])
{
    (void)n;
    autoencoder *self = tg_module_self(m);
    out[0] = tg_matmul(t, tg_forward(t, self->encoder, in[0]), self->tied);
    return tg_tape_status(t);
}

static const tg_layer_class autoencoder_class = {.struct_size = sizeof(tg_layer_class),
                                                 .name = "Autoencoder",
                                                 .state_size = sizeof(autoencoder),
                                                 .n_in = 1,
                                                 .n_out = 1,
                                                 .init = autoencoder_init,
                                                 .forward = {autoencoder_forward, autoencoder_forward}};

static tg_status checked(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                         size_t n_out)
{
    (void)n_in;
    return tg_forward_n(t, arg, in, 1, out, n_out);
}

START_TEST(tied_weights_learn_from_both_uses)
{
    tg_module *net = tg_module_new(rt, &autoencoder_class, NULL);
    ck_assert_msg(net != NULL, "%s", tg_error_message());
    ck_assert_uint_eq(tg_module_parameters(net)->n, 1);
    ck_assert_uint_eq(tg_module_state(net)->n, 2);
    tg_tensor *in[2] = {NULL, tg_module_tensor(net, "decoder")};
    ck_assert_int_eq(tg_tensor_create(&in[0], rt, TG_F64, DIMS(3, 4)), TG_OK);
    ck_assert_int_eq(tg_init_uniform(in[0], -1, 1), TG_OK);
    tg_tensor_set_requires_grad(in[0], true);
    /* with respect to the shared weight: the sum of both uses */
    ck_assert_msg(tg_gradcheck(tape, checked, net, in, 2, 1, NULL) == TG_OK, "%s", tg_tape_error(tape));
    tg_tensor_destroy(in[0]);
    /* frozen at one end, frozen at the other */
    tg_module_freeze(tg_module_find(net, "encoder"), TG_FREEZE_AFFINE);
    ck_assert(!tg_tensor_requires_grad(tg_module_tensor(net, "decoder")));
    tg_module_unfreeze(net, TG_FREEZE_AFFINE);
    ck_assert(tg_tensor_requires_grad(tg_module_tensor(net, "decoder")));
    tg_module_destroy(net);
}
END_TEST

/* -- a backward of its own --------------------------------------------------------------------------- */

/* y = w·x in train, the very input in eval; out[1] = x. */
static tg_status scale_init(tg_module *m, const void *attrs)
{
    (void)attrs;
    return tg_module_add_parameter(m, "w", NULL, 0, NULL);
}

static tg_status scale_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)n;
    out[0] = tg_mul(t, in[0], tg_module_tensor(m, "w"));
    out[1] = in[0];
    return tg_tape_status(t);
}

static int backward_runs[TG_N_MODES];

static tg_status scale_backward(tg_module *m, tg_tape *t, const tg_node *node, tg_tensor *const gy[],
                                tg_tensor *gx[])
{
    (void)m;
    backward_runs[tg_node_mode(node)]++;
    tg_tensor *x = tg_node_input(node, 0), *w = tg_node_input(node, 1);
    if (tg_node_needs(node, 0))
        gx[0] = tg_add(t, tg_mul(t, gy[0], w), gy[1]);
    if (tg_node_needs(node, 1))
        gx[1] = tg_sum(t, tg_mul(t, gy[0], x));
    return tg_tape_status(t);
}

static tg_layer_class scale_class(void)
{
    return (tg_layer_class){.struct_size = sizeof(tg_layer_class),
                            .name = "Scale",
                            .n_in = 1,
                            .n_out = 2,
                            .init = scale_init,
                            .forward = {scale_forward, scale_forward},
                            .backward = {scale_backward, scale_backward}};
}

START_TEST(one_node_with_a_backward_of_its_own)
{
    tg_layer_class cls = scale_class();
    tg_module *m = tg_module_new(rt, &cls, NULL);
    ck_assert_int_eq(tg_fill(tg_module_tensor(m, "w"), 3), TG_OK);
    tg_tensor *x = input(DIMS(2), (double[]){5, 7}), *out[2];
    tg_tensor_set_requires_grad(x, true);
    for (int mode = 0; mode < TG_N_MODES; mode++) {
        backward_runs[0] = backward_runs[1] = 0;
        tg_module_set_mode(m, (tg_mode)mode);
        size_t nodes = tg_tape_size(tape);
        ck_assert_msg(tg_forward_n(tape, m, &x, 1, out, 2) == TG_OK, "%s", tg_tape_error(tape));
        ck_assert_uint_eq(tg_tape_size(tape), nodes + 1);
        ck_assert_ptr_ne(out[1], x); /* a node's output is a value of its own, over x's storage */
        tg_module_train(m);
        tg_tensor *loss = tg_add(tape, tg_sum(tape, out[0]), tg_mul_scalar(tape, tg_sum(tape, out[1]), 10));
        ck_assert_msg(tg_backward(tape, loss) == TG_OK, "%s", tg_tape_error(tape));
        ck_assert_int_eq(backward_runs[mode], 1);
        ck_assert_int_eq(backward_runs[!mode], 0);
        double g[2];
        get(tg_tensor_grad(x), g, 2);
        near_to(g, (double[]){13, 13}, 2, 1e-14);
        ck_assert_double_eq(item(tg_tensor_grad(tg_module_tensor(m, "w"))), 12);
        tg_tensor_zero_grad(x);
        tg_tensor_zero_grad(tg_module_tensor(m, "w"));
    }
    /* one output unused: zeros come back */
    ck_assert_int_eq(tg_forward_n(tape, m, &x, 1, out, 2), TG_OK);
    ck_assert_msg(tg_backward(tape, tg_sum(tape, out[0])) == TG_OK, "%s", tg_tape_error(tape));
    double g[2];
    get(tg_tensor_grad(x), g, 2);
    near_to(g, (double[]){3, 3}, 2, 0);
    /* not recorded: no node */
    size_t nodes = tg_tape_size(tape);
    tg_tape_set_recording(tape, false);
    ck_assert_int_eq(tg_forward_n(tape, m, &x, 1, out, 2), TG_OK);
    tg_tape_set_recording(tape, true);
    ck_assert_uint_eq(tg_tape_size(tape), nodes);
    tg_module_destroy(m);
}
END_TEST

START_TEST(a_recorded_sweep_replays)
{
    tg_layer_class cls = scale_class();
    for (int once = 0; once < 2; once++) {
        cls.flags = once ? TG_LAYER_ONCE : 0;
        tg_module *m = tg_module_new(rt, &cls, NULL);
        ck_assert_int_eq(tg_fill(tg_module_tensor(m, "w"), 3), TG_OK);
        tg_tensor *x = input(DIMS(2), (double[]){5, 7}), *out[2], *gx = NULL, *gw = NULL;
        tg_tensor_set_requires_grad(x, true);
        ck_assert_int_eq(tg_forward_n(tape, m, &x, 1, out, 2), TG_OK);
        tg_tensor *y = tg_sum(tape, tg_mul(tape, out[0], out[1]));
        tg_status status = tg_grad(tape, y, NULL, &x, 1, &gx, TG_CREATE_GRAPH);
        if (once) {
            ck_assert_int_eq(status, TG_ENODERIV);
            tape_failed_with(TG_ENODERIV, "Scale");
        } else {
            ck_assert_msg(status == TG_OK, "%s", tg_tape_error(tape));
            double g[2];
            get(gx, g, 2);
            near_to(g, (double[]){30, 42}, 2, 1e-14); /* 2·w·x */
            tg_tensor *w = tg_module_tensor(m, "w");
            ck_assert_int_eq(tg_grad(tape, tg_sum(tape, gx), NULL, &w, 1, &gw, 0), TG_OK);
            ck_assert_double_eq(item(gw), 24); /* Σ 2·x */
        }
        tg_module_destroy(m);
        tg_tape_reset(tape);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("composed models");
    TCase *c = tcase_create("compose");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_test(c, several_inputs_and_outputs);
    tcase_add_test(c, options_of_ones_own);
    tcase_add_test(c, an_init_that_fails_halfway);
    tcase_add_test(c, modules_within_a_sequential);
    tcase_add_test(c, tied_weights_learn_from_both_uses);
    suite_add_tcase(s, c);
    TCase *b = tcase_create("own_backward");
    tcase_add_checked_fixture(b, rig_open, rig_close);
    tcase_add_test(b, one_node_with_a_backward_of_its_own);
    tcase_add_test(b, a_recorded_sweep_replays);
    suite_add_tcase(s, b);
    return s;
}

TG_TEST_MAIN(suite)
