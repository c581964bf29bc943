/* Linear, and what maps vectors or indices to vectors. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_LINEAR_H
#define TAPEGRAD_LAYERS_LINEAR_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- Linear ------------------------------------------------------------------------------------------ */

typedef struct tg_linear_options {
    size_t struct_size;
    int64_t in_features, out_features;
    bool bias; /* true */
} tg_linear_options;
TG_API tg_linear_options tg_linear_defaults(int64_t in_features, int64_t out_features);
/* y = x·Wᵀ + b: [*, in] → [*, out]. weight [out, in], bias [out], both from U(−1/√in, 1/√in). */
TG_API tg_module *tg_nn_linear(tg_runtime *rt, int64_t in_features, int64_t out_features);
TG_API tg_module *tg_nn_linear_with(tg_runtime *rt, const tg_linear_options *options);
/* Called with (input1 [*, in1], input2 [*, in2]): Σ_ij x1_i·W_oij·x2_j + b_o. weight [out, in1, in2], bias [out], both from
 * U(−1/√in1, 1/√in1). By name: bias. */
TG_API tg_module *tg_nn_bilinear(tg_runtime *rt, int64_t in1_features, int64_t in2_features, int64_t out_features);

/* -- Embedding ------------------------------------------------------------------------------------------- */

typedef struct tg_embedding_options {
    size_t struct_size;
    int64_t num_embeddings, embedding_dim; /* weight [num_embeddings, embedding_dim], from N(0, 1)                       */
    int64_t padding_idx;     /* TG_NONE_INT: none; this row (negative: from the end) begins with zeros and has no gradient; in
                                a bag it does not count                                                                */
    double max_norm;         /* TG_NONE_REAL: none; rows that are looked up and have a greater norm are scaled down to it:
                                in weight, too, when a forward in train mode commits, unless TG_FREEZE_AFFINE holds
                                weight as it is (freeze alone does not, as in torch)                                   */
    double norm_type;        /* 2; p of that norm                                                                       */
    bool scale_grad_by_freq; /* false; a row's gradient is divided by how often the call has it                        */
    bool freeze;             /* false; weight takes no gradient                                                         */
    bool include_last_offset; /* EmbeddingBag: false; the last offset is where the last bag ends                        */
    int64_t mode;             /* EmbeddingBag: a tg_bag_mode; TG_BAG_MEAN                                               */
} tg_embedding_options;
TG_API tg_embedding_options tg_embedding_defaults(int64_t num_embeddings, int64_t embedding_dim);
/* The rows of weight at an i64 input [*]: [*, embedding_dim]. TG_EINDEX for one that is not there. By name also _weight (a
 * copy is what weight begins with: from_pretrained); sparse must be false. */
TG_API tg_module *tg_nn_embedding(tg_runtime *rt, int64_t num_embeddings, int64_t embedding_dim);
TG_API tg_module *tg_nn_embedding_with(tg_runtime *rt, const tg_embedding_options *options);
/* Called with (input, offsets, per_sample_weights), the last two optional: a row for each bag. See tg_embedding_bag. */
TG_API tg_module *tg_nn_embedding_bag(tg_runtime *rt, int64_t num_embeddings, int64_t embedding_dim);
TG_API tg_module *tg_nn_embedding_bag_with(tg_runtime *rt, const tg_embedding_options *options);

#ifdef __cplusplus
}
#endif
#endif
