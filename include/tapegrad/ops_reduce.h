/* Operators that reduce, accumulate or measure. What holds for all is in ops.h, which includes this. */
#ifndef TAPEGRAD_OPS_REDUCE_H
#define TAPEGRAD_OPS_REDUCE_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- reductions: over the listed dims, n_dims 0: over all; keepdim leaves them with size 1 ---------------------------- */
/* Sums of f32 and f64 are taken in f64, in an order that depends on the shape alone. Of no values: sum 0, mean and var
 * NaN. Sums of i64 and bool are i64, modulo 2^64; TG_EDTYPE for these where f32 or f64 is asked for. */
TG_API tg_tensor *tg_sum_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_sum(tg_tape *tape, tg_tensor *x);  /* of all, ndim 0 */
TG_API tg_tensor *tg_mean(tg_tape *tape, tg_tensor *x); /* of all, ndim 0 */
TG_API tg_tensor *tg_mean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim); /* f32, f64 */
/* NaN is left out; nansum of i64 and bool is their sum. A mean of nothing but NaN is NaN. */
TG_API tg_tensor *tg_nansum_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_nanmean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
/* f32, f64: Σ(x − mean)²/max(0, n − correction), twice over the data. torch.var: correction 1 is unbiased, 0 biased. */
TG_API tg_tensor *tg_var_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, double correction,
                              bool keepdim);
/* The root of that; its derivative where it is 0: 0. */
TG_API tg_tensor *tg_std_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, double correction,
                              bool keepdim);
/* The same, and the mean in *mean (which may be NULL). */
TG_API tg_tensor *tg_var_mean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, double correction,
                                   bool keepdim, tg_tensor **mean);
TG_API tg_tensor *tg_std_mean_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, double correction,
                                   bool keepdim, tg_tensor **mean);
/* Of any dtype, the result is bool and has no derivative: is one not 0 (none: false)? Are all (none: true)? NaN is not 0. */
TG_API tg_tensor *tg_any_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_all_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
/* i64: how many are not 0. */
TG_API tg_tensor *tg_count_nonzero_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims);
/* (Σ|x|^p)^(1/p) of f32, f64; p 0: how many are not 0; ∞ and −∞: the largest and the smallest |x|, which share the
 * derivative. Where x or the norm is 0 and the formula infinite, the derivative is 0. torch.norm, linalg.vector_norm
 * ("fro" is p 2). TG_ESHAPE of no values where p is negative or infinite; TG_EINVAL for NaN. */
TG_API tg_tensor *tg_norm_dims(tg_tape *tape, tg_tensor *x, double p, const int64_t *dims, size_t n_dims, bool keepdim);
/* The product along dim, and of all; of none: 1. i64 of i64 and bool. The derivatives divide by nothing: exact with zeros. */
TG_API tg_tensor *tg_prod_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim);
TG_API tg_tensor *tg_prod(tg_tape *tape, tg_tensor *x);
/* Sums x down to dims that broadcast to x's. torch.Tensor.sum_to_size. */
TG_API tg_tensor *tg_sum_to_size(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim);

/* -- extrema of f32, f64, i64, bool; NaN wins. TG_ESHAPE of no values ------------------------------------------------- */
/* The gradient is shared equally among ties; it is NaN where the extremum is. aminmax: the minimum, and the maximum in
 * *max (which may be NULL). */
TG_API tg_tensor *tg_amax_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_amin_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim);
TG_API tg_tensor *tg_aminmax_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim,
                                  tg_tensor **max);
/* Of all: ties share the gradient, NaN among themselves. torch.max(x), torch.min(x). */
TG_API tg_tensor *tg_max(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_min(tg_tape *tape, tg_tensor *x);
/* Along a dim, and in *indices (which may be NULL) where it stands, i64: of equal ones the first, of NaN the first. The
 * gradient goes to that place. torch.max(x, dim), torch.min(x, dim). */
TG_API tg_tensor *tg_max_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim, tg_tensor **indices);
TG_API tg_tensor *tg_min_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim, tg_tensor **indices);
/* The indices alone: i64, no derivative; x is not bool. Over all, they count row-major. */
TG_API tg_tensor *tg_argmax(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim);
TG_API tg_tensor *tg_argmin(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim);
TG_API tg_tensor *tg_argmax_all(tg_tape *tape, tg_tensor *x, bool keepdim);
TG_API tg_tensor *tg_argmin_all(tg_tape *tape, tg_tensor *x, bool keepdim);

/* -- cumulative: of the first 1, 2, … along dim (a scalar has dim 0) --------------------------------------------------- */
/* i64 of i64 and bool. The derivatives of products divide by nothing: exact with zeros. */
TG_API tg_tensor *tg_cumsum(tg_tape *tape, tg_tensor *x, int64_t dim);
TG_API tg_tensor *tg_cumprod(tg_tape *tape, tg_tensor *x, int64_t dim);
/* log Σe^x of f32, f64; the derivative before the first that is not −∞ is NaN, as in torch.logcumsumexp. */
TG_API tg_tensor *tg_logcumsumexp(tg_tape *tape, tg_tensor *x, int64_t dim);
/* Of any dtype, and in *indices (which may be NULL) where it stands, i64: the last of equal ones, or of NaN, which stays. The
 * gradient goes there. */
TG_API tg_tensor *tg_cummax(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor **indices);
TG_API tg_tensor *tg_cummin(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor **indices);
/* x[k + 1] − x[k] along dim, n times (of bools: do they differ?; n 0: x), after `prepend` and `append` (NULL: none; x's dims but
 * for any size of dim) are joined on. torch.diff. */
TG_API tg_tensor *tg_diff(tg_tape *tape, tg_tensor *x, int64_t n, int64_t dim, tg_tensor *prepend, tg_tensor *append);
/* Σ(y[k] + y[k + 1])/2·dx along dim, with one dx, or with the differences of x: one value for each place of dim, or dims
 * that broadcast to y's. torch.trapezoid. */
TG_API tg_tensor *tg_trapezoid(tg_tape *tape, tg_tensor *y, double dx, int64_t dim);
TG_API tg_tensor *tg_trapezoid_at(tg_tape *tape, tg_tensor *y, tg_tensor *x, int64_t dim);

/* -- distances of f32, f64 ------------------------------------------------------------------------------------------------ */
/* The norm of a − b, which broadcast. */
TG_API tg_tensor *tg_dist(tg_tape *tape, tg_tensor *a, tg_tensor *b, double p);
/* (…, P, R): the distance of each row of x1 (…, P, M) from each of x2 (…, R, M); p ≥ 0 as in tg_norm_dims, but for ∞ all
 * that are the largest get the whole gradient. Batch dims broadcast. */
TG_API tg_tensor *tg_cdist(tg_tape *tape, tg_tensor *x1, tg_tensor *x2, double p);
/* x[…, i, …] along dim, where its norm is above max_norm, times max_norm/(norm + 1e-7). p > 0. torch.renorm. */
TG_API tg_tensor *tg_renorm(tg_tape *tape, tg_tensor *x, double p, int64_t dim, double max_norm);

#ifdef __cplusplus
}
#endif
#endif
