/* Rows of a table, reduced bag by bag. */
#include "autograd/operators/rows.h"

#define WHAT "embedding_bag"

/* A number of a tensor's, read at once. */
static bool number_of(tg_tape *tape, tg_tensor *x, double *out)
{
    const tg_status status = x ? tg_item(x, out) : tg_tape_status(tape);
    if (x && status)
        tg_fail_again(tape, status);
    return !status;
}

/* Bags begin at 0, none before the one in front of it or behind the n indices. */
static bool check_offsets(tg_tape *tape, tg_tensor *offsets, int64_t count, int64_t n)
{
    double first = 0, last = 0, step = 0;
    if (count && (!number_of(tape, tg_select(tape, offsets, 0, 0), &first) ||
                  !number_of(tape, tg_select(tape, offsets, 0, -1), &last) ||
                  (count > 1 && !number_of(tape, tg_min(tape, tg_diff(tape, offsets, 1, 0, NULL, NULL)), &step))))
        return false;
    const bool fine = (count || !n) && first == 0 && last <= (double)n && step >= 0;
    if (!fine)
        tg_fail(tape, TG_EINDEX,
                WHAT ": expected offsets that begin with 0, never decrease and end with at most %lld; the first of %lld "
                     "is %.0f, the last %.0f, the least step %.0f",
                (long long)n, (long long)count, first, last, step);
    return fine;
}

/* Which bag each of the n indices is in. */
static tg_tensor *bags_of(tg_tape *tape, tg_tensor *offsets, int64_t width, int64_t n)
{
    tg_tensor *places = tg_arange(tape, TG_I64, 0, (double)n, 1);
    if (offsets)
        return tg_sub_scalar(tape, tg_searchsorted(tape, offsets, places, NULL, true), 1);
    const int64_t bags = width ? n / width : 0;
    return tg_repeat_interleave(tape, tg_narrow(tape, places, 0, 0, bags), width, 0);
}

static tg_tensor *reduce(tg_tape *tape, tg_tensor *rows, tg_tensor *bag, int64_t n_bags, tg_bag_mode mode)
{
    tg_desc d;
    if (!rows || !bag || tg_tensor_desc(rows, &d))
        return NULL;
    const tg_dtype dtype = (tg_dtype)d.dtype;
    const int64_t n = d.dim[0];
    d.dim[0] = n_bags;
    tg_tensor *none = tg_full(tape, dtype, d.dim, 2, 0);
    if (mode == TG_BAG_MAX) {
        tg_tensor *wide = tg_expand_dims(tape, tg_unsqueeze(tape, bag, 1), (const int64_t[]){n, d.dim[1]}, 2);
        return tg_scatter_reduce(tape, none, 0, wide, rows, TG_REDUCTION_AMAX, false);
    }
    tg_tensor *sum = tg_index_add(tape, none, 0, bag, rows, 1);
    if (mode == TG_BAG_SUM)
        return sum;
    tg_tensor *count = tg_index_add(tape, tg_full(tape, dtype, &n_bags, 1, 0), 0, bag, tg_full(tape, dtype, &n, 1, 1), 1);
    return tg_div(tape, sum, tg_unsqueeze(tape, tg_clamp(tape, count, 1, TG_NONE_REAL), 1));
}

static bool check(tg_tape *tape, const tg_desc *x, const tg_desc *offsets, const tg_desc *weights,
                  const tg_embedding_bag_options *o)
{
    char text[96];
    const bool flat = x->ndim == 1;
    const char *wrong = x->dtype != TG_I64                     ? "expected i64 indices"
                        : x->ndim != 1 && x->ndim != 2         ? "expected one or two dims"
                        : flat != (offsets != NULL)            ? "expected offsets with one dim, and none with two"
                        : offsets && (offsets->ndim != 1 || offsets->dtype != TG_I64) ? "offsets must be i64 of one dim"
                        : o->include_last_offset && (!offsets || !offsets->dim[0])    ? "include_last_offset needs an offset"
                        : weights && o->mode != TG_BAG_SUM     ? "per_sample_weights are for the sum alone"
                        : weights && !tg_desc_same_dims(weights, x) ? "per_sample_weights must have the indices' dims"
                        : o->max_norm < 0 || o->norm_type < 0  ? "max_norm and norm_type must not be negative"
                        : o->mode < TG_BAG_SUM || o->mode > TG_BAG_MAX ? "mode must be a tg_bag_mode"
                        : o->mode == TG_BAG_MAX && o->scale_grad_by_freq ? "scale_grad_by_freq is not for the maximum"
                                                                         : NULL;
    if (wrong)
        tg_fail(tape, x->dtype != TG_I64 ? TG_EDTYPE : TG_ESHAPE, WHAT ": %s; the indices are %s", wrong,
                tg_desc_format(x, text, sizeof text));
    return !wrong;
}

tg_tensor *tg_embedding_bag(tg_tape *tape, tg_tensor *index, tg_tensor *weight, tg_tensor *offsets,
                            tg_tensor *per_sample_weights, const tg_embedding_bag_options *options)
{
    return tg_embedding_bag_then(tape, index, weight, offsets, per_sample_weights, options, NULL, NULL);
}

/* What is padding goes to a bag of its own behind the others, as does what stands behind the last offset, and is cut off. */
tg_tensor *tg_embedding_bag_then(tg_tape *tape, tg_tensor *index, tg_tensor *weight, tg_tensor *offsets,
                                 tg_tensor *per_sample_weights, const tg_embedding_bag_options *options, tg_rows_fn *then,
                                 const void *arg)
{
    TG_COMPOSES(tape, WHAT);
    static const tg_embedding_bag_options defaults = {.mode = TG_BAG_MEAN, .padding_idx = TG_NONE_INT};
    const tg_embedding_bag_options o = options ? *options : defaults;
    const tg_desc *x = tg_argument(tape, index, WHAT, "index"), *w = x ? tg_argument(tape, weight, WHAT, "weight") : NULL;
    const tg_desc *from = w && offsets ? tg_argument(tape, offsets, WHAT, "offsets") : NULL;
    const tg_desc *by = w && per_sample_weights ? tg_argument(tape, per_sample_weights, WHAT, "per_sample_weights") : NULL;
    if (!w || (offsets && !from) || (per_sample_weights && !by) || !check(tape, x, from, by, &o))
        return NULL;
    const int64_t n = tg_desc_count(x), width = x->ndim == 2 ? x->dim[1] : 0, vocabulary = w->ndim ? w->dim[0] : 0;
    const int64_t n_bags = from ? from->dim[0] - o.include_last_offset : x->dim[0];
    if (from && !check_offsets(tape, offsets, from->dim[0], n))
        return NULL;
    const int64_t flat = n, tall[] = {n, 1};
    tg_tensor *places = tg_reshape_dims(tape, index, &flat, 1), *bag = bags_of(tape, offsets, width, n);
    tg_tensor *rows = tg_embedding(tape, places, weight, o.padding_idx, o.max_norm > 0 ? o.max_norm : TG_NONE_REAL,
                                   o.norm_type > 0 ? o.norm_type : 2, o.scale_grad_by_freq);
    if (then && rows)
        rows = then(tape, index, rows, arg);
    if (per_sample_weights)
        rows = tg_mul(tape, rows, tg_reshape_dims(tape, per_sample_weights, tall, 2));
    if (o.padding_idx != TG_NONE_INT) {
        const int64_t pad = o.padding_idx < 0 ? o.padding_idx + vocabulary : o.padding_idx;
        tg_tensor *is_pad = tg_eq(tape, places, tg_full(tape, TG_I64, NULL, 0, (double)pad));
        bag = tg_where(tape, is_pad, tg_full(tape, TG_I64, NULL, 0, (double)n_bags), bag);
    }
    return tg_narrow(tape, reduce(tape, rows, bag, n_bags + 1, o.mode), 0, 0, n_bags);
}
