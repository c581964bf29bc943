/* Operators: tensors in, a tensor of the tape out. Names, semantics and formulae are PyTorch's unless said otherwise.
 *
 * NULL on error, with the tape's sticky error set; then all further calls return NULL at once, so a chain of calls needs
 * one check at its end. Errors that any of these can give: TG_EINVAL (a NULL tensor, a dim or number out of range),
 * TG_EDTYPE, TG_ESHAPE, TG_ESTALE, TG_ENOMEM, TG_ENOKERNEL; others are named where they occur.
 *
 * Inputs may have any strides. Values are f32 or f64, and all of one call are of the same dtype: there is no promotion,
 * tg_to converts. Results are row-major unless they are views. A dim counts from the end when negative. */
#ifndef TAPEGRAD_OPS_H
#define TAPEGRAD_OPS_H

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

/* -- reductions of f32, f64: over the listed dims, n_dims 0: over all; keepdim leaves them with size 1 ---------------- */
/* Sums are taken in f64, in an order that depends on the shape alone. Of no values: sum 0, mean and var NaN. */
TG_API tg_tensor *tg_sum_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_mean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_sum(tg_tape *tape, tg_tensor *x);  /* of all, ndim 0 */
TG_API tg_tensor *tg_mean(tg_tape *tape, tg_tensor *x); /* of all, ndim 0 */
/* Σ(x − mean)²/max(0, n − correction), twice over the data. torch.var: correction 1 is unbiased, 0 biased. */
TG_API tg_tensor *tg_var_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, double correction,
                              bool keepdim);
/* NaN wins. The gradient is shared equally among ties. TG_ESHAPE where a reduced dim has size 0. */
TG_API tg_tensor *tg_amax_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_amin_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
/* i64, no derivative; the first of equal maxima; the first NaN counts as the maximum. TG_ESHAPE of no values. */
TG_API tg_tensor *tg_argmax(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim);
/* Sums x down to dims that broadcast to x's. torch.Tensor.sum_to_size. */
TG_API tg_tensor *tg_sum_to_size(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);

/* -- shape, any dtype: views (they share x's memory) where PyTorch has views ------------------------------------------ */
/* One dim may be −1: what is left. A view where the strides allow it, a copy where not. */
TG_API tg_tensor *tg_reshape_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);
/* start_dim … end_dim become one; a scalar becomes [1]. */
TG_API tg_tensor *tg_flatten(tg_tape *tape, tg_tensor *x, int64_t start_dim, int64_t end_dim);
TG_API tg_tensor *tg_transpose(tg_tape *tape, tg_tensor *x, int64_t dim0, int64_t dim1);
TG_API tg_tensor *tg_permute_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim); /* each dim once */
/* Dims of size 1, and new leading ones, are repeated without a copy; −1 keeps a size. An expanded view cannot be written. */
TG_API tg_tensor *tg_expand_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);
TG_API tg_tensor *tg_squeeze(tg_tape *tape, tg_tensor *x, int64_t dim); /* removes it where its size is 1 */
TG_API tg_tensor *tg_unsqueeze(tg_tape *tape, tg_tensor *x, int64_t dim); /* −ndim−1 … ndim */
/* `length` elements from start (negative: from the end). TG_EINVAL unless they are there. */
TG_API tg_tensor *tg_narrow(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t start, int64_t length);
/* x[start:end:step] along dim, as Python clips it: INT64_MAX stands for the end. step ≥ 1. */
TG_API tg_tensor *tg_slice(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t start, int64_t end, int64_t step);
/* x[index] along dim, which goes. TG_EINDEX outside [−size, size). */
TG_API tg_tensor *tg_select(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t index);
/* Joined along a dim; tensors of one dtype that agree in all other dims. */
TG_API tg_tensor *tg_cat_n(tg_tape *tape, tg_tensor *const xs[], size_t n, int64_t dim);
/* Joined along a new dim; tensors of the same dims. */
TG_API tg_tensor *tg_stack_n(tg_tape *tape, tg_tensor *const xs[], size_t n, int64_t dim);
/* Row-major: x itself where it already is. */
TG_API tg_tensor *tg_contiguous(tg_tape *tape, tg_tensor *x);
/* A copy with storage of its own. torch.clone. */
TG_API tg_tensor *tg_clone(tg_tape *tape, tg_tensor *x);
/* Of x's dims and dtype, without a history. */
TG_API tg_tensor *tg_zeros_like(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_ones_like(tg_tape *tape, tg_tensor *x);
/* f32, f64, i64 or bool, every element `value`. */
TG_API tg_tensor *tg_full(tg_tape *tape, tg_dtype dtype, const int64_t *dims, size_t ndim, double value);

/* -- products --------------------------------------------------------------------------------------------------------- */
/* torch.matmul: 1-D and 2-D cases, batches broadcast. */
TG_API tg_tensor *tg_matmul(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* x·Wᵀ + b: x [*, in], W [out, in], b [out] or NULL. torch.nn.functional.linear. */
TG_API tg_tensor *tg_linear(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias);

/* -- softmax, losses --------------------------------------------------------------------------------------------------- */
/* exp(x)/Σexp(x) along dim (negative: from the end; a scalar has dim 0), shifted by the maximum. gx = y·(gy −
 * Σgy·y). A row of −∞ gives NaN, as in torch.softmax. TG_EINVAL for a dim that x has not, TG_EDTYPE unless f32 or f64. */
TG_API tg_tensor *tg_softmax(tg_tape *tape, tg_tensor *x, int64_t dim);
/* x − log Σexp(x) along dim. gx = gy − exp(y)·Σgy. torch.log_softmax; errors as tg_softmax. */
TG_API tg_tensor *tg_log_softmax(tg_tape *tape, tg_tensor *x, int64_t dim);
/* log Σexp(x) over the listed dims, none listed: over all. gx = gy·exp(x − y). −∞ for a row of −∞ (its gradient is
 * NaN) and for no elements, as torch.logsumexp. TG_EINVAL also for a dim listed twice. */
TG_API tg_tensor *tg_logsumexp_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
/* (input − target)²: elementwise, its mean or its sum; the two broadcast. d/d input = 2·gy·(input − target), over the
 * count for the mean; d/d target its opposite. Of no elements: sum 0, mean NaN. Sizes that differ are worth a
 * TG_LOG_WARNING, as in torch.nn.functional.mse_loss. TG_ESHAPE, TG_EDTYPE, TG_EINVAL. */
TG_API tg_tensor *tg_mse_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_reduction reduction);
/* −w[t]·input[n, t, …] at each label t that is not ignore_index. input: log-probabilities [N, C, *] or [C]; target: i64
 * labels [N, *] or a scalar; weight [C] of input's dtype, a constant, or NULL (ones). The result: of target's shape with
 * zeros for what is ignored; the sum; or the sum over Σw[t] (NaN where all is ignored). torch.nn.functional.nll_loss.
 * TG_EINDEX for a label outside [0, C) that is not ignore_index, naming it and its position; TG_ESHAPE, TG_EDTYPE,
 * TG_EINVAL; a weight that wants a gradient is TG_ENODERIV in the sweep.
 *     tg_tensor *loss = tg_nll_loss(tape, tg_log_softmax(tape, x, 1), labels, NULL, -100, TG_REDUCE_MEAN); */
TG_API tg_tensor *tg_nll_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                              int64_t ignore_index, tg_reduction reduction);
/* With lp = log_softmax(input) over the classes and s = label_smoothing:
 *  - target i64 labels: −(1 − s)·w[t]·lp[t] − s/C·Σ_c w[c]·lp[c], reduced as tg_nll_loss;
 *  - target probabilities of input's shape and dtype, q = (1 − s)·target + s/C: −Σ_c w[c]·q[c]·lp[c]; the mean is over
 *    the positions. Target and weight are differentiable here, and an ignore_index of 0 or more is TG_EINVAL.
 * torch.nn.functional.cross_entropy. Errors as tg_nll_loss, and TG_EINVAL for a label_smoothing outside [0, 1]. */
TG_API tg_tensor *tg_cross_entropy_with(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                                        int64_t ignore_index, tg_reduction reduction, double label_smoothing);
/* The same without weights and smoothing: mean, ignore_index −100. */
TG_API tg_tensor *tg_cross_entropy(tg_tape *tape, tg_tensor *input, tg_tensor *target);

/* -- by index: i64 indices from 0 (negative ones are refused), looked at before anything is written. TG_EINDEX names the
 *    index, its place and the range ----------------------------------------------------------------------------------- */
/* y[i][j] = x[index[i][j]][j] for dim 0, and so on; y has index's dims, which do not exceed x's but along dim. */
TG_API tg_tensor *tg_gather(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index);
/* A copy of x with y[index[i][j]][j] += src[i][j] for dim 0, and so on. src has index's dims, or is larger. */
TG_API tg_tensor *tg_scatter_add(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *src);
/* x's slices along dim in index's order; index has one dim. */
TG_API tg_tensor *tg_index_select(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index);

/* -- normalisation ------------------------------------------------------------------------------------------------------- */
/* Train: y = (x − μ)·invstd·weight + bias with the batch's statistics, over every dim of x [N, C] or [N, C, *] but 1; v
 * biased, invstd = 1/√(v + eps); never folded to αx + β′. weight and bias [C], or NULL. Where `mean` and `var` are not
 * NULL they are given μ and v [C], which carry no gradient. x̄ = weight·invstd·(g − mean(g) − x̂·mean(g·x̂)), weight: Σg·x̂,
 * bias: Σg. An empty batch gives an empty y. Does not look at how many values a channel has: the layer does.
 * torch.nn.functional.batch_norm, training. TG_ESHAPE, TG_EDTYPE, TG_EINVAL (eps). */
TG_API tg_tensor *tg_batch_norm_train(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias, double eps,
                                      tg_tensor **mean, tg_tensor **var);
/* Eval: the same with running_mean and running_var [C] as constants. The node keeps a copy of them, so that a later
 * change of the buffers changes no gradient. x̄ = g·weight·invstd; weight: Σg·(x − running_mean)·invstd; bias: Σg. */
TG_API tg_tensor *tg_batch_norm_eval(tg_tape *tape, tg_tensor *x, tg_tensor *running_mean, tg_tensor *running_var,
                                     tg_tensor *weight, tg_tensor *bias, double eps);
/* The same over x's last normalized_ndim dims, the statistics each position's own; weight and bias have the shape of
 * those dims, or are NULL. With g = gy·weight: x̄ = rstd·(g − mean(g) − x̂·mean(g·x̂)). torch.nn.functional.layer_norm.
 * TG_ESHAPE, TG_EDTYPE, TG_EINVAL (eps). */
TG_API tg_tensor *tg_layer_norm(tg_tape *tape, tg_tensor *x, size_t normalized_ndim, tg_tensor *weight,
                                tg_tensor *bias, double eps);

/* -- random: one draw of the tape's generator each ----------------------------------------------------------------------- */
/* Train mode: each element is kept with probability 1 − p and scaled by 1/(1 − p), else 0, selected: a dropped ∞ or
 * NaN is 0. The gradient drops the same elements. Eval, or p = 0: x itself, no node, no draw. p = 1: zeros, and a gradient
 * of zeros, no draw. No elements: no draw. The mode is an argument without a default. Which element is kept is a function
 * of (seed, draw, element), see op_attrs.h: the same on every backend and for any number of threads. TG_EINVAL for p
 * outside [0, 1] or NaN. torch.nn.functional.dropout.
 *     tg_tensor *y = tg_dropout(tape, x, 0.5, TG_TRAIN); */
TG_API tg_tensor *tg_dropout(tg_tape *tape, tg_tensor *x, double p, tg_mode mode);
/* Uniform in [0, 1), and normal with mean 0 and variance 1, of x's shape and dtype; no gradient. torch.rand_like,
 * torch.randn_like (by Box and Muller). */
TG_API tg_tensor *tg_rand_like(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_randn_like(tg_tape *tape, tg_tensor *x);

#ifndef __cplusplus
/* TG_DIMS(4, 2): the two arguments dims and ndim (n_dims) of every function that takes them. */
#define TG_DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
/* tg_reshape(tape, x, 2, -1) and its like. */
#define tg_reshape(tape, x, ...) tg_reshape_dims(tape, x, TG_DIMS(__VA_ARGS__))
#define tg_permute(tape, x, ...) tg_permute_dims(tape, x, TG_DIMS(__VA_ARGS__))
#define tg_expand(tape, x, ...) tg_expand_dims(tape, x, TG_DIMS(__VA_ARGS__))
#define TG_TENSORS(...) (tg_tensor *const[]){__VA_ARGS__}, sizeof((tg_tensor *const[]){__VA_ARGS__}) / sizeof(tg_tensor *)
#define tg_cat(tape, dim, ...) tg_cat_n(tape, TG_TENSORS(__VA_ARGS__), dim)
#define tg_stack(tape, dim, ...) tg_stack_n(tape, TG_TENSORS(__VA_ARGS__), dim)
#endif

#ifndef TG_NO_LOCATION
#include <tapegrad/ops_location.h>
#endif

#ifdef __cplusplus
}
#endif
#endif
