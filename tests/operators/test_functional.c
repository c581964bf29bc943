/* What torch.nn.functional has and is made of other operators: fractional pooling, bags of rows, dropout of channels,
 * shuffled channels, bilinear forms. Values and gradients are PyTorch's. */
#include "operators/rig.h"

#define LIST(...) ((const int64_t[]){__VA_ARGS__})

START_TEST(fractional_windows)
{
    const tg_dtype dtype = _i ? TG_F64 : TG_F32;
    double values[30], gx[30] = {0};
    for (int i = 0; i < 30; i++)
        values[i] = i * 7 % 31;
    gx[4] = 3, gx[7] = 1, gx[8] = 7, gx[13] = 4, gx[17] = 6, gx[22] = 9, gx[25] = 7, gx[26] = 8;
    tg_tensor *x = leaf(dtype, DIMS(1, 1, 5, 6), values, 30), *at = NULL;
    tg_tensor *where = tensor(dtype, DIMS(1, 1, 2), VALUES(0.3, 0.8));
    tg_tensor *y = tg_fractional_max_pool(tape, x, 2, LIST(2, 2), LIST(3, 3), where, &at);
    expect(y, 0, DIMS(1, 1, 3, 3), VALUES(18, 25, 28, 29, 25, 26, 20, 27, 30));
    expect(at, 0, DIMS(1, 1, 3, 3), VALUES(7, 8, 4, 13, 8, 17, 25, 26, 22));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 5, 6), gx, 30);
    /* Without a batch, of lines, with one window: the last one is at the end. */
    x = tensor(dtype, DIMS(2, 4), VALUES(9, 1, 2, 3, 8, 1, NAN, 3));
    where = tensor(dtype, DIMS(1, 2, 1), VALUES(0.5));
    expect(tg_fractional_max_pool(tape, x, 1, LIST(2), LIST(1), where, &at), 0, DIMS(2, 1), VALUES(3, NAN));
    expect(at, 0, DIMS(2, 1), VALUES(3, 2));
}
END_TEST

START_TEST(fractional_refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 1, 4, 4), VALUES(1)), *u = tensor(TG_F64, DIMS(1, 1, 2), VALUES(0.5)), *at = x;
    expect_error(tg_fractional_max_pool(tape, x, 2, LIST(2, 2), LIST(4, 3), u, &at), TG_ESHAPE, "do not fit");
    ck_assert_ptr_null(at);
    expect_error(tg_fractional_max_pool(tape, x, 2, LIST(2, 0), LIST(2, 2), u, NULL), TG_ESHAPE, "do not fit");
    expect_error(tg_fractional_max_pool(tape, x, 2, LIST(2, 2), LIST(2, 2), tensor(TG_F32, DIMS(1, 1, 2), VALUES(0)), NULL),
                 TG_ESHAPE, "samples is f32[1, 1, 2], expected f64");
    expect_error(tg_fractional_max_pool(tape, x, 2, LIST(2, 2), LIST(2, 2), tensor(TG_F64, DIMS(1, 2, 2), VALUES(0)), NULL),
                 TG_ESHAPE, "[N, C, 2]");
    expect_error(tg_fractional_max_pool(tape, x, 1, LIST(2), LIST(2), u, NULL), TG_ESHAPE, "n + 1 or n + 2 dims");
    expect_error(tg_fractional_max_pool(tape, x, 2, LIST(2, 2), NULL, u, NULL), TG_EINVAL, "NULL");
}
END_TEST

/* The rows, the bags, and PyTorch's results: by mode, then with padding_idx 1. */
static const double bag_y[][6] = {{7, 0, 0, 0, 2, 7}, {7.0 / 3, 0, 0, 0, 1, 3.5}, {3, 2, 0, 0, 2, 5},
                                  {1, 2, 0, 0, 2, 7}, {1, 2, 0, 0, 1, 3.5},       {1, 2, 0, 0, 2, 5}};
static const double bag_g[][8] = {{1, 2, 2, 4, 5, 6, 5, 6}, {1. / 3, 2. / 3, 2. / 3, 4. / 3, 2.5, 3, 2.5, 3},
                                  {0, 2, 1, 0, 0, 6, 5, 0}, {1, 2, 0, 0, 5, 6, 5, 6},
                                  {1, 2, 0, 0, 2.5, 3, 2.5, 3}, {1, 2, 0, 0, 0, 6, 5, 0}};

START_TEST(bags)
{
    tg_tensor *w = leaf(TG_F64, DIMS(4, 2), VALUES(1, 2, 3, -1, 0, 5, 2, 2));
    tg_tensor *index = tensor(TG_I64, DIMS(5), VALUES(0, 1, 1, 3, 2)), *from = tensor(TG_I64, DIMS(3), VALUES(0, 3, 3));
    const tg_embedding_bag_options o = {.mode = (tg_bag_mode)(_i % 3), .padding_idx = _i < 3 ? TG_NONE_INT : -3};
    tg_tensor *y = tg_embedding_bag(tape, index, w, from, NULL, &o);
    expect(y, 1e-15, DIMS(3, 2), bag_y[_i], 6);
    expect(weighted_gradient(y, w), 1e-15, DIMS(4, 2), bag_g[_i], 8);
}
END_TEST

START_TEST(bags_in_other_ways)
{
    tg_tensor *w = leaf(TG_F64, DIMS(4, 2), VALUES(1, 2, 3, -1, 0, 5, 2, 2));
    tg_tensor *index = tensor(TG_I64, DIMS(5), VALUES(0, 1, 1, 3, 2)), *from = tensor(TG_I64, DIMS(3), VALUES(0, 3, 3));
    tg_tensor *by = leaf(TG_F64, DIMS(5), VALUES(0.5, 1, 2, -1, 3)), *ends = tensor(TG_I64, DIMS(3), VALUES(0, 2, 4));
    tg_embedding_bag_options o = {.mode = TG_BAG_SUM, .padding_idx = TG_NONE_INT};
    tg_tensor *y = tg_embedding_bag(tape, index, w, from, by, &o);
    expect(y, 1e-15, DIMS(3, 2), VALUES(9.5, -2, 0, 0, -2, 13));
    expect(weighted_gradient(y, w), 1e-15, DIMS(4, 2), VALUES(0.5, 1, 3, 6, 15, 18, -5, -6));
    expect(weighted_gradient(y, by), 1e-15, DIMS(5), VALUES(5, 1, 1, 22, 30));
    o.scale_grad_by_freq = true;
    y = tg_sum(tape, tg_embedding_bag(tape, tensor(TG_I64, DIMS(2, 2), VALUES(0, 1, 1, 3)), w, NULL, NULL, &o));
    expect(weighted_gradient(y, w), 1e-15, DIMS(4, 2), VALUES(1, 1, 1, 1, 0, 0, 1, 1));
    o.include_last_offset = true;
    expect(tg_embedding_bag(tape, index, w, ends, NULL, &o), 1e-15, DIMS(2, 2), VALUES(4, 1, 5, 1));
    expect(tg_embedding_bag(tape, tensor(TG_I64, DIMS(2, 0), VALUES(0)), w, NULL, NULL, NULL), 0, DIMS(2, 2), VALUES(0));
}
END_TEST

START_TEST(bag_refusals)
{
    tg_tensor *w = tensor(TG_F64, DIMS(3, 2), VALUES(1)), *index = tensor(TG_I64, DIMS(3), VALUES(0, 1, 2));
    tg_tensor *pairs = tensor(TG_I64, DIMS(2, 2), VALUES(0, 1)), *by = tensor(TG_F64, DIMS(3), VALUES(1));
    const tg_embedding_bag_options max = {.mode = TG_BAG_MAX, .padding_idx = TG_NONE_INT, .scale_grad_by_freq = true};
#define FROM(...) tensor(TG_I64, DIMS(2), VALUES(__VA_ARGS__))
    expect_error(tg_embedding_bag(tape, index, w, NULL, NULL, NULL), TG_ESHAPE, "offsets with one dim");
    expect_error(tg_embedding_bag(tape, pairs, w, FROM(0, 1), NULL, NULL), TG_ESHAPE, "none with two");
    expect_error(tg_embedding_bag(tape, index, w, FROM(1, 2), NULL, NULL), TG_EINDEX, "begin with 0");
    expect_error(tg_embedding_bag(tape, index, w, FROM(0, 4), NULL, NULL), TG_EINDEX, "at most 3");
    expect_error(tg_embedding_bag(tape, index, w, tensor(TG_I64, DIMS(3), VALUES(0, 2, 1)), NULL, NULL), TG_EINDEX,
                 "never decrease");
    expect_error(tg_embedding_bag(tape, index, w, FROM(0, 1), by, NULL), TG_ESHAPE, "sum alone");
    expect_error(tg_embedding_bag(tape, pairs, w, NULL, NULL, &max), TG_ESHAPE, "not for the maximum");
    expect_error(tg_embedding_bag(tape, tensor(TG_I64, DIMS(1, 2), VALUES(0, 3)), w, NULL, NULL, NULL), TG_EINDEX,
                 "embedding_bag");
    expect_error(tg_embedding_bag(tape, by, w, NULL, NULL, NULL), TG_EDTYPE, "i64");
}
END_TEST

static tg_tensor *dropped(int kind, tg_tensor *x, double p, tg_mode mode)
{
    return kind == 0   ? tg_dropout1d(tape, x, p, mode)
           : kind == 1 ? tg_dropout2d(tape, x, p, mode)
           : kind == 2 ? tg_dropout3d(tape, x, p, mode)
           : kind == 3 ? tg_feature_alpha_dropout(tape, x, p, mode)
                       : tg_alpha_dropout(tape, x, p, mode);
}

/* Of 4 × 500 channels of 3 elements each, all or nothing of a channel is dropped, about p of them, and the gradient is
 * that of the same choice; an infinity that is dropped leaves no NaN; mean and variance stay with alpha. */
START_TEST(channels_are_dropped)
{
    enum { CHANNELS = 2000, EACH = 3, N = CHANNELS * EACH };
    static double values[N], y[N], g[N];
    const bool alpha = _i >= 3, whole = _i < 4;
    const double p = 0.3, limit = 1.7580993408473766, a = 1 / sqrt((limit * limit * p + 1) * (1 - p));
    const double scale = alpha ? a : 1 / (1 - p), kept_at = alpha ? limit * a * p : 0, gone = alpha ? -limit * a * (1 - p) : 0;
    for (int i = 0; i < N; i++)
        values[i] = i / EACH % 7 == 0 ? (double)INFINITY : 1 + i;
    tg_tensor *x = _i == 2 ? leaf(TG_F64, DIMS(4, 500, 1, 1, 3), values, N) : leaf(TG_F64, DIMS(4, 500, 3), values, N);
    const uint64_t draw = tg_tape_random_state(tape).draw;
    tg_tensor *out = dropped(_i, x, p, TG_TRAIN);
    ck_assert_msg(out != NULL, "%s", tg_tape_error(tape));
    ck_assert_uint_eq(tg_tape_random_state(tape).draw, draw + 1);
    ck_assert_int_eq(tg_tensor_read(out, y, sizeof y), TG_OK);
    ck_assert_int_eq(tg_tensor_read(weighted_gradient(out, x), g, sizeof g), TG_OK);
    int n_dropped = 0;
    for (int i = 0; i < N; i++) {
        const bool is = whole ? g[i / EACH * EACH] == 0 : g[i] == 0;
        n_dropped += is;
        ck_assert_double_eq_tol(g[i], is ? 0 : scale * (i + 1), 1e-9);
        if (is || !isinf(values[i]))
            ck_assert_double_eq_tol(y[i], is ? gone : scale * values[i] + kept_at, 1e-9 * (1 + fabs(y[i])));
        else
            ck_assert(isinf(y[i]));
    }
    ck_assert_double_eq_tol(n_dropped / (double)N, p, 0.06);
    ck_assert_ptr_eq(dropped(_i, x, p, TG_EVAL), x);
    ck_assert_ptr_eq(dropped(_i, x, 0, TG_TRAIN), x);
    expect(dropped(_i, tensor(TG_F64, DIMS(2, 2, 1), VALUES(1, NAN)), 1, TG_TRAIN), 0, DIMS(2, 2, 1), VALUES(0));
    ck_assert_uint_eq(tg_tape_random_state(tape).draw, draw + 1);
}
END_TEST

START_TEST(channels_without_a_batch)
{
    static double y[6000];
    tg_tensor *x = tensor(TG_F64, DIMS(1000, 2, 3, 1), VALUES(1));
    for (int kind = 0; kind < 2; kind++) {
        tg_tensor *out = kind ? tg_dropout3d(tape, x, 0.5, TG_TRAIN) : tg_dropout1d(tape, tg_flatten(tape, x, 1, 3), 0.5, TG_TRAIN);
        ck_assert_int_eq(tg_tensor_read(out, y, sizeof y), TG_OK);
        for (int i = 0; i < 6000; i++)
            ck_assert_double_eq(y[i], y[i / 6 * 6]);
    }
    expect_error(tg_dropout1d(tape, x, 0.5, TG_TRAIN), TG_ESHAPE, "dropout1d: x has 4 dims, expected 2 to 3");
    expect_error(tg_dropout2d(tape, tensor(TG_F64, DIMS(2), VALUES(1)), 0.5, TG_EVAL), TG_ESHAPE, "dropout2d: x has 1 dims");
    expect_error(tg_feature_alpha_dropout(tape, x, 1.5, TG_TRAIN), TG_EINVAL, "p is 1.5");
    expect_error(tg_alpha_dropout(tape, x, -1, TG_TRAIN), TG_EINVAL, "p is -1");
}
END_TEST

START_TEST(random_slopes)
{
    static double values[4000], y[4000], g[4000];
    double sum = 0;
    for (int i = 0; i < 4000; i++)
        values[i] = i % 2 ? -1 - i : 1 + i;
    tg_tensor *x = leaf(TG_F64, DIMS(4000), values, 4000), *out = tg_rrelu(tape, x, 0.1, 0.4, TG_TRAIN);
    ck_assert_int_eq(tg_tensor_read(out, y, sizeof y), TG_OK);
    ck_assert_int_eq(tg_tensor_read(weighted_gradient(out, x), g, sizeof g), TG_OK);
    for (int i = 0; i < 4000; i++) {
        const double slope = y[i] / values[i];
        ck_assert(i % 2 ? slope >= 0.1 && slope < 0.4 : slope == 1);
        ck_assert_double_eq_tol(g[i], slope * (i + 1), 1e-9 * (i + 1));
        sum += i % 2 ? slope : 0;
    }
    ck_assert_double_eq_tol(sum / 2000, 0.25, 0.01);
    const uint64_t draw = tg_tape_random_state(tape).draw;
    expect(tg_rrelu(tape, tensor(TG_F64, DIMS(3), VALUES(-2, 0, 3)), 0.1, 0.4, TG_EVAL), 1e-15, DIMS(3), VALUES(-0.5, 0, 3));
    ck_assert_uint_eq(tg_tape_random_state(tape).draw, draw);
    expect_error(tg_rrelu(tape, x, 0.4, 0.1, TG_TRAIN), TG_EINVAL, "lower ≤ upper");
}
END_TEST

START_TEST(shuffles_and_bilinear_forms)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 4, 2), VALUES(0, 1, 2, 3, 4, 5, 6, 7));
    expect(tg_channel_shuffle(tape, x, 2), 0, DIMS(1, 4, 2), VALUES(0, 1, 4, 5, 2, 3, 6, 7));
    expect_error(tg_channel_shuffle(tape, x, 3), TG_ESHAPE, "a divisor of C");
    expect_error(tg_channel_shuffle(tape, x, 0), TG_EINVAL, "groups 0");
    expect_error(tg_channel_shuffle(tape, tg_select(tape, x, 0, 0), 2), TG_ESHAPE, "[N, C, *]");
    tg_tensor *a = tensor(TG_F64, DIMS(2, 2), VALUES(1, 2, 3, 4)), *b = tensor(TG_F64, DIMS(2, 1), VALUES(5, 6));
    tg_tensor *w = tensor(TG_F64, DIMS(3, 2, 1), VALUES(1, 0, 0, 1, 1, 1)), *bias = tensor(TG_F64, DIMS(3), VALUES(0, 0, 1));
    expect(tg_bilinear(tape, a, b, w, bias), 0, DIMS(2, 3), VALUES(5, 10, 16, 18, 24, 43));
    expect(tg_bilinear(tape, tg_select(tape, a, 0, 0), tg_select(tape, b, 0, 0), w, NULL), 0, DIMS(3), VALUES(5, 10, 15));
    expect_error(tg_bilinear(tape, b, a, w, NULL), TG_ESHAPE, "[…, in1]");
    expect_error(tg_bilinear(tape, a, tg_select(tape, b, 0, 0), w, NULL), TG_ESHAPE, "x2 f64[1]");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("functional");
    TCase *c = tcase_create("functional");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_loop_test(c, fractional_windows, 0, 2);
    tcase_add_test(c, fractional_refusals);
    tcase_add_loop_test(c, bags, 0, 6);
    tcase_add_test(c, bags_in_other_ways);
    tcase_add_test(c, bag_refusals);
    tcase_add_loop_test(c, channels_are_dropped, 0, 5);
    tcase_add_test(c, channels_without_a_batch);
    tcase_add_test(c, random_slopes);
    tcase_add_test(c, shuffles_and_bilinear_forms);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
