/* BLIS's gemv is several times faster than its gemm on these, and right where it forms dot products. Where it
 * adds multiples of columns it leaves out those whose factor is 0, so that 0·NaN would be 0: that form is our
 * own. */
#include "backends/blis/skinny.h"

#include <blis.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

enum { BLOCK = 1024 };

#define T float
#define GEMV bli_sgemv
#define NAME(x) x##_f32
#include "backends/blis/skinny_typed.h"
#undef T
#undef GEMV
#undef NAME
#define T double
#define GEMV bli_dgemv
#define NAME(x) x##_f64
#include "backends/blis/skinny_typed.h"
