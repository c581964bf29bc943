/* Products that are matmul in other clothes, and the cross product. */
#include "autograd/operators/rows.h"

#include <string.h>

/* -- cross ---------------------------------------------------------------------------------------------- */

static tg_status infer_cross(const tg_infer *q)
{
    const tg_cross_attrs *a = q->attrs;
    const int32_t dtype = q->in[0]->dtype;
    if (dtype != q->in[1]->dtype || (!tg_dtype_is_float(dtype) && dtype != TG_I64))
        return tg_infer_fail(q, TG_EDTYPE, "expected two of f32, f64 or i64, got %s and %s",
                             tg_dtype_name(dtype), tg_dtype_name(q->in[1]->dtype));
    tg_status status = tg_infer_broadcast(q, dtype, q->out);
    if (status)
        return status;
    if (a->dim < 0 || a->dim >= q->out->ndim || q->out->dim[a->dim] != 3)
        return tg_infer_fail(q, TG_ESHAPE, "dim %lld must have size 3", (long long)a->dim);
    return TG_OK;
}

static const tg_operator row_cross;

TG_RULE(cross)
{
    tg_tensor *a = tg_node_input(node, 0), *b = tg_node_input(node, 1);
    if (tg_node_needs(node, 0))
        gx[0] = tg_row2(tape, &row_cross, b, gy[0], tg_node_attrs(node), NULL);
    if (tg_node_needs(node, 1))
        gx[1] = tg_row2(tape, &row_cross, gy[0], a, tg_node_attrs(node), NULL);
    return tg_tape_status(tape);
}

static const tg_cross_attrs along_last = {1}, along_first = {0};
TG_SAMPLES(crosses,
           {.label = "last",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), TG_RANGE(-2, 2)}, {TG_DIM2(1, 3), TG_RANGE(-2, 2)}),
            .attrs = &along_last},
           {.label = "first, strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 2), TG_RANGE(-2, 2), strided},
                                   {TG_DIM2(3, 2), TG_RANGE(-2, 2)}),
            .attrs = &along_first})
static const tg_attr_spec cross_specs[] = {
    {.name = "dim", .type = TG_ATTR_INT, .offset = offsetof(tg_cross_attrs, dim), .doc = "of size 3"}, {0}};
static const tg_operator row_cross = {
    TG_ROW("cross", "a x b along a dim of size 3"),
    .flags = TG_OP_BROADCAST,
    .saves = TG_OP_IN(0) | TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    .promotes = TG_OP_IN(0) | TG_OP_IN(1),
    TG_ATTRS(tg_cross_attrs, cross_specs),
    .infer = infer_cross,
    .vjp = cross_vjp,
    .samples = TG_PROOF(crosses),
};

const tg_operator *const tg_ops_contraction[] = {&row_cross, NULL};

/* -- arguments --------------------------------------------------------------------------------------------
 */

/* The descriptors of a and b, of these ranks (−1: any); false: they are not, and said so. */
static bool ranks(tg_tape *tape, const char *what, tg_tensor *a, tg_tensor *b, int rank_a, int rank_b,
                  const tg_desc **da, const tg_desc **db)
{
    *da = tg_argument(tape, a, what, "a");
    *db = *da ? tg_argument(tape, b, what, "b") : NULL;
    if (!*db)
        return false;
    if ((rank_a < 0 || (*da)->ndim == rank_a) && (rank_b < 0 || (*db)->ndim == rank_b))
        return true;
    char sa[128], sb[128];
    tg_fail(tape, TG_ESHAPE, "%s: a and b must have %d and %d dims, got %s and %s", what, rank_a, rank_b,
            tg_desc_format(*da, sa, sizeof sa), tg_desc_format(*db, sb, sizeof sb));
    return false;
}

/* The same, and a's last dim is b's dim `inner`, and the batches of two batches are of one size. */
static bool factors(tg_tape *tape, const char *what, tg_tensor *a, tg_tensor *b, int rank_a, int rank_b)
{
    const tg_desc *da, *db;
    if (!ranks(tape, what, a, b, rank_a, rank_b, &da, &db))
        return false;
    const int inner = rank_b > 1 ? rank_b - 2 : 0;
    const char *wrong = da->dtype != db->dtype                  ? "be of one dtype"
                        : da->dim[rank_a - 1] != db->dim[inner] ? "agree in the dim that is summed"
                        : rank_a == 3 && rank_b == 3 && da->dim[0] != db->dim[0] ? "be batches of one size"
                                                                                 : NULL;
    char sa[128], sb[128];
    if (wrong)
        tg_fail(tape, da->dtype != db->dtype ? TG_EDTYPE : TG_ESHAPE, "%s: a and b must %s, got %s and %s",
                what, wrong, tg_desc_format(da, sa, sizeof sa), tg_desc_format(db, sb, sizeof sb));
    return !wrong;
}

static tg_tensor *product(tg_tape *tape, const char *what, tg_tensor *a, tg_tensor *b, int rank_a, int rank_b)
{
    return factors(tape, what, a, b, rank_a, rank_b) ? tg_matmul(tape, a, b) : NULL;
}

/* -- the functions of ops.h: products of given ranks -------------------------------------------------------
 */

tg_tensor *tg_mm(tg_tape *tape, tg_tensor *a, tg_tensor *b)
{
    return product(tape, "mm", a, b, 2, 2);
}

tg_tensor *tg_bmm(tg_tape *tape, tg_tensor *a, tg_tensor *b)
{
    return product(tape, "bmm", a, b, 3, 3);
}

tg_tensor *tg_mv(tg_tape *tape, tg_tensor *a, tg_tensor *b)
{
    return product(tape, "mv", a, b, 2, 1);
}

tg_tensor *tg_dot(tg_tape *tape, tg_tensor *a, tg_tensor *b)
{
    return product(tape, "dot", a, b, 1, 1);
}

static tg_tensor *outer(tg_tape *tape, const char *what, tg_tensor *a, tg_tensor *b)
{
    const tg_desc *da, *db;
    return ranks(tape, what, a, b, 1, 1, &da, &db) ? tg_mul(tape, tg_unsqueeze(tape, a, 1), b) : NULL;
}

tg_tensor *tg_outer(tg_tape *tape, tg_tensor *a, tg_tensor *b)
{
    return outer(tape, "outer", a, b);
}

/* beta·x + alpha·y. */
static tg_tensor *combine(tg_tape *tape, const char *what, tg_tensor *x, tg_tensor *y, double beta,
                          double alpha)
{
    const tg_desc *dx = tg_argument(tape, x, what, "x"),
                  *dy = dx ? tg_argument(tape, y, what, "the product") : NULL;
    if (!dy)
        return NULL;
    const int lead = dy->ndim - dx->ndim;
    bool fits = lead >= 0;
    for (int d = 0; d < dx->ndim && fits; d++)
        fits = dx->dim[d] == 1 || dx->dim[d] == dy->dim[d + lead];
    if (!fits || dx->dtype != dy->dtype) {
        char sx[128], sy[128];
        tg_fail(tape, fits ? TG_EDTYPE : TG_ESHAPE,
                "%s: x must broadcast to the product and be of its dtype, got %s for %s", what,
                tg_desc_format(dx, sx, sizeof sx), tg_desc_format(dy, sy, sizeof sy));
        return NULL;
    }
    if (alpha != 1)
        y = tg_mul_scalar(tape, y, alpha);
    if (beta == 0)
        return y;
    return tg_add(tape, beta == 1 ? x : tg_mul_scalar(tape, x, beta), y);
}

tg_tensor *tg_addmm(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double beta, double alpha)
{
    TG_COMPOSES(tape, "addmm");
    const tg_desc *dx = tg_argument(tape, x, "addmm", "x");
    if (!dx || !factors(tape, "addmm", a, b, 2, 2))
        return NULL;
    /* A linear layer as it is often written: one pass. */
    if (alpha == 1 && beta == 1 && dx->ndim == 1 && dx->dim[0] == tg_tensor_dim(b, 1) &&
        tg_dtype_is_float(dx->dtype) && tg_tensor_dtype(a) == (tg_dtype)dx->dtype)
        return tg_linear(tape, a, tg_transpose(tape, b, 0, 1), x);
    return combine(tape, "addmm", x, tg_matmul(tape, a, b), beta, alpha);
}

tg_tensor *tg_addmv(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double beta, double alpha)
{
    TG_COMPOSES(tape, "addmv");
    return combine(tape, "addmv", x, product(tape, "addmv", a, b, 2, 1), beta, alpha);
}

tg_tensor *tg_addr(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double beta, double alpha)
{
    TG_COMPOSES(tape, "addr");
    return combine(tape, "addr", x, outer(tape, "addr", a, b), beta, alpha);
}

tg_tensor *tg_baddbmm(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double beta, double alpha)
{
    TG_COMPOSES(tape, "baddbmm");
    return combine(tape, "baddbmm", x, product(tape, "baddbmm", a, b, 3, 3), beta, alpha);
}

/* The batches side by side: one product. */
tg_tensor *tg_addbmm(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double beta, double alpha)
{
    TG_COMPOSES(tape, "addbmm");
    if (!factors(tape, "addbmm", a, b, 3, 3))
        return NULL;
    const int64_t n = tg_tensor_dim(a, 1), inner = tg_tensor_dim(a, 0) * tg_tensor_dim(a, 2),
                  m = tg_tensor_dim(b, 2);
    a = tg_reshape_dims(tape, tg_transpose(tape, a, 0, 1), (const int64_t[]){n, inner}, 2);
    b = tg_reshape_dims(tape, b, (const int64_t[]){inner, m}, 2);
    return combine(tape, "addbmm", x, tg_matmul(tape, a, b), beta, alpha);
}

/* -- products over chosen dims
 * --------------------------------------------------------------------------------- */

tg_tensor *tg_inner(tg_tape *tape, tg_tensor *a, tg_tensor *b)
{
    TG_COMPOSES(tape, "inner");
    const tg_desc *da, *db;
    if (!ranks(tape, "inner", a, b, -1, -1, &da, &db))
        return NULL;
    if (!da->ndim || !db->ndim)
        return tg_mul(tape, a, b);
    if (da->dim[da->ndim - 1] != db->dim[db->ndim - 1]) {
        char sa[128], sb[128];
        tg_fail(tape, TG_ESHAPE, "inner: a and b must agree in their last dim, got %s and %s",
                tg_desc_format(da, sa, sizeof sa), tg_desc_format(db, sb, sizeof sb));
        return NULL;
    }
    const int64_t last = -1;
    return tg_tensordot(tape, a, b, &last, &last, 1);
}

/* x with its chosen dims, in their order, behind the others (or before them), as a matrix. */
static tg_tensor *as_matrix(tg_tape *tape, tg_tensor *x, const int64_t *chosen, size_t n, bool behind)
{
    int64_t order[TG_MAX_DIM], rest = 1, inner = 1;
    unsigned taken = 0;
    tg_desc d;
    if (!x || tg_tensor_desc(x, &d))
        return NULL;
    size_t at = behind ? 0 : n;
    for (size_t i = 0; i < n; i++) {
        taken |= 1u << chosen[i];
        inner *= d.dim[chosen[i]];
        order[behind ? (size_t)d.ndim - n + i : i] = chosen[i];
    }
    for (int i = 0; i < d.ndim; i++)
        if (!(taken & 1u << i)) {
            rest *= d.dim[i];
            order[at++] = i;
        }
    return tg_reshape_dims(tape, tg_permute_dims(tape, x, order, (size_t)d.ndim),
                           behind ? (const int64_t[]){rest, inner} : (const int64_t[]){inner, rest}, 2);
}

/* dims, counted from the front and each once; appends x's other sizes to result. */
static bool take_summed(tg_tape *tape, const tg_desc *d, const int64_t *dims, size_t n, int64_t *out,
                        int64_t *result, size_t *n_result)
{
    unsigned taken = 0;
    for (size_t i = 0; i < n; i++) {
        if (!tg_resolve_dim(tape, "tensordot", dims[i], d->ndim, &out[i]))
            return false;
        if (taken & 1u << out[i]) {
            tg_fail(tape, TG_EINVAL, "tensordot: dim %lld is listed twice", (long long)dims[i]);
            return false;
        }
        taken |= 1u << out[i];
    }
    for (int i = 0; i < d->ndim; i++)
        if (!(taken & 1u << i))
            result[(*n_result)++] = d->dim[i];
    return true;
}

tg_tensor *tg_tensordot(tg_tape *tape, tg_tensor *a, tg_tensor *b, const int64_t *dims_a,
                        const int64_t *dims_b, size_t n)
{
    TG_COMPOSES(tape, "tensordot");
    const tg_desc *da, *db;
    tg_dims_attrs take;
    int64_t of_a[TG_MAX_DIM], of_b[TG_MAX_DIM], result[2 * TG_MAX_DIM];
    size_t n_result = 0;
    if (!ranks(tape, "tensordot", a, b, -1, -1, &da, &db) ||
        !tg_take_dims(tape, "tensordot", dims_a, n, &take) ||
        !tg_take_dims(tape, "tensordot", dims_b, n, &take))
        return NULL;
    if (n > (size_t)da->ndim || n > (size_t)db->ndim) {
        tg_fail(tape, TG_ESHAPE, "tensordot: a has %d dims and b %d, %zu cannot be summed", da->ndim,
                db->ndim, n);
        return NULL;
    }
    if (!take_summed(tape, da, dims_a, n, of_a, result, &n_result) ||
        !take_summed(tape, db, dims_b, n, of_b, result, &n_result))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const int64_t p = da->dim[of_a[i]], r = db->dim[of_b[i]];
        if (p != r && p != 1 && r != 1) {
            tg_fail(tape, TG_ESHAPE, "tensordot: dim %lld of a has size %lld, dim %lld of b %lld",
                    (long long)of_a[i], (long long)p, (long long)of_b[i], (long long)r);
            return NULL;
        }
        if (r == 1 && p != 1)
            a = tg_sum_dims(tape, a, &of_a[i], 1, true);
        if (p == 1 && r != 1)
            b = tg_sum_dims(tape, b, &of_b[i], 1, true);
    }
    if (n_result > TG_MAX_DIM) {
        tg_fail(tape, TG_ESHAPE, "tensordot: the result would have %zu dims, at most %d", n_result,
                TG_MAX_DIM);
        return NULL;
    }
    tg_tensor *y = tg_matmul(tape, as_matrix(tape, a, of_a, n, true), as_matrix(tape, b, of_b, n, false));
    return tg_reshape_dims(tape, y, result, n_result);
}

/* Dims of size 1 take no part; what is left of both alternates. */
tg_tensor *tg_kron(tg_tape *tape, tg_tensor *a, tg_tensor *b)
{
    const tg_desc *da, *db;
    int64_t of_a[2 * TG_MAX_DIM], of_b[2 * TG_MAX_DIM], result[TG_MAX_DIM];
    size_t n = 0;
    if (!ranks(tape, "kron", a, b, -1, -1, &da, &db))
        return NULL;
    const int ndim = da->ndim > db->ndim ? da->ndim : db->ndim;
    for (int d = 0; d < ndim; d++) {
        const int ia = d - (ndim - da->ndim), ib = d - (ndim - db->ndim);
        const int64_t p = ia < 0 ? 1 : da->dim[ia], r = ib < 0 ? 1 : db->dim[ib];
        if (__builtin_mul_overflow(p, r, &result[d])) {
            tg_fail(tape, TG_ESHAPE, "kron: the result is too large");
            return NULL;
        }
        for (int which = 0; which < 2; which++)
            if ((which ? r : p) != 1) {
                of_a[n] = which ? 1 : p;
                of_b[n++] = which ? r : 1;
            }
    }
    if (n > TG_MAX_DIM) {
        tg_fail(tape, TG_ESHAPE, "kron: a and b have %zu dims that are not 1, at most %d", n, TG_MAX_DIM);
        return NULL;
    }
    tg_tensor *y = tg_mul(tape, tg_reshape_dims(tape, a, of_a, n), tg_reshape_dims(tape, b, of_b, n));
    return tg_reshape_dims(tape, y, result, (size_t)ndim);
}

tg_tensor *tg_cross(tg_tape *tape, tg_tensor *a, tg_tensor *b, int64_t dim)
{
    const tg_desc *da, *db;
    if (!ranks(tape, "cross", a, b, -1, -1, &da, &db))
        return NULL;
    const bool first = dim == TG_NONE_INT;
    char sa[128], sb[128];
    if (da->ndim != db->ndim) {
        tg_fail(tape, TG_ESHAPE, "cross: a and b must have as many dims, got %s and %s",
                tg_desc_format(da, sa, sizeof sa), tg_desc_format(db, sb, sizeof sb));
        return NULL;
    }
    if (first)
        for (dim = 0; dim < da->ndim && da->dim[dim] != 3;)
            dim++;
    else if (!tg_resolve_dim(tape, "cross", dim, da->ndim, &dim))
        return NULL;
    if (dim >= da->ndim || da->dim[dim] != 3 || db->dim[dim] != 3) {
        tg_fail(tape, TG_ESHAPE, "cross: a and b must have size 3 %s, got %s and %s",
                first ? "in one dim" : "in dim", tg_desc_format(da, sa, sizeof sa),
                tg_desc_format(db, sb, sizeof sb));
        return NULL;
    }
    return tg_row2(tape, &row_cross, a, b, &(tg_cross_attrs){dim}, NULL);
}

tg_tensor *tg_bilinear(tg_tape *tape, tg_tensor *x1, tg_tensor *x2, tg_tensor *weight, tg_tensor *bias)
{
    TG_COMPOSES(tape, "bilinear");
    const tg_desc *a = tg_argument(tape, x1, "bilinear", "x1"), *b = tg_argument(tape, x2, "bilinear", "x2"),
                  *w = tg_argument(tape, weight, "bilinear", "weight");
    if (!a || !b || !w)
        return NULL;
    const bool ranks = a->ndim > 0 && a->ndim == b->ndim && w->ndim == 3;
    if (!ranks || memcmp(a->dim, b->dim, (size_t)(a->ndim - 1) * sizeof *a->dim) ||
        a->dim[a->ndim - 1] != w->dim[1] || b->dim[b->ndim - 1] != w->dim[2]) {
        char text[3][96];
        tg_fail(tape, TG_ESHAPE, "bilinear: x1 %s, x2 %s, weight %s; expected […, in1], […, in2], [out, in1, in2]",
                tg_desc_format(a, text[0], sizeof *text), tg_desc_format(b, text[1], sizeof *text),
                tg_desc_format(w, text[2], sizeof *text));
        return NULL;
    }
    tg_tensor *y = tg_einsum(tape, "...i,oij,...j->...o", (tg_tensor *[]){x1, weight, x2}, 3);
    return bias ? tg_add(tape, y, bias) : y;
}
