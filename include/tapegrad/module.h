/* Modules: what torch.nn.Module is. A module owns its parameters, buffers and children; a parent destroys its
 * children with itself. A module may be read by several tapes at once in eval mode; everything that changes
 * it (train-mode forwards, modes, freezing, adding parts, the lists below) is for one thread at a time. */
#ifndef TAPEGRAD_MODULE_H
#define TAPEGRAD_MODULE_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_module tg_module;

/* -- making and destroying --------------------------------------------------------------------------- */

/* By torch.nn name and named arguments:
 *     tg_module_create(rt, "Dropout", (tg_attr[]){{"p", TG_ATTR_REAL, {.f = 0.3}}}, 1)
 * NULL on error: TG_EUNKNOWN class or argument, TG_EINVAL value, missing or doubled argument, TG_ENOMEM; then
 * nothing has changed, the runtime's generator included. */
TG_API tg_module *tg_module_create(tg_runtime *rt, const char *name, const tg_attr *attrs, size_t n);
/* Destroys it and everything below; its tensors become stale. NULL is fine. Does nothing to a module that has
 * a parent: the parent destroys it. One that has a backward of its own must live until the tapes that
 * recorded it are reset. */
TG_API void tg_module_destroy(tg_module *module);

/* -- calling ----------------------------------------------------------------------------------------- */

/* One input, one output. Runs the forward of the module's mode, recorded where the tape records. When it is
 * the outermost call (and no tg_step_begin is open), it commits staged statistics and draws at its end, or,
 * failed, leaves parameters, buffers, the random state and the tape's values as they were. What it neither
 * returns nor keeps for backward is given back at its end. NULL on error, with the sticky error set: the
 * layer's or operator's sentence behind the module's path, "2 (BatchNorm1d): …". */
TG_API tg_tensor *tg_forward(tg_tape *tape, tg_module *module, tg_tensor *x);
/* Several inputs and outputs, in the order of the class; optional inputs may be NULL, trailing ones left out, and
 * so may trailing outputs be: tg_forward of an LSTM gives what each step puts out and not the last state.
 * On error every out[i] is NULL. TG_EINVAL for a number that the class does not take. */
TG_API tg_status tg_forward_n(tg_tape *tape, tg_module *module, tg_tensor *const in[], size_t n_in,
                              tg_tensor *out[], size_t n_out);

/* -- modes ------------------------------------------------------------------------------------------- */

/* Sets the mode of the module and all below. A module is born in train mode, whatever its parent's mode; a
 * child that is added later keeps its own. The mode is read when forward runs and kept for backward: changing
 * it between the two changes nothing. It is apart from recording (tg_tape_set_recording) and from
 * requires_grad. */
TG_API void tg_module_train(tg_module *module);
TG_API void tg_module_eval(tg_module *module);
TG_API void tg_module_set_mode(tg_module *module, tg_mode mode);
TG_API tg_mode tg_module_mode(const tg_module *module);

enum {
    TG_FREEZE_STATISTICS = 1u, /* running statistics are used and never updated, also in train mode */
    TG_FREEZE_AFFINE = 2u,     /* parameters take no gradient; one that is there is dropped          */
    TG_FREEZE_ALL = 3u
};
/* Freezes the module and all below as it is now; sticky: tg_module_train does not undo it. A layer without
 * running statistics has nothing that TG_FREEZE_STATISTICS could stop. A tied parameter is frozen for all
 * that share it. */
TG_API void tg_module_freeze(tg_module *module, unsigned what);
/* The reverse. Parameters want a gradient again if it was a freeze that took it. */
TG_API void tg_module_unfreeze(tg_module *module, unsigned what);
/* The bits in force on this very module. */
TG_API unsigned tg_module_frozen(const tg_module *module);

/* -- parts ------------------------------------------------------------------------------------------- */

/* Named tensors in torch.nn's order: a module's own in order of declaration, then each child's ("0.weight",
 * "0.bias", "1.running_mean"). Borrowed from the module, valid until it (or a part) gains a part or is
 * destroyed. NULL on TG_ENOMEM. */
typedef struct tg_named_tensors {
    size_t n;
    const char *const *name;
    tg_tensor *const *tensor;
} tg_named_tensors;
/* A tied tensor is listed once, under its first name. */
TG_API const tg_named_tensors *tg_module_parameters(tg_module *module);
TG_API const tg_named_tensors *tg_module_buffers(tg_module *module);
/* Parameters and buffers, a tied one under every name: what state_dict() has. */
TG_API const tg_named_tensors *tg_module_state(tg_module *module);

/* The class's torch.nn name. */
TG_API const char *tg_module_class_name(const tg_module *module);
TG_API size_t tg_module_n_children(const tg_module *module);
/* NULL from the last one on. */
TG_API tg_module *tg_module_child(const tg_module *module, size_t i);
TG_API const char *tg_module_child_name(const tg_module *module, size_t i);
/* "encoder.layers.2": by path; "" is the module itself; NULL when there is none. */
TG_API tg_module *tg_module_find(tg_module *module, const char *path);
/* A parameter or buffer by path ("1.running_mean"); NULL when there is none. */
TG_API tg_tensor *tg_module_tensor(tg_module *module, const char *path);
TG_API tg_runtime *tg_module_runtime(const tg_module *module);

/* A checksum (64-bit FNV-1a over names, dtypes, shapes and bytes) of all parameters and buffers: equal before
 * and after an evaluation. TG_ENOMEM. */
TG_API tg_status tg_module_checksum(tg_module *module, uint64_t *out);

#ifndef TG_NO_LOCATION
#define tg_module_create(...) TG_AT(tg_module_create(__VA_ARGS__))
#define tg_forward(...) TG_AT(tg_forward(__VA_ARGS__))
#define tg_forward_n(...) TG_AT(tg_forward_n(__VA_ARGS__))
#define tg_module_checksum(...) TG_AT(tg_module_checksum(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
