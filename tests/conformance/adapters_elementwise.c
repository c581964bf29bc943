/* torch's elementwise operators, as calls of our public functions. */
#include <math.h>
#include <string.h>

#include "op_call.h"

#define UNARY(name, call)                                                                                    \
    static void name(op_call *c)                                                                             \
    {                                                                                                        \
        give(c, (call)(c->tape, tensor(c, "input")));                                                        \
    }
UNARY(a_abs, tg_abs)
UNARY(a_neg, tg_neg)
UNARY(a_sign, tg_sign)
UNARY(a_exp, tg_exp)
UNARY(a_expm1, tg_expm1)
UNARY(a_log, tg_log)
UNARY(a_log1p, tg_log1p)
UNARY(a_sqrt, tg_sqrt)
UNARY(a_rsqrt, tg_rsqrt)
UNARY(a_square, tg_square)
UNARY(a_reciprocal, tg_reciprocal)
UNARY(a_sin, tg_sin)
UNARY(a_cos, tg_cos)
UNARY(a_tanh, tg_tanh)
UNARY(a_erf, tg_erf)
UNARY(a_sigmoid, tg_sigmoid)
UNARY(a_relu, tg_relu)
UNARY(a_silu, tg_silu)
UNARY(a_mish, tg_mish)
UNARY(a_selu, tg_selu)
UNARY(a_softsign, tg_softsign)
UNARY(a_log_sigmoid, tg_log_sigmoid)
UNARY(a_clone, tg_clone)

static void a_positive(op_call *c)
{
    give(c, tensor(c, "input"));
}

static void a_celu(op_call *c)
{
    give(c, tg_celu(c->tape, tensor(c, "input"), number(c, "alpha", 1.0)));
}

static void a_elu(op_call *c)
{
    give(c, tg_elu(c->tape, tensor(c, "input"), number(c, "alpha", 1.0)));
}

static void a_leaky_relu(op_call *c)
{
    give(c, tg_leaky_relu(c->tape, tensor(c, "input"), number(c, "negative_slope", 0.01)));
}

static void a_softplus(op_call *c)
{
    give(c, tg_softplus(c->tape, tensor(c, "input"), number(c, "beta", 1.0), number(c, "threshold", 20.0)));
}

static void a_hardtanh(op_call *c)
{
    give(c, tg_hardtanh(c->tape, tensor(c, "input"), number(c, "min_val", -1.0), number(c, "max_val", 1.0)));
}

static void a_gelu(op_call *c)
{
    const char *kind = has(c, "approximate") ? text(c, "approximate") : "none";
    if (strcmp(kind, "none") && strcmp(kind, "tanh"))
        cannot(c, "argument 'approximate' is neither none nor tanh");
    else
        give(c, tg_gelu(c->tape, tensor(c, "input"), !strcmp(kind, "tanh")));
}

static tg_tensor *bound(op_call *c, const char *name, const tg_tensor *x)
{
    tg_tensor *t = tensor_or_number(c, name);
    tg_dtype dtype = x ? tg_tensor_dtype(x) : c->g->dtype;
    return t && tg_tensor_dtype(t) != dtype ? tg_to(c->tape, t, dtype) : t;
}

/* Bounds that are tensors: where both hold, the upper one wins. A tie's gradient is the input's. */
static void clamp_to(op_call *c, tg_tensor *x)
{
    tg_tensor *low = has(c, "min") ? bound(c, "min", x) : NULL;
    tg_tensor *high = has(c, "max") ? bound(c, "max", x) : NULL;
    if (low)
        x = tg_where(c->tape, tg_lt(c->tape, x, low), low, x);
    if (high)
        x = tg_where(c->tape, tg_gt(c->tape, x, high), high, x);
    give(c, x);
}

static void a_clamp(op_call *c)
{
    bool low = has(c, "min"), high = has(c, "max");
    if ((low && !is_number(c, "min")) || (high && !is_number(c, "max")))
        clamp_to(c, tensor(c, "input"));
    else
        give(c, tg_clamp(c->tape, tensor(c, "input"), number(c, "min", (double)NAN),
                         number(c, "max", (double)NAN)));
}

/* input + alpha·other; rsub: other − alpha·input. */
static void a_add(op_call *c)
{
    double alpha = number(c, "alpha", 1.0);
    tg_tensor *x = tensor_or_number(c, "input"), *y = tensor_or_number(c, "other");
    give(c, tg_add(c->tape, x, alpha == 1.0 ? y : tg_mul_scalar(c->tape, y, alpha)));
}

static void a_sub(op_call *c)
{
    double alpha = number(c, "alpha", 1.0);
    tg_tensor *x = tensor_or_number(c, "input"), *y = tensor_or_number(c, "other");
    give(c, tg_sub(c->tape, x, alpha == 1.0 ? y : tg_mul_scalar(c->tape, y, alpha)));
}

static void a_rsub(op_call *c)
{
    double alpha = number(c, "alpha", 1.0);
    tg_tensor *x = tensor_or_number(c, "input"), *y = tensor_or_number(c, "other");
    give(c, tg_sub(c->tape, y, alpha == 1.0 ? x : tg_mul_scalar(c->tape, x, alpha)));
}

#define BINARY(name, call)                                                                                   \
    static void name(op_call *c)                                                                             \
    {                                                                                                        \
        tg_tensor *x = tensor_or_number(c, "input"), *y = tensor_or_number(c, "other");                      \
        give(c, (call)(c->tape, x, y));                                                                      \
    }
BINARY(a_mul, tg_mul)
BINARY(divide, tg_div)
BINARY(a_maximum, tg_maximum)
BINARY(a_minimum, tg_minimum)
BINARY(a_eq, tg_eq)
BINARY(a_ne, tg_ne)
BINARY(a_lt, tg_lt)
BINARY(a_le, tg_le)
BINARY(a_gt, tg_gt)
BINARY(a_ge, tg_ge)

/* Towards zero, or down; what is large is whole already. It has no derivative. */
static tg_tensor *whole(op_call *c, tg_tensor *x, bool down)
{
    tg_tensor *y = tg_to(c->tape, tg_to(c->tape, x, TG_I64), c->g->dtype);
    if (down)
        y = tg_where(c->tape, tg_gt(c->tape, y, x), tg_add_scalar(c->tape, y, -1.0), y);
    tg_tensor *large = tg_scalar(c->tape, c->g->dtype, 0x1p52);
    return tg_where(c->tape, tg_lt(c->tape, tg_abs(c->tape, x), large), y, tg_detach(c->tape, x));
}

static void a_div(op_call *c)
{
    if (!has(c, "rounding_mode")) {
        divide(c);
        return;
    }
    const char *mode = text(c, "rounding_mode");
    tg_tensor *x = tensor_or_number(c, "input"), *y = tensor_or_number(c, "other");
    if (strcmp(mode, "floor") && strcmp(mode, "trunc"))
        cannot(c, "rounding_mode is neither floor nor trunc");
    else
        give(c, whole(c, tg_div(c->tape, x, y), !strcmp(mode, "floor")));
}

static void a_pow(op_call *c)
{
    if (is_number(c, "exponent"))
        give(c, tg_pow_scalar(c->tape, tensor(c, "input"), number(c, "exponent", 0.0)));
    else
        give(c, tg_pow(c->tape, tensor_or_number(c, "input"), tensor(c, "exponent")));
}

static void a_where(op_call *c)
{
    tg_tensor *x = tensor_or_number(c, "input"), *y = tensor_or_number(c, "other");
    give(c, tg_where(c->tape, tensor(c, "condition"), x, y));
}

const adapter adapters_elementwise[] = {
    {"abs", a_abs},
    {"neg", a_neg},
    {"sign", a_sign},
    {"sgn", a_sign},
    {"exp", a_exp},
    {"expm1", a_expm1},
    {"log", a_log},
    {"log1p", a_log1p},
    {"sqrt", a_sqrt},
    {"rsqrt", a_rsqrt},
    {"square", a_square},
    {"reciprocal", a_reciprocal},
    {"sin", a_sin},
    {"cos", a_cos},
    {"tanh", a_tanh},
    {"erf", a_erf},
    {"sigmoid", a_sigmoid},
    {"positive", a_positive},
    {"clone", a_clone},
    {"clamp", a_clamp},
    {"clamp_min", a_clamp},
    {"clamp_max", a_clamp},
    {"nn.functional.relu", a_relu},
    {"nn.functional.silu", a_silu},
    {"nn.functional.mish", a_mish},
    {"nn.functional.selu", a_selu},
    {"nn.functional.softsign", a_softsign},
    {"nn.functional.logsigmoid", a_log_sigmoid},
    {"nn.functional.celu", a_celu},
    {"nn.functional.elu", a_elu},
    {"nn.functional.leaky_relu", a_leaky_relu},
    {"nn.functional.softplus", a_softplus},
    {"nn.functional.hardtanh", a_hardtanh},
    {"nn.functional.gelu", a_gelu},
    {"add", a_add},
    {"sub", a_sub},
    {"rsub", a_rsub},
    {"mul", a_mul},
    {"div", a_div},
    {"pow", a_pow},
    {"maximum", a_maximum},
    {"minimum", a_minimum},
    {"eq", a_eq},
    {"ne", a_ne},
    {"lt", a_lt},
    {"le", a_le},
    {"gt", a_gt},
    {"ge", a_ge},
    {"where", a_where},
    {NULL, NULL},
};
