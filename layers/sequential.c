#include <stdio.h>

#include "layers/internal.h"

static tg_status sequential_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                    tg_tensor *out[])
{
    (void)n_in;
    tg_tensor *x = in[0];
    for (size_t i = 0, took; i < m->n_children; i += took) {
        tg_status status = tg_layers_run(tape, m->children + i, m->n_children - i, x, &x, &took);
        if (status)
            return status;
    }
    out[0] = x;
    return TG_OK;
}

static const char *const input_names[] = {"input"};

static const tg_sample samples[] = {
    {.label = "without children", .in = TG_SAMPLE_INPUTS({[2, 3], -2 : 2})},
};
TG_SAMPLES(sequential_samples, samples)

static const tg_layer_class sequential = {
    .struct_size = sizeof(tg_layer_class),
    .name = "Sequential",
    .n_in = 1,
    .n_out = 1,
    .in_names = input_names,
    .forward = {sequential_forward, sequential_forward},
    .samples = TG_PROOF(sequential_samples),
    .doc = "y = child[n - 1](… child[0](x)); without children y is x",
};

const tg_layer_class *const tg_layers_sequential[] = {&sequential, NULL};

tg_status tg_nn_sequential_append(tg_module *module, const char *name, tg_module *child)
{
    char number[32];
    if (!module || module->cls != &sequential) {
        tg_module_destroy(child);
        return tg_fail(NULL, TG_EINVAL, "tg_nn_sequential_append: the module is %s, expected a Sequential",
                       module ? module->cls->name : "NULL");
    }
    if (child &&
        (child->cls->n_out != 1 || (child->cls->n_in > 1 && !(child->cls->optional & TG_OP_IN(1))))) {
        tg_status status =
            tg_layer_fail(module, NULL, TG_EINVAL,
                          "%s takes %u inputs and gives %u outputs, a child of a Sequential one of each",
                          child->cls->name, (unsigned)child->cls->n_in, (unsigned)child->cls->n_out);
        tg_module_destroy(child);
        return status;
    }
    snprintf(number, sizeof number, "%zu", module->n_children);
    return tg_module_add_child(module, name ? name : number, child);
}

static bool stands_earlier(tg_module *const children[], size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (children[k] == children[i])
            return true;
    return false;
}

tg_module *tg_nn_sequential_n(tg_runtime *rt, tg_module *const children[], size_t n)
{
    bool whole = true;
    if (n && !children) {
        tg_fail(NULL, TG_EINVAL, "tg_nn_sequential_n: the array of children is NULL");
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        whole = whole && children[i]; /* where one is missing, its constructor's sentence is the thread's */
    tg_module *m = whole ? tg_module_new(rt, &sequential, NULL) : NULL;
    for (size_t i = 0; m && i < n; i++)
        if (tg_nn_sequential_append(m, NULL, children[i])) {
            tg_module_destroy(m);
            for (size_t k = i + 1; k < n; k++)
                if (!stands_earlier(children, k))
                    tg_module_destroy(children[k]);
            return NULL;
        }
    for (size_t i = 0; !m && i < n; i++)
        if (children[i] && !stands_earlier(children, i))
            tg_module_destroy(children[i]);
    return m;
}
