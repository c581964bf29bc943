/* torch.optim.Adamax (Kingma and Ba 2015). */
#include "training/optimizer.h"

#include <math.h>

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(2e-3), TG_OPTIM_BETAS, TG_OPTIM_EPS(1e-8), TG_OPTIM_DECAY, TG_OPTIM_MAXIMIZE, {0},
};

static void row(const tg_optim_config *c, tg_step_row *out)
{
    tg_optim_rule(c, TG_RULE_ADAMAX, 3, out);
}

static void scalars(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    tg_optim_decays(now, out);
    out[2] = now->lr / (1 - pow(c->betas.v[0], (double)now->step));
    out[3] = c->eps;
    out[4] = c->betas.v[0];
    out[5] = c->betas.v[1];
}

const tg_optim_class tg_optim_class_adamax = {
    .name = "Adamax",
    .attrs = attrs,
    .states = "exp_avg|exp_inf",
    .row = row,
    .scalars = scalars,
};
TG_OPTIM_PUBLIC(adamax)
