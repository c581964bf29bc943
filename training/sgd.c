/* torch.optim.SGD. */
#include "training/optimizer.h"

#include <string.h>

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(1e-3),
    TG_OPTIM_MOMENTUM(0),
    TG_OPTIM_REAL(dampening, 0, 0, "a gradient enters the buffer times 1 − dampening"),
    TG_OPTIM_DECAY,
    TG_OPTIM_NESTEROV,
    TG_OPTIM_MAXIMIZE,
    {0},
};

static tg_status check(const tg_optim_config *c)
{
    if (c->nesterov && (c->momentum <= 0 || c->dampening != 0))
        return tg_fail(NULL, TG_EINVAL,
                       "SGD: nesterov needs a momentum above 0 and a dampening of 0, got %g and %g",
                       c->momentum, c->dampening);
    return TG_OK;
}

static void row(const tg_optim_config *c, tg_step_row *out)
{
    bool buffer = c->momentum != 0;
    tg_sgd_attrs a = {.maximize = c->maximize, .nesterov = c->nesterov};
    out->op = buffer ? "sgd_momentum_step" : "sgd_step";
    out->states = buffer ? 1 : 0;
    memcpy(out->attrs, &a, sizeof a);
}

static void scalars(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    out[0] = now->lr;
    out[1] = c->weight_decay;
    if (c->momentum == 0)
        return;
    /* torch's buffer starts as the first gradient, undampened. */
    out[2] = c->momentum;
    out[3] = now->fresh ? 0 : c->momentum;
    out[4] = now->fresh ? 1 : 1 - c->dampening;
}

const tg_optim_class tg_optim_class_sgd = {
    .name = "SGD",
    .attrs = attrs,
    .states = "momentum_buffer",
    .check = check,
    .row = row,
    .scalars = scalars,
};
TG_OPTIM_PUBLIC(sgd)
