/* The parts of the gradient check: one evaluation (gradcheck_eval.c), and what is made of many (gradcheck.c).
 */
#ifndef TG_GRADCHECK_PARTS_H
#define TG_GRADCHECK_PARTS_H

#include <tapegrad/gradcheck.h>

#include "autograd/internal.h"

/* The function of level 1 is the user's; level k + 1 maps everything that level k depends on, and a vector
 * for each of its outputs, to the gradient of Σ vector · output. Each level is checked like the first. */

enum { GC_MAX_ORDER = 6 };
#define GC_NONE SIZE_MAX

/* Something that a level depends on: an input, or a lower level's vector. `tensor` NULL: a vector that no
 * output of that level needs. */
typedef struct gc_point {
    tg_tensor *tensor;
    size_t n;
    double *value;
    bool owned;
} gc_point;

/* What is compared: the vector `r` on all outputs, or on output `only`; or the unit vector at `unit`. */
typedef struct gc_probe {
    size_t random, only, unit;
} gc_probe;

typedef struct gc_level {
    size_t n_points, n_out; /* depends on points [0, n_points); its vectors are the next n_out points */
    tg_tensor **out;        /* of the evaluation under way                                            */
    size_t *size;           /* elements of each output, 0 where there is none to differentiate        */
    size_t n_values;        /* of all outputs together                                                */
} gc_level;

typedef struct gc_check {
    tg_tape *tape;
    tg_check_fn fn;
    void *arg;
    tg_tensor *const *in;
    size_t n_in;
    tg_gradcheck_options o;
    const tg_allocator *a;
    tg_random_state random;
    uint64_t draw;
    const char *file;
    int line;
    gc_point *points;
    size_t n_points, n_inputs;
    size_t *input_of; /* point → the caller's number */
    gc_level level[GC_MAX_ORDER + 1];
    tg_tensor **wrt, **grad; /* n_points each */
} gc_check;

/* Fails the check with TG_EINVAL, at the place of its call. */
tg_status gc_differs(gc_check *c, const char *format, ...) TG_PRINTF(2, 3);
/* The tape's error, where there is one; else `status`, made the tape's. */
tg_status gc_status_of(gc_check *c, tg_status status);

/* Brackets whatever runs on the tape: reset, the same random state, nothing committed. */
tg_status gc_open_evaluation(gc_check *c);
void gc_close_evaluation(gc_check *c);
/* Runs the function of level k on the points' present values; its outputs are in the level. */
tg_status gc_evaluate(gc_check *c, size_t k);
/* The gradient of Σ vector · output, or of output `only`'s share, with respect to the level's points. */
tg_status gc_sweep(gc_check *c, size_t k, size_t only, unsigned flags, tg_tensor **grad);
/* Evaluates in a bracket, and reads all outputs' elements in a row. */
tg_status gc_values_at(gc_check *c, size_t k, double *to);
bool gc_differentiable(const tg_tensor *t);

#endif
