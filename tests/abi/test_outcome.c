/* What outcome_agrees lets pass: of a convolution, NaN times the zeros around its planes may be left out, and
 * no other NaN. */
#include "support/check_main.h"

#include <math.h>
#include <string.h>

#include <tapegrad/tapegrad.h>

#include "support/outcome.h"

static tg_runtime *rt;
static tg_tape *tape;

static void open_all(void)
{
    ck_assert_int_eq(tg_runtime_open(&rt, &(tg_runtime_options){.backend = "reference", .threads = 1}),
                     TG_OK);
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
}

static void close_all(void)
{
    tg_tape_close(tape);
    tg_runtime_close(rt);
}

static bool agrees(const outcome *got, const outcome *want)
{
    char why[500];
    return outcome_agrees(got, want, 1e-11, why, sizeof why);
}

/* How many places NaN reaches only by way of the zeros around. */
static size_t check_sample(const tg_operator *op, const tg_sample *sample, unsigned how, size_t *reached)
{
    outcome want, got, without;
    size_t around = 0;
    outcome_expect(&want, tape, op, sample, TG_F64, how);
    outcome_run(&got, tape, op, sample, TG_F64, how);
    outcome_run(&without, tape, op, sample, TG_F64, (how & ~(unsigned)SAMPLE_NAN) | SAMPLE_ZERO);
    ck_assert_int_eq(want.status, TG_OK);
    ck_assert(agrees(&got, &want)); /* the reference itself */
    for (size_t i = 0; i < want.n; i++)
        for (size_t k = 0; want.value[i] && k < want.count[i]; k++) {
            if (!isnan(want.value[i][k]))
                continue;
            ck_assert_msg(want.other[i] != NULL, "%s has no other values", op->name);
            const bool free_of = !isnan(want.other[i][k]);
            around += free_of;
            *reached += !free_of;
            got.value[i][k] = without.value[i][k]; /* as if there had been no NaN */
            ck_assert_msg(agrees(&got, &want) == free_of, "%s, '%s': result %zu, element %zu", op->name,
                          sample->label, i, k);
            got.value[i][k] = without.value[i][k] + 0.5; /* something else */
            ck_assert(!agrees(&got, &want));
            got.value[i][k] = (double)NAN;
        }
    outcome_free(&want);
    outcome_free(&got);
    outcome_free(&without);
    return around;
}

START_TEST(of_a_convolution)
{
    enum { MAX_ROWS = 1024 };
    const tg_operator *rows[MAX_ROWS];
    const size_t n_rows = tg_operator_list(rt, rows, MAX_ROWS);
    size_t around = 0, reached = 0, found = 0;
    ck_assert_uint_le(n_rows, MAX_ROWS);
    for (size_t r = 0; r < n_rows; r++) {
        if (strncmp(rows[r]->name, "convolution", 11) != 0)
            continue;
        size_t n = 0;
        const tg_sample *samples = tg_operator_samples(rows[r], &n);
        found++;
        for (size_t i = 0; i < n; i++)
            if (strncmp(samples[i].label, "large", 5) != 0)
                around += check_sample(rows[r], &samples[i], SAMPLE_NAN | SAMPLE_ROUND_F32, &reached);
    }
    ck_assert_uint_gt(found, 1);
    ck_assert_uint_gt(around, 0);
    ck_assert_uint_gt(reached, 0);
}
END_TEST

START_TEST(of_any_other)
{
    const tg_operator *op = tg_operator_find(rt, "mul");
    size_t n;
    outcome want, got;
    const tg_sample *samples = tg_operator_samples(op, &n);
    outcome_expect(&want, tape, op, &samples[0], TG_F64, SAMPLE_NAN);
    outcome_run(&got, tape, op, &samples[0], TG_F64, SAMPLE_NAN);
    ck_assert(isnan(want.value[0][0]));
    ck_assert(agrees(&got, &want));
    got.value[0][0] = 0;
    ck_assert(!agrees(&got, &want));
    outcome_free(&want);
    outcome_free(&got);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("outcome");
    TCase *t = tcase_create("NaN");
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, of_a_convolution);
    tcase_add_test(t, of_any_other);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
