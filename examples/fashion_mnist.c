/* Trains a network on Fashion-MNIST (or any four IDX files like MNIST's) and evaluates it.
 *
 *     fashion_mnist                          five epochs of the multi-layer perceptron
 *     fashion_mnist --save m.safetensors     … and keep it
 *     fashion_mnist --load m.safetensors     evaluate it again, without training
 *     TAPEGRAD_BACKEND=reference fashion_mnist
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tapegrad/tapegrad.h>

#define DEBIAN_FOLDER "/usr/share/datasets/fashion-mnist"
enum { CLASSES = 10, POINTS_AN_EPOCH = 20 };

typedef struct options {
    const char *model, *optimizer, *schedule, *data, *curve, *save, *load;
    int64_t epochs, batch;
    double lr; /* NaN: the optimizer's own default */
    uint64_t seed;
} options;

typedef struct history {
    double *step_x, *step_loss, *epoch_x, *test_loss, *test_accuracy;
    size_t steps, epochs;
} history;

typedef struct run {
    options o;
    tg_runtime *rt;
    tg_tape *tape;
    tg_dataset *train_data, *test_data;
    tg_loader *train, *test;
    tg_module *net;
    tg_optimizer *optimizer;
    tg_scheduler *scheduler;
    history h;
} run;

/* -- errors and options ---------------------------------------------------------------------------------- */
static void fail(void)
{
    fprintf(stderr, "fashion_mnist: %s\n", tg_error_message());
    exit(1);
}

static void check(tg_status status)
{
    if (status)
        fail();
}

static void usage(const char *why, const char *what)
{
    if (why)
        fprintf(stderr, "fashion_mnist: %s%s\n", why, what);
    fputs("usage: fashion_mnist [--model simple|mlp] [--epochs N] [--batch N] [--lr X]\n"
          "                     [--optimizer sgd|adam|adamw] [--schedule cosine|constant] [--seed N]\n"
          "                     [--data DIR] [--curve FILE.svg] [--save FILE] [--load FILE]\n",
          why ? stderr : stdout);
    exit(why ? 2 : 0);
}

static const char *one_of(const char *option, const char *value, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(*words, value) == 0)
            return value;
    usage(option, value);
    return NULL;
}

static int64_t whole(const char *option, const char *value, int64_t low)
{
    char *end;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end || n < low || n > INT32_MAX)
        usage(option, value);
    return n;
}

static double real(const char *option, const char *value)
{
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end || !(x >= 0))
        usage(option, value);
    return x;
}

/* A training is not to end at a path that cannot be written. */
static void check_output(const char *option, const char *path)
{
    if (!path)
        return;
    char folder[4096];
    struct stat s;
    const char *slash = strrchr(path, '/');
    int length = slash > path ? (int)(slash - path) : 1, problem = 0;
    if (!*path || length >= (int)sizeof folder)
        problem = *path ? ENAMETOOLONG : ENOENT;
    snprintf(folder, sizeof folder, "%.*s", length, slash ? path : ".");
    if (!problem && stat(path, &s) == 0)
        problem = S_ISDIR(s.st_mode) ? EISDIR : access(path, W_OK) != 0 ? errno : 0;
    if (!problem && stat(folder, &s) == 0 && !S_ISDIR(s.st_mode))
        problem = ENOTDIR;
    if (!problem && access(folder, W_OK | X_OK) != 0)
        problem = errno;
    if (!problem)
        return;
    fprintf(stderr, "fashion_mnist: %s %s cannot be written: %s\n", option, path, strerror(problem));
    exit(2);
}

static options read_options(int argc, char **argv)
{
    static const char *const models[] = {"simple", "mlp", NULL},
                             *const optimizers[] = {"sgd", "adam", "adamw", NULL},
                             *const schedules[] = {"cosine", "constant", NULL};
    static const struct option known[] = {
        {"model", required_argument, NULL, 'm'},
        {"epochs", required_argument, NULL, 'e'},
        {"batch", required_argument, NULL, 'b'},
        {"lr", required_argument, NULL, 'r'},
        {"optimizer", required_argument, NULL, 'o'},
        {"schedule", required_argument, NULL, 'w'},
        {"seed", required_argument, NULL, 's'},
        {"data", required_argument, NULL, 'd'},
        {"curve", required_argument, NULL, 'c'},
        {"save", required_argument, NULL, 'S'},
        {"load", required_argument, NULL, 'L'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    options o = {.model = "mlp",
                 .optimizer = "sgd",
                 .schedule = "cosine",
                 .epochs = 5,
                 .batch = 128,
                 .lr = (double)NAN,
                 .seed = 1};
    int c;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (c) {
        case 'm': o.model = one_of("unknown model ", optarg, models); break;
        case 'e': o.epochs = whole("not a number of epochs: ", optarg, 1); break;
        case 'b': o.batch = whole("not a batch size: ", optarg, 1); break;
        case 'r': o.lr = real("not a learning rate: ", optarg); break;
        case 'o': o.optimizer = one_of("unknown optimizer ", optarg, optimizers); break;
        case 'w': o.schedule = one_of("unknown schedule ", optarg, schedules); break;
        case 's': o.seed = (uint64_t)whole("not a seed: ", optarg, 0); break;
        case 'd': o.data = optarg; break;
        case 'c': o.curve = optarg; break;
        case 'S': o.save = optarg; break;
        case 'L': o.load = optarg; break;
        case 'h': usage(NULL, NULL); break;
        default: usage("unknown option, or one without its value: ", argv[optind - 1]);
        }
    if (optind < argc)
        usage("unexpected argument ", argv[optind]);
    if (o.curve && o.load)
        usage("--curve needs a training, and --load does none: ", o.curve);
    check_output("--save", o.save);
    check_output("--curve", o.curve);
    return o;
}

/* -- data ------------------------------------------------------------------------------------------------ */
/* MNIST's files go by "train-images-idx3-ubyte" and "train-images.idx3-ubyte", plain or .gz. */
static bool find_file(char *path, size_t size, const char *folder, const char *set, const char *kind,
                      int rank)
{
    for (int i = 0; i < 4; i++) {
        snprintf(path, size, "%s/%s-%s%cidx%d-ubyte%s", folder, set, kind, i & 1 ? '.' : '-', rank,
                 i & 2 ? ".gz" : "");
        if (access(path, R_OK) == 0)
            return true;
    }
    return false;
}

static tg_dataset *open_set(run *r, const char *folder, const char *set)
{
    char images[4096], labels[4096];
    tg_dataset *data;
    if (!find_file(images, sizeof images, folder, set, "images", 3) ||
        !find_file(labels, sizeof labels, folder, set, "labels", 1)) {
        fprintf(stderr,
                "fashion_mnist: no %s-images-idx3-ubyte[.gz] and %s-labels-idx1-ubyte[.gz] in %s.\n"
                "On Debian:  apt-get install dataset-fashion-mnist\n"
                "Elsewhere:  put the four files of Fashion-MNIST (or MNIST) into a folder and say --data "
                "FOLDER\n",
                set, set, folder);
        exit(1);
    }
    check(tg_dataset_open_idx(&data, r->rt, images, labels, NULL, CLASSES));
    return data;
}

static void open_data(run *r)
{
    const char *folder = r->o.data ? r->o.data : DEBIAN_FOLDER;
    r->train_data = open_set(r, folder, "train");
    r->test_data = open_set(r, folder, "t10k");
    /* The test images are normalised by the training images' statistics: they are not to be known. */
    tg_normalise normalise = tg_dataset_statistics(r->train_data);
    tg_dataset_set_normalise(r->train_data, normalise);
    tg_dataset_set_normalise(r->test_data, normalise);
    check(tg_loader_open(&r->train, r->rt, r->train_data,
                         &(tg_loader_options){.batch_size = r->o.batch,
                                              .shuffle = true,
                                              .seed = r->o.seed,
                                              .last = TG_LAST_MERGE,
                                              .prefetch = true,
                                              .flatten = true}));
    check(tg_loader_open(&r->test, r->rt, r->test_data,
                         &(tg_loader_options){.batch_size = 500, .prefetch = true, .flatten = true}));
}

/* -- the model ------------------------------------------------------------------------------------------- */
static tg_module *make_model(run *r)
{
    int64_t dims[TG_MAX_DIM], pixels = 1;
    size_t n = tg_dataset_shape(r->train_data, dims);
    for (size_t i = 0; i < n; i++)
        pixels *= dims[i];
    tg_runtime *rt = r->rt;
    if (strcmp(r->o.model, "simple") == 0)
        return tg_nn_sequential(rt, tg_nn_linear(rt, pixels, 128), tg_nn_relu(rt),
                                tg_nn_linear(rt, 128, CLASSES));
    /* clang-format off */
    return tg_nn_sequential(rt,
        tg_nn_linear(rt, pixels, 512), tg_nn_batch_norm1d(rt, 512), tg_nn_relu(rt), tg_nn_dropout(rt, 0.3),
        tg_nn_linear(rt, 512, 256), tg_nn_batch_norm1d(rt, 256), tg_nn_relu(rt), tg_nn_dropout(rt, 0.3),
        tg_nn_linear(rt, 256, CLASSES));
    /* clang-format on */
}

static tg_optimizer *make_optimizer(run *r)
{
    const tg_named_tensors *parameters = tg_module_parameters(r->net);
    if (strcmp(r->o.optimizer, "sgd") == 0)
        return tg_optim_sgd(r->rt, parameters,
                            &(tg_sgd_options){.lr = isnan(r->o.lr) ? 0.05 : r->o.lr, .momentum = 0.9});
    bool adamw = strcmp(r->o.optimizer, "adamw") == 0;
    tg_adam_options o = adamw ? tg_adamw_defaults() : tg_adam_defaults();
    if (!isnan(r->o.lr))
        o.lr = r->o.lr;
    return adamw ? tg_optim_adamw(r->rt, parameters, &o) : tg_optim_adam(r->rt, parameters, &o);
}

/* -- one epoch ------------------------------------------------------------------------------------------- */
static void note(run *r, int64_t epoch, int64_t step, double *sum, double *seen)
{
    int64_t batches = tg_loader_batches(r->train);
    if (step * POINTS_AN_EPOCH / batches == (step + 1) * POINTS_AN_EPOCH / batches)
        return;
    r->h.step_x[r->h.steps] = (double)epoch + (double)(step + 1) / (double)batches;
    r->h.step_loss[r->h.steps++] = *sum / *seen;
    *sum = *seen = 0;
}

static double train_epoch(run *r, int64_t epoch)
{
    char label[32];
    double total = 0, examples = 0, sum = 0, seen = 0;
    tg_progress progress;
    tg_batch batch;
    snprintf(label, sizeof label, "epoch %" PRId64, epoch + 1);
    tg_progress_begin(&progress, stderr, label, tg_loader_batches(r->train));
    tg_module_train(r->net);
    while (tg_loader_next(r->train, r->tape, &batch)) {
        double value = 0;
        tg_tensor *loss = tg_cross_entropy(r->tape, tg_forward(r->tape, r->net, batch.x), batch.y);
        tg_backward(r->tape, loss);
        tg_optimizer_step(r->optimizer, r->tape);
        if (tg_tape_status(r->tape))
            break;
        if (r->scheduler)
            tg_scheduler_step(r->scheduler);
        check(tg_item(loss, &value));
        total += value * (double)batch.size;
        examples += (double)batch.size;
        sum += value * (double)batch.size;
        seen += (double)batch.size;
        note(r, epoch, batch.index, &sum, &seen);
        tg_progress_step(&progress, batch.size, value);
    }
    tg_progress_end(&progress);
    if (tg_tape_status(r->tape)) {
        fprintf(stderr, "fashion_mnist: %s\n", tg_tape_error(r->tape));
        exit(1);
    }
    return total / examples;
}

static void evaluate(run *r, double *loss, double *accuracy)
{
    double examples = 0;
    tg_batch batch;
    *loss = *accuracy = 0;
    tg_module_eval(r->net);
    bool was = tg_tape_set_recording(r->tape, false);
    while (tg_loader_next(r->test, r->tape, &batch)) {
        double value = 0, hits = 0;
        tg_tensor *logits = tg_forward(r->tape, r->net, batch.x);
        tg_tensor *mean = tg_cross_entropy(r->tape, logits, batch.y);
        if (tg_accuracy(r->tape, logits, batch.y, &hits) || tg_item(mean, &value))
            break;
        *loss += value * (double)batch.size;
        *accuracy += hits * (double)batch.size;
        examples += (double)batch.size;
    }
    tg_tape_set_recording(r->tape, was);
    if (tg_tape_status(r->tape)) {
        fprintf(stderr, "fashion_mnist: %s\n", tg_tape_error(r->tape));
        exit(1);
    }
    *loss /= examples;
    *accuracy *= 100 / examples;
}

/* -- the job --------------------------------------------------------------------------------------------- */
static void train(run *r)
{
    size_t n = (size_t)r->o.epochs;
    history *h = &r->h;
    h->step_x = calloc(2 * (POINTS_AN_EPOCH + 1) * n + 3 * n, sizeof *h->step_x);
    if (!h->step_x) {
        fputs("fashion_mnist: out of memory\n", stderr);
        exit(1);
    }
    h->step_loss = h->step_x + (POINTS_AN_EPOCH + 1) * n;
    h->epoch_x = h->step_loss + (POINTS_AN_EPOCH + 1) * n;
    h->test_loss = h->epoch_x + n;
    h->test_accuracy = h->test_loss + n;
    puts("epoch   train loss   test loss   test accuracy   seconds");
    for (int64_t epoch = 0; epoch < r->o.epochs; epoch++) {
        double start = tg_seconds(), test_loss, accuracy, train_loss = train_epoch(r, epoch);
        evaluate(r, &test_loss, &accuracy);
        printf("%5" PRId64 "   %10.4f   %9.4f   %11.2f %%   %7.1f\n", epoch + 1, train_loss, test_loss,
               accuracy, tg_seconds() - start);
        fflush(stdout);
        h->epoch_x[h->epochs] = (double)(epoch + 1);
        h->test_loss[h->epochs] = test_loss;
        h->test_accuracy[h->epochs++] = accuracy;
    }
}

static void write_curves(const run *r)
{
    const history *h = &r->h;
    const tg_curve losses[] = {{"train loss", h->step_x, h->step_loss, h->steps},
                               {"test loss", h->epoch_x, h->test_loss, h->epochs}};
    const tg_curve accuracy[] = {{"test accuracy", h->epoch_x, h->test_accuracy, h->epochs}};
    const tg_chart charts[] = {{"Loss", "epoch", "cross-entropy", losses, 2},
                               {"Accuracy", "epoch", "%", accuracy, 1}};
    check(tg_charts_write_svg(r->o.curve, charts, 2));
    printf("curves: %s\n", r->o.curve);
}

typedef struct fingerprint {
    uint64_t state;
    tg_random_state tape, runtime;
} fingerprint;

static fingerprint take_fingerprint(run *r)
{
    fingerprint f = {.tape = tg_tape_random_state(r->tape), .runtime = tg_runtime_random_state(r->rt)};
    check(tg_module_checksum(r->net, &f.state));
    return f;
}

static void print_fingerprint(const char *when, fingerprint f)
{
    printf("%s evaluating: parameters and buffers %016" PRIx64 ", random state %" PRIu64 ":%" PRIu64
           " and %" PRIu64 ":%" PRIu64 "\n",
           when, f.state, f.tape.seed, f.tape.draw, f.runtime.seed, f.runtime.draw);
}

/* Evaluates once more, and shows that this changes nothing: no parameter, no running statistic, no random
 * state. */
static double evaluate_and_prove(run *r)
{
    double loss, accuracy;
    fingerprint before = take_fingerprint(r);
    evaluate(r, &loss, &accuracy);
    fingerprint after = take_fingerprint(r);
    bool equal = before.state == after.state && before.tape.seed == after.tape.seed &&
                 before.tape.draw == after.tape.draw && before.runtime.seed == after.runtime.seed &&
                 before.runtime.draw == after.runtime.draw;
    print_fingerprint("before", before);
    print_fingerprint("after ", after);
    puts(equal ? "equal: evaluating changed nothing" : "NOT EQUAL: evaluating changed the state");
    if (!equal)
        exit(1);
    return accuracy;
}

static void close_run(run *r)
{
    tg_scheduler_destroy(r->scheduler);
    tg_optimizer_destroy(r->optimizer);
    tg_module_destroy(r->net);
    tg_loader_close(r->train);
    tg_loader_close(r->test);
    tg_dataset_close(r->train_data);
    tg_dataset_close(r->test_data);
    tg_tape_close(r->tape);
    tg_runtime_close(r->rt);
    free(r->h.step_x);
}

int main(int argc, char **argv)
{
    run r = {.o = read_options(argc, argv)};
    check(tg_runtime_open(&r.rt, &(tg_runtime_options){.seed = r.o.seed}));
    check(tg_tape_open(&r.tape, r.rt));
    open_data(&r);
    r.net = r.o.load ? tg_module_load(r.rt, r.o.load) : make_model(&r);
    if (!r.net)
        fail();
    if (!r.o.load) {
        if (!(r.optimizer = make_optimizer(&r)))
            fail();
        if (strcmp(r.o.schedule, "cosine") == 0 &&
            !(r.scheduler = tg_lr_cosine_annealing(r.optimizer, r.o.epochs * tg_loader_batches(r.train), 0)))
            fail();
        train(&r);
    }
    double accuracy = evaluate_and_prove(&r);
    if (r.o.curve)
        write_curves(&r);
    if (r.o.save) {
        check(tg_module_save(r.net, r.o.save));
        printf("saved: %s\n", r.o.save);
    }
    const char *chain = tg_runtime_backend(r.rt);
    int length = (int)strcspn(chain, ",");
    if (r.o.load)
        printf("test accuracy %.2f %% of %s (backend %.*s)\n", accuracy, r.o.load, length, chain);
    else
        printf("test accuracy %.2f %% after %" PRId64 " epochs (backend %.*s)\n", accuracy, r.o.epochs,
               length, chain);
    close_run(&r);
    return 0;
}
