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
/* One result y, row-major, of the inputs' one dtype, f32 or f64 unless said otherwise. "s, t, u": run-time scalars, in
 * that order.
 * [x] → y: exp, expm1, exp2, log, log1p, log2, log10, sqrt, rsqrt, reciprocal, sin, cos, tan, asin, acos, atan, sinh, cosh,
 *   tanh, asinh, acosh, atanh, erf, erfc, erfinv, lgamma, digamma, i0, i1, sinc sin(πx)/(πx), frac;
 *   also i64: neg, abs, square, ceil, floor, trunc, round (halves to even); also i64 and bool: sign;
 *   add_scalar x + s; mul_scalar x·s; pow_scalar x^s: also i64, s then whole (and ≥ 0 for the power);
 *   round_decimals: round(x·10^s)/10^s; logit: log(z/(1 − z)), z = x held in [s, 1 − s], x itself for s < 0;
 *   nan_to_num: NaN, +inf, −inf replaced by s, t, u (t, u NaN: by the largest, the least finite number); also i64, bool;
 *   logical_not, isnan, isinf, isfinite, signbit: any dtype, y is bool.
 * [a, b] → y, broadcast: div, atan2, hypot, copysign, xlogy, logaddexp, logaddexp2;
 *   also i64, whose overflow wraps: sub, pow, floor_divide, div_trunc, fmod, remainder (a divisor of 0 gives 0: the host
 *   has refused it), clamp_min, clamp_max (maximum and minimum of [x, bound]);
 *   also i64 and bool: add and mul (or and and for bool), maximum, minimum (NaN wins), fmax, fmin (NaN loses),
 *   heaviside; eq, ne, lt, le, gt, ge, y is bool; isclose: |a − b| ≤ t + s·|b|, u: NaN equals NaN, y is bool;
 *   logical_and, logical_or, logical_xor: any two dtypes, y is bool.
 * [x, a, b] → y, broadcast: addcmul x + s·a·b; addcdiv x + s·a/b; lerp [a, b, w] a + w·(b − a);
 *   clamp_tensor [x, low, high] min(max(x, low), high), NaN wins, also i64.
 * where: [condition (bool), a, b] → y, broadcast, a and b any dtype. */

/* polygamma: [x] → the n-th derivative of digamma, n ≥ 1. */
typedef struct tg_polygamma_attrs {
    int64_t n;
} tg_polygamma_attrs;

/* to: [x] → y of another dtype among f32, f64, i64, bool. NaN and what is out of range become the smallest i64. */
typedef struct tg_to_attrs {
    int64_t dtype;
} tg_to_attrs;

/* Activations. [x] → y: relu, sigmoid, silu x·σ(x), mish x·tanh(log(1 + e^x)), softsign x/(1 + |x|), log_sigmoid;
 *   leaky_relu x > 0 ? x : s·x;
 *   elu x > 0 ? t·x : s·t·(e^(u·x) − 1), three scalars s, t, u (torch's alpha, scale, input_scale);
 *   softplus s·x > t ? x : log(1 + e^(s·x))/s;
 *   clamp (also i64), hardtanh: min(max(x, s), t), a NaN scalar is no bound;
 *   prelu: [x, w] → x > 0 ? x : w·x, broadcast.
 * Their backwards, f the derivative of the above: [gy, y] → gy·f in sigmoid_backward, tanh_backward, relu_backward
 * (0 where y ≤ 0); [gy, x] → gy·f with the forward's scalars in leaky_relu_backward, elu_backward, gelu_backward,
 * silu_backward, mish_backward, softsign_backward, softplus_backward, clamp_backward and hardtanh_backward (0 on the
 * bounds; at NaN 0 and gy). */

/* gelu: [x] → x·Φ(x), or 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))). gelu_backward: [gy, x]. */
typedef struct tg_gelu_attrs {
    int64_t tanh_approximation;
} tg_gelu_attrs;

/* -- reduce ---------------------------------------------------------------------------------------------------------- */
/* sum, mean, amax, amin, max_all, min_all, any, all: [x] → y. Bit d of `dims` set: dim d is reduced; it stays with size 1
 * where keepdim is 1. sum of i64 and bool is i64; the extrema take these, too (max_all and min_all differ from amax and
 * amin in their rule only); any (is one not 0?) and all give bool. NaN is an extremum, and not 0. */
typedef struct tg_reduce_attrs {
    int64_t dims, keepdim;
} tg_reduce_attrs;

/* var: [x] → Σ(x − mean)²/max(0, n − correction). std: its root. */
typedef struct tg_var_attrs {
    int64_t dims, keepdim;
    double correction;
} tg_var_attrs;

/* argmax, argmin: [x] → i64, the place of the first extremum along dim; the first NaN counts as the extremum. max, min:
 * [x] → [the value, of x's dtype, its place]. prod: [x] → the product along dim, i64 of i64 and bool. */
typedef struct tg_argmax_attrs {
    int64_t dim, keepdim;
} tg_argmax_attrs;

/* norm: [x] → (Σ|x|^p)^(1/p) over dims; p 0: how many are not 0, ∞ the largest and −∞ the smallest |x|. */
typedef struct tg_norm_attrs {
    int64_t dims, keepdim;
    double p;
} tg_norm_attrs;

/* cumsum, cumprod: [x] → y, the sums and products of the first 1, 2, … along dim, or where reverse is 1 of the last; i64
 * of i64 and bool. logcumsumexp: [x] → log Σe^x of the first 1, 2, …; linear_scan: [a, b] → y(k) = a(k)·y(k − 1) + b(k)
 * along dim, or with k + 1 where reverse is 1; the first is b. cummax, cummin: [x] → [y, i64]: the extremum of the first
 * 1, 2, … and the place of the last such; NaN is the extremum. Only cumsum, cumprod and linear_scan go in reverse. */
typedef struct tg_scan_attrs {
    int64_t dim, reverse;
} tg_scan_attrs;

/* cdist: [x1 (…, P, M), x2 (…, R, M)] → d (…, P, R), d[i, j] = (Σ_k|x1[i, k] − x2[j, k]|^p)^(1/p), p as in norm but not
 * negative; batch dims are the same. cdist_backward: [g (…, P, R), x1, x2, d] → [gx1]: Σ_j g·∂d/∂x1; where d is 0, or
 * x1 = x2 and p < 1, 0; where p = ∞, g at all that are the largest. */
typedef struct tg_cdist_attrs {
    double p;
} tg_cdist_attrs;

/* sum_to_size: [x] → y of dims `dims`, which broadcast to x's: the sum over what broadcasting would repeat. Also the
 * attributes of the views `view` (the new dims), `permute` (result dim d is x's dim dims[d]), `expand` (the new dims). */
typedef struct tg_dims_attrs {
    tg_ints dims;
} tg_dims_attrs;

/* -- shape ------------------------------------------------------------------------------------------------------------ */
/* contiguous, clone: [x] → a copy, contiguous's row-major. In place, no result: copy_ [dst (written), src], src broadcasts to dst;
 * add_ [dst (written), src] of the same dims: dst += src; fill_ [dst (written)], one scalar, the value. Any dtype.
 * View rows (view, permute, expand, slice) have no kernels. */

/* reorder: [x] → x, in layout number `layout` of those that the backend has for x's dims, row-major where it has none:
 * what the kit makes a backend's own inputs with. */
typedef struct tg_reorder_attrs {
    int64_t layout;
} tg_reorder_attrs;

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

/* diagonal: the view of the diagonals of dims dim1, dim2 (from 0), which go; they are the last dim. offset: above the main
 * one, negative: below. */
typedef struct tg_diagonal_attrs {
    int64_t offset, dim1, dim2;
} tg_diagonal_attrs;
/* diagonal_backward: [gy] → zeros of dims `dims` with gy where diagonal looks. */
typedef struct tg_diagonal_backward_attrs {
    tg_ints dims;
    int64_t offset, dim1, dim2;
} tg_diagonal_backward_attrs;

/* unfold_dim: the view of windows of `size` elements, one every `step`, along dim; the last dim runs inside a window.
 * unfold_dim_backward: [gy] → the sums over the windows, dim having `length` elements. */
typedef struct tg_unfold_dim_attrs {
    int64_t dim, size, step;
} tg_unfold_dim_attrs;
typedef struct tg_unfold_dim_backward_attrs {
    int64_t dim, size, step, length;
} tg_unfold_dim_backward_attrs;

/* slice_scatter: [x, src] → a copy of x with src where slice (tg_slice_attrs) looks. Any dtype.
 * roll: [x] → y[(i + s) mod size] = x[i], s = dims[d] in [0, size) along each dim d (tg_dims_attrs). Any dtype. */

/* flip: [x] → dim d backwards where bit d of dims is set. Any dtype. */
typedef struct tg_flip_attrs {
    int64_t dims;
} tg_flip_attrs;

/* tril, triu: [x] → x where column − row of the last two dims is ≤, ≥ diagonal, else 0. Any dtype. */
typedef struct tg_triangle_attrs {
    int64_t diagonal;
} tg_triangle_attrs;

/* arange: [] → start + i·step, scalars start, step.
 * linspace: [] → v = start + i·d in the first half, end − (n − 1 − i)·d in the second, d = (end − start)/(n − 1); where
 * power is 1, base^v; scalars start, end, base. Computed in f64; n elements of f32, f64, i64 (truncated) or bool. */
typedef struct tg_range_attrs {
    int64_t dtype, n, power;
} tg_range_attrs;

/* -- matmul ----------------------------------------------------------------------------------------------------------- */
/* matmul: in [a (…, m, k), b (…, k, n)] → out [(…, m, n)]. At least two dims each, any strides; batch dims broadcast from
 * the right: where one operand's is missing or 1, its matrix is used for each of the other's.
 * Also i64 (matmul), modulo 2⁶⁴.
 * linear: in [x (N, in), weight (out, in), bias (out) or absent] → out [(N, out)] = x·weightᵀ + bias. Any strides. */

/* cross: [a, b], broadcast → a × b along dim, which has size 3. Also i64. */
typedef struct tg_cross_attrs {
    int64_t dim;
} tg_cross_attrs;

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

/* binary_cross_entropy: in [input, target], broadcast → −(target·max(log input, −100) + (1 − target)·max(log(1 − input),
 * −100)). */

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

/* ctc_loss: in [log_probs (T, N, C), targets (N, S), input_lengths (N), target_lengths (N), all three i64] → [loss (N)]:
 * −log of the probability that the first input_lengths[n] classes, without repetitions and then without blanks, are the
 * first target_lengths[n] of targets[n]; ∞ where none is, or 0 with zero_infinity. ctc_loss_backward: in [gy (N), those]
 * → [gx (T, N, C)] = gy·(exp(log_probs) − the probability of each class at each time, given the target), 0 behind the
 * length; NaN, or 0 with zero_infinity, where the loss is ∞. Lengths and labels are in range: the host looked. */
typedef struct tg_ctc_loss_attrs {
    int64_t blank, zero_infinity;
} tg_ctc_loss_attrs;

/* -- norm --------------------------------------------------------------------------------------------------------------- */
/* batch_norm_train: in [x (N, C, *), weight (C) or absent, bias (C) or absent] → [y, mean, var, invstd]: y = (x −
 * mean)·invstd·weight + bias, in this order and never folded; statistics over every dim but 1, var biased, invstd =
 * 1/√(var + eps), each (C) and of x's dtype.
 * batch_norm_eval: in [x, running_mean, running_var, weight, bias] → [y, mean, invstd]: mean a copy of
 * running_mean, invstd = 1/√(running_var + eps). */
typedef struct tg_batch_norm_attrs {
    double eps;
} tg_batch_norm_attrs;

/* batch_norm_backward: in [gy, x, weight or absent, mean, invstd > 0] → [diff_src, diff_weight (C), diff_bias (C)]; one
 * that is not in `want` has the shape (0). x̂ = (x − mean)·invstd, means over n = values a channel:
 *     diff_bias = Σgy, diff_weight = Σgy·x̂,
 *     diff_src = weight·invstd·(gy − mean(gy) − x̂·mean(gy·x̂))   batch_stats
 *     diff_src = weight·invstd·gy                                 else */
enum { TG_WANT_SRC = 1, TG_WANT_WEIGHT = 2, TG_WANT_BIAS = 4 };
typedef struct tg_batch_norm_backward_attrs {
    int64_t want, batch_stats;
} tg_batch_norm_backward_attrs;

/* batch_norm_relu_train, batch_norm_relu_eval: the same with y ← y ≤ 0 ? 0 : y (NaN stays). batch_norm_relu_backward:
 * batch_norm_backward with that y as a sixth input; gy counts where y ≤ 0 is false. */

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

/* group_norm: in [x (N, C, *), weight (C) or absent, bias (C) or absent] → [y, mean (N, groups), rstd (N, groups)]: y = (x −
 * mean)·rstd·weight + bias; the statistics are each sample's over C/groups channels and all behind them, var biased, rstd =
 * 1/√(var + eps). */
typedef struct tg_group_norm_attrs {
    int64_t groups;
    double eps;
} tg_group_norm_attrs;

/* group_norm_backward: in [gy, x, weight or absent, mean, rstd] → [diff_src, diff_weight (C), diff_bias (C)], as
 * layer_norm_backward, means over a sample's group. */
typedef struct tg_group_norm_backward_attrs {
    int64_t groups, want;
} tg_group_norm_backward_attrs;

/* rms_norm: in [x, weight (of the last normalized_ndim dims) or absent] → [y, rstd (x's shape with ones for those dims)]:
 * y = x·rstd·weight, rstd = 1/√(mean(x²) + eps); attributes as layer_norm's. rms_norm_backward: in [gy, x, weight or
 * absent, rstd] → [diff_src, diff_weight], attributes as layer_norm_backward's: with g = gy·weight and x̂ = x·rstd,
 * diff_src = rstd·(g − x̂·mean(g·x̂)), diff_weight = Σgy·x̂. */

/* -- index ------------------------------------------------------------------------------------------------------------- */
/* gather: [x, index (i64)] → y of index's dims, y[…i…] = x[…index[…i…]…] along dim.
 * scatter: [x, index (i64), src of index's dims] → a copy of x with y[…index[…i…]…] = src[…i…], in index's row-major order.
 * scatter_add: the same with +=.
 * index_select: [x, index (i64, one dim)] → x's slices along dim in index's order.
 * All move f32, f64, i64 and bool. Indices are inside their range: the host has looked. */
typedef struct tg_index_attrs {
    int64_t dim;
} tg_index_attrs;
/* index_range: [index (i64)] → i64[4]: the least, the greatest, and the row-major places where they stand first. Of no
 * elements: 0, −1, 0, 0. */

/* scatter_reduce: as scatter_add, with y ← y·src, max(y, src) or min(y, src), NaN wins. include_self 0: what is written to
 * starts from 0, 1, the least or the greatest value instead of x. */
enum { TG_SCATTER_SUM, TG_SCATTER_PROD, TG_SCATTER_AMAX, TG_SCATTER_AMIN };
typedef struct tg_scatter_reduce_attrs {
    int64_t dim, reduce, include_self;
} tg_scatter_reduce_attrs;

/* embedding: [weight (V, D), index (i64)] → y[…, D], y[…i…] = weight[index[…i…]]. The attributes are the rule's.
 * embedding_renorm_: groups [weight (V, D, written), index (i64)], scalars max_norm, p: each row in index whose p-norm n is above
 * max_norm is multiplied by max_norm/(n + 1e-7), once. */
typedef struct tg_embedding_attrs {
    int64_t padding_idx, scale_grad_by_freq; /* -1: no padding */
} tg_embedding_attrs;

/* true_count: [x (f32, f64, i64, bool)] → i64 scalar: how many are not 0. The following take the first `count` of these, in
 * row-major order; where there are less, the rest of the result is 0 (masked_scatter: nothing is replaced).
 * nonzero: [x] → i64[count, x's ndim], where they are.
 * masked_select: [x, mask (bool, x's dims)] → [count], x's elements there.
 * masked_scatter: [x, mask (bool, x's dims), source (count elements or more)] → x with these replaced by source's. */
typedef struct tg_count_attrs {
    int64_t count;
} tg_count_attrs;

/* -- sort -------------------------------------------------------------------------------------------------------------- */
/* sort: [x (f32, f64, i64, bool)] → [values, indices (i64)] along dim, stable; NaN is the greatest of all, −0 equals 0.
 * topk: → the `k` first of these. */
typedef struct tg_sort_attrs {
    int64_t dim, descending, k; /* sort: k is 0 */
} tg_sort_attrs;

/* median, kthvalue, mode: [x] → [value, place (i64)] with size 1 along dim. median: the lower one of two, NaN where there is
 * one (its first place); option 1: NaNs are left out. kthvalue: the `option`-th smallest. mode: the most frequent, the least
 * of equally frequent ones, its last place; no two NaNs are the same. Among ties, places are in order for median; kthvalue's
 * are left to its algorithm.
 * median_all: [x] → [value, share]: a scalar, the median of all elements, NaN of none; and for the rule, of x's dims, 1/n
 * for each of the n elements that are it (0 for i64). dim is not looked at. */
typedef struct tg_pick_attrs {
    int64_t dim, option;
} tg_pick_attrs;

/* quantile_place: [q (m), unknown (bool: …, 1)] → [below, above (i64), weight (q's dtype)], all (…, m): rank = q·(n − 1), n − 1
 * where unknown; below is its floor, above its ceiling, weight = rank − below. interpolation 0 linear; 1 lower, 2 higher, 3
 * nearest (halves to even): below = above is the one, weight 0; 4 midpoint: weight 0.5. */
typedef struct tg_quantile_attrs {
    int64_t n, interpolation;
} tg_quantile_attrs;

/* searchsorted: [sequence (…, n), values (…, m), or any dims where the sequence has one; sorter (i64) or absent] → i64 of
 * values' dims: the first place whose element is not below the value (right: that is above it), n where there is none. */
typedef struct tg_searchsorted_attrs {
    int64_t right;
} tg_searchsorted_attrs;

/* unique_plan: [x] → four i64: inverse[n], first[n], counts[n], number (scalar). n: slices along dim, or elements where dim is
 * −1; equal ones form a group, groups are in ascending (for slices: lexicographic) order; no slice with a NaN equals another.
 * inverse: the group of each; first, counts: each group's first member and size, 0 past `number`. */
typedef struct tg_unique_attrs {
    int64_t dim;
} tg_unique_attrs;

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

/* -- resample, patches ------------------------------------------------------------------------------------------------- */
/* Inputs are row-major. resample: [x] → y, whose dim `dim` has `to` elements where x's has `from`: y[o] = Σ_i w(o, i)·x[i].
 * resample_backward: [gy] → gx[i] = Σ_o w(o, i)·gy[o]. mode is a tg_resample, other than align_corners 0 or 1: with
 * s = (from − 1)/(to − 1) (0 where to is 1) and c = s·o if align_corners, else with s = scale, or from/to where that is
 * 0, and c = s·(o + ½) − ½:
 *  - nearest: 1 at min(⌊s·o⌋, from − 1); nearest_exact: at ⌊max(c, 0) + ½⌋ likewise;
 *  - linear: between ⌊c⌋ and its successor, c not below 0 nor beyond from − 1; a copy where from is to;
 *  - cubic: Keys' kernel with a = −0.75 at ⌊c⌋ − 1 … ⌊c⌋ + 2, each moved into the range;
 *  - area: the mean of ⌊o·from/to⌋ … ⌈(o + 1)·from/to⌉ − 1;
 *  - linear and cubic with antialias: max(0, 1 − |t|), or Keys' kernel with a = −0.5, of t = (i + ½ − s·(o + ½))/max(s, 1)
 *    over |t|·max(s, 1) < support = max(s, 1)·(1 or 2), bounds rounded, normalised to sum 1. */
typedef struct tg_resample_attrs {
    int64_t dim, from, to, mode, align_corners, antialias;
    double scale;
} tg_resample_attrs;

/* grid_sample: [x (N, C, *in), grid (N, *out, k), k = 2 or 3 = the dims of *in] → y (N, C, *out); grid_sample_backward:
 * [gy, grid] → gx (N, C, *size), its transpose. Coordinate grid[…, j] runs from −1 to 1 over x's dim k − 1 − j (the last
 * dim first): c = (g + 1)/2·(n − 1) if align_corners, else ((g + 1)·n − 1)/2. mode and padding: tg_resample (nearest: half
 * to even; linear; cubic with a = −0.75, k = 2) and tg_grid_padding. order.v[j]: the weights along coordinate j are
 * differentiated so often by it; `size` is empty in grid_sample. */
typedef struct tg_grid_sample_attrs {
    int64_t mode, padding, align_corners;
    tg_ints order, size;
} tg_grid_sample_attrs;

/* im2col: [x (N, C, H, W), H, W = size] → y (N, C·kernel, L): column l holds the l-th window's elements, zeros outside x;
 * col2im: [y] → (N, C, H, W), the sum over the windows: its transpose. Each list has two entries. */
typedef struct tg_windows_attrs {
    tg_ints size, kernel, dilation, padding, stride;
} tg_windows_attrs;

/* max_unpool: [x (R, L), index (R, L), i64] → zeros (R, size) with x[r, l] at index[r, l], the last one of equal places.
 * Indices are inside their range. */
typedef struct tg_max_unpool_attrs {
    int64_t size;
} tg_max_unpool_attrs;

/* -- pool -------------------------------------------------------------------------------------------------------------- */
/* Inputs are row-major; the dims after N and C, one to three of sizes `size`, are pooled; each list has as many entries.
 * Window o along a dim covers o·stride − padding + j·dilation, 0 ≤ j < kernel, as far as that is inside. There are
 * ⌊(size + 2·padding − dilation·(kernel − 1) − 1)/stride⌋ + 1 of them, at least 1, with ceil_mode ⌈…⌉ + 1, less one where
 * the last would begin at size + padding or later. padding is at most half of dilation·(kernel − 1) + 1.
 *
 * max_pool: [x (N, C, *size)] → [y (N, C, *out), indices (i64, the same dims, or (0) where indices is 0)]: the largest of
 * each window and its row-major place among the pooled dims: the first of equal ones, but the last of NaNs, which are the
 * largest. A window that covers nothing gives −∞ and −1.
 * max_pool_backward: [gy (N, C, *out), indices] → (N, C, *size), each the sum of the gy whose index is its place; indices
 * outside the plane count for nothing. kernel, stride, padding and dilation may be empty: windows of another kind.
 * max_pool_src_backward: [gy (N, C, *out), x (N, C, *size)] → (N, C, *size): max_pool_backward with the indices that
 * max_pool finds in x.
 * pool_gather: [x (N, C, *), indices (N, C, *')] → (N, C, *'): x at each index of its plane, 0 outside it.
 * avg_pool: [x (N, C, *size)] → (N, C, *out), the sum of each window, whose dilation is 1, over divisor_override or, where
 * that is 0, the elements it covers; with count_include_pad those of the padding, too.
 * avg_pool_backward: [gy (N, C, *out)] → (N, C, *size), its transpose. */
typedef struct tg_pool_attrs {
    tg_ints size, kernel, stride, padding, dilation;
    int64_t ceil_mode, indices, count_include_pad, divisor_override;
} tg_pool_attrs;

/* adaptive_max_pool: [x (N, C, *size)] → [y (N, C, *to), indices], as max_pool with the windows ⌊o·size/to⌋ …
 * ⌈(o + 1)·size/to⌉ − 1. Its gradient is max_pool_backward. */
typedef struct tg_adaptive_pool_attrs {
    tg_ints size, to;
} tg_adaptive_pool_attrs;

/* -- convolution ------------------------------------------------------------------------------------------------------- */
/* Inputs are row-major; one to three spatial dims, as many as stride, padding and dilation have entries.
 * convolution: in [x (N, C, *in), weight (O, C/groups, *kernel), bias (O) or absent] → y (N, O, *out), with x 0 outside (where a
 *   NaN or infinity meets these zeros, the result is NaN, or what it is without this product):
 *   y[n, o, i] = bias[o] + Σ_c Σ_k weight[o, c, k]·x[n, g·C/groups + c, i·stride − padding + k·dilation], o in group g,
 *   out = ⌊(in + 2·padding − dilation·(kernel − 1) − 1)/stride⌋ + 1; `size` is empty.
 * convolution_backward_data: in [gy (N, O, *out), weight, bias (C) or absent] → (N, C, *in): what convolution sends to x,
 *   plus bias; `size` is *in. A transposed convolution is this as a forward.
 * convolution_backward_weights: in [gy (N, O, *out), x (N, C, *in)] → (O, C/groups, *kernel): what convolution sends to
 *   weight; `size` is *kernel. */
typedef struct tg_convolution_attrs {
    tg_ints stride, padding, dilation, size;
    int64_t groups;
} tg_convolution_attrs;

/* convolution_affine: in [x, weight, bias, scale (O), shift (O); the last three may be absent] → y = convolution·scale +
 * shift, channel by channel, and where relu is 1 then y ≤ 0 ? 0 : y (NaN stays). What layers ask for in place of
 * convolution, batch_norm_eval and relu where nothing is recorded, of a chain whose convolutions all have it. */
typedef struct tg_convolution_affine_attrs {
    tg_convolution_attrs windows;
    int64_t relu;
} tg_convolution_affine_attrs;

/* -- recurrent --------------------------------------------------------------------------------------------------------- */
/* All steps of a recurrent layer in one direction, of N sequences; G is 4 for an LSTM, 3 for a GRU, else 1. Inputs are
 * row-major; where weight_hr is absent, P is H.
 * recurrence: in [x (T, N, G·H): W_ih·input and biases, weight W (G·H, P) or absent where T is 1, first (N, G·H) or absent,
 *   state (N, H) or absent, bias b (G·H) or absent, weight_hr R (P, H) or absent, lengths (N, i64, 1 … T) or absent] → [y
 *   (T, N, P), last_h (N, P), last_c (N, H; (0) but for LSTM), kept (T, N, K·H; (0) without keep)]. With p = first, or zeros,
 *   at the first step of a sequence and W·h of the step before at others:
 *   tanh, relu (K = 0): h = f(x + p)
 *   lstm (K = 6): i, f, o = σ, g = tanh of x + p in the order i, f, g, o; c = f·c + i·g, at first c is state;
 *     h = o·tanh(c), or R·that; kept: i, f, g, o, the c before, tanh(c)
 *   gru (K = 5): r, z = σ(x + p + b), q = p + b, n = tanh(x + r·q) in the order r, z, n; h = n + z·(h − n), at first h is
 *     state; kept: r, z, n, q, the h before. Only a GRU has b, and it has no W·state: that is first.
 *   A sequence ends after `lengths` steps: what is behind is 0, and the last h and c are those of its end. reverse: it begins
 *   there and runs towards step 0.
 * recurrence_backward: in [gy (T, N, P), the gradients of last_h (N, P) and last_c (N, H), weight, weight_hr, kept (y where
 *   K is 0), lengths], only kept always given → [dx (T, N, G·H), dp (T, N, G·H; (0) but for GRU: dx is it), dfirst (N,
 *   G·H), dstate (N, H; (0) where K is 0), dh (T, N, P; (0) without R): what arrives at R·…]. */
typedef enum tg_recurrence_kind {
    TG_RECURRENCE_TANH,
    TG_RECURRENCE_RELU,
    TG_RECURRENCE_LSTM,
    TG_RECURRENCE_GRU
} tg_recurrence_kind;
typedef struct tg_recurrence_attrs {
    int64_t kind, reverse, keep;
} tg_recurrence_attrs;

/* constant_pad_nd: [x] → x with before[d] and after[d] constants (one scalar) at the ends of each dim d; negative: so many
 * elements less. Any dtype, any strides. */
typedef struct tg_pad_attrs {
    tg_ints before, after;
} tg_pad_attrs;

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

/* adam_step: groups of 4 [param (written), grad, exp_avg (written), exp_avg_sq (written)]. Scalars step_size
 * (lr/(1 − β1ᵗ)), shrink (1 − lr·weight_decay for AdamW, else 1), weight_decay (Adam's, else 0), β1, β2,
 * root (√(1 − β2ᵗ)), eps.
 *   p = shrink·param; g = ±grad + weight_decay·p; m ← m + (1 − β1)(g − m); v ← β2·v + (1 − β2)·g²
 *   param ← p − step_size·m/(√v/root + eps) */
typedef struct tg_adam_attrs {
    int64_t maximize;
} tg_adam_attrs;

/* optim_step: what the other optimizers' steps are. Groups of 5 [param (written), grad, a, b, c (states, written)];
 * a rule leaves out what it does not name. 8 scalars: shrink, decay, then as they stand in brackets, the
 * rest unused. Computed in double precision.
 *   p = shrink·param; g = ±grad + decay·param, and a decay of 0 leaves its term out
 *   m ← β1·m + (1 − β1)·g;  v ← β2·v + (1 − β2)·g² */
typedef enum tg_step_rule {
    /* [lr, eps, α, momentum, centered]: a ← α·a + (1 − α)·g²; b ← α·b + (1 − α)·g; c ← momentum·c + g/(√(a − centered·b²) +
     * eps); param = p − lr·c. Without b: not centered; without c: momentum 0. */
    TG_RULE_RMSPROP,
    TG_RULE_ADAGRAD,  /* [lr, eps, more]: a ← a + more + g²; param = p − lr·g/(√a + eps) */
    TG_RULE_ADADELTA, /* [lr, eps, ρ]: a ← ρ·a + (1 − ρ)·g²; d = √(b + eps)/√(a + eps)·g; b ← ρ·b + (1 − ρ)·d²;
                         param = p − lr·d */
    TG_RULE_ADAMAX,   /* [lr, eps, β1, β2]: a is m; b ← max(β2·b, |g| + eps); param = p − lr·a/b */
    TG_RULE_AMSGRAD,  /* [lr, eps, β1, β2, root]: a is m, b is v; c ← max(c, b); param = p − lr·a/(√c/root + eps) */
    TG_RULE_NADAM,    /* [lr, eps, β1, β2, bias, lr2]: a is m, b is v; param = p − (lr·g + lr2·a)/(√(b/bias) + eps) */
    TG_RULE_RADAM,    /* [lr, eps, β1, β2, r]: a is m, b is v; param = p − lr·a·r/(√b + eps), or p − lr·a where r is 0 */
    TG_RULE_RPROP,    /* [more, unused, η⁻, η⁺, low, high]: b ← b + more, then times η⁻ where g·a < 0 and η⁺ where > 0, into
                         [low, high]; g ← 0 where g·a was < 0; param = p − b·sign(g); a ← g */
    TG_RULE_ASGD,     /* [lr, unused, μ, keep]: param = keep·p − lr·g; a ← a + (param − a)·μ */
    TG_RULE_MUON,     /* [lr]: param = p − lr·g; a ← b */
    TG_RULE_LERP,     /* [weight]: param ← param + weight·(grad − param), as torch.lerp does it */
    TG_RULE_CLAMP,    /* [low, high], without grad: param into [low, high]; NaN stays */
    TG_N_RULES
} tg_step_rule;
typedef struct tg_rule_attrs {
    int64_t rule, maximize; /* a tg_step_rule; maximize: −grad */
} tg_rule_attrs;

/* scaled_dot_product_attention: in [q […, L, E], k […, S, E], v […, S, Ev], mask […, L, S] or absent], one batch → [y […, L, Ev],
 * lse […, L]]: with s = q·kᵀ·scale + mask of the keys that count (is_causal: query i's are 0 … i), lse = log Σe^s, y =
 * e^(s − lse)·v; where all of a query's s are −∞, y is 0 and lse ∞. Of the backward: in [gy, q, k, v, mask or absent, lse] →
 * [gq, gk, gv]: with p = e^(s − lse) and ds = p·(gy·vᵀ − Σp·(gy·vᵀ))·scale, gv = pᵀ·gy, gq = ds·k, gk = dsᵀ·q. */
typedef struct tg_attention_attrs {
    double scale;
    int64_t is_causal;
} tg_attention_attrs;

/* grad_norm: any number of tensors → out [norm]: an f64 scalar, √Σx² over all. scale_: groups of 1 [x (written)],
 * scalar factor. */

#ifdef __cplusplus
}
#endif
#endif
