/* An error names what made it: the row, its rule, the function of the program's that returned it. */
#include "api/rig.h"

#include <tapegrad/backend_abi.h>
#include <tapegrad/gradcheck.h>
#include <tapegrad/hooks.h>
#include <tapegrad/operator.h>

/* -- rows with faults: y = x²/2 -------------------------------------------------------------------------------- */

static tg_status infer(const tg_infer *q)
{
    return tg_infer_broadcast(q, q->in[0]->dtype, &q->out[0]);
}

static tg_status silent(const tg_infer *q)
{
    (void)q;
    return TG_ESHAPE;
}

static tg_status run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const double *x = r->in[0];
    double *y = r->out[0];
    for (int64_t i = 0; i < tg_desc_count(c->out); i++)
        y[i] = x[i] * x[i] / 2;
    return TG_OK;
}

static tg_status by_input(tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    gx[0] = tg_mul(t, gy[0], tg_node_input(node, 0));
    return tg_tape_status(t);
}

static tg_status by_output(tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    gx[0] = tg_mul(t, gy[0], tg_sqrt(t, tg_mul_scalar(t, tg_node_output(node, 0), 2)));
    return tg_tape_status(t);
}

static tg_status of_seven(tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)node, (void)gy;
    gx[0] = tg_full(t, TG_F64, TG_DIMS(7), 1);
    return tg_tape_status(t);
}

static tg_status of_f32(tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)node;
    gx[0] = tg_to(t, gy[0], TG_F32);
    return tg_tape_status(t);
}

static tg_status gives_up(tg_tape *t, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)t, (void)node, (void)gy, (void)gx;
    return TG_EUNSUPPORTED;
}

static const tg_sample *samples(size_t *n)
{
    static const char in[] = "{[3], 1 : 2}";
    static const tg_sample table[] = {{.label = "three", .in = in}};
    *n = 1;
    return table;
}

#define FAULTY(name_, ...)                                                                                             \
    static const tg_kernel kernel_##name_ = {                                                                          \
        .struct_size = sizeof(tg_kernel), .version = 1, .op = #name_, .run = run};                                     \
    static const tg_operator name_ = {.struct_size = sizeof(tg_operator), .version = 1, .name = #name_, .n_in = 1,     \
                                      .n_out = 1, .flags = TG_OP_DENSE, .samples = samples, .doc = "x²/2",             \
                                      .kernel = &kernel_##name_, __VA_ARGS__}
FAULTY(right_one, .infer = infer, .vjp = by_input, .saves = TG_OP_IN(0));
FAULTY(reads_input, .infer = infer, .vjp = by_input, .saves = TG_OP_OUT(0));
FAULTY(reads_output, .infer = infer, .vjp = by_output, .saves = TG_OP_IN(0));
FAULTY(seven, .infer = infer, .vjp = of_seven);
FAULTY(narrow, .infer = infer, .vjp = of_f32);
FAULTY(quitter, .infer = infer, .vjp = gives_up);
FAULTY(shapeless, .infer = silent, .vjp = by_input, .saves = TG_OP_IN(0));
FAULTY(stranger, .infer = infer, .vjp = by_input, .saves = TG_OP_IN(0));
static const tg_operator no_kernel = {.struct_size = sizeof(tg_operator), .version = 1, .name = "no_kernel", .n_in = 1,
                                      .n_out = 1, .infer = infer, .vjp = by_input, .saves = TG_OP_IN(0),
                                      .samples = samples, .doc = "x²/2"};

static void with_rows(void)
{
    setup();
    tg_tape_close(tape);
    tg_runtime_close(rt);
    tg_runtime_options options = {
        .struct_size = sizeof options, .dtype = TG_F64, .threads = 1};
    ck_assert_int_eq(tg_runtime_open(&rt, &options), TG_OK);
    const tg_operator *rows[] = {&right_one, &reads_input, &reads_output, &seven, &narrow, &quitter, &shapeless, &no_kernel};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(tg_operator_register(rt, rows[i]) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
}

static tg_tensor *of(const tg_operator *row, tg_tensor *x)
{
    tg_tensor *y = NULL;
    tg_apply(tape, row, &x, 1, NULL, NULL, &y);
    return y;
}

static const double ABC[] = {1, 2, 3};

START_TEST(what_a_rule_reads)
{
    ck_assert_msg(tg_gradcheck_operator(tape, "right_one", NULL) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_int_eq(tg_gradcheck_operator(tape, "reads_input", NULL), TG_EINVAL);
    fails_with(TG_EINVAL, "reads_input, sample 'three': its rule reads input 0, which `saves` does not list");
    ck_assert_int_eq(tg_gradcheck_operator(tape, "reads_output", NULL), TG_EINVAL);
    fails_with(TG_EINVAL, "reads_output, sample 'three': its rule reads output 0, which `saves` does not list");
}
END_TEST

START_TEST(what_a_rule_gives)
{
    tg_tensor *x = vector(ABC, 3);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, of(&seven, x))), TG_ESHAPE);
    fails_with(TG_ESHAPE, "the rule of seven gave a gradient f64[7] for input 0, which is f64[3]");
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, of(&narrow, x))), TG_EDTYPE);
    fails_with(TG_EDTYPE, "the rule of narrow gave a gradient f32[3] for input 0, which is f64[3]");
    tg_tensor_read(NULL, NULL, 0); /* leaves a sentence that is not to be seen */
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, of(&quitter, x))), TG_EUNSUPPORTED);
    fails_with(TG_EUNSUPPORTED, "the rule of quitter returned TG_EUNSUPPORTED");
    tg_tensor_read(NULL, NULL, 0);
    ck_assert_ptr_null(of(&shapeless, x));
    fails_with(TG_ESHAPE, "infer of shapeless returned TG_ESHAPE");
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(rows_that_cannot_run)
{
    tg_tensor *x = vector(ABC, 3);
    ck_assert_ptr_null(of(&stranger, x));
    fails_with(TG_EINVAL, "stranger: the row is not registered with the tape's runtime");
    ck_assert_ptr_null(of(&no_kernel, x));
    fails_with(TG_ENOKERNEL, "give the row its own (.kernel)");
    tg_tensor_destroy(x);
}
END_TEST

/* -- functions of the program's that say nothing --------------------------------------------------------------- */

static int at_call; /* the call that fails, from 1 on */

static tg_status fails(void)
{
    return --at_call == 0 ? TG_EUNSUPPORTED : TG_OK;
}

static tg_status pre(void *arg, tg_module *m, tg_tape *t, tg_tensor *in[], size_t n)
{
    (void)arg, (void)m, (void)t, (void)in, (void)n;
    return fails();
}

static tg_status post(void *arg, tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[], size_t k)
{
    (void)arg, (void)m, (void)t, (void)in, (void)n, (void)out, (void)k;
    return fails();
}

static tg_status back(void *arg, tg_module *m, tg_tape *t, tg_tensor *gx[], size_t n, tg_tensor *const gy[], size_t k)
{
    (void)arg, (void)m, (void)t, (void)gx, (void)n, (void)gy, (void)k;
    return fails();
}

static tg_status leaf(void *arg, tg_tape *t, tg_tensor *x)
{
    (void)arg, (void)t, (void)x;
    return fails();
}

static tg_status squares(void *arg, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[], size_t k)
{
    (void)arg, (void)n;
    if (k)
        out[0] = tg_square(t, in[0]);
    return fails();
}

static void expect_returned(tg_status status, const char *who)
{
    char words[128];
    ck_assert_int_eq(status, TG_EUNSUPPORTED);
    snprintf(words, sizeof words, "%s returned TG_EUNSUPPORTED", who);
    fails_with(TG_EUNSUPPORTED, words);
    at_call = 0;
    tg_tape_reset(tape);
    tg_tensor_read(NULL, NULL, 0);
}

static tg_status trains(tg_module *m, tg_tensor *x, int call)
{
    at_call = call;
    tg_tensor *y = tg_forward(tape, m, x);
    return y ? tg_backward(tape, tg_sum(tape, y)) : tg_tape_status(tape);
}

START_TEST(hooks_that_say_nothing)
{
    tg_module *m = tg_nn_tanh(rt);
    tg_tensor *x = vector(ABC, 3);
    tg_tensor_read(NULL, NULL, 0);
    tg_hook id = tg_module_register_forward_pre_hook(m, pre, NULL);
    expect_returned(trains(m, x, 1), "Tanh: a forward pre-hook of Tanh");
    tg_module_remove_hook(m, id);
    id = tg_module_register_forward_hook(m, post, NULL);
    expect_returned(trains(m, x, 1), "Tanh: a forward hook of Tanh");
    tg_module_remove_hook(m, id);
    id = tg_module_register_full_backward_pre_hook(m, pre, NULL);
    expect_returned(trains(m, x, 1), "a backward pre-hook of Tanh");
    tg_module_remove_hook(m, id);
    id = tg_module_register_full_backward_hook(m, back, NULL);
    expect_returned(trains(m, x, 1), "a backward hook of Tanh");
    tg_module_remove_hook(m, id);
    tg_tensor_register_post_accumulate_grad_hook(x, leaf, NULL);
    expect_returned(trains(m, x, 1), "a leaf's post-accumulate hook");
    tg_module_destroy(m);
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(functions_that_say_nothing)
{
    tg_tensor *x = vector(ABC, 3), *y = NULL;
    tg_desc d;
    tg_memory m;
    tg_tensor_desc(x, &d);
    tg_tensor_read(NULL, NULL, 0);
    at_call = 1;
    expect_returned(tg_checkpoint(tape, squares, NULL, &x, 1, &y, 1), "tg_checkpoint: its function");
    at_call = 2; /* when it runs again */
    ck_assert_int_eq(tg_checkpoint(tape, squares, NULL, &x, 1, &y, 1), TG_OK);
    expect_returned(tg_backward(tape, tg_sum(tape, y)), "tg_checkpoint: its function");
    at_call = 1;
    expect_returned(tg_gradcheck(tape, squares, NULL, &x, 1, 1, NULL), "gradcheck: the function");
    at_call = 1;
    ck_assert_int_eq(tg_plan_memory(rt, squares, NULL, &d, 1, &m), TG_EUNSUPPORTED);
    ck_assert_msg(strstr(tg_error_message(), "tg_plan_memory: the step returned TG_EUNSUPPORTED"), "%s", tg_error_message());
    tg_tensor_destroy(x);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("blame");
    TCase *rows = tcase_create("rows"), *functions = tcase_create("functions");
    tcase_add_checked_fixture(rows, with_rows, teardown);
    tcase_add_checked_fixture(functions, setup, teardown);
    tcase_add_test(rows, what_a_rule_reads);
    tcase_add_test(rows, what_a_rule_gives);
    tcase_add_test(rows, rows_that_cannot_run);
    tcase_add_test(functions, hooks_that_say_nothing);
    tcase_add_test(functions, functions_that_say_nothing);
    suite_add_tcase(s, rows);
    suite_add_tcase(s, functions);
    return s;
}

TG_TEST_MAIN(suite)
