/* Error functions, gamma functions, Bessel functions, sinc. */
#include "autograd/operators/elementwise.h"

TG_UNARY_SAMPLES(inside_one, TG_RANGE(-0.9, 0.9))

static tg_tensor *x_of(const tg_node *node)
{
    return tg_node_input(node, 0);
}

static tg_tensor *y_of(const tg_node *node)
{
    return tg_node_output(node, 0);
}

TG_RULE(erfc)
{
    const double minus_two_over_root_pi = -1.12837916709551257390;
    tg_tensor *bell = tg_exp(tape, tg_neg(tape, tg_square(tape, x_of(node))));
    gx[0] = tg_mul(tape, gy[0], tg_mul_scalar(tape, bell, minus_two_over_root_pi));
    return tg_tape_status(tape);
}

TG_RULE(erfinv)
{
    const double half_root_pi = 0.88622692545275801365;
    tg_tensor *bowl = tg_exp(tape, tg_square(tape, y_of(node)));
    gx[0] = tg_mul(tape, gy[0], tg_mul_scalar(tape, bowl, half_root_pi));
    return tg_tape_status(tape);
}

TG_RULE(lgamma)
{
    gx[0] = tg_mul(tape, gy[0], tg_digamma(tape, x_of(node)));
    return tg_tape_status(tape);
}

TG_RULE(digamma)
{
    gx[0] = tg_mul(tape, gy[0], tg_polygamma(tape, 1, x_of(node)));
    return tg_tape_status(tape);
}

TG_RULE(polygamma)
{
    const tg_polygamma_attrs *attrs = tg_node_attrs(node);
    /* there is no order behind the last one; the one before it has the same sign, and both are infinite */
    const int64_t next = attrs->n < INT64_MAX ? attrs->n + 1 : attrs->n - 1;
    gx[0] = tg_mul(tape, gy[0], tg_polygamma(tape, next, x_of(node)));
    return tg_tape_status(tape);
}

TG_RULE(i0)
{
    gx[0] = tg_mul(tape, gy[0], tg_i1(tape, x_of(node)));
    return tg_tape_status(tape);
}

/* I0 − I1/x; at 0 it is 1/2. */
TG_RULE(i1)
{
    tg_tensor *x = x_of(node), *half = tg_constant_like(tape, x, 0.5);
    tg_tensor *tiny = tg_constant_like(tape, x, tg_tensor_dtype(x) == TG_F32 ? 0x1p-23 : 0x1p-52);
    tg_tensor *away = tg_gt(tape, tg_abs(tape, x), tiny), *safe = tg_where(tape, away, x, tiny);
    tg_tensor *slope = tg_sub(tape, tg_i0(tape, safe), tg_div(tape, y_of(node), safe));
    gx[0] = tg_mul(tape, gy[0], tg_where(tape, away, slope, half));
    return tg_tape_status(tape);
}

/* (cos πx − sinc x)/x, and 0 at 0. */
TG_RULE(sinc)
{
    const double pi = 3.14159265358979323846;
    tg_tensor *x = x_of(node), *zero = tg_constant_like(tape, x, 0);
    tg_tensor *xx = tg_mul_scalar(tape, tg_square(tape, x), pi), *z = tg_mul_scalar(tape, x, pi);
    tg_tensor *rise = tg_sub(tape, tg_mul(tape, z, tg_cos(tape, z)), tg_sin(tape, z));
    gx[0] = tg_where(tape, tg_eq(tape, xx, zero), zero, tg_mul(tape, gy[0], tg_div(tape, rise, xx)));
    return tg_tape_status(tape);
}

TG_UNARY(erfc, TG_OP_IN(0), tg_samples_real, "1 - erf(x)")
TG_UNARY(erfinv, TG_OP_OUT(0), inside_one, "the y with erf(y) = x")
TG_UNARY(lgamma, TG_OP_IN(0), tg_samples_positive, "log |Gamma(x)|")
TG_UNARY(digamma, TG_OP_IN(0), tg_samples_positive, "the derivative of log Gamma")
TG_UNARY(i0, TG_OP_IN(0), tg_samples_real, "the modified Bessel function of the first kind, order 0")
TG_UNARY(i1, TG_OP_IN(0) | TG_OP_OUT(0), tg_samples_not_zero, "the modified Bessel function of the first kind, order 1")
TG_UNARY(sinc, TG_OP_IN(0), tg_samples_not_zero, "sin(pi*x)/(pi*x), 1 at 0")

static tg_status infer_polygamma(const tg_infer *q)
{
    const tg_polygamma_attrs *attrs = q->attrs;
    if (attrs->n < 1)
        return tg_infer_fail(q, TG_EINVAL, "n must not be negative (0 is digamma), got %lld", (long long)attrs->n);
    return tg_infer_like(q);
}

static const tg_polygamma_attrs first = {1}, fourth = {4};
TG_SAMPLES(orders,
           {.label = "strided, 1",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(5, 3), strided, TG_RANGE(0.6, 4)}),
            .attrs = &first},
           {.label = "4", .in = TG_SAMPLE_INPUTS({TG_NO_DIMS, TG_RANGE(0.8, 4)}), .attrs = &fourth})

static const tg_attr_spec polygamma_specs[] = {
    {.name = "n", .type = TG_ATTR_INT, .offset = offsetof(tg_polygamma_attrs, n), .doc = "the order, from 1"},
    {0},
};
static const tg_operator row_polygamma = {
    TG_ROW("polygamma", "the n-th derivative of digamma"),
    .flags = TG_OP_FLOAT,
    .n_in = 1,
    .n_out = 1,
    TG_ATTRS(tg_polygamma_attrs, polygamma_specs),
    .saves = TG_OP_IN(0),
    .promotes = TG_OP_IN(0),
    .infer = infer_polygamma,
    .vjp = polygamma_vjp,
    .samples = TG_PROOF(orders),
};

tg_tensor *tg_polygamma(tg_tape *tape, int64_t n, tg_tensor *x)
{
    return n ? tg_row1(tape, &row_polygamma, x, &(tg_polygamma_attrs){n}, NULL) : tg_digamma(tape, x);
}

const tg_operator *const tg_ops_special[] = {
    &row_erfc, &row_erfinv, &row_lgamma, &row_digamma, &row_polygamma, &row_i0, &row_i1, &row_sinc, NULL,
};
