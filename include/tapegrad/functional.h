/* Derivatives as a whole: products with Jacobians and Hessians, the matrices themselves, a gradient for each sample.
 * torch.autograd.functional, on values that are on the tape already:
 *
 *     tg_tensor *y = tg_sum(tape, tg_sin(tape, x)), *hv;
 *     tg_hvp(tape, y, &x, &v, 1, &hv, 0);                    (∂²y/∂x²)·v
 *
 * The x[] are what one could give to tg_grad: tensors that want a gradient and that y was made from. Results are
 * borrowed from the tape, of y's dtype; where y does not depend on an x, its derivative is zeros. They have no history
 * unless `flags` has TG_CREATE_GRAPH: then they can be differentiated in their turn, as often as one likes. Unless it
 * has TG_RETAIN (or TG_CREATE_GRAPH), what y's derivative read is released, as after tg_grad. Leaves' gradients stay
 * untouched. Errors are tg_grad's; on error every out[i] is NULL and the tape as it was. TG_ENODERIV where
 * something on the way has no second derivative. */
#ifndef TAPEGRAD_FUNCTIONAL_H
#define TAPEGRAD_FUNCTIONAL_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out[i] = Σₖ v[k]·∂y[k]/∂x[i], of x[i]'s shape: vectors times the Jacobian. v[k] is as y[k]; NULL for a y[k] of one
 * element: 1. */
TG_API tg_status tg_vjp(tg_tape *tape, tg_tensor *const y[], tg_tensor *const v[], size_t n_y, tg_tensor *const x[],
                        size_t n_x, tg_tensor *out[], unsigned flags);

/* out[k] = Σᵢ ∂y[k]/∂x[i]·v[i], of y[k]'s shape: the Jacobian times vectors, v[i] as x[i]. Two sweeps for each y: the
 * vector-Jacobian product is linear in its vector, and is differentiated by it. */
TG_API tg_status tg_jvp(tg_tape *tape, tg_tensor *const y[], size_t n_y, tg_tensor *const x[], tg_tensor *const v[],
                        size_t n_x, tg_tensor *out[], unsigned flags);

/* out[i] = Σⱼ ∂²y/∂x[i]∂x[j]·v[j], of x[i]'s shape: the Hessian of y, which has one element, times vectors. Two
 * sweeps, whatever the size. */
TG_API tg_status tg_hvp(tg_tape *tape, tg_tensor *y, tg_tensor *const x[], tg_tensor *const v[], size_t n_x,
                        tg_tensor *out[], unsigned flags);

/* out[i] = ∂y/∂x[i], of the dims of y, then those of x[i]: one sweep for each element of y. TG_ESHAPE above TG_MAX_DIM
 * dims together. */
TG_API tg_status tg_jacobian(tg_tape *tape, tg_tensor *y, tg_tensor *const x[], size_t n_x, tg_tensor *out[],
                             unsigned flags);

/* out[i·n_x + j] = ∂²y/∂x[i]∂x[j], of the dims of x[i], then those of x[j]; y has one element. One sweep for each
 * element of all x[] together. */
TG_API tg_status tg_hessian(tg_tape *tape, tg_tensor *y, tg_tensor *const x[], size_t n_x, tg_tensor *out[],
                            unsigned flags);

/* out[i][k] = ∂losses[k]/∂x[i], of the dims [N, those of x[i]]: the gradient that each sample by itself would give,
 * `losses` of shape [N] (a loss with TG_REDUCE_NONE). One sweep for each sample:
 *     tg_tensor *losses = tg_cross_entropy_with(…TG_REDUCE_NONE…);
 *     tg_per_sample_grad(tape, losses, p->tensor, p->n, grads, 0); */
TG_API tg_status tg_per_sample_grad(tg_tape *tape, tg_tensor *losses, tg_tensor *const x[], size_t n_x,
                                    tg_tensor *out[], unsigned flags);

#ifndef TG_NO_LOCATION
#define tg_vjp(...) TG_AT(tg_vjp(__VA_ARGS__))
#define tg_jvp(...) TG_AT(tg_jvp(__VA_ARGS__))
#define tg_hvp(...) TG_AT(tg_hvp(__VA_ARGS__))
#define tg_jacobian(...) TG_AT(tg_jacobian(__VA_ARGS__))
#define tg_hessian(...) TG_AT(tg_hessian(__VA_ARGS__))
#define tg_per_sample_grad(...) TG_AT(tg_per_sample_grad(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
