#include <string.h>

#include <tapegrad/ops.h>

#include "autograd/gradcheck_parts.h"

tg_status gc_differs(gc_check *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tg_here_set(c->file, c->line);
    tg_status status = tg_vfail(c->tape, TG_EINVAL, format, args);
    va_end(args);
    return status;
}

/* The evaluation must fail through the tape, or say why. */
tg_status gc_status_of(gc_check *c, tg_status status)
{
    tg_status sticky = tg_tape_status(c->tape);
    if (sticky)
        return sticky;
    return status ? tg_fail_again(c->tape, status) : TG_OK;
}

tg_status gc_open_evaluation(gc_check *c)
{
    tg_tape_reset(c->tape);
    tg_tape_set_random_state(c->tape, c->random);
    return tg_step_begin(c->tape);
}

void gc_close_evaluation(gc_check *c)
{
    tg_step_rollback(c->tape);
    tg_tape_reset(c->tape);
    tg_tape_set_random_state(c->tape, c->random);
}

bool gc_differentiable(const tg_tensor *t)
{
    return t && tg_dtype_is_float(tg_tensor_dtype(t));
}

/* Σ vector · output over all of a level's outputs that carry a gradient; with one such output, that output
 * and its vector. *y NULL: nothing depends on the points. */
static tg_status scalar_of(gc_check *c, size_t k, tg_tensor **y, tg_tensor **gy)
{
    gc_level *l = &c->level[k];
    size_t n = 0, last = 0;
    for (size_t o = 0; o < l->n_out; o++)
        if (l->size[o] && tg_tensor_requires_grad(l->out[o])) {
            last = o;
            n++;
        }
    *y = *gy = NULL;
    if (n == 0)
        return TG_OK;
    if (n == 1) {
        *y = l->out[last];
        *gy = c->points[l->n_points + last].tensor;
        return TG_OK;
    }
    for (size_t o = 0; o < l->n_out; o++) {
        if (!l->size[o] || !tg_tensor_requires_grad(l->out[o]))
            continue;
        tg_tensor *term = tg_sum(c->tape, tg_mul(c->tape, l->out[o], c->points[l->n_points + o].tensor));
        *y = *y ? tg_add(c->tape, *y, term) : term;
    }
    return tg_tape_status(c->tape);
}

/* The gradient of Σ vector · output, or of one output's share, with respect to the level's points. */
tg_status gc_sweep(gc_check *c, size_t k, size_t only, unsigned flags, tg_tensor **grad)
{
    gc_level *l = &c->level[k];
    tg_tensor *y = NULL, *gy = NULL;
    tg_status status = TG_OK;
    for (size_t i = 0; i < l->n_points; i++)
        grad[i] = NULL;
    if (only == GC_NONE) {
        status = scalar_of(c, k, &y, &gy);
    } else if (tg_tensor_requires_grad(l->out[only])) {
        y = l->out[only];
        gy = c->points[l->n_points + only].tensor;
    }
    if (status || !y)
        return status;
    size_t n = 0;
    for (size_t i = 0; i < l->n_points; i++)
        if (c->points[i].tensor)
            c->wrt[n++] = c->points[i].tensor;
    status = gc_status_of(c, tg_grad(c->tape, y, gy, c->wrt, n, c->grad, flags | TG_ALLOW_UNUSED));
    if (status)
        return status;
    n = 0;
    for (size_t i = 0; i < l->n_points; i++)
        if (c->points[i].tensor)
            grad[i] = c->grad[n++];
    return TG_OK;
}

/* Runs the function of level k on the points' present values. */
tg_status gc_evaluate(gc_check *c, size_t k)
{
    gc_level *l = &c->level[k];
    for (size_t o = 0; o < l->n_out; o++)
        l->out[o] = NULL;
    if (k > 1) {
        tg_status status = gc_evaluate(c, k - 1);
        return status ? status : gc_sweep(c, k - 1, GC_NONE, TG_CREATE_GRAPH, l->out);
    }
    const uint64_t before = tg_failures();
    tg_status status = c->fn(c->arg, c->tape, c->in, c->n_in, l->out, l->n_out);
    status = tg_returned(c->tape, before, status, "gradcheck: the function");
    if (status)
        return status;
    for (size_t o = 0; o < l->n_out; o++) {
        if (!l->out[o])
            return gc_differs(c, "gradcheck: the function left output %zu NULL", o);
        if (gc_differentiable(l->out[o]) && tg_tensor_dtype(l->out[o]) != TG_F64)
            return tg_fail(c->tape, TG_EDTYPE, "gradcheck: output %zu is %s, differences need f64", o,
                           tg_dtype_name(tg_tensor_dtype(l->out[o])));
    }
    return TG_OK;
}

/* All outputs' elements in a row. An output that vanished since the first evaluation is zero: its gradient
 * is. */
static tg_status read_outputs(gc_check *c, size_t k, double *to)
{
    gc_level *l = &c->level[k];
    for (size_t o = 0; o < l->n_out; o++) {
        size_t n = l->size[o];
        if (!n)
            continue;
        if (!l->out[o]) {
            memset(to, 0, n * sizeof(double));
        } else if ((size_t)tg_tensor_count(l->out[o]) != n) {
            return gc_differs(c, "gradcheck: output %zu had %zu elements and has %lld on another evaluation",
                              o, n, (long long)tg_tensor_count(l->out[o]));
        } else {
            tg_status status = gc_status_of(c, tg_tensor_read(l->out[o], to, n * sizeof(double)));
            if (status)
                return status;
        }
        to += n;
    }
    return TG_OK;
}

tg_status gc_values_at(gc_check *c, size_t k, double *to)
{
    tg_status status = gc_open_evaluation(c);
    if (!status)
        status = gc_evaluate(c, k);
    if (!status)
        status = read_outputs(c, k, to);
    gc_close_evaluation(c);
    return status;
}
