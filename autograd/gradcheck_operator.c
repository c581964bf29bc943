/* A registered row against its own samples. */
#include <math.h>
#include <string.h>

#include <tapegrad/gradcheck.h>

#include "autograd/internal.h"

/* The inputs of one sample, floating ones in f64. */
typedef struct drawn {
    tg_runtime *rt;
    tg_tensor *in[TG_SAMPLE_IN];
    void *memory[TG_SAMPLE_IN]; /* of strided ones */
    uint64_t seed, draw;
} drawn;

typedef struct row_call {
    const tg_operator *op;
    const tg_sample *sample;
    tg_sample_inputs inputs;
    tg_observer outer; /* was there before */
} row_call;

static double uniform(drawn *d)
{
    uint32_t word[4];
    tg_philox(d->seed, d->draw++, 0, word);
    return ((double)word[0] + (double)word[1] * 0x1p-32) * 0x1p-32;
}

static bool near_a_kink(const tg_sample_input *s, double x)
{
    for (int32_t k = 0; k < s->n_kinks; k++)
        if (fabs(x - (double)s->kinks[k]) < (double)s->distance)
            return true;
    return false;
}

/* The part u of the range. */
static double within(const tg_sample_input *s, double u)
{
    return (double)s->low + ((double)s->high - (double)s->low) * u;
}

static double draw_one(drawn *d, const tg_sample_input *s)
{
    double x = (double)NAN; /* where the range is all kinks, the sample is wrong, and NaN shows it */
    for (int tries = 0; tries < 10000; tries++) {
        double u = within(s, uniform(d));
        if (!near_a_kink(s, u))
            return u;
    }
    return x;
}

/* A value from each of n parts of the range, shuffled; the rest of a part keeps neighbours apart. */
static void draw_distinct(drawn *d, const tg_sample_input *s, double *x, size_t n)
{
    size_t parts = n + 4 * (size_t)s->n_kinks, filled = 0;
    double width = ((double)s->high - (double)s->low) / (double)parts, apart = (double)s->distance;
    double room = width > apart ? width - apart : 0.0;
    for (size_t i = 0; i < parts && filled < n; i++) {
        double v = (double)s->low + width * (double)i + room * uniform(d);
        if (!near_a_kink(s, v))
            x[filled++] = v;
    }
    while (filled < n)
        x[filled++] = (double)NAN;
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)(uniform(d) * (double)i);
        double t = x[i - 1];
        x[i - 1] = x[j];
        x[j] = t;
    }
}

static void draw_values(drawn *d, const tg_sample_input *s, double *x, size_t n)
{
    if (s->dtype == TG_F32 && s->flags & TG_SAMPLE_DISTINCT) {
        draw_distinct(d, s, x, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        x[i] = s->dtype == TG_BOOL  ? (double)(uniform(d) < 0.5)
               : s->dtype == TG_I64 ? floor(within(s, uniform(d)))
                                    : draw_one(d, s);
}

/* Doubles become the input's elements, in place: none is larger than a double. */
static void narrow(void *data, size_t n, tg_dtype dtype)
{
    const double *x = data;
    for (size_t i = 0; i < n && dtype != TG_F64; i++) {
        double v = x[i];
        if (dtype == TG_I64)
            ((int64_t *)data)[i] = (int64_t)v;
        else
            ((uint8_t *)data)[i] = v != 0.0;
    }
}

/* Its dims lie in reverse order, two elements apart, in memory of our own. */
static tg_status create_strided(drawn *d, size_t i, tg_dtype dtype, const tg_sample_input *s, const int64_t *dim)
{
    int64_t stride[TG_MAX_DIM], step = 2;
    for (int32_t k = 0; k < s->ndim; k++) {
        stride[k] = step;
        step *= s->dim[k] > 0 ? s->dim[k] : 1;
    }
    d->memory[i] = tg_alloc_zero(tg_runtime_allocator(d->rt), (size_t)step * sizeof(double));
    return d->memory[i] ? tg_tensor_wrap(&d->in[i], d->rt, dtype, dim, stride, (size_t)s->ndim, d->memory[i])
                        : TG_ENOMEM;
}

static tg_status draw_input(drawn *d, size_t i, const tg_sample_input *s)
{
    const tg_allocator *a = tg_runtime_allocator(d->rt);
    tg_dtype dtype = s->dtype == TG_F32 ? TG_F64 : (tg_dtype)s->dtype;
    int64_t dim[TG_MAX_DIM];
    for (int32_t k = 0; k < s->ndim; k++)
        dim[k] = s->dim[k];
    bool strided = s->ndim > 0 && s->flags & TG_SAMPLE_STRIDED;
    tg_status status = strided ? create_strided(d, i, dtype, s, dim)
                               : tg_tensor_create(&d->in[i], d->rt, dtype, dim, (size_t)s->ndim);
    if (status)
        return status;
    size_t n = (size_t)tg_tensor_count(d->in[i]);
    double *x = tg_alloc(a, (n + 1) * sizeof *x);
    if (!x)
        return TG_ENOMEM;
    draw_values(d, s, x, n);
    narrow(x, n, dtype);
    status = tg_tensor_write(d->in[i], x, n * tg_dtype_size((int32_t)dtype));
    tg_free(a, x);
    if (!status && dtype == TG_F64 && !(s->flags & TG_SAMPLE_NO_GRAD))
        status = tg_tensor_set_requires_grad(d->in[i], true);
    return status;
}

static void drop(drawn *d)
{
    for (size_t i = 0; i < TG_SAMPLE_IN; i++) {
        tg_tensor_destroy(d->in[i]);
        tg_free(tg_runtime_allocator(d->rt), d->memory[i]);
    }
}

/* What its rule answers for: not what carries no gradient, nor what only the rule reads. */
static bool is_result(const tg_operator *op, size_t o)
{
    return !((op->nondiff_out | op->kept_out) & (1u << o));
}

static tg_status apply(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    const row_call *c = arg;
    tg_tensor *all[16];
    tg_status status = tg_apply(tape, c->op, in, n_in, c->sample->attrs, c->sample->scalars, all);
    for (size_t o = 0, n = 0; status == TG_OK && o < c->op->n_out && n < n_out; o++)
        if (is_result(c->op, o))
            out[n++] = all[o];
    return status;
}

static bool wants_gradient(const tg_sample_inputs *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->in[i].dtype == TG_F32 && !(s->in[i].flags & (TG_SAMPLE_NO_GRAD | TG_SAMPLE_ABSENT)))
            return true;
    return false;
}

/* The sample's name comes in front of what the check said. */
static tg_status blame(tg_tape *tape, const row_call *c, tg_status status)
{
    char text[sizeof tape->error];
    memcpy(text, tape->error, sizeof text);
    if (tape->status)
        status = tape->status;
    tape->status = TG_OK;
    tg_here_set(NULL, 0);
    return tg_fail(tape, status, "%s, sample '%s': %s", c->op->name, c->sample->label,
                   text[0] ? text : tg_error_message());
}

/* -- what a rule may read --------------------------------------------------------------------------------- */

static bool is_saved(const tg_node *node, const tg_tensor *t)
{
    for (uint32_t i = 0; i < node->n_in; i++)
        if (node->in[i] == t && tg_node_saves(node, false, i))
            return true;
    for (uint32_t o = 0; o < node->n_out; o++)
        if (node->out[o] == t && tg_node_saves(node, true, o))
            return true;
    return false;
}

/* A value that the rule's row does not save may be gone, or have changed, by the time of another backward. */
static void check_reads(tg_tape *tape, const tg_node *node, tg_tensor *const in[], size_t n_in)
{
    for (uint32_t k = 0; k < node->n_in + node->n_out; k++) {
        const bool output = k >= node->n_in;
        const tg_tensor *t = output ? node->out[k - node->n_in] : node->in[k];
        for (size_t i = 0; t && i < n_in; i++)
            if (in[i] == t && !is_saved(node, t)) {
                tg_fail(tape, TG_EINVAL, "its rule reads %s %u, which `saves` does not list",
                        output ? "output" : "input", output ? k - node->n_in : k);
                return;
            }
    }
}

static void applied(void *arg, tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                    tg_tensor *const out[], size_t n_out, const tg_node *rule_of)
{
    const row_call *c = arg;
    if (rule_of && rule_of->op == c->op)
        check_reads(tape, rule_of, in, n_in);
    if (c->outer.applied)
        c->outer.applied(c->outer.arg, tape, op, in, n_in, out, n_out, rule_of);
}

static void rule(void *arg, tg_tape *tape, const tg_node *node)
{
    const row_call *c = arg;
    if (c->outer.rule)
        c->outer.rule(c->outer.arg, tape, node);
}

static void rule_ran(void *arg, tg_tape *tape, const tg_node *node, tg_tensor *gx[])
{
    const row_call *c = arg;
    if (c->outer.rule_ran)
        c->outer.rule_ran(c->outer.arg, tape, node, gx);
}

static tg_status check_sample(tg_tape *tape, row_call *c, tg_gradcheck_options o)
{
    drawn d = {.rt = tape->rt, .seed = o.seed + 7};
    size_t n_out = 0;
    tg_status status = TG_OK;
    for (uint32_t i = 0; i < c->inputs.n && !status; i++)
        if (!(c->inputs.in[i].flags & TG_SAMPLE_ABSENT))
            status = draw_input(&d, i, &c->inputs.in[i]);
    for (size_t i = 0; i < c->op->n_out; i++)
        n_out += is_result(c->op, i);
    o.rtol = fmax(o.rtol, (double)c->inputs.tolerance);
    o.atol = fmax(o.atol, 0.01 * (double)c->inputs.tolerance);
    const tg_observer watch = {.applied = applied, .arg = c, .rule = rule, .rule_ran = rule_ran};
    c->outer = tape->observer;
    tape->observer = watch;
    if (!status)
        status = tg_gradcheck(tape, apply, c, d.in, c->inputs.n, n_out, &o);
    tape->observer = c->outer;
    drop(&d);
    return status ? blame(tape, c, status) : TG_OK;
}

tg_status tg_gradcheck_operator(tg_tape *tape, const char *name, const tg_gradcheck_options *options)
{
    if (!tape || !name)
        return tg_null(tape, "tg_gradcheck_operator", tape ? "the name" : "the tape");
    if (tape->status)
        return tape->status;
    const tg_operator *op = tg_operator_find(tape->rt, name);
    if (!op)
        return tg_fail(tape, TG_EUNKNOWN, "tg_gradcheck_operator: no operator is called '%s'", name);
    if (op->flags & TG_OP_NONDIFF || op->writes)
        return tg_fail(tape, TG_ENODERIV, "tg_gradcheck_operator: %s has no derivative, by its flags", name);
    tg_gradcheck_options o = tg_gradcheck_defaults();
    if (options) {
        size_t size = options->struct_size ? options->struct_size : sizeof o;
        memcpy(&o, options, size < sizeof o ? size : sizeof o);
    }
    size_t n = 0, checked = 0;
    const tg_sample *samples = tg_operator_samples(op, &n);
    tg_status status = samples ? TG_OK : tg_fail_again(tape, TG_EIO);
    for (size_t i = 0; i < n && !status; i++) {
        row_call c = {.op = op, .sample = &samples[i]};
        status = tg_sample_read(c.sample, &c.inputs);
        if (status || !wants_gradient(&c.inputs))
            continue;
        status = check_sample(tape, &c, o);
        checked++;
    }
    if (!status && !checked)
        return tg_fail(tape, TG_EINVAL,
                       "tg_gradcheck_operator: no sample of %s has an input that wants a gradient", name);
    return status;
}
