/* Every backend against the reference in f64, row by row, from the rows' samples: forward and backward, with
 * plain, strided, empty, large and NaN data. A backend's row counts only where its kernel really ran. */
#include "support/check_main.h"

#include <string.h>

#include <tapegrad/tapegrad.h>

#include "support/outcome.h"

enum { MAX_SUBJECTS = 12, MAX_ROWS = 256 };

typedef struct subject {
    char backend[32];
    tg_dtype dtype;
    size_t n_kernels;
    bool layouts; /* it has its own */
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

START_TEST(agrees_with_the_reference)
{
    const subject *s = &subjects[pairs[_i].subject];
    const tg_operator *op = tg_operator_find(s->rt, pairs[_i].row),
                      *oracle = tg_operator_find(reference, pairs[_i].row);
    char wrong[700] = "";
    size_t n = 0;
    const tg_sample *samples = tg_operator_samples(op, &n);
    /* What a generator gives differs by dtype. */
    tg_dtype dtype = op->flags & TG_OP_RANDOM ? s->dtype : TG_F64;
    tg_tape *tape = NULL; /* of its own: what an older one has forgotten, it does not count */
    ck_assert_msg(tg_tape_open(&tape, s->rt) == TG_OK, "%s", tg_error_message());
    for (size_t k = 0; k < n; k++)
        for (size_t w = 0; w < outcome_n_ways && !wrong[0]; w++) {
            outcome got, want;
            unsigned way = outcome_ways[w].how;
            if (way & SAMPLE_BLOCKED && !s->layouts)
                continue;
            char why[500];
            outcome_expect(&want, reference_tape, oracle, &samples[k], dtype, way);
            outcome_run(&got, tape, op, &samples[k], s->dtype, way);
            if (!outcome_agrees(&got, &want, outcome_tolerance(&samples[k], s->dtype), why, sizeof why))
                snprintf(wrong, sizeof wrong, "%s, '%s', %s: %s", op->name, samples[k].label, outcome_ways[w].name,
                         why);
            outcome_free(&got);
            outcome_free(&want);
        }
    const uint64_t runs = tg_tape_count_runs(tape, op->name, s->backend);
    tg_tape_close(tape);
    ck_assert_msg(!wrong[0], "%s in %s: %s", s->backend, tg_dtype_name((int32_t)s->dtype), wrong);
    ck_assert_msg(runs > 0, "%s never ran on %s", op->name, s->backend);
}
END_TEST

/* The same bits with any number of threads: what the reference promises. */
START_TEST(threads_do_not_matter)
{
    const subject *s = &subjects[pairs[_i].subject];
    const tg_operator *op = tg_operator_find(s->rt, pairs[_i].row);
    size_t n = 0;
    char wrong[300] = "";
    const tg_sample *samples = tg_operator_samples(op, &n);
    int before = tg_runtime_threads(s->rt);
    for (size_t k = 0; k < n && !wrong[0]; k++) {
        outcome one, many;
        tg_tape_set_threads(s->tape, 1);
        outcome_run(&one, s->tape, op, &samples[k], s->dtype, SAMPLE_LARGE);
        for (int threads = 2; threads <= 5; threads += 3) {
            tg_tape_set_threads(s->tape, threads);
            outcome_run(&many, s->tape, op, &samples[k], s->dtype, SAMPLE_LARGE);
            size_t where = 0;
            if (!outcome_same_bits(&one, &many, &where))
                snprintf(wrong, sizeof wrong, "%s, '%s': result %zu differs between 1 and %d threads", op->name,
                         samples[k].label, where, threads);
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
    static const unsigned ways[] = {0, SAMPLE_LARGE, SAMPLE_SIXTEEN, SAMPLE_BLOCKED, SAMPLE_BLOCKED | SAMPLE_SIXTEEN};
    size_t n = 0;
    tg_tape *tape = NULL; /* what others' samples ran is not its own */
    bool runs = false;
    if (op->flags & TG_OP_VIEW || tg_tape_open(&tape, s->rt))
        return false; /* no kernel */
    const tg_sample *samples = tg_operator_samples(op, &n);
    for (size_t w = 0; w < (s->layouts ? 5 : 2) && !runs; w++)
        for (size_t k = 0; k < n && !runs; k++) {
            outcome unused;
            outcome_run(&unused, tape, op, &samples[k], s->dtype, ways[w]);
            outcome_free(&unused);
            runs = tg_tape_count_runs(tape, op->name, s->backend) > 0;
        }
    tg_tape_close(tape);
    return runs;
}

/* How many rows it runs. n_kernels 0: it need not be all of its kernels. */
static size_t open_subject(const char *backend, tg_dtype dtype, size_t n_kernels)
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
    s->layouts = outcome_has_layouts(s->tape, backend);
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
    return n_pairs - first;
}

static void close_subject(void)
{
    subject *s = &subjects[--n_subjects];
    tg_tape_close(s->tape);
    tg_runtime_close(s->rt);
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
        if (strcmp(info[i].name, "reference") != 0 && !open_subject(info[i].name, TG_F64, 0))
            close_subject(); /* it has kernels for f32 only */
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
    ck_assert_msg(!s->n_kernels || ran == s->n_kernels, "%s has %zu kernels, and the samples reach %zu", s->backend,
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
