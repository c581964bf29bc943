/* Schedulers of schedulers: torch's SequentialLR and ChainedScheduler; what all of them count, as numbers. */
#include "training/save.h"
#include "training/scheduler.h"

#include <math.h>
#include <string.h>

/* -- schedulers of schedulers
 * -------------------------------------------------------------------------------------- */
static bool is_whole(const tg_scheduler *s)
{
    return tg_lr_is(s, TG_LR_SEQUENTIAL) || tg_lr_is(s, TG_LR_CHAINED);
}

static tg_status check_parts(const char *who, const tg_optimizer *o, tg_scheduler *const parts[], size_t n)
{
    if (!n || !parts)
        return tg_fail(NULL, TG_EINVAL, "%s: %s", who,
                       n ? "the array of parts is NULL" : "it needs at least one part");
    for (size_t i = 0; i < n; i++) {
        if (!parts[i])
            return *tg_error_message() ? tg_fail_again(NULL, TG_EINVAL)
                                       : tg_fail(NULL, TG_EINVAL, "%s: part %zu is NULL", who, i);
        if (!parts[i]->optimizer)
            return tg_lr_check_optimizer(parts[i]);
        bool twice = parts[i]->owned;
        for (size_t k = 0; k < i; k++)
            twice |= parts[k] == parts[i];
        if (twice)
            return tg_fail(NULL, TG_EINVAL, "%s: part %zu has an owner already", who, i);
        if (parts[i]->optimizer != o)
            return tg_fail(NULL, TG_EINVAL, "%s: part %zu (%s) is of another optimizer", who, i,
                           parts[i]->cls->name);
        if (tg_lr_is(parts[i], TG_LR_PLATEAU))
            return tg_fail(NULL, TG_EINVAL, "%s: part %zu is a ReduceLROnPlateau, which steps with a metric",
                           who, i);
    }
    return TG_OK;
}

static tg_status check_sequence(tg_scheduler *const parts[], size_t n, const int64_t *milestones)
{
    for (size_t i = 1; i < n; i++) {
        if (is_whole(parts[i]))
            return tg_fail(NULL, TG_EUNSUPPORTED,
                           "SequentialLR: part %zu is a %s, which cannot be started anew", i,
                           parts[i]->cls->name);
        if (!milestones || milestones[i - 1] < (i > 1 ? milestones[i - 2] : 0))
            return tg_fail(NULL, TG_EINVAL,
                           "SequentialLR: %zu milestones, from 0 up, are expected for %zu parts", n - 1, n);
    }
    return TG_OK;
}

static void take(tg_scheduler *s, tg_scheduler *const parts[], size_t n)
{
    memcpy(s->part, parts, n * sizeof *parts);
    s->n_parts = n;
    for (size_t i = 0; i < n; i++)
        parts[i]->owned = true;
}

static void destroy_parts(tg_scheduler *const parts[], size_t n)
{
    for (size_t i = 0; parts && i < n; i++) {
        size_t k = 0;
        while (k < i && parts[k] != parts[i])
            k++;
        if (k == i)
            tg_scheduler_destroy(parts[i]);
    }
}

tg_scheduler *tg_lr_chained(tg_scheduler *const parts[], size_t n)
{
    tg_optimizer *o = n && parts && parts[0] ? parts[0]->optimizer : NULL;
    tg_scheduler *s =
        check_parts("ChainedScheduler", o, parts, n) ? NULL : tg_scheduler_new(o, TG_LR_CHAINED, NULL, 0, n);
    if (s)
        take(s, parts, n);
    else
        destroy_parts(parts, n);
    return s;
}

/* torch's recursive_undo. */
static void undo(tg_scheduler *s)
{
    s->now.epoch -= s->n_parts == 0;
    for (size_t i = 0; i < s->n_parts; i++)
        undo(s->part[i]);
}

static tg_status start_sequence(tg_scheduler *s)
{
    tg_lr_read_groups(s, s->kept_lr, s->kept_moment);
    for (size_t g = 0; g < s->n_groups; g++)
        s->optimizer->group[g].lr = s->optimizer->group[g].initial_lr;
    undo(s);
    tg_scheduler *first = s->part[tg_lr_place(s, 0)];
    first->initial = true;
    tg_status status = tg_lr_advance(first);
    first->initial = false;
    if (status)
        tg_lr_write_groups(s, s->kept_lr, s->kept_moment, true);
    return status;
}

tg_scheduler *tg_lr_sequential(tg_optimizer *optimizer, tg_scheduler *const parts[], size_t n,
                               const int64_t *milestones)
{
    tg_scheduler *s = NULL;
    if (!optimizer)
        tg_fail(NULL, TG_EINVAL, "SequentialLR: the optimizer is NULL");
    else if (!check_parts("SequentialLR", optimizer, parts, n) && !check_sequence(parts, n, milestones))
        s = tg_scheduler_new(optimizer, TG_LR_SEQUENTIAL, milestones, n - 1, n);
    if (!s) {
        destroy_parts(parts, n);
        return NULL;
    }
    take(s, parts, n);
    if (!start_sequence(s))
        return s;
    tg_scheduler_destroy(s);
    return NULL;
}

tg_scheduler *tg_lr_warmup(tg_optimizer *optimizer, int64_t steps, double start_factor, tg_scheduler *after)
{
    tg_scheduler *linear = after ? tg_lr_linear(optimizer, start_factor, 1, steps) : NULL;
    if (linear)
        return tg_lr_sequential(optimizer, (tg_scheduler *[]){linear, after}, 2, &steps);
    if (!after)
        check_parts("tg_lr_warmup", optimizer, &after, 1);
    tg_scheduler_destroy(after);
    return NULL;
}

/* -- what others see
 * ----------------------------------------------------------------------------------------------- */
const char *tg_scheduler_name(const tg_scheduler *s)
{
    return s ? s->cls->name : "";
}

int64_t tg_scheduler_last_epoch(const tg_scheduler *s)
{
    return s ? s->now.epoch : 0;
}

enum { N_NUMBERS = 6 };

static void numbers_of(const tg_lr_now *now, double out[N_NUMBERS])
{
    const double number[N_NUMBERS] = {(double)now->epoch, (double)now->bad, (double)now->cooling,
                                      now->t_cur,         now->t_i,         now->best};
    memcpy(out, number, sizeof number);
}

static size_t put_state(const tg_scheduler *s, double *out, size_t capacity, size_t at)
{
    double number[N_NUMBERS];
    numbers_of(&s->now, number);
    for (size_t i = 0; i < N_NUMBERS; i++, at++)
        if (at < capacity)
            out[at] = number[i];
    for (size_t i = 0; i < s->n_parts; i++)
        at = put_state(s->part[i], out, capacity, at);
    return at;
}

size_t tg_scheduler_state(const tg_scheduler *s, double *out, size_t capacity)
{
    return s ? put_state(s, out, out ? capacity : 0, 0) : 0;
}

static tg_lr_now now_of(const double number[N_NUMBERS])
{
    return (tg_lr_now){.epoch = (int64_t)number[0],
                       .bad = (int64_t)number[1],
                       .cooling = (int64_t)number[2],
                       .t_cur = number[3],
                       .t_i = number[4],
                       .best = number[5]};
}

/* Which of the numbers cannot be; N_NUMBERS: none. */
static size_t first_wrong(const double number[N_NUMBERS])
{
    size_t i = 0;
    while (i < N_NUMBERS &&
           !(isnan(number[i]) || (i < 3 && !(fabs(number[i]) < 0x1p53)) || (i == 4 && number[i] < 0)))
        i++;
    return i;
}

static const double *get_state(tg_scheduler *s, const double *from)
{
    s->now = now_of(from);
    from += N_NUMBERS;
    for (size_t i = 0; i < s->n_parts; i++)
        from = get_state(s->part[i], from);
    return from;
}

tg_status tg_scheduler_set_state(tg_scheduler *s, const double *state, size_t n)
{
    const size_t expected = tg_scheduler_state(s, NULL, 0);
    if (!s || !state || n != expected)
        return tg_fail(NULL, TG_EINVAL, "tg_scheduler_set_state: %zu numbers, expected %zu", state ? n : 0,
                       expected);
    for (size_t i = 0; i < n; i += N_NUMBERS) {
        const size_t wrong = i + first_wrong(state + i);
        if (wrong < i + N_NUMBERS)
            return tg_fail(NULL, TG_EINVAL, "tg_scheduler_set_state: number %zu is %g", wrong, state[wrong]);
    }
    get_state(s, state);
    return TG_OK;
}

tg_runtime *tg_scheduler_runtime(const tg_scheduler *s)
{
    return s->rt;
}

void tg_scheduler_walk(tg_walk *w, tg_scheduler *s)
{
    static const char *const names[N_NUMBERS] = {
        "last_epoch", "num_bad_epochs", "cooldown_counter", "T_cur", "T_i", "best"};
    double number[N_NUMBERS];
    numbers_of(&s->now, number);
    tg_walk_kind(w, s->cls->name);
    for (size_t i = 0; i < N_NUMBERS; i++)
        tg_walk_numbers(w, names[i], TG_F64, -1, 0, &number[i]);
    const size_t wrong = first_wrong(number);
    if (w->pass == TG_CHECK && wrong < N_NUMBERS)
        tg_walk_fail(w, TG_EFORMAT, "%s is %g, which cannot be", names[wrong], number[wrong]);
    const double *base =
        tg_walk_numbers(w, "base_lrs", TG_F64, (int64_t)s->n_groups, 0, w->pass == TG_CHECK ? NULL : s->base);
    for (size_t g = 0; base && g < s->n_groups; g++)
        if (!(base[g] >= 0) || isinf(base[g]))
            tg_walk_fail(w, TG_EFORMAT,
                         "the first rate of group %zu is %g, expected a finite number of at least 0", g,
                         base[g]);
    if (w->pass == TG_TAKE)
        s->now = now_of(number);
    for (size_t i = 0; i < s->n_parts; i++) {
        const size_t before = tg_walk_enter(w, "_schedulers.%zu.", i);
        tg_scheduler_walk(w, s->part[i]);
        tg_walk_leave(w, before);
    }
}
