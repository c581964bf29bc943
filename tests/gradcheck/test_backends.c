/* Every backend against the reference in f64, row by row, from the rows' samples: forward and backward, with
 * plain, strided, empty, large and NaN data. A backend's row counts only where its kernel really ran. */
#include "support/check_main.h"

#include <math.h>
#include <string.h>

#include <tapegrad/tapegrad.h>

#include "gradcheck/rows.h"

enum { MAX_SUBJECTS = 12, MAX_ROWS = 256, MAX_OUT = 16 };

typedef struct subject {
    char backend[32];
    tg_dtype dtype;
    size_t n_kernels;
    tg_runtime *rt;
    tg_tape *tape;
} subject;

typedef struct pair {
    size_t subject;
    const char *row;
} pair;

static tg_runtime *reference;
static tg_tape *reference_tape;
static subject subjects[MAX_SUBJECTS];
static size_t n_subjects, n_pairs;
static pair pairs[MAX_SUBJECTS * MAX_ROWS];

static const unsigned ways[] = {0,
                                SAMPLE_ALL_STRIDED,
                                SAMPLE_EMPTY,
                                SAMPLE_NAN,
                                SAMPLE_LARGE,
                                SAMPLE_LARGE | SAMPLE_ALL_STRIDED,
                                SAMPLE_LARGE | SAMPLE_NAN};
static const char *const way_names[] = {"plain", "strided",       "empty",    "NaN",
                                        "large", "large strided", "large NaN"};
enum { N_WAYS = sizeof ways / sizeof *ways };

/* -- one run -------------------------------------------------------------------------------------------- */

/* What a row gave: its outputs (or what it wrote), then the gradients, as doubles. */
typedef struct outcome {
    tg_status status;
    size_t n;
    double *value[64];
    size_t count[64];
} outcome;

static void outcome_free(outcome *o)
{
    for (size_t i = 0; i < o->n; i++)
        free(o->value[i]);
    o->n = 0;
}

static void keep(outcome *o, const tg_tensor *t)
{
    size_t count = 0;
    double *value = t ? sample_values(t, &count) : NULL;
    if (o->n < 64) {
        o->value[o->n] = value;
        o->count[o->n++] = count;
    }
}

static tg_tensor *cotangent(tg_tape *tape, tg_tensor *y, uint64_t seed)
{
    tg_desc d;
    if (tg_tensor_desc(y, &d))
        return NULL;
    size_t n = (size_t)tg_desc_count(&d);
    double *x = malloc((n + 1) * sizeof *x);
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

static tg_status go_back(tg_tape *tape, const tg_operator *op, const sample_set *set, tg_tensor *const out[],
                         outcome *o)
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

static void run_row(tg_tape *tape, const tg_operator *op, const tg_sample *sample, tg_dtype dtype,
                    unsigned how, outcome *o)
{
    sample_set set;
    tg_tensor *out[MAX_OUT];
    *o = (outcome){0};
    tg_tape_clear_error(tape);
    tg_tape_reset(tape);
    tg_tape_set_random_state(tape, (tg_random_state){.seed = 5, .draw = 17});
    if (!sample_draw(&set, tg_tape_runtime(tape), sample, dtype, 3, how | SAMPLE_ROUND_F32)) {
        o->status = TG_EINVAL;
        return;
    }
    if (op->writes)
        for (size_t i = 0; i < set.n; i++)
            if (set.in[i] && tg_tensor_requires_grad(set.in[i]))
                tg_tensor_set_requires_grad(set.in[i], false);
    o->status = tg_apply(tape, op, set.in, set.n, sample->attrs, sample->scalars, out);
    for (size_t i = 0; o->status == TG_OK && i < op->n_out; i++)
        if (!(op->kept_out & (1u << i)))
            keep(o, out[i]);
    for (size_t i = 0; o->status == TG_OK && op->writes && i < set.n; i++)
        keep(o, set.in[i]);
    if (o->status == TG_OK && row_is_differentiable(op))
        o->status = go_back(tape, op, &set, out, o);
    tg_tape_reset(tape);
    sample_free(&set);
}

/* -- comparing ------------------------------------------------------------------------------------------ */

static bool close_enough(const double *got, const double *want, size_t n, double tolerance, size_t *where)
{
    double scale = 1.0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(want[i]))
            scale = fmax(scale, fabs(want[i]));
    for (size_t i = 0; i < n; i++) {
        *where = i;
        if (isnan(want[i])   ? !isnan(got[i])
            : isinf(want[i]) ? got[i] != want[i]
                             : !(fabs(got[i] - want[i]) <= tolerance * scale))
            return false;
    }
    return true;
}

static void compare(const subject *s, const tg_operator *op, const tg_sample *sample, size_t way,
                    outcome *got, outcome *want, char *wrong, size_t size)
{
    double tolerance = s->dtype == TG_F64 ? 1e-11 : fmax(2e-5, (double)sample->tolerance);
    size_t at = 0;
    if (got->status != want->status) {
        snprintf(wrong, size, "%s, '%s', %s: %s (%s), the reference: %s (%s)", op->name, sample->label,
                 way_names[way], tg_status_name(got->status), tg_tape_error(s->tape),
                 tg_status_name(want->status), tg_tape_error(reference_tape));
        return;
    }
    for (size_t i = 0; i < got->n && !wrong[0]; i++)
        if ((got->value[i] == NULL) != (want->value[i] == NULL) || got->count[i] != want->count[i])
            snprintf(wrong, size, "%s, '%s', %s: result %zu has %zu elements, expected %zu", op->name,
                     sample->label, way_names[way], i, got->count[i], want->count[i]);
        else if (got->value[i] && !close_enough(got->value[i], want->value[i], got->count[i], tolerance, &at))
            snprintf(wrong, size, "%s, '%s', %s: result %zu, element %zu: %.9g, the reference in f64: %.9g",
                     op->name, sample->label, way_names[way], i, at, got->value[i][at], want->value[i][at]);
}

START_TEST(agrees_with_the_reference)
{
    const subject *s = &subjects[pairs[_i].subject];
    const tg_operator *op = tg_operator_find(s->rt, pairs[_i].row),
                      *oracle = tg_operator_find(reference, pairs[_i].row);
    char wrong[700] = "";
    size_t n = 0;
    const tg_sample *samples = op->samples(&n);
    /* What a generator gives differs by dtype. */
    tg_dtype dtype = op->flags & TG_OP_RANDOM ? s->dtype : TG_F64;
    uint64_t before = tg_tape_count_runs(s->tape, op->name, s->backend);
    for (size_t k = 0; k < n; k++)
        for (size_t w = 0; w < N_WAYS && !wrong[0]; w++) {
            outcome got, want;
            run_row(reference_tape, oracle, &samples[k], dtype, ways[w], &want);
            run_row(s->tape, op, &samples[k], s->dtype, ways[w], &got);
            compare(s, op, &samples[k], w, &got, &want, wrong, sizeof wrong);
            outcome_free(&got);
            outcome_free(&want);
        }
    ck_assert_msg(!wrong[0], "%s in %s: %s", s->backend, tg_dtype_name((int32_t)s->dtype), wrong);
    ck_assert_msg(tg_tape_count_runs(s->tape, op->name, s->backend) > before, "%s never ran on %s", op->name,
                  s->backend);
}
END_TEST

/* The same bits with any number of threads: what the reference promises. */
START_TEST(threads_do_not_matter)
{
    const subject *s = &subjects[pairs[_i].subject];
    const tg_operator *op = tg_operator_find(s->rt, pairs[_i].row);
    size_t n = 0;
    char wrong[300] = "";
    const tg_sample *samples = op->samples(&n);
    int before = tg_runtime_threads(s->rt);
    for (size_t k = 0; k < n && !wrong[0]; k++) {
        outcome one, many;
        tg_tape_set_threads(s->tape, 1);
        run_row(s->tape, op, &samples[k], s->dtype, SAMPLE_LARGE, &one);
        for (int threads = 2; threads <= 5; threads += 3) {
            tg_tape_set_threads(s->tape, threads);
            run_row(s->tape, op, &samples[k], s->dtype, SAMPLE_LARGE, &many);
            for (size_t i = 0; i < one.n; i++)
                if (i >= many.n || one.count[i] != many.count[i] ||
                    (one.value[i] && memcmp(one.value[i], many.value[i], one.count[i] * sizeof(double))))
                    snprintf(wrong, sizeof wrong, "%s, '%s': result %zu differs between 1 and %d threads",
                             op->name, samples[k].label, i, threads);
            outcome_free(&many);
        }
        outcome_free(&one);
    }
    tg_tape_set_threads(s->tape, before);
    ck_assert_msg(!wrong[0], "%s", wrong);
}
END_TEST

/* -- who runs what -------------------------------------------------------------------------------------- */

static bool ever_runs(subject *s, const tg_operator *op)
{
    size_t n = 0;
    if (op->flags & TG_OP_VIEW)
        return false; /* no kernel */
    const tg_sample *samples = op->samples(&n);
    for (size_t k = 0; k < 2 * n; k++) {
        sample_set set;
        tg_tape_clear_error(s->tape);
        tg_tape_reset(s->tape);
        if (!sample_draw(&set, s->rt, &samples[k / 2], s->dtype, 3, k % 2 ? SAMPLE_LARGE : 0))
            continue;
        for (size_t i = 0; i < set.n; i++)
            if (set.in[i])
                tg_tensor_set_requires_grad(set.in[i], false);
        tg_apply(s->tape, op, set.in, set.n, samples[k / 2].attrs, samples[k / 2].scalars, NULL);
        tg_tape_reset(s->tape);
        sample_free(&set);
        if (tg_tape_count_runs(s->tape, op->name, s->backend))
            return true;
    }
    return false;
}

static void open_subject(const char *backend, tg_dtype dtype, size_t n_kernels)
{
    subject *s = &subjects[n_subjects];
    tg_runtime_options options = {.struct_size = sizeof options, .backend = backend, .dtype = dtype};
    snprintf(s->backend, sizeof s->backend, "%s", backend);
    s->dtype = dtype;
    s->n_kernels = n_kernels;
    if (tg_runtime_open(&s->rt, &options) != TG_OK || tg_tape_open(&s->tape, s->rt) != TG_OK) {
        fprintf(stderr, "%s: %s\n", backend, tg_error_message());
        exit(1);
    }
    const tg_operator *rows[MAX_ROWS];
    size_t n = tg_operator_list(s->rt, rows, MAX_ROWS), first = n_pairs;
    fprintf(stderr, "%s in %s runs:", backend, tg_dtype_name((int32_t)dtype));
    for (size_t i = 0; i < n && i < MAX_ROWS; i++)
        if (ever_runs(s, rows[i])) {
            pairs[n_pairs++] = (pair){n_subjects, rows[i]->name};
            fprintf(stderr, " %s", rows[i]->name);
        }
    fprintf(stderr, " (%zu)\n", n_pairs - first);
    n_subjects++;
}

static void open_all(void)
{
    tg_runtime_options options = {.struct_size = sizeof options, .backend = "reference", .dtype = TG_F64};
    tg_backend_info info[MAX_SUBJECTS];
    if (tg_runtime_open(&reference, &options) != TG_OK || tg_tape_open(&reference_tape, reference) != TG_OK) {
        fprintf(stderr, "no runtime: %s\n", tg_error_message());
        exit(1);
    }
    size_t n = tg_runtime_backends(reference, info, MAX_SUBJECTS);
    for (size_t i = 0; i < n && i < MAX_SUBJECTS && n_subjects + 2 < MAX_SUBJECTS; i++) {
        if (!info[i].loaded) {
            fprintf(stderr, "%s was not loaded: %s\n", info[i].name, info[i].reason);
            continue;
        }
        open_subject(info[i].name, TG_F32, info[i].n_kernels);
        if (strcmp(info[i].name, "reference") != 0)
            open_subject(info[i].name, TG_F64, info[i].n_kernels);
    }
}

/* A kernel that no sample reaches is a kernel that nothing proves. */
START_TEST(every_kernel_ran)
{
    const subject *s = &subjects[_i];
    size_t ran = 0;
    for (size_t p = 0; p < n_pairs; p++)
        ran += pairs[p].subject == (size_t)_i;
    ck_assert_msg(ran > 0, "%s ran nothing", s->backend);
    ck_assert_msg(ran == s->n_kernels, "%s has %zu kernels, and the samples reach %zu", s->backend,
                  s->n_kernels, ran);
}
END_TEST

static Suite *suite(void)
{
    open_all();
    Suite *s = suite_create("backends");
    TCase *rows = tcase_create("rows"), *all = tcase_create("all");
    tcase_add_loop_test(rows, agrees_with_the_reference, 0, (int)n_pairs);
    size_t n_reference = 0;
    while (n_reference < n_pairs && !strcmp(subjects[pairs[n_reference].subject].backend, "reference"))
        n_reference++;
    tcase_add_loop_test(rows, threads_do_not_matter, 0, (int)n_reference);
    tcase_add_loop_test(all, every_kernel_ran, 0, (int)n_subjects);
    suite_add_tcase(s, rows);
    suite_add_tcase(s, all);
    return s;
}

TG_TEST_MAIN(suite)
