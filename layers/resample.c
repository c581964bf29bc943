/* What resamples, and what moves elements between channels and places: a table. */
#include <math.h>

#include "layers/internal.h"

/* -- Upsample ----------------------------------------------------------------------------------------------- */

typedef struct upsample_options {
    tg_ints size;
    tg_reals scale_factor;
    int64_t mode;
    bool align_corners, recompute_scale_factor;
} upsample_options;

#define MODES "nearest|nearest-exact|linear|bilinear|bicubic|trilinear|area"
/* In that order: what runs, and for how many spatial dims (0: any). */
static const struct {
    tg_resample how;
    int32_t dims;
    const char *name;
} modes[] = {{TG_NEAREST, 0, "nearest"}, {TG_NEAREST_EXACT, 0, "nearest-exact"}, {TG_LINEAR, 1, "linear"},
             {TG_LINEAR, 2, "bilinear"}, {TG_CUBIC, 2, "bicubic"},               {TG_LINEAR, 3, "trilinear"},
             {TG_AREA, 0, "area"}};
enum { BILINEAR = 3, N_MODES = sizeof modes / sizeof *modes };

static const tg_layer_class upsample, bilinear2d;

static upsample_options options_of(const tg_module *m, const void *attrs)
{
    upsample_options o = *(const upsample_options *)attrs;
    if (m->cls != &upsample) {
        o.mode = m->cls == &bilinear2d ? BILINEAR : 0;
        o.align_corners = o.mode == BILINEAR;
        o.recompute_scale_factor = false;
    }
    return o;
}

static tg_status upsample_init(tg_module *m, const void *attrs)
{
    const upsample_options own = options_of(m, attrs), *o = &own;
    const char *name = m->cls->name;
    if ((o->size.n != 0) == (o->scale_factor.n != 0))
        return tg_fail(NULL, TG_EINVAL, "%s: expected either size or scale_factor", name);
    if (o->mode < 0 || o->mode >= N_MODES)
        return tg_fail(NULL, TG_EINVAL, "%s: mode is %lld, expected one of " MODES, name, (long long)o->mode);
    const int64_t n = o->size.n + o->scale_factor.n, dims = modes[o->mode].dims;
    if (n != 1 && (n > 3 || (dims && n != dims)))
        return tg_fail(NULL, TG_EINVAL, "%s: size or scale_factor has %lld entries, which mode %s does not take", name,
                       (long long)n, modes[o->mode].name);
    for (int64_t k = 0; k < o->size.n; k++)
        if (o->size.v[k] < 1)
            return tg_fail(NULL, TG_EINVAL, "%s: size is %lld, expected at least 1", name, (long long)o->size.v[k]);
    for (int64_t k = 0; k < o->scale_factor.n; k++)
        if (!(o->scale_factor.v[k] > 0) || isinf(o->scale_factor.v[k]))
            return tg_fail(NULL, TG_EINVAL, "%s: scale_factor is %g, expected a positive number", name,
                           o->scale_factor.v[k]);
    if (o->align_corners && !dims)
        return tg_fail(NULL, TG_EINVAL, "%s: align_corners is for the linear and cubic modes, not %s", name,
                       modes[o->mode].name);
    if (o->recompute_scale_factor && o->size.n)
        return tg_fail(NULL, TG_EINVAL, "%s: recompute_scale_factor has no meaning with a size", name);
    return TG_OK;
}

static tg_status upsample_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const upsample_options own = options_of(m, m->attrs), *o = &own;
    const tg_desc *x = tg_layer_desc(in[0]);
    const int32_t dims = modes[o->mode].dims, spatial = x->ndim - 2;
    const int64_t n = o->size.n + o->scale_factor.n;
    char got[128];
    if (spatial < 1 || spatial > 3 || (dims && spatial != dims) || (n != 1 && n != spatial))
        return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected [N, C, *] with %s%d dims * for mode %s",
                             tg_desc_format(x, got, sizeof got), dims || n != 1 ? "" : "1 to ",
                             dims ? dims : n != 1 ? (int)n : 3, modes[o->mode].name);
    tg_tensor *y = o->size.n ? tg_interpolate(tape, in[0], o->size.v, (size_t)o->size.n, modes[o->mode].how,
                                              o->align_corners, false)
                             : tg_interpolate_scale(tape, in[0], o->scale_factor.v, (size_t)o->scale_factor.n,
                                                    modes[o->mode].how, o->align_corners, false,
                                                    o->recompute_scale_factor);
    return tg_layer_result(tape, y, out);
}

/* -- Unfold and Fold ------------------------------------------------------------------------------------------ */

static const tg_layer_class fold;

typedef struct fold_options {
    tg_ints output_size, kernel_size, dilation, padding, stride;
} fold_options;

static tg_status fold_init(tg_module *m, const void *attrs)
{
    const fold_options *o = attrs;
    const struct {
        const tg_ints *list;
        const char *name;
        int64_t low;
    } lists[] = {{&o->kernel_size, "kernel_size", 1},
                 {&o->dilation, "dilation", 1},
                 {&o->padding, "padding", 0},
                 {&o->stride, "stride", 1},
                 {&o->output_size, "output_size", 1}};
    for (size_t l = 0; l < 4 + (m->cls == &fold); l++) {
        const tg_ints *list = lists[l].list;
        bool fine = list->n == 1 || list->n == 2;
        for (int64_t k = 0; fine && k < list->n; k++)
            fine = list->v[k] >= lists[l].low && list->v[k] <= INT32_MAX;
        if (!fine)
            return tg_fail(NULL, TG_EINVAL, "%s: %s has %lld entries, the first %lld; expected 1 or 2 of at least %lld",
                           m->cls->name, lists[l].name, (long long)list->n, (long long)list->v[0],
                           (long long)lists[l].low);
    }
    return TG_OK;
}

static tg_status fold_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const fold_options *o = m->attrs;
    const tg_ints *lists[] = {&o->output_size, &o->kernel_size, &o->dilation, &o->padding, &o->stride};
    int64_t v[5][2];
    for (int l = 0; l < 5; l++)
        for (int k = 0; k < 2; k++)
            v[l][k] = lists[l]->v[lists[l]->n == 1 ? 0 : k];
    return tg_layer_result(tape, m->cls == &fold ? tg_col2im(tape, in[0], v[0], v[1], v[2], v[3], v[4])
                                                  : tg_im2col(tape, in[0], v[1], v[2], v[3], v[4]),
                           out);
}

/* -- PixelShuffle, PixelUnshuffle, ChannelShuffle ------------------------------------------------------------- */

typedef struct shuffle_options {
    int64_t factor;
} shuffle_options;

typedef struct shuffle {
    tg_layer_class cls;
    tg_tensor *(*run)(tg_tape *, tg_tensor *, int64_t factor);
} shuffle;

static tg_status shuffle_init(tg_module *m, const void *attrs)
{
    const int64_t factor = ((const shuffle_options *)attrs)->factor;
    if (factor >= 1 && factor <= INT32_MAX)
        return TG_OK;
    return tg_fail(NULL, TG_EINVAL, "%s: %s is %lld, expected at least 1", m->cls->name, m->cls->attrs->name,
                   (long long)factor);
}

static tg_status shuffle_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const shuffle *row = (const shuffle *)(const void *)m->cls;
    return tg_layer_result(tape, row->run(tape, in[0], ((const shuffle_options *)m->attrs)->factor), out);
}

/* -- the tables ------------------------------------------------------------------------------------------------ */

#define LIST(S, FIELD, TYPE, FLAGS, VALUES, DOC)                                                             \
    {                                                                                                        \
#FIELD, TYPE, FLAGS, offsetof(S, FIELD), {.values = VALUES}, NULL, DOC                                        \
    }
#define SIZE LIST(upsample_options, size, TG_ATTR_INTS, TG_ATTR_OPTIONAL, NULL, "of the result: one for all dims, or each")
#define SCALE                                                                                                \
    LIST(upsample_options, scale_factor, TG_ATTR_REALS, TG_ATTR_OPTIONAL, NULL, "instead: times the input's size")
static const tg_attr_spec upsample_specs[] = {
    SIZE,
    SCALE,
    TG_ATTR_ROW(upsample_options, mode, CHOICE, 0, 0, MODES, "how"),
    TG_ATTR_ROW(upsample_options, align_corners, BOOL, TG_ATTR_OPTIONAL, 0, NULL,
                "linear and cubic modes: the corners' centres meet"),
    TG_ATTR_ROW(upsample_options, recompute_scale_factor, BOOL, TG_ATTR_OPTIONAL, 0, NULL,
                "the ratio of the sizes instead of scale_factor"),
    TG_ATTR_END};
static const tg_attr_spec plane_specs[] = {SIZE, SCALE, TG_ATTR_END};
static const tg_attr_spec fold_specs[] = {
    LIST(fold_options, output_size, TG_ATTR_INTS, TG_ATTR_REQUIRED, NULL, "of the result's planes"),
    LIST(fold_options, kernel_size, TG_ATTR_INTS, TG_ATTR_REQUIRED, NULL, "of the windows"),
    LIST(fold_options, dilation, TG_ATTR_INTS, 0, "1", "from element to element of a window"),
    LIST(fold_options, padding, TG_ATTR_INTS, 0, "0", "zeros on both sides; Fold: what is cut off"),
    LIST(fold_options, stride, TG_ATTR_INTS, 0, "1", "from window to window"),
    TG_ATTR_END};
#define FACTOR(NAME, DOC)                                                                                    \
    {                                                                                                        \
        {NAME, TG_ATTR_INT, TG_ATTR_REQUIRED, offsetof(shuffle_options, factor), {0}, NULL, DOC},        \
        TG_ATTR_END                                                                                          \
    }
static const tg_attr_spec up_specs[] = FACTOR("upscale_factor", "so many times as high and wide");
static const tg_attr_spec down_specs[] = FACTOR("downscale_factor", "so many times less high and wide");
static const tg_attr_spec group_specs[] = FACTOR("groups", "the channels stand in so many groups");

static const upsample_options to_five = {.size = {1, {5}}},
                              smooth = {.scale_factor = {2, {1.5, 2}}, .mode = BILINEAR, .recompute_scale_factor = true};
static const fold_options windows = {{2, {2, 3}}, {1, {2}}, {1, {1}}, {1, {0}}, {1, {1}}};
static const shuffle_options two = {2};
#define SAMPLE(ATTRS, ...)                                                                                   \
    {                                                                                                        \
        .label = #ATTRS, .attrs = &ATTRS, .in = TG_SAMPLE_INPUTS({__VA_ARGS__, -2 : 2})                          \
    }
static const tg_sample upsample_table[] = {SAMPLE(to_five, [1, 2, 3]),
                                           SAMPLE(smooth, [1, 1, 2, 3])};
static const tg_sample plane_table[] = {SAMPLE(smooth, [1, 1, 2, 3])};
static const tg_sample unfold_table[] = {SAMPLE(windows, [1, 2, 3, 2])};
static const tg_sample fold_table[] = {SAMPLE(windows, [1, 4, 2])};
static const tg_sample up_table[] = {SAMPLE(two, [4, 1, 2])};
static const tg_sample down_table[] = {SAMPLE(two, [1, 1, 2, 4])};
static const tg_sample group_table[] = {SAMPLE(two, [1, 4, 2])};
TG_SAMPLES(upsample_samples, upsample_table)
TG_SAMPLES(plane_samples, plane_table)
TG_SAMPLES(unfold_samples, unfold_table)
TG_SAMPLES(fold_samples, fold_table)
TG_SAMPLES(up_samples, up_table)
TG_SAMPLES(down_samples, down_table)
TG_SAMPLES(group_samples, group_table)

static const char *const input_names[] = {"input"};
#define CLASS(NAME, KIND, SPECS, SAMPLES, DOC)                                                               \
    {                                                                                                        \
        .struct_size = sizeof(tg_layer_class), .name = NAME, .attrs = SPECS,                                 \
        .attrs_size = sizeof(KIND##_options), .n_in = 1, .n_out = 1, .in_names = input_names,                \
        .init = KIND##_init, .forward = {KIND##_forward, KIND##_forward}, .samples = TG_PROOF(SAMPLES), .doc = DOC     \
    }
static const tg_layer_class upsample =
    CLASS("Upsample", upsample, upsample_specs, upsample_samples, "the input resampled to a size, or by a factor");
static const tg_layer_class nearest2d =
    CLASS("UpsamplingNearest2d", upsample, plane_specs, plane_samples, "Upsample with mode nearest");
static const tg_layer_class bilinear2d =
    CLASS("UpsamplingBilinear2d", upsample, plane_specs, plane_samples, "Upsample with mode bilinear and align_corners");
static const tg_layer_class unfold =
    CLASS("Unfold", fold, fold_specs + 1, unfold_samples, "the windows of the input as columns [N, C·kernel, L]");
static const tg_layer_class fold = CLASS("Fold", fold, fold_specs, fold_samples, "columns [N, C·kernel, L] summed into planes");
static const shuffle shuffles[] = {
    {CLASS("PixelShuffle", shuffle, up_specs, up_samples, "[*, C·r², H, W] as [*, C, H·r, W·r]"), tg_pixel_shuffle},
    {CLASS("PixelUnshuffle", shuffle, down_specs, down_samples, "[*, C, H·r, W·r] as [*, C·r², H, W]"), tg_pixel_unshuffle},
    {CLASS("ChannelShuffle", shuffle, group_specs, group_samples, "channel i of group g becomes channel i·groups + g"),
     tg_channel_shuffle}};

const tg_layer_class *const tg_layers_resample[] = {&upsample, &nearest2d, &bilinear2d, &unfold, &fold,
                                                    &shuffles[0].cls, &shuffles[1].cls, &shuffles[2].cls, NULL};

/* -- constructors ---------------------------------------------------------------------------------------------- */

tg_module *tg_nn_upsample(tg_runtime *rt, double scale_factor, const char *mode)
{
    tg_attr attrs[] = {{"scale_factor", TG_ATTR_REAL, {.f = scale_factor}}, {"mode", TG_ATTR_CHOICE, {.s = mode}}};
    upsample_options o;
    return tg_attrs_fill("Upsample", upsample_specs, &o, sizeof o, attrs, 2) ? NULL : tg_module_new(rt, &upsample, &o);
}

static tg_module *windowed(tg_runtime *rt, const tg_layer_class *cls, int64_t kernel_size, int64_t dilation, int64_t padding,
                           int64_t stride, const int64_t output_size[2])
{
    fold_options o = {{2, {output_size[0], output_size[1]}}, {1, {kernel_size}}, {1, {dilation}}, {1, {padding}}, {1, {stride}}};
    return tg_module_new(rt, cls, &o);
}

tg_module *tg_nn_unfold(tg_runtime *rt, int64_t kernel_size, int64_t dilation, int64_t padding, int64_t stride)
{
    return windowed(rt, &unfold, kernel_size, dilation, padding, stride, (const int64_t[]){1, 1});
}

tg_module *tg_nn_fold(tg_runtime *rt, const int64_t output_size[2], int64_t kernel_size, int64_t dilation, int64_t padding,
                      int64_t stride)
{
    return windowed(rt, &fold, kernel_size, dilation, padding, stride, output_size ? output_size : (const int64_t[]){0, 0});
}

tg_module *tg_nn_pixel_shuffle(tg_runtime *rt, int64_t upscale_factor)
{
    return tg_module_new(rt, &shuffles[0].cls, &(shuffle_options){upscale_factor});
}

tg_module *tg_nn_pixel_unshuffle(tg_runtime *rt, int64_t downscale_factor)
{
    return tg_module_new(rt, &shuffles[1].cls, &(shuffle_options){downscale_factor});
}

tg_module *tg_nn_channel_shuffle(tg_runtime *rt, int64_t groups)
{
    return tg_module_new(rt, &shuffles[2].cls, &(shuffle_options){groups});
}
