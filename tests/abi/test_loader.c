/* Finding backends, the handshake, the chain. */
#include "abi/rig.h"

#include <string.h>

/* -- the handshake --------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    tg_status status;
    const char *says;
} broken[] = {
    {"text", TG_EBACKEND, "text.so"},
    {"noentry", TG_EABI, "exports no tg_backend_entry"},
    {"nullentry", TG_EABI, "returned NULL"},
    {"othermajor", TG_EABI, "plug-in ABI 2.0, this library has 1.2"},
    {"smallstruct", TG_EABI, "its description has"},
    {"smallstride", TG_EABI, "bytes apart"},
    {"nokernels", TG_EABI, "no kernels"},
    {"norun", TG_EABI, "kernel 1 is incomplete"},
    {"othername", TG_EABI, "somebody_else"},
    {"scorezero", TG_EBACKEND, "it wants a quantum processor"},
    {"openfails", TG_EBACKEND, "the quantum processor is asleep"},
    {"nomemory", TG_ENOMEM, "could not be opened"},
};
enum { N_BROKEN = sizeof broken / sizeof *broken };

START_TEST(named_in_a_chain_it_is_an_error)
{
    ck_assert_int_eq(refused(broken[_i].name), broken[_i].status);
    has(tg_error_message(), broken[_i].name);
    has(tg_error_message(), broken[_i].says);
    has(tg_error_message(), "cannot be used: ");
    has(tg_error_message(), "known here: ");
}
END_TEST

START_TEST(listed_it_is_a_reason)
{
    tg_runtime *rt = open_chain("reference");
    tg_backend_info b = info_of(rt, broken[_i].name);
    ck_assert(!b.loaded && !b.in_chain);
    has(b.reason, broken[_i].says);
    has(b.path, PLUGINS);
    ck_assert_uint_eq(b.n_kernels, 0);
    tg_runtime_close(rt);
}
END_TEST

START_TEST(a_newer_minor_loads_and_runs)
{
    tg_runtime *rt = open_chain("newerminor");
    tg_tape *tape = open_tape(rt);
    check_neg(tape, "newerminor");
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

/* -- the chain ------------------------------------------------------------------------------------------- */

static const struct {
    const char *chain, *says;
} bad_chains[] = {
    {"fpga", "unknown backend \"fpga\""},
    {"reference,fpga", "unknown backend \"fpga\""},
    {"", "empty item"},
    {",", "empty item"},
    {"good,", "empty item"},
    {"good,,reference", "empty item"},
    {" ", "empty item"},
    {"good,good", "twice"},
    {"reference, reference", "twice"},
    {"../good", "unknown backend"},
    {"Good", "unknown backend"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaa",
     "unknown backend"},
};

START_TEST(a_malformed_chain_is_an_error)
{
    ck_assert_int_eq(refused(bad_chains[_i].chain), TG_EBACKEND);
    has(tg_error_message(), bad_chains[_i].says);
    if (!strstr(tg_error_message(), "twice")) {
        has(tg_error_message(), "reference");
        has(tg_error_message(), "good");
    }
}
END_TEST

START_TEST(the_environment_names_the_chain)
{
    env("TAPEGRAD_BACKEND", "fpga");
    ck_assert_int_eq(refused(NULL), TG_EBACKEND);
    has(tg_error_message(), "TAPEGRAD_BACKEND");
    env("TAPEGRAD_BACKEND", "good");
    tg_runtime *rt = open_chain(NULL);
    ck_assert_str_eq(tg_runtime_backend(rt), "good,reference");
    tg_runtime_close(rt);
    rt = open_chain("reference"); /* an option is stronger */
    ck_assert_str_eq(tg_runtime_backend(rt), "reference");
    tg_runtime_close(rt);
}
END_TEST

START_TEST(the_order_is_kept)
{
    static const struct {
        const char *text, *chain;
    } rows[] = {
        {"good", "good,reference"},
        {" good , newerminor ", "good,newerminor,reference"},
        {"newerminor,good,reference", "newerminor,good,reference"},
        {"reference,good", "reference,good"},
        {"reference", "reference"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tg_runtime *rt = open_chain(rows[i].text);
        ck_assert_str_eq(tg_runtime_backend(rt), rows[i].chain);
        tg_backend_info info[64];
        ck_assert_uint_gt(tg_runtime_backends(rt, info, 64), 10);
        const char *at = rows[i].chain;
        for (int k = 0; info[k].in_chain; k++) { /* the chain stands first, in order */
            ck_assert_int_eq(strncmp(at, info[k].name, strlen(info[k].name)), 0);
            at += strlen(info[k].name) + 1;
        }
        tg_runtime_close(rt);
    }
}
END_TEST

START_TEST(the_first_that_accepts_runs)
{
    tg_runtime *rt = open_chain("newerminor,good");
    tg_tape *tape = open_tape(rt);
    check_neg(tape, "newerminor");
    ck_assert_uint_eq(tg_tape_count_runs(tape, NULL, "good"), 0);
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

/* Those that are broken, and those that claim no more than the reference, stay out of the default. */
START_TEST(the_default_is_the_best_that_loads)
{
    env("TAPEGRAD_BACKEND", "");
    for (int pass = 0; pass < 2; pass++) {
        tg_runtime *rt = open_chain(NULL);
        ck_assert_str_eq(tg_runtime_backend(rt), "good," DEFAULT_CHAIN);
        tg_runtime_close(rt);
        env("TAPEGRAD_BACKEND", NULL);
    }
}
END_TEST

START_TEST(facts_are_listed)
{
    env("TAPEGRAD_NUM_THREADS", "3");
    tg_runtime *rt = open_chain("good");
    tg_backend_info b = info_of(rt, "good");
    ck_assert(b.loaded && b.in_chain);
    ck_assert_str_eq(b.library, "Test 1.2.3");
    ck_assert_str_eq(b.kernels, "portable");
    ck_assert_str_eq(b.reason, "made for a test");
    ck_assert_int_eq(b.threads, 3);
    ck_assert_uint_eq(b.n_kernels, 2);
    b = info_of(rt, "newerminor");
    ck_assert(b.loaded && !b.in_chain);
    b = info_of(rt, "reference");
    ck_assert(b.loaded && b.in_chain);
    ck_assert_str_eq(b.path, "");
    ck_assert_uint_gt(b.n_kernels, 20);
    size_t n = tg_runtime_backends(rt, &b, 1); /* writes no more than asked */
    ck_assert_uint_gt(n, 10);
    tg_runtime_close(rt);
}
END_TEST

/* -- the path -------------------------------------------------------------------------------------------- */

START_TEST(the_path_is_searched_in_order)
{
    static const char *const paths[] = {PLUGINS, ":" PLUGINS ":", "/nonexistent:" PLUGINS,
                                        "::/etc/passwd:" PLUGINS};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        env("TAPEGRAD_BACKEND_PATH", paths[i]);
        tg_runtime *rt = open_chain("good");
        has(info_of(rt, "good").path, PLUGINS);
        tg_runtime_close(rt);
    }
    env("TAPEGRAD_BACKEND_PATH", "/nonexistent");
    ck_assert_int_eq(refused("good"), TG_EBACKEND);
    env("TAPEGRAD_BACKEND_PATH", NULL);
    ck_assert_int_eq(refused("good"), TG_EBACKEND);
    char *long_path = malloc(20000);
    memset(long_path, 'x', 19999);
    long_path[19999] = 0;
    env("TAPEGRAD_BACKEND_PATH", long_path);
    ck_assert_int_eq(refused("good"), TG_EBACKEND);
    free(long_path);
}
END_TEST

START_TEST(a_build_tree_needs_no_path)
{
    env("TAPEGRAD_BACKEND_PATH", NULL);
    tg_runtime *rt = open_chain("blis");
    has(info_of(rt, "blis").path, "blis.so");
    tg_runtime_close(rt);
}
END_TEST

START_TEST(without_blis_its_name_is_unknown)
{
    ck_assert_int_eq(refused("blis"), TG_EBACKEND);
    has(tg_error_message(), "unknown backend \"blis\"");
}
END_TEST

START_TEST(runtimes_stand_side_by_side)
{
    tg_runtime *a = open_chain("good"), *b = open_chain("good"), *c = open_chain(NULL);
    tg_runtime_close(a);
    tg_tape *tape = open_tape(c);
    check_neg(tape, "good");
    tg_tape_close(tape);
    tg_runtime_close(c);
    tg_runtime_close(b);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("loader");
    TCase *t = tcase_create("handshake");
    tcase_add_checked_fixture(t, fresh_env, fresh_env);
    tcase_add_loop_test(t, named_in_a_chain_it_is_an_error, 0, N_BROKEN);
    tcase_add_loop_test(t, listed_it_is_a_reason, 0, N_BROKEN);
    tcase_add_test(t, a_newer_minor_loads_and_runs);
    suite_add_tcase(s, t);
    t = tcase_create("chain");
    tcase_add_checked_fixture(t, fresh_env, fresh_env);
    tcase_add_loop_test(t, a_malformed_chain_is_an_error, 0, sizeof bad_chains / sizeof *bad_chains);
    tcase_add_test(t, the_environment_names_the_chain);
    tcase_add_test(t, the_order_is_kept);
    tcase_add_test(t, the_first_that_accepts_runs);
    tcase_add_test(t, the_default_is_the_best_that_loads);
    tcase_add_test(t, facts_are_listed);
    suite_add_tcase(s, t);
    t = tcase_create("path");
    tcase_add_checked_fixture(t, fresh_env, fresh_env);
    tcase_add_test(t, the_path_is_searched_in_order);
    tcase_add_test(t, HAVE_BLIS ? a_build_tree_needs_no_path : without_blis_its_name_is_unknown);
    tcase_add_test(t, runtimes_stand_side_by_side);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
