/* The built-in rows, one table a family, each ended by NULL. */
#ifndef TG_OPERATORS_H
#define TG_OPERATORS_H

#include "autograd/internal.h"
#include <tapegrad/op_attrs.h>

extern const tg_operator *const tg_ops_elementwise[];
extern const tg_operator *const tg_ops_activation[];
extern const tg_operator *const tg_ops_reduce[];
extern const tg_operator *const tg_ops_shape[];
extern const tg_operator *const tg_ops_view[];
extern const tg_operator *const tg_ops_copy[];
extern const tg_operator *const tg_ops_matmul[];
extern const tg_operator *const tg_ops_softmax[];
extern const tg_operator *const tg_ops_loss[];
extern const tg_operator *const tg_ops_cross_entropy[];
extern const tg_operator *const tg_ops_ctc[];
extern const tg_operator *const tg_ops_batch_norm[];
extern const tg_operator *const tg_ops_layer_norm[];
extern const tg_operator *const tg_ops_index[];
extern const tg_operator *const tg_ops_random[];
extern const tg_operator *const tg_ops_optim[];
extern const tg_operator *const tg_ops_unary[];
extern const tg_operator *const tg_ops_binary[];
extern const tg_operator *const tg_ops_logic[];
extern const tg_operator *const tg_ops_special[];
extern const tg_operator *const tg_ops_cumulative[];
extern const tg_operator *const tg_ops_extrema[];
extern const tg_operator *const tg_ops_distance[];
extern const tg_operator *const tg_ops_sort[];
extern const tg_operator *const tg_ops_quantile[];
extern const tg_operator *const tg_ops_search[];
extern const tg_operator *const tg_ops_scatter[];
extern const tg_operator *const tg_ops_mask[];
extern const tg_operator *const tg_ops_arrange[];
extern const tg_operator *const tg_ops_create[];
extern const tg_operator *const tg_ops_contraction[];
extern const tg_operator *const tg_ops_resample[];
extern const tg_operator *const tg_ops_patches[];
extern const tg_operator *const tg_ops_look[];
extern const tg_operator *const tg_ops_pool[];
extern const tg_operator *const tg_ops_adaptive_pool[];
extern const tg_operator *const tg_ops_group_norm[];
extern const tg_operator *const tg_ops_conv[];
extern const tg_operator *const tg_ops_attention[];
extern const tg_operator *const tg_ops_pad[];
extern const tg_operator *const tg_ops_recurrent[];

/* All of these, and a NULL: all.c. */
extern const tg_operator *const *const tg_operator_families[];

/* What layers stage, and draw with a number of their own. */
extern const tg_operator tg_row_embedding_renorm_, tg_row_rand_like;

/* embedding_bag.c. tg_embedding_bag, with what `then` makes of the rows that were looked up; NULL: those. */
typedef tg_tensor *tg_rows_fn(tg_tape *tape, tg_tensor *index, tg_tensor *rows, const void *arg);
tg_tensor *tg_embedding_bag_then(tg_tape *tape, tg_tensor *index, tg_tensor *weight, tg_tensor *offsets,
                                 tg_tensor *per_sample_weights, const tg_embedding_bag_options *options, tg_rows_fn *then,
                                 const void *arg);

/* index.c. All of index inside [low, size)? Its least value, if wanted. TG_EINDEX names the first that is worst. */
bool tg_check_places(tg_tape *tape, const char *what, tg_tensor *index, int64_t low, int64_t size,
                     int64_t *least);

#endif
