/* RNN, LSTM, GRU and their cells: lengths against sequences that run alone, layouts, dropout between layers,
 * the row against its steps, refusals. */
#include "layers/rig.h"

#include <fenv.h>

enum { T = 5, N = 3, IN = 2, H = 3, MOST = 4096 };

static const char *const names[] = {"RNN", "LSTM", "GRU"};

static tg_module *make(int which, tg_rnn_options o)
{
    tg_module *m = which == 0   ? tg_nn_rnn_with(rt, &o)
                   : which == 1 ? tg_nn_lstm_with(rt, &o)
                                : tg_nn_gru_with(rt, &o);
    ck_assert_msg(m != NULL, "%s: %s", names[which], tg_error_message());
    return m;
}

static tg_rnn_options deep(int which)
{
    tg_rnn_options o = tg_rnn_defaults(IN, H);
    o.num_layers = 2;
    o.bidirectional = true;
    o.proj_size = which == 1 ? 2 : 0;
    return o;
}

static size_t read_all(const tg_tensor *t, double *to)
{
    const size_t n = (size_t)tg_tensor_count(t);
    ck_assert_uint_le(n, MOST);
    get(tg_contiguous(tape, (tg_tensor *)(uintptr_t)t), to, n);
    return n;
}

static void same_tensors(const tg_tensor *a, const tg_tensor *b, double tolerance)
{
    static double x[MOST], y[MOST];
    ck_assert_msg(a && b, "%s", tg_tape_error(tape));
    const size_t n = read_all(a, x);
    ck_assert_uint_eq(n, read_all(b, y));
    near_to(x, y, n, tolerance);
}

/* Inputs in the order of the class. */
static size_t arrange(int which, tg_tensor *in[4], tg_tensor *x, tg_tensor *hx, tg_tensor *cx,
                      tg_tensor *lengths)
{
    in[0] = x;
    in[1] = hx;
    in[2] = which == 1 ? cx : lengths;
    in[3] = lengths;
    return which == 1 ? 4 : 3;
}

static tg_tensor *forward(int which, tg_module *m, tg_tensor *x, tg_tensor *hx, tg_tensor *cx,
                          tg_tensor *lengths, tg_tensor *last[2])
{
    tg_tensor *in[4], *out[3] = {NULL};
    const size_t n = arrange(which, in, x, hx, cx, lengths);
    ck_assert_msg(tg_forward_n(tape, m, in, n, out, which == 1 ? 3 : 2) == TG_OK, "%s", tg_tape_error(tape));
    last[0] = out[1];
    last[1] = out[2];
    return out[0];
}

/* A number that depends on each element of y by another weight. */
static tg_tensor *weighed(unsigned seed, tg_tensor *y)
{
    tg_desc d;
    ck_assert_int_eq(tg_tensor_desc(y, &d), TG_OK);
    tg_tensor *w = noisy(seed, d.dim, (size_t)d.ndim);
    return tg_sum(tape, tg_mul(tape, y, tg_detach(tape, w)));
}

START_TEST(names_are_torchs)
{
    static const char *const want[] = {
        "weight_ih_l0",         "weight_hh_l0",         "bias_ih_l0",           "bias_hh_l0",
        "weight_hr_l0",         "weight_ih_l0_reverse", "weight_hh_l0_reverse", "bias_ih_l0_reverse",
        "bias_hh_l0_reverse",   "weight_hr_l0_reverse", "weight_ih_l1",         "weight_hh_l1",
        "bias_ih_l1",           "bias_hh_l1",           "weight_hr_l1",         "weight_ih_l1_reverse",
        "weight_hh_l1_reverse", "bias_ih_l1_reverse",   "bias_hh_l1_reverse",   "weight_hr_l1_reverse"};
    tg_module *m = make(1, deep(1));
    const tg_named_tensors *p = tg_module_parameters(m);
    ck_assert_uint_eq(p->n, 20);
    for (size_t i = 0; i < p->n; i++)
        ck_assert_str_eq(p->name[i], want[i]);
    tg_module_destroy(m);
    tg_module *(*const short_forms[])(tg_runtime *, int64_t, int64_t, int64_t) = {tg_nn_rnn, tg_nn_lstm,
                                                                                  tg_nn_gru};
    tg_module *(*const cells[])(tg_runtime *, int64_t, int64_t) = {tg_nn_rnn_cell, tg_nn_lstm_cell,
                                                                   tg_nn_gru_cell};
    static const char *const cell_names[] = {"RNNCell", "LSTMCell", "GRUCell"};
    for (int i = 0; i < 3; i++) {
        m = short_forms[i](rt, 2, 3, 2);
        ck_assert_str_eq(tg_module_class_name(m), names[i]);
        ck_assert_uint_eq(tg_module_parameters(m)->n, 8);
        tg_module_destroy(m);
        m = cells[i](rt, 2, 3);
        ck_assert_str_eq(tg_module_class_name(m), cell_names[i]);
        ck_assert_uint_eq(tg_module_parameters(m)->n, 4);
        tg_module_destroy(m);
    }
}
END_TEST

START_TEST(initial_values_fill_their_range)
{
    tg_module *m = tg_nn_gru(rt, 40, 25, 1);
    const tg_named_tensors *p = tg_module_parameters(m);
    for (size_t i = 0; i < p->n; i++) {
        double v[MOST], low = 1, high = -1;
        const size_t n = read_all(p->tensor[i], v);
        for (size_t k = 0; k < n; k++) {
            low = fmin(low, v[k]);
            high = fmax(high, v[k]);
        }
        ck_assert_msg(low >= -0.2 && high < 0.2 && low < -0.17 && high > 0.17, "%s: %g … %g", p->name[i], low,
                      high);
    }
    tg_module_destroy(m);
}
END_TEST

/* What a batch with lengths gives, and sends back, is what its sequences do one by one. */
START_TEST(lengths_are_sequences_alone)
{
    static const int64_t length[N] = {3, 5, 1};
    static double grads[64][MOST];
    double zeros[MOST] = {0};
    tg_rnn_options o = deep(_i);
    tg_module *m = make(_i, o);
    const int64_t size = o.proj_size ? o.proj_size : H;
    tg_tensor *x = noisy(1, DIMS(T, N, IN)), *hx = noisy(2, DIMS(4, N, size)),
              *cx = _i == 1 ? noisy(3, DIMS(4, N, H)) : NULL;
    tg_tensor *lengths = tg_input(tape, TG_I64, DIMS(N), length), *last[2], *alone[2], *loss = NULL;
    tg_tensor *y = forward(_i, m, x, hx, cx, lengths, last);
    for (int64_t n = 0; n < N; n++) {
        tg_tensor *own =
            forward(_i, m, tg_narrow(tape, tg_narrow(tape, x, 1, n, 1), 0, 0, length[n]),
                    tg_narrow(tape, hx, 1, n, 1), cx ? tg_narrow(tape, cx, 1, n, 1) : NULL, NULL, alone);
        tg_tensor *here = tg_narrow(tape, y, 1, n, 1);
        same_tensors(tg_narrow(tape, here, 0, 0, length[n]), own, 1e-13);
        double behind[MOST];
        near_to(behind, zeros, read_all(tg_narrow(tape, here, 0, length[n], T - length[n]), behind), 0);
        tg_tensor *sum = weighed((unsigned)n, own);
        for (int k = 0; k < (_i == 1 ? 2 : 1); k++) {
            same_tensors(tg_narrow(tape, last[k], 1, n, 1), alone[k], 1e-13);
            sum = tg_add(tape, sum, weighed((unsigned)(7 + k + 2 * n), alone[k]));
        }
        loss = loss ? tg_add(tape, loss, sum) : sum;
    }
    ck_assert_msg(tg_backward(tape, loss) == TG_OK, "%s", tg_tape_error(tape));
    const tg_named_tensors *p = tg_module_parameters(m);
    tg_tensor *const given[] = {x, hx, cx};
    for (size_t i = 0; i < p->n + 3; i++) {
        tg_tensor *t = i < p->n ? p->tensor[i] : given[i - p->n];
        if (t) {
            read_all(tg_tensor_grad(t), grads[i]);
            tg_tensor_zero_grad(t);
        }
    }
    y = forward(_i, m, x, hx, cx, lengths, last);
    loss = NULL;
    for (int64_t n = 0; n < N; n++) {
        tg_tensor *here = tg_narrow(tape, tg_narrow(tape, y, 1, n, 1), 0, 0, length[n]),
                  *sum = weighed((unsigned)n, here);
        for (int k = 0; k < (_i == 1 ? 2 : 1); k++)
            sum = tg_add(tape, sum, weighed((unsigned)(7 + k + 2 * n), tg_narrow(tape, last[k], 1, n, 1)));
        loss = loss ? tg_add(tape, loss, sum) : sum;
    }
    /* What is sent to places behind an end goes nowhere. */
    loss = tg_add(tape, loss, tg_sum(tape, tg_narrow(tape, tg_narrow(tape, y, 1, 2, 1), 0, 1, T - 1)));
    ck_assert_msg(tg_backward(tape, loss) == TG_OK, "%s", tg_tape_error(tape));
    for (size_t i = 0; i < p->n + 3; i++) {
        double v[MOST];
        tg_tensor *t = i < p->n ? p->tensor[i] : given[i - p->n];
        if (t)
            near_to(v, grads[i], read_all(tg_tensor_grad(t), v), 1e-12);
    }
    tg_module_destroy(m);
}
END_TEST

/* A sweep that is recorded goes through the steps, made of public operators; a plain one through the row. */
START_TEST(the_row_is_its_steps)
{
    const int which = _i % 3;
    const bool with_lengths = _i / 3 % 2, relu = _i / 6;
    static const int64_t length[N] = {2, 5, 4};
    tg_rnn_options o = deep(which);
    o.nonlinearity = relu && which == 0;
    tg_module *m = make(which, o);
    const int64_t size = o.proj_size ? o.proj_size : H;
    tg_tensor *hx = _i % 2 ? noisy(2, DIMS(4, N, size)) : NULL,
              *cx = hx && which == 1 ? noisy(3, DIMS(4, N, H)) : NULL;
    tg_tensor *x = noisy(1, DIMS(T, N, IN)), *last[2], *wrt[32] = {x}, *plain[32], *recorded[32];
    tg_tensor *lengths = with_lengths ? tg_input(tape, TG_I64, DIMS(N), length) : NULL;
    tg_tensor *y = forward(which, m, x, hx, cx, lengths, last);
    tg_tensor *loss = tg_add(tape, weighed(4, y), weighed(5, last[0]));
    if (which == 1)
        loss = tg_add(tape, loss, weighed(6, last[1]));
    size_t n = 1;
    if (hx)
        wrt[n++] = hx;
    if (cx)
        wrt[n++] = cx;
    const tg_named_tensors *p = tg_module_parameters(m);
    for (size_t i = 0; i < p->n; i++)
        wrt[n++] = p->tensor[i];
    ck_assert_msg(tg_grad(tape, loss, NULL, wrt, n, plain, TG_RETAIN) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_msg(tg_grad(tape, loss, NULL, wrt, n, recorded, TG_CREATE_GRAPH) == TG_OK, "%s",
                  tg_tape_error(tape));
    for (size_t i = 0; i < n; i++)
        same_tensors(plain[i], recorded[i], 1e-12);
    tg_module_destroy(m);
}
END_TEST

START_TEST(layouts)
{
    tg_rnn_options o = deep(_i);
    tg_module *m = make(_i, o);
    o.batch_first = true;
    tg_module *first = make(_i, o);
    for (size_t i = 0; i < tg_module_parameters(m)->n; i++) {
        static double v[MOST];
        put(tg_module_parameters(first)->tensor[i], v, read_all(tg_module_parameters(m)->tensor[i], v));
    }
    const int64_t size = o.proj_size ? o.proj_size : H;
    tg_tensor *x = noisy(1, DIMS(T, N, IN)), *hx = noisy(2, DIMS(4, N, size)),
              *cx = _i == 1 ? noisy(3, DIMS(4, N, H)) : NULL;
    tg_tensor *last[2], *other[2];
    tg_tensor *y = forward(_i, m, x, hx, cx, NULL, last);
    tg_tensor *turned = forward(_i, first, tg_transpose(tape, x, 0, 1), hx, cx, NULL, other);
    same_tensors(tg_transpose(tape, turned, 0, 1), y, 0);
    same_tensors(other[0], last[0], 0);
    /* Without a batch. */
    tg_tensor *alone = forward(_i, m, tg_select(tape, x, 1, 1), tg_select(tape, hx, 1, 1),
                               cx ? tg_select(tape, cx, 1, 1) : NULL, NULL, other);
    ck_assert_int_eq(tg_tensor_ndim(alone), 2);
    same_tensors(alone, tg_select(tape, y, 1, 1), 1e-13);
    same_tensors(other[0], tg_select(tape, last[0], 1, 1), 1e-13);
    if (_i == 1)
        same_tensors(other[1], tg_select(tape, last[1], 1, 1), 1e-13);
    same_tensors(tg_forward(tape, m, x), forward(_i, m, x, NULL, NULL, NULL, other), 0);
    tg_module_destroy(m);
    tg_module_destroy(first);
}
END_TEST

/* The last h of a layer is where its cell comes to. */
START_TEST(cells_are_steps)
{
    tg_module *m = make(_i, tg_rnn_defaults(IN, H));
    tg_module *cell = _i == 0   ? tg_nn_rnn_cell(rt, IN, H)
                      : _i == 1 ? tg_nn_lstm_cell(rt, IN, H)
                                : tg_nn_gru_cell(rt, IN, H);
    for (size_t i = 0; i < 4; i++) {
        double v[MOST];
        put(tg_module_parameters(cell)->tensor[i], v, read_all(tg_module_parameters(m)->tensor[i], v));
    }
    tg_tensor *x = noisy(1, DIMS(T, N, IN)), *last[2], *state[2] = {NULL};
    tg_tensor *y = forward(_i, m, x, NULL, NULL, NULL, last);
    for (int64_t t = 0; t < T; t++) {
        tg_tensor *in[] = {tg_select(tape, x, 0, t), state[0], state[1]};
        const size_t n = _i == 1 ? 2 : 1;
        ck_assert_msg(tg_forward_n(tape, cell, in, n + 1, state, n) == TG_OK, "%s", tg_tape_error(tape));
        same_tensors(state[0], tg_select(tape, y, 0, t), 1e-13);
    }
    if (_i == 1)
        same_tensors(state[1], tg_select(tape, last[1], 0, 0), 1e-13);
    tg_module_destroy(m);
    tg_module_destroy(cell);
}
END_TEST

START_TEST(dropout_stands_between_layers)
{
    tg_rnn_options o = tg_rnn_defaults(IN, H);
    o.num_layers = 3;
    o.dropout = 0.5;
    tg_module *m = make(_i, o);
    tg_tensor *x = noisy(1, DIMS(T, N, IN));
    tg_random_state before = tg_tape_random_state(tape);
    tg_tensor *once = tg_forward(tape, m, x), *twice = tg_forward(tape, m, x);
    ck_assert_uint_eq(tg_tape_random_state(tape).draw, before.draw + 4);
    double a[MOST], b[MOST];
    const size_t n = read_all(once, a);
    read_all(twice, b);
    ck_assert_int_ne(memcmp(a, b, n * sizeof *a), 0);
    tg_module_set_mode(m, TG_EVAL);
    before = tg_tape_random_state(tape);
    const uint64_t sum = checksum(m);
    tg_tensor *eval = tg_forward(tape, m, x);
    ck_assert(same_state(before, tg_tape_random_state(tape)));
    ck_assert_uint_eq(sum, checksum(m));
    o.dropout = 0;
    tg_module *none = make(_i, o);
    for (size_t i = 0; i < tg_module_parameters(m)->n; i++) {
        double v[MOST];
        put(tg_module_parameters(none)->tensor[i], v, read_all(tg_module_parameters(m)->tensor[i], v));
    }
    before = tg_tape_random_state(tape);
    same_tensors(eval, tg_forward(tape, none, x), 0);
    ck_assert(same_state(before, tg_tape_random_state(tape)));
    tg_module_destroy(m);
    tg_module_destroy(none);
}
END_TEST

START_TEST(no_allocation_from_the_second_step_on)
{
    tg_module *m = make(_i, deep(_i));
    static const int64_t length[N] = {3, 5, 1};
    long before = 0;
    for (int step = 0; step < 4; step++) {
        tg_tensor *last[2], *x = noisy(1, DIMS(T, N, IN)), *lengths = tg_input(tape, TG_I64, DIMS(N), length);
        tg_tensor *y = forward(_i, m, x, NULL, NULL, lengths, last);
        ck_assert_msg(tg_backward(tape, tg_add(tape, tg_sum(tape, y), tg_sum(tape, last[0]))) == TG_OK, "%s",
                      tg_tape_error(tape));
        for (size_t i = 0; i < tg_module_parameters(m)->n; i++)
            tg_tensor_zero_grad(tg_module_parameters(m)->tensor[i]);
        tg_tape_reset(tape);
        if (step == 1)
            before = rig_calls;
    }
    ck_assert_int_eq(rig_calls, before);
    tg_module_destroy(m);
}
END_TEST

/* Memory full of what a computation with it leaves a mark of: signalling NaNs. */
static void *marked_alloc(void *arg, size_t size, size_t align)
{
    uint32_t *p = aligned_alloc(align, (size + align - 1) / align * align);
    for (size_t i = 0; p && i < size / sizeof *p; i++)
        p[i] = *(const uint32_t *)arg;
    return p;
}

static void marked_free(void *arg, void *p)
{
    (void)arg;
    free(p);
}

/* Whether a step of layer k marks anything, where memory is full of `mark`. */
static bool is_marked(int k, uint32_t mark)
{
    const tg_allocator allocator = {marked_alloc, marked_free, &mark};
    const int64_t size = 1 + k % 10 * 5;
    tg_runtime *other;
    tg_tape *t;
    float v[4 * 3 * 3];
    for (int i = 0; i < 36; i++)
        v[i] = 0.1f * (float)i;
    ck_assert_int_eq(tg_runtime_open(&other, &(tg_runtime_options){.struct_size = sizeof(tg_runtime_options),
                                                                   .backend = "reference",
                                                                   .allocator = &allocator,
                                                                   .threads = 1}),
                     TG_OK);
    ck_assert_int_eq(tg_tape_open(&t, other), TG_OK);
    tg_module *m = k < 10   ? tg_nn_lstm(other, 3, size, 1)
                   : k < 20 ? tg_nn_gru(other, 3, size, 1)
                            : tg_nn_rnn(other, 3, size, 1);
    tg_tensor *x = tg_input(t, TG_F32, DIMS(4, 3, 3), v);
    feclearexcept(FE_ALL_EXCEPT);
    ck_assert_msg(tg_backward(t, tg_sum(t, tg_forward(t, m, x))) == TG_OK, "%s", tg_tape_error(t));
    const bool marked = fetestexcept(FE_INVALID) != 0;
    tg_tape_close(t);
    tg_module_destroy(m);
    tg_runtime_close(other);
    return marked;
}

/* Sizes that fill no vector: lanes behind the last element are of no use, but they are not anything either. */
START_TEST(no_lane_is_left_to_chance)
{
    if (is_marked(_i, 0))
        TG_SKIP("this compiler's code marks zeros, too");
    ck_assert(!is_marked(_i, 0x7fa00000));
}
END_TEST

static char said[256];

static void listen(void *arg, tg_log_level level, const char *message)
{
    (void)arg, (void)level;
    snprintf(said, sizeof said, "%s", message);
}

START_TEST(one_layer_has_nothing_to_drop_between)
{
    tg_runtime *loud = NULL;
    const tg_runtime_options options = {.struct_size = sizeof options, .dtype = TG_F64, .log = listen};
    ck_assert_int_eq(tg_runtime_open(&loud, &options), TG_OK);
    tg_rnn_options o = tg_rnn_defaults(IN, H);
    o.dropout = 0.5;
    tg_module *m = tg_nn_gru_with(loud, &o);
    ck_assert_msg(strstr(said, "GRU: dropout is 0.5") != NULL, "%s", said);
    tg_module_destroy(m);
    tg_runtime_close(loud);
}
END_TEST

START_TEST(arguments_are_checked)
{
    static const struct {
        const char *name, *text;
        tg_attr attrs[3];
        size_t n;
    } bad[] = {
        {"LSTM",
         "input_size is 0",
         {{"input_size", TG_ATTR_INT, {.i = 0}}, {"hidden_size", TG_ATTR_INT, {.i = 3}}},
         2},
        {"GRU",
         "hidden_size is -1",
         {{"input_size", TG_ATTR_INT, {.i = 2}}, {"hidden_size", TG_ATTR_INT, {.i = -1}}},
         2},
        {"RNN",
         "num_layers is 0",
         {{"input_size", TG_ATTR_INT, {.i = 2}},
          {"hidden_size", TG_ATTR_INT, {.i = 3}},
          {"num_layers", TG_ATTR_INT, {.i = 0}}},
         3},
        {"LSTM", /* as many would be made until the memory ends */
         "num_layers is 1000000000000, expected 1 to 10000",
         {{"input_size", TG_ATTR_INT, {.i = 2}},
          {"hidden_size", TG_ATTR_INT, {.i = 3}},
          {"num_layers", TG_ATTR_INT, {.i = 1000000000000}}},
         3},
        {"LSTM",
         "proj_size is 3",
         {{"input_size", TG_ATTR_INT, {.i = 2}},
          {"hidden_size", TG_ATTR_INT, {.i = 3}},
          {"proj_size", TG_ATTR_INT, {.i = 3}}},
         3},
        {"GRU",
         "dropout is 1.5",
         {{"input_size", TG_ATTR_INT, {.i = 2}},
          {"hidden_size", TG_ATTR_INT, {.i = 3}},
          {"dropout", TG_ATTR_REAL, {.f = 1.5}}},
         3},
        {"RNNCell",
         "nonlinearity",
         {{"input_size", TG_ATTR_INT, {.i = 2}},
          {"hidden_size", TG_ATTR_INT, {.i = 3}},
          {"nonlinearity", TG_ATTR_CHOICE, {.s = "gelu"}}},
         3},
        {"LSTMCell",
         "hidden_size is 0",
         {{"input_size", TG_ATTR_INT, {.i = 2}}, {"hidden_size", TG_ATTR_INT, {.i = 0}}},
         2},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_ptr_null(tg_module_create(rt, bad[i].name, bad[i].attrs, bad[i].n));
        failed_with(TG_EINVAL, TG_EINVAL, bad[i].text);
        failed_with(TG_EINVAL, TG_EINVAL, bad[i].name);
    }
    tg_rnn_options o = tg_rnn_defaults(IN, H);
    o.proj_size = 2;
    ck_assert_ptr_null(tg_nn_gru_with(rt, &o));
    failed_with(TG_EINVAL, TG_EINVAL, "proj_size is for an LSTM alone");
    o.proj_size = 0;
    o.nonlinearity = TG_RNN_RELU;
    ck_assert_ptr_null(tg_nn_lstm_with(rt, &o));
    failed_with(TG_EINVAL, TG_EINVAL, "nonlinearity is for an RNN alone");
}
END_TEST

static tg_status outer_init(tg_module *m, const void *attrs)
{
    (void)attrs;
    tg_rnn_options o = deep(1);
    o.proj_size = 0;
    return tg_module_add_child(m, "encoder", tg_nn_lstm_with(tg_module_runtime(m), &o));
}

static tg_status outer_forward(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    return tg_forward_n(t, tg_module_child(m, 0), in, n_in, out, 1);
}

static const tg_layer_class outer = {.struct_size = sizeof(tg_layer_class),
                                     .name = "Outer",
                                     .n_in = 4,
                                     .n_out = 1,
                                     .optional = 0xe,
                                     .init = outer_init,
                                     .forward = {outer_forward, outer_forward}};

START_TEST(refusals_name_the_path)
{
    tg_module *m = tg_module_new(rt, &outer, NULL);
    tg_tensor *x = noisy(1, DIMS(T, N, IN)), *y;
    tg_tensor *hx = noisy(1, DIMS(4, N, H)), *cx = noisy(1, DIMS(4, N, H)), *small = noisy(1, DIMS(2, N, H));
    tg_tensor *whole = tg_input(tape, TG_I64, DIMS(N), (const int64_t[]){1, 2, 3});
    tg_tensor *long_ = tg_input(tape, TG_I64, DIMS(N), (const int64_t[]){1, 2, T + 1});
    tg_tensor *none = tg_input(tape, TG_I64, DIMS(N), (const int64_t[]){1, 0, 3});
    tg_tensor *two = tg_input(tape, TG_I64, DIMS(2), (const int64_t[]){1, 2});
    const struct {
        tg_tensor *in[4];
        tg_status status;
        const char *text;
    } bad[] = {
        {{noisy(1, DIMS(T, N, IN + 1))},
         TG_ESHAPE,
         "encoder (LSTM): got f64[5, 3, 3], expected [T, N, in] or [T, in] with in = 2"},
        {{noisy(1, DIMS(0, N, IN))}, TG_ESHAPE, "at least one step"},
        {{noisy(1, DIMS(IN))}, TG_ESHAPE, "encoder (LSTM): got f64[2]"},
        {{x, small, cx}, TG_ESHAPE, "encoder (LSTM): hx is f64[2, 3, 3], expected f64[4, 3, 3]"},
        {{x, hx, small}, TG_ESHAPE, "encoder (LSTM): cx is f64[2, 3, 3], expected f64[4, 3, 3]"},
        {{x, hx}, TG_EINVAL, "encoder (LSTM): hx and cx are given together or not at all"},
        {{tg_select(tape, x, 1, 0), hx, cx}, TG_ESHAPE, "expected f64[4, 3]"},
        {{x, NULL, NULL, long_}, TG_EINVAL, "encoder (LSTM): lengths[2] is 6, expected 1 to 5, the number of steps"},
        {{x, NULL, NULL, none}, TG_EINVAL, "encoder (LSTM): lengths[1] is 0, expected 1 to 5, the number of steps"},
        {{x, NULL, NULL, two}, TG_ESHAPE, "encoder (LSTM): lengths is i64[2], expected i64[3], one for each"},
        {{x, NULL, NULL, tg_to(tape, whole, TG_F64)}, TG_EDTYPE, "encoder (LSTM): lengths is f64[3], expected i64[3]"},
        {{tg_select(tape, x, 1, 0), NULL, NULL, two}, TG_EINVAL, "encoder (LSTM): lengths are for a batch"},
    };
    const tg_random_state before = tg_tape_random_state(tape);
    const size_t nodes = tg_tape_size(tape);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(tg_forward_n(tape, m, bad[i].in, 4, &y, 1), bad[i].status);
        tape_failed_with(bad[i].status, bad[i].text);
        ck_assert_uint_eq(tg_tape_size(tape), nodes);
    }
    ck_assert(same_state(before, tg_tape_random_state(tape)));
    ck_assert_msg(tg_forward_n(tape, m, (tg_tensor *[]){x, hx, cx, whole}, 4, &y, 1) == TG_OK, "%s",
                  tg_tape_error(tape));
    tg_module_destroy(m);
}
END_TEST

/* An empty batch has an empty output, and gradients of zeros. */
START_TEST(an_empty_batch)
{
    tg_module *m = make(_i, deep(_i));
    tg_tensor *last[2], *y = forward(_i, m, noisy(1, DIMS(T, 0, IN)), NULL, NULL, NULL, last);
    ck_assert_int_eq(tg_tensor_count(y), 0);
    ck_assert_msg(tg_backward(tape, tg_sum(tape, y)) == TG_OK, "%s", tg_tape_error(tape));
    double v[MOST], zeros[MOST] = {0};
    near_to(v, zeros, read_all(tg_tensor_grad(tg_module_tensor(m, "weight_hh_l0")), v), 0);
    tg_module_destroy(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("layers_recurrent");
    TCase *c = tcase_create("recurrent");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, names_are_torchs);
    tcase_add_test(c, initial_values_fill_their_range);
    tcase_add_loop_test(c, lengths_are_sequences_alone, 0, 3);
    tcase_add_loop_test(c, the_row_is_its_steps, 0, 12);
    tcase_add_loop_test(c, layouts, 0, 3);
    tcase_add_loop_test(c, cells_are_steps, 0, 3);
    tcase_add_loop_test(c, dropout_stands_between_layers, 0, 3);
    tcase_add_loop_test(c, no_allocation_from_the_second_step_on, 0, 3);
    tcase_add_loop_test(c, no_lane_is_left_to_chance, 0, 30);
    tcase_add_test(c, one_layer_has_nothing_to_drop_between);
    tcase_add_test(c, arguments_are_checked);
    tcase_add_test(c, refusals_name_the_path);
    tcase_add_loop_test(c, an_empty_batch, 0, 3);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
