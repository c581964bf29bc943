/* Finds backends, checks that they speak our ABI, and opens those that the chain names.
 *
 * rt->backends holds every backend that can be found, the chain first; it is filled once and never moves,
 * because a plug-in keeps the address of its tg_host. */
#include "autograd/internal.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef TG_PLUGIN_DIR
#define TG_PLUGIN_DIR ""
#endif

enum { MAX_BACKENDS = 64, MAX_KERNELS = 4096 };

/* Sizes of the structs of ABI 1.0: what a plug-in must at least have. */
#define BACKEND_V1 (offsetof(tg_backend, extensions) + sizeof(const void *))
#define KERNEL_V1 (offsetof(tg_kernel, release) + sizeof(void (*)(void)))

/* -- what the host lends --------------------------------------------------------------------------------- */

static void *host_alloc(void *arg, size_t size, size_t align)
{
    const tg_allocator *a = &((tg_loaded *)arg)->rt->allocator;
    if (align == 0 || align > 64 || (align & (align - 1)) || size > SIZE_MAX - 64)
        return NULL;
    return a->alloc(a->arg, (size + align - 1) / align * align,
                    align); /* aligned_alloc wants whole multiples */
}

static void host_free(void *arg, void *ptr)
{
    const tg_allocator *a = &((tg_loaded *)arg)->rt->allocator;
    if (ptr)
        a->free(a->arg, ptr);
}

static void host_log(void *arg, int level, const char *message)
{
    const tg_loaded *l = arg;
    if (message)
        tg_runtime_log(l->rt, (tg_log_level)level, "%s: %s", l->name, message);
}

/* Kernels run on many threads at once: what one says belongs to the thread that called it. */
static thread_local char said[256];
atomic_bool tg_backend_spoke;

static void host_error(void *arg, tg_status status, const char *message)
{
    (void)arg;
    (void)status;
    snprintf(said, sizeof said, "%s", message ? message : "");
    atomic_store_explicit(&tg_backend_spoke, true, memory_order_relaxed);
}

const char *tg_backend_said(void)
{
    return said;
}

void tg_backend_forget(void)
{
    said[0] = '\0';
}

/* -- finding --------------------------------------------------------------------------------------------- */

static bool name_is_legal(const char *name, size_t n)
{
    if (n == 0 || n >= sizeof((tg_loaded *)0)->name)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", name[i]))
            return false;
    return true;
}

static tg_loaded *find(tg_runtime *rt, const char *name, size_t n)
{
    for (size_t i = 0; i < rt->n_backends; i++)
        if (strlen(rt->backends[i].name) == n && !memcmp(rt->backends[i].name, name, n))
            return &rt->backends[i];
    return NULL;
}

/* Adds NAME with its file, unless an earlier folder had one or it is no legal name. */
static tg_loaded *add(tg_runtime *rt, const char *name, size_t n, const char *path)
{
    if (!name_is_legal(name, n) || find(rt, name, n) || rt->n_backends == rt->backend_capacity)
        return NULL;
    tg_loaded *l = &rt->backends[rt->n_backends];
    memset(l, 0, sizeof *l);
    if ((size_t)snprintf(l->path, sizeof l->path, "%s", path) >= sizeof l->path)
        return NULL;
    memcpy(l->name, name, n);
    l->rt = rt;
    rt->n_backends++;
    return l;
}

/* Those that the program itself brings: no file takes their names. */
static tg_status add_given(tg_runtime *rt, const tg_backend *const *given, size_t n)
{
    for (size_t i = 0; given && i < n; i++) {
        const char *name = given[i] ? given[i]->name : NULL;
        tg_loaded *l = name ? add(rt, name, strlen(name), "") : NULL;
        if (!l)
            return tg_fail(NULL, TG_EBACKEND, "backend %zu of the options %s%.40s%s", i,
                           name ? "cannot be called \"" : "is NULL or has no name", name ? name : "",
                           name ? "\": no legal name, or taken" : "");
        l->given = given[i];
    }
    return TG_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const tg_loaded *)a)->name, ((const tg_loaded *)b)->name);
}

/* Adds FOLDER/NAME.so, or where they are `nested` FOLDER/NAME/NAME.so, in the order of their names. */
static void scan(tg_runtime *rt, const char *folder, bool nested)
{
    DIR *dir = *folder ? opendir(folder) : NULL;
    size_t first = rt->n_backends;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *file = entry->d_name;
        size_t n = strlen(file);
        char path[PATH_MAX];
        if (nested) {
            int length = snprintf(path, sizeof path, "%s/%s/%s.so", folder, file, file);
            if (length > 0 && (size_t)length < sizeof path && access(path, R_OK) == 0)
                add(rt, file, n, path);
        } else if (n > 3 && !strcmp(file + n - 3, ".so")) {
            snprintf(path, sizeof path, "%s/%s", folder, file);
            add(rt, file, n - 3, path);
        }
    }
    if (dir)
        closedir(dir);
    qsort(rt->backends + first, rt->n_backends - first, sizeof *rt->backends, by_name);
}

/* Backends in the folders of TAPEGRAD_BACKEND_PATH, then those beside the library (a build tree, or a prefix
 * that was moved), then the installed ones. */
static void find_all(tg_runtime *rt)
{
    const char *path = secure_getenv("TAPEGRAD_BACKEND_PATH");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        char folder[PATH_MAX];
        if (n && n < sizeof folder) {
            memcpy(folder, path, n);
            folder[n] = 0;
            scan(rt, folder, false);
        }
        path += n + (path[n] == ':');
    }
    Dl_info info;
    char here[PATH_MAX + 32];
    if (dladdr((void *)&tg_reference_backend, &info) && info.dli_fname && realpath(info.dli_fname, here)) {
        char *slash = strrchr(here, '/');
        if (slash) {
            size_t room = sizeof here - (size_t)(slash - here);
            snprintf(slash, room, "/backends");
            scan(rt, here, true);
            snprintf(slash, room, "/tapegrad/backends");
            scan(rt, here, false);
        }
    }
    scan(rt, TG_PLUGIN_DIR, false);
}

/* -- handshake and opening ------------------------------------------------------------------------------- */

static tg_status refuse(tg_loaded *l, tg_status status, const char *format, ...) TG_PRINTF(3, 4);
static tg_status refuse(tg_loaded *l, tg_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(l->reason, sizeof l->reason, format, args);
    va_end(args);
    l->backend = NULL;
    l->error_status = status;
    return status;
}

static tg_status check_kernels(tg_loaded *l, const tg_backend *b)
{
    if (!b->kernels || b->n_kernels == 0)
        return refuse(l, TG_EABI, "it offers no kernels");
    if (b->n_kernels > MAX_KERNELS)
        return refuse(l, TG_EABI, "it claims %u kernels, more than the %d there can be", b->n_kernels,
                      MAX_KERNELS);
    if (b->kernel_stride < KERNEL_V1)
        return refuse(l, TG_EABI, "its kernels are %u bytes apart, ABI %d.0 needs %zu", b->kernel_stride,
                      TG_ABI_MAJOR, KERNEL_V1);
    for (uint32_t i = 0; i < b->n_kernels; i++) {
        const tg_kernel *k = (const tg_kernel *)((const char *)b->kernels + (size_t)i * b->kernel_stride);
        if (k->struct_size < KERNEL_V1 || k->struct_size > b->kernel_stride || !k->op || !k->run)
            return refuse(l, TG_EABI, "its kernel %u is incomplete", i);
    }
    return TG_OK;
}

static tg_status check_backend(tg_loaded *l, const tg_backend *b)
{
    if (!b)
        return refuse(l, TG_EABI, "its entry returned NULL");
    if (b->struct_size < offsetof(tg_backend, n_kernels))
        return refuse(l, TG_EABI, "its description has %u bytes: not a plug-in of Tapegrad's",
                      b->struct_size);
    if (b->abi_major != TG_ABI_MAJOR)
        return refuse(l, TG_EABI, "it was built for plug-in ABI %u.%u, this library has %d.%d", b->abi_major,
                      b->abi_minor, TG_ABI_MAJOR, TG_ABI_MINOR);
    if (b->struct_size < BACKEND_V1)
        return refuse(l, TG_EABI, "its description has %u bytes, ABI %d.0 needs %zu", b->struct_size,
                      TG_ABI_MAJOR, BACKEND_V1);
    if (!b->name || strcmp(b->name, l->name) != 0)
        return refuse(l, TG_EABI, "it calls itself \"%.40s\", its file \"%s\"", b->name ? b->name : "",
                      l->name);
    if (!b->score || !b->open)
        return refuse(l, TG_EABI, "it has no score or no open");
    if (b->device)
        return refuse(l, TG_EUNSUPPORTED,
                      "it keeps tensors in a device's memory, which this version cannot do");
    return check_kernels(l, b);
}

/* Loads the file and asks for the score; runs once for each backend. */
static tg_status load(tg_loaded *l)
{
    if (l->backend)
        return TG_OK;
    if (l->reason[0])
        return l->error_status; /* tried before */
    const tg_backend *b = NULL;
    if (!l->path[0]) {
        b = l->given ? l->given : tg_reference_backend();
    } else {
        void *file = dlopen(l->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!file) {
            const char *why = dlerror();
            return refuse(l, TG_EBACKEND, "%s", why ? why : "the dynamic loader refused it");
        }
        tg_backend_entry_fn entry;
        *(void **)&entry = dlsym(file, TG_BACKEND_ENTRY);
        if (!entry) {
            dlclose(file);
            return refuse(l, TG_EABI, "it is no plug-in of Tapegrad's: it exports no %s", TG_BACKEND_ENTRY);
        }
        b = entry();
    }
    tg_status status = check_backend(l, b);
    if (status)
        return status;
    const char *reason = NULL;
    l->score = b->score(&reason);
    if (l->score <= 0)
        return refuse(l, TG_EBACKEND, "this machine cannot run it: %s", reason ? reason : "its score is 0");
    snprintf(l->reason, sizeof l->reason, "%s", reason ? reason : "");
    l->backend = b;
    return TG_OK;
}

static tg_status open_one(tg_runtime *rt, tg_loaded *l)
{
    tg_status status = load(l);
    if (status || l->loaded)
        return status;
    const tg_backend *b = l->backend;
    l->host = (tg_host){
        .struct_size = sizeof(tg_host),
        .abi_major = TG_ABI_MAJOR,
        .abi_minor = TG_ABI_MINOR,
        .threads = rt->threads,
        .arg = l,
        .alloc = host_alloc,
        .free = host_free,
        .log = host_log,
        .error = host_error,
    };
    l->error_status = TG_OK;
    tg_backend_hush();
    status = b->open(&l->host, &l->state);
    if (status) {
        l->state = NULL;
        return refuse(l, status == TG_ENOMEM ? TG_ENOMEM : TG_EBACKEND, "it could not be opened: %s",
                      *said ? said : tg_status_name(status));
    }
    l->loaded = true;
    tg_backend_facts facts = {.struct_size = sizeof facts};
    if (b->facts)
        b->facts(l->state, &facts);
    snprintf(l->library, sizeof l->library, "%s", facts.library ? facts.library : "");
    snprintf(l->kernels, sizeof l->kernels, "%s", facts.kernels ? facts.kernels : "");
    l->threads = facts.threads;
    return TG_OK;
}

/* -- the chain ------------------------------------------------------------------------------------------- */

/* "blis, reference": every backend that was found. */
static const char *known(const tg_runtime *rt, char *buf, size_t size)
{
    size_t at = 0;
    buf[0] = 0;
    for (size_t i = 0; i < rt->n_backends && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? ", " : "", rt->backends[i].name);
    return buf;
}

/* Moves a backend to the chain's end. Nothing that it moves, itself included, is open yet. */
static void append(tg_runtime *rt, tg_loaded *l, bool explicitly)
{
    tg_loaded moved = *l, *to = &rt->backends[rt->n_chain];
    memmove(to + 1, to, (size_t)(l - to) * sizeof *to);
    *to = moved;
    to->in_chain = true;
    to->explicit_in_chain = explicitly;
    rt->n_chain++;
}

/* Orders rt->backends after the text; opens nothing. */
static tg_status parse(tg_runtime *rt, const char *text, const char *source)
{
    char list[512];
    for (const char *item = text;; item++) {
        item += strspn(item, " \t");
        size_t n = strcspn(item, ","), end = n;
        while (n && (item[n - 1] == ' ' || item[n - 1] == '\t'))
            n--;
        if (n == 0)
            return tg_fail(NULL, TG_EBACKEND, "%s \"%.80s\" has an empty item; known here: %s", source, text,
                           known(rt, list, sizeof list));
        tg_loaded *l = find(rt, item, n);
        if (!l)
            return tg_fail(NULL, TG_EBACKEND, "unknown backend \"%.*s\" in %s \"%.80s\"; known here: %s",
                           (int)(n > 80 ? 80 : n), item, source, text, known(rt, list, sizeof list));
        if (l->in_chain)
            return tg_fail(NULL, TG_EBACKEND, "%s \"%.80s\" names \"%s\" twice", source, text, l->name);
        append(rt, l, true);
        item += end;
        if (!*item)
            return TG_OK;
    }
}

/* Every backend that opens and whose score is above the reference's, the highest first. One that fails stays
 * outside. */
static tg_status choose(tg_runtime *rt)
{
    for (size_t i = 0; i < rt->n_backends; i++)
        if (load(&rt->backends[i]))
            tg_runtime_log(rt, TG_LOG_INFO, "backend %s: %s", rt->backends[i].name, rt->backends[i].reason);
    for (;;) {
        tg_loaded *best = NULL;
        for (size_t i = rt->n_chain; i < rt->n_backends; i++) {
            tg_loaded *l = &rt->backends[i];
            if (l->backend && l->score > 1 && l->backend != tg_reference_backend() && (!best || l->score > best->score))
                best = l;
        }
        if (!best)
            return TG_OK;
        append(rt, best, true);
        best = &rt->backends[rt->n_chain - 1];
        tg_status status = open_one(rt, best);
        if (status == TG_ENOMEM)
            return tg_fail(NULL, status, "backend \"%s\": %s", best->name, best->reason);
        if (status) {
            tg_runtime_log(rt, TG_LOG_WARNING, "backend %s: %s", best->name, best->reason);
            best->in_chain = best->explicit_in_chain = false;
            rt->n_chain--;
        }
    }
}

static tg_status open_named(tg_runtime *rt, const char *source)
{
    for (size_t i = 0; i < rt->n_chain; i++) {
        tg_loaded *l = &rt->backends[i];
        tg_status status = open_one(rt, l);
        char list[512];
        if (status)
            return tg_fail(NULL, status, "backend \"%s\" of %s cannot be used: %s; known here: %s", l->name,
                           source, l->reason, known(rt, list, sizeof list));
    }
    return TG_OK;
}

static tg_status write_chain(tg_runtime *rt)
{
    size_t at = 0;
    for (size_t i = 0; i < rt->n_chain; i++) {
        int n = snprintf(rt->chain + at, sizeof rt->chain - at, "%s%s", i ? "," : "", rt->backends[i].name);
        at += (size_t)n;
        if (at >= sizeof rt->chain)
            return tg_fail(NULL, TG_EBACKEND, "the chain of backends is longer than %zu characters",
                           sizeof rt->chain);
    }
    return TG_OK;
}

/* Finds every backend into an array that is just large enough. */
static tg_status collect(tg_runtime *rt, const tg_runtime_options *o)
{
    tg_loaded *room = tg_alloc(&rt->allocator, MAX_BACKENDS * sizeof *room);
    if (!room)
        return TG_ENOMEM;
    rt->backends = room;
    rt->n_backends = rt->n_chain = 0;
    rt->backend_capacity = MAX_BACKENDS;
    add(rt, "reference", strlen("reference"), "");
    tg_status status = add_given(rt, o->backends, o->n_backends);
    if (status == TG_OK)
        find_all(rt);
    rt->backends = tg_alloc(&rt->allocator, rt->n_backends * sizeof *room);
    if (rt->backends)
        memcpy(rt->backends, room, rt->n_backends * sizeof *room);
    tg_free(&rt->allocator, room);
    rt->backend_capacity = rt->n_backends;
    return rt->backends ? status : TG_ENOMEM;
}

static tg_status open_chain(tg_runtime *rt, const char *chain)
{
    const char *source = "the backend chain";
    if (!chain) {
        source = "TAPEGRAD_BACKEND";
        chain = getenv(source);
        if (chain && !*chain)
            chain = NULL;
    }
    bool named = chain != NULL;
    tg_status status = named ? parse(rt, chain, source) : choose(rt);
    if (status)
        return status;
    tg_loaded *reference = find(rt, "reference", strlen("reference"));
    if (!reference->in_chain)
        append(rt, reference, !named);
    status = open_named(rt, source);
    return status ? status : write_chain(rt);
}

tg_status tg_backends_open(tg_runtime *rt, const tg_runtime_options *o)
{
    tg_status status = collect(rt, o);
    if (!status)
        status = open_chain(rt, o->backend);
    if (status)
        tg_backends_close(rt);
    return status;
}

tg_status tg_backends_open_all(tg_runtime *rt)
{
    mtx_lock(&rt->lock);
    for (size_t i = rt->n_chain; i < rt->n_backends; i++)
        open_one(rt, &rt->backends[i]); /* a failure is a reason to list */
    mtx_unlock(&rt->lock);
    return TG_OK;
}

void tg_backends_close(tg_runtime *rt)
{
    for (size_t i = rt->backends ? rt->n_backends : 0; i-- > 0;) {
        tg_loaded *l = &rt->backends[i];
        if (l->loaded && l->backend->close)
            l->backend->close(l->state);
    }
    tg_free(&rt->allocator, rt->backends);
    rt->backends = NULL;
    rt->n_backends = rt->n_chain = rt->backend_capacity = 0;
}
