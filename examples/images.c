#include "loop.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define DEBIAN_FOLDER "/usr/share/datasets/fashion-mnist"

typedef struct setting {
    loop_options *o;
    const loop_options *small;
} setting;

static const char *be_small(void *at, const char *value)
{
    const setting *s = at;
    (void)value;
    *s->o = *s->small;
    return NULL;
}

void loop_read_image_options(loop_options *o, const loop_options *small, int argc, char **argv)
{
    setting s = {o, small};
    const loop_option own[] = {{"small", NULL, be_small, &s},
                               {"epochs", "N", loop_whole, &o->epochs},
                               {"examples", "N", loop_whole, &o->examples},
                               {"data", "DIR", loop_text, &o->data},
                               {"resume", "FILE", loop_text, &o->resume},
                               {0}};
    loop_read_options(o, own, argc, argv);
}

/* -- data ------------------------------------------------------------------------------------------------- */

static bool find_file(char path[4096], const char *folder, const char *set, const char *kind, int rank)
{
    for (int i = 0; i < 4; i++) {
        snprintf(path, 4096, "%s/%s-%s%cidx%d-ubyte%s", folder, set, kind, i & 1 ? '.' : '-', rank, i & 2 ? ".gz" : "");
        if (access(path, R_OK) == 0)
            return true;
    }
    return false;
}

void loop_find_idx(const loop_options *o, const char *set, char images[4096], char labels[4096])
{
    const char *folder = o->data ? o->data : DEBIAN_FOLDER;
    if (find_file(images, folder, set, "images", 3) && find_file(labels, folder, set, "labels", 1))
        return;
    fprintf(stderr,
            "%s: no %s-images-idx3-ubyte[.gz] and %s-labels-idx1-ubyte[.gz] in %s.\n"
            "On Debian:  apt-get install dataset-fashion-mnist\n"
            "Elsewhere:  put the four files of Fashion-MNIST (or MNIST) into a folder and say --data FOLDER\n",
            o->program, set, set, folder);
    exit(1);
}

void loop_open_idx(loop *l)
{
    char images[4096], labels[4096];
    loop_find_idx(l->o, "train", images, labels);
    loop_check(l->o, !tg_dataset_open_idx(&l->train_data, l->rt, images, labels, NULL, 10));
    loop_find_idx(l->o, "t10k", images, labels);
    loop_check(l->o, !tg_dataset_open_idx(&l->test_data, l->rt, images, labels, NULL, 10));
    const tg_normalise normalise = tg_dataset_statistics(l->train_data);
    tg_dataset_set_normalise(l->train_data, normalise);
    tg_dataset_set_normalise(l->test_data, normalise);
}

/* -- epochs ----------------------------------------------------------------------------------------------- */

/* How many batches of `loader` are used. */
static int64_t batches_of(const loop *l, tg_loader *loader, int64_t batch)
{
    const int64_t all = tg_loader_batches(loader), wanted = (l->o->examples + batch - 1) / batch;
    return l->o->examples && wanted < all ? wanted : all;
}

/* Images [N, H, W] have one channel. */
static tg_tensor *scores_of(loop *l, tg_tensor *x)
{
    return tg_forward(l->tape, l->net, tg_tensor_ndim(x) == 3 ? tg_unsqueeze(l->tape, x, 1) : x);
}

double loop_train(loop *l, int64_t epoch)
{
    char label[32];
    double total = 0, examples = 0;
    tg_progress progress;
    tg_batch batch;
    const int64_t n = batches_of(l, l->train, l->o->batch);
    snprintf(label, sizeof label, "epoch %" PRId64, epoch + 1);
    tg_progress_begin(&progress, stderr, label, n);
    tg_module_train(l->net);
    loop_check(l->o, !tg_loader_seek(l->train, epoch));
    for (int64_t i = 0; i < n && tg_loader_next(l->train, l->tape, &batch); i++) {
        double value = 0;
        tg_tensor *loss = tg_cross_entropy(l->tape, scores_of(l, batch.x), batch.y);
        tg_backward(l->tape, loss);
        tg_optimizer_step(l->optimizer, l->tape);
        loop_check_tape(l);
        if (l->scheduler)
            loop_check(l->o, !tg_scheduler_step(l->scheduler));
        loop_check(l->o, !tg_item(loss, &value));
        total += value * (double)batch.size;
        examples += (double)batch.size;
        tg_progress_step(&progress, batch.size, value);
    }
    tg_progress_end(&progress);
    loop_check_tape(l);
    return total / examples;
}

void loop_evaluate(loop *l, double *loss, double *accuracy)
{
    double examples = 0;
    tg_batch batch;
    *loss = *accuracy = 0;
    tg_module_eval(l->net);
    loop_check(l->o, !tg_loader_seek(l->test, 0));
    const bool was = tg_tape_set_recording(l->tape, false);
    while ((!l->o->examples || examples < (double)l->o->examples) && tg_loader_next(l->test, l->tape, &batch)) {
        double value = 0, hits = 0;
        tg_tensor *scores = scores_of(l, batch.x), *mean = tg_cross_entropy(l->tape, scores, batch.y);
        loop_check_tape(l);
        loop_check(l->o, !tg_item(mean, &value) && !tg_accuracy(l->tape, scores, batch.y, &hits));
        *loss += value * (double)batch.size;
        *accuracy += 100 * hits * (double)batch.size;
        examples += (double)batch.size;
    }
    tg_tape_set_recording(l->tape, was);
    loop_check_tape(l);
    *loss /= examples;
    *accuracy /= examples;
}

/* `at`: epochs, training losses, test losses, accuracies, n of each; those before the first are not known. */
static void write_curves(const loop_options *o, const double *at, size_t first, size_t n)
{
    const size_t known = n - first;
    at += first;
    const tg_curve losses[] = {{"training", at, at + n, known}, {"test", at, at + 2 * n, known}},
                   accuracy = {"test", at, at + 3 * n, known};
    const tg_chart charts[] = {{"Loss", "epoch", "cross-entropy", losses, 2}, {"Accuracy", "epoch", "%", &accuracy, 1}};
    loop_check(o, !tg_charts_write_svg(o->curve, charts, 2));
    printf("curves: %s\n", o->curve);
}

/* Writes what --resume names, or goes on from it where it is there. */
static void resume(loop *l, int64_t *epochs, bool write)
{
    const tg_saved all[] = {{"model", .module = l->net},
                            {"optimizer", .optimizer = l->optimizer},
                            {"generator", .tape = l->tape},
                            {"epochs", .integer = epochs},
                            {"scheduler", .scheduler = l->scheduler}};
    const size_t n = l->scheduler ? 5 : 4;
    if (write)
        loop_check(l->o, !tg_save(l->rt, l->o->resume, all, n));
    else if (access(l->o->resume, F_OK) == 0)
        loop_check(l->o, !tg_load(l->rt, l->o->resume, all, n));
}

int loop_run(loop *l)
{
    const size_t n = (size_t)l->o->epochs;
    int64_t done = 0;
    double *rows = loop_room(l->o, NULL, 4 * n * sizeof *rows), train = 0, accuracy = 0;
    if (!l->o->examples) {
        l->scheduler = tg_lr_cosine_annealing(l->optimizer, l->o->epochs * tg_loader_batches(l->train), 0);
        loop_check(l->o, l->scheduler);
    }
    if (l->o->resume)
        resume(l, &done, false);
    if (done >= l->o->epochs) {
        fprintf(stderr, "%s: %s has %" PRId64 " epochs already\n", l->o->program, l->o->resume, done);
        exit(1);
    }
    const size_t first = (size_t)done;
    puts("epoch   train loss   test loss   test accuracy   seconds");
    for (size_t i = first; i < n; i++) {
        const double start = tg_seconds();
        double test;
        train = loop_train(l, (int64_t)i);
        loop_evaluate(l, &test, &accuracy);
        printf("%5zu   %10.4f   %9.4f   %11.2f %%   %7.1f\n", i + 1, train, test, accuracy, tg_seconds() - start);
        fflush(stdout);
        rows[i] = (double)(i + 1);
        rows[n + i] = train;
        rows[2 * n + i] = test;
        rows[3 * n + i] = accuracy;
        if (l->o->resume) {
            done = (int64_t)i + 1;
            resume(l, &done, true);
        }
    }
    if (l->o->curve)
        write_curves(l->o, rows, first, n);
    free(rows);
    printf("test accuracy %.2f %% after %zu epochs (backend %s)\n", accuracy, n, tg_runtime_backend(l->rt));
    return loop_status(l->o, train);
}
