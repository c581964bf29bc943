/* What the losses made of other operators share: TG_COMPOSES opens one, tg_loss_reduced ends it. */
#ifndef TG_LOSSES_H
#define TG_LOSSES_H

#include "autograd/operators/reduced.h"

/* loss.c. input is f32 or f64, *target a tensor, which becomes one of input's dtype where it holds whole
 * numbers, and the reduction is known; else an error. */
bool tg_loss_takes(const tg_composition *c, tg_tensor *input, tg_tensor **target, tg_reduction reduction);
/* An error, unless x has the dims of `like`. */
bool tg_loss_same_dims(const tg_composition *c, tg_tensor *x, const char *argument, tg_tensor *like,
                       const char *other);
/* input and target brought to one size, with a warning, where they broadcast: what torch takes for a mistake.
 */
void tg_loss_spread(tg_tape *tape, const char *what, tg_tensor **input, tg_tensor **target);
/* Are all of x's values from low to high, and none NaN? Else an error `status` that names `argument`. *most
 * (unless NULL) is the largest, `low` where there is none. */
bool tg_loss_within(tg_tape *tape, const char *what, const char *argument, tg_tensor *x, double low,
                    double high, tg_status status, double *most);
/* weight (NULL: none) expands to the dims of `like`; times loss. */
tg_tensor *tg_loss_weighted(tg_tape *tape, tg_tensor *loss, tg_tensor *weight, tg_tensor *like);

/* The end of the composition: the loss, its mean or its sum. */
tg_tensor *tg_loss_reduced(const tg_composition *c, tg_tensor *loss, tg_reduction reduction);

/* max(0, x); the derivative at 0 is 0. */
static inline tg_tensor *tg_loss_clamped(tg_tape *tape, tg_tensor *x)
{
    return tg_clamp(tape, x, 0, (double)NAN);
}

#endif
