/* `tapegrad bench`: a train step (gradients dropped, forward, cross-entropy, backward, update) and a forward
 * in eval mode without gradients, on data already in memory. Lines as PyTorch's side of the comparison prints
 * them. */
#include <tapegrad/tapegrad.h>

#include "examples/models.h"
#include "tools/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

typedef struct workload {
    const char *name;
    tg_module *(*model)(tg_runtime *rt);
    tg_ints x;
    int64_t classes;
    int steps;
    bool text; /* x is indices, each place has a label, and AdamW learns */
} workload;

static tg_module *tiny(tg_runtime *rt)
{
    return tg_nn_sequential(rt, tg_nn_linear(rt, 10, 20), tg_nn_batch_norm1d(rt, 20), tg_nn_relu(rt),
                            tg_nn_dropout(rt, 0.5), tg_nn_linear(rt, 20, 2));
}

static tg_module *resnet18(tg_runtime *rt)
{
    return model_resnet18(rt, 3, 10);
}

static tg_module *gpt(tg_runtime *rt)
{
    return model_gpt(rt, &(gpt_options){.vocabulary = 256, .length = 256, .width = 384, .blocks = 6, .heads = 6});
}

static const workload workloads[] = {
    {"tiny", tiny, {2, {32, 10}}, 2, 20000, false},
    {"mlp", model_mlp, {2, {128, 784}}, 10, 200, false},
    {"cnn", model_cnn, {4, {128, 1, 28, 28}}, 10, 20, false},
    {"resnet18", resnet18, {4, {64, 3, 32, 32}}, 10, 6, false},
    {"gpt", gpt, {2, {8, 256}}, 256, 6, true},
};
enum { N_WORKLOADS = sizeof workloads / sizeof *workloads, WARM_UP = 3 };

/* All that one workload needs. */
typedef struct rig {
    tg_tape *tape;
    tg_module *net;
    tg_optimizer *optimizer;
    tg_tensor *x, *y;
    double *times;
    int64_t classes;
    bool text;
} rig;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times, int n)
{
    qsort(times, (size_t)n, sizeof *times, compare);
    return n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2;
}

/* A label for each example, or for each of its indices. */
static bool fill_labels(tg_tensor *y, int64_t n, int64_t classes, int64_t factor)
{
    int64_t *labels = malloc((size_t)n * sizeof *labels);
    if (!labels)
        return false;
    for (int64_t i = 0; i < n; i++)
        labels[i] = i * factor % classes;
    tg_status status = tg_tensor_write(y, labels, (size_t)n * sizeof *labels);
    free(labels);
    return status == TG_OK;
}

static bool open_rig(rig *r, tg_runtime *rt, const workload *w)
{
    *r = (rig){.text = w->text, .classes = w->classes};
    r->times = malloc((size_t)w->steps * sizeof *r->times);
    r->net = w->model(rt);
    if (!r->times || !r->net || tg_tape_open(&r->tape, rt))
        return false;
    const tg_named_tensors *parameters = tg_module_parameters(r->net);
    r->optimizer = w->text ? tg_optim_adamw(rt, parameters, NULL)
                           : tg_optim_sgd(rt, parameters, &(tg_sgd_options){.lr = 0.01, .momentum = 0.9});
    const int64_t labels = w->x.v[0] * (w->text ? w->x.v[1] : 1);
    if (!r->optimizer || tg_tensor_create(&r->x, rt, w->text ? TG_I64 : TG_F32, w->x.v, (size_t)w->x.n) ||
        tg_tensor_create(&r->y, rt, TG_I64, &labels, 1))
        return false;
    return (w->text ? fill_labels(r->x, labels, w->classes, 31) : !tg_init_normal(r->x, 0, 1)) &&
           fill_labels(r->y, labels, w->classes, 7);
}

static void close_rig(rig *r)
{
    tg_tensor_destroy(r->x);
    tg_tensor_destroy(r->y);
    tg_optimizer_destroy(r->optimizer);
    tg_tape_close(r->tape);
    tg_module_destroy(r->net);
    free(r->times);
}

static void train_step(rig *r)
{
    tg_tape_reset(r->tape);
    tg_optimizer_zero_grad(r->optimizer);
    tg_tensor *scores = tg_forward(r->tape, r->net, r->x);
    if (r->text)
        scores = tg_reshape(r->tape, scores, -1, r->classes);
    tg_backward(r->tape, tg_cross_entropy(r->tape, scores, r->y));
    tg_optimizer_step(r->optimizer, r->tape);
}

static void eval_step(rig *r)
{
    tg_tape_reset(r->tape);
    tg_forward(r->tape, r->net, r->x);
}

/* Median of the steps in ms, the least in *least. */
static double measure(rig *r, void (*step)(rig *), int steps, double *least)
{
    for (int i = 0; i < WARM_UP; i++)
        step(r);
    for (int i = 0; i < steps; i++) {
        double start = now_ms();
        step(r);
        r->times[i] = now_ms() - start;
    }
    double middle = median(r->times, steps);
    *least = r->times[0];
    return middle;
}

static bool run(tg_runtime *rt, const workload *w)
{
    rig r;
    bool good = open_rig(&r, rt, w);
    if (!good) {
        fprintf(stderr, "tapegrad bench %s: %s\n", w->name, tg_error_message());
    } else {
        double train_least, eval_least;
        double train = measure(&r, train_step, w->steps, &train_least);
        tg_module_eval(r.net);
        tg_tape_set_recording(r.tape, false);
        double eval = measure(&r, eval_step, w->steps, &eval_least);
        good = tg_tape_status(r.tape) == TG_OK;
        if (good)
            printf("%-14s train %10.4f ms  eval %10.4f ms (min %.4f/%.4f)\n", w->name, train, eval,
                   train_least, eval_least);
        else
            fprintf(stderr, "tapegrad bench %s: %s\n", w->name, tg_tape_error(r.tape));
        fflush(stdout);
    }
    close_rig(&r);
    return good;
}

void tool_list_workloads(FILE *to)
{
    for (int w = 0; w < N_WORKLOADS; w++)
        fprintf(to, " %s", workloads[w].name);
    fputc('\n', to);
}

int tool_bench(int n, char **names)
{
    bool wanted[N_WORKLOADS];
    for (int i = 0; i < N_WORKLOADS; i++)
        wanted[i] = n == 0;
    for (int k = 0; k < n; k++) {
        int i = 0;
        while (i < N_WORKLOADS && strcmp(workloads[i].name, names[k]) != 0)
            i++;
        if (i == N_WORKLOADS) {
            fprintf(stderr, "tapegrad bench: there is no workload '%s'; there are", names[k]);
            tool_list_workloads(stderr);
            return TOOL_USAGE;
        }
        wanted[i] = true;
    }
    tg_runtime *rt;
    if (tg_runtime_open(&rt, NULL)) {
        fprintf(stderr, "tapegrad bench: %s\n", tg_error_message());
        return TOOL_FAILED;
    }
    printf("%s threads %d %s\n", tg_version(), tg_runtime_threads(rt), tg_runtime_backend(rt));
    bool good = true;
    for (int i = 0; i < N_WORKLOADS; i++)
        if (wanted[i])
            good = run(rt, &workloads[i]) && good;
    tg_runtime_close(rt);
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        printf("peak RSS MB %.1f\n", (double)usage.ru_maxrss / 1024);
    return good ? TOOL_OK : TOOL_FAILED;
}
