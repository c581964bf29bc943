/* Writing safetensors: the whole file beside the old one, synced, and then its name. */
#include "training/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

/* -- the header ------------------------------------------------------------------------------------------ */
/* The reference implementation's order: wide elements first, so that each tensor is aligned; then by name. */
static int in_file_order(const void *a, const void *b)
{
    const tg_file_tensor *const *x = a, *const *y = b;
    size_t xs = tg_dtype_size((int32_t)(*x)->dtype), ys = tg_dtype_size((int32_t)(*y)->dtype);
    return xs != ys ? (xs > ys ? -1 : 1) : strcmp((*x)->name, (*y)->name);
}

static tg_status check_tensor(const tg_file_tensor *t)
{
    tg_desc d;
    if (!t->name || strcmp(t->name, "__metadata__") == 0)
        return tg_fail(NULL, TG_EINVAL, "tg_safetensors_write: a tensor cannot be called %s",
                       t->name ? t->name : "NULL");
    if (!tg_file_dtype_name(t->dtype))
        return tg_fail(NULL, TG_EDTYPE, "tg_safetensors_write: tensor %s has no dtype of the format",
                       t->name);
    if (t->ndim < 0 || tg_desc_make(&d, t->dtype, t->dim, (size_t)t->ndim))
        return tg_fail(NULL, TG_ESHAPE, "tg_safetensors_write: tensor %s has no valid shape", t->name);
    size_t bytes = (size_t)tg_desc_count(&d) * tg_dtype_size((int32_t)t->dtype);
    if (bytes != t->bytes || (bytes && !t->data))
        return tg_fail(NULL, TG_EINVAL,
                       "tg_safetensors_write: tensor %s gives %zu bytes, its shape makes %zu", t->name,
                       t->data ? t->bytes : 0, bytes);
    return TG_OK;
}

static json_t *entry_of(const tg_file_tensor *t, uint64_t begin)
{
    json_t *shape = json_array();
    for (int32_t i = 0; i < t->ndim; i++)
        json_array_append_new(shape, json_integer(t->dim[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", tg_file_dtype_name(t->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + t->bytes));
}

/* Takes `value` over. The names come from the caller: not UTF-8 is their mistake, all else is a lack of
 * memory. */
static tg_status put(json_t *object, const char *key, json_t *value)
{
    json_t *text = json_string(key);
    bool utf8 = text != NULL;
    json_decref(text);
    if (utf8 && value && json_object_set_new(object, key, value) == 0)
        return TG_OK;
    if (!utf8) {
        json_decref(value);
        return tg_fail(NULL, TG_EINVAL, "tg_safetensors_write: a name or a metadata text is not UTF-8");
    }
    return tg_fail(NULL, TG_ENOMEM, "tg_safetensors_write: out of memory for the header");
}

static tg_status make_header(json_t *header, const tg_file_tensor *const *sorted, size_t n,
                             const char *const *keys, const char *const *values, size_t n_meta)
{
    tg_status status = TG_OK;
    if (n_meta > 0) {
        json_t *meta = json_object();
        for (size_t i = 0; i < n_meta && !status; i++) {
            json_t *value = json_string(values[i]);
            status = value ? put(meta, keys[i], value)
                           : tg_fail(NULL, TG_EINVAL,
                                     "tg_safetensors_write: the metadata value of %s is not UTF-8", keys[i]);
        }
        if (status) {
            json_decref(meta);
            return status;
        }
        status = put(header, "__metadata__", meta);
    }
    uint64_t at = 0;
    for (size_t i = 0; i < n && !status; i++) {
        if (json_object_get(header, sorted[i]->name))
            return tg_fail(NULL, TG_EINVAL, "tg_safetensors_write: two tensors are called %s",
                           sorted[i]->name);
        status = put(header, sorted[i]->name, entry_of(sorted[i], at));
        at += sorted[i]->bytes;
    }
    return status;
}

/* -- the file -------------------------------------------------------------------------------------------- */
typedef struct target {
    char path[PATH_SIZE], folder[PATH_SIZE], temporary[PATH_SIZE + 64];
    int fd, folder_fd;
    mode_t mode;
    bool exists;
} target;

static tg_status io_error(const char *path, const char *what)
{
    return tg_fail(NULL, TG_EIO, "%s: %s: %s", path, what, strerror(errno));
}

/* Follows links, so that a link stays one, and finds the folder. */
static tg_status find_target(target *t, const char *path)
{
    struct stat st;
    size_t length = strlen(path);
    if (length == 0 || length >= PATH_SIZE)
        return tg_fail(NULL, TG_EIO, "%s: the path is empty or too long", length ? path : "''");
    if (stat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode))
            return tg_fail(NULL, TG_EIO, "%s: is not a regular file", path);
        t->exists = true;
        t->mode = st.st_mode & 07777;
        if (!realpath(path, t->path))
            return io_error(path, "cannot be written");
    } else {
        memcpy(t->path, path, length + 1);
    }
    strcpy(t->folder, t->path);
    char *slash = strrchr(t->folder, '/');
    if (!slash)
        strcpy(t->folder, ".");
    else
        slash[slash == t->folder] = '\0';
    return TG_OK;
}

static tg_status open_temporary(target *t, const char *path)
{
    static atomic_uint counter;
    /* A name that is in use belongs to a process that died, or to somebody else: the next one. */
    for (int i = 0; i < 100 && t->fd < 0; i++) {
        snprintf(t->temporary, sizeof t->temporary, "%s.%ld-%u.tmp", t->path, (long)getpid(),
                 atomic_fetch_add(&counter, 1u));
        t->fd = open(t->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (t->fd < 0 && errno != EEXIST)
            break;
    }
    if (t->fd < 0)
        return io_error(path, "cannot be written");
    if (t->exists && fchmod(t->fd, t->mode) != 0)
        return io_error(path, "its permissions cannot be kept");
    /* A folder that may be written but not read cannot be synced. */
    t->folder_fd = open(t->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return TG_OK;
}

static tg_status write_bytes(const target *t, const char *path, const void *src, size_t n)
{
    const char *from = src;
    while (n > 0) {
        ssize_t put_bytes = write(t->fd, from, n < 1u << 30 ? n : 1u << 30);
        if (put_bytes < 0 && errno == EINTR)
            continue;
        if (put_bytes < 0)
            return io_error(path, "cannot be written");
        from += put_bytes;
        n -= (size_t)put_bytes;
    }
    return TG_OK;
}

static tg_status write_all(target *t, const char *path, const char *header,
                           const tg_file_tensor *const *sorted, size_t n)
{
    static const char spaces[8] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    size_t length = strlen(header), padding = (8 - length % 8) % 8;
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (unsigned char)((uint64_t)(length + padding) >> (8 * i));
    tg_status status = write_bytes(t, path, prefix, sizeof prefix);
    if (!status)
        status = write_bytes(t, path, header, length);
    if (!status)
        status = write_bytes(t, path, spaces, padding);
    for (size_t i = 0; i < n && !status; i++)
        status = write_bytes(t, path, sorted[i]->data, sorted[i]->bytes);
    if (!status && fsync(t->fd) != 0)
        status = io_error(path, "cannot be synced");
    return status;
}

static tg_status write_file(const char *path, const char *header, const tg_file_tensor *const *sorted,
                            size_t n, target *t)
{
    tg_status status = find_target(t, path);
    if (!status)
        status = open_temporary(t, path);
    if (!status)
        status = write_all(t, path, header, sorted, n);
    bool made = t->fd >= 0;
    if (made && close(t->fd) != 0 && !status)
        status = io_error(path, "cannot be written");
    if (!status && rename(t->temporary, t->path) != 0)
        status = io_error(path, "cannot be put in its place");
    if (status && made)
        unlink(t->temporary);
    /* EINVAL: a file system without synced folders. */
    if (!status && t->folder_fd >= 0 && fsync(t->folder_fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = io_error(path, "was written, but its folder cannot be synced");
    if (t->folder_fd >= 0)
        close(t->folder_fd);
    return status;
}

/* A limit on file sizes (RLIMIT_FSIZE) sends SIGXFSZ, which ends the process: held back, write says EFBIG
 * instead. */
static tg_status write_guarded(const char *path, const char *header, const tg_file_tensor *const *sorted,
                               size_t n, target *t)
{
    sigset_t limit, before, pending;
    sigemptyset(&limit);
    sigaddset(&limit, SIGXFSZ);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &limit, &before);
    tg_status status = write_file(path, header, sorted, n, t);
    if (!sigismember(&pending, SIGXFSZ))
        while (sigtimedwait(&limit, NULL, &(struct timespec){0}) == SIGXFSZ)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

static tg_status write_sorted(const tg_allocator *a, const char *path, const tg_file_tensor *const *sorted,
                              size_t n, const char *const *keys, const char *const *values, size_t n_meta)
{
    json_t *header = json_object();
    tg_status status = header
                           ? make_header(header, sorted, n, keys, values, n_meta)
                           : tg_fail(NULL, TG_ENOMEM, "tg_safetensors_write: out of memory for the header");
    char *text = status ? NULL : json_dumps(header, JSON_COMPACT);
    if (!status && !text)
        status = tg_fail(NULL, TG_ENOMEM, "tg_safetensors_write: out of memory for the header");
    target *t = status ? NULL : tg_alloc_zero(a, sizeof *t);
    if (!status && !t)
        status = tg_fail_again(NULL, TG_ENOMEM);
    if (!status) {
        t->fd = t->folder_fd = -1;
        status = write_guarded(path, text, sorted, n, t);
    }
    tg_free(a, t);
    free(text);
    json_decref(header);
    return status;
}

tg_status tg_safetensors_write(tg_runtime *rt, const char *path, const tg_file_tensor *tensors, size_t n,
                               const char *const *keys, const char *const *values, size_t n_meta)
{
    if (!rt || !path || (n && !tensors) || (n_meta && (!keys || !values)))
        return tg_fail(NULL, TG_EINVAL,
                       "tg_safetensors_write: the runtime, the path, the tensors or the metadata are NULL");
    for (size_t i = 0; i < n; i++) {
        tg_status status = check_tensor(&tensors[i]);
        if (status)
            return status;
    }
    for (size_t i = 0; i < n_meta; i++)
        if (!keys[i] || !values[i])
            return tg_fail(NULL, TG_EINVAL, "tg_safetensors_write: metadata %zu is NULL", i);
    const tg_allocator *a = tg_runtime_allocator(rt);
    const tg_file_tensor **sorted = tg_alloc(a, (n + 1) * sizeof *sorted);
    if (!sorted)
        return tg_fail_again(NULL, TG_ENOMEM);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &tensors[i];
    qsort(sorted, n, sizeof *sorted, in_file_order);
    tg_status status = write_sorted(a, path, sorted, n, keys, values, n_meta);
    tg_free(a, sorted);
    return status;
}
