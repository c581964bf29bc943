/* softmax, log_softmax, logsumexp. Their gradients are rows with rules of their own, so that every order is
 * covered. */
#include "autograd/operators/checks.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status infer_forward(const tg_infer *q)
{
    const tg_softmax_attrs *a = q->attrs;
    tg_status status = check_float(q, 0, "x");
    if (!status)
        status = check_dim(q, a->dim, q->in[0]->ndim);
    return status ? status : infer_out_like(q->in[0], q->out);
}

static tg_status infer_backward(const tg_infer *q)
{
    const tg_softmax_attrs *a = q->attrs;
    tg_status status = check_float(q, 0, "gy");
    if (!status)
        status = check_like(q, 1, "y", 0);
    if (!status)
        status = check_dim(q, a->dim, q->in[0]->ndim);
    return status ? status : infer_out_like(q->in[0], q->out);
}

/* Which of x's dims are reduced: all where none is listed. */
static tg_status marked(const tg_infer *q, const tg_ints *dims, int32_t ndim, bool *reduce)
{
    for (int i = 0; i < TG_MAX_DIM; i++)
        reduce[i] = dims->n == 0;
    if (dims->n < 0 || dims->n > TG_MAX_DIM)
        return tg_infer_fail(q, TG_EINVAL, "%lld dims listed, expected 0 … %d", (long long)dims->n,
                             TG_MAX_DIM);
    for (int64_t i = 0; i < dims->n; i++) {
        tg_status status = check_dim(q, dims->v[i], ndim);
        if (status)
            return status;
        int64_t dim = dims->v[i] < 0 ? dims->v[i] + (ndim ? ndim : 1) : dims->v[i];
        if (reduce[dim])
            return tg_infer_fail(q, TG_EINVAL, "dim %lld is listed twice", (long long)dim);
        reduce[dim] = true;
    }
    return TG_OK;
}

static tg_status infer_logsumexp(const tg_infer *q)
{
    const tg_logsumexp_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    bool reduce[TG_MAX_DIM];
    tg_status status = check_float(q, 0, "x");
    if (!status)
        status = marked(q, &a->dims, x->ndim, reduce);
    if (status)
        return status;
    int64_t dims[TG_MAX_DIM];
    size_t n = 0;
    for (int i = 0; i < x->ndim; i++)
        if (!reduce[i] || a->keepdim)
            dims[n++] = reduce[i] ? 1 : x->dim[i];
    return tg_desc_make(q->out, (tg_dtype)x->dtype, dims, n);
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator softmax, log_softmax, softmax_backward, log_softmax_backward, logsumexp;

static tg_tensor *sum_along(tg_tape *tape, tg_tensor *x, int64_t dim)
{
    return tg_tensor_ndim(x) ? tg_sum_dims(tape, x, &dim, 1, true) : x;
}

static tg_status vjp_softmax(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_tensor *const in[] = {gy[0], tg_node_output(node, 0)};
    gx[0] = apply_first(tape, &softmax_backward, in, 2, tg_node_attrs(node));
    return tg_tape_status(tape);
}

static tg_status vjp_log_softmax(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    tg_tensor *const in[] = {gy[0], tg_node_output(node, 0)};
    gx[0] = apply_first(tape, &log_softmax_backward, in, 2, tg_node_attrs(node));
    return tg_tape_status(tape);
}

/* r = y·(g − Σg·y): symmetric in g, so that its own transpose is itself. */
static tg_status vjp_softmax_backward(tg_tape *tape, const tg_node *node, tg_tensor *const gy[],
                                      tg_tensor *gx[])
{
    const tg_softmax_attrs *a = tg_node_attrs(node);
    tg_tensor *v = gy[0], *g = tg_node_input(node, 0), *y = tg_node_input(node, 1);
    if (tg_node_needs(node, 0))
        gx[0] = apply_first(tape, &softmax_backward, (tg_tensor *const[]){v, y}, 2, a);
    if (tg_node_needs(node, 1)) {
        tg_tensor *gy_sum = sum_along(tape, tg_mul(tape, g, y), a->dim);
        tg_tensor *vy_sum = sum_along(tape, tg_mul(tape, v, y), a->dim);
        gx[1] = tg_sub(tape, tg_mul(tape, v, tg_sub(tape, g, gy_sum)), tg_mul(tape, g, vy_sum));
    }
    return tg_tape_status(tape);
}

/* r = g − exp(y)·Σg */
static tg_status vjp_log_softmax_backward(tg_tape *tape, const tg_node *node, tg_tensor *const gy[],
                                          tg_tensor *gx[])
{
    const tg_softmax_attrs *a = tg_node_attrs(node);
    tg_tensor *v = gy[0], *g = tg_node_input(node, 0), *y = tg_node_input(node, 1);
    tg_tensor *vp = tg_mul(tape, v, tg_exp(tape, y));
    if (tg_node_needs(node, 0))
        gx[0] = tg_sub(tape, v, sum_along(tape, vp, a->dim));
    if (tg_node_needs(node, 1))
        gx[1] = tg_neg(tape, tg_mul(tape, vp, sum_along(tape, g, a->dim)));
    return tg_tape_status(tape);
}

static tg_status vjp_logsumexp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    const tg_logsumexp_attrs *a = tg_node_attrs(node);
    tg_tensor *x = tg_node_input(node, 0), *y = tg_node_output(node, 0), *g = gy[0];
    tg_desc d;
    tg_status status = tg_tensor_desc(x, &d);
    if (status)
        return status;
    if (!a->keepdim && d.ndim) {
        for (int i = 0; i < d.ndim; i++)
            if (a->dims.n == 0)
                d.dim[i] = 1;
        for (int64_t i = 0; i < a->dims.n; i++)
            d.dim[a->dims.v[i] < 0 ? a->dims.v[i] + d.ndim : a->dims.v[i]] = 1;
        y = tg_reshape_dims(tape, y, d.dim, (size_t)d.ndim);
        g = tg_reshape_dims(tape, g, d.dim, (size_t)d.ndim);
    }
    gx[0] = tg_mul(tape, g, tg_exp(tape, tg_sub(tape, x, y)));
    return tg_tape_status(tape);
}

/* -- samples -------------------------------------------------------------------------------------------- */

/* clang-format off */
#define DIM(d) &(const tg_softmax_attrs){.dim = d}

TG_SAMPLES(samples_forward,
           {.label = "rows", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 5, 7)), .attrs = DIM(1)},
           {.label = "columns", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 5, 3)), .attrs = DIM(0)},
           {.label = "middle of four, from the end", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 2, 3, 2, 3)),
            .attrs = DIM(-3)},
           {.label = "strided", .in = TG_SAMPLE_INPUTS(STRIDED(-3, 3, 4, 6)), .attrs = DIM(-1)},
           {.label = "past one vector", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 2, 37)), .attrs = DIM(1)},
           {.label = "one class", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 3, 1)), .attrs = DIM(1)},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-3, 3)), .attrs = DIM(0)},
           {.label = "no rows", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 0, 4)), .attrs = DIM(1)})

TG_SAMPLES(samples_softmax_backward,
           {.label = "rows", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 5), DRAWN(0.1, 0.9, 3, 5)), .attrs = DIM(1)},
           {.label = "columns", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 4, 3), DRAWN(0.1, 0.9, 4, 3)),
            .attrs = DIM(0)},
           {.label = "strided", .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 3, 4), STRIDED(0.1, 0.9, 2, 3, 4)),
            .attrs = DIM(-2)},
           {.label = "past one vector", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 35), DRAWN(0.1, 0.9, 2, 35)),
            .attrs = DIM(1)},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2), DRAWN_SCALAR(0.1, 0.9)),
            .attrs = DIM(-1)})

TG_SAMPLES(samples_log_softmax_backward,
           {.label = "rows", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 5), DRAWN(-2, 0, 3, 5)), .attrs = DIM(1)},
           {.label = "columns", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 4, 3), DRAWN(-2, 0, 4, 3)), .attrs = DIM(0)},
           {.label = "strided", .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 3, 4), STRIDED(-2, 0, 2, 3, 4)),
            .attrs = DIM(-2)},
           {.label = "past one vector", .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 35), DRAWN(-2, 0, 2, 35)),
            .attrs = DIM(1)},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-2, 2), DRAWN_SCALAR(-2, 0)),
            .attrs = DIM(-1)})

#define OVER(keep, count, ...)                                                                               \
    &(const tg_logsumexp_attrs){.keepdim = keep, .dims = {.n = count, .v = {__VA_ARGS__}}}

TG_SAMPLES(samples_logsumexp,
           {.label = "rows", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 3, 5)), .attrs = OVER(0, 1, 1)},
           {.label = "columns, kept", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 4, 3)), .attrs = OVER(1, 1, 0)},
           {.label = "two dims apart", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 2, 3, 4)), .attrs = OVER(0, 2, -1, 0)},
           {.label = "all", .in = TG_SAMPLE_INPUTS(STRIDED(-3, 3, 3, 4)), .attrs = OVER(0, 0, 0)},
           {.label = "all, kept", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 3, 4)), .attrs = OVER(1, 0, 0)},
           {.label = "strided", .in = TG_SAMPLE_INPUTS(STRIDED(-3, 3, 4, 3)), .attrs = OVER(0, 1, -1)},
           {.label = "scalar", .in = TG_SAMPLE_INPUTS(DRAWN_SCALAR(-3, 3)), .attrs = OVER(0, 1, 0)},
           {.label = "no rows", .in = TG_SAMPLE_INPUTS(DRAWN(-3, 3, 0, 4)), .attrs = OVER(0, 1, 1)})
/* clang-format on */

/* -- rows
 * ---------------------------------------------------------------------------------------------------------
 */

static const tg_attr_spec dim_spec[] = {
    {.name = "dim",
     .type = TG_ATTR_INT,
     .flags = TG_ATTR_REQUIRED,
     .offset = offsetof(tg_softmax_attrs, dim),
     .doc = "the dim whose values sum to one; negative: from the end"},
    {0},
};

static const tg_attr_spec logsumexp_specs[] = {
    {.name = "dim",
     .type = TG_ATTR_INTS,
     .offset = offsetof(tg_logsumexp_attrs, dims),
     .doc = "empty: over all"},
    {.name = "keepdim",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_logsumexp_attrs, keepdim),
     .doc = "1: reduced dims stay, with size 1"},
    {0},
};

static const tg_operator softmax = {
    TG_ROW("softmax", "y = exp(x)/Σexp(x) along dim (torch.softmax)"),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_OUT(0),
    .n_in = 1,
    .n_out = 1,
    TG_ATTRS(tg_softmax_attrs, dim_spec),
    .infer = infer_forward,
    .vjp = vjp_softmax,
    .samples = TG_PROOF(samples_forward),
};

static const tg_operator log_softmax = {
    TG_ROW("log_softmax", "y = x − log Σexp(x) along dim (torch.log_softmax)"),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_OUT(0),
    .n_in = 1,
    .n_out = 1,
    TG_ATTRS(tg_softmax_attrs, dim_spec),
    .infer = infer_forward,
    .vjp = vjp_log_softmax,
    .samples = TG_PROOF(samples_forward),
};

static const tg_operator softmax_backward = {
    TG_ROW("softmax_backward", "gx = y·(gy − Σgy·y) along dim"),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_softmax_attrs, dim_spec),
    .infer = infer_backward,
    .vjp = vjp_softmax_backward,
    .samples = TG_PROOF(samples_softmax_backward),
};

static const tg_operator log_softmax_backward = {
    TG_ROW("log_softmax_backward", "gx = gy − exp(y)·Σgy along dim"),
    .flags = TG_OP_DENSE,
    .saves = TG_OP_IN(0) | TG_OP_IN(1),
    .n_in = 2,
    .n_out = 1,
    TG_ATTRS(tg_softmax_attrs, dim_spec),
    .infer = infer_backward,
    .vjp = vjp_log_softmax_backward,
    .samples = TG_PROOF(samples_log_softmax_backward),
};

static const tg_operator logsumexp = {
    TG_ROW("logsumexp", "y = log Σexp(x) over dim (torch.logsumexp); gx = gy·exp(x − y)"),
    .flags = TG_OP_DENSE | TG_OP_FLOAT,
    .promotes = TG_OP_IN(0),
    .saves = TG_OP_IN(0) | TG_OP_OUT(0),
    .n_in = 1,
    .n_out = 1,
    TG_ATTRS(tg_logsumexp_attrs, logsumexp_specs),
    .infer = infer_logsumexp,
    .vjp = vjp_logsumexp,
    .samples = TG_PROOF(samples_logsumexp),
};

const tg_operator *const tg_ops_softmax[] = {
    &softmax, &log_softmax, &softmax_backward, &log_softmax_backward, &logsumexp, NULL,
};

/* -- wrappers ------------------------------------------------------------------------------------------- */

tg_tensor *tg_softmax(tg_tape *tape, tg_tensor *x, int64_t dim)
{
    return apply_first(tape, &softmax, &x, 1, &(tg_softmax_attrs){.dim = dim});
}

tg_tensor *tg_log_softmax(tg_tape *tape, tg_tensor *x, int64_t dim)
{
    return apply_first(tape, &log_softmax, &x, 1, &(tg_softmax_attrs){.dim = dim});
}

tg_tensor *tg_logsumexp_dims(tg_tape *tape, tg_tensor *x, const int64_t *dims, size_t n_dims, bool keepdim)
{
    tg_logsumexp_attrs a = {.keepdim = keepdim};
    tg_dims_attrs listed;
    if (!tg_argument(tape, x, "logsumexp", "x") || !tg_take_dims(tape, "logsumexp", dims, n_dims, &listed))
        return NULL;
    a.dims = listed.dims;
    return apply_first(tape, &logsumexp, &x, 1, &a);
}
