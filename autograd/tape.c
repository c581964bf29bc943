#include "autograd/watch.h"

#include <string.h>

static void unlink_tape(tg_runtime *rt, tg_tape *tape)
{
    mtx_lock(&rt->lock);
    for (tg_tape **t = &rt->open_tapes; *t; t = &(*t)->next_open)
        if (*t == tape) {
            *t = tape->next_open;
            break;
        }
    mtx_unlock(&rt->lock);
}

static void free_parts(tg_tape *tape)
{
    const tg_allocator *a = &tape->rt->allocator;
    tg_profile_close_tape(tape);
    tg_verify_close_tape(tape);
    tg_cache_close(tape);
    tg_storage_unref(tape->scratch);
    tg_pool_close(tape->pool);
    tg_arena_close(&tape->arena);
    tg_free(a, tape->nodes);
    tg_free(a, tape->hooks.at);
    tg_carried_free(tape);
    tg_free(a, tape->values);
    tg_free(a, tape->staged);
    tg_home_close(&tape->home);
    tg_free(a, tape);
}

static tg_tape *tape_new(tg_runtime *rt)
{
    tg_tape *tape = tg_alloc_zero(&rt->allocator, sizeof *tape);
    if (!tape)
        return NULL;
    tape->rt = rt;
    tape->arena.allocator = &rt->allocator;
    tape->recording = true;
    tape->threads = rt->threads;
    tape->pool = tg_pool_open(&rt->allocator);
    tape->cache = tape->pool ? tg_cache_open(tape) : NULL;
    if (!tape->cache || tg_home_open(&tape->home, rt, tape)) {
        free_parts(tape);
        return NULL;
    }
    return tape;
}

tg_tape *tg_tape_plan_open(tg_runtime *rt)
{
    tg_tape *tape = tape_new(rt);
    if (!tape)
        return NULL;
    tape->planning = true;
    tg_pool_plan(tape->pool);
    return tape;
}

tg_status tg_tape_open(tg_tape **out, tg_runtime *rt)
{
    if (out)
        *out = NULL;
    if (!out || !rt)
        return tg_null(NULL, "tg_tape_open", rt ? "out" : "the runtime");
    tg_tape *tape = tape_new(rt);
    if (!tape)
        return TG_ENOMEM;
    tg_tape_set_anomaly(tape, rt->anomaly);
    if (tg_profile_open_tape(tape) || tg_verify_open_tape(tape)) {
        free_parts(tape);
        return TG_ENOMEM;
    }
    uint64_t seed = tg_runtime_random_state(rt).seed;
    mtx_lock(&rt->lock);
    rt->frozen = true;
    tape->committed = tape->next = (tg_random_state){seed, ++rt->tapes_opened << 40};
    tape->next_open = rt->open_tapes;
    rt->open_tapes = tape;
    mtx_unlock(&rt->lock);
    *out = tape;
    return TG_OK;
}

static void forget(tg_tape *tape)
{
    tg_staged_drop(tape, 0, tape->committed);
    tape->forward_depth = tape->step_depth = 0;
    tg_scope_undo(tape, &(tg_scope){0});
    tape->hooks.n = 0;
    tg_carried_turn(tape, false);
    tg_home_rewind(&tape->home);
    tg_arena_reset(&tape->arena);
    tg_cache_trim(tape);
    if (tape->watch)
        tg_profile_idle(tape);
}

void tg_tape_close(tg_tape *tape)
{
    if (!tape)
        return;
    forget(tape);
    tg_carried_turn(tape, true);
    unlink_tape(tape->rt, tape);
    free_parts(tape);
}

void tg_tape_reset(tg_tape *tape)
{
    if (!tape)
        return;
    if (tape->forward_depth || tape->sweep_depth)
        tg_fail(tape, TG_ESTATE, "tg_tape_reset: inside a forward or a backward of this tape");
    else
        forget(tape);
}

tg_tape *tg_runtime_tape(tg_runtime *rt)
{
    mtx_lock(&rt->tape_lock);
    if (!rt->tape)
        rt->tape = tape_new(rt);
    if (!rt->tape) {
        mtx_unlock(&rt->tape_lock);
        return NULL;
    }
    if (!rt->tape_users++) {
        tg_tape_clear_error(rt->tape);
        rt->tape->recording = false;
        rt->tape->committed = rt->tape->next = rt->random;
    }
    return rt->tape;
}

void tg_runtime_tape_done(tg_runtime *rt)
{
    if (!--rt->tape_users) {
        forget(rt->tape);
        rt->random = rt->tape->committed;
    }
    mtx_unlock(&rt->tape_lock);
}

tg_runtime *tg_tape_runtime(const tg_tape *tape)
{
    return tape ? tape->rt : NULL;
}

tg_status tg_tape_status(const tg_tape *tape)
{
    return tape ? tape->status : TG_EINVAL;
}

const char *tg_tape_error(const tg_tape *tape)
{
    return tape ? tape->error : "the tape is NULL";
}

void tg_tape_clear_error(tg_tape *tape)
{
    if (!tape)
        return;
    tape->status = TG_OK;
    tape->error[0] = '\0';
}

bool tg_tape_set_recording(tg_tape *tape, bool recording)
{
    if (!tape)
        return false;
    bool was = tape->recording;
    tape->recording = recording;
    return was;
}

bool tg_tape_recording(const tg_tape *tape)
{
    return tape && tape->recording;
}

tg_random_state tg_tape_random_state(const tg_tape *tape)
{
    return tape ? tape->committed : (tg_random_state){0};
}

void tg_tape_set_random_state(tg_tape *tape, tg_random_state state)
{
    if (tape)
        tape->committed = tape->next = state;
}

tg_status tg_tape_set_threads(tg_tape *tape, int threads)
{
    if (!tape)
        return tg_null(NULL, "tg_tape_set_threads", "the tape");
    if (threads < 1 || threads > TG_MAX_THREADS)
        return tg_fail(NULL, TG_EINVAL, "tg_tape_set_threads: 1 to %d threads, not %d", TG_MAX_THREADS,
                       threads);
    tape->threads = threads;
    return TG_OK;
}

tg_memory tg_tape_memory(const tg_tape *tape)
{
    tg_memory memory = {0};
    if (tape)
        tg_pool_memory(tape->pool, false, &memory);
    return memory;
}

void tg_tape_memory_restart(tg_tape *tape)
{
    if (tape)
        tg_pool_memory(tape->pool, true, NULL);
}

size_t tg_tape_size(const tg_tape *tape)
{
    return tape ? tape->n_nodes : 0;
}

void tg_tape_observe(tg_tape *tape, const tg_observer *observer)
{
    if (tape)
        tape->observer = observer ? *observer : (tg_observer){0};
}
