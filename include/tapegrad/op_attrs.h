/* The operators as a backend sees them: for each, the order of inputs and outputs, and the attribute struct. These are
 * part of the plug-in ABI: a change raises the operator's version. Attribute structs are plain data without padding
 * (64-bit members only). Broadcast operators see their inputs with the output's dims and strides of 0. */
#ifndef TAPEGRAD_OP_ATTRS_H
#define TAPEGRAD_OP_ATTRS_H

#include <tapegrad/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- elementwise --------------------------------------------------------------------------------------------------- */
/* One result y, row-major, f32 or f64 like the inputs unless said otherwise. "s, t": run-time scalars, in that order.
 * [x] → y: neg, abs, sign, exp, expm1, log, log1p, sqrt, rsqrt, square, reciprocal, sin, cos, tanh, erf;
 *   add_scalar x + s; mul_scalar x·s; pow_scalar x^s.
 * [a, b] → y, broadcast: add, sub, mul (f32, f64, i64), div, pow, maximum, minimum (NaN wins);
 *   eq, ne, lt, le, gt, ge: also i64 and bool, y is bool.
 * where: [condition (bool), a, b] → y, broadcast. */

/* to: [x] → y of another dtype among f32, f64, i64, bool. NaN and what is out of range become the smallest i64. */
typedef struct tg_to_attrs {
    int64_t dtype;
} tg_to_attrs;

/* Activations. [x] → y: relu, sigmoid, silu x·σ(x), mish x·tanh(log(1 + e^x)), softsign x/(1 + |x|), log_sigmoid;
 *   leaky_relu x > 0 ? x : s·x;
 *   elu x > 0 ? t·x : s·t·(e^(u·x) − 1), three scalars s, t, u (torch's alpha, scale, input_scale);
 *   softplus s·x > t ? x : log(1 + e^(s·x))/s;
 *   clamp, hardtanh: min(max(x, s), t), a NaN scalar is no bound.
 * Their backwards, f the derivative of the above: [gy, y] → gy·f in sigmoid_backward, tanh_backward, relu_backward
 * (0 where y ≤ 0); [gy, x] → gy·f with the forward's scalars in leaky_relu_backward, elu_backward, gelu_backward,
 * silu_backward, mish_backward, softplus_backward, clamp_backward (1 on the bounds), hardtanh_backward (0 on them). */

/* gelu: [x] → x·Φ(x), or 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))). gelu_backward: [gy, x]. */
typedef struct tg_gelu_attrs {
    int64_t tanh_approximation;
} tg_gelu_attrs;

/* -- reduce ---------------------------------------------------------------------------------------------------------- */
/* sum, mean, amax, amin: [x] → y. Bit d of `dims` set: dim d is reduced; it stays with size 1 where keepdim is 1. */
typedef struct tg_reduce_attrs {
    int64_t dims, keepdim;
} tg_reduce_attrs;

/* var: [x] → Σ(x − mean)²/max(0, n − correction). */
typedef struct tg_var_attrs {
    int64_t dims, keepdim;
    double correction;
} tg_var_attrs;

/* argmax: [x] → i64, the place of the first maximum along dim; the first NaN counts as the maximum. */
typedef struct tg_argmax_attrs {
    int64_t dim, keepdim;
} tg_argmax_attrs;

/* sum_to_size: [x] → y of dims `dims`, which broadcast to x's: the sum over what broadcasting would repeat. Also the
 * attributes of the views `view` (the new dims), `permute` (result dim d is x's dim dims[d]), `expand` (the new dims). */
typedef struct tg_dims_attrs {
    tg_ints dims;
} tg_dims_attrs;

/* -- shape ------------------------------------------------------------------------------------------------------------ */
/* contiguous, clone: [x] → a row-major copy. In place, no result: copy_ [dst (written), src], src broadcasts to dst;
 * add_ [dst (written), src] of the same dims: dst += src; fill_ [dst (written)], one scalar, the value. Any dtype.
 * View rows (view, permute, expand, slice) have no kernels. */

/* slice: the view x[start], x[start + step], … of `length` elements along dim. */
typedef struct tg_slice_attrs {
    int64_t dim, start, length, step;
} tg_slice_attrs;

/* slice_backward: [gy] → zeros whose dim `dim` has `size` elements, with gy at start, start + step, … */
typedef struct tg_slice_backward_attrs {
    int64_t dim, start, step, size;
} tg_slice_backward_attrs;

/* cat: [x0, x1, …] → joined along dim. */
typedef struct tg_cat_attrs {
    int64_t dim;
} tg_cat_attrs;

/* full: [] → y of this dtype and these dims, every element the run-time scalar. */
typedef struct tg_full_attrs {
    int64_t dtype;
    tg_ints dims;
} tg_full_attrs;

/* -- matmul ----------------------------------------------------------------------------------------------------------- */
/* matmul: in [a (…, m, k), b (…, k, n)] → out [(…, m, n)]. At least two dims each, any strides; batch dims broadcast from
 * the right: where one operand's is missing or 1, its matrix is used for each of the other's.
 * linear: in [x (N, in), weight (out, in), bias (out) or absent] → out [(N, out)] = x·weightᵀ + bias. Any strides. */

/* -- softmax, loss -------------------------------------------------------------------------------------------------- */
/* dim and dims count from the end where negative. Inputs are row-major. Losses reduce as tg_reduction says.
 *
 * softmax: in [x] → [y] = exp(x)/Σexp(x) along dim. log_softmax: in [x] → [y] = x − log Σexp(x).
 * softmax_backward: in [gy, y] → [gx] = y·(gy − Σgy·y). log_softmax_backward: in [gy, y] → [gx] = gy − exp(y)·Σgy. */
typedef struct tg_softmax_attrs {
    int64_t dim;
} tg_softmax_attrs;

/* logsumexp: in [x] → [y] = log Σexp(x) over dims (none listed: over all). */
typedef struct tg_logsumexp_attrs {
    tg_ints dims;
    int64_t keepdim; /* 0 or 1 */
} tg_logsumexp_attrs;

/* mse_loss: in [input, target], of one shape → [loss] = (input − target)², reduced.
 * mse_loss_backward: in [gy, input, target] → [gx] = 2·gy·(input − target), divided by the count for the mean. */
typedef struct tg_mse_loss_attrs {
    int64_t reduction;
} tg_mse_loss_attrs;

/* label_range: in [target (i64)] → [i64[3]]: how many labels are neither in [0, classes) nor ignore_index, the
 * row-major position of the first such, and its value (0, 0, 0: none). */
typedef struct tg_label_range_attrs {
    int64_t ignore_index, classes;
} tg_label_range_attrs;

/* nll_loss: in [input (N, C, *) or (C), target (i64: N, * or scalar), weight (C) or absent] → [loss]. With s =
 * label_smoothing, w = weight (1 where absent), over the positions i whose target t is not ignore_index:
 *     l(i) = −(1 − s)·w[t]·input[t] − s/C·Σ_c w[c]·input[c];  none: l (0 where ignored), of target's shape;
 *     sum: Σl;  mean: Σl / Σw[t].
 * cross_entropy: in [input, target, weight] → [loss, log_probs]: the same of log_probs = log_softmax(input, 1).
 * Labels are in range: the host looked (label_range). */
typedef struct tg_nll_loss_attrs {
    int64_t ignore_index, reduction;
    double label_smoothing;
} tg_nll_loss_attrs;

/* nll_loss_backward: in [gy, target, weight or absent] → [gx (N, C, *)], what nll_loss sends to its input (C is
 * `classes`). cross_entropy_backward: in [gy, log_probs, target, weight or absent] → [gx] = g − exp(log_probs)·Σ_c g,
 * where g is nll_loss_backward's. */
typedef struct tg_nll_loss_backward_attrs {
    int64_t ignore_index, reduction, classes;
    double label_smoothing;
} tg_nll_loss_backward_attrs;

/* -- norm --------------------------------------------------------------------------------------------------------------- */
/* batch_norm_train: in [x (N, C, *), weight (C) or absent, bias (C) or absent] → [y, mean, var, invstd]: y = (x −
 * mean)·invstd·weight + bias, in this order and never folded; statistics over every dim but 1, var biased, invstd =
 * 1/√(var + eps), each (C) and of x's dtype.
 * batch_norm_eval: in [x, running_mean, running_var, weight, bias] → [y, mean, invstd]: mean a copy of
 * running_mean, invstd = 1/√(running_var + eps). */
typedef struct tg_batch_norm_attrs {
    double eps;
} tg_batch_norm_attrs;

/* batch_norm_backward: in [gy, x, weight or absent, mean, invstd] → [diff_src, diff_weight (C), diff_bias (C)]; one
 * that is not in `want` has the shape (0). x̂ = (x − mean)·invstd, means over n = values a channel:
 *     diff_bias = Σgy, diff_weight = Σgy·x̂,
 *     diff_src = weight·invstd·(gy − mean(gy) − x̂·mean(gy·x̂))   batch_stats
 *     diff_src = weight·invstd·gy                                 else */
enum { TG_WANT_SRC = 1, TG_WANT_WEIGHT = 2, TG_WANT_BIAS = 4 };
typedef struct tg_batch_norm_backward_attrs {
    int64_t want, batch_stats;
} tg_batch_norm_backward_attrs;

/* batch_norm_update: groups of 5 [running_mean (written), running_var (written), num_batches_tracked (i64, written),
 * mean, var (biased)], 2 scalars a group: momentum (NaN: 1/num_batches_tracked after counting), n (values a channel).
 * rm ← (1−m)·rm + m·mean; rv ← (1−m)·rv + m·var·n/(n−1); num_batches_tracked += 1. Groups in order. */

/* layer_norm: in [x, weight or absent, bias or absent (both of the last normalized_ndim dims of x)] → [y, mean, rstd]:
 * y = (x − mean)·rstd·weight + bias; statistics over those dims, var biased, rstd = 1/√(var + eps), both of x's
 * shape with ones for those dims. */
typedef struct tg_layer_norm_attrs {
    int64_t normalized_ndim;
    double eps;
} tg_layer_norm_attrs;

/* layer_norm_backward: in [gy, x, weight or absent, mean, rstd] → [diff_src, diff_weight, diff_bias], as
 * batch_norm_backward with batch_stats, means over the normalised dims: with g = gy·weight,
 * diff_src = rstd·(g − mean(g) − x̂·mean(g·x̂)). */
typedef struct tg_layer_norm_backward_attrs {
    int64_t normalized_ndim, want;
} tg_layer_norm_backward_attrs;

/* -- index ------------------------------------------------------------------------------------------------------------- */
/* gather: [x, index (i64)] → y of index's dims, y[…i…] = x[…index[…i…]…] along dim.
 * scatter_add: [x, index (i64), src] → a copy of x with y[…index[…i…]…] += src[…i…], in index's row-major order.
 * index_select: [x, index (i64, one dim)] → x's slices along dim in index's order.
 * Indices are inside their range: the host has looked. */
typedef struct tg_index_attrs {
    int64_t dim;
} tg_index_attrs;
/* index_range: [index (i64)] → i64[4]: the least, the greatest, and the row-major places where they stand first. Of no
 * elements: 0, −1, 0, 0. */

/* -- random ------------------------------------------------------------------------------------------------------------ */
/* All words come from Philox4x32-10 (Salmon et al. 2011): key = (seed low, seed high), counter = (block low, block
 * high, draw low, draw high). Word j of a draw is lane j % 4 of block j / 4. Elements are numbered row-major, e.
 *  - 24 bits: u(e) = (word e >> 8)·2⁻²⁴ (f32); 53 bits: u(e) = ((word 2e | word 2e+1 << 32) >> 11)·2⁻⁵³ (f64).
 *  - normal: from the pair u(2k), u(2k+1): r = √(−2 ln(1 − u(2k))), z(2k) = r·cos 2πu(2k+1), z(2k+1) = r·sin 2πu(2k+1).
 *
 * dropout: in [x] → [y]: element e is kept where word e < round((1 − p)·2³²), compared in 64 bits: y = x·(1/(1 − p)),
 * the factor rounded to x's dtype; else 0, selected.
 * rand_like: in [x] → [u of x's shape and dtype]. randn_like: in [x] → [z].
 * uniform_: in [dst (written)], scalars low, high: low + u·(high − low), below high. normal_: in [dst (written)],
 * scalars mean, std: mean + z·std. Any strides for these two. */
typedef struct tg_dropout_attrs {
    double p;
} tg_dropout_attrs;

/* -- optim -------------------------------------------------------------------------------------------------------------- */

/* All rows here are variadic; they update in place (but grad_norm). The tensors of a group have one shape and one
 * dtype, f32 or f64, any strides; groups may differ. All run-time scalars are a group's.
 *
 * sgd_step: groups of 2 [param (written), grad], scalars lr, weight_decay.
 *   g = ±grad + weight_decay·param; param ← param − lr·g
 * sgd_momentum_step: groups of 3 [param (written), grad, momentum_buffer (written)], scalars lr, weight_decay,
 * momentum, keep, take (0 and 1 at the first step, then momentum and 1 − dampening).
 *   g = ±grad + weight_decay·param; b ← keep·b + take·g; param ← param − lr·(nesterov ? g + momentum·b : b)
 * A weight_decay of 0 leaves its term out. */
typedef struct tg_sgd_attrs {
    int64_t maximize, nesterov; /* maximize: −grad */
} tg_sgd_attrs;

/* adam_step: groups of 4 [param (written), grad, exp_avg (written), exp_avg_sq (written)]; adam_amsgrad_step: of 5
 * [… max_exp_avg_sq (written)]. Scalars step_size (lr/(1 − β1ᵗ)), shrink (1 − lr·weight_decay for AdamW, else 1),
 * weight_decay (Adam's, else 0), β1, β2, root (√(1 − β2ᵗ)), eps.
 *   p = shrink·param; g = ±grad + weight_decay·p; m ← m + (1 − β1)(g − m); v ← β2·v + (1 − β2)·g²
 *   x ← max(x, v); param ← p − step_size·m/(√v/root + eps), with x for v in adam_amsgrad_step */
typedef struct tg_adam_attrs {
    int64_t maximize;
} tg_adam_attrs;

/* grad_norm: any number of tensors → out [norm]: an f64 scalar, √Σx² over all. scale_: groups of 1 [x (written)],
 * scalar factor. */

#ifdef __cplusplus
}
#endif
#endif
