/* Losses between two tensors of one shape. */
#include "autograd/operators/checks.h"
#include "autograd/operators/losses.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_mse_loss(const tg_infer *q)
{
    const tg_mse_loss_attrs *a = q->attrs;
    tg_status status = check_float(q, 0, "input");
    if (!status)
        status = check_like(q, 1, "target", 0);
    if (!status)
        status = check_reduction(q, a->reduction);
    if (status)
        return status;
    int32_t ndim = a->reduction == TG_REDUCE_NONE ? q->in[0]->ndim : 0;
    return tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, q->in[0]->dim, (size_t)ndim);
}

static tg_status infer_mse_loss_backward(const tg_infer *q)
{
    const tg_mse_loss_attrs *a = q->attrs;
    const tg_desc *x = q->in[1];
    tg_status status = check_float(q, 1, "input");
    if (!status)
        status = check_like(q, 2, "target", 1);
    if (!status)
        status = check_reduction(q, a->reduction);
    if (!status)
        status = check_shape(q, 0, "gy", x->dtype, x->dim, a->reduction == TG_REDUCE_NONE ? x->ndim : 0);
    return status ? status : infer_out_like(x, q->out);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator mse_loss_backward;

TG_RULE(mse_loss)
{
    tg_tensor *const in[] = {gy[0], tg_node_input(node, 0), tg_node_input(node, 1)};
    tg_tensor *g = apply_first(tape, &mse_loss_backward, in, 3, tg_node_attrs(node));
    if (tg_node_needs(node, 0))
        gx[0] = g;
    if (tg_node_needs(node, 1))
        gx[1] = tg_neg(tape, g);
    return tg_tape_status(tape);
}

/* r = k·g·(x − t) */
TG_RULE(mse_loss_backward)
{
    const tg_mse_loss_attrs *a = tg_node_attrs(node);
    tg_tensor *v = gy[0], *g = tg_node_input(node, 0), *x = tg_node_input(node, 1),
              *t = tg_node_input(node, 2);
    double k = a->reduction == TG_REDUCE_MEAN ? 2.0 / (double)tg_tensor_count(x) : 2.0;
    if (tg_node_needs(node, 0)) {
        tg_tensor *r = tg_mul_scalar(tape, tg_mul(tape, v, tg_sub(tape, x, t)), k);
        gx[0] = a->reduction == TG_REDUCE_NONE ? r : tg_sum(tape, r);
    }
    if (tg_node_needs(node, 1) || tg_node_needs(node, 2)) {
        tg_tensor *r = tg_mul_scalar(tape, tg_mul(tape, v, g), k);
        if (tg_node_needs(node, 1))
            gx[1] = r;
        if (tg_node_needs(node, 2))
            gx[2] = tg_neg(tape, r);
    }
    return tg_tape_status(tape);
}

/* (x − t)/max(x·(1 − x), 1e-12), and log(1 − x) − log x, as in PyTorch. */
TG_RULE(binary_cross_entropy)
{
    tg_tensor *x = tg_node_input(node, 0), *t = tg_node_input(node, 1);
    tg_tensor *rest = tg_add_scalar(tape, tg_neg(tape, x), 1);
    if (tg_node_needs(node, 0)) {
        tg_tensor *slope = tg_clamp(tape, tg_mul(tape, x, rest), 1e-12, (double)NAN);
        gx[0] = tg_mul(tape, gy[0], tg_div(tape, tg_sub(tape, x, t), slope));
    }
    if (tg_node_needs(node, 1))
        gx[1] = tg_mul(tape, gy[0], tg_sub(tape, tg_log(tape, rest), tg_log(tape, x)));
    return tg_tape_status(tape);
}

/* -- samples -------------------------------------------------------------------------------------------- */

/* clang-format off */
#define REDUCED(how) &(const tg_mse_loss_attrs){.reduction = TG_REDUCE_##how}

TG_SAMPLES(samples_mse_loss,
           {.label = "mean", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 5), DRAWN(-2, 2, 3, 5)),
            .attrs = REDUCED(MEAN)},
           {.label = "sum", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 37), DRAWN(-2, 2, 37)), .attrs = REDUCED(SUM)},
           {.label = "none", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 3, 3), DRAWN(-2, 2, 2, 3, 3)),
            .attrs = REDUCED(NONE)},
           {.label = "strided", .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 4, 3), STRIDED(-2, 2, 4, 3)),
            .attrs = REDUCED(MEAN)},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2), DRAWN_SCALAR(-2, 2)),
            .attrs = REDUCED(MEAN)},
           {.label = "empty", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 0, 3), DRAWN(-2, 2, 0, 3)),
            .attrs = REDUCED(SUM)})

TG_SAMPLES(samples_mse_loss_backward,
           {.label = "mean", .attrs = REDUCED(MEAN),
            .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2), DRAWN(-2, 2, 3, 5), DRAWN(-2, 2, 3, 5))},
           {.label = "sum", .attrs = REDUCED(SUM),
            .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2), DRAWN(-2, 2, 19), DRAWN(-2, 2, 19))},
           {.label = "none", .attrs = REDUCED(NONE),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 3, 3), DRAWN(-2, 2, 2, 3, 3), DRAWN(-2, 2, 2, 3, 3))},
           {.label = "strided", .attrs = REDUCED(NONE),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 4, 3), STRIDED(-2, 2, 4, 3), STRIDED(-2, 2, 4, 3))})

TG_SAMPLES(samples_binary_cross_entropy,
           {.label = "same dims", .in = TG_SAMPLE_INPUTS(DRAWN(0.1, 0.9, 3, 5), DRAWN(0.1, 0.9, 3, 5))},
           {.label = "strided", .in = TG_SAMPLE_INPUTS(STRIDED(0.1, 0.9, 4, 3), DRAWN(0.1, 0.9, 3))})
/* clang-format on */

/* -- rows ----------------------------------------------------------------------------------------------- */

static const tg_attr_spec mse_specs[] = {
    {.name = "reduction",
     .type = TG_ATTR_CHOICE,
     .offset = offsetof(tg_mse_loss_attrs, reduction),
     .value = TG_REDUCE_MEAN,
     .choices = "none|mean|sum",
     .doc = "what is done with the elements' losses"},
    {0},
};

static const tg_operator mse_loss = {
    TG_ROW("mse_loss", "(input − target)², mean or sum of it (torch.nn.functional.mse_loss)"),
    TG_ATTRS(tg_mse_loss_attrs, mse_specs),
    .flags = TG_OP_DENSE,
    .promotes = TG_OP_IN(0) | TG_OP_IN(1),
    .saves = TG_OP_IN(0) | TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    .infer = infer_mse_loss,
    .vjp = mse_loss_vjp,
    .samples = TG_PROOF(samples_mse_loss),
};

static const tg_operator mse_loss_backward = {
    TG_ROW("mse_loss_backward", "gx = 2·gy·(input − target), divided by the count for the mean"),
    TG_ATTRS(tg_mse_loss_attrs, mse_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_IN(2),
    .n_in = 3,
    .n_out = 1,
    .infer = infer_mse_loss_backward,
    .vjp = mse_loss_backward_vjp,
    .samples = TG_PROOF(samples_mse_loss_backward),
};

/* Whether the values are between 0 and 1 is the wrapper's to see: a rule may come by a little outside. */
static const tg_operator binary_cross_entropy = {
    TG_ROW("binary_cross_entropy", "−(t·max(log x, −100) + (1 − t)·max(log(1 − x), −100))"),
    .flags = TG_OP_BROADCAST,
    .promotes = TG_OP_IN(0) | TG_OP_IN(1),
    .saves = TG_OP_IN(0) | TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    .infer = tg_infer_broadcast_float,
    .vjp = binary_cross_entropy_vjp,
    .samples = TG_PROOF(samples_binary_cross_entropy),
};

const tg_operator *const tg_ops_loss[] = {&mse_loss, &mse_loss_backward, &binary_cross_entropy, NULL};

/* -- wrappers ------------------------------------------------------------------------------------------- */

/* The dims that a and b broadcast to; false where they do not. */
static bool broadcast(const tg_desc *a, const tg_desc *b, tg_desc *out)
{
    *out = a->ndim >= b->ndim ? *a : *b;
    for (int back = 0; back < out->ndim; back++) {
        int64_t p = back < a->ndim ? a->dim[a->ndim - 1 - back] : 1,
                r = back < b->ndim ? b->dim[b->ndim - 1 - back] : 1;
        if (p != r && p != 1 && r != 1)
            return false;
        out->dim[out->ndim - 1 - back] = p == 1 ? r : p;
    }
    return true;
}

void tg_loss_spread(tg_tape *tape, const char *what, tg_tensor **input, tg_tensor **target)
{
    tg_desc x, t, both;
    bool known = tape && *input && *target && !tg_tape_status(tape) && !tg_tensor_desc(*input, &x) &&
                 !tg_tensor_desc(*target, &t);
    if (!known || tg_desc_same_dims(&x, &t) || !broadcast(&x, &t, &both))
        return;
    char got_x[128], got_t[128];
    tg_runtime_log(tg_tape_runtime(tape), TG_LOG_WARNING,
                   "%s: input %s and target %s have different sizes and are broadcast, which is "
                   "likely a mistake",
                   what, tg_desc_format(&x, got_x, sizeof got_x), tg_desc_format(&t, got_t, sizeof got_t));
    *input = tg_expand_dims(tape, *input, both.dim, (size_t)both.ndim);
    *target = tg_expand_dims(tape, *target, both.dim, (size_t)both.ndim);
}

tg_tensor *tg_mse_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_reduction reduction)
{
    tg_loss_spread(tape, "mse_loss", &input, &target);
    tg_tensor *const in[] = {input, target};
    return apply_first(tape, &mse_loss, in, 2, &(tg_mse_loss_attrs){.reduction = reduction});
}

bool tg_loss_takes(const tg_composition *c, tg_tensor *input, tg_tensor **target, tg_reduction reduction)
{
    if (!c->what || !c->tape)
        return false;
    const tg_desc *x = tg_float_argument(c->tape, input, c->what, "input");
    const tg_desc *t = x ? tg_argument(c->tape, *target, c->what, "target") : NULL;
    if (!t || !tg_known_reduction(c->tape, c->what, reduction))
        return false;
    if (!tg_dtype_is_float(t->dtype))
        *target = tg_to(c->tape, *target, (tg_dtype)x->dtype);
    return *target != NULL;
}

tg_tensor *tg_loss_reduced(const tg_composition *c, tg_tensor *loss, tg_reduction reduction)
{
    return tg_composed(c->tape, &c->scope, tg_reduced_loss(c->tape, loss, reduction), NULL);
}

bool tg_loss_same_dims(const tg_composition *c, tg_tensor *x, const char *argument, tg_tensor *like,
                       const char *other)
{
    const tg_desc *d = tg_argument(c->tape, x, c->what, argument);
    const tg_desc *want = d ? tg_argument(c->tape, like, c->what, other) : NULL;
    char got[112], expected[112];
    if (want && tg_desc_same_dims(d, want))
        return true;
    if (want)
        tg_fail(c->tape, TG_ESHAPE, "%s: %s %s has not the dims of %s %s", c->what, argument,
                tg_desc_format(d, got, sizeof got), other, tg_desc_format(want, expected, sizeof expected));
    return false;
}

bool tg_loss_within(tg_tape *tape, const char *what, const char *argument, tg_tensor *x, double low, double high,
                    tg_status status, double *most)
{
    double least = low, largest = low;
    tg_scope scope;
    if (most)
        *most = low;
    if (!tg_tensor_count(x))
        return true;
    const bool was = tg_tape_set_recording(tape, false);
    tg_scope_enter(tape, &scope);
    tg_tensor *max = NULL, *min = tg_aminmax_dims(tape, x, NULL, 0, false, &max);
    if (!tg_tape_status(tape) && !tg_item(min, &least) && !tg_item(max, &largest) &&
        !(least >= low && largest <= high))
        tg_fail(tape, status, "%s: %s has values from %.10g to %.10g, expected %.10g … %.10g", what, argument,
                least, largest, low, high);
    if (most)
        *most = largest;
    tg_scope_undo(tape, &scope);
    tg_tape_set_recording(tape, was);
    return !tg_tape_status(tape);
}

tg_tensor *tg_loss_weighted(tg_tape *tape, tg_tensor *loss, tg_tensor *weight, tg_tensor *like)
{
    tg_desc d;
    if (!weight || tg_tape_status(tape) || tg_tensor_desc(like, &d))
        return loss;
    return tg_mul(tape, loss, tg_expand_as(tape, weight, &d));
}

tg_tensor *tg_binary_cross_entropy(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                                   tg_reduction reduction)
{
    TG_COMPOSES(tape, "binary_cross_entropy");
    static const char *const what = "binary_cross_entropy";
    if (!tg_float_argument(tape, input, what, "input") || !tg_float_argument(tape, target, what, "target") ||
        (weight && !tg_float_argument(tape, weight, what, "weight")) ||
        !tg_known_reduction(tape, what, reduction) ||
        !tg_loss_same_dims(&composition_, target, "target", input, "input") ||
        !tg_loss_within(tape, what, "input", input, 0, 1, TG_EINVAL, NULL) ||
        !tg_loss_within(tape, what, "target", target, 0, 1, TG_EINVAL, NULL))
        return NULL;
    tg_tensor *loss = apply_first(tape, &binary_cross_entropy, (tg_tensor *const[]){input, target}, 2, NULL);
    return tg_loss_reduced(&composition_, tg_loss_weighted(tape, loss, weight, input), reduction);
}
