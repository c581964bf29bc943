/* Attention as one row against attention written out: blocks, masks, strides, both dtypes, forth and back. */
#include "operators/rig.h"

enum { N = 2, H = 3 };

/* [N, rows, H, cols] with a gap behind each row of all heads, as a projection to three parts leaves it. */
static tg_tensor *random_leaf(int64_t rows, int64_t cols, unsigned state)
{
    const size_t n = (size_t)(N * rows * H * (cols + 1));
    double *v = malloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        v[i] = (double)(state >> 8) / 8388608.0 - 1;
    }
    tg_tensor *x = leaf(TG_F64, DIMS(N, rows, H, cols + 1), v, n);
    free(v);
    return x;
}

/* The heads of that, of this dtype. */
static tg_tensor *heads(tg_tensor *x, tg_dtype dtype)
{
    return tg_transpose(tape, tg_slice(tape, tg_to(tape, x, dtype), -1, 0, tg_tensor_dim(x, -1) - 1, 1), 1,
                        2);
}

static tg_tensor *plainly(tg_tensor *q, tg_tensor *k, tg_tensor *v, tg_tensor *bias, double scale)
{
    tg_tensor *scores = tg_mul_scalar(tape, tg_matmul(tape, q, tg_transpose(tape, k, -2, -1)), scale);
    return tg_matmul(tape, tg_softmax(tape, bias ? tg_add(tape, scores, bias) : scores, -1), v);
}

static void near_each_other(tg_tensor *a, tg_tensor *b, double tolerance, const char *what)
{
    ck_assert_msg(a && b, "NULL: %s", tg_tape_error(tape));
    const size_t n = (size_t)tg_tensor_count(a);
    ck_assert_int_eq(tg_tensor_count(b), (int64_t)n);
    double *x = malloc(2 * n * sizeof *x + 8), *y = x + n;
    ck_assert_int_eq(tg_tensor_read(tg_to(tape, a, TG_F64), x, n * sizeof *x), TG_OK);
    ck_assert_int_eq(tg_tensor_read(tg_to(tape, b, TG_F64), y, n * sizeof *y), TG_OK);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs(x[i] - y[i]) <= tolerance * (1 + fabs(y[i])),
                      "%s: element %zu is %.9g, written out %.9g", what, i, x[i], y[i]);
    free(x);
}

/* L, S, E, Ev: one block and several, lengths that no vector divides, more queries than keys and fewer, rows
 * of one element. */
static const int64_t shapes[][4] = {{64, 64, 64, 64}, {150, 200, 16, 24}, {130, 70, 33, 8}, {3, 5, 4, 1},
                                    {2, 1, 1, 3},     {70, 1100, 8, 8},   {1, 256, 32, 32}};

START_TEST(one_row_is_what_its_parts_are)
{
    const int64_t *s = shapes[_i], l = s[0], keys = s[1];
    for (int dtype = TG_F32; dtype <= TG_F64; dtype++)
        for (int how = 0; how < 4; how++) {
            const double tolerance = dtype == TG_F32 ? 3e-5 : 1e-11,
                         scale = how == 2 ? 0.3 : 1 / sqrt((double)s[2]);
            tg_tensor *leaves[] = {random_leaf(l, s[2], 1), random_leaf(keys, s[2], 2),
                                   random_leaf(keys, s[3], 3)};
            tg_tensor *q = heads(leaves[0], dtype), *k = heads(leaves[1], dtype),
                      *v = heads(leaves[2], dtype);
            tg_tensor *later = tg_where(tape, tg_triu(tape, tg_full(tape, TG_BOOL, DIMS(l, keys), 1), 1),
                                        tg_scalar(tape, dtype, -(double)INFINITY), tg_scalar(tape, dtype, 0));
            /* A number a key, of each example; and a full mask, causal by −∞. */
            tg_tensor *mask = how == 2   ? tg_slice(tape, tg_slice(tape, k, 1, 0, 1, 1), 3, 0, 1, 1)
                              : how == 3 ? later
                                         : NULL;
            mask = mask && how == 2 ? tg_detach(tape, tg_transpose(tape, mask, -2, -1)) : mask;
            tg_attention_options o = {
                .is_causal = how == 1, .attn_mask = mask, .has_scale = how == 2, .scale = scale};
            tg_tensor *y = tg_scaled_dot_product_attention(tape, q, k, v, &o), *got[3], *want[3];
            tg_tensor *z = plainly(q, k, v, how == 1 ? later : mask, scale);
            near_each_other(y, z, tolerance, "result");
            ck_assert_int_eq(tg_grad(tape, tg_sum(tape, tg_square(tape, y)), NULL, leaves, 3, got, TG_RETAIN),
                             TG_OK);
            ck_assert_int_eq(
                tg_grad(tape, tg_sum(tape, tg_square(tape, z)), NULL, leaves, 3, want, TG_RETAIN), TG_OK);
            for (int i = 0; i < 3; i++)
                near_each_other(got[i], want[i], tolerance * 30, i == 0 ? "query" : i == 1 ? "key" : "value");
            tg_tape_reset(tape);
        }
}
END_TEST

/* Heads that lie within the rows stay there, and so do their gradients. */
START_TEST(results_keep_the_order_of_heads)
{
    tg_tensor *x = random_leaf(5, 4, 1), *q = heads(x, TG_F64);
    tg_tensor *y = tg_scaled_dot_product_attention(tape, q, q, q, NULL);
    tg_desc d;
    ck_assert_int_eq(tg_tensor_desc(tg_transpose(tape, y, 1, 2), &d), TG_OK);
    ck_assert(tg_desc_is_dense(&d));
    tg_tensor *row = tg_contiguous(tape, q), *z = tg_scaled_dot_product_attention(tape, row, row, row, NULL);
    ck_assert_int_eq(tg_tensor_desc(z, &d), TG_OK);
    ck_assert(tg_desc_is_dense(&d));
    near_each_other(y, z, 1e-14, "result");
}
END_TEST

START_TEST(a_nan_reaches_whom_it_concerns)
{
    tg_tensor *q = tg_full(tape, TG_F64, DIMS(3, 2), 1), *k = tg_full(tape, TG_F64, DIMS(2, 2), 1);
    const double x[] = {1, 1, NAN, 1, 1, 1};
    double y[6];
    tg_tensor *one = tensor(TG_F64, DIMS(3, 2), x, 6);
    ck_assert_int_eq(tg_tensor_read(tg_scaled_dot_product_attention(tape, one, k, k, NULL), y, sizeof y),
                     TG_OK);
    ck_assert(y[0] == 1 && isnan(y[2]) && isnan(y[3]) && y[5] == 1);
    tg_tensor *out = tensor(TG_F64, DIMS(2), (const double[]){-INFINITY, NAN}, 2);
    tg_tensor *z = tg_scaled_dot_product_attention(tape, q, k, k, &(tg_attention_options){.attn_mask = out});
    ck_assert_int_eq(tg_tensor_read(z, y, sizeof y), TG_OK);
    ck_assert(isnan(y[0]) && isnan(y[5]));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("attention");
    TCase *t = tcase_create("attention");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, one_row_is_what_its_parts_are, 0, sizeof shapes / sizeof *shapes);
    tcase_add_test(t, results_keep_the_order_of_heads);
    tcase_add_test(t, a_nan_reaches_whom_it_concerns);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
