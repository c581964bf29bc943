/* The one road: check → infer → dispatch → run → record. */
#include "autograd/watch.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

tg_status tg_check_tensor(tg_tape *tape, const tg_tensor *t, const char *what, const char *argument,
                          tg_value **out)
{
    *out = NULL;
    if (!t)
        return tg_fail(tape, TG_EINVAL, "%s: %s is NULL", what, argument);
    tg_value *v = tg_resolve(t);
    if (!v)
        return tg_fail(tape, TG_ESTALE,
                       "%s: %s is stale: its tape was reset or closed, or it was destroyed or discarded",
                       what, argument);
    if (v->home->rt != tape->rt)
        return tg_fail(tape, TG_EINVAL, "%s: %s belongs to another runtime", what, argument);
    if (v->home->tape && v->home != &tape->home)
        return tg_fail(tape, TG_EINVAL, "%s: %s belongs to another tape", what, argument);
    bool held = v->flags & (TG_V_HELD | TG_V_PERSISTENT);
    if ((v->flags & TG_V_RELEASED) || (!held && !tape->rule_of && !v->refs))
        return tg_fail(tape, TG_ESTALE,
                       "%s: %s was given back: discarded, or neither returned by a forward nor saved", what,
                       argument);
    *out = v;
    return TG_OK;
}

/* One application: its arrays are on the stack for the usual few inputs, else from the arena. */
typedef struct application {
    const tg_operator *op;
    tg_tensor **in;
    tg_value **value;
    size_t n_in, n_groups;
    uint32_t any; /* flags that any of the inputs has */
    const double *scalars;
    const void *attrs;
    tg_value *out[16];
    const tg_entry *entry; /* once dispatched */
    uint64_t draw;
    bool copied; /* an input is a row-major copy of our own */
} application;

static tg_status check_arity(tg_tape *tape, const tg_operator *op, size_t n_in, const void *attrs,
                             const double *scalars)
{
    if (op->n_in != TG_OP_VARIADIC && n_in != op->n_in)
        return tg_fail(tape, TG_EINVAL, "%s takes %u inputs, got %zu", op->name, (unsigned)op->n_in, n_in);
    if (op->n_in == TG_OP_VARIADIC && (!n_in || (op->period && n_in % op->period)))
        return tg_fail(tape, TG_EINVAL, "%s takes %s%u inputs, got %zu", op->name,
                       op->period ? "a multiple of " : "at least ", op->period ? (unsigned)op->period : 1u,
                       n_in);
    if (op->attrs_size && !attrs)
        return tg_fail(tape, TG_EINVAL, "%s: its attributes are missing", op->name);
    if (op->n_scalars && !scalars)
        return tg_fail(tape, TG_EINVAL, "%s: its %u run-time scalars are missing", op->name,
                       (unsigned)op->n_scalars);
    if (op->n_out > 16)
        return tg_fail(tape, TG_EINVAL, "%s: a row has at most 16 outputs", op->name);
    return TG_OK;
}

static bool has_bit(uint32_t mask, const tg_operator *op, size_t i)
{
    if (op->period)
        i %= op->period;
    return i < 16 && (mask & TG_OP_IN(i));
}

static tg_status replace_input(tg_tape *tape, application *a, size_t i, tg_tensor *by)
{
    a->in[i] = by;
    a->value[i] = by ? tg_resolve(by) : NULL;
    a->copied = true;
    return by ? TG_OK : tape->status;
}

/* An input that is not what it usually is: absent, or to be turned down. */
static tg_status explain_input(tg_tape *tape, application *a, size_t i)
{
    char argument[32];
    if (!a->in[i] && has_bit(a->op->optional, a->op, i))
        return TG_OK;
    snprintf(argument, sizeof argument, "input %zu", i);
    return tg_check_tensor(tape, a->in[i], a->op->name, argument, &a->value[i]);
}

static bool promoted(const application *a, size_t i)
{
    return a->value[i] && has_bit(a->op->promotes, a->op, a->op->n_in == TG_OP_VARIADIC ? 0 : i);
}

/* The common dtype: torch's result_type. */
static int32_t result_type(const tg_tape *tape, const application *a)
{
    int32_t sized = -1, scalar = -1;
    for (size_t i = 0; i < a->n_in; i++)
        if (promoted(a, i)) {
            const tg_desc *d = a->value[i]->desc;
            int32_t *to = d->ndim ? &sized : &scalar;
            *to = tg_dtype_promote(*to, d->dtype);
        }
    int32_t dtype = tg_dtype_kind(scalar) > tg_dtype_kind(sized) ? tg_dtype_promote(sized, scalar) : sized;
    return (a->op->flags & TG_OP_FLOAT) && tg_dtype_kind(dtype) < TG_KIND_FLOAT ? (int32_t)tape->rt->dtype : dtype;
}

static tg_status promote(tg_tape *tape, application *a)
{
    int32_t first = -1;
    bool mixed = false;
    for (size_t i = 0; i < a->n_in && !mixed; i++)
        if (promoted(a, i)) {
            int32_t dtype = a->value[i]->desc->dtype;
            mixed = (first >= 0 && dtype != first) ||
                    ((a->op->flags & TG_OP_FLOAT) && tg_dtype_kind(dtype) < TG_KIND_FLOAT);
            first = dtype;
        }
    tg_status status = TG_OK;
    const int32_t dtype = mixed ? result_type(tape, a) : first;
    for (size_t i = 0; i < a->n_in && mixed && status == TG_OK; i++)
        if (promoted(a, i) && a->value[i]->desc->dtype != dtype)
            status = replace_input(tape, a, i, tg_to(tape, a->in[i], (tg_dtype)dtype));
    return status;
}

static tg_status make_dense(tg_tape *tape, application *a)
{
    tg_status status = TG_OK;
    for (size_t i = 0; i < a->n_in && status == TG_OK; i++)
        if (a->value[i] && !(a->value[i]->flags & (TG_V_DENSE | TG_V_BLOCKED)))
            status = replace_input(tape, a, i, tg_contiguous(tape, a->in[i]));
    return status;
}

static tg_status resolve_inputs(tg_tape *tape, application *a, tg_tensor *const in[])
{
    tg_status status = TG_OK;
    int32_t dtype = -1;
    bool one_dtype = true;
    for (size_t i = 0; i < a->n_in && status == TG_OK; i++) {
        a->in[i] = in[i];
        tg_value *v = a->value[i] = in[i] ? tg_resolve(in[i]) : NULL;
        if (!tg_usable(tape, v))
            status = explain_input(tape, a, i);
        if (!(v = a->value[i]))
            continue;
        a->any |= v->flags;
        one_dtype = one_dtype && (dtype < 0 || dtype == v->desc->dtype);
        dtype = v->desc->dtype;
    }
    if (status == TG_OK && a->op->promotes && !(one_dtype && (dtype == TG_F32 || dtype == TG_F64)))
        status = promote(tape, a);
    if (status == TG_OK && (a->op->flags & TG_OP_DENSE))
        status = make_dense(tape, a);
    return status;
}

static tg_status make_outputs(tg_tape *tape, application *a, const tg_entry *e)
{
    const tg_operator *op = a->op;
    for (uint32_t o = 0; o < op->n_out; o++) {
        tg_value *v = a->out[o] = tg_tape_new_value(tape, &e->out[o], e->facts[o].hash);
        if (!v)
            return tg_fail_again(tape, TG_ENOMEM);
        v->flags |= e->facts[o].flags;
        if (op->flags & TG_OP_VIEW) {
            v->storage = a->value[0]->storage;
            v->offset = a->value[0]->offset + e->offset * (int64_t)tg_dtype_size(v->desc->dtype);
            tg_storage_ref(v->storage);
        } else {
            v->storage = tg_pool_get(tape->pool, e->facts[o].bytes);
            if (!v->storage)
                return tg_fail_again(tape, TG_ENOMEM);
        }
    }
    return TG_OK;
}

static bool wants_node(const tg_tape *tape, const application *a)
{
    return tape->recording && (a->any & TG_V_REQUIRES_GRAD) && !(a->op->flags & TG_OP_NONDIFF);
}

static tg_node *make_node(tg_tape *tape, const application *a, tg_entry *e, tg_tensor *const *out)
{
    size_t n_scalars = a->op->n_scalars * a->n_groups;
    tg_node *node = tg_node_new(tape, a->op, a->in, a->n_in, out, a->op->n_out, n_scalars);
    if (!node) {
        tg_fail_again(tape, TG_ENOMEM);
        return NULL;
    }
    if (n_scalars)
        memcpy((double *)(uintptr_t)node->scalars, a->scalars, n_scalars * sizeof(double));
    node->entry = e;
    node->attrs = e->attrs;
    node->draw = a->draw;
    return node;
}

static void mark_written(const application *a)
{
    if (!a->op->writes)
        return;
    for (size_t i = 0; i < a->n_in; i++)
        if (a->value[i] && has_bit(a->op->writes, a->op, i))
            tg_storage_written(a->value[i]->storage);
}

/* Outputs that only the rule reads stay where a node saves them, and nowhere else. */
static void drop_kept(const application *a)
{
    for (uint32_t o = 0; a->op->kept_out && o < a->op->n_out; o++)
        if (a->op->kept_out & (1u << o)) {
            a->out[o]->flags &= ~(uint32_t)TG_V_HELD;
            tg_value_release(a->out[o]);
        }
}

static tg_status run_and_record(tg_tape *tape, application *a, tg_tensor *out[])
{
    tg_entry *e = tg_dispatch(tape, a->op, a->value, a->n_in, a->attrs);
    if (!e)
        return tape->status;
    a->entry = e;
    tg_status status = a->any & TG_V_BLOCKED ? tg_layouts_enter(tape, e, a->value) : TG_OK;
    if (status == TG_OK)
        status = make_outputs(tape, a, e);
    for (uint32_t o = 0; status == TG_OK && o < a->op->n_out; o++)
        out[o] = tg_handle(a->out[o]);
    tg_node *node = NULL;
    if (status == TG_OK && wants_node(tape, a)) {
        node = make_node(tape, a, e, out);
        status = node ? TG_OK : TG_ENOMEM;
    }
    if (status == TG_OK && !(a->op->flags & TG_OP_VIEW))
        status = tg_run_entry(tape, e, a->value, a->out, a->scalars, a->draw, node);
    if (status) {
        if (node)
            tg_pool_put(tape->pool, node->saved);
        return status;
    }
    if (!tape->planning)
        mark_written(a);
    if (node)
        tg_node_commit_values(tape, node, a->value, a->out);
    return TG_OK;
}

/* The same, with anomaly mode, the profile or a second backend looking on. */
static tg_status run_watched(tg_tape *tape, application *a, tg_tensor *out[])
{
    tg_watched w = {.op = a->op,
                    .in = a->in,
                    .n_in = a->n_in,
                    .n_groups = a->n_groups,
                    .attrs = a->attrs,
                    .scalars = a->scalars,
                    .draw = a->draw};
    tg_status status = tg_watch_enter(tape, &w);
    if (status == TG_OK)
        status = run_and_record(tape, a, out);
    w.entry = a->entry;
    return tg_watch_leave(tape, &w, out, status);
}

static tg_status check(tg_tape *tape, const application *a)
{
    const uint64_t before = tg_failures();
    return tg_returned(tape, before,
                       tape->planning ? tg_plan_check(tape, a->op, a->in, a->n_in, a->attrs)
                                      : a->op->check(tape, a->in, a->n_in, a->attrs),
                       "the check of %s", a->op->name);
}

/* What can fail before a kernel runs. */
static tg_status check_inputs(tg_tape *tape, application *a, tg_tensor *const in[])
{
    tg_status status = resolve_inputs(tape, a, in);
    if (status == TG_OK && (a->op->flags & TG_OP_HOST_CHECK) && !tape->rule_of)
        status = check(tape, a);
    return status;
}

static tg_status get_ready(tg_tape *tape, application *a, tg_tensor *const in[])
{
    tg_status status = check_inputs(tape, a, in);
    if (status)
        return status;
    tg_entry *e = tg_dispatch(tape, a->op, a->value, a->n_in, a->attrs);
    if (!e)
        return tape->status;
    status = a->any & TG_V_BLOCKED ? tg_layouts_enter(tape, e, a->value) : TG_OK;
    return status ? status : tg_ready_entry(tape, e);
}

static tg_status apply(tg_tape *tape, application *a, tg_tensor *const in[], bool own_draw, tg_tensor *out[])
{
    tg_status status = check_inputs(tape, a, in);
    if (status)
        return status;
    bool random = a->op->flags & TG_OP_RANDOM;
    if (random && !own_draw)
        a->draw = tape->next.draw;
    status = tape->watch ? run_watched(tape, a, out) : run_and_record(tape, a, out);
    if (status)
        return status;
    if (random && !own_draw) {
        tape->next.draw++;
        if (!tape->forward_depth && !tape->step_depth && !tape->replaying)
            tape->committed = tape->next;
    }
    if (tape->observer.applied)
        tape->observer.applied(tape->observer.arg, tape, a->op, a->in, a->n_in, out, a->op->n_out,
                               tape->rule_of);
    if (!tape->keeps_all)
        drop_kept(a);
    return TG_OK;
}

/* Row-major copies of our own stay where a node saves them, and nowhere else. */
static void drop_copies(const application *a, tg_tensor *const in[])
{
    for (size_t i = 0; a->copied && i < a->n_in; i++)
        if (a->in[i] != in[i])
            tg_discard(a->in[i]);
}

static tg_status apply_row(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                           const void *attrs, const double *scalars, const uint64_t *draw, bool only_ready, tg_tensor *out[])
{
    if (!op)
        return tg_null(tape, "tg_apply", "the operator");
    if (!tape)
        return tg_null(NULL, op->name, "the tape");
    tg_tensor *unused[16];
    if (!out)
        out = unused;
    for (uint32_t o = 0; o < op->n_out && o < 16; o++)
        out[o] = NULL;
    if (tape->status)
        return tape->status;
    tg_status status = check_arity(tape, op, n_in, attrs, scalars);
    if (!status && n_in && !in)
        status = tg_null(tape, op->name, "the array of inputs");
    if (status)
        return status;
    tg_tensor *in_here[16];
    tg_value *value_here[16];
    application a; /* its outputs are not to be zeroed each time */
    a.op = op;
    a.in = in_here;
    a.value = value_here;
    a.n_in = n_in;
    a.any = 0;
    a.attrs = attrs;
    a.scalars = scalars;
    a.draw = draw ? *draw : 0;
    a.n_groups = op->period ? n_in / op->period : 1;
    a.entry = NULL;
    a.copied = false;
    if (n_in > 16) {
        a.in = tg_arena_get(&tape->arena, n_in * sizeof *a.in);
        a.value = tg_arena_get(&tape->arena, n_in * sizeof *a.value);
        if (!a.in || !a.value)
            return tg_fail_again(tape, TG_ENOMEM);
    }
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    status = only_ready ? get_ready(tape, &a, in) : apply(tape, &a, in, draw != NULL, out);
    if (status == TG_OK) {
        drop_copies(&a, in);
        return TG_OK;
    }
    tg_scope_undo(tape, &scope);
    tg_fail_in(tape, op->name);
    for (uint32_t o = 0; o < op->n_out; o++)
        out[o] = NULL;
    return status;
}

tg_status tg_apply(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                   const void *attrs, const double *scalars, tg_tensor *out[])
{
    return apply_row(tape, op, in, n_in, attrs, scalars, NULL, false, out);
}

tg_status tg_apply_draw(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                        const void *attrs, const double *scalars, uint64_t draw, tg_tensor *out[])
{
    return apply_row(tape, op, in, n_in, attrs, scalars, &draw, false, out);
}

/* Room for what apply_row and tg_run_entry take of the arena: three arrays of n_in pointers a row. */
static tg_status reserve(tg_tape *tape, const tg_row_call calls[], size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += 3 * ((calls[i].n_in * sizeof(void *) + 15) & ~(size_t)15);
    char *room = tg_arena_get(&tape->arena, size);
    if (!room)
        return tg_fail_again(tape, TG_ENOMEM);
    tape->arena.next = room;
    return TG_OK;
}

tg_status tg_apply_all(tg_tape *tape, const tg_row_call calls[], size_t n)
{
    tg_status status = TG_OK;
    for (size_t i = 0; i < n && n > 1 && !status; i++)
        status = apply_row(tape, calls[i].op, calls[i].in, calls[i].n_in, calls[i].attrs, calls[i].scalars, NULL,
                           true, NULL);
    if (!status && n > 1)
        status = reserve(tape, calls, n);
    for (size_t i = 0; i < n && !status; i++)
        status = tg_apply(tape, calls[i].op, calls[i].in, calls[i].n_in, calls[i].attrs, calls[i].scalars, NULL);
    return status;
}
