/* What scheduler.c and the formulae of schedules.c share. */
#ifndef TG_TRAINING_SCHEDULER_H
#define TG_TRAINING_SCHEDULER_H

#include "training/optimizer.h"

#include <tapegrad/scheduler.h>

enum { TG_LR_CONFIG = 400 };

typedef struct tg_lr_class {
    const char *name; /* torch.optim.lr_scheduler's */
    const tg_attr_spec *attrs;
    size_t size; /* of the config struct */
    /* Ranges, beyond "every number is finite and at least 0": fails with a sentence that starts with the
     * name. */
    tg_status (*check)(const void *config);
    /* Group g's rate at s->now.epoch, from what it is; and its momentum, into s->momentum[g], where it
     * cycles. NULL: not by epochs alone. */
    double (*next)(tg_scheduler *s, size_t g, double lr);
    /* The rate at epoch 0 from lr₀ where a sequence starts this part anew. NULL: `next`'s. */
    double (*anew)(const tg_scheduler *s, double base);
    const char *made_by; /* the function, where names and numbers are not enough */
} tg_lr_class;

/* What moves. */
typedef struct tg_lr_now {
    int64_t epoch, bad, cooling;
    double t_cur, t_i, best;
} tg_lr_now;

struct tg_scheduler {
    const tg_lr_class *cls;
    tg_runtime *rt;
    tg_optimizer *optimizer; /* NULL once it was destroyed */
    tg_scheduler *next;      /* of the optimizer           */
    tg_lr_now now, kept; /* kept: before the step under way */
    bool initial;        /* torch's first step, taken by the constructor */
    bool cycles;         /* the momentum, too */
    bool owned;          /* by another scheduler */
    size_t n_groups;
    double *base;                  /* each group's lr₀; all arrays lie behind the struct */
    double *lr, *momentum;         /* what the step under way computes          */
    double *kept_lr, *kept_moment; /* what the groups had before it             */
    double *kept_first;            /* their lr₀ before it was made              */
    int64_t *milestone;
    size_t n_milestones;
    tg_scheduler **part;
    size_t n_parts;
    tg_lr_function fn;
    void *arg;
    _Alignas(16) unsigned char config[TG_LR_CONFIG];
};

/* schedules.c */
typedef struct tg_plain_config {
    int64_t last_epoch;
    int64_t count, count2;  /* step_size, total_iters, T_max, T_0 and T_mult */
    double factor, factor2; /* gamma, factor, start_factor and end_factor, power, eta_min */
    tg_ints milestones;
} tg_plain_config;

/* All of them, in the registry's order: TG_LR_NAME, torch's name, arguments, config, `check`, `next`, `anew`, `made_by`. */
#define TG_LR_ALL(X)                                                                                         \
    X(LAMBDA, "LambdaLR", function_attrs, tg_plain_config, NULL, lambda_next, NULL, "tg_lr_lambda")          \
    X(MULTIPLICATIVE, "MultiplicativeLR", function_attrs, tg_plain_config, NULL, multiplicative_next, NULL,  \
      "tg_lr_multiplicative")                                                                                \
    X(STEP, "StepLR", step_attrs, tg_plain_config, NULL, step_next, from_base, NULL)                         \
    X(MULTI_STEP, "MultiStepLR", multi_step_attrs, tg_plain_config, NULL, multi_step_next, multi_step_anew,  \
      NULL)                                                                                                  \
    X(CONSTANT, "ConstantLR", constant_attrs, tg_plain_config, NULL, constant_next, constant_anew, NULL)     \
    X(LINEAR, "LinearLR", linear_attrs, tg_plain_config, linear_check, linear_next, linear_anew, NULL)       \
    X(EXPONENTIAL, "ExponentialLR", exponential_attrs, tg_plain_config, NULL, exponential_next, from_base,   \
      NULL)                                                                                                  \
    X(POLYNOMIAL, "PolynomialLR", polynomial_attrs, tg_plain_config, NULL, polynomial_next, from_base, NULL) \
    X(COSINE, "CosineAnnealingLR", cosine_attrs, tg_plain_config, NULL, cosine_next, cosine_anew, NULL)      \
    X(WARM_RESTARTS, "CosineAnnealingWarmRestarts", warm_restarts_attrs, tg_plain_config, NULL,              \
      warm_restarts_next, NULL, NULL)                                                                        \
    X(CYCLIC, "CyclicLR", cyclic_attrs, tg_cyclic_options, cyclic_check, cyclic_next, NULL, NULL)            \
    X(ONE_CYCLE, "OneCycleLR", one_cycle_attrs, tg_one_cycle_options, one_cycle_check, one_cycle_next, NULL, \
      NULL)                                                                                                  \
    X(PLATEAU, "ReduceLROnPlateau", plateau_attrs, tg_plateau_options, plateau_check, NULL, NULL, NULL)      \
    X(SEQUENTIAL, "SequentialLR", function_attrs + 1, tg_plain_config, NULL, NULL, NULL, "tg_lr_sequential") \
    X(CHAINED, "ChainedScheduler", function_attrs + 1, tg_plain_config, NULL, NULL, NULL, "tg_lr_chained")

#define TG_LR_NUMBER(NAME, ...) TG_LR_##NAME,
enum { TG_LR_ALL(TG_LR_NUMBER) TG_N_LR };
extern const tg_lr_class tg_lr_classes[TG_N_LR];

/* One number for all groups, or each one's. */
static inline double tg_lr_of_group(const tg_reals *list, size_t g)
{
    return list->v[list->n == 1 ? 0 : g];
}
/* scheduler.c. One for the optimizer's groups, which has not touched them; NULL on TG_ENOMEM. */
tg_scheduler *tg_scheduler_new(tg_optimizer *o, int which, const int64_t *milestones, size_t n_milestones,
                               size_t n_parts);
bool tg_lr_is(const tg_scheduler *s, int which);
void tg_lr_read_groups(const tg_scheduler *s, double *lr, double *momentum);
void tg_lr_write_groups(const tg_scheduler *s, const double *lr, const double *momentum, bool cycles);
/* How many milestones are not behind `epoch`: torch's bisect_right. */
size_t tg_lr_place(const tg_scheduler *s, int64_t epoch);
/* TG_ESTALE where the optimizer was destroyed, TG_ESTATE where it has got another group since. */
tg_status tg_lr_check_optimizer(const tg_scheduler *s);
/* One epoch on. A failed one may have changed parts. */
tg_status tg_lr_advance(tg_scheduler *s);

/* schedules.c. Before the first step: the rates, lr₀ and momenta that torch's constructors of these two set. */
void tg_lr_start_cyclic(tg_scheduler *s);
void tg_lr_start_one_cycle(tg_scheduler *s);
/* ReduceLROnPlateau's step, but for the counting of epochs. */
void tg_lr_plateau(tg_scheduler *s, double metric);

#endif
