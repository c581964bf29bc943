/* Modules: names, paths, order, tied weights, children, destruction, registration, error sentences. */
#include "layers/rig.h"

static tg_module *mlp(void)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, 4, 3), tg_nn_batch_norm1d(rt, 3),
                                      tg_nn_sequential(rt, tg_nn_linear(rt, 3, 2), tg_nn_relu(rt)));
    ck_assert_msg(net != NULL, "%s", tg_error_message());
    return net;
}

static void listed(const tg_named_tensors *list, const char *const want[], size_t n)
{
    ck_assert_ptr_nonnull(list);
    ck_assert_uint_eq(list->n, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_str_eq(list->name[i], want[i]);
}
#define LISTED(LIST, ...)                                                                                    \
    listed(LIST, (const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

START_TEST(names_are_torchs_in_torchs_order)
{
    tg_module *net = mlp();
    LISTED(tg_module_parameters(net), "0.weight", "0.bias", "1.weight", "1.bias", "2.0.weight", "2.0.bias");
    LISTED(tg_module_buffers(net), "1.running_mean", "1.running_var", "1.num_batches_tracked");
    LISTED(tg_module_state(net), "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean",
           "1.running_var", "1.num_batches_tracked", "2.0.weight", "2.0.bias");
    ck_assert_ptr_eq(tg_module_state(net)->tensor[7], tg_module_tensor(net, "2.0.weight"));
    tg_module_destroy(net);
}
END_TEST

START_TEST(lists_follow_the_tree)
{
    tg_module *net = mlp(), *inner = tg_module_find(net, "2");
    const tg_named_tensors *before = tg_module_parameters(net);
    ck_assert_uint_eq(before->n, 6);
    ck_assert_ptr_eq(tg_module_parameters(net), before);
    ck_assert_int_eq(tg_nn_sequential_append(inner, "head", tg_nn_linear(rt, 2, 1)), TG_OK);
    LISTED(tg_module_parameters(net), "0.weight", "0.bias", "1.weight", "1.bias", "2.0.weight", "2.0.bias",
           "2.head.weight", "2.head.bias");
    tg_module *empty = tg_nn_relu(rt);
    ck_assert_uint_eq(tg_module_state(empty)->n, 0);
    tg_module_destroy(empty);
    tg_module_destroy(net);
}
END_TEST

START_TEST(paths)
{
    tg_module *net = mlp();
    ck_assert_ptr_eq(tg_module_find(net, ""), net);
    ck_assert_str_eq(tg_module_class_name(tg_module_find(net, "2.1")), "ReLU");
    ck_assert_ptr_eq(tg_module_find(net, "2"), tg_module_child(net, 2));
    ck_assert_str_eq(tg_module_child_name(net, 2), "2");
    ck_assert_uint_eq(tg_module_n_children(net), 3);
    static const char *const none[] = {"3", "2.5", "x", ".", "2.", ".2", "2..0", "0.weight.x", "22"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(tg_module_find(net, none[i]) == NULL, "'%s'", none[i]);
    ck_assert_ptr_nonnull(tg_module_tensor(net, "1.running_mean"));
    static const char *const no_tensor[] = {"",       "1",       "1.", "1.running", "1.running_mean.x",
                                            "weight", "9.weight"};
    for (size_t i = 0; i < sizeof no_tensor / sizeof *no_tensor; i++)
        ck_assert_msg(tg_module_tensor(net, no_tensor[i]) == NULL, "'%s'", no_tensor[i]);
    ck_assert_ptr_null(tg_module_find(net, NULL));
    ck_assert_ptr_null(tg_module_tensor(NULL, "x"));
    ck_assert_ptr_null(tg_module_child(net, 3));
    ck_assert_ptr_null(tg_module_child_name(net, 3));
    ck_assert_ptr_eq(tg_module_runtime(net), rt);
    tg_module_destroy(net);
}
END_TEST

START_TEST(describe)
{
    char buf[64], small[6];
    tg_module *net = mlp();
    ck_assert_str_eq(tg_module_describe(net, buf, sizeof buf), "Sequential");
    ck_assert_str_eq(tg_module_describe(tg_module_find(net, "1"), buf, sizeof buf), "1 (BatchNorm1d)");
    ck_assert_str_eq(tg_module_describe(tg_module_find(net, "2.0"), buf, sizeof buf), "2.0 (Linear)");
    ck_assert_str_eq(tg_module_describe(tg_module_find(net, "2.0"), small, sizeof small), "2.0 (");
    tg_module_destroy(net);
}
END_TEST

START_TEST(a_childs_destroy_does_nothing)
{
    tg_module *net = mlp();
    tg_module_destroy(tg_module_child(net, 0));
    ck_assert_uint_eq(tg_module_n_children(net), 3);
    ck_assert_ptr_nonnull(tg_forward(tape, net, noisy(1, DIMS(5, 4))));
    tg_tensor *w = tg_module_tensor(net, "0.weight");
    tg_module_destroy(net);
    tg_module_destroy(NULL);
    ck_assert(!tg_tensor_is_alive(w));
}
END_TEST

START_TEST(a_sequential_with_a_failed_child)
{
    /* the others are destroyed (rig_close counts), and the sentence is the child's */
    ck_assert_ptr_null(tg_nn_sequential(rt, tg_nn_linear(rt, 4, 3), tg_nn_dropout(rt, 2.0)));
    ck_assert_msg(strstr(tg_error_message(), "Dropout: p is 2"), "%s", tg_error_message());
    ck_assert_msg(strstr(tg_error_message(), "test_module.c:"), "%s", tg_error_message());
    tg_module *one = tg_nn_relu(rt);
    ck_assert_ptr_null(tg_nn_sequential(rt, one, one));
    ck_assert_msg(strstr(tg_error_message(), "parent"), "%s", tg_error_message());
    tg_module *empty = tg_nn_sequential_n(rt, NULL, 0);
    tg_tensor *x = noisy(1, DIMS(2, 2));
    ck_assert_ptr_eq(tg_forward(tape, empty, x), x);
    tg_module_destroy(empty);
}
END_TEST

START_TEST(a_sequential_refuses_children_it_cannot_call)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_relu(rt));
    ck_assert_int_eq(tg_nn_sequential_append(net, NULL, tg_nn_mse_loss(rt, TG_REDUCE_MEAN)), TG_EINVAL);
    failed_with(tg_nn_sequential_append(net, "0", tg_nn_relu(rt)), TG_EINVAL, "taken");
    failed_with(tg_nn_sequential_append(net, "a.b", tg_nn_relu(rt)), TG_EINVAL, "dot");
    failed_with(tg_nn_sequential_append(net, "", tg_nn_relu(rt)), TG_EINVAL, "empty");
    tg_module *linear = tg_nn_linear(rt, 2, 2);
    failed_with(tg_nn_sequential_append(linear, NULL, tg_nn_relu(rt)), TG_EINVAL, "Linear");
    tg_module_destroy(linear);
    ck_assert_int_ne(tg_nn_sequential_append(net, NULL, tg_nn_dropout(rt, -1)), TG_OK);
    ck_assert_msg(strstr(tg_error_message(), "Dropout"), "%s", tg_error_message());
    ck_assert_uint_eq(tg_module_n_children(net), 1);
    tg_module_destroy(net);
}
END_TEST

/* -- a class of one's own: parts --------------------------------------------------------------------- */

static tg_status pass(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)m, (void)t, (void)n;
    out[0] = in[0];
    return TG_OK;
}

static tg_status nothing(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)m, (void)t, (void)n, (void)in, (void)out;
    return TG_OK;
}

static tg_status silent(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)m, (void)t, (void)n, (void)in, (void)out;
    return TG_EINDEX;
}

static const tg_sample sample = {
    .label = "x", .in = TG_SAMPLE_INPUTS({[2], 0 : 1})};
static const tg_sample *samples(size_t *n)
{
    *n = 1;
    return &sample;
}

static tg_layer_class plain_class(void)
{
    return (tg_layer_class){.struct_size = sizeof(tg_layer_class),
                            .name = "Plain",
                            .n_in = 1,
                            .n_out = 1,
                            .forward = {pass, pass},
                            .samples = samples};
}

START_TEST(names_of_parts)
{
    tg_layer_class cls = plain_class();
    tg_module *m = tg_module_new(rt, &cls, NULL);
    tg_tensor *t = NULL;
    ck_assert_int_eq(tg_module_add_parameter(m, "w", DIMS(2, 2), &t), TG_OK);
    ck_assert(tg_tensor_requires_grad(t));
    ck_assert_int_eq(tg_module_add_buffer(m, "b", TG_I64, NULL, 0, &t), TG_OK);
    ck_assert(!tg_tensor_requires_grad(t));
    ck_assert_int_eq(tg_module_add_buffer(m, "c", TG_BOOL, DIMS(3), NULL), TG_OK);
    failed_with(tg_module_add_parameter(m, "w", NULL, 0, &t), TG_EINVAL, "taken");
    ck_assert_ptr_null(t);
    failed_with(tg_module_add_buffer(m, "w", TG_F32, NULL, 0, &t), TG_EINVAL, "taken");
    failed_with(tg_module_add_child(m, "b", tg_nn_relu(rt)), TG_EINVAL, "taken");
    failed_with(tg_module_add_parameter(m, "", NULL, 0, &t), TG_EINVAL, "empty");
    failed_with(tg_module_add_parameter(m, NULL, NULL, 0, &t), TG_EINVAL, "empty");
    failed_with(tg_module_add_buffer(m, "x.y", TG_F32, NULL, 0, &t), TG_EINVAL, "dot");
    failed_with(tg_module_add_parameter(NULL, "x", NULL, 0, &t), TG_EINVAL, "NULL");
    failed_with(tg_module_add_parameter(m, "x", DIMS(-1), &t), TG_ESHAPE, "");
    failed_with(tg_module_add_child(NULL, "x", tg_nn_relu(rt)), TG_EINVAL, "NULL");
    failed_with(tg_module_add_child(m, "m", m), TG_EINVAL, "part of itself");
    LISTED(tg_module_state(m), "w", "b", "c");
    tg_module_destroy(m);
}
END_TEST

START_TEST(no_cycles_and_one_parent)
{
    tg_layer_class cls = plain_class();
    tg_module *a = tg_module_new(rt, &cls, NULL), *b = tg_module_new(rt, &cls, NULL);
    ck_assert_int_eq(tg_module_add_child(a, "b", b), TG_OK);
    failed_with(tg_module_add_child(b, "a", a), TG_EINVAL, "part of itself");
    failed_with(tg_module_add_child(a, "again", b), TG_EINVAL, "parent");
    ck_assert_uint_eq(tg_module_n_children(a), 1);
    ck_assert_uint_eq(tg_module_n_children(b), 0);
    tg_module_destroy(a);
}
END_TEST

START_TEST(tied_weights)
{
    tg_layer_class cls = plain_class();
    tg_module *m = tg_module_new(rt, &cls, NULL);
    ck_assert_int_eq(tg_module_add_child(m, "embed", tg_nn_linear(rt, 3, 2)), TG_OK);
    tg_tensor *w = tg_module_tensor(m, "embed.weight");
    ck_assert_int_eq(tg_module_tie_parameter(m, "out", w), TG_OK);
    ck_assert_ptr_eq(tg_module_tensor(m, "out"), w);
    LISTED(tg_module_parameters(m), "out", "embed.bias"); /* once, under its first name */
    LISTED(tg_module_state(m), "out", "embed.weight", "embed.bias");
    failed_with(tg_module_tie_parameter(m, "out", w), TG_EINVAL, "taken");
    failed_with(tg_module_tie_parameter(m, "n", NULL), TG_EINVAL, "NULL");
    failed_with(tg_module_tie_parameter(m, "n", noisy(1, DIMS(2))), TG_EINVAL, "tape");
    tg_tensor *labels;
    ck_assert_int_eq(tg_tensor_create(&labels, rt, TG_I64, DIMS(2)), TG_OK);
    failed_with(tg_module_tie_parameter(m, "n", labels), TG_EDTYPE, "i64");
    tg_tensor_destroy(labels);
    failed_with(tg_module_tie_parameter(m, "n", labels), TG_ESTALE, "stale");
    tg_module_destroy(m); /* the tied tensor goes once */
    ck_assert(!tg_tensor_is_alive(w));
}
END_TEST

/* -- registration ------------------------------------------------------------------------------------ */

static void without_samples(tg_layer_class *c)
{
    c->samples = NULL;
}

static void without_train(tg_layer_class *c)
{
    c->forward[TG_TRAIN] = NULL;
}

static void without_eval(tg_layer_class *c)
{
    c->forward[TG_EVAL] = NULL;
}

static void without_name(tg_layer_class *c)
{
    c->name = NULL;
}

static void taken(tg_layer_class *c)
{
    c->name = "Linear";
}

static void without_size(tg_layer_class *c)
{
    c->struct_size = 0;
}

static void without_inputs(tg_layer_class *c)
{
    c->n_in = 0;
}

static void many_outputs(tg_layer_class *c)
{
    c->n_out = 17;
}

static const struct broken {
    const char *says;
    void (*breaks)(tg_layer_class *);
} broken[] = {
    {"samples", without_samples}, {"train", without_train},  {"eval", without_eval},
    {"name", without_name},       {"taken", taken},          {"struct_size", without_size},
    {"inputs", without_inputs},   {"outputs", many_outputs},
};
enum { N_BROKEN = sizeof broken / sizeof *broken };

START_TEST(registration_errors)
{
    rig_close();
    ck_assert_int_eq(rig_open_runtime(TG_F64, 1, NULL), TG_OK);
    tg_layer_class cls = plain_class();
    broken[_i].breaks(&cls);
    size_t before = tg_layer_list(rt, NULL, 0);
    failed_with(tg_layer_register(rt, &cls), TG_EINVAL, broken[_i].says);
    ck_assert_uint_eq(tg_layer_list(rt, NULL, 0), before);
}
END_TEST

START_TEST(registration)
{
    rig_close();
    ck_assert_int_eq(rig_open_runtime(TG_F64, 1, NULL), TG_OK);
    tg_layer_class cls = plain_class(), late = plain_class();
    late.name = "Late";
    ck_assert_ptr_null(tg_layer_find(rt, "Plain"));
    ck_assert_int_eq(tg_layer_register(rt, &cls), TG_OK);
    ck_assert_ptr_eq(tg_layer_find(rt, "Plain"), &cls);
    failed_with(tg_layer_register(rt, &cls), TG_EINVAL, "taken");
    failed_with(tg_layer_register(rt, NULL), TG_EINVAL, "name");
    failed_with(tg_layer_register(NULL, &late), TG_EINVAL, "runtime");
    tg_module *m = tg_module_create(rt, "Plain", NULL, 0);
    ck_assert_ptr_nonnull(m);
    tg_module_destroy(m);
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    failed_with(tg_layer_register(rt, &late), TG_ESTATE, "tape");
    const tg_layer_class *all[256];
    size_t n = tg_layer_list(rt, all, 256);
    ck_assert_uint_le(n, 256);
    ck_assert_ptr_eq(all[n - 1], &cls);
}
END_TEST

START_TEST(every_builtin_class_is_whole)
{
    const tg_layer_class *all[256];
    size_t n = tg_layer_list(rt, all, 256), k = 0;
    ck_assert_uint_ge(n, 27);
    for (size_t i = 0; i < n; i++) {
        ck_assert_ptr_nonnull(all[i]->doc);
        ck_assert_ptr_nonnull(all[i]->in_names);
        ck_assert_ptr_nonnull(tg_layer_samples(all[i], &k));
        ck_assert_uint_gt(k, 0);
        for (const tg_attr_spec *s = all[i]->attrs; s && s->name; s++)
            ck_assert_msg(s->doc && *s->doc, "%s.%s has no documentation", all[i]->name, s->name);
    }
}
END_TEST

/* -- calls ------------------------------------------------------------------------------------------- */

START_TEST(bad_calls)
{
    tg_module *relu = tg_nn_relu(rt), *mse = tg_nn_mse_loss(rt, TG_REDUCE_MEAN);
    tg_tensor *x = noisy(1, DIMS(2, 2)), *y = x, *two[2] = {x, x}, *outs[2];
    ck_assert_ptr_null(tg_forward(tape, relu, NULL));
    tape_failed_with(TG_EINVAL, "ReLU: input is NULL");
    ck_assert_ptr_null(tg_forward(tape, NULL, x));
    tape_failed_with(TG_EINVAL, "module is NULL");
    ck_assert_int_eq(tg_forward_n(NULL, relu, &x, 1, &y, 1), TG_EINVAL);
    ck_assert_ptr_null(tg_forward(tape, mse, x));
    tape_failed_with(TG_EINVAL, "called with 1 inputs");
    ck_assert_int_eq(tg_forward_n(tape, relu, two, 2, outs, 1), TG_EINVAL);
    tape_failed_with(TG_EINVAL, "called with 2 inputs");
    ck_assert_int_eq(tg_forward_n(tape, relu, two, 1, outs, 2), TG_EINVAL);
    tape_failed_with(TG_EINVAL, "2 outputs");
    ck_assert_ptr_null(outs[1]);
    two[1] = NULL;
    ck_assert_int_eq(tg_forward_n(tape, mse, two, 2, &y, 1), TG_EINVAL);
    tape_failed_with(TG_EINVAL, "MSELoss: target is NULL");
    ck_assert_int_eq(tg_forward_n(tape, relu, NULL, 1, &y, 1), TG_EINVAL);
    tape_failed_with(TG_EINVAL, "NULL");
    tg_tape_reset(tape);
    ck_assert_ptr_null(tg_forward(tape, relu, x));
    tape_failed_with(TG_ESTALE, "ReLU: input is stale");
    tg_module_destroy(relu);
    tg_module_destroy(mse);
}
END_TEST

START_TEST(a_sticky_error_passes_through)
{
    tg_module *relu = tg_nn_relu(rt);
    tg_tensor *x = noisy(1, DIMS(2, 2));
    ck_assert_ptr_null(tg_matmul(tape, x, noisy(1, DIMS(3, 2))));
    char first[256];
    snprintf(first, sizeof first, "%s", tg_tape_error(tape));
    ck_assert_ptr_null(tg_forward(tape, relu, x));
    ck_assert_ptr_null(tg_forward(tape, relu, NULL));
    ck_assert_str_eq(tg_tape_error(tape), first);
    tg_tape_clear_error(tape);
    ck_assert_ptr_nonnull(tg_forward(tape, relu, x));
    tg_module_destroy(relu);
}
END_TEST

START_TEST(an_operators_error_names_the_module_once)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_sequential(rt, tg_nn_relu(rt), tg_nn_softmax(rt, 5)));
    tg_tensor *x = noisy(1, DIMS(2, 2));
    ck_assert_ptr_null(tg_forward(tape, net, x));
    ck_assert_msg(strncmp(tg_tape_error(tape), "0.1 (Softmax): softmax", 22) == 0, "%s", tg_tape_error(tape));
    const char *place = strstr(tg_tape_error(tape), "test_module.c:");
    ck_assert_msg(place && !strstr(place + 1, "test_module.c:"), "%s", tg_tape_error(tape));
    ck_assert_msg(strstr(tg_error_message(), "0.1 (Softmax)"), "%s", tg_error_message());
    tg_module_destroy(net);
}
END_TEST

START_TEST(a_forward_that_breaks_its_promise)
{
    tg_layer_class none = plain_class(), mute = plain_class();
    none.forward[TG_TRAIN] = nothing;
    mute.forward[TG_TRAIN] = silent;
    tg_module *a = tg_module_new(rt, &none, NULL), *b = tg_module_new(rt, &mute, NULL);
    tg_tensor *x = noisy(1, DIMS(2));
    ck_assert_ptr_null(tg_forward(tape, a, x));
    tape_failed_with(TG_EINVAL, "Plain: its forward left output 0 NULL");
    ck_assert_ptr_null(tg_forward(tape, b, x));
    tape_failed_with(TG_EINDEX, "Plain: the forward returned TG_EINDEX");
    tg_module_destroy(a);
    tg_module_destroy(b);
}
END_TEST

/* Forgives its child's error and has one of its own. */
static tg_status second_thoughts(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)n, (void)out;
    ck_assert_ptr_null(tg_forward(t, tg_module_child(m, 0), in[0]));
    tg_tape_clear_error(t);
    return tg_fail(t, TG_EINVAL, "and yet");
}

START_TEST(an_error_after_a_forgiven_one_is_named_too)
{
    tg_layer_class cls = plain_class();
    cls.forward[TG_TRAIN] = second_thoughts;
    tg_module *m = tg_module_new(rt, &cls, NULL);
    ck_assert_int_eq(tg_module_add_child(m, "inner", tg_nn_linear(rt, 7, 1)), TG_OK);
    ck_assert_ptr_null(tg_forward(tape, m, noisy(1, DIMS(2))));
    tape_failed_with(TG_EINVAL, "Plain: and yet");
    tg_module_destroy(m);
}
END_TEST

START_TEST(two_runtimes)
{
    tg_runtime *other = NULL;
    ck_assert_int_eq(tg_runtime_open(&other, NULL), TG_OK);
    tg_tape *other_tape = NULL;
    ck_assert_int_eq(tg_tape_open(&other_tape, other), TG_OK);
    tg_module *theirs = tg_nn_relu(other), *ours = tg_nn_sequential(rt, tg_nn_relu(rt));
    tg_tensor *x = noisy(1, DIMS(2)), *y = tg_input(other_tape, TG_F32, DIMS(2), NULL);
    ck_assert_ptr_null(tg_forward(tape, theirs, x));
    tape_failed_with(TG_EINVAL, "two runtimes");
    ck_assert_ptr_null(tg_forward(tape, ours, y));
    tape_failed_with(TG_EINVAL, "another runtime");
    failed_with(tg_nn_sequential_append(ours, NULL, theirs), TG_EINVAL, "another runtime");
    tg_module_destroy(ours);
    tg_tape_close(other_tape);
    tg_runtime_close(other);
}
END_TEST

START_TEST(values_inside_a_forward_are_given_back)
{
    tg_module *net = mlp();
    tg_tape_set_recording(tape, false);
    tg_tensor *y = tg_forward(tape, net, noisy(1, DIMS(5, 4)));
    ck_assert(tg_tensor_is_alive(y));
    tg_tape_set_recording(tape, true);
    tg_module_destroy(net);
}
END_TEST

/* -- checksum ---------------------------------------------------------------------------------------- */

START_TEST(checksums)
{
    tg_seed(rt, 3);
    tg_module *a = mlp();
    tg_seed(rt, 3);
    tg_module *b = mlp();
    uint64_t sum = checksum(a);
    ck_assert_uint_eq(sum, checksum(b));
    tg_tensor *w = tg_module_tensor(b, "2.0.bias");
    double v[2];
    get(w, v, 2);
    v[1] = nextafter(v[1], 9);
    put(w, v, 2);
    ck_assert_uint_ne(sum, checksum(b)); /* one bit */
    ck_assert_int_eq(tg_fill(tg_module_tensor(a, "1.num_batches_tracked"), 5), TG_OK);
    ck_assert_uint_ne(sum, checksum(a));
    failed_with(tg_module_checksum(a, NULL), TG_EINVAL, "NULL");
    ck_assert_int_eq(tg_module_checksum(NULL, &sum), TG_EINVAL);
    tg_module_destroy(a);
    tg_module_destroy(b);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("modules");
    TCase *c = tcase_create("parts");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_test(c, names_are_torchs_in_torchs_order);
    tcase_add_test(c, lists_follow_the_tree);
    tcase_add_test(c, paths);
    tcase_add_test(c, describe);
    tcase_add_test(c, a_childs_destroy_does_nothing);
    tcase_add_test(c, a_sequential_with_a_failed_child);
    tcase_add_test(c, a_sequential_refuses_children_it_cannot_call);
    tcase_add_test(c, names_of_parts);
    tcase_add_test(c, no_cycles_and_one_parent);
    tcase_add_test(c, tied_weights);
    tcase_add_test(c, checksums);
    suite_add_tcase(s, c);
    TCase *r = tcase_create("registry");
    tcase_add_checked_fixture(r, rig_open, rig_close);
    tcase_add_loop_test(r, registration_errors, 0, N_BROKEN);
    tcase_add_test(r, registration);
    tcase_add_test(r, every_builtin_class_is_whole);
    suite_add_tcase(s, r);
    TCase *f = tcase_create("calls");
    tcase_add_checked_fixture(f, rig_open, rig_close);
    tcase_add_test(f, bad_calls);
    tcase_add_test(f, a_sticky_error_passes_through);
    tcase_add_test(f, an_operators_error_names_the_module_once);
    tcase_add_test(f, a_forward_that_breaks_its_promise);
    tcase_add_test(f, an_error_after_a_forgiven_one_is_named_too);
    tcase_add_test(f, two_runtimes);
    tcase_add_test(f, values_inside_a_forward_are_given_back);
    suite_add_tcase(s, f);
    return s;
}

TG_TEST_MAIN(suite)
