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
UNARY(a_acos, tg_acos)
UNARY(a_acosh, tg_acosh)
UNARY(a_asin, tg_asin)
UNARY(a_asinh, tg_asinh)
UNARY(a_atan, tg_atan)
UNARY(a_atanh, tg_atanh)
UNARY(a_cosh, tg_cosh)
UNARY(a_sinh, tg_sinh)
UNARY(a_tan, tg_tan)
UNARY(a_exp2, tg_exp2)
UNARY(a_log2, tg_log2)
UNARY(a_log10, tg_log10)
UNARY(a_erfc, tg_erfc)
UNARY(a_erfinv, tg_erfinv)
UNARY(a_lgamma, tg_lgamma)
UNARY(a_digamma, tg_digamma)
UNARY(a_i0, tg_i0)
UNARY(a_sinc, tg_sinc)
UNARY(a_ceil, tg_ceil)
UNARY(a_floor, tg_floor)
UNARY(a_trunc, tg_trunc)
UNARY(a_frac, tg_frac)
UNARY(a_sgn, tg_sgn)
UNARY(a_deg2rad, tg_deg2rad)
UNARY(a_rad2deg, tg_rad2deg)
UNARY(a_isnan, tg_isnan)
UNARY(a_isinf, tg_isinf)
UNARY(a_isfinite, tg_isfinite)
UNARY(a_signbit, tg_signbit)
UNARY(a_logical_not, tg_logical_not)
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

static tg_tensor *bound(op_call *c, const char *name)
{
    return has(c, name) ? tensor_or_number(c, name) : NULL;
}

static void a_clamp(op_call *c)
{
    bool low = has(c, "min"), high = has(c, "max");
    if ((low && !is_number(c, "min")) || (high && !is_number(c, "max")))
        give(c, tg_clamp_tensor(c->tape, tensor(c, "input"), bound(c, "min"), bound(c, "max")));
    else
        give(c, tg_clamp(c->tape, tensor(c, "input"), number(c, "min", (double)NAN),
                         number(c, "max", (double)NAN)));
}

static void a_round(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    int64_t decimals = integer(c, "decimals", 0);
    give(c, decimals ? tg_round_decimals(c->tape, x, (int)decimals) : tg_round(c->tape, x));
}

static void a_logit(op_call *c)
{
    give(c, tg_logit(c->tape, tensor(c, "input"), number(c, "eps", -1)));
}

static void a_nan_to_num(op_call *c)
{
    give(c, tg_nan_to_num(c->tape, tensor(c, "input"), number(c, "nan", 0), number(c, "posinf", (double)NAN),
                          number(c, "neginf", (double)NAN)));
}

/* Called as a method, its tensor is named x. */
static void a_polygamma(op_call *c)
{
    give(c, tg_polygamma(c->tape, integer(c, "n", 0), tensor(c, has(c, "x") ? "x" : "input")));
}

static void a_fill(op_call *c)
{
    tg_desc d;
    tg_tensor *x = tensor(c, "input");
    if (x && tg_tensor_desc(x, &d) == TG_OK)
        give(c, tg_full(c->tape, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, number(c, "value", 0)));
}

static void a_prelu(op_call *c)
{
    give(c, tg_prelu(c->tape, tensor(c, "input"), tensor(c, "weight")));
}

static void a_lerp(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *end = tensor(c, "end");
    if (is_number(c, "weight"))
        give(c, tg_lerp_scalar(c->tape, x, end, number(c, "weight", 0)));
    else
        give(c, tg_lerp(c->tape, x, end, tensor(c, "weight")));
}

#define WITH_VALUE(name, call)                                                                               \
    static void name(op_call *c)                                                                             \
    {                                                                                                        \
        give(c, (call)(c->tape, tensor(c, "input"), tensor(c, "tensor1"), tensor(c, "tensor2"),              \
                       number(c, "value", 1)));                                                              \
    }
WITH_VALUE(a_addcmul, tg_addcmul)
WITH_VALUE(a_addcdiv, tg_addcdiv)

static void a_isclose(op_call *c)
{
    give(c, tg_isclose(c->tape, tensor(c, "input"), tensor(c, "other"), number(c, "rtol", 1e-5),
                       number(c, "atol", 1e-8), flag(c, "equal_nan", false)));
}

static void a_heaviside(op_call *c)
{
    give(c, tg_heaviside(c->tape, tensor(c, "input"), tensor(c, "values")));
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
BINARY(a_floor_divide, tg_floor_divide)
BINARY(a_fmod, tg_fmod)
BINARY(a_remainder, tg_remainder)
BINARY(a_atan2, tg_atan2)
BINARY(a_hypot, tg_hypot)
BINARY(a_copysign, tg_copysign)
BINARY(a_xlogy, tg_xlogy)
BINARY(a_logaddexp, tg_logaddexp)
BINARY(a_logaddexp2, tg_logaddexp2)
BINARY(a_ldexp, tg_ldexp)
BINARY(a_fmax, tg_fmax)
BINARY(a_fmin, tg_fmin)
BINARY(a_logical_and, tg_logical_and)
BINARY(a_logical_or, tg_logical_or)
BINARY(a_logical_xor, tg_logical_xor)
BINARY(a_div_trunc, tg_div_trunc)

static void a_div(op_call *c)
{
    if (!has(c, "rounding_mode")) {
        divide(c);
        return;
    }
    const char *mode = text(c, "rounding_mode");
    if (!strcmp(mode, "floor"))
        a_floor_divide(c);
    else if (!strcmp(mode, "trunc"))
        a_div_trunc(c);
    else
        cannot(c, "rounding_mode is neither floor nor trunc");
}

static void a_pow(op_call *c)
{
    if (is_number(c, "input"))
        give(c, tg_rpow_scalar(c->tape, number(c, "input", 0.0), tensor(c, "exponent")));
    else if (is_number(c, "exponent"))
        give(c, tg_pow_scalar(c->tape, tensor(c, "input"), number(c, "exponent", 0.0)));
    else
        give(c, tg_pow(c->tape, tensor(c, "input"), tensor(c, "exponent")));
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
    {"acos", a_acos},
    {"acosh", a_acosh},
    {"asin", a_asin},
    {"asinh", a_asinh},
    {"atan", a_atan},
    {"atanh", a_atanh},
    {"cosh", a_cosh},
    {"sinh", a_sinh},
    {"tan", a_tan},
    {"exp2", a_exp2},
    {"log2", a_log2},
    {"log10", a_log10},
    {"erfc", a_erfc},
    {"erfinv", a_erfinv},
    {"lgamma", a_lgamma},
    {"digamma", a_digamma},
    {"i0", a_i0},
    {"sinc", a_sinc},
    {"ceil", a_ceil},
    {"floor", a_floor},
    {"trunc", a_trunc},
    {"frac", a_frac},
    {"sgn", a_sgn},
    {"deg2rad", a_deg2rad},
    {"rad2deg", a_rad2deg},
    {"isnan", a_isnan},
    {"isinf", a_isinf},
    {"isfinite", a_isfinite},
    {"signbit", a_signbit},
    {"logical_not", a_logical_not},
    {"floor_divide", a_floor_divide},
    {"fmod", a_fmod},
    {"remainder", a_remainder},
    {"atan2", a_atan2},
    {"hypot", a_hypot},
    {"copysign", a_copysign},
    {"xlogy", a_xlogy},
    {"logaddexp", a_logaddexp},
    {"logaddexp2", a_logaddexp2},
    {"ldexp", a_ldexp},
    {"fmax", a_fmax},
    {"fmin", a_fmin},
    {"logical_and", a_logical_and},
    {"logical_or", a_logical_or},
    {"logical_xor", a_logical_xor},
    {"round", a_round},
    {"logit", a_logit},
    {"nan_to_num", a_nan_to_num},
    {"polygamma", a_polygamma},
    {"fill", a_fill},
    {"lerp", a_lerp},
    {"addcmul", a_addcmul},
    {"addcdiv", a_addcdiv},
    {"isclose", a_isclose},
    {"heaviside", a_heaviside},
    {"max.binary", a_maximum},
    {"min.binary", a_minimum},
    {"nn.functional.prelu", a_prelu},
    {NULL, NULL},
};
