/* attention.c's product for one type, and what is made of it. No guard. */
#include "backends/reference/lanes_typed.h"

static inline void NAME(product)(void *scratch, int64_t m, int64_t n, int64_t k, const T *a, int64_t a_row, int64_t a_col,
                                 const T *b, int64_t b_row, int64_t b_col, bool add, T *c, int64_t c_row)
{
    tg_ref_product(WIDE, m, n, k, a, a_row, a_col, b, b_row, b_col, add, c, c_row, scratch);
}

#include "backends/attention_typed.h"
