/* Pooling: what the samples and golden cases do not show: NaN, infinities, ties, windows over the end, no
 * batch, other dtypes, strides, no elements, refusals; and the normalisations that look at groups. */
#include "operators/rig.h"

#include <tapegrad/op_attrs.h>
#include <tapegrad/operator.h>

#define LIST(...) ((const int64_t[]){__VA_ARGS__})
#define POOL(...) (&(const tg_pool_options){__VA_ARGS__})

START_TEST(largest)
{
    const tg_dtype dtype = _i ? TG_F64 : TG_F32;
    tg_tensor *x = leaf(dtype, DIMS(1, 3, 4), VALUES(1, 5, 5, 2, 3, 0, 4, 4, 9, 1, 2, 8)), *at;
    tg_tensor *y = tg_max_pool(tape, x, 2, POOL(.kernel = {2, 2}, .stride = {1, 2}), &at);
    expect(y, 0, DIMS(1, 2, 2), VALUES(5, 5, 9, 8));
    expect(at, 0, DIMS(1, 2, 2), VALUES(1, 2, 8, 11));
    expect(weighted_gradient(y, x), 0, DIMS(1, 3, 4), VALUES(0, 1, 2, 0, 0, 0, 0, 0, 3, 0, 0, 4));
    y = tg_max_pool(tape, x, 2, POOL(.kernel = {3, 3}, .stride = {1, 1}, .padding = {1, 1}), NULL);
    expect(y, 0, DIMS(1, 3, 4), VALUES(5, 5, 5, 5, 9, 9, 8, 8, 9, 9, 8, 8));
    expect(weighted_gradient(y, x), 0, DIMS(1, 3, 4), VALUES(0, 6, 4, 0, 0, 0, 0, 0, 30, 0, 0, 38));
    y = tg_max_pool(tape, x, 2, POOL(.kernel = {3, 2}), &at);
    expect(tg_max_unpool(tape, y, at, 2, LIST(3, 2), NULL, NULL, NULL), 0, DIMS(1, 3, 4),
           VALUES(0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 8));
    tg_tensor *flipped = tg_transpose(tape, x, 1, 2);
    expect(tg_max_pool(tape, flipped, 2, POOL(.kernel = {2, 3}), NULL), 0, DIMS(1, 2, 1), VALUES(9, 8));
    expect(tg_max_pool(tape, x, 1, POOL(.kernel = {2}, .dilation = {3}), NULL), 0, DIMS(1, 3, 1),
           VALUES(2, 4, 9));
    expect(tg_max_pool(tape, tensor(dtype, DIMS(0, 2, 5), VALUES(0)), 1, POOL(.kernel = {2}), NULL), 0,
           DIMS(0, 2, 2), VALUES(0));
}
END_TEST

START_TEST(over_the_end)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 5), VALUES(1, 2, 3, 4, 6)), *at;
    const tg_pool_options two = {.kernel = {2}, .ceil_mode = true};
    expect(tg_max_pool(tape, x, 1, &two, &at), 0, DIMS(1, 3), VALUES(2, 4, 6));
    expect(at, 0, DIMS(1, 3), VALUES(1, 3, 4));
    expect(tg_avg_pool(tape, x, 1, &two), 0, DIMS(1, 3), VALUES(1.5, 3.5, 6));
    expect(tg_avg_pool(tape, x, 1, POOL(.kernel = {3}, .stride = {2}, .padding = {1})), 1e-15, DIMS(1, 3),
           VALUES(1, 3, 10 / 3.0));
    expect(tg_avg_pool(tape, x, 1, POOL(.kernel = {3}, .stride = {2}, .padding = {1}, .exclude_pad = true)),
           1e-15, DIMS(1, 3), VALUES(1.5, 3, 5));
    expect(tg_avg_pool(tape, x, 1, POOL(.kernel = {3}, .padding = {1}, .divisor_override = -2)), 1e-15,
           DIMS(1, 2), VALUES(-1.5, -6.5));
    /* the third would begin in the right padding: torch leaves it out */
    expect(tg_avg_pool(tape, x, 1, POOL(.kernel = {3}, .stride = {3}, .padding = {1}, .ceil_mode = true)),
           1e-15, DIMS(1, 2), VALUES(1, 13 / 3.0));
    /* between its elements, on both sides of x, a window has nothing of it */
    expect(tg_max_pool(tape, tensor(TG_F32, DIMS(1, 1), VALUES(7)), 1,
                       POOL(.kernel = {2}, .stride = {1}, .padding = {2}, .dilation = {3}), &at),
           0, DIMS(1, 2), VALUES(-INFINITY, -INFINITY));
    expect(at, 0, DIMS(1, 2), VALUES(-1, -1));
}
END_TEST

START_TEST(special_values)
{
    tg_tensor *x = leaf(TG_F32, DIMS(1, 6), VALUES(1, NAN, 9, -INFINITY, -INFINITY, -INFINITY)), *at;
    tg_tensor *y = tg_max_pool(tape, x, 1, POOL(.kernel = {3}), &at);
    expect(y, 0, DIMS(1, 2), VALUES(NAN, -INFINITY));
    expect(at, 0, DIMS(1, 2), VALUES(1, 3));
    expect(weighted_gradient(y, x), 0, DIMS(1, 6), VALUES(0, 1, 0, 2, 0, 0));
    x = tensor(TG_F64, DIMS(1, 3), VALUES(NAN, NAN, 2)); /* of NaNs the last one */
    expect(tg_adaptive_max_pool(tape, x, 1, LIST(1), &at), 0, DIMS(1, 1), VALUES(NAN));
    expect(at, 0, DIMS(1, 1), VALUES(1));
}
END_TEST

START_TEST(powers)
{
    tg_tensor *x = leaf(TG_F64, DIMS(1, 1, 4), VALUES(3, 4, 0, 0));
    tg_tensor *y = tg_lp_pool(tape, x, 1, 2, POOL(.kernel = {2}));
    expect(y, 1e-15, DIMS(1, 1, 2), VALUES(5, 0));
    expect(weighted_gradient(y, x), 1e-15, DIMS(1, 1, 4), VALUES(0.6, 0.8, 0, 0));
}
END_TEST

/* PyTorch's numbers. */
START_TEST(infinite_powers)
{
    tg_tensor *x = leaf(TG_F64, DIMS(1, 1, 9), VALUES(1, -5, 2, 0, 0, 0, NAN, 3, 9));
    tg_tensor *y = tg_lp_pool(tape, x, 1, INFINITY, POOL(.kernel = {2}, .ceil_mode = true));
    expect(y, 0, DIMS(1, 1, 5), VALUES(5, 2, 0, NAN, 9));
    expect(weighted_gradient(y, x), 0, DIMS(1, 1, 9), VALUES(0, -1, 2, 0, 0, 0, 0, 0, 5));
    x = leaf(TG_F32, DIMS(1, 7), VALUES(1, -5, -2, 3, NAN, 0, -6));
    y = tg_lp_pool(tape, x, 1, -INFINITY, POOL(.kernel = {2}, .ceil_mode = true));
    expect(y, 0, DIMS(1, 4), VALUES(1, 2, NAN, 6));
    expect(weighted_gradient(y, x), 0, DIMS(1, 7), VALUES(1, 0, -2, 0, 0, 0, -4));
}
END_TEST

START_TEST(adapting)
{
    tg_tensor *x = leaf(TG_F64, DIMS(1, 2, 5), VALUES(1, 2, 3, 4, 5, 10, 9, 8, 7, 6)), *at;
    tg_tensor *y = tg_adaptive_max_pool(tape, x, 2, LIST(TG_NONE_INT, 3), &at);
    expect(y, 0, DIMS(1, 2, 3), VALUES(2, 4, 5, 10, 9, 7));
    expect(at, 0, DIMS(1, 2, 3), VALUES(1, 3, 4, 5, 6, 8));
    expect(weighted_gradient(y, x), 0, DIMS(1, 2, 5), VALUES(0, 1, 0, 2, 3, 4, 5, 0, 6, 0));
    y = tg_adaptive_avg_pool(tape, x, 2, LIST(1, 3));
    expect(y, 1e-15, DIMS(1, 1, 3), VALUES(5.5, 5.5, 5.5));
    expect(weighted_gradient(y, x), 1e-15, DIMS(1, 2, 5),
           VALUES(0.25, 0.25 + 2 / 6.0, 2 / 6.0, 2 / 6.0 + 0.75, 0.75));
    expect(tg_adaptive_avg_pool(tape, x, 2, LIST(1, 1)), 1e-15, DIMS(1, 1, 1), VALUES(5.5));
    y = tg_adaptive_avg_pool(tape, x, 2, LIST(3, 0));
    expect(y, 0, DIMS(1, 3, 0), VALUES(0));
    expect(weighted_gradient(y, x), 0, DIMS(1, 2, 5), VALUES(0));
    expect(tg_adaptive_max_pool(tape, x, 1, LIST(0), NULL), 0, DIMS(1, 2, 0), VALUES(0));
}
END_TEST

/* Where nobody asks for the places, the gradient finds them again: the same as with them, once and twice. */
START_TEST(without_indices)
{
    static const tg_pool_options kinds[] = {{.kernel = {2, 2}},
                                            {.kernel = {3, 2}, .stride = {1, 3}, .padding = {1, 1}, .ceil_mode = true},
                                            {.kernel = {2, 2}, .padding = {1, 1}, .dilation = {3, 2}}};
    double v[56];
    for (int i = 0; i < 56; i++)
        v[i] = (double)(i * 13 % 17); /* there are equal ones */
    v[5] = v[20] = NAN;
    v[33] = v[34] = v[40] = v[41] = -INFINITY;
    tg_tensor *x = leaf(TG_F64, DIMS(2, 4, 7), v, 56), *at, *gx[2], *gg[2], *w;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        tg_tensor *y[] = {tg_max_pool(tape, x, 2, &kinds[k], &at), tg_max_pool(tape, x, 2, &kinds[k], NULL)};
        for (int i = 0; i < 2; i++) {
            /* d(Σ y·w)/dx, and its derivative by w */
            w = tg_add_scalar(tape, tg_zeros_like(tape, y[i]), 1.5);
            tg_tensor_set_requires_grad(w, true);
            ck_assert_int_eq(tg_grad(tape, y[i], w, &x, 1, &gx[i], TG_CREATE_GRAPH), TG_OK);
            ck_assert_int_eq(tg_grad(tape, tg_sum(tape, tg_square(tape, gx[i])), NULL, &w, 1, &gg[i], 0), TG_OK);
        }
        expect(tg_sum(tape, tg_ne(tape, gx[0], gx[1])), 0, SCALAR, VALUES(0));
        expect(tg_sum(tape, tg_ne(tape, gg[0], gg[1])), 0, SCALAR, VALUES(0));
        ck_assert_int_eq(tg_tape_status(tape), TG_OK);
    }
}
END_TEST

/* More elements than one thread takes: the same bits as on one. */
START_TEST(large)
{
    double v[997];
    for (int i = 0; i < 997; i++)
        v[i] = (double)(i * 7919 % 997) / 31.0;
    tg_tensor *x = leaf(TG_F32, DIMS(2, 3, 120, 120), v, 997), *at;
    const tg_pool_options o = {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}};
    tg_tensor *y = tg_max_pool(tape, x, 2, &o, &at), *g = tg_sum(tape, weighted_gradient(y, x));
    tg_tensor *one = tg_max_pool(tape, tg_slice(tape, x, 0, 1, 2, 1), 2, &o, NULL);
    expect(tg_sum(tape, tg_ne(tape, tg_slice(tape, y, 0, 1, 2, 1), one)), 0, SCALAR, VALUES(0));
    const double n = 2 * 3 * 60 * 60;
    expect(g, 1e-5, SCALAR, VALUES(n * (n + 1) / 2));
    y = tg_avg_pool(tape, x, 2, &o);
    one = tg_avg_pool(tape, tg_slice(tape, x, 0, 1, 2, 1), 2, &o);
    expect(tg_sum(tape, tg_ne(tape, tg_slice(tape, y, 0, 1, 2, 1), one)), 0, SCALAR, VALUES(0));
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 2, 4), VALUES(1)),
              *empty = tensor(TG_F64, DIMS(1, 2, 0), VALUES(1));
    expect_error(tg_max_pool(tape, x, 1, POOL(.kernel = {5}), NULL), TG_ESHAPE,
                 "max_pool(f64[1, 2, 4]): no window: in dim 0 it spans 5 of 4 elements");
    expect_error(tg_max_pool(tape, x, 1, POOL(.kernel = {2}, .padding = {2}), NULL), TG_EINVAL,
                 "padding of dim 0 is 2, expected at most half of a window's 2");
    expect_error(tg_max_pool(tape, x, 2, POOL(.kernel = {2}), NULL), TG_EINVAL, "kernel of dim 1 is 0");
    expect_error(tg_avg_pool(tape, x, 1, POOL(.kernel = {2}, .stride = {-1})), TG_EINVAL,
                 "stride of dim 0 is -1");
    expect_error(tg_avg_pool(tape, x, 1, POOL(.kernel = {2}, .dilation = {2})), TG_EINVAL,
                 "avg_pool: dilation is for max_pool");
    expect_error(tg_max_pool(tape, x, 1, POOL(.kernel = {2}, .exclude_pad = true), NULL), TG_EINVAL,
                 "max_pool: exclude_pad is for avg_pool");
    expect_error(tg_lp_pool(tape, x, 1, NAN, POOL(.kernel = {2})), TG_EINVAL, "lp_pool: p is nan");
    expect_error(tg_lp_pool(tape, x, 1, 0, POOL(.kernel = {2})), TG_EINVAL, "lp_pool: p is 0, expected");
    expect_error(tg_lp_pool(tape, x, 1, 2, POOL(.kernel = {2}, .padding = {1})), TG_EINVAL,
                 "lp_pool: there is no");
    expect_error(tg_max_pool(tape, x, 4, POOL(.kernel = {2}), NULL), TG_EINVAL, "n must be 1, 2 or 3");
    expect_error(tg_max_pool(tape, x, 3, POOL(.kernel = {2, 2, 2}), NULL), TG_ESHAPE,
                 "n + 1 or n + 2 dims; n is 3");
    expect_error(tg_max_pool(tape, x, 1, NULL, NULL), TG_EINVAL, "the options are NULL");
    expect_error(tg_max_pool(tape, NULL, 1, POOL(.kernel = {2}), NULL), TG_EINVAL, "x is NULL");
    expect_error(tg_max_pool(tape, empty, 1, POOL(.kernel = {2}), NULL), TG_ESHAPE, "has size 0");
    expect_error(tg_max_pool(tape, tensor(TG_I64, DIMS(1, 4), VALUES(1)), 1, POOL(.kernel = {2}), NULL),
                 TG_EDTYPE, "x is i64");
    expect_error(tg_adaptive_avg_pool(tape, x, 1, LIST(-1)), TG_EINVAL, "adaptive_avg_pool: dim 0");
    expect_error(tg_adaptive_avg_pool(tape, tensor(TG_I64, DIMS(1, 4), VALUES(1)), 1, LIST(1)), TG_EDTYPE,
                 "x is i64");
    expect_error(tg_adaptive_max_pool(tape, empty, 1, LIST(1), NULL), TG_ESHAPE, "has size 0");
}
END_TEST

START_TEST(groups)
{
    const tg_dtype dtype = _i ? TG_F64 : TG_F32;
    const double r = 1 / sqrt(1.25), s = 1 / sqrt(0.25);
    tg_tensor *x = leaf(dtype, DIMS(1, 4, 2), VALUES(1, 2, 3, 4, 5, 5, 6, 6));
    tg_tensor *w = tensor(dtype, DIMS(4), VALUES(1, 2, 3, 4)),
              *b = tensor(dtype, DIMS(4), VALUES(0, 1, 0, 1));
    expect(tg_group_norm(tape, x, 2, w, b, 0), 1e-6, DIMS(1, 4, 2),
           VALUES(-1.5 * r, -0.5 * r, 1 + r, 1 + 3 * r, -1.5 * s, -1.5 * s, 1 + 2 * s, 1 + 2 * s));
    expect(tg_instance_norm(tape, tg_slice(tape, x, 1, 0, 2, 1), NULL, NULL, 0), 1e-6, DIMS(1, 2, 2),
           VALUES(-1, 1, -1, 1));
    tg_tensor *y = tg_rms_norm(tape, tensor(dtype, DIMS(2, 2), VALUES(3, 4, 0, 0)), 1, NULL, 0.5);
    expect(y, 1e-6, DIMS(2, 2), VALUES(3 / sqrt(13), 4 / sqrt(13), 0, 0));
    tg_tensor *ones = tensor(dtype, DIMS(1, 3, 1), VALUES(1, 2, 3)),
              *l = tg_local_response_norm(tape, ones, 2, 1, 1, 1);
    expect(l, 1e-6, DIMS(1, 3, 1), VALUES(1 / 1.5, 2 / 3.5, 3 / 7.5));
    /* the mean is far from 0: no digits of the variance are lost */
    tg_tensor *far = tensor(TG_F64, DIMS(1, 1, 2), VALUES(1e9 + 1, 1e9 - 1));
    expect(tg_group_norm(tape, far, 1, NULL, NULL, 0), 1e-12, DIMS(1, 1, 2), VALUES(1, -1));
}
END_TEST

START_TEST(group_refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 4, 2), VALUES(1)), *w = tensor(TG_F64, DIMS(3), VALUES(1));
    expect_error(tg_group_norm(tape, x, 3, NULL, NULL, 1e-5), TG_ESHAPE,
                 "x has 4 channels, expected a multiple of the 3 groups");
    expect_error(tg_group_norm(tape, x, 0, NULL, NULL, 1e-5), TG_EINVAL, "groups is 0");
    expect_error(tg_group_norm(tape, x, 2, w, NULL, 1e-5), TG_ESHAPE, "weight is f64[3], expected f64[4]");
    expect_error(tg_group_norm(tape, x, 2, NULL, NULL, -1), TG_EINVAL, "eps is -1");
    expect_error(tg_instance_norm(tape, tensor(TG_F64, DIMS(2, 3, 1), VALUES(1)), NULL, NULL, 1e-5),
                 TG_ESHAPE, "more than one value a channel");
    expect_error(tg_rms_norm(tape, x, 4, NULL, 1e-5), TG_ESHAPE, "4 trailing dims");
    expect_error(tg_rms_norm(tape, tensor(TG_I64, DIMS(2), VALUES(1)), 1, NULL, 0), TG_EDTYPE, "x is i64");
    expect_error(tg_local_response_norm(tape, x, 0, 1, 1, 1), TG_EINVAL, "size must be positive");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("pool");
    TCase *t = tcase_create("pool");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, largest, 0, 2);
    tcase_add_test(t, over_the_end);
    tcase_add_test(t, special_values);
    tcase_add_test(t, powers);
    tcase_add_test(t, infinite_powers);
    tcase_add_test(t, adapting);
    tcase_add_test(t, without_indices);
    tcase_add_test(t, large);
    tcase_add_test(t, refusals);
    tcase_add_loop_test(t, groups, 0, 2);
    tcase_add_test(t, group_refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
