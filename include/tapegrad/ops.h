/* Operators: tensors in, a tensor of the tape out. Names, semantics and formulae are PyTorch's unless said otherwise.
 *
 * NULL on error, with the tape's sticky error set; then all further calls return NULL at once, so a chain of calls needs
 * one check at its end. Errors that any of these can give: TG_EINVAL (a NULL tensor, a dim or number out of range),
 * TG_EDTYPE, TG_ESHAPE, TG_ESTALE, TG_ENOMEM, TG_ENOKERNEL; others are named where they occur.
 *
 * Inputs may have any strides. Values are f32 or f64, and i64 or bool where the function says so or where counting,
 * comparing and moving them makes sense. Where a function takes several dtypes, torch.result_type is what they are
 * brought to, by recorded conversions: the highest of bool, i64, f32, f64 among the tensors with dims; a tensor without
 * dims counts only where it is of a higher kind (bool, integer, float), so an f64 scalar leaves an f32 tensor f32 and
 * makes an i64 one f64. Functions of numbers whose results are no integers (sin, exp, div) take integers and bools as the
 * runtime's dtype (tg_runtime_set_dtype); mean, var, norms, softmax, activations and losses want f32 or f64 (tg_to), and
 * products, what is scattered, and quantile's q the dtype of the other input, as in torch. A number among the arguments never changes a
 * float's dtype.
 * Results are row-major unless they are views. A dim counts from the end when negative. */
#ifndef TAPEGRAD_OPS_H
#define TAPEGRAD_OPS_H

#include <tapegrad/ops_elementwise.h>
#include <tapegrad/ops_reduce.h>
#include <tapegrad/ops_shape.h>
#include <tapegrad/ops_index.h>
#include <tapegrad/ops_products.h>
#include <tapegrad/ops_nn.h>
#include <tapegrad/ops_loss.h>

#ifndef __cplusplus
/* TG_DIMS(4, 2): the two arguments dims and ndim (n_dims) of every function that takes them. */
#define TG_DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
/* tg_reshape(tape, x, 2, -1) and its like: what tg_reshape_dims and so on take, without TG_DIMS. */
#define tg_reshape(tape, x, ...) tg_reshape_dims(tape, x, TG_DIMS(__VA_ARGS__))
#define tg_permute(tape, x, ...) tg_permute_dims(tape, x, TG_DIMS(__VA_ARGS__))
#define tg_expand(tape, x, ...) tg_expand_dims(tape, x, TG_DIMS(__VA_ARGS__))
#define tg_flip(tape, x, ...) tg_flip_dims(tape, x, TG_DIMS(__VA_ARGS__))
#define tg_repeat(tape, x, ...) tg_repeat_dims(tape, x, TG_DIMS(__VA_ARGS__))
#define tg_tile(tape, x, ...) tg_tile_dims(tape, x, TG_DIMS(__VA_ARGS__))
/* TG_TENSORS(a, b): the two arguments xs and n. */
#define TG_TENSORS(...) (tg_tensor *const[]){__VA_ARGS__}, sizeof((tg_tensor *const[]){__VA_ARGS__}) / sizeof(tg_tensor *)
/* The dim stands first here: tg_cat(tape, 0, a, b). */
#define tg_cat(tape, dim, ...) tg_cat_n(tape, TG_TENSORS(__VA_ARGS__), dim)
#define tg_stack(tape, dim, ...) tg_stack_n(tape, TG_TENSORS(__VA_ARGS__), dim)
#endif

#ifndef TG_NO_LOCATION
#include <tapegrad/ops_location.h>
#endif

#endif
