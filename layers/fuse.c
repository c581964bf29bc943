/* Neighbours that one row computes in one pass: BatchNorm and ReLU; and where nothing is recorded, a convolution with
 * the BatchNorm of constant statistics, the ReLU, or both, behind it. */
#include "autograd/watch.h"
#include "layers/internal.h"

/* Below so many positions, what BatchNorm takes to prepare costs more than its pass. So it does where there are more
 * weights to scale than results. */
enum { POSITIONS = 1024 };

typedef struct neighbours {
    tg_conv_facts conv;
    tg_batch_norm_facts norm;
    bool has_norm, has_relu;
} neighbours;

/* Hooks, observers and anomaly mode see each module's own result; a recomputation finds each module's own mode. */
static bool is_watched(const tg_tape *tape)
{
    return tape->modes || tape->observer.applied || tape->observer.rule || tape->observer.rule_ran ||
           tape->watch & TG_WATCH_ANOMALY;
}

static bool is_relu(const tg_module *m)
{
    return m->cls == tg_layers_activation[0];
}

/* How many of the n can be one: no hook on any of them, and one mode. */
static size_t reach(tg_module *const at[], size_t n)
{
    size_t i = 0;
    while (i < n && !at[i]->n_hooks && at[i]->mode == at[0]->mode)
        i++;
    return i;
}

/* Does the BatchNorm take what the convolution makes of x, with constants, in one dtype, and is it worth it? */
static bool follows(const neighbours *k, const tg_desc *x)
{
    const tg_batch_norm_facts *norm = &k->norm;
    if (!norm->mean || norm->channels != k->conv.channels || x->ndim != k->conv.ndim + 2 ||
        x->ndim < norm->min_ndim || x->ndim > norm->max_ndim ||
        tg_layer_desc(norm->mean)->dtype != tg_layer_desc(k->conv.weight)->dtype)
        return false;
    int64_t positions = x->dim[0];
    for (int i = 2; i < x->ndim; i++)
        positions *= x->dim[i];
    return positions >= POSITIONS && positions * k->conv.channels >= tg_tensor_count(k->conv.weight);
}

/* y = (z − mean)·scale + shift of z = windows + bias is windows + (bias − mean), times scale, plus shift. */
static tg_status convolve(tg_module *m, tg_tape *tape, tg_tensor *x, const void *arg, tg_tensor **y)
{
    const neighbours *k = arg;
    const tg_batch_norm_facts *norm = &k->norm;
    tg_conv_after after = {.relu = k->has_relu};
    tg_tensor *bias = k->conv.bias;
    if (k->has_norm) {
        bias = bias ? tg_sub(tape, bias, norm->mean) : tg_neg(tape, norm->mean);
        after.scale = tg_rsqrt(tape, tg_add_scalar(tape, norm->var, norm->eps));
        if (norm->weight)
            after.scale = tg_mul(tape, after.scale, norm->weight);
        after.shift = norm->bias;
        if (!bias || !after.scale)
            return tg_tape_status(tape);
    }
    return tg_conv_forward_then(m, tape, x, bias, &after, y);
}

tg_status tg_layers_run(tg_tape *tape, tg_module *const at[], size_t n, tg_tensor *x, tg_tensor **y, size_t *took)
{
    neighbours k = {0};
    const size_t many = n > 1 && !is_watched(tape) ? reach(at, n) : 0;
    *took = 1;
    if (many > 1 && tg_batch_norm_facts_of(at[0], &k.norm) && is_relu(at[1])) {
        *took = 2;
        return tg_forward_by(tape, at[0], x, tg_batch_norm_relu, NULL, y);
    }
    const bool may = many > 1 && !tape->recording && tape->rt->convolution_is_affine && tg_resolve(x);
    if (may && tg_conv_facts_of(at[0], &k.conv)) {
        k.has_norm = tg_batch_norm_facts_of(at[1], &k.norm) && follows(&k, tg_layer_desc(x));
        *took += k.has_norm;
        k.has_relu = *took < many && is_relu(at[*took]);
        *took += k.has_relu;
        if (*took > 1)
            return tg_forward_by(tape, at[0], x, convolve, &k, y);
    }
    return tg_forward_n(tape, at[0], &x, 1, y, 1);
}
