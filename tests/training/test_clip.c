/* Clipping gradients by their norm. */
#include "training/parameters.h"

START_TEST(clips_to_the_norm)
{
    double w[N], ga[N], gb[N], norm, square = 0, got[N];
    values_of(w, 21);
    values_of(ga, 22);
    values_of(gb, 23);
    tg_tensor *p[] = {parameter(TG_F64, w, DIMS(N)), parameter(TG_F64, w, DIMS(N)),
                      parameter(TG_F64, w, DIMS(N))};
    tg_named_tensors list = listed(p, 3);
    give_gradient(p[0], ga);
    give_gradient(p[2], gb);
    for (int i = 0; i < N; i++)
        square += ga[i] * ga[i] + gb[i] * gb[i];
    /* Above the norm: untouched. */
    ck_assert_int_eq(tg_clip_grad_norm(tape, &list, 100, &norm), TG_OK);
    ck_assert_double_eq_tol(norm, sqrt(square), 1e-12);
    get(tg_tensor_grad(p[0]), got, N);
    ck_assert_mem_eq(got, ga, sizeof ga);
    ck_assert_int_eq(tg_clip_grad_norm(tape, &list, 0.5, NULL), TG_OK);
    get(tg_tensor_grad(p[2]), got, N);
    for (int i = 0; i < N; i++)
        ck_assert_double_eq_tol(got[i], gb[i] * 0.5 / (sqrt(square) + 1e-6), 1e-14);
    ck_assert_ptr_null(tg_tensor_grad(p[1]));
    ck_assert_int_eq(tg_clip_grad_norm(tape, &list, 0, &norm), TG_OK);
    get(tg_tensor_grad(p[2]), got, N);
    ck_assert_double_eq(got[0], 0);
    for (int i = 0; i < 3; i++)
        tg_tensor_zero_grad(p[i]);
    ck_assert_int_eq(tg_clip_grad_norm(tape, &list, 1, &norm), TG_OK);
    ck_assert_double_eq(norm, 0);
    ck_assert_int_eq(tg_clip_grad_norm(tape, &list, -1, &norm), TG_EINVAL);
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_clip_grad_norm(tape, &list, NAN, &norm), TG_EINVAL);
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_clip_grad_norm(tape, NULL, 1, &norm), TG_EINVAL);
    tg_tape_clear_error(tape);
    for (int i = 0; i < 3; i++)
        tg_tensor_destroy(p[i]);
}
END_TEST

START_TEST(a_nan_spreads_as_in_torch)
{
    double w[N] = {0}, g[N] = {0}, norm, got[N];
    g[3] = NAN;
    tg_tensor *p = parameter(TG_F64, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    give_gradient(p, g);
    ck_assert_int_eq(tg_clip_grad_norm(tape, &list, 1, &norm), TG_OK);
    ck_assert(isnan(norm));
    get(tg_tensor_grad(p), got, N);
    ck_assert(isnan(got[0]));
    tg_tensor_destroy(p);
}
END_TEST

static const double norm_types[] = {1, 2, 3.5, INFINITY};

START_TEST(other_norms)
{
    double w[N] = {0}, ga[N], gb[N], got[N], norm, want = 0, p = norm_types[_i];
    values_of(ga, 31);
    values_of(gb, 32);
    tg_tensor *t[] = {parameter(TG_F64, w, DIMS(N)), parameter(TG_F32, w, DIMS(N))};
    tg_named_tensors list = listed(t, 2);
    give_gradient(t[0], ga);
    give_gradient(t[1], gb);
    for (int i = 0; i < N; i++)
        want = isinf(p) ? fmax(want, fmax(fabs(ga[i]), fabs(gb[i])))
                        : want + pow(fabs(ga[i]), p) + pow(fabs(gb[i]), p);
    want = isinf(p) ? want : pow(want, 1 / p);
    ck_assert_int_eq(tg_grad_norm(tape, &list, p, &norm), TG_OK);
    ck_assert_double_eq_tol(norm, want, 1e-6 * want);
    get(tg_tensor_grad(t[0]), got, N);
    ck_assert_mem_eq(got, ga, sizeof ga);
    ck_assert_int_eq(tg_clip_grad_norm_by(tape, &list, want / 4, p, &norm), TG_OK);
    ck_assert_double_eq_tol(norm, want, 1e-6 * want);
    ck_assert_int_eq(tg_grad_norm(tape, &list, p, &norm), TG_OK);
    ck_assert_double_eq_tol(norm, want / 4, 1e-5 * want);
    ck_assert_int_eq(tg_grad_norm(tape, &list, 0, &norm), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "norm_type is 0"));
    tg_tape_clear_error(tape);
    for (int i = 0; i < 2; i++)
        tg_tensor_destroy(t[i]);
}
END_TEST

START_TEST(clips_values)
{
    double w[N] = {0}, g[N], got[N];
    tg_tensor *t[] = {parameter(TG_F64, w, DIMS(N)), parameter(TG_F64, w, DIMS(N)),
                      parameter(TG_F64, w, DIMS(N))};
    tg_named_tensors list = listed(t, 3);
    values_of(g, 33);
    g[0] = NAN;
    g[1] = INFINITY;
    g[2] = -INFINITY;
    give_gradient(t[0], g);
    give_gradient(t[2], g);
    ck_assert_int_eq(tg_clip_grad_value(tape, &list, 0.25), TG_OK);
    ck_assert_ptr_null(tg_tensor_grad(t[1]));
    for (int k = 0; k < 3; k += 2) {
        get(tg_tensor_grad(t[k]), got, N);
        ck_assert(isnan(got[0]));
        for (int i = 1; i < N; i++)
            ck_assert_double_eq(got[i], fmax(-0.25, fmin(0.25, g[i])));
    }
    ck_assert_int_eq(tg_clip_grad_value(tape, &list, -1), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "clip_value is -1"));
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_clip_grad_value(tape, &list, NAN), TG_EINVAL);
    tg_tape_clear_error(tape);
    for (int i = 0; i < 3; i++)
        tg_tensor_destroy(t[i]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("clipping");
    TCase *t = tcase_create("clipping");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, clips_to_the_norm);
    tcase_add_loop_test(t, other_norms, 0, 4);
    tcase_add_test(t, clips_values);
    tcase_add_test(t, a_nan_spreads_as_in_torch);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
