/* ModuleList, ModuleDict, ParameterList, ParameterDict: what holds modules or parameters for a forward of one's own. */
#include <stdio.h>

#include "layers/internal.h"

static tg_status container_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)in, (void)n_in, (void)out;
    return tg_layer_fail(m, tape, TG_EUNSUPPORTED, "it has no forward: use what it holds (tg_module_find, tg_module_tensor)");
}

static const char *const input_names[] = {"input"};
static const tg_sample samples[] = {{.label = "no forward", .in = TG_SAMPLE_INPUTS({[1]})}};
TG_SAMPLES(container_samples, samples)

#define CLASS(NAME, DOC)                                                                                     \
    {                                                                                                        \
        .struct_size = sizeof(tg_layer_class), .flags = TG_LAYER_CONTAINER, .name = NAME, .n_in = 1, .n_out = 1, \
        .in_names = input_names, .forward = {container_forward, container_forward},                          \
        .samples = TG_PROOF(container_samples), .doc = DOC                                                             \
    }
static const tg_layer_class list = CLASS("ModuleList", "holds modules by number; has no forward");
static const tg_layer_class dict = CLASS("ModuleDict", "holds modules by name; has no forward");

static const tg_layer_class parameter_list = CLASS("ParameterList", "holds parameters by number; has no forward");
static const tg_layer_class parameter_dict = CLASS("ParameterDict", "holds parameters by name; has no forward");

const tg_layer_class *const tg_layers_container[] = {&list, &dict, &parameter_list, &parameter_dict, NULL};

/* Destroys those from `first` on, each once. */
static void drop(tg_module *const children[], size_t first, size_t n)
{
    for (size_t i = first; i < n; i++) {
        bool earlier = !children[i];
        for (size_t k = 0; k < i && !earlier; k++)
            earlier = children[k] == children[i];
        if (!earlier)
            tg_module_destroy(children[i]);
    }
}

/* Where one is NULL its constructor's sentence is the thread's. */
static tg_module *make(tg_runtime *rt, const tg_layer_class *cls, const char *const names[], tg_module *const children[],
                       size_t n)
{
    bool whole = true;
    if (n && (!children || (cls == &dict && !names))) {
        tg_fail(NULL, TG_EINVAL, "%s: an array of %zu is NULL", cls->name, n);
        if (children)
            drop(children, 0, n);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        whole = whole && children[i];
    tg_module *m = whole ? tg_module_new(rt, cls, NULL) : NULL;
    if (!m)
        drop(children, 0, n);
    for (size_t i = 0; m && i < n; i++) {
        char number[32];
        snprintf(number, sizeof number, "%zu", i);
        if (tg_module_add_child(m, names ? names[i] : number, children[i])) {
            tg_module_destroy(m);
            drop(children, i + 1, n);
            return NULL;
        }
    }
    return m;
}

tg_module *tg_nn_module_list_n(tg_runtime *rt, tg_module *const children[], size_t n)
{
    return make(rt, &list, NULL, children, n);
}

tg_module *tg_nn_module_dict(tg_runtime *rt, const char *const names[], tg_module *const children[], size_t n)
{
    return make(rt, &dict, names, children, n);
}

/* Appended under the last number; then the modules move up, and the names stay. */
tg_status tg_nn_module_list_insert(tg_module *module_list, size_t index, tg_module *child)
{
    char number[32];
    if (!module_list || module_list->cls != &list || index > module_list->n_children) {
        tg_module_destroy(child);
        if (!module_list || module_list->cls != &list)
            return tg_fail(NULL, TG_EINVAL, "tg_nn_module_list_insert: the module is %s, expected a ModuleList",
                           module_list ? module_list->cls->name : "NULL");
        return tg_layer_fail(module_list, NULL, TG_EINDEX, "the index is %zu, expected at most %zu", index,
                             module_list->n_children);
    }
    snprintf(number, sizeof number, "%zu", module_list->n_children);
    tg_status status = tg_module_add_child(module_list, number, child);
    for (size_t i = status ? 0 : module_list->n_children - 1; i > index; i--) {
        tg_module **at = module_list->children + i, *last = at[0];
        char *name = last->name;
        last->name = at[-1]->name;
        at[-1]->name = name;
        at[0] = at[-1];
        at[-1] = last;
    }
    return status;
}

tg_status tg_nn_module_list_append(tg_module *module_list, tg_module *child)
{
    return tg_nn_module_list_insert(module_list, module_list ? module_list->n_children : 0, child);
}

tg_module *tg_nn_parameter_list(tg_runtime *rt)
{
    return tg_module_new(rt, &parameter_list, NULL);
}

tg_module *tg_nn_parameter_dict(tg_runtime *rt)
{
    return tg_module_new(rt, &parameter_dict, NULL);
}

tg_status tg_nn_parameter_list_append(tg_module *module, const int64_t *dims, size_t ndim, tg_tensor **out)
{
    char number[32];
    if (!module || module->cls != &parameter_list)
        return tg_fail(NULL, TG_EINVAL, "tg_nn_parameter_list_append: the module is %s, expected a ParameterList",
                       module ? module->cls->name : "NULL");
    snprintf(number, sizeof number, "%zu", module->parameters.n);
    return tg_module_add_parameter(module, number, dims, ndim, out);
}
