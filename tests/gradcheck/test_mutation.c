/* Does the gradient check see what it is there for? Every term of every rule is broken, one at a time: while
 * the rule of an operator runs, the result of its k-th application is altered, once in the plain sweep and
 * once in the recorded one; or what the rule returns for an input is left out, negated or scaled. Each such
 * mutant must fail the check of one of the operator's samples.
 *
 * A view shares its storage, so it is altered through the storage and restored once its first consumer has
 * run. A rule that runs steps again and sweeps through them at once gets another value instead, altered by a
 * recorded operator: a step's node would refuse one that was altered behind it, and the derivative is to be
 * altered, too. */
#include "support/check_main.h"

#include <string.h>

#include <tapegrad/tapegrad.h>

#include "gradcheck/rows.h"

enum { MAX_TERMS = 400, MAX_SAMPLES = 64, MAX_APPLICATIONS = 256 };
enum { NEGATE, SCALE, ZERO, SHIFT, N_MUTATIONS };
static const char *const mutation_name[] = {"negated", "times 1.5", "zeroed", "plus 0.5"};

/* The o-th output of the k-th application of `op` in a rule, in the plain or the recorded sweep; op NULL: the
 * gradient that the rule returns for input o. */
typedef struct term {
    bool recorded;
    unsigned k, o;
    const tg_operator *op;
    uint64_t in_samples;
} term;

typedef struct mutator {
    const tg_operator *target; /* whose rule                                             */
    const term *active;        /* what is altered; NULL: only looking                    */
    int mutation;
    const tg_operator *ran[MAX_APPLICATIONS]; /* in the rule that runs, so far            */
    unsigned n_ran;
    const tg_node *inside; /* its rule runs                                         */
    bool replays, busy; /* its rule has swept through what it ran; we apply something  */
    unsigned altered;   /* how often a value really changed                       */
    term *terms;
    size_t n_terms;
    unsigned sample;
    tg_tensor *view, *restore; /* one that was altered, or a view of it; and its handle   */
    void *kept;
    size_t kept_bytes;
} mutator;

typedef enum outcome { SEEN, MISSED, IDLE } outcome;
typedef struct report {
    size_t tried, missed, length;
    char text[2400];
} report;

/* Mutants of a first output that change nothing that the check could see: each with its reason. -1 stands for all. */
static const struct {
    const char *target, *applied;
    int k, recorded, mutation;
    const char *why;
} equivalent[] = {
    {"maximum", "mul_scalar", -1, -1, -1,
     "halves at ties, where there is no derivative: test_operators.c has them"},
    {"scaled_dot_product_attention", "exp", -1, -1, SCALE, "is divided by its sum"},
    {"scaled_dot_product_attention", "tril", -1, -1, SCALE, "is divided by its sum"},
    {"minimum", "mul_scalar", -1, -1, -1, "as maximum"},
    {"fmax", "mul_scalar", -1, -1, -1, "as maximum"},
    {"fmin", "mul_scalar", -1, -1, -1, "as maximum"},
    {"clamp_min", "mul_scalar", -1, -1, -1, "as maximum"},
    {"clamp_max", "mul_scalar", -1, -1, -1, "as maximum"},
    {"clamp_tensor", "mul_scalar", -1, -1, -1, "halves on the bounds: test_special.c has them"},
    {"clamp_tensor", "lt", 0, -1, -1, "which matters on the bounds"},
    {"clamp_tensor", "logical_or", 1, -1, -1, "as above"},
    {"copysign", "full", -1, -1, SHIFT, "what a is compared with, and the slope at 0, where there is no derivative"},
    {"atan2", "full", -1, -1, -1, "what stands for the slope at the origin, where there is no derivative"},
    {"xlogy", "full", -1, -1, SHIFT, "the slope at a = 0 >= b, where there is no derivative"},
    {"xlogy", "eq", -1, -1, -1, "as above: only both together matter"},
    {"xlogy", "le", -1, -1, -1, "as above"},
    {"sinc", "full", -1, -1, SHIFT, "what x is compared with, and the slope at 0: test_special.c has it"},
    {"i1", "full", -1, -1, -1, "the slope at 0, and what stands in for x there: test_special.c has it"},
    {"i1", "abs", -1, -1, SCALE, "it is compared with the smallest step from 1"},
    {"elu_backward", "full", -1, 0, SHIFT,
     "the 0 that x is compared with, in the rule's own slope, masked there"},
    {"pow", "full", 1, 0, -1, "what stands in for a base of 0 is masked; it matters to the next order"},
    {"pow", "full", 1, 1, SCALE, "and there any positive number would do"},
    {"std", "full", -1, -1, -1, "what 0 is compared with and what stands in for it: test_reduce.c has zeros"},
    {"norm", "full", -1, -1, -1, "as std"},
    {"cdist_backward", "full", -1, -1, -1, "as std"},
    {"cdist_backward", "view", 4, -1, -1, "compared with 0 first; what comes after reads it restored"},
    {"cumprod", "full", 1, -1, SHIFT, "the first factor of a scan is not read"},
    {"logcumsumexp", "full", 0, -1, SHIFT, "as cumprod"},
    {"max_all", "ne", 1, -1, -1, "asked only where there are NaN: test_extrema.c has them"},
    {"min_all", "ne", 1, -1, -1, "as max_all"},
    {"max_pool_src_backward", "max_pool", 0, -1, -1, "the values: the rule reads the places alone"},
    {NULL, NULL, 0, 0, 0, NULL},
};

static tg_runtime *rt;
static tg_tape *tape;
static const tg_operator **rows;
static size_t n_rows, total_mutants;

static void open_runtime(void)
{
    tg_runtime_options options = {
        .struct_size = sizeof options, .backend = "reference", .dtype = TG_F64, .threads = 1};
    if (tg_runtime_open(&rt, &options) != TG_OK || tg_tape_open(&tape, rt) != TG_OK) {
        fprintf(stderr, "no runtime: %s\n", tg_error_message());
        exit(1);
    }
    rows = rows_differentiable(rt, &n_rows);
}

/* -- altering ------------------------------------------------------------------------------------------- */

static double altered(double x, int mutation)
{
    switch (mutation) {
    case NEGATE: return -x;
    case SCALE: return 1.5 * x;
    case ZERO: return 0.0;
    default: return x + 0.5;
    }
}

static bool alter_bytes(void *data, size_t n, tg_dtype dtype, int mutation)
{
    bool changed = false;
    for (size_t i = 0; i < n; i++) {
        if (dtype == TG_F64) {
            double *x = (double *)data + i, y = altered(*x, mutation);
            changed |= !(y == *x);
            *x = y;
        } else if (dtype == TG_I64) {
            int64_t *x = (int64_t *)data + i;
            changed |= *x != 0;
            *x = 0;
        } else {
            uint8_t *x = (uint8_t *)data + i;
            *x = !*x;
            changed = true;
        }
    }
    return changed;
}

static void *bytes_of(const tg_tensor *t, size_t *bytes)
{
    *bytes = (size_t)tg_tensor_count(t) * tg_dtype_size((int32_t)tg_tensor_dtype(t));
    void *data = malloc(*bytes + 8);
    if (data && tg_tensor_read(t, data, *bytes) == TG_OK)
        return data;
    free(data);
    return NULL;
}

static void forget_view(mutator *m, bool restore)
{
    if (restore && m->kept)
        tg_tensor_write(m->restore, m->kept, m->kept_bytes);
    free(m->kept);
    m->kept = NULL;
    m->view = NULL;
}

/* The consumer of an altered view has run; a view of the view has read nothing yet. */
static void follow_view(mutator *m, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                        tg_tensor *const out[])
{
    for (size_t i = 0; m->view && i < n_in; i++)
        if (in[i] == m->view && op->flags & TG_OP_VIEW)
            m->view = out[0];
        else if (in[i] == m->view)
            forget_view(m, true);
}

static void alter(mutator *m, tg_tensor *out, bool is_view)
{
    size_t bytes = 0;
    void *data = bytes_of(out, &bytes);
    if (!data)
        return;
    if (is_view) {
        forget_view(m, true);
        m->kept = malloc(bytes + 8);
        memcpy(m->kept, data, bytes);
        m->kept_bytes = bytes;
        m->view = m->restore = out;
    }
    if (alter_bytes(data, (size_t)tg_tensor_count(out), tg_tensor_dtype(out), m->mutation) &&
        tg_tensor_write(out, data, bytes) == TG_OK)
        m->altered++;
    free(data);
}

static bool is_zero(const tg_tensor *t)
{
    size_t bytes;
    double *x = bytes_of(t, &bytes);
    bool zero = true;
    for (size_t i = 0; x && i < bytes / sizeof *x; i++)
        zero &= x[i] == 0.0;
    free(x);
    return zero;
}

/* x as alter_bytes would have it, by recorded operators. */
static tg_tensor *altered_copy(tg_tape *t, tg_tensor *x, int mutation)
{
    if (tg_tensor_dtype(x) == TG_BOOL)
        return tg_logical_not(t, x);
    if (tg_tensor_dtype(x) != TG_F64 || mutation == ZERO)
        return tg_zeros_like(t, x);
    if (mutation == SHIFT)
        return tg_add_scalar(t, x, 0.5);
    return tg_mul_scalar(t, x, mutation == NEGATE ? -1.0 : 1.5);
}

static void replace(mutator *m, tg_tape *t, tg_tensor **x)
{
    const bool shifted = m->mutation == SHIFT && tg_tensor_dtype(*x) == TG_F64;
    m->altered += shifted || tg_tensor_dtype(*x) == TG_BOOL || !is_zero(*x);
    m->busy = true;
    *x = altered_copy(t, *x, m->mutation);
    m->busy = false;
}

/* -- looking -------------------------------------------------------------------------------------------- */

static void note(mutator *m, bool recorded, unsigned k, const tg_operator *op, unsigned o)
{
    for (size_t t = 0; t < m->n_terms; t++) {
        term *have = &m->terms[t];
        if (have->recorded == recorded && have->k == k && have->o == o && have->op == op) {
            have->in_samples |= 1ull << m->sample;
            return;
        }
    }
    if (m->n_terms < MAX_TERMS)
        m->terms[m->n_terms++] = (term){recorded, k, o, op, 1ull << m->sample};
}

static void rule_begins(void *arg, tg_tape *t, const tg_node *node)
{
    (void)t;
    mutator *m = arg;
    forget_view(m, false);
    m->replays |= m->inside != NULL;
    if (m->inside || tg_node_operator(node) != m->target)
        return;
    m->inside = node;
    m->n_ran = 0;
}

static void applied(void *arg, tg_tape *t, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                    tg_tensor *const out[], size_t n_out, const tg_node *rule_of)
{
    mutator *m = arg;
    if (m->busy)
        return;
    follow_view(m, op, in, n_in, out);
    if (!m->inside || rule_of != m->inside)
        return;
    bool recorded = tg_tape_recording(t);
    unsigned k = 0;
    for (unsigned i = 0; i < m->n_ran; i++)
        k += m->ran[i] == op;
    for (unsigned o = 0; o < n_out; o++) {
        if (!m->active)
            note(m, recorded, k, op, o);
        if (!m->active || m->active->recorded != recorded || m->active->k != k || m->active->o != o ||
            m->active->op != op)
            continue;
        if (recorded && m->replays)
            replace(m, t, (tg_tensor **)(uintptr_t)&out[o]); /* the caller's own array */
        else
            alter(m, out[o], op->flags & TG_OP_VIEW);
    }
    if (m->n_ran < MAX_APPLICATIONS)
        m->ran[m->n_ran++] = op;
}

static void rule_ran(void *arg, tg_tape *t, const tg_node *node, tg_tensor *gx[])
{
    mutator *m = arg;
    if (node != m->inside)
        return;
    m->inside = NULL;
    bool recorded = tg_tape_recording(t);
    for (unsigned i = 0; i < tg_node_n_in(node); i++) {
        if (!gx[i])
            continue;
        if (!m->active)
            note(m, recorded, 0, NULL, i);
        if (!m->active || m->active->op || m->active->recorded != recorded || m->active->o != i)
            continue;
        if (m->mutation == ZERO) {
            m->altered += !is_zero(gx[i]);
            gx[i] = NULL;
        } else {
            replace(m, t, &gx[i]);
        }
    }
}

/* -- one operator --------------------------------------------------------------------------------------- */

static tg_status check_with(mutator *m, const tg_sample *sample, int order)
{
    m->inside = NULL;
    tg_tape_clear_error(tape);
    tg_tape_observe(tape,
                    &(tg_observer){.applied = applied, .rule = rule_begins, .rule_ran = rule_ran, .arg = m});
    tg_status status = row_check(tape, m->target, sample, order);
    tg_tape_observe(tape, NULL);
    forget_view(m, false);
    return status;
}

static bool is_seen(mutator *m, const tg_sample *sample, int order)
{
    return check_with(m, sample, order) != TG_OK && strstr(tg_tape_error(tape), "analytic");
}

static bool is_equivalent(const mutator *m, const term *t)
{
    for (size_t i = 0; equivalent[i].target; i++)
        if (!strcmp(equivalent[i].target, m->target->name) && t->op &&
            !strcmp(equivalent[i].applied, t->op->name) && t->o == 0 &&
            (equivalent[i].k < 0 || (unsigned)equivalent[i].k == t->k) &&
            (equivalent[i].recorded < 0 || equivalent[i].recorded == t->recorded) &&
            (equivalent[i].mutation < 0 || equivalent[i].mutation == m->mutation))
            return true;
    return false;
}

/* SEEN; MISSED: it changed something, and no sample saw that; IDLE: it changed nothing (a zero, negated). */
static outcome try_mutant(mutator *m, const term *t, const tg_sample *samples, size_t n)
{
    bool changed = false;
    m->active = t;
    for (int order = t->recorded ? 2 : 1; order <= row_orders(m->target); order++)
        for (size_t s = 0; s < n; s++) {
            if (!(t->in_samples >> s & 1u))
                continue;
            m->altered = 0;
            if (is_seen(m, &samples[s], order))
                return SEEN;
            changed |= m->altered > 0;
        }
    return changed ? MISSED : IDLE;
}

static void look(mutator *m, const tg_sample *samples, size_t n)
{
    m->active = NULL;
    for (size_t s = 0; s < n; s++) {
        m->sample = (unsigned)s;
        if (!sample_wants_gradient(&samples[s]))
            continue;
        tg_status status = check_with(m, &samples[s], row_orders(m->target));
        ck_assert_msg(status == TG_OK, "%s, sample '%s', not mutated: %s", m->target->name, samples[s].label,
                      tg_tape_error(tape));
    }
}

/* A zero stays zero when it is negated or scaled: then something is added to it instead. */
static void break_term(mutator *m, const term *t, const tg_sample *samples, size_t n, report *r)
{
    size_t idle = 0;
    for (m->mutation = 0; m->mutation < N_MUTATIONS; m->mutation++) {
        if ((m->mutation == SHIFT && idle < SHIFT) || is_equivalent(m, t))
            continue;
        outcome result = try_mutant(m, t, samples, n);
        idle += result == IDLE;
        r->tried += result != IDLE;
        if (result != MISSED)
            continue;
        r->missed++;
        if (r->length < sizeof r->text - 200)
            r->length += (size_t)snprintf(
                r->text + r->length, sizeof r->text - r->length,
                "\n  %s sweep, application %u (%s), number %u, %s", t->recorded ? "recorded" : "plain", t->k,
                t->op ? t->op->name : "the result", t->o, mutation_name[m->mutation]);
    }
}

START_TEST(every_term_matters)
{
    static term terms[MAX_TERMS];
    report r = {0};
    size_t n = 0;
    mutator m = {.target = rows[_i], .terms = terms};
    const tg_sample *samples = tg_operator_samples(m.target, &n);
    ck_assert_uint_le(n, MAX_SAMPLES);
    look(&m, samples, n);
    ck_assert_uint_lt(m.n_terms, MAX_TERMS);
    for (size_t t = 0; t < m.n_terms; t++)
        break_term(&m, &terms[t], samples, n, &r);
    tg_tape_clear_error(tape);
    total_mutants += r.tried;
    ck_assert_msg(r.missed == 0, "the rule of %s: no sample sees %zu mutants:%s", m.target->name, r.missed,
                  r.text);
}
END_TEST

/* Rules that pass the gradient on as it came apply nothing, so that there is nothing to break in them; all
 * the others must have been broken. */
START_TEST(there_were_mutants)
{
    if (!total_mutants)
        TG_SKIP("the cases in \"each\" did not run");
    fprintf(stderr, "%zu mutants of the rules of %zu operators\n", total_mutants, n_rows);
    ck_assert_uint_gt(total_mutants, 3 * n_rows);
}
END_TEST

static Suite *suite(void)
{
    open_runtime();
    Suite *s = suite_create("mutants of the rules");
    TCase *each = tcase_create("each"), *all = tcase_create("all");
    tcase_add_loop_test(each, every_term_matters, 0, (int)n_rows);
    tcase_add_test(all, there_were_mutants);
    suite_add_tcase(s, each);
    suite_add_tcase(s, all);
    return s;
}

TG_TEST_MAIN(suite)
