/* torch.nn's layers in C. Each constructor returns a module that is yours until a parent takes it over, or NULL on
 * error (tg_error_message). The short form takes the arguments that torch.nn requires and its defaults for the
 * rest; `_with` takes the options struct. Formulae and modes: docs/modes.md. */
#ifndef TAPEGRAD_LAYERS_H
#define TAPEGRAD_LAYERS_H

#include <tapegrad/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Children are called "0", "1", …; it owns them, and destroys the others when one is NULL (then it returns NULL). */
TG_API tg_module *tg_nn_sequential_n(tg_runtime *rt, tg_module *const children[], size_t n);
/* Appends; takes `child` over. */
TG_API tg_status tg_nn_sequential_append(tg_module *sequential, const char *name, tg_module *child);
#ifndef __cplusplus
#define tg_nn_sequential(rt, ...)                                                                                      \
    tg_nn_sequential_n(rt, (tg_module *const[]){__VA_ARGS__}, sizeof((tg_module *const[]){__VA_ARGS__}) / sizeof(tg_module *))
#endif

typedef struct tg_linear_options {
    size_t struct_size;
    int64_t in_features, out_features;
    bool bias;
} tg_linear_options;
/* y = x·Wᵀ + b. weight [out, in], bias [out], both U(−1/√in, 1/√in). */
TG_API tg_module *tg_nn_linear(tg_runtime *rt, int64_t in_features, int64_t out_features);
TG_API tg_module *tg_nn_linear_with(tg_runtime *rt, const tg_linear_options *options);

typedef struct tg_batch_norm_options {
    size_t struct_size;
    int64_t num_features;
    double eps;      /* 1e-5 */
    double momentum; /* 0.1; TG_NONE_REAL: None, the plain average over batches */
    bool affine, track_running_stats, bias;
} tg_batch_norm_options;
TG_API tg_batch_norm_options tg_batch_norm_defaults(int64_t num_features);
TG_API tg_module *tg_nn_batch_norm1d(tg_runtime *rt, int64_t num_features); /* [N, C] or [N, C, L] */
TG_API tg_module *tg_nn_batch_norm2d(tg_runtime *rt, int64_t num_features); /* [N, C, H, W]        */
TG_API tg_module *tg_nn_batch_norm3d(tg_runtime *rt, int64_t num_features); /* [N, C, D, H, W]     */
TG_API tg_module *tg_nn_batch_norm1d_with(tg_runtime *rt, const tg_batch_norm_options *options);
TG_API tg_module *tg_nn_batch_norm2d_with(tg_runtime *rt, const tg_batch_norm_options *options);
TG_API tg_module *tg_nn_batch_norm3d_with(tg_runtime *rt, const tg_batch_norm_options *options);
/* Over the last dims, which must equal normalized_shape. */
TG_API tg_module *tg_nn_layer_norm(tg_runtime *rt, const int64_t *normalized_shape, size_t ndim);

/* p: the probability of dropping, in [0, 1] (TG_EINVAL otherwise, NaN too). */
TG_API tg_module *tg_nn_dropout(tg_runtime *rt, double p);

TG_API tg_module *tg_nn_identity(tg_runtime *rt);
TG_API tg_module *tg_nn_flatten(tg_runtime *rt); /* dims 1 … −1 */
TG_API tg_module *tg_nn_relu(tg_runtime *rt);
TG_API tg_module *tg_nn_leaky_relu(tg_runtime *rt, double negative_slope);
TG_API tg_module *tg_nn_elu(tg_runtime *rt, double alpha);
TG_API tg_module *tg_nn_selu(tg_runtime *rt);
TG_API tg_module *tg_nn_celu(tg_runtime *rt, double alpha);
TG_API tg_module *tg_nn_gelu(tg_runtime *rt);
TG_API tg_module *tg_nn_silu(tg_runtime *rt);
TG_API tg_module *tg_nn_mish(tg_runtime *rt);
TG_API tg_module *tg_nn_sigmoid(tg_runtime *rt);
TG_API tg_module *tg_nn_log_sigmoid(tg_runtime *rt);
TG_API tg_module *tg_nn_tanh(tg_runtime *rt);
TG_API tg_module *tg_nn_softplus(tg_runtime *rt);
TG_API tg_module *tg_nn_softsign(tg_runtime *rt);
TG_API tg_module *tg_nn_hardtanh(tg_runtime *rt);
TG_API tg_module *tg_nn_relu6(tg_runtime *rt);
TG_API tg_module *tg_nn_softmax(tg_runtime *rt, int64_t dim);
TG_API tg_module *tg_nn_log_softmax(tg_runtime *rt, int64_t dim);

typedef struct tg_cross_entropy_options {
    size_t struct_size;
    tg_tensor *weight;    /* [C] or NULL; copied into the buffer "weight" */
    int64_t ignore_index; /* −100 */
    int64_t reduction;    /* tg_reduction: TG_REDUCE_MEAN */
    double label_smoothing;
} tg_cross_entropy_options;
TG_API tg_cross_entropy_options tg_cross_entropy_defaults(void);
/* Called with (input, target). */
TG_API tg_module *tg_nn_cross_entropy_loss(tg_runtime *rt);
TG_API tg_module *tg_nn_cross_entropy_loss_with(tg_runtime *rt, const tg_cross_entropy_options *options);
TG_API tg_module *tg_nn_nll_loss(tg_runtime *rt);
TG_API tg_module *tg_nn_mse_loss(tg_runtime *rt, tg_reduction reduction);

#ifdef __cplusplus
}
#endif
#endif
