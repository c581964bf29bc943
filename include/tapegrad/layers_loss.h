/* Losses and distances. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_LOSS_H
#define TAPEGRAD_LAYERS_LOSS_H

#include <tapegrad/module.h>
#include <tapegrad/ops_loss.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- losses: called with (input, target) through tg_forward_n; the same in both modes ---------------- */

/* Formulae, shapes and errors are those of the functions of the same names in ops_loss.h. Arguments stand in torch.nn's
 * order, reduction last (torch's default: TG_REDUCE_MEAN); those torch has defaults for are named here. A weight is any
 * tensor of f32 or f64, or NULL; it is copied into the buffer of its name. */

typedef struct tg_cross_entropy_options {
    size_t struct_size;
    tg_tensor *weight;      /* [C] or NULL; copied into the buffer "weight"             */
    int64_t ignore_index;   /* −100: a label that counts for nothing                    */
    int64_t reduction;      /* a tg_reduction: TG_REDUCE_MEAN                           */
    double label_smoothing; /* 0; in [0, 1]: the part of the target spread over classes */
} tg_cross_entropy_options;
TG_API tg_cross_entropy_options tg_cross_entropy_defaults(void);
/* −weight[t]·log_softmax(input)[t]; input [N, C, *] or [C], target i64 classes [N, *], or probabilities of
 * input's shape. The mean is divided by Σ weight[t]. TG_EINDEX for a class outside [0, C) that is not
 * ignore_index. */
TG_API tg_module *tg_nn_cross_entropy_loss(tg_runtime *rt);
TG_API tg_module *tg_nn_cross_entropy_loss_with(tg_runtime *rt, const tg_cross_entropy_options *options);

typedef struct tg_nll_loss_options {
    size_t struct_size;
    tg_tensor *weight;    /* as above */
    int64_t ignore_index; /* −100 */
    int64_t reduction;    /* TG_REDUCE_MEAN */
} tg_nll_loss_options;
TG_API tg_nll_loss_options tg_nll_loss_defaults(void);
/* The same of log-probabilities: −weight[t]·input[t]. */
TG_API tg_module *tg_nn_nll_loss(tg_runtime *rt);
TG_API tg_module *tg_nn_nll_loss_with(tg_runtime *rt, const tg_nll_loss_options *options);

/* Numbers. beta 1, at least 0; delta 1, above 0. */
TG_API tg_module *tg_nn_mse_loss(tg_runtime *rt, tg_reduction reduction);
TG_API tg_module *tg_nn_l1_loss(tg_runtime *rt, tg_reduction reduction);
TG_API tg_module *tg_nn_smooth_l1_loss(tg_runtime *rt, double beta, tg_reduction reduction);
TG_API tg_module *tg_nn_huber_loss(tg_runtime *rt, double delta, tg_reduction reduction);
/* log_input true, full false, eps 1e-8; called with (log_input, target). */
TG_API tg_module *tg_nn_poisson_nll_loss(tg_runtime *rt, bool log_input, bool full, double eps, tg_reduction reduction);
/* full false, eps 1e-6, above 0; called with (input, target, var). */
TG_API tg_module *tg_nn_gaussian_nll_loss(tg_runtime *rt, bool full, double eps, tg_reduction reduction);

/* Probabilities. log_target false; reduction may be TG_REDUCE_BATCHMEAN. */
TG_API tg_module *tg_nn_bce_loss(tg_runtime *rt, tg_tensor *weight, tg_reduction reduction);
TG_API tg_module *tg_nn_bce_with_logits_loss(tg_runtime *rt, tg_tensor *weight, tg_tensor *pos_weight,
                                             tg_reduction reduction);
TG_API tg_module *tg_nn_kl_div_loss(tg_runtime *rt, bool log_target, tg_reduction reduction);
/* blank 0, zero_infinity false; called with (log_probs, targets, input_lengths, target_lengths). */
TG_API tg_module *tg_nn_ctc_loss(tg_runtime *rt, int64_t blank, bool zero_infinity, tg_reduction reduction);

/* Margins. Hinge: 1; ranking and cosine: 0, called with (input1, input2, target). Multi: p 1 (or 2), margin 1. */
TG_API tg_module *tg_nn_hinge_embedding_loss(tg_runtime *rt, double margin, tg_reduction reduction);
TG_API tg_module *tg_nn_margin_ranking_loss(tg_runtime *rt, double margin, tg_reduction reduction);
TG_API tg_module *tg_nn_cosine_embedding_loss(tg_runtime *rt, double margin, tg_reduction reduction);
TG_API tg_module *tg_nn_soft_margin_loss(tg_runtime *rt, tg_reduction reduction);
TG_API tg_module *tg_nn_multi_margin_loss(tg_runtime *rt, int64_t p, double margin, tg_tensor *weight,
                                          tg_reduction reduction);
TG_API tg_module *tg_nn_multilabel_margin_loss(tg_runtime *rt, tg_reduction reduction);
TG_API tg_module *tg_nn_multilabel_soft_margin_loss(tg_runtime *rt, tg_tensor *weight, tg_reduction reduction);
/* margin 1, above 0; p 2, eps 1e-6, swap false; called with (anchor, positive, negative). */
TG_API tg_module *tg_nn_triplet_margin_loss(tg_runtime *rt, double margin, double p, double eps, bool swap,
                                            tg_reduction reduction);
/* margin 1, above 0; swap false; called with (anchor, positive, negative). distance NULL: PairwiseDistance's; arg is
 * handed to it. A file can hold the module only without a distance of one's own (tg_module_save: TG_EUNSUPPORTED). */
TG_API tg_module *tg_nn_triplet_margin_with_distance_loss(tg_runtime *rt, tg_distance_fn distance, void *arg,
                                                          double margin, bool swap, tg_reduction reduction);

/* For many classes, sorted from the most frequent to the rarest (Grave et al. 2017). head, a Linear, has an entry for each of
 * the first cutoffs[0] classes and one for each cluster; cluster k holds the classes from cutoffs[k] on, up to the next
 * one's, and is tail.k: Linear(in_features, ⌊in_features/div_value^(k + 1)⌋), then Linear to its classes, both without a
 * bias. cutoffs: 1 to 8 of them, rising, between 1 and n_classes − 1; div_value 4, above 0; head_bias false.
 * Called with (input [N, in_features], target i64 [N]), or both without N: output, log p(target) [N], and loss, its mean,
 * negated. log p of a class in a cluster is log_softmax(head)[its entry] + log_softmax(tail.k)[it]. TG_EINDEX for a target
 * outside [0, n_classes).
 *     tg_forward_n(tape, m, (tg_tensor *[]){x, target}, 2, (tg_tensor *[]){…}, 2); */
TG_API tg_module *tg_nn_adaptive_log_softmax_with_loss(tg_runtime *rt, int64_t in_features, int64_t n_classes,
                                                       const int64_t *cutoffs, size_t n_cutoffs, double div_value,
                                                       bool head_bias);
/* Of such a module and x [N, in_features]: log p of all classes, [N, n_classes]; the likeliest class, i64 [N], which is found
 * in head alone where it is a frequent one. torch's methods log_prob and predict. TG_EINVAL for another module. */
TG_API tg_tensor *tg_adaptive_log_prob(tg_tape *tape, tg_module *module, tg_tensor *x);
TG_API tg_tensor *tg_adaptive_predict(tg_tape *tape, tg_module *module, tg_tensor *x);

/* -- distances: called with (x1, x2) --------------------------------------------------------------------- */
/* dim 1, eps 1e-8. */
TG_API tg_module *tg_nn_cosine_similarity(tg_runtime *rt, int64_t dim, double eps);
/* p 2, eps 1e-6, keepdim false. */
TG_API tg_module *tg_nn_pairwise_distance(tg_runtime *rt, double p, double eps, bool keepdim);

#ifdef __cplusplus
}
#endif
#endif
