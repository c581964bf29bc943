/* BLIS's and the reference's kernels against a sum in double, over every stride and transposition, without
 * asking accept: so the products that BLIS leaves to the reference are tried on both. */
#include "support/check_main.h"
#include <tapegrad/backend_abi.h>

#include <dlfcn.h>
#include <math.h>
#include <string.h>

const tg_backend *tg_reference_backend(void);

enum { LARGEST = 1 << 18 };
static const tg_backend *backends[2];
static tg_backend_state *states[2];
static tg_host host;
static char said[256];
static double data_a[LARGEST], data_b[LARGEST], data_bias[4096], data_c[LARGEST], scratch[LARGEST * 4];

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

static void lend_log(void *arg, int level, const char *message)
{
    (void)arg;
    fprintf(stderr, "%d: %s\n", level, message);
}

static void lend_error(void *arg, tg_status status, const char *message)
{
    (void)arg;
    (void)status;
    snprintf(said, sizeof said, "%s", message);
}

static void open_both(void)
{
    if (backends[0])
        return;
    host = (tg_host){sizeof host, TG_ABI_MAJOR, TG_ABI_MINOR, 2,         NULL,
                     lend_alloc,  lend_free,    lend_log,     lend_error};
    void *file = dlopen(BLIS_DIR "/blis.so", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    ck_assert_msg(file != NULL, "%s", dlerror());
    tg_backend_entry_fn entry;
    *(void **)&entry = dlsym(file, TG_BACKEND_ENTRY);
    backends[0] = tg_reference_backend();
    backends[1] = entry();
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(backends[i]->open(&host, &states[i]), TG_OK);
}

/* -- one product ----------------------------------------------------------------------------------------- */

typedef struct problem {
    const char *op;
    tg_dtype dtype;
    tg_desc a, b, bias, c;
    bool has_bias;
    int threads;
} problem;

static double get(const problem *p, const double *data, int64_t i)
{
    return p->dtype == TG_F64 ? data[i] : (double)((const float *)(const void *)data)[i];
}

static void set(const problem *p, double *data, int64_t i, double v)
{
    if (p->dtype == TG_F64)
        data[i] = v;
    else
        ((float *)(void *)data)[i] = (float)v;
}

static int64_t offset(const tg_desc *d, const tg_desc *out, const int64_t *at)
{
    int64_t o = 0;
    for (int i = 0; i < d->ndim - 2; i++) {
        int own = i + out->ndim - d->ndim;
        o += d->dim[i] == 1 ? 0 : at[own] * d->stride[i];
    }
    return o;
}

/* The expected element in `expected`, the sum of magnitudes in `scale`. */
static double expect(const problem *p, const int64_t *at, double *scale)
{
    const tg_desc *a = &p->a, *b = &p->b, *c = &p->c;
    bool transposed = !strcmp(p->op, "linear");
    int64_t i = at[c->ndim - 2], j = at[c->ndim - 1], k = a->dim[a->ndim - 1];
    int64_t b_k = b->stride[b->ndim - (transposed ? 1 : 2)], b_j = b->stride[b->ndim - (transposed ? 2 : 1)];
    int64_t oa = offset(a, c, at) + i * a->stride[a->ndim - 2], ob = offset(b, c, at) + j * b_j;
    double sum = p->has_bias ? get(p, data_bias, j * p->bias.stride[0]) : 0;
    *scale = fabs(sum) + 1e-30;
    for (int64_t x = 0; x < k; x++) {
        double term = get(p, data_a, oa + x * a->stride[a->ndim - 1]) * get(p, data_b, ob + x * b_k);
        sum += term;
        *scale += fabs(term);
    }
    return sum;
}

static int64_t count(const tg_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    return n;
}

/* Elements from the first to past the last. */
static int64_t extent(const tg_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->ndim; i++)
        n += d->dim[i] ? (d->dim[i] - 1) * d->stride[i] : 0;
    return n;
}

static const tg_kernel *kernel_of(const tg_backend *b, const char *op)
{
    for (uint32_t i = 0; i < b->n_kernels; i++) {
        const tg_kernel *k =
            (const tg_kernel *)(const void *)((const char *)b->kernels + (size_t)i * b->kernel_stride);
        if (!strcmp(k->op, op))
            return k;
    }
    return NULL;
}

static tg_status run(const problem *p, int which)
{
    const tg_kernel *k = kernel_of(backends[which], p->op);
    const tg_desc *in[] = {&p->a, &p->b, p->has_bias ? &p->bias : NULL};
    bool linear = !strcmp(p->op, "linear");
    tg_call call = {.struct_size = sizeof call,
                    .version = 1,
                    .op = p->op,
                    .in = in,
                    .n_in = linear ? 3 : 2,
                    .n_out = 1,
                    .out = &p->c,
                    .threads = p->threads};
    tg_prepared prepared = {.struct_size = sizeof prepared};
    tg_status status = k->prepare(states[which], &call, &prepared);
    if (status)
        return status;
    ck_assert_uint_le(prepared.scratch_size, sizeof scratch);
    ck_assert(extent(&p->a) <= LARGEST && extent(&p->b) <= LARGEST && count(&p->c) < LARGEST);
    const void *data[] = {data_a, data_b, p->has_bias ? data_bias : NULL};
    tg_run r = {.struct_size = sizeof r,
                .threads = p->threads,
                .in = data,
                .out = (void *[]){data_c},
                .scratch = scratch,
                .n_in = call.n_in,
                .n_out = 1};
    status = k->run(states[which], &call, &prepared, &r);
    if (k->release)
        k->release(states[which], &prepared);
    return status;
}

/* Runs it on one backend over a result full of NaN, and compares every element; what lies between stays NaN.
 */
static void check(const problem *p, int which)
{
    int64_t n = count(&p->c), at[TG_MAX_DIM] = {0};
    for (int64_t i = 0; i <= n; i++)
        set(p, data_c, i, NAN);
    ck_assert_int_eq(run(p, which), TG_OK);
    double tolerance = which == 0 ? (p->dtype == TG_F64 ? 1e-14 : 1e-7) : (p->dtype == TG_F64 ? 1e-13 : 2e-5);
    for (int64_t e = 0; e < n; e++) {
        int64_t rest = e, o = 0;
        for (int d = p->c.ndim - 1; d >= 0; d--) {
            at[d] = rest % p->c.dim[d];
            rest /= p->c.dim[d];
            o += at[d] * p->c.stride[d];
        }
        double scale, expected = expect(p, at, &scale), got = get(p, data_c, o);
        if (!(fabs(got - expected) <= tolerance * scale))
            ck_abort_msg("%s %s [%lld, %lld]·[…, %lld] on %s: element %lld is %g, expected %g", p->op,
                         p->dtype == TG_F64 ? "f64" : "f32", (long long)p->a.dim[p->a.ndim - 2],
                         (long long)p->a.dim[p->a.ndim - 1], (long long)p->c.dim[p->c.ndim - 1],
                         backends[which]->name, (long long)e, got, expected);
    }
    ck_assert(isnan(get(p, data_c, n))); /* nothing past the end */
}

/* -- layouts --------------------------------------------------------------------------------------------- */

enum { ROWS, COLUMNS, GAPS, GAPS_TURNED, ROW_REPEATED, COLUMN_REPEATED, ONE_VALUE, OVERLAP, N_LAYOUTS };

static tg_desc matrix(const problem *p, int layout, int64_t m, int64_t n)
{
    static const struct {
        int64_t row_n, row_1, col_m,
            col_1; /* row stride = row_n·n + row_1, column stride = col_m·m + col_1 */
    } of[N_LAYOUTS] = {
        {1, 0, 0, 1}, {0, 1, 1, 0}, {2, 3, 0, 2}, {0, 3, 3, 5},
        {0, 0, 0, 1}, {0, 1, 0, 0}, {0, 0, 0, 0}, {0, 2, 0, 3},
    };
    return (tg_desc){
        .dtype = (int32_t)p->dtype,
        .ndim = 2,
        .dim = {m, n},
        .stride = {of[layout].row_n * n + of[layout].row_1, of[layout].col_m * m + of[layout].col_1}};
}

static void fill_data(const problem *p)
{
    for (int64_t i = 0; i < LARGEST / 4; i++) {
        set(p, data_a, i, (double)(i * 7919 % 101) / 50 - 1);
        set(p, data_b, i, (double)(i * 104729 % 97) / 48 - 1);
    }
    for (int64_t i = 0; i < 1024; i++)
        set(p, data_bias, i, (double)(i % 13) - 6);
}

static problem start(const char *op, tg_dtype dtype, int threads)
{
    problem p = {.op = op, .dtype = dtype, .threads = threads};
    open_both();
    fill_data(&p);
    return p;
}

START_TEST(every_size_and_layout)
{
    static const int64_t sizes[] = {1, 2, 7, 8, 9, 17, 33, 70};
    enum { N = sizeof sizes / sizeof *sizes };
    problem p = start("matmul", _i % 2 ? TG_F64 : TG_F32, 1 + _i / 2 % 2);
    int which = _i / 4;
    uint32_t pick = 1;
    for (int im = 0; im < N; im++)
        for (int in = 0; in < N; in++)
            for (int ik = -1; ik < N; ik++)
                for (int shot = 0; shot < 2; shot++) {
                    pick = pick * 1664525u + 1013904223u;
                    int la = (int)(pick >> 8) % N_LAYOUTS, lb = (int)(pick >> 16) % N_LAYOUTS;
                    int64_t m = sizes[im], n = sizes[in], k = ik < 0 ? 0 : sizes[ik];
                    p.a = matrix(&p, la, m, k);
                    p.b = matrix(&p, lb, k, n);
                    p.c = matrix(&p, ROWS, m, n);
                    check(&p, which);
                }
}
END_TEST

START_TEST(every_layout_of_a_larger_one)
{
    problem p = start("matmul", _i % 2 ? TG_F64 : TG_F32, 2);
    for (int la = 0; la < N_LAYOUTS; la++)
        for (int lb = 0; lb < N_LAYOUTS; lb++) {
            p.a = matrix(&p, la, 95, 130);
            p.b = matrix(&p, lb, 130, 83);
            p.c = matrix(&p, ROWS, 95, 83);
            check(&p, _i / 2);
            p.a = matrix(&p, la, 3, 700); /* few rows, few columns */
            p.b = matrix(&p, lb, 700, 20);
            p.c = matrix(&p, ROWS, 3, 20);
            check(&p, _i / 2);
            p.a = matrix(&p, la, 20, 700);
            p.b = matrix(&p, lb, 700, 5);
            p.c = matrix(&p, ROWS, 20, 5);
            check(&p, _i / 2);
        }
}
END_TEST

START_TEST(linear_with_and_without_bias)
{
    static const int64_t shapes[][3] = {{1, 1, 1},    {5, 0, 4},    {4, 9, 17},  {128, 64, 10},
                                        {1, 200, 90}, {90, 200, 1}, {65, 66, 67}};
    problem p = start("linear", _i % 2 ? TG_F64 : TG_F32, 2);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int lx = 0; lx < N_LAYOUTS; lx++)
            for (int lw = 0; lw < N_LAYOUTS; lw++)
                for (int bias = 0; bias < 4; bias++) {
                    int64_t m = shapes[s][0], k = shapes[s][1], n = shapes[s][2];
                    p.a = matrix(&p, lx, m, k);
                    p.b = matrix(&p, lw, n, k);
                    p.c = matrix(&p, ROWS, m, n);
                    p.has_bias = bias > 0;
                    p.bias = (tg_desc){.dtype = (int32_t)p.dtype,
                                       .ndim = 1,
                                       .dim = {n},
                                       .stride = {(int64_t[]){0, 1, 2, 0}[bias]}};
                    check(&p, _i / 2);
                }
}
END_TEST

START_TEST(batches_broadcast)
{
    problem p = start("matmul", _i % 2 ? TG_F64 : TG_F32, 2);
    static const int64_t sizes[][3] = {{4, 5, 6}, {1, 30, 20}, {30, 20, 2}, {33, 40, 34}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t m = sizes[s][0], k = sizes[s][1], n = sizes[s][2];
        tg_desc c = {
            .dtype = (int32_t)p.dtype, .ndim = 4, .dim = {2, 3, m, n}, .stride = {3 * m * n, m * n, n, 1}};
        tg_desc as[] = {
            {.ndim = 4, .dim = {2, 3, m, k}, .stride = {3 * m * k, m * k, k, 1}},
            {.ndim = 4, .dim = {2, 1, m, k}, .stride = {m * k, 77, 1, m}},
            {.ndim = 3, .dim = {3, m, k}, .stride = {m * k + 5, k, 1}},
            {.ndim = 4, .dim = {2, 3, m, k}, .stride = {0, 0, k, 1}},
            {.ndim = 4, .dim = {2, 3, m, k}, .stride = {3 * m, m, 0, 0}},
        };
        tg_desc bs[] = {
            {.ndim = 4, .dim = {2, 3, k, n}, .stride = {3 * n * k, n * k, n, 1}},
            {.ndim = 4, .dim = {1, 3, k, n}, .stride = {9, n * k, 1, k}},
            {.ndim = 2, .dim = {k, n}, .stride = {n, 1}},
        };
        for (size_t i = 0; i < sizeof as / sizeof *as; i++)
            for (size_t j = 0; j < sizeof bs / sizeof *bs; j++) {
                p.a = as[i];
                p.b = bs[j];
                p.c = c;
                p.a.dtype = p.b.dtype = (int32_t)p.dtype;
                check(&p, _i / 2);
            }
    }
}
END_TEST

/* 0·NaN and 0·inf are NaN, inf − inf too; the result is never what lay there before. */
START_TEST(nan_and_inf_are_kept)
{
    static const int64_t shapes[][3] = {{1, 9, 40},   {40, 9, 1},   {2, 17, 30}, {20, 20, 20},
                                        {64, 64, 64}, {70, 80, 90}, {30, 17, 2}};
    problem p = start("matmul", _i % 2 ? TG_F64 : TG_F32, 2);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int layouts = 0; layouts < 4; layouts++)
            for (int value = 0; value < 2; value++) {
                int64_t m = shapes[s][0], k = shapes[s][1], n = shapes[s][2];
                p.a = matrix(&p, layouts % 2, m, k);
                p.b = matrix(&p, layouts / 2, k, n);
                p.c = matrix(&p, ROWS, m, n);
                for (int64_t at = 0; at < k; at++) {
                    for (int64_t i = 0; i < m * k; i++)
                        set(&p, data_a, i, 1);
                    for (int64_t i = 0; i < k * n; i++)
                        set(&p, data_b, i, 1);
                    for (int64_t i = 0; i < m; i++)
                        set(&p, data_a, i * p.a.stride[0] + at * p.a.stride[1], 0);
                    for (int64_t j = 0; j < n; j++)
                        set(&p, data_b, at * p.b.stride[0] + j * p.b.stride[1], value ? INFINITY : NAN);
                    for (int64_t i = 0; i < m * n; i++)
                        set(&p, data_c, i, 0);
                    ck_assert_int_eq(run(&p, _i / 2), TG_OK);
                    for (int64_t i = 0; i < m * n; i++)
                        if (!isnan(get(&p, data_c, i)))
                            ck_abort_msg("[%lld, %lld]·[…, %lld] layouts %d, k = %lld: %s lost it",
                                         (long long)m, (long long)k, (long long)n, layouts, (long long)at,
                                         backends[_i / 2]->name);
                }
            }
}
END_TEST

/* The reference gives the same bits on any number of threads. */
START_TEST(the_reference_does_not_depend_on_threads)
{
    problem p = start("matmul", _i % 2 ? TG_F64 : TG_F32, 1);
    size_t size = p.dtype == TG_F64 ? 8 : 4;
    static double once[LARGEST / 8];
    static const int64_t shapes[][3] = {{129, 300, 131}, {5, 800, 300}, {300, 700, 3}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int64_t m = shapes[s][0], k = shapes[s][1], n = shapes[s][2];
        p.a = matrix(&p, ROWS, m, k);
        p.b = matrix(&p, COLUMNS, k, n);
        p.c = matrix(&p, ROWS, m, n);
        for (p.threads = 1; p.threads < 5; p.threads++) {
            ck_assert_int_eq(run(&p, 0), TG_OK);
            if (p.threads == 1)
                memcpy(once, data_c, (size_t)(m * n) * size);
            ck_assert_mem_eq(once, data_c, (size_t)(m * n) * size);
        }
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("blis kernels");
    TCase *t = tcase_create("products");
    tcase_add_loop_test(t, every_size_and_layout, 0, 8);
    tcase_add_loop_test(t, every_layout_of_a_larger_one, 0, 4);
    tcase_add_loop_test(t, linear_with_and_without_bias, 0, 4);
    tcase_add_loop_test(t, batches_broadcast, 0, 4);
    tcase_add_loop_test(t, nan_and_inf_are_kept, 0, 4);
    tcase_add_loop_test(t, the_reference_does_not_depend_on_threads, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
