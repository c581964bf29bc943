/* Rearranging: flips, rolls, repeats, triangles, diagonals. */
#include "autograd/operators/rows.h"

const tg_operator *const tg_ops_arrange[] = {
    NULL,
};
