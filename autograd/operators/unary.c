/* Elementwise, one input: trigonometric, hyperbolic, rounding, exponentials. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_unary[] = {
    NULL,
};
