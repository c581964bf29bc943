/* torch.nn's layers in C.
 *
 * Each constructor returns a module that is yours until a parent takes it over, or NULL on error, with the
 * sentence in tg_error_message(): TG_EINVAL for an argument out of its range, TG_ENOMEM; then nothing has
 * changed, the generator included. A short form takes the arguments that torch.nn requires, `_with` an
 * options struct that the matching …_defaults() has filled; tg_module_create takes every argument by torch's
 * name:
 *     tg_module_create(rt, "GELU", (tg_attr[]){{"approximate", TG_ATTR_CHOICE, {.s = "tanh"}}}, 1)
 *
 * Parameters take the runtime's dtype (tg_runtime_set_dtype). All formulae are torch.nn's; what the two modes
 * do stands in docs/modes.md. */
#ifndef TAPEGRAD_LAYERS_H
#define TAPEGRAD_LAYERS_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- Sequential: each child's output is the next one's input ----------------------------------------- */

/* Children are called "0", "1", …; it takes them over. Where one is NULL because its constructor failed, it
 * destroys the others and returns NULL, and the constructor's sentence stands. */
TG_API tg_module *tg_nn_sequential_n(tg_runtime *rt, tg_module *const children[], size_t n);
/* Appends a child with one input and one output and takes it over, also on failure. `name` NULL: its
 * number. */
TG_API tg_status tg_nn_sequential_append(tg_module *sequential, const char *name, tg_module *child);
#ifndef __cplusplus
/* tg_nn_sequential(rt, tg_nn_linear(rt, 10, 20), tg_nn_relu(rt)) */
#define tg_nn_sequential(rt, ...)                                                                            \
    tg_nn_sequential_n(rt, (tg_module *const[]){__VA_ARGS__},                                                \
                       sizeof((tg_module *const[]){__VA_ARGS__}) / sizeof(tg_module *))
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

/* -- convolution ------------------------------------------------------------------------------------- */

/* For `padding`: no padding; as much as keeps the size, one more behind where it is odd (stride 1 only). */
#define TG_PADDING_VALID TG_INTS_WORD(0)
#define TG_PADDING_SAME TG_INTS_WORD(1)
#define TG_PADDING_WORDS "valid|same"
typedef struct tg_conv_options {
    size_t struct_size;
    int64_t in_channels, out_channels; /* multiples of groups                                            */
    tg_ints kernel_size;               /* each list: one entry for all dims, or one for each             */
    tg_ints stride;                    /* 1                                                              */
    tg_ints padding;                   /* 0; not transposed: also {1, {TG_PADDING_SAME}}                  */
    tg_ints dilation;                  /* 1                                                              */
    int64_t groups;                    /* 1                                                              */
    bool bias;                         /* true                                                           */
    int64_t padding_mode;              /* zeros (0), reflect, replicate, circular; transposed: zeros only */
    tg_ints output_padding;            /* 0; transposed only                                             */
} tg_conv_options;
TG_API tg_conv_options tg_conv_defaults(int64_t in_channels, int64_t out_channels, int64_t kernel_size);
/* tg_conv1d, 2d, 3d of [N, in_channels, *] or [in_channels, *]. weight [out, in/groups, *kernel_size] and bias [out], both
 * from U(−b, b), b = 1/√(in/groups·the kernel's elements). */
TG_API tg_module *tg_nn_conv1d(tg_runtime *rt, int64_t in_channels, int64_t out_channels, int64_t kernel_size);
TG_API tg_module *tg_nn_conv2d(tg_runtime *rt, int64_t in_channels, int64_t out_channels, int64_t kernel_size);
TG_API tg_module *tg_nn_conv3d(tg_runtime *rt, int64_t in_channels, int64_t out_channels, int64_t kernel_size);
TG_API tg_module *tg_nn_conv1d_with(tg_runtime *rt, const tg_conv_options *options);
TG_API tg_module *tg_nn_conv2d_with(tg_runtime *rt, const tg_conv_options *options);
TG_API tg_module *tg_nn_conv3d_with(tg_runtime *rt, const tg_conv_options *options);
/* tg_conv_transpose1d, 2d, 3d. weight [in, out/groups, *kernel_size] and bias [out], both from U(−b, b), b =
 * 1/√(out/groups·the kernel's elements). */
TG_API tg_module *tg_nn_conv_transpose1d(tg_runtime *rt, int64_t in_channels, int64_t out_channels, int64_t kernel_size);
TG_API tg_module *tg_nn_conv_transpose2d(tg_runtime *rt, int64_t in_channels, int64_t out_channels, int64_t kernel_size);
TG_API tg_module *tg_nn_conv_transpose3d(tg_runtime *rt, int64_t in_channels, int64_t out_channels, int64_t kernel_size);
TG_API tg_module *tg_nn_conv_transpose1d_with(tg_runtime *rt, const tg_conv_options *options);
TG_API tg_module *tg_nn_conv_transpose2d_with(tg_runtime *rt, const tg_conv_options *options);
TG_API tg_module *tg_nn_conv_transpose3d_with(tg_runtime *rt, const tg_conv_options *options);

/* -- normalisation ----------------------------------------------------------------------------------- */

typedef struct tg_batch_norm_options {
    size_t struct_size;
    int64_t num_features;     /* C, at least 1                                                          */
    double eps;               /* 1e-5; positive                                                         */
    double momentum;          /* 0.1; in [0, 1]; TG_NONE_REAL is None, the plain average over batches    */
    bool affine;              /* true: parameters weight (ones) and, with `bias`, bias (zeros), both [C] */
    bool track_running_stats; /* true: buffers running_mean (zeros), running_var (ones), both [C], and
                                 num_batches_tracked (i64 scalar); false: batch statistics in both modes */
    bool bias;                /* true                                                                   */
} tg_batch_norm_options;
TG_API tg_batch_norm_options tg_batch_norm_defaults(int64_t num_features);
/* y = (x − μ)/√(v + eps)·weight + bias per channel. Train mode: the batch's μ and biased v; afterwards
 * running_mean ← (1 − m)·running_mean + m·μ, running_var ← (1 − m)·running_var + m·v·n/(n − 1),
 * num_batches_tracked += 1, with n values per channel, m the momentum; all committed when the outermost
 * tg_forward has succeeded. Eval mode, or statistics frozen: the running ones, which do not change. One value
 * per channel with batch statistics is TG_ESHAPE (tg_loader's TG_LAST_MERGE avoids it); an empty batch gives
 * an empty result and changes nothing. */
TG_API tg_module *tg_nn_batch_norm1d(tg_runtime *rt, int64_t num_features); /* [N, C] or [N, C, L] */
TG_API tg_module *tg_nn_batch_norm2d(tg_runtime *rt, int64_t num_features); /* [N, C, H, W]        */
TG_API tg_module *tg_nn_batch_norm3d(tg_runtime *rt, int64_t num_features); /* [N, C, D, H, W]     */
TG_API tg_module *tg_nn_batch_norm1d_with(tg_runtime *rt, const tg_batch_norm_options *options);
TG_API tg_module *tg_nn_batch_norm2d_with(tg_runtime *rt, const tg_batch_norm_options *options);
TG_API tg_module *tg_nn_batch_norm3d_with(tg_runtime *rt, const tg_batch_norm_options *options);

typedef struct tg_layer_norm_options {
    size_t struct_size;
    tg_ints normalized_shape; /* 1 to TG_MAX_DIM sizes, each at least 1                                   */
    double eps;               /* 1e-5; positive                                                           */
    bool elementwise_affine;  /* true: weight (ones) and, with `bias`, bias (zeros), of normalized_shape   */
    bool bias;                /* true                                                                     */
} tg_layer_norm_options;
TG_API tg_layer_norm_options tg_layer_norm_defaults(const int64_t *normalized_shape, size_t ndim);
/* y = (x − μ)/√(v + eps)·weight + bias with the mean and the biased variance of each example over the last
 * dims, which must equal normalized_shape. The same in both modes. */
TG_API tg_module *tg_nn_layer_norm(tg_runtime *rt, const int64_t *normalized_shape, size_t ndim);
TG_API tg_module *tg_nn_layer_norm_with(tg_runtime *rt, const tg_layer_norm_options *options);

/* y = (x − μ)/√(v + eps)·weight + bias with the statistics of each example's num_groups groups of channels of [N, C, *], C =
 * num_channels, a multiple; weight (ones) and bias (zeros) [C]. The same in both modes. By name: eps 1e-5, affine, bias. */
TG_API tg_module *tg_nn_group_norm(tg_runtime *rt, int64_t num_groups, int64_t num_channels);
/* The same of each example's channels by themselves, more than one value each: [N, C, *] or [C, *] with one to three dims *.
 * `affine`: weight and bias [C], else any C does. `track_running_stats`: in train mode running_mean and running_var take the
 * mean over the examples of each one's statistics, as BatchNorm's (num_batches_tracked stays, as in torch), and eval mode, or
 * frozen statistics, use them; else both modes do the same. torch: both false. By name: eps, momentum, bias. */
TG_API tg_module *tg_nn_instance_norm1d(tg_runtime *rt, int64_t num_features, bool affine, bool track_running_stats);
TG_API tg_module *tg_nn_instance_norm2d(tg_runtime *rt, int64_t num_features, bool affine, bool track_running_stats);
TG_API tg_module *tg_nn_instance_norm3d(tg_runtime *rt, int64_t num_features, bool affine, bool track_running_stats);
/* x/√(mean(x²) + eps)·weight over the last dims, which must equal normalized_shape. By name: eps (None: the dtype's, 1.19e-7
 * or 2.2e-16), elementwise_affine. */
TG_API tg_module *tg_nn_rms_norm(tg_runtime *rt, const int64_t *normalized_shape, size_t ndim);
/* x/(k + alpha·m)^beta, m the mean of x² over `size` neighbouring channels of [N, C, *]. By name: alpha 1e-4, beta 0.75,
 * k 1. */
TG_API tg_module *tg_nn_local_response_norm(tg_runtime *rt, int64_t size);

/* -- pooling: of the last one to three dims of [N, C, *] or [C, *], the same in both modes ------------ */

/* A kernel_size for all dims, stride the same, no padding; the rest by torch's names (stride, padding, dilation, ceil_mode,
 * return_indices, count_include_pad, divisor_override), lists of one number or one a dim, or through `_with`. TG_EINVAL
 * for a padding above half a window. With return_indices a module has a second output, the i64 places (tg_forward_n). */
TG_API tg_module *tg_nn_max_pool1d(tg_runtime *rt, int64_t kernel_size);
TG_API tg_module *tg_nn_max_pool2d(tg_runtime *rt, int64_t kernel_size);
TG_API tg_module *tg_nn_max_pool3d(tg_runtime *rt, int64_t kernel_size);
TG_API tg_module *tg_nn_max_pool_with(tg_runtime *rt, size_t n, const tg_pool_options *options, bool return_indices);
TG_API tg_module *tg_nn_avg_pool1d(tg_runtime *rt, int64_t kernel_size);
TG_API tg_module *tg_nn_avg_pool2d(tg_runtime *rt, int64_t kernel_size);
TG_API tg_module *tg_nn_avg_pool3d(tg_runtime *rt, int64_t kernel_size);
TG_API tg_module *tg_nn_avg_pool_with(tg_runtime *rt, size_t n, const tg_pool_options *options);
/* (Σ x^norm_type)^(1/norm_type) of each window. */
TG_API tg_module *tg_nn_lp_pool1d(tg_runtime *rt, double norm_type, int64_t kernel_size);
TG_API tg_module *tg_nn_lp_pool2d(tg_runtime *rt, double norm_type, int64_t kernel_size);
TG_API tg_module *tg_nn_lp_pool3d(tg_runtime *rt, double norm_type, int64_t kernel_size);
/* Called with (input, indices): zeros with the input at indices; where another size than the least is wanted,
 * tg_max_unpool. */
TG_API tg_module *tg_nn_max_unpool1d(tg_runtime *rt, int64_t kernel_size);
TG_API tg_module *tg_nn_max_unpool2d(tg_runtime *rt, int64_t kernel_size);
TG_API tg_module *tg_nn_max_unpool3d(tg_runtime *rt, int64_t kernel_size);
/* To this size whatever the input's is; TG_NONE_INT keeps it. By name: return_indices. */
TG_API tg_module *tg_nn_adaptive_max_pool1d(tg_runtime *rt, int64_t length);
TG_API tg_module *tg_nn_adaptive_max_pool2d(tg_runtime *rt, int64_t height, int64_t width);
TG_API tg_module *tg_nn_adaptive_max_pool3d(tg_runtime *rt, int64_t depth, int64_t height, int64_t width);
TG_API tg_module *tg_nn_adaptive_avg_pool1d(tg_runtime *rt, int64_t length);
TG_API tg_module *tg_nn_adaptive_avg_pool2d(tg_runtime *rt, int64_t height, int64_t width);
TG_API tg_module *tg_nn_adaptive_avg_pool3d(tg_runtime *rt, int64_t depth, int64_t height, int64_t width);

/* -- Dropout ----------------------------------------------------------------------------------------- */

/* p: the probability of dropping, in [0, 1] (TG_EINVAL otherwise, NaN too). Train mode: x/(1 − p) with
 * probability 1 − p, else 0, also for an inf or NaN that is dropped; eval mode, or p = 0: x itself. torch's
 * argument inplace is accepted by name and without effect, here and for the activations: nothing works in
 * place. */
TG_API tg_module *tg_nn_dropout(tg_runtime *rt, double p);

/* -- shapes ------------------------------------------------------------------------------------------ */

/* y = x, the very tensor. */
TG_API tg_module *tg_nn_identity(tg_runtime *rt);
/* Merges the dims 1 … −1 into one; by name: start_dim, end_dim. */
TG_API tg_module *tg_nn_flatten(tg_runtime *rt);

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
/* clang-format on */

/* Along `dim`, which then sums to 1; TG_NONE_INT is torch's None: dim 0 of 0, 1 and 3 dims, else dim 1. */
TG_API tg_module *tg_nn_softmax(tg_runtime *rt, int64_t dim);
TG_API tg_module *tg_nn_log_softmax(tg_runtime *rt, int64_t dim);

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

#ifndef TG_NO_LOCATION
#define tg_nn_sequential_n(...) TG_AT(tg_nn_sequential_n(__VA_ARGS__))
#define tg_nn_sequential_append(...) TG_AT(tg_nn_sequential_append(__VA_ARGS__))
#define tg_nn_linear(...) TG_AT(tg_nn_linear(__VA_ARGS__))
#define tg_nn_linear_with(...) TG_AT(tg_nn_linear_with(__VA_ARGS__))
#define tg_nn_conv1d(...) TG_AT(tg_nn_conv1d(__VA_ARGS__))
#define tg_nn_conv1d_with(...) TG_AT(tg_nn_conv1d_with(__VA_ARGS__))
#define tg_nn_conv2d(...) TG_AT(tg_nn_conv2d(__VA_ARGS__))
#define tg_nn_conv2d_with(...) TG_AT(tg_nn_conv2d_with(__VA_ARGS__))
#define tg_nn_conv3d(...) TG_AT(tg_nn_conv3d(__VA_ARGS__))
#define tg_nn_conv3d_with(...) TG_AT(tg_nn_conv3d_with(__VA_ARGS__))
#define tg_nn_conv_transpose1d(...) TG_AT(tg_nn_conv_transpose1d(__VA_ARGS__))
#define tg_nn_conv_transpose1d_with(...) TG_AT(tg_nn_conv_transpose1d_with(__VA_ARGS__))
#define tg_nn_conv_transpose2d(...) TG_AT(tg_nn_conv_transpose2d(__VA_ARGS__))
#define tg_nn_conv_transpose2d_with(...) TG_AT(tg_nn_conv_transpose2d_with(__VA_ARGS__))
#define tg_nn_conv_transpose3d(...) TG_AT(tg_nn_conv_transpose3d(__VA_ARGS__))
#define tg_nn_conv_transpose3d_with(...) TG_AT(tg_nn_conv_transpose3d_with(__VA_ARGS__))
#define tg_nn_batch_norm1d(...) TG_AT(tg_nn_batch_norm1d(__VA_ARGS__))
#define tg_nn_batch_norm2d(...) TG_AT(tg_nn_batch_norm2d(__VA_ARGS__))
#define tg_nn_batch_norm3d(...) TG_AT(tg_nn_batch_norm3d(__VA_ARGS__))
#define tg_nn_batch_norm1d_with(...) TG_AT(tg_nn_batch_norm1d_with(__VA_ARGS__))
#define tg_nn_batch_norm2d_with(...) TG_AT(tg_nn_batch_norm2d_with(__VA_ARGS__))
#define tg_nn_batch_norm3d_with(...) TG_AT(tg_nn_batch_norm3d_with(__VA_ARGS__))
#define tg_nn_layer_norm(...) TG_AT(tg_nn_layer_norm(__VA_ARGS__))
#define tg_nn_layer_norm_with(...) TG_AT(tg_nn_layer_norm_with(__VA_ARGS__))
#define tg_nn_group_norm(...) TG_AT(tg_nn_group_norm(__VA_ARGS__))
#define tg_nn_instance_norm1d(...) TG_AT(tg_nn_instance_norm1d(__VA_ARGS__))
#define tg_nn_instance_norm2d(...) TG_AT(tg_nn_instance_norm2d(__VA_ARGS__))
#define tg_nn_instance_norm3d(...) TG_AT(tg_nn_instance_norm3d(__VA_ARGS__))
#define tg_nn_rms_norm(...) TG_AT(tg_nn_rms_norm(__VA_ARGS__))
#define tg_nn_local_response_norm(...) TG_AT(tg_nn_local_response_norm(__VA_ARGS__))
#define tg_nn_max_pool1d(...) TG_AT(tg_nn_max_pool1d(__VA_ARGS__))
#define tg_nn_max_pool2d(...) TG_AT(tg_nn_max_pool2d(__VA_ARGS__))
#define tg_nn_max_pool3d(...) TG_AT(tg_nn_max_pool3d(__VA_ARGS__))
#define tg_nn_max_pool_with(...) TG_AT(tg_nn_max_pool_with(__VA_ARGS__))
#define tg_nn_avg_pool1d(...) TG_AT(tg_nn_avg_pool1d(__VA_ARGS__))
#define tg_nn_avg_pool2d(...) TG_AT(tg_nn_avg_pool2d(__VA_ARGS__))
#define tg_nn_avg_pool3d(...) TG_AT(tg_nn_avg_pool3d(__VA_ARGS__))
#define tg_nn_avg_pool_with(...) TG_AT(tg_nn_avg_pool_with(__VA_ARGS__))
#define tg_nn_lp_pool1d(...) TG_AT(tg_nn_lp_pool1d(__VA_ARGS__))
#define tg_nn_lp_pool2d(...) TG_AT(tg_nn_lp_pool2d(__VA_ARGS__))
#define tg_nn_lp_pool3d(...) TG_AT(tg_nn_lp_pool3d(__VA_ARGS__))
#define tg_nn_max_unpool1d(...) TG_AT(tg_nn_max_unpool1d(__VA_ARGS__))
#define tg_nn_max_unpool2d(...) TG_AT(tg_nn_max_unpool2d(__VA_ARGS__))
#define tg_nn_max_unpool3d(...) TG_AT(tg_nn_max_unpool3d(__VA_ARGS__))
#define tg_nn_adaptive_max_pool1d(...) TG_AT(tg_nn_adaptive_max_pool1d(__VA_ARGS__))
#define tg_nn_adaptive_max_pool2d(...) TG_AT(tg_nn_adaptive_max_pool2d(__VA_ARGS__))
#define tg_nn_adaptive_max_pool3d(...) TG_AT(tg_nn_adaptive_max_pool3d(__VA_ARGS__))
#define tg_nn_adaptive_avg_pool1d(...) TG_AT(tg_nn_adaptive_avg_pool1d(__VA_ARGS__))
#define tg_nn_adaptive_avg_pool2d(...) TG_AT(tg_nn_adaptive_avg_pool2d(__VA_ARGS__))
#define tg_nn_adaptive_avg_pool3d(...) TG_AT(tg_nn_adaptive_avg_pool3d(__VA_ARGS__))
#define tg_nn_dropout(...) TG_AT(tg_nn_dropout(__VA_ARGS__))
#define tg_nn_identity(...) TG_AT(tg_nn_identity(__VA_ARGS__))
#define tg_nn_flatten(...) TG_AT(tg_nn_flatten(__VA_ARGS__))
#define tg_nn_relu(...) TG_AT(tg_nn_relu(__VA_ARGS__))
#define tg_nn_leaky_relu(...) TG_AT(tg_nn_leaky_relu(__VA_ARGS__))
#define tg_nn_elu(...) TG_AT(tg_nn_elu(__VA_ARGS__))
#define tg_nn_selu(...) TG_AT(tg_nn_selu(__VA_ARGS__))
#define tg_nn_celu(...) TG_AT(tg_nn_celu(__VA_ARGS__))
#define tg_nn_gelu(...) TG_AT(tg_nn_gelu(__VA_ARGS__))
#define tg_nn_silu(...) TG_AT(tg_nn_silu(__VA_ARGS__))
#define tg_nn_mish(...) TG_AT(tg_nn_mish(__VA_ARGS__))
#define tg_nn_sigmoid(...) TG_AT(tg_nn_sigmoid(__VA_ARGS__))
#define tg_nn_log_sigmoid(...) TG_AT(tg_nn_log_sigmoid(__VA_ARGS__))
#define tg_nn_tanh(...) TG_AT(tg_nn_tanh(__VA_ARGS__))
#define tg_nn_softplus(...) TG_AT(tg_nn_softplus(__VA_ARGS__))
#define tg_nn_softsign(...) TG_AT(tg_nn_softsign(__VA_ARGS__))
#define tg_nn_hardtanh(...) TG_AT(tg_nn_hardtanh(__VA_ARGS__))
#define tg_nn_relu6(...) TG_AT(tg_nn_relu6(__VA_ARGS__))
#define tg_nn_softmax(...) TG_AT(tg_nn_softmax(__VA_ARGS__))
#define tg_nn_log_softmax(...) TG_AT(tg_nn_log_softmax(__VA_ARGS__))
#define tg_nn_cross_entropy_loss(...) TG_AT(tg_nn_cross_entropy_loss(__VA_ARGS__))
#define tg_nn_cross_entropy_loss_with(...) TG_AT(tg_nn_cross_entropy_loss_with(__VA_ARGS__))
#define tg_nn_nll_loss(...) TG_AT(tg_nn_nll_loss(__VA_ARGS__))
#define tg_nn_nll_loss_with(...) TG_AT(tg_nn_nll_loss_with(__VA_ARGS__))
#define tg_nn_mse_loss(...) TG_AT(tg_nn_mse_loss(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
