/* The BLIS backend as a program sees it: values, gradients, what it leaves to the reference, threads. */
#include "abi/rig.h"

#include <math.h>
#include <string.h>

static tg_runtime *reference, *blis;

static void open_two(void)
{
    fresh_env();
    env("TAPEGRAD_BACKEND_PATH", BLIS_DIR);
    env("TAPEGRAD_FALLBACK", "error"); /* or a comparison would prove nothing */
    if (HAVE_BLIS) {
        reference = open_chain("reference");
        blis = open_chain("blis,reference");
    }
}

static void close_two(void)
{
    tg_runtime_close(reference);
    tg_runtime_close(blis);
    reference = blis = NULL;
    fresh_env();
}

/* -- one computation on both ----------------------------------------------------------------------------- */

enum { ROWS, TURNED, GAPS, REPEATED, N_LAYOUTS };

/* An [m, n] view of the layout over numbers that depend on `seed`. */
static tg_tensor *operand(tg_tape *tape, tg_dtype dtype, int layout, int64_t m, int64_t n, unsigned seed)
{
    static double data[1 << 16];
    int64_t dims[3] = {m, n, 0}, count = m * n;
    if (layout == TURNED)
        dims[0] = n, dims[1] = m;
    if (layout == GAPS)
        dims[0] = 2 * m, dims[1] = 3 * n, count *= 6;
    if (layout == REPEATED)
        dims[0] = 1, count = n;
    ck_assert_int_le(count, (int)(sizeof data / sizeof *data));
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        double v = (double)(seed >> 8) / (1 << 23) - 1;
        if (dtype == TG_F64)
            data[i] = v;
        else
            ((float *)(void *)data)[i] = (float)v;
    }
    tg_tensor *x = tg_input(tape, dtype, dims, 2, data);
    tg_tensor_set_requires_grad(x, true);
    switch (layout) {
    case TURNED: return tg_transpose(tape, x, 0, 1);
    case GAPS: return tg_slice(tape, tg_slice(tape, x, 0, 0, 2 * m, 2), 1, 1, 3 * n, 3);
    case REPEATED: return tg_expand(tape, x, m, n);
    default: return x;
    }
}

typedef struct task {
    tg_dtype dtype;
    int la, lb;
    int64_t m, k, n;
    bool linear, bias;
} task;

static double results[2][3][1 << 16];

/* y, and the gradients of Σ y² to both operands, into results[which]; returns how often BLIS ran a product.
 */
static uint64_t work(const task *t, int which)
{
    tg_tape *tape = open_tape(which ? blis : reference);
    tg_tensor *a = operand(tape, t->dtype, t->la, t->m, t->k, 1);
    tg_tensor *b = t->linear ? operand(tape, t->dtype, t->lb, t->n, t->k, 2)
                             : operand(tape, t->dtype, t->lb, t->k, t->n, 2);
    tg_tensor *bias = t->bias ? tg_select(tape, operand(tape, t->dtype, ROWS, 1, t->n, 3), 0, 0) : NULL;
    tg_tensor *y = t->linear ? tg_linear(tape, a, b, bias) : tg_matmul(tape, a, b);
    tg_tensor *wrt[] = {a, b}, *out[3] = {y};
    tg_grad(tape, tg_sum(tape, tg_square(tape, y)), NULL, wrt, 2, &out[1], 0);
    ck_assert_msg(tg_tape_status(tape) == TG_OK, "%s", tg_tape_error(tape));
    for (int i = 0; i < 3; i++) {
        size_t bytes = (size_t)tg_tensor_count(out[i]) * tg_dtype_size(t->dtype);
        ck_assert_uint_le(bytes, sizeof results[0][0]);
        ck_assert_int_eq(tg_tensor_read(out[i], results[which][i], bytes), TG_OK);
        if (t->dtype == TG_F32)
            for (int64_t e = tg_tensor_count(out[i]); e-- > 0;)
                results[which][i][e] = (double)((float *)(void *)results[which][i])[e];
    }
    uint64_t ran = tg_tape_count_runs(tape, "matmul", "blis") + tg_tape_count_runs(tape, "linear", "blis");
    tg_tape_close(tape);
    return ran;
}

static void compare(const task *t)
{
    ck_assert_uint_eq(work(t, 0), 0);
    /* forward, and a gradient for each operand, where these are not too small */
    ck_assert_uint_ge(work(t, 1), t->m > 4 && t->n > 4 ? 3 : 1);
    int64_t n[3] = {t->m * t->n, t->m * t->k, t->k * t->n};
    for (int i = 0; i < 3; i++) {
        double worst = 0, scale = 0;
        for (int64_t e = 0; e < n[i]; e++) {
            worst = fmax(worst, fabs(results[0][i][e] - results[1][i][e]));
            scale = fmax(scale, fabs(results[0][i][e]));
        }
        ck_assert_msg(worst <= scale * (t->dtype == TG_F64 ? 1e-13 : 1e-5),
                      "%s [%lld, %lld]·%lld layouts %d %d: result %d differs by %g of %g",
                      t->linear ? "linear" : "matmul", (long long)t->m, (long long)t->k, (long long)t->n,
                      t->la, t->lb, i, worst, scale);
    }
}

START_TEST(both_give_the_same)
{
    if (!HAVE_BLIS)
        TG_SKIP("built without BLIS");
    static const int64_t shapes[][3] = {{90, 100, 104}, {101, 99, 97}, {1, 90, 80}, {80, 90, 1}, {90, 85, 4}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int la = 0; la < N_LAYOUTS; la++)
            for (int lb = 0; lb < N_LAYOUTS; lb++) {
                task t = {.dtype = _i % 2 ? TG_F64 : TG_F32,
                          .la = la,
                          .lb = lb,
                          .m = shapes[s][0],
                          .k = shapes[s][1],
                          .n = shapes[s][2],
                          .linear = _i / 2 > 0,
                          .bias = _i / 2 == 2};
                compare(&t);
            }
}
END_TEST

/* -- convolutions ---------------------------------------------------------------------------------------- */

typedef struct window {
    int64_t n, c, h, w, o, kernel, stride, padding, dilation, groups;
} window;

/* y and the gradients of Σ y² by x and the weights; returns how many of the three kernels BLIS ran. */
static uint64_t convolve(const window *v, tg_dtype dtype, int which)
{
    tg_tape *tape = open_tape(which ? blis : reference);
    tg_tensor *x =
        tg_reshape(tape, operand(tape, dtype, ROWS, v->n * v->c, v->h * v->w, 4), v->n, v->c, v->h, v->w);
    tg_tensor *k =
        tg_reshape(tape, operand(tape, dtype, ROWS, v->o, v->c / v->groups * v->kernel * v->kernel, 5), v->o,
                   v->c / v->groups, v->kernel, v->kernel);
    tg_tensor *bias = tg_select(tape, operand(tape, dtype, ROWS, 1, v->o, 6), 0, 0);
    const int64_t s[] = {v->stride, v->stride}, p[] = {v->padding, v->padding},
                  d[] = {v->dilation, v->dilation};
    tg_tensor *wrt[] = {x, k}, *out[3] = {tg_conv2d(tape, x, k, bias, s, p, d, v->groups)};
    tg_grad(tape, tg_sum(tape, tg_square(tape, out[0])), NULL, wrt, 2, &out[1], 0);
    ck_assert_msg(tg_tape_status(tape) == TG_OK, "%s", tg_tape_error(tape));
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_le((size_t)tg_tensor_count(out[i]), sizeof results[0][0] / sizeof results[0][0][0]);
        ck_assert_int_eq(
            tg_tensor_read(out[i], results[which][i], (size_t)tg_tensor_count(out[i]) * tg_dtype_size(dtype)),
            TG_OK);
        if (dtype == TG_F32)
            for (int64_t e = tg_tensor_count(out[i]); e-- > 0;)
                results[which][i][e] = (double)((float *)(void *)results[which][i])[e];
        for (int64_t e = tg_tensor_count(out[i]);
             e < (int64_t)(sizeof results[0][0] / sizeof results[0][0][0]); e++)
            results[which][i][e] = 0;
    }
    uint64_t ran = tg_tape_count_runs(tape, "convolution", "blis") +
                   tg_tape_count_runs(tape, "convolution_backward_data", "blis") +
                   tg_tape_count_runs(tape, "convolution_backward_weights", "blis");
    tg_tape_close(tape);
    return ran;
}

START_TEST(convolutions_give_the_same)
{
    if (!HAVE_BLIS)
        TG_SKIP("built without BLIS");
    static const struct {
        window v;
        uint64_t on_blis;
    } cases[] = {
        {{8, 3, 17, 15, 24, 5, 1, 2, 1, 1}, 3}, /* few channels: products are spread */
        {{8, 3, 31, 29, 24, 5, 2, 1, 2, 1}, 3},
        {{4, 64, 13, 11, 64, 1, 1, 0, 1, 1}, 3}, /* an image is a line */
        {{4, 64, 13, 11, 70, 1, 2, 0, 1, 1}, 3},
        {{19, 48, 3, 2, 50, 3, 1, 1, 1, 1}, 3}, /* tiles of several images, cut within one */
        {{7, 40, 9, 11, 44, 3, 2, 1, 1, 1}, 3}, /* places of four classes */
        {{3, 40, 12, 13, 44, 3, 3, 2, 2, 1}, 3},
        {{4, 96, 12, 12, 32, 3, 1, 1, 1, 2}, 3}, /* groups */
        {{2, 1, 20, 20, 8, 3, 1, 1, 1, 1}, 0},   /* the reference is faster */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const tg_dtype dtype = _i ? TG_F64 : TG_F32;
        ck_assert_uint_eq(convolve(&cases[i].v, dtype, 0), 0);
        const uint64_t ran = convolve(&cases[i].v, dtype, 1);
        ck_assert_msg(ran == cases[i].on_blis || (_i && ran > 0), "case %d: %d kernels ran on BLIS", (int)i,
                      (int)ran);
        for (int r = 0; r < 3; r++) {
            double worst = 0, scale = 0;
            for (size_t e = 0; e < sizeof results[0][0] / sizeof results[0][0][0]; e++) {
                worst = fmax(worst, fabs(results[0][r][e] - results[1][r][e]));
                scale = fmax(scale, fabs(results[0][r][e]));
            }
            ck_assert_msg(scale > 0 && worst <= scale * (_i ? 1e-13 : 1e-5),
                          "case %d result %d differs by %g of %g", (int)i, r, worst, scale);
        }
    }
}
END_TEST

/* -- what it leaves -------------------------------------------------------------------------------------- */

START_TEST(tiny_products_are_left_to_the_reference)
{
    if (!HAVE_BLIS)
        TG_SKIP("built without BLIS");
    tg_runtime *alone = open_chain("blis"); /* the reference is implied: declining is no fallback */
    tg_tape *tape = open_tape(alone);
    float x[6] = {1, 2, 3, 4, 5, 6}, y[4];
    tg_tensor *a = tg_input(tape, TG_F32, (int64_t[]){2, 3}, 2, x),
              *b = tg_input(tape, TG_F32, (int64_t[]){3, 2}, 2, x);
    tg_tensor *c = tg_matmul(tape, a, b);
    ck_assert_msg(c != NULL, "%s", tg_tape_error(tape));
    ck_assert_int_eq(tg_tensor_read(c, y, sizeof y), TG_OK);
    ck_assert(y[0] == 22 && y[1] == 28 && y[2] == 49 && y[3] == 64);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "matmul", "reference"), 1);
    /* nothing to sum gives zeros, nothing to fill nothing */
    c = tg_matmul(tape, tg_input(tape, TG_F32, (int64_t[]){2, 0}, 2, NULL),
                  tg_input(tape, TG_F32, (int64_t[]){0, 2}, 2, NULL));
    ck_assert_int_eq(tg_tensor_read(c, y, sizeof y), TG_OK);
    ck_assert(y[0] == 0 && y[3] == 0);
    c = tg_matmul(tape, tg_input(tape, TG_F32, (int64_t[]){0, 3}, 2, NULL), b);
    ck_assert_int_eq(tg_tensor_count(c), 0);
    /* what BLIS has no kernel for is one, and this is the user's own chain */
    ck_assert_ptr_null(tg_exp(tape, a));
    ck_assert_int_eq(tg_tape_status(tape), TG_ENOKERNEL);
    tg_tape_close(tape);
    tg_runtime_close(alone);
}
END_TEST

START_TEST(batches_run_on_blis)
{
    if (!HAVE_BLIS)
        TG_SKIP("built without BLIS");
    enum { B = 5, N = 70 };
    static float x[B * N * N], y[2][B * N * N];
    for (int i = 0; i < B * N * N; i++)
        x[i] = (float)(i * 37 % 64) / 32 - 1;
    for (int which = 0; which < 2; which++) {
        tg_tape *tape = open_tape(which ? blis : reference);
        tg_tensor *a = tg_input(tape, TG_F32, (int64_t[]){B, N, N}, 3, x);
        tg_tensor *b = tg_transpose(tape, tg_narrow(tape, a, 0, 2, 1), 1, 2); /* one for all */
        tg_tensor *c = tg_matmul(tape, a, b);
        ck_assert_msg(c != NULL, "%s", tg_tape_error(tape));
        ck_assert_int_eq(tg_tensor_read(c, y[which], sizeof y[which]), TG_OK);
        ck_assert_uint_eq(tg_tape_count_runs(tape, "matmul", "blis"), (uint64_t)which);
        tg_tape_close(tape);
    }
    for (int i = 0; i < B * N * N; i++)
        if (fabsf(y[0][i] - y[1][i]) > 1e-4f)
            ck_abort_msg("element %d: %g and %g", i, (double)y[0][i], (double)y[1][i]);
}
END_TEST

START_TEST(its_facts_are_listed)
{
    if (!HAVE_BLIS)
        TG_SKIP("built without BLIS");
    env("TAPEGRAD_NUM_THREADS", "2");
    tg_runtime *rt = open_chain("blis");
    tg_backend_info b = info_of(rt, "blis");
    ck_assert(b.loaded && b.in_chain);
    ck_assert_int_eq(strncmp(b.library, "BLIS ", 5), 0);
    ck_assert_uint_gt(strlen(b.kernels), 2);
    ck_assert_str_ne(b.kernels, "generic"); /* on the machines that run this: AVX2 or newer */
    ck_assert_int_eq(b.threads, 2);
    ck_assert_uint_eq(b.n_kernels, 8); /* products, convolutions, attention */
    tg_runtime_close(rt);
}
END_TEST

START_TEST(the_users_variable_is_left_as_it_was)
{
    if (!HAVE_BLIS)
        TG_SKIP("built without BLIS");
    env("BLIS_ARCH_TYPE", "zen3");
    tg_runtime *rt = open_chain("blis");
    ck_assert_str_eq(getenv("BLIS_ARCH_TYPE"), "zen3");
    tg_runtime_close(rt);
}
END_TEST

/* The same on one thread and on several, run after run. */
START_TEST(threads_do_not_change_the_bits)
{
    if (!HAVE_BLIS)
        TG_SKIP("built without BLIS");
    enum { N = 200 };
    static float x[N * N], first[N * N], y[N * N];
    for (int i = 0; i < N * N; i++)
        x[i] = (float)(i * 37 % 64) / 7 - 1;
    for (int threads = 1; threads < 5; threads++) {
        tg_tape *tape = open_tape(blis);
        ck_assert_int_eq(tg_tape_set_threads(tape, threads), TG_OK);
        for (int run = 0; run < 2; run++) {
            tg_tensor *a = tg_input(tape, TG_F32, (int64_t[]){N, N}, 2, x);
            ck_assert_int_eq(
                tg_tensor_read(tg_matmul(tape, a, a), threads == 1 && !run ? first : y, sizeof y), TG_OK);
            if (threads > 1 || run)
                ck_assert_mem_eq(first, y, sizeof y);
        }
        tg_tape_close(tape);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("blis");
    TCase *t = tcase_create("blis");
    tcase_add_checked_fixture(t, open_two, close_two);
    tcase_add_loop_test(t, both_give_the_same, 0, 6);
    tcase_add_test(t, tiny_products_are_left_to_the_reference);
    tcase_add_loop_test(t, convolutions_give_the_same, 0, 2);
    tcase_add_test(t, batches_run_on_blis);
    tcase_add_test(t, its_facts_are_listed);
    tcase_add_test(t, the_users_variable_is_left_as_it_was);
    tcase_add_test(t, threads_do_not_change_the_bits);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
