/* What the reductions share: dims as bits, their shapes, and the way back. And how functions are made of
 * others. */
#ifndef TG_REDUCED_H
#define TG_REDUCED_H

#include "autograd/operators/rows.h"

/* reduce.c. For infers: x's dims without those in the mask, or with size 1 there. */
tg_status tg_infer_reduced(const tg_infer *q, int64_t mask, int64_t keepdim, tg_dtype dtype);
/* The same of a row with tg_reduce_attrs, of x's dtype, which is f32, f64, i64 or bool. */
tg_status tg_infer_reduced_like(const tg_infer *q);
tg_status tg_infer_need_float(const tg_infer *q);
/* f32, f64, i64 or bool. */
tg_status tg_infer_need_number(const tg_infer *q);
/* There is something in each of the mask's dims. */
tg_status tg_infer_need_values(const tg_infer *q, int64_t mask);
/* A result, or a result's gradient, with the reduced dims back as size 1. */
tg_tensor *tg_restore_dims(tg_tape *tape, tg_tensor *y, const tg_desc *x, int64_t mask, int64_t keepdim);
/* The sum over the mask's dims, which stay. */
tg_tensor *tg_sum_mask(tg_tape *tape, tg_tensor *x, int64_t mask);
/* The listed dims as bits; none listed: all. */
bool tg_dims_mask(tg_tape *tape, const char *what, tg_tensor *x, const int64_t *dims, size_t n_dims,
                  int64_t *mask);
extern const tg_attr_spec tg_reduce_specs[];

/* x's descriptor where it is f32 or f64, else an error in the name of the function that is called. */
static inline const tg_desc *tg_float_argument(tg_tape *tape, const tg_tensor *x, const char *what,
                                               const char *argument)
{
    const tg_desc *d = tg_argument(tape, x, what, argument);
    if (d && !tg_dtype_is_float(d->dtype)) {
        tg_fail(tape, TG_EDTYPE, "%s: %s must be f32 or f64, not %s", what, argument,
                tg_dtype_name(d->dtype));
        return NULL;
    }
    return d;
}

/* The end of a function made of others, begun with tg_scope_enter: what was made on the way is given back,
 * and a failure leaves nothing behind. `more` (or NULL) is kept, too. */
static inline tg_tensor *tg_composed(tg_tape *tape, const tg_scope *scope, tg_tensor *y, tg_tensor *more)
{
    if (tg_tape_status(tape)) {
        tg_scope_undo(tape, scope);
        return NULL;
    }
    tg_scope_leave(tape, scope, (tg_tensor *const[]){y, more}, 2);
    return y;
}

static inline bool tg_known_reduction(tg_tape *tape, const char *what, tg_reduction reduction)
{
    if (reduction == TG_REDUCE_NONE || reduction == TG_REDUCE_MEAN || reduction == TG_REDUCE_SUM)
        return true;
    tg_fail(tape, TG_EINVAL, "%s: reduction is %d, expected none (0), mean (1) or sum (2)", what,
            (int)reduction);
    return false;
}

/* A loss of each, its mean or its sum. */
static inline tg_tensor *tg_reduced_loss(tg_tape *tape, tg_tensor *loss, tg_reduction reduction)
{
    if (reduction == TG_REDUCE_NONE)
        return loss;
    return reduction == TG_REDUCE_MEAN ? tg_mean(tape, loss) : tg_sum(tape, loss);
}

#endif
