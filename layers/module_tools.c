/* Over all modules of a tree. */
#include <string.h>

#include <tapegrad/module_tools.h>

#include "layers/internal.h"

static size_t longest_path(const tg_module *m)
{
    size_t longest = 0;
    for (size_t i = 0; i < m->n_children; i++) {
        const size_t n = strlen(m->children[i]->name) + 1 + longest_path(m->children[i]);
        longest = n > longest ? n : longest;
    }
    return longest;
}

typedef struct walk {
    tg_module_fn fn;
    void *arg;
    bool children_first;
    char *path;
    size_t longest;
} walk;

static tg_status visit(const walk *w, tg_module *m, size_t length)
{
    tg_status status = w->children_first ? TG_OK : w->fn(w->arg, m, w->path);
    for (size_t i = 0; i < m->n_children && !status; i++) {
        const size_t n = strlen(m->children[i]->name), at = length ? length + 1 : 0;
        if (at + n > w->longest)
            return tg_layer_fail(m, NULL, TG_ESTATE, "it got parts while all modules were gone through");
        if (length)
            w->path[length] = '.';
        memcpy(w->path + at, m->children[i]->name, n + 1);
        status = visit(w, m->children[i], at + n);
        w->path[length] = '\0';
    }
    return status || !w->children_first ? status : w->fn(w->arg, m, w->path);
}

static tg_status over_all(const char *who, tg_module *m, bool children_first, tg_module_fn fn, void *arg)
{
    if (!m || !fn)
        return tg_fail(NULL, TG_EINVAL, "%s: the %s is NULL", who, m ? "function" : "module");
    const tg_allocator *a = tg_runtime_allocator(m->rt);
    const size_t longest = longest_path(m);
    char *path = tg_alloc_zero(a, longest + 1);
    if (!path)
        return tg_fail_again(NULL, TG_ENOMEM);
    const uint64_t before = tg_failures();
    tg_status status = visit(&(walk){fn, arg, children_first, path, longest}, m, 0);
    status = tg_returned(NULL, before, status, "%s: the function", who);
    tg_free(a, path);
    return status;
}

tg_status tg_module_apply(tg_module *module, tg_module_fn fn, void *arg)
{
    return over_all("tg_module_apply", module, true, fn, arg);
}

tg_status tg_module_walk(tg_module *module, tg_module_fn fn, void *arg)
{
    return over_all("tg_module_walk", module, false, fn, arg);
}

void tg_module_zero_grad(tg_module *module)
{
    for (size_t i = 0; module && i < module->parameters.n; i++)
        tg_tensor_zero_grad(module->parameters.at[i].tensor);
    for (size_t i = 0; module && i < module->n_children; i++)
        tg_module_zero_grad(module->children[i]);
}
