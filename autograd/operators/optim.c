/* The optimizers' arithmetic: in-place rows over groups of tensors, so that a step is one call for all
 * parameters. */
#include "autograd/operators/rows.h"

#define MEMBER(type, field) .offset = offsetof(type, field)

/* -- shapes ---------------------------------------------------------------------------------------------- */
static tg_status check_tensor(const tg_infer *q, size_t i)
{
    const tg_desc *d = q->in[i];
    if (!d)
        return tg_infer_fail(q, TG_EINVAL, "input %zu is missing", i);
    if (!tg_dtype_is_float(d->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "input %zu is %s, expected f32 or f64", i,
                             tg_dtype_name(d->dtype));
    return TG_OK;
}

static tg_status infer_groups(const tg_infer *q)
{
    size_t period = q->op->period;
    if (q->n_in == 0 || q->n_in % period != 0)
        return tg_infer_fail(q, TG_EINVAL, "got %zu inputs, expected groups of %zu", q->n_in, period);
    for (size_t i = 0; i < q->n_in; i++) {
        if (!q->in[i] && q->op->optional & TG_OP_IN(i % period))
            continue;
        tg_status status = check_tensor(q, i);
        if (status)
            return status;
        const tg_desc *d = q->in[i], *first = q->in[i - i % period];
        if (d->dtype != first->dtype)
            return tg_infer_fail(q, TG_EDTYPE, "group %zu mixes %s and %s", i / period,
                                 tg_dtype_name(first->dtype), tg_dtype_name(d->dtype));
        if (!tg_desc_same_dims(d, first))
            return tg_infer_fail(q, TG_ESHAPE, "the tensors of group %zu differ in shape", i / period);
        if (q->op->writes & TG_OP_IN(i % period) && (status = tg_need_writable(q, i)))
            return status;
    }
    return TG_OK;
}

/* Groups in which only the parameter is always there. */
static tg_status infer_step(const tg_infer *q)
{
    const tg_rule_attrs *a = q->attrs;
    if (a->rule < 0 || a->rule >= TG_N_RULES)
        return tg_infer_fail(q, TG_EINVAL, "there is no rule %lld", (long long)a->rule);
    return infer_groups(q);
}

static tg_status infer_norm(const tg_infer *q)
{
    for (size_t i = 0; i < q->n_in; i++) {
        tg_status status = check_tensor(q, i);
        if (status)
            return status;
    }
    return tg_desc_make(&q->out[0], TG_F64, NULL, 0);
}

/* -- attributes ------------------------------------------------------------------------------------------ */
static const tg_attr_spec sgd_attrs[] = {
    {.name = "maximize", .type = TG_ATTR_INT, MEMBER(tg_sgd_attrs, maximize), .doc = "1: −grad is used"},
    {.name = "nesterov",
     .type = TG_ATTR_INT,
     MEMBER(tg_sgd_attrs, nesterov),
     .doc = "1: Nesterov's momentum"},
    {0},
};

static const tg_attr_spec adam_attrs[] = {
    {.name = "maximize", .type = TG_ATTR_INT, MEMBER(tg_adam_attrs, maximize), .doc = "1: −grad is used"},
    {0},
};

static const tg_attr_spec rule_attrs[] = {
    {.name = "rule", .type = TG_ATTR_INT, MEMBER(tg_rule_attrs, rule), .doc = "a tg_step_rule"},
    {.name = "maximize", .type = TG_ATTR_INT, MEMBER(tg_rule_attrs, maximize), .doc = "1: −grad is used"},
    {0},
};

/* -- samples --------------------------------------------------------------------------------------------- */
#define VALUES(...)                                                                                          \
    {                                                                                                        \
        -2 : 2, constant, __VA_ARGS__                                                                        \
    }
#define SQUARES(...)                                                                                         \
    {                                                                                                        \
        0 : 1, constant, __VA_ARGS__                                                                         \
    }
#define STRIDED(...)                                                                                         \
    {                                                                                                        \
        -2 : 2, constant strided, __VA_ARGS__                                                                \
    }

static const tg_sgd_attrs plain_sgd = {0}, nesterov_up = {.maximize = 1, .nesterov = 1};
static const tg_adam_attrs plain_adam = {0}, adam_up = {.maximize = 1};

static const double one[] = {0.1, 0}, three[] = {0.1, 0.01, 0.2, 0, 0.3, 0.5};
TG_SAMPLES(sgd_samples,
           {.label = "matrix",
            .in = TG_SAMPLE_INPUTS(VALUES([5, 7]), VALUES([5, 7])),
            .attrs = &plain_sgd,
            .scalars = one},
           {.label = "three groups, decay, maximize, a strided gradient",
            .in = TG_SAMPLE_INPUTS(VALUES([3, 4]), STRIDED([3, 4]),
                                   VALUES([]), VALUES([]), VALUES([19]),
                                   VALUES([19])),
            .attrs = &nesterov_up,
            .scalars = three},
           {.label = "large",
            .in = TG_SAMPLE_INPUTS(VALUES([70, 521]), VALUES([70, 521])),
            .attrs = &plain_sgd,
            .scalars = three})

static const double two[] = {0.1, 0, 0.9, 0, 1, 0.2, 0.01, 0.8, 0.8, 0.7};
TG_SAMPLES(momentum_samples,
           {.label = "first step and a later one",
            .in = TG_SAMPLE_INPUTS(VALUES([5, 7]), VALUES([5, 7]),
                                   VALUES([5, 7]), VALUES([9]),
                                   VALUES([9]), VALUES([9])),
            .attrs = &plain_sgd,
            .scalars = two},
           {.label = "nesterov, maximize, a strided gradient",
            .in = TG_SAMPLE_INPUTS(VALUES([3, 4]), STRIDED([3, 4]),
                                   VALUES([3, 4])),
            .attrs = &nesterov_up,
            .scalars = two + 5})

static const double adam_scalars[] = {0.01, 1, 0.05, 0.9, 0.999, 0.0316, 1e-8};

static const double decoupled[] = {0.01, 0.999, 0, 0.4, 0.99, 0.3, 1e-6};
TG_SAMPLES(adam_samples,
           {.label = "matrix, decay",
            .in = TG_SAMPLE_INPUTS(VALUES([5, 7]), VALUES([5, 7]),
                                   VALUES([5, 7]), SQUARES([5, 7])),
            .attrs = &plain_adam,
            .scalars = adam_scalars},
           {.label = "decoupled decay, maximize, small beta1, a strided gradient",
            .in = TG_SAMPLE_INPUTS(VALUES([3, 4]), STRIDED([3, 4]),
                                   VALUES([3, 4]), SQUARES([3, 4])),
            .attrs = &adam_up,
            .scalars = decoupled})

#define STEP_DIM [5, 7]
static const char step_in[] = TG_SAMPLE_INPUTS(VALUES(STEP_DIM), STRIDED(STEP_DIM), SQUARES(STEP_DIM),
                                          SQUARES(STEP_DIM), SQUARES(STEP_DIM));
#define LARGE_DIM [70, 521]
static const char large_step_in[] = TG_SAMPLE_INPUTS(VALUES(LARGE_DIM),
                                                VALUES(LARGE_DIM),
                                                SQUARES(LARGE_DIM),
                                                {absent},
                                                {absent});
#define STEP(rule_, input)                                                                                   \
    {                                                                                                        \
        .label = #rule_, .in = input, .attrs = &rules[TG_RULE_##rule_], .scalars = step_scalars              \
    }
#define RULE(rule_)                                                                                          \
    [TG_RULE_##rule_] = {.rule = TG_RULE_##rule_, .maximize = TG_RULE_##rule_ == TG_RULE_RMSPROP}
static const tg_rule_attrs rules[] = {
    RULE(RMSPROP), RULE(ADAGRAD), RULE(ADADELTA), RULE(ADAMAX), RULE(AMSGRAD), RULE(NADAM),
    RULE(RADAM),   RULE(RPROP),   RULE(ASGD),     RULE(MUON),   RULE(LERP),    RULE(CLAMP),
};
static const double step_scalars[] = {0.9, 0.5, 0.1, 0.01, 0.8, 0.6, 0.3, 0.7};
TG_SAMPLES(step_samples, STEP(RMSPROP, step_in), STEP(ADAGRAD, step_in), STEP(ADADELTA, step_in),
           STEP(ADAMAX, step_in), STEP(AMSGRAD, step_in), STEP(NADAM, step_in), STEP(RADAM, step_in),
           STEP(RPROP, step_in), STEP(ASGD, step_in), STEP(MUON, step_in), STEP(LERP, step_in),
           STEP(CLAMP, step_in), STEP(RMSPROP, large_step_in))

TG_SAMPLES(norm_samples,
           {.label = "three tensors, one strided",
            .in = TG_SAMPLE_INPUTS(VALUES([5, 7]), STRIDED([4, 3]),
                                   VALUES([]))},
           {.label = "empty", .in = TG_SAMPLE_INPUTS(VALUES([0]))},
           {.label = "large", .in = TG_SAMPLE_INPUTS(VALUES([70, 521]))})

static const double factors[] = {0.5, -1.25};
TG_SAMPLES(scale_samples,
           {.label = "two tensors, one strided",
            .in = TG_SAMPLE_INPUTS(VALUES([5, 7]), STRIDED([4, 3])),
            .scalars = factors})

/* -- rows ------------------------------------------------------------------------------------------------ */
static const tg_operator sgd_step = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "sgd_step",
    .flags = TG_OP_NONDIFF,
    .n_in = TG_OP_VARIADIC,
    .period = 2,
    .n_scalars = 2,
    .writes = TG_OP_IN(0),
    .attrs_size = sizeof(tg_sgd_attrs),
    .attrs = sgd_attrs,
    .infer = infer_groups,
    .samples = TG_PROOF(sgd_samples),
    .doc = "param ← param − lr·(grad + weight_decay·param)",
};

static const tg_operator sgd_momentum_step = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "sgd_momentum_step",
    .flags = TG_OP_NONDIFF,
    .n_in = TG_OP_VARIADIC,
    .period = 3,
    .n_scalars = 5,
    .writes = TG_OP_IN(0) | TG_OP_IN(2),
    .attrs_size = sizeof(tg_sgd_attrs),
    .attrs = sgd_attrs,
    .infer = infer_groups,
    .samples = TG_PROOF(momentum_samples),
    .doc =
        "g = grad + weight_decay·param; b ← keep·b + take·g; param ← param − lr·b (nesterov: g + momentum·b)",
};

static const tg_operator adam_step = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "adam_step",
    .flags = TG_OP_NONDIFF,
    .n_in = TG_OP_VARIADIC,
    .period = 4,
    .n_scalars = 7,
    .writes = TG_OP_IN(0) | TG_OP_IN(2) | TG_OP_IN(3),
    .attrs_size = sizeof(tg_adam_attrs),
    .attrs = adam_attrs,
    .infer = infer_groups,
    .samples = TG_PROOF(adam_samples),
    .doc = "m ← m + (1−β1)(g − m); v ← β2·v + (1−β2)·g²; param ← param − step_size·m/(√v/root + eps)",
};

static const tg_operator optim_step = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "optim_step",
    .flags = TG_OP_NONDIFF,
    .n_in = TG_OP_VARIADIC,
    .period = 5,
    .n_scalars = 8,
    .optional = TG_OP_IN(1) | TG_OP_IN(2) | TG_OP_IN(3) | TG_OP_IN(4),
    .writes = TG_OP_IN(0) | TG_OP_IN(2) | TG_OP_IN(3) | TG_OP_IN(4),
    .attrs_size = sizeof(tg_rule_attrs),
    .attrs = rule_attrs,
    .infer = infer_step,
    .samples = TG_PROOF(step_samples),
    .doc = "a step of the optimizer that `rule` names, or an average: op_attrs.h has the formulae",
};

static const tg_operator grad_norm = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "grad_norm",
    .flags = TG_OP_NONDIFF,
    .n_in = TG_OP_VARIADIC,
    .n_out = 1,
    .infer = infer_norm,
    .samples = TG_PROOF(norm_samples),
    .doc = "√Σx² over all elements of all inputs, an f64 scalar",
};

static const tg_operator scale_ = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "scale_",
    .flags = TG_OP_NONDIFF,
    .n_in = TG_OP_VARIADIC,
    .period = 1,
    .n_scalars = 1,
    .writes = TG_OP_IN(0),
    .infer = infer_groups,
    .samples = TG_PROOF(scale_samples),
    .doc = "x ← factor·x",
};

const tg_operator *const tg_ops_optim[] = {
    &sgd_step, &sgd_momentum_step, &adam_step, &optim_step, &grad_norm, &scale_, NULL,
};
