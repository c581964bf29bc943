/* Distances: values, torch's derivatives where two points meet, broadcasting, refusals in the function's
 * name. */
#include "operators/rig.h"

static const double inf = INFINITY;

/* One point from three, the second of which is the point itself. */
START_TEST(all_pairs)
{
    const struct {
        double p, d[3], g[3];
    } c[] = {{0, {2, 0, 2}, {0, 0, 0}},
             {0.5,
              {5.82842712474619, 0, 5.82842712474619},
              {2.414213562373095, -1.7071067811865475, -0.7071067811865475}},
             {1, {3, 0, 3}, {1, -1, 0}},
             {2,
              {2.23606797749979, 0, 2.23606797749979},
              {0.4472135954999579, -0.8944271909999159, 0.4472135954999579}},
             {3,
              {2.080083823051904, 0, 2.080083823051904},
              {0.2311204247835449, -0.9244816991341795, 0.6933612743506347}},
             {inf, {2, 0, 2}, {0, -1, 1}}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        tg_tensor *x = leaf(TG_F64, DIMS(1, 3), VALUES(1, 0, 2)), *g = NULL;
        tg_tensor *y = tensor(TG_F64, DIMS(3, 3), VALUES(0, 0, 0, 1, 0, 2, 1, 2, 3));
        tg_tensor *d = tg_cdist(tape, x, y, c[i].p), *ones = tensor(TG_F64, DIMS(1, 3), VALUES(1));
        expect(d, 1e-14, DIMS(1, 3), c[i].d, 3);
        ck_assert_int_eq(tg_grad(tape, d, ones, &x, 1, &g, 0), TG_OK);
        expect(g, 1e-14, DIMS(1, 3), c[i].g, 3);
    }
    tg_tensor *a = leaf(TG_F32, DIMS(2, 1, 3, 2), VALUES(0, 1, 2)),
              *b = tensor(TG_F32, DIMS(2, 2), VALUES(1, 1, 0, 1));
    tg_tensor *d = tg_cdist(tape, a, b, 1);
    expect(d, 0, DIMS(2, 1, 3, 2), VALUES(1, 0, 2, 3, 1, 2));
    ck_assert_ptr_nonnull(weighted_gradient(d, a));
    expect(tg_cdist(tape, tensor(TG_F32, DIMS(2, 0), VALUES(1)), tensor(TG_F32, DIMS(3, 0), VALUES(1)), 2), 0,
           DIMS(2, 3), VALUES(0));
    expect(tg_cdist(tape, tensor(TG_F32, DIMS(0, 2), VALUES(1)), b, 2), 0, DIMS(0, 2), VALUES(0));
    expect(tg_cdist(tape, b, tensor(TG_F32, DIMS(1, 2), VALUES(NAN, 1)), inf), 0, DIMS(2, 1), VALUES(NAN));
}
END_TEST

START_TEST(of_two)
{
    tg_tensor *z = leaf(TG_F64, DIMS(2), VALUES(0, 0)), *o = tensor(TG_F64, DIMS(2), VALUES(0, 0));
    const double orders[] = {0, 0.5, 1, 1.5, 2, 3, inf, -inf, -1};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        expect(weighted_gradient(tg_dist(tape, z, o, orders[i]), z), 0, DIMS(2), VALUES(0));
    expect(tg_dist(tape, tensor(TG_F32, DIMS(2, 1), VALUES(3, 0)), tensor(TG_F32, DIMS(1), VALUES(-1)), 2),
           1e-6, SCALAR, VALUES(sqrt(17)));
    tg_tensor *x = leaf(TG_F64, DIMS(2, 2), VALUES(3, 4, 0, 0)), *y = tensor(TG_F64, DIMS(2), VALUES(0, 0));
    expect(tg_pairwise_distance(tape, x, y, 2, 0, true), 0, DIMS(2, 1), VALUES(5, 0));
    expect(weighted_gradient(tg_pairwise_distance(tape, x, y, 2, 0, false), x), 1e-15, DIMS(2, 2),
           VALUES(0.6, 0.8, 0, 0));
    expect(tg_normalize(tape, x, 2, 1, 1e-12), 1e-15, DIMS(2, 2), VALUES(0.6, 0.8, 0, 0));
    expect(weighted_gradient(tg_normalize(tape, z, 2, 0, 1e-12), z), 1e-15, DIMS(2), VALUES(1e12, 2e12));
    /* A norm below eps keeps its derivative: torch.nn.functional.cosine_similarity. */
    tg_tensor *c = tensor(TG_F64, DIMS(2), VALUES(1, 2));
    expect(tg_cosine_similarity(tape, c, c, 0, 1e-8), 1e-15, SCALAR, VALUES(1));
    expect(weighted_gradient(tg_cosine_similarity(tape, z, c, 0, 1e-8), z), 1e-14, DIMS(2),
           VALUES(44721359.549995795, 89442719.09999159));
    expect(tg_cosine_similarity(tape, x, c, -1, 1e-8), 1e-14, DIMS(2), VALUES(11 / (5 * sqrt(5)), 0));
}
END_TEST

START_TEST(shortened)
{
    tg_tensor *x = leaf(TG_F64, DIMS(3, 2), VALUES(0, 0, 3, 4, 0.1, 0.1));
    expect(tg_renorm(tape, x, 2, 0, 1), 1e-7, DIMS(3, 2), VALUES(0, 0, 0.6, 0.8, 0.1, 0.1));
    expect(weighted_gradient(tg_renorm(tape, x, 2, 0, 1), x), 1e-7, DIMS(3, 2), VALUES(1, 2, 0, 0, 5, 6));
    expect_error(tg_renorm(tape, tensor(TG_F64, DIMS(2), VALUES(1)), 2, 0, 1), TG_ESHAPE,
                 "renorm: x has 1 dims");
    expect_error(tg_renorm(tape, x, 0, 0, 1), TG_EINVAL, "p is 0");
}
END_TEST

START_TEST(triplets)
{
    tg_tensor *a = leaf(TG_F64, DIMS(2, 2), VALUES(0, 0, 0, 0)),
              *p = tensor(TG_F64, DIMS(2, 2), VALUES(3, 4, 1, 0));
    tg_tensor *n = tensor(TG_F64, DIMS(2, 2), VALUES(0, 2, 0, 9));
    expect(tg_triplet_margin_loss(tape, a, p, n, 1, 2, 0, false, TG_REDUCE_NONE), 1e-14, DIMS(2),
           VALUES(4, 0));
    expect(tg_triplet_margin_loss(tape, a, p, n, 1, 2, 0, false, TG_REDUCE_MEAN), 1e-14, SCALAR, VALUES(2));
    tg_tensor *near = tensor(TG_F64, DIMS(2, 2), VALUES(3, 5, 1, 1));
    expect(tg_triplet_margin_loss(tape, a, p, near, 1, 2, 0, true, TG_REDUCE_SUM), 1e-14, SCALAR, VALUES(6));
    expect_error(tg_triplet_margin_loss(tape, a, p, tensor(TG_F64, DIMS(3, 2), VALUES(1)), 1, 2, 0, false,
                                        TG_REDUCE_SUM),
                 TG_ESHAPE, "triplet_margin_loss: anchor f64[2, 2] and negative f64[3, 2]");
    expect_error(tg_triplet_margin_loss(tape, a, p, n, 1, 2, 0, false, (tg_reduction)7), TG_EINVAL,
                 "reduction is 7");
    expect_error(tg_triplet_margin_loss(tape, a, p, n, 0, 2, 0, false, TG_REDUCE_SUM), TG_EINVAL,
                 "margin is 0");
}
END_TEST

/* In the name of the function that was called, and nothing stays behind on the tape. */
START_TEST(refusals)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(1)), *w = tensor(TG_I64, DIMS(2, 3), VALUES(1)),
              *y = tensor(TG_F64, DIMS(2, 2), VALUES(1));
    expect_error(tg_dist(tape, x, w, 2), TG_EDTYPE, "dist: b must be f32 or f64, not i64");
    expect_error(tg_dist(tape, x, y, 2), TG_ESHAPE, "dist: a f64[2, 3] and b f64[2, 2] do not broadcast");
    expect_error(tg_cdist(tape, x, y, 2), TG_ESHAPE, "cdist: x1 is f64[2, 3] and x2 f64[2, 2]");
    expect_error(tg_cdist(tape, x, x, -1), TG_EINVAL, "p is -1, expected 0 or more");
    expect_error(tg_cosine_similarity(tape, x, x, 2, 1e-8), TG_EINVAL, "cosine_similarity: dim must be");
    expect_error(tg_cosine_similarity(tape, x, NULL, 0, 1e-8), TG_EINVAL, "cosine_similarity: b is NULL");
    expect_error(tg_pairwise_distance(tape, w, x, 2, 0, false), TG_EDTYPE, "pairwise_distance: a must be");
    expect_error(tg_normalize(tape, w, 2, 0, 1e-12), TG_EDTYPE, "normalize: x must be");
    expect_error(tg_normalize(tape, x, 2, 5, 1e-12), TG_EINVAL, "normalize: dim must be");
    ck_assert_uint_eq(tg_tape_size(tape), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("distances");
    TCase *t = tcase_create("values");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, all_pairs);
    tcase_add_test(t, of_two);
    tcase_add_test(t, shortened);
    tcase_add_test(t, triplets);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
