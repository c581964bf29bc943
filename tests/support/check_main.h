/* The main() of every test program: Check's suites, run in this process, reported as TAP on stdout.
 *
 *     #include "support/check_main.h"
 *
 *     START_TEST(adds) { ck_assert_int_eq(1 + 1, 2); } END_TEST
 *
 *     static Suite *suite(void) {
 *         Suite *s = suite_create("sums");
 *         TCase *t = tcase_create("small");
 *         tcase_add_test(t, adds);
 *         suite_add_tcase(s, t);
 *         return s;
 *     }
 *     TG_TEST_MAIN(suite)
 *
 * Several suites: TG_TEST_MAIN(suite, another). stdout belongs to TAP: what a test prints goes to stderr.
 * Exit status: 0 where every test passed or was skipped, else 1.
 * See tests/README.md for how meson runs it.
 */
#ifndef TG_TESTS_CHECK_MAIN_H
#define TG_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wdouble-promotion" /* ck_assert_float_… promote, and a test may */
#endif

/* Ends the running test as skipped, for the reason given (printf's manner): TG_SKIP("no %s here", name).
 * Only in the test function itself, not in what it calls. */
#define TG_SKIP(...)                                                                                         \
    do {                                                                                                     \
        tg_test_skip(__FILE__, __LINE__, __VA_ARGS__);                                                       \
        return;                                                                                              \
    } while (0)

#define TG_TEST_MAIN(...)                                                                                    \
    int main(int argc, char **argv) {                                                                        \
        Suite *(*const suites[])(void) = {__VA_ARGS__};                                                      \
        return tg_test_run(suites, sizeof suites / sizeof suites[0], argc, argv);                            \
    }

/* Check knows no skipping, but it writes the file name of the last mark point into the TAP line of a test
 * that passed: `ok 7 - FILE:CASE:TEST: Passed`. A TAP directive put there reaches whoever reads the TAP. */
__attribute__((unused, format(printf, 3, 4))) static void tg_test_skip(const char *file, int line,
                                                                       const char *format, ...) {
    char reason[256], mark[512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    for (char *c = reason; *c; c++)
        if (*c == '\n' || *c == '#')
            *c = ' ';
    snprintf(mark, sizeof mark, "%.200s # SKIP %s", file, reason);
    _mark_point(mark, line);
}

static pid_t tg_test_pid; /* who runs the suites; 0: nobody, or they have ended */

/* A test that calls exit(0) must not look like the end of all tests. */
static void tg_test_left(void) {
    if (tg_test_pid == getpid()) {
        printf("Bail out! exit() was called by a test\n");
        fflush(NULL);
        _exit(1);
    }
}

__attribute__((unused)) static int tg_test_run(Suite *(*const suites[])(void), size_t n, int argc,
                                               char **argv) {
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: %s [TCASE]\nRuns the cases in the TCase of that name, or all of them.\n",
                argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* what ran before a crash is seen */
    SRunner *runner = srunner_create(NULL);
    for (size_t i = 0; i < n; i++)
        srunner_add_suite(runner, suites[i]());
    if (!getenv("CK_FORK")) /* a forked child hangs once OpenMP has run in its parent */
        srunner_set_fork_status(runner, CK_NOFORK);
    srunner_set_tap(runner, "-");
    atexit(tg_test_left);
    tg_test_pid = getpid();
    srunner_run(runner, NULL, argc == 2 ? argv[1] : NULL, CK_SILENT);
    tg_test_pid = 0;

    int failed = srunner_ntests_failed(runner);
    TestResult **result = srunner_failures(runner); /* Check's TAP lacks the line number */
    for (int i = 0; i < failed; i++)
        fprintf(stderr, "%s:%d: %s: %s\n", tr_lfile(result[i]) ? tr_lfile(result[i]) : "?", tr_lno(result[i]),
                tr_tcname(result[i]), tr_msg(result[i]));
    free(result);
    srunner_free(runner);
    return failed != 0;
}

#endif
