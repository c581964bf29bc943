/* Hooks: your functions, called where gradients and modules pass. torch's names.
 *
 * A registration returns a number above 0, by which the hook is removed, or 0 on error (tg_error_message()). Hooks of
 * one tensor or module run in the order of registration. What a hook fails with is the error of the call around it,
 * which then changes nothing; a hook that fails by itself says why with tg_fail (operator.h). A recomputation
 * (tg_checkpoint) calls the hooks of modules again, as torch does. */
#ifndef TAPEGRAD_HOOKS_H
#define TAPEGRAD_HOOKS_H

#include <tapegrad/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t tg_hook;

/* -- on tensors -------------------------------------------------------------------------------------------------- */

/* Gets the gradient of a tensor when it is complete: once in a sweep, after the last of its readers' rules has added
 * to it, and before it is passed on to what made the tensor, or to the leaf, or (tg_grad) to the caller. Returns what
 * takes its place, of the same dims and dtype, or NULL to leave it. Operators are recorded as in the sweep's own
 * rules: in a sweep with TG_CREATE_GRAPH.
 *     static tg_tensor *clip(void *arg, tg_tape *tape, tg_tensor *grad) { return tg_clamp(tape, grad, -1, 1); } */
typedef tg_tensor *(*tg_grad_hook)(void *arg, tg_tape *tape, tg_tensor *grad);
/* `tensor` wants a gradient. On a tape's tensor the hook lives until the reset, on one of your own until it is
 * destroyed. torch.Tensor.register_hook. TG_ESTATE for one that wants no gradient. */
TG_API tg_hook tg_tensor_register_hook(tg_tensor *tensor, tg_grad_hook fn, void *arg);

/* Called at the end of a tg_backward, when all leaves have their new gradients: tg_tensor_grad(leaf) may be read,
 * consumed or dropped. An error is the backward's; the gradients stay. */
typedef tg_status (*tg_accumulated_hook)(void *arg, tg_tape *tape, tg_tensor *leaf);
/* register_post_accumulate_grad_hook. TG_ESTATE for what is no leaf, or wants no gradient. */
TG_API tg_hook tg_tensor_register_post_accumulate_grad_hook(tg_tensor *leaf, tg_accumulated_hook fn, void *arg);

/* Nothing happens for a number that is no hook (any more). */
TG_API void tg_tensor_remove_hook(tg_tensor *tensor, tg_hook hook);

/* -- on modules -------------------------------------------------------------------------------------------------- */

/* Before a module's forward; in[i] may be replaced. */
typedef tg_status (*tg_forward_pre_hook)(void *arg, tg_module *module, tg_tape *tape, tg_tensor *in[], size_t n_in);
/* After it; out[o] may be replaced. A hook does not change what is computed: an output that the call does not ask for is
 * NULL where the layer leaves it out (attention's weights, unless tg_forward_n is called for two outputs). */
typedef tg_status (*tg_forward_hook)(void *arg, tg_module *module, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                     tg_tensor *out[], size_t n_out);
/* The gradients of the module's outputs are complete; gy[o] may be replaced. NULL: none came, or there is no
 * such output. */
typedef tg_status (*tg_backward_pre_hook)(void *arg, tg_module *module, tg_tape *tape, tg_tensor *gy[], size_t n_out);
/* Those of its inputs are, too; gx[i] may be replaced. gx[i] is NULL for an input that wants none; where no input wants
 * one, the hook runs when the outputs' gradients are complete. */
typedef tg_status (*tg_backward_hook)(void *arg, tg_module *module, tg_tape *tape, tg_tensor *gx[], size_t n_in,
                                      tg_tensor *const gy[], size_t n_out);

TG_API tg_hook tg_module_register_forward_pre_hook(tg_module *module, tg_forward_pre_hook fn, void *arg);
TG_API tg_hook tg_module_register_forward_hook(tg_module *module, tg_forward_hook fn, void *arg);
/* They see calls that are recorded while they are registered; the module must then live until the tape's reset. */
TG_API tg_hook tg_module_register_full_backward_pre_hook(tg_module *module, tg_backward_pre_hook fn, void *arg);
TG_API tg_hook tg_module_register_full_backward_hook(tg_module *module, tg_backward_hook fn, void *arg);
TG_API void tg_module_remove_hook(tg_module *module, tg_hook hook);

#ifndef TG_NO_LOCATION
#define tg_tensor_register_hook(...) TG_AT(tg_tensor_register_hook(__VA_ARGS__))
#define tg_tensor_register_post_accumulate_grad_hook(...)                                                              \
    TG_AT(tg_tensor_register_post_accumulate_grad_hook(__VA_ARGS__))
#define tg_module_register_forward_pre_hook(...) TG_AT(tg_module_register_forward_pre_hook(__VA_ARGS__))
#define tg_module_register_forward_hook(...) TG_AT(tg_module_register_forward_hook(__VA_ARGS__))
#define tg_module_register_full_backward_pre_hook(...) TG_AT(tg_module_register_full_backward_pre_hook(__VA_ARGS__))
#define tg_module_register_full_backward_hook(...) TG_AT(tg_module_register_full_backward_hook(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
