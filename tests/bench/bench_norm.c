/* Times the kernels of softmax, log_softmax, layer_norm and batch_norm of the reference and of a plug-in side by side,
 * without the rest of the library, also where the plug-in's accept declines:
 *
 *     bench_norm THREADS PLUGIN.so [OPERATOR]
 *
 * One line a shape, f32, row-major: microseconds of the forward on both, then of the gradient (of batch_norm: of training,
 * of eval, and of the gradient, and the same with ReLU, its gradient masked by y), then the plug-in's in a layout of its own where it has one for that shape. They run in turns,
 * and the least of some rounds counts. What backends/onednn declines was read off this. */
#include <tapegrad/backend_abi.h>
#include <tapegrad/op_attrs.h>

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const tg_backend *tg_reference_backend(void);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *lend_alloc(void *arg, size_t size, size_t align)
{
    (void)arg;
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static void lend_free(void *arg, void *ptr)
{
    (void)arg;
    free(ptr);
}

static void say(void *arg, int level, const char *message)
{
    fprintf(stderr, "%s: %d: %s\n", (const char *)arg, level, message);
}

static void say_error(void *arg, tg_status status, const char *message)
{
    say(arg, (int)status, message);
}

/* -- one call on several kernels ---------------------------------------------------------------------------- */

typedef struct bench {
    const tg_backend *backend;
    tg_backend_state *state;
} bench;

static bench on[2]; /* the reference, the plug-in */
static int threads;

static void die(const char *what)
{
    fprintf(stderr, "bench_norm: %s\n", what);
    exit(1);
}

static const tg_kernel *kernel_of(const tg_backend *b, const char *op)
{
    for (uint32_t i = 0; i < b->n_kernels; i++) {
        const tg_kernel *k =
            (const tg_kernel *)(const void *)((const char *)b->kernels + (size_t)i * b->kernel_stride);
        if (!strcmp(k->op, op))
            return k;
    }
    die("a backend lacks the kernel");
    return NULL;
}

/* Operators of up to 6 inputs and 4 outputs; numbers in −1 … 1 but for what must be positive. */
typedef struct row {
    const char *op;
    uint32_t version, n_in, n_out;
    tg_desc in[6], out[4];
    const void *attrs;
    uint32_t attrs_size;
} row;

static tg_call call_of(const row *r, const tg_desc **in)
{
    for (uint32_t i = 0; i < r->n_in; i++)
        in[i] = &r->in[i];
    return (tg_call){.struct_size = sizeof(tg_call),
                     .version = r->version,
                     .op = r->op,
                     .in = in,
                     .n_in = r->n_in,
                     .n_out = r->n_out,
                     .out = r->out,
                     .attrs = r->attrs,
                     .attrs_size = r->attrs_size,
                     .threads = threads};
}

static size_t bytes_of(const tg_desc *d)
{
    size_t n = sizeof(float);
    for (int i = 0; i < d->ndim; i++)
        n *= (size_t)d->dim[i];
    return n;
}

static float *numbers(const tg_desc *d, bool positive, unsigned seed)
{
    const size_t n = bytes_of(d) / sizeof(float);
    float *p = lend_alloc(NULL, n * sizeof(float) + 64, 64);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)(seed >> 8) / (1 << 23) - 1;
        p[i] = positive ? p[i] * p[i] + 0.5f : p[i];
    }
    return p;
}

/* Microseconds of the row on each. */
static void time_row(const row *r, double *best)
{
    const tg_desc *in[6];
    const void *src[6];
    void *dst[4], *scratch[2];
    const tg_call call = call_of(r, in);
    const tg_kernel *kernel[2];
    tg_prepared prepared[2];
    const int times = (int)(2e6 / (double)bytes_of(&r->in[0])) + 1;
    for (uint32_t i = 0; i < r->n_in; i++)
        src[i] = numbers(&r->in[i], r->in[i].ndim == 1 || i > 2, i + 1);
    for (uint32_t o = 0; o < r->n_out; o++)
        dst[o] = numbers(&r->out[o], false, 9);
    for (int b = 0; b < 2; b++) {
        kernel[b] = kernel_of(on[b].backend, r->op);
        prepared[b] = (tg_prepared){.struct_size = sizeof *prepared};
        best[b] = 1e9;
        scratch[b] = NULL;
        if (r->in[r->n_in > 3 ? 1 : 0].layout && b == 0)
            kernel[b] = NULL;
        if (kernel[b] && kernel[b]->prepare && kernel[b]->prepare(on[b].state, &call, &prepared[b]))
            kernel[b] = NULL;
        if (kernel[b])
            scratch[b] = lend_alloc(NULL, prepared[b].scratch_size + 64, 64);
    }
    for (int round = 0; round < 15; round++)
        for (int b = 0; b < 2; b++) {
            tg_run run = {.struct_size = sizeof run,
                          .threads = threads,
                          .in = src,
                          .out = dst,
                          .n_in = r->n_in,
                          .n_out = r->n_out,
                          .scratch = scratch[b]};
            const double start = now();
            for (int k = 0; kernel[b] && k < times; k++)
                if (kernel[b]->run(on[b].state, &call, &prepared[b], &run))
                    die("a kernel failed");
            const double spent = (now() - start) / times * 1e6;
            best[b] = spent < best[b] ? spent : best[b];
        }
    for (int b = 0; b < 2; b++) {
        if (kernel[b] && kernel[b]->release)
            kernel[b]->release(on[b].state, &prepared[b]);
        best[b] = kernel[b] ? best[b] : 0;
        free(scratch[b]);
    }
    for (uint32_t i = 0; i < r->n_in; i++)
        free((void *)(uintptr_t)src[i]);
    for (uint32_t o = 0; o < r->n_out; o++)
        free(dst[o]);
}

/* -- the rows ------------------------------------------------------------------------------------------------- */

static tg_desc dense(int ndim, const int64_t *dims)
{
    tg_desc d = {.dtype = TG_F32, .ndim = ndim};
    int64_t step = 1;
    for (int i = ndim; i-- > 0; step *= dims[i]) {
        d.dim[i] = dims[i];
        d.stride[i] = step;
    }
    return d;
}

static void print_both(const row *r)
{
    double best[2];
    time_row(r, best);
    printf("  %10.1f %10.1f", best[0], best[1]);
    fflush(stdout);
}

static void time_softmax(const int64_t *dims)
{
    const tg_softmax_attrs a = {.dim = 1};
    const tg_desc x = dense(2, dims);
    print_both(&(row){"softmax", 1, 1, 1, {x}, {x}, &a, sizeof a});
    print_both(&(row){"softmax_backward", 1, 2, 1, {x, x}, {x}, &a, sizeof a});
}

static void time_log_softmax(const int64_t *dims)
{
    const tg_softmax_attrs a = {.dim = 1};
    const tg_desc x = dense(2, dims);
    print_both(&(row){"log_softmax", 1, 1, 1, {x}, {x}, &a, sizeof a});
    print_both(&(row){"log_softmax_backward", 1, 2, 1, {x, x}, {x}, &a, sizeof a});
}

static void time_layer_norm(const int64_t *dims)
{
    const tg_layer_norm_attrs a = {.normalized_ndim = 1, .eps = 1e-5};
    const tg_layer_norm_backward_attrs back = {.normalized_ndim = 1, .want = 7};
    const tg_desc x = dense(2, dims), w = dense(1, dims + 1), s = dense(2, (const int64_t[]){dims[0], 1});
    print_both(&(row){"layer_norm", 1, 3, 3, {x, w, w}, {x, s, s}, &a, sizeof a});
    print_both(&(row){"layer_norm_backward", 1, 5, 3, {x, x, w, s, s}, {x, w, w}, &back, sizeof back});
}

static void time_batch_norm(tg_desc x)
{
    const tg_batch_norm_attrs a = {.eps = 1e-5};
    const tg_batch_norm_backward_attrs back = {.want = 7, .batch_stats = 1};
    const tg_desc w = dense(1, x.dim + 1);
    print_both(&(row){"batch_norm_train", 1, 3, 4, {x, w, w}, {x, w, w, w}, &a, sizeof a});
    print_both(&(row){"batch_norm_eval", 1, 5, 3, {x, w, w, w, w}, {x, w, w}, &a, sizeof a});
    print_both(&(row){"batch_norm_backward", 1, 5, 3, {x, x, w, w, w}, {x, w, w}, &back, sizeof back});
    printf("  |");
    print_both(&(row){"batch_norm_relu_train", 1, 3, 4, {x, w, w}, {x, w, w, w}, &a, sizeof a});
    print_both(&(row){"batch_norm_relu_eval", 1, 5, 3, {x, w, w, w, w}, {x, w, w}, &a, sizeof a});
    print_both(&(row){"batch_norm_relu_backward", 1, 6, 3, {x, x, w, w, w, x}, {x, w, w}, &back, sizeof back});
}

/* x as the plug-in's reorder lays it out; false where it has no layout for it. */
static bool lay_out(tg_desc *x, tg_prepared *p)
{
    const tg_reorder_attrs a = {0};
    const tg_desc *in[6];
    const row r = {"reorder", 1, 1, 1, {*x}, {*x}, &a, sizeof a};
    const tg_call call = call_of(&r, in);
    const tg_kernel *k = kernel_of(on[1].backend, r.op);
    const char *reason;
    *p = (tg_prepared){.struct_size = sizeof *p};
    if (k->accept(on[1].state, &call, &reason) != TG_ACCEPT || k->prepare(on[1].state, &call, p))
        return false;
    x->layout = p->layout ? p->layout[0] : NULL;
    k->release(on[1].state, p);
    return x->layout;
}

static const int64_t matrices[][2] = {{64, 10}, {64, 100}, {512, 64}, {1000, 1000}, {128, 32000}, {100000, 4}};
static const int64_t images[][4] = {
    {32, 20},          {128, 256},       {128, 512},      {512, 512},     {512, 1024},    {1024, 1024},    {256, 4096},
    {16384, 64},       {64, 64, 100},    {8, 16, 64, 64}, {8, 24, 32, 32}, {16, 20, 24, 24}, {128, 32, 28, 28}, {128, 64, 14, 14},
    {64, 64, 32, 32}, {64, 256, 8, 8}, {64, 512, 4, 4}};

static void time_matrices(const char *name, void (*time)(const int64_t *))
{
    printf("\n%s, its gradient\n", name);
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        printf("%7lld × %4lld", (long long)matrices[i][0], (long long)matrices[i][1]);
        time(matrices[i]);
        printf("\n");
    }
}

static void time_images(void)
{
    printf("\nbatch_norm_train, batch_norm_eval, batch_norm_backward | with ReLU\n");
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        int ndim = 4;
        while (!images[i][ndim - 1])
            ndim--;
        tg_desc x = dense(ndim, images[i]);
        tg_prepared p;
        char text[64];
        size_t n = 0;
        for (int k = 0; k < ndim; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld", k ? "×" : "", (long long)images[i][k]);
        printf("%-20s", text);
        time_batch_norm(x);
        if (lay_out(&x, &p)) {
            printf("\n%20s", x.layout->name);
            time_batch_norm(x);
        }
        printf("\n");
    }
}

static void open_one(bench *x, const char *file_name)
{
    static tg_host host;
    x->backend = tg_reference_backend();
    if (file_name) {
        void *file = dlopen(file_name, RTLD_NOW | RTLD_LOCAL);
        tg_backend_entry_fn entry = NULL;
        if (file)
            *(void **)&entry = dlsym(file, TG_BACKEND_ENTRY);
        if (!entry)
            die(file ? "not a plug-in" : dlerror());
        x->backend = entry();
    }
    host = (tg_host){sizeof host, TG_ABI_MAJOR, TG_ABI_MINOR, threads, (void *)(uintptr_t) "bench_norm",
                     lend_alloc,  lend_free,    say,          say_error};
    if (x->backend->open(&host, &x->state))
        die("a backend did not open");
}

int main(int argc, char **argv)
{
    threads = argc > 2 ? atoi(argv[1]) : 0;
    if (threads < 1) {
        fprintf(stderr, "usage: bench_norm THREADS PLUGIN.so [OPERATOR]\n");
        return 2;
    }
    const char *op = argc > 3 ? argv[3] : "";
    open_one(&on[0], NULL);
    open_one(&on[1], argv[2]);
    printf("# microseconds, %s and %s, %d threads\n", on[0].backend->name, on[1].backend->name, threads);
    if (!*op || !strcmp(op, "softmax"))
        time_matrices("softmax", time_softmax);
    if (!*op || !strcmp(op, "log_softmax"))
        time_matrices("log_softmax", time_log_softmax);
    if (!*op || !strcmp(op, "layer_norm"))
        time_matrices("layer_norm", time_layer_norm);
    if (!*op || !strcmp(op, "batch_norm"))
        time_images();
    return 0;
}
