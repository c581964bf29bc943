/* Containers: modules of modules. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_CONTAINER_H
#define TAPEGRAD_LAYERS_CONTAINER_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- Sequential: each child's output is the next one's input ----------------------------------------- */

/* Children are called "0", "1", …; it takes them over. Where one is NULL because its constructor failed, it
 * destroys the others and returns NULL, and the constructor's sentence stands. */
TG_API tg_module *tg_nn_sequential_n(tg_runtime *rt, tg_module *const children[], size_t n);
/* Appends a child with one input and one output and takes it over, also on failure. `name` NULL: its
 * number. */
TG_API tg_status tg_nn_sequential_append(tg_module *sequential, const char *name, tg_module *child);
#ifndef __cplusplus
/* tg_nn_sequential(rt, tg_nn_linear(rt, 10, 20), tg_nn_relu(rt)) */
#define tg_nn_sequential(rt, ...)                                                                            \
    tg_nn_sequential_n(rt, (tg_module *const[]){__VA_ARGS__},                                                \
                       sizeof((tg_module *const[]){__VA_ARGS__}) / sizeof(tg_module *))
#endif

/* -- ModuleList, ModuleDict: hold modules that a forward of one's own calls ------------------------------ */

/* They take the children over as a Sequential does; their parameters are listed, modes, freezing and files reach them.
 * Calling one is TG_EUNSUPPORTED, as in torch. tg_module_child(list, i), tg_module_find(dict, "name") give a child. */
TG_API tg_module *tg_nn_module_list_n(tg_runtime *rt, tg_module *const children[], size_t n);
/* Behind the others, or before number `index` (TG_EINDEX above the number of children); takes it over, also on failure. */
TG_API tg_status tg_nn_module_list_append(tg_module *module_list, tg_module *child);
TG_API tg_status tg_nn_module_list_insert(tg_module *module_list, size_t index, tg_module *child);
/* n names and children; more come by tg_module_add_child(dict, "name", child). TG_EINVAL for a name that is taken, empty or
 * holds a dot. */
TG_API tg_module *tg_nn_module_dict(tg_runtime *rt, const char *const names[], tg_module *const children[], size_t n);
#ifndef __cplusplus
/* tg_nn_module_list(rt, tg_nn_linear(rt, 10, 20), tg_nn_linear(rt, 20, 2)) */
#define tg_nn_module_list(rt, ...)                                                                           \
    tg_nn_module_list_n(rt, (tg_module *const[]){__VA_ARGS__},                                               \
                        sizeof((tg_module *const[]){__VA_ARGS__}) / sizeof(tg_module *))
#endif

/* -- ParameterList, ParameterDict: parameters that a forward of one's own uses ------------------------------ */

/* Empty at first. A list's are "0", "1", …; a dict takes them by tg_module_add_parameter(dict, "name", dims, ndim, &out). They
 * are zeros of the runtime's dtype, for tg_init_normal and its like; tg_module_tensor(list, "0") gives one. State names,
 * modes, copies and files are as of other modules; a file cannot hold a tied one (tg_module_save: TG_EUNSUPPORTED). */
TG_API tg_module *tg_nn_parameter_list(tg_runtime *rt);
TG_API tg_module *tg_nn_parameter_dict(tg_runtime *rt);
/* Behind the others; *out (may be NULL) is borrowed. TG_EINVAL for another module. */
TG_API tg_status tg_nn_parameter_list_append(tg_module *parameter_list, const int64_t *dims, size_t ndim, tg_tensor **out);

#ifdef __cplusplus
}
#endif
#endif
