/* Batch norm, and with ReLU in the same row. */
#include "autograd/operators/norms.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status check_per_channel(const tg_infer *q, size_t i, const char *argument, size_t x)
{
    return check_shape(q, i, argument, q->in[x]->dtype, &q->in[x]->dim[1], 1);
}

static tg_status make_per_channel(const tg_infer *q, size_t x, size_t from, size_t to)
{
    tg_status status = TG_OK;
    for (size_t o = from; o < to && !status; o++)
        status = tg_desc_make(&q->out[o], (tg_dtype)q->in[x]->dtype, &q->in[x]->dim[1], 1);
    return status;
}

static tg_status infer_batch_norm_train(const tg_infer *q)
{
    tg_status status = tg_norm_check_channels(q, 0);
    if (!status)
        status = check_per_channel(q, 1, "weight", 0);
    if (!status)
        status = check_per_channel(q, 2, "bias", 0);
    if (!status)
        status = tg_norm_check_eps(q, ((const tg_batch_norm_attrs *)q->attrs)->eps);
    if (!status)
        status = infer_out_like(q->in[0], q->out);
    return status ? status : make_per_channel(q, 0, 1, 4);
}

static tg_status infer_batch_norm_eval(const tg_infer *q)
{
    static const char *const names[] = {"x", "running_mean", "running_var", "weight", "bias"};
    tg_status status = tg_norm_check_channels(q, 0);
    for (size_t i = 1; i < 5 && !status; i++)
        status = check_per_channel(q, i, names[i], 0);
    if (!status)
        status = tg_norm_check_eps(q, ((const tg_batch_norm_attrs *)q->attrs)->eps);
    if (!status)
        status = infer_out_like(q->in[0], q->out);
    return status ? status : make_per_channel(q, 0, 1, 3);
}

static tg_status infer_batch_norm_backward(const tg_infer *q)
{
    static const char *const names[] = {"gy", "x", "weight", "mean", "invstd"};
    tg_status status = tg_norm_check_channels(q, 1);
    if (!status)
        status = check_like(q, 0, "gy", 1);
    if (!status && q->n_in == 6)
        status = check_like(q, 5, "y", 1);
    for (size_t i = 2; i < 5 && !status; i++)
        status = check_per_channel(q, i, names[i], 1);
    if (status)
        return status;
    return tg_norm_make_gradients(q, ((const tg_batch_norm_backward_attrs *)q->attrs)->want, &q->in[1]->dim[1], 1);
}

static tg_status infer_batch_norm_update(const tg_infer *q)
{
    static const char *const names[] = {"running_mean", "running_var", "num_batches_tracked", "mean", "var"};
    for (size_t g = 0; g + 5 <= q->n_in; g += 5) {
        tg_status status = check_float(q, g, names[0]);
        if (!status && q->in[g]->ndim != 1)
            status = tg_infer_fail(q, TG_ESHAPE, "running_mean has %d dims, expected 1", (int)q->in[g]->ndim);
        for (size_t i = 1; i < 5 && !status; i++)
            if (i != 2)
                status = check_like(q, g + i, names[i], g);
        if (!status)
            status = check_shape(q, g + 2, names[2], TG_I64, NULL, 0);
        for (size_t i = 0; i < 2 && !status; i++)
            status = tg_need_writable(q, g + i);
        if (status)
            return status;
    }
    return TG_OK;
}

/* -- rules ---------------------------------------------------------------------------------------------- */

static const tg_operator batch_norm_train, batch_norm_eval, batch_norm_backward, batch_norm_relu_train,
    batch_norm_relu_eval, batch_norm_relu_backward, batch_norm_update;

/* One forward's data for its rule. */
typedef struct batch_norm {
    tg_norm m;
    tg_tensor *mean, *invstd, *y; /* y: of a row with ReLU */
} batch_norm;

static tg_status fused(tg_tape *tape, const tg_node *node, const batch_norm *b, int64_t batch_stats, tg_tensor *gy,
                       tg_tensor *gx[])
{
    const size_t weight = b->m.weight;
    const tg_batch_norm_backward_attrs a = {.want = tg_norm_wanted(node, weight), .batch_stats = batch_stats};
    tg_tensor *const in[] = {gy, b->m.x, b->m.w, b->mean, b->invstd, b->y};
    return tg_norm_fused(tape, node, weight, b->y ? &batch_norm_relu_backward : &batch_norm_backward, &a, in, gx);
}

/* gy before ReLU, recorded. */
static tg_tensor *through_relu(tg_tape *tape, const batch_norm *b, tg_tensor *gy)
{
    const tg_operator *op = b->y ? tg_operator_find(tg_tape_runtime(tape), "relu_backward") : NULL;
    return op ? tg_row2(tape, op, gy, b->y, NULL, NULL) : gy;
}

/* Dims of a [N, C, *] around its channels. */
static tg_status describe_channels(tg_norm *m)
{
    tg_desc x;
    tg_status status = tg_tensor_desc(m->x, &x);
    m->ndim = (size_t)x.ndim;
    for (int i = 0; i < x.ndim; i++) {
        m->view[i] = i == 1 ? x.dim[1] : 1;
        if (i != 1)
            m->stat.v[m->stat.n++] = m->param.v[m->param.n++] = i;
    }
    return status;
}

/* NULL where there is no ReLU. */
static tg_tensor *relu_of(const tg_node *node)
{
    const tg_operator *op = tg_node_operator(node);
    return op == &batch_norm_relu_train || op == &batch_norm_relu_eval ? tg_node_output(node, 0) : NULL;
}

TG_RULE(batch_norm_train)
{
    batch_norm b = {.m = {.weight = 1, .x = tg_node_input(node, 0), .w = tg_node_input(node, 1), .centred = true},
                    .mean = tg_node_output(node, 1),
                    .invstd = tg_node_output(node, 3),
                    .y = relu_of(node)};
    if (!tg_tape_recording(tape))
        return fused(tape, node, &b, 1, gy[0], gx);
    tg_status status = describe_channels(&b.m);
    if (status)
        return status;
    return tg_norm_composed(tape, node, &b.m, ((const tg_batch_norm_attrs *)tg_node_attrs(node))->eps,
                            through_relu(tape, &b, gy[0]), gx);
}

/* The statistics are the node's own copies: what happens to the buffers later does not matter. */
TG_RULE(batch_norm_eval)
{
    batch_norm b = {.m = {.weight = 3, .x = tg_node_input(node, 0), .w = tg_node_input(node, 3)},
                    .mean = tg_node_output(node, 1),
                    .invstd = tg_node_output(node, 2),
                    .y = relu_of(node)};
    const tg_norm *m = &b.m;
    if (!tg_tape_recording(tape))
        return fused(tape, node, &b, 0, gy[0], gx);
    tg_status status = describe_channels(&b.m);
    if (status)
        return status;
    tg_tensor *g = through_relu(tape, &b, gy[0]);
    tg_tensor *mean = tg_reshape_dims(tape, b.mean, m->view, m->ndim);
    tg_tensor *invstd = tg_reshape_dims(tape, b.invstd, m->view, m->ndim);
    if (tg_norm_wanted(node, m->weight) & (TG_WANT_WEIGHT | TG_WANT_BIAS))
        tg_norm_of_parameters(tape, node, m, g, tg_mul(tape, tg_sub(tape, m->x, mean), invstd), gx);
    if (tg_node_needs(node, 0)) {
        tg_tensor *scale = m->w ? tg_mul(tape, tg_reshape_dims(tape, m->w, m->view, m->ndim), invstd) : invstd;
        gx[0] = tg_mul(tape, g, scale);
    }
    return tg_tape_status(tape);
}

/* -- samples -------------------------------------------------------------------------------------------- */

/* clang-format off */
#define EPS(value) &(const tg_batch_norm_attrs){.eps = value}

TG_SAMPLES(samples_batch_norm_train,
           {.label = "rows", .attrs = EPS(1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 5, 3), DRAWN(0.5, 2, 3), DRAWN(-1, 1, 3))},
           {.label = "plain", .attrs = EPS(1e-5), .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 4, 3), ABSENT, ABSENT)},
           {.label = "sequences", .attrs = EPS(1e-3),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 3, 2, 5), DRAWN(0.5, 2, 2), DRAWN(-1, 1, 2))},
           {.label = "images, strided", .attrs = EPS(1e-5),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 3, 3, 2), STRIDED(0.5, 2, 3), STRIDED(-1, 1, 3))},
           {.label = "strided, no bias", .attrs = EPS(0.1),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 6, 2), DRAWN(0.5, 2, 2), ABSENT)},
           {.label = "past one vector", .attrs = EPS(1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 2, 19), DRAWN(0.5, 2, 2), DRAWN(-1, 1, 2))},
           {.label = "empty batch", .attrs = EPS(1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 0, 3), DRAWN(0.5, 2, 3), DRAWN(-1, 1, 3))})

TG_SAMPLES(samples_batch_norm_eval,
           {.label = "rows", .attrs = EPS(1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 5, 3), CONSTANT(-1, 1, 3), CONSTANT(0.5, 2, 3), DRAWN(0.5, 2, 3),
                   DRAWN(-1, 1, 3))},
           {.label = "plain", .attrs = EPS(1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 4, 3), CONSTANT(-1, 1, 3), CONSTANT(0.5, 2, 3), ABSENT, ABSENT)},
           {.label = "images, strided", .attrs = EPS(1e-3),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 2, 3, 3, 2), CONSTANT(-1, 1, 3), CONSTANT(0.5, 2, 3), STRIDED(0.5, 2, 3),
                   STRIDED(-1, 1, 3))},
           {.label = "one sequence", .attrs = EPS(1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 1, 2, 17), CONSTANT(-1, 1, 2), CONSTANT(0.5, 2, 2), DRAWN(0.5, 2, 2),
                   ABSENT)},
           {.label = "empty batch", .attrs = EPS(1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 0, 3), CONSTANT(-1, 1, 3), CONSTANT(0.5, 2, 3), DRAWN(0.5, 2, 3),
                   DRAWN(-1, 1, 3))})

#define WANT(set, batch) &(const tg_batch_norm_backward_attrs){.want = set, .batch_stats = batch}

TG_SAMPLES(samples_batch_norm_backward,
           {.label = "all, batch statistics", .attrs = WANT(7, 1),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 5, 3), DRAWN(-2, 2, 5, 3), DRAWN(0.5, 2, 3), DRAWN(-1, 1, 3),
                   DRAWN(0.5, 2, 3))},
           {.label = "source, constants", .attrs = WANT(1, 0),
            .in = TG_SAMPLE_INPUTS(STRIDED(-2, 2, 4, 3), STRIDED(-2, 2, 4, 3), ABSENT, DRAWN(-1, 1, 3), DRAWN(0.5, 2, 3))},
           {.label = "images", .attrs = WANT(7, 1),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 2, 3, 7), DRAWN(-2, 2, 2, 2, 3, 7), DRAWN(0.5, 2, 2), DRAWN(-1, 1, 2),
                   DRAWN(0.5, 2, 2))},
           {.label = "parameters, constants", .attrs = WANT(6, 0),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 2, 3), DRAWN(-2, 2, 2, 2, 3), DRAWN(0.5, 2, 2), DRAWN(-1, 1, 2),
                   DRAWN(0.5, 2, 2))})

TG_SAMPLES(samples_batch_norm_relu_train,
           {.label = "images", .attrs = EPS(1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 16, 2, 3), DRAWN(0.5, 2, 16), DRAWN(-1, 1, 16))},
           {.label = "rows", .attrs = EPS(1e-5), .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 4, 3), ABSENT, ABSENT)})

TG_SAMPLES(samples_batch_norm_relu_eval,
           {.label = "sequences", .attrs = EPS(1e-3),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 8, 3), CONSTANT(-1, 1, 8), CONSTANT(0.5, 2, 8), DRAWN(0.5, 2, 8),
                   DRAWN(-1, 1, 8))},
           {.label = "plain", .attrs = EPS(1e-5),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 4, 3), CONSTANT(-1, 1, 3), CONSTANT(0.5, 2, 3), ABSENT, ABSENT)})

TG_SAMPLES(samples_batch_norm_relu_backward,
           {.label = "images", .attrs = WANT(7, 1),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 2, 16, 3, 2), DRAWN(-2, 2, 2, 16, 3, 2), DRAWN(0.5, 2, 16),
                   DRAWN(-1, 1, 16), DRAWN(0.5, 2, 16), DRAWN(-1, 1, 2, 16, 3, 2))},
           {.label = "source, constants", .attrs = WANT(1, 0),
            .in = TG_SAMPLE_INPUTS(DRAWN(-2, 2, 4, 3), DRAWN(-2, 2, 4, 3), ABSENT, DRAWN(-1, 1, 3), DRAWN(0.5, 2, 3),
                   DRAWN(-1, 1, 4, 3))})

#define TRACKED {0 : 9, i64, constant}

TG_SAMPLES(samples_batch_norm_update,
           {.label = "momentum", .scalars = (const double[]){0.1, 8.0},
            .in = TG_SAMPLE_INPUTS(CONSTANT(-1, 1, 3), CONSTANT(0.5, 2, 3), TRACKED, CONSTANT(-1, 1, 3),
                   CONSTANT(0.5, 2, 3))},
           {.label = "plain average", .scalars = (const double[]){(double)NAN, 5.0},
            .in = TG_SAMPLE_INPUTS(CONSTANT(-1, 1, 7), CONSTANT(0.5, 2, 7), TRACKED, CONSTANT(-1, 1, 7),
                   CONSTANT(0.5, 2, 7))})
/* clang-format on */

/* -- rows ----------------------------------------------------------------------------------------------- */

static const tg_attr_spec eps_spec[] = {
    {.name = "eps",
     .type = TG_ATTR_REAL,
     .offset = offsetof(tg_batch_norm_attrs, eps),
     .value = 1e-5,
     .doc = "added to the variance"},
    {0},
};

static const tg_attr_spec back_specs[] = {
    {.name = "want",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_batch_norm_backward_attrs, want),
     .value = 7,
     .doc = "a set of 1 (diff_src), 2 (diff_weight), 4 (diff_bias)"},
    {.name = "batch_stats",
     .type = TG_ATTR_INT,
     .offset = offsetof(tg_batch_norm_backward_attrs, batch_stats),
     .value = 1,
     .doc = "1: mean and invstd are those of x; 0: constants"},
    {0},
};

/* Each with and without ReLU: SAVED is what the rule reads beside the rest, y or nothing. */
#define TRAIN(name, doc, saved)                                                                              \
    static const tg_operator name = {                                                                        \
        TG_ROW(#name, doc),                                                                                  \
        TG_ATTRS(tg_batch_norm_attrs, eps_spec),                                                             \
        .flags = TG_OP_DENSE,                                                                                \
        .saves = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_OUT(1) | TG_OP_OUT(3) | (saved),                          \
        .n_in = 3,                                                                                           \
        .n_out = 4,                                                                                          \
        .optional = TG_OP_IN(1) | TG_OP_IN(2),                                                               \
        .nondiff_out = (TG_OP_OUT(1) | TG_OP_OUT(2) | TG_OP_OUT(3)) >> 16,                                   \
        .kept_out = TG_OP_OUT(3) >> 16,                                                                      \
        .infer = infer_batch_norm_train,                                                                     \
        .vjp = batch_norm_train_vjp,                                                                         \
        .samples = TG_PROOF(samples_##name),                                                                           \
    }
#define EVAL(name, doc, saved)                                                                               \
    static const tg_operator name = {                                                                        \
        TG_ROW(#name, doc),                                                                                  \
        TG_ATTRS(tg_batch_norm_attrs, eps_spec),                                                             \
        .flags = TG_OP_DENSE,                                                                                \
        .saves = TG_OP_IN(0) | TG_OP_IN(3) | TG_OP_OUT(1) | TG_OP_OUT(2) | (saved),                          \
        .n_in = 5,                                                                                           \
        .n_out = 3,                                                                                          \
        .optional = TG_OP_IN(3) | TG_OP_IN(4),                                                               \
        .nondiff_out = (TG_OP_OUT(1) | TG_OP_OUT(2)) >> 16,                                                  \
        .kept_out = (TG_OP_OUT(1) | TG_OP_OUT(2)) >> 16,                                                     \
        .infer = infer_batch_norm_eval,                                                                      \
        .vjp = batch_norm_eval_vjp,                                                                          \
        .samples = TG_PROOF(samples_##name),                                                                           \
    }
#define CHANNELS_BACK(name, doc, inputs)                                                                     \
    static const tg_operator name = {                                                                        \
        TG_ROW(#name, doc),                                                                                  \
        TG_ATTRS(tg_batch_norm_backward_attrs, back_specs),                                                  \
        .flags = TG_OP_DENSE | TG_OP_NONDIFF,                                                                \
        .n_in = inputs,                                                                                      \
        .n_out = 3,                                                                                          \
        .optional = TG_OP_IN(2),                                                                             \
        .infer = infer_batch_norm_backward,                                                                  \
        .samples = TG_PROOF(samples_##name),                                                                           \
    }

TRAIN(batch_norm_train,
      "y = (x − μ)·invstd·weight + bias, μ and biased v of the batch, invstd = 1/√(v + eps) (Ioffe, Szegedy 2015)", 0);
TRAIN(batch_norm_relu_train, "batch_norm_train, then relu", TG_OP_OUT(0));
EVAL(batch_norm_eval, "y = (x − running_mean)/√(running_var + eps)·weight + bias, the statistics constants", 0);
EVAL(batch_norm_relu_eval, "batch_norm_eval, then relu", TG_OP_OUT(0));
CHANNELS_BACK(batch_norm_backward,
              "Σgy·x̂, Σgy, and weight·invstd·(gy − mean(gy) − x̂·mean(gy·x̂)), or weight·invstd·gy for constant statistics",
              5);
CHANNELS_BACK(batch_norm_relu_backward, "batch_norm_backward of y <= 0 ? 0 : gy", 6);

static const tg_operator batch_norm_update = {
    TG_ROW("batch_norm_update",
           "rm ← (1−m)·rm + m·mean; rv ← (1−m)·rv + m·var·n/(n−1); num_batches_tracked += 1"),
    .flags = TG_OP_NONDIFF,
    .n_in = TG_OP_VARIADIC,
    .n_out = 0,
    .period = 5,
    .n_scalars = 2,
    .writes = TG_OP_IN(0) | TG_OP_IN(1) | TG_OP_IN(2),
    .infer = infer_batch_norm_update,
    .samples = TG_PROOF(samples_batch_norm_update),
};

const tg_operator *const tg_ops_batch_norm[] = {
    &batch_norm_train,     &batch_norm_eval,          &batch_norm_backward, &batch_norm_relu_train,
    &batch_norm_relu_eval, &batch_norm_relu_backward, &batch_norm_update,   NULL,
};

/* -- wrappers ------------------------------------------------------------------------------------------- */

tg_tensor *tg_batch_norm_train_then(tg_tape *tape, bool relu, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,
                                    double eps, tg_tensor **mean, tg_tensor **var)
{
    tg_tensor *out[4] = {NULL};
    tg_status status = tg_apply(tape, relu ? &batch_norm_relu_train : &batch_norm_train,
                                (tg_tensor *const[]){x, weight, bias}, 3, &(tg_batch_norm_attrs){.eps = eps}, NULL, out);
    if (mean)
        *mean = status ? NULL : out[1];
    if (var)
        *var = status ? NULL : out[2];
    return status ? NULL : out[0];
}

tg_tensor *tg_batch_norm_train(tg_tape *tape, tg_tensor *x, tg_tensor *weight, tg_tensor *bias, double eps,
                               tg_tensor **mean, tg_tensor **var)
{
    return tg_batch_norm_train_then(tape, false, x, weight, bias, eps, mean, var);
}

tg_tensor *tg_batch_norm_eval_then(tg_tape *tape, bool relu, tg_tensor *x, tg_tensor *running_mean,
                                   tg_tensor *running_var, tg_tensor *weight, tg_tensor *bias, double eps)
{
    tg_tensor *const in[] = {x, running_mean, running_var, weight, bias};
    return apply_first(tape, relu ? &batch_norm_relu_eval : &batch_norm_eval, in, 5, &(tg_batch_norm_attrs){.eps = eps});
}

tg_tensor *tg_batch_norm_eval(tg_tape *tape, tg_tensor *x, tg_tensor *running_mean, tg_tensor *running_var,
                              tg_tensor *weight, tg_tensor *bias, double eps)
{
    return tg_batch_norm_eval_then(tape, false, x, running_mean, running_var, weight, bias, eps);
}
