/* torch.optim.RAdam (Liu et al. 2020). */
#include "training/optimizer.h"

#include <math.h>

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(1e-3),
    TG_OPTIM_BETAS,
    TG_OPTIM_EPS(1e-8),
    TG_OPTIM_DECAY,
    TG_OPTIM_DECOUPLED,
    TG_OPTIM_MAXIMIZE,
    {0},
};

static void row(const tg_optim_config *c, tg_step_row *out)
{
    tg_optim_rule(c, TG_RULE_RADAM, 3, out);
}

static void scalars(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    double step = (double)now->step, beta2 = c->betas.v[1], left = pow(beta2, step), bias2 = 1 - left;
    double most = 2 / (1 - beta2) - 1, length = most - 2 * step * left / bias2;
    tg_optim_decays(now, out);
    out[2] = now->lr / (1 - pow(c->betas.v[0], step));
    out[3] = c->eps;
    out[4] = c->betas.v[0];
    out[5] = beta2;
    /* 0: the average is too short for its variance to be known. */
    out[6] = length > 5
                 ? sqrt(bias2 * (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
                 : 0;
}

const tg_optim_class tg_optim_class_radam = {
    .name = "RAdam",
    .attrs = attrs,
    .states = "exp_avg|exp_avg_sq",
    .row = row,
    .scalars = scalars,
};
TG_OPTIM_PUBLIC(radam)
