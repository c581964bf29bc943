/* Linear, and what maps vectors or indices to vectors. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_LINEAR_H
#define TAPEGRAD_LAYERS_LINEAR_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- Linear ------------------------------------------------------------------------------------------ */

typedef struct tg_linear_options {
    size_t struct_size;
    int64_t in_features, out_features;
    bool bias; /* true */
} tg_linear_options;
TG_API tg_linear_options tg_linear_defaults(int64_t in_features, int64_t out_features);
/* y = x·Wᵀ + b: [*, in] → [*, out]. weight [out, in], bias [out], both from U(−1/√in, 1/√in). */
TG_API tg_module *tg_nn_linear(tg_runtime *rt, int64_t in_features, int64_t out_features);
TG_API tg_module *tg_nn_linear_with(tg_runtime *rt, const tg_linear_options *options);

#ifdef __cplusplus
}
#endif
#endif
