/* Pooling layers and the normalisations without a batch: constructors, a second output, running statistics,
 * refusals. */
#include "layers/rig.h"

START_TEST(constructors_give_their_class)
{
    const tg_pool_options o = {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}};
    const struct {
        const char *cls;
        tg_module *m;
    } all[] = {
        {"MaxPool1d", tg_nn_max_pool1d(rt, 2)},
        {"MaxPool3d", tg_nn_max_pool3d(rt, 2)},
        {"MaxPool2d", tg_nn_max_pool_with(rt, 2, &o, false)},
        {"AvgPool1d", tg_nn_avg_pool1d(rt, 2)},
        {"AvgPool2d", tg_nn_avg_pool_with(rt, 2, &o)},
        {"LPPool2d", tg_nn_lp_pool2d(rt, 2, 2)},
        {"MaxUnpool3d", tg_nn_max_unpool3d(rt, 2)},
        {"AdaptiveMaxPool1d", tg_nn_adaptive_max_pool1d(rt, 2)},
        {"AdaptiveAvgPool2d", tg_nn_adaptive_avg_pool2d(rt, 1, TG_NONE_INT)},
        {"AdaptiveAvgPool3d", tg_nn_adaptive_avg_pool3d(rt, 1, 1, 1)},
        {"GroupNorm", tg_nn_group_norm(rt, 2, 4)},
        {"InstanceNorm2d", tg_nn_instance_norm2d(rt, 4, true, true)},
        {"RMSNorm", tg_nn_rms_norm(rt, DIMS(4))},
        {"LocalResponseNorm", tg_nn_local_response_norm(rt, 3)},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ck_assert_msg(all[i].m != NULL, "%s: %s", all[i].cls, tg_error_message());
        ck_assert_str_eq(tg_module_class_name(all[i].m), all[i].cls);
        ck_assert_ptr_eq(tg_module_class(all[i].m), tg_layer_find(rt, all[i].cls));
        tg_module_destroy(all[i].m);
    }
}
END_TEST

START_TEST(indices_are_a_second_output)
{
    const double x[] = {1, 4, 3, 2, 9, 5}, back[] = {0, 4, 3, 0, 9, 0};
    double got[6];
    tg_module *pool = tg_nn_max_pool_with(rt, 1, &(tg_pool_options){.kernel = {2}}, true);
    tg_module *unpool = tg_nn_max_unpool1d(rt, 2);
    ck_assert_msg(pool && unpool, "%s", tg_error_message());
    ck_assert_int_eq(tg_module_class(pool)->n_out, 2);
    tg_tensor *in = input(DIMS(1, 6), x), *out[2], *y;
    ck_assert_int_eq(tg_forward_n(tape, pool, &in, 1, out, 2), TG_OK);
    ck_assert_int_eq(tg_tensor_dtype(out[1]), TG_I64);
    ck_assert_int_eq(tg_forward_n(tape, unpool, out, 2, &y, 1), TG_OK);
    get(y, got, 6);
    near_to(got, back, 6, 0);
    tg_module *box = tg_nn_sequential_n(rt, NULL, 0);
    ck_assert_msg(tg_nn_sequential_append(box, NULL, pool) != TG_OK, "a child of two outputs was taken");
    tg_module_destroy(box);
    tg_module_destroy(unpool);
}
END_TEST

/* Over two examples of two channels: the mean of the instances' means and of their variances (n − 1). */
START_TEST(running_statistics_of_instances)
{
    const double x[] = {1, 3, 0, 4, 5, 7, 2, 2}, mean[] = {0.4, 0.2}, var[] = {0.9 + 0.2, 0.9 + 0.4};
    double got[8], want[8];
    tg_module *m = tg_nn_instance_norm1d(rt, 2, false, true);
    tg_tensor *in = input(DIMS(2, 2, 2), x);
    ck_assert_msg(tg_forward(tape, m, in) != NULL, "%s", tg_tape_error(tape));
    get(tg_module_tensor(m, "running_mean"), got, 2);
    near_to(got, mean, 2, 1e-12);
    get(tg_module_tensor(m, "running_var"), got, 2);
    near_to(got, var, 2, 1e-12);
    int64_t count = -1;
    ck_assert_int_eq(tg_tensor_read(tg_module_tensor(m, "num_batches_tracked"), &count, sizeof count), TG_OK);
    ck_assert_int_eq(count, 0); /* as in torch */
    uint64_t before = checksum(m);
    tg_module_set_mode(m, TG_EVAL);
    get(tg_forward(tape, m, in), got, 8);
    for (int i = 0; i < 8; i++)
        want[i] = (x[i] - mean[i / 2 % 2]) / sqrt(var[i / 2 % 2] + 1e-5);
    near_to(got, want, 8, 1e-12);
    tg_module_set_mode(m, TG_TRAIN);
    tg_module_freeze(m, TG_FREEZE_STATISTICS);
    get(tg_forward(tape, m, in), got, 8);
    near_to(got, want, 8, 1e-12);
    ck_assert_uint_eq(checksum(m), before);
    ck_assert_ptr_null(tg_forward(tape, m, input(DIMS(3, 2), x)));
    tape_failed_with(TG_ESHAPE, "InstanceNorm1d: got f64[3, 2], expected [N, C, L] or [C, L] with C = 2");
    tg_module_unfreeze(m, TG_FREEZE_STATISTICS);
    ck_assert_ptr_null(tg_forward(tape, m, input(DIMS(2, 1), x)));
    tape_failed_with(TG_ESHAPE,
                     "InstanceNorm1d: instance_norm: x is f64[1, 2, 1], expected [N, C, *] with more");
    ck_assert_uint_eq(checksum(m), before);
    tg_module_destroy(m);
}
END_TEST

#define INTS(...)                                                                                            \
    {                                                                                                        \
        .ints = { sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__} }                        \
    }

START_TEST(the_largest_of_an_infinite_norm)
{
    const double x[] = {1, -5, 2, 0}, want[] = {5, 2};
    double got[2];
    tg_module *m = tg_nn_lp_pool1d(rt, INFINITY, 2);
    get(tg_forward(tape, m, input(DIMS(1, 4), x)), got, 2);
    near_to(got, want, 2, 0);
    tg_module_destroy(m);
}
END_TEST

START_TEST(wrong_arguments)
{
    const struct {
        const char *cls;
        tg_attr attrs[3];
        size_t n;
        const char *words;
    } all[] = {
        {"MaxPool2d",
         {{"kernel_size", TG_ATTR_INTS, INTS(2, 2, 2)}},
         1,
         "kernel_size has 3 entries, expected 1 or 2"},
        {"MaxPool1d", {{"kernel_size", TG_ATTR_INT, {.i = 0}}}, 1, "kernel_size is 0, expected at least 1"},
        {"MaxPool1d", {{0}}, 0, "kernel_size"},
        {"AvgPool3d",
         {{"kernel_size", TG_ATTR_INT, {.i = 2}}, {"padding", TG_ATTR_INTS, INTS(1, 1, 2)}},
         2,
         "padding is 2, expected at most half of the window's 2"},
        {"AvgPool2d",
         {{"kernel_size", TG_ATTR_INT, {.i = 2}}, {"divisor_override", TG_ATTR_INT, {.i = 0}}},
         2,
         "divisor_override is 0"},
        {"LPPool1d",
         {{"norm_type", TG_ATTR_REAL, {.f = 0}}, {"kernel_size", TG_ATTR_INT, {.i = 2}}},
         2,
         "norm_type is 0, expected a number other than 0"},
        {"LPPool2d",
         {{"norm_type", TG_ATTR_REAL, {.f = NAN}}, {"kernel_size", TG_ATTR_INT, {.i = 2}}},
         2,
         "norm_type is nan"},
        {"AdaptiveAvgPool1d", {{"output_size", TG_ATTR_INT, {.i = -2}}}, 1, "output_size is -2"},
        {"GroupNorm",
         {{"num_groups", TG_ATTR_INT, {.i = 3}}, {"num_channels", TG_ATTR_INT, {.i = 4}}},
         2,
         "num_channels is 4, expected a multiple of num_groups 3"},
        {"InstanceNorm1d", {{"num_features", TG_ATTR_INT, {.i = 0}}}, 1, "num_features is 0"},
        {"RMSNorm", {{"normalized_shape", TG_ATTR_INTS, INTS(2, 0)}}, 1, "an entry of normalized_shape is 0"},
        {"LocalResponseNorm", {{"size", TG_ATTR_INT, {.i = 0}}}, 1, "size is 0"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ck_assert_ptr_null(tg_module_create(rt, all[i].cls, all[i].attrs, all[i].n));
        failed_with(TG_EINVAL, TG_EINVAL, all[i].words);
        ck_assert_msg(strstr(tg_error_message(), all[i].cls) != NULL, "%s", tg_error_message());
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("layers_pool");
    TCase *t = tcase_create("pool");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, constructors_give_their_class);
    tcase_add_test(t, indices_are_a_second_output);
    tcase_add_test(t, running_statistics_of_instances);
    tcase_add_test(t, the_largest_of_an_infinite_norm);
    tcase_add_test(t, wrong_arguments);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
