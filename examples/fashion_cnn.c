/* A convolutional network on Fashion-MNIST: four 3×3 convolutions with batch normalisation, two poolings, dropout.
 *
 *     fashion_cnn                        three epochs, about 91.5 % of the test images right
 *     fashion_cnn --curve curves.svg     … and draw losses and accuracy
 *     fashion_cnn --resume run.safetensors    … and go on from that file, written after each epoch
 *     fashion_cnn --small                seconds: ends with 0 where the loss fell as it should
 */
#include <math.h>

#include "loop.h"
#include "models.h"

int main(int argc, char **argv)
{
    loop_options o = {"fashion_cnn", .epochs = 3, .batch = 128, .lr = 0.05, .below = (double)INFINITY, .seed = 1};
    const loop_options small = {"fashion_cnn", .epochs = 2, .batch = 32, .examples = 960, .lr = 0.05, .below = 1.2, .seed = 1};
    loop l;
    loop_read_image_options(&o, &small, argc, argv);
    loop_open(&l, &o);
    loop_open_idx(&l);
    const tg_loader_options training = {.batch_size = o.batch, .shuffle = true, .seed = o.seed, .last = TG_LAST_MERGE, .prefetch = true},
                            testing = {.batch_size = 500, .prefetch = true};
    loop_check(&o, !tg_loader_open(&l.train, l.rt, l.train_data, &training) && !tg_loader_open(&l.test, l.rt, l.test_data, &testing));

    l.net = model_cnn(l.rt);
    loop_check(&o, l.net);
    l.optimizer = tg_optim_sgd(l.rt, tg_module_parameters(l.net), &(tg_sgd_options){.lr = o.lr, .momentum = 0.9});
    loop_check(&o, l.optimizer);
    const int status = loop_run(&l);
    loop_close(&l);
    return status;
}
