/* matmul.c's inner product, for kernels that pack their own panels. */
#ifndef TG_REF_MULTIPLY_H
#define TG_REF_MULTIPLY_H

#include <stdbool.h>
#include <stdint.h>

enum { TG_REF_PANEL = 8 };

/* tile (rows of `step`) = a·b, added to what it holds unless `first`. Panels hold TG_REF_PANEL rows of a, or columns of
 * b, side by side within each step of the depth; the tile has room for whole panels. */
typedef void (*tg_ref_multiply_fn)(int64_t rows, int64_t cols, int64_t depth, const double *a, const double *b,
                                   double *tile, int64_t step, bool first);
/* For products of f64, or of f32, which are exact. */
tg_ref_multiply_fn tg_ref_multiply(bool wide);

#endif
