/* Schedulers against the closed forms of torch.optim.lr_scheduler. */
#include "layers/rig.h"

static tg_tensor *weight;
static tg_optimizer *optimizer;

static void open_all(void)
{
    static const char *const name = "w";
    rig_open();
    ck_assert_int_eq(tg_tensor_create(&weight, rt, TG_F64, DIMS(3)), TG_OK);
    tg_named_tensors list = {.n = 1, .name = &name, .tensor = &weight};
    optimizer = tg_optim_sgd(rt, &list, &(tg_sgd_options){.lr = 0.1});
    ck_assert_ptr_nonnull(optimizer);
}

static void close_all(void)
{
    tg_optimizer_destroy(optimizer);
    tg_tensor_destroy(weight);
    rig_close();
}

START_TEST(step_lr)
{
    tg_scheduler *s = tg_lr_step(optimizer, 3, 0.5);
    ck_assert_ptr_nonnull(s);
    double want = 0.1;
    for (int epoch = 1; epoch <= 12; epoch++) {
        ck_assert_int_eq(tg_scheduler_step(s), TG_OK);
        if (epoch % 3 == 0)
            want *= 0.5;
        ck_assert_double_eq(tg_optimizer_lr(optimizer), want);
    }
    tg_scheduler_destroy(s);
}
END_TEST

/* The closed form, on both sides of T_max and beyond a whole period. */
START_TEST(cosine_annealing)
{
    static const int64_t periods[] = {1, 2, 6, 50};
    int64_t t_max = periods[_i];
    const double pi = 3.14159265358979323846, low = 0.001;
    tg_scheduler *s = tg_lr_cosine_annealing(optimizer, t_max, low);
    ck_assert_ptr_nonnull(s);
    ck_assert_double_eq(tg_optimizer_lr(optimizer), 0.1);
    for (int64_t epoch = 1; epoch <= 5 * t_max; epoch++) {
        ck_assert_int_eq(tg_scheduler_step(s), TG_OK);
        double want = low + (0.1 - low) * (1 + cos(pi * (double)epoch / (double)t_max)) / 2;
        ck_assert_double_eq_tol(tg_optimizer_lr(optimizer), want, 1e-12);
    }
    tg_scheduler_destroy(s);
}
END_TEST

/* lr=0.1, T_max=6, eta_min=0.001, then a change of the rate by hand after the fourth step: the form is
 * recursive, so it goes on from there. */
START_TEST(cosine_goes_on_from_a_rate_set_by_hand)
{
    tg_scheduler *s = tg_lr_cosine_annealing(optimizer, 6, 0.001);
    const double pi = 3.14159265358979323846;
    for (int i = 0; i < 4; i++)
        tg_scheduler_step(s);
    ck_assert_int_eq(tg_optimizer_set_lr(optimizer, 0.2), TG_OK);
    tg_scheduler_step(s);
    double want = (1 + cos(5 * pi / 6)) / (1 + cos(4 * pi / 6)) * (0.2 - 0.001) + 0.001;
    ck_assert_double_eq_tol(tg_optimizer_lr(optimizer), want, 1e-15);
    tg_scheduler_destroy(s);
}
END_TEST

START_TEST(a_second_scheduler_starts_from_the_first_rate)
{
    tg_scheduler *a = tg_lr_step(optimizer, 1, 0.5);
    tg_scheduler_step(a);
    tg_scheduler_destroy(a);
    ck_assert_double_eq(tg_optimizer_lr(optimizer), 0.05);
    /* torch keeps initial_lr: the way up of the second one ends at 0.1. */
    tg_scheduler *b = tg_lr_cosine_annealing(optimizer, 1, 0);
    tg_scheduler_step(b);
    ck_assert_double_eq_tol(tg_optimizer_lr(optimizer), 0, 1e-15);
    tg_scheduler_step(b);
    ck_assert_double_eq_tol(tg_optimizer_lr(optimizer), 0.1, 1e-15);
    tg_scheduler_destroy(b);
}
END_TEST

START_TEST(by_name)
{
    const char *names[8];
    size_t n = tg_lr_list(names, 8);
    ck_assert_uint_ge(n, 2);
    for (size_t i = 0; i < n && i < 8; i++)
        ck_assert_ptr_nonnull(tg_lr_attrs(names[i]));
    tg_attr args[] = {{"T_max", TG_ATTR_INT, {.i = 4}}, {"eta_min", TG_ATTR_REAL, {.f = 0.01}}};
    tg_scheduler *s = tg_lr_create(optimizer, "CosineAnnealingLR", args, 2);
    ck_assert_msg(s != NULL, "%s", tg_error_message());
    tg_scheduler_destroy(s);
    ck_assert_ptr_null(tg_lr_create(optimizer, "CosineAnnealingLR", NULL, 0)); /* T_max is required */
    ck_assert_ptr_null(tg_lr_create(optimizer, "StepLR", args, 1));
    ck_assert_ptr_null(tg_lr_create(optimizer, "Cosine", NULL, 0));
    ck_assert_ptr_null(tg_lr_create(NULL, "StepLR", (tg_attr[]){{"step_size", TG_ATTR_INT, {.i = 4}}}, 1));
    ck_assert_ptr_null(tg_lr_attrs("Cosine"));
}
END_TEST

START_TEST(refuses)
{
    ck_assert_ptr_null(tg_lr_step(optimizer, 0, 0.5));
    ck_assert_ptr_null(tg_lr_step(optimizer, 1, -0.5));
    ck_assert_ptr_null(tg_lr_step(optimizer, 1, NAN));
    ck_assert_ptr_null(tg_lr_step(NULL, 1, 0.5));
    ck_assert_ptr_null(tg_lr_cosine_annealing(optimizer, 0, 0));
    ck_assert_ptr_null(tg_lr_cosine_annealing(optimizer, -3, 0));
    ck_assert_ptr_null(tg_lr_cosine_annealing(optimizer, 5, -1));
    ck_assert_ptr_null(tg_lr_cosine_annealing(optimizer, 5, NAN));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "CosineAnnealingLR"));
    ck_assert_int_eq(tg_scheduler_step(NULL), TG_EINVAL);
    rig_fail_at = rig_calls + 1;
    ck_assert_ptr_null(tg_lr_step(optimizer, 1, 0.5));
    rig_fail_at = 0;
}
END_TEST

START_TEST(periods_as_long_as_can_be)
{
    tg_scheduler *s[] = {tg_lr_step(optimizer, INT64_MAX, 0.5),
                         tg_lr_cosine_annealing(optimizer, INT64_MAX, 0)};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++)
            ck_assert_int_eq(tg_scheduler_step(s[k]), TG_OK);
    ck_assert_double_eq_tol(tg_optimizer_lr(optimizer), 0.1, 1e-12);
    tg_scheduler_destroy(s[0]);
    tg_scheduler_destroy(s[1]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("schedulers");
    TCase *t = tcase_create("schedulers");
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_add_test(t, step_lr);
    tcase_add_loop_test(t, cosine_annealing, 0, 4);
    tcase_add_test(t, cosine_goes_on_from_a_rate_set_by_hand);
    tcase_add_test(t, a_second_scheduler_starts_from_the_first_rate);
    tcase_add_test(t, by_name);
    tcase_add_test(t, refuses);
    tcase_add_test(t, periods_as_long_as_can_be);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
