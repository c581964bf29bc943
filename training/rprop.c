/* torch.optim.Rprop (Riedmiller and Braun 1993). */
#include "training/optimizer.h"

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(1e-2),
    {.name = "etas",
     .type = TG_ATTR_REALS,
     TG_OPTIM_AT(etas),
     .values = "0.5, 1.2",
     .doc = "what a step's size is multiplied by where the gradient's sign turned, and where it did not"},
    {.name = "step_sizes",
     .type = TG_ATTR_REALS,
     TG_OPTIM_AT(step_sizes),
     .values = "1e-6, 50",
     .doc = "the smallest and the largest step"},
    TG_OPTIM_MAXIMIZE,
    {0},
};

static tg_status check(const tg_optim_config *c)
{
    if (0 < c->etas.v[0] && c->etas.v[0] < 1 && 1 < c->etas.v[1])
        return TG_OK;
    return tg_fail(NULL, TG_EINVAL, "Rprop: etas are %g and %g, expected one between 0 and 1 and one above 1",
                   c->etas.v[0], c->etas.v[1]);
}

static void row(const tg_optim_config *c, tg_step_row *out)
{
    tg_optim_rule(c, TG_RULE_RPROP, 3, out);
}

static void scalars(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    tg_optim_decays(now, out);
    out[2] = now->fresh ? now->lr : 0;
    out[4] = c->etas.v[0];
    out[5] = c->etas.v[1];
    out[6] = c->step_sizes.v[0];
    out[7] = c->step_sizes.v[1];
}

const tg_optim_class tg_optim_class_rprop = {
    .name = "Rprop",
    .attrs = attrs,
    .states = "prev|step_size",
    .check = check,
    .row = row,
    .scalars = scalars,
};
TG_OPTIM_PUBLIC(rprop)
