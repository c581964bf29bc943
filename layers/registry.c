#include <string.h>

#include "layers/internal.h"

tg_status tg_layer_register(tg_runtime *rt, const tg_layer_class *cls)
{
    if (!rt)
        return tg_fail(NULL, TG_EINVAL, "tg_layer_register: the runtime is NULL");
    tg_status status = tg_layer_check(cls);
    if (status)
        return status;
    if (!cls->samples)
        return tg_fail(NULL, TG_EINVAL,
                       "layer class %s: samples is NULL; a class registers with samples of its inputs, "
                       "from which the gradient check proves it in both modes",
                       cls->name);
    if (rt->frozen)
        return tg_fail(NULL, TG_ESTATE,
                       "layer class %s: the registries are closed once a tape is open; register before "
                       "the first tg_tape_open",
                       cls->name);
    if (tg_layer_find(rt, cls->name))
        return tg_fail(NULL, TG_EINVAL, "layer class %s: the name is taken", cls->name);
    status = tg_grow(&rt->allocator, &rt->layers, &rt->layer_capacity, rt->n_layers + 1, sizeof *rt->layers);
    if (status)
        return status;
    rt->layers[rt->n_layers++] = cls;
    return TG_OK;
}

const tg_layer_class *tg_layer_find(const tg_runtime *rt, const char *name)
{
    if (!rt || !name)
        return NULL;
    for (size_t i = 0; i < rt->n_layers; i++)
        if (strcmp(rt->layers[i]->name, name) == 0)
            return rt->layers[i];
    return NULL;
}

size_t tg_layer_list(const tg_runtime *rt, const tg_layer_class **out, size_t capacity)
{
    if (!rt)
        return 0;
    for (size_t i = 0; i < rt->n_layers && i < capacity; i++)
        out[i] = rt->layers[i];
    return rt->n_layers;
}
