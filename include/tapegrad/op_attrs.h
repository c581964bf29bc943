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

/* -- reduce ---------------------------------------------------------------------------------------------------------- */

/* -- shape ------------------------------------------------------------------------------------------------------------ */
/* contiguous: in [x] → out [a row-major copy]. copy_: in [dst (written), src]. fill_: in [dst (written)], scalar value.
 * add_: in [dst (written), src]. */

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
