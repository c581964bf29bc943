/* What the elementwise families share: infers by the dtypes that they take, and the forms of their rows. */
#ifndef TG_OPERATORS_ELEMENTWISE_H
#define TG_OPERATORS_ELEMENTWISE_H

#include "autograd/operators/rows.h"

/* elementwise_infer.c. Inputs from `first` on: of one dtype, of this kind (TG_KIND_BOOL …) at least. */
tg_status tg_need_one_dtype(const tg_infer *q, size_t first, int kind);
/* All inputs of one dtype: number takes f32, f64, i64, any takes bool, too. The result is of that dtype
 * and like input 0, or of the dims that the inputs broadcast to. */
tg_status tg_infer_like_number(const tg_infer *q);
tg_status tg_infer_like_any(const tg_infer *q);
tg_status tg_infer_broadcast_number(const tg_infer *q);
tg_status tg_infer_broadcast_any(const tg_infer *q);
/* The same with a result of bool. */
tg_status tg_infer_test(const tg_infer *q);
tg_status tg_infer_comparison(const tg_infer *q);

/* elementwise.c. The rule of what is constant between its jumps. */
tg_status tg_zero_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[]);
/* The larger's (smaller's) gradient is all of it; at ties both have half, with a NaN both have all. */
tg_status tg_maximum_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[]);
tg_status tg_minimum_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[]);
/* Integers and bools as the runtime's floats; NULL on error. */
tg_tensor *tg_as_float(tg_tape *tape, tg_tensor *x, const char *what, const char *argument);
/* TG_OP_HOST_CHECK for division: an i64 input 1 has no 0. */
tg_status tg_check_divisor(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs);

/* Samples of one input, from [−2, 2), [0.5, 3), and [−2, 2) without 0's neighbours. */
const tg_sample *tg_samples_real(size_t *n);
const tg_sample *tg_samples_positive(size_t *n);
const tg_sample *tg_samples_not_zero(size_t *n);

#define BOTH (TG_OP_IN(0) | TG_OP_IN(1))

/* A row of one input without attributes, and the function of the public header that applies it. TG_UNARY brings
 * integers to floats first. */
#define TG_UNARY_ROW(name_, flags_, infer_, vjp_, saved, table, text)                                        \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text), .flags = (flags_) | TG_OP_POINTWISE, .n_in = 1,   .n_out = 1,      .saves = saved,             \
        .infer = infer_,      .promotes = TG_OP_IN(0), .vjp = vjp_, .samples = TG_PROOF(table),                        \
    };                                                                                                       \
    tg_tensor *tg_##name_(tg_tape *tape, tg_tensor *x)                                                       \
    {                                                                                                        \
        return tg_row1(tape, &row_##name_, x, NULL, NULL);                                                   \
    }
#define TG_UNARY(name, saved, table, text)                                                                   \
    TG_UNARY_ROW(name, TG_OP_FLOAT, tg_infer_like, name##_vjp, saved, table, text)

/* The same of two inputs, which broadcast. */
#define TG_BINARY_ROW(name_, flags_, infer_, vjp_, saved, table, text)                                       \
    static const tg_operator row_##name_ = {                                                                 \
        TG_ROW(#name_, text),                                                                                \
        .flags = TG_OP_BROADCAST | TG_OP_POINTWISE | (flags_),                                                                 \
        .n_in = 2,                                                                                           \
        .n_out = 1,                                                                                          \
        .saves = saved,                                                                                      \
        .infer = infer_,                                                                                     \
        .promotes = BOTH,                                                                                    \
        .vjp = vjp_,                                                                                         \
        .check = (flags_) & TG_OP_HOST_CHECK ? tg_check_divisor : NULL,                                      \
        .samples = TG_PROOF(table),                                                                                    \
    };                                                                                                       \
    tg_tensor *tg_##name_(tg_tape *tape, tg_tensor *a, tg_tensor *b)                                         \
    {                                                                                                        \
        return tg_row2(tape, &row_##name_, a, b, NULL, NULL);                                                \
    }
#define TG_BINARY(name, saved, table, text)                                                                  \
    TG_BINARY_ROW(name, TG_OP_FLOAT, tg_infer_broadcast_float, name##_vjp, saved, table, text)

/* Samples: a matrix with gaps. */
#define TG_UNARY_SAMPLES(name, ...)                                                                          \
    TG_SAMPLES(name, {.label = "strided",                                                                    \
                      .in = TG_SAMPLE_INPUTS({TG_DIM2(5, 3), strided, __VA_ARGS__})})

/* Each operand with its own range, B the second's; both are broadcast. */
#define TG_BINARY_SAMPLES(name, A, B)                                                                        \
    TG_SAMPLES(name, {.label = "strided, broadcast",                                                         \
                      .in = TG_SAMPLE_INPUTS({TG_DIM3(4, 1, 3), strided, A}, {TG_DIM2(2, 1), B})})

#endif
