/* Attention and the Transformer: masks, weights, dropout, what is refused. The golden cases have the values.
 */
#include <tapegrad/hooks.h>

#include "layers/rig.h"

enum { N = 2, L = 3, S = 4, E = 6, H = 2 };

static tg_module *made(tg_module *m)
{
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    return m;
}

static int64_t numel(const tg_tensor *x)
{
    tg_desc d;
    int64_t n = 1;
    ck_assert_int_eq(tg_tensor_desc(x, &d), TG_OK);
    for (int i = 0; i < d.ndim; i++)
        n *= d.dim[i];
    return n;
}

static tg_multihead_attention_options plain(void)
{
    tg_multihead_attention_options o = tg_multihead_attention_defaults(E, H);
    o.batch_first = true;
    return o;
}

static tg_module *attention(const tg_multihead_attention_options *o)
{
    tg_module *m = made(tg_nn_multihead_attention_with(rt, o));
    const tg_named_tensors *p = tg_module_parameters(m);
    for (size_t i = 0; i < p->n; i++)
        ck_assert_int_eq(tg_init_uniform(p->tensor[i], -1, 1), TG_OK);
    return m;
}

/* One with m's parameters. */
static tg_module *twin(tg_module *m, const tg_multihead_attention_options *o)
{
    tg_module *t = made(tg_nn_multihead_attention_with(rt, o));
    const tg_named_tensors *from = tg_module_parameters(m), *to = tg_module_parameters(t);
    for (size_t i = 0; i < from->n; i++) {
        double v[3 * E * E];
        const size_t n = (size_t)numel(from->tensor[i]);
        get(from->tensor[i], v, n);
        put(to->tensor[i], v, n);
    }
    return t;
}

/* in: query, key, value, key_padding_mask, attn_mask. */
static tg_tensor *call(tg_module *m, tg_tensor *const in[5], tg_tensor **weights)
{
    tg_tensor *out[2] = {NULL, NULL};
    ck_assert_msg(tg_forward_n(tape, m, in, 5, out, weights ? 2 : 1) == TG_OK, "%s", tg_tape_error(tape));
    if (weights)
        *weights = out[1];
    return out[0];
}

static tg_tensor *bools(const int64_t *dims, size_t ndim, const bool *values)
{
    tg_tensor *x = tg_input(tape, TG_BOOL, dims, ndim, values);
    ck_assert_msg(x != NULL, "%s", tg_tape_error(tape));
    return x;
}

static void same(tg_tensor *a, tg_tensor *b)
{
    static double x[4096], y[4096];
    const size_t n = (size_t)numel(a);
    ck_assert_uint_le(n, 4096);
    ck_assert_int_eq(numel(b), (int64_t)n);
    get(a, x, n);
    get(b, y, n);
    near_to(x, y, n, 1e-12);
}

/* The gradients of Σ y·y by query, key, value. */
static void gradients(tg_tensor *y, tg_tensor *const in[], tg_tensor *out[3])
{
    tg_tensor *loss = tg_sum(tape, tg_mul(tape, y, y));
    ck_assert_msg(tg_grad(tape, loss, NULL, in, 3, out, TG_RETAIN) == TG_OK, "%s", tg_tape_error(tape));
}

START_TEST(state_and_initialisation)
{
    const struct {
        tg_module *m;
        const char *names;
    } all[] = {
        {made(tg_nn_multihead_attention(rt, E, H)),
         "in_proj_weight in_proj_bias out_proj.weight out_proj.bias "},
        {made(tg_module_create(rt, "MultiheadAttention",
                               (tg_attr[]){{"embed_dim", TG_ATTR_INT, {.i = E}},
                                           {"num_heads", TG_ATTR_INT, {.i = H}},
                                           {"kdim", TG_ATTR_INT, {.i = 5}},
                                           {"add_bias_kv", TG_ATTR_BOOL, {.b = true}}},
                               4)),
         "q_proj_weight k_proj_weight v_proj_weight in_proj_bias bias_k bias_v out_proj.weight "
         "out_proj.bias "},
    };
    for (size_t i = 0; i < 2; i++) {
        char names[256] = "";
        const tg_named_tensors *p = tg_module_parameters(all[i].m);
        for (size_t k = 0; k < p->n; k++) {
            double v[3 * E * E], bound = 0, sum = 0;
            const size_t n = (size_t)numel(p->tensor[k]);
            strcat(strcat(names, p->name[k]), " ");
            get(p->tensor[k], v, n);
            for (size_t j = 0; j < n; j++) {
                bound = fmax(bound, fabs(v[j]));
                sum += v[j];
            }
            if (strstr(p->name[k], "bias") && !strstr(p->name[k], "bias_"))
                ck_assert_double_eq(bound, 0);
            else
                ck_assert_double_ne(sum, 0);
            if (!strcmp(p->name[k], "in_proj_weight")) /* √(6/(3E + E)) */
                ck_assert_msg(bound < 0.5 && bound > 0.45, "%g", bound);
            if (!strcmp(p->name[k], "k_proj_weight"))
                ck_assert_msg(bound < sqrt(6.0 / 11) && bound > 0.65, "%g", bound);
        }
        ck_assert_str_eq(names, all[i].names);
        tg_module_destroy(all[i].m);
    }
    tg_transformer_options o = tg_transformer_defaults(8, 2);
    o.dim_feedforward = 40;
    o.num_encoder_layers = o.num_decoder_layers = 2;
    tg_module *t = made(tg_nn_transformer(rt, &o));
    double v[320], w[320], bound = 0;
    get(tg_module_tensor(t, "decoder.layers.1.linear1.weight"), v, 320);
    get(tg_module_tensor(t, "decoder.layers.0.linear1.weight"), w, 320);
    for (size_t i = 0; i < 320; i++)
        bound = fmax(bound, fabs(v[i])); /* √(6/48), and not Linear's √(1/8) */
    ck_assert_msg(bound < sqrt(6.0 / 48) && bound > 0.34, "%g", bound);
    ck_assert_msg(memcmp(v, w, sizeof v) != 0, "two layers have the same weights");
    ck_assert_ptr_nonnull(tg_module_tensor(t, "encoder.norm.weight"));
    ck_assert_ptr_nonnull(tg_module_tensor(t, "decoder.layers.1.multihead_attn.in_proj_weight"));
    tg_module_destroy(t);
}
END_TEST

/* Every way to say the same, with the weights asked for and without, forth and back. */
START_TEST(masks_agree)
{
    const bool padding[N * L] = {0, 0, 1, 0, 0, 0}, later[L * L] = {0, 1, 1, 0, 0, 1, 0, 0, 0};
    bool heads[N * H][L][L];
    for (int i = 0; i < N * H; i++)
        memcpy(heads[i], later, sizeof later);
    tg_multihead_attention_options o = plain();
    tg_module *m = attention(&o);
    o.is_causal = true;
    tg_module *c = twin(m, &o);
    tg_tensor *pad = bools(DIMS(N, L), padding), *w = NULL;
    for (int padded = 0; padded < 2; padded++) {
        tg_tensor *x = noisy(1, DIMS(N, L, E)), *want[3], *got[3];
        tg_tensor *in[5] = {x, x, x, padded ? pad : NULL, tg_causal_mask(tape, L)};
        tg_tensor *y = call(m, in, NULL);
        gradients(y, in, want);
        for (int which = 0; which < 5; which++) {
            in[4] = which == 0   ? bools(DIMS(L, L), later)
                    : which == 1 ? bools(DIMS(N * H, L, L), &heads[0][0][0])
                    : which == 4 ? tg_causal_mask(tape, L)
                                 : NULL;
            tg_tensor *z = call(which == 2 || which == 3 ? c : m, in, which > 2 ? &w : NULL);
            same(z, y);
            gradients(z, in, got);
            same(got[0], want[0]);
        }
        double v[N * L * L];
        get(w, v, sizeof v / sizeof *v);
        for (int i = 0; i < N * L; i++)
            ck_assert_double_eq_tol(v[i * L] + v[i * L + 1] + v[i * L + 2], 1, 1e-12);
        ck_assert_double_eq(v[1], 0);
        if (padded)
            ck_assert_double_eq(v[8], 0);
    }
    tg_module_destroy(m);
    tg_module_destroy(c);
}
END_TEST

START_TEST(layouts_agree)
{
    tg_multihead_attention_options o = plain();
    tg_module *m = attention(&o);
    tg_tensor *q = noisy(1, DIMS(N, L, E)), *k = noisy(2, DIMS(N, S, E)), *w, *w1, *y1;
    tg_tensor *y = call(m, (tg_tensor *[5]){q, k, k}, &w);
    for (int i = 0; i < N; i++) {
        tg_tensor *one = tg_select(tape, k, 0, i);
        y1 = call(m, (tg_tensor *[5]){tg_select(tape, q, 0, i), one, one}, &w1);
        same(y1, tg_select(tape, y, 0, i));
        same(w1, tg_select(tape, w, 0, i));
        ck_assert_int_eq(tg_tensor_ndim(w1), 2);
    }
    same(call(m, (tg_tensor *[5]){q, k, tg_clone(tape, k)}, NULL), y);
    same(call(m, (tg_tensor *[5]){q}, NULL), call(m, (tg_tensor *[5]){q, q, tg_clone(tape, q)}, NULL));
    o.batch_first = false;
    tg_module *t = twin(m, &o);
    tg_tensor *kt = tg_transpose(tape, k, 0, 1);
    y1 = call(t, (tg_tensor *[5]){tg_transpose(tape, q, 0, 1), kt, kt}, &w1);
    same(tg_contiguous(tape, tg_transpose(tape, y1, 0, 1)), y);
    same(w1, w);
    tg_module_destroy(t);
    o.average_attn_weights = false;
    t = twin(m, &o);
    call(t, (tg_tensor *[5]){tg_transpose(tape, q, 0, 1), kt, kt}, &w1);
    ck_assert_int_eq(tg_tensor_ndim(w1), 4);
    same(tg_mean_dims(tape, w1, (int64_t[]){1}, 1, false), w);
    tg_module_destroy(t);
    tg_module_destroy(m);
}
END_TEST

/* A query without keys: 0 for its mean of values where the weights are not asked for, NaN where they are. */
START_TEST(all_keys_masked)
{
    const bool padding[N * S] = {1, 1, 1, 1, 0, 0, 0, 1};
    const tg_multihead_attention_options o = plain();
    tg_module *m = attention(&o);
    tg_tensor *q = noisy(1, DIMS(N, L, E)), *k = noisy(2, DIMS(N, S, E)), *w, *g[3];
    tg_tensor *in[5] = {q, k, k, bools(DIMS(N, S), padding)};
    double v[N * L * E], bias[E];
    get(tg_module_tensor(m, "out_proj.bias"), bias, E);
    tg_tensor *y = call(m, in, NULL);
    get(y, v, N * L * E);
    near_to(v, bias, E, 0);
    gradients(y, in, g);
    for (int i = 0; i < 2; i++) {
        double gx[N * S * E];
        const size_t n = (size_t)numel(g[i]);
        get(g[i], gx, n);
        for (size_t j = 0; j < n; j++)
            ck_assert_msg(j < n / 2 ? gx[j] == 0 : isfinite(gx[j]), "gradient %d, element %zu: %g", i, j,
                          gx[j]);
    }
    get(call(m, in, &w), v, N * L * E);
    ck_assert(isnan(v[0]) && isnan(v[L * E - 1]) && isfinite(v[L * E]));
    get(w, v, N * L * S);
    ck_assert(isnan(v[0]) && v[L * S + 3] == 0);
    tg_module_destroy(m);
}
END_TEST

typedef struct look {
    int calls, backward_calls;
    bool has_weights, has_gradient_of_weights;
} look;

static tg_status look_on(void *arg, tg_module *m, tg_tape *t, tg_tensor *const x[], size_t n_in, tg_tensor *y[],
                         size_t n_out)
{
    look *l = arg;
    (void)m, (void)t, (void)x;
    ck_assert(n_in == 5 && n_out == 2 && y[0]);
    l->calls++;
    l->has_weights = y[1] != NULL;
    return TG_OK;
}

static tg_status look_back(void *arg, tg_module *m, tg_tape *t, tg_tensor *gx[], size_t n_in, tg_tensor *const gy[],
                           size_t n_out)
{
    look *l = arg;
    (void)m, (void)t, (void)gx;
    ck_assert(n_in == 5 && n_out == 2 && (gy[0] || gy[1]));
    l->backward_calls++;
    l->has_gradient_of_weights = gy[1] != NULL;
    return TG_OK;
}

static tg_status look_back_first(void *arg, tg_module *m, tg_tape *t, tg_tensor *gy[], size_t n_out)
{
    return look_back(arg, m, t, NULL, 5, gy, n_out);
}

/* What is computed does not depend on who looks: no second output, by which a query without a key would have NaN. */
START_TEST(a_hook_changes_nothing)
{
    const bool padding[N * S] = {1, 1, 1, 1, 0, 0, 0, 1};
    const tg_multihead_attention_options o = plain();
    tg_module *m = attention(&o);
    tg_tensor *q = noisy(1, DIMS(N, L, E)), *k = noisy(2, DIMS(N, S, E)), *w = NULL, *g[3];
    tg_tensor *in[5] = {q, k, k, bools(DIMS(N, S), padding)};
    double y[3][N * L * E], gx[3][2][N * S * E];
    look l = {0};
    for (int round = 0; round < 3; round++) {
        if (round == 1)
            ck_assert(tg_module_register_forward_hook(m, look_on, &l) != 0);
        if (round == 2)
            ck_assert(tg_module_register_full_backward_pre_hook(m, look_back_first, &l) &&
                      tg_module_register_full_backward_hook(m, look_back, &l));
        tg_tensor *out = call(m, in, NULL);
        get(out, y[round], N * L * E);
        gradients(out, in, g);
        for (int i = 0; i < 2; i++) {
            const size_t n = (size_t)numel(g[i]);
            get(g[i], gx[round][i], n);
            if (round == 1)
                ck_assert_mem_eq(gx[1][i], gx[0][i], n * sizeof(double));
            else /* what is key and value is told of both */
                near_to(gx[round][i], gx[0][i], n, 1e-12);
        }
        if (round < 2)
            ck_assert_mem_eq(y[round], y[0], sizeof y[0]);
        else /* whose node takes key and value apart: two products, where a backend may round otherwise than in one */
            near_to(y[round], y[0], N * L * E, 1e-12);
    }
    ck_assert(l.calls == 2 && l.backward_calls == 2 && !l.has_weights && !l.has_gradient_of_weights);
    in[3] = NULL;
    call(m, in, &w);
    ck_assert(l.calls == 3 && l.has_weights && w);
    gradients(w, in, g);
    ck_assert(l.backward_calls == 4 && l.has_gradient_of_weights);
    tg_module_destroy(m);
}
END_TEST

START_TEST(dropout_in_train_mode_alone)
{
    tg_multihead_attention_options o = plain();
    o.dropout = 1;
    tg_module *m = attention(&o);
    tg_tensor *x = noisy(1, DIMS(N, L, E)), *in[5] = {x, x, x}, *w;
    double v[N * L * E], bias[E];
    get(tg_module_tensor(m, "out_proj.bias"), bias, E);
    for (int weights = 0; weights < 2; weights++) {
        get(call(m, in, weights ? &w : NULL), v, N * L * E);
        for (int i = 0; i < N * L; i++)
            near_to(v + i * E, bias, E, 0);
    }
    tg_module_eval(m);
    const tg_random_state before = tg_tape_random_state(tape);
    same(call(m, in, NULL), call(m, in, &w));
    get(call(m, in, NULL), v, N * L * E);
    ck_assert_double_ne(v[0], bias[0]);
    ck_assert(same_state(before, tg_tape_random_state(tape)));
    tg_module_destroy(m);

    tg_transformer_options t = tg_transformer_defaults(E, H);
    t.dim_feedforward = 5;
    t.dropout = 0.5;
    m = made(tg_nn_transformer_encoder_layer(rt, &t));
    double a[N * L * E], b[N * L * E];
    tg_module_eval(m);
    get(tg_forward(tape, m, x), a, N * L * E);
    get(tg_forward(tape, m, x), b, N * L * E);
    ck_assert(memcmp(a, b, sizeof a) == 0 && same_state(before, tg_tape_random_state(tape)));
    tg_module_train(m);
    get(tg_forward(tape, m, x), b, N * L * E);
    ck_assert(memcmp(a, b, sizeof a) != 0);
    get(tg_forward(tape, m, x), a, N * L * E);
    ck_assert(memcmp(a, b, sizeof a) != 0);
    tg_module_destroy(m);
}
END_TEST

/* What comes later changes nothing before it, in a stack, in both its modes. */
START_TEST(causal_stacks_do_not_look_ahead)
{
    tg_transformer_options o = tg_transformer_defaults(E, H);
    o.dim_feedforward = 5;
    o.num_layers = 2;
    o.batch_first = o.norm = o.src_is_causal = o.tgt_is_causal = true;
    o.dropout = 0;
    double x[L * E], a[L * E], b[L * E];
    for (size_t i = 0; i < L * E; i++)
        x[i] = noise(5, i);
    for (int decodes = 0; decodes < 2; decodes++) {
        tg_module *m = made(decodes ? tg_nn_transformer_decoder(rt, &o) : tg_nn_transformer_encoder(rt, &o));
        tg_module *in_a_row = made(tg_nn_sequential_n(rt, NULL, 0));
        tg_tensor *memory = noisy(3, DIMS(1, S, E)), *y;
        for (int changed = 0; changed < 2; changed++) {
            x[(L - 1) * E] += changed;
            tg_tensor *in[] = {input(DIMS(1, L, E), x), memory};
            ck_assert_int_eq(tg_forward_n(tape, m, in, decodes ? 2 : 1, &y, 1), TG_OK);
            get(y, changed ? b : a, L * E);
        }
        ck_assert(memcmp(a, b, (L - 1) * E * sizeof *a) == 0 && a[(L - 1) * E] != b[(L - 1) * E]);
        const tg_status status = tg_nn_sequential_append(in_a_row, NULL, m);
        ck_assert_int_eq(status, decodes ? TG_EINVAL : TG_OK);
        if (!decodes)
            same(tg_forward(tape, in_a_row, input(DIMS(1, L, E), x)), y);
        tg_module_destroy(in_a_row);
    }
}
END_TEST

static void refused(tg_module *m, tg_tensor *const in[], size_t n, tg_status status, const char *text)
{
    tg_tensor *y;
    ck_assert_int_eq(tg_forward_n(tape, m, in, n, &y, 1), status);
    tape_failed_with(status, text);
}

START_TEST(refusals)
{
    tg_transformer_options o = tg_transformer_defaults(E, H);
    o.dim_feedforward = 5;
    o.num_encoder_layers = o.num_decoder_layers = 1;
    o.batch_first = true;
    tg_module *t = made(tg_nn_transformer(rt, &o)), *m = tg_module_find(t, "decoder.layers.0.multihead_attn");
    const bool zeros[64] = {0};
    tg_tensor *x = noisy(1, DIMS(N, L, E)), *k = noisy(2, DIMS(N, S, E));
    tg_tensor *five = noisy(3, DIMS(N, L, 5)), *flat = noisy(4, DIMS(L, E)), *three = noisy(5, DIMS(3, S, E));
    static const char who[] = "decoder.layers.0.multihead_attn (MultiheadAttention): ";
    const struct {
        tg_tensor *in[5];
        tg_status status;
        const char *text;
    } bad[] = {
        {{five, x, x}, TG_ESHAPE, "query is f64[2, 3, 5], expected 6 in the last dim"},
        {{x, five, x}, TG_ESHAPE, "key is f64[2, 3, 5], expected 6 in the last dim"},
        {{noisy(6, DIMS(E)), x, x}, TG_ESHAPE, "query is f64[6], expected two dims, or three with a batch"},
        {{x, flat, flat}, TG_ESHAPE, "key is f64[3, 6], expected as many dims as query has"},
        {{x, three, three}, TG_ESHAPE, "key is f64[3, 4, 6], expected query's batch"},
        {{x, x, k}, TG_ESHAPE, "value is f64[2, 4, 6], expected as many rows as key has"},
        {{x, k, k, bools(DIMS(S), zeros)},
         TG_ESHAPE,
         "key_padding_mask is bool[4], expected f64[2, 4] or bool"},
        {{x, k, k, NULL, bools(DIMS(L, L), zeros)},
         TG_ESHAPE,
         "attn_mask is bool[3, 3], expected f64[3, 4] or bool"},
        {{x, k, k, NULL, bools(DIMS(N, L, S), zeros)},
         TG_ESHAPE,
         "attn_mask is bool[2, 3, 4], expected f64[4, 3, 4]"},
        {{x, k, k, NULL, tg_full(tape, TG_I64, DIMS(L, S), 0)},
         TG_EDTYPE,
         "attn_mask is i64[3, 4], expected f64"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refused(m, bad[i].in, 5, bad[i].status, bad[i].text);
        refused(m, bad[i].in, 5, bad[i].status, who);
    }
    refused(t, (tg_tensor *[]){x, three}, 2, TG_ESHAPE,
            "Transformer: src is f64[2, 3, 6] and tgt f64[3, 4, 6]");
    refused(t, (tg_tensor *[]){x, x, bools(DIMS(S, S), zeros)}, 3, TG_ESHAPE,
            "encoder.layers.0.self_attn (MultiheadAttention): attn_mask is bool[4, 4]");
    refused(tg_module_find(t, "encoder.layers.0"), (tg_tensor *[]){five}, 1, TG_ESHAPE,
            "encoder.layers.0 (TransformerEncoderLayer): src is f64[2, 3, 5], expected two or three dims, 6 "
            "in the last");
    tg_module_destroy(t);
    ck_assert_ptr_null(tg_causal_mask(tape, -1));
    tg_tape_clear_error(tape);

    ck_assert_ptr_null(tg_nn_multihead_attention(rt, 5, 2));
    failed_with(TG_EINVAL, TG_EINVAL, "MultiheadAttention: embed_dim 5 is not divisible by num_heads 2");
    ck_assert_ptr_null(tg_nn_multihead_attention(rt, 0, 2));
    failed_with(TG_EINVAL, TG_EINVAL, "embed_dim 0 and num_heads 2");
    o.activation = 2;
    ck_assert_ptr_null(tg_nn_transformer_encoder_layer(rt, &o));
    failed_with(TG_EINVAL, TG_EINVAL, "TransformerEncoderLayer: activation is 2, expected relu");
    o.activation = TG_TRANSFORMER_GELU;
    o.dropout = NAN;
    o.num_layers = 1;
    ck_assert_ptr_null(tg_nn_transformer_decoder(rt, &o));
    failed_with(TG_EINVAL, TG_EINVAL, "TransformerDecoder: dropout");
    o.dropout = 0;
    o.num_decoder_layers = -1;
    ck_assert_ptr_null(tg_nn_transformer(rt, &o));
    failed_with(TG_EINVAL, TG_EINVAL, "Transformer: num_decoder_layers is -1, expected 0 to 10000");
}
END_TEST

/* The three numbers of layers are in one struct: one that is set in another's place is no number of layers. */
START_TEST(numbers_of_layers)
{
    tg_module *(*const make[])(tg_runtime *, const tg_transformer_options *) = {
        tg_nn_transformer_encoder, tg_nn_transformer_decoder, tg_nn_transformer};
    for (int k = 0; k < 3; k++) {
        tg_transformer_options o = tg_transformer_defaults(E, H);
        int64_t *const right = k < 2 ? &o.num_layers : &o.num_decoder_layers,
                       *const wrong = k < 2 ? &o.num_encoder_layers : &o.num_layers;
        o.dim_feedforward = 5;
        *wrong = 2;
        ck_assert_ptr_null(make[k](rt, &o));
        failed_with(TG_EINVAL, TG_EINVAL, k < 2 ? "num_encoder_layers is set, which is another class's"
                                                : "num_layers is set, which is another class's");
        *right = 1; /* one struct for several */
        tg_module_destroy(made(make[k](rt, &o)));
        *right = 1000000000000; /* as many would be made until the memory ends */
        ck_assert_ptr_null(make[k](rt, &o));
        failed_with(TG_EINVAL, TG_EINVAL, "layers is 1000000000000, expected 0 to 10000");
    }
}
END_TEST

static tg_module *transformer_of(bool norm_first)
{
    tg_transformer_options o = tg_transformer_defaults(E, H);
    o.dim_feedforward = 5;
    o.num_encoder_layers = o.num_decoder_layers = 2;
    o.batch_first = true;
    o.norm_first = norm_first;
    return tg_nn_transformer(rt, &o);
}

/* Steps of train and eval mode, with masks and without, in turn; of attention without its weights and with them. */
START_TEST(no_allocation_from_the_second_step_on)
{
    tg_module *m = made(_i < 2 ? tg_nn_multihead_attention(rt, E, H) : transformer_of(_i == 3));
    const bool is_transformer = _i > 1;
    const bool none[N * S] = {false};
    long before = 0;
    for (int step = 0; step < 4; step++) {
        for (int turn = 0; turn < 4; turn++) {
            const bool train = turn % 2, masked = turn / 2;
            tg_module_set_mode(m, train ? TG_TRAIN : TG_EVAL);
            tg_tensor *x = noisy(1, DIMS(N, S, E)), *padding = masked ? bools(DIMS(N, S), none) : NULL, *y[2] = {NULL};
            tg_tensor *mask = masked ? tg_causal_mask(tape, is_transformer ? S : N) : NULL;
            tg_tensor *const of_attention[] = {x, NULL, NULL, masked ? bools(DIMS(S, N), none) : NULL, mask},
                             *const of_both[] = {x, x, mask, mask, NULL, padding, padding, padding};
            tg_status status = is_transformer ? tg_forward_n(tape, m, of_both, 8, y, 1)
                                              : tg_forward_n(tape, m, of_attention, 5, y, 1 + (size_t)_i);
            tg_tensor *sum = tg_sum(tape, y[0]);
            if (!status && train)
                status = tg_backward(tape, y[1] ? tg_add(tape, sum, tg_sum(tape, y[1])) : sum);
            ck_assert_msg(status == TG_OK, "%s", tg_tape_error(tape));
            for (size_t i = 0; i < tg_module_parameters(m)->n; i++)
                tg_tensor_zero_grad(tg_module_parameters(m)->tensor[i]);
            tg_tape_reset(tape);
        }
        if (step == 1)
            before = rig_calls;
    }
    ck_assert_int_eq(rig_calls, before);
    tg_module_destroy(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("attention");
    TCase *t = tcase_create("attention");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, state_and_initialisation);
    tcase_add_test(t, masks_agree);
    tcase_add_test(t, layouts_agree);
    tcase_add_test(t, all_keys_masked);
    tcase_add_test(t, a_hook_changes_nothing);
    tcase_add_test(t, dropout_in_train_mode_alone);
    tcase_add_test(t, causal_stacks_do_not_look_ahead);
    tcase_add_test(t, refusals);
    tcase_add_test(t, numbers_of_layers);
    tcase_add_loop_test(t, no_allocation_from_the_second_step_on, 0, 4);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
