/* Special functions: gamma, Bessel, error functions. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_special[] = {
    NULL,
};
