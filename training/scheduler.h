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
    tg_optimizer *optimizer;
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

extern const tg_lr_class tg_lr_classes[];
enum {
    TG_LR_LAMBDA,
    TG_LR_MULTIPLICATIVE,
    TG_LR_STEP,
    TG_LR_MULTI_STEP,
    TG_LR_CONSTANT,
    TG_LR_LINEAR,
    TG_LR_EXPONENTIAL,
    TG_LR_POLYNOMIAL,
    TG_LR_COSINE,
    TG_LR_WARM_RESTARTS,
    TG_LR_CYCLIC,
    TG_LR_ONE_CYCLE,
    TG_LR_PLATEAU,
    TG_LR_SEQUENTIAL,
    TG_LR_CHAINED,
    TG_N_LR
};

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
/* One epoch on. A failed one may have changed parts. */
tg_status tg_lr_advance(tg_scheduler *s);

/* schedules.c. Before the first step: the rates, lr₀ and momenta that torch's constructors of these two set. */
void tg_lr_start_cyclic(tg_scheduler *s);
void tg_lr_start_one_cycle(tg_scheduler *s);
/* ReduceLROnPlateau's step, but for the counting of epochs. */
void tg_lr_plateau(tg_scheduler *s, double metric);

#endif
