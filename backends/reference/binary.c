#include "backends/reference/through.h"

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
#define ASTRAY(m, b) ((m) != 0 && ((m) < 0) != ((b) < 0))

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

TG_REF_REAL(fmod, fmod(x[0], x[1]))
TG_REF_THROUGH(fmod, fmod_real, fmod_whole)

static double remainder_real(const double *x, const double *k)
{
    const double m = fmod(x[0], x[1]);
    (void)k;
    return ASTRAY(m, x[1]) ? m + x[1] : m;
}
TG_REF_THROUGH(remainder, remainder_real, remainder_whole)

/* Python's: the quotient of what the remainder leaves, rounded to the whole number that it all but is. */
static double floor_divide_real(const double *x, const double *k)
{
    const double a = x[0], b = x[1], m = fmod(a, b);
    (void)k;
    if (b == 0)
        return a / b;
    double q = (a - m) / b;
    if (ASTRAY(m, b))
        q -= 1;
    if (q == 0)
        return copysign(0, a / b);
    const double down = floor(q);
    return q - down > 0.5 ? down + 1 : down;
}
TG_REF_THROUGH(floor_divide, floor_divide_real, floor_divide_whole)

TG_REF_REAL_KERNEL(atan2, atan2(x[0], x[1]))
TG_REF_REAL_KERNEL(hypot, hypot(x[0], x[1]))
TG_REF_REAL_KERNEL(copysign, copysign(x[0], x[1]))
TG_REF_REAL_KERNEL(xlogy, isnan(x[1]) ? x[1] : x[0] == 0 ? 0 : x[0] * log(x[1]))

static double logaddexp_real(const double *x, const double *k)
{
    const double m = x[0] > x[1] ? x[0] : x[1];
    (void)k;
    return isinf(x[0]) && x[0] == x[1] ? m : m + log1p(exp(-fabs(x[0] - x[1])));
}
TG_REF_THROUGH(logaddexp, logaddexp_real, NULL)

static double logaddexp2_real(const double *x, const double *k)
{
    const double m = x[0] > x[1] ? x[0] : x[1], one_over_ln2 = 1.44269504088896340736;
    (void)k;
    return isinf(x[0]) && x[0] == x[1] ? m : m + log1p(exp2(-fabs(x[0] - x[1]))) * one_over_ln2;
}
TG_REF_THROUGH(logaddexp2, logaddexp2_real, NULL)

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

static double clamp_tensor_real(const double *x, const double *k)
{
    (void)k;
    if (isnan(x[0]) || isnan(x[1]) || isnan(x[2]))
        return (double)NAN;
    return fmin(fmax(x[0], x[1]), x[2]);
}

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

const tg_kernel tg_ref_binary[] = {
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
