/* Learning-rate schedulers: torch.optim.lr_scheduler's names, formulae and defaults.
 *
 * A scheduler computes each parameter group's rate from what it is at each step (torch's chainable forms), so a rate
 * that was set by hand goes on from there; lr₀ is the rate that the optimizer's first scheduler found in the group. As
 * in torch, some set a rate when they are made. Call tg_scheduler_step after tg_optimizer_step, once an epoch or once
 * a step: step_size, total_iters and so on count these calls. A scheduler keeps the optimizer and does not own it; a
 * step after the optimizer's end is TG_ESTALE. A failed call changes nothing. From the second step on nothing is
 * allocated.
 *
 * NULL on error: TG_EINVAL for counts, factors and rates out of the range that stands with them (a rate, gamma, eta_min
 * and the like must be finite and at least 0), TG_ENOMEM. */
#ifndef TAPEGRAD_SCHEDULER_H
#define TAPEGRAD_SCHEDULER_H

#include <tapegrad/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_optimizer tg_optimizer;
typedef struct tg_scheduler tg_scheduler;

/* A list for one argument: one number for all groups, or one for each. */
#define TG_REALS(...) ((tg_reals){sizeof((double[]){__VA_ARGS__}) / sizeof(double), {__VA_ARGS__}})

/* -- formulae of the epoch e: 1 at the first step ------------------------------------------------------------------ */

/* lr = lr₀·fn(arg, e, group), with e = 0 when it is made; Multiplicative: lr·fn. What fn gives must make a finite rate
 * of at least 0. */
typedef double (*tg_lr_function)(void *arg, int64_t epoch, size_t group);
TG_API tg_scheduler *tg_lr_lambda(tg_optimizer *optimizer, tg_lr_function fn, void *arg);
TG_API tg_scheduler *tg_lr_multiplicative(tg_optimizer *optimizer, tg_lr_function fn, void *arg);
/* Times gamma at each step_size-th step; at each milestone (one that stands there twice: twice); at each step. */
TG_API tg_scheduler *tg_lr_step(tg_optimizer *optimizer, int64_t step_size, double gamma);
TG_API tg_scheduler *tg_lr_multi_step(tg_optimizer *optimizer, const int64_t *milestones, size_t n, double gamma);
TG_API tg_scheduler *tg_lr_exponential(tg_optimizer *optimizer, double gamma);
/* lr₀·factor until step total_iters, then lr₀. 0 ≤ factor ≤ 1. */
TG_API tg_scheduler *tg_lr_constant(tg_optimizer *optimizer, double factor, int64_t total_iters);
/* From lr₀·start_factor in equal steps to lr₀·end_factor at step total_iters. 0 < start_factor ≤ 1, end_factor ≤ 1. */
TG_API tg_scheduler *tg_lr_linear(tg_optimizer *optimizer, double start_factor, double end_factor,
                                  int64_t total_iters);
/* lr₀·(1 − min(e, total_iters)/total_iters)^power. */
TG_API tg_scheduler *tg_lr_polynomial(tg_optimizer *optimizer, int64_t total_iters, double power);
/* eta_min + (lr₀ − eta_min)·(1 + cos(π·e/T_max))/2; past T_max it rises again (Loshchilov and Hutter 2017). */
TG_API tg_scheduler *tg_lr_cosine_annealing(tg_optimizer *optimizer, int64_t t_max, double eta_min);
/* The same fall over T_0 steps, again over T_0·T_mult, and so on, each from lr₀. */
TG_API tg_scheduler *tg_lr_cosine_annealing_warm_restarts(tg_optimizer *optimizer, int64_t t_0, int64_t t_mult,
                                                          double eta_min);

/* Options whose defaults are not zero: change what tg_…_defaults() gives. Lists: TG_REALS(0.1), one number for all
 * groups or one for each. cycle_momentum moves the momentum, or beta1, against the rate: TG_EINVAL for an optimizer
 * that has neither. last_epoch: steps that were done before, −1 for none; then the group's lr₀ must be set. */

/* CyclicLR (Smith 2017): up from base_lr to max_lr in step_size_up steps, down in step_size_down (NaN: as many). Its
 * scale: 1; of cycle c 1/2^(c − 1); gamma^e; or scale_fn of c or of e. */
typedef struct tg_cyclic_options {
    size_t struct_size;
    int64_t last_epoch;
    tg_reals base_lr, max_lr; /* required */
    double step_size_up, step_size_down, gamma;
    int64_t mode;       /* 0 triangular, 1 triangular2, 2 exp_range */
    int64_t scale_mode; /* of scale_fn: 0 cycle, 1 iterations       */
    bool cycle_momentum;
    tg_reals base_momentum, max_momentum;
    double (*scale_fn)(void *arg, double x);
    void *scale_arg;
} tg_cyclic_options;
TG_API tg_cyclic_options tg_cyclic_defaults(void); /* 2000, NaN, 1; cycle_momentum, 0.8, 0.9 */
TG_API tg_scheduler *tg_lr_cyclic(tg_optimizer *optimizer, const tg_cyclic_options *options);

/* OneCycleLR (Smith and Topin 2019): from max_lr/div_factor up to max_lr in pct_start of the steps, then down to
 * max_lr/div_factor/final_div_factor, in three_phase by way of the first. total_steps, or epochs·steps_per_epoch
 * (TG_NONE_INT: not given). A step beyond them is TG_ESTATE. */
typedef struct tg_one_cycle_options {
    size_t struct_size;
    int64_t last_epoch;
    tg_reals max_lr; /* required */
    int64_t total_steps, epochs, steps_per_epoch;
    double pct_start, div_factor, final_div_factor;
    int64_t anneal_strategy; /* 0 cos, 1 linear */
    bool cycle_momentum, three_phase;
    tg_reals base_momentum, max_momentum;
} tg_one_cycle_options;
TG_API tg_one_cycle_options tg_one_cycle_defaults(void); /* 0.3, 25, 1e4; cycle_momentum, 0.85, 0.95 */
TG_API tg_scheduler *tg_lr_one_cycle(tg_optimizer *optimizer, const tg_one_cycle_options *options);

/* ReduceLROnPlateau: times factor when more than `patience` steps in a row brought nothing better than the best so far
 * by the threshold (of it: rel; abs), not below min_lr, and not for a change of eps or less; `cooldown` steps after
 * that do not count. Stepped by tg_scheduler_step_metric. */
typedef struct tg_plateau_options {
    size_t struct_size;
    int64_t mode; /* 0 min, 1 max */
    double factor;
    int64_t patience;
    double threshold;
    int64_t threshold_mode; /* 0 rel, 1 abs */
    int64_t cooldown;
    tg_reals min_lr;
    double eps;
} tg_plateau_options;
TG_API tg_plateau_options tg_plateau_defaults(void); /* min, 0.1, 10, 1e-4, rel, 0, 0, 1e-8 */
/* NULL: the defaults. */
TG_API tg_scheduler *tg_lr_reduce_on_plateau(tg_optimizer *optimizer, const tg_plateau_options *options);

/* -- schedulers of schedulers --------------------------------------------------------------------------------------- */

/* These take their parts over, also when they fail (they are destroyed then); a NULL part fails with the thread's
 * present error, so that constructors can stand in the call. All parts are of one optimizer, none is a
 * ReduceLROnPlateau, none has an owner. */

/* parts[0] until step milestones[0], then parts[1] from its own beginning, …: n parts, n − 1 milestones, which do not
 * fall. The rates start anew from lr₀. TG_EUNSUPPORTED for one of these two as another part than the first, which
 * torch cannot start anew either. */
TG_API tg_scheduler *tg_lr_sequential(tg_optimizer *optimizer, tg_scheduler *const parts[], size_t n,
                                      const int64_t *milestones);
/* Steps all of them, in order. */
TG_API tg_scheduler *tg_lr_chained(tg_scheduler *const parts[], size_t n);
/* A linear warm-up from lr₀·start_factor over `steps` steps, then `after`: the sequence of a LinearLR and that. */
TG_API tg_scheduler *tg_lr_warmup(tg_optimizer *optimizer, int64_t steps, double start_factor, tg_scheduler *after);

/* -- all of them ------------------------------------------------------------------------------------------------------ */

/* By torch's class name and named arguments, last_epoch among them: "StepLR", "OneCycleLR", … TG_EUNKNOWN;
 * TG_EUNSUPPORTED for those that take a function or other schedulers. */
TG_API tg_scheduler *tg_lr_create(tg_optimizer *optimizer, const char *name, const tg_attr *attrs, size_t n);
/* TG_ESTATE where the optimizer has got another group since, or for a ReduceLROnPlateau. */
TG_API tg_status tg_scheduler_step(tg_scheduler *scheduler);
/* With the metric that ReduceLROnPlateau looks at; others do not. */
TG_API tg_status tg_scheduler_step_metric(tg_scheduler *scheduler, double metric);
/* torch's class name; how many steps were done. */
TG_API const char *tg_scheduler_name(const tg_scheduler *scheduler);
TG_API int64_t tg_scheduler_last_epoch(const tg_scheduler *scheduler);
/* What a scheduler counts, its parts' included, as a row of numbers (tg_save has files): returns how many, writes at most
 * `capacity`. Set into one that was made in the same way, it goes on where the other one was; the rates and momenta
 * are the optimizer's. TG_EINVAL for another number of numbers, or one that cannot be. */
TG_API size_t tg_scheduler_state(const tg_scheduler *scheduler, double *out, size_t capacity);
TG_API tg_status tg_scheduler_set_state(tg_scheduler *scheduler, const double *state, size_t n);
/* Does nothing to one that is a part of another: its owner destroys it. NULL is fine. */
TG_API void tg_scheduler_destroy(tg_scheduler *scheduler);

/* What the registry holds, for lists and docs: returns how many, writes at most `capacity` names. */
TG_API size_t tg_lr_list(const char **out, size_t capacity);
/* The attribute table of one; NULL when unknown. */
TG_API const tg_attr_spec *tg_lr_attrs(const char *name);

#ifndef TG_NO_LOCATION
#define tg_lr_lambda(...) TG_AT(tg_lr_lambda(__VA_ARGS__))
#define tg_lr_multiplicative(...) TG_AT(tg_lr_multiplicative(__VA_ARGS__))
#define tg_lr_step(...) TG_AT(tg_lr_step(__VA_ARGS__))
#define tg_lr_multi_step(...) TG_AT(tg_lr_multi_step(__VA_ARGS__))
#define tg_lr_exponential(...) TG_AT(tg_lr_exponential(__VA_ARGS__))
#define tg_lr_constant(...) TG_AT(tg_lr_constant(__VA_ARGS__))
#define tg_lr_linear(...) TG_AT(tg_lr_linear(__VA_ARGS__))
#define tg_lr_polynomial(...) TG_AT(tg_lr_polynomial(__VA_ARGS__))
#define tg_lr_cosine_annealing(...) TG_AT(tg_lr_cosine_annealing(__VA_ARGS__))
#define tg_lr_cosine_annealing_warm_restarts(...) TG_AT(tg_lr_cosine_annealing_warm_restarts(__VA_ARGS__))
#define tg_lr_cyclic(...) TG_AT(tg_lr_cyclic(__VA_ARGS__))
#define tg_lr_one_cycle(...) TG_AT(tg_lr_one_cycle(__VA_ARGS__))
#define tg_lr_reduce_on_plateau(...) TG_AT(tg_lr_reduce_on_plateau(__VA_ARGS__))
#define tg_lr_sequential(...) TG_AT(tg_lr_sequential(__VA_ARGS__))
#define tg_lr_chained(...) TG_AT(tg_lr_chained(__VA_ARGS__))
#define tg_lr_warmup(...) TG_AT(tg_lr_warmup(__VA_ARGS__))
#define tg_lr_create(...) TG_AT(tg_lr_create(__VA_ARGS__))
#define tg_scheduler_step(...) TG_AT(tg_scheduler_step(__VA_ARGS__))
#define tg_scheduler_step_metric(...) TG_AT(tg_scheduler_step_metric(__VA_ARGS__))
#define tg_scheduler_set_state(...) TG_AT(tg_scheduler_set_state(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
