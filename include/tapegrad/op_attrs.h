/* The operators as a backend sees them: for each, the order of inputs and outputs, and the attribute struct. These are
 * part of the plug-in ABI: a change raises the operator's version. Attribute structs are plain data without padding
 * (64-bit members only). Broadcast operators see their inputs with the output's dims and strides of 0. */
#ifndef TAPEGRAD_OP_ATTRS_H
#define TAPEGRAD_OP_ATTRS_H

#include <tapegrad/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- elementwise --------------------------------------------------------------------------------------------------- */

/* -- reduce ---------------------------------------------------------------------------------------------------------- */

/* -- shape ------------------------------------------------------------------------------------------------------------ */
/* contiguous: in [x] → out [a row-major copy]. copy_: in [dst (written), src]. fill_: in [dst (written)], scalar value.
 * add_: in [dst (written), src]. */

/* -- matmul ----------------------------------------------------------------------------------------------------------- */

/* -- softmax, loss -------------------------------------------------------------------------------------------------- */

/* -- norm --------------------------------------------------------------------------------------------------------------- */
/* batch_norm_update: groups of 5 [running_mean (written), running_var (written), num_batches_tracked (i64, written),
 * mean, var (biased)], 2 scalars a group: momentum (NaN: 1/num_batches_tracked after counting), n (values a channel).
 * rm ← (1−m)·rm + m·mean; rv ← (1−m)·rv + m·var·n/(n−1); num_batches_tracked += 1. Groups in order. */

/* -- index ------------------------------------------------------------------------------------------------------------- */

/* -- random ------------------------------------------------------------------------------------------------------------ */
/* uniform_: in [dst (written)], scalars low, high. normal_: in [dst (written)], scalars mean, std. */

/* -- optim -------------------------------------------------------------------------------------------------------------- */

#ifdef __cplusplus
}
#endif
#endif
