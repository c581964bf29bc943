/* Order: sorting, the k greatest, medians, modes, quantiles, unique values, searching. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_sort[] = {
    NULL,
};
