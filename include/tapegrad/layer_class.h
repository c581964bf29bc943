/* Layer classes: for those who add a layer, or compose a model as a C struct with a forward of its own.
 *
 * A model of one's own is a class, too; registering it is only needed for tg_module_create and for files that
 * hold an architecture:
 *
 *     typedef struct two_heads {
 *         tg_module *trunk, *left, *right;
 *     } two_heads;
 *
 *     static tg_status init(tg_module *m, const void *attrs) {
 *         two_heads *self = tg_module_self(m);
 *         tg_runtime *rt = tg_module_runtime(m);
 *         tg_status status = tg_module_add_child(m, "trunk", self->trunk = tg_nn_linear(rt, 4, 8));
 *         if (!status) status = tg_module_add_child(m, "left", self->left = tg_nn_linear(rt, 8, 2));
 *         if (!status) status = tg_module_add_child(m, "right", self->right = tg_nn_linear(rt, 8, 3));
 *         return status;
 *     }
 *     static tg_status forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
 *                              tg_tensor *out[]) {
 *         two_heads *self = tg_module_self(m);
 *         tg_tensor *h = tg_relu(tape, tg_forward(tape, self->trunk, in[0]));
 *         out[0] = tg_forward(tape, self->left, h);
 *         out[1] = tg_forward(tape, self->right, h);
 *         return tg_tape_status(tape);
 *     }
 *     static const tg_layer_class two_heads_class = {
 *         .struct_size = sizeof(tg_layer_class), .name = "TwoHeads", .state_size = sizeof(two_heads),
 *         .n_in = 1, .n_out = 2, .init = init, .forward = {forward, forward}};
 *
 *     tg_module *net = tg_module_new(rt, &two_heads_class, NULL);
 *
 * Its children follow its mode and appear in its lists ("trunk.weight"). */
#ifndef TAPEGRAD_LAYER_CLASS_H
#define TAPEGRAD_LAYER_CLASS_H

#include <tapegrad/module.h>
#include <tapegrad/operator.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fills out[0 … n_out). in[i] is NULL only where the class says optional. An output may be an input itself.
 * Anything but TG_OK fails the call; operators have set the tape's error by then, and tg_fail sets it for a
 * check of one's own. State changes go through tg_stage and random numbers through operators, or a failed
 * call could not be undone. */
typedef tg_status (*tg_forward_fn)(tg_module *, tg_tape *, tg_tensor *const in[], size_t n_in,
                                   tg_tensor *out[]);
/* gx[0 … n_in) are the inputs' gradients, gx[n_in + k] that of the module's k-th parameter (its own, in order
 * of declaration); NULL on entry: fill those that tg_node_needs. The node's inputs stand in the same order,
 * its outputs are the forward's; all of them are kept for it. gy[o] is zeros where nothing came back. */
typedef tg_status (*tg_backward_fn)(tg_module *, tg_tape *, const tg_node *, tg_tensor *const gy[],
                                    tg_tensor *gx[]);

enum {
    TG_LAYER_ONCE = 1u,  /* once differentiable: a backward of its own is not replayed, an operator has no
                            second rule: TG_ENODERIV                                          */
    TG_LAYER_LOSS = 2u,  /* takes (input, target)                                               */
    TG_LAYER_RANDOM = 4u, /* draws in train mode                                                */
    TG_LAYER_CONTAINER = 8u /* holds modules and has no forward: calling it is TG_EUNSUPPORTED   */
};

/* clang-format off */
typedef struct tg_layer_class {
    uint32_t struct_size;        /* sizeof(tg_layer_class)                                                 */
    uint32_t flags;              /* TG_LAYER_…                                                             */
    const char *name;            /* torch.nn's: "BatchNorm1d"                                              */
    const tg_attr_spec *attrs;   /* of the options struct, with defaults and a line of documentation; NULL */
    size_t attrs_size;           /* sizeof that struct; the module keeps a copy (tg_module_attrs)          */
    size_t state_size;           /* bytes of the class's own struct, zeroed before init (tg_module_self)   */
    uint16_t n_in, n_out;        /* 1 to 16 each                                                           */
    uint32_t optional;           /* TG_OP_IN(i): input may be NULL                                         */
    const char *const *in_names; /* torch's names of the call's arguments: "input", "target"; may be NULL  */
    /* Declares parameters, buffers and children; may be NULL. */
    tg_status (*init)(tg_module *, const void *attrs);
    tg_forward_fn forward[TG_N_MODES];
    /* NULL: derived from the operators that forward recorded. Else the layer is one node; a sweep that is
     * itself recorded replays forward, with the draw and the mode it had (its children:
     * with the modes they have then), and stages nothing. */
    tg_backward_fn backward[TG_N_MODES];
    /* Frees what init put in the state, also after an init that failed halfway; parameters and children go
     * by themselves. May be NULL. */
    void (*finish)(tg_module *);
    /* Inputs for its gradient check in both modes, and what its parameters begin with; registering needs it. */
    const tg_sample *(*samples)(size_t *n);
    const char *doc;
} tg_layer_class;
/* clang-format on */

/* Registers a class; refused (TG_EINVAL) without samples, forward functions or with a name that is taken, and
 * (TG_ESTATE) once a tape is open. The class must outlive the runtime. */
TG_API tg_status tg_layer_register(tg_runtime *rt, const tg_layer_class *cls);
/* NULL when there is none of that name. */
TG_API const tg_layer_class *tg_layer_find(const tg_runtime *rt, const char *name);
/* The samples of a class as tg_operator_samples has a row's. */
TG_API const tg_sample *tg_layer_samples(const tg_layer_class *cls, size_t *n);
/* All in the order of registration: returns how many, writes at most `capacity`. */
TG_API size_t tg_layer_list(const tg_runtime *rt, const tg_layer_class **out, size_t capacity);

/* Makes a module of a class, registered or not, from its options struct; NULL attrs: the defaults (TG_EINVAL
 * where an argument is required). A tensor among the options is borrowed for the call; afterwards the
 * module's copy of the options names the parameter or buffer that init declared under the attribute's name,
 * or NULL. NULL on error; nothing has changed then, the generator included. The class must outlive the
 * module. */
TG_API tg_module *tg_module_new(tg_runtime *rt, const tg_layer_class *cls, const void *attrs);

/* The class's own struct, and the module's copy of its options. Borrowed. */
TG_API void *tg_module_self(const tg_module *module);
TG_API const void *tg_module_attrs(const tg_module *module);
TG_API const tg_layer_class *tg_module_class(const tg_module *module);

/* -- inside init ------------------------------------------------------------------------------------- */

/* Names must not be empty, hold a dot, or be taken by another parameter, buffer or child: TG_EINVAL. */

/* A parameter of the runtime's dtype, zeroed, which wants a gradient; the module owns it; *out (may be NULL)
 * is borrowed. An absent one (bias=False) is simply not declared. */
TG_API tg_status tg_module_add_parameter(tg_module *module, const char *name, const int64_t *dims,
                                         size_t ndim, tg_tensor **out);
/* A parameter of another module (or a tensor of one's own) under a name of its own: tied weights. Not owned;
 * it must live as long as the module is used. TG_EINVAL for a tape's tensor or another runtime's, TG_EDTYPE,
 * TG_ESTALE. */
TG_API tg_status tg_module_tie_parameter(tg_module *module, const char *name, tg_tensor *tensor);
/* State without a gradient, zeroed: running statistics, counters. */
TG_API tg_status tg_module_add_buffer(tg_module *module, const char *name, tg_dtype dtype,
                                      const int64_t *dims, size_t ndim, tg_tensor **out);
/* The module takes the child over, also when this fails (it is destroyed then). NULL child: fails with the
 * thread's present error, so that a constructor can stand in the call. A child that has a parent, or holds
 * the module, is refused and left alone. Also allowed later than init. */
TG_API tg_status tg_module_add_child(tg_module *module, const char *name, tg_module *child);

/* -- inside forward ---------------------------------------------------------------------------------- */

/* "2.norm (BatchNorm1d)", or "BatchNorm1d" for a module without a parent: for messages. Writes at most `size`
 * bytes, returns `buf`. */
TG_API const char *tg_module_describe(const tg_module *module, char *buf, size_t size);
/* How many outputs the call under way asks for: those behind may stay NULL, so that what nobody asked for need not
 * be computed (attention's weights). All of them where the class has a backward of its own. A hook asks for none. */
TG_API size_t tg_outputs_wanted(const tg_tape *tape);
/* Are running statistics to be updated? Mode TRAIN and statistics not frozen, both as they are now. */
TG_API bool tg_module_updates_statistics(const tg_module *module);

/* -- attributes by name ------------------------------------------------------------------------------ */

/* Fills an options struct from a table of specs: zeroes it, then the defaults, then the given values. `what`
 * names the owner in messages ("Linear"). An INT is taken for a REAL, a single number for a list, a CHOICE by
 * its word, None where the spec is TG_ATTR_OPTIONAL; a NaN is not None. TG_EUNKNOWN name; TG_EINVAL value,
 * missing or doubled argument. */
TG_API tg_status tg_attrs_fill(const char *what, const tg_attr_spec *specs, void *attrs, size_t attrs_size,
                               const tg_attr *given, size_t n);

#ifndef TG_NO_LOCATION
#define tg_layer_register(...) TG_AT(tg_layer_register(__VA_ARGS__))
#define tg_module_new(...) TG_AT(tg_module_new(__VA_ARGS__))
#define tg_module_add_parameter(...) TG_AT(tg_module_add_parameter(__VA_ARGS__))
#define tg_module_tie_parameter(...) TG_AT(tg_module_tie_parameter(__VA_ARGS__))
#define tg_module_add_buffer(...) TG_AT(tg_module_add_buffer(__VA_ARGS__))
#define tg_module_add_child(...) TG_AT(tg_module_add_child(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
