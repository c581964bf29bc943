/* Tensors.
 *
 * A tg_tensor * is a handle, never dereferenced by anyone: a slot and a generation. Using one whose tape was
 * reset, or that was destroyed, is TG_ESTALE and never undefined.
 *
 * Ownership is in the signature: what comes out through `**out` is yours, destroy it; what a function
 * returns is borrowed from its tape and dies at the tape's reset. */
#ifndef TAPEGRAD_TENSOR_H
#define TAPEGRAD_TENSOR_H

#include <tapegrad/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_tensor tg_tensor;
typedef struct tg_tape tg_tape;

/* -- tensors of your own: they live until destroyed, over any number of steps ----------------------------- */

/* A new row-major tensor, zeroed. A leaf; wants no gradient until tg_tensor_set_requires_grad.
 * TG_ESHAPE, TG_EDTYPE, TG_ENOMEM. */
TG_API tg_status tg_tensor_create(tg_tensor **out, tg_runtime *rt, tg_dtype dtype, const int64_t *dims, size_t ndim);

/* The same over memory of yours, read and written in place, which must outlive the tensor and be
 * aligned to an element's size (TG_EINVAL). `strides` in elements, not negative; NULL for row-major. Of bools, bytes
 * must be 0 or 1: they are not looked at. */
TG_API tg_status tg_tensor_wrap(tg_tensor **out, tg_runtime *rt, tg_dtype dtype, const int64_t *dims,
                                const int64_t *strides, size_t ndim, void *data);

/* Releases it, and its gradient. NULL is fine; nothing happens to a stale handle, nor to a tape's tensor
 * (tg_discard). */
TG_API void tg_tensor_destroy(tg_tensor *tensor);

/* -- tensors on a tape ------------------------------------------------------------------------------------- */

/* Copies row-major data onto the tape as a leaf (no gradient wanted until tg_tensor_set_requires_grad). `data` NULL:
 * zeros. Of bools, any byte but 0 is true. NULL on error. In C,
 * TG_DIMS (ops.h) writes the two arguments dims and ndim:
 *     tg_tensor *x = tg_input(tape, TG_F32, TG_DIMS(4, 2), data); */
TG_API tg_tensor *tg_input(tg_tape *tape, tg_dtype dtype, const int64_t *dims, size_t ndim, const void *data);

/* A scalar (ndim 0) of the given dtype. */
TG_API tg_tensor *tg_scalar(tg_tape *tape, tg_dtype dtype, double value);

/* Gives a tape's tensor back before the reset. What backward still needs is kept for it. */
TG_API void tg_discard(tg_tensor *tensor);

/* -- looking ----------------------------------------------------------------------------------------------- */

/* Fills *out; TG_ESTALE for a stale handle. */
TG_API tg_status tg_tensor_desc(const tg_tensor *tensor, tg_desc *out);
/* Shorthands: 0, TG_F32 and so on for a stale handle. A negative dim counts from the end. */
TG_API int tg_tensor_ndim(const tg_tensor *tensor);
TG_API int64_t tg_tensor_dim(const tg_tensor *tensor, int dim);
TG_API int64_t tg_tensor_count(const tg_tensor *tensor);
TG_API tg_dtype tg_tensor_dtype(const tg_tensor *tensor);
TG_API bool tg_tensor_is_alive(const tg_tensor *tensor);
/* The runtime it belongs to, NULL for a stale handle. */
TG_API tg_runtime *tg_tensor_runtime(const tg_tensor *tensor);

/* Copies the elements, row-major, whatever the tensor's strides, in its own dtype. `bytes` is the size of
 * `dst` and must be exactly count × element size (TG_EINVAL). */
TG_API tg_status tg_tensor_read(const tg_tensor *tensor, void *dst, size_t bytes);

/* The reverse: overwrites the elements, `src` row-major (of bools, any byte but 0 is true). Through a view it writes what the view
 * shows of the base; TG_EINVAL for a view of which several elements are one (expand, overlapping windows). It is not
 * recorded: a gradient goes back as if nothing had been written, unless a rule needs the overwritten value, which makes
 * the backward an error (TG_ESTATE). tg_where, tg_slice_scatter and their like write with a derivative. */
TG_API tg_status tg_tensor_write(tg_tensor *tensor, const void *src, size_t bytes);

/* The one element of a one-element tensor, as a double (i64 and bool converted). torch.Tensor.item. */
TG_API tg_status tg_item(const tg_tensor *tensor, double *out);

/* Writes the tensor as text the way PyTorch prints it, summarised above 1000 elements. */
TG_API tg_status tg_tensor_print(const tg_tensor *tensor, FILE *to);

/* -- gradients ---------------------------------------------------------------------------------------------- */

/* Only a leaf of a floating dtype can be told to want a gradient. */
TG_API tg_status tg_tensor_set_requires_grad(tg_tensor *tensor, bool requires_grad);
TG_API bool tg_tensor_requires_grad(const tg_tensor *tensor);
TG_API bool tg_tensor_is_leaf(const tg_tensor *tensor);

/* The gradient that backwards added up, detached; NULL when absent, which is not zero. Borrowed from the
 * leaf: valid until the gradient is consumed or dropped. */
TG_API tg_tensor *tg_tensor_grad(const tg_tensor *tensor);
/* Drops the gradient: absent afterwards. */
TG_API void tg_tensor_zero_grad(tg_tensor *tensor);

/* -- filling: torch.nn.init. Values come from the runtime's generator, one draw a call --------------------- */

/* Every element = value, of i64 without its fraction, of bool whether it is not 0. Views as tg_tensor_write. */
TG_API tg_status tg_fill(tg_tensor *tensor, double value);
/* U(low, high). */
TG_API tg_status tg_init_uniform(tg_tensor *tensor, double low, double high);
/* N(mean, std²), by Box and Muller. */
TG_API tg_status tg_init_normal(tg_tensor *tensor, double mean, double std);
/* kaiming_uniform_(a): bound = gain·√(3/fan_in), gain = √(2/(1+a²)); fan_in = dim 1 × the receptive field. He et
 * al. 2015. TG_ESHAPE below two dims. */
TG_API tg_status tg_init_kaiming_uniform(tg_tensor *tensor, double a);
/* xavier_uniform_: bound = gain·√(6/(fan_in+fan_out)). Glorot and Bengio 2010. */
TG_API tg_status tg_init_xavier_uniform(tg_tensor *tensor, double gain);

#ifndef TG_NO_LOCATION
#define tg_tensor_create(...) TG_AT(tg_tensor_create(__VA_ARGS__))
#define tg_tensor_wrap(...) TG_AT(tg_tensor_wrap(__VA_ARGS__))
#define tg_input(...) TG_AT(tg_input(__VA_ARGS__))
#define tg_scalar(...) TG_AT(tg_scalar(__VA_ARGS__))
#define tg_tensor_desc(...) TG_AT(tg_tensor_desc(__VA_ARGS__))
#define tg_tensor_read(...) TG_AT(tg_tensor_read(__VA_ARGS__))
#define tg_tensor_write(...) TG_AT(tg_tensor_write(__VA_ARGS__))
#define tg_item(...) TG_AT(tg_item(__VA_ARGS__))
#define tg_tensor_print(...) TG_AT(tg_tensor_print(__VA_ARGS__))
#define tg_tensor_set_requires_grad(...) TG_AT(tg_tensor_set_requires_grad(__VA_ARGS__))
#define tg_fill(...) TG_AT(tg_fill(__VA_ARGS__))
#define tg_init_uniform(...) TG_AT(tg_init_uniform(__VA_ARGS__))
#define tg_init_normal(...) TG_AT(tg_init_normal(__VA_ARGS__))
#define tg_init_kaiming_uniform(...) TG_AT(tg_init_kaiming_uniform(__VA_ARGS__))
#define tg_init_xavier_uniform(...) TG_AT(tg_init_xavier_uniform(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
