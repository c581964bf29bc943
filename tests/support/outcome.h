/* What a row gives on one of its samples, forward and backward, and whether that is what another backend
 * gives. */
#ifndef TG_TESTS_OUTCOME_H
#define TG_TESTS_OUTCOME_H

#include "support/sample.h"

/* The outputs (or what the row wrote), then the gradients, as doubles. */
typedef struct outcome {
    tg_status status;
    char error[256]; /* the tape's sentence, where the status is none */
    size_t n;
    double *value[64]; /* NULL: absent */
    size_t count[64];
    double *other[64]; /* NULL, or what may stand where `value` is NaN; where that is NaN, too, nothing may */
} outcome;

/* In what ways a sample is drawn. */
typedef struct outcome_way {
    unsigned how;
    const char *name;
} outcome_way;
extern const outcome_way outcome_ways[];
extern const size_t outcome_n_ways;
/* Whether the backend, first in the tape's chain, has layouts of its own: without, the ways with SAMPLE_BLOCKED are
 * others once more. */
bool outcome_has_layouts(tg_tape *tape, const char *backend);

/* Draws the sample, applies the row, and goes back where the row has a rule. The same draws each time. */
void outcome_run(outcome *o, tg_tape *tape, const tg_operator *op, const tg_sample *sample, tg_dtype dtype,
                 unsigned how);
/* The same of the reference, with all that is right beside it: a convolution may leave out NaN times the zeros around its
 * planes. Then the value there is the sum of the rest; NaN times an element is NaN. */
void outcome_expect(outcome *o, tg_tape *tape, const tg_operator *op, const tg_sample *sample, tg_dtype dtype,
                    unsigned how);
void outcome_free(outcome *o);

/* Of a backend's f32 or f64 against the reference in f64, relative to the largest value (1 at the least). */
double outcome_tolerance(const tg_sample *sample, tg_dtype dtype);
/* False: `why` says where they differ. */
bool outcome_agrees(const outcome *got, const outcome *want, double tolerance, char *why, size_t size);
/* False: `where` is the first result that differs. */
bool outcome_same_bits(const outcome *a, const outcome *b, size_t *where);

#endif
