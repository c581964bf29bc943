#include <string.h>

#include "layers/internal.h"

tg_status tg_layer_check(const tg_layer_class *cls)
{
    if (!cls || !cls->name || !*cls->name)
        return tg_fail(NULL, TG_EINVAL, "a layer class without a name");
    if (cls->struct_size < sizeof *cls)
        return tg_fail(NULL, TG_EINVAL,
                       "layer class %s: struct_size is %u, expected sizeof(tg_layer_class) = %zu", cls->name,
                       (unsigned)cls->struct_size, sizeof *cls);
    for (int mode = 0; mode < TG_N_MODES; mode++)
        if (!cls->forward[mode])
            return tg_fail(NULL, TG_EINVAL, "layer class %s: no forward function for %s mode", cls->name,
                           mode == TG_TRAIN ? "train" : "eval");
    if (cls->n_in < 1 || cls->n_in > TG_LAYER_MAX_ARGS || cls->n_out < 1 || cls->n_out > TG_LAYER_MAX_ARGS)
        return tg_fail(NULL, TG_EINVAL, "layer class %s: %u inputs and %u outputs, expected 1 to %d of each",
                       cls->name, (unsigned)cls->n_in, (unsigned)cls->n_out, TG_LAYER_MAX_ARGS);
    if (cls->attrs && cls->attrs->name && !cls->attrs_size)
        return tg_fail(NULL, TG_EINVAL, "layer class %s: attributes, but attrs_size is 0", cls->name);
    return TG_OK;
}

/* A tensor among the options is the caller's: from here on the copy that init made under the same name stands
 * there. */
static void own_tensor_attrs(tg_module *m)
{
    for (const tg_attr_spec *s = m->cls->attrs; s && s->name; s++) {
        if (s->type != TG_ATTR_TENSOR)
            continue;
        tg_tensor *copy = NULL;
        for (size_t i = 0; i < m->buffers.n; i++)
            if (strcmp(m->buffers.at[i].name, s->name) == 0)
                copy = m->buffers.at[i].tensor;
        for (size_t i = 0; i < m->parameters.n; i++)
            if (strcmp(m->parameters.at[i].name, s->name) == 0)
                copy = m->parameters.at[i].tensor;
        memcpy((char *)m->attrs + s->offset, &copy, sizeof copy);
    }
}

static tg_status build(tg_module *m, const void *attrs)
{
    const tg_allocator *a = tg_runtime_allocator(m->rt);
    const tg_layer_class *cls = m->cls;
    if (cls->attrs_size && !(m->attrs = tg_alloc_zero(a, cls->attrs_size)))
        return TG_ENOMEM;
    if (attrs && cls->attrs_size)
        memcpy(m->attrs, attrs, cls->attrs_size);
    else {
        tg_status status = tg_attrs_fill(cls->name, cls->attrs, m->attrs, cls->attrs_size, NULL, 0);
        if (status)
            return status;
    }
    if (cls->state_size && !(m->self = tg_alloc_zero(a, cls->state_size)))
        return TG_ENOMEM;
    m->started = true;
    const uint64_t before = tg_failures();
    tg_status status = tg_returned(NULL, before, cls->init ? cls->init(m, m->attrs) : TG_OK, "%s: init", cls->name);
    if (!status)
        status = tg_attrs_check_choices(cls->name, cls->attrs, m->attrs);
    m->ready = status == TG_OK;
    if (m->ready)
        own_tensor_attrs(m);
    return status;
}

tg_module *tg_module_new(tg_runtime *rt, const tg_layer_class *cls, const void *attrs)
{
    if (tg_layer_check(cls))
        return NULL;
    if (!rt) {
        tg_fail(NULL, TG_EINVAL, "%s: the runtime is NULL", cls->name);
        return NULL;
    }
    tg_random_state before = tg_runtime_random_state(rt);
    tg_module *m = tg_alloc_zero(tg_runtime_allocator(rt), sizeof *m);
    if (!m)
        return NULL;
    m->rt = rt;
    m->cls = cls;
    m->mode = TG_TRAIN;
    m->version = 1;
    if (build(m, attrs)) {
        tg_module_destroy(m);
        tg_runtime_set_random_state(rt, before);
        return NULL;
    }
    return m;
}

tg_module *tg_module_create(tg_runtime *rt, const char *name, const tg_attr *attrs, size_t n)
{
    if (!rt || !name) {
        tg_fail(NULL, TG_EINVAL, "tg_module_create: the %s is NULL", rt ? "name" : "runtime");
        return NULL;
    }
    const tg_layer_class *cls = tg_layer_find(rt, name);
    if (!cls) {
        tg_fail(NULL, TG_EUNKNOWN,
                "tg_module_create: no layer class is called \"%s\"; 'tapegrad layers' lists them", name);
        return NULL;
    }
    const tg_allocator *a = tg_runtime_allocator(rt);
    void *options = cls->attrs_size ? tg_alloc_zero(a, cls->attrs_size) : NULL;
    if (cls->attrs_size && !options)
        return NULL;
    tg_module *m = NULL;
    if (!tg_attrs_fill(cls->name, cls->attrs, options, cls->attrs_size, attrs, n))
        m = tg_module_new(rt, cls, options);
    tg_free(a, options);
    return m;
}

static void destroy_tree(tg_module *m)
{
    for (size_t i = m->n_children; i-- > 0;)
        destroy_tree(m->children[i]);
    if (m->cls->finish && m->started)
        m->cls->finish(m);
    tg_module_drop_lists(m);
    tg_module_drop_parts(m);
    const tg_allocator *a = tg_runtime_allocator(m->rt);
    tg_free(a, m->hooks);
    tg_free(a, m->attrs);
    tg_free(a, m->self);
    tg_free(a, m->name);
    tg_free(a, m);
}

void tg_module_destroy(tg_module *module)
{
    if (module && !module->parent)
        destroy_tree(module);
}

void *tg_module_self(const tg_module *module)
{
    return module ? module->self : NULL;
}

const void *tg_module_attrs(const tg_module *module)
{
    return module ? module->attrs : NULL;
}

const tg_layer_class *tg_module_class(const tg_module *module)
{
    return module ? module->cls : NULL;
}

const char *tg_module_class_name(const tg_module *module)
{
    return module ? module->cls->name : "";
}

tg_runtime *tg_module_runtime(const tg_module *module)
{
    return module ? module->rt : NULL;
}
