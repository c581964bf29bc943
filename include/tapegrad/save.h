/* A training run in one file, to go on from bit for bit: what torch programs put together as
 *     torch.save({"model": net.state_dict(), "optimizer": opt.state_dict(), …}, path)
 * The same list serves both ways:
 *     const tg_saved run[] = {
 *         {"model", .module = net}, {"optimizer", .optimizer = opt}, {"scheduler", .scheduler = s},
 *         {"generator", .tape = tape}, {"data", .loader = train}, {"epoch", .integer = &epoch},
 *     };
 *     tg_save(rt, "run.safetensors", run, 6);      tg_load(rt, "run.safetensors", run, 6);
 * One entry alone is a state_dict: (tg_saved[]){{"optimizer", .optimizer = opt}}, 1. */
#ifndef TAPEGRAD_SAVE_H
#define TAPEGRAD_SAVE_H

#include <tapegrad/average.h>
#include <tapegrad/data.h>
#include <tapegrad/optim.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An entry: a name without a dot, and one of these. The file has its tensors as "NAME.…", by torch's names:
 *   module     parameters and buffers: "model.0.weight"
 *   optimizer  of each group "param_groups.0.lr", initial_lr and all options; of each parameter its steps ("step"), its
 *              group, which states it has ("used": bits), two numbers ("memory": NAdam's mu_product; ASGD's eta and mu),
 *              and "state.I.PARAMETER.exp_avg", the I-th parameter's; LBFGS's n_iter, t, ro, old_dirs, …: "state.…"
 *   scheduler  "last_epoch", "base_lrs" and the other counts; its parts' as "_schedulers.0.…". Not its options
 *   average    "module.…", "n_averaged"
 *   tape       seed and draw of its generator and of the runtime's
 *   loader     epoch and batch of what tg_loader_next gives next; number of batches and seed, which must be the same
 *   integer, real   the program's own: one number, called NAME */
typedef struct tg_saved {
    const char *name;
    tg_module *module;
    tg_optimizer *optimizer;
    tg_scheduler *scheduler;
    tg_averaged_model *average;
    tg_tape *tape;
    tg_loader *loader;
    int64_t *integer;
    double *real;
} tg_saved;

/* Writes all n entries as tg_safetensors_write does: `path` is the old file or the whole new one. TG_EINVAL for an entry
 * with no name or a dot in it, a name twice, none or several of the objects, one of another runtime; tg_safetensors_write's
 * errors, and those of strided views and destroyed tensors below. Modes and freezing, options of schedulers and hooks are
 * not part of the file. */
TG_API tg_status tg_save(tg_runtime *rt, const char *path, const tg_saved *entries, size_t n);
/* Reads them into objects that were made in the same way: the same class, parameters in the same order, groups and parts
 * (and LBFGS's history_size). Rates, momenta and other options of groups become those of the file (load_state_dict).
 * Entries of the file that the list does not have are left alone: a model can be read by itself. Everything is checked before anything changes; the sentence
 * names the tensor, what it is in the file and what was expected. TG_EFORMAT: an entry or a tensor is missing, one is
 * unexpected, another class, other groups, what is no safetensors file; TG_ESHAPE; TG_EDTYPE (nothing is converted:
 * tg_module_load_state does that); TG_EINVAL: an option that the optimizer does not take, and tg_save's; TG_EUNSUPPORTED: a
 * parameter that is a strided view; TG_ESTALE: one that was destroyed; TG_EIO, TG_ENOMEM. */
TG_API tg_status tg_load(tg_runtime *rt, const char *path, const tg_saved *entries, size_t n);

#ifndef TG_NO_LOCATION
#define tg_save(...) TG_AT(tg_save(__VA_ARGS__))
#define tg_load(...) TG_AT(tg_load(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
