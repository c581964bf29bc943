/* Rearranging copies: flips, rolls, repeats, triangles, diagonals, and parts replaced. */
#include "autograd/operators/rows.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status like_first(const tg_infer *q)
{
    return tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, q->in[0]->dim, (size_t)q->in[0]->ndim);
}

static tg_status infer_flip(const tg_infer *q)
{
    const tg_flip_attrs *a = q->attrs;
    if (a->dims < 0 || a->dims >> q->in[0]->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dims must be bits of the %d dims, got %lld", q->in[0]->ndim,
                             (long long)a->dims);
    return like_first(q);
}

static tg_status infer_roll(const tg_infer *q)
{
    const tg_dims_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    char text[200];
    if (a->dims.n != x->ndim)
        return tg_infer_fail(q, TG_EINVAL, "takes a shift for each of the %d dims, got %lld", x->ndim,
                             (long long)a->dims.n);
    for (int d = 0; d < x->ndim; d++)
        if (a->dims.v[d] < 0 || (a->dims.v[d] && a->dims.v[d] >= x->dim[d]))
            return tg_infer_fail(q, TG_EINVAL, "shifts go from 0 to below the dim's size, got %s",
                                 tg_format_dims(a->dims.v, a->dims.n, text, sizeof text));
    return like_first(q);
}

static tg_status infer_triangle(const tg_infer *q)
{
    if (q->in[0]->ndim < 2)
        return tg_infer_fail(q, TG_ESHAPE, "x must have at least two dims");
    return like_first(q);
}

static tg_status infer_slice_scatter(const tg_infer *q)
{
    const tg_slice_attrs *a = q->attrs;
    const tg_desc *x = q->in[0], *src = q->in[1];
    if (a->dim < 0 || a->dim >= x->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld", x->ndim - 1,
                             (long long)a->dim);
    const int64_t size = x->dim[a->dim];
    if (a->step < 1 || a->start < 0 || a->start > size || a->length < 0 ||
        (a->length && (a->start == size || (size - 1 - a->start) / a->step < a->length - 1)))
        return tg_infer_fail(q, TG_EINVAL,
                             "%lld elements from %lld in steps of %lld are not inside dim %lld of size %lld",
                             (long long)a->length, (long long)a->start, (long long)a->step, (long long)a->dim,
                             (long long)size);
    tg_desc part = *x;
    char text[200];
    part.dim[a->dim] = a->length;
    if (src->dtype != x->dtype)
        return tg_infer_fail(q, TG_EDTYPE, "src must be of x's dtype, %s, not %s", tg_dtype_name(x->dtype),
                             tg_dtype_name(src->dtype));
    if (!tg_desc_same_dims(src, &part))
        return tg_infer_fail(q, TG_ESHAPE, "src must have the dims of what it replaces, %s",
                             tg_format_dims(part.dim, part.ndim, text, sizeof text));
    return like_first(q);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator row_flip, row_roll, row_tril, row_triu, row_slice_scatter;

TG_RULE(flip)
{
    gx[0] = tg_row1(tape, &row_flip, gy[0], tg_node_attrs(node), NULL);
    return tg_tape_status(tape);
}

TG_RULE(roll)
{
    const tg_dims_attrs *a = tg_node_attrs(node);
    tg_dims_attrs back = *a;
    tg_desc g;
    if (tg_tensor_desc(gy[0], &g) == TG_OK)
        for (int d = 0; d < g.ndim; d++)
            back.dims.v[d] = a->dims.v[d] ? g.dim[d] - a->dims.v[d] : 0;
    gx[0] = tg_row1(tape, &row_roll, gy[0], &back, NULL);
    return tg_tape_status(tape);
}

TG_RULE(triangle)
{
    gx[0] = tg_row1(tape, tg_node_operator(node), gy[0], tg_node_attrs(node), NULL);
    return tg_tape_status(tape);
}

TG_RULE(slice_scatter)
{
    const tg_slice_attrs *a = tg_node_attrs(node);
    tg_tensor *part = tg_slice_of(tape, gy[0], a);
    if (tg_node_needs(node, 0))
        gx[0] = tg_row2(tape, &row_slice_scatter, gy[0], tg_zeros_like(tape, part), a, NULL);
    if (tg_node_needs(node, 1))
        gx[1] = part;
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define MATRIX TG_DIM2(3, 4), TG_RANGE(-2, 2)
#define CUBE TG_DIM3(2, 3, 4), TG_RANGE(-2, 2)
#define STRIDED strided
static const tg_flip_attrs flip_rows = {1}, flip_outer = {5};
TG_SAMPLES(flips,
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &flip_rows},
           {.label = "two dims", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &flip_outer})
static const tg_dims_attrs roll_columns = {{2, {0, 1}}}, roll_all = {{3, {1, 2, 3}}};
TG_SAMPLES(rolls,
           {.label = "strided", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &roll_columns},
           {.label = "every dim", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &roll_all})
static const tg_triangle_attrs main_diagonal = {0}, above = {1}, below = {-1};
TG_SAMPLES(triangles,
           {.label = "matrix", .in = TG_SAMPLE_INPUTS({MATRIX}), .attrs = &main_diagonal},
           {.label = "strided, above", .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}), .attrs = &above},
           {.label = "batch, below", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &below})
static const tg_slice_attrs columns = {1, 1, 2, 2}, row = {0, 2, 1, 1};
TG_SAMPLES(scatters,
           {.label = "columns",
            .in = TG_SAMPLE_INPUTS({MATRIX}, {TG_DIM2(3, 2), TG_RANGE(-2, 2), STRIDED}),
            .attrs = &columns},
           {.label = "row, strided",
            .in = TG_SAMPLE_INPUTS({MATRIX, STRIDED}, {TG_DIM2(1, 4), TG_RANGE(-2, 2)}),
            .attrs = &row})

#define INT_OF(struct_, member, doc_)                                                                        \
    {                                                                                                        \
        .name = #member, .type = TG_ATTR_INT, .offset = offsetof(struct_, member), .doc = doc_               \
    }
static const tg_attr_spec flip_specs[] = {INT_OF(tg_flip_attrs, dims, "a bit for each dim"), {0}};
static const tg_attr_spec roll_specs[] = {{.name = "dims",
                                           .type = TG_ATTR_INTS,
                                           .offset = offsetof(tg_dims_attrs, dims),
                                           .doc = "a shift for each dim"},
                                          {0}};
static const tg_attr_spec triangle_specs[] = {INT_OF(tg_triangle_attrs, diagonal, "counts upwards"), {0}};
static const tg_attr_spec slice_specs[] = {INT_OF(tg_slice_attrs, dim, "along this dim"),
                                           INT_OF(tg_slice_attrs, start, "the first element"),
                                           INT_OF(tg_slice_attrs, length, "how many"),
                                           INT_OF(tg_slice_attrs, step, "1 or more"),
                                           {0}};
#define FROM(inputs, name_, doc_, infer_, rule, table)                                                       \
    TG_ROW(name_, doc_), .n_in = inputs, .n_out = 1, .infer = infer_, .vjp = rule, .samples = TG_PROOF(table)
static const tg_operator row_flip = {
    FROM(1, "flip", "x with some dims backwards", infer_flip, flip_vjp, flips),
    TG_ATTRS(tg_flip_attrs, flip_specs)};
static const tg_operator row_roll = {
    FROM(1, "roll", "x moved along its dims, round the end", infer_roll, roll_vjp, rolls),
    TG_ATTRS(tg_dims_attrs, roll_specs)};
static const tg_operator row_tril = {
    FROM(1, "tril", "x on and below a diagonal, else 0", infer_triangle, triangle_vjp, triangles),
    TG_ATTRS(tg_triangle_attrs, triangle_specs)};
static const tg_operator row_triu = {
    FROM(1, "triu", "x on and above a diagonal, else 0", infer_triangle, triangle_vjp, triangles),
    TG_ATTRS(tg_triangle_attrs, triangle_specs)};
static const tg_operator row_slice_scatter = {FROM(2, "slice_scatter", "x with src in place of a slice",
                                                   infer_slice_scatter, slice_scatter_vjp, scatters),
                                              TG_ATTRS(tg_slice_attrs, slice_specs)};

/* -- the functions of ops.h: flips and rolls --------------------------------------------------------------
 */

tg_tensor *tg_flip_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims)
{
    const tg_desc *d = tg_argument(tape, x, "flip", "x");
    tg_dims_attrs take;
    tg_flip_attrs bits = {0};
    if (!d || !tg_take_dims(tape, "flip", dims, n_dims, &take))
        return NULL;
    for (size_t i = 0; i < n_dims; i++) {
        int64_t dim;
        if (!tg_resolve_dim(tape, "flip", dims[i], d->ndim, &dim))
            return NULL;
        if (bits.dims & INT64_C(1) << dim) {
            tg_fail(tape, TG_EINVAL, "flip: dim %lld is listed twice", (long long)dim);
            return NULL;
        }
        bits.dims |= d->ndim ? INT64_C(1) << dim : 0;
    }
    return tg_row1(tape, &row_flip, x, &bits, NULL);
}

static tg_tensor *flip_one(tg_tape *tape, tg_tensor *x, const char *what, int64_t dim)
{
    const tg_desc *d = tg_argument(tape, x, what, "x");
    if (!d)
        return NULL;
    if (d->ndim > dim)
        return tg_flip_dims(tape, x, &dim, 1);
    tg_fail(tape, TG_ESHAPE, "%s: x must have at least %lld dims, got %d", what, (long long)dim + 1, d->ndim);
    return NULL;
}

tg_tensor *tg_fliplr(tg_tape *tape, tg_tensor *x)
{
    return flip_one(tape, x, "fliplr", 1);
}

tg_tensor *tg_flipud(tg_tape *tape, tg_tensor *x)
{
    return flip_one(tape, x, "flipud", 0);
}

tg_tensor *tg_roll(tg_tape *tape, tg_tensor *x, const int64_t *shifts, const int64_t *dims, size_t n)
{
    const tg_desc *d = tg_argument(tape, x, "roll", "x");
    if (!d)
        return NULL;
    if ((n && !shifts) || (!dims && n != 1)) {
        tg_fail(tape, TG_EINVAL, "roll: %s", dims ? "shifts is NULL" : "without dims there is one shift");
        return NULL;
    }
    if (!dims && d->ndim != 1) {
        int64_t own[TG_MAX_DIM];
        const size_t ndim = (size_t)d->ndim;
        memcpy(own, d->dim, sizeof own);
        x = tg_roll(tape, tg_flatten(tape, x, 0, -1), shifts, NULL, 1);
        return tg_reshape_dims(tape, x, own, ndim);
    }
    tg_dims_attrs by = {.dims = {.n = d->ndim}};
    for (size_t i = 0; i < n; i++) {
        int64_t dim = 0;
        if (dims && !tg_resolve_dim(tape, "roll", dims[i], d->ndim, &dim))
            return NULL;
        const int64_t size = d->ndim ? d->dim[dim] : 0;
        if (!size)
            continue;
        const int64_t shift = shifts[i] % size,
                      sum = by.dims.v[dim] - (size - (shift < 0 ? shift + size : shift));
        by.dims.v[dim] = sum < 0 ? sum + size : sum;
    }
    return tg_row1(tape, &row_roll, x, &by, NULL);
}

tg_tensor *tg_rot90(tg_tape *tape, tg_tensor *x, int64_t k, int64_t dim0, int64_t dim1)
{
    const tg_desc *d = tg_argument(tape, x, "rot90", "x");
    if (!d || !tg_resolve_two(tape, "rot90", d->ndim, &dim0, &dim1))
        return NULL;
    switch ((k % 4 + 4) % 4) {
    case 1: return tg_transpose(tape, tg_flip_dims(tape, x, &dim1, 1), dim0, dim1);
    case 2: return tg_flip_dims(tape, x, (const int64_t[]){dim0, dim1}, 2);
    case 3: return tg_transpose(tape, tg_flip_dims(tape, x, &dim0, 1), dim0, dim1);
    default: return tg_clone(tape, x);
    }
}

/* -- triangles and diagonals -------------------------------------------------------------------------------
 */

tg_tensor *tg_tril(tg_tape *tape, tg_tensor *x, int64_t diagonal)
{
    return tg_row1(tape, &row_tril, x, &(tg_triangle_attrs){diagonal}, NULL);
}

tg_tensor *tg_triu(tg_tape *tape, tg_tensor *x, int64_t diagonal)
{
    return tg_row1(tape, &row_triu, x, &(tg_triangle_attrs){diagonal}, NULL);
}

static bool has_rank(tg_tape *tape, const tg_desc *d, const char *what, int least, int most)
{
    char text[128];
    if (d && (d->ndim < least || d->ndim > most))
        tg_fail(tape, TG_ESHAPE, "%s: x must %s, got %s", what,
                least == most ? "be a matrix"
                : most == 2   ? "be a vector or a matrix"
                              : "have 1 to 7 dims",
                tg_desc_format(d, text, sizeof text));
    return d && d->ndim >= least && d->ndim <= most;
}

tg_tensor *tg_diag_embed(tg_tape *tape, tg_tensor *x, int64_t offset, int64_t dim1, int64_t dim2)
{
    const tg_desc *d = tg_argument(tape, x, "diag_embed", "x");
    if (!has_rank(tape, d, "diag_embed", 1, TG_MAX_DIM - 1) ||
        !tg_resolve_two(tape, "diag_embed", d->ndim + 1, &dim1, &dim2))
        return NULL;
    int64_t dims[TG_MAX_DIM], size = d->dim[d->ndim - 1];
    if (offset == INT64_MIN || __builtin_add_overflow(size, offset < 0 ? -offset : offset, &size)) {
        tg_fail(tape, TG_EINVAL, "diag_embed: offset %lld is too large", (long long)offset);
        return NULL;
    }
    for (int i = 0, from = 0; i <= d->ndim; i++)
        dims[i] = i == dim1 || i == dim2 ? size : d->dim[from++];
    return tg_diagonal_back(tape, x, dims, d->ndim + 1, &(tg_diagonal_attrs){offset, dim1, dim2});
}

tg_tensor *tg_diag(tg_tape *tape, tg_tensor *x, int64_t diagonal)
{
    TG_COMPOSES(tape, "diag");
    const tg_desc *d = tg_argument(tape, x, "diag", "x");
    if (!has_rank(tape, d, "diag", 1, 2))
        return NULL;
    return d->ndim == 1 ? tg_diag_embed(tape, x, diagonal, 0, 1)
                        : tg_clone(tape, tg_diagonal(tape, x, diagonal, 0, 1));
}

tg_tensor *tg_trace(tg_tape *tape, tg_tensor *x)
{
    const tg_desc *d = tg_argument(tape, x, "trace", "x");
    return has_rank(tape, d, "trace", 2, 2) ? tg_sum(tape, tg_diagonal(tape, x, 0, 0, 1)) : NULL;
}

/* -- repeats ------------------------------------------------------------------------------------------------
 */

/* x seen as n groups of `size` elements, each repeated `times`, at most so many groups at once: those that
 * can be seen together are copied together, from the back. */
static tg_tensor *repeat_groups(tg_tape *tape, tg_tensor *x, const int64_t *times, const int64_t *size, int n)
{
    enum { TOGETHER = 3 };
    int64_t from[TG_MAX_DIM], to[TG_MAX_DIM], front = 1, whole = 1;
    const int first = n > TOGETHER ? n - TOGETHER : 0;
    size_t k = 1;
    for (int g = 0; g < first; g++)
        front *= size[g];
    from[0] = to[0] = whole = front;
    for (int g = first; g < n; g++) {
        from[k] = 1;
        to[k++] = times[g];
        from[k] = to[k] = size[g];
        k++;
    }
    for (size_t i = 1; i < k; i++)
        if (__builtin_mul_overflow(whole, to[i], &whole)) {
            tg_fail(tape, TG_ESHAPE, "repeat: the result is too large");
            return NULL;
        }
    x = tg_reshape_dims(tape, x, from, k);
    x = tg_contiguous(tape, tg_expand_dims(tape, x, to, k));
    if (!first)
        return x;
    int64_t sizes[TG_MAX_DIM];
    memcpy(sizes, size, sizeof sizes);
    for (int g = first; g < n; g++) /* of no elements, the product may be anything */
        sizes[first - 1] = (int64_t)((uint64_t)sizes[first - 1] * (uint64_t)times[g] * (uint64_t)size[g]);
    return repeat_groups(tape, x, times, sizes, first);
}

static tg_tensor *repeat(tg_tape *tape, tg_tensor *x, const char *what, const int64_t *repeats, size_t n)
{
    const tg_desc *d = tg_argument(tape, x, what, "x");
    tg_dims_attrs by;
    char text[200];
    int64_t times[TG_MAX_DIM], size[TG_MAX_DIM], result[TG_MAX_DIM];
    int groups = 0;
    if (!d || !tg_take_dims(tape, what, repeats, n, &by))
        return NULL;
    bool fits = n >= (size_t)d->ndim, once = true;
    for (size_t i = 0; i < n && fits; i++) {
        once = once && repeats[i] == 1;
        const int from = (int)i - ((int)n - d->ndim);
        const int64_t own = from < 0 ? 1 : d->dim[from];
        fits = repeats[i] >= 0 && !__builtin_mul_overflow(own, repeats[i], &result[i]);
        /* A dim that stays joins the group before it; one that is alone in its group joins the next. */
        if (groups && repeats[i] == 1)
            size[groups - 1] *= own;
        else if (groups && size[groups - 1] == 1 && fits) {
            fits = !__builtin_mul_overflow(times[groups - 1], repeats[i], &times[groups - 1]);
            size[groups - 1] = own;
        } else {
            times[groups] = repeats[i];
            size[groups++] = own;
        }
    }
    if (!fits) {
        tg_fail(tape, TG_EINVAL,
                "%s: takes a number of 0 or more for each of the %d dims, or more of them, got %s", what,
                d->ndim, tg_format_dims(repeats, by.dims.n, text, sizeof text));
        return NULL;
    }
    x = once ? tg_clone(tape, x) : repeat_groups(tape, x, times, size, groups);
    return tg_reshape_dims(tape, x, result, n);
}

tg_tensor *tg_repeat_dims(tg_tape *tape, tg_tensor *x, const int64_t *repeats, size_t n)
{
    return repeat(tape, x, "repeat", repeats, n);
}

tg_tensor *tg_tile_dims(tg_tape *tape, tg_tensor *x, const int64_t *repeats, size_t n)
{
    const tg_desc *d = tg_argument(tape, x, "tile", "x");
    tg_dims_attrs by;
    int64_t all[TG_MAX_DIM];
    if (!d || !tg_take_dims(tape, "tile", repeats, n, &by))
        return NULL;
    if (n >= (size_t)d->ndim)
        return repeat(tape, x, "tile", repeats, n);
    const size_t ndim = (size_t)d->ndim;
    for (size_t i = 0; i < ndim; i++)
        all[i] = i < ndim - n ? 1 : repeats[i - (ndim - n)];
    return repeat(tape, x, "tile", all, ndim);
}

/* x as [before, size of dim, 1, behind], and of the result the dims. */
static tg_tensor *opened(tg_tape *tape, tg_tensor *x, const tg_desc *d, int64_t dim, int64_t *before,
                         int64_t *behind)
{
    *before = *behind = 1;
    for (int i = 0; i < d->ndim; i++)
        *(i < dim ? before : behind) *= i == dim ? 1 : d->dim[i];
    return tg_reshape_dims(tape, x, (const int64_t[]){*before, d->dim[dim], 1, *behind}, 4);
}

/* One flat row where there is no dim. */
static tg_tensor *flat_without_dim(tg_tape *tape, tg_tensor *x, int64_t *dim)
{
    if (*dim != TG_NONE_INT)
        return x;
    *dim = 0;
    return tg_flatten(tape, x, 0, -1);
}

tg_tensor *tg_repeat_interleave(tg_tape *tape, tg_tensor *x, int64_t repeats, int64_t dim)
{
    if (!tg_argument(tape, x, "repeat_interleave", "x"))
        return NULL;
    x = flat_without_dim(tape, x, &dim);
    const tg_desc *d = tg_sliceable(tape, x, "repeat_interleave", &dim);
    int64_t before, behind, dims[TG_MAX_DIM];
    if (!d)
        return NULL;
    memcpy(dims, d->dim, sizeof dims);
    if (repeats < 0 || __builtin_mul_overflow(dims[dim], repeats, &dims[dim])) {
        tg_fail(tape, TG_EINVAL, "repeat_interleave: repeats must be 0 or more, and not too large, got %lld",
                (long long)repeats);
        return NULL;
    }
    const size_t ndim = (size_t)d->ndim;
    tg_tensor *y = opened(tape, x, d, dim, &before, &behind);
    y = tg_expand_dims(tape, y, (const int64_t[]){-1, -1, repeats, -1}, 4);
    return tg_reshape_dims(tape, y, dims, ndim);
}

/* The indices 0 repeats[0] times, 1 repeats[1] times, … ; NULL: the tape's error is set. */
static tg_tensor *repeated_indices(tg_tape *tape, const int64_t *repeats, int64_t n, int64_t output_size)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (repeats[i] < 0 || __builtin_add_overflow(sum, repeats[i], &sum)) {
            tg_fail(tape, TG_EINVAL,
                    "repeat_interleave: repeats[%lld] must be 0 or more, and not too large, got %lld",
                    (long long)i, (long long)repeats[i]);
            return NULL;
        }
    if (output_size != -1 && output_size != sum) {
        tg_fail(tape, TG_EINVAL, "repeat_interleave: output_size is %lld, but repeats add up to %lld",
                (long long)output_size, (long long)sum);
        return NULL;
    }
    const tg_allocator *a = tg_runtime_allocator(tape->rt);
    int64_t *index = (uint64_t)sum < SIZE_MAX / 16 ? tg_alloc(a, (size_t)sum * sizeof *index + 1) : NULL;
    if (!index) {
        tg_fail(tape, TG_ENOMEM, "repeat_interleave: no memory for %lld indices", (long long)sum);
        return NULL;
    }
    for (int64_t i = 0, at = 0; i < n; i++)
        for (int64_t k = 0; k < repeats[i]; k++)
            index[at++] = i;
    tg_tensor *out = tg_input(tape, TG_I64, &sum, 1, index);
    tg_free(a, index);
    return out;
}

tg_tensor *tg_repeat_interleave_each(tg_tape *tape, tg_tensor *x, tg_tensor *repeats, int64_t dim,
                                     int64_t output_size)
{
    const tg_desc *r = tg_argument(tape, repeats, "repeat_interleave", "repeats");
    if (!r || !tg_argument(tape, x, "repeat_interleave", "x"))
        return NULL;
    x = flat_without_dim(tape, x, &dim);
    const tg_desc *d = tg_sliceable(tape, x, "repeat_interleave", &dim);
    if (!d)
        return NULL;
    const int64_t n = tg_desc_count(r), size = d->dim[dim];
    if (r->dtype != TG_I64 || r->ndim > 1 || (n != 1 && n != size)) {
        char text[128];
        tg_fail(
            tape, r->dtype == TG_I64 ? TG_ESHAPE : TG_EDTYPE,
            "repeat_interleave: repeats must be i64, one for each of %lld elements or one for all, got %s",
            (long long)size, tg_desc_format(r, text, sizeof text));
        return NULL;
    }
    const tg_allocator *a = tg_runtime_allocator(tape->rt);
    int64_t *each = tg_alloc(a, (size_t)(size > n ? size : n) * sizeof *each + 1);
    if (!each) {
        tg_fail_again(tape, TG_ENOMEM);
        return NULL;
    }
    tg_status status = tg_tensor_read(repeats, each, (size_t)n * sizeof *each);
    for (int64_t i = n; i < size; i++)
        each[i] = each[0];
    tg_tensor *index = status ? NULL : repeated_indices(tape, each, size, output_size);
    tg_free(a, each);
    if (status)
        tg_fail_again(tape, status);
    return index ? tg_index_select(tape, x, dim, index) : NULL;
}

/* -- parts replaced
 * ------------------------------------------------------------------------------------------- */

tg_tensor *tg_slice_scatter(tg_tape *tape, tg_tensor *x, tg_tensor *src, int64_t dim, int64_t start,
                            int64_t end, int64_t step)
{
    const tg_desc *d = tg_sliceable(tape, x, "slice_scatter", &dim);
    tg_slice_attrs a;
    if (!d || !tg_clip_slice(tape, "slice_scatter", d->dim[dim], dim, start, end, step, &a))
        return NULL;
    return tg_row2(tape, &row_slice_scatter, x, src, &a, NULL);
}

tg_tensor *tg_select_scatter(tg_tape *tape, tg_tensor *x, tg_tensor *src, int64_t dim, int64_t index)
{
    TG_COMPOSES(tape, "select_scatter");
    const tg_desc *d = tg_sliceable(tape, x, "select_scatter", &dim),
                  *s = tg_argument(tape, src, "select_scatter", "src");
    if (!d || !s)
        return NULL;
    const int64_t size = d->dim[dim], at = index < 0 ? index + size : index;
    char text[128];
    if (at < 0 || at >= size) {
        tg_fail(tape, TG_EINDEX, "select_scatter: index %lld is outside dim %lld of x, %s", (long long)index,
                (long long)dim, tg_desc_format(d, text, sizeof text));
        return NULL;
    }
    bool fits = s->ndim == d->ndim - 1;
    for (int i = 0; i < s->ndim && fits; i++)
        fits = s->dim[i] == d->dim[i < dim ? i : i + 1];
    if (!fits) {
        tg_fail(tape, TG_ESHAPE, "select_scatter: src must have x's dims but dim %lld, got %s",
                (long long)dim, tg_desc_format(s, text, sizeof text));
        return NULL;
    }
    return tg_row2(tape, &row_slice_scatter, x, tg_unsqueeze(tape, src, dim),
                   &(tg_slice_attrs){dim, at, 1, 1}, NULL);
}

const tg_operator *const tg_ops_arrange[] = {
    &row_flip, &row_roll, &row_tril, &row_triu, &row_slice_scatter, NULL,
};
