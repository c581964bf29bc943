/* Models in files: a model of PyTorch's, round trips, strict and not, and nothing half loaded. */
#include "training/files.h"

#define GOLDEN "tests/golden/torch_mlp"

static char golden[512], golden_io[512];

static void open_all(void)
{
    folder_open();
    const char *root = getenv("TG_SOURCE_ROOT");
    snprintf(golden, sizeof golden, "%s/" GOLDEN ".safetensors", root ? root : ".");
    snprintf(golden_io, sizeof golden_io, "%s/" GOLDEN "_io.safetensors", root ? root : ".");
}

static tg_module *torch_mlp(void)
{
    return tg_nn_sequential(rt, tg_nn_linear(rt, 6, 8), tg_nn_batch_norm1d(rt, 8), tg_nn_relu(rt),
                            tg_nn_dropout(rt, 0.3), tg_nn_linear(rt, 8, 3));
}

/* The model's output in eval mode for PyTorch's input, against PyTorch's output. */
static void predicts_as_torch(tg_module *m, double tolerance)
{
    tg_safetensors *io;
    ck_assert_msg(tg_safetensors_open(&io, rt, golden_io) == TG_OK, "%s", tg_error_message());
    const tg_file_tensor *x = tg_safetensors_find(io, "input"), *y = tg_safetensors_find(io, "output");
    double in[30], out[15];
    for (int i = 0; i < 30; i++)
        in[i] = (double)((const float *)x->data)[i];
    tg_tensor *input_tensor = tg_input(tape, TG_F64, x->dim, 2, in);
    if (tg_runtime_dtype(rt) == TG_F32)
        input_tensor = tg_to(tape, input_tensor, TG_F32);
    tg_module_eval(m);
    tg_tensor *got = tg_forward(tape, m, input_tensor);
    ck_assert_msg(got != NULL, "%s", tg_tape_error(tape));
    get(tg_runtime_dtype(rt) == TG_F32 ? tg_to(tape, got, TG_F64) : got, out, 15);
    for (int i = 0; i < 15; i++)
        ck_assert_double_eq_tol(out[i], (double)((const float *)y->data)[i], tolerance);
    tg_safetensors_close(io);
}

START_TEST(a_model_of_pytorch)
{
    ck_assert_int_eq(tg_runtime_set_dtype(rt, _i ? TG_F64 : TG_F32), TG_OK);
    tg_module *m = torch_mlp();
    ck_assert_msg(tg_module_load_state(m, golden, true, NULL) == TG_OK, "%s", tg_error_message());
    predicts_as_torch(m, 1e-5);
    /* Through a file of our own, which also holds the architecture. */
    ck_assert_msg(tg_module_save(m, in_folder("m.safetensors")) == TG_OK, "%s", tg_error_message());
    tg_module *again = tg_module_load(rt, in_folder("m.safetensors"));
    ck_assert_msg(again != NULL, "%s", tg_error_message());
    ck_assert_uint_eq(checksum(m), checksum(again));
    predicts_as_torch(again, 1e-5);
    tg_module_destroy(m);
    tg_module_destroy(again);
}
END_TEST

START_TEST(the_same_bits_in_a_new_runtime)
{
    tg_module *m = torch_mlp();
    uint64_t sum = checksum(m);
    ck_assert_int_eq(tg_module_save(m, in_folder("m")), TG_OK);
    tg_module_destroy(m);
    rig_close();
    rig_open();
    tg_random_state before = tg_runtime_random_state(rt);
    m = tg_module_load(rt, in_folder("m"));
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    ck_assert_uint_eq(checksum(m), sum);
    tg_random_state after = tg_runtime_random_state(rt);
    ck_assert_uint_eq(before.draw, after.draw);
    ck_assert_int_eq(tg_module_mode(m), TG_TRAIN);
    tg_module_destroy(m);
}
END_TEST

/* Every registered class that can be made without arguments, and one of each kind of argument. */
START_TEST(every_kind_of_argument)
{
    double weight_values[] = {1, 2, 3};
    tg_tensor *weight;
    ck_assert_int_eq(tg_tensor_create(&weight, rt, TG_F64, DIMS(3)), TG_OK);
    put(weight, weight_values, 3);
    tg_cross_entropy_options ce = tg_cross_entropy_defaults();
    ce.weight = weight;
    ce.ignore_index = 2;
    ce.reduction = TG_REDUCE_SUM;
    ce.label_smoothing = 0.1;
    tg_batch_norm_options bn = tg_batch_norm_defaults(4);
    bn.momentum = TG_NONE_REAL;
    bn.eps = 1.0 / 3;
    bn.affine = false;
    tg_linear_options linear = {.in_features = 4, .out_features = 2, .bias = false};
    tg_module *parts[] = {tg_nn_cross_entropy_loss_with(rt, &ce),
                          tg_nn_batch_norm1d_with(rt, &bn),
                          tg_nn_layer_norm(rt, (int64_t[]){2, 3}, 2),
                          tg_nn_linear_with(rt, &linear),
                          tg_nn_sequential(rt, tg_nn_sequential(rt, tg_nn_linear(rt, 2, 2)), tg_nn_tanh(rt)),
                          tg_nn_leaky_relu(rt, 0.3),
                          tg_nn_cross_entropy_loss(rt)};
    tg_tensor_destroy(weight);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        ck_assert_msg(parts[i] != NULL, "%s", tg_error_message());
        ck_assert_msg(tg_module_save(parts[i], in_folder("m")) == TG_OK, "%s", tg_error_message());
        tg_module *again = tg_module_load(rt, in_folder("m"));
        ck_assert_msg(again != NULL, "%s: %s", tg_module_class_name(parts[i]), tg_error_message());
        ck_assert_str_eq(tg_module_class_name(again), tg_module_class_name(parts[i]));
        ck_assert_uint_eq(checksum(again), checksum(parts[i]));
        const tg_layer_class *cls = tg_module_class(again);
        const char *a = tg_module_attrs(again), *b = tg_module_attrs(parts[i]);
        for (const tg_attr_spec *s = cls->attrs; s && s->name; s++) {
            size_t size = s->type == TG_ATTR_BOOL   ? sizeof(bool)
                          : s->type == TG_ATTR_INTS ? sizeof(tg_ints)
                                                    : 8;
            if (s->type != TG_ATTR_TENSOR)
                ck_assert_msg(memcmp(a + s->offset, b + s->offset, size) == 0, "%s.%s", cls->name, s->name);
        }
        tg_module_destroy(again);
        tg_module_destroy(parts[i]);
    }
}
END_TEST

/* -- missing, unexpected, wrong -------------------------------------------------------------------------- */
static const float two[] = {1, 2}, four[] = {1, 2, 3, 4};
static const int64_t whole[] = {1, 2};

static void write_tensors(const char *path, const tg_file_tensor *t, size_t n)
{
    ck_assert_msg(tg_safetensors_write(rt, path, t, n, NULL, NULL, 0) == TG_OK, "%s", tg_error_message());
}

#define F32_TENSOR(NAME, DATA, ...)                                                                          \
    {                                                                                                        \
        .name = NAME, .dtype = TG_F32, .dim = {__VA_ARGS__}, .data = DATA, .bytes = sizeof DATA,             \
        .ndim = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)                                           \
    }

START_TEST(strict_and_not)
{
    tg_module *m = tg_nn_linear(rt, 2, 2);
    tg_load_report report;
    uint64_t before = checksum(m);
    tg_file_tensor t[] = {F32_TENSOR("weight", four, 2, 2), F32_TENSOR("extra", two, 2)};
    write_tensors(in_folder("x"), t, 2);
    ck_assert_int_eq(tg_module_load_state(m, in_folder("x"), true, &report), TG_EFORMAT);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "1 name is missing: bias; 1 name is unexpected: extra"));
    ck_assert_uint_eq(report.n_missing, 0);
    ck_assert_uint_eq(checksum(m), before);
    ck_assert_int_eq(tg_module_load_state(m, in_folder("x"), false, NULL), TG_OK);
    ck_assert_int_eq(tg_module_load_state(m, in_folder("x"), false, &report), TG_OK);
    ck_assert_uint_eq(report.n_missing, 1);
    ck_assert_str_eq(report.missing[0], "bias");
    ck_assert_uint_eq(report.n_unexpected, 1);
    ck_assert_str_eq(report.unexpected[0], "extra");
    tg_load_report_free(&report);
    tg_load_report_free(&report);
    tg_load_report_free(NULL);
    double weight[4];
    get(tg_module_tensor(m, "weight"), weight, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(weight[i], (double)four[i]);
    ck_assert_uint_ne(checksum(m), before);
    tg_module_destroy(m);
}
END_TEST

START_TEST(wrong_shapes_and_dtypes)
{
    tg_module *m = tg_nn_linear(rt, 2, 2);
    uint64_t before = checksum(m);
    tg_file_tensor good = F32_TENSOR("bias", two, 2), flat = F32_TENSOR("weight", four, 4),
                   transposed = F32_TENSOR("weight", two, 2, 1);
    tg_file_tensor integers = {
        .name = "weight", .dtype = TG_I64, .ndim = 2, .dim = {2, 1}, .data = whole, .bytes = sizeof whole};
    tg_file_tensor half = {
        .name = "weight", .dtype = TG_F16, .ndim = 2, .dim = {2, 2}, .data = two, .bytes = sizeof two};
    tg_file_tensor *bad[] = {&flat, &transposed, &integers, &half};
    const tg_status want[] = {TG_ESHAPE, TG_ESHAPE, TG_ESHAPE, TG_EDTYPE};
    for (int i = 0; i < 4; i++) {
        /* The good one comes first in the model's order when sorted by name: it must not be written. */
        write_tensors(in_folder("x"), (tg_file_tensor[]){good, *bad[i]}, 2);
        for (int strict = 0; strict < 2; strict++) {
            ck_assert_int_eq(tg_module_load_state(m, in_folder("x"), strict, NULL), want[i]);
            ck_assert_ptr_nonnull(strstr(tg_error_message(), "weight"));
            ck_assert_uint_eq(checksum(m), before);
        }
    }
    tg_module_destroy(m);
}
END_TEST

START_TEST(cut_short_changes_nothing)
{
    size_t n;
    tg_module *m = tg_nn_linear(rt, 2, 2), *other = tg_nn_linear(rt, 2, 2);
    uint64_t before = checksum(m);
    ck_assert_int_eq(tg_module_save(other, in_folder("x")), TG_OK);
    ck_assert_uint_ne(checksum(other), before);
    unsigned char *bytes = read_whole(in_folder("x"), &n);
    for (size_t k = 0; k < n; k++) {
        write_whole(in_folder("x"), bytes, k);
        ck_assert_int_eq(tg_module_load_state(m, in_folder("x"), false, NULL), TG_EFORMAT);
        ck_assert_ptr_null(tg_module_load(rt, in_folder("x")));
        ck_assert_uint_eq(checksum(m), before);
    }
    free(bytes);
    tg_module_destroy(m);
    tg_module_destroy(other);
}
END_TEST

START_TEST(tied_weights)
{
    /* Two layers with one weight: a file of PyTorch's has one of the names. */
    tg_module *a = tg_nn_identity(rt), *b = tg_nn_identity(rt);
    tg_tensor *w;
    ck_assert_int_eq(tg_module_add_parameter(a, "weight", (int64_t[]){2}, 1, &w), TG_OK);
    ck_assert_int_eq(tg_module_tie_parameter(b, "weight", w), TG_OK);
    tg_module *m = tg_nn_sequential(rt, a, b);
    tg_file_tensor t = F32_TENSOR("1.weight", two, 2);
    write_tensors(in_folder("x"), &t, 1);
    ck_assert_msg(tg_module_load_state(m, in_folder("x"), true, NULL) == TG_OK, "%s", tg_error_message());
    double got[2];
    get(w, got, 2);
    ck_assert_double_eq(got[1], 2);
    tg_module_destroy(m);
}
END_TEST

/* -- architectures that cannot be ------------------------------------------------------------------------ */
static const struct {
    const char *text;
    const char *word;
} architectures[] = {
    {"", "JSON"},
    {"7", "JSON"},
    {"{}", "class"},
    {"[]", "class"},
    {"{\"class\":\"Linear\"", "JSON"},
    {"{\"class\":7}", "class"},
    {"{\"class\":\"Lineal\"}", "Lineal"},
    {"{\"class\":\"Linear\"}", "in_features"},
    {"{\"class\":\"Linear\",\"arguments\":[]}", "arguments"},
    {"{\"class\":\"Linear\",\"arguments\":{\"in_features\":\"2\",\"out_features\":2}}", "in_features"},
    {"{\"class\":\"Linear\",\"arguments\":{\"in_features\":-2,\"out_features\":2}}", "in_features"},
    {"{\"class\":\"Linear\",\"arguments\":{\"in_features\":2,\"out_features\":2,\"depth\":3}}", "depth"},
    {"{\"class\":\"Linear\",\"arguments\":{\"in_features\":[1,2,3,4,5,6,7,8,9],\"out_features\":2}}",
     "too long"},
    {"{\"class\":\"Linear\",\"arguments\":{\"in_features\":[\"x\"],\"out_features\":2}}", "numbers"},
    {"{\"class\":\"Linear\",\"arguments\":{\"in_features\":{},\"out_features\":2}}", "unknown kind"},
    {"{\"class\":\"CrossEntropyLoss\",\"arguments\":{\"weight\":{\"tensor\":\"nowhere\"}}}", "does not have"},
    {"{\"class\":\"Dropout\",\"arguments\":{\"p\":1.5}}", "p"},
    {"{\"class\":\"Dropout\",\"arguments\":{\"p\":{\"float\":\"nan\"}}}", "p"},
    {"{\"class\":\"Sequential\",\"children\":{}}", "children"},
    {"{\"class\":\"Sequential\",\"children\":[7]}", "child"},
    {"{\"class\":\"Sequential\",\"children\":[{\"class\":\"ReLU\"}]}", "name"},
    {"{\"class\":\"Sequential\",\"children\":[{\"class\":\"ReLU\",\"name\":\"0\"},{\"class\":\"ReLU\","
     "\"name\":\"0\"}]}",
     "0"},
    {"{\"class\":\"Sequential\",\"children\":[{\"class\":\"Linear\",\"name\":\"0\",\"arguments\":{\"in_"
     "features\":2,\"out_features\":2}}]}",
     "missing"},
    {"{\"class\":\"Linear\",\"arguments\":{\"in_features\":3,\"out_features\":1}}", "weight"},
    /* More than the file has must not be allocated: these would be terabytes. */
    {"{\"class\":\"Linear\",\"arguments\":{\"in_features\":1000000,\"out_features\":1000000}}",
     "weight would be f64[1000000, 1000000], but only 6 elements are left in the file"},
    {"{\"class\":\"Sequential\",\"children\":[{\"class\":\"Identity\",\"name\":\"0\"},{\"class\":"
     "\"BatchNorm1d\",\"name\":\"1\",\"arguments\":{\"num_features\":3}}]}",
     "running_mean would be f64[3], but only 0 elements"},
    {"{\"class\":\"Dropout\",\"arguments\":{\"p\":{\"tensor\":\"weight\"}}}", "argument that is none"},
    {"{\"class\":\"CrossEntropyLoss\",\"arguments\":{\"a\":{\"tensor\":\"weight\"}}}",
     "argument that is none"},
    {"{\"class\":\"Linear\",\"arguments\":{\"in_features\":4611686018427387904,\"out_features\":"
     "4611686018427387904}}",
     NULL},
};
enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };

START_TEST(architecture)
{
    static const char *const key = "tapegrad.module";
    tg_file_tensor t[] = {F32_TENSOR("weight", four, 2, 2), F32_TENSOR("bias", two, 2)};
    ck_assert_int_eq(tg_safetensors_write(rt, in_folder("x"), t, 2, &key, &architectures[_i].text, 1), TG_OK);
    ck_assert_ptr_null(tg_module_load(rt, in_folder("x")));
    /* Once more: what the runtime keeps for its own tape is there now. */
    long live = rig_live;
    ck_assert_ptr_null(tg_module_load(rt, in_folder("x")));
    const char *word = architectures[_i].word;
    ck_assert_msg(!word || strstr(tg_error_message(), word), "%s: %s", architectures[_i].text,
                  tg_error_message());
    ck_assert_int_eq(rig_live, live);
}
END_TEST

START_TEST(without_an_architecture)
{
    ck_assert_ptr_null(tg_module_load(rt, golden));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "tg_module_load_state"));
    ck_assert_ptr_null(tg_module_load(rt, in_folder("none")));
    ck_assert_ptr_null(tg_module_load(NULL, "x"));
    ck_assert_ptr_null(tg_module_load(rt, NULL));
    ck_assert_int_eq(tg_module_save(NULL, "x"), TG_EINVAL);
    ck_assert_int_eq(tg_module_load_state(NULL, "x", true, NULL), TG_EINVAL);
}
END_TEST

static tg_status pass(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)m;
    (void)t;
    (void)n;
    out[0] = in[0];
    return TG_OK;
}

START_TEST(a_class_of_the_users)
{
    static const tg_layer_class mine = {
        .struct_size = sizeof mine, .name = "Mine", .n_in = 1, .n_out = 1, .forward = {pass, pass}};
    tg_module *m = tg_nn_sequential(rt, tg_nn_relu(rt), tg_module_new(rt, &mine, NULL));
    ck_assert_ptr_nonnull(m);
    ck_assert_int_eq(tg_module_save(m, in_folder("x")), TG_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "Mine"));
    ck_assert_uint_eq(files_in_folder(), 0);
    tg_module_destroy(m);
}
END_TEST

/* Every allocation fails once, in saving, in loading, in loading a state. */
START_TEST(out_of_memory)
{
    tg_module *m = torch_mlp(), *other = torch_mlp(), *made = NULL;
    tg_module_state(m);
    tg_module_state(other);
    uint64_t before = checksum(m);
    long live = rig_live, k;
    tg_status status = TG_ENOMEM;
    for (k = 1; status; k++) {
        rig_fail_at = rig_calls + k;
        status = tg_module_save(other, in_folder("x"));
        rig_fail_at = 0;
        ck_assert(status == TG_OK || status == TG_ENOMEM);
        ck_assert_uint_eq(files_in_folder(), status ? 0 : 1);
        ck_assert_int_eq(rig_live, live);
    }
    ck_assert_int_ge(k, 6);
    for (k = 1; !made; k++) {
        rig_fail_at = rig_calls + k;
        made = tg_module_load(rt, in_folder("x"));
        rig_fail_at = 0;
        if (!made)
            ck_assert_int_eq(rig_live, live);
    }
    ck_assert_int_ge(k, 20);
    ck_assert_uint_eq(checksum(made), checksum(other));
    tg_module_destroy(made);
    ck_assert_int_eq(rig_live, live);
    for (status = TG_ENOMEM, k = 1; status; k++) {
        tg_load_report report;
        rig_fail_at = rig_calls + k;
        status = tg_module_load_state(m, in_folder("x"), false, &report);
        rig_fail_at = 0;
        ck_assert(status == TG_OK || status == TG_ENOMEM);
        tg_load_report_free(&report);
        if (status)
            ck_assert_uint_eq(checksum(m), before);
        ck_assert_int_eq(rig_live, live);
    }
    ck_assert_uint_eq(checksum(m), checksum(other));
    tg_module_destroy(m);
    tg_module_destroy(other);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("model files");
    TCase *t = tcase_create("model_files");
    tcase_add_checked_fixture(t, open_all, folder_close);
    tcase_add_loop_test(t, a_model_of_pytorch, 0, 2);
    tcase_add_test(t, the_same_bits_in_a_new_runtime);
    tcase_add_test(t, every_kind_of_argument);
    tcase_add_test(t, strict_and_not);
    tcase_add_test(t, wrong_shapes_and_dtypes);
    tcase_add_test(t, cut_short_changes_nothing);
    tcase_add_test(t, tied_weights);
    tcase_add_loop_test(t, architecture, 0, ARCHITECTURES);
    tcase_add_test(t, without_an_architecture);
    tcase_add_test(t, a_class_of_the_users);
    tcase_add_test(t, out_of_memory);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
