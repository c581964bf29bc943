/* Forks: before anything ran a child is free; after OpenMP's threads were at work it gets an error, not a hang. */
#include "abi/rig.h"

#include <string.h>
#include <sys/wait.h>

enum { N = 200000 };
static float data[N];

static tg_tensor *big(tg_tape *tape)
{
    return tg_exp(tape, tg_input(tape, TG_F32, TG_DIMS(N), data));
}

/* What the child returns; 100 and more: the signal that ended it. */
static int in_child(int (*what)(tg_tape *), tg_tape *tape)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        alarm(20);
        _exit(what(tape));
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static int works(tg_tape *tape)
{
    return big(tape) == NULL;
}

static int fails_clearly(tg_tape *tape)
{
    return big(tape) == NULL && tg_tape_status(tape) == TG_ESTATE &&
                   strstr(tg_tape_error(tape), "was forked from one whose threads")
               ? 0
               : 1;
}

static int works_on_one_thread(tg_tape *tape)
{
    tg_tape_set_threads(tape, 1);
    return works(tape);
}

START_TEST(a_fork)
{
    env("TAPEGRAD_NUM_THREADS", "2");
    tg_runtime *rt = open_chain("reference");
    tg_tape *tape = open_tape(rt);
    ck_assert_int_eq(in_child(works, tape), 0); /* nothing ran yet */
    ck_assert_ptr_nonnull(big(tape));
    ck_assert_int_eq(in_child(fails_clearly, tape), 0);
    ck_assert_int_eq(in_child(works_on_one_thread, tape), 0);
    ck_assert_ptr_nonnull(big(tape)); /* the parent goes on */
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("fork");
    TCase *t = tcase_create("fork");
    tcase_add_checked_fixture(t, fresh_env, fresh_env);
    tcase_add_test(t, a_fork);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
