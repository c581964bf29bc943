/* torch.optim.RMSprop (Tieleman and Hinton 2012; centered: Graves 2013). */
#include "training/optimizer.h"

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(1e-2),
    TG_OPTIM_REAL(alpha, 0.99, TG_OPTIM_LOW | TG_OPTIM_KEEP, "factor of the old averages, at least 0"),
    TG_OPTIM_EPS(1e-8),
    TG_OPTIM_DECAY,
    TG_OPTIM_MOMENTUM(0),
    TG_OPTIM_BOOL(centered, "divides by the deviation, not by the root of the mean square"),
    TG_OPTIM_MAXIMIZE,
    {0},
};

static void row(const tg_optim_config *c, tg_step_row *out)
{
    tg_optim_rule(c, TG_RULE_RMSPROP, 1u | (c->centered ? 2u : 0) | (c->momentum > 0 ? 4u : 0), out);
}

static void scalars(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    tg_optim_decays(now, out);
    out[2] = now->lr;
    out[3] = c->eps;
    out[4] = c->alpha;
    out[5] = c->momentum;
    out[6] = c->centered;
}

const tg_optim_class tg_optim_class_rmsprop = {
    .name = "RMSprop",
    .attrs = attrs,
    .states = "square_avg|grad_avg|momentum_buffer",
    .row = row,
    .scalars = scalars,
};
TG_OPTIM_PUBLIC(rmsprop)
