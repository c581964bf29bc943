/* Cases of kind "module": a class of torch.nn, called once. */
#include <stdio.h>
#include <string.h>

#include <tapegrad/layer_class.h>

#include "case.h"

enum { MAX_IO = 16 };

typedef struct call {
    golden *g;
    tg_module *module;
    const tg_layer_class *cls;
    tg_tensor *in[MAX_IO], *out[MAX_IO];
    char in_name[MAX_IO][128]; /* the case's */
} call;

/* Parameters and buffers: all of the file's, and none of the module's left out. */
static verdict load_state(call *c)
{
    golden *g = c->g;
    const tg_named_tensors *state[] = {tg_module_parameters(c->module), tg_module_buffers(c->module)};
    static const char *const prefix[] = {"param.", "buffer."};
    char name[256];
    for (int k = 0; k < 2; k++) {
        if (!state[k])
            return fail(g, "out of memory");
        for (size_t i = 0; i < state[k]->n; i++) {
            snprintf(name, sizeof name, "%s%s", prefix[k], state[k]->name[i]);
            if (!golden_has(g, name))
                return fail(g, "the module has a %s '%s' that the case lacks", k ? "buffer" : "parameter",
                            state[k]->name[i]);
            verdict v = golden_load(g, name, state[k]->tensor[i]);
            if (v != PASSED)
                return v;
        }
        const char *names[MAX_NAMES];
        size_t n = golden_names(g, prefix[k], names);
        if (n != state[k]->n)
            return fail(g, "the case has %zu %ss, the module %zu", n, k ? "buffer" : "parameter",
                        state[k]->n);
    }
    return PASSED;
}

static verdict give_tensor(call *c, size_t i, const char *argument, const char *name)
{
    golden *g = c->g;
    c->in[i] = golden_tensor(g, name);
    if (!c->in[i])
        return FAILED;
    snprintf(c->in_name[i], sizeof c->in_name[i], "%s", argument);
    char grad[256];
    snprintf(grad, sizeof grad, "grad_input.%s", argument);
    tg_status status = golden_has(g, grad) ? tg_tensor_set_requires_grad(c->in[i], true) : TG_OK;
    return status ? refused(g, status, argument) : PASSED;
}

/* Numbers in a list, such as lengths, are an i64 tensor. */
static verdict give_numbers(call *c, size_t i, const char *argument, const json_t *list)
{
    int64_t numbers[64], n = (int64_t)json_array_size(list);
    for (int64_t k = 0; k < n && k < 64; k++) {
        const json_t *entry = json_array_get(list, (size_t)k);
        if (!json_is_integer(entry))
            return unsupported(c->g, "%s: call argument '%s' is neither tensors nor whole numbers", c->cls->name, argument);
        numbers[k] = json_integer_value(entry);
    }
    if (n > 64)
        return unsupported(c->g, "%s: call argument '%s' has more than 64 numbers", c->cls->name, argument);
    snprintf(c->in_name[i], sizeof c->in_name[i], "%s", argument);
    c->in[i] = tg_input(c->g->tape, TG_I64, &n, 1, numbers);
    return c->in[i] ? PASSED : refused(c->g, tg_tape_status(c->g->tape), argument);
}

/* A list of tensors, such as an LSTM's state, fills the inputs from its argument's on. */
static verdict give(call *c, size_t i, const char *argument, const json_t *value)
{
    const char *name = tensor_name(value);
    if (name)
        return give_tensor(c, i, argument, name);
    if (!json_is_array(value) || json_array_size(value) == 0)
        return unsupported(c->g, "%s: call argument '%s' is not a tensor", c->cls->name, argument);
    if (!tensor_name(json_array_get(value, 0)))
        return give_numbers(c, i, argument, value);
    for (size_t k = 0; k < json_array_size(value); k++) {
        char part[128];
        snprintf(part, sizeof part, "%s.%zu", argument, k);
        name = tensor_name(json_array_get(value, k));
        if (!name || i + k >= c->cls->n_in)
            return unsupported(c->g, "%s: call argument '%s' is not a list of as many tensors", c->cls->name, argument);
        verdict v = give_tensor(c, i + k, part, name);
        if (v != PASSED)
            return v;
    }
    return PASSED;
}

static verdict make_inputs(call *c, const json_t *inputs)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)inputs, key, value)
    {
        if (json_is_null(value))
            continue;
        size_t i = 0;
        while (i < c->cls->n_in && strcmp(c->cls->in_names[i], key) != 0)
            i++;
        if (i == c->cls->n_in && c->cls->n_in == 1 && !c->in[0] && json_object_size(inputs) == 1)
            i = 0; /* the only one, whatever it is called */
        if (i >= c->cls->n_in || i >= MAX_IO)
            return unsupported(c->g, "%s has no call argument '%s' here", c->cls->name, key);
        verdict v = give(c, i, key, value);
        if (v != PASSED)
            return v;
    }
    return PASSED;
}

static verdict compare_outputs(call *c)
{
    const char *names[MAX_NAMES];
    size_t n = golden_names(c->g, "output", names);
    if (n == 0)
        return fail(c->g, "the case expects no output");
    if (n > c->cls->n_out)
        return fail(c->g, "%zu outputs expected, %s has %u", n, c->cls->name, (unsigned)c->cls->n_out);
    for (size_t i = 0; i < n; i++) {
        verdict v = c->out[i] ? compare(c->g, names[i], c->out[i], c->g->tolerance)
                              : fail(c->g, "%s is missing", names[i]);
        if (v != PASSED)
            return v;
    }
    return PASSED;
}

static verdict go_back(call *c)
{
    golden *g = c->g;
    const char *names[MAX_NAMES], *gradients[MAX_NAMES];
    size_t n = golden_names(g, "output", names), left = golden_names(g, "grad_output", gradients);
    for (size_t i = 0; i < n && left; i++) {
        char name[256];
        snprintf(name, sizeof name, "grad_%s", names[i]);
        if (!golden_has(g, name))
            continue;
        tg_tensor *gy = golden_tensor(g, name);
        if (!gy)
            return FAILED;
        tg_status status = tg_backward_with(g->tape, c->out[i], gy, --left ? TG_RETAIN : 0u);
        if (status)
            return refused(g, status, "backward");
    }
    return PASSED;
}

static verdict compare_gradients(call *c)
{
    golden *g = c->g;
    const char *names[MAX_NAMES];
    size_t n = golden_names(g, "grad_param.", names);
    for (size_t i = 0; i < n; i++) {
        const tg_tensor *p = tg_module_tensor(c->module, names[i] + strlen("grad_param."));
        verdict v = p ? compare(g, names[i], tg_tensor_grad(p), g->tolerance)
                      : fail(g, "%s: there is no such parameter", names[i]);
        if (v != PASSED)
            return v;
    }
    for (size_t i = 0; i < MAX_IO; i++) {
        char name[256];
        if (!c->in[i])
            continue;
        snprintf(name, sizeof name, "grad_input.%s", c->in_name[i]);
        verdict v = golden_has(g, name) ? compare(g, name, tg_tensor_grad(c->in[i]), g->tolerance) : PASSED;
        if (v != PASSED)
            return v;
    }
    return PASSED;
}

static verdict compare_buffers(call *c)
{
    const char *names[MAX_NAMES];
    size_t n = golden_names(c->g, "buffer_after.", names);
    for (size_t i = 0; i < n; i++) {
        const tg_tensor *b = tg_module_tensor(c->module, names[i] + strlen("buffer_after."));
        verdict v = b ? compare(c->g, names[i], b, c->g->tolerance)
                      : fail(c->g, "%s: there is no such buffer", names[i]);
        if (v != PASSED)
            return v;
    }
    return PASSED;
}

static verdict run_call(call *c)
{
    golden *g = c->g;
    const char *mode = json_string_value(json_object_get(g->json, "mode"));
    if (!mode || (strcmp(mode, "train") && strcmp(mode, "eval")))
        return fail(g, "not a golden case: 'mode' is neither train nor eval");
    tg_module_set_mode(c->module, strcmp(mode, "eval") ? TG_TRAIN : TG_EVAL);
    verdict v = load_state(c);
    if (v == PASSED)
        v = make_inputs(c, json_object_get(g->json, "inputs"));
    if (v != PASSED)
        return v;
    tg_status status = tg_forward_n(g->tape, c->module, c->in, c->cls->n_in, c->out, c->cls->n_out);
    if (status)
        return refused(g, status, "forward");
    v = compare_outputs(c);
    if (v == PASSED)
        v = compare_buffers(c);
    if (v == PASSED)
        v = go_back(c);
    if (v == PASSED)
        v = compare_gradients(c);
    return v;
}

verdict run_module(golden *g)
{
    const char *name = json_string_value(json_object_get(g->json, "module"));
    const json_t *arguments = json_object_get(g->json, "arguments");
    if (!name || !json_is_object(arguments) || !json_is_object(json_object_get(g->json, "inputs")))
        return fail(g, "not a golden case: no 'module', 'arguments' or 'inputs'");
    call c = {.g = g, .cls = tg_layer_find(g->rt, name)};
    if (!c.cls)
        return unsupported(g, "no module %s here", name);
    if (c.cls->n_in > MAX_IO || c.cls->n_out > MAX_IO)
        return unsupported(g, "%s has too many inputs or outputs for this runner", name);
    tg_attr attrs[MAX_ATTRS];
    verdict v = PASSED;
    int n = make_attrs(g, name, c.cls->attrs, arguments, attrs, &v);
    if (n < 0)
        return v;
    c.module = tg_module_create(g->rt, name, attrs, (size_t)n);
    if (!c.module)
        return fail(g, "the module cannot be made: %s", tg_error_message());
    c.cls = tg_module_class(c.module); /* whose outputs may depend on the arguments */
    v = run_call(&c);
    tg_module_destroy(c.module);
    return v;
}
