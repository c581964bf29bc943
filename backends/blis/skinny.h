/* Products of which one side has only a few rows or columns, as matrix times vector. */
#ifndef TG_BLIS_SKINNY_H
#define TG_BLIS_SKINNY_H

#include <stdbool.h>
#include <stdint.h>

/* y[v, i] = Σ_p x[v, p]·matrix[i, p], + what was there where `add`. Steps in elements. With `dot`, k_step is
 * 1; else out_step is 1. x's vectors are contiguous. */
typedef struct skinny {
    int64_t outputs, k, vectors;
    int64_t out_step, k_step;
    int64_t x_next, y_step, y_next;
    bool dot, add;
} skinny;

/* Outputs [first, last). */
void tg_blis_skinny_f32(const skinny *s, const float *matrix, const float *x, float *y, int64_t first,
                        int64_t last);
void tg_blis_skinny_f64(const skinny *s, const double *matrix, const double *x, double *y, int64_t first,
                        int64_t last);

#endif
