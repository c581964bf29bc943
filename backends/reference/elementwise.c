#include "backends/reference/map.h"

TG_REF_MAP1(neg, , y = -x)
TG_REF_MAP1(abs, , y = FABS(x))
TG_REF_MAP1(sign, , y = (T)(x > 0) - (T)(x < 0))
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

/* Integers: through unsigned, where overflow wraps. */
#define INTEGER(name, op)                                                                                    \
    static void name##_i64(int64_t blocks, void *out, const void *const *in, const double *k)                \
    {                                                                                                        \
        uint64_t *restrict dst = out;                                                                        \
        const uint64_t *restrict a = in[0];                                                                  \
        const uint64_t *restrict b = in[1];                                                                  \
        (void)k;                                                                                             \
        for (int64_t i = 0; i < TG_REF_BLOCK * blocks; i++)                                                  \
            dst[i] = a[i] op b[i];                                                                           \
    }                                                                                                        \
    static tg_status run_any_##name(tg_backend_state *s, const tg_call *c, const tg_prepared *p,             \
                                    const tg_run *r)                                                         \
    {                                                                                                        \
        if (c->in[0]->dtype == TG_I64)                                                                       \
            return tg_ref_map(c, r, name##_i64);                                                             \
        return run_##name(s, c, p, r);                                                                       \
    }
INTEGER(add, +)
INTEGER(sub, -)
INTEGER(mul, *)

/* Comparisons give bool; bool itself is compared as bytes 0 and 1. */
#define COMPARE_LOOP(name, suffix, TYPE, op)                                                                 \
    static void name##_##suffix(int64_t blocks, void *out, const void *const *in, const double *k)           \
    {                                                                                                        \
        uint8_t *restrict dst = out;                                                                         \
        const TYPE *restrict a = in[0];                                                                      \
        const TYPE *restrict b = in[1];                                                                      \
        (void)k;                                                                                             \
        for (int64_t i = 0; i < TG_REF_BLOCK * blocks; i++)                                                  \
            dst[i] = a[i] op b[i];                                                                           \
    }
#define COMPARE(name, op)                                                                                    \
    COMPARE_LOOP(name, f32, float, op)                                                                       \
    COMPARE_LOOP(name, f64, double, op)                                                                      \
    COMPARE_LOOP(name, i64, int64_t, op)                                                                     \
    COMPARE_LOOP(name, bool, uint8_t, op)                                                                    \
    static tg_status run_##name(tg_backend_state *s, const tg_call *c, const tg_prepared *p,                 \
                                const tg_run *r)                                                             \
    {                                                                                                        \
        (void)s, (void)p;                                                                                    \
        const int32_t dtype = c->in[0]->dtype;                                                               \
        return tg_ref_map(c, r,                                                                              \
                          dtype == TG_F32   ? name##_f32                                                     \
                          : dtype == TG_F64 ? name##_f64                                                     \
                          : dtype == TG_I64 ? name##_i64                                                     \
                                            : name##_bool);                                                  \
    }
COMPARE(eq, ==)
COMPARE(ne, !=)
COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)

/* where selects bits, so it needs to know sizes only. */
#define WHERE_LOOP(suffix, TYPE)                                                                             \
    TG_REF_CLONES static void where_##suffix(int64_t blocks, void *out, const void *const *in,               \
                                             const double *k)                                                \
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
WHERE_LOOP(8, uint8_t)
WHERE_LOOP(32, uint32_t)
WHERE_LOOP(64, uint64_t)

static tg_status run_where(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const int32_t dtype = c->out[0].dtype;
    return tg_ref_map(c, r, dtype == TG_F32 ? where_32 : dtype == TG_BOOL ? where_8 : where_64);
}

/* What C leaves undefined (NaN, out of range) gives the smallest i64, as x86's own conversion does. */
static inline int64_t to_integer(double x)
{
    return x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (int64_t)x : INT64_MIN;
}

#define CONVERT(from, FROM, to, TO, ...)                                                                     \
    static void from##_to_##to(int64_t blocks, void *out, const void *const *in, const double *k)            \
    {                                                                                                        \
        TO *restrict dst = out;                                                                              \
        const FROM *restrict src = in[0];                                                                    \
        (void)k;                                                                                             \
        for (int64_t i = 0; i < TG_REF_BLOCK * blocks; i++) {                                                \
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

const tg_kernel tg_ref_elementwise[] = {
    TG_REF_KERNEL("neg", run_neg),
    TG_REF_KERNEL("abs", run_abs),
    TG_REF_KERNEL("sign", run_sign),
    TG_REF_KERNEL("exp", run_exp),
    TG_REF_KERNEL("expm1", run_expm1),
    TG_REF_KERNEL("log", run_log),
    TG_REF_KERNEL("log1p", run_log1p),
    TG_REF_KERNEL("sqrt", run_sqrt),
    TG_REF_KERNEL("rsqrt", run_rsqrt),
    TG_REF_KERNEL("square", run_square),
    TG_REF_KERNEL("reciprocal", run_reciprocal),
    TG_REF_KERNEL("sin", run_sin),
    TG_REF_KERNEL("cos", run_cos),
    TG_REF_KERNEL("tanh", run_tanh),
    TG_REF_KERNEL("erf", run_erf),
    TG_REF_KERNEL("add_scalar", run_add_scalar),
    TG_REF_KERNEL("mul_scalar", run_mul_scalar),
    TG_REF_KERNEL("pow_scalar", run_pow_scalar),
    TG_REF_KERNEL("add", run_any_add),
    TG_REF_KERNEL("sub", run_any_sub),
    TG_REF_KERNEL("mul", run_any_mul),
    TG_REF_KERNEL("div", run_div),
    TG_REF_KERNEL("pow", run_pow),
    TG_REF_KERNEL("maximum", run_maximum),
    TG_REF_KERNEL("minimum", run_minimum),
    TG_REF_KERNEL("eq", run_eq),
    TG_REF_KERNEL("ne", run_ne),
    TG_REF_KERNEL("lt", run_lt),
    TG_REF_KERNEL("le", run_le),
    TG_REF_KERNEL("gt", run_gt),
    TG_REF_KERNEL("ge", run_ge),
    TG_REF_KERNEL("where", run_where),
    TG_REF_KERNEL("to", run_to),
    {0},
};
