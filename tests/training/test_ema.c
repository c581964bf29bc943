/* Averages of a model, and BatchNorm's statistics for them, against the formulae written out. */
#include "training/parameters.h"

enum { FEATURES = 3, BATCH = 4, BATCHES = 5 };

static double weight_at(int t, size_t i)
{
    return noise(50u + (unsigned)t, i);
}

/* Linear, BatchNorm1d, Dropout; its weight is that of time t. */
static tg_module *model(void)
{
    tg_module *net = tg_module_create(rt, "Sequential", NULL, 0);
    tg_module *parts[] = {
        tg_module_create(rt, "Linear",
                         (tg_attr[]){{"in_features", TG_ATTR_INT, {.i = FEATURES}},
                                     {"out_features", TG_ATTR_INT, {.i = FEATURES}}},
                         2),
        tg_module_create(rt, "BatchNorm1d", (tg_attr[]){{"num_features", TG_ATTR_INT, {.i = FEATURES}}}, 1)};
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(tg_nn_sequential_append(net, i ? "norm" : "linear", parts[i]), TG_OK);
    return net;
}

static void set_weight(tg_module *net, int t)
{
    double w[FEATURES * FEATURES], mean[FEATURES];
    for (size_t i = 0; i < FEATURES * FEATURES; i++)
        w[i] = weight_at(t, i);
    for (size_t i = 0; i < FEATURES; i++)
        mean[i] = weight_at(100 + t, i);
    put(tg_module_tensor(net, "linear.weight"), w, FEATURES * FEATURES);
    put(tg_module_tensor(net, "norm.running_mean"), mean, FEATURES);
    int64_t tracked = t;
    ck_assert_int_eq(tg_tensor_write(tg_module_tensor(net, "norm.num_batches_tracked"), &tracked, 8), TG_OK);
}

static const struct {
    double decay;
    bool buffers;
} cases[] = {{0, false}, {0, true}, {0.9, false}, {0.3, true}, {1, false}};
enum { N_CASES = sizeof cases / sizeof *cases };

START_TEST(averages)
{
    tg_module *net = model();
    tg_averaged_model *a = tg_averaged_model_new(net, cases[_i].decay, cases[_i].buffers);
    ck_assert_msg(a != NULL, "%s", tg_error_message());
    tg_module *copy = tg_averaged_module(a);
    double want[FEATURES * FEATURES], mean[FEATURES], got[FEATURES * FEATURES];
    for (int t = 0; t < 6; t++) {
        set_weight(net, t);
        ck_assert_msg(tg_averaged_model_update(a, tape) == TG_OK, "%s", tg_tape_error(tape));
        double by = t == 0 ? 1 : cases[_i].decay > 0 ? 1 - cases[_i].decay : 1.0 / (t + 1);
        for (size_t i = 0; i < FEATURES * FEATURES; i++)
            want[i] = t == 0 ? weight_at(0, i) : want[i] + by * (weight_at(t, i) - want[i]);
        for (size_t i = 0; i < FEATURES; i++) {
            double now = weight_at(100 + t, i);
            mean[i] = t == 0 || !cases[_i].buffers ? now : mean[i] + by * (now - mean[i]);
        }
        get(tg_module_tensor(copy, "linear.weight"), got, FEATURES * FEATURES);
        for (size_t i = 0; i < FEATURES * FEATURES; i++)
            ck_assert_double_eq_tol(got[i], want[i], 1e-14);
        get(tg_module_tensor(copy, "norm.running_mean"), got, FEATURES);
        for (size_t i = 0; i < FEATURES; i++)
            ck_assert_double_eq_tol(got[i], mean[i], 1e-14);
        int64_t tracked;
        ck_assert_int_eq(tg_tensor_read(tg_module_tensor(copy, "norm.num_batches_tracked"), &tracked, 8),
                         TG_OK);
        ck_assert_int_eq(tracked, t);
        ck_assert_int_eq(tg_averaged_count(a), t + 1);
    }
    ck_assert_int_eq(tg_module_mode(copy), TG_EVAL);
    ck_assert_int_eq(tg_module_mode(net), TG_TRAIN);
    /* The first update copies, whatever is there. */
    double odd[FEATURES * FEATURES] = {INFINITY, NAN, -INFINITY};
    put(tg_module_tensor(net, "linear.weight"), odd, FEATURES * FEATURES);
    tg_averaged_set_count(a, 0);
    ck_assert_int_eq(tg_averaged_model_update(a, tape), TG_OK);
    get(tg_module_tensor(copy, "linear.weight"), got, FEATURES * FEATURES);
    ck_assert(got[0] == INFINITY && isnan(got[1]) && got[2] == -INFINITY && got[3] == 0);
    tg_averaged_model_destroy(a);
    tg_module_destroy(net);
}
END_TEST

typedef struct feed {
    int next, fail_at;
} feed;

static double input_at(int batch, size_t i)
{
    return noise(200u + (unsigned)batch, i) + 0.2 * batch;
}

static tg_tensor *next(void *arg, tg_tape *t)
{
    feed *f = arg;
    double x[BATCH * FEATURES];
    if (f->next == BATCHES)
        return NULL;
    for (size_t i = 0; i < BATCH * FEATURES; i++)
        x[i] = input_at(f->next, i);
    bool wrong = f->next++ == f->fail_at;
    return tg_input(t, TG_F64, DIMS(BATCH, wrong ? FEATURES - 1 : FEATURES), x);
}

/* The mean over the batches of each batch's mean, and of its unbiased variance. */
START_TEST(recalibrates)
{
    tg_module *norm = tg_module_create(
        rt, "BatchNorm1d",
        (tg_attr[]){{"num_features", TG_ATTR_INT, {.i = FEATURES}}, {"momentum", TG_ATTR_REAL, {.f = 0.25}}},
        2);
    tg_module_eval(norm);
    double mean[FEATURES] = {0}, var[FEATURES] = {0}, got[FEATURES];
    for (int b = 0; b < BATCHES; b++)
        for (size_t c = 0; c < FEATURES; c++) {
            double m = 0, v = 0;
            for (size_t k = 0; k < BATCH; k++)
                m += input_at(b, k * FEATURES + c) / BATCH;
            for (size_t k = 0; k < BATCH; k++)
                v += pow(input_at(b, k * FEATURES + c) - m, 2) / (BATCH - 1);
            mean[c] += m / BATCHES;
            var[c] += v / BATCHES;
        }
    for (int twice = 0; twice < 2; twice++) {
        feed f = {0, -1};
        ck_assert_msg(tg_update_bn_from(tape, norm, next, &f) == TG_OK, "%s", tg_tape_error(tape));
        get(tg_module_tensor(norm, "running_mean"), got, FEATURES);
        for (size_t c = 0; c < FEATURES; c++)
            ck_assert_double_eq_tol(got[c], mean[c], 1e-13);
        get(tg_module_tensor(norm, "running_var"), got, FEATURES);
        for (size_t c = 0; c < FEATURES; c++)
            ck_assert_double_eq_tol(got[c], var[c], 1e-13);
    }
    ck_assert_int_eq(tg_module_mode(norm), TG_EVAL);
    /* Momentum is 0.25 again, also after a failure. */
    feed f = {0, 1};
    ck_assert_int_ne(tg_update_bn_from(tape, norm, next, &f), TG_OK);
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "BatchNorm1d"));
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_module_mode(norm), TG_EVAL);
    ck_assert_int_eq(tg_fill(tg_module_tensor(norm, "running_mean"), 8), TG_OK);
    tg_module_train(norm);
    f = (feed){0, -1};
    ck_assert_ptr_nonnull(tg_forward(tape, norm, next(&f, tape)));
    double first = 0;
    for (size_t k = 0; k < BATCH; k++)
        first += input_at(0, k * FEATURES) / BATCH;
    get(tg_module_tensor(norm, "running_mean"), got, FEATURES);
    ck_assert_double_eq_tol(got[0], 0.75 * 8 + 0.25 * first, 1e-13);
    tg_module_destroy(norm);
}
END_TEST

/* A frozen one keeps its statistics, also beside one that is recalibrated. */
START_TEST(frozen_statistics_stay)
{
    const tg_attr attrs[] = {{"num_features", TG_ATTR_INT, {.i = FEATURES}}};
    tg_module *norm[2] = {tg_module_create(rt, "BatchNorm1d", attrs, 1),
                          tg_module_create(rt, "BatchNorm1d", attrs, 1)},
              *net = tg_module_create(rt, "Sequential", NULL, 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(tg_nn_sequential_append(net, i ? "free" : "frozen", norm[i]), TG_OK);
        ck_assert_int_eq(tg_fill(tg_module_tensor(norm[i], "running_mean"), 8), TG_OK);
        ck_assert_int_eq(tg_fill(tg_module_tensor(norm[i], "num_batches_tracked"), 3), TG_OK);
    }
    tg_module_freeze(norm[0], TG_FREEZE_STATISTICS);
    feed f = {0, -1};
    ck_assert_msg(tg_update_bn_from(tape, net, next, &f) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_int_eq(f.next, BATCHES);
    for (int i = 0; i < 2; i++) {
        double mean[FEATURES];
        int64_t tracked;
        get(tg_module_tensor(norm[i], "running_mean"), mean, FEATURES);
        ck_assert_int_eq(mean[0] == 8, i == 0);
        ck_assert_int_eq(tg_tensor_read(tg_module_tensor(norm[i], "num_batches_tracked"), &tracked, 8), TG_OK);
        ck_assert_int_eq(tracked, i ? BATCHES : 3);
    }
    /* Nothing but frozen ones: the batches are not asked for. */
    f = (feed){0, -1};
    ck_assert_int_eq(tg_update_bn_from(tape, norm[0], next, &f), TG_OK);
    ck_assert_int_eq(f.next, 0);
    tg_module_destroy(net);
}
END_TEST

static tg_status same_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)m;
    (void)n;
    out[0] = tg_square(t, in[0]);
    return tg_tape_status(t);
}

/* A program's class of such a name is no BatchNorm: it has no options to write to. */
START_TEST(names_say_nothing)
{
    static const tg_layer_class cls = {.struct_size = sizeof(tg_layer_class),
                                       .name = "BatchNormFree",
                                       .n_in = 1,
                                       .n_out = 1,
                                       .forward = {same_forward, same_forward}};
    tg_module *own = tg_module_new(rt, &cls, NULL), *net = model();
    ck_assert_msg(own != NULL, "%s", tg_error_message());
    feed f = {0, -1};
    ck_assert_int_eq(tg_update_bn_from(tape, own, next, &f), TG_OK);
    ck_assert_int_eq(f.next, 0);
    ck_assert_int_eq(tg_nn_sequential_append(net, "own", own), TG_OK);
    ck_assert_msg(tg_update_bn_from(tape, net, next, &f) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_int_eq(f.next, BATCHES);
    tg_module_destroy(net);
}
END_TEST

START_TEST(refuses)
{
    tg_module *net = model(), *linear = tg_module_create(rt, "Flatten", NULL, 0);
    ck_assert_ptr_null(tg_averaged_model_new(NULL, 0, false));
    ck_assert_ptr_null(tg_averaged_model_new(net, 1.5, false));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "decay is 1.5"));
    ck_assert_ptr_null(tg_averaged_model_new(net, NAN, false));
    ck_assert_int_eq(tg_averaged_model_update(NULL, tape), TG_EINVAL);
    tg_tape_clear_error(tape);
    ck_assert_ptr_null(tg_averaged_module(NULL));
    /* Nothing to recalibrate: the batches are not asked for. */
    feed f = {0, -1};
    ck_assert_int_eq(tg_update_bn_from(tape, linear, next, &f), TG_OK);
    ck_assert_int_eq(f.next, 0);
    ck_assert_int_eq(tg_update_bn_from(tape, NULL, next, &f), TG_EINVAL);
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_update_bn(tape, net, NULL), TG_EINVAL);
    tg_tape_clear_error(tape);
    tg_averaged_model_destroy(NULL);
    tg_module_destroy(linear);
    tg_module_destroy(net);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ema");
    TCase *t = tcase_create("averages");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, averages, 0, N_CASES);
    tcase_add_test(t, recalibrates);
    tcase_add_test(t, frozen_statistics_stay);
    tcase_add_test(t, names_say_nothing);
    tcase_add_test(t, refuses);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
