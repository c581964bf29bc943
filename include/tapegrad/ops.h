/* Operators: tensors in, a tensor of the tape out. NULL on error, with the tape's sticky error set; a NULL tensor
 * in passes through an earlier error. Names, semantics and formulae are PyTorch's unless said otherwise. */
#ifndef TAPEGRAD_OPS_H
#define TAPEGRAD_OPS_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- elementwise, one input ------------------------------------------------------------------------------------- */
TG_API tg_tensor *tg_neg(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_abs(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_sign(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_exp(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_expm1(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_log(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_log1p(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_sqrt(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_rsqrt(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_square(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_reciprocal(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_sin(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_cos(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_tanh(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_erf(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_sigmoid(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_relu(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_leaky_relu(tg_tape *tape, tg_tensor *x, double negative_slope);
TG_API tg_tensor *tg_elu(tg_tape *tape, tg_tensor *x, double alpha);
TG_API tg_tensor *tg_selu(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_celu(tg_tape *tape, tg_tensor *x, double alpha);
TG_API tg_tensor *tg_gelu(tg_tape *tape, tg_tensor *x, bool tanh_approximation);
TG_API tg_tensor *tg_silu(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_mish(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_softplus(tg_tape *tape, tg_tensor *x, double beta, double threshold);
TG_API tg_tensor *tg_softsign(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_log_sigmoid(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_hardtanh(tg_tape *tape, tg_tensor *x, double min_val, double max_val);
/* min or max may be NaN for "none". The gradient is 1 inside and on the bounds. */
TG_API tg_tensor *tg_clamp(tg_tape *tape, tg_tensor *x, double min, double max);
TG_API tg_tensor *tg_add_scalar(tg_tape *tape, tg_tensor *x, double s);
TG_API tg_tensor *tg_mul_scalar(tg_tape *tape, tg_tensor *x, double s);
TG_API tg_tensor *tg_pow_scalar(tg_tape *tape, tg_tensor *x, double exponent);

/* -- elementwise, two and three inputs, broadcasting -------------------------------------------------------------- */
TG_API tg_tensor *tg_add(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_sub(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_mul(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_div(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_pow(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* Ties share the gradient in halves, NaN propagates. */
TG_API tg_tensor *tg_maximum(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_minimum(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* bool results, no derivative. */
TG_API tg_tensor *tg_eq(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_ne(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_lt(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_le(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_gt(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_ge(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* condition is bool: selects, never multiplies. */
TG_API tg_tensor *tg_where(tg_tape *tape, tg_tensor *condition, tg_tensor *a, tg_tensor *b);
/* To another dtype (torch.Tensor.to). Differentiable between f32 and f64. */
TG_API tg_tensor *tg_to(tg_tape *tape, tg_tensor *x, tg_dtype dtype);

/* -- reductions: over the listed dims (negative ones count from the end), n_dims 0: over all ---------------------- */
TG_API tg_tensor *tg_sum_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_mean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_sum(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_mean(tg_tape *tape, tg_tensor *x);
/* Σ(x−μ)²/(n−correction). */
TG_API tg_tensor *tg_var_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, double correction, bool keepdim);
/* Gradient shared equally among ties. */
TG_API tg_tensor *tg_amax_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_amin_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
/* i64; the first of equal maxima; NaN counts as the maximum. */
TG_API tg_tensor *tg_argmax(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim);
/* Sums x down to dims that broadcast to x's. torch.Tensor.sum_to_size. */
TG_API tg_tensor *tg_sum_to_size(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);

/* -- shape: views where PyTorch has views -------------------------------------------------------------------------- */
/* One dim may be −1. A view where the strides allow it, a copy where not. */
TG_API tg_tensor *tg_reshape_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);
TG_API tg_tensor *tg_flatten(tg_tape *tape, tg_tensor *x, int64_t start_dim, int64_t end_dim);
TG_API tg_tensor *tg_transpose(tg_tape *tape, tg_tensor *x, int64_t dim0, int64_t dim1);
TG_API tg_tensor *tg_permute_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);
TG_API tg_tensor *tg_expand_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim); /* −1 keeps a size */
TG_API tg_tensor *tg_squeeze(tg_tape *tape, tg_tensor *x, int64_t dim);
TG_API tg_tensor *tg_unsqueeze(tg_tape *tape, tg_tensor *x, int64_t dim);
TG_API tg_tensor *tg_narrow(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t start, int64_t length);
/* x[start:end:step] along dim. */
TG_API tg_tensor *tg_slice(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t start, int64_t end, int64_t step);
TG_API tg_tensor *tg_select(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t index);
TG_API tg_tensor *tg_cat_n(tg_tape *tape, tg_tensor *const xs[], size_t n, int64_t dim);
TG_API tg_tensor *tg_stack_n(tg_tape *tape, tg_tensor *const xs[], size_t n, int64_t dim);
/* Row-major: x itself where it already is. */
TG_API tg_tensor *tg_contiguous(tg_tape *tape, tg_tensor *x);
/* A copy with storage of its own. torch.clone. */
TG_API tg_tensor *tg_clone(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_zeros_like(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_ones_like(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_full(tg_tape *tape, tg_dtype dtype, const int64_t *dims, size_t ndim, double value);

/* -- products --------------------------------------------------------------------------------------------------------- */
/* torch.matmul: 1-D and 2-D cases, batches broadcast. */
TG_API tg_tensor *tg_matmul(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* x·Wᵀ + b: x [*, in], W [out, in], b [out] or NULL. torch.nn.functional.linear. */
TG_API tg_tensor *tg_linear(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias);

/* -- softmax, losses --------------------------------------------------------------------------------------------------- */
TG_API tg_tensor *tg_softmax(tg_tape *tape, tg_tensor *x, int64_t dim);
TG_API tg_tensor *tg_log_softmax(tg_tape *tape, tg_tensor *x, int64_t dim);
TG_API tg_tensor *tg_logsumexp_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_mse_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_reduction reduction);
/* input: log-probabilities [N, C, *] or [C]; target: i64 classes; weight [C] or NULL. TG_EINDEX for a class outside
 * [0, C) that is not ignore_index. */
TG_API tg_tensor *tg_nll_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                              int64_t ignore_index, tg_reduction reduction);
/* softmax + negative log-likelihood in one; the target is i64 classes, or probabilities of input's shape. */
TG_API tg_tensor *tg_cross_entropy_with(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                                        int64_t ignore_index, tg_reduction reduction, double label_smoothing);
TG_API tg_tensor *tg_cross_entropy(tg_tape *tape, tg_tensor *input, tg_tensor *target); /* mean, ignore_index −100 */
/* Elements along dim picked by index (i64, of the result's shape). TG_EINDEX. */
TG_API tg_tensor *tg_gather(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index);
/* A copy of x with src added at index. */
TG_API tg_tensor *tg_scatter_add(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *src);
TG_API tg_tensor *tg_index_select(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index);

/* -- normalisation ------------------------------------------------------------------------------------------------------- */
/* Train: batch statistics over every dim but 1 (or all but the last of [N, C]). mean and invstd (1/√(v+eps), biased
 * v; both [C]) are returned where not NULL. weight, bias may be NULL. y = (x − μ)·invstd·γ + β, never folded. */
TG_API tg_tensor *tg_batch_norm_train(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias, double eps,
                                      tg_tensor **mean, tg_tensor **var);
/* Eval: statistics are constants, copied into the node. */
TG_API tg_tensor *tg_batch_norm_eval(tg_tape *tape, tg_tensor *x, tg_tensor *running_mean, tg_tensor *running_var,
                                     tg_tensor *weight, tg_tensor *bias, double eps);
TG_API tg_tensor *tg_layer_norm(tg_tape *tape, tg_tensor *x, size_t normalized_ndim, tg_tensor *weight,
                                tg_tensor *bias, double eps);

/* -- random: one draw of the tape's generator each ----------------------------------------------------------------------- */
/* Train mode: each element is kept with probability 1 − p and scaled by 1/(1 − p), else 0. Eval, or p = 0: x
 * itself, no node, no draw. p = 1: zeros, no draw. The mode is an argument without a default. */
TG_API tg_tensor *tg_dropout(tg_tape *tape, tg_tensor *x, double p, tg_mode mode);
/* U(0, 1) and N(0, 1) of x's shape and dtype. */
TG_API tg_tensor *tg_rand_like(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_randn_like(tg_tape *tape, tg_tensor *x);

#ifndef __cplusplus
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
