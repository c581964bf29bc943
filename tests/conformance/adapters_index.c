/* torch's operators by index, as calls of our public functions. */
#include "op_call.h"

static void a_gather(op_call *c)
{
    tg_desc d = {0};
    tg_tensor *x = tensor(c, "input"), *index = tensor(c, "index");
    int64_t dim = integer(c, "dim", 0);
    tg_tensor_desc(index, &d);
    if (flag(c, "sparse_grad", false))
        cannot(c, "sparse gradients have no counterpart here");
    else if (index && tg_tensor_count(index) == 0) /* torch takes no index in any shape */
        give(c, tg_full(c->tape, tg_tensor_dtype(x), d.dim, (size_t)d.ndim, 0.0));
    else
        give(c, tg_gather(c->tape, x, dim, index));
}

static void a_scatter_add(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *index = tensor(c, "index"), *src = tensor(c, "src");
    give(c, tg_scatter_add(c->tape, x, integer(c, "dim", 0), index, src));
}

static void a_index_select(op_call *c)
{
    give(c, tg_index_select(c->tape, tensor(c, "input"), integer(c, "dim", 0), tensor(c, "index")));
}

const adapter adapters_index[] = {
    {"gather", a_gather},
    {"scatter_add", a_scatter_add},
    {"index_select", a_index_select},
    {NULL, NULL},
};
