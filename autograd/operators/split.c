/* One tensor as several views of it. */
#include "autograd/operators/rows.h"

/* -- pieces --------------------------------------------------------------------------------------------- */

/* Where a call puts its pieces. */
typedef struct pieces {
    tg_tape *tape;
    tg_tensor *x, **out;
    const char *what;
    int64_t dim;
    size_t n, done;
} pieces;

/* Is there room for n of them? */
static bool open_pieces(pieces *p, size_t n, size_t capacity)
{
    p->n = n;
    if (!p->out || n <= capacity)
        return true;
    tg_fail(p->tape, TG_EINVAL, "%s: there are %zu pieces, out has room for %zu", p->what, n, capacity);
    return false;
}

static void put(pieces *p, int64_t start, int64_t length)
{
    if (p->out && p->done < p->n)
        p->out[p->done++] = tg_slice_of(p->tape, p->x, &(tg_slice_attrs){p->dim, start, length, 1});
}

/* The number of pieces: 0 where one of them failed, and none of them is handed out. */
static size_t close_pieces(const pieces *p)
{
    if (!p->out || tg_tape_status(p->tape) == TG_OK)
        return p->n;
    for (size_t i = 0; i < p->done; i++)
        p->out[i] = NULL;
    return 0;
}

static size_t even_pieces(pieces *p, int64_t size, int64_t each, size_t n, size_t capacity)
{
    if (!open_pieces(p, n, capacity))
        return 0;
    for (size_t i = 0; p->out && i < n; i++) {
        const int64_t at = each * (int64_t)i;
        put(p, at, each < size - at ? each : size - at);
    }
    return close_pieces(p);
}

/* -- the functions of ops.h ----------------------------------------------------------------------------- */

size_t tg_split(tg_tape *tape, tg_tensor *x, int64_t split_size, int64_t dim, tg_tensor *out[],
                size_t capacity)
{
    const tg_desc *d = tg_sliceable(tape, x, "split", &dim);
    if (!d)
        return 0;
    const int64_t size = d->dim[dim];
    if (split_size < 0 || (!split_size && size)) {
        tg_fail(tape, TG_EINVAL, "split: split_size must be 1 or more, got %lld", (long long)split_size);
        return 0;
    }
    pieces p = {tape, x, out, "split", dim, 0, 0};
    return even_pieces(&p, size, split_size, size ? (size_t)((size - 1) / split_size) + 1 : 1, capacity);
}

size_t tg_chunk(tg_tape *tape, tg_tensor *x, int64_t chunks, int64_t dim, tg_tensor *out[], size_t capacity)
{
    const tg_desc *d = tg_sliceable(tape, x, "chunk", &dim);
    if (!d)
        return 0;
    if (chunks < 1) {
        tg_fail(tape, TG_EINVAL, "chunk: chunks must be 1 or more, got %lld", (long long)chunks);
        return 0;
    }
    const int64_t size = d->dim[dim], each = size ? (size - 1) / chunks + 1 : 0;
    pieces p = {tape, x, out, "chunk", dim, 0, 0};
    return even_pieces(&p, size, each, (size_t)(size ? (size - 1) / each + 1 : chunks), capacity);
}

size_t tg_split_with_sizes(tg_tape *tape, tg_tensor *x, const int64_t *sizes, size_t n, int64_t dim,
                           tg_tensor *out[], size_t capacity)
{
    const tg_desc *d = tg_sliceable(tape, x, "split_with_sizes", &dim);
    if (!d)
        return 0;
    if (n && !sizes) {
        tg_null(tape, "split_with_sizes", "sizes");
        return 0;
    }
    int64_t sum = 0;
    bool fits = true;
    for (size_t i = 0; i < n && fits; i++)
        fits = sizes[i] >= 0 && !__builtin_add_overflow(sum, sizes[i], &sum);
    if (!fits || sum != d->dim[dim]) {
        tg_fail(tape, TG_EINVAL,
                "split_with_sizes: %zu sizes of 0 or more must add up to %lld, dim %lld's size, got %lld%s",
                n, (long long)d->dim[dim], (long long)dim, (long long)sum,
                fits ? "" : " before one that is not");
        return 0;
    }
    pieces p = {tape, x, out, "split_with_sizes", dim, 0, 0};
    if (!open_pieces(&p, n, capacity))
        return 0;
    for (size_t i = 0, at = 0; i < n; at += (size_t)sizes[i++])
        put(&p, (int64_t)at, sizes[i]);
    return close_pieces(&p);
}

size_t tg_tensor_split(tg_tape *tape, tg_tensor *x, int64_t sections, int64_t dim, tg_tensor *out[],
                       size_t capacity)
{
    const tg_desc *d = tg_sliceable(tape, x, "tensor_split", &dim);
    if (!d)
        return 0;
    if (sections < 1) {
        tg_fail(tape, TG_EINVAL, "tensor_split: sections must be 1 or more, got %lld", (long long)sections);
        return 0;
    }
    const int64_t each = d->dim[dim] / sections, larger = d->dim[dim] % sections;
    pieces p = {tape, x, out, "tensor_split", dim, 0, 0};
    if (!open_pieces(&p, (size_t)sections, capacity))
        return 0;
    for (int64_t i = 0, at = 0; out && i < sections; i++) {
        put(&p, at, each + (i < larger));
        at += each + (i < larger);
    }
    return close_pieces(&p);
}

/* A bound as Python's slices clip it. */
static int64_t clipped(int64_t i, int64_t size)
{
    return i < 0 ? (i < -size ? 0 : i + size) : i < size ? i : size;
}

size_t tg_tensor_split_indices(tg_tape *tape, tg_tensor *x, const int64_t *indices, size_t n, int64_t dim,
                               tg_tensor *out[], size_t capacity)
{
    const tg_desc *d = tg_sliceable(tape, x, "tensor_split", &dim);
    if (!d)
        return 0;
    if (n && !indices) {
        tg_null(tape, "tensor_split", "indices");
        return 0;
    }
    pieces p = {tape, x, out, "tensor_split", dim, 0, 0};
    if (!open_pieces(&p, n + 1, capacity))
        return 0;
    const int64_t size = d->dim[dim];
    int64_t start = 0;
    for (size_t i = 0; i <= n; i++) {
        const int64_t end = i < n ? clipped(indices[i], size) : size;
        put(&p, start, end > start ? end - start : 0);
        start = end;
    }
    return close_pieces(&p);
}

size_t tg_unbind(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *out[], size_t capacity)
{
    const tg_desc *d = tg_sliceable(tape, x, "unbind", &dim);
    if (!d)
        return 0;
    const int64_t n = d->dim[dim];
    pieces p = {tape, x, out, "unbind", dim, 0, 0};
    if (!open_pieces(&p, (size_t)n, capacity))
        return 0;
    for (int64_t i = 0; out && i < n; i++)
        out[p.done++] = tg_select(tape, x, dim, i);
    return close_pieces(&p);
}

tg_tensor *tg_narrow_at(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor *start, int64_t length)
{
    const tg_desc *d = tg_argument(tape, start, "narrow", "start");
    int64_t from = 0;
    if (!d)
        return NULL;
    if (d->dtype != TG_I64 || tg_desc_count(d) != 1) {
        char text[128];
        tg_fail(tape, TG_EDTYPE, "narrow: start must be one i64, got %s",
                tg_desc_format(d, text, sizeof text));
        return NULL;
    }
    const tg_status status = tg_tensor_read(start, &from, sizeof from);
    if (status) {
        tg_fail_again(tape, status);
        return NULL;
    }
    return tg_narrow(tape, x, dim, from, length);
}
