/* The greatest and the least along dims, with their places. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_extrema[] = {
    NULL,
};
