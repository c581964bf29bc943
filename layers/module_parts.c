#include <string.h>

#include <tapegrad/module_tools.h>

#include "layers/internal.h"

static tg_part *find_part(const tg_parts *parts, const char *name, size_t length)
{
    for (size_t i = 0; i < parts->n; i++)
        if (strncmp(parts->at[i].name, name, length) == 0 && !parts->at[i].name[length])
            return &parts->at[i];
    return NULL;
}

static tg_module *find_child(const tg_module *m, const char *name, size_t length)
{
    for (size_t i = 0; i < m->n_children; i++)
        if (strncmp(m->children[i]->name, name, length) == 0 && !m->children[i]->name[length])
            return m->children[i];
    return NULL;
}

static _Thread_local int64_t allowed = INT64_MAX;

int64_t tg_parts_allow(int64_t elements)
{
    int64_t before = allowed;
    allowed = elements;
    return before;
}

static tg_status make_tensor(tg_module *m, const char *name, tg_dtype dtype, const int64_t *dims, size_t ndim,
                             tg_tensor **out)
{
    tg_desc d;
    char text[128];
    tg_status status = tg_desc_make(&d, dtype, dims, ndim);
    if (status)
        return status;
    int64_t count = tg_desc_count(&d);
    if (count > allowed)
        return tg_layer_fail(m, NULL, TG_ESHAPE, "%s would be %s, but only %lld elements are left in the file",
                             name, tg_desc_format(&d, text, sizeof text), (long long)allowed);
    status = tg_tensor_create(out, m->rt, dtype, dims, ndim);
    if (!status && allowed != INT64_MAX)
        allowed -= count;
    return status;
}

static void changed(tg_module *m)
{
    for (; m; m = m->parent)
        m->version++;
}

static tg_status check_name(const tg_module *m, const char *what, const char *name)
{
    if (!m)
        return tg_fail(NULL, TG_EINVAL, "adding a %s: the module is NULL", what);
    if (!name || !*name || strchr(name, '.'))
        return tg_layer_fail(m, NULL, TG_EINVAL,
                             "\"%s\" is no name for a %s: it must not be empty or hold a dot",
                             name ? name : "", what);
    size_t length = strlen(name);
    if (find_part(&m->parameters, name, length) || find_part(&m->buffers, name, length) ||
        find_child(m, name, length))
        return tg_layer_fail(m, NULL, TG_EINVAL, "the name \"%s\" is taken", name);
    return TG_OK;
}

/* Takes `tensor` over where it is owned, also on failure. */
static tg_status add_part(tg_module *m, tg_parts *parts, const char *name, tg_tensor *tensor, bool owned)
{
    const tg_allocator *a = tg_runtime_allocator(m->rt);
    char *copy = NULL;
    tg_status status = tg_grow(a, &parts->at, &parts->capacity, parts->n + 1, sizeof *parts->at);
    if (!status && !(copy = tg_strdup(a, name)))
        status = TG_ENOMEM;
    if (status) {
        if (owned)
            tg_tensor_destroy(tensor);
        return status;
    }
    parts->at[parts->n++] = (tg_part){.name = copy, .tensor = tensor, .owned = owned};
    changed(m);
    return TG_OK;
}

tg_status tg_module_add_parameter(tg_module *module, const char *name, const int64_t *dims, size_t ndim,
                                  tg_tensor **out)
{
    if (out)
        *out = NULL;
    tg_status status = check_name(module, "parameter", name);
    if (status)
        return status;
    tg_tensor *t = NULL;
    status = make_tensor(module, name, tg_runtime_dtype(module->rt), dims, ndim, &t);
    if (status)
        return status;
    status = tg_tensor_set_requires_grad(t, true);
    if (status) {
        tg_tensor_destroy(t);
        return status;
    }
    status = add_part(module, &module->parameters, name, t, true);
    if (!status && out)
        *out = t;
    return status;
}

tg_status tg_module_tie_parameter(tg_module *module, const char *name, tg_tensor *tensor)
{
    tg_status status = check_name(module, "parameter", name);
    if (status)
        return status;
    if (!tensor || !tg_tensor_is_alive(tensor))
        return tg_layer_fail(module, NULL, tensor ? TG_ESTALE : TG_EINVAL,
                             "the tensor to tie as \"%s\" is %s", name, tensor ? "stale" : "NULL");
    if (tg_tensor_runtime(tensor) != module->rt)
        return tg_layer_fail(module, NULL, TG_EINVAL,
                             "the tensor to tie as \"%s\" belongs to another runtime", name);
    if (!(tg_resolve(tensor)->flags & TG_V_PERSISTENT))
        return tg_layer_fail(module, NULL, TG_EINVAL,
                             "the tensor to tie as \"%s\" belongs to a tape and would die at its "
                             "reset",
                             name);
    if (!tg_dtype_is_float(tg_tensor_dtype(tensor)))
        return tg_layer_fail(module, NULL, TG_EDTYPE,
                             "the tensor to tie as \"%s\" is %s, expected f32 or f64", name,
                             tg_dtype_name(tg_tensor_dtype(tensor)));
    return add_part(module, &module->parameters, name, tensor, false);
}

tg_status tg_module_add_buffer(tg_module *module, const char *name, tg_dtype dtype, const int64_t *dims,
                               size_t ndim, tg_tensor **out)
{
    if (out)
        *out = NULL;
    tg_status status = check_name(module, "buffer", name);
    if (status)
        return status;
    tg_tensor *t = NULL;
    status = make_tensor(module, name, dtype, dims, ndim, &t);
    if (!status)
        status = add_part(module, &module->buffers, name, t, true);
    if (!status && out)
        *out = t;
    return status;
}

tg_status tg_layer_copy(const tg_module *m, const tg_tensor *from, tg_tensor *to)
{
    const tg_allocator *a = tg_runtime_allocator(m->rt);
    const size_t bytes = (size_t)tg_tensor_count(to) * tg_dtype_size((int32_t)tg_tensor_dtype(to));
    void *copy = tg_alloc(a, bytes ? bytes : 1);
    if (!copy)
        return TG_ENOMEM;
    tg_status status = tg_tensor_read(from, copy, bytes);
    if (!status)
        status = tg_tensor_write(to, copy, bytes);
    tg_free(a, copy);
    return status;
}

tg_status tg_layer_keep(tg_module *m, const char *name, const tg_tensor *given)
{
    tg_tensor *buffer = NULL;
    tg_desc d;
    tg_status status = tg_tensor_desc(given, &d);
    if (!status)
        status = tg_module_add_buffer(m, name, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, &buffer);
    return status ? status : tg_layer_copy(m, given, buffer);
}

static bool is_above(const tg_module *above, const tg_module *m)
{
    for (; m; m = m->parent)
        if (m == above)
            return true;
    return false;
}

static tg_status adopt(tg_module *module, const char *name, tg_module *child)
{
    tg_status status = check_name(module, "child", name);
    if (status)
        return status;
    if (child->rt != module->rt)
        return tg_layer_fail(module, NULL, TG_EINVAL, "the child \"%s\" belongs to another runtime", name);
    const tg_allocator *a = tg_runtime_allocator(module->rt);
    status = tg_grow(a, &module->children, &module->child_capacity, module->n_children + 1,
                     sizeof *module->children);
    if (status)
        return status;
    if (!(child->name = tg_strdup(a, name)))
        return TG_ENOMEM;
    child->parent = module;
    module->children[module->n_children++] = child;
    changed(module);
    return TG_OK;
}

tg_status tg_module_add_child(tg_module *module, const char *name, tg_module *child)
{
    if (!child) {
        if (*tg_error_message())
            return tg_fail_again(NULL, TG_EINVAL);
        return tg_fail(NULL, TG_EINVAL, "the child \"%s\" is NULL", name ? name : "");
    }
    if (child->parent)
        return tg_fail(NULL, TG_EINVAL,
                       "the child \"%s\" has a parent already, and a module has one; share parameters "
                       "with tg_module_tie_parameter",
                       name ? name : "");
    if (module && is_above(child, module))
        return tg_fail(NULL, TG_EINVAL, "the child \"%s\" would be a part of itself", name ? name : "");
    tg_status status = adopt(module, name, child);
    if (status)
        tg_module_destroy(child);
    return status;
}

/* The module that holds the last word of the path, which *last is set to. */
static tg_module *walk(tg_module *m, const char *path, const char **last)
{
    const char *dot;
    while (m && (dot = strchr(path, '.'))) {
        m = find_child(m, path, (size_t)(dot - path));
        path = dot + 1;
    }
    *last = path;
    return m;
}

static tg_status replace(tg_module *module, const char *path, tg_module *child)
{
    const char *last = "";
    tg_module *holder = path ? walk(module, path, &last) : NULL;
    tg_module *old = holder ? find_child(holder, last, strlen(last)) : NULL;
    if (!old)
        return tg_fail(NULL, TG_EINVAL, "tg_module_replace_child: there is no child \"%s\"", path ? path : "");
    if (holder->cls->state_size)
        return tg_layer_fail(holder, NULL, TG_EUNSUPPORTED,
                             "its children stay: the class may hold on to them in a struct of its own");
    if (child->rt != holder->rt || is_above(child, holder))
        return tg_layer_fail(holder, NULL, TG_EINVAL, "the new child \"%s\" %s", last,
                             child->rt != holder->rt ? "belongs to another runtime" : "would be a part of itself");
    for (size_t i = 0; i < holder->n_children; i++)
        if (holder->children[i] == old)
            holder->children[i] = child;
    child->name = old->name;
    child->parent = holder;
    old->name = NULL;
    old->parent = NULL;
    tg_module_destroy(old);
    changed(holder);
    return TG_OK;
}

tg_status tg_module_replace_child(tg_module *module, const char *path, tg_module *child)
{
    if (!child)
        return *tg_error_message() ? tg_fail_again(NULL, TG_EINVAL)
                                   : tg_fail(NULL, TG_EINVAL, "tg_module_replace_child: the new child is NULL");
    if (child->parent)
        return tg_fail(NULL, TG_EINVAL, "tg_module_replace_child: the new child has a parent already");
    tg_status status = replace(module, path, child);
    if (status && !(module && is_above(child, module)))
        tg_module_destroy(child);
    return status;
}

static void drop(tg_module *m, tg_parts *parts)
{
    const tg_allocator *a = tg_runtime_allocator(m->rt);
    for (size_t i = 0; i < parts->n; i++) {
        if (parts->at[i].owned)
            tg_tensor_destroy(parts->at[i].tensor);
        tg_free(a, parts->at[i].name);
    }
    tg_free(a, parts->at);
}

void tg_module_drop_parts(tg_module *module)
{
    drop(module, &module->parameters);
    drop(module, &module->buffers);
    tg_free(tg_runtime_allocator(module->rt), module->children);
}

size_t tg_module_n_children(const tg_module *module)
{
    return module ? module->n_children : 0;
}

tg_module *tg_module_child(const tg_module *module, size_t i)
{
    return module && i < module->n_children ? module->children[i] : NULL;
}

const char *tg_module_child_name(const tg_module *module, size_t i)
{
    return module && i < module->n_children ? module->children[i]->name : NULL;
}

tg_module *tg_module_find(tg_module *module, const char *path)
{
    if (!module || !path)
        return NULL;
    if (!*path)
        return module;
    const char *last;
    tg_module *holder = walk(module, path, &last);
    return holder ? find_child(holder, last, strlen(last)) : NULL;
}

tg_tensor *tg_module_tensor(tg_module *module, const char *path)
{
    if (!module || !path)
        return NULL;
    const char *last;
    tg_module *holder = walk(module, path, &last);
    if (!holder)
        return NULL;
    size_t length = strlen(last);
    tg_part *part = find_part(&holder->parameters, last, length);
    if (!part)
        part = find_part(&holder->buffers, last, length);
    return part ? part->tensor : NULL;
}
