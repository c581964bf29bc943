/* RNN, LSTM, GRU and their cells: the input's products of all steps at once, then a row for the steps. */
#include <math.h>
#include <stdio.h>

#include "layers/internal.h"

typedef tg_rnn_options options;

typedef struct recurrent {
    tg_layer_class cls;
    tg_recurrence_kind kind;
    bool is_cell;
} recurrent;

static const recurrent *row_of(const tg_module *m)
{
    return (const recurrent *)(const void *)m->cls;
}

static tg_recurrence_kind kind_of(const tg_module *m)
{
    return row_of(m)->kind                             ? row_of(m)->kind
           : ((const options *)m->attrs)->nonlinearity ? TG_RECURRENCE_RELU
                                                       : TG_RECURRENCE_TANH;
}

static int64_t directions(const options *o)
{
    return o->bidirectional ? 2 : 1;
}

/* What is put out each step. */
static int64_t size_of(const options *o)
{
    return o->proj_size ? o->proj_size : o->hidden_size;
}

/* -- making ---------------------------------------------------------------------------------------------- */

static tg_status check_options(const tg_module *m, const options *o)
{
    const char *what = NULL, *name = m->cls->name;
    const struct {
        const char *name;
        int64_t value, most;
    } sizes[] = {{"input_size", o->input_size, INT64_MAX / 4},
                 {"hidden_size", o->hidden_size, INT64_MAX / 4},
                 {"num_layers", o->num_layers, TG_MOST_LAYERS}};
    for (int k = 0; k < 3 - row_of(m)->is_cell; k++)
        if (sizes[k].value < 1 || sizes[k].value > sizes[k].most)
            return tg_fail(NULL, TG_EINVAL, "%s: %s is %lld, expected 1 to %lld", name, sizes[k].name,
                           (long long)sizes[k].value, (long long)sizes[k].most);
    if (o->proj_size < 0 || o->proj_size >= o->hidden_size)
        return tg_fail(NULL, TG_EINVAL,
                       "%s: proj_size is %lld, expected 0 for none, or less than hidden_size, %lld", name,
                       (long long)o->proj_size, (long long)o->hidden_size);
    if (!(o->dropout >= 0 && o->dropout <= 1)) /* NaN too */
        return tg_fail(NULL, TG_EINVAL,
                       "%s: dropout is %g, expected a probability of dropping between 0 and 1", name,
                       o->dropout);
    if (o->proj_size && row_of(m)->kind != TG_RECURRENCE_LSTM)
        what = "proj_size is for an LSTM alone";
    if (o->nonlinearity && row_of(m)->kind)
        what = "nonlinearity is for an RNN alone";
    if (what || o->nonlinearity < 0 || o->nonlinearity > 1)
        return tg_fail(NULL, TG_EINVAL, "%s: %s", name,
                       what ? what : "nonlinearity is neither tanh (0) nor relu (1)");
    if (o->dropout > 0 && o->num_layers == 1)
        tg_runtime_log(m->rt, TG_LOG_WARNING,
                       "%s: dropout is %g, and has no effect: it stands between layers, and num_layers is 1",
                       name, o->dropout);
    return TG_OK;
}

/* The parameters of one layer and direction. Their order is what parts_of reads. */
static tg_status add_parts(tg_module *m, const options *o, int64_t from, const char *suffix)
{
    static const char *const names[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"};
    const tg_recurrence_kind kind = row_of(m)->kind;
    const int64_t gates = (kind == TG_RECURRENCE_LSTM  ? 4
                           : kind == TG_RECURRENCE_GRU ? 3
                                                       : 1) *
                          o->hidden_size;
    const int64_t dims[][2] = {
        {gates, from}, {gates, size_of(o)}, {gates, 0}, {gates, 0}, {o->proj_size, o->hidden_size}};
    const double bound = 1 / sqrt((double)o->hidden_size);
    for (size_t k = 0; k < 5; k++) {
        const bool is_bias = k == 2 || k == 3;
        if (is_bias ? !o->bias : k == 4 && !o->proj_size)
            continue;
        char name[64];
        tg_tensor *t;
        snprintf(name, sizeof name, "%s%s", names[k], suffix);
        tg_status status = tg_module_add_parameter(m, name, dims[k], is_bias ? 1 : 2, &t);
        if (!status)
            status = tg_init_uniform(t, -bound, bound);
        if (status)
            return status;
    }
    return TG_OK;
}

static tg_status recurrent_init(tg_module *m, const void *attrs)
{
    const options *o = attrs;
    tg_status status = check_options(m, o);
    if (status || row_of(m)->is_cell)
        return status ? status : add_parts(m, o, o->input_size, "");
    for (int64_t l = 0; l < o->num_layers; l++)
        for (int64_t d = 0; d < directions(o) && !status; d++) {
            char suffix[40];
            snprintf(suffix, sizeof suffix, "_l%lld%s", (long long)l, d ? "_reverse" : "");
            status = add_parts(m, o, l ? directions(o) * size_of(o) : o->input_size, suffix);
        }
    return status;
}

typedef struct parts {
    tg_tensor *weight_ih, *weight_hh, *bias_ih, *bias_hh, *weight_hr;
} parts;

static parts parts_of(const tg_module *m, int64_t i)
{
    const options *o = m->attrs;
    const tg_part *at = m->parameters.at + i * (2 + (o->bias ? 2 : 0) + (o->proj_size ? 1 : 0));
    parts p = {.weight_ih = at[0].tensor, .weight_hh = at[1].tensor};
    if (o->bias) {
        p.bias_ih = at[2].tensor;
        p.bias_hh = at[3].tensor;
    }
    if (o->proj_size)
        p.weight_hr = at[o->bias ? 4 : 2].tensor;
    return p;
}

/* -- layers ---------------------------------------------------------------------------------------------- */

static tg_status check_input(const tg_module *m, tg_tape *tape, const tg_desc *x, int32_t ndim)
{
    char got[112];
    const options *o = m->attrs;
    if ((x->ndim == ndim || x->ndim == ndim - 1) && x->dim[x->ndim - 1] == o->input_size &&
        (ndim == 2 || x->ndim == 2 || x->dim[o->batch_first]) && (ndim == 2 || x->ndim == 3 || x->dim[0]))
        return TG_OK;
    return tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected %s with in = %lld%s",
                         tg_desc_format(x, got, sizeof got),
                         ndim == 2        ? "[N, in] or [in]"
                         : o->batch_first ? "[N, T, in] or [T, in]"
                                          : "[T, N, in] or [T, in]",
                         (long long)o->input_size, ndim == 2 ? "" : " and at least one step");
}

/* A state of `count` layers and directions (0: a cell's, without that dim), NULL for zeros. */
static tg_status check_state(const tg_module *m, tg_tape *tape, const char *name, tg_tensor *state,
                             const tg_desc *x, int64_t count, int64_t n, int64_t size)
{
    if (!state)
        return TG_OK;
    char got[112], expected[112];
    const tg_desc *d = tg_layer_desc(state);
    int64_t dims[3];
    size_t ndim = 0;
    if (count)
        dims[ndim++] = count;
    if (n >= 0)
        dims[ndim++] = n;
    dims[ndim++] = size;
    tg_desc want;
    tg_status status = tg_desc_make(&want, (tg_dtype)x->dtype, dims, ndim);
    if (status || (d->dtype == want.dtype && tg_desc_same_dims(d, &want)))
        return status;
    return tg_layer_fail(m, tape, d->dtype == want.dtype ? TG_ESHAPE : TG_EDTYPE, "%s is %s, expected %s",
                         name, tg_desc_format(d, got, sizeof got),
                         tg_desc_format(&want, expected, sizeof expected));
}

/* How many steps each of n sequences has. */
static tg_status check_lengths(const tg_module *m, tg_tape *tape, tg_tensor *lengths, int64_t steps, int64_t n)
{
    char got[112];
    const tg_desc *d = tg_layer_desc(lengths);
    if (d->dtype != TG_I64 || d->ndim != 1 || d->dim[0] != n)
        return tg_layer_fail(m, tape, d->dtype == TG_I64 ? TG_ESHAPE : TG_EDTYPE,
                             "lengths is %s, expected i64[%lld], one for each sequence",
                             tg_desc_format(d, got, sizeof got), (long long)n);
    const tg_value *v = tg_resolve(lengths);
    const int64_t *at = tg_value_planned(v) ? NULL : tg_value_data(v);
    for (int64_t i = 0; at && i < n; i++) {
        const int64_t length = at[i * v->desc->stride[0]];
        if (length < 1 || length > steps)
            return tg_layer_fail(m, tape, TG_EINVAL, "lengths[%lld] is %lld, expected 1 to %lld, the number of steps",
                                 (long long)i, (long long)length, (long long)steps);
    }
    return TG_OK;
}

/* One layer in one direction: y, and the last h and c. */
static tg_tensor *run(const tg_module *m, tg_tape *tape, int64_t i, tg_tensor *x, tg_tensor *h, tg_tensor *c,
                      tg_tensor *lengths, tg_tensor *last[2])
{
    const tg_recurrence_kind kind = kind_of(m);
    const parts p = parts_of(m, i);
    const bool is_gru = kind == TG_RECURRENCE_GRU;
    tg_tensor *bias = p.bias_ih && !is_gru ? tg_add(tape, p.bias_ih, p.bias_hh) : p.bias_ih;
    tg_tensor *gates = tg_linear(tape, x, p.weight_ih, bias);
    tg_tensor *const in[] = {gates,
                             p.weight_hh,
                             h ? tg_linear(tape, h, p.weight_hh, NULL) : NULL,
                             is_gru ? h : c,
                             is_gru ? p.bias_hh : NULL,
                             p.weight_hr,
                             lengths};
    if (tape->status)
        return NULL;
    tg_tensor *y = tg_recurrence(tape, kind, ((const options *)m->attrs)->bidirectional && i % 2, in, last);
    tg_discard(gates);
    return y;
}

/* [N, size] of each layer and direction as [layers·directions, N, size], without a batch no N. */
static tg_tensor *joined(tg_tape *tape, tg_tensor *const last[], int64_t n, bool batched)
{
    tg_tensor *all = n == 1 ? tg_unsqueeze(tape, last[0], 0) : tg_stack_n(tape, last, (size_t)n, 0);
    return batched ? all : tg_squeeze(tape, all, 1);
}

static tg_status recurrent_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                                   tg_tensor *out[])
{
    const options *o = m->attrs;
    const tg_desc x_desc = *tg_layer_desc(in[0]);
    const bool batched = x_desc.ndim == 3, lstm = row_of(m)->kind == TG_RECURRENCE_LSTM;
    tg_tensor *x = in[0], *hx = in[1], *cx = lstm ? in[2] : NULL, *lengths = in[n_in - 1];
    tg_status status = check_input(m, tape, &x_desc, 3);
    const int64_t n = batched ? x_desc.dim[!o->batch_first] : -1, count = o->num_layers * directions(o);
    if (!status)
        status = check_state(m, tape, "hx", hx, &x_desc, count, n, size_of(o));
    if (!status)
        status = check_state(m, tape, "cx", cx, &x_desc, count, n, o->hidden_size);
    if (!status && lstm && !hx != !cx)
        status = tg_layer_fail(m, tape, TG_EINVAL, "hx and cx are given together or not at all");
    if (!status && lengths && !batched)
        status = tg_layer_fail(m, tape, TG_EINVAL, "lengths are for a batch of sequences");
    if (!status && lengths)
        status = check_lengths(m, tape, lengths, x_desc.dim[o->batch_first], n);
    tg_tensor **last = status ? NULL : tg_arena_get(&tape->arena, (size_t)(2 * count) * sizeof *last);
    if (!last)
        return status ? status : TG_ENOMEM;
    if (!batched)
        x = tg_unsqueeze(tape, x, 1);
    else if (o->batch_first)
        x = tg_contiguous(tape, tg_transpose(tape, x, 0, 1));
    for (int64_t i = 0; i < count && !tape->status;) {
        tg_tensor *y[2] = {NULL};
        for (int64_t d = 0; d < directions(o) && !tape->status; d++, i++) {
            tg_tensor *h = hx ? tg_select(tape, hx, 0, i) : NULL, *c = cx ? tg_select(tape, cx, 0, i) : NULL,
                      *ends[2];
            if (!batched) {
                h = h ? tg_unsqueeze(tape, h, 0) : NULL;
                c = c ? tg_unsqueeze(tape, c, 0) : NULL;
            }
            y[d] = run(m, tape, i, x, h, c, lengths, ends);
            last[i] = ends[0];
            last[count + i] = ends[1];
        }
        x = y[1] ? tg_cat_n(tape, y, 2, 2) : y[0];
        if (o->dropout > 0 && i < count)
            x = tg_dropout(tape, x, o->dropout, tape->mode);
    }
    const size_t wanted = tg_outputs_wanted(tape);
    out[0] = !batched ? tg_squeeze(tape, x, 1) : o->batch_first ? tg_transpose(tape, x, 0, 1) : x;
    if (wanted > 1 && !tape->status)
        out[1] = joined(tape, last, count, batched);
    if (lstm && wanted > 2 && !tape->status)
        out[2] = joined(tape, last + count, count, batched);
    return tape->status;
}

/* -- cells ----------------------------------------------------------------------------------------------- */

static tg_status cell_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                              tg_tensor *out[])
{
    const options *o = m->attrs;
    const tg_desc *x = tg_layer_desc(in[0]);
    const parts p = parts_of(m, 0);
    const int64_t n = x->ndim == 2 ? x->dim[0] : -1;
    tg_tensor *h = in[1], *c = n_in > 2 ? in[2] : NULL;
    tg_status status = check_input(m, tape, x, 2);
    if (!status)
        status = check_state(m, tape, "hx", h, x, 0, n, o->hidden_size);
    if (!status)
        status = check_state(m, tape, "cx", c, x, 0, n, o->hidden_size);
    if (!status && n_in > 2 && !h != !c)
        status = tg_layer_fail(m, tape, TG_EINVAL, "hx and cx are given together or not at all");
    if (status)
        return status;
    if (!h)
        h = c = tg_full(tape, (tg_dtype)x->dtype,
                        (const int64_t[]){n < 0 ? o->hidden_size : n, o->hidden_size}, n < 0 ? 1 : 2, 0);
    const tg_recurrence_kind kind = kind_of(m);
    if (kind == TG_RECURRENCE_LSTM)
        out[0] = tg_lstm_cell(tape, in[0], h, c, p.weight_ih, p.weight_hh, p.bias_ih, p.bias_hh, &out[1]);
    else if (kind == TG_RECURRENCE_GRU)
        out[0] = tg_gru_cell(tape, in[0], h, p.weight_ih, p.weight_hh, p.bias_ih, p.bias_hh);
    else
        out[0] = tg_rnn_cell(tape, in[0], h, p.weight_ih, p.weight_hh, p.bias_ih, p.bias_hh,
                             kind == TG_RECURRENCE_RELU);
    return tape->status;
}

/* -- classes --------------------------------------------------------------------------------------------- */

#define ROW(...) TG_ATTR_ROW(options, __VA_ARGS__)
#define SIZES                                                                                                \
    ROW(input_size, INT, TG_ATTR_REQUIRED, 0, NULL, "size of each input row"),                               \
        ROW(hidden_size, INT, TG_ATTR_REQUIRED, 0, NULL, "size of the state")
#define NONLINEARITY ROW(nonlinearity, CHOICE, 0, 0, "tanh|relu", "of a step")
#define BIAS ROW(bias, BOOL, 0, 1, NULL, "adds learned biases")
#define REST                                                                                                 \
    ROW(batch_first, BOOL, 0, 0, NULL, "input and output are [N, T, *]"),                                    \
        ROW(dropout, REAL, 0, 0, NULL, "between layers, in train mode: the probability of dropping"),        \
        ROW(bidirectional, BOOL, 0, 0, NULL, "a second direction, from the end")
#define LAYERS ROW(num_layers, INT, 0, 1, NULL, "layers, each on the one below")
static const tg_attr_spec rnn_specs[] = {SIZES, LAYERS, NONLINEARITY, BIAS, REST, TG_ATTR_END};
static const tg_attr_spec lstm_specs[] = {
    SIZES,
    LAYERS,
    BIAS,
    REST,
    ROW(proj_size, INT, 0, 0, NULL, "h is projected to this size; 0: it is not"),
    TG_ATTR_END};
static const tg_attr_spec gru_specs[] = {SIZES, LAYERS, BIAS, REST, TG_ATTR_END};
static const tg_attr_spec rnn_cell_specs[] = {SIZES, BIAS, NONLINEARITY, TG_ATTR_END};
static const tg_attr_spec cell_specs[] = {SIZES, BIAS, TG_ATTR_END};

static const options small = {.input_size = 3, .hidden_size = 2, .num_layers = 1, .bias = true};
static const options deep = {
    .input_size = 2, .hidden_size = 3, .num_layers = 2, .bidirectional = true, .batch_first = true};
static const options projected = {
    .input_size = 2, .hidden_size = 3, .num_layers = 2, .bias = true, .proj_size = 2, .dropout = 0.3};
#define RANGE -1 : 1
#define IN(...)                                                                                              \
    {                                                                                                        \
        [__VA_ARGS__], RANGE                                                                                 \
    }
#define LENGTHS                                                                                              \
    {                                                                                                        \
        [2], i64, 1 : 4, constant                                                                            \
    }
#define SAMPLE(label_, attrs_, begins_, ...)                                                                 \
    {                                                                                                        \
        .label = label_, .attrs = &attrs_, .in = TG_SAMPLE_INPUTS(__VA_ARGS__), .begins = begins_            \
    }
/* hidden_size: 2, 3 */
#define HALF "* uniform sqrt(1/2)"
#define THIRD "* uniform sqrt(1/3)"
static const tg_sample samples[] = {
    SAMPLE("with a state", small, HALF, IN(2, 2, 3), IN(1, 2, 2)),
    SAMPLE("two layers, both directions, lengths", deep, THIRD, IN(2, 3, 2), IN(4, 2, 3), LENGTHS),
};
static const tg_sample lstm_samples[] = {
    SAMPLE("one sequence", small, HALF, IN(3, 3)),
    SAMPLE("two layers, both directions, lengths", deep, THIRD, IN(2, 3, 2), IN(4, 2, 3), IN(4, 2, 3), LENGTHS),
    SAMPLE("projected, dropout", projected, THIRD, IN(2, 2, 2)),
};
static const tg_sample cell_samples[] = {
    SAMPLE("a batch", small, HALF, IN(3, 3), IN(3, 2)),
    SAMPLE("without a state", small, HALF, IN(3)),
};
static const tg_sample lstm_cell_samples[] = {
    SAMPLE("a batch", small, HALF, IN(3, 3), IN(3, 2), IN(3, 2)),
};
TG_SAMPLES(of_layers, samples)
TG_SAMPLES(of_lstm, lstm_samples)
TG_SAMPLES(of_cells, cell_samples)
TG_SAMPLES(of_lstm_cell, lstm_cell_samples)

static const char *const input_names[] = {"input", "hx", "lengths"}, *const lstm_names[] = {"input", "hx",
                                                                                            "cx", "lengths"};

#define CLASS(NAME, KIND, CELL, SPECS, N_IN, N_OUT, NAMES, FORWARD, SAMPLE_FN, DOC)                          \
    {                                                                                                        \
        {.struct_size = sizeof(tg_layer_class),                                                              \
         .flags = CELL ? 0 : TG_LAYER_RANDOM,                                                                \
         .name = NAME,                                                                                       \
         .attrs = SPECS,                                                                                     \
         .attrs_size = sizeof(options),                                                                      \
         .n_in = N_IN,                                                                                       \
         .n_out = N_OUT,                                                                                     \
         .optional = 0xe,                                                                                    \
         .in_names = NAMES,                                                                                  \
         .init = recurrent_init,                                                                             \
         .forward = {FORWARD, FORWARD},                                                                      \
         .samples = TG_PROOF(SAMPLE_FN),                                                                     \
         .doc = DOC},                                                                                        \
            KIND, CELL                                                                                       \
    }
#define LAYER(NAME, KIND, SPECS, N_IN, NAMES, SAMPLE_FN, DOC)                                                \
    CLASS(NAME, KIND, false, SPECS, N_IN, N_IN - 1, NAMES, recurrent_forward, SAMPLE_FN, DOC)
#define CELL(NAME, KIND, SPECS, N_IN, NAMES, SAMPLE_FN, DOC)                                                 \
    CLASS(NAME, KIND, true, SPECS, N_IN, N_IN - 1, NAMES, cell_forward, SAMPLE_FN, DOC)
static const recurrent rnn = LAYER("RNN", TG_RECURRENCE_TANH, rnn_specs, 3, input_names, of_layers,
                                   "h = tanh(W_ih·x + b_ih + W_hh·h + b_hh) at each step, or relu");
static const recurrent lstm = LAYER("LSTM", TG_RECURRENCE_LSTM, lstm_specs, 4, lstm_names, of_lstm,
                                    "at each step c = f·c + i·g, h = o·tanh(c), with gates of x and h");
static const recurrent gru = LAYER("GRU", TG_RECURRENCE_GRU, gru_specs, 3, input_names, of_layers,
                                   "at each step h = (1 − z)·n + z·h, with gates of x and h");
static const recurrent rnn_cell =
    CELL("RNNCell", TG_RECURRENCE_TANH, rnn_cell_specs, 2, input_names, of_cells, "one step of an RNN");
static const recurrent lstm_cell =
    CELL("LSTMCell", TG_RECURRENCE_LSTM, cell_specs, 3, lstm_names, of_lstm_cell, "one step of an LSTM");
static const recurrent gru_cell =
    CELL("GRUCell", TG_RECURRENCE_GRU, cell_specs, 2, input_names, of_cells, "one step of a GRU");

const tg_layer_class *const tg_layers_recurrent[] = {&rnn.cls,       &lstm.cls,     &gru.cls, &rnn_cell.cls,
                                                     &lstm_cell.cls, &gru_cell.cls, NULL};

tg_rnn_options tg_rnn_defaults(int64_t input_size, int64_t hidden_size)
{
    return (tg_rnn_options){.struct_size = sizeof(tg_rnn_options),
                            .input_size = input_size,
                            .hidden_size = hidden_size,
                            .num_layers = 1,
                            .bias = true};
}

static tg_module *make(tg_runtime *rt, const recurrent *row, const tg_rnn_options *given)
{
    tg_rnn_options known = tg_rnn_defaults(0, 0);
    return tg_options_read(row->cls.name, &known, sizeof known, given) ? NULL
                                                                       : tg_module_new(rt, &row->cls, &known);
}

static tg_module *make_short(tg_runtime *rt, const recurrent *row, int64_t input_size, int64_t hidden_size,
                             int64_t num_layers)
{
    tg_rnn_options o = tg_rnn_defaults(input_size, hidden_size);
    o.num_layers = num_layers;
    return tg_module_new(rt, &row->cls, &o);
}

tg_module *tg_nn_rnn_with(tg_runtime *rt, const tg_rnn_options *given)
{
    return make(rt, &rnn, given);
}

tg_module *tg_nn_lstm_with(tg_runtime *rt, const tg_rnn_options *given)
{
    return make(rt, &lstm, given);
}

tg_module *tg_nn_gru_with(tg_runtime *rt, const tg_rnn_options *given)
{
    return make(rt, &gru, given);
}

tg_module *tg_nn_rnn(tg_runtime *rt, int64_t input_size, int64_t hidden_size, int64_t num_layers)
{
    return make_short(rt, &rnn, input_size, hidden_size, num_layers);
}

tg_module *tg_nn_lstm(tg_runtime *rt, int64_t input_size, int64_t hidden_size, int64_t num_layers)
{
    return make_short(rt, &lstm, input_size, hidden_size, num_layers);
}

tg_module *tg_nn_gru(tg_runtime *rt, int64_t input_size, int64_t hidden_size, int64_t num_layers)
{
    return make_short(rt, &gru, input_size, hidden_size, num_layers);
}

tg_module *tg_nn_rnn_cell(tg_runtime *rt, int64_t input_size, int64_t hidden_size)
{
    return make_short(rt, &rnn_cell, input_size, hidden_size, 1);
}

tg_module *tg_nn_lstm_cell(tg_runtime *rt, int64_t input_size, int64_t hidden_size)
{
    return make_short(rt, &lstm_cell, input_size, hidden_size, 1);
}

tg_module *tg_nn_gru_cell(tg_runtime *rt, int64_t input_size, int64_t hidden_size)
{
    return make_short(rt, &gru_cell, input_size, hidden_size, 1);
}
