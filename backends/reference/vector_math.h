/* What makes a plain loop fast on x86-64 with gcc and glibc, and nothing elsewhere:
 *  - TG_REF_CLONES (clones.h) compiles a function for several machines;
 *  - libm's functions are declared again with their vector versions (libmvec), so that a loop under
 *    `#pragma omp simd` calls them for a whole vector; -ffast-math, which would lose NaN, is not needed.
 * clang and other systems compile the same loops with scalar libm. */
#ifndef TG_REF_VECTOR_MATH_H
#define TG_REF_VECTOR_MATH_H

#include "backends/reference/clones.h"
#include "backends/reference/simd_loop.h"

#include <math.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#if __GLIBC_PREREQ(2, 35)
#define TG_REF_SIMD __attribute__((simd("notinbranch")))
TG_REF_SIMD float expf(float);
TG_REF_SIMD float expm1f(float);
TG_REF_SIMD float logf(float);
TG_REF_SIMD float log1pf(float);
TG_REF_SIMD float sinf(float);
TG_REF_SIMD float cosf(float);
TG_REF_SIMD float tanhf(float);
TG_REF_SIMD float erff(float);
TG_REF_SIMD float powf(float, float);
TG_REF_SIMD double exp(double);
TG_REF_SIMD double expm1(double);
TG_REF_SIMD double log(double);
TG_REF_SIMD double log1p(double);
TG_REF_SIMD double sin(double);
TG_REF_SIMD double cos(double);
TG_REF_SIMD double tanh(double);
TG_REF_SIMD double erf(double);
TG_REF_SIMD double pow(double, double);
#endif
#endif

/* By the type of the argument, without a promotion. */
#define EXP(x) _Generic((x), float : expf, default : exp)(x)
#define EXPM1(x) _Generic((x), float : expm1f, default : expm1)(x)
#define LOG(x) _Generic((x), float : logf, default : log)(x)
#define LOG1P(x) _Generic((x), float : log1pf, default : log1p)(x)
#define SIN(x) _Generic((x), float : sinf, default : sin)(x)
#define COS(x) _Generic((x), float : cosf, default : cos)(x)
#define TANH(x) _Generic((x), float : tanhf, default : tanh)(x)
#define ERF(x) _Generic((x), float : erff, default : erf)(x)
#define SQRT(x) _Generic((x), float : sqrtf, default : sqrt)(x)
#define FABS(x) _Generic((x), float : fabsf, default : fabs)(x)
#define POW(x, y) _Generic((x), float : powf, default : pow)(x, y)

#endif
