#include <stdio.h>
#include <string.h>

#include "layers/internal.h"

/* The tape's count of errors when a module last put its path before one: a module above leaves that one
 * alone. */
static thread_local uint64_t blamed;

static bool is_blamed(const tg_tape *tape)
{
    return tape->status && blamed == tape->n_errors;
}

static size_t write_path(const tg_module *m, char *buf, size_t size)
{
    if (!m->parent)
        return 0;
    size_t n = write_path(m->parent, buf, size);
    int more = snprintf(n < size ? buf + n : NULL, n < size ? size - n : 0, "%s%s", n ? "." : "", m->name);
    return n + (size_t)more;
}

const char *tg_module_describe(const tg_module *module, char *buf, size_t size)
{
    if (!size)
        return buf;
    buf[0] = '\0';
    if (!module)
        return buf;
    size_t n = write_path(module, buf, size);
    if (n < size)
        snprintf(buf + n, size - n, n ? " (%s)" : "%s", module->cls->name);
    return buf;
}

tg_status tg_layer_fail(const tg_module *module, tg_tape *tape, tg_status status, const char *format, ...)
{
    char who[256], text[768];
    va_list args;
    va_start(args, format);
    tg_vformat(text, sizeof text, format, args);
    va_end(args);
    return tg_fail(tape, status, "%s: %s", tg_module_describe(module, who, sizeof who), text);
}

/* Puts the module's path before the tape's sentence, which ends in the caller's place already. */
static void blame(const tg_module *m, tg_tape *tape)
{
    char who[256], text[sizeof tape->error];
    const char *file = tg_here_file();
    int line = tg_here_line();
    tg_module_describe(m, who, sizeof who);
    if (strncmp(tape->error, who, strlen(who)) == 0)
        return;
    memcpy(text, tape->error, sizeof text);
    const tg_status status = tape->status;
    tape->status = TG_OK;
    tg_here_set(NULL, 0);
    tg_fail(tape, status, "%s: %s", who, text);
    tg_here_set(file, line);
}

static const char *input_name(const tg_layer_class *cls, size_t i)
{
    static const char *const numbered[] = {
        "input 0", "input 1", "input 2",  "input 3",  "input 4",  "input 5",  "input 6",  "input 7",
        "input 8", "input 9", "input 10", "input 11", "input 12", "input 13", "input 14", "input 15"};
    if (cls->in_names && cls->in_names[i])
        return cls->in_names[i];
    return cls->n_in == 1 ? "input" : numbered[i];
}

static tg_status check_inputs(const tg_module *m, tg_tape *tape, tg_tensor *const in[])
{
    for (size_t i = 0; i < m->cls->n_in; i++) {
        if (!in[i]) {
            if (m->cls->optional & TG_OP_IN(i))
                continue;
            return tg_layer_fail(m, tape, TG_EINVAL, "%s is NULL", input_name(m->cls, i));
        }
        tg_value *v = tg_resolve(in[i]);
        if (tg_usable(tape, v))
            continue;
        char who[256];
        tg_status status =
            tg_check_tensor(tape, in[i], tg_module_describe(m, who, sizeof who), input_name(m->cls, i), &v);
        if (status)
            return status;
    }
    return TG_OK;
}

static tg_status check_call(const tg_module *m, tg_tape *tape, size_t n_in, size_t n_out)
{
    if (!m)
        return tg_fail(tape, TG_EINVAL, "tg_forward: the module is NULL");
    if (m->rt != tape->rt)
        return tg_layer_fail(m, tape, TG_EINVAL, "the module and the tape belong to two runtimes");
    if (!m->ready)
        return tg_layer_fail(m, tape, TG_ESTATE, "the module is still being made");
    size_t least = m->cls->n_in;
    while (least > 0 && m->cls->optional & TG_OP_IN(least - 1))
        least--;
    if (n_in < least || n_in > m->cls->n_in || n_out < 1 || n_out > m->cls->n_out)
        return tg_layer_fail(m, tape, TG_EINVAL,
                             "called with %zu inputs and %zu outputs, it takes %u and gives %u", n_in, n_out,
                             (unsigned)m->cls->n_in, (unsigned)m->cls->n_out);
    return TG_OK;
}

static bool wants_gradient(const tg_module *m, tg_tensor *const in[])
{
    for (size_t i = 0; i < m->cls->n_in; i++)
        if (in[i] && tg_tensor_requires_grad(in[i]))
            return true;
    for (size_t i = 0; i < m->parameters.n; i++)
        if (tg_tensor_requires_grad(m->parameters.at[i].tensor))
            return true;
    return false;
}

/* Was out[o] made by the forward under way, and given out once? What came in, or is a parameter, or lives
 * elsewhere cannot be a node's output: a value of its own over the same storage can. */
static bool is_new(const tg_tape *tape, const tg_scope *scope, tg_tensor *const out[], size_t o)
{
    const tg_value *v = tg_resolve(out[o]);
    if (!v || v->home != &tape->home || v->node != TG_NO_NODE)
        return false;
    for (size_t k = 0; k < o; k++)
        if (out[k] == out[o])
            return false;
    for (size_t i = tape->n_values; i-- > scope->first_value;)
        if (tape->values[i] == v)
            return true;
    return false;
}

/* A class with a backward of its own: its forward leaves no nodes, and one node stands for the layer. */
static tg_status forward_as_one(tg_module *m, tg_tape *tape, const tg_scope *scope, tg_tensor *const in[],
                                tg_tensor *out[])
{
    const tg_layer_class *cls = m->cls;
    uint64_t draw = tape->next.draw;
    size_t n = cls->n_in + m->parameters.n;
    tg_tensor **all = tg_arena_get(&tape->arena, n * sizeof *all);
    if (!all)
        return tg_fail_again(tape, TG_ENOMEM);
    memcpy(all, in, cls->n_in * sizeof *all);
    for (size_t i = 0; i < m->parameters.n; i++)
        all[cls->n_in + i] = m->parameters.at[i].tensor;
    tape->recording = false;
    tg_status status = cls->forward[tape->mode](m, tape, in, cls->n_in, out);
    for (size_t o = 0; o < cls->n_out && !status; o++)
        if (!is_new(tape, scope, out, o) && !(out[o] = tg_detach(tape, out[o])))
            status = tape->status ? tape->status : TG_EINVAL;
    tape->recording = true;
    if (status || tape->status)
        return status ? status : tape->status;
    return tg_record_layer(tape, m, all, n, out, cls->n_out, draw);
}

tg_status tg_module_call(tg_module *m, tg_tape *tape, const tg_scope *scope, tg_tensor *const in[], tg_tensor *out[])
{
    const tg_layer_class *cls = m->cls;
    if (cls->backward[tape->mode] && tape->recording && wants_gradient(m, in))
        return forward_as_one(m, tape, scope, in, out);
    return cls->forward[tape->mode](m, tape, in, cls->n_in, out);
}

size_t tg_outputs_wanted(const tg_tape *tape)
{
    return tape->n_wanted ? tape->n_wanted : TG_LAYER_MAX_ARGS;
}

/* What runs in the place of the class's forward and of hooks. */
typedef struct stand_in {
    tg_layer_forward *forward;
    const void *arg;
} stand_in;

static tg_status run(tg_module *m, tg_tape *tape, const stand_in *by, tg_tensor *const in[], tg_tensor *asked[],
                     size_t n_asked)
{
    const tg_layer_class *cls = m->cls;
    const tg_mode mode = m->mode;
    const size_t wanted_above = tape->n_wanted;
    tg_tensor *out[TG_LAYER_MAX_ARGS] = {NULL};
    tg_scope scope;
    tg_forward_enter(tape, &scope, mode);
    tape->n_wanted = cls->backward[mode] ? cls->n_out : n_asked; /* a hook that looks on asks for nothing */
    const uint64_t before = tg_failures();
    tg_status status = by           ? by->forward(m, tape, in[0], by->arg, out)
                       : m->n_hooks ? tg_module_call_hooked(m, tape, &scope, in, out)
                                    : tg_module_call(m, tape, &scope, in, out);
    if (!status)
        status = tape->status;
    for (size_t o = 0; o < n_asked && !status; o++)
        if (!out[o] || !tg_resolve(out[o]))
            status = tg_layer_fail(m, tape, TG_EINVAL, "its forward left output %zu %s", o,
                                   out[o] ? "stale" : "NULL");
    if (status && !is_blamed(tape)) {
        tg_returned(tape, before, status, "the forward");
        blame(m, tape);
        blamed = tape->n_errors;
    }
    tape->n_wanted = wanted_above;
    status = tg_forward_leave(tape, &scope, status, out, n_asked);
    for (size_t o = 0; o < n_asked; o++)
        asked[o] = status ? NULL : out[o];
    return status;
}

/* Inside a checkpoint: its recomputation finds the mode, and what is frozen, as they were. */
static tg_status run_as_noted(tg_module *m, tg_tape *tape, tg_tensor *const in[], tg_tensor *out[], size_t n_out)
{
    tg_mode mode = m->mode;
    unsigned frozen = m->frozen;
    tg_status status = tg_modes_call(tape, &mode, &frozen);
    if (status)
        return status;
    if (mode == m->mode && frozen == m->frozen)
        return run(m, tape, NULL, in, out, n_out);
    const tg_mode mode_now = m->mode;
    const unsigned frozen_now = m->frozen;
    m->mode = mode;
    m->frozen = frozen;
    status = run(m, tape, NULL, in, out, n_out);
    m->mode = mode_now;
    m->frozen = frozen_now;
    return status;
}

static tg_status forward(tg_tape *tape, tg_module *module, const stand_in *by, tg_tensor *const in[], size_t n_in,
                         tg_tensor *out[], size_t n_out)
{
    if (!tape)
        return tg_fail(NULL, TG_EINVAL, "tg_forward: the tape is NULL");
    for (size_t o = 0; out && o < n_out; o++)
        out[o] = NULL;
    if (tape->status)
        return tape->status;
    if (tape->forward_depth == 0)
        blamed = UINT64_MAX; /* another tape's count may be the same */
    tg_status status = check_call(module, tape, n_in, n_out);
    if (!status && (!in || !out))
        status = tg_layer_fail(module, tape, TG_EINVAL, "the array of %s is NULL", in ? "outputs" : "inputs");
    tg_tensor *all[TG_LAYER_MAX_ARGS] = {NULL};
    if (!status) {
        memcpy(all, in, n_in * sizeof *all);
        status = check_inputs(module, tape, all);
    }
    if (status) {
        blamed = tape->n_errors;
        return status;
    }
    return tape->modes && !by ? run_as_noted(module, tape, all, out, n_out) : run(module, tape, by, all, out, n_out);
}

tg_status tg_forward_n(tg_tape *tape, tg_module *module, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                       size_t n_out)
{
    return forward(tape, module, NULL, in, n_in, out, n_out);
}

tg_status tg_forward_by(tg_tape *tape, tg_module *module, tg_tensor *x, tg_layer_forward *by, const void *arg,
                        tg_tensor **y)
{
    return forward(tape, module, &(stand_in){by, arg}, &x, 1, y, 1);
}

tg_tensor *tg_forward(tg_tape *tape, tg_module *module, tg_tensor *x)
{
    tg_tensor *y = NULL;
    return tg_forward_n(tape, module, &x, 1, &y, 1) ? NULL : y;
}
