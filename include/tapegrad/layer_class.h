/* Layer classes: for those who add a layer, or compose a model as a C struct with a forward of its own. */
#ifndef TAPEGRAD_LAYER_CLASS_H
#define TAPEGRAD_LAYER_CLASS_H

#include <tapegrad/module.h>
#include <tapegrad/operator.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef tg_status (*tg_forward_fn)(tg_module *, tg_tape *, tg_tensor *const in[], size_t n_in, tg_tensor *out[]);
/* gx[0 … n_in) are the inputs' gradients, gx[n_in + k] that of the module's k-th parameter (its own, in order of
 * declaration). The node's inputs stand in the same order, its outputs are the forward's. */
typedef tg_status (*tg_backward_fn)(tg_module *, tg_tape *, const tg_node *, tg_tensor *const gy[], tg_tensor *gx[]);

enum {
    TG_LAYER_ONCE = 1u,   /* its own backward, and no replay: a second derivative is TG_ENODERIV              */
    TG_LAYER_LOSS = 2u,   /* takes (input, target)                                                            */
    TG_LAYER_RANDOM = 4u  /* draws in train mode                                                              */
};

typedef struct tg_layer_class {
    uint32_t struct_size, flags;
    const char *name;              /* torch.nn's: "BatchNorm1d"                                               */
    const tg_attr_spec *attrs;     /* of the options struct, with defaults and a line of documentation        */
    size_t attrs_size;             /* sizeof that struct; the module keeps a copy (tg_module_attrs)           */
    size_t state_size;             /* bytes of the class's own struct, zeroed before init (tg_module_self)    */
    uint16_t n_in, n_out;
    uint32_t optional;             /* TG_OP_IN(i): input may be NULL                                          */
    const char *const *in_names;   /* torch's names of the call's arguments: "input", "target"                */
    tg_status (*init)(tg_module *, const void *attrs); /* declares parameters, buffers, children              */
    tg_forward_fn forward[TG_N_MODES];
    tg_backward_fn backward[TG_N_MODES]; /* NULL: derived from the operators that forward recorded            */
    void (*finish)(tg_module *);   /* frees what init put in the state; parameters and children go by themselves */
    const tg_sample *(*samples)(size_t *n);
    const char *doc;
} tg_layer_class;

/* Registers a class; refused (TG_EINVAL) without samples, forward functions or with a name that is taken, and
 * (TG_ESTATE) once a tape is open. The class must outlive the runtime. */
TG_API tg_status tg_layer_register(tg_runtime *rt, const tg_layer_class *cls);
TG_API const tg_layer_class *tg_layer_find(const tg_runtime *rt, const char *name);
TG_API size_t tg_layer_list(const tg_runtime *rt, const tg_layer_class **out, size_t capacity);

/* Makes a module of a class, registered or not (a user's own model needs no registration), from its options
 * struct; NULL attrs: the defaults. NULL on error. */
TG_API tg_module *tg_module_new(tg_runtime *rt, const tg_layer_class *cls, const void *attrs);

/* The class's own struct, and the module's copy of its options. Borrowed. */
TG_API void *tg_module_self(const tg_module *module);
TG_API const void *tg_module_attrs(const tg_module *module);
TG_API const tg_layer_class *tg_module_class(const tg_module *module);

/* -- inside init ---------------------------------------------------------------------------------------------- */

/* A parameter of the runtime's dtype, zeroed, which wants a gradient; the module owns it; *out is borrowed. Only
 * the options "absent" case (bias=False) declares nothing. */
TG_API tg_status tg_module_add_parameter(tg_module *module, const char *name, const int64_t *dims, size_t ndim,
                                         tg_tensor **out);
/* A tensor of another module (or of one's own) under a name of its own: tied weights. Not owned. */
TG_API tg_status tg_module_tie_parameter(tg_module *module, const char *name, tg_tensor *tensor);
TG_API tg_status tg_module_add_buffer(tg_module *module, const char *name, tg_dtype dtype, const int64_t *dims,
                                      size_t ndim, tg_tensor **out);
/* The module takes the child over, also when this fails (it is destroyed then). NULL child: fails with the
 * thread's present error. */
TG_API tg_status tg_module_add_child(tg_module *module, const char *name, tg_module *child);

/* -- inside forward --------------------------------------------------------------------------------------------- */

/* "net.1 (BatchNorm1d)": for messages. Writes at most `size`, returns `buf`. */
TG_API const char *tg_module_describe(const tg_module *module, char *buf, size_t size);
/* Uses batch statistics? mode TRAIN and statistics not frozen. */
TG_API bool tg_module_updates_statistics(const tg_module *module);

/* -- attributes by name --------------------------------------------------------------------------------------- */

/* Fills an options struct from a table of specs: defaults first, then the given values. `what` names the owner in
 * messages ("Linear"). TG_EUNKNOWN, TG_EINVAL. */
TG_API tg_status tg_attrs_fill(const char *what, const tg_attr_spec *specs, void *attrs, size_t attrs_size,
                               const tg_attr *given, size_t n);

#ifdef __cplusplus
}
#endif
#endif
