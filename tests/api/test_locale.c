/* Numbers are read and written with a point where the program's locale has a comma, which stays as it is. */
#include "layers/rig.h"

#include <jansson.h>

#include "api/comma.h"

static void setup(void)
{
    rig_open();
}

static void teardown(void)
{
    comma_end();
    rig_close();
}

#define COMMA()                                                                                              \
    if (!comma_begin())                                                                                      \
    TG_SKIP("this C library takes no locale with a comma")

/* The locale is the program's again behind each call. */
static void still_a_comma(void)
{
    char text[16];
    snprintf(text, sizeof text, "%g", 1.5);
    ck_assert_str_eq(text, "1,5");
}

static void has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "'%s' lacks '%s'", text, part);
}

static char last_text[65536];

/* A file's text; the file is removed. */
static const char *text_of(const char *path)
{
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    last_text[fread(last_text, 1, sizeof last_text - 1, f)] = '\0';
    fclose(f);
    remove(path);
    return last_text;
}

/* Their tables have "0.8" and "0.9". */
START_TEST(defaults_of_arguments)
{
    COMMA();
    tg_module *m = tg_nn_linear(rt, 1, 1);
    tg_optimizer *o = tg_optim_sgd(rt, tg_module_parameters(m), NULL);
    tg_scheduler *s = tg_lr_create(o, "CyclicLR",
                                   (tg_attr[]){{"base_lr", TG_ATTR_REAL, {.f = 0.1}},
                                               {"max_lr", TG_ATTR_REAL, {.f = 0.2}}},
                                   2);
    ck_assert_msg(s != NULL, "%s", tg_error_message());
    ck_assert_double_eq(tg_cyclic_defaults().base_momentum.v[0], 0.8);
    ck_assert_double_eq(tg_one_cycle_defaults().max_momentum.v[0], 0.95);
    still_a_comma();
    tg_scheduler_destroy(s);
    tg_optimizer_destroy(o);
    tg_module_destroy(m);
}
END_TEST

START_TEST(the_environment)
{
    COMMA();
    tg_runtime *other = NULL;
    setenv("TAPEGRAD_VERIFY", "reference:0.25", 1);
    const tg_status status = tg_runtime_open(&other, &(tg_runtime_options){.backend = "reference"});
    unsetenv("TAPEGRAD_VERIFY");
    ck_assert_msg(status == TG_OK, "%s", tg_error_message());
    still_a_comma();
    tg_runtime_close(other);
}
END_TEST

START_TEST(messages)
{
    COMMA();
    ck_assert_ptr_null(tg_nn_dropout(rt, 1.5));
    has(tg_error_message(), "p is 1.5");
    ck_assert_ptr_null(tg_dropout(tape, tg_input(tape, TG_F32, TG_DIMS(2), (const float[]){1, 2}), 2.5, TG_TRAIN));
    has(tg_tape_error(tape), "p is 2.5");
    still_a_comma();
}
END_TEST

START_TEST(what_is_printed)
{
    COMMA();
    tg_tensor *x = tg_input(tape, TG_F32, TG_DIMS(2), (const float[]){1.5f, 2.25f});
    FILE *to = fopen("locale.txt", "w");
    ck_assert_int_eq(tg_tensor_print(x, to), TG_OK);
    fclose(to);
    ck_assert_str_eq(text_of("locale.txt"), "tensor([1.5000, 2.2500])\n");
    still_a_comma();

    tg_module *m = tg_nn_linear(rt, 100, 100);
    tg_desc in;
    tg_summary summary;
    ck_assert_int_eq(tg_desc_make(&in, TG_F64, (int64_t[]){1, 100}, 2), TG_OK);
    ck_assert_int_eq(tg_module_summary(m, &in, 1, &summary), TG_OK);
    to = fopen("locale.txt", "w");
    ck_assert_int_eq(tg_summary_print(&summary, to), TG_OK);
    fclose(to);
    has(text_of("locale.txt"), "78.9 KiB");
    still_a_comma();
    tg_summary_free(&summary);
    tg_module_destroy(m);

    to = fopen("locale.txt", "w");
    tg_progress p;
    tg_progress_begin(&p, to, "epoch", 4);
    p.terminal = true;
    tg_progress_step(&p, 1, 0.5);
    fclose(to);
    has(text_of("locale.txt"), "loss 0.5000");
    still_a_comma();
}
END_TEST

START_TEST(charts)
{
    COMMA();
    const double x[] = {0, 0.5, 1}, y[] = {0.25, 0.5, 0.125};
    const tg_curve curve = {"loss", x, y, 3};
    ck_assert_int_eq(
        tg_charts_write_svg("locale.svg", &(tg_chart){"t", "x", "y", .curves = &curve, .n_curves = 1}, 1), TG_OK);
    const char *text = text_of("locale.svg");
    has(text, "0.25");
    for (const char *c = strchr(text, ','); c; c = strchr(c + 1, ',')) /* but for the fonts' names */
        ck_assert_msg(c[1] < '0' || c[1] > '9', "%.40s", c - 10);
    still_a_comma();
}
END_TEST

START_TEST(profile_and_report)
{
    COMMA();
    tg_runtime *other;
    tg_tape *t;
    setenv("TAPEGRAD_PROFILE", "locale.json", 1);
    setenv("TAPEGRAD_REPORT", "locale.txt", 1);
    ck_assert_int_eq(tg_runtime_open(&other, &(tg_runtime_options){.backend = "reference"}), TG_OK);
    unsetenv("TAPEGRAD_PROFILE");
    unsetenv("TAPEGRAD_REPORT");
    ck_assert_int_eq(tg_tape_open(&t, other), TG_OK);
    ck_assert_ptr_nonnull(tg_exp(t, tg_input(t, TG_F32, TG_DIMS(3), (const float[]){1, 2, 3})));
    tg_tape_close(t);
    tg_runtime_close(other);
    still_a_comma();
    has(text_of("locale.txt"), "exp ");
    ck_assert_ptr_null(strchr(last_text, ','));
    comma_end(); /* for the one that reads */
    json_error_t error;
    json_t *all = json_loads(text_of("locale.json"), 0, &error);
    ck_assert_msg(all != NULL, "line %d: %s", error.line, error.text);
    json_decref(all);
}
END_TEST

/* A file written under either is read under the other. */
START_TEST(models)
{
    COMMA();
    for (int turn = 0; turn < 2; turn++) {
        tg_module *m = tg_nn_dropout(rt, 0.25);
        ck_assert_msg(tg_module_save(m, "locale.safetensors") == TG_OK, "%s", tg_error_message());
        tg_module_destroy(m);
        if (turn)
            ck_assert(comma_begin());
        else
            comma_end();
        m = tg_module_load(rt, "locale.safetensors");
        ck_assert_msg(m != NULL, "%s", tg_error_message());
        ck_assert_double_eq(*(const double *)tg_module_attrs(m), 0.25);
        tg_module_destroy(m);
        remove("locale.safetensors");
    }
    still_a_comma();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("locale");
    TCase *t = tcase_create("comma");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, defaults_of_arguments);
    tcase_add_test(t, the_environment);
    tcase_add_test(t, messages);
    tcase_add_test(t, what_is_printed);
    tcase_add_test(t, charts);
    tcase_add_test(t, profile_and_report);
    tcase_add_test(t, models);
    suite_add_tcase(s, t);
    return s;
}
TG_TEST_MAIN(suite)
