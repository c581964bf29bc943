/* Padding: with a constant by a row of its own, with x's elements by joining pieces of x. */
#include "autograd/operators/checks.h"
#include "autograd/operators/reduced.h"

static tg_status infer_pad(const tg_infer *q)
{
    const tg_pad_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    tg_ints dims = {x->ndim, {0}};
    if (a->before.n != x->ndim || a->after.n != x->ndim)
        return tg_infer_fail(q, TG_EINVAL, "before and after must have an entry for each dim");
    for (int d = 0; d < x->ndim; d++)
        if (__builtin_add_overflow(x->dim[d], a->before.v[d], &dims.v[d]) ||
            __builtin_add_overflow(dims.v[d], a->after.v[d], &dims.v[d]) || dims.v[d] < 0)
            return tg_infer_fail(q, TG_ESHAPE, "dim %d has size %lld, which the padding %lld, %lld does not fit", d,
                                 (long long)x->dim[d], (long long)a->before.v[d], (long long)a->after.v[d]);
    return tg_infer_dims(q, x->dtype, &dims);
}

static const tg_operator row_pad;

TG_RULE(pad)
{
    tg_pad_attrs a = *(const tg_pad_attrs *)tg_node_attrs(node);
    for (int64_t d = 0; d < a.before.n; d++) {
        a.before.v[d] = -a.before.v[d];
        a.after.v[d] = -a.after.v[d];
    }
    gx[0] = tg_row1(tape, &row_pad, gy[0], &a, (double[]){0});
    return tg_tape_status(tape);
}

#define PADS(...) &(const tg_pad_attrs){__VA_ARGS__}
TG_SAMPLES(samples_pad,
           {.label = "larger",
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 3)),
            .attrs = PADS({2, {1, 0}}, {2, {2, 1}}),
            .scalars = (const double[]){0.5}},
           {.label = "larger and smaller, strided",
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 3, 4)),
            .attrs = PADS({3, {0, -1, 2}}, {3, {1, 0, -3}}),
            .scalars = (const double[]){-1}},
           {.label = "nothing left",
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 2)),
            .attrs = PADS({2, {-4, 0}}, {2, {3, 0}}),
            .scalars = (const double[]){2}})

static const tg_attr_spec specs[] = {
    {.name = "before", .type = TG_ATTR_INTS, .offset = offsetof(tg_pad_attrs, before), .doc = "of each dim; negative: cut off"},
    {.name = "after", .type = TG_ATTR_INTS, .offset = offsetof(tg_pad_attrs, after), .doc = "likewise"},
    {0},
};
static const tg_operator row_pad = {
    TG_ROW("constant_pad_nd", "x between constants, or without its ends"),
    .n_in = 1,
    .n_out = 1,
    .n_scalars = 1,
    TG_ATTRS(tg_pad_attrs, specs),
    .infer = infer_pad,
    .vjp = pad_vjp,
    .samples = TG_PROOF(samples_pad),
};
const tg_operator *const tg_ops_pad[] = {&row_pad, NULL};

/* -- functions ------------------------------------------------------------------------------------------ */

/* `n` elements before or after x along dim. */
static tg_tensor *edge(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t n, tg_pad_mode mode, bool before)
{
    tg_desc d;
    if (!x || tg_tensor_desc(x, &d))
        return NULL;
    const int64_t size = d.dim[dim];
    if (mode == TG_PAD_CIRCULAR)
        return tg_narrow(tape, x, dim, before ? size - n : 0, n);
    if (mode == TG_PAD_REFLECT)
        return tg_flip_dims(tape, tg_narrow(tape, x, dim, before ? 1 : size - 1 - n, n), &dim, 1);
    d.dim[dim] = n;
    return tg_expand_dims(tape, tg_narrow(tape, x, dim, before ? 0 : size - 1, 1), d.dim, (size_t)d.ndim);
}

/* Along one dim. */
static tg_tensor *pad_dim(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t before, int64_t after, tg_pad_mode mode)
{
    const int64_t size = tg_tensor_dim(x, (int)dim), from = before < 0 ? -before : 0;
    const int64_t length = size - from - (after < 0 ? -after : 0);
    const int64_t more = before > after ? before : after;
    const int64_t most = mode == TG_PAD_REFLECT ? size - 1 : mode == TG_PAD_CIRCULAR ? length : INT64_MAX / 4;
    if (size < 1 || length < 0 || more > most || before < -size || after < -size) {
        tg_fail(tape, TG_ESHAPE, "pad: dim %lld has size %lld, which the padding %lld, %lld does not fit",
                (long long)dim, (long long)size, (long long)before, (long long)after);
        return NULL;
    }
    tg_tensor *pieces[3], *middle = before < 0 || after < 0 ? tg_narrow(tape, x, dim, from, length) : x;
    size_t n = 0;
    if (mode == TG_PAD_CIRCULAR)
        x = middle;
    if (before > 0)
        pieces[n++] = edge(tape, x, dim, before, mode, true);
    pieces[n++] = middle;
    if (after > 0)
        pieces[n++] = edge(tape, x, dim, after, mode, false);
    for (size_t i = 0; i < n; i++)
        if (!pieces[i])
            return NULL;
    return n == 1 ? middle : tg_cat_n(tape, pieces, n, dim);
}

tg_tensor *tg_pad(tg_tape *tape, tg_tensor *x, const int64_t *pad, size_t n, tg_pad_mode mode, double value)
{
    const tg_desc *d = tg_argument(tape, x, "pad", "x");
    if (!d)
        return NULL;
    const int ndim = d->ndim;
    const bool bad = !pad || n % 2 || n / 2 > (size_t)ndim;
    if (bad || mode < TG_PAD_CONSTANT || mode > TG_PAD_CIRCULAR) {
        tg_fail(tape, TG_EINVAL, "pad: %s; got %zu entries for %d dims and mode %d",
                bad ? "expected two entries for each padded dim" : "expected a tg_pad_mode", n, ndim, (int)mode);
        return NULL;
    }
    tg_pad_attrs a = {{ndim, {0}}, {ndim, {0}}};
    for (size_t i = 0; i < n / 2; i++) {
        a.before.v[ndim - 1 - (int)i] = pad[2 * i];
        a.after.v[ndim - 1 - (int)i] = pad[2 * i + 1];
        if (pad[2 * i] > INT64_MAX / 8 || pad[2 * i + 1] > INT64_MAX / 8 || pad[2 * i] < -INT64_MAX / 8 ||
            pad[2 * i + 1] < -INT64_MAX / 8) {
            tg_fail(tape, TG_EINVAL, "pad: entry %zu is out of range", 2 * i);
            return NULL;
        }
    }
    if (mode == TG_PAD_CONSTANT)
        return tg_row1(tape, &row_pad, x, &a, &value);
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    for (int dim = ndim - 1; x && dim >= ndim - (int)(n / 2); dim--)
        x = pad_dim(tape, x, dim, a.before.v[dim], a.after.v[dim], mode);
    return tg_composed(tape, &scope, x, NULL);
}
