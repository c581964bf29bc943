/* Sliding windows, shuffles of pixels, unpooling. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_patches[] = {
    NULL,
};
