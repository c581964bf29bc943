#include "support/outcome.h"

#include <tapegrad/op_attrs.h>
#include <tapegrad/tapegrad.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OUT = 16, MAX_RESULTS = 64 };

const outcome_way outcome_ways[] = {{0, "plain"},
                                    {SAMPLE_ALL_STRIDED, "strided"},
                                    {SAMPLE_EMPTY, "empty"},
                                    {SAMPLE_NAN, "NaN"},
                                    {SAMPLE_ODD, "odd"},
                                    {SAMPLE_ODD | SAMPLE_ALL_STRIDED, "odd strided"},
                                    {SAMPLE_LARGE, "large"},
                                    {SAMPLE_LARGE | SAMPLE_ALL_STRIDED, "large strided"},
                                    {SAMPLE_LARGE | SAMPLE_NAN, "large NaN"},
                                    {SAMPLE_BLOCKED, "in its layouts"},
                                    {SAMPLE_BLOCKED | SAMPLE_ODD | SAMPLE_NAN, "in its layouts, odd NaN"},
                                    {SAMPLE_BLOCKED | SAMPLE_SIXTEEN, "in its layouts, sixteens"}};
const size_t outcome_n_ways = sizeof outcome_ways / sizeof *outcome_ways;

void outcome_free(outcome *o)
{
    for (size_t i = 0; i < o->n; i++) {
        free(o->value[i]);
        free(o->other[i]);
        o->other[i] = NULL;
    }
    o->n = 0;
}

static void keep(outcome *o, const tg_tensor *t)
{
    if (o->n == MAX_RESULTS)
        return;
    o->count[o->n] = 0;
    o->value[o->n] = t ? sample_values(t, &o->count[o->n]) : NULL;
    o->n++;
}

static tg_tensor *cotangent(tg_tape *tape, tg_tensor *y, uint64_t seed)
{
    tg_desc d;
    if (tg_tensor_desc(y, &d))
        return NULL;
    size_t n = (size_t)tg_desc_count(&d);
    double *x = malloc((n + 1) * sizeof *x);
    if (!x)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        float f = (float)(2.0 * sample_random(&seed) - 1.0);
        if (d.dtype == TG_F32)
            ((float *)(void *)x)[i] = f;
        else
            x[i] = (double)f;
    }
    tg_tensor *gy = tg_input(tape, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, x);
    free(x);
    return gy;
}

static tg_status go_back(outcome *o, tg_tape *tape, const tg_operator *op, const sample_set *set,
                         tg_tensor *const out[])
{
    tg_tensor *wrt[TG_SAMPLE_IN], *grad[TG_SAMPLE_IN];
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++)
        if (set->in[i] && tg_tensor_requires_grad(set->in[i]))
            wrt[n++] = set->in[i];
    for (size_t i = 0; i < op->n_out && n; i++) {
        if ((op->nondiff_out | op->kept_out) & (1u << i) || !tg_tensor_requires_grad(out[i]))
            continue;
        tg_tensor *gy = cotangent(tape, out[i], 99 + i);
        tg_status status = tg_grad(tape, out[i], gy, wrt, n, grad, TG_RETAIN | TG_ALLOW_UNUSED);
        if (status)
            return status;
        for (size_t k = 0; k < n; k++)
            keep(o, grad[k]);
    }
    return TG_OK;
}

/* A copy that the chain's first backend laid out, where it can. */
static tg_tensor *blocked(tg_tape *tape, tg_tensor *x)
{
    const tg_operator *reorder = tg_operator_find(tg_tape_runtime(tape), "reorder");
    tg_tensor *y = NULL;
    tg_apply(tape, reorder, &x, 1, &(tg_reorder_attrs){0}, NULL, &y);
    return y;
}

bool outcome_has_layouts(tg_tape *tape, const char *backend)
{
    const uint64_t before = tg_tape_count_runs(tape, "reorder", backend);
    tg_tape_reset(tape);
    tg_tensor *x = tg_full(tape, TG_F32, (int64_t[]){1, 16, 2, 2}, 4, 1);
    return x && blocked(tape, x) && tg_tape_count_runs(tape, "reorder", backend) > before;
}

static void apply(outcome *o, tg_tape *tape, const tg_operator *op, const tg_sample *sample, sample_set *set,
                  unsigned how)
{
    tg_tensor *out[MAX_OUT], *in[TG_SAMPLE_IN];
    for (size_t i = 0; i < set->n; i++) {
        const bool turn = how & SAMPLE_BLOCKED && set->in[i] && !op->writes && tg_tensor_dtype(set->in[i]) == TG_F32;
        in[i] = turn ? blocked(tape, set->in[i]) : set->in[i];
    }
    for (size_t i = 0; op->writes && i < set->n; i++)
        if (set->in[i] && tg_tensor_requires_grad(set->in[i]))
            tg_tensor_set_requires_grad(set->in[i], false);
    o->status = tg_apply(tape, op, in, set->n, sample->attrs, sample->scalars, out);
    for (size_t i = 0; o->status == TG_OK && i < op->n_out; i++)
        if (!(op->kept_out & (1u << i)))
            keep(o, out[i]);
    for (size_t i = 0; o->status == TG_OK && op->writes && i < set->n; i++)
        keep(o, set->in[i]);
    if (o->status == TG_OK && !(op->flags & TG_OP_NONDIFF) && !op->writes)
        o->status = go_back(o, tape, op, set, out);
}

void outcome_run(outcome *o, tg_tape *tape, const tg_operator *op, const tg_sample *sample, tg_dtype dtype,
                 unsigned how)
{
    sample_set set;
    memset(o, 0, sizeof *o);
    tg_tape_clear_error(tape);
    tg_tape_reset(tape);
    tg_tape_set_random_state(tape, (tg_random_state){.seed = 5, .draw = 17});
    if (!sample_draw(&set, tg_tape_runtime(tape), sample, dtype, 3, how | SAMPLE_ROUND_F32)) {
        o->status = TG_EINVAL;
        snprintf(o->error, sizeof o->error, "%s", tg_error_message());
        return;
    }
    apply(o, tape, op, sample, &set, how);
    if (o->status)
        snprintf(o->error, sizeof o->error, "%s", tg_tape_error(tape));
    tg_tape_reset(tape);
    sample_free(&set);
}

/* A convolution and its gradients are sums of products of two inputs' elements (and of the bias). With ones for numbers
 * an element that NaN reaches is one that changes where the NaN is a 2. */
void outcome_expect(outcome *o, tg_tape *tape, const tg_operator *op, const tg_sample *sample, tg_dtype dtype,
                    unsigned how)
{
    outcome_run(o, tape, op, sample, dtype, how);
    if (strncmp(op->name, "convolution", 11) != 0 || !(how & SAMPLE_NAN) || o->status)
        return;
    outcome without, ones, marked;
    const unsigned plain = how & ~(unsigned)SAMPLE_NAN;
    outcome_run(&without, tape, op, sample, dtype, plain | SAMPLE_ZERO);
    outcome_run(&ones, tape, op, sample, dtype, plain | SAMPLE_ONES);
    outcome_run(&marked, tape, op, sample, dtype, plain | SAMPLE_ONES | SAMPLE_MARK);
    if (without.n != o->n || ones.n != o->n || marked.n != o->n) {
        o->status = TG_EINVAL;
        snprintf(o->error, sizeof o->error, "the reference gives another number of results without NaN");
    }
    for (size_t i = 0; i < o->n && !o->status; i++) {
        o->other[i] = without.value[i];
        without.value[i] = NULL;
        for (size_t k = 0; o->other[i] && k < o->count[i]; k++)
            if (ones.value[i][k] != marked.value[i][k])
                o->other[i][k] = (double)NAN;
    }
    outcome_free(&without);
    outcome_free(&ones);
    outcome_free(&marked);
}

/* -- comparing ------------------------------------------------------------------------------------------------ */

double outcome_tolerance(const tg_sample *sample, tg_dtype dtype)
{
    return dtype == TG_F64 ? 1e-11 : fmax(2e-5, (double)sample_inputs(sample).tolerance);
}

static bool close_enough(const double *got, const double *want, const double *other, size_t n, double tolerance,
                         size_t *where)
{
    double scale = 1.0;
    for (size_t i = 0; i < n; i++) {
        const double x = isnan(want[i]) && other ? other[i] : want[i];
        if (isfinite(x))
            scale = fmax(scale, fabs(x));
    }
    for (size_t i = 0; i < n; i++) {
        *where = i;
        if (isnan(want[i])   ? !isnan(got[i]) && !(other && fabs(got[i] - other[i]) <= tolerance * scale)
            : isinf(want[i]) ? got[i] != want[i]
                             : !(fabs(got[i] - want[i]) <= tolerance * scale))
            return false;
    }
    return true;
}

bool outcome_agrees(const outcome *got, const outcome *want, double tolerance, char *why, size_t size)
{
    size_t at = 0;
    if (got->status != want->status || got->n != want->n) {
        snprintf(why, size, "%s (%s), the reference: %s (%s)", tg_status_name(got->status), got->error,
                 tg_status_name(want->status), want->error);
        return false;
    }
    for (size_t i = 0; i < got->n; i++) {
        if (!got->value[i] != !want->value[i] || got->count[i] != want->count[i]) {
            snprintf(why, size, "result %zu has %zu elements, expected %zu", i, got->count[i], want->count[i]);
            return false;
        }
        if (got->value[i] && !close_enough(got->value[i], want->value[i], want->other[i], got->count[i], tolerance, &at)) {
            snprintf(why, size, "result %zu, element %zu: %.9g, the reference in f64: %.9g", i, at, got->value[i][at],
                     want->value[i][at]);
            return false;
        }
    }
    return true;
}

bool outcome_same_bits(const outcome *a, const outcome *b, size_t *where)
{
    for (*where = 0; *where < a->n; ++*where) {
        size_t i = *where;
        if (i >= b->n || a->count[i] != b->count[i] ||
            (a->value[i] && memcmp(a->value[i], b->value[i], a->count[i] * sizeof(double))))
            return false;
    }
    return a->n == b->n;
}
