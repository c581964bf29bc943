/* Operators that reduce, accumulate or measure. What holds for all is in ops.h, which includes this. */
#ifndef TAPEGRAD_OPS_REDUCE_H
#define TAPEGRAD_OPS_REDUCE_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- reductions of f32, f64: over the listed dims, n_dims 0: over all; keepdim leaves them with size 1 ---------------- */
/* Sums are taken in f64, in an order that depends on the shape alone. Of no values: sum 0, mean and var NaN. */
TG_API tg_tensor *tg_sum_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_mean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_sum(tg_tape *tape, tg_tensor *x);  /* of all, ndim 0 */
TG_API tg_tensor *tg_mean(tg_tape *tape, tg_tensor *x); /* of all, ndim 0 */
/* Σ(x − mean)²/max(0, n − correction), twice over the data. torch.var: correction 1 is unbiased, 0 biased. */
TG_API tg_tensor *tg_var_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, double correction,
                              bool keepdim);
/* NaN wins. The gradient is shared equally among ties. TG_ESHAPE where a reduced dim has size 0. */
TG_API tg_tensor *tg_amax_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_amin_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
/* i64, no derivative; the first of equal maxima; the first NaN counts as the maximum. TG_ESHAPE of no values. */
TG_API tg_tensor *tg_argmax(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim);
/* Sums x down to dims that broadcast to x's. torch.Tensor.sum_to_size. */
TG_API tg_tensor *tg_sum_to_size(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);

#ifdef __cplusplus
}
#endif
#endif
