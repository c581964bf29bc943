#include "bench/side.h"

#include "abi/processor.h"

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

void *side_alloc(size_t size)
{
    return lend_alloc(NULL, size + 64, 64);
}

static const tg_kernel *kernel_of(const tg_backend *b, const char *op)
{
    for (uint32_t i = 0; i < b->n_kernels; i++) {
        const tg_kernel *k = (const tg_kernel *)((const char *)b->kernels + (size_t)i * b->kernel_stride);
        if (!strcmp(k->op, op))
            return k;
    }
    return NULL;
}

void *side_numbers(int64_t n, tg_dtype dtype)
{
    size_t size = tg_dtype_size(dtype);
    void *p = side_alloc((size_t)n * size);
    for (int64_t i = 0; i < n; i++) {
        double v = (double)(i * 7919 % 17) - 8;
        if (dtype == TG_F64)
            ((double *)p)[i] = v;
        else
            ((float *)p)[i] = (float)v;
    }
    return p;
}

enum { ROUNDS = 15 };

/* One backend's part of a line. */
typedef struct entrant {
    const side *on;
    const tg_kernel *kernel; /* NULL: it declined */
    tg_prepared prepared;
    void *scratch;
    double best;
} entrant;

static entrant enter(const side *x, const tg_call *c)
{
    entrant e = {.on = x,
                 .kernel = kernel_of(x->backend, c->op),
                 .prepared = {.struct_size = sizeof e.prepared},
                 .best = 1e9};
    const char *reason = NULL;
    const tg_accept answer = e.kernel->accept ? e.kernel->accept(x->state, c, &reason) : TG_ACCEPT;
    if (answer == TG_REFUSE || (answer == TG_DECLINE && !getenv("TG_BENCH_ACCEPT_ALL"))) {
        e.kernel = NULL;
        return e;
    }
    if (e.kernel->prepare(x->state, c, &e.prepared)) {
        if (answer == TG_ACCEPT)
            exit(1);
        e.kernel = NULL; /* nor can it do what it declines */
        return e;
    }
    e.scratch = side_alloc(e.prepared.scratch_size);
    return e;
}

static void leave(entrant *e)
{
    free(e->scratch);
    if (e->kernel && e->kernel->release)
        e->kernel->release(e->on->state, &e->prepared);
}

void side_time(const side *x, size_t n, const tg_call *c, const tg_run *given, double work)
{
    entrant e[SIDE_MOST];
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

void side_open(side *x, const char *file_name, int threads)
{
    const char *processor = getenv("TG_BENCH_PROCESSOR"), *why;
    if (processor && !be_processor(processor, &why)) {
        fprintf(stderr, "%s: %s\n", processor, why);
        exit(1);
    }
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
