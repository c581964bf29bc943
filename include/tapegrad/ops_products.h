/* Operators that multiply: matrices, contractions, attention. What holds for all is in ops.h, which includes this. */
#ifndef TAPEGRAD_OPS_PRODUCTS_H
#define TAPEGRAD_OPS_PRODUCTS_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- products of f32, f64, i64 (modulo 2⁶⁴): all of one dtype, any strides and broadcasts read in place ---------------- */
/* torch.matmul: 1-D and 2-D cases, batches broadcast. */
TG_API tg_tensor *tg_matmul(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* The same for two matrices, two batches [B, n, m]·[B, m, p], a matrix and a vector, two vectors (also torch.vdot): any
 * other rank is TG_ESHAPE. */
TG_API tg_tensor *tg_mm(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_bmm(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_mv(tg_tape *tape, tg_tensor *a, tg_tensor *b);
TG_API tg_tensor *tg_dot(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* x·Wᵀ + b: x [*, in], W [out, in], b [out] or NULL; f32, f64. torch.nn.functional.linear. */
TG_API tg_tensor *tg_linear(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias);
/* beta·x + alpha·a·b, x broadcast to the product: of matrices, a matrix and a vector, two vectors (their outer product),
 * batches, batches summed. With beta = 0, x is not looked at, and NaN in it does no harm. */
TG_API tg_tensor *tg_addmm(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double beta, double alpha);
TG_API tg_tensor *tg_addmv(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double beta, double alpha);
TG_API tg_tensor *tg_addr(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double beta, double alpha);
TG_API tg_tensor *tg_baddbmm(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double beta, double alpha);
TG_API tg_tensor *tg_addbmm(tg_tape *tape, tg_tensor *x, tg_tensor *a, tg_tensor *b, double beta, double alpha);
/* a[i]·b[j] of two vectors. */
TG_API tg_tensor *tg_outer(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* Σ over the last dims of both, which are alike; the product where one is a scalar. */
TG_API tg_tensor *tg_inner(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* Σ over n dims of each, a's dims_a[i] with b's dims_b[i] (one of the two may have size 1). torch.tensordot with a number
 * k: the last k of a with the first k of b, in order. */
TG_API tg_tensor *tg_tensordot(tg_tape *tape, tg_tensor *a, tg_tensor *b, const int64_t *dims_a, const int64_t *dims_b,
                               size_t n);
/* Each element of a times all of b, laid out as torch.kron. TG_ESHAPE where more than 8 dims of both are not 1. */
TG_API tg_tensor *tg_kron(tg_tape *tape, tg_tensor *a, tg_tensor *b);
/* a × b along dim, of size 3, the others broadcast; TG_NONE_INT: along the first dim of size 3, both of the same dims.
 * torch.cross, torch.linalg.cross. */
TG_API tg_tensor *tg_cross(tg_tape *tape, tg_tensor *a, tg_tensor *b, int64_t dim);
/* "bij,bjk->bik": Einstein's sums over letters a–z, A–Z that the result does not name. Without "->" the result has those
 * that occur once, in alphabetical order. "..." stands for further dims, broadcast; a letter twice in one operand for its
 * diagonal; a dim of size 1 broadcasts. Operands that are summed together have one dtype. From left to right, each sum a
 * batched product. TG_ESHAPE where a step needs more than 8 dims.
 *     tg_tensor *c = tg_einsum(tape, "ij,jk->ik", TG_TENSORS(a, b)); */
TG_API tg_tensor *tg_einsum(tg_tape *tape, const char *equation, tg_tensor *const xs[], size_t n);
/* Σ_ij x1[…, i]·weight[o, i, j]·x2[…, j] + bias[o], bias NULL: none. Leading dims are the same. TG_ESHAPE.
 * torch.nn.functional.bilinear. */
TG_API tg_tensor *tg_bilinear(tg_tape *tape, tg_tensor *x1, tg_tensor *x2, tg_tensor *weight, tg_tensor *bias);

/* How tg_scaled_dot_product_attention is called; all zero is plain attention. */
typedef struct tg_attention_options {
    tg_tensor *attn_mask; /* NULL, or broadcast to […, L, S]: bool (false is left out) or added to the scores */
    double dropout_p;     /* of the weights, whenever it is not 0, as torch's function does                   */
    bool is_causal;       /* query i sees keys 0 … i; not together with a mask                                */
    bool has_scale;       /* false: 1/√E                                                                      */
    double scale;
    bool enable_gqa;      /* key and value have fewer heads (dim −3); each serves as many queries             */
} tg_attention_options;
/* softmax(query·keyᵀ·scale + mask)·value: query […, L, E], key […, S, E], value […, S, Ev]; batches broadcast. Where a mask
 * leaves a query no key, its result is 0. `options` may be NULL. torch.nn.functional.scaled_dot_product_attention. */
TG_API tg_tensor *tg_scaled_dot_product_attention(tg_tape *tape, tg_tensor *query, tg_tensor *key, tg_tensor *value,
                                                  const tg_attention_options *options);

#ifdef __cplusplus
}
#endif
#endif
