/* torch.optim.NAdam (Dozat 2016). */
#include "training/optimizer.h"

#include <math.h>

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(2e-3),
    TG_OPTIM_BETAS,
    TG_OPTIM_EPS(1e-8),
    TG_OPTIM_DECAY,
    TG_OPTIM_REAL(momentum_decay, 4e-3, TG_OPTIM_LOW, "how fast the momentum grows to beta1, at least 0"),
    TG_OPTIM_DECOUPLED,
    TG_OPTIM_MAXIMIZE,
    {0},
};

static void row(const tg_optim_config *c, tg_step_row *out)
{
    tg_optim_rule(c, TG_RULE_NADAM, 3, out);
}

static double momentum(const tg_optim_config *c, double step)
{
    return c->betas.v[0] * (1 - 0.5 * pow(0.96, step * c->momentum_decay));
}

static void scalars(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    double step = (double)now->step, mu = momentum(c, step), next = momentum(c, step + 1);
    double product = (now->step == 1 ? 1 : now->old[0]) * mu;
    now->next[0] = product;
    tg_optim_decays(now, out);
    out[2] = now->lr * (1 - mu) / (1 - product);
    out[3] = c->eps;
    out[4] = c->betas.v[0];
    out[5] = c->betas.v[1];
    out[6] = 1 - pow(c->betas.v[1], step);
    out[7] = now->lr * next / (1 - product * next);
}

const tg_optim_class tg_optim_class_nadam = {
    .name = "NAdam",
    .attrs = attrs,
    .states = "exp_avg|exp_avg_sq",
    .row = row,
    .scalars = scalars,
};
TG_OPTIM_PUBLIC(nadam)
