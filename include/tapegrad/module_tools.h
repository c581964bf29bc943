/* Tools over whole modules: copies, one function for all parts, a child in another's place, the summary. */
#ifndef TAPEGRAD_MODULE_TOOLS_H
#define TAPEGRAD_MODULE_TOOLS_H

#include <stdio.h>

#include <tapegrad/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A deep copy, yours: made from class and arguments, then given the original's parameters, buffers, modes, frozen bits
 * and who wants a gradient, and the children that were added later. What is tied within the module is tied within the
 * copy; what is tied to a tensor outside, to that tensor. Gradients and hooks do not go over, nor does what a class
 * keeps in its own struct beyond what its init puts there. Draws no random number. NULL on error: TG_ENOMEM;
 * TG_EUNSUPPORTED for a class whose init makes other parts the second time. */
TG_API tg_module *tg_module_copy(const tg_module *module);

/* Calls fn for the module and all below; `path` is relative to it ("" is the module itself), and is only there during
 * the call. The first status that is not TG_OK ends it and is returned. tg_module_apply goes to the children first, as
 * torch's apply does; tg_module_walk to a module before its children, as named_modules does. */
typedef tg_status (*tg_module_fn)(void *arg, tg_module *module, const char *path);
TG_API tg_status tg_module_apply(tg_module *module, tg_module_fn fn, void *arg);
TG_API tg_status tg_module_walk(tg_module *module, tg_module_fn fn, void *arg);

/* Puts `child` in the place of the one at `path` ("head", "features.3"), which is destroyed with its tensors: an
 * optimizer over them must be made anew. The module takes the child over, also when this fails (it is destroyed then),
 * but leaves alone one that has a parent or holds the module. TG_EINVAL without a child there; TG_EUNSUPPORTED where
 * the holder is of a class with a struct of its own, which may point to its children: the containers are not. */
TG_API tg_status tg_module_replace_child(tg_module *module, const char *path, tg_module *child);

/* Drops the gradients of all parameters. */
TG_API void tg_module_zero_grad(tg_module *module);

/* -- the summary ---------------------------------------------------------------------------------------------------- */

/* A module of a model, with all below it. */
typedef struct tg_summary_row {
    char *path; /* "" is the model */
    const char *class_name;
    int depth;
    bool is_leaf;
    tg_mode mode;
    unsigned frozen; /* TG_FREEZE_…                                         */
    size_t calls;    /* of its forward, in one of the model's               */
    size_t n_out;    /* outputs of the last one; `out` describes the first  */
    tg_desc out;
    size_t output_bytes;                   /* of all outputs of all its calls, without what is below */
    int64_t parameters, trainable, buffers; /* elements; a tied tensor counts once                    */
    size_t parameter_bytes, buffer_bytes;
    double multiply_adds; /* of products and convolutions of a forward */
} tg_summary_row;

/* Yours until tg_summary_free. */
typedef struct tg_summary {
    size_t n;
    tg_summary_row *row;       /* the model, then each module before its children */
    tg_memory forward;         /* what a forward takes that is not recorded       */
    tg_memory training;        /* and one with the backward of its first output   */
    tg_runtime *rt;
} tg_summary;

/* Of a model called with such inputs in the modes it has. Planned (memory.h), so that nothing is computed, drawn or
 * moved, and the inputs need no data; the modules get hooks for as long as it takes.
 *     tg_desc in;
 *     tg_desc_make(&in, TG_F32, TG_DIMS(1, 3, 224, 224));
 *     if (tg_module_summary(net, &in, 1, &summary) == TG_OK) tg_summary_print(&summary, stdout);
 * Errors are the forward's, and *out is empty then. */
TG_API tg_status tg_module_summary(tg_module *module, const tg_desc in[], size_t n_in, tg_summary *out);
/* A table: layer, output, parameters, multiply-adds, bytes of the output and of the parameters, mode, frozen; then the
 * totals. TG_EIO. */
TG_API tg_status tg_summary_print(const tg_summary *summary, FILE *to);
TG_API void tg_summary_free(tg_summary *summary);

#ifndef TG_NO_LOCATION
#define tg_module_summary(...) TG_AT(tg_module_summary(__VA_ARGS__))
#define tg_summary_print(...) TG_AT(tg_summary_print(__VA_ARGS__))
#define tg_module_copy(...) TG_AT(tg_module_copy(__VA_ARGS__))
#define tg_module_apply(...) TG_AT(tg_module_apply(__VA_ARGS__))
#define tg_module_walk(...) TG_AT(tg_module_walk(__VA_ARGS__))
#define tg_module_replace_child(...) TG_AT(tg_module_replace_child(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
