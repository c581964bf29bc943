/* Products with Jacobians and Hessians, the matrices, gradients of each sample; third derivatives. */
#include "autograd/rig.h"

/* y₀ = a·sin(b), y₁ = Σ a²·b over vectors: everything about them is known. */
static const double A[3] = {0.5, -1.2, 2.0}, B[3] = {0.3, 0.9, -0.7}, U[3] = {1.5, -0.5, 0.25}, V[3] = {0.2, 0.4, -1.0};

typedef struct world {
    tg_tensor *x[2], *y[2], *u[2], *v[2];
} world;

static world make(void)
{
    world w = {.x = {leaf(A, TG_DIMS(3)), leaf(B, TG_DIMS(3))}};
    const double two = 2;
    w.y[0] = tg_mul(tape, w.x[0], tg_sin(tape, w.x[1]));
    w.y[1] = tg_sum(tape, tg_mul(tape, tg_square(tape, w.x[0]), w.x[1]));
    w.u[0] = tg_input(tape, TG_F64, TG_DIMS(3), U);
    w.u[1] = tg_input(tape, TG_F64, NULL, 0, &two);
    w.v[0] = tg_input(tape, TG_F64, TG_DIMS(3), V);
    w.v[1] = tg_input(tape, TG_F64, TG_DIMS(3), U);
    return w;
}

START_TEST(vector_jacobian)
{
    world w = make();
    tg_tensor *out[2];
    double want[2][3];
    for (int i = 0; i < 3; i++) {
        want[0][i] = U[i] * sin(B[i]) + 2 * 2 * A[i] * B[i];
        want[1][i] = U[i] * A[i] * cos(B[i]) + 2 * A[i] * A[i];
    }
    ok(tg_vjp(tape, w.y, w.u, 2, w.x, 2, out, TG_RETAIN));
    reads(out[0], want[0], 3);
    reads(out[1], want[1], 3);
    ok(tg_vjp(tape, &w.y[1], NULL, 1, w.x, 2, out, 0)); /* one element: its vector is 1 */
    for (int i = 0; i < 3; i++)
        want[0][i] = 2 * A[i] * B[i];
    reads(out[0], want[0], 3);
}
END_TEST

START_TEST(jacobian_vector)
{
    world w = make();
    tg_tensor *out[2];
    double first[3], second = 0;
    for (int i = 0; i < 3; i++) {
        first[i] = sin(B[i]) * V[i] + A[i] * cos(B[i]) * U[i];
        second += 2 * A[i] * B[i] * V[i] + A[i] * A[i] * U[i];
    }
    size_t nodes = tg_tape_size(tape);
    ok(tg_jvp(tape, w.y, 2, w.x, w.v, 2, out, TG_RETAIN));
    reads(out[0], first, 3);
    reads(out[1], &second, 1);
    ck_assert_uint_eq(nodes, tg_tape_size(tape)); /* of the way there, nothing stays */
    ck_assert(!tg_tensor_requires_grad(out[0]));
    ok(tg_jvp(tape, w.y, 2, w.x, w.v, 2, out, TG_CREATE_GRAPH));
    ck_assert(tg_tensor_requires_grad(out[0]));
    tg_tensor *g = NULL; /* ∂(Σ first)/∂b = cos b·v − a·sin b·u */
    ok(tg_grad(tape, tg_sum(tape, out[0]), NULL, &w.x[1], 1, &g, 0));
    for (int i = 0; i < 3; i++)
        first[i] = cos(B[i]) * V[i] - A[i] * sin(B[i]) * U[i];
    reads(g, first, 3);
    /* what y does not depend on has the derivative zero */
    tg_tensor *z = leaf(A, TG_DIMS(3)), *y = tg_sum(tape, w.x[0]);
    ok(tg_jvp(tape, &y, 1, &z, w.v, 1, out, 0));
    reads(out[0], &(double){0}, 1);
}
END_TEST

START_TEST(hessian_vector)
{
    world w = make();
    tg_tensor *out[2], *h[4], *y = w.y[1];
    double want[2][3];
    for (int i = 0; i < 3; i++) {
        want[0][i] = 2 * B[i] * V[i] + 2 * A[i] * U[i];
        want[1][i] = 2 * A[i] * V[i];
    }
    ok(tg_hvp(tape, y, w.x, w.v, 2, out, TG_RETAIN));
    reads(out[0], want[0], 3);
    reads(out[1], want[1], 3);
    ok(tg_hessian(tape, y, w.x, 2, h, 0));
    double diagonal[4][9] = {{0}};
    for (int i = 0; i < 3; i++) {
        diagonal[0][4 * i] = 2 * B[i];
        diagonal[1][4 * i] = diagonal[2][4 * i] = 2 * A[i];
    }
    for (int k = 0; k < 4; k++) {
        ck_assert_int_eq(tg_tensor_ndim(h[k]), 2);
        reads(h[k], diagonal[k], 9);
    }
    /* of something linear it is zero */
    y = tg_sum(tape, w.x[0]);
    ok(tg_hessian(tape, y, w.x, 1, h, TG_RETAIN));
    reads(h[0], (double[9]){0}, 9);
    ok(tg_hvp(tape, y, w.x, w.v, 1, out, 0));
    reads(out[0], (double[3]){0}, 3);
}
END_TEST

START_TEST(the_whole_jacobian)
{
    world w = make();
    tg_tensor *j[2];
    double want[2][9] = {{0}};
    for (int i = 0; i < 3; i++) {
        want[0][4 * i] = sin(B[i]);
        want[1][4 * i] = A[i] * cos(B[i]);
    }
    ok(tg_jacobian(tape, w.y[0], w.x, 2, j, TG_RETAIN));
    reads(j[0], want[0], 9);
    reads(j[1], want[1], 9);
    /* dims of y, then those of x */
    tg_tensor *x = leaf((double[6]){1, 2, 3, 4, 5, 6}, TG_DIMS(2, 3)), *y = tg_matmul(tape, x, w.x[0]);
    ok(tg_jacobian(tape, y, (tg_tensor *[]){x, w.x[0]}, 2, j, 0));
    ck_assert_int_eq(tg_tensor_ndim(j[0]), 3);
    reads(j[0], (double[12]){A[0], A[1], A[2], 0, 0, 0, 0, 0, 0, A[0], A[1], A[2]}, 12);
    reads(j[1], (double[6]){1, 2, 3, 4, 5, 6}, 6);
    /* a gradient that is the vector itself */
    y = tg_add(tape, w.x[0], w.x[1]);
    ok(tg_jacobian(tape, y, w.x, 2, j, 0));
    reads(j[1], (double[9]){1, 0, 0, 0, 1, 0, 0, 0, 1}, 9);
    /* of one element, and of none */
    y = tg_sum(tape, tg_square(tape, w.x[0]));
    ok(tg_jacobian(tape, y, w.x, 1, j, 0));
    reads(j[0], (double[3]){2 * A[0], 2 * A[1], 2 * A[2]}, 3);
    y = tg_slice(tape, tg_square(tape, w.x[0]), 0, 0, 0, 1);
    ok(tg_jacobian(tape, y, w.x, 1, j, 0));
    ck_assert(tg_tensor_dim(j[0], 0) == 0 && tg_tensor_dim(j[0], 1) == 3);
}
END_TEST

START_TEST(each_sample)
{
    enum { N = 5 };
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, 3, 4), tg_nn_tanh(rt), tg_nn_linear(rt, 4, 2));
    const tg_named_tensors *p = tg_module_parameters(net);
    const int64_t label[N] = {0, 1, 1, 0, 1};
    tg_tensor *x = noise(3, TG_DIMS(N, 3)), *t = tg_input(tape, TG_I64, TG_DIMS(N), label), *all[4], *one[4];
    tg_tensor *losses = tg_cross_entropy_with(tape, tg_forward(tape, net, x), t, NULL, -100, TG_REDUCE_NONE, 0);
    ok(tg_per_sample_grad(tape, losses, p->tensor, p->n, all, 0));
    for (int s = 0; s < N; s++) {
        tg_tensor *xs = tg_slice(tape, x, 0, s, s + 1, 1), *ts = tg_slice(tape, t, 0, s, s + 1, 1);
        ok(tg_grad(tape, tg_cross_entropy(tape, tg_forward(tape, net, xs), ts), NULL, p->tensor, p->n, one, 0));
        for (size_t i = 0; i < p->n; i++) {
            double want[16];
            size_t n = (size_t)tg_tensor_count(one[i]);
            ck_assert_int_eq(tg_tensor_dim(all[i], 0), N);
            ok(tg_tensor_read(one[i], want, n * sizeof *want));
            reads(tg_select(tape, all[i], 0, s), want, n);
        }
    }
    ck_assert_ptr_null(tg_tensor_grad(p->tensor[0]));
    ck_assert_int_eq(tg_per_sample_grad(tape, tg_mean(tape, tg_forward(tape, net, x)), p->tensor, p->n, all, 0),
                     TG_ESHAPE);
    fails_with(TG_ESHAPE, "one number a sample");
    tg_module_destroy(net);
}
END_TEST

START_TEST(errors_name_the_function)
{
    world w = make();
    tg_tensor *out[2], *plain = tg_input(tape, TG_F64, TG_DIMS(3), A);
    size_t nodes = tg_tape_size(tape);
    ck_assert_int_eq(tg_hvp(tape, w.y[0], w.x, w.v, 2, out, 0), TG_ESHAPE);
    fails_with(TG_ESHAPE, "tg_hvp: a value of one element");
    ck_assert_int_eq(tg_hvp(tape, w.y[1], w.x, w.u, 2, out, 0), TG_ESHAPE);
    fails_with(TG_ESHAPE, "tg_hvp: vector 1 must be as its input");
    ck_assert_int_eq(tg_jvp(tape, w.y, 2, w.x, NULL, 2, out, 0), TG_EINVAL);
    fails_with(TG_EINVAL, "tg_jvp: an array of inputs");
    ck_assert_int_eq(tg_jacobian(tape, w.y[0], &plain, 1, out, 0), TG_EINVAL);
    fails_with(TG_EINVAL, "tg_jacobian: input 0 wants no gradient");
    ck_assert_ptr_null(out[0]);
    ck_assert_int_eq(tg_vjp(tape, w.y, NULL, 2, w.x, 2, out, 0), TG_ESHAPE);
    fails_with(TG_ESHAPE, "tg_vjp");
    ck_assert_int_eq(tg_jacobian(NULL, w.y[0], w.x, 1, out, 0), TG_EINVAL);
    tg_tensor *deep = leaf(A, TG_DIMS(1, 1, 1, 1, 1, 1, 3)), *y = tg_mul(tape, deep, tg_reshape(tape, w.x[0], 1, 3));
    nodes += tg_tape_size(tape) - nodes;
    ck_assert_int_eq(tg_jacobian(tape, y, &deep, 1, out, 0), TG_ESHAPE);
    fails_with(TG_ESHAPE, "more than 8 dims");
    ck_assert_uint_eq(nodes, tg_tape_size(tape));
}
END_TEST

/* -- third order ----------------------------------------------------------------------------------------- */

static tg_tensor *derive(tg_tensor *y, tg_tensor *x)
{
    tg_tensor *g = NULL;
    ok(tg_grad(tape, tg_sum(tape, y), NULL, &x, 1, &g, TG_CREATE_GRAPH));
    return g;
}

START_TEST(third_of_sin_and_powers)
{
    tg_tensor *x = leaf(A, TG_DIMS(3));
    double want[3][3], power[4][3];
    for (int i = 0; i < 3; i++) {
        want[0][i] = cos(A[i]), want[1][i] = -sin(A[i]), want[2][i] = -cos(A[i]);
        power[0][i] = 4 * pow(A[i], 3), power[1][i] = 12 * A[i] * A[i], power[2][i] = 24 * A[i], power[3][i] = 24;
    }
    tg_tensor *s = tg_sin(tape, x), *p = tg_pow_scalar(tape, x, 4), *q = tg_square(tape, tg_square(tape, x));
    for (int k = 0; k < 3; k++) {
        s = derive(s, x);
        reads(s, want[k], 3);
    }
    for (int k = 0; k < 4; k++) {
        p = derive(p, x);
        q = derive(q, x);
        reads(p, power[k], 3);
        reads(q, power[k], 3);
    }
}
END_TEST

/* f(x) = Σ c·tanh(W·x + b): ∂³f/∂xᵢ∂xⱼ∂xₖ = Σ c·t‴(u)·Wᵢ·Wⱼ·Wₖ, t‴ = (1 − t²)(6t² − 2). */
START_TEST(third_of_a_network)
{
    enum { IN = 2, HIDDEN = 4 };
    const double X[IN] = {0.4, -0.3}, W[HIDDEN][IN] = {{0.5, -1}, {1.5, 0.25}, {-0.75, 0.6}, {0.1, 0.9}},
                 b[HIDDEN] = {0.1, -0.2, 0.3, 0}, c[HIDDEN] = {1, -2, 0.5, 1.5};
    double want[IN][IN][IN] = {{{0}}};
    for (int h = 0; h < HIDDEN; h++) {
        double t = tanh(W[h][0] * X[0] + W[h][1] * X[1] + b[h]), third = c[h] * (1 - t * t) * (6 * t * t - 2);
        for (int i = 0; i < IN; i++)
            for (int j = 0; j < IN; j++)
                for (int k = 0; k < IN; k++)
                    want[i][j][k] += third * W[h][i] * W[h][j] * W[h][k];
    }
    tg_tensor *x = leaf(X, TG_DIMS(IN)), *hessian, *out;
    tg_tensor *u = tg_linear(tape, x, tg_input(tape, TG_F64, TG_DIMS(HIDDEN, IN), W),
                             tg_input(tape, TG_F64, TG_DIMS(HIDDEN), b));
    tg_tensor *y = tg_sum(tape, tg_mul(tape, tg_tanh(tape, u), tg_input(tape, TG_F64, TG_DIMS(HIDDEN), c)));
    ok(tg_hessian(tape, y, &x, 1, &hessian, TG_CREATE_GRAPH));
    ok(tg_jacobian(tape, hessian, &x, 1, &out, 0));
    ck_assert_int_eq(tg_tensor_ndim(out), 3);
    reads(out, &want[0][0][0], IN * IN * IN);
}
END_TEST

static tg_status everyday(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    (void)arg, (void)n_in, (void)n_out;
    tg_tensor *h = tg_softmax(t, tg_matmul(t, in[0], in[1]), -1);
    h = tg_layer_norm(t, tg_gelu(t, tg_mul(t, h, in[2]), false), 1, NULL, NULL, 1e-3);
    out[0] = tg_sum(t, tg_mul(t, tg_exp(t, h), h));
    return tg_tape_status(t);
}

START_TEST(third_by_differences)
{
    tg_tensor *in[3] = {own(A, TG_DIMS(1, 3)), own((double[6]){.1, .7, -.4, .2, .9, -.3}, TG_DIMS(3, 2)),
                        own(V, TG_DIMS(2))};
    tg_gradcheck_options o = tg_gradcheck_defaults();
    o.order = 3;
    ok(tg_gradcheck(tape, everyday, NULL, in, 3, 1, &o));
    for (int i = 0; i < 3; i++)
        tg_tensor_destroy(in[i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("functional");
    TCase *c = tcase_create("functional");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, vector_jacobian);
    tcase_add_test(c, jacobian_vector);
    tcase_add_test(c, hessian_vector);
    tcase_add_test(c, the_whole_jacobian);
    tcase_add_test(c, each_sample);
    tcase_add_test(c, errors_name_the_function);
    tcase_add_test(c, third_of_sin_and_powers);
    tcase_add_test(c, third_of_a_network);
    tcase_add_test(c, third_by_differences);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
