#include "autograd/operators/elementwise.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_where(const tg_infer *q)
{
    if (q->in[0]->dtype != TG_BOOL)
        return tg_infer_fail(q, TG_EDTYPE, "condition must be bool, not %s", tg_dtype_name(q->in[0]->dtype));
    tg_status status = tg_need_one_dtype(q, 1, TG_KIND_BOOL);
    return status ? status : tg_infer_broadcast(q, q->in[1]->dtype, q->out);
}

static tg_status infer_to(const tg_infer *q)
{
    const tg_to_attrs *attrs = q->attrs;
    const bool to = attrs->dtype == TG_F32 || attrs->dtype == TG_F64 || attrs->dtype == TG_I64 || attrs->dtype == TG_BOOL;
    const int32_t from = q->in[0]->dtype;
    if (!to || (from != TG_F32 && from != TG_F64 && from != TG_I64 && from != TG_BOOL))
        return tg_infer_fail(q, TG_EDTYPE, "converts among f32, f64, i64 and bool, not %s %s",
                             to ? "from" : "to", tg_dtype_name(to ? from : (int32_t)attrs->dtype));
    return tg_desc_make(q->out, (tg_dtype)attrs->dtype, q->in[0]->dim, (size_t)q->in[0]->ndim);
}

/* -- samples -------------------------------------------------------------------------------------------- */

static const double one_scalar[] = {1.75}, cubic[] = {3}, minus_half[] = {-0.5};
TG_UNARY_SAMPLES(real, TG_RANGE(-2, 2))

const tg_sample *tg_samples_real(size_t *n)
{
    return real(n);
}

TG_UNARY_SAMPLES(positive, TG_RANGE(0.5, 3))

const tg_sample *tg_samples_positive(size_t *n)
{
    return positive(n);
}

TG_UNARY_SAMPLES(above_minus_one, TG_RANGE(-0.6, 2))
TG_UNARY_SAMPLES(not_zero, TG_RANGE(-2, 2), TG_AWAY(0, 0.3))

const tg_sample *tg_samples_not_zero(size_t *n)
{
    return not_zero(n);
}


TG_SAMPLES(with_scalar,
           {.label = "strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), strided, TG_RANGE(-2, 2)}),
            .scalars = one_scalar},
           {.label = "i64",
            .in = TG_SAMPLE_INPUTS({TG_DIM1(5), i64, constant, TG_RANGE(-4, 5)}),
            .scalars = cubic})
TG_SAMPLES(
    powers,
    {.label = "power 1.75", .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), TG_RANGE(0.5, 2)}), .scalars = one_scalar},
    {.label = "cube", .in = TG_SAMPLE_INPUTS({TG_DIM1(5), TG_RANGE(-2, 2), TG_AWAY(0, 0.3)}), .scalars = cubic},
    {.label = "strided, power -0.5",
     .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), TG_RANGE(0.5, 2), strided}),
     .scalars = minus_half})

#define REAL TG_RANGE(-2, 2)
#define INTEGERS i64, constant, TG_RANGE(-4, 5)
#define POSITIVE TG_RANGE(0.5, 2)
#define NOT_ZERO TG_RANGE(-2, 2), TG_AWAY(0, 0.4)
TG_SAMPLES(pairs, {.label = "same dims", .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), REAL}, {TG_DIM2(3, 4), REAL})},
           {.label = "row and column",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 1), REAL}, {TG_DIM3(2, 1, 4), REAL})},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_DIM1(5), REAL}, {TG_NO_DIMS, REAL})},
           {.label = "strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), strided, REAL}, {TG_DIM1(3), REAL})},
           {.label = "i64",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), INTEGERS}, {TG_DIM1(3), INTEGERS})})
TG_BINARY_SAMPLES(quotients, REAL, NOT_ZERO)
/* Where the formula is 0·∞, too: the bases, then the exponents, are all 0. */
TG_SAMPLES(powers_of_two,
           {.label = "strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), strided, POSITIVE}, {TG_DIM1(3), REAL})},
           {.label = "base 0",
            .in = TG_SAMPLE_INPUTS({TG_DIM1(3), constant}, {TG_DIM1(3), TG_RANGE(0.5, 2)})},
           {.label = "base and exponent 0",
            .in = TG_SAMPLE_INPUTS({TG_DIM1(3)}, {TG_DIM1(3), constant})})
/* Ranges that interleave without touching: no ties between the operands. */
#define LOW_OR_HIGH TG_RANGE(-2, 2), away 0.6 from [0]
#define MIDDLE TG_RANGE(-0.4, 0.4)
TG_BINARY_SAMPLES(no_ties, LOW_OR_HIGH, MIDDLE)

#define CONDITION boolean, constant, TG_RANGE(0, 2)
TG_SAMPLES(choices,
           {.label = "same dims",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), CONDITION}, {TG_DIM2(3, 4), REAL}, {TG_DIM2(3, 4), REAL})},
           {.label = "broadcast",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 1), CONDITION}, {TG_DIM1(4), REAL}, {TG_NO_DIMS, REAL})},
           {.label = "strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM1(3), CONDITION},
                   {TG_DIM2(4, 3), REAL, strided},
                   {TG_DIM2(4, 3), REAL})})

static const tg_to_attrs to_f64 = {TG_F64}, to_f32 = {TG_F32}, to_bool = {TG_BOOL};
TG_SAMPLES(conversions, {.label = "to f64", .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), REAL}), .attrs = &to_f64},
           {.label = "strided, to f64",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), REAL, strided}),
            .attrs = &to_f64},
           {.label = "bool to f32",
            .in = TG_SAMPLE_INPUTS({TG_DIM1(5), boolean, constant, TG_RANGE(0, 2)}),
            .attrs = &to_f32},
           {.label = "i64 to bool",
            .in = TG_SAMPLE_INPUTS({TG_NO_DIMS, i64, constant, TG_RANGE(-2, 3)}),
            .attrs = &to_bool})

/* -- one input ------------------------------------------------------------------------------------------ */

tg_tensor *tg_constant_like(tg_tape *tape, const tg_tensor *x, double value)
{
    return tg_full(tape, tg_tensor_dtype(x), NULL, 0, value);
}

static tg_tensor *input(const tg_node *node, size_t i)
{
    return tg_node_input(node, i);
}

static tg_tensor *result(const tg_node *node)
{
    return tg_node_output(node, 0);
}

TG_RULE(neg)
{
    gx[0] = tg_neg(tape, gy[0]);
    return tg_tape_status(tape);
}

TG_RULE(abs)
{
    gx[0] = tg_mul(tape, gy[0], tg_sign(tape, input(node, 0)));
    return tg_tape_status(tape);
}

tg_status tg_zero_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)node;
    gx[0] = tg_zeros_like(tape, gy[0]);
    return tg_tape_status(tape);
}

TG_RULE(exp)
{
    gx[0] = tg_mul(tape, gy[0], result(node));
    return tg_tape_status(tape);
}

TG_RULE(expm1)
{
    gx[0] = tg_mul(tape, gy[0], tg_add_scalar(tape, result(node), 1));
    return tg_tape_status(tape);
}

TG_RULE(log)
{
    gx[0] = tg_div(tape, gy[0], input(node, 0));
    return tg_tape_status(tape);
}

TG_RULE(log1p)
{
    gx[0] = tg_div(tape, gy[0], tg_add_scalar(tape, input(node, 0), 1));
    return tg_tape_status(tape);
}

TG_RULE(sqrt)
{
    gx[0] = tg_div(tape, gy[0], tg_mul_scalar(tape, result(node), 2));
    return tg_tape_status(tape);
}

TG_RULE(rsqrt)
{
    tg_tensor *cube = tg_pow_scalar(tape, result(node), 3);
    gx[0] = tg_mul(tape, gy[0], tg_mul_scalar(tape, cube, -0.5));
    return tg_tape_status(tape);
}

TG_RULE(square)
{
    gx[0] = tg_mul(tape, gy[0], tg_mul_scalar(tape, input(node, 0), 2));
    return tg_tape_status(tape);
}

TG_RULE(reciprocal)
{
    gx[0] = tg_mul(tape, gy[0], tg_neg(tape, tg_square(tape, result(node))));
    return tg_tape_status(tape);
}

TG_RULE(sin)
{
    gx[0] = tg_mul(tape, gy[0], tg_cos(tape, input(node, 0)));
    return tg_tape_status(tape);
}

TG_RULE(cos)
{
    gx[0] = tg_mul(tape, gy[0], tg_neg(tape, tg_sin(tape, input(node, 0))));
    return tg_tape_status(tape);
}

TG_RULE(erf)
{
    const double two_over_root_pi = 1.12837916709551257390;
    tg_tensor *bell = tg_exp(tape, tg_neg(tape, tg_square(tape, input(node, 0))));
    gx[0] = tg_mul(tape, gy[0], tg_mul_scalar(tape, bell, two_over_root_pi));
    return tg_tape_status(tape);
}

TG_RULE(add_scalar)
{
    gx[0] = gy[0];
    return tg_tape_status(tape);
}

TG_RULE(mul_scalar)
{
    gx[0] = tg_mul_scalar(tape, gy[0], tg_node_scalar(node, 0));
    return tg_tape_status(tape);
}

TG_RULE(pow_scalar)
{
    const double e = tg_node_scalar(node, 0);
    if (e == 0) {
        gx[0] = tg_zeros_like(tape, gy[0]);
    } else {
        tg_tensor *slope = tg_mul_scalar(tape, tg_pow_scalar(tape, input(node, 0), e - 1), e);
        gx[0] = tg_mul(tape, gy[0], slope);
    }
    return tg_tape_status(tape);
}

TG_UNARY_ROW(neg, 0, tg_infer_like_number, neg_vjp, 0, real, "-x")
TG_UNARY_ROW(abs, 0, tg_infer_like_number, abs_vjp, TG_OP_IN(0), not_zero, "|x|; the derivative at 0 is 0")
TG_UNARY_ROW(sign, 0, tg_infer_like_any, tg_zero_vjp, 0, not_zero, "-1, 0 or 1; the derivative is 0")
TG_UNARY(exp, TG_OP_OUT(0), real, "e^x")
TG_UNARY(expm1, TG_OP_OUT(0), real, "e^x - 1")
TG_UNARY(log, TG_OP_IN(0), positive, "the natural logarithm")
TG_UNARY(log1p, TG_OP_IN(0), above_minus_one, "log(1 + x)")
TG_UNARY(sqrt, TG_OP_OUT(0), positive, "the square root")
TG_UNARY(rsqrt, TG_OP_OUT(0), positive, "1/sqrt(x)")
TG_UNARY_ROW(square, 0, tg_infer_like_number, square_vjp, TG_OP_IN(0), real, "x*x")
TG_UNARY(reciprocal, TG_OP_OUT(0), not_zero, "1/x")
TG_UNARY(sin, TG_OP_IN(0), real, "sin x")
TG_UNARY(cos, TG_OP_IN(0), real, "cos x")
TG_UNARY(erf, TG_OP_IN(0), real, "2/sqrt(pi) * the integral of exp(-t*t) from 0 to x")

/* Integers stay what they are, so a scalar that meets them is whole. */
static tg_tensor *with_scalar_row(tg_tape *tape, const tg_operator *op, const char *what, tg_tensor *x, double s, double sign,
                                  double least)
{
    const tg_desc *d = tg_argument(tape, x, what, "x");
    const double k = s * sign;
    const bool whole = k >= least && k < 0x1p63 && k == floor(k);
    if (d && tg_dtype_kind(d->dtype) < TG_KIND_FLOAT && !whole) {
        tg_fail(tape, TG_EINVAL, "%s: with %s, the scalar must be a whole number%s, not %g; convert x with tg_to", what,
                tg_dtype_name(d->dtype), least == 0 ? " from 0" : "", s);
        return NULL;
    }
    if (d && d->dtype == TG_BOOL)
        x = tg_to(tape, x, TG_I64);
    return d ? tg_row1(tape, op, x, NULL, &k) : NULL;
}

#define WITH_SCALAR(name, saved, least, table, text)                                                         \
    static const tg_operator row_##name = {                                                                  \
        TG_ROW(#name, text),                                                                                 \
        .flags = TG_OP_POINTWISE,                                                                            \
        .n_in = 1,                                                                                           \
        .n_out = 1,                                                                                          \
        .n_scalars = 1,                                                                                      \
        .saves = saved,                                                                                      \
        .infer = tg_infer_like_number,                                                                       \
        .vjp = name##_vjp,                                                                                   \
        .samples = TG_PROOF(table),                                                                                    \
    };                                                                                                       \
    tg_tensor *tg_##name(tg_tape *tape, tg_tensor *x, double s)                                              \
    {                                                                                                        \
        return with_scalar_row(tape, &row_##name, #name, x, s, 1, least);                                            \
    }
WITH_SCALAR(add_scalar, 0, -0x1p63, with_scalar, "x + s")
WITH_SCALAR(mul_scalar, 0, -0x1p63, with_scalar, "x*s")
WITH_SCALAR(pow_scalar, TG_OP_IN(0), 0, powers, "x^s; the derivative for s = 0 is 0")

tg_tensor *tg_sub_scalar(tg_tape *tape, tg_tensor *x, double s)
{
    return with_scalar_row(tape, &row_add_scalar, "sub_scalar", x, s, -1, -0x1p63);
}

tg_tensor *tg_as_float(tg_tape *tape, tg_tensor *x, const char *what, const char *argument)
{
    const tg_desc *d = tg_argument(tape, x, what, argument);
    return d && tg_dtype_kind(d->dtype) < TG_KIND_FLOAT ? tg_to(tape, x, (tg_dtype)tape->rt->dtype) : d ? x : NULL;
}

/* x and the scalar as a tensor without dims of x's dtype, integers as floats. */
static tg_tensor *scalar_beside(tg_tape *tape, const char *what, tg_tensor **x, double s)
{
    *x = tg_as_float(tape, *x, what, "x");
    return *x ? tg_constant_like(tape, *x, s) : NULL;
}

tg_tensor *tg_div_scalar(tg_tape *tape, tg_tensor *x, double s)
{
    tg_tensor *k = scalar_beside(tape, "div_scalar", &x, s);
    return k ? tg_div(tape, x, k) : NULL;
}

/* Integers that stay integers beside a whole number. */
static bool stays_whole(const tg_tensor *x, double s)
{
    return tg_tensor_is_alive(x) && tg_dtype_kind((int32_t)tg_tensor_dtype(x)) < TG_KIND_FLOAT && s == floor(s) &&
           fabs(s) < 0x1p63;
}

tg_tensor *tg_rsub_scalar(tg_tape *tape, double s, tg_tensor *x)
{
    TG_COMPOSES(tape, "rsub_scalar");
    if (stays_whole(x, s))
        return tg_add_scalar(tape, tg_mul_scalar(tape, x, -1), s);
    tg_tensor *k = scalar_beside(tape, "rsub_scalar", &x, s);
    return k ? tg_sub(tape, k, x) : NULL;
}

tg_tensor *tg_rdiv_scalar(tg_tape *tape, double s, tg_tensor *x)
{
    tg_tensor *k = scalar_beside(tape, "rdiv_scalar", &x, s);
    return k ? tg_div(tape, k, x) : NULL;
}

tg_tensor *tg_rpow_scalar(tg_tape *tape, double base, tg_tensor *x)
{
    TG_COMPOSES(tape, "rpow_scalar");
    if (stays_whole(x, base)) {
        x = tg_to(tape, x, TG_I64);
        return tg_pow(tape, tg_constant_like(tape, x, base), x);
    }
    tg_tensor *k = scalar_beside(tape, "rpow_scalar", &x, base);
    return k ? tg_pow(tape, k, x) : NULL;
}

/* -- two inputs ----------------------------------------------------------------------------------------- */

TG_RULE(add)
{
    gx[0] = gy[0];
    gx[1] = gy[0];
    return tg_tape_status(tape);
}

TG_RULE(sub)
{
    gx[0] = gy[0];
    if (tg_node_needs(node, 1))
        gx[1] = tg_neg(tape, gy[0]);
    return tg_tape_status(tape);
}

TG_RULE(mul)
{
    if (tg_node_needs(node, 0))
        gx[0] = tg_mul(tape, gy[0], input(node, 1));
    if (tg_node_needs(node, 1))
        gx[1] = tg_mul(tape, gy[0], input(node, 0));
    return tg_tape_status(tape);
}

TG_RULE(div)
{
    if (tg_node_needs(node, 0))
        gx[0] = tg_div(tape, gy[0], input(node, 1));
    if (tg_node_needs(node, 1))
        gx[1] = tg_neg(tape, tg_mul(tape, gy[0], tg_div(tape, result(node), input(node, 1))));
    return tg_tape_status(tape);
}

/* Where the base or the exponent makes the formula 0·∞, the value is 0, as in PyTorch; and the base is taken
 * for 1 there, so that no NaN comes back through what is masked in the derivatives that follow. */
TG_RULE(pow)
{
    tg_tensor *a = input(node, 0), *b = input(node, 1);
    tg_tensor *zero = tg_constant_like(tape, gy[0], 0), *one = tg_constant_like(tape, gy[0], 1);
    if (tg_node_needs(node, 0)) {
        tg_tensor *flat = tg_eq(tape, b, zero), *base = tg_where(tape, flat, one, a);
        tg_tensor *slope = tg_mul(tape, b, tg_pow(tape, base, tg_add_scalar(tape, b, -1)));
        gx[0] = tg_where(tape, flat, zero, tg_mul(tape, gy[0], slope));
    }
    if (tg_node_needs(node, 1)) {
        tg_tensor *no = tg_full(tape, TG_BOOL, NULL, 0, 0);
        tg_tensor *flat = tg_where(tape, tg_eq(tape, a, zero), tg_ge(tape, b, zero), no);
        gx[1] = tg_mul(tape, gy[0], tg_mul(tape, result(node), tg_log(tape, tg_where(tape, flat, one, a))));
    }
    return tg_tape_status(tape);
}

/* gy where `lost` is false, half of it at ties. */
static tg_tensor *share(tg_tape *tape, tg_tensor *gy, tg_tensor *lost, tg_tensor *tie, tg_tensor *zero)
{
    return tg_where(tape, lost, zero, tg_where(tape, tie, tg_mul_scalar(tape, gy, 0.5), gy));
}

static tg_status extremum_vjp(tg_tape *tape, const tg_node *node, tg_tensor *gy, tg_tensor *gx[],
                              bool maximum)
{
    tg_tensor *a = input(node, 0), *b = input(node, 1);
    tg_tensor *tie = tg_eq(tape, a, b), *zero = tg_constant_like(tape, gy, 0);
    if (tg_node_needs(node, 0))
        gx[0] = share(tape, gy, maximum ? tg_lt(tape, a, b) : tg_gt(tape, a, b), tie, zero);
    if (tg_node_needs(node, 1))
        gx[1] = share(tape, gy, maximum ? tg_gt(tape, a, b) : tg_lt(tape, a, b), tie, zero);
    return tg_tape_status(tape);
}

tg_status tg_maximum_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    return extremum_vjp(tape, node, gy[0], gx, true);
}

tg_status tg_minimum_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    return extremum_vjp(tape, node, gy[0], gx, false);
}

static tg_status infer_sub(const tg_infer *q)
{
    if (q->in[0]->dtype == TG_BOOL)
        return tg_infer_fail(q, TG_EDTYPE, "bools have no difference; take logical_xor");
    return tg_infer_broadcast_number(q);
}

TG_BINARY_ROW(add, 0, tg_infer_broadcast_any, add_vjp, 0, pairs, "a + b")
TG_BINARY_ROW(sub, 0, infer_sub, sub_vjp, 0, pairs, "a - b")
TG_BINARY_ROW(mul, 0, tg_infer_broadcast_any, mul_vjp, BOTH, pairs, "a*b")
TG_BINARY(div, TG_OP_IN(1) | TG_OP_OUT(0), quotients, "a/b")
TG_BINARY_ROW(pow, 0, tg_infer_broadcast_number, pow_vjp, BOTH | TG_OP_OUT(0), powers_of_two, "a^b")
TG_BINARY_ROW(maximum, 0, tg_infer_broadcast_any, tg_maximum_vjp, BOTH, no_ties,
              "the larger; NaN if one is; ties halve the gradient")
TG_BINARY_ROW(minimum, 0, tg_infer_broadcast_any, tg_minimum_vjp, BOTH, no_ties,
              "the smaller; NaN if one is; ties halve the gradient")

/* -- the rest ------------------------------------------------------------------------------------------- */

TG_RULE(where)
{
    tg_tensor *condition = input(node, 0), *zero = tg_constant_like(tape, gy[0], 0);
    if (tg_node_needs(node, 1))
        gx[1] = tg_where(tape, condition, gy[0], zero);
    if (tg_node_needs(node, 2))
        gx[2] = tg_where(tape, condition, zero, gy[0]);
    return tg_tape_status(tape);
}

static const tg_operator row_where = {
    TG_ROW("where", "condition ? a : b"),
    .flags = TG_OP_BROADCAST | TG_OP_POINTWISE,
    .n_in = 3,
    .n_out = 1,
    .saves = TG_OP_IN(0),
    .promotes = TG_OP_IN(1) | TG_OP_IN(2),
    .infer = infer_where,
    .vjp = where_vjp,
    .samples = TG_PROOF(choices),
};

tg_tensor *tg_where(tg_tape *tape, tg_tensor *condition, tg_tensor *a, tg_tensor *b)
{
    return tg_row3(tape, &row_where, condition, a, b, NULL);
}

TG_RULE(to)
{
    gx[0] = tg_to(tape, gy[0], tg_tensor_dtype(input(node, 0)));
    return tg_tape_status(tape);
}

static const tg_attr_spec to_specs[] = {
    {.name = "dtype", .type = TG_ATTR_INT, .offset = offsetof(tg_to_attrs, dtype), .doc = "a tg_dtype"},
    {0},
};
static const tg_operator row_to = {
    TG_ROW("to", "x in another dtype"),
    .n_in = 1,
    .n_out = 1,
    TG_ATTRS(tg_to_attrs, to_specs),
    .infer = infer_to,
    .vjp = to_vjp,
    .samples = TG_PROOF(conversions),
};

tg_tensor *tg_to(tg_tape *tape, tg_tensor *x, tg_dtype dtype)
{
    const tg_desc *d = tg_argument(tape, x, "to", "x");
    if (!d || d->dtype == (int32_t)dtype)
        return d ? x : NULL;
    return tg_row1(tape, &row_to, x, &(tg_to_attrs){dtype}, NULL);
}

const tg_operator *const tg_ops_elementwise[] = {
    &row_neg,        &row_abs,        &row_sign,       &row_exp,        &row_expm1, &row_log, &row_log1p,
    &row_sqrt,       &row_rsqrt,      &row_square,     &row_reciprocal, &row_sin,   &row_cos, &row_erf,
    &row_add_scalar, &row_mul_scalar, &row_pow_scalar, &row_add,        &row_sub,   &row_mul, &row_div,
    &row_pow,        &row_maximum,    &row_minimum,    &row_where,      &row_to,    NULL,
};
