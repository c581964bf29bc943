/* Embedding and EmbeddingBag: the same options and table. */
#include "autograd/operators/operators.h"
#include "layers/internal.h"

#include <string.h>

typedef struct embedding_options {
    tg_embedding_options o;
    tg_tensor *_weight;
    bool sparse;
} embedding_options;

/* The row padding_idx, counted from the front; −1: none. */
static int64_t padding_of(const tg_embedding_options *o)
{
    return o->padding_idx == TG_NONE_INT ? -1 : o->padding_idx < 0 ? o->padding_idx + o->num_embeddings : o->padding_idx;
}

static tg_status check(const tg_module *m, const embedding_options *e)
{
    const tg_embedding_options *o = &e->o;
    const char *name = m->cls->name;
    if (o->num_embeddings < 0 || o->embedding_dim < 0)
        return tg_fail(NULL, TG_EINVAL, "%s: num_embeddings %lld and embedding_dim %lld, expected no negative number", name,
                       (long long)o->num_embeddings, (long long)o->embedding_dim);
    if (o->padding_idx != TG_NONE_INT && (padding_of(o) < 0 || padding_of(o) >= o->num_embeddings))
        return tg_fail(NULL, TG_EINVAL, "%s: padding_idx is %lld, expected None or a row from %lld to %lld", name,
                       (long long)o->padding_idx, (long long)-o->num_embeddings, (long long)o->num_embeddings - 1);
    if (o->max_norm < 0 || !(o->norm_type > 0))
        return tg_fail(NULL, TG_EINVAL, "%s: max_norm %g, norm_type %g; expected at least 0, above 0", name, o->max_norm,
                       o->norm_type);
    if (e->sparse)
        return tg_fail(NULL, TG_EUNSUPPORTED, "%s: sparse is true; gradients are dense here", name);
    if (m->cls->n_in > 1 && o->mode == TG_BAG_MAX && o->scale_grad_by_freq)
        return tg_fail(NULL, TG_EINVAL, "%s: scale_grad_by_freq is not for mode max", name);
    return TG_OK;
}

/* Normal numbers and a padding row of zeros; or what the caller brings. */
static tg_status fill(const tg_module *m, tg_tensor *weight, const embedding_options *e)
{
    const tg_desc *d = tg_layer_desc(weight);
    const int64_t pad = padding_of(&e->o);
    const size_t row = (size_t)d->dim[1] * tg_dtype_size(d->dtype), bytes = (size_t)d->dim[0] * row;
    tg_desc given;
    tg_status status = e->_weight ? tg_tensor_desc(e->_weight, &given) : tg_init_normal(weight, 0, 1);
    if (!status && e->_weight) {
        char got[128], want[128];
        if (given.dtype == d->dtype && tg_desc_same_dims(&given, d))
            return tg_layer_copy(m, e->_weight, weight);
        return tg_fail(NULL, TG_ESHAPE, "%s: _weight is %s, expected %s", m->cls->name,
                       tg_desc_format(&given, got, sizeof got), tg_desc_format(d, want, sizeof want));
    }
    if (status || pad < 0)
        return status;
    const tg_allocator *a = tg_runtime_allocator(m->rt);
    char *copy = tg_alloc(a, bytes ? bytes : 1);
    if (!copy)
        return TG_ENOMEM;
    status = tg_tensor_read(weight, copy, bytes);
    memset(copy + (size_t)pad * row, 0, row);
    if (!status)
        status = tg_tensor_write(weight, copy, bytes);
    tg_free(a, copy);
    return status;
}

static tg_status embedding_init(tg_module *m, const void *attrs)
{
    const embedding_options *e = attrs;
    tg_tensor *weight = NULL;
    tg_status status = check(m, e);
    if (!status)
        status = tg_module_add_parameter(m, "weight", (int64_t[]){e->o.num_embeddings, e->o.embedding_dim}, 2, &weight);
    if (!status)
        status = fill(m, weight, e);
    return status || !e->o.freeze ? status : tg_tensor_set_requires_grad(weight, false);
}

/* max_norm: what was looked up is scaled down as the rows will be when the forward commits: a row's gradient is that of
 * what it then is, so the scale has none. Evaluating, and what is frozen, leave the rows alone. */
static tg_tensor *renorm(tg_tape *tape, tg_tensor *index, tg_tensor *rows, const void *module)
{
    const tg_module *m = module;
    const tg_embedding_options *o = &((const embedding_options *)m->attrs)->o;
    const double scalars[] = {o->max_norm, o->norm_type};
    const bool writes = tape->mode == TG_TRAIN && !(m->frozen & TG_FREEZE_AFFINE);
    tg_tensor *weight = m->parameters.at[0].tensor;
    const bool recording = tg_tape_set_recording(tape, false);
    tg_tensor *norm = tg_norm_dims(tape, rows, o->norm_type, (const int64_t[]){-1}, 1, true);
    tg_tensor *scale = tg_rdiv_scalar(tape, o->max_norm, tg_add_scalar(tape, norm, 1e-7));
    tg_tensor *limit = norm ? tg_full_like(tape, norm, tg_tensor_dtype(norm), o->max_norm) : NULL;
    tg_tensor *zero = norm ? tg_zeros_like(tape, norm) : NULL;
    scale = tg_where(tape, tg_gt(tape, norm, limit), tg_sub_scalar(tape, scale, 1), zero);
    tg_tensor *less = tg_mul(tape, rows, scale);
    tg_tape_set_recording(tape, recording);
    if (!less || (writes && tg_stage(tape, &tg_row_embedding_renorm_, (tg_tensor *[]){weight, index}, 2, scalars)))
        return NULL;
    return tg_add(tape, rows, less);
}

static tg_status embedding_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const tg_embedding_options *o = &((const embedding_options *)m->attrs)->o;
    tg_tensor *y = tg_embedding(tape, in[0], m->parameters.at[0].tensor, o->padding_idx, TG_NONE_REAL, 2, o->scale_grad_by_freq);
    if (y && o->max_norm == o->max_norm)
        y = renorm(tape, in[0], y, m);
    return tg_layer_result(tape, y, out);
}

static tg_status bag_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const tg_embedding_options *o = &((const embedding_options *)m->attrs)->o;
    const tg_embedding_bag_options bag = {.mode = (tg_bag_mode)o->mode,
                                          .padding_idx = o->padding_idx,
                                          .scale_grad_by_freq = o->scale_grad_by_freq,
                                          .include_last_offset = o->include_last_offset};
    return tg_layer_result(tape,
                           tg_embedding_bag_then(tape, in[0], m->parameters.at[0].tensor, in[1], in[2], &bag,
                                                 o->max_norm == o->max_norm ? renorm : NULL, m),
                           out);
}

#define S embedding_options
#define FIELD(FIELD_, TYPE, FLAGS, VALUE, CHOICES, DOC)                                                      \
    {                                                                                                        \
#FIELD_, TG_ATTR_##TYPE, FLAGS, offsetof(S, o.FIELD_), {VALUE}, CHOICES, DOC                     \
    }
#define SIZES                                                                                                \
    FIELD(num_embeddings, INT, TG_ATTR_REQUIRED, 0, NULL, "rows of the table"),                              \
        FIELD(embedding_dim, INT, TG_ATTR_REQUIRED, 0, NULL, "their width")
#define PADDING                                                                                              \
    FIELD(padding_idx, INT, TG_ATTR_OPTIONAL, (double)TG_NONE_INT, NULL,                                     \
          "a row that begins with zeros and takes no gradient")
#define NORMS                                                                                                \
    FIELD(max_norm, REAL, TG_ATTR_OPTIONAL, TG_NONE_REAL, NULL, "rows of a greater norm are scaled down to it"), \
        FIELD(norm_type, REAL, 0, 2, NULL, "p of that norm"),                                                \
        FIELD(scale_grad_by_freq, BOOL, 0, 0, NULL, "a row's gradient is divided by how often it occurs")
#define SPARSE TG_ATTR_ROW(S, sparse, BOOL, 0, 0, NULL, "false: gradients are dense")
#define WEIGHT TG_ATTR_ROW(S, _weight, TENSOR, TG_ATTR_OPTIONAL, 0, NULL, "what the table begins with; copied")
/* EmbeddingBag's; from the third on Embedding's. */
static const tg_attr_spec specs[] = {
    FIELD(mode, CHOICE, 0, TG_BAG_MEAN, "sum|mean|max", "how a bag becomes one row"),
    FIELD(include_last_offset, BOOL, 0, 0, NULL, "the last offset is where the last bag ends"),
    SIZES,
    PADDING,
    NORMS,
    SPARSE,
    WEIGHT,
    {"_freeze", TG_ATTR_BOOL, 0, offsetof(S, o.freeze), {0}, NULL, "the table takes no gradient"},
    TG_ATTR_END};

#define OPTIONS(...)                                                                                         \
    {                                                                                                        \
        .o = {.num_embeddings = 4, .embedding_dim = 2, .max_norm = TG_NONE_REAL, .norm_type = 2, __VA_ARGS__} \
    }
static const S plain = OPTIONS(.padding_idx = TG_NONE_INT),
               sums = OPTIONS(.padding_idx = TG_NONE_INT, .mode = TG_BAG_SUM),
               means = OPTIONS(.padding_idx = 1, .mode = TG_BAG_MEAN),
               maxima = OPTIONS(.padding_idx = TG_NONE_INT, .mode = TG_BAG_MAX);
#undef S
#define ROWS(...)                                                                                            \
    {                                                                                                        \
        i64, constant, 0 : 4, __VA_ARGS__                                                                    \
    }
#define NO_INPUT                                                                                             \
    {                                                                                                        \
        absent constant                                                                                      \
    }
static const tg_sample embedding_table[] = {
    {.label = "rows", .attrs = &plain, .in = TG_SAMPLE_INPUTS(ROWS([2, 3])), .begins = "weight normal 1"}};
static const tg_sample bag_table[] = {
    {.label = "weighted sums",
     .attrs = &sums,
     .in = TG_SAMPLE_INPUTS(ROWS([2, 3]), NO_INPUT, {[2, 3], -1 : 1}),
     .begins = "weight normal 1"},
    {.label = "means of offsets",
     .attrs = &means,
     .in = TG_SAMPLE_INPUTS(ROWS([5]),
                            {i64, constant, 0 : 1, [2]})},
    {.label = "maxima", .attrs = &maxima, .in = TG_SAMPLE_INPUTS(ROWS([2, 3]))}};
TG_SAMPLES(embedding_samples, embedding_table)
TG_SAMPLES(bag_samples, bag_table)

static const char *const input_names[] = {"input", "offsets", "per_sample_weights"};
#define CLASS(NAME, SPECS, N_IN, FORWARD, SAMPLES, DOC)                                                      \
    {                                                                                                        \
        .struct_size = sizeof(tg_layer_class), .name = NAME, .attrs = SPECS,                                 \
        .attrs_size = sizeof(embedding_options), .n_in = N_IN, .n_out = 1,                                   \
        .optional = TG_OP_IN(1) | TG_OP_IN(2), .in_names = input_names, .init = embedding_init,              \
        .forward = {FORWARD, FORWARD}, .samples = TG_PROOF(SAMPLES), .doc = DOC                                        \
    }
static const tg_layer_class embedding =
    CLASS("Embedding", specs + 2, 1, embedding_forward, embedding_samples, "weight's rows, one for each index");
static const tg_layer_class bag =
    CLASS("EmbeddingBag", specs, 3, bag_forward, bag_samples, "the sum, mean or maximum of each bag of weight's rows");

const tg_layer_class *const tg_layers_embedding[] = {&embedding, &bag, NULL};

tg_embedding_options tg_embedding_defaults(int64_t num_embeddings, int64_t embedding_dim)
{
    return (tg_embedding_options){.struct_size = sizeof(tg_embedding_options),
                                  .num_embeddings = num_embeddings,
                                  .embedding_dim = embedding_dim,
                                  .padding_idx = TG_NONE_INT,
                                  .max_norm = TG_NONE_REAL,
                                  .norm_type = 2,
                                  .mode = TG_BAG_MEAN};
}

static tg_module *make(tg_runtime *rt, const tg_layer_class *cls, const tg_embedding_options *options)
{
    embedding_options e = {.o = tg_embedding_defaults(0, 0)};
    return tg_options_read(cls->name, &e.o, sizeof e.o, options) ? NULL : tg_module_new(rt, cls, &e);
}

tg_module *tg_nn_embedding_with(tg_runtime *rt, const tg_embedding_options *options)
{
    return make(rt, &embedding, options);
}

tg_module *tg_nn_embedding_bag_with(tg_runtime *rt, const tg_embedding_options *options)
{
    return make(rt, &bag, options);
}

tg_module *tg_nn_embedding(tg_runtime *rt, int64_t num_embeddings, int64_t embedding_dim)
{
    const tg_embedding_options options = tg_embedding_defaults(num_embeddings, embedding_dim);
    return make(rt, &embedding, &options);
}

tg_module *tg_nn_embedding_bag(tg_runtime *rt, int64_t num_embeddings, int64_t embedding_dim)
{
    const tg_embedding_options options = tg_embedding_defaults(num_embeddings, embedding_dim);
    return make(rt, &bag, &options);
}
