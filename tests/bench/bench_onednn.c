/* What oneDNN's own primitives cost beside the reference's kernels, f32:
 *
 *     bench_onednn THREADS [PLUGIN.so [elementwise|binary|reduction|group_norm|pooling]]
 *
 * Elementwise operators, sums of two, reductions, group_norm, and pooling; microseconds of the reference and of oneDNN,
 * which run in turns, the least of some rounds. For pooling also the plug-in's kernels, in a layout of theirs. What
 * backends/onednn leaves to the reference, and docs/backends.md's table, come from this. */
#include <tapegrad/backend_abi.h>
#include <tapegrad/op_attrs.h>

#include "backends/onednn/versions.h"

#include <dlfcn.h>
#include <math.h>
#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const tg_backend *tg_reference_backend(void);

static int threads;
static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void die(const char *what)
{
    fprintf(stderr, "bench_onednn: %s\n", what);
    exit(1);
}

static void need(dnnl_status_t status, const char *what)
{
    if (status)
        die(what);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
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
    (void)arg;
    fprintf(stderr, "%d: %s\n", level, message);
}

static void say_error(void *arg, tg_status status, const char *message)
{
    say(arg, (int)status, message);
}

/* -- 3.x's names ---------------------------------------------------------------------------------------------- */

#if DNNL_VERSION_MAJOR < 3
static dnnl_status_t dnnl_binary_primitive_desc_create(dnnl_primitive_desc_t *pd, dnnl_engine_t on,
                                                              dnnl_alg_kind_t algorithm, tg_dnnl_md a, tg_dnnl_md b,
                                                              tg_dnnl_md dst, const_dnnl_primitive_attr_t attr)
{
    dnnl_binary_desc_t d;
    dnnl_status_t status = dnnl_binary_desc_init(&d, algorithm, a, b, dst);
    return status ? status : dnnl_primitive_desc_create(pd, &d, attr, on, NULL);
}

static dnnl_status_t dnnl_reduction_primitive_desc_create(dnnl_primitive_desc_t *pd, dnnl_engine_t on,
                                                          dnnl_alg_kind_t alg, tg_dnnl_md src, tg_dnnl_md dst,
                                                          float p, float eps, const_dnnl_primitive_attr_t attr)
{
    dnnl_reduction_desc_t d;
    dnnl_status_t status = dnnl_reduction_desc_init(&d, alg, src, dst, p, eps);
    return status ? status : dnnl_primitive_desc_create(pd, &d, attr, on, NULL);
}
#endif

/* -- data and timing ------------------------------------------------------------------------------------------ */

enum { SLOTS = 4, INPUTS = 5, OUTPUTS = 3, SMALL = 65536 };
static float *slot[SLOTS]; /* a, b, and the two results */
static float weights[INPUTS][SMALL], sums[2][OUTPUTS][SMALL];
static size_t slot_bytes;

static void make_slots(size_t elements)
{
    slot_bytes = elements * sizeof(float);
    for (int i = 0; i < SLOTS; i++) {
        unsigned seed = (unsigned)i + 1;
        slot[i] = lend_alloc(NULL, slot_bytes + 64, 64);
        for (size_t e = 0; slot[i] && e < elements; e++) {
            seed = seed * 1664525u + 1013904223u;
            slot[i][e] = (float)(seed >> 8) / (1 << 23) - 1;
        }
        if (!slot[i])
            die("no memory");
    }
}

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

/* One side: a kernel of a backend's, or a primitive. */
typedef struct side {
    const tg_kernel *kernel;
    tg_backend_state *state;
    tg_call call;
    tg_desc in[INPUTS], out[OUTPUTS];
    const tg_desc *ins[INPUTS];
    tg_prepared prepared;
    tg_run run;
    const void *src[INPUTS];
    void *dst[OUTPUTS];
    dnnl_primitive_t primitive;
    int n;
    dnnl_exec_arg_t arg[10];
    const char *implementation;
} side;

static void once(side *s)
{
    if (s->kernel && s->kernel->run(s->state, &s->call, &s->prepared, &s->run))
        die("a kernel failed");
    if (s->primitive)
        need(dnnl_primitive_execute(s->primitive, stream, s->n, s->arg), "a primitive failed");
}

/* Prints the microseconds of those that are there. */
static void time_sides(side *const *s, int n, int64_t elements)
{
    double best[4] = {1e12, 1e12, 1e12, 1e12};
    const int times = (int)(400000 / (elements + 1)) + 1;
    for (int round = 0; round < 25; round++)
        for (int i = 0; i < n; i++) {
            const double start = now();
            for (int k = 0; k < times; k++)
                once(s[i]);
            const double spent = (now() - start) / times;
            best[i] = spent < best[i] ? spent : best[i];
        }
    for (int i = 0; i < n; i++)
        if (s[i]->kernel || s[i]->primitive)
            printf(" %9.1f", best[i]);
        else
            printf(" %9s", "-");
    fflush(stdout);
}

static const tg_kernel *kernel_of(const tg_backend *b, const char *op)
{
    for (uint32_t i = 0; i < b->n_kernels; i++) {
        const tg_kernel *k = (const tg_kernel *)(const void *)((const char *)b->kernels + (size_t)i * b->kernel_stride);
        if (!strcmp(k->op, op))
            return k;
    }
    return NULL;
}

typedef struct opened {
    const tg_backend *backend;
    tg_backend_state *state;
} opened;
static opened reference, plugin;

static void open_backend(opened *o, const tg_backend *b)
{
    static tg_host host;
    host = (tg_host){sizeof host, TG_ABI_MAJOR, TG_ABI_MINOR, threads, NULL, lend_alloc, lend_free, say, say_error};
    o->backend = b;
    if (b->open(&host, &o->state))
        die("a backend did not open");
}

/* in and out are filled in before. */
static void set_kernel(side *s, const opened *o, const char *op, uint32_t n_in, uint32_t n_out, const void *attrs,
                       size_t attrs_size, const double *scalars)
{
    const tg_kernel *k = kernel_of(o->backend, op);
    for (int i = 0; i < INPUTS; i++) {
        s->ins[i] = &s->in[i];
        s->src[i] = i < 2 ? slot[i] : weights[i];
    }
    for (int i = 0; i < OUTPUTS; i++)
        s->dst[i] = i ? sums[0][i] : slot[2];
    s->call = (tg_call){.struct_size = sizeof(tg_call),
                        .version = 1,
                        .op = op,
                        .in = s->ins,
                        .n_in = n_in,
                        .n_out = n_out,
                        .out = s->out,
                        .attrs = attrs,
                        .attrs_size = (uint32_t)attrs_size,
                        .threads = threads};
    s->prepared = (tg_prepared){.struct_size = sizeof s->prepared};
    s->state = o->state;
    if (!k || (k->prepare && k->prepare(s->state, &s->call, &s->prepared)))
        return;
    s->run = (tg_run){.struct_size = sizeof s->run,
                      .threads = threads,
                      .in = s->src,
                      .out = s->dst,
                      .scratch = lend_alloc(NULL, s->prepared.scratch_size + 64, 64),
                      .scalars = scalars,
                      .n_in = n_in,
                      .n_out = n_out};
    s->kernel = k;
}

static void end(side *s)
{
    if (s->kernel && s->kernel->release && s->prepared.impl)
        s->kernel->release(s->state, &s->prepared);
    free(s->run.scratch);
    for (int i = 0; i < s->n; i++)
        dnnl_memory_destroy(s->arg[i].memory);
    if (s->primitive)
        dnnl_primitive_destroy(s->primitive);
}

static void bind(side *s, int arg, tg_dnnl_md md, float *data)
{
    s->arg[s->n].arg = arg;
    need(dnnl_memory_create(&s->arg[s->n++].memory, md, engine, data), "no memory object");
}

static void set_primitive(side *s, dnnl_primitive_desc_t pd)
{
    need(dnnl_primitive_create(&s->primitive, pd), "no primitive");
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&s->implementation);
}

static void box_of(tg_dnnl_box *box, const tg_desc *d, dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = {0}, strides = {0};
    for (int i = 0; i < d->ndim; i++) {
        dims[i] = d->dim[i];
        strides[i] = d->stride[i];
    }
    need(tag == dnnl_format_tag_undef ? tg_dnnl_box_strided(box, d->ndim, dims, dnnl_f32, strides)
                                      : tg_dnnl_box_tagged(box, d->ndim, dims, dnnl_f32, tag),
         "no descriptor");
}

/* -- elementwise ---------------------------------------------------------------------------------------------- */

static const tg_gelu_attrs gelu_erf = {0}, gelu_tanh = {1};
static const double elu_scalars[] = {1, 1, 1};
static const struct {
    const char *op;
    dnnl_alg_kind_t alg;
    const void *attrs;
    const char *backward; /* NULL: the rule is made of other operators */
    bool from_y, positive;
} rows[] = {
    {"relu", dnnl_eltwise_relu, NULL, "relu_backward", true, false},
    {"tanh", dnnl_eltwise_tanh, NULL, "tanh_backward", true, false},
    {"sigmoid", dnnl_eltwise_logistic, NULL, "sigmoid_backward", true, false},
    {"gelu", dnnl_eltwise_gelu_erf, &gelu_erf, "gelu_backward", false, false},
    {"gelu", dnnl_eltwise_gelu_tanh, &gelu_tanh, "gelu_backward", false, false},
    {"elu", dnnl_eltwise_elu, NULL, "elu_backward", false, false},
    {"exp", dnnl_eltwise_exp, NULL, NULL, false, false},
    {"log", dnnl_eltwise_log, NULL, NULL, false, true},
    {"abs", dnnl_eltwise_abs, NULL, NULL, false, false},
    {"sqrt", dnnl_eltwise_sqrt, NULL, NULL, false, true},
    {"square", dnnl_eltwise_square, NULL, NULL, false, false},
};

static dnnl_alg_kind_t of_result(dnnl_alg_kind_t alg)
{
    return alg == dnnl_eltwise_relu   ? dnnl_eltwise_relu_use_dst_for_bwd
           : alg == dnnl_eltwise_tanh ? dnnl_eltwise_tanh_use_dst_for_bwd
                                      : dnnl_eltwise_logistic_use_dst_for_bwd;
}

/* How the two results differ at NaN, ±inf, ±0 and a number. */
static void compare_special(side *a, side *b, float *x, char *text, size_t size)
{
    static const float values[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 3.0f, -90.0f, 1e-40f};
    const int n = (int)(sizeof values / sizeof *values);
    float keep[8], mine[8];
    memcpy(keep, x, sizeof values);
    memcpy(x, values, sizeof values);
    once(a);
    memcpy(mine, slot[2], sizeof mine);
    once(b);
    text[0] = 0;
    for (int i = 0; i < n; i++) {
        const float z = mine[i], y = slot[3][i];
        const bool same = isnan(z) ? isnan(y) : z == y ? signbit(z) == signbit(y) : fabsf(z - y) <= 1e-5f * fabsf(z);
        if (!same)
            snprintf(text + strlen(text), size - strlen(text), " %g: %g, not %g;", (double)values[i], (double)y,
                     (double)z);
    }
    memcpy(x, keep, sizeof values);
}

static const int64_t counts[] = {1000, 65536, 1 << 20, 8 << 20};

static void time_elementwise(size_t i, bool backward)
{
    const bool from_y = backward && rows[i].from_y;
    char text[256] = "";
    char name[40];
    snprintf(name, sizeof name, "%s%s", backward ? rows[i].backward : rows[i].op,
             rows[i].attrs == &gelu_tanh ? " (tanh)" : "");
    printf("%-24s", name);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const tg_desc d = dense(1, &counts[c]);
        tg_dnnl_box box;
        dnnl_primitive_desc_t pd = NULL, hint = NULL;
        side ref = {.in = {d, d}, .out = {d}}, one = {0};
        set_kernel(&ref, &reference, backward ? rows[i].backward : rows[i].op, backward ? 2 : 1, 1, rows[i].attrs,
                   rows[i].attrs ? sizeof gelu_erf : 0, elu_scalars);
        box_of(&box, &d, dnnl_format_tag_undef);
        const tg_dnnl_md md = tg_dnnl_look(&box);
        const dnnl_alg_kind_t alg = from_y ? of_result(rows[i].alg) : rows[i].alg;
        const float alpha = rows[i].alg == dnnl_eltwise_elu ? 1 : 0;
        need(dnnl_eltwise_forward_primitive_desc_create(&hint, engine, dnnl_forward_training, alg, md, md, alpha, 0, NULL),
             "no eltwise");
        if (backward)
            need(dnnl_eltwise_backward_primitive_desc_create(&pd, engine, alg, md, md, md, alpha, 0, hint, NULL),
                 "no gradient of eltwise");
        set_primitive(&one, backward ? pd : hint);
        if (rows[i].positive)
            for (int64_t e = 0; e < counts[c]; e++)
                slot[0][e] = fabsf(slot[0][e]) + 0.01f;
        bind(&one, backward ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, md, slot[0]);
        if (backward)
            bind(&one, from_y ? DNNL_ARG_DST : DNNL_ARG_SRC, md, slot[1]);
        bind(&one, backward ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, md, slot[3]);
        time_sides((side *[]){&ref, &one}, 2, counts[c]);
        if (c == 0)
            compare_special(&ref, &one, slot[backward], text, sizeof text);
        end(&ref);
        end(&one);
        dnnl_primitive_desc_destroy(hint);
        if (pd)
            dnnl_primitive_desc_destroy(pd);
        tg_dnnl_box_free(&box);
    }
    printf(" %s\n", text);
}

/* What is added to what, of a number of elements that each divides. */
static const struct {
    const char *name;
    int ndim;
    int64_t dim[4], each; /* of the first dim; b has dim 1 */
} binaries[] = {
    {"", 1, {0}, 1},
    {", channels, 10×10", 4, {0, 10, 10, 10}, 1000},
    {", channels, 28×28", 4, {0, 20, 28, 28}, 20 * 28 * 28},
    {", rows of 10", 2, {0, 10}, 10},
    {", rows of 200", 2, {0, 200}, 200},
    {", rows of 3000", 2, {0, 3000}, 3000},
};

static void time_binary(const char *op, dnnl_alg_kind_t alg, size_t b)
{
    char name[40];
    snprintf(name, sizeof name, "%s%s", op, binaries[b].name);
    printf("%-24s", name);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        int64_t dims[4];
        memcpy(dims, binaries[b].dim, sizeof dims);
        dims[0] = counts[c] < binaries[b].each ? 1 : counts[c] / binaries[b].each;
        const int64_t n = dims[0] * binaries[b].each;
        const tg_desc d = dense(binaries[b].ndim, dims);
        tg_desc e = d, s = d;
        for (int k = 0; b && k < d.ndim; k++) {
            const bool kept = k == 1;
            e.dim[k] = kept ? d.dim[k] : 1;
            e.stride[k] = 1;
            s.stride[k] = kept;
        }
        tg_dnnl_box box, other;
        dnnl_primitive_desc_t pd;
        side ref = {.in = {d, s}, .out = {d}}, one = {0};
        set_kernel(&ref, &reference, op, 2, 1, NULL, 0, NULL);
        box_of(&box, &d, dnnl_format_tag_undef);
        if (b) {
            int64_t step = 1;
            for (int k = e.ndim; k-- > 0; step *= e.dim[k])
                e.stride[k] = step;
        }
        box_of(&other, &e, dnnl_format_tag_undef);
        const tg_dnnl_md md = tg_dnnl_look(&box), md2 = tg_dnnl_look(&other);
        need(dnnl_binary_primitive_desc_create(&pd, engine, alg, md, md2, md, NULL), "no binary");
        set_primitive(&one, pd);
        bind(&one, DNNL_ARG_SRC_0, md, slot[0]);
        bind(&one, DNNL_ARG_SRC_1, md2, slot[1]);
        bind(&one, DNNL_ARG_DST, md, slot[3]);
        time_sides((side *[]){&ref, &one}, 2, n);
        end(&ref);
        end(&one);
        dnnl_primitive_desc_destroy(pd);
        tg_dnnl_box_free(&box);
        tg_dnnl_box_free(&other);
    }
    printf("\n");
}

/* Of a matrix with 1000 columns, or of images, over one dim or all. */
static void time_reduction(const char *op, dnnl_alg_kind_t alg, int64_t dims)
{
    char name[40];
    snprintf(name, sizeof name, "%s, %s", op, dims == 1 ? "rows" : dims == 2 ? "columns" : "all");
    printf("%-24s", name);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const int64_t size[] = {counts[c] / 500, 500};
        const tg_reduce_attrs a = {.dims = dims, .keepdim = 1};
        const tg_desc d = dense(2, size), y = dense(2, (const int64_t[]){dims & 1 ? 1 : size[0], dims & 2 ? 1 : 500});
        tg_dnnl_box box, to;
        dnnl_primitive_desc_t pd;
        side ref = {.in = {d}, .out = {y}}, one = {0};
        set_kernel(&ref, &reference, op, 1, 1, &a, sizeof a, NULL);
        box_of(&box, &d, dnnl_format_tag_undef);
        box_of(&to, &y, dnnl_format_tag_undef);
        need(dnnl_reduction_primitive_desc_create(&pd, engine, alg, tg_dnnl_look(&box), tg_dnnl_look(&to), 0, 0, NULL),
             "no reduction");
        set_primitive(&one, pd);
        bind(&one, DNNL_ARG_SRC, tg_dnnl_look(&box), slot[0]);
        bind(&one, DNNL_ARG_DST, tg_dnnl_look(&to), slot[3]);
        time_sides((side *[]){&ref, &one}, 2, counts[c]);
        if (c == sizeof counts / sizeof *counts - 1) {
            slot[0][5] = NAN;
            once(&one);
            slot[0][5] = 0.5f;
            const float seen = slot[3][dims == 1 ? 5 : 0];
            printf("  %s%s", one.implementation, isnan(seen) ? "" : ", NaN is lost");
        }
        end(&ref);
        end(&one);
        dnnl_primitive_desc_destroy(pd);
        tg_dnnl_box_free(&box);
        tg_dnnl_box_free(&to);
    }
    printf("\n");
}

/* -- group_norm ----------------------------------------------------------------------------------------------- */

#if DNNL_VERSION_MAJOR > 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 3)
/* Forward: reference, oneDNN row-major, oneDNN with channels last; then the same of the gradient. */
static void time_group_norm(int64_t n, int64_t c, int64_t size, int64_t groups)
{
    static const int arg[] = {DNNL_ARG_SRC,        DNNL_ARG_SCALE,     DNNL_ARG_SHIFT,    DNNL_ARG_MEAN,
                              DNNL_ARG_VARIANCE,   DNNL_ARG_DIFF_DST,  DNNL_ARG_DIFF_SRC, DNNL_ARG_DST,
                              DNNL_ARG_DIFF_SCALE, DNNL_ARG_DIFF_SHIFT};
    const tg_group_norm_attrs a = {.groups = groups, .eps = 1e-5};
    const tg_group_norm_backward_attrs b = {.groups = groups, .want = 7};
    const tg_desc x = dense(4, (const int64_t[]){n, c, size, size}), w = dense(1, &c);
    const tg_desc s = dense(2, (const int64_t[]){n, groups});
    const unsigned flags = (unsigned)dnnl_use_scale | (unsigned)dnnl_use_shift;
    printf("group_norm %lld×%lld×%lld², %lld  ", (long long)n, (long long)c, (long long)size,
           (long long)groups);
    for (int back = 0; back < 2; back++) {
        side side_of[3] = {{.in = {x, w, w}, .out = {x, s, s}}, {0}, {0}};
        if (back)
            side_of[0] = (side){.in = {x, x, w, s, s}, .out = {x, w, w}};
        set_kernel(&side_of[0], &reference, back ? "group_norm_backward" : "group_norm", back ? 5 : 3, 3,
                   back ? (const void *)&b : (const void *)&a, back ? sizeof b : sizeof a, NULL);
        for (int last = 0; last < 2; last++) {
            side *one = &side_of[1 + last];
            tg_dnnl_box box[3];
            dnnl_primitive_desc_t pd[2] = {NULL};
            box_of(&box[0], &x, last ? dnnl_acdb : dnnl_format_tag_undef);
            box_of(&box[1], &w, dnnl_format_tag_undef);
            box_of(&box[2], &s, dnnl_format_tag_undef);
            const tg_dnnl_md md = tg_dnnl_look(&box[0]), mw = tg_dnnl_look(&box[1]),
                             ms = tg_dnnl_look(&box[2]);
            need(dnnl_group_normalization_forward_primitive_desc_create(&pd[0], engine, dnnl_forward_training,
                                                                        md, md, groups, 1e-5f, flags, NULL),
                 "no group_norm");
            if (back)
                need(dnnl_group_normalization_backward_primitive_desc_create(
                         &pd[1], engine, dnnl_backward, md, md, md, groups, 1e-5f, flags, pd[0], NULL),
                     "no gradient of group_norm");
            set_primitive(one, pd[back]);
            float *data[] = {slot[back],
                             weights[2],
                             weights[3],
                             back ? weights[3] : sums[1][1],
                             back ? weights[4] : sums[1][2],
                             slot[0],
                             slot[3],
                             slot[3],
                             sums[1][1],
                             sums[1][2]};
            for (int i = 0; i < 10; i++)
                if (back ? i != 2 && i != 7 : i < 5 || i == 7)
                    bind(one, arg[i], i == 1 || i == 2 || i > 7 ? mw : i == 3 || i == 4 ? ms : md, data[i]);
            for (int i = 0; i < 3; i++)
                tg_dnnl_box_free(&box[i]);
            for (int i = 0; i < 2; i++)
                if (pd[i])
                    dnnl_primitive_desc_destroy(pd[i]);
        }
        time_sides((side *[]){&side_of[0], &side_of[1], &side_of[2]}, 3, n * c * size * size);
        printf("  %s %s", side_of[1].implementation, side_of[2].implementation);
        for (int i = 0; i < 3; i++)
            end(&side_of[i]);
    }
    printf("\n");
}

static void time_norms(void)
{
    printf("# reference, oneDNN row-major, oneDNN with channels last; the gradient of the same\n");
    time_group_norm(1, 32, 16, 8);
    time_group_norm(8, 64, 32, 32);
    time_group_norm(32, 64, 56, 1);
    time_group_norm(16, 256, 14, 32);
    time_group_norm(32, 512, 8, 32);
    time_group_norm(8, 24, 32, 24);
}
#else
static void time_norms(void)
{
    printf("# group_norm: oneDNN has it from 3.3 on\n");
}
#endif

/* -- pooling -------------------------------------------------------------------------------------------------- */

static const tg_layout *layout_of(const tg_desc *d)
{
    static const tg_reorder_attrs a = {0};
    side s = {.in = {*d}, .out = {*d}};
    set_kernel(&s, &plugin, "reorder", 1, 1, &a, sizeof a, NULL);
    const tg_layout *layout = s.kernel && s.prepared.layout ? s.prepared.layout[0] : NULL;
    end(&s);
    return layout;
}

static void set_pooling(side *s, bool max, const tg_pool_attrs *a, const tg_desc *x, const tg_desc *y,
                        dnnl_format_tag_t tag)
{
    tg_dnnl_box from, to;
    dnnl_primitive_desc_t pd;
    dnnl_dims_t none = {0}, kernel = {0}, stride = {0}, before = {0}, after = {0};
    for (int k = 0; k < 2; k++) {
        kernel[k] = a->kernel.v[k];
        stride[k] = a->stride.v[k];
        before[k] = a->padding.v[k];
        after[k] = (y->dim[2 + k] - 1) * stride[k] + kernel[k] - x->dim[2 + k] - before[k];
    }
    box_of(&from, x, tag);
    box_of(&to, y, tag);
    need(dnnl_pooling_forward_primitive_desc_create(&pd, engine, dnnl_forward_inference,
                                                    max ? dnnl_pooling_max : dnnl_pooling_avg_include_padding,
                                                    tg_dnnl_look(&from), tg_dnnl_look(&to), stride, kernel, none,
                                                    before, after, NULL),
         "no pooling");
    set_primitive(s, pd);
    bind(s, DNNL_ARG_SRC, tg_dnnl_look(&from), slot[0]);
    bind(s, DNNL_ARG_DST, tg_dnnl_look(&to), slot[3]);
    dnnl_primitive_desc_destroy(pd);
    tg_dnnl_box_free(&from);
    tg_dnnl_box_free(&to);
}

/* Forward: the reference, oneDNN row-major, oneDNN blocked, the plug-in blocked; gradient: the reference, the plug-in. */
static void time_pooling(bool max, int64_t n, int64_t c, int64_t size, int64_t kernel, int64_t stride, int64_t pad)
{
    const int64_t out = (size + 2 * pad - kernel) / stride + 1;
    const tg_pool_attrs a = {.size = {2, {size, size}},
                             .kernel = {2, {kernel, kernel}},
                             .stride = {2, {stride, stride}},
                             .padding = {2, {pad, pad}},
                             .dilation = {2, {1, 1}},
                             .count_include_pad = 1};
    tg_desc x = dense(4, (const int64_t[]){n, c, size, size}), y = dense(4, (const int64_t[]){n, c, out, out});
    const tg_desc nothing = {.dtype = TG_I64, .ndim = 1};
    const char *op = max ? "max_pool" : "avg_pool", *back = max ? "max_pool_src_backward" : "avg_pool_backward";
    side ref = {.in = {x}, .out = {y, nothing}}, plain = {0}, blocked = {0}, mine = {.in = {x}, .out = {y, nothing}};
    side ref_back = {.in = {y, x}, .out = {x}}, mine_back = {.in = {y, x}, .out = {x}};
    set_kernel(&ref, &reference, op, 1, max ? 2 : 1, &a, sizeof a, NULL);
    set_kernel(&ref_back, &reference, back, max ? 2 : 1, 1, &a, sizeof a, NULL);
    set_pooling(&plain, max, &a, &x, &y, dnnl_format_tag_undef);
    set_pooling(&blocked, max, &a, &x, &y, c % 16 ? dnnl_acdb : dnnl_aBcd16b);
    if (plugin.backend) {
        mine.in[0].layout = layout_of(&x);
        set_kernel(&mine, &plugin, op, 1, max ? 2 : 1, &a, sizeof a, NULL);
        mine_back.in[0].layout = layout_of(&y);
        mine_back.in[1].layout = mine.in[0].layout;
        set_kernel(&mine_back, &plugin, back, max ? 2 : 1, 1, &a, sizeof a, NULL);
    }
    printf("%s %lld×%lld %lld/%lld/%lld  ", max ? "max" : "avg", (long long)n, (long long)c, (long long)size,
           (long long)kernel, (long long)stride);
    time_sides((side *[]){&ref, &plain, &blocked, &mine}, 4, n * c * size * size);
    printf("   ");
    time_sides((side *[]){&ref_back, &mine_back}, 2, n * c * size * size);
    printf("  %s %s\n", plain.implementation, blocked.implementation);
    side *all[] = {&ref, &plain, &blocked, &mine, &ref_back, &mine_back};
    for (int i = 0; i < 6; i++)
        end(all[i]);
}

static void time_all_pooling(void)
{
    printf("\n# reference, oneDNN row-major, oneDNN in blocks, the plug-in in blocks; gradient: reference, plug-in\n");
    for (int max = 1; max >= 0; max--) {
        time_pooling(max, 128, 32, 28, 2, 2, 0);
        time_pooling(max, 128, 64, 14, 2, 2, 0);
        time_pooling(max, 32, 64, 56, 3, 2, 1);
        time_pooling(max, 16, 24, 32, 3, 1, 1);
        time_pooling(max, 8, 20, 28, 2, 2, 0);
        time_pooling(max, 1, 16, 14, 2, 2, 0);
    }
}

int main(int argc, char **argv)
{
    threads = argc > 1 ? atoi(argv[1]) : 0;
    if (threads < 1) {
        fprintf(stderr, "usage: bench_onednn THREADS [PLUGIN.so [PART]]\n");
        return 2;
    }
    omp_set_num_threads(threads);
    need(dnnl_engine_create(&engine, dnnl_cpu, 0), "no engine");
    need(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "no stream");
    make_slots((size_t)counts[3]);
    for (int i = 0; i < INPUTS; i++)
        for (int e = 0; e < SMALL; e++)
            weights[i][e] = 0.5f + (float)(e % 7) / 7;
    open_backend(&reference, tg_reference_backend());
    if (argc > 2) {
        void *file = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
        tg_backend_entry_fn entry = NULL;
        if (file)
            *(void **)&entry = dlsym(file, TG_BACKEND_ENTRY);
        if (!entry)
            die(file ? "not a plug-in" : dlerror());
        open_backend(&plugin, entry());
    }
    printf("# %d threads, oneDNN %d.%d; elements: 1000, 64 Ki, 1 Mi, 8 Mi; microseconds of the reference, of oneDNN\n",
           threads, dnnl_version()->major, dnnl_version()->minor);
    const char *only = argc > 3 ? argv[3] : NULL;
#define PART(name) (!only || !strcmp(only, name))
    for (size_t i = 0; i < sizeof rows / sizeof *rows && PART("elementwise"); i++)
        for (int backward = 0; backward < (rows[i].backward ? 2 : 1); backward++)
            time_elementwise(i, backward);
    for (size_t b = 0; b < sizeof binaries / sizeof *binaries && PART("binary"); b++) {
        time_binary("add", dnnl_binary_add, b);
        time_binary("mul", dnnl_binary_mul, b);
    }
    for (int64_t dims = 1; dims < 4 && PART("reduction"); dims++) {
        time_reduction("sum", dnnl_reduction_sum, dims);
        time_reduction("mean", dnnl_reduction_mean, dims);
        time_reduction("amax", dnnl_reduction_max, dims);
    }
    if (PART("group_norm"))
        time_norms();
    if (PART("pooling"))
        time_all_pooling();
    return 0;
}
