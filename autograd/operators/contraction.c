/* Products of more kinds: batched sums, Einstein sums, outer, Kronecker, cross; attention. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_contraction[] = {
    NULL,
};
