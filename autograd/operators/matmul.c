/* Products: matmul and linear. Gradients are products again, over transposed views, so every order is
 * covered. */
#include "autograd/operators/rows.h"

/* -- infer ----------------------------------------------------------------------------------------------- */

static tg_status check_dtypes(const tg_infer *q, bool integers)
{
    const tg_desc *first = q->in[0];
    if (!tg_dtype_is_float(first->dtype) && !(integers && first->dtype == TG_I64))
        return tg_infer_fail(q, TG_EDTYPE, "expected f32%s or %s, got %s", integers ? ", f64" : "",
                             integers ? "i64" : "f64", tg_dtype_name(first->dtype));
    for (size_t i = 1; i < q->n_in; i++)
        if (q->in[i] && q->in[i]->dtype != first->dtype)
            return tg_infer_fail(q, TG_EDTYPE, "expected one dtype, got %s and %s",
                                 tg_dtype_name(first->dtype), tg_dtype_name(q->in[i]->dtype));
    return TG_OK;
}

/* Size of the batch dim that lies `back` dims before the last two; 1 where there is none. */
static int64_t batch_dim(const tg_desc *d, int back)
{
    int i = d->ndim - 3 - back;
    return i < 0 ? 1 : d->dim[i];
}

static tg_status infer_matmul(const tg_infer *q)
{
    tg_status status = check_dtypes(q, true);
    if (status)
        return status;
    const tg_desc *a = q->in[0], *b = q->in[1];
    if (a->ndim < 2 || b->ndim < 2)
        return tg_infer_fail(q, TG_ESHAPE, "expected at least two dims each");
    int64_t m = a->dim[a->ndim - 2], k = a->dim[a->ndim - 1], n = b->dim[b->ndim - 1];
    if (b->dim[b->ndim - 2] != k)
        return tg_infer_fail(
            q, TG_ESHAPE, "the last dim of the first (%lld) must equal the last but one of the second (%lld)",
            (long long)k, (long long)b->dim[b->ndim - 2]);
    int ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    int64_t dims[TG_MAX_DIM];
    for (int back = 0; back < ndim - 2; back++) {
        int64_t p = batch_dim(a, back), r = batch_dim(b, back);
        if (p != r && p != 1 && r != 1)
            return tg_infer_fail(q, TG_ESHAPE, "batch dims %lld and %lld do not broadcast", (long long)p,
                                 (long long)r);
        dims[ndim - 3 - back] = p == 1 ? r : p;
    }
    dims[ndim - 2] = m;
    dims[ndim - 1] = n;
    return tg_desc_make(q->out, (tg_dtype)a->dtype, dims, (size_t)ndim);
}

static tg_status infer_linear(const tg_infer *q)
{
    tg_status status = check_dtypes(q, false);
    if (status)
        return status;
    const tg_desc *x = q->in[0], *weight = q->in[1], *bias = q->in[2];
    if (x->ndim != 2 || weight->ndim != 2)
        return tg_infer_fail(q, TG_ESHAPE, "expected x [N, in] and weight [out, in]");
    if (x->dim[1] != weight->dim[1])
        return tg_infer_fail(q, TG_ESHAPE, "x has %lld features, weight expects %lld", (long long)x->dim[1],
                             (long long)weight->dim[1]);
    if (bias && (bias->ndim != 1 || bias->dim[0] != weight->dim[0]))
        return tg_infer_fail(q, TG_ESHAPE, "expected bias [%lld]", (long long)weight->dim[0]);
    return tg_desc_make(q->out, (tg_dtype)x->dtype, (const int64_t[]){x->dim[0], weight->dim[0]}, 2);
}

/* Each element of the result is a sum over x's last dim. */
static double count_products(const tg_desc *const in[], const tg_desc *out)
{
    return (double)tg_desc_count(out) * (double)in[0]->dim[in[0]->ndim - 1];
}

/* -- rules ----------------------------------------------------------------------------------------------- */

/* Bit d: the gradient's batch dim d is one that x does not have, or has with size 1. */
static unsigned shared_batch(const tg_desc *x, const tg_desc *gy)
{
    unsigned shared = 0;
    for (int d = 0; d < gy->ndim - 2; d++)
        if (gy->dim[d] != 1 && batch_dim(x, gy->ndim - 3 - d) == 1)
            shared |= 1u << d;
    return shared;
}

/* t, a batch of matrices of at most `ndim` dims, as one whose rows are also those of the shared batch dims:
 * what is multiplied over rows is then summed over these. Shared dims are left out. */
static tg_tensor *rows_of_shared(tg_tape *tape, tg_tensor *t, int ndim, unsigned shared)
{
    tg_desc d;
    int64_t order[TG_MAX_DIM], dims[TG_MAX_DIM], rows = 1;
    size_t n = 0, kept = 0;
    if (!t || tg_tensor_desc(t, &d) || !shared)
        return t;
    const int lead = ndim - d.ndim;
    for (int i = 0; i < d.ndim - 2; i++)
        if (!(shared & 1u << (i + lead))) {
            dims[kept++] = d.dim[i];
            order[n++] = i;
        }
    for (int i = 0; i < d.ndim - 1; i++)
        if (i == d.ndim - 2 || (shared & 1u << (i + lead))) {
            rows *= d.dim[i];
            order[n++] = i;
        }
    dims[kept++] = rows;
    dims[kept++] = d.dim[d.ndim - 1];
    order[n++] = d.ndim - 1;
    return tg_reshape_dims(tape, tg_permute_dims(tape, t, order, n), dims, kept);
}

/* Σ over rows of x[…, r, i]·gy[…, r, j], and over the batch dims that `to`, whose gradient this is, shares.
 */
static tg_tensor *over_rows(tg_tape *tape, tg_tensor *x, tg_tensor *gy, const tg_desc *to, const tg_desc *g)
{
    const unsigned shared = shared_batch(to, g);
    int64_t dims[TG_MAX_DIM];
    int at = 0;
    x = rows_of_shared(tape, x, g->ndim, shared);
    gy = rows_of_shared(tape, gy, g->ndim, shared);
    tg_tensor *y = tg_matmul(tape, tg_transpose(tape, x, -2, -1), gy);
    tg_desc d;
    if (!shared || !y || tg_tensor_desc(y, &d))
        return y;
    /* With the shared dims as ones again, the engine sees which dims are which. */
    for (int i = 0; i < g->ndim; i++)
        dims[i] = shared & 1u << i ? 1 : at < d.ndim ? d.dim[at++] : 1;
    return tg_reshape_dims(tape, y, dims, (size_t)g->ndim);
}

static tg_status vjp_matmul(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_tensor *a = tg_node_input(node, 0), *b = tg_node_input(node, 1);
    tg_desc da, db, g;
    if (!tg_input_dims(tape, node, 0, &da) || !tg_input_dims(tape, node, 1, &db) || tg_tensor_desc(gy[0], &g))
        return tg_tape_status(tape);
    if (tg_node_needs(node, 0) && !shared_batch(&da, &g))
        gx[0] = tg_matmul(tape, gy[0], tg_transpose(tape, b, -2, -1));
    else if (tg_node_needs(node, 0))
        gx[0] = tg_transpose(
            tape, over_rows(tape, tg_transpose(tape, b, -2, -1), tg_transpose(tape, gy[0], -2, -1), &da, &g),
            -2, -1);
    if (tg_node_needs(node, 1))
        gx[1] = over_rows(tape, a, gy[0], &db, &g);
    return tg_tape_status(tape);
}

static tg_status vjp_linear(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_tensor *x = tg_node_input(node, 0), *weight = tg_node_input(node, 1);
    if (tg_node_needs(node, 0))
        gx[0] = tg_matmul(tape, gy[0], weight);
    if (tg_node_needs(node, 1))
        gx[1] = tg_matmul(tape, tg_transpose(tape, gy[0], 0, 1), x);
    if (tg_node_needs(node, 2))
        gx[2] = tg_sum_dims(tape, gy[0], (const int64_t[]){0}, 1, false);
    return tg_tape_status(tape);
}

/* -- samples --------------------------------------------------------------------------------------------- */

#define MATRIX(...)                                                                                          \
    {                                                                                                        \
        [__VA_ARGS__], -2 : 2                                                                                \
    }
#define STRIDED(...)                                                                                         \
    {                                                                                                        \
        [__VA_ARGS__], -2 : 2,                                                                               \
        strided                                                                                              \
    }
#define ABSENT                                                                                               \
    {                                                                                                        \
        absent constant                                                                                      \
    }

TG_SAMPLES(
    samples_matmul, {.label = "odd sizes", .in = TG_SAMPLE_INPUTS(MATRIX(3, 5), MATRIX(5, 7))},
    {.label = "both strided", .in = TG_SAMPLE_INPUTS(STRIDED(5, 3), STRIDED(3, 4))},
    {.label = "one row", .in = TG_SAMPLE_INPUTS(MATRIX(1, 6), MATRIX(6, 3))},
    {.label = "one column", .in = TG_SAMPLE_INPUTS(MATRIX(6, 3), MATRIX(3, 1))},
    {.label = "outer product", .in = TG_SAMPLE_INPUTS(MATRIX(4, 1), MATRIX(1, 3))},
    {.label = "past one register block", .in = TG_SAMPLE_INPUTS(MATRIX(9, 11), MATRIX(11, 17))},
    {.label = "batch", .in = TG_SAMPLE_INPUTS(MATRIX(3, 2, 4), MATRIX(3, 4, 3))},
    {.label = "strided batch", .in = TG_SAMPLE_INPUTS(STRIDED(2, 3, 4), STRIDED(2, 4, 2))},
    {.label = "batch broadcast", .in = TG_SAMPLE_INPUTS(MATRIX(2, 1, 2, 3), MATRIX(3, 3, 2))},
    {.label = "first without a batch", .in = TG_SAMPLE_INPUTS(MATRIX(2, 3), MATRIX(4, 3, 2))},
    {.label = "nothing to sum", .in = TG_SAMPLE_INPUTS(MATRIX(2, 0), MATRIX(0, 3))},
    {.label = "no batch", .in = TG_SAMPLE_INPUTS(MATRIX(0, 2, 3), MATRIX(0, 3, 2))})

TG_SAMPLES(samples_linear,
           {.label = "odd sizes", .in = TG_SAMPLE_INPUTS(MATRIX(3, 5), MATRIX(7, 5), MATRIX(7))},
           {.label = "no bias", .in = TG_SAMPLE_INPUTS(MATRIX(4, 3), MATRIX(2, 3), ABSENT)},
           {.label = "strided", .in = TG_SAMPLE_INPUTS(STRIDED(4, 3), STRIDED(5, 3), STRIDED(5))},
           {.label = "one row", .in = TG_SAMPLE_INPUTS(MATRIX(1, 6), MATRIX(3, 6), MATRIX(3))},
           {.label = "past one register block",
            .in = TG_SAMPLE_INPUTS(MATRIX(9, 10), MATRIX(17, 10), MATRIX(17))},
           {.label = "no features", .in = TG_SAMPLE_INPUTS(MATRIX(2, 0), MATRIX(3, 0), MATRIX(3))},
           {.label = "no rows", .in = TG_SAMPLE_INPUTS(MATRIX(0, 3), MATRIX(2, 3), MATRIX(2))})

/* -- rows ------------------------------------------------------------------------------------------------ */

static const tg_operator matmul = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "matmul",
    .saves = TG_OP_IN(0) | TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    .infer = infer_matmul,
    .vjp = vjp_matmul,
    .samples = TG_PROOF(samples_matmul),
    .multiply_adds = count_products,
    .doc = "y[…,i,j] = Σ_k a[…,i,k]·b[…,k,j]; batch dims broadcast",
};

static const tg_operator linear = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "linear",
    .saves = TG_OP_IN(0) | TG_OP_IN(1),
    .n_in = 3,
    .n_out = 1,
    .optional = TG_OP_IN(2),
    .infer = infer_linear,
    .vjp = vjp_linear,
    .samples = TG_PROOF(samples_linear),
    .multiply_adds = count_products,
    .doc = "y[i,j] = Σ_k x[i,k]·weight[j,k] + bias[j]",
};

const tg_operator *const tg_ops_matmul[] = {&matmul, &linear, NULL};

/* -- wrappers -------------------------------------------------------------------------------------------- */

static tg_tensor *apply(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n)
{
    tg_tensor *out = NULL;
    return tg_apply(tape, op, in, n, NULL, NULL, &out) ? NULL : out;
}

/* [*, k] as [rows, k], `tail` following in place of k when `back` unfolds it again. */
static tg_tensor *fold(tg_tape *tape, tg_tensor *x, const tg_desc *d)
{
    int64_t k = d->dim[d->ndim - 1], rows = 1;
    for (int i = 0; i < d->ndim - 1; i++)
        rows *= d->dim[i];
    return tg_reshape_dims(tape, x, (const int64_t[]){rows, k}, 2);
}

static tg_tensor *unfold(tg_tape *tape, tg_tensor *y, const tg_desc *d, int64_t last)
{
    int64_t dims[TG_MAX_DIM];
    for (int i = 0; i < d->ndim - 1; i++)
        dims[i] = d->dim[i];
    dims[d->ndim - 1] = last;
    return tg_reshape_dims(tape, y, dims, (size_t)d->ndim);
}

tg_tensor *tg_matmul(tg_tape *tape, tg_tensor *a, tg_tensor *b)
{
    tg_desc da, db;
    if (!a || !b || tg_tape_status(tape) || tg_tensor_desc(a, &da) || tg_tensor_desc(b, &db) || !da.ndim ||
        !db.ndim)
        return apply(tape, &matmul, (tg_tensor *const[]){a, b}, 2); /* which says what is wrong */
    if (da.ndim == 1 || db.ndim == 1) {
        tg_tensor *p = da.ndim == 1 ? tg_unsqueeze(tape, a, 0) : a;
        tg_tensor *q = db.ndim == 1 ? tg_unsqueeze(tape, b, 1) : b;
        tg_tensor *y = tg_matmul(tape, p, q);
        if (db.ndim == 1)
            y = tg_squeeze(tape, y, -1);
        if (da.ndim == 1)
            y = tg_squeeze(tape, y, db.ndim == 1 ? -1 : -2);
        return y;
    }
    /* Many matrices times one are one taller product, forward and back. */
    if (db.ndim == 2 && da.ndim > 2 && da.dim[da.ndim - 1] == db.dim[0] && tg_desc_is_dense(&da))
        return unfold(tape, apply(tape, &matmul, (tg_tensor *const[]){fold(tape, a, &da), b}, 2), &da,
                      db.dim[1]);
    return apply(tape, &matmul, (tg_tensor *const[]){a, b}, 2);
}

tg_tensor *tg_linear(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias)
{
    tg_desc dx, dw;
    bool known =
        x && weight && !tg_tape_status(tape) && !tg_tensor_desc(x, &dx) && !tg_tensor_desc(weight, &dw);
    if (!known || dx.ndim == 2 || dx.ndim == 0 || dw.ndim != 2)
        return apply(tape, &linear, (tg_tensor *const[]){x, weight, bias}, 3);
    if (dx.dim[dx.ndim - 1] != dw.dim[1]) {
        char sx[96], sw[96];
        tg_fail(tape, TG_ESHAPE, "linear: x %s has %lld features, weight %s expects %lld",
                tg_desc_format(&dx, sx, sizeof sx), (long long)dx.dim[dx.ndim - 1],
                tg_desc_format(&dw, sw, sizeof sw), (long long)dw.dim[1]);
        return NULL;
    }
    return unfold(tape, apply(tape, &linear, (tg_tensor *const[]){fold(tape, x, &dx), weight, bias}, 3), &dx,
                  dw.dim[0]);
}
