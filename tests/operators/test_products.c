/* Products: values against plain sums, ranks, dtypes, NaN, strides, gradients through broadcasts, refusals.
 */
#include "operators/rig.h"

#include <tapegrad/operator.h>

static double noise(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / 8388608.0 - 1;
}

static tg_tensor *random_leaf(const int64_t *dims, size_t ndim, unsigned seed)
{
    double v[2000];
    for (int i = 0; i < 2000; i++)
        v[i] = noise(&seed);
    return leaf(TG_F64, dims, ndim, v, 2000);
}

static void expect_same(tg_tensor *got, tg_tensor *want)
{
    tg_desc d;
    ck_assert_msg(got && want, "NULL: %s", tg_tape_error(tape));
    tg_tensor_desc(want, &d);
    size_t n = (size_t)tg_desc_count(&d);
    double *v = malloc(n * 8 + 8);
    ck_assert_int_eq(tg_tensor_read(want, v, n * 8), TG_OK);
    expect(got, 1e-12, d.dim, (size_t)d.ndim, v, n ? n : 1);
    free(v);
}

START_TEST(ranks)
{
    tg_tensor *m = tensor(TG_F64, DIMS(2, 2), VALUES(1, 2, 3, 4)), *v = tensor(TG_F64, DIMS(2), VALUES(5, 6)),
              *b = tg_unsqueeze(tape, m, 0);
    expect(tg_mm(tape, m, m), 0, DIMS(2, 2), VALUES(7, 10, 15, 22));
    expect(tg_bmm(tape, b, b), 0, DIMS(1, 2, 2), VALUES(7, 10, 15, 22));
    expect(tg_mv(tape, m, v), 0, DIMS(2), VALUES(17, 39));
    expect(tg_dot(tape, v, v), 0, SCALAR, VALUES(61));
    expect(tg_outer(tape, v, tensor(TG_F64, DIMS(3), VALUES(1, 2, 3))), 0, DIMS(2, 3),
           VALUES(5, 10, 15, 6, 12, 18));
    expect(tg_inner(tape, m, m), 0, DIMS(2, 2), VALUES(5, 11, 11, 25));
    expect(tg_inner(tape, tg_dot(tape, v, v), v), 0, DIMS(2), VALUES(305, 366));
    expect(tg_kron(tape, v, m), 0, DIMS(2, 4), VALUES(5, 10, 6, 12, 15, 20, 18, 24));
    expect_error(tg_mm(tape, m, v), TG_ESHAPE,
                 "mm: a and b must have 2 and 2 dims, got f64[2, 2] and f64[2]");
    expect_error(tg_mm(tape, m, tg_outer(tape, tensor(TG_F64, DIMS(3), VALUES(1)), v)), TG_ESHAPE,
                 "mm: a and b must agree in the dim that is summed, got f64[2, 2] and f64[3, 2]");
    expect_error(tg_bmm(tape, b, tg_cat(tape, 0, b, b)), TG_ESHAPE,
                 "bmm: a and b must be batches of one size");
    expect_error(tg_mv(tape, m, tg_to(tape, v, TG_F32)), TG_EDTYPE, "mv: a and b must be of one dtype");
    expect_error(tg_dot(tape, m, m), TG_ESHAPE, "dot: a and b must have 1 and 1 dims");
    expect_error(tg_dot(tape, v, NULL), TG_EINVAL, "dot: b is NULL");
    expect_error(tg_outer(tape, m, v), TG_ESHAPE, "outer: a and b must have 1 and 1 dims");
    expect_error(tg_inner(tape, m, tensor(TG_F64, DIMS(3), VALUES(1))), TG_ESHAPE,
                 "inner: a and b must agree in their last dim");
}
END_TEST

START_TEST(integers)
{
    tg_tensor *a = tensor(TG_I64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)), *b = tg_transpose(tape, a, 0, 1);
    expect(tg_matmul(tape, a, b), 0, DIMS(2, 2), VALUES(14, 32, 32, 77));
    expect(tg_matmul(tape, tg_expand(tape, a, 2, 2, 3), b), 0, DIMS(2, 2, 2), VALUES(14, 32, 32, 77));
    expect(tg_dot(tape, tg_select(tape, a, 0, 0), tg_select(tape, a, 0, 1)), 0, SCALAR, VALUES(32));
    /* Beyond 2⁵³: exact. */
    int64_t big[2] = {(INT64_C(1) << 53) + 1, 3}, got;
    tg_tensor *v = tg_input(tape, TG_I64, DIMS(2), big);
    ck_assert_int_eq(tg_tensor_read(tg_dot(tape, v, tensor(TG_I64, DIMS(2), VALUES(1, 1))), &got, 8), TG_OK);
    ck_assert(got == (INT64_C(1) << 53) + 4);
    expect_error(
        tg_matmul(tape, tensor(TG_BOOL, DIMS(2, 2), VALUES(1)), tensor(TG_BOOL, DIMS(2, 2), VALUES(1))),
        TG_EDTYPE, "expected f32, f64 or i64, got bool");
    expect_error(tg_matmul(tape, a, tg_to(tape, b, TG_F64)), TG_EDTYPE,
                 "expected one dtype, got i64 and f64");
}
END_TEST

static int64_t largest;
static void watch(void *arg, tg_tape *t, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                  tg_tensor *const out[], size_t n_out, const tg_node *rule_of)
{
    (void)arg, (void)t, (void)in, (void)n_in;
    for (size_t i = 0; i < n_out && rule_of; i++)
        if (!strcmp(op->name, "matmul") && tg_tensor_count(out[i]) > largest)
            largest = tg_tensor_count(out[i]);
}

/* One of the ways that four dims can lie: in any order, with a gap behind each or none. */
static tg_tensor *laid_somehow(tg_dtype dtype, const int64_t *dims, unsigned *state)
{
    int64_t order[] = {0, 1, 2, 3}, base[4], back[4];
    double v[2000];
    size_t n = 1;
    for (int i = 3; i > 0; i--) {
        const int j = (int)((noise(state) + 1) / 2 * (i + 1));
        const int64_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    for (int i = 0; i < 4; i++) {
        base[i] = dims[order[i]] + (noise(state) > 0.3);
        back[order[i]] = i;
        n *= (size_t)base[i];
    }
    ck_assert_uint_le(n, 2000);
    for (size_t i = 0; i < n; i++)
        v[i] = noise(state);
    tg_tensor *x = tg_permute_dims(tape, tg_to(tape, tensor(TG_F64, base, 4, v, n), dtype), back, 4);
    for (int i = 0; i < 4; i++)
        x = tg_slice(tape, x, i, 0, dims[i], 1);
    return x;
}

static void numbers_of(const tg_tensor *x, double *v)
{
    ck_assert_int_eq(tg_tensor_read(x, v, (size_t)tg_tensor_count(x) * sizeof *v), TG_OK);
}

/* Some releases of oneDNN take the wrong matrices of a batch whose dims do not nest. */
START_TEST(batches_however_they_lie)
{
    unsigned state = 7;
    for (int round = 0; round < 1500; round++) {
        const tg_dtype dtype = round % 5 ? TG_F32 : TG_F64;
        int64_t s[5]; /* two dims of the batch, m, k, n */
        for (int i = 0; i < 5; i++)
            s[i] = 1 + (int64_t)((noise(&state) + 1) * 1.5);
        tg_tensor *a = laid_somehow(dtype, (const int64_t[]){s[0], s[1], s[2], s[3]}, &state),
                  *b = laid_somehow(dtype, (const int64_t[]){s[0], s[1], s[3], s[4]}, &state);
        tg_tensor *y = tg_to(tape, tg_matmul(tape, a, b), TG_F64);
        double x[81], w[81], got[81];
        ck_assert_msg(y, "%s", tg_tape_error(tape));
        numbers_of(tg_to(tape, a, TG_F64), x);
        numbers_of(tg_to(tape, b, TG_F64), w);
        numbers_of(y, got);
        for (int64_t i = 0; i < s[0] * s[1] * s[2] * s[4]; i++) {
            const int64_t at = i / s[4] / s[2], row = i / s[4] % s[2], col = i % s[4];
            double sum = 0;
            for (int64_t k = 0; k < s[3]; k++)
                sum += x[(at * s[2] + row) * s[3] + k] * w[(at * s[3] + k) * s[4] + col];
            ck_assert_msg(fabs(got[i] - sum) < 1e-6, "round %d: element %d of [%d, %d, %d, %d] is %g, expected %g",
                          round, (int)i, (int)s[0], (int)s[1], (int)s[2], (int)s[4], got[i], sum);
        }
        tg_tape_reset(tape);
    }
}
END_TEST

/* A gradient that a batch shares is summed inside the product: nothing is as large as a gradient for each
 * matrix. */
START_TEST(gradients_of_broadcast_batches)
{
    tg_tensor *strided = tg_transpose(tape, random_leaf(DIMS(5, 6, 7), 1), 1, 2);
    tg_tensor *a[] = {strided, random_leaf(DIMS(7, 6), 2), random_leaf(DIMS(5, 1, 7, 6), 3),
                      random_leaf(DIMS(3, 2, 7, 6), 4)};
    tg_tensor *b[] = {random_leaf(DIMS(6, 8), 5), random_leaf(DIMS(5, 6, 8), 6),
                      random_leaf(DIMS(3, 6, 8), 7), random_leaf(DIMS(3, 1, 6, 8), 8)};
    for (int k = 0; k < 4; k++) {
        tg_tensor *got[2], *want[2], *y = tg_matmul(tape, a[k], b[k]);
        tg_desc d;
        /* The same by broadcast products and sums. */
        tg_tensor *z =
            tg_sum_dims(tape, tg_mul(tape, tg_unsqueeze(tape, a[k], -1), tg_unsqueeze(tape, b[k], -3)),
                        (const int64_t[]){-2}, 1, false);
        expect_same(z, y);
        tg_tensor_desc(y, &d);
        tg_tensor *gy = random_leaf(d.dim, (size_t)d.ndim, 9);
        tg_tape_observe(tape, &(tg_observer){.applied = watch});
        largest = 0;
        ck_assert_int_eq(tg_grad(tape, y, gy, (tg_tensor *[]){a[k], b[k]}, 2, got, TG_RETAIN), TG_OK);
        tg_tape_observe(tape, NULL);
        ck_assert_int_le(largest, tg_tensor_count(a[k]) > tg_tensor_count(b[k]) ? tg_tensor_count(a[k])
                                                                                : tg_tensor_count(b[k]));
        ck_assert_int_eq(tg_grad(tape, z, gy, (tg_tensor *[]){a[k], b[k]}, 2, want, TG_RETAIN), TG_OK);
        expect_same(got[0], want[0]);
        expect_same(got[1], want[1]);
    }
}
END_TEST

START_TEST(sums_with_products)
{
    tg_tensor *m = tensor(TG_F64, DIMS(2, 2), VALUES(1, 2, 3, 4)), *v = tensor(TG_F64, DIMS(2), VALUES(5, 6)),
              *nan = tensor(TG_F64, DIMS(1), VALUES(NAN)), *b = tg_expand(tape, m, 3, 2, 2),
              *x = leaf(TG_F64, DIMS(2), VALUES(1, -1));
    expect(tg_addmm(tape, x, m, m, 1, 1), 0, DIMS(2, 2), VALUES(8, 9, 16, 21));
    expect(weighted_gradient(tg_addmm(tape, x, m, m, 1, 1), x), 0, DIMS(2), VALUES(4, 6));
    expect(tg_addmm(tape, x, m, m, 2, 0.5), 0, DIMS(2, 2), VALUES(5.5, 3, 9.5, 9));
    /* With beta = 0, NaN is not looked at. */
    expect(tg_addmm(tape, nan, m, m, 0, 1), 0, DIMS(2, 2), VALUES(7, 10, 15, 22));
    expect(tg_addmv(tape, nan, m, v, 0, 1), 0, DIMS(2), VALUES(17, 39));
    expect(tg_addr(tape, nan, v, v, 0, 1), 0, DIMS(2, 2), VALUES(25, 30, 30, 36));
    expect(tg_baddbmm(tape, nan, b, b, 0, 1), 0, DIMS(3, 2, 2), VALUES(7, 10, 15, 22));
    expect(tg_addbmm(tape, nan, b, b, 0, 1), 0, DIMS(2, 2), VALUES(21, 30, 45, 66));
    expect(tg_addbmm(tape, x, b, b, 1, 1), 0, DIMS(2, 2), VALUES(22, 29, 46, 65));
    expect_error(tg_addmm(tape, tensor(TG_F64, DIMS(3), VALUES(1)), m, m, 1, 1), TG_ESHAPE,
                 "addmm: x must broadcast to the product and be of its dtype, got f64[3] for f64[2, 2]");
    expect_error(tg_addmv(tape, m, m, v, 1, 1), TG_ESHAPE, "addmv: x must broadcast");
    expect_error(tg_addmm(tape, tg_to(tape, x, TG_F32), m, m, 1, 1), TG_EDTYPE, "addmm: x must broadcast");
    expect_error(tg_baddbmm(tape, x, m, b, 1, 1), TG_ESHAPE, "baddbmm: a and b must have 3 and 3 dims");
}
END_TEST

START_TEST(contractions)
{
    tg_tensor *a = random_leaf(DIMS(2, 3, 4), 1), *b = random_leaf(DIMS(4, 3, 5), 2);
    tg_tensor *y = tg_tensordot(tape, a, b, (const int64_t[]){-1, 1}, (const int64_t[]){0, 1}, 2);
    expect_same(y, tg_einsum(tape, "ijk,kjl->il", TG_TENSORS(a, b)));
    ck_assert_int_eq(tg_tensor_ndim(tg_tensordot(tape, a, b, NULL, NULL, 0)), 6);
    expect_error(tg_tensordot(tape, a, b, (const int64_t[]){1, 1}, (const int64_t[]){1, 1}, 2), TG_EINVAL,
                 "tensordot: dim 1 is listed twice");
    expect_error(tg_tensordot(tape, a, b, (const int64_t[]){0}, (const int64_t[]){0}, 1), TG_ESHAPE,
                 "tensordot: dim 0 of a has size 2, dim 0 of b 4");
    expect_error(tg_tensordot(tape, a, b, (const int64_t[]){3}, (const int64_t[]){0}, 1), TG_EINVAL,
                 "tensordot: dim must be");
    tg_tensor *c = random_leaf(DIMS(2, 2, 2, 2, 2), 3);
    expect_error(tg_tensordot(tape, c, c, NULL, NULL, 0), TG_ESHAPE,
                 "tensordot: the result would have 10 dims");
    expect_error(tg_kron(tape, c, c), TG_ESHAPE, "kron: a and b have 10 dims that are not 1, at most 8");
    tg_tensor *e1 = tensor(TG_I64, DIMS(3), VALUES(1, 0, 0)), *e2 = tensor(TG_F32, DIMS(3), VALUES(0, 1, 0));
    tg_tensor *e3 = tg_cross(tape, e1, e2, -1);
    ck_assert_int_eq(tg_tensor_dtype(e3), TG_F32);
    expect(e3, 0, DIMS(3), VALUES(0, 0, 1));
    expect(tg_cross(tape, tensor(TG_F64, DIMS(2, 3), VALUES(1, 0, 0)),
                    tensor(TG_F64, DIMS(2, 3), VALUES(0, 0, 1)), TG_NONE_INT),
           0, DIMS(2, 3), VALUES(0, -1, 0));
    expect_error(tg_cross(tape, a, b, 0), TG_ESHAPE,
                 "cross: a and b must have size 3 in dim, got f64[2, 3, 4] and f64[4, 3, 5]");
    expect_error(tg_cross(tape, e1, tg_unsqueeze(tape, e2, 0), 0), TG_ESHAPE,
                 "cross: a and b must have as many dims");
    expect_error(tg_cross(tape, c, c, TG_NONE_INT), TG_ESHAPE, "size 3 in one dim");
}
END_TEST

START_TEST(einstein)
{
    tg_tensor *m = tensor(TG_F64, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)),
              *v = tensor(TG_F64, DIMS(3), VALUES(1, 0, -1)),
              *s = tensor(TG_F64, DIMS(2, 2), VALUES(1, 2, 3, 4)), *one = tensor(TG_F64, DIMS(1), VALUES(2));
    expect(tg_einsum(tape, "ij->ji", TG_TENSORS(m)), 0, DIMS(3, 2), VALUES(1, 4, 2, 5, 3, 6));
    expect(tg_einsum(tape, "ba", TG_TENSORS(m)), 0, DIMS(3, 2), VALUES(1, 4, 2, 5, 3, 6)); /* alphabetical */
    expect(tg_einsum(tape, "aB", TG_TENSORS(m)), 0, DIMS(3, 2),
           VALUES(1, 4, 2, 5, 3, 6)); /* capitals first */
    expect(tg_einsum(tape, " i j , j ", TG_TENSORS(m, v)), 0, DIMS(2), VALUES(-2, -2));
    expect(tg_einsum(tape, "ii", TG_TENSORS(s)), 0, SCALAR, VALUES(5));
    expect(tg_einsum(tape, "ii->i", TG_TENSORS(s)), 0, DIMS(2), VALUES(1, 4));
    expect(tg_einsum(tape, "...->", TG_TENSORS(m)), 0, SCALAR, VALUES(21));
    expect(tg_einsum(tape, "...j,j", TG_TENSORS(m, v)), 0, DIMS(2), VALUES(-2, -2));
    expect(tg_einsum(tape, "i...->...i", TG_TENSORS(m)), 0, DIMS(3, 2), VALUES(1, 4, 2, 5, 3, 6));
    expect(tg_einsum(tape, "ij,j->ij", TG_TENSORS(m, one)), 0, DIMS(2, 3), VALUES(2, 4, 6, 8, 10, 12));
    expect(tg_einsum(tape, "ij,j->i", TG_TENSORS(m, one)), 0, DIMS(2), VALUES(12, 30));
    expect(tg_einsum(tape, "ij,jk,kl,l->i", TG_TENSORS(s, s, s, tensor(TG_F64, DIMS(2), VALUES(1, 1)))), 0,
           DIMS(2), VALUES(91, 199));
    expect(tg_einsum(tape, ",i", TG_TENSORS(tg_sum(tape, v), v)), 0, DIMS(3), VALUES(0, 0, 0));
    expect(
        tg_einsum(tape, "ij,jk",
                  TG_TENSORS(tensor(TG_F64, DIMS(2, 0), VALUES(1)), tensor(TG_F64, DIMS(0, 3), VALUES(1)))),
        0, DIMS(2, 3), VALUES(0));
    /* More letters than a tensor has dims, a few at a time; and batches, twice over, against plain sums. */
    tg_tensor *p = random_leaf(DIMS(2, 3, 2, 2), 1), *q = random_leaf(DIMS(2, 2, 3, 2), 2), *got[2], *want[2];
    tg_tensor *y = tg_einsum(tape, "abxy,xbcz->acyz", TG_TENSORS(p, q));
    ck_assert_ptr_null(y);
    expect_error(y, TG_ESHAPE, "a label stands for dims of different sizes");
    y = tg_einsum(tape, "abxy,xcbz->bazc", TG_TENSORS(p, q));
    tg_tensor *wide = tg_mul(tape, tg_reshape(tape, tg_permute(tape, p, 1, 0, 2, 3), 3, 2, 1, 1, 2, 2),
                             tg_reshape(tape, tg_permute(tape, q, 2, 3, 1, 0), 3, 1, 2, 2, 2, 1));
    tg_tensor *z = tg_sum_dims(tape, wide, (const int64_t[]){4, 5}, 2, false);
    expect_same(y, z);
    tg_tensor *loss_y = tg_sum(tape, tg_square(tape, y)), *loss_z = tg_sum(tape, tg_square(tape, z));
    ck_assert_int_eq(tg_grad(tape, loss_y, NULL, (tg_tensor *[]){p, q}, 2, got, TG_RETAIN), TG_OK);
    ck_assert_int_eq(tg_grad(tape, loss_z, NULL, (tg_tensor *[]){p, q}, 2, want, TG_RETAIN), TG_OK);
    expect_same(got[0], want[0]);
    expect_same(got[1], want[1]);
    expect_error(tg_einsum(tape, "ij,jk", TG_TENSORS(m)), TG_EINVAL,
                 "has more terms than there are operands, 1");
    expect_error(tg_einsum(tape, "ij", TG_TENSORS(m, m)), TG_EINVAL,
                 "has fewer terms than there are operands, 2");
    expect_error(tg_einsum(tape, "ijk", TG_TENSORS(m)), TG_ESHAPE,
                 "operand 0 has 3 labels, but is f64[2, 3]");
    expect_error(tg_einsum(tape, "i", TG_TENSORS(m)), TG_ESHAPE, "operand 0 has 1 labels");
    expect_error(tg_einsum(tape, "i1", TG_TENSORS(m)), TG_EINVAL,
                 "expected a letter, \"...\", \",\" or \"->\", at \"1\"");
    expect_error(tg_einsum(tape, "i..j", TG_TENSORS(m)), TG_EINVAL, "may stand once in a term");
    expect_error(tg_einsum(tape, "......", TG_TENSORS(m)), TG_EINVAL, "may stand once in a term");
    expect_error(tg_einsum(tape, "ij->ik", TG_TENSORS(m)), TG_EINVAL, "names a letter that no operand has");
    expect_error(tg_einsum(tape, "ij->ii", TG_TENSORS(m)), TG_EINVAL, "names a letter twice");
    expect_error(tg_einsum(tape, "ij->i,j", TG_TENSORS(m)), TG_EINVAL, "nothing may follow the result");
    expect_error(tg_einsum(tape, "ij->i->j", TG_TENSORS(m)), TG_EINVAL, "nothing may follow the result");
    expect_error(tg_einsum(tape, "ii", TG_TENSORS(m)), TG_ESHAPE, "a letter twice in one operand");
    expect_error(tg_einsum(tape, "abcdefghi", TG_TENSORS(m)), TG_ESHAPE,
                 "more labels than a tensor has dims");
    tg_tensor *five = tg_full(tape, TG_F64, DIMS(2, 2, 2, 2, 2), 1);
    expect(tg_einsum(tape, "abcde,fghij->aj", TG_TENSORS(five, five)), 0, DIMS(2, 2), VALUES(256));
    expect_error(tg_einsum(tape, "abcde,fghij", TG_TENSORS(five, five)), TG_ESHAPE,
                 "the result has more than 8 dims");
    expect_error(tg_einsum(tape, NULL, TG_TENSORS(m)), TG_EINVAL, "einsum: equation is NULL");
    expect_error(tg_einsum(tape, "i", NULL, 0), TG_EINVAL, "einsum: needs at least one operand");
    expect_error(tg_einsum(tape, "ij", TG_TENSORS(NULL)), TG_EINVAL, "einsum: an operand is NULL");
}
END_TEST

/* Attention written out. */
static tg_tensor *plainly(tg_tensor *q, tg_tensor *k, tg_tensor *v, tg_tensor *bias, double scale)
{
    tg_tensor *scores = tg_mul_scalar(tape, tg_matmul(tape, q, tg_transpose(tape, k, -2, -1)), scale);
    return tg_matmul(tape, tg_softmax(tape, bias ? tg_add(tape, scores, bias) : scores, -1), v);
}

START_TEST(attention)
{
    tg_tensor *q = random_leaf(DIMS(2, 4, 3, 5), 1), *k = random_leaf(DIMS(2, 4, 6, 5), 2),
              *v = random_leaf(DIMS(2, 4, 6, 2), 3);
    tg_tensor *mask = random_leaf(DIMS(3, 6), 4);
    const double i = -INFINITY;
    tg_tensor *causal =
        tensor(TG_F64, DIMS(3, 6), VALUES(0, i, i, i, i, i, 0, 0, i, i, i, i, 0, 0, 0, i, i, i));
    expect_same(tg_scaled_dot_product_attention(tape, q, k, v, NULL), plainly(q, k, v, NULL, 1 / sqrt(5)));
    expect_same(tg_scaled_dot_product_attention(tape, q, k, v, &(tg_attention_options){.is_causal = true}),
                plainly(q, k, v, causal, 1 / sqrt(5)));
    expect_same(
        tg_scaled_dot_product_attention(
            tape, q, k, v, &(tg_attention_options){.attn_mask = mask, .has_scale = true, .scale = 0.3}),
        plainly(q, k, v, mask, 0.3));
    tg_tensor *seen = tg_gt(tape, mask, tensor(TG_F64, SCALAR, VALUES(-0.9)));
    expect_same(
        tg_scaled_dot_product_attention(tape, q, k, v, &(tg_attention_options){.attn_mask = seen}),
        plainly(q, k, v,
                tg_where(tape, seen, tensor(TG_F64, SCALAR, VALUES(0)), tensor(TG_F64, SCALAR, VALUES(i))),
                1 / sqrt(5)));
    /* Heads that share keys and values. */
    tg_tensor *k2 = random_leaf(DIMS(2, 2, 6, 5), 5), *v1 = random_leaf(DIMS(2, 1, 6, 2), 6), *got[3],
              *want[3];
    tg_tensor *y =
        tg_scaled_dot_product_attention(tape, q, k2, v1, &(tg_attention_options){.enable_gqa = true});
    tg_tensor *z = plainly(q, tg_repeat_interleave(tape, k2, 2, 1), tg_repeat_interleave(tape, v1, 4, 1),
                           NULL, 1 / sqrt(5));
    expect_same(y, z);
    ck_assert_int_eq(
        tg_grad(tape, tg_sum(tape, tg_square(tape, y)), NULL, (tg_tensor *[]){q, k2, v1}, 3, got, TG_RETAIN),
        TG_OK);
    ck_assert_int_eq(
        tg_grad(tape, tg_sum(tape, tg_square(tape, z)), NULL, (tg_tensor *[]){q, k2, v1}, 3, want, TG_RETAIN),
        TG_OK);
    for (int n = 0; n < 3; n++)
        expect_same(got[n], want[n]);
    expect_error(tg_scaled_dot_product_attention(
                     tape, q, k2, v, &(tg_attention_options){.attn_mask = mask, .is_causal = true}),
                 TG_EINVAL, "attn_mask and is_causal exclude each other");
    expect_error(tg_scaled_dot_product_attention(tape, q, v, v, NULL), TG_ESHAPE,
                 "query and key must agree in the last dim");
    expect_error(tg_scaled_dot_product_attention(tape, q, k, q, NULL), TG_ESHAPE,
                 "key and value must have as many rows");
    expect_error(tg_scaled_dot_product_attention(tape, q, tg_to(tape, k, TG_F32), v, NULL), TG_EDTYPE,
                 "all alike");
    expect_error(tg_scaled_dot_product_attention(tape, q, k, v, &(tg_attention_options){.dropout_p = 1.5}),
                 TG_EINVAL, "dropout_p must be between 0 and 1, got 1.5");
    expect_error(tg_scaled_dot_product_attention(tape, q, k, v,
                                                 &(tg_attention_options){.attn_mask = tg_t(tape, mask)}),
                 TG_ESHAPE, "attn_mask must broadcast to […, 3, 6], got f64[6, 3]");
    expect_error(tg_scaled_dot_product_attention(tape, tg_slice(tape, q, 1, 0, 3, 1), k2, v1,
                                                 &(tg_attention_options){.enable_gqa = true}),
                 TG_ESHAPE, "the query's heads must be a multiple");
}
END_TEST

/* A query without a key gives 0, and 0 to every gradient: no NaN comes up. */
START_TEST(queries_without_keys)
{
    const double i = -INFINITY;
    tg_tensor *q = random_leaf(DIMS(2, 3), 1), *k = random_leaf(DIMS(2, 3), 2),
              *v = leaf(TG_F64, DIMS(2, 1), VALUES(4, 5));
    tg_tensor *bools = tensor(TG_BOOL, DIMS(2, 2), VALUES(0, 0, 1, 0)),
              *floats = tensor(TG_F64, DIMS(2, 2), VALUES(i, i, 0, i));
    for (int which = 0; which < 2; which++) {
        tg_tensor *got[3], *y = tg_scaled_dot_product_attention(
                               tape, q, k, v, &(tg_attention_options){.attn_mask = which ? floats : bools});
        expect(y, 1e-15, DIMS(2, 1), VALUES(0, 4));
        ck_assert_int_eq(tg_grad(tape, tg_sum(tape, y), NULL, (tg_tensor *[]){q, k, v}, 3, got, TG_RETAIN),
                         TG_OK);
        expect(got[0], 1e-15, DIMS(2, 3), VALUES(0));
        expect(got[1], 1e-15, DIMS(2, 3), VALUES(0));
        expect(got[2], 1e-15, DIMS(2, 1), VALUES(1, 0));
    }
    tg_tensor *y = tg_scaled_dot_product_attention(tape, q, k, v, &(tg_attention_options){.dropout_p = 1});
    expect(y, 0, DIMS(2, 1), VALUES(0));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("products");
    TCase *t = tcase_create("products");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, ranks);
    tcase_add_test(t, integers);
    tcase_add_test(t, batches_however_they_lie);
    tcase_add_test(t, gradients_of_broadcast_batches);
    tcase_add_test(t, sums_with_products);
    tcase_add_test(t, contractions);
    tcase_add_test(t, einstein);
    tcase_add_test(t, attention);
    tcase_add_test(t, queries_without_keys);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
