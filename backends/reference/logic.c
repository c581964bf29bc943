#include "backends/reference/through.h"

/* Comparisons give bool; bool itself is compared as bytes 0 and 1. */
#define COMPARE_LOOP(name, suffix, TYPE, op)                                                                 \
    static void name##_##suffix(int64_t blocks, void *out, const void *const *in, const double *k)           \
    {                                                                                                        \
        uint8_t *restrict dst = out;                                                                         \
        const TYPE *restrict a = in[0];                                                                      \
        const TYPE *restrict b = in[1];                                                                      \
        (void)k;                                                                                             \
        TG_REF_SIMD_LOOP for (int64_t i = 0; i < TG_REF_BLOCK * blocks; i++)                                 \
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

TG_REF_REAL_KERNEL(logical_and, (x[0] != 0) & (x[1] != 0))
TG_REF_REAL_KERNEL(logical_or, (x[0] != 0) | (x[1] != 0))
TG_REF_REAL_KERNEL(logical_xor, (x[0] != 0) != (x[1] != 0))
TG_REF_REAL_KERNEL(logical_not, x[0] == 0)
TG_REF_REAL_KERNEL(isnan, isnan(x[0]))
TG_REF_REAL_KERNEL(isinf, isinf(x[0]))
TG_REF_REAL_KERNEL(isfinite, isfinite(x[0]))
TG_REF_REAL_KERNEL(signbit, signbit(x[0]))

/* k: rtol, atol, equal_nan. */
static double is_close(const double *x, const double *k)
{
    if (x[0] == x[1])
        return 1;
    if (isnan(x[0]) || isnan(x[1]))
        return k[2] != 0 && isnan(x[0]) && isnan(x[1]);
    const double error = fabs(x[0] - x[1]);
    return isfinite(error) && error <= k[1] + fabs(k[0] * x[1]);
}
TG_REF_REAL_KERNEL(isclose, is_close(x, k))

const tg_ref_kernel tg_ref_logic[] = {
    TG_REF_KERNEL("eq", run_eq),
    TG_REF_KERNEL("ne", run_ne),
    TG_REF_KERNEL("lt", run_lt),
    TG_REF_KERNEL("le", run_le),
    TG_REF_KERNEL("gt", run_gt),
    TG_REF_KERNEL("ge", run_ge),
    TG_REF_KERNEL("logical_and", run_logical_and),
    TG_REF_KERNEL("logical_or", run_logical_or),
    TG_REF_KERNEL("logical_xor", run_logical_xor),
    TG_REF_KERNEL("logical_not", run_logical_not),
    TG_REF_KERNEL("isnan", run_isnan),
    TG_REF_KERNEL("isinf", run_isinf),
    TG_REF_KERNEL("isfinite", run_isfinite),
    TG_REF_KERNEL("signbit", run_signbit),
    TG_REF_KERNEL("isclose", run_isclose),
    {0},
};
