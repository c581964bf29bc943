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
/* dim becomes dims of these sizes, one of which may be −1. */
TG_API tg_module *tg_nn_unflatten(tg_runtime *rt, int64_t dim, const int64_t *sizes, size_t n);

/* -- resampling: [N, C, *], the same in both modes ------------------------------------------------------ */

/* To ⌊size·scale_factor⌋ by mode: nearest (torch's default), nearest-exact, linear ([N, C, L]), bilinear, bicubic ([N, C, H,
 * W]), trilinear ([N, C, D, H, W]), area. By name: size instead of the factor, lists for each dim, align_corners,
 * recompute_scale_factor; and UpsamplingNearest2d, UpsamplingBilinear2d (with align_corners). See tg_interpolate. */
TG_API tg_module *tg_nn_upsample(tg_runtime *rt, double scale_factor, const char *mode);

/* -- what moves elements ---------------------------------------------------------------------------------- */

/* [*, C·r², H, W] → [*, C, H·r, W·r]; and back. */
TG_API tg_module *tg_nn_pixel_shuffle(tg_runtime *rt, int64_t upscale_factor);
TG_API tg_module *tg_nn_pixel_unshuffle(tg_runtime *rt, int64_t downscale_factor);
/* Channel i of group g of [N, C, *] becomes channel i·groups + g. TG_ESHAPE unless groups divides C. */
TG_API tg_module *tg_nn_channel_shuffle(tg_runtime *rt, int64_t groups);
/* The windows of [N, C, H, W] or [C, H, W] as columns [N, C·kernel², L]; and columns summed into planes of output_size.
 * torch: dilation 1, padding 0, stride 1. By name a number for each dim. See tg_im2col, tg_col2im. */
TG_API tg_module *tg_nn_unfold(tg_runtime *rt, int64_t kernel_size, int64_t dilation, int64_t padding, int64_t stride);
TG_API tg_module *tg_nn_fold(tg_runtime *rt, const int64_t output_size[2], int64_t kernel_size, int64_t dilation,
                             int64_t padding, int64_t stride);

#ifdef __cplusplus
}
#endif
#endif
