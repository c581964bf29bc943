/* Every registered layer class in train, in eval, and in train with frozen statistics, from its own samples,
 * in f64, by inputs and parameters, first and second order. And layers with a backward of their own. */
#include "support/check_main.h"

#include <string.h>

#include <tapegrad/layer_class.h>
#include <tapegrad/tapegrad.h>

#include "support/sample.h"

enum { MAX_TENSORS = 64, FROZEN = TG_N_MODES, N_STATES };
static const char *const state_name[] = {"train", "eval", "train, frozen statistics"};

static tg_runtime *rt;
static tg_tape *tape;
static const tg_layer_class **classes;
static size_t n_classes;

/* Registered classes that are only once differentiable. */
static const char *const once[] = {"CTCLoss", NULL};

static void open_runtime(void)
{
    tg_runtime_options options = {
        .struct_size = sizeof options, .dtype = TG_F64, .threads = 1};
    if (tg_runtime_open(&rt, &options) != TG_OK || tg_tape_open(&tape, rt) != TG_OK) {
        fprintf(stderr, "no runtime: %s\n", tg_error_message());
        exit(1);
    }
    n_classes = tg_layer_list(rt, NULL, 0);
    classes = calloc(n_classes + 1, sizeof *classes);
    tg_layer_list(rt, classes, n_classes);
}

static void clear(void)
{
    tg_tape_clear_error(tape);
}

/* -- one layer, one sample, one mode -------------------------------------------------------------------- */

static tg_status forward(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                         size_t n_out)
{
    tg_module *module = arg;
    const tg_layer_class *cls = tg_module_class(module);
    tg_tensor *call[TG_SAMPLE_IN + 2] = {NULL};
    for (size_t i = 0; i < cls->n_in && i < n_in; i++)
        call[i] = in[i];
    return tg_forward_n(t, module, call, cls->n_in, out, n_out);
}

/* Away from the values that initialisers give: with γ = 1 a missing factor γ would pass. */
static void scatter(tg_module *module)
{
    const tg_named_tensors *p = tg_module_parameters(module), *b = tg_module_buffers(module);
    for (size_t i = 0; i < p->n; i++)
        ck_assert_int_eq(tg_init_uniform(p->tensor[i], 0.4, 1.3), TG_OK);
    for (size_t i = 0; i < b->n; i++)
        if (tg_dtype_is_float((int32_t)tg_tensor_dtype(b->tensor[i])))
            ck_assert_int_eq(tg_init_uniform(b->tensor[i], 0.5, 1.5), TG_OK);
}

/* Inputs first, then the parameters. */
static size_t gather(tg_module *module, const sample_set *set, tg_tensor *in[])
{
    const tg_layer_class *cls = tg_module_class(module);
    size_t n = cls->n_in;
    for (size_t i = 0; i < n; i++)
        in[i] = i < set->n ? set->in[i] : NULL;
    const tg_named_tensors *p = tg_module_parameters(module);
    for (size_t i = 0; i < p->n && n < MAX_TENSORS; i++)
        in[n++] = p->tensor[i];
    return n;
}

static void set_state(tg_module *module, int state)
{
    tg_module_set_mode(module, state == TG_EVAL ? TG_EVAL : TG_TRAIN);
    if (state == FROZEN)
        tg_module_freeze(module, TG_FREEZE_STATISTICS);
}

/* TG_OK also where nothing wants a gradient: then there is nothing to check. */
static tg_status check_sample(const tg_layer_class *cls, const tg_sample *sample, int state, int order,
                              bool *checked)
{
    sample_set set;
    tg_tensor *in[MAX_TENSORS];
    tg_module *module = tg_module_new(rt, cls, sample->attrs);
    ck_assert_msg(module != NULL, "%s, sample '%s': %s", cls->name, sample->label, tg_error_message());
    ck_assert_msg(sample_draw(&set, rt, sample, TG_F64, 11, 0), "%s", tg_error_message());
    scatter(module);
    set_state(module, state);
    size_t n = gather(module, &set, in);
    bool wants = false;
    for (size_t i = 0; i < n; i++)
        wants |= in[i] && tg_tensor_requires_grad(in[i]);
    uint64_t before = 0, after = 0;
    tg_random_state random = tg_tape_random_state(tape);
    ck_assert_int_eq(tg_module_checksum(module, &before), TG_OK);
    tg_gradcheck_options options = tg_gradcheck_defaults();
    options.order = order;
    sample_tolerance(sample, &options.rtol, &options.atol);
    tg_status status = wants ? tg_gradcheck(tape, forward, module, in, n, cls->n_out, &options) : TG_OK;
    ck_assert_int_eq(tg_module_checksum(module, &after), TG_OK);
    bool unchanged = before == after && random.draw == tg_tape_random_state(tape).draw;
    sample_free(&set);
    tg_module_destroy(module);
    ck_assert_msg(unchanged, "%s, sample '%s': the check changed the module or the random state", cls->name,
                  sample->label);
    *checked |= wants;
    return status;
}

static void check_class(const tg_layer_class *cls, int order)
{
    size_t n = 0;
    bool checked = false;
    const tg_sample *samples = tg_layer_samples(cls, &n);
    ck_assert_uint_gt(n, 0);
    if (cls->flags & TG_LAYER_CONTAINER) {
        ck_assert_int_eq(check_sample(cls, samples, TG_TRAIN, order, &checked), TG_EUNSUPPORTED);
        return;
    }
    for (size_t s = 0; s < n; s++)
        for (int state = 0; state < N_STATES; state++) {
            tg_status status = check_sample(cls, &samples[s], state, order, &checked);
            if (order > 1 && cls->flags & TG_LAYER_ONCE) {
                ck_assert_int_eq(status, TG_ENODERIV);
                tg_tape_clear_error(tape);
            } else if (status) {
                ck_abort_msg("%s, sample '%s', %s: %s: %s", cls->name, samples[s].label, state_name[state],
                             tg_status_name(status), tg_tape_error(tape));
            }
        }
    ck_assert_msg(checked, "%s: no sample wants a gradient", cls->name);
}

START_TEST(first_order)
{
    check_class(classes[_i], 1);
}
END_TEST

START_TEST(second_order)
{
    check_class(classes[_i], 2);
}
END_TEST

START_TEST(once_differentiable_ones_are_listed)
{
    size_t listed = 0, flagged = 0;
    for (; once[listed]; listed++) {
        const tg_layer_class *cls = tg_layer_find(rt, once[listed]);
        ck_assert_msg(cls && cls->flags & TG_LAYER_ONCE, "%s is listed as once differentiable and is not",
                      once[listed]);
    }
    for (size_t i = 0; i < n_classes; i++)
        flagged += (classes[i]->flags & TG_LAYER_ONCE) != 0;
    ck_assert_uint_eq(flagged, listed);
}
END_TEST

/* -- layers with a backward of their own ---------------------------------------------------------------- */

/* y = x²·w in train, x·w in eval. */
static tg_status square_init(tg_module *m, const void *attrs)
{
    (void)attrs;
    tg_tensor *w;
    return tg_module_add_parameter(m, "weight", (int64_t[]){3}, 1, &w);
}

static tg_status square_train(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)n;
    out[0] = tg_mul(t, tg_square(t, in[0]), tg_module_tensor(m, "weight"));
    return tg_tape_status(t);
}

static tg_status square_eval(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)n;
    out[0] = tg_mul(t, in[0], tg_module_tensor(m, "weight"));
    return tg_tape_status(t);
}

static tg_status back(tg_tape *t, const tg_node *node, tg_tensor *gy, double factor, bool squared,
                      tg_tensor *gx[])
{
    tg_tensor *x = tg_node_input(node, 0), *w = tg_node_input(node, 1), *gw = gy;
    gx[0] = tg_mul_scalar(t, tg_mul(t, gy, w), factor);
    if (squared)
        gx[0] = tg_mul(t, gx[0], x);
    gw = tg_mul(t, gy, squared ? tg_square(t, x) : x);
    gx[1] = tg_sum_dims(t, gw, (int64_t[]){0}, 1, false);
    return tg_tape_status(t);
}

static tg_status square_back_train(tg_module *m, tg_tape *t, const tg_node *node, tg_tensor *const gy[],
                                   tg_tensor *gx[])
{
    (void)m;
    ck_assert_int_eq(tg_node_mode(node), TG_TRAIN);
    return back(t, node, gy[0], 2.0, true, gx);
}

static tg_status square_back_eval(tg_module *m, tg_tape *t, const tg_node *node, tg_tensor *const gy[],
                                  tg_tensor *gx[])
{
    (void)m;
    ck_assert_int_eq(tg_node_mode(node), TG_EVAL);
    return back(t, node, gy[0], 1.0, false, gx);
}

static tg_status wrong_back_eval(tg_module *m, tg_tape *t, const tg_node *node, tg_tensor *const gy[],
                                 tg_tensor *gx[])
{
    (void)m;
    return back(t, node, gy[0], -1.0, false, gx);
}

/* The parameter's gradient left out. */
static tg_status forgetful_back_train(tg_module *m, tg_tape *t, const tg_node *node, tg_tensor *const gy[],
                                      tg_tensor *gx[])
{
    tg_status status = square_back_train(m, t, node, gy, gx);
    gx[1] = NULL;
    return status;
}

static const tg_sample square_sample = {
    .label = "x", .in = TG_SAMPLE_INPUTS({[4, 3], -2 : 2})};

static const tg_sample *square_samples(size_t *n)
{
    *n = 1;
    return &square_sample;
}

static const char *const square_in[] = {"input"};

static tg_layer_class square_class(void)
{
    return (tg_layer_class){.struct_size = sizeof(tg_layer_class),
                            .name = "Square",
                            .n_in = 1,
                            .n_out = 1,
                            .in_names = square_in,
                            .init = square_init,
                            .forward = {square_train, square_eval},
                            .backward = {square_back_train, square_back_eval},
                            .samples = square_samples,
                            .doc = "y = x²·w, x·w in eval"};
}

static tg_status check_square(const tg_layer_class *cls, int state, int order)
{
    bool checked = false;
    tg_tape_clear_error(tape);
    tg_status status = check_sample(cls, &square_sample, state, order, &checked);
    ck_assert(checked);
    return status;
}

START_TEST(own_backward_is_right)
{
    tg_layer_class cls = square_class();
    for (int state = 0; state < TG_N_MODES; state++)
        for (int order = 1; order <= 3; order++)
            ck_assert_msg(check_square(&cls, state, order) == TG_OK, "%s, order %d: %s", state_name[state],
                          order, tg_tape_error(tape));
}
END_TEST

/* Wrong in one mode only: seen there, and only there. */
START_TEST(own_backward_is_wrong_in_one_mode)
{
    tg_layer_class cls = square_class();
    cls.backward[TG_EVAL] = wrong_back_eval;
    ck_assert_int_eq(check_square(&cls, TG_TRAIN, 2), TG_OK);
    ck_assert_int_eq(check_square(&cls, TG_EVAL, 1), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "analytic"));
    ck_assert_int_eq(check_square(&cls, TG_EVAL, 2), TG_EINVAL);
}
END_TEST

START_TEST(own_backward_forgets_a_parameter)
{
    tg_layer_class cls = square_class();
    cls.backward[TG_TRAIN] = forgetful_back_train;
    ck_assert_int_eq(check_square(&cls, TG_TRAIN, 1), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "input 1"));
    ck_assert_int_eq(check_square(&cls, TG_EVAL, 1), TG_OK);
}
END_TEST

/* backward for one mode, derived in the other. */
START_TEST(own_backward_in_one_mode_only)
{
    tg_layer_class cls = square_class();
    cls.backward[TG_EVAL] = NULL;
    for (int state = 0; state < TG_N_MODES; state++)
        ck_assert_msg(check_square(&cls, state, 2) == TG_OK, "%s: %s", state_name[state],
                      tg_tape_error(tape));
}
END_TEST

START_TEST(once_differentiable)
{
    tg_layer_class cls = square_class();
    cls.flags = TG_LAYER_ONCE;
    for (int state = 0; state < TG_N_MODES; state++) {
        ck_assert_msg(check_square(&cls, state, 1) == TG_OK, "%s", tg_tape_error(tape));
        ck_assert_int_eq(check_square(&cls, state, 2), TG_ENODERIV);
        ck_assert_msg(strstr(tg_tape_error(tape), "Square"), "%s", tg_tape_error(tape));
    }
}
END_TEST

static Suite *suite(void)
{
    open_runtime();
    Suite *s = suite_create("layers' gradients");
    TCase *one = tcase_create("order1"), *two = tcase_create("order2"), *own = tcase_create("own");
    tcase_add_checked_fixture(one, clear, clear);
    tcase_add_loop_test(one, first_order, 0, (int)n_classes);
    tcase_add_checked_fixture(two, clear, clear);
    tcase_add_loop_test(two, second_order, 0, (int)n_classes);
    tcase_add_checked_fixture(own, clear, clear);
    tcase_add_test(own, once_differentiable_ones_are_listed);
    tcase_add_test(own, own_backward_is_right);
    tcase_add_test(own, own_backward_is_wrong_in_one_mode);
    tcase_add_test(own, own_backward_forgets_a_parameter);
    tcase_add_test(own, own_backward_in_one_mode_only);
    tcase_add_test(own, once_differentiable);
    suite_add_tcase(s, one);
    suite_add_tcase(s, two);
    suite_add_tcase(s, own);
    return s;
}

TG_TEST_MAIN(suite)
