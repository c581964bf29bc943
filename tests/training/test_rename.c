/* State under other names: rules, what they drop, what they refuse; from one module into another. */
#include "training/files.h"

#include <tapegrad/module_tools.h>

static tg_module *encoder(void)
{
    tg_module *layer = tg_nn_identity(rt);
    ck_assert_int_eq(tg_module_add_child(layer, "query", tg_nn_linear(rt, 3, 3)), TG_OK);
    ck_assert_int_eq(tg_module_add_child(layer, "norm", tg_nn_batch_norm1d(rt, 3)), TG_OK);
    return tg_nn_sequential(rt, layer, tg_nn_linear(rt, 3, 2));
}

static tg_safetensors *opened(const char *path)
{
    tg_safetensors *file;
    ck_assert_msg(tg_safetensors_open(&file, rt, path) == TG_OK, "%s", tg_error_message());
    return file;
}

/* {from, to, name, what it becomes}; to NULL drops. */
static const struct {
    const char *from, *to, *name, *want;
} rules[] = {
    {"0.", "encoder.", "0.query.bias", "encoder.query.bias"},
    {"", "module.", "0.query.bias", "module.0.query.bias"},
    {"0.query.bias", "b", "0.query.bias", "b"},
    {"0.query", "b", "0.query.bias", "0.query.bias"}, /* ends within a name */
    {"0.query.", "", "0.query.bias", "bias"},
    {"*.query.", "q.*.", "0.query.bias", "q.0.bias"},
    {"*.*.*", "*/*/*", "0.query.bias", "0/query/bias"},
    {"*.qu*.", "x.*.", "0.query.bias", "x.0.bias"},
    {"0.qu*.b*", "*-*", "0.query.bias", "ery-ias"},
    {"0.*y.", "*.", "0.query.bias", "quer.bias"},
    {"0.**.", "*.*.", "0.query.bias", "quer.y.bias"},
    {"0.q*x.", "*", "0.query.bias", "0.query.bias"},
    {"0.query.bias.", "x", "0.query.bias", "0.query.bias"},
    {"uery", "x", "0.query.bias", "0.query.bias"},
    {"0.query.", NULL, "0.query.bias", NULL},
};

START_TEST(a_rule)
{
    const tg_rename rule = {rules[_i].from, rules[_i].to};
    tg_module *m = encoder();
    ck_assert_msg(tg_module_save_state(m, in_folder("x"), &rule, 1) == TG_OK, "%s", tg_error_message());
    tg_safetensors *file = opened(in_folder("x"));
    const tg_file_tensor *t = rules[_i].want ? tg_safetensors_find(file, rules[_i].want) : NULL;
    ck_assert_int_eq(t != NULL, rules[_i].want != NULL);
    double want[3];
    get(tg_module_tensor(m, rules[_i].name), want, 3);
    if (t)
        ck_assert_mem_eq(t->data, want, sizeof want);
    if (!rules[_i].want || strcmp(rules[_i].want, rules[_i].name))
        ck_assert_ptr_null(tg_safetensors_find(file, rules[_i].name));
    ck_assert_str_eq(tg_safetensors_metadata(file, "format"), "pt");
    tg_safetensors_close(file);
    tg_module_destroy(m);
}
END_TEST

START_TEST(there_and_back)
{
    static const tg_rename there[] = {{"*.query.", "layer.*.attention.q."}, {"1.", NULL}, {"", "module."}};
    static const tg_rename back[] = {
        {"module.", ""}, {"layer.*.attention.q.", "*.query."}, {"0.norm.num_batches_tracked", NULL}};
    tg_module *m = encoder(), *other = encoder();
    tg_load_report report;
    ck_assert_int_eq(tg_module_save_state(m, in_folder("x"), there, 3), TG_OK);
    ck_assert_int_eq(tg_module_load_state(other, in_folder("x"), true, NULL), TG_EFORMAT);
    const uint64_t before = checksum(other);
    ck_assert_int_eq(tg_module_load_state_renamed(other, in_folder("x"), back, 3, true, NULL), TG_EFORMAT);
    ck_assert_msg(
        strstr(tg_error_message(), "3 names are missing, the first is 0.norm.num_batches_tracked") != NULL,
        "%s", tg_error_message());
    ck_assert_uint_eq(checksum(other), before);
    ck_assert_int_eq(tg_module_load_state_renamed(other, in_folder("x"), back, 3, false, &report), TG_OK);
    ck_assert_uint_eq(report.n_missing, 3);
    ck_assert_str_eq(report.missing[1], "1.weight");
    ck_assert_uint_eq(report.n_unexpected, 0);
    tg_load_report_free(&report);
    double a[9], b[9];
    get(tg_module_tensor(m, "0.query.weight"), a, 9);
    get(tg_module_tensor(other, "0.query.weight"), b, 9);
    ck_assert_mem_eq(a, b, sizeof a);
    tg_module_destroy(m);
    tg_module_destroy(other);
}
END_TEST

START_TEST(refuses)
{
    char endless[1100];
    tg_module *m = encoder();
    memset(endless, 'a', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    ck_assert_int_eq(tg_module_save_state(m, in_folder("y"), NULL, 0), TG_OK);
    const struct {
        tg_rename rule[2];
        tg_status want;
        const char *word;
    } bad[] = {
        {{{"*.", "*.*."}, {"", ""}}, TG_EINVAL, "rule 0"},
        {{{"", ""}, {"*********", ""}}, TG_EINVAL, "rule 1"},
        {{{"", ""}, {NULL, ""}}, TG_EINVAL, "from NULL"},
        {{{"", ""}, {"", endless}}, TG_EINVAL, "longer than 1023"},
        {{{"0.query.", "1."}, {"", ""}}, TG_EFORMAT, "two names become 1."},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const uint64_t before = checksum(m);
        ck_assert_int_eq(tg_module_load_state_renamed(m, in_folder("y"), bad[i].rule, 2, true, NULL),
                         bad[i].want);
        ck_assert_msg(strstr(tg_error_message(), bad[i].word) != NULL, "%s", tg_error_message());
        ck_assert_uint_eq(checksum(m), before);
        ck_assert_int_ne(tg_module_save_state(m, in_folder("z"), bad[i].rule, 2), TG_OK);
        ck_assert_int_ne(tg_module_copy_state(m, m, bad[i].rule, 2, true, NULL), TG_OK);
    }
    ck_assert_int_eq(tg_module_save_state(m, in_folder("z"), NULL, 1), TG_EINVAL);
    ck_assert_int_eq(tg_module_save_state(NULL, in_folder("z"), NULL, 0), TG_EINVAL);
    ck_assert_int_eq(tg_module_save_state(m, NULL, NULL, 0), TG_EINVAL);
    ck_assert_int_eq(tg_module_load_state_renamed(m, NULL, NULL, 0, true, NULL), TG_EINVAL);
    ck_assert_int_eq(tg_module_copy_state(m, NULL, NULL, 0, true, NULL), TG_EINVAL);
    ck_assert_int_eq(tg_module_copy_state(NULL, m, NULL, 0, true, NULL), TG_EINVAL);
    tg_module_destroy(m);
}
END_TEST

START_TEST(from_module_to_module)
{
    tg_module *a = encoder(), *b = encoder(), *other = tg_nn_sequential(rt, tg_nn_linear(rt, 3, 3));
    ck_assert_uint_ne(checksum(a), checksum(b));
    ck_assert_int_eq(tg_module_copy_state(b, a, NULL, 0, true, NULL), TG_OK);
    ck_assert_uint_eq(checksum(a), checksum(b));
    ck_assert_int_eq(tg_module_copy_state(other, a, NULL, 0, true, NULL), TG_EFORMAT);
    ck_assert_int_eq(tg_module_copy_state(other, a, &(tg_rename){"0.query.", "0."}, 1, false, NULL), TG_OK);
    double x[9], y[9];
    get(tg_module_tensor(a, "0.query.weight"), x, 9);
    get(tg_module_tensor(other, "0.weight"), y, 9);
    ck_assert_mem_eq(x, y, sizeof x);
    ck_assert_int_eq(tg_module_copy_state(other, a, &(tg_rename){"1.", "0."}, 1, false, NULL), TG_ESHAPE);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "tg_module_copy_state: 0.weight is f64[2, 3]"));
    tg_module_destroy(other);
    tg_module_destroy(b);
    /* Into another runtime, in f32. */
    tg_runtime *there;
    ck_assert_int_eq(tg_runtime_open(&there, &(tg_runtime_options){.backend = "reference", .dtype = TG_F32}),
                     TG_OK);
    tg_runtime *here = rt;
    rt = there;
    tg_module *c = encoder();
    rt = here;
    ck_assert_msg(tg_module_copy_state(c, a, NULL, 0, true, NULL) == TG_OK, "%s", tg_error_message());
    float f[9];
    ck_assert_int_eq(tg_tensor_read(tg_module_tensor(c, "0.query.weight"), f, sizeof f), TG_OK);
    for (int i = 0; i < 9; i++)
        ck_assert_float_eq(f[i], (float)x[i]);
    ck_assert_int_eq(tg_module_copy_state(a, c, NULL, 0, true, NULL), TG_OK);
    get(tg_module_tensor(a, "0.query.weight"), y, 9);
    ck_assert_double_eq(y[4], (double)f[4]);
    tg_module_destroy(c);
    tg_runtime_close(there);
    tg_module_destroy(a);
}
END_TEST

START_TEST(no_memory)
{
    static const tg_rename rule = {"*.query.", "layer.*.attention.q."};
    tg_module *a = encoder(), *b = encoder();
    const uint64_t before = checksum(b);
    ck_assert_uint_gt(tg_module_state(a)->n, 0); /* the list stays with the module */
    bool done = false;
    for (long i = 1; !done; i++) {
        tg_load_report report;
        ck_assert_int_lt(i, 1000);
        const long live = rig_live;
        rig_fail_at = rig_calls + i;
        done = tg_module_copy_state(b, a, &rule, 1, false, &report) == TG_OK;
        rig_fail_at = 0;
        if (done) {
            tg_load_report_free(&report);
        } else {
            ck_assert_uint_eq(checksum(b), before);
            ck_assert_int_eq(rig_live, live);
        }
    }
    for (long i = 1, ok = false; !ok; i++) {
        ck_assert_int_lt(i, 1000);
        const long live = rig_live;
        rig_fail_at = rig_calls + i;
        ok = tg_module_save_state(a, in_folder("x"), &rule, 1) == TG_OK;
        rig_fail_at = 0;
        ck_assert_int_eq(rig_live, live);
    }
    tg_module_destroy(a);
    tg_module_destroy(b);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("renaming");
    TCase *t = tcase_create("renaming");
    tcase_add_checked_fixture(t, folder_open, folder_close);
    tcase_add_loop_test(t, a_rule, 0, sizeof rules / sizeof *rules);
    tcase_add_test(t, there_and_back);
    tcase_add_test(t, refuses);
    tcase_add_test(t, from_module_to_module);
    tcase_add_test(t, no_memory);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
