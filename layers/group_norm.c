/* Normalisation without batch statistics: groups of channels, instances, mean squares, neighbouring channels.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "layers/internal.h"

typedef struct group_norm_options {
    int64_t num_groups, num_channels, num_features, size;
    tg_ints normalized_shape;
    double eps, momentum, alpha, beta, k;
    bool affine, bias, track_running_stats, elementwise_affine;
} group_norm_options;

typedef struct norm_state {
    tg_tensor *weight, *bias, *running_mean, *running_var;
    tg_tensor *count; /* of the update's own: torch's InstanceNorm never counts in num_batches_tracked */
    const tg_operator *update;
} norm_state;

static bool is_none(double v)
{
    double none = TG_NONE_REAL;
    return memcmp(&v, &none, sizeof v) == 0;
}

static tg_status need_eps(const tg_module *m, double eps)
{
    return eps > 0 && !isinf(eps)
               ? TG_OK
               : tg_fail(NULL, TG_EINVAL, "%s: eps is %g, expected a positive number", m->cls->name, eps);
}

static tg_status need_positive(const tg_module *m, const char *name, int64_t value)
{
    return value > 0 ? TG_OK
                     : tg_fail(NULL, TG_EINVAL, "%s: %s is %lld, expected at least 1", m->cls->name, name,
                               (long long)value);
}

static tg_status add_affine(tg_module *m, const int64_t *dims, size_t ndim, bool bias)
{
    norm_state *s = m->self;
    tg_status status = tg_module_add_parameter(m, "weight", dims, ndim, &s->weight);
    if (!status)
        status = tg_fill(s->weight, 1);
    if (!status && bias)
        status = tg_module_add_parameter(m, "bias", dims, ndim, &s->bias);
    return status;
}

/* -- GroupNorm ------------------------------------------------------------------------------------------ */

static tg_status group_init(tg_module *m, const void *attrs)
{
    const group_norm_options *o = attrs;
    tg_status status = need_positive(m, "num_groups", o->num_groups);
    if (!status)
        status = need_positive(m, "num_channels", o->num_channels);
    if (!status && o->num_channels % o->num_groups)
        status = tg_fail(NULL, TG_EINVAL,
                         "GroupNorm: num_channels is %lld, expected a multiple of num_groups %lld",
                         (long long)o->num_channels, (long long)o->num_groups);
    if (!status)
        status = need_eps(m, o->eps);
    return status || !o->affine ? status : add_affine(m, &o->num_channels, 1, o->bias);
}

static tg_status group_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                               tg_tensor *out[])
{
    (void)n_in;
    const group_norm_options *o = m->attrs;
    const norm_state *s = m->self;
    const tg_desc *x = tg_layer_desc(in[0]);
    if (x->ndim < 2 || x->dim[1] != o->num_channels) {
        char got[128];
        return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected [N, C] or [N, C, *] with C = %lld",
                             tg_desc_format(x, got, sizeof got), (long long)o->num_channels);
    }
    return tg_layer_result(tape, tg_group_norm(tape, in[0], o->num_groups, s->weight, s->bias, o->eps), out);
}

/* -- InstanceNorm --------------------------------------------------------------------------------------- */

static tg_status instance_init(tg_module *m, const void *attrs)
{
    const group_norm_options *o = attrs;
    norm_state *s = m->self;
    const tg_dtype dtype = tg_runtime_dtype(m->rt);
    tg_status status = need_positive(m, "num_features", o->num_features);
    if (!status)
        status = need_eps(m, o->eps);
    if (!status && !is_none(o->momentum) && !(o->momentum >= 0 && o->momentum <= 1))
        status = tg_fail(NULL, TG_EINVAL, "%s: momentum is %g, expected a number between 0 and 1 or None",
                         m->cls->name, o->momentum);
    if (!status && o->affine)
        status = add_affine(m, &o->num_features, 1, o->bias);
    if (status || !o->track_running_stats)
        return status;
    s->update = tg_operator_find(m->rt, "batch_norm_update");
    if (!s->update)
        return tg_fail(NULL, TG_EUNKNOWN, "%s: the operator batch_norm_update is not registered",
                       m->cls->name);
    status = tg_tensor_create(&s->count, m->rt, TG_I64, NULL, 0);
    if (!status)
        status = tg_module_add_buffer(m, "running_mean", dtype, &o->num_features, 1, &s->running_mean);
    if (!status)
        status = tg_module_add_buffer(m, "running_var", dtype, &o->num_features, 1, &s->running_var);
    if (!status)
        status = tg_fill(s->running_var, 1);
    return status ? status : tg_module_add_buffer(m, "num_batches_tracked", TG_I64, NULL, 0, NULL);
}

static void instance_finish(tg_module *m)
{
    tg_tensor_destroy(((norm_state *)m->self)->count);
}

static int64_t spatial_of(const tg_module *m)
{
    return m->cls->name[strlen("InstanceNorm")] - '0';
}

/* [N, C, *] or [C, *]. Without parameters and statistics torch takes any C. */
static tg_status check_instances(tg_module *m, tg_tape *tape, const tg_desc *x)
{
    static const char *const behind[] = {"L", "H, W", "D, H, W"};
    const group_norm_options *o = m->attrs;
    const int64_t n = spatial_of(m);
    char got[128];
    if ((x->ndim == n + 1 || x->ndim == n + 2) &&
        (x->dim[x->ndim - n - 1] == o->num_features || !(o->affine || o->track_running_stats)))
        return TG_OK;
    return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected [N, C, %s] or [C, %s] with C = %lld",
                         tg_desc_format(x, got, sizeof got), behind[n - 1], behind[n - 1],
                         (long long)o->num_features);
}

/* The running statistics take the mean over the batch of what each instance has. */
static tg_status stage_instances(tg_module *m, tg_tape *tape, tg_tensor *x)
{
    const group_norm_options *o = m->attrs;
    const norm_state *s = m->self;
    const tg_desc *d = tg_layer_desc(x);
    const int64_t inside[] = {2, 3, 4}, batch = 0;
    const size_t n = (size_t)d->ndim - 2;
    double values = 1;
    for (int i = 2; i < d->ndim; i++)
        values *= (double)d->dim[i];
    const bool was = tg_tape_set_recording(tape, false);
    tg_tensor *mean = tg_mean_dims(tape, tg_mean_dims(tape, x, inside, n, false), &batch, 1, false);
    tg_tensor *var = tg_mean_dims(tape, tg_var_dims(tape, x, inside, n, 0, false), &batch, 1, false);
    tg_tape_set_recording(tape, was);
    if (!mean || !var)
        return tape->status ? tape->status : TG_ENOMEM;
    return tg_stage(tape, s->update,
                    (tg_tensor *const[]){s->running_mean, s->running_var, s->count, mean, var}, 5,
                    (const double[]){is_none(o->momentum) ? 0 : o->momentum, values});
}

static tg_status instance_norm(tg_module *m, tg_tape *tape, tg_tensor *x, bool running, tg_tensor *out[])
{
    const group_norm_options *o = m->attrs;
    const norm_state *s = m->self;
    const tg_desc *d = tg_layer_desc(x);
    tg_status status = check_instances(m, tape, d);
    if (status)
        return status;
    const bool single = d->ndim == spatial_of(m) + 1;
    if (single)
        x = tg_unsqueeze(tape, x, 0);
    if (!x)
        return tape->status;
    const bool empty = tg_desc_count(tg_layer_desc(x)) == 0;
    tg_tensor *y =
        running ? tg_batch_norm_eval(tape, x, s->running_mean, s->running_var, s->weight, s->bias, o->eps)
                : tg_instance_norm(tape, x, s->weight, s->bias, o->eps);
    if (y && s->update && !running && !empty) /* in train mode only: eval takes the running ones */
        status = stage_instances(m, tape, x);
    return status ? status : tg_layer_result(tape, single && y ? tg_squeeze(tape, y, 0) : y, out);
}

static tg_status instance_train(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                tg_tensor *out[])
{
    (void)n_in;
    const norm_state *s = m->self;
    return instance_norm(m, tape, in[0], s->running_mean && m->frozen & TG_FREEZE_STATISTICS, out);
}

static tg_status instance_eval(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                               tg_tensor *out[])
{
    (void)n_in;
    return instance_norm(m, tape, in[0], ((const norm_state *)m->self)->running_mean, out);
}

/* -- RMSNorm -------------------------------------------------------------------------------------------- */

static tg_status rms_init(tg_module *m, const void *attrs)
{
    const group_norm_options *o = attrs;
    const tg_ints *shape = &o->normalized_shape;
    tg_status status = TG_OK;
    if (shape->n < 1 || shape->n > TG_MAX_DIM)
        status = tg_fail(NULL, TG_EINVAL, "RMSNorm: normalized_shape has %lld dims, expected 1 to %d",
                         (long long)shape->n, TG_MAX_DIM);
    for (int64_t i = 0; i < shape->n && !status; i++)
        status = need_positive(m, "an entry of normalized_shape", shape->v[i]);
    if (!status && !is_none(o->eps) && !(o->eps >= 0 && isfinite(o->eps)))
        status =
            tg_fail(NULL, TG_EINVAL, "RMSNorm: eps is %g, expected 0 or a positive number, or None", o->eps);
    return status || !o->elementwise_affine ? status : add_affine(m, shape->v, (size_t)shape->n, false);
}

static tg_status rms_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                             tg_tensor *out[])
{
    (void)n_in;
    const group_norm_options *o = m->attrs;
    const norm_state *s = m->self;
    const tg_desc *x = tg_layer_desc(in[0]);
    const int64_t n = o->normalized_shape.n;
    if (x->ndim < n || memcmp(x->dim + x->ndim - n, o->normalized_shape.v, (size_t)n * sizeof *x->dim) != 0) {
        char got[128], expected[128];
        tg_desc want = {.dtype = x->dtype, .ndim = (int32_t)n};
        memcpy(want.dim, o->normalized_shape.v, (size_t)n * sizeof *want.dim);
        return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected the last dims of %s",
                             tg_desc_format(x, got, sizeof got),
                             tg_desc_format(&want, expected, sizeof expected));
    }
    const double eps = !is_none(o->eps) ? o->eps : x->dtype == TG_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
    return tg_layer_result(tape, tg_rms_norm(tape, in[0], (size_t)n, s->weight, eps), out);
}

/* -- LocalResponseNorm ---------------------------------------------------------------------------------- */

static tg_status response_init(tg_module *m, const void *attrs)
{
    return need_positive(m, "size", ((const group_norm_options *)attrs)->size);
}

static tg_status response_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                  tg_tensor *out[])
{
    (void)n_in;
    const group_norm_options *o = m->attrs;
    return tg_layer_result(tape, tg_local_response_norm(tape, in[0], o->size, o->alpha, o->beta, o->k), out);
}

/* -- classes -------------------------------------------------------------------------------------------- */

#define S group_norm_options
#define EPS TG_ATTR_ROW(S, eps, REAL, 0, 1e-5, NULL, "added to the variance")
#define BIAS TG_ATTR_ROW(S, bias, BOOL, 0, 1, NULL, "false: affine without a bias")
static const tg_attr_spec group_specs[] = {
    TG_ATTR_ROW(S, num_groups, INT, TG_ATTR_REQUIRED, 0, NULL, "into which the channels are cut"),
    TG_ATTR_ROW(S, num_channels, INT, TG_ATTR_REQUIRED, 0, NULL, "C of [N, C, …]"),
    EPS,
    TG_ATTR_ROW(S, affine, BOOL, 0, 1, NULL, "learned weight and bias"),
    BIAS,
    TG_ATTR_END,
};
static const tg_attr_spec instance_specs[] = {
    TG_ATTR_ROW(S, num_features, INT, TG_ATTR_REQUIRED, 0, NULL, "channels: C of [N, C, …]"),
    EPS,
    TG_ATTR_ROW(S, momentum, REAL, TG_ATTR_OPTIONAL, 0.1, NULL,
                "the new part of the running statistics; None: 0"),
    TG_ATTR_ROW(S, affine, BOOL, 0, 0, NULL, "learned weight and bias"),
    TG_ATTR_ROW(S, track_running_stats, BOOL, 0, 0, NULL, "true: running statistics, used in eval mode"),
    BIAS,
    TG_ATTR_END,
};
static const tg_attr_spec rms_specs[] = {
    TG_ATTR_ROW(S, normalized_shape, INTS, TG_ATTR_REQUIRED, 0, NULL, "the last dims of the input"),
    TG_ATTR_ROW(S, eps, REAL, TG_ATTR_OPTIONAL, TG_NONE_REAL, NULL,
                "added to the mean square; None: the dtype's"),
    TG_ATTR_ROW(S, elementwise_affine, BOOL, 0, 1, NULL, "learned weight of normalized_shape"),
    TG_ATTR_END,
};
static const tg_attr_spec response_specs[] = {
    TG_ATTR_ROW(S, size, INT, TG_ATTR_REQUIRED, 0, NULL, "how many channels are looked at"),
    TG_ATTR_ROW(S, alpha, REAL, 0, 1e-4, NULL, "of the mean square"),
    TG_ATTR_ROW(S, beta, REAL, 0, 0.75, NULL, "the power"),
    TG_ATTR_ROW(S, k, REAL, 0, 1, NULL, "added"),
    TG_ATTR_END,
};

/* clang-format off */
#define SAMPLE(LABEL, ATTRS, ...)                                                                            \
    {.label = LABEL, .in = TG_SAMPLE_INPUTS({-2 : 2, __VA_ARGS__}), .attrs = &ATTRS}
#define AFFINE(LABEL, ATTRS, ...)                                                                            \
    {.label = LABEL, .in = TG_SAMPLE_INPUTS({-2 : 2, __VA_ARGS__}), .attrs = &ATTRS,                         \
     .begins = "weight constant 1, bias constant 0"}
static const S halves = {.num_groups = 2, .num_channels = 4, .eps = 1e-3, .affine = true, .bias = true},
    one = {.num_groups = 1, .num_channels = 4, .eps = 1e-3},
    plain = {.num_features = 2, .eps = 1e-3, .momentum = 0.1},
    tracked = {.num_features = 2, .eps = 1e-3, .momentum = 0.1, .affine = true, .bias = true, .track_running_stats = true},
    learned = {.normalized_shape = {1, {4}}, .eps = 1e-3, .elementwise_affine = true},
    two_dims = {.normalized_shape = {2, {3, 4}}, .eps = 1e-3},
    three = {.size = 3, .alpha = 0.5, .beta = 0.75, .k = 1}, even = {.size = 2, .alpha = 0.5, .beta = 0.5, .k = 2};
#undef S
static const tg_sample group_table[] = {
    AFFINE("two groups", halves, [2, 4, 3]), SAMPLE("affine False", one, [2, 4])};
static const tg_sample table_1d[] = {
    SAMPLE("plain", plain, [2, 2, 4]), AFFINE("tracked", tracked, [2, 2, 4]),
    SAMPLE("no batch", tracked, [2, 4], strided)};
static const tg_sample table_2d[] = {AFFINE("tracked", tracked, [2, 2, 2, 2])};
static const tg_sample table_3d[] = {AFFINE("tracked", tracked, [2, 2, 1, 2, 2])};
static const tg_sample rms_table[] = {
    AFFINE("learned", learned, [3, 4]), SAMPLE("two dims", two_dims, [2, 3, 4])};
static const tg_sample response_table[] = {
    SAMPLE("three", three, [2, 4, 2]), SAMPLE("two", even, [1, 3, 2, 2])};
/* clang-format on */
TG_SAMPLES(group_samples, group_table)
TG_SAMPLES(samples_1d, table_1d)
TG_SAMPLES(samples_2d, table_2d)
TG_SAMPLES(samples_3d, table_3d)
TG_SAMPLES(rms_samples, rms_table)
TG_SAMPLES(response_samples, response_table)

static const char *const input_names[] = {"input"};

#define CLASS(NAME, SPECS, INIT, TRAIN, EVAL, SAMPLES, ...)                                                  \
    {                                                                                                        \
        .struct_size = sizeof(tg_layer_class), .name = NAME, .attrs = SPECS,                                 \
        .attrs_size = sizeof(group_norm_options), .state_size = sizeof(norm_state), .n_in = 1, .n_out = 1,   \
        .in_names = input_names, .init = INIT, .forward = {TRAIN, EVAL}, .samples = TG_PROOF(SAMPLES), __VA_ARGS__     \
    }
#define INSTANCE(N)                                                                                          \
    CLASS("InstanceNorm" #N "d", instance_specs, instance_init, instance_train, instance_eval,               \
          samples_##N##d, .finish = instance_finish,                                                         \
          .doc = "y = (x − μ)/√(v + eps)·γ + β per example and channel; tracked, eval: the running ones")
static const tg_layer_class group_class =
    CLASS("GroupNorm", group_specs, group_init, group_forward, group_forward, group_samples,
          .doc = "y = (x − μ)/√(v + eps)·γ + β, μ and v of each example's groups of channels");
static const tg_layer_class instance_classes[] = {INSTANCE(1), INSTANCE(2), INSTANCE(3)};
static const tg_layer_class rms_class = CLASS("RMSNorm", rms_specs, rms_init, rms_forward, rms_forward,
                                              rms_samples, .doc = "x/√(mean(x²) + eps)·γ over the last dims");
static const tg_layer_class response_class =
    CLASS("LocalResponseNorm", response_specs, response_init, response_forward, response_forward,
          response_samples, .doc = "x/(k + alpha·m)^beta, m the mean of x² over size channels");

const tg_layer_class *const tg_layers_group_norm[] = {&group_class,
                                                      &instance_classes[0],
                                                      &instance_classes[1],
                                                      &instance_classes[2],
                                                      &rms_class,
                                                      &response_class,
                                                      NULL};

/* -- constructors --------------------------------------------------------------------------------------- */

tg_module *tg_nn_group_norm(tg_runtime *rt, int64_t num_groups, int64_t num_channels)
{
    const group_norm_options o = {
        .num_groups = num_groups, .num_channels = num_channels, .eps = 1e-5, .affine = true, .bias = true};
    return tg_module_new(rt, &group_class, &o);
}

static tg_module *make_instance(tg_runtime *rt, int n, int64_t num_features, bool affine,
                                bool track_running_stats)
{
    const group_norm_options o = {.num_features = num_features,
                                  .eps = 1e-5,
                                  .momentum = 0.1,
                                  .affine = affine,
                                  .bias = true,
                                  .track_running_stats = track_running_stats};
    return tg_module_new(rt, &instance_classes[n - 1], &o);
}

tg_module *tg_nn_instance_norm1d(tg_runtime *rt, int64_t num_features, bool affine, bool track_running_stats)
{
    return make_instance(rt, 1, num_features, affine, track_running_stats);
}

tg_module *tg_nn_instance_norm2d(tg_runtime *rt, int64_t num_features, bool affine, bool track_running_stats)
{
    return make_instance(rt, 2, num_features, affine, track_running_stats);
}

tg_module *tg_nn_instance_norm3d(tg_runtime *rt, int64_t num_features, bool affine, bool track_running_stats)
{
    return make_instance(rt, 3, num_features, affine, track_running_stats);
}

tg_module *tg_nn_rms_norm(tg_runtime *rt, const int64_t *normalized_shape, size_t ndim)
{
    group_norm_options o = {.normalized_shape.n = ndim > INT64_MAX ? INT64_MAX : (int64_t)ndim,
                            .eps = TG_NONE_REAL,
                            .elementwise_affine = true};
    for (size_t i = 0; normalized_shape && i < ndim && i < TG_MAX_DIM; i++)
        o.normalized_shape.v[i] = normalized_shape[i];
    return tg_module_new(rt, &rms_class, &o);
}

tg_module *tg_nn_local_response_norm(tg_runtime *rt, int64_t size)
{
    const group_norm_options o = {.size = size, .alpha = 1e-4, .beta = 0.75, .k = 1};
    return tg_module_new(rt, &response_class, &o);
}
