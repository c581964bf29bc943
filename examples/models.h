/* The models of the examples and of `tapegrad bench`: written as a user would write them, from layers and, where a
 * Sequential is not enough, from two layer classes of their own. */
#ifndef TAPEGRAD_EXAMPLE_MODELS_H
#define TAPEGRAD_EXAMPLE_MODELS_H

#include <tapegrad/tapegrad.h>

/* All return a module of the caller's, or NULL with the reason in tg_error_message(). Inputs are f32 images [N, C, H, W],
 * results scores [N, classes]. */

/* 784 → 512 → 256 → 10 with batch normalisation and dropout between, for rows of 784. */
tg_module *model_mlp(tg_runtime *rt);
/* Four 3×3 convolutions on 28×28×1, two poolings, two linear layers. */
tg_module *model_cnn(tg_runtime *rt);
/* He et al. 2016 as it is used for CIFAR: a 3×3 stem, no pooling before the blocks, on [N, channels, *, *]. */
tg_module *model_resnet18(tg_runtime *rt, int64_t channels, int64_t classes);

/* A language model as GPT-2 (Radford et al. 2019), layers before norms, tanh-GELU, no dropout: indices i64 [N, T] with
 * T ≤ length → scores [N, T, vocabulary]. */
typedef struct gpt_options {
    int64_t vocabulary, length, width, blocks, heads;
} gpt_options;
tg_module *model_gpt(tg_runtime *rt, const gpt_options *options);

#endif
