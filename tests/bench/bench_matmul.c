/* Times the matmul kernels of the reference and of plug-ins side by side, without the rest of the library:
 *
 *     bench_matmul THREADS [PLUGIN.so...]
 *
 * One line a shape: m×k·k×n, which operand is transposed, dtype, then microseconds and GFLOP/s of each
 * backend (best of several rounds; "declined" where accept says so). The rules of backends/blis (which
 * sub-configuration, which products it declines, from where it uses threads) were read off this table;
 * TG_BENCH_ACCEPT_ALL=1 runs what it would decline. */
#include <tapegrad/backend_abi.h>

#include <dlfcn.h>
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

typedef struct bench {
    const tg_backend *backend;
    tg_backend_state *state;
    tg_host host;
} bench;

static const tg_kernel *kernel_of(const tg_backend *b, const char *op)
{
    for (uint32_t i = 0; i < b->n_kernels; i++) {
        const tg_kernel *k = (const tg_kernel *)((const char *)b->kernels + (size_t)i * b->kernel_stride);
        if (!strcmp(k->op, op))
            return k;
    }
    return NULL;
}

static void *numbers(int64_t n, tg_dtype dtype)
{
    size_t size = tg_dtype_size(dtype);
    void *p = lend_alloc(NULL, (size_t)n * size + 64, 64);
    for (int64_t i = 0; i < n; i++) {
        double v = (double)(i * 7919 % 17) - 8;
        if (dtype == TG_F64)
            ((double *)p)[i] = v;
        else
            ((float *)p)[i] = (float)v;
    }
    return p;
}

static void time_one(const bench *x, const tg_call *c, const tg_run *given)
{
    const tg_kernel *k = kernel_of(x->backend, c->op);
    const char *reason = NULL;
    if (!getenv("TG_BENCH_ACCEPT_ALL") && k->accept && k->accept(x->state, c, &reason) != TG_ACCEPT) {
        printf("  %10s %8s", "declined", "");
        return;
    }
    tg_prepared p = {.struct_size = sizeof p};
    if (k->prepare(x->state, c, &p))
        exit(1);
    tg_run r = *given;
    r.scratch = lend_alloc(NULL, p.scratch_size + 64, 64);
    const tg_desc *out = c->out;
    double work = 2.0 * (double)out->dim[0] * (double)out->dim[1] * (double)c->in[0]->dim[1], best = 1e9;
    int times = (int)(1e7 / (work + 100)) + 3;
    for (int round = 0; round < 15; round++) {
        double start = now();
        for (int i = 0; i < times; i++)
            k->run(x->state, c, &p, &r);
        double spent = (now() - start) / times;
        best = spent < best ? spent : best;
    }
    printf("  %10.2f %8.1f", best * 1e6, work / best * 1e-9);
    free(r.scratch);
    if (k->release)
        k->release(x->state, &p);
}

static const int64_t shapes[][3] = {
    /* m, k, n */
    {32, 10, 20},    {32, 20, 2},    {16, 16, 16},    {24, 24, 24},    {32, 32, 32},    {40, 40, 40},
    {48, 48, 48},    {64, 64, 64},   {96, 96, 96},    {128, 128, 128}, {192, 192, 192}, {128, 256, 10},
    {128, 10, 256},  {10, 128, 256}, {128, 512, 256}, {256, 128, 512}, {128, 784, 512}, {512, 128, 784},
    {512, 512, 512}, {1, 64, 64},    {1, 256, 256},   {1, 1024, 1024}, {256, 256, 1},   {1024, 1024, 1},
    {4, 256, 256},   {8, 64, 64},    {8, 784, 256},   {256, 1, 256},   {16, 1024, 16},  {2, 4096, 2},
};

static void time_shape(const bench *x, size_t n, const int64_t *s, int transposed, tg_dtype dtype,
                       int threads)
{
    tg_desc a = {.dtype = dtype, .ndim = 2, .dim = {s[0], s[1]}, .stride = {s[1], 1}};
    tg_desc b = {.dtype = dtype, .ndim = 2, .dim = {s[1], s[2]}, .stride = {s[2], 1}};
    tg_desc c = {.dtype = dtype, .ndim = 2, .dim = {s[0], s[2]}, .stride = {s[2], 1}};
    if (transposed == 1)
        a.stride[0] = 1, a.stride[1] = s[0];
    if (transposed == 2)
        b.stride[0] = 1, b.stride[1] = s[1];
    void *pa = numbers(s[0] * s[1], dtype), *pb = numbers(s[1] * s[2], dtype),
         *pc = numbers(s[0] * s[2], dtype);
    tg_call call = {.struct_size = sizeof call,
                    .version = 1,
                    .op = "matmul",
                    .in = (const tg_desc *[]){&a, &b},
                    .n_in = 2,
                    .n_out = 1,
                    .out = &c,
                    .threads = threads};
    tg_run run = {.struct_size = sizeof run,
                  .threads = threads,
                  .in = (const void *[]){pa, pb},
                  .out = (void *[]){pc},
                  .n_in = 2,
                  .n_out = 1};
    printf("%4lld %4lld %4lld %s %s", (long long)s[0], (long long)s[1], (long long)s[2],
           transposed == 1   ? "TN"
           : transposed == 2 ? "NT"
                             : "NN",
           dtype == TG_F64 ? "f64" : "f32");
    for (size_t i = 0; i < n; i++)
        time_one(&x[i], &call, &run);
    printf("\n");
    fflush(stdout);
    free(pa);
    free(pb);
    free(pc);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 0;
    if (threads < 1 || argc > 8) {
        fprintf(stderr, "usage: bench_matmul THREADS [PLUGIN.so...]\n");
        return 2;
    }
    bench x[8];
    size_t n = 0;
    for (int i = 1; i < argc; i++) {
        x[n].backend = NULL;
        if (i == 1) {
            x[n].backend = tg_reference_backend();
        } else {
            void *file = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
            tg_backend_entry_fn entry = NULL;
            if (file)
                *(void **)&entry = dlsym(file, TG_BACKEND_ENTRY);
            if (!entry) {
                fprintf(stderr, "%s\n", file ? "not a plug-in" : dlerror());
                return 1;
            }
            x[n].backend = entry();
        }
        x[n].host = (tg_host){sizeof(tg_host), TG_ABI_MAJOR, TG_ABI_MINOR, threads,  argv[i],
                              lend_alloc,      lend_free,    say,          say_error};
        if (x[n].backend->open(&x[n].host, &x[n].state))
            return 1;
        tg_backend_facts facts = {.struct_size = sizeof facts};
        x[n].backend->facts(x[n].state, &facts);
        printf("%s %s: %s\n", x[n].backend->name, facts.library, facts.kernels);
        n++;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int transposed = 0; transposed < 3; transposed++)
            time_shape(x, n, shapes[i], transposed, TG_F32, threads);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        time_shape(x, n, shapes[i], 0, TG_F64, threads);
    return 0;
}
