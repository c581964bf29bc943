/* Layouts and everything around kernels: runs that fail, chains, plans, those who look on, memory, threads.
 */
#include "abi/layout_rig.h"

#include <math.h>
#include <string.h>
#include <threads.h>

#include <tapegrad/op_attrs.h>
#include <tapegrad/operator.h>

enum { MAX_RUNS = 20000 };

/* A forward and backward of loss_of; notes the loss, the gradients and the values on the way. */
static tg_status step(world *w)
{
    tg_tensor *x = values(w, 1), *u = laid(w, 2), *v = tg_mul(w->tape, x, u);
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *loss = loss_of(w, tg_add(w->tape, x, v), u);
    if (tg_backward(w->tape, loss))
        return tg_tape_status(w->tape);
    note(w, loss);
    note(w, tg_tensor_grad(x));
    return tg_tape_status(w->tape);
}

static void steps(world *w)
{
    for (int i = 0; i < 3; i++) {
        tg_tape_reset(w->tape);
        step(w);
    }
}

static void same_notes(const world *a, const world *b)
{
    ck_assert_uint_gt(a->n, 0);
    ck_assert_uint_eq(a->n, b->n);
    for (size_t i = 0; i < a->n; i++)
        ck_assert_msg(fabsf(a->noted[i] - b->noted[i]) <= 1e-5f * (1 + fabsf(a->noted[i])),
                      "note %zu: %g and %g", i, (double)a->noted[i], (double)b->noted[i]);
}

static void same_bits(const world *a, const world *b)
{
    ck_assert_uint_gt(a->n, 0);
    ck_assert_uint_eq(a->n, b->n);
    ck_assert_mem_eq(a->noted, b->noted, a->n * sizeof a->noted[0]);
}

/* -- runs that fail
 * ------------------------------------------------------------------------------------------ */

static void fail_in(const char *op, const char *backend, int good_runs)
{
    toy.failing = op;
    toy.failer = backend;
    toy.good_runs = good_runs;
}

/* The first run of each kernel: the chain's next takes over, with everything row-major. */
START_TEST(fails_at_once)
{
    static const char *const ops[] = {"neg", "mul", "add", "softmax", "reorder"};
    world *plain = world_open("reference");
    steps(plain);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        world *w = world_open("toy,reference");
        fail_in(ops[i], NULL, 0);
        steps(w);
        ck_assert_msg(tg_tape_status(w->tape) == TG_OK, "%s: %s", ops[i], tg_tape_error(w->tape));
        same_notes(plain, w);
        ck_assert_uint_eq(tg_tape_count_runs(w->tape, ops[i], "toy"), 0);
        ck_assert_uint_gt(tg_tape_count_runs(w->tape, ops[i], "reference"), 0);
        ck_assert_int_eq(toy.wrong, 0);
        world_close(w);
    }
    world_close(plain);
}
END_TEST

/* Values with its layout are about: nobody can take over. */
START_TEST(fails_later)
{
    static const char *const ops[] = {"neg", "mul", "add", "softmax"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        world *w = world_open("toy,reference"), *plain = world_open("reference");
        world *const both[] = {plain, w};
        tg_tensor *x[2], *first[2], *y;
        for (int k = 0; k < 2; k++) {
            x[k] = laid(both[k], 1);
            first[k] = !strcmp(ops[i], "neg")       ? tg_neg(both[k]->tape, x[k])
                       : !strcmp(ops[i], "softmax") ? tg_softmax(both[k]->tape, x[k], 1)
                       : !strcmp(ops[i], "add")     ? tg_add(both[k]->tape, x[k], x[k])
                                                    : tg_mul(both[k]->tape, x[k], x[k]);
        }
        fail_in(ops[i], NULL, 1);
        y = !strcmp(ops[i], "neg")       ? tg_neg(w->tape, x[1])
            : !strcmp(ops[i], "softmax") ? tg_softmax(w->tape, x[1], 1)
            : !strcmp(ops[i], "add")     ? tg_add(w->tape, x[1], x[1])
                                         : tg_mul(w->tape, x[1], x[1]);
        ck_assert_ptr_null(y);
        ck_assert_int_eq(tg_tape_status(w->tape), TG_EBACKEND);
        has(tg_tape_error(w->tape), ops[i]);
        has(tg_tape_error(w->tape), "the kernel of backend 'toy' failed: a fuse has blown");
        has(tg_tape_error(w->tape), "test_layout_modes.c:");
        tg_tape_clear_error(w->tape);
        note(plain, x[0]), note(plain, first[0]);
        note(w, x[1]), note(w, first[1]);
        toy.failing = NULL;
        note(plain, tg_neg(plain->tape, first[0]));
        note(w, tg_neg(w->tape, first[1]));
        if (!strcmp(ops[i], "neg"))
            note(w, tg_neg(w->tape, x[1])), note(plain, tg_neg(plain->tape, x[0]));
        same_notes(plain, w);
        world_close(w);
        world_close(plain);
    }
}
END_TEST

/* The way back fails: a clear error each time, the value is as it was, and can be had when it works again. */
START_TEST(the_way_back_fails)
{
    world *w = world_open("toy,reference"), *plain = world_open("reference");
    tg_tensor *x = tg_exp(w->tape, laid(w, 1));
    float data[COUNT];
    fail_in("contiguous", NULL, 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(tg_tensor_read(x, data, sizeof data), TG_EBACKEND);
        has(tg_error_message(), "contiguous");
        has(tg_error_message(), "the kernel of backend 'toy' failed: a fuse has blown");
        ck_assert_ptr_null(tg_sum(w->tape, x));
        has(tg_tape_error(w->tape), "a fuse has blown");
        tg_tape_clear_error(w->tape);
        ck_assert_int_eq(tg_tensor_write(x, data, sizeof data), TG_EBACKEND);
        tg_tape_clear_error(w->tape);
        ck_assert_int_eq(tg_fill(x, 1), TG_EBACKEND);
        tg_tape_clear_error(w->tape);
        ck_assert_ptr_null(tg_detach(w->tape, x));
        tg_tape_clear_error(w->tape);
        ck_assert_ptr_null(tg_carry(w->tape, x));
        tg_tape_clear_error(w->tape);
    }
    toy.failing = NULL;
    tg_tensor *p = tg_exp(plain->tape, laid(plain, 1));
    note(w, x), note(w, tg_sum(w->tape, x)), note(w, tg_detach(w->tape, x));
    note(plain, p), note(plain, tg_sum(plain->tape, p)), note(plain, tg_detach(plain->tape, p));
    same_notes(plain, w);
    world_close(w);
    world_close(plain);
}
END_TEST

/* An in-place kernel's failure is an error, layout or not. */
START_TEST(in_place_fails)
{
    world *w = world_open("toy,reference"), *plain = world_open("reference");
    tg_tensor *x = laid(w, 1);
    fail_in("add_", NULL, 0);
    ck_assert_int_eq(tg_apply(w->tape, tg_operator_find(w->rt, "add_"), (tg_tensor *[]){x, laid(w, 2)}, 2,
                              NULL, NULL, NULL),
                     TG_EBACKEND);
    tg_tape_clear_error(w->tape);
    note(w, x);
    note(plain, laid(plain, 1));
    same_notes(plain, w);
    world_close(w);
    world_close(plain);
}
END_TEST

/* -- chains
 * --------------------------------------------------------------------------------------------------- */

/* The chain's first brings the inputs to row-major and fails; the second, whose layout it was, gets them so,
 * too. */
START_TEST(the_first_of_two_fails)
{
    world *plain = world_open("reference");
    note(plain, tg_softmax(plain->tape, laid(plain, 1), 1));
    for (int good = 0; good < 2; good++) {
        world *w = world_open("blind,toy,reference");
        toy.no_reorder = "blind";
        fail_in("softmax", "blind", good);
        for (int i = 0; i <= good; i++) {
            w->n = 0;
            note(w, tg_softmax(w->tape, laid(w, 1), 1));
            same_notes(plain, w);
        }
        ck_assert_uint_eq(tg_tape_count_runs(w->tape, "softmax", "toy"), 1);
        ck_assert_int_eq(toy.wrong, 0);
        world_close(w);
    }
    world_close(plain);
}
END_TEST

/* A kernel without accept takes everything, but no layout. */
START_TEST(without_accept)
{
    world *w = world_open("blind,reference"), *plain = world_open("reference");
    note(w, tg_softmax(w->tape, laid(w, 1), 1));
    note(plain, tg_softmax(plain->tape, laid(plain, 1), 1));
    ck_assert_uint_eq(tg_tape_count_runs(w->tape, "softmax", "blind"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(w->tape, "contiguous", "blind"), 1);
    same_notes(plain, w);
    world_close(w);
    world_close(plain);
}
END_TEST

/* The one that takes over would hand out a layout, where values with the same descriptor are row-major. */
START_TEST(plain_stays_plain)
{
    world *w = world_open("blind,toy,reference"), *plain = world_open("reference");
    fail_in("softmax", "blind", 1);
    toy.claims = "softmax";
    toy.claimer = "toy";
    tg_tensor *first = tg_softmax(w->tape, values(w, 1), 1), *second = tg_softmax(w->tape, values(w, 2), 1);
    note(w, first), note(w, second), note(w, tg_neg(w->tape, first));
    first = tg_softmax(plain->tape, values(plain, 1), 1),
    second = tg_softmax(plain->tape, values(plain, 2), 1);
    note(plain, first), note(plain, second), note(plain, tg_neg(plain->tape, first));
    same_notes(plain, w);
    ck_assert_uint_eq(tg_tape_count_runs(w->tape, "softmax", "reference"), 1);
    world_close(w);
    world_close(plain);
}
END_TEST

/* Two backends with layouts: each sees its own alone, and brings its own back. */
START_TEST(two_with_layouts)
{
    static const char *const refusers[] = {"toy", "toy2"};
    world *plain = world_open("reference");
    steps(plain);
    for (int i = 0; i < 2; i++) {
        world *w = world_open("toy2,toy,reference");
        toy.no_reorder = refusers[i];
        steps(w);
        ck_assert_msg(tg_tape_status(w->tape) == TG_OK, "%s", tg_tape_error(w->tape));
        ck_assert_int_eq(toy.wrong, 0);
        same_notes(plain, w);
        ck_assert_uint_gt(tg_tape_count_runs(w->tape, "reorder", refusers[!i]), 0);
        world_close(w);
    }
    world_close(plain);
}
END_TEST

/* A layout that cannot come back, or that says it is another backend's, is not taken. */
START_TEST(layouts_that_are_none)
{
    world *plain = world_open("reference");
    steps(plain);
    for (int i = 0; i < 3; i++) {
        world *w = world_open(i ? "toy,reference" : "oneway,reference");
        toy.stranger = i == 1 ? "reference" : NULL;
        toy.claims = i == 2 ? "contiguous" : NULL;
        toy.claimer = "toy";
        if (i < 2) {
            steps(w);
            ck_assert_msg(tg_tape_status(w->tape) == TG_OK, "%s", tg_tape_error(w->tape));
            same_notes(plain, w);
            ck_assert_uint_eq(tg_tape_count_runs(w->tape, "reorder", "reference"), 9);
        } else {
            ck_assert_ptr_null(tg_sum(w->tape, laid(w, 1)));
            has(tg_tape_error(w->tape),
                "contiguous(f32[2, 3, 4] in reversed): no kernel in the chain 'toy,reference'");
        }
        world_close(w);
    }
    world_close(plain);
}
END_TEST

/* Plug-ins that know nothing of layouts run what is pointwise on flat rows, the rest row-major. */
START_TEST(older_plugins)
{
    static const char *const chains[] = {"minor0,toy,reference", "minor1,toy,reference"};
    world *plain = world_open("reference");
    steps(plain);
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        world *w = world_open(chains[i]);
        steps(w);
        ck_assert_msg(tg_tape_status(w->tape) == TG_OK, "%s: %s", chains[i], tg_tape_error(w->tape));
        same_notes(plain, w);
        ck_assert_uint_gt(tg_tape_count_runs(w->tape, "neg", i ? "minor1" : "minor0"), 0);
        ck_assert_uint_eq(tg_tape_count_runs(w->tape, "neg", "toy"), 0);
        tg_tensor *y = tg_neg(w->tape, laid(w, 3)); /* in toy's layout: flat */
        const uint64_t back = tg_tape_count_runs(w->tape, "contiguous", "toy");
        note(plain, tg_neg(plain->tape, laid(plain, 3)));
        note(w, y);
        tg_sum(w->tape, y);
        ck_assert_uint_eq(tg_tape_count_runs(w->tape, "contiguous", "toy"), back + 1); /* it had stayed */
        same_notes(plain, w);
        world_close(w);
        plain->n = 0;
        steps(plain);
    }
    world_close(plain);
}
END_TEST

/* -- plans
 * ---------------------------------------------------------------------------------------------------- */

/* In the plan, tensors have no elements to note. */
static tg_status planned(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                         size_t n_out)
{
    (void)n_in, (void)out, (void)n_out;
    static const float data[COUNT];
    world w = *(world *)arg;
    w.tape = tape;
    tg_tensor *x = in[0], *v, *same;
    tg_tensor_set_requires_grad(x, true);
    v = lay(&w, tg_mul(tape, x, lay(&w, in[1], 1)), 0);
    same = lay(&w, in[1], 0);
    tg_tensor_write(same, data, sizeof data); /* brings it back first */
    tg_fill(lay(&w, in[1], 1), 2);
    tg_detach(tape, lay(&w, in[1], 0));
    tg_tensor *y =
        tg_sum(tape, tg_mul(tape, tg_softmax(tape, tg_permute(tape, v, 1, 0, 2), 0), tg_sum(tape, same)));
    return tg_backward(tape, tg_add(tape, y, loss_of(&w, x, v)));
}

START_TEST(a_plan_is_what_happens)
{
    world *w = world_open("toy,reference");
    tg_desc in[2];
    tg_memory plan, real;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(tg_desc_make(&in[i], TG_F32, TG_DIMS(DIM0, DIM1, DIM2)), TG_OK);
    ck_assert_msg(tg_plan_memory(w->rt, planned, w, in, 2, &plan) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(toy.in_layout, 0);
    tg_tensor *given[2] = {values(w, 1), values(w, 2)};
    ck_assert_msg(planned(w, w->tape, given, 2, NULL, 0) == TG_OK, "%s", tg_tape_error(w->tape));
    real = tg_tape_memory(w->tape);
    ck_assert_int_gt(toy.in_layout, 0);
    ck_assert_uint_eq(plan.peak, real.peak);
    ck_assert_uint_eq(plan.current, real.current);
    for (int k = 0; k < TG_N_MEMORY_KINDS; k++)
        ck_assert_msg(plan.kind_peak[k] == real.kind_peak[k], "kind %d: %zu planned, %zu taken", k,
                      plan.kind_peak[k], real.kind_peak[k]);
    world_close(w);
}
END_TEST

/* -- those who look on
 * ----------------------------------------------------------------------------------------- */

static const char *const counted[] = {"neg",     "mul",        "add", "add_", "softmax",
                                      "reorder", "contiguous", "exp", "relu"};
enum { N_COUNTED = sizeof counted / sizeof *counted };

/* With it and without: the same bits, and the same kernels on the same forms. */
static void changes_nothing(const char *variable, const char *value)
{
    world *w[2];
    uint64_t runs[2][N_COUNTED];
    int in_layout[2];
    for (int i = 0; i < 2; i++) {
        env(variable, i ? value : NULL);
        w[i] = world_open("toy,reference");
        toy.in_layout = 0;
        for (int k = 0; k < 2; k++) {
            tg_tape_reset(w[i]->tape);
            tg_tensor *x = values(w[i], 1), *u = laid(w[i], 2), *g = NULL;
            tg_tensor_set_requires_grad(x, true);
            tg_tensor *loss = loss_of(w[i], x, u);
            ck_assert_msg(tg_grad(w[i]->tape, loss, NULL, &x, 1, &g, 0) == TG_OK, "%s",
                          tg_tape_error(w[i]->tape));
            note(w[i], g);
        }
        in_layout[i] = toy.in_layout;
        for (size_t k = 0; k < N_COUNTED; k++)
            runs[i][k] = tg_tape_count_runs(w[i]->tape, counted[k], "toy");
        env(variable, NULL);
    }
    same_bits(w[0], w[1]);
    ck_assert_int_ge(in_layout[1], in_layout[0]);
    for (size_t k = 0; k < N_COUNTED; k++)
        if (strcmp(counted[k], "contiguous") != 0 && strcmp(counted[k], "reorder") != 0)
            ck_assert_msg(runs[0][k] == runs[1][k], "%s: %llu and %llu", counted[k],
                          (unsigned long long)runs[0][k], (unsigned long long)runs[1][k]);
    world_close(w[0]);
    world_close(w[1]);
}

START_TEST(anomaly_changes_nothing)
{
    changes_nothing("TAPEGRAD_ANOMALY", "1");
}
END_TEST

START_TEST(profile_changes_nothing)
{
    changes_nothing("TAPEGRAD_PROFILE", "profile-layout.json");
    ck_assert_int_eq(remove("profile-layout.json"), 0);
}
END_TEST

START_TEST(verification_changes_nothing)
{
    changes_nothing("TAPEGRAD_VERIFY", "reference");
}
END_TEST

/* Places are those of the row-major tensor. */
START_TEST(anomaly_names_the_place)
{
    world *w = world_open("toy,reference");
    tg_tape_set_anomaly(w->tape, TG_ANOMALY_ALL);
    float a[COUNT] = {0};
    for (int i = 0; i < COUNT; i++)
        a[i] = 1;
    a[1 * DIM1 * DIM2 + 2 * DIM2 + 1] = 1e30f;
    tg_tensor *x = lay(w, tg_input(w->tape, TG_F32, TG_DIMS(DIM0, DIM1, DIM2), a), 0);
    ck_assert_ptr_null(tg_mul(w->tape, x, x));
    has(tg_tape_error(w->tape),
        "anomaly: mul made it: its result f32[2, 3, 4] has 1 inf of 24 values, the first at [1, 2, 1]");
    world_close(w);
}
END_TEST

START_TEST(verification_names_the_layout)
{
    env("TAPEGRAD_VERIFY", "reference");
    toy.lying = "mul";
    world *w = world_open("toy,reference");
    tg_tensor *x = laid(w, 1), *y = laid(w, 2);
    ck_assert_ptr_null(tg_mul(w->tape, x, y));
    char place[60];
    snprintf(place, sizeof place, "(test_layout_modes.c:%d)", __LINE__ - 2);
    ck_assert_int_eq(tg_tape_status(w->tape), TG_EBACKEND);
    has(tg_tape_error(w->tape), "verify: mul(f32[2, 3, 4] in toy's reversed, f32[2, 3, 4] in toy's reversed) "
                                "on backend 'toy' differs from 'reference'");
    has(tg_tape_error(w->tape), "its result 0, f32[2, 3, 4] in toy's reversed, has ");
    has(tg_tape_error(w->tape), " at [1, 2, 3], expected ");
    has(tg_tape_error(w->tape), place);
    tg_tape_clear_error(w->tape);
    toy.lying = "add_";
    tg_tensor *before = tg_clone(w->tape, x);
    ck_assert_int_eq(
        tg_apply(w->tape, tg_operator_find(w->rt, "add_"), (tg_tensor *[]){x, y}, 2, NULL, NULL, NULL),
        TG_EBACKEND);
    has(tg_tape_error(w->tape), "its written input 0, f32[2, 3, 4] in toy's reversed, has ");
    tg_tape_clear_error(w->tape);
    toy.lying = NULL;
    tg_tensor *minus = tg_neg(w->tape, before);
    note(w, tg_add(w->tape, x, minus)); /* it was put back */
    for (size_t i = 0; i < w->n; i++)
        ck_assert_float_eq(w->noted[i], 0);
    tg_tensor *leaf = values(w, 3), *g = NULL;
    tg_tensor_set_requires_grad(leaf, true);
    tg_tensor *loss = tg_exp(w->tape, tg_mul(w->tape, leaf, y));
    toy.lying = "mul"; /* now in a backward */
    ck_assert_int_eq(tg_grad(w->tape, loss, laid(w, 4), &leaf, 1, &g, 0), TG_EBACKEND);
    has(tg_tape_error(w->tape),
        "in toy's reversed, f32[2, 3, 4] in toy's reversed), for the backward of exp");
    world_close(w);
}
END_TEST

START_TEST(the_report_counts)
{
    char line[400], path[] = "report-XXXXXX";
    int fd = mkstemp(path);
    env("TAPEGRAD_REPORT", path);
    world *w = world_open("toy,reference");
    tg_tensor *x = laid(w, 1), *y = tg_neg(w->tape, x);
    note(w, y); /* on the runtime's own tape: counted, too */
    tg_sum(w->tape, y);
    world_close(w);
    env("TAPEGRAD_REPORT", NULL);
    FILE *f = fdopen(fd, "r");
    unsigned long long contiguous = 0, reorder = 0, neg = 99, calls, fallbacks, n;
    while (fgets(line, sizeof line, f)) {
        char op[40];
        double ms;
        if (sscanf(line, "%39s toy %llu %lf %llu %llu", op, &calls, &ms, &fallbacks, &n) != 5)
            continue;
        contiguous += strcmp(op, "contiguous") ? 0 : n;
        reorder += strcmp(op, "reorder") ? 0 : n;
        neg = strcmp(op, "neg") ? neg : n;
    }
    fclose(f);
    remove(path);
    ck_assert_uint_eq(contiguous, 2);
    ck_assert_uint_eq(reorder, 1);
    ck_assert_uint_eq(neg, 0);
}
END_TEST

/* -- memory
 * -------------------------------------------------------------------------------------------------------- */

START_TEST(a_steady_step_allocates_nothing)
{
    counter count = {0};
    tg_allocator a = counter_allocator(&count);
    world *w = calloc(1, sizeof *w);
    w->rt = open_toys("toy,reference", &a);
    w->tape = open_tape(w->rt);
    long calls = 0;
    for (int i = 0; i < 12; i++) {
        tg_tape_reset(w->tape);
        w->n = 0;
        ck_assert_int_eq(step(w), TG_OK);
        if (i < 3)
            calls = atomic_load(&count.calls);
    }
    ck_assert_int_eq(atomic_load(&count.calls), calls);
    ck_assert_int_gt(toy.in_layout, 0);
    tg_tape_close(w->tape);
    tg_runtime_close(w->rt);
    free(w);
    ck_assert_int_eq(atomic_load(&count.live), 0);
}
END_TEST

/* Each allocation of a first step in turn: an error, and the next try has the same bits. */
START_TEST(each_allocation_fails)
{
    static world w, good;
    for (long fail_at = 0, n = 0; n < MAX_RUNS; n++) {
        counter count = {0};
        tg_allocator a = counter_allocator(&count);
        memset(&w, 0, sizeof w);
        w.rt = open_toys("toy,reference", &a);
        w.tape = open_tape(w.rt);
        tg_tensor *x = values(&w, 1), *y = values(&w, 2);
        const tg_reorder_attrs first = {0};
        const tg_operator *reorder = tg_operator_find(w.rt, "reorder");
        tg_tensor_set_requires_grad(x, true);
        count.fail_at = n ? atomic_load(&count.calls) + n : 0;
        tg_status status = TG_OK;
        for (int again = 0; again < 2; again++) {
            tg_tensor *v = NULL, *z = NULL, *g = NULL;
            float data[COUNT], grad[COUNT];
            tg_tape_clear_error(w.tape);
            status = tg_apply(w.tape, reorder, &y, 1, &first, NULL, &v);
            z = status ? NULL : tg_mul(w.tape, tg_mul(w.tape, x, v), v);
            z = z ? tg_add(w.tape, z, tg_softmax(w.tape, tg_exp(w.tape, z), 1)) : NULL;
            status = z ? tg_tensor_read(z, data, sizeof data) : tg_tape_status(w.tape);
            if (!status)
                status = tg_grad(w.tape, tg_sum(w.tape, z), NULL, &x, 1, &g, 0);
            if (!status)
                status = tg_tensor_read(g, grad, sizeof grad);
            tg_tensor *carried = status ? NULL : tg_carry(w.tape, tg_neg(w.tape, v));
            if (!status && !carried)
                status = TG_ENOMEM;
            ck_assert_msg(status == TG_OK || status == TG_ENOMEM, "%ld: %s", n, tg_error_message());
            if (status == TG_OK) {
                for (int i = 0; i < COUNT; i++)
                    note_number(&w, data[i]), note_number(&w, grad[i]);
                note(&w, carried);
                break;
            }
            ck_assert(atomic_load(&count.failed));
            ck_assert_int_eq(again, 0);
        }
        if (n == 0)
            good = w;
        else
            same_bits(&good, &w);
        tg_tape_close(w.tape);
        tg_runtime_close(w.rt);
        ck_assert_int_eq(atomic_load(&count.live), 0);
        ck_assert_int_eq(toy.kept, 0);
        fail_at = n;
        if (n && !atomic_load(&count.failed)) {
            ck_assert_int_gt(fail_at, 30);
            return;
        }
    }
    ck_abort_msg("no end");
}
END_TEST

/* -- threads
 * ----------------------------------------------------------------------------------------------------------
 */

static int worker(void *arg)
{
    world *w = arg;
    for (int i = 0; i < 20 && tg_tape_status(w->tape) == TG_OK; i++) {
        tg_tape_reset(w->tape);
        w->n = 0;
        step(w);
    }
    return (int)tg_tape_status(w->tape);
}

START_TEST(a_tape_for_each_thread)
{
    enum { THREADS = 4 };
    world *first = world_open("toy,reference"), *w[THREADS];
    thrd_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        w[i] = calloc(1, sizeof *w[i]);
        w[i]->rt = first->rt;
        w[i]->tape = open_tape(first->rt);
        tg_tape_set_threads(w[i]->tape, 1);
    }
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(thrd_create(&thread[i], worker, w[i]), thrd_success);
    for (int i = 0; i < THREADS; i++) {
        int status;
        thrd_join(thread[i], &status);
        ck_assert_int_eq(status, TG_OK);
        same_bits(w[0], w[i]);
        tg_tape_close(w[i]->tape);
        if (i)
            free(w[i]);
    }
    step(first);
    same_notes(first, w[0]);
    free(w[0]);
    ck_assert_int_eq(toy.wrong, 0);
    world_close(first);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("layout");
    TCase *t = tcase_create("modes");
    tcase_add_checked_fixture(t, toy_reset, toy_reset);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, fails_at_once);
    tcase_add_test(t, fails_later);
    tcase_add_test(t, the_way_back_fails);
    tcase_add_test(t, in_place_fails);
    tcase_add_test(t, the_first_of_two_fails);
    tcase_add_test(t, without_accept);
    tcase_add_test(t, plain_stays_plain);
    tcase_add_test(t, two_with_layouts);
    tcase_add_test(t, layouts_that_are_none);
    tcase_add_test(t, older_plugins);
    tcase_add_test(t, a_plan_is_what_happens);
    tcase_add_test(t, anomaly_changes_nothing);
    tcase_add_test(t, profile_changes_nothing);
    tcase_add_test(t, verification_changes_nothing);
    tcase_add_test(t, anomaly_names_the_place);
    tcase_add_test(t, verification_names_the_layout);
    tcase_add_test(t, the_report_counts);
    tcase_add_test(t, a_steady_step_allocates_nothing);
    tcase_add_test(t, each_allocation_fails);
    tcase_add_test(t, a_tape_for_each_thread);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
