/* The small layers: constructors, arguments and inputs that are refused, Embedding's rows in both modes, what the random ones
 * draw, containers. */
#include "layers/rig.h"

START_TEST(constructors_give_their_class)
{
    const int64_t ends[] = {1, 1, 1, 1, 1, 1};
    tg_embedding_options frozen = tg_embedding_defaults(4, 2);
    frozen.freeze = true;
    const struct {
        const char *cls;
        tg_module *m;
    } all[] = {
        {"ConstantPad1d", tg_nn_constant_pad1d(rt, ends, 2)},
        {"ZeroPad2d", tg_module_create(rt, "ZeroPad2d", (tg_attr[]){{"padding", TG_ATTR_INT, {.i = 1}}}, 1)},
        {"ConstantPad3d", tg_nn_zero_pad3d(rt, ends)},
        {"ReflectionPad2d", tg_nn_reflection_pad2d(rt, (int64_t[]){1, 2, 3, 4})},
        {"ReplicationPad3d", tg_nn_replication_pad3d(rt, ends)},
        {"CircularPad1d", tg_nn_circular_pad1d(rt, ends)},
        {"GLU", tg_nn_glu(rt, -1)},
        {"PReLU", tg_nn_prelu(rt, 3)},
        {"RReLU", tg_nn_rrelu(rt, 0.1, 0.2)},
        {"Hardshrink", tg_nn_hardshrink(rt, 0.5)},
        {"Softshrink", tg_nn_softshrink(rt, 0.5)},
        {"Tanhshrink", tg_nn_tanhshrink(rt)},
        {"Hardswish", tg_nn_hardswish(rt)},
        {"Hardsigmoid", tg_nn_hardsigmoid(rt)},
        {"Threshold", tg_nn_threshold(rt, 1, 2)},
        {"Softmin", tg_nn_softmin(rt, 1)},
        {"Softmax2d", tg_nn_softmax2d(rt)},
        {"Dropout1d", tg_nn_dropout1d(rt, 0.5)},
        {"Dropout2d", tg_nn_dropout2d(rt, 0.5)},
        {"Dropout3d", tg_nn_dropout3d(rt, 0.5)},
        {"AlphaDropout", tg_nn_alpha_dropout(rt, 0.5)},
        {"FeatureAlphaDropout", tg_nn_feature_alpha_dropout(rt, 0.5)},
        {"Embedding", tg_nn_embedding(rt, 4, 2)},
        {"Embedding", tg_nn_embedding_with(rt, &frozen)},
        {"EmbeddingBag", tg_nn_embedding_bag(rt, 4, 2)},
        {"EmbeddingBag", tg_nn_embedding_bag_with(rt, &frozen)},
        {"Bilinear", tg_nn_bilinear(rt, 2, 3, 4)},
        {"Unflatten", tg_nn_unflatten(rt, 1, (int64_t[]){2, -1}, 2)},
        {"Upsample", tg_nn_upsample(rt, 2, "bilinear")},
        {"PixelShuffle", tg_nn_pixel_shuffle(rt, 2)},
        {"PixelUnshuffle", tg_nn_pixel_unshuffle(rt, 2)},
        {"ChannelShuffle", tg_nn_channel_shuffle(rt, 2)},
        {"Unfold", tg_nn_unfold(rt, 2, 1, 0, 1)},
        {"Fold", tg_nn_fold(rt, (int64_t[]){4, 5}, 2, 1, 0, 1)},
        {"FractionalMaxPool2d", tg_nn_fractional_max_pool2d(rt, 2, 3, 3)},
        {"FractionalMaxPool3d", tg_nn_fractional_max_pool3d(rt, 2, 3, 3, 3)},
        {"ModuleList", tg_nn_module_list(rt, tg_nn_relu(rt), tg_nn_tanh(rt))},
        {"ModuleDict", tg_nn_module_dict(rt, NULL, NULL, 0)},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ck_assert_msg(all[i].m != NULL, "%s: %s", all[i].cls, tg_error_message());
        ck_assert_str_eq(tg_module_class_name(all[i].m), all[i].cls);
        ck_assert_ptr_eq(tg_module_class(all[i].m), tg_layer_find(rt, all[i].cls));
        tg_module_destroy(all[i].m);
    }
}
END_TEST

/* A class, its arguments and what it says to them. */
#define I(NAME, VALUE) {NAME, TG_ATTR_INT, {.i = VALUE}}
#define R(NAME, VALUE) {NAME, TG_ATTR_REAL, {.f = VALUE}}
#define B(NAME) {NAME, TG_ATTR_BOOL, {.b = true}}
#define W(NAME, WORD) {NAME, TG_ATTR_CHOICE, {.s = WORD}}
#define L(NAME, ...) {NAME, TG_ATTR_INTS, {.ints = __VA_ARGS__}}
static const struct {
    const char *cls;
    tg_attr attrs[4];
    const char *words;
} refused[] = {
    {"ReflectionPad1d", {L("padding", {3, {1, 1, 1}})}, "padding has 3 entries, expected 1 or 2"},
    {"ConstantPad2d", {I("padding", 1)}, "value is missing"},
    {"PReLU", {I("num_parameters", 0)}, "num_parameters is 0"},
    {"RReLU", {R("lower", 0.5), R("upper", 0.1)}, "lower 0.5 and upper 0.1"},
    {"Softshrink", {R("lambd", -1)}, "lambd is -1"},
    {"Dropout2d", {R("p", 1.5)}, "p is 1.5"},
    {"AlphaDropout", {R("p", -0.5)}, "p is -0.5"},
    {"Embedding", {I("num_embeddings", 4), I("embedding_dim", 2), I("padding_idx", 4)}, "padding_idx is 4, expected None"},
    {"Embedding", {I("num_embeddings", 4), I("embedding_dim", 2), I("padding_idx", -5)}, "padding_idx is -5"},
    {"Embedding", {I("num_embeddings", 4), I("embedding_dim", -2)}, "no negative number"},
    {"Embedding", {I("num_embeddings", 4), I("embedding_dim", 2), R("max_norm", -1)}, "max_norm -1"},
    {"Embedding", {I("num_embeddings", 4), I("embedding_dim", 2), B("sparse")}, "gradients are dense"},
    {"EmbeddingBag", {I("num_embeddings", 4), I("embedding_dim", 2), R("max_norm", -1)}, "max_norm -1"},
    {"EmbeddingBag", {I("num_embeddings", 4), I("embedding_dim", 2), W("mode", "max"), B("scale_grad_by_freq")}, "mode max"},
    {"Bilinear", {I("in1_features", 0), I("in2_features", 2), I("out_features", 2)}, "in1_features 0"},
    {"Unflatten", {I("dim", 1), L("unflattened_size", {0, {0}})}, "at least one entry"},
    {"Upsample", {W("mode", "linear")}, "either size or scale_factor"},
    {"Upsample", {I("size", 3), R("scale_factor", 2)}, "either size or scale_factor"},
    {"Upsample", {I("size", 3), B("align_corners")}, "align_corners is for the linear"},
    {"Upsample", {I("size", 3), B("recompute_scale_factor")}, "no meaning with a size"},
    {"Upsample", {L("size", {3, {1, 1, 1}}), W("mode", "bilinear")}, "mode bilinear does not take"},
    {"Upsample", {R("scale_factor", -2)}, "scale_factor is -2"},
    {"UpsamplingBilinear2d", {L("size", {3, {1, 1, 1}})}, "mode bilinear does not take"},
    {"PixelShuffle", {I("upscale_factor", 0)}, "upscale_factor is 0"},
    {"ChannelShuffle", {I("groups", -1)}, "groups is -1"},
    {"Unfold", {I("kernel_size", 0)}, "kernel_size"},
    {"Fold", {I("kernel_size", 2), L("output_size", {3, {1, 1, 1}})}, "output_size has 3 entries"},
    {"FractionalMaxPool2d", {I("kernel_size", 2)}, "either output_size, or output_ratio"},
    {"FractionalMaxPool2d", {I("kernel_size", 2), R("output_ratio", 1)}, "between 0 and 1"},
    {"FractionalMaxPool3d", {I("kernel_size", 2), L("output_size", {2, {1, 1}})}, "output_size has 2 entries"},
};

START_TEST(arguments_are_refused)
{
    const uint64_t draw = tg_runtime_random_state(rt).draw;
    size_t n = 0;
    while (n < 4 && refused[_i].attrs[n].name)
        n++;
    ck_assert_ptr_null(tg_module_create(rt, refused[_i].cls, refused[_i].attrs, n));
    ck_assert_msg(strstr(tg_error_message(), refused[_i].words) && strstr(tg_error_message(), refused[_i].cls),
                  "\"%s\" lacks \"%s\"", tg_error_message(), refused[_i].words);
    ck_assert_uint_eq(tg_runtime_random_state(rt).draw, draw);
}
END_TEST

/* A word of an options struct is a number there: one that is none of the choices is refused as well. */
START_TEST(words_of_structs_are_refused)
{
    static const int64_t wrong[] = {-1, 4, 1000000, (int64_t)1 << 40, -((int64_t)1 << 40)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tg_conv_options conv = tg_conv_defaults(2, 2, 3);
        conv.padding_mode = wrong[i];
        ck_assert_ptr_null(tg_nn_conv2d_with(rt, &conv));
        ck_assert_msg(strstr(tg_error_message(), "Conv2d: padding_mode is") != NULL, "%s", tg_error_message());
        ck_assert_ptr_null(tg_nn_conv_transpose2d_with(rt, &conv));
        tg_lbfgs_options lbfgs = tg_lbfgs_defaults();
        lbfgs.line_search_fn = wrong[i];
        tg_module *net = tg_nn_linear(rt, 2, 2);
        ck_assert_ptr_null(tg_optim_lbfgs(rt, tg_module_parameters(net), &lbfgs));
        ck_assert_msg(strstr(tg_error_message(), "LBFGS: line_search_fn is") != NULL, "%s", tg_error_message());
        tg_module_destroy(net);
    }
    tg_conv_options more = tg_conv_defaults(2, 2, 3);
    more.output_padding = (tg_ints){1, {1}};
    ck_assert_ptr_null(tg_nn_conv2d_with(rt, &more));
    ck_assert_msg(strstr(tg_error_message(), "output_padding") != NULL, "%s", tg_error_message());
}
END_TEST

/* A module inside a Sequential, an input that it does not take, and the sentence behind its path. */
static void is_refused(tg_module *m, tg_tensor *x, tg_status status, const char *words)
{
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    tg_module *net = tg_nn_sequential(rt, m);
    ck_assert_ptr_null(tg_forward(tape, net, x));
    ck_assert_msg(strncmp(tg_tape_error(tape), "0 (", 3) == 0, "no path in \"%s\"", tg_tape_error(tape));
    tape_failed_with(status, words);
    tg_module_destroy(net);
}

START_TEST(inputs_are_refused)
{
    const int64_t one[] = {1, 1, 1, 1, 1, 1};
    tg_tensor *x2 = noisy(1, DIMS(2, 3)), *x3 = noisy(1, DIMS(2, 3, 4)), *x4 = noisy(1, DIMS(1, 2, 3, 4));
    is_refused(tg_nn_reflection_pad2d(rt, one), x2, TG_ESHAPE, "got f64[2, 3], expected 3 or one more dims");
    is_refused(tg_nn_circular_pad1d(rt, one), x4, TG_ESHAPE, "expected 2 or one more");
    is_refused(tg_nn_zero_pad3d(rt, one), x2, TG_ESHAPE, "expected 3 or more");
    is_refused(tg_nn_softmax2d(rt), x2, TG_ESHAPE, "expected [C, H, W]");
    is_refused(tg_nn_prelu(rt, 4), x3, TG_ESHAPE, "expected 4 channels in dim 1");
    is_refused(tg_nn_glu(rt, 1), x2, TG_ESHAPE, "an even size");
    is_refused(tg_nn_dropout1d(rt, 0.5), x4, TG_ESHAPE, "expected 2 to 3");
    is_refused(tg_nn_embedding(rt, 4, 2), x2, TG_EDTYPE, "index must be i64");
    is_refused(tg_nn_embedding(rt, 4, 2), tg_full(tape, TG_I64, DIMS(2), 4), TG_EINDEX, "4");
    is_refused(tg_nn_unflatten(rt, 1, (int64_t[]){2, 2}, 2), x2, TG_ESHAPE, "unflatten");
    is_refused(tg_nn_upsample(rt, 2, "bilinear"), x3, TG_ESHAPE, "mode bilinear");
    is_refused(tg_nn_pixel_shuffle(rt, 2), x3, TG_ESHAPE, "a multiple of 4");
    is_refused(tg_nn_channel_shuffle(rt, 2), x3, TG_ESHAPE, "a divisor of C");
    is_refused(tg_nn_fractional_max_pool2d(rt, 2, 4, 2), x4, TG_ESHAPE, "room for the windows");
    is_refused(tg_nn_module_list(rt, tg_nn_relu(rt)), x2, TG_EUNSUPPORTED, "no forward");
}
END_TEST

/* PyTorch's numbers: rows that are too long are scaled down in train mode when the forward commits; the gradient is that of
 * the row as it then is. A forward that fails, an evaluation, a call without a commit change nothing. */
START_TEST(max_norm)
{
    const double rows[] = {3, 4, 0.3, 0.4, 0, 2}, gy[] = {1, 2, 3, 4}, want[] = {0.599999988, 0.799999984, 0.3, 0.4};
    const double after[] = {0.599999988, 0.799999984, 0.3, 0.4, 0, 2}, grads[] = {1, 2, 3, 4, 0, 0};
    double got[6];
    tg_embedding_options o = tg_embedding_defaults(3, 2);
    o.max_norm = 1;
    tg_module *m = tg_nn_embedding_with(rt, &o);
    tg_tensor *weight = tg_module_tensor(m, "weight");
    put(weight, rows, 6);
    tg_tensor *index = tg_input(tape, TG_I64, DIMS(2), (const int64_t[]){0, 1});
    tg_module_eval(m);
    get(tg_forward(tape, m, index), got, 4);
    near_to(got, want, 4, 1e-9);
    get(weight, got, 6);
    near_to(got, rows, 6, 0);
    tg_module_train(m);
    ck_assert_int_eq(tg_step_begin(tape), TG_OK);
    get(tg_forward(tape, m, index), got, 4);
    tg_step_rollback(tape);
    get(weight, got, 6);
    near_to(got, rows, 6, 0);
    tg_tensor *y = tg_forward(tape, m, index);
    get(y, got, 4);
    near_to(got, want, 4, 1e-9);
    get(weight, got, 6);
    near_to(got, after, 6, 1e-9);
    ck_assert_int_eq(tg_backward_with(tape, y, input(DIMS(2, 2), gy), 0), TG_OK);
    get(tg_tensor_grad(weight), got, 6);
    near_to(got, grads, 6, 1e-12);
    get(tg_forward(tape, m, index), got, 4);
    near_to(got, want, 4, 1e-9);
    tg_module_destroy(m);
}
END_TEST

/* A frozen one gives the same rows, and its table stays; one that merely wants no gradient is written, as PyTorch's. */
START_TEST(max_norm_of_what_is_frozen)
{
    const double rows[] = {3, 4, 0.3, 0.4}, want[] = {0.599999988, 0.799999984, 0.3, 0.4};
    double got[4];
    tg_embedding_options o = tg_embedding_defaults(2, 2);
    o.max_norm = 1;
    o.freeze = true;
    tg_module *net = tg_nn_sequential(rt, tg_nn_embedding_with(rt, &o));
    tg_tensor *weight = tg_module_tensor(net, "0.weight");
    put(weight, rows, 4);
    tg_tensor *index = tg_input(tape, TG_I64, DIMS(2), (const int64_t[]){0, 1});
    for (int frozen = 1; frozen >= 0; frozen--) {
        (frozen ? tg_module_freeze : tg_module_unfreeze)(net, TG_FREEZE_AFFINE);
        get(tg_forward(tape, net, index), got, 4);
        near_to(got, want, 4, 1e-9);
        get(weight, got, 4);
        near_to(got, frozen ? rows : want, 4, frozen ? 0 : 1e-9);
    }
    tg_module_destroy(net);
}
END_TEST

/* One call of the same module on two indices in one step: all that is staged is written, each once. */
START_TEST(max_norm_of_several_calls)
{
    double got[6];
    tg_embedding_options o = tg_embedding_defaults(3, 2);
    o.max_norm = 5;
    tg_module *a = tg_nn_embedding_with(rt, &o), *b = tg_nn_embedding_with(rt, &o);
    const double rows[] = {6, 8, 3, 4, 0, 50};
    put(tg_module_tensor(a, "weight"), rows, 6);
    put(tg_module_tensor(b, "weight"), rows, 6);
    ck_assert_int_eq(tg_step_begin(tape), TG_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(tg_forward(tape, i == 1 ? b : a, tg_full(tape, TG_I64, NULL, 0, i)));
    ck_assert_int_eq(tg_step_commit(tape), TG_OK);
    get(tg_module_tensor(a, "weight"), got, 6);
    near_to(got, (const double[]){3, 4, 3, 4, 0, 5}, 6, 1e-6);
    get(tg_module_tensor(b, "weight"), got, 6);
    near_to(got, rows, 6, 0);
    tg_module_destroy(a);
    tg_module_destroy(b);
}
END_TEST

START_TEST(embedding_gradients)
{
    double got[8];
    tg_embedding_options o = tg_embedding_defaults(4, 2);
    o.padding_idx = 1;
    o.scale_grad_by_freq = true;
    tg_module *m = tg_nn_embedding_with(rt, &o);
    tg_tensor *weight = tg_module_tensor(m, "weight");
    tg_tensor *y = tg_forward(tape, m, tg_input(tape, TG_I64, DIMS(5), (const int64_t[]){0, 1, 3, 3, 1}));
    const double gy[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    ck_assert_int_eq(tg_backward_with(tape, y, input(DIMS(5, 2), gy), 0), TG_OK);
    get(tg_tensor_grad(weight), got, 8);
    near_to(got, (const double[]){1, 2, 0, 0, 0, 0, 6, 7}, 8, 1e-15);
    tg_module_destroy(m);
    tg_tensor *given = NULL;
    const double table[] = {1, 2, 3, 4};
    ck_assert_int_eq(tg_tensor_create(&given, rt, TG_F64, DIMS(2, 2)), TG_OK);
    put(given, table, 4);
    const tg_attr attrs[] = {I("num_embeddings", 2), I("embedding_dim", 2), {"_weight", TG_ATTR_TENSOR, {.t = given}}, B("_freeze")};
    m = tg_module_create(rt, "Embedding", attrs, 4);
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    weight = tg_module_tensor(m, "weight");
    get(weight, got, 4);
    near_to(got, table, 4, 0);
    ck_assert(weight != given && !tg_tensor_requires_grad(weight));
    tg_module_destroy(m);
    ck_assert_ptr_null(tg_module_create(rt, "Embedding",
                                        (const tg_attr[]){I("num_embeddings", 3), I("embedding_dim", 2), attrs[2]}, 3));
    failed_with(TG_ESHAPE, TG_ESHAPE, "_weight is f64[2, 2], expected f64[3, 2]");
    tg_tensor_destroy(given);
}
END_TEST

/* A draw for each committed forward in train mode, none in eval mode, where the result is the same each time. */
START_TEST(draws)
{
    tg_module *all[] = {tg_nn_rrelu(rt, 0.1, 0.4),        tg_nn_dropout1d(rt, 0.5),
                        tg_nn_dropout2d(rt, 0.5),         tg_nn_dropout3d(rt, 0.5),
                        tg_nn_alpha_dropout(rt, 0.5),     tg_nn_feature_alpha_dropout(rt, 0.5),
                        tg_nn_fractional_max_pool2d(rt, 2, 4, 4)};
    double first[96], again[96];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tg_tensor *x = noisy(3, DIMS(1, 6, 16)), *wide = noisy(3, DIMS(6, 16, 16)), *in = i < 6 ? x : wide;
        if (i == 3)
            in = tg_reshape_dims(tape, x, DIMS(6, 4, 4, 1));
        const tg_random_state before = tg_tape_random_state(tape);
        ck_assert_msg(tg_forward(tape, all[i], in) != NULL, "%s", tg_tape_error(tape));
        ck_assert_uint_eq(tg_tape_random_state(tape).draw, before.draw + 1);
        ck_assert_int_eq(tg_step_begin(tape), TG_OK);
        ck_assert_ptr_nonnull(tg_forward(tape, all[i], in));
        tg_step_rollback(tape);
        ck_assert_uint_eq(tg_tape_random_state(tape).draw, before.draw + 1);
        tg_module_eval(all[i]);
        get(tg_forward(tape, all[i], in), first, 96);
        get(tg_forward(tape, all[i], in), again, 96);
        near_to(again, first, 96, 0);
        ck_assert_uint_eq(tg_tape_random_state(tape).draw, before.draw + 1);
        tg_module_destroy(all[i]);
    }
}
END_TEST

/* From the second step of a shape on nothing is allocated, forth and back, also where a row is scaled down. */
START_TEST(no_allocation_from_the_second_step_on)
{
    tg_embedding_options o = tg_embedding_defaults(4, 8);
    o.max_norm = 0.5;
    tg_embedding_options bags = tg_embedding_defaults(4, 8);
    bags.padding_idx = 1;
    const int64_t ends[] = {1, 2, 2, 1};
    tg_module *all[] = {tg_nn_embedding_with(rt, &o),      tg_nn_embedding_bag_with(rt, &bags), tg_nn_reflection_pad2d(rt, ends),
                        tg_nn_circular_pad2d(rt, ends),    tg_nn_dropout2d(rt, 0.5),            tg_nn_feature_alpha_dropout(rt, 0.5),
                        tg_nn_rrelu(rt, 0.1, 0.4),         tg_nn_glu(rt, -1),                   tg_nn_prelu(rt, 2),
                        tg_nn_softshrink(rt, 0.5),         tg_nn_upsample(rt, 2, "bilinear"),   tg_nn_unfold(rt, 2, 1, 0, 1),
                        tg_nn_fractional_max_pool2d(rt, 2, 2, 2)};
    static const int64_t index[] = {0, 3, 1, 2, 3}, offsets[] = {0, 2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        long before = 0;
        for (int step = 0; step < 4; step++) {
            tg_tape_reset(tape);
            if (step == 2)
                before = rig_calls;
            tg_tensor *y = NULL, *in[3] = {i < 2 ? tg_input(tape, TG_I64, DIMS(5), index) : noisy(5, DIMS(1, 2, 4, 4))};
            if (i == 1)
                in[1] = tg_input(tape, TG_I64, DIMS(2), offsets);
            ck_assert_msg(tg_forward_n(tape, all[i], in, i == 1 ? 2 : 1, &y, 1) == TG_OK, "%s", tg_tape_error(tape));
            ck_assert_msg(tg_backward(tape, tg_sum(tape, y)) == TG_OK, "%s", tg_tape_error(tape));
        }
        ck_assert_msg(rig_calls == before, "%s: %ld allocations", tg_module_class_name(all[i]), (long)rig_calls - before);
        tg_tape_reset(tape);
        tg_module_destroy(all[i]);
    }
}
END_TEST

START_TEST(containers)
{
    tg_module *list = tg_nn_module_list(rt, tg_nn_linear(rt, 2, 3), tg_nn_relu(rt));
    ck_assert_int_eq(tg_nn_module_list_append(list, tg_nn_tanh(rt)), TG_OK);
    ck_assert_int_eq(tg_nn_module_list_insert(list, 0, tg_nn_prelu(rt, 1)), TG_OK);
    ck_assert_int_eq(tg_nn_module_list_insert(list, 2, tg_nn_sigmoid(rt)), TG_OK);
    static const char *const classes[] = {"PReLU", "Linear", "Sigmoid", "ReLU", "Tanh"};
    ck_assert_uint_eq(tg_module_n_children(list), 5);
    for (size_t i = 0; i < 5; i++) {
        const char number[] = {(char)('0' + i), 0};
        ck_assert_str_eq(tg_module_class_name(tg_module_child(list, i)), classes[i]);
        ck_assert_str_eq(tg_module_child_name(list, i), number);
    }
    ck_assert_ptr_nonnull(tg_module_tensor(list, "1.weight"));
    ck_assert_str_eq(tg_module_parameters(list)->name[0], "0.weight");
    failed_with(tg_nn_module_list_insert(list, 7, tg_nn_relu(rt)), TG_EINDEX, "the index is 7, expected at most 5");
    failed_with(tg_nn_module_list_append(NULL, tg_nn_relu(rt)), TG_EINVAL, "expected a ModuleList");
    tg_module *relu = tg_nn_relu(rt);
    failed_with(tg_nn_module_list_append(relu, tg_nn_relu(rt)), TG_EINVAL, "the module is ReLU");
    static const char *const names[] = {"list", "act"};
    tg_module *dict = tg_nn_module_dict(rt, names, (tg_module *const[]){list, relu}, 2);
    ck_assert_ptr_eq(tg_module_find(dict, "list.3"), tg_module_child(list, 3));
    ck_assert_ptr_eq(tg_module_find(dict, "act"), relu);
    ck_assert_int_eq(tg_module_add_child(dict, "more", tg_nn_tanh(rt)), TG_OK);
    tg_module_eval(dict);
    ck_assert_int_eq(tg_module_mode(tg_module_child(list, 4)), TG_EVAL);
    tg_module_destroy(dict);
    static const char *const twice[] = {"a", "a"};
    ck_assert_ptr_null(tg_nn_module_dict(rt, twice, (tg_module *const[]){tg_nn_relu(rt), tg_nn_tanh(rt)}, 2));
    failed_with(TG_EINVAL, TG_EINVAL, "the name \"a\" is taken");
    ck_assert_ptr_null(tg_nn_module_dict(rt, NULL, (tg_module *const[]){tg_nn_relu(rt)}, 1));
    ck_assert_ptr_null(tg_nn_module_list(rt, tg_nn_relu(rt), tg_nn_linear(rt, -1, 2)));
    failed_with(TG_EINVAL, TG_EINVAL, "Linear");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("small layers");
    TCase *c = tcase_create("small layers");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_test(c, constructors_give_their_class);
    tcase_add_loop_test(c, arguments_are_refused, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_test(c, words_of_structs_are_refused);
    tcase_add_test(c, inputs_are_refused);
    tcase_add_test(c, max_norm);
    tcase_add_test(c, max_norm_of_what_is_frozen);
    tcase_add_test(c, max_norm_of_several_calls);
    tcase_add_test(c, embedding_gradients);
    tcase_add_test(c, draws);
    tcase_add_test(c, no_allocation_from_the_second_step_on);
    tcase_add_test(c, containers);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
