/* torch's products, as calls of our public functions. */
#include "op_call.h"

static void product(op_call *c, const char *other)
{
    tg_tensor *x = tensor(c, "input"), *y = tensor(c, other);
    give(c, tg_matmul(c->tape, x, y));
}

static void a_matmul(op_call *c)
{
    product(c, "other");
}

static void a_mm(op_call *c)
{
    product(c, "mat2");
}

static void a_mv(op_call *c)
{
    product(c, "vec");
}

static void a_dot(op_call *c)
{
    product(c, "tensor");
}

static void a_linear(op_call *c)
{
    tg_tensor *bias = has(c, "bias") ? tensor(c, "bias") : NULL;
    give(c, tg_linear(c->tape, tensor(c, "input"), tensor(c, "weight"), bias));
}

const adapter adapters_products[] = {
    {"nn.functional.linear", a_linear},
    {"matmul", a_matmul},
    {"mm", a_mm},
    {"bmm", a_mm},
    {"mv", a_mv},
    {"dot", a_dot},
    {"vdot", a_matmul},
    {NULL, NULL},
};
