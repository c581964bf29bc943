/* Writing by index. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_scatter[] = {
    NULL,
};
