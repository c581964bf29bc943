/* torch.optim.Adadelta (Zeiler 2012). */
#include "training/optimizer.h"

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(1),
    TG_OPTIM_REAL(rho, 0.9, TG_OPTIM_LOW | TG_OPTIM_KEEP, "factor of the old averages, in [0, 1]"),
    TG_OPTIM_EPS(1e-6),
    TG_OPTIM_DECAY,
    TG_OPTIM_MAXIMIZE,
    {0},
};

static tg_status check(const tg_optim_config *c)
{
    return c->rho <= 1 ? TG_OK
                       : tg_fail(NULL, TG_EINVAL, "Adadelta: rho is %g, expected a number in [0, 1]", c->rho);
}

static void row(const tg_optim_config *c, tg_step_row *out)
{
    tg_optim_rule(c, TG_RULE_ADADELTA, 3, out);
}

static void scalars(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    tg_optim_decays(now, out);
    out[2] = now->lr;
    out[3] = c->eps;
    out[4] = c->rho;
}

const tg_optim_class tg_optim_class_adadelta = {
    .name = "Adadelta",
    .attrs = attrs,
    .states = "square_avg|acc_delta",
    .check = check,
    .row = row,
    .scalars = scalars,
};
TG_OPTIM_PUBLIC(adadelta)
