/* torch's operators that index, search and sort, as calls of our public functions. */
#include "op_call.h"

#include <string.h>

/* -- picking -------------------------------------------------------------------------------------------- */

static void a_gather(op_call *c)
{
    if (flag(c, "sparse_grad", false))
        cannot(c, "sparse gradients have no counterpart here");
    give(c, tg_gather(c->tape, tensor(c, "input"), integer(c, "dim", 0), tensor(c, "index")));
}

static void a_index_select(op_call *c)
{
    give(c, tg_index_select(c->tape, tensor(c, "input"), integer(c, "dim", 0), tensor(c, "index")));
}

static void a_take(op_call *c)
{
    give(c, tg_take(c->tape, tensor(c, "input"), tensor(c, "index")));
}

static void a_take_along_dim(op_call *c)
{
    give(c, tg_take_along_dim(c->tape, tensor(c, "input"), tensor(c, "indices"),
                              integer(c, "dim", TG_NONE_INT)));
}

static void a_embedding(op_call *c)
{
    if (flag(c, "sparse", false))
        cannot(c, "sparse gradients have no counterpart here");
    give(c, tg_embedding(c->tape, tensor(c, "input"), tensor(c, "weight"),
                         integer(c, "padding_idx", TG_NONE_INT), number(c, "max_norm", TG_NONE_REAL),
                         number(c, "norm_type", 2.0), flag(c, "scale_grad_by_freq", false)));
}

static void a_one_hot(op_call *c)
{
    give(c, tg_one_hot(c->tape, tensor(c, "input"), integer(c, "num_classes", -1)));
}

/* -- writing -------------------------------------------------------------------------------------------- */

static void reduce_into(op_call *c, const char *how, tg_tensor *src)
{
    static const char *const names[] = {"sum", "prod", "mean", "amax", "amin"};
    int reduce = !strcmp(how, "add") ? TG_REDUCTION_SUM : !strcmp(how, "multiply") ? TG_REDUCTION_PROD : -1;
    for (int k = 0; k < 5 && reduce < 0; k++)
        if (!strcmp(how, names[k]))
            reduce = k;
    give(c, tg_scatter_reduce(c->tape, tensor(c, "input"), integer(c, "dim", 0), tensor(c, "index"), src,
                              (tg_scatter_reduction)reduce, flag(c, "include_self", true)));
}

static void a_scatter(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *index = tensor(c, "index");
    tg_tensor *src = has(c, "src") ? tensor_or_number(c, "src") : tensor_or_number(c, "value");
    if (has(c, "reduce"))
        reduce_into(c, text(c, "reduce"), src);
    else
        give(c, tg_scatter(c->tape, x, integer(c, "dim", 0), index, src));
}

static void a_scatter_add(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *index = tensor(c, "index"), *src = tensor(c, "src");
    give(c, tg_scatter_add(c->tape, x, integer(c, "dim", 0), index, src));
}

static void a_scatter_reduce(op_call *c)
{
    reduce_into(c, text(c, "reduce"), tensor(c, "src"));
}

static void a_index_add(op_call *c)
{
    give(c, tg_index_add(c->tape, tensor(c, "input"), integer(c, "dim", 0), tensor(c, "index"),
                         tensor(c, "source"), number(c, "alpha", 1)));
}

static void a_index_copy(op_call *c)
{
    give(c, tg_index_copy(c->tape, tensor(c, "input"), integer(c, "dim", 0), tensor(c, "index"),
                          tensor(c, "source")));
}

static void a_index_fill(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *index = tensor(c, "index");
    const int64_t dim = integer(c, "dim", 0);
    if (is_number(c, "value"))
        give(c, tg_index_fill(c->tape, x, dim, index, number(c, "value", 0)));
    else
        give(c, tg_index_fill_tensor(c->tape, x, dim, index, tensor(c, "value")));
}

/* -- masks ---------------------------------------------------------------------------------------------- */

static void a_masked_fill(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *mask = tensor(c, "mask");
    if (is_number(c, "value"))
        give(c, tg_masked_fill(c->tape, x, mask, number(c, "value", 0)));
    else
        give(c, tg_masked_fill_tensor(c->tape, x, mask, tensor(c, "value")));
}

static void a_masked_select(op_call *c)
{
    give(c, tg_masked_select(c->tape, tensor(c, "input"), tensor(c, "mask")));
}

static void a_masked_scatter(op_call *c)
{
    give(c, tg_masked_scatter(c->tape, tensor(c, "input"), tensor(c, "mask"), tensor(c, "source")));
}

static void a_nonzero(op_call *c)
{
    tg_tensor *x = tensor(c, "input"), *places[TG_MAX_DIM] = {NULL};
    if (!flag(c, "as_tuple", false)) {
        give(c, tg_nonzero(c->tape, x));
        return;
    }
    tg_nonzero_tuple(c->tape, x, places);
    for (int d = 0; d < TG_MAX_DIM && places[d]; d++)
        give(c, places[d]);
}

/* -- order ---------------------------------------------------------------------------------------------- */

static void give_both(op_call *c, tg_tensor *values, tg_tensor *places)
{
    give(c, values);
    give(c, places);
}

static void a_sort(op_call *c)
{
    tg_tensor *places = NULL;
    (void)flag(c, "stable", false);
    tg_tensor *y =
        tg_sort(c->tape, tensor(c, "input"), integer(c, "dim", -1), flag(c, "descending", false), &places);
    give_both(c, y, places);
}

static void a_argsort(op_call *c)
{
    (void)flag(c, "stable", false);
    give(c, tg_argsort(c->tape, tensor(c, "input"), integer(c, "dim", -1), flag(c, "descending", false)));
}

static void a_msort(op_call *c)
{
    give(c, tg_msort(c->tape, tensor(c, "input")));
}

static void a_topk(op_call *c)
{
    tg_tensor *places = NULL;
    (void)flag(c, "sorted", true);
    tg_tensor *y = tg_topk(c->tape, tensor(c, "input"), integer(c, "k", 1), integer(c, "dim", -1),
                           flag(c, "largest", true), &places);
    give_both(c, y, places);
}

static void a_kthvalue(op_call *c)
{
    tg_tensor *places = NULL;
    tg_tensor *y = tg_kthvalue(c->tape, tensor(c, "input"), integer(c, "k", 1), integer(c, "dim", -1),
                               flag(c, "keepdim", false), &places);
    give_both(c, y, places);
}

typedef tg_tensor *(*all_fn)(tg_tape *, tg_tensor *);
typedef tg_tensor *(*along_fn)(tg_tape *, tg_tensor *, int64_t, bool, tg_tensor **);

static void along(op_call *c, along_fn f, int64_t otherwise)
{
    tg_tensor *places = NULL;
    tg_tensor *y =
        f(c->tape, tensor(c, "input"), integer(c, "dim", otherwise), flag(c, "keepdim", false), &places);
    give_both(c, y, places);
}

static void middle(op_call *c, all_fn all, along_fn f)
{
    if (has(c, "dim"))
        along(c, f, 0);
    else
        give(c, all(c->tape, tensor(c, "input")));
}

static void a_median(op_call *c)
{
    middle(c, tg_median, tg_median_dim);
}

static void a_nanmedian(op_call *c)
{
    middle(c, tg_nanmedian, tg_nanmedian_dim);
}

static void a_mode(op_call *c)
{
    along(c, tg_mode_dim, -1);
}

static void a_quantile(op_call *c)
{
    static const char *const names[] = {"linear", "lower", "higher", "nearest", "midpoint"};
    tg_interpolation between = TG_BETWEEN_LINEAR;
    for (int k = 0; k < 5; k++)
        if (!strcmp(text(c, "interpolation"), names[k]))
            between = (tg_interpolation)k;
    give(c, tg_quantile(c->tape, tensor(c, "input"), tensor_or_number(c, "q"), integer(c, "dim", TG_NONE_INT),
                        flag(c, "keepdim", false), between));
}

static void a_searchsorted(op_call *c)
{
    bool right = flag(c, "right", false) || !strcmp(text(c, "side"), "right");
    (void)flag(c, "out_int32", false); /* our places are i64 */
    give(c, tg_searchsorted(c->tape, tensor(c, "sorted_sequence"), tensor_or_number(c, "input"),
                            has(c, "sorter") ? tensor(c, "sorter") : NULL, right));
}

static void a_bucketize(op_call *c)
{
    (void)flag(c, "out_int32", false);
    give(c, tg_bucketize(c->tape, tensor_or_number(c, "input"), tensor(c, "boundaries"),
                         flag(c, "right", false)));
}

static void a_unique(op_call *c)
{
    tg_tensor *inverse = NULL, *counts = NULL;
    (void)flag(c, "sorted", true);
    give(c, tg_unique(c->tape, tensor(c, "input"), integer(c, "dim", TG_NONE_INT), &inverse, &counts));
    if (flag(c, "return_inverse", false))
        give(c, inverse);
    if (flag(c, "return_counts", false))
        give(c, counts);
}

const adapter adapters_index[] = {
    {"gather", a_gather},
    {"index_select", a_index_select},
    {"take", a_take},
    {"take_along_dim", a_take_along_dim},
    {"nn.functional.embedding", a_embedding},
    {"nn.functional.one_hot", a_one_hot},
    {"scatter", a_scatter},
    {"scatter_add", a_scatter_add},
    {"scatter_reduce", a_scatter_reduce},
    {"index_add", a_index_add},
    {"index_copy", a_index_copy},
    {"index_fill", a_index_fill},
    {"masked_fill", a_masked_fill},
    {"masked_select", a_masked_select},
    {"masked_scatter", a_masked_scatter},
    {"nonzero", a_nonzero},
    {"sort", a_sort},
    {"argsort", a_argsort},
    {"msort", a_msort},
    {"topk", a_topk},
    {"kthvalue", a_kthvalue},
    {"median", a_median},
    {"nanmedian", a_nanmedian},
    {"mode", a_mode},
    {"quantile", a_quantile},
    {"searchsorted", a_searchsorted},
    {"bucketize", a_bucketize},
    {"unique", a_unique},
    {NULL, NULL},
};
