/* Layer norm and RMS norm: over the last dims. */
#include "autograd/operators/norms.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status check_normalized(const tg_infer *q, size_t x, int64_t n)
{
    tg_status status = check_float(q, x, "x");
    if (!status && (n < 1 || n > q->in[x]->ndim))
        status = tg_infer_fail(q, TG_ESHAPE, "%lld trailing dims of x are to be normalised, expected 1 … %d",
                               (long long)n, (int)q->in[x]->ndim);
    return status;
}

static tg_status check_trailing(const tg_infer *q, size_t i, const char *argument, size_t x, int64_t n)
{
    return check_shape(q, i, argument, q->in[x]->dtype, &q->in[x]->dim[q->in[x]->ndim - n], (int32_t)n);
}

/* x's dims with ones for the last n. */
static void statistic_dims(const tg_desc *x, int64_t n, int64_t *dims)
{
    for (int i = 0; i < x->ndim; i++)
        dims[i] = i < x->ndim - n ? x->dim[i] : 1;
}

static tg_status infer_layer_norm(const tg_infer *q)
{
    const tg_layer_norm_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    int64_t dims[TG_MAX_DIM];
    tg_status status = check_normalized(q, 0, a->normalized_ndim);
    if (!status)
        status = check_trailing(q, 1, "weight", 0, a->normalized_ndim);
    if (!status)
        status = check_trailing(q, 2, "bias", 0, a->normalized_ndim);
    if (!status)
        status = tg_norm_check_eps(q, a->eps);
    if (!status)
        status = infer_out_like(x, q->out);
    if (status)
        return status;
    statistic_dims(x, a->normalized_ndim, dims);
    status = tg_desc_make(&q->out[1], (tg_dtype)x->dtype, dims, (size_t)x->ndim);
    return status ? status : tg_desc_make(&q->out[2], (tg_dtype)x->dtype, dims, (size_t)x->ndim);
}

static tg_status infer_layer_norm_backward(const tg_infer *q)
{
    const tg_layer_norm_backward_attrs *a = q->attrs;
    const tg_desc *x = q->in[1];
    int64_t dims[TG_MAX_DIM], n = a->normalized_ndim;
    tg_status status = check_normalized(q, 1, n);
    if (!status)
        status = check_like(q, 0, "gy", 1);
    if (!status)
        status = check_trailing(q, 2, "weight", 1, n);
    if (status)
        return status;
    statistic_dims(x, n, dims);
    status = check_shape(q, 3, "mean", x->dtype, dims, x->ndim);
    if (!status)
        status = check_shape(q, 4, "rstd", x->dtype, dims, x->ndim);
    return status ? status : tg_norm_make_gradients(q, a->want, &x->dim[x->ndim - n], n);
}

static tg_status infer_rms_norm(const tg_infer *q)
{
    const tg_layer_norm_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    const int64_t n = a->normalized_ndim;
    int64_t dims[TG_MAX_DIM];
    tg_status status = check_normalized(q, 0, n);
    if (!status)
        status = check_trailing(q, 1, "weight", 0, n);
    if (!status)
        status = tg_norm_check_eps(q, a->eps);
    if (!status)
        status = infer_out_like(x, q->out);
    if (status)
        return status;
    statistic_dims(x, n, dims);
    return tg_desc_make(&q->out[1], (tg_dtype)x->dtype, dims, (size_t)x->ndim);
}

static tg_status infer_rms_norm_backward(const tg_infer *q)
{
    const tg_layer_norm_backward_attrs *a = q->attrs;
    const tg_desc *x = q->in[1];
    const int64_t n = a->normalized_ndim;
    int64_t dims[TG_MAX_DIM];
    tg_status status = check_normalized(q, 1, n);
    if (!status)
        status = check_like(q, 0, "gy", 1);
    if (!status)
        status = check_trailing(q, 2, "weight", 1, n);
    if (status)
        return status;
    statistic_dims(x, n, dims);
    status = check_shape(q, 3, "rstd", x->dtype, dims, x->ndim);
    return status ? status : tg_norm_make_gradients(q, a->want, &x->dim[x->ndim - n], n);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator layer_norm, layer_norm_backward, row_rms_norm, row_rms_norm_backward;

/* The gradient of the last dims, as an expression of x. */
static tg_status composed(tg_tape *tape, const tg_node *node, bool centred, tg_tensor *gy, tg_tensor *gx[])
{
    const tg_layer_norm_attrs *attrs = tg_node_attrs(node);
    tg_norm m = {.weight = 1, .x = tg_node_input(node, 0), .w = tg_node_input(node, 1), .centred = centred};
    tg_desc x;
    tg_status status = tg_tensor_desc(m.x, &x);
    if (status)
        return status;
    const int leading = x.ndim - (int)attrs->normalized_ndim;
    m.ndim = (size_t)attrs->normalized_ndim;
    for (int i = 0; i < x.ndim; i++) {
        tg_ints *list = i < leading ? &m.param : &m.stat;
        list->v[list->n++] = i;
        if (i >= leading)
            m.view[i - leading] = x.dim[i];
    }
    return tg_norm_composed(tape, node, &m, attrs->eps, gy, gx);
}

static tg_layer_norm_backward_attrs backward_of(const tg_node *node)
{
    const tg_layer_norm_attrs *attrs = tg_node_attrs(node);
    return (tg_layer_norm_backward_attrs){.normalized_ndim = attrs->normalized_ndim, .want = tg_norm_wanted(node, 1)};
}

TG_RULE(layer_norm)
{
    if (tg_tape_recording(tape))
        return composed(tape, node, true, gy[0], gx);
    const tg_layer_norm_backward_attrs a = backward_of(node);
    tg_tensor *const in[] = {gy[0], tg_node_input(node, 0), tg_node_input(node, 1), tg_node_output(node, 1),
                             tg_node_output(node, 2)};
    return tg_norm_fused(tape, node, 1, &layer_norm_backward, &a, in, gx);
}

TG_RULE(rms_norm)
{
    if (tg_tape_recording(tape))
        return composed(tape, node, false, gy[0], gx);
    const tg_layer_norm_backward_attrs a = backward_of(node);
    tg_tensor *const in[] = {gy[0], tg_node_input(node, 0), tg_node_input(node, 1), tg_node_output(node, 1)};
    return tg_norm_fused(tape, node, 1, &row_rms_norm_backward, &a, in, gx);
}

/* -- samples -------------------------------------------------------------------------------------------- */

/* clang-format off */
#define TRAILING(n_dims, value) &(const tg_layer_norm_attrs){.normalized_ndim = n_dims, .eps = value}

TG_SAMPLES(samples_layer_norm,
           {.label = "rows", .attrs = TRAILING(1, 1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 5), DRAWN(0.5, 2, 5), DRAWN(-1, 1, 5))},
           {.label = "plain", .attrs = TRAILING(1, 1e-5), .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 2, 4), ABSENT, ABSENT)},
           {.label = "two dims, strided", .attrs = TRAILING(2, 1e-3),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 3, 2, 3), STRIDED(0.5, 2, 2, 3), STRIDED(-1, 1, 2, 3))},
           {.label = "all dims", .attrs = TRAILING(2, 1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 4), DRAWN(0.5, 2, 3, 4), DRAWN(-1, 1, 3, 4))},
           {.label = "past one vector, no bias", .attrs = TRAILING(1, 1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 21), DRAWN(0.5, 2, 21), ABSENT)},
           {.label = "no rows", .attrs = TRAILING(1, 1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 0, 4), DRAWN(0.5, 2, 4), DRAWN(-1, 1, 4))})

#define LAYER_WANT(n_dims, set) &(const tg_layer_norm_backward_attrs){.normalized_ndim = n_dims, .want = set}

TG_SAMPLES(samples_layer_norm_backward,
           {.label = "all", .attrs = LAYER_WANT(1, 7),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 5), DRAWN(-2, 2, 3, 5), DRAWN(0.5, 2, 5), DRAWN(-1, 1, 3, 1),
                   DRAWN(0.5, 2, 3, 1))},
           {.label = "source, two dims, strided", .attrs = LAYER_WANT(2, 1),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 3, 7), STRIDED(-2, 2, 2, 3, 7), ABSENT, DRAWN(-1, 1, 2, 1, 1),
                   DRAWN(0.5, 2, 2, 1, 1))},
           {.label = "parameters", .attrs = LAYER_WANT(1, 6),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 4, 19), DRAWN(-2, 2, 4, 19), DRAWN(0.5, 2, 19), DRAWN(-1, 1, 4, 1),
                   DRAWN(0.5, 2, 4, 1))})

#define LAST(n) &(const tg_layer_norm_attrs){.normalized_ndim = n, .eps = 1e-3}
TG_SAMPLES(samples_rms_norm,
           {.label = "rows", .attrs = LAST(1), .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 5), DRAWN(0.5, 2, 5))},
           {.label = "two dims, strided", .attrs = LAST(2),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 3, 2, 3), STRIDED(0.5, 2, 2, 3))},
           {.label = "all dims, plain", .attrs = LAST(1), .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 19), ABSENT)})
#define LAST_BACK(n, set) &(const tg_layer_norm_backward_attrs){.normalized_ndim = n, .want = set}
TG_SAMPLES(samples_rms_norm_backward,
           {.label = "all", .attrs = LAST_BACK(1, 3),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 5), DRAWN(-2, 2, 3, 5), DRAWN(0.5, 2, 5), DRAWN(0.5, 2, 3, 1))},
           {.label = "source", .attrs = LAST_BACK(2, 1),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 3, 7), DRAWN(-2, 2, 2, 3, 7), ABSENT, DRAWN(0.5, 2, 2, 1, 1))})
/* clang-format on */

/* -- rows ----------------------------------------------------------------------------------------------- */

static const tg_attr_spec layer_specs[] = {
    {.name = "normalized_ndim",
     .type = TG_ATTR_INT,
     .flags = TG_ATTR_REQUIRED,
     .offset = offsetof(tg_layer_norm_attrs, normalized_ndim),
     .doc = "how many trailing dims"},
    {.name = "eps",
     .type = TG_ATTR_REAL,
     .offset = offsetof(tg_layer_norm_attrs, eps),
     .value = 1e-5,
     .doc = "added to the variance"},
    {0},
};

static const tg_attr_spec layer_back_specs[] = {
    {.name = "normalized_ndim",
     .type = TG_ATTR_INT,
     .flags = TG_ATTR_REQUIRED,
     .offset = offsetof(tg_layer_norm_backward_attrs, normalized_ndim),
     .doc = "how many trailing dims"},
    {.name = "want",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_layer_norm_backward_attrs, want),
     .value = 7,
     .doc = "a set of 1 (diff_src), 2 (diff_weight), 4 (diff_bias)"},
    {0},
};

static const tg_attr_spec rms_specs[] = {
    TG_SPEC(tg_layer_norm_attrs, normalized_ndim, TG_ATTR_INT, "how many trailing dims"),
    TG_SPEC(tg_layer_norm_attrs, eps, TG_ATTR_REAL, "added to the mean square"),
    {0},
};
static const tg_attr_spec rms_back_specs[] = {
    TG_SPEC(tg_layer_norm_backward_attrs, normalized_ndim, TG_ATTR_INT, "how many trailing dims"),
    TG_SPEC(tg_layer_norm_backward_attrs, want, TG_ATTR_INT, "TG_WANT_SRC, TG_WANT_WEIGHT"),
    {0},
};
static const tg_operator layer_norm = {
    TG_ROW("layer_norm", "y = (x − μ)/√(v + eps)·weight + bias over the last dims (Ba, Kiros, Hinton 2016)"),
    TG_ATTRS(tg_layer_norm_attrs, layer_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_OUT(1) | TG_OP_OUT(2),
    .n_in = 3,
    .n_out = 3,
    .optional = TG_OP_IN(1) | TG_OP_IN(2),
    .nondiff_out = (TG_OP_OUT(1) | TG_OP_OUT(2)) >> 16,
    .kept_out = (TG_OP_OUT(1) | TG_OP_OUT(2)) >> 16,
    .infer = infer_layer_norm,
    .vjp = layer_norm_vjp,
    .samples = TG_PROOF(samples_layer_norm),
};

static const tg_operator layer_norm_backward = {
    TG_ROW("layer_norm_backward", "rstd·(g − mean(g) − x̂·mean(g·x̂)) with g = gy·weight; Σgy·x̂; Σgy"),
    TG_ATTRS(tg_layer_norm_backward_attrs, layer_back_specs),
    .flags = TG_OP_DENSE | TG_OP_NONDIFF,
    .n_in = 5,
    .n_out = 3,
    .optional = TG_OP_IN(2),
    .infer = infer_layer_norm_backward,
    .samples = TG_PROOF(samples_layer_norm_backward),
};

static const tg_operator row_rms_norm = {
    TG_ROW("rms_norm", "y = x/√(mean(x²) + eps)·weight over the last dims (Zhang, Sennrich 2019)"),
    TG_ATTRS(tg_layer_norm_attrs, rms_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_OUT(1),
    .n_in = 2,
    .n_out = 2,
    .optional = TG_OP_IN(1),
    .nondiff_out = TG_OP_OUT(1) >> 16,
    .kept_out = TG_OP_OUT(1) >> 16,
    .infer = infer_rms_norm,
    .vjp = rms_norm_vjp,
    .samples = TG_PROOF(samples_rms_norm),
};
static const tg_operator row_rms_norm_backward = {
    TG_ROW("rms_norm_backward", "rstd·(g − x̂·mean(g·x̂)) with g = gy·weight; Σgy·x̂"),
    TG_ATTRS(tg_layer_norm_backward_attrs, rms_back_specs),
    .flags = TG_OP_DENSE | TG_OP_NONDIFF,
    .n_in = 4,
    .n_out = 2,
    .optional = TG_OP_IN(2),
    .infer = infer_rms_norm_backward,
    .samples = TG_PROOF(samples_rms_norm_backward),
};

const tg_operator *const tg_ops_layer_norm[] = {
    &layer_norm, &layer_norm_backward, &row_rms_norm, &row_rms_norm_backward, NULL,
};

/* -- wrappers ------------------------------------------------------------------------------------------- */

tg_tensor *tg_layer_norm(tg_tape *tape, tg_tensor *x, size_t normalized_ndim, tg_tensor *weight,
                         tg_tensor *bias, double eps)
{
    tg_tensor *const in[] = {x, weight, bias};
    tg_layer_norm_attrs a = {.normalized_ndim = (int64_t)normalized_ndim, .eps = eps};
    return apply_first(tape, &layer_norm, in, 3, &a);
}

tg_tensor *tg_rms_norm(tg_tape *tape, tg_tensor *x, size_t normalized_ndim, tg_tensor *weight, double eps)
{
    tg_tensor *const in[] = {x, weight};
    const tg_layer_norm_attrs a = {.normalized_ndim = (int64_t)normalized_ndim, .eps = eps};
    return apply_first(tape, &row_rms_norm, in, 2, &a);
}
