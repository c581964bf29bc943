/* Interpolation and sampling on grids. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_resample[] = {
    NULL,
};
