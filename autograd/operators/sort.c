/* Order: sorting, the k greatest, medians, modes, quantiles, unique values, searching. */
#include "autograd/operators/indices.h"

#include <string.h>

/* -- infer ---------------------------------------------------------------------------------------------- */

static tg_status need_numbers(const tg_infer *q)
{
    const int32_t dtype = q->in[0]->dtype;
    if (!tg_dtype_is_float(dtype) && dtype != TG_I64)
        return tg_infer_fail(q, TG_EDTYPE, "x must be f32, f64 or i64, not %s", tg_dtype_name(dtype));
    return TG_OK;
}

/* Values and places of x's dims, but n along dim. */
static tg_status infer_along(const tg_infer *q, int64_t dim, int64_t n)
{
    const tg_desc *x = q->in[0];
    if (dim < 0 || dim >= x->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim must be between 0 and %d, got %lld", x->ndim - 1,
                             (long long)dim);
    int64_t dims[TG_MAX_DIM];
    memcpy(dims, x->dim, sizeof dims);
    if (n >= 0)
        dims[dim] = n;
    tg_status status = tg_desc_make(&q->out[0], (tg_dtype)x->dtype, dims, (size_t)x->ndim);
    if (!status)
        status = tg_desc_make(&q->out[1], TG_I64, dims, (size_t)x->ndim);
    return status ? tg_infer_fail(q, status, "the result is too large") : TG_OK;
}

static tg_status infer_sort(const tg_infer *q)
{
    tg_status status = tg_need_moved(q, 0, "x");
    return status ? status : infer_along(q, ((const tg_sort_attrs *)q->attrs)->dim, -1);
}

static tg_status infer_topk(const tg_infer *q)
{
    const tg_sort_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    tg_status status = need_numbers(q);
    if (!status && a->dim >= 0 && a->dim < x->ndim && (a->k < 0 || a->k > x->dim[a->dim]))
        status = tg_infer_fail(q, TG_EINVAL, "k must be between 0 and %lld, got %lld",
                               (long long)x->dim[a->dim], (long long)a->k);
    return status ? status : infer_along(q, a->dim, a->k);
}

/* One of each line, which is not empty. */
static tg_status infer_one(const tg_infer *q)
{
    const tg_pick_attrs *a = q->attrs;
    tg_status status = infer_along(q, a->dim, 1);
    if (!status && q->in[0]->dim[a->dim] == 0)
        status = tg_infer_fail(q, TG_ESHAPE, "x has no elements along dim %lld", (long long)a->dim);
    return status;
}

static tg_status infer_mode(const tg_infer *q)
{
    tg_status status = tg_need_moved(q, 0, "x");
    return status ? status : infer_one(q);
}

static tg_status infer_median(const tg_infer *q)
{
    tg_status status = need_numbers(q);
    return status ? status : infer_one(q);
}

static tg_status infer_kthvalue(const tg_infer *q)
{
    const tg_pick_attrs *a = q->attrs;
    tg_status status = infer_median(q);
    if (!status && (a->option < 1 || a->option > q->in[0]->dim[a->dim]))
        status = tg_infer_fail(q, TG_EINVAL, "k must be between 1 and %lld, got %lld",
                               (long long)q->in[0]->dim[a->dim], (long long)a->option);
    return status;
}

static tg_status infer_median_all(const tg_infer *q)
{
    const tg_desc *x = q->in[0];
    tg_status status = need_numbers(q);
    if (!status && !tg_dtype_is_float(x->dtype) && !tg_desc_count(x))
        status = tg_infer_fail(q, TG_ESHAPE, "there is no median of no integers");
    if (!status)
        status = tg_desc_make(&q->out[0], (tg_dtype)x->dtype, NULL, 0);
    return status ? status : tg_desc_make(&q->out[1], (tg_dtype)x->dtype, x->dim, (size_t)x->ndim);
}

static tg_status infer_quantile_place(const tg_infer *q)
{
    const tg_quantile_attrs *a = q->attrs;
    const tg_desc *at = q->in[0], *unknown = q->in[1];
    int64_t dims[TG_MAX_DIM];
    if (!tg_dtype_is_float(at->dtype) || unknown->dtype != TG_BOOL)
        return tg_infer_fail(q, TG_EDTYPE, "q must be f32 or f64, and unknown bool");
    if (at->ndim != 1 || !unknown->ndim || unknown->dim[unknown->ndim - 1] != 1)
        return tg_infer_fail(q, TG_ESHAPE, "q must have one dim, and unknown a last one of size 1");
    if (a->n < 1 || a->n > INT64_C(1) << 53 || a->interpolation < TG_BETWEEN_LINEAR ||
        a->interpolation > TG_BETWEEN_MIDPOINT)
        return tg_infer_fail(q, TG_EINVAL, "n must be from 1 to 2^53, and interpolation between 0 and %d",
                             TG_BETWEEN_MIDPOINT);
    memcpy(dims, unknown->dim, sizeof dims);
    dims[unknown->ndim - 1] = at->dim[0];
    tg_status status = TG_OK;
    for (int o = 0; o < 3 && !status; o++)
        status = tg_desc_make(&q->out[o], o < 2 ? TG_I64 : (tg_dtype)at->dtype, dims, (size_t)unknown->ndim);
    return status ? tg_infer_fail(q, status, "the result is too large") : TG_OK;
}

static tg_status infer_searchsorted(const tg_infer *q)
{
    const tg_desc *sequence = q->in[0], *values = q->in[1], *sorter = q->in[2];
    tg_status status = tg_need_moved(q, 0, "sequence");
    if (status)
        return status;
    if (values->dtype != sequence->dtype || (sorter && sorter->dtype != TG_I64))
        return tg_infer_fail(q, TG_EDTYPE, "values must be of sequence's dtype, and sorter i64");
    if (sorter && !tg_desc_same_dims(sequence, sorter))
        return tg_infer_fail(q, TG_ESHAPE, "sorter must have sequence's dims");
    bool fits = sequence->ndim == 1 || (sequence->ndim > 1 && sequence->ndim == values->ndim);
    for (int d = 0; d < sequence->ndim - 1 && fits; d++)
        fits = sequence->dim[d] == values->dim[d];
    if (!fits)
        return tg_infer_fail(q, TG_ESHAPE, "sequence must have one dim, or values' dims but the last one");
    return tg_desc_make(q->out, TG_I64, values->dim, (size_t)values->ndim);
}

/* A sorter's places are inside the sequence; what infer refuses anyway is left to it. */
static tg_status check_searchsorted(tg_tape *tape, tg_tensor *const in[], size_t n_in, const void *attrs)
{
    tg_desc sequence, sorter;
    (void)n_in, (void)attrs;
    if (!in[2])
        return TG_OK;
    tg_status status = tg_tensor_desc(in[0], &sequence);
    if (status == TG_OK)
        status = tg_tensor_desc(in[2], &sorter);
    if (status)
        return tg_fail_again(tape, status);
    if (sorter.dtype != TG_I64 || !sequence.ndim || !tg_desc_same_dims(&sequence, &sorter) ||
        !tg_desc_count(&sorter))
        return TG_OK;
    tg_check_places(tape, "searchsorted: sorter", in[2], 0, sequence.dim[sequence.ndim - 1], NULL);
    return tg_tape_status(tape);
}

static tg_status infer_unique_plan(const tg_infer *q)
{
    const tg_unique_attrs *a = q->attrs;
    const tg_desc *x = q->in[0];
    tg_status status = tg_need_moved(q, 0, "x");
    if (status)
        return status;
    if (a->dim < -1 || a->dim >= x->ndim)
        return tg_infer_fail(q, TG_EINVAL, "dim must be between -1 and %d, got %lld", x->ndim - 1,
                             (long long)a->dim);
    const int64_t n = a->dim < 0 ? tg_desc_count(x) : x->dim[a->dim];
    if (n && !tg_desc_count(x))
        return tg_infer_fail(q, TG_ESHAPE, "the slices have no elements");
    for (int o = 0; o < 4 && !status; o++)
        status = tg_desc_make(&q->out[o], TG_I64, &n, o < 3);
    return status;
}

/* -- rules ---------------------------------------------------------------------------------------------- */

/* Zeros as x was, with gy where the values came from. */
static tg_status chosen_vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    const int64_t *dim = tg_node_attrs(node); /* the first member of each struct here */
    tg_desc x;
    if (tg_input_dims(tape, node, 0, &x))
        gx[0] = tg_scatter_add(tape, tg_full(tape, (tg_dtype)x.dtype, x.dim, (size_t)x.ndim, 0), *dim,
                               tg_node_output(node, 1), gy[0]);
    return tg_tape_status(tape);
}

/* Output 1 is each element's share. */
TG_RULE(median_all)
{
    gx[0] = tg_mul(tape, gy[0], tg_node_output(node, 1));
    return tg_tape_status(tape);
}

/* Only the weight depends on q, and only where it is linear and something is known. */
TG_RULE(quantile_place)
{
    const tg_quantile_attrs *a = tg_node_attrs(node);
    tg_desc q;
    if (!gy[2] || a->interpolation != TG_BETWEEN_LINEAR || !tg_input_dims(tape, node, 0, &q))
        return tg_tape_status(tape);
    tg_tensor *known = tg_where(tape, tg_node_input(node, 1), tg_constant_like(tape, gy[2], 0), gy[2]);
    gx[0] = tg_sum_to_size(tape, tg_mul_scalar(tape, known, (double)(a->n - 1)), q.dim, (size_t)q.ndim);
    return tg_tape_status(tape);
}

/* -- rows ----------------------------------------------------------------------------------------------- */

#define CUBE TG_DIM3(2, 4, 3), TG_RANGE(-4, 4), TG_DISTINCT(0.01)
#define TURNED                                                                                               \
    TG_DIM2(4, 5), TG_RANGE(-4, 4), distinct strided, apart 0.01
static const tg_sort_attrs up = {1, 0, 0}, down = {0, 1, 0}, three_most = {1, 1, 3}, two_least = {0, 0, 2};
static const tg_pick_attrs along_1 = {1, 0}, along_0 = {0, 1}, second_1 = {1, 2};
static const tg_quantile_attrs linear = {5, TG_BETWEEN_LINEAR};
static const tg_searchsorted_attrs left = {0}, right_side = {1};
static const tg_unique_attrs elements = {-1}, slices = {0};
TG_SAMPLES(sorts, {.label = "ascending", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &up},
           {.label = "strided, descending", .in = TG_SAMPLE_INPUTS({TURNED}), .attrs = &down})
TG_SAMPLES(tops, {.label = "greatest", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &three_most},
           {.label = "strided, least", .in = TG_SAMPLE_INPUTS({TURNED}), .attrs = &two_least})
TG_SAMPLES(picks, {.label = "cube", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &along_1},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({TURNED}), .attrs = &along_0})
TG_SAMPLES(kths, {.label = "second", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &second_1},
           {.label = "strided, first", .in = TG_SAMPLE_INPUTS({TURNED}), .attrs = &along_0})
TG_SAMPLES(quantiles, {.label = "linear",
                       .in = TG_SAMPLE_INPUTS({TG_DIM1(3), TG_RANGE(0.05, 0.95), away 0.01 from [0.25, 0.5, 0.75]},
                                              {TG_DIM2(2, 1), boolean, constant}),
                       .attrs = &linear})
TG_SAMPLES(searches,
           {.label = "left",
            .in = TG_SAMPLE_INPUTS({TG_DIM1(5), TG_INDEX(9)}, {TG_DIM2(2, 3), TG_INDEX(9)},
                                   {absent constant}),
            .attrs = &left},
           {.label = "right, sorter",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(2, 5), TG_INDEX(9)}, {TG_DIM2(2, 3), TG_INDEX(9)},
                                   {TG_DIM2(2, 5), TG_INDEX(5)}),
            .attrs = &right_side})
TG_SAMPLES(
    plans,
    {.label = "elements",
     .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), TG_INDEX(4)}),
     .attrs = &elements},
    {.label = "slices", .in = TG_SAMPLE_INPUTS({TG_DIM2(6, 2), TG_INDEX(2)}), .attrs = &slices})

#define SPEC(type_, name_, doc_)                                                                             \
    {                                                                                                        \
        .name = #name_, .type = TG_ATTR_INT, .offset = offsetof(type_, name_), .doc = doc_                   \
    }
static const tg_attr_spec sort_specs[] = {
    SPEC(tg_sort_attrs, dim, "along this dim"),
    SPEC(tg_sort_attrs, descending, "1: the greatest first"),
    SPEC(tg_sort_attrs, k, "topk: how many"),
    {0},
};
static const tg_attr_spec pick_specs[] = {
    SPEC(tg_pick_attrs, dim, "along this dim"),
    SPEC(tg_pick_attrs, option, "kthvalue: k; median: 1 leaves NaNs out"),
    {0},
};
static const tg_attr_spec quantile_specs[] = {
    SPEC(tg_quantile_attrs, n, "how many values are sorted"),
    SPEC(tg_quantile_attrs, interpolation, "0 linear, 1 lower, 2 higher, 3 nearest, 4 midpoint"),
    {0},
};
static const tg_attr_spec search_specs[] = {SPEC(tg_searchsorted_attrs, right, "1: behind equal ones"), {0}};
static const tg_attr_spec unique_specs[] = {SPEC(tg_unique_attrs, dim, "slices along this dim, -1: elements"),
                                            {0}};

/* Values and their places. */
#define CHOOSES(name_, doc_, type, specs, infer_, table)                                                     \
    TG_ROW(name_, doc_), .n_in = 1, .n_out = 2, TG_ATTRS(type, specs), .saves = TG_OP_OUT(1),                \
                         .nondiff_out = 2, .infer = infer_, .vjp = chosen_vjp, .samples = TG_PROOF(table)
static const tg_operator row_sort = {CHOOSES("sort", "x's values along dim in order, and where they were",
                                             tg_sort_attrs, sort_specs, infer_sort, sorts)};
static const tg_operator row_topk = {CHOOSES("topk", "the k first values of x along dim, and where they were",
                                             tg_sort_attrs, sort_specs, infer_topk, tops)};
static const tg_operator row_kthvalue = {CHOOSES("kthvalue",
                                                 "the k-th smallest value along dim, and where it was",
                                                 tg_pick_attrs, pick_specs, infer_kthvalue, kths)};
static const tg_operator row_median = {CHOOSES("median",
                                               "the value in the middle along dim, and where it was",
                                               tg_pick_attrs, pick_specs, infer_median, picks)};
static const tg_operator row_mode = {CHOOSES("mode",
                                             "the most frequent value along dim, and where it was last",
                                             tg_pick_attrs, pick_specs, infer_mode, picks)};
static const tg_operator row_median_all = {
    TG_ROW("median_all", "the value in the middle of all"),
    .n_in = 1,
    .n_out = 2,
    TG_ATTRS(tg_pick_attrs, pick_specs),
    .saves = TG_OP_OUT(1),
    .nondiff_out = 2,
    .kept_out = 2,
    .infer = infer_median_all,
    .vjp = median_all_vjp,
    .samples = TG_PROOF(picks),
};
static const tg_operator row_quantile_place = {
    TG_ROW("quantile_place", "the ranks below and above q*(n - 1), and how far it is between them"),
    .n_in = 2,
    .n_out = 3,
    TG_ATTRS(tg_quantile_attrs, quantile_specs),
    .saves = TG_OP_IN(1),
    .nondiff_out = 3,
    .infer = infer_quantile_place,
    .vjp = quantile_place_vjp,
    .samples = TG_PROOF(quantiles),
};
static const tg_operator row_searchsorted = {
    TG_ROW("searchsorted", "where each value belongs in the sorted sequence"),
    .flags = TG_OP_NONDIFF | TG_OP_DENSE | TG_OP_HOST_CHECK,
    .n_in = 3,
    .n_out = 1,
    .optional = TG_OP_IN(2),
    .promotes = TG_OP_IN(0) | TG_OP_IN(1),
    TG_ATTRS(tg_searchsorted_attrs, search_specs),
    .infer = infer_searchsorted,
    .check = check_searchsorted,
    .samples = TG_PROOF(searches),
};
static const tg_operator row_unique_plan = {
    TG_ROW("unique_plan", "which elements or slices are the same"),
    .flags = TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 4,
    TG_ATTRS(tg_unique_attrs, unique_specs),
    .infer = infer_unique_plan,
    .samples = TG_PROOF(plans),
};

/* -- the functions of ops.h: values and places ---------------------------------------------------------- */

/* How a wrapper asks for values and places along dim. */
typedef struct choice {
    const char *what;
    const tg_operator *row;
    bool scalar, drop; /* drop: the dim, whose size is 1 */
    int64_t dim;
} choice;

/* x as the row takes it: a scalar is a vector of one. NULL on error. */
static tg_tensor *take_argument(tg_tape *tape, choice *c, tg_tensor *x)
{
    c->scalar = tg_is_scalar(x);
    x = tg_as_vector(tape, x);
    return tg_sliceable(tape, x, c->what, &c->dim) ? x : NULL;
}

static tg_tensor *shaped(tg_tape *tape, const choice *c, tg_tensor *y)
{
    if (c->scalar)
        return tg_as_scalar_if(tape, y, true);
    return c->drop ? tg_squeeze(tape, y, c->dim) : y;
}

static tg_tensor *choose(tg_tape *tape, const choice *c, tg_tensor *x, const void *attrs, tg_tensor **places)
{
    tg_tensor *out[2] = {NULL};
    if (places)
        *places = NULL;
    if (!x || tg_apply(tape, c->row, &x, 1, attrs, NULL, out))
        return NULL;
    if (places)
        *places = shaped(tape, c, out[1]);
    else
        tg_discard(out[1]);
    return shaped(tape, c, out[0]);
}

tg_tensor *tg_sort(tg_tape *tape, tg_tensor *x, int64_t dim, bool descending, tg_tensor **places)
{
    TG_COMPOSES(tape, "sort");
    choice c = {.what = "sort", .row = &row_sort, .dim = dim};
    x = take_argument(tape, &c, x);
    return choose(tape, &c, x, &(tg_sort_attrs){c.dim, descending, 0}, places);
}

tg_tensor *tg_argsort(tg_tape *tape, tg_tensor *x, int64_t dim, bool descending)
{
    TG_COMPOSES(tape, "argsort");
    tg_tensor *places = NULL;
    choice c = {.what = "argsort", .row = &row_sort, .dim = dim};
    x = take_argument(tape, &c, x);
    tg_discard(choose(tape, &c, x, &(tg_sort_attrs){c.dim, descending, 0}, &places));
    return places;
}

tg_tensor *tg_msort(tg_tape *tape, tg_tensor *x)
{
    choice c = {.what = "msort", .row = &row_sort};
    x = take_argument(tape, &c, x);
    return choose(tape, &c, x, &(tg_sort_attrs){0, 0, 0}, NULL);
}

tg_tensor *tg_topk(tg_tape *tape, tg_tensor *x, int64_t k, int64_t dim, bool largest, tg_tensor **places)
{
    TG_COMPOSES(tape, "topk");
    choice c = {.what = "topk", .row = &row_topk, .dim = dim};
    x = take_argument(tape, &c, x);
    if (c.scalar && k == 0) /* as torch: a scalar stays one */
        k = 1;
    return choose(tape, &c, x, &(tg_sort_attrs){c.dim, largest, k}, places);
}

static tg_tensor *pick(tg_tape *tape, choice c, tg_tensor *x, int64_t option, tg_tensor **places)
{
    x = take_argument(tape, &c, x);
    return choose(tape, &c, x, &(tg_pick_attrs){c.dim, option}, places);
}

tg_tensor *tg_kthvalue(tg_tape *tape, tg_tensor *x, int64_t k, int64_t dim, bool keepdim, tg_tensor **places)
{
    TG_COMPOSES(tape, "kthvalue");
    return pick(tape, (choice){"kthvalue", &row_kthvalue, false, !keepdim, dim}, x, k, places);
}

tg_tensor *tg_median_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim, tg_tensor **places)
{
    TG_COMPOSES(tape, "median");
    return pick(tape, (choice){"median", &row_median, false, !keepdim, dim}, x, 0, places);
}

tg_tensor *tg_nanmedian_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim, tg_tensor **places)
{
    TG_COMPOSES(tape, "nanmedian");
    return pick(tape, (choice){"nanmedian", &row_median, false, !keepdim, dim}, x, 1, places);
}

tg_tensor *tg_mode_dim(tg_tape *tape, tg_tensor *x, int64_t dim, bool keepdim, tg_tensor **places)
{
    TG_COMPOSES(tape, "mode");
    return pick(tape, (choice){"mode", &row_mode, false, !keepdim, dim}, x, 0, places);
}

static tg_tensor *median_of_all(tg_tape *tape, tg_tensor *x, int64_t option)
{
    tg_tensor *out[2] = {NULL};
    return tg_apply(tape, &row_median_all, &x, 1, &(tg_pick_attrs){0, option}, NULL, out) ? NULL : out[0];
}

tg_tensor *tg_median(tg_tape *tape, tg_tensor *x)
{
    TG_COMPOSES(tape, "median");
    return tg_argument(tape, x, "median", "x") ? median_of_all(tape, x, 0) : NULL;
}

tg_tensor *tg_nanmedian(tg_tape *tape, tg_tensor *x)
{
    TG_COMPOSES(tape, "nanmedian");
    return tg_argument(tape, x, "nanmedian", "x") ? median_of_all(tape, x, 1) : NULL;
}

/* -- the functions of ops.h: quantile ------------------------------------------------------------------- */

/* Every element of q in [0, 1]? */
static bool check_fractions(tg_tape *tape, tg_tensor *q, const tg_desc *d)
{
    union {
        float f32;
        double f64;
    } bound;
    if (tape->rule_of || !tg_desc_count(d))
        return true;
    tg_tensor *free = tg_detach(tape, q);
    bool inside = true;
    for (int end = 0; end < 2 && inside; end++) {
        tg_tensor *found = (end ? tg_amax_dims : tg_amin_dims)(tape, free, NULL, 0, false);
        const bool wide = d->dtype == TG_F64;
        if (!found || tg_tensor_read(found, &bound, wide ? 8 : 4)) {
            tg_fail_again(tape, tg_tape_status(tape) ? tg_tape_status(tape) : TG_EINVAL);
            return false;
        }
        tg_discard(found);
        const double value = wide ? bound.f64 : (double)bound.f32;
        inside = value >= 0.0 && value <= 1.0;
        if (!inside)
            tg_fail(tape, TG_EINVAL, "quantile: q must be in [0, 1], got %g", value);
    }
    tg_discard(free);
    return inside;
}

static bool check_quantile(tg_tape *tape, tg_tensor *x, tg_tensor *q, tg_interpolation between)
{
    const tg_desc *d = tg_argument(tape, x, "quantile", "x"),
                  *f = d ? tg_argument(tape, q, "quantile", "q") : NULL;
    if (!f)
        return false;
    if (!tg_dtype_is_float(d->dtype) || f->dtype != d->dtype)
        tg_fail(tape, TG_EDTYPE, "quantile: x and q must be both f32 or both f64, not %s and %s",
                tg_dtype_name(d->dtype), tg_dtype_name(f->dtype));
    else if (f->ndim > 1)
        tg_fail(tape, TG_ESHAPE, "quantile: q must be a scalar or a vector, not of %d dims", f->ndim);
    else if (!tg_desc_count(d))
        tg_fail(tape, TG_ESHAPE, "quantile: x has no elements");
    else if ((unsigned)between > TG_BETWEEN_MIDPOINT)
        tg_fail(tape, TG_EINVAL, "quantile: between must be between 0 and %d, got %d", TG_BETWEEN_MIDPOINT,
                (int)between);
    else if (f->ndim && d->ndim == TG_MAX_DIM)
        tg_fail(tape, TG_ESHAPE, "quantile: x must have less than %d dims", TG_MAX_DIM);
    else
        return check_fractions(tape, q, f);
    return false;
}

/* sorted (…, n) at q (m): (…, m). */
static tg_tensor *at_ranks(tg_tape *tape, tg_tensor *sorted, tg_tensor *q, int64_t n,
                           tg_interpolation between)
{
    tg_tensor *place[3] = {NULL}, *last = tg_narrow(tape, sorted, -1, n - 1, 1);
    tg_tensor *in[] = {q, tg_ne(tape, last, last)};
    if (tg_apply(tape, &row_quantile_place, in, 2, &(tg_quantile_attrs){n, between}, NULL, place))
        return NULL;
    tg_tensor *below = tg_gather(tape, sorted, -1, place[0]);
    if (between != TG_BETWEEN_LINEAR && between != TG_BETWEEN_MIDPOINT)
        return below;
    tg_tensor *step = tg_sub(tape, tg_gather(tape, sorted, -1, place[1]), below);
    return tg_add(tape, below, tg_mul(tape, step, place[2]));
}

tg_tensor *tg_quantile(tg_tape *tape, tg_tensor *x, tg_tensor *q, int64_t dim, bool keepdim,
                       tg_interpolation between)
{
    TG_COMPOSES(tape, "quantile");
    int64_t dims[TG_MAX_DIM + 1], order[TG_MAX_DIM], n_dims = 0;
    if (!check_quantile(tape, x, q, between))
        return NULL;
    const bool vector = !tg_is_scalar(q), all = dim == TG_NONE_INT;
    const tg_desc own = *tg_argument(tape, x, "quantile", "x");
    if (!all && !tg_resolve_dim(tape, "quantile", dim, own.ndim, &dim))
        return NULL;
    if (vector)
        dims[n_dims++] = tg_tensor_count(q);
    for (int d = 0; d < own.ndim; d++)
        if (keepdim || (!all && d != dim))
            dims[n_dims++] = all || d == dim ? 1 : own.dim[d];
    if (all || !own.ndim) {
        const int64_t count = tg_desc_count(&own);
        x = tg_reshape_dims(tape, x, &count, 1);
    } else {
        x = tg_transpose(tape, x, dim, -1);
    }
    tg_desc lines;
    tg_tensor *sorted = tg_sort(tape, x, -1, false, NULL);
    if (!sorted || tg_tensor_desc(sorted, &lines))
        return NULL;
    tg_tensor *y = at_ranks(tape, sorted, tg_as_vector(tape, q), lines.dim[lines.ndim - 1], between);
    if (!y)
        return NULL;
    /* The ranks stand last: first of all to where x's dim was, then to the front. */
    if (!all && own.ndim)
        y = tg_transpose(tape, y, dim, -1);
    for (int64_t d = 0, from = all || !own.ndim ? 0 : dim; d < lines.ndim; d++)
        order[d] = d == 0 ? from : d <= from ? d - 1 : d;
    y = tg_permute_dims(tape, y, order, (size_t)lines.ndim);
    return tg_reshape_dims(tape, y, dims, (size_t)n_dims);
}

/* -- the functions of ops.h: searching ------------------------------------------------------------------ */

static tg_tensor *search(tg_tape *tape, tg_tensor *sequence, tg_tensor *values, tg_tensor *sorter, bool right)
{
    tg_tensor *out = NULL;
    tg_apply(tape, &row_searchsorted, (tg_tensor *[]){sequence, values, sorter}, 3,
             &(tg_searchsorted_attrs){right}, NULL, &out);
    return out;
}

tg_tensor *tg_searchsorted(tg_tape *tape, tg_tensor *sequence, tg_tensor *values, tg_tensor *sorter,
                           bool right)
{
    if (!tg_argument(tape, sequence, "searchsorted", "sequence") ||
        (sorter && !tg_argument(tape, sorter, "searchsorted", "sorter")))
        return NULL;
    return search(tape, sequence, values, sorter, right);
}

tg_tensor *tg_bucketize(tg_tape *tape, tg_tensor *x, tg_tensor *boundaries, bool right)
{
    const tg_desc *d = tg_argument(tape, x, "bucketize", "x"),
                  *b = d ? tg_argument(tape, boundaries, "bucketize", "boundaries") : NULL;
    if (b && b->ndim != 1)
        tg_fail(tape, TG_ESHAPE, "bucketize: boundaries must have one dim, not %d", b->ndim);
    return b && b->ndim == 1 ? search(tape, boundaries, x, NULL, right) : NULL;
}

tg_tensor *tg_unique(tg_tape *tape, tg_tensor *x, int64_t dim, tg_tensor **inverse, tg_tensor **counts)
{
    enum { INVERSE, FIRST, COUNTS, NUMBER };
    tg_tensor *plan[4] = {NULL};
    int64_t number, n;
    const bool all = dim == TG_NONE_INT;
    const tg_desc *d = all ? tg_argument(tape, x, "unique", "x") : tg_sliceable(tape, x, "unique", &dim);
    if (inverse)
        *inverse = NULL;
    if (counts)
        *counts = NULL;
    if (!d)
        return NULL;
    const tg_desc own = *d;
    if (!all && own.dim[dim] && !tg_desc_count(&own)) {
        tg_fail(tape, TG_ESHAPE, "unique: the slices along dim %lld have no elements", (long long)dim);
        return NULL;
    }
    if (tg_apply(tape, &row_unique_plan, &x, 1, &(tg_unique_attrs){all ? -1 : dim}, NULL, plan))
        return NULL;
    tg_status status = tg_tensor_read(plan[NUMBER], &number, sizeof number);
    if (status) {
        tg_fail_again(tape, status);
        return NULL;
    }
    if (all) {
        n = tg_desc_count(&own);
        x = tg_reshape_dims(tape, x, &n, 1);
    }
    if (inverse)
        *inverse = all ? tg_reshape_dims(tape, plan[INVERSE], own.dim, (size_t)own.ndim) : plan[INVERSE];
    if (counts)
        *counts = tg_narrow(tape, plan[COUNTS], 0, 0, number);
    return tg_index_select(tape, x, all ? 0 : dim, tg_narrow(tape, plan[FIRST], 0, 0, number));
}

const tg_operator *const tg_ops_sort[] = {
    &row_sort,       &row_topk,           &row_kthvalue,     &row_median,      &row_mode,
    &row_median_all, &row_quantile_place, &row_searchsorted, &row_unique_plan, NULL,
};
