/* A runtime and a tape in f64 on the environment's backends, vectors on them, and how a call failed. */
#ifndef TG_TESTS_API_RIG_H
#define TG_TESTS_API_RIG_H

#include "support/check_main.h"

#include <math.h>
#include <string.h>

#include <tapegrad/tapegrad.h>

#define UNUSED __attribute__((unused))
#define DIMS(...) (int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

static tg_runtime *rt;
static tg_tape *tape;

UNUSED static void setup(void)
{
    tg_runtime_options options = {
        .struct_size = sizeof options, .dtype = TG_F64, .threads = 1};
    ck_assert_msg(tg_runtime_open(&rt, &options) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
}

UNUSED static void teardown(void)
{
    tg_tape_close(tape);
    tg_runtime_close(rt);
}

UNUSED static tg_tensor *vector(const double *value, int64_t n)
{
    tg_tensor *t = NULL;
    ck_assert_int_eq(tg_tensor_create(&t, rt, TG_F64, &n, 1), TG_OK);
    ck_assert_int_eq(tg_tensor_write(t, value, (size_t)n * sizeof *value), TG_OK);
    ck_assert_int_eq(tg_tensor_set_requires_grad(t, true), TG_OK);
    return t;
}

UNUSED static tg_tensor *input(const double *value, int64_t n)
{
    return tg_input(tape, TG_F64, &n, 1, value);
}

UNUSED static void reads(const tg_tensor *t, const double *want, size_t n)
{
    double got[16];
    ck_assert_msg(tg_tensor_read(t, got, n * sizeof *got) == TG_OK, "%s", tg_error_message());
    for (size_t i = 0; i < n; i++)
        ck_assert_double_eq_tol(got[i], want[i], 1e-12);
}

UNUSED static void fails_with(tg_status want, const char *word)
{
    ck_assert_msg(tg_tape_status(tape) == want, "%s: %s", tg_status_name(tg_tape_status(tape)),
                  tg_tape_error(tape));
    ck_assert_msg(!word || strstr(tg_tape_error(tape), word), "%s", tg_tape_error(tape));
    tg_tape_clear_error(tape);
}

#endif
