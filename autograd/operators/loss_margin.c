/* Losses with a margin, all made of other operators. */
#include "autograd/operators/losses.h"

/* x where the condition holds, else 0, which carries no gradient. */
static tg_tensor *only_where(tg_tape *tape, tg_tensor *condition, tg_tensor *x)
{
    return tg_where(tape, condition, x, tg_constant_like(tape, x, 0));
}

/* max(0, x) with 0 for NaN; the derivative at 0 is 0. */
static tg_tensor *positive(tg_tape *tape, tg_tensor *x)
{
    return only_where(tape, tg_gt(tape, x, tg_constant_like(tape, x, 0)), x);
}

static tg_tensor *is_number(tg_tape *tape, tg_tensor *x, double number)
{
    return tg_eq(tape, x, tg_constant_like(tape, x, number));
}

tg_tensor *tg_hinge_embedding_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, double margin,
                                   tg_reduction reduction)
{
    TG_COMPOSES(tape, "hinge_embedding_loss");
    if (!tg_loss_takes(&composition_, input, &target, reduction))
        return NULL;
    tg_tensor *apart = tg_loss_clamped(tape, tg_rsub_scalar(tape, margin, input));
    apart = only_where(tape, tg_logical_not(tape, is_number(tape, target, 1)), apart);
    tg_tensor *alike = only_where(tape, tg_logical_not(tape, is_number(tape, target, -1)), input);
    return tg_loss_reduced(&composition_, tg_add(tape, apart, alike), reduction);
}

tg_tensor *tg_margin_ranking_loss(tg_tape *tape, tg_tensor *input1, tg_tensor *input2, tg_tensor *target,
                                  double margin, tg_reduction reduction)
{
    TG_COMPOSES(tape, "margin_ranking_loss");
    if (!tg_loss_takes(&composition_, input1, &target, reduction) ||
        !tg_float_argument(tape, input2, composition_.what, "input2"))
        return NULL;
    const int n = tg_tensor_ndim(input1);
    if (tg_tensor_ndim(input2) != n || tg_tensor_ndim(target) != n) {
        tg_fail(tape, TG_ESHAPE,
                "%s: input1, input2 and target have %d, %d and %d dims, expected the same number",
                composition_.what, n, tg_tensor_ndim(input2), tg_tensor_ndim(target));
        return NULL;
    }
    tg_tensor *order = tg_mul(tape, target, tg_sub(tape, input1, input2));
    return tg_loss_reduced(&composition_, tg_loss_clamped(tape, tg_rsub_scalar(tape, margin, order)),
                           reduction);
}

tg_tensor *tg_cosine_embedding_loss(tg_tape *tape, tg_tensor *input1, tg_tensor *input2, tg_tensor *target,
                                    double margin, tg_reduction reduction)
{
    TG_COMPOSES(tape, "cosine_embedding_loss");
    if (!tg_loss_takes(&composition_, input1, &target, reduction) ||
        !tg_float_argument(tape, input2, composition_.what, "input2"))
        return NULL;
    const int n = tg_tensor_ndim(input1);
    if (n < 1 || n > 2 || tg_tensor_ndim(input2) != n || tg_tensor_ndim(target) != n - 1) {
        tg_fail(tape, TG_ESHAPE,
                "%s: input1, input2 and target have %d, %d and %d dims, expected 2, 2 and 1, or 1, 1 and 0",
                composition_.what, n, tg_tensor_ndim(input2), tg_tensor_ndim(target));
        return NULL;
    }
    const int64_t last = -1;
    tg_tensor *dot = tg_sum_dims(tape, tg_mul(tape, input1, input2), &last, 1, false);
    tg_tensor *square1 = tg_sum_dims(tape, tg_mul(tape, input1, input1), &last, 1, false);
    tg_tensor *square2 = tg_sum_dims(tape, tg_mul(tape, input2, input2), &last, 1, false);
    tg_tensor *size = tg_mul(tape, tg_add_scalar(tape, square1, 1e-12), tg_add_scalar(tape, square2, 1e-12));
    tg_tensor *cosine = tg_div(tape, dot, tg_sqrt(tape, size));
    tg_tensor *alike = only_where(tape, is_number(tape, target, 1), tg_rsub_scalar(tape, 1, cosine));
    tg_tensor *apart = only_where(tape, is_number(tape, target, -1),
                                  tg_loss_clamped(tape, tg_sub_scalar(tape, cosine, margin)));
    return tg_loss_reduced(&composition_, tg_add(tape, alike, apart), reduction);
}

tg_tensor *tg_soft_margin_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, tg_reduction reduction)
{
    TG_COMPOSES(tape, "soft_margin_loss");
    if (!tg_loss_takes(&composition_, input, &target, reduction))
        return NULL;
    return tg_loss_reduced(&composition_, tg_neg(tape, tg_log_sigmoid(tape, tg_mul(tape, input, target))),
                           reduction);
}

tg_tensor *tg_multilabel_soft_margin_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target,
                                          tg_tensor *weight, tg_reduction reduction)
{
    TG_COMPOSES(tape, "multilabel_soft_margin_loss");
    if (!tg_loss_takes(&composition_, input, &target, reduction))
        return NULL;
    tg_tensor *loss = tg_bce_with_logits(tape, input, target, weight, NULL, TG_REDUCE_NONE);
    return tg_loss_reduced(&composition_, tg_mean_dims(tape, loss, (const int64_t[]){-1}, 1, false),
                           reduction);
}

/* Rows of scores and their labels: *input becomes [N, C], *target i64 [N, width], width 1 or C. The dims of
 * the losses are in *losses. */
static bool take_rows(const tg_composition *c, tg_tensor **input, tg_tensor **target, bool many,
                      int64_t least, tg_reduction reduction, tg_desc *losses)
{
    tg_tape *tape = c->tape;
    if (!c->what || !tape)
        return false;
    const tg_desc *x = tg_float_argument(tape, *input, c->what, "input");
    const tg_desc *t = x ? tg_argument(tape, *target, c->what, "target") : NULL;
    char got_x[112], got_t[112];
    if (!t || !tg_known_reduction(tape, c->what, reduction))
        return false;
    const int64_t rows = x->ndim == 2 ? x->dim[0] : 1, classes = x->ndim ? x->dim[x->ndim - 1] : 1;
    bool fits = x->ndim <= 2 && classes > 0;
    if (many)
        fits = fits && tg_desc_same_dims(x, t);
    else
        fits = fits && (t->ndim == 1 ? t->dim[0] == rows : t->ndim == 0 && x->ndim < 2);
    if (!fits || t->dtype != TG_I64) {
        tg_fail(tape, fits ? TG_EDTYPE : TG_ESHAPE,
                "%s: input is %s and target %s, expected [N, C] and i64[N%s], C > 0", c->what,
                tg_desc_format(x, got_x, sizeof got_x), tg_desc_format(t, got_t, sizeof got_t),
                many ? ", C" : "");
        return false;
    }
    if (!tg_loss_within(tape, c->what, "target", *target, (double)least, (double)(classes - 1), TG_EINDEX,
                        NULL))
        return false;
    *losses = *t;
    losses->ndim = many ? x->ndim == 2 : t->ndim;
    *input = tg_reshape_dims(tape, *input, (const int64_t[]){rows, classes}, 2);
    *target = tg_reshape_dims(tape, *target, (const int64_t[]){rows, many ? classes : 1}, 2);
    return !tg_tape_status(tape);
}

/* Each row's sum over its size, of the dims of the losses, reduced. */
static tg_tensor *rows_reduced(const tg_composition *c, tg_tensor *sums, tg_tensor *rows,
                               const tg_desc *losses, tg_reduction reduction)
{
    tg_desc x;
    if (tg_tape_status(c->tape) || tg_tensor_desc(rows, &x))
        return NULL;
    tg_tensor *loss = tg_mul_scalar(c->tape, sums, 1.0 / (double)x.dim[1]);
    return tg_loss_reduced(c, tg_reshape_dims(c->tape, loss, losses->dim, (size_t)losses->ndim), reduction);
}

tg_tensor *tg_multi_margin_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target, int64_t p, double margin,
                                tg_tensor *weight, tg_reduction reduction)
{
    TG_COMPOSES(tape, "multi_margin_loss");
    tg_desc losses;
    const int64_t along = 1;
    if (!take_rows(&composition_, &input, &target, false, 0, reduction, &losses))
        return NULL;
    if (p != 1 && p != 2) {
        tg_fail(tape, TG_EINVAL, "%s: p is %lld, expected 1 or 2", composition_.what, (long long)p);
        return NULL;
    }
    tg_tensor *own = tg_gather(tape, input, 1, target);
    tg_tensor *z = tg_add_scalar(tape, tg_sub(tape, input, own), margin);
    z = positive(tape, tg_scatter_value(tape, z, 1, target, 0));
    if (p == 2)
        z = tg_mul(tape, z, z);
    if (weight) {
        tg_desc x;
        if (!tg_float_argument(tape, weight, composition_.what, "weight") || tg_tensor_desc(input, &x))
            return NULL;
        z = tg_mul(tape, z, tg_gather(tape, tg_expand_as(tape, weight, &x), 1, target));
    }
    return rows_reduced(&composition_, tg_sum_dims(tape, z, &along, 1, false), input, &losses, reduction);
}

/* A row's labels are few: pairs of [N, most labels of a row, C] are looked at, not of [N, C, C]. */
tg_tensor *tg_multilabel_margin_loss(tg_tape *tape, tg_tensor *input, tg_tensor *target,
                                     tg_reduction reduction)
{
    TG_COMPOSES(tape, "multilabel_margin_loss");
    tg_desc losses, x;
    double most = 1;
    const int64_t along = 1, both[] = {1, 2};
    if (!take_rows(&composition_, &input, &target, true, -1, reduction, &losses) || tg_tensor_desc(input, &x))
        return NULL;
    tg_tensor *none = tg_constant_like(tape, target, 0);
    tg_tensor *counts = tg_cumprod(tape, tg_to(tape, tg_ge(tape, target, none), TG_I64), 1);
    if (!counts ||
        !tg_loss_within(tape, composition_.what, "target", tg_sum_dims(tape, counts, &along, 1, false), 0,
                        (double)x.dim[1], TG_EINDEX, &most))
        return NULL;
    const int64_t width = most > 1 ? (int64_t)most : 1;
    counts = tg_narrow(tape, counts, 1, 0, width);
    tg_tensor *labels = tg_mul(tape, tg_narrow(tape, target, 1, 0, width), counts);
    tg_tensor *hits = tg_full(tape, TG_I64, x.dim, 2, 0);
    hits = tg_scatter_add(tape, hits, 1, labels, counts);
    tg_tensor *pairs = tg_logical_and(tape, tg_unsqueeze(tape, tg_gt(tape, counts, none), 2),
                                      tg_unsqueeze(tape, is_number(tape, hits, 0), 1));
    tg_tensor *z =
        tg_sub(tape, tg_unsqueeze(tape, input, 1), tg_unsqueeze(tape, tg_gather(tape, input, 1, labels), 2));
    z = only_where(tape, pairs, positive(tape, tg_add_scalar(tape, z, 1)));
    return rows_reduced(&composition_, tg_sum_dims(tape, z, both, 2, false), input, &losses, reduction);
}
