/* nll_loss and cross_entropy. nll_loss is linear in its input and its gradient is the transpose, so the two
 * differentiate into each other; cross_entropy adds log_softmax in front. */
#include "autograd/operators/checks.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_label_range(const tg_infer *q)
{
    if (q->in[0]->dtype != TG_I64)
        return tg_infer_fail(q, TG_EDTYPE, "target is %s, expected i64", tg_dtype_name(q->in[0]->dtype));
    return tg_desc_make(q->out, TG_I64, (const int64_t[]){3}, 1);
}

static tg_status check_smoothing(const tg_infer *q, double smoothing)
{
    if (smoothing >= 0.0 && smoothing <= 1.0)
        return TG_OK;
    return tg_infer_fail(q, TG_EINVAL, "label_smoothing is %g, expected 0 … 1", smoothing);
}

/* The dims of the target of x [N, C, *] or [C]. */
static int32_t target_dims(const tg_desc *x, int64_t *dims)
{
    int32_t n = 0;
    for (int i = 0; i < x->ndim; i++)
        if (i != (x->ndim > 1))
            dims[n++] = x->dim[i];
    return n;
}

/* input, target and weight; the loss is q->out[0]. */
static tg_status infer_nll(const tg_infer *q)
{
    const tg_nll_loss_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    int64_t dims[TG_MAX_DIM];
    tg_status status = check_float(q, 0, "input");
    if (!status && x->ndim == 0)
        status = tg_infer_fail(q, TG_ESHAPE, "input is a scalar, expected [C] or [N, C, *]");
    if (status)
        return status;
    int32_t ndim = target_dims(x, dims);
    status = check_shape(q, 1, "target", TG_I64, dims, ndim);
    if (!status)
        status = check_shape(q, 2, "weight", x->dtype, &x->dim[x->ndim > 1], 1);
    if (!status)
        status = check_reduction(q, a->reduction);
    if (!status)
        status = check_smoothing(q, a->label_smoothing);
    if (status)
        return status;
    return tg_desc_make(q->out, (tg_dtype)x->dtype, dims, a->reduction == TG_REDUCE_NONE ? (size_t)ndim : 0);
}

static tg_status infer_cross_entropy(const tg_infer *q)
{
    tg_status status = infer_nll(q);
    return status ? status : infer_out_like(q->in[0], &q->out[1]);
}

/* gy in 0, the target in `target`, the weight after it. */
static tg_status infer_back(const tg_infer *q, size_t target)
{
    const tg_nll_loss_backward_attrs *a = q->attrs;
    const tg_desc *t = q->in[target];
    int64_t dims[TG_MAX_DIM] = {0};
    tg_status status = check_float(q, 0, "gy");
    if (!status && t->dtype != TG_I64)
        status = tg_infer_fail(q, TG_EDTYPE, "target is %s, expected i64", tg_dtype_name(t->dtype));
    if (!status && (t->ndim >= TG_MAX_DIM || a->classes < 0))
        status = tg_infer_fail(q, TG_ESHAPE,
                               "%lld classes and a target of %d dims, expected at least 0 and at most %d",
                               (long long)a->classes, (int)t->ndim, TG_MAX_DIM - 1);
    if (!status)
        status = check_reduction(q, a->reduction);
    if (!status)
        status = check_smoothing(q, a->label_smoothing);
    if (!status)
        status =
            check_shape(q, 0, "gy", q->in[0]->dtype, t->dim, a->reduction == TG_REDUCE_NONE ? t->ndim : 0);
    if (!status)
        status = check_shape(q, target + 1, "weight", q->in[0]->dtype, &a->classes, 1);
    if (status)
        return status;
    for (int i = 0; i < t->ndim; i++)
        dims[i + (i > 0)] = t->dim[i];
    dims[t->ndim > 0] = a->classes;
    return tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, dims, (size_t)t->ndim + 1);
}

static tg_status infer_nll_loss_backward(const tg_infer *q)
{
    return infer_back(q, 1);
}

static tg_status infer_cross_entropy_backward(const tg_infer *q)
{
    tg_status status = infer_back(q, 2);
    return status ? status : check_shape(q, 1, "log_probs", q->out->dtype, q->out->dim, q->out->ndim);
}

/* -- labels --------------------------------------------------------------------------------------------- */

static const tg_operator label_range, nll_loss, nll_loss_backward, cross_entropy, cross_entropy_backward;

/* Runs before infer: what does not fit is left for that to explain. */
static tg_status check_labels(tg_tape *tape, const char *what, tg_tensor *const in[], int64_t ignore_index)
{
    tg_desc x, t;
    int64_t found[3] = {0};
    if (tg_tensor_desc(in[0], &x) || tg_tensor_desc(in[1], &t) || x.ndim == 0 || t.dtype != TG_I64)
        return TG_OK;
    tg_label_range_attrs a = {.ignore_index = ignore_index, .classes = x.dim[x.ndim > 1]};
    tg_tensor *range = apply_first(tape, &label_range, &in[1], 1, &a);
    if (!range)
        return tg_tape_status(tape);
    tg_status status = tg_tensor_read(range, found, sizeof found);
    tg_discard(range);
    if (status || found[0] == 0)
        return status;
    return tg_fail(
        tape, TG_EINDEX,
        "%s: the label at position %lld of target is %lld, expected 0 … %lld or ignore_index (%lld); "
        "%lld of %lld labels are out of range",
        what, (long long)found[1], (long long)found[2], (long long)a.classes - 1, (long long)ignore_index,
        (long long)found[0], (long long)tg_desc_count(&t));
}

static tg_status check_nll_loss(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in;
    return check_labels(tape, "nll_loss", in, ((const tg_nll_loss_attrs *)attrs)->ignore_index);
}

static tg_status check_cross_entropy(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in;
    return check_labels(tape, "cross_entropy", in, ((const tg_nll_loss_attrs *)attrs)->ignore_index);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

/* A class weight is a constant, as in torch. */
static tg_status refuse_weight(tg_tape *tape, const tg_node *node, size_t weight)
{
    if (!tg_node_needs(node, weight))
        return TG_OK;
    return tg_fail(tape, TG_ENODERIV, "%s has no derivative with respect to its class weights",
                   tg_node_operator(node)->name);
}

static tg_nll_loss_backward_attrs back_attrs(const tg_nll_loss_attrs *a, const tg_tensor *x)
{
    return (tg_nll_loss_backward_attrs){.ignore_index = a->ignore_index,
                                        .reduction = a->reduction,
                                        .classes = tg_tensor_dim(x, tg_tensor_ndim(x) > 1),
                                        .label_smoothing = a->label_smoothing};
}

static tg_nll_loss_attrs forward_attrs(const tg_nll_loss_backward_attrs *a)
{
    return (tg_nll_loss_attrs){a->ignore_index, a->reduction, a->label_smoothing};
}

TG_RULE(nll_loss)
{
    tg_nll_loss_backward_attrs a = back_attrs(tg_node_attrs(node), tg_node_input(node, 0));
    if (tg_node_needs(node, 0)) {
        tg_tensor *const in[] = {gy[0], tg_node_input(node, 1), tg_node_input(node, 2)};
        gx[0] = apply_first(tape, &nll_loss_backward, in, 3, &a);
    }
    refuse_weight(tape, node, 2);
    return tg_tape_status(tape);
}

TG_RULE(nll_loss_backward)
{
    tg_nll_loss_attrs a = forward_attrs(tg_node_attrs(node));
    if (tg_node_needs(node, 0)) {
        tg_tensor *const in[] = {gy[0], tg_node_input(node, 1), tg_node_input(node, 2)};
        gx[0] = apply_first(tape, &nll_loss, in, 3, &a);
    }
    refuse_weight(tape, node, 2);
    return tg_tape_status(tape);
}

/* x − exp(log_probs)·Σ_c x: what log_softmax sends back of x. */
static tg_tensor *through_log_softmax(tg_tape *tape, tg_tensor *x, tg_tensor *log_probs)
{
    int64_t dim = tg_tensor_ndim(x) > 1;
    tg_tensor *sum = tg_sum_dims(tape, x, &dim, 1, true);
    return tg_sub(tape, x, tg_mul(tape, tg_exp(tape, log_probs), sum));
}

/* log_probs is kept for this rule, and differentiable, so that the rule's own derivatives come back through
 * it. */
TG_RULE(cross_entropy)
{
    tg_tensor *log_probs = tg_node_output(node, 1);
    tg_nll_loss_backward_attrs a = back_attrs(tg_node_attrs(node), log_probs);
    if (tg_node_needs(node, 0)) {
        tg_tensor *const in[] = {gy[0], log_probs, tg_node_input(node, 1), tg_node_input(node, 2)};
        if (gy[0])
            gx[0] = apply_first(tape, &cross_entropy_backward, in, 4, &a);
        if (gy[1]) {
            tg_tensor *g = through_log_softmax(tape, gy[1], log_probs);
            gx[0] = gy[0] ? tg_add(tape, gx[0], g) : g;
        }
    }
    refuse_weight(tape, node, 2);
    return tg_tape_status(tape);
}

/* r = g − p·Σ_c g with p = exp(log_probs), g = nll_loss_backward(gy). */
TG_RULE(cross_entropy_backward)
{
    const tg_nll_loss_backward_attrs *a = tg_node_attrs(node);
    tg_nll_loss_attrs plain = forward_attrs(a);
    tg_tensor *v = gy[0], *g = tg_node_input(node, 0), *log_probs = tg_node_input(node, 1);
    tg_tensor *target = tg_node_input(node, 2), *weight = tg_node_input(node, 3);
    int64_t dim = tg_tensor_ndim(log_probs) > 1;
    tg_tensor *vp = tg_mul(tape, v, tg_exp(tape, log_probs));
    if (tg_node_needs(node, 0)) {
        tg_tensor *u = tg_sub(tape, v, tg_sum_dims(tape, vp, &dim, 1, true));
        gx[0] = apply_first(tape, &nll_loss, (tg_tensor *const[]){u, target, weight}, 3, &plain);
    }
    if (tg_node_needs(node, 1)) {
        tg_tensor *h = apply_first(tape, &nll_loss_backward, (tg_tensor *const[]){g, target, weight}, 3, a);
        gx[1] = tg_neg(tape, tg_mul(tape, vp, tg_sum_dims(tape, h, &dim, 1, true)));
    }
    refuse_weight(tape, node, 3);
    return tg_tape_status(tape);
}

/* -- samples -------------------------------------------------------------------------------------------- */

/* clang-format off */
TG_SAMPLES(samples_label_range,
           {.label = "all in range", .in = TG_SAMPLE_INPUTS(LABELS(0, 4, 9)),
            .attrs = &(const tg_label_range_attrs){-100, 4}},
           {.label = "some ignored, some wrong", .in = TG_SAMPLE_INPUTS(LABELS(-2, 6, 3, 7)),
            .attrs = &(const tg_label_range_attrs){-1, 4}},
           {.label = "strided", .in = TG_SAMPLE_INPUTS(STRIDED_LABELS(0, 6, 5, 4)),
            .attrs = &(const tg_label_range_attrs){5, 4}},
           {.label = "none", .in = TG_SAMPLE_INPUTS(LABELS(0, 4, 0)),
            .attrs = &(const tg_label_range_attrs){-100, 4}})

#define NLL(how, ignore, smoothing) &(const tg_nll_loss_attrs){ignore, TG_REDUCE_##how, smoothing}

/* Labels of −1 are ignored in these. */
#define NLL_SAMPLES(name, from, to, smoothing)                                                               \
    TG_SAMPLES(name,                                                                                         \
               {.label = "mean", .attrs = NLL(MEAN, -100, smoothing),                                        \
                .in = TG_SAMPLE_INPUTS(DRAWN(from, to, 5, 3), LABELS(0, 3, 5), ABSENT)},                                     \
               {.label = "sum, weights, some ignored", .attrs = NLL(SUM, -1, 0),                             \
                .in = TG_SAMPLE_INPUTS(DRAWN(from, to, 7, 4), LABELS(-1, 4, 7), CONSTANT(0.5, 2, 4))},                       \
               {.label = "none, strided", .attrs = NLL(NONE, -1, smoothing),                                 \
                .in = TG_SAMPLE_INPUTS(STRIDED(from, to, 6, 3), LABELS(-1, 3, 6), ABSENT)},                                  \
               {.label = "mean, weights, images", .attrs = NLL(MEAN, -1, smoothing),                         \
                .in = TG_SAMPLE_INPUTS(DRAWN(from, to, 2, 3, 2, 3), LABELS(-1, 3, 2, 2, 3), CONSTANT(0.5, 2, 3))},           \
               {.label = "none, weights, sequences", .attrs = NLL(NONE, 1, 0),                               \
                .in = TG_SAMPLE_INPUTS(STRIDED(from, to, 2, 4, 3), STRIDED_LABELS(0, 4, 2, 3), CONSTANT(0.5, 2, 4))},        \
               {.label = "one sample", .attrs = NLL(MEAN, -100, smoothing),                                  \
                .in = TG_SAMPLE_INPUTS(DRAWN(from, to, 5), {0 : 5, i64, constant},                           \
                       CONSTANT(0.5, 2, 5))},                                                                \
               {.label = "past one vector", .attrs = NLL(MEAN, -1, smoothing),                               \
                .in = TG_SAMPLE_INPUTS(DRAWN(from, to, 3, 19), LABELS(0, 19, 3), CONSTANT(0.5, 2, 19))},                     \
               {.label = "no samples", .attrs = NLL(SUM, -100, smoothing),                                   \
                .in = TG_SAMPLE_INPUTS(DRAWN(from, to, 0, 3), LABELS(0, 3, 0), ABSENT)})

NLL_SAMPLES(samples_nll_loss, -3, 0, 0)
NLL_SAMPLES(samples_cross_entropy, -2, 2, 0.2)

#define BACK(how, ignore, n_classes, smoothing)                                                              \
    &(const tg_nll_loss_backward_attrs){ignore, TG_REDUCE_##how, n_classes, smoothing}

TG_SAMPLES(samples_nll_loss_backward,
           {.label = "mean", .attrs = BACK(MEAN, -100, 3, 0),
            .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2), LABELS(0, 3, 5), ABSENT)},
           {.label = "mean, weights, some ignored, smoothed", .attrs = BACK(MEAN, -1, 4, 0.3),
            .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2), LABELS(-1, 4, 7), CONSTANT(0.5, 2, 4))},
           {.label = "none, images", .attrs = BACK(NONE, -1, 3, 0.1),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 2, 3), STRIDED_LABELS(-1, 3, 2, 2, 3), CONSTANT(0.5, 2, 3))},
           {.label = "one sample", .attrs = BACK(SUM, -100, 5, 0),
            .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2), {0 : 5, i64, constant}, ABSENT)})

TG_SAMPLES(samples_cross_entropy_backward,
           {.label = "mean", .attrs = BACK(MEAN, -100, 3, 0),
            .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2), DRAWN(-2, 0, 5, 3), LABELS(0, 3, 5), ABSENT)},
           {.label = "mean, weights, some ignored, smoothed", .attrs = BACK(MEAN, -1, 4, 0.3),
            .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2), DRAWN(-2, 0, 7, 4), LABELS(-1, 4, 7), CONSTANT(0.5, 2, 4))},
           {.label = "none, images", .attrs = BACK(NONE, -1, 3, 0.1),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 2, 3), STRIDED(-2, 0, 2, 3, 2, 3), STRIDED_LABELS(-1, 3, 2, 2, 3),
                   CONSTANT(0.5, 2, 3))},
           {.label = "one sample", .attrs = BACK(SUM, -100, 5, 0),
            .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2),
                   DRAWN(-2, 0, 5), {0 : 5, i64, constant},
                   ABSENT)})
/* clang-format on */

/* -- rows
 * ---------------------------------------------------------------------------------------------------------
 */

static const tg_attr_spec label_range_specs[] = {
    {.name = "ignore_index",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_label_range_attrs, ignore_index),
     .value = -100,
     .doc = "a label that is always in range"},
    {.name = "classes",
     .type = TG_ATTR_INT,
     .flags = TG_ATTR_REQUIRED,
     .offset = offsetof(tg_label_range_attrs, classes),
     .doc = "labels are 0 … classes − 1"},
    {0},
};

#define NLL_SPECS(struct_)                                                                                   \
    {.name = "ignore_index",                                                                                 \
     .type = TG_ATTR_INT,                                                                                    \
     .offset = offsetof(struct_, ignore_index),                                                              \
     .value = -100,                                                                                          \
     .doc = "positions with this label do not count"},                                                       \
        {.name = "reduction",                                                                                \
         .type = TG_ATTR_CHOICE,                                                                             \
         .offset = offsetof(struct_, reduction),                                                             \
         .value = TG_REDUCE_MEAN,                                                                            \
         .choices = "none|mean|sum",                                                                         \
         .doc = "mean: divided by the targets' weights"},                                                    \
    {                                                                                                        \
        .name = "label_smoothing", .type = TG_ATTR_REAL, .offset = offsetof(struct_, label_smoothing),       \
        .doc = "the share of the target that is spread over all classes"                                     \
    }

static const tg_attr_spec nll_specs[] = {NLL_SPECS(tg_nll_loss_attrs), {0}};
static const tg_attr_spec back_specs[] = {
    NLL_SPECS(tg_nll_loss_backward_attrs),
    {.name = "classes",
     .type = TG_ATTR_INT,
     .flags = TG_ATTR_REQUIRED,
     .offset = offsetof(tg_nll_loss_backward_attrs, classes),
     .doc = "C"},
    {0},
};

static const tg_operator label_range = {
    TG_ROW("label_range",
           "[count, position, label] of the labels outside 0 … classes − 1 that are not ignore_index"),
    TG_ATTRS(tg_label_range_attrs, label_range_specs),
    .flags = TG_OP_DENSE | TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 1,
    .infer = infer_label_range,
    .samples = TG_PROOF(samples_label_range),
};

static const tg_operator nll_loss = {
    TG_ROW("nll_loss",
           "−w[t]·input[t] at each label t; mean: divided by Σw[t] (torch.nn.functional.nll_loss)"),
    TG_ATTRS(tg_nll_loss_attrs, nll_specs),
    .flags = TG_OP_DENSE | TG_OP_HOST_CHECK,
    .saves = TG_OP_IN(1) | TG_OP_IN(2),
    .n_in = 3,
    .n_out = 1,
    .optional = TG_OP_IN(2),
    .infer = infer_nll,
    .vjp = nll_loss_vjp,
    .check = check_nll_loss,
    .samples = TG_PROOF(samples_nll_loss),
};

static const tg_operator nll_loss_backward = {
    TG_ROW("nll_loss_backward", "gx[t] = −w[t]·gy at each label t, 0 elsewhere; mean: divided by Σw[t]"),
    TG_ATTRS(tg_nll_loss_backward_attrs, back_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(1) | TG_OP_IN(2),
    .n_in = 3,
    .n_out = 1,
    .optional = TG_OP_IN(2),
    .infer = infer_nll_loss_backward,
    .vjp = nll_loss_backward_vjp,
    .samples = TG_PROOF(samples_nll_loss_backward),
};

static const tg_operator cross_entropy = {
    TG_ROW("cross_entropy",
           "nll_loss of log_softmax(input) over the classes (torch.nn.functional.cross_entropy)"),
    TG_ATTRS(tg_nll_loss_attrs, nll_specs),
    .flags = TG_OP_DENSE | TG_OP_HOST_CHECK,
    .saves = TG_OP_IN(1) | TG_OP_IN(2) | TG_OP_OUT(1),
    .n_in = 3,
    .n_out = 2,
    .optional = TG_OP_IN(2),
    .kept_out = TG_OP_OUT(1) >> 16,
    .infer = infer_cross_entropy,
    .vjp = cross_entropy_vjp,
    .check = check_cross_entropy,
    .samples = TG_PROOF(samples_cross_entropy),
};

static const tg_operator cross_entropy_backward = {
    TG_ROW("cross_entropy_backward", "gx = g − exp(log_probs)·Σ_c g, g = nll_loss_backward(gy)"),
    TG_ATTRS(tg_nll_loss_backward_attrs, back_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_IN(2) | TG_OP_IN(3),
    .n_in = 4,
    .n_out = 1,
    .optional = TG_OP_IN(3),
    .infer = infer_cross_entropy_backward,
    .vjp = cross_entropy_backward_vjp,
    .samples = TG_PROOF(samples_cross_entropy_backward),
};

const tg_operator *const tg_ops_cross_entropy[] = {
    &label_range, &nll_loss, &nll_loss_backward, &cross_entropy, &cross_entropy_backward, NULL,
};

/* -- wrappers ------------------------------------------------------------------------------------------- */

tg_tensor *tg_nll_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                       int64_t ignore_index, tg_reduction reduction)
{
    tg_tensor *const in[] = {input, target, weight};
    return apply_first(tape, &nll_loss, in, 3,
                       &(tg_nll_loss_attrs){.ignore_index = ignore_index, .reduction = reduction});
}

static tg_status check_probabilities(tg_tape *tape, const tg_desc *x, const tg_desc *t, tg_tensor *weight,
                                     int64_t ignore_index, tg_reduction reduction, double smoothing)
{
    char got[112], expected[112];
    tg_desc w;
    int64_t classes = x->dim[x->ndim > 1];
    if (x->ndim == 0 || !tg_dtype_is_float(x->dtype))
        return tg_fail(tape, x->ndim ? TG_EDTYPE : TG_ESHAPE,
                       "cross_entropy: input is %s, expected f32 or f64 [C] or [N, C, *]",
                       tg_desc_format(x, got, sizeof got));
    if (x->dtype != t->dtype || !tg_desc_same_dims(x, t))
        return tg_fail(tape, x->dtype != t->dtype ? TG_EDTYPE : TG_ESHAPE,
                       "cross_entropy: target is %s, expected i64 labels or probabilities %s",
                       tg_desc_format(t, got, sizeof got), tg_desc_format(x, expected, sizeof expected));
    if (weight && tg_tensor_desc(weight, &w))
        return tg_fail(tape, TG_ESTALE, "cross_entropy: weight is stale");
    if (weight && (w.dtype != x->dtype || w.ndim != 1 || w.dim[0] != classes))
        return tg_fail(tape, w.dtype != x->dtype ? TG_EDTYPE : TG_ESHAPE,
                       "cross_entropy: weight is %s, expected %s[%lld]", tg_desc_format(&w, got, sizeof got),
                       tg_dtype_name(x->dtype), (long long)classes);
    if (ignore_index >= 0)
        return tg_fail(tape, TG_EINVAL,
                       "cross_entropy: ignore_index is %lld, but the target holds probabilities, not labels",
                       (long long)ignore_index);
    if (reduction != TG_REDUCE_NONE && reduction != TG_REDUCE_MEAN && reduction != TG_REDUCE_SUM)
        return tg_fail(tape, TG_EINVAL,
                       "cross_entropy: reduction is %d, expected none (0), mean (1) or sum (2)",
                       (int)reduction);
    if (!(smoothing >= 0.0 && smoothing <= 1.0))
        return tg_fail(tape, TG_EINVAL, "cross_entropy: label_smoothing is %g, expected 0 … 1", smoothing);
    return TG_OK;
}

/* −Σ_c w[c]·q[c]·log softmax(x)[c], q the target smoothed; the mean is over the positions, whatever the
 * weights. */
static tg_tensor *with_probabilities(tg_tape *tape, tg_tensor *input, const tg_desc *x, tg_tensor *target,
                                     tg_tensor *weight, tg_reduction reduction, double smoothing)
{
    int64_t dim = x->ndim > 1, classes = x->dim[dim], view[TG_MAX_DIM];
    tg_tensor *q = target;
    if (smoothing > 0.0)
        q = tg_add_scalar(tape, tg_mul_scalar(tape, q, 1.0 - smoothing), smoothing / (double)classes);
    tg_tensor *each = tg_mul(tape, tg_log_softmax(tape, input, dim), q);
    if (weight) {
        for (int i = 0; i < x->ndim; i++)
            view[i] = i == dim ? classes : 1;
        each = tg_mul(tape, each, tg_reshape_dims(tape, weight, view, (size_t)x->ndim));
    }
    if (reduction == TG_REDUCE_NONE)
        return tg_neg(tape, tg_sum_dims(tape, each, &dim, 1, false));
    tg_tensor *sum = tg_sum(tape, each);
    if (reduction == TG_REDUCE_SUM)
        return tg_neg(tape, sum);
    return tg_mul_scalar(tape, sum, -(double)classes / (double)tg_desc_count(x)); /* of nothing: 0·∞ */
}

tg_tensor *tg_cross_entropy_with(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                                 int64_t ignore_index, tg_reduction reduction, double label_smoothing)
{
    tg_desc x, t;
    bool known = tape && input && target && !tg_tape_status(tape) && !tg_tensor_desc(input, &x) &&
                 !tg_tensor_desc(target, &t);
    if (known && tg_dtype_is_float(t.dtype)) {
        if (check_probabilities(tape, &x, &t, weight, ignore_index, reduction, label_smoothing))
            return NULL;
        return with_probabilities(tape, input, &x, target, weight, reduction, label_smoothing);
    }
    tg_tensor *const in[] = {input, target, weight};
    tg_nll_loss_attrs a = {ignore_index, reduction, label_smoothing};
    return apply_first(tape, &cross_entropy, in, 3, &a);
}

tg_tensor *tg_cross_entropy(tg_tape *tape, tg_tensor *input, tg_tensor *target)
{
    return tg_cross_entropy_with(tape, input, target, NULL, -100, TG_REDUCE_MEAN, 0.0);
}
