// A C++ program trains a small model: the headers are C++, and the calls link.
#include <tapegrad/layer_class.h>
#include <tapegrad/operator.h>
#include <tapegrad/tapegrad.h>

#include <cstdio>
#include <vector>

int main()
{
    tg_runtime *rt = nullptr;
    tg_tape *tape = nullptr;
    if (tg_runtime_open(&rt, nullptr) != TG_OK || tg_tape_open(&tape, rt) != TG_OK) {
        std::fprintf(stderr, "%s\n", tg_error_message());
        return 1;
    }
    tg_module *children[] = {tg_nn_linear(rt, 2, 8), tg_nn_tanh(rt), tg_nn_linear(rt, 8, 1)};
    tg_module *net = tg_nn_sequential_n(rt, children, 3);
    tg_adam_options options = tg_adam_defaults();
    options.lr = 0.05;
    tg_optimizer *optimizer = tg_optim_adam(rt, tg_module_parameters(net), &options);

    const std::vector<float> x = {0, 0, 0, 1, 1, 0, 1, 1}, y = {0, 1, 1, 0};
    const int64_t x_dims[] = {4, 2}, y_dims[] = {4, 1};
    double first = 0, last = 0;
    for (int i = 0; i < 300; i++) {
        tg_tape_reset(tape);
        tg_tensor *in = tg_input(tape, TG_F32, x_dims, 2, x.data());
        tg_tensor *target = tg_input(tape, TG_F32, y_dims, 2, y.data());
        tg_tensor *loss = tg_mse_loss(tape, tg_forward(tape, net, in), target, TG_REDUCE_MEAN);
        tg_backward(tape, loss);
        tg_item(loss, i ? &last : &first);
        tg_optimizer_step(optimizer, tape);
    }
    const bool good = tg_tape_status(tape) == TG_OK && last < first / 10;
    std::fprintf(stderr, "loss %g → %g %s\n", first, last, tg_tape_error(tape));
    tg_optimizer_destroy(optimizer);
    tg_module_destroy(net);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    return good ? 0 : 1;
}
