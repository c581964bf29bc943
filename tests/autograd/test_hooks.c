/* Hooks on gradients and on modules: when, how often, in what order, and what their errors do. */
#include "autograd/rig.h"

#include <tapegrad/operator.h>

static char order[128];

static void note(const char *what)
{
    strncat(order, what, sizeof order - strlen(order) - 1);
}

typedef struct spy {
    const char *name;
    double seen[3], factor; /* factor 0: leaves it */
    int calls, fail;
    tg_tensor *tensor;
    tg_hook hook;
} spy;

static tg_tensor *grad_hook(void *arg, tg_tape *t, tg_tensor *grad)
{
    spy *s = arg;
    s->calls++;
    note(s->name);
    ok(tg_tensor_read(grad, s->seen, sizeof s->seen));
    if (s->fail)
        tg_fail(t, TG_EINVAL, "the hook says no");
    return s->factor != 0 ? tg_mul_scalar(t, grad, s->factor) : NULL;
}

static tg_status post_hook(void *arg, tg_tape *t, tg_tensor *leaf)
{
    spy *s = arg;
    (void)t;
    s->calls++;
    note(s->name);
    ok(tg_tensor_read(tg_tensor_grad(leaf), s->seen, sizeof s->seen));
    if (s->factor != 0)
        tg_tensor_zero_grad(leaf);
    return s->fail ? TG_EINVAL : TG_OK;
}

static const double A[3] = {0.5, -1.2, 2.0}, ONES[3] = {1, 1, 1};

/* h is read by two; its gradient must be complete when the hook sees it, and the leaf's follows from what it gave. */
START_TEST(of_a_tensor_on_the_way)
{
    spy s = {.name = "h", .factor = 10};
    tg_tensor *x = own(A, TG_DIMS(3));
    order[0] = '\0';
    tg_tensor *h = tg_mul_scalar(tape, x, 2);
    tg_hook id = tg_tensor_register_hook(h, grad_hook, &s);
    ck_assert_uint_gt(id, 0);
    tg_tensor *y = tg_sum(tape, tg_add(tape, tg_square(tape, h), tg_mul_scalar(tape, h, 3)));
    ok(tg_backward_with(tape, y, NULL, TG_RETAIN));
    double gh[3], gx[3];
    for (int i = 0; i < 3; i++) {
        gh[i] = 4 * A[i] + 3;
        gx[i] = 20 * gh[i];
    }
    ck_assert_int_eq(s.calls, 1);
    ck_assert_mem_eq(s.seen, gh, sizeof gh);
    reads(tg_tensor_grad(x), gx, 3);
    tg_tensor_zero_grad(x);
    /* asked for: what the hook gave is what the caller gets, also where nothing lies behind it */
    tg_tensor *g[2], *wrt[2] = {h, x};
    ok(tg_grad(tape, y, NULL, wrt, 2, g, TG_RETAIN));
    ck_assert_int_eq(s.calls, 2);
    reads(g[1], gx, 3);
    for (int i = 0; i < 3; i++)
        gh[i] *= 10;
    reads(g[0], gh, 3);
    ok(tg_grad(tape, y, NULL, wrt, 1, g, TG_RETAIN));
    ck_assert_int_eq(s.calls, 3);
    reads(g[0], gh, 3);
    /* removed */
    tg_tensor_remove_hook(h, id);
    ok(tg_backward(tape, y));
    ck_assert_int_eq(s.calls, 3);
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(of_leaves_as_early_as_they_are_complete)
{
    spy early = {.name = "w"}, late = {.name = "x"}, way = {.name = "h"}, post = {.name = "W"}, posted = {.name = "X"};
    tg_tensor *x = own(A, TG_DIMS(3)), *w = own(A, TG_DIMS(3));
    order[0] = '\0';
    ck_assert(tg_tensor_register_hook(w, grad_hook, &early) && tg_tensor_register_hook(x, grad_hook, &late));
    ck_assert(tg_tensor_register_post_accumulate_grad_hook(w, post_hook, &post) &&
              tg_tensor_register_post_accumulate_grad_hook(x, post_hook, &posted));
    tg_tensor *h = tg_sin(tape, x);
    ck_assert(tg_tensor_register_hook(h, grad_hook, &way) != 0);
    tg_tensor *y = tg_sum(tape, tg_mul(tape, tg_mul(tape, h, w), w));
    ok(tg_backward(tape, y));
    ck_assert_msg(!strncmp(order, "whx", 3) && strlen(order) == 5, "%s", order); /* then both leaves, at the end */
    ck_assert(early.calls == 1 && late.calls == 1 && post.calls == 1 && posted.calls == 1);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(early.seen[i], 2 * sin(A[i]) * A[i], 1e-12);
    reads(tg_tensor_grad(w), early.seen, 3);
    /* a second backward adds: the gradient hook sees its own, the other one the sum */
    y = tg_sum(tape, tg_mul(tape, w, x));
    posted.factor = 1; /* consumes */
    ok(tg_backward(tape, y));
    ck_assert_int_eq(early.calls, 2);
    reads(w, early.seen, 3); /* ∂(w·x)/∂w = x = A = w */
    ck_assert_double_eq_tol(post.seen[0], 2 * sin(A[0]) * A[0] + A[0], 1e-12);
    ck_assert_ptr_null(tg_tensor_grad(x));
    /* tg_grad accumulates nothing, and runs the gradient's hooks alone */
    tg_tensor *g;
    order[0] = '\0';
    ok(tg_grad(tape, tg_sum(tape, tg_square(tape, w)), NULL, &w, 1, &g, 0));
    ck_assert_str_eq(order, "w");
    tg_tensor_destroy(x);
    tg_tensor_destroy(w);
}
END_TEST

static tg_status with_parameters(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                                 size_t n_out)
{
    spy *s = arg;
    (void)n_in, (void)n_out;
    tg_tensor *h = tg_mul(t, in[0], s->tensor);
    s[1].hook = tg_tensor_register_hook(h, grad_hook, &s[1]);
    out[0] = tg_mul(t, tg_sin(t, h), s->tensor);
    return tg_tape_status(t);
}

START_TEST(under_a_checkpoint)
{
    spy s[2] = {{.name = "w", .factor = 2}, {.name = "h"}};
    tg_tensor *x = own(A, TG_DIMS(3)), *w = own(A, TG_DIMS(3)), *y;
    s[0].tensor = w;
    order[0] = '\0';
    ck_assert(tg_tensor_register_hook(w, grad_hook, &s[0]) != 0);
    ok(tg_checkpoint(tape, with_parameters, s, &x, 1, &y, 1));
    y = tg_mul(tape, y, w); /* outside, too */
    ok(tg_backward(tape, tg_sum(tape, y)));
    ck_assert_str_eq(order, "hw");
    double want[3];
    for (int i = 0; i < 3; i++) {
        double h = A[i] * A[i];
        want[i] = 2 * (2 * sin(h) * A[i] + A[i] * A[i] * A[i] * cos(h));
    }
    reads(tg_tensor_grad(w), want, 3);
    tg_tensor_destroy(x);
    tg_tensor_destroy(w);
}
END_TEST

START_TEST(recorded_and_in_order)
{
    spy one = {.name = "1", .factor = 3}, two = {.name = "2", .factor = 5};
    tg_tensor *x = leaf(A, TG_DIMS(3)), *g, *gg;
    order[0] = '\0';
    ck_assert(tg_tensor_register_hook(x, grad_hook, &one) && tg_tensor_register_hook(x, grad_hook, &two));
    ok(tg_grad(tape, tg_sum(tape, tg_square(tape, x)), NULL, &x, 1, &g, TG_CREATE_GRAPH));
    ck_assert_str_eq(order, "12");
    double want[3], second[3];
    for (int i = 0; i < 3; i++) {
        want[i] = 15 * 2 * A[i];
        second[i] = 15 * 15 * 2;
    }
    reads(g, want, 3);
    ok(tg_grad(tape, tg_sum(tape, g), NULL, &x, 1, &gg, 0)); /* through the hooks' operators, then hooked again */
    reads(gg, second, 3);
    tg_tape_reset(tape);
    x = leaf(A, TG_DIMS(3)); /* forgotten with the tape */
    ok(tg_grad(tape, tg_sum(tape, x), NULL, &x, 1, &g, 0));
    reads(g, ONES, 3);
    ck_assert_str_eq(order, "1212");
}
END_TEST

static tg_tensor *wrong_shape(void *arg, tg_tape *t, tg_tensor *grad)
{
    (void)arg;
    return tg_sum(t, grad);
}

START_TEST(errors_are_the_sweeps)
{
    spy s = {.name = "x", .fail = 1};
    tg_tensor *x = own(A, TG_DIMS(3)), *w = own(A, TG_DIMS(3));
    tg_tensor *y = tg_sum(tape, tg_mul(tape, tg_sin(tape, x), w));
    tg_hook id = tg_tensor_register_hook(x, grad_hook, &s);
    ck_assert_int_eq(tg_backward_with(tape, y, NULL, TG_RETAIN), TG_EINVAL);
    fails_with(TG_EINVAL, "the hook says no");
    ck_assert(!tg_tensor_grad(x) && !tg_tensor_grad(w));
    tg_tensor_remove_hook(x, id);
    id = tg_tensor_register_hook(w, wrong_shape, NULL);
    ck_assert_int_eq(tg_backward_with(tape, y, NULL, TG_RETAIN), TG_ESHAPE);
    fails_with(TG_ESHAPE, "a gradient's hook returned f64[] for a gradient f64[3]");
    ck_assert(!tg_tensor_grad(x) && !tg_tensor_grad(w));
    tg_tensor_remove_hook(w, id);
    s.calls = 0;
    ck_assert(tg_tensor_register_post_accumulate_grad_hook(w, post_hook, &s) != 0);
    ck_assert_int_eq(tg_backward(tape, y), TG_EINVAL);
    tg_tape_clear_error(tape);
    ck_assert(s.calls == 1 && tg_tensor_grad(x) && tg_tensor_grad(w));
    /* registrations that make no sense */
    tg_tensor *plain = tg_input(tape, TG_F64, TG_DIMS(3), A);
    ck_assert_uint_eq(tg_tensor_register_hook(plain, grad_hook, &s), 0);
    ck_assert(strstr(tg_error_message(), "wants no gradient") != NULL);
    ck_assert_uint_eq(tg_tensor_register_post_accumulate_grad_hook(tg_sin(tape, x), post_hook, &s), 0);
    ck_assert(strstr(tg_error_message(), "is no leaf") != NULL);
    ck_assert_uint_eq(tg_tensor_register_hook(x, NULL, &s), 0);
    ck_assert_uint_eq(tg_tensor_register_hook(NULL, grad_hook, &s), 0);
    tg_tensor_remove_hook(NULL, 1);
    tg_tensor_destroy(x);
    tg_tensor_destroy(w);
}
END_TEST

/* -- modules ---------------------------------------------------------------------------------------------- */

static tg_status pre(void *arg, tg_module *m, tg_tape *t, tg_tensor *in[], size_t n)
{
    spy *s = arg;
    (void)m;
    ck_assert_uint_eq(n, 1);
    note("p");
    s->calls++;
    if (s->factor != 0)
        in[0] = tg_mul_scalar(t, in[0], s->factor);
    return s->fail ? tg_fail(t, TG_EINVAL, "not this way") : TG_OK;
}

static tg_status after(void *arg, tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                       size_t n_out)
{
    spy *s = arg;
    (void)m;
    ck_assert(n_in == 1 && n_out == 1 && in[0]);
    note("f");
    s->calls++;
    if (s->factor != 0)
        out[0] = tg_mul_scalar(t, out[0], s->factor);
    return s->fail ? tg_fail(t, TG_EINVAL, "not this way") : TG_OK;
}

static tg_status back_pre(void *arg, tg_module *m, tg_tape *t, tg_tensor *gy[], size_t n)
{
    spy *s = arg;
    (void)m;
    ck_assert_uint_eq(n, 1);
    note("q");
    s->calls++;
    if (s->factor != 0)
        gy[0] = tg_mul_scalar(t, gy[0], s->factor);
    return TG_OK;
}

static tg_status back(void *arg, tg_module *m, tg_tape *t, tg_tensor *gx[], size_t n_in, tg_tensor *const gy[],
                      size_t n_out)
{
    spy *s = arg;
    (void)m;
    ck_assert(n_in == 1 && n_out == 1);
    note(gx[0] ? "b" : "n");
    s->calls++;
    ok(tg_tensor_read(gy[0], s->seen, sizeof s->seen));
    if (s->factor != 0 && gx[0])
        gx[0] = tg_mul_scalar(t, gx[0], s->factor);
    return s->fail ? tg_fail(t, TG_EINVAL, "not this way") : TG_OK;
}

START_TEST(of_modules)
{
    spy p = {.factor = 2}, f = {.factor = 3}, q = {.factor = 5}, b = {.factor = 7};
    tg_module *net = tg_nn_sequential(rt, tg_nn_tanh(rt), tg_nn_identity(rt)), *m = tg_module_child(net, 0);
    tg_tensor *x = own(A, TG_DIMS(3)), *g;
    order[0] = '\0';
    tg_hook ids[4] = {tg_module_register_forward_pre_hook(m, pre, &p), tg_module_register_forward_hook(m, after, &f),
                      tg_module_register_full_backward_pre_hook(m, back_pre, &q),
                      tg_module_register_full_backward_hook(m, back, &b)};
    tg_tensor *y = tg_forward(tape, net, x);
    double want[3], gx[3];
    for (int i = 0; i < 3; i++) {
        double t = tanh(2 * A[i]);
        want[i] = 3 * t;
        gx[i] = 5 * 3 * (1 - t * t) * 7 * 2;
    }
    reads(y, want, 3);
    ok(tg_backward(tape, tg_sum(tape, y)));
    ck_assert_str_eq(order, "pfqb");
    reads(tg_tensor_grad(x), gx, 3);
    ck_assert_double_eq(b.seen[0], 5); /* the gradient of the output, as the pre-hook left it */
    /* second order goes through them */
    ok(tg_grad(tape, tg_sum(tape, tg_forward(tape, net, x)), NULL, &x, 1, &g, TG_CREATE_GRAPH));
    reads(g, gx, 3);
    ck_assert(tg_tensor_requires_grad(g));
    /* inputs that want no gradient */
    tg_module *linear = tg_nn_linear(rt, 3, 3);
    order[0] = '\0';
    b.factor = 0;
    tg_hook last = tg_module_register_full_backward_hook(linear, back, &b);
    ok(tg_backward(tape, tg_sum(tape, tg_forward(tape, linear, tg_input(tape, TG_F64, TG_DIMS(3), A)))));
    ck_assert_str_eq(order, "n");
    ck_assert_ptr_nonnull(tg_tensor_grad(tg_module_tensor(linear, "weight")));
    tg_module_remove_hook(linear, last);
    /* removed, nothing is left of them */
    for (int i = 0; i < 4; i++)
        tg_module_remove_hook(m, ids[i]);
    order[0] = '\0';
    tg_tape_reset(tape);
    y = tg_forward(tape, net, x);
    ck_assert_uint_eq(tg_tape_size(tape), 1);
    ok(tg_backward(tape, tg_sum(tape, y)));
    ck_assert_str_eq(order, "");
    tg_module_destroy(linear);
    tg_module_destroy(net);
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(errors_of_modules)
{
    spy p = {.fail = 1}, b = {.fail = 1};
    tg_module *net = tg_nn_sequential(rt, tg_nn_dropout(rt, 0.5)), *m = tg_module_child(net, 0);
    tg_tensor *x = own(A, TG_DIMS(3));
    tg_random_state before = tg_tape_random_state(tape);
    tg_hook id = tg_module_register_forward_hook(m, after, &p);
    ck_assert_ptr_null(tg_forward(tape, net, x));
    fails_with(TG_EINVAL, "0 (Dropout): not this way");
    ck_assert_uint_eq(before.draw, tg_tape_random_state(tape).draw);
    ck_assert_uint_eq(tg_tape_size(tape), 0);
    tg_module_remove_hook(m, id);
    ck_assert(tg_module_register_full_backward_hook(m, back, &b) != 0);
    tg_tensor *y = tg_forward(tape, net, x);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, y)), TG_EINVAL);
    fails_with(TG_EINVAL, "not this way");
    ck_assert_ptr_null(tg_tensor_grad(x));
    ck_assert_uint_eq(tg_module_register_forward_hook(NULL, after, &p), 0);
    ck_assert_uint_eq(tg_module_register_forward_pre_hook(m, NULL, &p), 0);
    tg_tape_reset(tape);
    tg_module_destroy(net);
    tg_tensor_destroy(x);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("hooks");
    TCase *c = tcase_create("hooks");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, of_a_tensor_on_the_way);
    tcase_add_test(c, of_leaves_as_early_as_they_are_complete);
    tcase_add_test(c, under_a_checkpoint);
    tcase_add_test(c, recorded_and_in_order);
    tcase_add_test(c, errors_are_the_sweeps);
    tcase_add_test(c, of_modules);
    tcase_add_test(c, errors_of_modules);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
