/* An operator of your own, without touching the library: logcosh(x) = log(cosh x), a loss that is quadratic for small
 * errors and linear for large ones. It needs a row (names, shapes, rule, samples) and a kernel; from then on it is
 * recorded, differentiated to any order, cached, counted and reported as every other operator.
 *
 *     custom_operator
 *
 * checks its gradient of first and second order, and fits a line to points of which one is far off. */
#include <tapegrad/backend_abi.h>
#include <tapegrad/operator.h>
#include <tapegrad/tapegrad.h>

#include <math.h>

/* Shapes: the result is as the input. This runs once for each new shape, and the place to refuse is here. */
static tg_status logcosh_infer(const tg_infer *q)
{
    if (!tg_dtype_is_float(q->in[0]->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "a floating dtype is expected");
    return tg_infer_broadcast(q, q->in[0]->dtype, &q->out[0]);
}

/* The rule: gx = gy·tanh(x), from public operators, so that it has derivatives itself. */
static tg_status logcosh_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    gx[0] = tg_mul(tape, gy[0], tg_tanh(tape, tg_node_input(node, 0)));
    return tg_tape_status(tape);
}

static double log_cosh(double x) /* a form that does not overflow */
{
    return fabs(x) + log1p(exp(-2 * fabs(x))) - log(2);
}

/* The kernel: no allocation, no errors; its input is row-major because the row says TG_OP_DENSE. (Several inputs that
 * broadcast: TG_OP_BROADCAST instead, and steps of call->in[i]->stride, which is 0 where an input was spread.) */
static tg_status logcosh_run(tg_backend_state *s, const tg_call *call, const tg_prepared *prepared, const tg_run *run)
{
    (void)s, (void)prepared;
    for (int64_t i = 0, n = tg_desc_count(call->out); i < n; i++)
        if (call->out->dtype == TG_F32)
            ((float *)run->out[0])[i] = (float)log_cosh((double)((const float *)run->in[0])[i]);
        else
            ((double *)run->out[0])[i] = log_cosh(((const double *)run->in[0])[i]);
    return TG_OK;
}

/* Its proof: inputs at which the gradient check, and whoever compares backends, runs it. */
static const tg_sample *logcosh_samples(size_t *n)
{
    static const char input[] = "{[3, 4], -3 : 3}";
    static const tg_sample sample = {.label = "a matrix", .in = input};
    *n = 1;
    return &sample;
}

static const tg_kernel kernel = {.struct_size = sizeof kernel, .version = 1, .op = "logcosh", .run = logcosh_run};
static const tg_operator logcosh_row = {
    .struct_size = sizeof logcosh_row, .version = 1, .name = "logcosh", .doc = "y = log(cosh(x))",
    .n_in = 1, .n_out = 1, .flags = TG_OP_DENSE, .saves = TG_OP_IN(0), /* what the rule reads */
    .infer = logcosh_infer, .vjp = logcosh_vjp, .samples = logcosh_samples, .kernel = &kernel};

/* What your program calls. */
static tg_tensor *logcosh(tg_tape *tape, tg_tensor *x)
{
    tg_tensor *y = NULL;
    tg_apply(tape, &logcosh_row, &x, 1, NULL, NULL, &y);
    return y;
}

int main(void)
{
    tg_runtime *rt = NULL;
    tg_tape *tape = NULL;
    double slope = 0, offset = 0;
    if (tg_runtime_open(&rt, NULL) || tg_operator_register(rt, &logcosh_row) || tg_tape_open(&tape, rt) ||
        tg_gradcheck_operator(tape, "logcosh", NULL)) {
        fprintf(stderr, "%s\n", tg_error_message());
        return 1;
    }
    printf("the gradient of logcosh is right, of first and second order\n");
    float x[8] = {0, 1, 2, 3, 4, 5, 6, 7}, y[8] = {1, 3, 5, 7, 9, 11, 13, 55}; /* y = 2x + 1, but for the last */
    tg_module *line = tg_nn_linear(rt, 1, 1);
    tg_optimizer *optimizer = tg_optim_sgd(rt, tg_module_parameters(line), &(tg_sgd_options){.lr = 0.01});
    for (int step = 0; step < 800; step++) {
        tg_tape_reset(tape);
        tg_tensor *predicted = tg_forward(tape, line, tg_input(tape, TG_F32, TG_DIMS(8, 1), x));
        tg_tensor *error = tg_sub(tape, predicted, tg_input(tape, TG_F32, TG_DIMS(8, 1), y));
        tg_backward(tape, tg_sum(tape, logcosh(tape, error)));
        tg_optimizer_step(optimizer, tape);
    }
    tg_item(tg_module_tensor(line, "weight"), &slope);
    tg_item(tg_module_tensor(line, "bias"), &offset);
    printf("y = %.2f x + %.2f\n", slope, offset);
    bool good = tg_tape_status(tape) == TG_OK && fabs(slope - 2) < 1;
    tg_optimizer_destroy(optimizer);
    tg_module_destroy(line);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    return good ? 0 : 1;
}
