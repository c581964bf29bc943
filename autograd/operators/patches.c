/* Sliding windows, shuffles of pixels, unpooling. */
#include "autograd/operators/checks.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

/* More than any size of memory along one dim, and no sum or product of two of them overflows. */
#define WIDEST ((int64_t)1 << 40)

/* How many windows down and across; *columns their product. */
static tg_status count_windows(const tg_infer *q, int64_t *columns)
{
    const tg_windows_attrs *a = q->attrs;
    const tg_ints *lists[] = {&a->size, &a->kernel, &a->dilation, &a->padding, &a->stride};
    static const char *const names[] = {"size", "kernel", "dilation", "padding", "stride"};
    int64_t n[2];
    for (int l = 0; l < 5; l++) {
        const int64_t low = l == 3 ? 0 : 1, high = l ? INT32_MAX : WIDEST;
        if (lists[l]->n != 2)
            return tg_infer_fail(q, TG_EINVAL, "%s must have two entries, not %lld", names[l],
                                 (long long)lists[l]->n);
        for (int k = 0; k < 2; k++)
            if (lists[l]->v[k] < low || lists[l]->v[k] > high)
                return tg_infer_fail(q, TG_EINVAL, "%s is [%lld, %lld], expected %lld or more", names[l],
                                     (long long)lists[l]->v[0], (long long)lists[l]->v[1], (long long)low);
    }
    for (int k = 0; k < 2; k++) {
        const int64_t reach = a->dilation.v[k] * (a->kernel.v[k] - 1) + 1;
        const int64_t room = a->size.v[k] + 2 * a->padding.v[k];
        if (reach > room)
            return tg_infer_fail(q, TG_ESHAPE, "no window: it spans %lld of %lld elements with the padding",
                                 (long long)reach, (long long)room);
        n[k] = (room - reach) / a->stride.v[k] + 1;
    }
    if (__builtin_mul_overflow(n[0], n[1], columns))
        return tg_infer_fail(q, TG_ESHAPE, "more than 2^63 windows");
    return TG_OK;
}

static tg_status infer_im2col(const tg_infer *q)
{
    const tg_windows_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    int64_t columns, rows;
    tg_status status = check_float(q, 0, "x");
    if (status)
        return status;
    if (x->ndim != 4 || x->dim[1] < 1 || x->dim[2] < 1 || x->dim[3] < 1)
        return tg_infer_fail(q, TG_ESHAPE, "x must have 4 dims, none but the first of size 0");
    status = count_windows(q, &columns);
    if (status)
        return status;
    if (x->dim[2] != a->size.v[0] || x->dim[3] != a->size.v[1])
        return tg_infer_fail(q, TG_ESHAPE, "size is [%lld, %lld], not x's", (long long)a->size.v[0],
                             (long long)a->size.v[1]);
    if (__builtin_mul_overflow(a->kernel.v[0] * a->kernel.v[1], x->dim[1], &rows))
        return tg_infer_fail(q, TG_ESHAPE, "more than 2^63 rows");
    return tg_infer_dims(q, x->dtype, &(tg_ints){3, {x->dim[0], rows, columns}});
}

static tg_status infer_col2im(const tg_infer *q)
{
    const tg_windows_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    int64_t columns;
    tg_status status = check_float(q, 0, "x");
    if (!status)
        status = count_windows(q, &columns);
    if (status)
        return status;
    const int64_t places = a->kernel.v[0] * a->kernel.v[1];
    if (x->ndim != 3 || x->dim[1] < 1 || x->dim[1] % places || x->dim[2] != columns)
        return tg_infer_fail(q, TG_ESHAPE, "x must be [N, C·%lld, %lld]", (long long)places,
                             (long long)columns);
    return tg_infer_dims(q, x->dtype,
                         &(tg_ints){4, {x->dim[0], x->dim[1] / places, a->size.v[0], a->size.v[1]}});
}

static tg_status infer_max_unpool(const tg_infer *q)
{
    const tg_max_unpool_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    tg_status status = check_float(q, 0, "x");
    if (status)
        return status;
    if (x->ndim != 2)
        return tg_infer_fail(q, TG_ESHAPE, "x must have 2 dims, not %d", x->ndim);
    status = check_shape(q, 1, "index", TG_I64, x->dim, 2);
    return status ? status : tg_infer_dims(q, x->dtype, &(tg_ints){2, {x->dim[0], a->size}});
}

/* Indices outside the result are refused before anything is written. */
static tg_status check_max_unpool(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    const tg_max_unpool_attrs *a = attrs;
    tg_desc d;
    int64_t range[4];
    (void)n_in;
    tg_status status = tg_tensor_desc(in[1], &d);
    if (status)
        return tg_fail_again(tape, status);
    if (d.dtype != TG_I64 || !tg_desc_count(&d))
        return TG_OK; /* infer says what is wrong */
    const tg_operator *look = tg_operator_find(tg_tape_runtime(tape), "index_range");
    tg_tensor *found = tg_row1(tape, look, in[1], NULL, NULL);
    if (!found)
        return tg_tape_status(tape);
    status = tg_tensor_read(found, range, sizeof range);
    tg_discard(found);
    if (status)
        return tg_fail_again(tape, status);
    const int worst = range[0] < 0 ? 0 : 1;
    if (range[worst] >= 0 && range[worst] < a->size)
        return TG_OK;
    return tg_fail(tape, TG_EINDEX, "max_unpool: index %lld, element %lld, is outside [0, %lld)",
                   (long long)range[worst], (long long)range[2 + worst], (long long)a->size);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_im2col, row_col2im, row_max_unpool;

TG_RULE(im2col)
{
    gx[0] = tg_row1(tape, &row_col2im, gy[0], tg_node_attrs(node), NULL);
    return tg_tape_status(tape);
}

TG_RULE(col2im)
{
    gx[0] = tg_row1(tape, &row_im2col, gy[0], tg_node_attrs(node), NULL);
    return tg_tape_status(tape);
}

TG_RULE(max_unpool)
{
    gx[0] = tg_gather(tape, gy[0], 1, tg_node_input(node, 1));
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define WINDOWS(...)                                                                                         \
    &(const tg_windows_attrs)                                                                                \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define TWICE(a, b)                                                                                          \
    {                                                                                                        \
        2,                                                                                                   \
        {                                                                                                    \
            a, b                                                                                             \
        }                                                                                                    \
    }
TG_SAMPLES(images,
           {.label = "padded",
            .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 1, 3, 2), TG_RANGE(-2, 2)}),
            .attrs = WINDOWS(TWICE(3, 2), TWICE(2, 2), TWICE(1, 1), TWICE(0, 1), TWICE(1, 1))},
           {.label = "strided, dilated",
            .in = TG_SAMPLE_INPUTS({TG_DIM4(1, 2, 4, 3), TG_RANGE(-2, 2), strided}),
            .attrs = WINDOWS(TWICE(4, 3), TWICE(2, 1), TWICE(2, 1), TWICE(1, 0), TWICE(2, 2))})
TG_SAMPLES(columns,
           {.label = "padded",
            .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 4, 6), TG_RANGE(-2, 2)}),
            .attrs = WINDOWS(TWICE(3, 2), TWICE(2, 2), TWICE(1, 1), TWICE(0, 1), TWICE(1, 1))},
           {.label = "strided, dilated",
            .in = TG_SAMPLE_INPUTS({TG_DIM3(1, 4, 4), TG_RANGE(-2, 2), strided}),
            .attrs = WINDOWS(TWICE(4, 3), TWICE(2, 1), TWICE(2, 1), TWICE(1, 0), TWICE(2, 2))})
TG_SAMPLES(pools, {.label = "one place a row",
                   .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 1), TG_RANGE(-2, 2)},
                                          {TG_DIM2(3, 1), TG_RANGE(0, 5), i64,
                                           constant}),
                   .attrs = &(const tg_max_unpool_attrs){5}})

#define SPEC(field_, doc_) TG_SPEC(tg_windows_attrs, field_, TG_ATTR_INTS, doc_)
static const tg_attr_spec windows_specs[] = {
    SPEC(size, "x's height and width"),
    SPEC(kernel, "of a window"),
    SPEC(dilation, "from element to element of a window"),
    SPEC(padding, "zeros around x"),
    SPEC(stride, "from window to window"),
    {0},
};
static const tg_attr_spec max_unpool_specs[] = {
    {.name = "size",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_max_unpool_attrs, size),
     .doc = "of a row of the result"},
    {0},
};
static const tg_operator row_im2col = {
    TG_ROW("im2col", "windows of x as columns"), .flags = TG_OP_DENSE,  .n_in = 1,         .n_out = 1,
    TG_ATTRS(tg_windows_attrs, windows_specs),   .infer = infer_im2col, .vjp = im2col_vjp, .samples = TG_PROOF(images),
};
static const tg_operator row_col2im = {
    TG_ROW("col2im", "im2col transposed: the sum of the windows"),
    .flags = TG_OP_DENSE,
    .n_in = 1,
    .n_out = 1,
    TG_ATTRS(tg_windows_attrs, windows_specs),
    .infer = infer_col2im,
    .vjp = col2im_vjp,
    .samples = TG_PROOF(columns),
};
static const tg_operator row_max_unpool = {
    TG_ROW("max_unpool", "zeros, with x's values at index"),
    .flags = TG_OP_DENSE | TG_OP_HOST_CHECK,
    .saves = TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_max_unpool_attrs, max_unpool_specs),
    .infer = infer_max_unpool,
    .vjp = max_unpool_vjp,
    .check = check_max_unpool,
    .samples = TG_PROOF(pools),
};

/* -- windows -------------------------------------------------------------------------------------------- */

static tg_ints pair(const int64_t *list, int64_t otherwise)
{
    return list ? (tg_ints){2, {list[0], list[1]}} : (tg_ints){2, {otherwise, otherwise}};
}

/* `row` of x with dim 0 put before it where x has no batch. */
static tg_tensor *in_batch(tg_tape *tape, const tg_operator *row, tg_tensor *x, int ndim,
                           const tg_windows_attrs *a)
{
    const bool single = tg_tensor_ndim(x) == ndim - 1;
    tg_tensor *y = tg_row1(tape, row, single ? tg_unsqueeze(tape, x, 0) : x, a, NULL);
    return single && y ? tg_squeeze(tape, y, 0) : y;
}

tg_tensor *tg_im2col(tg_tape *tape, tg_tensor *x, const int64_t kernel[2], const int64_t *dilation,
                     const int64_t *padding, const int64_t *stride)
{
    TG_COMPOSES(tape, "im2col");
    const tg_desc *d = tg_argument(tape, x, "im2col", "x");
    if (!d)
        return NULL;
    if (!kernel || (d->ndim != 3 && d->ndim != 4)) {
        tg_fail(tape, kernel ? TG_ESHAPE : TG_EINVAL, "im2col: %s, got %d dims",
                kernel ? "x must have 3 or 4 dims" : "kernel is NULL", d->ndim);
        return NULL;
    }
    const tg_windows_attrs a = {pair(d->dim + d->ndim - 2, 0), pair(kernel, 1), pair(dilation, 1),
                                pair(padding, 0), pair(stride, 1)};
    return in_batch(tape, &row_im2col, x, 4, &a);
}

tg_tensor *tg_col2im(tg_tape *tape, tg_tensor *x, const int64_t size[2], const int64_t kernel[2],
                     const int64_t *dilation, const int64_t *padding, const int64_t *stride)
{
    TG_COMPOSES(tape, "col2im");
    const tg_desc *d = tg_argument(tape, x, "col2im", "x");
    if (!d)
        return NULL;
    if (!kernel || !size || (d->ndim != 2 && d->ndim != 3)) {
        tg_fail(tape, kernel && size ? TG_ESHAPE : TG_EINVAL, "col2im: %s, got %d dims",
                !kernel ? "kernel is NULL"
                : !size ? "size is NULL"
                        : "x must have 2 or 3 dims",
                d->ndim);
        return NULL;
    }
    const tg_windows_attrs a = {pair(size, 1), pair(kernel, 1), pair(dilation, 1), pair(padding, 0),
                                pair(stride, 1)};
    return in_batch(tape, &row_col2im, x, 3, &a);
}

/* -- unpooling ------------------------------------------------------------------------------------------ */

/* The size of the output's dim k. */
static bool unpooled_size(tg_tape *tape, int64_t from, size_t k, const int64_t *kernel, const int64_t *stride,
                          const int64_t *padding, const int64_t *output_size, int64_t *out)
{
    const int64_t step = stride ? stride[k] : kernel[k], pad = padding ? padding[k] : 0;
    const int64_t most = INT32_MAX;
    if (kernel[k] < 1 || step < 1 || pad < 0 || kernel[k] > most || step > most || pad > most ||
        from > most) {
        tg_fail(tape, TG_EINVAL,
                "max_unpool: kernel %lld, stride %lld and padding %lld of dim %zu are out of range",
                (long long)kernel[k], (long long)step, (long long)pad, k);
        return false;
    }
    const int64_t usual = (from - 1) * step + kernel[k] - 2 * pad;
    *out = output_size ? output_size[k] : usual;
    if (*out > usual - step && *out<usual + step && * out> 0)
        return true;
    tg_fail(tape, TG_EINVAL, "max_unpool: output_size %lld of dim %zu, expected between %lld and %lld",
            (long long)*out, k, (long long)(usual - step + 1), (long long)(usual + step - 1));
    return false;
}

static bool unpoolable(tg_tape *tape, const tg_desc *x, const tg_desc *indices, size_t n,
                       const int64_t *kernel)
{
    if (!x || !indices)
        return false;
    const char *wrong = n < 1 || n > 3                                   ? "n must be 1, 2 or 3"
                        : !kernel                                        ? "kernel is NULL"
                        : x->ndim != (int)n + 1 && x->ndim != (int)n + 2 ? "x must have n + 1 or n + 2 dims"
                        : !tg_desc_same_dims(x, indices)                 ? "indices must have x's dims"
                                                                         : NULL;
    for (int d = x->ndim - (int)n; !wrong && d < x->ndim; d++)
        if (!x->dim[d])
            wrong = "the pooled dims must not be empty";
    char text[112], other[112];
    if (wrong)
        tg_fail(tape, n < 1 || n > 3 || !kernel ? TG_EINVAL : TG_ESHAPE,
                "max_unpool: %s; n is %zu, x %s, indices %s", wrong, n, tg_desc_format(x, text, sizeof text),
                tg_desc_format(indices, other, sizeof other));
    return !wrong;
}

tg_tensor *tg_max_unpool(tg_tape *tape, tg_tensor *x, tg_tensor *indices, size_t n, const int64_t *kernel,
                         const int64_t *stride, const int64_t *padding, const int64_t *output_size)
{
    TG_COMPOSES(tape, "max_unpool");
    const tg_desc *d = tg_argument(tape, x, "max_unpool", "x");
    const tg_desc *places = d ? tg_argument(tape, indices, "max_unpool", "indices") : NULL;
    if (!unpoolable(tape, d, places, n, kernel))
        return NULL;
    const int before = d->ndim - (int)n, ndim = d->ndim;
    int64_t dims[TG_MAX_DIM], flat[2] = {1, 1};
    tg_max_unpool_attrs a = {1};
    for (int k = 0; k < ndim; k++) {
        dims[k] = d->dim[k];
        flat[k >= before] *= d->dim[k];
        if (k < before)
            continue;
        const size_t along = (size_t)(k - before);
        if (!unpooled_size(tape, d->dim[k], along, kernel, stride, padding, output_size, &dims[k]))
            return NULL;
        if (__builtin_mul_overflow(a.size, dims[k], &a.size)) {
            tg_fail(tape, TG_ESHAPE, "max_unpool: the output would have more than 2^63 elements");
            return NULL;
        }
    }
    x = tg_reshape_dims(tape, x, flat, 2);
    indices = tg_reshape_dims(tape, indices, flat, 2);
    return tg_reshape_dims(tape, tg_row2(tape, &row_max_unpool, x, indices, &a, NULL), dims, (size_t)ndim);
}

/* -- shuffles of pixels --------------------------------------------------------------------------------- */

/* [*, C, H, W] with * flattened; false: not so, or r out of range. */
static bool shufflable(tg_tape *tape, tg_tensor *x, const char *what, int64_t r,
                       int64_t batch_channel_size[4], tg_desc *out)
{
    const tg_desc *d = tg_argument(tape, x, what, "x");
    if (!d)
        return false;
    *out = *d;
    if (d->ndim < 3 || r < 1 || r > INT32_MAX) {
        tg_fail(tape, d->ndim < 3 ? TG_ESHAPE : TG_EINVAL, "%s: %s, got %d dims and factor %lld", what,
                d->ndim < 3 ? "x must have 3 dims or more" : "the factor must be positive", d->ndim,
                (long long)r);
        return false;
    }
    batch_channel_size[0] = 1;
    for (int k = 0; k < d->ndim - 3; k++)
        batch_channel_size[0] *= d->dim[k];
    for (int k = 0; k < 3; k++)
        batch_channel_size[1 + k] = d->dim[d->ndim - 3 + k];
    return true;
}

tg_tensor *tg_pixel_shuffle(tg_tape *tape, tg_tensor *x, int64_t upscale_factor)
{
    const int64_t r = upscale_factor;
    int64_t n[4];
    tg_desc d;
    if (!shufflable(tape, x, "pixel_shuffle", r, n, &d))
        return NULL;
    if (n[1] % (r * r)) {
        tg_fail(tape, TG_ESHAPE, "pixel_shuffle: x has %lld channels, expected a multiple of %lld",
                (long long)n[1], (long long)(r * r));
        return NULL;
    }
    const int64_t apart[] = {n[0], n[1] / (r * r), r, r, n[2], n[3]}, order[] = {0, 1, 4, 2, 5, 3};
    d.dim[d.ndim - 3] = n[1] / (r * r);
    d.dim[d.ndim - 2] = n[2] * r;
    d.dim[d.ndim - 1] = n[3] * r;
    x = tg_permute_dims(tape, tg_reshape_dims(tape, x, apart, 6), order, 6);
    return tg_reshape_dims(tape, x, d.dim, (size_t)d.ndim);
}

tg_tensor *tg_pixel_unshuffle(tg_tape *tape, tg_tensor *x, int64_t downscale_factor)
{
    const int64_t r = downscale_factor;
    int64_t n[4];
    tg_desc d;
    if (!shufflable(tape, x, "pixel_unshuffle", r, n, &d))
        return NULL;
    if (n[2] % r || n[3] % r) {
        tg_fail(tape, TG_ESHAPE,
                "pixel_unshuffle: x's last dims are %lld and %lld, expected multiples of %lld",
                (long long)n[2], (long long)n[3], (long long)r);
        return NULL;
    }
    const int64_t apart[] = {n[0], n[1], n[2] / r, r, n[3] / r, r}, order[] = {0, 1, 3, 5, 2, 4};
    d.dim[d.ndim - 3] = n[1] * r * r;
    d.dim[d.ndim - 2] = n[2] / r;
    d.dim[d.ndim - 1] = n[3] / r;
    x = tg_permute_dims(tape, tg_reshape_dims(tape, x, apart, 6), order, 6);
    return tg_reshape_dims(tape, x, d.dim, (size_t)d.ndim);
}

tg_tensor *tg_channel_shuffle(tg_tape *tape, tg_tensor *x, int64_t groups)
{
    TG_COMPOSES(tape, "channel_shuffle");
    const tg_desc *d = tg_argument(tape, x, "channel_shuffle", "x");
    if (!d)
        return NULL;
    const tg_desc own = *d;
    if (own.ndim < 3 || groups < 1 || own.dim[1] % groups) {
        char text[112];
        tg_fail(tape, groups < 1 ? TG_EINVAL : TG_ESHAPE, "channel_shuffle: x is %s and groups %lld, expected [N, C, *] and a divisor of C",
                tg_desc_format(&own, text, sizeof text), (long long)groups);
        return NULL;
    }
    int64_t inner = 1;
    for (int k = 2; k < own.ndim; k++)
        inner *= own.dim[k];
    const int64_t apart[] = {own.dim[0], groups, own.dim[1] / groups, inner};
    return tg_reshape_dims(tape, tg_transpose(tape, tg_reshape_dims(tape, x, apart, 4), 1, 2), own.dim, (size_t)own.ndim);
}

const tg_operator *const tg_ops_patches[] = {
    &row_im2col,
    &row_col2im,
    &row_max_unpool,
    NULL,
};
