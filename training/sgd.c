/* torch.optim.SGD. */
#include "training/optimizer.h"

#include <string.h>

#define MEMBER(field) .offset = offsetof(tg_sgd_config, field)
static const tg_attr_spec attrs[] = {
    {.name = "lr", .type = TG_ATTR_REAL, MEMBER(lr), .value = 1e-3, .doc = "learning rate, at least 0"},
    {.name = "momentum",
     .type = TG_ATTR_REAL,
     MEMBER(momentum),
     .doc = "factor of the old buffer, at least 0"},
    {.name = "dampening",
     .type = TG_ATTR_REAL,
     MEMBER(dampening),
     .doc = "a gradient enters the buffer times 1 − dampening"},
    {.name = "weight_decay", .type = TG_ATTR_REAL, MEMBER(weight_decay), .doc = "L2 penalty, at least 0"},
    {.name = "nesterov", .type = TG_ATTR_BOOL, MEMBER(nesterov), .doc = "Nesterov's momentum"},
    {.name = "maximize", .type = TG_ATTR_BOOL, MEMBER(maximize), .doc = "goes up the gradient"},
    {0},
};

static tg_status check(const void *config)
{
    const tg_sgd_config *c = config;
    tg_status status = tg_optim_at_least("SGD", "lr", c->lr, 0);
    if (!status)
        status = tg_optim_at_least("SGD", "momentum", c->momentum, 0);
    if (!status)
        status = tg_optim_at_least("SGD", "weight_decay", c->weight_decay, 0);
    if (!status && c->dampening - c->dampening != 0)
        status = tg_fail(NULL, TG_EINVAL, "SGD: dampening is %g, expected a finite number", c->dampening);
    if (!status && c->nesterov && (c->momentum <= 0 || c->dampening != 0))
        status = tg_fail(NULL, TG_EINVAL,
                         "SGD: nesterov needs a momentum above 0 and a dampening of 0, got %g and %g",
                         c->momentum, c->dampening);
    return status;
}

static void row(const void *config, tg_step_row *out)
{
    const tg_sgd_config *c = config;
    bool buffer = c->momentum != 0;
    tg_sgd_attrs a = {.maximize = c->maximize, .nesterov = c->nesterov};
    out->op = buffer ? "sgd_momentum_step" : "sgd_step";
    out->n_state = buffer ? 1 : 0;
    memcpy(out->attrs, &a, sizeof a);
}

static void scalars(const void *config, double lr, int64_t step, double *out)
{
    const tg_sgd_config *c = config;
    out[0] = lr;
    out[1] = c->weight_decay;
    if (c->momentum == 0)
        return;
    /* torch's buffer starts as the first gradient, undampened. */
    out[2] = c->momentum;
    out[3] = step == 1 ? 0 : c->momentum;
    out[4] = step == 1 ? 1 : 1 - c->dampening;
}

const tg_optim_class tg_optim_class_sgd = {
    .name = "SGD",
    .attrs = attrs,
    .config_size = sizeof(tg_sgd_config),
    .check = check,
    .row = row,
    .scalars = scalars,
};

tg_sgd_options tg_sgd_defaults(void)
{
    return (tg_sgd_options){.struct_size = sizeof(tg_sgd_options), .lr = 1e-3};
}

tg_optimizer *tg_optim_sgd(tg_runtime *rt, const tg_named_tensors *parameters, const tg_sgd_options *options)
{
    tg_sgd_options o = tg_sgd_defaults();
    if (options)
        memcpy(&o, options,
               options->struct_size && options->struct_size < sizeof o ? options->struct_size : sizeof o);
    tg_sgd_config config = {
        .lr = o.lr,
        .momentum = o.momentum,
        .dampening = o.dampening,
        .weight_decay = o.weight_decay,
        .nesterov = o.nesterov,
        .maximize = o.maximize,
    };
    return tg_optimizer_new(rt, &tg_optim_class_sgd, parameters, &config);
}
