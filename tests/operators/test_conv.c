/* Convolutions against their definition, by hand and element by element; dtypes, strides, no elements, threads,
 * refusals. */
#include "operators/rig.h"

#define LIST(...) ((const int64_t[]){__VA_ARGS__})

START_TEST(by_hand)
{
    const tg_dtype dtype = _i ? TG_F64 : TG_F32;
    tg_tensor *x = leaf(dtype, DIMS(1, 1, 5), VALUES(1, 2, 3, 4, 5)), *w = leaf(dtype, DIMS(1, 1, 2), VALUES(10, 1));
    tg_tensor *bias = leaf(dtype, DIMS(1), VALUES(100));
    tg_tensor *y = tg_conv1d(tape, x, w, bias, NULL, NULL, NULL, 1);
    expect(y, 0, DIMS(1, 1, 4), VALUES(112, 123, 134, 145));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 5), VALUES(10, 21, 32, 43, 4));
    expect(weighted_gradient(y, w), 0, DIMS(1, 1, 2), VALUES(30, 40));
    expect(weighted_gradient(y, bias), 0, DIMS(1), VALUES(10));
    y = tg_conv1d(tape, x, w, NULL, LIST(2), LIST(1), LIST(3), 1);
    expect(y, 0, DIMS(1, 1, 2), VALUES(3, 25));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 5), VALUES(0, 20, 1, 0, 2));
    expect(tg_conv1d(tape, tg_select(tape, x, 0, 0), w, bias, LIST(3), NULL, NULL, 1), 0, DIMS(1, 2), VALUES(112, 145));
    y = tg_conv_transpose1d(tape, x, w, bias, LIST(2), NULL, NULL, 1, NULL);
    expect(y, 0, DIMS(1, 1, 10), VALUES(110, 101, 120, 102, 130, 103, 140, 104, 150, 105));
    y = tg_conv_transpose1d(tape, tg_narrow(tape, x, 2, 0, 2), w, bias, LIST(2), LIST(1), LIST(1), 1, LIST(2));
    expect(y, 0, DIMS(1, 1, 4), VALUES(100, 121, 100, 102));
    /* Only a dilation allows an output padding of a stride or more: nothing reaches it. */
    y = tg_conv_transpose1d(tape, tg_narrow(tape, x, 2, 0, 2), w, bias, NULL, NULL, LIST(2), 1, LIST(3));
    expect(y, 0, DIMS(1, 1, 7), VALUES(110, 120, 100, 101, 102, 100, 100));
    expect(weighted_gradient(y, w), 0, DIMS(1, 1, 2), VALUES(5, 14));
    expect(weighted_gradient(y, bias), 0, DIMS(1), VALUES(28));
}
END_TEST

/* -- against the definition ----------------------------------------------------------------------------- */

typedef struct shape {
    int64_t batch, channels, out, groups, in[3], kernel[3], stride[3], padding[3], dilation[3];
    int ndim;
} shape;

static int64_t windows(const shape *s, int d)
{
    return (s->in[d] + 2 * s->padding[d] - s->dilation[d] * (s->kernel[d] - 1) - 1) / s->stride[d] + 1;
}

static double *drawn(int64_t n)
{
    static uint64_t state = 1;
    double *v = calloc((size_t)n + 1, sizeof *v);
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        v[i] = (double)(int)(state >> 60) - 7.5;
    }
    return v;
}

/* y of x and w, and the gradients of Σ y·(1, 2, 3 …). */
static void convolve(const shape *s, const double *x, const double *w, double *y, double *gx, double *gw)
{
    const int64_t o1 = windows(s, 0), o2 = windows(s, 1), o3 = windows(s, 2), c = s->channels / s->groups;
    const int64_t limit[9] = {s->batch, s->out, c, o1, o2, o3, s->kernel[0], s->kernel[1], s->kernel[2]};
    int64_t total = 1;
    for (int i = 0; i < 9; i++)
        total *= limit[i];
    for (int64_t k = 0; k < total; k++) {
        int64_t at[9], rest = k, p[3], inside = 1;
        for (int i = 8; i >= 0; i--) {
            at[i] = rest % limit[i];
            rest /= limit[i];
        }
        for (int d = 0; d < 3; d++) {
            p[d] = at[3 + d] * s->stride[d] - s->padding[d] + at[6 + d] * s->dilation[d];
            inside = inside && p[d] >= 0 && p[d] < s->in[d];
        }
        if (!inside)
            continue;
        const int64_t channel = at[1] / (s->out / s->groups) * c + at[2];
        const int64_t px = (((at[0] * s->channels + channel) * s->in[0] + p[0]) * s->in[1] + p[1]) * s->in[2] + p[2];
        const int64_t pw = (((at[1] * c + at[2]) * limit[6] + at[6]) * limit[7] + at[7]) * limit[8] + at[8];
        const int64_t py = (((at[0] * s->out + at[1]) * o1 + at[3]) * o2 + at[4]) * o3 + at[5];
        y[py] += x[px] * w[pw];
        gx[px] += w[pw] * (double)(py + 1);
        gw[pw] += x[px] * (double)(py + 1);
    }
}

typedef tg_tensor *(*conv_fn)(tg_tape *, tg_tensor *, tg_tensor *, tg_tensor *, const int64_t *, const int64_t *,
                              const int64_t *, int64_t);

static void compare(const shape *s, tg_dtype dtype)
{
    const conv_fn fns[] = {tg_conv1d, tg_conv2d, tg_conv3d};
    const int skip = 3 - s->ndim;
    const size_t ndim = (size_t)s->ndim + 2;
    int64_t xd[5] = {s->batch, s->channels}, wd[5] = {s->out, s->channels / s->groups}, yd[5] = {s->batch, s->out};
    int64_t nx = xd[0] * xd[1], nw = wd[0] * wd[1], ny = yd[0] * yd[1];
    for (int d = 0; d < 3; d++) {
        nx *= s->in[d];
        nw *= s->kernel[d];
        ny *= windows(s, d);
        if (d >= skip) {
            xd[2 + d - skip] = s->in[d];
            wd[2 + d - skip] = s->kernel[d];
            yd[2 + d - skip] = windows(s, d);
        }
    }
    double *x = drawn(nx), *w = drawn(nw), *y = calloc((size_t)ny + 1, 8), *gx = calloc((size_t)nx + 1, 8),
           *gw = calloc((size_t)nw + 1, 8);
    convolve(s, x, w, y, gx, gw);
    tg_tensor *tx = leaf(dtype, xd, ndim, x, (size_t)nx), *tw = leaf(dtype, wd, ndim, w, (size_t)nw);
    tg_tensor *ty = fns[s->ndim - 1](tape, tx, tw, NULL, s->stride + skip, s->padding + skip, s->dilation + skip,
                                     s->groups);
    const double tolerance = dtype == TG_F64 ? 1e-13 : 2e-6;
    expect(ty, tolerance, yd, ndim, y, (size_t)ny);
    expect(weighted_gradient(ty, tx), tolerance, xd, ndim, gx, (size_t)nx);
    expect(weighted_gradient(ty, tw), tolerance, wd, ndim, gw, (size_t)nw);
    free(x), free(w), free(y), free(gx), free(gw);
}

static const shape shapes[] = {
    {2, 3, 5, 1, {1, 1, 37}, {1, 1, 4}, {1, 1, 3}, {0, 0, 2}, {1, 1, 2}, 1},
    {3, 4, 6, 2, {1, 9, 11}, {1, 3, 2}, {1, 2, 1}, {0, 1, 2}, {1, 1, 3}, 2},
    {1, 33, 40, 1, {1, 17, 19}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}, 2}, /* several blocks and tiles */
    {2, 16, 130, 1, {1, 7, 5}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}, 2},
    {2, 6, 12, 6, {1, 12, 9}, {1, 5, 3}, {1, 1, 2}, {0, 2, 0}, {1, 2, 1}, 2},
    {2, 2, 3, 1, {1, 8, 9}, {1, 2, 3}, {1, 6, 4}, {0, 1, 0}, {1, 4, 2}, 2}, /* strides that share a factor */
    {1, 2, 4, 2, {5, 6, 7}, {2, 3, 2}, {2, 1, 3}, {1, 0, 1}, {1, 2, 1}, 3},
    {2, 1, 1, 1, {1, 1, 3}, {1, 1, 1}, {1, 1, 5}, {0, 0, 4}, {1, 1, 1}, 1}, /* a stride beyond the input */
};

START_TEST(by_definition)
{
    compare(&shapes[_i / 2], _i % 2 ? TG_F64 : TG_F32);
}
END_TEST

/* The same bits for any number of threads. */
START_TEST(any_threads)
{
    float *first = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        rig_close();
        tg_runtime_options options = {.struct_size = sizeof options, .backend = "reference", .threads = threads};
        ck_assert_int_eq(tg_runtime_open(&rt, &options), TG_OK);
        ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
        tg_tensor *x = tg_input(tape, TG_F32, (int64_t[]){5, 8, 20, 20}, 4, NULL);
        tg_tensor *w = tg_input(tape, TG_F32, (int64_t[]){12, 8, 3, 3}, 4, NULL), *out[3];
        tg_tensor_set_requires_grad(x, true);
        tg_tensor_set_requires_grad(w, true);
        float values[16000];
        for (int i = 0; i < 16000; i++)
            values[i] = 1.0f / (float)(i % 997 + 1);
        tg_tensor_write(x, values, sizeof values);
        tg_tensor_write(w, values + 31, 864 * sizeof *values);
        tg_tensor *y = tg_conv2d(tape, x, w, NULL, NULL, LIST(1, 1), NULL, 1);
        ck_assert_int_eq(tg_grad(tape, y, tg_square(tape, y), (tg_tensor *[]){x, w}, 2, out, TG_RETAIN), TG_OK);
        float *now = calloc(24000 + 16000 + 864, sizeof *now);
        ck_assert_int_eq(tg_tensor_read(y, now, 24000 * 4), TG_OK);
        ck_assert_int_eq(tg_tensor_read(out[0], now + 24000, 16000 * 4), TG_OK);
        ck_assert_int_eq(tg_tensor_read(out[1], now + 40000, 864 * 4), TG_OK);
        if (first)
            ck_assert_mem_eq(first, now, 40864 * 4);
        free(first);
        first = now;
    }
    free(first);
}
END_TEST

START_TEST(nothing)
{
    tg_tensor *x = leaf(TG_F32, DIMS(0, 2, 4), VALUES(1)), *w = leaf(TG_F32, DIMS(3, 2, 2), VALUES(1));
    tg_tensor *bias = leaf(TG_F32, DIMS(3), VALUES(1, 2, 3));
    tg_tensor *y = tg_conv1d(tape, x, w, bias, NULL, NULL, NULL, 1);
    expect(y, 0, DIMS(0, 3, 3), VALUES(0));
    expect(weighted_gradient(y, x), 0, DIMS(0, 2, 4), VALUES(0));
    expect(weighted_gradient(y, w), 0, DIMS(3, 2, 2), VALUES(0));
    expect(weighted_gradient(y, bias), 0, DIMS(3), VALUES(0));
    x = tensor(TG_F32, DIMS(1, 0, 4), VALUES(0));
    w = tensor(TG_F32, DIMS(3, 0, 2), VALUES(0));
    expect(tg_conv1d(tape, x, w, bias, NULL, NULL, NULL, 1), 0, DIMS(1, 3, 3),
           VALUES(1, 1, 1, 2, 2, 2, 3, 3, 3));
}
END_TEST

START_TEST(strided)
{
    tg_tensor *x = leaf(TG_F64, DIMS(1, 3, 4, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9));
    tg_tensor *w = tensor(TG_F64, DIMS(2, 2, 3), VALUES(1, 0, 2, -1, 3));
    tg_tensor *view = tg_permute_dims(tape, x, LIST(0, 3, 1, 2), 4);
    tg_tensor *weight = tg_unsqueeze(tape, tg_transpose(tape, w, 1, 2), 1);
    weight = tg_expand_dims(tape, weight, LIST(2, 2, 3, 2), 4);
    tg_tensor *a = tg_conv2d(tape, view, weight, NULL, NULL, NULL, NULL, 1);
    tg_tensor *b = tg_conv2d(tape, tg_contiguous(tape, view), tg_contiguous(tape, weight), NULL, NULL, NULL, NULL, 1);
    double got[6], want[6];
    ck_assert_int_eq(tg_tensor_read(a, got, sizeof got), TG_OK);
    ck_assert_int_eq(tg_tensor_read(b, want, sizeof want), TG_OK);
    ck_assert_mem_eq(got, want, sizeof got);
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *x = tensor(TG_F32, DIMS(1, 4, 5, 5), VALUES(1)), *w = tensor(TG_F32, DIMS(6, 2, 3, 3), VALUES(1));
    tg_tensor *b = tensor(TG_F32, DIMS(5), VALUES(1)), *wide = tensor(TG_F64, DIMS(6, 2, 3, 3), VALUES(1));
    expect_error(tg_conv2d(tape, x, w, NULL, NULL, NULL, NULL, 1), TG_ESHAPE,
                 "conv2d: the input has 4 channels, expected 2: weight has 2 for each of 1 groups");
    expect_error(tg_conv2d(tape, x, w, NULL, NULL, NULL, NULL, 4), TG_EINVAL, "groups is 4, expected a divisor of weight's 6");
    expect_error(tg_conv2d(tape, x, w, NULL, NULL, NULL, NULL, 0), TG_EINVAL, "groups is 0");
    expect_error(tg_conv2d(tape, x, w, NULL, NULL, NULL, LIST(1, 3), 2), TG_ESHAPE,
                 "in dim 1 it has size 3 with dilation 3, the padded input 5");
    expect_error(tg_conv2d(tape, x, w, b, NULL, NULL, NULL, 2), TG_ESHAPE, "bias is f32[5], expected f32[6]");
    expect_error(tg_conv2d(tape, x, wide, NULL, NULL, NULL, NULL, 2), TG_EDTYPE, "weight is f64, expected f32");
    expect_error(tg_conv2d(tape, x, w, NULL, LIST(1, 0), NULL, NULL, 2), TG_EINVAL, "stride is 0 in dim 1");
    expect_error(tg_conv2d(tape, x, w, NULL, NULL, LIST(-1, 0), NULL, 2), TG_EINVAL, "padding is -1 in dim 0");
    expect_error(tg_conv2d(tape, x, w, NULL, NULL, NULL, LIST(INT64_MAX, 1), 2), TG_EINVAL, "dilation is");
    expect_error(tg_conv3d(tape, x, w, NULL, NULL, NULL, NULL, 2), TG_ESHAPE, "conv3d: weight is f32[6, 2, 3, 3], expected 5");
    expect_error(tg_conv1d(tape, x, w, NULL, NULL, NULL, NULL, 2), TG_ESHAPE, "conv1d: the input is f32[1, 4, 5, 5]");
    expect_error(tg_conv2d(tape, x, NULL, NULL, NULL, NULL, NULL, 2), TG_EINVAL, "weight");
    expect_error(tg_conv2d(tape, tensor(TG_I64, DIMS(1, 4, 5, 5), VALUES(1)), w, NULL, NULL, NULL, NULL, 2), TG_EDTYPE,
                 "the input is i64");
    expect_error(tg_conv_transpose2d(tape, x, w, NULL, NULL, NULL, NULL, 1, NULL), TG_ESHAPE,
                 "conv_transpose2d: the input has 4 channels, expected 6 as weight");
    x = tensor(TG_F32, DIMS(1, 6, 2, 2), VALUES(1));
    expect_error(tg_conv_transpose2d(tape, x, w, NULL, NULL, NULL, LIST(0, 1), 1, NULL), TG_EINVAL,
                 "output_padding is 1 in dim 1, expected less than stride 1 or dilation 1");
    expect_error(tg_conv_transpose2d(tape, x, w, NULL, NULL, LIST(0, 2), NULL, 1, NULL), TG_ESHAPE,
                 "the output would have size 0 in dim 1");
    expect_error(tg_conv_transpose2d(tape, x, w, b, NULL, NULL, NULL, 3, NULL), TG_ESHAPE, "expected f32[6]");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("conv");
    TCase *t = tcase_create("conv");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, by_hand, 0, 2);
    tcase_add_loop_test(t, by_definition, 0, 2 * (int)(sizeof shapes / sizeof *shapes));
    tcase_add_test(t, any_threads);
    tcase_add_test(t, nothing);
    tcase_add_test(t, strided);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
