/* What pooling by windows (pool.c) and pooling to a size (adaptive_pool.c) share; pool.c. */
#ifndef TG_POOLS_H
#define TG_POOLS_H

#include "autograd/operators/checks.h"

/* -- for infers ------------------------------------------------------------------------------------------ */

/* The sizes of x's spatial dims: none below `low`. */
tg_status tg_pool_need_sizes(const tg_infer *q, const tg_ints *size, int64_t low);
/* [N, C, and the dims of `spatial`]. */
tg_status tg_pool_need_dims(const tg_infer *q, size_t i, const char *argument, const tg_ints *spatial);
tg_status tg_pool_make_out(const tg_infer *q, size_t o, int64_t dtype, const tg_ints *spatial);

/* -- for functions --------------------------------------------------------------------------------------- */

/* x with a batch of one where it has none; *single then. Its last n dims go to *size. */
tg_tensor *tg_pool_with_batch(tg_tape *tape, tg_tensor *x, const char *what, size_t n, const void *list, tg_ints *size,
                              bool *single);
tg_tensor *tg_pool_without_batch(tg_tape *tape, tg_tensor *y, bool single);

extern const tg_operator tg_row_max_pool_backward;

#endif
