/* Padding. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_PAD_H
#define TAPEGRAD_LAYERS_PAD_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif
#endif
