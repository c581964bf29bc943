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

#ifdef __cplusplus
}
#endif
#endif
