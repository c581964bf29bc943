/* Convolution and its gradients as products of matrices that are never written down: whoever computes a tile of the
 * result packs its part of both factors, as matmul.c does. Each element is one sum in f64 in an order that the shapes
 * alone decide. */
#include "backends/conv_view.h"
#include "backends/reference/each.h"
#include "backends/reference/multiply.h"
#include "backends/reference/reference.h"

#include <omp.h>
#include <string.h>

enum { KC = 256, MC = 128, NC = 256, PARTS = 16 };

typedef struct work {
    tg_conv v;
    const void *in[5]; /* x or gy, weight or x, bias; scale, shift */
    void *out;
    double *scratch, *sums; /* sums: those of each part of the batch, for the weights */
    int64_t rows, cols, depth; /* of the largest product */
    int64_t mt, nt, kt, down, across, jobs, each, classes, parts;
    int threads;
    bool wide, backward, affine, relu;
} work;

static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#define OUT double
#define T float
#define NAME(x) x##_f32
#include "backends/conv_typed.h"
#include "backends/reference/conv_typed.h"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_f64
#include "backends/conv_typed.h"
#include "backends/reference/conv_typed.h"
#undef T
#undef NAME

/* -- the products' sizes -------------------------------------------------------------------------------- */

static void choose_tiles(work *w, int64_t products, int threads)
{
    w->mt = round_up(min64(w->rows, MC), TG_REF_PANEL);
    w->nt = round_up(min64(w->cols, NC), TG_REF_PANEL);
    w->kt = min64(w->depth, KC);
    const double flops = 2.0 * (double)w->rows * (double)w->cols * (double)w->depth * (double)products;
    w->threads = flops < 4e5 || threads < 1 ? 1 : threads;
    for (;;) {
        w->down = (w->rows + w->mt - 1) / w->mt;
        w->across = (w->cols + w->nt - 1) / w->nt;
        w->jobs = products * w->down * w->across;
        if (w->jobs >= 2 * w->threads)
            break;
        if (w->nt >= w->mt && w->nt > 4 * TG_REF_PANEL)
            w->nt = round_up(w->nt / 2, TG_REF_PANEL);
        else if (w->mt > 4 * TG_REF_PANEL)
            w->mt = round_up(w->mt / 2, TG_REF_PANEL);
        else
            break;
    }
    /* A packed block of each factor, a tile of the result and a line that is gathered. */
    w->each = round_up(w->mt * w->kt + w->kt * w->nt + w->mt * w->nt + KC + NC, 8);
}

/* An empty result, or an empty product, has no jobs. */
static bool plan_data(const tg_call *c, work *w)
{
    const tg_convolution_attrs *a = c->attrs;
    w->affine = c->n_in == 5;
    w->relu = w->affine && ((const tg_convolution_affine_attrs *)c->attrs)->relu;
    w->backward = a->size.n > 0;
    w->wide = c->out->dtype == TG_F64;
    w->v = w->backward ? tg_conv_make(a, c->out, c->in[1], c->in[0]) : tg_conv_make(a, c->in[0], c->in[1], c->out);
    if (!ref_count(c->out))
        return false;
    w->classes = w->backward ? tg_conv_classes(&w->v) : 1;
    w->rows = w->backward ? w->v.c : w->v.o;
    const tg_conv_view view = w->backward ? tg_conv_backward(&w->v, 0) : tg_conv_forward(&w->v);
    w->cols = view.positions;
    /* Other classes may see more places of the kernel than the first. */
    w->depth = w->backward ? w->v.o * w->v.places : view.depth;
    choose_tiles(w, w->v.batch * w->v.groups * w->classes, c->threads);
    return true;
}

static bool plan_weights(const tg_call *c, work *w)
{
    w->wide = c->out->dtype == TG_F64;
    w->v = tg_conv_make(c->attrs, c->in[1], c->out, c->in[0]);
    if (!ref_count(c->out))
        return false;
    w->rows = w->v.o;
    w->cols = w->v.c * w->v.places;
    w->depth = w->v.outs;
    /* Where the result is small the batch is cut, by the shapes alone: the order of a sum is not the threads'. */
    const int64_t tiles = ((w->rows + 31) / 32) * ((w->cols + 31) / 32) * w->v.groups;
    w->parts = tiles >= PARTS ? 1 : min64((PARTS + tiles - 1) / tiles, w->v.batch);
    w->parts = w->parts < 1 ? 1 : w->parts;
    choose_tiles(w, w->v.groups * w->parts, c->threads);
    return true;
}

/* -- tiles ---------------------------------------------------------------------------------------------- */

/* The last panel's missing lines are zero. */
static void clear_panel(double *panels, int64_t lines, int64_t depth)
{
    if (lines % TG_REF_PANEL)
        memset(panels + lines / TG_REF_PANEL * TG_REF_PANEL * depth, 0,
               (size_t)(depth * TG_REF_PANEL) * sizeof *panels);
}

static double channel(const work *w, int input, int64_t i, double otherwise)
{
    const void *v = w->in[input];
    return !v ? otherwise : w->wide ? ((const double *)v)[i] : (double)((const float *)v)[i];
}

/* What convolution_affine does to one row of a tile. */
static void finish(const work *w, double *row, int64_t n, int64_t o)
{
    const double bias = channel(w, 2, o, 0), scale = channel(w, 3, o, 1), shift = channel(w, 4, o, 0);
    const bool relu = w->relu;
    for (int64_t i = 0; i < n; i++) {
        const double v = (row[i] + bias) * scale + shift;
        row[i] = relu && v <= 0 ? 0 : v;
    }
}

static void data_tile(const work *w, int64_t job, double *scratch)
{
    const tg_conv *v = &w->v;
    const int64_t across = job % w->across, down = job / w->across % w->down, product = job / w->across / w->down;
    const int64_t class = product % w->classes, group = product / w->classes % v->groups;
    const int64_t image = product / w->classes / v->groups;
    const tg_conv_view view = w->backward ? tg_conv_backward(v, class) : tg_conv_forward(v);
    const int64_t p = across * w->nt, i = down * w->mt;
    const int64_t cols = min64(view.positions - p, w->nt), rows = min64(w->rows - i, w->mt);
    if (cols <= 0)
        return;
    double *a = scratch, *b = a + w->mt * w->kt, *tile = b + w->kt * w->nt, *line = tile + w->mt * w->nt;
    const int64_t step = round_up(cols, TG_REF_PANEL);
    const int64_t channels = w->backward ? v->o : v->c, first = group * w->rows + i;
    const tg_ref_multiply_fn multiply = tg_ref_multiply(w->wide);
    tg_conv_tap tap[KC];
    if (!view.depth)
        memset(tile, 0, (size_t)(round_up(rows, TG_REF_PANEL) * step) * sizeof *tile);
    for (int64_t k = 0; k < view.depth; k += KC) {
        const int64_t now = min64(view.depth - k, KC);
        tg_conv_taps(&view, k, now, tap);
        const int64_t weights = group * v->o * v->c * v->places + i * view.a_row;
        const int64_t from = (image * v->groups + group) * channels * view.source;
        clear_panel(a, rows, now);
        clear_panel(b, cols, now);
        if (w->wide) {
            pack_f64((const double *)w->in[1] + weights, view.a_row, tap, rows, now, a);
            columns_f64(&view, tap, (const double *)w->in[0] + from, p, cols, now, line, b);
        } else {
            pack_f32((const float *)w->in[1] + weights, view.a_row, tap, rows, now, a);
            columns_f32(&view, tap, (const float *)w->in[0] + from, p, cols, now, line, b);
        }
        multiply(rows, cols, now, a, b, tile, step, k == 0);
    }
    const int64_t to = tg_conv_product(view.to), at = (image * v->groups * w->rows + first) * to;
    for (int64_t r = 0; r < rows; r++) {
        if (w->affine)
            finish(w, tile + r * step, cols, first + r);
        const double bias = w->affine ? 0 : channel(w, 2, first + r, 0);
        if (w->wide)
            put_f64(&view, tile + r * step, p, cols, bias, (double *)w->out + at + r * to);
        else
            put_f32(&view, tile + r * step, p, cols, bias, (float *)w->out + at + r * to);
    }
}

static void weights_tile(const work *w, int64_t job, double *scratch)
{
    const tg_conv *v = &w->v;
    const tg_conv_view view = tg_conv_forward(v);
    const int64_t across = job % w->across, down = job / w->across % w->down, product = job / w->across / w->down;
    const int64_t group = product % v->groups, part = product / v->groups;
    const int64_t c = across * w->nt, i = down * w->mt;
    const int64_t cols = min64(w->cols - c, w->nt), rows = min64(w->rows - i, w->mt);
    double *a = scratch, *b = a + w->mt * w->kt, *tile = b + w->kt * w->nt, *line = tile + w->mt * w->nt;
    const int64_t step = round_up(cols, TG_REF_PANEL);
    const tg_ref_multiply_fn multiply = tg_ref_multiply(w->wide);
    tg_conv_tap tap[NC];
    bool fresh = true;
    tg_conv_taps(&view, c, cols, tap);
    for (int64_t n = v->batch * part / w->parts; n < v->batch * (part + 1) / w->parts; n++)
        for (int64_t p = 0; p < v->outs; p += KC, fresh = false) {
            const int64_t now = min64(v->outs - p, KC);
            const int64_t gy = ((n * v->groups + group) * v->o + i) * v->outs + p;
            const int64_t x = (n * v->groups + group) * v->c * v->ins;
            clear_panel(a, rows, now);
            clear_panel(b, cols, now);
            if (w->wide) {
                rows_f64((const double *)w->in[0] + gy, v->outs, rows, now, a);
                lines_f64(&view, tap, (const double *)w->in[1] + x, p, cols, now, line, b);
            } else {
                rows_f32((const float *)w->in[0] + gy, v->outs, rows, now, a);
                lines_f32(&view, tap, (const float *)w->in[1] + x, p, cols, now, line, b);
            }
            multiply(rows, cols, now, a, b, tile, step, fresh);
        }
    double *sums = w->sums + (part * v->groups * v->o + group * v->o + i) * w->cols + c;
    for (int64_t r = 0; r < rows; r++, sums += w->cols)
        if (fresh)
            memset(sums, 0, (size_t)cols * sizeof *sums);
        else
            memcpy(sums, tile + r * step, (size_t)cols * sizeof *sums);
}

/* -- running -------------------------------------------------------------------------------------------- */

static void each_tile(const work *w, void (*tile)(const work *, int64_t, double *), int threads)
{
    threads = (int)min64(min64(w->threads, threads), w->jobs);
    if (threads <= 1) {
        for (int64_t job = 0; job < w->jobs; job++)
            tile(w, job, w->scratch);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t job = 0; job < w->jobs; job++)
        tile(w, job, w->scratch + omp_get_thread_num() * w->each);
}

static tg_status prepare_data(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    work w = {0};
    if (plan_data(c, &w))
        p->scratch_size = (size_t)(w.threads * w.each) * sizeof(double);
    return TG_OK;
}

static tg_status run_data(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    work w = {.out = r->out[0], .scratch = r->scratch};
    for (uint32_t i = 0; i < c->n_in; i++)
        w.in[i] = r->in[i];
    if (plan_data(c, &w))
        each_tile(&w, data_tile, r->threads);
    return TG_OK;
}

static tg_status prepare_weights(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    work w = {0};
    if (plan_weights(c, &w))
        p->scratch_size = (size_t)(w.threads * w.each + w.parts * ref_count(c->out)) * sizeof(double);
    return TG_OK;
}

static tg_status run_weights(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    work w = {.in = {r->in[0], r->in[1]}, .out = r->out[0], .scratch = r->scratch};
    if (!plan_weights(c, &w))
        return TG_OK;
    w.sums = w.scratch + w.threads * w.each;
    each_tile(&w, weights_tile, r->threads);
    const int64_t n = ref_count(c->out);
    for (int64_t i = 0; i < n; i++) {
        double sum = w.sums[i];
        for (int64_t part = 1; part < w.parts; part++)
            sum += w.sums[part * n + i];
        if (w.wide)
            ((double *)w.out)[i] = sum;
        else
            ((float *)w.out)[i] = (float)sum;
    }
    return TG_OK;
}

#define KERNEL(name, fn)                                                                                     \
    {                                                                                                        \
        .op = name, .prepare = prepare_##fn, .run = run_##fn \
    }
const tg_ref_kernel tg_ref_conv[] = {
    KERNEL("convolution", data),
    KERNEL("convolution_affine", data),
    KERNEL("convolution_backward_data", data),
    KERNEL("convolution_backward_weights", weights),
    {0},
};
