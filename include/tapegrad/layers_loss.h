/* Losses and distances. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_LOSS_H
#define TAPEGRAD_LAYERS_LOSS_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- losses: called with (input, target) through tg_forward_n; the same in both modes ---------------- */

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

/* (input − target)². */
TG_API tg_module *tg_nn_mse_loss(tg_runtime *rt, tg_reduction reduction);

#ifdef __cplusplus
}
#endif
#endif
