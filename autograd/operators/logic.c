/* Comparisons and tests: the result is bool and has no derivative. */
#include "autograd/operators/elementwise.h"

/* Ranges that interleave. */
#define LOW_OR_HIGH TG_RANGE(-2, 2), away 0.6 from [0]
#define MIDDLE TG_RANGE(-0.4, 0.4)
#define INTEGERS i64, constant, TG_RANGE(-1, 2)
TG_SAMPLES(pairs,
           {.label = "strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), strided, LOW_OR_HIGH}, {TG_DIM1(3), MIDDLE})},
           {.label = "i64",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), INTEGERS}, {TG_NO_DIMS, INTEGERS})})

static tg_status infer_logical(const tg_infer *q)
{
    for (size_t i = 0; i < q->n_in; i++)
        if (q->in[i]->dtype != TG_F32 && q->in[i]->dtype != TG_F64 && q->in[i]->dtype != TG_I64 &&
            q->in[i]->dtype != TG_BOOL)
            return tg_infer_fail(q, TG_EDTYPE, "input %zu must be f32, f64, i64 or bool, not %s", i,
                                 tg_dtype_name(q->in[i]->dtype));
    return tg_infer_broadcast(q, TG_BOOL, q->out);
}

TG_BINARY_ROW(eq, TG_OP_NONDIFF, tg_infer_comparison, NULL, 0, pairs, "a == b")
TG_BINARY_ROW(ne, TG_OP_NONDIFF, tg_infer_comparison, NULL, 0, pairs, "a != b")
TG_BINARY_ROW(lt, TG_OP_NONDIFF, tg_infer_comparison, NULL, 0, pairs, "a < b")
TG_BINARY_ROW(le, TG_OP_NONDIFF, tg_infer_comparison, NULL, 0, pairs, "a <= b")
TG_BINARY_ROW(gt, TG_OP_NONDIFF, tg_infer_comparison, NULL, 0, pairs, "a > b")
TG_BINARY_ROW(ge, TG_OP_NONDIFF, tg_infer_comparison, NULL, 0, pairs, "a >= b")

/* What is not 0 is true, NaN too; the two dtypes may differ. */
#define LOGICAL(name_, text)                                                                                 \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text),                                                                                \
        .flags = TG_OP_BROADCAST | TG_OP_NONDIFF,                                                            \
        .n_in = 2,                                                                                           \
        .n_out = 1,                                                                                          \
        .infer = infer_logical,                                                                           \
        .samples = TG_PROOF(pairs),                                                                                    \
    };                                                                                                       \
    tg_tensor *tg_##name_(tg_tape *tape, tg_tensor *a, tg_tensor *b)                                         \
    {                                                                                                        \
        return tg_row2(tape, &row_##name_, a, b, NULL, NULL);                                                \
    }
LOGICAL(logical_and, "a != 0 and b != 0")
LOGICAL(logical_or, "a != 0 or b != 0")
LOGICAL(logical_xor, "one of a != 0 and b != 0")
TG_UNARY_ROW(logical_not, TG_OP_NONDIFF, tg_infer_test, NULL, 0, tg_samples_real, "x == 0")
TG_UNARY_ROW(isnan, TG_OP_NONDIFF, tg_infer_test, NULL, 0, tg_samples_real, "is x NaN?")
TG_UNARY_ROW(isinf, TG_OP_NONDIFF, tg_infer_test, NULL, 0, tg_samples_real, "is x an infinity?")
TG_UNARY_ROW(isfinite, TG_OP_NONDIFF, tg_infer_test, NULL, 0, tg_samples_real, "is x neither NaN nor an infinity?")
TG_UNARY_ROW(signbit, TG_OP_NONDIFF, tg_infer_test, NULL, 0, tg_samples_real, "x < 0, or its sign bit is set")

static const double closeness[] = {0.1, 0.2, 0};
TG_SAMPLES(close_pairs,
           {.label = "strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(4, 3), strided, LOW_OR_HIGH}, {TG_DIM1(3), MIDDLE}),
            .scalars = closeness})

static const tg_operator row_isclose = {
    TG_ROW("isclose", "a == b or |a - b| <= atol + rtol*|b|, or both NaN where those count as equal"),
    .flags = TG_OP_BROADCAST | TG_OP_NONDIFF,
    .n_in = 2,
    .n_out = 1,
    .n_scalars = 3,
    .promotes = BOTH,
    .infer = tg_infer_comparison,
    .samples = TG_PROOF(close_pairs),
};

tg_tensor *tg_isclose(tg_tape *tape, tg_tensor *a, tg_tensor *b, double rtol, double atol, bool equal_nan)
{
    if (!(rtol >= 0) || !(atol >= 0)) {
        tg_fail(tape, TG_EINVAL, "isclose: rtol and atol must not be negative, got %g and %g", rtol, atol);
        return NULL;
    }
    return tg_row2(tape, &row_isclose, a, b, NULL, (const double[]){rtol, atol, equal_nan});
}

const tg_operator *const tg_ops_logic[] = {
    &row_eq,          &row_ne,    &row_lt,    &row_le,       &row_gt,      &row_ge,      &row_logical_and, &row_logical_or,
    &row_logical_xor, &row_logical_not, &row_isnan, &row_isinf, &row_isfinite, &row_signbit, &row_isclose,     NULL,
};
