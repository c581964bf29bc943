/* torch's operators of shape, as calls of our public functions. */
#include <string.h>

#include "op_call.h"

/* -- views ---------------------------------------------------------------------------------------------- */

static void a_reshape(op_call *c)
{
    tg_ints d = integers(c, "shape");
    give(c, tg_reshape_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n));
}

static void a_flatten(op_call *c)
{
    give(c, tg_flatten(c->tape, tensor(c, "input"), integer(c, "start_dim", 0), integer(c, "end_dim", -1)));
}

static void a_unflatten(op_call *c)
{
    tg_ints sizes = integers(c, "sizes");
    give(c, tg_unflatten(c->tape, tensor(c, "input"), integer(c, "dim", 0), sizes.v, (size_t)sizes.n));
}

static void a_transpose(op_call *c)
{
    give(c, tg_transpose(c->tape, tensor(c, "input"), integer(c, "dim0", 0), integer(c, "dim1", 1)));
}

static void a_t(op_call *c)
{
    give(c, tg_t(c->tape, tensor(c, "input")));
}

static void a_permute(op_call *c)
{
    tg_ints d = integers(c, "dims");
    give(c, tg_permute_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n));
}

static void a_movedim(op_call *c)
{
    tg_ints from = integers(c, "source"), to = integers(c, "destination");
    if (from.n != to.n)
        cannot(c, "source and destination are of different lengths");
    else
        give(c, tg_movedim(c->tape, tensor(c, "input"), from.v, to.v, (size_t)from.n));
}

static void a_expand(op_call *c)
{
    tg_ints d = integers(c, "shape");
    give(c, tg_expand_dims(c->tape, tensor(c, "self"), d.v, (size_t)d.n));
}

static void a_broadcast_to(op_call *c)
{
    tg_ints d = integers(c, "size");
    give(c, tg_expand_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n));
}

static void a_expand_as(op_call *c)
{
    tg_desc d = {0};
    tg_tensor *x = tensor(c, "self"), *other = tensor(c, "other");
    tg_tensor_desc(other, &d);
    give(c, tg_expand_dims(c->tape, x, d.dim, (size_t)d.ndim));
}

static void a_squeeze(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    tg_ints d = integers(c, "dim");
    give(c, has(c, "dim") ? tg_squeeze_dims(c->tape, x, d.v, (size_t)d.n) : tg_squeeze_all(c->tape, x));
}

static void a_unsqueeze(op_call *c)
{
    give(c, tg_unsqueeze(c->tape, tensor(c, "input"), integer(c, "dim", 0)));
}

static void a_narrow(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    int64_t dim = integer(c, "dim", 0), length = integer(c, "length", 0);
    if (is_number(c, "start"))
        give(c, tg_narrow(c->tape, x, dim, integer(c, "start", 0), length));
    else
        give(c, tg_narrow_at(c->tape, x, dim, tensor(c, "start"), length));
}

static void a_select(op_call *c)
{
    give(c, tg_select(c->tape, tensor(c, "input"), integer(c, "dim", 0), integer(c, "index", 0)));
}

static void a_slice(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    int64_t dim = integer(c, "dim", 0);
    give(c, tg_slice(c->tape, x, dim, integer(c, "start", 0), integer(c, "end", INT64_MAX),
                     integer(c, "step", 1)));
}

static void a_diagonal(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    int64_t offset = integer(c, "offset", 0);
    give(c, tg_diagonal(c->tape, x, offset, integer(c, "dim1", 0), integer(c, "dim2", 1)));
}

static void a_linalg_diagonal(op_call *c)
{
    tg_tensor *x = tensor(c, "A");
    int64_t offset = integer(c, "offset", 0);
    give(c, tg_diagonal(c->tape, x, offset, integer(c, "dim1", -2), integer(c, "dim2", -1)));
}

static void a_unfold(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    int64_t dim = integer(c, "dimension", 0);
    give(c, tg_unfold_dim(c->tape, x, dim, integer(c, "size", 1), integer(c, "step", 1)));
}

/* -- pieces --------------------------------------------------------------------------------------------- */

static void give_all(op_call *c, tg_tensor *const pieces[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        give(c, pieces[i]);
}

static void a_chunk(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *out[MAX_OUT];
    give_all(c, out, tg_chunk(c->tape, x, integer(c, "chunks", 1), integer(c, "dim", 0), out, MAX_OUT));
}

static void a_split(op_call *c)
{
    bool by_tensor = has(c, "tensor");
    tg_tensor *x = tensor(c, by_tensor ? "tensor" : "input"), *out[MAX_OUT];
    const char *name = by_tensor ? "split_size_or_sections" : "split_sizes";
    int64_t dim = integer(c, "dim", 0);
    tg_ints sizes = integers(c, name);
    if (is_number(c, name))
        give_all(c, out, tg_split(c->tape, x, integer(c, name, 1), dim, out, MAX_OUT));
    else
        give_all(c, out, tg_split_with_sizes(c->tape, x, sizes.v, (size_t)sizes.n, dim, out, MAX_OUT));
}

/* Sections or indices, as numbers or in a tensor of either. */
static void a_tensor_split(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *out[MAX_OUT];
    int64_t dim = integer(c, "dim", 0), read[TG_MAX_DIM] = {integer(c, "sections", 0)};
    tg_ints indices = integers(c, "indices");
    size_t n = (size_t)indices.n;
    bool sections = has(c, "sections");
    memcpy(read, has(c, "indices") ? indices.v : read, sizeof read);
    if (has(c, "tensor_indices_or_sections")) {
        tg_tensor *t = tensor(c, "tensor_indices_or_sections");
        sections = tg_tensor_ndim(t) == 0;
        n = (size_t)tg_tensor_count(t);
        if (n > TG_MAX_DIM || tg_tensor_read(t, read, n * sizeof *read))
            cannot(c, "more indices than this runner takes");
    }
    if (c->v != PASSED)
        return;
    if (sections)
        give_all(c, out, tg_tensor_split(c->tape, x, read[0], dim, out, MAX_OUT));
    else
        give_all(c, out, tg_tensor_split_indices(c->tape, x, read, n, dim, out, MAX_OUT));
}

static void a_unbind(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *out[MAX_OUT];
    give_all(c, out, tg_unbind(c->tape, x, integer(c, "dim", 0), out, MAX_OUT));
}

/* -- joined --------------------------------------------------------------------------------------------- */

static void a_cat(op_call *c)
{
    size_t n;
    tg_tensor *const *xs = tensors(c, "tensors", &n);
    give(c, tg_cat_n(c->tape, xs, n, integer(c, "dim", 0)));
}

static void a_stack(op_call *c)
{
    size_t n;
    tg_tensor *const *xs = tensors(c, "tensors", &n);
    give(c, tg_stack_n(c->tape, xs, n, integer(c, "dim", 0)));
}

#define JOIN(name)                                                                                           \
    static void a_##name(op_call *c)                                                                         \
    {                                                                                                        \
        size_t n;                                                                                            \
        tg_tensor *const *xs = tensors(c, "tensors", &n);                                                    \
        give(c, tg_##name##_n(c->tape, xs, n));                                                              \
    }
JOIN(hstack)
JOIN(vstack)
JOIN(dstack)
JOIN(column_stack)

/* -- rearranged ----------------------------------------------------------------------------------------- */

static void a_flip(op_call *c)
{
    tg_ints d = integers(c, "dims");
    give(c, tg_flip_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n));
}

static void a_fliplr(op_call *c)
{
    give(c, tg_fliplr(c->tape, tensor(c, "input")));
}

static void a_flipud(op_call *c)
{
    give(c, tg_flipud(c->tape, tensor(c, "input")));
}

static void a_roll(op_call *c)
{
    tg_ints shifts = integers(c, "shifts"), dims = integers(c, "dims");
    if (dims.n && dims.n != shifts.n)
        cannot(c, "shifts and dims are of different lengths");
    else
        give(c, tg_roll(c->tape, tensor(c, "input"), shifts.v, dims.n ? dims.v : NULL, (size_t)shifts.n));
}

static void a_rot90(op_call *c)
{
    tg_ints d = integers(c, "dims");
    if (!has(c, "dims"))
        d = (tg_ints){2, {0, 1}};
    give(c, tg_rot90(c->tape, tensor(c, "input"), integer(c, "k", 1), d.v[0], d.v[1]));
}

static void a_repeat(op_call *c)
{
    tg_ints d = integers(c, "dims");
    give(c, tg_repeat_dims(c->tape, tensor(c, "x"), d.v, (size_t)d.n));
}

static void a_tile(op_call *c)
{
    tg_ints d = integers(c, "dims");
    give(c, tg_tile_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n));
}

static void a_repeat_interleave(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    int64_t dim = integer(c, "dim", TG_NONE_INT), size = integer(c, "output_size", -1);
    if (is_number(c, "repeats"))
        give(c, tg_repeat_interleave(c->tape, x, integer(c, "repeats", 1), dim));
    else
        give(c, tg_repeat_interleave_each(c->tape, x, tensor(c, "repeats"), dim, size));
}

static void a_tril(op_call *c)
{
    give(c, tg_tril(c->tape, tensor(c, "input"), integer(c, "diagonal", 0)));
}

static void a_triu(op_call *c)
{
    give(c, tg_triu(c->tape, tensor(c, "input"), integer(c, "diagonal", 0)));
}

static void a_diag(op_call *c)
{
    give(c, tg_diag(c->tape, tensor(c, "input"), integer(c, "diagonal", 0)));
}

static void a_diag_embed(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    int64_t offset = integer(c, "offset", 0);
    give(c, tg_diag_embed(c->tape, x, offset, integer(c, "dim1", -2), integer(c, "dim2", -1)));
}

static void a_trace(op_call *c)
{
    give(c, tg_trace(c->tape, tensor(c, "input")));
}

static void a_slice_scatter(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *src = tensor(c, "src");
    int64_t dim = integer(c, "dim", 0), start = integer(c, "start", 0), end = integer(c, "end", INT64_MAX);
    give(c, tg_slice_scatter(c->tape, x, src, dim, start, end, integer(c, "step", 1)));
}

static void a_select_scatter(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *src = tensor(c, "src");
    give(c, tg_select_scatter(c->tape, x, src, integer(c, "dim", 0), integer(c, "index", 0)));
}

/* -- made ----------------------------------------------------------------------------------------------- */

static void a_full(op_call *c)
{
    tg_ints d = integers(c, has(c, "size") ? "size" : "shape");
    on_the_host(c);
    give(c, tg_full(c->tape, dtype_or(c, c->g->dtype), d.v, (size_t)d.n, number(c, "fill_value", 0.0)));
}

static void like(op_call *c, double value)
{
    tg_tensor *x = tensor(c, "input");
    on_the_host(c);
    give(c, tg_full_like(c->tape, x, dtype_or(c, tg_tensor_dtype(x)), value));
}

static void a_zeros_like(op_call *c)
{
    like(c, 0);
}

static void a_ones_like(op_call *c)
{
    like(c, 1);
}

/* Of integers alone, torch.arange makes integers. */
static void a_arange(op_call *c)
{
    bool whole = is_integer(c, "end") && (!has(c, "start") || is_integer(c, "start")) &&
                 (!has(c, "step") || is_integer(c, "step"));
    tg_dtype dtype = dtype_or(c, whole ? TG_I64 : c->g->dtype);
    double start = number(c, "start", 0), end = number(c, "end", 0);
    on_the_host(c);
    give(c, tg_arange(c->tape, dtype, start, end, number(c, "step", 1)));
}

static double number_or_item(op_call *c, const char *name)
{
    double x = 0;
    if (is_number(c, name))
        return number(c, name, 0);
    if (tg_item(tensor(c, name), &x))
        cannot(c, "argument '%s' is no number", name);
    return x;
}

static void a_linspace(op_call *c)
{
    double start = number_or_item(c, "start"), end = number_or_item(c, "end");
    on_the_host(c);
    give(c, tg_linspace(c->tape, dtype_or(c, c->g->dtype), start, end, integer(c, "steps", 0)));
}

static void a_logspace(op_call *c)
{
    double start = number_or_item(c, "start"), end = number_or_item(c, "end"), base = number(c, "base", 10);
    on_the_host(c);
    give(c, tg_logspace(c->tape, dtype_or(c, c->g->dtype), start, end, integer(c, "steps", 0), base));
}

static void a_eye(op_call *c)
{
    int64_t n = integer(c, "n", 0);
    on_the_host(c);
    if (flag(c, "requires_grad", false))
        cannot(c, "an identity that wants a gradient has no counterpart here");
    give(c, tg_eye(c->tape, dtype_or(c, c->g->dtype), n, integer(c, "m", n)));
}

const adapter adapters_shape[] = {
    {"reshape", a_reshape},
    {"flatten", a_flatten},
    {"unflatten", a_unflatten},
    {"transpose", a_transpose},
    {"t", a_t},
    {"permute", a_permute},
    {"movedim", a_movedim},
    {"expand", a_expand},
    {"broadcast_to", a_broadcast_to},
    {"expand_as", a_expand_as},
    {"squeeze", a_squeeze},
    {"unsqueeze", a_unsqueeze},
    {"narrow", a_narrow},
    {"select", a_select},
    {"slice", a_slice},
    {"diagonal", a_diagonal},
    {"linalg.diagonal", a_linalg_diagonal},
    {"unfold", a_unfold},
    {"chunk", a_chunk},
    {"split", a_split},
    {"split_with_sizes", a_split},
    {"tensor_split", a_tensor_split},
    {"unbind", a_unbind},
    {"cat", a_cat},
    {"stack", a_stack},
    {"hstack", a_hstack},
    {"vstack", a_vstack},
    {"dstack", a_dstack},
    {"column_stack", a_column_stack},
    {"flip", a_flip},
    {"fliplr", a_fliplr},
    {"flipud", a_flipud},
    {"roll", a_roll},
    {"rot90", a_rot90},
    {"repeat", a_repeat},
    {"tile", a_tile},
    {"repeat_interleave", a_repeat_interleave},
    {"tril", a_tril},
    {"triu", a_triu},
    {"diag", a_diag},
    {"diag_embed", a_diag_embed},
    {"trace", a_trace},
    {"slice_scatter", a_slice_scatter},
    {"select_scatter", a_select_scatter},
    {"full", a_full},
    {"zeros_like", a_zeros_like},
    {"ones_like", a_ones_like},
    {"arange", a_arange},
    {"linspace", a_linspace},
    {"logspace", a_logspace},
    {"eye", a_eye},
    {NULL, NULL},
};
