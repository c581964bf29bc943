#include "loop.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEBIAN_FOLDER "/usr/share/datasets/fashion-mnist"

/* -- options ---------------------------------------------------------------------------------------------- */

static void usage(const loop_options *o, const char *why, const char *what)
{
    if (why)
        fprintf(stderr, "%s: %s%s\n", o->program, why, what);
    fprintf(why ? stderr : stdout,
            "usage: %s [--small] [--epochs N] [--batch N] [--lr X] [--seed N] [--examples N] [--data DIR] [--curve FILE.svg]\n",
            o->program);
    exit(why ? 2 : 0);
}

static int64_t whole(const loop_options *o, const char *value, int64_t low)
{
    char *end;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end || n < low || n > INT32_MAX)
        usage(o, "not such a number: ", value);
    return n;
}

void loop_read_options(loop_options *o, const loop_options *small, int argc, char **argv)
{
    static const struct option known[] = {
        {"small", no_argument, NULL, 'S'},          {"epochs", required_argument, NULL, 'e'},
        {"batch", required_argument, NULL, 'b'},    {"lr", required_argument, NULL, 'l'},
        {"seed", required_argument, NULL, 's'},     {"data", required_argument, NULL, 'd'},
        {"curve", required_argument, NULL, 'c'},    {"help", no_argument, NULL, 'h'},
        {"examples", required_argument, NULL, 'n'}, {0},
    };
    int c;
    char *end;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (c) {
        case 'S': *o = *small; break;
        case 'e': o->epochs = whole(o, optarg, 1); break;
        case 'b': o->batch = whole(o, optarg, 1); break;
        case 's': o->seed = (uint64_t)whole(o, optarg, 0); break;
        case 'n': o->examples = whole(o, optarg, 1); break;
        case 'd': o->data = optarg; break;
        case 'c': o->curve = optarg; break;
        case 'l':
            o->lr = strtod(optarg, &end);
            if (end == optarg || *end || !(o->lr >= 0))
                usage(o, "not a learning rate: ", optarg);
            break;
        case 'h': usage(o, NULL, NULL); break;
        default: usage(o, "unknown option, or one without its value: ", argv[optind - 1]);
        }
    if (optind < argc)
        usage(o, "unexpected argument ", argv[optind]);
}

void loop_check(const loop_options *o, bool good)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", o->program, tg_error_message());
    exit(1);
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

void loop_open_idx(const loop_options *o, tg_runtime *rt, tg_dataset **train, tg_dataset **test)
{
    char images[4096], labels[4096];
    loop_find_idx(o, "train", images, labels);
    loop_check(o, !tg_dataset_open_idx(train, rt, images, labels, NULL, 10));
    loop_find_idx(o, "t10k", images, labels);
    loop_check(o, !tg_dataset_open_idx(test, rt, images, labels, NULL, 10));
    const tg_normalise normalise = tg_dataset_statistics(*train);
    tg_dataset_set_normalise(*train, normalise);
    tg_dataset_set_normalise(*test, normalise);
}

/* -- epochs ----------------------------------------------------------------------------------------------- */

/* How many batches of `loader` are used. */
static int64_t batches_of(const loop *l, tg_loader *loader, int64_t batch)
{
    const int64_t all = tg_loader_batches(loader), wanted = (l->o->examples + batch - 1) / batch;
    return l->o->examples && wanted < all ? wanted : all;
}

/* Ends the program at the first error of a step. */
static void check_step(const loop *l)
{
    if (!tg_tape_status(l->tape))
        return;
    fprintf(stderr, "%s: %s\n", l->o->program, tg_tape_error(l->tape));
    exit(1);
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
        check_step(l);
        if (l->scheduler)
            loop_check(l->o, !tg_scheduler_step(l->scheduler));
        loop_check(l->o, !tg_item(loss, &value));
        total += value * (double)batch.size;
        examples += (double)batch.size;
        tg_progress_step(&progress, batch.size, value);
    }
    tg_progress_end(&progress);
    check_step(l);
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
        check_step(l);
        loop_check(l->o, !tg_item(mean, &value) && !tg_accuracy(l->tape, scores, batch.y, &hits));
        *loss += value * (double)batch.size;
        *accuracy += 100 * hits * (double)batch.size;
        examples += (double)batch.size;
    }
    tg_tape_set_recording(l->tape, was);
    check_step(l);
    *loss /= examples;
    *accuracy /= examples;
}

static void write_curves(const loop_options *o, const double *at, size_t n)
{
    const tg_curve losses[] = {{"training", at, at + n, n}, {"test", at, at + 2 * n, n}}, accuracy = {"test", at, at + 3 * n, n};
    const tg_chart charts[] = {{"Loss", "epoch", "cross-entropy", losses, 2}, {"Accuracy", "epoch", "%", &accuracy, 1}};
    loop_check(o, !tg_charts_write_svg(o->curve, charts, 2));
    printf("curves: %s\n", o->curve);
}

int loop_run(loop *l)
{
    const size_t n = (size_t)l->o->epochs;
    double *rows = calloc(4 * n, sizeof *rows), train = 0, accuracy = 0; /* epoch, training loss, test loss, accuracy */
    if (!rows) {
        fprintf(stderr, "%s: out of memory\n", l->o->program);
        return 1;
    }
    puts("epoch   train loss   test loss   test accuracy   seconds");
    for (size_t i = 0; i < n; i++) {
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
    }
    if (l->o->curve)
        write_curves(l->o, rows, n);
    free(rows);
    printf("test accuracy %.2f %% after %zu epochs (backend %s)\n", accuracy, n, tg_runtime_backend(l->rt));
    if (train < l->o->below)
        return 0;
    fprintf(stderr, "%s: the training loss is %g, expected below %g\n", l->o->program, train, l->o->below);
    return 1;
}
