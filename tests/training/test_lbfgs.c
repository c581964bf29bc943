/* LBFGS on Rosenbrock's function against PyTorch 2.14's iterates, and steps by closure. */
#include "training/parameters.h"

typedef struct problem {
    tg_tensor *x; /* or x[0] and x[1] apart */
    tg_tensor *second;
    double sign;
    int evaluations, fail_at;
} problem;

static tg_tensor *rosenbrock(void *arg, tg_tape *t)
{
    problem *p = arg;
    tg_tape_reset(t);
    if (++p->evaluations == p->fail_at)
        return NULL;
    tg_tensor *a = p->second ? p->x : tg_narrow(t, p->x, 0, 0, 1),
              *b = p->second ? p->second : tg_narrow(t, p->x, 0, 1, 1);
    tg_tensor *valley = tg_square(t, tg_sub(t, b, tg_square(t, a)));
    tg_tensor *loss =
        tg_sum(t, tg_add(t, tg_square(t, tg_sub_scalar(t, a, 1)), tg_mul_scalar(t, valley, 100)));
    loss = tg_mul_scalar(t, loss, p->sign);
    return tg_backward(t, loss) ? NULL : loss;
}

static tg_status step(tg_optimizer *o, problem *p, double *loss)
{
    return tg_optimizer_step_closure(o, tape, rosenbrock, p, loss);
}

static const struct {
    tg_lbfgs_options o;
    int steps;
    struct {
        double loss, x, y;
        int evaluations;
    } want[6];
} cases[] = {
    {{.lr = 1e-3, .max_iter = 4, .history_size = 100, .tolerance_grad = 1e-7, .tolerance_change = 1e-9},
     5,
     {{24.2, -1.198872460631334, 1.000494602535595, 4},
      {23.91451427115606, -1.198339839720919, 1.000834600661389, 8},
      {23.77118948775927, -1.197833502686254, 1.001246479301183, 12},
      {23.6277798774237, -1.197352178827745, 1.001725363032164, 16},
      {23.48443931491835, -1.196894598763731, 1.002266588589247, 20}}},
    {{.lr = 1,
      .max_iter = 4,
      .history_size = 100,
      .tolerance_grad = 1e-7,
      .tolerance_change = 1e-9,
      .line_search_fn = TG_LBFGS_STRONG_WOLFE},
     6,
     {{24.2, -1.028879534831969, 1.065502951684856, 5},
      {4.121126775765638, -0.9431278012083246, 0.8529662725410926, 10},
      {3.90914427952064, -0.516027772885204, 0.2265458257902375, 15},
      {2.456257721580503, -0.256089576896647, 0.0372619816162239, 20},
      {1.657962640897188, 0.2168277960094694, 0.06691881400560332, 25},
      {0.6529776962626751, 0.3806226433464803, 0.1249101318729309, 30}}},
    {{.lr = 1,
      .max_iter = 5,
      .max_eval = 7,
      .history_size = 2,
      .tolerance_grad = 1e-7,
      .tolerance_change = 1e-9,
      .line_search_fn = TG_LBFGS_STRONG_WOLFE,
      .maximize = true},
     6,
     {{-24.2, -1.01976147620192, 1.034107503141761, 7},
      {-4.082807343944086, -0.5125309076136765, 0.2187685957466201, 14},
      {-2.480640549674177, -0.1359458547764238, -0.01830544121234525, 21},
      {-1.425699237122727, 0.3251995681002413, 0.07395168126372086, 28},
      {-0.55649919883097, 0.7200213237208061, 0.5151676964324303, 35},
      {-0.07945278271467908, 0.8593818137972153, 0.737120533594936, 42}}},
    {{.lr = 1,
      .max_iter = 30,
      .history_size = 100,
      .tolerance_grad = 1e-7,
      .tolerance_change = 1e-9,
      .line_search_fn = TG_LBFGS_STRONG_WOLFE},
     3,
     {{24.2, 0.9768773674821675, 0.9525832436381207, 38},
      {0.0008257500503435478, 0.9999814210791363, 0.9999619651810985, 44},
      {4.221457511345814e-10, 0.9999814210791363, 0.9999619651810985, 45}}},
    {{.lr = 1e-3, .max_iter = 20, .history_size = 3, .tolerance_grad = 1e-7, .tolerance_change = 1e-9},
     4,
     {{24.2, -1.196906271772515, 1.002299515538898, 20},
      {23.34092457237868, -1.195097282048518, 1.006242787520282, 40},
      {22.62809497707385, -1.194008853226182, 1.011934917860382, 60},
      {21.93028268819239, -1.193340320299332, 1.018525130893519, 80}}},
};
enum { N_CASES = sizeof cases / sizeof *cases };

/* One parameter of two elements, or two of one. */
START_TEST(iterates)
{
    bool apart = _i % 2;
    const int k = _i / 2;
    problem p = {.sign = cases[k].o.maximize ? -1 : 1};
    tg_tensor *t[] = {parameter(TG_F64, (double[]){-1.2, 1}, DIMS(2)),
                      parameter(TG_F64, (double[]){-1.2}, DIMS(1)),
                      parameter(TG_F64, (double[]){1}, DIMS(1, 1))};
    p.x = apart ? t[1] : t[0];
    p.second = apart ? t[2] : NULL;
    tg_named_tensors list = apart ? listed(t + 1, 2) : listed(t, 1);
    tg_optimizer *o = tg_optim_lbfgs(rt, &list, &cases[k].o);
    ck_assert_msg(o != NULL, "%s", tg_error_message());
    for (int i = 0; i < cases[k].steps; i++) {
        double loss, got[2];
        ck_assert_msg(step(o, &p, &loss) == TG_OK, "%s", tg_tape_error(tape));
        get(p.x, got, apart ? 1 : 2);
        if (apart)
            get(p.second, got + 1, 1);
        ck_assert_double_eq_tol(loss, cases[k].want[i].loss, 1e-9);
        ck_assert_double_eq_tol(got[0], cases[k].want[i].x, 1e-9);
        ck_assert_double_eq_tol(got[1], cases[k].want[i].y, 1e-9);
        ck_assert_int_eq(p.evaluations, cases[k].want[i].evaluations);
        ck_assert_ptr_null(tg_tensor_grad(p.x));
    }
    tg_optimizer_destroy(o);
    for (int i = 0; i < 3; i++)
        tg_tensor_destroy(t[i]);
}
END_TEST

/* A closure or an allocation that fails leaves the parameters as they were; then the step can be had. */
START_TEST(failing)
{
    static const double start[] = {-1.2, 1};
    problem p = {.sign = 1, .x = parameter(TG_F64, start, DIMS(2))};
    tg_named_tensors list = listed(&p.x, 1);
    tg_lbfgs_options options = tg_lbfgs_defaults();
    options.line_search_fn = TG_LBFGS_STRONG_WOLFE;
    options.max_iter = 4;
    for (p.fail_at = 1; p.fail_at < 6; p.fail_at++) {
        tg_optimizer *o = tg_optim_lbfgs(rt, &list, &options);
        double got[2], loss = 7;
        p.evaluations = 0;
        ck_assert_int_ne(step(o, &p, &loss), TG_OK);
        ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "LBFGS: the closure"));
        tg_tape_clear_error(tape);
        ck_assert_double_eq(loss, 7);
        get(p.x, got, 2);
        ck_assert(got[0] == start[0] && got[1] == start[1]);
        ck_assert_int_eq(tg_optimizer_steps(o, "a"), 0);
        tg_optimizer_destroy(o);
    }
    p.fail_at = 0;
    int failures = 0;
    tg_optimizer *o = tg_optim_lbfgs(rt, &list, &options);
    tg_status status = TG_ENOMEM;
    for (long k = 1; status; k++) {
        double got[2];
        rig_fail_at = rig_calls + k;
        status = step(o, &p, NULL);
        rig_fail_at = 0;
        get(p.x, got, 2);
        if (status) {
            failures++;
            ck_assert_int_eq(status, TG_ENOMEM);
            ck_assert(got[0] == start[0] && got[1] == start[1]);
            tg_tape_clear_error(tape);
        } else
            ck_assert_double_eq_tol(got[0], cases[1].want[0].x, 1e-9);
    }
    ck_assert_int_ge(failures, 10);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p.x);
}
END_TEST

/* Once the history is full, a step allocates nothing. */
START_TEST(later_steps_allocate_nothing)
{
    problem p = {.sign = 1, .x = parameter(TG_F64, (double[]){-1.2, 1}, DIMS(2))};
    tg_named_tensors list = listed(&p.x, 1);
    tg_lbfgs_options options = tg_lbfgs_defaults();
    options.line_search_fn = TG_LBFGS_STRONG_WOLFE;
    options.history_size = 2;
    options.max_iter = 4;
    tg_optimizer *o = tg_optim_lbfgs(rt, &list, &options);
    long calls = 0;
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(step(o, &p, NULL), TG_OK);
        calls = i == 2 ? rig_calls : calls;
    }
    ck_assert_int_eq(rig_calls, calls);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p.x);
}
END_TEST

/* Any other optimizer evaluates once. */
START_TEST(others_by_closure)
{
    problem p = {.sign = 1, .x = parameter(TG_F64, (double[]){-1.2, 1}, DIMS(2))};
    tg_named_tensors list = listed(&p.x, 1);
    tg_optimizer *o = tg_optim_sgd(rt, &list, &(tg_sgd_options){.lr = 1e-3});
    double loss, got[2];
    ck_assert_int_eq(step(o, &p, &loss), TG_OK);
    ck_assert_int_eq(p.evaluations, 1);
    ck_assert_double_eq_tol(loss, 24.2, 1e-12);
    get(p.x, got, 2);
    ck_assert_double_eq_tol(got[0], -1.2 + 0.2156, 1e-12);
    ck_assert_double_eq_tol(got[1], 1 + 0.088, 1e-12);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p.x);
}
END_TEST

START_TEST(refuses)
{
    problem p = {.sign = 1, .x = parameter(TG_F64, (double[]){-1.2, 1}, DIMS(2))};
    tg_tensor *both[] = {p.x, parameter(TG_F32, (double[]){1}, DIMS(1))};
    tg_named_tensors list = listed(&p.x, 1), mixed = listed(both, 2), second = listed(both + 1, 1);
    tg_lbfgs_options bad = tg_lbfgs_defaults();
    bad.max_iter = 0;
    ck_assert_ptr_null(tg_optim_lbfgs(rt, &list, &bad));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "LBFGS: max_iter is 0"));
    bad.max_iter = 1;
    bad.history_size = -1;
    ck_assert_ptr_null(tg_optim_lbfgs(rt, &list, &bad));
    tg_attr word = {"line_search_fn", TG_ATTR_CHOICE, {.s = "armijo"}};
    ck_assert_ptr_null(tg_optim_create(rt, "LBFGS", &list, &word, 1));
    word.as.s = "strong_wolfe";
    tg_optimizer *o = tg_optim_create(rt, "LBFGS", &list, &word, 1);
    ck_assert_int_eq(tg_optimizer_step(o, tape), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "tg_optimizer_step_closure"));
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_optimizer_step_closure(o, tape, NULL, NULL, NULL), TG_EINVAL);
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_optimizer_add_group(o, &second, NULL, 0), TG_EINVAL);
    tg_optimizer_destroy(o);
    o = tg_optim_lbfgs(rt, &mixed, NULL);
    ck_assert_int_eq(step(o, &p, NULL), TG_EDTYPE);
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "differ in dtype"));
    tg_tape_clear_error(tape);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(both[0]);
    tg_tensor_destroy(both[1]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lbfgs");
    TCase *t = tcase_create("lbfgs");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, iterates, 0, 2 * N_CASES);
    tcase_add_test(t, failing);
    tcase_add_test(t, later_steps_allocate_nothing);
    tcase_add_test(t, others_by_closure);
    tcase_add_test(t, refuses);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
