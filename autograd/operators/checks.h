/* What infer asks of descriptors in the families softmax, loss, norm and random, and how their samples are
 * drawn. */
#ifndef TG_CHECKS_H
#define TG_CHECKS_H

#include "autograd/operators/rows.h"

static inline tg_status check_float(const tg_infer *q, size_t i, const char *argument)
{
    const char *got = tg_dtype_name(q->in[i]->dtype);
    if (!tg_dtype_is_float(q->in[i]->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "%s is %s, expected f32 or f64", argument, got);
    return TG_OK;
}

/* The dtype of input `like`; an absent input passes. */
static inline tg_status check_dtype(const tg_infer *q, size_t i, const char *argument, size_t like)
{
    if (q->in[i] && q->in[i]->dtype != q->in[like]->dtype)
        return tg_infer_fail(q, TG_EDTYPE, "%s is %s, expected %s", argument, tg_dtype_name(q->in[i]->dtype),
                             tg_dtype_name(q->in[like]->dtype));
    return TG_OK;
}

/* `dtype` and these dims; an absent input passes. */
static inline tg_status check_shape(const tg_infer *q, size_t i, const char *argument, int32_t dtype,
                                    const int64_t *dims, int32_t ndim)
{
    char got[112], expected[112];
    tg_desc want;
    if (!q->in[i])
        return TG_OK;
    tg_status status = tg_desc_make(&want, (tg_dtype)dtype, dims, (size_t)ndim);
    if (status)
        return status;
    bool same_dtype = q->in[i]->dtype == dtype;
    if (same_dtype && tg_desc_same_dims(q->in[i], &want))
        return TG_OK;
    return tg_infer_fail(q, same_dtype ? TG_ESHAPE : TG_EDTYPE, "%s is %s, expected %s", argument,
                         tg_desc_format(q->in[i], got, sizeof got),
                         tg_desc_format(&want, expected, sizeof expected));
}

/* The dtype and the dims of input `like`. */
static inline tg_status check_like(const tg_infer *q, size_t i, const char *argument, size_t like)
{
    return check_shape(q, i, argument, q->in[like]->dtype, q->in[like]->dim, q->in[like]->ndim);
}

/* torch's range of a dim: a scalar has dim 0 (and −1). */
static inline tg_status check_dim(const tg_infer *q, int64_t dim, int32_t ndim)
{
    long long n = ndim > 0 ? ndim : 1;
    if (dim < -n || dim >= n)
        return tg_infer_fail(q, TG_EINVAL, "dim is %lld, expected %lld … %lld", (long long)dim, -n, n - 1);
    return TG_OK;
}

static inline tg_status check_reduction(const tg_infer *q, int64_t reduction)
{
    if (reduction != TG_REDUCE_NONE && reduction != TG_REDUCE_MEAN && reduction != TG_REDUCE_SUM)
        return tg_infer_fail(q, TG_EINVAL, "reduction is %lld, expected none (0), mean (1) or sum (2)",
                             (long long)reduction);
    return TG_OK;
}

static inline tg_status infer_out_like(const tg_desc *d, tg_desc *out)
{
    return tg_desc_make(out, (tg_dtype)d->dtype, d->dim, (size_t)d->ndim);
}

/* Output 0 of a row, NULL on error. */
static inline tg_tensor *apply_first(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n,
                                     const void *attrs)
{
    tg_tensor *out[4] = {NULL};
    return tg_apply(tape, op, in, n, attrs, NULL, out) ? NULL : out[0];
}

/* Inputs of samples: values from [low, high), then the dims. */
#define DRAWN_DIMS(...) [__VA_ARGS__]
#define DRAWN(low_, high_, ...)                                                                              \
    {                                                                                                        \
        low_ : high_, DRAWN_DIMS(__VA_ARGS__)                                                                \
    }
#define STRIDED(low_, high_, ...)                                                                            \
    {                                                                                                        \
        low_ : high_, strided, DRAWN_DIMS(__VA_ARGS__)                                                       \
    }
#define CONSTANT(low_, high_, ...)                                                                           \
    {                                                                                                        \
        low_ : high_, constant, DRAWN_DIMS(__VA_ARGS__)                                                      \
    }
#define LABELS(low_, high_, ...)                                                                             \
    {                                                                                                        \
        low_ : high_, i64, constant, DRAWN_DIMS(__VA_ARGS__)                                                 \
    }
#define STRIDED_LABELS(low_, high_, ...)                                                                     \
    {                                                                                                        \
        low_ : high_, i64, constant strided,                                                                 \
        DRAWN_DIMS(__VA_ARGS__)                                                                              \
    }
#define DRAWN_SCALAR(low_, high_)                                                                            \
    {                                                                                                        \
        low_ : high_                                                                                         \
    }
#define ABSENT                                                                                               \
    {                                                                                                        \
        absent constant                                                                                      \
    }

#endif
