/* Models as safetensors files. Everything is read and checked before the first tensor is written. */
#include "training/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- named tensors, of a file or a module, under the names that rules make of theirs -----------------------
 */
typedef struct entries {
    const tg_allocator *a;
    tg_file_tensor *at;
    tg_tensor **tensor; /* of a module: data is read when it is wanted */
    size_t n, capacity, tensor_capacity;
} entries;

static void drop_entries(entries *e)
{
    for (size_t i = 0; i < e->n; i++)
        tg_free(e->a, (char *)(uintptr_t)e->at[i].name);
    tg_free(e->a, e->at);
    tg_free(e->a, e->tensor);
}

static tg_status add_entry(entries *e, const tg_rename *rules, size_t n, const tg_file_tensor *t,
                           tg_tensor *tensor)
{
    char name[TG_NAME_MAX];
    tg_status status = n ? tg_rename_apply(rules, n, t->name, name) : TG_OK;
    if (status || (n && !*name))
        return status;
    if (tg_grow(e->a, &e->at, &e->capacity, e->n + 1, sizeof *e->at) ||
        tg_grow(e->a, &e->tensor, &e->tensor_capacity, e->n + 1, sizeof(tg_tensor *)))
        return tg_fail_again(NULL, TG_ENOMEM);
    e->at[e->n] = *t;
    e->tensor[e->n] = tensor;
    if (!(e->at[e->n].name = tg_strdup(e->a, n ? name : t->name)))
        return tg_fail_again(NULL, TG_ENOMEM);
    e->n++;
    return TG_OK;
}

static tg_status entries_of_module(entries *e, tg_module *module, const tg_rename *rules, size_t n)
{
    const tg_named_tensors *state = tg_module_state(module);
    tg_status status = state ? TG_OK : tg_fail_again(NULL, TG_ENOMEM);
    for (size_t i = 0; !status && i < state->n; i++) {
        tg_desc d;
        if ((status = tg_tensor_desc(state->tensor[i], &d)))
            break;
        tg_file_tensor t = {.name = state->name[i], .dtype = (tg_dtype)d.dtype, .ndim = d.ndim};
        memcpy(t.dim, d.dim, sizeof t.dim);
        t.bytes = (size_t)tg_desc_count(&d) * tg_dtype_size(d.dtype);
        status = add_entry(e, rules, n, &t, state->tensor[i]);
    }
    return status;
}

static tg_status entries_of_file(entries *e, const tg_safetensors *file, const tg_rename *rules, size_t n)
{
    tg_status status = TG_OK;
    for (size_t i = 0; i < tg_safetensors_count(file) && !status; i++)
        status = add_entry(e, rules, n, tg_safetensors_at(file, i), NULL);
    return status;
}

/* -- saving ---------------------------------------------------------------------------------------------- */
static tg_status write_state_alone(tg_module *module, const char *path, const tg_file_tensor *tensors,
                                   size_t n)
{
    return tg_safetensors_write(tg_module_runtime(module), path, tensors, n, (const char *[]){"format"},
                                (const char *[]){"pt"}, 1);
}

static tg_status write_model(tg_module *module, const char *path, const tg_file_tensor *tensors, size_t n)
{
    static const char *const keys[] = {"format", TG_ARCHITECTURE_KEY};
    tg_status status = TG_OK;
    json_t *architecture = tg_architecture_describe(module, &status);
    if (!architecture)
        return status;
    char *text = json_dumps(architecture, JSON_COMPACT);
    /* "pt" is what PyTorch's loaders look for. */
    const char *values[] = {"pt", text};
    status = text ? tg_safetensors_write(tg_module_runtime(module), path, tensors, n, keys, values, 2)
                  : tg_fail(NULL, TG_ENOMEM, "tg_module_save: out of memory for the architecture");
    free(text);
    json_decref(architecture);
    return status;
}

static tg_status save(tg_module *module, const char *path, const tg_rename *rules, size_t n, bool model)
{
    entries e = {.a = tg_runtime_allocator(tg_module_runtime(module))};
    tg_status status = entries_of_module(&e, module, rules, n);
    size_t filled = 0;
    for (; filled < e.n && !status; filled++) {
        void *copy = tg_alloc(e.a, e.at[filled].bytes + 1);
        e.at[filled].data = copy;
        status = copy ? tg_tensor_read(e.tensor[filled], copy, e.at[filled].bytes)
                      : tg_fail_again(NULL, TG_ENOMEM);
    }
    if (!status)
        status = (model ? write_model : write_state_alone)(module, path, e.at, e.n);
    while (filled-- > 0)
        tg_free(e.a, (void *)(uintptr_t)e.at[filled].data);
    drop_entries(&e);
    return status;
}

tg_status tg_module_save(tg_module *module, const char *path)
{
    if (!module || !path)
        return tg_fail(NULL, TG_EINVAL, "tg_module_save: the %s is NULL", module ? "path" : "module");
    return save(module, path, NULL, 0, true);
}

tg_status tg_module_save_state(tg_module *module, const char *path, const tg_rename *rules, size_t n)
{
    if (!module || !path)
        return tg_fail(NULL, TG_EINVAL, "tg_module_save_state: the %s is NULL", module ? "path" : "module");
    tg_status status = tg_rename_check("tg_module_save_state", rules, n);
    return status ? status : save(module, path, rules, n, false);
}

/* -- what is missing, what is unexpected ----------------------------------------------------------------- */
typedef struct match {
    const tg_named_tensors *state;
    const entries *from;
    const char *path;
    const char **sorted;          /* the state's names          */
    const tg_file_tensor **found; /* the entries, by their names */
} match;

static int by_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static int by_entry(const void *a, const void *b)
{
    const tg_file_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static const tg_file_tensor *find(const match *m, const char *name)
{
    const tg_file_tensor wanted = {.name = name}, *key = &wanted;
    const tg_file_tensor *const *t =
        m->from->n ? bsearch(&key, m->found, m->from->n, sizeof(tg_file_tensor *), by_entry) : NULL;
    return t ? *t : NULL;
}

/* A tied tensor is there when one of its names is. */
static bool is_missing(const match *m, size_t i)
{
    for (size_t k = 0; k < m->state->n; k++)
        if (m->state->tensor[k] == m->state->tensor[i] && find(m, m->state->name[k]))
            return false;
    return true;
}

static bool is_unexpected(const match *m, const char *name)
{
    return m->state->n == 0 || !bsearch(&name, m->sorted, m->state->n, sizeof *m->sorted, by_name);
}

static const char *next_missing(const match *m, size_t *at)
{
    while (*at < m->state->n) {
        size_t i = (*at)++;
        if (is_missing(m, i))
            return m->state->name[i];
    }
    return NULL;
}

static const char *next_unexpected(const match *m, size_t *at)
{
    while (*at < m->from->n) {
        const char *name = m->from->at[(*at)++].name;
        if (is_unexpected(m, name))
            return name;
    }
    return NULL;
}

static const char *name_is(size_t n)
{
    return n == 1 ? "name is" : "names are";
}

static const char *first_is(size_t n)
{
    return n == 1 ? ": " : ", the first is ";
}

static tg_status check_strict(const match *m)
{
    size_t at = 0, missing = 0, unexpected = 0;
    const char *first_missing = NULL, *first_unexpected = NULL;
    for (const char *s; (s = next_missing(m, &at)); missing++)
        first_missing = first_missing ? first_missing : s;
    at = 0;
    for (const char *s; (s = next_unexpected(m, &at)); unexpected++)
        first_unexpected = first_unexpected ? first_unexpected : s;
    if (missing && unexpected)
        return tg_fail(NULL, TG_EFORMAT, "%s: %zu %s missing%s%s; %zu %s unexpected%s%s", m->path, missing,
                       name_is(missing), first_is(missing), first_missing, unexpected, name_is(unexpected),
                       first_is(unexpected), first_unexpected);
    if (missing)
        return tg_fail(NULL, TG_EFORMAT, "%s: %zu %s missing%s%s", m->path, missing, name_is(missing),
                       first_is(missing), first_missing);
    if (unexpected)
        return tg_fail(NULL, TG_EFORMAT, "%s: %zu %s unexpected%s%s", m->path, unexpected,
                       name_is(unexpected), first_is(unexpected), first_unexpected);
    return TG_OK;
}

static tg_status fill_names(const match *m, const char *(*next)(const match *, size_t *),
                            const tg_allocator *a, char ***names, size_t *n)
{
    size_t capacity = 0, at = 0;
    for (const char *s; (s = next(m, &at));) {
        if (tg_grow(a, names, &capacity, *n + 1, sizeof **names))
            return tg_fail_again(NULL, TG_ENOMEM);
        if (!((*names)[*n] = tg_strdup(a, s)))
            return tg_fail_again(NULL, TG_ENOMEM);
        ++*n;
    }
    return TG_OK;
}

void tg_load_report_free(tg_load_report *report)
{
    if (!report || !report->rt)
        return;
    const tg_allocator *a = tg_runtime_allocator(report->rt);
    for (size_t i = 0; i < report->n_missing; i++)
        tg_free(a, report->missing[i]);
    for (size_t i = 0; i < report->n_unexpected; i++)
        tg_free(a, report->unexpected[i]);
    tg_free(a, report->missing);
    tg_free(a, report->unexpected);
    *report = (tg_load_report){0};
}

/* -- loading --------------------------------------------------------------------------------------------- */
static tg_status check_tensor(const match *m, size_t i, const tg_file_tensor *t)
{
    tg_desc d, found;
    char want[96], got[96];
    tg_status status = tg_tensor_desc(m->state->tensor[i], &d);
    if (!status)
        status = tg_desc_make(&found, t->dtype, t->dim, (size_t)t->ndim);
    if (status)
        return status;
    tg_desc_format(&d, want, sizeof want);
    tg_desc_format(&found, got, sizeof got);
    if (!tg_desc_same_dims(&d, &found))
        return tg_fail(NULL, TG_ESHAPE, "%s: %s is %s, the model's is %s", m->path, m->state->name[i], got,
                       want);
    if (d.dtype != found.dtype && !(tg_dtype_is_float(d.dtype) && tg_dtype_is_float(found.dtype)))
        return tg_fail(NULL, TG_EDTYPE, "%s: %s is %s, the model's is %s", m->path, m->state->name[i], got,
                       want);
    /* A write to a dense tensor is a copy, which cannot fail half-way through the model. */
    if (!tg_desc_is_dense(&d))
        return tg_fail(NULL, TG_EUNSUPPORTED,
                       "%s: the model's %s is a strided view, which no file is loaded into", m->path,
                       m->state->name[i]);
    return TG_OK;
}

/* The file's elements in the model's dtype: in `room` where they differ. */
static const void *convert(const tg_file_tensor *t, const void *data, tg_dtype want, void *room)
{
    if (t->dtype == want)
        return data;
    size_t n = t->bytes / tg_dtype_size((int32_t)t->dtype);
    if (want == TG_F64)
        for (size_t i = 0; i < n; i++)
            ((double *)room)[i] = (double)((const float *)data)[i];
    else
        for (size_t i = 0; i < n; i++)
            ((float *)room)[i] = (float)((const double *)data)[i];
    return room;
}

static tg_status write_one(const match *m, tg_tensor *to, const tg_file_tensor *t, char *room, size_t largest)
{
    const tg_dtype dtype = tg_tensor_dtype(to);
    const size_t bytes = t->bytes / tg_dtype_size((int32_t)t->dtype) * tg_dtype_size((int32_t)dtype);
    tg_tensor *from = m->from->tensor[t - m->from->at];
    tg_status status = from ? tg_tensor_read(from, room + 2 * largest, t->bytes) : TG_OK;
    return status ? status
                  : tg_tensor_write(to, convert(t, from ? room + 2 * largest : t->data, dtype, room), bytes);
}

static tg_status write_state(const match *m, const tg_allocator *a)
{
    size_t largest = 0;
    for (size_t i = 0; i < m->state->n; i++) {
        const tg_file_tensor *t = find(m, m->state->name[i]);
        tg_status status = t ? check_tensor(m, i, t) : TG_OK;
        if (status)
            return status;
        if (t && t->bytes > largest &&
            (m->from->tensor[t - m->from->at] || t->dtype != tg_tensor_dtype(m->state->tensor[i])))
            largest = t->bytes;
    }
    char *room = NULL; /* twice as much for the converted one, then what was read */
    if (largest && !(room = tg_alloc(a, 3 * largest)))
        return tg_fail_again(NULL, TG_ENOMEM);
    tg_status status = TG_OK;
    for (size_t i = 0; i < m->state->n && !status; i++) {
        const tg_file_tensor *t = find(m, m->state->name[i]);
        status = t ? write_one(m, m->state->tensor[i], t, room, largest) : TG_OK;
    }
    tg_free(a, room);
    return status;
}

static tg_status sort_names(match *m, const tg_allocator *a)
{
    m->sorted = tg_alloc(a, (m->state->n + 1) * sizeof *m->sorted);
    m->found = tg_alloc(a, (m->from->n + 1) * sizeof(tg_file_tensor *));
    if (!m->sorted || !m->found)
        return tg_fail_again(NULL, TG_ENOMEM);
    for (size_t i = 0; i < m->state->n; i++)
        m->sorted[i] = m->state->name[i];
    for (size_t i = 0; i < m->from->n; i++)
        m->found[i] = &m->from->at[i];
    qsort(m->sorted, m->state->n, sizeof *m->sorted, by_name);
    qsort(m->found, m->from->n, sizeof(tg_file_tensor *), by_entry);
    for (size_t i = 1; i < m->from->n; i++)
        if (by_entry(&m->found[i - 1], &m->found[i]) == 0)
            return tg_fail(NULL, TG_EFORMAT, "%s: two names become %s", m->path, m->found[i]->name);
    return TG_OK;
}

static tg_status load_from(tg_module *module, const entries *from, const char *path, bool strict,
                           tg_load_report *report)
{
    tg_runtime *rt = tg_module_runtime(module);
    const tg_allocator *a = tg_runtime_allocator(rt);
    match m = {.state = tg_module_state(module), .from = from, .path = path};
    if (!m.state)
        return tg_fail_again(NULL, TG_ENOMEM);
    tg_load_report found = {.rt = rt};
    tg_status status = sort_names(&m, a);
    if (!status && strict)
        status = check_strict(&m);
    if (!status && report)
        status = fill_names(&m, next_missing, a, &found.missing, &found.n_missing);
    if (!status && report)
        status = fill_names(&m, next_unexpected, a, &found.unexpected, &found.n_unexpected);
    if (!status)
        status = write_state(&m, a);
    tg_free(a, m.sorted);
    tg_free(a, m.found);
    if (status || !report)
        tg_load_report_free(&found);
    else
        *report = found;
    return status;
}

static tg_status load_file(tg_module *module, const tg_safetensors *file, const char *path,
                           const tg_rename *rules, size_t n, bool strict, tg_load_report *report)
{
    entries e = {.a = tg_runtime_allocator(tg_module_runtime(module))};
    tg_status status = entries_of_file(&e, file, rules, n);
    if (!status)
        status = load_from(module, &e, path, strict, report);
    drop_entries(&e);
    return status;
}

static tg_status load_state(const char *who, tg_module *module, const char *path, const tg_rename *rules,
                            size_t n, bool strict, tg_load_report *report)
{
    if (report)
        *report = (tg_load_report){0};
    if (!module || !path)
        return tg_fail(NULL, TG_EINVAL, "%s: the %s is NULL", who, module ? "path" : "module");
    tg_safetensors *file;
    tg_status status = tg_rename_check(who, rules, n);
    if (!status)
        status = tg_safetensors_open(&file, tg_module_runtime(module), path);
    if (status)
        return status;
    status = load_file(module, file, path, rules, n, strict, report);
    tg_safetensors_close(file);
    return status;
}

tg_status tg_module_load_state(tg_module *module, const char *path, bool strict, tg_load_report *report)
{
    return load_state("tg_module_load_state", module, path, NULL, 0, strict, report);
}

tg_status tg_module_load_state_renamed(tg_module *module, const char *path, const tg_rename *rules, size_t n,
                                       bool strict, tg_load_report *report)
{
    return load_state("tg_module_load_state_renamed", module, path, rules, n, strict, report);
}

tg_status tg_module_copy_state(tg_module *to, tg_module *from, const tg_rename *rules, size_t n, bool strict,
                               tg_load_report *report)
{
    static const char who[] = "tg_module_copy_state";
    if (report)
        *report = (tg_load_report){0};
    if (!to || !from)
        return tg_fail(NULL, TG_EINVAL, "%s: the %s is NULL", who,
                       to ? "module to copy from" : "module to copy to");
    entries e = {.a = tg_runtime_allocator(tg_module_runtime(to))};
    tg_status status = tg_rename_check(who, rules, n);
    if (!status)
        status = entries_of_module(&e, from, rules, n);
    if (!status)
        status = load_from(to, &e, who, strict, report);
    drop_entries(&e);
    return status;
}

static tg_module *build_from(tg_runtime *rt, const tg_safetensors *file, const char *path)
{
    const char *text = tg_safetensors_metadata(file, TG_ARCHITECTURE_KEY);
    tg_status status = TG_OK;
    json_error_t error;
    if (!text) {
        tg_fail(NULL, TG_EFORMAT,
                "%s: no architecture in it (metadata \"" TG_ARCHITECTURE_KEY
                "\"); make the model and use tg_module_load_state",
                path);
        return NULL;
    }
    json_t *description = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!description) {
        tg_fail(NULL, TG_EFORMAT, "%s: its architecture is not valid JSON: %s", path, error.text);
        return NULL;
    }
    tg_module *module = tg_architecture_build(rt, description, file, path, &status);
    json_decref(description);
    if (module && load_file(module, file, path, NULL, 0, true, NULL)) {
        tg_module_destroy(module);
        return NULL;
    }
    return module;
}

tg_module *tg_module_load(tg_runtime *rt, const char *path)
{
    if (!rt || !path) {
        tg_fail(NULL, TG_EINVAL, "tg_module_load: the %s is NULL", rt ? "path" : "runtime");
        return NULL;
    }
    tg_safetensors *file;
    if (tg_safetensors_open(&file, rt, path))
        return NULL;
    /* The initial values that are overwritten at once must not cost draws. */
    tg_random_state before = tg_runtime_random_state(rt);
    tg_module *module = build_from(rt, file, path);
    tg_runtime_set_random_state(rt, before);
    tg_safetensors_close(file);
    return module;
}
