/* AdaptiveLogSoftmaxWithLoss (Grave et al. 2017): the frequent classes beside one entry for each cluster of rare ones,
 * whose own softmax is computed for the rows alone that are in it. Children: head, tail.0, tail.1, …  */
#include <math.h>
#include <string.h>

#include "autograd/operators/operators.h"
#include "layers/internal.h"

typedef struct options {
    int64_t in_features, n_classes;
    tg_ints cutoffs;
    double div_value;
    bool head_bias;
} options;

/* The width of cluster k's projection: Python's in_features // div_value ** (k + 1). */
static double width_of(const options *o, int64_t k)
{
    const double x = (double)o->in_features, by = pow(o->div_value, (double)(k + 1));
    return nearbyint((x - fmod(x, by)) / by);
}

static tg_status check(const tg_module *m, const options *o)
{
    const tg_ints *cuts = &o->cutoffs;
    bool rising = cuts->n >= 1 && cuts->n <= TG_MAX_DIM;
    for (int64_t k = 0; k < cuts->n && rising; k++)
        rising = cuts->v[k] > (k ? cuts->v[k - 1] : 0) && cuts->v[k] < o->n_classes;
    if (!rising)
        return tg_fail(NULL, TG_EINVAL,
                       "%s: cutoffs: expected 1 to %d rising numbers between 1 and n_classes − 1, n_classes is %lld",
                       m->cls->name, TG_MAX_DIM, (long long)o->n_classes);
    if (o->in_features < 0 || !(o->div_value > 0) || !(width_of(o, 0) < 0x1p53 && width_of(o, cuts->n - 1) < 0x1p53))
        return tg_fail(NULL, TG_EINVAL, "%s: in_features %lld, div_value %g; expected no negative number, one above 0",
                       m->cls->name, (long long)o->in_features, o->div_value);
    return TG_OK;
}

static tg_module *linear(tg_runtime *rt, int64_t in, int64_t out, bool bias)
{
    tg_linear_options o = tg_linear_defaults(in, out);
    o.bias = bias;
    return tg_nn_linear_with(rt, &o);
}

static tg_status init(tg_module *m, const void *attrs)
{
    const options *o = attrs;
    const int64_t n = o->cutoffs.n;
    tg_status status = check(m, o);
    if (!status)
        status = tg_module_add_child(m, "head", linear(m->rt, o->in_features, o->cutoffs.v[0] + n, o->head_bias));
    if (!status)
        status = tg_module_add_child(m, "tail", tg_nn_module_list_n(m->rt, NULL, 0));
    for (int64_t k = 0; k < n && !status; k++) {
        const int64_t width = (int64_t)width_of(o, k), end = k + 1 < n ? o->cutoffs.v[k + 1] : o->n_classes;
        tg_module *into = linear(m->rt, o->in_features, width, false);
        tg_module *out = linear(m->rt, width, end - o->cutoffs.v[k], false);
        status = tg_nn_module_list_append(m->children[1], tg_nn_sequential(m->rt, into, out));
    }
    return status;
}

/* -- forward -------------------------------------------------------------------------------------------- */

static tg_tensor *number(tg_tape *tape, int64_t value)
{
    return tg_full(tape, TG_I64, NULL, 0, (double)value);
}

/* Which elements of a vector are, as indices; NULL where that failed. */
static tg_tensor *where(tg_tape *tape, tg_tensor *mask)
{
    tg_tensor *found = tg_nonzero(tape, mask);
    return found ? tg_select(tape, found, 1, 0) : NULL;
}

static tg_tensor *cost(tg_tape *tape, tg_module *of, tg_tensor *x, tg_tensor *target)
{
    return tg_cross_entropy_with(tape, tg_forward(tape, of, x), target, NULL, -1, TG_REDUCE_NONE, 0);
}

/* −output of each row of x. */
static tg_tensor *costs(const tg_module *m, tg_tape *tape, tg_tensor *x, tg_tensor *target)
{
    const options *o = m->attrs;
    const int64_t n = o->cutoffs.n, shortlist = o->cutoffs.v[0];
    if (!tg_check_places(tape, "target", target, 0, o->n_classes, NULL))
        return NULL;
    tg_tensor *bounds = tg_input(tape, TG_I64, &n, 1, o->cutoffs.v);
    tg_tensor *cluster = tg_bucketize(tape, target, bounds, true);
    tg_tensor *entry = tg_where(tape, tg_lt(tape, target, number(tape, shortlist)), target,
                                tg_add_scalar(tape, cluster, (double)(shortlist - 1)));
    tg_tensor *all = cost(tape, m->children[0], x, entry);
    for (int64_t k = 0; k < n && all; k++) {
        tg_tensor *rows = where(tape, tg_eq(tape, cluster, number(tape, k + 1)));
        if (!rows || !tg_tensor_dim(rows, 0))
            continue;
        tg_tensor *own = tg_sub_scalar(tape, tg_index_select(tape, target, 0, rows), (double)o->cutoffs.v[k]);
        all = tg_index_add(tape, all, 0, rows,
                           cost(tape, m->children[1]->children[k], tg_index_select(tape, x, 0, rows), own), 1);
    }
    return all;
}

static tg_status forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const tg_desc *x = tg_layer_desc(in[0]), *t = tg_layer_desc(in[1]);
    const bool batched = t->ndim > 0;
    char a[128], b[128];
    if (t->dtype != TG_I64 || t->ndim > 1 || x->ndim != t->ndim + 1 || (batched && x->dim[0] != t->dim[0]))
        return tg_layer_fail(m, tape, t->dtype != TG_I64 ? TG_EDTYPE : TG_ESHAPE,
                             "input is %s and target %s, expected [N, in_features] and i64 [N], or both without N",
                             tg_desc_format(x, a, sizeof a), tg_desc_format(t, b, sizeof b));
    tg_tensor *all = batched ? costs(m, tape, in[0], in[1])
                             : costs(m, tape, tg_unsqueeze(tape, in[0], 0), tg_unsqueeze(tape, in[1], 0));
    if (tg_outputs_wanted(tape) > 1)
        out[1] = tg_mean(tape, all);
    all = tg_neg(tape, all);
    return tg_layer_result(tape, batched ? all : tg_squeeze(tape, all, 0), out);
}

/* -- what it makes of an input alone -------------------------------------------------------------------- */

static tg_tensor *log_prob(const tg_module *m, tg_tape *tape, tg_tensor *x, tg_tensor *head)
{
    const options *o = m->attrs;
    const int64_t n = o->cutoffs.n;
    tg_tensor *parts[TG_MAX_DIM + 1];
    head = tg_log_softmax(tape, head, 1);
    parts[0] = tg_narrow(tape, head, 1, 0, o->cutoffs.v[0]);
    for (int64_t k = 0; k < n; k++)
        parts[k + 1] = tg_add(tape, tg_log_softmax(tape, tg_forward(tape, m->children[1]->children[k], x), 1),
                              tg_narrow(tape, head, 1, o->cutoffs.v[0] + k, 1));
    return tg_cat_n(tape, parts, (size_t)n + 1, 1);
}

/* Where a cluster is likelier than each frequent class, its classes count; elsewhere they cannot be the likeliest. */
static tg_tensor *predict(const tg_module *m, tg_tape *tape, tg_tensor *x, tg_tensor *head)
{
    tg_tensor *best = tg_argmax(tape, head, 1, false);
    tg_tensor *rows = where(tape, tg_ge(tape, best, number(tape, ((const options *)m->attrs)->cutoffs.v[0])));
    if (!rows || !tg_tensor_dim(rows, 0))
        return rows ? best : NULL;
    tg_tensor *all = log_prob(m, tape, tg_index_select(tape, x, 0, rows), tg_index_select(tape, head, 0, rows));
    return tg_index_copy(tape, best, 0, rows, tg_argmax(tape, all, 1, false));
}

static const tg_layer_class adaptive;

static tg_tensor *ask(tg_tape *tape, tg_module *m, tg_tensor *x, const char *what,
                      tg_tensor *(*answer)(const tg_module *, tg_tape *, tg_tensor *, tg_tensor *))
{
    tg_scope scope;
    if (!tape || !m || m->cls != &adaptive) {
        tg_fail(tape, TG_EINVAL, "%s: the %s", what, tape ? "module is no AdaptiveLogSoftmaxWithLoss" : "tape is NULL");
        return NULL;
    }
    tg_scope_enter(tape, &scope);
    tg_tensor *head = tg_forward(tape, m->children[0], x), *y = NULL;
    if (head && tg_tensor_ndim(head) != 2)
        tg_layer_fail(m, tape, TG_ESHAPE, "%s: input has %d dims, expected [N, in_features]", what, tg_tensor_ndim(head));
    else if (head)
        y = answer(m, tape, x, head);
    if (tape->status) {
        tg_scope_undo(tape, &scope);
        return NULL;
    }
    tg_scope_leave(tape, &scope, &y, 1);
    return y;
}

tg_tensor *tg_adaptive_log_prob(tg_tape *tape, tg_module *module, tg_tensor *x)
{
    return ask(tape, module, x, "adaptive_log_prob", log_prob);
}

tg_tensor *tg_adaptive_predict(tg_tape *tape, tg_module *module, tg_tensor *x)
{
    return ask(tape, module, x, "adaptive_predict", predict);
}

/* -- the class ------------------------------------------------------------------------------------------ */

static const tg_attr_spec specs[] = {
    TG_ATTR_ROW(options, in_features, INT, TG_ATTR_REQUIRED, 0, NULL, "size of each input row"),
    TG_ATTR_ROW(options, n_classes, INT, TG_ATTR_REQUIRED, 0, NULL, "in all, the frequent ones first"),
    TG_ATTR_ROW(options, cutoffs, INTS, TG_ATTR_REQUIRED, 0, NULL, "the first class of each cluster, rising"),
    TG_ATTR_ROW(options, div_value, REAL, 0, 4, NULL, "cluster k's inner size is in_features/div_value^(k + 1)"),
    TG_ATTR_ROW(options, head_bias, BOOL, 0, 0, NULL, "adds a learned bias to head"),
    TG_ATTR_END};

static const options two = {4, 6, {2, {2, 4}}, 2, true}, one = {3, 3, {1, {1}}, 1.5, false};
static const tg_sample table[] = {
    {.label = "two clusters",
     .attrs = &two,
     .in = TG_SAMPLE_INPUTS({[6, 4], -1 : 1}, {[6], i64, constant, 0 : 6}),
     .begins = "head.weight uniform sqrt(1/4), head.bias uniform sqrt(1/4), tail.0.0.weight uniform sqrt(1/4), "
               "tail.0.1.weight uniform sqrt(1/2), tail.1.0.weight uniform sqrt(1/4), tail.1.1.weight uniform sqrt(1/1)"},
    {.label = "one row", .attrs = &one, .in = TG_SAMPLE_INPUTS({[3], -1 : 1}, {[], i64, constant, 2 : 3})}};
TG_SAMPLES(samples, table)

static const char *const input_names[] = {"input", "target"};
static const tg_layer_class adaptive = {.struct_size = sizeof(tg_layer_class),
                                        .name = "AdaptiveLogSoftmaxWithLoss",
                                        .attrs = specs,
                                        .attrs_size = sizeof(options),
                                        .n_in = 2,
                                        .n_out = 2,
                                        .in_names = input_names,
                                        .init = init,
                                        .forward = {forward, forward},
                                        .samples = TG_PROOF(samples),
                                        .doc = "output: log p(target), classes in clusters; loss: its mean, negated"};

const tg_layer_class *const tg_layers_adaptive_softmax[] = {&adaptive, NULL};

tg_module *tg_nn_adaptive_log_softmax_with_loss(tg_runtime *rt, int64_t in_features, int64_t n_classes,
                                                const int64_t *cutoffs, size_t n_cutoffs, double div_value, bool head_bias)
{
    options o = {in_features, n_classes, {cutoffs ? (int64_t)n_cutoffs : 0, {0}}, div_value, head_bias};
    if (n_cutoffs <= TG_MAX_DIM && cutoffs)
        memcpy(o.cutoffs.v, cutoffs, n_cutoffs * sizeof *cutoffs);
    return tg_module_new(rt, &adaptive, &o);
}
