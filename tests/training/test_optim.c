/* Optimizers against their formulae written out, and the rules of their state. */
#include "training/parameters.h"

enum { STEPS = 6 };

static void step(tg_optimizer *o)
{
    ck_assert_msg(tg_optimizer_step(o, tape) == TG_OK, "%s", tg_tape_error(tape));
}

/* -- the formulae ---------------------------------------------------------------------------------------- */
static void sgd_by_hand(double *p, double *buf, const double *g0, int t, const tg_sgd_options *o)
{
    for (size_t i = 0; i < N; i++) {
        double g = (o->maximize ? -g0[i] : g0[i]) + o->weight_decay * p[i];
        if (o->momentum != 0) {
            buf[i] = t == 1 ? g : o->momentum * buf[i] + (1 - o->dampening) * g;
            g = o->nesterov ? g + o->momentum * buf[i] : buf[i];
        }
        p[i] -= o->lr * g;
    }
}

static void adam_by_hand(double *p, double *m, double *v, double *x, const double *g0, int t,
                         const tg_adam_options *o, bool decoupled)
{
    for (size_t i = 0; i < N; i++) {
        double g = o->maximize ? -g0[i] : g0[i];
        if (decoupled)
            p[i] *= 1 - o->lr * o->weight_decay;
        else
            g += o->weight_decay * p[i];
        m[i] = o->beta1 * m[i] + (1 - o->beta1) * g;
        v[i] = o->beta2 * v[i] + (1 - o->beta2) * g * g;
        x[i] = fmax(x[i], v[i]);
        double m_hat = m[i] / (1 - pow(o->beta1, t)),
               v_hat = (o->amsgrad ? x[i] : v[i]) / (1 - pow(o->beta2, t));
        p[i] -= o->lr * m_hat / (sqrt(v_hat) + o->eps);
    }
}

static const tg_sgd_options sgd_cases[] = {
    {.lr = 0.1},
    {.lr = 0.1, .weight_decay = 0.3, .maximize = true},
    {.lr = 0.1, .momentum = 0.9},
    {.lr = 0.05, .momentum = 0.8, .dampening = 0.3, .weight_decay = 0.1},
    {.lr = 0.05, .momentum = 0.7, .weight_decay = 0.2, .nesterov = true, .maximize = true},
    {.lr = 0, .momentum = 0.9},
};
enum { SGD_CASES = sizeof sgd_cases / sizeof *sgd_cases };

static void check_values(tg_tensor *p, const double *want, double tolerance)
{
    if (tg_tensor_dtype(p) == TG_F64) {
        double got[N];
        get(p, got, N);
        for (size_t i = 0; i < N; i++)
            ck_assert_double_eq_tol(got[i], want[i], tolerance);
    } else {
        float got[N];
        ck_assert_int_eq(tg_tensor_read(p, got, sizeof got), TG_OK);
        for (size_t i = 0; i < N; i++)
            ck_assert_double_eq_tol((double)got[i], want[i], tolerance);
    }
}

static void check_sgd(const tg_sgd_options *options, tg_dtype dtype, double tolerance)
{
    double w[N], buf[N] = {0}, g[N];
    values_of(w, 1);
    tg_tensor *p = parameter(dtype, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    tg_optimizer *o = tg_optim_sgd(rt, &list, options);
    ck_assert_msg(o != NULL, "%s", tg_error_message());
    for (int t = 1; t <= STEPS; t++) {
        values_of(g, 10u + (unsigned)t);
        tg_tape_reset(tape);
        give_gradient(p, g);
        step(o);
        sgd_by_hand(w, buf, g, t, options);
        check_values(p, w, tolerance);
        ck_assert_ptr_null(tg_tensor_grad(p));
    }
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p);
}

START_TEST(sgd_f64)
{
    check_sgd(&sgd_cases[_i], TG_F64, 1e-13);
}
END_TEST

START_TEST(sgd_f32)
{
    check_sgd(&sgd_cases[_i], TG_F32, 1e-5);
}
END_TEST

static const struct {
    tg_adam_options o;
    bool decoupled;
} adam_cases[] = {
    {{.lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}, false},
    {{.lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.05, .amsgrad = true}, false},
    {{.lr = 0.02, .beta1 = 0.3, .beta2 = 0.9, .eps = 1e-4, .weight_decay = 0.1, .maximize = true}, true},
    {{.lr = 0.02, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .amsgrad = true}, true},
    {{.lr = 0.02, .beta1 = 0, .beta2 = 0, .eps = 1e-3}, false},
};
enum { ADAM_CASES = sizeof adam_cases / sizeof *adam_cases };

static void check_adam(int k, tg_dtype dtype, double tolerance)
{
    double w[N], m[N] = {0}, v[N] = {0}, x[N] = {0}, g[N];
    values_of(w, 2);
    tg_tensor *p = parameter(dtype, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    tg_optimizer *o = adam_cases[k].decoupled ? tg_optim_adamw(rt, &list, &adam_cases[k].o)
                                              : tg_optim_adam(rt, &list, &adam_cases[k].o);
    ck_assert_msg(o != NULL, "%s", tg_error_message());
    for (int t = 1; t <= STEPS; t++) {
        values_of(g, 20u + (unsigned)t);
        tg_tape_reset(tape);
        give_gradient(p, g);
        step(o);
        adam_by_hand(w, m, v, x, g, t, &adam_cases[k].o, adam_cases[k].decoupled);
        check_values(p, w, tolerance);
    }
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p);
}

START_TEST(adam_f64)
{
    check_adam(_i, TG_F64, 1e-12);
}
END_TEST

START_TEST(adam_f32)
{
    check_adam(_i, TG_F32, 1e-4);
}
END_TEST

/* -- the state's rules ----------------------------------------------------------------------------------- */
START_TEST(skips_what_has_no_gradient)
{
    double wa[N], wb[N], m[N] = {0}, v[N] = {0}, x[N] = {0}, g[N];
    values_of(wa, 3);
    values_of(wb, 4);
    tg_tensor *p[] = {parameter(TG_F64, wa, DIMS(N)), parameter(TG_F64, wb, DIMS(N))};
    tg_named_tensors list = listed(p, 2);
    tg_adam_options options = {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1};
    tg_optimizer *o = tg_optim_adamw(rt, &list, &options);
    /* b sits out the first three steps: no decay, and its bias corrections start at 1 when it joins. */
    for (int t = 1; t <= 5; t++) {
        values_of(g, 30u + (unsigned)t);
        tg_tape_reset(tape);
        give_gradient(p[0], g);
        if (t > 3) {
            give_gradient(p[1], g);
            adam_by_hand(wb, m, v, x, g, t - 3, &options, true);
        }
        step(o);
        check_values(p[1], wb, 1e-12);
    }
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p[0]);
    tg_tensor_destroy(p[1]);
}
END_TEST

START_TEST(absent_is_not_zero)
{
    double w[N], zero[N] = {0}, g[N];
    values_of(w, 5);
    values_of(g, 6);
    tg_tensor *p = parameter(TG_F64, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    tg_optimizer *o =
        tg_optim_sgd(rt, &list, &(tg_sgd_options){.lr = 0.1, .momentum = 0.5, .weight_decay = 0.1});
    double before[N], after[N];
    give_gradient(p, g);
    step(o);
    get(p, before, N);
    step(o); /* nothing to do: no momentum, no decay */
    get(p, after, N);
    ck_assert_mem_eq(before, after, sizeof before);
    tg_tape_reset(tape);
    give_gradient(p, zero); /* a zero gradient lets decay and momentum act */
    step(o);
    get(p, after, N);
    ck_assert(memcmp(before, after, sizeof before) != 0);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p);
}
END_TEST

START_TEST(gradients_add_up_and_are_consumed)
{
    double w[N], g[N], got[N];
    values_of(w, 7);
    values_of(g, 8);
    tg_tensor *p = parameter(TG_F64, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    tg_optimizer *o = tg_optim_sgd(rt, &list, &(tg_sgd_options){.lr = 0.5});
    give_gradient(p, g);
    give_gradient(p, g);
    step(o);
    get(p, got, N);
    for (size_t i = 0; i < N; i++)
        ck_assert_double_eq_tol(got[i], w[i] - g[i], 1e-14);
    tg_tape_reset(tape);
    give_gradient(p, g);
    tg_optimizer_zero_grad(o);
    ck_assert_ptr_null(tg_tensor_grad(p));
    step(o);
    double same[N];
    get(p, same, N);
    ck_assert_mem_eq(got, same, sizeof got);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p);
}
END_TEST

START_TEST(many_shapes_in_one_call)
{
    /* Scalars, empty tensors, large ones and both dtypes side by side; each is updated as if it were alone.
     */
    static double large[200 * 300], g_large[200 * 300], got[200 * 300];
    double one = 0.5, g_one = 0.25;
    for (size_t i = 0; i < 200 * 300; i++) {
        large[i] = noise(9, i);
        g_large[i] = noise(10, i);
    }
    tg_tensor *p[] = {parameter(TG_F64, &one, NULL, 0), parameter(TG_F64, large, DIMS(200, 300)),
                      parameter(TG_F64, large, DIMS(0, 3)), parameter(TG_F32, large, DIMS(N))};
    tg_named_tensors list = listed(p, 4);
    tg_optimizer *o = tg_optim_sgd(rt, &list, &(tg_sgd_options){.lr = 0.1, .momentum = 0.9});
    uint64_t calls = tg_tape_count_runs(tape, "sgd_momentum_step", NULL);
    give_gradient(p[0], &g_one);
    give_gradient(p[1], g_large);
    give_gradient(p[2], g_large);
    give_gradient(p[3], g_large);
    step(o);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "sgd_momentum_step", NULL), calls + 1);
    ck_assert_double_eq_tol(item(p[0]), 0.5 - 0.1 * 0.25, 1e-15);
    get(p[1], got, 200 * 300);
    for (size_t i = 0; i < 200 * 300; i++)
        ck_assert_double_eq_tol(got[i], large[i] - 0.1 * g_large[i], 1e-15);
    float f[N];
    ck_assert_int_eq(tg_tensor_read(p[3], f, sizeof f), TG_OK);
    for (size_t i = 0; i < N; i++)
        ck_assert_double_eq_tol((double)f[i], large[i] - 0.1 * g_large[i], 1e-6);
    tg_optimizer_destroy(o);
    for (int i = 0; i < 4; i++)
        tg_tensor_destroy(p[i]);
}
END_TEST

START_TEST(threads_do_not_change_bits)
{
    enum { LARGE = 70001 };
    static double w[LARGE], g[LARGE], first[LARGE], got[LARGE];
    for (size_t i = 0; i < LARGE; i++) {
        w[i] = noise(11, i);
        g[i] = noise(12, i);
    }
    for (int threads = 1; threads <= 4; threads++) {
        ck_assert_int_eq(tg_tape_set_threads(tape, threads), TG_OK);
        tg_tape_reset(tape);
        tg_tensor *p = parameter(TG_F64, w, DIMS(LARGE));
        tg_named_tensors list = listed(&p, 1);
        tg_adam_options options = tg_adam_defaults();
        tg_optimizer *o = tg_optim_adam(rt, &list, &options);
        double norm;
        give_gradient(p, g);
        ck_assert_int_eq(tg_clip_grad_norm(tape, &list, 1, &norm), TG_OK);
        step(o);
        get(p, threads == 1 ? first : got, LARGE);
        if (threads > 1)
            ck_assert_mem_eq(first, got, sizeof got);
        tg_optimizer_destroy(o);
        tg_tensor_destroy(p);
    }
}
END_TEST

START_TEST(a_strided_parameter)
{
    double memory[24], g[N], before[24];
    for (size_t i = 0; i < 24; i++)
        memory[i] = before[i] = noise(13, i);
    values_of(g, 14);
    tg_tensor *p;
    ck_assert_int_eq(tg_tensor_wrap(&p, rt, TG_F64, (int64_t[]){3, 4}, (int64_t[]){2, 6}, 2, memory), TG_OK);
    ck_assert_int_eq(tg_tensor_set_requires_grad(p, true), TG_OK);
    tg_named_tensors list = listed(&p, 1);
    tg_optimizer *o = tg_optim_sgd(rt, &list, &(tg_sgd_options){.lr = 0.1, .momentum = 0.9});
    give_gradient(p, g);
    step(o);
    for (size_t r = 0; r < 3; r++)
        for (size_t c = 0; c < 4; c++)
            ck_assert_double_eq_tol(memory[2 * r + 6 * c], before[2 * r + 6 * c] - 0.1 * g[4 * r + c], 1e-15);
    for (size_t i = 1; i < 24; i += 2) /* between the elements */
        ck_assert_double_eq(memory[i], before[i]);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p);
}
END_TEST

/* -- errors ---------------------------------------------------------------------------------------------- */
static const tg_sgd_options bad_sgd[] = {
    {.lr = -0.1},
    {.lr = NAN},
    {.lr = INFINITY},
    {.lr = 0.1, .momentum = -0.1},
    {.lr = 0.1, .momentum = NAN},
    {.lr = 0.1, .weight_decay = -1},
    {.lr = 0.1, .dampening = NAN},
    {.lr = 0.1, .nesterov = true},
    {.lr = 0.1, .momentum = 0.9, .dampening = 0.1, .nesterov = true},
};
enum { BAD_SGD = sizeof bad_sgd / sizeof *bad_sgd };

START_TEST(refuses_sgd)
{
    double w[N] = {0};
    tg_tensor *p = parameter(TG_F64, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    ck_assert_ptr_null(tg_optim_sgd(rt, &list, &bad_sgd[_i]));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "SGD"));
    tg_tensor_destroy(p);
}
END_TEST

static const tg_adam_options bad_adam[] = {
    {.lr = -1, .beta1 = 0.9, .beta2 = 0.9, .eps = 1e-8},
    {.lr = 1, .beta1 = 1, .beta2 = 0.9, .eps = 1e-8},
    {.lr = 1, .beta1 = 0.9, .beta2 = -0.1, .eps = 1e-8},
    {.lr = 1, .beta1 = 0.9, .beta2 = NAN, .eps = 1e-8},
    {.lr = 1, .beta1 = 0.9, .beta2 = 0.9, .eps = -1},
    {.lr = 1, .beta1 = 0.9, .beta2 = 0.9, .eps = NAN},
    {.lr = 1, .beta1 = 0.9, .beta2 = 0.9, .weight_decay = -1},
    {.lr = 1e-3}, /* the rest of the literal is zero */
};
enum { BAD_ADAM = sizeof bad_adam / sizeof *bad_adam };

START_TEST(refuses_adam)
{
    double w[N] = {0};
    tg_tensor *p = parameter(TG_F64, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    ck_assert_ptr_null(tg_optim_adam(rt, &list, &bad_adam[_i]));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "Adam"));
    ck_assert_ptr_null(tg_optim_adamw(rt, &list, &bad_adam[_i]));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "AdamW"));
    tg_tensor_destroy(p);
}
END_TEST

/* Zero betas or a zero eps are torch's; all of them are a literal that was written, not changed. */
START_TEST(adam_of_zeros)
{
    static const tg_adam_options some[] = {{.lr = 1, .eps = 1e-8},
                                           {.lr = 1, .beta1 = 0.9, .beta2 = 0.9},
                                           {.lr = 1, .beta2 = 0.9},
                                           {.lr = 1, .beta1 = 0.9}};
    double w[N] = {0};
    tg_tensor *p = parameter(TG_F64, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        tg_optimizer *o = tg_optim_adam(rt, &list, &some[i]);
        ck_assert_msg(o != NULL, "%s", tg_error_message());
        tg_optimizer_destroy(o);
    }
    ck_assert_ptr_null(tg_optim_adam(rt, &list, &(tg_adam_options){.lr = 1e-3}));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "tg_adam_defaults()"));
    ck_assert_ptr_null(tg_optim_adamw(rt, &list, &(tg_adam_options){.lr = 1e-3}));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "tg_adamw_defaults()"));
    tg_tensor_destroy(p);
}
END_TEST

START_TEST(refuses_lists)
{
    double w[N] = {0};
    tg_sgd_options options = {.lr = 0.1};
    tg_tensor *p = parameter(TG_F64, w, DIMS(N)), *i64;
    ck_assert_int_eq(tg_tensor_create(&i64, rt, TG_I64, NULL, 0), TG_OK);
    tg_named_tensors none = listed(NULL, 0), twice = listed((tg_tensor *[]){p, p}, 2),
                     whole = listed(&i64, 1);
    tg_named_tensors computed = listed((tg_tensor *[]){tg_add_scalar(tape, p, 1)}, 1);
    ck_assert_ptr_null(tg_optim_sgd(rt, NULL, &options));
    ck_assert_ptr_null(tg_optim_sgd(rt, &none, &options));
    ck_assert_ptr_null(tg_optim_sgd(rt, &twice, &options));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "twice"));
    ck_assert_ptr_null(tg_optim_sgd(rt, &whole, &options));
    ck_assert_ptr_null(tg_optim_sgd(rt, &computed, &options));
    ck_assert_ptr_null(tg_optim_sgd(NULL, &none, &options));
    tg_named_tensors stale = listed(&p, 1);
    tg_optimizer *o = tg_optim_sgd(rt, &stale, &options);
    tg_tensor_destroy(p);
    ck_assert_ptr_null(tg_optim_sgd(rt, &stale, &options));
    ck_assert_int_eq(tg_optimizer_step(o, tape), TG_ESTALE);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(i64);
}
END_TEST

START_TEST(by_name)
{
    const char *names[32];
    double w[N] = {0};
    tg_tensor *p = parameter(TG_F64, w, DIMS(1, N));
    tg_named_tensors list = listed(&p, 1);
    size_t n = tg_optim_list(names, 32);
    ck_assert_uint_ge(n, 11);
    for (size_t i = 0; i < n && i < 32; i++) {
        tg_optimizer *o = tg_optim_create(rt, names[i], &list, NULL, 0);
        ck_assert_msg(o != NULL, "%s", tg_error_message());
        ck_assert_str_eq(tg_optimizer_name(o), names[i]);
        const tg_attr_spec *lr = tg_optim_attrs(names[i]);
        ck_assert_ptr_nonnull(lr);
        ck_assert_str_eq(lr->name, "lr");
        ck_assert_double_eq(tg_optimizer_lr(o), lr->value);
        tg_optimizer_destroy(o);
    }
    tg_attr betas[] = {{"betas", TG_ATTR_REALS, {.reals = {2, {0.5, 0.6}}}},
                       {"lr", TG_ATTR_REAL, {.f = 0.25}}};
    tg_optimizer *o = tg_optim_create(rt, "Adam", &list, betas, 2);
    ck_assert_ptr_nonnull(o);
    ck_assert_double_eq(tg_optimizer_lr(o), 0.25);
    tg_optimizer_destroy(o);
    betas[0].as.reals.n = 3;
    ck_assert_ptr_null(tg_optim_create(rt, "Adam", &list, betas, 2));
    ck_assert_ptr_null(tg_optim_create(rt, "Adan", &list, NULL, 0));
    ck_assert_ptr_null(tg_optim_create(rt, NULL, &list, NULL, 0));
    ck_assert_ptr_null(tg_optim_create(rt, "SGD", &list, betas, 1));
    ck_assert_ptr_null(tg_optim_attrs("Adan"));
    tg_tensor_destroy(p);
}
END_TEST

START_TEST(an_earlier_error_stops_the_step)
{
    double w[N], g[N], got[N];
    values_of(w, 15);
    values_of(g, 16);
    tg_tensor *p = parameter(TG_F64, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    tg_optimizer *o = tg_optim_sgd(rt, &list, &(tg_sgd_options){.lr = 0.1, .momentum = 0.9});
    give_gradient(p, g);
    tg_add(tape, tg_input(tape, TG_F64, DIMS(2), NULL), tg_input(tape, TG_F64, DIMS(3), NULL));
    ck_assert_int_eq(tg_optimizer_step(o, tape), TG_ESHAPE);
    get(p, got, N);
    ck_assert_mem_eq(got, w, sizeof w);
    ck_assert_ptr_nonnull(tg_tensor_grad(p));
    tg_tape_clear_error(tape);
    step(o);
    get(p, got, N);
    ck_assert(memcmp(got, w, sizeof w) != 0);
    ck_assert_int_eq(tg_optimizer_step(NULL, tape), TG_EINVAL);
    ck_assert_int_eq(tg_optimizer_set_lr(o, -1), TG_EINVAL);
    ck_assert_int_eq(tg_optimizer_set_lr(o, NAN), TG_EINVAL);
    ck_assert_double_eq(tg_optimizer_lr(o), 0.1);
    tg_tape_clear_error(tape);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p);
}
END_TEST

/* Each allocation of the first step fails once: nothing has changed, and the next try is the whole first
 * step. */
START_TEST(out_of_memory_changes_nothing)
{
    double w[N], g[N], want[N], got[N];
    values_of(w, 17);
    values_of(g, 18);
    for (int i = 0; i < N; i++)
        want[i] = w[i];
    double m[N] = {0}, v[N] = {0}, x[N] = {0};
    tg_adam_options options = {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .amsgrad = true};
    adam_by_hand(want, m, v, x, g, 1, &options, false);
    int failures = 0;
    for (long k = 1;; k++) {
        tg_tape_reset(tape);
        tg_tensor *p = parameter(TG_F64, w, DIMS(N));
        tg_named_tensors list = listed(&p, 1);
        tg_optimizer *o = tg_optim_adam(rt, &list, &options);
        give_gradient(p, g);
        rig_fail_at = rig_calls + k;
        tg_status status = tg_optimizer_step(o, tape);
        rig_fail_at = 0;
        if (status) {
            failures++;
            ck_assert_int_eq(status, TG_ENOMEM);
            ck_assert_int_eq(tg_tape_status(tape), TG_ENOMEM);
            get(p, got, N);
            ck_assert_mem_eq(got, w, sizeof w);
            ck_assert_ptr_nonnull(tg_tensor_grad(p));
            tg_tape_clear_error(tape);
            step(o);
        }
        check_values(p, want, 1e-13);
        tg_optimizer_destroy(o);
        tg_tensor_destroy(p);
        if (!status)
            break;
    }
    ck_assert_int_ge(failures, 3);
}
END_TEST

START_TEST(making_one_out_of_memory)
{
    double w[N] = {0};
    tg_tensor *p = parameter(TG_F64, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    long live = rig_live;
    tg_optimizer *o = NULL;
    int failures = 0;
    for (long k = 1; !o; k++) {
        rig_fail_at = rig_calls + k;
        o = tg_optim_adam(rt, &list, NULL);
        rig_fail_at = 0;
        if (!o) {
            failures++;
            ck_assert_int_eq(rig_live, live);
        }
    }
    ck_assert_int_ge(failures, 5);
    tg_optimizer_destroy(o);
    ck_assert_int_eq(rig_live, live);
    tg_tensor_destroy(p);
}
END_TEST

START_TEST(later_steps_allocate_nothing)
{
    double w[N], g[N];
    values_of(w, 19);
    values_of(g, 20);
    tg_tensor *p = parameter(TG_F64, w, DIMS(N));
    tg_named_tensors list = listed(&p, 1);
    tg_optimizer *o = tg_optim_adam(rt, &list, NULL);
    long calls = 0;
    for (int t = 0; t < 5; t++) {
        tg_tape_reset(tape);
        give_gradient(p, g);
        double norm;
        ck_assert_int_eq(tg_clip_grad_norm(tape, &list, 0.5, &norm), TG_OK);
        step(o);
        if (t == 1)
            calls = rig_calls;
    }
    ck_assert_int_eq(rig_calls, calls);
    tg_optimizer_destroy(o);
    tg_tensor_destroy(p);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("optimizers");
    TCase *t = tcase_create("formulae");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, sgd_f64, 0, SGD_CASES);
    tcase_add_loop_test(t, sgd_f32, 0, SGD_CASES);
    tcase_add_loop_test(t, adam_f64, 0, ADAM_CASES);
    tcase_add_loop_test(t, adam_f32, 0, ADAM_CASES);
    suite_add_tcase(s, t);
    t = tcase_create("state");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, skips_what_has_no_gradient);
    tcase_add_test(t, absent_is_not_zero);
    tcase_add_test(t, gradients_add_up_and_are_consumed);
    tcase_add_test(t, many_shapes_in_one_call);
    tcase_add_test(t, threads_do_not_change_bits);
    tcase_add_test(t, a_strided_parameter);
    suite_add_tcase(s, t);
    t = tcase_create("errors");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, refuses_sgd, 0, BAD_SGD);
    tcase_add_loop_test(t, refuses_adam, 0, BAD_ADAM);
    tcase_add_test(t, adam_of_zeros);
    tcase_add_test(t, refuses_lists);
    tcase_add_test(t, by_name);
    tcase_add_test(t, an_earlier_error_stops_the_step);
    tcase_add_test(t, out_of_memory_changes_nothing);
    tcase_add_test(t, making_one_out_of_memory);
    tcase_add_test(t, later_steps_allocate_nothing);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
