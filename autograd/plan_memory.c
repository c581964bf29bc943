/* What a step will take, before there are data: it runs on a tape of its own, on which storages are counted and have
 * no memory, and kernels are prepared and do not run. */
#include "autograd/internal.h"

bool tg_value_planned(const tg_value *v)
{
    return v->home->tape && v->home->tape->planning;
}

tg_status tg_plan_check(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    tape->plan_reads_zeros = true;
    op->check(tape, in, n_in, attrs);
    tape->plan_reads_zeros = false;
    tg_tape_clear_error(tape); /* there was none before; what zeros are is no matter */
    return TG_OK;
}

tg_status tg_plan_memory(tg_runtime *rt, tg_function step, void *arg, const tg_desc in[], size_t n_in, tg_memory *out)
{
    if (out)
        *out = (tg_memory){0};
    if (!rt || !step || (n_in && !in) || !out)
        return tg_null(NULL, "tg_plan_memory", !rt ? "the runtime" : !step ? "the step" : !out ? "out" : "the inputs");
    tg_tape *tape = tg_tape_plan_open(rt);
    if (!tape)
        return TG_ENOMEM;
    tg_tensor **inputs = tg_arena_get(&tape->arena, (n_in + 1) * sizeof *inputs);
    tg_status status = inputs ? TG_OK : TG_ENOMEM;
    for (size_t i = 0; i < n_in && status == TG_OK; i++) {
        inputs[i] = tg_input(tape, (tg_dtype)in[i].dtype, in[i].dim, (size_t)in[i].ndim, NULL);
        status = tape->status;
    }
    const uint64_t before = tg_failures();
    if (status == TG_OK)
        status = tg_returned(tape, before, step(arg, tape, inputs, n_in, NULL, 0), "tg_plan_memory: the step");
    if (tape->status)
        status = tape->status;
    if (status == TG_OK)
        *out = tg_tape_memory(tape);
    tg_tape_close(tape);
    return status;
}
