/* tg_gradcheck itself: what it must see, in which order, and that it leaves nothing behind. Rows of this
 * program's own (views, which need no kernel) return their input and have the rules that are to be found out.
 */
#include "support/check_main.h"

#include <math.h>
#include <string.h>

#include <tapegrad/operator.h>
#include <tapegrad/tapegrad.h>

static tg_runtime *rt;
static tg_tape *tape;
static tg_tensor *x, *z;
static const double x_value[6] = {0.7, -1.2, 0.4, 1.9, -0.3, 1.1},
                    z_value[6] = {1.3, 0.6, -0.8, -1.7, 0.9, 0.5};

/* -- rows with rules of all kinds ----------------------------------------------------------------------- */

static tg_status same(const tg_infer *q)
{
    q->out[0] = *q->in[0];
    return TG_OK;
}

static tg_status right(tg_tape *t, const tg_node *n, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)n;
    gx[0] = tg_mul_scalar(t, gy[0], 1.0);
    return TG_OK;
}

static tg_status flipped(tg_tape *t, const tg_node *n, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)n;
    gx[0] = tg_neg(t, gy[0]);
    return TG_OK;
}

static tg_status factor(tg_tape *t, const tg_node *n, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)n;
    gx[0] = tg_mul_scalar(t, gy[0], 1.0 + 1e-3);
    return TG_OK;
}

/* One element of many wrong. */
static tg_status element(tg_tape *t, const tg_node *n, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)n;
    static const double mask[6] = {1, 1, 1, 1, 0.5, 1};
    gx[0] = tg_mul(t, gy[0], tg_input(t, TG_F64, (int64_t[]){6}, 1, mask));
    return TG_OK;
}

/* The derivative by gy is missing: right in the first order. */
static tg_status cut(tg_tape *t, const tg_node *n, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)n;
    gx[0] = tg_detach(t, gy[0]);
    return TG_OK;
}

/* gy·x/x, the lower x a constant: right in the first order, and in the second a term too many. */
static tg_status second(tg_tape *t, const tg_node *n, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_tensor *in = tg_node_input(n, 0);
    gx[0] = tg_mul(t, gy[0], tg_div(t, in, tg_detach(t, in)));
    return TG_OK;
}

/* gy·(1 + (x − x)²), one x a constant: wrong in the third order only. */
static tg_status third(tg_tape *t, const tg_node *n, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_tensor *in = tg_node_input(n, 0), *zero = tg_sub(t, in, tg_detach(t, in));
    gx[0] = tg_mul(t, gy[0], tg_add_scalar(t, tg_square(t, zero), 1.0));
    return TG_OK;
}

/* Twice the gradient in the recorded sweep alone: consistent with itself, and wrong. */
static tg_status recorded(tg_tape *t, const tg_node *n, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)n;
    gx[0] = tg_mul_scalar(t, gy[0], tg_tape_recording(t) ? 2.0 : 1.0);
    return TG_OK;
}

static tg_status refuses(tg_tape *t, const tg_node *n, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)gy;
    (void)gx;
    return tg_fail(t, TG_ENODERIV, "%s has no derivative of this order", tg_node_operator(n)->name);
}

static tg_status refuses_recorded(tg_tape *t, const tg_node *n, tg_tensor *const gy[], tg_tensor *gx[])
{
    return tg_tape_recording(t) ? refuses(t, n, gy, gx) : right(t, n, gy, gx);
}

static const tg_sample samples[] = {
    {.label = "x", .in = TG_SAMPLE_INPUTS({[6], -1 : 1})}};

static const tg_sample *one_sample(size_t *n)
{
    *n = 1;
    return samples;
}

#define ROW(rule)                                                                                            \
    {                                                                                                        \
        .struct_size = sizeof(tg_operator), .version = 1, .name = "test_" #rule, .flags = TG_OP_VIEW,        \
        .saves = TG_OP_IN(0), .n_in = 1, .n_out = 1, .infer = same, .vjp = rule, .samples = one_sample,      \
        .doc = "x"                                                                                           \
    }
static const tg_operator wrong_rows[] = {ROW(right),   ROW(flipped),         ROW(factor), ROW(element),
                                         ROW(cut),     ROW(second),          ROW(third),  ROW(recorded),
                                         ROW(refuses), ROW(refuses_recorded)};
enum { N_ROWS = sizeof wrong_rows / sizeof *wrong_rows };

/* -- functions ------------------------------------------------------------------------------------------ */

/* row(x)·z + row(x)²·x: the row in the middle of other operators. */
static tg_status through(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                         size_t n_out)
{
    (void)n_in;
    (void)n_out;
    tg_tensor *y = NULL;
    tg_status status = tg_apply(t, arg, in, 1, NULL, NULL, &y);
    if (status)
        return status;
    out[0] = tg_add(t, tg_mul(t, y, in[1]), tg_mul(t, tg_square(t, y), in[0]));
    return tg_tape_status(t);
}

static tg_status alone(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                       size_t n_out)
{
    (void)n_in;
    (void)n_out;
    return tg_apply(t, arg, in, 1, NULL, NULL, out);
}

static tg_status cubic(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                       size_t n_out)
{
    (void)arg;
    (void)n_in;
    (void)n_out;
    out[0] = tg_mul(t, tg_mul(t, in[0], in[0]), in[1]);
    return tg_tape_status(t);
}

/* Two outputs, one of them a scalar, and an integer one that is passed over. */
static tg_status several(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                         size_t n_out)
{
    (void)arg;
    (void)n_in;
    ck_assert_uint_eq(n_out, 3);
    out[0] = tg_mul(t, in[0], tg_exp(t, in[1]));
    out[1] = tg_argmax(t, in[0], 0, false);
    out[2] = tg_sum(t, tg_square(t, in[1]));
    return tg_tape_status(t);
}

/* x² + x, the second term behind a detach: it is missing from the gradient. */
static tg_status missing_term(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                              size_t n_out)
{
    (void)arg;
    (void)n_in;
    (void)n_out;
    out[0] = tg_add(t, tg_square(t, in[0]), tg_detach(t, in[0]));
    return tg_tape_status(t);
}

/* A constant as far as the tape knows. */
static tg_status detached(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                          size_t n_out)
{
    (void)arg;
    (void)n_in;
    (void)n_out;
    out[0] = tg_detach(t, tg_square(t, in[0]));
    return tg_tape_status(t);
}

static tg_status counting(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                          size_t n_out)
{
    (void)n_in;
    (void)n_out;
    int *calls = arg;
    out[0] = tg_mul_scalar(t, in[0], 1.0 + 1e-9 * ++*calls);
    return tg_tape_status(t);
}

static tg_status leaves_out(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                            size_t n_out)
{
    (void)arg;
    (void)t;
    (void)in;
    (void)n_in;
    (void)out;
    (void)n_out;
    return TG_OK;
}

static tg_status fails_late(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                            size_t n_out)
{
    int *calls = arg;
    if (++*calls > 5)
        return tg_fail(t, TG_ESHAPE, "the function gave up");
    return cubic(NULL, t, in, n_in, out, n_out);
}

static tg_status identity(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                          size_t n_out)
{
    (void)arg;
    (void)t;
    (void)n_in;
    (void)n_out;
    out[0] = in[0];
    return TG_OK;
}

/* -- set-up --------------------------------------------------------------------------------------------- */

static void setup(void)
{
    tg_runtime_options options = {.struct_size = sizeof options, .dtype = TG_F64};
    ck_assert_msg(tg_runtime_open(&rt, &options) == TG_OK, "%s", tg_error_message());
    for (size_t i = 0; i < N_ROWS; i++)
        ck_assert_msg(tg_operator_register(rt, &wrong_rows[i]) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    ck_assert_int_eq(tg_tensor_create(&x, rt, TG_F64, (int64_t[]){6}, 1), TG_OK);
    ck_assert_int_eq(tg_tensor_create(&z, rt, TG_F64, (int64_t[]){6}, 1), TG_OK);
    tg_tensor_write(x, x_value, sizeof x_value);
    tg_tensor_write(z, z_value, sizeof z_value);
    tg_tensor_set_requires_grad(x, true);
    tg_tensor_set_requires_grad(z, true);
}

static void teardown(void)
{
    tg_tensor_destroy(x);
    tg_tensor_destroy(z);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    rt = NULL;
}

static tg_status check(tg_check_fn fn, void *arg, size_t n_out, int order)
{
    tg_gradcheck_options options = tg_gradcheck_defaults();
    options.order = order;
    tg_tape_clear_error(tape);
    tg_status status = tg_gradcheck(tape, fn, arg, (tg_tensor *[]){x, z}, 2, n_out, &options);
    double now[6];
    ck_assert_int_eq(tg_tensor_read(x, now, sizeof now), TG_OK);
    ck_assert_mem_eq(now, x_value, sizeof now);
    ck_assert_int_eq(tg_tensor_read(z, now, sizeof now), TG_OK);
    ck_assert_mem_eq(now, z_value, sizeof now);
    ck_assert_ptr_null(tg_tensor_grad(x));
    ck_assert_uint_eq(tg_tape_size(tape), 0);
    ck_assert_int_eq(tg_tape_status(tape), status);
    return status;
}

static tg_status check_row(const char *name, tg_check_fn fn, int order)
{
    return check(fn, (void *)(uintptr_t)tg_operator_find(rt, name), 1, order);
}

/* -- what it sees --------------------------------------------------------------------------------------- */

START_TEST(right_functions_pass_in_every_order)
{
    for (int order = 1; order <= 4; order++) {
        ck_assert_msg(check(cubic, NULL, 1, order) == TG_OK, "order %d: %s", order, tg_tape_error(tape));
        ck_assert_msg(check_row("test_right", through, order) == TG_OK, "order %d: %s", order,
                      tg_tape_error(tape));
    }
    for (int order = 1; order <= 3; order++) {
        ck_assert_msg(check(several, NULL, 3, order) == TG_OK, "order %d: %s", order, tg_tape_error(tape));
        ck_assert_msg(check(identity, NULL, 1, order) == TG_OK, "order %d: %s", order, tg_tape_error(tape));
    }
}
END_TEST

static const struct {
    const char *row;
    int first_order; /* that must see it */
} wrong[] = {{"test_flipped", 1}, {"test_factor", 1},   {"test_element", 1}, {"test_cut", 2},
             {"test_second", 2},  {"test_recorded", 2}, {"test_third", 3}};

START_TEST(wrong_rules_are_seen)
{
    for (int order = 1; order <= 3; order++) {
        bool seen = order >= wrong[_i].first_order;
        for (int a = 0; a < 2; a++) {
            tg_status status = check_row(wrong[_i].row, a ? alone : through, order);
            ck_assert_msg(status == (seen ? TG_EINVAL : TG_OK), "%s, order %d, %s: %s", wrong[_i].row, order,
                          a ? "alone" : "among others", tg_tape_error(tape));
            ck_assert(!seen || strstr(tg_tape_error(tape), "analytic"));
        }
    }
}
END_TEST

START_TEST(missing_terms_are_seen)
{
    for (int order = 1; order <= 2; order++) {
        ck_assert_int_eq(check(missing_term, NULL, 1, order), TG_EINVAL);
        ck_assert_int_eq(check(detached, NULL, 1, order), TG_EINVAL);
    }
}
END_TEST

START_TEST(the_sentence_says_where)
{
    ck_assert_int_eq(check_row("test_element", alone, 2), TG_EINVAL);
    const char *error = tg_tape_error(tape);
    ck_assert_msg(strstr(error, "order 1") && strstr(error, "input 0") && strstr(error, "element 4") &&
                      strstr(error, "numeric") && strstr(error, "test_gradcheck.c:"),
                  "%s", error);
    ck_assert_int_eq(check_row("test_second", alone, 2), TG_EINVAL);
    ck_assert_msg(strstr(tg_tape_error(tape), "order 2"), "%s", tg_tape_error(tape));
}
END_TEST

START_TEST(missing_derivatives_are_told)
{
    ck_assert_int_eq(check_row("test_refuses", through, 1), TG_ENODERIV);
    ck_assert_int_eq(check_row("test_refuses_recorded", through, 1), TG_OK);
    ck_assert_int_eq(check_row("test_refuses_recorded", through, 2), TG_ENODERIV);
    ck_assert_msg(strstr(tg_tape_error(tape), "test_refuses_recorded"), "%s", tg_tape_error(tape));
}
END_TEST

START_TEST(functions_that_misbehave)
{
    int calls = 0;
    ck_assert_int_eq(check(counting, &calls, 1, 1), TG_EINVAL);
    ck_assert_msg(strstr(tg_tape_error(tape), "differ"), "%s", tg_tape_error(tape));
    ck_assert_int_eq(check(leaves_out, NULL, 1, 1), TG_EINVAL);
    calls = 0;
    ck_assert_int_eq(check(fails_late, &calls, 1, 2), TG_ESHAPE);
    ck_assert_msg(strstr(tg_tape_error(tape), "gave up"), "%s", tg_tape_error(tape));
}
END_TEST

/* -- what it leaves ------------------------------------------------------------------------------------- */

static tg_status run_net(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                         size_t n_out)
{
    (void)n_in;
    (void)n_out;
    out[0] = tg_forward(t, arg, in[0]);
    return tg_tape_status(t);
}

static tg_status run_net_wrong(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                               size_t n_out)
{
    tg_status status = run_net(arg, t, in, n_in, out, n_out);
    if (!status)
        out[0] = tg_add(t, out[0], tg_detach(t, out[0]));
    return tg_tape_status(t);
}

/* BatchNorm and Dropout in train mode: the same mask in every evaluation, statistics and draws as before. */
START_TEST(train_mode_modules_are_left_alone)
{
    tg_dropout(tape, x, 0.5, TG_TRAIN); /* so that the draw is not 0 */
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, 3, 4), tg_nn_batch_norm1d(rt, 4), tg_nn_tanh(rt),
                                      tg_nn_dropout(rt, 0.4), tg_nn_linear(rt, 4, 2));
    ck_assert_msg(net != NULL, "%s", tg_error_message());
    tg_tensor *in[8];
    size_t n = 1;
    double value[12];
    for (int i = 0; i < 12; i++)
        value[i] = sin(i * 1.7 + 0.3);
    ck_assert_int_eq(tg_tensor_create(&in[0], rt, TG_F64, (int64_t[]){4, 3}, 2), TG_OK);
    tg_tensor_write(in[0], value, sizeof value);
    tg_tensor_set_requires_grad(in[0], true);
    const tg_named_tensors *p = tg_module_parameters(net);
    for (size_t i = 0; i < p->n; i++)
        in[n++] = p->tensor[i];
    uint64_t before = 0, after = 1;
    tg_random_state random = tg_tape_random_state(tape), runtime_random = tg_runtime_random_state(rt);
    ck_assert_int_eq(tg_module_checksum(net, &before), TG_OK);
    for (int wrong_one = 0; wrong_one < 2; wrong_one++) {
        tg_status status = tg_gradcheck(tape, wrong_one ? run_net_wrong : run_net, net, in, n, 1, NULL);
        ck_assert_msg(status == (wrong_one ? TG_EINVAL : TG_OK), "%s", tg_tape_error(tape));
        ck_assert_int_eq(tg_module_checksum(net, &after), TG_OK);
        ck_assert_uint_eq(before, after);
        ck_assert_uint_eq(tg_tape_random_state(tape).draw, random.draw);
        ck_assert_uint_eq(tg_tape_random_state(tape).seed, random.seed);
        ck_assert_uint_eq(tg_runtime_random_state(rt).draw, runtime_random.draw);
        for (size_t i = 0; i < n; i++)
            ck_assert_ptr_null(tg_tensor_grad(in[i]));
        ck_assert(tg_tape_recording(tape));
    }
    tg_tape_clear_error(tape);
    tg_tensor_destroy(in[0]);
    tg_module_destroy(net);
}
END_TEST

/* -- bad input ------------------------------------------------------------------------------------------ */

START_TEST(bad_options)
{
    tg_gradcheck_options good = tg_gradcheck_defaults(), o[5];
    for (int i = 0; i < 5; i++)
        o[i] = good;
    o[0].order = 0;
    o[1].order = 99;
    o[2].step = 0.0;
    o[3].rtol = -1.0;
    o[4].atol = NAN;
    for (int i = 0; i < 5; i++) {
        tg_tape_clear_error(tape);
        ck_assert_int_eq(tg_gradcheck(tape, cubic, NULL, (tg_tensor *[]){x, z}, 2, 1, &o[i]), TG_EINVAL);
    }
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_gradcheck(tape, NULL, NULL, (tg_tensor *[]){x, z}, 2, 1, NULL), TG_EINVAL);
    ck_assert_int_eq(tg_gradcheck(NULL, cubic, NULL, (tg_tensor *[]){x, z}, 2, 1, NULL), TG_EINVAL);
    tg_tape_clear_error(tape);
}
END_TEST

START_TEST(bad_inputs)
{
    tg_tensor *f32 = NULL, *gone = NULL;
    ck_assert_int_eq(tg_tensor_create(&f32, rt, TG_F32, (int64_t[]){6}, 1), TG_OK);
    tg_tensor_set_requires_grad(f32, true);
    ck_assert_int_eq(tg_gradcheck(tape, cubic, NULL, (tg_tensor *[]){f32, z}, 2, 1, NULL), TG_EDTYPE);
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_tensor_create(&gone, rt, TG_F64, NULL, 0), TG_OK);
    tg_tensor_destroy(gone);
    ck_assert_int_eq(tg_gradcheck(tape, cubic, NULL, (tg_tensor *[]){gone, z}, 2, 1, NULL), TG_ESTALE);
    tg_tape_clear_error(tape);
    tg_tensor *on_tape = tg_input(tape, TG_F64, (int64_t[]){6}, 1, x_value);
    ck_assert_int_eq(tg_gradcheck(tape, cubic, NULL, (tg_tensor *[]){on_tape, z}, 2, 1, NULL), TG_EINVAL);
    tg_tape_clear_error(tape);
    tg_tensor_set_requires_grad(x, false);
    tg_tensor_set_requires_grad(z, false);
    ck_assert_int_eq(tg_gradcheck(tape, cubic, NULL, (tg_tensor *[]){x, z}, 2, 1, NULL), TG_EINVAL);
    tg_tape_clear_error(tape);
    tg_tensor_set_requires_grad(z, true); /* one of two: the other is a constant */
    ck_assert_int_eq(tg_gradcheck(tape, cubic, NULL, (tg_tensor *[]){x, z}, 2, 1, NULL), TG_OK);
    tg_tensor_destroy(f32);
}
END_TEST

START_TEST(not_inside_a_step)
{
    ck_assert_int_eq(tg_step_begin(tape), TG_OK);
    ck_assert_int_eq(tg_gradcheck(tape, cubic, NULL, (tg_tensor *[]){x, z}, 2, 1, NULL), TG_ESTATE);
    tg_step_rollback(tape);
    ck_assert_int_eq(check(cubic, NULL, 1, 1), TG_OK);
}
END_TEST

START_TEST(empty_inputs)
{
    tg_tensor *e = NULL;
    ck_assert_int_eq(tg_tensor_create(&e, rt, TG_F64, (int64_t[]){0, 3}, 2), TG_OK);
    tg_tensor_set_requires_grad(e, true);
    ck_assert_msg(tg_gradcheck(tape, cubic, NULL, (tg_tensor *[]){e, e}, 2, 1, NULL) == TG_OK, "%s",
                  tg_tape_error(tape));
    tg_tensor_destroy(e);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tg_gradcheck");
    TCase *c = tcase_create("gradcheck");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, right_functions_pass_in_every_order);
    tcase_add_loop_test(c, wrong_rules_are_seen, 0, (int)(sizeof wrong / sizeof *wrong));
    tcase_add_test(c, missing_terms_are_seen);
    tcase_add_test(c, the_sentence_says_where);
    tcase_add_test(c, missing_derivatives_are_told);
    tcase_add_test(c, functions_that_misbehave);
    tcase_add_test(c, train_mode_modules_are_left_alone);
    tcase_add_test(c, bad_options);
    tcase_add_test(c, bad_inputs);
    tcase_add_test(c, not_inside_a_step);
    tcase_add_test(c, empty_inputs);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
