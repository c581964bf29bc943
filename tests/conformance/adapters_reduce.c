/* torch's reductions, as calls of our public functions. */
#include <math.h>

#include "op_call.h"

/* x as 'dtype' asks for. */
static tg_tensor *in_dtype(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    return has(c, "dtype") ? tg_to(c->tape, x, dtype_or(c, c->g->dtype)) : x;
}

static void a_zeros_like(op_call *c)
{
    on_the_host(c);
    give(c, tg_zeros_like(c->tape, in_dtype(c)));
}

static void a_ones_like(op_call *c)
{
    on_the_host(c);
    give(c, tg_ones_like(c->tape, in_dtype(c)));
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

/* Over a dim: the values, whose gradient goes to the first of equal ones, and where they were. */
static void extreme(op_call *c, bool most)
{
    tg_tensor *x = tensor(c, "input");
    int64_t dim = integer(c, "dim", 0);
    bool scalar = tg_tensor_ndim(x) == 0, keep = flag(c, "keepdim", false) && !scalar;
    if (scalar)
        x = tg_reshape(c->tape, x, 1);
    tg_tensor *at = tg_argmax(c->tape, most ? x : tg_neg(c->tape, x), dim, true);
    tg_tensor *y = tg_gather(c->tape, x, dim, at);
    give(c, keep ? y : tg_squeeze(c->tape, y, dim));
    give(c, keep ? at : tg_squeeze(c->tape, at, dim));
}

/* max and min: of two, over a dim, or over all elements. */
static void a_max(op_call *c)
{
    if (has(c, "other"))
        give(c, tg_maximum(c->tape, tensor_or_number(c, "input"), tensor_or_number(c, "other")));
    else if (has(c, "dim"))
        extreme(c, true);
    else
        give(c, tg_amax_dims(c->tape, tensor(c, "input"), NULL, 0, false));
}

static void a_min(op_call *c)
{
    if (has(c, "other"))
        give(c, tg_minimum(c->tape, tensor_or_number(c, "input"), tensor_or_number(c, "other")));
    else if (has(c, "dim"))
        extreme(c, false);
    else
        give(c, tg_amin_dims(c->tape, tensor(c, "input"), NULL, 0, false));
}

static void a_var(op_call *c)
{
    double correction = flag(c, "unbiased", true) ? 1.0 : 0.0;
    correction = number(c, "correction", correction);
    tg_ints d = integers(c, "dim");
    give(c,
         tg_var_dims(c->tape, tensor(c, "input"), d.v, (size_t)d.n, correction, flag(c, "keepdim", false)));
}

static void a_argmax(op_call *c)
{
    tg_tensor *x = tensor(c, "input");
    bool keep = flag(c, "keepdim", false);
    if (has(c, "dim"))
        give(c, tg_argmax(c->tape, x, integer(c, "dim", 0), keep));
    else if (keep)
        cannot(c, "keepdim over all dims has no counterpart here");
    else
        give(c, tg_argmax(c->tape, tg_reshape(c->tape, x, -1), 0, false));
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
    {"zeros_like", a_zeros_like},
    {"ones_like", a_ones_like},
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
    {NULL, NULL},
};
