/* The oneDNN backend as a program sees it: what really ran on it, against the reference in f64; what it
 * leaves. */
#include "abi/rig.h"

#include <tapegrad/op_attrs.h>
#include <tapegrad/operator.h>

#include <math.h>
#include <omp.h>
#include <string.h>

static tg_runtime *reference, *onednn;

static void open_two(void)
{
    fresh_env();
    env("TAPEGRAD_FALLBACK", "error"); /* or a comparison would prove nothing */
    if (HAVE_ONEDNN) {
        reference = open_chain("reference");
        onednn = open_chain("onednn,reference");
    }
}

static void close_two(void)
{
    tg_runtime_close(reference);
    tg_runtime_close(onednn);
    reference = onednn = NULL;
    fresh_env();
}

#define NEEDS_ONEDNN                                                                                         \
    do {                                                                                                     \
        if (!HAVE_ONEDNN)                                                                                    \
            TG_SKIP("built without oneDNN");                                                                 \
    } while (0)

/* -- one computation on both
 * ------------------------------------------------------------------------------------- */

enum { LARGEST = 1 << 19, MOST = 4 };
static double results[2][MOST][LARGEST];
static int64_t counts[MOST];

/* Numbers in −1 … 1 that are the same in both dtypes. */
static tg_tensor *numbers(tg_tape *tape, tg_dtype dtype, const int64_t *dims, size_t ndim, unsigned seed)
{
    int64_t n = 1;
    for (size_t i = 0; i < ndim; i++)
        n *= dims[i];
    double *data = malloc((size_t)n * sizeof *data);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        float v = (float)(seed >> 8) / (1 << 23) - 1;
        if (dtype == TG_F64)
            data[i] = (double)v;
        else
            ((float *)(void *)data)[i] = v;
    }
    tg_tensor *x = tg_input(tape, dtype, dims, ndim, data);
    free(data);
    tg_tensor_set_requires_grad(x, true);
    return x;
}

#define NUMBERS(tape, dtype, seed, ...)                                                                      \
    numbers(tape, dtype, (const int64_t[]){__VA_ARGS__},                                                     \
            sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), seed)

/* The result in wrt[0]'s graph of a task, whose gradients to `wrt` are compared, too. */
typedef tg_tensor *task(tg_tape *tape, tg_dtype dtype, int option, tg_tensor *wrt[MOST - 1]);

static void keep(int which, int slot, const tg_tensor *t, tg_dtype dtype)
{
    double *to = results[which][slot];
    int64_t n = counts[slot] = tg_tensor_count(t);
    ck_assert_int_le(n, LARGEST);
    ck_assert_int_eq(tg_tensor_read(t, to, (size_t)n * tg_dtype_size(dtype)), TG_OK);
    if (dtype == TG_F32)
        for (int64_t e = n; e-- > 0;)
            to[e] = (double)((float *)(void *)to)[e];
}

static int work(tg_tape *tape, tg_dtype dtype, task *t, int option, int which)
{
    tg_tensor *wrt[MOST] = {NULL}, *grad[MOST] = {NULL};
    tg_tensor *y = t(tape, dtype, option, wrt);
    int n = 0;
    while (wrt[n])
        n++;
    tg_grad(tape, tg_sum(tape, tg_mul(tape, y, tg_square(tape, y))), NULL, wrt, (size_t)n, grad, 0);
    ck_assert_msg(tg_tape_status(tape) == TG_OK, "%s", tg_tape_error(tape));
    keep(which, 0, y, dtype);
    for (int i = 0; i < n; i++)
        keep(which, i + 1, grad[i], dtype);
    return n + 1;
}

/* Runs a task on the reference in f64 and on oneDNN, where each of the listed operators must have run. */
static void compare(const char *what, task *t, int option, const char *const *ran, double tolerance)
{
    tg_tape *a = open_tape(reference), *b = open_tape(onednn);
    int n = work(a, TG_F64, t, option, 0);
    for (int threads = 1; threads <= 2; threads++) {
        ck_assert_int_eq(tg_tape_set_threads(b, threads), TG_OK);
        work(b, TG_F32, t, option, 1);
        for (int i = 0; i < n; i++) {
            double worst = 0, scale = 1e-30;
            for (int64_t e = 0; e < counts[i]; e++) {
                worst = fmax(worst, fabs(results[0][i][e] - results[1][i][e]));
                scale = fmax(scale, fabs(results[0][i][e]));
                ck_assert(!isnan(results[1][i][e]));
            }
            ck_assert_msg(worst <= scale * tolerance,
                          "%s, option %d, %d threads: result %d differs by %g of %g", what, option, threads,
                          i, worst, scale);
        }
    }
    for (; *ran; ran++)
        ck_assert_msg(tg_tape_count_runs(b, *ran, "onednn") > 0, "%s: %s did not run on oneDNN", what, *ran);
    tg_tape_close(a);
    tg_tape_close(b);
}

#define RAN(...) ((const char *const[]){__VA_ARGS__, NULL})

/* -- products
 * ---------------------------------------------------------------------------------------------------- */

/* Bit 0: a is transposed, 1: b, 2: both are parts of larger ones. */
static tg_tensor *product(tg_tape *tape, tg_dtype dtype, int option, tg_tensor *wrt[])
{
    int gap = option & 4 ? 3 : 0;
    wrt[0] = option & 1 ? NUMBERS(tape, dtype, 1, 70 + gap, 60 + gap)
                        : NUMBERS(tape, dtype, 1, 60 + gap, 70 + gap);
    wrt[1] = option & 2 ? NUMBERS(tape, dtype, 2, 80 + gap, 70 + gap)
                        : NUMBERS(tape, dtype, 2, 70 + gap, 80 + gap);
    tg_tensor *a = option & 1 ? tg_transpose(tape, wrt[0], 0, 1) : wrt[0];
    tg_tensor *b = option & 2 ? tg_transpose(tape, wrt[1], 0, 1) : wrt[1];
    a = tg_narrow(tape, tg_narrow(tape, a, 0, gap, 60), 1, 0, 70);
    b = tg_narrow(tape, tg_narrow(tape, b, 0, 0, 70), 1, gap, 80);
    return tg_matmul(tape, a, b);
}

START_TEST(products)
{
    NEEDS_ONEDNN;
    compare("matmul", product, _i, RAN("matmul"), 2e-5);
}
END_TEST

/* 0: one b for all; 1: one each; 2: b transposed, of heads; 3: batch dims that broadcast against each other.
 */
static tg_tensor *batch(tg_tape *tape, tg_dtype dtype, int option, tg_tensor *wrt[])
{
    switch (option) {
    case 0:
        wrt[0] = NUMBERS(tape, dtype, 1, 3, 2, 40, 50);
        wrt[1] = NUMBERS(tape, dtype, 2, 50, 60);
        break;
    case 1:
        wrt[0] = NUMBERS(tape, dtype, 1, 6, 40, 50);
        wrt[1] = NUMBERS(tape, dtype, 2, 6, 50, 60);
        break;
    case 2:
        wrt[0] = NUMBERS(tape, dtype, 1, 2, 40, 4, 32);
        wrt[1] = NUMBERS(tape, dtype, 2, 2, 50, 4, 32);
        return tg_matmul(tape, tg_permute(tape, wrt[0], 0, 2, 1, 3), tg_permute(tape, wrt[1], 0, 2, 3, 1));
    default:
        wrt[0] = NUMBERS(tape, dtype, 1, 3, 1, 40, 50);
        wrt[1] = NUMBERS(tape, dtype, 2, 1, 2, 50, 60);
        break;
    }
    return tg_matmul(tape, wrt[0], wrt[1]);
}

START_TEST(batches)
{
    NEEDS_ONEDNN;
    compare("a batch of products", batch, _i, RAN("matmul"), 2e-5);
}
END_TEST

static tg_tensor *dense_layer(tg_tape *tape, tg_dtype dtype, int option, tg_tensor *wrt[])
{
    wrt[0] = NUMBERS(tape, dtype, 1, 64, 100);
    wrt[1] = NUMBERS(tape, dtype, 2, 48, 100);
    wrt[2] = option ? NUMBERS(tape, dtype, 3, 48) : NULL;
    return tg_linear(tape, wrt[0], wrt[1], wrt[2]);
}

START_TEST(linear)
{
    NEEDS_ONEDNN;
    compare("linear", dense_layer, _i, RAN("linear", "matmul"), 2e-5);
}
END_TEST

/* -- convolutions
 * ------------------------------------------------------------------------------------------------- */

/* Also strides that leave a rest, groups, one spatial dim and three, channels that are no whole block. */
static tg_tensor *convolution(tg_tape *tape, tg_dtype dtype, int option, tg_tensor *wrt[])
{
    const int64_t two[] = {2, 2, 2}, one[] = {1, 1, 1};
    wrt[2] = option == 6 ? NULL : NUMBERS(tape, dtype, 3, option == 1 || option == 5 ? 6 : 20);
    switch (option) {
    case 0: /* no whole block of channels */
        wrt[0] = NUMBERS(tape, dtype, 1, 3, 5, 13, 11);
        wrt[1] = NUMBERS(tape, dtype, 2, 20, 5, 3, 3);
        return tg_conv2d(tape, wrt[0], wrt[1], wrt[2], one, one, NULL, 1);
    case 1: /* groups; the last row is in no window */
        wrt[0] = NUMBERS(tape, dtype, 1, 3, 4, 12, 11);
        wrt[1] = NUMBERS(tape, dtype, 2, 6, 2, 3, 3);
        return tg_conv2d(tape, wrt[0], wrt[1], wrt[2], two, NULL, NULL, 2);
    case 2: /* dilation */
        wrt[0] = NUMBERS(tape, dtype, 1, 2, 16, 12, 12);
        wrt[1] = NUMBERS(tape, dtype, 2, 20, 16, 3, 2);
        return tg_conv2d(tape, wrt[0], wrt[1], wrt[2], NULL, two, two, 1);
    case 3:
        wrt[0] = NUMBERS(tape, dtype, 1, 4, 7, 50);
        wrt[1] = NUMBERS(tape, dtype, 2, 20, 7, 5);
        return tg_conv1d(tape, wrt[0], wrt[1], wrt[2], two, two, NULL, 1);
    case 4:
        wrt[0] = NUMBERS(tape, dtype, 1, 2, 5, 6, 7, 8);
        wrt[1] = NUMBERS(tape, dtype, 2, 20, 5, 3, 2, 3);
        return tg_conv3d(tape, wrt[0], wrt[1], wrt[2], one, one, NULL, 1);
    case 5:
        wrt[0] = NUMBERS(tape, dtype, 1, 2, 8, 7, 7);
        wrt[1] = NUMBERS(tape, dtype, 2, 8, 3, 3, 3);
        return tg_conv_transpose2d(tape, wrt[0], wrt[1], wrt[2], two, one, one, 2, NULL);
    default: /* depthwise */
        wrt[0] = NUMBERS(tape, dtype, 1, 2, 32, 9, 9);
        wrt[1] = NUMBERS(tape, dtype, 2, 32, 1, 3, 3);
        return tg_conv2d(tape, wrt[0], wrt[1], NULL, NULL, one, NULL, 32);
    }
}

START_TEST(convolutions)
{
    NEEDS_ONEDNN;
    compare("convolution", convolution, _i,
            RAN("convolution", "convolution_backward_data", "convolution_backward_weights"), 2e-5);
}
END_TEST

/* -- softmax, layer_norm
 * ----------------------------------------------------------------------------------------- */

static tg_tensor *along(tg_tape *tape, tg_dtype dtype, int option, tg_tensor *wrt[])
{
    wrt[0] = NUMBERS(tape, dtype, 1, 3, 20, 200);
    tg_tensor *x = tg_mul_scalar(tape, wrt[0], 5);
    return tg_softmax(tape, x, option);
}

START_TEST(softmax)
{
    NEEDS_ONEDNN;
    compare("softmax", along, 2, RAN("softmax", "softmax_backward"), 2e-5);
    compare("softmax", along, -1, RAN("softmax", "softmax_backward"), 2e-5);
}
END_TEST

static tg_tensor *log_along(tg_tape *tape, tg_dtype dtype, int option, tg_tensor *wrt[])
{
    wrt[0] = NUMBERS(tape, dtype, 1, 3, 20, 300);
    return tg_log_softmax(tape, tg_mul_scalar(tape, wrt[0], 5), option);
}

START_TEST(log_softmax)
{
    NEEDS_ONEDNN;
    compare("log_softmax", log_along, 2, RAN("log_softmax", "log_softmax_backward"), 2e-5);
}
END_TEST

/* softmax, then log_softmax; and their gradients. */
START_TEST(softmax_keeps_nan)
{
    NEEDS_ONEDNN;
    enum { N = 4000 };
    static float x[5 * N], y[5 * N], g[5 * N];
    x[3] = NAN;
    x[N + 5] = INFINITY;
    x[2 * N + 7] = -INFINITY;
    for (int i = 3 * N; i < 4 * N; i++)
        x[i] = -INFINITY;
    tg_tape *tape = open_tape(onednn);
    tg_tensor *in = tg_input(tape, TG_F32, (int64_t[]){5, N}, 2, x), *grad = NULL;
    tg_tensor_set_requires_grad(in, true);
    tg_tensor *out = _i ? tg_log_softmax(tape, in, 1) : tg_softmax(tape, in, 1);
    tg_tensor *ones = tg_add_scalar(tape, tg_zeros_like(tape, in), 1);
    ck_assert_int_eq(tg_tensor_read(out, y, sizeof y), TG_OK);
    ck_assert_int_eq(tg_grad(tape, out, ones, &in, 1, &grad, 0), TG_OK);
    ck_assert_int_eq(tg_tensor_read(grad, g, sizeof g), TG_OK);
    ck_assert_uint_eq(tg_tape_count_runs(tape, _i ? "log_softmax" : "softmax", "onednn"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, _i ? "log_softmax_backward" : "softmax_backward", "onednn"), 1);
    for (int i = 0; i < 5 * N; i++) {
        ck_assert_int_eq(isnan(y[i]) != 0, i < 2 * N || (i >= 3 * N && i < 4 * N));
        ck_assert_int_eq(isnan(g[i]) != 0, i < 2 * N || (i >= 3 * N && i < 4 * N));
    }
    ck_assert(y[2 * N + 7] == (_i ? -INFINITY : 0));
    ck_assert_float_eq_tol(y[2 * N + 8], _i ? -logf(N - 1) : 1.0f / (N - 1), _i ? 1e-5f : 1e-7f);
    tg_tape_close(tape);
}
END_TEST

static tg_tensor *normalized(tg_tape *tape, tg_dtype dtype, int option, tg_tensor *wrt[])
{
    wrt[0] = NUMBERS(tape, dtype, 1, 12, 14, 8, 9);
    wrt[1] = option ? NUMBERS(tape, dtype, 2, 8, 9) : NUMBERS(tape, dtype, 2, 9);
    wrt[2] = option ? NUMBERS(tape, dtype, 3, 8, 9) : NUMBERS(tape, dtype, 3, 9);
    return tg_layer_norm(tape, wrt[0], option ? 2 : 1, wrt[1], wrt[2], 1e-3);
}

START_TEST(layer_norm)
{
    NEEDS_ONEDNN;
    compare("layer_norm", normalized, _i, RAN("layer_norm", "layer_norm_backward"), 2e-5);
}
END_TEST

/* -- batch_norm, and layouts that stay ---------------------------------------------------------------------- */

/* The row that is batch_norm and ReLU: in[] as batch_norm's. */
static tg_tensor *norm_and_relu(tg_tape *tape, bool eval, tg_tensor *const *in)
{
    const char *name = eval ? "batch_norm_relu_eval" : "batch_norm_relu_train";
    const tg_operator *op = tg_operator_find(tg_tape_runtime(tape), name);
    tg_tensor *out[4] = {NULL};
    tg_apply(tape, op, in, eval ? 5 : 3, &(tg_batch_norm_attrs){.eps = 1e-3}, NULL, out);
    return out[0];
}

/* conv → batch_norm → ReLU → conv on images, of two widths, lines and volumes. Bit 0: eval; from 8 on the two in the
 * middle are one row. */
static tg_tensor *normalized_convolutions(tg_tape *tape, tg_dtype dtype, int option, tg_tensor *wrt[])
{
    const int64_t one[] = {1, 1, 1}, middle = option / 2 % 4 == 1 ? 48 : 32;
    tg_tensor *(*const conv[])(tg_tape *, tg_tensor *, tg_tensor *, tg_tensor *, const int64_t *, const int64_t *,
                               const int64_t *, int64_t) = {tg_conv2d, tg_conv2d, tg_conv1d, tg_conv3d};
    const size_t ndim = (const size_t[]){4, 4, 3, 5}[option / 2 % 4];
    const int64_t x[] = {4, 16, 10, 9, 3}, first[] = {middle, 16, 3, 3, 3}, second[] = {16, middle, 3, 3, 3};
    wrt[0] = numbers(tape, dtype, x, ndim, 1);
    wrt[1] = numbers(tape, dtype, &middle, 1, 2);
    wrt[2] = numbers(tape, dtype, &middle, 1, 3);
    tg_tensor *h = conv[option / 2 % 4](tape, wrt[0], numbers(tape, dtype, first, ndim, 4), NULL, NULL, one, NULL, 1);
    tg_tensor *mean = tg_mul_scalar(tape, numbers(tape, dtype, &middle, 1, 5), 0.25);
    tg_tensor *var = tg_add_scalar(tape, tg_square(tape, numbers(tape, dtype, &middle, 1, 6)), 2);
    mean = tg_detach(tape, mean);
    var = tg_detach(tape, var);
    if (option >= 8)
        h = option & 1 ? norm_and_relu(tape, true, (tg_tensor *[]){h, mean, var, wrt[1], wrt[2]})
                       : norm_and_relu(tape, false, (tg_tensor *[]){h, wrt[1], wrt[2]});
    else
        h = tg_relu(tape, option & 1 ? tg_batch_norm_eval(tape, h, mean, var, wrt[1], wrt[2], 1e-3)
                                     : tg_batch_norm_train(tape, h, wrt[1], wrt[2], 1e-3, NULL, NULL));
    return conv[option / 2 % 4](tape, h, numbers(tape, dtype, second, ndim, 7), NULL, NULL, one, NULL, 1);
}

START_TEST(batch_norm)
{
    NEEDS_ONEDNN;
    static const char *const ran[][3] = {{"batch_norm_train", "batch_norm_backward"},
                                         {"batch_norm_eval", "batch_norm_backward"},
                                         {"batch_norm_relu_train", "batch_norm_relu_backward"},
                                         {"batch_norm_relu_eval", "batch_norm_relu_backward"}};
    compare("batch_norm", normalized_convolutions, _i, ran[_i / 8 * 2 + _i % 2], 5e-5);
}
END_TEST

static uint64_t reorders_of(tg_runtime *rt, const char *op)
{
    unsigned long long calls, fallbacks, reorders, sum = 0;
    char line[400], start[64];
    double ms;
    FILE *f = tmpfile();
    ck_assert_ptr_nonnull(f);
    tg_runtime_report(rt, f);
    rewind(f);
    snprintf(start, sizeof start, "%s onednn %%llu %%lf %%llu %%llu", op);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, start, &calls, &ms, &fallbacks, &reorders) == 4)
            sum += reorders;
    fclose(f);
    return sum;
}

/* Between the two convolutions nothing is brought into another order, forward or backward. */
START_TEST(layouts_stay)
{
    NEEDS_ONEDNN;
    env("TAPEGRAD_REPORT", "/dev/null");
    tg_runtime *rt = open_chain("onednn,reference");
    tg_tape *tape = open_tape(rt);
    tg_tensor *wrt[MOST] = {NULL}, *grad[MOST] = {NULL};
    tg_tensor *y = normalized_convolutions(tape, TG_F32, _i, wrt);
    tg_desc d;
    ck_assert_int_eq(tg_tensor_desc(y, &d), TG_OK);
    tg_tensor *gy = tg_relu(tape, numbers(tape, TG_F32, d.dim, (size_t)d.ndim, 9));
    ck_assert_int_eq(tg_grad(tape, y, gy, wrt, 3, grad, 0), TG_OK);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "contiguous", "onednn"), 0);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "contiguous", "reference"), 0);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "convolution", "onednn"), 2);
    ck_assert_uint_eq(tg_tape_count_runs(tape, _i < 8 ? "batch_norm_backward" : "batch_norm_relu_backward", "onednn"), 1);
    tg_tape_close(tape);
    ck_assert_uint_eq(reorders_of(rt, "batch_norm_train") + reorders_of(rt, "batch_norm_eval"), 0);
    ck_assert_uint_eq(reorders_of(rt, "batch_norm_relu_train") + reorders_of(rt, "batch_norm_relu_eval"), 0);
    ck_assert_uint_eq(reorders_of(rt, "batch_norm_backward") + reorders_of(rt, "batch_norm_relu_backward"), 0);
    /* x and the weights of both; gy, and the weights for the second's gradient to its input and the first's */
    ck_assert_uint_eq(reorders_of(rt, "convolution"), 3);
    tg_runtime_close(rt);
}
END_TEST

/* NaN goes through: in training a whole channel, in eval one element. Infinite parameters make it of 0. */
START_TEST(relu_hides_no_nan)
{
    NEEDS_ONEDNN;
    enum { N = 3, C = 32, S = 20 };
    static float x[N * C * S], y[N * C * S];
    float w[C], b[C], mean[C] = {0}, var[C];
    const int64_t dims[] = {N, C, 4, 5}, channels = C;
    for (int i = 0; i < N * C * S; i++)
        x[i] = (float)(i * 31 % 17) - 8;
    for (int c = 0; c < C; c++)
        w[c] = var[c] = 1, b[c] = 0.25f;
    x[C * S + 3 * S + 7] = NAN;
    x[5 * S] = INFINITY;
    b[6] = NAN;
    tg_tape *tape = open_tape(onednn);
    tg_tensor *h = tg_input(tape, TG_F32, dims, 4, x), *ws[4], *out = NULL;
    float *const from[] = {mean, var, w, b};
    for (int i = 0; i < 4; i++)
        ws[i] = tg_input(tape, TG_F32, &channels, 1, from[i]);
    tg_apply(tape, tg_operator_find(onednn, "reorder"), &h, 1, &(tg_reorder_attrs){0}, NULL, &out);
    out = _i ? norm_and_relu(tape, true, (tg_tensor *[]){out, ws[0], ws[1], ws[2], ws[3]})
             : norm_and_relu(tape, false, (tg_tensor *[]){out, ws[2], ws[3]});
    ck_assert_uint_eq(tg_tape_count_runs(tape, _i ? "batch_norm_relu_eval" : "batch_norm_relu_train", "onednn"), 1);
    ck_assert_int_eq(tg_tensor_read(out, y, sizeof y), TG_OK);
    for (int i = 0; i < N * C * S; i++) {
        const int c = i / S % C;
        const bool nan = c == 6 || (_i ? isnan(x[i]) : c == 3 || c == 5);
        ck_assert_msg(!isnan(y[i]) == !nan && !(y[i] < 0), "%d: %g of %g", i, (double)y[i], (double)x[i]);
    }
    tg_tape_close(tape);
}
END_TEST

/* The gradient from what the forward saved is that from y alone. */
START_TEST(saved_or_not)
{
    NEEDS_ONEDNN;
    enum { N = 4, C = 32, S = 30, ALL = N * C * S };
    static float saved[ALL], masked[ALL];
    const int64_t dims[] = {N, C, 5, 6}, channels = C;
    tg_tape *tape = open_tape(onednn);
    tg_tensor *x = numbers(tape, TG_F32, dims, 4, 1), *w = numbers(tape, TG_F32, &channels, 1, 2), *out[4], *gx, *back[3];
    tg_tensor *gy = numbers(tape, TG_F32, dims, 4, 3), *laid[2];
    const tg_operator *reorder = tg_operator_find(onednn, "reorder");
    tg_apply(tape, reorder, &x, 1, &(tg_reorder_attrs){0}, NULL, &laid[0]);
    tg_apply(tape, reorder, &gy, 1, &(tg_reorder_attrs){0}, NULL, &laid[1]);
    tg_apply(tape, tg_operator_find(onednn, "batch_norm_relu_train"), (tg_tensor *[]){laid[0], w, w}, 3,
             &(tg_batch_norm_attrs){.eps = 1e-3}, NULL, out);
    tg_tensor *invstd = tg_rsqrt(tape, tg_add_scalar(tape, out[2], 1e-3));
    tg_apply(tape, tg_operator_find(onednn, "batch_norm_relu_backward"),
             (tg_tensor *[]){laid[1], laid[0], w, out[1], invstd, out[0]}, 6,
             &(tg_batch_norm_backward_attrs){.want = 7, .batch_stats = 1}, NULL, back);
    ck_assert_int_eq(tg_grad(tape, out[0], laid[1], &x, 1, &gx, 0), TG_OK);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_relu_backward", "onednn"), 2);
    ck_assert_int_eq(tg_tensor_read(gx, saved, sizeof saved), TG_OK);
    ck_assert_int_eq(tg_tensor_read(back[0], masked, sizeof masked), TG_OK);
    for (int i = 0; i < ALL; i++)
        ck_assert_msg(fabsf(saved[i] - masked[i]) < 1e-5f, "%d: %g and %g", i, (double)saved[i], (double)masked[i]);
    tg_tape_close(tape);
}
END_TEST

/* Frozen parameters: of the gradients, x's alone is asked for. Bit 0: of batch_norm and ReLU, bit 1: with a bias. */
START_TEST(gradient_of_source_alone)
{
    NEEDS_ONEDNN;
    enum { N = 4, C = 32, S = 30, ALL = N * C * S };
    static float of[2][ALL];
    const int64_t dims[] = {N, C, 5, 6}, channels = C;
    const char *name = _i & 1 ? "batch_norm_relu_backward" : "batch_norm_backward";
    for (int which = 0; which < 2; which++) {
        tg_tape *tape = open_tape(which ? onednn : reference);
        tg_tensor *x = numbers(tape, TG_F32, dims, 4, 1), *laid = x, *gx;
        tg_tensor *w = tg_detach(tape, numbers(tape, TG_F32, &channels, 1, 2));
        tg_tensor *in[] = {x, w, _i & 2 ? w : NULL}, *out[4] = {NULL};
        if (which)
            tg_apply(tape, tg_operator_find(onednn, "reorder"), &x, 1, &(tg_reorder_attrs){0}, NULL, &laid);
        in[0] = laid;
        tg_apply(tape, tg_operator_find(tg_tape_runtime(tape), _i & 1 ? "batch_norm_relu_train" : "batch_norm_train"), in,
                 3, &(tg_batch_norm_attrs){.eps = 1e-3}, NULL, out);
        ck_assert_int_eq(tg_grad(tape, out[0], numbers(tape, TG_F32, dims, 4, 3), &x, 1, &gx, 0), TG_OK);
        ck_assert_int_eq(tg_tensor_read(gx, of[which], sizeof *of), TG_OK);
        ck_assert_uint_eq(tg_tape_count_runs(tape, name, which ? "onednn" : "reference"), 1);
        tg_tape_close(tape);
    }
    for (int i = 0; i < ALL; i++)
        ck_assert_msg(fabsf(of[0][i] - of[1][i]) < 2e-5f, "%d: %g and %g", i, (double)of[0][i], (double)of[1][i]);
}
END_TEST

/* What comes row-major stays so, and only large matrices are taken. */
START_TEST(row_major_batch_norm)
{
    NEEDS_ONEDNN;
    static float wide[2][1 << 19];
    for (int which = 0; which < 2; which++) {
        tg_tape *tape = open_tape(which ? onednn : reference);
        const int64_t dims[] = {1024, 512};
        tg_tensor *x = numbers(tape, TG_F32, dims, 2, 3), *w = numbers(tape, TG_F32, dims + 1, 1, 4), *gx;
        tg_tensor *y = tg_batch_norm_train(tape, x, w, w, 1e-5, NULL, NULL);
        ck_assert_int_eq(tg_grad(tape, tg_sum(tape, tg_square(tape, tg_square(tape, y))), NULL, &x, 1, &gx, 0), TG_OK);
        ck_assert_int_eq(tg_tensor_read(gx, wide[which], sizeof *wide), TG_OK);
        if (which) {
            ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_train", "onednn"), 1);
            ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_backward", "onednn"), 1);
            tg_batch_norm_train(tape, NUMBERS(tape, TG_F32, 1, 4, 16, 8, 8), NULL, NULL, 1e-5, NULL, NULL);
            ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_train", "reference"), 1);
        }
        tg_tape_close(tape);
    }
    for (int i = 0; i < 1 << 19; i++)
        ck_assert_msg(fabsf(wide[0][i] - wide[1][i]) < 1e-4f, "%d: %g and %g", i, (double)wide[0][i], (double)wide[1][i]);
}
END_TEST

/* -- what it leaves
 * ---------------------------------------------------------------------------------------------- */

START_TEST(other_dtypes_and_tiny_ones_are_left)
{
    NEEDS_ONEDNN;
    tg_tape *tape = open_tape(onednn);
    tg_tensor *a = NUMBERS(tape, TG_F64, 1, 64, 64), *b = NUMBERS(tape, TG_F32, 1, 3, 4);
    ck_assert_ptr_nonnull(tg_matmul(tape, a, a));
    ck_assert_ptr_nonnull(tg_matmul(tape, b, tg_t(tape, b)));
    ck_assert_uint_eq(tg_tape_count_runs(tape, "matmul", "onednn"), 0);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "matmul", "reference"), 2);
    tg_tape_close(tape);
    /* with f64 the reference is a fallback: an error here, and the reason is in it */
    tg_runtime *alone = open_chain("onednn");
    tape = open_tape(alone);
    a = NUMBERS(tape, TG_F64, 1, 64, 64);
    ck_assert_ptr_null(tg_matmul(tape, a, a));
    ck_assert_int_eq(tg_tape_status(tape), TG_ENOKERNEL);
    has(tg_tape_error(tape), "f32 only");
    tg_tape_close(tape);
    tg_runtime_close(alone);
}
END_TEST

/* Of operands that both repeat along the batch oneDNN computes one product: declined, which is no fallback. */
START_TEST(repeated_batches_are_declined)
{
    NEEDS_ONEDNN;
    tg_runtime *alone = open_chain("onednn");
    tg_tape *tape = open_tape(alone);
    tg_tensor *a = tg_expand(tape, NUMBERS(tape, TG_F32, 1, 2, 1, 40, 50), 2, 4, 40, 50);
    tg_tensor *b = NUMBERS(tape, TG_F32, 2, 50, 60);
    tg_tensor *one = tg_matmul(tape, b, NUMBERS(tape, TG_F32, 3, 60, 40)), *both = tg_matmul(tape, a, one);
    tg_tensor *each = tg_matmul(tape, a, tg_expand(tape, one, 4, 50, 40));
    ck_assert_msg(tg_tape_status(tape) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_uint_eq(tg_tape_count_runs(tape, "matmul", "onednn"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "matmul", "reference"), 2);
    /* one that repeats alone: b's single matrix */
    ck_assert_ptr_nonnull(tg_matmul(tape, a, NUMBERS(tape, TG_F32, 4, 4, 50, 40)));
    ck_assert_uint_eq(tg_tape_count_runs(tape, "matmul", "onednn"), 2);
    tg_tensor *y[] = {both, each};
    for (int i = 0; i < 2; i++)
        keep(i, 0, y[i], TG_F32);
    for (int64_t e = 0; e < counts[0]; e++)
        ck_assert_double_eq_tol(results[0][0][e], results[1][0][e], 1e-4);
    tg_tape_close(tape);
    tg_runtime_close(alone);
}
END_TEST

START_TEST(its_facts_are_listed)
{
    NEEDS_ONEDNN;
    env("TAPEGRAD_NUM_THREADS", "2");
    tg_runtime *rt = open_chain("onednn");
    tg_backend_info b = info_of(rt, "onednn");
    ck_assert(b.loaded && b.in_chain);
    has(b.library, "oneDNN ");
    ck_assert_uint_gt(strlen(b.kernels), 2);
    ck_assert_int_eq(b.threads, 2);
    tg_runtime_close(rt);
}
END_TEST

/* A tape in each thread of a parallel region computes on one thread each; the caller's number of threads
 * stays. */
START_TEST(tapes_in_a_parallel_region)
{
    NEEDS_ONEDNN;
    int before = omp_get_max_threads();
    tg_tape *tape[2] = {open_tape(onednn), open_tape(onednn)};
    float first[2] = {0, 1};
#pragma omp parallel for num_threads(2)
    for (int i = 0; i < 2; i++)
        for (int run = 0; run < 20; run++) {
            tg_tensor *wrt[3] = {NULL}, *y = batch(tape[i], TG_F32, 1, wrt);
            y = tg_matmul(tape[i], y, tg_transpose(tape[i], y, 1, 2));
            tg_tensor_read(tg_select(tape[i], tg_flatten(tape[i], y, 0, -1), 0, 7), &first[i],
                           sizeof first[i]);
            tg_tape_reset(tape[i]);
        }
    ck_assert_msg(tg_tape_status(tape[0]) == TG_OK, "%s", tg_tape_error(tape[0]));
    ck_assert_float_eq(first[0], first[1]);
    ck_assert_uint_gt(tg_tape_count_runs(tape[1], "matmul", "onednn"), 0);
    ck_assert_int_eq(omp_get_max_threads(), before);
    tg_tape_close(tape[0]);
    tg_tape_close(tape[1]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("onednn");
    TCase *t = tcase_create("onednn");
    tcase_add_checked_fixture(t, open_two, close_two);
    tcase_add_loop_test(t, products, 0, 8);
    tcase_add_loop_test(t, batches, 0, 4);
    tcase_add_loop_test(t, linear, 0, 2);
    tcase_add_loop_test(t, convolutions, 0, 7);
    tcase_add_test(t, softmax);
    tcase_add_test(t, log_softmax);
    tcase_add_loop_test(t, softmax_keeps_nan, 0, 2);
    tcase_add_loop_test(t, layer_norm, 0, 2);
    tcase_add_loop_test(t, batch_norm, 0, 16);
    tcase_add_loop_test(t, layouts_stay, 0, 16);
    tcase_add_loop_test(t, relu_hides_no_nan, 0, 2);
    tcase_add_test(t, saved_or_not);
    tcase_add_loop_test(t, gradient_of_source_alone, 0, 4);
    tcase_add_test(t, row_major_batch_norm);
    tcase_add_test(t, other_dtypes_and_tiny_ones_are_left);
    tcase_add_test(t, repeated_batches_are_declined);
    tcase_add_test(t, its_facts_are_listed);
    tcase_add_test(t, tapes_in_a_parallel_region);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
