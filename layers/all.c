#include "layers/internal.h"

tg_status tg_layers_register_builtin(tg_runtime *rt)
{
    static const tg_layer_class *const *const families[] = {
        tg_layers_sequential, tg_layers_linear, tg_layers_conv,     tg_layers_flatten,    tg_layers_activation,
        tg_layers_dropout,    tg_layers_batch_norm, tg_layers_layer_norm, tg_layers_group_norm, tg_layers_pool, tg_layers_loss,
    };
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (const tg_layer_class *const *cls = families[f]; *cls; cls++) {
            tg_status status = tg_layer_register(rt, *cls);
            if (status)
                return status;
        }
    return TG_OK;
}
