/* matmul and linear: C = A·B (+ bias), every stride, batches, f32 and f64.
 *
 * The product is cut into tiles of C. Whoever computes a tile packs its part of A and B into panels of double
 * in the scratch memory, and walks k upwards in blocks, adding to a tile of double: each element is one sum
 * in ascending k, rounded to the element type once, whatever the tiles and the threads. */
#include "backends/reference/clones.h"
#include "backends/reference/each.h"
#include "backends/reference/multiply.h"
#include "backends/reference/reference.h"

#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    MR = 8, /* the register block: MR rows of one vector of NR doubles */
    NR = 8,
    KC = 256, /* the depth of a packed block */
    MC = 128, /* a tile of C at the most */
    NC = 256,
    ALIGN = 64
};

/* One product: strides in elements. */
typedef struct gemm {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, c_row, c_col, bias_step;
    int64_t batch;
    const tg_desc *a, *b, *c; /* for the batch dims */
    int64_t mt, nt;           /* the tile                             */
    bool add;                 /* to what C holds                      */
    int threads;
} gemm;

static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The largest tile that still gives every thread work. */
static void choose_tiles(gemm *g)
{
    g->mt = round_up(min64(g->m > 0 ? g->m : 1, MC), MR); /* a tile of no rows would divide by 0 */
    g->nt = round_up(min64(g->n > 0 ? g->n : 1, NC), NR);
    double work = 2.0 * (double)g->m * (double)g->n * (double)g->k * (double)g->batch;
    if (work < 4e5)
        g->threads = 1;
    while ((g->m + g->mt - 1) / g->mt * ((g->n + g->nt - 1) / g->nt) * g->batch < 2 * g->threads) {
        if (g->nt >= g->mt && g->nt > 4 * NR)
            g->nt = round_up(g->nt / 2, NR);
        else if (g->mt > 4 * MR)
            g->mt = round_up(g->mt / 2, MR);
        else
            break;
    }
}

static gemm describe(const tg_call *c)
{
    const tg_desc *a = c->in[0], *b = c->in[1], *out = &c->out[0];
    int last = a->ndim - 1, blast = b->ndim - 1, olast = out->ndim - 1;
    gemm g = {.a = a, .b = b, .c = out, .batch = 1, .threads = c->threads > 0 ? c->threads : 1};
    bool is_linear = c->n_in == 3;
    g.m = out->dim[olast - 1];
    g.n = out->dim[olast];
    g.k = a->dim[last];
    g.a_row = a->stride[last - 1];
    g.a_col = a->stride[last];
    g.b_row = is_linear ? b->stride[1] : b->stride[blast - 1];
    g.b_col = is_linear ? b->stride[0] : b->stride[blast];
    g.c_row = out->stride[olast - 1];
    g.c_col = out->stride[olast];
    g.bias_step = is_linear && c->in[2] ? c->in[2]->stride[0] : 0;
    for (int i = 0; i < olast - 1; i++)
        g.batch *= out->dim[i];
    choose_tiles(&g);
    return g;
}

/* Doubles that one thread needs: a packed block of A, one of B, the tile. */
static int64_t thread_scratch(const gemm *g)
{
    int64_t depth = min64(g->k, KC);
    return round_up(g->mt * depth + depth * g->nt + g->mt * g->nt, ALIGN / (int64_t)sizeof(double));
}

/* Elements from the first matrix of an operand to that of batch number `index` of the result. */
static int64_t batch_offset(const tg_desc *d, const tg_desc *out, int64_t index)
{
    int64_t offset = 0;
    for (int i = out->ndim - 3; i >= 0; i--) {
        int64_t at = index % out->dim[i];
        index /= out->dim[i];
        int own = i - (out->ndim - d->ndim);
        if (own >= 0 && d->dim[own] != 1)
            offset += at * d->stride[own];
    }
    return offset;
}

/* A product of two floats is exact in double, so fusing it with the addition rounds as not fusing does. */
#if defined(__GNUC__) && !defined(__clang__)
#define EXACT_PRODUCTS __attribute__((optimize("fp-contract=fast")))
#else
#define EXACT_PRODUCTS
#endif

typedef void (*multiply_fn)(int64_t rows, int64_t cols, int64_t depth, const double *a, const double *b,
                            double *tile, int64_t step, bool first);

/* One vector of the machine's width holds a row of the register block, or half a row: gcc makes poor code of
 * vectors that are wider than the machine's. */
#define LANES 4
#define TARGET EXACT_PRODUCTS TG_REF_TWO_CLONES
#define KERNEL(name) name##_half_f32
#include "backends/reference/matmul_kernel.h"
#undef TARGET
#undef KERNEL
#define TARGET TG_REF_TWO_CLONES
#define KERNEL(name) name##_half_f64
#include "backends/reference/matmul_kernel.h"
#undef LANES
#undef TARGET
#undef KERNEL

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define WIDE __attribute__((target("avx512f")))
#define LANES 8
#define TARGET EXACT_PRODUCTS WIDE
#define KERNEL(name) name##_whole_f32
#include "backends/reference/matmul_kernel.h"
#undef TARGET
#undef KERNEL
#define TARGET WIDE
#define KERNEL(name) name##_whole_f64
#include "backends/reference/matmul_kernel.h"
#undef LANES
#undef TARGET
#undef KERNEL

static multiply_fn multiply_best_f32(void)
{
    return __builtin_cpu_supports("avx512f") ? multiply_whole_f32 : multiply_half_f32;
}

static multiply_fn multiply_best_f64(void)
{
    return __builtin_cpu_supports("avx512f") ? multiply_whole_f64 : multiply_half_f64;
}
#else
static multiply_fn multiply_best_f32(void)
{
    return multiply_half_f32;
}

static multiply_fn multiply_best_f64(void)
{
    return multiply_half_f64;
}
#endif

tg_ref_multiply_fn tg_ref_multiply(bool wide)
{
    return wide ? multiply_best_f64() : multiply_best_f32();
}

#define T float
#define NAME(x) x##_f32
#include "backends/reference/matmul_typed.h"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_f64
#include "backends/reference/matmul_typed.h"
#undef T
#undef NAME

void tg_ref_product(bool wide, int64_t m, int64_t n, int64_t k, const void *a, int64_t a_row, int64_t a_col, const void *b,
                    int64_t b_row, int64_t b_col, bool add, void *c, int64_t c_row, double *scratch)
{
    const gemm g = {.m = m, .n = n, .k = k, .a_row = a_row, .a_col = a_col, .b_row = b_row, .b_col = b_col, .c_row = c_row,
                    .c_col = 1, .mt = TG_REF_PRODUCT_ROWS, .nt = TG_REF_PRODUCT_COLS, .add = add};
    const int64_t jobs = (m + g.mt - 1) / g.mt * ((n + g.nt - 1) / g.nt);
    for (int64_t job = 0; job < jobs; job++)
        (wide ? tile_f64 : tile_f32)(&g, job, a, b, NULL, c, scratch);
}

/* Integers have no use for tiles of double: row by row, modulo 2⁶⁴. */
typedef struct integer_product {
    const gemm *g;
    const uint64_t *a, *b;
    uint64_t *c;
} integer_product;

static void integer_row(const void *arg, int64_t job)
{
    const integer_product *p = arg;
    const gemm *g = p->g;
    const int64_t which = job / g->m, i = job % g->m;
    const uint64_t *a = p->a + batch_offset(g->a, g->c, which) + i * g->a_row;
    const uint64_t *b = p->b + batch_offset(g->b, g->c, which);
    uint64_t *c = p->c + batch_offset(g->c, g->c, which) + i * g->c_row;
    for (int64_t j = 0; j < g->n; j++)
        c[j * g->c_col] = 0;
    for (int64_t k = 0; k < g->k; k++)
        for (int64_t j = 0; j < g->n; j++)
            c[j * g->c_col] += a[k * g->a_col] * b[k * g->b_row + j * g->b_col];
}

static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    gemm g = describe(c);
    if (c->out[0].dtype == TG_I64)
        return TG_OK;
    p->scratch_size = (size_t)(g.threads * thread_scratch(&g)) * sizeof(double);
    return TG_OK;
}

static tg_status run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s;
    (void)p;
    gemm g = describe(c);
    if (g.m == 0 || g.n == 0 || g.batch == 0)
        return TG_OK;
    if (c->out[0].dtype == TG_I64) {
        const integer_product ip = {&g, r->in[0], r->in[1], r->out[0]};
        tg_ref_each(g.threads, g.m * g.batch, integer_row, &ip);
        return TG_OK;
    }
    int64_t jobs = (g.m + g.mt - 1) / g.mt * ((g.n + g.nt - 1) / g.nt) * g.batch;
    int threads = (int)min64(min64(g.threads, r->threads), jobs);
    int64_t each = thread_scratch(&g);
    const void *bias = c->n_in == 3 ? r->in[2] : NULL;
    bool wide = c->out[0].dtype == TG_F64;
    if (threads <= 1) {
        for (int64_t job = 0; job < jobs; job++)
            (wide ? tile_f64 : tile_f32)(&g, job, r->in[0], r->in[1], bias, r->out[0], r->scratch);
        return TG_OK;
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t job = 0; job < jobs; job++) {
        double *own = (double *)r->scratch + omp_get_thread_num() * each;
        (wide ? tile_f64 : tile_f32)(&g, job, r->in[0], r->in[1], bias, r->out[0], own);
    }
    return TG_OK;
}

const tg_ref_kernel tg_ref_matmul[] = {
    {.op = "matmul", .prepare = prepare, .run = run},
    {.op = "linear", .prepare = prepare, .run = run},
    {0},
};
