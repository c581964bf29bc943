/* The summary: exact tables and counts that are known, and that taking one changes nothing. */
#include <stdio.h>

#include <tapegrad/module_tools.h>

#include "layers/rig.h"

/* clang-format off */
static const char of_cnn[] =
    "layer              output             parameters  multiply-adds  output mem  parameter mem  mode   frozen\n"
    "Sequential         f64[2, 10]             13,626        124,384       160 B      106.5 KiB  train  -\n"
    "  0 Sequential     f64[2, 8, 13, 13]          96         97,344    21.1 KiB          768 B  train  -\n"
    "    0 Conv2d       f64[2, 8, 26, 26]          80         97,344    84.5 KiB          640 B  train  -\n"
    "    1 BatchNorm2d  f64[2, 8, 26, 26]          16              0    84.5 KiB          128 B  train  all\n"
    "    2 ReLU         f64[2, 8, 26, 26]           0              0    84.5 KiB            0 B  train  -\n"
    "    3 MaxPool2d    f64[2, 8, 13, 13]           0              0    21.1 KiB            0 B  train  -\n"
    "  1 Flatten        f64[2, 1352]                0              0    21.1 KiB            0 B  train  -\n"
    "  2 Dropout        f64[2, 1352]                0              0    21.1 KiB            0 B  eval   -\n"
    "  3 Linear         f64[2, 10]             13,530         27,040       160 B      105.7 KiB  train  -\n"
    "parameters     13,626: 13,610 trainable, 16 not; 136 B in buffers\n"
    "multiply-adds  124,384\n";
static const char of_pair[] =
    "layer              output                parameters  multiply-adds  output mem  parameter mem  mode   frozen\n"
    "Pair               f64[2, 3] and 1 more          12             36        80 B           96 B  train  -\n"
    "  used Linear      f64[2, 3]                     12             36        96 B           96 B  train  -\n"
    "  unused Identity  not called                     9              0         0 B           72 B  train  -\n"
    "parameters     12: 9 trainable, 3 not; 0 B in buffers\n"
    "multiply-adds  36\n";
/* clang-format on */

static tg_module *cnn(void)
{
    tg_module *features = tg_nn_sequential(rt, tg_nn_conv2d(rt, 1, 8, 3), tg_nn_batch_norm2d(rt, 8),
                                           tg_nn_relu(rt), tg_nn_max_pool2d(rt, 2));
    tg_module *m = tg_nn_sequential(rt, features, tg_nn_flatten(rt), tg_nn_dropout(rt, 0.5),
                                    tg_nn_linear(rt, 8 * 13 * 13, 10));
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    return m;
}

static tg_desc desc_of(tg_dtype dtype, const int64_t *dims, size_t ndim)
{
    tg_desc d;
    ck_assert_int_eq(tg_desc_make(&d, dtype, dims, ndim), TG_OK);
    return d;
}

static char *text_of(const tg_summary *s)
{
    static char *text; /* the stream has its address */
    static size_t size;
    FILE *f = open_memstream(&text, &size);
    ck_assert_int_eq(tg_summary_print(s, f), TG_OK);
    fclose(f);
    return text;
}

static tg_summary taken(tg_module *m, const tg_desc *in, size_t n)
{
    tg_summary s;
    ck_assert_msg(tg_module_summary(m, in, n, &s) == TG_OK, "%s", tg_error_message());
    return s;
}

/* The last line tells what the plan said of memory, which differs between backends. */
static void rows_are(const tg_summary *s, const char *want)
{
    char *text = text_of(s);
    ck_assert_msg(strncmp(text, want, strlen(want)) == 0, "got\n%s\nexpected\n%s", text, want);
    ck_assert_ptr_nonnull(strstr(text + strlen(want), "memory "));
    ck_assert_int_eq(strchr(text + strlen(want), '\n')[1], '\0');
    free(text);
}

START_TEST(a_small_cnn)
{
    rig_reopen_on_reference();
    tg_module *m = cnn();
    tg_module_eval(tg_module_find(m, "2"));
    tg_module_freeze(tg_module_find(m, "0.1"), TG_FREEZE_ALL);
    const tg_desc in = desc_of(TG_F64, DIMS(2, 1, 28, 28));
    const uint64_t before = checksum(m);
    const tg_random_state state = tg_runtime_random_state(rt);
    tg_summary s = taken(m, &in, 1);
    const tg_random_state after = tg_runtime_random_state(rt);
    ck_assert_mem_eq(&state, &after, sizeof state);
    ck_assert_uint_eq(checksum(m), before);
    rows_are(&s, of_cnn);
    /* 2·8·26·26·9 and 2·1352·10 */
    ck_assert_double_eq(s.row[2].multiply_adds, 97344);
    ck_assert_double_eq(s.row[8].multiply_adds + s.row[2].multiply_adds, s.row[0].multiply_adds);
    tg_memory plan;
    ck_assert_int_eq(tg_plan_module(m, NULL, &in, 1, &plan), TG_OK); /* the hooks are gone: the same */
    ck_assert_uint_eq(s.forward.peak, plan.peak);
    ck_assert_uint_gt(s.training.peak, s.forward.peak);
    ck_assert_uint_gt(s.training.kind_peak[TG_MEMORY_LEAF_GRADIENTS], 13520 * 8);
    tg_summary_free(&s);
    ck_assert_uint_eq(s.n, 0);
    tg_summary_free(&s);
    tg_module_destroy(m);
}
END_TEST

static tg_module *by_name(const char *name, const tg_attr *attrs, size_t n)
{
    tg_module *m = tg_module_create(rt, name, attrs, n);
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    return m;
}

static double products_of(tg_module *m, const tg_desc *in, size_t n)
{
    tg_summary s = taken(m, in, n);
    const double products = s.row[0].multiply_adds;
    tg_summary_free(&s);
    tg_module_destroy(m);
    return products;
}

#define NAMED_INT(NAME, VALUE)                                                                               \
    {                                                                                                        \
        NAME, TG_ATTR_INT,                                                                                   \
        {                                                                                                    \
            .i = VALUE                                                                                       \
        }                                                                                                    \
    }

START_TEST(multiply_adds)
{
    const tg_attr conv[] = {NAMED_INT("in_channels", 4), NAMED_INT("out_channels", 6),
                            NAMED_INT("kernel_size", 3), NAMED_INT("stride", 2),
                            NAMED_INT("padding", 1),     NAMED_INT("groups", 2)};
    const tg_attr transformer[] = {NAMED_INT("d_model", 8), NAMED_INT("nhead", 2),
                                   NAMED_INT("dim_feedforward", 16)};
    tg_desc x = desc_of(TG_F64, DIMS(3, 4, 7));
    ck_assert_double_eq(products_of(tg_nn_linear(rt, 7, 5), &x, 1), 3 * 4 * 7 * 5);
    x = desc_of(TG_F64, DIMS(2, 4, 10));
    ck_assert_double_eq(products_of(tg_nn_conv1d(rt, 4, 6, 3), &x, 1), 2 * 6 * 8 * 4 * 3);
    x = desc_of(TG_F64, DIMS(1, 4, 9, 9));
    ck_assert_double_eq(products_of(by_name("Conv2d", conv, 6), &x, 1), 6 * 5 * 5 * 2 * 9);
    /* each of the input's elements meets the filters of 3 channels */
    ck_assert_double_eq(products_of(by_name("ConvTranspose2d", conv, 6), &x, 1), 4 * 9 * 9 * 3 * 9);
    ck_assert_double_eq(products_of(tg_nn_relu(rt), &x, 1), 0);
    /* 15 rows into three times 8, out of 8, to 16 and back; 5·5 scores of 8 in three batches, and what they
     * weigh */
    x = desc_of(TG_F64, DIMS(5, 3, 8));
    ck_assert_double_eq(products_of(by_name("TransformerEncoderLayer", transformer, 3), &x, 1),
                        15 * (8 * 24 + 8 * 8 + 2 * 8 * 16) + 2 * 3 * 5 * 5 * 8);
    /* with an attention from 5 rows to 7 */
    const tg_desc both[] = {x, desc_of(TG_F64, DIMS(7, 3, 8))};
    ck_assert_double_eq(products_of(by_name("TransformerDecoderLayer", transformer, 3), both, 2),
                        15 * (8 * 24 + 8 * 8 + 2 * 8 * 16) + 2 * 3 * 5 * 5 * 8 + /* itself */
                            15 * 8 * 8 + 21 * 8 * 16 + 15 * 8 * 8 + 2 * 3 * 5 * 7 * 8);
}
END_TEST

/* LeNet-5 is known for 61,706 parameters and 416,520 multiply-adds. */
START_TEST(lenet)
{
    tg_module *m = tg_nn_sequential(rt, tg_nn_conv2d(rt, 1, 6, 5), tg_nn_tanh(rt), tg_nn_avg_pool2d(rt, 2),
                                    tg_nn_conv2d(rt, 6, 16, 5), tg_nn_tanh(rt), tg_nn_avg_pool2d(rt, 2),
                                    tg_nn_flatten(rt), tg_nn_linear(rt, 400, 120), tg_nn_tanh(rt),
                                    tg_nn_linear(rt, 120, 84), tg_nn_tanh(rt), tg_nn_linear(rt, 84, 10));
    const tg_desc in = desc_of(TG_F64, DIMS(1, 1, 32, 32));
    tg_summary s = taken(m, &in, 1);
    ck_assert_int_eq(s.row[0].parameters, 61706);
    ck_assert_int_eq(s.row[0].trainable, 61706);
    ck_assert_uint_eq(s.row[0].parameter_bytes, 61706 * 8);
    ck_assert_double_eq(s.row[0].multiply_adds, 416520);
    tg_summary_free(&s);
    tg_module_destroy(m);
}
END_TEST

/* Called twice, not at all, with a tied parameter, with two outputs of a class of one's own. */
static tg_status pair_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)n;
    out[0] = tg_forward(t, tg_module_child(m, 0), tg_forward(t, tg_module_child(m, 0), in[0]));
    out[1] = tg_add(t, in[1], in[1]);
    return tg_tape_status(t);
}

static const tg_layer_class pair_class = {.struct_size = sizeof(tg_layer_class),
                                          .name = "Pair",
                                          .n_in = 2,
                                          .n_out = 2,
                                          .forward = {pair_forward, pair_forward}};

START_TEST(calls_ties_and_outputs)
{
    tg_module *m = tg_module_new(rt, &pair_class, NULL);
    ck_assert_int_eq(tg_module_add_child(m, "used", tg_nn_linear(rt, 3, 3)), TG_OK);
    ck_assert_int_eq(tg_module_add_child(m, "unused", tg_nn_identity(rt)), TG_OK);
    tg_module *unused = tg_module_find(m, "unused");
    ck_assert_int_eq(tg_module_tie_parameter(unused, "weight", tg_module_tensor(m, "used.weight")), TG_OK);
    tg_tensor_set_requires_grad(tg_module_tensor(m, "used.bias"), false);
    const tg_desc in[] = {desc_of(TG_F64, DIMS(2, 3)), desc_of(TG_I64, DIMS(4))};
    tg_summary s = taken(m, in, 2);
    rows_are(&s, of_pair);
    ck_assert_uint_eq(s.row[1].calls, 2);
    ck_assert_uint_eq(s.row[2].calls, 0);
    ck_assert_uint_gt(s.training.peak, 0);
    tg_summary_free(&s);
    tg_module_destroy(m);
}
END_TEST

START_TEST(refuses)
{
    tg_module *m = cnn();
    tg_summary s;
    tg_desc in = desc_of(TG_F64, DIMS(2, 3, 28, 28));
    const uint64_t before = checksum(m);
    ck_assert_int_eq(tg_module_summary(m, &in, 1, &s), TG_ESHAPE);
    ck_assert_msg(strstr(tg_error_message(), "0.0 (Conv2d)") != NULL, "%s", tg_error_message());
    ck_assert_uint_eq(s.n, 0);
    ck_assert_ptr_null(s.row);
    ck_assert_int_eq(tg_summary_print(&s, stdout), TG_EINVAL);
    ck_assert_int_eq(tg_module_summary(NULL, &in, 1, &s), TG_EINVAL);
    ck_assert_int_eq(tg_module_summary(m, NULL, 1, &s), TG_EINVAL);
    ck_assert_int_eq(tg_module_summary(m, &in, 1, NULL), TG_EINVAL);
    ck_assert_int_eq(tg_module_summary(m, (tg_desc[]){in, in}, 2, &s), TG_EINVAL);

    in = desc_of(TG_F64, DIMS(2, 1, 28, 28));
    for (long i = 1, done = false; !done; i++) {
        ck_assert_int_lt(i, 3000);
        rig_fail_at = rig_calls + i;
        done = tg_module_summary(m, &in, 1, &s) == TG_OK;
        rig_fail_at = 0;
        ck_assert_uint_eq(checksum(m), before);
    }
    ck_assert_int_eq(tg_summary_print(&s, NULL), TG_EINVAL);
    FILE *full = fopen("/dev/full", "w");
    if (full) {
        setvbuf(full, NULL, _IONBF, 0);
        ck_assert_int_eq(tg_summary_print(&s, full), TG_EIO);
        fclose(full);
    }
    tg_summary_free(&s);
    /* No hook is left: one module in a sequence that fuses. */
    tg_tensor *x = tg_full(tape, TG_F64, DIMS(2, 1, 28, 28), 0.5);
    ck_assert_ptr_nonnull(tg_forward(tape, m, x));
    tg_module_destroy(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("summary");
    TCase *t = tcase_create("summary");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, a_small_cnn);
    tcase_add_test(t, multiply_adds);
    tcase_add_test(t, lenet);
    tcase_add_test(t, calls_ties_and_outputs);
    tcase_add_test(t, refuses);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
