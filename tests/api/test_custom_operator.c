/* An operator from a program: through public headers alone it registers, and is then dispatched, counted, listed,
 * reported, checked and differentiated as any other. Bad ones are refused with a sentence. */
#include "support/check_main.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/backend_abi.h>
#include <tapegrad/operator.h>
#include <tapegrad/tapegrad.h>

static tg_runtime *rt;
static tg_tape *tape;

/* -- swish_scaled: y = x·σ(k·x) by an attribute k and a run-time scalar s: s·x·σ(k·x) -------------------- */

typedef struct swish_attrs {
    double k;
} swish_attrs;

static int runs, infers, prepares, releases, fail_run;

static double load(const tg_desc *d, const void *p, int64_t i)
{
    return d->dtype == TG_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static void store(const tg_desc *d, void *p, int64_t i, double y)
{
    if (d->dtype == TG_F32)
        ((float *)p)[i] = (float)y;
    else
        ((double *)p)[i] = y;
}

static double sigma(double x)
{
    return 1 / (1 + exp(-x));
}

static tg_status swish_infer(const tg_infer *q)
{
    infers++;
    if (!tg_dtype_is_float(q->in[0]->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "a floating dtype is expected");
    if (!(((const swish_attrs *)q->attrs)->k > 0))
        return tg_infer_fail(q, TG_EINVAL, "k is %g, expected above 0", ((const swish_attrs *)q->attrs)->k);
    return tg_infer_broadcast(q, q->in[0]->dtype, &q->out[0]);
}

static tg_status swish_prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s, (void)c;
    prepares++;
    p->scratch_size = 64;
    p->impl = &prepares; /* what there is to release */
    return TG_OK;
}

static void swish_release(tg_backend_state *s, tg_prepared *p)
{
    (void)s, (void)p;
    releases++;
}

static tg_status swish_run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    double k = ((const swish_attrs *)c->attrs)->k;
    runs++;
    if (fail_run)
        return TG_EBACKEND;
    ck_assert(r->scratch != NULL);
    for (int64_t i = 0; i < tg_desc_count(c->out); i++) {
        double x = load(c->in[0], r->in[0], i);
        store(c->out, r->out[0], i, r->scalars[0] * x * sigma(k * x));
    }
    return TG_OK;
}

/* The backward is a row of its own (gy, x) → gy·s·(σ + k·x·σ(1 − σ)), with a rule of public operators. */
static tg_status backward_infer(const tg_infer *q)
{
    return tg_infer_broadcast(q, q->in[1]->dtype, &q->out[0]);
}

static tg_status backward_run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    double k = ((const swish_attrs *)c->attrs)->k;
    for (int64_t i = 0; i < tg_desc_count(c->out); i++) {
        double x = load(c->in[1], r->in[1], i), g = sigma(k * x);
        store(c->out, r->out[0], i, load(c->in[0], r->in[0], i) * r->scalars[0] * (g + k * x * g * (1 - g)));
    }
    return TG_OK;
}

static const tg_operator *row(const char *name)
{
    return tg_operator_find(rt, name);
}

static tg_status swish_vjp(tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    double s = tg_node_scalar(node, 0);
    ck_assert(tg_node_needs(node, 0) && tg_node_n_in(node) == 1);
    return tg_apply(t, row("swish_scaled_backward"), (tg_tensor *[]){gy[0], tg_node_input(node, 0)}, 2,
                    tg_node_attrs(node), &s, gx);
}

/* g = σ(kx): ∂/∂x [g + kx·g(1 − g)] = k·g(1 − g)·(2 + kx·(1 − 2g)). */
static tg_status backward_vjp(tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    double k = ((const swish_attrs *)tg_node_attrs(node))->k, s = tg_node_scalar(node, 0);
    tg_tensor *x = tg_node_input(node, 1);
    if (tg_node_needs(node, 0))
        tg_apply(t, tg_node_operator(node), (tg_tensor *[]){gy[0], x}, 2, tg_node_attrs(node), &s, &gx[0]);
    if (tg_node_needs(node, 1)) {
        tg_tensor *kx = tg_mul_scalar(t, x, k), *g = tg_sigmoid(t, kx);
        tg_tensor *slope = tg_mul(t, g, tg_add_scalar(t, tg_neg(t, g), 1));
        tg_tensor *bend = tg_add_scalar(t, tg_mul(t, kx, tg_add_scalar(t, tg_mul_scalar(t, g, -2), 1)), 2);
        tg_tensor *all = tg_mul_scalar(t, tg_mul(t, slope, bend), k * s);
        gx[1] = tg_mul(t, tg_mul(t, gy[0], tg_node_input(node, 0)), all);
    }
    return tg_tape_status(t);
}

static const swish_attrs one = {1}, steep = {2.5};
static const double scale[] = {1.5};
static const char matrix[] = "{[2, 3], -2 : 2}, {[2, 3], -2 : 2}";
static const char one_matrix[] = "{[2, 3], -2 : 2}";
static const char view[] = "{[3, 2], -2 : 2, strided}";
static const tg_sample forward_table[] = {
    {.label = "k = 1", .in = one_matrix, .attrs = &one, .scalars = scale},
    {.label = "k = 2.5, a view", .in = view, .attrs = &steep, .scalars = scale},
};
static const tg_sample backward_table[] = {
    {.label = "k = 2.5", .in = matrix, .attrs = &steep, .scalars = scale}};

static const tg_sample *forward_samples(size_t *n)
{
    *n = 2;
    return forward_table;
}

static const tg_sample *backward_samples(size_t *n)
{
    *n = 1;
    return backward_table;
}

static const tg_attr_spec specs[] = {
    {"k", TG_ATTR_REAL, 0, offsetof(swish_attrs, k), {1}, NULL, "steepness"},
    {NULL, TG_ATTR_NONE, 0, 0, {0}, NULL, NULL},
};
static const tg_kernel forward_kernel = {.struct_size = sizeof(tg_kernel),
                                         .version = 3,
                                         .op = "swish_scaled",
                                         .prepare = swish_prepare,
                                         .run = swish_run,
                                         .release = swish_release};
static const tg_kernel backward_kernel = {
    .struct_size = sizeof(tg_kernel), .version = 1, .op = "swish_scaled_backward", .run = backward_run};
static const tg_operator forward_row = {.struct_size = sizeof(tg_operator),
                                        .version = 3,
                                        .name = "swish_scaled",
                                        .flags = TG_OP_DENSE,
                                        .saves = TG_OP_IN(0),
                                        .n_in = 1,
                                        .n_out = 1,
                                        .n_scalars = 1,
                                        .attrs_size = sizeof(swish_attrs),
                                        .attrs = specs,
                                        .infer = swish_infer,
                                        .vjp = swish_vjp,
                                        .samples = forward_samples,
                                        .doc = "y = s·x·σ(k·x)",
                                        .kernel = &forward_kernel};
static const tg_operator backward_row = {.struct_size = sizeof(tg_operator),
                                         .version = 1,
                                         .name = "swish_scaled_backward",
                                         .flags = TG_OP_DENSE,
                                         .saves = TG_OP_IN(0) | TG_OP_IN(1),
                                         .n_in = 2,
                                         .n_out = 1,
                                         .n_scalars = 1,
                                         .attrs_size = sizeof(swish_attrs),
                                         .attrs = specs,
                                         .infer = backward_infer,
                                         .vjp = backward_vjp,
                                         .samples = backward_samples,
                                         .doc = "gx = gy·s·(σ + k·x·σ·(1 − σ))",
                                         .kernel = &backward_kernel};

static tg_tensor *swish(tg_tensor *x, double k, double s)
{
    tg_tensor *y = NULL;
    tg_apply(tape, row("swish_scaled"), &x, 1, &(swish_attrs){k}, &s, &y);
    return y;
}

static void open_runtime(const char *chain)
{
    tg_runtime_options options = {.struct_size = sizeof options, .backend = chain, .threads = 1};
    ck_assert_msg(tg_runtime_open(&rt, &options) == TG_OK, "%s", tg_error_message());
}

static void setup(void)
{
    runs = infers = prepares = releases = fail_run = 0;
    open_runtime("reference");
    ck_assert_msg(tg_operator_register(rt, &forward_row) == TG_OK, "%s", tg_error_message());
    ck_assert_msg(tg_operator_register(rt, &backward_row) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
}

static void teardown(void)
{
    tg_tape_close(tape);
    tg_runtime_close(rt);
    ck_assert_int_eq(prepares, releases);
}

static void failed_with(tg_status status, const char *words)
{
    ck_assert_msg(tg_tape_status(tape) == status, "%s", tg_tape_error(tape));
    ck_assert_msg(strstr(tg_tape_error(tape), words) != NULL, "%s", tg_tape_error(tape));
    ck_assert_msg(strstr(tg_tape_error(tape), "swish_scaled") != NULL, "%s", tg_tape_error(tape));
    tg_tape_clear_error(tape);
}

static const float X[6] = {-2, -0.5f, 0, 0.25f, 1, 3};

START_TEST(it_is_dispatched_counted_and_listed)
{
    const tg_operator *all[2000];
    size_t n = tg_operator_list(rt, all, 2000);
    ck_assert(n < 2000 && all[n - 2] == &forward_row && all[n - 1] == &backward_row);
    for (int step = 0; step < 3; step++) {
        tg_tape_reset(tape);
        tg_tensor *x = tg_input(tape, TG_F32, TG_DIMS(6), X);
        ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
        tg_tensor *y = swish(x, 2, 0.5 + step); /* the scalar is in no key: nothing is prepared anew */
        ck_assert_msg(tg_backward(tape, tg_sum(tape, y)) == TG_OK, "%s", tg_tape_error(tape));
        float got[6], g[6];
        ck_assert_int_eq(tg_tensor_read(y, got, sizeof got), TG_OK);
        ck_assert_int_eq(tg_tensor_read(tg_tensor_grad(x), g, sizeof g), TG_OK);
        for (int i = 0; i < 6; i++) {
            double v = (double)X[i], s = sigma(2 * v);
            ck_assert_double_eq_tol((double)got[i], (0.5 + step) * v * s, 1e-6);
            ck_assert_double_eq_tol((double)g[i], (0.5 + step) * (s + 2 * v * s * (1 - s)), 1e-6);
        }
    }
    ck_assert(runs == 3 && infers == 1 && prepares == 1); /* also over a reset */
    ck_assert_uint_eq(tg_tape_count_runs(tape, "swish_scaled", "reference"), 3);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "swish_scaled_backward", NULL), 3);
}
END_TEST

START_TEST(it_is_checked)
{
    tg_gradcheck_options o = tg_gradcheck_defaults();
    o.order = 3;
    ck_assert_msg(tg_gradcheck_operator(tape, "swish_scaled", &o) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_msg(tg_gradcheck_operator(tape, "swish_scaled_backward", NULL) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_int_eq(tg_gradcheck_operator(tape, "swish", NULL), TG_EUNKNOWN);
    ck_assert_msg(strstr(tg_tape_error(tape), "no operator is called 'swish'") != NULL, "%s", tg_tape_error(tape));
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_gradcheck_operator(tape, "eq", NULL), TG_ENODERIV);
    tg_tape_clear_error(tape);
}
END_TEST

static tg_status wrong_vjp(tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_status status = swish_vjp(t, node, gy, gx);
    gx[0] = tg_mul_scalar(t, gx[0], 1.001);
    return status;
}

START_TEST(a_wrong_rule_is_found)
{
    tg_tape_close(tape);
    tg_runtime_close(rt);
    open_runtime("reference");
    tg_operator wrong = forward_row;
    wrong.vjp = wrong_vjp;
    ck_assert_int_eq(tg_operator_register(rt, &wrong), TG_OK);
    ck_assert_int_eq(tg_operator_register(rt, &backward_row), TG_OK);
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    ck_assert_int_eq(tg_gradcheck_operator(tape, "swish_scaled", NULL), TG_EINVAL);
    failed_with(TG_EINVAL, "swish_scaled, sample 'k = 1': gradcheck: order 1, input 0, element 0: analytic");
    tg_tape_close(tape); /* before `wrong` is gone */
    tg_runtime_close(rt);
    tape = NULL;
    rt = NULL;
}
END_TEST

START_TEST(its_errors_are_sentences)
{
    const int64_t whole[2] = {1, 2};
    tg_tensor *x = tg_input(tape, TG_F32, TG_DIMS(6), X);
    ck_assert_ptr_null(swish(tg_input(tape, TG_I64, TG_DIMS(2), whole), 1, 1));
    failed_with(TG_EDTYPE, "swish_scaled(i64[2]): a floating dtype is expected");
    ck_assert_ptr_null(swish(x, -1, 1));
    failed_with(TG_EINVAL, "k is -1");
    ck_assert_int_eq(tg_apply(tape, row("swish_scaled"), &x, 1, NULL, scale, NULL), TG_EINVAL);
    failed_with(TG_EINVAL, "attributes are missing");
    ck_assert_int_eq(tg_apply(tape, row("swish_scaled"), &x, 1, &one, NULL, NULL), TG_EINVAL);
    failed_with(TG_EINVAL, "scalars are missing");
    ck_assert_int_eq(tg_apply(tape, row("swish_scaled"), (tg_tensor *[]){x, x}, 2, &one, scale, NULL), TG_EINVAL);
    failed_with(TG_EINVAL, "takes 1 inputs, got 2");
    fail_run = 1;
    ck_assert_ptr_null(swish(x, 1, 1));
    failed_with(TG_EBACKEND, "failed");
    fail_run = 0;
    ck_assert_ptr_nonnull(swish(x, 1, 1));
}
END_TEST

static const tg_sample *no_samples(size_t *n)
{
    *n = 0;
    return forward_table;
}

static const tg_sample short_table[] = {{.label = "none", .in = one_matrix, .scalars = scale}};
static const tg_sample *without_attributes(size_t *n)
{
    *n = 1;
    return short_table;
}

START_TEST(bad_rows_are_refused)
{
    tg_runtime_close(rt);
    tg_tape_close(NULL);
    open_runtime("reference");
    tg_kernel other = forward_kernel;
    other.op = "something_else";
    tg_kernel small = forward_kernel;
    small.struct_size = 8;
    struct {
        const char *words;
        tg_operator op;
    } bad[] = {
        {"a row needs a name", forward_row},
        {"a row needs a name", forward_row},
        {"no infer", forward_row},
        {"neither a rule nor TG_OP_NONDIFF", forward_row},
        {"no samples", forward_row},
        {"no samples", forward_row},
        {"the name is taken", forward_row},
        {"its kernel must have its name", forward_row},
        {"its kernel must have its name", forward_row},
        {"its kernel needs its struct_size", forward_row},
        {"TG_OP_HOST_CHECK without a check", forward_row},
        {"at most 16 of each", forward_row},
        {"its sample 'k = 1' has 1 inputs, the row takes 2", forward_row},
        {"its sample 'none' lacks the row's attributes", forward_row},
        {"TG_OP_DENSE with TG_OP_BROADCAST", forward_row},
    };
    bad[0].op.name = NULL;
    bad[1].op.struct_size = 16;
    bad[2].op.infer = NULL;
    bad[3].op.vjp = NULL;
    bad[4].op.samples = NULL;
    bad[5].op.samples = no_samples;
    bad[6].op.name = "add";
    bad[6].op.kernel = NULL;
    bad[7].op.kernel = &other;
    bad[8].op.version = 2;
    bad[9].op.kernel = &small;
    bad[10].op.flags |= TG_OP_HOST_CHECK;
    bad[11].op.n_out = 17;
    bad[12].op.n_in = 2;
    bad[13].op.samples = without_attributes;
    bad[14].op.flags |= TG_OP_BROADCAST;
    size_t before = tg_operator_list(rt, NULL, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(tg_operator_register(rt, &bad[i].op) == TG_EINVAL, "row %zu", i);
        ck_assert_msg(strstr(tg_error_message(), bad[i].words) != NULL, "row %zu: %s", i, tg_error_message());
    }
    ck_assert_int_eq(tg_operator_register(NULL, &forward_row), TG_EINVAL);
    ck_assert_int_eq(tg_operator_register(rt, NULL), TG_EINVAL);
    ck_assert_uint_eq(before, tg_operator_list(rt, NULL, 0));
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    ck_assert_int_eq(tg_operator_register(rt, &forward_row), TG_ESTATE);
    ck_assert_msg(strstr(tg_error_message(), "a tape is open") != NULL, "%s", tg_error_message());
    /* without a kernel anywhere: an error when it is called, not before */
}
END_TEST

START_TEST(it_is_in_the_report)
{
    char path[] = "report-XXXXXX", text[8192] = "";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    setenv("TAPEGRAD_REPORT", path, 1);
    open_runtime("reference");
    unsetenv("TAPEGRAD_REPORT");
    ck_assert_int_eq(tg_operator_register(rt, &forward_row), TG_OK);
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    swish(tg_input(tape, TG_F32, TG_DIMS(6), X), 1, 1);
    swish(tg_input(tape, TG_F32, TG_DIMS(6), X), 1, 1);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    FILE *f = fopen(path, "r");
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    remove(path);
    text[n] = '\0';
    const char *line = strstr(text, "swish_scaled");
    ck_assert_msg(line != NULL, "%s", text);
    char backend[32] = "";
    int calls = 0;
    ck_assert_int_eq(sscanf(line, "swish_scaled %31s %d", backend, &calls), 2);
    ck_assert_str_eq(backend, "reference");
    ck_assert_int_eq(calls, 2);
    tape = NULL;
    rt = NULL;
}
END_TEST

/* Other backends hand it down the chain as they do with whatever they lack. */
START_TEST(in_a_chain)
{
    tg_tape_close(tape);
    tg_runtime_close(rt);
    tape = NULL;
    rt = NULL;
    tg_runtime_options options = {.struct_size = sizeof options, .backend = "blis,reference"};
    if (tg_runtime_open(&rt, &options) != TG_OK)
        TG_SKIP("no blis here: %s", tg_error_message());
    ck_assert_int_eq(tg_operator_register(rt, &forward_row), TG_OK);
    ck_assert_int_eq(tg_operator_register(rt, &backward_row), TG_OK);
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    ck_assert_msg(tg_gradcheck_operator(tape, "swish_scaled", NULL) == TG_OK, "%s", tg_tape_error(tape));
    swish(tg_input(tape, TG_F32, TG_DIMS(6), X), 1, 1);
    ck_assert_uint_gt(tg_tape_count_runs(tape, "swish_scaled", "reference"), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("an operator of one's own");
    TCase *c = tcase_create("custom");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, it_is_dispatched_counted_and_listed);
    tcase_add_test(c, it_is_checked);
    tcase_add_test(c, a_wrong_rule_is_found);
    tcase_add_test(c, its_errors_are_sentences);
    tcase_add_test(c, bad_rows_are_refused);
    tcase_add_test(c, it_is_in_the_report);
    tcase_add_test(c, in_a_chain);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
