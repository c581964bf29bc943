/* Reading safetensors: eight bytes of length, a JSON header, the tensors end to end. The header is held
 * against the file's size before anything is read for it. */
#include "training/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_MAX 100000000u
enum { PREFIX = 8, ALIGN = 64 };

typedef struct entry {
    tg_file_tensor t;
    uint64_t begin, end;
} entry;

struct tg_safetensors {
    tg_runtime *rt;
    size_t n;
    entry *entries;  /* in the file's order */
    entry **by_name; /* sorted              */
    char *data;
    json_t *header; /* owns the names and the metadata */
};

typedef struct reader {
    const char *path;
    int fd;
    uint64_t size, header, data; /* bytes: the file's, the header's, the tensors' */
    tg_safetensors *file;
} reader;

/* -- dtypes ---------------------------------------------------------------------------------------------- */
static const tg_file_dtype dtypes[] = {
    {"F32", TG_F32}, {"F64", TG_F64}, {"BF16", TG_BF16}, {"F16", TG_F16},   {"I64", TG_I64},
    {"I32", TG_I32}, {"I8", TG_I8},   {"U8", TG_U8},     {"BOOL", TG_BOOL}, {"I16", -1},
    {"U16", -1},     {"U32", -1},     {"U64", -1},       {"C64", -1},       {"F8_E4M3", -1},
    {"F8_E5M2", -1}, {"F8_E8M0", -1}, {"F6_E2M3", -1},   {"F6_E3M2", -1},   {"F4", -1},
};

const tg_file_dtype *tg_file_dtype_find(const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}

const char *tg_file_dtype_name(tg_dtype dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == (int)dtype)
            return dtypes[i].name;
    return NULL;
}

/* -- bytes ----------------------------------------------------------------------------------------------- */
static tg_status read_exactly(const reader *r, void *dst, uint64_t n, const char *what)
{
    char *to = dst;
    while (n > 0) {
        ssize_t got = read(r->fd, to, n < 1u << 30 ? (size_t)n : 1u << 30);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tg_fail(NULL, TG_EIO, "%s: cannot be read: %s", r->path, strerror(errno));
        if (got == 0)
            return tg_fail(NULL, TG_EFORMAT, "%s: cut short in its %s", r->path, what);
        to += got;
        n -= (uint64_t)got;
    }
    return TG_OK;
}

static tg_status open_file(reader *r)
{
    struct stat st;
    r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return tg_fail(NULL, TG_EIO, "%s: cannot be opened: %s", r->path, strerror(errno));
    if (fstat(r->fd, &st) != 0)
        return tg_fail(NULL, TG_EIO, "%s: cannot be read: %s", r->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return tg_fail(NULL, TG_EIO, "%s: is not a regular file", r->path);
    r->size = (uint64_t)st.st_size;
    return TG_OK;
}

static tg_status read_header(reader *r)
{
    unsigned char prefix[PREFIX];
    if (r->size < PREFIX)
        return tg_fail(NULL, TG_EFORMAT, "%s: cut short: %llu bytes, fewer than the 8 of the header's length",
                       r->path, (unsigned long long)r->size);
    tg_status status = read_exactly(r, prefix, PREFIX, "length");
    if (status)
        return status;
    for (int i = PREFIX - 1; i >= 0; i--)
        r->header = r->header << 8 | prefix[i];
    if (r->header > HEADER_MAX)
        return tg_fail(NULL, TG_EFORMAT, "%s: not a safetensors file: a header of %llu bytes, expected at most %u",
                       r->path, (unsigned long long)r->header, HEADER_MAX);
    if (r->header > r->size - PREFIX)
        return tg_fail(NULL, TG_EFORMAT, "%s: cut short: a header of %llu bytes in a file of %llu", r->path,
                       (unsigned long long)r->header, (unsigned long long)r->size);
    r->data = r->size - PREFIX - r->header;
    const tg_allocator *a = tg_runtime_allocator(r->file->rt);
    char *text = tg_alloc(a, (size_t)r->header + 1);
    if (!text)
        return tg_fail_again(NULL, TG_ENOMEM);
    status = read_exactly(r, text, r->header, "header");
    json_error_t error;
    if (!status && (r->header == 0 || text[0] != '{'))
        status = tg_fail(NULL, TG_EFORMAT, "%s: the header does not begin with {", r->path);
    if (!status) {
        r->file->header = json_loadb(text, (size_t)r->header, JSON_REJECT_DUPLICATES, &error);
        if (!r->file->header && json_error_code(&error) == json_error_out_of_memory)
            status = tg_fail(NULL, TG_ENOMEM, "%s: out of memory for its header", r->path);
        else if (!r->file->header)
            status = tg_fail(NULL, TG_EFORMAT, "%s: the header is not valid JSON: %s", r->path, error.text);
    }
    tg_free(a, text);
    return status;
}

/* -- the header's entries -------------------------------------------------------------------------------- */
static tg_status bad_entry(const reader *r, const char *name, const char *why)
{
    return tg_fail(NULL, TG_EFORMAT, "%s: tensor %s: %s", r->path, name, why);
}

static tg_status read_shape(const reader *r, const char *name, const json_t *shape, tg_file_tensor *t)
{
    if (!json_is_array(shape))
        return bad_entry(r, name, "shape is missing or not an array");
    size_t n = json_array_size(shape);
    if (n > TG_MAX_DIM)
        return tg_fail(NULL, TG_EUNSUPPORTED, "%s: tensor %s has %zu dimensions, more than %d", r->path, name,
                       n, TG_MAX_DIM);
    t->ndim = (int32_t)n;
    int64_t count = 1;
    bool overflow = false, zero = false;
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(shape, i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return bad_entry(r, name, "shape holds something that is no size");
        t->dim[i] = (int64_t)json_integer_value(d);
        zero = zero || t->dim[i] == 0;
        overflow = __builtin_mul_overflow(count, t->dim[i], &count) || overflow;
    }
    if (zero) {
        count = 0;
        overflow = false;
    }
    int64_t bytes = 0;
    if (overflow || __builtin_mul_overflow(count, (int64_t)tg_dtype_size((int32_t)t->dtype), &bytes))
        return bad_entry(r, name, "its shape overflows 63 bits");
    t->bytes = (size_t)bytes;
    return TG_OK;
}

static tg_status read_offsets(const reader *r, const char *name, const json_t *offsets, entry *e)
{
    if (!json_is_array(offsets) || json_array_size(offsets) != 2)
        return bad_entry(r, name, "data_offsets is missing or not two numbers");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (!json_is_integer(begin) || !json_is_integer(end) || json_integer_value(begin) < 0 ||
        json_integer_value(end) < 0)
        return bad_entry(r, name, "data_offsets holds something that is no offset");
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    if (e->begin > e->end)
        return bad_entry(r, name, "its data end before they begin");
    if (e->end > r->data)
        return tg_fail(NULL, TG_EFORMAT,
                       "%s: tensor %s ends at byte %llu, the file has %llu bytes of data (cut short?)",
                       r->path, name, (unsigned long long)e->end, (unsigned long long)r->data);
    if (e->end - e->begin != e->t.bytes)
        return tg_fail(NULL, TG_EFORMAT, "%s: tensor %s has %llu bytes, its shape and dtype make %zu",
                       r->path, name, (unsigned long long)(e->end - e->begin), e->t.bytes);
    return TG_OK;
}

static tg_status read_entry(const reader *r, const char *name, const json_t *value, entry *e)
{
    if (!json_is_object(value))
        return bad_entry(r, name, "its entry is not an object");
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (!dtype)
        return bad_entry(r, name, "dtype is missing or not a string");
    const tg_file_dtype *known = tg_file_dtype_find(dtype);
    if (!known)
        return tg_fail(NULL, TG_EFORMAT, "%s: tensor %s has the unknown dtype %.32s", r->path, name, dtype);
    if (known->dtype < 0)
        return tg_fail(NULL, TG_EUNSUPPORTED, "%s: tensor %s is %s, a dtype that Tapegrad does not have",
                       r->path, name, dtype);
    e->t.name = name;
    e->t.dtype = (tg_dtype)known->dtype;
    tg_status status = read_shape(r, name, json_object_get(value, "shape"), &e->t);
    return status ? status : read_offsets(r, name, json_object_get(value, "data_offsets"), e);
}

static tg_status check_metadata(const reader *r, json_t *meta)
{
    const char *key;
    json_t *value;
    if (!json_is_object(meta))
        return tg_fail(NULL, TG_EFORMAT, "%s: __metadata__ is not an object", r->path);
    json_object_foreach(meta, key, value) if (!json_is_string(value)) return tg_fail(
        NULL, TG_EFORMAT, "%s: the metadata value of %s is not a string", r->path, key);
    return TG_OK;
}

static int by_offset(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->t.name, y->t.name);
}

static int by_name(const void *a, const void *b)
{
    const entry *const *x = a, *const *y = b;
    return strcmp((*x)->t.name, (*y)->t.name);
}

/* The tensors must cover the data, each byte once. */
static tg_status check_cover(const reader *r)
{
    const tg_safetensors *f = r->file;
    uint64_t at = 0;
    for (size_t i = 0; i < f->n; i++) {
        const entry *e = &f->entries[i];
        if (e->begin != at)
            return tg_fail(NULL, TG_EFORMAT, "%s: tensor %s begins at byte %llu of the data, %s %llu",
                           r->path, e->t.name, (unsigned long long)e->begin,
                           e->begin < at ? "inside another that ends at" : "after a gap from",
                           (unsigned long long)at);
        at = e->end;
    }
    if (at != r->data)
        return tg_fail(NULL, TG_EFORMAT, "%s: the tensors end at byte %llu of the data, the file has %llu",
                       r->path, (unsigned long long)at, (unsigned long long)r->data);
    return TG_OK;
}

static tg_status read_entries(reader *r)
{
    tg_safetensors *f = r->file;
    const tg_allocator *a = tg_runtime_allocator(f->rt);
    size_t size = json_object_size(f->header);
    f->entries = tg_alloc_zero(a, (size + 1) * sizeof *f->entries);
    f->by_name = f->entries ? tg_alloc_zero(a, (size + 1) * sizeof *f->by_name) : NULL;
    if (!f->by_name)
        return tg_fail_again(NULL, TG_ENOMEM);
    const char *name;
    json_t *value;
    json_object_foreach(f->header, name, value)
    {
        bool meta = strcmp(name, "__metadata__") == 0;
        tg_status status = meta ? check_metadata(r, value) : read_entry(r, name, value, &f->entries[f->n]);
        if (status)
            return status;
        f->n += !meta;
    }
    qsort(f->entries, f->n, sizeof *f->entries, by_offset);
    for (size_t i = 0; i < f->n; i++)
        f->by_name[i] = &f->entries[i];
    qsort(f->by_name, f->n, sizeof *f->by_name, by_name);
    return check_cover(r);
}

/* Each tensor gets an aligned place: the format packs them end to end. */
static tg_status read_data(reader *r)
{
    tg_safetensors *f = r->file;
    size_t total = 0;
    for (size_t i = 0; i < f->n; i++)
        total += (f->entries[i].t.bytes + ALIGN - 1) / ALIGN * ALIGN;
    f->data = tg_alloc(tg_runtime_allocator(f->rt), total + 1);
    if (!f->data)
        return tg_fail_again(NULL, TG_ENOMEM);
    char *at = f->data;
    for (size_t i = 0; i < f->n; i++) {
        tg_file_tensor *t = &f->entries[i].t;
        tg_status status = read_exactly(r, at, t->bytes, "data");
        if (status)
            return status;
        t->data = at;
        at += (t->bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    return TG_OK;
}

/* -- use ------------------------------------------------------------------------------------------------- */
tg_status tg_safetensors_open(tg_safetensors **out, tg_runtime *rt, const char *path)
{
    if (!out || !rt || !path)
        return tg_fail(NULL, TG_EINVAL, "tg_safetensors_open: the %s is NULL",
                       !out  ? "result"
                       : !rt ? "runtime"
                             : "path");
    *out = NULL;
    reader r = {.path = path, .fd = -1};
    r.file = tg_alloc_zero(tg_runtime_allocator(rt), sizeof *r.file);
    if (!r.file)
        return tg_fail_again(NULL, TG_ENOMEM);
    r.file->rt = rt;
    tg_status status = open_file(&r);
    if (!status)
        status = read_header(&r);
    if (!status)
        status = read_entries(&r);
    if (!status)
        status = read_data(&r);
    if (r.fd >= 0)
        close(r.fd);
    if (status)
        tg_safetensors_close(r.file);
    else
        *out = r.file;
    return status;
}

void tg_safetensors_close(tg_safetensors *f)
{
    if (!f)
        return;
    const tg_allocator *a = tg_runtime_allocator(f->rt);
    json_decref(f->header);
    tg_free(a, f->entries);
    tg_free(a, f->by_name);
    tg_free(a, f->data);
    tg_free(a, f);
}

size_t tg_safetensors_count(const tg_safetensors *f)
{
    return f ? f->n : 0;
}

const tg_file_tensor *tg_safetensors_at(const tg_safetensors *f, size_t i)
{
    return f && i < f->n ? &f->entries[i].t : NULL;
}

size_t tg_safetensors_index(const tg_safetensors *f, const tg_file_tensor *t)
{
    return (size_t)((const entry *)(const void *)t - f->entries);
}

const tg_file_tensor *tg_safetensors_find(const tg_safetensors *f, const char *name)
{
    if (!f || !name || f->n == 0)
        return NULL;
    entry key = {.t = {.name = name}}, *wanted = &key;
    entry **found = bsearch(&wanted, f->by_name, f->n, sizeof *f->by_name, by_name);
    return found ? &(*found)->t : NULL;
}

const char *tg_safetensors_metadata(const tg_safetensors *f, const char *key)
{
    return f && key ? json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key))
                    : NULL;
}
