/* What the examples that classify images share: options, a training loop with progress and curves, and its end. */
#ifndef TAPEGRAD_EXAMPLE_LOOP_H
#define TAPEGRAD_EXAMPLE_LOOP_H

#include <tapegrad/tapegrad.h>

typedef struct loop_options {
    const char *program, *data, *curve; /* curve: an SVG, or NULL                                             */
    int64_t epochs, batch, examples;    /* examples: at most so many an epoch, and of the test; 0: all        */
    double lr;
    double below; /* the last epoch's training loss has to be: the exit status says so. Infinite: no check     */
    uint64_t seed;
} loop_options;

/* Reads --epochs N, --batch N, --lr X, --seed N, --examples N, --data DIR, --curve FILE.svg over `o`; --small starts from
 * `small` instead, a setting of seconds. Ends the program with usage where something is wrong. */
void loop_read_options(loop_options *o, const loop_options *small, int argc, char **argv);

/* Ends the program with the library's sentence unless `good`. */
void loop_check(const loop_options *o, bool good);

typedef struct loop {
    const loop_options *o;
    tg_runtime *rt;
    tg_tape *tape;
    tg_module *net;
    tg_optimizer *optimizer;
    tg_scheduler *scheduler; /* steps after each batch; may be NULL */
    tg_loader *train, *test;
} loop;

/* Images [N, H, W] reach the model as [N, 1, H, W]. Both end the program on an error. Mean loss of an epoch's batches; loss and accuracy (%) on the test data. */
double loop_train(loop *l, int64_t epoch);
void loop_evaluate(loop *l, double *loss, double *accuracy);
/* All epochs: a table on stdout, curves where asked for, the last line; returns the program's exit status. */
int loop_run(loop *l);

/* Folder with MNIST's four files, or Fashion-MNIST of the Debian package: "…/train-images-idx3-ubyte.gz". Ends the program
 * with what to install where there is none. */
void loop_find_idx(const loop_options *o, const char *set, char images[4096], char labels[4096]);
/* Opens both sets, normalised by the training images' mean and deviation. */
void loop_open_idx(const loop_options *o, tg_runtime *rt, tg_dataset **train, tg_dataset **test);

#endif
