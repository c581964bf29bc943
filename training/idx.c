/* IDX files, plain or gzip. The file is read through a small window; its sizes are checked against the file's
 * before anything is allocated for them. */
#include "autograd/internal.h"
#include <tapegrad/data.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { WINDOW = 65536, HEADER = 4 };
/* Deflate packs at most 1032 bytes into one. */
#define MOST_PACKED 1032

typedef struct reader {
    const char *path;
    const tg_allocator *allocator;
    int fd;
    bool gzip, gzip_ended;
    int64_t file_size;
    z_stream z;
    size_t from, to; /* unread bytes of the window */
    unsigned char window[WINDOW];
} reader;

static voidpf z_alloc(voidpf opaque, uInt items, uInt size)
{
    return tg_alloc_zero(opaque, (size_t)items * size);
}

static void z_free(voidpf opaque, voidpf ptr)
{
    tg_free(opaque, ptr);
}

/* -- bytes ----------------------------------------------------------------------------------------------- */
static tg_status refill(reader *r)
{
    ssize_t got;
    do
        got = read(r->fd, r->window, WINDOW);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return tg_fail(NULL, TG_EIO, "%s: cannot be read: %s", r->path, strerror(errno));
    r->from = 0;
    r->to = (size_t)got;
    return TG_OK;
}

static tg_status read_plain(reader *r, unsigned char *dst, size_t want, size_t *got)
{
    *got = 0;
    while (*got < want) {
        if (r->from == r->to) {
            tg_status status = refill(r);
            if (status)
                return status;
            if (r->to == 0)
                return TG_OK;
        }
        size_t n = r->to - r->from < want - *got ? r->to - r->from : want - *got;
        memcpy(dst + *got, r->window + r->from, n);
        r->from += n;
        *got += n;
    }
    return TG_OK;
}

/* At the end of a gzip member: another may follow, as gzip allows; anything else may not. */
static tg_status next_member(reader *r)
{
    if (r->from == r->to) {
        tg_status status = refill(r);
        if (status)
            return status;
    }
    if (r->from == r->to) {
        r->gzip_ended = true;
        return TG_OK;
    }
    if (r->window[r->from] != 0x1f)
        return tg_fail(NULL, TG_EFORMAT, "%s: bytes are left over after the gzip data", r->path);
    inflateReset(&r->z);
    return TG_OK;
}

static tg_status gzip_error(const reader *r, int code)
{
    if (code == Z_MEM_ERROR)
        return tg_fail_again(NULL, TG_ENOMEM);
    return tg_fail(NULL, TG_EFORMAT, "%s: corrupt gzip data: %s", r->path,
                   r->z.msg ? r->z.msg : zError(code));
}

static tg_status read_gzip(reader *r, unsigned char *dst, size_t want, size_t *got)
{
    *got = 0;
    while (*got < want && !r->gzip_ended) {
        tg_status status = TG_OK;
        if (r->from == r->to && (status = refill(r)))
            return status;
        if (r->to == 0)
            return tg_fail(NULL, TG_EFORMAT, "%s: the gzip data are cut short", r->path);
        size_t most = want - *got < 1u << 30 ? want - *got : 1u << 30;
        r->z.next_in = r->window + r->from;
        r->z.avail_in = (uInt)(r->to - r->from);
        r->z.next_out = dst + *got;
        r->z.avail_out = (uInt)most;
        int code = inflate(&r->z, Z_NO_FLUSH);
        r->from = r->to - r->z.avail_in;
        *got += most - r->z.avail_out;
        if (code == Z_STREAM_END)
            status = next_member(r);
        else if (code != Z_OK && code != Z_BUF_ERROR)
            status = gzip_error(r, code);
        if (status)
            return status;
    }
    return TG_OK;
}

static tg_status read_bytes(reader *r, unsigned char *dst, size_t want, size_t *got)
{
    return r->gzip ? read_gzip(r, dst, want, got) : read_plain(r, dst, want, got);
}

/* -- opening --------------------------------------------------------------------------------------------- */
static tg_status open_file(reader *r)
{
    r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return tg_fail(NULL, TG_EIO, "%s: cannot be opened: %s", r->path, strerror(errno));
    struct stat st;
    if (fstat(r->fd, &st) != 0)
        return tg_fail(NULL, TG_EIO, "%s: cannot be read: %s", r->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return tg_fail(NULL, TG_EIO, "%s: is not a regular file", r->path);
    r->file_size = (int64_t)st.st_size;
    tg_status status = refill(r);
    if (status)
        return status;
    if (r->to >= 2 && r->window[0] == 0x1f && r->window[1] == 0x8b) {
        r->z.zalloc = z_alloc;
        r->z.zfree = z_free;
        r->z.opaque = (voidpf)(uintptr_t)r->allocator;
        int code = inflateInit2(&r->z, 15 + 16);
        if (code != Z_OK)
            return gzip_error(r, code);
        r->gzip = true;
    }
    return TG_OK;
}

static void close_file(reader *r)
{
    if (r->gzip)
        inflateEnd(&r->z);
    if (r->fd >= 0)
        close(r->fd);
}

/* -- the format ------------------------------------------------------------------------------------------ */
static tg_status read_exactly(reader *r, unsigned char *dst, size_t want, const char *what)
{
    size_t got = 0;
    tg_status status = read_bytes(r, dst, want, &got);
    if (!status && got < want)
        status =
            tg_fail(NULL, TG_EFORMAT, "%s: cut short in its %s: %zu of %zu bytes", r->path, what, got, want);
    return status;
}

static tg_status read_header(reader *r, tg_idx *out)
{
    unsigned char magic[HEADER], size[4];
    tg_status status = read_exactly(r, magic, sizeof magic, "magic number");
    if (status)
        return status;
    if (magic[0] != 0 || magic[1] != 0)
        return tg_fail(NULL, TG_EFORMAT,
                       "%s: not an IDX file: it begins with 0x%02x%02x%02x%02x, expected 0x0000", r->path,
                       magic[0], magic[1], magic[2], magic[3]);
    if (magic[2] != 0x08)
        return tg_fail(NULL, TG_EFORMAT, "%s: element type 0x%02x, expected 0x08 (unsigned bytes)", r->path,
                       magic[2]);
    if (magic[3] < 1 || magic[3] > TG_MAX_DIM)
        return tg_fail(NULL, TG_EFORMAT, "%s: %d dimensions, expected 1 to %d", r->path, magic[3],
                       TG_MAX_DIM);
    out->ndim = magic[3];
    for (int32_t i = 0; i < out->ndim; i++) {
        if ((status = read_exactly(r, size, sizeof size, "sizes")))
            return status;
        out->dim[i] =
            (int64_t)size[0] << 24 | (int64_t)size[1] << 16 | (int64_t)size[2] << 8 | (int64_t)size[3];
    }
    return TG_OK;
}

/* The bytes that the header promises, which the file must be able to hold. */
static tg_status promised(const reader *r, const tg_idx *idx, size_t *out)
{
    int64_t n = 1, header = HEADER + 4 * (int64_t)idx->ndim;
    bool zero = false;
    for (int32_t i = 0; i < idx->ndim; i++) {
        zero = zero || idx->dim[i] == 0;
        if (!zero && __builtin_mul_overflow(n, idx->dim[i], &n))
            return tg_fail(NULL, TG_EFORMAT, "%s: its sizes overflow 63 bits", r->path);
    }
    n = zero ? 0 : n;
    if (!r->gzip && n > r->file_size - header)
        return tg_fail(NULL, TG_EFORMAT,
                       "%s: cut short: its sizes promise %lld bytes of data, the file has %lld", r->path,
                       (long long)n, (long long)(r->file_size - header));
    if (r->gzip && n / MOST_PACKED > r->file_size)
        return tg_fail(NULL, TG_EFORMAT,
                       "%s: its sizes promise %lld bytes, which %lld bytes of gzip cannot hold", r->path,
                       (long long)n, (long long)r->file_size);
    *out = (size_t)n;
    return TG_OK;
}

static tg_status read_all(reader *r, tg_idx *out)
{
    size_t n = 0, extra = 0;
    unsigned char one;
    tg_status status = open_file(r);
    if (!status)
        status = read_header(r, out);
    if (!status)
        status = promised(r, out, &n);
    if (status)
        return status;
    out->data = tg_alloc(r->allocator, n ? n : 1);
    if (!out->data)
        return tg_fail_again(NULL, TG_ENOMEM);
    status = read_exactly(r, out->data, n, "data");
    /* One byte more is asked for also to have gzip's checksum compared. */
    if (!status)
        status = read_bytes(r, &one, 1, &extra);
    if (!status && extra)
        status = tg_fail(NULL, TG_EFORMAT, "%s: bytes are left over after the %zu that its sizes promise",
                         r->path, n);
    return status;
}

tg_status tg_idx_read(tg_idx *out, tg_runtime *rt, const char *path)
{
    if (!out || !rt || !path)
        return tg_fail(NULL, TG_EINVAL, "tg_idx_read: the %s is NULL",
                       !out  ? "result"
                       : !rt ? "runtime"
                             : "path");
    *out = (tg_idx){0};
    const tg_allocator *a = tg_runtime_allocator(rt);
    reader *r = tg_alloc_zero(a, sizeof *r);
    if (!r)
        return tg_fail_again(NULL, TG_ENOMEM);
    r->path = path;
    r->allocator = a;
    r->fd = -1;
    tg_idx idx = {.rt = rt};
    tg_status status = read_all(r, &idx);
    close_file(r);
    tg_free(a, r);
    if (status) {
        tg_free(a, idx.data);
        return status;
    }
    *out = idx;
    return TG_OK;
}

void tg_idx_free(tg_idx *idx)
{
    if (!idx || !idx->rt)
        return;
    tg_free(tg_runtime_allocator(idx->rt), idx->data);
    *idx = (tg_idx){0};
}
