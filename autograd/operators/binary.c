/* Elementwise, two and three inputs. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_binary[] = {
    NULL,
};
