/* Every row's gradient in f32 on the environment's backends, from the row's samples, against central differences in
 * f64 on the reference: small ones element by element, large ones, where a backend finds its kernels worth it, along
 * random directions. */
#include "support/check_main.h"

#include <math.h>
#include <string.h>

#include <tapegrad/op_attrs.h>
#include <tapegrad/tapegrad.h>

#include "gradcheck/rows.h"
#include "support/outcome.h"

enum { MAX_OUT = 16, MAX_ROWS = 512, EACH = 64 };

static tg_runtime *rt, *reference;
static tg_tape *tape, *oracle;
static const tg_operator **rows, *all[MAX_ROWS];
static size_t n_rows, n_all;
static bool reached[MAX_ROWS]; /* by the chain's first */
static char first[64];

typedef struct point {
    sample_set set; /* the oracle's */
    double *value[TG_SAMPLE_IN];
    size_t count[TG_SAMPLE_IN];
    double *weight[MAX_OUT]; /* of each output, in the sum that is differentiated */
} point;

static tg_runtime *open_one(const char *backend, tg_dtype dtype, tg_tape **t)
{
    tg_runtime *opened = NULL;
    tg_runtime_options options = {.struct_size = sizeof options, .backend = backend, .dtype = dtype, .threads = 2};
    if (tg_runtime_open(&opened, &options) != TG_OK || tg_tape_open(t, opened) != TG_OK) {
        fprintf(stderr, "no runtime: %s\n", tg_error_message());
        exit(1);
    }
    return opened;
}

static bool carries(const tg_operator *op, size_t o)
{
    return !((op->nondiff_out | op->kept_out) & (1u << o));
}

static bool wants(const point *p, size_t i)
{
    return p->set.in[i] && tg_tensor_requires_grad(p->set.in[i]);
}

/* Σ weight·out at the point with input k moved by step·direction; NaN: it fails there. */
static double sum_at(point *p, const tg_operator *op, const tg_sample *sample, size_t k, const double *direction,
                     double step)
{
    tg_tensor *in[TG_SAMPLE_IN] = {NULL}, *out[MAX_OUT];
    tg_tape_clear_error(oracle);
    tg_tape_reset(oracle);
    for (size_t i = 0; i < p->set.n; i++) {
        tg_desc d;
        in[i] = p->set.in[i];
        if (!wants(p, i) || tg_tensor_desc(p->set.in[i], &d))
            continue;
        for (size_t e = 0; i == k && e < p->count[i]; e++)
            p->value[i][e] += step * direction[e];
        in[i] = tg_input(oracle, TG_F64, d.dim, (size_t)d.ndim, p->value[i]);
        for (size_t e = 0; i == k && e < p->count[i]; e++)
            p->value[i][e] -= step * direction[e];
    }
    if (tg_apply(oracle, op, in, p->set.n, sample->attrs, sample->scalars, out) != TG_OK)
        return NAN;
    double sum = 0;
    for (size_t o = 0; o < op->n_out; o++) {
        size_t n = 0;
        double *y = carries(op, o) ? sample_values(out[o], &n) : NULL;
        if (y && !p->weight[o]) {
            uint64_t seed = 31 + o;
            p->weight[o] = malloc((n + 1) * sizeof(double));
            for (size_t e = 0; e < n; e++)
                p->weight[o][e] = (double)(float)(2 * sample_random(&seed) - 1);
        }
        for (size_t e = 0; y && e < n; e++)
            sum += p->weight[o][e] * y[e];
        free(y);
    }
    return sum;
}

static tg_tensor *weight_of(const point *p, size_t o, tg_tensor *y)
{
    tg_desc d;
    if (tg_tensor_desc(y, &d))
        return NULL;
    if (d.dtype == TG_F64)
        return tg_input(tape, TG_F64, d.dim, (size_t)d.ndim, p->weight[o]);
    const size_t n = (size_t)tg_desc_count(&d);
    float *w = malloc((n + 1) * sizeof *w);
    for (size_t e = 0; e < n; e++)
        w[e] = (float)p->weight[o][e];
    tg_tensor *t = tg_input(tape, TG_F32, d.dim, (size_t)d.ndim, w);
    free(w);
    return t;
}

/* A copy that the chain's first backend laid out, where it can. */
static tg_tensor *blocked(tg_tensor *x)
{
    tg_tensor *y = NULL;
    tg_apply(tape, tg_operator_find(rt, "reorder"), &x, 1, &(tg_reorder_attrs){0}, NULL, &y);
    return y;
}

static bool draw(sample_set *set, tg_tensor *in[], const tg_sample *sample, unsigned how)
{
    tg_tape_clear_error(tape);
    tg_tape_reset(tape);
    if (!sample_draw(set, rt, sample, TG_F32, 3, how | SAMPLE_ROUND_F32))
        return false;
    for (size_t i = 0; i < set->n; i++) {
        const bool turn = how & SAMPLE_BLOCKED && set->in[i] && tg_tensor_dtype(set->in[i]) == TG_F32;
        in[i] = turn ? blocked(set->in[i]) : set->in[i];
    }
    return true;
}

/* Does the chain's first run the row, drawn in this way? */
static bool first_runs(const tg_operator *op, const tg_sample *sample, unsigned how)
{
    sample_set set;
    tg_tensor *in[TG_SAMPLE_IN], *out[MAX_OUT];
    const uint64_t before = tg_tape_count_runs(tape, op->name, first);
    if (!draw(&set, in, sample, how))
        return false;
    tg_apply(tape, op, in, set.n, sample->attrs, sample->scalars, out);
    tg_tape_reset(tape);
    sample_free(&set);
    return tg_tape_count_runs(tape, op->name, first) > before;
}

/* The same sum's gradients by the tape in f32, added up over the outputs; grad[i] NULL: not wanted. */
static tg_status by_the_tape(const point *p, const tg_operator *op, const tg_sample *sample, unsigned how,
                             double *grad[])
{
    sample_set set;
    tg_tensor *in[TG_SAMPLE_IN], *out[MAX_OUT], *wrt[TG_SAMPLE_IN], *g[TG_SAMPLE_IN];
    size_t n = 0, at[TG_SAMPLE_IN];
    if (!draw(&set, in, sample, how))
        return TG_EINVAL;
    tg_status status = tg_apply(tape, op, in, set.n, sample->attrs, sample->scalars, out);
    for (size_t i = 0; i < set.n; i++)
        if (wants(p, i)) {
            at[n] = i;
            wrt[n++] = set.in[i];
        }
    for (size_t o = 0; o < op->n_out && status == TG_OK; o++) {
        if (!carries(op, o) || !tg_tensor_requires_grad(out[o]))
            continue;
        tg_tensor *w = weight_of(p, o, out[o]);
        status = w ? tg_grad(tape, out[o], w, wrt, n, g, TG_RETAIN | TG_ALLOW_UNUSED) : TG_EDTYPE;
        for (size_t i = 0; i < n && status == TG_OK; i++) {
            size_t count = 0;
            double *x = g[i] ? sample_values(g[i], &count) : NULL;
            for (size_t e = 0; x && e < count; e++)
                grad[at[i]][e] += x[e];
            free(x);
        }
    }
    for (size_t i = 0; i < n_all; i++)
        reached[i] = reached[i] || tg_tape_count_runs(tape, all[i]->name, first);
    tg_tape_reset(tape);
    sample_free(&set);
    return status;
}

/* One input: false where a difference quotient is another. */
static bool same_slope(point *p, const tg_operator *op, const tg_sample *sample, size_t k, const double *grad,
                       char *why, size_t size)
{
    const size_t n = p->count[k], tries = n <= EACH ? n : 2;
    /* Among many elements some lie near a kink. */
    const double h = n <= EACH ? 1e-5 : 1e-7, tolerance = outcome_tolerance(sample, TG_F32) + 1e-6;
    double *direction = calloc(n + 1, sizeof *direction), scale = 1;
    uint64_t seed = 77 + k;
    bool same = true;
    for (size_t e = 0; e < n; e++)
        scale = fmax(scale, fabs(grad[e]));
    for (size_t t = 0; t < tries && same; t++) {
        double slope = 0, length = 1;
        for (size_t e = 0; e < n; e++) {
            direction[e] = n <= EACH ? e == t : 2 * sample_random(&seed) - 1;
            slope += direction[e] * grad[e];
        }
        if (n > EACH)
            length = sqrt((double)n);
        const double numeric = (sum_at(p, op, sample, k, direction, h) - sum_at(p, op, sample, k, direction, -h)) /
                               (2 * h);
        same = fabs(slope - numeric) <= tolerance * scale * length;
        if (!same)
            snprintf(why, size, "input %zu, %s %zu: %.9g in f32, the difference quotient in f64: %.9g", k,
                     n <= EACH ? "element" : "direction", t, slope, numeric);
    }
    free(direction);
    return same;
}

/* Enlarged, indices come twice, and nobody's gradient is right where two write one place. */
static bool has_indices(const tg_sample *sample)
{
    const tg_sample_inputs inputs = sample_inputs(sample);
    for (uint32_t i = 0; i < inputs.n; i++)
        if (inputs.in[i].dtype == TG_I64)
            return true;
    return false;
}

static bool check(const tg_operator *op, const tg_sample *sample, unsigned how, char *why, size_t size)
{
    point p = {0};
    double *grad[TG_SAMPLE_IN] = {NULL};
    const tg_operator *same = tg_operator_find(reference, op->name);
    bool good = true;
    if (!sample_draw(&p.set, reference, sample, TG_F64, 3, how | SAMPLE_ROUND_F32)) {
        snprintf(why, size, "it cannot be drawn: %s", tg_error_message());
        return false;
    }
    for (size_t i = 0; i < p.set.n; i++)
        if (wants(&p, i)) {
            p.value[i] = sample_values(p.set.in[i], &p.count[i]);
            grad[i] = calloc(p.count[i] + 1, sizeof(double));
        }
    const double here = sum_at(&p, same, sample, TG_SAMPLE_IN, NULL, 0);
    if (isfinite(here)) { /* enlarged, some samples are no legal call, or overflow */
        if (by_the_tape(&p, op, sample, how, grad) != TG_OK) {
            snprintf(why, size, "%s", tg_tape_error(tape));
            good = false;
        }
        for (size_t i = 0; i < p.set.n && good; i++)
            good = !wants(&p, i) || same_slope(&p, same, sample, i, grad[i], why, size);
    } else if (how == 0) {
        snprintf(why, size, "the reference in f64: %s", tg_tape_error(oracle));
        good = false;
    }
    tg_tape_reset(oracle);
    for (size_t i = 0; i < TG_SAMPLE_IN; i++) {
        free(p.value[i]);
        free(grad[i]);
    }
    for (size_t o = 0; o < MAX_OUT; o++)
        free(p.weight[o]);
    sample_free(&p.set);
    return good;
}

/* The last where the chain's first has layouts of its own. */
static const unsigned ways[] = {0, SAMPLE_ALL_STRIDED, SAMPLE_LARGE, SAMPLE_SIXTEEN | SAMPLE_BLOCKED};
static size_t n_ways;

START_TEST(the_gradient_in_f32)
{
    const tg_operator *op = rows[_i];
    size_t n = 0;
    const tg_sample *samples = tg_operator_samples(op, &n);
    for (size_t s = 0; s < n; s++)
        for (size_t w = 0; w < n_ways && sample_wants_gradient(&samples[s]); w++) {
            char why[700] = "";
            if (ways[w] & SAMPLE_ALL_STRIDED && op->flags & TG_OP_VIEW)
                continue; /* not every view of every stride exists */
            if (ways[w] & SAMPLE_BLOCKED && has_indices(&samples[s]))
                continue;
            if (ways[w] & (SAMPLE_LARGE | SAMPLE_BLOCKED) && !first_runs(op, &samples[s], ways[w]))
                continue; /* with that chain's own run */
            ck_assert_msg(check(op, &samples[s], ways[w], why, sizeof why), "%s, sample '%s', way %u: %s", op->name,
                          samples[s].label, ways[w], why);
        }
}
END_TEST

/* What the chain's first has a kernel for must have been under check. */
START_TEST(every_kernel_was_checked)
{
    tg_backend_info info[1];
    size_t ran = 0;
    ck_assert_uint_ge(tg_runtime_backends(rt, info, 1), 1);
    if (!strcmp(first, "reference"))
        TG_SKIP("the reference: its rows without a derivative have kernels, too");
    for (size_t i = 0; i < n_all; i++)
        ran += reached[i];
    ck_assert_msg(ran == info[0].n_kernels, "%zu of the %zu kernels of %s ran", ran, info[0].n_kernels, first);
}
END_TEST

static Suite *suite(void)
{
    rt = open_one(NULL, TG_F32, &tape);
    reference = open_one("reference", TG_F64, &oracle);
    snprintf(first, sizeof first, "%s", tg_runtime_backend(rt));
    first[strcspn(first, ",")] = '\0';
    n_ways = sizeof ways / sizeof *ways - (!strcmp(first, "reference") || !outcome_has_layouts(tape, first));
    n_all = tg_operator_list(rt, all, MAX_ROWS);
    const tg_operator **found = rows_differentiable(rt, &n_rows);
    size_t n = 0;
    for (size_t i = 0; i < n_rows; i++) /* what a generator gives differs by dtype */
        if (!(found[i]->flags & TG_OP_RANDOM))
            found[n++] = found[i];
    rows = found;
    n_rows = n;
    Suite *s = suite_create("gradients in f32");
    TCase *t = tcase_create("f32"), *last = tcase_create("kernels");
    tcase_add_loop_test(t, the_gradient_in_f32, 0, (int)n_rows);
    tcase_add_test(last, every_kernel_was_checked);
    suite_add_tcase(s, t);
    suite_add_tcase(s, last);
    return s;
}

TG_TEST_MAIN(suite)
