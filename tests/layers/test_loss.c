/* Losses as modules: arguments, buffers, refusals with the module's path, and values at the edges: those of
 * PyTorch 2.14, in f64, unless a line says otherwise. The plain values are in the golden cases. */
#include "layers/rig.h"

#include <tapegrad/gradcheck.h>

static const tg_reduction none = TG_REDUCE_NONE, mean = TG_REDUCE_MEAN, sum = TG_REDUCE_SUM;
#define V(...)                                                                                               \
    (const double[])                                                                                         \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define WHOLE(...)                                                                                           \
    (const int64_t[])                                                                                        \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static tg_tensor *wants(tg_tensor *x)
{
    ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
    return x;
}

static tg_tensor *whole(const int64_t *dims, size_t ndim, const int64_t *values)
{
    tg_tensor *x = tg_input(tape, TG_I64, dims, ndim, values);
    ck_assert_msg(x != NULL, "%s", tg_tape_error(tape));
    return x;
}

/* NaN is NaN, and an infinity its like. */
static void same(const char *what, const tg_tensor *t, const double *want, double tolerance)
{
    double got[256];
    ck_assert_msg(t != NULL, "%s: %s", what, tg_tape_error(tape));
    size_t n = (size_t)tg_tensor_count(t);
    ck_assert_uint_le(n, 256);
    get(t, got, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(got[i] == want[i] || (isnan(got[i]) && isnan(want[i])) ||
                          fabs(got[i] - want[i]) <= tolerance * (1 + fabs(want[i])),
                      "%s, element %zu: got %.17g, want %.17g", what, i, got[i], want[i]);
}

/* Calls and destroys the module; in[i]'s gradient of the outputs' sum is gx[i], where that is not NULL. */
static void check(tg_module *m, tg_tensor *const in[], size_t n, const double *want, const double *const gx[])
{
    tg_tensor *y = NULL;
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    const char *name = tg_module_class_name(m);
    ck_assert_msg(tg_forward_n(tape, m, in, n, &y, 1) == TG_OK, "%s", tg_tape_error(tape));
    same(name, y, want, 1e-11);
    if (gx)
        ck_assert_msg(tg_backward_with(tape, y, tg_ones_like(tape, y), 0) == TG_OK, "%s",
                      tg_tape_error(tape));
    for (size_t i = 0; gx && i < n; i++)
        if (gx[i])
            same(name, tg_tensor_grad(in[i]), gx[i], 1e-11);
    tg_module_destroy(m);
}
#define CHECK(m, want, gx, ...)                                                                              \
    check(m, (tg_tensor *const[]){__VA_ARGS__}, sizeof((tg_tensor *const[]){__VA_ARGS__}) / sizeof(void *),  \
          want, gx)
#define GRADIENTS(...)                                                                                       \
    (const double *const[4])                                                                                 \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

/* -- values --------------------------------------------------------------------------------------------- */

START_TEST(differences_at_the_edges)
{
    const double x[] = {-INFINITY, INFINITY, NAN, 1000, -1000, 1, 0};
    tg_tensor *zero = input(DIMS(7), (double[7]){0});
    CHECK(tg_nn_l1_loss(rt, none), V(INFINITY, INFINITY, NAN, 1000, 1000, 1, 0), NULL, input(DIMS(7), x),
          zero);
    CHECK(tg_nn_smooth_l1_loss(rt, 1, none), V(INFINITY, INFINITY, NAN, 999.5, 999.5, .5, 0),
          GRADIENTS(V(-1, 1, NAN, 1, -1, 1, 0)), wants(input(DIMS(7), x)), zero);
    CHECK(tg_nn_huber_loss(rt, 2, none), V(INFINITY, INFINITY, NAN, 1998, 1998, .5, 0),
          GRADIENTS(V(-2, 2, NAN, 2, -2, 1, 0)), wants(input(DIMS(7), x)), zero);
    CHECK(tg_nn_smooth_l1_loss(rt, 0, sum), V(2001), GRADIENTS(V(1, -1, 1, 0)), wants(input(DIMS(4), x + 3)),
          input(DIMS(4), (double[4]){0}));
}
END_TEST

/* torch's soft_margin_loss overflows at −1000: ∞ and NaN. Here it is the line that it tends to. */
START_TEST(logits_at_the_edges)
{
    const double x[] = {1000, -1000, 1, 0};
    CHECK(tg_nn_soft_margin_loss(rt, none), V(0, 1000, 0.313261687518223, 0.693147180559945),
          GRADIENTS(V(0, -1, -0.268941421369995, -0.5)), wants(input(DIMS(4), x)),
          input(DIMS(4), V(1, 1, 1, 1)));
    CHECK(tg_nn_bce_with_logits_loss(rt, NULL, NULL, none), V(1000, 0, 1.31326168751822, 0.693147180559945),
          GRADIENTS(V(1, 0, 0.731058578630005, 0.5)), wants(input(DIMS(4), x)),
          input(DIMS(4), (double[4]){0}));
    CHECK(tg_nn_bce_with_logits_loss(rt, input(DIMS(2), V(2, .5)), input(DIMS(2), V(3, .5)), none),
          V(1.87957012510934, 0.0634640055214863, 2.21704634937634, 2.33940574220993e-14),
          GRADIENTS(V(-1.61364852821997, 0.0596014610110588, 0.191869859845935, -2.33701946683595e-14),
                    V(-0.746953249927108, 0.468267997239257, 0.896307936720427, -15)),
          wants(input(DIMS(2, 2), V(1, -2, .5, 30))), wants(input(DIMS(2, 2), V(1, 0, .3, 1))));
    CHECK(tg_nn_multilabel_soft_margin_loss(rt, input(DIMS(3), V(1, 2, .5)), none),
          V(0.6135581329456, 534.452570972904),
          GRADIENTS(V(-0.158340270840353, 0.300110668458348, -1.55960382813988e-14, 0.19148083893722,
                      0.666666666666667, -0.165551191512619)),
          wants(input(DIMS(2, 3), V(.1, -.2, 30, .3, 800, -5))), whole(DIMS(2, 3), WHOLE(1, 0, 1, 0, 0, 1)));
}
END_TEST

/* The gradient of Stirling's part at a target of 0 or less is torch's NaN; here what is left out has none. */
START_TEST(densities)
{
    CHECK(tg_nn_gaussian_nll_loss(rt, true, .1, none),
          V(4.76764598670765, 4.76764598670765, 2.82801212348465, INFINITY),
          GRADIENTS(V(10, 10, -1.25, 0), V(-10, -10, 1.25, 0), V(-45, -45, -0.53125, 0)),
          wants(input(DIMS(4), V(1, 2, .5, 0))), wants(input(DIMS(4), V(0, 1, 3, 2.5))),
          wants(input(DIMS(4), V(0, .05, 2, INFINITY))));
    CHECK(tg_nn_gaussian_nll_loss(rt, false, 1e-6, sum), V(5.125),
          GRADIENTS(V(2, 2, -1.25, -1.25), V(-2, -2, 1.25, 1.25), V(-2, -1.0625)),
          wants(input(DIMS(2, 2), V(1, 2, .5, 0))), wants(input(DIMS(2, 2), V(0, 1, 3, 2.5))),
          wants(input(DIMS(2), V(.5, 2))));
    CHECK(tg_nn_poisson_nll_loss(rt, true, true, 1e-8, none),
          V(2.71828182845905, 5.38905609893065, 1.91280281424318, 2.09774819059244),
          GRADIENTS(V(2.71828182845905, 6.38905609893065, -1.35127872929987, -1.13212055882856),
                    V(-1, -2, 0.765278955334777, 1.7387984414415)),
          wants(input(DIMS(4), V(1, 2, .5, -1))), wants(input(DIMS(4), V(0, 1, 3, 1.5))));
    CHECK(tg_nn_kl_div_loss(rt, false, none), V(0.153426409720027, 0, NAN, INFINITY),
          GRADIENTS(V(-.5, 0, 0, -.5)), wants(input(DIMS(4), V(-1, -2, -INFINITY, -INFINITY))),
          input(DIMS(4), V(.5, 0, 0, .5)));
    CHECK(tg_nn_kl_div_loss(rt, false, TG_REDUCE_BATCHMEAN), V(0.812965545113), NULL,
          input(DIMS(3, 2), V(-1, -2, -.1, -.2, -3, -.7)), input(DIMS(3, 2), V(.5, .2, .3, .3, 1, .1)));
}
END_TEST

START_TEST(margins)
{
    CHECK(tg_nn_hinge_embedding_loss(rt, .7, none), V(.2, .4, 0, -1, NAN, .7, 2),
          GRADIENTS(V(1, -1, 0, 1, 0, 0, 1)), wants(input(DIMS(7), V(.2, .3, .7, -1, NAN, .4, 2))),
          input(DIMS(7), V(1, -1, -1, 1, -1, 0, .5)));
    CHECK(tg_nn_margin_ranking_loss(rt, .5, none), V(0, 0, 1, NAN), GRADIENTS(V(0, 0, -1, 0), V(0, 0, 1, 0)),
          wants(input(DIMS(4), V(1, 1, .5, 2))), wants(input(DIMS(4), V(.5, 2, 1, NAN))),
          whole(DIMS(4), WHOLE(1, -1, 1, 0)));
    CHECK(tg_nn_cosine_embedding_loss(rt, .2, none), V(.2, 0.694427191, 0, 0),
          GRADIENTS(V(-.24, .12, -0.0447213595499958, 0.134164078649987, 0, 0, 0, 0)),
          wants(input(DIMS(4, 2), V(1, 2, 3, 1, 0, 0, 1, 1))), input(DIMS(4, 2), V(2, 1, 1, 1, 1, 1, 1, 2)),
          whole(DIMS(4), WHOLE(1, -1, -1, 0)));
    CHECK(tg_nn_cosine_embedding_loss(rt, .2, mean), V(.6), NULL, input(DIMS(2), V(1, 2)),
          input(DIMS(2), V(2, 1)), whole(NULL, 0, WHOLE(-1)));
    CHECK(tg_nn_multi_margin_loss(rt, 2, .5, input(DIMS(3), V(1, 2, .5)), none),
          V(0.0866666666666667, .03, INFINITY),
          GRADIENTS(V(0.266666666666667, -0.666666666666667, .4, -.2, 0, .2, INFINITY, .2, -INFINITY)),
          wants(input(DIMS(3, 3), V(.1, .4, .2, .5, NAN, .3, INFINITY, 1, .9))),
          whole(DIMS(3), WHOLE(1, 0, 2)));
    CHECK(tg_nn_multi_margin_loss(rt, 1, 1, NULL, none), V(.9), NULL, input(DIMS(3), V(.1, .4, 1.4)),
          whole(NULL, 0, WHOLE(1)));
    CHECK(tg_nn_multilabel_margin_loss(rt, none), V(.85, .7, 0),
          GRADIENTS(V(-.5, .5, .5, -.5, .5, 0, -1, .5, 0, 0, 0, 0), NULL),
          wants(input(DIMS(3, 4), V(.1, .2, .4, .8, .3, NAN, .5, .1, 1, 2, 3, 4))),
          whole(DIMS(3, 4), WHOLE(3, 0, -1, 1, 2, 2, -1, 0, -1, 1, 2, 3)));
    CHECK(tg_nn_triplet_margin_loss(rt, .7, 1, 0, true, none), V(.45, 1.7),
          GRADIENTS(V(-1, 0, 1, -1), V(2, 1, 0, 1), V(-1, -1, -1, 0)),
          wants(input(DIMS(2, 2), V(1, 2, 0, 1))), wants(input(DIMS(2, 2), V(1.5, 2, 0, 3))),
          wants(input(DIMS(2, 2), V(2, 2.25, 1, 1))));
    CHECK(tg_nn_pairwise_distance(rt, 3, 0, true), V(.5, 2), NULL, input(DIMS(2, 2), V(1, 2, 0, 1)),
          input(DIMS(2, 2), V(1.5, 2, 0, 3)));
    CHECK(tg_nn_cosine_similarity(rt, 0, 1e-8), V(.8), NULL, input(DIMS(2), V(1, 2)),
          input(DIMS(2), V(2, 1)));
}
END_TEST

/* The mean of nothing is NaN, its sum 0. */
START_TEST(of_nothing)
{
    for (int how = TG_REDUCE_MEAN; how <= TG_REDUCE_SUM; how++) {
        const tg_reduction r = (tg_reduction)how;
        const double want[] = {r == mean ? NAN : 0};
        tg_tensor *x = input(DIMS(0, 3), NULL), *t = whole(DIMS(0), NULL), *rows = whole(DIMS(0, 3), NULL);
        tg_module *const pairs[] = {tg_nn_l1_loss(rt, r),
                                    tg_nn_huber_loss(rt, 1, r),
                                    tg_nn_soft_margin_loss(rt, r),
                                    tg_nn_kl_div_loss(rt, false, r),
                                    tg_nn_poisson_nll_loss(rt, true, true, 1e-8, r),
                                    tg_nn_hinge_embedding_loss(rt, 1, r),
                                    tg_nn_bce_loss(rt, NULL, r),
                                    tg_nn_bce_with_logits_loss(rt, NULL, NULL, r)};
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            CHECK(pairs[i], want, NULL, x, x);
        CHECK(tg_nn_gaussian_nll_loss(rt, true, 1e-6, r), want, NULL, x, x, x);
        CHECK(tg_nn_multi_margin_loss(rt, 1, 1, NULL, r), want, NULL, x, t);
        CHECK(tg_nn_multilabel_margin_loss(rt, r), want, NULL, x, rows);
        CHECK(tg_nn_ctc_loss(rt, 0, false, r), want, NULL, input(DIMS(4, 0, 3), NULL),
              whole(DIMS(0, 2), NULL), t, t);
    }
}
END_TEST

/* -- CTC ------------------------------------------------------------------------------------------------ */

enum { T = 6, N = 5, C = 4 };

static tg_tensor *log_probs(bool wants_gradient, tg_tensor **logits)
{
    double x[T * N * C];
    for (int i = 0; i < T * N * C; i++)
        x[i] = .1 * ((7 * (i / C / N) + 5 * (i / C % N) + 3 * (i % C)) % 11) - .4;
    tg_tensor *raw = input(DIMS(T, N, C), x);
    if (logits)
        *logits = wants(raw);
    tg_tensor *y = tg_log_softmax(tape, raw, 2);
    return wants_gradient ? wants(tg_detach(tape, y)) : y;
}

/* A repetition, a target as long as its sequence, an empty one, one without an alignment, and no time at all;
 * what is behind the lengths is never looked at. */
static const int64_t labels[] = {1, 1, 2, 3, 2, 1, 9, 9, 9, 2, 2, 2, 1, -5, 77},
                     joined[] = {1, 1, 2, 3, 2, 1, 2, 2, 2, 1}, input_lengths[] = {6, 4, 6, 4, 0},
                     target_lengths[] = {3, 3, 0, 3, 1};

START_TEST(alignments)
{
    const double each[] = {4.87831405885132, 3.67076320889911, 8.26810588106372, INFINITY, INFINITY},
                 zeroed[] = {4.87831405885132, 3.67076320889911, 8.26810588106372, 0, 0};
    tg_tensor *x = log_probs(false, NULL), *t = whole(DIMS(N, 3), labels),
              *in = whole(DIMS(N), input_lengths), *out = whole(DIMS(N), target_lengths),
              *list = whole(DIMS(10), joined);
    CHECK(tg_nn_ctc_loss(rt, 0, false, none), each, NULL, x, t, in, out);
    CHECK(tg_nn_ctc_loss(rt, 0, false, none), each, NULL, x, list, in, out);
    CHECK(tg_nn_ctc_loss(rt, 0, true, none), zeroed, NULL, x, list, in, out);
    CHECK(tg_nn_ctc_loss(rt, 0, true, mean), V(2.22355966072944), NULL, x, t, in, out);
    CHECK(tg_nn_ctc_loss(rt, 0, true, sum), V(16.8171831488141), NULL, x, t, in, out);
    CHECK(tg_nn_ctc_loss(rt, 0, false, mean), V(INFINITY), NULL, x, t, in, out);
    CHECK(tg_nn_ctc_loss(rt, 3, false, none),
          V(5.16270140476994, 3.85569541749333, 8.36810588106372, INFINITY, INFINITY), NULL, x,
          whole(DIMS(N, 3), WHOLE(0, 1, 1, 2, 0, 1, 0, 0, 0, 2, 2, 2, 1, 0, 0)), in, out);
    CHECK(tg_nn_ctc_loss(rt, 0, false, none), V(0, 1.02843222864863, 5.25877661325095, 3.49942105076416, 0),
          NULL, x, whole(DIMS(N, 1), WHOLE(1, 1, 1, 1, 1)), whole(DIMS(N), WHOLE(0, 1, 6, 2, 0)),
          whole(DIMS(N), WHOLE(0, 1, 1, 0, 0)));
    CHECK(tg_nn_ctc_loss(rt, 0, false, none), each, NULL, tg_select(tape, x, 1, 0), whole(DIMS(3), labels),
          whole(NULL, 0, WHOLE(6)), whole(NULL, 0, WHOLE(3)));
    CHECK(tg_nn_ctc_loss(rt, 0, false, none), V(3.78501876816), NULL, tg_select(tape, x, 1, 0),
          whole(DIMS(3), WHOLE(1, 0, 2)), whole(DIMS(1), WHOLE(6)),
          whole(DIMS(1), WHOLE(3))); /* a blank as a label */
}
END_TEST

START_TEST(gradients_of_alignments)
{
    for (int zero = 0; zero < 2; zero++) {
        tg_tensor *x = log_probs(true, NULL);
        tg_tensor *y = tg_ctc_loss(tape, x, whole(DIMS(N, 3), labels), whole(DIMS(N), input_lengths),
                                   whole(DIMS(N), target_lengths), 0, zero, none);
        double g[T][N][C];
        ck_assert_int_eq(tg_backward_with(tape, y, tg_ones_like(tape, y), 0), TG_OK);
        get(tg_tensor_grad(x), &g[0][0][0], T * N * C);
        near_to(g[0][0], V(-0.135787421784542, -0.509868884441254, 0.27476387268213, 0.370892433543665), C,
                1e-12);
        near_to(g[3][1], V(0.127058105656844, -0.656211356542414, 0.365102239716761, 0.16405101116881), C,
                1e-12);
        near_to(g[4][1], V(0, 0, 0, 0), C, 0); /* behind its length */
        near_to(g[5][2], V(-0.849206389493789, 0.203550083267994, 0.27476387268213, 0.370892433543665), C,
                1e-12);
        for (int c = 0; c < C; c++) {
            ck_assert(zero ? g[3][3][c] == 0 : isnan(g[3][3][c])); /* no alignment */
            ck_assert(g[4][3][c] == 0 && g[0][4][c] == 0);
        }
    }
}
END_TEST

static tg_status of_logits(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                           size_t n_out)
{
    (void)n_in, (void)n_out;
    tg_tensor *const *rest = arg;
    out[0] = tg_ctc_loss(t, tg_log_softmax(t, in[0], 2), rest[0], rest[1], rest[2], 0, true, none);
    return tg_tape_status(t);
}

/* Behind log_softmax its gradient is the true one. A second one it has not. */
START_TEST(gradient_by_logits)
{
    tg_tensor *x, *g = NULL, *gg = NULL, *rest[] = {NULL, NULL, NULL};
    ck_assert_int_eq(tg_tensor_create(&rest[0], rt, TG_I64, DIMS(N, 3)), TG_OK);
    ck_assert_int_eq(tg_tensor_create(&rest[1], rt, TG_I64, DIMS(N)), TG_OK);
    ck_assert_int_eq(tg_tensor_create(&rest[2], rt, TG_I64, DIMS(N)), TG_OK);
    ck_assert_int_eq(tg_tensor_create(&x, rt, TG_F64, DIMS(T, N, C)), TG_OK);
    ck_assert_int_eq(tg_tensor_write(rest[0], labels, sizeof labels), TG_OK);
    ck_assert_int_eq(tg_tensor_write(rest[1], input_lengths, sizeof input_lengths), TG_OK);
    ck_assert_int_eq(tg_tensor_write(rest[2], target_lengths, sizeof target_lengths), TG_OK);
    ck_assert_int_eq(tg_init_uniform(wants(x), -2, 2), TG_OK);
    tg_gradcheck_options options = tg_gradcheck_defaults();
    options.order = 1;
    ck_assert_msg(tg_gradcheck(tape, of_logits, rest, &x, 1, 1, &options) == TG_OK, "%s",
                  tg_tape_error(tape));
    tg_tensor *y = NULL;
    ck_assert_int_eq(of_logits(rest, tape, &x, 1, &y, 1), TG_OK);
    ck_assert_int_eq(tg_grad(tape, tg_sum(tape, y), NULL, &x, 1, &g, TG_CREATE_GRAPH), TG_OK);
    ck_assert_int_eq(tg_grad(tape, tg_sum(tape, tg_square(tape, g)), NULL, &x, 1, &gg, 0), TG_ENODERIV);
    tape_failed_with(TG_ENODERIV, "ctc_loss is once differentiable");
    tg_tape_reset(tape);
    for (int i = 0; i < 3; i++)
        tg_tensor_destroy(rest[i]);
    tg_tensor_destroy(x);
}
END_TEST

/* A class that cannot be costs nothing where the path goes round it; torch's gradient is NaN for it. */
START_TEST(an_impossible_class)
{
    const double x[] = {-.7, -.7, -INFINITY, -.7, -.7, -INFINITY};
    double g[6];
    tg_tensor *lp = wants(input(DIMS(2, 1, 3), x));
    tg_tensor *y = tg_ctc_loss(tape, lp, whole(DIMS(1, 1), WHOLE(1)), whole(DIMS(1), WHOLE(2)),
                               whole(DIMS(1), WHOLE(1)), 0, false, sum);
    ck_assert_double_eq_tol(item(y), 1.4 - log(3), 1e-14);
    ck_assert_int_eq(tg_backward(tape, y), TG_OK);
    get(tg_tensor_grad(lp), g, 6);
    near_to(g, V(exp(-.7) - 1. / 3, exp(-.7) - 2. / 3, 0, exp(-.7) - 1. / 3, exp(-.7) - 2. / 3, 0), 6, 1e-14);
}
END_TEST

/* -- arguments ------------------------------------------------------------------------------------------ */

START_TEST(constructors_give_their_class)
{
    const struct {
        const char *cls;
        tg_module *m;
    } all[] = {
        {"MSELoss", tg_nn_mse_loss(rt, mean)},
        {"L1Loss", tg_nn_l1_loss(rt, mean)},
        {"SmoothL1Loss", tg_nn_smooth_l1_loss(rt, 1, mean)},
        {"HuberLoss", tg_nn_huber_loss(rt, 1, mean)},
        {"BCELoss", tg_nn_bce_loss(rt, NULL, mean)},
        {"BCEWithLogitsLoss", tg_nn_bce_with_logits_loss(rt, NULL, NULL, mean)},
        {"KLDivLoss", tg_nn_kl_div_loss(rt, false, mean)},
        {"PoissonNLLLoss", tg_nn_poisson_nll_loss(rt, true, false, 1e-8, mean)},
        {"GaussianNLLLoss", tg_nn_gaussian_nll_loss(rt, false, 1e-6, mean)},
        {"HingeEmbeddingLoss", tg_nn_hinge_embedding_loss(rt, 1, mean)},
        {"MarginRankingLoss", tg_nn_margin_ranking_loss(rt, 0, mean)},
        {"CosineEmbeddingLoss", tg_nn_cosine_embedding_loss(rt, 0, mean)},
        {"SoftMarginLoss", tg_nn_soft_margin_loss(rt, mean)},
        {"MultiMarginLoss", tg_nn_multi_margin_loss(rt, 1, 1, NULL, mean)},
        {"MultiLabelMarginLoss", tg_nn_multilabel_margin_loss(rt, mean)},
        {"MultiLabelSoftMarginLoss", tg_nn_multilabel_soft_margin_loss(rt, NULL, mean)},
        {"TripletMarginLoss", tg_nn_triplet_margin_loss(rt, 1, 2, 1e-6, false, mean)},
        {"CTCLoss", tg_nn_ctc_loss(rt, 0, false, mean)},
        {"CosineSimilarity", tg_nn_cosine_similarity(rt, 1, 1e-8)},
        {"PairwiseDistance", tg_nn_pairwise_distance(rt, 2, 1e-6, false)},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ck_assert_msg(all[i].m != NULL, "%s: %s", all[i].cls, tg_error_message());
        ck_assert_ptr_eq(tg_module_class(all[i].m), tg_layer_find(rt, all[i].cls));
        /* By name, the defaults are torch's, which are the arguments above. */
        tg_module *named = tg_module_create(rt, all[i].cls, NULL, 0);
        ck_assert_msg(named != NULL, "%s: %s", all[i].cls, tg_error_message());
        for (const tg_attr_spec *s = tg_module_class(named)->attrs; s->name; s++)
            ck_assert_msg(!memcmp((const char *)tg_module_attrs(named) + s->offset,
                                  (const char *)tg_module_attrs(all[i].m) + s->offset,
                                  s->type == TG_ATTR_BOOL ? 1 : 8),
                          "%s: %s has another default", all[i].cls, s->name);
        tg_module_destroy(named);
        tg_module_destroy(all[i].m);
    }
}
END_TEST

START_TEST(weights_are_buffers)
{
    double got[2];
    tg_tensor *w = input(DIMS(2), V(2, .5)), *scale = input(NULL, 0, V(3));
    tg_module *m = tg_nn_bce_with_logits_loss(rt, scale, w, sum);
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    tg_discard(w);
    ck_assert_uint_eq(tg_module_buffers(m)->n, 2);
    ck_assert_uint_eq(tg_module_parameters(m)->n, 0);
    get(tg_module_tensor(m, "pos_weight"), got, 2);
    near_to(got, V(2, .5), 2, 0);
    ck_assert_int_eq(tg_tensor_ndim(tg_module_tensor(m, "weight")), 0);
    put(tg_module_tensor(m, "weight"), V(1), 1); /* as a file would */
    CHECK(m, V(2.5 * log(2)), NULL, input(DIMS(1, 2), V(0, 0)), input(DIMS(1, 2), V(1, 1)));
    ck_assert_ptr_null(tg_nn_multi_margin_loss(rt, 1, 1, scale, mean));
    failed_with(TG_ESHAPE, TG_ESHAPE, "MultiMarginLoss: weight is f64[], expected one number per class");
    ck_assert_ptr_null(tg_nn_bce_loss(rt, whole(DIMS(1), WHOLE(1)), mean));
    failed_with(TG_EDTYPE, TG_EDTYPE, "BCELoss: weight is i64[1], expected f32 or f64");
}
END_TEST

static void refused(tg_module *m, const char *words)
{
    ck_assert_ptr_null(m);
    failed_with(TG_EINVAL, TG_EINVAL, words);
}

START_TEST(wrong_arguments)
{
    refused(tg_nn_l1_loss(rt, (tg_reduction)7), "L1Loss: reduction is 7, expected TG_REDUCE_NONE");
    refused(tg_nn_huber_loss(rt, 1, TG_REDUCE_BATCHMEAN), "HuberLoss: reduction is 3");
    refused(tg_nn_kl_div_loss(rt, false, (tg_reduction)4), "KLDivLoss: reduction is 4");
    refused(tg_nn_huber_loss(rt, 0, mean), "HuberLoss: delta is 0, expected a number above 0");
    refused(tg_nn_smooth_l1_loss(rt, -1, mean), "SmoothL1Loss: beta is -1, expected a number of at least 0");
    refused(tg_nn_gaussian_nll_loss(rt, false, NAN, mean), "GaussianNLLLoss: eps is nan");
    refused(tg_nn_triplet_margin_loss(rt, 0, 2, 1e-6, false, mean), "TripletMarginLoss: margin is 0");
    refused(tg_nn_multi_margin_loss(rt, 3, 1, NULL, mean),
            "MultiMarginLoss: p is 3, expected a number between 1 and 2");
    refused(tg_nn_ctc_loss(rt, -1, false, mean), "CTCLoss: blank is -1");
    refused(tg_module_create(rt, "KLDivLoss", (tg_attr[]){{"reduction", TG_ATTR_CHOICE, {.s = "avg"}}}, 1),
            "avg");
    refused(tg_module_create(rt, "L1Loss", (tg_attr[]){{"reduction", TG_ATTR_CHOICE, {.s = "batchmean"}}}, 1),
            "batchmean");
}
END_TEST

/* -- inputs --------------------------------------------------------------------------------------------- */

/* The module as "head" of another one, called with inputs that do not fit. */
static tg_module *head;

static tg_status put_head(tg_module *m, const void *attrs)
{
    (void)attrs;
    return tg_module_add_child(m, "head", head);
}

static tg_status call_head(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)m;
    while (n > 0 && !in[n - 1])
        n--;
    return tg_forward_n(t, head, in, n, out, 1);
}

static void bad(tg_module *m, tg_status status, const char *words, tg_tensor *a, tg_tensor *b, tg_tensor *c,
                tg_tensor *d)
{
    static const tg_layer_class box = {.struct_size = sizeof(tg_layer_class),
                                       .name = "Box",
                                       .n_in = 4,
                                       .n_out = 1,
                                       .optional = TG_OP_IN(2) | TG_OP_IN(3),
                                       .init = put_head,
                                       .forward = {call_head, call_head}};
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    head = m;
    tg_tensor *const in[] = {a, b, c, d};
    tg_tensor *y = NULL;
    tg_module *outer = tg_module_new(rt, &box, NULL);
    ck_assert_msg(outer != NULL, "%s", tg_error_message());
    const size_t nodes = tg_tape_size(tape);
    ck_assert_int_eq(tg_forward_n(tape, outer, in, 4, &y, 1), status);
    ck_assert_msg(strncmp(tg_tape_error(tape), "head (", 6) == 0, "no path in front of: %s",
                  tg_tape_error(tape));
    tape_failed_with(status, words);
    ck_assert_uint_eq(tg_tape_size(tape), nodes);
    tg_module_destroy(outer);
}

START_TEST(wrong_inputs)
{
    tg_tensor *x = input(DIMS(2, 3), V(.1, .2, .3, .4, .5, .6)),
              *y = input(DIMS(3, 2), V(.1, .2, .3, .4, .5, .6)), *row = input(DIMS(2), V(1, -1)),
              *i = whole(DIMS(2, 3), WHOLE(0, 1, 2, 2, 3, 0)), *two = whole(DIMS(2), WHOLE(0, 3));
    bad(tg_nn_l1_loss(rt, mean), TG_ESHAPE,
        "L1Loss): l1_loss: target f64[3, 2] has not the dims of input f64[2, 3]", x, y, NULL, NULL);
    bad(tg_nn_huber_loss(rt, 1, mean), TG_EDTYPE, "huber_loss: input must be f32 or f64, not i64", i, x, NULL,
        NULL);
    bad(tg_nn_bce_loss(rt, NULL, mean), TG_EINVAL, "target has values from 1.1 to 1.6, expected 0 … 1", x,
        tg_add_scalar(tape, x, 1), NULL, NULL);
    bad(tg_nn_bce_with_logits_loss(rt, row, NULL, mean), TG_ESHAPE, "bce_with_logits", x, x, NULL, NULL);
    bad(tg_nn_bce_with_logits_loss(rt, NULL, NULL, mean), TG_ESHAPE, "target f64[2] has not the dims", x, row,
        NULL, NULL);
    bad(tg_nn_gaussian_nll_loss(rt, false, 1, mean), TG_EINVAL,
        "var has values from -0.6 to -0.1, expected 0 … inf", x, x, tg_neg(tape, x), NULL);
    bad(tg_nn_gaussian_nll_loss(rt, false, 1, mean), TG_ESHAPE,
        "var is f64[3, 2], expected the dims of input f64[2, 3]", x, x, y, NULL);
    bad(tg_nn_margin_ranking_loss(rt, 0, mean), TG_ESHAPE, "have 2, 2 and 1 dims", x, x, row, NULL);
    bad(tg_nn_cosine_embedding_loss(rt, 0, mean), TG_ESHAPE, "have 2, 2 and 2 dims, expected 2, 2 and 1", x,
        x, x, NULL);
    bad(tg_nn_multi_margin_loss(rt, 1, 1, NULL, mean), TG_EINDEX,
        "target has values from 0 to 3, expected 0 … 2", x, two, NULL, NULL);
    bad(tg_nn_multi_margin_loss(rt, 1, 1, NULL, mean), TG_ESHAPE, "input is f64[3, 2] and target i64[2]", y,
        two, NULL, NULL);
    bad(tg_nn_multi_margin_loss(rt, 1, 1, row, mean), TG_ESHAPE, "multi_margin_loss", x,
        whole(DIMS(2), WHOLE(0, 1)), NULL, NULL);
    bad(tg_nn_multilabel_margin_loss(rt, mean), TG_EINDEX, "target has values from 0 to 3, expected -1 … 2",
        x, i, NULL, NULL);
    bad(tg_nn_multilabel_margin_loss(rt, mean), TG_EDTYPE,
        "and target f64[2, 3], expected [N, C] and i64[N, C]", x, x, NULL, NULL);
}
END_TEST

START_TEST(wrong_sequences)
{
    tg_tensor *x = log_probs(false, NULL), *t = whole(DIMS(N, 3), labels),
              *in = whole(DIMS(N), input_lengths), *out = whole(DIMS(N), target_lengths);
    tg_module *const ctc[] = {tg_nn_ctc_loss(rt, 0, false, mean), tg_nn_ctc_loss(rt, 0, false, mean),
                              tg_nn_ctc_loss(rt, 0, false, mean), tg_nn_ctc_loss(rt, 0, false, mean),
                              tg_nn_ctc_loss(rt, 0, false, mean), tg_nn_ctc_loss(rt, 0, false, mean),
                              tg_nn_ctc_loss(rt, 4, false, mean), tg_nn_ctc_loss(rt, 0, false, mean),
                              tg_nn_ctc_loss(rt, 0, false, mean)};
    bad(ctc[0], TG_EINVAL, "ctc_loss: input_lengths has values from 0 to 7, expected 0 … 6", x, t,
        whole(DIMS(N), WHOLE(7, 4, 6, 4, 0)), out);
    bad(ctc[1], TG_EINVAL, "ctc_loss: target_lengths has values from -1 to 3, expected 0 … 3", x, t, in,
        whole(DIMS(N), WHOLE(3, 3, -1, 3, 1)));
    bad(ctc[2], TG_EINVAL, "ctc_loss: target_lengths has values from 0 to 4, expected 0 … 3", x, t, in,
        whole(DIMS(N), WHOLE(4, 3, 0, 3, 1)));
    bad(ctc[3], TG_ESHAPE, "ctc_loss: targets has 10 labels, target_lengths add up to 9", x,
        whole(DIMS(10), joined), in, whole(DIMS(N), WHOLE(3, 3, 0, 3, 0)));
    bad(ctc[4], TG_EINDEX, "ctc_loss: targets has values from 0 to 9, expected 0 … 3", x, t, in,
        whole(DIMS(N), WHOLE(3, 3, 1, 3, 1)));
    bad(ctc[5], TG_ESHAPE, "ctc_loss", x, t, whole(DIMS(2), WHOLE(1, 1)), out);
    bad(ctc[6], TG_EINVAL, "blank is 4", x, t, in, out);
    bad(ctc[7], TG_ESHAPE, "log_probs has 1 dims", input(DIMS(2), V(1, 1)), t, in, out);
    bad(ctc[8], TG_EDTYPE, "ctc_loss", x, input(DIMS(N, 3), (double[15]){0}), in, out);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("layers_loss");
    TCase *t = tcase_create("loss");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, differences_at_the_edges);
    tcase_add_test(t, logits_at_the_edges);
    tcase_add_test(t, densities);
    tcase_add_test(t, margins);
    tcase_add_test(t, of_nothing);
    tcase_add_test(t, alignments);
    tcase_add_test(t, gradients_of_alignments);
    tcase_add_test(t, gradient_by_logits);
    tcase_add_test(t, an_impossible_class);
    tcase_add_test(t, constructors_give_their_class);
    tcase_add_test(t, weights_are_buffers);
    tcase_add_test(t, wrong_arguments);
    tcase_add_test(t, wrong_inputs);
    tcase_add_test(t, wrong_sequences);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
