/* What optimizers and schedulers share. An optimizer's class says which row computes its step and with which
 * scalars; optimizer.c does the rest. */
#ifndef TG_TRAINING_OPTIMIZER_H
#define TG_TRAINING_OPTIMIZER_H

#include "autograd/internal.h"
#include <tapegrad/op_attrs.h>
#include <tapegrad/optim.h>

enum { TG_OPTIM_CONFIG = 160, TG_OPTIM_STATES = 4, TG_OPTIM_SCALARS = 8 };

/* Which operator a configuration's step is. */
typedef struct tg_step_row {
    const char *op;
    size_t n_state;   /* tensors of state a parameter, after [param, grad] in the row's groups */
    int64_t attrs[4]; /* the row's attribute struct                                            */
} tg_step_row;

typedef struct tg_optim_class {
    const char *name; /* torch.optim's                                        */
    const tg_attr_spec *attrs;
    size_t config_size;
    /* Ranges: fails with a sentence that starts with the class's name. */
    tg_status (*check)(const void *config);
    void (*row)(const void *config, tg_step_row *out);
    /* The scalars of step number `step` (1 is a parameter's first) at this lr. */
    void (*scalars)(const void *config, double lr, int64_t step, double *out);
} tg_optim_class;

/* The config struct of every class starts with its lr. */
typedef struct tg_sgd_config {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
} tg_sgd_config;

typedef struct tg_adam_config {
    double lr;
    tg_reals betas;
    double eps, weight_decay;
    bool amsgrad, maximize, decoupled_weight_decay;
} tg_adam_config;

extern const tg_optim_class tg_optim_class_sgd, tg_optim_class_adam, tg_optim_class_adamw;

/* Parameters that share options; group 0 is what the optimizer was made with. A scheduler goes over all n_groups:
 * at its making, where initial_lr is NaN, it sets initial_lr = lr, as torch does; at each step it computes each
 * group's lr from that group's own lr and initial_lr, and writes lr. */
typedef struct tg_group {
    double lr, initial_lr;
    _Alignas(16) unsigned char config[TG_OPTIM_CONFIG]; /* its lr is the one at the making: not used */
} tg_group;
/* What CyclicLR and OneCycleLR cycle against the rate: a group's momentum, or its beta1. To be read and written in
 * [0, 1); the next step takes what is there. NULL where the class has neither ("momentum" nor "betas"). */
double *tg_group_momentum(tg_optimizer *o, size_t group);

struct tg_optimizer {
    const tg_optim_class *cls;
    tg_runtime *rt;
    const tg_operator *op;
    tg_step_row row;
    tg_group *group;
    size_t n_groups;
    union { /* lr and initial_lr: of group 0, until all schedulers go over the groups */
        tg_group first;
        struct {
            double lr, initial_lr;
        };
    };
    size_t n;
    tg_tensor **parameter;
    char **name;
    tg_tensor **state; /* n × row.n_state, NULL until a parameter's first step       */
    int64_t *steps;    /* taken by each parameter                                     */
    /* Room for one call: */
    tg_tensor **in;
    double *scalars;
    size_t *active;
};

tg_optimizer *tg_optimizer_new(tg_runtime *rt, const tg_optim_class *cls, const tg_named_tensors *parameters,
                               const void *config);
/* TG_EINVAL unless low ≤ value; NaN is not. */
tg_status tg_optim_at_least(const char *what, const char *argument, double value, double low);

#endif
