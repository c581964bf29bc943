/* What ran once runs again inside a rule: a layer whose backward is recorded, a checkpoint. It draws what it drew,
 * in the modes it had, and stages nothing; the sweep then goes on through what it recorded. */
#include "autograd/internal.h"

#include <string.h>

enum { MAX_OUT = 16 };

void tg_nodes_forget(tg_tape *tape, const tg_scope *scope)
{
    while (tape->n_nodes > scope->first_node)
        tg_node_release(tape, tape->nodes[--tape->n_nodes]);
    for (size_t i = scope->first_value; i < tape->n_values; i++) {
        tg_value *v = tape->values[i];
        v->flags &= ~(uint32_t)TG_V_RECORDED;
        if (v->node != TG_NO_NODE && v->node >= scope->first_node) {
            v->node = TG_NO_NODE;
            v->flags = (v->flags & ~(uint32_t)TG_V_REQUIRES_GRAD) | TG_V_LEAF;
        }
    }
}

static tg_status run_again(tg_tape *tape, const tg_node *node, tg_rerun_fn rerun, tg_tensor *out[])
{
    tg_random_state next = tape->next;
    bool replaying = tape->replaying, recording = tg_tape_set_recording(tape, true);
    unsigned kind = tg_pool_kind(tape->pool, TG_MEMORY_VALUES);
    tape->next = (tg_random_state){node->seed, node->draw};
    tape->replaying = true;
    tape->forward_depth++;
    tg_status status = rerun(tape, node, out);
    tape->forward_depth--;
    tape->replaying = replaying;
    tape->next = next;
    tg_pool_kind(tape->pool, kind);
    tg_tape_set_recording(tape, recording);
    return status ? tg_fail_again(tape, status) : tape->status;
}

tg_status tg_replay(tg_tape *tape, const tg_node *node, tg_rerun_fn rerun, tg_tensor *const gy[])
{
    tg_tensor *here[MAX_OUT] = {0}, **out = here;
    if (node->n_out > MAX_OUT && !(out = tg_arena_get(&tape->arena, node->n_out * sizeof *out)))
        return tg_fail_again(tape, TG_ENOMEM);
    memset(out, 0, node->n_out * sizeof *out);
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tg_status status = run_again(tape, node, rerun, out);
    /* Only what the recorded nodes saved is needed from here on. */
    if (status == TG_OK)
        tg_scope_leave(tape, &scope, NULL, 0);
    if (status == TG_OK)
        status = tg_sweep_through(tape, scope.first_node, node, out, gy, node->n_out);
    if (status == TG_OK && !tape->recording)
        tg_nodes_forget(tape, &scope);
    return status;
}

/* -- modes ----------------------------------------------------------------------------------------------- */

static tg_status note(tg_tape *tape, tg_modes *m, tg_mode mode, unsigned frozen)
{
    if (m->n == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 16;
        uint8_t *at = tg_arena_get(&tape->arena, 2 * capacity);
        if (!at)
            return tg_fail_again(tape, TG_ENOMEM);
        if (m->n)
            memcpy(at, m->at, 2 * m->n);
        m->at = at;
        m->capacity = capacity;
    }
    m->at[2 * m->n] = (uint8_t)mode;
    m->at[2 * m->n++ + 1] = (uint8_t)frozen;
    return TG_OK;
}

tg_status tg_modes_call(tg_tape *tape, tg_mode *mode, unsigned *frozen)
{
    bool found = false;
    for (tg_modes *m = tape->modes; m; m = m->outer) {
        if (!m->replay)
            continue;
        if (m->next == m->n)
            return tg_fail(tape, TG_ESTATE,
                           "the recomputation of a checkpoint calls more modules than its forward did");
        if (!found) {
            *mode = (tg_mode)m->at[2 * m->next];
            *frozen = m->at[2 * m->next + 1];
        }
        m->next++;
        found = true;
    }
    tg_status status = TG_OK;
    for (tg_modes *m = tape->modes; m && status == TG_OK; m = m->outer)
        if (!m->replay)
            status = note(tape, m, *mode, *frozen);
    return status;
}
