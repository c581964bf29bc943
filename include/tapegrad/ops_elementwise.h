/* Operators element by element. What holds for all is in ops.h, which includes this. */
#ifndef TAPEGRAD_OPS_ELEMENTWISE_H
#define TAPEGRAD_OPS_ELEMENTWISE_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- elementwise, one input: the result has x's dims --------------------------------------------------------------- */
/* Of x's dtype: f32, f64 or i64 (sign: also bool). */
TG_API tg_tensor *tg_neg(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_abs(tg_tape *tape, tg_tensor *x);  /* derivative at 0: 0 */
TG_API tg_tensor *tg_sign(tg_tape *tape, tg_tensor *x); /* −1, 0, 1; the derivative is 0; NaN gives 0 */
TG_API tg_tensor *tg_sgn(tg_tape *tape, tg_tensor *x);  /* the same of real numbers */
TG_API tg_tensor *tg_square(tg_tape *tape, tg_tensor *x);
/* To whole numbers: up, down, towards 0, to the nearest (halves to the even one). The derivative is 0. */
TG_API tg_tensor *tg_ceil(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_floor(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_trunc(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_round(tg_tape *tape, tg_tensor *x);
/* To so many decimals, −2: to hundreds. f32 and f64. */
TG_API tg_tensor *tg_round_decimals(tg_tape *tape, tg_tensor *x, int decimals);
TG_API tg_tensor *tg_frac(tg_tape *tape, tg_tensor *x); /* x − trunc(x), f32 and f64; the derivative is 1 */
/* NaN, ∞ and −∞ replaced; posinf, neginf NaN: by the largest and the least finite number. The derivative is 0 there. */
TG_API tg_tensor *tg_nan_to_num(tg_tape *tape, tg_tensor *x, double nan, double posinf, double neginf);

/* f32 and f64; integers and bools count as floats. Outside their range they give NaN, at its poles ±∞. */
TG_API tg_tensor *tg_exp(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_exp2(tg_tape *tape, tg_tensor *x);  /* 2^x */
TG_API tg_tensor *tg_expm1(tg_tape *tape, tg_tensor *x); /* e^x − 1, also for small x */
TG_API tg_tensor *tg_log(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_log2(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_log10(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_log1p(tg_tape *tape, tg_tensor *x); /* log(1 + x), also for small x */
TG_API tg_tensor *tg_sqrt(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_rsqrt(tg_tape *tape, tg_tensor *x); /* 1/√x */
TG_API tg_tensor *tg_reciprocal(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_sin(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_cos(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_tan(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_asin(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_acos(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_atan(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_sinh(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_cosh(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_asinh(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_acosh(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_atanh(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_deg2rad(tg_tape *tape, tg_tensor *x); /* x·π/180 */
TG_API tg_tensor *tg_rad2deg(tg_tape *tape, tg_tensor *x); /* x·180/π */
TG_API tg_tensor *tg_erf(tg_tape *tape, tg_tensor *x);     /* 2/√π·∫₀ˣ e^(−t²) dt */
TG_API tg_tensor *tg_erfc(tg_tape *tape, tg_tensor *x);    /* 1 − erf(x), also where erf is all but 1 */
TG_API tg_tensor *tg_erfinv(tg_tape *tape, tg_tensor *x);  /* the y with erf(y) = x */
TG_API tg_tensor *tg_sinc(tg_tape *tape, tg_tensor *x);    /* sin(πx)/(πx), 1 at 0 */
TG_API tg_tensor *tg_lgamma(tg_tape *tape, tg_tensor *x);  /* log |Γ(x)| */
TG_API tg_tensor *tg_digamma(tg_tape *tape, tg_tensor *x); /* the derivative of log Γ; NaN at −1, −2, … */
/* The n-th derivative of digamma, which n = 0 is. TG_EINVAL for n < 0. */
TG_API tg_tensor *tg_polygamma(tg_tape *tape, int64_t n, tg_tensor *x);
TG_API tg_tensor *tg_i0(tg_tape *tape, tg_tensor *x); /* modified Bessel functions of the first kind */
TG_API tg_tensor *tg_i1(tg_tape *tape, tg_tensor *x);
/* log(z/(1 − z)), z = min(max(x, eps), 1 − eps), or x itself where eps is negative or NaN. The derivative outside
 * [eps, 1 − eps] is 0, without an eps NaN. */
TG_API tg_tensor *tg_logit(tg_tape *tape, tg_tensor *x, double eps);

/* With a number, which is not differentiated, and may change every step at no cost. torch.add, sub, mul, pow with a
 * number. An i64 x stays i64 and a bool one becomes it: the number must then be whole (TG_EINVAL), an exponent ≥ 0. */
TG_API tg_tensor *tg_add_scalar(tg_tape *tape, tg_tensor *x, double s);
TG_API tg_tensor *tg_sub_scalar(tg_tape *tape, tg_tensor *x, double s);
TG_API tg_tensor *tg_mul_scalar(tg_tape *tape, tg_tensor *x, double s);
TG_API tg_tensor *tg_pow_scalar(tg_tape *tape, tg_tensor *x, double exponent); /* derivative for exponent 0: 0 */
/* x/s, s/x: integers and bools count as floats. s − x, base^x: beside a number that is not whole. */
TG_API tg_tensor *tg_div_scalar(tg_tape *tape, tg_tensor *x, double s);
TG_API tg_tensor *tg_rsub_scalar(tg_tape *tape, double s, tg_tensor *x);
TG_API tg_tensor *tg_rdiv_scalar(tg_tape *tape, double s, tg_tensor *x);
TG_API tg_tensor *tg_rpow_scalar(tg_tape *tape, double base, tg_tensor *x);

/* Activations (torch.nn.functional's names). NaN passes through all of them; large |x| neither overflows nor gives NaN. */
TG_API tg_tensor *tg_tanh(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_sigmoid(tg_tape *tape, tg_tensor *x);     /* σ(x) = 1/(1 + e^−x)     */
TG_API tg_tensor *tg_log_sigmoid(tg_tape *tape, tg_tensor *x); /* log σ(x)                */
TG_API tg_tensor *tg_relu(tg_tape *tape, tg_tensor *x);        /* max(x, 0); derivative at 0: 0 */
TG_API tg_tensor *tg_leaky_relu(tg_tape *tape, tg_tensor *x, double negative_slope); /* x > 0 ? x : negative_slope·x */
TG_API tg_tensor *tg_elu(tg_tape *tape, tg_tensor *x, double alpha); /* x > 0 ? x : alpha·(e^x − 1). Clevert et al. 2016 */
TG_API tg_tensor *tg_selu(tg_tape *tape, tg_tensor *x);        /* 1.0507…·elu(x, 1.6732…). Klambauer et al. 2017 */
/* x > 0 ? x : alpha·(e^(x/alpha) − 1). Barron 2017. TG_EINVAL for alpha = 0. */
TG_API tg_tensor *tg_celu(tg_tape *tape, tg_tensor *x, double alpha);
/* x·Φ(x), or 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))). Hendrycks and Gimpel 2016. */
TG_API tg_tensor *tg_gelu(tg_tape *tape, tg_tensor *x, bool tanh_approximation);
TG_API tg_tensor *tg_silu(tg_tape *tape, tg_tensor *x); /* x·σ(x) */
/* x·min(max(x + 3, 0), 6)/6 (Howard et al. 2019); the derivative at −3 is 0, at 3 it is 1. */
TG_API tg_tensor *tg_hardswish(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_mish(tg_tape *tape, tg_tensor *x); /* x·tanh(log(1 + e^x)). Misra 2019 */
/* log(1 + e^(beta·x))/beta, and x itself where beta·x > threshold. TG_EINVAL for beta = 0. */
TG_API tg_tensor *tg_softplus(tg_tape *tape, tg_tensor *x, double beta, double threshold);
TG_API tg_tensor *tg_softsign(tg_tape *tape, tg_tensor *x); /* x/(1 + |x|) */
/* clamp with both bounds, whose derivative at NaN is 1. TG_EINVAL unless min_val ≤ max_val. */
TG_API tg_tensor *tg_hardtanh(tg_tape *tape, tg_tensor *x, double min_val, double max_val);
/* x > 0 ? x : w·x, w being weight's one value, or that of x's channel (dim 1). TG_ESHAPE. He et al. 2015 */
TG_API tg_tensor *tg_prelu(tg_tape *tape, tg_tensor *x, tg_tensor *weight);
TG_API tg_tensor *tg_threshold(tg_tape *tape, tg_tensor *x, double threshold, double value); /* x > threshold ? x : value */
TG_API tg_tensor *tg_hardshrink(tg_tape *tape, tg_tensor *x, double lambd);                  /* |x| > lambd ? x : 0 */
/* |x| > lambd ? x − sign(x)·lambd : 0, derivative 1 or 0. TG_EINVAL for lambd < 0. */
TG_API tg_tensor *tg_softshrink(tg_tape *tape, tg_tensor *x, double lambd);
TG_API tg_tensor *tg_tanhshrink(tg_tape *tape, tg_tensor *x);  /* x − tanh(x) */
TG_API tg_tensor *tg_hardsigmoid(tg_tape *tape, tg_tensor *x); /* min(max(x + 3, 0), 6)/6 */
/* a·σ(b), a and b the halves of x along dim. TG_ESHAPE for an odd size. Dauphin et al. 2017 */
TG_API tg_tensor *tg_glu(tg_tape *tape, tg_tensor *x, int64_t dim);
/* min(max(x, min), max): max wins where they cross. min or max may be NaN for "none". The derivative is 1
 * inside, 0 on the bounds. Of i64, too, with whole bounds (TG_EINVAL). torch.clamp. */
TG_API tg_tensor *tg_clamp(tg_tape *tape, tg_tensor *x, double min, double max);
/* The same with tensors, which broadcast and promote; one may be NULL. A NaN bound gives NaN. A bound has the gradient
 * where it cuts, and where x meets it half of it. torch.clamp, clamp_min, clamp_max. */
TG_API tg_tensor *tg_clamp_tensor(tg_tape *tape, tg_tensor *x, tg_tensor *min, tg_tensor *max);

/* -- elementwise, two and three inputs: broadcast as in PyTorch, gradients summed back ------------------------------ */
/* Inputs of different dtypes are brought to one (ops.h). i64 wraps around on overflow. */
TG_API tg_tensor *tg_add(tg_tape *tape, tg_tensor *a, tg_tensor *b); /* bool: or */
TG_API tg_tensor *tg_sub(tg_tape *tape, tg_tensor *a, tg_tensor *b); /* TG_EDTYPE for bools */
TG_API tg_tensor *tg_mul(tg_tape *tape, tg_tensor *a, tg_tensor *b); /* bool: and */
TG_API tg_tensor *tg_div(tg_tape *tape, tg_tensor *a, tg_tensor *b); /* integers count as floats */
/* a/b, down or towards 0 to a whole number; fmod leaves a's sign, remainder b's: a − b·trunc(a/b), a − b·floor(a/b). The
 * quotients' derivatives are 0. f32, f64, i64 (there TG_EINVAL if b has a 0). torch.floor_divide, div with rounding_mode
 * floor and trunc. */
TG_API tg_tensor *tg_floor_divide(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_div_trunc(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_fmod(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_remainder(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* a^b. The derivatives where b = 0, and where a = 0 ≤ b, are 0 instead of 0·∞. i64: a negative power is 0 but of ±1. */
TG_API tg_tensor *tg_pow(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* Ties share the gradient in halves, NaN propagates. Also i64 and bool. */
TG_API tg_tensor *tg_maximum(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_minimum(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* NaN only where both are; the gradients of maximum and minimum. Also i64 and bool. */
TG_API tg_tensor *tg_fmax(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_fmin(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* a < 0: 0; a > 0: 1; a = 0: b; NaN gives 0. Also i64 and bool; no derivative. */
TG_API tg_tensor *tg_heaviside(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_atan2(tg_tape *tape, tg_tensor *a, tg_tensor *b);    /* the angle of (b, a); derivative at (0, 0): 0 */
TG_API tg_tensor *tg_hypot(tg_tape *tape, tg_tensor *a, tg_tensor *b);    /* √(a² + b²) without overflow */
TG_API tg_tensor *tg_copysign(tg_tape *tape, tg_tensor *a, tg_tensor *b); /* |a| with b's sign; derivative at a = 0: 0 */
TG_API tg_tensor *tg_xlogy(tg_tape *tape, tg_tensor *a, tg_tensor *b);    /* a·log b, 0 where a = 0 and b is not NaN */
TG_API tg_tensor *tg_logaddexp(tg_tape *tape, tg_tensor *a, tg_tensor *b);  /* log(e^a + e^b) */
TG_API tg_tensor *tg_logaddexp2(tg_tape *tape, tg_tensor *a, tg_tensor *b); /* log₂(2^a + 2^b) */
TG_API tg_tensor *tg_ldexp(tg_tape *tape, tg_tensor *x, tg_tensor *exponent); /* x·2^exponent */
/* x + value·a·b (also i64, with a whole value), x + value·a/b; a + weight·(b − a). */
TG_API tg_tensor *tg_addcmul(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double value);
TG_API tg_tensor *tg_addcdiv(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double value);
TG_API tg_tensor *tg_lerp(tg_tape *tape, tg_tensor *a, tg_tensor *b, tg_tensor *weight);
TG_API tg_tensor *tg_lerp_scalar(tg_tape *tape, tg_tensor *a, tg_tensor *b, double weight);

/* -- comparisons and tests of f32, f64, i64 or bool: the result is bool and has no derivative ----------------------- */
TG_API tg_tensor *tg_eq(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_ne(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_lt(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_le(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_gt(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_ge(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* a = b or |a − b| ≤ atol + rtol·|b|; torch's defaults are rtol 1e-5, atol 1e-8. TG_EINVAL for negative ones. */
TG_API tg_tensor *tg_isclose(tg_tape *tape, tg_tensor *a, tg_tensor *b, double rtol, double atol, bool equal_nan);
/* What is not 0 is true, NaN too. */
TG_API tg_tensor *tg_logical_and(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_logical_or(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_logical_xor(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_logical_not(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_isnan(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_isinf(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_isfinite(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_signbit(tg_tape *tape, tg_tensor *x); /* x < 0, or −0, or a NaN with the sign bit */
/* condition ? a : b; condition is bool, a and b are brought to one dtype. Selects, never multiplies: NaN in what is not
 * chosen does no harm. */
TG_API tg_tensor *tg_where(tg_tape *tape, tg_tensor *condition, tg_tensor *a, tg_tensor *b);
/* To another of f32, f64, i64, bool (torch.Tensor.to); x itself where it has that dtype. Differentiable between f32 and
 * f64. To i64 it truncates; NaN and what does not fit become the smallest i64. To bool: x ≠ 0. */
TG_API tg_tensor *tg_to(tg_tape *tape, tg_tensor *x, tg_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif
