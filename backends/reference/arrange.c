/* Rearranging: flips, rolls, triangles, diagonals, windows, and parts replaced. Nothing is computed but the
 * sums of windows. */
#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <string.h>

enum { PARALLEL = 32768 /* elements: below, one thread is faster */ };

static int64_t size_of(int32_t dtype)
{
    return dtype == TG_F64 || dtype == TG_I64 ? 8 : dtype == TG_F32 ? 4 : 1;
}

static tg_status run_flip(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_flip_attrs *a = c->attrs;
    const tg_desc *x = c->in[0], *y = &c->out[0];
    const char *src = r->in[0];
    int64_t stride[TG_MAX_DIM];
    for (int d = 0; d < x->ndim; d++) {
        const bool backwards = a->dims >> d & 1;
        stride[d] = backwards ? -x->stride[d] : x->stride[d];
        if (backwards && x->dim[d])
            src += (x->dim[d] - 1) * x->stride[d] * size_of(x->dtype);
    }
    tg_ref_copy_strided(x->ndim, x->dim, x->dtype, r->out[0], y->stride, src, stride, r->threads);
    return TG_OK;
}

/* Each dim that is moved is two pieces. */
static tg_status run_roll(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_dims_attrs *a = c->attrs;
    const tg_desc *x = c->in[0], *y = &c->out[0];
    unsigned moved = 0;
    for (int d = 0; d < x->ndim; d++)
        moved |= a->dims.v[d] ? 1u << d : 0;
    for (unsigned wrapped = 0; wrapped <= moved; wrapped++) {
        const char *src = r->in[0];
        char *dst = r->out[0];
        int64_t dim[TG_MAX_DIM];
        if (wrapped & ~moved)
            continue;
        for (int d = 0; d < x->ndim; d++) {
            const int64_t shift = a->dims.v[d], stays = x->dim[d] - shift;
            const bool back = wrapped >> d & 1;
            dim[d] = back ? shift : stays;
            src += (back ? stays : 0) * x->stride[d] * size_of(x->dtype);
            dst += (back ? 0 : shift) * y->stride[d] * size_of(x->dtype);
        }
        tg_ref_copy_strided(x->ndim, dim, x->dtype, dst, y->stride, src, x->stride, r->threads);
    }
    return TG_OK;
}

/* One triangle: rows of y, `columns` long. */
typedef struct triangle {
    const tg_desc *x;
    const char *src;
    char *dst;
    int64_t rows, columns, diagonal;
    bool upper;
} triangle;

static void triangle_row(const void *arg, int64_t i)
{
    const triangle *t = arg;
    const int64_t size = size_of(t->x->dtype), row = i % t->rows, step = t->x->stride[t->x->ndim - 1];
    /* The first column above the diagonal, or on it for the upper triangle. */
    int64_t cut = t->upper ? 0 : 1;
    if (__builtin_add_overflow(row + cut, t->diagonal, &cut))
        cut = t->columns;
    cut = cut < 0 ? 0 : cut < t->columns ? cut : t->columns;
    const int64_t first = t->upper ? cut : 0, end = t->upper ? t->columns : cut;
    tg_desc rows = *t->x;
    rows.ndim--;
    const char *src = t->src + (ref_place(&rows, i) + first * step) * size;
    char *dst = t->dst + i * t->columns * size;
    const int64_t one = 1, n = end - first;
    memset(dst, 0, (size_t)(first * size));
    memset(dst + end * size, 0, (size_t)((t->columns - end) * size));
    tg_ref_copy_strided(1, &n, t->x->dtype, dst + first * size, &one, src, &step, 1);
}

static tg_status run_triangle(const tg_call *c, const tg_run *r, bool upper)
{
    const tg_triangle_attrs *a = c->attrs;
    const tg_desc *x = c->in[0];
    const int64_t count = ref_count(x);
    if (!count)
        return TG_OK;
    const triangle t = {x, r->in[0], r->out[0], x->dim[x->ndim - 2], x->dim[x->ndim - 1], a->diagonal, upper};
    tg_ref_each(count > PARALLEL ? r->threads : 1, count / t.columns, triangle_row, &t);
    return TG_OK;
}

static tg_status run_tril(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run_triangle(c, r, false);
}

static tg_status run_triu(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run_triangle(c, r, true);
}

static tg_status run_slice_scatter(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                   const tg_run *r)
{
    (void)s, (void)p;
    const tg_slice_attrs *a = c->attrs;
    const tg_desc *x = c->in[0], *src = c->in[1], *y = &c->out[0];
    char *dst = (char *)r->out[0];
    int64_t stride[TG_MAX_DIM];
    tg_ref_copy_strided(x->ndim, x->dim, x->dtype, dst, y->stride, r->in[0], x->stride, r->threads);
    if (!ref_count(src))
        return TG_OK;
    memcpy(stride, y->stride, sizeof stride);
    if (a->length > 1)
        stride[a->dim] *= a->step;
    dst += a->start * y->stride[a->dim] * size_of(x->dtype);
    tg_ref_copy_strided(src->ndim, src->dim, x->dtype, dst, stride, r->in[1], src->stride, r->threads);
    return TG_OK;
}

static tg_status run_diagonal_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    const tg_diagonal_backward_attrs *a = c->attrs;
    const tg_desc *gy = c->in[0], *gx = &c->out[0];
    int64_t stride[TG_MAX_DIM];
    int n = 0;
    tg_ref_fill(gx, r->out[0], 0, r->threads);
    if (!ref_count(gy))
        return TG_OK;
    const int64_t down = a->offset < 0 ? -a->offset : 0, across = a->offset > 0 ? a->offset : 0;
    for (int d = 0; d < gx->ndim; d++)
        if (d != a->dim1 && d != a->dim2)
            stride[n++] = gx->stride[d];
    stride[n] = gx->stride[a->dim1] + gx->stride[a->dim2];
    char *dst =
        (char *)r->out[0] + (down * gx->stride[a->dim1] + across * gx->stride[a->dim2]) * size_of(gx->dtype);
    tg_ref_copy_strided(gy->ndim, gy->dim, gy->dtype, dst, stride, r->in[0], gy->stride, r->threads);
    return TG_OK;
}

typedef struct window_sum {
    const tg_unfold_dim_backward_attrs *a;
    const tg_desc *gy, *gx;
    const void *src;
    void *dst;
} window_sum;

/* The sum over the windows that hold element i of dim; `at` is where window 0 would have its first element.
 */
static double sum_windows(const window_sum *w, int64_t at, int64_t i)
{
    const int64_t size = w->a->size, step = w->a->step, n = w->gy->dim[w->a->dim];
    const int64_t between = w->gy->stride[w->a->dim], inside = w->gy->stride[w->gx->ndim];
    int64_t k = i < size ? 0 : (i - size) / step + 1;
    double sum = 0;
    for (; k < n && k * step <= i; k++) {
        const int64_t from = at + k * between + (i - k * step) * inside;
        sum +=
            w->gx->dtype == TG_F64 ? ((const double *)w->src)[from] : (double)((const float *)w->src)[from];
    }
    return sum;
}

static void window_row(const void *arg, int64_t row)
{
    const window_sum *w = arg;
    const int last = w->gx->ndim - 1, dim = (int)w->a->dim;
    const int64_t columns = w->gx->dim[last];
    int64_t at = 0, i = 0, left = row;
    for (int d = last - 1; d >= 0; d--) {
        const int64_t k = left % w->gx->dim[d];
        left /= w->gx->dim[d];
        if (d == dim)
            i = k;
        else
            at += k * w->gy->stride[d];
    }
    for (int64_t j = 0; j < columns; j++) {
        const double sum =
            dim == last ? sum_windows(w, at, j) : sum_windows(w, at + j * w->gy->stride[last], i);
        if (w->gx->dtype == TG_F64)
            ((double *)w->dst)[row * columns + j] = sum;
        else
            ((float *)w->dst)[row * columns + j] = (float)sum;
    }
}

static tg_status run_unfold_dim_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                         const tg_run *r)
{
    (void)s, (void)p;
    const window_sum w = {c->attrs, c->in[0], &c->out[0], r->in[0], r->out[0]};
    const int64_t count = ref_count(w.gx);
    if (count)
        tg_ref_each(count > PARALLEL ? r->threads : 1, count / w.gx->dim[w.gx->ndim - 1], window_row, &w);
    return TG_OK;
}

const tg_ref_kernel tg_ref_arrange[] = {
    TG_REF_KERNEL("flip", run_flip),
    TG_REF_KERNEL("roll", run_roll),
    TG_REF_KERNEL("tril", run_tril),
    TG_REF_KERNEL("triu", run_triu),
    TG_REF_KERNEL("slice_scatter", run_slice_scatter),
    TG_REF_KERNEL("diagonal_backward", run_diagonal_backward),
    TG_REF_KERNEL("unfold_dim_backward", run_unfold_dim_backward),
    {0},
};
