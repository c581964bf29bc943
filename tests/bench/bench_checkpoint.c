/* What checkpoints save and what they cost: a residual net of 50 blocks x + relu(W·x + b), width 512, batch 256, in
 * segments of several sizes.
 *
 *     bench_checkpoint [BLOCKS [WIDTH [BATCH]]]
 *
 * For each number of blocks in a segment (0: no checkpoint): peak MiB of activations (with what kernels save), of all
 * that the tape holds, what tg_plan_memory said of it beforehand, and milliseconds of forward and backward (the median
 * of seven steps after a first one). */
#include <tapegrad/layer_class.h>
#include <tapegrad/tapegrad.h>

#include <stdlib.h>
#include <time.h>

static int64_t n_blocks = 50, width = 512, batch = 256;

static tg_status block_init(tg_module *m, const void *attrs)
{
    (void)attrs;
    return tg_module_add_child(m, "linear", tg_nn_linear(tg_module_runtime(m), width, width));
}

static tg_status block_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    out[0] = tg_add(t, in[0], tg_relu(t, tg_forward(t, tg_module_child(m, 0), in[0])));
    return tg_tape_status(t);
}

static const tg_layer_class block_class = {.struct_size = sizeof block_class,
                                           .name = "Block",
                                           .n_in = 1,
                                           .n_out = 1,
                                           .init = block_init,
                                           .forward = {block_forward, block_forward}};

typedef struct model {
    tg_module *net;
    size_t segments;
} model;

static tg_status step(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[], size_t n_out)
{
    (void)n_in, (void)out, (void)n_out;
    const model *m = arg;
    tg_tensor *y = m->segments ? tg_checkpoint_sequential(t, m->net, m->segments, in[0]) : tg_forward(t, m->net, in[0]);
    return tg_backward(t, tg_mean(t, tg_square(t, y)));
}

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

static bool measure(tg_runtime *rt, model *m, int64_t blocks)
{
    enum { STEPS = 8 };
    const tg_named_tensors *p = tg_module_parameters(m->net);
    double ms[STEPS];
    tg_memory plan, taken = {0};
    tg_desc in;
    tg_tape *tape;
    m->segments = blocks ? (size_t)(n_blocks / blocks) : 0;
    tg_desc_make(&in, TG_F32, (int64_t[]){batch, width}, 2);
    if (tg_plan_memory(rt, step, m, &in, 1, &plan) || tg_tape_open(&tape, rt))
        return false;
    for (int i = 0; i < STEPS; i++) {
        tg_tape_reset(tape);
        double start = now_ms();
        tg_tensor *x = tg_input(tape, TG_F32, in.dim, 2, NULL);
        step(m, tape, &x, 1, NULL, 0);
        ms[i] = now_ms() - start;
        if (i == 0)
            taken = tg_tape_memory(tape);
        for (size_t k = 0; k < p->n; k++)
            tg_tensor_zero_grad(p->tensor[k]);
    }
    qsort(ms + 1, STEPS - 1, sizeof *ms, compare);
    printf("%8lld  %11.1f  %8.1f  %8.1f  %8.1f\n", (long long)blocks,
           (double)(taken.kind_peak[TG_MEMORY_VALUES] + taken.kind_peak[TG_MEMORY_SAVED]) / 0x1p20,
           (double)taken.peak / 0x1p20, (double)plan.peak / 0x1p20, ms[STEPS / 2]);
    fflush(stdout);
    bool good = tg_tape_status(tape) == TG_OK;
    if (!good)
        fprintf(stderr, "bench_checkpoint: %s\n", tg_tape_error(tape));
    tg_tape_close(tape);
    return good;
}

int main(int argc, char **argv)
{
    static const int64_t every[] = {0, 1, 3, 5, 7, 10, 25};
    n_blocks = argc > 1 ? atoll(argv[1]) : n_blocks;
    width = argc > 2 ? atoll(argv[2]) : width;
    batch = argc > 3 ? atoll(argv[3]) : batch;
    tg_runtime *rt;
    if (n_blocks < 1 || width < 1 || batch < 1 || tg_runtime_open(&rt, NULL)) {
        fprintf(stderr, "bench_checkpoint: %s\n", tg_error_message());
        return 1;
    }
    model m = {.net = tg_nn_sequential_n(rt, NULL, 0)};
    for (int64_t i = 0; i < n_blocks; i++)
        tg_nn_sequential_append(m.net, NULL, tg_module_new(rt, &block_class, NULL));
    printf("%s, %lld blocks of width %lld, batch %lld\n", tg_runtime_backend(rt), (long long)n_blocks, (long long)width,
           (long long)batch);
    printf("   every  activations       all   planned        ms\n");
    bool good = true;
    for (size_t i = 0; i < sizeof every / sizeof *every && good; i++)
        if (every[i] <= n_blocks)
            good = measure(rt, &m, every[i]);
    tg_module_destroy(m.net);
    tg_runtime_close(rt);
    return good ? 0 : 1;
}
