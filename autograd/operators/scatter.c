/* Writing by index: along one dim, in the index's order. */
#include "autograd/operators/indices.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_scatter(const tg_infer *q)
{
    const tg_index_attrs *attrs = q->attrs; /* dim is the first of each struct here */
    const tg_desc *x = q->in[0], *index = q->in[1], *src = q->in[2];
    tg_status status = tg_need_index(q, attrs->dim);
    if (status == TG_OK)
        status = tg_need_alike(q, attrs->dim);
    if (status)
        return status;
    if (src->dtype != x->dtype)
        return tg_infer_fail(q, TG_EDTYPE, "src must be of x's dtype, %s, not %s", tg_dtype_name(x->dtype),
                             tg_dtype_name(src->dtype));
    if (!tg_desc_same_dims(src, index))
        return tg_infer_fail(q, TG_ESHAPE, "src must have an element for each index");
    return tg_desc_make(q->out, (tg_dtype)x->dtype, x->dim, (size_t)x->ndim);
}

static tg_status infer_scatter_reduce(const tg_infer *q)
{
    const tg_scatter_reduce_attrs *a = q->attrs;
    if (a->reduce < TG_SCATTER_SUM || a->reduce > TG_SCATTER_AMIN)
        return tg_infer_fail(q, TG_EINVAL, "reduce must be between 0 and %d, got %lld", TG_SCATTER_AMIN,
                             (long long)a->reduce);
    return infer_scatter(q);
}

static tg_status check_scatter(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in;
    return tg_check_rows(tape, "scatter", in, ((const tg_index_attrs *)attrs)->dim);
}

static tg_status check_scatter_add(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in;
    return tg_check_rows(tape, "scatter_add", in, ((const tg_index_attrs *)attrs)->dim);
}

static tg_status check_scatter_reduce(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in;
    return tg_check_rows(tape, "scatter_reduce", in, ((const tg_scatter_reduce_attrs *)attrs)->dim);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_scatter_reduce;

TG_RULE(scatter)
{
    const tg_index_attrs *a = tg_node_attrs(node);
    tg_tensor *index = tg_node_input(node, 1);
    if (tg_node_needs(node, 0))
        gx[0] = tg_scatter_value(tape, gy[0], a->dim, index, 0);
    if (tg_node_needs(node, 2))
        gx[2] = tg_gather(tape, gy[0], a->dim, index);
    return tg_tape_status(tape);
}

TG_RULE(scatter_add)
{
    const tg_index_attrs *a = tg_node_attrs(node);
    gx[0] = gy[0];
    if (tg_node_needs(node, 2))
        gx[2] = tg_gather(tape, gy[0], a->dim, tg_node_input(node, 1));
    return tg_tape_status(tape);
}

/* What a rule of scatter_reduce works with. */
typedef struct reduction {
    tg_tape *tape;
    const tg_node *node;
    const tg_scatter_reduce_attrs *a;
    tg_tensor *x, *index, *src, *y, *gy, *one, *zero;
} reduction;

static tg_tensor *reduced(const reduction *r, tg_tensor *x, tg_tensor *src)
{
    return tg_row3(r->tape, &row_scatter_reduce, x, r->index, src, r->a);
}

static tg_tensor *at_index(const reduction *r, tg_tensor *x)
{
    return tg_gather(r->tape, x, r->a->dim, r->index);
}

static tg_tensor *as_number(const reduction *r, tg_tensor *truth)
{
    return tg_to(r->tape, truth, tg_tensor_dtype(r->x));
}

/* x takes the product of the others; src y over the element itself or, where that is the only 0, y with a 1
 * in its place. */
static void product_rule(const reduction *r, tg_tensor *gx[])
{
    tg_tape *tape = r->tape;
    if (tg_node_needs(r->node, 0))
        gx[0] = tg_mul(tape, r->gy, reduced(r, tg_ones_like(tape, r->x), r->src));
    if (!tg_node_needs(r->node, 2))
        return;
    tg_tensor *is_zero = tg_eq(tape, r->src, r->zero);
    tg_tensor *zeros =
        tg_scatter_add(tape, tg_zeros_like(tape, r->x), r->a->dim, r->index, as_number(r, is_zero));
    tg_tensor *alone = tg_eq(tape, tg_where(tape, is_zero, at_index(r, zeros), r->zero), r->one);
    tg_tensor *with_one = reduced(r, r->x, tg_where(tape, alone, r->one, r->src));
    gx[2] = tg_where(
        tape, alone, at_index(r, tg_mul(tape, r->gy, with_one)),
        tg_div(tape, at_index(r, tg_mul(tape, r->gy, r->y)), tg_where(tape, is_zero, r->one, r->src)));
}

/* Shared equally among all that are the extreme, x's own element among them (also where it took no part). */
static void extreme_rule(const reduction *r, tg_tensor *gx[])
{
    tg_tape *tape = r->tape;
    tg_tensor *x_is = tg_eq(tape, r->x, r->y), *src_is = tg_eq(tape, r->src, at_index(r, r->y));
    tg_tensor *n = tg_scatter_add(tape, as_number(r, x_is), r->a->dim, r->index, as_number(r, src_is));
    tg_tensor *share = tg_div(tape, r->gy, n);
    if (tg_node_needs(r->node, 0))
        gx[0] = tg_where(tape, x_is, share, r->zero);
    if (tg_node_needs(r->node, 2))
        gx[2] = tg_where(tape, src_is, at_index(r, share), r->zero);
}

TG_RULE(scatter_reduce)
{
    reduction r = {tape,
                   node,
                   tg_node_attrs(node),
                   tg_node_input(node, 0),
                   tg_node_input(node, 1),
                   tg_node_input(node, 2),
                   tg_node_output(node, 0),
                   gy[0],
                   NULL,
                   NULL};
    if (r.a->reduce == TG_SCATTER_SUM) {
        gx[0] = gy[0];
        if (tg_node_needs(node, 2))
            gx[2] = at_index(&r, gy[0]);
    } else {
        r.one = tg_constant_like(tape, gy[0], 1);
        r.zero = tg_constant_like(tape, gy[0], 0);
        (r.a->reduce == TG_SCATTER_PROD ? product_rule : extreme_rule)(&r, gx);
    }
    if (!r.a->include_self && tg_node_needs(node, 0))
        gx[0] = tg_scatter_value(tape, gx[0], r.a->dim, r.index, 0);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define VALUES TG_RANGE(-2, 2)
#define STRIDED strided
#define ROWS                                                                                                 \
    {TG_DIM2(3, 4), VALUES}, {TG_DIM2(5, 4), TG_INDEX(3)},                                                   \
    {                                                                                                        \
        TG_DIM2(5, 4), VALUES                                                                                \
    }
#define COLUMNS                                                                                              \
    {TG_DIM2(3, 4), VALUES, STRIDED}, {TG_DIM2(2, 3), TG_INDEX(4)},                                          \
    {                                                                                                        \
        TG_DIM2(2, 3), VALUES, STRIDED                                                                       \
    }
#define APART                                                                                                \
    {TG_DIM2(3, 4), TG_RANGE(0.5, 2), TG_DISTINCT(0.01)}, {TG_DIM2(5, 4), TG_INDEX(3)},                      \
    {                                                                                                        \
        TG_DIM2(5, 4), TG_RANGE(2.1, 4), TG_DISTINCT(0.01)                                                   \
    }
static const tg_index_attrs first = {0}, second = {1};
/* Where two indices are one, scatter's rule is torch's convention, no derivative: here they are apart. */
#define ROW                                                                                                  \
    {TG_DIM2(3, 4), VALUES}, {TG_DIM2(1, 4), TG_INDEX(3)},                                                   \
    {                                                                                                        \
        TG_DIM2(1, 4), VALUES                                                                                \
    }
#define COLUMN                                                                                               \
    {TG_DIM2(3, 4), VALUES, STRIDED}, {TG_DIM2(3, 1), TG_INDEX(4)},                                          \
    {                                                                                                        \
        TG_DIM2(3, 1), VALUES, STRIDED                                                                       \
    }
TG_SAMPLES(apart, {.label = "row", .in = TG_SAMPLE_INPUTS(ROW), .attrs = &first},
           {.label = "strided, column", .in = TG_SAMPLE_INPUTS(COLUMN), .attrs = &second})
TG_SAMPLES(scatters, {.label = "rows", .in = TG_SAMPLE_INPUTS(ROWS), .attrs = &first},
           {.label = "strided, columns", .in = TG_SAMPLE_INPUTS(COLUMNS), .attrs = &second})
static const tg_scatter_reduce_attrs sum_without = {1, TG_SCATTER_SUM, 0}, product = {0, TG_SCATTER_PROD, 1},
                                     product_without = {1, TG_SCATTER_PROD, 0},
                                     most = {0, TG_SCATTER_AMAX, 1}, most_without = {0, TG_SCATTER_AMAX, 0},
                                     least = {0, TG_SCATTER_AMIN, 1};
TG_SAMPLES(
    reductions, {.label = "sum without x", .in = TG_SAMPLE_INPUTS(COLUMNS), .attrs = &sum_without},
    {.label = "product", .in = TG_SAMPLE_INPUTS(ROWS), .attrs = &product},
    {.label = "product without x", .in = TG_SAMPLE_INPUTS(COLUMNS), .attrs = &product_without},
    {.label = "product with zeros",
     .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES}, {TG_DIM2(1, 4), TG_INDEX(3)},
                            {TG_DIM2(1, 4), TG_RANGE(0, 0)}),
     .attrs = &product},
    {.label = "maximum", .in = TG_SAMPLE_INPUTS(APART), .attrs = &most},
    {.label = "maximum without x", .in = TG_SAMPLE_INPUTS(APART), .attrs = &most_without},
    {.label = "minimum", .in = TG_SAMPLE_INPUTS(APART), .attrs = &least})

static const tg_attr_spec scatter_specs[] = {
    {.name = "dim", .type = TG_ATTR_INT, .offset = offsetof(tg_index_attrs, dim), .doc = "along this dim"},
    {0},
};
static const tg_attr_spec reduce_specs[] = {
    {.name = "dim",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_scatter_reduce_attrs, dim),
     .doc = "along this dim"},
    {.name = "reduce",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_scatter_reduce_attrs, reduce),
     .doc = "0 sum, 1 product, 2 maximum, 3 minimum"},
    {.name = "include_self",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_scatter_reduce_attrs, include_self),
     .value = 1,
     .doc = "1: x takes part"},
    {0},
};
#define WRITES(name_, doc_) TG_ROW(name_, doc_), .flags = TG_OP_HOST_CHECK, .n_in = 3, .n_out = 1
static const tg_operator row_scatter = {
    WRITES("scatter", "a copy of x with src's elements put along dim at index"),
    TG_ATTRS(tg_index_attrs, scatter_specs),
    .saves = TG_OP_IN(1),
    .infer = infer_scatter,
    .vjp = scatter_vjp,
    .check = check_scatter,
    .samples = TG_PROOF(apart),
};
static const tg_operator row_scatter_add = {
    WRITES("scatter_add", "a copy of x with src's elements added along dim at index"),
    TG_ATTRS(tg_index_attrs, scatter_specs),
    .saves = TG_OP_IN(1),
    .infer = infer_scatter,
    .vjp = scatter_add_vjp,
    .check = check_scatter_add,
    .samples = TG_PROOF(scatters),
};
static const tg_operator row_scatter_reduce = {
    WRITES("scatter_reduce", "x with src's elements multiplied in, or the extreme taken, along dim at index"),
    TG_ATTRS(tg_scatter_reduce_attrs, reduce_specs),
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_IN(2) | TG_OP_OUT(0),
    .infer = infer_scatter_reduce,
    .vjp = scatter_reduce_vjp,
    .check = check_scatter_reduce,
    .samples = TG_PROOF(reductions),
};

/* -- the functions of ops.h: scatter -------------------------------------------------------------------- */

/* What a wrapper found out about its arguments. */
typedef struct writing {
    tg_tensor *x, *index, *src;
    int64_t dim;
    bool scalar, nothing;
} writing;

/* src's first elements where it is larger than the index; one value stands for all. */
static tg_tensor *as_index(tg_tape *tape, tg_tensor *src, const tg_desc *index)
{
    const tg_desc s = *tg_argument(tape, src, "scatter", "src");
    if (s.ndim == 0)
        return tg_expand_as(tape, src, index);
    for (int d = 0; s.ndim == index->ndim && d < s.ndim; d++)
        if (s.dim[d] > index->dim[d])
            src = tg_slice_of(tape, src, &(tg_slice_attrs){d, 0, index->dim[d], 1});
    return src;
}

static bool prepare(tg_tape *tape, const char *what, writing *w)
{
    w->scalar = tg_is_scalar(w->x);
    w->x = tg_as_vector(tape, w->x);
    const tg_desc *x = tg_sliceable(tape, w->x, what, &w->dim);
    if (!x)
        return false;
    if (x->ndim == 1)
        w->index = tg_as_vector(tape, w->index);
    const tg_desc *index = tg_argument(tape, w->index, what, "index"),
                  *src = index ? tg_argument(tape, w->src, what, "src") : NULL;
    if (!src)
        return false;
    w->nothing = !tg_desc_count(index) && index->dtype == TG_I64 && src->dtype == x->dtype;
    if (!w->nothing)
        w->src = as_index(tape, w->src, index);
    return w->src;
}

/* An index of no elements, in any shape, writes nothing. */
static tg_tensor *written(tg_tape *tape, const writing *w, const tg_operator *row, const void *attrs)
{
    tg_tensor *y = w->nothing ? tg_clone(tape, w->x) : tg_row3(tape, row, w->x, w->index, w->src, attrs);
    return tg_as_scalar_if(tape, y, w->scalar);
}

tg_tensor *tg_scatter(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *src)
{
    TG_COMPOSES(tape, "scatter");
    writing w = {.x = x, .index = index, .src = src, .dim = dim};
    return prepare(tape, "scatter", &w) ? written(tape, &w, &row_scatter, &(tg_index_attrs){w.dim}) : NULL;
}

tg_tensor *tg_scatter_value(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, double value)
{
    TG_COMPOSES(tape, "scatter_value");
    if (!tg_argument(tape, x, "scatter_value", "x"))
        return NULL;
    return tg_scatter(tape, x, dim, index, tg_constant_like(tape, x, value));
}

tg_tensor *tg_scatter_add(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *src)
{
    TG_COMPOSES(tape, "scatter_add");
    writing w = {.x = x, .index = index, .src = src, .dim = dim};
    return prepare(tape, "scatter_add", &w) ? written(tape, &w, &row_scatter_add, &(tg_index_attrs){w.dim})
                                            : NULL;
}

/* The sum over the number: nothing written counts as one. */
static tg_tensor *scatter_mean(tg_tape *tape, const writing *w, bool include_self)
{
    const tg_desc *d = tg_argument(tape, w->x, "scatter_reduce", "x");
    if (!d || !tg_dtype_is_float(d->dtype)) {
        if (d)
            tg_fail(tape, TG_EDTYPE, "scatter_reduce: the mean is of f32 or f64, not %s",
                    tg_dtype_name(d->dtype));
        return NULL;
    }
    const tg_scatter_reduce_attrs attrs = {w->dim, TG_SCATTER_SUM, include_self};
    tg_tensor *sum = tg_row3(tape, &row_scatter_reduce, w->x, w->index, w->src, &attrs);
    tg_tensor *start = include_self ? tg_ones_like(tape, w->x) : tg_zeros_like(tape, w->x),
              *one = tg_constant_like(tape, w->x, 1);
    tg_tensor *n = tg_scatter_add(tape, start, w->dim, w->index, one);
    return tg_as_scalar_if(tape, tg_div(tape, sum, tg_maximum(tape, n, one)), w->scalar);
}

tg_tensor *tg_scatter_reduce(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *src,
                             tg_scatter_reduction reduce, bool include_self)
{
    TG_COMPOSES(tape, "scatter_reduce");
    static const int64_t row_of[] = {TG_SCATTER_SUM, TG_SCATTER_PROD, -1, TG_SCATTER_AMAX, TG_SCATTER_AMIN};
    writing w = {.x = x, .index = index, .src = src, .dim = dim};
    if (!prepare(tape, "scatter_reduce", &w))
        return NULL;
    if ((unsigned)reduce > TG_REDUCTION_AMIN) {
        tg_fail(tape, TG_EINVAL, "scatter_reduce: reduce must be between 0 and %d, got %d", TG_REDUCTION_AMIN,
                (int)reduce);
        return NULL;
    }
    if (reduce == TG_REDUCTION_MEAN && !w.nothing)
        return scatter_mean(tape, &w, include_self);
    const tg_scatter_reduce_attrs attrs = {w.dim, row_of[reduce], include_self};
    return written(tape, &w, &row_scatter_reduce, &attrs);
}

/* -- the functions of ops.h: whole slices --------------------------------------------------------------- */

/* x, an index of one dim along dim, and (unless NULL) a source with a slice for each index; a scalar counts
 * as a vector of one. */
static bool prepare_slices(tg_tape *tape, const char *what, writing *w)
{
    w->scalar = tg_is_scalar(w->x);
    w->x = tg_as_vector(tape, w->x);
    w->index = tg_as_vector(tape, w->index);
    const tg_desc *x = tg_sliceable(tape, w->x, what, &w->dim),
                  *index = x ? tg_argument(tape, w->index, what, "index") : NULL;
    if (!index || !tg_is_index(tape, what, "index", index))
        return false;
    if (index->ndim != 1) {
        tg_fail(tape, TG_ESHAPE, "%s: index must have one dim, not %d", what, index->ndim);
        return false;
    }
    if (!w->src)
        return true;
    if (x->ndim == 1)
        w->src = tg_as_vector(tape, w->src);
    const tg_desc *src = tg_argument(tape, w->src, what, "source");
    tg_desc expected = *x;
    char a[128], b[128];
    expected.dim[w->dim] = index->dim[0];
    if (src && (src->dtype != x->dtype || !tg_desc_same_dims(src, &expected))) {
        tg_fail(tape, src->dtype != x->dtype ? TG_EDTYPE : TG_ESHAPE, "%s: source is %s, expected %s", what,
                tg_desc_format(src, a, sizeof a), tg_desc_format(&expected, b, sizeof b));
        return false;
    }
    return src;
}

/* The slices of w->src put or added where the index says. */
static tg_tensor *write_slices(tg_tape *tape, writing *w, const tg_operator *row)
{
    const tg_desc *src = tg_argument(tape, w->src, row->name, "source");
    if (!src)
        return NULL;
    w->nothing = !tg_desc_count(src);
    if (!w->nothing)
        w->index = tg_wide_index(tape, w->index, src, w->dim);
    return written(tape, w, row, &(tg_index_attrs){w->dim});
}

static bool look_at(tg_tape *tape, const char *what, const writing *w)
{
    tg_desc x, index;
    return tg_tensor_desc(w->x, &x) == TG_OK && tg_tensor_desc(w->index, &index) == TG_OK &&
           (!tg_desc_count(&index) || tg_check_places(tape, what, w->index, 0, x.dim[w->dim], NULL));
}

tg_tensor *tg_index_add(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *source,
                        double alpha)
{
    TG_COMPOSES(tape, "index_add");
    writing w = {.x = x, .index = index, .src = source, .dim = dim};
    if (!tg_argument(tape, source, "index_add", "source") || !prepare_slices(tape, "index_add", &w) ||
        !look_at(tape, "index_add", &w))
        return NULL;
    if (alpha != 1)
        w.src = tg_mul(tape, w.src, tg_constant_like(tape, w.src, alpha));
    return write_slices(tape, &w, &row_scatter_add);
}

tg_tensor *tg_index_copy(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *source)
{
    TG_COMPOSES(tape, "index_copy");
    writing w = {.x = x, .index = index, .src = source, .dim = dim};
    if (!tg_argument(tape, source, "index_copy", "source") || !prepare_slices(tape, "index_copy", &w) ||
        !look_at(tape, "index_copy", &w))
        return NULL;
    return write_slices(tape, &w, &row_scatter);
}

/* By a mask, so that what several indices name is filled once, and sends its gradient once. */
tg_tensor *tg_index_fill_tensor(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *value)
{
    TG_COMPOSES(tape, "index_fill");
    writing w = {.x = x, .index = index, .dim = dim};
    const tg_desc *v = tg_argument(tape, value, "index_fill", "value");
    if (v && v->ndim) {
        tg_fail(tape, TG_ESHAPE, "index_fill: value must be a scalar, not of %d dims", v->ndim);
        return NULL;
    }
    if (!v || !prepare_slices(tape, "index_fill", &w))
        return NULL;
    const tg_desc d = *tg_argument(tape, w.x, "index_fill", "x");
    w.index = tg_wrap_places(tape, "index_fill", w.index, d.dim[w.dim]);
    if (!w.index)
        return NULL;
    int64_t dims[TG_MAX_DIM];
    for (int k = 0; k < d.ndim; k++)
        dims[k] = k == w.dim ? d.dim[k] : 1;
    tg_tensor *mask = tg_full(tape, TG_BOOL, &d.dim[w.dim], 1, 0);
    mask = tg_reshape_dims(tape, tg_scatter_value(tape, mask, 0, w.index, 1), dims, (size_t)d.ndim);
    tg_tensor *y = tg_where(tape, mask, tg_to(tape, value, (tg_dtype)d.dtype), w.x);
    return tg_as_scalar_if(tape, y, w.scalar);
}

tg_tensor *tg_index_fill(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, double value)
{
    TG_COMPOSES(tape, "index_fill");
    if (!tg_argument(tape, x, "index_fill", "x"))
        return NULL;
    return tg_index_fill_tensor(tape, x, dim, index, tg_constant_like(tape, x, value));
}

const tg_operator *const tg_ops_scatter[] = {
    &row_scatter,
    &row_scatter_add,
    &row_scatter_reduce,
    NULL,
};
