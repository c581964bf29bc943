/* Attention: one row that works by blocks, and, for dropout, other shapes and higher derivatives, the same by
 * the scores: products and a softmax. */
#include "autograd/operators/checks.h"

#include <string.h>

#define WHAT "scaled_dot_product_attention"

typedef struct attention {
    tg_tape *tape;
    const tg_attention_options *o;
    tg_desc q, k, v;
    tg_tensor *bias; /* what is added to the scores, or NULL */
} attention;

static bool need(const attention *a, bool fine, tg_status status, const char *why)
{
    char q[96], k[96], v[96];
    if (!fine)
        tg_fail(a->tape, status, "%s: %s, got query %s, key %s, value %s", WHAT, why,
                tg_desc_format(&a->q, q, sizeof q), tg_desc_format(&a->k, k, sizeof k),
                tg_desc_format(&a->v, v, sizeof v));
    return fine;
}

static int64_t back(const tg_desc *d, int from_end)
{
    return d->dim[d->ndim - from_end];
}

static bool check(const attention *a)
{
    const tg_desc *q = &a->q, *k = &a->k, *v = &a->v;
    if (!need(a, q->dtype == k->dtype && q->dtype == v->dtype && tg_dtype_is_float(q->dtype), TG_EDTYPE,
              "expected f32 or f64, all alike") ||
        !need(a, q->ndim >= 2 && k->ndim >= 2 && v->ndim >= 2, TG_ESHAPE,
              "expected at least two dims each") ||
        !need(a, back(q, 1) == back(k, 1), TG_ESHAPE, "query and key must agree in the last dim") ||
        !need(a, back(k, 2) == back(v, 2), TG_ESHAPE, "key and value must have as many rows"))
        return false;
    if (a->o->enable_gqa) {
        if (!need(a, q->ndim >= 3 && k->ndim >= 3 && v->ndim >= 3, TG_ESHAPE,
                  "enable_gqa needs three dims each"))
            return false;
        const int64_t heads = back(q, 3);
        return need(a,
                    heads && back(k, 3) && back(v, 3) && heads % back(k, 3) == 0 && heads % back(v, 3) == 0,
                    TG_ESHAPE, "the query's heads must be a multiple of key's and value's");
    }
    return true;
}

/* A mask as what is added to the scores. */
static bool take_mask(attention *a, tg_tensor *mask)
{
    const tg_desc *m = tg_argument(a->tape, mask, WHAT, "attn_mask");
    if (!m)
        return false;
    tg_tape *tape = a->tape;
    char text[128];
    if (m->dtype != TG_BOOL && m->dtype != a->q.dtype) {
        tg_fail(tape, TG_EDTYPE, "%s: attn_mask must be bool or of the query's dtype, got %s", WHAT,
                tg_desc_format(m, text, sizeof text));
        return false;
    }
    const int64_t l = back(&a->q, 2), s = back(&a->k, 2), ml = m->ndim > 1 ? back(m, 2) : 1,
                  ms = m->ndim ? back(m, 1) : 1;
    if ((ml != l && ml != 1) || (ms != s && ms != 1)) {
        tg_fail(tape, TG_ESHAPE, "%s: attn_mask must broadcast to […, %lld, %lld], got %s", WHAT,
                (long long)l, (long long)s, tg_desc_format(m, text, sizeof text));
        return false;
    }
    const tg_dtype dtype = (tg_dtype)a->q.dtype;
    a->bias = m->dtype == TG_BOOL
                  ? tg_where(tape, mask, tg_scalar(tape, dtype, 0), tg_scalar(tape, dtype, -(double)INFINITY))
                  : mask;
    return a->bias;
}

/* -- by the scores ----------------------------------------------------------------------------------------
 */

/* x·y, where each matrix of y serves `group` neighbouring ones of x: their rows stand one below the other. */
static tg_tensor *grouped(tg_tape *tape, tg_tensor *x, tg_tensor *y, int64_t group)
{
    tg_desc d, p;
    if (group == 1 || !x || tg_tensor_desc(x, &d))
        return tg_matmul(tape, x, y);
    int64_t dims[TG_MAX_DIM];
    memcpy(dims, d.dim, sizeof dims);
    dims[d.ndim - 3] /= group;
    dims[d.ndim - 2] *= group;
    tg_tensor *z = tg_matmul(tape, tg_reshape_dims(tape, x, dims, (size_t)d.ndim), y);
    if (!z || tg_tensor_desc(z, &p))
        return NULL;
    memcpy(dims, p.dim, sizeof dims);
    dims[p.ndim - 3] *= group;
    dims[p.ndim - 2] /= group;
    return tg_reshape_dims(tape, z, dims, (size_t)p.ndim);
}

/* −∞ above the main diagonal. */
static tg_tensor *causal(tg_tape *tape, tg_dtype dtype, int64_t rows, int64_t keys)
{
    tg_tensor *seen = tg_tril(tape, tg_full(tape, TG_BOOL, (const int64_t[]){rows, keys}, 2, 1), 0);
    return tg_where(tape, seen, tg_scalar(tape, dtype, 0), tg_scalar(tape, dtype, -(double)INFINITY));
}

/* softmax(scores + bias). A bias of −∞ takes a key out; a query whose keys are all out has weights of 0, and
 * its scores stay finite, so that no NaN comes up on the way forth or back. */
static tg_tensor *weigh(tg_tape *tape, tg_tensor *scores, tg_tensor *bias, tg_dtype dtype)
{
    tg_desc d;
    if (!bias || tg_tensor_desc(bias, &d) || (d.ndim && !d.dim[d.ndim - 1]))
        return tg_softmax(tape, bias ? tg_add(tape, scores, bias) : scores, -1);
    tg_tensor *zero = tg_scalar(tape, dtype, 0), *row = d.ndim ? bias : tg_unsqueeze(tape, bias, 0);
    const bool was = tg_tape_set_recording(tape, false);
    tg_tensor *most = tg_amax_dims(tape, tg_detach(tape, row), (const int64_t[]){-1}, 1, true);
    tg_tensor *dead = tg_eq(tape, most, tg_scalar(tape, dtype, -(double)INFINITY));
    tg_tape_set_recording(tape, was);
    scores = tg_add(tape, scores, tg_where(tape, dead, zero, row));
    return tg_where(tape, dead, zero, tg_softmax(tape, scores, -1));
}

static tg_tensor *by_scores(const attention *a, tg_tensor *query, tg_tensor *key, tg_tensor *value,
                            double scale)
{
    tg_tape *tape = a->tape;
    const int64_t per_key = a->o->enable_gqa ? back(&a->q, 3) / back(&a->k, 3) : 1,
                  per_value = a->o->enable_gqa ? back(&a->q, 3) / back(&a->v, 3) : 1;
    const tg_dtype dtype = (tg_dtype)a->q.dtype;
    tg_tensor *bias = a->o->is_causal ? causal(tape, dtype, back(&a->q, 2), back(&a->k, 2)) : a->bias;
    tg_tensor *scores =
        grouped(tape, tg_mul_scalar(tape, query, scale), tg_transpose(tape, key, -2, -1), per_key);
    tg_tensor *weights = weigh(tape, scores, bias, dtype);
    if (a->o->dropout_p > 0)
        weights = tg_dropout(tape, weights, a->o->dropout_p, TG_TRAIN);
    return grouped(tape, weights, value, per_value);
}

/* -- as one row -------------------------------------------------------------------------------------------
 */

/* Of x's batch, and in its order in memory where heads lie within the rows, so that they need not be moved to
 * stand side by side again. */
static tg_status out_like(const tg_desc *x, int64_t rows, int64_t cols, tg_desc *out)
{
    int64_t dims[TG_MAX_DIM];
    memcpy(dims, x->dim, sizeof dims);
    dims[x->ndim - 2] = rows;
    dims[x->ndim - 1] = cols;
    const tg_status status = tg_desc_make(out, (tg_dtype)x->dtype, dims, (size_t)x->ndim);
    if (status || x->ndim != 4 || x->stride[1] >= x->stride[2])
        return status;
    out->stride[1] = cols;
    out->stride[2] = cols * dims[1];
    return TG_OK;
}

static tg_status infer_attention(const tg_infer *q)
{
    static const char *const names[] = {"query", "key", "value", "mask"};
    const size_t first = q->n_in == 6;
    const tg_desc *const *in = q->in + first, *x = in[0];
    tg_status status = check_float(q, first, names[0]);
    for (size_t i = 1; i < 4 && !status; i++)
        status = check_dtype(q, first + i, names[i], first);
    for (size_t i = 0; i < 4 && !status; i++) {
        if (!in[i])
            continue;
        bool fits = x->ndim >= 2 && in[i]->ndim == x->ndim;
        for (int k = 0; fits && k < x->ndim - 2; k++)
            fits = in[i]->dim[k] == x->dim[k];
        if (!fits)
            status =
                tg_infer_fail(q, TG_ESHAPE, "%s must have at least two dims, and query's batch", names[i]);
    }
    if (status)
        return status;
    const int n = x->ndim;
    const int64_t l = x->dim[n - 2], s = in[1]->dim[n - 2], ev = in[2]->dim[n - 1];
    if (in[1]->dim[n - 1] != x->dim[n - 1] || in[2]->dim[n - 2] != s || !s ||
        (in[3] && (in[3]->dim[n - 2] != l || in[3]->dim[n - 1] != s)))
        return tg_infer_fail(q, TG_ESHAPE,
                             "expected [L, E], [S, E], [S, Ev] and a mask [L, S] at the end, no S of 0");
    if (!first) {
        status = out_like(x, l, ev, q->out);
        return status ? status : tg_desc_make(q->out + 1, (tg_dtype)x->dtype, x->dim, (size_t)n - 1);
    }
    tg_desc y;
    status = out_like(x, l, ev, &y);
    if (!status)
        status = check_shape(q, 0, "gy", x->dtype, y.dim, n);
    if (!status)
        status = check_shape(q, 5, "lse", x->dtype, x->dim, n - 1);
    for (int i = 0; i < 3 && !status; i++)
        status = out_like(in[i], in[i]->dim[n - 2], in[i]->dim[n - 1], q->out + i);
    return status;
}

static const tg_operator row_attention_backward;

/* As one row; as an expression, where it is recorded itself, or the mask wants a gradient. */
TG_RULE(attention)
{
    const tg_attention_attrs *a = tg_node_attrs(node);
    tg_tensor *q = tg_node_input(node, 0), *k = tg_node_input(node, 1), *v = tg_node_input(node, 2),
              *bias = tg_node_input(node, 3);
    if (!tg_tape_recording(tape) && !tg_node_needs(node, 3)) {
        tg_tensor *const in[] = {gy[0], q, k, v, bias, tg_node_output(node, 1)};
        tg_apply(tape, &row_attention_backward, in, 6, a, NULL, gx);
        return tg_tape_status(tape);
    }
    /* The weights as a function of q and k: lse is a number here. It makes all that count at most 1, so that
     * the bounds are for keys that are not seen and for queries without a key, whose sum is 0. */
    const int64_t last = -1;
    tg_tensor *scores = tg_mul_scalar(tape, tg_matmul(tape, q, tg_transpose(tape, k, -2, -1)), a->scale);
    scores = tg_sub(tape, bias ? tg_add(tape, scores, bias) : scores,
                    tg_unsqueeze(tape, tg_node_output(node, 1), -1));
    tg_tensor *e = tg_exp(tape, tg_clamp(tape, scores, -(double)INFINITY, 1));
    e = a->is_causal ? tg_tril(tape, e, 0) : e;
    tg_tensor *p =
        tg_div(tape, e, tg_clamp(tape, tg_sum_dims(tape, e, &last, 1, true), 0.5, (double)INFINITY));
    tg_tensor *gp = tg_matmul(tape, gy[0], tg_transpose(tape, v, -2, -1));
    tg_tensor *mean = tg_sum_dims(tape, tg_mul(tape, p, gp), &last, 1, true);
    tg_tensor *ds = tg_mul(tape, p, tg_sub(tape, gp, mean)), *scaled = tg_mul_scalar(tape, ds, a->scale);
    if (tg_node_needs(node, 0))
        gx[0] = tg_matmul(tape, scaled, k);
    if (tg_node_needs(node, 1))
        gx[1] = tg_matmul(tape, tg_transpose(tape, scaled, -2, -1), q);
    if (tg_node_needs(node, 2))
        gx[2] = tg_matmul(tape, tg_transpose(tape, p, -2, -1), gy[0]);
    if (tg_node_needs(node, 3))
        gx[3] = ds;
    return tg_tape_status(tape);
}

/* clang-format off */
#define LARGE(...) {-1 : 1, __VA_ARGS__, [70, 32]}
#define HOW(scale_, is_causal_) &(const tg_attention_attrs){.scale = scale_, .is_causal = is_causal_}
TG_SAMPLES(samples_attention,
           {.label = "plain, strided", .attrs = HOW(0.7, 0),
            .in = TG_SAMPLE_INPUTS(STRIDED(-1, 1, 3, 2), STRIDED(-1, 1, 4, 2), STRIDED(-1, 1, 4, 3), ABSENT)},
           {.label = "causal, with a mask", .attrs = HOW(1.3, 1),
            .in = TG_SAMPLE_INPUTS(DRAWN(-1, 1, 2, 3, 1), DRAWN(-1, 1, 2, 2, 1), DRAWN(-1, 1, 2, 2, 2), DRAWN(-1, 1, 2, 3, 2))},
           {.label = "more than a block", .attrs = HOW(0.5, 1),
            .in = TG_SAMPLE_INPUTS(LARGE(constant first_order), LARGE(constant first_order), LARGE(first_order), ABSENT)})
TG_SAMPLES(samples_attention_backward,
           {.label = "plain", .attrs = HOW(0.7, 0),
            .in = TG_SAMPLE_INPUTS(DRAWN(-1, 1, 3, 3), DRAWN(-1, 1, 3, 2), DRAWN(-1, 1, 4, 2), STRIDED(-1, 1, 4, 3), ABSENT,
                                   DRAWN(1, 2, 3))},
           {.label = "causal, with a mask", .attrs = HOW(0.7, 1),
            .in = TG_SAMPLE_INPUTS(DRAWN(-1, 1, 70, 33), DRAWN(-1, 1, 70, 32), DRAWN(-1, 1, 66, 32), DRAWN(-1, 1, 66, 33),
                                   STRIDED(-1, 1, 70, 66), DRAWN(3, 4, 70))})
/* clang-format on */

static const tg_attr_spec attention_specs[] = {
    {.name = "scale",
     .type = TG_ATTR_REAL,
     .offset = offsetof(tg_attention_attrs, scale),
     .value = 1,
     .doc = "of the scores"},
    {.name = "is_causal",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_attention_attrs, is_causal),
     .doc = "1: query i sees keys 0 … i"},
    {0},
};

static const tg_operator row_attention = {
    TG_ROW(WHAT, "softmax(q·kᵀ·scale + mask)·v"),
    TG_ATTRS(tg_attention_attrs, attention_specs),
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_IN(2) | TG_OP_IN(3) | TG_OP_OUT(1),
    .n_in = 4,
    .n_out = 2,
    .optional = TG_OP_IN(3),
    .nondiff_out = TG_OP_OUT(1) >> 16,
    .kept_out = TG_OP_OUT(1) >> 16,
    .infer = infer_attention,
    .vjp = attention_vjp,
    .samples = TG_PROOF(samples_attention),
};

static const tg_operator row_attention_backward = {
    TG_ROW(WHAT "_backward", "ds·k; dsᵀ·q; pᵀ·gy with p = e^(s − lse), ds = p·(gy·vᵀ − Σp·(gy·vᵀ))·scale"),
    TG_ATTRS(tg_attention_attrs, attention_specs),
    .flags = TG_OP_NONDIFF,
    .n_in = 6,
    .n_out = 3,
    .optional = TG_OP_IN(4),
    .infer = infer_attention,
    .samples = TG_PROOF(samples_attention_backward),
};

const tg_operator *const tg_ops_attention[] = {&row_attention, &row_attention_backward, NULL};

/* Does the row do it? Its batches are one, and nothing is empty. */
static bool is_one_row(const attention *a)
{
    const tg_desc *q = &a->q, *k = &a->k, *v = &a->v;
    bool fits = !a->o->enable_gqa && a->o->dropout_p == 0 && q->ndim == k->ndim && q->ndim == v->ndim &&
                back(q, 2) && back(k, 2);
    for (int i = 0; fits && i < q->ndim - 2; i++)
        fits = q->dim[i] == k->dim[i] && q->dim[i] == v->dim[i] && q->dim[i];
    tg_desc m;
    if (!fits || !a->bias || tg_tensor_desc(a->bias, &m))
        return fits;
    fits = m.ndim <= q->ndim;
    for (int i = 3; fits && i <= m.ndim; i++)
        fits = back(&m, i) == 1 || back(&m, i) == back(q, i);
    return fits;
}

/* -- ops.h ------------------------------------------------------------------------------------------------
 */

tg_tensor *tg_scaled_dot_product_attention(tg_tape *tape, tg_tensor *query, tg_tensor *key, tg_tensor *value,
                                           const tg_attention_options *options)
{
    static const tg_attention_options plain;
    attention a = {.tape = tape, .o = options ? options : &plain};
    const tg_desc *q = tg_argument(tape, query, WHAT, "query"),
                  *k = q ? tg_argument(tape, key, WHAT, "key") : NULL,
                  *v = k ? tg_argument(tape, value, WHAT, "value") : NULL;
    if (!v)
        return NULL;
    a.q = *q;
    a.k = *k;
    a.v = *v;
    if (!check(&a))
        return NULL;
    if (a.o->attn_mask && a.o->is_causal) {
        tg_fail(tape, TG_EINVAL, "%s: attn_mask and is_causal exclude each other", WHAT);
        return NULL;
    }
    if (!(a.o->dropout_p >= 0 && a.o->dropout_p <= 1)) {
        tg_fail(tape, TG_EINVAL, "%s: dropout_p must be between 0 and 1, got %g", WHAT, a.o->dropout_p);
        return NULL;
    }
    if (a.o->attn_mask && !take_mask(&a, a.o->attn_mask))
        return NULL;
    const double scale = a.o->has_scale ? a.o->scale : 1 / sqrt((double)back(&a.q, 1));
    if (!is_one_row(&a))
        return by_scores(&a, query, key, value, scale);
    if (a.bias) {
        int64_t dims[TG_MAX_DIM];
        memcpy(dims, a.q.dim, sizeof dims);
        dims[a.q.ndim - 1] = back(&a.k, 2);
        a.bias = tg_expand_dims(tape, a.bias, dims, (size_t)a.q.ndim);
    }
    const tg_attention_attrs how = {.scale = scale, .is_causal = a.o->is_causal};
    return apply_first(tape, &row_attention, (tg_tensor *const[]){query, key, value, a.bias}, 4, &how);
}
