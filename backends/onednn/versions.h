/* One source for oneDNN 2.6 and 3.x: the code is written to 3.x's names, which this header supplies for 2.x.
 * Memory descriptors are structs there and handles here: a tg_dnnl_box holds one of either, a tg_dnnl_md
 * looks at it. */
#ifndef TG_ONEDNN_VERSIONS_H
#define TG_ONEDNN_VERSIONS_H

#include <oneapi/dnnl/dnnl.h>

typedef dnnl_memory_desc_t tg_dnnl_box;

/* Must the shift be given to layer_norm's backward? 3.8 and later do not look at it. */
#define TG_DNNL_LAYER_NORM_BACKWARD_SHIFT                                                                    \
    (DNNL_VERSION_MAJOR < 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR < 8))

/* And to batch_norm's? 3.0 to 3.11 reject it. */
#define TG_DNNL_BATCH_NORM_BACKWARD_SHIFT (DNNL_VERSION_MAJOR < 3)

#if DNNL_VERSION_MAJOR >= 3

typedef const_dnnl_memory_desc_t tg_dnnl_md;

static inline tg_dnnl_md tg_dnnl_look(const tg_dnnl_box *box)
{
    return *box;
}

static inline void tg_dnnl_box_free(tg_dnnl_box *box)
{
    dnnl_memory_desc_destroy(*box);
}

static inline dnnl_status_t tg_dnnl_box_copy(tg_dnnl_box *box, tg_dnnl_md from)
{
    return dnnl_memory_desc_clone(box, from);
}

static inline dnnl_status_t tg_dnnl_append_relu(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0, 0);
}

#define tg_dnnl_box_tagged dnnl_memory_desc_create_with_tag
#define tg_dnnl_box_strided dnnl_memory_desc_create_with_strides

#else

typedef const dnnl_memory_desc_t *tg_dnnl_md;

static inline tg_dnnl_md tg_dnnl_look(const tg_dnnl_box *box)
{
    return box;
}

static inline void tg_dnnl_box_free(tg_dnnl_box *box)
{
    (void)box;
}

static inline dnnl_status_t tg_dnnl_box_copy(tg_dnnl_box *box, tg_dnnl_md from)
{
    *box = *from;
    return dnnl_success;
}

static inline dnnl_status_t tg_dnnl_append_relu(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
}

#define tg_dnnl_box_tagged dnnl_memory_desc_init_by_tag
#define tg_dnnl_box_strided dnnl_memory_desc_init_by_strides

/* Describe, then create: what 3.x does in one call. `hint` is NULL where there is none. */
#define TG_DNNL_CREATE(type, describe, hint)                                                                 \
    type d;                                                                                                  \
    dnnl_status_t status = describe;                                                                         \
    return status == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, engine, hint) : status

static inline dnnl_status_t dnnl_convolution_forward_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, dnnl_alg_kind_t algorithm,
    tg_dnnl_md src, tg_dnnl_md weight, tg_dnnl_md bias, tg_dnnl_md dst, const dnnl_dims_t strides,
    const dnnl_dims_t dilates, const dnnl_dims_t before, const dnnl_dims_t after,
    const_dnnl_primitive_attr_t attr)
{
    TG_DNNL_CREATE(dnnl_convolution_desc_t,
                   dnnl_dilated_convolution_forward_desc_init(&d, kind, algorithm, src, weight, bias, dst,
                                                              strides, dilates, before, after),
                   NULL);
}

static inline dnnl_status_t dnnl_convolution_backward_data_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_alg_kind_t algorithm, tg_dnnl_md diff_src,
    tg_dnnl_md weight, tg_dnnl_md diff_dst, const dnnl_dims_t strides, const dnnl_dims_t dilates,
    const dnnl_dims_t before, const dnnl_dims_t after, const_dnnl_primitive_desc_t hint,
    const_dnnl_primitive_attr_t attr)
{
    TG_DNNL_CREATE(dnnl_convolution_desc_t,
                   dnnl_dilated_convolution_backward_data_desc_init(&d, algorithm, diff_src, weight, diff_dst,
                                                                    strides, dilates, before, after),
                   hint);
}

static inline dnnl_status_t dnnl_convolution_backward_weights_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_alg_kind_t algorithm, tg_dnnl_md src,
    tg_dnnl_md diff_weight, tg_dnnl_md diff_bias, tg_dnnl_md diff_dst, const dnnl_dims_t strides,
    const dnnl_dims_t dilates, const dnnl_dims_t before, const dnnl_dims_t after,
    const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr)
{
    TG_DNNL_CREATE(dnnl_convolution_desc_t,
                   dnnl_dilated_convolution_backward_weights_desc_init(
                       &d, algorithm, src, diff_weight, diff_bias, diff_dst, strides, dilates, before, after),
                   hint);
}

static inline dnnl_status_t dnnl_matmul_primitive_desc_create(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                                              tg_dnnl_md src, tg_dnnl_md weight,
                                                              tg_dnnl_md bias, tg_dnnl_md dst,
                                                              const_dnnl_primitive_attr_t attr)
{
    TG_DNNL_CREATE(dnnl_matmul_desc_t, dnnl_matmul_desc_init(&d, src, weight, bias, dst), NULL);
}

static inline dnnl_status_t dnnl_softmax_forward_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, dnnl_alg_kind_t algorithm,
    tg_dnnl_md src, tg_dnnl_md dst, int axis, const_dnnl_primitive_attr_t attr)
{
    TG_DNNL_CREATE(dnnl_softmax_v2_desc_t,
                   dnnl_softmax_v2_forward_desc_init(&d, kind, algorithm, src, dst, axis), NULL);
}

static inline dnnl_status_t dnnl_softmax_backward_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_alg_kind_t algorithm, tg_dnnl_md diff_src,
    tg_dnnl_md diff_dst, tg_dnnl_md dst, int axis, const_dnnl_primitive_desc_t hint,
    const_dnnl_primitive_attr_t attr)
{
    TG_DNNL_CREATE(dnnl_softmax_v2_desc_t,
                   dnnl_softmax_v2_backward_desc_init(&d, algorithm, diff_src, diff_dst, dst, axis), hint);
}

/* The one that knows dilation. */
static inline dnnl_status_t dnnl_pooling_forward_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, dnnl_alg_kind_t algorithm,
    tg_dnnl_md src, tg_dnnl_md dst, const dnnl_dims_t strides, const dnnl_dims_t kernel,
    const dnnl_dims_t dilation, const dnnl_dims_t before, const dnnl_dims_t after,
    const_dnnl_primitive_attr_t attr)
{
    TG_DNNL_CREATE(dnnl_pooling_v2_desc_t,
                   dnnl_pooling_v2_forward_desc_init(&d, kind, algorithm, src, dst, strides, kernel, dilation,
                                                     before, after),
                   NULL);
}

/* 2.x has one descriptor for source and result. */
static inline dnnl_status_t dnnl_eltwise_forward_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, dnnl_alg_kind_t algorithm,
    tg_dnnl_md src, tg_dnnl_md dst, float alpha, float beta, const_dnnl_primitive_attr_t attr)
{
    (void)dst;
    TG_DNNL_CREATE(dnnl_eltwise_desc_t, dnnl_eltwise_forward_desc_init(&d, kind, algorithm, src, alpha, beta), NULL);
}

static inline dnnl_status_t dnnl_eltwise_backward_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_alg_kind_t algorithm, tg_dnnl_md diff_src,
    tg_dnnl_md diff_dst, tg_dnnl_md data, float alpha, float beta, const_dnnl_primitive_desc_t hint,
    const_dnnl_primitive_attr_t attr)
{
    (void)diff_src;
    TG_DNNL_CREATE(dnnl_eltwise_desc_t, dnnl_eltwise_backward_desc_init(&d, algorithm, diff_dst, data, alpha, beta),
                   hint);
}

/* 2.x has one descriptor for source and result: they must be the same. */
static inline dnnl_status_t dnnl_batch_normalization_forward_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, tg_dnnl_md src, tg_dnnl_md dst,
    float eps, unsigned flags, const_dnnl_primitive_attr_t attr)
{
    (void)dst;
    TG_DNNL_CREATE(dnnl_batch_normalization_desc_t,
                   dnnl_batch_normalization_forward_desc_init(&d, kind, src, eps, flags), NULL);
}

static inline dnnl_status_t dnnl_batch_normalization_backward_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, tg_dnnl_md diff_src,
    tg_dnnl_md diff_dst, tg_dnnl_md src, float eps, unsigned flags, const_dnnl_primitive_desc_t hint,
    const_dnnl_primitive_attr_t attr)
{
    (void)diff_src;
    TG_DNNL_CREATE(dnnl_batch_normalization_desc_t,
                   dnnl_batch_normalization_backward_desc_init(&d, kind, diff_dst, src, eps, flags), hint);
}

static inline dnnl_status_t dnnl_layer_normalization_forward_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, tg_dnnl_md src, tg_dnnl_md dst,
    tg_dnnl_md statistics, float eps, unsigned flags, const_dnnl_primitive_attr_t attr)
{
    (void)dst;
    TG_DNNL_CREATE(dnnl_layer_normalization_desc_t,
                   dnnl_layer_normalization_forward_desc_init(&d, kind, src, statistics, eps, flags), NULL);
}

static inline dnnl_status_t dnnl_layer_normalization_backward_primitive_desc_create(
    dnnl_primitive_desc_t *pd, dnnl_engine_t engine, dnnl_prop_kind_t kind, tg_dnnl_md diff_src,
    tg_dnnl_md diff_dst, tg_dnnl_md src, tg_dnnl_md statistics, float eps, unsigned flags,
    const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr)
{
    (void)diff_src;
    TG_DNNL_CREATE(
        dnnl_layer_normalization_desc_t,
        dnnl_layer_normalization_backward_desc_init(&d, kind, diff_dst, src, statistics, eps, flags), hint);
}

#endif
#endif
