/* Picking by indices that are data: they are looked at before anything is written. */
#include "autograd/operators/rows.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

/* x and an i64 index, and a dim of x's. */
static tg_status need_index(const tg_infer *q, int64_t dim)
{
    const tg_desc *x = q->in[0], *index = q->in[1];
    if (!tg_dtype_is_float(x->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "x must be f32 or f64, not %s", tg_dtype_name(x->dtype));
    if (index->dtype != TG_I64)
        return tg_infer_fail(q, TG_EDTYPE, "index must be i64, not %s", tg_dtype_name(index->dtype));
    if (dim < 0 || dim >= x->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld", x->ndim - 1,
                             (long long)dim);
    return TG_OK;
}

/* Both with x's number of dims, and the index no larger than x but along dim. */
static tg_status need_alike(const tg_infer *q, int64_t dim)
{
    const tg_desc *x = q->in[0], *index = q->in[1];
    if (index->ndim != x->ndim)
        return tg_infer_fail(q, TG_ESHAPE, "index must have x's %d dims, not %d", x->ndim, index->ndim);
    for (int d = 0; d < x->ndim; d++)
        if (d != dim && index->dim[d] > x->dim[d])
            return tg_infer_fail(q, TG_ESHAPE,
                                 "index must not be larger than x but along dim %lld: %lld > %lld in dim %d",
                                 (long long)dim, (long long)index->dim[d], (long long)x->dim[d], d);
    return TG_OK;
}

static tg_status infer_gather(const tg_infer *q)
{
    const tg_index_attrs *attrs = q->attrs;
    tg_status status = need_index(q, attrs->dim);
    if (status == TG_OK)
        status = need_alike(q, attrs->dim);
    return status ? status
                  : tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, q->in[1]->dim, (size_t)q->in[1]->ndim);
}

static tg_status infer_scatter_add(const tg_infer *q)
{
    const tg_index_attrs *attrs = q->attrs;
    const tg_desc *x = q->in[0], *index = q->in[1], *src = q->in[2];
    tg_status status = need_index(q, attrs->dim);
    if (status == TG_OK)
        status = need_alike(q, attrs->dim);
    if (status)
        return status;
    if (src->dtype != x->dtype)
        return tg_infer_fail(q, TG_EDTYPE, "src must be of x's dtype, %s", tg_dtype_name(x->dtype));
    bool fits = src->ndim == index->ndim;
    for (int d = 0; d < index->ndim && fits; d++)
        fits = index->dim[d] <= src->dim[d];
    if (!fits)
        return tg_infer_fail(q, TG_ESHAPE, "src must have an element for each index");
    return tg_desc_make(q->out, (tg_dtype)x->dtype, x->dim, (size_t)x->ndim);
}

static tg_status infer_index_select(const tg_infer *q)
{
    const tg_index_attrs *attrs = q->attrs;
    tg_status status = need_index(q, attrs->dim);
    if (status)
        return status;
    if (q->in[1]->ndim != 1)
        return tg_infer_fail(q, TG_ESHAPE, "index must have one dim, not %d", q->in[1]->ndim);
    int64_t dims[TG_MAX_DIM];
    memcpy(dims, q->in[0]->dim, sizeof dims);
    dims[attrs->dim] = q->in[1]->dim[0];
    return tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, dims, (size_t)q->in[0]->ndim);
}

static tg_status infer_index_range(const tg_infer *q)
{
    if (q->in[0]->dtype != TG_I64)
        return tg_infer_fail(q, TG_EDTYPE, "index must be i64, not %s", tg_dtype_name(q->in[0]->dtype));
    return tg_desc_make(q->out, TG_I64, (const int64_t[]){4}, 1);
}

/* -- the look at the data ------------------------------------------------------------------------------- */

static const tg_operator row_index_range;

/* All of index inside [0, size)? */
static tg_status check_places(tg_tape *tape, const char *what, tg_tensor *index, int64_t size)
{
    int64_t range[4];
    tg_desc d;
    tg_tensor *found = tg_row1(tape, &row_index_range, index, NULL, NULL);
    if (!found)
        return tg_tape_status(tape);
    tg_status status = tg_tensor_read(found, range, sizeof range);
    tg_discard(found);
    if (status)
        return tg_fail_again(tape, status);
    if (range[0] >= 0 && range[1] < size)
        return TG_OK;
    const int worst = range[0] < 0 ? 0 : 1;
    int64_t place[TG_MAX_DIM] = {0}, left = range[2 + worst];
    char text[200];
    status = tg_tensor_desc(index, &d);
    for (int i = d.ndim - 1; i >= 0 && !status; i--) {
        place[i] = left % d.dim[i];
        left /= d.dim[i];
    }
    return tg_fail(tape, TG_EINDEX, "%s: index%s is %lld, outside [0, %lld)", what,
                   tg_format_dims(place, d.ndim, text, sizeof text), (long long)range[worst],
                   (long long)size);
}

static tg_status check_rows(tg_tape *tape, const char *what, tg_tensor *const in[], const void *attrs)
{
    const tg_index_attrs *a = attrs;
    tg_desc x, index;
    tg_status status = tg_tensor_desc(in[0], &x);
    if (status == TG_OK)
        status = tg_tensor_desc(in[1], &index);
    /* What infer refuses anyway is left to it. */
    if (status || index.dtype != TG_I64 || a->dim < 0 || a->dim >= x.ndim || !tg_desc_count(&index))
        return status ? tg_fail_again(tape, status) : TG_OK;
    return check_places(tape, what, in[1], x.dim[a->dim]);
}

static tg_status check_gather(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in;
    return check_rows(tape, "gather", in, attrs);
}

static tg_status check_scatter_add(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in;
    return check_rows(tape, "scatter_add", in, attrs);
}

static tg_status check_index_select(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    (void)n_in;
    return check_rows(tape, "index_select", in, attrs);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

/* Zeros as input 0 was, with gy added where the index says. */
static tg_tensor *spread(tg_tape *tape, const tg_node *node, int64_t dim, tg_tensor *index, tg_tensor *gy)
{
    tg_desc x;
    if (!tg_input_dims(tape, node, 0, &x))
        return NULL;
    tg_tensor *zeros = tg_full(tape, (tg_dtype)x.dtype, x.dim, (size_t)x.ndim, 0);
    return tg_scatter_add(tape, zeros, dim, index, gy);
}

TG_RULE(gather)
{
    const tg_index_attrs *attrs = tg_node_attrs(node);
    gx[0] = spread(tape, node, attrs->dim, tg_node_input(node, 1), gy[0]);
    return tg_tape_status(tape);
}

/* Where src is larger than the index, what was not read gets zeros. */
TG_RULE(scatter_add)
{
    const tg_index_attrs *attrs = tg_node_attrs(node);
    tg_desc src, index;
    gx[0] = gy[0];
    if (!tg_node_needs(node, 2) || !tg_input_dims(tape, node, 2, &src) ||
        !tg_input_dims(tape, node, 1, &index))
        return tg_tape_status(tape);
    gx[2] = tg_gather(tape, gy[0], attrs->dim, tg_node_input(node, 1));
    for (int d = 0; d < src.ndim; d++)
        if (index.dim[d] < src.dim[d])
            gx[2] = tg_slice_back(tape, gx[2], &(tg_slice_backward_attrs){d, 0, 1, src.dim[d]});
    return tg_tape_status(tape);
}

TG_RULE(index_select)
{
    const tg_index_attrs *attrs = tg_node_attrs(node);
    tg_desc g;
    if (tg_tensor_desc(gy[0], &g) == TG_OK) {
        int64_t dims[TG_MAX_DIM];
        for (int d = 0; d < g.ndim; d++)
            dims[d] = d == attrs->dim ? g.dim[d] : 1;
        tg_tensor *index = tg_reshape_dims(tape, tg_node_input(node, 1), dims, (size_t)g.ndim);
        gx[0] = spread(tape, node, attrs->dim, tg_expand_as(tape, index, &g), gy[0]);
    }
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define VALUES TG_RANGE(-2, 2)
#define INDEX(n) .dtype = TG_I64, .flags = TG_SAMPLE_NO_GRAD, TG_RANGE(0, n)
#define STRIDED .flags = TG_SAMPLE_STRIDED
static const tg_index_attrs first = {0}, second = {1};
TG_SAMPLES(
    gathers,
    {.label = "rows", .n_in = 2, .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES}, {TG_DIM2(5, 4), INDEX(3)}), .attrs = &first},
    {.label = "strided, columns",
     .n_in = 2,
     .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES, STRIDED}, {TG_DIM2(2, 3), INDEX(4)}),
     .attrs = &second})
TG_SAMPLES(
    scatters,
    {.label = "rows",
     .n_in = 3,
     .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES}, {TG_DIM2(5, 4), INDEX(3)}, {TG_DIM2(5, 4), VALUES}),
     .attrs = &first},
    {.label = "strided, columns, src larger",
     .n_in = 3,
     .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES, STRIDED}, {TG_DIM2(2, 3), INDEX(4)}, {TG_DIM2(3, 3), VALUES, STRIDED}),
     .attrs = &second})
TG_SAMPLES(
    selections,
    {.label = "rows", .n_in = 2, .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES}, {TG_DIM1(5), INDEX(3)}), .attrs = &first},
    {.label = "strided, columns",
     .n_in = 2,
     .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), VALUES, STRIDED}, {TG_DIM1(3), INDEX(4)}),
     .attrs = &second})
TG_SAMPLES(indices, {.label = "matrix", .n_in = 1, .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), INDEX(10)})},
           {.label = "one", .n_in = 1, .in = TG_SAMPLE_INPUTS({TG_DIM1(1), INDEX(10)})})

static const tg_attr_spec index_specs[] = {
    {.name = "dim", .type = TG_ATTR_INT, .offset = offsetof(tg_index_attrs, dim), .doc = "along this dim"},
    {0},
};
static const tg_operator row_gather = {
    TG_ROW("gather", "x's elements along dim at index, of index's dims"),
    .flags = TG_OP_HOST_CHECK,
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_index_attrs, index_specs),
    .saves = TG_OP_IN(1),
    .infer = infer_gather,
    .vjp = gather_vjp,
    .check = check_gather,
    .samples = gathers,
};
static const tg_operator row_scatter_add = {
    TG_ROW("scatter_add", "a copy of x with src's elements added along dim at index"),
    .flags = TG_OP_HOST_CHECK,
    .n_in = 3,
    .n_out = 1,
    TG_ATTRS(tg_index_attrs, index_specs),
    .saves = TG_OP_IN(1),
    .infer = infer_scatter_add,
    .vjp = scatter_add_vjp,
    .check = check_scatter_add,
    .samples = scatters,
};
static const tg_operator row_index_select = {
    TG_ROW("index_select", "x's slices along dim, in index's order"),
    .flags = TG_OP_HOST_CHECK,
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_index_attrs, index_specs),
    .saves = TG_OP_IN(1),
    .infer = infer_index_select,
    .vjp = index_select_vjp,
    .check = check_index_select,
    .samples = selections,
};
static const tg_operator row_index_range = {
    TG_ROW("index_range", "the least and the greatest index, and where they stand first"),
    .flags = TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 1,
    .infer = infer_index_range,
    .samples = indices,
};

/* -- the functions of ops.h ----------------------------------------------------------------------------- */

/* A scalar counts as a vector of one, as in torch. */
static bool is_scalar(const tg_tensor *x)
{
    return tg_tensor_is_alive(x) && tg_tensor_ndim(x) == 0;
}

static tg_tensor *as_vector(tg_tape *tape, tg_tensor *x)
{
    return is_scalar(x) ? tg_reshape_dims(tape, x, (const int64_t[]){1}, 1) : x;
}

static tg_tensor *as_scalar_if(tg_tape *tape, tg_tensor *x, bool scalar)
{
    return scalar && x ? tg_reshape_dims(tape, x, NULL, 0) : x;
}

tg_tensor *tg_gather(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index)
{
    bool scalar = is_scalar(index);
    x = as_vector(tape, x);
    if (!tg_sliceable(tape, x, "gather", &dim))
        return NULL;
    if (scalar && tg_tensor_ndim(x) == 1)
        index = as_vector(tape, index);
    tg_tensor *y = tg_row2(tape, &row_gather, x, index, &(tg_index_attrs){dim}, NULL);
    return as_scalar_if(tape, y, scalar);
}

tg_tensor *tg_scatter_add(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index, tg_tensor *src)
{
    bool scalar = is_scalar(x);
    x = as_vector(tape, x);
    if (!tg_sliceable(tape, x, "scatter_add", &dim))
        return NULL;
    if (tg_tensor_ndim(x) == 1) {
        index = as_vector(tape, index);
        src = as_vector(tape, src);
    }
    tg_tensor *y = tg_row3(tape, &row_scatter_add, x, index, src, &(tg_index_attrs){dim});
    return as_scalar_if(tape, y, scalar);
}

tg_tensor *tg_index_select(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *index)
{
    bool scalar = is_scalar(x);
    x = as_vector(tape, x);
    if (!tg_sliceable(tape, x, "index_select", &dim))
        return NULL;
    index = as_vector(tape, index);
    if (scalar && index && tg_tensor_count(index) != 1) {
        tg_fail(tape, TG_ESHAPE, "index_select: a scalar is selected from by one index, not %lld",
                (long long)tg_tensor_count(index));
        return NULL;
    }
    tg_tensor *y = tg_row2(tape, &row_index_select, x, index, &(tg_index_attrs){dim}, NULL);
    return as_scalar_if(tape, y, scalar);
}

const tg_operator *const tg_ops_index[] = {
    &row_gather, &row_scatter_add, &row_index_select, &row_index_range, NULL,
};
