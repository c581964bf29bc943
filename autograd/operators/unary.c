/* Elementwise, one input: trigonometric, hyperbolic, rounding, exponentials. */
#include "autograd/operators/elementwise.h"

TG_UNARY_SAMPLES(inside_one, TG_RANGE(-0.9, 0.9))
TG_UNARY_SAMPLES(above_one, TG_RANGE(1.2, 3))
TG_UNARY_SAMPLES(not_whole, TG_RANGE(-1.8, 1.8), away 0.2 from [-1, 0, 1])
TG_UNARY_SAMPLES(not_half, TG_RANGE(-1.4, 1.4), away 0.2 from [-0.5, 0.5])

static const double two_decimals[] = {2}, eps_scalar[] = {0.3}, replacements[] = {1, 2, 3};
#define SCALAR_SAMPLES(name, scalars_, ...)                                                                  \
    TG_SAMPLES(name,                                                                                         \
               {.label = "strided",                                                                          \
                .in = TG_SAMPLE_INPUTS({TG_DIM2(5, 3), strided, __VA_ARGS__}),                               \
                .scalars = scalars_})
SCALAR_SAMPLES(cents, two_decimals, TG_RANGE(0.0101, 0.0149))
SCALAR_SAMPLES(odds, eps_scalar, TG_RANGE(0.05, 0.95), away 0.05 from [0.3, 0.7])
SCALAR_SAMPLES(replaced, replacements, TG_RANGE(-2, 2))

/* -- rules ---------------------------------------------------------------------------------------------- */

static tg_tensor *x_of(const tg_node *node)
{
    return tg_node_input(node, 0);
}

static tg_tensor *y_of(const tg_node *node)
{
    return tg_node_output(node, 0);
}

/* sign·x² + shift */
static tg_tensor *parabola(tg_tape *tape, tg_tensor *x, double sign, double shift)
{
    tg_tensor *xx = tg_square(tape, x);
    return tg_add_scalar(tape, sign < 0 ? tg_neg(tape, xx) : xx, shift);
}

TG_RULE(acos)
{
    gx[0] = tg_mul(tape, gy[0], tg_neg(tape, tg_rsqrt(tape, parabola(tape, x_of(node), -1, 1))));
    return tg_tape_status(tape);
}

TG_RULE(acosh)
{
    gx[0] = tg_mul(tape, gy[0], tg_rsqrt(tape, parabola(tape, x_of(node), 1, -1)));
    return tg_tape_status(tape);
}

TG_RULE(asin)
{
    gx[0] = tg_mul(tape, gy[0], tg_rsqrt(tape, parabola(tape, x_of(node), -1, 1)));
    return tg_tape_status(tape);
}

TG_RULE(asinh)
{
    gx[0] = tg_mul(tape, gy[0], tg_rsqrt(tape, parabola(tape, x_of(node), 1, 1)));
    return tg_tape_status(tape);
}

TG_RULE(atan)
{
    gx[0] = tg_div(tape, gy[0], parabola(tape, x_of(node), 1, 1));
    return tg_tape_status(tape);
}

TG_RULE(atanh)
{
    gx[0] = tg_div(tape, gy[0], parabola(tape, x_of(node), -1, 1));
    return tg_tape_status(tape);
}

TG_RULE(cosh)
{
    gx[0] = tg_mul(tape, gy[0], tg_sinh(tape, x_of(node)));
    return tg_tape_status(tape);
}

TG_RULE(sinh)
{
    gx[0] = tg_mul(tape, gy[0], tg_cosh(tape, x_of(node)));
    return tg_tape_status(tape);
}

TG_RULE(tan)
{
    gx[0] = tg_mul(tape, gy[0], parabola(tape, y_of(node), 1, 1));
    return tg_tape_status(tape);
}

#define LN2 0.69314718055994530942
#define LN10 2.30258509299404568402

TG_RULE(exp2)
{
    gx[0] = tg_mul(tape, gy[0], tg_mul_scalar(tape, y_of(node), LN2));
    return tg_tape_status(tape);
}

TG_RULE(log2)
{
    gx[0] = tg_div(tape, gy[0], tg_mul_scalar(tape, x_of(node), LN2));
    return tg_tape_status(tape);
}

TG_RULE(log10)
{
    gx[0] = tg_div(tape, gy[0], tg_mul_scalar(tape, x_of(node), LN10));
    return tg_tape_status(tape);
}

TG_RULE(frac)
{
    gx[0] = gy[0];
    return tg_tape_status(tape);
}

TG_RULE(nan_to_num)
{
    gx[0] = tg_mul(tape, gy[0], tg_isfinite(tape, x_of(node)));
    return tg_tape_status(tape);
}

/* gy/(x·(1 − x)) in [eps, 1 − eps], 0 outside; without an eps NaN outside [0, 1]. */
TG_RULE(logit)
{
    const double eps = tg_node_scalar(node, 0), low = eps < 0 ? 0 : eps;
    tg_tensor *x = x_of(node);
    tg_tensor *inside = tg_logical_and(tape, tg_ge(tape, x, tg_constant_like(tape, x, low)),
                                       tg_le(tape, x, tg_constant_like(tape, x, 1 - low)));
    tg_tensor *slope = tg_mul(tape, x, tg_add_scalar(tape, tg_neg(tape, x), 1));
    tg_tensor *outside = tg_constant_like(tape, x, eps < 0 ? (double)NAN : 0);
    gx[0] = tg_where(tape, inside, tg_div(tape, gy[0], slope), outside);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

TG_UNARY(acos, TG_OP_IN(0), inside_one, "arc cosine")
TG_UNARY(acosh, TG_OP_IN(0), above_one, "inverse hyperbolic cosine")
TG_UNARY(asin, TG_OP_IN(0), inside_one, "arc sine")
TG_UNARY(asinh, TG_OP_IN(0), tg_samples_real, "inverse hyperbolic sine")
TG_UNARY(atan, TG_OP_IN(0), tg_samples_real, "arc tangent")
TG_UNARY(atanh, TG_OP_IN(0), inside_one, "inverse hyperbolic tangent")
TG_UNARY(cosh, TG_OP_IN(0), tg_samples_real, "(exp(x) + exp(-x))/2")
TG_UNARY(sinh, TG_OP_IN(0), tg_samples_real, "(exp(x) - exp(-x))/2")
TG_UNARY(tan, TG_OP_OUT(0), inside_one, "sin x/cos x")
TG_UNARY(exp2, TG_OP_OUT(0), tg_samples_real, "2^x")
TG_UNARY(log2, TG_OP_IN(0), tg_samples_positive, "the logarithm to base 2")
TG_UNARY(log10, TG_OP_IN(0), tg_samples_positive, "the logarithm to base 10")
TG_UNARY_ROW(frac, 0, tg_infer_like, frac_vjp, 0, not_whole, "x - trunc(x)")
TG_UNARY_ROW(ceil, 0, tg_infer_like_number, tg_zero_vjp, 0, not_whole, "up to a whole number; the derivative is 0")
TG_UNARY_ROW(floor, 0, tg_infer_like_number, tg_zero_vjp, 0, not_whole, "down to a whole number; the derivative is 0")
TG_UNARY_ROW(trunc, 0, tg_infer_like_number, tg_zero_vjp, 0, not_whole,
             "towards 0 to a whole number; the derivative is 0")
TG_UNARY_ROW(round, 0, tg_infer_like_number, tg_zero_vjp, 0, not_half,
             "to the nearest whole number, halves to the even one; the derivative is 0")

#define WITH_SCALARS(name_, flags_, n, infer_, vjp_, saved, table, text)                                     \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text), .flags = flags_,     .n_in = 1,   .n_out = 1,      .n_scalars = n,             \
        .saves = saved,       .infer = infer_,     .vjp = vjp_, .samples = TG_PROOF(table), .promotes = TG_OP_IN(0),   \
    };
WITH_SCALARS(round_decimals, 0, 1, tg_infer_like, tg_zero_vjp, 0, cents, "round(x*10^s)/10^s; the derivative is 0")
WITH_SCALARS(logit, TG_OP_FLOAT, 1, tg_infer_like, logit_vjp, TG_OP_IN(0), odds,
             "log(z/(1 - z)), z = x held in [s, 1 - s]; s < 0: x itself")
WITH_SCALARS(nan_to_num, 0, 3, tg_infer_like_any, nan_to_num_vjp, TG_OP_IN(0), replaced,
             "x with NaN, inf and -inf replaced; the derivative is 0 there")

tg_tensor *tg_round_decimals(tg_tape *tape, tg_tensor *x, int decimals)
{
    return tg_row1(tape, &row_round_decimals, x, NULL, &(double){decimals});
}

tg_tensor *tg_logit(tg_tape *tape, tg_tensor *x, double eps)
{
    return tg_row1(tape, &row_logit, x, NULL, &(double){eps >= 0 ? eps : -1});
}

tg_tensor *tg_nan_to_num(tg_tape *tape, tg_tensor *x, double nan, double posinf, double neginf)
{
    return tg_row1(tape, &row_nan_to_num, x, NULL, (const double[]){nan, posinf, neginf});
}

tg_tensor *tg_sgn(tg_tape *tape, tg_tensor *x)
{
    TG_COMPOSES(tape, "sgn");
    return tg_sign(tape, x);
}

tg_tensor *tg_deg2rad(tg_tape *tape, tg_tensor *x)
{
    x = tg_as_float(tape, x, "deg2rad", "x");
    return x ? tg_mul_scalar(tape, x, 0.017453292519943295769) : NULL;
}

tg_tensor *tg_rad2deg(tg_tape *tape, tg_tensor *x)
{
    x = tg_as_float(tape, x, "rad2deg", "x");
    return x ? tg_mul_scalar(tape, x, 57.295779513082320877) : NULL;
}

const tg_operator *const tg_ops_unary[] = {
    &row_acos,  &row_acosh, &row_asin,  &row_asinh, &row_atan,           &row_atanh, &row_cosh,
    &row_sinh,  &row_tan,   &row_exp2,  &row_log2,  &row_log10,          &row_frac,  &row_ceil,
    &row_floor, &row_trunc, &row_round, &row_logit, &row_round_decimals, &row_nan_to_num, NULL,
};
