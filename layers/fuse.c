/* Neighbours in a Sequential that one row computes in one pass. */
#include "autograd/watch.h"
#include "layers/internal.h"

/* Hooks, observers and anomaly mode see each module's own result; a recomputation finds each module's own mode. */
static bool is_watched(const tg_tape *tape)
{
    return tape->modes || tape->observer.applied || tape->observer.rule || tape->observer.rule_ran ||
           tape->watch & TG_WATCH_ANOMALY;
}

bool tg_layers_fuse(const tg_tape *tape, const tg_module *norm, const tg_module *relu)
{
    if (relu->cls != tg_layers_activation[0] || norm->n_hooks || relu->n_hooks || norm->mode != relu->mode ||
        is_watched(tape))
        return false;
    const tg_layer_class *const *cls = tg_layers_batch_norm;
    while (*cls && *cls != norm->cls)
        cls++;
    return *cls;
}
