/* Modules: what torch.nn.Module is. A module owns its parameters, buffers and children; a parent destroys its
 * children with itself. */
#ifndef TAPEGRAD_MODULE_H
#define TAPEGRAD_MODULE_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_module tg_module;

/* -- making and destroying ------------------------------------------------------------------------------------ */

/* By torch.nn name and named arguments: tg_module_create(rt, "Linear", (tg_attr[]){ … }, 2). NULL on error:
 * TG_EUNKNOWN class or argument, TG_EINVAL value or missing required argument, TG_ENOMEM. */
TG_API tg_module *tg_module_create(tg_runtime *rt, const char *name, const tg_attr *attrs, size_t n);
/* Destroys it and everything below. NULL is fine. A child must be removed through its parent. */
TG_API void tg_module_destroy(tg_module *module);

/* -- calling --------------------------------------------------------------------------------------------------- */

/* One input, one output. Runs the forward of the module's mode; when it is the outermost call, commits staged
 * statistics and draws at its end, or, failed, leaves everything as it was. NULL on error. */
TG_API tg_tensor *tg_forward(tg_tape *tape, tg_module *module, tg_tensor *x);
/* Several inputs and outputs, in the order of the class; optional inputs may be NULL. */
TG_API tg_status tg_forward_n(tg_tape *tape, tg_module *module, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                              size_t n_out);

/* -- modes ------------------------------------------------------------------------------------------------------ */

/* Sets the mode of the module and all below. Born in train mode. */
TG_API void tg_module_train(tg_module *module);
TG_API void tg_module_eval(tg_module *module);
TG_API void tg_module_set_mode(tg_module *module, tg_mode mode);
TG_API tg_mode tg_module_mode(const tg_module *module);

enum {
    TG_FREEZE_STATISTICS = 1u, /* running statistics are used and never updated, also in train mode     */
    TG_FREEZE_AFFINE = 2u,     /* parameters take no gradient                                           */
    TG_FREEZE_ALL = 3u
};
/* Freezes the module and all below; sticky: tg_module_train does not undo it. */
TG_API void tg_module_freeze(tg_module *module, unsigned what);
TG_API void tg_module_unfreeze(tg_module *module, unsigned what);
TG_API unsigned tg_module_frozen(const tg_module *module);

/* -- parts ------------------------------------------------------------------------------------------------------- */

/* Named tensors in torch.nn's order ("0.weight", "0.bias", "1.running_mean"); a tied tensor is listed once, under
 * its first name. Borrowed from the module, valid until it (or a part) changes. NULL on TG_ENOMEM. */
typedef struct tg_named_tensors {
    size_t n;
    const char *const *name;
    tg_tensor *const *tensor;
} tg_named_tensors;
TG_API const tg_named_tensors *tg_module_parameters(tg_module *module);
TG_API const tg_named_tensors *tg_module_buffers(tg_module *module);
/* Parameters and persistent buffers, every name of a tied one: what state_dict() has. */
TG_API const tg_named_tensors *tg_module_state(tg_module *module);

/* The class's torch.nn name. */
TG_API const char *tg_module_class_name(const tg_module *module);
TG_API size_t tg_module_n_children(const tg_module *module);
TG_API tg_module *tg_module_child(const tg_module *module, size_t i);
TG_API const char *tg_module_child_name(const tg_module *module, size_t i);
/* "encoder.layers.2": by path; "" is the module itself; NULL when there is none. */
TG_API tg_module *tg_module_find(tg_module *module, const char *path);
/* A parameter or buffer by path ("1.running_mean"); NULL when there is none. */
TG_API tg_tensor *tg_module_tensor(tg_module *module, const char *path);
TG_API tg_runtime *tg_module_runtime(const tg_module *module);

/* A checksum (64-bit FNV-1a over names, dtypes, shapes and bytes) of all parameters and buffers. */
TG_API tg_status tg_module_checksum(tg_module *module, uint64_t *out);

#ifndef TG_NO_LOCATION
#define tg_module_create(...) TG_AT(tg_module_create(__VA_ARGS__))
#define tg_forward(...) TG_AT(tg_forward(__VA_ARGS__))
#define tg_forward_n(...) TG_AT(tg_forward_n(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
