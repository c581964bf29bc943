/* A convolution is cut into tiles of positions, of one image or of several; the windows of a tile are
 * gathered as columns, and multiplied. The gradient by data of few channels goes the other way: it multiplies
 * first, and the products are added to the places of the windows. Parts of the sum for the weights are added
 * in an order that the shapes alone decide. */
#include "backends/blis/conv.h"
#include "backends/conv_view.h"

#include <blis.h>
#include <omp.h>
#include <stdbool.h>
#include <string.h>

enum { DEPTH = 384, COLUMNS = 512, NARROW = 48, PARTS = 16, PART_DEPTH = 1024 };
static const double threads_from = 1.2e6;

typedef enum way { FORWARD, BACKWARD, SPREAD, WEIGHTS } way;

typedef struct work {
    tg_conv v;
    way way;
    const void *in[5]; /* convolution_affine's 3 and 4 are scale and shift */
    void *out;
    char *scratch, *shared; /* shared: packed weights, or the sums of each part of the batch */
    int64_t rows, cols, depth, across, jobs, classes, parts, nt, kt;
    int64_t each, common; /* elements of scratch: of one thread, of all */
    double flops;
    int threads;
    bool wide, affine, relu;
} work;

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t count_of(const tg_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    return n;
}

/* Windows of one element each: an image is one line. */
static void flatten(tg_conv *v)
{
    for (int d = 0; d < 3; d++)
        if (v->kernel[d] != 1 || v->stride[d] != 1 || v->padding[d])
            return;
    for (int d = 0; d < 3; d++)
        v->in[d] = v->out[d] = d < 2 ? 1 : v->ins;
}

/* Gathering reads each element of gy at all places of the kernel, spreading writes so each element of gx. */
static bool spreads(const tg_conv *v)
{
    return 2 * v->c <= v->o && v->outs >= 128;
}

static work plan(const tg_call *c)
{
    const tg_convolution_attrs *a = c->attrs;
    const bool weights = c->n_in == 2, backward = !weights && a->size.n > 0;
    work w = {.wide = c->out->dtype == TG_F64, .parts = 1, .classes = 1, .affine = c->n_in == 5};
    w.relu = w.affine && ((const tg_convolution_affine_attrs *)c->attrs)->relu;
    w.v = weights    ? tg_conv_make(a, c->in[1], c->out, c->in[0])
          : backward ? tg_conv_make(a, c->out, c->in[1], c->in[0])
                     : tg_conv_make(a, c->in[0], c->in[1], c->out);
    w.way = weights ? WEIGHTS : !backward ? FORWARD : spreads(&w.v) ? SPREAD : BACKWARD;
    if (!count_of(c->out) || !w.v.batch)
        return w;
    flatten(&w.v);
    const tg_conv *v = &w.v;
    const int64_t places = v->c * v->places;
    switch (w.way) {
    case WEIGHTS:
        w.rows = v->o;
        w.cols = places;
        w.depth = v->batch * v->outs;
        w.parts = min64(min64(v->batch, w.depth / PART_DEPTH), PARTS);
        w.parts = w.parts > 1 ? w.parts : 1;
        w.common = w.parts > 1 ? w.parts * count_of(c->out) : 0;
        break;
    case SPREAD:
        w.rows = places;
        w.cols = v->outs;
        w.depth = v->o;
        break;
    default: {
        const tg_conv_view view = w.way == BACKWARD ? tg_conv_backward(v, 0) : tg_conv_forward(v);
        w.classes = w.way == BACKWARD ? tg_conv_classes(v) : 1;
        w.rows = w.way == BACKWARD ? v->c : v->o;
        w.cols = view.positions * v->batch;
        /* Other classes may see more places of the kernel than the first. */
        w.depth = w.way == BACKWARD ? v->o * v->places : places;
        w.common = w.way == BACKWARD ? v->groups * v->o * places : 0;
    }
    }
    w.flops = 2.0 * (double)(v->batch * v->groups * v->outs) * (double)(v->o * places);
    w.threads = w.flops < threads_from || c->threads < 1 ? 1 : c->threads;
    w.kt = min64(w.depth, DEPTH);
    w.nt = min64(w.cols, COLUMNS);
    for (;;) {
        w.across = w.way == SPREAD ? v->batch : (w.cols + w.nt - 1) / w.nt;
        w.jobs = v->groups * w.classes * w.parts * w.across;
        if (w.jobs >= w.threads || w.way == SPREAD || w.nt <= NARROW)
            break;
        w.nt = (w.nt / 2 + 15) / 16 * 16;
    }
    w.threads = (int)min64(w.threads, w.jobs);
    /* A block of columns, one of what they are multiplied by, a tile of the result. */
    w.each = w.way == SPREAD ? w.rows * w.nt : w.kt * w.nt + w.rows * w.kt + w.rows * w.nt;
    w.each = (w.each + 15) / 16 * 16;
    return w;
}

#define T float
#define OUT float
#define GEMM bli_sgemm_ex
#define NAME(x) x##_f32
#include "backends/conv_typed.h"
#include "backends/blis/conv_typed.h"
#undef T
#undef OUT
#undef GEMM
#undef NAME
#define T double
#define OUT double
#define GEMM bli_dgemm_ex
#define NAME(x) x##_f64
#include "backends/conv_typed.h"
#include "backends/blis/conv_typed.h"

/* clang-format off */
/* Where BLIS gains over the reference, whose products are in f64. From `TG_BENCH_ACCEPT_ALL=1 bench_conv 1 f32 blis.so`,
 * 2 f32 and 1 f64: GFLOP/s of the reference and of BLIS 0.9 (skx) on a Sapphire Rapids; forward, by the data, by the weights.
 *                              f32, one thread            f32, two threads              f64, one thread
 *   64x1   28² →  32 k3     20  17   2  19  13   9     34  27   4  30  22  14     15  11   2  11  10   7
 *   64x1   28² →  16 k5     25  22   1  21  17  14     37  30   3  33  33  22     19  14   1  15  14  10
 *   64x3   32² →  32 k3     33  36   6  38  22  24     58  57  11  67  44  43     23  22   5  24  12  11
 *   16x3   64² →  64 k7/2   42  68   6  70  38  52     75 120  11 130  68  98     28  39   6  41  26  36
 *   64x32  14² →  64 k3     39  70  30  75  38  59     65 106  51 124  58  96     30  38  19  34  27  38
 *   64x64  16² → 128 k3     47 100  40 111  46  84     93 186  79 211  72 151     35  50  32  56  33  47
 *   64x128  8² → 256 k3     38 106  38  85  45  97     74 199  75 155  83 181     29  55  28  44  32  53
 *   64x64  16² →  64 k1     41  74  41  74  37  53     82 130  83 128  72  98     29  39  29  39  28  34
 *   64x64  16² → 128 k3/2   37  78  29  73  44  70     73 146  53 102  72 118     28  42  22  29  31  43
 *   64x256  2² → 256 k3      6  64   6  58  13  58     12  64  12  57  23  99      6  42   6  37  12  40
 *    2x512  7² → 512 k3     31  87  31  63  29 113     62  88  62  66  42 193     22  48  24  36  22  62
 *    8x16  16² →  16 k3     24  30  24  30  20  22     46  48  46  52  36  40     21  19  21  19  18  19
 *   32x16   8² →  16 k3     18  20  17  21  18  16     34  37  33  35  33  30     15  15  15  15  14  15
 *    8x8   16² →   8 k3     15  16  15  16  12  10     29  27  28  26  18  18     14  12  14  12  11  10
 *   32x4    8² →   8 k3     10   9   5   6  10   6     18   9  10   5   9   6      9   8   5   4   8   6
 *    1x16   8² →  16 k3     14  14  14  13  14  13
 *    1x32   8² →  32 k3     20  29  20  24  20  28
 *   16x64  16², 4 groups    23  29  23  30  20  21     38  44  38  44  26  32     20  19  20  19  18  18
 *   16 groups                8   7   8   7   6   4     13   9  12   9   9   6      7   5   7   5   5   4
 *   16x32  32², depthwise    2   1   2   1   1 0.5      5   1   4   1   2 0.6      2   1   2   1   1 0.4 */
/* clang-format on */
static bool too_small(const work *w)
{
    if (w->flops < (w->wide ? 1e6 : 5e5))
        return true;
    if (w->way == SPREAD)
        return w->depth < 8;
    if (w->way == WEIGHTS)
        return w->rows < 8 || (double)w->rows * (double)w->cols < (w->wide           ? 2000
                                                                   : w->v.outs < 128 ? 4000
                                                                                     : 800);
    return (double)w->rows * (double)w->depth < (w->wide ? 4000 : 600);
}

tg_accept tg_blis_conv_accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    (void)s;
    if (c->out->dtype != TG_F32 && c->out->dtype != TG_F64) {
        *reason = "BLIS has kernels for f32 and f64 only";
        return TG_REFUSE;
    }
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i] && c->in[i]->layout) {
            *reason = "BLIS reads strided arrays only";
            return TG_REFUSE;
        }
    const work w = plan(c);
    if (!w.jobs || too_small(&w)) {
        *reason = "too small: the reference is faster";
        return TG_DECLINE;
    }
    return TG_ACCEPT;
}

static size_t size_of(const work *w)
{
    return w->wide ? sizeof(double) : sizeof(float);
}

tg_status tg_blis_conv_prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    static const char *const names[] = {"columns", "columns", "spread",
                                        "columns"};
    const work w = plan(c);
    p->scratch_size = (size_t)(w.threads * w.each + w.common) * size_of(&w);
    if (TG_ABI_HAS(p, implementation))
        p->implementation = names[w.way];
    return TG_OK;
}

static void each_job(const work *w, int threads, void (*job)(const work *, int64_t, void *))
{
    if (threads <= 1) {
        for (int64_t i = 0; i < w->jobs; i++)
            job(w, i, w->scratch);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < w->jobs; i++)
        job(w, i, w->scratch + (size_t)(omp_get_thread_num() * w->each) * size_of(w));
}

tg_status tg_blis_conv_run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    work w = plan(c);
    for (uint32_t i = 0; i < c->n_in; i++)
        w.in[i] = r->in[i];
    w.out = r->out[0];
    w.scratch = r->scratch;
    w.shared = w.scratch + (size_t)(w.threads * w.each) * size_of(&w);
    if (w.way == WEIGHTS && w.parts == 1)
        w.shared = w.out;
    if (!w.jobs && count_of(c->out))
        memset(w.out, 0, (size_t)count_of(c->out) * size_of(&w)); /* gradients of nothing */
    if (w.jobs && w.way == BACKWARD)
        (w.wide ? pack_weights_f64 : pack_weights_f32)(&w);
    static void (*const jobs[][2])(const work *, int64_t,
                                   void *) = {[FORWARD] = {data_tile_f32, data_tile_f64},
                                              [BACKWARD] = {data_tile_f32, data_tile_f64},
                                              [SPREAD] = {spread_image_f32, spread_image_f64},
                                              [WEIGHTS] = {weights_tile_f32, weights_tile_f64}};
    each_job(&w, omp_in_parallel() ? 1 : (int)min64(w.threads, r->threads), jobs[w.way][w.wide]);
    if (w.parts > 1)
        (w.wide ? add_parts_f64 : add_parts_f32)(&w, count_of(c->out));
    return TG_OK;
}
