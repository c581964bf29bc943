/* Attention by the scores: products and a softmax. */
#include "autograd/operators/rows.h"

#include <string.h>

#define WHAT "scaled_dot_product_attention"

typedef struct attention {
    tg_tape *tape;
    const tg_attention_options *o;
    tg_desc q, k, v;
    tg_tensor *bias; /* what is added to the scores, or NULL                   */
    tg_tensor *dead; /* […, L, 1]: the queries that a mask leaves no key; or NULL */
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

/* A mask as what is added to the scores. −∞ takes a key out; where it takes all of a query's, the query is
 * dead: its scores stay finite, so that no NaN comes up on the way forth or back, and its result is replaced
 * by 0. */
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
    tg_tensor *zero = tg_scalar(tape, dtype, 0), *none = tg_scalar(tape, dtype, -(double)INFINITY);
    a->bias = m->dtype == TG_BOOL ? tg_where(tape, mask, zero, none) : mask;
    if (!s || !l)
        return true;
    tg_tensor *row = tg_tensor_ndim(a->bias) ? a->bias : tg_unsqueeze(tape, a->bias, 0);
    const bool was = tg_tape_set_recording(tape, false);
    a->dead = tg_eq(tape, tg_amax_dims(tape, tg_detach(tape, row), (const int64_t[]){-1}, 1, true), none);
    tg_tape_set_recording(tape, was);
    a->bias = tg_where(tape, a->dead, zero, row);
    return true;
}

/* −∞ above the main diagonal. */
static void take_causal(attention *a)
{
    const tg_dtype dtype = (tg_dtype)a->q.dtype;
    tg_tensor *seen = tg_tril(
        a->tape, tg_full(a->tape, TG_BOOL, (const int64_t[]){back(&a->q, 2), back(&a->k, 2)}, 2, 1), 0);
    a->bias =
        tg_where(a->tape, seen, tg_scalar(a->tape, dtype, 0), tg_scalar(a->tape, dtype, -(double)INFINITY));
}

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
    if (a.o->is_causal)
        take_causal(&a);
    else if (a.o->attn_mask && !take_mask(&a, a.o->attn_mask))
        return NULL;
    const double scale = a.o->has_scale ? a.o->scale : 1 / sqrt((double)back(&a.q, 1));
    const int64_t per_key = a.o->enable_gqa ? back(&a.q, 3) / back(&a.k, 3) : 1,
                  per_value = a.o->enable_gqa ? back(&a.q, 3) / back(&a.v, 3) : 1;
    tg_tensor *scores =
        grouped(tape, tg_mul_scalar(tape, query, scale), tg_transpose(tape, key, -2, -1), per_key);
    tg_tensor *weights = tg_softmax(tape, a.bias ? tg_add(tape, scores, a.bias) : scores, -1);
    if (a.o->dropout_p > 0)
        weights = tg_dropout(tape, weights, a.o->dropout_p, TG_TRAIN);
    tg_tensor *y = grouped(tape, weights, value, per_value);
    return a.dead ? tg_where(tape, a.dead, tg_scalar(tape, (tg_dtype)a.q.dtype, 0), y) : y;
}
