/* Picking and adding by index: values, gradients, strides, and indices outside their range. */
#include "operators/rig.h"

START_TEST(gathering)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    tg_tensor *i = tensor(TG_I64, DIMS(2, 4), VALUES(0, 2, 2, 1, 1, 1, 0, 2));
    tg_tensor *y = tg_gather(tape, x, 1, i);
    expect(y, 0, DIMS(2, 4), VALUES(1, 3, 3, 2, 5, 5, 4, 6));
    expect(weighted_gradient(y, x), 0, DIMS(2, 3), VALUES(1, 4, 5, 7, 11, 8));
    tg_tensor *j = tensor(TG_I64, DIMS(3, 2), VALUES(1, 0, 0, 0, 1, 1));
    expect(tg_gather(tape, x, -2, j), 0, DIMS(3, 2), VALUES(4, 2, 1, 2, 4, 5));
    expect(tg_gather(tape, tg_transpose(tape, x, 0, 1), 0, tg_transpose(tape, i, 0, 1)), 0, DIMS(4, 2),
           VALUES(1, 5, 3, 5, 3, 4, 2, 6));
    expect(tg_gather(tape, x, 0, tensor(TG_I64, DIMS(0, 3), VALUES(0))), 0, DIMS(0, 3), VALUES(0));
    expect(
        tg_gather(tape, tensor(TG_F32, DIMS(3), VALUES(7, 8, 9)), 0, tensor(TG_I64, DIMS(2), VALUES(2, 0))),
        0, DIMS(2), VALUES(9, 7));
}
END_TEST

START_TEST(scattering)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    tg_tensor *i = tensor(TG_I64, DIMS(2, 2), VALUES(0, 0, 2, 1)),
              *src = leaf(TG_F64, DIMS(2, 2), VALUES(10, 20, 30, 40));
    tg_tensor *y = tg_scatter_add(tape, x, 1, i, src);
    expect(y, 0, DIMS(2, 3), VALUES(31, 2, 3, 4, 45, 36));
    expect(weighted_gradient(y, x), 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    expect(weighted_gradient(y, src), 0, DIMS(2, 2), VALUES(1, 1, 6, 5));
    tg_tensor *larger = leaf(TG_F64, DIMS(3, 3), VALUES(10, 20, 99, 30, 40, 99, 99, 99, 99));
    y = tg_scatter_add(tape, x, 1, i, larger);
    expect(y, 0, DIMS(2, 3), VALUES(31, 2, 3, 4, 45, 36));
    expect(weighted_gradient(y, larger), 0, DIMS(3, 3), VALUES(1, 1, 0, 6, 5, 0, 0, 0, 0));
    expect(tg_scatter_add(tape, tg_transpose(tape, x, 0, 1), 0, tg_transpose(tape, i, 0, 1),
                          tg_transpose(tape, src, 0, 1)),
           0, DIMS(3, 2), VALUES(31, 4, 2, 45, 3, 36));
    expect(x, 0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_scatter_add(tape, x, 0, tensor(TG_I64, DIMS(0, 3), VALUES(0)),
                          tensor(TG_F64, DIMS(0, 3), VALUES(0))),
           0, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
}
END_TEST

START_TEST(selecting)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)),
              *i = tensor(TG_I64, DIMS(3), VALUES(1, 1, 0));
    tg_tensor *y = tg_index_select(tape, x, 0, i);
    expect(y, 0, DIMS(3, 3), VALUES(4, 5, 6, 4, 5, 6, 1, 2, 3));
    expect(weighted_gradient(y, x), 0, DIMS(2, 3), VALUES(7, 8, 9, 5, 7, 9));
    y = tg_index_select(tape, x, -1, i);
    expect(y, 0, DIMS(2, 3), VALUES(2, 2, 1, 5, 5, 4));
    expect(weighted_gradient(y, x), 0, DIMS(2, 3), VALUES(3, 3, 0, 6, 9, 0));
    expect(tg_index_select(tape, tg_transpose(tape, x, 0, 1), 0, i), 0, DIMS(3, 2), VALUES(2, 5, 2, 5, 1, 4));
    expect(tg_index_select(tape, x, 0, tensor(TG_I64, DIMS(0), VALUES(0))), 0, DIMS(0, 3), VALUES(0));
    expect(tg_index_select(tape, x, 0, tg_slice(tape, i, 0, 0, 3, 2)), 0, DIMS(2, 3),
           VALUES(4, 5, 6, 1, 2, 3));
}
END_TEST

/* A scalar counts as a vector of one. */
START_TEST(scalars)
{
    tg_tensor *x = leaf(TG_F64, SCALAR, VALUES(5)), *zero = tensor(TG_I64, SCALAR, VALUES(0));
    expect(tg_gather(tape, x, 0, zero), 0, SCALAR, VALUES(5));
    expect(tg_index_select(tape, x, 0, zero), 0, SCALAR, VALUES(5));
    tg_tensor *y = tg_scatter_add(tape, x, -1, zero, tensor(TG_F64, SCALAR, VALUES(2)));
    expect(y, 0, SCALAR, VALUES(7));
    expect(weighted_gradient(y, x), 0, SCALAR, VALUES(1));
    expect(tg_index_select(tape, tensor(TG_F64, DIMS(2), VALUES(7, 8)), 0, tensor(TG_I64, SCALAR, VALUES(1))),
           0, DIMS(1), VALUES(8));
    expect_error(tg_gather(tape, x, 0, tensor(TG_I64, SCALAR, VALUES(1))), TG_EINDEX, "outside [0, 1)");
}
END_TEST

START_TEST(taking)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(0, 1, 2, 3, 4, 5));
    tg_tensor *y = tg_take(tape, x, tensor(TG_I64, DIMS(2, 2), VALUES(-1, 0, 5, -6)));
    expect(y, 0, DIMS(2, 2), VALUES(5, 0, 5, 0));
    expect(weighted_gradient(y, x), 0, DIMS(2, 3), VALUES(6, 0, 0, 0, 0, 4));
    expect(tg_take(tape, tg_transpose(tape, x, 0, 1), tensor(TG_I64, SCALAR, VALUES(1))), 0, SCALAR,
           VALUES(3));
    expect_error(tg_take(tape, x, tensor(TG_I64, DIMS(1), VALUES(6))), TG_EINDEX,
                 "take: index[0] is 6, outside [-6, 6)");
    expect_error(tg_take(tape, tensor(TG_F64, DIMS(0), VALUES(0)), tensor(TG_I64, DIMS(1), VALUES(0))),
                 TG_EINDEX, "outside [0, 0)");
    tg_tensor *i = tensor(TG_I64, DIMS(2, 1), VALUES(-1, 0));
    y = tg_take_along_dim(tape, x, i, 1);
    expect(y, 0, DIMS(2, 1), VALUES(2, 3));
    expect(weighted_gradient(y, x), 0, DIMS(2, 3), VALUES(0, 0, 1, 2, 0, 0));
    expect(tg_take_along_dim(tape, x, i, 0), 0, DIMS(2, 3), VALUES(3, 4, 5, 0, 1, 2));
    expect(tg_take_along_dim(tape, x, i, TG_NONE_INT), 0, DIMS(2), VALUES(5, 0));
    expect_error(tg_take_along_dim(tape, x, tensor(TG_I64, DIMS(2), VALUES(0)), 1), TG_ESHAPE,
                 "must broadcast");
}
END_TEST

START_TEST(tables)
{
    tg_tensor *w = leaf(TG_F64, DIMS(4, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
    tg_tensor *i = tensor(TG_I64, DIMS(2, 2), VALUES(1, 3, 1, 0));
    tg_tensor *y = tg_embedding(tape, i, w, TG_NONE_INT, TG_NONE_REAL, 2, false);
    expect(y, 0, DIMS(2, 2, 2), VALUES(3, 4, 7, 8, 3, 4, 1, 2));
    expect(weighted_gradient(y, w), 0, DIMS(4, 2), VALUES(7, 8, 6, 8, 0, 0, 3, 4));
    y = tg_embedding(tape, i, w, -1, TG_NONE_REAL, 2, true);
    expect(weighted_gradient(y, w), 0, DIMS(4, 2), VALUES(7, 8, 3, 4, 0, 0, 0, 0));
    expect(tg_embedding(tape, tensor(TG_I64, DIMS(0), VALUES(0)), w, TG_NONE_INT, TG_NONE_REAL, 2, false), 0,
           DIMS(0, 2), VALUES(0));
    y = tg_embedding(tape, i, w, TG_NONE_INT, 5, 1, false);
    const double f = 5 / (7 + 1e-7), g = 5 / (15 + 1e-7);
    expect(w, 1e-15, DIMS(4, 2), VALUES(1, 2, 3 * f, 4 * f, 5, 6, 7 * g, 8 * g));
    expect(y, 1e-15, DIMS(2, 2, 2), VALUES(3 * f, 4 * f, 7 * g, 8 * g, 3 * f, 4 * f, 1, 2));
    expect_error(tg_embedding(tape, tensor(TG_I64, DIMS(1), VALUES(4)), w, TG_NONE_INT, 0, 2, false),
                 TG_EINDEX, "embedding: embedding_renorm_: index[0] is 4, outside [0, 4)");
    expect(w, 1e-15, DIMS(4, 2), VALUES(1, 2, 3 * f, 4 * f, 5, 6, 7 * g, 8 * g));
    expect_error(tg_embedding(tape, i, w, 4, TG_NONE_REAL, 2, false), TG_EINVAL,
                 "padding_idx must be in [-4, 4), got 4");
    expect_error(tg_embedding(tape, w, w, 0, TG_NONE_REAL, 2, false), TG_EDTYPE, "index must be i64");
    expect_error(tg_embedding(tape, i, tensor(TG_I64, DIMS(4, 2), VALUES(1)), 0, TG_NONE_REAL, 2, false),
                 TG_EDTYPE, "weight must be f32 or f64");
}
END_TEST

START_TEST(one_hot)
{
    tg_tensor *i = tensor(TG_I64, DIMS(2), VALUES(2, 0));
    expect(tg_one_hot(tape, i, -1), 0, DIMS(2, 3), VALUES(0, 0, 1, 1, 0, 0));
    expect(tg_one_hot(tape, i, 4), 0, DIMS(2, 4), VALUES(0, 0, 1, 0, 1, 0, 0, 0));
    expect(tg_one_hot(tape, tensor(TG_I64, SCALAR, VALUES(1)), -1), 0, DIMS(2), VALUES(0, 1));
    tg_tensor *none = tensor(TG_I64, DIMS(0), VALUES(0));
    expect(tg_one_hot(tape, none, 3), 0, DIMS(0, 3), VALUES(0));
    expect_error(tg_one_hot(tape, none, -1), TG_EINVAL, "one_hot: num_classes");
    expect_error(tg_one_hot(tape, i, 2), TG_EINDEX, "one_hot: index[0] is 2, outside [0, 2)");
    expect_error(tg_one_hot(tape, tensor(TG_I64, DIMS(1), VALUES(-1)), -1), TG_EINDEX,
                 "one_hot: index[0] is -1");
    expect_error(tg_one_hot(tape, tensor(TG_BOOL, DIMS(1), VALUES(1)), 2), TG_EDTYPE,
                 "one_hot: index must be i64");
}
END_TEST

START_TEST(large)
{
    enum { R = 500, C = 200 };
    double *v = malloc(sizeof *v * R * C), *index = malloc(sizeof *index * R),
           *out = calloc(R * C, sizeof *out);
    for (int r = 0; r < R; r++) {
        index[r] = (r * 7) % R;
        for (int c = 0; c < C; c++)
            v[r * C + c] = r * 1000 + c;
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++)
            out[r * C + c] = v[(r * 7 % R) * C + c];
    tg_tensor *x = tensor(TG_F32, DIMS(R, C), v, R * C), *i = tensor(TG_I64, DIMS(R), index, R);
    tg_tensor *wide = tg_expand(tape, tg_unsqueeze(tape, i, 1), R, C);
    expect(tg_index_select(tape, x, 0, i), 0, DIMS(R, C), out, R * C);
    expect(tg_gather(tape, x, 0, wide), 0, DIMS(R, C), out, R * C);
    expect(tg_gather(tape, tg_scatter_add(tape, tg_zeros_like(tape, x), 0, wide, x), 0, wide), 0, DIMS(R, C),
           v, R * C);
    free(v);
    free(index);
    free(out);
}
END_TEST

START_TEST(outside)
{
    tg_tensor *x = tensor(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    tg_tensor *high = tensor(TG_I64, DIMS(2, 2), VALUES(0, 1, 3, 1)),
              *low = tensor(TG_I64, DIMS(2, 2), VALUES(0, -1, 2, 1));
    size_t before = tg_tape_size(tape);
    expect_error(tg_gather(tape, x, 1, high), TG_EINDEX, "gather: index[1, 0] is 3, outside [0, 3)");
    expect_error(tg_gather(tape, x, 1, low), TG_EINDEX, "gather: index[0, 1] is -1, outside [0, 3)");
    expect_error(tg_scatter_add(tape, x, 0, high, high), TG_EINDEX,
                 "scatter_add: index[1, 0] is 3, outside [0, 2)");
    expect_error(tg_index_select(tape, x, 0, tensor(TG_I64, DIMS(2), VALUES(0, 2))), TG_EINDEX,
                 "index_select: index[1] is 2, outside [0, 2)");
    expect_error(
        tg_index_select(tape, tensor(TG_F64, DIMS(0, 3), VALUES(1)), 0, tensor(TG_I64, DIMS(1), VALUES(0))),
        TG_EINDEX, "outside [0, 0)");
    ck_assert_uint_eq(tg_tape_size(tape), before);
}
END_TEST

START_TEST(refusals)
{
    tg_tensor *x = tensor(TG_F64, DIMS(2, 3), VALUES(1)), *i = tensor(TG_I64, DIMS(2, 3), VALUES(0));
    expect_error(tg_gather(tape, x, 2, i), TG_EINVAL, "gather: dim must be between -2 and 1, got 2");
    expect_error(tg_gather(tape, x, 0, x), TG_EDTYPE, "index must be i64, not f64");
    expect_error(tg_gather(tape, x, 0, tensor(TG_I64, DIMS(2), VALUES(0))), TG_ESHAPE, "x's 2 dims, not 1");
    expect_error(tg_gather(tape, x, 0, tensor(TG_I64, DIMS(2, 4), VALUES(0))), TG_ESHAPE, "4 > 3 in dim 1");
    expect_error(tg_gather(tape, x, 0, NULL), TG_EINVAL, "NULL");
    expect_error(tg_scatter_add(tape, x, 0, i, tensor(TG_F64, DIMS(1, 3), VALUES(0))), TG_ESHAPE,
                 "src must have an element");
    expect_error(tg_scatter_add(tape, x, 0, i, tensor(TG_F32, DIMS(2, 3), VALUES(0))), TG_EDTYPE,
                 "src must be of x's dtype, f64, not f32");
    expect_error(tg_index_select(tape, x, 0, i), TG_ESHAPE, "index must have one dim, not 2");
    expect_error(tg_index_select(tape, tensor(TG_F64, SCALAR, VALUES(1)), 0, i), TG_ESHAPE,
                 "by one index, not 6");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("indices");
    TCase *t = tcase_create("indices");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, gathering);
    tcase_add_test(t, scattering);
    tcase_add_test(t, selecting);
    tcase_add_test(t, scalars);
    tcase_add_test(t, taking);
    tcase_add_test(t, tables);
    tcase_add_test(t, one_hot);
    tcase_add_test(t, large);
    tcase_add_test(t, outside);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
