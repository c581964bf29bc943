/* Operators that index, search and sort. What holds for all is in ops.h, which includes this. */
#ifndef TAPEGRAD_OPS_INDEX_H
#define TAPEGRAD_OPS_INDEX_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- by index: i64 indices from 0 (negative ones are refused), looked at before anything is written. TG_EINDEX names the
 *    index, its place and the range ----------------------------------------------------------------------------------- */
/* y[i][j] = x[index[i][j]][j] for dim 0, and so on; y has index's dims, which do not exceed x's but along dim. */
TG_API tg_tensor *tg_gather(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index);
/* A copy of x with y[index[i][j]][j] += src[i][j] for dim 0, and so on. src has index's dims, or is larger. */
TG_API tg_tensor *tg_scatter_add(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *src);
/* x's slices along dim in index's order; index has one dim. */
TG_API tg_tensor *tg_index_select(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index);

#ifdef __cplusplus
}
#endif
#endif
