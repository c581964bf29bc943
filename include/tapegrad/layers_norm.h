/* Normalisation. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_NORM_H
#define TAPEGRAD_LAYERS_NORM_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif
#endif
