/* Is a gradient right? Compares the tape's derivatives with central differences, of as many orders as asked
 * for. */
#ifndef TAPEGRAD_GRADCHECK_H
#define TAPEGRAD_GRADCHECK_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The function under check: fills out[0 … n_out) on the tape from `in`; every output must be given. f64
 * outputs are checked, integer and bool ones passed over. It may draw random numbers (each evaluation redraws
 * the same ones) and run train-mode modules (nothing is committed), but must give the same bits at the same
 * inputs. A status other than TG_OK ends the check with it.
 *     static tg_status f(void *net, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
 *                        size_t n_out)
 *     {
 *         out[0] = tg_forward(tape, net, in[0]);
 *         return tg_tape_status(tape);
 *     }
 * For a module, give parameters and inputs f64: tg_runtime_options.dtype, or tg_runtime_set_dtype, before it is
 * made. */
typedef tg_status (*tg_check_fn)(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                 tg_tensor *out[], size_t n_out);

/* Take tg_gradcheck_defaults() and change what you need; a zero is a zero. */
typedef struct tg_gradcheck_options {
    size_t struct_size;
    int order;   /* 1: gradients; 2: and the gradients' gradients; at the most 6. Default 2          */
    double step; /* h of (f(x+h) − f(x−h))/2h, times max(1, |x|). Default 1e-6                      */
    double rtol, atol; /* |analytic − numeric| ≤ atol + rtol·|numeric| for each element. 1e-5 and 1e-7    */
    uint64_t seed;     /* of the random vectors                                                            */
} tg_gradcheck_options;
TG_API tg_gradcheck_options tg_gradcheck_defaults(void);

/* Differentiates `fn` at the values of those `in` that want a gradient, and compares, signed and element by
 * element, so that a flipped sign, a missing factor and a missing term each are seen:
 *  - order 1: ∂(Σ v·out)/∂in with central differences of Σ v·out, for random v and, where the outputs have at
 * most 64 elements together, for each unit vector; several outputs also one at a time;
 *  - order k + 1: the same of the function that maps (in …, and the v of the orders before) to order k's
 * gradient, the sweep recorded (TG_CREATE_GRAPH). Before that the recorded sweep's own values are compared,
 * too. The idea is check_grads of HIPS autograd.
 *
 * `in`: tensors of your own (tg_tensor_create, parameters; not the tape's, which is reset between
 * evaluations). Those that want a gradient must be f64. To check a module's parameters too, append them to
 * `in`.
 *
 * TG_OK when all agree. TG_EINVAL when not, with a sentence that gives order, input, element, analytic and
 * numeric value, or for options out of range. TG_ENODERIV when a derivative is missing. TG_ESTATE inside a
 * step, a forward or a backward. TG_EDTYPE, TG_ESTALE, TG_ENOMEM, and what fn fails with. An error also
 * becomes the tape's sticky one.
 *
 * Afterwards, also after an error, inputs, parameters, their gradients, buffers and the random state are what
 * they were; the tape is empty. Inputs are perturbed meanwhile: no other thread may use them. */
TG_API tg_status tg_gradcheck(tg_tape *tape, tg_check_fn fn, void *arg, tg_tensor *const in[], size_t n_in,
                              size_t n_out, const tg_gradcheck_options *options);

/* The same of a registered operator, built in or of your own, in f64, at the inputs that each of its samples
 * describes; a sample's tolerance counts where it is the wider one. `options` may be NULL. Errors are tg_gradcheck's,
 * behind the operator's name and the sample's label; TG_EUNKNOWN when there is none of that name, TG_ENODERIV when it
 * is flagged as without a derivative, TG_EINVAL when no sample has an input that wants a gradient, or its rule reads
 * what the row does not list in `saves`. */
TG_API tg_status tg_gradcheck_operator(tg_tape *tape, const char *name, const tg_gradcheck_options *options);

#ifndef TG_NO_LOCATION
#define tg_gradcheck_operator(...) TG_AT(tg_gradcheck_operator(__VA_ARGS__))
#define tg_gradcheck(...) TG_AT(tg_gradcheck(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
