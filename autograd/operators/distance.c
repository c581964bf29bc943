/* Norms and distances. With |x| = 0 or the norm 0, where |x|^(p − 1) or norm^(1 − p) is infinite, derivatives
 * are 0: the base is taken for 1 there, so that no NaN comes back through what is masked in later
 * derivatives. */
#include "autograd/operators/checks.h"
#include "autograd/operators/reduced.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_norm(const tg_infer *q)
{
    const tg_norm_attrs *attrs = q->attrs;
    tg_status status = tg_infer_need_float(q);
    if (status == TG_OK && isnan(attrs->p))
        status = tg_infer_fail(q, TG_EINVAL, "p is NaN");
    if (status == TG_OK && (attrs->p < 0 || isinf(attrs->p)))
        status = tg_infer_need_values(q, attrs->dims);
    return status ? status : tg_infer_reduced(q, attrs->dims, attrs->keepdim, (tg_dtype)q->in[0]->dtype);
}

/* x1 (…, P, M) and x2 (…, R, M) in q->in[first] and the next. */
static tg_status need_points(const tg_infer *q, size_t first)
{
    const tg_desc *a = q->in[first], *b = q->in[first + 1];
    tg_status status = check_float(q, first, "x1");
    if (status == TG_OK)
        status = check_dtype(q, first + 1, "x2", first);
    bool fits =
        status == TG_OK && a->ndim >= 2 && a->ndim == b->ndim && a->dim[a->ndim - 1] == b->dim[a->ndim - 1];
    for (int d = 0; d < a->ndim - 2 && fits; d++)
        fits = a->dim[d] == b->dim[d];
    if (status == TG_OK && !fits)
        status = tg_infer_fail(q, TG_ESHAPE, "x1 and x2 must be (…, P, M) and (…, R, M)");
    return status;
}

static tg_status infer_cdist(const tg_infer *q)
{
    const double p = ((const tg_cdist_attrs *)q->attrs)->p;
    const tg_desc *a = q->in[0];
    int64_t dims[TG_MAX_DIM];
    tg_status status = need_points(q, 0);
    if (status == TG_OK && !(p >= 0))
        status = tg_infer_fail(q, TG_EINVAL, "p is %g, expected 0 or more", p);
    if (status)
        return status;
    for (int d = 0; d < a->ndim - 1; d++)
        dims[d] = a->dim[d];
    dims[a->ndim - 1] = q->in[1]->dim[a->ndim - 2];
    return tg_desc_make(q->out, (tg_dtype)a->dtype, dims, (size_t)a->ndim);
}

static tg_status infer_cdist_backward(const tg_infer *q)
{
    tg_status status = need_points(q, 1);
    if (status)
        return status;
    tg_desc x = *q->in[1], d = x;
    d.dim[x.ndim - 1] = q->in[2]->dim[x.ndim - 2];
    status = check_shape(q, 0, "g", x.dtype, d.dim, x.ndim);
    if (status == TG_OK)
        status = check_shape(q, 3, "d", x.dtype, d.dim, x.ndim);
    return status ? status : infer_out_like(&x, q->out);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static tg_tensor *is_zero(tg_tape *tape, tg_tensor *x)
{
    return tg_eq(tape, x, tg_constant_like(tape, x, 0));
}

/* |x|^e, and 0 where x is 0. */
static tg_tensor *power(tg_tape *tape, tg_tensor *x, double e)
{
    tg_tensor *none = is_zero(tape, x);
    tg_tensor *base = tg_where(tape, none, tg_constant_like(tape, x, 1), tg_abs(tape, x));
    return tg_where(tape, none, tg_constant_like(tape, x, 0), tg_pow_scalar(tape, base, e));
}

/* Where |x| is the extremum y, or NaN. */
static tg_tensor *is_extremum(tg_tape *tape, tg_tensor *x, tg_tensor *y)
{
    tg_tensor *yes = tg_full(tape, TG_BOOL, NULL, 0, 1);
    return tg_where(tape, tg_ne(tape, x, x), yes, tg_eq(tape, tg_abs(tape, x), y));
}

TG_RULE(norm)
{
    const tg_norm_attrs *attrs = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0);
    const double p = attrs->p;
    tg_desc d;
    if (!tg_input_dims(tape, node, 0, &d))
        return tg_tape_status(tape);
    tg_tensor *y = tg_restore_dims(tape, tg_node_output(node, 0), &d, attrs->dims, attrs->keepdim);
    tg_tensor *g = tg_restore_dims(tape, gy[0], &d, attrs->dims, attrs->keepdim);
    if (p == 0) {
        gx[0] = tg_zeros_like(tape, x);
    } else if (p == 1) {
        gx[0] = tg_mul(tape, g, tg_sign(tape, x));
    } else if (p == 2) {
        gx[0] = tg_mul(tape, x, tg_mul(tape, g, power(tape, y, -1)));
    } else if (isinf(p)) {
        tg_tensor *hit = is_extremum(tape, x, y);
        tg_tensor *hits = tg_to(tape, tg_sum_mask(tape, hit, attrs->dims), (tg_dtype)d.dtype);
        g = tg_mul(tape, tg_div(tape, g, hits), tg_to(tape, hit, (tg_dtype)d.dtype));
        gx[0] = tg_mul(tape, tg_sign(tape, x), g);
    } else {
        tg_tensor *slope = tg_mul(tape, tg_sign(tape, x), power(tape, x, p - 1));
        gx[0] = tg_mul(tape, slope, tg_mul(tape, g, power(tape, y, 1 - p)));
    }
    return tg_tape_status(tape);
}

static const tg_operator row_cdist_backward;

TG_RULE(cdist)
{
    tg_tensor *a = tg_node_input(node, 0), *b = tg_node_input(node, 1), *y = tg_node_output(node, 0),
              *g = gy[0];
    const tg_cdist_attrs *attrs = tg_node_attrs(node);
    if (tg_node_needs(node, 0))
        gx[0] = apply_first(tape, &row_cdist_backward, (tg_tensor *const[]){g, a, b, y}, 4, attrs);
    if (tg_node_needs(node, 1)) {
        g = tg_transpose(tape, g, -1, -2);
        y = tg_transpose(tape, y, -1, -2);
        gx[1] = apply_first(tape, &row_cdist_backward, (tg_tensor *const[]){g, b, a, y}, 4, attrs);
    }
    return tg_tape_status(tape);
}

/* r[i, k] = Σ_j g[i, j]·f(u, d[i, j]) with u = x1[i, k] − x2[j, k] and f = sgn(u)·|u|^(p − 1)·d^(1 − p), all
 * of it as (…, P, R, M). For p = 1 and ∞ the derivatives by u and d are 0. */
TG_RULE(cdist_backward)
{
    const double p = ((const tg_cdist_attrs *)tg_node_attrs(node))->p;
    tg_tensor *v = tg_unsqueeze(tape, gy[0], -2), *g = tg_unsqueeze(tape, tg_node_input(node, 0), -1);
    tg_tensor *a = tg_unsqueeze(tape, tg_node_input(node, 1), -2);
    tg_tensor *b = tg_unsqueeze(tape, tg_node_input(node, 2), -3);
    tg_tensor *d = tg_unsqueeze(tape, tg_node_input(node, 3), -1), *u = tg_sub(tape, a, b), *f, *fu, *fd;
    if (p == 0 || p == 1 || isinf(p)) {
        f = tg_sign(tape, u);
        if (p != 1)
            f = p == 0 ? tg_zeros_like(tape, f)
                       : tg_mul(tape, f, tg_to(tape, is_extremum(tape, u, d), tg_tensor_dtype(f)));
        fu = fd = tg_zeros_like(tape, f);
    } else {
        tg_tensor *side = tg_sign(tape, u), *scale = power(tape, d, 1 - p);
        f = tg_mul(tape, tg_mul(tape, side, p == 2 ? tg_abs(tape, u) : power(tape, u, p - 1)), scale);
        fu = p == 2 ? scale : tg_mul(tape, tg_mul_scalar(tape, power(tape, u, p - 2), p - 1), scale);
        fd = tg_mul(tape, tg_mul_scalar(tape, f, 1 - p), power(tape, d, -1));
    }
    const int64_t points = -3, others = -2, parts = -1;
    if (tg_node_needs(node, 0))
        gx[0] = tg_sum_dims(tape, tg_mul(tape, v, f), &parts, 1, false);
    tg_tensor *vg = tg_mul(tape, v, g), *by_u = tg_mul(tape, vg, fu);
    if (tg_node_needs(node, 1))
        gx[1] = tg_sum_dims(tape, by_u, &others, 1, false);
    if (tg_node_needs(node, 2))
        gx[2] = tg_neg(tape, tg_sum_dims(tape, by_u, &points, 1, false));
    if (tg_node_needs(node, 3))
        gx[3] = tg_sum_dims(tape, tg_mul(tape, vg, fd), &parts, 1, false);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define P(dims_, keep, p_)                                                                                   \
    &(const tg_norm_attrs)                                                                                   \
    {                                                                                                        \
        dims_, keep, p_                                                                                      \
    }
#define OFF_ZERO                                                                                             \
    {                                                                                                        \
        TG_DIM2(3, 4), TG_RANGE(-2, 2), TG_AWAY(0, 0.3)                                                      \
    }
#define OFF_ZERO_STRIDED                                                                                     \
    {                                                                                                        \
        TG_DIM2(4, 3), TG_RANGE(-2, 2), TG_AWAY(0, 0.3), strided                                             \
    }
#define APART                                                                                                \
    {                                                                                                        \
        TG_DIM2(3, 4), TG_RANGE(0.5, 2), distinct, apart 0.05                                                \
    }
TG_SAMPLES(
    norms, {.label = "p 2, rows", .in = TG_SAMPLE_INPUTS(OFF_ZERO), .attrs = P(1, 0, 2)},
    {.label = "p 2, strided, all", .in = TG_SAMPLE_INPUTS(OFF_ZERO_STRIDED), .attrs = P(3, 0, 2)},
    {.label = "p 1, columns, kept", .in = TG_SAMPLE_INPUTS(OFF_ZERO), .attrs = P(2, 1, 1)},
    {.label = "p 0", .in = TG_SAMPLE_INPUTS(OFF_ZERO), .attrs = P(2, 0, 0)},
    {.label = "p 3, strided", .in = TG_SAMPLE_INPUTS(OFF_ZERO_STRIDED), .attrs = P(1, 0, 3)},
    {.label = "p 0.5", .in = TG_SAMPLE_INPUTS(OFF_ZERO), .attrs = P(2, 0, 0.5)},
    {.label = "p -1.5", .in = TG_SAMPLE_INPUTS(OFF_ZERO), .attrs = P(3, 0, -1.5)},
    {.label = "p inf", .in = TG_SAMPLE_INPUTS(APART), .attrs = P(2, 0, (double)INFINITY)},
    {.label = "p -inf", .in = TG_SAMPLE_INPUTS(APART), .attrs = P(1, 0, -(double)INFINITY)},
    {.label = "scalar", .in = TG_SAMPLE_INPUTS({TG_RANGE(0.5, 2)}), .attrs = P(0, 0, 2)})

#define D(p_)                                                                                                \
    &(const tg_cdist_attrs)                                                                                  \
    {                                                                                                        \
        p_                                                                                                   \
    }
#define NEAR(...)                                                                                            \
    {                                                                                                        \
        TG_RANGE(0, 1), DRAWN_DIMS(__VA_ARGS__)                                                              \
    }
#define FAR(...)                                                                                             \
    {                                                                                                        \
        TG_RANGE(1.5, 2.5), DRAWN_DIMS(__VA_ARGS__)                                                          \
    }
#define FAR_STRIDED(...)                                                                                     \
    {                                                                                                        \
        TG_RANGE(1.5, 2.5), strided, DRAWN_DIMS(__VA_ARGS__)                                                 \
    }
TG_SAMPLES(
    distances, {.label = "p 2", .in = TG_SAMPLE_INPUTS(NEAR(3, 2), FAR(4, 2)), .attrs = D(2)},
    {.label = "p 1, strided",
     .in = TG_SAMPLE_INPUTS(NEAR(2, 2), FAR_STRIDED(3, 2)),
     .attrs = D(1)},
    {.label = "p 3, batches", .in = TG_SAMPLE_INPUTS(NEAR(2, 2, 2), FAR(2, 3, 2)), .attrs = D(3)},
    {.label = "p 0.5", .in = TG_SAMPLE_INPUTS(NEAR(2, 2), FAR(2, 2)), .attrs = D(0.5)},
    {.label = "p inf",
     .in = TG_SAMPLE_INPUTS(NEAR(2, 2), FAR(3, 2)),
     .attrs = D((double)INFINITY)},
    {.label = "p 0", .in = TG_SAMPLE_INPUTS(NEAR(2, 2), FAR(3, 2)), .attrs = D(0)})
#define BACK(...)                                                                                            \
    TG_SAMPLE_INPUTS({TG_RANGE(-1, 1), DRAWN_DIMS(2, 3)}, NEAR(2, 2), FAR(3, 2),                             \
                     {TG_RANGE(1, 2), __VA_ARGS__ DRAWN_DIMS(2, 3)})
TG_SAMPLES(distances_back, {.label = "p 2", .in = BACK(), .attrs = D(2)},
           {.label = "p 3, strided", .in = BACK(strided, ), .attrs = D(3)},
           {.label = "p 1", .in = BACK(), .attrs = D(1)},
           {.label = "p 0.5", .in = BACK(), .attrs = D(0.5)})

static const tg_attr_spec norm_specs[] = {
    {.name = "dims",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_norm_attrs, dims),
     .doc = "bit d: dim d is reduced"},
    {.name = "keepdim",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_norm_attrs, keepdim),
     .doc = "1: it stays, of size 1"},
    {.name = "p", .type = TG_ATTR_REAL, .offset = offsetof(tg_norm_attrs, p), .value = 2, .doc = "the order"},
    {0},
};
static const tg_attr_spec cdist_specs[] = {
    {.name = "p",
     .type = TG_ATTR_REAL,
     .offset = offsetof(tg_cdist_attrs, p),
     .value = 2,
     .doc = "the order"},
    {0},
};
static const tg_operator row_norm = {
    TG_ROW("norm", "(sum |x|^p)^(1/p) over dims; where it or x is 0 the derivative is 0"),
    TG_ATTRS(tg_norm_attrs, norm_specs),
    .n_in = 1,
    .n_out = 1,
    .saves = TG_OP_IN(0) | TG_OP_OUT(0),
    .infer = infer_norm,
    .vjp = norm_vjp,
    .samples = TG_PROOF(norms),
};
static const tg_operator row_cdist = {
    TG_ROW("cdist", "the distance of each row of x1 from each of x2: (sum |x1 - x2|^p)^(1/p)"),
    TG_ATTRS(tg_cdist_attrs, cdist_specs),
    .flags = TG_OP_DENSE,
    .n_in = 2,
    .n_out = 1,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_OUT(0),
    .infer = infer_cdist,
    .vjp = cdist_vjp,
    .samples = TG_PROOF(distances),
};
static const tg_operator row_cdist_backward = {
    TG_ROW("cdist_backward", "what cdist sends to x1"),
    TG_ATTRS(tg_cdist_attrs, cdist_specs),
    .flags = TG_OP_DENSE,
    .n_in = 4,
    .n_out = 1,
    .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_IN(2) | TG_OP_IN(3),
    .infer = infer_cdist_backward,
    .vjp = cdist_backward_vjp,
    .samples = TG_PROOF(distances_back),
};

const tg_operator *const tg_ops_distance[] = {&row_norm, &row_cdist, &row_cdist_backward, NULL};

/* -- the functions -------------------------------------------------------------------------------------- */

tg_tensor *tg_norm_dims(tg_tape *tape, tg_tensor *x, double p, const int64_t *dims, size_t n_dims,
                        bool keepdim)
{
    tg_norm_attrs attrs = {.keepdim = keepdim, .p = p};
    if (!tg_dims_mask(tape, "norm", x, dims, n_dims, &attrs.dims))
        return NULL;
    return tg_row1(tape, &row_norm, x, &attrs, NULL);
}

/* The dims that a and b broadcast to from dim `d` before the end on; false where they do not. */
static bool common_dims(const tg_desc *a, const tg_desc *b, int before_end, tg_desc *out)
{
    *out = a->ndim >= b->ndim ? *a : *b;
    for (int back = before_end; back < out->ndim; back++) {
        const int64_t m = back < a->ndim ? a->dim[a->ndim - 1 - back] : 1,
                      n = back < b->ndim ? b->dim[b->ndim - 1 - back] : 1;
        if (m != n && m != 1 && n != 1)
            return false;
        out->dim[out->ndim - 1 - back] = m == 1 ? n : m;
    }
    return true;
}

/* a and b are f32 or f64 and broadcast to *out; else an error in the name of `what`. */
static bool take_pair(tg_tape *tape, const char *what, tg_tensor *a, tg_tensor *b, const char *name_a,
                      const char *name_b, tg_desc *out)
{
    const tg_desc *p = tg_float_argument(tape, a, what, name_a);
    const tg_desc *q = p ? tg_float_argument(tape, b, what, name_b) : NULL;
    char got_a[112], got_b[112];
    if (!q)
        return false;
    if (!common_dims(p, q, 0, out)) {
        tg_fail(tape, TG_ESHAPE, "%s: %s %s and %s %s do not broadcast", what, name_a,
                tg_desc_format(p, got_a, sizeof got_a), name_b, tg_desc_format(q, got_b, sizeof got_b));
        return false;
    }
    return true;
}

tg_tensor *tg_dist(tg_tape *tape, tg_tensor *a, tg_tensor *b, double p)
{
    tg_desc both;
    tg_scope scope;
    if (!take_pair(tape, "dist", a, b, "a", "b", &both))
        return NULL;
    tg_scope_enter(tape, &scope);
    return tg_composed(tape, &scope, tg_norm_dims(tape, tg_sub(tape, a, b), p, NULL, 0, false), NULL);
}

tg_tensor *tg_cdist(tg_tape *tape, tg_tensor *x1, tg_tensor *x2, double p)
{
    const tg_desc *a = tg_float_argument(tape, x1, "cdist", "x1");
    const tg_desc *b = a ? tg_float_argument(tape, x2, "cdist", "x2") : NULL;
    tg_tensor *in[2] = {x1, x2};
    tg_desc to;
    tg_scope scope;
    if (!b)
        return NULL;
    if (a->ndim < 2 || b->ndim < 2 || a->dim[a->ndim - 1] != b->dim[b->ndim - 1] ||
        !common_dims(a, b, 2, &to)) {
        char got_a[112], got_b[112];
        tg_fail(tape, TG_ESHAPE, "cdist: x1 is %s and x2 %s, expected (…, P, M) and (…, R, M)",
                tg_desc_format(a, got_a, sizeof got_a), tg_desc_format(b, got_b, sizeof got_b));
        return NULL;
    }
    tg_scope_enter(tape, &scope);
    for (int i = 0; i < 2; i++) {
        const tg_desc *x = i ? b : a;
        for (int back = 1; back <= 2; back++)
            to.dim[to.ndim - back] = x->dim[x->ndim - back];
        if (!tg_desc_same_dims(x, &to))
            in[i] = tg_expand_dims(tape, in[i], to.dim, (size_t)to.ndim);
    }
    tg_tensor *d = apply_first(tape, &row_cdist, in, 2, &(tg_cdist_attrs){p});
    return tg_composed(tape, &scope, d, NULL);
}

tg_tensor *tg_renorm(tg_tape *tape, tg_tensor *x, double p, int64_t dim, double max_norm)
{
    const tg_desc *d = tg_float_argument(tape, x, "renorm", "x");
    tg_norm_attrs attrs = {.keepdim = 1, .p = p};
    int64_t along;
    tg_scope scope;
    if (!d || !tg_resolve_dim(tape, "renorm", dim, d->ndim, &along))
        return NULL;
    if (d->ndim < 2 || !(p > 0) || !(max_norm >= 0)) {
        tg_fail(tape, d->ndim < 2 ? TG_ESHAPE : TG_EINVAL,
                "renorm: x has %d dims, p is %g, max_norm %g; expected 2 or more, above 0, 0 or more",
                d->ndim, p, max_norm);
        return NULL;
    }
    attrs.dims = (((int64_t)1 << d->ndim) - 1) & ~((int64_t)1 << along);
    tg_scope_enter(tape, &scope);
    tg_tensor *norm = tg_row1(tape, &row_norm, x, &attrs, NULL);
    tg_tensor *factor = tg_mul_scalar(tape, tg_reciprocal(tape, tg_add_scalar(tape, norm, 1e-7)), max_norm);
    tg_tensor *too_long = tg_gt(tape, norm, tg_constant_like(tape, x, max_norm));
    factor = tg_where(tape, too_long, factor, tg_constant_like(tape, x, 1));
    return tg_composed(tape, &scope, tg_mul(tape, x, factor), NULL);
}

tg_tensor *tg_normalize(tg_tape *tape, tg_tensor *x, double p, int64_t dim, double eps)
{
    const tg_desc *d = tg_float_argument(tape, x, "normalize", "x");
    int64_t along;
    tg_scope scope;
    if (!d || !tg_resolve_dim(tape, "normalize", dim, d->ndim, &along))
        return NULL;
    tg_scope_enter(tape, &scope);
    tg_tensor *norm = tg_clamp(tape, tg_norm_dims(tape, x, p, &along, 1, true), eps, (double)NAN);
    return tg_composed(tape, &scope, tg_div(tape, x, norm), NULL);
}

/* x's norm along dim, but not below eps; where it is, its derivative stays what it was. */
static tg_tensor *raised_norm(tg_tape *tape, tg_tensor *x, int64_t dim, double eps)
{
    tg_tensor *norm = tg_norm_dims(tape, x, 2, &dim, 1, true), *own = tg_detach(tape, norm);
    return tg_add(tape, norm, tg_sub(tape, tg_clamp(tape, own, eps, (double)NAN), own));
}

tg_tensor *tg_cosine_similarity(tg_tape *tape, tg_tensor *a, tg_tensor *b, int64_t dim, double eps)
{
    tg_desc both;
    int64_t along;
    tg_scope scope;
    if (!take_pair(tape, "cosine_similarity", a, b, "a", "b", &both) ||
        !tg_resolve_dim(tape, "cosine_similarity", dim, both.ndim, &along))
        return NULL;
    tg_scope_enter(tape, &scope);
    a = tg_expand_as(tape, a, &both);
    b = tg_expand_as(tape, b, &both);
    tg_tensor *u = tg_div(tape, a, raised_norm(tape, a, along, eps));
    tg_tensor *v = tg_div(tape, b, raised_norm(tape, b, along, eps));
    return tg_composed(tape, &scope, tg_sum_dims(tape, tg_mul(tape, u, v), &along, 1, false), NULL);
}

static tg_tensor *distance_of_rows(tg_tape *tape, tg_tensor *a, tg_tensor *b, double p, double eps,
                                   bool keepdim)
{
    const int64_t last = -1;
    return tg_norm_dims(tape, tg_add_scalar(tape, tg_sub(tape, a, b), eps), p, &last, 1, keepdim);
}

tg_tensor *tg_pairwise_distance(tg_tape *tape, tg_tensor *a, tg_tensor *b, double p, double eps, bool keepdim)
{
    tg_desc both;
    tg_scope scope;
    if (!take_pair(tape, "pairwise_distance", a, b, "a", "b", &both))
        return NULL;
    tg_scope_enter(tape, &scope);
    return tg_composed(tape, &scope, distance_of_rows(tape, a, b, p, eps, keepdim), NULL);
}

typedef struct norm {
    double p, eps;
} norm;

static tg_tensor *by_norm(tg_tape *tape, tg_tensor *a, tg_tensor *b, void *arg)
{
    const norm *n = arg;
    return distance_of_rows(tape, a, b, n->p, n->eps, false);
}

static tg_tensor *triplets(tg_tape *tape, const char *what, tg_tensor *anchor, tg_tensor *positive, tg_tensor *negative,
                           tg_distance_fn distance, void *arg, double margin, bool swap, tg_reduction reduction)
{
    tg_desc both;
    tg_scope scope;
    if (!take_pair(tape, what, anchor, positive, "anchor", "positive", &both) ||
        !take_pair(tape, what, anchor, negative, "anchor", "negative", &both) ||
        !take_pair(tape, what, positive, negative, "positive", "negative", &both) ||
        !tg_known_reduction(tape, what, reduction))
        return NULL;
    const int ndim = tg_tensor_ndim(anchor);
    if (!(margin > 0) || tg_tensor_ndim(positive) != ndim || tg_tensor_ndim(negative) != ndim) {
        tg_fail(
            tape, margin > 0 ? TG_ESHAPE : TG_EINVAL,
            "%s: margin is %g, and the three have %d, %d and %d dims; expected above 0, and the same number",
            what, margin, ndim, tg_tensor_ndim(positive), tg_tensor_ndim(negative));
        return NULL;
    }
    tg_scope_enter(tape, &scope);
    tg_tensor *near = distance(tape, anchor, positive, arg);
    tg_tensor *far = distance(tape, anchor, negative, arg);
    if (swap)
        far = tg_minimum(tape, far, distance(tape, positive, negative, arg));
    tg_tensor *loss = tg_clamp(tape, tg_add_scalar(tape, tg_sub(tape, near, far), margin), 0, (double)NAN);
    return tg_composed(tape, &scope, tg_reduced_loss(tape, loss, reduction), NULL);
}

tg_tensor *tg_triplet_margin_loss(tg_tape *tape, tg_tensor *anchor, tg_tensor *positive, tg_tensor *negative,
                                  double margin, double p, double eps, bool swap, tg_reduction reduction)
{
    return triplets(tape, "triplet_margin_loss", anchor, positive, negative, by_norm, &(norm){p, eps}, margin, swap,
                    reduction);
}

tg_tensor *tg_triplet_margin_with_distance_loss(tg_tape *tape, tg_tensor *anchor, tg_tensor *positive,
                                                tg_tensor *negative, tg_distance_fn distance, void *arg, double margin,
                                                bool swap, tg_reduction reduction)
{
    norm usual = {2, 1e-6};
    return triplets(tape, "triplet_margin_with_distance_loss", anchor, positive, negative, distance ? distance : by_norm,
                    distance ? arg : &usual, margin, swap, reduction);
}
