/* torch.nn.utils.clip_grad_norm_. */
#include "training/optimizer.h"

/* The gradients that are there; returns how many. */
static size_t collect(const tg_named_tensors *parameters, tg_tensor **grad)
{
    size_t n = 0;
    for (size_t i = 0; i < parameters->n; i++) {
        tg_tensor *g = tg_tensor_grad(parameters->tensor[i]);
        if (g)
            grad[n++] = g;
    }
    return n;
}

static tg_status norm_of(tg_tape *tape, tg_tensor *const *grad, size_t n, double *norm)
{
    tg_tensor *out = NULL;
    const tg_operator *op = tg_operator_find(tg_tape_runtime(tape), "grad_norm");
    tg_status status = tg_apply(tape, op, grad, n, NULL, NULL, &out);
    if (status)
        return status;
    status = tg_item(out, norm);
    tg_discard(out);
    return status ? tg_fail_again(tape, status) : TG_OK;
}

static tg_status clip(tg_tape *tape, const tg_named_tensors *parameters, double max_norm, double *norm,
                      tg_tensor **grad, double *factor)
{
    size_t n = collect(parameters, grad);
    *norm = 0;
    if (n == 0)
        return TG_OK;
    tg_status status = norm_of(tape, grad, n, norm);
    if (status)
        return status;
    double f = max_norm / (*norm + 1e-6);
    if (f >= 1) /* false for a NaN, which torch spreads too */
        return TG_OK;
    for (size_t i = 0; i < n; i++)
        factor[i] = f;
    const tg_operator *op = tg_operator_find(tg_tape_runtime(tape), "scale_");
    return tg_apply(tape, op, grad, n, NULL, factor, NULL);
}

tg_status tg_clip_grad_norm(tg_tape *tape, const tg_named_tensors *parameters, double max_norm, double *norm)
{
    if (!tape || !parameters)
        return tg_fail(tape, TG_EINVAL, "tg_clip_grad_norm: the %s is NULL",
                       tape ? "list of parameters" : "tape");
    if (tg_tape_status(tape))
        return tg_tape_status(tape);
    if (!(max_norm >= 0))
        return tg_fail(tape, TG_EINVAL, "tg_clip_grad_norm: max_norm is %g, expected at least 0", max_norm);
    /* The tape's arena: no allocation from the second step on. */
    double found = 0, *factor = tg_arena_get(&tape->arena, (parameters->n + 1) * sizeof *factor);
    tg_tensor **grad = tg_arena_get(&tape->arena, (parameters->n + 1) * sizeof *grad);
    if (!factor || !grad)
        return tg_fail_again(tape, TG_ENOMEM);
    bool recording = tg_tape_set_recording(tape, false);
    tg_status status = clip(tape, parameters, max_norm, &found, grad, factor);
    tg_tape_set_recording(tape, recording);
    if (!status && norm)
        *norm = found;
    return status;
}
