/* What the families that pick and write by index share. index.c has the functions. */
#ifndef TG_INDICES_H
#define TG_INDICES_H

#include "autograd/operators/rows.h"

/* -- for infers ------------------------------------------------------------------------------------------ */
/* The dtypes that are moved as they are: f32, f64, i64, bool. */
tg_status tg_need_moved(const tg_infer *q, size_t i, const char *argument);
/* Input 0 of such a dtype, input 1 an i64 index, and a dim of input 0's. */
tg_status tg_need_index(const tg_infer *q, int64_t dim);
/* Both with input 0's number of dims, and the index no larger but along dim. */
tg_status tg_need_alike(const tg_infer *q, int64_t dim);

/* -- the look at the data -------------------------------------------------------------------------------- */
/* A row's check of input 1 against the size of input 0's dim. */
tg_status tg_check_rows(tg_tape *tape, const char *what, tg_tensor *const in[], int64_t dim);
/* index with what is negative counted from the end; NULL where it is outside [−size, size). */
tg_tensor *tg_wrap_places(tg_tape *tape, const char *what, tg_tensor *index, int64_t size);

/* -- for wrappers ---------------------------------------------------------------------------------------- */
/* A scalar counts as a vector of one, as in torch. */
static inline bool tg_is_scalar(const tg_tensor *x)
{
    return tg_tensor_is_alive(x) && tg_tensor_ndim(x) == 0;
}

static inline tg_tensor *tg_as_vector(tg_tape *tape, tg_tensor *x)
{
    return tg_is_scalar(x) ? tg_reshape_dims(tape, x, (const int64_t[]){1}, 1) : x;
}

static inline tg_tensor *tg_as_scalar_if(tg_tape *tape, tg_tensor *x, bool scalar)
{
    return scalar && x ? tg_reshape_dims(tape, x, NULL, 0) : x;
}

/* An i64 index: false (with the tape's error set) where it is of another dtype. */
bool tg_is_index(tg_tape *tape, const char *what, const char *argument, const tg_desc *index);
/* An index of one dim as [1, …, n, …, 1] along dim of `ndim`, expanded to the dims of `to` but there. */
tg_tensor *tg_wide_index(tg_tape *tape, tg_tensor *index, const tg_desc *to, int64_t dim);

#define TG_INDEX(n) i64, constant, TG_RANGE(0, n)

#endif
