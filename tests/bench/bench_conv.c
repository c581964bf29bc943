/* Times the convolution kernels of the reference and of plug-ins side by side, without the rest of the
 * library:
 *
 *     bench_conv THREADS f32|f64 [PLUGIN.so...]
 *
 * For each shape three lines: forward, the gradient by the data, by the weights; what they show is side.h's.
 * The rules of backends/blis/conv.c were read off this table, with TG_BENCH_ACCEPT_ALL=1. */
#include "bench/side.h"

#include <tapegrad/op_attrs.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape {
    int64_t n, c, size, o, kernel, stride, padding, groups;
} shape;

static const shape shapes[] = {
    {64, 1, 28, 32, 3, 1, 1, 1},   {64, 1, 28, 16, 5, 1, 0, 1},   {64, 3, 32, 32, 3, 1, 1, 1},
    {16, 3, 64, 64, 7, 2, 3, 1},   {64, 32, 14, 64, 3, 1, 1, 1},  {64, 32, 32, 64, 3, 1, 1, 1},
    {64, 64, 16, 128, 3, 1, 1, 1}, {64, 128, 8, 256, 3, 1, 1, 1}, {64, 64, 16, 64, 1, 1, 0, 1},
    {64, 256, 8, 64, 1, 1, 0, 1},  {64, 64, 16, 128, 1, 2, 0, 1}, {64, 64, 16, 128, 3, 2, 1, 1},
    {8, 16, 16, 16, 3, 1, 1, 1},   {8, 8, 16, 8, 3, 1, 1, 1},     {1, 16, 28, 32, 3, 1, 1, 1},
    {32, 16, 8, 16, 3, 1, 1, 1},   {32, 4, 8, 8, 3, 1, 1, 1},     {64, 256, 2, 256, 3, 1, 1, 1},
    {16, 32, 32, 32, 3, 1, 1, 32}, {16, 32, 32, 32, 5, 2, 2, 32}, {16, 64, 16, 64, 3, 1, 1, 4},
    {16, 64, 16, 64, 3, 1, 1, 16}, {4, 64, 16, 3, 3, 1, 1, 1},    {2, 512, 7, 512, 3, 1, 1, 1},
    {1, 16, 8, 16, 3, 1, 1, 1},    {4, 16, 8, 16, 3, 1, 1, 1},    {1, 32, 8, 32, 3, 1, 1, 1},
    {1, 64, 4, 64, 3, 1, 1, 1},
};

static const char *const ops[] = {"convolution", "convolution_backward_data", "convolution_backward_weights"};

static tg_dtype dtype = TG_F32;

static tg_desc dense(int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (tg_desc){
        .dtype = (int32_t)dtype, .ndim = 4, .dim = {n, c, h, w}, .stride = {c * h * w, h * w, w, 1}};
}

static int64_t count(const tg_desc *d)
{
    return d->dim[0] * d->dim[1] * d->dim[2] * d->dim[3];
}

static void time_shape(const side *x, size_t n, const shape *s, int which, int threads)
{
    const int64_t out = (s->size + 2 * s->padding - s->kernel) / s->stride + 1;
    const tg_desc of_x = dense(s->n, s->c, s->size, s->size), of_y = dense(s->n, s->o, out, out),
                  of_w = dense(s->o, s->c / s->groups, s->kernel, s->kernel);
    const tg_desc *in[][2] = {{&of_x, &of_w}, {&of_y, &of_w}, {&of_y, &of_x}},
                  *result[] = {&of_y, &of_x, &of_w};
    tg_convolution_attrs attrs = {.stride = {2, {s->stride, s->stride}},
                                  .padding = {2, {s->padding, s->padding}},
                                  .dilation = {2, {1, 1}},
                                  .groups = s->groups};
    if (which == 1)
        attrs.size = (tg_ints){2, {s->size, s->size}};
    if (which == 2)
        attrs.size = (tg_ints){2, {s->kernel, s->kernel}};
    const uint32_t n_in = which == 2 ? 2 : 3;
    void *a = side_numbers(count(in[which][0]), dtype), *b = side_numbers(count(in[which][1]), dtype),
         *y = side_numbers(count(result[which]), dtype);
    tg_call call = {.struct_size = sizeof call,
                    .version = 1,
                    .op = ops[which],
                    .in = (const tg_desc *[]){in[which][0], in[which][1], NULL},
                    .n_in = n_in,
                    .n_out = 1,
                    .out = result[which],
                    .attrs = &attrs,
                    .attrs_size = sizeof attrs,
                    .threads = threads};
    tg_run run = {.struct_size = sizeof run,
                  .threads = threads,
                  .in = (const void *[]){a, b, NULL},
                  .out = (void *[]){y},
                  .n_in = n_in,
                  .n_out = 1};
    printf("%3lldx%-3lld %2lld² → %3lld k %lld s %lld g %-2lld %s", (long long)s->n, (long long)s->c,
           (long long)s->size, (long long)s->o, (long long)s->kernel, (long long)s->stride,
           (long long)s->groups,
           which == 0   ? "forward"
           : which == 1 ? "data   "
                        : "weights");
    side_time(x, n, &call, &run,
              2.0 * (double)count(&of_y) * (double)(s->c / s->groups * s->kernel * s->kernel));
    printf("\n");
    fflush(stdout);
    free(a);
    free(b);
    free(y);
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 0;
    if (threads < 1 || argc < 3) {
        fprintf(stderr, "usage: bench_conv THREADS f32|f64 [PLUGIN.so...]\n");
        return 2;
    }
    if (!strcmp(argv[2], "f64"))
        dtype = TG_F64;
    side x[SIDE_MOST];
    size_t n = 1;
    side_open(&x[0], NULL, threads);
    for (int i = 3; i < argc && n < SIDE_MOST; i++)
        side_open(&x[n++], argv[i], threads);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int which = 0; which < 3; which++)
            time_shape(x, n, &shapes[i], which, threads);
    return 0;
}
