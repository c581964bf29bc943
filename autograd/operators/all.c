#include "autograd/operators/operators.h"

const tg_operator *const *const tg_operator_families[] = {
    tg_ops_elementwise, tg_ops_activation, tg_ops_reduce, tg_ops_shape,         tg_ops_copy,
    tg_ops_matmul,      tg_ops_softmax,    tg_ops_loss,   tg_ops_cross_entropy, tg_ops_batch_norm, tg_ops_layer_norm,
    tg_ops_index,       tg_ops_random,     tg_ops_optim,
    tg_ops_unary, tg_ops_binary, tg_ops_logic, tg_ops_special, tg_ops_cumulative,
    tg_ops_extrema, tg_ops_distance, tg_ops_sort, tg_ops_quantile, tg_ops_search, tg_ops_scatter, tg_ops_mask, tg_ops_arrange,
    tg_ops_view, tg_ops_create, tg_ops_contraction, tg_ops_resample, tg_ops_patches,
    tg_ops_look, tg_ops_conv, tg_ops_pad, tg_ops_pool, tg_ops_adaptive_pool, tg_ops_group_norm, tg_ops_recurrent, tg_ops_ctc, tg_ops_attention,
    NULL,
};

tg_status tg_operators_register_builtin(tg_runtime *rt)
{
    for (const tg_operator *const *const *family = tg_operator_families; *family; family++)
        for (const tg_operator *const *op = *family; *op; op++) {
            tg_status status = tg_operator_register(rt, *op);
            if (status)
                return status;
        }
    return TG_OK;
}
