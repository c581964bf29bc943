/* Losses of torch.nn.functional. What holds for all operators is in ops.h, which includes this.
 *
 * `reduction` is none (a loss for each element, or for each sample where the function says so), their mean or their sum;
 * of no elements the sum is 0 and the mean NaN. input is f32 or f64; a target that is no label may be i64 or bool, too,
 * and counts as numbers of input's dtype. Input and target broadcast where nothing else is said; inputs, targets,
 * variances and weights all have gradients of all orders, the exceptions are named. Errors of all: TG_EDTYPE, TG_ESHAPE,
 * TG_EINVAL (a number out of range, a reduction that is none). Values that must lie in a range are read before anything
 * is written. */
#ifndef TAPEGRAD_OPS_LOSS_H
#define TAPEGRAD_OPS_LOSS_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- classes ------------------------------------------------------------------------------------------------------------ */
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

/* -- numbers ------------------------------------------------------------------------------------------------------------ */
/* (input − target)²: elementwise, its mean or its sum; the two broadcast. d/d input = 2·gy·(input − target), over the
 * count for the mean; d/d target its opposite. Of no elements: sum 0, mean NaN. Sizes that differ are worth a
 * TG_LOG_WARNING, as in torch.nn.functional.mse_loss. TG_ESHAPE, TG_EDTYPE, TG_EINVAL. */
TG_API tg_tensor *tg_mse_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_reduction reduction);
/* |input − target|; the derivative at 0 is 0. Sizes as in tg_mse_loss. torch.nn.functional.l1_loss. */
TG_API tg_tensor *tg_l1_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_reduction reduction);
/* With d = |input − target|: d²/2 below delta > 0, delta·(d − delta/2) from there on. Sizes as in tg_mse_loss.
 * torch.nn.functional.huber_loss. */
TG_API tg_tensor *tg_huber_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, double delta,
                                tg_reduction reduction);
/* The same over beta; beta = 0 is tg_l1_loss. torch.nn.functional.smooth_l1_loss. */
TG_API tg_tensor *tg_smooth_l1_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, double beta,
                                    tg_reduction reduction);
/* exp(input) − target·input, or with log_input false input − target·log(input + eps); `full` adds Stirling's target·log
 * target − target + log(2π·target)/2 where target > 1 (elsewhere neither it nor its derivative counts).
 * torch.nn.functional.poisson_nll_loss. */
TG_API tg_tensor *tg_poisson_nll_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, bool log_input, bool full,
                                      double eps, tg_reduction reduction);
/* (log v + (input − target)²/v)/2 with v = max(var, eps), a raised var keeping its derivative; `full` adds log(2π)/2. var
 * has input's dims, or these with one of them 1, or these without the last one. TG_EINVAL for a negative var.
 * torch.nn.functional.gaussian_nll_loss. */
TG_API tg_tensor *tg_gaussian_nll_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *var, bool full,
                                       double eps, tg_reduction reduction);

/* -- probabilities ------------------------------------------------------------------------------------------------------ */
/* −(t·max(log x, −100) + (1 − t)·max(log(1 − x), −100)) times weight (NULL: 1; it broadcasts), reduced. d/d input =
 * (x − t)/max(x·(1 − x), 1e-12). torch.nn.functional.binary_cross_entropy. TG_EINVAL for values outside [0, 1], TG_ESHAPE
 * for dims that differ. */
TG_API tg_tensor *tg_binary_cross_entropy(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                                          tg_reduction reduction);
/* The same of σ(input), without overflow: (1 − t)·x − (1 + (pos_weight − 1)·t)·log σ(x), times weight. target has input's
 * dims; both weights (NULL: 1) expand to them. torch.nn.functional.binary_cross_entropy_with_logits. */
TG_API tg_tensor *tg_bce_with_logits(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                                     tg_tensor *pos_weight, tg_reduction reduction);
/* target·(log target − input), 0 of a target 0; with log_target, exp(target)·(target − input). Here alone reduction may be
 * TG_REDUCE_BATCHMEAN, the sum over the first dim's size; the mean is over all elements. torch.nn.functional.kl_div. */
TG_API tg_tensor *tg_kl_div(tg_tape *tape, tg_tensor *input, tg_tensor *target, bool log_target, tg_reduction reduction);
/* The negative logarithm of the probability of all alignments of a target with a sequence (Graves et al. 2006). log_probs
 * [T, N, C] (log_softmax over C), targets i64 labels [N, S], or all of them one after the other [sum of target_lengths];
 * input_lengths and target_lengths i64 [N]; the loss is [N]. Or without N: [T, C], [S], two scalars (or [1]). What lies
 * behind a length is not read. A target that has no alignment costs ∞ (its gradient is NaN), or with zero_infinity 0
 * (and 0). The mean is that of each loss over its target's length (at least 1). Only log_probs has a gradient, once
 * (TG_ENODERIV): exp(log_probs) − the occupancy, as torch's; it takes for granted that the probabilities add up to 1,
 * which log_softmax's own gradient undoes. A −∞ among log_probs is sent 0, not torch's NaN. TG_EINDEX for labels outside [0, C), TG_EINVAL for lengths and blank out of
 * range. torch.nn.functional.ctc_loss. */
TG_API tg_tensor *tg_ctc_loss(tg_tape *tape, tg_tensor *log_probs, tg_tensor *targets, tg_tensor *input_lengths,
                              tg_tensor *target_lengths, int64_t blank, bool zero_infinity, tg_reduction reduction);

/* -- margins ------------------------------------------------------------------------------------------------------------ */
/* input where target is 1, max(0, margin − input) where it is −1, elsewhere the sum of both.
 * torch.nn.functional.hinge_embedding_loss. */
TG_API tg_tensor *tg_hinge_embedding_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, double margin,
                                          tg_reduction reduction);
/* max(0, margin − target·(input1 − input2)), all three of as many dims. torch.nn.functional.margin_ranking_loss. */
TG_API tg_tensor *tg_margin_ranking_loss(tg_tape *tape, tg_tensor *input1, tg_tensor *input2, tg_tensor *target,
                                         double margin, tg_reduction reduction);
/* With c = Σ input1·input2/√((Σ input1² + 1e-12)·(Σ input2² + 1e-12)) over dim 1 of [N, D] and target [N], or of [D] and a
 * scalar: 1 − c where target is 1, max(0, c − margin) where it is −1, else 0. torch.nn.functional.cosine_embedding_loss. */
TG_API tg_tensor *tg_cosine_embedding_loss(tg_tape *tape, tg_tensor *input1, tg_tensor *input2, tg_tensor *target,
                                           double margin, tg_reduction reduction);
/* log(1 + exp(−target·input)), without overflow, target ±1. torch.nn.functional.soft_margin_loss. */
TG_API tg_tensor *tg_soft_margin_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_reduction reduction);
/* weight[t]·Σ_{j ≠ t} max(0, margin − x[t] + x[j])^p / C for each row x of input [N, C] or [C], with labels t i64 [N] or a
 * scalar, weight [C] or NULL (1), p 1 or 2; a NaN counts for nothing. TG_EINDEX for a label outside [0, C).
 * torch.nn.functional.multi_margin_loss. */
TG_API tg_tensor *tg_multi_margin_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, int64_t p, double margin,
                                       tg_tensor *weight, tg_reduction reduction);
/* Σ max(0, 1 − x[y] + x[i]) / C over each row's labels y and all i that are none: target i64 [N, C] or [C] holds a row's
 * labels in front, then −1; what is behind does not count. TG_EINDEX for a label outside [−1, C).
 * torch.nn.functional.multilabel_margin_loss. */
TG_API tg_tensor *tg_multilabel_margin_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_reduction reduction);
/* tg_bce_with_logits with `weight`, the mean over the last dim of input [*, C].
 * torch.nn.functional.multilabel_soft_margin_loss. */
TG_API tg_tensor *tg_multilabel_soft_margin_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                                                 tg_reduction reduction);
/* max(0, margin + d(anchor, positive) − d(anchor, negative)), reduced, where d is tg_pairwise_distance; with swap
 * d(positive, negative) counts where it is the smaller. torch.nn.functional.triplet_margin_loss. */
TG_API tg_tensor *tg_triplet_margin_loss(tg_tape *tape, tg_tensor *anchor, tg_tensor *positive, tg_tensor *negative,
                                         double margin, double p, double eps, bool swap, tg_reduction reduction);
/* A distance of rows, made of operators on the tape: d of a [*, D] and b [*, D] is [*]. NULL on error, as they give it. */
typedef tg_tensor *(*tg_distance_fn)(tg_tape *tape, tg_tensor *a, tg_tensor *b, void *arg);
/* The same with a distance of one's own, called with `arg`; NULL: tg_pairwise_distance of p 2 and eps 1e-6.
 * torch.nn.functional.triplet_margin_with_distance_loss. */
TG_API tg_tensor *tg_triplet_margin_with_distance_loss(tg_tape *tape, tg_tensor *anchor, tg_tensor *positive,
                                                       tg_tensor *negative, tg_distance_fn distance, void *arg,
                                                       double margin, bool swap, tg_reduction reduction);

#ifdef __cplusplus
}
#endif
#endif
