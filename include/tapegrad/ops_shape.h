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
TG_API tg_tensor *tg_transpose(tg_tape *tape, tg_tensor *x, int64_t dim0, int64_t dim1);
TG_API tg_tensor *tg_permute_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim); /* each dim once */
/* Dims of size 1, and new leading ones, are repeated without a copy; −1 keeps a size. An expanded view cannot be written. */
TG_API tg_tensor *tg_expand_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);
TG_API tg_tensor *tg_squeeze(tg_tape *tape, tg_tensor *x, int64_t dim); /* removes it where its size is 1 */
TG_API tg_tensor *tg_unsqueeze(tg_tape *tape, tg_tensor *x, int64_t dim); /* −ndim−1 … ndim */
/* `length` elements from start (negative: from the end). TG_EINVAL unless they are there. */
TG_API tg_tensor *tg_narrow(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t start, int64_t length);
/* x[start:end:step] along dim, as Python clips it: INT64_MAX stands for the end. step ≥ 1. */
TG_API tg_tensor *tg_slice(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t start, int64_t end, int64_t step);
/* x[index] along dim, which goes. TG_EINDEX outside [−size, size). */
TG_API tg_tensor *tg_select(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t index);
/* Joined along a dim; tensors of one dtype that agree in all other dims. */
TG_API tg_tensor *tg_cat_n(tg_tape *tape, tg_tensor *const xs[], size_t n, int64_t dim);
/* Joined along a new dim; tensors of the same dims. */
TG_API tg_tensor *tg_stack_n(tg_tape *tape, tg_tensor *const xs[], size_t n, int64_t dim);
/* Row-major: x itself where it already is. */
TG_API tg_tensor *tg_contiguous(tg_tape *tape, tg_tensor *x);
/* A copy with storage of its own. torch.clone. */
TG_API tg_tensor *tg_clone(tg_tape *tape, tg_tensor *x);
/* Of x's dims and dtype, without a history. */
TG_API tg_tensor *tg_zeros_like(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_ones_like(tg_tape *tape, tg_tensor *x);
/* f32, f64, i64 or bool, every element `value`. */
TG_API tg_tensor *tg_full(tg_tape *tape, tg_dtype dtype, const int64_t *dims, size_t ndim, double value);

#ifdef __cplusplus
}
#endif
#endif
