/* Pooling in the oneDNN backend's layouts, against the reference: the same maxima to the bit, and a chain in which
 * nothing is brought into another order. */
#include "abi/rig.h"

#include <tapegrad/op_attrs.h>
#include <tapegrad/operator.h>

#include <math.h>
#include <string.h>

static tg_runtime *reference, *onednn;

static void open_two(void)
{
    fresh_env();
    env("TAPEGRAD_REPORT", "/dev/null");
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

enum { LARGEST = 1 << 16 };
static float data[LARGEST], results[2][2][LARGEST];

/* Halves in −2 … 2, so that many are equal and sums are exact, with NaN and a corner of −inf. */
static void draw(int64_t n, bool special)
{
    unsigned seed = 7;
    ck_assert_int_le(n, LARGEST);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (float)(seed >> 29) / 2 - 2;
        if (special && seed % 50 < 2)
            data[i] = NAN;
        if (special && (seed >> 8) % 3 == 0)
            data[i] = -INFINITY;
    }
}

static tg_tensor *laid_out(tg_tape *tape, tg_tensor *x)
{
    const tg_reorder_attrs a = {0};
    tg_tensor *out = NULL;
    ck_assert_int_eq(tg_apply(tape, tg_operator_find(onednn, "reorder"), &x, 1, &a, NULL, &out), TG_OK);
    return out;
}

typedef struct kind {
    size_t n;
    tg_pool_options options;
} kind;
static const kind kinds[] = {
    {2, {.kernel = {2, 2}}},
    {2, {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}}},
    {2, {.kernel = {3, 2}, .stride = {2, 3}, .padding = {1, 0}, .ceil_mode = true}},
    {2, {.kernel = {2, 2}, .stride = {1, 2}, .padding = {1, 1}, .dilation = {3, 2}}},
    {2, {.kernel = {2, 3}, .padding = {1, 1}, .ceil_mode = true, .exclude_pad = true}},
    {2, {.kernel = {2, 2}, .divisor_override = -2}},
    {1, {.kernel = {3}, .stride = {2}, .padding = {1}}},
    {3, {.kernel = {2, 2, 3}, .stride = {1, 2, 2}, .padding = {1, 0, 1}}},
};
static const int64_t channels[] = {16, 32, 8, 24, 20, 3};

static bool is_for(bool max, const tg_pool_options *o)
{
    return max ? !o->exclude_pad && !o->divisor_override : o->dilation[0] < 2;
}

/* Pools x of these dims, and goes back from gy = y's places modulo 5. */
static int64_t pool(int which, tg_tape *tape, bool max, const kind *k, const int64_t *dims)
{
    const bool blocked = which == 1;
    tg_tensor *leaf = tg_input(tape, TG_F32, dims, k->n + 2, data), *gx = NULL;
    tg_tensor_set_requires_grad(leaf, true);
    tg_tensor *x = blocked ? laid_out(tape, leaf) : leaf;
    tg_tensor *y = max ? tg_max_pool(tape, x, k->n, &k->options, NULL) : tg_avg_pool(tape, x, k->n, &k->options);
    ck_assert_msg(y != NULL, "%s", tg_tape_error(tape));
    const int64_t n = tg_tensor_count(y);
    float *g = malloc((size_t)n * sizeof *g);
    tg_desc d;
    for (int64_t i = 0; i < n; i++)
        g[i] = (float)(i % 5);
    ck_assert_int_eq(tg_tensor_desc(y, &d), TG_OK);
    tg_tensor *gy = tg_input(tape, TG_F32, d.dim, (size_t)d.ndim, g);
    if (blocked)
        gy = laid_out(tape, gy);
    free(g);
    ck_assert_int_eq(tg_grad(tape, y, gy, &x, 1, &gx, 0), TG_OK);
    ck_assert_int_eq(tg_tensor_read(y, results[which][0], (size_t)n * sizeof(float)), TG_OK);
    ck_assert_int_eq(tg_tensor_read(gx, results[which][1], (size_t)tg_tensor_count(gx) * sizeof(float)), TG_OK);
    return n;
}

static void same(int slot, int64_t n, bool exactly, int64_t c, size_t k)
{
    for (int64_t i = 0; i < n; i++) {
        const float a = results[0][slot][i], b = results[1][slot][i];
        const bool good = isnan(a) ? isnan(b) : exactly || isinf(a) ? a == b : fabsf(a - b) <= 1e-6f * (1 + fabsf(a));
        ck_assert_msg(good, "kind %zu, %lld channels: %s[%lld] is %g, not %g", k, (long long)c, slot ? "gx" : "y",
                      (long long)i, (double)b, (double)a);
    }
}

/* Bit 0: max; bit 1: with NaN and −inf; bit 2: on two threads. */
START_TEST(as_the_reference)
{
    NEEDS_ONEDNN;
    const bool max = _i & 1;
    tg_tape *tape[] = {open_tape(reference), open_tape(onednn)};
    ck_assert_int_eq(tg_tape_set_threads(tape[1], _i & 4 ? 2 : 1), TG_OK);
    uint64_t ran = 0;
    for (size_t c = 0; c < sizeof channels / sizeof *channels; c++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            const int64_t of_dims[][5] = {{3, channels[c], 29}, {3, channels[c], 21, 17}, {2, channels[c], 5, 8, 9}};
            const int64_t *dims = of_dims[kinds[k].n - 1];
            int64_t n = 1;
            if (!is_for(max, &kinds[k].options))
                continue;
            for (size_t i = 0; i < kinds[k].n + 2; i++)
                n *= dims[i];
            draw(n, _i & 2);
            const int64_t made = pool(0, tape[0], max, &kinds[k], dims);
            ck_assert_int_eq(pool(1, tape[1], max, &kinds[k], dims), made);
            same(0, made, max, channels[c], k);
            same(1, n, max, channels[c], k);
            ran++;
            tg_tape_reset(tape[0]);
            tg_tape_reset(tape[1]);
        }
    ck_assert_uint_eq(tg_tape_count_runs(tape[1], max ? "max_pool" : "avg_pool", "onednn"), ran);
    ck_assert_uint_eq(tg_tape_count_runs(tape[1], max ? "max_pool_src_backward" : "avg_pool_backward", "onednn"), ran);
    tg_tape_close(tape[0]);
    tg_tape_close(tape[1]);
}
END_TEST

static uint64_t reorders_of(const char *op)
{
    unsigned long long calls, fallbacks, reorders, sum = 0;
    char line[400], start[64];
    double ms;
    FILE *f = tmpfile();
    ck_assert_ptr_nonnull(f);
    tg_runtime_report(onednn, f);
    rewind(f);
    snprintf(start, sizeof start, "%s onednn %%llu %%lf %%llu %%llu", op);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, start, &calls, &ms, &fallbacks, &reorders) == 4)
            sum += reorders;
    fclose(f);
    return sum;
}

/* conv, relu, pool, conv: between the convolutions nothing is brought into another order, forward or backward. */
START_TEST(layouts_stay)
{
    NEEDS_ONEDNN;
    const tg_pool_options two = {.kernel = {2, 2}};
    const int64_t x[] = {4, 16, 12, 12}, w[] = {32, 16, 3, 3}, v[] = {16, 32, 3, 3}, one[] = {1, 1, 1};
    tg_tape *tape = open_tape(onednn);
    draw(4 * 16 * 12 * 12, false);
    tg_tensor *leaf[] = {tg_input(tape, TG_F32, x, 4, data), tg_input(tape, TG_F32, w, 4, data),
                         tg_input(tape, TG_F32, v, 4, data)};
    tg_tensor *grad[3];
    for (int i = 0; i < 3; i++)
        tg_tensor_set_requires_grad(leaf[i], true);
    tg_tensor *h = tg_relu(tape, tg_conv2d(tape, leaf[0], leaf[1], NULL, NULL, one, NULL, 1));
    h = _i ? tg_avg_pool(tape, h, 2, &two) : tg_max_pool(tape, h, 2, &two, NULL);
    tg_tensor *y = tg_conv2d(tape, h, leaf[2], NULL, NULL, one, NULL, 1);
    tg_tensor *gy = tg_input(tape, TG_F32, (const int64_t[]){4, 16, 6, 6}, 4, data);
    ck_assert_int_eq(tg_grad(tape, y, gy, leaf, 3, grad, 0), TG_OK);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "contiguous", "onednn"), 0);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "contiguous", "reference"), 0);
    const char *back = _i ? "avg_pool_backward" : "max_pool_src_backward";
    ck_assert_uint_eq(tg_tape_count_runs(tape, _i ? "avg_pool" : "max_pool", "onednn"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, back, "onednn"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "convolution", "onednn"), 2);
    tg_tape_close(tape);
    ck_assert_uint_eq(reorders_of(back), 0);
    ck_assert_uint_eq(reorders_of(_i ? "avg_pool" : "max_pool"), 0);
    ck_assert_uint_eq(reorders_of("convolution"), 3); /* x, and the weights of both */
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("onednn_pool");
    TCase *t = tcase_create("onednn_pool");
    tcase_add_checked_fixture(t, open_two, close_two);
    tcase_add_loop_test(t, as_the_reference, 0, 8);
    tcase_add_loop_test(t, layouts_stay, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
