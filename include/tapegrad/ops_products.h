/* Operators that multiply: matrices, contractions, attention. What holds for all is in ops.h, which includes this. */
#ifndef TAPEGRAD_OPS_PRODUCTS_H
#define TAPEGRAD_OPS_PRODUCTS_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- products --------------------------------------------------------------------------------------------------------- */
/* torch.matmul: 1-D and 2-D cases, batches broadcast. */
TG_API tg_tensor *tg_matmul(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* x·Wᵀ + b: x [*, in], W [out, in], b [out] or NULL. torch.nn.functional.linear. */
TG_API tg_tensor *tg_linear(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias);

#ifdef __cplusplus
}
#endif
#endif
