/* torch.nn.functional's operators, as calls of our public functions. */
#include "op_call.h"

const adapter adapters_nn[] = {
    {NULL, NULL},
};
