/* Attention and the Transformer. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_ATTENTION_H
#define TAPEGRAD_LAYERS_ATTENTION_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows are [L, N, E], with batch_first [N, L, E], without a batch [L, E]. A mask is bool, true where there is nothing to see
 * (tg_scaled_dot_product_attention has it the other way round, as in torch), or of the rows' dtype and added to the scores:
 * a *_key_padding_mask [N, S] ([S] without a batch) of the keys, the others [L, S] or [N·heads, L, S]. In place of a causal mask an
 * is_causal option does the same without the mask, and faster. */

/* -- MultiheadAttention ------------------------------------------------------------------------------ */

typedef struct tg_multihead_attention_options {
    size_t struct_size;
    int64_t embed_dim, num_heads; /* E; divides it                                                        */
    double dropout;               /* 0; of the weights, in train mode                                     */
    bool bias;                    /* true                                                                 */
    bool add_bias_kv;             /* false; true: bias_k and bias_v [1, 1, E], one more key and its value */
    bool add_zero_attn;           /* false; true: one more key and value, zeros                           */
    int64_t kdim, vdim;           /* TG_NONE_INT: E. Sizes of key's and value's rows                      */
    bool batch_first;             /* false                                                                */
    bool is_causal;               /* false; true: query i sees keys 0 … i, of what masks leave            */
    bool average_attn_weights;    /* true; false: the weights of each head                                */
} tg_multihead_attention_options;
TG_API tg_multihead_attention_options tg_multihead_attention_defaults(int64_t embed_dim, int64_t num_heads);
/* For each head softmax(q·kᵀ/√(E/heads) + masks)·v with q, k, v the projections of query, key, value; then side by side and
 * through out_proj. in_proj_weight [3·E, E], or q_proj_weight, k_proj_weight, v_proj_weight where kdim or vdim is not E, Xavier
 * uniform; in_proj_bias [3·E], zeros; bias_k and bias_v Xavier normal; out_proj a Linear, its bias zeros.
 * Inputs: query, key (NULL: query), value (NULL: key), key_padding_mask, attn_mask. Outputs: the result as query; the weights
 * behind dropout, [N, L, S], of each head [N, heads, L, S], without a batch no N. Where the second one is not asked for
 * (torch's need_weights=False) the weights never stand in memory, and a query that a mask leaves no key has zeros for its
 * mean of values; with it, NaN, both as in torch. TG_ESHAPE, TG_EDTYPE.
 *     tg_forward_n(tape, attention, (tg_tensor *[]){x, x, x, padding}, 4, &y, 1); */
TG_API tg_module *tg_nn_multihead_attention(tg_runtime *rt, int64_t embed_dim, int64_t num_heads);
TG_API tg_module *tg_nn_multihead_attention_with(tg_runtime *rt, const tg_multihead_attention_options *options);

/* [size, size] of the runtime's dtype: 0, and −∞ above the diagonal, on the tape. A mask for all of them, and for
 * tg_scaled_dot_product_attention. torch.nn.Transformer.generate_square_subsequent_mask. */
TG_API tg_tensor *tg_causal_mask(tg_tape *tape, int64_t size);

/* -- Transformer ---------------------------------------------------------------------------------------- */

enum { TG_TRANSFORMER_RELU = 0, TG_TRANSFORMER_GELU = 1 };

typedef struct tg_transformer_options {
    size_t struct_size;
    int64_t d_model, nhead;
    int64_t num_encoder_layers, num_decoder_layers; /* Transformer: 6, up to 10000                 */
    int64_t num_layers; /* TransformerEncoder, TransformerDecoder: 6, up to 10000; TG_EINVAL where the other two are
                           set in its place, or it in theirs                                       */
    int64_t dim_feedforward;                        /* 2048                                        */
    double dropout;                                 /* 0.1; in train mode, also of the weights     */
    int64_t activation;                             /* relu; or gelu, with erf                     */
    double layer_norm_eps;                          /* 1e-5                                        */
    bool batch_first;                               /* false                                       */
    bool norm_first;                                /* false: norm(x + part(x)); x + part(norm(x)) */
    bool bias;                                      /* true: of Linear and LayerNorm               */
    bool norm;          /* TransformerEncoder, TransformerDecoder: false; true: LayerNorm behind the last layer */
    bool src_is_causal; /* false. By name: is_causal of TransformerEncoder and its layer                      */
    bool tgt_is_causal; /* false; of the decoder's self-attention                                            */
} tg_transformer_options;
TG_API tg_transformer_options tg_transformer_defaults(int64_t d_model, int64_t nhead);

/* Parts, each with dropout, added to its input, and LayerNorm: self_attn, linear2(dropout(activation(linear1))); norm1,
 * norm2. Inputs: src, src_mask, src_key_padding_mask; src alone in a Sequential. */
TG_API tg_module *tg_nn_transformer_encoder_layer(tg_runtime *rt, const tg_transformer_options *options);
/* The same with multihead_attn, whose keys and values are memory, in between; norm1, norm2, norm3. Inputs: tgt, memory,
 * tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask. */
TG_API tg_module *tg_nn_transformer_decoder_layer(tg_runtime *rt, const tg_transformer_options *options);
/* layers.0, layers.1, … and norm. Inputs as those of a layer (src_mask is called mask). Each layer has initial values of its
 * own; torch copies one layer, and warns of it. Layers of one's own, called with the same inputs (one that takes none for
 * masks, without them), and another norm come by tg_module_replace_child(encoder, "layers.0", m) and "norm"; or behind
 * num_layers 0 by tg_module_add_child(tg_module_find(encoder, "layers"), "0", m), a norm by tg_module_add_child(encoder,
 * "norm", m). */
TG_API tg_module *tg_nn_transformer_encoder(tg_runtime *rt, const tg_transformer_options *options);
TG_API tg_module *tg_nn_transformer_decoder(tg_runtime *rt, const tg_transformer_options *options);
/* encoder and decoder, with norms; all matrices Xavier uniform. Inputs: src, tgt, src_mask, tgt_mask, memory_mask,
 * src_key_padding_mask, tgt_key_padding_mask, memory_key_padding_mask. By name d_model is 512 and nhead 8 by default. torch's
 * custom_encoder and custom_decoder: tg_module_replace_child(transformer, "encoder", m); m keeps its values. */
TG_API tg_module *tg_nn_transformer(tg_runtime *rt, const tg_transformer_options *options);

#ifdef __cplusplus
}
#endif
#endif
