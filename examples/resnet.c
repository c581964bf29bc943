/* ResNet-18 (He et al. 2016) on images of 3×32×32, shifted and mirrored at random as they are learned.
 *
 *     resnet --data cifar-10-batches-bin     CIFAR-10's binary files: data_batch_1.bin … test_batch.bin
 *     resnet --data FOLDER                   MNIST's or Fashion-MNIST's four IDX files, padded, grey in all three channels
 *     resnet                                 Fashion-MNIST of the Debian package dataset-fashion-mnist
 *     resnet --small                         seconds: ends with 0 where the loss fell as it should
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "models.h"

enum { SIDE = 32, CHANNELS = 3, PIXELS = SIDE * SIDE, RECORD = 1 + CHANNELS * PIXELS, MOST_SHIFT = 4 };

/* CIFAR's own records: a label, then the pixels of the red, the green and the blue channel. */
typedef struct images {
    uint8_t *records;
    int64_t n;
    float mean[CHANNELS], scale[CHANNELS];
    bool augment;
    uint64_t state; /* of the generator of shifts: the loader asks from one thread */
} images;

/* -- reading ---------------------------------------------------------------------------------------------- */

static void grow(const loop_options *o, images *to, int64_t more)
{
    to->records = loop_room(o, to->records, (size_t)(to->n + more) * RECORD);
}

/* False: there is no such file. */
static bool read_cifar(const loop_options *o, images *to, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.bin", o->data, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    size_t got;
    do {
        grow(o, to, 1000);
        got = fread(to->records + (size_t)to->n * RECORD, 1, (size_t)1000 * RECORD, f);
        to->n += (int64_t)(got / RECORD);
        if (got % RECORD || ferror(f)) {
            fprintf(stderr, "%s: %s is not made of CIFAR-10's records of %d bytes\n", o->program, path, RECORD);
            exit(1);
        }
    } while (got == (size_t)1000 * RECORD);
    fclose(f);
    return true;
}

static void read_idx(const loop_options *o, tg_runtime *rt, images *to, const char *set)
{
    char image_path[4096], label_path[4096];
    tg_idx image, label;
    loop_find_idx(o, set, image_path, label_path);
    loop_check(o, !tg_idx_read(&image, rt, image_path) && !tg_idx_read(&label, rt, label_path));
    const int64_t h = image.ndim == 3 ? image.dim[1] : 0, w = image.ndim == 3 ? image.dim[2] : 0;
    if (h < 1 || w < 1 || h > SIDE || w > SIDE || label.ndim != 1 || label.dim[0] != image.dim[0]) {
        fprintf(stderr, "%s: %s is not images of at most %d by %d with a label each\n", o->program, image_path, SIDE, SIDE);
        exit(1);
    }
    to->n = image.dim[0];
    grow(o, to, 0);
    memset(to->records, 0, (size_t)to->n * RECORD);
    for (int64_t i = 0; i < to->n; i++) {
        uint8_t *record = to->records + i * RECORD, *middle = record + 1 + (SIDE - h) / 2 * SIDE + (SIDE - w) / 2;
        record[0] = label.data[i];
        for (int c = 0; c < CHANNELS; c++)
            for (int64_t y = 0; y < h; y++)
                memcpy(middle + c * PIXELS + y * SIDE, image.data + (i * h + y) * w, (size_t)w);
    }
    tg_idx_free(&image);
    tg_idx_free(&label);
}

static void read_all(const loop_options *o, tg_runtime *rt, images *train, images *test)
{
    char name[32];
    for (int i = 1; o->data && i <= 5; i++) {
        snprintf(name, sizeof name, "data_batch_%d", i);
        if (!read_cifar(o, train, name))
            break;
    }
    if (!train->n || !read_cifar(o, test, "test_batch")) {
        train->n = test->n = 0;
        read_idx(o, rt, train, "train");
        read_idx(o, rt, test, "t10k");
    }
    for (int c = 0; c < CHANNELS; c++) {
        double sum = 0, squares = 0, n = (double)train->n * PIXELS;
        for (int64_t i = 0; i < train->n; i++)
            for (int k = 0; k < PIXELS; k++) {
                const double v = train->records[i * RECORD + 1 + c * PIXELS + k];
                sum += v;
                squares += v * v;
            }
        train->mean[c] = test->mean[c] = (float)(sum / n);
        train->scale[c] = test->scale[c] = (float)(1 / sqrt(squares / n - sum / n * (sum / n)));
    }
}

/* -- an example ------------------------------------------------------------------------------------------- */

static tg_status fetch(void *arg, int64_t index, void *x, void *y)
{
    images *from = arg;
    const uint8_t *record = from->records + index * RECORD;
    float *to = x;
    int down = 0, right = 0;
    bool mirror = false;
    if (from->augment) {
        const uint64_t r = loop_random(&from->state);
        down = (int)(r % (2 * MOST_SHIFT + 1)) - MOST_SHIFT;
        right = (int)(r / 16 % (2 * MOST_SHIFT + 1)) - MOST_SHIFT;
        mirror = r >> 63;
    }
    *(int64_t *)y = record[0];
    for (int c = 0; c < CHANNELS; c++)
        for (int i = 0; i < SIDE; i++)
            for (int k = 0; k < SIDE; k++) {
                const int row = i - down, column = (mirror ? SIDE - 1 - k : k) - right;
                const bool inside = row >= 0 && row < SIDE && column >= 0 && column < SIDE;
                const float v = inside ? record[1 + c * PIXELS + row * SIDE + column] : 0;
                *to++ = (v - from->mean[c]) * from->scale[c];
            }
    return TG_OK;
}

static tg_loader *open_loader(const loop_options *o, tg_runtime *rt, images *from, bool training, tg_dataset **data)
{
    tg_loader *loader = NULL;
    const int64_t row[] = {CHANNELS, SIDE, SIDE};
    const tg_loader_options options = {.batch_size = training ? o->batch : 200,
                                       .shuffle = training,
                                       .seed = o->seed,
                                       .last = training ? TG_LAST_MERGE : TG_LAST_KEEP,
                                       .prefetch = true};
    from->augment = training;
    from->state = o->seed;
    loop_check(o, !tg_dataset_open_fetch(data, rt, from->n, TG_F32, row, 3, TG_I64, NULL, 0, fetch, from));
    loop_check(o, !tg_loader_open(&loader, rt, *data, &options));
    return loader;
}

int main(int argc, char **argv)
{
    loop_options o = {"resnet", .epochs = 10, .batch = 64, .lr = 0.05, .below = (double)INFINITY, .seed = 1};
    const loop_options small = {"resnet", .epochs = 2, .batch = 16, .examples = 192, .lr = 0.005, .below = 2.1, .seed = 1};
    loop l;
    images train_images = {0}, test_images = {0};
    loop_read_image_options(&o, &small, argc, argv);
    loop_open(&l, &o);
    read_all(&o, l.rt, &train_images, &test_images);
    l.train = open_loader(&o, l.rt, &train_images, true, &l.train_data);
    l.test = open_loader(&o, l.rt, &test_images, false, &l.test_data);

    l.net = model_resnet18(l.rt, CHANNELS, 10);
    loop_check(&o, l.net);
    l.optimizer = tg_optim_sgd(l.rt, tg_module_parameters(l.net),
                               &(tg_sgd_options){.lr = o.lr, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
    loop_check(&o, l.optimizer);
    const int status = loop_run(&l);

    loop_close(&l);
    free(train_images.records);
    free(test_images.records);
    return status;
}
