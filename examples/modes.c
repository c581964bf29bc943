/* Train mode and eval mode: two small models, one batch, and what changes and what does not. */
#include <stdlib.h>
#include <string.h>

#include <tapegrad/tapegrad.h>

enum { ROWS = 6, IN = 10, MIDDLE = 20, OUT = 2 };

static void check(tg_status status)
{
    if (status) {
        fprintf(stderr, "modes: %s\n", tg_error_message());
        exit(1);
    }
}

/* The first few numbers of a tensor on one line. */
static void show(const char *what, const tg_tensor *t)
{
    float values[ROWS * MIDDLE];
    int64_t n = tg_tensor_count(t);
    check(tg_tensor_read(t, values, (size_t)n * sizeof *values));
    printf("  %-32s", what);
    for (int64_t i = 0; i < n && i < 8; i++)
        printf(" %8.4f", (double)values[i] + 0.0); /* −0 as 0 */
    puts(n > 8 ? " …" : "");
}

/* Runs the batch in the model's present mode and shows the result of the layer in the middle and of the
 * model. */
static void forward(tg_tape *tape, tg_module *net, const float *x, const char *mode)
{
    char what[64];
    tg_tape_reset(tape);
    tg_tensor *in = tg_input(tape, TG_F32, (int64_t[]){ROWS, IN}, 2, x);
    tg_tensor *first = tg_forward(tape, tg_module_child(net, 0), in);
    tg_tensor *second = tg_forward(tape, tg_module_child(net, 1), first);
    tg_tensor *y = tg_forward(tape, tg_module_child(net, 2), second);
    check(tg_tape_status(tape));
    snprintf(what, sizeof what, "%s: %s", mode, tg_module_class_name(tg_module_child(net, 1)));
    show(what, second);
    if (strcmp(tg_module_class_name(tg_module_child(net, 1)), "Dropout") == 0) {
        /* What came out over what went in: 0 where dropped, 1/(1 − p) where kept, all 1 in eval mode. */
        snprintf(what, sizeof what, "%s: mask", mode);
        show(what, tg_div(tape, second, first));
    }
    snprintf(what, sizeof what, "%s: output", mode);
    show(what, y);
}

static void dropout(tg_runtime *rt, tg_tape *tape, const float *x)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, IN, MIDDLE), tg_nn_dropout(rt, 0.5),
                                      tg_nn_linear(rt, MIDDLE, OUT));
    check(net ? TG_OK : TG_EINVAL);
    puts("Each line has the first eight numbers of a tensor.\n\nLinear 10→20, Dropout 0.5, Linear 20→2");
    tg_module_train(net);
    forward(tape, net, x, "train");
    forward(tape, net, x, "train again");
    tg_module_eval(net);
    forward(tape, net, x, "eval");
    forward(tape, net, x, "eval again");
    puts("  Train: another mask each time, and what is kept is doubled. Eval: the input itself.\n");
    tg_module_destroy(net);
}

static void show_state(tg_module *net, const char *when)
{
    static const char *const names[] = {"1.running_mean", "1.running_var", "1.weight", "1.bias"};
    static const char *const labels[] = {"running mean", "running var", "gamma", "beta"};
    char what[64];
    for (size_t i = 0; i < 4; i++) {
        snprintf(what, sizeof what, "%s: %s", when, labels[i]);
        show(what, tg_module_tensor(net, names[i]));
    }
}

static void batch_norm(tg_runtime *rt, tg_tape *tape, const float *x)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, IN, MIDDLE), tg_nn_batch_norm1d(rt, MIDDLE),
                                      tg_nn_linear(rt, MIDDLE, OUT));
    uint64_t before, after;
    check(net ? TG_OK : TG_EINVAL);
    puts("Linear 10→20, BatchNorm1d, Linear 20→2");
    show_state(net, "new");
    tg_module_train(net);
    forward(tape, net, x, "train");
    show_state(net, "after train");
    check(tg_module_checksum(net, &before));
    tg_module_eval(net);
    forward(tape, net, x, "eval");
    check(tg_module_checksum(net, &after));
    show_state(net, "after eval");
    printf(
        "  Train: normalised by the batch, and the running statistics move. Eval: by the running statistics,\n"
        "  and nothing changes (checksum of the state %s). Gamma and beta move only with an optimizer's step.\n",
        before == after ? "equal" : "DIFFERENT");
    if (before != after)
        exit(1);
    tg_optimizer *sgd = tg_optim_sgd(rt, tg_module_parameters(net), &(tg_sgd_options){.lr = 0.1});
    tg_module_train(net);
    tg_tape_reset(tape);
    tg_tensor *y = tg_forward(tape, net, tg_input(tape, TG_F32, (int64_t[]){ROWS, IN}, 2, x));
    check(tg_backward(tape, tg_mean(tape, tg_square(tape, y))));
    check(tg_optimizer_step(sgd, tape));
    show_state(net, "after a step");
    tg_optimizer_destroy(sgd);
    tg_module_destroy(net);
}

int main(void)
{
    tg_runtime *rt;
    tg_tape *tape;
    float x[ROWS * IN];
    check(tg_runtime_open(&rt, &(tg_runtime_options){.seed = 7}));
    check(tg_tape_open(&tape, rt));
    for (int i = 0; i < ROWS * IN; i++)
        x[i] = (float)((i * 37 + 11) % 23 - 11) / 8;
    dropout(rt, tape, x);
    batch_norm(rt, tape, x);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    return 0;
}
