/* Dropout. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_DROPOUT_H
#define TAPEGRAD_LAYERS_DROPOUT_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- Dropout ----------------------------------------------------------------------------------------- */

/* p: the probability of dropping, in [0, 1] (TG_EINVAL otherwise, NaN too). Train mode: x/(1 − p) with
 * probability 1 − p, else 0, also for an inf or NaN that is dropped; eval mode, or p = 0: x itself. torch's
 * argument inplace is accepted by name and without effect, here and for the activations: nothing works in
 * place. */
TG_API tg_module *tg_nn_dropout(tg_runtime *rt, double p);
/* The same for whole channels: of [N, C, L] or [C, L]; of [N, C, *]; of [N, C, D, H, W] or [C, D, H, W]. */
TG_API tg_module *tg_nn_dropout1d(tg_runtime *rt, double p);
TG_API tg_module *tg_nn_dropout2d(tg_runtime *rt, double p);
TG_API tg_module *tg_nn_dropout3d(tg_runtime *rt, double p);
/* For nets of SELUs, whose mean and variance stay: elements, or whole channels of [N, C, *]. See tg_alpha_dropout. */
TG_API tg_module *tg_nn_alpha_dropout(tg_runtime *rt, double p);
TG_API tg_module *tg_nn_feature_alpha_dropout(tg_runtime *rt, double p);

#ifdef __cplusplus
}
#endif
#endif
