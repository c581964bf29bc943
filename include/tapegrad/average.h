/* Averages of a model's parameters over training, which often generalise better than the last ones: torch.optim's
 * swa_utils. SWA (Izmailov et al. 2018) takes the equal average, EMA an exponential one.
 *     tg_averaged_model *ema = tg_averaged_model_new(net, 0.999, false);
 *     … after each optimizer step:  tg_averaged_model_update(ema, tape);
 *     … to evaluate:                tg_forward(tape, tg_averaged_module(ema), x)
 * For SWA: decay 0, an update an epoch from some epoch on, and at the end
 *     tg_update_bn(tape, tg_averaged_module(swa), train_loader); */
#ifndef TAPEGRAD_AVERAGE_H
#define TAPEGRAD_AVERAGE_H

#include <tapegrad/data.h>
#include <tapegrad/module_tools.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_averaged_model tg_averaged_model;

/* torch's AveragedModel: a deep copy of `model`, in eval mode, whose parameters each update moves to the average of
 * what it saw: avg + (p − avg)/(n + 1), or with decay avg + (1 − decay)·(p − avg). The first update copies. Buffers
 * follow the model's, or with use_buffers are averaged too (those that are not of floats follow). `model` is not owned
 * and must live for as long as there are updates. NULL on error: decay outside [0, 1] (TG_EINVAL), tg_module_copy's
 * errors. */
TG_API tg_averaged_model *tg_averaged_model_new(tg_module *model, double decay, bool use_buffers);
/* One operator call over all; allocates nothing. On error nothing has changed. */
TG_API tg_status tg_averaged_model_update(tg_averaged_model *average, tg_tape *tape);
/* The copy: borrowed, for evaluating, saving, tg_module_copy_state. NULL for NULL. */
TG_API tg_module *tg_averaged_module(const tg_averaged_model *average);
/* Updates so far; set it after the module's state was loaded by itself (tg_load does both). */
TG_API int64_t tg_averaged_count(const tg_averaged_model *average);
TG_API void tg_averaged_set_count(tg_averaged_model *average, int64_t count);
/* The copy goes with it. NULL is fine. */
TG_API void tg_averaged_model_destroy(tg_averaged_model *average);

/* The statistics that every BatchNorm of `model` would have, had it seen these batches with the parameters as they are:
 * statistics at their start, a pass in train mode with momentum None, nothing recorded; then modes and momentum as they
 * were. One whose statistics are frozen (TG_FREEZE_STATISTICS) keeps them, and its count and momentum. A model without
 * a BatchNorm that is not frozen: nothing happens. On error (the loader's or the forward's, TG_ENOMEM) the statistics
 * are of the batches so far. The loader is read from where it stands to the end of its epoch. */
TG_API tg_status tg_update_bn(tg_tape *tape, tg_module *model, tg_loader *loader);
/* The same with batches of your own: `next` is called after a reset of the tape and gives an input, or NULL after the
 * last (or after a failure on the tape). */
typedef tg_tensor *(*tg_next_input)(void *arg, tg_tape *tape);
TG_API tg_status tg_update_bn_from(tg_tape *tape, tg_module *model, tg_next_input next, void *arg);

#ifndef TG_NO_LOCATION
#define tg_averaged_model_new(...) TG_AT(tg_averaged_model_new(__VA_ARGS__))
#define tg_averaged_model_update(...) TG_AT(tg_averaged_model_update(__VA_ARGS__))
#define tg_update_bn(...) TG_AT(tg_update_bn(__VA_ARGS__))
#define tg_update_bn_from(...) TG_AT(tg_update_bn_from(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
