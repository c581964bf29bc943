/* Convolutions and their transposes. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_CONV_H
#define TAPEGRAD_LAYERS_CONV_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

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
/* tg_conv_transpose1d, 2d, 3d. Called with (input, output_size), the second one optional: of the sizes that stride leaves
 * open the one wanted, in place of output_padding. It is i64, a number for each dim of the kernel or of the input; or an f32
 * or f64 tensor that is of this size, whose elements do not matter: torch's output_size=x.size(). TG_EINVAL for one that
 * cannot be.
 *     tg_forward_n(tape, up, (tg_tensor *[]){y, x}, 2, &back, 1);
 * weight [in, out/groups, *kernel_size] and bias [out], both from U(−b, b), b =
 * 1/√(out/groups·the kernel's elements). */
TG_API tg_module *tg_nn_conv_transpose1d(tg_runtime *rt, int64_t in_channels, int64_t out_channels, int64_t kernel_size);
TG_API tg_module *tg_nn_conv_transpose2d(tg_runtime *rt, int64_t in_channels, int64_t out_channels, int64_t kernel_size);
TG_API tg_module *tg_nn_conv_transpose3d(tg_runtime *rt, int64_t in_channels, int64_t out_channels, int64_t kernel_size);
TG_API tg_module *tg_nn_conv_transpose1d_with(tg_runtime *rt, const tg_conv_options *options);
TG_API tg_module *tg_nn_conv_transpose2d_with(tg_runtime *rt, const tg_conv_options *options);
TG_API tg_module *tg_nn_conv_transpose3d_with(tg_runtime *rt, const tg_conv_options *options);

#ifdef __cplusplus
}
#endif
#endif
