/* A runtime and a tape in f64 on the environment's backends; tensors from literals; how a call failed. */
#ifndef TG_TESTS_AUTOGRAD_RIG_H
#define TG_TESTS_AUTOGRAD_RIG_H

#include "support/check_main.h"

#include <math.h>
#include <string.h>

#include <tapegrad/layer_class.h>
#include <tapegrad/tapegrad.h>

#define UNUSED __attribute__((unused))

static tg_runtime *rt;
static tg_tape *tape;

UNUSED static void setup(void)
{
    tg_runtime_options options = {
        .struct_size = sizeof options, .dtype = TG_F64, .threads = 2, .seed = 5};
    ck_assert_msg(tg_runtime_open(&rt, &options) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
}

UNUSED static void teardown(void)
{
    tg_tape_close(tape);
    tg_runtime_close(rt);
}

#define ok(call) ck_assert_msg((call) == TG_OK, "%s: %s", tg_tape_error(tape), tg_error_message())

/* A tensor of one's own that wants a gradient. */
UNUSED static tg_tensor *own(const double *value, const int64_t *dims, size_t ndim)
{
    tg_tensor *t = NULL;
    ok(tg_tensor_create(&t, rt, TG_F64, dims, ndim));
    ok(tg_tensor_write(t, value, (size_t)tg_tensor_count(t) * sizeof *value));
    ok(tg_tensor_set_requires_grad(t, true));
    return t;
}

UNUSED static tg_tensor *leaf(const double *value, const int64_t *dims, size_t ndim)
{
    tg_tensor *t = tg_input(tape, TG_F64, dims, ndim, value);
    ck_assert_msg(t != NULL, "%s", tg_tape_error(tape));
    ok(tg_tensor_set_requires_grad(t, true));
    return t;
}

/* Numbers in (−1, 1) that look like nothing. */
UNUSED static tg_tensor *noise(int seed, const int64_t *dims, size_t ndim)
{
    static double value[1 << 16];
    int64_t n = 1;
    for (size_t i = 0; i < ndim; i++)
        n *= dims[i];
    ck_assert_int_le(n, 1 << 16);
    for (int64_t i = 0; i < n; i++)
        value[i] = fmod((double)(i + 1) * 0.754877666 + (double)seed * 0.5698402909, 1.0) * 2 - 1;
    return tg_input(tape, TG_F64, dims, ndim, value);
}

UNUSED static double item(const tg_tensor *t)
{
    double x = 0;
    ok(tg_item(t, &x));
    return x;
}

UNUSED static void reads(const tg_tensor *t, const double *want, size_t n)
{
    double got[256];
    ck_assert_msg(t != NULL, "NULL: %s", tg_tape_error(tape));
    ck_assert_msg(tg_tensor_read(t, got, n * sizeof *got) == TG_OK, "%s", tg_error_message());
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= 1e-11 * fmax(1, fabs(want[i])), "element %zu: %.15g, not %.15g", i,
                      got[i], want[i]);
}

UNUSED static void fails_with(tg_status want, const char *words)
{
    ck_assert_msg(tg_tape_status(tape) == want, "%s: %s", tg_status_name(tg_tape_status(tape)), tg_tape_error(tape));
    ck_assert_msg(strstr(tg_tape_error(tape), words) != NULL, "%s", tg_tape_error(tape));
    tg_tape_clear_error(tape);
}

#endif
