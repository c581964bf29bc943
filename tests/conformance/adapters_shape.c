/* torch's operators of shape, as calls of our public functions. */
#include <string.h>

#include "op_call.h"

/* -- shape ---------------------------------------------------------------------------------------------- */

static void a_reshape(op_call *c)
{
    tg_ints d = integers(c, "shape");
    give(c, tg_reshape_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n));
}

static void a_flatten(op_call *c)
{
    give(c, tg_flatten(c->tape, tensor(c, "input"), integer(c, "start_dim", 0), integer(c, "end_dim", -1)));
}

static void a_transpose(op_call *c)
{
    give(c, tg_transpose(c->tape, tensor(c, "input"), integer(c, "dim0", 0), integer(c, "dim1", 1)));
}

static void a_t(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    give(c, tg_tensor_ndim(x) < 2 ? x : tg_transpose(c->tape, x, 0, 1));
}

static void a_permute(op_call *c)
{
    tg_ints d = integers(c, "dims");
    give(c, tg_permute_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n));
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
    int ndim = tg_tensor_ndim(x);
    bool chosen[TG_MAX_DIM] = {false}, all = !has(c, "dim");
    tg_ints d = integers(c, "dim");
    for (int64_t i = 0; i < d.n; i++) {
        int64_t k = d.v[i] < 0 ? d.v[i] + ndim : d.v[i];
        if (k >= 0 && k < ndim)
            chosen[k] = true;
        else if (ndim)
            cannot(c, "a dim out of range");
    }
    for (int i = ndim; i-- > 0;)
        if ((all || chosen[i]) && tg_tensor_dim(x, i) == 1)
            x = tg_squeeze(c->tape, x, i);
    give(c, x);
}

static void a_unsqueeze(op_call *c)
{
    give(c, tg_unsqueeze(c->tape, tensor(c, "input"), integer(c, "dim", 0)));
}

static void a_narrow(op_call *c)
{
    int64_t start = 0;
    if (is_number(c, "start"))
        start = integer(c, "start", 0);
    else if (tg_tensor_read(tensor(c, "start"), &start, sizeof start) != TG_OK)
        cannot(c, "a start that is neither an integer nor an i64 scalar has no counterpart here");
    give(c, tg_narrow(c->tape, tensor(c, "input"), integer(c, "dim", 0), start, integer(c, "length", 0)));
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

/* Of shape [0], which torch.cat passes over, whatever the others' shape. */
static bool is_nothing(const tg_tensor *t)
{
    return tg_tensor_ndim(t) == 1 && tg_tensor_dim(t, 0) == 0;
}

static void join(op_call *c, tg_tensor *(*f)(tg_tape *, tg_tensor *const *, size_t, int64_t))
{
    int64_t dim = integer(c, "dim", 0);
    for (size_t i = 0; i < c->n_args; i++)
        if (!strcmp(c->arg[i].name, "tensors") && has(c, "tensors")) {
            tg_tensor *of[MAX_LIST];
            size_t n = 0;
            for (size_t k = 0; k < c->arg[i].n_tensors; k++)
                if (f != tg_cat_n || c->arg[i].n_tensors == 1 || !is_nothing(c->arg[i].tensor[k]))
                    of[n++] = c->arg[i].tensor[k];
            give(c, f(c->tape, n ? of : c->arg[i].tensor, n ? n : c->arg[i].n_tensors, dim));
            return;
        }
    cannot(c, "no list 'tensors'");
}

static void a_cat(op_call *c)
{
    join(c, tg_cat_n);
}

static void a_stack(op_call *c)
{
    join(c, tg_stack_n);
}

/* Pieces of the given lengths, as views. */
static void pieces(op_call *c, tg_tensor *x, int64_t dim, int64_t each, const tg_ints *lengths)
{
    int64_t size = tg_tensor_dim(x, (int)dim), at = 0;
    for (int64_t i = 0; lengths ? i < lengths->n : at < size; i++) {
        int64_t n = lengths ? lengths->v[i] : each < size - at ? each : size - at;
        give(c, tg_narrow(c->tape, x, dim, at, n));
        at += n;
        if (c->v != PASSED || n < 0 || (!lengths && n == 0))
            return;
    }
}

static void a_chunk(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    int64_t dim = integer(c, "dim", 0), n = integer(c, "chunks", 1), size = tg_tensor_dim(x, (int)dim);
    if (size == 0 || n < 1)
        cannot(c, "chunks of nothing have no counterpart here");
    else
        pieces(c, x, dim, (size + n - 1) / n, NULL);
}

static void a_split(op_call *c)
{
    bool by_tensor = has(c, "tensor");
    tg_tensor *x = tensor(c, by_tensor ? "tensor" : "input");
    const char *name = by_tensor ? "split_size_or_sections" : "split_sizes";
    int64_t dim = integer(c, "dim", 0);
    tg_ints sizes = integers(c, name);
    if (is_number(c, name))
        pieces(c, x, dim, integer(c, name, 1), NULL);
    else
        pieces(c, x, dim, 0, &sizes);
}

static void a_unbind(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    int64_t dim = integer(c, "dim", 0), n = tg_tensor_dim(x, (int)dim);
    for (int64_t i = 0; i < n && c->v == PASSED; i++)
        give(c, tg_select(c->tape, x, dim, i));
}

static void a_unflatten(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    tg_ints sizes = integers(c, "sizes"), dims = {0};
    int64_t ndim = tg_tensor_ndim(x), dim = integer(c, "dim", 0), known = 1, free_one = -1;
    dim += dim < 0 ? ndim : 0;
    if (ndim + sizes.n - 1 > TG_MAX_DIM || dim < 0 || dim >= ndim) {
        cannot(c, "more dims than there can be");
        return;
    }
    for (int64_t i = 0; i < ndim; i++)
        for (int64_t k = 0; k < (i == dim ? sizes.n : 1); k++) {
            int64_t size = i == dim ? sizes.v[k] : tg_tensor_dim(x, (int)i);
            if (i == dim && size < 0)
                free_one = dims.n;
            else if (i == dim)
                known *= size;
            dims.v[dims.n++] = size;
        }
    if (free_one >= 0)
        dims.v[free_one] = known ? tg_tensor_dim(x, (int)dim) / known : 0;
    give(c, tg_reshape_dims(c->tape, x, dims.v, (size_t)dims.n));
}

static void a_movedim(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    tg_ints from = integers(c, "source"), to = integers(c, "destination"), dims = {.n = tg_tensor_ndim(x)};
    bool taken[TG_MAX_DIM] = {false}, placed[TG_MAX_DIM] = {false};
    for (int64_t i = 0; i < from.n && i < to.n; i++) {
        int64_t s = from.v[i] < 0 ? from.v[i] + dims.n : from.v[i],
                d = to.v[i] < 0 ? to.v[i] + dims.n : to.v[i];
        if (s < 0 || s >= dims.n || d < 0 || d >= dims.n || taken[s] || placed[d]) {
            cannot(c, "a dim out of range, or twice");
            return;
        }
        dims.v[d] = s;
        taken[s] = placed[d] = true;
    }
    for (int64_t d = 0, s = 0; d < dims.n; d++) {
        if (placed[d])
            continue;
        while (taken[s])
            s++;
        dims.v[d] = s++;
    }
    give(c, tg_permute_dims(c->tape, x, dims.v, (size_t)dims.n));
}

static void a_full(op_call *c)
{
    tg_ints d = integers(c, has(c, "size") ? "size" : "shape");
    on_the_host(c);
    give(c, tg_full(c->tape, dtype_or(c, c->g->dtype), d.v, (size_t)d.n, number(c, "fill_value", 0.0)));
}

const adapter adapters_shape[] = {
    {"reshape", a_reshape},
    {"flatten", a_flatten},
    {"transpose", a_transpose},
    {"t", a_t},
    {"permute", a_permute},
    {"expand", a_expand},
    {"broadcast_to", a_broadcast_to},
    {"expand_as", a_expand_as},
    {"squeeze", a_squeeze},
    {"unsqueeze", a_unsqueeze},
    {"narrow", a_narrow},
    {"select", a_select},
    {"slice", a_slice},
    {"cat", a_cat},
    {"stack", a_stack},
    {"chunk", a_chunk},
    {"split", a_split},
    {"split_with_sizes", a_split},
    {"unbind", a_unbind},
    {"unflatten", a_unflatten},
    {"movedim", a_movedim},
    {"full", a_full},
    {NULL, NULL},
};
