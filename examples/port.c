/* A PyTorch model, port.py, line by line, with its weights: loads what PyTorch saved, computes what PyTorch
 * computed, and trains on as PyTorch did.
 *
 *     port [FOLDER]      the folder of port.safetensors and port_expected.safetensors; else examples */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/layer_class.h>
#include <tapegrad/tapegrad.h>

/* class Net(nn.Module) */
typedef struct net {
    tg_module *stem, *block, *head;
} net;

/* nn.Conv2d(channels, 4, 3, padding=1, bias=False) */
static tg_module *conv(tg_runtime *rt, int64_t channels)
{
    tg_conv_options o = tg_conv_defaults(channels, 4, 3);
    o.padding = (tg_ints){1, {1}};
    o.bias = false;
    return tg_nn_conv2d_with(rt, &o);
}

/* def __init__(self) */
static tg_status net_init(tg_module *m, const void *attrs)
{
    net *self = tg_module_self(m);
    tg_runtime *rt = tg_module_runtime(m);
    (void)attrs;
    self->stem = tg_nn_sequential(rt, conv(rt, 1), tg_nn_batch_norm2d(rt, 4), tg_nn_relu(rt));
    tg_status status = tg_module_add_child(m, "stem", self->stem);
    if (!status) {
        self->block = tg_nn_sequential(rt, conv(rt, 4), tg_nn_batch_norm2d(rt, 4));
        status = tg_module_add_child(m, "block", self->block);
    }
    if (!status)
        status = tg_module_add_child(m, "head", self->head = tg_nn_linear(rt, 4, 3));
    return status;
}

/* def forward(self, x) */
static tg_status net_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                             tg_tensor *out[])
{
    net *self = tg_module_self(m);
    (void)n_in;
    tg_tensor *x = tg_forward(tape, self->stem, in[0]);
    x = tg_relu(tape, tg_add(tape, x, tg_forward(tape, self->block, x)));
    x = tg_mean_dims(tape, tg_max_pool(tape, x, 2, &(tg_pool_options){.kernel = {2, 2}}, NULL), TG_DIMS(2, 3),
                     false);
    out[0] = tg_forward(tape, self->head, x);
    return tg_tape_status(tape);
}

static const tg_layer_class net_class = {
    .struct_size = sizeof(tg_layer_class),
    .name = "Net",
    .state_size = sizeof(net),
    .n_in = 1,
    .n_out = 1,
    .init = net_init,
    .forward = {net_forward, net_forward},
};

/* -- the same steps ----------------------------------------------------------------------------------------
 */

static void check(tg_status status)
{
    if (status) {
        fprintf(stderr, "port: %s\n", tg_error_message());
        exit(1);
    }
}

static const tg_file_tensor *of_file(const tg_safetensors *file, const char *name)
{
    const tg_file_tensor *t = tg_safetensors_find(file, name);
    if (!t) {
        fprintf(stderr, "port: the file has no %s\n", name);
        exit(1);
    }
    return t;
}

static tg_tensor *input(tg_tape *tape, const tg_safetensors *file, const char *name)
{
    const tg_file_tensor *t = of_file(file, name);
    return tg_input(tape, t->dtype, t->dim, (size_t)t->ndim, t->data);
}

/* Says how far n numbers are from PyTorch's, and whether that is near enough for f32. */
static bool same(const char *what, const float *ours, const float *torchs, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = isnan(ours[i]) ? 1 : fmax(worst, fabs((double)ours[i] - (double)torchs[i]));
    printf("%-28s largest difference %.1e  %s\n", what, worst, worst < 1e-4 ? "same" : "NOT the same");
    return worst < 1e-4;
}

/* net.eval(); with torch.no_grad(): net(x) */
static bool output(tg_tape *tape, tg_module *m, const tg_safetensors *seen, const char *name)
{
    float y[6 * 3];
    tg_tape_reset(tape);
    tg_module_eval(m);
    tg_tape_set_recording(tape, false);
    tg_tensor *out = tg_forward(tape, m, input(tape, seen, "x"));
    tg_tape_set_recording(tape, true);
    check(tg_tape_status(tape));
    check(tg_tensor_read(out, y, sizeof y));
    return same(name, y, of_file(seen, name)->data, sizeof y / sizeof *y);
}

/* net.train(); loss.backward(); optimizer.step() */
static float step(tg_tape *tape, tg_module *m, tg_optimizer *optimizer, const tg_safetensors *seen)
{
    double value;
    tg_tape_reset(tape);
    tg_module_train(m);
    tg_tensor *loss =
        tg_cross_entropy(tape, tg_forward(tape, m, input(tape, seen, "x")), input(tape, seen, "y"));
    tg_backward(tape, loss);
    check(tg_optimizer_step(optimizer, tape));
    check(tg_item(loss, &value));
    return (float)value;
}

int main(int argc, char **argv)
{
    char path[2][4096];
    const char *folder = argc > 1 ? argv[1] : "examples";
    tg_runtime *rt;
    tg_tape *tape;
    tg_safetensors *seen;
    snprintf(path[0], sizeof path[0], "%s/port.safetensors", folder);
    snprintf(path[1], sizeof path[1], "%s/port_expected.safetensors", folder);
    check(tg_runtime_open(&rt, NULL));
    check(tg_tape_open(&tape, rt));
    check(tg_safetensors_open(&seen, rt, path[1]));

    tg_module *m = tg_module_new(rt, &net_class, NULL);
    check(m ? TG_OK : TG_EINVAL);
    check(tg_module_load_state(m, path[0], true, NULL)); /* net.load_state_dict(load_file(path)) */
    bool good = output(tape, m, seen, "before");

    tg_optimizer *optimizer =
        tg_optim_sgd(rt, tg_module_parameters(m), &(tg_sgd_options){.lr = 0.1, .momentum = 0.9});
    check(optimizer ? TG_OK : TG_EINVAL);
    float losses[3];
    for (int k = 0; k < 3; k++)
        losses[k] = step(tape, m, optimizer, seen);
    good &= same("losses of three steps", losses, of_file(seen, "losses")->data, 3);
    good &= output(tape, m, seen, "after");

    tg_optimizer_destroy(optimizer);
    tg_module_destroy(m);
    tg_safetensors_close(seen);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    return good ? 0 : 1;
}
