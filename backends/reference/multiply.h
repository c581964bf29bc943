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

/* C = A·B, or added to C, whose columns are neighbours, on one thread: f64, or f32, each element rounded once. The scratch
 * has TG_REF_PRODUCT_SCRATCH doubles. */
enum { TG_REF_PRODUCT_ROWS = 64, TG_REF_PRODUCT_COLS = 128, TG_REF_PRODUCT_SCRATCH = (64 + 128) * 256 + 64 * 128 };
void tg_ref_product(bool wide, int64_t m, int64_t n, int64_t k, const void *a, int64_t a_row, int64_t a_col, const void *b,
                    int64_t b_row, int64_t b_col, bool add, void *c, int64_t c_row, double *scratch);

#endif
