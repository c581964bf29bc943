/* What the families share in writing rows, rules and samples. */
#ifndef TG_ROWS_H
#define TG_ROWS_H

#include "autograd/operators/operators.h"

#include <math.h>

#define TG_ROW(name_, doc_) .struct_size = sizeof(tg_operator), .version = 1, .name = name_, .doc = doc_
#define TG_ATTRS(type, specs) .attrs_size = sizeof(type), .attrs = specs
/* A row's attribute that callers in C always give: no default. */
#define TG_SPEC(struct_, field_, kind_, doc_)                                                                \
    {                                                                                                        \
        .name = #field_, .type = kind_, .offset = offsetof(struct_, field_), .doc = doc_                     \
    }

/* TG_RULE(add) { … } is add_vjp. A rule ends in `return tg_tape_status(tape)`: what failed on the way is
 * there. */
#define TG_RULE(name)                                                                                        \
    static tg_status name##_vjp(tg_tape *tape, __attribute__((unused)) const tg_node *node,                  \
                                tg_tensor *const gy[], tg_tensor *gx[])

/* TG_SAMPLES(name, {…}, {…}) is the function that a row's `samples` names. */
#define TG_SAMPLES(name, ...)                                                                                \
    static const tg_sample name##_table[] = {__VA_ARGS__};                                                   \
    static const tg_sample *name(size_t *n)                                                                  \
    {                                                                                                        \
        *n = sizeof name##_table / sizeof *name##_table;                                                     \
        return name##_table;                                                                                 \
    }

/* Parts of a sample's inputs. */
#define TG_NO_DIMS []
#define TG_DIM1(a) [a]
#define TG_DIM2(a, b) [a, b]
#define TG_DIM3(a, b, c) [a, b, c]
#define TG_DIM4(a, b, c, d) [a, b, c, d]
#define TG_RANGE(low_, high_) low_ : high_
#define TG_AWAY(kink, by) away by from [kink]
#define TG_DISTINCT(by) distinct, apart by

/* The one result of a row; NULL on failure. */
static inline tg_tensor *tg_row1(tg_tape *tape, const tg_operator *op, tg_tensor *a, const void *attrs,
                                 const double *scalars)
{
    tg_tensor *out = NULL;
    tg_apply(tape, op, &a, 1, attrs, scalars, &out);
    return out;
}

static inline tg_tensor *tg_row2(tg_tape *tape, const tg_operator *op, tg_tensor *a, tg_tensor *b,
                                 const void *attrs, const double *scalars)
{
    tg_tensor *out = NULL;
    tg_apply(tape, op, (tg_tensor *[]){a, b}, 2, attrs, scalars, &out);
    return out;
}

static inline tg_tensor *tg_row3(tg_tape *tape, const tg_operator *op, tg_tensor *a, tg_tensor *b,
                                 tg_tensor *c, const void *attrs)
{
    tg_tensor *out = NULL;
    tg_apply(tape, op, (tg_tensor *[]){a, b, c}, 3, attrs, NULL, &out);
    return out;
}

/* elementwise_infer.c: the result is as input 0, row-major; all inputs f32 or f64, of one dtype. */
tg_status tg_infer_like(const tg_infer *q);
/* The same, of the shape that the inputs broadcast to. */
tg_status tg_infer_broadcast_float(const tg_infer *q);
/* A 0-dim constant of x's dtype, for rules. */
tg_tensor *tg_constant_like(tg_tape *tape, const tg_tensor *x, double value);

/* copy.c. For infers: input i, which is written in place, must have an element for each index. */
tg_status tg_need_writable(const tg_infer *q, size_t i);

/* shape.c. The descriptor of a wrapper's argument, NULL (with the tape's error set) where it has none. */
const tg_desc *tg_argument(tg_tape *tape, const tg_tensor *x, const char *what, const char *argument);
/* TG_COMPOSES(tape, "gather"); begins a function that is made of others: where it returns with an error, what was made on
 * the way is undone, and the sentence names it first. */
typedef struct tg_composition {
    tg_tape *tape;
    const char *what; /* NULL: there was an error before */
    tg_scope scope;
} tg_composition;
tg_composition tg_compose(tg_tape *tape, const char *what);
void tg_compose_end(const tg_composition *c);
#define TG_COMPOSES(tape, what)                                                                              \
    __attribute__((cleanup(tg_compose_end), unused)) const tg_composition composition_ = tg_compose(tape, what)
/* `dim` counted from the front; fails with TG_EINVAL outside [−ndim, ndim). A scalar has a dim 0 here, as in
 * torch. */
bool tg_resolve_dim(tg_tape *tape, const char *what, int64_t dim, int ndim, int64_t *out);
/* x expanded to the dims of `to`, itself where it has them. */
tg_tensor *tg_expand_as(tg_tape *tape, tg_tensor *x, const tg_desc *to);
/* Dims as a caller gives them, at most TG_MAX_DIM. */
bool tg_take_dims(tg_tape *tape, const char *what, const int64_t *dims, size_t ndim, tg_dims_attrs *out);
/* For rules: the descriptor of an input, which need not be saved for that. */
bool tg_input_dims(tg_tape *tape, const tg_node *node, size_t i, tg_desc *out);
/* For infers: fills q->out with these dims, row-major; a rank or size out of range is an error. */
tg_status tg_infer_dims(const tg_infer *q, int64_t dtype, const tg_ints *dims);
/* x's descriptor and *dim counted from the front, for what goes along one dim; a scalar has none. */
const tg_desc *tg_sliceable(tg_tape *tape, tg_tensor *x, const char *what, int64_t *dim);
tg_tensor *tg_slice_of(tg_tape *tape, tg_tensor *x, const tg_slice_attrs *attrs);
tg_tensor *tg_slice_back(tg_tape *tape, tg_tensor *gy, const tg_slice_backward_attrs *attrs);
/* x[start:end:step] of a dim of this size, as Python clips it; false: step is below 1, and said so. */
bool tg_clip_slice(tg_tape *tape, const char *what, int64_t size, int64_t dim, int64_t start, int64_t end, int64_t step,
                   tg_slice_attrs *out);
/* view.c. Two different dims, counted from the front; false: they are not, and said so. */
bool tg_resolve_two(tg_tape *tape, const char *what, int ndim, int64_t *dim1, int64_t *dim2);
/* Zeros of these dims with gy on the diagonal. */
tg_tensor *tg_diagonal_back(tg_tape *tape, tg_tensor *gy, const int64_t *dims, int64_t ndim, const tg_diagonal_attrs *a);
/* Writes "[3, 4]", always terminated; returns `buffer`. */
const char *tg_format_dims(const int64_t *dims, int64_t n, char *buffer, size_t size);

#endif
