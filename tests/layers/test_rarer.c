/* What fewer models ask for: a size for what a stride leaves open, classes in clusters, a distance of one's own, bags of
 * rows that are scaled down, parameters by number and by name, a Transformer of other parts. Numbers are PyTorch
 * 2.14.1's. */
#include "layers/rig.h"

#define SIZE(...) tg_input(tape, TG_I64, DIMS(sizeof((int64_t[]){__VA_ARGS__}) / 8), (const int64_t[]){__VA_ARGS__})

/* The module called with this size fails, and the sentence holds the text. */
static void refuses(tg_module *m, tg_tensor *x, tg_tensor *indices, tg_tensor *size, tg_status want, const char *text)
{
    tg_tensor *const in[] = {x, indices ? indices : size, size};
    tg_tensor *y;
    ck_assert_int_ne(tg_forward_n(tape, m, in, indices ? 3 : 2, &y, 1), TG_OK);
    ck_assert_ptr_null(y);
    tape_failed_with(want, text);
}

START_TEST(sizes_of_a_transposed_convolution)
{
    const double kernel[] = {1, 2, 3}, want[] = {2, 3, 2, 4, 6, 0};
    double got[6];
    tg_conv_options o = tg_conv_defaults(1, 1, 3);
    o.stride.v[0] = 3;
    o.padding.v[0] = 1;
    o.bias = false;
    tg_module *m = tg_nn_conv_transpose1d_with(rt, &o), *planes = tg_nn_conv_transpose2d_with(rt, &o);
    put(tg_module_tensor(m, "weight"), kernel, 3);
    tg_tensor *x = input(DIMS(1, 1, 2), (const double[]){1, 2}), *y;
    tg_tensor *const sizes[] = {SIZE(4), SIZE(5), SIZE(1, 1, 6), noisy(1, DIMS(7, 8, 5)), tg_full(tape, TG_F32, DIMS(6), 0)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n = i < 3 ? 4 + i : i == 3 ? 5 : 6;
        ck_assert_int_eq(tg_forward_n(tape, m, (tg_tensor *const[]){x, sizes[i]}, 2, &y, 1), TG_OK);
        ck_assert_uint_eq((size_t)tg_tensor_dim(y, 2), n);
        get(y, got, n);
        near_to(got, want, n, 0);
    }
    ck_assert_int_eq(tg_forward_n(tape, m, (tg_tensor *const[]){x, NULL}, 2, &y, 1), TG_OK);
    ck_assert_int_eq(tg_tensor_dim(y, 2), 4);
    tg_tensor *plane = noisy(1, DIMS(1, 3, 3));
    ck_assert_int_eq(tg_forward_n(tape, planes, (tg_tensor *const[]){plane, noisy(2, DIMS(4, 9, 7))}, 2, &y, 1), TG_OK);
    ck_assert(tg_tensor_ndim(y) == 3 && tg_tensor_dim(y, 1) == 9 && tg_tensor_dim(y, 2) == 7);

    refuses(m, x, NULL, SIZE(3), TG_EINVAL, "ConvTranspose1d: output_size is 3 in dim 0, expected 4 to 6");
    refuses(m, x, NULL, SIZE(7), TG_EINVAL, "output_size is 7 in dim 0, expected 4 to 6");
    refuses(m, x, NULL, SIZE(INT64_MIN), TG_EINVAL, "expected 4 to 6");
    refuses(m, x, NULL, SIZE(1, 6), TG_ESHAPE, "output_size is i64[2], expected i64 [1] or [3], or f32 or f64 with so many");
    refuses(m, x, NULL, tg_full(tape, TG_I64, DIMS(1, 1), 6), TG_ESHAPE, "i64[1, 1]");
    refuses(m, x, NULL, tg_full(tape, TG_I64, NULL, 0, 6), TG_ESHAPE, "output_size is i64[]");
    refuses(m, x, NULL, tg_full(tape, TG_BOOL, DIMS(6), 1), TG_ESHAPE, "output_size is bool[6]");
    refuses(planes, plane, NULL, SIZE(9, 6), TG_EINVAL, "output_size is 6 in dim 1, expected 7 to 9");
    tg_tensor *stale = SIZE(6);
    tg_tape_reset(tape);
    refuses(m, input(DIMS(1, 1, 2), want), NULL, stale, TG_ESTALE, "output_size");
    ck_assert_int_eq(tg_forward_n(tape, m, (tg_tensor *const[]){input(DIMS(1, 1, 2), want)}, 1, &y, 1), TG_OK);
    tg_tensor *const of_a_convolution[] = {y, y};
    tg_module *conv = tg_nn_conv1d(rt, 1, 1, 3);
    ck_assert_int_eq(tg_forward_n(tape, conv, of_a_convolution, 2, &y, 1), TG_EINVAL);
    tape_failed_with(TG_EINVAL, "called with 2 inputs");
    tg_module_destroy(conv);
    tg_module_destroy(planes);
    tg_module_destroy(m);
}
END_TEST

/* Back to where the largest stood, with what a window left over; the gradient comes back to the place. */
START_TEST(sizes_of_an_unpooling)
{
    const double x[] = {1, 5, 2, 4, 9}, back[] = {0, 5, 0, 4, 0}, want[] = {0, 1, 0, 1, 0};
    double got[5];
    tg_module *pool = tg_nn_max_pool_with(rt, 1, &(tg_pool_options){.kernel = {2}}, true), *unpool = tg_nn_max_unpool1d(rt, 2);
    tg_tensor *in = input(DIMS(1, 1, 5), x), *all[3], *y;
    ck_assert_int_eq(tg_tensor_set_requires_grad(in, true), TG_OK);
    ck_assert_int_eq(tg_forward_n(tape, pool, &in, 1, all, 2), TG_OK);
    ck_assert_int_eq(tg_forward_n(tape, unpool, all, 2, &y, 1), TG_OK);
    ck_assert_int_eq(tg_tensor_dim(y, 2), 4);
    for (int i = 0; i < 3; i++) {
        all[2] = i == 0 ? in : i == 1 ? SIZE(5) : SIZE(7, 7, 5);
        ck_assert_msg(tg_forward_n(tape, unpool, all, 3, &y, 1) == TG_OK, "%s", tg_tape_error(tape));
        ck_assert_int_eq(tg_tensor_dim(y, 2), 5);
        get(y, got, 5);
        near_to(got, back, 5, 0);
    }
    refuses(unpool, all[0], all[1], SIZE(2), TG_EINVAL, "MaxUnpool1d: max_unpool: output_size 2 of dim 0, expected between 3 and 5");
    refuses(unpool, all[0], all[1], SIZE(6), TG_EINVAL, "output_size 6 of dim 0");
    refuses(unpool, all[0], all[1], SIZE(1, 5), TG_ESHAPE, "MaxUnpool1d: output_size is i64[2], expected i64 [1] or [3]");
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, y)), TG_OK);
    get(tg_tensor_grad(in), got, 5);
    near_to(got, want, 5, 0);
    tg_module_destroy(pool);
    tg_module_destroy(unpool);
}
END_TEST

/* Before there are data, the size of another tensor is known, and so it is enough for a summary. */
static tg_status there_and_back(tg_module *m, tg_tape *t, tg_tensor *const in[], size_t n, tg_tensor *out[])
{
    (void)n;
    tg_tensor *both[2] = {tg_forward(t, tg_module_child(m, 0), in[0]), in[0]};
    return tg_forward_n(t, tg_module_child(m, 1), both, 2, out, 1);
}

static tg_status two_convolutions(tg_module *m, const void *attrs)
{
    (void)attrs;
    tg_conv_options o = tg_conv_defaults(2, 2, 3);
    o.stride.v[0] = 2;
    tg_status status = tg_module_add_child(m, "down", tg_nn_conv2d_with(tg_module_runtime(m), &o));
    return status ? status : tg_module_add_child(m, "up", tg_nn_conv_transpose2d_with(tg_module_runtime(m), &o));
}

START_TEST(sizes_in_a_summary)
{
    static const tg_layer_class cls = {.struct_size = sizeof(tg_layer_class),
                                       .name = "ThereAndBack",
                                       .n_in = 1,
                                       .n_out = 1,
                                       .init = two_convolutions,
                                       .forward = {there_and_back, there_and_back}};
    tg_module *m = tg_module_new(rt, &cls, NULL);
    tg_desc in;
    tg_summary summary;
    ck_assert_int_eq(tg_desc_make(&in, TG_F64, DIMS(1, 2, 10, 12)), TG_OK);
    ck_assert_msg(tg_module_summary(m, &in, 1, &summary) == TG_OK, "%s", tg_error_message());
    ck_assert_mem_eq(summary.row[0].out.dim, in.dim, 4 * sizeof *in.dim);
    tg_summary_free(&summary);
    tg_module_destroy(m);
}
END_TEST

/* -- AdaptiveLogSoftmaxWithLoss -------------------------------------------------------------------------- */

static tg_module *adaptive(bool bias)
{
    tg_module *m = tg_nn_adaptive_log_softmax_with_loss(rt, 4, 7, (const int64_t[]){2, 4}, 2, 2, bias);
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    const tg_named_tensors *p = tg_module_parameters(m);
    for (size_t i = 0; i < p->n; i++) {
        double v[16];
        const size_t n = (size_t)tg_tensor_count(p->tensor[i]);
        for (size_t k = 0; k < n; k++)
            v[k] = ((int)(k * 7 + strlen(p->name[i])) % 11 - 5) / 8.0;
        put(p->tensor[i], v, n);
    }
    return m;
}

static tg_tensor *rows_of_five(void)
{
    double v[20];
    for (int i = 0; i < 20; i++)
        v[i] = (i * 5 % 13 - 6) / 4.0;
    return input(DIMS(5, 4), v);
}

START_TEST(classes_in_clusters)
{
    const double output[] = {-1.421691250283945, -3.626524601813963, -2.387032712140619, -1.252871182399040, -2.122327694500675},
                 gx[] = {-0.339846112706974, 0.184391503463070,  -0.339846112706974, 0.494717767450558,  1.072290050042318,
                         -1.348914980759756, 1.463038572214436,  -0.684253798834216, -0.654545824517247, 0.795225271052413,
                         -1.041624714778898, -1.727646270400432, 0.683998942715965,  -0.943267251030425, 0.683998942715965,
                         -0.808696660982673, 1.748715343913476,  -0.881299354321911, 1.717621310242469,  0.236733816048726},
                 tail[] = {-1.083820892732622, 2.683746972480777, 1.083820892732622, -2.683746972480777},
                 bias[] = {-3.436393571316759, 0.603298827767428, 0.814130539590197, 2.018964203959136};
    double got[20];
    tg_module *m = adaptive(true);
    static const char *const names[] = {"head.weight",     "head.bias",       "tail.0.0.weight",
                                        "tail.0.1.weight", "tail.1.0.weight", "tail.1.1.weight"};
    const tg_named_tensors *p = tg_module_parameters(m);
    ck_assert_uint_eq(p->n, 6);
    for (size_t i = 0; i < 6; i++)
        ck_assert_str_eq(p->name[i], names[i]);
    tg_tensor *x = rows_of_five(), *out[2];
    ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
    ck_assert_msg(tg_forward_n(tape, m, (tg_tensor *const[]){x, SIZE(0, 6, 3, 1, 4)}, 2, out, 2) == TG_OK, "%s", tg_tape_error(tape));
    get(out[0], got, 5);
    near_to(got, output, 5, 1e-14);
    near_to((const double[]){item(out[1])}, (const double[]){2.162089488227649}, 1, 1e-14);
    tg_tensor *steps = input(DIMS(5), (const double[]){1, 2, 3, 4, 5});
    ck_assert_int_eq(tg_backward(tape, tg_add(tape, out[1], tg_sum(tape, tg_mul(tape, out[0], steps)))), TG_OK);
    get(tg_tensor_grad(x), got, 20);
    near_to(got, gx, 20, 1e-13);
    get(tg_tensor_grad(tg_module_tensor(m, "tail.0.1.weight")), got, 4);
    near_to(got, tail, 4, 1e-13);
    get(tg_tensor_grad(tg_module_tensor(m, "head.bias")), got, 4);
    near_to(got, bias, 4, 1e-13);

    tg_tensor *row = tg_select(tape, rows_of_five(), 0, 0); /* without N; and no class of the clusters */
    ck_assert_int_eq(tg_forward_n(tape, m, (tg_tensor *const[]){row, tg_full(tape, TG_I64, NULL, 0, 6)}, 2, out, 2), TG_OK);
    ck_assert_int_eq(tg_tensor_ndim(out[0]), 0);
    near_to((const double[]){item(out[0]), item(out[1])}, (const double[]){-2.150688526377100, 2.150688526377100}, 2, 1e-14);
    ck_assert_int_eq(tg_forward_n(tape, m, (tg_tensor *const[]){rows_of_five(), SIZE(0, 1, 0, 1, 0)}, 2, out, 1), TG_OK);
    ck_assert_int_eq(tg_forward_n(tape, m, (tg_tensor *const[]){tg_full(tape, TG_F64, DIMS(0, 4), 0), tg_full(tape, TG_I64, DIMS(0), 0)}, 2, out, 2), TG_OK);
    ck_assert(isnan(item(out[1])));
    tg_module_destroy(m);
}
END_TEST

START_TEST(all_classes_and_the_likeliest)
{
    const double want[] = {-1.421691250283945, -1.515441250283945, -1.788564514423785, -2.163564514423785, -2.467094776377100,
                           -2.888969776377100, -2.150688526377100, -0.419936379453506, -2.513686379453506, -2.826490949720320,
                           -2.967115949720320, -3.146055851813963, -2.505430851813963, -3.626524601813963};
    const int64_t frequent[] = {0, 0, 0, 0, 1};
    double got[35];
    int64_t best[5];
    tg_module *m = adaptive(true);
    tg_tensor *x = rows_of_five();
    get(tg_adaptive_log_prob(tape, m, x), got, 35);
    near_to(got, want, 14, 1e-14);
    ck_assert_int_eq(tg_tensor_read(tg_adaptive_predict(tape, m, x), best, sizeof best), TG_OK);
    ck_assert_mem_eq(best, frequent, sizeof best);
    /* Some in a cluster, then all of them. */
    for (int push = 1; push <= 20; push += 19) {
        const double bias[] = {0, 0, push / 2.0, push};
        put(tg_module_tensor(m, "head.bias"), bias, 4);
        int64_t of_all[5], clustered = 0;
        ck_assert_int_eq(tg_tensor_read(tg_adaptive_predict(tape, m, x), best, sizeof best), TG_OK);
        ck_assert_int_eq(tg_tensor_read(tg_argmax(tape, tg_adaptive_log_prob(tape, m, x), 1, false), of_all, sizeof of_all), TG_OK);
        ck_assert_mem_eq(best, of_all, sizeof best);
        for (int i = 0; i < 5; i++)
            clustered += best[i] > 1;
        ck_assert_msg(push == 20 ? clustered == 5 : clustered > 0 && clustered < 5, "%lld in clusters", (long long)clustered);
    }
    ck_assert_ptr_null(tg_adaptive_log_prob(tape, m, tg_select(tape, x, 0, 0)));
    tape_failed_with(TG_ESHAPE, "AdaptiveLogSoftmaxWithLoss: adaptive_log_prob: input has 1 dims, expected [N, in_features]");
    ck_assert_ptr_null(tg_adaptive_predict(tape, m, tg_full(tape, TG_F64, DIMS(2, 5), 0)));
    tape_failed_with(TG_ESHAPE, "head (Linear): got f64[2, 5]");
    ck_assert_ptr_null(tg_adaptive_predict(tape, tg_module_find(m, "head"), x));
    tape_failed_with(TG_EINVAL, "adaptive_predict: the module is no AdaptiveLogSoftmaxWithLoss");
    ck_assert_ptr_null(tg_adaptive_predict(NULL, m, x));
    ck_assert_ptr_null(tg_adaptive_log_prob(tape, NULL, x));
    tape_failed_with(TG_EINVAL, "adaptive_log_prob: the module is no");
    tg_module_destroy(m);
}
END_TEST

START_TEST(clusters_that_are_refused)
{
    static const struct {
        int64_t in, n, cutoffs[3];
        size_t count;
        double div;
        const char *words;
    } all[] = {{4, 7, {0}, 0, 4, "cutoffs: expected 1 to 8 rising numbers between 1 and n_classes − 1, n_classes is 7"},
               {4, 7, {2, 2}, 2, 4, "cutoffs"},
               {4, 7, {0, 3}, 2, 4, "cutoffs"},
               {4, 7, {2, 7}, 2, 4, "cutoffs"},
               {4, 7, {3, 2}, 2, 4, "cutoffs"},
               {4, 7, {3}, SIZE_MAX, 4, "cutoffs"},
               {4, 7, {3}, 1, 0, "div_value 0"},
               {4, 7, {3}, 1, NAN, "div_value nan"},
               {4, 7, {3}, 1, 1e-300, "div_value 1e-300"},
               {-4, 7, {3}, 1, 4, "in_features -4"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ck_assert_msg(!tg_nn_adaptive_log_softmax_with_loss(rt, all[i].in, all[i].n, all[i].cutoffs, all[i].count, all[i].div, false),
                      "%zu was taken", i);
        failed_with(TG_EINVAL, TG_EINVAL, all[i].words);
    }
    ck_assert_ptr_null(tg_nn_adaptive_log_softmax_with_loss(rt, 4, 7, NULL, 2, 4, false));
    tg_module *m = adaptive(false), *narrow = tg_nn_adaptive_log_softmax_with_loss(rt, 4, 7, (const int64_t[]){2, 4}, 2, 4, false);
    ck_assert_int_eq(tg_tensor_dim(tg_module_tensor(narrow, "tail.1.0.weight"), 0), 0); /* as in torch */
    tg_tensor *x = rows_of_five(), *y;
    ck_assert_int_eq(tg_forward_n(tape, narrow, (tg_tensor *const[]){x, SIZE(0, 6, 3, 1, 4)}, 2, &y, 1), TG_OK);
    refuses(m, x, NULL, SIZE(0, 7, 1, 1, 1), TG_EINDEX, "AdaptiveLogSoftmaxWithLoss: target: index[1] is 7, outside [0, 7)");
    refuses(m, x, NULL, SIZE(0, -1, 1, 1, 1), TG_EINDEX, "is -1, outside [0, 7)");
    refuses(m, x, NULL, SIZE(0, 1), TG_ESHAPE, "input is f64[5, 4] and target i64[2], expected [N, in_features] and i64 [N]");
    refuses(m, x, NULL, tg_full(tape, TG_I64, DIMS(5, 1), 0), TG_ESHAPE, "target i64[5, 1]");
    refuses(m, x, NULL, tg_full(tape, TG_F64, DIMS(5), 0), TG_EDTYPE, "target f64[5]");
    refuses(m, tg_full(tape, TG_F64, DIMS(1, 5), 0), NULL, SIZE(1), TG_ESHAPE, "head (Linear): got f64[1, 5], expected 4");
    tg_module_destroy(narrow);
    tg_module_destroy(m);
}
END_TEST

/* -- TripletMarginWithDistanceLoss ------------------------------------------------------------------------ */

static tg_tensor *by_sum(tg_tape *on, tg_tensor *a, tg_tensor *b, void *scale)
{
    return tg_mul_scalar(on, tg_sum_dims(on, tg_abs(on, tg_sub(on, a, b)), (const int64_t[]){-1}, 1, false), *(double *)scale);
}

static tg_tensor *by_module(tg_tape *on, tg_tensor *a, tg_tensor *b, void *module)
{
    tg_tensor *y = NULL;
    tg_forward_n(on, module, (tg_tensor *const[]){a, b}, 2, &y, 1);
    return tg_rsub_scalar(on, 1, y);
}

static tg_tensor *by_nothing(tg_tape *on, tg_tensor *a, tg_tensor *b, void *arg)
{
    (void)on, (void)a, (void)b, (void)arg;
    return NULL;
}

static void triplet(tg_module *m, size_t n, const double *want, const double *gradient)
{
    const double a[] = {-1.5, -.5, .5, 1.5, -1, 0}, p[] = {-1.5, 0, 1.5, -.5, 1, -1}, q[] = {-1.5, 1, 0, -1, 1.5, .5};
    double got[6];
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    tg_tensor *in[] = {input(DIMS(2, 3), a), input(DIMS(2, 3), p), input(DIMS(2, 3), q)}, *y;
    ck_assert_int_eq(tg_tensor_set_requires_grad(in[0], true), TG_OK);
    ck_assert_msg(tg_forward_n(tape, m, in, 3, &y, 1) == TG_OK, "%s", tg_tape_error(tape));
    get(y, got, n);
    near_to(got, want, n, 1e-14);
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, y)), TG_OK);
    get(tg_tensor_grad(in[0]), got, 6);
    near_to(got, gradient, 6, 1e-13);
}

START_TEST(triplets_by_a_function)
{
    double one = 1;
    tg_module *cosine = tg_nn_cosine_similarity(rt, 1, 1e-8),
              *usual = tg_nn_triplet_margin_with_distance_loss(rt, NULL, NULL, 1, false, TG_REDUCE_MEAN),
              *mean = tg_nn_triplet_margin_with_distance_loss(rt, by_sum, &one, 1, false, TG_REDUCE_MEAN),
              *each = tg_nn_triplet_margin_with_distance_loss(rt, by_sum, &one, .5, true, TG_REDUCE_NONE),
              *sum = tg_nn_triplet_margin_with_distance_loss(rt, by_module, cosine, 1, false, TG_REDUCE_SUM), *copy;
    const double far[] = {0, 0, -1, 0, 0, 1};
    triplet(usual, 1, (const double[]){0.483090354285073},
            (const double[]){1.309862396488713e-07, 2.507349036696345e-01, -6.053279474243773e-01, -1.673671180031705e-02,
                             1.673676507758554e-02, 2.366806817337973e-01});
    triplet(mean, 1, (const double[]){.5}, far);
    triplet(each, 2, (const double[]){0, 3}, (const double[]){0, 0, 0, 1, -1, 1});
    triplet(sum, 1, (const double[]){1.490217590518634},
            (const double[]){-2.212165687934763e-01, 2.858725388360221e-01, -3.777771675444066e-01, 2.537007734557117e-04,
                             3.805511601836509e-04, 5.180499941490396e-01});
    copy = tg_module_copy(mean);
    triplet(copy, 1, (const double[]){.5}, far);
    ck_assert_ptr_eq(tg_module_class(usual), tg_layer_find(rt, "TripletMarginWithDistanceLoss"));
    ck_assert_int_eq(tg_module_save(usual, "triplet.tapegrad"), TG_OK);
    failed_with(tg_module_save(mean, "triplet.tapegrad"), TG_EUNSUPPORTED, "its class is not registered");
    remove("triplet.tapegrad");

    ck_assert_ptr_null(tg_nn_triplet_margin_with_distance_loss(rt, by_sum, &one, 0, false, TG_REDUCE_MEAN));
    failed_with(TG_EINVAL, TG_EINVAL, "TripletMarginWithDistanceLoss: margin is 0, expected a number above 0");
    ck_assert_ptr_null(tg_nn_triplet_margin_with_distance_loss(rt, NULL, NULL, 1, false, (tg_reduction)5));
    tg_tensor *x = noisy(1, DIMS(2, 3)), *row = noisy(2, DIMS(3)), *y;
    ck_assert_int_ne(tg_forward_n(tape, mean, (tg_tensor *const[]){x, row, x}, 3, &y, 1), TG_OK);
    tape_failed_with(TG_ESHAPE, "TripletMarginWithDistanceLoss: triplet_margin_with_distance_loss: margin is 1, and the three have 2, 1 and 2 dims");
    tg_module *none = tg_nn_triplet_margin_with_distance_loss(rt, by_nothing, NULL, 1, false, TG_REDUCE_MEAN);
    ck_assert_int_ne(tg_forward_n(tape, none, (tg_tensor *const[]){x, x, x}, 3, &y, 1), TG_OK);
    tape_failed_with(TG_EINVAL, "NULL");
    tg_module *all[] = {usual, mean, each, sum, copy, none, cosine};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        tg_module_destroy(all[i]);
}
END_TEST

/* -- EmbeddingBag with max_norm ---------------------------------------------------------------------------- */

static const double table[] = {3, 4, .3, .4, 0, 2, -6, 8};

START_TEST(bags_of_rows_that_are_too_long)
{
    static const struct {
        tg_bag_mode mode;
        double norm_type, y[4], weight[8], grad[8];
    } all[] = {{TG_BAG_SUM,
                2,
                {1.199999988, 1.599999984, -.599999988, -.300000008999999},
                {.599999988, .799999984, .3, .4, 0, .999999950000003, -.599999994, .799999992},
                {-2, -2, 2, 4, 1.5, 2, 0, 0}},
               {TG_BAG_MEAN,
                1,
                {.3642857112244898, .4857142816326531, -1.020408146867879e-09, .7142856935374159},
                {.428571422448980, .571428563265306, .3, .4, 0, .999999950000003, -.428571425510204, .571428567346939},
                {1.5, 7 / 3., .5, 1, 1, 4 / 3., 1, 4 / 3.}},
               {TG_BAG_MAX,
                2,
                {.599999988, .799999984, .599999988, .999999950000003},
                {.599999988, .799999984, .3, .4, 0, .999999950000003, -.599999994, .799999992},
                {4, 2, 0, 0, 0, 4, 0, 0}}};
    double got[8];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tg_embedding_options o = tg_embedding_defaults(4, 2);
        o.mode = all[i].mode;
        o.max_norm = 1;
        o.norm_type = all[i].norm_type;
        o.padding_idx = i == 0 ? 3 : TG_NONE_INT;
        o.include_last_offset = i == 1;
        tg_module *m = tg_nn_embedding_bag_with(rt, &o);
        tg_tensor *weight = tg_module_tensor(m, "weight"), *y;
        put(weight, table, 8);
        tg_tensor *by = input(DIMS(5), (const double[]){1, 2, -1, 3, .5});
        ck_assert_int_eq(tg_tensor_set_requires_grad(by, true), TG_OK);
        tg_tensor *const in[] = {SIZE(0, 1, 0, 3, 2), i == 1 ? SIZE(0, 2, 5) : SIZE(0, 2), by};
        for (int call = 0; call < 3; call++) { /* evaluating, rolled back, and in earnest */
            tg_module_set_mode(m, call ? TG_TRAIN : TG_EVAL);
            if (call == 1)
                ck_assert_int_eq(tg_step_begin(tape), TG_OK);
            ck_assert_msg(tg_forward_n(tape, m, in, i ? 2 : 3, &y, 1) == TG_OK, "%s", tg_tape_error(tape));
            get(y, got, 4);
            near_to(got, all[i].y, 4, 1e-14);
            if (call == 1)
                tg_step_rollback(tape);
            get(weight, got, 8);
            near_to(got, call < 2 ? table : all[i].weight, 8, 1e-14);
        }
        ck_assert_int_eq(tg_backward_with(tape, y, input(DIMS(2, 2), (const double[]){1, 2, 3, 4}), 0), TG_OK);
        get(tg_tensor_grad(weight), got, 8);
        near_to(got, all[i].grad, 8, 1e-14);
        if (i == 0) {
            get(tg_tensor_grad(by), got, 5);
            near_to(got, (const double[]){2.199999956000001, 1.1, 4.999999900000001, 0, 3.999999800000011}, 5, 1e-14);
        }
        put(weight, table, 8);
        tg_module_freeze(m, TG_FREEZE_AFFINE);
        ck_assert_int_eq(tg_forward_n(tape, m, in, 2, &y, 1), TG_OK);
        get(weight, got, 8);
        near_to(got, table, 8, 0);
        tg_module_destroy(m);
    }
}
END_TEST

/* The function writes at once, as tg_embedding does. */
START_TEST(bags_of_a_table_that_is_written)
{
    double got[8];
    tg_tensor *w = input(DIMS(4, 2), table), *index = tg_reshape(tape, SIZE(0, 1), 1, 2);
    tg_embedding_bag_options o = {.mode = TG_BAG_MEAN, .padding_idx = TG_NONE_INT, .max_norm = 1};
    get(tg_embedding_bag(tape, index, w, NULL, NULL, &o), got, 2);
    near_to(got, (const double[]){.449999994, .599999992}, 2, 1e-14);
    get(w, got, 8);
    near_to(got, (const double[]){.599999988, .799999984, .3, .4, 0, 2, -6, 8}, 8, 1e-14);
    o.max_norm = -1;
    ck_assert_ptr_null(tg_embedding_bag(tape, index, w, NULL, NULL, &o));
    tape_failed_with(TG_ESHAPE, "embedding_bag: max_norm and norm_type must not be negative");
    o = (tg_embedding_bag_options){.max_norm = 1, .norm_type = -1};
    ck_assert_ptr_null(tg_embedding_bag(tape, index, w, NULL, NULL, &o));
    tape_failed_with(TG_ESHAPE, "max_norm and norm_type");
}
END_TEST

/* -- ParameterList, ParameterDict -------------------------------------------------------------------------- */

static tg_module *parameters(void)
{
    tg_module *list = tg_nn_parameter_list(rt), *dict = tg_nn_parameter_dict(rt), *all;
    tg_tensor *t;
    for (int64_t i = 0; i < 3; i++) {
        ck_assert_int_eq(tg_nn_parameter_list_append(list, DIMS(2, i + 1), &t), TG_OK);
        ck_assert_int_eq(tg_init_uniform(t, -1, 1), TG_OK);
    }
    ck_assert_int_eq(tg_module_add_parameter(dict, "right", DIMS(3), NULL), TG_OK);
    ck_assert_int_eq(tg_module_add_parameter(dict, "left", DIMS(1), &t), TG_OK);
    all = tg_nn_module_dict(rt, (const char *const[]){"weights", "sides"}, (tg_module *const[]){list, dict}, 2);
    ck_assert_msg(all != NULL, "%s", tg_error_message());
    return all;
}

static void has_names(tg_module *m, const char *const names[], size_t n)
{
    const tg_named_tensors *p = tg_module_parameters(m);
    ck_assert_uint_eq(p->n, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_str_eq(p->name[i], names[i]);
}

START_TEST(lists_of_parameters)
{
    static const char *const names[] = {"weights.0", "weights.1", "weights.2", "sides.right", "sides.left"};
    tg_module *m = parameters(), *list = tg_module_find(m, "weights");
    has_names(m, names, 5);
    tg_tensor *w = tg_module_tensor(m, "weights.1"), *x = noisy(1, DIMS(4, 2));
    ck_assert_int_eq(tg_backward(tape, tg_sum(tape, tg_matmul(tape, x, w))), TG_OK);
    ck_assert_ptr_nonnull(tg_tensor_grad(w));
    tg_module_freeze(m, TG_FREEZE_AFFINE);
    ck_assert(!tg_tensor_requires_grad(w));
    tg_module_unfreeze(m, TG_FREEZE_AFFINE);

    tg_module *copy = tg_module_copy(m), *loaded;
    ck_assert_msg(copy != NULL, "%s", tg_error_message());
    has_names(copy, names, 5);
    ck_assert_uint_eq(checksum(copy), checksum(m));
    ck_assert_msg(tg_module_save(m, "parameters.tapegrad") == TG_OK, "%s", tg_error_message());
    loaded = tg_module_load(rt, "parameters.tapegrad");
    ck_assert_msg(loaded != NULL, "%s", tg_error_message());
    has_names(loaded, names, 5);
    ck_assert_uint_eq(checksum(loaded), checksum(m));
    ck_assert_int_eq(tg_tensor_dim(tg_module_tensor(loaded, "weights.2"), 1), 3);

    ck_assert_ptr_null(tg_forward(tape, list, x));
    tape_failed_with(TG_EUNSUPPORTED, "weights (ParameterList): it has no forward");
    failed_with(tg_nn_parameter_list_append(tg_module_find(m, "sides"), DIMS(1), NULL), TG_EINVAL, "the module is ParameterDict");
    failed_with(tg_nn_parameter_list_append(NULL, DIMS(1), NULL), TG_EINVAL, "the module is NULL, expected a ParameterList");
    failed_with(tg_nn_parameter_list_append(list, DIMS(-1), NULL), TG_ESHAPE, "-1");
    failed_with(tg_module_add_parameter(tg_module_find(m, "sides"), "left", DIMS(1), NULL), TG_EINVAL, "\"left\" is taken");
    failed_with(tg_module_add_parameter(tg_module_find(m, "sides"), "a.b", DIMS(1), NULL), TG_EINVAL, "no name for a parameter");
    ck_assert_int_eq(tg_module_tie_parameter(list, "3", w), TG_OK);
    failed_with(tg_module_save(m, "parameters.tapegrad"), TG_EUNSUPPORTED, "weights (ParameterList): no file can hold its tied parameter 3");
    remove("parameters.tapegrad");
    tg_module_destroy(copy);
    tg_module_destroy(loaded);
    tg_module_destroy(m);
}
END_TEST

/* -- a Transformer of other parts ------------------------------------------------------------------------- */

static tg_tensor *run_on(tg_module *m, size_t n_in)
{
    tg_tensor *const in[] = {noisy(5, DIMS(3, 2, 4)), n_in == 2 ? noisy(6, DIMS(2, 2, 4)) : NULL};
    tg_tensor *y = NULL;
    tg_module_eval(m);
    ck_assert_msg(tg_forward_n(tape, m, in, n_in, &y, 1) == TG_OK, "%s", tg_tape_error(tape));
    return y;
}

/* The same result from a copy and from what a file gives. */
static void comes_back(tg_module *m, size_t n_in)
{
    double want[24], got[24];
    const size_t n = n_in == 2 ? 16 : 24;
    tg_module *again[2];
    get(run_on(m, n_in), want, n);
    again[0] = tg_module_copy(m);
    ck_assert_msg(again[0] && tg_module_save(m, "transformer.tapegrad") == TG_OK, "%s", tg_error_message());
    again[1] = tg_module_load(rt, "transformer.tapegrad");
    ck_assert_msg(again[1] != NULL, "%s", tg_error_message());
    remove("transformer.tapegrad");
    for (int i = 0; i < 2; i++) {
        get(run_on(again[i], n_in), got, n);
        near_to(got, want, n, 0);
        tg_module_destroy(again[i]);
    }
}

START_TEST(a_transformer_of_other_parts)
{
    tg_transformer_options o = tg_transformer_defaults(4, 2), wide;
    o.dim_feedforward = 3;
    o.num_layers = o.num_encoder_layers = o.num_decoder_layers = 2;
    wide = o;
    wide.nhead = 4;
    tg_module *encoder = tg_nn_transformer_encoder(rt, &o), *m = tg_nn_transformer(rt, &o);
    comes_back(encoder, 1);
    /* of the same shapes as the one that was there; a norm where there was none; one without masks, and smaller */
    ck_assert_int_eq(tg_module_replace_child(encoder, "layers.0", tg_nn_transformer_encoder_layer(rt, &wide)), TG_OK);
    comes_back(encoder, 1);
    ck_assert_int_eq(tg_module_add_child(encoder, "norm", tg_nn_layer_norm(rt, DIMS(4))), TG_OK);
    comes_back(encoder, 1);
    tg_module *other = tg_module_copy(encoder), *small;
    ck_assert_int_eq(tg_module_replace_child(encoder, "layers.1", tg_nn_linear(rt, 4, 4)), TG_OK);
    ck_assert_int_eq(tg_module_save(encoder, "small.tapegrad"), TG_OK);
    ck_assert_ptr_null(tg_module_load(rt, "small.tapegrad"));
    remove("small.tapegrad");
    small = tg_module_copy(encoder);
    ck_assert_uint_eq(checksum(small), checksum(encoder));
    tg_module_destroy(small);
    double got[24], want[24];
    get(run_on(encoder, 1), got, 24);
    tg_tensor *y = run_on(tg_module_find(encoder, "layers.0"), 1);
    y = tg_forward(tape, tg_module_find(encoder, "norm"), tg_forward(tape, tg_module_find(encoder, "layers.1"), y));
    get(y, want, 24);
    near_to(got, want, 24, 0);
    tg_tensor *const masked[] = {noisy(1, DIMS(3, 2, 4)), tg_causal_mask(tape, 3)};
    ck_assert_int_ne(tg_forward_n(tape, encoder, masked, 2, &y, 1), TG_OK);
    tape_failed_with(TG_EINVAL, "layers.1 (Linear): called with 2 inputs");

    comes_back(m, 2);
    tg_layer_norm_options norm = tg_layer_norm_defaults((const int64_t[]){4}, 1);
    norm.eps = .5;
    ck_assert_int_eq(tg_module_replace_child(m, "encoder", other), TG_OK);
    ck_assert_int_eq(tg_module_replace_child(m, "decoder.norm", tg_nn_layer_norm_with(rt, &norm)), TG_OK);
    comes_back(m, 2);
    ck_assert_int_eq(tg_module_replace_child(m, "encoder", encoder), TG_OK);
    ck_assert_ptr_nonnull(run_on(m, 2));
    tg_module_destroy(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rarer layers");
    TCase *t = tcase_create("rarer layers");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, sizes_of_a_transposed_convolution);
    tcase_add_test(t, sizes_of_an_unpooling);
    tcase_add_test(t, sizes_in_a_summary);
    tcase_add_test(t, classes_in_clusters);
    tcase_add_test(t, all_classes_and_the_likeliest);
    tcase_add_test(t, clusters_that_are_refused);
    tcase_add_test(t, triplets_by_a_function);
    tcase_add_test(t, bags_of_rows_that_are_too_long);
    tcase_add_test(t, bags_of_a_table_that_is_written);
    tcase_add_test(t, lists_of_parameters);
    tcase_add_test(t, a_transformer_of_other_parts);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
