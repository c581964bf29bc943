/* torch's products, as calls of our public functions. */
#include <string.h>

#include "op_call.h"

typedef tg_tensor *(*product_fn)(tg_tape *, tg_tensor *, tg_tensor *);
typedef tg_tensor *(*sum_fn)(tg_tape *, tg_tensor *, tg_tensor *, tg_tensor *, double, double);

static void product(op_call *c, product_fn fn, const char *other)
{
    tg_tensor *x = tensor(c, "input"), *y = tensor(c, other);
    give(c, fn(c->tape, x, y));
}

static void with_sum(op_call *c, sum_fn fn, const char *a, const char *b)
{
    tg_tensor *x = tensor(c, "input"), *p = tensor(c, a), *q = tensor(c, b);
    give(c, fn(c->tape, x, p, q, number(c, "beta", 1), number(c, "alpha", 1)));
}

#define PRODUCT(name, other)                                                                                 \
    static void a_##name(op_call *c)                                                                         \
    {                                                                                                        \
        product(c, tg_##name, other);                                                                        \
    }
PRODUCT(matmul, "other")
PRODUCT(mm, "mat2")
PRODUCT(bmm, "mat2")
PRODUCT(mv, "vec")
PRODUCT(dot, "tensor")
PRODUCT(inner, "other")
PRODUCT(outer, "vec2")
PRODUCT(kron, "other")

static void a_vdot(op_call *c)
{
    product(c, tg_dot, "other");
}

#define WITH_SUM(name, a, b)                                                                                 \
    static void a_##name(op_call *c)                                                                         \
    {                                                                                                        \
        with_sum(c, tg_##name, a, b);                                                                        \
    }
WITH_SUM(addmm, "mat1", "mat2")
WITH_SUM(addmv, "mat", "vec")
WITH_SUM(addr, "vec1", "vec2")
WITH_SUM(baddbmm, "batch1", "batch2")
WITH_SUM(addbmm, "batch1", "batch2")

static void a_linear(op_call *c)
{
    tg_tensor *bias = has(c, "bias") ? tensor(c, "bias") : NULL;
    give(c, tg_linear(c->tape, tensor(c, "input"), tensor(c, "weight"), bias));
}

static void a_cross(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *y = tensor(c, "other");
    give(c, tg_cross(c->tape, x, y, integer(c, "dim", TG_NONE_INT)));
}

static void a_linalg_cross(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *y = tensor(c, "other");
    give(c, tg_cross(c->tape, x, y, integer(c, "dim", -1)));
}

static void a_tensordot(op_call *c)
{
    tg_tensor *a = tensor(c, "a"), *b = tensor(c, "b");
    tg_ints of_a = {0}, of_b = {0};
    if (is_number(c, "dims"))
        for (int64_t i = 0, n = integer(c, "dims", 2); i < n && n <= TG_MAX_DIM; i++) {
            of_a.v[of_a.n++] = tg_tensor_ndim(a) - n + i;
            of_b.v[of_b.n++] = i;
        }
    else
        two_lists(c, "dims", &of_a, &of_b);
    if (of_a.n != of_b.n)
        cannot(c, "dims of a and b are of different lengths");
    else
        give(c, tg_tensordot(c->tape, a, b, of_a.v, of_b.v, (size_t)of_a.n));
}

static void a_einsum(op_call *c)
{
    size_t n;
    tg_tensor *const *xs = tensors(c, "tensors", &n);
    give(c, tg_einsum(c->tape, text(c, "equation"), xs, n));
}

static void a_attention(op_call *c)
{
    tg_attention_options o = {.attn_mask = has(c, "attn_mask") ? tensor(c, "attn_mask") : NULL};
    o.is_causal = flag(c, "is_causal", false);
    o.has_scale = has(c, "scale");
    o.scale = number(c, "scale", 0);
    o.enable_gqa = flag(c, "enable_gqa", false);
    if (number(c, "dropout_p", 0) != 0)
        cannot(c, "dropout of torch's generator: its random numbers are not ours");
    tg_tensor *q = tensor(c, "query"), *k = tensor(c, "key"), *v = tensor(c, "value");
    give(c, tg_scaled_dot_product_attention(c->tape, q, k, v, &o));
}

const adapter adapters_products[] = {
    {"nn.functional.linear", a_linear},
    {"nn.functional.scaled_dot_product_attention", a_attention},
    {"matmul", a_matmul},
    {"mm", a_mm},
    {"bmm", a_bmm},
    {"mv", a_mv},
    {"dot", a_dot},
    {"vdot", a_vdot},
    {"inner", a_inner},
    {"outer", a_outer},
    {"kron", a_kron},
    {"addmm", a_addmm},
    {"addmv", a_addmv},
    {"addr", a_addr},
    {"baddbmm", a_baddbmm},
    {"addbmm", a_addbmm},
    {"cross", a_cross},
    {"linalg.cross", a_linalg_cross},
    {"tensordot", a_tensordot},
    {"einsum", a_einsum},
    {NULL, NULL},
};
