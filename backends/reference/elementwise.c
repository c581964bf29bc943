#include "backends/reference/through.h"

TG_REF_MAP1(neg, , y = -x)
TG_REF_MAP1(abs, , y = FABS(x))
TG_REF_MAP1(exp, , y = EXP(x))
TG_REF_MAP1(expm1, , y = EXPM1(x))
TG_REF_MAP1(log, , y = LOG(x))
TG_REF_MAP1(log1p, , y = LOG1P(x))
TG_REF_MAP1(sqrt, , y = SQRT(x))
TG_REF_MAP1(rsqrt, , y = 1 / SQRT(x))
TG_REF_MAP1(square, , y = x * x)
TG_REF_MAP1(reciprocal, , y = 1 / x)
TG_REF_MAP1(sin, , y = SIN(x))
TG_REF_MAP1(cos, , y = COS(x))
TG_REF_MAP1(tanh, , y = TANH(x))
const tg_ref_map_fn tg_ref_tanh[2] = {tanh_f32, tanh_f64};
TG_REF_MAP1(erf, , y = ERF(x))
TG_REF_MAP1(add_scalar, const T s = (T)k[0], y = x + s)
TG_REF_MAP1(mul_scalar, const T s = (T)k[0], y = x * s)
TG_REF_MAP1(cube, , y = x * x * x)
TG_REF_MAP1(pow_any, const T e = (T)k[0], y = POW(x, e))

/* The same special cases as PyTorch's, so that pow(x, 2) is the product to the last bit. */
static tg_status run_pow_scalar(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    const double e = r->scalars[0];
    if (e == 2)
        return run_square(s, c, p, r);
    if (e == 3)
        return run_cube(s, c, p, r);
    if (e == 0.5)
        return run_sqrt(s, c, p, r);
    if (e == -0.5)
        return run_rsqrt(s, c, p, r);
    if (e == -1)
        return run_reciprocal(s, c, p, r);
    return run_pow_any(s, c, p, r);
}

TG_REF_MAP2(add, , y = a + b)
TG_REF_MAP2(sub, , y = a - b)
TG_REF_MAP2(mul, , y = a * b)
TG_REF_MAP2(div, , y = a / b)
TG_REF_MAP2(pow, , y = POW(a, b))
TG_REF_MAP2(maximum, , y = a > b || a != a ? a : b)
TG_REF_MAP2(minimum, , y = a < b || a != a ? a : b)

/* -- integers and bools: through unsigned, where overflow wraps ------------------------------------------ */

/* What C leaves undefined (NaN, out of range) gives the smallest i64, as x86's own conversion does. */
static inline int64_t to_integer(double x)
{
    return x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (int64_t)x : INT64_MIN;
}

#define WRAP(a, op, b) ((int64_t)((uint64_t)(a)op(uint64_t)(b)))
TG_REF_WHOLE(neg, WRAP(0, -, x[0]))
TG_REF_WHOLE(abs, x[0] < 0 ? WRAP(0, -, x[0]) : x[0])
TG_REF_REAL(sign, (x[0] > 0) - (x[0] < 0))
TG_REF_WHOLE(sign, (x[0] > 0) - (x[0] < 0))
TG_REF_THROUGH(sign, sign_real, sign_whole)
TG_REF_WHOLE(square, WRAP(x[0], *, x[0]))
TG_REF_WHOLE(add, WRAP(x[0], +, x[1]))
TG_REF_WHOLE(sub, WRAP(x[0], -, x[1]))
TG_REF_WHOLE(mul, WRAP(x[0], *, x[1]))
TG_REF_WHOLE(maximum, x[0] > x[1] ? x[0] : x[1])
TG_REF_WHOLE(minimum, x[0] < x[1] ? x[0] : x[1])
TG_REF_WHOLE(add_scalar, WRAP(x[0], +, to_integer(k[0])))
TG_REF_WHOLE(mul_scalar, WRAP(x[0], *, to_integer(k[0])))

/* By squaring; of a negative exponent only the powers of ±1 are whole. */
static int64_t power(int64_t a, int64_t b)
{
    uint64_t y = 1, base = (uint64_t)a;
    if (b < 0)
        return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    for (; b; b >>= 1, base *= base)
        if (b & 1)
            y *= base;
    return (int64_t)y;
}
TG_REF_WHOLE(pow, power(x[0], x[1]))
TG_REF_WHOLE(pow_scalar, power(x[0], (int64_t)k[0]))

#define OR_WHOLE(name)                                                                                       \
    static tg_status run_any_##name(tg_backend_state *s, const tg_call *c, const tg_prepared *p,             \
                                    const tg_run *r)                                                         \
    {                                                                                                        \
        const int32_t dtype = c->in[0]->dtype;                                                               \
        if (dtype == TG_I64 || dtype == TG_BOOL)                                                             \
            return tg_ref_through(c, r, r->scalars, NULL, name##_whole);                                     \
        return run_##name(s, c, p, r);                                                                       \
    }
OR_WHOLE(neg)
OR_WHOLE(abs)
OR_WHOLE(square)
OR_WHOLE(add)
OR_WHOLE(sub)
OR_WHOLE(mul)
OR_WHOLE(pow)
OR_WHOLE(maximum)
OR_WHOLE(minimum)
OR_WHOLE(add_scalar)
OR_WHOLE(mul_scalar)
OR_WHOLE(pow_scalar)

/* where selects bits, so it needs to know sizes only. */
#define WHERE_LOOP(suffix, TYPE, clones)                                                                     \
    clones static void where_##suffix(int64_t blocks, void *out, const void *const *in, const double *k)     \
    {                                                                                                        \
        TYPE *restrict dst = out;                                                                            \
        const uint8_t *restrict condition = in[0];                                                           \
        const TYPE *restrict a = in[1];                                                                      \
        const TYPE *restrict b = in[2];                                                                      \
        (void)k;                                                                                             \
        TG_REF_SIMD_LOOP for (int64_t i = 0; i < TG_REF_BLOCK * blocks; i++)                                 \
        {                                                                                                    \
            const TYPE mask = (TYPE)(0u - (TYPE)(condition[i] != 0));                                        \
            dst[i] = (a[i] & mask) | (b[i] & (TYPE)~mask);                                                   \
        }                                                                                                    \
    }
WHERE_LOOP(8, uint8_t, )
WHERE_LOOP(32, uint32_t, TG_REF_CLONES)
WHERE_LOOP(64, uint64_t, )

static tg_status run_where(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const int32_t dtype = c->out[0].dtype;
    return tg_ref_map(c, r, dtype == TG_F32 ? where_32 : dtype == TG_BOOL ? where_8 : where_64);
}

#define CONVERT(from, FROM, to, TO, ...)                                                                     \
    static void from##_to_##to(int64_t blocks, void *out, const void *const *in, const double *k)            \
    {                                                                                                        \
        TO *restrict dst = out;                                                                              \
        const FROM *restrict src = in[0];                                                                    \
        (void)k;                                                                                             \
        TG_REF_SIMD_LOOP for (int64_t i = 0; i < TG_REF_BLOCK * blocks; i++)                                 \
        {                                                                                                    \
            const FROM x = src[i];                                                                           \
            dst[i] = __VA_ARGS__;                                                                            \
        }                                                                                                    \
    }
CONVERT(f32, float, f32, float, x)
CONVERT(f32, float, f64, double, (double)x)
CONVERT(f32, float, i64, int64_t, to_integer((double)x))
CONVERT(f32, float, bool, uint8_t, x != 0)
CONVERT(f64, double, f32, float, (float)x)
CONVERT(f64, double, f64, double, x)
CONVERT(f64, double, i64, int64_t, to_integer(x))
CONVERT(f64, double, bool, uint8_t, x != 0)
CONVERT(i64, int64_t, f32, float, (float)x)
CONVERT(i64, int64_t, f64, double, (double)x)
CONVERT(i64, int64_t, i64, int64_t, x)
CONVERT(i64, int64_t, bool, uint8_t, x != 0)
CONVERT(bool, uint8_t, f32, float, (float)x)
CONVERT(bool, uint8_t, f64, double, (double)x)
CONVERT(bool, uint8_t, i64, int64_t, x)
CONVERT(bool, uint8_t, bool, uint8_t, x)

static int place_of(int32_t dtype)
{
    return dtype == TG_F32 ? 0 : dtype == TG_F64 ? 1 : dtype == TG_I64 ? 2 : 3;
}

static tg_status run_to(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    static const tg_ref_map_fn convert[4][4] = {
        {f32_to_f32, f32_to_f64, f32_to_i64, f32_to_bool},
        {f64_to_f32, f64_to_f64, f64_to_i64, f64_to_bool},
        {i64_to_f32, i64_to_f64, i64_to_i64, i64_to_bool},
        {bool_to_f32, bool_to_f64, bool_to_i64, bool_to_bool},
    };
    (void)s, (void)p;
    return tg_ref_map(c, r, convert[place_of(c->in[0]->dtype)][place_of(c->out[0].dtype)]);
}

const tg_ref_kernel tg_ref_elementwise[] = {
    TG_REF_KERNEL("neg", run_any_neg),
    TG_REF_KERNEL("abs", run_any_abs),
    TG_REF_KERNEL("sign", run_sign),
    TG_REF_KERNEL("exp", run_exp),
    TG_REF_KERNEL("expm1", run_expm1),
    TG_REF_KERNEL("log", run_log),
    TG_REF_KERNEL("log1p", run_log1p),
    TG_REF_KERNEL("sqrt", run_sqrt),
    TG_REF_KERNEL("rsqrt", run_rsqrt),
    TG_REF_KERNEL("square", run_any_square),
    TG_REF_KERNEL("reciprocal", run_reciprocal),
    TG_REF_KERNEL("sin", run_sin),
    TG_REF_KERNEL("cos", run_cos),
    TG_REF_KERNEL("tanh", run_tanh),
    TG_REF_KERNEL("erf", run_erf),
    TG_REF_KERNEL("add_scalar", run_any_add_scalar),
    TG_REF_KERNEL("mul_scalar", run_any_mul_scalar),
    TG_REF_KERNEL("pow_scalar", run_any_pow_scalar),
    TG_REF_KERNEL("add", run_any_add),
    TG_REF_KERNEL("sub", run_any_sub),
    TG_REF_KERNEL("mul", run_any_mul),
    TG_REF_KERNEL("div", run_div),
    TG_REF_KERNEL("pow", run_any_pow),
    TG_REF_KERNEL("maximum", run_any_maximum),
    TG_REF_KERNEL("minimum", run_any_minimum),
    TG_REF_KERNEL("clamp_min", run_any_maximum),
    TG_REF_KERNEL("clamp_max", run_any_minimum),
    TG_REF_KERNEL("where", run_where),
    TG_REF_KERNEL("to", run_to),
    {0},
};
