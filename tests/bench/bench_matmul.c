/* Times the matmul kernels of the reference and of plug-ins side by side, without the rest of the library:
 *
 *     bench_matmul THREADS [MxKxN | [B]xMxKxN...] [PLUGIN.so...]
 *
 * One line a shape: m×k·k×n, which operand is transposed, dtype, then microseconds and GFLOP/s of each
 * backend
 * ("declined" where accept says so), and the speed of each plug-in as a share of the last one's. They run in
 * turns, and the best of several rounds counts. The rules of backends/blis (which sub-configuration, which
 * products it declines, from where it uses threads) were read off this table; TG_BENCH_ACCEPT_ALL=1 runs what
 * it would decline. With TG_BENCH_PROCESSOR=zen5 the backends are told that they run on one
 * (tests/abi/processor.c). With shapes given, BxMxKxN is a batch, and only these are timed, all three
 * transpositions. 1024³ on BLIS as a share of oneDNN's speed:
 *
 *     bench_matmul 1 1024x1024x1024 BUILD/backends/blis/blis.so BUILD/backends/onednn/onednn.so */
#include "abi/processor.h"

#include <tapegrad/backend_abi.h>

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

enum { MOST = 8, ROUNDS = 15 };

/* One backend's part of a line. */
typedef struct entrant {
    const bench *on;
    const tg_kernel *kernel; /* NULL: it declined */
    tg_prepared prepared;
    void *scratch;
    double best;
} entrant;

static entrant enter(const bench *x, const tg_call *c)
{
    entrant e = {.on = x,
                 .kernel = kernel_of(x->backend, c->op),
                 .prepared = {.struct_size = sizeof e.prepared},
                 .best = 1e9};
    const char *reason = NULL;
    if (!getenv("TG_BENCH_ACCEPT_ALL") && e.kernel->accept &&
        e.kernel->accept(x->state, c, &reason) != TG_ACCEPT) {
        e.kernel = NULL;
        return e;
    }
    if (e.kernel->prepare(x->state, c, &e.prepared))
        exit(1);
    e.scratch = lend_alloc(NULL, e.prepared.scratch_size + 64, 64);
    return e;
}

static void leave(entrant *e)
{
    free(e->scratch);
    if (e->kernel && e->kernel->release)
        e->kernel->release(e->on->state, &e->prepared);
}

static void time_call(const bench *x, size_t n, const tg_call *c, const tg_run *given)
{
    entrant e[MOST];
    const tg_desc *out = c->out;
    double work = 2.0 * (double)c->in[0]->dim[c->in[0]->ndim - 1];
    for (int i = 0; i < out->ndim; i++)
        work *= (double)out->dim[i];
    const int times = (int)(1e7 / (work + 100)) + 3;
    for (size_t i = 0; i < n; i++)
        e[i] = enter(&x[i], c);
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < n; i++) {
            if (!e[i].kernel)
                continue;
            tg_run r = *given;
            r.scratch = e[i].scratch;
            double start = now();
            for (int k = 0; k < times; k++)
                e[i].kernel->run(x[i].state, c, &e[i].prepared, &r);
            double spent = (now() - start) / times;
            e[i].best = spent < e[i].best ? spent : e[i].best;
        }
    for (size_t i = 0; i < n; i++)
        if (e[i].kernel)
            printf("  %10.2f %8.1f", e[i].best * 1e6, work / e[i].best * 1e-9);
        else
            printf("  %10s %8s", "declined", "");
    for (size_t i = 1; i + 1 < n; i++)
        if (e[i].kernel && e[n - 1].kernel)
            printf("  %5.2f", e[n - 1].best / e[i].best);
    for (size_t i = 0; i < n; i++)
        leave(&e[i]);
}

static const int64_t shapes[][4] = {
    /* m, k, n, batch (0: none) */
    {32, 10, 20},       {32, 20, 2},    {16, 16, 16},    {24, 24, 24},    {32, 32, 32},    {40, 40, 40},
    {48, 48, 48},       {64, 64, 64},   {96, 96, 96},    {128, 128, 128}, {192, 192, 192}, {128, 256, 10},
    {128, 10, 256},     {10, 128, 256}, {128, 512, 256}, {256, 128, 512}, {128, 784, 512}, {512, 128, 784},
    {512, 512, 512},    {1, 64, 64},    {1, 256, 256},   {1, 1024, 1024}, {256, 256, 1},   {1024, 1024, 1},
    {4, 256, 256},      {8, 64, 64},    {8, 784, 256},   {256, 1, 256},   {16, 1024, 16},  {2, 4096, 2},
    {1024, 1024, 1024},
};

/* s: m, k, n and the batch. */
static void time_shape(const bench *x, size_t n, const int64_t *s, int transposed, tg_dtype dtype,
                       int threads)
{
    const int64_t batch = s[3] ? s[3] : 1;
    const int rank = s[3] ? 3 : 2, row = rank - 2, col = rank - 1;
    tg_desc a = {.dtype = dtype, .ndim = rank, .dim = {batch, s[0], s[1]}, .stride = {s[0] * s[1], s[1], 1}};
    tg_desc b = {.dtype = dtype, .ndim = rank, .dim = {batch, s[1], s[2]}, .stride = {s[1] * s[2], s[2], 1}};
    tg_desc c = {.dtype = dtype, .ndim = rank, .dim = {batch, s[0], s[2]}, .stride = {s[0] * s[2], s[2], 1}};
    if (rank == 2)
        for (int d = 0; d < 2; d++) {
            a.dim[d] = a.dim[d + 1], a.stride[d] = a.stride[d + 1];
            b.dim[d] = b.dim[d + 1], b.stride[d] = b.stride[d + 1];
            c.dim[d] = c.dim[d + 1], c.stride[d] = c.stride[d + 1];
        }
    if (transposed == 1)
        a.stride[row] = 1, a.stride[col] = s[0];
    if (transposed == 2)
        b.stride[row] = 1, b.stride[col] = s[1];
    void *pa = numbers(batch * s[0] * s[1], dtype), *pb = numbers(batch * s[1] * s[2], dtype),
         *pc = numbers(batch * s[0] * s[2], dtype);
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
    if (s[3])
        printf("%lldx ", (long long)batch);
    printf("%4lld %4lld %4lld %s %s", (long long)s[0], (long long)s[1], (long long)s[2],
           transposed == 1   ? "TN"
           : transposed == 2 ? "NT"
                             : "NN",
           dtype == TG_F64 ? "f64" : "f32");
    time_call(x, n, &call, &run);
    printf("\n");
    fflush(stdout);
    free(pa);
    free(pb);
    free(pc);
}

/* "MxKxN" or "BxMxKxN" as m, k, n, batch. */
static bool read_shape(const char *text, int64_t *s)
{
    long long v[4];
    char rest;
    const int n = sscanf(text, "%lldx%lldx%lldx%lld%c", &v[0], &v[1], &v[2], &v[3], &rest);
    if (n != 3 && n != 4)
        return false;
    for (int i = 0; i < 3; i++)
        s[i] = v[i + n - 3];
    s[3] = n == 4 ? v[0] : 0;
    return true;
}

static void open_one(bench *x, const char *file_name, int threads)
{
    x->backend = tg_reference_backend();
    if (file_name) {
        void *file = dlopen(file_name, RTLD_NOW | RTLD_LOCAL);
        tg_backend_entry_fn entry = NULL;
        if (file)
            *(void **)&entry = dlsym(file, TG_BACKEND_ENTRY);
        if (!entry) {
            fprintf(stderr, "%s\n", file ? "not a plug-in" : dlerror());
            exit(1);
        }
        x->backend = entry();
    }
    x->host =
        (tg_host){sizeof(tg_host), TG_ABI_MAJOR, TG_ABI_MINOR, threads,  (void *)(uintptr_t)x->backend->name,
                  lend_alloc,      lend_free,    say,          say_error};
    if (x->backend->open(&x->host, &x->state))
        exit(1);
    tg_backend_facts facts = {.struct_size = sizeof facts};
    x->backend->facts(x->state, &facts);
    printf("%s %s: %s\n", x->backend->name, facts.library, facts.kernels);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 0;
    if (threads < 1) {
        fprintf(stderr, "usage: bench_matmul THREADS [MxKxN|BxMxKxN...] [PLUGIN.so...]\n");
        return 2;
    }
    const char *processor = getenv("TG_BENCH_PROCESSOR"), *why;
    if (processor && !be_processor(processor, &why)) {
        fprintf(stderr, "%s: %s\n", processor, why);
        return 1;
    }
    static int64_t given[32][4];
    bench x[MOST];
    size_t n = 1, n_given = 0;
    open_one(&x[0], NULL, threads);
    for (int i = 2; i < argc; i++)
        if (n_given < 32 && read_shape(argv[i], given[n_given]))
            n_given++;
        else if (n < MOST)
            open_one(&x[n++], argv[i], threads);
    if (n_given) {
        for (size_t i = 0; i < n_given; i++)
            for (int transposed = 0; transposed < 3; transposed++)
                time_shape(x, n, given[i], transposed, TG_F32, threads);
        return 0;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int transposed = 0; transposed < 3; transposed++)
            time_shape(x, n, shapes[i], transposed, TG_F32, threads);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        time_shape(x, n, shapes[i], 0, TG_F64, threads);
    return 0;
}
