/* Optimizers, learning-rate schedulers, gradient clipping: torch.optim's names, formulae and defaults. */
#ifndef TAPEGRAD_OPTIM_H
#define TAPEGRAD_OPTIM_H

#include <tapegrad/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_optimizer tg_optimizer;
typedef struct tg_scheduler tg_scheduler;

/* Option structs: zero means zero; torch's defaults come from tg_…_defaults(). struct_size 0 is read as the first
 * version's size. */
typedef struct tg_sgd_options {
    size_t struct_size;
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
} tg_sgd_options;
TG_API tg_sgd_options tg_sgd_defaults(void);

typedef struct tg_adam_options {
    size_t struct_size;
    double lr, beta1, beta2, eps, weight_decay;
    bool amsgrad, maximize;
} tg_adam_options;
TG_API tg_adam_options tg_adam_defaults(void);  /* 1e-3, 0.9, 0.999, 1e-8, 0    */
TG_API tg_adam_options tg_adamw_defaults(void); /* 1e-3, 0.9, 0.999, 1e-8, 1e-2 */

/* The optimizer keeps the list of parameters (not the parameters: they must outlive it) and owns its state.
 * NULL on error: lr < 0, momentum < 0, betas outside [0, 1), eps < 0, NaN, nesterov without momentum or with
 * dampening (TG_EINVAL); an empty list (TG_EINVAL). */
TG_API tg_optimizer *tg_optim_sgd(tg_runtime *rt, const tg_named_tensors *parameters, const tg_sgd_options *options);
TG_API tg_optimizer *tg_optim_adam(tg_runtime *rt, const tg_named_tensors *parameters, const tg_adam_options *options);
TG_API tg_optimizer *tg_optim_adamw(tg_runtime *rt, const tg_named_tensors *parameters, const tg_adam_options *options);
/* By torch.optim class name and named arguments ("lr", "betas", …). */
TG_API tg_optimizer *tg_optim_create(tg_runtime *rt, const char *name, const tg_named_tensors *parameters,
                                     const tg_attr *attrs, size_t n);
TG_API void tg_optimizer_destroy(tg_optimizer *optimizer);

/* Updates every parameter that has a gradient, in one pass over all, and consumes the gradients. A parameter without
 * one is skipped: no decay, no momentum. On error nothing has changed, the gradients are still there. */
TG_API tg_status tg_optimizer_step(tg_optimizer *optimizer, tg_tape *tape);
/* Drops the gradients without a step. */
TG_API void tg_optimizer_zero_grad(tg_optimizer *optimizer);
TG_API double tg_optimizer_lr(const tg_optimizer *optimizer);
TG_API tg_status tg_optimizer_set_lr(tg_optimizer *optimizer, double lr);
TG_API const char *tg_optimizer_name(const tg_optimizer *optimizer);

/* Scales all gradients by min(1, max_norm/(norm + 1e-6)), norm the 2-norm of all together (over f64), which goes to
 * *norm where not NULL. torch.nn.utils.clip_grad_norm_. max_norm < 0 or NaN: TG_EINVAL. */
TG_API tg_status tg_clip_grad_norm(tg_tape *tape, const tg_named_tensors *parameters, double max_norm, double *norm);

/* Schedulers set the optimizer's lr at creation (epoch 0) and at each step. They keep the optimizer, not own it. */
TG_API tg_scheduler *tg_lr_step(tg_optimizer *optimizer, int64_t step_size, double gamma);
TG_API tg_scheduler *tg_lr_cosine_annealing(tg_optimizer *optimizer, int64_t t_max, double eta_min);
TG_API tg_scheduler *tg_lr_create(tg_optimizer *optimizer, const char *name, const tg_attr *attrs, size_t n);
TG_API tg_status tg_scheduler_step(tg_scheduler *scheduler);
TG_API void tg_scheduler_destroy(tg_scheduler *scheduler);

/* What the registries hold, for lists and docs: returns how many, writes at most `capacity` names. */
TG_API size_t tg_optim_list(const char **out, size_t capacity);
TG_API size_t tg_lr_list(const char **out, size_t capacity);
/* The attribute table of one; NULL when unknown. */
TG_API const tg_attr_spec *tg_optim_attrs(const char *name);
TG_API const tg_attr_spec *tg_lr_attrs(const char *name);

#ifndef TG_NO_LOCATION
#define tg_optim_sgd(...) TG_AT(tg_optim_sgd(__VA_ARGS__))
#define tg_optim_adam(...) TG_AT(tg_optim_adam(__VA_ARGS__))
#define tg_optim_adamw(...) TG_AT(tg_optim_adamw(__VA_ARGS__))
#define tg_optim_create(...) TG_AT(tg_optim_create(__VA_ARGS__))
#define tg_optimizer_step(...) TG_AT(tg_optimizer_step(__VA_ARGS__))
#define tg_clip_grad_norm(...) TG_AT(tg_clip_grad_norm(__VA_ARGS__))
#define tg_lr_step(...) TG_AT(tg_lr_step(__VA_ARGS__))
#define tg_lr_cosine_annealing(...) TG_AT(tg_lr_cosine_annealing(__VA_ARGS__))
#define tg_lr_create(...) TG_AT(tg_lr_create(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
