/* Shapes and strides: pure functions. */
#include "autograd/internal.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {{"f32", 4}, {"f64", 8}, {"bf16", 2}, {"f16", 2}, {"i64", 8},
              {"i32", 4}, {"i8", 1},  {"u8", 1},   {"bool", 1}};

static bool known(int32_t dtype)
{
    return dtype >= 0 && dtype < (int32_t)(sizeof dtypes / sizeof *dtypes);
}

size_t tg_dtype_size(int32_t dtype)
{
    return known(dtype) ? dtypes[dtype].size : 0;
}

const char *tg_dtype_name(int32_t dtype)
{
    static thread_local char unknown[32];
    if (known(dtype))
        return dtypes[dtype].name;
    snprintf(unknown, sizeof unknown, "dtype number %d", (int)dtype);
    return unknown;
}

bool tg_dtype_is_float(int32_t dtype)
{
    return dtype == TG_F32 || dtype == TG_F64;
}

int tg_dtype_kind(int32_t dtype)
{
    return !known(dtype) ? 0 : dtype == TG_BOOL ? TG_KIND_BOOL : dtype >= TG_I64 ? TG_KIND_INTEGER : TG_KIND_FLOAT;
}

int32_t tg_dtype_promote(int32_t a, int32_t b)
{
    static const int8_t rank[] = {[TG_BOOL] = 0, [TG_U8] = 1,  [TG_I8] = 1,   [TG_I32] = 2, [TG_I64] = 3,
                                  [TG_F16] = 4,  [TG_BF16] = 4, [TG_F32] = 5, [TG_F64] = 6};
    if (!known(a) || !known(b))
        return known(a) ? a : b;
    if (rank[a] == rank[b] && a != b) /* neither holds the other */
        return rank[a] == 1 ? TG_I32 : TG_F32;
    return rank[a] > rank[b] ? a : b;
}

int64_t tg_desc_count(const tg_desc *desc)
{
    int64_t n = 1;
    for (int32_t i = 0; i < desc->ndim; i++)
        n *= desc->dim[i];
    return n;
}

bool tg_desc_spreads(const tg_desc *from, const tg_desc *to)
{
    const int32_t lead = to->ndim - from->ndim;
    bool spreads = lead >= 0;
    for (int32_t i = 0; spreads && i < from->ndim; i++)
        spreads = from->dim[i] == 1 || from->dim[i] == to->dim[lead + i];
    return spreads;
}

void tg_desc_row_major(tg_desc *d)
{
    int64_t step = 1;
    for (int32_t i = TG_MAX_DIM - 1; i >= 0; i--) {
        if (i >= d->ndim) {
            d->dim[i] = d->stride[i] = 0;
            continue;
        }
        d->stride[i] = step;
        step = (int64_t)((uint64_t)step * (uint64_t)(d->dim[i] > 0 ? d->dim[i] : 1));
    }
}

bool tg_desc_fits(const tg_desc *d)
{
    int64_t bytes = (int64_t)tg_dtype_size(d->dtype);
    for (int32_t i = 0; i < d->ndim; i++)
        if (__builtin_mul_overflow(bytes, d->dim[i] ? d->dim[i] : 1, &bytes))
            return false;
    return true;
}

tg_status tg_desc_make(tg_desc *out, tg_dtype dtype, const int64_t *dims, size_t ndim)
{
    return out ? tg_desc_make_for("", out, dtype, dims, ndim) : tg_null(NULL, "tg_desc_make", "out");
}

tg_status tg_desc_make_for(const char *caller, tg_desc *out, tg_dtype dtype, const int64_t *dims, size_t ndim)
{
    *out = (tg_desc){0};
    if (!known((int32_t)dtype))
        return tg_fail(NULL, TG_EDTYPE, "%sdtype number %d is none of tg_dtype's", caller, (int)dtype);
    if (ndim > TG_MAX_DIM)
        return tg_fail(NULL, TG_ESHAPE, "%sa tensor has at most %d dims, not %zu", caller, TG_MAX_DIM, ndim);
    if (ndim && !dims)
        return tg_fail(NULL, TG_EINVAL, "%sthe dims of a tensor of %zu dims are NULL", caller, ndim);
    for (size_t i = 0; i < ndim; i++) {
        if (dims[i] < 0)
            return tg_fail(NULL, TG_ESHAPE, "%sdim %zu is negative: %lld", caller, i, (long long)dims[i]);
        out->dim[i] = dims[i];
    }
    out->dtype = (int32_t)dtype;
    out->ndim = (int32_t)ndim;
    tg_desc_row_major(out);
    char text[192];
    if (!tg_desc_fits(out))
        return tg_fail(NULL, TG_ESHAPE, "%s%s would have more than 2^63 bytes", caller,
                       tg_desc_format(out, text, sizeof text));
    return TG_OK;
}

bool tg_desc_is_dense(const tg_desc *d)
{
    int64_t step = 1;
    if (d->layout)
        return false;
    if (tg_desc_count(d) == 0)
        return true;
    for (int32_t i = d->ndim - 1; i >= 0; i--) {
        if (d->dim[i] != 1 && d->stride[i] != step)
            return false;
        step *= d->dim[i];
    }
    return true;
}

const char *tg_desc_format(const tg_desc *d, char *buf, size_t size)
{
    if (!size)
        return buf;
    size_t n = (size_t)snprintf(buf, size, "%s[", tg_dtype_name(d->dtype));
    for (int32_t i = 0; i < d->ndim && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%lld", i ? ", " : "", (long long)d->dim[i]);
    if (n < size)
        snprintf(buf + n, size - n, "]");
    return buf;
}

uint64_t tg_hash_bytes(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = (h ^ w) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    for (; n; n--, p++)
        h = (h ^ *p) * 0x100000001b3u;
    return h ^ h >> 32;
}

uint32_t tg_desc_hash(const tg_desc *d)
{
    uint64_t h = tg_hash_bytes(0xcbf29ce484222325u, d, 8);
    h = tg_hash_bytes(h, d->dim, (size_t)d->ndim * 8);
    h = tg_hash_bytes(h, d->stride, (size_t)d->ndim * 8);
    return (uint32_t)tg_hash_bytes(h, &d->layout, sizeof d->layout);
}

size_t tg_desc_extent(const tg_desc *d)
{
    int64_t last = 0;
    for (int32_t i = 0; i < d->ndim; i++) {
        if (d->dim[i] == 0)
            return 0;
        last += (d->dim[i] - 1) * d->stride[i];
    }
    return (size_t)(last + 1) * tg_dtype_size(d->dtype);
}
