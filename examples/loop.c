#include "loop.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OPTIONS = 20, LOOK = 50 };

/* -- options ---------------------------------------------------------------------------------------------- */

static bool is_whole(const char *value, long long low, long long *n)
{
    char *end;
    *n = strtoll(value, &end, 10);
    return end != value && !*end && *n >= low && *n <= INT32_MAX;
}

const char *loop_whole(void *at, const char *value)
{
    long long n;
    if (!is_whole(value, 1, &n))
        return "not such a number: ";
    *(int64_t *)at = n;
    return NULL;
}

static const char *read_seed(void *at, const char *value)
{
    long long n;
    if (!is_whole(value, 0, &n))
        return "not such a number: ";
    *(uint64_t *)at = (uint64_t)n;
    return NULL;
}

static const char *read_rate(void *at, const char *value)
{
    char *end;
    const double rate = strtod(value, &end);
    if (end == value || *end || !(rate >= 0))
        return "not a learning rate: ";
    *(double *)at = rate;
    return NULL;
}

const char *loop_text(void *at, const char *value)
{
    *(const char **)at = value;
    return NULL;
}

/* The program's own and those of all. */
static int all_options(loop_options *o, const loop_option *own, loop_option all[MOST_OPTIONS])
{
    const loop_option shared[] = {{"batch", "N", loop_whole, &o->batch},
                                  {"lr", "X", read_rate, &o->lr},
                                  {"seed", "N", read_seed, &o->seed},
                                  {"curve", "FILE.svg", loop_text, &o->curve},
                                  {"help", NULL, NULL, NULL}};
    const int n_shared = (int)(sizeof shared / sizeof *shared);
    int n = 0;
    while (own[n].name && n < MOST_OPTIONS - n_shared) {
        all[n] = own[n];
        n++;
    }
    memcpy(all + n, shared, sizeof shared);
    return n + n_shared;
}

void loop_usage(loop_options *o, const loop_option *own, const char *why, const char *what)
{
    FILE *to = why ? stderr : stdout;
    loop_option all[MOST_OPTIONS];
    const int n = all_options(o, own, all), indent = (int)strlen("usage: ") + (int)strlen(o->program);
    if (why)
        fprintf(to, "%s: %s%s\n", o->program, why, what);
    int column = fprintf(to, "usage: %s", o->program);
    for (int i = 0; i < n; i++) {
        if (column > 90)
            column = fprintf(to, "\n%*s", indent, "") - 1;
        column += all[i].value ? fprintf(to, " [--%s %s]", all[i].name, all[i].value) : fprintf(to, " [--%s]", all[i].name);
    }
    putc('\n', to);
    exit(why ? 2 : 0);
}

void loop_read_options(loop_options *o, const loop_option *own, int argc, char **argv)
{
    enum { FIRST = 256 };
    loop_option all[MOST_OPTIONS];
    struct option known[MOST_OPTIONS + 1] = {{0}};
    const int n = all_options(o, own, all);
    for (int i = 0; i < n; i++)
        known[i] = (struct option){all[i].name, all[i].value ? required_argument : no_argument, NULL, FIRST + i};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c < FIRST)
            loop_usage(o, own, "unknown option, or one without its value: ", argv[optind - 1]);
        const loop_option *it = &all[c - FIRST];
        const char *wrong = it->read ? it->read(it->at, optarg) : NULL;
        if (wrong || !it->read)
            loop_usage(o, own, wrong, optarg);
    }
    if (optind < argc)
        loop_usage(o, own, "unexpected argument ", argv[optind]);
}

/* -- errors, memory, random numbers ----------------------------------------------------------------------- */

void loop_check(const loop_options *o, bool good)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", o->program, tg_error_message());
    exit(1);
}

void *loop_room(const loop_options *o, void *old, size_t bytes)
{
    void *room = realloc(old, bytes);
    if (!room) {
        fprintf(stderr, "%s: out of memory\n", o->program);
        exit(1);
    }
    return room;
}

uint64_t loop_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* -- beginning and end ------------------------------------------------------------------------------------ */

void loop_open(loop *l, const loop_options *o)
{
    *l = (loop){.o = o, .state = o->seed};
    loop_check(o, !tg_runtime_open(&l->rt, &(tg_runtime_options){.seed = o->seed}) && !tg_tape_open(&l->tape, l->rt));
}

void loop_close(loop *l)
{
    tg_scheduler_destroy(l->scheduler);
    tg_optimizer_destroy(l->optimizer);
    tg_module_destroy(l->net);
    tg_loader_close(l->train);
    tg_loader_close(l->test);
    tg_dataset_close(l->train_data);
    tg_dataset_close(l->test_data);
    tg_tape_close(l->tape);
    tg_runtime_close(l->rt);
    free(l->at);
}

void loop_check_tape(const loop *l)
{
    if (!tg_tape_status(l->tape))
        return;
    fprintf(stderr, "%s: %s\n", l->o->program, tg_tape_error(l->tape));
    exit(1);
}

int loop_status(const loop_options *o, double loss)
{
    if (loss < o->below)
        return 0;
    fprintf(stderr, "%s: the training loss is %g, expected below %g\n", o->program, loss, o->below);
    return 1;
}

/* -- by steps --------------------------------------------------------------------------------------------- */

static double step(loop *l, const loop_task *task)
{
    double value = 0;
    tg_tape_reset(l->tape);
    tg_tensor *loss = task->loss(task->arg);
    tg_backward(l->tape, loss);
    tg_clip_grad_norm(l->tape, tg_module_parameters(l->net), 1, NULL);
    tg_optimizer_step(l->optimizer, l->tape);
    loop_check_tape(l);
    loop_check(l->o, !tg_item(loss, &value) && !tg_scheduler_step(l->scheduler));
    return value;
}

static double test(loop *l, const loop_task *task)
{
    double sum = 0;
    const uint64_t state = l->state;
    l->state = 7; /* the same batches each time */
    tg_module_eval(l->net);
    const bool was = tg_tape_set_recording(l->tape, false);
    for (int i = 0; i < task->tests; i++) {
        tg_tape_reset(l->tape);
        sum += task->test(task->arg);
    }
    tg_tape_set_recording(l->tape, was);
    tg_module_train(l->net);
    l->state = state;
    return sum / task->tests;
}

double loop_steps(loop *l, const loop_task *task)
{
    tg_progress progress;
    double sum = 0, start = tg_seconds();
    const int64_t steps = l->o->steps, look = steps < LOOK ? steps : LOOK;
    const size_t n = (size_t)(steps / look);
    const int width = (int)strlen(task->tested) - (task->percent ? 2 : 0);
    l->at = loop_room(l->o, NULL, 3 * n * sizeof *l->at);
    l->train_loss = l->at + n;
    l->test_mean = l->train_loss + n;
    tg_progress_begin(&progress, stderr, "learning", steps);
    printf("   step   training loss   %s   %s/s\n", task->tested, task->unit);
    for (int64_t i = 1; i <= steps; i++) {
        const double value = step(l, task);
        sum += value;
        tg_progress_step(&progress, task->units, value);
        if (i % look)
            continue;
        const double seconds = tg_seconds() - start, train = sum / (double)look, mean = test(l, task);
        l->at[l->looks] = (double)i;
        l->train_loss[l->looks] = train;
        l->test_mean[l->looks++] = mean;
        tg_progress_end(&progress); /* clears the line */
        printf("%7" PRId64 "   %13.4f   %*.*f%s   %7.0f\n", i, train, width, task->percent ? 2 : 4, mean, task->percent ? " %" : "",
               (double)(look * task->units) / seconds);
        fflush(stdout);
        sum = 0;
        start = tg_seconds();
    }
    tg_progress_end(&progress);
    return l->train_loss[l->looks - 1];
}
