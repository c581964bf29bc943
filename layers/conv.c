#include <math.h>
#include <string.h>

#include "layers/internal.h"

/* Conv1d … Conv3d and their transposes: one class each over the same options, lists with an entry for each dim. */
typedef struct conv_state {
    tg_tensor *weight, *bias;
    int ndim;
    int64_t stride[3], padding[3], dilation[3], more[3]; /* more: output_padding     */
    int64_t around[6];                                   /* what is padded first, as tg_pad takes it */
    bool padded;
} conv_state;

typedef tg_conv_options options;
enum { PAD_MODE_ZEROS };

/* `list` as an entry for each dim, none below `least`. */
static tg_status spread(const tg_module *m, const char *name, const tg_ints *list, int ndim, int64_t least,
                        int64_t *out)
{
    const char *what = tg_module_class(m)->name;
    if (list->n != 1 && list->n != ndim)
        return tg_fail(NULL, TG_EINVAL, "%s: %s has %lld entries, expected 1 or %d", what, name,
                       (long long)list->n, ndim);
    for (int d = 0; d < ndim; d++) {
        out[d] = list->v[list->n == 1 ? 0 : d];
        if (out[d] < least || out[d] > INT32_MAX)
            return tg_fail(NULL, TG_EINVAL, "%s: %s is %lld, expected %lld or more", what, name,
                           (long long)out[d], (long long)least);
    }
    return TG_OK;
}

/* What of the padding goes around x first, and what is left to the convolution. */
static tg_status choose_padding(tg_module *m, const options *o, conv_state *s, const int64_t *kernel)
{
    const bool same = o->padding.n == 1 && o->padding.v[0] == TG_PADDING_SAME;
    if (o->padding.n == 1 && o->padding.v[0] == TG_PADDING_VALID)
        return TG_OK;
    tg_status status = same ? TG_OK : spread(m, "padding", &o->padding, s->ndim, 0, s->padding);
    if (status)
        return status;
    bool even = true;
    for (int d = 0; d < s->ndim; d++) {
        const int64_t total = same ? s->dilation[d] * (kernel[d] - 1) : 2 * s->padding[d];
        int64_t *pair = s->around + 2 * (s->ndim - 1 - d);
        if (same && s->stride[d] != 1)
            return tg_fail(NULL, TG_EINVAL, "%s: padding \"same\" needs a stride of 1, got %lld",
                           tg_module_class(m)->name, (long long)s->stride[d]);
        pair[0] = s->padding[d] = total / 2;
        pair[1] = total - pair[0];
        even = even && pair[0] == pair[1];
    }
    s->padded = !even || o->padding_mode != PAD_MODE_ZEROS;
    for (int d = 0; s->padded && d < s->ndim; d++)
        s->padding[d] = 0;
    return TG_OK;
}

static tg_status check_channels(const tg_module *m, const options *o)
{
    const int64_t in = o->in_channels, out = o->out_channels, groups = o->groups;
    if (in >= 1 && out >= 1 && groups >= 1 && in % groups == 0 && out % groups == 0)
        return TG_OK;
    return tg_fail(NULL, TG_EINVAL,
                   "%s: in_channels %lld and out_channels %lld, expected positive multiples of groups, %lld",
                   tg_module_class(m)->name, (long long)in, (long long)out, (long long)groups);
}

static tg_status conv_init(tg_module *m, const options *o, int ndim, bool transposed)
{
    conv_state *s = m->self;
    const int64_t in = o->in_channels, out = o->out_channels;
    int64_t dims[5], *kernel = dims + 2, fan_in;
    s->ndim = ndim;
    tg_status status = check_channels(m, o);
    if (!status)
        status = spread(m, "kernel_size", &o->kernel_size, ndim, 1, kernel);
    if (!status)
        status = spread(m, "stride", &o->stride, ndim, 1, s->stride);
    if (!status)
        status = spread(m, "dilation", &o->dilation, ndim, 1, s->dilation);
    if (!status && transposed)
        status = spread(m, "output_padding", &o->output_padding, ndim, 0, s->more);
    for (int64_t d = 0; d < o->output_padding.n && d < TG_MAX_DIM && !status && !transposed; d++)
        if (o->output_padding.v[d])
            status = tg_fail(NULL, TG_EINVAL, "%s: output_padding is for transposed convolutions", m->cls->name);
    if (!status)
        status = transposed ? spread(m, "padding", &o->padding, ndim, 0, s->padding)
                            : choose_padding(m, o, s, kernel);
    if (status)
        return status;
    dims[0] = transposed ? in : out;
    dims[1] = (transposed ? out : in) / o->groups;
    status = tg_module_add_parameter(m, "weight", dims, (size_t)ndim + 2, &s->weight);
    if (!status && o->bias)
        status = tg_module_add_parameter(m, "bias", &out, 1, &s->bias);
    if (status)
        return status;
    status = tg_init_kaiming_uniform(s->weight, sqrt(5.0));
    fan_in = dims[1];
    for (int d = 0; d < ndim; d++)
        fan_in *= kernel[d];
    const double bound = 1.0 / sqrt((double)fan_in);
    return status || !s->bias ? status : tg_init_uniform(s->bias, -bound, bound);
}

tg_status tg_layer_output_size(const tg_module *m, tg_tape *tape, tg_tensor *given, int32_t ndim, int n, int64_t *out)
{
    const tg_desc *d = tg_layer_desc(given);
    const bool listed = d->dtype == TG_I64;
    const int64_t count = !listed ? d->ndim : d->ndim == 1 ? d->dim[0] : 0;
    int64_t all[TG_MAX_DIM];
    if (d->dtype == TG_BOOL || (count != n && count != ndim)) {
        char got[128];
        return tg_layer_fail(m, tape, TG_ESHAPE,
                             "output_size is %s, expected i64 [%d] or [%d], or f32 or f64 with so many dims",
                             tg_desc_format(d, got, sizeof got), n, (int)ndim);
    }
    memcpy(all, d->dim, sizeof all);
    const tg_status status = listed ? tg_tensor_read(given, all, (size_t)count * sizeof *all) : TG_OK;
    memcpy(out, all + count - n, (size_t)n * sizeof *out);
    return status ? tg_fail_again(tape, status) : TG_OK;
}

/* The output_padding that makes what x gives of this size. */
static tg_status choose_more(const tg_module *m, tg_tape *tape, const tg_desc *x, tg_tensor *size, int64_t more[3])
{
    const conv_state *s = m->self;
    const int64_t *in = x->dim + x->ndim - s->ndim, *kernel = tg_layer_desc(s->weight)->dim + 2;
    tg_status status = tg_layer_output_size(m, tape, size, x->ndim, s->ndim, more);
    for (int d = 0; d < s->ndim && !status && in[d] <= INT32_MAX; d++) {
        const int64_t wanted = more[d], step = s->stride[d],
                      least = (in[d] - 1) * step - 2 * s->padding[d] + s->dilation[d] * (kernel[d] - 1) + 1;
        more[d] = wanted - least;
        if (wanted < least || more[d] >= step)
            status = tg_layer_fail(m, tape, TG_EINVAL, "output_size is %lld in dim %d, expected %lld to %lld",
                                   (long long)wanted, d, (long long)least, (long long)(least + step - 1));
    }
    return status;
}

static tg_status forward_then(tg_module *m, tg_tape *tape, tg_tensor *const in[], tg_tensor *bias,
                              const tg_conv_after *after, tg_tensor *out[], bool transposed)
{
    static const char *const names[] = {"conv1d", "conv2d", "conv3d"};
    static const tg_pad_mode modes[] = {TG_PAD_CONSTANT, TG_PAD_REFLECT, TG_PAD_REPLICATE, TG_PAD_CIRCULAR};
    const options *o = m->attrs;
    const conv_state *s = m->self;
    const tg_desc *d = tg_layer_desc(in[0]);
    tg_tensor *x = in[0], *y = NULL;
    int64_t more[3];
    if ((d->ndim != s->ndim + 1 && d->ndim != s->ndim + 2) || d->dim[d->ndim - s->ndim - 1] != o->in_channels) {
        char got[128];
        return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected %d or %d dims and %lld channels",
                             tg_desc_format(d, got, sizeof got), s->ndim + 1, s->ndim + 2,
                             (long long)o->in_channels);
    }
    if (transposed && in[1] && choose_more(m, tape, d, in[1], more))
        return tape->status;
    if (s->padded)
        x = tg_pad(tape, x, s->around, 2 * (size_t)s->ndim, modes[o->padding_mode], 0);
    if (x && !transposed)
        y = tg_conv_then(tape, names[s->ndim - 1], (size_t)s->ndim, x, s->weight, bias, s->stride, s->padding,
                         s->dilation, o->groups, after);
    if (x && transposed)
        y = (s->ndim == 1   ? tg_conv_transpose1d
             : s->ndim == 2 ? tg_conv_transpose2d
                            : tg_conv_transpose3d)(tape, x, s->weight, bias, s->stride, s->padding,
                                                   in[1] ? more : s->more, o->groups, s->dilation);
    return tg_layer_result(tape, y, out);
}

static tg_status conv_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], tg_tensor *out[], bool transposed)
{
    return forward_then(m, tape, in, ((const conv_state *)m->self)->bias, NULL, out, transposed);
}

tg_status tg_conv_forward_then(tg_module *m, tg_tape *tape, tg_tensor *x, tg_tensor *bias, const tg_conv_after *after,
                               tg_tensor **y)
{
    return forward_then(m, tape, &x, bias, after, y, false);
}

#define INTS_ROW(field_, default_, choices_, doc_)                                                           \
    {                                                                                                        \
        #field_, TG_ATTR_INTS, 0, offsetof(options, field_), {.values = default_}, choices_, doc_                     \
    }
#define CHANNELS                                                                                             \
    TG_ATTR_ROW(options, in_channels, INT, TG_ATTR_REQUIRED, 0, NULL, "channels of the input"),              \
        TG_ATTR_ROW(options, out_channels, INT, TG_ATTR_REQUIRED, 0, NULL, "channels of the result"),        \
        TG_ATTR_ROW(options, kernel_size, INTS, TG_ATTR_REQUIRED, 0, NULL, "of a window"),                   \
        INTS_ROW(stride, "1", NULL, "from window to window"), INTS_ROW(dilation, "1", NULL, "inside a window"), \
        TG_ATTR_ROW(options, groups, INT, 0, 1, NULL, "of channels that do not mix"),                        \
        TG_ATTR_ROW(options, bias, BOOL, 0, 1, NULL, "adds a learned bias")
static const tg_attr_spec specs[] = {
    CHANNELS,
    INTS_ROW(padding, "0", TG_PADDING_WORDS, "on each side; or \"valid\", none, or \"same\", for the size to stay"),
    TG_ATTR_ROW(options, padding_mode, CHOICE, 0, 0, "zeros|reflect|replicate|circular", "what is padded with"),
    TG_ATTR_END,
};
static const tg_attr_spec transposed_specs[] = {
    CHANNELS,
    INTS_ROW(padding, "0", NULL, "dilation·(kernel_size − 1) − padding zeros go around the input"),
    INTS_ROW(output_padding, "0", NULL, "added to one side of the result"),
    TG_ATTR_ROW(options, padding_mode, CHOICE, 0, 0, "zeros", "zeros"),
    TG_ATTR_END,
};

static const char *const input_names[] = {"input", "output_size"};

#define LIST(...) {sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}}
#define OPTIONS(kernel_, stride_, padding_, dilation_, groups_, bias_, mode_, more_)                         \
    &(const options)                                                                                         \
    {                                                                                                        \
        .in_channels = 2, .out_channels = 4, .kernel_size = kernel_, .stride = stride_, .padding = padding_, \
        .dilation = dilation_, .groups = groups_, .bias = bias_, .padding_mode = mode_,                      \
        .output_padding = more_                                                                              \
    }
#define INPUT(...)                                                                                           \
    TG_SAMPLE_INPUTS({[__VA_ARGS__], -2 : 2})
/* 1/√(weight's second dim · kernel): a group's channels that go in, of a transposed one those that come out. */
#define WITHIN(BOUND) "weight uniform " BOUND ", bias uniform " BOUND
static const tg_sample samples1[] = {
    {.label = "no batch, same", .in = INPUT(2, 5),
     .attrs = OPTIONS(LIST(2), LIST(1), LIST(TG_PADDING_SAME), LIST(1), 1, true, 0, LIST(0)),
     .begins = WITHIN("sqrt(1/4)")},
    {.label = "reflected, no bias", .in = INPUT(2, 2, 4),
     .attrs = OPTIONS(LIST(3), LIST(1), LIST(2), LIST(1), 1, false, 1, LIST(0))},
};
static const tg_sample samples2[] = {
    {.label = "strided, grouped", .in = INPUT(2, 2, 4, 5),
     .attrs = OPTIONS(LIST(3, 2), LIST(2), LIST(1, 0), LIST(1), 2, true, 0, LIST(0)),
     .begins = WITHIN("sqrt(1/6)")},
};
static const tg_sample samples3[] = {
    {.label = "dilated", .in = INPUT(1, 2, 2, 3, 4),
     .attrs = OPTIONS(LIST(1, 2, 2), LIST(1), LIST(0), LIST(1, 2, 3), 1, true, 0, LIST(0)),
     .begins = WITHIN("sqrt(1/8)")},
};
static const tg_sample transposed1[] = {
    {.label = "no batch", .in = INPUT(2, 3),
     .attrs = OPTIONS(LIST(2), LIST(2), LIST(0), LIST(1), 1, true, 0, LIST(1)),
     .begins = WITHIN("sqrt(1/8)")},
    {.label = "no bias", .in = INPUT(1, 2, 2),
     .attrs = OPTIONS(LIST(2), LIST(1), LIST(0), LIST(1), 1, false, 0, LIST(0))},
};
static const tg_sample transposed2[] = {
    {.label = "strided, grouped, output_size",
     .in = TG_SAMPLE_INPUTS({[1, 2, 2, 3], -2 : 2}, {[4, 4], constant}),
     .attrs = OPTIONS(LIST(3, 2), LIST(2, 1), LIST(1, 0), LIST(1), 2, true, 0, LIST(0)),
     .begins = WITHIN("sqrt(1/12)")},
};
static const tg_sample transposed3[] = {
    {.label = "dilated", .in = INPUT(1, 2, 1, 2, 2),
     .attrs = OPTIONS(LIST(1, 2, 1), LIST(1), LIST(0), LIST(1, 2, 1), 1, true, 0, LIST(0)),
     .begins = WITHIN("sqrt(1/8)")},
};

#define CLASS(name_, class_, ndim_, transposed_, specs_, table_, doc_)                                       \
    static tg_status name_##_init(tg_module *m, const void *attrs)                                           \
    {                                                                                                        \
        return conv_init(m, attrs, ndim_, transposed_);                                                      \
    }                                                                                                        \
    static tg_status name_##_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,        \
                                     tg_tensor *out[])                                                       \
    {                                                                                                        \
        (void)n_in;                                                                                          \
        return conv_forward(m, tape, in, out, transposed_);                                                  \
    }                                                                                                        \
    TG_SAMPLES(name_##_samples, table_)                                                                      \
    static const tg_layer_class name_ = {                                                                    \
        .struct_size = sizeof(tg_layer_class),                                                               \
        .name = class_,                                                                                      \
        .attrs = specs_,                                                                                     \
        .attrs_size = sizeof(options),                                                                       \
        .state_size = sizeof(conv_state),                                                                    \
        .n_in = 1 + (transposed_),                                                                           \
        .n_out = 1,                                                                                          \
        .optional = TG_OP_IN(1),                                                                             \
        .in_names = input_names,                                                                             \
        .init = name_##_init,                                                                                \
        .forward = {name_##_forward, name_##_forward},                                                       \
        .samples = TG_PROOF(name_##_samples),                                                                          \
        .doc = doc_,                                                                                         \
    };                                                                                                       \
    tg_module *tg_nn_##name_##_with(tg_runtime *rt, const options *given)                                    \
    {                                                                                                        \
        options known = tg_conv_defaults(0, 0, 0);                                                           \
        return tg_options_read(class_, &known, sizeof known, given) ? NULL                                   \
                                                                    : tg_module_new(rt, &name_, &known);     \
    }                                                                                                        \
    tg_module *tg_nn_##name_(tg_runtime *rt, int64_t in_channels, int64_t out_channels, int64_t kernel_size) \
    {                                                                                                        \
        const options known = tg_conv_defaults(in_channels, out_channels, kernel_size);                      \
        return tg_module_new(rt, &name_, &known);                                                            \
    }

tg_conv_options tg_conv_defaults(int64_t in_channels, int64_t out_channels, int64_t kernel_size)
{
    return (options){.struct_size = sizeof(options),
                     .in_channels = in_channels,
                     .out_channels = out_channels,
                     .kernel_size = {1, {kernel_size}},
                     .stride = {1, {1}},
                     .padding = {1, {0}},
                     .dilation = {1, {1}},
                     .groups = 1,
                     .bias = true,
                     .output_padding = {1, {0}}};
}

CLASS(conv1d, "Conv1d", 1, false, specs, samples1, "windows over one dim times weights")
CLASS(conv2d, "Conv2d", 2, false, specs, samples2, "windows over two dims times weights")
CLASS(conv3d, "Conv3d", 3, false, specs, samples3, "windows over three dims times weights")
CLASS(conv_transpose1d, "ConvTranspose1d", 1, true, transposed_specs, transposed1, "Conv1d's gradient as a map")
CLASS(conv_transpose2d, "ConvTranspose2d", 2, true, transposed_specs, transposed2, "Conv2d's gradient as a map")
CLASS(conv_transpose3d, "ConvTranspose3d", 3, true, transposed_specs, transposed3, "Conv3d's gradient as a map")

const tg_layer_class *const tg_layers_conv[] = {&conv1d,           &conv2d,           &conv3d, &conv_transpose1d,
                                                &conv_transpose2d, &conv_transpose3d, NULL};

bool tg_conv_facts_of(const tg_module *m, tg_conv_facts *out)
{
    if (m->cls != &conv1d && m->cls != &conv2d && m->cls != &conv3d)
        return false;
    const conv_state *s = m->self;
    *out = (tg_conv_facts){s->ndim, ((const options *)m->attrs)->out_channels, s->weight, s->bias};
    return true;
}
