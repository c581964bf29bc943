/* What would leave a row unproven: found in bad rows made for that, and in none of the registered ones. */
#include "support/check_main.h"

#include <string.h>

#include <tapegrad/backend_abi.h>
#include <tapegrad/tapegrad.h>

#include "gradcheck/rows.h"

static tg_runtime *rt;
static tg_tape *tape;

/* -- what rules did ------------------------------------------------------------------------------------- */

typedef struct watch {
    const tg_operator *op;
    unsigned runs, given; /* bit i: the rule gave input i's gradient */
} watch;

static void rule_ran(void *arg, tg_tape *t, const tg_node *node, tg_tensor *gx[])
{
    watch *w = arg;
    (void)t;
    if (tg_node_operator(node) != w->op)
        return;
    w->runs++;
    for (size_t i = 0; i < tg_node_n_in(node) && i < 32; i++)
        if (gx[i] && tg_node_needs(node, i))
            w->given |= 1u << i;
}

static void look(watch *w)
{
    const tg_observer observer = {.arg = w, .rule_ran = rule_ran};
    tg_tape_observe(tape, w->op ? &observer : NULL);
}

/* What the rule gives where every floating input wants a gradient. */
static unsigned could_give(const tg_operator *op, const tg_sample *sample)
{
    watch w = {.op = op};
    sample_set set;
    tg_tensor *out[16] = {NULL};
    tg_desc d;
    if (!sample_draw(&set, rt, sample, TG_F64, 3, 0))
        return 0;
    for (size_t i = 0; i < set.n; i++)
        if (set.in[i] && tg_tensor_dtype(set.in[i]) == TG_F64)
            tg_tensor_set_requires_grad(set.in[i], true);
    look(&w);
    if (tg_apply(tape, op, set.in, set.n, sample->attrs, sample->scalars, out) == TG_OK)
        for (size_t o = 0; o < op->n_out; o++) {
            if (op->kept_out & (1u << o) || !tg_tensor_requires_grad(out[o]) || tg_tensor_desc(out[o], &d))
                continue;
            tg_tensor *gy = tg_full(tape, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, 1);
            tg_tensor *wrt[TG_SAMPLE_IN], *gx[TG_SAMPLE_IN];
            size_t n = 0;
            for (size_t i = 0; i < set.n; i++)
                if (set.in[i] && tg_tensor_requires_grad(set.in[i]))
                    wrt[n++] = set.in[i];
            tg_grad(tape, out[o], gy, wrt, n, gx, TG_ALLOW_UNUSED | TG_RETAIN);
            tg_tape_clear_error(tape);
        }
    look(&(watch){0});
    tg_tape_clear_error(tape);
    tg_tape_reset(tape);
    sample_free(&set);
    return w.given;
}

/* Bit i: some sample gives input i to the gradient check, and the rule answered. */
static unsigned checked_inputs(const tg_operator *op, const tg_sample *samples, size_t n, unsigned *runs)
{
    watch w = {.op = op};
    for (size_t s = 0; s < n; s++)
        if (sample_wants_gradient(&samples[s])) {
            look(&w);
            row_check(tape, op, &samples[s], 1);
            look(&(watch){0});
            tg_tape_clear_error(tape);
        }
    *runs = w.runs;
    return w.given;
}

/* -- faults --------------------------------------------------------------------------------------------- */

static bool runs_on_reference(const tg_operator *op, const tg_sample *sample)
{
    sample_set set;
    tg_tensor *out[16];
    const uint64_t before = tg_tape_count_runs(tape, op->name, "reference");
    ck_assert_msg(sample_draw(&set, rt, sample, TG_F64, 5, 0), "%s", tg_error_message());
    tg_apply(tape, op, set.in, set.n, sample->attrs, sample->scalars, out);
    tg_tape_clear_error(tape);
    const bool ran = tg_tape_count_runs(tape, op->name, "reference") > before;
    tg_tape_reset(tape);
    sample_free(&set);
    return ran;
}

/* NULL where the row brings all of its proof. */
static const char *fault_of(const tg_operator *op)
{
    size_t n = 0;
    unsigned runs = 0;
    const tg_sample *samples = op->samples ? tg_operator_samples(op, &n) : NULL;
    if (!samples || !n)
        return "it has no samples";
    if (!op->vjp && !(op->flags & TG_OP_NONDIFF))
        return "it has no rule, and is not marked as without a derivative";
    if (op->vjp && op->flags & TG_OP_NONDIFF)
        return "it is marked as without a derivative, and has a rule";
    if (runs_on_reference(op, &samples[0]) == !!(op->flags & TG_OP_VIEW))
        return op->flags & TG_OP_VIEW ? "it is a view, and a kernel runs"
                                      : "no kernel of the reference runs it";
    if (!op->vjp)
        return NULL;
    const unsigned checked = checked_inputs(op, samples, n, &runs);
    if (!runs)
        return "the gradient check never runs its rule";
    unsigned possible = 0;
    for (size_t s = 0; s < n; s++)
        possible |= could_give(op, &samples[s]);
    return possible & ~checked ? "its rule has a part that the gradient check never runs" : NULL;
}

/* -- bad rows: a·b, with something missing -------------------------------------------------------------- */

static tg_status infer_product(const tg_infer *q)
{
    return tg_infer_broadcast(q, q->in[0]->dtype, q->out);
}

static tg_status product_vjp(tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    if (tg_node_needs(node, 0))
        gx[0] = tg_mul(t, gy[0], tg_node_input(node, 1));
    if (tg_node_needs(node, 1))
        gx[1] = tg_mul(t, gy[0], tg_node_input(node, 0));
    return tg_tape_status(t);
}

static tg_status run_product(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    for (int64_t i = 0; i < tg_desc_count(&c->out[0]) && c->out[0].dtype == TG_F64; i++)
        ((double *)r->out[0])[i] = ((const double *)r->in[0])[i] * ((const double *)r->in[1])[i];
    return TG_OK;
}

#define INPUT(...)                                                                                           \
    {                                                                                                        \
        [3], 1 : 2, __VA_ARGS__                                                                              \
    }
#define SAMPLES(name, first, second)                                                                         \
    static const tg_sample name##_table[] = {                                                                \
        {.label = "it", .in = TG_SAMPLE_INPUTS(first, second)}, {0}};                                        \
    static const tg_sample *name(size_t *n)                                                                  \
    {                                                                                                        \
        *n = 1;                                                                                              \
        return name##_table;                                                                                 \
    }
SAMPLES(both, INPUT(), INPUT())
SAMPLES(first_only, INPUT(), INPUT(constant))
SAMPLES(neither, INPUT(constant), INPUT(constant))

static const tg_sample *none(size_t *n)
{
    *n = 0;
    return NULL;
}

#define KERNEL(name_)                                                                                        \
    &(const tg_kernel)                                                                                       \
    {                                                                                                        \
        .struct_size = sizeof(tg_kernel), .version = 1, .op = name_, .run = run_product                      \
    }
#define ROW(name_, ...)                                                                                      \
    {                                                                                                        \
        .struct_size = sizeof(tg_operator), .version = 1, .name = name_, .doc = "a·b", .n_in = 2,            \
        .n_out = 1, .saves = TG_OP_IN(0) | TG_OP_IN(1), .infer = infer_product, __VA_ARGS__                  \
    }
static const struct {
    tg_operator row;
    const char *words; /* NULL: nothing is missing */
} made[] = {
    {ROW("whole", .flags = TG_OP_DENSE, .vjp = product_vjp, .samples = both, .kernel = KERNEL("whole")),
     NULL},
    {ROW("no_samples", .vjp = product_vjp, .samples = none, .kernel = KERNEL("no_samples")), "no samples"},
    {ROW("no_rule", .samples = both, .kernel = KERNEL("no_rule")), "no rule"},
    {ROW("a_rule_too_many", .flags = TG_OP_NONDIFF, .vjp = product_vjp, .samples = both,
         .kernel = KERNEL("a_rule_too_many")),
     "and has a rule"},
    {ROW("no_kernel", .vjp = product_vjp, .samples = both), "no kernel"},
    {ROW("unchecked", .flags = TG_OP_DENSE, .vjp = product_vjp, .samples = neither,
         .kernel = KERNEL("unchecked")),
     "never runs its rule"},
    {ROW("half_checked", .flags = TG_OP_DENSE, .vjp = product_vjp, .samples = first_only,
         .kernel = KERNEL("half_checked")),
     "a part that the gradient check never runs"},
};

static void open_runtime(void)
{
    if (rt)
        return;
    tg_runtime_options options = {
        .struct_size = sizeof options, .backend = "reference", .dtype = TG_F64, .threads = 1};
    if (tg_runtime_open(&rt, &options) != TG_OK) {
        fprintf(stderr, "no runtime: %s\n", tg_error_message());
        exit(1);
    }
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (tg_operator_register(rt, &made[i].row) != TG_OK)
            fprintf(stderr, "refused: %s\n", tg_error_message());
    if (tg_tape_open(&tape, rt) != TG_OK)
        exit(1);
}

START_TEST(bad_rows_are_found)
{
    const char *fault = fault_of(&made[_i].row), *words = made[_i].words;
    if (!words)
        ck_assert_msg(!fault, "%s: %s", made[_i].row.name, fault);
    else
        ck_assert_msg(fault && strstr(fault, words), "%s: expected '%s', got '%s'", made[_i].row.name, words,
                      fault ? fault : "no fault");
}
END_TEST

static bool is_made(const tg_operator *op)
{
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (op == &made[i].row)
            return true;
    return false;
}

START_TEST(registered_rows_are_proven)
{
    const size_t n = tg_operator_list(rt, NULL, 0);
    const tg_operator **rows = calloc(n, sizeof *rows);
    size_t faults = 0;
    tg_operator_list(rt, rows, n);
    for (size_t i = 0; i < n; i++) {
        const char *fault = is_made(rows[i]) ? NULL : fault_of(rows[i]);
        if (fault)
            fprintf(stderr, "%s: %s\n", rows[i]->name, fault);
        faults += fault != NULL;
    }
    free(rows);
    ck_assert_msg(!faults, "%zu of %zu rows are not proven", faults, n);
}
END_TEST

static Suite *suite(void)
{
    open_runtime();
    Suite *s = suite_create("coverage");
    TCase *t = tcase_create("coverage");
    tcase_add_loop_test(t, bad_rows_are_found, 0, (int)(sizeof made / sizeof *made));
    tcase_add_test(t, registered_rows_are_proven);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
