/* Einstein's sums, two operands at a time, as batched products. */
#include "autograd/operators/rows.h"

#include <string.h>

enum {
    ELLIPSIS = 52, /* the first of the labels that "..." stands for; before it A–Z, a–z */
    LABELS = ELLIPSIS + TG_MAX_DIM
};

/* A tensor whose dims carry labels, each once. */
typedef struct operand {
    tg_tensor *x;
    int n;
    uint8_t label[TG_MAX_DIM];
} operand;

typedef struct einsum {
    tg_tape *tape;
    const char *equation;
    operand *of;
    size_t n;
    int64_t size[LABELS];  /* of each label; −1: not seen */
    uint8_t times[LABELS]; /* how often it occurs in the operands, at most 2 counted */
    int ellipsis;          /* the dims of the widest "..." */
    uint8_t result[TG_MAX_DIM];
    int n_result;
} einsum;

static uint64_t bit(int label)
{
    return UINT64_C(1) << label;
}

static uint64_t labels_of(const operand *o)
{
    uint64_t all = 0;
    for (int i = 0; i < o->n; i++)
        all |= bit(o->label[i]);
    return all;
}

static bool refuse(const einsum *e, tg_status status, const char *why, const char *at)
{
    tg_fail(e->tape, status, "einsum: \"%s\": %s, at \"%s\"", e->equation, why, at);
    return false;
}

/* -- the equation -------------------------------------------------------------------------------------------
 */

static int label_of(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

/* One term, up to a comma, an arrow or the end. Writes at most TG_MAX_DIM labels; *ellipsis is how many stand
 * before the
 * "...", −1: there is none. */
static const char *read_term(const einsum *e, const char *s, uint8_t *label, int *n, int *ellipsis)
{
    *n = 0;
    *ellipsis = -1;
    for (; *s && *s != ',' && strncmp(s, "->", 2); s++) {
        if (*s == ' ')
            continue;
        if (*s == '.') {
            if (strncmp(s, "...", 3) || *ellipsis >= 0) {
                refuse(e, TG_EINVAL, "\"...\" may stand once in a term", s);
                return NULL;
            }
            *ellipsis = *n;
            s += 2;
        } else if (label_of(*s) < 0) {
            refuse(e, TG_EINVAL, "expected a letter, \"...\", \",\" or \"->\"", s);
            return NULL;
        } else if (*n == TG_MAX_DIM) {
            refuse(e, TG_ESHAPE, "a term has more labels than a tensor has dims", s);
            return NULL;
        } else {
            label[(*n)++] = (uint8_t)label_of(*s);
        }
    }
    return s;
}

static bool note_size(einsum *e, int label, int64_t size, const char *term)
{
    int64_t *known = &e->size[label];
    if (*known < 0 || *known == 1) {
        *known = size;
    } else if (size != 1 && size != *known) {
        char why[120];
        snprintf(why, sizeof why, "a label stands for dims of different sizes, %lld and %lld (%c)",
                 (long long)*known, (long long)size,
                 label < 26         ? 'A' + label
                 : label < ELLIPSIS ? 'a' + label - 26
                                    : '.');
        return refuse(e, TG_ESHAPE, why, term);
    }
    e->times[label] += e->times[label] < 2;
    return true;
}

/* The labels of operand i: its dims named, with those of "..." counted from the right. */
static const char *read_operand(einsum *e, size_t i, const tg_desc *d, const char *s)
{
    uint8_t label[TG_MAX_DIM];
    int n, before;
    const char *end = read_term(e, s, label, &n, &before);
    operand *o = &e->of[i];
    if (!end)
        return NULL;
    if (n > d->ndim || (before < 0 && n != d->ndim)) {
        char text[128];
        tg_fail(e->tape, TG_ESHAPE, "einsum: \"%s\": operand %zu has %d labels, but is %s", e->equation, i, n,
                tg_desc_format(d, text, sizeof text));
        return NULL;
    }
    const int open = d->ndim - n;
    if (open > e->ellipsis)
        e->ellipsis = open;
    o->n = d->ndim;
    for (int k = 0; k < d->ndim; k++) {
        const bool dots = before >= 0 && k >= before && k < before + open;
        o->label[k] = dots ? (uint8_t)(ELLIPSIS + TG_MAX_DIM - open + k - before)
                           : label[before >= 0 && k >= before + open ? k - open : k];
        for (int earlier = 0; earlier < k; earlier++)
            if (o->label[earlier] == o->label[k] && d->dim[earlier] != d->dim[k]) {
                refuse(e, TG_ESHAPE, "a letter twice in one operand stands for dims of different sizes", s);
                return NULL;
            }
        if (!note_size(e, o->label[k], d->dim[k], s))
            return NULL;
    }
    return end;
}

/* What the result names: after the arrow, or by torch's rule. */
static bool read_result(einsum *e, const char *s)
{
    uint8_t label[TG_MAX_DIM];
    int n = 0, before = 0;
    uint64_t seen = 0;
    if (*s) {
        s = read_term(e, s + 2, label, &n, &before);
        if (!s)
            return false;
        if (*s)
            return refuse(e, TG_EINVAL, "nothing may follow the result", s);
    }
    const bool given = e->equation[0] && strstr(e->equation, "->");
    if (!given) {
        for (int l = 0; l < ELLIPSIS; l++)
            if (e->times[l] == 1) {
                if (n == TG_MAX_DIM)
                    return refuse(e, TG_ESHAPE, "the result has more than 8 dims", e->equation);
                label[n++] = (uint8_t)l;
            }
    }
    const int dots = before >= 0 ? e->ellipsis : 0;
    if (n + dots > TG_MAX_DIM)
        return refuse(e, TG_ESHAPE, "the result has more than 8 dims", e->equation);
    for (int k = 0; k < n; k++) {
        if (e->size[label[k]] < 0)
            return refuse(e, TG_EINVAL, "the result names a letter that no operand has",
                          strstr(e->equation, "->"));
        if (seen & bit(label[k]))
            return refuse(e, TG_EINVAL, "the result names a letter twice", strstr(e->equation, "->"));
        seen |= bit(label[k]);
    }
    for (int k = 0; k <= n; k++) {
        for (int dot = 0; k == before && dot < dots; dot++)
            e->result[e->n_result++] = (uint8_t)(LABELS - dots + dot);
        if (k < n)
            e->result[e->n_result++] = label[k];
    }
    return true;
}

static bool read_equation(einsum *e, tg_tensor *const xs[])
{
    const char *s = e->equation;
    for (size_t i = 0; i < e->n; i++) {
        const tg_desc *d = tg_argument(e->tape, xs[i], "einsum", "an operand");
        if (!d)
            return false;
        e->of[i].x = xs[i];
        s = read_operand(e, i, d, s);
        if (!s)
            return false;
        if ((i + 1 < e->n) != (*s == ',')) {
            tg_fail(e->tape, TG_EINVAL, "einsum: \"%s\" has %s terms than there are operands, %zu",
                    e->equation, *s == ',' ? "more" : "fewer", e->n);
            return false;
        }
        s += *s == ',';
    }
    return read_result(e, s);
}

/* -- operands
 * ------------------------------------------------------------------------------------------------- */

/* Repeated labels become diagonals, and dims of size 1 go: they broadcast by not being there. */
static void tidy(einsum *e, operand *o)
{
    for (int k = 1; k < o->n; k++)
        for (int earlier = 0; earlier < k; earlier++)
            if (o->label[earlier] == o->label[k]) {
                const uint8_t label = o->label[k];
                o->x = tg_diagonal(e->tape, o->x, 0, earlier, k);
                int to = 0;
                for (int from = 0; from < o->n; from++)
                    if (from != earlier && from != k)
                        o->label[to++] = o->label[from];
                o->label[to++] = label;
                o->n = to;
                k = 0;
                break;
            }
    int64_t dims[TG_MAX_DIM];
    int to = 0;
    for (int k = 0; k < o->n; k++) {
        dims[to] = tg_tensor_dim(o->x, k);
        o->label[to] = o->label[k];
        to += dims[to] != 1;
    }
    if (to < o->n)
        o->x = tg_reshape_dims(e->tape, o->x, dims, (size_t)to);
    o->n = to;
}

/* Sums over all labels but these. */
static void sum_but(einsum *e, operand *o, uint64_t kept)
{
    int64_t dims[TG_MAX_DIM];
    size_t n = 0;
    int to = 0;
    for (int k = 0; k < o->n; k++) {
        if (!(kept & bit(o->label[k])))
            dims[n++] = k;
        else
            o->label[to++] = o->label[k];
    }
    if (n)
        o->x = tg_sum_dims(e->tape, o->x, dims, n, false);
    o->n = to;
}

/* o's dims in the order of these labels. */
static tg_tensor *ordered(const einsum *e, const operand *o, const uint8_t *label, int n)
{
    int64_t order[TG_MAX_DIM];
    int at = 0;
    for (int k = 0; k < n; k++)
        for (int i = 0; i < o->n; i++)
            if (o->label[i] == label[k])
                order[at++] = i;
    return tg_permute_dims(e->tape, o->x, order, (size_t)at);
}

/* Those of o's labels that are in `which`, appended. */
static int append(uint8_t *to, int n, const operand *o, uint64_t which)
{
    for (int k = 0; k < o->n; k++)
        if (which & bit(o->label[k]))
            to[n++] = o->label[k];
    return n;
}

static int64_t sizes(const einsum *e, const uint8_t *label, int n, int64_t *dims)
{
    int64_t product = 1;
    for (int k = 0; k < n; k++)
        product *= dims[k] = e->size[label[k]];
    return product;
}

/* No label to sum: a product by broadcasting. */
static bool multiply(einsum *e, operand *a, const operand *b, const uint8_t *all, int n)
{
    tg_tensor *x[2];
    for (int which = 0; which < 2; which++) {
        const operand *o = which ? b : a;
        int64_t dims[TG_MAX_DIM];
        for (int k = 0; k < n; k++)
            dims[k] = labels_of(o) & bit(all[k]) ? e->size[all[k]] : 1;
        x[which] = tg_reshape_dims(e->tape, ordered(e, o, all, n), dims, (size_t)n);
    }
    a->x = tg_mul(e->tape, x[0], x[1]);
    return a->x != NULL;
}

/* a = a·b, summed over the labels of both that nobody needs any more. */
static bool contract(einsum *e, operand *a, operand *b, uint64_t kept)
{
    sum_but(e, a, kept | labels_of(b));
    sum_but(e, b, kept | labels_of(a));
    const uint64_t in_a = labels_of(a), in_b = labels_of(b), summed = in_a & in_b & ~kept,
                   batch = in_a & in_b & kept;
    uint8_t all[3 * TG_MAX_DIM], second[2 * TG_MAX_DIM];
    const int n_batch = append(all, 0, a, batch), n_a = append(all, n_batch, a, in_a & ~in_b),
              n_all = append(all, n_a, b, in_b & ~in_a);
    if (n_all > TG_MAX_DIM || n_batch + 2 > TG_MAX_DIM)
        return refuse(e, TG_ESHAPE, "a product on the way needs more than 8 dims", e->equation);
    int64_t dims[TG_MAX_DIM], scrap[TG_MAX_DIM];
    if (!summed) {
        if (!multiply(e, a, b, all, n_all))
            return false;
    } else {
        uint8_t first[2 * TG_MAX_DIM];
        memcpy(first, all, (size_t)n_a);
        const int n_first = append(first, n_a, a, summed);
        memcpy(second, all, (size_t)n_batch);
        int n_second = n_batch;
        memcpy(second + n_second, first + n_a, (size_t)(n_first - n_a));
        n_second += n_first - n_a;
        n_second = append(second, n_second, b, in_b & ~in_a);
        sizes(e, all, n_batch, dims);
        const int64_t inner = sizes(e, first + n_a, n_first - n_a, scrap);
        dims[n_batch] = sizes(e, all + n_batch, n_a - n_batch, scrap);
        dims[n_batch + 1] = inner;
        tg_tensor *x = tg_reshape_dims(e->tape, ordered(e, a, first, n_first), dims, (size_t)n_batch + 2);
        dims[n_batch] = inner;
        dims[n_batch + 1] = sizes(e, all + n_a, n_all - n_a, scrap);
        tg_tensor *y = tg_reshape_dims(e->tape, ordered(e, b, second, n_second), dims, (size_t)n_batch + 2);
        sizes(e, all, n_all, dims);
        if (x && y && tg_tensor_dtype(x) != tg_tensor_dtype(y)) {
            tg_fail(e->tape, TG_EDTYPE, "einsum: \"%s\": expected operands of one dtype, got %s and %s",
                    e->equation, tg_dtype_name((int32_t)tg_tensor_dtype(x)),
                    tg_dtype_name((int32_t)tg_tensor_dtype(y)));
            return false;
        }
        a->x = tg_reshape_dims(e->tape, tg_matmul(e->tape, x, y), dims, (size_t)n_all);
    }
    memcpy(a->label, all, (size_t)n_all);
    a->n = n_all;
    return a->x != NULL;
}

/* -- the function of ops.h
 * ------------------------------------------------------------------------------------ */

static tg_tensor *run(einsum *e)
{
    uint64_t result = 0;
    for (int k = 0; k < e->n_result; k++)
        result |= bit(e->result[k]);
    for (size_t i = 0; i < e->n; i++)
        tidy(e, &e->of[i]);
    operand *a = &e->of[0];
    for (size_t i = 1; i < e->n; i++) {
        uint64_t kept = result;
        for (size_t later = i + 1; later < e->n; later++)
            kept |= labels_of(&e->of[later]);
        if (tg_tape_status(e->tape) || !contract(e, a, &e->of[i], kept))
            return NULL;
    }
    sum_but(e, a, result);
    int64_t dims[TG_MAX_DIM];
    sizes(e, e->result, e->n_result, dims);
    return tg_reshape_dims(e->tape, ordered(e, a, e->result, e->n_result), dims, (size_t)e->n_result);
}

tg_tensor *tg_einsum(tg_tape *tape, const char *equation, tg_tensor *const xs[], size_t n)
{
    TG_COMPOSES(tape, "einsum");
    einsum e = {.tape = tape, .equation = equation, .n = n};
    if (!tape || !equation || !xs || !n) {
        tg_fail(tape, TG_EINVAL, "einsum: %s",
                !tape       ? "tape is NULL"
                : !equation ? "equation is NULL"
                            : "needs at least one operand");
        return NULL;
    }
    for (int l = 0; l < LABELS; l++)
        e.size[l] = -1;
    e.of = tg_arena_get(&tape->arena, n * sizeof *e.of);
    if (!e.of) {
        tg_fail_again(tape, TG_ENOMEM);
        return NULL;
    }
    return read_equation(&e, xs) ? run(&e) : NULL;
}
