/* Convolution and its two gradients: each is linear in both of its inputs, and every derivative of one of the three is
 * one of the three. convolution_affine is convolution with what often follows. */
#include "autograd/operators/checks.h"
#include "autograd/operators/reduced.h"

#include <stdio.h>

enum { MOST = 3, TEXT = 192 }; /* spatial dims */

/* -- infer ---------------------------------------------------------------------------------------------- */

/* Fails an infer, or a function's wrapper where `q` is NULL, with what is wrong. */
typedef struct blame {
    const tg_infer *q;
    tg_tape *tape;
    const char *what;
} blame;

static TG_PRINTF(3, 4) tg_status wrong(const blame *b, tg_status status, const char *format, ...)
{
    char text[TEXT];
    va_list args;
    va_start(args, format);
    tg_vformat(text, sizeof text, format, args);
    va_end(args);
    return b->q ? tg_infer_fail(b->q, status, "%s", text) : tg_fail(b->tape, status, "%s: %s", b->what, text);
}

static tg_status check_attrs(const blame *b, const tg_convolution_attrs *a)
{
    const tg_ints *lists[] = {&a->stride, &a->dilation, &a->padding};
    static const char *const names[] = {"stride", "dilation", "padding"};
    const int64_t n = a->stride.n;
    for (int l = 0; l < 3; l++) {
        if (n < 1 || n > MOST || lists[l]->n != n)
            return wrong(b, TG_EINVAL, "%s has %lld entries, expected one for each of 1 to 3 dims", names[l],
                         (long long)lists[l]->n);
        for (int64_t k = 0; k < n; k++)
            if (lists[l]->v[k] < (l < 2) || lists[l]->v[k] > INT32_MAX)
                return wrong(b, TG_EINVAL, "%s is %lld in dim %lld, expected %d or more", names[l],
                             (long long)lists[l]->v[k], (long long)k, l < 2);
    }
    if (a->groups < 1)
        return wrong(b, TG_EINVAL, "groups is %lld, expected 1 or more", (long long)a->groups);
    return TG_OK;
}

/* Of n + 2 dims, and of the first input's dtype. */
static tg_status check_tensor(const blame *b, const tg_desc *d, const char *name, int64_t n, int32_t dtype)
{
    char text[112];
    if (!tg_dtype_is_float(d->dtype))
        return wrong(b, TG_EDTYPE, "%s is %s, expected f32 or f64", name, tg_dtype_name(d->dtype));
    if (d->dtype != dtype)
        return wrong(b, TG_EDTYPE, "%s is %s, expected %s as the input", name, tg_dtype_name(d->dtype),
                     tg_dtype_name(dtype));
    if (d->ndim != n + 2)
        return wrong(b, TG_ESHAPE, "%s is %s, expected %lld dims", name, tg_desc_format(d, text, sizeof text),
                     (long long)n + 2);
    return TG_OK;
}

static tg_status check_channel(const blame *b, const char *name, const tg_desc *d, int64_t channels, int32_t dtype)
{
    char text[112];
    if (!d || (d->dtype == dtype && d->ndim == 1 && d->dim[0] == channels))
        return TG_OK;
    return wrong(b, d->dtype == dtype ? TG_ESHAPE : TG_EDTYPE, "%s is %s, expected %s[%lld]", name,
                 tg_desc_format(d, text, sizeof text), tg_dtype_name(dtype), (long long)channels);
}

static tg_status check_bias(const blame *b, const tg_desc *bias, int64_t channels, int32_t dtype)
{
    return check_channel(b, "bias", bias, channels, dtype);
}

/* How many windows there are along each dim. */
static tg_status count_windows(const blame *b, const tg_convolution_attrs *a, const int64_t *in,
                               const int64_t *kernel, int64_t *out)
{
    for (int64_t k = 0; k < a->stride.n; k++) {
        int64_t reach;
        if (kernel[k] < 1)
            return wrong(b, TG_ESHAPE, "the kernel has size %lld in dim %lld, expected 1 or more",
                         (long long)kernel[k], (long long)k);
        const int64_t room = in[k] + 2 * a->padding.v[k];
        if (__builtin_mul_overflow(a->dilation.v[k], kernel[k] - 1, &reach) || reach >= room)
            return wrong(b, TG_ESHAPE,
                         "the kernel spans more than the input: in dim %lld it has size %lld with dilation %lld, the "
                         "padded input %lld",
                         (long long)k, (long long)kernel[k], (long long)a->dilation.v[k], (long long)room);
        out[k] = (room - reach - 1) / a->stride.v[k] + 1;
    }
    return TG_OK;
}

/* x's channels and those of weight. */
static tg_status check_channels(const blame *b, int64_t groups, int64_t channels, const tg_desc *weight)
{
    if (weight->dim[0] % groups)
        return wrong(b, TG_EINVAL, "groups is %lld, expected a divisor of weight's %lld channels",
                     (long long)groups, (long long)weight->dim[0]);
    if (weight->dim[1] > INT64_MAX / groups || channels != weight->dim[1] * groups)
        return wrong(b, TG_ESHAPE,
                     "the input has %lld channels, expected %lld: weight has %lld for each of %lld groups",
                     (long long)channels, (long long)(weight->dim[1] * groups), (long long)weight->dim[1],
                     (long long)groups);
    return TG_OK;
}

static tg_status forward_dims(const blame *b, const tg_convolution_attrs *a, const tg_desc *x,
                              const tg_desc *weight, const tg_desc *bias, tg_ints *out)
{
    tg_status status = check_attrs(b, a);
    if (!status)
        status = check_tensor(b, x, "the input", a->stride.n, x->dtype);
    if (!status)
        status = check_tensor(b, weight, "weight", a->stride.n, x->dtype);
    if (!status)
        status = check_channels(b, a->groups, x->dim[1], weight);
    if (!status)
        status = check_bias(b, bias, weight->dim[0], x->dtype);
    if (status)
        return status;
    *out = (tg_ints){x->ndim, {x->dim[0], weight->dim[0]}};
    return count_windows(b, a, x->dim + 2, weight->dim + 2, out->v + 2);
}

/* `size` has an entry for each dim, and gy one for each window. */
static tg_status check_windows(const blame *b, const tg_convolution_attrs *a, const tg_desc *gy,
                               const int64_t *in, const int64_t *kernel)
{
    int64_t out[MOST];
    tg_status status = count_windows(b, a, in, kernel, out);
    for (int64_t k = 0; !status && k < a->stride.n; k++)
        if (gy->dim[2 + k] != out[k])
            status = wrong(b, TG_ESHAPE, "the input has size %lld in dim %lld, expected %lld",
                           (long long)gy->dim[2 + k], (long long)k, (long long)out[k]);
    return status;
}

static tg_status check_size(const blame *b, const tg_convolution_attrs *a)
{
    bool good = a->size.n == a->stride.n;
    for (int64_t k = 0; good && k < a->size.n; k++)
        good = a->size.v[k] >= 0 && a->size.v[k] <= INT64_MAX / 4;
    return good ? TG_OK : wrong(b, TG_EINVAL, "size must have an entry of 0 or more for each dim");
}

/* The checks of a transposed convolution but for the sizes. */
static tg_status check_transposed(const blame *b, const tg_convolution_attrs *a, const tg_desc *x,
                                  const tg_desc *weight, const tg_desc *bias)
{
    tg_status status = check_attrs(b, a);
    if (!status)
        status = check_tensor(b, x, "the input", a->stride.n, x->dtype);
    if (!status)
        status = check_tensor(b, weight, "weight", a->stride.n, x->dtype);
    if (status)
        return status;
    if (x->dim[1] != weight->dim[0])
        return wrong(b, TG_ESHAPE, "the input has %lld channels, expected %lld as weight",
                     (long long)x->dim[1], (long long)weight->dim[0]);
    if (weight->dim[0] % a->groups || weight->dim[1] > INT64_MAX / a->groups)
        return wrong(b, TG_EINVAL, "groups is %lld, expected a divisor of weight's %lld channels",
                     (long long)a->groups, (long long)weight->dim[0]);
    return check_bias(b, bias, weight->dim[1] * a->groups, x->dtype);
}

static tg_status infer_convolution(const tg_infer *q)
{
    const blame b = {.q = q};
    tg_ints out;
    tg_status status = forward_dims(&b, q->attrs, q->in[0], q->in[1], q->in[2], &out);
    return status ? status : tg_infer_dims(q, q->in[0]->dtype, &out);
}

static tg_status infer_affine(const tg_infer *q)
{
    const blame b = {.q = q};
    const tg_convolution_affine_attrs *a = q->attrs;
    tg_ints out;
    tg_status status = forward_dims(&b, &a->windows, q->in[0], q->in[1], q->in[2], &out);
    for (int i = 3; i < 5 && !status; i++)
        status = check_channel(&b, i == 3 ? "scale" : "shift", q->in[i], out.v[1], q->in[0]->dtype);
    if (!status && (a->windows.size.n || a->relu < 0 || a->relu > 1))
        status = wrong(&b, TG_EINVAL, "size must have no entries, and relu be 0 or 1");
    return status ? status : tg_infer_dims(q, q->in[0]->dtype, &out);
}

static tg_status infer_backward_data(const tg_infer *q)
{
    const blame b = {.q = q};
    const tg_convolution_attrs *a = q->attrs;
    const tg_desc *gy = q->in[0], *weight = q->in[1];
    tg_status status = check_transposed(&b, a, gy, weight, q->in[2]);
    if (!status)
        status = check_size(&b, a);
    if (!status)
        status = check_windows(&b, a, gy, a->size.v, weight->dim + 2);
    if (status)
        return status;
    tg_ints out = {gy->ndim, {gy->dim[0], weight->dim[1] * a->groups}};
    for (int64_t k = 0; k < a->size.n; k++)
        out.v[2 + k] = a->size.v[k];
    return tg_infer_dims(q, gy->dtype, &out);
}

static tg_status infer_backward_weights(const tg_infer *q)
{
    const blame b = {.q = q};
    const tg_convolution_attrs *a = q->attrs;
    const tg_desc *gy = q->in[0], *x = q->in[1];
    tg_status status = check_attrs(&b, a);
    if (!status)
        status = check_size(&b, a);
    if (!status)
        status = check_tensor(&b, gy, "gy", a->stride.n, gy->dtype);
    if (!status)
        status = check_tensor(&b, x, "x", a->stride.n, gy->dtype);
    if (!status && (gy->dim[0] != x->dim[0] || gy->dim[1] % a->groups || x->dim[1] % a->groups))
        status = wrong(&b, TG_ESHAPE, "expected one batch, and channels in %lld groups", (long long)a->groups);
    if (!status)
        status = check_windows(&b, a, gy, x->dim + 2, a->size.v);
    if (status)
        return status;
    tg_ints out = {gy->ndim, {gy->dim[1], x->dim[1] / a->groups}};
    for (int64_t k = 0; k < a->size.n; k++)
        out.v[2 + k] = a->size.v[k];
    return tg_infer_dims(q, gy->dtype, &out);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_convolution, row_affine, row_backward_data, row_backward_weights;

/* The node's attributes with the spatial dims of `d` as size; none where it is NULL. */
static tg_convolution_attrs sized(const tg_node *node, const tg_desc *d)
{
    tg_convolution_attrs a = *(const tg_convolution_attrs *)tg_node_attrs(node);
    a.size = (tg_ints){0};
    for (int k = 0; d && k < d->ndim - 2; k++)
        a.size.v[a.size.n++] = d->dim[2 + k];
    return a;
}

static tg_tensor *convolve(tg_tape *tape, const tg_node *node, tg_tensor *x, tg_tensor *weight)
{
    const tg_convolution_attrs a = sized(node, NULL);
    return tg_row3(tape, &row_convolution, x, weight, NULL, &a);
}

/* Of x with dims `to`. */
static tg_tensor *back_to_data(tg_tape *tape, const tg_node *node, tg_tensor *gy, tg_tensor *weight,
                               const tg_desc *to)
{
    const tg_convolution_attrs a = sized(node, to);
    return tg_row3(tape, &row_backward_data, gy, weight, NULL, &a);
}

static tg_tensor *back_to_weights(tg_tape *tape, const tg_node *node, tg_tensor *gy, tg_tensor *x,
                                  const tg_desc *to)
{
    const tg_convolution_attrs a = sized(node, to);
    return tg_row2(tape, &row_backward_weights, gy, x, &a, NULL);
}

static tg_tensor *back_to_bias(tg_tape *tape, tg_tensor *gy)
{
    static const int64_t dims[] = {0, 2, 3, 4};
    return tg_sum_dims(tape, gy, dims, (size_t)tg_tensor_ndim(gy) - 1, false);
}

static tg_status back_through_windows(tg_tape *tape, const tg_node *node, tg_tensor *gy, tg_tensor *gx[])
{
    tg_desc x, weight;
    if (!tg_input_dims(tape, node, 0, &x) || !tg_input_dims(tape, node, 1, &weight))
        return tg_tape_status(tape);
    if (tg_node_needs(node, 0))
        gx[0] = back_to_data(tape, node, gy, tg_node_input(node, 1), &x);
    if (tg_node_needs(node, 1))
        gx[1] = back_to_weights(tape, node, gy, tg_node_input(node, 0), &weight);
    if (tg_node_needs(node, 2))
        gx[2] = back_to_bias(tape, gy);
    return tg_tape_status(tape);
}

TG_RULE(convolution)
{
    return back_through_windows(tape, node, gy[0], gx);
}

/* y = relu(z·scale + shift), z the convolution, which is computed again where it is needed. */
TG_RULE(affine)
{
    const tg_convolution_affine_attrs *a = tg_node_attrs(node);
    const tg_operator *relu_backward = tg_operator_find(tg_tape_runtime(tape), "relu_backward");
    tg_tensor *scale = tg_node_input(node, 3), *g = gy[0], *gz = g;
    if (a->relu && relu_backward)
        g = gz = tg_row2(tape, relu_backward, g, tg_node_output(node, 0), NULL, NULL);
    if (scale) {
        const int64_t dims[MOST + 1] = {tg_tensor_dim(scale, 0), 1, 1, 1};
        gz = tg_mul(tape, g, tg_reshape_dims(tape, scale, dims, (size_t)a->windows.stride.n + 1));
    }
    if (tg_node_needs(node, 3)) {
        const tg_convolution_attrs windows = sized(node, NULL);
        tg_tensor *z = tg_row3(tape, &row_convolution, tg_node_input(node, 0), tg_node_input(node, 1),
                               tg_node_input(node, 2), &windows);
        gx[3] = back_to_bias(tape, tg_mul(tape, g, z));
    }
    if (tg_node_needs(node, 4))
        gx[4] = back_to_bias(tape, g);
    return back_through_windows(tape, node, gz, gx);
}

TG_RULE(backward_data)
{
    tg_desc weight;
    if (!tg_input_dims(tape, node, 1, &weight))
        return tg_tape_status(tape);
    if (tg_node_needs(node, 0))
        gx[0] = convolve(tape, node, gy[0], tg_node_input(node, 1));
    if (tg_node_needs(node, 1))
        gx[1] = back_to_weights(tape, node, tg_node_input(node, 0), gy[0], &weight);
    if (tg_node_needs(node, 2))
        gx[2] = back_to_bias(tape, gy[0]);
    return tg_tape_status(tape);
}

TG_RULE(backward_weights)
{
    tg_desc x;
    if (!tg_input_dims(tape, node, 1, &x))
        return tg_tape_status(tape);
    if (tg_node_needs(node, 0))
        gx[0] = convolve(tape, node, tg_node_input(node, 1), gy[0]);
    if (tg_node_needs(node, 1))
        gx[1] = back_to_data(tape, node, tg_node_input(node, 0), gy[0], &x);
    return tg_tape_status(tape);
}

/* -- samples -------------------------------------------------------------------------------------------- */

#define LIST(...) {sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}}
#define NO_LIST {0}
#define WINDOWS(...) &(const tg_convolution_attrs){__VA_ARGS__}

TG_SAMPLES(
    samples_convolution,
    {.label = "one dim",
     .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 2, 6), DRAWN(-2, 2, 3, 2, 3), DRAWN(-2, 2, 3)),
     .attrs = WINDOWS(LIST(1), LIST(1), LIST(1), NO_LIST, 1)},
    {.label = "strided, dilated, asymmetric",
     .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 1, 6, 5), STRIDED(-2, 2, 2, 1, 3, 2), STRIDED(-2, 2, 2)),
     .attrs = WINDOWS(LIST(2, 1), LIST(1, 0), LIST(1, 3), NO_LIST, 1)},
    {.label = "grouped, no bias",
     .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 1, 4, 4, 3), DRAWN(-2, 2, 6, 2, 2, 1), ABSENT),
     .attrs = WINDOWS(LIST(1, 2), LIST(0, 1), LIST(2, 1), NO_LIST, 2)},
    {.label = "depthwise, three dims",
     .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 1, 2, 2, 3, 4), DRAWN(-2, 2, 2, 1, 2, 1, 3), DRAWN(-2, 2, 2)),
     .attrs = WINDOWS(LIST(1, 2, 1), LIST(1, 0, 1), LIST(1, 1, 1), NO_LIST, 2)},
    {.label = "no batch",
     .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 0, 2, 4), DRAWN(-2, 2, 3, 2, 3), DRAWN(-2, 2, 3)),
     .attrs = WINDOWS(LIST(1), LIST(0), LIST(1), NO_LIST, 1)})

#define AFFINE(relu_, ...) &(const tg_convolution_affine_attrs){{__VA_ARGS__}, relu_}
TG_SAMPLES(
    samples_affine,
    {.label = "with relu",
     .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 2, 4, 3), DRAWN(-1, 1, 16, 2, 2, 2), DRAWN(-1, 1, 16), DRAWN(-2, 2, 16),
                            DRAWN(-1, 1, 16)),
     .attrs = AFFINE(1, LIST(1, 2), LIST(1, 0), LIST(1, 1), NO_LIST, 1)},
    {.label = "grouped, no bias, no relu",
     .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 2, 5), DRAWN(-2, 2, 4, 1, 3), ABSENT, DRAWN(-2, 2, 4), ABSENT),
     .attrs = AFFINE(0, LIST(1), LIST(1), LIST(1), NO_LIST, 2)},
    {.label = "no scale, no relu",
     .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 1, 2, 4), DRAWN(-2, 2, 2, 2, 3), ABSENT, ABSENT, DRAWN(-2, 2, 2)),
     .attrs = AFFINE(0, LIST(1), LIST(0), LIST(1), NO_LIST, 1)})

#define LARGE(low_, high_, ...)                                                                              \
    {                                                                                                        \
        low_ : high_, constant first_order, DRAWN_DIMS(__VA_ARGS__)                                                 \
    }

TG_SAMPLES(
    samples_backward_data,
    {.label = "strided, with a rest",
     .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 3, 3), DRAWN(-2, 2, 3, 2, 2), DRAWN(-2, 2, 2)),
     .attrs = WINDOWS(LIST(3), LIST(1), LIST(2), LIST(9), 1)},
    {.label = "grouped, stride and dilation not coprime",
     .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 1, 2, 2, 3), STRIDED(-2, 2, 2, 1, 3, 2), ABSENT),
     .attrs = WINDOWS(LIST(4, 2), LIST(1, 1), LIST(2, 1), LIST(8, 5), 2)},
    {.label = "three dims",
     .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 1, 2, 2, 3, 2), DRAWN(-2, 2, 2, 1, 2, 1, 2), DRAWN(-2, 2, 1)),
     .attrs = WINDOWS(LIST(1, 1, 2), LIST(0, 1, 0), LIST(1, 1, 1), LIST(3, 1, 4), 1)},
    {.label = "no batch",
     .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 0, 2, 3), DRAWN(-2, 2, 2, 2, 2), DRAWN(-2, 2, 2)),
     .attrs = WINDOWS(LIST(1), LIST(0), LIST(1), LIST(4), 1)},
    {.label = "large enough for any backend",
     .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 1, 1, 20), LARGE(-2, 2, 1, 56, 500), ABSENT),
     .attrs = WINDOWS(LIST(1), LIST(249), LIST(1), LIST(21), 1)})

TG_SAMPLES(samples_backward_weights,
           {.label = "strided, with a rest",
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 3, 3), DRAWN(-2, 2, 2, 2, 9)),
            .attrs = WINDOWS(LIST(3), LIST(1), LIST(2), LIST(2), 1)},
           {.label = "grouped, dilated",
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 2, 2, 3), STRIDED(-2, 2, 2, 4, 8, 5)),
            .attrs = WINDOWS(LIST(4, 2), LIST(1, 1), LIST(2, 1), LIST(3, 2), 2)},
           {.label = "no batch",
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 0, 2, 3), DRAWN(-2, 2, 0, 2, 4)),
            .attrs = WINDOWS(LIST(1), LIST(0), LIST(1), LIST(2), 1)},
           {.label = "large enough for any backend",
            .in = TG_SAMPLE_INPUTS(LARGE(-2, 2, 1, 8, 260), DRAWN(-2, 2, 1, 1, 21)),
            .attrs = WINDOWS(LIST(1), LIST(244), LIST(1), LIST(250), 1)})

/* -- multiply-adds: each of the elements that stand for filters is a sum over one filter ------------------ */

static double over_filters(const tg_desc *elements, const tg_desc *weight)
{
    return weight->dim[0] ? (double)tg_desc_count(elements) * (double)(tg_desc_count(weight) / weight->dim[0]) : 0;
}

static double count_convolution(const tg_desc *const in[], const tg_desc *out)
{
    return over_filters(out, in[1]);
}

static double count_backward_data(const tg_desc *const in[], const tg_desc *out)
{
    (void)out;
    return over_filters(in[0], in[1]);
}

static double count_backward_weights(const tg_desc *const in[], const tg_desc *out)
{
    return over_filters(in[1], out);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define SPEC(field_, type_, doc_) TG_SPEC(tg_convolution_attrs, field_, TG_ATTR_##type_, doc_)
/* convolution_affine's, whose own comes first: the windows' have the same places in both structs. */
static const tg_attr_spec affine_specs[] = {
    {.name = "relu", .type = TG_ATTR_INT, .offset = offsetof(tg_convolution_affine_attrs, relu), .doc = "at the end"},
    SPEC(stride, INTS, "from window to window"),
    SPEC(padding, INTS, "zeros on each side of x"),
    SPEC(dilation, INTS, "from element to element of a window"),
    SPEC(size, INTS, "the result's spatial dims, in the gradients"),
    SPEC(groups, INT, "of channels that do not mix"),
    {0},
};

#define ROW(name_, doc_, n_in_, optional_, fn_)                                                              \
    {                                                                                                        \
        TG_ROW(name_, doc_), .flags = TG_OP_DENSE, .saves = TG_OP_IN(0) | TG_OP_IN(1), .n_in = n_in_,        \
                             .n_out = 1, .optional = optional_, TG_ATTRS(tg_convolution_attrs, affine_specs + 1), \
                             .infer = infer_##fn_, .vjp = fn_##_vjp, .samples = TG_PROOF(samples_##fn_),               \
                             .multiply_adds = count_##fn_                                                    \
    }
static const tg_operator row_convolution =
    ROW("convolution", "y[n,o,i] = Σ_c,k w[o,c,k]·x[n,c,i·stride − padding + k·dilation] + bias[o]", 3,
        TG_OP_IN(2), convolution);
static const tg_operator row_affine = {
    TG_ROW("convolution_affine", "convolution·scale[o] + shift[o], then relu where asked for"),
    TG_ATTRS(tg_convolution_affine_attrs, affine_specs),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_IN(2) | TG_OP_IN(3) | TG_OP_OUT(0),
    .n_in = 5,
    .n_out = 1,
    .optional = TG_OP_IN(2) | TG_OP_IN(3) | TG_OP_IN(4),
    .infer = infer_affine,
    .vjp = affine_vjp,
    .samples = TG_PROOF(samples_affine),
    .multiply_adds = count_convolution,
};
static const tg_operator row_backward_data =
    ROW("convolution_backward_data", "convolution transposed in x, + bias", 3, TG_OP_IN(2), backward_data);
static const tg_operator row_backward_weights =
    ROW("convolution_backward_weights", "convolution transposed in weight", 2, 0, backward_weights);

const tg_operator *const tg_ops_conv[] = {&row_convolution, &row_affine, &row_backward_data, &row_backward_weights, NULL};

/* -- functions ------------------------------------------------------------------------------------------ */

static tg_ints entries(size_t n, const int64_t *list, int64_t otherwise)
{
    tg_ints out = {(int64_t)n, {0}};
    for (size_t k = 0; k < n; k++)
        out.v[k] = list ? list[k] : otherwise;
    return out;
}

/* The arguments as the row takes them. */
typedef struct call {
    tg_tensor *x, *weight, *bias;
    tg_desc dx, dw, db;
    bool single; /* x has no batch */
    tg_convolution_attrs a;
} call;

static bool take(const blame *b, size_t n, call *c)
{
    const tg_desc *d = tg_argument(b->tape, c->x, b->what, "x");
    if (!d)
        return false;
    c->dx = *d;
    d = tg_argument(b->tape, c->weight, b->what, "weight");
    if (!d)
        return false;
    c->dw = *d;
    if (c->bias && !(d = tg_argument(b->tape, c->bias, b->what, "bias")))
        return false;
    c->db = *d;
    c->single = c->dx.ndim == (int)n + 1;
    if (c->single) {
        c->x = tg_unsqueeze(b->tape, c->x, 0);
        return c->x && !tg_tensor_desc(c->x, &c->dx);
    }
    return true;
}

static tg_tensor *apply(tg_tape *tape, const tg_operator *row, const call *c)
{
    tg_tensor *y = tg_row3(tape, row, c->x, c->weight, c->bias, &c->a);
    return c->single && y ? tg_squeeze(tape, y, 0) : y;
}

static tg_tensor *conv(const blame *b, size_t n, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,
                       const int64_t *stride, const int64_t *padding, const int64_t *dilation, int64_t groups,
                       const tg_conv_after *after)
{
    call c = {.x = x, .weight = weight, .bias = bias};
    tg_ints out;
    c.a = (tg_convolution_attrs){entries(n, stride, 1), entries(n, padding, 0), entries(n, dilation, 1), {0},
                                 groups};
    if (!take(b, n, &c) || forward_dims(b, &c.a, &c.dx, &c.dw, bias ? &c.db : NULL, &out))
        return NULL;
    if (!after)
        return apply(b->tape, &row_convolution, &c);
    tg_tensor *y = NULL, *const in[] = {c.x, weight, bias, after->scale, after->shift};
    if (tg_apply(b->tape, &row_affine, in, 5, &(tg_convolution_affine_attrs){c.a, after->relu}, NULL, &y))
        return NULL;
    return c.single ? tg_squeeze(b->tape, y, 0) : y;
}

tg_tensor *tg_conv_then(tg_tape *tape, const char *what, size_t n, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,
                        const int64_t *stride, const int64_t *padding, const int64_t *dilation, int64_t groups,
                        const tg_conv_after *after)
{
    return conv(&(blame){NULL, tape, what}, n, x, weight, bias, stride, padding, dilation, groups, after);
}

/* What is left of an output padding that the row's size cannot tell: of a stride or more, where the dilation allows
 * it. It is never reached, only the bias is there. */
static tg_tensor *pad_rest(tg_tape *tape, tg_tensor *y, const call *c, const int64_t *rest)
{
    for (int64_t k = 0; k < c->a.stride.n; k++)
        if (rest[k])
            y = tg_slice_back(tape, y,
                              &(tg_slice_backward_attrs){2 + k, 0, 1, c->a.size.v[k] + rest[k]});
    if (!y || !c->bias)
        return y;
    int64_t dims[MOST + 1] = {tg_tensor_dim(c->bias, 0), 1, 1, 1};
    return tg_add(tape, y, tg_reshape_dims(tape, c->bias, dims, (size_t)c->a.stride.n + 1));
}

static tg_tensor *conv_transpose(const blame *b, size_t n, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,
                                 const int64_t *stride, const int64_t *padding, const int64_t *output_padding,
                                 const int64_t *dilation, int64_t groups)
{
    call c = {.x = x, .weight = weight, .bias = bias};
    int64_t rest[MOST];
    bool any = false;
    c.a = (tg_convolution_attrs){entries(n, stride, 1), entries(n, padding, 0), entries(n, dilation, 1),
                                 entries(n, NULL, 0), groups};
    if (!take(b, n, &c) || check_transposed(b, &c.a, &c.dx, &c.dw, bias ? &c.db : NULL))
        return NULL;
    for (size_t k = 0; k < n; k++) {
        const int64_t s = c.a.stride.v[k], more = output_padding ? output_padding[k] : 0;
        const int64_t in = c.dx.dim[2 + k], kernel = c.dw.dim[2 + k];
        if (more < 0 || (more >= s && more >= c.a.dilation.v[k])) {
            wrong(b, TG_EINVAL, "output_padding is %lld in dim %zu, expected less than stride %lld or dilation %lld",
                  (long long)more, k, (long long)s, (long long)c.a.dilation.v[k]);
            return NULL;
        }
        rest[k] = more < s ? 0 : more - (s - 1);
        any = any || rest[k];
        if (in < 1 || kernel < 1 || in > INT32_MAX || kernel > INT32_MAX) {
            wrong(b, TG_ESHAPE, "input and kernel have size %lld and %lld in dim %zu, expected 1 or more",
                  (long long)in, (long long)kernel, k);
            return NULL;
        }
        c.a.size.v[k] = (in - 1) * s - 2 * c.a.padding.v[k] + c.a.dilation.v[k] * (kernel - 1) + 1 + more - rest[k];
        if (c.a.size.v[k] < 1) {
            wrong(b, TG_ESHAPE, "the output would have size %lld in dim %zu: the padding is too large",
                  (long long)(c.a.size.v[k] + rest[k]), k);
            return NULL;
        }
    }
    if (!any)
        return apply(b->tape, &row_backward_data, &c);
    tg_scope scope;
    tg_scope_enter(b->tape, &scope);
    tg_tensor *y = tg_row3(b->tape, &row_backward_data, c.x, weight, NULL, &c.a);
    y = pad_rest(b->tape, y, &c, rest);
    return tg_composed(b->tape, &scope, c.single && y ? tg_squeeze(b->tape, y, 0) : y, NULL);
}

#define FUNCTIONS(n_)                                                                                        \
    tg_tensor *tg_conv##n_##d(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,               \
                              const int64_t *stride, const int64_t *padding, const int64_t *dilation,        \
                              int64_t groups)                                                                \
    {                                                                                                        \
        return conv(&(blame){NULL, tape, "conv" #n_ "d"}, n_, x, weight, bias, stride, padding, dilation, groups, NULL); \
    }                                                                                                        \
    tg_tensor *tg_conv_transpose##n_##d(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,     \
                                        const int64_t *stride, const int64_t *padding,                       \
                                        const int64_t *output_padding, int64_t groups,                       \
                                        const int64_t *dilation)                                             \
    {                                                                                                        \
        return conv_transpose(&(blame){NULL, tape, "conv_transpose" #n_ "d"}, n_, x, weight, bias, stride,   \
                              padding, output_padding, dilation, groups);                                    \
    }
FUNCTIONS(1)
FUNCTIONS(2)
FUNCTIONS(3)
