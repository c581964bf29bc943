/* Making tensors of numbers: ranges, and the identity. */
#include "autograd/operators/rows.h"

static tg_status infer_range(const tg_infer *q)
{
    const tg_range_attrs *a = q->attrs;
    if (a->dtype != TG_F32 && a->dtype != TG_F64 && a->dtype != TG_I64 && a->dtype != TG_BOOL)
        return tg_infer_fail(q, TG_EDTYPE, "dtype must be f32, f64, i64 or bool, not %s",
                             tg_dtype_name((int32_t)a->dtype));
    return tg_infer_dims(q, a->dtype, &(tg_ints){1, {a->n}});
}

static const tg_range_attrs seven = {TG_F64, 7, 0}, six_f32 = {TG_F32, 6, 0}, five_integers = {TG_I64, 5, 0},
                            powers = {TG_F64, 4, 1}, none = {TG_F64, 0, 0};
static const double bounds[] = {-1.5, 2.25, 2};
TG_SAMPLES(ranges, {.label = "f64", .attrs = &seven, .scalars = bounds},
           {.label = "f32", .attrs = &six_f32, .scalars = bounds},
           {.label = "i64", .attrs = &five_integers, .scalars = bounds},
           {.label = "powers", .attrs = &powers, .scalars = bounds},
           {.label = "none", .attrs = &none, .scalars = bounds})

#define INT_OF(member, doc_)                                                                                 \
    {                                                                                                        \
        .name = #member, .type = TG_ATTR_INT, .offset = offsetof(tg_range_attrs, member), .doc = doc_        \
    }
static const tg_attr_spec range_specs[] = {
    INT_OF(dtype, "a tg_dtype"), INT_OF(n, "how many"), INT_OF(power, "1: powers of base (linspace)"), {0}};
#define FROM_NOTHING(name_, doc_, scalars)                                                                   \
    TG_ROW(name_, doc_), .flags = TG_OP_NONDIFF, .n_in = 0, .n_out = 1, .n_scalars = scalars,                \
                         .infer = infer_range, .samples = TG_PROOF(ranges), TG_ATTRS(tg_range_attrs, range_specs)
static const tg_operator row_arange = {FROM_NOTHING("arange", "start, start + step, ...", 2)};
static const tg_operator row_linspace = {
    FROM_NOTHING("linspace", "n numbers from start to end, or base to these", 3)};

/* -- the functions of ops.h ----------------------------------------------------------------------------- */

static tg_tensor *range(tg_tape *tape, const tg_operator *op, const tg_range_attrs *attrs,
                        const double *scalars)
{
    tg_tensor *out = NULL;
    tg_apply(tape, op, &out, 0, attrs, scalars, &out);
    return out;
}

tg_tensor *tg_arange(tg_tape *tape, tg_dtype dtype, double start, double end, double step)
{
    const double n = ceil((end - start) / step);
    if (dtype == TG_BOOL) {
        tg_fail(tape, TG_EDTYPE, "arange: dtype must be f32, f64 or i64, not bool");
        return NULL;
    }
    if (!isfinite(start) || !isfinite(end) || !isfinite(step) || step == 0 || !(n >= 0 && n < 9e18)) {
        tg_fail(tape, TG_EINVAL, "arange: no finite number of steps of %g leads from %g to %g", step, start,
                end);
        return NULL;
    }
    return range(tape, &row_arange, &(tg_range_attrs){dtype, (int64_t)n, 0}, (const double[]){start, step});
}

static tg_tensor *spaced(tg_tape *tape, const char *what, tg_dtype dtype, int64_t steps, bool power,
                         const double *scalars)
{
    if (steps >= 0)
        return range(tape, &row_linspace, &(tg_range_attrs){dtype, steps, power}, scalars);
    tg_fail(tape, TG_EINVAL, "%s: steps must be 0 or more, got %lld", what, (long long)steps);
    return NULL;
}

tg_tensor *tg_linspace(tg_tape *tape, tg_dtype dtype, double start, double end, int64_t steps)
{
    return spaced(tape, "linspace", dtype, steps, false, (const double[]){start, end, 0});
}

tg_tensor *tg_logspace(tg_tape *tape, tg_dtype dtype, double start, double end, int64_t steps, double base)
{
    TG_COMPOSES(tape, "logspace");
    return spaced(tape, "logspace", dtype, steps, true, (const double[]){start, end, base});
}

tg_tensor *tg_eye(tg_tape *tape, tg_dtype dtype, int64_t n, int64_t m)
{
    TG_COMPOSES(tape, "eye");
    const int64_t least = n < m ? n : m;
    if (least < 0) {
        tg_fail(tape, TG_EINVAL, "eye: n and m must be 0 or more, got %lld and %lld", (long long)n,
                (long long)m);
        return NULL;
    }
    tg_tensor *ones = tg_full(tape, dtype, &least, 1, 1);
    return tg_diagonal_back(tape, ones, (const int64_t[]){n, m}, 2, &(tg_diagonal_attrs){0, 0, 1});
}

const tg_operator *const tg_ops_create[] = {&row_arange, &row_linspace, NULL};
