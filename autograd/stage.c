/* State changes wait on the tape until the outermost forward, or the step, commits: one transaction. */
#include "autograd/internal.h"

#include <string.h>

tg_status tg_stage(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                   const double *scalars)
{
    if (!tape || !op || !in)
        return tg_null(tape, "tg_stage", !tape ? "the tape" : !op ? "the operator" : "the array of inputs");
    if (tape->status)
        return tape->status;
    if (tape->replaying)
        return TG_OK;
    if (op->n_scalars && !scalars)
        return tg_null(tape, op->name, "the array of scalars");
    if (!n_in || n_in != op->period || n_in > 8 || op->n_scalars > 4)
        return tg_fail(tape, TG_EINVAL, "tg_stage: '%s' takes groups of %u inputs, got %zu", op->name,
                       (unsigned)op->period, n_in);
    if (tg_grow(&tape->rt->allocator, &tape->staged, &tape->staged_capacity, tape->n_staged + 1,
                sizeof *tape->staged))
        return tg_fail_again(tape, TG_ENOMEM);
    tg_staged staged = {.op = op, .n_in = (uint32_t)n_in};
    for (size_t i = 0; i < n_in; i++) {
        tg_value *v;
        tg_status status = tg_check_tensor(tape, in[i], op->name, "a staged input", &v);
        if (status)
            return status;
        staged.in[i] = in[i];
    }
    for (size_t i = 0; i < n_in; i++)
        tg_value_hold(tg_resolve(in[i]));
    if (op->n_scalars)
        memcpy(staged.scalars, scalars, op->n_scalars * sizeof *scalars);
    tape->staged[tape->n_staged++] = staged;
    return TG_OK;
}

static void release(const tg_staged *s)
{
    for (uint32_t i = 0; i < s->n_in; i++) {
        tg_value *v = tg_resolve(s->in[i]); /* a tensor of the module's may be destroyed by now */
        if (v)
            tg_value_release(v);
    }
}

void tg_staged_drop(tg_tape *tape, size_t first, tg_random_state next)
{
    for (size_t i = first; i < tape->n_staged; i++)
        release(&tape->staged[i]);
    if (tape->n_staged > first)
        tape->n_staged = first;
    tape->next = next;
}

/* All that is staged for one row becomes one call. */
static tg_status gather_row(tg_tape *tape, const tg_operator *op, tg_row_call *call)
{
    size_t groups = 0, k = 0;
    for (size_t i = 0; i < tape->n_staged; i++)
        groups += tape->staged[i].op == op;
    size_t n_in = groups * op->period;
    tg_tensor **in = tg_arena_get(&tape->arena, n_in * sizeof *in);
    double *scalars = tg_arena_get(&tape->arena, (groups * op->n_scalars + 1) * sizeof *scalars);
    if (!in || !scalars)
        return tg_fail_again(tape, TG_ENOMEM);
    for (size_t i = 0; i < tape->n_staged; i++) {
        const tg_staged *s = &tape->staged[i];
        if (s->op != op)
            continue;
        for (uint32_t j = 0; j < s->n_in; j++)
            in[k * op->period + j] = s->in[j];
        memcpy(scalars + k * op->n_scalars, s->scalars, op->n_scalars * sizeof *scalars);
        k++;
    }
    *call = (tg_row_call){.op = op, .in = in, .n_in = n_in, .scalars = scalars};
    return TG_OK;
}

static bool seen_before(const tg_tape *tape, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (tape->staged[j].op == tape->staged[i].op)
            return true;
    return false;
}

static tg_status commit_rows(tg_tape *tape)
{
    size_t n = 0;
    for (size_t i = 0; i < tape->n_staged; i++)
        n += !seen_before(tape, i);
    tg_row_call *calls = tg_arena_get(&tape->arena, n * sizeof *calls);
    tg_status status = calls ? TG_OK : tg_fail_again(tape, TG_ENOMEM);
    for (size_t i = n = 0; i < tape->n_staged && status == TG_OK; i++)
        if (!seen_before(tape, i))
            status = gather_row(tape, tape->staged[i].op, &calls[n++]);
    return status ? status : tg_apply_all(tape, calls, n);
}

tg_status tg_staged_commit(tg_tape *tape)
{
    tg_status status = tape->status;
    bool recording = tg_tape_set_recording(tape, false);
    if (status == TG_OK && tape->n_staged)
        status = commit_rows(tape);
    tg_tape_set_recording(tape, recording);
    if (status == TG_OK)
        tape->committed = tape->next;
    tg_staged_drop(tape, 0, tape->committed);
    return status;
}

tg_status tg_step_begin(tg_tape *tape)
{
    if (!tape)
        return tg_null(NULL, "tg_step_begin", "the tape");
    if (tape->status)
        return tape->status;
    if (!tape->step_depth++) {
        tape->errors_at_step = tape->n_errors;
        tape->rolled_back = false;
        tape->staged_at_step = tape->n_staged;
        tape->next_at_step = tape->next;
    }
    return TG_OK;
}

/* A step inside a forward takes back no more than its own. */
static void drop_step(tg_tape *tape)
{
    if (tape->forward_depth)
        tg_staged_drop(tape, tape->staged_at_step, tape->next_at_step);
    else
        tg_staged_drop(tape, 0, tape->committed);
}

tg_status tg_step_commit(tg_tape *tape)
{
    if (!tape)
        return tg_null(NULL, "tg_step_commit", "the tape");
    if (!tape->step_depth)
        return tg_fail(tape, TG_ESTATE, "tg_step_commit without a tg_step_begin");
    if (--tape->step_depth)
        return tape->status;
    if (tape->n_errors == tape->errors_at_step && !tape->rolled_back)
        return tape->forward_depth ? tape->status : tg_staged_commit(tape);
    drop_step(tape);
    return tape->status ? tape->status
                        : tg_fail(NULL, TG_ESTATE,
                                  "tg_step_commit: a call since tg_step_begin failed, or a step inside was "
                                  "rolled back; nothing was committed");
}

void tg_step_rollback(tg_tape *tape)
{
    if (!tape)
        return;
    if (tape->step_depth)
        tape->step_depth--;
    tape->rolled_back = true;
    if (!tape->step_depth)
        drop_step(tape);
}

void tg_forward_enter(tg_tape *tape, tg_scope *scope, tg_mode mode)
{
    tg_scope_enter(tape, scope);
    tape->mode = mode;
    tape->forward_depth++;
}

tg_status tg_forward_leave(tg_tape *tape, tg_scope *scope, tg_status status, tg_tensor *const keep[],
                           size_t n_keep)
{
    tape->mode = scope->mode;
    tape->step_depth = scope->step_depth; /* a step that its forward began and left open ends with it */
    tape->forward_depth--;
    if (status == TG_OK)
        status = tape->status;
    bool outermost = !tape->forward_depth && !tape->step_depth && !tape->replaying;
    if (status == TG_OK && outermost)
        status = tg_staged_commit(tape);
    if (status == TG_OK) {
        tg_scope_leave(tape, scope, keep, n_keep);
        return TG_OK;
    }
    tg_staged_drop(tape, scope->first_staged, scope->next);
    tg_scope_undo(tape, scope);
    return status;
}
