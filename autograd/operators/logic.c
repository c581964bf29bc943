/* Truth values: tests of numbers, and, or, not. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_logic[] = {
    NULL,
};
