/* torch's reductions, as calls of our public functions. */
#include <math.h>
#include <string.h>

#include "op_call.h"

/* x as 'dtype' asks for. */
static tg_tensor *in_dtype(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    return has(c, "dtype") ? tg_to(c->tape, x, dtype_or(c, c->g->dtype)) : x;
}

typedef tg_tensor *(*reduction_fn)(tg_tape *, tg_tensor *, const int64_t *, size_t, bool);

static void reduce(op_call *c, reduction_fn f)
{
    tg_tensor *x = in_dtype(c);
    tg_ints d = integers(c, "dim");
    give(c, f(c->tape, x, d.v, (size_t)d.n, flag(c, "keepdim", false)));
}

static void a_sum(op_call *c)
{
    reduce(c, tg_sum_dims);
}

static void a_mean(op_call *c)
{
    reduce(c, tg_mean_dims);
}

static void a_amax(op_call *c)
{
    reduce(c, tg_amax_dims);
}

static void a_amin(op_call *c)
{
    reduce(c, tg_amin_dims);
}

static void a_logsumexp(op_call *c)
{
    reduce(c, tg_logsumexp_dims);
}

static void a_nansum(op_call *c)
{
    reduce(c, tg_nansum_dims);
}

static void a_nanmean(op_call *c)
{
    reduce(c, tg_nanmean_dims);
}

static void a_any(op_call *c)
{
    reduce(c, tg_any_dims);
}

static void a_all(op_call *c)
{
    reduce(c, tg_all_dims);
}

static void a_count_nonzero(op_call *c)
{
    tg_ints d = integers(c, "dim");
    give(c, tg_count_nonzero_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n));
}

static void a_prod(op_call *c)
{
    tg_tensor *x = in_dtype(c);
    if (has(c, "dim"))
        give(c, tg_prod_dim(c->tape, x, integer(c, "dim", 0), flag(c, "keepdim", false)));
    else
        give(c, tg_prod(c->tape, x));
}

typedef tg_tensor *(*record_fn)(tg_tape *, tg_tensor *, int64_t, tg_tensor **);

static void record(op_call *c, record_fn f)
{
    tg_tensor *at;
    give(c, f(c->tape, tensor(c, "input"), integer(c, "dim", 0), &at));
    give(c, at);
}

static void a_cummax(op_call *c)
{
    record(c, tg_cummax);
}

static void a_cummin(op_call *c)
{
    record(c, tg_cummin);
}

typedef tg_tensor *(*along_fn)(tg_tape *, tg_tensor *, int64_t);

static void along(op_call *c, along_fn f)
{
    tg_tensor *x = in_dtype(c);
    give(c, f(c->tape, x, integer(c, "dim", 0)));
}

static void a_cumsum(op_call *c)
{
    along(c, tg_cumsum);
}

static void a_cumprod(op_call *c)
{
    along(c, tg_cumprod);
}

static void a_logcumsumexp(op_call *c)
{
    along(c, tg_logcumsumexp);
}

static void a_aminmax(op_call *c)
{
    tg_tensor *most;
    tg_ints d = integers(c, "dim");
    give(c, tg_aminmax_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n, flag(c, "keepdim", false), &most));
    give(c, most);
}

typedef tg_tensor *(*extreme_fn)(tg_tape *, tg_tensor *, int64_t, bool, tg_tensor **);

static void extreme(op_call *c, extreme_fn f)
{
    tg_tensor *at;
    give(c, f(c->tape, tensor(c, "input"), integer(c, "dim", 0), flag(c, "keepdim", false), &at));
    give(c, at);
}

/* max and min: of two, over a dim, or over all elements. */
static void a_max(op_call *c)
{
    if (has(c, "other"))
        give(c, tg_maximum(c->tape, tensor_or_number(c, "input"), tensor_or_number(c, "other")));
    else if (has(c, "dim"))
        extreme(c, tg_max_dim);
    else
        give(c, tg_max(c->tape, tensor(c, "input")));
}

static void a_min(op_call *c)
{
    if (has(c, "other"))
        give(c, tg_minimum(c->tape, tensor_or_number(c, "input"), tensor_or_number(c, "other")));
    else if (has(c, "dim"))
        extreme(c, tg_min_dim);
    else
        give(c, tg_min(c->tape, tensor(c, "input")));
}

static double correction_of(op_call *c)
{
    return number(c, "correction", flag(c, "unbiased", true) ? 1.0 : 0.0);
}

typedef tg_tensor *(*spread_fn)(tg_tape *, tg_tensor *, const int64_t *, size_t, double, bool);

static void spread(op_call *c, spread_fn f)
{
    tg_ints d = integers(c, "dim");
    give(c, f(c->tape, tensor(c, "input"), d.v, (size_t)d.n, correction_of(c), flag(c, "keepdim", false)));
}

static void a_var(op_call *c)
{
    spread(c, tg_var_dims);
}

static void a_std(op_call *c)
{
    spread(c, tg_std_dims);
}

typedef tg_tensor *(*spread_mean_fn)(tg_tape *, tg_tensor *, const int64_t *, size_t, double, bool, tg_tensor **);

static void spread_mean(op_call *c, spread_mean_fn f)
{
    tg_tensor *mean;
    tg_ints d = integers(c, "dim");
    give(c, f(c->tape, tensor(c, "input"), d.v, (size_t)d.n, correction_of(c), flag(c, "keepdim", false), &mean));
    give(c, mean);
}

static void a_var_mean(op_call *c)
{
    spread_mean(c, tg_var_mean_dims);
}

static void a_std_mean(op_call *c)
{
    spread_mean(c, tg_std_mean_dims);
}

static void a_argmax(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    bool keep = flag(c, "keepdim", false);
    give(c, has(c, "dim") ? tg_argmax(c->tape, x, integer(c, "dim", 0), keep) : tg_argmax_all(c->tape, x, keep));
}

static void a_argmin(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    bool keep = flag(c, "keepdim", false);
    give(c, has(c, "dim") ? tg_argmin(c->tape, x, integer(c, "dim", 0), keep) : tg_argmin_all(c->tape, x, keep));
}

/* 'p' may be a word. */
static double order_of(op_call *c)
{
    if (!has(c, "p") || !strcmp(text(c, "p"), "fro"))
        return 2;
    return number(c, "p", 2);
}

static void a_norm(op_call *c)
{
    tg_tensor *x = in_dtype(c);
    tg_ints d = integers(c, "dim");
    give(c, tg_norm_dims(c->tape, x, order_of(c), d.v, (size_t)d.n, flag(c, "keepdim", false)));
}

static void a_dist(op_call *c)
{
    give(c, tg_dist(c->tape, tensor(c, "input"), tensor(c, "other"), order_of(c)));
}

static void a_cdist(op_call *c)
{
    has(c, "compute_mode"); /* how, not what */
    give(c, tg_cdist(c->tape, tensor(c, "x1"), tensor(c, "x2"), order_of(c)));
}

static void a_renorm(op_call *c)
{
    give(c, tg_renorm(c->tape, tensor(c, "input"), order_of(c), integer(c, "dim", 0), number(c, "maxnorm", 0)));
}

static void a_diff(op_call *c)
{
    give(c, tg_diff(c->tape, tensor(c, "input"), integer(c, "n", 1), integer(c, "dim", -1),
                    has(c, "prepend") ? tensor(c, "prepend") : NULL, has(c, "append") ? tensor(c, "append") : NULL));
}

static void a_trapezoid(op_call *c)
{
    int64_t dim = integer(c, "dim", -1);
    tg_tensor *y = tensor(c, "y");
    give(c, has(c, "x") ? tg_trapezoid_at(c->tape, y, tensor(c, "x"), dim)
                        : tg_trapezoid(c->tape, y, number(c, "dx", 1), dim));
}

static void a_cosine_similarity(op_call *c)
{
    give(c, tg_cosine_similarity(c->tape, tensor(c, "x1"), tensor(c, "x2"), integer(c, "dim", 1),
                                 number(c, "eps", 1e-8)));
}

static void a_pairwise_distance(op_call *c)
{
    give(c, tg_pairwise_distance(c->tape, tensor(c, "x1"), tensor(c, "x2"), order_of(c), number(c, "eps", 1e-6),
                                 flag(c, "keepdim", false)));
}

static void a_normalize(op_call *c)
{
    give(c, tg_normalize(c->tape, tensor(c, "input"), order_of(c), integer(c, "dim", 1), number(c, "eps", 1e-12)));
}

static void a_softmax(op_call *c)
{
    give(c, tg_softmax(c->tape, in_dtype(c), integer(c, "dim", -1)));
}

static void a_log_softmax(op_call *c)
{
    give(c, tg_log_softmax(c->tape, in_dtype(c), integer(c, "dim", -1)));
}

static void a_sum_to_size(op_call *c)
{
    tg_ints d = integers(c, "size");
    give(c, tg_sum_to_size(c->tape, tensor(c, "input"), d.v, (size_t)d.n));
}

const adapter adapters_reduce[] = {
    {"max", a_max},
    {"min", a_min},
    {"sum", a_sum},
    {"mean", a_mean},
    {"amax", a_amax},
    {"amin", a_amin},
    {"logsumexp", a_logsumexp},
    {"var", a_var},
    {"argmax", a_argmax},
    {"softmax", a_softmax},
    {"log_softmax", a_log_softmax},
    {"sum_to_size", a_sum_to_size},
    {"nansum", a_nansum},
    {"nanmean", a_nanmean},
    {"any", a_any},
    {"all", a_all},
    {"count_nonzero", a_count_nonzero},
    {"prod", a_prod},
    {"cummax", a_cummax},
    {"cummin", a_cummin},
    {"cumsum", a_cumsum},
    {"cumprod", a_cumprod},
    {"logcumsumexp", a_logcumsumexp},
    {"aminmax", a_aminmax},
    {"argmin", a_argmin},
    {"std", a_std},
    {"var_mean", a_var_mean},
    {"std_mean", a_std_mean},
    {"norm", a_norm},
    {"dist", a_dist},
    {"cdist", a_cdist},
    {"renorm", a_renorm},
    {"diff", a_diff},
    {"trapezoid", a_trapezoid},
    {"nn.functional.cosine_similarity", a_cosine_similarity},
    {"nn.functional.pairwise_distance", a_pairwise_distance},
    {"nn.functional.normalize", a_normalize},
    {NULL, NULL},
};
