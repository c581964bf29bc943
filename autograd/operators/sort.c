/* Order: sorting, the k greatest, medians, modes. */
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

/* -- rows ----------------------------------------------------------------------------------------------- */

#define CUBE TG_DIM3(2, 4, 3), TG_RANGE(-4, 4), TG_DISTINCT(0.01)
#define TURNED                                                                                               \
    TG_DIM2(4, 5), TG_RANGE(-4, 4), distinct strided, apart 0.01
static const tg_sort_attrs up = {1, 0, 0}, down = {0, 1, 0}, three_most = {1, 1, 3}, two_least = {0, 0, 2};
static const tg_pick_attrs along_1 = {1, 0}, along_0 = {0, 1}, second_1 = {1, 2};
TG_SAMPLES(sorts, {.label = "ascending", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &up},
           {.label = "strided, descending", .in = TG_SAMPLE_INPUTS({TURNED}), .attrs = &down})
TG_SAMPLES(tops, {.label = "greatest", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &three_most},
           {.label = "strided, least", .in = TG_SAMPLE_INPUTS({TURNED}), .attrs = &two_least})
TG_SAMPLES(picks, {.label = "cube", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &along_1},
           {.label = "strided", .in = TG_SAMPLE_INPUTS({TURNED}), .attrs = &along_0})
TG_SAMPLES(kths, {.label = "second", .in = TG_SAMPLE_INPUTS({CUBE}), .attrs = &second_1},
           {.label = "strided, first", .in = TG_SAMPLE_INPUTS({TURNED}), .attrs = &along_0})
static const tg_attr_spec sort_specs[] = {
    TG_SPEC(tg_sort_attrs, dim, TG_ATTR_INT, "along this dim"),
    TG_SPEC(tg_sort_attrs, descending, TG_ATTR_INT, "1: the greatest first"),
    TG_SPEC(tg_sort_attrs, k, TG_ATTR_INT, "topk: how many"),
    {0},
};
static const tg_attr_spec pick_specs[] = {
    TG_SPEC(tg_pick_attrs, dim, TG_ATTR_INT, "along this dim"),
    TG_SPEC(tg_pick_attrs, option, TG_ATTR_INT, "kthvalue: k; median: 1 leaves NaNs out"),
    {0},
};

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

/* -- functions ------------------------------------------------------------------------------------------ */

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

const tg_operator *const tg_ops_sort[] = {
    &row_sort, &row_topk, &row_kthvalue, &row_median, &row_mode, &row_median_all, NULL,
};
