/* torch.nn.utils: clip_grad_norm_, clip_grad_value_, get_total_norm. */
#include "training/optimizer.h"

#include <math.h>

/* What a call goes over, in the tape's arena: no allocation from the second step on. */
typedef struct gradients {
    tg_tensor **at;
    double *scalars; /* room for TG_OPTIM_SCALARS each */
    size_t n;
} gradients;

static tg_status collect(const char *what, tg_tape *tape, const tg_named_tensors *parameters, gradients *out)
{
    if (!tape || !parameters)
        return tg_null(tape, what, tape ? "the list of parameters" : "the tape");
    if (tg_tape_status(tape))
        return tg_tape_status(tape);
    out->n = 0;
    out->at = tg_arena_get(&tape->arena, (parameters->n + 1) * TG_OPTIM_IN * sizeof *out->at);
    out->scalars = tg_arena_get(&tape->arena, (parameters->n + 1) * TG_OPTIM_SCALARS * sizeof *out->scalars);
    if (!out->at || !out->scalars)
        return tg_fail_again(tape, TG_ENOMEM);
    for (size_t i = 0; i < parameters->n; i++) {
        tg_tensor *g = tg_tensor_grad(parameters->tensor[i]);
        if (g)
            out->at[out->n++] = g;
    }
    return TG_OK;
}

/* Takes the scalar off the tape. */
static tg_status take(tg_tape *tape, tg_tensor *scalar, double *out)
{
    if (!scalar)
        return tg_tape_status(tape);
    tg_status status = tg_item(scalar, out);
    tg_discard(scalar);
    return status ? tg_fail_again(tape, status) : TG_OK;
}

/* The p-norm of each gradient's p-norm. */
static tg_status norm_by_norms(tg_tape *tape, const gradients *g, double p, double *norm)
{
    tg_status status = TG_OK;
    double all = 0;
    for (size_t i = 0; i < g->n && !status; i++) {
        double one = 0;
        if (tg_tensor_count(g->at[i]) == 0)
            continue;
        status = take(tape, tg_norm_dims(tape, g->at[i], p, NULL, 0, false), &one);
        if (!isinf(p))
            all += pow(one, p);
        else if (one > all || isnan(one))
            all = one;
        if (isnan(one))
            break;
    }
    *norm = isinf(p) ? all : pow(all, 1 / p);
    return status;
}

static tg_status norm_of(tg_tape *tape, const gradients *g, double p, double *norm)
{
    *norm = 0;
    if (g->n == 0)
        return TG_OK;
    if (p != 2)
        return norm_by_norms(tape, g, p, norm);
    tg_tensor *out = NULL;
    const tg_operator *op = tg_operator_find(tg_tape_runtime(tape), "grad_norm");
    tg_status status = tg_apply(tape, op, g->at, g->n, NULL, NULL, &out);
    return status ? status : take(tape, out, norm);
}

static tg_status scale(tg_tape *tape, const gradients *g, double factor)
{
    if (factor >= 1) /* false for a NaN, which torch spreads too */
        return TG_OK;
    for (size_t i = 0; i < g->n; i++)
        g->scalars[i] = factor;
    const tg_operator *op = tg_operator_find(tg_tape_runtime(tape), "scale_");
    return g->n ? tg_apply(tape, op, g->at, g->n, NULL, g->scalars, NULL) : TG_OK;
}

static tg_status norm_and_clip(const char *what, tg_tape *tape, const tg_named_tensors *parameters,
                               double norm_type, const double *max_norm, double *norm)
{
    gradients g;
    double found = 0;
    tg_status status = collect(what, tape, parameters, &g);
    if (!status && !(norm_type > 0))
        status = tg_fail(tape, TG_EINVAL, "%s: norm_type is %g, expected a number above 0 or an infinity",
                         what, norm_type);
    if (!status && max_norm && !(*max_norm >= 0))
        status = tg_fail(tape, TG_EINVAL, "%s: max_norm is %g, expected at least 0", what, *max_norm);
    if (status)
        return status;
    bool recording = tg_tape_set_recording(tape, false);
    status = norm_of(tape, &g, norm_type, &found);
    if (!status && max_norm)
        status = scale(tape, &g, *max_norm / (found + 1e-6));
    tg_tape_set_recording(tape, recording);
    if (!status && norm)
        *norm = found;
    return status;
}

tg_status tg_clip_grad_norm(tg_tape *tape, const tg_named_tensors *parameters, double max_norm, double *norm)
{
    return norm_and_clip("tg_clip_grad_norm", tape, parameters, 2, &max_norm, norm);
}

tg_status tg_clip_grad_norm_by(tg_tape *tape, const tg_named_tensors *parameters, double max_norm,
                               double norm_type, double *norm)
{
    return norm_and_clip("tg_clip_grad_norm_by", tape, parameters, norm_type, &max_norm, norm);
}

tg_status tg_grad_norm(tg_tape *tape, const tg_named_tensors *parameters, double norm_type, double *norm)
{
    return norm_and_clip("tg_grad_norm", tape, parameters, norm_type, NULL, norm);
}

tg_status tg_clip_grad_value(tg_tape *tape, const tg_named_tensors *parameters, double clip_value)
{
    static const tg_rule_attrs clamp = {.rule = TG_RULE_CLAMP};
    gradients g;
    tg_status status = collect("tg_clip_grad_value", tape, parameters, &g);
    if (!status && !(clip_value >= 0))
        status =
            tg_fail(tape, TG_EINVAL, "tg_clip_grad_value: clip_value is %g, expected at least 0", clip_value);
    if (status || g.n == 0)
        return status;
    for (size_t i = g.n; i-- > 0;) {
        double *s = g.scalars + i * TG_OPTIM_SCALARS;
        s[0] = 1;
        s[1] = 0;
        s[2] = -clip_value;
        s[3] = clip_value;
        g.at[i * TG_OPTIM_IN] = g.at[i];
        for (size_t k = 1; k < TG_OPTIM_IN; k++)
            g.at[i * TG_OPTIM_IN + k] = NULL;
    }
    const tg_operator *op = tg_operator_find(tg_tape_runtime(tape), "optim_step");
    return tg_apply(tape, op, g.at, g.n * TG_OPTIM_IN, &clamp, g.scalars, NULL);
}
