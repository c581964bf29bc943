/* torch.optim.Adam and AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019; amsgrad: Reddi, Kale, Kumar
 * 2018). */
#include "training/optimizer.h"

#include <math.h>
#include <string.h>

#define AMSGRAD TG_OPTIM_BOOL(amsgrad, "divides by the largest average so far")

static const tg_attr_spec adam_specs[] = {
    TG_OPTIM_LR(1e-3), TG_OPTIM_BETAS,    TG_OPTIM_EPS(1e-8), TG_OPTIM_DECAY,
    AMSGRAD,           TG_OPTIM_MAXIMIZE, TG_OPTIM_DECOUPLED, {0},
};

static const tg_attr_spec adamw_specs[] = {
    TG_OPTIM_LR(1e-3),
    TG_OPTIM_BETAS,
    TG_OPTIM_EPS(1e-8),
    TG_OPTIM_REAL(weight_decay, 1e-2, TG_OPTIM_LOW, "shrinks the parameter itself, at least 0"),
    AMSGRAD,
    TG_OPTIM_MAXIMIZE,
    {0},
};

static void row(const tg_optim_config *c, tg_step_row *out)
{
    const tg_adam_attrs a = {.maximize = c->maximize};
    if (c->amsgrad) {
        tg_optim_rule(c, TG_RULE_AMSGRAD, 7, out);
        return;
    }
    out->op = "adam_step";
    out->states = 3;
    memcpy(out->attrs, &a, sizeof a);
}

static void fill_scalars(const tg_optim_now *now, bool decoupled, double *out)
{
    const tg_optim_config *c = now->config;
    const double beta1 = c->betas.v[0], beta2 = c->betas.v[1], step = (double)now->step;
    const double lr = now->lr / (1 - pow(beta1, step)), root = sqrt(1 - pow(beta2, step)),
                 shrink = decoupled ? 1 - now->lr * c->weight_decay : 1,
                 decay = decoupled ? 0 : c->weight_decay;
    const double plain[] = {lr, shrink, decay, beta1, beta2, root, c->eps},
                 amsgrad[TG_OPTIM_SCALARS] = {shrink, decay, lr, c->eps, beta1, beta2, root};
    if (c->amsgrad)
        memcpy(out, amsgrad, sizeof amsgrad);
    else
        memcpy(out, plain, sizeof plain);
}

static void adam_scalars(const tg_optim_now *now, double *out)
{
    fill_scalars(now, now->config->decoupled_weight_decay, out);
}

static void adamw_scalars(const tg_optim_now *now, double *out)
{
    fill_scalars(now, true, out);
}

#define STATES "exp_avg|exp_avg_sq|max_exp_avg_sq"
const tg_optim_class tg_optim_class_adam = {
    .name = "Adam",
    .attrs = adam_specs,
    .states = STATES,
    .row = row,
    .scalars = adam_scalars,
};
TG_OPTIM_PUBLIC(adam)

const tg_optim_class tg_optim_class_adamw = {
    .name = "AdamW",
    .attrs = adamw_specs,
    .states = STATES,
    .row = row,
    .scalars = adamw_scalars,
};
TG_OPTIM_PUBLIC(adamw)
