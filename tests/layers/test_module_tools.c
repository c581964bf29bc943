/* Deep copies, walks over all parts, a child in another's place. */
#include <stdio.h>

#include <tapegrad/module_tools.h>

#include "layers/rig.h"

/* Convolution, statistics, a Sequential in a Sequential, and a parameter tied to another layer's. */
static tg_module *model(void)
{
    tg_module *inner = tg_nn_sequential(rt, tg_nn_conv2d(rt, 2, 3, 3), tg_nn_batch_norm2d(rt, 3));
    tg_module *tail = tg_nn_identity(rt);
    tg_module *m =
        tg_nn_sequential(rt, inner, tg_nn_relu(rt), tg_nn_flatten(rt), tg_nn_linear(rt, 12, 2), tail);
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    ck_assert_int_eq(tg_module_tie_parameter(tail, "weight", tg_module_tensor(m, "3.weight")), TG_OK);
    return m;
}

static tg_tensor *run(tg_module *m)
{
    tg_tensor *x = tg_input(tape, TG_F64, DIMS(3, 2, 4, 4), NULL);
    double values[96];
    for (int i = 0; i < 96; i++)
        values[i] = noise(5, (size_t)i);
    ck_assert_int_eq(tg_tensor_write(x, values, sizeof values), TG_OK);
    tg_tensor *y = tg_forward(tape, m, x);
    ck_assert_msg(y != NULL, "%s", tg_tape_error(tape));
    return y;
}

START_TEST(a_copy_is_the_same_and_apart)
{
    tg_module *m = model();
    run(m); /* moves the statistics */
    tg_tape_reset(tape);
    tg_module_eval(tg_module_find(m, "0.1"));
    tg_module_freeze(tg_module_find(m, "0.0"), TG_FREEZE_AFFINE);
    tg_tensor_set_requires_grad(tg_module_tensor(m, "3.bias"), false);
    const tg_random_state before = tg_runtime_random_state(rt);
    tg_module *copy = tg_module_copy(m);
    ck_assert_msg(copy != NULL, "%s", tg_error_message());
    const tg_random_state after = tg_runtime_random_state(rt);
    ck_assert_mem_eq(&before, &after, sizeof before);
    const uint64_t sum = checksum(m);
    ck_assert_uint_eq(checksum(copy), sum);
    ck_assert_int_eq(tg_module_mode(copy), TG_TRAIN);
    ck_assert_int_eq(tg_module_mode(tg_module_find(copy, "0.1")), TG_EVAL);
    ck_assert_uint_eq(tg_module_frozen(tg_module_find(copy, "0.0")), TG_FREEZE_AFFINE);
    ck_assert_uint_eq(tg_module_frozen(tg_module_find(copy, "0.1")), 0);
    const tg_named_tensors *p = tg_module_parameters(m), *q = tg_module_parameters(copy);
    ck_assert_uint_eq(q->n, p->n);
    for (size_t i = 0; i < p->n; i++) {
        ck_assert_str_eq(q->name[i], p->name[i]);
        ck_assert_ptr_ne(q->tensor[i], p->tensor[i]);
        ck_assert_int_eq(tg_tensor_requires_grad(q->tensor[i]), tg_tensor_requires_grad(p->tensor[i]));
    }
    tg_module_unfreeze(
        copy, TG_FREEZE_AFFINE); /* what the freeze took comes back, what the program took does not */
    ck_assert(tg_tensor_requires_grad(tg_module_tensor(copy, "0.0.weight")));
    ck_assert(!tg_tensor_requires_grad(tg_module_tensor(copy, "3.bias")));
    ck_assert(!tg_tensor_requires_grad(tg_module_tensor(m, "0.0.weight")));
    double a[6], b[6];
    ck_assert_int_eq(tg_tensor_read(run(m), a, sizeof a), TG_OK);
    ck_assert_int_eq(tg_tensor_read(run(copy), b, sizeof b), TG_OK);
    ck_assert_mem_eq(a, b, sizeof a);
    tg_tape_reset(tape);
    ck_assert_int_eq(tg_fill(tg_module_tensor(copy, "3.weight"), 0.5), TG_OK);
    ck_assert_uint_eq(checksum(m), sum);
    tg_module_destroy(m);
    ck_assert_int_eq(tg_tensor_read(run(copy), b, sizeof b), TG_OK);
    tg_tape_reset(tape);
    tg_module_destroy(copy);
}
END_TEST

START_TEST(ties_stay_inside_the_copy)
{
    tg_module *m = model();
    tg_tensor *mine;
    ck_assert_int_eq(tg_tensor_create(&mine, rt, TG_F64, DIMS(2)), TG_OK);
    ck_assert_int_eq(tg_module_tie_parameter(tg_module_find(m, "1"), "mine", mine), TG_OK);
    /* Before the owner in the order of the parts. */
    ck_assert_int_eq(tg_module_tie_parameter(tg_module_find(m, "0.0"), "late", tg_module_tensor(m, "3.bias")),
                     TG_OK);
    tg_module *copy = tg_module_copy(m);
    ck_assert_msg(copy != NULL, "%s", tg_error_message());
    ck_assert_ptr_eq(tg_module_tensor(copy, "4.weight"), tg_module_tensor(copy, "3.weight"));
    ck_assert_ptr_eq(tg_module_tensor(copy, "0.0.late"), tg_module_tensor(copy, "3.bias"));
    ck_assert_ptr_ne(tg_module_tensor(copy, "4.weight"), tg_module_tensor(m, "4.weight"));
    ck_assert_ptr_eq(tg_module_tensor(copy, "1.mine"), mine);
    ck_assert_uint_eq(tg_module_parameters(copy)->n, tg_module_parameters(m)->n);
    tg_module *twice = tg_module_copy(copy);
    ck_assert_ptr_eq(tg_module_tensor(twice, "4.weight"), tg_module_tensor(twice, "3.weight"));
    tg_module_destroy(twice);
    tg_module_destroy(copy);
    tg_module_destroy(m);
    tg_tensor_destroy(mine);
}
END_TEST

/* A class whose init makes a child and ties to it; parts and children are added later, too. */
typedef struct own {
    tg_module *encoder;
    tg_tensor *tied;
} own;

static int made;

static tg_status own_init(tg_module *m, const void *attrs)
{
    own *self = tg_module_self(m);
    (void)attrs;
    made++;
    self->encoder = tg_nn_linear(rt, 4, 2);
    tg_status status = tg_module_add_child(m, "encoder", self->encoder);
    self->tied = tg_module_tensor(m, "encoder.weight");
    if (!status)
        status = tg_module_tie_parameter(m, "decoder", self->tied);
    if (!status && made == 3) /* the third time another one */
        status = tg_module_add_child(m, "more", tg_nn_relu(rt));
    return status;
}

static tg_status own_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    own *self = tg_module_self(m);
    (void)n;
    out[0] = tg_matmul(t, tg_forward(t, self->encoder, in[0]), self->tied);
    return tg_tape_status(t);
}

static const tg_layer_class own_class = {.struct_size = sizeof(tg_layer_class),
                                         .name = "Own",
                                         .state_size = sizeof(own),
                                         .n_in = 1,
                                         .n_out = 1,
                                         .init = own_init,
                                         .forward = {own_forward, own_forward}};

START_TEST(what_init_makes_and_what_came_later)
{
    made = 0;
    tg_module *m = tg_module_new(rt, &own_class, NULL);
    ck_assert_int_eq(tg_module_add_child(m, "later", tg_nn_sequential(rt, tg_nn_linear(rt, 2, 2))), TG_OK);
    ck_assert_int_eq(tg_module_add_buffer(m, "count", TG_I64, DIMS(2), &(tg_tensor *){NULL}), TG_OK);
    ck_assert_int_eq(tg_tensor_write(tg_module_tensor(m, "count"), (int64_t[]){3, 4}, 16), TG_OK);
    ck_assert_int_eq(tg_module_add_parameter(m, "scale", DIMS(1), NULL), TG_OK);
    ck_assert_int_eq(tg_fill(tg_module_tensor(m, "scale"), 7), TG_OK);
    tg_module *copy = tg_module_copy(m);
    ck_assert_msg(copy != NULL, "%s", tg_error_message());
    ck_assert_uint_eq(checksum(copy), checksum(m));
    ck_assert_ptr_eq(((own *)tg_module_self(copy))->tied, tg_module_tensor(copy, "decoder"));
    ck_assert_ptr_eq(tg_module_tensor(copy, "decoder"), tg_module_tensor(copy, "encoder.weight"));
    ck_assert_int_eq(tg_fill(tg_module_tensor(copy, "encoder.weight"), 1), TG_OK);
    ck_assert_uint_ne(checksum(copy), checksum(m));
    ck_assert_ptr_null(tg_module_copy(m));
    ck_assert_msg(
        strstr(tg_error_message(), "Own: made from its arguments again, it has another child later") != NULL,
        "%s", tg_error_message());
    tg_module_destroy(copy);
    tg_module_destroy(m);
    ck_assert_ptr_null(tg_module_copy(NULL));
}
END_TEST

/* Whatever is registered, with the arguments of its samples. */
START_TEST(every_layer_copies)
{
    const tg_layer_class *list[512];
    const size_t n = tg_layer_list(rt, list, 512);
    ck_assert_uint_lt(n, 512);
    for (size_t i = 0; i < n; i++) {
        size_t k;
        const tg_sample *samples = tg_layer_samples(list[i], &k);
        while (k-- > 0) {
            tg_module *m = tg_module_new(rt, list[i], samples[k].attrs);
            ck_assert_msg(m != NULL, "%s: %s", list[i]->name, tg_error_message());
            tg_module *copy = tg_module_copy(m);
            ck_assert_msg(copy != NULL, "%s: %s", list[i]->name, tg_error_message());
            ck_assert_msg(checksum(copy) == checksum(m), "%s, %s", list[i]->name, samples[k].label);
            tg_module_destroy(m);
            tg_module_destroy(copy);
        }
    }
    double factors[] = {0.5, 2, 3};
    tg_tensor *weight;
    ck_assert_int_eq(tg_tensor_create(&weight, rt, TG_F64, DIMS(3)), TG_OK);
    ck_assert_int_eq(tg_tensor_write(weight, factors, sizeof factors), TG_OK);
    tg_module *loss =
        tg_module_create(rt, "CrossEntropyLoss", (tg_attr[]){{"weight", TG_ATTR_TENSOR, {.t = weight}}}, 1);
    tg_tensor_destroy(weight);
    tg_module *copy = tg_module_copy(loss);
    ck_assert_msg(copy != NULL, "%s", tg_error_message());
    ck_assert_uint_eq(checksum(copy), checksum(loss));
    ck_assert_ptr_ne(tg_module_tensor(copy, "weight"), tg_module_tensor(loss, "weight"));
    tg_module_destroy(loss);
    tg_module_destroy(copy);
}
END_TEST

/* A copy is of the original's dtypes, whatever the runtime makes by now. */
START_TEST(a_copy_keeps_its_dtypes)
{
    tg_module *m = model();
    ck_assert_int_eq(tg_runtime_set_dtype(rt, TG_F32), TG_OK);
    tg_module *late = tg_nn_linear(rt, 2, 2);
    ck_assert_int_eq(tg_nn_sequential_append(m, "late", late), TG_OK);
    tg_module *copy = tg_module_copy(m);
    ck_assert_msg(copy != NULL, "%s", tg_error_message());
    ck_assert_int_eq(tg_runtime_dtype(rt), TG_F32);
    ck_assert_int_eq(tg_tensor_dtype(tg_module_tensor(copy, "0.0.weight")), TG_F64);
    ck_assert_int_eq(tg_tensor_dtype(tg_module_tensor(copy, "0.1.running_var")), TG_F64);
    ck_assert_int_eq(tg_tensor_dtype(tg_module_tensor(copy, "late.weight")), TG_F32);
    ck_assert_uint_eq(checksum(copy), checksum(m));
    ck_assert_int_eq(tg_runtime_set_dtype(rt, TG_F64), TG_OK);
    tg_module_destroy(copy);
    tg_module_destroy(m);
}
END_TEST

START_TEST(no_memory_for_a_copy)
{
    tg_module *m = model();
    const uint64_t sum = checksum(m);
    const long live = rig_live;
    tg_module *copy = NULL;
    for (long i = 1; !copy; i++) {
        ck_assert_int_lt(i, 1000);
        rig_fail_at = rig_calls + i;
        copy = tg_module_copy(m);
        rig_fail_at = 0;
        if (!copy)
            ck_assert_int_eq(rig_live, live);
    }
    ck_assert_uint_eq(checksum(copy), sum);
    tg_module_destroy(copy);
    tg_module_destroy(m);
}
END_TEST

/* -- all parts
 * --------------------------------------------------------------------------------------------------- */

static tg_status note(void *arg, tg_module *m, const char *path)
{
    char *text = arg;
    snprintf(text + strlen(text), 400 - strlen(text), "%s:%s ", path, tg_module_class_name(m));
    return strcmp(path, "3") || text[399] ? TG_OK : TG_EUNKNOWN;
}

START_TEST(over_all_modules)
{
    char text[400] = "";
    tg_module *m = model();
    text[399] = 1;
    ck_assert_int_eq(tg_module_walk(m, note, text), TG_OK);
    ck_assert_str_eq(
        text, ":Sequential 0:Sequential 0.0:Conv2d 0.1:BatchNorm2d 1:ReLU 2:Flatten 3:Linear 4:Identity ");
    memset(text, 0, sizeof text);
    text[399] = 1;
    ck_assert_int_eq(tg_module_apply(m, note, text), TG_OK);
    ck_assert_str_eq(
        text, "0.0:Conv2d 0.1:BatchNorm2d 0:Sequential 1:ReLU 2:Flatten 3:Linear 4:Identity :Sequential ");
    memset(text, 0, sizeof text);
    ck_assert_int_eq(tg_module_apply(m, note, text), TG_EUNKNOWN);
    ck_assert_msg(strstr(tg_error_message(), "tg_module_apply: the function returned TG_EUNKNOWN") != NULL,
                  "%s", tg_error_message());
    ck_assert_str_eq(text, "0.0:Conv2d 0.1:BatchNorm2d 0:Sequential 1:ReLU 2:Flatten 3:Linear ");
    ck_assert_int_eq(tg_module_apply(NULL, note, text), TG_EINVAL);
    ck_assert_int_eq(tg_module_walk(m, NULL, text), TG_EINVAL);
    tg_module_destroy(m);
}
END_TEST

static tg_status grow(void *arg, tg_module *m, const char *path)
{
    (void)arg;
    return *path ? TG_OK : tg_module_add_child(m, "a name that is longer than all others", tg_nn_relu(rt));
}

START_TEST(a_tree_that_grows_under_a_walk)
{
    tg_module *m = model();
    ck_assert_int_eq(tg_module_walk(m, grow, NULL), TG_ESTATE);
    tg_module_destroy(m);
}
END_TEST

START_TEST(gradients_are_dropped)
{
    tg_module *m = model();
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, run(m))), TG_OK);
    ck_assert_ptr_nonnull(tg_tensor_grad(tg_module_tensor(m, "0.0.weight")));
    tg_module_zero_grad(m);
    const tg_named_tensors *p = tg_module_parameters(m);
    for (size_t i = 0; i < p->n; i++)
        ck_assert_ptr_null(tg_tensor_grad(p->tensor[i]));
    tg_module_zero_grad(NULL);
    tg_module_destroy(m);
}
END_TEST

START_TEST(another_head)
{
    tg_module *m = model();
    const tg_named_tensors *p = tg_module_parameters(m);
    ck_assert_uint_eq(p->n, 6);
    ck_assert_int_eq(tg_module_replace_child(m, "4", tg_nn_identity(rt)),
                     TG_OK); /* which was tied to the head */
    ck_assert_int_eq(tg_module_replace_child(m, "3", tg_nn_linear(rt, 12, 5)), TG_OK);
    ck_assert_int_eq(tg_module_replace_child(m, "0.1", tg_nn_identity(rt)), TG_OK);
    p = tg_module_parameters(m);
    ck_assert_uint_eq(p->n, 4);
    ck_assert_str_eq(p->name[2], "3.weight");
    ck_assert_int_eq(tg_tensor_dim(run(m), 1), 5);
    tg_tape_reset(tape);

    ck_assert_int_eq(tg_module_replace_child(m, "7", tg_nn_relu(rt)), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "there is no child \"7\""));
    ck_assert_int_eq(tg_module_replace_child(m, "0.7.1", tg_nn_relu(rt)), TG_EINVAL);
    ck_assert_int_eq(tg_module_replace_child(m, NULL, tg_nn_relu(rt)), TG_EINVAL);
    ck_assert_int_eq(tg_module_replace_child(NULL, "0", tg_nn_relu(rt)), TG_EINVAL);
    ck_assert_int_eq(tg_module_replace_child(m, "3", tg_nn_linear(rt, -1, 5)), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "in_features"));
    ck_assert_int_eq(tg_module_replace_child(m, "3", tg_module_find(m, "0")), TG_EINVAL);
    ck_assert_int_eq(tg_module_replace_child(tg_module_find(m, "0"), "0", m), TG_EINVAL);
    made = 0;
    tg_module *owner = tg_module_new(rt, &own_class, NULL);
    ck_assert_int_eq(tg_module_replace_child(owner, "encoder", tg_nn_relu(rt)), TG_EUNSUPPORTED);
    tg_module_destroy(owner);
    ck_assert_int_eq(tg_tensor_dim(run(m), 1), 5);
    tg_tape_reset(tape);
    tg_module_destroy(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("module tools");
    TCase *t = tcase_create("module tools");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, a_copy_is_the_same_and_apart);
    tcase_add_test(t, ties_stay_inside_the_copy);
    tcase_add_test(t, what_init_makes_and_what_came_later);
    tcase_add_test(t, every_layer_copies);
    tcase_add_test(t, a_copy_keeps_its_dtypes);
    tcase_add_test(t, no_memory_for_a_copy);
    tcase_add_test(t, over_all_modules);
    tcase_add_test(t, a_tree_that_grows_under_a_walk);
    tcase_add_test(t, gradients_are_dropped);
    tcase_add_test(t, another_head);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
