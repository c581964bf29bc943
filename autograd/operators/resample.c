/* Interpolation and sampling on grids. */
#include "autograd/operators/checks.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

static const char *const mode_names[] = {"nearest", "nearest_exact", "linear", "cubic", "area"};

static tg_status need_flag(const tg_infer *q, int64_t value, const char *name)
{
    if (value != 0 && value != 1)
        return tg_infer_fail(q, TG_EINVAL, "%s is %lld, expected 0 or 1", name, (long long)value);
    return TG_OK;
}

static tg_status need_mode(const tg_infer *q, const tg_resample_attrs *a)
{
    const bool smooth = a->mode == TG_LINEAR || a->mode == TG_CUBIC;
    if (a->mode < TG_NEAREST || a->mode > TG_AREA)
        return tg_infer_fail(q, TG_EINVAL, "mode is %lld, expected 0 (nearest) … 4 (area)",
                             (long long)a->mode);
    tg_status status = need_flag(q, a->align_corners, "align_corners");
    if (!status)
        status = need_flag(q, a->antialias, "antialias");
    if (!status && !smooth && (a->align_corners || a->antialias))
        return tg_infer_fail(q, TG_EINVAL, "%s goes with linear and cubic, not with %s",
                             a->align_corners ? "align_corners" : "antialias", mode_names[a->mode]);
    return status;
}

/* `from` is the size that the input has, `to` the output's. */
static tg_status infer_resized(const tg_infer *q, int64_t from, int64_t to)
{
    const tg_resample_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    tg_status status = check_float(q, 0, "x");
    if (!status)
        status = need_mode(q, a);
    if (status)
        return status;
    if (a->dim < 0 || a->dim >= x->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim is %lld, expected 0 … %d", (long long)a->dim, x->ndim - 1);
    if (a->from < 1 || a->to < 1)
        return tg_infer_fail(q, TG_EINVAL, "sizes must be positive, got from %lld to %lld",
                             (long long)a->from, (long long)a->to);
    if (x->dim[a->dim] != from)
        return tg_infer_fail(q, TG_ESHAPE, "dim %lld has size %lld, expected %lld", (long long)a->dim,
                             (long long)x->dim[a->dim], (long long)from);
    /* written so that NaN is refused */
    if (a->scale != 0 && !(a->scale > 0 && fabs((double)a->from / a->scale - (double)a->to) <= 1.001))
        return tg_infer_fail(q, TG_EINVAL, "scale is %g, which does not lead from %lld to %lld", a->scale,
                             (long long)a->from, (long long)a->to);
    tg_ints dims = {.n = x->ndim};
    memcpy(dims.v, x->dim, sizeof dims.v);
    dims.v[a->dim] = to;
    return tg_infer_dims(q, x->dtype, &dims);
}

static tg_status infer_resample(const tg_infer *q)
{
    const tg_resample_attrs *a = q->attrs;
    return infer_resized(q, a->from, a->to);
}

static tg_status infer_resample_backward(const tg_infer *q)
{
    const tg_resample_attrs *a = q->attrs;
    return infer_resized(q, a->to, a->from);
}

static tg_status need_grid_attrs(const tg_infer *q, const tg_grid_sample_attrs *a, int32_t spatial)
{
    if (a->mode != TG_NEAREST && a->mode != TG_LINEAR && a->mode != TG_CUBIC)
        return tg_infer_fail(q, TG_EINVAL, "mode is %lld, expected nearest (0), linear (2) or cubic (3)",
                             (long long)a->mode);
    if (a->mode == TG_CUBIC && spatial != 2)
        return tg_infer_fail(q, TG_EINVAL, "cubic takes 4 dims, got %d", spatial + 2);
    if (a->padding < TG_GRID_ZEROS || a->padding > TG_GRID_REFLECTION)
        return tg_infer_fail(q, TG_EINVAL, "padding is %lld, expected 0 (zeros) … 2 (reflection)",
                             (long long)a->padding);
    bool fits = a->order.n == spatial;
    for (int32_t d = 0; fits && d < spatial; d++)
        fits = a->order.v[d] >= 0;
    if (!fits)
        return tg_infer_fail(q, TG_EINVAL, "order must be %d counts, none negative", spatial);
    return need_flag(q, a->align_corners, "align_corners");
}

/* x is the input, or the gradient of the output: `backward`. */
static tg_status infer_grid(const tg_infer *q, bool backward)
{
    const tg_grid_sample_attrs *a = q->attrs;
    const tg_desc *x = q->in[0], *grid = q->in[1];
    const char *name = backward ? "gy" : "x";
    const int32_t spatial = x->ndim - 2;
    tg_ints dims = {.n = x->ndim, .v = {x->dim[0], x->dim[1]}};
    tg_status status = check_float(q, 0, name);
    if (!status)
        status = check_dtype(q, 1, "grid", 0);
    if (status)
        return status;
    if (spatial != 2 && spatial != 3)
        return tg_infer_fail(q, TG_ESHAPE, "%s has %d dims, expected 4 or 5", name, x->ndim);
    if (grid->ndim != x->ndim || grid->dim[0] != x->dim[0] || grid->dim[grid->ndim - 1] != spatial)
        return tg_infer_fail(q, TG_ESHAPE,
                             "grid must have %d dims, the first of size %lld and the last of size %d",
                             x->ndim, (long long)x->dim[0], spatial);
    status = need_grid_attrs(q, a, spatial);
    if (!status && a->size.n != (backward ? spatial : 0))
        status = tg_infer_fail(q, TG_EINVAL, "size has %lld entries, expected %d", (long long)a->size.n,
                               backward ? spatial : 0);
    for (int32_t d = 0; d < spatial && !status; d++) {
        const int64_t inside = backward ? a->size.v[d] : x->dim[2 + d];
        if (inside < 1)
            status = tg_infer_fail(q, TG_ESHAPE, "spatial dims must not be empty, dim %d has size %lld",
                                   2 + d, (long long)inside);
        else if (backward && x->dim[2 + d] != grid->dim[1 + d])
            status = tg_infer_fail(q, TG_ESHAPE, "gy's dim %d must be the grid's, %lld", 2 + d,
                                   (long long)grid->dim[1 + d]);
        dims.v[2 + d] = backward ? inside : grid->dim[1 + d];
    }
    return status ? status : tg_infer_dims(q, x->dtype, &dims);
}

static tg_status infer_grid_sample(const tg_infer *q)
{
    return infer_grid(q, false);
}

static tg_status infer_grid_sample_backward(const tg_infer *q)
{
    return infer_grid(q, true);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_resample, row_resample_backward, row_grid_sample, row_grid_sample_backward;

TG_RULE(resample)
{
    gx[0] = tg_row1(tape, &row_resample_backward, gy[0], tg_node_attrs(node), NULL);
    return tg_tape_status(tape);
}

TG_RULE(resample_backward)
{
    gx[0] = tg_row1(tape, &row_resample, gy[0], tg_node_attrs(node), NULL);
    return tg_tape_status(tape);
}

/* d/dgrid of Σ g·y, with y sampled from x: each coordinate's is Σ over the channels of g times y with the
 * weights differentiated once more along that coordinate. */
static tg_tensor *grid_slopes(tg_tape *tape, const tg_grid_sample_attrs *attrs, tg_tensor *g, tg_tensor *x,
                              tg_tensor *grid)
{
    const tg_grid_sample_attrs *a = attrs;
    tg_tensor *slope[3] = {NULL};
    tg_desc d;
    if (a->mode == TG_NEAREST)
        return tg_zeros_like(tape, grid);
    if (tg_tensor_desc(grid, &d))
        return NULL;
    const int64_t channels = 1;
    for (int64_t j = 0; j < a->order.n; j++) {
        tg_grid_sample_attrs once = *a;
        once.size = (tg_ints){0};
        once.order.v[j] += once.order.v[j] < 64; /* the weights are zeros long before */
        if (a->mode == TG_LINEAR && once.order.v[j] > 1) {
            slope[j] = tg_full(tape, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim - 1, 0);
        } else {
            tg_tensor *y = tg_row2(tape, &row_grid_sample, x, grid, &once, NULL);
            slope[j] = tg_sum_dims(tape, tg_mul(tape, g, y), &channels, 1, false);
        }
        slope[j] = tg_unsqueeze(tape, slope[j], -1);
    }
    return tg_cat_n(tape, slope, (size_t)a->order.n, -1);
}

TG_RULE(grid_sample)
{
    const tg_grid_sample_attrs *a = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0), *grid = tg_node_input(node, 1);
    tg_desc d;
    if (tg_node_needs(node, 0) && tg_input_dims(tape, node, 0, &d)) {
        tg_grid_sample_attrs back = *a;
        back.size.n = a->order.n;
        memcpy(back.size.v, d.dim + 2, (size_t)a->order.n * sizeof *d.dim);
        gx[0] = tg_row2(tape, &row_grid_sample_backward, gy[0], grid, &back, NULL);
    }
    if (tg_node_needs(node, 1))
        gx[1] = grid_slopes(tape, a, gy[0], x, grid);
    return tg_tape_status(tape);
}

TG_RULE(grid_sample_backward)
{
    const tg_grid_sample_attrs *a = tg_node_attrs(node);
    tg_tensor *g = tg_node_input(node, 0), *grid = tg_node_input(node, 1);
    tg_grid_sample_attrs forward = *a;
    forward.size = (tg_ints){0};
    if (tg_node_needs(node, 0))
        gx[0] = tg_row2(tape, &row_grid_sample, gy[0], grid, &forward, NULL);
    if (tg_node_needs(node, 1))
        gx[1] = grid_slopes(tape, a, g, gy[0], grid);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define RESIZE(...)                                                                                          \
    &(const tg_resample_attrs)                                                                               \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
TG_SAMPLES(resamples,
           {.label = "nearest, grows",
            .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 1, 3), TG_RANGE(-2, 2)}),
            .attrs = RESIZE(2, 3, 5, TG_NEAREST, 0, 0, 0)},
           {.label = "linear, aligned",
            .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 3, 2), TG_RANGE(-2, 2)}),
            .attrs = RESIZE(1, 3, 5, TG_LINEAR, 1, 0, 0)},
           {.label = "cubic, strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 2), TG_RANGE(-2, 2), strided}),
            .attrs = RESIZE(0, 4, 6, TG_CUBIC, 0, 0, 1 / 1.6)},
           {.label = "cubic, antialiased",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(2, 7), TG_RANGE(-2, 2)}),
            .attrs = RESIZE(1, 7, 3, TG_CUBIC, 0, 1, 0)},
           {.label = "area",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(2, 5), TG_RANGE(-2, 2)}),
            .attrs = RESIZE(1, 5, 3, TG_AREA, 0, 0, 0)})
TG_SAMPLES(resample_backwards,
           {.label = "exact",
            .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 1, 5), TG_RANGE(-2, 2)}),
            .attrs = RESIZE(2, 3, 5, TG_NEAREST_EXACT, 0, 0, 0)},
           {.label = "linear, antialiased",
            .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 3, 2), TG_RANGE(-2, 2)}),
            .attrs = RESIZE(1, 7, 3, TG_LINEAR, 0, 1, 0)},
           {.label = "cubic, strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(6, 2), TG_RANGE(-2, 2), strided}),
            .attrs = RESIZE(0, 4, 6, TG_CUBIC, 0, 0, 0)})

/* The grids stay between two elements of x, where the weights are smooth. */
#define GRID(...)                                                                                            \
    &(const tg_grid_sample_attrs)                                                                            \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define FLAT                                                                                                 \
    {                                                                                                        \
        2,                                                                                                   \
        {                                                                                                    \
            0, 0                                                                                             \
        }                                                                                                    \
    }
#define IMAGE(h, w)                                                                                          \
    {                                                                                                        \
        TG_DIM4(2, 2, h, w), TG_RANGE(-2, 2)                                                                 \
    }
#define PLACES(low, high)                                                                                    \
    {                                                                                                        \
        TG_DIM4(2, 1, 3, 2), TG_RANGE(low, high)                                                             \
    }
TG_SAMPLES(
    grid_samples,
    {.label = "linear",
     .in = TG_SAMPLE_INPUTS(IMAGE(2, 2), PLACES(-0.9, 0.9)),
     .attrs = GRID(TG_LINEAR, TG_GRID_ZEROS, 1, FLAT, {0, {0}})},
    {.label = "linear, half outside",
     .in = TG_SAMPLE_INPUTS(IMAGE(2, 2), PLACES(0.6, 1.4)),
     .attrs = GRID(TG_LINEAR, TG_GRID_ZEROS, 0, FLAT, {0, {0}})},
    {.label = "linear, reflected",
     .in = TG_SAMPLE_INPUTS(IMAGE(2, 2), PLACES(1.1, 1.4)),
     .attrs = GRID(TG_LINEAR, TG_GRID_REFLECTION, 1, FLAT, {0, {0}})},
    {.label = "cubic, border",
     .in = TG_SAMPLE_INPUTS(IMAGE(2, 2), PLACES(-0.9, 0.9)),
     .attrs = GRID(TG_CUBIC, TG_GRID_BORDER, 1, FLAT, {0, {0}})},
    {.label = "nearest, border",
     .in = TG_SAMPLE_INPUTS(IMAGE(2, 3), PLACES(0.9, 1.4)),
     .attrs = GRID(TG_NEAREST, TG_GRID_BORDER, 0, FLAT, {0, {0}})},
    {.label = "linear, three dims, a slope",
     .in = TG_SAMPLE_INPUTS({[1, 2, 2, 2, 2], TG_RANGE(-2, 2), strided},
                            {[1, 2, 1, 2, 3], TG_RANGE(-0.9, 0.9)}),
     .attrs = GRID(TG_LINEAR, TG_GRID_ZEROS, 1, {3, {0, 1, 0}}, {0, {0}})})
TG_SAMPLES(grid_backwards,
           {.label = "linear",
            .in = TG_SAMPLE_INPUTS(IMAGE(1, 3), PLACES(-0.9, 0.9)),
            .attrs = GRID(TG_LINEAR, TG_GRID_ZEROS, 1, FLAT, {2, {2, 2}})},
           {.label = "cubic, strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM4(2, 2, 1, 3), TG_RANGE(-2, 2), strided},
                                   PLACES(-0.9, 0.9)),
            .attrs = GRID(TG_CUBIC, TG_GRID_ZEROS, 1, FLAT, {2, {2, 2}})},
           {.label = "nearest",
            .in = TG_SAMPLE_INPUTS(IMAGE(1, 3), PLACES(0.1, 0.9)),
            .attrs = GRID(TG_NEAREST, TG_GRID_ZEROS, 1, FLAT, {2, {2, 2}})})

static const tg_attr_spec resample_specs[] = {
    TG_SPEC(tg_resample_attrs, dim, TG_ATTR_INT, "the dim that is resampled"),
    TG_SPEC(tg_resample_attrs, from, TG_ATTR_INT, "its size"),
    TG_SPEC(tg_resample_attrs, to, TG_ATTR_INT, "its new size"),
    TG_SPEC(tg_resample_attrs, mode, TG_ATTR_INT, "tg_resample"),
    TG_SPEC(tg_resample_attrs, align_corners, TG_ATTR_INT, "0 or 1"),
    TG_SPEC(tg_resample_attrs, antialias, TG_ATTR_INT, "0 or 1"),
    TG_SPEC(tg_resample_attrs, scale, TG_ATTR_REAL, "of positions, 0: the ratio of the sizes"),
    {0},
};
static const tg_attr_spec grid_specs[] = {
    TG_SPEC(tg_grid_sample_attrs, mode, TG_ATTR_INT, "tg_resample: nearest, linear or cubic"),
    TG_SPEC(tg_grid_sample_attrs, padding, TG_ATTR_INT, "tg_grid_padding"),
    TG_SPEC(tg_grid_sample_attrs, align_corners, TG_ATTR_INT, "0 or 1"),
    TG_SPEC(tg_grid_sample_attrs, order, TG_ATTR_INTS, "derivatives of the weights, by coordinate"),
    TG_SPEC(tg_grid_sample_attrs, size, TG_ATTR_INTS, "x's spatial dims, in the backward"),
    {0},
};
static const tg_operator row_resample = {
    TG_ROW("resample", "one dim of another size, a weighted sum of x's elements"),
    .flags = TG_OP_DENSE,
    .n_in = 1,
    .n_out = 1,
    TG_ATTRS(tg_resample_attrs, resample_specs),
    .infer = infer_resample,
    .vjp = resample_vjp,
    .samples = TG_PROOF(resamples),
};
static const tg_operator row_resample_backward = {
    TG_ROW("resample_backward", "resample transposed"),
    .flags = TG_OP_DENSE,
    .n_in = 1,
    .n_out = 1,
    TG_ATTRS(tg_resample_attrs, resample_specs),
    .infer = infer_resample_backward,
    .vjp = resample_backward_vjp,
    .samples = TG_PROOF(resample_backwards),
};
static const tg_operator row_grid_sample = {
    TG_ROW("grid_sample", "x between its elements, at the places of grid"),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_grid_sample_attrs, grid_specs),
    .infer = infer_grid_sample,
    .vjp = grid_sample_vjp,
    .samples = TG_PROOF(grid_samples),
};
static const tg_operator row_grid_sample_backward = {
    TG_ROW("grid_sample_backward", "grid_sample transposed, of the output's gradient"),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_grid_sample_attrs, grid_specs),
    .infer = infer_grid_sample_backward,
    .vjp = grid_sample_backward_vjp,
    .samples = TG_PROOF(grid_backwards),
};

/* -- the functions of ops_nn.h -------------------------------------------------------------------------- */

/* x's descriptor, of three to five dims, none of the spatial ones empty. */
static const tg_desc *interpolable(tg_tape *tape, tg_tensor *x, const char *what, const void *list, size_t n,
                                   tg_resample mode, bool antialias)
{
    const tg_desc *d = tg_argument(tape, x, what, "x");
    if (!d)
        return NULL;
    const int spatial = d->ndim - 2;
    const char *wrong = spatial < 1 || spatial > 3       ? "x must have 3 to 5 dims"
                        : !list                          ? "the list of sizes or scales is NULL"
                        : n != 1 && n != (size_t)spatial ? "sizes or scales: one, or one for each spatial dim"
                        : mode == TG_CUBIC && spatial != 2 ? "cubic goes with two spatial dims"
                        : antialias && spatial != 2        ? "antialias goes with two spatial dims"
                                                           : NULL;
    if (wrong) {
        tg_fail(tape, list ? TG_ESHAPE : TG_EINVAL, "%s: %s; x has %d dims, and the list %zu", what, wrong,
                d->ndim, n);
        return NULL;
    }
    return d;
}

static tg_tensor *resample_all(tg_tape *tape, tg_tensor *x, const char *what, const tg_desc *d,
                               const int64_t *size, const double *scale, tg_resample_attrs a)
{
    const int spatial = d->ndim - 2;
    int64_t from[3];
    for (int k = 0; k < spatial; k++) {
        from[k] = d->dim[2 + k];
        if (from[k] < 1 || size[k] < 1) {
            tg_fail(tape, TG_ESHAPE, "%s: sizes must be positive, got %lld, to become %lld, in dim %d", what,
                    (long long)from[k], (long long)size[k], 2 + k);
            return NULL;
        }
    }
    for (int k = spatial - 1; k >= 0; k--) {
        a.dim = 2 + k;
        a.from = from[k];
        a.to = size[k];
        a.scale = scale && !a.align_corners && a.mode != TG_AREA ? 1.0 / scale[k] : 0.0;
        /* cubic takes part of its neighbours even where the size stays, by a scale that is not 1 */
        const bool copies = a.mode == TG_LINEAR || a.antialias || a.scale == 0.0 || a.scale == 1.0;
        if (a.from != a.to || !copies)
            x = tg_row1(tape, &row_resample, x, &a, NULL);
    }
    return x;
}

static bool take_mode(tg_tape *tape, const char *what, tg_resample mode, bool align_corners, bool antialias)
{
    const bool smooth = mode == TG_LINEAR || mode == TG_CUBIC;
    if ((int)mode < TG_NEAREST || (int)mode > TG_AREA)
        tg_fail(tape, TG_EINVAL, "%s: mode is %d, expected 0 (nearest) … 4 (area)", what, (int)mode);
    else if (!smooth && (align_corners || antialias))
        tg_fail(tape, TG_EINVAL, "%s: %s goes with linear and cubic, not with %s", what,
                align_corners ? "align_corners" : "antialias", mode_names[mode]);
    else
        return true;
    return false;
}

tg_tensor *tg_interpolate(tg_tape *tape, tg_tensor *x, const int64_t *size, size_t n, tg_resample mode,
                          bool align_corners, bool antialias)
{
    TG_COMPOSES(tape, "interpolate");
    const tg_desc *d = interpolable(tape, x, "interpolate", size, n, mode, antialias);
    if (!d || !take_mode(tape, "interpolate", mode, align_corners, antialias))
        return NULL;
    const int64_t sizes[3] = {size[0], size[n > 1 ? 1 : 0], size[n > 2 ? 2 : 0]};
    return resample_all(
        tape, x, "interpolate", d, sizes, NULL,
        (tg_resample_attrs){.mode = mode, .align_corners = align_corners, .antialias = antialias});
}

tg_tensor *tg_interpolate_scale(tg_tape *tape, tg_tensor *x, const double *scale, size_t n, tg_resample mode,
                                bool align_corners, bool antialias, bool recompute)
{
    TG_COMPOSES(tape, "interpolate");
    const char *what = "interpolate_scale";
    const tg_desc *d = interpolable(tape, x, what, scale, n, mode, antialias);
    int64_t sizes[3] = {0};
    double scales[3] = {1, 1, 1};
    if (!d || !take_mode(tape, what, mode, align_corners, antialias))
        return NULL;
    for (int k = 0; k < d->ndim - 2; k++) {
        scales[k] = scale[n > 1 ? k : 0];
        const double size = floor((double)d->dim[2 + k] * scales[k]);
        if (!(scales[k] > 0 && size < 9e15)) { /* written so that NaN is refused */
            tg_fail(tape, TG_EINVAL, "%s: scale %d is %g, expected a positive number that leads to a size",
                    what, k, scales[k]);
            return NULL;
        }
        sizes[k] = (int64_t)size;
    }
    return resample_all(
        tape, x, what, d, sizes, recompute ? NULL : scales,
        (tg_resample_attrs){.mode = mode, .align_corners = align_corners, .antialias = antialias});
}

tg_tensor *tg_grid_sample(tg_tape *tape, tg_tensor *x, tg_tensor *grid, tg_resample mode,
                          tg_grid_padding padding, bool align_corners)
{
    const tg_desc *d = tg_argument(tape, x, "grid_sample", "x");
    if (!d)
        return NULL;
    tg_grid_sample_attrs a = {.mode = mode, .padding = padding, .align_corners = align_corners};
    a.order.n = d->ndim == 5 ? 3 : 2;
    return tg_row2(tape, &row_grid_sample, x, grid, &a, NULL);
}

const tg_operator *const tg_ops_resample[] = {
    &row_resample, &row_resample_backward, &row_grid_sample, &row_grid_sample_backward, NULL,
};
