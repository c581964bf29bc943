/* Operators of torch.nn.functional: softmax, normalisation, random, resampling. What holds for all is in ops.h, which includes this. */
#ifndef TAPEGRAD_OPS_NN_H
#define TAPEGRAD_OPS_NN_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- softmax -------------------------------------------------------------------------------------------------------------- */
/* exp(x)/Σexp(x) along dim (negative: from the end; a scalar has dim 0), shifted by the maximum. gx = y·(gy −
 * Σgy·y). A row of −∞ gives NaN, as in torch.softmax. TG_EINVAL for a dim that x has not, TG_EDTYPE unless f32 or f64. */
TG_API tg_tensor *tg_softmax(tg_tape *tape, tg_tensor *x, int64_t dim);
/* x − log Σexp(x) along dim. gx = gy − exp(y)·Σgy. torch.log_softmax; errors as tg_softmax. */
TG_API tg_tensor *tg_log_softmax(tg_tape *tape, tg_tensor *x, int64_t dim);
/* log Σexp(x) over the listed dims, none listed: over all. gx = gy·exp(x − y). −∞ for a row of −∞ (its gradient is
 * NaN) and for no elements, as torch.logsumexp. TG_EINVAL also for a dim listed twice. */
TG_API tg_tensor *tg_logsumexp_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);

/* -- distances, f32 or f64; the two broadcast ------------------------------------------------------------------------------ */
/* Σa·b/(max(|a|, eps)·max(|b|, eps)) along dim; a raised norm keeps its derivative. torch.nn.functional.cosine_similarity. */
TG_API tg_tensor *tg_cosine_similarity(tg_tape *tape, tg_tensor *a, tg_tensor *b, int64_t dim, double eps);
/* The norm of a − b + eps over the last dim. torch.nn.functional.pairwise_distance: p 2, eps 1e-6. */
TG_API tg_tensor *tg_pairwise_distance(tg_tape *tape, tg_tensor *a, tg_tensor *b, double p, double eps, bool keepdim);
/* x/max(norm, eps) along dim. torch.nn.functional.normalize: p 2, dim 1, eps 1e-12. */
TG_API tg_tensor *tg_normalize(tg_tape *tape, tg_tensor *x, double p, int64_t dim, double eps);

/* -- normalisation ------------------------------------------------------------------------------------------------------- */
/* Train: y = (x − μ)·invstd·weight + bias with the batch's statistics, over every dim of x [N, C] or [N, C, *] but 1; v
 * biased, invstd = 1/√(v + eps); never folded to αx + β′. weight and bias [C], or NULL. Where `mean` and `var` are not
 * NULL they are given μ and v [C], which carry no gradient. x̄ = weight·invstd·(g − mean(g) − x̂·mean(g·x̂)), weight: Σg·x̂,
 * bias: Σg. An empty batch gives an empty y. Does not look at how many values a channel has: the layer does.
 * torch.nn.functional.batch_norm, training. TG_ESHAPE, TG_EDTYPE, TG_EINVAL (eps). */
TG_API tg_tensor *tg_batch_norm_train(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias, double eps,
                                      tg_tensor **mean, tg_tensor **var);
/* Eval: the same with running_mean and running_var [C] as constants. The node keeps a copy of them, so that a later
 * change of the buffers changes no gradient. x̄ = g·weight·invstd; weight: Σg·(x − running_mean)·invstd; bias: Σg. */
TG_API tg_tensor *tg_batch_norm_eval(tg_tape *tape, tg_tensor *x, tg_tensor *running_mean, tg_tensor *running_var,
                                     tg_tensor *weight, tg_tensor *bias, double eps);
/* The same over x's last normalized_ndim dims, the statistics each position's own; weight and bias have the shape of
 * those dims, or are NULL. With g = gy·weight: x̄ = rstd·(g − mean(g) − x̂·mean(g·x̂)). torch.nn.functional.layer_norm.
 * TG_ESHAPE, TG_EDTYPE, TG_EINVAL (eps). */
TG_API tg_tensor *tg_layer_norm(tg_tape *tape, tg_tensor *x, size_t normalized_ndim, tg_tensor *weight,
                                tg_tensor *bias, double eps);

/* The same with the statistics of each sample's `groups` groups of channels of x [N, C, *], C a multiple of groups; weight
 * and bias [C], or NULL. torch.nn.functional.group_norm. */
TG_API tg_tensor *tg_group_norm(tg_tape *tape, tg_tensor *x, int64_t groups, tg_tensor *weight, tg_tensor *bias,
                                double eps);
/* Each channel of each sample of x [N, C, *] by itself: group_norm with C groups; TG_ESHAPE for one value a channel, as in
 * torch. With running statistics it is tg_batch_norm_eval. torch.nn.functional.instance_norm, use_input_stats. */
TG_API tg_tensor *tg_instance_norm(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias, double eps);
/* x/√(mean(x²) + eps)·weight over the last normalized_ndim dims, weight of those dims or NULL. With g = gy·weight and r the
 * root's reciprocal: x̄ = r·(g − x·r·mean(g·x·r)). torch.nn.functional.rms_norm, whose eps is by default the dtype's. */
TG_API tg_tensor *tg_rms_norm(tg_tape *tape, tg_tensor *x, size_t normalized_ndim, tg_tensor *weight, double eps);
/* x/(k + alpha·m)^beta, m the mean of x² over `size` channels around each of x [N, C, *], zeros beyond; of an even size one
 * more before than behind. torch.nn.functional.local_response_norm: alpha 1e-4, beta 0.75, k 1. */
TG_API tg_tensor *tg_local_response_norm(tg_tape *tape, tg_tensor *x, int64_t size, double alpha, double beta, double k);

/* -- convolution ------------------------------------------------------------------------------------------------------- */
/* y[n, o, i] = bias[o] + Σ_c Σ_k weight[o, c, k]·x[n, c, i·stride − padding + k·dilation], x being 0 outside (cross-
 * correlation). x [N, C, *] or [C, *], weight [O, C/groups, *kernel], bias [O] or NULL, of one dtype, f32 or f64, with as
 * many spatial dims as the name says; channels of a group see those of the same group only. Each array has an entry for
 * each spatial dim; NULL: stride 1, padding 0, dilation 1. y has ⌊(size + 2·padding − dilation·(kernel − 1) − 1)/stride⌋ + 1
 * along each. Gradients of all orders. torch.nn.functional.conv1d, conv2d, conv3d. TG_ESHAPE, TG_EDTYPE, TG_EINVAL.
 *     tg_tensor *y = tg_conv2d(tape, x, weight, bias, NULL, (int64_t[]){1, 1}, NULL, 1); */
TG_API tg_tensor *tg_conv1d(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias, const int64_t *stride,
                            const int64_t *padding, const int64_t *dilation, int64_t groups);
TG_API tg_tensor *tg_conv2d(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias, const int64_t *stride,
                            const int64_t *padding, const int64_t *dilation, int64_t groups);
TG_API tg_tensor *tg_conv3d(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias, const int64_t *stride,
                            const int64_t *padding, const int64_t *dilation, int64_t groups);
/* The transpose of that as a map of x: x [N, O, *] or [O, *], weight [O, C/groups, *kernel], bias [C] or NULL; y has
 * (size − 1)·stride − 2·padding + dilation·(kernel − 1) + output_padding + 1 along each dim. output_padding (NULL: 0) is
 * below the stride or the dilation. torch.nn.functional.conv_transpose1d, 2d, 3d. */
TG_API tg_tensor *tg_conv_transpose1d(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,
                                      const int64_t *stride, const int64_t *padding, const int64_t *output_padding,
                                      int64_t groups, const int64_t *dilation);
TG_API tg_tensor *tg_conv_transpose2d(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,
                                      const int64_t *stride, const int64_t *padding, const int64_t *output_padding,
                                      int64_t groups, const int64_t *dilation);
TG_API tg_tensor *tg_conv_transpose3d(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,
                                      const int64_t *stride, const int64_t *padding, const int64_t *output_padding,
                                      int64_t groups, const int64_t *dilation);

/* -- padding ----------------------------------------------------------------------------------------------------------- */
typedef enum tg_pad_mode { TG_PAD_CONSTANT, TG_PAD_REFLECT, TG_PAD_REPLICATE, TG_PAD_CIRCULAR } tg_pad_mode;
/* x with more at its ends: pad[0] before and pad[1] after along the last dim, pad[2] and pad[3] along the one before, …, n
 * entries; negative: so many elements less. With `value`; or with x's elements: mirrored at the last one, that one again, or
 * from the other end. torch.nn.functional.pad. Any dtype. TG_ESHAPE where there are too few to mirror or go around;
 * TG_EINVAL. */
TG_API tg_tensor *tg_pad(tg_tape *tape, tg_tensor *x, const int64_t *pad, size_t n, tg_pad_mode mode, double value);

/* -- resampling and patches ---------------------------------------------------------------------------------------------- */
typedef enum tg_resample {
    TG_NEAREST = 0,       /* of the source whose cell begins at or before: OpenCV's                          */
    TG_NEAREST_EXACT = 1, /* of the source whose centre is nearest: PIL's                                     */
    TG_LINEAR = 2,        /* linear, bilinear, trilinear, by the number of dims                               */
    TG_CUBIC = 3,         /* bicubic; two spatial dims                                                        */
    TG_AREA = 4           /* the mean of what an element covers                                               */
} tg_resample;
typedef enum tg_grid_padding { TG_GRID_ZEROS = 0, TG_GRID_BORDER = 1, TG_GRID_REFLECTION = 2 } tg_grid_padding;

/* x [N, C, *] with its one to three spatial dims resampled to `size` (n of them, or one for all); as a linear map of x its
 * gradient is the transposed map. align_corners (linear, cubic): the centres of the corners meet, not the corners;
 * antialias (linear, cubic, two dims): weighted over all that an element covers when it shrinks. Dims are resampled one
 * after the other. torch.nn.functional.interpolate; upsample_bilinear is linear with align_corners. TG_ESHAPE, TG_EDTYPE,
 * TG_EINVAL.
 *     tg_tensor *y = tg_interpolate(tape, x, (int64_t[]){64, 64}, 2, TG_LINEAR, false, false); */
TG_API tg_tensor *tg_interpolate(tg_tape *tape, tg_tensor *x, const int64_t *size, size_t n, tg_resample mode,
                                 bool align_corners, bool antialias);
/* The same to ⌊size·scale⌋; positions then follow `scale` itself, unless recompute, or the area mode, asks for the ratio of
 * the sizes: recompute_scale_factor. */
TG_API tg_tensor *tg_interpolate_scale(tg_tape *tape, tg_tensor *x, const double *scale, size_t n, tg_resample mode,
                                       bool align_corners, bool antialias, bool recompute);
/* y[n, c, o] = x[n, c] at the place grid[n, o], between its elements by mode (nearest, linear, or cubic with two dims). x
 * [N, C, H, W] or [N, C, D, H, W], grid [N, *out, 2 or 3] of x's dtype: (x, y) or (x, y, z), −1 and 1 being the centres of
 * the corners (align_corners) or the corners. What lies outside: zeros, the border, or reflected. Gradients of all orders
 * for x and grid: 0 for a coordinate that the border holds, and with nearest. torch.nn.functional.grid_sample. TG_ESHAPE,
 * TG_EDTYPE, TG_EINVAL. */
TG_API tg_tensor *tg_grid_sample(tg_tape *tape, tg_tensor *x, tg_tensor *grid, tg_resample mode, tg_grid_padding padding,
                                 bool align_corners);
/* Undoes a max pooling of the last n dims (1 to 3) of x [C, *] or [N, C, *]: zeros, with x's values at `indices` (i64, x's
 * dims), row-major places in the output's n dims; of equal places the last one stays. The output's size is (size −
 * 1)·stride + kernel − 2·padding, or output_size, which must be within stride of that; NULL: stride as kernel, padding
 * 0. gx = gy at indices. torch.nn.functional.max_unpool1d, 2d, 3d. TG_EINDEX, TG_ESHAPE, TG_EDTYPE, TG_EINVAL. */
TG_API tg_tensor *tg_max_unpool(tg_tape *tape, tg_tensor *x, tg_tensor *indices, size_t n, const int64_t *kernel,
                                const int64_t *stride, const int64_t *padding, const int64_t *output_size);
/* [*, C·r², H, W] → [*, C, H·r, W·r]; and back. torch.nn.functional.pixel_shuffle, pixel_unshuffle. TG_ESHAPE, TG_EINVAL. */
TG_API tg_tensor *tg_pixel_shuffle(tg_tape *tape, tg_tensor *x, int64_t upscale_factor);
TG_API tg_tensor *tg_pixel_unshuffle(tg_tape *tape, tg_tensor *x, int64_t downscale_factor);
/* Channel i of group g of x [N, C, *] becomes channel i·groups + g. torch.nn.functional.channel_shuffle. TG_ESHAPE, TG_EINVAL. */
TG_API tg_tensor *tg_channel_shuffle(tg_tape *tape, tg_tensor *x, int64_t groups);
/* Windows of x [N, C, H, W] or [C, H, W] as columns: [N, C·kernel[0]·kernel[1], L], zeros where they reach outside; each
 * array has two entries (down, across), NULL: dilation 1, padding 0, stride 1. gx = tg_col2im of gy.
 * torch.nn.functional.unfold. TG_ESHAPE, TG_EDTYPE, TG_EINVAL. */
TG_API tg_tensor *tg_im2col(tg_tape *tape, tg_tensor *x, const int64_t kernel[2], const int64_t *dilation,
                            const int64_t *padding, const int64_t *stride);
/* The transpose: columns [N, C·kernel[0]·kernel[1], L] or [C·…, L] summed into [N, C, size[0], size[1]].
 * torch.nn.functional.fold. */
TG_API tg_tensor *tg_col2im(tg_tape *tape, tg_tensor *x, const int64_t size[2], const int64_t kernel[2],
                            const int64_t *dilation, const int64_t *padding, const int64_t *stride);

/* -- pooling ------------------------------------------------------------------------------------------------------------ */
/* Windows over the last dims, entry k for the k-th of them. What is left 0 is the default. */
typedef struct tg_pool_options {
    int64_t kernel[3], stride[3]; /* stride 0: as kernel                                                        */
    int64_t padding[3];           /* on both sides, at most half a window                                       */
    int64_t dilation[3];          /* max_pool: 0 and 1 are no gap                                               */
    bool ceil_mode;               /* windows may reach over the end, where they begin in x or its left padding  */
    bool exclude_pad;             /* avg_pool: torch's count_include_pad=False: what is outside does not count  */
    int64_t divisor_override;     /* avg_pool: divides each sum instead of the count; 0: none                   */
} tg_pool_options;

/* All pool the last n dims (1 to 3) of x [C, *] or [N, C, *], f32 or f64, none of them empty. TG_ESHAPE (also where no
 * window fits), TG_EDTYPE, TG_EINVAL (numbers out of range, or for another kind of pooling).
 *     tg_tensor *y = tg_max_pool(tape, x, 2, &(tg_pool_options){.kernel = {2, 2}}, NULL); */
/* The largest of each window; NaN is the largest. *indices (unless NULL): their i64 indices, row-major in the n dims, as
 * tg_max_unpool takes them. gx: gy at its place, summed. torch.nn.functional.max_pool1d, 2d, 3d. */
TG_API tg_tensor *tg_max_pool(tg_tape *tape, tg_tensor *x, size_t n, const tg_pool_options *options,
                              tg_tensor **indices);
/* The mean of each window; padding counts as zeros. torch.nn.functional.avg_pool1d, 2d, 3d. */
TG_API tg_tensor *tg_avg_pool(tg_tape *tape, tg_tensor *x, size_t n, const tg_pool_options *options);
/* (Σ x^p)^(1/p) of each window, no padding; a window over the end counts as a whole one of its mean. No gradient where the
 * sum is 0. Of p = ∞ the largest |x|, of −∞ the smallest; TG_EINVAL for 0 and NaN. torch.nn.functional.lp_pool1d, 2d, 3d. */
TG_API tg_tensor *tg_lp_pool(tg_tape *tape, tg_tensor *x, size_t n, double p, const tg_pool_options *options);
/* The same of `size` windows a dim, from ⌊o·from/size⌋ to ⌈(o + 1)·from/size⌉ − 1; TG_NONE_INT keeps a dim's size.
 * torch.nn.functional.adaptive_max_pool1d, adaptive_avg_pool1d, and so on.
 *     tg_tensor *y = tg_adaptive_avg_pool(tape, x, 2, (int64_t[]){1, 1}); */
TG_API tg_tensor *tg_adaptive_max_pool(tg_tape *tape, tg_tensor *x, size_t n, const int64_t *size, tg_tensor **indices);
TG_API tg_tensor *tg_adaptive_avg_pool(tg_tape *tape, tg_tensor *x, size_t n, const int64_t *size);
/* The largest of `size` windows a dim that lie at random: window o begins at ⌊(o + u)·a⌋ − ⌊u·a⌋, a = (in − kernel)/(size −
 * 1), the last one ends with the dim; u in [0, 1) are samples[n, c, …] of [N, C, n], the dims in order, but of two dims the
 * last one first (torch's order); N is 1 without a batch. The rest as tg_max_pool. torch.nn.functional.fractional_max_pool2d,
 * 3d. Graham 2014
 *     tg_tensor *y = tg_fractional_max_pool(tape, x, 2, (int64_t[]){2, 2}, (int64_t[]){9, 9}, samples, NULL); */
TG_API tg_tensor *tg_fractional_max_pool(tg_tape *tape, tg_tensor *x, size_t n, const int64_t *kernel, const int64_t *size,
                                         tg_tensor *samples, tg_tensor **indices);

/* -- recurrent cells ---------------------------------------------------------------------------------------------------- */
/* One step: x [N, in] or [in], h (and c) [N, H] or [H], weight_ih [G·H, in], weight_hh [G·H, H], biases [G·H] or NULL; the
 * gates' order and formulae are torch's, which are RNN's, LSTM's and GRU's in layers_recurrent.h. Return the next h, of h's
 * shape. torch.rnn_tanh_cell (rnn_relu_cell), torch.lstm_cell, torch.gru_cell. TG_ESHAPE, TG_EDTYPE. */
TG_API tg_tensor *tg_rnn_cell(tg_tape *tape, tg_tensor *x, tg_tensor *h, tg_tensor *weight_ih, tg_tensor *weight_hh,
                              tg_tensor *bias_ih, tg_tensor *bias_hh, bool relu);
/* *next_c (unless NULL): the next c. */
TG_API tg_tensor *tg_lstm_cell(tg_tape *tape, tg_tensor *x, tg_tensor *h, tg_tensor *c, tg_tensor *weight_ih,
                               tg_tensor *weight_hh, tg_tensor *bias_ih, tg_tensor *bias_hh, tg_tensor **next_c);
TG_API tg_tensor *tg_gru_cell(tg_tape *tape, tg_tensor *x, tg_tensor *h, tg_tensor *weight_ih, tg_tensor *weight_hh,
                              tg_tensor *bias_ih, tg_tensor *bias_hh);

/* -- random: one draw of the tape's generator each ----------------------------------------------------------------------- */
/* Train mode: each element is kept with probability 1 − p and scaled by 1/(1 − p), else 0, selected: a dropped ∞ or
 * NaN is 0. The gradient drops the same elements. Eval, or p = 0: x itself, no node, no draw. p = 1: zeros, and a gradient
 * of zeros, no draw. No elements: no draw. The mode is an argument without a default. Which element is kept is a function
 * of (seed, draw, element), see op_attrs.h: the same on every backend and for any number of threads. TG_EINVAL for p
 * outside [0, 1] or NaN. torch.nn.functional.dropout.
 *     tg_tensor *y = tg_dropout(tape, x, 0.5, TG_TRAIN); */
TG_API tg_tensor *tg_dropout(tg_tape *tape, tg_tensor *x, double p, tg_mode mode);
/* The same for whole channels, one draw: of [N, C, L] or [C, L]; of [N, C, *] (as torch reads three dims, too); of [N, C, D,
 * H, W], or with less dims [C, *]. TG_ESHAPE. torch.nn.functional.dropout1d, dropout2d, dropout3d. */
TG_API tg_tensor *tg_dropout1d(tg_tape *tape, tg_tensor *x, double p, tg_mode mode);
TG_API tg_tensor *tg_dropout2d(tg_tape *tape, tg_tensor *x, double p, tg_mode mode);
TG_API tg_tensor *tg_dropout3d(tg_tape *tape, tg_tensor *x, double p, tg_mode mode);
/* Keeps mean and variance behind a SELU: with α′ = −1.758… (SELU's limit) and a = 1/√((α′²·p + 1)·(1 − p)), what is kept
 * becomes a·x − a·α′·p, what is dropped a·α′·(1 − p); p = 1: zeros. Elements, or whole channels of [N, C, *]. Klambauer et
 * al. 2017; torch.nn.functional.alpha_dropout, feature_alpha_dropout. */
TG_API tg_tensor *tg_alpha_dropout(tg_tape *tape, tg_tensor *x, double p, tg_mode mode);
TG_API tg_tensor *tg_feature_alpha_dropout(tg_tape *tape, tg_tensor *x, double p, tg_mode mode);
/* x > 0 ? x : s·x with s in train mode uniform in [lower, upper), drawn for each element; in eval mode their mean. TG_EINVAL
 * unless lower ≤ upper. torch.nn.functional.rrelu: 1/8, 1/3. Xu et al. 2015 */
TG_API tg_tensor *tg_rrelu(tg_tape *tape, tg_tensor *x, double lower, double upper, tg_mode mode);
/* Uniform in [0, 1), and normal with mean 0 and variance 1, of x's shape and dtype; no gradient. torch.rand_like,
 * torch.randn_like (by Box and Muller). */
TG_API tg_tensor *tg_rand_like(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_randn_like(tg_tape *tape, tg_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
