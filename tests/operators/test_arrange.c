/* Diagonals, windows, pieces, joins, rearrangements, ranges: what they share, what they hold, gradients,
 * refusals. */
#include "operators/rig.h"

static tg_tensor *counting(tg_dtype dtype, const int64_t *dims, size_t ndim)
{
    double v[120];
    for (int i = 0; i < 120; i++)
        v[i] = i + 1;
    return tensor(dtype, dims, ndim, v, 120);
}

static tg_tensor *wanted(const int64_t *dims, size_t ndim)
{
    tg_tensor *x = counting(TG_F64, dims, ndim);
    ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
    return x;
}

/* Element 0 of the view is element `place` of x, in the same memory. */
static void expect_shared(tg_tensor *view, tg_tensor *x, size_t place)
{
    double all[120];
    size_t n = (size_t)tg_tensor_count(x);
    ck_assert_ptr_nonnull(view);
    ck_assert_int_eq(tg_tensor_read(x, all, n * 8), TG_OK);
    double before = all[place], got[120];
    all[place] = -77;
    ck_assert_int_eq(tg_tensor_write(x, all, n * 8), TG_OK);
    ck_assert_int_eq(tg_tensor_read(view, got, (size_t)tg_tensor_count(view) * 8), TG_OK);
    ck_assert(got[0] == -77);
    all[place] = before;
    ck_assert_int_eq(tg_tensor_write(x, all, n * 8), TG_OK);
}

START_TEST(views_share)
{
    tg_tensor *x = counting(TG_F64, DIMS(2, 3, 4)), *pieces[4];
    expect_shared(tg_diagonal(tape, x, 1, 1, 2), x, 1);
    expect_shared(tg_diagonal(tape, x, -1, 0, 2), x, 12);
    expect_shared(tg_unfold_dim(tape, tg_select(tape, x, 0, 1), 1, 3, 1), x, 12);
    expect_shared(tg_movedim(tape, x, (const int64_t[]){2}, (const int64_t[]){0}, 1), x, 0);
    expect_shared(tg_unflatten(tape, x, 2, (const int64_t[]){2, -1}, 2), x, 0);
    expect_shared(tg_squeeze_all(tape, tg_unsqueeze(tape, x, 1)), x, 0);
    expect_shared(tg_t(tape, tg_select(tape, x, 0, 1)), x, 12);
    ck_assert_uint_eq(tg_unbind(tape, x, 1, pieces, 4), 3);
    expect_shared(pieces[2], x, 8);
    ck_assert_uint_eq(tg_chunk(tape, x, 2, -1, pieces, 4), 2);
    expect_shared(pieces[1], x, 2);
    ck_assert_uint_eq(tg_split(tape, x, 2, 1, pieces, 4), 2);
    expect_shared(pieces[1], x, 8);
    /* The other way: a write through the view, where none of its elements is two. */
    double ones[6] = {1, 1, 1, 1, 1, 1};
    ck_assert_int_eq(tg_tensor_write(tg_diagonal(tape, x, 0, 1, 2), ones, sizeof ones), TG_OK);
    expect(tg_select(tape, x, 0, 0), 0, DIMS(3, 4), VALUES(1, 2, 3, 4, 5, 1, 7, 8, 9, 10, 1, 12));
}
END_TEST

START_TEST(overlapping_views_are_not_written)
{
    tg_tensor *x = counting(TG_F64, DIMS(5));
    double v[9] = {0};
    ck_assert_int_eq(tg_tensor_write(tg_unfold_dim(tape, x, 0, 3, 1), v, sizeof v), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "an overlapping view"));
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_tensor_write(tg_unfold_dim(tape, x, 0, 2, 2), v, 4 * 8), TG_OK);
    expect(x, 0, DIMS(5), VALUES(0, 0, 0, 0, 5));
    /* Of one window there is nothing to share. */
    ck_assert_int_eq(tg_tensor_write(tg_unfold_dim(tape, x, 0, 5, 1), v, 5 * 8), TG_OK);
}
END_TEST

/* What backward reads through a view must not have changed behind its back. */
START_TEST(overwritten_views_are_caught)
{
    tg_tensor *pieces[2];
    for (int which = 0; which < 3; which++) {
        tg_tensor *x = wanted(DIMS(4, 4)), *y = tg_mul_scalar(tape, x, 1), *g;
        tg_tensor *view = which == 0   ? tg_diagonal(tape, y, 0, 0, 1)
                          : which == 1 ? tg_unfold_dim(tape, y, 0, 2, 1)
                                       : (tg_split(tape, y, 2, 0, pieces, 2), pieces[1]);
        tg_tape_clear_error(tape);
        tg_tensor *loss = tg_sum(tape, tg_square(tape, view));
        ck_assert_int_eq(tg_fill(tg_detach(tape, y), 3), TG_OK);
        ck_assert_int_eq(tg_grad(tape, loss, NULL, &x, 1, &g, 0), TG_ESTATE);
        tg_tape_clear_error(tape);
    }
}
END_TEST

START_TEST(diagonals)
{
    tg_tensor *x = wanted(DIMS(2, 3));
    expect(tg_diagonal(tape, x, 0, 0, 1), 0, DIMS(2), VALUES(1, 5));
    expect(tg_diagonal(tape, x, 1, 0, 1), 0, DIMS(2), VALUES(2, 6));
    expect(tg_diagonal(tape, x, -1, 0, 1), 0, DIMS(1), VALUES(4));
    expect(tg_diagonal(tape, x, 1, 1, 0), 0, DIMS(1), VALUES(4));
    expect(tg_diagonal(tape, x, 3, 0, 1), 0, DIMS(0), VALUES(0));
    expect(tg_diagonal(tape, x, INT64_MIN, 0, 1), 0, DIMS(0), VALUES(0));
    expect(tg_diagonal(tape, x, INT64_MAX, 0, 1), 0, DIMS(0), VALUES(0));
    expect(weighted_gradient(tg_diagonal(tape, x, 1, 0, -1), x), 0, DIMS(2, 3), VALUES(0, 1, 0, 0, 0, 2));
    expect(weighted_gradient(tg_diagonal(tape, x, 5, 0, -1), x), 0, DIMS(2, 3), VALUES(0));
    expect(tg_diag(tape, tg_select(tape, x, 0, 0), -1), 0, DIMS(4, 4),
           VALUES(0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0));
    expect(tg_diag(tape, x, 1), 0, DIMS(2), VALUES(2, 6));
    expect(tg_trace(tape, x), 0, SCALAR, VALUES(6));
    expect(tg_trace(tape, tensor(TG_I64, DIMS(2, 2), VALUES(1, 2, 3, 4))), 0, SCALAR, VALUES(5));
    expect(tg_diag_embed(tape, tensor(TG_I64, DIMS(2), VALUES(7, 8)), 0, 0, 1), 0, DIMS(2, 2),
           VALUES(7, 0, 0, 8));
    expect(tg_diag_embed(tape, tensor(TG_BOOL, DIMS(2, 1), VALUES(1, 0)), 1, 0, 2), 0, DIMS(2, 2, 2),
           VALUES(0, 1, 0, 0, 0, 0, 0, 0));
    expect_error(tg_diagonal(tape, x, 0, 1, -1), TG_EINVAL,
                 "diagonal: takes two different dims, got 1 and -1");
    expect_error(tg_diagonal(tape, x, 0, 0, 2), TG_EINVAL, "diagonal: dim must be between -2 and 1, got 2");
    expect_error(tg_diag(tape, wanted(DIMS(1, 2, 2)), 0), TG_ESHAPE,
                 "diag: x must be a vector or a matrix, got f64[1, 2, 2]");
    expect_error(tg_trace(tape, wanted(DIMS(2))), TG_ESHAPE, "trace: x must be a matrix");
    expect_error(tg_diag_embed(tape, x, INT64_MAX, 0, 1), TG_EINVAL, "offset");
    expect_error(tg_diag_embed(tape, tg_sum(tape, x), 0, 0, 1), TG_ESHAPE,
                 "diag_embed: x must have 1 to 7 dims");
}
END_TEST

START_TEST(windows)
{
    tg_tensor *x = wanted(DIMS(5));
    expect(tg_unfold_dim(tape, x, 0, 3, 1), 0, DIMS(3, 3), VALUES(1, 2, 3, 2, 3, 4, 3, 4, 5));
    expect(tg_unfold_dim(tape, x, 0, 2, 3), 0, DIMS(2, 2), VALUES(1, 2, 4, 5));
    expect(tg_unfold_dim(tape, x, 0, 0, 2), 0, DIMS(3, 0), VALUES(0));
    expect(weighted_gradient(tg_unfold_dim(tape, x, 0, 3, 1), x), 0, DIMS(5),
           VALUES(1, 2 + 4, 3 + 5 + 7, 6 + 8, 9));
    expect(weighted_gradient(tg_unfold_dim(tape, x, 0, 2, 3), x), 0, DIMS(5), VALUES(1, 2, 0, 3, 4));
    tg_tensor *m = wanted(DIMS(3, 2));
    expect(tg_unfold_dim(tape, m, 0, 2, 1), 0, DIMS(2, 2, 2), VALUES(1, 3, 2, 4, 3, 5, 4, 6));
    expect(weighted_gradient(tg_unfold_dim(tape, m, 0, 2, 1), m), 0, DIMS(3, 2),
           VALUES(1, 3, 2 + 5, 4 + 7, 6, 8));
    expect(tg_unfold_dim(tape, tg_sum(tape, x), 0, 1, 1), 0, DIMS(1), VALUES(15));
    expect_error(tg_unfold_dim(tape, x, 0, 6, 1), TG_EINVAL,
                 "size must be between 0 and 5, dim 0's size, got 6");
    expect_error(tg_unfold_dim(tape, x, 0, 2, 0), TG_EINVAL, "step must be 1 or more, got 0");
    expect_error(tg_unfold_dim(tape, x, 1, 2, 1), TG_EINVAL, "unfold: dim must be");
    expect_error(tg_unfold_dim(tape, tg_reshape(tape, x, 1, 1, 1, 1, 1, 1, 1, 5), 7, 2, 1), TG_ESHAPE,
                 "8 dims");
}
END_TEST

START_TEST(orders)
{
    tg_tensor *x = wanted(DIMS(2, 3));
    expect(tg_movedim(tape, tg_unsqueeze(tape, x, 0), (const int64_t[]){0, -1}, (const int64_t[]){2, 0}, 2),
           0, DIMS(3, 2, 1), VALUES(1, 4, 2, 5, 3, 6));
    expect_error(tg_movedim(tape, x, (const int64_t[]){0, 0}, (const int64_t[]){0, 1}, 2), TG_EINVAL,
                 "movedim: dim 0 is listed twice");
    expect(tg_t(tape, x), 0, DIMS(3, 2), VALUES(1, 4, 2, 5, 3, 6));
    expect_error(tg_t(tape, tg_unsqueeze(tape, x, 0)), TG_ESHAPE, "t: x must have at most two dims");
    expect(tg_unflatten(tape, x, 1, (const int64_t[]){-1, 1, 3}, 3), 0, DIMS(2, 1, 1, 3),
           VALUES(1, 2, 3, 4, 5, 6));
    expect_error(tg_unflatten(tape, x, 1, (const int64_t[]){2, 2}, 2), TG_ESHAPE,
                 "unflatten: dim 1 of size 3 does not fit [2, 2]");
    expect_error(tg_unflatten(tape, x, 1, (const int64_t[]){0, -1}, 2), TG_ESHAPE, "in one way only");
    expect_error(tg_unflatten(tape, x, 1, (const int64_t[]){-1, -1}, 2), TG_ESHAPE, "[-1, -1]");
    expect_error(tg_unflatten(tape, x, 1, NULL, 0), TG_ESHAPE, "[]");
    expect_error(tg_unflatten(tape, x, 1, (const int64_t[]){3, 1, 1, 1, 1, 1, 1, 1}, 8), TG_ESHAPE,
                 "at most 8 dims");
    tg_tensor *thin = tg_unsqueeze(tape, tg_unsqueeze(tape, x, 0), 2);
    expect(tg_squeeze_dims(tape, thin, (const int64_t[]){0, -1}, 2), 0, DIMS(2, 1, 3),
           VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_squeeze_dims(tape, thin, NULL, 0), 0, DIMS(1, 2, 1, 3), VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_squeeze_all(tape, thin), 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    expect_error(tg_squeeze_dims(tape, thin, (const int64_t[]){0, -4}, 2), TG_EINVAL,
                 "squeeze: dim 0 is listed twice");
    expect(tg_narrow_at(tape, x, 1, tensor(TG_I64, SCALAR, VALUES(-2)), 2), 0, DIMS(2, 2),
           VALUES(2, 3, 5, 6));
    expect_error(tg_narrow_at(tape, x, 1, x, 1), TG_EDTYPE, "narrow: start must be one i64, got f64[2, 3]");
}
END_TEST

START_TEST(pieces)
{
    tg_tensor *x = wanted(DIMS(5, 2)), *out[8] = {NULL};
    ck_assert_uint_eq(tg_split(tape, x, 2, 0, NULL, 0), 3);
    ck_assert_uint_eq(tg_split(tape, x, 2, 0, out, 8), 3);
    expect(out[2], 0, DIMS(1, 2), VALUES(9, 10));
    expect(weighted_gradient(out[1], x), 0, DIMS(5, 2), VALUES(0, 0, 0, 0, 1, 2, 3, 4, 0, 0));
    ck_assert_uint_eq(tg_split(tape, tg_slice(tape, x, 0, 0, 0, 1), 0, 0, out, 8), 1);
    expect(out[0], 0, DIMS(0, 2), VALUES(0));
    ck_assert_uint_eq(tg_chunk(tape, x, 4, 0, out, 8), 3);
    ck_assert_uint_eq(tg_chunk(tape, x, 9, 0, out, 8), 5);
    ck_assert_uint_eq(tg_chunk(tape, tg_slice(tape, x, 0, 0, 0, 1), 3, 0, out, 8), 3);
    ck_assert_uint_eq(tg_split_with_sizes(tape, x, (const int64_t[]){0, 5}, 2, 0, out, 8), 2);
    expect(out[0], 0, DIMS(0, 2), VALUES(0));
    ck_assert_uint_eq(tg_tensor_split(tape, x, 3, 0, out, 8), 3);
    expect(out[1], 0, DIMS(2, 2), VALUES(5, 6, 7, 8));
    ck_assert_uint_eq(tg_tensor_split(tape, x, 7, 0, out, 8), 7);
    expect(out[6], 0, DIMS(0, 2), VALUES(0));
    ck_assert_uint_eq(tg_tensor_split_indices(tape, x, (const int64_t[]){1, -1, 2, 99}, 4, 0, out, 8), 5);
    expect(out[1], 0, DIMS(3, 2), VALUES(3, 4, 5, 6, 7, 8));
    expect(out[2], 0, DIMS(0, 2), VALUES(0));
    expect(out[3], 0, DIMS(3, 2), VALUES(5, 6, 7, 8, 9, 10));
    ck_assert_uint_eq(tg_unbind(tape, x, -1, out, 8), 2);
    expect(out[1], 0, DIMS(5), VALUES(2, 4, 6, 8, 10));
    ck_assert_uint_eq(tg_unbind(tape, tg_slice(tape, x, 0, 0, 0, 1), 0, out, 8), 0);
    ck_assert_int_eq(tg_tape_status(tape), TG_OK);
    ck_assert_uint_eq(tg_unbind(tape, x, 0, out, 4), 0);
    expect_error(NULL, TG_EINVAL, "unbind: there are 5 pieces, out has room for 4");
    ck_assert_uint_eq(tg_split(tape, x, 0, 0, out, 8), 0);
    expect_error(NULL, TG_EINVAL, "split: split_size must be 1 or more, got 0");
    ck_assert_uint_eq(tg_split_with_sizes(tape, x, (const int64_t[]){2, 2}, 2, 0, out, 8), 0);
    expect_error(NULL, TG_EINVAL, "must add up to 5, dim 0's size, got 4");
    ck_assert_uint_eq(tg_split_with_sizes(tape, x, (const int64_t[]){6, -1}, 2, 0, out, 8), 0);
    expect_error(NULL, TG_EINVAL, "before one that is not");
    ck_assert_uint_eq(tg_chunk(tape, x, 0, 0, out, 8), 0);
    expect_error(NULL, TG_EINVAL, "chunk: chunks must be 1 or more, got 0");
    ck_assert_uint_eq(tg_tensor_split(tape, x, 0, 0, out, 8), 0);
    expect_error(NULL, TG_EINVAL, "tensor_split: sections must be 1 or more, got 0");
    ck_assert_uint_eq(tg_unbind(tape, tg_sum(tape, x), 0, out, 8), 0);
    expect_error(NULL, TG_ESHAPE, "unbind: x has no dims");
    ck_assert_uint_eq(tg_unbind(tape, NULL, 0, out, 8), 0);
    expect_error(NULL, TG_EINVAL, "unbind: x is NULL");
}
END_TEST

START_TEST(joins)
{
    tg_tensor *s = tensor(TG_F64, SCALAR, VALUES(9)), *v = wanted(DIMS(2)), *m = wanted(DIMS(2, 2));
    expect(tg_hstack_n(tape, TG_TENSORS(s, v)), 0, DIMS(3), VALUES(9, 1, 2));
    expect(tg_hstack_n(tape, TG_TENSORS(m, m)), 0, DIMS(2, 4), VALUES(1, 2, 1, 2, 3, 4, 3, 4));
    expect(tg_vstack_n(tape, TG_TENSORS(v, m)), 0, DIMS(3, 2), VALUES(1, 2, 1, 2, 3, 4));
    expect(tg_dstack_n(tape, TG_TENSORS(v, v)), 0, DIMS(1, 2, 2), VALUES(1, 1, 2, 2));
    expect(tg_dstack_n(tape, TG_TENSORS(m, m)), 0, DIMS(2, 2, 2), VALUES(1, 1, 2, 2, 3, 3, 4, 4));
    expect(tg_column_stack_n(tape, TG_TENSORS(v, m)), 0, DIMS(2, 3), VALUES(1, 1, 2, 2, 3, 4));
    /* One dtype for all: torch's result_type. */
    tg_tensor *y = tg_cat(tape, 0, tensor(TG_I64, DIMS(1), VALUES(3)), tensor(TG_F32, DIMS(1), VALUES(0.5)),
                          tensor(TG_BOOL, DIMS(1), VALUES(1)));
    ck_assert_int_eq(tg_tensor_dtype(y), TG_F32);
    expect(y, 0, DIMS(3), VALUES(3, 0.5, 1));
    /* Of shape [0]: passed over, whatever the others are. */
    tg_tensor *none = tensor(TG_F64, DIMS(0), VALUES(0));
    expect(tg_cat(tape, 1, none, m, none), 0, DIMS(2, 2), VALUES(1, 2, 3, 4));
    expect(tg_cat(tape, 0, none, none), 0, DIMS(0), VALUES(0));
    expect(tg_stack(tape, 0, none, none), 0, DIMS(2, 0), VALUES(0));
    expect_error(tg_hstack_n(tape, NULL, 2), TG_EINVAL, "hstack: needs at least one tensor");
    expect_error(tg_vstack_n(tape, TG_TENSORS(v, NULL)), TG_EINVAL, "vstack: tensor 1 is NULL");
    expect_error(tg_vstack_n(tape, TG_TENSORS(v, wanted(DIMS(3)))), TG_ESHAPE,
                 "vstack: cat(f64[1, 2], f64[1, 3]): tensors must have one size in every dim but 0: in dim 1, tensor 1 has "
                 "3 and tensor 0 2");
}
END_TEST

START_TEST(turning)
{
    tg_tensor *x = wanted(DIMS(2, 3)), *t = tg_transpose(tape, x, 0, 1);
    expect(tg_flip_dims(tape, x, (const int64_t[]){0, -1}, 2), 0, DIMS(2, 3), VALUES(6, 5, 4, 3, 2, 1));
    expect(tg_flip(tape, t, -1), 0, DIMS(3, 2), VALUES(4, 1, 5, 2, 6, 3));
    expect(tg_flipud(tape, t), 0, DIMS(3, 2), VALUES(3, 6, 2, 5, 1, 4));
    expect(tg_flip_dims(tape, tensor(TG_BOOL, DIMS(3), VALUES(1, 0, 0)), (const int64_t[]){0}, 1), 0, DIMS(3),
           VALUES(0, 0, 1));
    expect(weighted_gradient(tg_fliplr(tape, x), x), 0, DIMS(2, 3), VALUES(3, 2, 1, 6, 5, 4));
    expect_error(tg_flip_dims(tape, x, (const int64_t[]){1, -1}, 2), TG_EINVAL,
                 "flip: dim 1 is listed twice");
    expect_error(tg_fliplr(tape, wanted(DIMS(3))), TG_ESHAPE, "fliplr: x must have at least 2 dims, got 1");
    expect(tg_roll(tape, x, (const int64_t[]){1}, (const int64_t[]){-1}, 1), 0, DIMS(2, 3),
           VALUES(3, 1, 2, 6, 4, 5));
    expect(tg_roll(tape, x, (const int64_t[]){-1}, NULL, 1), 0, DIMS(2, 3), VALUES(2, 3, 4, 5, 6, 1));
    expect(tg_roll(tape, t, (const int64_t[]){1, -1}, (const int64_t[]){0, 1}, 2), 0, DIMS(3, 2),
           VALUES(6, 3, 4, 1, 5, 2));
    /* Twice along one dim, and by numbers that do not fit twice into an integer. */
    expect(tg_roll(tape, x, (const int64_t[]){INT64_MAX, INT64_MIN}, (const int64_t[]){1, 1}, 2), 0,
           DIMS(2, 3), VALUES(2, 3, 1, 5, 6, 4));
    expect(tg_roll(tape, tg_sum(tape, x), (const int64_t[]){3}, NULL, 1), 0, SCALAR, VALUES(21));
    expect_error(tg_roll(tape, x, (const int64_t[]){1, 2}, NULL, 2), TG_EINVAL,
                 "roll: without dims there is one shift");
    expect_error(tg_roll(tape, x, (const int64_t[]){1}, (const int64_t[]){2}, 1), TG_EINVAL,
                 "roll: dim must be");
    expect(tg_rot90(tape, x, 1, 0, 1), 0, DIMS(3, 2), VALUES(3, 6, 2, 5, 1, 4));
    expect(tg_rot90(tape, x, -1, 0, 1), 0, DIMS(3, 2), VALUES(4, 1, 5, 2, 6, 3));
    expect(tg_rot90(tape, x, INT64_MIN, 0, 1), 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    expect_error(tg_rot90(tape, x, 1, 0, 0), TG_EINVAL, "rot90: takes two different dims");
}
END_TEST

START_TEST(repeating)
{
    tg_tensor *x = wanted(DIMS(2, 2)), *s = tensor(TG_F64, SCALAR, VALUES(7));
    expect(tg_repeat_dims(tape, x, (const int64_t[]){2, 1, 2}, 3), 0, DIMS(2, 2, 4),
           VALUES(1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4));
    expect(weighted_gradient(tg_repeat_dims(tape, x, (const int64_t[]){2, 1}, 2), x), 0, DIMS(2, 2),
           VALUES(1 + 5, 2 + 6, 3 + 7, 4 + 8));
    expect(tg_tile_dims(tape, x, (const int64_t[]){2}, 1), 0, DIMS(2, 4), VALUES(1, 2, 1, 2, 3, 4, 3, 4));
    /* A copy even where nothing is repeated. */
    tg_tensor *copy = tg_repeat_dims(tape, x, (const int64_t[]){1, 1}, 2);
    ck_assert_int_eq(tg_fill(tg_detach(tape, copy), 0), TG_OK);
    expect(x, 0, DIMS(2, 2), VALUES(1, 2, 3, 4));
    /* More repeated dims than can be seen at once. */
    double v[32], want[32 * 32];
    for (int i = 0; i < 32; i++)
        v[i] = i;
    tg_tensor *five = tensor(TG_I64, DIMS(2, 2, 2, 2, 2), v, 32);
    for (int i = 0; i < 1024; i++) {
        int at = 0;
        for (int d = 0; d < 5; d++)
            at |= (i >> (2 * d) & 1) << d;
        want[i] = at;
    }
    expect(tg_repeat_dims(tape, five, (const int64_t[]){2, 2, 2, 2, 2}, 5), 0, DIMS(4, 4, 4, 4, 4), want,
           1024);
    expect(tg_repeat_dims(tape, s, (const int64_t[]){0, 3}, 2), 0, DIMS(0, 3), VALUES(0));
    expect_error(tg_repeat_dims(tape, x, (const int64_t[]){2}, 1), TG_EINVAL,
                 "repeat: takes a number of 0 or more");
    expect_error(tg_repeat_dims(tape, x, (const int64_t[]){2, -1}, 2), TG_EINVAL, "[2, -1]");
    expect_error(tg_repeat_dims(tape, x, (const int64_t[]){INT64_MAX / 2, INT64_MAX / 2}, 2), TG_ESHAPE,
                 "too large");
    expect(tg_repeat_interleave(tape, x, 2, 1), 0, DIMS(2, 4), VALUES(1, 1, 2, 2, 3, 3, 4, 4));
    expect(tg_repeat_interleave(tape, x, 2, TG_NONE_INT), 0, DIMS(8), VALUES(1, 1, 2, 2, 3, 3, 4, 4));
    expect(tg_repeat_interleave(tape, s, 3, TG_NONE_INT), 0, DIMS(3), VALUES(7));
    expect_error(tg_repeat_interleave(tape, x, -1, 0), TG_EINVAL,
                 "repeats must be 0 or more, and not too large, got -1");
    tg_tensor *each = tensor(TG_I64, DIMS(2), VALUES(0, 3));
    expect(tg_repeat_interleave_each(tape, x, each, 0, -1), 0, DIMS(3, 2), VALUES(3, 4));
    expect(weighted_gradient(tg_repeat_interleave_each(tape, x, each, 0, 3), x), 0, DIMS(2, 2),
           VALUES(0, 0, 9, 12));
    expect(tg_repeat_interleave_each(tape, x, tensor(TG_I64, SCALAR, VALUES(2)), 1, -1), 0, DIMS(2, 4),
           VALUES(1, 1, 2, 2, 3, 3, 4, 4));
    expect_error(tg_repeat_interleave_each(tape, x, each, 0, 4), TG_EINVAL,
                 "output_size is 4, but repeats add up to 3");
    expect_error(tg_repeat_interleave_each(tape, x, tensor(TG_I64, DIMS(2), VALUES(1, -3)), 0, -1), TG_EINVAL,
                 "repeats[1] must be 0 or more, and not too large, got -3");
    expect_error(tg_repeat_interleave_each(tape, x, tensor(TG_I64, DIMS(3), VALUES(1)), 0, -1), TG_ESHAPE,
                 "one for each of 2 elements or one for all, got i64[3]");
    expect_error(tg_repeat_interleave_each(tape, x, x, 0, -1), TG_EDTYPE, "repeats must be i64");
}
END_TEST

START_TEST(triangles)
{
    tg_tensor *x = wanted(DIMS(2, 3));
    expect(tg_tril(tape, x, 0), 0, DIMS(2, 3), VALUES(1, 0, 0, 4, 5, 0));
    expect(tg_triu(tape, x, 1), 0, DIMS(2, 3), VALUES(0, 2, 3, 0, 0, 6));
    expect(tg_tril(tape, tg_transpose(tape, x, 0, 1), -1), 0, DIMS(3, 2), VALUES(0, 0, 2, 0, 3, 6));
    expect(tg_triu(tape, x, INT64_MIN), 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_tril(tape, x, INT64_MIN), 0, DIMS(2, 3), VALUES(0));
    expect(tg_tril(tape, x, INT64_MAX), 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_triu(tape, x, INT64_MAX), 0, DIMS(2, 3), VALUES(0));
    /* Selected, not multiplied. */
    expect(tg_tril(tape, tensor(TG_F32, DIMS(2, 2), VALUES(1, NAN, 2, 3)), 0), 0, DIMS(2, 2),
           VALUES(1, 0, 2, 3));
    expect(tg_triu(tape, tensor(TG_BOOL, DIMS(2, 2), VALUES(1)), 0), 0, DIMS(2, 2), VALUES(1, 1, 0, 1));
    expect_error(tg_tril(tape, wanted(DIMS(3)), 0), TG_ESHAPE, "tril(f64[3]): x must have at least two dims");
    expect(tg_slice_scatter(tape, x, tensor(TG_F64, DIMS(2, 2), VALUES(-1, -2, -3, -4)), 1, 0, INT64_MAX, 2),
           0, DIMS(2, 3), VALUES(-1, 2, -2, -3, 5, -4));
    expect(tg_select_scatter(tape, x, tensor(TG_F64, DIMS(2), VALUES(-1, -2)), 1, -1), 0, DIMS(2, 3),
           VALUES(1, 2, -1, 4, 5, -2));
    expect_error(tg_slice_scatter(tape, x, x, 1, 0, 2, 1), TG_ESHAPE,
                 "src must have the dims of what it replaces, [2, 2]");
    expect_error(tg_slice_scatter(tape, x, x, 1, 0, 2, 0), TG_EINVAL,
                 "slice_scatter: step must be 1 or more, got 0");
    expect_error(tg_slice_scatter(tape, x, tg_to(tape, x, TG_F32), 1, 0, 3, 1), TG_EDTYPE,
                 "src must be of x's dtype");
    expect_error(tg_select_scatter(tape, x, x, 0, 0), TG_ESHAPE,
                 "select_scatter: src must have x's dims but dim 0");
    expect_error(tg_select_scatter(tape, x, x, 0, 2), TG_EINDEX, "select_scatter: index 2 is outside dim 0");
}
END_TEST

START_TEST(numbers)
{
    expect(tg_arange(tape, TG_I64, -1, 5, 2), 0, DIMS(3), VALUES(-1, 1, 3));
    expect(tg_arange(tape, TG_F32, 1, 0, -0.25), 0, DIMS(4), VALUES(1, 0.75, 0.5, 0.25));
    expect(tg_arange(tape, TG_F64, 1, 1, 1), 0, DIMS(0), VALUES(0));
    expect_error(tg_arange(tape, TG_F64, 0, 3, -1), TG_EINVAL,
                 "arange: no finite number of steps of -1 leads from 0 to 3");
    expect_error(tg_arange(tape, TG_F64, 0, 3, 0), TG_EINVAL, "arange");
    expect_error(tg_arange(tape, TG_F64, 0, INFINITY, 1), TG_EINVAL, "arange");
    expect_error(tg_arange(tape, TG_F64, 0, 1e300, 1), TG_EINVAL, "arange");
    expect_error(tg_arange(tape, TG_I8, 0, 3, 1), TG_EDTYPE, "dtype must be f32, f64, i64 or bool, not i8");
    expect(tg_linspace(tape, TG_F64, 1, 2, 5), 0, DIMS(5), VALUES(1, 1.25, 1.5, 1.75, 2));
    expect(tg_linspace(tape, TG_F64, 3, 9, 1), 0, DIMS(1), VALUES(3));
    expect(tg_linspace(tape, TG_I64, 0, 5, 3), 0, DIMS(3), VALUES(0, 2, 5));
    expect(tg_logspace(tape, TG_F64, 0, 3, 4, 2), 1e-15, DIMS(4), VALUES(1, 2, 4, 8));
    expect(tg_logspace(tape, TG_F64, -1, 1, 3, 10), 1e-15, DIMS(3), VALUES(0.1, 1, 10));
    expect_error(tg_linspace(tape, TG_F64, 0, 1, -1), TG_EINVAL, "linspace: steps must be 0 or more, got -1");
    expect(tg_eye(tape, TG_F32, 2, 3), 0, DIMS(2, 3), VALUES(1, 0, 0, 0, 1, 0));
    expect(tg_eye(tape, TG_BOOL, 2, 2), 0, DIMS(2, 2), VALUES(1, 0, 0, 1));
    expect(tg_eye(tape, TG_I64, 0, 2), 0, DIMS(0, 2), VALUES(0));
    expect_error(tg_eye(tape, TG_F32, -1, 2), TG_EINVAL, "eye: n and m must be 0 or more, got -1 and 2");
    tg_tensor *x = tg_full_like(tape, wanted(DIMS(2)), TG_I64, 3);
    ck_assert_int_eq(tg_tensor_dtype(x), TG_I64);
    expect(x, 0, DIMS(2), VALUES(3));
    /* Long ones, by several threads. */
    double *v = malloc(100000 * sizeof *v);
    for (int i = 0; i < 100000; i++)
        v[i] = i;
    expect(tg_arange(tape, TG_I64, 0, 100000, 1), 0, DIMS(100000), v, 100000);
    expect(tg_linspace(tape, TG_F64, 0, 99999, 100000), 1e-15, DIMS(100000), v, 100000);
    free(v);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("arrange");
    TCase *t = tcase_create("arrange");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, views_share);
    tcase_add_test(t, overlapping_views_are_not_written);
    tcase_add_test(t, overwritten_views_are_caught);
    tcase_add_test(t, diagonals);
    tcase_add_test(t, windows);
    tcase_add_test(t, orders);
    tcase_add_test(t, pieces);
    tcase_add_test(t, joins);
    tcase_add_test(t, turning);
    tcase_add_test(t, repeating);
    tcase_add_test(t, triangles);
    tcase_add_test(t, numbers);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
