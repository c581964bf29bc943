/* Each allocation of a constructor fails once in turn: NULL and a sentence come back, nothing leaks
 * (rig_close counts), and the runtime is as it was. The same for a forward and for the lists. */
#include "layers/rig.h"

static tg_module *make_linear(void)
{
    return tg_nn_linear(rt, 4, 3);
}
static tg_module *make_bn(void)
{
    return tg_nn_batch_norm2d(rt, 3);
}
static tg_module *make_ln(void)
{
    return tg_nn_layer_norm(rt, DIMS(3, 4));
}
static tg_module *make_dropout(void)
{
    return tg_nn_dropout(rt, 0.5);
}
static tg_module *make_relu(void)
{
    return tg_nn_relu(rt);
}
static tg_module *make_by_name(void)
{
    return tg_module_create(rt, "BatchNorm1d", (tg_attr[]){{"num_features", TG_ATTR_INT, {.i = 3}}}, 1);
}
static tg_module *make_loss(void)
{
    tg_cross_entropy_options o = tg_cross_entropy_defaults();
    tg_tensor *w = NULL;
    if (tg_tensor_create(&w, rt, TG_F64, DIMS(3)))
        return NULL;
    o.weight = w;
    tg_module *m = tg_nn_cross_entropy_loss_with(rt, &o);
    tg_tensor_destroy(w);
    return m;
}
static tg_module *make_net(void)
{
    return tg_nn_sequential(rt, tg_nn_linear(rt, 4, 3), tg_nn_batch_norm1d(rt, 3), tg_nn_relu(rt),
                            tg_nn_dropout(rt, 0.3), tg_nn_sequential(rt, tg_nn_linear(rt, 3, 2)));
}

static tg_module *make_embedding(void)
{
    tg_embedding_options o = tg_embedding_defaults(5, 4);
    o.padding_idx = 2;
    o.max_norm = 0.5;
    return tg_nn_embedding_with(rt, &o);
}
static tg_module *make_fractional(void)
{
    tg_tensor *u = NULL;
    if (tg_tensor_create(&u, rt, TG_F64, DIMS(1, 2, 2)))
        return NULL;
    const tg_attr attrs[] = {{"kernel_size", TG_ATTR_INT, {.i = 2}},
                             {"output_ratio", TG_ATTR_REAL, {.f = 0.5}},
                             {"_random_samples", TG_ATTR_TENSOR, {.t = u}}};
    tg_module *m = tg_module_create(rt, "FractionalMaxPool2d", attrs, 3);
    tg_tensor_destroy(u);
    return m;
}
static tg_module *make_list(void)
{
    return tg_nn_module_list(rt, tg_nn_relu(rt), tg_nn_tanh(rt));
}
/* Of rows: what stages a write, and what draws. */
static tg_module *make_random_net(void)
{
    return tg_nn_sequential(rt, make_embedding(), tg_nn_dropout1d(rt, 0.3), tg_nn_rrelu(rt, 0.1, 0.3),
                            tg_nn_alpha_dropout(rt, 0.4));
}

static const struct maker {
    const char *name;
    tg_module *(*make)(void);
} makers[] = {{"Linear", make_linear},   {"BatchNorm", make_bn}, {"LayerNorm", make_ln},
              {"Dropout", make_dropout}, {"ReLU", make_relu},    {"by name", make_by_name},
              {"loss", make_loss},       {"net", make_net},
              {"Embedding", make_embedding}, {"FractionalMaxPool", make_fractional}, {"ModuleList", make_list}};
enum { N_MAKERS = sizeof makers / sizeof *makers, MOST = 2000 };

START_TEST(constructors)
{
    const struct maker *maker = &makers[_i];
    long failures = 0;
    for (long k = 1; k < MOST; k++) {
        tg_random_state random = tg_runtime_random_state(rt);
        rig_fail_at = rig_calls + k;
        tg_module *m = maker->make();
        bool reached = rig_calls >= rig_fail_at;
        rig_fail_at = 0;
        if (m) {
            tg_module_destroy(m);
            if (!reached)
                break;
            continue; /* an allocation that can be done without */
        }
        ck_assert_msg(reached, "%s", tg_error_message());
        ck_assert_msg(strstr(tg_error_message(), "memory"), "%s", tg_error_message());
        /* a net's children are constructors of their own: those that succeeded have drawn */
        ck_assert(maker->make == make_net || same_state(random, tg_runtime_random_state(rt)));
        failures++;
    }
    ck_assert_int_gt(failures, 1);
    /* once more, with the runtime's pools and tables grown: each failure leaves exactly what it found */
    for (long k = 1; k <= failures; k++) {
        long live = rig_live;
        rig_fail_at = rig_calls + k;
        tg_module *m = maker->make();
        rig_fail_at = 0;
        tg_module_destroy(m);
        ck_assert_msg(rig_live == live, "%s, allocation %ld: %ld allocations stay", maker->name, k,
                      rig_live - live);
    }
}
END_TEST

START_TEST(lists_and_checksums)
{
    tg_module *net = make_net();
    long live = rig_live;
    rig_fail_at = rig_calls + 1;
    ck_assert_ptr_null(tg_module_parameters(net));
    rig_fail_at = rig_calls + 1;
    ck_assert_ptr_null(tg_module_state(net));
    uint64_t sum;
    for (int k = 1; k <= 2; k++) {
        rig_fail_at = rig_calls + k;
        ck_assert_int_eq(tg_module_checksum(net, &sum), TG_ENOMEM);
    }
    rig_fail_at = 0;
    ck_assert_int_le(rig_live, live + 1); /* the list that the second checksum made */
    ck_assert_int_eq(tg_module_checksum(net, &sum), TG_OK);
    tg_module_destroy(net);
}
END_TEST

START_TEST(forwards)
{
    tg_module *net = _i ? make_random_net() : make_net();
    tg_module_state(net);
    int64_t dims[2] = {6, 4};
    double v[24];
    static const int64_t rows[6] = {4, 0, 2, 1, 1, 4};
    for (size_t i = 0; i < 24; i++)
        v[i] = noise(1, i);
    bool done = false;
    for (long k = 1; k < MOST && !done; k++) {
        /* a fresh tape, so that everything is allocated anew */
        tg_tape_close(tape);
        tape = NULL;
        ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
        uint64_t before = checksum(net);
        tg_random_state random = tg_tape_random_state(tape);
        tg_tensor *x = _i ? tg_input(tape, TG_I64, dims, 1, rows) : tg_input(tape, TG_F64, dims, 2, v);
        ck_assert_ptr_nonnull(x);
        rig_fail_at = rig_calls + k;
        tg_tensor *y = tg_forward(tape, net, x);
        done = rig_calls < rig_fail_at;
        rig_fail_at = 0;
        if (y)
            continue;
        ck_assert(!done);
        ck_assert_int_eq(tg_tape_status(tape), TG_ENOMEM);
        ck_assert_uint_eq(checksum(net), before);
        ck_assert(same_state(random, tg_tape_random_state(tape)));
        tg_tape_clear_error(tape);
        ck_assert_msg(tg_forward(tape, net, x) != NULL, "%s", tg_tape_error(tape)); /* and it goes on */
    }
    ck_assert(done);
    tg_module_destroy(net);
}
END_TEST

/* From the second step of a shape on, nothing is allocated. */
START_TEST(a_steady_step_allocates_nothing)
{
    tg_module *net = make_net();
    double v[24];
    for (size_t i = 0; i < 24; i++)
        v[i] = noise(1, i);
    for (int step = 0; step < 5; step++) {
        long calls = rig_calls;
        tg_tape_reset(tape);
        tg_tensor *x = tg_input(tape, TG_F64, (int64_t[]){6, 4}, 2, v);
        ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_square(tape, tg_forward(tape, net, x)))), TG_OK);
        if (step > 1)
            ck_assert_msg(rig_calls == calls, "step %d: %ld allocations", step, (long)rig_calls - calls);
    }
    tg_module_eval(net);
    for (int step = 0; step < 4; step++) {
        long calls = rig_calls;
        tg_tape_reset(tape);
        ck_assert_ptr_nonnull(tg_forward(tape, net, tg_input(tape, TG_F64, (int64_t[]){6, 4}, 2, v)));
        if (step > 1)
            ck_assert_msg(rig_calls == calls, "eval step %d: %ld allocations", step, (long)rig_calls - calls);
    }
    tg_module_destroy(net);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("layers' memory");
    TCase *c = tcase_create("memory");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_loop_test(c, constructors, 0, N_MAKERS);
    tcase_add_test(c, lists_and_checksums);
    tcase_add_loop_test(c, forwards, 0, 2);
    tcase_add_test(c, a_steady_step_allocates_nothing);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
