/* Choosing by a mask, and finding what is not 0. How many there are is read first: it is an attribute. */
#include "autograd/operators/indices.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_true_count(const tg_infer *q)
{
    tg_status status = tg_need_moved(q, 0, "x");
    return status ? status : tg_desc_make(q->out, TG_I64, NULL, 0);
}

/* The first `count` of x: no more than there are elements. */
static tg_status need_count(const tg_infer *q)
{
    const tg_count_attrs *a = q->attrs;
    tg_status status = tg_need_moved(q, 0, "x");
    if (!status && (a->count < 0 || a->count > tg_desc_count(q->in[0])))
        status = tg_infer_fail(q, TG_EINVAL, "count must be between 0 and %lld, got %lld",
                               (long long)tg_desc_count(q->in[0]), (long long)a->count);
    return status;
}

static tg_status infer_nonzero(const tg_infer *q)
{
    const tg_count_attrs *a = q->attrs;
    tg_status status = need_count(q);
    if (status)
        return status;
    status = tg_desc_make(q->out, TG_I64, (const int64_t[]){a->count, q->in[0]->ndim}, 2);
    return status ? tg_infer_fail(q, status, "the result is too large") : TG_OK;
}

static tg_status need_mask(const tg_infer *q)
{
    const tg_desc *x = q->in[0], *mask = q->in[1];
    tg_status status = need_count(q);
    if (status)
        return status;
    if (mask->dtype != TG_BOOL)
        return tg_infer_fail(q, TG_EDTYPE, "mask must be bool, not %s", tg_dtype_name(mask->dtype));
    if (!tg_desc_same_dims(x, mask))
        return tg_infer_fail(q, TG_ESHAPE, "mask must have x's dims");
    return TG_OK;
}

static tg_status infer_masked_select(const tg_infer *q)
{
    const tg_count_attrs *a = q->attrs;
    tg_status status = need_mask(q);
    return status ? status : tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, &a->count, 1);
}

static tg_status infer_masked_scatter(const tg_infer *q)
{
    const tg_count_attrs *a = q->attrs;
    const tg_desc *x = q->in[0], *source = q->in[2];
    tg_status status = need_mask(q);
    if (status)
        return status;
    if (source->dtype != x->dtype)
        return tg_infer_fail(q, TG_EDTYPE, "source must be of x's dtype, %s, not %s", tg_dtype_name(x->dtype),
                             tg_dtype_name(source->dtype));
    if (tg_desc_count(source) < a->count)
        return tg_infer_fail(q, TG_ESHAPE, "the mask is true %lld times, but source has %lld elements",
                             (long long)a->count, (long long)tg_desc_count(source));
    return tg_desc_make(q->out, (tg_dtype)x->dtype, x->dim, (size_t)x->ndim);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_masked_select, row_masked_scatter;

TG_RULE(masked_select)
{
    tg_desc x;
    if (tg_input_dims(tape, node, 0, &x))
        gx[0] = tg_row3(tape, &row_masked_scatter, tg_full(tape, (tg_dtype)x.dtype, x.dim, (size_t)x.ndim, 0),
                        tg_node_input(node, 1), gy[0], tg_node_attrs(node));
    return tg_tape_status(tape);
}

/* Where source has more than the mask takes, the rest gets zeros. */
TG_RULE(masked_scatter)
{
    const tg_count_attrs *a = tg_node_attrs(node);
    tg_tensor *mask = tg_node_input(node, 1);
    tg_desc source;
    if (!tg_input_dims(tape, node, 2, &source))
        return tg_tape_status(tape);
    if (tg_node_needs(node, 0)) {
        tg_tensor *zero = tg_constant_like(tape, gy[0], 0);
        gx[0] = tg_row3(tape, &row_masked_scatter, gy[0], mask, tg_expand_dims(tape, zero, &a->count, 1), a);
    }
    if (tg_node_needs(node, 2)) {
        tg_tensor *taken = tg_row2(tape, &row_masked_select, gy[0], mask, a, NULL);
        const int64_t all = tg_desc_count(&source);
        if (a->count < all)
            taken = tg_slice_back(tape, taken, &(tg_slice_backward_attrs){0, 0, 1, all});
        gx[2] = tg_reshape_dims(tape, taken, source.dim, (size_t)source.ndim);
    }
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define VALUES TG_RANGE(-2, 2)
#define STRIDED strided
#define MASK(...) boolean, constant __VA_ARGS__
static const tg_count_attrs five = {5};
TG_SAMPLES(anything, {.label = "bool", .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), MASK()})},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES, STRIDED})})
TG_SAMPLES(
    places, {.label = "bool", .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), MASK()}), .attrs = &five},
    {.label = "strided", .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES, STRIDED}), .attrs = &five})
TG_SAMPLES(choices,
           {.label = "matrix",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES}, {TG_DIM2(3, 4), MASK()}),
            .attrs = &five},
           {.label = "strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES, STRIDED},
                                   {TG_DIM2(3, 4), MASK(strided)}),
            .attrs = &five})
TG_SAMPLES(replacements,
           {.label = "matrix",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES}, {TG_DIM2(3, 4), MASK()}, {TG_DIM1(5), VALUES}),
            .attrs = &five},
           {.label = "strided, more than needed",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES, STRIDED}, {TG_DIM2(3, 4), MASK()},
                                   {TG_DIM2(2, 4), VALUES, STRIDED}),
            .attrs = &five})

static const tg_attr_spec count_specs[] = {
    {.name = "count",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_count_attrs, count),
     .doc = "the first so many"},
    {0},
};
static const tg_operator row_true_count = {
    TG_ROW("true_count", "how many elements are not 0"),
    .flags = TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 1,
    .infer = infer_true_count,
    .samples = TG_PROOF(anything),
};
static const tg_operator row_nonzero = {
    TG_ROW("nonzero", "where the elements that are not 0 are"),
    .flags = TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 1,
    TG_ATTRS(tg_count_attrs, count_specs),
    .infer = infer_nonzero,
    .samples = TG_PROOF(places),
};
static const tg_operator row_masked_select = {
    TG_ROW("masked_select", "x's elements where the mask is true"),
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_count_attrs, count_specs),
    .saves = TG_OP_IN(1),
    .infer = infer_masked_select,
    .vjp = masked_select_vjp,
    .samples = TG_PROOF(choices),
};
static const tg_operator row_masked_scatter = {
    TG_ROW("masked_scatter", "x with source's elements, in order, where the mask is true"),
    .n_in = 3,
    .n_out = 1,
    TG_ATTRS(tg_count_attrs, count_specs),
    .saves = TG_OP_IN(1),
    .infer = infer_masked_scatter,
    .vjp = masked_scatter_vjp,
    .samples = TG_PROOF(replacements),
};

/* -- the functions of ops.h ----------------------------------------------------------------------------- */

static bool read_count(tg_tape *tape, tg_tensor *x, tg_count_attrs *out)
{
    tg_tensor *found = tg_row1(tape, &row_true_count, x, NULL, NULL);
    if (!found)
        return false;
    tg_status status = tg_tensor_read(found, &out->count, sizeof out->count);
    tg_discard(found);
    if (status)
        tg_fail_again(tape, status);
    return !status;
}

/* Both with the dims that they broadcast to; the mask bool. */
static bool meet(tg_tape *tape, const char *what, tg_tensor **x, tg_tensor **mask)
{
    const tg_desc *a = tg_argument(tape, *x, what, "x"),
                  *b = a ? tg_argument(tape, *mask, what, "mask") : NULL;
    if (!b)
        return false;
    if (b->dtype != TG_BOOL) {
        tg_fail(tape, TG_EDTYPE, "%s: mask must be bool, not %s", what, tg_dtype_name(b->dtype));
        return false;
    }
    tg_desc to = a->ndim > b->ndim ? *a : *b;
    bool fits = true;
    for (int k = 1; k <= to.ndim && fits; k++) {
        const int64_t m = k > a->ndim ? 1 : a->dim[a->ndim - k], n = k > b->ndim ? 1 : b->dim[b->ndim - k];
        fits = m == n || m == 1 || n == 1;
        to.dim[to.ndim - k] = m == 1 ? n : m;
    }
    if (!fits) {
        char one[128], other[128];
        tg_fail(tape, TG_ESHAPE, "%s: x %s and mask %s do not broadcast", what,
                tg_desc_format(a, one, sizeof one), tg_desc_format(b, other, sizeof other));
        return false;
    }
    *x = tg_expand_as(tape, *x, &to);
    *mask = tg_expand_as(tape, *mask, &to);
    return *x && *mask;
}

tg_tensor *tg_masked_fill_tensor(tg_tape *tape, tg_tensor *x, tg_tensor *mask, tg_tensor *value)
{
    const tg_desc *v = tg_argument(tape, value, "masked_fill", "value");
    if (v && v->ndim) {
        tg_fail(tape, TG_ESHAPE, "masked_fill: value must be a scalar, not of %d dims", v->ndim);
        return NULL;
    }
    if (!v || !meet(tape, "masked_fill", &x, &mask))
        return NULL;
    return tg_where(tape, mask, tg_to(tape, value, tg_tensor_dtype(x)), x);
}

tg_tensor *tg_masked_fill(tg_tape *tape, tg_tensor *x, tg_tensor *mask, double value)
{
    TG_COMPOSES(tape, "masked_fill");
    if (!tg_argument(tape, x, "masked_fill", "x"))
        return NULL;
    return tg_masked_fill_tensor(tape, x, mask, tg_constant_like(tape, x, value));
}

tg_tensor *tg_masked_select(tg_tape *tape, tg_tensor *x, tg_tensor *mask)
{
    tg_count_attrs attrs;
    if (!meet(tape, "masked_select", &x, &mask) || !read_count(tape, mask, &attrs))
        return NULL;
    return tg_row2(tape, &row_masked_select, x, mask, &attrs, NULL);
}

tg_tensor *tg_masked_scatter(tg_tape *tape, tg_tensor *x, tg_tensor *mask, tg_tensor *source)
{
    TG_COMPOSES(tape, "masked_scatter");
    tg_count_attrs attrs;
    if (!meet(tape, "masked_scatter", &x, &mask) || !read_count(tape, mask, &attrs))
        return NULL;
    return tg_row3(tape, &row_masked_scatter, x, mask, source, &attrs);
}

tg_tensor *tg_nonzero(tg_tape *tape, tg_tensor *x)
{
    tg_count_attrs attrs;
    if (!tg_argument(tape, x, "nonzero", "x") || !read_count(tape, x, &attrs))
        return NULL;
    return tg_row1(tape, &row_nonzero, x, &attrs, NULL);
}

tg_status tg_nonzero_tuple(tg_tape *tape, tg_tensor *x, tg_tensor **out)
{
    if (!out)
        return tg_null(tape, "nonzero", "out");
    tg_tensor *found = tg_nonzero(tape, tg_as_vector(tape, x));
    const int64_t n = found ? tg_tensor_ndim(x) : 0;
    for (int64_t d = 0; d < (n ? n : found ? 1 : 0); d++)
        out[d] = tg_select(tape, found, 1, d);
    return tape ? tg_tape_status(tape) : TG_EINVAL;
}

const tg_operator *const tg_ops_mask[] = {
    &row_true_count, &row_nonzero, &row_masked_select, &row_masked_scatter, NULL,
};
