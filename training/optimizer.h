/* What optimizers and schedulers share. An optimizer is a class in a file of its own and a word in
 * meson.build: its arguments, which row computes its step and with which scalars; optimizer.c does the rest.
 */
#ifndef TG_TRAINING_OPTIMIZER_H
#define TG_TRAINING_OPTIMIZER_H

#include "autograd/internal.h"
#include <tapegrad/op_attrs.h>
#include <tapegrad/optim.h>

struct tg_walk; /* save.h */

enum { TG_OPTIM_STATES = 3, TG_OPTIM_SCALARS = 8, TG_OPTIM_IN = 5 };

/* The arguments of all classes, by torch's names; a class's table says which are its own. */
typedef struct tg_optim_config {
    double lr, weight_decay, momentum, dampening, eps, alpha, lambd, t0, rho, lr_decay;
    double initial_accumulator_value, momentum_decay, tolerance_grad, tolerance_change;
    union {
        tg_reals betas, etas, ns_coefficients;
    };
    tg_reals step_sizes;
    int64_t max_iter, max_eval, history_size, line_search_fn, ns_steps, adjust_lr_fn;
    bool nesterov, maximize, amsgrad, centered, decoupled_weight_decay;
} tg_optim_config;

/* Flags of an attribute table's rows, beside types.h's. A number without one must be finite. */
enum {
    TG_OPTIM_LOW = 1u << 2,   /* at least 0    */
    TG_OPTIM_BELOW = 1u << 3, /* and below 1   */
    TG_OPTIM_KEEP = 1u << 4   /* with eps 0, all such at 0 divide 0 by 0 where the gradient is 0: refused */
};
#define TG_OPTIM_AT(field) .offset = offsetof(tg_optim_config, field)
#define TG_OPTIM_REAL(field, default_, flags_, doc_)                                                         \
    {                                                                                                        \
        .name = #field, .type = TG_ATTR_REAL, .flags = (flags_), TG_OPTIM_AT(field), .value = (default_),    \
        .doc = doc_                                                                                          \
    }
#define TG_OPTIM_INT(field, default_, doc_)                                                                  \
    {                                                                                                        \
        .name = #field, .type = TG_ATTR_INT, TG_OPTIM_AT(field), .value = (default_), .doc = doc_            \
    }
#define TG_OPTIM_BOOL(field, doc_)                                                                           \
    {                                                                                                        \
        .name = #field, .type = TG_ATTR_BOOL, TG_OPTIM_AT(field), .doc = doc_                                \
    }
/* Rows that several tables have. */
#define TG_OPTIM_LR(default_) TG_OPTIM_REAL(lr, default_, TG_OPTIM_LOW, "learning rate, at least 0")
#define TG_OPTIM_DECAY TG_OPTIM_REAL(weight_decay, 0, TG_OPTIM_LOW, "L2 penalty, at least 0")
#define TG_OPTIM_EPS(default_) TG_OPTIM_REAL(eps, default_, TG_OPTIM_LOW, "added to the divisor, at least 0")
#define TG_OPTIM_MOMENTUM(default_)                                                                          \
    TG_OPTIM_REAL(momentum, default_, TG_OPTIM_LOW, "factor of the old buffer, at least 0")
#define TG_OPTIM_BETAS                                                                                       \
    {                                                                                                        \
        .name = "betas", .type = TG_ATTR_REALS, .flags = TG_OPTIM_BELOW | TG_OPTIM_KEEP, TG_OPTIM_AT(betas), \
        .values = "0.9, 0.999", .doc = "factors of the old averages, in [0, 1)"                              \
    }
#define TG_OPTIM_NESTEROV TG_OPTIM_BOOL(nesterov, "Nesterov's momentum")
#define TG_OPTIM_MAXIMIZE TG_OPTIM_BOOL(maximize, "goes up the gradient")
#define TG_OPTIM_DECOUPLED TG_OPTIM_BOOL(decoupled_weight_decay, "as AdamW")

/* Which operator a configuration's step is. */
typedef struct tg_step_row {
    const char *op;
    unsigned states;  /* bit k: the class's k-th tensor of state takes part: in[2 + k] of a group */
    int64_t attrs[4]; /* the row's attribute struct                                              */
} tg_step_row;

/* What the scalars of one parameter's step depend on. */
typedef struct tg_optim_now {
    const tg_optim_config *config;
    double lr;
    int64_t step;      /* 1: its first                                                       */
    unsigned fresh;    /* bit k: its k-th tensor of state was in no step yet: it is zeros    */
    const double *old; /* two numbers of state, 0 before its first step,                     */
    double *next;      /* and what becomes of them if the step succeeds                      */
    const tg_desc *desc;
} tg_optim_now;

typedef struct tg_optim_class {
    const char *name; /* torch.optim's                                                                    */
    const tg_attr_spec *attrs;
    const char *states; /* names of its tensors of state, "exp_avg|exp_avg_sq"                            */
    /* What the table does not say: fails with a sentence that starts with the class's name. May be NULL. */
    tg_status (*check)(const tg_optim_config *config);
    tg_status (*check_parameter)(const char *name, const tg_desc *desc); /* may be NULL */
    void (*row)(const tg_optim_config *config, tg_step_row *out);
    void (*scalars)(const tg_optim_now *now, double *out);
    /* Changes what the i-th parameter's group of the call is, before anything is written. May be NULL. */
    tg_status (*direction)(tg_optimizer *o, tg_tape *tape, size_t i, tg_tensor **in);
    /* The whole step instead, by a closure. */
    tg_status (*by_closure)(tg_optimizer *o, tg_tape *tape, tg_closure closure, void *arg, double *loss);
    void (*close)(tg_optimizer *o); /* frees o->more; NULL: there is none */
    /* What `more` holds, for a file; `config`: the options that there will be. NULL: nothing. */
    void (*walk)(struct tg_walk *w, tg_optimizer *o, const tg_optim_config *config);
} tg_optim_class;

/* Parameters that share options; group 0 is what the optimizer was made with. A scheduler goes over all
 * n_groups: at its making, where initial_lr is NaN, it sets initial_lr = lr, as torch does; at each step it
 * computes each group's lr from that group's own lr and initial_lr, and writes lr. */
typedef struct tg_group {
    double lr, initial_lr;
    bool own_lr;            /* was given one: tg_optimizer_set_lr leaves it alone */
    tg_optim_config config; /* its lr is the one at the making: not used */
    const tg_operator *op;  /* of row.op */
    tg_step_row row;
} tg_group;
/* What CyclicLR and OneCycleLR cycle against the rate: a group's momentum, or its beta1. To be read and
 * written in [0, 1); the next step takes what is there. NULL where the class has neither ("momentum" nor
 * "betas"). */
double *tg_group_momentum(tg_optimizer *o, size_t group);

struct tg_optimizer {
    const tg_optim_class *cls;
    tg_runtime *rt;
    tg_optim_config config; /* as it was made: what later groups start from */
    tg_group *group;
    size_t n_groups, n_states; /* n_states: the class's */
    size_t n;
    tg_tensor **parameter;
    char **name;
    size_t *group_of;
    tg_tensor **state;   /* n × n_states, NULL until a parameter's first step     */
    int64_t *steps;      /* taken by each parameter                                */
    unsigned char *used; /* bit k: state k has been through a step                 */
    double *memory;      /* two a parameter                                        */
    void *more;          /* a class's own                                          */
    struct tg_scheduler *schedulers; /* all that move it, by their `next` */
    /* Room for one call: */
    tg_tensor **in;
    double *scalars, *next;
    size_t *active;
};

/* scheduler.c. The optimizer is about to go: a step of one of them fails from now on. */
void tg_schedulers_leave(tg_optimizer *o);

tg_optimizer *tg_optimizer_new(tg_runtime *rt, const tg_optim_class *cls, const tg_named_tensors *parameters,
                               const tg_optim_config *config);
/* From a public options struct: struct_size, then the table's arguments in its order (lists as single
 * numbers). */
tg_optimizer *tg_optimizer_from(tg_runtime *rt, const tg_optim_class *cls, const tg_named_tensors *parameters,
                                const void *options, size_t size);
/* The class's defaults in such a struct of `size` bytes. */
void tg_optim_defaults(const tg_optim_class *cls, void *options, size_t size);
/* `config` with the named arguments that are given; unchanged where one fails. */
tg_status tg_optim_configure(const tg_optim_class *cls, const tg_attr *attrs, size_t n,
                             tg_optim_config *config);
tg_status tg_optim_check(const tg_optim_class *cls, const tg_optim_config *config);
/* Makes those tensors of the i-th parameter's state that are not there yet: zeros. */
tg_status tg_optim_make_state(tg_optimizer *o, tg_tape *tape, size_t i, unsigned states);
/* The closure's loss and gradients, from none. */
tg_status tg_optim_evaluate(tg_optimizer *o, tg_tape *tape, tg_closure closure, void *arg, double *loss);
/* TG_EINVAL unless low ≤ value; NaN is not. */
tg_status tg_optim_at_least(const char *what, const char *argument, double value, double low);
/* The row optim_step by `rule`, a tg_step_rule of op_attrs.h. */
void tg_optim_rule(const tg_optim_config *config, int64_t rule, unsigned states, tg_step_row *out);
/* The decays' scalars: out[0] shrinks the parameter, out[1] is the penalty. */
void tg_optim_decays(const tg_optim_now *now, double *out);

/* Every class: optimizers.c, made by the build. */
extern const tg_optim_class *const tg_optim_classes[];
extern const size_t tg_n_optim_classes;

/* The public functions of a class: its options struct is tg_NAME_options. */
#define TG_OPTIM_PUBLIC(NAME)                                                                                \
    tg_##NAME##_options tg_##NAME##_defaults(void)                                                           \
    {                                                                                                        \
        tg_##NAME##_options o;                                                                               \
        tg_optim_defaults(&tg_optim_class_##NAME, &o, sizeof o);                                             \
        return o;                                                                                            \
    }                                                                                                        \
    tg_optimizer *tg_optim_##NAME(tg_runtime *rt, const tg_named_tensors *parameters,                        \
                                  const tg_##NAME##_options *options)                                        \
    {                                                                                                        \
        return tg_optimizer_from(rt, &tg_optim_class_##NAME, parameters, options, sizeof *options);          \
    }
#endif
