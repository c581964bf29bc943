/* Activations. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_ACTIVATION_H
#define TAPEGRAD_LAYERS_ACTIVATION_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- activations: elementwise, of any shape, the same in both modes ---------------------------------- */

/* clang-format off */
TG_API tg_module *tg_nn_relu(tg_runtime *rt);                      /* max(x, 0)                             */
TG_API tg_module *tg_nn_leaky_relu(tg_runtime *rt, double slope);  /* x > 0 ? x : slope·x; torch: 0.01      */
TG_API tg_module *tg_nn_elu(tg_runtime *rt, double alpha);         /* x > 0 ? x : α(eˣ − 1); torch: 1       */
TG_API tg_module *tg_nn_selu(tg_runtime *rt);                      /* 1.0507…·ELU of α = 1.6733…            */
TG_API tg_module *tg_nn_celu(tg_runtime *rt, double alpha);        /* x > 0 ? x : α(exp(x/α) − 1); α ≠ 0    */
TG_API tg_module *tg_nn_gelu(tg_runtime *rt);                      /* x·Φ(x); by name: approximate          */
TG_API tg_module *tg_nn_silu(tg_runtime *rt);                      /* x·σ(x)                                */
TG_API tg_module *tg_nn_mish(tg_runtime *rt);                      /* x·tanh(log(1 + eˣ))                   */
TG_API tg_module *tg_nn_sigmoid(tg_runtime *rt);                   /* 1/(1 + e⁻ˣ)                           */
TG_API tg_module *tg_nn_log_sigmoid(tg_runtime *rt);               /* log σ(x)                              */
TG_API tg_module *tg_nn_tanh(tg_runtime *rt);                      /* tanh x                                */
TG_API tg_module *tg_nn_softplus(tg_runtime *rt);                  /* log(1 + eˣ); by name: beta, threshold */
TG_API tg_module *tg_nn_softsign(tg_runtime *rt);                  /* x/(1 + |x|)                           */
TG_API tg_module *tg_nn_hardtanh(tg_runtime *rt);                  /* in [−1, 1]; by name: min_val, max_val */
TG_API tg_module *tg_nn_relu6(tg_runtime *rt);                     /* in [0, 6]                             */
TG_API tg_module *tg_nn_hardswish(tg_runtime *rt);                 /* x·min(max(x + 3, 0), 6)/6             */
TG_API tg_module *tg_nn_hardsigmoid(tg_runtime *rt);               /* min(max(x + 3, 0), 6)/6               */
TG_API tg_module *tg_nn_hardshrink(tg_runtime *rt, double lambd);  /* |x| > lambd ? x : 0; torch: 0.5       */
TG_API tg_module *tg_nn_softshrink(tg_runtime *rt, double lambd);  /* |x| > lambd ? x − sign(x)·lambd : 0; lambd ≥ 0 */
TG_API tg_module *tg_nn_tanhshrink(tg_runtime *rt);                /* x − tanh x                            */
TG_API tg_module *tg_nn_threshold(tg_runtime *rt, double threshold, double value); /* x > threshold ? x : value */
TG_API tg_module *tg_nn_glu(tg_runtime *rt, int64_t dim);          /* a·σ(b), x's halves along dim; torch: −1 */
/* clang-format on */

/* x > 0 ? x : w·x. weight [num_parameters], 0.25 (by name: init): one for all, or one for each channel, which is dim 1. */
TG_API tg_module *tg_nn_prelu(tg_runtime *rt, int64_t num_parameters);
/* x > 0 ? x : s·x: in train mode s is drawn from [lower, upper) for each element, in eval mode it is their mean. torch: 1/8,
 * 1/3. TG_EINVAL unless lower ≤ upper. */
TG_API tg_module *tg_nn_rrelu(tg_runtime *rt, double lower, double upper);

/* Along `dim`, which then sums to 1; TG_NONE_INT is torch's None: dim 0 of 0, 1 and 3 dims, else dim 1. */
TG_API tg_module *tg_nn_softmax(tg_runtime *rt, int64_t dim);
TG_API tg_module *tg_nn_log_softmax(tg_runtime *rt, int64_t dim);
TG_API tg_module *tg_nn_softmin(tg_runtime *rt, int64_t dim); /* softmax(−x) */
/* Over the channels of [N, C, H, W] or [C, H, W]. */
TG_API tg_module *tg_nn_softmax2d(tg_runtime *rt);

#ifdef __cplusplus
}
#endif
#endif
