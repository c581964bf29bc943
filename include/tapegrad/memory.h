/* Control over memory: what a tape holds, checkpointing, values that outlive a reset, a plan before the first step.
 * What is released when stands in docs/memory.md. */
#ifndef TAPEGRAD_MEMORY_H
#define TAPEGRAD_MEMORY_H

#include <tapegrad/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function on a tape: fills out[0 … n_out) from in[0 … n_in). Its status, or the tape's, ends the call that
 * called it; what fails by itself says why with tg_fail (operator.h). */
typedef tg_status (*tg_function)(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                                 size_t n_out);

/* -- what a tape holds ----------------------------------------------------------------------------------------- */

typedef enum tg_memory_kind {
    TG_MEMORY_VALUES = 0,         /* what operators of a forward returned, a checkpoint's recomputation included */
    TG_MEMORY_SAVED = 1,          /* what kernels keep from forward to backward (masks, statistics)              */
    TG_MEMORY_GRADIENTS = 2,      /* what a sweep computes                                                       */
    TG_MEMORY_SCRATCH = 3,        /* of kernels, for one call, and of sweeps                                     */
    TG_MEMORY_LEAF_GRADIENTS = 4, /* handed over to leaves: they live until they are consumed, also over a reset  */
    TG_N_MEMORY_KINDS = 5
} tg_memory_kind;

/* Bytes of tensors, as rounded up by the tape's pool (at most a quarter). Descriptors and nodes are not counted, nor
 * is what lives outside the tape: parameters, buffers, optimizer state. */
typedef struct tg_memory {
    size_t current, peak;               /* in use now, and the most there was                               */
    size_t reserved;                    /* taken from the allocator; what is not in use is kept for the next */
    size_t kind[TG_N_MEMORY_KINDS];     /* `current` by kind                                                 */
    size_t kind_peak[TG_N_MEMORY_KINDS];/* each kind's own peak: they need not have been at the same time     */
} tg_memory;

/* Zeros for a NULL tape. */
TG_API tg_memory tg_tape_memory(const tg_tape *tape);
/* Peaks start anew from what is in use now. */
TG_API void tg_tape_memory_restart(tg_tape *tape);

/* -- activation checkpointing: torch.utils.checkpoint ---------------------------------------------------------- */

/* out = fn(in), of which the tape keeps only the inputs: backward runs fn once more and goes back through that. The
 * recomputation draws the same random numbers (dropout masks), calls modules in the modes they had, and stages no
 * statistics. What fn reads by way of `arg` (parameters, tensors of the tape) is an input like in[], kept and
 * differentiated. Checkpoints nest; TG_CREATE_GRAPH and tg_grad work as without. First derivatives are
 * the same bits as without a checkpoint; of higher ones, which add up in another order, the last bits may differ.
 *
 * fn must compute the same from the same inputs, and give what out[] has each time; `arg`, and modules that it calls,
 * must live until the reset. Where nothing is recorded or wanted, it is called, and that is all. Its intermediate
 * values are given back when it returns: out[] is all that stays. Errors are fn's; TG_ESTATE from a backward whose
 * inputs were overwritten since. */
TG_API tg_status tg_checkpoint(tg_tape *tape, tg_function fn, void *arg, tg_tensor *const in[], size_t n_in,
                               tg_tensor *out[], size_t n_out);
/* tg_forward under a checkpoint. NULL on error. */
TG_API tg_tensor *tg_checkpoint_forward(tg_tape *tape, tg_module *module, tg_tensor *x);
/* tg_forward of a Sequential in `segments` parts of equally many children (the last one takes the rest). Each but the
 * last, which backward would recompute at once, is a checkpoint: torch's checkpoint_sequential. The parts have n/segments
 * children, rounded down: of 26 in 14 parts, the last one has 13 and saves little; take a number that divides n, or nearly.
 * A block that belongs together is one child: a Sequential of its own. TG_EINVAL unless 1 ≤ segments ≤ the number of
 * children. */
TG_API tg_tensor *tg_checkpoint_sequential(tg_tape *tape, tg_module *sequential, size_t segments, tg_tensor *x);

/* -- over a reset ------------------------------------------------------------------------------------------------ */

/* x, detached, as a tensor that outlives the next reset of its tape, and goes at the one after: recurrent state, for
 * truncated backpropagation through time.
 *     tg_tensor *h = NULL;
 *     while (tg_loader_next(…)) {                   resets the tape
 *         if (!h) h = tg_full(tape, TG_F32, TG_DIMS(BATCH, HIDDEN), 0);
 *         …                                         steps from h on to h_end, a loss, a backward
 *         h = tg_carry(tape, h_end);
 *     }
 * It shares x's storage: no copy, and from the second step on no allocation. Gradients end there; it can't be told to
 * want one. May be called before or after the backward. The caller does not destroy it. */
TG_API tg_tensor *tg_carry(tg_tape *tape, tg_tensor *x);

/* -- before the first step --------------------------------------------------------------------------------------- */

/* What `step` will have taken at its end, as tg_tape_memory of a fresh tape would tell after it, without computing:
 * peaks of values, saved, gradients, scratch, leaves' gradients. step(arg, tape, in, n_in, NULL, 0) does what a real
 * one would: forward, loss, tg_backward; it sees tensors of the descriptors' dims and dtypes, which have no elements.
 * Shapes are checked, kernels chosen and prepared, nothing runs, and no memory is touched. Parameters, their gradients,
 * buffers and the generator stay as they are (leaves' gradients count as if they had been absent or present, as they
 * are); writes to the tape's tensors and tg_optimizer_step do nothing; reading elements (tg_tensor_read, tg_item,
 * operators whose shape depends on data, gradient clipping) is TG_ESTATE. Labels are not checked. Errors are the
 * step's; *out is zeros then. */
TG_API tg_status tg_plan_memory(tg_runtime *rt, tg_function step, void *arg, const tg_desc in[], size_t n_in,
                                tg_memory *out);
/* The same of a module in the modes it has. `loss` NULL: a forward of in[], not recorded. Else a training step: the
 * last of in[] is the target, loss(module(in …), target) is differentiated. */
TG_API tg_status tg_plan_module(tg_module *module, tg_module *loss, const tg_desc in[], size_t n_in, tg_memory *out);

#ifndef TG_NO_LOCATION
#define tg_carry(...) TG_AT(tg_carry(__VA_ARGS__))
#define tg_plan_memory(...) TG_AT(tg_plan_memory(__VA_ARGS__))
#define tg_plan_module(...) TG_AT(tg_plan_module(__VA_ARGS__))
#define tg_checkpoint(...) TG_AT(tg_checkpoint(__VA_ARGS__))
#define tg_checkpoint_forward(...) TG_AT(tg_checkpoint_forward(__VA_ARGS__))
#define tg_checkpoint_sequential(...) TG_AT(tg_checkpoint_sequential(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
