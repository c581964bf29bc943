/* Operators that index, search and sort. What holds for all is in ops.h, which includes this. */
#ifndef TAPEGRAD_OPS_INDEX_H
#define TAPEGRAD_OPS_INDEX_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All move f32, f64, i64 and bool unless said otherwise. A scalar counts as a vector of one, as in torch. */

/* -- picking by index: i64 indices, looked at before anything is written. TG_EINDEX names the index, its place and the
 *    range. Negative ones count from the end in take, take_along_dim and index_fill; elsewhere they are refused ------- */
/* y[i][j] = x[index[i][j]][j] for dim 0, and so on; y has index's dims, which do not exceed x's but along dim. */
TG_API tg_tensor *tg_gather(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index);
/* x's slices along dim in index's order; index has one dim. */
TG_API tg_tensor *tg_index_select(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index);
/* x's elements, numbered row-major, of index's dims. */
TG_API tg_tensor *tg_take(tg_tape *tape, tg_tensor *x, tg_tensor *index);
/* gather of x and index broadcast against each other in every dim but this; TG_NONE_INT: of both as vectors. */
TG_API tg_tensor *tg_take_along_dim(tg_tape *tape, tg_tensor *x, tg_tensor *index, int64_t dim);
/* weight's (f32, f64: [rows, width]) rows: y has index's dims and one more. The row padding_idx (negative: from the end;
 * TG_NONE_INT: none) takes no gradient. scale_grad_by_freq divides a row's gradient by how often it was looked up.
 * max_norm (TG_NONE_REAL: none): first, in place and without a record, weight's rows in index whose norm_type-norm is
 * greater are scaled down to it. torch.nn.functional.embedding. */
TG_API tg_tensor *tg_embedding(tg_tape *tape, tg_tensor *index, tg_tensor *weight, int64_t padding_idx,
                               double max_norm, double norm_type, bool scale_grad_by_freq);
typedef enum tg_bag_mode { TG_BAG_SUM, TG_BAG_MEAN, TG_BAG_MAX } tg_bag_mode;
typedef struct tg_embedding_bag_options {
    tg_bag_mode mode;
    int64_t padding_idx; /* TG_NONE_INT: none; what has this index is in no bag */
    bool scale_grad_by_freq, include_last_offset; /* the last offset is where the last bag ends */
    double max_norm, norm_type; /* as tg_embedding's; 0 or TG_NONE_REAL: none; 0: 2 */
} tg_embedding_bag_options;
/* Each bag of weight's rows as one: their sum, mean, or maximum by element (whose gradient equal values of a bag share),
 * zeros of an empty one. index [B, n] is B bags; or [n], and bag b is from offsets[b] (i64, 0 first, never decreasing) to
 * the next. per_sample_weights (NULL: none; sum only) has index's dims. options NULL: the mean. TG_EINDEX, TG_ESHAPE,
 * TG_EDTYPE. torch.nn.functional.embedding_bag. */
TG_API tg_tensor *tg_embedding_bag(tg_tape *tape, tg_tensor *index, tg_tensor *weight, tg_tensor *offsets,
                                   tg_tensor *per_sample_weights, const tg_embedding_bag_options *options);
/* i64: index's dims and one more of num_classes (-1: one more than the greatest), 1 at the index, else 0. No derivative. */
TG_API tg_tensor *tg_one_hot(tg_tape *tape, tg_tensor *index, int64_t num_classes);

/* -- writing by index, into a copy of x. What lands on one element does so in the index's order, whatever the threads.
 *    src is of x's dtype and has an element for each index: it is larger, or a scalar, which stands for all ----------- */
/* y[index[i][j]][j] = src[i][j] for dim 0, and so on; the last one stays. gx is 0 where something was written; every src
 * takes the gradient of its place. */
TG_API tg_tensor *tg_scatter(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *src);
TG_API tg_tensor *tg_scatter_value(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, double value);
/* The same with +=. */
TG_API tg_tensor *tg_scatter_add(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *src);
/* The sum, product, mean (f32, f64), greatest or least (NaN wins) of what lands on an element, and of x's own with
 * include_self. The gradient of an extreme is shared equally among ties, x's own element among them even without
 * include_self, as in torch; that of a product with zeros is exact. */
typedef enum tg_scatter_reduction {
    TG_REDUCTION_SUM,
    TG_REDUCTION_PROD,
    TG_REDUCTION_MEAN,
    TG_REDUCTION_AMAX,
    TG_REDUCTION_AMIN
} tg_scatter_reduction;
TG_API tg_tensor *tg_scatter_reduce(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *src,
                                    tg_scatter_reduction reduce, bool include_self);
/* Whole slices along dim; index has one dim, source a slice for each index. index_add: y[index[k]] += alpha·source[k]. */
TG_API tg_tensor *tg_index_add(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *source, double alpha);
TG_API tg_tensor *tg_index_copy(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *source);
TG_API tg_tensor *tg_index_fill(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, double value);
TG_API tg_tensor *tg_index_fill_tensor(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *value); /* a scalar */

/* -- by a mask (bool); it and x broadcast ------------------------------------------------------------------------------- */
TG_API tg_tensor *tg_masked_fill(tg_tape *tape, tg_tensor *x, tg_tensor *mask, double value);
TG_API tg_tensor *tg_masked_fill_tensor(tg_tape *tape, tg_tensor *x, tg_tensor *mask, tg_tensor *value); /* a scalar */
/* x's elements where it is true, row-major, as a vector. */
TG_API tg_tensor *tg_masked_select(tg_tape *tape, tg_tensor *x, tg_tensor *mask);
/* x with source's first elements where it is true. TG_ESHAPE where source has too few. */
TG_API tg_tensor *tg_masked_scatter(tg_tape *tape, tg_tensor *x, tg_tensor *mask, tg_tensor *source);
/* i64 [n, x's ndim]: where x is not 0 (NaN is not), row-major. No derivative. */
TG_API tg_tensor *tg_nonzero(tg_tape *tape, tg_tensor *x);
/* The same, a vector a dim of x (one for a scalar) into out: x[…] by them is what is not 0. */
TG_API tg_status tg_nonzero_tuple(tg_tape *tape, tg_tensor *x, tg_tensor **out);

/* -- order: NaN is greater than all, −0 equals 0. Where values and indices (i64) are results, `indices` may be NULL; the
 *    gradient goes there --------------------------------------------------------------------------------------------- */
/* Stable in both directions. */
TG_API tg_tensor *tg_sort(tg_tape *tape, tg_tensor *x, int64_t dim, bool descending, tg_tensor **indices);
TG_API tg_tensor *tg_argsort(tg_tape *tape, tg_tensor *x, int64_t dim, bool descending);
TG_API tg_tensor *tg_msort(tg_tape *tape, tg_tensor *x); /* along dim 0 */
/* The k greatest (largest) or least, sorted, the first of equal ones first. Not of bool. */
TG_API tg_tensor *tg_topk(tg_tape *tape, tg_tensor *x, int64_t k, int64_t dim, bool largest, tg_tensor **indices);
/* Of f32, f64, i64. kthvalue: the k-th smallest, from 1. median: the lower of the two in the middle, NaN where there is
 * one; nanmedian leaves NaNs out (NaN where there is nothing else). TG_ESHAPE along a dim of size 0. */
TG_API tg_tensor *tg_kthvalue(tg_tape *tape, tg_tensor *x, int64_t k, int64_t dim, bool keepdim, tg_tensor **indices);
TG_API tg_tensor *tg_median_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim, tg_tensor **indices);
TG_API tg_tensor *tg_nanmedian_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim, tg_tensor **indices);
/* Of all elements, NaN of none; the gradient is shared equally among those that are the median. */
TG_API tg_tensor *tg_median(tg_tape *tape, tg_tensor *x);
TG_API tg_tensor *tg_nanmedian(tg_tape *tape, tg_tensor *x);
/* The most frequent value, the least of equally frequent ones, and its last place. */
TG_API tg_tensor *tg_mode_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim, tg_tensor **indices);
/* The values at ranks q·(n − 1) of the sorted ones, q (f32, f64 as x) a scalar, or a vector, whose dim then is y's first;
 * between two of them as `between` says. dim TG_NONE_INT: over all. NaN where there is one. Differentiable in q, too,
 * where linear. TG_EINVAL for a q outside [0, 1], TG_ESHAPE of no values. torch.quantile. */
typedef enum tg_interpolation {
    TG_BETWEEN_LINEAR,
    TG_BETWEEN_LOWER,
    TG_BETWEEN_HIGHER,
    TG_BETWEEN_NEAREST, /* halves to the even rank */
    TG_BETWEEN_MIDPOINT
} tg_interpolation;
TG_API tg_tensor *tg_quantile(tg_tape *tape, tg_tensor *x, tg_tensor *q, int64_t dim, bool keepdim,
                              tg_interpolation between);
/* i64, no derivative: for each value the first place in the sorted sequence whose element is not below it (right: that is
 * above it), n where there is none. sequence [n] and any values, or […, n] and values […, m]; sorter (NULL: sorted already)
 * has sequence's dims and its order. TG_EINDEX for a sorter outside it. */
TG_API tg_tensor *tg_searchsorted(tg_tape *tape, tg_tensor *sequence, tg_tensor *values, tg_tensor *sorter, bool right);
/* The same with the boundaries [n] as the sequence. */
TG_API tg_tensor *tg_bucketize(tg_tape *tape, tg_tensor *x, tg_tensor *boundaries, bool right);
/* The different elements in ascending order, or slices along dim in lexicographic order (TG_NONE_INT: elements); no two
 * NaNs are the same. inverse (i64): which of them each element, or slice, is; counts: how often it occurs; may be NULL. */
TG_API tg_tensor *tg_unique(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor **inverse, tg_tensor **counts);

#ifdef __cplusplus
}
#endif
#endif
