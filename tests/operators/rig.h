/* A runtime on the environment's backends and a tape for each case; tensors from literals, and what is expected of
 * them. */
#ifndef TG_TESTS_OPERATORS_RIG_H
#define TG_TESTS_OPERATORS_RIG_H

#include "support/check_main.h"

#include <math.h>
#include <string.h>

#include <tapegrad/tapegrad.h>

#define UNUSED __attribute__((unused))
#define DIMS(...) ((const int64_t[]){__VA_ARGS__}), sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
#define SCALAR NULL, 0
#define VALUES(...) ((const double[]){__VA_ARGS__}), sizeof((const double[]){__VA_ARGS__}) / sizeof(double)

static tg_runtime *rt;
static tg_tape *tape;

UNUSED static void rig_open(void)
{
    tg_runtime_options options = {.struct_size = sizeof options, .threads = 2};
    ck_assert_int_eq(tg_runtime_open(&rt, &options), TG_OK);
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
}

UNUSED static void rig_close(void)
{
    tg_tape_close(tape);
    tg_runtime_close(rt);
}

UNUSED static size_t size_of(tg_dtype dtype)
{
    return dtype == TG_F64 || dtype == TG_I64 ? 8 : dtype == TG_F32 ? 4 : 1;
}

static void put(void *data, tg_dtype dtype, size_t i, double x)
{
    if (dtype == TG_F64)
        ((double *)data)[i] = x;
    else if (dtype == TG_F32)
        ((float *)data)[i] = (float)x;
    else if (dtype == TG_I64)
        ((int64_t *)data)[i] = (int64_t)x;
    else
        ((uint8_t *)data)[i] = x != 0;
}

static double get(const void *data, tg_dtype dtype, size_t i)
{
    return dtype == TG_F64   ? ((const double *)data)[i]
           : dtype == TG_F32 ? (double)((const float *)data)[i]
           : dtype == TG_I64 ? (double)((const int64_t *)data)[i]
                             : (double)((const uint8_t *)data)[i];
}

/* A tape's tensor with these values, which start again where they run out. */
UNUSED static tg_tensor *tensor(tg_dtype dtype, const int64_t *dims, size_t ndim, const double *values,
                                size_t n)
{
    size_t count = 1;
    for (size_t d = 0; d < ndim; d++)
        count *= (size_t)dims[d];
    void *data = calloc(count + 1, size_of(dtype));
    for (size_t i = 0; i < count; i++)
        put(data, dtype, i, values[i % n]);
    tg_tensor *x = tg_input(tape, dtype, dims, ndim, data);
    free(data);
    ck_assert_msg(x != NULL, "%s", tg_error_message());
    return x;
}

/* The same as a leaf that wants a gradient. */
UNUSED static tg_tensor *leaf(tg_dtype dtype, const int64_t *dims, size_t ndim, const double *values,
                              size_t n)
{
    tg_tensor *x = tensor(dtype, dims, ndim, values, n);
    ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
    return x;
}

UNUSED static bool close_to(double got, double expected, double tolerance)
{
    if (isnan(expected) || isnan(got))
        return isnan(expected) && isnan(got);
    if (isinf(expected) || isinf(got))
        return got == expected;
    return fabs(got - expected) <= tolerance * fmax(1, fabs(expected));
}

/* x has these dims and values. */
UNUSED static void expect(const tg_tensor *x, double tolerance, const int64_t *dims, size_t ndim,
                          const double *values, size_t n)
{
    tg_desc d;
    ck_assert_msg(x != NULL, "NULL: %s", tg_tape_error(tape));
    ck_assert_int_eq(tg_tensor_desc(x, &d), TG_OK);
    ck_assert_int_eq(d.ndim, (int)ndim);
    for (size_t i = 0; i < ndim; i++)
        ck_assert_int_eq(d.dim[i], dims[i]);
    size_t count = (size_t)tg_desc_count(&d), bytes = count * size_of((tg_dtype)d.dtype);
    void *data = malloc(bytes + 1);
    ck_assert_int_eq(tg_tensor_read(x, data, bytes), TG_OK);
    for (size_t i = 0; i < count; i++) {
        double got = get(data, (tg_dtype)d.dtype, i);
        ck_assert_msg(close_to(got, values[i % n], tolerance), "element %zu: got %.17g, expected %.17g", i,
                      got, values[i % n]);
    }
    free(data);
}

/* The last call failed like this, with these words in its sentence. Clears the error. */
UNUSED static void expect_error(const tg_tensor *out, tg_status status, const char *words)
{
    ck_assert_ptr_null(out);
    ck_assert_msg(tg_tape_status(tape) == status, "expected %s, got %s: %s", tg_status_name(status),
                  tg_status_name(tg_tape_status(tape)), tg_tape_error(tape));
    ck_assert_msg(strstr(tg_tape_error(tape), words) != NULL, "'%s' is not in: %s", words,
                  tg_tape_error(tape));
    tg_tape_clear_error(tape);
}

/* The gradient of Σ y·weight by x, weight running 1, 2, 3 … over y. */
UNUSED static tg_tensor *weighted_gradient(tg_tensor *y, tg_tensor *x)
{
    tg_desc d;
    tg_tensor *out = NULL;
    ck_assert_msg(y != NULL, "%s", tg_tape_error(tape));
    ck_assert_int_eq(tg_tensor_desc(y, &d), TG_OK);
    size_t count = (size_t)tg_desc_count(&d);
    double *w = calloc(count + 1, sizeof *w);
    for (size_t i = 0; i < count; i++)
        w[i] = (double)(i + 1);
    tg_tensor *gy = tensor((tg_dtype)d.dtype, d.dim, (size_t)d.ndim, w, count ? count : 1);
    free(w);
    ck_assert_msg(tg_grad(tape, y, gy, &x, 1, &out, TG_RETAIN) == TG_OK, "%s", tg_tape_error(tape));
    return out;
}

#endif
