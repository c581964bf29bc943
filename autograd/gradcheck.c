#include <math.h>
#include <string.h>

#include "autograd/gradcheck_parts.h"

enum { N_RANDOM = 2, MAX_UNIT = 64 };

/* What one level needs while it is checked. */
typedef struct gc_work {
    double *plus, *minus, *random, *numeric, *read;
    gc_probe *probe;
    size_t n_probes, n_columns; /* columns: elements of all points of the level */
} gc_work;

tg_gradcheck_options tg_gradcheck_defaults(void)
{
    return (tg_gradcheck_options){.struct_size = sizeof(tg_gradcheck_options),
                                  .order = 2,
                                  .step = 1e-6,
                                  .rtol = 1e-5,
                                  .atol = 1e-7,
                                  .seed = 0};
}

/* In (−1, 1), away from 0, so that no term is hidden by a small factor. */
static double random_value(gc_check *c)
{
    uint32_t word[4];
    tg_philox(c->o.seed, c->draw++, 0, word);
    double u = 0.25 + 0.75 * ((double)word[0] / 4294967296.0);
    return word[1] & 1u ? u : -u;
}

/* -- making a level -------------------------------------------------------------------------------------- */

/* Room for what level k returns, and, in points, for its vectors. */
static tg_status size_level(gc_check *c, size_t k)
{
    gc_level *l = &c->level[k];
    l->n_points = c->n_points;
    if (k > 1)
        l->n_out = c->level[k - 1].n_points;
    size_t total = l->n_points + l->n_out;
    gc_point *points = tg_alloc_zero(c->a, (total + 1) * sizeof *points);
    if (points && c->points)
        memcpy(points, c->points, l->n_points * sizeof *points);
    if (points) {
        tg_free(c->a, c->points);
        c->points = points;
    }
    tg_free(c->a, c->wrt);
    tg_free(c->a, c->grad);
    c->wrt = tg_alloc(c->a, (total + 1) * sizeof(tg_tensor *));
    c->grad = tg_alloc(c->a, (total + 1) * sizeof(tg_tensor *));
    l->out = tg_alloc_zero(c->a, (l->n_out + 1) * sizeof(tg_tensor *));
    l->size = tg_alloc_zero(c->a, (l->n_out + 1) * sizeof(size_t));
    return points && c->wrt && c->grad && l->out && l->size ? TG_OK : tg_fail_again(c->tape, TG_ENOMEM);
}

static tg_status make_vector(gc_check *c, gc_point *p, const tg_tensor *like)
{
    tg_desc desc;
    tg_status status = tg_tensor_desc(like, &desc);
    if (!status)
        status = tg_tensor_create(&p->tensor, c->tape->rt, TG_F64, desc.dim, (size_t)desc.ndim);
    if (status)
        return gc_status_of(c, status);
    p->owned = true;
    p->n = (size_t)tg_desc_count(&desc);
    p->value = tg_alloc(c->a, (p->n + 1) * sizeof(double));
    if (!p->value)
        return tg_fail_again(c->tape, TG_ENOMEM);
    for (size_t i = 0; i < p->n; i++)
        p->value[i] = random_value(c);
    status = tg_tensor_write(p->tensor, p->value, p->n * sizeof(double));
    return gc_status_of(c, status ? status : tg_tensor_set_requires_grad(p->tensor, true));
}

/* Evaluates level k once to learn its outputs, and makes a vector for each. */
static tg_status make_level(gc_check *c, size_t k)
{
    gc_level *l = &c->level[k];
    tg_status status = size_level(c, k);
    if (status)
        return status;
    status = gc_open_evaluation(c);
    if (!status)
        status = gc_evaluate(c, k);
    for (size_t o = 0; !status && o < l->n_out; o++) {
        if (!gc_differentiable(l->out[o]))
            continue;
        l->size[o] = (size_t)tg_tensor_count(l->out[o]);
        l->n_values += l->size[o];
        if (l->size[o])
            status = make_vector(c, &c->points[l->n_points + o], l->out[o]);
    }
    c->n_points = l->n_points + l->n_out;
    gc_close_evaluation(c);
    return status;
}

/* -- checking a level ------------------------------------------------------------------------------------ */

static void work_free(gc_check *c, gc_work *w)
{
    tg_free(c->a, w->plus);
    tg_free(c->a, w->minus);
    tg_free(c->a, w->random);
    tg_free(c->a, w->numeric);
    tg_free(c->a, w->read);
    tg_free(c->a, w->probe);
}

static tg_status work_make(gc_check *c, size_t k, gc_work *w)
{
    gc_level *l = &c->level[k];
    size_t active = 0, widest = 1, n = 0, at = 0;
    for (size_t o = 0; o < l->n_out; o++)
        active += l->size[o] != 0;
    for (size_t i = 0; i < l->n_points; i++) {
        w->n_columns += c->points[i].n;
        widest = c->points[i].n > widest ? c->points[i].n : widest;
    }
    size_t units = l->n_values <= MAX_UNIT ? l->n_values : 0;
    w->n_probes = N_RANDOM + (active > 1 ? active : 0) + units;
    w->plus = tg_alloc(c->a, (l->n_values + 1) * sizeof(double));
    w->minus = tg_alloc(c->a, (l->n_values + 1) * sizeof(double));
    w->random = tg_alloc(c->a, (N_RANDOM * l->n_values + 1) * sizeof(double));
    w->numeric = tg_alloc_zero(c->a, (w->n_probes * w->n_columns + 1) * sizeof(double));
    w->read = tg_alloc(c->a, widest * sizeof(double));
    w->probe = tg_alloc(c->a, w->n_probes * sizeof *w->probe);
    if (!w->plus || !w->minus || !w->random || !w->numeric || !w->read || !w->probe)
        return tg_fail_again(c->tape, TG_ENOMEM);
    for (size_t o = 0; o < l->n_out; o++)
        for (size_t e = 0; e < l->size[o]; e++, at++)
            w->random[at] = c->points[l->n_points + o].value[e];
    for (; at < N_RANDOM * l->n_values; at++)
        w->random[at] = random_value(c);
    for (size_t r = 0; r < N_RANDOM; r++)
        w->probe[n++] = (gc_probe){r, GC_NONE, GC_NONE};
    for (size_t o = 0; active > 1 && o < l->n_out; o++)
        if (l->size[o])
            w->probe[n++] = (gc_probe){0, o, GC_NONE};
    at = 0;
    for (size_t o = 0; units && o < l->n_out; o++)
        for (size_t e = 0; e < l->size[o]; e++, at++)
            w->probe[n++] = (gc_probe){0, o, at};
    return TG_OK;
}

/* The probe's vector at the output element `at`, which belongs to output o. */
static double probe_value(const gc_work *w, const gc_probe *p, size_t n_values, size_t o, size_t at)
{
    if (p->unit != GC_NONE)
        return at == p->unit ? 1.0 : 0.0;
    if (p->only != GC_NONE && p->only != o)
        return 0.0;
    return w->random[p->random * n_values + at];
}

/* One column of all probes' Jacobian products, from the values at plus and minus. */
static void numeric_column(const gc_check *c, size_t k, gc_work *w, size_t column, double width)
{
    const gc_level *l = &c->level[k];
    for (size_t p = 0; p < w->n_probes; p++) {
        const gc_probe *probe = &w->probe[p];
        double sum = 0.0;
        size_t at = 0;
        for (size_t o = 0; o < l->n_out; o++)
            for (size_t e = 0; e < l->size[o]; e++, at++) {
                double v = probe_value(w, probe, l->n_values, o, at);
                if (v != 0.0)
                    sum += v * (w->plus[at] - w->minus[at]);
            }
        w->numeric[p * w->n_columns + column] = sum / width;
    }
}

static tg_status values_with(gc_check *c, size_t k, gc_point *p, size_t element, double value, double *to)
{
    double kept = p->value[element];
    p->value[element] = value;
    tg_status status = gc_status_of(c, tg_tensor_write(p->tensor, p->value, p->n * sizeof(double)));
    if (!status)
        status = gc_values_at(c, k, to);
    p->value[element] = kept;
    tg_status back = tg_tensor_write(p->tensor, p->value, p->n * sizeof(double));
    return status ? status : gc_status_of(c, back);
}

static tg_status numeric(gc_check *c, size_t k, gc_work *w)
{
    size_t column = 0;
    for (size_t i = 0; i < c->level[k].n_points; i++) {
        gc_point *p = &c->points[i];
        for (size_t e = 0; e < p->n; e++, column++) {
            double x = p->value[e], h = c->o.step * fmax(1.0, fabs(x));
            volatile double above = x + h, below = x - h; /* as rounded: the width is then exact */
            tg_status status = values_with(c, k, p, e, above, w->plus);
            if (!status)
                status = values_with(c, k, p, e, below, w->minus);
            if (status)
                return status;
            numeric_column(c, k, w, column, above - below);
        }
    }
    return TG_OK;
}

static void name_point(const gc_check *c, size_t i, char *to, size_t size)
{
    if (i < c->n_inputs) {
        snprintf(to, size, "input %zu", c->input_of[i]);
        return;
    }
    for (size_t k = 1; k <= GC_MAX_ORDER; k++)
        if (i >= c->level[k].n_points && i < c->level[k].n_points + c->level[k].n_out) {
            snprintf(to, size, "the gradient sent into output %zu in order %zu", i - c->level[k].n_points, k);
            return;
        }
}

static tg_status compare(gc_check *c, size_t k, gc_work *w, size_t probe, unsigned flags,
                         tg_tensor *const *grad)
{
    size_t column = 0;
    for (size_t i = 0; i < c->level[k].n_points; i++) {
        const gc_point *p = &c->points[i];
        if (!p->n)
            continue;
        if (!grad[i])
            memset(w->read, 0, p->n * sizeof(double));
        else if ((size_t)tg_tensor_count(grad[i]) != p->n || tg_tensor_dtype(grad[i]) != TG_F64)
            return gc_differs(
                c, "gradcheck: order %zu: the gradient has %lld elements of %s, its tensor %zu of f64", k,
                (long long)tg_tensor_count(grad[i]), tg_dtype_name(tg_tensor_dtype(grad[i])), p->n);
        else {
            tg_status status = gc_status_of(c, tg_tensor_read(grad[i], w->read, p->n * sizeof(double)));
            if (status)
                return status;
        }
        for (size_t e = 0; e < p->n; e++, column++) {
            double want = w->numeric[probe * w->n_columns + column], got = w->read[e];
            if (fabs(got - want) <= c->o.atol + c->o.rtol * fabs(want))
                continue;
            char name[96] = "";
            name_point(c, i, name, sizeof name);
            return gc_differs(
                c, "gradcheck: order %zu, %s, element %zu: analytic %.10g, numeric %.10g (%s sweep)", k, name,
                e, got, want, flags & TG_CREATE_GRAPH ? "recorded" : "plain");
        }
    }
    return TG_OK;
}

/* Puts a probe's vectors into the tensors that a sweep sends in. */
static tg_status send(gc_check *c, size_t k, const gc_work *w, const gc_probe *probe)
{
    gc_level *l = &c->level[k];
    size_t at = 0;
    tg_status status = TG_OK;
    for (size_t o = 0; !status && o < l->n_out; o++) {
        if (!l->size[o])
            continue;
        gc_point *v = &c->points[l->n_points + o];
        for (size_t e = 0; e < v->n; e++, at++)
            v->value[e] = probe_value(w, probe, l->n_values, o, at);
        status = gc_status_of(c, tg_tensor_write(v->tensor, v->value, v->n * sizeof(double)));
    }
    return status;
}

static tg_status analytic(gc_check *c, size_t k, gc_work *w, tg_tensor **grad, unsigned flags)
{
    tg_status status = gc_open_evaluation(c);
    if (!status)
        status = gc_evaluate(c, k);
    for (size_t p = 0; !status && p < w->n_probes; p++) {
        status = send(c, k, w, &w->probe[p]);
        if (!status)
            status = gc_sweep(c, k, w->probe[p].only, flags | TG_RETAIN, grad);
        if (!status)
            status = compare(c, k, w, p, flags, grad);
    }
    gc_close_evaluation(c);
    tg_status back = send(c, k, w, &w->probe[0]);
    return status ? status : back;
}

/* The function must give the same bits again, or a difference of two values means nothing. */
static tg_status repeats(gc_check *c, size_t k, gc_work *w)
{
    tg_status status = gc_values_at(c, k, w->plus);
    if (!status)
        status = gc_values_at(c, k, w->minus);
    if (!status && memcmp(w->plus, w->minus, c->level[k].n_values * sizeof(double)))
        return gc_differs(c, "gradcheck: order %zu: two evaluations at the same inputs differ", k);
    return status;
}

static tg_status check_level(gc_check *c, size_t k)
{
    gc_work w = {0};
    tg_status status = make_level(c, k);
    tg_tensor **grad = tg_alloc_zero(c->a, (c->level[k].n_points + 1) * sizeof(tg_tensor *));
    if (!status && !grad)
        status = tg_fail_again(c->tape, TG_ENOMEM);
    if (!status)
        status = work_make(c, k, &w);
    if (!status)
        status = repeats(c, k, &w);
    if (!status)
        status = numeric(c, k, &w);
    if (!status)
        status = analytic(c, k, &w, grad, 0);
    if (!status && k < (size_t)c->o.order)
        status = analytic(c, k, &w, grad, TG_CREATE_GRAPH);
    work_free(c, &w);
    tg_free(c->a, grad);
    return status;
}

/* -- the whole ------------------------------------------------------------------------------------------- */

static tg_status check_options(gc_check *c, size_t n_out)
{
    const tg_gradcheck_options *o = &c->o;
    if (!c->fn || !n_out)
        return tg_fail(c->tape, TG_EINVAL, "gradcheck: a function and at least one output are needed");
    if (o->order < 1 || o->order > GC_MAX_ORDER)
        return tg_fail(c->tape, TG_EINVAL, "gradcheck: order %d, expected 1 to %d", o->order, GC_MAX_ORDER);
    if (!(o->step > 0.0) || !(o->rtol >= 0.0) || !(o->atol >= 0.0))
        return tg_fail(c->tape, TG_EINVAL,
                       "gradcheck: step %g, rtol %g, atol %g: expected above 0, and not below 0", o->step,
                       o->rtol, o->atol);
    if (c->tape->step_depth || c->tape->forward_depth || c->tape->sweep_depth)
        return tg_fail(c->tape, TG_ESTATE,
                       "gradcheck: called inside a step, a forward or a backward of this tape");
    return TG_OK;
}

static tg_status collect_inputs(gc_check *c)
{
    c->points = tg_alloc_zero(c->a, (c->n_in + 1) * sizeof *c->points);
    c->input_of = tg_alloc_zero(c->a, (c->n_in + 1) * sizeof *c->input_of);
    if (!c->points || !c->input_of)
        return tg_fail_again(c->tape, TG_ENOMEM);
    for (size_t i = 0; i < c->n_in; i++) {
        if (!c->in[i])
            continue;
        tg_value *v = tg_resolve(c->in[i]);
        if (!v)
            return tg_fail(c->tape, TG_ESTALE, "gradcheck: input %zu is stale", i);
        if (!(v->flags & TG_V_PERSISTENT))
            return tg_fail(c->tape, TG_EINVAL,
                           "gradcheck: input %zu is the tape's, which is reset: expected a tensor "
                           "of your own (tg_tensor_create)",
                           i);
        if (!tg_tensor_requires_grad(c->in[i]))
            continue;
        if (tg_tensor_dtype(c->in[i]) != TG_F64)
            return tg_fail(c->tape, TG_EDTYPE,
                           "gradcheck: input %zu wants a gradient and is %s: expected f64", i,
                           tg_dtype_name(tg_tensor_dtype(c->in[i])));
        gc_point *p = &c->points[c->n_points];
        c->input_of[c->n_points++] = i;
        p->n = (size_t)tg_tensor_count(c->in[i]);
        p->value = tg_alloc(c->a, (p->n + 1) * sizeof(double));
        if (!p->value)
            return tg_fail_again(c->tape, TG_ENOMEM);
        tg_status status = tg_tensor_read(c->in[i], p->value, p->n * sizeof(double));
        if (status)
            return gc_status_of(c, status);
        p->tensor = c->in[i];
    }
    c->n_inputs = c->n_points;
    return c->n_inputs ? TG_OK : tg_fail(c->tape, TG_EINVAL, "gradcheck: no input wants a gradient");
}

static void finish(gc_check *c)
{
    for (size_t i = 0; c->points && i < c->n_points; i++) {
        if (c->points[i].owned)
            tg_tensor_destroy(c->points[i].tensor);
        tg_free(c->a, c->points[i].value);
    }
    for (size_t k = 0; k <= GC_MAX_ORDER; k++) {
        tg_free(c->a, c->level[k].out);
        tg_free(c->a, c->level[k].size);
    }
    tg_free(c->a, c->points);
    tg_free(c->a, c->input_of);
    tg_free(c->a, c->wrt);
    tg_free(c->a, c->grad);
}

tg_status tg_gradcheck(tg_tape *tape, tg_check_fn fn, void *arg, tg_tensor *const in[], size_t n_in,
                       size_t n_out, const tg_gradcheck_options *options)
{
    if (!tape)
        return tg_fail(NULL, TG_EINVAL, "gradcheck: the tape is NULL");
    if (tg_tape_status(tape))
        return tg_tape_status(tape);
    gc_check c = {.tape = tape,
                  .fn = fn,
                  .arg = arg,
                  .in = in,
                  .n_in = n_in,
                  .o = tg_gradcheck_defaults(),
                  .a = tg_runtime_allocator(tg_tape_runtime(tape)),
                  .random = tg_tape_random_state(tape),
                  .file = tg_here_file(),
                  .line = tg_here_line()};
    if (options) {
        size_t size = options->struct_size ? options->struct_size : sizeof c.o;
        memcpy(&c.o, options, size < sizeof c.o ? size : sizeof c.o);
    }
    c.level[1].n_out = n_out;
    tg_status status = check_options(&c, n_out);
    if (!status)
        status = collect_inputs(&c);
    bool recording = tg_tape_set_recording(tape, true);
    for (int k = 1; !status && k <= c.o.order; k++)
        status = check_level(&c, (size_t)k);
    tg_tape_set_recording(tape, recording);
    finish(&c);
    return status;
}
