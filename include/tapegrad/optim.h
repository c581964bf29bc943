/* Optimizers, learning-rate schedulers, gradient clipping: torch.optim's names, formulae and defaults. */
#ifndef TAPEGRAD_OPTIM_H
#define TAPEGRAD_OPTIM_H

#include <tapegrad/scheduler.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_optimizer tg_optimizer;

/* -- options ----------------------------------------------------------------------------------------------- */

/* Option structs: zero means zero; torch's defaults come from tg_…_defaults(). struct_size 0 is read as the struct's
 * own size. Those with averages are to be changed, not written: one in which eps and every factor of an old average
 * are zero divides by zero where the gradient is zero, and is refused.
 *     tg_adam_options o = tg_adam_defaults();
 *     o.lr = 1e-2;
 * In the formulae g = grad (−grad to maximize) + weight_decay·p; where decoupled_weight_decay is set (AdamW, Muon:
 * always) p ← (1 − lr·weight_decay)·p comes first and g is the gradient alone. t counts the parameter's own steps. */

/* torch.optim.SGD.
 *   b ← g at the parameter's first step, then momentum·b + (1 − dampening)·g      (without momentum: b is g)
 *   p ← p − lr·b, or with nesterov p − lr·(g + momentum·b) */
typedef struct tg_sgd_options {
    size_t struct_size;
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
} tg_sgd_options;
TG_API tg_sgd_options tg_sgd_defaults(void); /* 1e-3, and zero for the rest */

/* torch.optim.Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019):
 *   m ← β1·m + (1 − β1)·g;  v ← β2·v + (1 − β2)·g²
 *   amsgrad (Reddi, Kale, Kumar 2018): x ← max(x, v), and x for v below
 *   p ← p − lr/(1 − β1ᵗ) · m/(√v/√(1 − β2ᵗ) + eps) */
typedef struct tg_adam_options {
    size_t struct_size;
    double lr, beta1, beta2, eps, weight_decay;
    bool amsgrad, maximize, decoupled_weight_decay; /* the last: Adam's; AdamW does not read it */
} tg_adam_options;
typedef tg_adam_options tg_adamw_options;
TG_API tg_adam_options tg_adam_defaults(void);   /* 1e-3, 0.9, 0.999, 1e-8, 0    */
TG_API tg_adamw_options tg_adamw_defaults(void); /* 1e-3, 0.9, 0.999, 1e-8, 1e-2 */

/* torch.optim.RMSprop (Tieleman and Hinton 2012):
 *   v ← α·v + (1 − α)·g²;  centered (Graves 2013): a ← α·a + (1 − α)·g, and v − a² for v below
 *   b ← momentum·b + g/(√v + eps);  p ← p − lr·b */
typedef struct tg_rmsprop_options {
    size_t struct_size;
    double lr, alpha, eps, weight_decay, momentum;
    bool centered, maximize;
} tg_rmsprop_options;
TG_API tg_rmsprop_options tg_rmsprop_defaults(void); /* 1e-2, 0.99, 1e-8, 0, 0 */

/* torch.optim.Adagrad (Duchi, Hazan, Singer 2011): s starts at initial_accumulator_value.
 *   s ← s + g²;  p ← p − lr/(1 + (t − 1)·lr_decay) · g/(√s + eps) */
typedef struct tg_adagrad_options {
    size_t struct_size;
    double lr, lr_decay, weight_decay, initial_accumulator_value, eps;
    bool maximize;
} tg_adagrad_options;
TG_API tg_adagrad_options tg_adagrad_defaults(void); /* 1e-2, 0, 0, 0, 1e-10 */

/* torch.optim.Adadelta (Zeiler 2012):
 *   v ← ρ·v + (1 − ρ)·g²;  d = √(u + eps)/√(v + eps)·g;  u ← ρ·u + (1 − ρ)·d²;  p ← p − lr·d */
typedef struct tg_adadelta_options {
    size_t struct_size;
    double lr, rho, eps, weight_decay;
    bool maximize;
} tg_adadelta_options;
TG_API tg_adadelta_options tg_adadelta_defaults(void); /* 1, 0.9, 1e-6, 0 */

/* torch.optim.Adamax (Kingma and Ba 2015):
 *   m ← β1·m + (1 − β1)·g;  u ← max(β2·u, |g| + eps);  p ← p − lr/(1 − β1ᵗ) · m/u */
typedef struct tg_adamax_options {
    size_t struct_size;
    double lr, beta1, beta2, eps, weight_decay;
    bool maximize;
} tg_adamax_options;
TG_API tg_adamax_options tg_adamax_defaults(void); /* 2e-3, 0.9, 0.999, 1e-8, 0 */

/* torch.optim.NAdam (Dozat 2016), with μ_t = β1·(1 − 0.96^(t·momentum_decay)/2) and M = μ₁⋯μ_t, m and v as Adam's:
 *   p ← p − lr·((1 − μ_t)/(1 − M)·g + μ_{t+1}/(1 − M·μ_{t+1})·m)/(√(v/(1 − β2ᵗ)) + eps) */
typedef struct tg_nadam_options {
    size_t struct_size;
    double lr, beta1, beta2, eps, weight_decay, momentum_decay;
    bool decoupled_weight_decay, maximize;
} tg_nadam_options;
TG_API tg_nadam_options tg_nadam_defaults(void); /* 2e-3, 0.9, 0.999, 1e-8, 0, 4e-3 */

/* torch.optim.RAdam (Liu et al. 2020), with ρ∞ = 2/(1 − β2) − 1 and ρ = ρ∞ − 2t·β2ᵗ/(1 − β2ᵗ), m and v as Adam's:
 *   p ← p − lr/(1 − β1ᵗ)·m·r·√(1 − β2ᵗ)/(√v + eps) where ρ > 5, else p − lr/(1 − β1ᵗ)·m
 *   r² = (ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ) */
typedef struct tg_radam_options {
    size_t struct_size;
    double lr, beta1, beta2, eps, weight_decay;
    bool decoupled_weight_decay, maximize;
} tg_radam_options;
TG_API tg_radam_options tg_radam_defaults(void); /* 1e-3, 0.9, 0.999, 1e-8, 0 */

/* torch.optim.Rprop (Riedmiller and Braun 1993): h starts at lr.
 *   h ← h·(etaplus where g·g' > 0, etaminus where < 0, else 1), within [step_min, step_max]
 *   g ← 0 where g·g' < 0;  p ← p − h·sign(g);  g' ← g */
typedef struct tg_rprop_options {
    size_t struct_size;
    double lr, etaminus, etaplus, step_min, step_max;
    bool maximize;
} tg_rprop_options;
TG_API tg_rprop_options tg_rprop_defaults(void); /* 1e-2, 0.5, 1.2, 1e-6, 50 */

/* torch.optim.ASGD (Polyak and Juditsky 1992): η is lr at the first step, then lr/(1 + lambd·lr·t)^alpha of the step
 * before. The average is the state "ax".
 *   p ← (1 − lambd·η)·p − η·g;  ax ← ax + (p − ax)/max(1, t − 1 − t0) */
typedef struct tg_asgd_options {
    size_t struct_size;
    double lr, lambd, alpha, t0, weight_decay;
    bool maximize;
} tg_asgd_options;
TG_API tg_asgd_options tg_asgd_defaults(void); /* 1e-2, 1e-4, 0.75, 1e6, 0 */

/* torch.optim.Muon (Jordan et al. 2024), for matrices: with a momentum buffer b,
 *   b ← momentum·b + (1 − momentum)·grad;  u = momentum·b + (1 − momentum)·grad with nesterov, else b
 *   u, of at most as many rows as columns (else transposed), goes over max(its 2-norm, eps), then ns_steps times
 *   u ← a·u + (b·A + c·A²)·u with A = u·uᵀ;  p ← (1 − lr·weight_decay)·p − lr·s·u
 * where s of R rows and C columns is √max(1, R/C) (original), 0.2·√max(R, C) (match_rms_adamw) or √(R/C)
 * (spectral_unclamped). In the parameter's dtype, where torch computes u in bfloat16. */
enum { TG_MUON_ORIGINAL, TG_MUON_MATCH_RMS_ADAMW, TG_MUON_SPECTRAL_UNCLAMPED };
typedef struct tg_muon_options {
    size_t struct_size;
    double lr, weight_decay, momentum;
    bool nesterov;
    double ns_coefficients[3], eps;
    int64_t ns_steps, adjust_lr_fn;
} tg_muon_options;
TG_API tg_muon_options tg_muon_defaults(void); /* 1e-3, 0.1, 0.95, true, {3.4445, −4.775, 2.0315}, 1e-7, 5, original */

/* torch.optim.LBFGS (Liu and Nocedal 1989): takes tg_optimizer_step_closure only, and one group of parameters of one
 * dtype. A step is up to max_iter iterations: a direction from the last history_size gradients, then as far as lr says,
 * or with TG_LBFGS_STRONG_WOLFE to where the Wolfe conditions hold. It ends where no gradient is above tolerance_grad, or
 * loss and parameters change by less than tolerance_change. A step that fails leaves the parameters as they were and
 * forgets the history; what the closure's own forwards did before (running statistics, random draws) stays, they are the
 * program's. Memory: 2·history_size + 5 (line search: 9) times the parameters. */
enum { TG_LBFGS_NO_SEARCH, TG_LBFGS_STRONG_WOLFE };
typedef struct tg_lbfgs_options {
    size_t struct_size;
    double lr;
    int64_t max_iter, max_eval; /* max_eval 0: max_iter·5/4 */
    double tolerance_grad, tolerance_change;
    int64_t history_size, line_search_fn;
    bool maximize;
} tg_lbfgs_options;
TG_API tg_lbfgs_options tg_lbfgs_defaults(void); /* 1, 20, 0, 1e-7, 1e-9, 100, no search */

/* -- making and destroying --------------------------------------------------------------------------------- */

/* The optimizer copies the list of parameters (not the parameters: they must outlive it) and owns its state:
 * one or more tensors a parameter, made at the parameter's first step. f32 and f64 may be mixed. `options`
 * NULL: the defaults. NULL on error: lr, momentum, weight_decay, eps or the like below 0 or not finite, betas outside
 * [0, 1), what divides by zero (above), nesterov without momentum or with dampening, etas that are not 0 < etaminus < 1
 * < etaplus, an empty list, a parameter twice, of another runtime or that is no leaf (TG_EINVAL); a destroyed one
 * (TG_ESTALE); one that is not f32 or f64 (TG_EDTYPE), Muon's that is no matrix (TG_ESHAPE); TG_ENOMEM.
 *     tg_optim_sgd(rt, tg_module_parameters(net), &(tg_sgd_options){.lr = 0.05, .momentum = 0.9}) */
TG_API tg_optimizer *tg_optim_sgd(tg_runtime *rt, const tg_named_tensors *parameters,
                                  const tg_sgd_options *options);
TG_API tg_optimizer *tg_optim_adam(tg_runtime *rt, const tg_named_tensors *parameters,
                                   const tg_adam_options *options);
TG_API tg_optimizer *tg_optim_adamw(tg_runtime *rt, const tg_named_tensors *parameters,
                                    const tg_adam_options *options);
TG_API tg_optimizer *tg_optim_rmsprop(tg_runtime *rt, const tg_named_tensors *parameters,
                                      const tg_rmsprop_options *options);
TG_API tg_optimizer *tg_optim_adagrad(tg_runtime *rt, const tg_named_tensors *parameters,
                                      const tg_adagrad_options *options);
TG_API tg_optimizer *tg_optim_adadelta(tg_runtime *rt, const tg_named_tensors *parameters,
                                       const tg_adadelta_options *options);
TG_API tg_optimizer *tg_optim_adamax(tg_runtime *rt, const tg_named_tensors *parameters,
                                     const tg_adamax_options *options);
TG_API tg_optimizer *tg_optim_nadam(tg_runtime *rt, const tg_named_tensors *parameters,
                                    const tg_nadam_options *options);
TG_API tg_optimizer *tg_optim_radam(tg_runtime *rt, const tg_named_tensors *parameters,
                                    const tg_radam_options *options);
TG_API tg_optimizer *tg_optim_rprop(tg_runtime *rt, const tg_named_tensors *parameters,
                                    const tg_rprop_options *options);
TG_API tg_optimizer *tg_optim_asgd(tg_runtime *rt, const tg_named_tensors *parameters,
                                   const tg_asgd_options *options);
TG_API tg_optimizer *tg_optim_muon(tg_runtime *rt, const tg_named_tensors *parameters,
                                   const tg_muon_options *options);
TG_API tg_optimizer *tg_optim_lbfgs(tg_runtime *rt, const tg_named_tensors *parameters,
                                    const tg_lbfgs_options *options);
/* By torch.optim class name and torch's named arguments ("lr", "betas", …; see tg_optim_list). foreach, fused,
 * capturable and differentiable (not true) are taken and change nothing. TG_EUNKNOWN for another name or argument. */
TG_API tg_optimizer *tg_optim_create(tg_runtime *rt, const char *name, const tg_named_tensors *parameters,
                                     const tg_attr *attrs, size_t n);
/* NULL is fine. */
TG_API void tg_optimizer_destroy(tg_optimizer *optimizer);

/* -- groups of parameters ---------------------------------------------------------------------------------- */

/* Parameters with options of their own: what the optimizer was made with, and `attrs` by torch's names over that. Those
 * it was made with are group 0. A step is still one call over all of them (groups whose step is another row, as with
 * and without momentum or maximize, are one call a row). On error nothing has changed; the errors are those of making,
 * TG_EINVAL also for a parameter that is in a group already.
 *     tg_optimizer_add_group(opt, tg_module_parameters(head), (tg_attr[]){{"lr", TG_ATTR_REAL, {.f = 0.1}}}, 1) */
TG_API tg_status tg_optimizer_add_group(tg_optimizer *optimizer, const tg_named_tensors *parameters,
                                        const tg_attr *attrs, size_t n);
/* The same for parameters that the optimizer has: those for which `which` is true leave their groups for the new one,
 * with their state. None: there is no new group. */
typedef bool (*tg_parameter_filter)(void *arg, const char *name, const tg_tensor *parameter);
TG_API tg_status tg_optimizer_split(tg_optimizer *optimizer, tg_parameter_filter which, void *arg,
                                    const tg_attr *attrs, size_t n);
/* Keeps weight decay off norms and biases: a group with weight_decay 0 of every parameter of `net` that is called a
 * bias, belongs to a norm layer (its class's name has "Norm"), or has less than two dims.
 *     tg_optimizer *opt = tg_optim_adamw(rt, tg_module_parameters(net), NULL);
 *     tg_optimizer_no_decay(opt, net); */
TG_API tg_status tg_optimizer_no_decay(tg_optimizer *optimizer, tg_module *net);
TG_API size_t tg_optimizer_n_groups(const tg_optimizer *optimizer);

/* The rate of the next step; schedulers change it. NaN where there is no such group. TG_EINVAL for a negative one, NaN
 * or an infinity. tg_optimizer_lr is group 0's; tg_optimizer_set_lr sets all groups but those that were given an lr of
 * their own. */
TG_API double tg_optimizer_lr(const tg_optimizer *optimizer);
TG_API tg_status tg_optimizer_set_lr(tg_optimizer *optimizer, double lr);
TG_API double tg_optimizer_group_lr(const tg_optimizer *optimizer, size_t group);
TG_API tg_status tg_optimizer_set_group_lr(tg_optimizer *optimizer, size_t group, double lr);

/* -- steps --------------------------------------------------------------------------------------------------- */

/* Updates every parameter that has a gradient, in one operator call over all, and consumes the gradients. A
 * parameter without one is skipped: no decay, no momentum, and its own count of steps stays. On error nothing
 * has changed and the gradients are still there; a tape that carries an error already makes this return it. (Groups of
 * several rows: of what a kernel or a watch, as anomaly mode, finds only once rows run, those before it have happened.)
 * From the second step on it allocates nothing. */
TG_API tg_status tg_optimizer_step(tg_optimizer *optimizer, tg_tape *tape);
/* Drops the gradients without a step. */
TG_API void tg_optimizer_zero_grad(tg_optimizer *optimizer);
/* The same with a closure, which resets the tape, computes the loss, sends it back and returns it (or NULL, after a
 * failure). Its gradients start at none. Any optimizer takes one, and calls it once; LBFGS, as often as it needs. *loss
 * (may be NULL): of the first evaluation.
 *     static tg_tensor *closure(void *arg, tg_tape *tape)
 *     {
 *         tg_tape_reset(tape);
 *         tg_tensor *loss = …;
 *         return tg_backward(tape, loss) ? NULL : loss;
 *     } */
typedef tg_tensor *(*tg_closure)(void *arg, tg_tape *tape);
TG_API tg_status tg_optimizer_step_closure(tg_optimizer *optimizer, tg_tape *tape, tg_closure closure, void *arg,
                                           double *loss);
/* torch.optim's: "SGD". */
TG_API const char *tg_optimizer_name(const tg_optimizer *optimizer);
/* A parameter's tensor of state by torch's name ("exp_avg", "momentum_buffer"), borrowed; NULL before its first step
 * and where there is none. How many steps it took: −1 for an unknown one. state_dict and load_state_dict: tg_save and
 * tg_load (save.h). */
TG_API tg_tensor *tg_optimizer_state(const tg_optimizer *optimizer, const char *parameter, const char *state);
TG_API int64_t tg_optimizer_steps(const tg_optimizer *optimizer, const char *parameter);

/* -- gradients ----------------------------------------------------------------------------------------------- */

/* Scales all gradients by min(1, max_norm/(norm + 1e-6)), norm the 2-norm of all together (over f64), which
 * goes to *norm where not NULL (0 where there is no gradient). A norm that is NaN makes all gradients NaN, an
 * infinite one zeroes the finite ones. torch.nn.utils.clip_grad_norm_. max_norm < 0 or NaN: TG_EINVAL; on
 * error no gradient has changed. */
TG_API tg_status tg_clip_grad_norm(tg_tape *tape, const tg_named_tensors *parameters, double max_norm,
                                   double *norm);
/* The same with another norm: the p-norm over all elements, norm_type p > 0, INFINITY for the largest |g|. Other norms
 * than 2 cost a call a gradient. And the norm alone (torch.nn.utils.get_total_norm of the gradients). */
TG_API tg_status tg_clip_grad_norm_by(tg_tape *tape, const tg_named_tensors *parameters, double max_norm,
                                      double norm_type, double *norm);
TG_API tg_status tg_grad_norm(tg_tape *tape, const tg_named_tensors *parameters, double norm_type, double *norm);
/* Every gradient's elements into [−clip_value, clip_value], NaN stays. torch.nn.utils.clip_grad_value_. clip_value < 0
 * or NaN: TG_EINVAL. */
TG_API tg_status tg_clip_grad_value(tg_tape *tape, const tg_named_tensors *parameters, double clip_value);

/* -- the registry ---------------------------------------------------------------------------------------------- */

/* What it holds, for lists and docs: returns how many, writes at most `capacity` names. */
TG_API size_t tg_optim_list(const char **out, size_t capacity);
/* The attribute table of one; NULL when unknown. */
TG_API const tg_attr_spec *tg_optim_attrs(const char *name);

#ifndef TG_NO_LOCATION
#define tg_optim_sgd(...) TG_AT(tg_optim_sgd(__VA_ARGS__))
#define tg_optim_adam(...) TG_AT(tg_optim_adam(__VA_ARGS__))
#define tg_optim_adamw(...) TG_AT(tg_optim_adamw(__VA_ARGS__))
#define tg_optim_rmsprop(...) TG_AT(tg_optim_rmsprop(__VA_ARGS__))
#define tg_optim_adagrad(...) TG_AT(tg_optim_adagrad(__VA_ARGS__))
#define tg_optim_adadelta(...) TG_AT(tg_optim_adadelta(__VA_ARGS__))
#define tg_optim_adamax(...) TG_AT(tg_optim_adamax(__VA_ARGS__))
#define tg_optim_nadam(...) TG_AT(tg_optim_nadam(__VA_ARGS__))
#define tg_optim_radam(...) TG_AT(tg_optim_radam(__VA_ARGS__))
#define tg_optim_rprop(...) TG_AT(tg_optim_rprop(__VA_ARGS__))
#define tg_optim_asgd(...) TG_AT(tg_optim_asgd(__VA_ARGS__))
#define tg_optim_muon(...) TG_AT(tg_optim_muon(__VA_ARGS__))
#define tg_optim_lbfgs(...) TG_AT(tg_optim_lbfgs(__VA_ARGS__))
#define tg_optim_create(...) TG_AT(tg_optim_create(__VA_ARGS__))
#define tg_optimizer_add_group(...) TG_AT(tg_optimizer_add_group(__VA_ARGS__))
#define tg_optimizer_split(...) TG_AT(tg_optimizer_split(__VA_ARGS__))
#define tg_optimizer_no_decay(...) TG_AT(tg_optimizer_no_decay(__VA_ARGS__))
#define tg_optimizer_step(...) TG_AT(tg_optimizer_step(__VA_ARGS__))
#define tg_optimizer_step_closure(...) TG_AT(tg_optimizer_step_closure(__VA_ARGS__))
#define tg_optimizer_set_group_lr(...) TG_AT(tg_optimizer_set_group_lr(__VA_ARGS__))
#define tg_clip_grad_norm(...) TG_AT(tg_clip_grad_norm(__VA_ARGS__))
#define tg_clip_grad_norm_by(...) TG_AT(tg_clip_grad_norm_by(__VA_ARGS__))
#define tg_grad_norm(...) TG_AT(tg_grad_norm(__VA_ARGS__))
#define tg_clip_grad_value(...) TG_AT(tg_clip_grad_value(__VA_ARGS__))
#define tg_optimizer_set_lr(...) TG_AT(tg_optimizer_set_lr(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
