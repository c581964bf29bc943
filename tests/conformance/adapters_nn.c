/* torch.nn.functional's operators, as calls of our public functions. */
#include <string.h>

#include "op_call.h"

static tg_resample resample_mode(op_call *c)
{
    static const struct {
        const char *name;
        tg_resample mode;
    } modes[] = {{"", TG_NEAREST},      {"nearest", TG_NEAREST}, {"nearest-exact", TG_NEAREST_EXACT},
                 {"linear", TG_LINEAR}, {"bilinear", TG_LINEAR}, {"trilinear", TG_LINEAR},
                 {"bicubic", TG_CUBIC}, {"area", TG_AREA}};
    const char *name = has(c, "mode") ? text(c, "mode") : "";
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(name, modes[i].name))
            return modes[i].mode;
    cannot(c, "mode '%s' has no counterpart here", name);
    return TG_NEAREST;
}

static void interpolated(op_call *c, tg_resample mode, bool align_corners)
{
    tg_tensor *x = tensor(c, "input");
    bool antialias = flag(c, "antialias", false), recompute = flag(c, "recompute_scale_factor", false);
    tg_reals scale = numbers(c, "scale_factor");
    tg_ints size = integers(c, "size");
    if (has(c, "scale_factor"))
        give(c, tg_interpolate_scale(c->tape, x, scale.v, (size_t)scale.n, mode, align_corners, antialias,
                                     recompute));
    else
        give(c, tg_interpolate(c->tape, x, size.v, (size_t)size.n, mode, align_corners, antialias));
}

static void a_interpolate(op_call *c)
{
    tg_resample mode = resample_mode(c);
    interpolated(c, mode, flag(c, "align_corners", false));
}

static void a_upsample_bilinear(op_call *c)
{
    interpolated(c, TG_LINEAR, true);
}

static void a_upsample_nearest(op_call *c)
{
    interpolated(c, TG_NEAREST, false);
}

static void a_grid_sample(op_call *c)
{
    const char *padding = has(c, "padding_mode") ? text(c, "padding_mode") : "zeros";
    tg_grid_padding p = !strcmp(padding, "border")       ? TG_GRID_BORDER
                        : !strcmp(padding, "reflection") ? TG_GRID_REFLECTION
                                                         : TG_GRID_ZEROS;
    tg_resample mode = has(c, "mode") ? resample_mode(c) : TG_LINEAR;
    give(c, tg_grid_sample(c->tape, tensor(c, "input"), tensor(c, "grid"), mode, p,
                           flag(c, "align_corners", false)));
}

/* A list of n entries, one for all allowed; NULL where there is none. */
static const int64_t *each(op_call *c, const char *name, size_t n, tg_ints *list)
{
    *list = integers(c, name);
    for (size_t k = 1; list->n == 1 && k < n; k++)
        list->v[k] = list->v[0];
    return list->n ? list->v : NULL;
}

static void a_max_unpool2d(op_call *c)
{
    tg_ints kernel, stride, padding, size = integers(c, "output_size");
    each(c, "kernel_size", 2, &kernel);
    const int64_t *steps = each(c, "stride", 2, &stride), *pads = each(c, "padding", 2, &padding);
    give(c, tg_max_unpool(c->tape, tensor(c, "input"), tensor(c, "indices"), 2, kernel.v, steps, pads,
                          size.n >= 2 ? size.v + size.n - 2 : NULL));
}

static void a_pixel_shuffle(op_call *c)
{
    give(c, tg_pixel_shuffle(c->tape, tensor(c, "input"), integer(c, "upscale_factor", 1)));
}

static void a_pixel_unshuffle(op_call *c)
{
    give(c, tg_pixel_unshuffle(c->tape, tensor(c, "input"), integer(c, "downscale_factor", 1)));
}

static void a_unfold(op_call *c)
{
    tg_ints kernel, dilation, padding, stride;
    each(c, "kernel_size", 2, &kernel);
    const int64_t *apart = each(c, "dilation", 2, &dilation), *pads = each(c, "padding", 2, &padding);
    give(c, tg_im2col(c->tape, tensor(c, "input"), kernel.v, apart, pads, each(c, "stride", 2, &stride)));
}

static void a_fold(op_call *c)
{
    tg_ints size, kernel, dilation, padding, stride;
    each(c, "output_size", 2, &size);
    each(c, "kernel_size", 2, &kernel);
    const int64_t *apart = each(c, "dilation", 2, &dilation), *pads = each(c, "padding", 2, &padding);
    give(c, tg_col2im(c->tape, tensor(c, "input"), size.v, kernel.v, apart, pads,
                      each(c, "stride", 2, &stride)));
}

static tg_reduction reduction_of(op_call *c)
{
    const char *how = has(c, "reduction") ? text(c, "reduction") : "mean";
    return !strcmp(how, "none") ? TG_REDUCE_NONE : !strcmp(how, "sum") ? TG_REDUCE_SUM : TG_REDUCE_MEAN;
}

static void a_binary_cross_entropy(op_call *c)
{
    give(c, tg_binary_cross_entropy(c->tape, tensor(c, "input"), tensor(c, "target"),
                                    has(c, "weight") ? tensor(c, "weight") : NULL, reduction_of(c)));
}

static void a_triplet_margin_loss(op_call *c)
{
    give(c, tg_triplet_margin_loss(c->tape, tensor(c, "anchor"), tensor(c, "positive"), tensor(c, "negative"),
                                   number(c, "margin", 1), number(c, "p", 2), number(c, "eps", 1e-6),
                                   flag(c, "swap", false), reduction_of(c)));
}

static void a_pad(op_call *c)
{
    static const char *const names[] = {"constant", "reflect", "replicate", "circular"};
    const tg_ints pad = integers(c, "pad");
    const char *name = has(c, "mode") ? text(c, "mode") : "constant";
    int mode = 0;
    while (mode < 4 && strcmp(name, names[mode]))
        mode++;
    if (mode == 4)
        cannot(c, "mode '%s' has no counterpart here", name);
    give(c, tg_pad(c->tape, tensor(c, "input"), pad.v, (size_t)pad.n, (tg_pad_mode)mode, number(c, "value", 0)));
}

const adapter adapters_nn[] = {
    {"nn.functional.pad", a_pad},
    {"nn.functional.binary_cross_entropy", a_binary_cross_entropy},
    {"nn.functional.triplet_margin_loss", a_triplet_margin_loss},
    {"nn.functional.grid_sample", a_grid_sample},
    {"nn.functional.interpolate", a_interpolate},
    {"nn.functional.upsample_bilinear", a_upsample_bilinear},
    {"nn.functional.upsample_nearest", a_upsample_nearest},
    {"nn.functional.max_unpool2d", a_max_unpool2d},
    {"nn.functional.pixel_shuffle", a_pixel_shuffle},
    {"nn.functional.pixel_unshuffle", a_pixel_unshuffle},
    {"nn.functional.unfold", a_unfold},
    {"nn.functional.fold", a_fold},
    {NULL, NULL},
};
