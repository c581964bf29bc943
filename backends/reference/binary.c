#include "backends/reference/through.h"

#include <float.h>

/* -- integers: overflow wraps, and a divisor of 0, which the host refuses, gives 0 instead of a trap -------- */

static int64_t quotient(int64_t a, int64_t b)
{
    return b == 0 ? 0 : b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static int64_t rest(int64_t a, int64_t b)
{
    return b == 0 || b == -1 ? 0 : a % b;
}

/* Is the rest on the other side of 0 than the divisor? */
#define ASTRAY(m, b) ((m) != 0 ? ((m) < 0) != ((b) < 0) : 0)

TG_REF_WHOLE(div_trunc, quotient(x[0], x[1]))
TG_REF_WHOLE(floor_divide, quotient(x[0], x[1]) - ASTRAY(rest(x[0], x[1]), x[1]))
TG_REF_WHOLE(fmod, rest(x[0], x[1]))
TG_REF_WHOLE(remainder, rest(x[0], x[1]) + (ASTRAY(rest(x[0], x[1]), x[1]) ? x[1] : 0))

/* -- floats ------------------------------------------------------------------------------------------------- */

/* In the inputs' own precision: 1.0f/0.1f is 10 there, and below 10 in f64. */
TG_REF_REAL(div_trunc_f32, (double)truncf((float)x[0] / (float)x[1]))
TG_REF_REAL(div_trunc_f64, trunc(x[0] / x[1]))
static tg_status run_div_trunc(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_ref_real_fn real = c->in[0]->dtype == TG_F32 ? div_trunc_f32_real : div_trunc_f64_real;
    return tg_ref_through(c, r, NULL, real, div_trunc_whole);
}

/* Of f32, and quotients that leave room, the quotient's multiple and the difference are exact in f64. */
static void fmod_real(double *restrict y, const double (*restrict in)[TG_REF_BLOCK], const double *k)
{
    double far[TG_REF_BLOCK], any = 0;
    (void)k;
    TG_REF_SIMD_LOOP for (int i = 0; i < TG_REF_BLOCK; i++)
    {
        const double a = in[0][i], b = in[1][i], q = a / b, r = fabs(a) - fabs(b * tg_ref_trunc(q));
        const bool near = (fabs(q) < 0x1p29) & ((double)(float)a == a) & ((double)(float)b == b) & (fabs(b) <= DBL_MAX);
        far[i] = near ? 0.0 : 1.0;
        y[i] = copysign(r < 0 ? r + fabs(b) : r, a);
    }
    for (int i = 0; i < TG_REF_BLOCK; i++)
        any += far[i];
    for (int i = 0; any != 0 && i < TG_REF_BLOCK; i++)
        y[i] = fmod(in[0][i], in[1][i]);
}
TG_REF_THROUGH(fmod, fmod_real, fmod_whole)

static void remainder_real(double *restrict y, const double (*restrict in)[TG_REF_BLOCK], const double *k)
{
    fmod_real(y, in, k);
    TG_REF_SIMD_LOOP for (int i = 0; i < TG_REF_BLOCK; i++)
        y[i] = ASTRAY(y[i], in[1][i]) ? y[i] + in[1][i] : y[i];
}
TG_REF_THROUGH(remainder, remainder_real, remainder_whole)

/* Python's: the quotient of what the remainder leaves, rounded to the whole number that it all but is. */
static inline double quotient_without(double rest, double a, double b)
{
    const double q = (a - rest) / b - ASTRAY(rest, b), down = tg_ref_floor(q), y = q - down > 0.5 ? down + 1 : down;
    return b == 0 ? a / b : q == 0 ? copysign(0, a / b) : y;
}

static void floor_divide_real(double *restrict y, const double (*restrict in)[TG_REF_BLOCK], const double *k)
{
    fmod_real(y, in, k);
    TG_REF_SIMD_LOOP for (int i = 0; i < TG_REF_BLOCK; i++)
        y[i] = quotient_without(y[i], in[0][i], in[1][i]);
}
TG_REF_THROUGH(floor_divide, floor_divide_real, floor_divide_whole)

TG_REF_REAL_KERNEL(atan2, atan2(x[0], x[1]))
TG_REF_REAL_KERNEL(hypot, hypot(x[0], x[1]))
TG_REF_REAL_KERNEL(copysign, copysign(x[0], x[1]))
TG_REF_REAL_KERNEL(xlogy, isnan(x[1]) ? x[1] : x[0] == 0 ? 0 : x[0] * log(x[1]))

/* An infinity is not apart from itself. */
#define APART(a, b) ((a) == (b) ? 0.0 : -fabs((a) - (b)))
TG_REF_REAL_KERNEL(logaddexp, (x[0] > x[1] ? x[0] : x[1]) + log1p(exp(APART(x[0], x[1]))))

#define ONE_OVER_LN2 1.44269504088896340736
TG_REF_REAL_KERNEL(logaddexp2, (x[0] > x[1] ? x[0] : x[1]) + log1p(exp2(APART(x[0], x[1]))) * ONE_OVER_LN2)

TG_REF_REAL(heaviside, x[0] == 0 ? x[1] : x[0] > 0)
TG_REF_WHOLE(heaviside, x[0] == 0 ? x[1] : x[0] > 0)
TG_REF_THROUGH(heaviside, heaviside_real, heaviside_whole)
TG_REF_REAL(fmax, isnan(x[0]) || x[1] > x[0] ? x[1] : x[0])
TG_REF_WHOLE(fmax, x[0] > x[1] ? x[0] : x[1])
TG_REF_THROUGH(fmax, fmax_real, fmax_whole)
TG_REF_REAL(fmin, isnan(x[0]) || x[1] < x[0] ? x[1] : x[0])
TG_REF_WHOLE(fmin, x[0] < x[1] ? x[0] : x[1])
TG_REF_THROUGH(fmin, fmin_real, fmin_whole)

/* -- three inputs ------------------------------------------------------------------------------------------- */

static inline double real_clamp(double x, double low, double high)
{
    const double y = x < low ? low : x;
    return isnan(x) | isnan(low) | isnan(high) ? (double)NAN : y > high ? high : y;
}
TG_REF_REAL(clamp_tensor, real_clamp(x[0], x[1], x[2]))

static int64_t clamp_tensor_whole(const int64_t *x, const double *k)
{
    const int64_t low = x[0] < x[1] ? x[1] : x[0];
    (void)k;
    return low > x[2] ? x[2] : low;
}
TG_REF_THROUGH(clamp_tensor, clamp_tensor_real, clamp_tensor_whole)

#define LOOP3(name, suffix, TYPE, ...)                                                                       \
    static void name##_##suffix(int64_t blocks, void *out, const void *const *in, const double *k)           \
    {                                                                                                        \
        typedef TYPE T;                                                                                      \
        T *restrict dst = out;                                                                               \
        const T *restrict src0 = in[0];                                                                      \
        const T *restrict src1 = in[1];                                                                      \
        const T *restrict src2 = in[2];                                                                      \
        const T s = k ? (T)k[0] : 0;                                                                         \
        (void)s;                                                                                             \
        TG_REF_SIMD_LOOP for (int64_t i = 0; i < TG_REF_BLOCK * blocks; i++)                                 \
        {                                                                                                    \
            const T x = src0[i], a = src1[i], b = src2[i];                                                   \
            dst[i] = __VA_ARGS__;                                                                            \
        }                                                                                                    \
    }
#define MAP3(name, ...)                                                                                      \
    LOOP3(name, f32, float, __VA_ARGS__)                                                                     \
    LOOP3(name, f64, double, __VA_ARGS__)                                                                    \
    TG_REF_RUN(name)
MAP3(addcmul, x + s * a * b)
MAP3(addcdiv, x + s * a / b)
/* From the nearer end, so that a weight of 1 gives the end itself. */
MAP3(lerp, FABS(b) < (T)0.5 ? x + b * (a - x) : a - (a - x) * (1 - b))

const tg_ref_kernel tg_ref_binary[] = {
    TG_REF_KERNEL("floor_divide", run_floor_divide),
    TG_REF_KERNEL("div_trunc", run_div_trunc),
    TG_REF_KERNEL("fmod", run_fmod),
    TG_REF_KERNEL("remainder", run_remainder),
    TG_REF_KERNEL("atan2", run_atan2),
    TG_REF_KERNEL("hypot", run_hypot),
    TG_REF_KERNEL("copysign", run_copysign),
    TG_REF_KERNEL("xlogy", run_xlogy),
    TG_REF_KERNEL("logaddexp", run_logaddexp),
    TG_REF_KERNEL("logaddexp2", run_logaddexp2),
    TG_REF_KERNEL("heaviside", run_heaviside),
    TG_REF_KERNEL("fmax", run_fmax),
    TG_REF_KERNEL("fmin", run_fmin),
    TG_REF_KERNEL("clamp_tensor", run_clamp_tensor),
    TG_REF_KERNEL("addcmul", run_addcmul),
    TG_REF_KERNEL("addcdiv", run_addcdiv),
    TG_REF_KERNEL("lerp", run_lerp),
    {0},
};
