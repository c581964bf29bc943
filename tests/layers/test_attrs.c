/* Attributes by name: defaults, types, None, and every way to get them wrong. */
#include "layers/rig.h"

#include <stddef.h>

typedef struct options {
    int64_t count, axis, kind;
    double rate, limit;
    bool flag;
    tg_ints shape;
    tg_reals betas;
    tg_tensor *weight;
} options;

static const tg_attr_spec specs[] = {
    {"count", TG_ATTR_INT, TG_ATTR_REQUIRED, offsetof(options, count), {0}, NULL, "a"},
    {"axis", TG_ATTR_INT, TG_ATTR_OPTIONAL, offsetof(options, axis), {-1}, NULL, "b"},
    {"kind", TG_ATTR_CHOICE, 0, offsetof(options, kind), {1}, "none|mean|sum", "c"},
    {"rate", TG_ATTR_REAL, 0, offsetof(options, rate), {0.5}, NULL, "d"},
    {"limit", TG_ATTR_REAL, TG_ATTR_OPTIONAL, offsetof(options, limit), {2}, NULL, "e"},
    {"flag", TG_ATTR_BOOL, 0, offsetof(options, flag), {1}, NULL, "f"},
    {"shape", TG_ATTR_INTS, TG_ATTR_OPTIONAL, offsetof(options, shape), {.values = "3, 4"}, NULL, "g"},
    {"betas", TG_ATTR_REALS, 0, offsetof(options, betas), {.values = "0.9, 0.999"}, NULL, "h"},
    {"weight", TG_ATTR_TENSOR, TG_ATTR_OPTIONAL, offsetof(options, weight), {0}, NULL, "i"},
    {NULL, TG_ATTR_NONE, 0, 0, {0}, NULL, NULL},
};

static tg_status fill(options *o, const tg_attr *given, size_t n)
{
    return tg_attrs_fill("Thing", specs, o, sizeof *o, given, n);
}

START_TEST(defaults)
{
    options o;
    ck_assert_int_eq(fill(&o, (tg_attr[]){{"count", TG_ATTR_INT, {.i = 7}}}, 1), TG_OK);
    ck_assert_int_eq(o.count, 7);
    ck_assert_int_eq(o.axis, -1);
    ck_assert_int_eq(o.kind, 1);
    ck_assert_double_eq(o.rate, 0.5);
    ck_assert_double_eq(o.limit, 2);
    ck_assert(o.flag);
    ck_assert(o.shape.n == 2 && o.shape.v[0] == 3 && o.shape.v[1] == 4);
    ck_assert(o.betas.n == 2 && o.betas.v[0] == 0.9 && o.betas.v[1] == 0.999);
    ck_assert_ptr_null(o.weight);
}
END_TEST

START_TEST(given)
{
    options o;
    tg_tensor *w = noisy(1, DIMS(2));
    tg_attr g[] = {
        {"count", TG_ATTR_INT, {.i = 1}},
        {"axis", TG_ATTR_NONE, {0}},
        {"kind", TG_ATTR_CHOICE, {.s = "sum"}},
        {"rate", TG_ATTR_INT, {.i = 3}}, /* an integer for a number */
        {"limit", TG_ATTR_NONE, {0}},
        {"flag", TG_ATTR_BOOL, {.b = false}},
        {"shape", TG_ATTR_INT, {.i = 5}}, /* one for a list */
        {"betas", TG_ATTR_INTS, {.ints = {3, {1, 2, 3}}}},
        {"weight", TG_ATTR_TENSOR, {.t = w}},
    };
    ck_assert_msg(fill(&o, g, 9) == TG_OK, "%s", tg_error_message());
    ck_assert(o.axis == TG_NONE_INT && o.kind == 2 && o.rate == 3 && isnan(o.limit) && !o.flag);
    ck_assert(o.shape.n == 1 && o.shape.v[0] == 5);
    ck_assert(o.betas.n == 3 && o.betas.v[2] == 3);
    ck_assert_ptr_eq(o.weight, w);
    tg_attr more[] = {{"count", TG_ATTR_INT, {.i = 1}},
                      {"shape", TG_ATTR_NONE, {0}},
                      {"betas", TG_ATTR_REAL, {.f = 0.5}},
                      {"weight", TG_ATTR_NONE, {0}}};
    ck_assert_int_eq(fill(&o, more, 4), TG_OK);
    ck_assert(o.shape.n == 0 && o.betas.n == 1 && o.betas.v[0] == 0.5 && !o.weight);
}
END_TEST

static const struct wrong {
    tg_status status;
    const char *says;
    tg_attr attr;
} wrong[] = {
    {TG_EUNKNOWN, "no argument \"counts\"", {"counts", TG_ATTR_INT, {.i = 1}}},
    {TG_EINVAL, "count is given twice", {"count", TG_ATTR_INT, {.i = 1}}},
    {TG_EINVAL, "has no name", {NULL, TG_ATTR_INT, {.i = 1}}},
    {TG_EINVAL, "axis is a number", {"axis", TG_ATTR_REAL, {.f = 1}}},
    {TG_EINVAL, "axis is a bool", {"axis", TG_ATTR_BOOL, {.b = true}}},
    {TG_EINVAL,
     "kind is \"average\", expected one of none|mean|sum",
     {"kind", TG_ATTR_CHOICE, {.s = "average"}}},
    {TG_EINVAL, "kind is \"\"", {"kind", TG_ATTR_CHOICE, {.s = ""}}},
    {TG_EINVAL, "kind is \"mea\"", {"kind", TG_ATTR_CHOICE, {.s = "mea"}}},
    {TG_EINVAL, "kind is NULL, expected one of none|mean|sum", {"kind", TG_ATTR_CHOICE, {.s = NULL}}},
    {TG_EINVAL, "kind is an integer", {"kind", TG_ATTR_INT, {.i = 1}}},
    {TG_EINVAL, "rate is None", {"rate", TG_ATTR_NONE, {0}}},
    {TG_EINVAL, "rate is a bool", {"rate", TG_ATTR_BOOL, {.b = true}}},
    {TG_EINVAL, "limit is NaN", {"limit", TG_ATTR_REAL, {.f = NAN}}},
    {TG_EINVAL, "flag is an integer", {"flag", TG_ATTR_INT, {.i = 1}}},
    {TG_EINVAL, "shape is numbers", {"shape", TG_ATTR_REALS, {.reals = {1, {1}}}}},
    {TG_EINVAL, "shape has 9 entries", {"shape", TG_ATTR_INTS, {.ints = {9, {1}}}}},
    {TG_EINVAL, "shape has -1 entries", {"shape", TG_ATTR_INTS, {.ints = {-1, {1}}}}},
    {TG_EINVAL, "betas is a word", {"betas", TG_ATTR_CHOICE, {.s = "x"}}},
    {TG_EINVAL, "weight is an integer", {"weight", TG_ATTR_INT, {.i = 1}}},
    {TG_EINVAL, "axis is of an unknown type", {"axis", (tg_attr_type)77, {.i = 1}}},
};
enum { N_WRONG = sizeof wrong / sizeof *wrong };

START_TEST(wrong_values)
{
    options o;
    failed_with(fill(&o, (tg_attr[]){{"count", TG_ATTR_INT, {.i = 1}}, wrong[_i].attr}, 2), wrong[_i].status,
                wrong[_i].says);
    ck_assert_msg(strstr(tg_error_message(), "Thing"), "%s", tg_error_message());
}
END_TEST

START_TEST(wrong_calls)
{
    options o;
    failed_with(fill(&o, NULL, 0), TG_EINVAL, "count is missing");
    failed_with(fill(&o, NULL, 2), TG_EINVAL, "NULL");
    failed_with(tg_attrs_fill("Thing", specs, &o, 8, (tg_attr[]){{"count", TG_ATTR_INT, {.i = 1}}}, 1),
                TG_EINVAL, "does not fit");
    failed_with(tg_attrs_fill("Thing", specs, NULL, 0, (tg_attr[]){{"count", TG_ATTR_INT, {.i = 1}}}, 1),
                TG_EINVAL, "does not fit");
    failed_with(tg_attrs_fill("Thing", NULL, NULL, 0, (tg_attr[]){{"count", TG_ATTR_INT, {.i = 1}}}, 1),
                TG_EUNKNOWN, "it has none");
    ck_assert_int_eq(tg_attrs_fill("Thing", NULL, NULL, 0, NULL, 0), TG_OK);
}
END_TEST

START_TEST(modules_by_name)
{
    ck_assert_ptr_null(tg_module_create(rt, "Linar", NULL, 0));
    failed_with(TG_EUNKNOWN, TG_EUNKNOWN, "Linar");
    ck_assert_ptr_null(tg_module_create(rt, NULL, NULL, 0));
    ck_assert_ptr_null(tg_module_create(NULL, "Linear", NULL, 0));
    ck_assert_ptr_null(tg_module_create(rt, "Linear", NULL, 0));
    failed_with(TG_EINVAL, TG_EINVAL, "in_features is missing");
    ck_assert_ptr_null(tg_module_create(rt, "ReLU", (tg_attr[]){{"slope", TG_ATTR_REAL, {.f = 1}}}, 1));
    failed_with(TG_EUNKNOWN, TG_EUNKNOWN, "it has inplace");
    ck_assert_ptr_null(tg_module_create(rt, "Identity", (tg_attr[]){{"p", TG_ATTR_REAL, {.f = 1}}}, 1));
    failed_with(TG_EUNKNOWN, TG_EUNKNOWN, "none");
    tg_attr linear[] = {{"in_features", TG_ATTR_INT, {.i = 3}},
                        {"out_features", TG_ATTR_INT, {.i = 2}},
                        {"bias", TG_ATTR_BOOL, {.b = false}}};
    tg_module *m = tg_module_create(rt, "Linear", linear, 3);
    ck_assert_ptr_nonnull(m);
    const tg_linear_options *o = tg_module_attrs(m);
    ck_assert(o->in_features == 3 && o->out_features == 2 && !o->bias);
    ck_assert_str_eq(tg_module_class(m)->name, "Linear");
    tg_module_destroy(m);
}
END_TEST

/* What was borrowed for the construction is replaced by the module's own. */
START_TEST(tensors_among_the_options)
{
    tg_tensor *w;
    ck_assert_int_eq(tg_tensor_create(&w, rt, TG_F64, DIMS(3)), TG_OK);
    put(w, (double[]){1, 2, 3}, 3);
    tg_module *m = tg_module_create(rt, "NLLLoss", (tg_attr[]){{"weight", TG_ATTR_TENSOR, {.t = w}}}, 1);
    ck_assert_ptr_nonnull(m);
    tg_tensor *copy = tg_module_tensor(m, "weight");
    const tg_nll_loss_options *o = tg_module_attrs(m);
    ck_assert_ptr_eq(o->weight, copy);
    ck_assert_ptr_ne(copy, w);
    tg_tensor_destroy(w);
    double v[3];
    get(copy, v, 3);
    near_to(v, (double[]){1, 2, 3}, 3, 0);
    ck_assert_uint_eq(tg_module_parameters(m)->n, 0);
    ck_assert_str_eq(tg_module_buffers(m)->name[0], "weight");
    tg_module_destroy(m);
}
END_TEST

/* An older, shorter options struct: what it lacks keeps its default. */
START_TEST(shorter_options)
{
    tg_batch_norm_options o = {.struct_size = offsetof(tg_batch_norm_options, momentum),
                               .num_features = 3,
                               .eps = 0.25,
                               .momentum = -7};
    tg_module *m = tg_nn_batch_norm1d_with(rt, &o);
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    const tg_batch_norm_options *kept = tg_module_attrs(m);
    ck_assert(kept->eps == 0.25 && kept->momentum == 0.1 && kept->affine && kept->track_running_stats);
    tg_module_destroy(m);
    o.struct_size = 3;
    ck_assert_ptr_null(tg_nn_batch_norm1d_with(rt, &o));
    failed_with(TG_EINVAL, TG_EINVAL, "struct_size");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("attributes");
    TCase *c = tcase_create("attributes");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_test(c, defaults);
    tcase_add_test(c, given);
    tcase_add_loop_test(c, wrong_values, 0, N_WRONG);
    tcase_add_test(c, wrong_calls);
    tcase_add_test(c, modules_by_name);
    tcase_add_test(c, tensors_among_the_options);
    tcase_add_test(c, shorter_options);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
