/* Tensors of the caller's, tensors on a tape, reading and writing. Bytes are copied here; what they mean is
 * the backends' business. */
#include "autograd/internal.h"

#include <string.h>

/* The caller's bytes: of bools, any but 0 is true. */
static void copy_in(void *to, const void *from, size_t size, int32_t dtype)
{
    memcpy(to, from, size);
    unsigned char *bytes = to;
    for (size_t i = 0; i < size && dtype == TG_BOOL; i++)
        bytes[i] = bytes[i] != 0;
}

/* -- persistent values ----------------------------------------------------------------------------------- */

static tg_status persistent(tg_tensor **out, tg_runtime *rt, const tg_desc *desc, tg_storage *storage)
{
    tg_desc *own = tg_alloc(&rt->allocator, 2 * sizeof *own);
    tg_value *v = own ? tg_home_new_locked(&rt->home) : NULL;
    if (!v) {
        tg_free(&rt->allocator, own);
        tg_storage_unref(storage);
        return TG_ENOMEM;
    }
    own[0] = own[1] = *desc;
    tg_desc_row_major(&own[1]);
    v->desc = own;
    v->hash = tg_desc_hash(own);
    v->storage = storage;
    v->flags |= TG_V_PERSISTENT | TG_V_OWNER | (tg_desc_is_dense(own) ? TG_V_DENSE : 0u);
    v->refs = 1;
    *out = tg_handle(v);
    return TG_OK;
}

tg_status tg_tensor_create(tg_tensor **out, tg_runtime *rt, tg_dtype dtype, const int64_t *dims, size_t ndim)
{
    if (out)
        *out = NULL;
    if (!out || !rt)
        return tg_null(NULL, "tg_tensor_create", rt ? "out" : "the runtime");
    tg_desc desc;
    tg_status status = tg_desc_make_for("tg_tensor_create: ", &desc, dtype, dims, ndim);
    if (status)
        return status;
    size_t size = (size_t)tg_desc_count(&desc) * tg_dtype_size(desc.dtype);
    tg_storage *storage = tg_storage_new(&rt->allocator, size);
    if (!storage)
        return TG_ENOMEM;
    memset(storage->data, 0, size);
    return persistent(out, rt, &desc, storage);
}

tg_status tg_tensor_wrap(tg_tensor **out, tg_runtime *rt, tg_dtype dtype, const int64_t *dims,
                         const int64_t *strides, size_t ndim, void *data)
{
    if (out)
        *out = NULL;
    if (!out || !rt)
        return tg_null(NULL, "tg_tensor_wrap", rt ? "out" : "the runtime");
    tg_desc desc;
    tg_status status = tg_desc_make_for("tg_tensor_wrap: ", &desc, dtype, dims, ndim);
    if (status)
        return status;
    int64_t size = (int64_t)tg_dtype_size(desc.dtype), last = size;
    for (size_t i = 0; strides && i < ndim; i++) {
        if (strides[i] < 0)
            return tg_fail(NULL, TG_ESHAPE, "tg_tensor_wrap: stride %zu is negative: %lld", i,
                           (long long)strides[i]);
        int64_t far;
        if (__builtin_mul_overflow(strides[i], desc.dim[i] > 1 ? (desc.dim[i] - 1) * size : 0, &far) ||
            __builtin_add_overflow(last, far, &last))
            return tg_fail(NULL, TG_ESHAPE, "tg_tensor_wrap: stride %zu, %lld, leads past 2^63 bytes", i,
                           (long long)strides[i]);
        desc.stride[i] = strides[i];
    }
    if (!data && tg_desc_count(&desc))
        return tg_fail(NULL, TG_EINVAL, "tg_tensor_wrap: data is NULL");
    if ((uintptr_t)data % (uintptr_t)size)
        return tg_fail(NULL, TG_EINVAL, "tg_tensor_wrap: data at %p is not aligned to the %lld bytes of an %s", data,
                       (long long)size, tg_dtype_name(desc.dtype));
    tg_storage *storage = tg_storage_wrap(&rt->allocator, data, tg_desc_extent(&desc));
    return storage ? persistent(out, rt, &desc, storage) : TG_ENOMEM;
}

void tg_tensor_destroy(tg_tensor *tensor)
{
    tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    if (!v || !(v->flags & TG_V_OWNER)) /* a gradient is its leaf's */
        return;
    tg_tensor_zero_grad(tensor);
    tg_storage_unref(v->storage);
    tg_free(&v->home->rt->allocator, (tg_desc *)(uintptr_t)v->desc);
    v->storage = NULL;
    v->flags &= ~(uint32_t)TG_V_OWNER;
    tg_home_drop_locked(v->home, v);
}

/* -- on a tape ------------------------------------------------------------------------------------------- */

tg_tensor *tg_input(tg_tape *tape, tg_dtype dtype, const int64_t *dims, size_t ndim, const void *data)
{
    if (!tape) {
        tg_null(NULL, "tg_input", "the tape");
        return NULL;
    }
    if (tape->status)
        return NULL;
    tg_desc *desc = tg_arena_get(&tape->arena, sizeof *desc);
    tg_status status = desc ? tg_desc_make_for("tg_input: ", desc, dtype, dims, ndim) : TG_ENOMEM;
    if (status) {
        tg_fail_again(tape, status);
        return NULL;
    }
    size_t size = (size_t)tg_desc_count(desc) * tg_dtype_size(desc->dtype);
    tg_storage *storage = tg_pool_get(tape->pool, size);
    tg_value *v = storage ? tg_tape_new_value(tape, desc, tg_desc_hash(desc)) : NULL;
    if (!v) {
        tg_storage_unref(storage);
        tg_fail_again(tape, TG_ENOMEM);
        return NULL;
    }
    v->storage = storage;
    v->flags |= TG_V_DENSE;
    if (tape->planning)
        return tg_handle(v);
    if (size && data)
        copy_in(storage->data, data, size, desc->dtype);
    else
        memset(storage->data, 0, size);
    return tg_handle(v);
}

tg_tensor *tg_scalar(tg_tape *tape, tg_dtype dtype, double value)
{
    if (tape && tape->status)
        return NULL;
    tg_tensor *y = tg_full(tape, dtype, NULL, 0, value);
    if (!y && tape)
        tg_fail_in(tape, "scalar");
    return y;
}

tg_tensor *tg_detach(tg_tape *tape, tg_tensor *x)
{
    tg_value *v;
    if (!tape)
        tg_null(NULL, "tg_detach", "the tape");
    if (!tape || tape->status || tg_check_tensor(tape, x, "detach", "x", &v))
        return NULL;
    tg_value *d = tg_value_alias(tape, v);
    if (!d) {
        tg_fail_again(tape, TG_ENOMEM);
        return NULL;
    }
    return tg_handle(d);
}

tg_value *tg_value_alias(tg_tape *tape, tg_value *v)
{
    /* Who shares a storage shares its order: a writer would take it away from the others. */
    if (v->home == &tape->home && tg_value_plain(tape, v))
        return NULL;
    tg_desc *desc = tg_arena_get(&tape->arena, sizeof *desc);
    tg_value *a = desc ? tg_tape_new_value(tape, desc, v->hash) : NULL;
    if (!a)
        return NULL;
    *desc = *v->desc;
    a->storage = v->storage;
    a->offset = v->offset;
    a->flags |= v->flags & (TG_V_DENSE | TG_V_BLOCKED);
    tg_storage_ref(a->storage);
    return a;
}

/* -- looking --------------------------------------------------------------------------------------------- */

tg_value *tg_alive(const tg_tensor *tensor, const char *what)
{
    tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    if (!tensor)
        tg_fail(NULL, TG_EINVAL, "%s: the tensor is NULL", what);
    else if (!v || !v->storage)
        tg_fail(NULL, TG_ESTALE,
                "%s: the tensor is stale: its tape was reset or closed, or it was destroyed or discarded",
                what);
    return v && v->storage ? v : NULL;
}

tg_status tg_tensor_desc(const tg_tensor *tensor, tg_desc *out)
{
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    if (!out)
        return tg_null(NULL, "tg_tensor_desc", "out");
    *out = (tg_desc){0};
    if (!v)
        return tg_fail(NULL, tensor ? TG_ESTALE : TG_EINVAL, "tg_tensor_desc: the tensor is %s",
                       tensor ? "stale" : "NULL");
    *out = *v->desc;
    out->layout = NULL;
    return TG_OK;
}

int tg_tensor_ndim(const tg_tensor *tensor)
{
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    return v ? v->desc->ndim : 0;
}

int64_t tg_tensor_dim(const tg_tensor *tensor, int dim)
{
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    if (!v)
        return 0;
    if (dim < 0)
        dim += v->desc->ndim;
    return dim >= 0 && dim < v->desc->ndim ? v->desc->dim[dim] : 0;
}

int64_t tg_tensor_count(const tg_tensor *tensor)
{
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    return v ? tg_desc_count(v->desc) : 0;
}

tg_dtype tg_tensor_dtype(const tg_tensor *tensor)
{
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    return v ? (tg_dtype)v->desc->dtype : TG_F32;
}

bool tg_tensor_is_alive(const tg_tensor *tensor)
{
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    return v && v->storage;
}

tg_runtime *tg_tensor_runtime(const tg_tensor *tensor)
{
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    return v ? v->home->rt : NULL;
}

/* On the runtime's own tape, which copies where strides are not row-major. */
static tg_tensor *alias(tg_tape *tape, tg_value *v)
{
    tg_value *a = tg_value_alias(tape, v);
    return a ? tg_handle(a) : NULL;
}

static tg_status check_bytes(const tg_value *v, const char *what, const void *data, size_t bytes,
                             size_t *size)
{
    char text[128];
    *size = (size_t)tg_desc_count(v->desc) * tg_dtype_size(v->desc->dtype);
    if (*size && !data)
        return tg_null(NULL, what, "the memory");
    if (bytes != *size)
        return tg_fail(NULL, TG_EINVAL, "%s: %s has %zu bytes, but %zu were given", what,
                       tg_desc_format(v->desc, text, sizeof text), *size, bytes);
    return TG_OK;
}

tg_status tg_tensor_read(const tg_tensor *tensor, void *dst, size_t bytes)
{
    tg_value *v = tg_alive(tensor, "tg_tensor_read");
    size_t size;
    if (!v)
        return tensor ? TG_ESTALE : TG_EINVAL;
    tg_status status = check_bytes(v, "tg_tensor_read", dst, bytes, &size);
    if (status || !size)
        return status;
    if (tg_value_planned(v) && v->home->tape->plan_reads_zeros) {
        memset(dst, 0, size);
        return TG_OK;
    }
    if (tg_value_planned(v))
        return tg_fail(v->home->tape, TG_ESTATE,
                       "tg_plan_memory: the step reads a tensor's elements, and there are none while it is planned");
    if (v->flags & TG_V_DENSE) {
        memcpy(dst, tg_value_data(v), size);
        return TG_OK;
    }
    tg_runtime *rt = v->home->rt;
    tg_tape *tape = tg_runtime_tape(rt);
    if (!tape)
        return TG_ENOMEM;
    tg_tensor *a = alias(tape, v);
    tg_tensor *dense = a ? tg_contiguous(tape, a) : NULL;
    if (dense)
        memcpy(dst, tg_value_data(tg_resolve(dense)), size);
    status = dense ? TG_OK : tape->status ? tape->status : TG_ENOMEM;
    tg_runtime_tape_done(rt);
    return status;
}

tg_status tg_tensor_write(tg_tensor *tensor, const void *src, size_t bytes)
{
    tg_value *v = tg_alive(tensor, "tg_tensor_write");
    size_t size;
    if (!v)
        return tensor ? TG_ESTALE : TG_EINVAL;
    tg_status status = check_bytes(v, "tg_tensor_write", src, bytes, &size);
    if (status || !size || (status = tg_value_plain(v->home->tape, v)) || tg_value_planned(v))
        return status;
    if (v->flags & TG_V_DENSE) {
        copy_in(tg_value_data(v), src, size, v->desc->dtype);
        tg_storage_written(v->storage);
        return TG_OK;
    }
    tg_runtime *rt = v->home->rt;
    tg_tape *tape = tg_runtime_tape(rt);
    if (!tape)
        return TG_ENOMEM;
    tg_tensor *in[2] = {alias(tape, v),
                        tg_input(tape, (tg_dtype)v->desc->dtype, v->desc->dim, (size_t)v->desc->ndim, src)};
    status = in[0] && in[1] ? tg_apply(tape, rt->rows.copy_, in, 2, NULL, NULL, NULL)
             : tape->status ? tape->status
                            : TG_ENOMEM;
    tg_runtime_tape_done(rt);
    return status;
}

tg_status tg_item(const tg_tensor *tensor, double *out)
{
    if (!out)
        return tg_null(NULL, "tg_item", "out");
    *out = 0;
    tg_value *v = tg_alive(tensor, "tg_item");
    if (!v)
        return tensor ? TG_ESTALE : TG_EINVAL;
    char text[128];
    if (tg_desc_count(v->desc) != 1)
        return tg_fail(NULL, TG_ESHAPE, "tg_item: one element is needed, not %s",
                       tg_desc_format(v->desc, text, sizeof text));
    union {
        float f;
        double d;
        int64_t i;
        unsigned char b;
    } u = {0};
    tg_status status = tg_tensor_read(tensor, &u, tg_dtype_size(v->desc->dtype));
    switch (v->desc->dtype) {
    case TG_F32: *out = (double)u.f; break;
    case TG_F64: *out = u.d; break;
    case TG_I64: *out = (double)u.i; break;
    case TG_BOOL: *out = u.b; break;
    default: return tg_fail(NULL, TG_EUNSUPPORTED, "tg_item: dtype %s", tg_dtype_name(v->desc->dtype));
    }
    return status;
}

/* -- gradients ------------------------------------------------------------------------------------------- */

tg_status tg_tensor_set_requires_grad(tg_tensor *tensor, bool requires_grad)
{
    tg_value *v = tg_alive(tensor, "tg_tensor_set_requires_grad");
    if (!v)
        return tensor ? TG_ESTALE : TG_EINVAL;
    if (!(v->flags & TG_V_LEAF))
        return tg_fail(NULL, TG_ESTATE,
                       "tg_tensor_set_requires_grad: the result of an operator; detach it first");
    if ((v->flags & TG_V_PERSISTENT) && !(v->flags & TG_V_OWNER))
        return tg_fail(NULL, TG_ESTATE, "tg_tensor_set_requires_grad: a leaf's gradient, or carried over a reset; clone it first");
    if (requires_grad && !tg_dtype_is_float(v->desc->dtype))
        return tg_fail(NULL, TG_EDTYPE, "tg_tensor_set_requires_grad: %s tensors have no gradient",
                       tg_dtype_name(v->desc->dtype));
    v->flags = requires_grad ? v->flags | TG_V_REQUIRES_GRAD : v->flags & ~(uint32_t)TG_V_REQUIRES_GRAD;
    return TG_OK;
}

bool tg_tensor_requires_grad(const tg_tensor *tensor)
{
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    return v && (v->flags & TG_V_REQUIRES_GRAD);
}

bool tg_tensor_is_leaf(const tg_tensor *tensor)
{
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    return v && (v->flags & TG_V_LEAF);
}

tg_tensor *tg_tensor_grad(const tg_tensor *tensor)
{
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    return v ? v->grad : NULL;
}

void tg_tensor_zero_grad(tg_tensor *tensor)
{
    tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    tg_value *g = v && v->grad ? tg_resolve(v->grad) : NULL;
    if (!v)
        return;
    v->grad = NULL;
    if (!g)
        return;
    if (!g->home->tape) {
        tg_storage_unref(g->storage);
        g->storage = NULL;
        tg_home_drop_locked(g->home, g);
    } else {
        tg_value_release(g);
    }
}
