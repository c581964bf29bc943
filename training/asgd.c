/* torch.optim.ASGD (Polyak and Juditsky 1992). */
#include "training/optimizer.h"

#include <math.h>

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(1e-2),
    TG_OPTIM_REAL(lambd, 1e-4, 0, "shrinks the parameter and the rate"),
    TG_OPTIM_REAL(alpha, 0.75, 0, "power of the rate's fall"),
    TG_OPTIM_REAL(t0, 1e6, 0, "the step that averaging starts at"),
    TG_OPTIM_DECAY,
    TG_OPTIM_MAXIMIZE,
    {0},
};

static void row(const tg_optim_config *c, tg_step_row *out)
{
    tg_optim_rule(c, TG_RULE_ASGD, 1, out);
}

static void scalars(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    double step = (double)now->step, eta = now->step == 1 ? now->lr : now->old[0];
    tg_optim_decays(now, out);
    out[2] = eta;
    out[4] = now->step == 1 ? 1 : now->old[1];
    out[5] = 1 - c->lambd * eta;
    now->next[0] = now->lr / pow(1 + c->lambd * now->lr * step, c->alpha);
    now->next[1] = 1 / fmax(1, step - c->t0);
}

const tg_optim_class tg_optim_class_asgd = {
    .name = "ASGD",
    .attrs = attrs,
    .states = "ax",
    .row = row,
    .scalars = scalars,
};
TG_OPTIM_PUBLIC(asgd)
