/* A registered row as a function that tg_gradcheck can check, with its samples' inputs. */
#ifndef TG_TESTS_ROWS_H
#define TG_TESTS_ROWS_H

#include <tapegrad/gradcheck.h>

#include "support/sample.h"

typedef struct row_case {
    const tg_operator *op;
    const tg_sample *sample;
} row_case;

/* Has the row a derivative? Not those flagged TG_OP_NONDIFF and not those that write in place. */
bool row_is_differentiable(const tg_operator *op);
/* How often it can be differentiated, as far as is checked: 2, or 1 where torch has no second derivative. */
int row_orders(const tg_operator *op);
/* How many of its outputs carry a gradient. */
size_t row_n_out(const tg_operator *op);
/* tg_check_fn: applies the row; `arg` is a row_case. */
tg_status row_apply(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                    size_t n_out);
/* Does any input of the sample want a gradient? */
bool sample_wants_gradient(const tg_sample *sample);
/* Draws the sample and checks it; the tape's error is left standing. */
tg_status row_check(tg_tape *tape, const tg_operator *op, const tg_sample *sample, int order);

/* All rows of a runtime that have a derivative: malloc'd, *n of them. */
const tg_operator **rows_differentiable(const tg_runtime *rt, size_t *n);

#endif
