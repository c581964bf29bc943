/* A runtime in f64 on the environment's backends whose allocator counts, and a tape; small helpers for layer
 * tests. Each case opens its own, and closing it must give back every allocation. */
#ifndef TG_TESTS_RIG_H
#define TG_TESTS_RIG_H

#include "support/check_main.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/layer_class.h>
#include <tapegrad/tapegrad.h>

#define UNUSED __attribute__((unused))

static tg_runtime *rt;
static tg_tape *tape;
static atomic_long rig_live, rig_calls, rig_fail_at; /* fail_at: the number of the call that fails, 0: none */

UNUSED static void *rig_alloc(void *arg, size_t size, size_t align)
{
    (void)arg;
    long call = atomic_fetch_add(&rig_calls, 1) + 1;
    if (call == atomic_load(&rig_fail_at))
        return NULL;
    void *p = aligned_alloc(align, (size + align - 1) / align * align);
    if (p)
        atomic_fetch_add(&rig_live, 1);
    return p;
}

UNUSED static void rig_free(void *arg, void *p)
{
    (void)arg;
    atomic_fetch_sub(&rig_live, 1);
    free(p);
}

UNUSED static tg_status rig_open_runtime(tg_dtype dtype, int threads, const char *backend)
{
    static const tg_allocator allocator = {rig_alloc, rig_free, NULL};
    tg_runtime_options options = {.struct_size = sizeof options,
                                  .backend = backend,
                                  .allocator = &allocator,
                                  .seed = 7,
                                  .threads = threads,
                                  .dtype = dtype};
    rig_live = rig_calls = rig_fail_at = 0;
    return tg_runtime_open(&rt, &options);
}

UNUSED static bool on_reference(void)
{
    return !strcmp(tg_runtime_backend(rt), "reference");
}

UNUSED static void rig_open(void)
{
    rt = NULL;
    tape = NULL;
    ck_assert_msg(rig_open_runtime(TG_F64, 2, NULL) == TG_OK, "%s", tg_error_message());
    ck_assert_msg(tg_tape_open(&tape, rt) == TG_OK, "%s", tg_error_message());
}

UNUSED static void rig_close(void)
{
    tg_tape_close(tape);
    tg_runtime_close(rt);
    tape = NULL;
    rt = NULL;
    ck_assert_msg(rig_live == 0, "%ld allocations were not given back", (long)rig_live);
}

/* On the reference, which promises the same bits on any number of threads; a backend need not. */
UNUSED static void rig_reopen_on_reference(void)
{
    rig_close();
    ck_assert_msg(rig_open_runtime(TG_F64, 2, "reference") == TG_OK, "%s", tg_error_message());
    ck_assert_msg(tg_tape_open(&tape, rt) == TG_OK, "%s", tg_error_message());
}

/* -- values -----------------------------------------------------------------------------------------------
 */

/* The same numbers in [−1, 1) for a seed, always. */
UNUSED static double noise(unsigned seed, size_t i)
{
    uint64_t z = (seed + 1) * 0x9E3779B97F4A7C15u + i * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 11) / 4503599627370496.0 - 1.0;
}

/* An f64 tensor on the tape from values. */
UNUSED static tg_tensor *input(const int64_t *dims, size_t ndim, const double *values)
{
    tg_tensor *x = tg_input(tape, TG_F64, dims, ndim, values);
    ck_assert_msg(x != NULL, "%s", tg_tape_error(tape));
    return x;
}

/* The same from noise, wanting a gradient. */
UNUSED static tg_tensor *noisy(unsigned seed, const int64_t *dims, size_t ndim)
{
    size_t n = 1;
    for (size_t i = 0; i < ndim; i++)
        n *= (size_t)dims[i];
    double *v = malloc((n + 1) * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = 2 * noise(seed, i) + 0.5;
    tg_tensor *x = input(dims, ndim, v);
    free(v);
    ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
    return x;
}
#define DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

/* Copies an f64 tensor of exactly n elements. */
UNUSED static void get(const tg_tensor *t, double *out, size_t n)
{
    ck_assert_msg(t != NULL, "%s", tape ? tg_tape_error(tape) : "no tensor");
    ck_assert_msg(tg_tensor_read(t, out, n * sizeof *out) == TG_OK, "%s", tg_error_message());
}

UNUSED static double item(const tg_tensor *t)
{
    double v = NAN;
    ck_assert_msg(t && tg_item(t, &v) == TG_OK, "%s", tg_error_message());
    return v;
}

UNUSED static void put(tg_tensor *t, const double *values, size_t n)
{
    ck_assert_msg(tg_tensor_write(t, values, n * sizeof *values) == TG_OK, "%s", tg_error_message());
}

UNUSED static void near_to(const double *got, const double *want, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= tolerance * (1 + fabs(want[i])),
                      "element %zu: got %.17g, want %.17g", i, got[i], want[i]);
}

UNUSED static uint64_t checksum(tg_module *m)
{
    uint64_t sum = 0;
    ck_assert_msg(tg_module_checksum(m, &sum) == TG_OK, "%s", tg_error_message());
    return sum;
}

UNUSED static bool same_state(tg_random_state a, tg_random_state b)
{
    return a.seed == b.seed && a.draw == b.draw;
}

/* The last call failed with this status, and its sentence holds the text. */
UNUSED static void failed_with(tg_status got, tg_status want, const char *text)
{
    ck_assert_msg(got == want, "got %s (%s), want %s", tg_status_name(got), tg_error_message(),
                  tg_status_name(want));
    ck_assert_msg(strstr(tg_error_message(), text) != NULL, "\"%s\" lacks \"%s\"", tg_error_message(), text);
}

/* The tape's sticky error is this one; clears it. */
UNUSED static void tape_failed_with(tg_status want, const char *text)
{
    ck_assert_msg(tg_tape_status(tape) == want, "got %s (%s), want %s", tg_status_name(tg_tape_status(tape)),
                  tg_tape_error(tape), tg_status_name(want));
    ck_assert_msg(strstr(tg_tape_error(tape), text) != NULL, "\"%s\" lacks \"%s\"", tg_tape_error(tape),
                  text);
    tg_tape_clear_error(tape);
}

#endif
