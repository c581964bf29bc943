/* Activations. Each f has a fused row gy·f′ which the rule uses, and which has a rule of its own: it is
 * linear in gy, so its derivative by gy is itself, and by x it is gz·gy·f″ written in public operators. */
#include "autograd/operators/elementwise.h"

/* -- samples -------------------------------------------------------------------------------------------- */

#define SAMPLES1(name, attrs_, scalars_, ...)                                                                \
    TG_SAMPLES(name,                                                                                         \
               {.label = "matrix",                                                                           \
                .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), __VA_ARGS__}),                                                        \
                .attrs = attrs_,                                                                             \
                .scalars = scalars_},                                                                        \
               {.label = "scalar", .in = TG_SAMPLE_INPUTS({__VA_ARGS__}), .attrs = attrs_, .scalars = scalars_},             \
               {.label = "strided",                                                                          \
                .in = TG_SAMPLE_INPUTS({TG_DIM2(5, 3), strided, __VA_ARGS__}),                               \
                .attrs = attrs_,                                                                             \
                .scalars = scalars_})
#define SAMPLES2(name, attrs_, scalars_, ...)                                                                \
    TG_SAMPLES(name,                                                                                         \
               {.label = "matrix",                                                                           \
                .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), TG_RANGE(-2, 2)}, {TG_DIM2(3, 4), __VA_ARGS__}),                      \
                .attrs = attrs_,                                                                             \
                .scalars = scalars_},                                                                        \
               {.label = "scalar",                                                                           \
                .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}, {__VA_ARGS__}),                                                    \
                .attrs = attrs_,                                                                             \
                .scalars = scalars_},                                                                        \
               {.label = "strided",                                                                          \
                .in = TG_SAMPLE_INPUTS({TG_DIM2(5, 3), strided, TG_RANGE(-2, 2)},                            \
                       {TG_DIM2(5, 3), strided, __VA_ARGS__}),                                               \
                .attrs = attrs_,                                                                             \
                .scalars = scalars_})
#define SAMPLES(name, attrs_, scalars_, ...)                                                                 \
    SAMPLES1(name##_values, attrs_, scalars_, __VA_ARGS__)                                                   \
    SAMPLES2(name##_pairs, attrs_, scalars_, __VA_ARGS__)

static const double leaky_scalars[] = {0.2}, elu_scalars[] = {1.5, 1.2, 0.8}, softplus_scalars[] = {1.5, 3},
                    bounds[] = {-1, 1.25};
static const tg_gelu_attrs gelu_exact = {0}, gelu_tanh = {1};
SAMPLES(smooth, NULL, NULL, TG_RANGE(-3, 3))
SAMPLES(kinked, NULL, NULL, TG_RANGE(-2, 2), TG_AWAY(0, 0.2))
SAMPLES(leaky, NULL, leaky_scalars, TG_RANGE(-2, 2), TG_AWAY(0, 0.2))
SAMPLES(elu, NULL, elu_scalars, TG_RANGE(-2, 2), TG_AWAY(0, 0.2))
SAMPLES(softplus, NULL, softplus_scalars, TG_RANGE(-3, 3), TG_AWAY(2, 0.2))
SAMPLES(bounded, NULL, bounds, TG_RANGE(-2, 2), away 0.1 from [-1, 1.25])
SAMPLES2(unit_pairs, NULL, NULL, TG_RANGE(-0.9, 0.9))

#define NONE(...)
#define ANOTHER(...) , {__VA_ARGS__}
#define GELU_SAMPLES(name, SECOND, ...)                                                                      \
    TG_SAMPLES(                                                                                              \
        name,                                                                                                \
        {.label = "erf",                                                                                     \
         .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), __VA_ARGS__} SECOND(TG_DIM2(3, 4), __VA_ARGS__)),            \
         .attrs = &gelu_exact},                                                                              \
        {.label = "tanh",                                                                                    \
         .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), __VA_ARGS__} SECOND(TG_DIM2(3, 4), __VA_ARGS__)),            \
         .attrs = &gelu_tanh},                                                                               \
        {.label = "scalar", .in = TG_SAMPLE_INPUTS({__VA_ARGS__} SECOND(__VA_ARGS__)), .attrs = &gelu_exact},                \
        {.label = "strided",                                                                                 \
         .in = TG_SAMPLE_INPUTS({TG_DIM2(5, 3), strided, __VA_ARGS__} SECOND(TG_DIM2(5, 3), __VA_ARGS__)),   \
         .attrs = &gelu_tanh})
GELU_SAMPLES(gelu_values, NONE, TG_RANGE(-3, 3))
GELU_SAMPLES(gelu_pairs, ANOTHER, TG_RANGE(-3, 3))

/* -- shorthands for rules ------------------------------------------------------------------------------- */

/* The scalars of a node, for rows that pass them on. */
typedef struct scalars3 {
    double k[3];
} scalars3;

static scalars3 scalars_of(const tg_node *node)
{
    scalars3 s = {{0, 0, 0}};
    for (size_t i = 0; i < tg_node_operator(node)->n_scalars; i++)
        s.k[i] = tg_node_scalar(node, i);
    return s;
}

/* The fused row's rule. `slope` is f″ (or, where the row reads y = f(x), the derivative of gy's factor by y);
 * NULL: it is 0 wherever it exists. */
static tg_status backward_vjp(tg_tape *tape, const tg_node *node, tg_tensor *gz, tg_tensor *gx[],
                              tg_tensor *(*slope)(tg_tape *, const tg_node *, tg_tensor *))
{
    tg_tensor *gy = tg_node_input(node, 0), *x = tg_node_input(node, 1);
    if (tg_node_needs(node, 0)) {
        const scalars3 s = scalars_of(node);
        gx[0] = tg_row2(tape, tg_node_operator(node), gz, x, tg_node_attrs(node), s.k);
    }
    if (tg_node_needs(node, 1))
        gx[1] = slope ? tg_mul(tape, tg_mul(tape, gz, gy), slope(tape, node, x)) : tg_zeros_like(tape, gz);
    return tg_tape_status(tape);
}

static tg_tensor *one_minus(tg_tape *tape, tg_tensor *x)
{
    return tg_add_scalar(tape, tg_neg(tape, x), 1);
}

/* The fused row and its rule. */
#define BACKWARD_ROW(name, slope, table, n_scalars_, text)                                                   \
    TG_RULE(name##_backward)                                                                                 \
    {                                                                                                        \
        return backward_vjp(tape, node, gy[0], gx, slope);                                                   \
    }                                                                                                        \
    static const tg_operator row_##name##_backward = {                                                       \
        TG_ROW(#name "_backward", text),                                                                     \
        .flags = TG_OP_POINTWISE,                                                                            \
        .n_in = 2,                                                                                           \
        .n_out = 1,                                                                                          \
        .n_scalars = n_scalars_,                                                                             \
        .saves = TG_OP_IN(0) | TG_OP_IN(1),                                                                  \
        .infer = tg_infer_like,                                                                              \
        .vjp = name##_backward_vjp,                                                                          \
        .samples = TG_PROOF(table),                                                                                    \
    };
/* The row itself; `reads` is what its fused row takes beside gy: input or output. */
#define FORWARD_ROW(name, flags_, infer_, saved, reads, table, n_scalars_, text)                             \
    TG_RULE(name)                                                                                            \
    {                                                                                                        \
        const scalars3 s = scalars_of(node);                                                                 \
        gx[0] = tg_row2(tape, &row_##name##_backward, gy[0], reads(node, 0), NULL, s.k);                     \
        return tg_tape_status(tape);                                                                         \
    }                                                                                                        \
    static const tg_operator row_##name = {                                                                  \
        TG_ROW(#name, text),                                                                                 \
        .flags = (flags_) | TG_OP_POINTWISE,                                                                 \
        .n_in = 1,                                                                                           \
        .n_out = 1,                                                                                          \
        .n_scalars = n_scalars_,                                                                             \
        .saves = saved,                                                                                      \
        .promotes = TG_OP_IN(0),                                                                             \
        .infer = infer_,                                                                                     \
        .vjp = name##_vjp,                                                                                   \
        .samples = TG_PROOF(table),                                                                                    \
    };

/* -- of y ----------------------------------------------------------------------------------------------- */

static tg_tensor *sigmoid_slope(tg_tape *tape, const tg_node *node, tg_tensor *y)
{
    (void)node;
    return tg_add_scalar(tape, tg_mul_scalar(tape, y, -2), 1);
}
BACKWARD_ROW(sigmoid, sigmoid_slope, unit_pairs, 0, "gy*y*(1 - y)")
FORWARD_ROW(sigmoid, TG_OP_FLOAT, tg_infer_like, TG_OP_OUT(0), tg_node_output, smooth_values, 0, "1/(1 + exp(-x))")

static tg_tensor *tanh_slope(tg_tape *tape, const tg_node *node, tg_tensor *y)
{
    (void)node;
    return tg_mul_scalar(tape, y, -2);
}
BACKWARD_ROW(tanh, tanh_slope, unit_pairs, 0, "gy*(1 - y*y)")
FORWARD_ROW(tanh, TG_OP_FLOAT, tg_infer_like, TG_OP_OUT(0), tg_node_output, smooth_values, 0, "(exp(x) - exp(-x))/(exp(x) + exp(-x))")

BACKWARD_ROW(relu, NULL, kinked_pairs, 0, "y <= 0 ? 0 : gy")
FORWARD_ROW(relu, 0, tg_infer_like, TG_OP_OUT(0), tg_node_output, kinked_values, 0, "x <= 0 ? 0 : x; the derivative at 0 is 0")

/* -- of x ----------------------------------------------------------------------------------------------- */

BACKWARD_ROW(leaky_relu, NULL, leaky_pairs, 1, "x > 0 ? gy : gy*s")
FORWARD_ROW(leaky_relu, 0, tg_infer_like, TG_OP_IN(0), tg_node_input, leaky_values, 1, "x > 0 ? x : x*s")

/* f″ = input_scale·f′ where x < 0, else 0; f′ is the fused row of ones. */
static tg_tensor *elu_slope(tg_tape *tape, const tg_node *node, tg_tensor *x)
{
    const scalars3 s = scalars_of(node);
    tg_tensor *zero = tg_constant_like(tape, x, 0);
    tg_tensor *first = tg_row2(tape, tg_node_operator(node), tg_ones_like(tape, x), x, NULL, s.k);
    return tg_where(tape, tg_ge(tape, x, zero), zero, tg_mul_scalar(tape, first, s.k[2]));
}
BACKWARD_ROW(elu, elu_slope, elu_pairs, 3, "x > 0 ? gy*t : gy*s*t*u*exp(u*x)")
FORWARD_ROW(elu, 0, tg_infer_like, TG_OP_IN(0), tg_node_input, elu_values, 3, "x > 0 ? t*x : s*t*(exp(u*x) - 1)")

/* σ(1 − σ)(2 + x(1 − 2σ)) */
static tg_tensor *silu_slope(tg_tape *tape, const tg_node *node, tg_tensor *x)
{
    (void)node;
    tg_tensor *p = tg_sigmoid(tape, x);
    tg_tensor *bell = tg_mul(tape, p, one_minus(tape, p));
    tg_tensor *tilt = tg_mul(tape, x, tg_add_scalar(tape, tg_mul_scalar(tape, p, -2), 1));
    return tg_mul(tape, bell, tg_add_scalar(tape, tilt, 2));
}
BACKWARD_ROW(silu, silu_slope, smooth_pairs, 0, "gy*p*(1 + x*(1 - p)), p = sigmoid(x)")
FORWARD_ROW(silu, 0, tg_infer_like, TG_OP_IN(0), tg_node_input, smooth_values, 0, "x*sigmoid(x)")

/* With w = tanh(softplus(x)): (1 − w²)·σ·(2 + x·(1 − σ − 2·w·σ)) */
static tg_tensor *mish_slope(tg_tape *tape, const tg_node *node, tg_tensor *x)
{
    (void)node;
    tg_tensor *p = tg_sigmoid(tape, x), *w = tg_tanh(tape, tg_softplus(tape, x, 1, 20));
    tg_tensor *bell = tg_mul(tape, one_minus(tape, tg_square(tape, w)), p);
    tg_tensor *tilt = tg_sub(tape, one_minus(tape, p), tg_mul_scalar(tape, tg_mul(tape, w, p), 2));
    return tg_mul(tape, bell, tg_add_scalar(tape, tg_mul(tape, x, tilt), 2));
}
BACKWARD_ROW(mish, mish_slope, smooth_pairs, 0, "gy*(w + x*sigmoid(x)*(1 - w*w)), w = tanh(softplus(x))")
FORWARD_ROW(mish, 0, tg_infer_like, TG_OP_IN(0), tg_node_input, smooth_values, 0, "x*tanh(log(1 + exp(x)))")

/* −2·sign(x)/(1 + |x|)³ */
static tg_tensor *softsign_slope(tg_tape *tape, const tg_node *node, tg_tensor *x)
{
    (void)node;
    tg_tensor *over = tg_pow_scalar(tape, tg_add_scalar(tape, tg_abs(tape, x), 1), -3);
    return tg_mul(tape, over, tg_mul_scalar(tape, tg_sign(tape, x), -2));
}
BACKWARD_ROW(softsign, softsign_slope, kinked_pairs, 0, "gy/(1 + |x|)^2; NaN at an infinity")
FORWARD_ROW(softsign, TG_OP_FLOAT, tg_infer_like, TG_OP_IN(0), tg_node_input, kinked_values, 0, "x/(1 + |x|)")

/* beta·σ(1 − σ) of beta·x, 0 past the threshold. */
static tg_tensor *softplus_slope(tg_tape *tape, const tg_node *node, tg_tensor *x)
{
    const double beta = tg_node_scalar(node, 0);
    tg_tensor *z = tg_mul_scalar(tape, x, beta), *p = tg_sigmoid(tape, z);
    tg_tensor *bell = tg_mul_scalar(tape, tg_mul(tape, p, one_minus(tape, p)), beta);
    tg_tensor *linear = tg_gt(tape, z, tg_constant_like(tape, x, tg_node_scalar(node, 1)));
    return tg_where(tape, linear, tg_constant_like(tape, x, 0), bell);
}
BACKWARD_ROW(softplus, softplus_slope, softplus_pairs, 2, "s*x > t ? gy : gy*sigmoid(s*x)")
FORWARD_ROW(softplus, 0, tg_infer_like, TG_OP_IN(0), tg_node_input, softplus_values, 2, "s*x > t ? x : log(1 + exp(s*x))/s")

BACKWARD_ROW(clamp, NULL, bounded_pairs, 2, "s < x < t ? gy : 0; a NaN scalar is no bound")
FORWARD_ROW(clamp, 0, tg_infer_like_number, TG_OP_IN(0), tg_node_input, bounded_values, 2,
            "min(max(x, s), t); a NaN scalar is no bound")
BACKWARD_ROW(hardtanh, NULL, bounded_pairs, 2, "s < x < t ? gy : 0")
FORWARD_ROW(hardtanh, 0, tg_infer_like, TG_OP_IN(0), tg_node_input, bounded_values, 2,
            "min(max(x, s), t); the derivative at s and t is 0")

/* -- gelu ----------------------------------------------------------------------------------------------- */

/* φ(x)·(2 − x²) */
static tg_tensor *gelu_exact_slope(tg_tape *tape, tg_tensor *x)
{
    const double one_over_root_two_pi = 0.39894228040143267794;
    tg_tensor *xx = tg_square(tape, x);
    tg_tensor *bell = tg_mul_scalar(tape, tg_exp(tape, tg_mul_scalar(tape, xx, -0.5)), one_over_root_two_pi);
    return tg_mul(tape, bell, tg_add_scalar(tape, tg_neg(tape, xx), 2));
}

/* With t = tanh(u), u = k(x + c·x³): (1 − t²)·(u′ + x·(u″/2 − t·u′²)) */
static tg_tensor *gelu_tanh_slope(tg_tape *tape, tg_tensor *x)
{
    const double k = 0.79788456080286535588, c = 0.044715;
    tg_tensor *xx = tg_square(tape, x);
    tg_tensor *u = tg_mul(tape, x, tg_add_scalar(tape, tg_mul_scalar(tape, xx, k * c), k));
    tg_tensor *du = tg_add_scalar(tape, tg_mul_scalar(tape, xx, 3 * k * c), k);
    tg_tensor *t = tg_tanh(tape, u);
    tg_tensor *bend = tg_sub(tape, tg_mul_scalar(tape, x, 3 * k * c), tg_mul(tape, t, tg_square(tape, du)));
    tg_tensor *bell = one_minus(tape, tg_square(tape, t));
    return tg_mul(tape, bell, tg_add(tape, du, tg_mul(tape, x, bend)));
}

static tg_tensor *gelu_slope(tg_tape *tape, const tg_node *node, tg_tensor *x)
{
    const tg_gelu_attrs *attrs = tg_node_attrs(node);
    return attrs->tanh_approximation ? gelu_tanh_slope(tape, x) : gelu_exact_slope(tape, x);
}

TG_RULE(gelu_backward)
{
    return backward_vjp(tape, node, gy[0], gx, gelu_slope);
}

static const tg_attr_spec gelu_specs[] = {
    {.name = "tanh_approximation",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_gelu_attrs, tanh_approximation),
     .doc = "0: the error function; 1: its approximation by tanh"},
    {0},
};
static const tg_operator row_gelu_backward = {
    TG_ROW("gelu_backward", "gy times the derivative of gelu at x"),
    .flags = TG_OP_POINTWISE,
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_gelu_attrs, gelu_specs),
    .saves = TG_OP_IN(0) | TG_OP_IN(1),
    .infer = tg_infer_like,
    .vjp = gelu_backward_vjp,
    .samples = TG_PROOF(gelu_pairs),
};

TG_RULE(gelu)
{
    gx[0] = tg_row2(tape, &row_gelu_backward, gy[0], tg_node_input(node, 0), tg_node_attrs(node), NULL);
    return tg_tape_status(tape);
}

static const tg_operator row_gelu = {
    TG_ROW("gelu", "x*Phi(x), or 0.5*x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x^3)))"),
    .flags = TG_OP_POINTWISE,
    .n_in = 1,
    .n_out = 1,
    TG_ATTRS(tg_gelu_attrs, gelu_specs),
    .saves = TG_OP_IN(0),
    .infer = tg_infer_like,
    .vjp = gelu_vjp,
    .samples = TG_PROOF(gelu_values),
};

/* -- hardswish ------------------------------------------------------------------------------------------ */

/* The line's slope is kept finite where it is not chosen: an infinity would be 0·∞ in the next derivative. */
TG_RULE(hardswish)
{
    tg_tensor *x = tg_node_input(node, 0), *low = tg_constant_like(tape, x, -3), *high = tg_constant_like(tape, x, 3);
    tg_tensor *line = tg_add_scalar(tape, tg_mul_scalar(tape, tg_clamp(tape, x, -3, 3), 1.0 / 3), 0.5);
    tg_tensor *up = tg_where(tape, tg_lt(tape, x, high), tg_mul(tape, gy[0], line), gy[0]);
    gx[0] = tg_where(tape, tg_le(tape, x, low), tg_zeros_like(tape, x), up);
    return tg_tape_status(tape);
}

SAMPLES1(hardswish_values, NULL, NULL, TG_RANGE(-5, 5), away 0.1 from [-3, 3])

static const tg_operator row_hardswish = {
    TG_ROW("hardswish", "x*min(max(x + 3, 0), 6)/6"),
    .flags = TG_OP_POINTWISE,
    .n_in = 1,
    .n_out = 1,
    .saves = TG_OP_IN(0),
    .infer = tg_infer_like,
    .vjp = hardswish_vjp,
    .samples = TG_PROOF(hardswish_values),
};

/* -- without a fused row -------------------------------------------------------------------------------- */

TG_RULE(log_sigmoid)
{
    gx[0] = tg_mul(tape, gy[0], tg_sigmoid(tape, tg_neg(tape, tg_node_input(node, 0))));
    return tg_tape_status(tape);
}

static const tg_operator row_log_sigmoid = {
    TG_ROW("log_sigmoid", "min(x, 0) - log(1 + exp(-|x|))"),
    .flags = TG_OP_POINTWISE,
    .n_in = 1,
    .n_out = 1,
    .saves = TG_OP_IN(0),
    .infer = tg_infer_like,
    .vjp = log_sigmoid_vjp,
    .samples = TG_PROOF(smooth_values),
};

/* -- prelu ---------------------------------------------------------------------------------------------- */

/* The slope is w wherever x is not above 0. */
TG_RULE(prelu)
{
    tg_tensor *x = tg_node_input(node, 0), *w = tg_node_input(node, 1), *zero = tg_constant_like(tape, gy[0], 0);
    if (tg_node_needs(node, 0))
        gx[0] = tg_where(tape, tg_gt(tape, x, zero), gy[0], tg_mul(tape, w, gy[0]));
    if (tg_node_needs(node, 1))
        gx[1] = tg_where(tape, tg_ge(tape, x, zero), zero, tg_mul(tape, x, gy[0]));
    return tg_tape_status(tape);
}

TG_SAMPLES(weighted,
           {.label = "strided, a weight a column",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(5, 3), strided, TG_RANGE(-2, 2), TG_AWAY(0, 0.2)},
                                   {TG_DIM2(1, 3), TG_RANGE(0, 1)})})

static const tg_operator row_prelu = {
    TG_ROW("prelu", "x > 0 ? x : w*x"),
    .flags = TG_OP_BROADCAST,
    .n_in = 2,
    .n_out = 1,
    .saves = BOTH,
    .promotes = BOTH,
    .infer = tg_infer_broadcast_float,
    .vjp = prelu_vjp,
    .samples = TG_PROOF(weighted),
};

tg_tensor *tg_prelu(tg_tape *tape, tg_tensor *x, tg_tensor *weight)
{
    const tg_desc *d = tg_argument(tape, x, "prelu", "x"), *w = tg_argument(tape, weight, "prelu", "weight");
    if (!d || !w)
        return NULL;
    const int64_t n = tg_desc_count(w), channels = d->ndim < 2 ? 1 : d->dim[1];
    if (w->ndim > 1 || (n != 1 && n != channels)) {
        char text[112];
        tg_fail(tape, TG_ESHAPE, "prelu: weight is %s, expected one value or x's %lld channels",
                tg_desc_format(w, text, sizeof text), (long long)channels);
        return NULL;
    }
    int64_t dims[TG_MAX_DIM] = {0};
    for (int i = 0; i < d->ndim; i++)
        dims[i] = i == 1 ? n : 1;
    return tg_row2(tape, &row_prelu, x, tg_reshape_dims(tape, weight, dims, (size_t)d->ndim), NULL, NULL);
}

/* -- the functions of ops.h ----------------------------------------------------------------------------- */

tg_tensor *tg_sigmoid(tg_tape *tape, tg_tensor *x)
{
    return tg_row1(tape, &row_sigmoid, x, NULL, NULL);
}

tg_tensor *tg_tanh(tg_tape *tape, tg_tensor *x)
{
    return tg_row1(tape, &row_tanh, x, NULL, NULL);
}

tg_tensor *tg_relu(tg_tape *tape, tg_tensor *x)
{
    return tg_row1(tape, &row_relu, x, NULL, NULL);
}

tg_tensor *tg_leaky_relu(tg_tape *tape, tg_tensor *x, double negative_slope)
{
    return tg_row1(tape, &row_leaky_relu, x, NULL, &negative_slope);
}

static tg_tensor *elu(tg_tape *tape, tg_tensor *x, double alpha, double scale, double input_scale)
{
    return tg_row1(tape, &row_elu, x, NULL, (const double[]){alpha, scale, input_scale});
}

tg_tensor *tg_elu(tg_tape *tape, tg_tensor *x, double alpha)
{
    return elu(tape, x, alpha, 1, 1);
}

/* The constants of Klambauer et al. 2017, in the digits that PyTorch has. */
tg_tensor *tg_selu(tg_tape *tape, tg_tensor *x)
{
    TG_COMPOSES(tape, "selu");
    return elu(tape, x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1);
}

tg_tensor *tg_celu(tg_tape *tape, tg_tensor *x, double alpha)
{
    TG_COMPOSES(tape, "celu");
    if (alpha == 0) {
        tg_fail(tape, TG_EINVAL, "celu: alpha must not be 0");
        return NULL;
    }
    return elu(tape, x, alpha, 1, 1 / alpha);
}

tg_tensor *tg_gelu(tg_tape *tape, tg_tensor *x, bool tanh_approximation)
{
    return tg_row1(tape, &row_gelu, x, tanh_approximation ? &gelu_tanh : &gelu_exact, NULL);
}

tg_tensor *tg_silu(tg_tape *tape, tg_tensor *x)
{
    return tg_row1(tape, &row_silu, x, NULL, NULL);
}

tg_tensor *tg_mish(tg_tape *tape, tg_tensor *x)
{
    return tg_row1(tape, &row_mish, x, NULL, NULL);
}

tg_tensor *tg_softplus(tg_tape *tape, tg_tensor *x, double beta, double threshold)
{
    if (beta == 0) {
        tg_fail(tape, TG_EINVAL, "softplus: beta must not be 0");
        return NULL;
    }
    return tg_row1(tape, &row_softplus, x, NULL, (const double[]){beta, threshold});
}

tg_tensor *tg_softsign(tg_tape *tape, tg_tensor *x)
{
    return tg_row1(tape, &row_softsign, x, NULL, NULL);
}

tg_tensor *tg_log_sigmoid(tg_tape *tape, tg_tensor *x)
{
    return tg_row1(tape, &row_log_sigmoid, x, NULL, NULL);
}

tg_tensor *tg_hardswish(tg_tape *tape, tg_tensor *x)
{
    return tg_row1(tape, &row_hardswish, x, NULL, NULL);
}

tg_tensor *tg_hardtanh(tg_tape *tape, tg_tensor *x, double min_val, double max_val)
{
    if (!(min_val <= max_val)) {
        tg_fail(tape, TG_EINVAL, "hardtanh: min_val must not be above max_val, got %g and %g", min_val,
                max_val);
        return NULL;
    }
    return tg_row1(tape, &row_hardtanh, x, NULL, (const double[]){min_val, max_val});
}

/* No bound, or one that integers can have. */
static bool bounds_integers(double bound)
{
    return isnan(bound) || isinf(bound) || bound == floor(bound);
}

tg_tensor *tg_clamp(tg_tape *tape, tg_tensor *x, double min, double max)
{
    const tg_desc *d = tg_argument(tape, x, "clamp", "x");
    if (!d)
        return NULL;
    if (d->dtype == TG_I64 && (!bounds_integers(min) || !bounds_integers(max))) {
        tg_fail(tape, TG_EINVAL, "clamp: the bounds of i64 must be whole, got %g and %g; convert x with tg_to", min, max);
        return NULL;
    }
    return tg_row1(tape, &row_clamp, x, NULL, (const double[]){min, max});
}

/* -- made of others -------------------------------------------------------------------------------------- */

/* value where x is not above the bound; a NaN stays. */
tg_tensor *tg_threshold(tg_tape *tape, tg_tensor *x, double threshold, double value)
{
    TG_COMPOSES(tape, "threshold");
    return tg_masked_fill(tape, x, tg_le(tape, x, tg_constant_like(tape, x, threshold)), value);
}

/* y, with 0 where |x| is at most lambd. */
static tg_tensor *shrink(tg_tape *tape, tg_tensor *x, tg_tensor *y, double lambd)
{
    return tg_masked_fill(tape, y, tg_le(tape, tg_abs(tape, x), tg_constant_like(tape, x, lambd)), 0);
}

tg_tensor *tg_hardshrink(tg_tape *tape, tg_tensor *x, double lambd)
{
    TG_COMPOSES(tape, "hardshrink");
    return shrink(tape, x, x, lambd);
}

tg_tensor *tg_softshrink(tg_tape *tape, tg_tensor *x, double lambd)
{
    TG_COMPOSES(tape, "softshrink");
    if (!(lambd >= 0)) {
        tg_fail(tape, TG_EINVAL, "softshrink: lambd is %g, expected at least 0", lambd);
        return NULL;
    }
    return shrink(tape, x, tg_sub(tape, x, tg_mul_scalar(tape, tg_sign(tape, x), lambd)), lambd);
}

tg_tensor *tg_tanhshrink(tg_tape *tape, tg_tensor *x)
{
    TG_COMPOSES(tape, "tanhshrink");
    return tg_sub(tape, x, tg_tanh(tape, x));
}

tg_tensor *tg_hardsigmoid(tg_tape *tape, tg_tensor *x)
{
    TG_COMPOSES(tape, "hardsigmoid");
    return tg_div_scalar(tape, tg_clamp(tape, tg_add_scalar(tape, x, 3), 0, 6), 6);
}

tg_tensor *tg_glu(tg_tape *tape, tg_tensor *x, int64_t dim)
{
    TG_COMPOSES(tape, "glu");
    int64_t along = dim;
    const tg_desc *d = tg_argument(tape, x, "glu", "x");
    if (!d || !tg_resolve_dim(tape, "glu", dim, d->ndim, &along))
        return NULL;
    if (!d->ndim || d->dim[along] % 2) {
        char text[112];
        tg_fail(tape, TG_ESHAPE, "glu: x is %s, expected an even size of dim %lld",
                tg_desc_format(d, text, sizeof text), (long long)dim);
        return NULL;
    }
    const int64_t half = d->dim[along] / 2;
    tg_tensor *gate = tg_sigmoid(tape, tg_narrow(tape, x, along, half, half));
    return tg_mul(tape, tg_narrow(tape, x, along, 0, half), gate);
}

const tg_operator *const tg_ops_activation[] = {
    &row_hardswish,
    &row_sigmoid,  &row_sigmoid_backward,  &row_tanh,       &row_tanh_backward,
    &row_relu,     &row_relu_backward,     &row_leaky_relu, &row_leaky_relu_backward,
    &row_elu,      &row_elu_backward,      &row_gelu,       &row_gelu_backward,
    &row_silu,     &row_silu_backward,     &row_mish,       &row_mish_backward,
    &row_softplus, &row_softplus_backward, &row_clamp,      &row_clamp_backward,
    &row_hardtanh, &row_hardtanh_backward, &row_softsign,   &row_softsign_backward, &row_log_sigmoid,
    &row_prelu,    NULL,
};
