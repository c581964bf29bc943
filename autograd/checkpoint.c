/* A checkpoint is one node for all that a function did: it keeps what came from outside, and its rule runs the
 * function again. What came from outside is what operators inside were seen to read. */
#include "autograd/internal.h"

#include <string.h>

typedef struct checkpoint {
    tg_function fn;
    void *arg;
    size_t n_in;
    tg_modes modes;
} checkpoint;

/* -- what is read ---------------------------------------------------------------------------------------- */

/* Every tensor that an operator took, once: a list, and its hash table. */
typedef struct seen {
    tg_tensor **list;
    uint32_t *slot; /* 1 + the place in the list */
    size_t n, capacity;
    tg_observer outer;
    bool failed;
} seen;

static size_t place_of(const seen *s, const tg_tensor *t)
{
    size_t i = ((uintptr_t)t * 0x9e3779b97f4a7c15u >> 32) & (2 * s->capacity - 1);
    while (s->slot[i] && s->list[s->slot[i] - 1] != t)
        i = (i + 1) & (2 * s->capacity - 1);
    return i;
}

static bool seen_grow(tg_tape *tape, seen *s)
{
    seen grown = *s;
    grown.capacity = s->capacity ? 2 * s->capacity : 64;
    grown.list = tg_arena_get(&tape->arena, grown.capacity * sizeof *grown.list);
    grown.slot = tg_arena_get(&tape->arena, 2 * grown.capacity * sizeof *grown.slot);
    if (!grown.list || !grown.slot)
        return false;
    memset(grown.slot, 0, 2 * grown.capacity * sizeof *grown.slot);
    for (size_t i = 0; i < s->n; i++) {
        grown.list[i] = s->list[i];
        grown.slot[place_of(&grown, s->list[i])] = (uint32_t)i + 1;
    }
    *s = grown;
    return true;
}

static void seen_add(tg_tape *tape, seen *s, tg_tensor *t)
{
    if (!t || s->failed)
        return;
    if (s->n == s->capacity && !seen_grow(tape, s)) {
        s->failed = true;
        return;
    }
    size_t i = place_of(s, t);
    if (s->slot[i])
        return;
    s->list[s->n++] = t;
    s->slot[i] = (uint32_t)s->n;
}

static void applied(void *arg, tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                    tg_tensor *const out[], size_t n_out, const tg_node *rule_of)
{
    seen *s = arg;
    for (size_t i = 0; i < n_in; i++)
        seen_add(tape, s, in[i]);
    if (s->outer.applied)
        s->outer.applied(s->outer.arg, tape, op, in, n_in, out, n_out, rule_of);
}

static void rule(void *arg, tg_tape *tape, const tg_node *node)
{
    seen *s = arg;
    if (s->outer.rule)
        s->outer.rule(s->outer.arg, tape, node);
}

static void rule_ran(void *arg, tg_tape *tape, const tg_node *node, tg_tensor *gx[])
{
    seen *s = arg;
    if (s->outer.rule_ran)
        s->outer.rule_ran(s->outer.arg, tape, node, gx);
}

/* -- the node -------------------------------------------------------------------------------------------- */

static tg_status run(tg_tape *tape, const checkpoint *c, tg_tensor *const in[], tg_tensor *out[], size_t n_out)
{
    const uint64_t before = tg_failures();
    return tg_returned(tape, before, c->fn(c->arg, tape, in, c->n_in, out, n_out), "tg_checkpoint: its function");
}

static tg_status run_again(tg_tape *tape, const tg_node *node, tg_tensor *out[])
{
    const checkpoint *c = node->attrs;
    tg_modes modes = c->modes;
    modes.replay = true;
    modes.next = 0;
    modes.outer = tape->modes;
    tape->modes = &modes;
    tg_status status = run(tape, c, node->in, out, node->n_out);
    tape->modes = modes.outer;
    for (uint32_t o = 0; o < node->n_out && status == TG_OK; o++) {
        const tg_value *v = out[o] ? tg_resolve(out[o]) : NULL, *was = tg_resolve(node->out[o]);
        if (!v || !tg_desc_same_dims(v->desc, was->desc) || v->desc->dtype != was->desc->dtype)
            return tg_fail(tape, TG_ESTATE,
                           "tg_checkpoint: its function gave another output %u when it ran again", o);
    }
    return status;
}

static tg_status vjp(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *gx[])
{
    (void)gx; /* the sweep adds to the inputs' gradients by itself */
    return tg_replay(tape, node, run_again, gy);
}

static const tg_operator checkpoint_row = {
    .struct_size = sizeof(tg_operator),
    .version = 1,
    .name = "checkpoint",
    .n_in = TG_OP_VARIADIC,
    .saves = TG_OP_IN(0),
    .vjp = vjp,
    .doc = "a function that runs again when its gradient is wanted",
};

static void mark_inside(tg_tape *tape, const tg_scope *scope, bool inside)
{
    for (size_t i = scope->first_value; i < tape->n_values; i++)
        if (inside)
            tape->values[i]->flags |= TG_V_KEEP;
        else
            tape->values[i]->flags &= ~(uint32_t)TG_V_KEEP;
}

/* in[], then what else came from outside and is still there. Values made inside carry TG_V_KEEP. */
static size_t list_inputs(tg_tensor *const in[], size_t n_in, const seen *s, tg_tensor *all[])
{
    size_t n = 0;
    for (; n < n_in; n++)
        all[n] = in[n];
    for (size_t i = 0; i < s->n; i++) {
        const tg_value *v = tg_resolve(s->list[i]);
        if (!v || !v->storage || (v->home->tape && v->flags & TG_V_KEEP))
            continue;
        bool given = false;
        for (size_t k = 0; k < n_in && !given; k++)
            given = in[k] == s->list[i];
        if (!given)
            all[n++] = s->list[i];
    }
    return n;
}

/* An output becomes the node's own: one that came from outside, or stands twice, as another value over the same
 * storage. *wants: has it a gradient? */
static tg_status own_output(tg_tape *tape, tg_tensor *out[], size_t o, bool *wants)
{
    tg_value *v = out[o] ? tg_resolve(out[o]) : NULL;
    if (!v || !v->storage)
        return tg_fail(tape, TG_EINVAL, "tg_checkpoint: its function left output %zu %s", o,
                       out[o] ? "stale" : "NULL");
    *wants = v->flags & TG_V_REQUIRES_GRAD;
    bool own = v->home == &tape->home && v->flags & TG_V_KEEP;
    for (size_t k = 0; k < o && own; k++)
        own = out[k] != out[o];
    if (own)
        return TG_OK;
    tg_value *alias = tg_value_alias(tape, v);
    if (!alias)
        return tg_fail_again(tape, TG_ENOMEM);
    out[o] = tg_handle(alias);
    return TG_OK;
}

static tg_status record(tg_tape *tape, const tg_scope *scope, checkpoint *c, const seen *s, uint64_t draw,
                        tg_tensor *const in[], tg_tensor *out[], size_t n_out)
{
    tg_tensor **all = tg_arena_get(&tape->arena, (c->n_in + s->n + 1) * sizeof *all);
    bool *wants = tg_arena_get(&tape->arena, n_out + 1), any = false;
    if (!all || !wants || s->failed)
        return tg_fail_again(tape, TG_ENOMEM);
    mark_inside(tape, scope, true);
    size_t n = list_inputs(in, c->n_in, s, all);
    tg_status status = TG_OK;
    for (size_t o = 0; o < n_out && status == TG_OK; o++) {
        status = own_output(tape, out, o, &wants[o]);
        any |= wants[o];
    }
    mark_inside(tape, scope, false);
    tg_nodes_forget(tape, scope);
    if (status || !any)
        return status;
    tg_node *node = tg_node_new(tape, &checkpoint_row, all, n, out, n_out, 0);
    if (!node)
        return tg_fail_again(tape, TG_ENOMEM);
    node->attrs = c;
    node->draw = draw;
    tg_node_commit(tape, node);
    for (size_t o = 0; o < n_out; o++)
        if (!wants[o])
            tg_resolve(out[o])->flags &= ~(uint32_t)TG_V_REQUIRES_GRAD;
    return TG_OK;
}

/* The function leaves nodes, from which is seen what depends on what; then one node stands for them. */
static tg_status run_watched(tg_tape *tape, const tg_scope *scope, checkpoint *c, tg_tensor *const in[],
                             tg_tensor *out[], size_t n_out)
{
    seen s = {.outer = tape->observer};
    uint64_t draw = tape->next.draw;
    tg_observer watch = {.applied = applied, .arg = &s, .rule = rule, .rule_ran = rule_ran};
    tape->observer = watch;
    c->modes.outer = tape->modes;
    tape->modes = &c->modes;
    tg_status status = run(tape, c, in, out, n_out);
    tape->modes = c->modes.outer;
    tape->observer = s.outer;
    if (status)
        return status;
    for (size_t o = 0; o < n_out; o++)
        seen_add(tape, &s, out[o]);
    return record(tape, scope, c, &s, draw, in, out, n_out);
}

tg_status tg_checkpoint(tg_tape *tape, tg_function fn, void *arg, tg_tensor *const in[], size_t n_in,
                        tg_tensor *out[], size_t n_out)
{
    for (size_t o = 0; out && o < n_out; o++)
        out[o] = NULL;
    if (!tape || !fn || !out || !n_out || (n_in && !in))
        return tg_null(tape, "tg_checkpoint", !tape ? "the tape" : !fn ? "the function" : "an array");
    if (tape->status)
        return tape->status;
    for (size_t i = 0; i < n_in; i++) {
        tg_value *v;
        tg_status status = in[i] ? tg_check_tensor(tape, in[i], "tg_checkpoint", "an input", &v) : TG_OK;
        if (status)
            return status;
    }
    tg_scope scope;
    tg_forward_enter(tape, &scope, tape->mode);
    checkpoint *c = tg_arena_get(&tape->arena, sizeof *c);
    tg_status status = c ? TG_OK : tg_fail_again(tape, TG_ENOMEM);
    if (c)
        *c = (checkpoint){.fn = fn, .arg = arg, .n_in = n_in};
    if (c && tape->recording)
        status = run_watched(tape, &scope, c, in, out, n_out);
    else if (c)
        status = run(tape, c, in, out, n_out);
    status = tg_forward_leave(tape, &scope, status, out, n_out);
    for (size_t o = 0; o < n_out && status; o++)
        out[o] = NULL;
    return status;
}
