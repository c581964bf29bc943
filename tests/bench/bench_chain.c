/* What the engine itself costs: long chains of operators on f32 tensors of 4 elements, y ← op(y), from a leaf
 * that wants its gradient to one backward.
 *
 *     bench_chain [LONGEST]
 *
 * For each kind of chain and each length (10⁴, 10⁵, 10⁶ operators): nanoseconds an operator of the forward,
 * of the backward, of both together and of the reset (medians of several passes on a tape that one pass has
 * warmed up), and what the library's allocator has handed out at most, in bytes an operator. Time and memory
 * that grow linearly show as columns that do not grow. */
#include <tapegrad/tapegrad.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ELEMENTS = 4, MAX_ROUNDS = 41 };

typedef struct operands {
    tg_tensor *x, *factor, *term, *weight, *gy; /* x and weight want gradients */
} operands;
/* Values are such that chains of any length stay among the normal numbers: others cost the processor time. */

/* One operator of the chain; `i` counts them. */
typedef tg_tensor *(*step_fn)(tg_tape *tape, tg_tensor *y, const operands *o, int i);

static tg_tensor *mul(tg_tape *tape, tg_tensor *y, const operands *o, int i)
{
    (void)i;
    return tg_mul(tape, y, o->factor);
}

static tg_tensor *add(tg_tape *tape, tg_tensor *y, const operands *o, int i)
{
    (void)i;
    return tg_add(tape, y, o->term);
}

static tg_tensor *mul_scalar(tg_tape *tape, tg_tensor *y, const operands *o, int i)
{
    (void)o, (void)i;
    return tg_mul_scalar(tape, y, -1.0);
}

static tg_tensor *add_scalar(tg_tape *tape, tg_tensor *y, const operands *o, int i)
{
    (void)o, (void)i;
    return tg_add_scalar(tape, y, 1e-7);
}

static tg_tensor *tanh_(tg_tape *tape, tg_tensor *y, const operands *o, int i)
{
    (void)o, (void)i;
    return tg_tanh(tape, y);
}

static tg_tensor *mul_weight(tg_tape *tape, tg_tensor *y, const operands *o, int i)
{
    (void)i;
    return tg_mul(tape, y, o->weight);
}

static tg_tensor *mix(tg_tape *tape, tg_tensor *y, const operands *o, int i)
{
    static const step_fn steps[] = {mul, add, tanh_, mul_scalar, add_scalar};
    return steps[i % 5](tape, y, o, i);
}

static const struct {
    const char *name;
    step_fn step;
} chains[] = {
    {"mul", mul},
    {"add", add},
    {"mul_scalar", mul_scalar},
    {"add_scalar", add_scalar},
    {"tanh", tanh_},
    {"mul, weight", mul_weight}, /* two gradients a node, one of them summed up */
    {"mix of five", mix},        /* the first five in turns                     */
};

/* -- bytes that the library holds ------------------------------------------------------------------------ */

static atomic_size_t live, peak;

static void *count_alloc(void *arg, size_t size, size_t align)
{
    (void)arg;
    size_t whole = (size + 2 * align - 1) / align * align; /* the size stands in front */
    char *p = aligned_alloc(align, whole + align);
    if (!p)
        return NULL;
    *(size_t *)(void *)p = size;
    size_t now = atomic_fetch_add(&live, size) + size;
    if (now > peak)
        peak = now;
    return p + align;
}

static void count_free(void *arg, void *ptr)
{
    (void)arg;
    char *p = (char *)ptr - 64; /* what the library aligns to */
    atomic_fetch_sub(&live, *(size_t *)(void *)p);
    free(p);
}

/* -- one measurement ------------------------------------------------------------------------------------- */

typedef struct pass {
    double forward, backward, both, reset; /* ns an operator */
} pass;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static pass run(tg_tape *tape, step_fn step, const operands *o, int length)
{
    double start = now_ns();
    tg_tensor *y = o->x;
    for (int i = 0; i < length; i++)
        y = step(tape, y, o, i);
    double middle = now_ns();
    tg_backward_with(tape, y, o->gy, 0);
    double end = now_ns();
    tg_tape_reset(tape);
    double after = now_ns();
    tg_tensor_zero_grad(o->x);
    tg_tensor_zero_grad(o->weight);
    return (pass){(middle - start) / length, (end - middle) / length, (end - start) / length,
                  (after - end) / length};
}

static int compare(const void *a, const void *b)
{
    double x = ((const pass *)a)->both, y = ((const pass *)b)->both;
    return (x > y) - (x < y);
}

static bool measure(tg_runtime *rt, size_t chain, const operands *o, int length)
{
    size_t before = live;
    peak = before;
    tg_tape *tape;
    if (tg_tape_open(&tape, rt))
        return false;
    int rounds = length > 100000 ? 5 : length > 10000 ? 11 : MAX_ROUNDS;
    pass passes[MAX_ROUNDS];
    run(tape, chains[chain].step, o, length);
    for (int i = 0; i < rounds; i++)
        passes[i] = run(tape, chains[chain].step, o, length);
    qsort(passes, (size_t)rounds, sizeof *passes, compare);
    pass middle = passes[rounds / 2], least = passes[0];
    bool good = tg_tape_status(tape) == TG_OK;
    if (good)
        printf("%-12s %8d  %7.1f %8.1f %7.1f  %7.1f %7.1f %7.0f\n", chains[chain].name, length,
               middle.forward, middle.backward, middle.both, least.both, middle.reset,
               (double)(peak - before) / length);
    else
        fprintf(stderr, "bench_chain: %s\n", tg_tape_error(tape));
    fflush(stdout);
    tg_tape_close(tape);
    return good;
}

static bool make(tg_tensor **out, tg_runtime *rt, float value, bool gradient)
{
    float values[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++)
        values[i] = i % 2 ? -value : value;
    return !tg_tensor_create(out, rt, TG_F32, (int64_t[]){ELEMENTS}, 1) &&
           !tg_tensor_write(*out, values, sizeof values) && !tg_tensor_set_requires_grad(*out, gradient);
}

int main(int argc, char **argv)
{
    int longest = argc > 1 ? atoi(argv[1]) : 1000000;
    tg_allocator allocator = {.alloc = count_alloc, .free = count_free};
    tg_runtime_options options = {.struct_size = sizeof options, .threads = 1, .allocator = &allocator};
    tg_runtime *rt;
    operands o = {0};
    if (tg_runtime_open(&rt, &options) || !make(&o.x, rt, 0.5f, true) || !make(&o.factor, rt, 1.0f, false) ||
        !make(&o.term, rt, 1e-6f, false) || !make(&o.weight, rt, 1.0f, true) ||
        !make(&o.gy, rt, 1.0f, false)) {
        fprintf(stderr, "bench_chain: %s\n", tg_error_message());
        return 1;
    }
    printf("%s %s, f32[%d]; ns an operator: medians, then the least; bytes an operator at the peak\n",
           tg_version(), tg_runtime_backend(rt), ELEMENTS);
    printf("%-12s %8s  %7s %8s %7s  %7s %7s %7s\n", "chain", "length", "forward", "backward", "both", "least",
           "reset", "bytes");
    bool good = true;
    for (size_t c = 0; c < sizeof chains / sizeof *chains; c++)
        for (int length = 10000; length <= longest && good; length *= 10)
            good = measure(rt, c, &o, length);
    tg_tensor_destroy(o.x);
    tg_tensor_destroy(o.factor);
    tg_tensor_destroy(o.term);
    tg_tensor_destroy(o.weight);
    tg_tensor_destroy(o.gy);
    tg_runtime_close(rt);
    return good ? 0 : 1;
}
