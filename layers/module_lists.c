#include <string.h>

#include "layers/internal.h"

static bool lists_parameters(int which)
{
    return which != TG_LIST_BUFFERS;
}

static bool lists_buffers(int which)
{
    return which != TG_LIST_PARAMETERS;
}

/* An upper bound of the entries, and of the bytes of their names and of the prefixes. */
typedef struct extent {
    size_t n, bytes;
} extent;

static void measure_parts(const tg_parts *parts, size_t prefix, extent *e)
{
    e->n += parts->n;
    for (size_t i = 0; i < parts->n; i++)
        e->bytes += prefix + strlen(parts->at[i].name) + 1;
}

static void measure(const tg_module *m, int which, size_t prefix, extent *e)
{
    if (lists_parameters(which))
        measure_parts(&m->parameters, prefix, e);
    if (lists_buffers(which))
        measure_parts(&m->buffers, prefix, e);
    for (size_t i = 0; i < m->n_children; i++) {
        size_t longer = prefix + strlen(m->children[i]->name) + 1;
        e->bytes += longer + 1;
        measure(m->children[i], which, longer, e);
    }
}

typedef struct filling {
    const char **name;
    tg_tensor **tensor;
    size_t n;
    char *text;
    bool once; /* a tied tensor under its first name only */
} filling;

static char *join(filling *f, const char *prefix, const char *name, const char *end)
{
    char *start = f->text;
    for (const char *const *piece = (const char *const[]){prefix, name, end, NULL}; *piece; piece++) {
        size_t n = strlen(*piece);
        memcpy(f->text, *piece, n);
        f->text += n;
    }
    *f->text++ = '\0';
    return start;
}

static void fill_parts(filling *f, const tg_parts *parts, const char *prefix)
{
    for (size_t i = 0; i < parts->n; i++) {
        bool seen = false;
        for (size_t k = 0; f->once && k < f->n && !seen; k++)
            seen = f->tensor[k] == parts->at[i].tensor;
        if (seen)
            continue;
        f->name[f->n] = join(f, prefix, parts->at[i].name, "");
        f->tensor[f->n++] = parts->at[i].tensor;
    }
}

static void fill(filling *f, const tg_module *m, int which, const char *prefix)
{
    if (lists_parameters(which))
        fill_parts(f, &m->parameters, prefix);
    if (lists_buffers(which))
        fill_parts(f, &m->buffers, prefix);
    for (size_t i = 0; i < m->n_children; i++)
        fill(f, m->children[i], which, join(f, prefix, m->children[i]->name, "."));
}

static const tg_named_tensors *list(tg_module *m, int which)
{
    if (!m) {
        tg_fail(NULL, TG_EINVAL, "listing tensors: the module is NULL");
        return NULL;
    }
    tg_list *l = &m->lists[which];
    if (l->block && l->version == m->version)
        return &l->view;
    extent e = {0, 0};
    measure(m, which, 0, &e);
    const tg_allocator *a = tg_runtime_allocator(m->rt);
    char *block = tg_alloc(a, e.n * (sizeof(char *) + sizeof(tg_tensor *)) + e.bytes + 1);
    if (!block)
        return NULL;
    filling f = {.name = (const char **)(void *)block,
                 .tensor = (tg_tensor **)(void *)(block + e.n * sizeof(char *)),
                 .text = block + e.n * (sizeof(char *) + sizeof(tg_tensor *)),
                 .once = which != TG_LIST_STATE};
    fill(&f, m, which, "");
    tg_free(a, l->block);
    *l = (tg_list){
        .view = {.n = f.n, .name = f.name, .tensor = f.tensor}, .version = m->version, .block = block};
    return &l->view;
}

const tg_named_tensors *tg_module_parameters(tg_module *module)
{
    return list(module, TG_LIST_PARAMETERS);
}

const tg_named_tensors *tg_module_buffers(tg_module *module)
{
    return list(module, TG_LIST_BUFFERS);
}

const tg_named_tensors *tg_module_state(tg_module *module)
{
    return list(module, TG_LIST_STATE);
}

void tg_module_drop_lists(tg_module *module)
{
    for (int i = 0; i < TG_N_LISTS; i++)
        tg_free(tg_runtime_allocator(module->rt), module->lists[i].block);
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t fnv(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

tg_status tg_module_checksum(tg_module *module, uint64_t *out)
{
    if (!out)
        return tg_fail(NULL, TG_EINVAL, "tg_module_checksum: out is NULL");
    const tg_named_tensors *state = tg_module_state(module);
    if (!state)
        return module ? TG_ENOMEM : TG_EINVAL;
    const tg_allocator *a = tg_runtime_allocator(module->rt);
    size_t largest = 1;
    for (size_t i = 0; i < state->n; i++) {
        size_t bytes =
            (size_t)tg_tensor_count(state->tensor[i]) * tg_dtype_size(tg_tensor_dtype(state->tensor[i]));
        if (bytes > largest)
            largest = bytes;
    }
    void *copy = tg_alloc(a, largest);
    if (!copy)
        return TG_ENOMEM;
    uint64_t h = 0xcbf29ce484222325u;
    tg_status status = TG_OK;
    for (size_t i = 0; i < state->n && !status; i++) {
        tg_desc d;
        status = tg_tensor_desc(state->tensor[i], &d);
        if (status)
            break;
        size_t bytes = (size_t)tg_desc_count(&d) * tg_dtype_size(d.dtype);
        h = fnv(h, state->name[i], strlen(state->name[i]) + 1);
        h = fnv(h, &d.dtype, sizeof d.dtype);
        h = fnv(h, &d.ndim, sizeof d.ndim);
        h = fnv(h, d.dim, (size_t)d.ndim * sizeof *d.dim);
        status = tg_tensor_read(state->tensor[i], copy, bytes);
        if (!status)
            h = fnv(h, copy, bytes);
    }
    tg_free(a, copy);
    if (!status)
        *out = h;
    return status;
}
