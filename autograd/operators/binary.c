/* Elementwise, two and three inputs: quotients and remainders, angles, extrema without NaN, interpolation. */
#include "autograd/operators/elementwise.h"

#define REAL TG_RANGE(-2, 2)
#define POSITIVE TG_RANGE(0.5, 2)
#define FAR TG_RANGE(2.2, 3.8)
#define NOT_ZERO TG_RANGE(-2, 2), TG_AWAY(0, 0.4)
#define LOW_OR_HIGH TG_RANGE(-2, 2), away 0.6 from [0]
#define MIDDLE TG_RANGE(-0.4, 0.4)
TG_BINARY_SAMPLES(pairs, REAL, REAL)
TG_BINARY_SAMPLES(not_zeros, NOT_ZERO, NOT_ZERO)
TG_BINARY_SAMPLES(no_ties, LOW_OR_HIGH, MIDDLE)
TG_BINARY_SAMPLES(to_positive, REAL, POSITIVE)
/* a/b lies between −1 and 1, so no small step crosses a jump. */
#define DIVISORS i64, constant, TG_RANGE(1, 4)
TG_SAMPLES(quotients,
           {.label = "row and column",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 1), NOT_ZERO}, {TG_DIM3(2, 1, 4), FAR})},
           {.label = "strided, i64",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), i64, constant strided,
                                    TG_RANGE(-5, 6)},
                                   {TG_DIM1(3), DIVISORS})})

static tg_tensor *a_of(const tg_node *node)
{
    return tg_node_input(node, 0);
}

static tg_tensor *b_of(const tg_node *node)
{
    return tg_node_input(node, 1);
}

static tg_tensor *y_of(const tg_node *node)
{
    return tg_node_output(node, 0);
}

static tg_tensor *zero_like(tg_tape *tape, tg_tensor *x)
{
    return tg_constant_like(tape, x, 0);
}

/* -- quotients and remainders --------------------------------------------------------------------------- */

tg_status tg_check_divisor(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in, (void)attrs;
    if (tg_tensor_dtype(in[1]) != TG_I64 || !tg_tensor_count(in[1]))
        return TG_OK;
    const tg_operator *range = tg_operator_find(tape->rt, "index_range");
    tg_tensor *size = tg_abs(tape, in[1]), *found = size ? tg_row1(tape, range, size, NULL, NULL) : NULL;
    int64_t least[4] = {0};
    tg_status status = found ? tg_tensor_read(found, least, sizeof least) : tg_tape_status(tape);
    tg_discard(found);
    tg_discard(size);
    if (status)
        return tg_fail_again(tape, status);
    /* The smallest i64 is its own magnitude. */
    if (least[0] == 0)
        return tg_fail(tape, TG_EINVAL, "division of integers: the divisor has a 0 (element %lld)", (long long)least[2]);
    return TG_OK;
}

static tg_status quotient_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    if (tg_node_needs(node, 0))
        gx[0] = tg_zeros_like(tape, gy[0]);
    if (tg_node_needs(node, 1))
        gx[1] = tg_zeros_like(tape, gy[0]);
    return tg_tape_status(tape);
}

TG_BINARY_ROW(floor_divide, TG_OP_HOST_CHECK, tg_infer_broadcast_number, quotient_vjp, 0, quotients,
              "a/b, down to a whole number; the derivative is 0")
TG_BINARY_ROW(div_trunc, TG_OP_HOST_CHECK, tg_infer_broadcast_number, quotient_vjp, 0, quotients,
                     "a/b, towards 0 to a whole number; the derivative is 0")

/* y = a − b·q, q a whole number that is constant between its jumps. */
static tg_status remainder_vjp_by(tg_tape *tape, const tg_node *node, tg_tensor *gy, tg_tensor *gx[],
                                  tg_tensor *(*quotient)(tg_tape *, tg_tensor *, tg_tensor *))
{
    gx[0] = gy;
    if (tg_node_needs(node, 1))
        gx[1] = tg_neg(tape, tg_mul(tape, gy, quotient(tape, a_of(node), b_of(node))));
    return tg_tape_status(tape);
}

TG_RULE(fmod)
{
    return remainder_vjp_by(tape, node, gy[0], gx, tg_div_trunc);
}

TG_RULE(remainder)
{
    return remainder_vjp_by(tape, node, gy[0], gx, tg_floor_divide);
}

TG_BINARY_ROW(fmod, TG_OP_HOST_CHECK, tg_infer_broadcast_number, fmod_vjp, BOTH, quotients,
              "a - b*trunc(a/b), of a's sign")
TG_BINARY_ROW(remainder, TG_OP_HOST_CHECK, tg_infer_broadcast_number, remainder_vjp, BOTH, quotients,
              "a - b*floor(a/b), of b's sign")

/* -- angles, lengths, signs ----------------------------------------------------------------------------- */

/* At the origin the derivatives are 0. */
TG_RULE(atan2)
{
    tg_tensor *a = a_of(node), *b = b_of(node);
    tg_tensor *square = tg_add(tape, tg_square(tape, a), tg_square(tape, b)), *zero = zero_like(tape, square);
    tg_tensor *over = tg_where(tape, tg_eq(tape, square, zero), zero, tg_reciprocal(tape, square));
    if (tg_node_needs(node, 0))
        gx[0] = tg_mul(tape, tg_mul(tape, gy[0], b), over);
    if (tg_node_needs(node, 1))
        gx[1] = tg_mul(tape, tg_mul(tape, gy[0], tg_neg(tape, a)), over);
    return tg_tape_status(tape);
}

TG_RULE(hypot)
{
    if (tg_node_needs(node, 0))
        gx[0] = tg_mul(tape, gy[0], tg_div(tape, a_of(node), y_of(node)));
    if (tg_node_needs(node, 1))
        gx[1] = tg_mul(tape, gy[0], tg_div(tape, b_of(node), y_of(node)));
    return tg_tape_status(tape);
}

/* y/a is ±1; where a is 0, 0. */
TG_RULE(copysign)
{
    tg_tensor *a = a_of(node), *zero = zero_like(tape, gy[0]);
    if (tg_node_needs(node, 0))
        gx[0] = tg_mul(tape, gy[0], tg_where(tape, tg_eq(tape, a, zero), zero, tg_div(tape, y_of(node), a)));
    if (tg_node_needs(node, 1))
        gx[1] = tg_zeros_like(tape, gy[0]);
    return tg_tape_status(tape);
}

TG_BINARY(atan2, BOTH, not_zeros, "the angle of the point (b, a)")
TG_BINARY(hypot, BOTH | TG_OP_OUT(0), not_zeros, "sqrt(a*a + b*b) without overflow")
TG_BINARY(copysign, TG_OP_IN(0) | TG_OP_OUT(0), not_zeros, "a's magnitude with b's sign; the derivative at a = 0 is 0")
TG_BINARY_ROW(heaviside, TG_OP_NONDIFF, tg_infer_broadcast_any, NULL, 0, not_zeros,
              "a < 0: 0; a > 0: 1; a == 0: b")

/* -- extrema -------------------------------------------------------------------------------------------- */

TG_BINARY_ROW(fmax, 0, tg_infer_broadcast_any, tg_maximum_vjp, BOTH, no_ties,
              "the larger, or what is not NaN; ties halve the gradient")
TG_BINARY_ROW(fmin, 0, tg_infer_broadcast_any, tg_minimum_vjp, BOTH, no_ties,
              "the smaller, or what is not NaN; ties halve the gradient")

/* One bound alone. */
#define BOUND_ROW(name_, vjp_, text)                                                                         \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text), .flags = TG_OP_BROADCAST,           .n_in = 2,   .n_out = 1,                   \
        .saves = BOTH,        .infer = tg_infer_broadcast_number, .vjp = vjp_, .samples = TG_PROOF(no_ties),           \
        .promotes = BOTH,                                                                                    \
    };
BOUND_ROW(clamp_min, tg_maximum_vjp, "max(x, bound)")
BOUND_ROW(clamp_max, tg_minimum_vjp, "min(x, bound)")

/* `full` where x is cut, half of gy where it meets a bound, `rest` elsewhere. */
static tg_tensor *cut_share(tg_tape *tape, tg_tensor *gy, tg_tensor *cut, tg_tensor *meets, tg_tensor *full, tg_tensor *rest)
{
    return tg_where(tape, cut, full, tg_where(tape, meets, tg_mul_scalar(tape, gy, 0.5), rest));
}

/* Where the bounds cross, all is max's; where x meets one of two different bounds, they have half each. */
TG_RULE(clamp_tensor)
{
    tg_tensor *x = a_of(node), *low = b_of(node), *high = tg_node_input(node, 2), *zero = zero_like(tape, gy[0]);
    tg_tensor *open = tg_lt(tape, low, high), *crossed = tg_gt(tape, low, high), *order = tg_le(tape, low, high);
    tg_tensor *below = tg_lt(tape, x, low), *above = tg_gt(tape, x, high);
    tg_tensor *at_low = tg_logical_and(tape, tg_eq(tape, x, low), open);
    tg_tensor *at_high = tg_logical_and(tape, tg_eq(tape, x, high), open);
    if (tg_node_needs(node, 0))
        gx[0] = cut_share(tape, gy[0], tg_logical_or(tape, below, above), tg_logical_or(tape, at_low, at_high), zero, gy[0]);
    if (tg_node_needs(node, 1))
        gx[1] = cut_share(tape, gy[0], tg_logical_and(tape, below, order), at_low, gy[0], zero);
    if (tg_node_needs(node, 2)) {
        tg_tensor *cut = tg_logical_or(tape, tg_logical_and(tape, above, order), crossed);
        gx[2] = cut_share(tape, gy[0], cut, at_high, gy[0], zero);
    }
    return tg_tape_status(tape);
}

/* -- logarithms ----------------------------------------------------------------------------------------- */

TG_RULE(xlogy)
{
    tg_tensor *x = a_of(node), *y = b_of(node), *zero = zero_like(tape, gy[0]);
    if (tg_node_needs(node, 0)) {
        tg_tensor *flat = tg_logical_and(tape, tg_eq(tape, x, zero), tg_le(tape, y, zero));
        gx[0] = tg_where(tape, flat, zero, tg_xlogy(tape, gy[0], y));
    }
    if (tg_node_needs(node, 1))
        gx[1] = tg_div(tape, tg_mul(tape, gy[0], x), y);
    return tg_tape_status(tape);
}

static tg_status logaddexp_vjp_by(tg_tape *tape, const tg_node *node, tg_tensor *gy, tg_tensor *gx[],
                                  tg_tensor *(*power)(tg_tape *, tg_tensor *))
{
    tg_tensor *a = a_of(node), *b = b_of(node);
    for (size_t i = 0; i < 2; i++)
        if (tg_node_needs(node, i)) {
            tg_tensor *lead = i ? tg_sub(tape, a, b) : tg_sub(tape, b, a);
            gx[i] = tg_div(tape, gy, tg_add_scalar(tape, power(tape, lead), 1));
        }
    return tg_tape_status(tape);
}

TG_RULE(logaddexp)
{
    return logaddexp_vjp_by(tape, node, gy[0], gx, tg_exp);
}

TG_RULE(logaddexp2)
{
    return logaddexp_vjp_by(tape, node, gy[0], gx, tg_exp2);
}

TG_BINARY(xlogy, BOTH, to_positive, "a*log(b), 0 where a is 0 and b not NaN")
TG_BINARY(logaddexp, BOTH, pairs, "log(exp(a) + exp(b))")
TG_BINARY(logaddexp2, BOTH, pairs, "log2(2^a + 2^b)")

tg_tensor *tg_ldexp(tg_tape *tape, tg_tensor *x, tg_tensor *exponent)
{
    TG_COMPOSES(tape, "ldexp");
    const tg_desc *d = tg_argument(tape, x, "ldexp", "x"), *e = tg_argument(tape, exponent, "ldexp", "exponent");
    if (!d || !e)
        return NULL;
    if (tg_dtype_is_float(d->dtype) && tg_dtype_kind(e->dtype) < TG_KIND_FLOAT)
        exponent = tg_to(tape, exponent, (tg_dtype)d->dtype);
    return tg_mul(tape, x, tg_exp2(tape, exponent));
}

/* -- three inputs --------------------------------------------------------------------------------------- */

static const double factor[] = {1.5};
TG_SAMPLES(triples,
           {.label = "broadcast",
            .in = TG_SAMPLE_INPUTS({TG_DIM1(4), REAL}, {TG_DIM2(3, 1), REAL}, {TG_NO_DIMS, NOT_ZERO}),
            .scalars = factor},
           {.label = "strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), strided, REAL}, {TG_DIM1(3), REAL},
                                   {TG_DIM2(4, 3), strided, NOT_ZERO}),
            .scalars = factor})
#define CUT away 0.2 from [-0.5, 0.5], TG_RANGE(-2, 2)
#define UNDER TG_RANGE(-0.6, -0.4)
#define OVER TG_RANGE(0.4, 0.6)
TG_SAMPLES(bounds,
           {.label = "strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 5), strided, CUT}, {TG_DIM1(5), UNDER}, {TG_NO_DIMS, OVER})},
           {.label = "crossed", .in = TG_SAMPLE_INPUTS({TG_DIM1(7), CUT}, {TG_NO_DIMS, OVER}, {TG_DIM1(7), UNDER})})

/* The three-input rows promote and broadcast all. */
#define TERNARY(name_, n, infer_, saved, table, text)                                                        \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text),                                                                                \
        .flags = TG_OP_BROADCAST,                                                                            \
        .n_in = 3,                                                                                           \
        .n_out = 1,                                                                                          \
        .n_scalars = n,                                                                                      \
        .saves = saved,                                                                                      \
        .promotes = BOTH | TG_OP_IN(2),                                                                      \
        .infer = infer_,                                                                                     \
        .vjp = name_##_vjp,                                                                                  \
        .samples = TG_PROOF(table),                                                                                    \
    };

TG_RULE(addcmul)
{
    const double k = tg_node_scalar(node, 0);
    gx[0] = gy[0];
    if (tg_node_needs(node, 1))
        gx[1] = tg_mul(tape, gy[0], tg_mul_scalar(tape, tg_node_input(node, 2), k));
    if (tg_node_needs(node, 2))
        gx[2] = tg_mul(tape, gy[0], tg_mul_scalar(tape, b_of(node), k));
    return tg_tape_status(tape);
}

TG_RULE(addcdiv)
{
    tg_tensor *below = tg_node_input(node, 2);
    gx[0] = gy[0];
    if (tg_node_needs(node, 1) || tg_node_needs(node, 2)) {
        tg_tensor *part = tg_div(tape, tg_mul_scalar(tape, gy[0], tg_node_scalar(node, 0)), below);
        gx[1] = part;
        if (tg_node_needs(node, 2))
            gx[2] = tg_neg(tape, tg_mul(tape, part, tg_div(tape, b_of(node), below)));
    }
    return tg_tape_status(tape);
}

TG_RULE(lerp)
{
    tg_tensor *weight = tg_node_input(node, 2);
    if (tg_node_needs(node, 0))
        gx[0] = tg_mul(tape, gy[0], tg_add_scalar(tape, tg_neg(tape, weight), 1));
    if (tg_node_needs(node, 1))
        gx[1] = tg_mul(tape, gy[0], weight);
    if (tg_node_needs(node, 2))
        gx[2] = tg_mul(tape, gy[0], tg_sub(tape, b_of(node), a_of(node)));
    return tg_tape_status(tape);
}

TERNARY(clamp_tensor, 0, tg_infer_broadcast_number, BOTH | TG_OP_IN(2), bounds, "min(max(x, low), high)")
TERNARY(addcmul, 1, tg_infer_broadcast_float, TG_OP_IN(1) | TG_OP_IN(2), triples, "x + s*a*b")
TERNARY(addcdiv, 1, tg_infer_broadcast_float, TG_OP_IN(1) | TG_OP_IN(2), triples, "x + s*a/b")
TERNARY(lerp, 0, tg_infer_broadcast_float, BOTH | TG_OP_IN(2), triples, "a + w*(b - a)")

tg_tensor *tg_clamp_tensor(tg_tape *tape, tg_tensor *x, tg_tensor *min, tg_tensor *max)
{
    if (min && max)
        return tg_row3(tape, &row_clamp_tensor, x, min, max, NULL);
    if (min || max)
        return tg_row2(tape, min ? &row_clamp_min : &row_clamp_max, x, min ? min : max, NULL, NULL);
    tg_fail(tape, TG_EINVAL, "clamp_tensor: min and max are both NULL");
    return NULL;
}

static tg_tensor *addc(tg_tape *tape, const tg_operator *op, tg_tensor *x, tg_tensor *a, tg_tensor *b, double value)
{
    tg_tensor *out = NULL;
    tg_apply(tape, op, (tg_tensor *[]){x, a, b}, 3, NULL, &value, &out);
    return out;
}

static bool is_whole(const tg_tensor *x)
{
    return tg_tensor_is_alive(x) && tg_dtype_kind((int32_t)tg_tensor_dtype(x)) < TG_KIND_FLOAT;
}

tg_tensor *tg_addcmul(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double value)
{
    TG_COMPOSES(tape, "addcmul");
    if (is_whole(x) && is_whole(a) && is_whole(b))
        return tg_add(tape, x, tg_mul(tape, tg_mul_scalar(tape, a, value), b));
    return addc(tape, &row_addcmul, x, a, b, value);
}

tg_tensor *tg_addcdiv(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double value)
{
    return addc(tape, &row_addcdiv, x, a, b, value);
}

tg_tensor *tg_lerp(tg_tape *tape, tg_tensor *a, tg_tensor *b, tg_tensor *weight)
{
    return tg_row3(tape, &row_lerp, a, b, weight, NULL);
}

tg_tensor *tg_lerp_scalar(tg_tape *tape, tg_tensor *a, tg_tensor *b, double weight)
{
    TG_COMPOSES(tape, "lerp");
    const tg_desc *d = tg_argument(tape, a, "lerp", "a");
    return d ? tg_lerp(tape, a, b, tg_full(tape, tg_dtype_is_float(d->dtype) ? (tg_dtype)d->dtype : TG_F32, NULL, 0, weight))
             : NULL;
}

const tg_operator *const tg_ops_binary[] = {
    &row_floor_divide, &row_div_trunc, &row_fmod,      &row_remainder, &row_atan2,        &row_hypot,
    &row_copysign,     &row_heaviside, &row_fmax,      &row_fmin,      &row_clamp_min,    &row_clamp_max,
    &row_clamp_tensor, &row_xlogy,     &row_logaddexp, &row_logaddexp2, &row_addcmul,     &row_addcdiv,
    &row_lerp,         NULL,
};
