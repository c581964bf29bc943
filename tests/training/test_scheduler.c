/* Schedulers against the numbers, and the closed forms, of torch.optim.lr_scheduler. */
#include "layers/rig.h"
#include "schedules_of_torch.h"

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

static void make_optimizer(bool adam)
{
    static const char *const name = "w";
    tg_named_tensors list = {.n = 1, .name = &name, .tensor = &weight};
    tg_optimizer_destroy(optimizer);
    optimizer = adam ? tg_optim_adam(rt, &list,
                                     &(tg_adam_options){.lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8})
                     : tg_optim_sgd(rt, &list, &(tg_sgd_options){.lr = 0.1, .momentum = 0.9});
    ck_assert_ptr_nonnull(optimizer);
}

static void close_all(void)
{
    tg_optimizer_destroy(optimizer);
    tg_tensor_destroy(weight);
    rig_close();
}

/* Whether the optimizer's next step takes what the cycle says: SGD's buffer and Adam's mean of gradients
 * of 1. */
typedef struct follower {
    bool adam;
    int steps;
    double w, mean;
} follower;

static void follow(follower *s, double lr, double momentum)
{
    double w[3];
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, weight)), TG_OK);
    ck_assert_msg(tg_optimizer_step(optimizer, tape) == TG_OK, "%s", tg_tape_error(tape));
    tg_tape_reset(tape);
    s->steps++;
    if (s->adam) {
        s->mean = momentum * s->mean + (1 - momentum);
        s->w -= lr / (1 - pow(momentum, s->steps)) * s->mean / (1 + 1e-8);
    } else {
        s->mean = s->steps == 1 ? 1 : momentum * s->mean + 1;
        s->w -= lr * s->mean;
    }
    ck_assert_int_eq(tg_tensor_read(weight, w, sizeof w), TG_OK);
    ck_assert_double_eq_tol(w[0], s->w, 1e-12);
}

START_TEST(what_torch_gives)
{
    const run_of_torch *r = &runs[_i];
    const size_t columns = r->momentum ? 2 : 1;
    follower by_hand = {.adam = r->adam};
    tg_tensor_set_requires_grad(weight, true);
    if (r->momentum)
        make_optimizer(r->adam);
    tg_scheduler *s = r->make(optimizer);
    ck_assert_msg(s != NULL, "%s: %s", r->label, tg_error_message());
    for (size_t i = 0; i < r->n; i += columns) {
        const double lr = tg_optimizer_lr(optimizer);
        if (i)
            ck_assert_msg(tg_scheduler_step(s) == TG_OK, "%s: %s", r->label, tg_error_message());
        const double got = i ? tg_optimizer_lr(optimizer) : lr;
        ck_assert_msg(fabs(got - r->want[i]) <= 1e-16 + 4e-16 * fabs(r->want[i]),
                      "%s: step %zu gives %.17g, torch %.17g", r->label, i / columns, got, r->want[i]);
        if (r->momentum)
            follow(&by_hand, r->want[i], r->want[i + 1]);
    }
    tg_scheduler_destroy(s);
}
END_TEST

static const double metrics[] = {1,  .9, .899, .898, .897, .5, .5, .5, .5,  .5,
                                 .5, .5, .5,   .5,   .5,   .5, .5, .5, NAN, .1};

START_TEST(plateau)
{
    static const double falls[] = {0.1,   0.1,   0.1,  0.1,  0.05, 0.05, 0.05, 0.05, 0.025, 0.025,
                                   0.025, 0.025, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02,  0.02};
    static const double rises[] = {0.1,
                                   0.03,
                                   0.009,
                                   0.0026999999999999997,
                                   0.0008099999999999998,
                                   0.00024299999999999994,
                                   7.289999999999998e-05,
                                   2.1869999999999996e-05,
                                   6.560999999999999e-06,
                                   1.9682999999999994e-06,
                                   5.904899999999998e-07,
                                   1.7714699999999994e-07,
                                   5.314409999999998e-08,
                                   1.5943229999999993e-08,
                                   4.782968999999998e-09,
                                   4.782968999999998e-09,
                                   4.782968999999998e-09,
                                   4.782968999999998e-09,
                                   4.782968999999998e-09,
                                   4.782968999999998e-09};
    tg_plateau_options options = tg_plateau_defaults();
    options.factor = 0.5;
    options.patience = 2;
    options.threshold = 0.01;
    options.cooldown = 1;
    options.min_lr = TG_REALS(0.02);
    if (_i) {
        options = tg_plateau_defaults();
        options.mode = 1;
        options.factor = 0.3;
        options.patience = 0;
        options.threshold = 0.05;
        options.threshold_mode = 1;
    }
    tg_scheduler *s = tg_lr_reduce_on_plateau(optimizer, &options);
    ck_assert_msg(s != NULL, "%s", tg_error_message());
    ck_assert_int_eq(tg_scheduler_step(s), TG_ESTATE);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        ck_assert_int_eq(tg_scheduler_step_metric(s, metrics[i]), TG_OK);
        ck_assert_double_eq_tol(tg_optimizer_lr(optimizer), (_i ? rises : falls)[i], 1e-17);
        ck_assert_int_eq(tg_scheduler_last_epoch(s), (int64_t)i + 1);
    }
    tg_scheduler_destroy(s);
}
END_TEST

/* As of a checkpoint: lr₀ is 0.2 and the rate 0.1 by now. */
START_TEST(resumes_at_last_epoch)
{
    static const struct {
        const char *name;
        tg_attr attrs[4];
        size_t n;
        double want[4];
    } cases[] = {
        {"StepLR",
         {{"step_size", TG_ATTR_INT, {.i = 2}},
          {"gamma", TG_ATTR_REAL, {.f = 0.5}},
          {"last_epoch", TG_ATTR_INT, {.i = 2}}},
         3,
         {0.1, 0.05, 0.05, 0.025}},
        {"ExponentialLR",
         {{"gamma", TG_ATTR_REAL, {.f = 0.9}}, {"last_epoch", TG_ATTR_INT, {.i = 3}}},
         2,
         {0.1, 0.09000000000000001, 0.08100000000000002, 0.07290000000000002}},
        {"CosineAnnealingLR",
         {{"T_max", TG_ATTR_INT, {.i = 5}}, {"last_epoch", TG_ATTR_INT, {.i = 1}}},
         2,
         {0.1, 0.052786404500042065, 0.014589803375031551, 0}},
        {"CosineAnnealingWarmRestarts",
         {{"T_0", TG_ATTR_INT, {.i = 2}},
          {"T_mult", TG_ATTR_INT, {.i = 2}},
          {"last_epoch", TG_ATTR_INT, {.i = 3}}},
         3,
         {0.2, 0.17071067811865476, 0.1, 0.029289321881345254}},
        {"LinearLR",
         {{"start_factor", TG_ATTR_REAL, {.f = 0.5}},
          {"total_iters", TG_ATTR_INT, {.i = 4}},
          {"last_epoch", TG_ATTR_INT, {.i = 1}}},
         3,
         {0.1, 0.11666666666666668, 0.13333333333333333, 0.13333333333333333}},
    };
    ck_assert_ptr_null(tg_lr_create(optimizer, cases[_i].name, cases[_i].attrs, cases[_i].n));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "no scheduler has set the first rate"));
    tg_optimizer_set_lr(optimizer, 0.2);
    tg_scheduler_destroy(tg_lr_exponential(optimizer, 1));
    tg_optimizer_set_lr(optimizer, 0.1);
    tg_scheduler *s = tg_lr_create(optimizer, cases[_i].name, cases[_i].attrs, cases[_i].n);
    ck_assert_msg(s != NULL, "%s", tg_error_message());
    for (int i = 0; i < 4; i++) {
        ck_assert_double_eq_tol(tg_optimizer_lr(optimizer), cases[_i].want[i], 1e-16);
        ck_assert_int_eq(tg_scheduler_step(s), TG_OK);
    }
    tg_scheduler_destroy(s);
}
END_TEST

/* One scheduler made a second time, given the first one's numbers, goes on with the same rates. */
START_TEST(state_goes_over)
{
    const run_of_torch *r = &runs[_i];
    double state[64], rates[8];
    tg_tensor_set_requires_grad(weight, true);
    if (r->momentum)
        make_optimizer(r->adam);
    tg_scheduler *a = r->make(optimizer);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(tg_scheduler_step(a), TG_OK);
    const double lr = tg_optimizer_lr(optimizer);
    const size_t n = tg_scheduler_state(a, state, 64);
    ck_assert_uint_ge(n, 1);
    ck_assert_uint_le(n, 64);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(tg_scheduler_step(a), TG_OK);
        rates[i] = tg_optimizer_lr(optimizer);
    }
    tg_scheduler *b = r->make(optimizer);
    ck_assert_int_eq(tg_scheduler_set_state(b, state, n - 1), TG_EINVAL);
    ck_assert_int_eq(tg_scheduler_set_state(b, state, n), TG_OK);
    tg_optimizer_set_lr(optimizer, lr);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(tg_scheduler_step(b), TG_OK);
        ck_assert_double_eq(tg_optimizer_lr(optimizer), rates[i]);
    }
    state[0] = NAN;
    ck_assert_int_eq(tg_scheduler_set_state(b, state, n), TG_EINVAL);
    state[0] = 1e300;
    ck_assert_int_eq(tg_scheduler_set_state(b, state, n), TG_EINVAL);
    tg_scheduler_destroy(a);
    tg_scheduler_destroy(b);
}
END_TEST

/* -- groups ------------------------------------------------------------------------------------------------
 */

static double by_group(void *arg, int64_t epoch, size_t group)
{
    (void)arg;
    return group ? 0.5 : pow(0.9, (double)epoch);
}

/* Two groups, of 0.1 and 0.02, as torch has them. */
START_TEST(every_group_has_its_own_rate)
{
    static const double sequence[][2] = {{0.05, 0.01},
                                         {0.07500000000000001, 0.015},
                                         {0.1, 0.01},
                                         {0.09000000000000001, 0.01},
                                         {0.08100000000000002, 0.01}};
    static const double one[][2] = {
        {0.01200000000000001, 0.008000000000000007}, {0.29832463063527354, 0.19888308709018238},
        {0.24352369618492892, 0.1623491307899526},   {0.13879113080009253, 0.09252742053339501},
        {0.04004325905664918, 0.02669550603776612},  {1.2e-06, 8e-07},
        {0.04004325905664916, 0.02669550603776611}};
    static const char *const name = "v";
    tg_tensor *other;
    ck_assert_int_eq(tg_tensor_create(&other, rt, TG_F64, DIMS(3)), TG_OK);
    ck_assert_int_eq(tg_tensor_set_requires_grad(other, true), TG_OK);
    make_optimizer(_i == 1);
    tg_named_tensors list = {.n = 1, .name = &name, .tensor = &other};
    ck_assert_msg(
        tg_optimizer_add_group(optimizer, &list, (tg_attr[]){{"lr", TG_ATTR_REAL, {.f = 0.02}}}, 1) == TG_OK,
        "%s", tg_error_message());
    tg_one_cycle_options options = tg_one_cycle_defaults();
    options.max_lr = TG_REALS(0.3, 0.2);
    options.base_momentum = TG_REALS(0.5, 0.6);
    options.total_steps = 6;
    tg_scheduler *s = _i ? tg_lr_one_cycle(optimizer, &options)
                         : tg_lr_warmup(optimizer, 2, 0.5, tg_lr_lambda(optimizer, by_group, NULL));
    ck_assert_msg(s != NULL, "%s", tg_error_message());
    const size_t n = _i ? sizeof one / sizeof *one : sizeof sequence / sizeof *sequence;
    for (size_t i = 0; i < n; i++) {
        if (i)
            ck_assert_msg(tg_scheduler_step(s) == TG_OK, "%s", tg_error_message());
        for (size_t k = 0; k < 2; k++)
            ck_assert_double_eq_tol(tg_optimizer_group_lr(optimizer, k), (_i ? one : sequence)[i][k], 1e-16);
    }
    options.max_lr = TG_REALS(0.3, 0.2, 0.1);
    ck_assert_ptr_null(tg_lr_one_cycle(optimizer, &options));
    ck_assert_ptr_nonnull(
        strstr(tg_error_message(), "max_lr has 3 numbers, expected one, or one for each of 2 groups"));
    static const char *const third = "w3";
    tg_tensor *late;
    ck_assert_int_eq(tg_tensor_create(&late, rt, TG_F64, DIMS(3)), TG_OK);
    list = (tg_named_tensors){.n = 1, .name = &third, .tensor = &late};
    ck_assert_int_eq(tg_optimizer_add_group(optimizer, &list, NULL, 0), TG_OK);
    const double before = tg_optimizer_group_lr(optimizer, 1);
    ck_assert_int_eq(tg_scheduler_step(s), TG_ESTATE);
    ck_assert_ptr_nonnull(
        strstr(tg_error_message(), "the optimizer has 3 groups by now, the scheduler was made for 2"));
    ck_assert_double_eq(tg_optimizer_group_lr(optimizer, 1), before);
    tg_scheduler_destroy(s);
    tg_optimizer_destroy(optimizer);
    optimizer = NULL;
    tg_tensor_destroy(other);
    tg_tensor_destroy(late);
}
END_TEST

/* An SGD without momentum gets one from the cycle, as torch's does: six steps down w² from 1 and −2. */
START_TEST(a_momentum_of_0_is_cycled)
{
    static const double torchs[][3] = {{-0.15849813128500023, 0.31699626257000046, 0.1},
                                       {-0.4028142741784701, 0.8056285483569402, 0.0076641593834256404}};
    double w[3] = {1, -2, 0};
    tg_cyclic_options up = tg_cyclic_defaults();
    tg_one_cycle_options once = tg_one_cycle_defaults();
    up.base_lr = TG_REALS(0.01);
    up.max_lr = TG_REALS(0.1);
    up.step_size_up = 2;
    once.max_lr = TG_REALS(0.1);
    once.total_steps = 8;
    ck_assert_int_eq(tg_tensor_write(weight, w, sizeof w), TG_OK);
    tg_tensor_set_requires_grad(weight, true);
    tg_scheduler *s = _i ? tg_lr_one_cycle(optimizer, &once) : tg_lr_cyclic(optimizer, &up);
    ck_assert_msg(s != NULL, "%s", tg_error_message());
    for (int step = 0; step < 6; step++) {
        tg_optimizer_zero_grad(optimizer);
        tg_backward(tape, tg_sum(tape, tg_mul(tape, weight, weight)));
        ck_assert_msg(tg_optimizer_step(optimizer, tape) == TG_OK, "%s", tg_tape_error(tape));
        ck_assert_int_eq(tg_scheduler_step(s), TG_OK);
        tg_tape_reset(tape);
    }
    ck_assert_int_eq(tg_tensor_read(weight, w, sizeof w), TG_OK);
    ck_assert_double_eq_tol(w[0], torchs[_i][0], 1e-14);
    ck_assert_double_eq_tol(w[1], torchs[_i][1], 1e-14);
    ck_assert_double_eq_tol(tg_optimizer_lr(optimizer), torchs[_i][2], 1e-15);
    tg_scheduler_destroy(s);
}
END_TEST

static double of_group(void *arg, int64_t epoch, size_t group)
{
    (void)group;
    return epoch < 2 ? 1 : *(const double *)arg;
}

START_TEST(a_failed_step_changes_nothing)
{
    double factor = 2;
    tg_scheduler *s = tg_lr_chained(
        PARTS(tg_lr_exponential(optimizer, 0.5), tg_lr_lambda(optimizer, of_group, &factor)), 2);
    ck_assert_int_eq(tg_scheduler_step(s), TG_OK);
    tg_optimizer_set_lr(optimizer, 0.07);
    factor = NAN;
    ck_assert_int_eq(tg_scheduler_step(s), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "LambdaLR: the rate of group 0 at step 2"));
    ck_assert_double_eq(tg_optimizer_lr(optimizer), 0.07);
    factor = -1;
    ck_assert_int_eq(tg_scheduler_step(s), TG_EINVAL);
    ck_assert_double_eq(tg_optimizer_lr(optimizer), 0.07);
    ck_assert_int_eq(tg_scheduler_last_epoch(s), 1);
    factor = 3;
    ck_assert_int_eq(tg_scheduler_step(s), TG_OK);
    ck_assert_double_eq_tol(tg_optimizer_lr(optimizer), 0.3, 1e-15);
    tg_scheduler_destroy(s);

    make_optimizer(false);
    s = one_cycle(optimizer, 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(tg_scheduler_step(s), TG_OK);
    const double lr = tg_optimizer_lr(optimizer);
    ck_assert_int_eq(tg_scheduler_step(s), TG_ESTATE);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "step 3 of a cycle of 2 steps"));
    ck_assert_double_eq(tg_optimizer_lr(optimizer), lr);
    ck_assert_int_eq(tg_scheduler_step_metric(s, 1), TG_ESTATE);
    tg_scheduler_destroy(s);
}
END_TEST

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
    const char *names[32];
    size_t n = tg_lr_list(names, 32);
    ck_assert_uint_eq(n, 15);
    ck_assert_ptr_null(tg_lr_create(optimizer, "Cosine", NULL, 0));
    ck_assert_ptr_nonnull(
        strstr(tg_error_message(), "no scheduler is called Cosine; known are LambdaLR, Mult"));
    for (size_t i = 0; i < n && i < 32; i++) {
        ck_assert_ptr_nonnull(tg_lr_attrs(names[i]));
        for (const tg_attr_spec *a = tg_lr_attrs(names[i]); a->name; a++)
            ck_assert_ptr_nonnull(a->doc);
    }
    tg_lr_create(optimizer, "Cosine", NULL, 0);
    for (size_t i = 0; i < n; i++)
        ck_assert_ptr_nonnull(strstr(tg_error_message(), names[i]));
    ck_assert_ptr_null(tg_lr_create(optimizer, "SequentialLR", NULL, 0));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "tg_lr_sequential"));
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
    ck_assert_ptr_null(tg_lr_linear(optimizer, 0.5, 1, 3));
    rig_fail_at = 0;
    ck_assert_double_eq(tg_optimizer_lr(optimizer), 0.1);
}
END_TEST

static tg_scheduler *cyclic_with(tg_attr third, tg_attr fourth)
{
    tg_attr args[] = {
        {"base_lr", TG_ATTR_REAL, {.f = 0.02}}, {"max_lr", TG_ATTR_REAL, {.f = 0.3}}, third, fourth};
    return tg_lr_create(optimizer, "CyclicLR", args, 4);
}

static tg_scheduler *one_cycle_with(tg_attr second, tg_attr third)
{
    tg_attr args[] = {{"max_lr", TG_ATTR_REAL, {.f = 0.3}}, second, third};
    return tg_lr_create(optimizer, "OneCycleLR", args, 3);
}

#define REFUSED(WORDS, CALL)                                                                                 \
    do {                                                                                                     \
        ck_assert_ptr_null(CALL);                                                                            \
        ck_assert_msg(strstr(tg_error_message(), WORDS) != NULL, "%s", tg_error_message());                  \
        ck_assert_double_eq(tg_optimizer_lr(optimizer), 0.1);                                                \
    } while (0)

START_TEST(refuses_by_range)
{
    const tg_attr up = {"step_size_up", TG_ATTR_REAL, {.f = 3}},
                  still = {"cycle_momentum", TG_ATTR_BOOL, {.b = false}};
    const tg_attr steps = {"total_steps", TG_ATTR_INT, {.i = 3}};
    const double inf = (double)INFINITY;
    REFUSED("factor is 1.5", tg_lr_constant(optimizer, 1.5, 3));
    REFUSED("total_iters is -1", tg_lr_constant(optimizer, 0.5, -1));
    REFUSED("start_factor is 0", tg_lr_linear(optimizer, 0, 1, 3));
    REFUSED("start_factor is 2", tg_lr_linear(optimizer, 2, 1, 3));
    REFUSED("end_factor is 1.1", tg_lr_linear(optimizer, 1, 1.1, 3));
    REFUSED("gamma is inf", tg_lr_exponential(optimizer, inf));
    REFUSED("power is -1", tg_lr_polynomial(optimizer, 4, -1));
    REFUSED("T_0 is 0", tg_lr_cosine_annealing_warm_restarts(optimizer, 0, 1, 0));
    REFUSED("T_mult is 0", tg_lr_cosine_annealing_warm_restarts(optimizer, 1, 0, 0));
    REFUSED("milestones is NULL", tg_lr_multi_step(optimizer, NULL, 2, 0.1));
    REFUSED("the function is NULL", tg_lr_lambda(optimizer, NULL, NULL));
    REFUSED("the function is NULL", tg_lr_multiplicative(optimizer, NULL, NULL));
    REFUSED("the optimizer is NULL", tg_lr_lambda(NULL, one_over, NULL));
    REFUSED("step_size_up is 0", cyclic_with((tg_attr){"step_size_up", TG_ATTR_REAL, {.f = 0}}, still));
    REFUSED("step_size_down -1", cyclic_with((tg_attr){"step_size_down", TG_ATTR_REAL, {.f = -1}}, still));
    REFUSED("mode is \"square\"", cyclic_with((tg_attr){"mode", TG_ATTR_CHOICE, {.s = "square"}}, still));
    REFUSED("max_momentum is 1", cyclic_with((tg_attr){"max_momentum", TG_ATTR_REAL, {.f = 1}}, up));
    REFUSED("last_epoch is -2", cyclic_with((tg_attr){"last_epoch", TG_ATTR_INT, {.i = -2}}, still));
    REFUSED("base_momentum has 2 numbers",
            cyclic_with((tg_attr){"base_momentum", TG_ATTR_REALS, {.reals = {2, {0.8, 0.7}}}}, up));
    REFUSED("total_steps, or epochs", one_cycle_with((tg_attr){"epochs", TG_ATTR_INT, {.i = 3}}, still));
    REFUSED("total_steps is 0", one_cycle_with((tg_attr){"total_steps", TG_ATTR_INT, {.i = 0}}, still));
    REFUSED("pct_start is 1.5", one_cycle_with(steps, (tg_attr){"pct_start", TG_ATTR_REAL, {.f = 1.5}}));
    REFUSED("div_factor is 0", one_cycle_with(steps, (tg_attr){"div_factor", TG_ATTR_REAL, {.f = 0}}));
    REFUSED("would be", one_cycle_with((tg_attr){"total_steps", TG_ATTR_INT, {.i = 1}}, /* 0/0 */
                                       (tg_attr){"pct_start", TG_ATTR_REAL, {.f = 1}}));
    tg_plateau_options p = tg_plateau_defaults();
    p.factor = 1;
    REFUSED("factor is 1", tg_lr_reduce_on_plateau(optimizer, &p));
    p = tg_plateau_defaults();
    p.patience = -1;
    REFUSED("patience is -1", tg_lr_reduce_on_plateau(optimizer, &p));
    p = tg_plateau_defaults();
    p.mode = 2;
    REFUSED("mode is word number 2", tg_lr_reduce_on_plateau(optimizer, &p));
    REFUSED("options are NULL", tg_lr_cyclic(optimizer, NULL));
}
END_TEST

static tg_scheduler *drop(void)
{
    return tg_lr_exponential(optimizer, 0.5);
}

START_TEST(refuses_parts)
{
    static const char *const name = "v";
    tg_tensor *other_weight;
    ck_assert_int_eq(tg_tensor_create(&other_weight, rt, TG_F64, DIMS(3)), TG_OK);
    tg_optimizer *other =
        tg_optim_sgd(rt, &(tg_named_tensors){.n = 1, .name = &name, .tensor = &other_weight}, NULL);
    REFUSED("at least one part", tg_lr_chained(NULL, 0));
    REFUSED("array of parts is NULL", tg_lr_chained(NULL, 2));
    REFUSED("at least one part", tg_lr_sequential(optimizer, NULL, 0, NULL));
    REFUSED("StepLR: step_size is 0", tg_lr_chained(PARTS(drop(), tg_lr_step(optimizer, 0, 1)), 2));
    REFUSED("of another optimizer", tg_lr_chained(PARTS(drop(), tg_lr_exponential(other, 1)), 2));
    REFUSED("of another optimizer", tg_lr_sequential(other, PARTS(drop()), 1, NULL));
    REFUSED("steps with a metric", tg_lr_chained(PARTS(tg_lr_reduce_on_plateau(optimizer, NULL)), 1));
    tg_scheduler *twice = drop();
    REFUSED("part 1 has an owner", tg_lr_chained(PARTS(twice, twice), 2));
    REFUSED("1 milestones, from 0 up", tg_lr_sequential(optimizer, PARTS(drop(), drop()), 2, NULL));
    REFUSED("1 milestones, from 0 up",
            tg_lr_sequential(optimizer, PARTS(drop(), drop()), 2, (int64_t[]){-1}));
    REFUSED("2 milestones, from 0 up",
            tg_lr_sequential(optimizer, PARTS(drop(), drop(), drop()), 3, (int64_t[]){3, 2}));
    REFUSED("cannot be started anew",
            tg_lr_sequential(optimizer, PARTS(drop(), tg_lr_chained(PARTS(drop()), 1)), 2, (int64_t[]){3}));
    REFUSED("StepLR: step_size is 0", tg_lr_warmup(optimizer, 3, 0.5, tg_lr_step(optimizer, 0, 1)));
    REFUSED("start_factor is 7", tg_lr_warmup(optimizer, 3, 7, drop()));
    tg_scheduler *part = drop(), *whole = tg_lr_chained(&part, 1);
    REFUSED("part 0 has an owner", tg_lr_chained(&part, 1));
    tg_scheduler_destroy(part); /* nothing: it is the whole's */
    ck_assert_int_eq(tg_scheduler_step(whole), TG_OK);
    ck_assert_double_eq(tg_optimizer_lr(optimizer), 0.05);
    ck_assert_str_eq(tg_scheduler_name(whole), "ChainedScheduler");
    tg_scheduler_destroy(whole);
    tg_optimizer_destroy(other);
    tg_tensor_destroy(other_weight);
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
    tcase_add_loop_test(t, what_torch_gives, 0, sizeof runs / sizeof *runs);
    tcase_add_loop_test(t, plateau, 0, 2);
    tcase_add_loop_test(t, resumes_at_last_epoch, 0, 5);
    tcase_add_loop_test(t, state_goes_over, 0, sizeof runs / sizeof *runs);
    tcase_add_loop_test(t, every_group_has_its_own_rate, 0, 2);
    tcase_add_loop_test(t, a_momentum_of_0_is_cycled, 0, 2);
    tcase_add_test(t, a_failed_step_changes_nothing);
    tcase_add_test(t, step_lr);
    tcase_add_loop_test(t, cosine_annealing, 0, 4);
    tcase_add_test(t, cosine_goes_on_from_a_rate_set_by_hand);
    tcase_add_test(t, a_second_scheduler_starts_from_the_first_rate);
    tcase_add_test(t, by_name);
    tcase_add_test(t, refuses);
    tcase_add_test(t, refuses_by_range);
    tcase_add_test(t, refuses_parts);
    tcase_add_test(t, periods_as_long_as_can_be);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
