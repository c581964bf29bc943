/* What each layer's parameters begin with: torch.nn's distribution, its bounds and its moments. A registered class with a
 * parameter that no row below describes fails: add a row for it, with sizes that give a thousand values or more. */
#include "layers/rig.h"

typedef enum kind { CONSTANT, UNIFORM, NORMAL } kind;

/* A parameter by the end of its name: `of` is the constant, the bound or the deviation. */
typedef struct beginning {
    const char *end;
    kind kind;
    double of;
} beginning;

typedef struct made {
    const char *cls;
    tg_attr attrs[8];
    beginning parameters[16];
} made;

#define INT(NAME, VALUE) {NAME, TG_ATTR_INT, {.i = VALUE}}
#define YES(NAME) {NAME, TG_ATTR_BOOL, {.b = true}}
#define NONE {NULL, TG_ATTR_NONE, {.i = 0}}
#define ROOT(X) (1 / sqrt((double)(X)))
/* xavier_uniform_ */
#define XAVIER(IN, OUT) sqrt(6.0 / ((IN) + (OUT)))

#define CONV(CLASS, KERNEL, FAN_IN)                                                                          \
    {                                                                                                        \
        CLASS, {INT("in_channels", 24), INT("out_channels", 36), INT("kernel_size", KERNEL), INT("groups", 2)}, \
        {                                                                                                    \
            {"weight", UNIFORM, ROOT(FAN_IN)}, {"bias", UNIFORM, ROOT(FAN_IN)}                               \
        }                                                                                                    \
    }
#define NORM(CLASS, ...)                                                                                     \
    {                                                                                                        \
        CLASS, {__VA_ARGS__},                                                                                \
        {                                                                                                    \
            {"weight", CONSTANT, 1}, {"bias", CONSTANT, 0}                                                   \
        }                                                                                                    \
    }
/* Everything of a recurrent layer is within 1/√hidden_size. */
#define RECURRENT(CLASS)                                                                                     \
    {                                                                                                        \
        CLASS, {INT("input_size", 30), INT("hidden_size", 49)},                                              \
        {                                                                                                    \
            {"", UNIFORM, 1.0 / 7}                                                                           \
        }                                                                                                    \
    }
/* Attention of width 48, Linear layers 48 → 80 → 48; Transformer draws all matrices anew. */
#define LAYERS                                                                                               \
    INT("d_model", 48), INT("nhead", 4), INT("dim_feedforward", 80)
#define TRANSFORMER(CLASS, LINEAR1, LINEAR2, OUT, ...)                                                       \
    {                                                                                                        \
        CLASS, {__VA_ARGS__},                                                                                \
        {                                                                                                    \
            {"in_proj_weight", UNIFORM, XAVIER(48, 144)}, {"in_proj_bias", CONSTANT, 0},                     \
                {"out_proj.weight", UNIFORM, OUT}, {"out_proj.bias", CONSTANT, 0},                           \
                {"linear1.weight", UNIFORM, LINEAR1}, {"linear1.bias", UNIFORM, ROOT(48)},                   \
                {"linear2.weight", UNIFORM, LINEAR2}, {"linear2.bias", UNIFORM, ROOT(80)},                   \
                {"norm.weight", CONSTANT, 1}, {"norm.bias", CONSTANT, 0}, {"norm1.weight", CONSTANT, 1},     \
                {"norm1.bias", CONSTANT, 0}, {"norm2.weight", CONSTANT, 1}, {"norm2.bias", CONSTANT, 0},     \
                {"norm3.weight", CONSTANT, 1}, {"norm3.bias", CONSTANT, 0}                                   \
        }                                                                                                    \
    }
#define SHAPE(NAME, ...)                                                                                     \
    {                                                                                                        \
        NAME, TG_ATTR_INTS, { .ints = __VA_ARGS__ }                                                          \
    }

/* Several rows of one class are several ways to make it. */
static const made *rows(size_t *n)
{
    static made all[48];
    const made table[] = {
        {"Linear", {INT("in_features", 50), INT("out_features", 60)},
         {{"weight", UNIFORM, ROOT(50)}, {"bias", UNIFORM, ROOT(50)}}},
        {"Bilinear", {INT("in1_features", 20), INT("in2_features", 9), INT("out_features", 30)},
         {{"weight", UNIFORM, ROOT(20)}, {"bias", UNIFORM, ROOT(20)}}},
        {"Embedding", {INT("num_embeddings", 100), INT("embedding_dim", 40)}, {{"weight", NORMAL, 1}}},
        {"EmbeddingBag", {INT("num_embeddings", 100), INT("embedding_dim", 40)}, {{"weight", NORMAL, 1}}},
        CONV("Conv1d", 7, 12 * 7),
        CONV("Conv2d", 3, 12 * 9),
        CONV("Conv3d", 2, 12 * 8),
        /* kaiming_uniform_ takes weight's second dim for the inputs, which here are the outputs of a group. */
        CONV("ConvTranspose1d", 7, 18 * 7),
        CONV("ConvTranspose2d", 3, 18 * 9),
        CONV("ConvTranspose3d", 2, 18 * 8),
        {"PReLU", {INT("num_parameters", 5)}, {{"weight", CONSTANT, 0.25}}},
        NORM("BatchNorm1d", INT("num_features", 5)),
        NORM("BatchNorm2d", INT("num_features", 5)),
        NORM("BatchNorm3d", INT("num_features", 5)),
        NORM("GroupNorm", INT("num_groups", 2), INT("num_channels", 6)),
        NORM("InstanceNorm1d", INT("num_features", 5), YES("affine")),
        NORM("InstanceNorm2d", INT("num_features", 5), YES("affine")),
        NORM("InstanceNorm3d", INT("num_features", 5), YES("affine")),
        NORM("LayerNorm", SHAPE("normalized_shape", {2, {3, 4}})),
        NORM("RMSNorm", SHAPE("normalized_shape", {1, {6}})),
        {"MultiheadAttention", {INT("embed_dim", 48), INT("num_heads", 4)},
         {{"in_proj_weight", UNIFORM, XAVIER(48, 144)}, {"in_proj_bias", CONSTANT, 0},
          {"out_proj.weight", UNIFORM, ROOT(48)}, {"out_proj.bias", CONSTANT, 0}}},
        {"MultiheadAttention",
         {INT("embed_dim", 1200), INT("num_heads", 4), INT("kdim", 2), INT("vdim", 3), YES("add_bias_kv")},
         {{"q_proj_weight", UNIFORM, XAVIER(1200, 1200)}, {"k_proj_weight", UNIFORM, XAVIER(2, 1200)},
          {"v_proj_weight", UNIFORM, XAVIER(3, 1200)}, {"bias_k", NORMAL, ROOT(1200)}, {"bias_v", NORMAL, ROOT(1200)},
          {"in_proj_bias", CONSTANT, 0}, {"out_proj.weight", UNIFORM, ROOT(1200)}, {"out_proj.bias", CONSTANT, 0}}},
        TRANSFORMER("TransformerEncoderLayer", ROOT(48), ROOT(80), ROOT(48), LAYERS),
        TRANSFORMER("TransformerDecoderLayer", ROOT(48), ROOT(80), ROOT(48), LAYERS),
        TRANSFORMER("TransformerEncoder", ROOT(48), ROOT(80), ROOT(48), LAYERS, INT("num_layers", 2), YES("norm")),
        TRANSFORMER("TransformerDecoder", ROOT(48), ROOT(80), ROOT(48), LAYERS, INT("num_layers", 2), YES("norm")),
        TRANSFORMER("Transformer", XAVIER(48, 80), XAVIER(48, 80), XAVIER(48, 48), LAYERS, INT("num_encoder_layers", 1),
                    INT("num_decoder_layers", 1)),
        RECURRENT("RNN"),
        RECURRENT("LSTM"),
        RECURRENT("GRU"),
        RECURRENT("RNNCell"),
        RECURRENT("LSTMCell"),
        RECURRENT("GRUCell"),
    };
    *n = sizeof table / sizeof *table;
    ck_assert_uint_le(sizeof table, sizeof all);
    memcpy(all, table, sizeof table);
    return all;
}

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end) && (m == 0 || n == m || name[n - m - 1] == '.');
}

/* n independent values: their mean, their deviation, and how many are within one deviation, each within six of its own
 * deviations of what the distribution says. */
static void check_moments(const char *what, const beginning *b, const double *v, size_t n)
{
    const bool normal = b->kind == NORMAL;
    const double deviation = normal ? b->of : b->of / sqrt(3), within = normal ? 0.682689492 : 0.577350269;
    double sum = 0, squares = 0, most = 0, inside = 0;
    for (size_t i = 0; i < n; i++) {
        sum += v[i];
        squares += v[i] * v[i];
        most = fmax(most, fabs(v[i]));
        inside += fabs(v[i]) <= deviation;
    }
    const double root = sqrt((double)n), mean = sum / (double)n, square = squares / (double)n / deviation / deviation;
    ck_assert_msg(fabs(mean) <= 6 * deviation / root, "%s: mean %g of %zu, deviation %g", what, mean, n, deviation);
    ck_assert_msg(fabs(square - 1) <= 6 * sqrt(normal ? 2 : 0.8) / root, "%s: mean square %g of what it should be", what,
                  square);
    ck_assert_msg(fabs(inside / (double)n - within) <= 6 * sqrt(within * (1 - within)) / root,
                  "%s: %g of the values are within one deviation, expected %g", what, inside / (double)n, within);
    ck_assert_msg(most <= (normal ? 7 * deviation : b->of * (1 + 1e-12)), "%s: %g is beyond the bound %g", what, most, b->of);
    ck_assert_msg(most >= (normal ? deviation : b->of) * (1 - 40 / (double)n), "%s: %g is the greatest, the bound %g", what,
                  most, b->of);
}

static void check_parameter(const made *row, const char *name, const tg_tensor *t)
{
    const beginning *b = row->parameters;
    while (b->end && !ends_with(name, b->end))
        b++;
    ck_assert_msg(b->end != NULL, "%s.%s: no row of this test says what it begins with; add {\"%s\", kind, number}", row->cls,
                  name, name);
    char what[192];
    snprintf(what, sizeof what, "%s.%s", row->cls, name);
    const size_t n = (size_t)tg_tensor_count(t);
    double *v = malloc(n * sizeof *v);
    get(t, v, n);
    ck_assert_msg(tg_tensor_requires_grad(t), "%s wants no gradient", what);
    if (b->kind == CONSTANT)
        for (size_t i = 0; i < n; i++)
            ck_assert_msg(v[i] == b->of, "%s: element %zu is %g, expected %g", what, i, v[i], b->of);
    else
        check_moments(what, b, v, n);
    free(v);
}

static void check_class(const made *row)
{
    size_t n = 0;
    while (n < 8 && row->attrs[n].name)
        n++;
    tg_module *m = tg_module_create(rt, row->cls, row->attrs, n);
    ck_assert_msg(m != NULL, "%s: %s", row->cls, tg_error_message());
    const tg_named_tensors *p = tg_module_parameters(m);
    ck_assert_uint_gt(p->n, 0);
    for (size_t i = 0; i < p->n; i++)
        check_parameter(row, p->name[i], p->tensor[i]);
    tg_module_destroy(m);
}

START_TEST(parameters_begin_as_in_torch)
{
    size_t n, found = 0;
    const made *all = rows(&n);
    for (size_t i = 0; i < n; i++)
        if (tg_layer_find(rt, all[i].cls)) {
            check_class(&all[i]);
            found++;
        }
    ck_assert_uint_ge(found, 27);
}
END_TEST

/* A class has parameters if one of its samples' modules has. */
static bool has_parameters(const tg_layer_class *cls)
{
    size_t n = 0;
    const tg_sample *samples = tg_layer_samples(cls, &n);
    bool has = false;
    for (size_t i = 0; i < n && !has; i++) {
        tg_module *m = tg_module_new(rt, cls, samples[i].attrs);
        ck_assert_msg(m != NULL, "%s: %s", cls->name, tg_error_message());
        has = tg_module_parameters(m)->n > 0;
        tg_module_destroy(m);
    }
    return has;
}

START_TEST(no_class_is_left_out)
{
    const tg_layer_class *all[512];
    size_t n_rows, n = tg_layer_list(rt, all, 512);
    const made *table = rows(&n_rows);
    ck_assert_uint_le(n, 512);
    for (size_t i = 0; i < n; i++) {
        bool listed = !has_parameters(all[i]);
        for (size_t k = 0; k < n_rows; k++)
            listed = listed || !strcmp(table[k].cls, all[i]->name);
        ck_assert_msg(listed,
                      "%s has parameters, and no row of this test says what they begin with: add {\"%s\", {its arguments}, "
                      "{{\"weight\", UNIFORM, its bound}, …}} to the table of tests/layers/test_init.c",
                      all[i]->name, all[i]->name);
    }
}
END_TEST

START_TEST(the_padding_row_is_zero)
{
    static double v[100][40];
    for (int from_end = 0; from_end < 2; from_end++) {
        const tg_attr attrs[] = {INT("num_embeddings", 100), INT("embedding_dim", 40), INT("padding_idx", from_end ? -98 : 2)};
        tg_module *m = tg_module_create(rt, from_end ? "EmbeddingBag" : "Embedding", attrs, 3);
        ck_assert_msg(m != NULL, "%s", tg_error_message());
        get(tg_module_tensor(m, "weight"), v[0], 4000);
        for (int i = 0; i < 100; i++)
            for (int j = 0; j < 40; j++)
                ck_assert((v[i][j] == 0) == (i == 2));
        tg_module_destroy(m);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("initialisation");
    TCase *c = tcase_create("initialisation");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_test(c, parameters_begin_as_in_torch);
    tcase_add_test(c, no_class_is_left_out);
    tcase_add_test(c, the_padding_row_is_zero);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
