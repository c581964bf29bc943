/* The loss of all alignments: one row, its gradient another, and lengths and labels looked at before. */
#include "autograd/operators/checks.h"
#include "autograd/operators/losses.h"

/* log_probs (T, N, C) in q->in[first], then targets (N, S), input_lengths (N) and target_lengths (N). */
static tg_status check_sequences(const tg_infer *q, size_t first)
{
    const tg_ctc_loss_attrs *a = q->attrs;
    const tg_desc *x = q->in[first], *t = q->in[first + 1];
    tg_status status = check_float(q, first, "log_probs");
    if (!status && (x->ndim != 3 || t->ndim != 2))
        status = tg_infer_fail(q, TG_ESHAPE, "log_probs and targets have %d and %d dims, expected 3 and 2",
                               (int)x->ndim, (int)t->ndim);
    if (!status)
        status = check_shape(q, first + 1, "targets", TG_I64, (const int64_t[]){x->dim[1], t->dim[1]}, 2);
    if (!status)
        status = check_shape(q, first + 2, "input_lengths", TG_I64, &x->dim[1], 1);
    if (!status)
        status = check_shape(q, first + 3, "target_lengths", TG_I64, &x->dim[1], 1);
    if (!status && (a->blank < 0 || a->blank >= x->dim[2]))
        status = tg_infer_fail(q, TG_EINVAL, "blank is %lld, expected 0 … %lld", (long long)a->blank,
                               (long long)x->dim[2] - 1);
    return status;
}

static tg_status infer_ctc_loss(const tg_infer *q)
{
    tg_status status = check_sequences(q, 0);
    return status ? status : tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, &q->in[0]->dim[1], 1);
}

static tg_status infer_ctc_loss_backward(const tg_infer *q)
{
    const tg_desc *x = q->in[1];
    tg_status status = check_sequences(q, 1);
    if (!status)
        status = check_shape(q, 0, "gy", x->dtype, &x->dim[1], 1);
    return status ? status : infer_out_like(x, q->out);
}

static const tg_operator ctc_loss_backward;

TG_RULE(ctc_loss)
{
    tg_tensor *const in[] = {gy[0], tg_node_input(node, 0), tg_node_input(node, 1), tg_node_input(node, 2),
                             tg_node_input(node, 3)};
    gx[0] = apply_first(tape, &ctc_loss_backward, in, 5, tg_node_attrs(node));
    return tg_tape_status(tape);
}

/* It is linear in gy. */
TG_RULE(ctc_loss_backward)
{
    const int64_t others[] = {0, 2};
    if (tg_node_needs(node, 1))
        return tg_fail(tape, TG_ENODERIV, "ctc_loss is once differentiable, as torch's");
    tg_tensor *g = tg_node_input(node, 0), *in[5] = {g ? tg_ones_like(tape, g) : NULL};
    for (size_t i = 1; i < 5; i++)
        in[i] = tg_node_input(node, i);
    tg_tensor *unit = apply_first(tape, &ctc_loss_backward, in, 5, tg_node_attrs(node));
    gx[0] = tg_sum_dims(tape, tg_mul(tape, gy[0], unit), others, 2, false);
    return tg_tape_status(tape);
}

/* clang-format off */
/* Beside the occupancy, exp of these is nothing: the finite difference knows no sum of probabilities. */
#define LOG_PROBS(...) DRAWN(-30, -25, __VA_ARGS__)
#define CTC(BLANK, ZERO) &(const tg_ctc_loss_attrs){BLANK, ZERO}
TG_SAMPLES(samples_ctc_loss,
           {.label = "three of five", .attrs = CTC(0, 0),
            .in = TG_SAMPLE_INPUTS(LOG_PROBS(6, 2, 4), LABELS(1, 3, 2, 2), LABELS(5, 7, 2), LABELS(1, 3, 2),
                                   tolerance 1e-5)},
           {.label = "infeasible ones", .attrs = CTC(2, 1),
            .in = TG_SAMPLE_INPUTS(LOG_PROBS(3, 4, 3), LABELS(0, 2, 4, 3), LABELS(1, 4, 4), LABELS(0, 4, 4),
                                   tolerance 1e-5)})
TG_SAMPLES(samples_ctc_loss_backward,
           {.label = "of gy", .attrs = CTC(0, 0),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2), CONSTANT(-3, 0, 6, 2, 4), LABELS(1, 3, 2, 2), LABELS(5, 7, 2),
                                   LABELS(1, 3, 2))})
/* clang-format on */

static const tg_attr_spec specs[] = {
    {.name = "blank",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_ctc_loss_attrs, blank),
     .doc = "the class of no label"},
    {.name = "zero_infinity",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_ctc_loss_attrs, zero_infinity),
     .doc = "1: what has no alignment costs 0"},
    {0},
};

static const tg_operator ctc_loss = {
    TG_ROW("ctc_loss", "-log of the probability of all alignments (torch.nn.functional.ctc_loss)"),
    TG_ATTRS(tg_ctc_loss_attrs, specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_IN(2) | TG_OP_IN(3),
    .n_in = 4,
    .n_out = 1,
    .infer = infer_ctc_loss,
    .vjp = ctc_loss_vjp,
    .samples = TG_PROOF(samples_ctc_loss),
};

static const tg_operator ctc_loss_backward = {
    TG_ROW("ctc_loss_backward", "gx = gy·(exp(log_probs) − occupancy)"),
    TG_ATTRS(tg_ctc_loss_attrs, specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_IN(2) | TG_OP_IN(3) | TG_OP_IN(4),
    .n_in = 5,
    .n_out = 1,
    .infer = infer_ctc_loss_backward,
    .vjp = ctc_loss_backward_vjp,
    .samples = TG_PROOF(samples_ctc_loss_backward),
};

const tg_operator *const tg_ops_ctc[] = {&ctc_loss, &ctc_loss_backward, NULL};

/* -- the function --------------------------------------------------------------------------------------- */

/* Labels one after the other, as rows [N, width] with anything behind a row's length. */
static tg_tensor *in_rows(tg_tape *tape, tg_tensor *labels, tg_tensor *lengths, tg_tensor *places)
{
    tg_tensor *before = tg_sub(tape, tg_cumsum(tape, lengths, 0), lengths);
    tg_tensor *at = tg_add(tape, tg_unsqueeze(tape, before, 1), places);
    if (tg_tensor_count(labels) == 0)
        return at;
    return tg_take(tape, labels, tg_clamp(tape, at, 0, (double)(tg_tensor_count(labels) - 1)));
}

/* targets [N, S], whatever they came as, with blanks behind the lengths; NULL where something is out of
 * range. What does not fit otherwise, the row says. */
static tg_tensor *checked_targets(const tg_composition *c, tg_tensor *targets, tg_tensor *input_lengths,
                                  tg_tensor *target_lengths, double times, double classes, double blank)
{
    tg_tape *tape = c->tape;
    const tg_desc *t = tg_argument(tape, targets, c->what, "targets");
    double longest, all = 0;
    if (!t)
        return NULL;
    const bool rows = t->ndim != 1;
    const double size = t->ndim ? (double)t->dim[t->ndim - 1] : 0;
    if (!tg_loss_within(tape, c->what, "input_lengths", input_lengths, 0, times, TG_EINVAL, NULL) ||
        !tg_loss_within(tape, c->what, "target_lengths", target_lengths, 0, size, TG_EINVAL, &longest))
        return NULL;
    tg_tensor *places = tg_arange(tape, TG_I64, 0, rows ? size : longest, 1);
    if (!rows) {
        if (tg_item(tg_sum(tape, target_lengths), &all) || all != size) {
            tg_fail(tape, TG_ESHAPE, "%s: targets has %.10g labels, target_lengths add up to %.10g", c->what,
                    size, all);
            return NULL;
        }
        targets = in_rows(tape, targets, target_lengths, places);
    }
    targets = tg_where(tape, tg_lt(tape, places, tg_unsqueeze(tape, target_lengths, 1)), targets,
                       tg_full(tape, TG_I64, NULL, 0, blank));
    if (!targets || !tg_loss_within(tape, c->what, "targets", targets, 0, classes - 1, TG_EINDEX, NULL))
        return NULL;
    return targets;
}

tg_tensor *tg_ctc_loss(tg_tape *tape, tg_tensor *log_probs, tg_tensor *targets, tg_tensor *input_lengths,
                       tg_tensor *target_lengths, int64_t blank, bool zero_infinity, tg_reduction reduction)
{
    TG_COMPOSES(tape, "ctc_loss");
    const char *const what = "ctc_loss";
    const tg_desc *x = tg_float_argument(tape, log_probs, what, "log_probs");
    if (!x || !tg_known_reduction(tape, what, reduction) ||
        !tg_argument(tape, input_lengths, what, "input_lengths") ||
        !tg_argument(tape, target_lengths, what, "target_lengths"))
        return NULL;
    const bool one = x->ndim == 2;
    if (one) {
        const int64_t as_list = 1;
        log_probs = tg_unsqueeze(tape, log_probs, 1);
        input_lengths = tg_reshape_dims(tape, input_lengths, &as_list, 1);
        target_lengths = tg_reshape_dims(tape, target_lengths, &as_list, 1);
    }
    x = tg_argument(tape, log_probs, what, "log_probs");
    if (!x)
        return NULL;
    if (x->ndim != 3 || blank < 0 || blank >= x->dim[2]) {
        tg_fail(tape, x->ndim == 3 ? TG_EINVAL : TG_ESHAPE,
                "%s: log_probs has %d dims and blank is %lld, expected [T, N, C] or [T, C] and 0 … C − 1",
                what, (int)x->ndim, (long long)blank);
        return NULL;
    }
    targets = checked_targets(&composition_, targets, input_lengths, target_lengths, (double)x->dim[0],
                              (double)x->dim[2], (double)blank);
    if (!targets)
        return NULL;
    const tg_ctc_loss_attrs attrs = {blank, zero_infinity};
    tg_tensor *const in[] = {log_probs, targets, input_lengths, target_lengths};
    tg_tensor *loss = apply_first(tape, &ctc_loss, in, 4, &attrs);
    if (reduction == TG_REDUCE_MEAN && loss)
        loss = tg_div(tape, loss,
                      tg_to(tape, tg_clamp(tape, target_lengths, 1, (double)NAN), tg_tensor_dtype(loss)));
    if (one && reduction == TG_REDUCE_NONE)
        loss = tg_squeeze(tape, loss, 0);
    return tg_loss_reduced(&composition_, loss, reduction);
}
