/* The padding layers: a table, and one forward for both modes. */
#include "layers/internal.h"

typedef struct padding_options {
    tg_ints padding; /* one entry for all ends, or two for each dim, the last dim first */
    double value;
} padding_options;

typedef struct pad_layer {
    tg_layer_class cls;
    int32_t n;
    tg_pad_mode mode;
} pad_layer;

#define PADDING                                                                                              \
    {                                                                                                        \
        "padding", TG_ATTR_INTS, TG_ATTR_REQUIRED, offsetof(padding_options, padding), {.values = NULL}, NULL,        \
            "elements more: one for all ends, or before and after the last dim, the one before, …" \
    }
static const tg_attr_spec constant_specs[] = {
    PADDING, TG_ATTR_ROW(padding_options, value, REAL, TG_ATTR_REQUIRED, 0, NULL, "what the padding is filled with"),
    TG_ATTR_END};
static const tg_attr_spec specs[] = {PADDING, TG_ATTR_END};

static tg_status padding_init(tg_module *m, const void *attrs)
{
    const padding_options *o = attrs;
    const int32_t n = ((const pad_layer *)(const void *)m->cls)->n;
    if (o->padding.n != 1 && o->padding.n != 2 * n)
        return tg_fail(NULL, TG_EINVAL, "%s: padding has %lld entries, expected 1 or %d", m->cls->name,
                       (long long)o->padding.n, 2 * n);
    return TG_OK;
}

/* With a constant, dims before those that are padded may be as many as there are, as in torch. */
static tg_status padding_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const pad_layer *row = (const pad_layer *)(const void *)m->cls;
    const padding_options *o = m->attrs;
    const tg_desc *x = tg_layer_desc(in[0]);
    const bool constant = row->mode == TG_PAD_CONSTANT;
    if (x->ndim < row->n + !constant || (!constant && x->ndim > row->n + 2)) {
        char got[128];
        return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected %d%s dims", tg_desc_format(x, got, sizeof got),
                             row->n + !constant, constant ? " or more" : " or one more");
    }
    int64_t ends[6];
    for (int i = 0; i < 2 * row->n; i++)
        ends[i] = o->padding.v[o->padding.n == 1 ? 0 : i];
    const double value = row->cls.attrs == constant_specs ? o->value : 0;
    return tg_layer_result(tape, tg_pad(tape, in[0], ends, 2 * (size_t)row->n, row->mode, value), out);
}

static const padding_options ends1 = {{2, {1, 2}}, 0.5}, ends2 = {{4, {1, 0, 2, 1}}, 0.5}, all = {{1, {1}}, 0.5};
#define SAMPLE(ATTRS, ...)                                                                                   \
    {                                                                                                        \
        .label = #ATTRS, .attrs = &ATTRS, .in = TG_SAMPLE_INPUTS({__VA_ARGS__, -2 : 2})                          \
    }
static const tg_sample lines[] = {SAMPLE(ends1, [2, 1, 4]), SAMPLE(all, [1, 3])};
static const tg_sample planes[] = {SAMPLE(ends2, [1, 3, 3])};
static const tg_sample blocks[] = {SAMPLE(all, [1, 1, 2, 3, 2])};
TG_SAMPLES(samples1, lines)
TG_SAMPLES(samples2, planes)
TG_SAMPLES(samples3, blocks)

static const char *const input_names[] = {"input"};
#define ROW(NAME, N, MODE, SPECS, DOC)                                                                       \
    {                                                                                                        \
        .cls = {.struct_size = sizeof(tg_layer_class),                                                       \
                .name = NAME #N "d",                                                                         \
                .attrs = SPECS,                                                                              \
                .attrs_size = sizeof(padding_options),                                                       \
                .n_in = 1,                                                                                   \
                .n_out = 1,                                                                                  \
                .in_names = input_names,                                                                     \
                .init = padding_init,                                                                        \
                .forward = {padding_forward, padding_forward},                                               \
                .samples = TG_PROOF(samples##N),                                                                       \
                .doc = DOC},                                                                                 \
        .n = N, .mode = MODE                                                                                 \
    }
#define ROWS(NAME, MODE, SPECS, DOC)                                                                         \
    {                                                                                                        \
        ROW(NAME, 1, MODE, SPECS, DOC), ROW(NAME, 2, MODE, SPECS, DOC), ROW(NAME, 3, MODE, SPECS, DOC)       \
    }
static const pad_layer constant_rows[] = ROWS("ConstantPad", TG_PAD_CONSTANT, constant_specs, "x between constants");
static const pad_layer zero_rows[] = ROWS("ZeroPad", TG_PAD_CONSTANT, specs, "x between zeros");
static const pad_layer reflection_rows[] =
    ROWS("ReflectionPad", TG_PAD_REFLECT, specs, "x and its mirror images, its last elements once");
static const pad_layer replication_rows[] =
    ROWS("ReplicationPad", TG_PAD_REPLICATE, specs, "x and its last elements again and again");
static const pad_layer circular_rows[] = ROWS("CircularPad", TG_PAD_CIRCULAR, specs, "x between its other ends");

#define THREE(NAME) &NAME[0].cls, &NAME[1].cls, &NAME[2].cls
const tg_layer_class *const tg_layers_padding[] = {THREE(constant_rows),    THREE(zero_rows),     THREE(reflection_rows),
                                                   THREE(replication_rows), THREE(circular_rows), NULL};

tg_module *tg_nn_pad(tg_runtime *rt, int n, tg_pad_mode mode, const int64_t *padding, double value)
{
    static const pad_layer *const rows[] = {constant_rows, reflection_rows, replication_rows, circular_rows};
    padding_options o = {.padding.n = 2 * n, .value = value};
    if (n < 1 || n > 3 || (unsigned)mode > TG_PAD_CIRCULAR || !padding) {
        tg_fail(NULL, TG_EINVAL, "tg_nn_pad: n is %d, mode %d, padding %s; expected 1 to 3, a tg_pad_mode and an array", n,
                (int)mode, padding ? "there" : "NULL");
        return NULL;
    }
    for (int i = 0; i < 2 * n; i++)
        o.padding.v[i] = padding[i];
    return tg_module_new(rt, &rows[mode][n - 1].cls, &o);
}
