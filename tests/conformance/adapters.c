/* torch's operators by name, as calls of our public functions: only where these mean the same. */
#include <math.h>
#include <string.h>

#include "op_call.h"

/* -- elementwise ---------------------------------------------------------------------------------------- */

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

/* -- reductions ----------------------------------------------------------------------------------------- */

/* x as 'dtype' asks for. */
static tg_tensor *in_dtype(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    return has(c, "dtype") ? tg_to(c->tape, x, dtype_or(c, c->g->dtype)) : x;
}

static void a_zeros_like(op_call *c)
{
    on_the_host(c);
    give(c, tg_zeros_like(c->tape, in_dtype(c)));
}

static void a_ones_like(op_call *c)
{
    on_the_host(c);
    give(c, tg_ones_like(c->tape, in_dtype(c)));
}

typedef tg_tensor *(*reduction_fn)(tg_tape *, tg_tensor *, const int64_t *, size_t, bool);

static void reduce(op_call *c, reduction_fn f)
{
    tg_tensor *x = in_dtype(c);
    tg_ints d = integers(c, "dim");
    give(c, f(c->tape, x, d.v, (size_t)d.n, flag(c, "keepdim", false)));
}

static void a_sum(op_call *c)
{
    reduce(c, tg_sum_dims);
}

static void a_mean(op_call *c)
{
    reduce(c, tg_mean_dims);
}

static void a_amax(op_call *c)
{
    reduce(c, tg_amax_dims);
}

static void a_amin(op_call *c)
{
    reduce(c, tg_amin_dims);
}

static void a_logsumexp(op_call *c)
{
    reduce(c, tg_logsumexp_dims);
}

/* Over a dim: the values, whose gradient goes to the first of equal ones, and where they were. */
static void extreme(op_call *c, bool most)
{
    tg_tensor *x = tensor(c, "input");
    int64_t dim = integer(c, "dim", 0);
    bool scalar = tg_tensor_ndim(x) == 0, keep = flag(c, "keepdim", false) && !scalar;
    if (scalar)
        x = tg_reshape(c->tape, x, 1);
    tg_tensor *at = tg_argmax(c->tape, most ? x : tg_neg(c->tape, x), dim, true);
    tg_tensor *y = tg_gather(c->tape, x, dim, at);
    give(c, keep ? y : tg_squeeze(c->tape, y, dim));
    give(c, keep ? at : tg_squeeze(c->tape, at, dim));
}

/* max and min: of two, over a dim, or over all elements. */
static void a_max(op_call *c)
{
    if (has(c, "other"))
        a_maximum(c);
    else if (has(c, "dim"))
        extreme(c, true);
    else
        give(c, tg_amax_dims(c->tape, tensor(c, "input"), NULL, 0, false));
}

static void a_min(op_call *c)
{
    if (has(c, "other"))
        a_minimum(c);
    else if (has(c, "dim"))
        extreme(c, false);
    else
        give(c, tg_amin_dims(c->tape, tensor(c, "input"), NULL, 0, false));
}

static void a_var(op_call *c)
{
    double correction = flag(c, "unbiased", true) ? 1.0 : 0.0;
    correction = number(c, "correction", correction);
    tg_ints d = integers(c, "dim");
    give(c,
         tg_var_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n, correction, flag(c, "keepdim", false)));
}

static void a_argmax(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    bool keep = flag(c, "keepdim", false);
    if (has(c, "dim"))
        give(c, tg_argmax(c->tape, x, integer(c, "dim", 0), keep));
    else if (keep)
        cannot(c, "keepdim over all dims has no counterpart here");
    else
        give(c, tg_argmax(c->tape, tg_reshape(c->tape, x, -1), 0, false));
}

static void a_softmax(op_call *c)
{
    give(c, tg_softmax(c->tape, in_dtype(c), integer(c, "dim", -1)));
}

static void a_log_softmax(op_call *c)
{
    give(c, tg_log_softmax(c->tape, in_dtype(c), integer(c, "dim", -1)));
}

static void a_sum_to_size(op_call *c)
{
    tg_ints d = integers(c, "size");
    give(c, tg_sum_to_size(c->tape, tensor(c, "input"), d.v, (size_t)d.n));
}

/* -- products ------------------------------------------------------------------------------------------- */

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

static const struct {
    const char *name;
    adapter_fn fn;
} table[] = {
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
    {"zeros_like", a_zeros_like},
    {"ones_like", a_ones_like},
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
    {"nn.functional.linear", a_linear},
    {"add", a_add},
    {"sub", a_sub},
    {"rsub", a_rsub},
    {"mul", a_mul},
    {"div", a_div},
    {"pow", a_pow},
    {"maximum", a_maximum},
    {"minimum", a_minimum},
    {"max", a_max},
    {"min", a_min},
    {"eq", a_eq},
    {"ne", a_ne},
    {"lt", a_lt},
    {"le", a_le},
    {"gt", a_gt},
    {"ge", a_ge},
    {"where", a_where},
    {"sum", a_sum},
    {"mean", a_mean},
    {"amax", a_amax},
    {"amin", a_amin},
    {"logsumexp", a_logsumexp},
    {"var", a_var},
    {"argmax", a_argmax},
    {"softmax", a_softmax},
    {"log_softmax", a_log_softmax},
    {"sum_to_size", a_sum_to_size},
    {"matmul", a_matmul},
    {"mm", a_mm},
    {"bmm", a_mm},
    {"mv", a_mv},
    {"dot", a_dot},
    {"vdot", a_matmul},
    {"reshape", a_reshape},
    {"flatten", a_flatten},
    {"transpose", a_transpose},
    {"t", a_t},
    {"permute", a_permute},
    {"expand", a_expand},
    {"broadcast_to", a_broadcast_to},
    {"expand_as", a_expand_as},
    {"squeeze", a_squeeze},
    {"unsqueeze", a_unsqueeze},
    {"narrow", a_narrow},
    {"select", a_select},
    {"slice", a_slice},
    {"cat", a_cat},
    {"stack", a_stack},
    {"chunk", a_chunk},
    {"split", a_split},
    {"split_with_sizes", a_split},
    {"unbind", a_unbind},
    {"unflatten", a_unflatten},
    {"movedim", a_movedim},
    {"full", a_full},
    {"gather", a_gather},
    {"scatter_add", a_scatter_add},
    {"index_select", a_index_select},
};

adapter_fn find_adapter(const char *op)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, op))
            return table[i].fn;
    return NULL;
}
