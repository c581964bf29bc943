/* MODES.md, "BatchNorm (1d, 2d, 3d)": one case a row, against the formulae in plain C. */
#include "layers/rig.h"

enum { C = 3, MAX = 200 };

/* Shapes [N, C, rest]. */
static const struct shape {
    const char *cls;
    size_t ndim;
    int64_t dim[5];
} shapes[] = {
    {"BatchNorm1d", 2, {5, C}},          {"BatchNorm1d", 3, {4, C, 3}}, {"BatchNorm2d", 4, {2, C, 3, 2}},
    {"BatchNorm3d", 5, {2, C, 2, 1, 3}}, {"BatchNorm1d", 3, {1, C, 2}}, /* one example, two values per channel
                                                                         */
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static const double eps = 1e-5, gamma_[C] = {0.5, -2, 1.5}, beta[C] = {1, 0, -3};

typedef struct stats {
    double mean[C], var[C]; /* biased */
    size_t n;
} stats;

static size_t count(const struct shape *s)
{
    size_t n = 1;
    for (size_t i = 0; i < s->ndim; i++)
        n *= (size_t)s->dim[i];
    return n;
}

/* The channel of element i. */
static size_t channel(const struct shape *s, size_t i)
{
    size_t inner = 1;
    for (size_t d = 2; d < s->ndim; d++)
        inner *= (size_t)s->dim[d];
    return i / inner % C;
}

static stats measure(const struct shape *s, const double *x)
{
    stats r = {{0}, {0}, count(s) / C};
    for (size_t i = 0; i < count(s); i++)
        r.mean[channel(s, i)] += x[i] / (double)r.n;
    for (size_t i = 0; i < count(s); i++) {
        double d = x[i] - r.mean[channel(s, i)];
        r.var[channel(s, i)] += d * d / (double)r.n;
    }
    return r;
}

static tg_module *make(const struct shape *s, const tg_attr *attrs, size_t n)
{
    tg_attr all[8] = {{"num_features", TG_ATTR_INT, {.i = C}}};
    for (size_t i = 0; i < n; i++)
        all[1 + i] = attrs[i];
    tg_module *bn = tg_module_create(rt, s->cls, all, 1 + n);
    ck_assert_msg(bn != NULL, "%s", tg_error_message());
    if (tg_module_tensor(bn, "weight"))
        put(tg_module_tensor(bn, "weight"), gamma_, C);
    if (tg_module_tensor(bn, "bias"))
        put(tg_module_tensor(bn, "bias"), beta, C);
    return bn;
}

static void normalised(const struct shape *s, const double *x, const double *mean, const double *var,
                       bool affine, double *y)
{
    for (size_t i = 0; i < count(s); i++) {
        size_t c = channel(s, i);
        y[i] = (x[i] - mean[c]) / sqrt(var[c] + eps);
        if (affine)
            y[i] = y[i] * gamma_[c] + beta[c];
    }
}

START_TEST(train_normalises_with_the_batch_and_moves_the_statistics)
{
    const struct shape *s = &shapes[_i];
    tg_module *bn = make(s, NULL, 0);
    double rm[C] = {0}, rv[C] = {1, 1, 1}, x[MAX], want[MAX], got[MAX];
    for (unsigned step = 1; step <= 3; step++) {
        tg_tensor *in = noisy(step, s->dim, s->ndim);
        get(in, x, count(s));
        stats b = measure(s, x);
        normalised(s, x, b.mean, b.var, true, want);
        get(tg_forward(tape, bn, in), got, count(s));
        near_to(got, want, count(s), 1e-10);
        for (int c = 0; c < C; c++) {
            rm[c] = 0.9 * rm[c] + 0.1 * b.mean[c];
            rv[c] = 0.9 * rv[c] + 0.1 * b.var[c] * (double)b.n / (double)(b.n - 1); /* unbiased */
        }
        get(tg_module_tensor(bn, "running_mean"), got, C);
        near_to(got, rm, C, 1e-12);
        get(tg_module_tensor(bn, "running_var"), got, C);
        near_to(got, rv, C, 1e-12);
        ck_assert_double_eq(item(tg_module_tensor(bn, "num_batches_tracked")), step);
    }
    tg_module_destroy(bn);
}
END_TEST

START_TEST(eval_uses_the_running_statistics_and_changes_nothing)
{
    const struct shape *s = &shapes[_i];
    tg_module *bn = make(s, NULL, 0);
    double rm[C] = {1, -2, 0.5}, rv[C] = {4, 0.25, 2}, x[MAX], want[MAX], got[MAX];
    put(tg_module_tensor(bn, "running_mean"), rm, C);
    put(tg_module_tensor(bn, "running_var"), rv, C);
    tg_module_eval(bn);
    uint64_t before = checksum(bn);
    tg_tensor *in = noisy(1, s->dim, s->ndim);
    get(in, x, count(s));
    normalised(s, x, rm, rv, true, want);
    get(tg_forward(tape, bn, in), got, count(s));
    near_to(got, want, count(s), 1e-12);
    ck_assert_uint_eq(checksum(bn), before);
    tg_module_destroy(bn);
}
END_TEST

START_TEST(momentum_none_is_the_plain_average)
{
    const struct shape *s = &shapes[_i];
    tg_module *bn = make(s, (tg_attr[]){{"momentum", TG_ATTR_NONE, {0}}}, 1);
    double mean[C] = {0}, var[C] = {0}, x[MAX], got[C];
    for (unsigned step = 1; step <= 4; step++) {
        tg_tensor *in = noisy(step, s->dim, s->ndim);
        get(in, x, count(s));
        ck_assert_ptr_nonnull(tg_forward(tape, bn, in));
        stats b = measure(s, x);
        for (int c = 0; c < C; c++) {
            mean[c] += (b.mean[c] - mean[c]) / step;
            var[c] += (b.var[c] * (double)b.n / (double)(b.n - 1) - var[c]) / step;
        }
        get(tg_module_tensor(bn, "running_mean"), got, C);
        near_to(got, mean, C, 1e-12);
        get(tg_module_tensor(bn, "running_var"), got, C);
        near_to(got, var, C, 1e-12);
    }
    tg_module_destroy(bn);
}
END_TEST

START_TEST(momentum_0_and_1)
{
    double x[15], got[C];
    for (int m = 0; m < 2; m++) {
        tg_module *bn = make(&shapes[0], (tg_attr[]){{"momentum", TG_ATTR_INT, {.i = m}}}, 1);
        tg_tensor *in = noisy(1, DIMS(5, C));
        get(in, x, 15);
        ck_assert_ptr_nonnull(tg_forward(tape, bn, in));
        get(tg_module_tensor(bn, "running_mean"), got, C);
        near_to(got, m ? measure(&shapes[0], x).mean : (double[C]){0}, C, 1e-12);
        ck_assert_double_eq(item(tg_module_tensor(bn, "num_batches_tracked")), 1);
        tg_module_destroy(bn);
    }
}
END_TEST

START_TEST(without_running_statistics_both_modes_use_the_batch)
{
    const struct shape *s = &shapes[_i];
    tg_module *bn = make(s, (tg_attr[]){{"track_running_stats", TG_ATTR_BOOL, {.b = false}}}, 1);
    ck_assert_uint_eq(tg_module_buffers(bn)->n, 0);
    double x[MAX], want[MAX], got[MAX];
    tg_tensor *in = noisy(1, s->dim, s->ndim);
    get(in, x, count(s));
    stats b = measure(s, x);
    normalised(s, x, b.mean, b.var, true, want);
    for (int mode = 0; mode < TG_N_MODES; mode++) {
        tg_module_set_mode(bn, (tg_mode)mode);
        get(tg_forward(tape, bn, in), got, count(s));
        near_to(got, want, count(s), 1e-10);
    }
    tg_module_destroy(bn);
}
END_TEST

START_TEST(without_affine_no_parameters)
{
    const struct shape *s = &shapes[_i];
    tg_module *bn = make(s, (tg_attr[]){{"affine", TG_ATTR_BOOL, {.b = false}}}, 1);
    ck_assert_uint_eq(tg_module_parameters(bn)->n, 0);
    ck_assert_uint_eq(tg_module_buffers(bn)->n, 3);
    double x[MAX], want[MAX], got[MAX];
    tg_tensor *in = noisy(1, s->dim, s->ndim);
    get(in, x, count(s));
    stats b = measure(s, x);
    normalised(s, x, b.mean, b.var, false, want);
    get(tg_forward(tape, bn, in), got, count(s));
    near_to(got, want, count(s), 1e-10);
    tg_module_destroy(bn);
}
END_TEST

START_TEST(without_bias_only_a_weight)
{
    tg_module *bn = make(&shapes[0], (tg_attr[]){{"bias", TG_ATTR_BOOL, {.b = false}}}, 1);
    ck_assert_uint_eq(tg_module_parameters(bn)->n, 1);
    ck_assert_str_eq(tg_module_parameters(bn)->name[0], "weight");
    ck_assert_ptr_nonnull(tg_forward(tape, bn, noisy(1, DIMS(5, C))));
    tg_module_destroy(bn);
}
END_TEST

/* -- one value per channel, none at all -------------------------------------------------------------- */

static const struct one {
    struct shape shape;
    bool tracks;
    tg_mode mode;
} ones[] = {
    {{"BatchNorm1d", 2, {1, C}}, true, TG_TRAIN},       {{"BatchNorm1d", 3, {1, C, 1}}, true, TG_TRAIN},
    {{"BatchNorm2d", 4, {1, C, 1, 1}}, true, TG_TRAIN}, {{"BatchNorm3d", 5, {1, C, 1, 1, 1}}, true, TG_TRAIN},
    {{"BatchNorm1d", 2, {1, C}}, false, TG_TRAIN},      {{"BatchNorm1d", 2, {1, C}}, false, TG_EVAL},
};
enum { N_ONES = sizeof ones / sizeof *ones };

START_TEST(one_value_per_channel_is_an_error)
{
    const struct one *o = &ones[_i];
    tg_module *net = tg_nn_sequential(rt, tg_nn_dropout(rt, 0.5), tg_nn_identity(rt));
    tg_module *bn = make(&o->shape, (tg_attr[]){{"track_running_stats", TG_ATTR_BOOL, {.b = o->tracks}}}, 1);
    ck_assert_int_eq(tg_nn_sequential_append(net, "norm", bn), TG_OK);
    tg_module_set_mode(bn, o->mode);
    tg_tensor *x = noisy(1, o->shape.dim, o->shape.ndim);
    uint64_t before = checksum(net);
    tg_random_state random = tg_tape_random_state(tape);
    size_t nodes = tg_tape_size(tape);
    ck_assert_ptr_null(tg_forward(tape, net, x));
    char who[64];
    snprintf(who, sizeof who, "norm (%s): f64[1, 3", o->shape.cls);
    ck_assert_msg(strstr(tg_tape_error(tape), who) != NULL, "%s", tg_tape_error(tape));
    ck_assert_msg(strstr(tg_tape_error(tape), "TG_LAST_MERGE") != NULL, "%s", tg_tape_error(tape));
    ck_assert((strstr(tg_tape_error(tape), "eval mode") != NULL) == o->tracks);
    tape_failed_with(TG_ESHAPE, "test_batch_norm.c:");
    ck_assert_uint_eq(checksum(net), before);
    ck_assert(same_state(random, tg_tape_random_state(tape)));
    ck_assert_uint_eq(tg_tape_size(tape), nodes);
    ck_assert(tg_tensor_is_alive(x));
    tg_module_destroy(net);
}
END_TEST

START_TEST(eval_takes_one_value_per_channel)
{
    tg_module *bn = make(&shapes[0], NULL, 0);
    tg_module_eval(bn);
    ck_assert_ptr_nonnull(tg_forward(tape, bn, noisy(1, DIMS(1, C))));
    tg_module_destroy(bn);
}
END_TEST

static const struct shape empties[] = {
    {"BatchNorm1d", 2, {0, C}},
    {"BatchNorm1d", 3, {4, C, 0}},
    {"BatchNorm2d", 4, {0, C, 2, 2}},
    {"BatchNorm3d", 5, {0, C, 2, 2, 2}},
};
enum { N_EMPTIES = sizeof empties / sizeof *empties };

START_TEST(an_empty_batch_gives_an_empty_output)
{
    const struct shape *s = &empties[_i];
    for (int tracks = 0; tracks < 2; tracks++)
        for (int mode = 0; mode < TG_N_MODES; mode++) {
            tg_module *bn = make(s, (tg_attr[]){{"track_running_stats", TG_ATTR_BOOL, {.b = tracks}}}, 1);
            tg_module_set_mode(bn, (tg_mode)mode);
            uint64_t before = checksum(bn);
            tg_tensor *x = input(s->dim, s->ndim, NULL);
            tg_tensor_set_requires_grad(x, true);
            tg_tensor *y = tg_forward(tape, bn, x);
            ck_assert_msg(y != NULL, "%s", tg_tape_error(tape));
            ck_assert_int_eq(tg_tensor_ndim(y), (int)s->ndim);
            ck_assert_int_eq(tg_tensor_count(y), 0);
            ck_assert_uint_eq(checksum(bn), before);
            ck_assert_msg(tg_backward(tape, tg_sum(tape, y)) == TG_OK, "%s", tg_tape_error(tape));
            double g[C];
            get(tg_tensor_grad(tg_module_tensor(bn, "weight")), g, C);
            near_to(g, (double[C]){0}, C, 0);
            tg_module_destroy(bn);
        }
}
END_TEST

/* -- backward ---------------------------------------------------------------------------------------- */

START_TEST(backward_in_train)
{
    const struct shape *s = &shapes[_i];
    size_t n = count(s);
    tg_module *bn = make(s, NULL, 0);
    tg_tensor *in = noisy(1, s->dim, s->ndim), *gy = noisy(2, s->dim, s->ndim);
    double x[MAX], g[MAX], got[MAX], want[MAX], sum_g[C] = {0}, sum_gx[C] = {0}, xhat[MAX];
    get(in, x, n);
    get(gy, g, n);
    stats b = measure(s, x);
    for (size_t i = 0; i < n; i++) {
        size_t c = channel(s, i);
        xhat[i] = (x[i] - b.mean[c]) / sqrt(b.var[c] + eps);
        sum_g[c] += g[i];
        sum_gx[c] += g[i] * xhat[i];
    }
    for (size_t i = 0; i < n; i++) {
        size_t c = channel(s, i);
        want[i] = gamma_[c] / sqrt(b.var[c] + eps) *
                  (g[i] - sum_g[c] / (double)b.n - xhat[i] * sum_gx[c] / (double)b.n);
    }
    ck_assert_int_eq(tg_backward_with(tape, tg_forward(tape, bn, in), tg_detach(tape, gy), 0), TG_OK);
    get(tg_tensor_grad(in), got, n);
    near_to(got, want, n, 1e-9);
    get(tg_tensor_grad(tg_module_tensor(bn, "weight")), got, C);
    near_to(got, sum_gx, C, 1e-10);
    get(tg_tensor_grad(tg_module_tensor(bn, "bias")), got, C);
    near_to(got, sum_g, C, 1e-12);
    tg_module_destroy(bn);
}
END_TEST

START_TEST(backward_in_eval)
{
    const struct shape *s = &shapes[_i];
    size_t n = count(s);
    tg_module *bn = make(s, NULL, 0);
    double rm[C] = {1, -2, 0.5}, rv[C] = {4, 0.25, 2};
    put(tg_module_tensor(bn, "running_mean"), rm, C);
    put(tg_module_tensor(bn, "running_var"), rv, C);
    tg_module_eval(bn);
    tg_tensor *in = noisy(1, s->dim, s->ndim), *gy = noisy(2, s->dim, s->ndim);
    double x[MAX], g[MAX], got[MAX], want[MAX], sum_g[C] = {0}, sum_gx[C] = {0};
    get(in, x, n);
    get(gy, g, n);
    for (size_t i = 0; i < n; i++) {
        size_t c = channel(s, i);
        double invstd = 1 / sqrt(rv[c] + eps);
        want[i] = g[i] * gamma_[c] * invstd;
        sum_g[c] += g[i];
        sum_gx[c] += g[i] * (x[i] - rm[c]) * invstd;
    }
    ck_assert_int_eq(tg_backward_with(tape, tg_forward(tape, bn, in), tg_detach(tape, gy), 0), TG_OK);
    get(tg_tensor_grad(in), got, n);
    near_to(got, want, n, 1e-12);
    get(tg_tensor_grad(tg_module_tensor(bn, "weight")), got, C);
    near_to(got, sum_gx, C, 1e-12);
    get(tg_tensor_grad(tg_module_tensor(bn, "bias")), got, C);
    near_to(got, sum_g, C, 1e-12);
    tg_module_destroy(bn);
}
END_TEST

/* -- numbers ----------------------------------------------------------------------------------------- */

START_TEST(state_follows_the_runtimes_dtype)
{
    for (int i = 0; i < 2; i++) {
        tg_dtype dtype = i ? TG_F64 : TG_F32;
        ck_assert_int_eq(tg_runtime_set_dtype(rt, dtype), TG_OK);
        tg_module *bn = tg_nn_batch_norm1d(rt, C);
        ck_assert_int_eq(tg_tensor_dtype(tg_module_tensor(bn, "weight")), dtype);
        ck_assert_int_eq(tg_tensor_dtype(tg_module_tensor(bn, "running_var")), dtype);
        ck_assert_int_eq(tg_tensor_dtype(tg_module_tensor(bn, "num_batches_tracked")), TG_I64);
        ck_assert_int_eq(tg_tensor_ndim(tg_module_tensor(bn, "num_batches_tracked")), 0);
        tg_module_destroy(bn);
    }
}
END_TEST

/* With a mean of 1e6 and a variance of 0.01 the fold αx + β′ loses every digit in f32. */
START_TEST(eval_is_never_folded)
{
    ck_assert_int_eq(tg_runtime_set_dtype(rt, TG_F32), TG_OK);
    tg_module *bn = tg_nn_batch_norm1d(rt, 1);
    float mean = 1e6f, var = 0.01f, x[4] = {1e6f, 1e6f + 0.125f, 1e6f - 0.25f, 1e6f + 1}, y[4];
    ck_assert_int_eq(tg_tensor_write(tg_module_tensor(bn, "running_mean"), &mean, sizeof mean), TG_OK);
    ck_assert_int_eq(tg_tensor_write(tg_module_tensor(bn, "running_var"), &var, sizeof var), TG_OK);
    tg_module_eval(bn);
    tg_tensor *out = tg_forward(tape, bn, tg_input(tape, TG_F32, DIMS(4, 1), x));
    ck_assert_int_eq(tg_tensor_read(out, y, sizeof y), TG_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq_tol(y[i], ((double)x[i] - 1e6) / sqrt((double)var + 1e-5), 1e-4);
    tg_module_destroy(bn);
}
END_TEST

START_TEST(nan_and_inf_stay_in_their_channel)
{
    double v[4 * C], y[4 * C];
    for (int i = 0; i < 4 * C; i++)
        v[i] = noise(1, (size_t)i);
    v[0] = NAN;          /* channel 0 */
    v[C + 1] = INFINITY; /* channel 1 */
    tg_module *bn = make(&shapes[0], NULL, 0);
    get(tg_forward(tape, bn, input(DIMS(4, C), v)), y, 4 * C);
    for (int n = 0; n < 4; n++) {
        ck_assert(isnan(y[n * C]));
        ck_assert(isnan(y[n * C + 1]));
        ck_assert(isfinite(y[n * C + 2]));
    }
    get(tg_module_tensor(bn, "running_mean"), y, C);
    ck_assert(isnan(y[0]) && isinf(y[1]) && isfinite(y[2]));
    tg_module_destroy(bn);
}
END_TEST

/* -- learning and evaluating ------------------------------------------------------------------------- */

START_TEST(gamma_and_beta_learn_in_eval)
{
    tg_module *bn = make(&shapes[0], NULL, 0);
    tg_sgd_options options = tg_sgd_defaults();
    options.lr = 0.1;
    tg_optimizer *opt = tg_optim_sgd(rt, tg_module_parameters(bn), &options);
    ck_assert_msg(opt != NULL, "%s", tg_error_message());
    double w[C], rm[C];
    tg_module_eval(bn);
    for (int frozen = 0; frozen < 2; frozen++) {
        if (frozen)
            tg_module_freeze(bn, TG_FREEZE_AFFINE);
        double before[C];
        get(tg_module_tensor(bn, "weight"), before, C);
        tg_tensor *loss = tg_sum(tape, tg_square(tape, tg_forward(tape, bn, noisy(1, DIMS(5, C)))));
        ck_assert_int_eq(tg_backward(tape, loss), TG_OK);
        ck_assert_int_eq(tg_optimizer_step(opt, tape), TG_OK);
        get(tg_module_tensor(bn, "weight"), w, C);
        for (int c = 0; c < C; c++)
            ck_assert_int_eq(w[c] == before[c], frozen);
        tg_tape_reset(tape);
    }
    get(tg_module_tensor(bn, "running_mean"), rm, C);
    near_to(rm, (double[C]){0}, C, 0);
    tg_optimizer_destroy(opt);
    tg_module_destroy(bn);
}
END_TEST

START_TEST(evaluating_changes_nothing)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, 4, C), tg_nn_batch_norm1d(rt, C), tg_nn_relu(rt),
                                      tg_nn_dropout(rt, 0.3), tg_nn_linear(rt, C, 2));
    ck_assert_ptr_nonnull(tg_forward(tape, net, noisy(1, DIMS(6, 4))));
    tg_module_eval(net);
    uint64_t before = checksum(net);
    tg_random_state random = tg_tape_random_state(tape), init = tg_runtime_random_state(rt);
    double a[12], b[12];
    for (int i = 0; i < 3; i++) {
        get(tg_forward(tape, net, noisy(2, DIMS(6, 4))), i ? b : a, 12);
        if (i)
            ck_assert_mem_eq(a, b, sizeof a);
        tg_tape_reset(tape);
    }
    ck_assert_uint_eq(checksum(net), before);
    ck_assert(same_state(random, tg_tape_random_state(tape)));
    ck_assert(same_state(init, tg_runtime_random_state(rt)));
    tg_module_destroy(net);
}
END_TEST

/* -- bad input --------------------------------------------------------------------------------------- */

static const struct bad {
    const char *name;
    tg_attr attr;
} bad[] = {
    {"num_features", {"num_features", TG_ATTR_INT, {.i = 0}}},
    {"num_features", {"num_features", TG_ATTR_INT, {.i = -3}}},
    {"eps", {"eps", TG_ATTR_REAL, {.f = 0}}},
    {"eps", {"eps", TG_ATTR_REAL, {.f = -1e-5}}},
    {"eps", {"eps", TG_ATTR_REAL, {.f = NAN}}},
    {"eps", {"eps", TG_ATTR_REAL, {.f = INFINITY}}},
    {"momentum", {"momentum", TG_ATTR_REAL, {.f = -0.1}}},
    {"momentum", {"momentum", TG_ATTR_REAL, {.f = 1.1}}},
    {"momentum", {"momentum", TG_ATTR_REAL, {.f = NAN}}},
    {"momentum", {"momentum", TG_ATTR_BOOL, {.b = true}}},
    {"eps", {"eps", TG_ATTR_NONE, {0}}},
};
enum { N_BAD = sizeof bad / sizeof *bad };

START_TEST(options_out_of_range)
{
    static const char *const classes[] = {"BatchNorm1d", "BatchNorm2d", "BatchNorm3d"};
    for (int i = 0; i < 3; i++) {
        tg_attr attrs[2] = {bad[_i].attr, {"num_features", TG_ATTR_INT, {.i = C}}};
        size_t n = strcmp(bad[_i].name, "num_features") == 0 ? 1 : 2;
        ck_assert_ptr_null(tg_module_create(rt, classes[i], attrs, n));
        ck_assert_msg(strstr(tg_error_message(), bad[_i].name) && strstr(tg_error_message(), classes[i]),
                      "%s", tg_error_message());
    }
}
END_TEST

/* A NaN that was computed is no None. */
START_TEST(options_struct_out_of_range)
{
    tg_batch_norm_options o = tg_batch_norm_defaults(C);
    volatile double zero = 0;
    o.momentum = -(zero / zero);
    if (!signbit(o.momentum))
        o.momentum = -o.momentum;
    ck_assert_ptr_null(tg_nn_batch_norm1d_with(rt, &o));
    failed_with(TG_EINVAL, TG_EINVAL, "momentum");
    o = tg_batch_norm_defaults(C);
    o.eps = 0;
    ck_assert_ptr_null(tg_nn_batch_norm2d_with(rt, &o));
    ck_assert_ptr_null(tg_nn_batch_norm3d(rt, 0));
    ck_assert_ptr_null(tg_nn_batch_norm1d_with(rt, NULL));
    o = tg_batch_norm_defaults(C);
    o.momentum = TG_NONE_REAL;
    tg_module *bn = tg_nn_batch_norm1d_with(rt, &o);
    ck_assert_ptr_nonnull(bn);
    tg_module_destroy(bn);
}
END_TEST

static const struct shape wrong[] = {
    {"BatchNorm1d", 1, {C}},       {"BatchNorm1d", 4, {2, C, 2, 2}}, {"BatchNorm1d", 2, {4, C + 1}},
    {"BatchNorm2d", 3, {2, C, 4}}, {"BatchNorm2d", 4, {2, 1, 2, 2}}, {"BatchNorm3d", 4, {2, C, 2, 2}},
    {"BatchNorm1d", 0, {0}},
};
enum { N_WRONG = sizeof wrong / sizeof *wrong };

START_TEST(shapes_that_do_not_match)
{
    const struct shape *s = &wrong[_i];
    for (int mode = 0; mode < TG_N_MODES; mode++) {
        tg_module *bn = make(s, NULL, 0);
        tg_module_set_mode(bn, (tg_mode)mode);
        uint64_t before = checksum(bn);
        ck_assert_ptr_null(tg_forward(tape, bn, noisy(1, s->dim, s->ndim)));
        ck_assert_msg(strncmp(tg_tape_error(tape), s->cls, strlen(s->cls)) == 0, "%s", tg_tape_error(tape));
        tape_failed_with(TG_ESHAPE, "expected [N, C");
        ck_assert_uint_eq(checksum(bn), before);
        tg_module_destroy(bn);
    }
}
END_TEST

START_TEST(a_dtype_that_does_not_match)
{
    tg_module *bn = make(&shapes[0], NULL, 0);
    ck_assert_ptr_null(tg_forward(tape, bn, tg_input(tape, TG_F32, DIMS(4, C), NULL)));
    tape_failed_with(TG_EDTYPE, "BatchNorm1d");
    ck_assert_double_eq(item(tg_module_tensor(bn, "num_batches_tracked")), 0);
    tg_module_destroy(bn);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("batch norm");
    TCase *c = tcase_create("batch_norm");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_loop_test(c, train_normalises_with_the_batch_and_moves_the_statistics, 0, N_SHAPES);
    tcase_add_loop_test(c, eval_uses_the_running_statistics_and_changes_nothing, 0, N_SHAPES);
    tcase_add_loop_test(c, momentum_none_is_the_plain_average, 0, N_SHAPES);
    tcase_add_test(c, momentum_0_and_1);
    tcase_add_loop_test(c, without_running_statistics_both_modes_use_the_batch, 0, N_SHAPES);
    tcase_add_loop_test(c, without_affine_no_parameters, 0, N_SHAPES);
    tcase_add_test(c, without_bias_only_a_weight);
    tcase_add_loop_test(c, one_value_per_channel_is_an_error, 0, N_ONES);
    tcase_add_test(c, eval_takes_one_value_per_channel);
    tcase_add_loop_test(c, an_empty_batch_gives_an_empty_output, 0, N_EMPTIES);
    tcase_add_loop_test(c, backward_in_train, 0, N_SHAPES);
    tcase_add_loop_test(c, backward_in_eval, 0, N_SHAPES);
    tcase_add_test(c, state_follows_the_runtimes_dtype);
    tcase_add_test(c, eval_is_never_folded);
    tcase_add_test(c, nan_and_inf_stay_in_their_channel);
    tcase_add_test(c, gamma_and_beta_learn_in_eval);
    tcase_add_test(c, evaluating_changes_nothing);
    suite_add_tcase(s, c);
    TCase *b = tcase_create("bad_input");
    tcase_add_checked_fixture(b, rig_open, rig_close);
    tcase_add_loop_test(b, options_out_of_range, 0, N_BAD);
    tcase_add_test(b, options_struct_out_of_range);
    tcase_add_loop_test(b, shapes_that_do_not_match, 0, N_WRONG);
    tcase_add_test(b, a_dtype_that_does_not_match);
    suite_add_tcase(s, b);
    return s;
}

TG_TEST_MAIN(suite)
