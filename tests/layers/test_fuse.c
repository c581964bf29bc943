/* BatchNorm and ReLU beside each other in a Sequential are one row, with the same bits as two, unless somebody looks
 * at what is between them. Where nothing is recorded, a convolution takes both, or one, along. */
#include "layers/rig.h"

#include <tapegrad/backend_abi.h>
#include <tapegrad/hooks.h>

enum { N = 5, C = 3, L = 7, ALL = N * C * L };
enum { ALONE, HOOK_ON_NORM, HOOK_ON_RELU, BACKWARD_HOOK, OBSERVED, ANOMALY, OTHER_MODE, CHECKPOINT, N_LOOKS };

typedef struct result {
    double y[ALL], gx[ALL], weight[C], bias[C], mean[C], var[C];
    int64_t tracked;
} result;

static tg_status look_on(void *arg, tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                         size_t n_out)
{
    (void)m, (void)t, (void)in, (void)n_in, (void)out, (void)n_out;
    ++*(int *)arg;
    return TG_OK;
}

static tg_status look_back(void *arg, tg_module *m, tg_tape *t, tg_tensor *gx[], size_t n_in, tg_tensor *const gy[],
                           size_t n_out)
{
    (void)m, (void)t, (void)gx, (void)n_in, (void)gy, (void)n_out;
    ++*(int *)arg;
    return TG_OK;
}

static void saw(void *arg, tg_tape *t, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                tg_tensor *const out[], size_t n_out, const tg_node *rule_of)
{
    (void)t, (void)in, (void)n_in, (void)out, (void)n_out;
    *(int *)arg += !rule_of && !strcmp(op->name, "relu");
}

static void read_all(const tg_tensor *t, void *to, size_t size)
{
    ck_assert_msg(tg_tensor_read(t, to, size) == TG_OK, "%s", tg_error_message());
}

/* One channel of y is all zeros; odd: one value is NaN. */
static void compute(int look, bool eval, bool odd, result *r, int *seen)
{
    double x[ALL], w[C] = {0.5, -1.5, 0}, b[C] = {0.25, -0.5, 0};
    for (int i = 0; i < ALL; i++)
        x[i] = (double)(i * 7919 % 41) / 13 - 1.5;
    if (odd)
        x[L + 2] = NAN;
    tg_module *norm = tg_nn_batch_norm1d(rt, C), *relu = tg_nn_relu(rt);
    tg_module *net = tg_nn_sequential(rt, tg_nn_identity(rt), norm, relu);
    ck_assert_ptr_nonnull(net);
    tg_tensor *weight = tg_module_parameters(norm)->tensor[0], *bias = tg_module_parameters(norm)->tensor[1];
    tg_tensor_write(weight, w, sizeof w);
    tg_tensor_write(bias, b, sizeof b);
    *seen = 0;
    if (eval)
        tg_module_eval(net);
    if (look == OTHER_MODE)
        eval ? tg_module_train(relu) : tg_module_eval(relu);
    if (look == HOOK_ON_NORM || look == HOOK_ON_RELU)
        tg_module_register_forward_hook(look == HOOK_ON_NORM ? norm : relu, look_on, seen);
    if (look == BACKWARD_HOOK)
        tg_module_register_full_backward_hook(relu, look_back, seen);
    if (look == OBSERVED)
        tg_tape_observe(tape, &(tg_observer){.applied = saw, .arg = seen});
    if (look == ANOMALY)
        tg_tape_set_anomaly(tape, TG_ANOMALY_NAN);
    tg_tape_reset(tape);
    tg_tensor *in = tg_input(tape, TG_F64, DIMS(N, C, L), x);
    tg_tensor_set_requires_grad(in, true);
    tg_tensor *y = look == CHECKPOINT ? tg_checkpoint_forward(tape, net, in) : tg_forward(tape, net, in);
    ck_assert_msg(y != NULL, "%s", tg_tape_error(tape));
    tg_tensor *wrt[] = {in, weight, bias}, *g[3];
    ck_assert_msg(tg_grad(tape, tg_sum(tape, tg_mul(tape, y, tg_add_scalar(tape, y, 3))), NULL, wrt, 3, g, 0) == TG_OK, "%s",
                  tg_tape_error(tape));
    read_all(y, r->y, sizeof r->y);
    read_all(g[0], r->gx, sizeof r->gx);
    read_all(g[1], r->weight, sizeof r->weight);
    read_all(g[2], r->bias, sizeof r->bias);
    const tg_named_tensors *buffers = tg_module_buffers(norm);
    read_all(buffers->tensor[0], r->mean, sizeof r->mean);
    read_all(buffers->tensor[1], r->var, sizeof r->var);
    read_all(buffers->tensor[2], &r->tracked, sizeof r->tracked);
    tg_tape_observe(tape, NULL);
    tg_tape_set_anomaly(tape, TG_ANOMALY_OFF);
    tg_module_destroy(net);
}

START_TEST(one_row_with_the_bits_of_two)
{
    static result one, two;
    const bool eval = _i & 1, odd = _i & 2;
    int seen;
    rig_reopen_on_reference();
    compute(ALONE, eval, odd, &one, &seen);
    const char *row = eval ? "batch_norm_relu_eval" : "batch_norm_relu_train";
    ck_assert_uint_eq(tg_tape_count_runs(tape, row, "reference"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_relu_backward", "reference"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "relu", "reference"), 0);
    for (int look = ALONE + 1; look < N_LOOKS; look++) {
        if (odd && look == ANOMALY)
            continue;
        rig_reopen_on_reference();
        compute(look, eval, odd, &two, &seen);
        ck_assert_msg(tg_tape_count_runs(tape, row, "reference") == 0, "look %d", look);
        ck_assert_msg(tg_tape_count_runs(tape, "relu", "reference") >= 1, "look %d", look);
        ck_assert_msg(seen == (look <= OBSERVED), "look %d was called %d times", look, seen);
        ck_assert_msg(!memcmp(&one, &two, sizeof one), "look %d", look);
    }
}
END_TEST

/* Statistics that are frozen are used in train mode, too; a batch of one value a channel fails as before. */
START_TEST(frozen_and_failing)
{
    rig_reopen_on_reference();
    tg_module *norm = tg_nn_batch_norm1d(rt, C), *net = tg_nn_sequential(rt, norm, tg_nn_relu(rt));
    const double x[C] = {-1, 2, 3};
    ck_assert_ptr_null(tg_forward(tape, net, tg_input(tape, TG_F64, DIMS(1, C), x)));
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "0 (BatchNorm1d)"));
    tg_tape_clear_error(tape);
    tg_module_freeze(norm, TG_FREEZE_STATISTICS);
    tg_tensor *y = tg_forward(tape, net, tg_input(tape, TG_F64, DIMS(1, C), x));
    ck_assert_ptr_nonnull(y);
    double got[C];
    read_all(y, got, sizeof got);
    for (int c = 0; c < C; c++)
        ck_assert_double_eq_tol(got[c], x[c] < 0 ? 0 : x[c] / sqrt(1 + 1e-5), 1e-12);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_relu_eval", "reference"), 1);
    /* one that fails leaves nothing behind: the next BatchNorm is alone */
    tg_module *alone = tg_nn_batch_norm1d(rt, C);
    const double two[2 * C] = {-1, -1, -1, 1, 1, 1};
    ck_assert_ptr_nonnull(tg_forward(tape, alone, tg_input(tape, TG_F64, DIMS(2, C), two)));
    ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_train", "reference"), 1);
    tg_module_destroy(alone);
    tg_module_destroy(net);
}
END_TEST

/* -- convolutions ------------------------------------------------------------------------------------------- */

enum { IMAGES = 4, SIDE = 16, MAPS = 16, PIXELS = IMAGES * MAPS * SIDE * SIDE };
enum { CONV_NORM_RELU, CONV_NORM, CONV_RELU, N_CHAINS };
enum { NOBODY, AN_OBSERVER, RECORDING, ON_CONV, ON_SECOND, ON_LAST, NAN_WATCH, SECOND_TRAINS, N_EYES };

typedef struct chain {
    tg_module *conv, *second, *last, *norm, *net;
} chain;

static chain make_chain(int which, bool two_d)
{
    tg_conv_options o = tg_conv_defaults(MAPS, MAPS, 3);
    o.padding.v[0] = 1;
    o.bias = which != CONV_NORM;
    tg_module *norm = which == CONV_RELU ? NULL : two_d ? tg_nn_batch_norm2d(rt, MAPS) : tg_nn_batch_norm1d(rt, MAPS);
    tg_module *relu = which == CONV_NORM ? NULL : tg_nn_relu(rt);
    chain k = {.conv = tg_nn_conv2d_with(rt, &o), .norm = norm, .second = norm ? norm : relu, .last = relu ? relu : norm};
    k.net = norm && relu ? tg_nn_sequential(rt, k.conv, norm, relu) : tg_nn_sequential(rt, k.conv, k.second);
    ck_assert_ptr_nonnull(k.net);
    if (norm) {
        tg_init_normal(tg_module_parameters(norm)->tensor[0], 0, 1);
        tg_init_normal(tg_module_parameters(norm)->tensor[1], 0, 1);
        tg_init_normal(tg_module_buffers(norm)->tensor[0], 0, 3);
        tg_init_uniform(tg_module_buffers(norm)->tensor[1], 0.01, 4);
    }
    tg_module_eval(k.net);
    return k;
}

/* y, and how often the one row ran. */
static uint64_t forward_chain(const chain *k, int eye, const double *x, double *y)
{
    static float narrow[PIXELS];
    const tg_dtype dtype = tg_tensor_dtype(tg_module_parameters(k->conv)->tensor[0]);
    tg_module *hooked = eye == ON_CONV ? k->conv : eye == ON_SECOND ? k->second : eye == ON_LAST ? k->last : NULL;
    int seen = 0;
    const tg_hook hook = hooked ? tg_module_register_forward_hook(hooked, look_on, &seen) : 0;
    const uint64_t before = tg_tape_count_runs(tape, "convolution_affine", NULL);
    if (eye == AN_OBSERVER)
        tg_tape_observe(tape, &(tg_observer){.applied = saw, .arg = &seen});
    if (eye == NAN_WATCH)
        tg_tape_set_anomaly(tape, TG_ANOMALY_NAN);
    if (eye == SECOND_TRAINS)
        tg_module_train(k->last);
    tg_tape_set_recording(tape, eye == RECORDING);
    tg_tape_reset(tape);
    for (int i = 0; i < PIXELS; i++)
        narrow[i] = (float)x[i];
    tg_tensor *in = tg_input(tape, dtype, DIMS(IMAGES, MAPS, SIDE, SIDE), dtype == TG_F64 ? (const void *)x : narrow);
    tg_tensor *out = tg_forward(tape, k->net, in);
    ck_assert_msg(out != NULL, "%s", tg_tape_error(tape));
    read_all(out, dtype == TG_F64 ? (void *)y : narrow, PIXELS * tg_dtype_size(dtype));
    for (int i = 0; dtype == TG_F32 && i < PIXELS; i++)
        y[i] = (double)narrow[i];
    ck_assert_int_eq(seen, hooked != NULL || (eye == AN_OBSERVER && tg_module_class(k->last)->name[0] == 'R'));
    if (hooked)
        tg_module_remove_hook(hooked, hook);
    tg_tape_observe(tape, NULL);
    tg_tape_set_anomaly(tape, TG_ANOMALY_OFF);
    tg_tape_set_recording(tape, true);
    tg_module_eval(k->net);
    return tg_tape_count_runs(tape, "convolution_affine", NULL) - before;
}

static void fill_pixels(double *x)
{
    for (int i = 0; i < PIXELS; i++)
        x[i] = (double)(i * 7919 % 1009) / 300 - 1.7;
}

static void expect_like(const double *got, const double *want, double tolerance, const char *what, int which)
{
    for (int i = 0; i < PIXELS; i++)
        ck_assert_msg((isnan(got[i]) && isnan(want[i])) || got[i] == want[i] ||
                          fabs(got[i] - want[i]) <= tolerance * (1 + fabs(want[i])),
                      "%s, chain %d, element %d: %.17g, one by one %.17g", what, which, i, got[i], want[i]);
}

static double pixels[PIXELS], alone[PIXELS], watched[PIXELS];

/* Statistics stay as they are. */
START_TEST(a_convolution_takes_its_neighbours_along)
{
    rig_reopen_on_reference();
    const chain k = make_chain(_i, true);
    double mean[2][MAPS], var[2][MAPS];
    fill_pixels(pixels);
    for (int pass = 0; pass < 2; pass++) {
        if (k.norm) {
            read_all(tg_module_buffers(k.norm)->tensor[0], mean[pass], sizeof mean[pass]);
            read_all(tg_module_buffers(k.norm)->tensor[1], var[pass], sizeof var[pass]);
        }
        if (pass == 0)
            ck_assert_uint_eq(forward_chain(&k, NOBODY, pixels, alone), 1);
    }
    ck_assert(!k.norm || (!memcmp(mean[0], mean[1], sizeof *mean) && !memcmp(var[0], var[1], sizeof *var)));
    for (int eye = NOBODY + 1; eye < N_EYES; eye++) {
        if (eye == SECOND_TRAINS && _i == CONV_NORM)
            continue;
        const uint64_t ran = forward_chain(&k, eye, pixels, watched);
        /* a hook, or a mode, on the last leaves the two before it to each other */
        const uint64_t want = _i == CONV_NORM_RELU && (eye == ON_LAST || eye == SECOND_TRAINS);
        ck_assert_msg(ran == want, "eye %d: %d runs", eye, (int)ran);
        expect_like(alone, watched, 1e-12, "watched", _i);
    }
    tg_module_destroy(k.net);
}
END_TEST

/* In f32 on the environment's chain: what is not finite comes out as it does one by one. */
START_TEST(what_is_not_finite_stays)
{
    const double odd[] = {0, (double)NAN, (double)INFINITY, (double)-INFINITY};
    rig_close();
    ck_assert_int_eq(rig_open_runtime(TG_F32, 2, NULL), TG_OK);
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    for (int which = 0; which < N_CHAINS; which++) {
        const chain k = make_chain(which, true);
        fill_pixels(pixels);
        pixels[PIXELS / 2 + 5 * SIDE + 7] = odd[_i];
        ck_assert_uint_eq(forward_chain(&k, NOBODY, pixels, alone), 1);
        ck_assert_uint_eq(forward_chain(&k, RECORDING, pixels, watched), 0);
        expect_like(alone, watched, 2e-5, "odd", which);
        int n_nan = 0;
        for (int i = 0; i < PIXELS; i++)
            n_nan += isnan(alone[i]) != 0;
        ck_assert_int_eq(n_nan > 0, _i == 1);
        tg_module_destroy(k.net);
    }
}
END_TEST

/* With statistics of its own batch a BatchNorm stays apart, and frozen ones are constants in train mode. */
START_TEST(only_constants_are_taken_along)
{
    rig_reopen_on_reference();
    const chain k = make_chain(CONV_NORM, true);
    double x[2 * MAPS * 4];
    fill_pixels(pixels);
    memcpy(x, pixels, sizeof x);
    tg_tape_set_recording(tape, false);
    tg_module_train(k.net);
    const struct {
        bool freeze;
        int64_t side;
        const char *row;
    } cases[] = {{false, SIDE, "batch_norm_train"}, {true, SIDE, "convolution_affine"}, {true, 2, "batch_norm_eval"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].freeze)
            tg_module_freeze(k.norm, TG_FREEZE_STATISTICS);
        tg_tape_reset(tape);
        const int64_t images = cases[i].side == 2 ? 2 : IMAGES;
        tg_tensor *in = tg_input(tape, TG_F64, DIMS(images, MAPS, cases[i].side, cases[i].side), images == 2 ? x : pixels);
        ck_assert_msg(tg_forward(tape, k.net, in) != NULL, "%s", tg_tape_error(tape));
        ck_assert_msg(tg_tape_count_runs(tape, cases[i].row, "reference") == 1, "%s", cases[i].row);
    }
    ck_assert_uint_eq(tg_tape_count_runs(tape, "convolution_affine", NULL), 1);
    tg_module_destroy(k.net);
    /* what BatchNorm refuses it refuses behind a convolution, and what a convolution does, too */
    const chain wrong = make_chain(CONV_NORM_RELU, false);
    tg_tensor *in = tg_input(tape, TG_F64, DIMS(IMAGES, MAPS, SIDE, SIDE), pixels);
    ck_assert_ptr_null(tg_forward(tape, wrong.net, in));
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "1 (BatchNorm1d)"));
    tg_tape_clear_error(tape);
    const chain right = make_chain(CONV_NORM_RELU, true);
    ck_assert_ptr_null(tg_forward(tape, right.net, tg_input(tape, TG_F64, DIMS(IMAGES, MAPS / 2, SIDE, 2 * SIDE), pixels)));
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "0 (Conv2d): got"));
    tg_tape_clear_error(tape);
    tg_tape_set_recording(tape, true);
    tg_module_destroy(wrong.net);
    tg_module_destroy(right.net);
}
END_TEST

static tg_accept refuse(tg_backend_state *s, const tg_call *c, const char **reason)
{
    (void)s, (void)c;
    *reason = "it is there to be known";
    return TG_REFUSE;
}

static tg_status run_never(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)c, (void)p, (void)r;
    return TG_EBACKEND;
}

static int score(const char **reason)
{
    *reason = "any";
    return 1;
}

static tg_status open_nothing(const tg_host *host, tg_backend_state **out)
{
    (void)host;
    *out = NULL;
    return TG_OK;
}

/* A backend that knows convolution alone would lose all of them to the next. */
START_TEST(whoever_convolves_must_know_the_row)
{
    static const tg_kernel kernel = {
        .struct_size = sizeof(tg_kernel), .version = 1, .op = "convolution", .accept = refuse, .run = run_never};
    static const tg_backend old = {.struct_size = sizeof(tg_backend),
                                   .abi_major = TG_ABI_MAJOR,
                                   .abi_minor = TG_ABI_MINOR,
                                   .n_kernels = 1,
                                   .kernel_stride = sizeof(tg_kernel),
                                   .name = "old",
                                   .kernels = &kernel,
                                   .score = score,
                                   .open = open_nothing};
    const tg_backend *const given[] = {&old};
    rig_close();
    const tg_runtime_options options = {.struct_size = sizeof options,
                                        .backend = "old,reference",
                                        .allocator = &(tg_allocator){rig_alloc, rig_free, NULL},
                                        .dtype = TG_F64,
                                        .backends = given,
                                        .n_backends = 1};
    ck_assert_msg(tg_runtime_open(&rt, &options) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    const chain k = make_chain(CONV_NORM_RELU, true);
    fill_pixels(pixels);
    ck_assert_uint_eq(forward_chain(&k, NOBODY, pixels, alone), 0);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "convolution", "reference"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "batch_norm_relu_eval", "reference"), 1);
    tg_module_destroy(k.net);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("fuse");
    TCase *t = tcase_create("fuse");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, one_row_with_the_bits_of_two, 0, 4);
    tcase_add_test(t, frozen_and_failing);
    tcase_add_loop_test(t, a_convolution_takes_its_neighbours_along, 0, N_CHAINS);
    tcase_add_loop_test(t, what_is_not_finite_stays, 0, 4);
    tcase_add_test(t, only_constants_are_taken_along);
    tcase_add_test(t, whoever_convolves_must_know_the_row);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
