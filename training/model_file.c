/* Models as safetensors files. Everything is read and checked before the first tensor is written. */
#include "training/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- saving ---------------------------------------------------------------------------------------------- */
static tg_status read_state(const tg_named_tensors *state, tg_file_tensor *out, const tg_allocator *a)
{
    for (size_t i = 0; i < state->n; i++) {
        tg_desc d;
        tg_status status = tg_tensor_desc(state->tensor[i], &d);
        if (status)
            return status;
        out[i].name = state->name[i];
        out[i].dtype = (tg_dtype)d.dtype;
        out[i].ndim = d.ndim;
        memcpy(out[i].dim, d.dim, sizeof out[i].dim);
        out[i].bytes = (size_t)tg_desc_count(&d) * tg_dtype_size(d.dtype);
        void *copy = tg_alloc(a, out[i].bytes + 1);
        if (!copy)
            return TG_ENOMEM;
        out[i].data = copy;
        status = tg_tensor_read(state->tensor[i], copy, out[i].bytes);
        if (status)
            return status;
    }
    return TG_OK;
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

tg_status tg_module_save(tg_module *module, const char *path)
{
    if (!module || !path)
        return tg_fail(NULL, TG_EINVAL, "tg_module_save: the %s is NULL", module ? "path" : "module");
    const tg_named_tensors *state = tg_module_state(module);
    if (!state)
        return tg_fail_again(NULL, TG_ENOMEM);
    const tg_allocator *a = tg_runtime_allocator(tg_module_runtime(module));
    tg_file_tensor *tensors = tg_alloc_zero(a, (state->n + 1) * sizeof *tensors);
    if (!tensors)
        return tg_fail_again(NULL, TG_ENOMEM);
    tg_status status = read_state(state, tensors, a);
    if (!status)
        status = write_model(module, path, tensors, state->n);
    for (size_t i = 0; i < state->n; i++)
        tg_free(a, (void *)(uintptr_t)tensors[i].data);
    tg_free(a, tensors);
    return status;
}

/* -- what is missing, what is unexpected ----------------------------------------------------------------- */
typedef struct match {
    const tg_named_tensors *state;
    const tg_safetensors *file;
    const char *path;
    const char **sorted; /* the state's names */
} match;

static int by_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* A tied tensor is there when one of its names is. */
static bool is_missing(const match *m, size_t i)
{
    for (size_t k = 0; k < m->state->n; k++)
        if (m->state->tensor[k] == m->state->tensor[i] && tg_safetensors_find(m->file, m->state->name[k]))
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
    while (*at < tg_safetensors_count(m->file)) {
        const char *name = tg_safetensors_at(m->file, (*at)++)->name;
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
static const void *convert(const tg_file_tensor *t, tg_dtype want, void *room)
{
    if (t->dtype == want)
        return t->data;
    size_t n = t->bytes / tg_dtype_size((int32_t)t->dtype);
    if (want == TG_F64)
        for (size_t i = 0; i < n; i++)
            ((double *)room)[i] = (double)((const float *)t->data)[i];
    else
        for (size_t i = 0; i < n; i++)
            ((float *)room)[i] = (float)((const double *)t->data)[i];
    return room;
}

static tg_status write_state(const match *m, const tg_allocator *a)
{
    size_t largest = 0;
    for (size_t i = 0; i < m->state->n; i++) {
        const tg_file_tensor *t = tg_safetensors_find(m->file, m->state->name[i]);
        tg_status status = t ? check_tensor(m, i, t) : TG_OK;
        if (status)
            return status;
        if (t && t->dtype != tg_tensor_dtype(m->state->tensor[i]) && t->bytes > largest)
            largest = t->bytes;
    }
    void *room = NULL;
    if (largest && !(room = tg_alloc(a, 2 * largest)))
        return tg_fail_again(NULL, TG_ENOMEM);
    tg_status status = TG_OK;
    for (size_t i = 0; i < m->state->n && !status; i++) {
        const tg_file_tensor *t = tg_safetensors_find(m->file, m->state->name[i]);
        tg_tensor *to = m->state->tensor[i];
        tg_dtype dtype = tg_tensor_dtype(to);
        if (t)
            status =
                tg_tensor_write(to, convert(t, dtype, room),
                                t->bytes / tg_dtype_size((int32_t)t->dtype) * tg_dtype_size((int32_t)dtype));
    }
    tg_free(a, room);
    return status;
}

static tg_status load_from(tg_module *module, const tg_safetensors *file, const char *path, bool strict,
                           tg_load_report *report)
{
    tg_runtime *rt = tg_module_runtime(module);
    const tg_allocator *a = tg_runtime_allocator(rt);
    match m = {.state = tg_module_state(module), .file = file, .path = path};
    if (!m.state)
        return tg_fail_again(NULL, TG_ENOMEM);
    m.sorted = tg_alloc(a, (m.state->n + 1) * sizeof *m.sorted);
    if (!m.sorted)
        return tg_fail_again(NULL, TG_ENOMEM);
    for (size_t i = 0; i < m.state->n; i++)
        m.sorted[i] = m.state->name[i];
    qsort(m.sorted, m.state->n, sizeof *m.sorted, by_name);
    tg_load_report found = {.rt = rt};
    tg_status status = strict ? check_strict(&m) : TG_OK;
    if (!status && report)
        status = fill_names(&m, next_missing, a, &found.missing, &found.n_missing);
    if (!status && report)
        status = fill_names(&m, next_unexpected, a, &found.unexpected, &found.n_unexpected);
    if (!status)
        status = write_state(&m, a);
    tg_free(a, m.sorted);
    if (status || !report)
        tg_load_report_free(&found);
    else
        *report = found;
    return status;
}

tg_status tg_module_load_state(tg_module *module, const char *path, bool strict, tg_load_report *report)
{
    if (report)
        *report = (tg_load_report){0};
    if (!module || !path)
        return tg_fail(NULL, TG_EINVAL, "tg_module_load_state: the %s is NULL", module ? "path" : "module");
    tg_safetensors *file;
    tg_status status = tg_safetensors_open(&file, tg_module_runtime(module), path);
    if (status)
        return status;
    status = load_from(module, file, path, strict, report);
    tg_safetensors_close(file);
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
    if (module && load_from(module, file, path, true, NULL)) {
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
