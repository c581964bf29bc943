/* Views and copies: what they share, what they hold, their gradients and refusals. */
#include "operators/rig.h"

#include <tapegrad/op_attrs.h>
#include <tapegrad/operator.h>

static tg_tensor *six(void)
{
    return leaf(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
}

/* A write through the view is seen in x: they share memory. */
static bool shares(tg_tensor *view, tg_tensor *x)
{
    double before = 0, after = 0, one[64];
    size_t n = (size_t)tg_tensor_count(view);
    bool was = tg_tape_set_recording(tape, false);
    tg_item(tg_sum(tape, x), &before);
    tg_tensor_read(view, one, n * 8);
    one[0] += 100;
    tg_tensor_write(view, one, n * 8);
    tg_item(tg_sum(tape, x), &after);
    one[0] -= 100;
    tg_tensor_write(view, one, n * 8);
    tg_tape_set_recording(tape, was);
    return after == before + 100;
}

START_TEST(views_share)
{
    tg_tensor *x = tensor(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    ck_assert(shares(tg_reshape(tape, x, 3, 2), x));
    ck_assert(shares(tg_flatten(tape, x, 0, -1), x));
    ck_assert(shares(tg_transpose(tape, x, 0, 1), x));
    ck_assert(shares(tg_narrow(tape, x, 1, 1, 2), x));
    ck_assert(shares(tg_slice(tape, x, 1, 0, 3, 2), x));
    ck_assert(shares(tg_select(tape, x, 0, 1), x));
    ck_assert(shares(tg_unsqueeze(tape, x, 1), x));
    ck_assert(shares(tg_squeeze(tape, tg_unsqueeze(tape, x, 0), 0), x));
    ck_assert(shares(tg_unsqueeze(tape, tg_transpose(tape, x, 0, 1), -1), x));
    /* Copies do not. */
    ck_assert(!shares(tg_clone(tape, x), x));
    ck_assert(!shares(tg_contiguous(tape, tg_transpose(tape, x, 0, 1)), x));
    ck_assert(!shares(tg_reshape(tape, tg_transpose(tape, x, 0, 1), -1), x));
    ck_assert_ptr_eq(tg_contiguous(tape, x), x);
}
END_TEST

START_TEST(reshaping)
{
    tg_tensor *x = six();
    expect(tg_reshape(tape, x, 3, 2), 0, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_reshape(tape, x, -1), 0, DIMS(6), VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_reshape(tape, x, 3, -1, 1), 0, DIMS(3, 2, 1), VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_reshape(tape, tg_transpose(tape, x, 0, 1), 6), 0, DIMS(6), VALUES(1, 4, 2, 5, 3, 6));
    expect(tg_flatten(tape, tg_unsqueeze(tape, x, 1), 1, 2), 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_flatten(tape, tensor(TG_F64, SCALAR, VALUES(7)), 0, -1), 0, DIMS(1), VALUES(7));
    expect(tg_reshape_dims(tape, tensor(TG_F64, DIMS(1, 1), VALUES(7)), NULL, 0), 0, SCALAR, VALUES(7));
    expect(tg_reshape(tape, tensor(TG_F64, DIMS(0, 3), VALUES(7)), 3, -1, 2), 0, DIMS(3, 0, 2), VALUES(0));
    expect(weighted_gradient(tg_reshape(tape, tg_transpose(tape, x, 0, 1), 6), x), 0, DIMS(2, 3),
           VALUES(1, 3, 5, 2, 4, 6));
    expect_error(tg_reshape(tape, x, 4, 2), TG_ESHAPE, "has 6 elements, which do not fit [4, 2]");
    expect_error(tg_reshape(tape, x, 4, -1), TG_ESHAPE, "[4, -1]");
    expect_error(tg_reshape(tape, x, -1, -1), TG_ESHAPE, "[-1, -1]");
    expect_error(tg_reshape(tape, x, -2, -3), TG_ESHAPE, "[-2, -3]");
    expect_error(tg_reshape(tape, x, INT64_MAX, 4), TG_ESHAPE, "do not fit");
    expect_error(tg_reshape(tape, tensor(TG_F64, DIMS(0), VALUES(1)), 0, -1), TG_ESHAPE, "in one way only");
    expect_error(tg_reshape(tape, x, 1, 1, 1, 1, 1, 1, 1, 1, 6), TG_ESHAPE, "at most 8 dims");
    expect_error(tg_flatten(tape, x, 1, 0), TG_EINVAL, "flatten: start_dim 1 is behind end_dim 0");
}
END_TEST

/* Shapes that strided tensors can and cannot be seen as. */
START_TEST(reshaping_strided)
{
    double v[120];
    for (int i = 0; i < 120; i++)
        v[i] = i;
    tg_tensor *x = tensor(TG_F64, DIMS(2, 3, 4, 5), v, 120), *p = tg_permute(tape, x, 0, 2, 3, 1);
    tg_tensor *seen = tg_reshape(tape, p, 2, 20, 3), *copied = tg_reshape(tape, p, 2, 60);
    tg_desc d;
    tg_tensor_desc(seen, &d);
    ck_assert(!tg_desc_is_dense(&d));
    tg_tensor_desc(copied, &d);
    ck_assert(tg_desc_is_dense(&d));
    double a[120], b[120];
    tg_tensor_read(seen, a, sizeof a);
    tg_tensor_read(copied, b, sizeof b);
    ck_assert(!memcmp(a, b, sizeof a));
    tg_tensor *e = tg_expand(tape, tensor(TG_F64, DIMS(1, 2), VALUES(1, 2)), 3, 2);
    expect(tg_reshape(tape, e, 6), 0, DIMS(6), VALUES(1, 2));
    expect(tg_reshape(tape, e, 3, 1, 2), 0, DIMS(3, 1, 2), VALUES(1, 2));
}
END_TEST

START_TEST(permuting)
{
    tg_tensor *x = six();
    expect(tg_transpose(tape, x, 0, -1), 0, DIMS(3, 2), VALUES(1, 4, 2, 5, 3, 6));
    expect(tg_permute(tape, tg_unsqueeze(tape, x, 0), 2, 0, 1), 0, DIMS(3, 1, 2), VALUES(1, 4, 2, 5, 3, 6));
    expect(weighted_gradient(tg_transpose(tape, x, 0, 1), x), 0, DIMS(2, 3), VALUES(1, 3, 5, 2, 4, 6));
    expect(tg_transpose(tape, tensor(TG_F64, SCALAR, VALUES(3)), 0, -1), 0, SCALAR, VALUES(3));
    expect_error(tg_permute(tape, x, 0, 0), TG_EINVAL, "each of the 2 dims once, got [0, 0]");
    expect_error(tg_permute(tape, x, 0), TG_ESHAPE, "each of the 2 dims once");
    expect_error(tg_transpose(tape, x, 0, 2), TG_EINVAL, "transpose: dim must be between -2 and 1, got 2");
}
END_TEST

START_TEST(expanding)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 1), VALUES(1, 2));
    tg_tensor *y = tg_expand(tape, x, 3, 2, 2);
    expect(y, 0, DIMS(3, 2, 2), VALUES(1, 1, 2, 2));
    expect(weighted_gradient(y, x), 0, DIMS(2, 1), VALUES(1 + 2 + 5 + 6 + 9 + 10, 3 + 4 + 7 + 8 + 11 + 12));
    expect(tg_expand(tape, x, -1, 3), 0, DIMS(2, 3), VALUES(1, 1, 1, 2, 2, 2));
    expect(tg_expand(tape, tensor(TG_F64, SCALAR, VALUES(5)), 2), 0, DIMS(2), VALUES(5));
    expect(tg_expand(tape, x, 2, 0), 0, DIMS(2, 0), VALUES(0));
    expect_error(tg_expand(tape, x, 3, 3), TG_ESHAPE, "only dims of size 1 expand: 2 is not 3 in dim 0");
    expect_error(tg_expand(tape, x, 2), TG_ESHAPE, "cannot be expanded to [2]");
    expect_error(tg_expand(tape, x, -1, 2, 1), TG_ESHAPE, "negative");
    /* Several elements are one: no writing. */
    tg_tensor *free_of_history = tg_detach(tape, y);
    double v[12] = {0};
    ck_assert_int_ne(tg_tensor_write(free_of_history, v, sizeof v), TG_OK);
}
END_TEST

START_TEST(squeezing)
{
    tg_tensor *x = tensor(TG_F64, DIMS(1, 2, 1), VALUES(1, 2));
    expect(tg_squeeze(tape, x, 0), 0, DIMS(2, 1), VALUES(1, 2));
    expect(tg_squeeze(tape, x, -1), 0, DIMS(1, 2), VALUES(1, 2));
    expect(tg_squeeze(tape, x, 1), 0, DIMS(1, 2, 1), VALUES(1, 2));
    expect(tg_unsqueeze(tape, x, -1), 0, DIMS(1, 2, 1, 1), VALUES(1, 2));
    expect(tg_unsqueeze(tape, tensor(TG_F64, SCALAR, VALUES(3)), 0), 0, DIMS(1), VALUES(3));
    expect_error(tg_squeeze(tape, x, 3), TG_EINVAL, "squeeze: dim");
    expect_error(tg_unsqueeze(tape, x, 4), TG_EINVAL, "unsqueeze: dim must be between -4 and 3, got 4");
    expect_error(tg_unsqueeze(tape, tensor(TG_F64, DIMS(1, 1, 1, 1, 1, 1, 1, 1), VALUES(1)), 0), TG_ESHAPE,
                 "8 dims");
}
END_TEST

START_TEST(slicing)
{
    tg_tensor *x = six();
    expect(tg_narrow(tape, x, 1, 1, 2), 0, DIMS(2, 2), VALUES(2, 3, 5, 6));
    expect(tg_narrow(tape, x, 1, -2, 1), 0, DIMS(2, 1), VALUES(2, 5));
    expect(tg_narrow(tape, x, 0, 2, 0), 0, DIMS(0, 3), VALUES(0));
    expect(tg_slice(tape, x, 1, 0, INT64_MAX, 2), 0, DIMS(2, 2), VALUES(1, 3, 4, 6));
    expect(tg_slice(tape, x, 1, -2, -1, 1), 0, DIMS(2, 1), VALUES(2, 5));
    expect(tg_slice(tape, x, 1, INT64_MIN, 100, 1), 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_slice(tape, x, 1, 2, 1, 1), 0, DIMS(2, 0), VALUES(0));
    expect(tg_slice(tape, x, 1, 0, 3, INT64_MAX), 0, DIMS(2, 1), VALUES(1, 4));
    expect(tg_select(tape, x, 0, 1), 0, DIMS(3), VALUES(4, 5, 6));
    expect(tg_select(tape, x, 1, -1), 0, DIMS(2), VALUES(3, 6));
    expect(weighted_gradient(tg_slice(tape, x, 1, 0, 3, 2), x), 0, DIMS(2, 3), VALUES(1, 0, 2, 3, 0, 4));
    expect(weighted_gradient(tg_select(tape, x, 1, 1), x), 0, DIMS(2, 3), VALUES(0, 1, 0, 0, 2, 0));
    expect(weighted_gradient(tg_narrow(tape, x, 0, 2, 0), x), 0, DIMS(2, 3), VALUES(0));
    expect_error(tg_narrow(tape, x, 1, 2, 2), TG_EINVAL,
                 "narrow: 2 elements from 2 are not inside dim 1 of size 3");
    expect_error(tg_narrow(tape, x, 1, 0, -1), TG_EINVAL, "narrow");
    expect_error(tg_narrow(tape, x, 1, INT64_MIN, 1), TG_EINVAL, "narrow");
    expect_error(tg_slice(tape, x, 1, 0, 3, 0), TG_EINVAL, "slice: step must be 1 or more, got 0");
    expect_error(tg_select(tape, x, 0, 2), TG_EINDEX, "select: index 2 is outside dim 0 of x, f64[2, 3]");
    expect_error(tg_select(tape, tensor(TG_F64, SCALAR, VALUES(1)), 0, 0), TG_ESHAPE, "has no dims");
}
END_TEST

START_TEST(joining)
{
    tg_tensor *a = six(), *b = leaf(TG_F64, DIMS(2, 1), VALUES(7, 8)),
              *e = tensor(TG_F64, DIMS(2, 0), VALUES(1));
    tg_tensor *y = tg_cat(tape, 1, a, b, e, b);
    expect(y, 0, DIMS(2, 5), VALUES(1, 2, 3, 7, 7, 4, 5, 6, 8, 8));
    expect(weighted_gradient(y, a), 0, DIMS(2, 3), VALUES(1, 2, 3, 6, 7, 8));
    expect(weighted_gradient(y, b), 0, DIMS(2, 1), VALUES(9, 19));
    expect(tg_cat(tape, -2, a, tg_narrow(tape, a, 0, 0, 1)), 0, DIMS(3, 3),
           VALUES(1, 2, 3, 4, 5, 6, 1, 2, 3));
    tg_tensor *s = tg_stack(tape, 1, b, tg_neg(tape, b));
    expect(s, 0, DIMS(2, 2, 1), VALUES(7, -7, 8, -8));
    expect(weighted_gradient(s, b), 0, DIMS(2, 1), VALUES(-1));
    expect(tg_stack(tape, -1, tensor(TG_I64, SCALAR, VALUES(4)), tensor(TG_I64, SCALAR, VALUES(5))), 0,
           DIMS(2), VALUES(4, 5));
    expect(tg_cat(tape, 0, tensor(TG_BOOL, DIMS(2), VALUES(1, 0)), tensor(TG_BOOL, DIMS(1), VALUES(1))), 0,
           DIMS(3), VALUES(1, 0, 1));
    expect_error(tg_cat(tape, 0, a, b), TG_ESHAPE, "in dim 1, tensor 1 has 1 and tensor 0 3");
    expect(tg_cat(tape, 0, a, tensor(TG_F32, DIMS(1, 3), VALUES(0.5))), 0, DIMS(3, 3),
           VALUES(1, 2, 3, 4, 5, 6, 0.5, 0.5, 0.5));
    expect_error(tg_cat(tape, 0, a, tensor(TG_F64, DIMS(3), VALUES(1))), TG_ESHAPE, "tensor 1 has 1");
    expect_error(tg_cat_n(tape, NULL, 0, 0), TG_EINVAL, "at least one tensor");
    expect_error(tg_stack(tape, 0, a, b), TG_ESHAPE,
                 "stack: all tensors must have the same dims, but tensor 1 is f64[2, 1]");
    expect_error(tg_stack(tape, 3, a, a), TG_EINVAL, "stack: dim");
}
END_TEST

/* More tensors than any array on a stack. */
START_TEST(joining_many)
{
    enum { N = 300 };
    tg_tensor *xs[N], *x = leaf(TG_F32, DIMS(2), VALUES(1, 2));
    for (int i = 0; i < N; i++)
        xs[i] = tg_mul_scalar(tape, x, i);
    double out[2 * N];
    for (int i = 0; i < N; i++) {
        out[i] = i;
        out[N + i] = 2 * i;
    }
    expect(tg_stack_n(tape, xs, N, 1), 0, DIMS(2, N), out, 2 * N);
    expect(weighted_gradient(tg_sum(tape, tg_cat_n(tape, xs, N, 0)), x), 0, DIMS(2), VALUES(N * (N - 1) / 2));
}
END_TEST

START_TEST(constants)
{
    tg_tensor *x = leaf(TG_F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
    expect(tg_zeros_like(tape, x), 0, DIMS(2, 2), VALUES(0));
    expect(tg_ones_like(tape, x), 0, DIMS(2, 2), VALUES(1));
    ck_assert_int_eq(tg_tensor_dtype(tg_ones_like(tape, x)), TG_F32);
    ck_assert(!tg_tensor_requires_grad(tg_ones_like(tape, x)));
    expect(tg_full(tape, TG_I64, DIMS(3), -7), 0, DIMS(3), VALUES(-7));
    expect(tg_full(tape, TG_BOOL, DIMS(2), 3), 0, DIMS(2), VALUES(1));
    expect(tg_full(tape, TG_F64, SCALAR, NAN), 0, SCALAR, VALUES(NAN));
    expect(tg_full(tape, TG_F64, DIMS(0, 4), 1), 0, DIMS(0, 4), VALUES(0));
    expect_error(tg_full(tape, TG_I8, DIMS(3), 1), TG_EDTYPE, "not i8");
    expect_error(tg_full(tape, TG_F32, DIMS(3, -1), 1), TG_ESHAPE, "[3, -1]");
    expect_error(tg_full(tape, TG_F32, DIMS(1LL << 40, 1LL << 40), 1), TG_ESHAPE, "too large");
    expect_error(tg_clone(tape, NULL), TG_EINVAL, "NULL");
}
END_TEST

/* Copies of large strided tensors on several threads, each dtype's size. */
START_TEST(large_copies)
{
    enum { R = 300, C = 417 };
    const tg_dtype dtypes[] = {TG_F32, TG_F64, TG_I64, TG_BOOL};
    for (int k = 0; k < 4; k++) {
        double *v = malloc(sizeof *v * R * C), *t = malloc(sizeof *t * R * C);
        for (int r = 0; r < R; r++)
            for (int c = 0; c < C; c++)
                v[r * C + c] = t[c * R + r] = dtypes[k] == TG_BOOL ? (r * 7 + c) % 3 == 0 : r * 1000 + c;
        tg_tensor *x = tensor(dtypes[k], DIMS(R, C), v, R * C);
        expect(tg_contiguous(tape, tg_transpose(tape, x, 0, 1)), 0, DIMS(C, R), t, R * C);
        expect(tg_clone(tape, x), 0, DIMS(R, C), v, R * C);
        expect(tg_clone(tape, tg_reshape(tape, x, R / 3, 3, C)), 0, DIMS(R / 3, 3, C), v, R * C);
        free(v);
        free(t);
    }
}
END_TEST

/* A step that no element takes may be any number; a place outside may not. */
START_TEST(slices_with_huge_steps)
{
    const tg_operator *op = tg_operator_find(rt, "slice_backward");
    tg_tensor *some[] = {tensor(TG_F64, DIMS(1, 2), VALUES(1, 2)), tg_full(tape, TG_F64, DIMS(0, 2), 0)}, *y;
    double got[6];
    ck_assert_int_eq(
        tg_apply(tape, op, &some[0], 1, &(tg_slice_backward_attrs){0, 1, INT64_MAX, 3}, NULL, &y), TG_OK);
    ck_assert_int_eq(tg_tensor_read(y, got, sizeof got), TG_OK);
    ck_assert(got[0] == 0 && got[2] == 1 && got[3] == 2 && got[5] == 0);
    ck_assert_int_eq(
        tg_apply(tape, op, &some[1], 1, &(tg_slice_backward_attrs){0, 3, INT64_MAX, 3}, NULL, &y), TG_OK);
    ck_assert(tg_tensor_count(y) == 6);
    ck_assert_int_eq(
        tg_apply(tape, op, &some[1], 1, &(tg_slice_backward_attrs){0, INT64_MAX, 1, 3}, NULL, &y), TG_EINVAL);
    tg_tape_clear_error(tape);
}
END_TEST

/* Pieces of h, and h itself where the gradient of its sum with them is one with theirs. */
static tg_tensor *in_pieces(tg_tensor *x, tg_tensor **h, tg_tensor **part)
{
    *h = tg_mul_scalar(tape, x, 2);
    ck_assert_uint_eq(tg_chunk(tape, *h, 3, 1, part, 3), 3);
    tg_tensor *turned = tg_cat(tape, 1, part[2], tg_mul(tape, part[0], part[1]), part[1]);
    tg_tensor *some = tg_slice(tape, *h, 1, 1, 6, 2), *row = tg_select(tape, *h, 0, 1);
    tg_tensor *y = tg_add(tape, *h, tg_sin(tape, turned));
    return tg_add(tape, tg_add(tape, y, tg_mean(tape, some)), tg_mul(tape, row, y));
}

static void count_backs(void *arg, tg_tape *t, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                        tg_tensor *const out[], size_t n_out, const tg_node *rule_of)
{
    (void)t, (void)in, (void)n_in, (void)out, (void)n_out, (void)rule_of;
    *(int *)arg += !strcmp(op->name, "slice_backward");
}

/* Gradients of slices are added into the one that is there; a recorded sweep, which may not write, gives the same. */
START_TEST(slices_into_one_gradient)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 6), VALUES(1, -2, 3, 4, -5, 6, .5, .25, -1, 2, -3, .75)), *wrt[5] = {x};
    tg_tensor *y = in_pieces(x, &wrt[1], wrt + 2), *g[3][5];
    tg_tensor *gy = tensor(TG_F64, DIMS(2, 6), VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    ck_assert_int_eq(tg_grad(tape, y, gy, wrt, 5, g[0], TG_RETAIN | TG_CREATE_GRAPH), TG_OK);
    for (int k = 1; k < 3; k++) {
        ck_assert_int_eq(tg_grad(tape, y, gy, wrt, 5, g[k], TG_RETAIN), TG_OK);
        for (int i = 0; i < 5; i++) {
            double is[12], want[12];
            const size_t n = (size_t)tg_tensor_count(g[0][i]);
            tg_tensor_read(g[k][i], is, n * 8);
            tg_tensor_read(g[0][i], want, n * 8);
            for (size_t j = 0; j < n; j++)
                ck_assert_double_eq_tol(is[j], want[j], 1e-13);
        }
    }
    expect(gy, 0, DIMS(2, 6), VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    tg_tensor *part[3];
    int backs = 0;
    tg_chunk(tape, tg_sin(tape, x), 3, 1, part, 3);
    tg_tensor *sum = tg_sum(tape, tg_mul(tape, tg_mul(tape, part[0], part[1]), part[2]));
    tg_tape_observe(tape, &(tg_observer){.applied = count_backs, .arg = &backs});
    ck_assert_int_eq(tg_backward(tape, sum), TG_OK);
    tg_tape_observe(tape, NULL);
    ck_assert_int_eq(backs, 1);
}
END_TEST

/* Rows that write in place leave a view alone in which several elements are one. */
START_TEST(expanded_views_are_not_written)
{
    static const char *const names[] = {"uniform_", "normal_", "scale_", "fill_"};
    const double scalars[] = {0.5, 1};
    tg_tensor *x = tg_expand(tape, tensor(TG_F64, DIMS(1), VALUES(7)), 5);
    double got[5];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_int_eq(tg_apply(tape, tg_operator_find(rt, names[i]), &x, 1, NULL, scalars, NULL),
                         TG_EINVAL);
        ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "several of its elements are one"));
        tg_tape_clear_error(tape);
    }
    ck_assert_int_eq(tg_tensor_read(x, got, sizeof got), TG_OK);
    ck_assert(got[0] == 7 && got[4] == 7);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("shapes");
    TCase *t = tcase_create("shapes");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, views_share);
    tcase_add_test(t, reshaping);
    tcase_add_test(t, reshaping_strided);
    tcase_add_test(t, permuting);
    tcase_add_test(t, expanding);
    tcase_add_test(t, squeezing);
    tcase_add_test(t, slicing);
    tcase_add_test(t, joining);
    tcase_add_test(t, joining_many);
    tcase_add_test(t, constants);
    tcase_add_test(t, large_copies);
    tcase_add_test(t, slices_with_huge_steps);
    tcase_add_test(t, expanded_views_are_not_written);
    tcase_add_test(t, slices_into_one_gradient);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
