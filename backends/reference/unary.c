#include "backends/reference/through.h"

#include <float.h>

TG_REF_REAL_KERNEL(acos, acos(x[0]))
TG_REF_REAL_KERNEL(acosh, acosh(x[0]))
TG_REF_REAL_KERNEL(asin, asin(x[0]))
TG_REF_REAL_KERNEL(asinh, asinh(x[0]))
TG_REF_REAL_KERNEL(atan, atan(x[0]))
TG_REF_REAL_KERNEL(atanh, atanh(x[0]))
TG_REF_REAL_KERNEL(cosh, cosh(x[0]))
TG_REF_REAL_KERNEL(sinh, sinh(x[0]))
TG_REF_REAL_KERNEL(tan, tan(x[0]))
TG_REF_REAL_KERNEL(exp2, exp2(x[0]))
TG_REF_REAL_KERNEL(log2, log2(x[0]))
TG_REF_REAL_KERNEL(log10, log10(x[0]))
TG_REF_REAL_KERNEL(frac, x[0] - tg_ref_trunc(x[0]))

/* What is whole stays as it is. */
TG_REF_WHOLE(same, x[0])
TG_REF_REAL(ceil, -tg_ref_floor(-x[0]))
TG_REF_THROUGH(ceil, ceil_real, same_whole)
TG_REF_REAL(floor, tg_ref_floor(x[0]))
TG_REF_THROUGH(floor, floor_real, same_whole)
TG_REF_REAL(trunc, tg_ref_trunc(x[0]))
TG_REF_THROUGH(trunc, trunc_real, same_whole)
TG_REF_REAL(round, tg_ref_round(x[0]))
TG_REF_THROUGH(round, round_real, same_whole)

/* Powers of ten are exact up to 10²²; a negative one is divided by, as its reciprocal is not. */
static double round_decimals(const double *x, const double *k)
{
    const double ten = pow(10, fabs(k[0]));
    return k[0] < 0 ? nearbyint(x[0] / ten) * ten : nearbyint(x[0] * ten) / ten;
}
TG_REF_REAL_KERNEL(round_decimals, round_decimals(x, k))

static inline double logit(const double *x, const double *k)
{
    double z = x[0];
    if (k[0] >= 0)
        z = z < k[0] ? k[0] : z > 1 - k[0] ? 1 - k[0] : z;
    return log(z / (1 - z));
}
TG_REF_REAL_KERNEL(logit, logit(x, k))

TG_REF_REAL(nan_to_num, isnan(x[0]) ? k[0] : !isinf(x[0]) ? x[0] : x[0] > 0 ? k[1] : k[2])

static tg_status run_nan_to_num(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const double largest = c->out[0].dtype == TG_F32 ? (double)FLT_MAX : DBL_MAX;
    const double k[] = {r->scalars[0], isnan(r->scalars[1]) ? largest : r->scalars[1],
                        isnan(r->scalars[2]) ? -largest : r->scalars[2]};
    return tg_ref_through(c, r, k, nan_to_num_real, same_whole);
}

const tg_ref_kernel tg_ref_unary[] = {
    TG_REF_KERNEL("acos", run_acos),
    TG_REF_KERNEL("acosh", run_acosh),
    TG_REF_KERNEL("asin", run_asin),
    TG_REF_KERNEL("asinh", run_asinh),
    TG_REF_KERNEL("atan", run_atan),
    TG_REF_KERNEL("atanh", run_atanh),
    TG_REF_KERNEL("cosh", run_cosh),
    TG_REF_KERNEL("sinh", run_sinh),
    TG_REF_KERNEL("tan", run_tan),
    TG_REF_KERNEL("exp2", run_exp2),
    TG_REF_KERNEL("log2", run_log2),
    TG_REF_KERNEL("log10", run_log10),
    TG_REF_KERNEL("frac", run_frac),
    TG_REF_KERNEL("ceil", run_ceil),
    TG_REF_KERNEL("floor", run_floor),
    TG_REF_KERNEL("trunc", run_trunc),
    TG_REF_KERNEL("round", run_round),
    TG_REF_KERNEL("round_decimals", run_round_decimals),
    TG_REF_KERNEL("logit", run_logit),
    TG_REF_KERNEL("nan_to_num", run_nan_to_num),
    {0},
};
