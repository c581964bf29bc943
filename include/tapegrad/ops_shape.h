/* Operators on shapes: views, joining, rearranging, making tensors. What holds for all is in ops.h, which includes this. */
#ifndef TAPEGRAD_OPS_SHAPE_H
#define TAPEGRAD_OPS_SHAPE_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- shape, any dtype: views (they share x's memory) where PyTorch has views ------------------------------------------ */
/* One dim may be −1: what is left. A view where the strides allow it, a copy where not. */
TG_API tg_tensor *tg_reshape_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);
/* start_dim … end_dim become one; a scalar becomes [1]. */
TG_API tg_tensor *tg_flatten(tg_tape *tape, tg_tensor *x, int64_t start_dim, int64_t end_dim);
/* dim becomes dims of these sizes, one of which may be −1. */
TG_API tg_tensor *tg_unflatten(tg_tape *tape, tg_tensor *x, int64_t dim, const int64_t *sizes, size_t n);
TG_API tg_tensor *tg_transpose(tg_tape *tape, tg_tensor *x, int64_t dim0, int64_t dim1);
TG_API tg_tensor *tg_t(tg_tape *tape, tg_tensor *x); /* a matrix transposed; less than two dims stay. TG_ESHAPE above */
TG_API tg_tensor *tg_permute_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim); /* each dim once */
/* Dim source[i] goes to destination[i], the others keep their order. */
TG_API tg_tensor *tg_movedim(tg_tape *tape, tg_tensor *x, const int64_t *source, const int64_t *destination, size_t n);
/* Dims of size 1, and new leading ones, are repeated without a copy; −1 keeps a size. An expanded view cannot be written.
 * torch.Tensor.expand, torch.broadcast_to. */
TG_API tg_tensor *tg_expand_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);
TG_API tg_tensor *tg_squeeze(tg_tape *tape, tg_tensor *x, int64_t dim); /* removes it where its size is 1 */
TG_API tg_tensor *tg_squeeze_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims); /* of these, each once */
TG_API tg_tensor *tg_squeeze_all(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_unsqueeze(tg_tape *tape, tg_tensor *x, int64_t dim); /* −ndim−1 … ndim */
/* `length` elements from start (negative: from the end). TG_EINVAL unless they are there. */
TG_API tg_tensor *tg_narrow(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t start, int64_t length);
/* The same with the start in a tensor: one i64, read at once. */
TG_API tg_tensor *tg_narrow_at(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *start, int64_t length);
/* x[start:end:step] along dim, as Python clips it: INT64_MAX stands for the end. step ≥ 1. */
TG_API tg_tensor *tg_slice(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t start, int64_t end, int64_t step);
/* x[index] along dim, which goes. TG_EINDEX outside [−size, size). */
TG_API tg_tensor *tg_select(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t index);
/* The diagonals of the matrices in dim1, dim2, as a new last dim; offset above the main one (negative: below). */
TG_API tg_tensor *tg_diagonal(tg_tape *tape, tg_tensor *x, int64_t offset, int64_t dim1, int64_t dim2);
/* Windows of `size` elements, one every `step`, along dim: their number takes its place, their elements are a new last dim.
 * A view that overlaps itself cannot be written; gradients of shared elements add up. torch.Tensor.unfold. */
TG_API tg_tensor *tg_unfold_dim(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t size, int64_t step);

/* -- one tensor as several views along dim. They return how many there are and write them to out[]; TG_EINVAL where
 *    `capacity` is less. With out NULL they only count. 0 on error, and for no pieces: tg_tape_status tells. ------------ */
/* Pieces of split_size, the last one smaller. torch.split with a number. */
TG_API size_t tg_split(tg_tape *tape, tg_tensor *x, int64_t split_size, int64_t dim, tg_tensor *out[], size_t capacity);
/* Pieces of these sizes, which add up to dim's. torch.split with a list, torch.split_with_sizes. */
TG_API size_t tg_split_with_sizes(tg_tape *tape, tg_tensor *x, const int64_t *sizes, size_t n, int64_t dim, tg_tensor *out[],
                                  size_t capacity);
/* At most `chunks` pieces, all but the last of one size. */
TG_API size_t tg_chunk(tg_tape *tape, tg_tensor *x, int64_t chunks, int64_t dim, tg_tensor *out[], size_t capacity);
/* Exactly `sections` pieces, the first ones larger by one where it does not divide. torch.tensor_split. */
TG_API size_t tg_tensor_split(tg_tape *tape, tg_tensor *x, int64_t sections, int64_t dim, tg_tensor *out[], size_t capacity);
/* The n + 1 pieces between 0, indices[0], … and the end, each clipped as tg_slice does. torch.tensor_split with a list. */
TG_API size_t tg_tensor_split_indices(tg_tape *tape, tg_tensor *x, const int64_t *indices, size_t n, int64_t dim,
                                      tg_tensor *out[], size_t capacity);
/* x[0], x[1], … along dim, which goes. */
TG_API size_t tg_unbind(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *out[], size_t capacity);

/* -- joined ------------------------------------------------------------------------------------------------------------- */
/* Along a dim; tensors that agree in all other dims, brought to one dtype. Those of shape [0] are passed over. */
TG_API tg_tensor *tg_cat_n(tg_tape *tape, tg_tensor *const xs[], size_t n, int64_t dim);
/* Along a new dim; tensors of the same dims. */
TG_API tg_tensor *tg_stack_n(tg_tape *tape, tg_tensor *const xs[], size_t n, int64_t dim);
/* Along the columns (vectors: end to end), the rows, the third dim; vectors as columns. Missing dims are added, as torch's
 * functions of these names do. */
TG_API tg_tensor *tg_hstack_n(tg_tape *tape, tg_tensor *const xs[], size_t n);
TG_API tg_tensor *tg_vstack_n(tg_tape *tape, tg_tensor *const xs[], size_t n);
TG_API tg_tensor *tg_dstack_n(tg_tape *tape, tg_tensor *const xs[], size_t n);
TG_API tg_tensor *tg_column_stack_n(tg_tape *tape, tg_tensor *const xs[], size_t n);

/* -- rearranged: copies, any dtype ---------------------------------------------------------------------------------------- */
/* Row-major: x itself where it already is. */
TG_API tg_tensor *tg_contiguous(tg_tape *tape, tg_tensor *x);
/* A copy with storage of its own. torch.clone. */
TG_API tg_tensor *tg_clone(tg_tape *tape, tg_tensor *x);
/* The listed dims backwards (each once; none: a copy). */
TG_API tg_tensor *tg_flip_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims);
TG_API tg_tensor *tg_fliplr(tg_tape *tape, tg_tensor *x); /* dim 1 backwards */
TG_API tg_tensor *tg_flipud(tg_tape *tape, tg_tensor *x); /* dim 0 backwards */
/* Moved by shifts[i] along dims[i]; what leaves at the end comes in at the front. dims NULL: as one flat row, by shifts[0]
 * (n is 1). */
TG_API tg_tensor *tg_roll(tg_tape *tape, tg_tensor *x, const int64_t *shifts, const int64_t *dims, size_t n);
/* Turned k times by 90° from dim0 towards dim1. */
TG_API tg_tensor *tg_rot90(tg_tape *tape, tg_tensor *x, int64_t k, int64_t dim0, int64_t dim1);
/* x repeats[d] times along dim d; n ≥ x's dims, new ones lead. torch.Tensor.repeat. */
TG_API tg_tensor *tg_repeat_dims(tg_tape *tape, tg_tensor *x, const int64_t *repeats, size_t n);
/* The same; of fewer repeats than dims, leading ones are 1. torch.tile. */
TG_API tg_tensor *tg_tile_dims(tg_tape *tape, tg_tensor *x, const int64_t *repeats, size_t n);
/* Each element `repeats` times in a row along dim; dim TG_NONE_INT: of x as one flat row. */
TG_API tg_tensor *tg_repeat_interleave(tg_tape *tape, tg_tensor *x, int64_t repeats, int64_t dim);
/* The same with one i64 for each element of dim (or one for all), read at once. output_size: their sum, where it is known
 * (checked), or −1. */
TG_API tg_tensor *tg_repeat_interleave_each(tg_tape *tape, tg_tensor *x, tg_tensor *repeats, int64_t dim,
                                            int64_t output_size);
/* The lower, upper triangle of the last two dims, zeros elsewhere; the diagonal counts upwards. */
TG_API tg_tensor *tg_tril(tg_tape *tape, tg_tensor *x, int64_t diagonal);
TG_API tg_tensor *tg_triu(tg_tape *tape, tg_tensor *x, int64_t diagonal);
/* A vector as a diagonal matrix; of a matrix, a copy of its diagonal. */
TG_API tg_tensor *tg_diag(tg_tape *tape, tg_tensor *x, int64_t diagonal);
/* x's last dim as the diagonals of square matrices in new dims dim1, dim2, zeros elsewhere. */
TG_API tg_tensor *tg_diag_embed(tg_tape *tape, tg_tensor *x, int64_t offset, int64_t dim1, int64_t dim2);
TG_API tg_tensor *tg_trace(tg_tape *tape, tg_tensor *x); /* the sum of a matrix's diagonal */
/* A copy of x with src in place of what tg_slice, tg_select would show; src has the dims of that. */
TG_API tg_tensor *tg_slice_scatter(tg_tape *tape, tg_tensor *x, tg_tensor *src, int64_t dim, int64_t start, int64_t end,
                                   int64_t step);
TG_API tg_tensor *tg_select_scatter(tg_tape *tape, tg_tensor *x, tg_tensor *src, int64_t dim, int64_t index);

/* -- made: f32, f64, i64 or bool, without a history ------------------------------------------------------------------------- */
/* Of x's dims and dtype, or of another dtype. */
TG_API tg_tensor *tg_zeros_like(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_ones_like(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_full_like(tg_tape *tape, tg_tensor *x, tg_dtype dtype, double value);
/* Every element `value`. */
TG_API tg_tensor *tg_full(tg_tape *tape, tg_dtype dtype, const int64_t *dims, size_t ndim, double value);
/* start, start + step, … before end: ⌈(end − start)/step⌉ of them. TG_EINVAL for a step of 0 or away from end, and for
 * numbers that are not finite; TG_EDTYPE for bool. */
TG_API tg_tensor *tg_arange(tg_tape *tape, tg_dtype dtype, double start, double end, double step);
/* `steps` numbers from start to end, both included; logspace: base to these powers. */
TG_API tg_tensor *tg_linspace(tg_tape *tape, tg_dtype dtype, double start, double end, int64_t steps);
TG_API tg_tensor *tg_logspace(tg_tape *tape, tg_dtype dtype, double start, double end, int64_t steps, double base);
/* n × m with ones on the diagonal. */
TG_API tg_tensor *tg_eye(tg_tape *tape, tg_dtype dtype, int64_t n, int64_t m);

#ifdef __cplusplus
}
#endif
#endif
