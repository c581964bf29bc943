/* What fewer models ask for: a size for what a stride leaves open. Numbers are PyTorch 2.14.1's. */
#include "layers/rig.h"

#define SIZE(...) tg_input(tape, TG_I64, DIMS(sizeof((int64_t[]){__VA_ARGS__}) / 8), (const int64_t[]){__VA_ARGS__})

/* The module called with this size fails, and the sentence holds the text. */
static void refuses(tg_module *m, tg_tensor *x, tg_tensor *indices, tg_tensor *size, tg_status want, const char *text)
{
    tg_tensor *const in[] = {x, indices ? indices : size, size};
    tg_tensor *y;
    ck_assert_int_ne(tg_forward_n(tape, m, in, indices ? 3 : 2, &y, 1), TG_OK);
    ck_assert_ptr_null(y);
    tape_failed_with(want, text);
}

START_TEST(sizes_of_a_transposed_convolution)
{
    const double kernel[] = {1, 2, 3}, want[] = {2, 3, 2, 4, 6, 0};
    double got[6];
    tg_conv_options o = tg_conv_defaults(1, 1, 3);
    o.stride.v[0] = 3;
    o.padding.v[0] = 1;
    o.bias = false;
    tg_module *m = tg_nn_conv_transpose1d_with(rt, &o), *planes = tg_nn_conv_transpose2d_with(rt, &o);
    put(tg_module_tensor(m, "weight"), kernel, 3);
    tg_tensor *x = input(DIMS(1, 1, 2), (const double[]){1, 2}), *y;
    tg_tensor *const sizes[] = {SIZE(4), SIZE(5), SIZE(1, 1, 6), noisy(1, DIMS(7, 8, 5)), tg_full(tape, TG_F32, DIMS(6), 0)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n = i < 3 ? 4 + i : i == 3 ? 5 : 6;
        ck_assert_int_eq(tg_forward_n(tape, m, (tg_tensor *const[]){x, sizes[i]}, 2, &y, 1), TG_OK);
        ck_assert_uint_eq((size_t)tg_tensor_dim(y, 2), n);
        get(y, got, n);
        near_to(got, want, n, 0);
    }
    ck_assert_int_eq(tg_forward_n(tape, m, (tg_tensor *const[]){x, NULL}, 2, &y, 1), TG_OK);
    ck_assert_int_eq(tg_tensor_dim(y, 2), 4);
    tg_tensor *plane = noisy(1, DIMS(1, 3, 3));
    ck_assert_int_eq(tg_forward_n(tape, planes, (tg_tensor *const[]){plane, noisy(2, DIMS(4, 9, 7))}, 2, &y, 1), TG_OK);
    ck_assert(tg_tensor_ndim(y) == 3 && tg_tensor_dim(y, 1) == 9 && tg_tensor_dim(y, 2) == 7);

    refuses(m, x, NULL, SIZE(3), TG_EINVAL, "ConvTranspose1d: output_size is 3 in dim 0, expected 4 to 6");
    refuses(m, x, NULL, SIZE(7), TG_EINVAL, "output_size is 7 in dim 0, expected 4 to 6");
    refuses(m, x, NULL, SIZE(INT64_MIN), TG_EINVAL, "expected 4 to 6");
    refuses(m, x, NULL, SIZE(1, 6), TG_ESHAPE, "output_size is i64[2], expected i64 [1] or [3], or f32 or f64 with so many");
    refuses(m, x, NULL, tg_full(tape, TG_I64, DIMS(1, 1), 6), TG_ESHAPE, "i64[1, 1]");
    refuses(m, x, NULL, tg_full(tape, TG_I64, NULL, 0, 6), TG_ESHAPE, "output_size is i64[]");
    refuses(m, x, NULL, tg_full(tape, TG_BOOL, DIMS(6), 1), TG_ESHAPE, "output_size is bool[6]");
    refuses(planes, plane, NULL, SIZE(9, 6), TG_EINVAL, "output_size is 6 in dim 1, expected 7 to 9");
    tg_tensor *stale = SIZE(6);
    tg_tape_reset(tape);
    refuses(m, input(DIMS(1, 1, 2), want), NULL, stale, TG_ESTALE, "output_size");
    ck_assert_int_eq(tg_forward_n(tape, m, (tg_tensor *const[]){input(DIMS(1, 1, 2), want)}, 1, &y, 1), TG_OK);
    tg_tensor *const of_a_convolution[] = {y, y};
    tg_module *conv = tg_nn_conv1d(rt, 1, 1, 3);
    ck_assert_int_eq(tg_forward_n(tape, conv, of_a_convolution, 2, &y, 1), TG_EINVAL);
    tape_failed_with(TG_EINVAL, "called with 2 inputs");
    tg_module_destroy(conv);
    tg_module_destroy(planes);
    tg_module_destroy(m);
}
END_TEST

/* Back to where the largest stood, with what a window left over; the gradient comes back to the place. */
START_TEST(sizes_of_an_unpooling)
{
    const double x[] = {1, 5, 2, 4, 9}, back[] = {0, 5, 0, 4, 0}, want[] = {0, 1, 0, 1, 0};
    double got[5];
    tg_module *pool = tg_nn_max_pool_with(rt, 1, &(tg_pool_options){.kernel = {2}}, true), *unpool = tg_nn_max_unpool1d(rt, 2);
    tg_tensor *in = input(DIMS(1, 1, 5), x), *all[3], *y;
    ck_assert_int_eq(tg_tensor_set_requires_grad(in, true), TG_OK);
    ck_assert_int_eq(tg_forward_n(tape, pool, &in, 1, all, 2), TG_OK);
    ck_assert_int_eq(tg_forward_n(tape, unpool, all, 2, &y, 1), TG_OK);
    ck_assert_int_eq(tg_tensor_dim(y, 2), 4);
    for (int i = 0; i < 3; i++) {
        all[2] = i == 0 ? in : i == 1 ? SIZE(5) : SIZE(7, 7, 5);
        ck_assert_msg(tg_forward_n(tape, unpool, all, 3, &y, 1) == TG_OK, "%s", tg_tape_error(tape));
        ck_assert_int_eq(tg_tensor_dim(y, 2), 5);
        get(y, got, 5);
        near_to(got, back, 5, 0);
    }
    refuses(unpool, all[0], all[1], SIZE(2), TG_EINVAL, "MaxUnpool1d: max_unpool: output_size 2 of dim 0, expected between 3 and 5");
    refuses(unpool, all[0], all[1], SIZE(6), TG_EINVAL, "output_size 6 of dim 0");
    refuses(unpool, all[0], all[1], SIZE(1, 5), TG_ESHAPE, "MaxUnpool1d: output_size is i64[2], expected i64 [1] or [3]");
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, y)), TG_OK);
    get(tg_tensor_grad(in), got, 5);
    near_to(got, want, 5, 0);
    tg_module_destroy(pool);
    tg_module_destroy(unpool);
}
END_TEST

/* Before there are data, the size of another tensor is known, and so it is enough for a summary. */
static tg_status there_and_back(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)n;
    tg_tensor *both[2] = {tg_forward(t, tg_module_child(m, 0), in[0]), in[0]};
    return tg_forward_n(t, tg_module_child(m, 1), both, 2, out, 1);
}

static tg_status two_convolutions(tg_module *m, const void *attrs)
{
    (void)attrs;
    tg_conv_options o = tg_conv_defaults(2, 2, 3);
    o.stride.v[0] = 2;
    tg_status status = tg_module_add_child(m, "down", tg_nn_conv2d_with(tg_module_runtime(m), &o));
    return status ? status : tg_module_add_child(m, "up", tg_nn_conv_transpose2d_with(tg_module_runtime(m), &o));
}

START_TEST(sizes_in_a_summary)
{
    static const tg_layer_class cls = {.struct_size = sizeof(tg_layer_class),
                                       .name = "ThereAndBack",
                                       .n_in = 1,
                                       .n_out = 1,
                                       .init = two_convolutions,
                                       .forward = {there_and_back, there_and_back}};
    tg_module *m = tg_module_new(rt, &cls, NULL);
    tg_desc in;
    tg_summary summary;
    ck_assert_int_eq(tg_desc_make(&in, TG_F64, DIMS(1, 2, 10, 12)), TG_OK);
    ck_assert_msg(tg_module_summary(m, &in, 1, &summary) == TG_OK, "%s", tg_error_message());
    ck_assert_mem_eq(summary.row[0].out.dim, in.dim, 4 * sizeof *in.dim);
    tg_summary_free(&summary);
    tg_module_destroy(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rarer layers");
    TCase *t = tcase_create("rarer layers");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, sizes_of_a_transposed_convolution);
    tcase_add_test(t, sizes_of_an_unpooling);
    tcase_add_test(t, sizes_in_a_summary);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
