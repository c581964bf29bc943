/* Times the matmul kernels of the reference and of plug-ins side by side, without the rest of the library:
 *
 *     bench_matmul THREADS [MxKxN|BxMxKxN...] [PLUGIN.so...]
 *
 * One line a shape: m×k·k×n (B: of a batch), which operand is transposed, dtype, then side.h's columns. Those
 * given, or a table of them. The rules of backends/blis (which products it declines, from where it uses
 * threads) were read off this, with TG_BENCH_ACCEPT_ALL=1. 1024³ on BLIS as a share of oneDNN's speed:
 *
 *     bench_matmul 1 1024x1024x1024 BUILD/backends/blis/blis.so BUILD/backends/onednn/onednn.so */
#include "bench/side.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

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
static void time_shape(const side *x, size_t n, const int64_t *s, int transposed, tg_dtype dtype, int threads)
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
    void *pa = side_numbers(batch * s[0] * s[1], dtype), *pb = side_numbers(batch * s[1] * s[2], dtype),
         *pc = side_numbers(batch * s[0] * s[2], dtype);
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
    side_time(x, n, &call, &run, 2.0 * (double)batch * (double)s[0] * (double)s[1] * (double)s[2]);
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

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 0;
    if (threads < 1) {
        fprintf(stderr, "usage: bench_matmul THREADS [MxKxN|BxMxKxN...] [PLUGIN.so...]\n");
        return 2;
    }
    static int64_t given[32][4];
    side x[SIDE_MOST];
    size_t n = 1, n_given = 0;
    side_open(&x[0], NULL, threads);
    for (int i = 2; i < argc; i++)
        if (n_given < 32 && read_shape(argv[i], given[n_given]))
            n_given++;
        else if (n < SIDE_MOST)
            side_open(&x[n++], argv[i], threads);
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
