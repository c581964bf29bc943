/* The optimizers beside SGD and Adam against PyTorch 2.14, their option structs, and groups of parameters.
 * The values are PyTorch's in f64: parameter i starts at sin(i + 1), and its gradient at step t is cos(i·t +
 * 0.5). */
#include "training/parameters.h"

enum { SMALL = 6, STEPS = 4 };

static tg_tensor *small(int shift, const int64_t *dims, size_t ndim)
{
    double w[SMALL];
    for (int i = 0; i < SMALL; i++)
        w[i] = sin(i + 1 + shift);
    return parameter(TG_F64, w, dims, ndim);
}

static void give(tg_tensor *p, int t, int shift)
{
    double g[SMALL];
    for (int i = 0; i < SMALL; i++)
        g[i] = cos(i * t + 0.5 + shift);
    give_gradient(p, g);
}

static void step(tg_optimizer *o)
{
    ck_assert_msg(tg_optimizer_step(o, tape) == TG_OK, "%s", tg_tape_error(tape));
}

static void take_steps(tg_optimizer *o, tg_tensor *p, int steps)
{
    ck_assert_msg(o != NULL, "%s", tg_error_message());
    for (int t = 1; t <= steps; t++) {
        tg_tape_reset(tape);
        give(p, t, 0);
        step(o);
    }
}

static void is(tg_tensor *p, const double *want)
{
    double got[SMALL];
    get(p, got, SMALL);
    for (int i = 0; i < SMALL; i++)
        ck_assert_double_eq_tol(got[i], want[i], 2e-14);
}

/* -- values ---------------------------------------------------------------------------------------------- */
static const struct {
    const char *name;
    double want[SMALL];
} by_default[] = {
    {"SGD",
     {0.837960654560335, 0.911175085726282, 0.141757371751802, -0.756843252369348, -0.958406868182699,
      -0.278590614015124}},
    {"Adam",
     {0.837470984853476, 0.910574725667826, 0.143084980505999, -0.75560478663361, -0.956966265391145,
      -0.279776761210784}},
    {"AdamW",
     {0.837437386518563, 0.91053836238628, 0.143079289730693, -0.755574546849685, -0.956927955930319,
      -0.27976555602527}},
    {"RMSprop",
     {0.562181258230431, 1.00188939022161, 0.232977303184006, -0.72095965149137, -0.79761865788367,
      -0.241695687049856}},
    {"Adagrad",
     {0.813626414306509, 0.918528185504648, 0.15029299987479, -0.753192280712044, -0.94281034729179,
      -0.275695680009672}},
    {"Adadelta",
     {0.828418997034167, 0.916816876826993, 0.144493295185638, -0.756993747430084, -0.952523992317628,
      -0.275614479740088}},
    {"Adamax",
     {0.833470984899056, 0.910553814902246, 0.144526178300691, -0.754419430339673, -0.955490873347003,
      -0.2805358372174}},
    {"NAdam",
     {0.834864174831075, 0.911683378638768, 0.143308955551565, -0.755973126809393, -0.955372496562773,
      -0.278527609611589}},
    {"RAdam",
     {0.837960654560335, 0.910685384090782, 0.142499637243004, -0.755673601752619, -0.958272440217057,
      -0.279661425381036}},
    {"Rprop",
     {0.787790984807897, 0.910297426825682, 0.169120008059867, -0.741802495307928, -0.930924274663138,
      -0.278415498198926}},
    {"ASGD",
     {0.806364408603113, 0.928070330587996, 0.14749306153894, -0.757207042436464, -0.953746387909854,
      -0.271165556770488}},
};
enum { N_DEFAULT = sizeof by_default / sizeof *by_default };

START_TEST(defaults_by_name)
{
    tg_tensor *p = small(0, DIMS(SMALL));
    tg_named_tensors list = listed(&p, 1);
    tg_optimizer *o = tg_optim_create(rt, by_default[_i].name, &list, NULL, 0);
    take_steps(o, p, STEPS);
    is(p, by_default[_i].want);
    ck_assert_int_eq(tg_optimizer_steps(o, "a"), STEPS);
    ck_assert_int_eq(tg_optimizer_steps(o, "z"), -1);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p);
}
END_TEST

/* Every member of every options struct away from its default, so that each must arrive where it belongs. */
static tg_optimizer *with_options(int k, const tg_named_tensors *list)
{
    switch (k) {
    case 0:
        return tg_optim_rmsprop(rt, list,
                                &(tg_rmsprop_options){.lr = 0.02,
                                                      .alpha = 0.8,
                                                      .eps = 1e-4,
                                                      .weight_decay = 0.1,
                                                      .momentum = 0.7,
                                                      .centered = true,
                                                      .maximize = true});
    case 1:
        return tg_optim_adagrad(rt, list,
                                &(tg_adagrad_options){.lr = 0.05,
                                                      .lr_decay = 0.1,
                                                      .weight_decay = 0.2,
                                                      .eps = 1e-3,
                                                      .initial_accumulator_value = 0.3,
                                                      .maximize = true});
    case 2:
        return tg_optim_adadelta(
            rt, list,
            &(tg_adadelta_options){
                .lr = 0.7, .rho = 0.6, .eps = 1e-2, .weight_decay = 0.1, .maximize = true});
    case 3:
        return tg_optim_adamax(
            rt, list,
            &(tg_adamax_options){
                .lr = 0.02, .beta1 = 0.3, .beta2 = 0.7, .eps = 1e-2, .weight_decay = 0.1, .maximize = true});
    case 4:
        return tg_optim_nadam(rt, list,
                              &(tg_nadam_options){.lr = 0.02,
                                                  .beta1 = 0.3,
                                                  .beta2 = 0.7,
                                                  .eps = 1e-2,
                                                  .weight_decay = 0.1,
                                                  .momentum_decay = 0.2,
                                                  .decoupled_weight_decay = true,
                                                  .maximize = true});
    case 5:
        return tg_optim_radam(rt, list,
                              &(tg_radam_options){.lr = 0.02,
                                                  .beta1 = 0.3,
                                                  .beta2 = 0.95,
                                                  .eps = 1e-2,
                                                  .weight_decay = 0.1,
                                                  .decoupled_weight_decay = true,
                                                  .maximize = true});
    case 6:
        return tg_optim_rprop(rt, list,
                              &(tg_rprop_options){.lr = 0.02,
                                                  .etaminus = 0.4,
                                                  .etaplus = 1.5,
                                                  .step_min = 0.015,
                                                  .step_max = 0.03,
                                                  .maximize = true});
    case 7:
        return tg_optim_asgd(
            rt, list,
            &(tg_asgd_options){
                .lr = 0.02, .lambd = 0.1, .alpha = 0.6, .t0 = 1, .weight_decay = 0.1, .maximize = true});
    default:
        return tg_optim_adam(rt, list,
                             &(tg_adam_options){.lr = 0.02,
                                                .beta1 = 0.3,
                                                .beta2 = 0.7,
                                                .eps = 1e-2,
                                                .weight_decay = 0.1,
                                                .amsgrad = true,
                                                .maximize = true,
                                                .decoupled_weight_decay = true});
    }
}
static const double want_options[][SMALL] = {
    {1.16667837206807, 0.585710529409866, 0.0217960742573172, -0.822801254632982, -1.14675304278088,
     -0.275002886637662},
    {0.948399158630148, 0.821833713110212, 0.102005411468987, -0.762088560986325, -0.965098637430584,
     -0.286040326529607},
    {1.33425609674173, 0.60491945097123, 0.00596936110988325, -0.715428640944758, -1.10430541701263,
     -0.41804030492114},
    {0.92051963457966, 0.849259553734555, 0.113510833558002, -0.764283483167335, -0.987175330178404,
     -0.289171856460318},
    {0.915932632068412, 0.865635048341984, 0.118132953022091, -0.75387719258788, -0.989481204298276,
     -0.297431523295737},
    {0.904755651141843, 0.86676196275565, 0.124299783114994, -0.759301345648078, -0.960731955729668,
     -0.287910420843702},
    {0.951470984807897, 0.891797426825682, 0.0761200080598672, -0.791802495307928, -1.02392427466314,
     -0.296915498198926},
    {0.897773959997358, 0.857572430025082, 0.126280697253587, -0.743872290448851, -0.953964949286429,
     -0.291428867995914},
    {0.913621080927028, 0.868269908798018, 0.11797562867829, -0.760124396912808, -0.984885089626357,
     -0.290926515418244},
};
enum { N_OPTIONS = sizeof want_options / sizeof *want_options };

START_TEST(by_struct)
{
    tg_tensor *p = small(0, DIMS(SMALL));
    tg_named_tensors list = listed(&p, 1);
    tg_optimizer *o = with_options(_i, &list);
    take_steps(o, p, STEPS);
    is(p, want_options[_i]);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p);
}
END_TEST

START_TEST(muon)
{
    static const double want[][SMALL] = {
        {0.681817351894564, 0.980789447141982, 0.270733900094873, -0.648578492337861, -0.772191350196375,
         -0.211055173751554},
        {0.780870873118279, 0.93775492017818, 0.176235206928568, -0.714781885721104, -0.930079129829797,
         -0.268481239493182},
        {0.519816509278751, 0.980561206516799, 0.24649856368611, -0.62263366252774, -0.80203395636548,
         -0.203622250218231},
    };
    tg_muon_options o[] = {tg_muon_defaults(), tg_muon_defaults(), tg_muon_defaults()};
    ck_assert(o[0].nesterov && o[0].ns_steps == 5 && o[0].eps == 1e-7 && o[0].ns_coefficients[1] == -4.775);
    o[1].nesterov = false;
    o[1].adjust_lr_fn = TG_MUON_MATCH_RMS_ADAMW;
    o[1].weight_decay = 0;
    o[1].ns_steps = 3;
    o[1].momentum = 0.8;
    o[2].adjust_lr_fn = TG_MUON_SPECTRAL_UNCLAMPED;
    o[2].eps = 1e-3;
    memcpy(o[2].ns_coefficients, (double[]){2, -1.5, 0.5}, 3 * sizeof(double));
    for (int k = 0; k < 3; k++) {
        o[k].lr = 0.1;
        tg_tensor *p = k == 0 ? small(0, DIMS(2, 3)) : small(0, DIMS(3, 2));
        tg_named_tensors list = listed(&p, 1);
        tg_optimizer *opt = tg_optim_muon(rt, &list, &o[k]);
        take_steps(opt, p, 3);
        is(p, want[k]);
        tg_optimizer_destroy(opt);
        tg_tensor_destroy(p);
    }
}
END_TEST

/* -- groups ---------------------------------------------------------------------------------------------- */
START_TEST(groups)
{
    static const double want[][SMALL] = {
        {0.80147334513822, 0.91975361055888, 0.160280918924739, -0.742615346828532, -0.936422065710508,
         -0.281864648223987},
        {0.511890529946859, 0.391718014947716, -0.645278874300418, -0.848179106993776, -0.372464037261094,
         0.537047576475322},
        {0.181120007560581, -0.740217242943313, -0.953612549399489, -0.293419736510642, 0.640454153313494,
         0.960233644973752},
    };
    tg_tensor *p[] = {small(0, DIMS(SMALL)), small(1, DIMS(SMALL)), small(2, DIMS(SMALL))};
    tg_adam_options options = tg_adam_defaults();
    options.lr = 0.01;
    options.weight_decay = 0.1;
    tg_named_tensors list = listed(p, 1), second = listed(p + 1, 1), third = listed(p + 2, 1);
    tg_optimizer *o = tg_optim_adam(rt, &list, &options);
    ck_assert_int_eq(tg_optimizer_add_group(o, &second,
                                            (tg_attr[]){{"lr", TG_ATTR_REAL, {.f = 0.1}},
                                                        {"betas", TG_ATTR_REALS, {.reals = {2, {0.5, 0.6}}}}},
                                            2),
                     TG_OK);
    ck_assert_int_eq(tg_optimizer_add_group(o, &third,
                                            (tg_attr[]){{"amsgrad", TG_ATTR_BOOL, {.b = true}},
                                                        {"foreach", TG_ATTR_BOOL, {.b = true}},
                                                        {"weight_decay", TG_ATTR_INT, {.i = 0}}},
                                            3),
                     TG_OK);
    ck_assert_uint_eq(tg_optimizer_n_groups(o), 3);
    for (int t = 1; t <= STEPS; t++) {
        tg_tape_reset(tape);
        for (int k = 0; k < 3; k++)
            give(p[k], t, k);
        step(o);
    }
    for (int k = 0; k < 3; k++)
        is(p[k], want[k]);
    /* A rate of its own stays; the others follow. */
    ck_assert_int_eq(tg_optimizer_set_lr(o, 0.5), TG_OK);
    ck_assert(tg_optimizer_lr(o) == 0.5 && tg_optimizer_group_lr(o, 1) == 0.1 &&
              tg_optimizer_group_lr(o, 2) == 0.5);
    ck_assert_int_eq(tg_optimizer_set_group_lr(o, 1, 0.25), TG_OK);
    ck_assert_double_eq(tg_optimizer_group_lr(o, 1), 0.25);
    ck_assert(isnan(tg_optimizer_group_lr(o, 3)));
    ck_assert_int_eq(tg_optimizer_set_group_lr(o, 3, 0.25), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "Adam: there is no group 3"));
    ck_assert_int_eq(tg_optimizer_set_group_lr(o, 1, NAN), TG_EINVAL);
    tg_optimizer_destroy(o);
    for (int k = 0; k < 3; k++)
        tg_tensor_destroy(p[k]);
}
END_TEST

/* How often an optimizer's row was applied. */
static int applied;
static void count_steps(void *arg, tg_tape *t, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                        tg_tensor *const out[], size_t n_out, const tg_node *rule_of)
{
    (void)arg, (void)t, (void)in, (void)n_in, (void)out, (void)n_out, (void)rule_of;
    applied += strcmp(op->name, "sgd_step") == 0;
}

static tg_module *norm_net(void)
{
    tg_module *net = tg_module_create(rt, "Sequential", NULL, 0);
    tg_attr sizes[] = {{"in_features", TG_ATTR_INT, {.i = 4}}, {"out_features", TG_ATTR_INT, {.i = 4}}};
    tg_attr shape[] = {{"normalized_shape", TG_ATTR_INTS, {.ints = {2, {2, 4}}}}};
    ck_assert_int_eq(tg_nn_sequential_append(net, "linear", tg_module_create(rt, "Linear", sizes, 2)), TG_OK);
    ck_assert_int_eq(tg_nn_sequential_append(net, "norm", tg_module_create(rt, "LayerNorm", shape, 1)),
                     TG_OK);
    return net;
}

START_TEST(no_decay)
{
    tg_module *net = norm_net();
    tg_optimizer *o =
        tg_optim_sgd(rt, tg_module_parameters(net), &(tg_sgd_options){.lr = 0.5, .weight_decay = 0.5});
    ck_assert_msg(tg_optimizer_no_decay(o, net) == TG_OK, "%s", tg_error_message());
    ck_assert_uint_eq(tg_optimizer_n_groups(o), 2);
    const tg_named_tensors *all = tg_module_parameters(net);
    double before[4][16], after[16], zeros[16] = {0};
    for (size_t i = 0; i < all->n; i++) {
        size_t n = (size_t)tg_tensor_count(all->tensor[i]);
        ck_assert_int_eq(tg_fill(all->tensor[i], 2), TG_OK);
        get(all->tensor[i], before[i], n);
        give_gradient(all->tensor[i], zeros);
    }
    applied = 0;
    tg_tape_observe(tape, &(tg_observer){.applied = count_steps});
    step(o);
    tg_tape_observe(tape, NULL);
    ck_assert_int_eq(applied, 1);
    for (size_t i = 0; i < all->n; i++) {
        size_t n = (size_t)tg_tensor_count(all->tensor[i]);
        get(all->tensor[i], after, n);
        double by = strcmp(all->name[i], "linear.weight") == 0 ? 0.75 : 1;
        for (size_t k = 0; k < n; k++)
            ck_assert_double_eq(after[k], by * before[i][k]);
    }
    /* The new group was given no rate of its own. */
    ck_assert_int_eq(tg_optimizer_set_lr(o, 0.25), TG_OK);
    ck_assert_double_eq(tg_optimizer_group_lr(o, 1), 0.25);
    tg_optimizer_destroy(o);
    tg_module_destroy(net);
}
END_TEST

static bool nobody(void *arg, const char *name, const tg_tensor *p)
{
    (void)arg, (void)name, (void)p;
    return false;
}

START_TEST(refuses_groups)
{
    tg_tensor *p[] = {small(0, DIMS(SMALL)), small(1, DIMS(SMALL))};
    tg_named_tensors list = listed(p, 1), second = listed(p + 1, 1), none = listed(p, 0);
    tg_optimizer *o = tg_optim_rmsprop(rt, &list, NULL);
    tg_attr bad[] = {{"alpha", TG_ATTR_REAL, {.f = -1}},
                     {"betas", TG_ATTR_REAL, {.f = 1}},
                     {"lr", TG_ATTR_REAL, {.f = NAN}}};
    ck_assert_int_eq(tg_optimizer_add_group(o, &list, NULL, 0), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "RMSprop: parameter a is in group 0 already"));
    ck_assert_int_eq(tg_optimizer_add_group(o, &none, NULL, 0), TG_EINVAL);
    ck_assert_int_eq(tg_optimizer_add_group(o, &second, &bad[0], 1), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "RMSprop: alpha is -1"));
    ck_assert_int_eq(tg_optimizer_add_group(o, &second, &bad[1], 1), TG_EUNKNOWN);
    ck_assert_int_eq(tg_optimizer_add_group(o, &second, &bad[2], 1), TG_EINVAL);
    ck_assert_int_eq(tg_optimizer_add_group(o, NULL, NULL, 0), TG_EINVAL);
    ck_assert_int_eq(tg_optimizer_add_group(NULL, &second, NULL, 0), TG_EINVAL);
    ck_assert_int_eq(tg_optimizer_split(o, NULL, NULL, NULL, 0), TG_EINVAL);
    ck_assert_int_eq(tg_optimizer_no_decay(o, NULL), TG_EINVAL);
    ck_assert_int_eq(tg_optimizer_split(o, nobody, NULL, NULL, 0), TG_OK);
    ck_assert_uint_eq(tg_optimizer_n_groups(o), 1);
    /* Out of memory: as it was, and the next try works. */
    long live = rig_live;
    tg_status status = TG_ENOMEM;
    int failures = -1;
    for (long k = 1; status; k++, failures++) {
        ck_assert_uint_eq(tg_optimizer_n_groups(o), 1);
        rig_fail_at = rig_calls + k;
        status = tg_optimizer_add_group(o, &second, NULL, 0);
        rig_fail_at = 0;
    }
    ck_assert_int_ge(failures, 5);
    ck_assert_uint_eq(tg_optimizer_n_groups(o), 2);
    ck_assert_int_eq(rig_live, live + 1); /* a name */
    tg_tape_reset(tape);
    give(p[1], 1, 0);
    step(o);
    ck_assert_int_eq(tg_optimizer_steps(o, "a"), 0);
    tg_optimizer_destroy(o);
    for (int k = 0; k < 2; k++)
        tg_tensor_destroy(p[k]);
}
END_TEST

/* -- state ----------------------------------------------------------------------------------------------- */
/* For every optimizer: a step that fails changes nothing and can be had again; later ones allocate nothing.
 */
START_TEST(failing_and_later_steps)
{
    const char *names[32];
    size_t n = tg_optim_list(names, 32);
    for (size_t k = 0; k < n && k < 32; k++) {
        tg_tensor *p = small(0, DIMS(2, 3));
        tg_named_tensors list = listed(&p, 1);
        tg_optimizer *o = tg_optim_create(rt, names[k], &list, NULL, 0);
        double first[SMALL], got[SMALL];
        get(p, first, SMALL);
        if (strcmp(names[k], "LBFGS") == 0) {
            tg_optimizer_destroy(o);
            tg_tensor_destroy(p);
            continue;
        }
        tg_status status = TG_ENOMEM;
        for (long at = 1; status; at++) {
            tg_tape_reset(tape);
            tg_tensor_zero_grad(p);
            give(p, 1, 0);
            rig_fail_at = rig_calls + at;
            status = tg_optimizer_step(o, tape);
            rig_fail_at = 0;
            get(p, got, SMALL);
            if (status) {
                ck_assert_mem_eq(got, first, sizeof first);
                ck_assert_int_eq(tg_optimizer_steps(o, "a"), 0);
                ck_assert_ptr_nonnull(tg_tensor_grad(p));
                tg_tape_clear_error(tape);
            }
        }
        long calls = 0;
        for (int t = 2; t < 6; t++) {
            tg_tape_reset(tape);
            give(p, t, 0);
            step(o);
            calls = t == 3 ? rig_calls : calls;
        }
        ck_assert_msg(rig_calls == calls, "%s allocates", names[k]);
        tg_optimizer_destroy(o);
        tg_tensor_destroy(p);
    }
}
END_TEST

/* Two groups whose steps are two rows: where an allocation fails, neither has taken its step. */
START_TEST(two_rows_or_none)
{
    enum { EACH = 9 };
    const tg_attr momentum = {"momentum", TG_ATTR_REAL, {.f = 0.9}};
    int failures = 0;
    for (long at = 1;; at++) {
        tg_tensor *p[2 * EACH];
        tg_optimizer *o = NULL;
        double first[2 * EACH][SMALL], got[SMALL];
        /* A tape of its own: nothing is prepared yet. */
        tg_tape *usual = tape;
        ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
        for (int i = 0; i < 2 * EACH; i++) {
            p[i] = small(i, DIMS(2, 3));
            get(p[i], first[i], SMALL);
            give(p[i], 1, i);
        }
        static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
        const tg_named_tensors plain = {.n = EACH, .name = names, .tensor = p},
                               moving = {.n = EACH, .name = names, .tensor = p + EACH};
        o = tg_optim_create(rt, "SGD", &plain, NULL, 0);
        ck_assert_int_eq(tg_optimizer_add_group(o, &moving, &momentum, 1), TG_OK);
        rig_fail_at = rig_calls + at;
        tg_status status = tg_optimizer_step(o, tape);
        rig_fail_at = 0;
        for (int i = 0; i < 2 * EACH; i++) {
            get(p[i], got, SMALL);
            ck_assert_msg((memcmp(got, first[i], sizeof got) == 0) == (status != TG_OK),
                          "allocation %ld, parameter %d", at, i);
            ck_assert_int_eq(tg_tensor_grad(p[i]) != NULL, status != TG_OK);
        }
        ck_assert_int_eq(tg_optimizer_steps(o, "a"), status == TG_OK);
        if (status) {
            failures++;
            ck_assert_int_eq(status, TG_ENOMEM);
            ck_assert_ptr_null(tg_optimizer_state(o, "a", "momentum_buffer"));
            tg_tape_clear_error(tape);
            step(o);
            get(p[EACH], got, SMALL);
            ck_assert_int_ne(memcmp(got, first[EACH], sizeof got), 0);
        }
        tg_optimizer_destroy(o);
        for (int i = 0; i < 2 * EACH; i++)
            tg_tensor_destroy(p[i]);
        tg_tape_close(tape);
        tape = usual;
        if (!status)
            break;
    }
    ck_assert_int_ge(failures, EACH);
}
END_TEST

START_TEST(state_by_name)
{
    tg_tensor *p[] = {small(0, DIMS(SMALL)), small(1, DIMS(SMALL))};
    tg_named_tensors list = listed(p, 2);
    tg_optimizer *o = tg_optim_adam(rt, &list, NULL);
    double got[SMALL];
    give(p[1], 1, 0);
    step(o);
    ck_assert_ptr_null(tg_optimizer_state(o, "a", "exp_avg"));
    ck_assert_ptr_null(tg_optimizer_state(o, "b", "max_exp_avg_sq"));
    ck_assert_ptr_null(tg_optimizer_state(o, "b", "exp"));
    get(tg_optimizer_state(o, "b", "exp_avg"), got, SMALL);
    for (int i = 0; i < SMALL; i++)
        ck_assert_double_eq_tol(got[i], 0.1 * cos(i + 0.5), 1e-15);
    tg_optimizer_destroy(o);
    for (int k = 0; k < 2; k++)
        tg_tensor_destroy(p[k]);
}
END_TEST

static const struct {
    const char *name, *argument;
    double value;
} bad[] = {{"RMSprop", "alpha", -1},     {"RMSprop", "momentum", -0.1},
           {"RMSprop", "eps", INFINITY}, {"Adagrad", "lr_decay", -1},
           {"Adagrad", "lr", NAN},       {"Adagrad", "initial_accumulator_value", -1},
           {"Adadelta", "rho", 1.5},     {"Adadelta", "weight_decay", -1},
           {"Adamax", "eps", -1},        {"NAdam", "momentum_decay", -1},
           {"RAdam", "lr", -1},          {"ASGD", "alpha", NAN},
           {"ASGD", "weight_decay", -1}, {"Muon", "momentum", -1}};
enum { N_BAD = sizeof bad / sizeof *bad };

START_TEST(refuses)
{
    tg_tensor *p = small(0, DIMS(2, 3)), *vector = small(0, DIMS(SMALL));
    tg_named_tensors list = listed(&p, 1), vectors = listed(&vector, 1);
    for (int i = 0; i < N_BAD; i++) {
        tg_attr a = {bad[i].name ? bad[i].argument : NULL, TG_ATTR_REAL, {.f = bad[i].value}};
        ck_assert_ptr_null(tg_optim_create(rt, bad[i].name, &list, &a, 1));
        ck_assert_msg(strstr(tg_error_message(), bad[i].name) == tg_error_message() &&
                          strstr(tg_error_message(), bad[i].argument),
                      "%s", tg_error_message());
    }
    ck_assert_ptr_null(
        tg_optim_rprop(rt, &list, &(tg_rprop_options){.lr = 1, .etaminus = 0.5, .etaplus = 1}));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "Rprop: etas are 0.5 and 1"));
    ck_assert_ptr_null(tg_optim_rmsprop(rt, &list, &(tg_rmsprop_options){.lr = 1}));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "tg_rmsprop_defaults()"));
    ck_assert_ptr_null(tg_optim_muon(rt, &vectors, NULL));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "Muon: parameter a is f64[6], expected a matrix"));
    tg_muon_options o = tg_muon_defaults();
    o.ns_steps = 100;
    ck_assert_ptr_null(tg_optim_muon(rt, &list, &o));
    o.ns_steps = 5;
    o.adjust_lr_fn = 7;
    ck_assert_ptr_null(tg_optim_muon(rt, &list, &o));
    tg_attr differentiable = {"differentiable", TG_ATTR_BOOL, {.b = true}};
    ck_assert_ptr_null(tg_optim_create(rt, "Adam", &list, &differentiable, 1));
    ck_assert_ptr_null(tg_optim_create(rt, "Adan", &list, NULL, 0));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "SGD, Adam, AdamW, RMSprop"));
    tg_tensor_destroy(p);
    tg_tensor_destroy(vector);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("groups");
    TCase *t = tcase_create("groups");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, defaults_by_name, 0, N_DEFAULT);
    tcase_add_loop_test(t, by_struct, 0, N_OPTIONS);
    tcase_add_test(t, muon);
    tcase_add_test(t, groups);
    tcase_add_test(t, no_decay);
    tcase_add_test(t, refuses_groups);
    tcase_add_test(t, failing_and_later_steps);
    tcase_add_test(t, two_rows_or_none);
    tcase_add_test(t, state_by_name);
    tcase_add_test(t, refuses);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
