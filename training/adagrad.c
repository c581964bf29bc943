/* torch.optim.Adagrad (Duchi, Hazan, Singer 2011). */
#include "training/optimizer.h"

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(1e-2),
    TG_OPTIM_REAL(lr_decay, 0, TG_OPTIM_LOW, "the rate of step t is lr/(1 + (t − 1)·lr_decay), at least 0"),
    TG_OPTIM_DECAY,
    TG_OPTIM_REAL(initial_accumulator_value, 0, TG_OPTIM_LOW | TG_OPTIM_KEEP,
                  "what the sum starts at, at least 0"),
    TG_OPTIM_EPS(1e-10),
    TG_OPTIM_MAXIMIZE,
    {0},
};

static void row(const tg_optim_config *c, tg_step_row *out)
{
    tg_optim_rule(c, TG_RULE_ADAGRAD, 1, out);
}

static void scalars(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    tg_optim_decays(now, out);
    out[2] = now->lr / (1 + (double)(now->step - 1) * c->lr_decay);
    out[3] = c->eps;
    out[4] = now->fresh ? c->initial_accumulator_value : 0;
}

const tg_optim_class tg_optim_class_adagrad = {
    .name = "Adagrad",
    .attrs = attrs,
    .states = "sum",
    .row = row,
    .scalars = scalars,
};
TG_OPTIM_PUBLIC(adagrad)
