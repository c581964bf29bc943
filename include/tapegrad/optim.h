/* Optimizers, learning-rate schedulers, gradient clipping: torch.optim's names, formulae and defaults. */
#ifndef TAPEGRAD_OPTIM_H
#define TAPEGRAD_OPTIM_H

#include <tapegrad/scheduler.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_optimizer tg_optimizer;

/* Option structs: zero means zero; torch's defaults come from tg_…_defaults(). struct_size 0 is read as the
 * first version's size. Adam's are to be changed, not written: one in which beta1, beta2 and eps are all zero
 * divides by zero where the gradient is zero, and is refused.
 *     tg_adam_options o = tg_adam_defaults();
 *     o.lr = 1e-2; */

/* torch.optim.SGD. With g = grad (−grad to maximize) + weight_decay·p, per parameter and step:
 *   b ← g at the parameter's first step, then momentum·b + (1 − dampening)·g      (without momentum: b is g)
 *   p ← p − lr·b, or with nesterov p − lr·(g + momentum·b) */
typedef struct tg_sgd_options {
    size_t struct_size;
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
} tg_sgd_options;
/* 1e-3, and zero for the rest. */
TG_API tg_sgd_options tg_sgd_defaults(void);

/* torch.optim.Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), at a parameter's t-th step:
 *   Adam: g = grad + weight_decay·p;  AdamW: p ← (1 − lr·weight_decay)·p, g = grad
 *   m ← β1·m + (1 − β1)·g;  v ← β2·v + (1 − β2)·g²
 *   amsgrad (Reddi, Kale, Kumar 2018): x ← max(x, v), and x for v below
 *   p ← p − lr/(1 − β1ᵗ) · m/(√v/√(1 − β2ᵗ) + eps) */
typedef struct tg_adam_options {
    size_t struct_size;
    double lr, beta1, beta2, eps, weight_decay;
    bool amsgrad, maximize;
} tg_adam_options;
TG_API tg_adam_options tg_adam_defaults(void);  /* 1e-3, 0.9, 0.999, 1e-8, 0    */
TG_API tg_adam_options tg_adamw_defaults(void); /* 1e-3, 0.9, 0.999, 1e-8, 1e-2 */

/* The optimizer copies the list of parameters (not the parameters: they must outlive it) and owns its state:
 * one or more tensors a parameter, made at the parameter's first step. f32 and f64 may be mixed. `options`
 * NULL: the defaults. NULL on error: lr, momentum, weight_decay or eps below 0 or not finite, betas outside
 * [0, 1), Adam's betas and eps all 0, nesterov without momentum or with dampening, an empty list, a parameter twice, of another runtime
 * or that is no leaf (TG_EINVAL); a destroyed one (TG_ESTALE); one that is not f32 or f64 (TG_EDTYPE);
 * TG_ENOMEM.
 *     tg_optim_sgd(rt, tg_module_parameters(net), &(tg_sgd_options){.lr = 0.05, .momentum = 0.9}) */
TG_API tg_optimizer *tg_optim_sgd(tg_runtime *rt, const tg_named_tensors *parameters,
                                  const tg_sgd_options *options);
TG_API tg_optimizer *tg_optim_adam(tg_runtime *rt, const tg_named_tensors *parameters,
                                   const tg_adam_options *options);
TG_API tg_optimizer *tg_optim_adamw(tg_runtime *rt, const tg_named_tensors *parameters,
                                    const tg_adam_options *options);
/* By torch.optim class name and named arguments ("lr", "betas", …): "SGD", "Adam", "AdamW". TG_EUNKNOWN for
 * another name or argument. */
TG_API tg_optimizer *tg_optim_create(tg_runtime *rt, const char *name, const tg_named_tensors *parameters,
                                     const tg_attr *attrs, size_t n);
/* NULL is fine. */
TG_API void tg_optimizer_destroy(tg_optimizer *optimizer);

/* Updates every parameter that has a gradient, in one operator call over all, and consumes the gradients. A
 * parameter without one is skipped: no decay, no momentum, and its own count of steps stays. On error nothing
 * has changed and the gradients are still there; a tape that carries an error already makes this return it.
 * From the second step on it allocates nothing. */
TG_API tg_status tg_optimizer_step(tg_optimizer *optimizer, tg_tape *tape);
/* Drops the gradients without a step. */
TG_API void tg_optimizer_zero_grad(tg_optimizer *optimizer);
/* The rate of the next step; schedulers change it. TG_EINVAL for a negative one, NaN or an infinity. */
TG_API double tg_optimizer_lr(const tg_optimizer *optimizer);
TG_API tg_status tg_optimizer_set_lr(tg_optimizer *optimizer, double lr);
/* torch.optim's: "SGD". */
TG_API const char *tg_optimizer_name(const tg_optimizer *optimizer);

/* Scales all gradients by min(1, max_norm/(norm + 1e-6)), norm the 2-norm of all together (over f64), which
 * goes to *norm where not NULL (0 where there is no gradient). A norm that is NaN makes all gradients NaN, an
 * infinite one zeroes the finite ones. torch.nn.utils.clip_grad_norm_. max_norm < 0 or NaN: TG_EINVAL; on
 * error no gradient has changed. */
TG_API tg_status tg_clip_grad_norm(tg_tape *tape, const tg_named_tensors *parameters, double max_norm,
                                   double *norm);

/* What the registries hold, for lists and docs: returns how many, writes at most `capacity` names. */
TG_API size_t tg_optim_list(const char **out, size_t capacity);
/* The attribute table of one; NULL when unknown. */
TG_API const tg_attr_spec *tg_optim_attrs(const char *name);

#ifndef TG_NO_LOCATION
#define tg_optim_sgd(...) TG_AT(tg_optim_sgd(__VA_ARGS__))
#define tg_optim_adam(...) TG_AT(tg_optim_adam(__VA_ARGS__))
#define tg_optim_adamw(...) TG_AT(tg_optim_adamw(__VA_ARGS__))
#define tg_optim_create(...) TG_AT(tg_optim_create(__VA_ARGS__))
#define tg_optimizer_step(...) TG_AT(tg_optimizer_step(__VA_ARGS__))
#define tg_clip_grad_norm(...) TG_AT(tg_clip_grad_norm(__VA_ARGS__))
#define tg_optimizer_set_lr(...) TG_AT(tg_optimizer_set_lr(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
