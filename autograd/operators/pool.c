/* Pooling: windows that move over the last one to three dims. */
#include "autograd/operators/pools.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status need_entries(const tg_infer *q, const tg_ints *list, const char *name, int64_t low)
{
    const tg_pool_attrs *a = q->attrs;
    if (list->n != a->size.n)
        return tg_infer_fail(q, TG_EINVAL, "%s has %lld entries, expected %lld", name, (long long)list->n,
                             (long long)a->size.n);
    for (int64_t k = 0; k < list->n; k++)
        if (list->v[k] < low || list->v[k] > INT32_MAX)
            return tg_infer_fail(q, TG_EINVAL, "%s of dim %lld is %lld, expected %lld … 2147483647", name,
                                 (long long)k, (long long)list->v[k], (long long)low);
    return TG_OK;
}

/* How many windows stand along dim k. A last one that ceil_mode lets begin behind x and its left padding does
 * not count. */
static tg_status count_windows(const tg_infer *q, int64_t k, int64_t *out)
{
    const tg_pool_attrs *a = q->attrs;
    const int64_t reach = a->dilation.v[k] * (a->kernel.v[k] - 1) + 1, step = a->stride.v[k];
    const int64_t pad = a->padding.v[k], room = a->size.v[k] + 2 * pad;
    if (pad > reach / 2)
        return tg_infer_fail(q, TG_EINVAL,
                             "padding of dim %lld is %lld, expected at most half of a window's %lld",
                             (long long)k, (long long)pad, (long long)reach);
    const int64_t left = room - reach + (a->ceil_mode ? step - 1 : 0);
    *out = left < 0 ? 0 : left / step + 1;
    if (a->ceil_mode && (*out - 1) * step >= a->size.v[k] + pad)
        --*out;
    if (*out < 1)
        return tg_infer_fail(q, TG_ESHAPE,
                             "no window: in dim %lld it spans %lld of %lld elements with the padding",
                             (long long)k, (long long)reach, (long long)room);
    return TG_OK;
}

tg_status tg_pool_need_sizes(const tg_infer *q, const tg_ints *size, int64_t low)
{
    if (size->n < 1 || size->n > 3)
        return tg_infer_fail(q, TG_EINVAL, "size has %lld entries, expected 1 … 3", (long long)size->n);
    for (int64_t k = 0; k < size->n; k++)
        if (size->v[k] < low)
            return tg_infer_fail(q, TG_ESHAPE, "dim %lld of those that are pooled has size %lld",
                                 (long long)k, (long long)size->v[k]);
    return TG_OK;
}

tg_status tg_pool_need_dims(const tg_infer *q, size_t i, const char *argument, const tg_ints *spatial)
{
    const tg_desc *x = q->in[i];
    int64_t dims[5] = {0};
    if (x->ndim == spatial->n + 2) {
        dims[0] = x->dim[0];
        dims[1] = x->dim[1];
    }
    memcpy(dims + 2, spatial->v, (size_t)spatial->n * sizeof *dims);
    return check_shape(q, i, argument, x->dtype, dims, (int32_t)spatial->n + 2);
}

tg_status tg_pool_make_out(const tg_infer *q, size_t o, int64_t dtype, const tg_ints *spatial)
{
    int64_t dims[5] = {q->in[0]->dim[0], q->in[0]->dim[1]};
    memcpy(dims + 2, spatial->v, (size_t)spatial->n * sizeof *dims);
    return tg_desc_make(&q->out[o], (tg_dtype)dtype, dims, (size_t)spatial->n + 2);
}

static tg_status check_windows(const tg_infer *q, tg_ints *out)
{
    const tg_pool_attrs *a = q->attrs;
    const tg_ints *lists[] = {&a->kernel, &a->stride, &a->padding, &a->dilation};
    static const char *const names[] = {"kernel", "stride", "padding", "dilation"};
    tg_status status = tg_pool_need_sizes(q, &a->size, 1);
    for (int l = 0; l < 4 && !status; l++)
        status = need_entries(q, lists[l], names[l], l != 2);
    out->n = a->size.n;
    for (int64_t k = 0; k < a->size.n && !status; k++)
        status = count_windows(q, k, &out->v[k]);
    return status;
}

static tg_status infer_max_pool(const tg_infer *q)
{
    const tg_pool_attrs *a = q->attrs;
    const int64_t none = 0;
    tg_ints out = {0};
    tg_status status = check_float(q, 0, "x");
    if (!status)
        status = check_windows(q, &out);
    if (!status)
        status = tg_pool_need_dims(q, 0, "x", &a->size);
    if (!status)
        status = tg_pool_make_out(q, 0, q->in[0]->dtype, &out);
    if (status)
        return status;
    return a->indices ? tg_pool_make_out(q, 1, TG_I64, &out) : tg_desc_make(&q->out[1], TG_I64, &none, 1);
}

static tg_status infer_max_pool_backward(const tg_infer *q)
{
    const tg_pool_attrs *a = q->attrs;
    tg_ints out = {0};
    tg_status status = check_float(q, 0, "gy");
    if (!status)
        status = a->kernel.n ? check_windows(q, &out) : tg_pool_need_sizes(q, &a->size, 0);
    if (!status && !a->kernel.n && q->in[0]->ndim != a->size.n + 2)
        status = tg_infer_fail(q, TG_ESHAPE, "gy has %d dims, expected %lld", (int)q->in[0]->ndim,
                               (long long)a->size.n + 2);
    if (!status && a->kernel.n)
        status = tg_pool_need_dims(q, 0, "gy", &out);
    if (!status)
        status = check_shape(q, 1, "indices", TG_I64, q->in[0]->dim, q->in[0]->ndim);
    return status ? status : tg_pool_make_out(q, 0, q->in[0]->dtype, &a->size);
}

static tg_status infer_max_pool_src_backward(const tg_infer *q)
{
    const tg_pool_attrs *a = q->attrs;
    tg_ints out = {0};
    tg_status status = check_float(q, 0, "gy");
    if (!status)
        status = check_windows(q, &out);
    if (!status)
        status = tg_pool_need_dims(q, 0, "gy", &out);
    if (!status)
        status = tg_pool_make_out(q, 0, q->in[0]->dtype, &a->size);
    return status ? status : check_shape(q, 1, "x", q->out[0].dtype, q->out[0].dim, q->out[0].ndim);
}

static tg_status infer_pool_gather(const tg_infer *q)
{
    const tg_desc *x = q->in[0], *indices = q->in[1];
    tg_status status = check_float(q, 0, "x");
    if (status)
        return status;
    if (x->ndim < 3 || x->ndim > 5 || indices->dtype != TG_I64 || indices->ndim != x->ndim ||
        indices->dim[0] != x->dim[0] || indices->dim[1] != x->dim[1])
        return tg_infer_fail(q, TG_ESHAPE, "expected x [N, C, *] and i64 indices [N, C, *] of as many dims");
    return tg_desc_make(q->out, (tg_dtype)x->dtype, indices->dim, (size_t)indices->ndim);
}

/* x is the input, or the gradient of the output: `backward`. */
static tg_status infer_average(const tg_infer *q, bool backward)
{
    const tg_pool_attrs *a = q->attrs;
    tg_ints out = {0};
    tg_status status = check_float(q, 0, backward ? "gy" : "x");
    if (!status)
        status = check_windows(q, &out);
    for (int64_t k = 0; k < a->dilation.n && !status; k++)
        if (a->dilation.v[k] != 1)
            status = tg_infer_fail(q, TG_EINVAL, "dilation is for max_pool, expected 1");
    if (!status)
        status = tg_pool_need_dims(q, 0, backward ? "gy" : "x", backward ? &out : &a->size);
    return status ? status : tg_pool_make_out(q, 0, q->in[0]->dtype, backward ? &a->size : &out);
}

static tg_status infer_avg_pool(const tg_infer *q)
{
    return infer_average(q, false);
}

static tg_status infer_avg_pool_backward(const tg_infer *q)
{
    return infer_average(q, true);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_max_pool, row_max_pool_src_backward, row_pool_gather,
    row_avg_pool, row_avg_pool_backward;

/* Where nobody asked for the places, they are found again: i64 of them would be more than x itself is worth. */
TG_RULE(max_pool)
{
    const tg_pool_attrs *a = tg_node_attrs(node);
    gx[0] = a->indices ? tg_row2(tape, &tg_row_max_pool_backward, gy[0], tg_node_output(node, 1), a, NULL)
                       : tg_row2(tape, &row_max_pool_src_backward, gy[0], tg_node_input(node, 0), a, NULL);
    return tg_tape_status(tape);
}

/* Linear in gy; where x moves, the places stay. */
TG_RULE(max_pool_src_backward)
{
    tg_pool_attrs a = *(const tg_pool_attrs *)tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 1), *out[2];
    a.indices = 1;
    if (tg_node_needs(node, 0) && !tg_apply(tape, &row_max_pool, &x, 1, &a, NULL, out))
        gx[0] = tg_row2(tape, &row_pool_gather, gy[0], out[1], NULL, NULL);
    return tg_tape_status(tape);
}

TG_RULE(max_pool_backward)
{
    gx[0] = tg_row2(tape, &row_pool_gather, gy[0], tg_node_input(node, 1), NULL, NULL);
    return tg_tape_status(tape);
}

TG_RULE(pool_gather)
{
    tg_pool_attrs back = {0};
    tg_desc x;
    if (!tg_input_dims(tape, node, 0, &x))
        return tg_tape_status(tape);
    back.size.n = x.ndim - 2;
    memcpy(back.size.v, x.dim + 2, (size_t)back.size.n * sizeof *x.dim);
    gx[0] = tg_row2(tape, &tg_row_max_pool_backward, gy[0], tg_node_input(node, 1), &back, NULL);
    return tg_tape_status(tape);
}

TG_RULE(avg_pool)
{
    gx[0] = tg_row1(tape, &row_avg_pool_backward, gy[0], tg_node_attrs(node), NULL);
    return tg_tape_status(tape);
}

TG_RULE(avg_pool_backward)
{
    gx[0] = tg_row1(tape, &row_avg_pool, gy[0], tg_node_attrs(node), NULL);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

/* clang-format off */
static const tg_pool_attrs
    padded = {.size = {1, {7}}, .kernel = {1, {3}}, .stride = {1, {2}}, .padding = {1, {1}}, .dilation = {1, {1}},
              .indices = 1, .count_include_pad = 1},
    up = {.size = {2, {4, 5}}, .kernel = {2, {2, 3}}, .stride = {2, {3, 2}}, .padding = {2, {1, 0}},
          .dilation = {2, {1, 1}}, .ceil_mode = 1, .indices = 1},
    apart = {.size = {3, {2, 4, 3}}, .kernel = {3, {1, 2, 2}}, .stride = {3, {1, 1, 1}}, .padding = {3, {0, 1, 0}},
             .dilation = {3, {1, 2, 1}}, .indices = 1},
    divided = {.size = {3, {2, 3, 3}}, .kernel = {3, {2, 2, 3}}, .stride = {3, {1, 1, 1}}, .padding = {3, {0, 1, 1}},
               .dilation = {3, {1, 1, 1}}, .divisor_override = 5},
    overlapping = {.size = {2, {5, 4}}, .kernel = {2, {3, 3}}, .stride = {2, {2, 2}}, .padding = {2, {1, 1}},
                   .dilation = {2, {1, 1}}, .count_include_pad = 1},
    plain = {.size = {2, {4, 5}}}, valued = {.size = {1, {7}}, .kernel = {1, {2}}, .stride = {1, {2}},
                                             .padding = {1, {0}}, .dilation = {1, {1}}};

TG_SAMPLES(maxima,
           {.label = "padded", .attrs = &padded, .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 2, 7), TG_RANGE(-4, 4), TG_DISTINCT(0.05f)})},
           {.label = "ceil_mode, strided", .attrs = &up,
            .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 1, 4, 5), TG_RANGE(-4, 4), distinct strided, apart 0.05})},
           {.label = "dilated", .attrs = &apart,
            .in = TG_SAMPLE_INPUTS({[1, 2, 2, 4, 3], TG_RANGE(-4, 4), TG_DISTINCT(0.03f)})},
           {.label = "no batch", .attrs = &padded, .in = TG_SAMPLE_INPUTS({TG_DIM3(0, 2, 7), TG_RANGE(-4, 4)})},
           {.label = "values alone", .attrs = &valued,
            .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 1, 7), TG_RANGE(-4, 4), TG_DISTINCT(0.05f)})},
           {.label = "channels, values alone", .attrs = &overlapping,
            .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 16, 5, 4), TG_RANGE(-9, 9), TG_DISTINCT(0.01f)})})
TG_SAMPLES(found,
           {.label = "padded", .attrs = &padded,
            .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 2, 4), TG_RANGE(-2, 2)}, {TG_DIM3(2, 2, 7), TG_RANGE(-4, 4), TG_DISTINCT(0.05f)})},
           {.label = "ceil_mode, strided", .attrs = &up,
            .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 1, 2, 2), TG_RANGE(-2, 2), strided},
                                   {TG_DIM4(2, 1, 4, 5), TG_RANGE(-4, 4), distinct strided, apart 0.05})},
           {.label = "dilated", .attrs = &apart,
            .in = TG_SAMPLE_INPUTS({[1, 2, 2, 4, 2], TG_RANGE(-2, 2)},
                                   {[1, 2, 2, 4, 3], TG_RANGE(-4, 4), TG_DISTINCT(0.03f)})},
           {.label = "channels", .attrs = &overlapping,
            .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 16, 3, 2), TG_RANGE(-2, 2)}, {TG_DIM4(2, 16, 5, 4), TG_RANGE(-9, 9), TG_DISTINCT(0.01f)})})
#define PLACES(n, ...) {i64, constant, TG_RANGE(0, n), __VA_ARGS__}
TG_SAMPLES(scattered,
           {.label = "padded", .attrs = &padded,
            .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 2, 4), TG_RANGE(-2, 2)}, PLACES(7, TG_DIM3(2, 2, 4)))},
           {.label = "any windows, strided", .attrs = &plain,
            .in = TG_SAMPLE_INPUTS({TG_DIM4(1, 2, 3, 2), TG_RANGE(-2, 2), strided}, PLACES(20, TG_DIM4(1, 2, 3, 2)))})
TG_SAMPLES(gathered,
           {.label = "planes", .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 1, 2, 3), TG_RANGE(-2, 2), strided}, PLACES(6, TG_DIM4(2, 1, 1, 4)))})
TG_SAMPLES(averages,
           {.label = "padded", .attrs = &padded, .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 2, 7), TG_RANGE(-2, 2)})},
           {.label = "ceil_mode, strided", .attrs = &up,
            .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 1, 4, 5), TG_RANGE(-2, 2), strided})},
           {.label = "divisor_override", .attrs = &divided,
            .in = TG_SAMPLE_INPUTS({[1, 2, 2, 3, 3], TG_RANGE(-2, 2)})})
TG_SAMPLES(averages_back,
           {.label = "padded", .attrs = &padded, .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 2, 4), TG_RANGE(-2, 2)})},
           {.label = "ceil_mode, strided", .attrs = &up,
            .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 1, 2, 2), TG_RANGE(-2, 2), strided})},
           {.label = "divisor_override", .attrs = &divided,
            .in = TG_SAMPLE_INPUTS({[1, 2, 1, 4, 3], TG_RANGE(-2, 2)})})
/* clang-format on */

static const tg_attr_spec pool_specs[] = {
    TG_SPEC(tg_pool_attrs, size, TG_ATTR_INTS, "of x's dims that are pooled"),
    TG_SPEC(tg_pool_attrs, kernel, TG_ATTR_INTS, "of a window; max_pool_backward: may be empty"),
    TG_SPEC(tg_pool_attrs, stride, TG_ATTR_INTS, "from window to window"),
    TG_SPEC(tg_pool_attrs, padding, TG_ATTR_INTS, "around x, at most half a window"),
    TG_SPEC(tg_pool_attrs, dilation, TG_ATTR_INTS, "from element to element of a window"),
    TG_SPEC(tg_pool_attrs, ceil_mode, TG_ATTR_INT, "1: windows may reach over the end"),
    TG_SPEC(tg_pool_attrs, indices, TG_ATTR_INT, "max_pool: 1: they are wanted"),
    TG_SPEC(tg_pool_attrs, count_include_pad, TG_ATTR_INT, "avg_pool: 1: padding counts"),
    TG_SPEC(tg_pool_attrs, divisor_override, TG_ATTR_INT, "avg_pool: instead of the count, 0: none"),
    {0},
};
static const tg_operator row_max_pool = {
    TG_ROW("max_pool", "the largest of each window, and its place in the pooled dims"),
    TG_ATTRS(tg_pool_attrs, pool_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_OUT(1),
    .n_in = 1,
    .n_out = 2,
    .nondiff_out = TG_OP_OUT(1) >> 16,
    .infer = infer_max_pool,
    .vjp = max_pool_vjp,
    .samples = TG_PROOF(maxima),
};
const tg_operator tg_row_max_pool_backward = {
    TG_ROW("max_pool_backward", "zeros, with the sum of the gy that have this place"),
    TG_ATTRS(tg_pool_attrs, pool_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    .infer = infer_max_pool_backward,
    .vjp = max_pool_backward_vjp,
    .samples = TG_PROOF(scattered),
};
static const tg_operator row_max_pool_src_backward = {
    TG_ROW("max_pool_src_backward", "max_pool_backward, whose places are those of x's maxima"),
    TG_ATTRS(tg_pool_attrs, pool_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    .infer = infer_max_pool_src_backward,
    .vjp = max_pool_src_backward_vjp,
    .samples = TG_PROOF(found),
};
static const tg_operator row_pool_gather = {
    TG_ROW("pool_gather", "the elements of each plane at its places"),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    .infer = infer_pool_gather,
    .vjp = pool_gather_vjp,
    .samples = TG_PROOF(gathered),
};
static const tg_operator row_avg_pool = {
    TG_ROW("avg_pool", "the sum of each window through its count"),
    TG_ATTRS(tg_pool_attrs, pool_specs),
    .flags = TG_OP_DENSE,
    .n_in = 1,
    .n_out = 1,
    .infer = infer_avg_pool,
    .vjp = avg_pool_vjp,
    .samples = TG_PROOF(averages),
};
static const tg_operator row_avg_pool_backward = {
    TG_ROW("avg_pool_backward", "avg_pool transposed"),
    TG_ATTRS(tg_pool_attrs, pool_specs),
    .flags = TG_OP_DENSE,
    .n_in = 1,
    .n_out = 1,
    .infer = infer_avg_pool_backward,
    .vjp = avg_pool_backward_vjp,
    .samples = TG_PROOF(averages_back),
};
/* -- wrappers ------------------------------------------------------------------------------------------- */

tg_tensor *tg_pool_with_batch(tg_tape *tape, tg_tensor *x, const char *what, size_t n, const void *list,
                             tg_ints *size, bool *single)
{
    const tg_desc *d = tg_argument(tape, x, what, "x");
    if (!d)
        return NULL;
    const char *wrong = n < 1 || n > 3 ? "n must be 1, 2 or 3" : !list ? "the options are NULL" : NULL;
    if (wrong || (d->ndim != (int)n + 1 && d->ndim != (int)n + 2)) {
        char text[112];
        tg_fail(tape, wrong ? TG_EINVAL : TG_ESHAPE, "%s: %s; n is %zu, x %s", what,
                wrong ? wrong : "x must have n + 1 or n + 2 dims", n, tg_desc_format(d, text, sizeof text));
        return NULL;
    }
    size->n = (int64_t)n;
    memcpy(size->v, d->dim + d->ndim - n, n * sizeof *d->dim);
    *single = d->ndim == (int)n + 1;
    return *single ? tg_unsqueeze(tape, x, 0) : x;
}

tg_tensor *tg_pool_without_batch(tg_tape *tape, tg_tensor *y, bool single)
{
    return single && y ? tg_squeeze(tape, y, 0) : y;
}

/* What only another kind of pooling takes. */
static bool takes(tg_tape *tape, const char *what, const tg_pool_options *o, bool max, bool average)
{
    bool dilated = false, margin = false;
    for (int k = 0; k < 3; k++) {
        dilated = dilated || o->dilation[k] > 1;
        margin = margin || o->padding[k] != 0;
    }
    const char *wrong = !max && dilated                        ? "dilation is for max_pool"
                        : !average && o->exclude_pad           ? "exclude_pad is for avg_pool"
                        : !average && o->divisor_override != 0 ? "divisor_override is for avg_pool"
                        : !max && !average && margin           ? "there is no padding"
                                                               : NULL;
    if (wrong)
        tg_fail(tape, TG_EINVAL, "%s: %s", what, wrong);
    return !wrong;
}

static tg_pool_attrs windows_of(const tg_pool_options *o, const tg_ints *size)
{
    tg_pool_attrs a = {.size = *size, .ceil_mode = o->ceil_mode, .count_include_pad = !o->exclude_pad};
    a.kernel.n = a.stride.n = a.padding.n = a.dilation.n = size->n;
    for (int64_t k = 0; k < size->n; k++) {
        a.kernel.v[k] = o->kernel[k];
        a.stride.v[k] = o->stride[k] ? o->stride[k] : o->kernel[k];
        a.padding.v[k] = o->padding[k];
        a.dilation.v[k] = o->dilation[k] ? o->dilation[k] : 1;
    }
    return a;
}

tg_tensor *tg_max_pool(tg_tape *tape, tg_tensor *x, size_t n, const tg_pool_options *options,
                       tg_tensor **indices)
{
    tg_ints size = {0};
    bool single = false;
    tg_tensor *out[2] = {NULL};
    if (indices)
        *indices = NULL;
    x = tg_pool_with_batch(tape, x, "max_pool", n, options, &size, &single);
    if (!x || !takes(tape, "max_pool", options, true, false))
        return NULL;
    tg_pool_attrs a = windows_of(options, &size);
    a.indices = indices != NULL;
    if (tg_apply(tape, &row_max_pool, &x, 1, &a, NULL, out))
        return NULL;
    if (indices)
        *indices = tg_pool_without_batch(tape, out[1], single);
    return tg_pool_without_batch(tape, out[0], single);
}

tg_tensor *tg_avg_pool(tg_tape *tape, tg_tensor *x, size_t n, const tg_pool_options *options)
{
    tg_ints size = {0};
    bool single = false;
    x = tg_pool_with_batch(tape, x, "avg_pool", n, options, &size, &single);
    if (!x || !takes(tape, "avg_pool", options, false, true))
        return NULL;
    tg_pool_attrs a = windows_of(options, &size);
    a.divisor_override = options->divisor_override;
    return tg_pool_without_batch(tape, tg_row1(tape, &row_avg_pool, x, &a, NULL), single);
}

/* The sum of x^p is 0 where it all cancels; a root has no slope there, and the relu lets none through. The limits of an
 * infinite p are the largest and the smallest |x|. */
tg_tensor *tg_lp_pool(tg_tape *tape, tg_tensor *x, size_t n, double p, const tg_pool_options *options)
{
    tg_ints size = {0};
    bool single = false;
    double count = 1;
    x = tg_pool_with_batch(tape, x, "lp_pool", n, options, &size, &single);
    if (!x || !takes(tape, "lp_pool", options, false, false))
        return NULL;
    if (!(fabs(p) > 0)) {
        tg_fail(tape, TG_EINVAL, "lp_pool: p is %g, expected a number other than 0", p);
        return NULL;
    }
    tg_pool_attrs a = windows_of(options, &size);
    if (isinf(p)) {
        tg_tensor *out[2] = {NULL};
        x = tg_abs(tape, x);
        x = p < 0 ? tg_neg(tape, x) : x;
        if (!x || tg_apply(tape, &row_max_pool, &x, 1, &a, NULL, out))
            return NULL;
        return tg_pool_without_batch(tape, p < 0 ? tg_neg(tape, out[0]) : out[0], single);
    }
    for (int64_t k = 0; k < size.n; k++)
        count *= (double)a.kernel.v[k];
    x = tg_row1(tape, &row_avg_pool, tg_pow_scalar(tape, x, p), &a, NULL);
    x = tg_mul(tape, tg_sign(tape, x), tg_relu(tape, tg_abs(tape, x)));
    x = tg_pow_scalar(tape, tg_mul_scalar(tape, x, count), 1 / p);
    return tg_pool_without_batch(tape, x, single);
}

const tg_operator *const tg_ops_pool[] = {
    &row_max_pool, &tg_row_max_pool_backward, &row_max_pool_src_backward, &row_pool_gather,
    &row_avg_pool, &row_avg_pool_backward,
    NULL,
};
