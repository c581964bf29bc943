/* What the examples share: options, opening and closing, a generator, learning by steps (loop.c); images learned by
 * epochs (images.c). Where something fails the program ends with a sentence. */
#ifndef TAPEGRAD_EXAMPLE_LOOP_H
#define TAPEGRAD_EXAMPLE_LOOP_H

#include <tapegrad/tapegrad.h>

typedef struct loop_options {
    const char *program, *data, *curve; /* curve: an SVG, or NULL                                             */
    const char *resume;                 /* written after each epoch, to go on from; or NULL                   */
    int64_t epochs, steps, batch;       /* epochs or steps                                                    */
    int64_t examples;                   /* of images: at most so many an epoch, and of the test; 0: all       */
    double lr;
    double below; /* the last training loss has to be: the exit status says so. Infinite: no check            */
    uint64_t seed;
} loop_options;

/* An option of a program's own. `read` puts its value to `at`, or returns what is wrong with it. */
typedef struct loop_option {
    const char *name, *value; /* value: as usage names it; NULL: the option has none */
    const char *(*read)(void *at, const char *value);
    void *at;
} loop_option;

/* Readers: a whole number of 1 or more to an int64_t; what stands there to a const char *. */
const char *loop_whole(void *at, const char *value);
const char *loop_text(void *at, const char *value);

/* Reads `own`, which ends with {0}, and --batch N, --lr X, --seed N, --curve FILE.svg, --help. */
void loop_read_options(loop_options *o, const loop_option *own, int argc, char **argv);
/* Ends the program with usage and the sentence why + what. */
void loop_usage(loop_options *o, const loop_option *own, const char *why, const char *what);

/* Ends the program with the library's sentence unless `good`. */
void loop_check(const loop_options *o, bool good);
/* realloc() that ends the program where there is no memory. */
void *loop_room(const loop_options *o, void *old, size_t bytes);
/* Steele, Lea and Flood 2014: SplitMix. */
uint64_t loop_random(uint64_t *state);

typedef struct loop {
    const loop_options *o;
    tg_runtime *rt;
    tg_tape *tape;
    tg_module *net;
    tg_optimizer *optimizer;
    tg_scheduler *scheduler; /* steps after each batch; may be NULL */
    tg_dataset *train_data, *test_data;
    tg_loader *train, *test;
    uint64_t state;                      /* of the program's generator */
    double *at, *train_loss, *test_mean; /* what loop_steps() kept     */
    size_t looks;
} loop;

/* The runtime, the tape and the generator, from the options' seed. */
void loop_open(loop *l, const loop_options *o);
/* Everything that stands in it. */
void loop_close(loop *l);
/* Ends the program at the tape's first error. */
void loop_check_tape(const loop *l);
/* 0, or 1 with a sentence where the training loss is not below what it has to be. */
int loop_status(const loop_options *o, double loss);

/* -- by steps: now and then a look, which is printed and kept ----------------------------------------------- */

typedef struct loop_task {
    const char *unit; /* what is learned from, "bytes", and how many of them in a step */
    int64_t units;
    const char *tested; /* what a test is about, "held out", and whether in per cent */
    bool percent;
    int tests; /* batches that a look takes the mean of: the same each time */
    void *arg;
    tg_tensor *(*loss)(void *arg); /* of a batch drawn          */
    double (*test)(void *arg);     /* … and of one of the test's */
} loop_task;

/* The mean loss of the last steps. */
double loop_steps(loop *l, const loop_task *task);

/* -- images by epochs --------------------------------------------------------------------------------------- */

/* --epochs N, --examples N, --data DIR and --resume FILE; --small starts from `small` instead, a setting of seconds. */
void loop_read_image_options(loop_options *o, const loop_options *small, int argc, char **argv);

/* Folder with MNIST's four files, or Fashion-MNIST of the Debian package: "…/train-images-idx3-ubyte.gz". */
void loop_find_idx(const loop_options *o, const char *set, char images[4096], char labels[4096]);
/* Opens both sets, normalised by the training images' mean and deviation. */
void loop_open_idx(loop *l);

/* Images [N, H, W] reach the model as [N, 1, H, W]. Mean loss of an epoch's batches; loss and accuracy (%) on the test data. */
double loop_train(loop *l, int64_t epoch);
void loop_evaluate(loop *l, double *loss, double *accuracy);
/* All epochs: a table on stdout, curves where asked for, the last line; returns the program's exit status. Over all examples
 * the learning rate falls as a cosine. */
int loop_run(loop *l);

#endif
