/* torch's operators by name, as calls of our public functions: only where these mean the same. */
#include <string.h>

#include "op_call.h"

adapter_fn find_adapter(const char *op)
{
    static const adapter *const tables[] = {
        adapters_elementwise, adapters_reduce, adapters_shape, adapters_index, adapters_products, adapters_nn,
    };
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const adapter *a = tables[t]; a->name; a++)
            if (!strcmp(a->name, op))
                return a->fn;
    return NULL;
}
