/* A training run as one safetensors file. */
#include "training/save.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* -- the walk -------------------------------------------------------------------------------------------- */
/* The name's, without a dot at the end. */
static int bare_length(const tg_walk *w)
{
    return (int)w->length - (w->length && w->name[w->length - 1] == '.');
}

void tg_walk_fail(tg_walk *w, tg_status status, const char *format, ...)
{
    char why[512];
    va_list args;
    if (w->status)
        return;
    va_start(args, format);
    tg_vformat(why, sizeof why, format, args);
    va_end(args);
    w->status = tg_fail(NULL, status, "%s: %.*s: %s", w->path, bare_length(w), w->name, why);
}

void tg_walk_failed(tg_walk *w, tg_status status)
{
    char why[512];
    snprintf(why, sizeof why, "%s", tg_error_message());
    tg_walk_fail(w, status, "%s", why);
}

size_t tg_walk_enter(tg_walk *w, const char *format, ...)
{
    const size_t before = w->length;
    va_list args;
    va_start(args, format);
    const int more = tg_vformat(w->name + before, sizeof w->name - before, format, args);
    va_end(args);
    if (more < 0 || (size_t)more >= sizeof w->name - before) {
        w->name[before] = 0;
        tg_walk_fail(w, TG_EINVAL, "a name of more than %d bytes", TG_NAME_MAX - 1);
    } else {
        w->length += (size_t)more;
    }
    return before;
}

void tg_walk_leave(tg_walk *w, size_t before)
{
    w->name[w->length = before] = 0;
}

static void *copy_of(tg_walk *w, const char *name, const void *data, size_t bytes)
{
    const size_t behind = (strlen(name) + 8) / 8 * 8; /* the numbers are aligned */
    char *block = tg_alloc(tg_runtime_allocator(w->rt), behind + bytes);
    if (!block) {
        w->status = tg_fail_again(NULL, TG_ENOMEM);
        return NULL;
    }
    memcpy(block, name, strlen(name) + 1);
    if (bytes)
        memcpy(block + behind, data, bytes);
    return block;
}

/* `data` is copied, or stays where it is until the file is written. */
static void add(tg_walk *w, const tg_desc *d, const void *data, bool copied)
{
    const tg_allocator *a = tg_runtime_allocator(w->rt);
    tg_file_tensor t = {.dtype = (tg_dtype)d->dtype, .ndim = d->ndim, .data = data};
    t.bytes = (size_t)tg_desc_count(d) * tg_dtype_size(d->dtype);
    memcpy(t.dim, d->dim, sizeof t.dim);
    if (tg_grow(a, &w->at, &w->capacity, w->n + 1, sizeof *w->at)) {
        w->status = tg_fail_again(NULL, TG_ENOMEM);
        return;
    }
    char *block = copy_of(w, w->name, data, copied ? t.bytes : 0);
    if (!block)
        return;
    t.name = block;
    if (copied)
        t.data = block + (w->length + 8) / 8 * 8;
    w->at[w->n++] = t;
}

/* The file's tensor of this name: NULL where it fails. */
static const tg_file_tensor *wanted(tg_walk *w, const tg_desc *d)
{
    const tg_file_tensor *t = tg_safetensors_find(w->file, w->name);
    tg_desc found;
    char want[96], got[96];
    if (!t) {
        tg_walk_fail(w, TG_EFORMAT, "is missing");
        return NULL;
    }
    w->seen[tg_safetensors_index(w->file, t)] = true;
    if (tg_desc_make(&found, t->dtype, t->dim, (size_t)t->ndim)) {
        tg_walk_failed(w, TG_ESHAPE);
        return NULL;
    }
    if (!tg_desc_same_dims(d, &found) || d->dtype != found.dtype) {
        tg_walk_fail(w, d->dtype != found.dtype ? TG_EDTYPE : TG_ESHAPE, "is %s in the file, expected %s",
                     tg_desc_format(&found, got, sizeof got), tg_desc_format(d, want, sizeof want));
        return NULL;
    }
    return t;
}

bool tg_walk_has(tg_walk *w, const char *name)
{
    const size_t before = tg_walk_enter(w, "%s", name);
    const bool found = !w->status && tg_safetensors_find(w->file, w->name);
    tg_walk_leave(w, before);
    return found;
}

static void take(const tg_file_tensor *t, void *at)
{
    memcpy(at, t->data, t->bytes);
    if (t->dtype == TG_BOOL)
        for (size_t i = 0; i < t->bytes; i++)
            ((bool *)at)[i] = ((const unsigned char *)t->data)[i] != 0;
}

const void *tg_walk_numbers(tg_walk *w, const char *name, tg_dtype dtype, int64_t rows, int64_t columns,
                            void *at)
{
    const size_t before = tg_walk_enter(w, "%s", name);
    const tg_file_tensor *t = NULL;
    tg_desc d;
    if (!w->status && tg_desc_make(&d, dtype, (int64_t[]){rows, columns}, rows < 0 ? 0 : columns ? 2 : 1))
        w->status = tg_fail_again(NULL, TG_ESHAPE);
    if (!w->status && w->pass == TG_SAVE)
        add(w, &d, at, true);
    else if (!w->status && (t = wanted(w, &d)) && at && t->bytes)
        take(t, at);
    tg_walk_leave(w, before);
    return t ? t->data : NULL;
}

/* A write to a dense tensor of the caller's is a copy, which cannot fail half-way through a file. */
static bool is_plain(const tg_value *v)
{
    return v->flags & TG_V_DENSE && v->flags & TG_V_OWNER;
}

void tg_walk_tensor(tg_walk *w, const char *name, tg_tensor *t)
{
    const size_t before = tg_walk_enter(w, "%s", name);
    const tg_file_tensor *from;
    const tg_value *v = w->status ? NULL : tg_resolve(t);
    if (!w->status && !v)
        tg_walk_fail(w, TG_ESTALE, "was destroyed");
    else if (!w->status && !is_plain(v))
        tg_walk_fail(w, TG_EUNSUPPORTED, "is a strided view, which no file is loaded into");
    else if (!w->status && w->pass == TG_SAVE)
        add(w, v->desc, tg_value_data(v), false);
    else if (!w->status && (from = wanted(w, v->desc)) && w->pass == TG_TAKE)
        w->status = tg_tensor_write(t, from->data, from->bytes);
    tg_walk_leave(w, before);
}

static void add_kind(tg_walk *w, const char *key, const char *kind)
{
    const tg_allocator *a = tg_runtime_allocator(w->rt);
    if (tg_grow(a, &w->key, &w->key_capacity, w->n_kinds + 1, sizeof *w->key) ||
        tg_grow(a, &w->kind, &w->kind_capacity, w->n_kinds + 1, sizeof *w->kind)) {
        w->status = tg_fail_again(NULL, TG_ENOMEM);
        return;
    }
    w->kind[w->n_kinds] = kind;
    if ((w->key[w->n_kinds] = copy_of(w, key, NULL, 0)))
        w->n_kinds++;
}

void tg_walk_kind(tg_walk *w, const char *kind)
{
    char key[TG_NAME_MAX + 8];
    if (w->status || w->pass == TG_TAKE)
        return;
    snprintf(key, sizeof key, "class.%.*s", bare_length(w), w->name);
    if (w->pass == TG_SAVE) {
        add_kind(w, key, kind);
        return;
    }
    const char *found = tg_safetensors_metadata(w->file, key);
    if (!found)
        tg_walk_fail(w, TG_EFORMAT, "there is no such entry in the file, expected %s", kind);
    else if (strcmp(found, kind) != 0)
        tg_walk_fail(w, TG_EFORMAT, "is %.64s in the file, expected %s", found, kind);
}

/* -- entries --------------------------------------------------------------------------------------------- */
void tg_state_walk(tg_walk *w, tg_module *m)
{
    const tg_named_tensors *state = tg_module_state(m);
    if (!state)
        w->status = tg_fail_again(NULL, TG_ENOMEM);
    for (size_t i = 0; state && i < state->n; i++)
        tg_walk_tensor(w, state->name[i], state->tensor[i]);
}

static void walk_generators(tg_walk *w, tg_tape *tape)
{
    tg_random_state state[2] = {tg_tape_random_state(tape), tg_runtime_random_state(w->rt)};
    tg_walk_numbers(w, "state", TG_I64, 2, 2, state);
    if (w->pass != TG_TAKE)
        return;
    tg_tape_set_random_state(tape, state[0]);
    tg_runtime_set_random_state(w->rt, state[1]);
}

static void find_unexpected(tg_walk *w)
{
    for (size_t i = 0; i < tg_safetensors_count(w->file) && !w->status; i++) {
        const char *name = tg_safetensors_at(w->file, i)->name;
        if (!w->seen[i] && strncmp(name, w->name, w->length) == 0)
            w->status = tg_fail(NULL, TG_EFORMAT, "%s: %s is unexpected: there is nothing of this name here",
                                w->path, name);
    }
}

static void walk_entry(tg_walk *w, const tg_saved *e)
{
    const bool number = e->integer || e->real;
    const size_t before = tg_walk_enter(w, number ? "%s" : "%s.", e->name);
    if (e->module || e->average)
        tg_walk_kind(w, e->module ? "Module" : "AveragedModel");
    if (number)
        tg_walk_kind(w, e->integer ? "integer" : "real");
    if (e->tape)
        tg_walk_kind(w, "Generator");
    if (e->module)
        tg_state_walk(w, e->module);
    if (e->optimizer)
        tg_optimizer_walk(w, e->optimizer);
    if (e->scheduler)
        tg_scheduler_walk(w, e->scheduler);
    if (e->average)
        tg_averaged_walk(w, e->average);
    if (e->tape)
        walk_generators(w, e->tape);
    if (e->loader)
        tg_loader_walk(w, e->loader);
    void *at = e->integer ? (void *)e->integer : e->real;
    if (number)
        tg_walk_numbers(w, "", e->integer ? TG_I64 : TG_F64, -1, 0, w->pass == TG_CHECK ? NULL : at);
    if (w->pass == TG_CHECK && !number)
        find_unexpected(w);
    tg_walk_leave(w, before);
}

static tg_status check_entry(const char *what, tg_runtime *rt, const tg_saved *entries, size_t i)
{
    const tg_saved *e = &entries[i];
    const void *const object[] = {e->module, e->optimizer, e->scheduler, e->average,
                                  e->tape,   e->loader,    e->integer,   e->real};
    const tg_runtime *whose = e->module      ? tg_module_runtime(e->module)
                              : e->optimizer ? tg_optimizer_runtime(e->optimizer)
                              : e->scheduler ? tg_scheduler_runtime(e->scheduler)
                              : e->average   ? tg_module_runtime(tg_averaged_module(e->average))
                              : e->tape      ? tg_tape_runtime(e->tape)
                              : e->loader    ? tg_loader_runtime(e->loader)
                                             : rt;
    size_t n = 0;
    for (size_t k = 0; k < sizeof object / sizeof *object; k++)
        n += object[k] != NULL;
    if (!e->name || !*e->name || strchr(e->name, '.'))
        return tg_fail(NULL, TG_EINVAL, "%s: entry %zu is called \"%s\", expected a name without a dot", what,
                       i, e->name ? e->name : "");
    for (size_t k = 0; k < i; k++)
        if (strcmp(entries[k].name, e->name) == 0)
            return tg_fail(NULL, TG_EINVAL, "%s: entries %zu and %zu are both called %s", what, k, i,
                           e->name);
    if (n != 1)
        return tg_fail(NULL, TG_EINVAL, "%s: entry %s has %zu objects, expected one", what, e->name, n);
    return whose == rt ? TG_OK
                       : tg_fail(NULL, TG_EINVAL, "%s: entry %s belongs to another runtime", what, e->name);
}

static tg_status check_call(const char *what, tg_runtime *rt, const char *path, const tg_saved *entries,
                            size_t n)
{
    if (!rt || !path || (n && !entries))
        return tg_null(NULL, what, !rt ? "the runtime" : !path ? "the path" : "the list of entries");
    tg_status status = TG_OK;
    for (size_t i = 0; i < n && !status; i++)
        status = check_entry(what, rt, entries, i);
    return status;
}

/* -- saving and loading ---------------------------------------------------------------------------------- */
tg_status tg_save(tg_runtime *rt, const char *path, const tg_saved *entries, size_t n)
{
    tg_status status = check_call("tg_save", rt, path, entries, n);
    if (status)
        return status;
    const tg_allocator *a = tg_runtime_allocator(rt);
    tg_walk w = {.rt = rt, .path = "tg_save", .pass = TG_SAVE};
    add_kind(&w, "format", "pt"); /* what PyTorch's loaders look for */
    for (size_t i = 0; i < n && !w.status; i++)
        walk_entry(&w, &entries[i]);
    if (!w.status)
        w.status = tg_safetensors_write(rt, path, w.at, w.n, w.key, w.kind, w.n_kinds);
    while (w.n > 0)
        tg_free(a, (char *)(uintptr_t)w.at[--w.n].name);
    while (w.n_kinds > 0)
        tg_free(a, (char *)(uintptr_t)w.key[--w.n_kinds]);
    tg_free(a, w.at);
    tg_free(a, w.key);
    tg_free(a, w.kind);
    return w.status;
}

tg_status tg_load(tg_runtime *rt, const char *path, const tg_saved *entries, size_t n)
{
    tg_walk w = {.rt = rt, .path = path};
    tg_status status = check_call("tg_load", rt, path, entries, n);
    if (!status)
        status = tg_safetensors_open(&w.file, rt, path);
    if (status)
        return status;
    const tg_allocator *a = tg_runtime_allocator(rt);
    if (!(w.seen = tg_alloc_zero(a, tg_safetensors_count(w.file) + 1)))
        w.status = tg_fail_again(NULL, TG_ENOMEM);
    for (w.pass = TG_CHECK; w.pass <= TG_TAKE && !w.status; w.pass++)
        for (size_t i = 0; i < n && !w.status; i++)
            walk_entry(&w, &entries[i]);
    tg_free(a, w.seen);
    tg_safetensors_close(w.file);
    return w.status;
}
