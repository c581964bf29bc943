/* Cases of kind "op": an operator, its gradients, and their gradients. */
#include <stdio.h>
#include <string.h>

#include "op_call.h"

enum { MAX_LEAVES = 40 };

/* What is differentiated: tensors with the names of their expected gradients. */
typedef struct leaves {
    size_t n;
    tg_tensor *tensor[MAX_LEAVES], *grad[MAX_LEAVES];
    const char *name[MAX_LEAVES]; /* "input.ARG" or "grad_output" */
} leaves;

/* -- arguments ------------------------------------------------------------------------------------------ */

static verdict add_tensor(op_call *c, op_arg *a, const char *name)
{
    if (a->n_tensors == MAX_LIST)
        return unsupported(c->g, "argument '%s' is a longer list than this runner takes", a->name);
    tg_tensor *t = golden_tensor(c->g, name);
    if (!t)
        return FAILED;
    a->tensor_name[a->n_tensors] = name;
    a->tensor[a->n_tensors++] = t;
    return PASSED;
}

static verdict make_argument(op_call *c, const char *key, const json_t *value)
{
    if (c->n_args == MAX_ARGS)
        return unsupported(c->g, "more arguments than this runner takes");
    op_arg *a = &c->arg[c->n_args++];
    *a = (op_arg){.name = key, .value = value};
    if (tensor_name(value))
        return add_tensor(c, a, tensor_name(value));
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *name = tensor_name(json_array_get(value, i));
        verdict v = name ? add_tensor(c, a, name) : PASSED;
        if (v != PASSED)
            return v;
    }
    return PASSED;
}

/* The inputs that have a gradient, or a gradient of a gradient, in the case. */
static verdict collect_leaves(op_call *c, leaves *l)
{
    for (size_t i = 0; i < c->n_args; i++)
        for (size_t k = 0; k < c->arg[i].n_tensors; k++) {
            char name[256];
            snprintf(name, sizeof name, "grad_%s", c->arg[i].tensor_name[k]);
            if (!golden_has(c->g, name))
                continue;
            if (l->n == MAX_LEAVES)
                return unsupported(c->g, "more inputs than this runner takes");
            tg_status status = tg_tensor_set_requires_grad(c->arg[i].tensor[k], true);
            if (status)
                return refused(c->g, status, name);
            l->name[l->n] = c->arg[i].tensor_name[k];
            l->tensor[l->n++] = c->arg[i].tensor[k];
        }
    return PASSED;
}

/* -- forward -------------------------------------------------------------------------------------------- */

static verdict forward(op_call *c, adapter_fn call)
{
    tg_tape_reset(c->tape);
    memset(c->out, 0, sizeof c->out);
    c->n_out = 0;
    call(c);
    if (c->v != PASSED)
        return c->v;
    for (size_t i = 0; i < c->n_args; i++)
        if (!c->arg[i].used && !json_is_null(c->arg[i].value))
            return unsupported(c->g, "argument '%s' has no counterpart here", c->arg[i].name);
    if (tg_tape_status(c->tape))
        return refused(c->g, tg_tape_status(c->tape), "forward");
    return PASSED;
}

static verdict compare_outputs(op_call *c)
{
    const char *names[MAX_NAMES];
    size_t n = golden_names(c->g, "output", names);
    if (n != c->n_out)
        return fail(c->g, "%zu outputs expected, there are %zu", n, c->n_out);
    for (size_t i = 0; i < n; i++) {
        verdict v = compare(c->g, names[i], c->out[i], c->g->tolerance);
        if (v != PASSED)
            return v;
    }
    return PASSED;
}

/* -- backward ------------------------------------------------------------------------------------------- */

/* Σ w·t, or the only t and its w, so that a plain case has a plain sweep. */
static void dot(tg_tape *tape, tg_tensor *const t[], tg_tensor *const w[], size_t n, tg_tensor **y,
                tg_tensor **gy)
{
    size_t live = 0, last = 0;
    for (size_t i = 0; i < n; i++)
        if (t[i] && w[i] && tg_tensor_requires_grad(t[i])) {
            live++;
            last = i;
        }
    *y = live == 1 ? t[last] : NULL;
    *gy = live == 1 ? w[last] : NULL;
    if (live < 2)
        return;
    for (size_t i = 0; i < n; i++) {
        if (!t[i] || !w[i] || !tg_tensor_requires_grad(t[i]))
            continue;
        tg_tensor *term = tg_sum(tape, tg_mul(tape, t[i], w[i]));
        *y = *y ? tg_add(tape, *y, term) : term;
    }
}

static verdict sweep(op_call *c, tg_tensor *const t[], tg_tensor *const w[], size_t n, leaves *l,
                     unsigned flags)
{
    tg_tensor *y, *gy;
    memset(l->grad, 0, sizeof l->grad);
    dot(c->tape, t, w, n, &y, &gy);
    tg_status status = tg_tape_status(c->tape);
    if (!status && y)
        status = tg_grad(c->tape, y, gy, l->tensor, l->n, l->grad, flags | TG_ALLOW_UNUSED);
    return status ? refused(c->g, status, "backward") : PASSED;
}

static verdict compare_gradients(op_call *c, const leaves *l, const char *prefix, double tolerance)
{
    for (size_t i = 0; i < l->n; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s_%s", prefix, l->name[i]);
        verdict v = golden_has(c->g, name) ? compare(c->g, name, l->grad[i], tolerance) : PASSED;
        if (v != PASSED)
            return v;
    }
    return PASSED;
}

/* The gradients sent in, by output; NULL where the case has none. */
static verdict make_cotangents(op_call *c, tg_tensor *gy[MAX_OUT], const char *gy_name[MAX_OUT], bool wanted)
{
    const char *names[MAX_NAMES];
    size_t n = golden_names(c->g, "output", names);
    for (size_t i = 0; i < n && i < c->n_out; i++) {
        char name[256];
        snprintf(name, sizeof name, "grad_%s", names[i]);
        const tg_file_tensor *t = tg_safetensors_find(c->g->file, name);
        if (!t)
            continue;
        gy_name[i] = t->name;
        gy[i] = golden_tensor_as(c->g, t->name, tg_tensor_dtype(c->out[i]));
        if (!gy[i])
            return FAILED;
        tg_status status = wanted ? tg_tensor_set_requires_grad(gy[i], true) : TG_OK;
        if (status)
            return refused(c->g, status, name);
    }
    return PASSED;
}

static verdict second_order(op_call *c, const leaves *l, tg_tensor *const gy[], const char *const gy_name[])
{
    golden *g = c->g;
    leaves both = {0};
    tg_tensor *v_of[MAX_LEAVES] = {NULL};
    for (size_t i = 0; i < l->n; i++) {
        char name[256];
        snprintf(name, sizeof name, "v_%s", l->name[i]);
        if (golden_has(g, name) && !(v_of[i] = golden_tensor(g, name)))
            return FAILED;
        both.tensor[both.n] = l->tensor[i];
        both.name[both.n++] = l->name[i];
    }
    for (size_t o = 0; o < c->n_out && both.n < MAX_LEAVES; o++)
        if (gy[o]) {
            both.tensor[both.n] = gy[o];
            both.name[both.n++] = gy_name[o];
        }
    verdict v = sweep(c, l->grad, v_of, l->n, &both, 0);
    return v == PASSED ? compare_gradients(c, &both, "gradgrad", g->tolerance2) : v;
}

static verdict backward(op_call *c, adapter_fn call, leaves *l)
{
    golden *g = c->g;
    const char *names[MAX_NAMES], *gy_name[MAX_OUT] = {NULL};
    tg_tensor *gy[MAX_OUT] = {NULL};
    bool twice = golden_names(g, "v_input", names) > 0;
    verdict v = make_cotangents(c, gy, gy_name, twice);
    if (v == PASSED)
        v = sweep(c, c->out, gy, c->n_out, l, 0);
    if (v == PASSED)
        v = compare_gradients(c, l, "grad", g->tolerance);
    if (v != PASSED || !twice)
        return v;
    v = forward(c, call);
    if (v == PASSED)
        v = sweep(c, c->out, gy, c->n_out, l, TG_CREATE_GRAPH);
    if (v == PASSED)
        v = compare_gradients(c, l, "grad", g->tolerance);
    return v == PASSED ? second_order(c, l, gy, gy_name) : v;
}

verdict run_op(golden *g)
{
    const char *op = json_string_value(json_object_get(g->json, "op"));
    const json_t *inputs = json_object_get(g->json, "inputs");
    if (!op || !json_is_object(inputs))
        return fail(g, "not a golden case: no 'op' or 'inputs'");
    adapter_fn call = find_adapter(op);
    if (!call)
        return unsupported(g, "no operator %s here", op);
    op_call c = {.g = g, .tape = g->tape};
    leaves l = {0};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)inputs, key, value)
    {
        verdict v = make_argument(&c, key, value);
        if (v != PASSED)
            return v;
    }
    verdict v = collect_leaves(&c, &l);
    if (v == PASSED)
        v = forward(&c, call);
    if (v == PASSED)
        v = compare_outputs(&c);
    return v == PASSED && l.n ? backward(&c, call, &l) : v;
}
