/* The Transformer: its layers, stacks of them, and both stacks together. One options struct serves all five
 * classes. */
#include <stdio.h>
#include <string.h>

#include "layers/internal.h"

typedef tg_transformer_options options;

static const tg_layer_class encoder_layer, decoder_layer, encoder, decoder, transformer;

static tg_status check_options(const tg_module *m, const options *o)
{
    const char *who = m->cls->name;
    if (o->d_model < 1 || o->nhead < 1 || o->d_model % o->nhead)
        return tg_fail(NULL, TG_EINVAL,
                       "%s: d_model %lld and nhead %lld, expected a multiple of a positive number", who,
                       (long long)o->d_model, (long long)o->nhead);
    if (o->dim_feedforward < 0)
        return tg_fail(NULL, TG_EINVAL, "%s: dim_feedforward is %lld, expected no negative number", who,
                       (long long)o->dim_feedforward);
    if (!(o->dropout >= 0 && o->dropout <= 1))
        return tg_fail(NULL, TG_EINVAL, "%s: dropout is %g, expected a probability between 0 and 1", who,
                       o->dropout);
    if (o->activation != TG_TRANSFORMER_RELU && o->activation != TG_TRANSFORMER_GELU)
        return tg_fail(NULL, TG_EINVAL, "%s: activation is %lld, expected relu (0) or gelu (1)", who,
                       (long long)o->activation);
    const bool is_layer = m->cls == &encoder_layer || m->cls == &decoder_layer;
    const struct {
        const char *name;
        int64_t n;
    } counts[] = {{"num_layers", m->cls == &transformer ? 0 : o->num_layers},
                  {"num_encoder_layers", m->cls == &transformer ? o->num_encoder_layers : 0},
                  {"num_decoder_layers", m->cls == &transformer ? o->num_decoder_layers : 0}};
    for (int k = 0; k < 3 && !is_layer; k++)
        if (counts[k].n < 0 || counts[k].n > TG_MOST_LAYERS)
            return tg_fail(NULL, TG_EINVAL, "%s: %s is %lld, expected 0 to %d", who, counts[k].name,
                           (long long)counts[k].n, TG_MOST_LAYERS);
    return TG_OK;
}

static tg_module *new_norm(tg_runtime *rt, const options *o)
{
    tg_layer_norm_options norm = tg_layer_norm_defaults(&o->d_model, 1);
    norm.eps = o->layer_norm_eps;
    norm.bias = o->bias;
    return tg_nn_layer_norm_with(rt, &norm);
}

/* -- the layers ------------------------------------------------------------------------------------------ */

enum { SELF, CROSS, MAX_NORMS = 3 };

typedef struct layer_state {
    tg_module *attention[2], *linear[2], *norm[MAX_NORMS];
} layer_state;

static tg_status add_attention(tg_module *m, const char *name, const options *o, bool is_causal,
                               tg_module **out)
{
    tg_multihead_attention_options a = tg_multihead_attention_defaults(o->d_model, o->nhead);
    a.dropout = o->dropout;
    a.bias = o->bias;
    a.batch_first = o->batch_first;
    a.is_causal = is_causal;
    return tg_module_add_child(m, name, *out = tg_nn_multihead_attention_with(m->rt, &a));
}

static tg_status layer_init(tg_module *m, const void *attrs)
{
    static const char *const linears[] = {"linear1", "linear2"}, *const norms[] = {"norm1", "norm2", "norm3"};
    const options *o = attrs;
    layer_state *s = m->self;
    const bool decodes = m->cls == &decoder_layer;
    tg_status status = check_options(m, o);
    if (!status)
        status = add_attention(m, "self_attn", o, decodes ? o->tgt_is_causal : o->src_is_causal,
                               &s->attention[SELF]);
    if (!status && decodes)
        status = add_attention(m, "multihead_attn", o, false, &s->attention[CROSS]);
    for (int i = 0; i < 2 && !status; i++) {
        tg_linear_options l =
            tg_linear_defaults(i ? o->dim_feedforward : o->d_model, i ? o->d_model : o->dim_feedforward);
        l.bias = o->bias;
        status = tg_module_add_child(m, linears[i], s->linear[i] = tg_nn_linear_with(m->rt, &l));
    }
    for (int i = 0; i < (decodes ? 3 : 2) && !status; i++)
        status = tg_module_add_child(m, norms[i], s->norm[i] = new_norm(m->rt, o));
    return status;
}

static tg_tensor *feed(const layer_state *s, const options *o, tg_tape *tape, tg_tensor *x, double dropout)
{
    tg_tensor *h = tg_forward(tape, s->linear[0], x);
    h = o->activation == TG_TRANSFORMER_GELU ? tg_gelu(tape, h, false) : tg_relu(tape, h);
    return tg_forward(tape, s->linear[1], tg_dropout(tape, h, dropout, TG_TRAIN));
}

static tg_tensor *attend(tg_tape *tape, tg_module *attention, tg_tensor *x, tg_tensor *memory,
                         tg_tensor *mask, tg_tensor *padding)
{
    tg_tensor *const in[] = {x, memory ? memory : x, memory ? memory : x, padding, mask};
    tg_tensor *y = NULL;
    tg_forward_n(tape, attention, in, 5, &y, 1);
    return y;
}

/* x behind each of the parts, which are added to it: norm(x + part(x)), or x + part(norm(x)). */
static tg_status run_layer(tg_module *m, tg_tape *tape, tg_tensor *x, tg_tensor *memory,
                           tg_tensor *const mask[2], tg_tensor *const padding[2], tg_tensor *out[])
{
    const options *o = m->attrs;
    const layer_state *s = m->self;
    const double dropout = tape->mode == TG_TRAIN ? o->dropout : 0;
    const int n = m->cls == &decoder_layer ? 2 : 1;
    const tg_desc *d = tg_layer_desc(x);
    if ((d->ndim != 2 && d->ndim != 3) || d->dim[d->ndim - 1] != o->d_model) {
        char got[128];
        return tg_layer_fail(m, tape, TG_ESHAPE, "%s is %s, expected two or three dims, %lld in the last",
                             m->cls->in_names[0], tg_desc_format(d, got, sizeof got), (long long)o->d_model);
    }
    for (int i = 0; i <= n && x; i++) {
        tg_tensor *h = o->norm_first ? tg_forward(tape, s->norm[i], x) : x;
        h = i < n ? attend(tape, s->attention[i], h, i ? memory : NULL, mask[i], padding[i])
                  : feed(s, o, tape, h, dropout);
        x = tg_add(tape, x, tg_dropout(tape, h, dropout, TG_TRAIN));
        x = o->norm_first ? x : tg_forward(tape, s->norm[i], x);
    }
    return tg_layer_result(tape, x, out);
}

static tg_status encoder_layer_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                       tg_tensor *out[])
{
    (void)n_in;
    return run_layer(m, tape, in[0], NULL, in + 1, in + 2, out);
}

static tg_status decoder_layer_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                       tg_tensor *out[])
{
    (void)n_in;
    return run_layer(m, tape, in[0], in[1], in + 2, in + 4, out);
}

/* -- stacks ---------------------------------------------------------------------------------------------- */

/* What is called may be a class of somebody's own, without inputs for masks that are not there. */
static tg_status call(tg_tape *tape, tg_module *m, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    while (n > m->cls->n_in && !in[n - 1])
        n--;
    return tg_forward_n(tape, m, in, n, out, 1);
}

static tg_status stack_init(tg_module *m, const void *attrs)
{
    const options *o = attrs;
    tg_status status = check_options(m, o);
    if (!status)
        status = tg_module_add_child(m, "layers", tg_nn_sequential_n(m->rt, NULL, 0));
    for (int64_t i = 0; i < o->num_layers && !status; i++) {
        char name[24];
        snprintf(name, sizeof name, "%lld", (long long)i);
        status = tg_module_add_child(
            m->children[0], name, tg_module_new(m->rt, m->cls == &encoder ? &encoder_layer : &decoder_layer, o));
    }
    if (!status && o->norm)
        status = tg_module_add_child(m, "norm", new_norm(m->rt, o));
    return status;
}

static tg_status stack_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                               tg_tensor *out[])
{
    const tg_module *layers = m->children[0];
    tg_tensor *all[TG_LAYER_MAX_ARGS], *y;
    tg_status status = TG_OK;
    memcpy(all, in, n_in * sizeof *all);
    for (size_t i = 0; i < layers->n_children && !status; i++, all[0] = y)
        status = call(tape, layers->children[i], all, n_in, &y);
    if (!status && m->n_children > 1)
        all[0] = tg_forward(tape, m->children[1], all[0]);
    return status ? status : tg_layer_result(tape, all[0], out);
}

/* -- both ------------------------------------------------------------------------------------------------ */

static tg_status transformer_init(tg_module *m, const void *attrs)
{
    options o = *(const options *)attrs;
    tg_status status = check_options(m, &o);
    if (status)
        return status;
    o.norm = true;
    o.num_layers = o.num_encoder_layers;
    status = tg_module_add_child(m, "encoder", tg_module_new(m->rt, &encoder, &o));
    o.num_layers = o.num_decoder_layers;
    if (!status)
        status = tg_module_add_child(m, "decoder", tg_module_new(m->rt, &decoder, &o));
    const tg_named_tensors *p = status ? NULL : tg_module_parameters(m);
    if (!status && !p)
        return TG_ENOMEM;
    for (size_t i = 0; p && i < p->n && !status; i++)
        if (tg_tensor_ndim(p->tensor[i]) > 1)
            status = tg_init_xavier_uniform(p->tensor[i], 1);
    return status;
}

static tg_status transformer_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                     tg_tensor *out[])
{
    (void)n_in;
    const options *o = m->attrs;
    const tg_desc *src = tg_layer_desc(in[0]), *tgt = tg_layer_desc(in[1]);
    const int batch = o->batch_first ? 0 : 1;
    char a[128], b[128];
    if (src->ndim != tgt->ndim || (src->ndim != 2 && src->ndim != 3) ||
        src->dim[src->ndim - 1] != o->d_model || tgt->dim[tgt->ndim - 1] != o->d_model ||
        (src->ndim == 3 && src->dim[batch] != tgt->dim[batch]))
        return tg_layer_fail(
            m, tape, TG_ESHAPE,
            "src is %s and tgt %s, expected two dims each, or three with one batch, and %lld in the last",
            tg_desc_format(src, a, sizeof a), tg_desc_format(tgt, b, sizeof b), (long long)o->d_model);
    tg_tensor *memory = NULL;
    tg_status status =
        call(tape, m->children[0], (tg_tensor *const[]){in[0], in[2], in[5]}, 3, &memory);
    if (status)
        return status;
    return call(tape, m->children[1], (tg_tensor *const[]){in[1], memory, in[3], in[4], in[6], in[7]}, 6, out);
}

/* -- the classes ----------------------------------------------------------------------------------------- */

#define ROW(FIELD, TYPE, FLAGS, VALUE, CHOICES, DOC)                                                         \
    TG_ATTR_ROW(options, FIELD, TYPE, FLAGS, VALUE, CHOICES, DOC)
#define SIZES(FLAGS)                                                                                         \
    ROW(d_model, INT, FLAGS, 512, NULL, "size of the rows"),                                                 \
        ROW(nhead, INT, FLAGS, 8, NULL, "heads of each attention; d_model is a multiple")
#define REST                                                                                                 \
    ROW(dim_feedforward, INT, 0, 2048, NULL, "size between the two Linear layers"),                          \
        ROW(dropout, REAL, 0, 0.1, NULL, "in train mode, everywhere"),                                       \
        ROW(activation, CHOICE, 0, 0, "relu|gelu", "between the two Linear layers"),                         \
        ROW(layer_norm_eps, REAL, 0, 1e-5, NULL, "LayerNorm's"),                                             \
        ROW(batch_first, BOOL, 0, 0, NULL, "[N, L, E] instead of [L, N, E]"),                                \
        ROW(norm_first, BOOL, 0, 0, NULL, "LayerNorm before each part instead of behind it"),                \
        ROW(bias, BOOL, 0, 1, NULL, "of Linear and LayerNorm")
#define CAUSAL(NAME_, FIELD)                                                                                 \
    {                                                                                                        \
        NAME_, TG_ATTR_BOOL, 0, offsetof(options, FIELD), {0}, NULL, "row i sees rows 0 … i"           \
    }
#define STACK                                                                                                \
    ROW(num_layers, INT, TG_ATTR_REQUIRED, 0, NULL, "one behind the other"),                                 \
        ROW(norm, BOOL, 0, 0, NULL, "a LayerNorm behind the last")

/* A layer's table is its stack's without the first two rows. */
static const tg_attr_spec encoder_specs[] = {STACK, SIZES(TG_ATTR_REQUIRED), REST,
                                             CAUSAL("is_causal", src_is_causal), TG_ATTR_END};
static const tg_attr_spec decoder_specs[] = {STACK, SIZES(TG_ATTR_REQUIRED), REST,
                                             CAUSAL("tgt_is_causal", tgt_is_causal), TG_ATTR_END};
static const tg_attr_spec transformer_specs[] = {
    SIZES(0),
    ROW(num_encoder_layers, INT, 0, 6, NULL, "the encoder's"),
    ROW(num_decoder_layers, INT, 0, 6, NULL, "the decoder's"),
    REST,
    CAUSAL("src_is_causal", src_is_causal),
    CAUSAL("tgt_is_causal", tgt_is_causal),
    TG_ATTR_END,
};

static const char *const encoder_layer_inputs[] = {"src", "src_mask", "src_key_padding_mask"};
static const char *const encoder_inputs[] = {"src", "mask", "src_key_padding_mask"};
static const char *const decoder_inputs[] = {
    "tgt", "memory", "tgt_mask", "memory_mask", "tgt_key_padding_mask", "memory_key_padding_mask"};
static const char *const transformer_inputs[] = {"src",
                                                 "tgt",
                                                 "src_mask",
                                                 "tgt_mask",
                                                 "memory_mask",
                                                 "src_key_padding_mask",
                                                 "tgt_key_padding_mask",
                                                 "memory_key_padding_mask"};

#define IN(...)                                                                                              \
    {                                                                                                        \
        [__VA_ARGS__], -1 : 1                                                                                \
    }
#define SMALL                                                                                                \
    .d_model = 4, .nhead = 2, .dim_feedforward = 3, .layer_norm_eps = 0.1, .activation = TG_TRANSFORMER_GELU
static const options before = {
    SMALL,           .dropout = 0.2, .batch_first = true,     .norm_first = true,
    .num_layers = 1, .norm = true,   .num_encoder_layers = 1, .num_decoder_layers = 1};
static const options behind = {
    SMALL,           .bias = true, .src_is_causal = true,   .tgt_is_causal = true,
    .num_layers = 1, .norm = true, .num_encoder_layers = 1, .num_decoder_layers = 1};
/* Linear layers 4 → 3 → 4, an attention's matrices 4 → 12 and 4 → 4; Transformer draws all of them anew. */
#define BEGINS(OUT, LINEAR1, LINEAR2)                                                                        \
    "in_proj_weight uniform sqrt(6/16), in_proj_bias constant 0, out_proj.weight uniform " OUT               \
    ", out_proj.bias constant 0, linear1.weight uniform " LINEAR1 ", linear1.bias uniform sqrt(1/4), "       \
    "linear2.weight uniform " LINEAR2 ", linear2.bias uniform sqrt(1/3), norm.weight constant 1, "           \
    "norm.bias constant 0, norm1.weight constant 1, norm1.bias constant 0, norm2.weight constant 1, "        \
    "norm2.bias constant 0, norm3.weight constant 1, norm3.bias constant 0"
#define OF_LAYERS BEGINS("sqrt(1/4)", "sqrt(1/4)", "sqrt(1/3)")
#define OF_TRANSFORMER BEGINS("sqrt(6/8)", "sqrt(6/7)", "sqrt(6/7)")
static const tg_sample encoder_table[] = {
    {.label = "norm_first", .in = TG_SAMPLE_INPUTS(IN(1, 2, 4)), .attrs = &before},
    {.label = "causal, norm behind", .in = TG_SAMPLE_INPUTS(IN(3, 4)), .attrs = &behind, .begins = OF_LAYERS},
};
TG_SAMPLES(encoder_samples, encoder_table)
#define PAIRS(BEGINS_)                                                                                       \
    {.label = "norm_first", .in = TG_SAMPLE_INPUTS(IN(1, 2, 4), IN(1, 3, 4)), .attrs = &before},             \
        {.label = "causal, norm behind",                                                                     \
         .in = TG_SAMPLE_INPUTS(IN(2, 1, 4), IN(1, 1, 4)),                                                   \
         .attrs = &behind,                                                                                   \
         .begins = BEGINS_}
static const tg_sample pair_table[] = {PAIRS(OF_LAYERS)};
static const tg_sample transformer_table[] = {PAIRS(OF_TRANSFORMER)};
TG_SAMPLES(pair_samples, pair_table)
TG_SAMPLES(transformer_samples, transformer_table)

#define CLASS(NAME_, INPUTS, OPTIONAL, SPECS, STATE, INIT, FORWARD, SAMPLES, DOC)                            \
    {                                                                                                        \
        .struct_size = sizeof(tg_layer_class), .flags = TG_LAYER_RANDOM, .name = NAME_, .attrs = SPECS,      \
        .attrs_size = sizeof(options), .state_size = STATE, .n_in = sizeof INPUTS / sizeof *INPUTS,  \
        .n_out = 1, .optional = OPTIONAL, .in_names = INPUTS, .init = INIT, .forward = {FORWARD, FORWARD},   \
        .samples = TG_PROOF(SAMPLES), .doc = DOC                                                                       \
    }
static const tg_layer_class encoder_layer =
    CLASS("TransformerEncoderLayer", encoder_layer_inputs, 0x6, encoder_specs + 2, sizeof(layer_state), layer_init,
          encoder_layer_forward, encoder_samples,
          "self-attention, then two Linear layers, each added to its input");
static const tg_layer_class decoder_layer =
    CLASS("TransformerDecoderLayer", decoder_inputs, 0x3C, decoder_specs + 2, sizeof(layer_state), layer_init,
          decoder_layer_forward, pair_samples,
          "self-attention, attention to memory, two Linear layers, each added to its input");
static const tg_layer_class encoder =
    CLASS("TransformerEncoder", encoder_inputs, 0x6, encoder_specs, 0, stack_init, stack_forward,
          encoder_samples, "num_layers TransformerEncoderLayers");
static const tg_layer_class decoder =
    CLASS("TransformerDecoder", decoder_inputs, 0x3C, decoder_specs, 0, stack_init, stack_forward,
          pair_samples, "num_layers TransformerDecoderLayers");
static const tg_layer_class transformer =
    CLASS("Transformer", transformer_inputs, 0xFC, transformer_specs, 0, transformer_init,
          transformer_forward, transformer_samples, "decoder(tgt, encoder(src)) (Vaswani et al. 2017)");

const tg_layer_class *const tg_layers_transformer[] = {&encoder_layer, &decoder_layer, &encoder,
                                                       &decoder,       &transformer,   NULL};

/* -- layers.h -------------------------------------------------------------------------------------------- */

tg_transformer_options tg_transformer_defaults(int64_t d_model, int64_t nhead)
{
    return (options){.struct_size = sizeof(options),
                     .d_model = d_model,
                     .nhead = nhead,
                     .num_encoder_layers = 6,
                     .num_decoder_layers = 6,
                     .num_layers = 6,
                     .dim_feedforward = 2048,
                     .dropout = 0.1,
                     .layer_norm_eps = 1e-5,
                     .bias = true};
}

/* A count meant for another class, where this one's was left alone. */
static tg_status check_counts(const tg_layer_class *cls, const options *o)
{
    const options all = tg_transformer_defaults(0, 0);
    const bool stack = o->num_layers != all.num_layers, src = o->num_encoder_layers != all.num_encoder_layers,
               tgt = o->num_decoder_layers != all.num_decoder_layers;
    const char *name = cls == &transformer                 ? stack && !src && !tgt ? "num_layers" : NULL
                       : cls != &encoder && cls != &decoder ? NULL
                       : stack                              ? NULL
                       : src                                ? "num_encoder_layers"
                       : tgt                                ? "num_decoder_layers"
                                                            : NULL;
    return name ? tg_fail(NULL, TG_EINVAL, "%s: %s is set, which is another class's, and %s", cls->name, name,
                          cls == &transformer ? "num_encoder_layers and num_decoder_layers are not" : "num_layers is not")
                : TG_OK;
}

static tg_module *make(tg_runtime *rt, const tg_layer_class *cls, const options *given)
{
    options known = tg_transformer_defaults(0, 0);
    return tg_options_read(cls->name, &known, sizeof known, given) || check_counts(cls, &known)
               ? NULL
               : tg_module_new(rt, cls, &known);
}

tg_module *tg_nn_transformer_encoder_layer(tg_runtime *rt, const tg_transformer_options *o)
{
    return make(rt, &encoder_layer, o);
}

tg_module *tg_nn_transformer_decoder_layer(tg_runtime *rt, const tg_transformer_options *o)
{
    return make(rt, &decoder_layer, o);
}

tg_module *tg_nn_transformer_encoder(tg_runtime *rt, const tg_transformer_options *o)
{
    return make(rt, &encoder, o);
}

tg_module *tg_nn_transformer_decoder(tg_runtime *rt, const tg_transformer_options *o)
{
    return make(rt, &decoder, o);
}

tg_module *tg_nn_transformer(tg_runtime *rt, const tg_transformer_options *o)
{
    return make(rt, &transformer, o);
}
