/* Who runs an operator when the first does not: declining, refusing, failing; TAPEGRAD_FALLBACK and
 * TAPEGRAD_REPORT. */
#include "abi/rig.h"

#include <string.h>

static tg_tensor *three(tg_tape *tape)
{
    return tg_input(tape, TG_F32, (int64_t[]){3}, 1, (float[]){1, 2, 3});
}

/* Runs neg on the chain under TAPEGRAD_FALLBACK=error: TG_OK, or the tape's status. */
static tg_status strict_neg(const char *chain, char *error, size_t size)
{
    env("TAPEGRAD_FALLBACK", "error");
    tg_runtime *rt = open_chain(chain);
    tg_tape *tape = open_tape(rt);
    tg_tensor *y = tg_neg(tape, three(tape));
    tg_status status = tg_tape_status(tape);
    ck_assert_msg((y == NULL) == (status != TG_OK), "%s: %s", chain, tg_tape_error(tape));
    snprintf(error, size, "%s", tg_tape_error(tape));
    tg_tape_clear_error(tape);
    y = tg_neg(tape, three(tape)); /* asked again, it says the same */
    ck_assert_msg((y == NULL) == (status != TG_OK) && tg_tape_status(tape) == status, "%s, again: %s", chain,
                  tg_tape_error(tape));
    tg_tape_close(tape);
    tg_runtime_close(rt);
    return status;
}

START_TEST(strict_refuses_what_nobody_named_runs)
{
    static const struct {
        const char *chain;
        tg_status status;
        const char *says;
    } rows[] = {
        {"good", TG_OK, ""},
        {"declines", TG_OK, ""},                   /* a choice                   */
        {"refuses", TG_ENOKERNEL, "it is Monday"}, /* the reference is implied   */
        {"refuses,reference", TG_OK, ""},          /* the user named it          */
        {"refuses,good", TG_OK, ""},               /* somebody named ran it      */
        {"refuses,declines", TG_OK, ""},
        {"preparefails", TG_ENOKERNEL, "the mould is broken"},
        {"preparefails,reference", TG_OK, ""},
        {"runfails", TG_ENOKERNEL, "failed"},
        {"runfails,reference", TG_OK, ""},
        {"reference", TG_OK, ""},
        {NULL, TG_OK, ""}, /* the default names all of it */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char error[1024];
        tg_status status = strict_neg(rows[i].chain, error, sizeof error);
        ck_assert_msg(status == rows[i].status, "%s: %s %s", rows[i].chain, tg_status_name(status), error);
        has(error, rows[i].says);
        if (status) {
            has(error, "neg");
            has(error, "f32[3]");
            has(error, rows[i].chain);
        }
    }
}
END_TEST

START_TEST(strict_names_an_operator_that_the_chain_lacks)
{
    env("TAPEGRAD_FALLBACK", "error");
    tg_runtime *rt = open_chain("good");
    tg_tape *tape = open_tape(rt);
    ck_assert_ptr_null(tg_exp(tape, three(tape)));
    ck_assert_int_eq(tg_tape_status(tape), TG_ENOKERNEL);
    has(tg_tape_error(tape), "exp");
    tg_tape_clear_error(tape);
    check_neg(tape, "good"); /* the tape goes on */
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

START_TEST(a_malformed_variable_is_an_error)
{
    env("TAPEGRAD_FALLBACK", "sometimes");
    ck_assert_int_eq(refused("reference"), TG_EINVAL);
    has(tg_error_message(), "TAPEGRAD_FALLBACK");
    env("TAPEGRAD_FALLBACK", NULL);
    static const char *const threads[] = {"0", "-2", "many", "2x", "99999999999999999999"};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        env("TAPEGRAD_NUM_THREADS", threads[i]);
        ck_assert_int_eq(refused("reference"), TG_EINVAL);
        has(tg_error_message(), "TAPEGRAD_NUM_THREADS");
    }
}
END_TEST

START_TEST(a_failing_prepare_leaves_it_to_the_next)
{
    tg_runtime *rt = open_chain("preparefails");
    tg_tape *tape = open_tape(rt);
    for (int i = 0; i < 3; i++)
        check_neg(tape, "reference");
    ck_assert_uint_eq(tg_tape_count_runs(tape, NULL, "preparefails"), 0);
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

START_TEST(a_failing_run_leaves_it_to_the_next)
{
    tg_runtime *rt = open_chain("runfails,good");
    tg_tape *tape = open_tape(rt);
    tg_random_state before = tg_tape_random_state(tape);
    for (int i = 0; i < 3; i++) {
        check_neg(tape, "good");
        tg_tape_reset(tape);
    }
    tg_random_state after = tg_tape_random_state(tape);
    ck_assert(before.seed == after.seed && before.draw == after.draw);
    ck_assert_uint_eq(tg_tape_count_runs(tape, NULL, "runfails"), 0);
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

/* The saved memory is of the size that the kernel asked for which runs in the end, and belongs to its own
 * node: a rule that runs the same kernel unrecorded must not get it. */
START_TEST(what_a_kernel_saves_is_its_own)
{
    tg_runtime *rt = open_chain("runfails,saves");
    tg_tape *tape = open_tape(rt);
    tg_tensor *x = three(tape);
    ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
    tg_tensor *y = tg_neg(tape, x);
    ck_assert_msg(y != NULL, "%s", tg_tape_error(tape));
    ck_assert_uint_eq(tg_tape_count_runs(tape, "neg", "saves"), 1);
    ck_assert_msg(tg_backward(tape, tg_sum(tape, y)) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_uint_eq(tg_tape_count_runs(tape, "neg", "saves"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "neg", "reference"), 1); /* the rule's */
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

/* … nor does a backward kernel of a backend that did not run the forward, and takes what it gets for its own. */
START_TEST(what_another_backend_saved_is_nobodys)
{
    static const char *const chains[] = {"keeps", "foreign,keeps", "keeps,foreign"};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        tg_runtime *rt = open_chain(chains[i]);
        tg_tape *tape = open_tape(rt);
        tg_tensor *x = three(tape);
        float g[3];
        ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
        tg_tensor *y = tg_relu(tape, x);
        ck_assert_uint_eq(tg_tape_count_runs(tape, "relu", "keeps"), 1);
        ck_assert_msg(tg_backward(tape, tg_sum(tape, y)) == TG_OK, "%s", tg_tape_error(tape));
        ck_assert_uint_eq(tg_tape_count_runs(tape, "relu_backward", i == 1 ? "foreign" : "keeps"), 1);
        ck_assert_int_eq(tg_tensor_read(tg_tensor_grad(x), g, sizeof g), TG_OK);
        ck_assert(g[0] == 1 && g[1] == 1 && g[2] == 1);
        tg_tape_close(tape);
        tg_runtime_close(rt);
    }
}
END_TEST

/* What was to be overwritten may be half written, so nobody else may try: an error, and a target that is as
 * it was. */
START_TEST(a_failing_run_in_place_is_an_error)
{
    tg_runtime *rt = open_chain("runfails");
    tg_tensor *t = NULL;
    const float values[2] = {5, 6};
    float now[2];
    ck_assert_int_eq(tg_tensor_create(&t, rt, TG_F32, (int64_t[]){2}, 1), TG_OK);
    ck_assert_int_eq(tg_tensor_write(t, values, sizeof values), TG_OK);
    ck_assert_int_eq(tg_fill(t, 9), TG_EBACKEND);
    has(tg_error_message(), "a fuse has blown");
    has(tg_error_message(), "runfails");
    ck_assert_int_eq(tg_tensor_read(t, now, sizeof now), TG_OK);
    ck_assert(now[0] == 5 && now[1] == 6);
    tg_tensor_destroy(t);
    tg_runtime_close(rt);
}
END_TEST

/* -- the report ------------------------------------------------------------------------------------------ */

static char report[8192];

static const char *read_report(const char *path)
{
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "no report was written");
    report[fread(report, 1, sizeof report - 1, f)] = 0;
    fclose(f);
    unlink(path);
    return report;
}

/* The report's line on this operator and backend. */
static const char *line_of(const char *op, const char *backend)
{
    static char line[512];
    size_t n;
    for (const char *at = report; *at; at += n + (at[n] == '\n')) {
        char o[64], b[64];
        n = strcspn(at, "\n");
        size_t take = n < sizeof line ? n : sizeof line - 1;
        memcpy(line, at, take);
        line[take] = 0;
        if (sscanf(line, "%63s %63s", o, b) == 2 && !strcmp(o, op) && !strcmp(b, backend))
            return line;
    }
    ck_abort_msg("no line on %s by %s in:\n%s", op, backend, report);
    return "";
}

START_TEST(the_report_tells_who_ran_what_and_why)
{
    char path[] = "/tmp/tapegrad-report-XXXXXX";
    close(mkstemp(path));
    env("TAPEGRAD_REPORT", path);
    tg_runtime *rt = open_chain("refuses,good");
    tg_tape *tape = open_tape(rt);
    for (int i = 0; i < 2; i++)
        check_neg(tape, "good");
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(tg_exp(tape, three(tape)));
    tg_tape_close(tape);
    tg_runtime_close(rt);
    has(read_report(path), "refuses,good,reference");
    unsigned long long calls, fallbacks;
    double ms;
    ck_assert_int_eq(sscanf(line_of("neg", "good"), "neg good %llu %lf %llu", &calls, &ms, &fallbacks), 3);
    ck_assert_uint_eq(calls, 2);
    ck_assert_uint_eq(fallbacks, 0);
    ck_assert_int_eq(
        sscanf(line_of("exp", "reference"), "exp reference %llu %lf %llu", &calls, &ms, &fallbacks), 3);
    ck_assert_uint_eq(calls, 3);
    ck_assert_uint_eq(fallbacks, 3);
    has(line_of("exp", "reference"), "no kernel");
}
END_TEST

START_TEST(declining_is_no_fallback_in_the_report)
{
    char path[] = "/tmp/tapegrad-report-XXXXXX";
    close(mkstemp(path));
    env("TAPEGRAD_REPORT", path);
    tg_runtime *rt = open_chain("declines");
    tg_tape *tape = open_tape(rt);
    check_neg(tape, "reference");
    tg_tape_close(tape);
    tg_runtime_close(rt);
    read_report(path);
    unsigned long long calls, fallbacks;
    double ms;
    ck_assert_int_eq(
        sscanf(line_of("neg", "reference"), "neg reference %llu %lf %llu", &calls, &ms, &fallbacks), 3);
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_eq(fallbacks, 0);
}
END_TEST

START_TEST(a_report_that_cannot_be_written_does_no_harm)
{
    env("TAPEGRAD_REPORT", "/nonexistent/folder/report");
    tg_runtime *rt = open_chain("good");
    tg_tape *tape = open_tape(rt);
    check_neg(tape, "good");
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("fallback");
    TCase *t = tcase_create("fallback");
    tcase_add_checked_fixture(t, fresh_env, fresh_env);
    tcase_add_test(t, strict_refuses_what_nobody_named_runs);
    tcase_add_test(t, strict_names_an_operator_that_the_chain_lacks);
    tcase_add_test(t, a_malformed_variable_is_an_error);
    tcase_add_test(t, a_failing_prepare_leaves_it_to_the_next);
    tcase_add_test(t, a_failing_run_leaves_it_to_the_next);
    tcase_add_test(t, what_a_kernel_saves_is_its_own);
    tcase_add_test(t, what_another_backend_saved_is_nobodys);
    tcase_add_test(t, a_failing_run_in_place_is_an_error);
    suite_add_tcase(s, t);
    t = tcase_create("report");
    tcase_add_checked_fixture(t, fresh_env, fresh_env);
    tcase_add_test(t, the_report_tells_who_ran_what_and_why);
    tcase_add_test(t, declining_is_no_fallback_in_the_report);
    tcase_add_test(t, a_report_that_cannot_be_written_does_no_harm);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
