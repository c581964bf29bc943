/* What Dropout is for: a network that is far too large for a thousand images learns them by heart, and what it knows of
 * others gets worse. With Dropout it goes on getting better.
 *
 *     dropout_demo                       draws dropout.svg: losses on the images learned and on the test's, with and without
 *     dropout_demo --small               seconds; ends with 0 where the test's loss is lower with Dropout
 *
 * Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014.
 */
#include <math.h>
#include <stdlib.h>

#include "loop.h"

enum { LEARNED = 1000, PIXELS = 784 };

typedef struct history {
    double *epoch, *train, *test;
} history;

/* The first of the training images as floats, so that every epoch sees the same thousand. */
static tg_dataset *thousand(const loop_options *o, tg_runtime *rt, float *x, int64_t *y)
{
    char images[4096], labels[4096];
    tg_idx image, label;
    tg_dataset *data = NULL;
    const int64_t row = PIXELS;
    loop_find_idx(o, "train", images, labels);
    loop_check(o, !tg_idx_read(&image, rt, images) && !tg_idx_read(&label, rt, labels));
    if (image.ndim != 3 || image.dim[1] * image.dim[2] != PIXELS || image.dim[0] < LEARNED || label.dim[0] < LEARNED) {
        fprintf(stderr, "%s: %s is not a thousand images of %d pixels or more\n", o->program, images, PIXELS);
        exit(1);
    }
    for (int64_t i = 0; i < (int64_t)LEARNED * PIXELS; i++)
        x[i] = (float)image.data[i] / 255;
    for (int64_t i = 0; i < LEARNED; i++)
        y[i] = label.data[i];
    tg_idx_free(&image);
    tg_idx_free(&label);
    loop_check(o, !tg_dataset_wrap(&data, rt, LEARNED, TG_F32, &row, 1, x, TG_I64, NULL, 0, y));
    return data;
}

static tg_module *model(tg_runtime *rt, double p)
{
    return tg_nn_sequential(rt, tg_nn_dropout(rt, p * 0.4), tg_nn_linear(rt, PIXELS, 1024), tg_nn_relu(rt), tg_nn_dropout(rt, p),
                            tg_nn_linear(rt, 1024, 1024), tg_nn_relu(rt), tg_nn_dropout(rt, p), tg_nn_linear(rt, 1024, 10));
}

/* Both losses as evaluating gives them: in train mode Dropout's own noise would be in the first. */
static void learn(loop *l, double p, tg_loader *again, history *h)
{
    tg_loader *test = l->test;
    l->net = model(l->rt, p);
    loop_check(l->o, l->net);
    l->optimizer = tg_optim_sgd(l->rt, tg_module_parameters(l->net), &(tg_sgd_options){.lr = l->o->lr, .momentum = 0.9});
    loop_check(l->o, l->optimizer);
    printf("Dropout %.1f\nepoch   images learned   test images   test accuracy\n", p);
    for (int64_t i = 0; i < l->o->epochs; i++) {
        double accuracy;
        loop_train(l, i);
        l->test = again;
        loop_evaluate(l, &h->train[i], &accuracy);
        l->test = test;
        loop_evaluate(l, &h->test[i], &accuracy);
        h->epoch[i] = (double)(i + 1);
        if ((i + 1) % 5 == 0)
            printf("%5d   %14.4f   %11.4f   %11.2f %%\n", (int)i + 1, h->train[i], h->test[i], accuracy);
        fflush(stdout);
    }
    tg_optimizer_destroy(l->optimizer);
    tg_module_destroy(l->net);
    l->optimizer = NULL;
    l->net = NULL;
}

static void draw(const loop_options *o, const history *without, const history *with)
{
    const size_t n = (size_t)o->epochs;
    const tg_curve learned[] = {{"without Dropout", without->epoch, without->train, n}, {"with", with->epoch, with->train, n}},
                   others[] = {{"without Dropout", without->epoch, without->test, n}, {"with", with->epoch, with->test, n}};
    const tg_chart charts[] = {{"The thousand images learned", "epoch", "cross-entropy", learned, 2},
                               {"Test images", "epoch", "cross-entropy", others, 2}};
    loop_check(o, !tg_charts_write_svg(o->curve, charts, 2));
    printf("drawn: %s\n", o->curve);
}

int main(int argc, char **argv)
{
    loop_options o = {"dropout_demo", .curve = "dropout.svg", .epochs = 60, .batch = 50, .lr = 0.05, .seed = 1};
    const loop_options small = {"dropout_demo", .epochs = 25, .batch = 50, .examples = 1000, .lr = 0.05, .seed = 1};
    loop_read_image_options(&o, &small, argc, argv);
    const size_t n = (size_t)o.epochs;
    float *x = loop_room(&o, NULL, sizeof *x * LEARNED * PIXELS);
    int64_t *y = loop_room(&o, NULL, sizeof *y * LEARNED);
    double *rows = loop_room(&o, NULL, 6 * n * sizeof *rows);
    loop l;
    tg_loader *again = NULL;
    loop_open(&l, &o);
    loop_open_idx(&l);
    tg_dataset_set_normalise(l.test_data, (tg_normalise){0, 1});
    tg_dataset_close(l.train_data);
    l.train_data = thousand(&o, l.rt, x, y);
    const tg_loader_options learning = {.batch_size = o.batch, .shuffle = true, .seed = o.seed},
                            testing = {.batch_size = 500, .flatten = true};
    loop_check(&o, !tg_loader_open(&l.train, l.rt, l.train_data, &learning) &&
                       !tg_loader_open(&again, l.rt, l.train_data, &testing) &&
                       !tg_loader_open(&l.test, l.rt, l.test_data, &testing));

    history without = {rows, rows + n, rows + 2 * n}, with = {rows + 3 * n, rows + 4 * n, rows + 5 * n};
    learn(&l, 0, again, &without);
    learn(&l, 0.5, again, &with);
    if (o.curve)
        draw(&o, &without, &with);
    const double last = without.test[n - 1], last_with = with.test[n - 1];
    printf("test loss after %zu epochs: %.4f without Dropout, %.4f with it\n", n, last, last_with);

    tg_loader_close(again);
    loop_close(&l);
    free(x);
    free(y);
    free(rows);
    return last_with < last ? 0 : 1;
}
