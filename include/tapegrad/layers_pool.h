/* Pooling. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_POOL_H
#define TAPEGRAD_LAYERS_POOL_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

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
/* (Σ x^norm_type)^(1/norm_type) of each window: tg_lp_pool. TG_EINVAL for 0 and NaN. */
TG_API tg_module *tg_nn_lp_pool1d(tg_runtime *rt, double norm_type, int64_t kernel_size);
TG_API tg_module *tg_nn_lp_pool2d(tg_runtime *rt, double norm_type, int64_t kernel_size);
TG_API tg_module *tg_nn_lp_pool3d(tg_runtime *rt, double norm_type, int64_t kernel_size);
/* Called with (input, indices, output_size), the last one optional: zeros with the input at indices. output_size is as
 * ConvTranspose's, less than stride away from (size − 1)·stride + kernel_size − 2·padding. */
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
/* The largest of windows that lie at random, to this size. In train mode their places are drawn, one draw a call; in eval mode
 * they are the same for each call (torch draws there, too). By name: lists, output_ratio instead of output_size,
 * return_indices, _random_samples (a buffer: where they lie in both modes). See tg_fractional_max_pool. */
TG_API tg_module *tg_nn_fractional_max_pool2d(tg_runtime *rt, int64_t kernel_size, int64_t height, int64_t width);
TG_API tg_module *tg_nn_fractional_max_pool3d(tg_runtime *rt, int64_t kernel_size, int64_t depth, int64_t height,
                                              int64_t width);

#ifdef __cplusplus
}
#endif
#endif
