/* torch.optim.Adam and AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019; amsgrad: Reddi, Kale, Kumar
 * 2018). */
#include "training/optimizer.h"

#include <math.h>
#include <string.h>

#define MEMBER(field) .offset = offsetof(tg_adam_config, field)
#define SHARED_SPECS                                                                                         \
    {.name = "lr", .type = TG_ATTR_REAL, MEMBER(lr), .value = 1e-3, .doc = "learning rate, at least 0"},     \
        {.name = "betas",                                                                                    \
         .type = TG_ATTR_REALS,                                                                              \
         MEMBER(betas),                                                                                      \
         .values = "0.9, 0.999",                                                                             \
         .doc = "factors of the old averages, in [0, 1)"},                                                   \
        {.name = "eps",                                                                                      \
         .type = TG_ATTR_REAL,                                                                               \
         MEMBER(eps),                                                                                        \
         .value = 1e-8,                                                                                      \
         .doc = "added to the root, at least 0"},                                                            \
        {.name = "amsgrad",                                                                                  \
         .type = TG_ATTR_BOOL,                                                                               \
         MEMBER(amsgrad),                                                                                    \
         .doc = "divides by the largest average so far"},                                                    \
    {                                                                                                        \
        .name = "maximize", .type = TG_ATTR_BOOL, MEMBER(maximize), .doc = "goes up the gradient"            \
    }

static const tg_attr_spec adam_specs[] = {
    SHARED_SPECS,
    {.name = "weight_decay", .type = TG_ATTR_REAL, MEMBER(weight_decay), .doc = "L2 penalty, at least 0"},
    {.name = "decoupled_weight_decay",
     .type = TG_ATTR_BOOL,
     MEMBER(decoupled_weight_decay),
     .doc = "as AdamW"},
    {0},
};

static const tg_attr_spec adamw_specs[] = {
    SHARED_SPECS,
    {.name = "weight_decay",
     .type = TG_ATTR_REAL,
     MEMBER(weight_decay),
     .value = 1e-2,
     .doc = "shrinks the parameter itself, at least 0"},
    {0},
};

static tg_status check_as(const char *name, const tg_adam_config *c)
{
    tg_status status = tg_optim_at_least(name, "lr", c->lr, 0);
    if (!status)
        status = tg_optim_at_least(name, "eps", c->eps, 0);
    if (!status)
        status = tg_optim_at_least(name, "weight_decay", c->weight_decay, 0);
    if (!status && c->betas.n != 2)
        status =
            tg_fail(NULL, TG_EINVAL, "%s: betas has %lld values, expected 2", name, (long long)c->betas.n);
    for (int i = 0; i < 2 && !status; i++)
        if (!(c->betas.v[i] >= 0 && c->betas.v[i] < 1))
            status = tg_fail(NULL, TG_EINVAL, "%s: beta%d is %g, expected a number in [0, 1)", name, i + 1,
                             c->betas.v[i]);
    if (!status && c->betas.v[0] == 0 && c->betas.v[1] == 0 && c->eps == 0)
        status = tg_fail(NULL, TG_EINVAL,
                         "%s: beta1, beta2 and eps are all 0, which divides 0 by 0 where the gradient is 0; "
                         "change what tg_adam%s_defaults() returns",
                         name, strcmp(name, "AdamW") == 0 ? "w" : "");
    return status;
}

static tg_status adam_check(const void *config)
{
    return check_as("Adam", config);
}

static tg_status adamw_check(const void *config)
{
    return check_as("AdamW", config);
}

static void row(const void *config, tg_step_row *out)
{
    const tg_adam_config *c = config;
    tg_adam_attrs a = {.maximize = c->maximize};
    out->op = c->amsgrad ? "adam_amsgrad_step" : "adam_step";
    out->n_state = c->amsgrad ? 3 : 2;
    memcpy(out->attrs, &a, sizeof a);
}

static void fill_scalars(const tg_adam_config *c, bool decoupled, double lr, int64_t step, double *out)
{
    double beta1 = c->betas.v[0], beta2 = c->betas.v[1];
    out[0] = lr / (1 - pow(beta1, (double)step));
    out[1] = decoupled ? 1 - lr * c->weight_decay : 1;
    out[2] = decoupled ? 0 : c->weight_decay;
    out[3] = beta1;
    out[4] = beta2;
    out[5] = sqrt(1 - pow(beta2, (double)step));
    out[6] = c->eps;
}

static void adam_scalars(const void *config, double lr, int64_t step, double *out)
{
    const tg_adam_config *c = config;
    fill_scalars(c, c->decoupled_weight_decay, lr, step, out);
}

static void adamw_scalars(const void *config, double lr, int64_t step, double *out)
{
    fill_scalars(config, true, lr, step, out);
}

const tg_optim_class tg_optim_class_adam = {
    .name = "Adam",
    .attrs = adam_specs,
    .config_size = sizeof(tg_adam_config),
    .check = adam_check,
    .row = row,
    .scalars = adam_scalars,
};

const tg_optim_class tg_optim_class_adamw = {
    .name = "AdamW",
    .attrs = adamw_specs,
    .config_size = sizeof(tg_adam_config),
    .check = adamw_check,
    .row = row,
    .scalars = adamw_scalars,
};

tg_adam_options tg_adam_defaults(void)
{
    return (tg_adam_options){
        .struct_size = sizeof(tg_adam_options), .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
}

tg_adam_options tg_adamw_defaults(void)
{
    tg_adam_options o = tg_adam_defaults();
    o.weight_decay = 1e-2;
    return o;
}

static tg_optimizer *create(tg_runtime *rt, const tg_optim_class *cls, const tg_named_tensors *parameters,
                            const tg_adam_options *options, tg_adam_options o)
{
    if (options)
        memcpy(&o, options,
               options->struct_size && options->struct_size < sizeof o ? options->struct_size : sizeof o);
    tg_adam_config config = {
        .lr = o.lr,
        .betas = {.n = 2, .v = {o.beta1, o.beta2}},
        .eps = o.eps,
        .weight_decay = o.weight_decay,
        .amsgrad = o.amsgrad,
        .maximize = o.maximize,
    };
    return tg_optimizer_new(rt, cls, parameters, &config);
}

tg_optimizer *tg_optim_adam(tg_runtime *rt, const tg_named_tensors *parameters,
                            const tg_adam_options *options)
{
    return create(rt, &tg_optim_class_adam, parameters, options, tg_adam_defaults());
}

tg_optimizer *tg_optim_adamw(tg_runtime *rt, const tg_named_tensors *parameters,
                             const tg_adam_options *options)
{
    return create(rt, &tg_optim_class_adamw, parameters, options, tg_adamw_defaults());
}
