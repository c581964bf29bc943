/* Random rows. The values are a function of (seed, draw, element), so that dropout keeps no mask: its
 * gradient is the same row with the same draw. */
#include "autograd/operators/checks.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_dropout(const tg_infer *q)
{
    double p = ((const tg_dropout_attrs *)q->attrs)->p;
    tg_status status = check_float(q, 0, "x");
    if (!status && !(p >= 0.0 && p <= 1.0))
        status = tg_infer_fail(q, TG_EINVAL, "p is %g, expected 0 … 1", p);
    return status ? status : infer_out_like(q->in[0], q->out);
}

static tg_status infer_random_like(const tg_infer *q)
{
    tg_status status = check_float(q, 0, "x");
    return status ? status : infer_out_like(q->in[0], q->out);
}

static tg_status infer_fill(const tg_infer *q)
{
    tg_status status = check_float(q, 0, "dst");
    return status ? status : tg_need_writable(q, 0);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator dropout, randn_like, uniform_, normal_;

TG_RULE(dropout)
{
    return tg_apply_draw(tape, &dropout, gy, 1, tg_node_attrs(node), NULL, tg_node_draw(node), gx);
}

/* -- samples -------------------------------------------------------------------------------------------- */

/* clang-format off */
#define P(value) &(const tg_dropout_attrs){.p = value}

TG_SAMPLES(samples_dropout,
           {.label = "half", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 5, 7)), .attrs = P(0.5)},
           {.label = "most, strided", .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 4, 3, 3)), .attrs = P(0.8)},
           {.label = "few, past one batch of counters", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 131)),
            .attrs = P(0.1)},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2)), .attrs = P(0.3)},
           {.label = "all", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 6)), .attrs = P(1)},
           {.label = "none", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 6)), .attrs = P(0)},
           {.label = "empty", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 0, 3)), .attrs = P(0.5)})

TG_SAMPLES(samples_random_like,
           {.label = "matrix", .in = TG_SAMPLE_INPUTS(CONSTANT(-1, 1, 5, 7))},
           {.label = "odd count", .in = TG_SAMPLE_INPUTS(CONSTANT(-1, 1, 131))},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-1, 1))},
           {.label = "empty", .in = TG_SAMPLE_INPUTS(CONSTANT(-1, 1, 0, 3))})

TG_SAMPLES(samples_fill,
           {.label = "matrix", .in = TG_SAMPLE_INPUTS(CONSTANT(-1, 1, 5, 7)), .scalars = (const double[]){-1.0, 2.0}},
           {.label = "strided", .scalars = (const double[]){0.0, 1.0},
            .in = TG_SAMPLE_INPUTS({-1 : 1, strided constant, DRAWN_DIMS(3, 4)})},
           {.label = "odd count", .in = TG_SAMPLE_INPUTS(CONSTANT(-1, 1, 131)), .scalars = (const double[]){0.5, 0.25}})
/* clang-format on */

/* -- rows
 * ---------------------------------------------------------------------------------------------------------
 */

static const tg_attr_spec dropout_specs[] = {
    {.name = "p",
     .type = TG_ATTR_REAL,
     .offset = offsetof(tg_dropout_attrs, p),
     .value = 0.5,
     .doc = "probability of dropping, 0 … 1"},
    {0},
};

static const tg_operator dropout = {
    TG_ROW("dropout",
           "y = x/(1−p) where word(seed, draw, element) < round((1−p)·2³²), else 0 (Srivastava et al. 2014)"),
    TG_ATTRS(tg_dropout_attrs, dropout_specs),
    .flags = TG_OP_DENSE | TG_OP_RANDOM,
    .n_in = 1,
    .n_out = 1,
    .infer = infer_dropout,
    .vjp = dropout_vjp,
    .samples = TG_PROOF(samples_dropout),
};

const tg_operator tg_row_rand_like = {
    TG_ROW("rand_like", "uniform in [0, 1), of x's shape (torch.rand_like)"),
    .flags = TG_OP_RANDOM | TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 1,
    .infer = infer_random_like,
    .samples = TG_PROOF(samples_random_like),
};

static const tg_operator randn_like = {
    TG_ROW("randn_like", "normal, mean 0, variance 1, of x's shape (torch.randn_like; Box and Muller 1958)"),
    .flags = TG_OP_RANDOM | TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 1,
    .infer = infer_random_like,
    .samples = TG_PROOF(samples_random_like),
};

static const tg_operator uniform_ = {
    TG_ROW("uniform_", "dst ← uniform in [low, high) (torch.Tensor.uniform_)"),
    .flags = TG_OP_RANDOM | TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 0,
    .n_scalars = 2,
    .writes = TG_OP_IN(0),
    .infer = infer_fill,
    .samples = TG_PROOF(samples_fill),
};

static const tg_operator normal_ = {
    TG_ROW("normal_", "dst ← mean + std·z, z normal (torch.Tensor.normal_)"),
    .flags = TG_OP_RANDOM | TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 0,
    .n_scalars = 2,
    .writes = TG_OP_IN(0),
    .infer = infer_fill,
    .samples = TG_PROOF(samples_fill),
};

const tg_operator *const tg_ops_random[] = {&dropout, &tg_row_rand_like, &randn_like, &uniform_, &normal_, NULL};

/* -- wrappers ------------------------------------------------------------------------------------------- */

/* No element, no draw. */
static tg_tensor *draw(tg_tape *tape, const tg_operator *op, tg_tensor *x, const void *attrs)
{
    tg_desc d;
    tg_tensor *out = NULL;
    bool empty = x && !tg_tensor_desc(x, &d) && tg_desc_count(&d) == 0;
    tg_status status = empty ? tg_apply_draw(tape, op, &x, 1, attrs, NULL, 0, &out)
                             : tg_apply(tape, op, &x, 1, attrs, NULL, &out);
    return status ? NULL : out;
}

tg_tensor *tg_dropout(tg_tape *tape, tg_tensor *x, double p, tg_mode mode)
{
    tg_dropout_attrs a = {.p = p};
    tg_tensor *y = NULL;
    bool sound = p >= 0.0 && p <= 1.0 && (mode == TG_TRAIN || mode == TG_EVAL);
    if (!sound && !(tape && tg_tape_status(tape))) {
        if (mode == TG_TRAIN || mode == TG_EVAL)
            tg_fail(tape, TG_EINVAL, "dropout: p is %g, expected 0 … 1", p);
        else
            tg_fail(tape, TG_EINVAL, "dropout: mode is %d, expected train (0) or eval (1)", (int)mode);
    }
    if (!sound)
        return NULL;
    if (mode == TG_EVAL || p == 0.0)
        return tape && tg_tape_status(tape) ? NULL : x;
    if (p < 1.0)
        return draw(tape, &dropout, x, &a);
    /* Nothing is left to chance: zeros, and a gradient of zeros, whatever the draw. */
    return tg_apply_draw(tape, &dropout, &x, 1, &a, NULL, 0, &y) ? NULL : y;
}

tg_tensor *tg_rand_like(tg_tape *tape, tg_tensor *x)
{
    return draw(tape, &tg_row_rand_like, x, NULL);
}

tg_tensor *tg_randn_like(tg_tape *tape, tg_tensor *x)
{
    return draw(tape, &randn_like, x, NULL);
}

/* -- made of others -------------------------------------------------------------------------------------- */

/* Kept: x/(1 − p), dropped: 0; or, so that mean and variance of a SELU's output stay, a·x + b and a constant. What is
 * dropped is what dropout drops of ones: one for all that lies behind x's first `lead` dims. What is the same as plain
 * dropout's is left to it. */
static tg_tensor *drop(tg_tape *tape, tg_tensor *x, double p, tg_mode mode, int lead, bool alpha)
{
    tg_desc d;
    if (tg_tensor_desc(x, &d) || !(p > 0 && p < 1) || mode != TG_TRAIN || !tg_dtype_is_float(d.dtype) || !tg_desc_count(&d))
        return tg_dropout(tape, x, p, mode);
    const double limit = 1.7580993408473766, a = 1 / sqrt((limit * limit * p + 1) * (1 - p));
    for (int i = lead; i < d.ndim; i++)
        d.dim[i] = 1;
    tg_tensor *ones = tg_full(tape, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, 1);
    tg_tensor *dropped = tg_logical_not(tape, tg_dropout(tape, ones, p, TG_TRAIN));
    tg_tensor *y = tg_mul_scalar(tape, x, alpha ? a : 1 / (1 - p));
    if (alpha)
        y = tg_add_scalar(tape, y, limit * a * p);
    return tg_masked_fill(tape, y, dropped, alpha ? -limit * a * (1 - p) : 0);
}

/* Of x with 2 to `high` dims: of `batched` and more, the second one is the channels. */
static tg_tensor *drop_channels(tg_tape *tape, tg_tensor *x, double p, tg_mode mode, const char *what, int high, int batched)
{
    TG_COMPOSES(tape, what);
    const tg_desc *d = tg_argument(tape, x, what, "x");
    if (d && d->ndim >= 2 && d->ndim <= high)
        return drop(tape, x, p, mode, d->ndim >= batched ? 2 : 1, *what == 'f');
    if (d)
        tg_fail(tape, TG_ESHAPE, "%s: x has %d dims, expected 2 to %d", what, d->ndim, high);
    return NULL;
}

tg_tensor *tg_dropout1d(tg_tape *tape, tg_tensor *x, double p, tg_mode mode)
{
    return drop_channels(tape, x, p, mode, "dropout1d", 3, 3);
}

tg_tensor *tg_dropout2d(tg_tape *tape, tg_tensor *x, double p, tg_mode mode)
{
    return drop_channels(tape, x, p, mode, "dropout2d", TG_MAX_DIM, 2);
}

tg_tensor *tg_dropout3d(tg_tape *tape, tg_tensor *x, double p, tg_mode mode)
{
    return drop_channels(tape, x, p, mode, "dropout3d", 5, 5);
}

tg_tensor *tg_feature_alpha_dropout(tg_tape *tape, tg_tensor *x, double p, tg_mode mode)
{
    return drop_channels(tape, x, p, mode, "feature_alpha_dropout", TG_MAX_DIM, 2);
}

tg_tensor *tg_alpha_dropout(tg_tape *tape, tg_tensor *x, double p, tg_mode mode)
{
    TG_COMPOSES(tape, "alpha_dropout");
    return tg_argument(tape, x, "alpha_dropout", "x") ? drop(tape, x, p, mode, TG_MAX_DIM, true) : NULL;
}

tg_tensor *tg_rrelu(tg_tape *tape, tg_tensor *x, double lower, double upper, tg_mode mode)
{
    TG_COMPOSES(tape, "rrelu");
    const tg_desc *d = tg_argument(tape, x, "rrelu", "x");
    if (!d)
        return NULL;
    if (!(lower <= upper) || !isfinite(upper - lower)) {
        tg_fail(tape, TG_EINVAL, "rrelu: lower is %g and upper %g, expected finite ones, lower ≤ upper", lower, upper);
        return NULL;
    }
    if (mode != TG_TRAIN)
        return tg_leaky_relu(tape, x, (lower + upper) / 2);
    tg_tensor *slope = tg_add_scalar(tape, tg_mul_scalar(tape, tg_rand_like(tape, x), upper - lower), lower);
    return tg_where(tape, tg_gt(tape, x, tg_constant_like(tape, x, 0)), x, tg_mul(tape, x, slope));
}
