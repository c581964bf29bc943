/* Operators element by element. What holds for all is in ops.h, which includes this. */
#ifndef TAPEGRAD_OPS_ELEMENTWISE_H
#define TAPEGRAD_OPS_ELEMENTWISE_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- elementwise, one input: f32 or f64, the result has x's dims and dtype -------------------------------------- */
TG_API tg_tensor *tg_neg(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_abs(tg_tape *tape, tg_tensor *x);  /* derivative at 0: 0 */
TG_API tg_tensor *tg_sign(tg_tape *tape, tg_tensor *x); /* −1, 0, 1; the derivative is 0; NaN gives 0 */
TG_API tg_tensor *tg_exp(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_expm1(tg_tape *tape, tg_tensor *x); /* e^x − 1, also for small x */
TG_API tg_tensor *tg_log(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_log1p(tg_tape *tape, tg_tensor *x); /* log(1 + x), also for small x */
TG_API tg_tensor *tg_sqrt(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_rsqrt(tg_tape *tape, tg_tensor *x); /* 1/√x */
TG_API tg_tensor *tg_square(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_reciprocal(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_sin(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_cos(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_erf(tg_tape *tape, tg_tensor *x); /* 2/√π·∫₀ˣ e^(−t²) dt */
/* The scalar is not differentiated, and may change every step at no cost. torch.add, mul, pow with a number. */
TG_API tg_tensor *tg_add_scalar(tg_tape *tape, tg_tensor *x, double s);
TG_API tg_tensor *tg_mul_scalar(tg_tape *tape, tg_tensor *x, double s);
TG_API tg_tensor *tg_pow_scalar(tg_tape *tape, tg_tensor *x, double exponent); /* derivative for exponent 0: 0 */

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
/* clamp with the derivative 0 on the bounds, too. TG_EINVAL unless min_val ≤ max_val. */
TG_API tg_tensor *tg_hardtanh(tg_tape *tape, tg_tensor *x, double min_val, double max_val);
/* min(max(x, min), max): max wins where they cross. min or max may be NaN for "none". The derivative is 1 inside and on
 * the bounds. torch.clamp. */
TG_API tg_tensor *tg_clamp(tg_tape *tape, tg_tensor *x, double min, double max);

/* -- elementwise, two and three inputs: broadcast as in PyTorch, gradients summed back ------------------------------ */
TG_API tg_tensor *tg_add(tg_tape *tape, tg_tensor *a, tg_tensor *b); /* also i64 */
TG_API tg_tensor *tg_sub(tg_tape *tape, tg_tensor *a, tg_tensor *b); /* also i64 */
TG_API tg_tensor *tg_mul(tg_tape *tape, tg_tensor *a, tg_tensor *b); /* also i64 */
TG_API tg_tensor *tg_div(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* a^b. The derivatives where b = 0, and where a = 0 ≤ b, are 0 instead of 0·∞. */
TG_API tg_tensor *tg_pow(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* Ties share the gradient in halves, NaN propagates. */
TG_API tg_tensor *tg_maximum(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_minimum(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* Two of f32, f64, i64 or bool; the result is bool and has no derivative. */
TG_API tg_tensor *tg_eq(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_ne(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_lt(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_le(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_gt(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_ge(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* condition ? a : b; condition is bool, a and b f32, f64, i64 or bool. Selects, never multiplies: NaN in what is not
 * chosen does no harm. */
TG_API tg_tensor *tg_where(tg_tape *tape, tg_tensor *condition, tg_tensor *a, tg_tensor *b);
/* To another of f32, f64, i64, bool (torch.Tensor.to); x itself where it has that dtype. Differentiable between f32 and
 * f64. To i64 it truncates; NaN and what does not fit become the smallest i64. To bool: x ≠ 0. */
TG_API tg_tensor *tg_to(tg_tape *tape, tg_tensor *x, tg_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif
