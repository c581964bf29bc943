/* Views: new dims and strides over the same memory. */
#include "autograd/operators/rows.h"

#include <stdio.h>
#include <string.h>

/* -- arguments ------------------------------------------------------------------------------------------ */

const tg_desc *tg_argument(tg_tape *tape, const tg_tensor *x, const char *what, const char *argument)
{
    tg_value *v;
    if (!tape) {
        tg_fail(NULL, TG_EINVAL, "%s: tape is NULL", what);
        return NULL;
    }
    if (tape->status || tg_check_tensor(tape, x, what, argument, &v))
        return NULL;
    return v->desc;
}

tg_composition tg_compose(tg_tape *tape, const char *what)
{
    tg_composition c = {.tape = tape, .what = what};
    if (tape && tape->status)
        c.what = NULL;
    else if (tape)
        tg_scope_enter(tape, &c.scope);
    return c;
}

void tg_compose_end(const tg_composition *c)
{
    if (c->what && !c->tape)
        tg_null(NULL, c->what, "the tape");
    if (!c->what || !c->tape || !c->tape->status)
        return;
    tg_scope_undo(c->tape, &c->scope);
    tg_fail_in(c->tape, c->what);
}

bool tg_resolve_dim(tg_tape *tape, const char *what, int64_t dim, int ndim, int64_t *out)
{
    const int64_t n = ndim ? ndim : 1;
    if (dim < -n || dim >= n) {
        tg_fail(tape, TG_EINVAL, "%s: dim must be between %lld and %lld, got %lld", what, (long long)-n,
                (long long)(n - 1), (long long)dim);
        return false;
    }
    *out = dim < 0 ? dim + n : dim;
    return true;
}

const char *tg_format_dims(const int64_t *dims, int64_t n, char *buffer, size_t size)
{
    size_t at = (size_t)snprintf(buffer, size, "[");
    for (int64_t d = 0; d < n && d < TG_MAX_DIM && at < size; d++)
        at += (size_t)snprintf(buffer + at, size - at, d ? ", %lld" : "%lld", (long long)dims[d]);
    if (at < size)
        snprintf(buffer + at, size - at, "]");
    return buffer;
}

bool tg_take_dims(tg_tape *tape, const char *what, const int64_t *dims, size_t ndim, tg_dims_attrs *out)
{
    if (ndim > TG_MAX_DIM) {
        tg_fail(tape, TG_ESHAPE, "%s: at most %d dims, got %zu", what, TG_MAX_DIM, ndim);
        return false;
    }
    if (ndim && !dims) {
        tg_fail(tape, TG_EINVAL, "%s: dims is NULL", what);
        return false;
    }
    memset(out, 0, sizeof *out);
    out->dims.n = (int64_t)ndim;
    for (size_t d = 0; d < ndim; d++)
        out->dims.v[d] = dims[d];
    return true;
}

bool tg_input_dims(tg_tape *tape, const tg_node *node, size_t i, tg_desc *out)
{
    tg_status status = tg_tensor_desc(tg_node_input(node, i), out);
    if (status)
        tg_fail(tape, status, "%s: its input %zu is gone", tg_node_operator(node)->name, i);
    return !status;
}

tg_status tg_infer_dims(const tg_infer *q, int64_t dtype, const tg_ints *dims)
{
    char text[200];
    if (dims->n < 0 || dims->n > TG_MAX_DIM)
        return tg_infer_fail(q, TG_ESHAPE, "between 0 and %d dims, got %lld", TG_MAX_DIM, (long long)dims->n);
    for (int64_t d = 0; d < dims->n; d++)
        if (dims->v[d] < 0)
            return tg_infer_fail(q, TG_ESHAPE, "dims must not be negative, got %s",
                                 tg_format_dims(dims->v, dims->n, text, sizeof text));
    tg_status status = tg_desc_make(q->out, (tg_dtype)dtype, dims->v, (size_t)dims->n);
    if (status)
        return tg_infer_fail(q, status, "no tensor of dims %s: too large",
                             tg_format_dims(dims->v, dims->n, text, sizeof text));
    return TG_OK;
}

/* -- infer ---------------------------------------------------------------------------------------------- */

/* The strides under which x can be seen with out's dims; false: only a copy can. Dims of both are matched
 * from the end: a run of x's dims that is one piece of memory may be cut anew. */
static bool view_strides(const tg_desc *x, tg_desc *out)
{
    if (!tg_desc_count(x) || !x->ndim) {
        tg_desc_row_major(out);
        return true;
    }
    int o = out->ndim - 1;
    int64_t piece = 1, taken = 1, step = x->stride[x->ndim - 1];
    for (int d = x->ndim - 1; d >= 0; d--) {
        piece *= x->dim[d];
        if (d && (x->dim[d - 1] == 1 || x->stride[d - 1] == piece * step))
            continue;
        for (; o >= 0 && (taken < piece || out->dim[o] == 1); o--) {
            out->stride[o] = taken * step;
            taken *= out->dim[o];
        }
        if (taken != piece)
            return false;
        piece = taken = 1;
        if (d)
            step = x->stride[d - 1];
    }
    return o < 0;
}

static tg_status infer_view(const tg_infer *q)
{
    const tg_dims_attrs *attrs = q->attrs;
    char text[200];
    tg_status status = tg_infer_dims(q, q->in[0]->dtype, &attrs->dims);
    if (status)
        return status;
    tg_format_dims(attrs->dims.v, attrs->dims.n, text, sizeof text);
    if (tg_desc_count(q->out) != tg_desc_count(q->in[0]))
        return tg_infer_fail(q, TG_ESHAPE, "%lld elements cannot be seen as %s",
                             (long long)tg_desc_count(q->in[0]), text);
    if (!view_strides(q->in[0], q->out))
        return tg_infer_fail(q, TG_ESHAPE, "these strides cannot be seen as %s without a copy", text);
    return TG_OK;
}

static tg_status infer_permute(const tg_infer *q)
{
    const tg_dims_attrs *attrs = q->attrs;
    const tg_desc *x = q->in[0];
    char text[200];
    unsigned seen = 0;
    if (attrs->dims.n != x->ndim)
        return tg_infer_fail(q, TG_ESHAPE, "takes each of the %d dims once, got %lld, %s", x->ndim,
                             (long long)attrs->dims.n,
                             tg_format_dims(attrs->dims.v, attrs->dims.n, text, sizeof text));
    *q->out = *x;
    for (int d = 0; d < x->ndim; d++) {
        const int64_t from = attrs->dims.v[d];
        if (from < 0 || from >= x->ndim || seen & 1u << from)
            return tg_infer_fail(q, TG_EINVAL, "takes each of the %d dims once, got %s", x->ndim,
                                 tg_format_dims(attrs->dims.v, attrs->dims.n, text, sizeof text));
        seen |= 1u << from;
        q->out->dim[d] = x->dim[from];
        q->out->stride[d] = x->stride[from];
    }
    return TG_OK;
}

static tg_status infer_expand(const tg_infer *q)
{
    const tg_dims_attrs *attrs = q->attrs;
    const tg_desc *x = q->in[0];
    char text[200];
    tg_status status = tg_infer_dims(q, x->dtype, &attrs->dims);
    if (status)
        return status;
    const int lead = q->out->ndim - x->ndim;
    if (lead < 0)
        return tg_infer_fail(q, TG_ESHAPE, "%d dims cannot be expanded to %s", x->ndim,
                             tg_format_dims(attrs->dims.v, attrs->dims.n, text, sizeof text));
    for (int d = 0; d < q->out->ndim; d++) {
        q->out->stride[d] = d < lead ? 0 : x->stride[d - lead];
        if (d < lead || x->dim[d - lead] == q->out->dim[d])
            continue;
        if (x->dim[d - lead] != 1)
            return tg_infer_fail(q, TG_ESHAPE, "only dims of size 1 expand: %lld is not %lld in dim %d of %s",
                                 (long long)x->dim[d - lead], (long long)q->out->dim[d], d,
                                 tg_format_dims(attrs->dims.v, attrs->dims.n, text, sizeof text));
        q->out->stride[d] = 0;
    }
    return TG_OK;
}

static tg_status infer_slice(const tg_infer *q)
{
    const tg_slice_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    if (a->dim < 0 || a->dim >= x->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld", x->ndim - 1,
                             (long long)a->dim);
    const int64_t size = x->dim[a->dim];
    if (a->step < 1 || a->start < 0 || a->start > size || a->length < 0 ||
        (a->length &&
         (a->length > size || (size - 1 - a->start) / a->step < a->length - 1 || a->start == size)))
        return tg_infer_fail(q, TG_EINVAL,
                             "%lld elements from %lld in steps of %lld are not inside dim %lld of size %lld",
                             (long long)a->length, (long long)a->start, (long long)a->step, (long long)a->dim,
                             (long long)size);
    *q->out = *x;
    q->out->dim[a->dim] = a->length;
    if (a->length > 1)
        q->out->stride[a->dim] = x->stride[a->dim] * a->step;
    *q->offset = tg_desc_count(q->out) ? a->start * x->stride[a->dim] : 0;
    return TG_OK;
}

/* -- rules ---------------------------------------------------------------------------------------------- */

TG_RULE(view)
{
    tg_desc x;
    if (tg_input_dims(tape, node, 0, &x))
        gx[0] = tg_reshape_dims(tape, gy[0], x.dim, (size_t)x.ndim);
    return tg_tape_status(tape);
}

TG_RULE(permute)
{
    const tg_dims_attrs *attrs = tg_node_attrs(node);
    int64_t back[TG_MAX_DIM];
    for (int64_t d = 0; d < attrs->dims.n; d++)
        back[attrs->dims.v[d]] = d;
    gx[0] = tg_permute_dims(tape, gy[0], back, (size_t)attrs->dims.n);
    return tg_tape_status(tape);
}

/* The engine sums what was expanded. */
TG_RULE(expand)
{
    gx[0] = gy[0];
    return tg_tape_status(tape);
}

TG_RULE(slice)
{
    const tg_slice_attrs *a = tg_node_attrs(node);
    tg_tensor *sum = tg_gradient_so_far(tape, node, 0);
    tg_desc x;
    if (sum) {
        tg_tensor *in[] = {tg_slice_of(tape, sum, a), gy[0]};
        return in[0] ? tg_apply(tape, tape->rt->rows.add_, in, 2, NULL, NULL, NULL) : tg_tape_status(tape);
    }
    if (tg_input_dims(tape, node, 0, &x)) {
        const tg_slice_backward_attrs back = {a->dim, a->start, a->step, x.dim[a->dim]};
        gx[0] = tg_slice_back(tape, gy[0], &back);
    }
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define MATRIX TG_DIM2(3, 4), TG_RANGE(-2, 2)
#define STRIDED strided
static const tg_dims_attrs view_6_2 = {{2, {6, 2}}}, view_2_2_3 = {{3, {2, 2, 3}}}, view_1 = {{1, {1}}},
                           swap = {{2, {1, 0}}}, turn = {{3, {2, 0, 1}}}, expand_3_4 = {{2, {3, 4}}},
                           expand_2_3_4 = {{3, {2, 3, 4}}};
TG_SAMPLES(views, {.label = "two dims", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &view_6_2},
           {.label = "three dims", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &view_2_2_3},
           {.label = "of a scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &view_1})
TG_SAMPLES(permutations, {.label = "transposed", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &swap},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &swap},
           {.label = "three dims", .in = TG_SAMPLE_INPUTS({TG_DIM3(2, 3, 2), TG_RANGE(-2, 2)}), .attrs = &turn})
TG_SAMPLES(expansions,
           {.label = "rows", .in = TG_SAMPLE_INPUTS({TG_DIM1(4), TG_RANGE(-2, 2)}), .attrs = &expand_3_4},
           {.label = "column", .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 1), TG_RANGE(-2, 2)}), .attrs = &expand_2_3_4},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &expand_2_3_4},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(-2, 2)}), .attrs = &expand_3_4})
static const tg_slice_attrs slice_rows = {0, 1, 2, 1}, slice_columns = {1, 0, 2, 2},
                            slice_none = {0, 3, 0, 1};
TG_SAMPLES(slices, {.label = "rows", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &slice_rows},
           {.label = "every second column", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &slice_columns},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &slice_columns},
           {.label = "nothing", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &slice_none})
static const tg_attr_spec dims_specs[] = {
    {.name = "dims",
     .type = TG_ATTR_INTS,
     .offset = offsetof(tg_dims_attrs, dims),
     .doc = "the new dims, or their order"},
    {0},
};
static const tg_attr_spec slice_specs[] = {
    {.name = "dim", .type = TG_ATTR_INT, .offset = offsetof(tg_slice_attrs, dim), .doc = "along this dim"},
    {.name = "start",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_slice_attrs, start),
     .doc = "the first element"},
    {.name = "length", .type = TG_ATTR_INT, .offset = offsetof(tg_slice_attrs, length), .doc = "how many"},
    {.name = "step",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_slice_attrs, step),
     .value = 1,
     .doc = "1 or more"},
    {0},
};
#define ONE_TO_ONE(name_, doc_, infer_, rule, table)                                                         \
    TG_ROW(name_, doc_), .n_in = 1, .n_out = 1, .infer = infer_, .vjp = rule, .samples = TG_PROOF(table)
static const tg_operator row_view = {
    ONE_TO_ONE("view", "x with other dims, sharing its memory", infer_view, view_vjp, views),
    .flags = TG_OP_VIEW,
    TG_ATTRS(tg_dims_attrs, dims_specs),
};
static const tg_operator row_permute = {
    ONE_TO_ONE("permute", "x with its dims in another order, sharing its memory", infer_permute, permute_vjp,
               permutations),
    .flags = TG_OP_VIEW,
    TG_ATTRS(tg_dims_attrs, dims_specs),
};
static const tg_operator row_expand = {
    ONE_TO_ONE("expand", "x repeated along dims of size 1 and new ones, sharing its memory", infer_expand,
               expand_vjp, expansions),
    .flags = TG_OP_VIEW,
    TG_ATTRS(tg_dims_attrs, dims_specs),
};
static const tg_operator row_slice = {
    ONE_TO_ONE("slice", "x[start], x[start + step], ... along dim, sharing x's memory", infer_slice,
               slice_vjp, slices),
    .flags = TG_OP_VIEW,
    TG_ATTRS(tg_slice_attrs, slice_specs),
};
/* -- the functions of ops.h: views ---------------------------------------------------------------------- */

tg_tensor *tg_reshape_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim)
{
    tg_dims_attrs to;
    const tg_desc *d = tg_argument(tape, x, "reshape", "x");
    if (!d || !tg_take_dims(tape, "reshape", dims, ndim, &to))
        return NULL;
    char text[200];
    int64_t rest = 1, open = -1;
    bool legal = true, twice = false;
    for (int64_t i = 0; i < to.dims.n; i++) {
        twice = twice || (to.dims.v[i] == -1 && open >= 0);
        if (to.dims.v[i] == -1 && open < 0)
            open = i;
        else
            legal = legal && to.dims.v[i] >= 0 && !__builtin_mul_overflow(rest, to.dims.v[i], &rest);
    }
    const int64_t count = tg_desc_count(d);
    if (legal && open >= 0 && rest && count % rest == 0)
        to.dims.v[open] = rest = count / rest;
    else if (!legal || open >= 0 || rest != count) {
        char own[128];
        tg_fail(tape, TG_ESHAPE, "reshape: %s has %lld elements, which do not fit %s%s",
                tg_desc_format(d, own, sizeof own), (long long)count,
                tg_format_dims(dims, to.dims.n, text, sizeof text),
                twice                         ? ": only one dim may be -1"
                : legal && open >= 0 && !rest ? " in one way only"
                                              : "");
        return NULL;
    }
    tg_desc seen;
    if (tg_desc_make(&seen, (tg_dtype)d->dtype, to.dims.v, ndim) == TG_OK && !view_strides(d, &seen))
        x = tg_contiguous(tape, x);
    return tg_row1(tape, &row_view, x, &to, NULL);
}

tg_tensor *tg_flatten(tg_tape *tape, tg_tensor *x, int64_t start_dim, int64_t end_dim)
{
    const tg_desc *d = tg_argument(tape, x, "flatten", "x");
    int64_t start, end, dims[TG_MAX_DIM] = {1};
    if (!d || !tg_resolve_dim(tape, "flatten", start_dim, d->ndim, &start) ||
        !tg_resolve_dim(tape, "flatten", end_dim, d->ndim, &end))
        return NULL;
    if (start > end) {
        tg_fail(tape, TG_EINVAL, "flatten: start_dim %lld is behind end_dim %lld", (long long)start_dim,
                (long long)end_dim);
        return NULL;
    }
    size_t n = 0;
    for (int64_t i = 0; i < d->ndim; i++)
        if (i > start && i <= end)
            dims[n - 1] *= d->dim[i];
        else
            dims[n++] = d->dim[i];
    return tg_reshape_dims(tape, x, dims, d->ndim ? n : 1);
}

tg_tensor *tg_permute_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim)
{
    tg_dims_attrs order;
    const tg_desc *d = tg_argument(tape, x, "permute", "x");
    if (!d || !tg_take_dims(tape, "permute", dims, ndim, &order))
        return NULL;
    for (size_t i = 0; i < ndim; i++)
        if (!tg_resolve_dim(tape, "permute", order.dims.v[i], d->ndim, &order.dims.v[i]))
            return NULL;
    return tg_row1(tape, &row_permute, x, &order, NULL);
}

tg_tensor *tg_transpose(tg_tape *tape, tg_tensor *x, int64_t dim0, int64_t dim1)
{
    const tg_desc *d = tg_argument(tape, x, "transpose", "x");
    if (!d || !tg_resolve_dim(tape, "transpose", dim0, d->ndim, &dim0) ||
        !tg_resolve_dim(tape, "transpose", dim1, d->ndim, &dim1))
        return NULL;
    int64_t order[TG_MAX_DIM];
    for (int64_t i = 0; i < d->ndim; i++)
        order[i] = i == dim0 ? dim1 : i == dim1 ? dim0 : i;
    return tg_permute_dims(tape, x, order, (size_t)d->ndim);
}

tg_tensor *tg_expand_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t ndim)
{
    tg_dims_attrs to;
    const tg_desc *d = tg_argument(tape, x, "expand", "x");
    if (!d || !tg_take_dims(tape, "expand", dims, ndim, &to))
        return NULL;
    const int64_t lead = to.dims.n - d->ndim;
    for (int64_t i = lead > 0 ? lead : 0; i < to.dims.n; i++)
        if (to.dims.v[i] == -1 && lead >= 0)
            to.dims.v[i] = d->dim[i - lead];
    return tg_row1(tape, &row_expand, x, &to, NULL);
}

tg_tensor *tg_expand_as(tg_tape *tape, tg_tensor *x, const tg_desc *to)
{
    const tg_desc *d = tg_argument(tape, x, "expand", "x");
    if (!d || tg_desc_same_dims(d, to))
        return d ? x : NULL;
    return tg_expand_dims(tape, x, to->dim, (size_t)to->ndim);
}

/* x with dims of its own elements: always a view. */
static tg_tensor *view(tg_tape *tape, tg_tensor *x, const int64_t *dims, int64_t ndim)
{
    tg_dims_attrs to = {.dims = {.n = ndim}};
    for (int64_t i = 0; i < ndim; i++)
        to.dims.v[i] = dims[i];
    return tg_row1(tape, &row_view, x, &to, NULL);
}

static tg_tensor *without_dim(tg_tape *tape, tg_tensor *x, const tg_desc *d, int64_t dim)
{
    int64_t dims[TG_MAX_DIM], n = 0;
    for (int64_t i = 0; i < d->ndim; i++)
        if (i != dim)
            dims[n++] = d->dim[i];
    return view(tape, x, dims, n);
}

tg_tensor *tg_squeeze(tg_tape *tape, tg_tensor *x, int64_t dim)
{
    const tg_desc *d = tg_argument(tape, x, "squeeze", "x");
    if (!d || !tg_resolve_dim(tape, "squeeze", dim, d->ndim, &dim))
        return NULL;
    return without_dim(tape, x, d, d->ndim && d->dim[dim] == 1 ? dim : -1);
}

tg_tensor *tg_unsqueeze(tg_tape *tape, tg_tensor *x, int64_t dim)
{
    const tg_desc *d = tg_argument(tape, x, "unsqueeze", "x");
    int64_t dims[TG_MAX_DIM], n = 0;
    if (!d || !tg_resolve_dim(tape, "unsqueeze", dim, d->ndim + 1, &dim))
        return NULL;
    if (d->ndim == TG_MAX_DIM) {
        tg_fail(tape, TG_ESHAPE, "unsqueeze: x already has %d dims, the most there can be", TG_MAX_DIM);
        return NULL;
    }
    for (int64_t i = 0; i <= d->ndim; i++)
        dims[n++] = i == dim ? 1 : d->dim[i < dim ? i : i - 1];
    return view(tape, x, dims, n);
}

const tg_desc *tg_sliceable(tg_tape *tape, tg_tensor *x, const char *what, int64_t *dim)
{
    const tg_desc *d = tg_argument(tape, x, what, "x");
    if (d && !d->ndim) {
        tg_fail(tape, TG_ESHAPE, "%s: x has no dims", what);
        return NULL;
    }
    return d && tg_resolve_dim(tape, what, *dim, d->ndim, dim) ? d : NULL;
}

tg_tensor *tg_slice_of(tg_tape *tape, tg_tensor *x, const tg_slice_attrs *attrs)
{
    return tg_row1(tape, &row_slice, x, attrs, NULL);
}

tg_tensor *tg_narrow(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t start, int64_t length)
{
    const tg_desc *d = tg_sliceable(tape, x, "narrow", &dim);
    if (!d)
        return NULL;
    const int64_t size = d->dim[dim], from = start < 0 ? start + size : start;
    if (from < 0 || from > size || length < 0 || length > size - from) {
        tg_fail(tape, TG_EINVAL, "narrow: %lld elements from %lld are not inside dim %lld of size %lld",
                (long long)length, (long long)start, (long long)dim, (long long)size);
        return NULL;
    }
    return tg_row1(tape, &row_slice, x, &(tg_slice_attrs){dim, from, length, 1}, NULL);
}

bool tg_clip_slice(tg_tape *tape, const char *what, int64_t size, int64_t dim, int64_t start, int64_t end,
                   int64_t step, tg_slice_attrs *out)
{
    if (step < 1) {
        tg_fail(tape, TG_EINVAL, "%s: step must be 1 or more, got %lld", what, (long long)step);
        return false;
    }
    start = start < 0 ? (start < -size ? 0 : start + size) : start < size ? start : size;
    end = end < 0 ? (end < -size ? 0 : end + size) : end < size ? end : size;
    *out = (tg_slice_attrs){dim, start, end > start ? (end - start - 1) / step + 1 : 0, step};
    return true;
}

tg_tensor *tg_slice(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t start, int64_t end, int64_t step)
{
    const tg_desc *d = tg_sliceable(tape, x, "slice", &dim);
    tg_slice_attrs a;
    return d && tg_clip_slice(tape, "slice", d->dim[dim], dim, start, end, step, &a)
               ? tg_slice_of(tape, x, &a)
               : NULL;
}

tg_tensor *tg_select(tg_tape *tape, tg_tensor *x, int64_t dim, int64_t index)
{
    const tg_desc *d = tg_sliceable(tape, x, "select", &dim);
    if (!d)
        return NULL;
    const int64_t size = d->dim[dim], at = index < 0 ? index + size : index;
    if (at < 0 || at >= size) {
        char text[128];
        tg_fail(tape, TG_EINDEX, "select: index %lld is outside dim %lld of x, %s", (long long)index,
                (long long)dim, tg_desc_format(d, text, sizeof text));
        return NULL;
    }
    return without_dim(tape, tg_row1(tape, &row_slice, x, &(tg_slice_attrs){dim, at, 1, 1}, NULL), d, dim);
}

const tg_operator *const tg_ops_shape[] = {
    &row_view, &row_permute, &row_expand, &row_slice, NULL,
};
