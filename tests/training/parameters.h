/* Parameters with gradients of our choice, for tests of what changes them. */
#ifndef TG_TESTS_PARAMETERS_H
#define TG_TESTS_PARAMETERS_H

#include "layers/rig.h"

enum { N = 37 };

UNUSED static void values_of(double *out, unsigned seed)
{
    for (size_t i = 0; i < N; i++)
        out[i] = noise(seed, i);
}

UNUSED static tg_tensor *parameter(tg_dtype dtype, const double *values, const int64_t *dims, size_t ndim)
{
    tg_tensor *p;
    size_t n = 1;
    for (size_t i = 0; i < ndim; i++)
        n *= (size_t)dims[i];
    ck_assert_int_eq(tg_tensor_create(&p, rt, dtype, dims, ndim), TG_OK);
    if (dtype == TG_F64)
        put(p, values, n);
    else {
        float *f = malloc((n + 1) * sizeof *f);
        for (size_t i = 0; i < n; i++)
            f[i] = (float)values[i];
        ck_assert_int_eq(tg_tensor_write(p, f, n * sizeof *f), TG_OK);
        free(f);
    }
    ck_assert_int_eq(tg_tensor_set_requires_grad(p, true), TG_OK);
    return p;
}

/* Adds g to p's gradient: that of Σ p·g. */
UNUSED static void give_gradient(tg_tensor *p, const double *g)
{
    tg_desc d;
    ck_assert_int_eq(tg_tensor_desc(p, &d), TG_OK);
    size_t n = (size_t)tg_desc_count(&d);
    float *f = malloc((n + 1) * sizeof *f);
    for (size_t i = 0; i < n; i++)
        f[i] = (float)g[i];
    tg_tensor *c =
        tg_input(tape, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, d.dtype == TG_F64 ? (const void *)g : f);
    free(f);
    tg_tensor *y = tg_sum(tape, tg_mul(tape, p, c));
    ck_assert_msg(tg_backward(tape, y) == TG_OK, "%s", tg_tape_error(tape));
}

UNUSED static tg_named_tensors listed(tg_tensor *const *p, size_t n)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    return (tg_named_tensors){.n = n, .name = names, .tensor = p};
}

#endif
