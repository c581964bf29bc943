/* The reference backend: complete, obvious, the oracle. f32 and f64, sums in f64, but for those of a recurrent layer's
 * steps (recurrent.c says why), in an order that does not depend on the number of threads. One table of kernels a
 * family, same file names as autograd/operators/, each ended by {0}. */
#ifndef TG_REFERENCE_H
#define TG_REFERENCE_H

#include <tapegrad/backend_abi.h>
#include <tapegrad/op_attrs.h>

#include <stdbool.h>

/* What the reference fills in of a tg_kernel: half as large, and there are hundreds. */
typedef struct tg_ref_kernel {
    const char *op;
    tg_status (*run)(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r);
    tg_status (*prepare)(tg_backend_state *s, const tg_call *c, tg_prepared *p);
} tg_ref_kernel;

extern const tg_ref_kernel tg_ref_elementwise[];
extern const tg_ref_kernel tg_ref_activation[];
extern const tg_ref_kernel tg_ref_reduce[];
extern const tg_ref_kernel tg_ref_copy[];
extern const tg_ref_kernel tg_ref_matmul[];
extern const tg_ref_kernel tg_ref_softmax[];
extern const tg_ref_kernel tg_ref_loss[];
extern const tg_ref_kernel tg_ref_ctc[];
extern const tg_kernel tg_ref_norm[];
extern const tg_ref_kernel tg_ref_index[];
extern const tg_ref_kernel tg_ref_random[];
extern const tg_ref_kernel tg_ref_optim[];
extern const tg_ref_kernel tg_ref_unary[];
extern const tg_ref_kernel tg_ref_binary[];
extern const tg_ref_kernel tg_ref_logic[];
extern const tg_ref_kernel tg_ref_special[];
extern const tg_ref_kernel tg_ref_cumulative[];
extern const tg_ref_kernel tg_ref_extrema[];
extern const tg_ref_kernel tg_ref_distance[];
extern const tg_ref_kernel tg_ref_sort[];
extern const tg_ref_kernel tg_ref_scatter[];
extern const tg_ref_kernel tg_ref_mask[];
extern const tg_ref_kernel tg_ref_arrange[];
extern const tg_ref_kernel tg_ref_create[];
extern const tg_ref_kernel tg_ref_contraction[];
extern const tg_ref_kernel tg_ref_resample[];
extern const tg_ref_kernel tg_ref_patches[];
extern const tg_ref_kernel tg_ref_look[];
extern const tg_kernel tg_ref_pool[];
extern const tg_ref_kernel tg_ref_group_norm[];
extern const tg_ref_kernel tg_ref_conv[];
extern const tg_ref_kernel tg_ref_pad[];
extern const tg_ref_kernel tg_ref_recurrent[];
extern const tg_ref_kernel tg_ref_attention[];

static inline int64_t ref_count(const tg_desc *d)
{
    int64_t n = 1;
    for (int32_t i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    return n;
}

/* Row-major without gaps? */
static inline bool ref_is_dense(const tg_desc *d)
{
    int64_t expected = 1;
    for (int32_t i = d->ndim - 1; i >= 0; i--) {
        if (d->dim[i] != 1 && d->stride[i] != expected)
            return false;
        expected *= d->dim[i];
    }
    return true;
}

/* Where the row-major k-th element lies, in elements. */
static inline int64_t ref_place(const tg_desc *d, int64_t k)
{
    int64_t at = 0;
    for (int32_t i = d->ndim - 1; i >= 0; i--) {
        at += k % d->dim[i] * d->stride[i];
        k /= d->dim[i];
    }
    return at;
}

/* copy.c: dst = src, elements of one dtype between any strides (negative ones, too), counted in elements. */
void tg_ref_copy_strided(int ndim, const int64_t *dim, int32_t dtype, void *dst, const int64_t *dst_stride,
                         const void *src, const int64_t *src_stride, int threads);
void tg_ref_fill(const tg_desc *d, void *dst, double x, int threads);

#define TG_REF_KERNEL(name, run_fn) {.op = name, .run = run_fn}

#endif
