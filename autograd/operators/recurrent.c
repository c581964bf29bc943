/* A recurrent layer's steps in one direction, as one row. A backward that is itself recorded runs the steps
 * again, each made of public operators, and lets the sweep go on through them. */
#include "autograd/operators/checks.h"

#include <string.h>

enum { X, WEIGHT, FIRST, STATE, BIAS, WEIGHT_HR, LENGTHS, N_IN };
enum { Y, LAST_H, LAST_C, KEPT, N_OUT };
enum { GY, G_LAST_H, G_LAST_C, B_WEIGHT, B_WEIGHT_HR, B_KEPT, B_LENGTHS, N_BACK_IN };
enum { DX, DP, D_FIRST, D_STATE, D_PROJECTED, N_BACK_OUT };

static int64_t gates_of(int64_t kind)
{
    return kind == TG_RECURRENCE_LSTM ? 4 : kind == TG_RECURRENCE_GRU ? 3 : 1;
}

/* How many times H a step keeps for the backward; that of a plain layer reads y. */
static int64_t kept_of(int64_t kind)
{
    return kind == TG_RECURRENCE_LSTM ? 6 : kind == TG_RECURRENCE_GRU ? 5 : 0;
}

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status need_attrs(const tg_infer *q, size_t first)
{
    const tg_recurrence_attrs *a = q->attrs;
    if (a->kind < 0 || a->kind > TG_RECURRENCE_GRU)
        return tg_infer_fail(q, TG_EINVAL, "kind is %lld, expected 0 … 3", (long long)a->kind);
    if (!q->in[first])
        return tg_infer_fail(q, TG_EINVAL, "input %zu is missing", first);
    tg_status status = check_float(q, first, first == X ? "x" : "kept");
    if (!status && q->in[first]->ndim != 3)
        status = tg_infer_fail(q, TG_ESHAPE, "%s has %d dims, expected [T, N, *]", first == X ? "x" : "kept",
                               (int)q->in[first]->ndim);
    return status;
}

/* The optional parts of both rows, where they have them. */
static tg_status check_parts(const tg_infer *q, size_t weight, size_t weight_hr, size_t lengths,
                             const int64_t dims[4], int32_t dtype)
{
    const int64_t kind = ((const tg_recurrence_attrs *)q->attrs)->kind, steps = dims[0], n = dims[1];
    const int64_t weights[] = {dims[2] * gates_of(kind), dims[3]}, projection[] = {dims[3], dims[2]};
    if (q->in[weight_hr] && kind != TG_RECURRENCE_LSTM)
        return tg_infer_fail(q, TG_EINVAL, "weight_hr is for an LSTM alone");
    if (!q->in[weight] && steps > 1)
        return tg_infer_fail(q, TG_EINVAL, "the weight may be left out of one step, and x has %lld",
                             (long long)steps);
    tg_status status = check_shape(q, weight, "weight", dtype, weights, 2);
    if (!status)
        status = check_shape(q, weight_hr, "weight_hr", dtype, projection, 2);
    return status ? status : check_shape(q, lengths, "lengths", TG_I64, &n, 1);
}

static tg_status make(const tg_infer *q, size_t o, int32_t dtype, bool there, const int64_t *dims,
                      size_t ndim)
{
    const int64_t none = 0;
    return tg_desc_make(&q->out[o], (tg_dtype)dtype, there ? dims : &none, there ? ndim : 1);
}

static tg_status infer_recurrence(const tg_infer *q)
{
    const tg_recurrence_attrs *a = q->attrs;
    const tg_desc *x = q->in[X], *hr = q->in[WEIGHT_HR];
    tg_status status = need_attrs(q, X);
    if (status)
        return status;
    const int64_t gates = gates_of(a->kind), hidden = x->dim[2] / gates, steps = x->dim[0], n = x->dim[1];
    if (x->dim[2] % gates || steps < 1)
        return tg_infer_fail(q, TG_ESHAPE, "x is to have a multiple of %lld columns and at least one step",
                             (long long)gates);
    if (hr && hr->ndim != 2)
        return tg_infer_fail(q, TG_ESHAPE, "weight_hr has %d dims, expected 2", (int)hr->ndim);
    if (q->in[BIAS] && a->kind != TG_RECURRENCE_GRU)
        return tg_infer_fail(q, TG_EINVAL, "bias is for a GRU alone: others have it in x");
    const int64_t size = hr ? hr->dim[0] : hidden, dims[] = {steps, n, hidden, size}, width = gates * hidden;
    const int64_t per_kept = kept_of(a->kind) * hidden;
    const struct {
        size_t i;
        const char *name;
        int64_t dim[2];
        int32_t ndim;
    } wanted[] = {
        {FIRST, "first", {n, width}, 2}, {STATE, "state", {n, hidden}, 2}, {BIAS, "bias", {width}, 1}};
    status = check_parts(q, WEIGHT, WEIGHT_HR, LENGTHS, dims, x->dtype);
    for (size_t k = 0; k < 3 && !status; k++)
        status = check_shape(q, wanted[k].i, wanted[k].name, x->dtype, wanted[k].dim, wanted[k].ndim);
    if (!status)
        status = make(q, Y, x->dtype, true, (int64_t[]){steps, n, size}, 3);
    if (!status)
        status = make(q, LAST_H, x->dtype, true, (int64_t[]){n, size}, 2);
    if (!status)
        status = make(q, LAST_C, x->dtype, a->kind == TG_RECURRENCE_LSTM, (int64_t[]){n, hidden}, 2);
    return status ? status : make(q, KEPT, x->dtype, a->keep && per_kept, (int64_t[]){steps, n, per_kept}, 3);
}

static tg_status infer_recurrence_backward(const tg_infer *q)
{
    const tg_recurrence_attrs *a = q->attrs;
    const tg_desc *kept = q->in[B_KEPT], *hr = q->in[B_WEIGHT_HR];
    tg_status status = need_attrs(q, B_KEPT);
    if (status)
        return status;
    const int64_t part = kept_of(a->kind), hidden = kept->dim[2] / (part ? part : 1), steps = kept->dim[0];
    if ((part && kept->dim[2] % part) || (hr && hr->ndim != 2) || steps < 1)
        return tg_infer_fail(q, TG_ESHAPE, "kept and weight_hr are not of one recurrence");
    const int64_t n = kept->dim[1], size = hr ? hr->dim[0] : hidden, dims[] = {steps, n, hidden, size},
                  width = gates_of(a->kind) * hidden, all[] = {steps, n, size}, state[] = {n, hidden};
    status = check_parts(q, B_WEIGHT, B_WEIGHT_HR, B_LENGTHS, dims, kept->dtype);
    if (!status)
        status = check_shape(q, GY, "gy", kept->dtype, all, 3);
    if (!status)
        status = check_shape(q, G_LAST_H, "the gradient of the last h", kept->dtype, all + 1, 2);
    if (!status)
        status = check_shape(q, G_LAST_C, "the gradient of the last c", kept->dtype, state, 2);
    if (!status)
        status = make(q, DX, kept->dtype, true, (int64_t[]){steps, n, width}, 3);
    if (!status)
        status = make(q, DP, kept->dtype, a->kind == TG_RECURRENCE_GRU, (int64_t[]){steps, n, width}, 3);
    if (!status)
        status = make(q, D_FIRST, kept->dtype, true, (int64_t[]){n, width}, 2);
    if (!status)
        status = make(q, D_STATE, kept->dtype, part > 0, state, 2);
    return status ? status : make(q, D_PROJECTED, kept->dtype, hr, all, 3);
}

/* The kernel walks as many steps as a length says. What infer refuses anyway is left to it. */
static tg_status check_recurrence(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)attrs;
    const tg_value *x = tg_resolve(in[X]),
                   *v = n_in > LENGTHS && in[LENGTHS] ? tg_resolve(in[LENGTHS]) : NULL;
    if (!x || x->desc->ndim != 3 || !v || v->desc->ndim != 1 || v->desc->dtype != TG_I64 ||
        tg_value_planned(v))
        return TG_OK;
    const int64_t *at = tg_value_data(v);
    for (int64_t i = 0; i < v->desc->dim[0]; i++) {
        const int64_t length = at[i * v->desc->stride[0]];
        if (length < 1 || length > x->desc->dim[0])
            return tg_fail(tape, TG_EINVAL, "lengths[%lld] is %lld, expected 1 to %lld, the number of steps",
                           (long long)i, (long long)length, (long long)x->desc->dim[0]);
    }
    return TG_OK;
}

/* -- the steps, of public operators ---------------------------------------------------------------------- */

typedef struct steps {
    tg_tape *tape;
    tg_tensor *const *in;
    tg_tensor *h, *state;
    int64_t kind, hidden;
} steps;

/* Gate k of a row of gates. */
static tg_tensor *gate(const steps *s, tg_tensor *x, int64_t k)
{
    return tg_narrow(s->tape, x, 1, k * s->hidden, s->hidden);
}

static tg_tensor *both(const steps *s, tg_tensor *x, tg_tensor *p)
{
    return p ? tg_add(s->tape, x, p) : x;
}

/* h and *state after one step from x, the gates' part of the input, and p, the last state's or NULL for
 * zeros. */
static tg_tensor *one_step(const steps *s, tg_tensor *x, tg_tensor *p, tg_tensor **state)
{
    tg_tape *tape = s->tape;
    if (s->in[BIAS])
        p = p ? tg_add(tape, p, s->in[BIAS]) : tg_expand_as(tape, s->in[BIAS], tg_resolve(x)->desc);
    if (s->kind == TG_RECURRENCE_GRU) {
        tg_tensor *update = tg_sigmoid(tape, both(s, gate(s, x, 1), p ? gate(s, p, 1) : NULL)), *q = NULL;
        if (p)
            q = tg_mul(tape, tg_sigmoid(tape, tg_add(tape, gate(s, x, 0), gate(s, p, 0))), gate(s, p, 2));
        tg_tensor *fresh = tg_tanh(tape, both(s, gate(s, x, 2), q));
        tg_tensor *h = tg_sub(tape, fresh, tg_mul(tape, update, fresh));
        return *state = *state ? tg_add(tape, h, tg_mul(tape, update, *state)) : h;
    }
    x = both(s, x, p);
    if (s->kind != TG_RECURRENCE_LSTM)
        return s->kind == TG_RECURRENCE_TANH ? tg_tanh(tape, x) : tg_relu(tape, x);
    tg_tensor *c = tg_mul(tape, tg_sigmoid(tape, gate(s, x, 0)), tg_tanh(tape, gate(s, x, 2)));
    if (*state)
        c = tg_add(tape, c, tg_mul(tape, tg_sigmoid(tape, gate(s, x, 1)), *state));
    *state = c;
    tg_tensor *h = tg_mul(tape, tg_sigmoid(tape, gate(s, x, 3)), tg_tanh(tape, c));
    return s->in[WEIGHT_HR] ? tg_linear(tape, h, s->in[WEIGHT_HR], NULL) : h;
}

/* `other` where the condition holds, or zeros; x elsewhere. No constant that nothing would read: each term
 * here has a part in the gradient. */
static tg_tensor *except(tg_tape *tape, tg_tensor *condition, tg_tensor *other, tg_tensor *x)
{
    if (other)
        return tg_where(tape, condition, other, x);
    return tg_mul(tape, x, tg_to(tape, tg_logical_not(tape, condition), tg_tensor_dtype(x)));
}

/* Compares each length with t. */
static tg_tensor *compared(tg_tape *tape, tg_tensor *(*fn)(tg_tape *, tg_tensor *, tg_tensor *),
                           tg_tensor *lengths, int64_t t)
{
    return fn(tape, lengths, tg_full(tape, TG_I64, NULL, 0, (double)t));
}

static tg_status run_again(tg_tape *tape, const tg_node *node, tg_tensor *out[])
{
    const tg_recurrence_attrs *a = tg_node_attrs(node);
    tg_desc dims;
    if (!tg_input_dims(tape, node, X, &dims))
        return tg_tape_status(tape);
    const int64_t n_steps = dims.dim[0];
    tg_tensor *const *in = node->in, *lengths = in[LENGTHS];
    steps s = {.tape = tape,
               .in = in,
               .state = in[STATE],
               .kind = a->kind,
               .hidden = dims.dim[2] / gates_of(a->kind)};
    tg_tensor **y = tg_arena_get(&tape->arena, (size_t)n_steps * sizeof *y);
    if (!y)
        return tg_fail_again(tape, TG_ENOMEM);
    if (lengths)
        lengths = tg_unsqueeze(tape, lengths, 1);
    tg_tensor *first_x = tg_select(tape, in[X], 0, 0);
    for (int64_t k = 0; k < n_steps && !tape->status; k++) {
        const int64_t t = a->reverse ? n_steps - 1 - k : k;
        tg_tensor *p = k ? tg_linear(tape, s.h, in[WEIGHT], NULL) : in[FIRST], *state = s.state;
        tg_tensor *x = t ? tg_select(tape, in[X], 0, t) : first_x, *rests = NULL;
        if (lengths && t) { /* a sequence that rests may have anything there, NaN, too */
            rests = compared(tape, tg_le, lengths, t);
            x = tg_where(tape, rests, first_x, x);
        }
        if (k && lengths && a->reverse && in[FIRST]) /* it may begin here; h is 0 so far */
            p = tg_where(tape, compared(tape, tg_eq, lengths, t + 1), in[FIRST], p);
        tg_tensor *h = y[t] = one_step(&s, x, p, &state);
        if (rests) {
            y[t] = except(tape, rests, NULL, h);
            h = a->reverse ? y[t] : tg_where(tape, rests, s.h, h);
            if (state)
                state = except(tape, rests, s.state, state);
        }
        s.h = h;
        s.state = state;
    }
    out[Y] = tg_stack_n(tape, y, (size_t)n_steps, 0);
    out[LAST_H] = s.h;
    if (a->kind == TG_RECURRENCE_LSTM)
        out[LAST_C] = s.state;
    return tg_tape_status(tape);
}

static const tg_operator row_recurrence_backward;

/* -- the rule -------------------------------------------------------------------------------------------- */

/* [T, N, n] as [T·N, n]. */
static tg_tensor *rows(tg_tape *tape, tg_tensor *x)
{
    return tg_flatten(tape, x, 0, 1);
}

/* Σ aᵀ·b over steps and sequences. */
static tg_tensor *sum_products(tg_tape *tape, tg_tensor *a, tg_tensor *b)
{
    return tg_matmul(tape, tg_t(tape, rows(tape, a)), rows(tape, b));
}

/* Each step's gradient with the h that it began from, but for the first ones'. */
static tg_tensor *of_weight(tg_tape *tape, const tg_recurrence_attrs *a, tg_tensor *dp, tg_tensor *y,
                            tg_tensor *weight)
{
    const int64_t n = tg_tensor_dim(y, 0) - 1, after = a->reverse ? 0 : 1;
    if (n == 0)
        return tg_zeros_like(tape, weight);
    return sum_products(tape, tg_narrow(tape, dp, 0, after, n), tg_narrow(tape, y, 0, 1 - after, n));
}

TG_RULE(recurrence)
{
    const tg_recurrence_attrs *a = tg_node_attrs(node);
    if (tg_tape_recording(tape) || (!a->keep && a->kind >= TG_RECURRENCE_LSTM))
        return tg_replay(tape, node, run_again, gy);
    tg_tensor *y = tg_node_output(node, Y),
              *kept = a->kind < TG_RECURRENCE_LSTM ? y : tg_node_output(node, KEPT);
    tg_tensor *const in[] = {gy[Y],
                             gy[LAST_H],
                             a->kind == TG_RECURRENCE_LSTM ? gy[LAST_C] : NULL,
                             tg_node_input(node, WEIGHT),
                             tg_node_input(node, WEIGHT_HR),
                             kept,
                             tg_node_input(node, LENGTHS)};
    tg_tensor *d[N_BACK_OUT] = {NULL};
    tg_status status = tg_apply(tape, &row_recurrence_backward, in, N_BACK_IN, a, NULL, d);
    if (status)
        return status;
    gx[X] = d[DX];
    gx[FIRST] = d[D_FIRST];
    if (a->kind >= TG_RECURRENCE_LSTM)
        gx[STATE] = d[D_STATE];
    tg_tensor *dp = a->kind == TG_RECURRENCE_GRU ? d[DP] : d[DX];
    if (tg_node_needs(node, BIAS))
        gx[BIAS] = tg_sum_dims(tape, dp, (const int64_t[]){0, 1}, 2, false);
    if (tg_node_needs(node, WEIGHT))
        gx[WEIGHT] = of_weight(tape, a, dp, y, in[B_WEIGHT]);
    if (tg_node_needs(node, WEIGHT_HR)) {
        const int64_t hidden = tg_tensor_dim(kept, 2) / 6;
        tg_tensor *out = tg_narrow(tape, kept, 2, 3 * hidden, hidden),
                  *c = tg_narrow(tape, kept, 2, 5 * hidden, hidden);
        gx[WEIGHT_HR] = sum_products(tape, d[D_PROJECTED], tg_mul(tape, out, c));
    }
    return tg_tape_status(tape);
}

/* -- samples -------------------------------------------------------------------------------------------- */

/* clang-format off */
#define IN(low_, high_, ...) {low_ : high_, DRAWN_DIMS(__VA_ARGS__)}
/* clang-format on */
#define LSTM_PARTS                                                                                           \
    WEIGHT_IN(12, 2), IN(-1, 1, 2, 12), IN(-1, 1, 2, 3), ABSENT, WEIGHT_IN(2, 3), LABELS(1, 4, 2)
/* Small enough for large ones not to be chaotic. */
#define WEIGHT_IN(...) IN(-0.3f, 0.3f, __VA_ARGS__)
#define SAMPLE(label_, attrs_, ...)                                                                          \
    {                                                                                                        \
        .label = label_, .attrs = &attrs_, .in = TG_SAMPLE_INPUTS(__VA_ARGS__)                               \
    }
static const tg_recurrence_attrs plain = {TG_RECURRENCE_TANH, 0, 1}, back = {TG_RECURRENCE_TANH, 1, 1},
                                 relu = {TG_RECURRENCE_RELU, 0, 1}, lstm = {TG_RECURRENCE_LSTM, 0, 1},
                                 lstm_back = {TG_RECURRENCE_LSTM, 1, 1}, gru = {TG_RECURRENCE_GRU, 0, 1},
                                 gru_back = {TG_RECURRENCE_GRU, 1, 1};
TG_SAMPLES(samples,
           SAMPLE("tanh, in reverse", back, IN(-1, 1, 3, 3, 2), WEIGHT_IN(2, 2), IN(-1, 1, 3, 2), ABSENT,
                  ABSENT, ABSENT, LABELS(1, 4, 3)),
           SAMPLE("relu", relu, {TG_DIM3(2, 3, 2), TG_RANGE(-2, 2), TG_AWAY(0, 0.5)}, IN(-0.05, 0.05, 2, 2),
                  ABSENT, ABSENT, ABSENT, ABSENT, LABELS(1, 3, 3)),
           SAMPLE("LSTM, projected", lstm, IN(-1, 1, 3, 2, 12), WEIGHT_IN(12, 2), ABSENT, ABSENT, ABSENT,
                  WEIGHT_IN(2, 3), ABSENT),
           SAMPLE("LSTM, projected, in reverse", lstm_back, IN(-1, 1, 3, 2, 12), LSTM_PARTS),
           SAMPLE("LSTM, one step", lstm, IN(-1, 1, 1, 2, 8), ABSENT, IN(-1, 1, 2, 8), IN(-1, 1, 2, 2),
                  ABSENT, ABSENT, ABSENT),
           SAMPLE("GRU", gru, IN(-1, 1, 2, 3, 6), WEIGHT_IN(6, 2), IN(-1, 1, 3, 6), IN(-1, 1, 3, 2),
                  IN(-1, 1, 6), ABSENT, LABELS(1, 3, 3)),
           SAMPLE("GRU, in reverse", gru_back, IN(-1, 1, 3, 2, 6), WEIGHT_IN(6, 2), ABSENT, ABSENT, ABSENT,
                  ABSENT, LABELS(1, 4, 2)))
TG_SAMPLES(backward_samples,
           SAMPLE("tanh", plain, IN(-1, 1, 3, 2, 2), ABSENT, ABSENT, IN(-1, 1, 2, 2), ABSENT,
                  IN(-1, 1, 3, 2, 2), ABSENT),
           SAMPLE("LSTM, projected, in reverse", lstm_back, IN(-1, 1, 3, 2, 2), IN(-1, 1, 2, 2),
                  IN(-1, 1, 2, 3), IN(-1, 1, 12, 2), IN(-1, 1, 2, 3), IN(0, 1, 3, 2, 18), LABELS(1, 4, 2)),
           SAMPLE("GRU", gru, ABSENT, IN(-1, 1, 2, 2), ABSENT, IN(-1, 1, 6, 2), ABSENT, IN(0, 1, 3, 2, 10),
                  ABSENT))

/* -- rows ----------------------------------------------------------------------------------------------- */

static const tg_attr_spec specs[] = {
    {.name = "kind",
     .offset = offsetof(tg_recurrence_attrs, kind),
     .type = TG_ATTR_INT,
     .doc = "a tg_recurrence_kind"},
    {.name = "reverse",
     .offset = offsetof(tg_recurrence_attrs, reverse),
     .type = TG_ATTR_INT,
     .doc = "1: from the end"},
    {.name = "keep",
     .offset = offsetof(tg_recurrence_attrs, keep),
     .type = TG_ATTR_INT,
     .doc = "1: for a backward"},
    {0},
};
static const tg_operator row_recurrence = {
    TG_ROW("recurrence",
           "h[t] = f(x[t], weight*h[t-1]) of an RNN, LSTM (Hochreiter, Schmidhuber 1997) or GRU (Cho 2014)"),
    TG_ATTRS(tg_recurrence_attrs, specs),
    .flags = TG_OP_DENSE | TG_OP_HOST_CHECK,
    .n_in = N_IN,
    .n_out = N_OUT,
    .optional = 0x7e,
    .saves = 0x7f | TG_OP_OUT(Y) | TG_OP_OUT(KEPT),
    .kept_out = 1u << KEPT,
    .infer = infer_recurrence,
    .vjp = recurrence_vjp,
    .check = check_recurrence,
    .samples = TG_PROOF(samples),
};
static const tg_operator row_recurrence_backward = {
    TG_ROW("recurrence_backward", "recurrence's gradients, step by step from the last one"),
    TG_ATTRS(tg_recurrence_attrs, specs),
    .flags = TG_OP_DENSE | TG_OP_NONDIFF,
    .n_in = N_BACK_IN,
    .n_out = N_BACK_OUT,
    .optional = 0x7f & ~TG_OP_IN(B_KEPT),
    .infer = infer_recurrence_backward,
    .samples = TG_PROOF(backward_samples),
};

const tg_operator *const tg_ops_recurrent[] = {&row_recurrence, &row_recurrence_backward, NULL};

/* -- wrappers ------------------------------------------------------------------------------------------- */

tg_tensor *tg_recurrence(tg_tape *tape, tg_recurrence_kind kind, bool reverse, tg_tensor *const in[7],
                         tg_tensor *last[2])
{
    tg_recurrence_attrs a = {.kind = kind, .reverse = reverse};
    tg_tensor *out[N_OUT] = {NULL};
    for (int i = 0; i < N_IN && tg_tape_recording(tape); i++)
        a.keep |= in[i] && tg_tensor_requires_grad(in[i]);
    tg_apply(tape, &row_recurrence, in, N_IN, &a, NULL, out);
    last[0] = out[LAST_H];
    last[1] = kind == TG_RECURRENCE_LSTM ? out[LAST_C] : NULL;
    return out[Y];
}

/* One step; x and h may lack the batch. */
static tg_tensor *cell(tg_tape *tape, const char *what, tg_recurrence_kind kind, tg_tensor *const t[7],
                       tg_tensor **c)
{
    enum { INPUT, H, C, W_IH, W_HH, B_IH, B_HH };
    TG_COMPOSES(tape, what);
    const bool is_gru = kind == TG_RECURRENCE_GRU, is_lstm = kind == TG_RECURRENCE_LSTM;
    const tg_desc *h = tg_argument(tape, t[H], what, "h");
    if (!h || !tg_argument(tape, t[INPUT], what, "x") || (is_lstm && !tg_argument(tape, t[C], what, "c")))
        return NULL;
    const tg_desc hd = *h;
    const int64_t hidden = hd.ndim ? hd.dim[hd.ndim - 1] : 1, width = gates_of(kind) * hidden;
    tg_tensor *x = tg_linear(tape, t[INPUT], t[W_IH], t[B_IH]);
    tg_tensor *p = tg_linear(tape, t[H], t[W_HH], is_gru ? NULL : t[B_HH]);
    tg_tensor *state = is_lstm ? t[C] : is_gru ? t[H] : NULL, *last[2];
    const int64_t n = p ? tg_desc_count(tg_resolve(p)->desc) / (width ? width : 1) : 0;
    tg_tensor *const in[] = {tg_reshape_dims(tape, x, (const int64_t[]){1, n, width}, 3),
                             NULL,
                             tg_reshape_dims(tape, p, (const int64_t[]){n, width}, 2),
                             state ? tg_reshape_dims(tape, state, (const int64_t[]){n, hidden}, 2) : NULL,
                             is_gru ? t[B_HH] : NULL,
                             NULL,
                             NULL};
    if (tape->status)
        return NULL;
    tg_recurrence(tape, kind, false, in, last);
    if (c)
        *c = last[1] ? tg_reshape_dims(tape, last[1], hd.dim, (size_t)hd.ndim) : NULL;
    return tg_reshape_dims(tape, last[0], hd.dim, (size_t)hd.ndim);
}

tg_tensor *tg_rnn_cell(tg_tape *tape, tg_tensor *x, tg_tensor *h, tg_tensor *weight_ih, tg_tensor *weight_hh,
                       tg_tensor *bias_ih, tg_tensor *bias_hh, bool relu_)
{
    tg_tensor *const t[] = {x, h, NULL, weight_ih, weight_hh, bias_ih, bias_hh};
    return cell(tape, "rnn_cell", relu_ ? TG_RECURRENCE_RELU : TG_RECURRENCE_TANH, t, NULL);
}

tg_tensor *tg_lstm_cell(tg_tape *tape, tg_tensor *x, tg_tensor *h, tg_tensor *c, tg_tensor *weight_ih,
                        tg_tensor *weight_hh, tg_tensor *bias_ih, tg_tensor *bias_hh, tg_tensor **next_c)
{
    tg_tensor *const t[] = {x, h, c, weight_ih, weight_hh, bias_ih, bias_hh};
    return cell(tape, "lstm_cell", TG_RECURRENCE_LSTM, t, next_c);
}

tg_tensor *tg_gru_cell(tg_tape *tape, tg_tensor *x, tg_tensor *h, tg_tensor *weight_ih, tg_tensor *weight_hh,
                       tg_tensor *bias_ih, tg_tensor *bias_hh)
{
    tg_tensor *const t[] = {x, h, NULL, weight_ih, weight_hh, bias_ih, bias_hh};
    return cell(tape, "gru_cell", TG_RECURRENCE_GRU, t, NULL);
}
