/* What looks at values and computes nothing: the count that anomaly mode lives on. */
#include "autograd/operators/rows.h"

static tg_status infer_nonfinite(const tg_infer *q)
{
    if (!tg_dtype_is_float(q->in[0]->dtype))
        return tg_infer_fail(q, TG_EDTYPE, "x must be f32 or f64");
    return tg_desc_make(q->out, TG_I64, (const int64_t[]){5}, 1);
}

TG_SAMPLES(nonfinite_values,
           {.label = "matrix", .in = TG_SAMPLE_INPUTS({TG_DIM2(3, 4), TG_RANGE(-1, 1)})},
           {.label = "strided",
            .in = TG_SAMPLE_INPUTS({TG_DIM2(5, 3), TG_RANGE(-1, 1), strided})},
           {.label = "empty", .in = TG_SAMPLE_INPUTS({TG_DIM1(0)})})

static const tg_operator row_nonfinite = {
    TG_ROW("nonfinite",
           "how many NaN, inf, -inf; the place of the first NaN and of the first infinity, -1: none"),
    .flags = TG_OP_NONDIFF,
    .n_in = 1,
    .n_out = 1,
    .infer = infer_nonfinite,
    .samples = TG_PROOF(nonfinite_values),
};

const tg_operator *const tg_ops_look[] = {&row_nonfinite, NULL};
