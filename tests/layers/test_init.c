/* What each layer's parameters begin with: bounds and moments of the distribution that the samples in its own file name
 * (`begins`, operator.h), from torch.nn's documentation. A class whose parameters no sample names fails. */
#include "layers/rig.h"

#include <stdarg.h>
#include <stdio.h>

typedef enum kind { CONSTANT, UNIFORM, NORMAL } kind;

typedef struct beginning {
    char end[48]; /* of the name; * of any */
    kind kind;
    double of; /* the constant, the bound or the deviation */
} beginning;

/* What is wrong, empty while nothing is. */
static char wrong[512];

static bool mismatch(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!*wrong)
        vsnprintf(wrong, sizeof wrong, format, args);
    va_end(args);
    return false;
}

/* -- the text -------------------------------------------------------------------------------------------- */

static bool read_number(const char **text, double *out)
{
    const bool root = strncmp(*text, "sqrt(", 5) == 0;
    char *end;
    *out = strtod(*text + (root ? 5 : 0), &end);
    if (*end == '/')
        *out /= strtod(end + 1, &end);
    *out = root ? sqrt(*out) : *out;
    if (end == *text || isnan(*out) || (root && *end++ != ')'))
        return mismatch("no number: '%s'", *text);
    *text = end;
    return true;
}

/* "weight uniform sqrt(1/20), bias constant 0" */
static bool read_beginnings(const char *text, beginning *out, size_t capacity, size_t *n)
{
    static const char *const words[] = {"constant", "uniform", "normal"};
    for (*n = 0; *text; (*n)++) {
        char word[16];
        int length = 0;
        if (*n == capacity || sscanf(text, "%47[^ ] %15[a-z] %n", out[*n].end, word, &length) != 2 || !length)
            return mismatch("no name and distribution: '%s'", text);
        text += length;
        int which = 0;
        while (which < 3 && strcmp(words[which], word))
            which++;
        if (which == 3)
            return mismatch("'%s' is neither constant nor uniform nor normal", word);
        out[*n].kind = (kind)which;
        if (!read_number(&text, &out[*n].of))
            return false;
        if (*text && strncmp(text, ", ", 2))
            return mismatch("no comma: '%s'", text);
        text += *text ? 2 : 0;
    }
    return *n > 0 || mismatch("nothing is said");
}

static const beginning *beginning_of(const char *name, const beginning *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t l = strlen(name), m = strlen(all[i].end);
        const bool ends = l >= m && !strcmp(name + l - m, all[i].end) && (l == m || name[l - m - 1] == '.');
        if (ends || !strcmp(all[i].end, "*"))
            return &all[i];
    }
    return NULL;
}

/* -- the values ------------------------------------------------------------------------------------------ */

/* n independent values: their mean, their deviation, and how many are within one deviation, each within six of its own
 * deviations of what the distribution says. */
static bool has_moments(const char *what, const beginning *b, const double *v, size_t n)
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
    if (!(fabs(mean) <= 6 * deviation / root))
        return mismatch("%s: mean %g of %zu, deviation %g", what, mean, n, deviation);
    if (!(fabs(square - 1) <= 6 * sqrt(normal ? 2 : 0.8) / root))
        return mismatch("%s: mean square %g of what it should be", what, square);
    if (!(fabs(inside / (double)n - within) <= 6 * sqrt(within * (1 - within)) / root))
        return mismatch("%s: %g of the values are within one deviation, expected %g", what, inside / (double)n, within);
    if (!(most <= (normal ? 7 * deviation : b->of * (1 + 1e-12))))
        return mismatch("%s: %g is beyond the bound %g", what, most, b->of);
    if (!(most >= (normal ? deviation : b->of) * (1 - 40 / (double)n)))
        return mismatch("%s: %g is the greatest, the bound %g", what, most, b->of);
    return true;
}

static bool begins_as(const char *what, const beginning *b, const double *v, size_t n)
{
    if (b->kind != CONSTANT)
        return has_moments(what, b, v, n);
    for (size_t i = 0; i < n; i++)
        if (v[i] != b->of)
            return mismatch("%s: %g, expected %g", what, v[i], b->of);
    return true;
}

/* A small sample is made often enough for so many values of each parameter: what is the same each time fails, too. */
enum { VALUES = 4000 };

/* The k-th parameter of as many modules as are needed. */
static bool check_parameter(const tg_layer_class *cls, const tg_sample *sample, tg_module *const made[], size_t n_made,
                            size_t k, const beginning *all, size_t n_all)
{
    const tg_named_tensors *p = tg_module_parameters(made[0]);
    const beginning *b = beginning_of(p->name[k], all, n_all);
    char what[192];
    snprintf(what, sizeof what, "%s.%s (sample '%s')", cls->name, p->name[k], sample->label);
    if (!b)
        return mismatch("%s: the sample's `begins` does not name it", what);
    const size_t each = (size_t)tg_tensor_count(p->tensor[k]), used = b->kind == CONSTANT ? 1 : (VALUES + each - 1) / each;
    double *v = malloc(used * each * sizeof *v);
    ck_assert_uint_le(used, n_made);
    for (size_t i = 0; i < used; i++) {
        tg_tensor *t = tg_module_parameters(made[i])->tensor[k];
        get(t, v + i * each, each);
        if (!tg_tensor_requires_grad(t))
            mismatch("%s wants no gradient", what);
    }
    const bool good = begins_as(what, b, v, used * each);
    free(v);
    return good && !*wrong;
}

static tg_module *make(const tg_layer_class *cls, const tg_sample *sample)
{
    tg_module *m = tg_module_new(rt, cls, sample->attrs);
    ck_assert_msg(m != NULL, "%s: %s", cls->name, tg_error_message());
    return m;
}

static bool check_sample(const tg_layer_class *cls, const tg_sample *sample)
{
    static tg_module *made[VALUES];
    beginning all[24];
    size_t n_all, n_made = 1;
    bool good = read_beginnings(sample->begins, all, 24, &n_all);
    made[0] = make(cls, sample);
    const tg_named_tensors *p = tg_module_parameters(made[0]);
    for (size_t k = 0; k < p->n; k++) {
        const size_t each = (size_t)tg_tensor_count(p->tensor[k]), need = each ? (VALUES + each - 1) / each : 0;
        ck_assert_msg(each > 0, "%s.%s of sample '%s' has no element", cls->name, p->name[k], sample->label);
        const beginning *b = good ? beginning_of(p->name[k], all, n_all) : NULL;
        if (b && b->kind != CONSTANT)
            while (n_made < need)
                made[n_made++] = make(cls, sample);
    }
    for (size_t k = 0; k < p->n && good; k++)
        good = check_parameter(cls, sample, made, n_made, k, all, n_all);
    while (n_made)
        tg_module_destroy(made[--n_made]);
    return good;
}

static bool names(tg_module *m, const char *parameter)
{
    const tg_named_tensors *p = tg_module_parameters(m);
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->name[i], parameter))
            return true;
    return false;
}

/* Each parameter of each sample's module has a sample with `begins` that has it. */
static bool all_are_named(const tg_layer_class *cls, const tg_sample *samples, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tg_module *m = make(cls, &samples[i]);
        const tg_named_tensors *p = tg_module_parameters(m);
        for (size_t k = 0; k < p->n; k++) {
            bool named = samples[i].begins != NULL;
            for (size_t j = 0; j < n && !named; j++)
                if (samples[j].begins) {
                    tg_module *other = make(cls, &samples[j]);
                    named = names(other, p->name[k]);
                    tg_module_destroy(other);
                }
            if (!named)
                mismatch("no sample of %s says what %s begins with: add .begins = \"%s uniform its bound\" (operator.h) to one",
                     cls->name, p->name[k], p->name[k]);
        }
        tg_module_destroy(m);
    }
    return !*wrong;
}

static bool check_class(const tg_layer_class *cls, const tg_sample *samples, size_t n)
{
    bool good = all_are_named(cls, samples, n);
    for (size_t i = 0; i < n && good; i++)
        good = !samples[i].begins || check_sample(cls, &samples[i]);
    return good;
}

/* -- the registered ones --------------------------------------------------------------------------------- */

static const tg_layer_class *classes[512];
static size_t n_classes;

START_TEST(parameters_begin_as_in_torch)
{
    size_t n = 0;
    *wrong = '\0';
    const tg_sample *samples = tg_layer_samples(classes[_i], &n);
    ck_assert_msg(samples && n, "%s", tg_error_message());
    ck_assert_msg(check_class(classes[_i], samples, n), "%s", wrong);
}
END_TEST

START_TEST(the_registry_is_there)
{
    ck_assert_uint_ge(n_classes, 100);
    ck_assert_uint_le(n_classes, sizeof classes / sizeof *classes);
}
END_TEST

/* Beyond what one block of the generator, or one thread, fills. */
START_TEST(a_large_matrix)
{
    static double v[1200 * 700];
    const beginning within = {"weight", UNIFORM, sqrt(1.0 / 700)};
    tg_module *m = tg_nn_linear(rt, 700, 1200);
    *wrong = '\0';
    get(tg_module_tensor(m, "weight"), v, 1200 * 700);
    ck_assert_msg(begins_as("Linear.weight", &within, v, 1200 * 700), "%s", wrong);
    tg_module_destroy(m);
}
END_TEST

START_TEST(the_padding_row_is_zero)
{
    static double v[100][40];
    for (int from_end = 0; from_end < 2; from_end++) {
        const tg_attr attrs[] = {{"num_embeddings", TG_ATTR_INT, {.i = 100}},
                                 {"embedding_dim", TG_ATTR_INT, {.i = 40}},
                                 {"padding_idx", TG_ATTR_INT, {.i = from_end ? -98 : 2}}};
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

/* -- what this test would see ---------------------------------------------------------------------------- */

/* Linear(5, 3), and what is said of it. */
START_TEST(what_is_not_so_is_seen)
{
    static const struct {
        const char *begins, *wrong;
    } said[] = {
        {"weight uniform sqrt(1/5), bias uniform sqrt(1/5)", ""},
        {"* uniform sqrt(1/5)", ""},
        {NULL, "no sample of Linear says what weight begins with"},
        {"weight uniform sqrt(1/5)", "Linear.bias (sample 'five'): the sample's `begins` does not name it"},
        {"eight uniform sqrt(1/5), bias uniform sqrt(1/5)", "does not name it"},
        {"weight uniform sqrt(1/3), bias uniform sqrt(1/5)", "Linear.weight (sample 'five'): mean square"},
        {"weight uniform sqrt(1/5), bias uniform 0.44", "Linear.bias (sample 'five'): "},
        {"weight uniform sqrt(1/5), bias uniform 0.46", "is the greatest, the bound 0.46"},
        {"weight normal sqrt(1/15), bias uniform sqrt(1/5)", "are within one deviation"},
        {"weight constant 0, bias uniform sqrt(1/5)", "expected 0"},
        {"weight evenly 1", "'evenly' is neither"},
        {"weight", "no name and distribution"},
        {"weight uniform", "no number"},
        {"weight uniform sqrt(1/5", "no number"},
        {"", "nothing is said"},
    };
    const tg_layer_class *cls = tg_layer_find(rt, "Linear");
    const tg_linear_options attrs = tg_linear_defaults(5, 3);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        const tg_sample sample = {.label = "five", .attrs = &attrs, .begins = said[i].begins};
        *wrong = '\0';
        ck_assert_msg(check_class(cls, &sample, 1) == !*said[i].wrong, "%s: '%s'", said[i].begins, wrong);
        ck_assert_msg(strstr(wrong, said[i].wrong) != NULL, "%s: '%s', expected '%s'", said[i].begins, wrong, said[i].wrong);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("initialisation");
    TCase *c = tcase_create("initialisation");
    if (tg_runtime_open(&rt, NULL) == TG_OK)
        n_classes = tg_layer_list(rt, classes, sizeof classes / sizeof *classes);
    tg_runtime_close(rt);
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_loop_test(c, parameters_begin_as_in_torch, 0, (int)n_classes);
    tcase_add_test(c, the_registry_is_there);
    tcase_add_test(c, a_large_matrix);
    tcase_add_test(c, the_padding_row_is_zero);
    tcase_add_test(c, what_is_not_so_is_seen);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
