/* The reference backend: complete, obvious, the oracle. f32 and f64, sums in f64 in an order that does not depend on the
 * number of threads. One table of kernels a family, same file names as autograd/operators/, each ended by {0}. */
#ifndef TG_REFERENCE_H
#define TG_REFERENCE_H

#include <tapegrad/backend_abi.h>
#include <tapegrad/op_attrs.h>

extern const tg_kernel tg_ref_elementwise[];
extern const tg_kernel tg_ref_activation[];
extern const tg_kernel tg_ref_reduce[];
extern const tg_kernel tg_ref_copy[];
extern const tg_kernel tg_ref_matmul[];
extern const tg_kernel tg_ref_softmax[];
extern const tg_kernel tg_ref_loss[];
extern const tg_kernel tg_ref_norm[];
extern const tg_kernel tg_ref_index[];
extern const tg_kernel tg_ref_random[];
extern const tg_kernel tg_ref_optim[];

#define TG_REF_KERNEL(name, run_fn) {.struct_size = sizeof(tg_kernel), .version = 1, .op = name, .run = run_fn}

#endif
