/* MultiheadAttention. */
#include <math.h>
#include <stdio.h>

#include "layers/internal.h"

#define NAME "MultiheadAttention"

typedef tg_multihead_attention_options options;

enum { QUERY, KEY, VALUE, PADDING, MASK, N_INPUTS };

typedef struct attention_state {
    tg_tensor *in_weight, *weight[3]; /* one for all three, or one each */
    tg_tensor *in_bias, *bias_k, *bias_v;
    tg_module *out_proj;
} attention_state;

static int64_t width(const options *o, int which)
{
    const int64_t other = which == KEY ? o->kdim : o->vdim;
    return which == QUERY || other == TG_NONE_INT ? o->embed_dim : other;
}

static bool is_packed(const options *o)
{
    return width(o, KEY) == o->embed_dim && width(o, VALUE) == o->embed_dim;
}

static tg_status check_options(const options *o)
{
    if (o->embed_dim < 1 || o->num_heads < 1)
        return tg_fail(NULL, TG_EINVAL, NAME ": embed_dim %lld and num_heads %lld, expected positive numbers",
                       (long long)o->embed_dim, (long long)o->num_heads);
    if (o->embed_dim % o->num_heads)
        return tg_fail(NULL, TG_EINVAL, NAME ": embed_dim %lld is not divisible by num_heads %lld",
                       (long long)o->embed_dim, (long long)o->num_heads);
    if (o->embed_dim > INT64_MAX / 3 || width(o, KEY) < 1 || width(o, VALUE) < 1)
        return tg_fail(NULL, TG_EINVAL, NAME ": embed_dim %lld, kdim %lld and vdim %lld, one is out of range",
                       (long long)o->embed_dim, (long long)width(o, KEY), (long long)width(o, VALUE));
    if (!(o->dropout >= 0 && o->dropout <= 1))
        return tg_fail(NULL, TG_EINVAL, NAME ": dropout is %g, expected a probability between 0 and 1",
                       o->dropout);
    return TG_OK;
}

static tg_status add_xavier(tg_module *m, const char *name, int64_t rows, int64_t columns, tg_tensor **out)
{
    const tg_status status = tg_module_add_parameter(m, name, (int64_t[]){rows, columns}, 2, out);
    return status ? status : tg_init_xavier_uniform(*out, 1);
}

/* xavier_normal_ of [1, 1, E]: fan_in and fan_out are E. */
static tg_status add_row(tg_module *m, const char *name, int64_t size, tg_tensor **out)
{
    const tg_status status = tg_module_add_parameter(m, name, (int64_t[]){1, 1, size}, 3, out);
    return status ? status : tg_init_normal(*out, 0, 1 / sqrt((double)size));
}

static tg_status attention_init(tg_module *m, const void *attrs)
{
    static const char *const names[] = {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
    const options *o = attrs;
    attention_state *s = m->self;
    const int64_t e = o->embed_dim;
    tg_status status = check_options(o);
    if (!status && is_packed(o))
        status = add_xavier(m, "in_proj_weight", 3 * e, e, &s->in_weight);
    for (int i = 0; i < 3 && !status && !is_packed(o); i++)
        status = add_xavier(m, names[i], e, width(o, i), &s->weight[i]);
    if (!status && o->bias)
        status = tg_module_add_parameter(m, "in_proj_bias", (int64_t[]){3 * e}, 1, &s->in_bias);
    if (!status && o->add_bias_kv)
        status = add_row(m, "bias_k", e, &s->bias_k);
    if (!status && o->add_bias_kv)
        status = add_row(m, "bias_v", e, &s->bias_v);
    if (status)
        return status;
    tg_linear_options out = tg_linear_defaults(e, e);
    out.bias = o->bias;
    status = tg_module_add_child(m, "out_proj", s->out_proj = tg_nn_linear_with(m->rt, &out));
    return status || !o->bias ? status : tg_fill(tg_module_tensor(s->out_proj, "bias"), 0);
}

/* -- the call -------------------------------------------------------------------------------------------- */

typedef struct call {
    const tg_module *m;
    const options *o;
    const attention_state *s;
    tg_tape *tape;
    tg_tensor *x[3]; /* query, key, value: in three dims */
    int64_t n, rows, keys;
    bool batched, batch_first;
    tg_dtype dtype;
} call;

static tg_status refuse(const call *c, const char *what, const tg_tensor *got, const char *expected)
{
    char text[128];
    return tg_layer_fail(c->m, c->tape, TG_ESHAPE, "%s is %s, expected %s", what,
                         tg_desc_format(tg_layer_desc(got), text, sizeof text), expected);
}

static tg_status check_inputs(call *c)
{
    static const char *const names[] = {"query", "key", "value"};
    const tg_desc *d[3];
    char expected[64];
    for (int i = 0; i < 3; i++)
        d[i] = tg_layer_desc(c->x[i]);
    c->batched = d[QUERY]->ndim == 3;
    c->batch_first = c->o->batch_first || !c->batched;
    const int length = c->batched && c->batch_first, batch = !length;
    for (int i = 0; i < 3; i++) {
        if (d[i]->ndim != (i ? d[QUERY]->ndim : 2) && d[i]->ndim != (i ? d[QUERY]->ndim : 3))
            return refuse(c, names[i], c->x[i],
                          i ? "as many dims as query has" : "two dims, or three with a batch");
        if (d[i]->dim[d[i]->ndim - 1] != width(c->o, i)) {
            snprintf(expected, sizeof expected, "%lld in the last dim", (long long)width(c->o, i));
            return refuse(c, names[i], c->x[i], expected);
        }
        if (i && c->batched && d[i]->dim[batch] != d[QUERY]->dim[batch])
            return refuse(c, names[i], c->x[i], "query's batch");
    }
    if (d[VALUE]->dim[length] != d[KEY]->dim[length])
        return refuse(c, "value", c->x[VALUE], "as many rows as key has");
    c->n = c->batched ? d[QUERY]->dim[batch] : 1;
    c->rows = d[QUERY]->dim[length];
    c->keys = d[KEY]->dim[length];
    c->dtype = (tg_dtype)d[QUERY]->dtype;
    return TG_OK;
}

/* −∞ where a bool mask is true. */
static tg_tensor *as_bias(tg_tape *tape, tg_tensor *mask, tg_dtype dtype)
{
    return tg_where(tape, mask, tg_scalar(tape, dtype, -(double)INFINITY), tg_scalar(tape, dtype, 0));
}

static tg_tensor *causal(tg_tape *tape, tg_dtype dtype, int64_t rows, int64_t keys)
{
    tg_tensor *all = tg_full(tape, TG_BOOL, (int64_t[]){rows, keys}, 2, 1);
    return as_bias(tape, tg_triu(tape, all, 1), dtype);
}

/* The mask in dims that broadcast to [N, H, L, S], added to what *bias holds. */
static tg_status take_mask(const call *c, const char *name, tg_tensor *mask, const int64_t *want,
                           int32_t ndim, const int64_t as[4], tg_tensor **bias)
{
    char got[128], expected[128];
    const tg_desc *d = tg_layer_desc(mask);
    tg_desc e;
    tg_status status = tg_desc_make(&e, c->dtype, want, (size_t)ndim);
    if (status)
        return status;
    if ((d->dtype != TG_BOOL && d->dtype != (int32_t)c->dtype) || !tg_desc_same_dims(d, &e))
        return tg_layer_fail(c->m, c->tape, tg_desc_same_dims(d, &e) ? TG_EDTYPE : TG_ESHAPE,
                             "%s is %s, expected %s or bool", name, tg_desc_format(d, got, sizeof got),
                             tg_desc_format(&e, expected, sizeof expected));
    if (d->dtype == TG_BOOL)
        mask = as_bias(c->tape, mask, c->dtype);
    mask = tg_reshape_dims(c->tape, mask, as, 4);
    *bias = *bias ? tg_add(c->tape, *bias, mask) : mask;
    return *bias ? TG_OK : c->tape->status;
}

/* What is added to the scores: NULL for nothing, or where `is_causal` says all. */
static tg_status take_masks(const call *c, tg_tensor *const in[], int64_t extra, bool weights,
                            tg_tensor **bias, bool *is_causal)
{
    const int64_t n = c->n, h = c->o->num_heads, l = c->rows, s = c->keys;
    tg_status status = TG_OK;
    *bias = NULL;
    if (in[MASK] && tg_layer_desc(in[MASK])->ndim == 3)
        status =
            take_mask(c, "attn_mask", in[MASK], (int64_t[]){n * h, l, s}, 3, (int64_t[]){n, h, l, s}, bias);
    else if (in[MASK])
        status = take_mask(c, "attn_mask", in[MASK], (int64_t[]){l, s}, 2, (int64_t[]){1, 1, l, s}, bias);
    if (!status && in[PADDING])
        status = take_mask(c, "key_padding_mask", in[PADDING], c->batched ? (int64_t[]){n, s} : &s,
                           c->batched ? 2 : 1, (int64_t[]){n, 1, 1, s}, bias);
    *is_causal = c->o->is_causal && !*bias && !extra && !weights;
    if (!status && c->o->is_causal && !*is_causal) {
        tg_tensor *later = causal(c->tape, c->dtype, l, s);
        *bias = *bias ? tg_add(c->tape, *bias, later) : later;
    }
    if (!status && *bias && extra)
        *bias = tg_pad(c->tape, *bias, (int64_t[]){0, extra}, 2, TG_PAD_CONSTANT, 0);
    return status ? status : c->tape->status;
}

/* `count` of the three projections of one input, side by side. */
static tg_tensor *project(const call *c, int first, int count)
{
    const int64_t e = c->o->embed_dim;
    tg_tensor *w = c->s->in_weight, *b = c->s->in_bias;
    if (!w)
        w = c->s->weight[first];
    else if (count < 3)
        w = tg_narrow(c->tape, w, 0, first * e, count * e);
    if (b && count < 3)
        b = tg_narrow(c->tape, b, 0, first * e, count * e);
    return tg_linear(c->tape, c->x[first], w, b);
}

/* The inputs that are one tensor are projected together. */
static void project_all(const call *c, tg_tensor *out[3])
{
    const int64_t e = c->o->embed_dim;
    for (int i = 0, count; i < 3; i += count) {
        count = 1;
        while (c->s->in_weight && i + count < 3 && c->x[i + count] == c->x[i])
            count++;
        tg_tensor *y = project(c, i, count);
        for (int k = 0; k < count; k++)
            out[i + k] = count > 1 ? tg_narrow(c->tape, y, -1, k * e, e) : y;
    }
}

/* With the learned row and the row of zeros behind the keys, or values. */
static tg_tensor *lengthen(const call *c, tg_tensor *x, tg_tensor *row)
{
    const int64_t dims[] = {c->batch_first ? c->n : 1, c->batch_first ? 1 : c->n, c->o->embed_dim};
    tg_tensor *all[3] = {x};
    size_t n = 1;
    if (row)
        all[n++] = tg_expand_dims(c->tape, row, dims, 3);
    if (c->o->add_zero_attn)
        all[n++] = tg_full(c->tape, c->dtype, dims, 3, 0);
    return n > 1 ? tg_cat_n(c->tape, all, n, c->batch_first ? 1 : 0) : x;
}

/* [N, L, E] or [L, N, E] as [N, H, L, E/H]. */
static tg_tensor *heads(const call *c, tg_tensor *x)
{
    tg_tensor *y =
        tg_unflatten(c->tape, x, -1, (int64_t[]){c->o->num_heads, c->o->embed_dim / c->o->num_heads}, 2);
    return tg_permute_dims(c->tape, y, c->batch_first ? (int64_t[]){0, 2, 1, 3} : (int64_t[]){1, 2, 0, 3}, 4);
}

/* The weights, [N, H, L, S], by torch's own steps: a query without a key has NaN. */
static tg_tensor *weigh(const call *c, tg_tensor *q, tg_tensor *k, tg_tensor *bias, double dropout)
{
    tg_tape *tape = c->tape;
    const double scale = 1 / sqrt((double)(c->o->embed_dim / c->o->num_heads));
    tg_tensor *scores = tg_matmul(tape, tg_mul_scalar(tape, q, scale), tg_transpose(tape, k, -2, -1));
    return tg_dropout(tape, tg_softmax(tape, bias ? tg_add(tape, scores, bias) : scores, -1), dropout,
                      TG_TRAIN);
}

static tg_status attention_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                   tg_tensor *out[])
{
    (void)n_in;
    const options *o = m->attrs;
    call c = {.m = m, .o = o, .s = m->self, .tape = tape, .x = {in[QUERY], in[KEY], in[VALUE]}};
    const bool weights = tg_outputs_wanted(tape) > 1;
    const double dropout = tape->mode == TG_TRAIN ? o->dropout : 0;
    const int64_t extra = o->add_bias_kv + o->add_zero_attn;
    for (int i = KEY; i <= VALUE; i++)
        c.x[i] = c.x[i] ? c.x[i] : c.x[i - 1];
    tg_attention_options how = {.dropout_p = dropout};
    tg_status status = check_inputs(&c);
    if (!status)
        status = take_masks(&c, in, extra, weights, &how.attn_mask, &how.is_causal);
    if (status)
        return status;
    if (!c.batched) {
        tg_tensor *given[3] = {c.x[0], c.x[1], c.x[2]};
        for (int i = 0; i < 3; i++)
            c.x[i] = i && given[i] == given[i - 1] ? c.x[i - 1] : tg_unsqueeze(tape, given[i], 0);
    }
    tg_tensor *p[3] = {NULL};
    project_all(&c, p);
    p[KEY] = lengthen(&c, p[KEY], c.s->bias_k);
    p[VALUE] = lengthen(&c, p[VALUE], c.s->bias_v);
    for (int i = 0; i < 3; i++)
        p[i] = heads(&c, p[i]);
    tg_tensor *w = weights ? weigh(&c, p[QUERY], p[KEY], how.attn_mask, dropout) : NULL;
    tg_tensor *y = weights ? tg_matmul(tape, w, p[VALUE])
                           : tg_scaled_dot_product_attention(tape, p[QUERY], p[KEY], p[VALUE], &how);
    y = tg_permute_dims(tape, y, c.batch_first ? (int64_t[]){0, 2, 1, 3} : (int64_t[]){2, 0, 1, 3}, 4);
    y = tg_flatten(tape, y, -2, -1);
    y = tg_forward(tape, c.s->out_proj, c.batched ? y : tg_squeeze(tape, y, 0));
    if (weights && o->average_attn_weights)
        w = tg_mean_dims(tape, w, (int64_t[]){1}, 1, false);
    if (weights)
        out[1] = c.batched ? w : tg_squeeze(tape, w, 0);
    return tg_layer_result(tape, y, out);
}

/* -- the class ------------------------------------------------------------------------------------------- */

#define ROW(FIELD, TYPE, FLAGS, VALUE, DOC) TG_ATTR_ROW(options, FIELD, TYPE, FLAGS, VALUE, NULL, DOC)
static const tg_attr_spec specs[] = {
    ROW(embed_dim, INT, TG_ATTR_REQUIRED, 0, "size of the query's and the output's rows"),
    ROW(num_heads, INT, TG_ATTR_REQUIRED, 0, "embed_dim is divided among them"),
    ROW(dropout, REAL, 0, 0, "of the weights, in train mode"),
    ROW(bias, BOOL, 0, 1, "adds learned biases to the projections"),
    ROW(add_bias_kv, BOOL, 0, 0, "adds a learned key and its value"),
    ROW(add_zero_attn, BOOL, 0, 0, "adds a key and a value of zeros"),
    ROW(kdim, INT, TG_ATTR_OPTIONAL, (double)TG_NONE_INT, "size of the key's rows; None: embed_dim"),
    ROW(vdim, INT, TG_ATTR_OPTIONAL, (double)TG_NONE_INT, "size of the value's rows; None: embed_dim"),
    ROW(batch_first, BOOL, 0, 0, "[N, L, E] instead of [L, N, E]"),
    ROW(is_causal, BOOL, 0, 0, "query i sees keys 0 … i, with what masks leave"),
    ROW(average_attn_weights, BOOL, 0, 1, "false: the second output has each head's weights"),
    TG_ATTR_END,
};

static const char *const input_names[] = {"query", "key", "value", "key_padding_mask", "attn_mask"};

#define IN(...)                                                                                              \
    {                                                                                                        \
        [__VA_ARGS__], -1 : 1                                                                                \
    }
#define NONE                                                                                                 \
    {                                                                                                        \
        absent constant                                                                                      \
    }
#define TWO_HEADS .embed_dim = 4, .num_heads = 2, .kdim = TG_NONE_INT, .vdim = TG_NONE_INT
static const options self = {TWO_HEADS, .bias = true, .average_attn_weights = true};
static const options other = {.embed_dim = 2,
                              .num_heads = 1,
                              .kdim = 3,
                              .vdim = 1,
                              .add_bias_kv = true,
                              .add_zero_attn = true,
                              .batch_first = true,
                              .is_causal = true,
                              .dropout = 0.3};
static const tg_sample samples[] = {
    {.label = "self",
     .in = TG_SAMPLE_INPUTS(IN(3, 2, 4)),
     .attrs = &self,
     .begins = "in_proj_weight uniform sqrt(6/16), in_proj_bias constant 0, out_proj.weight uniform sqrt(1/4), "
               "out_proj.bias constant 0"},
    {.label = "with all that there is",
     .in = TG_SAMPLE_INPUTS(IN(1, 2, 2), IN(1, 3, 3), IN(1, 3, 1), IN(1, 3), IN(2, 3)),
     .attrs = &other,
     .begins = "q_proj_weight uniform sqrt(6/4), k_proj_weight uniform sqrt(6/5), v_proj_weight uniform sqrt(6/3), "
               "bias_k normal sqrt(1/2), bias_v normal sqrt(1/2), out_proj.weight uniform sqrt(1/2)"},
};
TG_SAMPLES(attention_samples, samples)

static const tg_layer_class attention = {
    .struct_size = sizeof(tg_layer_class),
    .flags = TG_LAYER_RANDOM,
    .name = NAME,
    .attrs = specs,
    .attrs_size = sizeof(options),
    .state_size = sizeof(attention_state),
    .n_in = N_INPUTS,
    .n_out = 2,
    .optional = TG_OP_IN(KEY) | TG_OP_IN(VALUE) | TG_OP_IN(PADDING) | TG_OP_IN(MASK),
    .in_names = input_names,
    .init = attention_init,
    .forward = {attention_forward, attention_forward},
    .samples = TG_PROOF(attention_samples),
    .doc = "softmax(QKᵀ/√d + mask)·V of each head, side by side, projected (Vaswani et al. 2017)",
};

const tg_layer_class *const tg_layers_attention[] = {&attention, NULL};

tg_multihead_attention_options tg_multihead_attention_defaults(int64_t embed_dim, int64_t num_heads)
{
    return (options){.struct_size = sizeof(options),
                     .embed_dim = embed_dim,
                     .num_heads = num_heads,
                     .bias = true,
                     .kdim = TG_NONE_INT,
                     .vdim = TG_NONE_INT,
                     .average_attn_weights = true};
}

tg_module *tg_nn_multihead_attention_with(tg_runtime *rt, const tg_multihead_attention_options *given)
{
    options known = tg_multihead_attention_defaults(0, 0);
    return tg_options_read(NAME, &known, sizeof known, given) ? NULL : tg_module_new(rt, &attention, &known);
}

tg_module *tg_nn_multihead_attention(tg_runtime *rt, int64_t embed_dim, int64_t num_heads)
{
    const options o = tg_multihead_attention_defaults(embed_dim, num_heads);
    return tg_module_new(rt, &attention, &o);
}

tg_tensor *tg_causal_mask(tg_tape *tape, int64_t size)
{
    if (!tape)
        tg_null(NULL, "tg_causal_mask", "tape");
    return !tape ? NULL : causal(tape, tape->rt->dtype, size, size);
}
