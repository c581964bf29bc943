/* Where a value stands: searching in a sorted sequence; unique values. */
#include "autograd/operators/indices.h"

/* -- infer ---------------------------------------------------------------------------------------------- */

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

/* -- rows ----------------------------------------------------------------------------------------------- */

static const tg_searchsorted_attrs left = {0}, right_side = {1};
static const tg_unique_attrs elements = {-1}, slices = {0};
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

static const tg_attr_spec search_specs[] = {TG_SPEC(tg_searchsorted_attrs, right, TG_ATTR_INT, "1: behind equal ones"), {0}};
static const tg_attr_spec unique_specs[] = {TG_SPEC(tg_unique_attrs, dim, TG_ATTR_INT, "slices along this dim, -1: elements"),
                                            {0}};

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

const tg_operator *const tg_ops_search[] = {&row_searchsorted, &row_unique_plan, NULL};

/* -- functions ------------------------------------------------------------------------------------------ */

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
