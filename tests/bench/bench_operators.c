/* What operators cost, one by one, in f32 at sizes that occur.
 *
 *     bench_operators [THREADS [NAME]]
 *
 * For each operator, or those whose name begins with NAME: milliseconds of a forward that records nothing,
 * and of one that records with its backward from a gradient of ones (0 where nothing has a derivative); the
 * least of some runs. */
#include <tapegrad/tapegrad.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

static tg_tape *t;
/* Lines of 10⁶ (u: in 0.1 … 1), matrices of 1000 × 1000, a column, a row; a cube of [256, 512, 64] and a
 * small one of [256, 64, 64]; what the products, images and tables take; bools and places. */
static tg_tensor *v, *w, *u, *a, *b, *column, *row, *cube, *block, *left, *right, *query, *key, *value,
    *image, *pictures, *grid, *many, *points, *others, *logits, *table, *few, *scale, *shift, *mask, *square_mask,
    *places, *words, *rows, *labels;

static const tg_pool_options overlapping = {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}};

#define DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
#define OVER(dim) (const int64_t[]){dim}, 1
#define OPERATORS(ROW)                                                                                       \
    ROW(sin, tg_sin(t, v))                                                                                   \
    ROW(tanh, tg_tanh(t, v))                                                                                 \
    ROW(exp, tg_exp(t, v))                                                                                   \
    ROW(log, tg_log(t, u))                                                                                   \
    ROW(atan, tg_atan(t, v))                                                                                 \
    ROW(erf, tg_erf(t, v))                                                                                   \
    ROW(lgamma, tg_lgamma(t, u))                                                                             \
    ROW(digamma, tg_digamma(t, u))                                                                           \
    ROW(floor, tg_floor(t, v))                                                                               \
    ROW(round, tg_round(t, v))                                                                               \
    ROW(sign, tg_sign(t, v))                                                                                 \
    ROW(sigmoid, tg_sigmoid(t, v))                                                                           \
    ROW(gelu, tg_gelu(t, v, false))                                                                          \
    ROW(clamp, tg_clamp(t, v, -0.5, 0.5))                                                                    \
    ROW(isnan, tg_isnan(t, v))                                                                               \
    ROW(to_f64, tg_to(t, v, TG_F64))                                                                         \
    ROW(add, tg_add(t, v, w))                                                                                \
    ROW(mul, tg_mul(t, v, w))                                                                                \
    ROW(div, tg_div(t, v, u))                                                                                \
    ROW(pow, tg_pow(t, u, w))                                                                                \
    ROW(maximum, tg_maximum(t, v, w))                                                                        \
    ROW(fmax, tg_fmax(t, v, w))                                                                              \
    ROW(fmod, tg_fmod(t, v, u))                                                                              \
    ROW(remainder, tg_remainder(t, v, u))                                                                    \
    ROW(floor_divide, tg_floor_divide(t, v, u))                                                              \
    ROW(atan2, tg_atan2(t, v, w))                                                                            \
    ROW(hypot, tg_hypot(t, v, w))                                                                            \
    ROW(logaddexp, tg_logaddexp(t, v, w))                                                                    \
    ROW(less, tg_lt(t, v, w))                                                                                \
    ROW(isclose, tg_isclose(t, v, w, 1e-5, 1e-8, false))                                                     \
    ROW(logical_and, tg_logical_and(t, mask, mask))                                                          \
    ROW(where, tg_where(t, mask, v, w))                                                                      \
    ROW(lerp, tg_lerp(t, v, w, u))                                                                           \
    ROW(addcmul, tg_addcmul(t, v, w, u, 2))                                                                  \
    ROW(clamp_tensor, tg_clamp_tensor(t, v, u, w))                                                           \
    ROW(add_column, tg_add(t, a, column))                                                                    \
    ROW(mul_row, tg_mul(t, a, row))                                                                          \
    ROW(mul_transposed, tg_mul(t, tg_t(t, a), b))                                                            \
    ROW(exp_transposed, tg_exp(t, tg_t(t, a)))                                                               \
    ROW(less_transposed, tg_lt(t, tg_t(t, a), b))                                                            \
    ROW(sum, tg_sum(t, cube))                                                                                \
    ROW(sum_2, tg_sum_dims(t, cube, OVER(2), false))                                                         \
    ROW(sum_0, tg_sum_dims(t, cube, OVER(0), false))                                                         \
    ROW(sum_1, tg_sum_dims(t, cube, OVER(1), false))                                                         \
    ROW(sum_transposed, tg_sum_dims(t, tg_t(t, a), OVER(0), false))                                          \
    ROW(mean_1, tg_mean_dims(t, cube, OVER(1), false))                                                       \
    ROW(amax_2, tg_amax_dims(t, cube, OVER(2), false))                                                       \
    ROW(amax_0, tg_amax_dims(t, cube, OVER(0), false))                                                       \
    ROW(max, tg_max(t, cube))                                                                                \
    ROW(max_2, tg_max_dim(t, cube, 2, false, NULL))                                                          \
    ROW(max_0, tg_max_dim(t, cube, 0, false, NULL))                                                          \
    ROW(max_1, tg_max_dim(t, cube, 1, false, NULL))                                                          \
    ROW(argmax_2, tg_argmax(t, cube, 2, false))                                                              \
    ROW(argmax_0, tg_argmax(t, cube, 0, false))                                                              \
    ROW(argmax_1, tg_argmax(t, cube, 1, false))                                                              \
    ROW(argmax_all, tg_argmax_all(t, cube, false))                                                           \
    ROW(var_2, tg_var_dims(t, cube, OVER(2), 1, false))                                                      \
    ROW(var_0, tg_var_dims(t, cube, OVER(0), 1, false))                                                      \
    ROW(std_1, tg_std_dims(t, cube, OVER(1), 1, false))                                                      \
    ROW(prod_2, tg_prod_dim(t, block, 2, false))                                                             \
    ROW(prod_0, tg_prod_dim(t, block, 0, false))                                                             \
    ROW(norm_2, tg_norm_dims(t, cube, 2, OVER(2), false))                                                    \
    ROW(norm_0, tg_norm_dims(t, cube, 2, OVER(0), false))                                                    \
    ROW(norm1_2, tg_norm_dims(t, cube, 1, OVER(2), false))                                                   \
    ROW(norm1_1, tg_norm_dims(t, cube, 1, OVER(1), false))                                                   \
    ROW(norm3_2, tg_norm_dims(t, block, 3, OVER(2), false))                                                  \
    ROW(any, tg_any_dims(t, square_mask, NULL, 0, false))                                                    \
    ROW(all_0, tg_all_dims(t, square_mask, OVER(0), false))                                                  \
    ROW(count_nonzero, tg_count_nonzero_dims(t, square_mask, NULL, 0))                                       \
    ROW(logsumexp_1, tg_logsumexp_dims(t, block, OVER(1), false))                                            \
    ROW(cumsum_2, tg_cumsum(t, block, 2))                                                                    \
    ROW(cumsum_1, tg_cumsum(t, block, 1))                                                                    \
    ROW(cumsum_0, tg_cumsum(t, block, 0))                                                                    \
    ROW(cumprod_2, tg_cumprod(t, block, 2))                                                                  \
    ROW(cumprod_0, tg_cumprod(t, block, 0))                                                                  \
    ROW(logcumsumexp_2, tg_logcumsumexp(t, block, 2))                                                        \
    ROW(logcumsumexp_0, tg_logcumsumexp(t, block, 0))                                                        \
    ROW(cummax_2, tg_cummax(t, block, 2, NULL))                                                              \
    ROW(cummax_0, tg_cummax(t, block, 0, NULL))                                                              \
    ROW(diff, tg_diff(t, block, 1, -1, NULL, NULL))                                                          \
    ROW(sort_1, tg_sort(t, a, 1, false, NULL))                                                               \
    ROW(sort_0, tg_sort(t, a, 0, false, NULL))                                                               \
    ROW(sort, tg_sort(t, v, 0, false, NULL))                                                                 \
    ROW(topk_1, tg_topk(t, a, 10, 1, true, NULL))                                                            \
    ROW(topk, tg_topk(t, v, 10, 0, true, NULL))                                                              \
    ROW(median_1, tg_median_dim(t, a, 1, false, NULL))                                                       \
    ROW(median, tg_median(t, v))                                                                             \
    ROW(kthvalue_1, tg_kthvalue(t, a, 300, 1, false, NULL))                                                  \
    ROW(quantile_1, tg_quantile(t, a, tg_scalar(t, TG_F32, 0.3), 1, false, TG_BETWEEN_LINEAR))               \
    ROW(unique, tg_unique(t, places, 0, NULL, NULL))                                                         \
    ROW(searchsorted, tg_bucketize(t, v, few, false))                                                        \
    ROW(gather_1, tg_gather(t, a, 1, places))                                                                \
    ROW(gather_0, tg_gather(t, a, 0, places))                                                                \
    ROW(scatter_add_1, tg_scatter_add(t, a, 1, places, b))                                                   \
    ROW(scatter_add_0, tg_scatter_add(t, a, 0, places, b))                                                   \
    ROW(index_select_0, tg_index_select(t, a, 0, rows))                                                      \
    ROW(index_select_1, tg_index_select(t, a, 1, rows))                                                      \
    ROW(index_add_0, tg_index_add(t, a, 0, rows, b, 1))                                                      \
    ROW(index_add_1, tg_index_add(t, a, 1, rows, b, 1))                                                      \
    ROW(take, tg_take(t, v, places))                                                                         \
    ROW(embedding, tg_embedding(t, words, table, -1, TG_NONE_REAL, 2, false))                                \
    ROW(one_hot, tg_one_hot(t, labels, 1000))                                                                \
    ROW(masked_fill, tg_masked_fill(t, a, square_mask, -1))                                                  \
    ROW(masked_select, tg_masked_select(t, a, square_mask))                                                  \
    ROW(nonzero, tg_nonzero(t, square_mask))                                                                 \
    ROW(cat_0, tg_cat_n(t, (tg_tensor *[]){a, b}, 2, 0))                                                     \
    ROW(cat_1, tg_cat_n(t, (tg_tensor *[]){a, b}, 2, 1))                                                     \
    ROW(stack_2, tg_stack_n(t, (tg_tensor *[]){a, b}, 2, 2))                                                 \
    ROW(flip_0, tg_flip_dims(t, a, OVER(0)))                                                                 \
    ROW(flip_1, tg_flip_dims(t, a, OVER(1)))                                                                 \
    ROW(roll, tg_roll(t, a, (int64_t[]){3}, (int64_t[]){1}, 1))                                              \
    ROW(repeat, tg_repeat_dims(t, a, DIMS(2, 2)))                                                            \
    ROW(repeat_interleave, tg_repeat_interleave(t, a, 2, 1))                                                 \
    ROW(tril, tg_tril(t, a, 0))                                                                              \
    ROW(strided_copy, tg_contiguous(t, tg_slice(t, a, 1, 0, 1000, 2)))                                       \
    ROW(transposed_copy, tg_contiguous(t, tg_t(t, a)))                                                       \
    ROW(permuted_copy_120, tg_contiguous(t, tg_permute_dims(t, block, DIMS(1, 2, 0))))                       \
    ROW(permuted_copy_102, tg_contiguous(t, tg_permute_dims(t, block, DIMS(1, 0, 2))))                       \
    ROW(permuted_copy_210, tg_contiguous(t, tg_permute_dims(t, block, DIMS(2, 1, 0))))                       \
    ROW(matmul, tg_matmul(t, a, b))                                                                          \
    ROW(addmm, tg_addmm(t, a, a, b, 1, 1))                                                                   \
    ROW(bmm, tg_bmm(t, left, right))                                                                         \
    ROW(einsum, tg_einsum(t, "bij,bjk->bik", (tg_tensor *[]){left, right}, 2))                               \
    ROW(einsum_dots, tg_einsum(t, "bij,bij->bi", (tg_tensor *[]){left, left}, 2))                            \
    ROW(tensordot, tg_tensordot(t, points, block, (int64_t[]){1}, (int64_t[]){1}, 1))                        \
    ROW(kron, tg_kron(t, row, row))                                                                          \
    ROW(outer, tg_outer(t, row, row))                                                                        \
    ROW(attention,                                                                                           \
        tg_scaled_dot_product_attention(t, query, key, value, &(tg_attention_options){.is_causal = true}))   \
    ROW(bilinear, tg_interpolate(t, image, (int64_t[]){128, 128}, 2, TG_LINEAR, false, false))               \
    ROW(nearest, tg_interpolate(t, image, (int64_t[]){128, 128}, 2, TG_NEAREST, false, false))               \
    ROW(bicubic, tg_interpolate(t, image, (int64_t[]){128, 128}, 2, TG_CUBIC, false, false))                 \
    ROW(grid_sample, tg_grid_sample(t, image, grid, TG_LINEAR, TG_GRID_ZEROS, false))                        \
    ROW(im2col, tg_im2col(t, image, (int64_t[]){3, 3}, NULL, (int64_t[]){1, 1}, NULL))                       \
    ROW(unfold_dim, tg_contiguous(t, tg_unfold_dim(t, a, 1, 10, 5)))                                         \
    ROW(max_pool, tg_max_pool(t, pictures, 2, &(tg_pool_options){.kernel = {2, 2}}, NULL))                   \
    ROW(max_pool_overlapping, tg_max_pool(t, pictures, 2, &overlapping, NULL))                               \
    ROW(avg_pool, tg_avg_pool(t, pictures, 2, &(tg_pool_options){.kernel = {2, 2}}))                         \
    ROW(avg_pool_overlapping, tg_avg_pool(t, pictures, 2, &overlapping))                                     \
    ROW(pixel_shuffle, tg_pixel_shuffle(t, image, 4))                                                        \
    ROW(cdist, tg_cdist(t, points, others, 2))                                                               \
    ROW(cdist_1, tg_cdist(t, points, others, 1))                                                             \
    ROW(cosine_similarity, tg_cosine_similarity(t, a, b, 1, 1e-8))                                           \
    ROW(cross_entropy, tg_cross_entropy(t, logits, labels))                                                  \
    ROW(softmax_2, tg_softmax(t, block, 2))                                                                  \
    ROW(softmax_1, tg_softmax(t, block, 1))                                                                  \
    ROW(log_softmax_0, tg_log_softmax(t, block, 0))                                                          \
    ROW(layer_norm, tg_layer_norm(t, a, 1, scale, shift, 1e-5))                                              \
    ROW(batch_norm, tg_batch_norm_train(t, image, many, many, 1e-5, NULL, NULL))

#define FUNCTION(name, ...)                                                                                  \
    static tg_tensor *run_##name(void)                                                                       \
    {                                                                                                        \
        return __VA_ARGS__;                                                                                  \
    }
#define ENTRY(name, ...) {#name, run_##name},
OPERATORS(FUNCTION)
static const struct {
    const char *name;
    tg_tensor *(*run)(void);
} operators[] = {OPERATORS(ENTRY)};

static double now_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return 1e3 * (double)at.tv_sec + 1e-6 * (double)at.tv_nsec;
}

static tg_tensor *leaves[64];
static size_t n_leaves;

static tg_tensor *floats(tg_runtime *rt, bool positive, const int64_t *dims, size_t ndim)
{
    tg_tensor *x = NULL;
    if (!tg_tensor_create(&x, rt, TG_F32, dims, ndim)) {
        positive ? tg_init_uniform(x, 0.1, 1) : tg_init_normal(x, 0, 1);
        tg_tensor_set_requires_grad(x, true);
        leaves[n_leaves++] = x;
    }
    return x;
}

/* Whole numbers below `end` in no order, or what is even of them. */
static tg_tensor *wholes(tg_runtime *rt, tg_dtype dtype, int64_t end, const int64_t *dims, size_t ndim)
{
    tg_tensor *x = NULL;
    if (tg_tensor_create(&x, rt, dtype, dims, ndim))
        return NULL;
    const int64_t n = tg_tensor_count(x);
    int64_t *values = malloc((size_t)n * sizeof *values);
    bool *bits = malloc((size_t)n);
    uint64_t state = 1;
    for (int64_t i = 0; values && bits && i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[i] = (int64_t)(state >> 33) % end;
        bits[i] = values[i] % 2 == 0;
    }
    if (values && bits)
        tg_tensor_write(x, dtype == TG_BOOL ? (void *)bits : values,
                        (size_t)n * (dtype == TG_BOOL ? 1 : sizeof *values));
    free(values);
    free(bits);
    return x;
}

static void make_inputs(tg_runtime *rt)
{
    v = floats(rt, false, DIMS(1000000)), w = floats(rt, false, DIMS(1000000)),
    u = floats(rt, true, DIMS(1000000));
    a = floats(rt, false, DIMS(1000, 1000)), b = floats(rt, false, DIMS(1000, 1000));
    column = floats(rt, false, DIMS(1000, 1)), row = floats(rt, false, DIMS(1000));
    cube = floats(rt, false, DIMS(256, 512, 64)), block = floats(rt, true, DIMS(256, 64, 64));
    left = floats(rt, false, DIMS(64, 128, 128)), right = floats(rt, false, DIMS(64, 128, 128));
    query = floats(rt, false, DIMS(8, 6, 256, 64)), key = floats(rt, false, DIMS(8, 6, 256, 64));
    value = floats(rt, false, DIMS(8, 6, 256, 64));
    image = floats(rt, false, DIMS(8, 16, 64, 64)), grid = floats(rt, false, DIMS(8, 64, 64, 2));
    pictures = floats(rt, false, DIMS(128, 32, 28, 28));
    many = floats(rt, false, DIMS(16)), points = floats(rt, false, DIMS(500, 64)),
    others = floats(rt, false, DIMS(500, 64));
    logits = floats(rt, false, DIMS(1024, 1000)), table = floats(rt, false, DIMS(10000, 128));
    scale = floats(rt, false, DIMS(1000)), shift = floats(rt, false, DIMS(1000));
    mask = wholes(rt, TG_BOOL, 1000, DIMS(1000000)),
    square_mask = wholes(rt, TG_BOOL, 1000, DIMS(1000, 1000));
    places = wholes(rt, TG_I64, 1000, DIMS(1000, 1000)), words = wholes(rt, TG_I64, 10000, DIMS(64, 128));
    rows = wholes(rt, TG_I64, 1000, DIMS(1000)), labels = wholes(rt, TG_I64, 1000, DIMS(1024));
    float steps[1000];
    for (int k = 0; k < 1000; k++)
        steps[k] = 0.006f * (float)k - 3;
    if (!tg_tensor_create(&few, rt, TG_F32, DIMS(1000)))
        tg_tensor_write(few, steps, sizeof steps);
}

/* The least milliseconds of at least 5 runs and a tenth of a second, or of one long run. */
static double measure(tg_tensor *(*run)(void), tg_tensor *gy)
{
    double least = 1e9, total = 0;
    for (int i = 0; (i < 5 || total < 100) && total < 500; i++) {
        for (size_t k = 0; k < n_leaves; k++)
            tg_tensor_zero_grad(leaves[k]);
        tg_tape_reset(t);
        const double start = now_ms();
        tg_tensor *y = run();
        if (gy)
            tg_backward_with(t, y, gy, 0);
        const double ms = now_ms() - start;
        least = ms < least ? ms : least;
        total += ms;
    }
    return least;
}

static bool report(tg_runtime *rt, size_t i)
{
    tg_tensor *y = operators[i].run(), *gy = NULL;
    tg_desc d;
    if (!y || tg_tensor_desc(y, &d))
        return false;
    if (tg_tensor_requires_grad(y) &&
        (tg_tensor_create(&gy, rt, d.dtype, d.dim, (size_t)d.ndim) || tg_fill(gy, 1)))
        return false;
    tg_tape_set_recording(t, false);
    const double forward = measure(operators[i].run, NULL);
    tg_tape_set_recording(t, true);
    printf("%-20s %10.3f %10.3f\n", operators[i].name, forward, gy ? measure(operators[i].run, gy) : 0);
    fflush(stdout);
    tg_tensor_destroy(gy);
    return tg_tape_status(t) == TG_OK;
}

int main(int argc, char **argv)
{
    const char *name = argc > 2 ? argv[2] : "";
    tg_runtime_options options = {.struct_size = sizeof options, .threads = argc > 1 ? atoi(argv[1]) : 0};
    tg_runtime *rt;
    if (tg_runtime_open(&rt, &options)) {
        fprintf(stderr, "bench_operators: %s\n", tg_error_message());
        return 1;
    }
    make_inputs(rt);
    if (tg_tape_open(&t, rt)) {
        fprintf(stderr, "bench_operators: %s\n", tg_error_message());
        return 1;
    }
    printf("# %s, %d threads\n# operator              forward       both\n", tg_runtime_backend(rt),
           tg_runtime_threads(rt));
    bool good = true;
    for (size_t i = 0; i < sizeof operators / sizeof *operators && good; i++)
        if (!strncmp(operators[i].name, name, strlen(name)))
            good = report(rt, i);
    if (!good)
        fprintf(stderr, "bench_operators: %s\n", tg_tape_error(t));
    tg_tape_close(t);
    tg_runtime_close(rt);
    return good ? 0 : 1;
}
