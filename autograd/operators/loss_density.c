/* Losses of numbers and of densities, made of other operators. */
#include "autograd/operators/losses.h"

/* `number` is at least 0, or above it; NaN is neither. */
static bool check_number(const tg_composition *c, const char *argument, double number, bool above)
{
    if (above ? number > 0 : number >= 0)
        return true;
    tg_fail(c->tape, TG_EINVAL, "%s: %s is %g, expected %s 0", c->what, argument, number,
            above ? "above" : "at least");
    return false;
}

/* input − target, brought to one size; NULL is an error. */
static tg_tensor *difference(const tg_composition *c, tg_tensor *input, tg_tensor *target,
                             tg_reduction reduction)
{
    if (!tg_loss_takes(c, input, &target, reduction))
        return NULL;
    tg_loss_spread(c->tape, c->what, &input, &target);
    if (!tg_loss_same_dims(c, target, "target", input, "input"))
        return NULL;
    return tg_sub(c->tape, input, target);
}

/* With b the difference d cut to ±delta, b·(d − b/2): d²/2 inside, delta·(|d| − delta/2) outside. Its
 * derivative is b. */
static tg_tensor *huber(tg_tape *tape, tg_tensor *d, double delta)
{
    tg_tensor *cut = tg_clamp(tape, d, -delta, delta);
    return tg_mul(tape, cut, tg_sub(tape, d, tg_mul_scalar(tape, cut, 0.5)));
}

tg_tensor *tg_l1_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_reduction reduction)
{
    TG_COMPOSES(tape, "l1_loss");
    tg_tensor *d = difference(&composition_, input, target, reduction);
    return d ? tg_loss_reduced(&composition_, tg_abs(tape, d), reduction) : NULL;
}

tg_tensor *tg_huber_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, double delta,
                         tg_reduction reduction)
{
    TG_COMPOSES(tape, "huber_loss");
    tg_tensor *d = difference(&composition_, input, target, reduction);
    if (!d || !check_number(&composition_, "delta", delta, true))
        return NULL;
    return tg_loss_reduced(&composition_, huber(tape, d, delta), reduction);
}

tg_tensor *tg_smooth_l1_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, double beta,
                             tg_reduction reduction)
{
    TG_COMPOSES(tape, "smooth_l1_loss");
    tg_tensor *d = difference(&composition_, input, target, reduction);
    if (!d || !check_number(&composition_, "beta", beta, false))
        return NULL;
    tg_tensor *loss = beta == 0 ? tg_abs(tape, d) : tg_div_scalar(tape, huber(tape, d, beta), beta);
    return tg_loss_reduced(&composition_, loss, reduction);
}

tg_tensor *tg_poisson_nll_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, bool log_input, bool full,
                               double eps, tg_reduction reduction)
{
    TG_COMPOSES(tape, "poisson_nll_loss");
    if (!tg_loss_takes(&composition_, input, &target, reduction))
        return NULL;
    tg_tensor *rate = log_input ? tg_exp(tape, input) : input;
    tg_tensor *log_rate = log_input ? input : tg_log(tape, tg_add_scalar(tape, input, eps));
    tg_tensor *loss = tg_sub(tape, rate, tg_mul(tape, target, log_rate));
    if (full) { /* of a 2 where it does not count: no infinity comes back through what is masked */
        tg_tensor *few = tg_le(tape, target, tg_constant_like(tape, target, 1));
        tg_tensor *t = tg_masked_fill(tape, target, few, 2);
        tg_tensor *root =
            tg_mul_scalar(tape, tg_log(tape, tg_mul_scalar(tape, t, 6.283185307179586477)), 0.5);
        tg_tensor *stirling = tg_add(tape, tg_sub(tape, tg_mul(tape, t, tg_log(tape, t)), t), root);
        loss = tg_add(tape, loss, tg_masked_fill(tape, stirling, few, 0));
    }
    return tg_loss_reduced(&composition_, loss, reduction);
}

/* var with a last dim of 1 where it lacks that; NULL where it fits input in no way. */
static tg_tensor *fitted_var(const tg_composition *c, tg_tensor *var, tg_tensor *input)
{
    const tg_desc *v = tg_float_argument(c->tape, var, c->what, "var"),
                  *x = tg_argument(c->tape, input, c->what, "input");
    char got_v[112], got_x[112];
    if (!v || !x)
        return NULL;
    int other = -1, n_other = 0, n = v->ndim < x->ndim ? v->ndim : x->ndim;
    for (int d = 0; d < n; d++)
        if (v->dim[d] != x->dim[d]) {
            other = d;
            n_other++;
        }
    if (v->ndim == x->ndim && (n_other == 0 || (n_other == 1 && v->dim[other] == 1)))
        return var;
    if (v->ndim == x->ndim - 1 && n_other == 0)
        return tg_unsqueeze(c->tape, var, -1);
    tg_fail(c->tape, TG_ESHAPE,
            "%s: var is %s, expected the dims of input %s, one of them 1, or all but the last one", c->what,
            tg_desc_format(v, got_v, sizeof got_v), tg_desc_format(x, got_x, sizeof got_x));
    return NULL;
}

tg_tensor *tg_gaussian_nll_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *var, bool full,
                                double eps, tg_reduction reduction)
{
    TG_COMPOSES(tape, "gaussian_nll_loss");
    if (!tg_loss_takes(&composition_, input, &target, reduction) ||
        !check_number(&composition_, "eps", eps, true) || !(var = fitted_var(&composition_, var, input)) ||
        !tg_loss_within(tape, composition_.what, "var",
                        tg_nan_to_num(tape, tg_detach(tape, var), 0, (double)INFINITY, -(double)INFINITY), 0,
                        (double)INFINITY, TG_EINVAL, NULL))
        return NULL;
    tg_tensor *low = tg_lt(tape, var, tg_constant_like(tape, var, eps));
    tg_tensor *raised = tg_add_scalar(tape, tg_sub(tape, var, tg_detach(tape, var)), eps);
    tg_tensor *v = tg_where(tape, low, raised, var), *d = tg_sub(tape, input, target);
    tg_tensor *loss =
        tg_mul_scalar(tape, tg_add(tape, tg_log(tape, v), tg_div(tape, tg_mul(tape, d, d), v)), 0.5);
    if (full)
        loss = tg_add_scalar(tape, loss, 0.91893853320467274178);
    return tg_loss_reduced(&composition_, loss, reduction);
}

tg_tensor *tg_bce_with_logits(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_tensor *weight,
                              tg_tensor *pos_weight, tg_reduction reduction)
{
    TG_COMPOSES(tape, "bce_with_logits");
    if (!tg_loss_takes(&composition_, input, &target, reduction) ||
        (weight && !tg_float_argument(tape, weight, composition_.what, "weight")) ||
        (pos_weight && !tg_float_argument(tape, pos_weight, composition_.what, "pos_weight")) ||
        !tg_loss_same_dims(&composition_, target, "target", input, "input"))
        return NULL;
    tg_tensor *yes = tg_log_sigmoid(tape, input);
    if (pos_weight) {
        tg_tensor *more = tg_loss_weighted(tape, target, tg_sub_scalar(tape, pos_weight, 1), input);
        yes = tg_mul(tape, yes, tg_add_scalar(tape, more, 1));
    }
    tg_tensor *loss = tg_sub(tape, tg_mul(tape, tg_rsub_scalar(tape, 1, target), input), yes);
    return tg_loss_reduced(&composition_, tg_loss_weighted(tape, loss, weight, input), reduction);
}

tg_tensor *tg_kl_div(tg_tape *tape, tg_tensor *input, tg_tensor *target, bool log_target,
                     tg_reduction reduction)
{
    TG_COMPOSES(tape, "kl_div");
    const bool batch = reduction == TG_REDUCE_BATCHMEAN;
    tg_desc x;
    if (!tg_loss_takes(&composition_, input, &target, batch ? TG_REDUCE_SUM : reduction) ||
        tg_tensor_desc(input, &x))
        return NULL;
    tg_tensor *loss;
    if (log_target)
        loss = tg_mul(tape, tg_exp(tape, target), tg_sub(tape, target, input));
    else
        loss = tg_sub(tape, tg_xlogy(tape, target, target), tg_mul(tape, target, input));
    if (batch) {
        loss = tg_sum(tape, loss);
        if (x.ndim)
            loss = tg_div_scalar(tape, loss, (double)x.dim[0]);
    }
    return tg_loss_reduced(&composition_, loss, batch ? TG_REDUCE_NONE : reduction);
}
