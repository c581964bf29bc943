/* Elementwise kernels of functions without a vector form: one loop for all of them, which calls the function for each
 * element. Floats are computed in f64, integers in i64; inputs and output may be of different dtypes. */
#ifndef TG_REF_THROUGH_H
#define TG_REF_THROUGH_H

#include "backends/reference/map.h"

/* x: the element of each input; k: the run-time scalars. */
typedef double (*tg_ref_real_fn)(const double *x, const double *k);
typedef int64_t (*tg_ref_whole_fn)(const int64_t *x, const double *k);

/* `whole` serves calls whose inputs are all integers and bools; NULL: `real` serves those, too. */
tg_status tg_ref_through(const tg_call *c, const tg_run *r, const double *k, tg_ref_real_fn real, tg_ref_whole_fn whole);

/* The kernel run_NAME of an expression of x[0], x[1] … and k[]. */
#define TG_REF_REAL(name, ...)                                                                               \
    static double name##_real(const double *x, const double *k)                                              \
    {                                                                                                        \
        (void)k;                                                                                             \
        return __VA_ARGS__;                                                                                  \
    }
#define TG_REF_WHOLE(name, ...)                                                                              \
    static int64_t name##_whole(const int64_t *x, const double *k)                                           \
    {                                                                                                        \
        (void)k;                                                                                             \
        return __VA_ARGS__;                                                                                  \
    }
#define TG_REF_THROUGH(name, real, whole)                                                                    \
    static tg_status run_##name(tg_backend_state *s, const tg_call *c, const tg_prepared *p,                 \
                                const tg_run *r)                                                             \
    {                                                                                                        \
        (void)s, (void)p;                                                                                    \
        return tg_ref_through(c, r, r->scalars, real, whole);                                                \
    }
#define TG_REF_REAL_KERNEL(name, ...)                                                                        \
    TG_REF_REAL(name, __VA_ARGS__)                                                                           \
    TG_REF_THROUGH(name, name##_real, NULL)

#endif
