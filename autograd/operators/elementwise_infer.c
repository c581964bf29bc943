/* What infer asks of the elementwise families' inputs. */
#include "autograd/operators/elementwise.h"

tg_status tg_need_one_dtype(const tg_infer *q, size_t first, int kind)
{
    static const char *const takes[] = {"f32, f64, i64 or bool", "f32, f64 or i64", "f32 or f64"};
    for (size_t i = first; i < q->n_in; i++) {
        const int32_t dtype = q->in[i]->dtype;
        const bool known = dtype == TG_F32 || dtype == TG_F64 || dtype == TG_I64 || dtype == TG_BOOL;
        if (!known || tg_dtype_kind(dtype) < kind)
            return tg_infer_fail(q, TG_EDTYPE, "input %zu must be %s, not %s", i, takes[kind - TG_KIND_BOOL],
                                 tg_dtype_name(dtype));
        if (dtype != q->in[first]->dtype)
            return tg_infer_fail(q, TG_EDTYPE, "inputs must be of one dtype, not %s and %s; convert one with tg_to",
                                 tg_dtype_name(q->in[first]->dtype), tg_dtype_name(dtype));
    }
    return TG_OK;
}

static tg_status infer_like(const tg_infer *q, int kind)
{
    tg_status status = tg_need_one_dtype(q, 0, kind);
    if (status)
        return status;
    for (size_t i = 1; i < q->n_in; i++)
        if (!tg_desc_same_dims(q->in[i], q->in[0]))
            return tg_infer_fail(q, TG_ESHAPE, "inputs 0 and %zu must have the same dims", i);
    return tg_desc_make(q->out, (tg_dtype)q->in[0]->dtype, q->in[0]->dim, (size_t)q->in[0]->ndim);
}

tg_status tg_infer_like(const tg_infer *q)
{
    return infer_like(q, TG_KIND_FLOAT);
}

tg_status tg_infer_like_number(const tg_infer *q)
{
    return infer_like(q, TG_KIND_INTEGER);
}

tg_status tg_infer_like_any(const tg_infer *q)
{
    return infer_like(q, TG_KIND_BOOL);
}

static tg_status infer_broadcast(const tg_infer *q, int kind)
{
    tg_status status = tg_need_one_dtype(q, 0, kind);
    return status ? status : tg_infer_broadcast(q, q->in[0]->dtype, q->out);
}

tg_status tg_infer_broadcast_float(const tg_infer *q)
{
    return infer_broadcast(q, TG_KIND_FLOAT);
}

tg_status tg_infer_broadcast_number(const tg_infer *q)
{
    return infer_broadcast(q, TG_KIND_INTEGER);
}

tg_status tg_infer_broadcast_any(const tg_infer *q)
{
    return infer_broadcast(q, TG_KIND_BOOL);
}

tg_status tg_infer_test(const tg_infer *q)
{
    tg_status status = tg_need_one_dtype(q, 0, TG_KIND_BOOL);
    return status ? status : tg_desc_make(q->out, TG_BOOL, q->in[0]->dim, (size_t)q->in[0]->ndim);
}

tg_status tg_infer_comparison(const tg_infer *q)
{
    tg_status status = tg_need_one_dtype(q, 0, TG_KIND_BOOL);
    return status ? status : tg_infer_broadcast(q, TG_BOOL, q->out);
}
