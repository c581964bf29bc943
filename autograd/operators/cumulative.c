/* Running sums, products and extrema along a dim. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_cumulative[] = {
    NULL,
};
