/* Copies, fills and in-place sums between any strides. */
#include "backends/reference/reference.h"
#include "backends/reference/vector_math.h"

#include <string.h>

enum {
    SQUARE = 16,     /* a transpose goes by squares, so that both sides stay in the cache */
    CHUNK = 16384,   /* elements of one thread's turn                                     */
    PARALLEL = 32768 /* below, one thread is faster                                       */
};

/* rows × columns elements; strides in elements: d of dst, s of src, 0 for rows, 1 for columns. */
typedef void (*plane_fn)(void *dst, const void *src, int64_t rows, int64_t columns, int64_t d0, int64_t d1,
                         int64_t s0, int64_t s1);

#define COPY_PLANE(suffix, TYPE)                                                                             \
    static void copy_##suffix(void *to, const void *from, int64_t rows, int64_t columns, int64_t d0,         \
                              int64_t d1, int64_t s0, int64_t s1)                                            \
    {                                                                                                        \
        TYPE *dst = to;                                                                                      \
        const TYPE *src = from;                                                                              \
        if (d1 == 1 && (s1 == 1 || s1 == 0)) {                                                               \
            for (int64_t r = 0; r < rows; r++) {                                                             \
                if (s1)                                                                                      \
                    memcpy(dst + r * d0, src + r * s0, (size_t)columns * sizeof(TYPE));                      \
                else                                                                                         \
                    TG_REF_SIMD_LOOP for (int64_t c = 0; c < columns; c++)                                   \
                        dst[r * d0 + c] = src[r * s0];                                                       \
            }                                                                                                \
            return;                                                                                          \
        }                                                                                                    \
        for (int64_t r0 = 0; r0 < rows; r0 += SQUARE)                                                        \
            for (int64_t c0 = 0; c0 < columns; c0 += SQUARE) {                                               \
                const int64_t r1 = r0 + SQUARE < rows ? r0 + SQUARE : rows;                                  \
                const int64_t c1 = c0 + SQUARE < columns ? c0 + SQUARE : columns;                            \
                for (int64_t r = r0; r < r1; r++)                                                            \
                    for (int64_t c = c0; c < c1; c++)                                                        \
                        dst[r * d0 + c * d1] = src[r * s0 + c * s1];                                         \
            }                                                                                                \
    }
COPY_PLANE(8, uint8_t)
COPY_PLANE(32, uint32_t)
COPY_PLANE(64, uint64_t)

#define ADD_PLANE(suffix, TYPE, CLONES)                                                                      \
    CLONES static void add_##suffix(void *to, const void *from, int64_t rows, int64_t columns, int64_t d0,   \
                                    int64_t d1, int64_t s0, int64_t s1)                                      \
    {                                                                                                        \
        for (int64_t r = 0; r < rows; r++) {                                                                 \
            TYPE *dst = (TYPE *)to + r * d0;                                                                 \
            const TYPE *src = (const TYPE *)from + r * s0;                                                   \
            if (d1 == 1 && s1 == 1)                                                                          \
                TG_REF_SIMD_LOOP for (int64_t c = 0; c < columns; c++)                                       \
                    dst[c] += src[c];                                                                        \
            else                                                                                             \
                for (int64_t c = 0; c < columns; c++)                                                        \
                    dst[c * d1] += src[c * s1];                                                              \
        }                                                                                                    \
    }
ADD_PLANE(f32, float, TG_REF_CLONES_f32)
ADD_PLANE(f64, double, TG_REF_CLONES_f64)
ADD_PLANE(i64, uint64_t, )

typedef struct plan {
    int ndim;
    int64_t dim[TG_MAX_DIM + 2], dst[TG_MAX_DIM + 2], src[TG_MAX_DIM + 2];
} plan;

static size_t size_of(int32_t dtype)
{
    return dtype == TG_F64 || dtype == TG_I64 ? 8 : dtype == TG_F32 ? 4 : 1;
}

static plane_fn copier(int32_t dtype)
{
    const size_t size = size_of(dtype);
    return size == 8 ? copy_64 : size == 4 ? copy_32 : copy_8;
}

/* Joins dims that both sides walk as one; at least two are left, the last two being the plane. */
static plan make_plan(int ndim, const int64_t *dim, const int64_t *dst, const int64_t *src)
{
    plan p = {.ndim = 2, .dim = {1, 1}};
    for (int d = 0; d < ndim; d++) {
        const int last = p.ndim - 1;
        if (dim[d] == 1)
            continue;
        if (p.dim[last] != 1 && p.dst[last] == dst[d] * dim[d] && p.src[last] == src[d] * dim[d]) {
            p.dim[last] *= dim[d];
        } else {
            p.dim[p.ndim] = dim[d];
            p.ndim++;
        }
        p.dst[p.ndim - 1] = dst[d];
        p.src[p.ndim - 1] = src[d];
    }
    return p;
}

/* One piece of one plane. */
static void run_piece(const plan *p, plane_fn fn, size_t size, char *dst, const char *src, int64_t outer,
                      int64_t row, int64_t rows, int64_t column, int64_t columns)
{
    const int r = p->ndim - 2, c = p->ndim - 1;
    int64_t to = row * p->dst[r] + column * p->dst[c], from = row * p->src[r] + column * p->src[c];
    for (int d = r - 1; d >= 0; d--) {
        to += outer % p->dim[d] * p->dst[d];
        from += outer % p->dim[d] * p->src[d];
        outer /= p->dim[d];
    }
    fn(dst + to * (int64_t)size, src + from * (int64_t)size, rows, columns, p->dst[r], p->dst[c], p->src[r],
       p->src[c]);
}

static void run_plan(const plan *p, plane_fn fn, size_t size, void *dst, const void *src, int threads)
{
    const int64_t rows = p->dim[p->ndim - 2], columns = p->dim[p->ndim - 1];
    int64_t outer = 1;
    for (int d = 0; d < p->ndim - 2; d++)
        outer *= p->dim[d];
    if (!outer || !rows || !columns)
        return;
    if (threads < 2 || outer * rows * columns <= PARALLEL) {
        for (int64_t o = 0; o < outer; o++)
            run_piece(p, fn, size, dst, src, o, 0, rows, 0, columns);
        return;
    }
    const int64_t width = columns < CHUNK ? columns : CHUNK,
                  height = CHUNK / width < SQUARE ? SQUARE : CHUNK / width;
    const int64_t across = (columns + width - 1) / width, down = (rows + height - 1) / height;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t k = 0; k < outer * down * across; k++) {
        const int64_t c = k % across * width, r = k / across % down * height;
        run_piece(p, fn, size, dst, src, k / across / down, r, rows - r < height ? rows - r : height, c,
                  columns - c < width ? columns - c : width);
    }
}

static void row_major(const tg_desc *d, int64_t *stride)
{
    int64_t step = 1;
    for (int i = d->ndim - 1; i >= 0; i--) {
        stride[i] = step;
        step *= d->dim[i];
    }
}

/* A value of any dtype, for filling: a source of strides 0. */
typedef union value {
    float f32;
    double f64;
    int64_t i64;
    uint8_t b;
} value;

static value value_of(int32_t dtype, double x)
{
    value v = {.i64 = 0};
    if (dtype == TG_F32)
        v.f32 = (float)x;
    else if (dtype == TG_F64)
        v.f64 = x;
    else if (dtype == TG_I64)
        v.i64 = x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (int64_t)x : INT64_MIN;
    else
        v.b = x != 0;
    return v;
}

void tg_ref_copy_strided(int ndim, const int64_t *dim, int32_t dtype, void *dst, const int64_t *dst_stride,
                         const void *src, const int64_t *src_stride, int threads)
{
    const plan p = make_plan(ndim, dim, dst_stride, src_stride);
    run_plan(&p, copier(dtype), size_of(dtype), dst, src, threads);
}

void tg_ref_fill(const tg_desc *d, void *dst, double x, int threads)
{
    static const int64_t zero[TG_MAX_DIM];
    const value v = value_of(d->dtype, x);
    const plan p = make_plan(d->ndim, d->dim, d->stride, zero);
    run_plan(&p, copier(d->dtype), size_of(d->dtype), dst, &v, threads);
}

static tg_status run_contiguous(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_desc *x = c->in[0];
    const plan q = make_plan(x->ndim, x->dim, c->out[0].stride, x->stride);
    run_plan(&q, copier(x->dtype), size_of(x->dtype), r->out[0], r->in[0], r->threads);
    return TG_OK;
}

static tg_status run_slice_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                    const tg_run *r)
{
    (void)s, (void)p;
    const tg_slice_backward_attrs *a = c->attrs;
    const tg_desc *gy = c->in[0], *gx = &c->out[0];
    const size_t size = size_of(gy->dtype);
    int64_t stride[TG_MAX_DIM];
    bool empty = false;
    tg_ref_fill(gx, r->out[0], 0, r->threads);
    /* Of one element, the step is nothing that anybody has held against the size. */
    for (int d = 0; d < gy->ndim; d++) {
        stride[d] = gx->stride[d] * (d == a->dim && gy->dim[d] > 1 ? a->step : 1);
        empty = empty || gy->dim[d] == 0;
    }
    if (empty)
        return TG_OK;
    const plan q = make_plan(gy->ndim, gy->dim, stride, gy->stride);
    run_plan(&q, copier(gy->dtype), size, (char *)r->out[0] + a->start * gx->stride[a->dim] * (int64_t)size,
             r->in[0], r->threads);
    return TG_OK;
}

static tg_status run_cat(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_cat_attrs *a = c->attrs;
    const tg_desc *out = &c->out[0];
    const size_t size = size_of(out->dtype);
    int64_t stride[TG_MAX_DIM];
    char *dst = r->out[0];
    row_major(out, stride);
    for (uint32_t i = 0; i < c->n_in; i++) {
        const tg_desc *x = c->in[i];
        const plan q = make_plan(x->ndim, x->dim, stride, x->stride);
        run_plan(&q, copier(out->dtype), size, dst, r->in[i], r->threads);
        dst += x->dim[a->dim] * stride[a->dim] * (int64_t)size;
    }
    return TG_OK;
}

static tg_status run_full(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    tg_ref_fill(&c->out[0], r->out[0], r->scalars[0], r->threads);
    return TG_OK;
}

/* In place: dst is input 0, written through the pointer that the host gives for reading. */
static void *writable(const tg_run *r)
{
    return (void *)(uintptr_t)r->in[0];
}

static tg_status run_fill_(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    tg_ref_fill(c->in[0], writable(r), r->scalars[0], r->threads);
    return TG_OK;
}

static tg_status run_copy_(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_desc *dst = c->in[0], *src = c->in[1];
    const int lead = dst->ndim - src->ndim;
    int64_t stride[TG_MAX_DIM] = {0};
    for (int d = 0; d < src->ndim; d++)
        stride[d + lead] = src->dim[d] == 1 ? 0 : src->stride[d];
    const plan q = make_plan(dst->ndim, dst->dim, dst->stride, stride);
    run_plan(&q, copier(dst->dtype), size_of(dst->dtype), writable(r), r->in[1], r->threads);
    return TG_OK;
}

static tg_status run_add_(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_desc *dst = c->in[0];
    const plan q = make_plan(dst->ndim, dst->dim, dst->stride, c->in[1]->stride);
    plane_fn fn = dst->dtype == TG_F32   ? add_f32
                  : dst->dtype == TG_F64 ? add_f64
                  : dst->dtype == TG_I64 ? add_i64
                                         : NULL;
    if (!fn)
        return TG_EDTYPE;
    run_plan(&q, fn, size_of(dst->dtype), writable(r), r->in[1], r->threads);
    return TG_OK;
}

const tg_ref_kernel tg_ref_copy[] = {
    TG_REF_KERNEL("contiguous", run_contiguous),
    TG_REF_KERNEL("clone", run_contiguous),
    TG_REF_KERNEL("reorder", run_contiguous),
    TG_REF_KERNEL("slice_backward", run_slice_backward),
    TG_REF_KERNEL("cat", run_cat),
    TG_REF_KERNEL("full", run_full),
    TG_REF_KERNEL("fill_", run_fill_),
    TG_REF_KERNEL("copy_", run_copy_),
    TG_REF_KERNEL("add_", run_add_),
    {0},
};
