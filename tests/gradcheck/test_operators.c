/* Every registered row, from its own samples, in f64, first and second order. */
#include "support/check_main.h"

#include <tapegrad/tapegrad.h>

#include "gradcheck/rows.h"

static tg_runtime *rt;
static tg_tape *tape;
static const tg_operator **rows;
static size_t n_rows;

static void open_runtime(void)
{
    if (rt)
        return;
    tg_runtime_options options = {
        .struct_size = sizeof options, .dtype = TG_F64, .threads = 1};
    if (tg_runtime_open(&rt, &options) != TG_OK || tg_tape_open(&tape, rt) != TG_OK) {
        fprintf(stderr, "no runtime: %s\n", tg_error_message());
        exit(1);
    }
    rows = rows_differentiable(rt, &n_rows);
}

/* It is there for its size. */
static bool is_first_order(const tg_sample *s)
{
    bool is = false;
    const tg_sample_inputs inputs = sample_inputs(s);
    for (uint32_t i = 0; i < inputs.n; i++)
        is |= (inputs.in[i].flags & TG_SAMPLE_FIRST_ORDER) != 0;
    return is;
}

static void check_row(const tg_operator *op, int order)
{
    size_t n = 0, checked = 0;
    const tg_sample *samples = tg_operator_samples(op, &n);
    for (size_t s = 0; s < n; s++) {
        if (!sample_wants_gradient(&samples[s]))
            continue;
        tg_random_state before = tg_tape_random_state(tape);
        if (order > 1 && is_first_order(&samples[s]))
            continue;
        tg_status status = row_check(tape, op, &samples[s], order);
        if (order > row_orders(op)) {
            ck_assert_msg(status == TG_ENODERIV, "%s: %s, expected TG_ENODERIV", op->name, tg_status_name(status));
            tg_tape_clear_error(tape);
            status = TG_OK;
        }
        if (status)
            ck_abort_msg("%s, sample '%s': %s: %s", op->name, samples[s].label, tg_status_name(status),
                         tg_tape_error(tape));
        ck_assert_uint_eq(before.draw, tg_tape_random_state(tape).draw);
        ck_assert_uint_eq(tg_tape_size(tape), 0);
        checked++;
    }
    ck_assert_msg(checked > 0, "%s: no sample has an input that wants a gradient", op->name);
}

static void clear(void)
{
    tg_tape_clear_error(tape);
}

START_TEST(first_order)
{
    check_row(rows[_i], 1);
}
END_TEST

START_TEST(second_order)
{
    check_row(rows[_i], 2);
}
END_TEST

/* What the samples leave out would be checked by nothing. */
START_TEST(every_row_brings_its_proof)
{
    size_t n = tg_operator_list(rt, NULL, 0), passed_over = 0;
    const tg_operator **all = calloc(n, sizeof *all);
    tg_operator_list(rt, all, n);
    ck_assert_uint_gt(n, 0);
    for (size_t i = 0; i < n; i++) {
        size_t n_samples = 0;
        const tg_operator *op = all[i];
        ck_assert_msg(op->samples && tg_operator_samples(op, &n_samples) && n_samples > 0, "%s has no samples", op->name);
        const tg_sample *samples = tg_operator_samples(op, &n_samples);
        size_t both_orders = 0;
        for (size_t k = 0; k < n_samples; k++)
            both_orders += !is_first_order(&samples[k]);
        ck_assert_msg(2 * both_orders > n_samples, "%s: too few samples for second derivatives", op->name);
        ck_assert_msg(op->vjp || op->flags & TG_OP_NONDIFF || op->writes,
                      "%s has neither a rule nor TG_OP_NONDIFF", op->name);
        ck_assert_msg(op->doc && *op->doc, "%s has no line of documentation", op->name);
        if (!row_is_differentiable(op)) {
            ck_assert_msg(!op->vjp, "%s is flagged as without a derivative, and has a rule", op->name);
            fprintf(stderr, "%s%s", passed_over++ ? " " : "without a derivative, by their flag: ", op->name);
        }
    }
    fprintf(stderr, "\n");
    free(all);
}
END_TEST

/* Optional inputs must be sampled given and absent. */
START_TEST(optional_inputs_are_sampled_both_ways)
{
    for (size_t r = 0; r < n_rows; r++) {
        size_t n = 0;
        const tg_sample *samples = tg_operator_samples(rows[r], &n);
        for (uint32_t i = 0; i < rows[r]->n_in && i < TG_SAMPLE_IN; i++) {
            if (!(rows[r]->optional & TG_OP_IN(i)))
                continue;
            bool given = false, absent = false;
            for (size_t s = 0; s < n; s++) {
                const tg_sample_inputs inputs = sample_inputs(&samples[s]);
                bool left_out = i >= inputs.n || inputs.in[i].flags & TG_SAMPLE_ABSENT;
                given |= !left_out;
                absent |= left_out;
            }
            ck_assert_msg(given && absent, "%s: input %u is optional, and no sample has it %s", rows[r]->name,
                          i, given ? "absent" : "given");
        }
    }
}
END_TEST

/* A wrong tolerance in a sample would hide a wrong rule. */
START_TEST(tolerances_are_tight)
{
    for (size_t r = 0; r < n_rows; r++) {
        size_t n = 0;
        const tg_sample *samples = tg_operator_samples(rows[r], &n);
        for (size_t s = 0; s < n; s++) {
            const float tolerance = sample_inputs(&samples[s]).tolerance;
            ck_assert_msg(tolerance <= 1e-4f, "%s, sample '%s': tolerance %g", rows[r]->name, samples[s].label,
                          (double)tolerance);
        }
    }
}
END_TEST

/* At a tie there is no derivative, but the central difference is the mean of both sides: the halves that the
 * rule gives. A sample cannot say that, because the second order would be a jump. */
START_TEST(ties_share_the_gradient)
{
    static const char *const names[] = {"maximum", "minimum"};
    const tg_sample tie = {
        .label = "ties",
        .in = TG_SAMPLE_INPUTS({[4], 1 : 1}, {[4], 1 : 1})};
    tg_status status = row_check(tape, tg_operator_find(rt, names[_i]), &tie, 1);
    ck_assert_msg(status == TG_OK, "%s: %s", names[_i], tg_tape_error(tape));
}
END_TEST

static Suite *suite(void)
{
    open_runtime();
    Suite *s = suite_create("operators' gradients");
    TCase *coverage = tcase_create("coverage"), *one = tcase_create("order1"), *two = tcase_create("order2");
    tcase_add_test(coverage, every_row_brings_its_proof);
    tcase_add_test(coverage, optional_inputs_are_sampled_both_ways);
    tcase_add_test(coverage, tolerances_are_tight);
    tcase_add_loop_test(coverage, ties_share_the_gradient, 0, 2);
    tcase_add_checked_fixture(one, clear, clear);
    tcase_add_loop_test(one, first_order, 0, (int)n_rows);
    tcase_add_checked_fixture(two, clear, clear);
    tcase_add_loop_test(two, second_order, 0, (int)n_rows);
    suite_add_tcase(s, coverage);
    suite_add_tcase(s, one);
    suite_add_tcase(s, two);
    return s;
}

TG_TEST_MAIN(suite)
