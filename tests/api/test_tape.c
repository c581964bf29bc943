/* The tape: what is recorded, what a backward gives, and what is refused. */
#include "support/check_main.h"

#include <math.h>
#include <string.h>
#include <threads.h>

#include <tapegrad/operator.h>
#include <tapegrad/tapegrad.h>

static tg_runtime *rt;
static tg_tape *tape;

static void setup(void)
{
    tg_runtime_options options = {.struct_size = sizeof options, .dtype = TG_F64};
    ck_assert_msg(tg_runtime_open(&rt, &options) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
}

static void teardown(void)
{
    tg_tape_close(tape);
    tg_runtime_close(rt);
}

static tg_tensor *leaf(double value)
{
    tg_tensor *t = NULL;
    ck_assert_int_eq(tg_tensor_create(&t, rt, TG_F64, NULL, 0), TG_OK);
    ck_assert_int_eq(tg_fill(t, value), TG_OK);
    ck_assert_int_eq(tg_tensor_set_requires_grad(t, true), TG_OK);
    return t;
}

static tg_tensor *vector(const double *value, int64_t n)
{
    tg_tensor *t = NULL;
    ck_assert_int_eq(tg_tensor_create(&t, rt, TG_F64, &n, 1), TG_OK);
    ck_assert_int_eq(tg_tensor_write(t, value, (size_t)n * sizeof *value), TG_OK);
    ck_assert_int_eq(tg_tensor_set_requires_grad(t, true), TG_OK);
    return t;
}

static double item(const tg_tensor *t)
{
    double x = (double)NAN;
    ck_assert_msg(tg_item(t, &x) == TG_OK, "%s", tg_error_message());
    return x;
}

static void has_gradient(const tg_tensor *t, double want)
{
    ck_assert_ptr_nonnull(tg_tensor_grad(t));
    ck_assert_double_eq_tol(item(tg_tensor_grad(t)), want, 1e-12);
}

static void fails_with(tg_status want, const char *word)
{
    ck_assert_msg(tg_tape_status(tape) == want, "%s: %s", tg_status_name(tg_tape_status(tape)),
                  tg_tape_error(tape));
    ck_assert_msg(!word || strstr(tg_tape_error(tape), word), "%s", tg_tape_error(tape));
    tg_tape_clear_error(tape);
}

/* -- gradients ------------------------------------------------------------------------------------------ */

START_TEST(gradients_reach_the_leaves)
{
    tg_tensor *x = leaf(3.0), *y = leaf(-2.0);
    tg_tensor *loss = tg_add(tape, tg_mul(tape, x, y), tg_square(tape, x));
    ck_assert_ptr_null(tg_tensor_grad(x));
    ck_assert_int_eq(tg_backward(tape, loss), TG_OK);
    has_gradient(x, -2.0 + 6.0);
    has_gradient(y, 3.0);
    ck_assert(!tg_tensor_requires_grad(tg_tensor_grad(x)));
    tg_tensor_zero_grad(x);
    ck_assert_ptr_null(tg_tensor_grad(x)); /* absent, not zero */
    tg_tensor_destroy(x);
    tg_tensor_destroy(y);
}
END_TEST

START_TEST(several_backwards_add_up)
{
    tg_tensor *x = leaf(2.0);
    for (int i = 1; i <= 3; i++) {
        ck_assert_int_eq(tg_backward(tape, tg_square(tape, x)), TG_OK);
        has_gradient(x, 4.0 * i);
        if (i == 2)
            tg_tape_reset(tape); /* a leaf's gradient outlives the step */
    }
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(more_than_one_use)
{
    tg_tensor *x = leaf(1.5);
    tg_tensor *a = tg_exp(tape, x);
    tg_tensor *y = tg_add(tape, tg_mul(tape, a, a), tg_mul(tape, a, x)); /* e^2x + x·e^x */
    tg_tensor *z = tg_add(tape, y, y);
    ck_assert_int_eq(tg_backward(tape, z), TG_OK);
    double e = exp(1.5);
    has_gradient(x, 2.0 * (2.0 * e * e + e + 1.5 * e));
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(a_leaf_of_the_tape)
{
    double v = 5.0;
    tg_tensor *x = tg_input(tape, TG_F64, NULL, 0, &v);
    ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
    ck_assert(tg_tensor_is_leaf(x));
    tg_tensor *y = tg_mul_scalar(tape, x, 3.0);
    ck_assert(!tg_tensor_is_leaf(y));
    ck_assert_int_eq(tg_backward(tape, y), TG_OK);
    has_gradient(x, 3.0);
    ck_assert_int_eq(tg_tensor_set_requires_grad(y, true), TG_ESTATE); /* only a leaf can be told */
    tg_tape_clear_error(tape);
}
END_TEST

START_TEST(a_leaf_by_itself)
{
    tg_tensor *x = leaf(5.0), *g = NULL;
    ck_assert_int_eq(tg_grad(tape, x, NULL, &x, 1, &g, 0), TG_OK);
    ck_assert_double_eq(item(g), 1.0);
    ck_assert_int_eq(tg_backward(tape, x), TG_OK);
    has_gradient(x, 1.0);
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(broadcast_sums_back)
{
    double a[3] = {1, 2, 3}, g[3];
    tg_tensor *x = vector(a, 3), *s = leaf(2.0);
    double grid[6] = {1, 1, 1, 1, 1, 1};
    tg_tensor *m = tg_input(tape, TG_F64, (int64_t[]){2, 3}, 2, grid);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_mul(tape, tg_add(tape, m, x), s))), TG_OK);
    ck_assert_int_eq(tg_tensor_read(tg_tensor_grad(x), g, sizeof g), TG_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq(g[i], 4.0);
    has_gradient(s, 6.0 + 12.0);
    tg_tensor_destroy(x);
    tg_tensor_destroy(s);
}
END_TEST

/* -- keeping and releasing ------------------------------------------------------------------------------ */

START_TEST(twice_without_retain)
{
    tg_tensor *x = leaf(2.0), *y = tg_exp(tape, x);
    ck_assert_int_eq(tg_backward(tape, y), TG_OK);
    ck_assert_int_eq(tg_backward(tape, y), TG_ESTATE);
    fails_with(TG_ESTATE, "TG_RETAIN");
    has_gradient(x, exp(2.0)); /* the failed one changed nothing */
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(twice_with_retain)
{
    tg_tensor *x = leaf(2.0), *y = tg_exp(tape, x);
    ck_assert_int_eq(tg_backward_with(tape, y, NULL, TG_RETAIN), TG_OK);
    ck_assert_int_eq(tg_backward_with(tape, y, NULL, TG_RETAIN), TG_OK);
    ck_assert_int_eq(tg_backward(tape, y), TG_OK);
    has_gradient(x, 3.0 * exp(2.0));
    tg_tensor_destroy(x);
}
END_TEST

/* Two losses over one trunk: the first must retain. */
START_TEST(two_heads)
{
    tg_tensor *x = leaf(0.5), *trunk = tg_tanh(tape, x);
    tg_tensor *a = tg_square(tape, trunk), *b = tg_exp(tape, trunk);
    ck_assert_int_eq(tg_backward_with(tape, a, NULL, TG_RETAIN), TG_OK);
    ck_assert_int_eq(tg_backward(tape, b), TG_OK);
    double t = tanh(0.5), d = 1.0 - t * t;
    has_gradient(x, 2.0 * t * d + exp(t) * d);
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(not_a_scalar)
{
    double a[2] = {1, 2}, w[2] = {10, 100}, g[2];
    tg_tensor *x = vector(a, 2), *y = tg_square(tape, x);
    ck_assert_int_eq(tg_backward(tape, y), TG_ESHAPE);
    fails_with(TG_ESHAPE, NULL);
    ck_assert_ptr_null(tg_tensor_grad(x));
    tg_tensor *gy = tg_input(tape, TG_F64, (int64_t[]){2}, 1, w),
              *wrong = tg_input(tape, TG_F64, (int64_t[]){3}, 1, NULL);
    ck_assert_int_eq(tg_backward_with(tape, y, wrong, TG_RETAIN), TG_ESHAPE);
    fails_with(TG_ESHAPE, NULL);
    ck_assert_int_eq(tg_backward_with(tape, y, gy, 0), TG_OK);
    ck_assert_int_eq(tg_tensor_read(tg_tensor_grad(x), g, sizeof g), TG_OK);
    ck_assert_double_eq(g[0], 20.0);
    ck_assert_double_eq(g[1], 400.0);
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(nothing_to_differentiate)
{
    double v = 1.0;
    tg_tensor *x = tg_input(tape, TG_F64, NULL, 0, &v);
    ck_assert_int_ne(tg_backward(tape, tg_exp(tape, x)), TG_OK);
    fails_with(TG_EINVAL, NULL);
    ck_assert_int_ne(tg_backward(tape, NULL), TG_OK);
    fails_with(TG_EINVAL, NULL);
}
END_TEST

/* -- tg_grad -------------------------------------------------------------------------------------------- */

START_TEST(grad_to_the_third_order)
{
    tg_tensor *x = leaf(0.7), *y = tg_exp(tape, tg_sin(tape, x)), *g[3] = {NULL};
    ck_assert_int_eq(tg_grad(tape, y, NULL, &x, 1, &g[0], TG_CREATE_GRAPH), TG_OK);
    ck_assert_int_eq(tg_grad(tape, g[0], NULL, &x, 1, &g[1], TG_CREATE_GRAPH), TG_OK);
    ck_assert_int_eq(tg_grad(tape, g[1], NULL, &x, 1, &g[2], 0), TG_OK);
    double s = sin(0.7), c = cos(0.7), e = exp(s);
    ck_assert_double_eq_tol(item(g[0]), e * c, 1e-12);
    ck_assert_double_eq_tol(item(g[1]), e * (c * c - s), 1e-12);
    ck_assert_double_eq_tol(item(g[2]), e * (c * c * c - 3.0 * s * c - c), 1e-12);
    ck_assert_ptr_null(tg_tensor_grad(x)); /* the leaf's own stays absent */
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(grad_of_a_value_in_between)
{
    tg_tensor *x = leaf(3.0), *a = tg_square(tape, x), *y = tg_mul(tape, a, a), *g[2] = {NULL};
    ck_assert_int_eq(tg_grad(tape, y, NULL, (tg_tensor *[]){a, x}, 2, g, 0), TG_OK);
    ck_assert_double_eq(item(g[0]), 18.0);
    ck_assert_double_eq(item(g[1]), 108.0);
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(grad_of_what_is_not_used)
{
    tg_tensor *x = leaf(3.0), *z = leaf(1.0), *y = tg_square(tape, x), *g[2] = {NULL};
    ck_assert_int_ne(tg_grad(tape, y, NULL, (tg_tensor *[]){x, z}, 2, g, TG_RETAIN), TG_OK);
    fails_with(TG_EINVAL, "TG_ALLOW_UNUSED");
    ck_assert_int_eq(tg_grad(tape, y, NULL, (tg_tensor *[]){x, z}, 2, g, TG_ALLOW_UNUSED), TG_OK);
    ck_assert_double_eq(item(g[0]), 6.0);
    ck_assert_ptr_null(g[1]);
    tg_tensor_destroy(x);
    tg_tensor_destroy(z);
}
END_TEST

/* A gradient penalty: the gradient's norm is part of the loss. */
START_TEST(backward_through_a_gradient)
{
    tg_tensor *w = leaf(2.0), *x = leaf(3.0), *g = NULL;
    tg_tensor *y = tg_mul(tape, tg_square(tape, w), x);
    ck_assert_int_eq(tg_grad(tape, y, NULL, &x, 1, &g, TG_CREATE_GRAPH), TG_OK); /* w² */
    ck_assert_int_eq(tg_backward(tape, tg_square(tape, g)), TG_OK);              /* w⁴ */
    has_gradient(w, 32.0);
    ck_assert_ptr_null(tg_tensor_grad(x));
    tg_tensor_destroy(w);
    tg_tensor_destroy(x);
}
END_TEST

/* -- recording ------------------------------------------------------------------------------------------ */

START_TEST(detach_and_no_grad)
{
    tg_tensor *x = leaf(3.0), *y = tg_square(tape, x), *d = tg_detach(tape, y);
    ck_assert(tg_tensor_requires_grad(y));
    ck_assert(!tg_tensor_requires_grad(d));
    ck_assert_double_eq(item(d), 9.0);
    ck_assert_int_eq(tg_backward(tape, tg_mul(tape, d, x)), TG_OK);
    has_gradient(x, 9.0);
    size_t before = tg_tape_size(tape);
    ck_assert(tg_tape_set_recording(tape, false));
    ck_assert(!tg_tape_recording(tape));
    tg_tensor *quiet = tg_exp(tape, x);
    ck_assert(!tg_tensor_requires_grad(quiet));
    ck_assert_uint_eq(tg_tape_size(tape), before);
    ck_assert(!tg_tape_set_recording(tape, true));
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(frozen_leaves_get_nothing)
{
    tg_tensor *x = leaf(3.0), *w = leaf(2.0);
    tg_tensor_set_requires_grad(w, false);
    ck_assert_int_eq(tg_backward(tape, tg_mul(tape, x, w)), TG_OK);
    has_gradient(x, 2.0);
    ck_assert_ptr_null(tg_tensor_grad(w));
    tg_tensor_destroy(x);
    tg_tensor_destroy(w);
}
END_TEST

/* A value that a rule reads was written since: both places are named. */
START_TEST(writes_are_noticed)
{
    double other = 7.0;
    tg_tensor *x = leaf(3.0), *w = leaf(2.0);
    int recorded = __LINE__ + 1;
    tg_tensor *y = tg_mul(tape, x, w);
    int written = __LINE__ + 1;
    ck_assert_int_eq(tg_tensor_write(w, &other, sizeof other), TG_OK);
    ck_assert_int_eq(tg_backward(tape, y), TG_ESTATE);
    char place[2][64];
    snprintf(place[0], sizeof place[0], "test_tape.c:%d", recorded);
    snprintf(place[1], sizeof place[1], "test_tape.c:%d", written);
    ck_assert_msg(strstr(tg_tape_error(tape), place[0]) && strstr(tg_tape_error(tape), place[1]), "%s",
                  tg_tape_error(tape));
    ck_assert_ptr_null(tg_tensor_grad(x));
    tg_tape_clear_error(tape);
    y = tg_add(tape, x, w); /* addition reads neither */
    ck_assert_int_eq(tg_tensor_write(w, &other, sizeof other), TG_OK);
    ck_assert_int_eq(tg_backward(tape, y), TG_OK);
    tg_tensor_destroy(x);
    tg_tensor_destroy(w);
}
END_TEST

/* -- handles -------------------------------------------------------------------------------------------- */

START_TEST(stale_after_a_reset)
{
    double v = 1.0;
    tg_tensor *x = tg_input(tape, TG_F64, NULL, 0, &v), *y = tg_exp(tape, x);
    tg_tape_reset(tape);
    ck_assert(!tg_tensor_is_alive(x));
    ck_assert_int_eq(tg_item(y, &v), TG_ESTALE);
    ck_assert_ptr_null(tg_exp(tape, x));
    fails_with(TG_ESTALE, "exp");
    tg_tensor *fresh = tg_input(tape, TG_F64, NULL, 0, &v); /* the same slot, another generation */
    ck_assert_ptr_ne(fresh, x);
    ck_assert(!tg_tensor_is_alive(x));
    ck_assert_int_eq(tg_backward(tape, y), TG_ESTALE);
    fails_with(TG_ESTALE, NULL);
}
END_TEST

START_TEST(stale_after_destroy_and_discard)
{
    tg_tensor *x = leaf(1.0), *y = tg_neg(tape, x); /* which no rule reads */
    tg_discard(y);
    ck_assert_ptr_null(tg_neg(tape, y));
    fails_with(TG_ESTALE, NULL);
    tg_tensor_destroy(x);
    tg_tensor_destroy(x); /* again: nothing */
    tg_tensor_destroy(NULL);
    ck_assert_ptr_null(tg_neg(tape, x));
    fails_with(TG_ESTALE, NULL);
    ck_assert_int_eq(tg_tensor_print(x, stderr), TG_ESTALE);
    ck_assert_msg(strstr(tg_error_message(), "tg_tensor_print: the tensor is stale: its tape was reset"), "%s",
                  tg_error_message());
    ck_assert_int_eq(tg_tensor_ndim(x), 0);
    ck_assert_ptr_null(tg_tensor_runtime(x));
}
END_TEST

/* What a discarded value's consumers still need is kept for them. */
START_TEST(discard_keeps_what_backward_needs)
{
    tg_tensor *x = leaf(1.0), *y = tg_exp(tape, x), *z = tg_mul(tape, y, y);
    tg_discard(y);
    ck_assert_int_eq(tg_backward(tape, z), TG_OK);
    has_gradient(x, 2.0 * exp(2.0));
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(two_tapes_and_two_runtimes)
{
    tg_runtime *other_rt = NULL;
    tg_tape *other = NULL, *sibling = NULL;
    tg_runtime_options options = {.struct_size = sizeof options, .backend = "reference"};
    ck_assert_int_eq(tg_runtime_open(&other_rt, &options), TG_OK);
    ck_assert_int_eq(tg_tape_open(&other, other_rt), TG_OK);
    ck_assert_int_eq(tg_tape_open(&sibling, rt), TG_OK);
    tg_tensor *x = leaf(1.0), *here = tg_exp(tape, x);
    ck_assert_ptr_null(tg_exp(other, x));
    ck_assert_msg(tg_tape_status(other) == TG_EINVAL && strstr(tg_tape_error(other), "runtime"), "%s",
                  tg_tape_error(other));
    ck_assert_ptr_null(tg_exp(sibling, here));
    ck_assert_msg(tg_tape_status(sibling) == TG_EINVAL && strstr(tg_tape_error(sibling), "tape"), "%s",
                  tg_tape_error(sibling));
    ck_assert_int_eq(tg_tape_status(tape), TG_OK); /* the error is the other tape's */
    tg_tape_clear_error(sibling);
    ck_assert_ptr_nonnull(tg_exp(sibling, x)); /* one's own tensors serve all tapes of their runtime */
    tg_tensor_destroy(x);
    tg_tape_close(sibling);
    tg_tape_close(other);
    tg_runtime_close(other_rt);
}
END_TEST

typedef struct foreign {
    tg_tensor *theirs;
    tg_status status;
} foreign;

static int in_another_thread(void *arg)
{
    foreign *f = arg;
    tg_tape *own = NULL;
    f->status = tg_tape_open(&own, rt);
    if (!f->status && !tg_exp(own, f->theirs))
        f->status = tg_tape_status(own);
    tg_tape_close(own);
    return 0;
}

START_TEST(a_tensor_of_another_threads_tape)
{
    foreign f = {.theirs = tg_scalar(tape, TG_F64, 1.0)};
    thrd_t thread;
    ck_assert_int_eq(thrd_create(&thread, in_another_thread, &f), thrd_success);
    thrd_join(thread, NULL);
    ck_assert_int_eq(f.status, TG_EINVAL);
}
END_TEST

/* -- the sticky error ----------------------------------------------------------------------------------- */

START_TEST(the_first_error_sticks)
{
    tg_tensor *a = tg_input(tape, TG_F64, (int64_t[]){2, 3}, 2, NULL);
    tg_tensor *b = tg_input(tape, TG_F64, (int64_t[]){4, 5}, 2, NULL);
    int line = __LINE__ + 1;
    tg_tensor *bad = tg_matmul(tape, a, b);
    ck_assert_ptr_null(bad);
    char place[64];
    snprintf(place, sizeof place, "test_tape.c:%d", line);
    const char *error = tg_tape_error(tape);
    ck_assert_msg(strstr(error, place) && strstr(error, "matmul") && strstr(error, "[2, 3]") &&
                      strstr(error, "[4, 5]"),
                  "%s", error);
    ck_assert_ptr_null(tg_exp(tape, bad)); /* passes through */
    ck_assert_ptr_null(tg_exp(tape, a));   /* nothing runs while the error stands */
    ck_assert_int_ne(tg_backward(tape, a), TG_OK);
    ck_assert_msg(strstr(tg_tape_error(tape), place), "%s", tg_tape_error(tape));
    tg_tape_reset(tape);
    ck_assert_int_eq(tg_tape_status(tape), TG_ESHAPE); /* a reset keeps it */
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_tape_status(tape), TG_OK);
    ck_assert_str_eq(tg_tape_error(tape), "");
}
END_TEST

/* -- inspection ----------------------------------------------------------------------------------------- */

START_TEST(a_tape_can_be_printed)
{
    tg_tensor *x = leaf(1.0);
    tg_mul(tape, tg_exp(tape, x), x);
    ck_assert_uint_eq(tg_tape_size(tape), 2);
    char text[2000] = "";
    FILE *f = fmemopen(text, sizeof text, "w");
    tg_tape_print(tape, f);
    fclose(f);
    ck_assert_msg(strstr(text, "exp") && strstr(text, "mul") && strstr(text, "test_tape.c"), "%s", text);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "exp", NULL), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "exp", "blis"), 0);
    tg_tensor_destroy(x);
}
END_TEST

static void count_applied(void *arg, tg_tape *t, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                          tg_tensor *const out[], size_t n_out, const tg_node *rule_of)
{
    (void)t, (void)op, (void)in, (void)n_in, (void)out, (void)n_out;
    int *counts = arg;
    counts[rule_of ? 1 : 0]++;
}

static void count_rules(void *arg, tg_tape *t, const tg_node *node)
{
    (void)t, (void)node;
    ((int *)arg)[2]++;
}

START_TEST(an_observer_sees_everything)
{
    int counts[3] = {0};
    tg_tensor *x = leaf(1.0);
    tg_tape_observe(tape, &(tg_observer){.applied = count_applied, .rule = count_rules, .arg = counts});
    tg_tensor *y = tg_mul(tape, tg_exp(tape, x), x);
    ck_assert_int_eq(counts[0], 2);
    tg_backward(tape, y);
    ck_assert_int_ge(counts[1], 3);
    ck_assert_int_eq(counts[2], 2);
    tg_tape_observe(tape, NULL);
    int before = counts[0];
    tg_exp(tape, x);
    ck_assert_int_eq(counts[0], before);
    tg_tensor_destroy(x);
}
END_TEST

/* -- size ----------------------------------------------------------------------------------------------- */

/* x + 1 + 1 + …: no recursion anywhere, and a million nodes in a few seconds at the most. */
START_TEST(a_million_operators)
{
    enum { N = 1000000 };
    tg_tensor *x = leaf(0.0), *y = x;
    double start = tg_seconds();
    for (int i = 0; i < N && y; i++) {
        tg_tensor *next = tg_add_scalar(tape, y, 1.0);
        y = next;
    }
    ck_assert_msg(tg_tape_status(tape) == TG_OK, "%s", tg_tape_error(tape));
    double middle = tg_seconds();
    ck_assert_double_eq(item(y), N);
    ck_assert_msg(tg_backward(tape, y) == TG_OK, "%s", tg_tape_error(tape));
    double end = tg_seconds();
    has_gradient(x, 1.0);
    fprintf(stderr, "a million operators: forward %.0f ms, backward %.0f ms\n", 1e3 * (middle - start),
            1e3 * (end - middle));
    tg_tensor_destroy(x);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tape");
    const struct {
        const char *name;
        const TTest *tests[10];
    } cases[] = {
        {"gradients",
         {gradients_reach_the_leaves, several_backwards_add_up, more_than_one_use, a_leaf_of_the_tape,
          a_leaf_by_itself, broadcast_sums_back}},
        {"retain",
         {twice_without_retain, twice_with_retain, two_heads, not_a_scalar, nothing_to_differentiate}},
        {"grad",
         {grad_to_the_third_order, grad_of_a_value_in_between, grad_of_what_is_not_used,
          backward_through_a_gradient}},
        {"recording", {detach_and_no_grad, frozen_leaves_get_nothing, writes_are_noticed}},
        {"handles",
         {stale_after_a_reset, stale_after_destroy_and_discard, discard_keeps_what_backward_needs,
          two_tapes_and_two_runtimes, a_tensor_of_another_threads_tape}},
        {"errors", {the_first_error_sticks}},
        {"looking", {a_tape_can_be_printed, an_observer_sees_everything}},
        {"size", {a_million_operators}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TCase *c = tcase_create(cases[i].name);
        tcase_add_checked_fixture(c, setup, teardown);
        for (int t = 0; t < 10 && cases[i].tests[t]; t++)
            tcase_add_test(c, cases[i].tests[t]);
        suite_add_tcase(s, c);
    }
    return s;
}

TG_TEST_MAIN(suite)
