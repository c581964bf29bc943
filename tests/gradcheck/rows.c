#include "gradcheck/rows.h"

#include <stdlib.h>
#include <string.h>

bool row_is_differentiable(const tg_operator *op)
{
    return !(op->flags & TG_OP_NONDIFF) && !op->writes;
}

static bool carries_gradient(const tg_operator *op, size_t o)
{
    return !((op->nondiff_out | op->kept_out) & (1u << o));
}

int row_orders(const tg_operator *op)
{
    return strcmp(op->name, "ctc_loss") == 0 ? 1 : 2;
}

size_t row_n_out(const tg_operator *op)
{
    size_t n = 0;
    for (size_t o = 0; o < op->n_out; o++)
        n += carries_gradient(op, o);
    return n;
}

tg_status row_apply(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                    size_t n_out)
{
    const row_case *c = arg;
    tg_tensor *all[16];
    tg_status status = tg_apply(tape, c->op, in, n_in, c->sample->attrs, c->sample->scalars, all);
    size_t n = 0;
    for (size_t o = 0; status == TG_OK && o < c->op->n_out && n < n_out; o++)
        if (carries_gradient(c->op, o))
            out[n++] = all[o];
    return status;
}

bool sample_wants_gradient(const tg_sample *sample)
{
    const tg_sample_inputs inputs = sample_inputs(sample);
    for (uint32_t i = 0; i < inputs.n; i++)
        if (inputs.in[i].dtype == TG_F32 && !(inputs.in[i].flags & (TG_SAMPLE_NO_GRAD | TG_SAMPLE_ABSENT)))
            return true;
    return false;
}

tg_status row_check(tg_tape *tape, const tg_operator *op, const tg_sample *sample, int order)
{
    sample_set set;
    if (!sample_draw(&set, tg_tape_runtime(tape), sample, TG_F64, 7, 0))
        return tg_fail(tape, TG_EINVAL, "the sample cannot be drawn: %s", tg_error_message());
    row_case c = {op, sample};
    tg_gradcheck_options options = tg_gradcheck_defaults();
    options.order = order;
    sample_tolerance(sample, &options.rtol, &options.atol);
    tg_status status = tg_gradcheck(tape, row_apply, &c, set.in, set.n, row_n_out(op), &options);
    sample_free(&set);
    return status;
}

const tg_operator **rows_differentiable(const tg_runtime *rt, size_t *n)
{
    size_t all = tg_operator_list(rt, NULL, 0);
    const tg_operator **rows = calloc(all + 1, sizeof *rows);
    if (!rows)
        abort();
    tg_operator_list(rt, rows, all);
    *n = 0;
    for (size_t i = 0; i < all; i++)
        if (row_is_differentiable(rows[i]))
            rows[(*n)++] = rows[i];
    return rows;
}
