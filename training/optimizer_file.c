/* An optimizer's part of a training file: torch.optim's state_dict. */
#include "training/optimizer.h"
#include "training/save.h"

#include <math.h>
#include <string.h>

tg_runtime *tg_optimizer_runtime(const tg_optimizer *o)
{
    return o->rt;
}

/* Lists by their numbers; how many there are is the class's. */
static void walk_option(tg_walk *w, const tg_attr_spec *s, tg_optim_config *config)
{
    void *at = (char *)config + s->offset;
    if (s->type == TG_ATTR_REALS)
        tg_walk_numbers(w, s->name, TG_F64, ((tg_reals *)at)->n, 0, ((tg_reals *)at)->v);
    else
        tg_walk_numbers(w, s->name,
                        s->type == TG_ATTR_REAL   ? TG_F64
                        : s->type == TG_ATTR_BOOL ? TG_BOOL
                                                  : TG_I64,
                        -1, 0, at);
}

/* Options that the file has but the optimizer would not take. */
static void check_group(tg_walk *w, const tg_optimizer *o, const tg_group *g)
{
    tg_status status = tg_optim_check(o->cls, &g->config);
    if (!status)
        status = tg_optim_at_least(o->cls->name, "lr", g->lr, 0);
    if (!status && !isnan(g->initial_lr))
        status = tg_optim_at_least(o->cls->name, "initial_lr", g->initial_lr, 0);
    if (status)
        tg_walk_failed(w, status);
}

static void walk_group(tg_walk *w, tg_optimizer *o, size_t i)
{
    tg_group candidate = o->group[i], *g = w->pass == TG_CHECK ? &candidate : &o->group[i];
    const size_t before = tg_walk_enter(w, "param_groups.%zu.", i);
    tg_walk_numbers(w, "lr", TG_F64, -1, 0, &g->lr);
    tg_walk_numbers(w, "initial_lr", TG_F64, -1, 0, &g->initial_lr);
    for (const tg_attr_spec *s = o->cls->attrs; s->name; s++)
        if (strcmp(s->name, "lr") != 0) /* config's is the one at the making */
            walk_option(w, s, &g->config);
    if (w->pass == TG_CHECK && !w->status)
        check_group(w, o, g);
    tg_walk_leave(w, before);
    if (o->cls->walk && !w->status)
        o->cls->walk(w, o, &g->config);
}

static void check_groups(tg_walk *w, const tg_optimizer *o)
{
    size_t n = 0;
    for (bool more = true; more; n += more) {
        const size_t before = tg_walk_enter(w, "param_groups.%zu.", n);
        more = tg_walk_has(w, "lr");
        tg_walk_leave(w, before);
    }
    if (n != o->n_groups)
        tg_walk_fail(w, TG_EFORMAT, "has %zu groups of parameters in the file, expected %zu", n, o->n_groups);
}

/* Which parameter is in which group must be the same. */
static void walk_members(tg_walk *w, tg_optimizer *o)
{
    const int64_t *group =
        tg_walk_numbers(w, "group", TG_I64, (int64_t)o->n, 0, w->pass == TG_SAVE ? o->group_of : NULL);
    for (size_t i = 0; group && i < o->n && !w->status; i++)
        if (group[i] != (int64_t)o->group_of[i])
            tg_walk_fail(w, TG_EFORMAT, "parameter %zu (%s) is in group %lld in the file, expected group %zu",
                         i, o->name[i], (long long)group[i], o->group_of[i]);
}

/* The i-th parameter's tensors, those that `used` says have been through a step. */
static void walk_state(tg_walk *w, tg_optimizer *o, size_t i, unsigned used)
{
    const char *word = o->cls->states;
    if (w->pass == TG_CHECK && tg_optim_make_state(o, NULL, i, used))
        tg_walk_failed(w, TG_ENOMEM);
    for (size_t k = 0; k < o->n_states; k++) {
        tg_tensor **state = &o->state[i * o->n_states + k];
        const size_t length = strcspn(word, "|");
        const size_t before = tg_walk_enter(w, "state.%zu.%s.%.*s", i, o->name[i], (int)length, word);
        word += length + 1;
        if (used & 1u << k) {
            tg_walk_tensor(w, "", *state);
        } else if (w->pass == TG_TAKE) {
            tg_tensor_destroy(*state); /* the next step starts from zeros */
            *state = NULL;
        }
        tg_walk_leave(w, before);
    }
}

void tg_optimizer_walk(tg_walk *w, tg_optimizer *o)
{
    const bool check = w->pass == TG_CHECK;
    const int64_t n = (int64_t)o->n;
    tg_walk_kind(w, o->cls->name);
    if (check && !w->status)
        check_groups(w, o);
    const int64_t *steps = tg_walk_numbers(w, "step", TG_I64, n, 0, check ? NULL : o->steps);
    walk_members(w, o);
    const double *memory = tg_walk_numbers(w, "memory", TG_F64, n, 2, check ? NULL : o->memory);
    const unsigned char *used = tg_walk_numbers(w, "used", TG_U8, n, 0, check ? NULL : o->used);
    for (size_t i = 0; check && !w->status && i < o->n; i++)
        if (steps[i] < 0 || steps[i] > (int64_t)1 << 53 || used[i] >> o->n_states ||
            !isfinite(memory[2 * i]) || !isfinite(memory[2 * i + 1]))
            tg_walk_fail(
                w, TG_EFORMAT,
                "parameter %zu (%s) took %lld steps with states %u and numbers %g and %g, which cannot be", i,
                o->name[i], (long long)steps[i], used[i], memory[2 * i], memory[2 * i + 1]);
    for (size_t g = 0; g < o->n_groups && !w->status; g++)
        walk_group(w, o, g);
    for (size_t i = 0; i < o->n && !w->status; i++)
        walk_state(w, o, i, w->pass == TG_SAVE ? o->used[i] : used[i]);
}
