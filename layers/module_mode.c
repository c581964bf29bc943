#include "layers/internal.h"

void tg_module_set_mode(tg_module *module, tg_mode mode)
{
    if (!module || (mode != TG_TRAIN && mode != TG_EVAL))
        return;
    module->mode = mode;
    for (size_t i = 0; i < module->n_children; i++)
        tg_module_set_mode(module->children[i], mode);
}

void tg_module_train(tg_module *module)
{
    tg_module_set_mode(module, TG_TRAIN);
}

void tg_module_eval(tg_module *module)
{
    tg_module_set_mode(module, TG_EVAL);
}

tg_mode tg_module_mode(const tg_module *module)
{
    return module ? module->mode : TG_TRAIN;
}

static void set_affine(tg_module *m, bool freeze)
{
    for (size_t i = 0; i < m->parameters.n; i++) {
        tg_part *p = &m->parameters.at[i];
        if (freeze && tg_tensor_requires_grad(p->tensor)) {
            p->froze = tg_tensor_set_requires_grad(p->tensor, false) == TG_OK;
            tg_tensor_zero_grad(p->tensor);
        } else if (!freeze && p->froze) {
            p->froze = false;
            tg_tensor_set_requires_grad(p->tensor, true);
        }
    }
}

void tg_module_freeze(tg_module *module, unsigned what)
{
    if (!module)
        return;
    module->frozen |= what & TG_FREEZE_ALL;
    if (what & TG_FREEZE_AFFINE)
        set_affine(module, true);
    for (size_t i = 0; i < module->n_children; i++)
        tg_module_freeze(module->children[i], what);
}

void tg_module_unfreeze(tg_module *module, unsigned what)
{
    if (!module)
        return;
    module->frozen &= ~what;
    if (what & TG_FREEZE_AFFINE)
        set_affine(module, false);
    for (size_t i = 0; i < module->n_children; i++)
        tg_module_unfreeze(module->children[i], what);
}

unsigned tg_module_frozen(const tg_module *module)
{
    return module ? module->frozen : 0;
}

bool tg_module_updates_statistics(const tg_module *module)
{
    return module && module->mode == TG_TRAIN && !(module->frozen & TG_FREEZE_STATISTICS);
}
