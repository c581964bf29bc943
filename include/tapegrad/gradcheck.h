/* Is a gradient right? Compares the tape's derivatives with central differences. */
#ifndef TAPEGRAD_GRADCHECK_H
#define TAPEGRAD_GRADCHECK_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function under check: from f64 inputs to one or several outputs on the tape. It may draw random numbers (each
 * evaluation redraws the same ones) and run train-mode modules (nothing is committed). */
typedef tg_status (*tg_check_fn)(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                                 size_t n_out);

typedef struct tg_gradcheck_options {
    size_t struct_size;
    int order;          /* 1: gradients; 2: and their gradients; 3 … Default 2                             */
    double step;        /* of the central difference; default 1e-6 for order 1 (the suite widens for more)  */
    double rtol, atol;  /* |analytic − numeric| ≤ atol + rtol·|numeric| for EACH element; 1e-5, 1e-7        */
    uint64_t seed;      /* of the random vectors in the higher orders                                      */
} tg_gradcheck_options;
TG_API tg_gradcheck_options tg_gradcheck_defaults(void);

/* Checks every element of the Jacobian-vector products of `fn` at the values of `in` (f64 leaves; those that want a
 * gradient are differentiated), signed and elementwise, so that a flipped sign, a missing factor and a missing term
 * each are seen; for order k also of the (k−1)-th derivative's function, with random vectors. TG_OK when all agree;
 * TG_ENODERIV when a derivative is missing; TG_EINVAL with a sentence that names order, input, element, analytic
 * and numeric value when they differ. The tape is reset; parameters, buffers and random state are unchanged. */
TG_API tg_status tg_gradcheck(tg_tape *tape, tg_check_fn fn, void *arg, tg_tensor *const in[], size_t n_in,
                              size_t n_out, const tg_gradcheck_options *options);

#ifndef TG_NO_LOCATION
#define tg_gradcheck(...) TG_AT(tg_gradcheck(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
