/* Elementwise kernels that are rare: one driver for all of them, which calls a function for each block of floats, each
 * integer. Floats are computed in f64, integers in i64; inputs and output may be of different dtypes. */
#ifndef TG_REF_THROUGH_H
#define TG_REF_THROUGH_H

#include "backends/reference/map.h"

#ifdef TG_REF_SIMD
TG_REF_SIMD double acos(double);
TG_REF_SIMD double acosh(double);
TG_REF_SIMD double asin(double);
TG_REF_SIMD double asinh(double);
TG_REF_SIMD double atan(double);
TG_REF_SIMD double atan2(double, double);
TG_REF_SIMD double atanh(double);
TG_REF_SIMD double cosh(double);
TG_REF_SIMD double erfc(double);
TG_REF_SIMD double exp2(double);
TG_REF_SIMD double hypot(double, double);
TG_REF_SIMD double log2(double);
TG_REF_SIMD double log10(double);
TG_REF_SIMD double sinh(double);
TG_REF_SIMD double tan(double);
#endif

/* To whole numbers, by the rounding of a sum: what is that large is whole already, and NaN stays. */
#define TG_REF_LARGE 0x1p52
static inline double tg_ref_round(double x)
{
    return fabs(x) < TG_REF_LARGE ? copysign(fabs(x) + TG_REF_LARGE - TG_REF_LARGE, x) : x;
}

static inline double tg_ref_floor(double x)
{
    const double y = tg_ref_round(x);
    return y > x ? y - 1 : y;
}

static inline double tg_ref_trunc(double x)
{
    return copysign(tg_ref_floor(fabs(x)), x);
}

/* in: a block of each input; x: the element of each input; k: the run-time scalars. */
typedef void (*tg_ref_real_fn)(double *restrict y, const double (*restrict in)[TG_REF_BLOCK], const double *k);
typedef int64_t (*tg_ref_whole_fn)(const int64_t *x, const double *k);

/* `whole` serves calls whose inputs are all integers and bools; NULL: `real` serves those, too. */
tg_status tg_ref_through(const tg_call *c, const tg_run *r, const double *k, tg_ref_real_fn real, tg_ref_whole_fn whole);

/* The kernel run_NAME of an expression of x[0], x[1] … and k[]. */
#define TG_REF_REAL(name, ...)                                                                               \
    static void name##_real(double *restrict y, const double (*restrict in)[TG_REF_BLOCK], const double *k)  \
    {                                                                                                        \
        (void)k;                                                                                             \
        TG_REF_SIMD_LOOP for (int i = 0; i < TG_REF_BLOCK; i++)                                              \
        {                                                                                                    \
            const double x[TG_REF_MAP_SRC] = {in[0][i], in[1][i], in[2][i]};                                 \
            y[i] = __VA_ARGS__;                                                                              \
        }                                                                                                    \
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
