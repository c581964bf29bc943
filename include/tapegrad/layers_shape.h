/* What changes shapes alone, or resamples. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_SHAPE_H
#define TAPEGRAD_LAYERS_SHAPE_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- shapes ------------------------------------------------------------------------------------------ */

/* y = x, the very tensor. */
TG_API tg_module *tg_nn_identity(tg_runtime *rt);
/* Merges the dims 1 … −1 into one; by name: start_dim, end_dim. */
TG_API tg_module *tg_nn_flatten(tg_runtime *rt);

#ifdef __cplusplus
}
#endif
#endif
