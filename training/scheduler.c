/* torch.optim.lr_scheduler: a step computes the rates of all groups from those before, then writes them. */
#include "training/scheduler.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "layers/internal.h"

/* -- the registry
 * -------------------------------------------------------------------------------------------------- */
static const tg_lr_class *find_class(const char *name)
{
    for (size_t i = 0; name && i < TG_N_LR; i++)
        if (strcmp(tg_lr_classes[i].name, name) == 0)
            return &tg_lr_classes[i];
    return NULL;
}

size_t tg_lr_list(const char **out, size_t capacity)
{
    for (size_t i = 0; i < TG_N_LR && i < capacity; i++)
        out[i] = tg_lr_classes[i].name;
    return TG_N_LR;
}

const tg_attr_spec *tg_lr_attrs(const char *name)
{
    const tg_lr_class *cls = find_class(name);
    return cls ? cls->attrs : NULL;
}

/* -- arguments
 * ----------------------------------------------------------------------------------------------------- */
static tg_status check_list(const tg_lr_class *cls, const tg_attr_spec *a, const tg_reals *list,
                            size_t n_groups)
{
    const bool momentum = strstr(a->name, "momentum") != NULL;
    if (list->n != 1 && (list->n < 0 || list->n > TG_MAX_DIM || (size_t)list->n != n_groups))
        return tg_fail(NULL, TG_EINVAL,
                       "%s: %s has %lld numbers, expected one, or one for each of %zu groups", cls->name,
                       a->name, (long long)list->n, n_groups);
    for (int64_t i = 0; i < list->n; i++)
        if (!(list->v[i] >= 0) || isinf(list->v[i]) || (momentum && list->v[i] >= 1))
            return tg_fail(NULL, TG_EINVAL, "%s: %s is %g, expected %s", cls->name, a->name, list->v[i],
                           momentum ? "at least 0 and less than 1" : "a finite number of at least 0");
    return TG_OK;
}

static size_t words_in(const char *choices)
{
    size_t n = 1;
    for (; (choices = strchr(choices, '|')); choices++)
        n++;
    return n;
}

/* Counts start at 1 and other numbers at 0, without an end, but for these. */
static const struct {
    char name[14];
    int8_t low, high;
} limits[] = {
    {"last_epoch", -1, 0}, {"total_iters", 0, 0},  {"patience", 0, 0},   {"cooldown", 0, 0},
    {"factor", 0, 1},      {"start_factor", 0, 1}, {"end_factor", 0, 1}, {"pct_start", 0, 1},
};

static tg_status check_attr(const tg_lr_class *cls, const tg_attr_spec *a, const char *config,
                            size_t n_groups)
{
    int64_t i, low = a->type == TG_ATTR_INT;
    double f, high = (double)INFINITY;
    memcpy(&i, config + a->offset, sizeof i);
    memcpy(&f, config + a->offset, sizeof f);
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++)
        if (strcmp(limits[k].name, a->name) == 0) {
            low = limits[k].low;
            high = limits[k].high ? limits[k].high : high;
        }
    if (a->type == TG_ATTR_REALS)
        return check_list(cls, a, (const tg_reals *)(const void *)(config + a->offset), n_groups);
    if (a->type == TG_ATTR_REAL && !(a->flags & TG_ATTR_OPTIONAL) && (!(f >= 0 && f <= high) || isinf(f)))
        return tg_fail(NULL, TG_EINVAL, "%s: %s is %g, expected %s", cls->name, a->name, f,
                       isinf(high) ? "a finite number of at least 0" : "a number from 0 to 1");
    if (a->type == TG_ATTR_CHOICE && (i < 0 || (size_t)i >= words_in(a->choices)))
        return tg_fail(NULL, TG_EINVAL, "%s: %s is word number %lld of %s", cls->name, a->name, (long long)i,
                       a->choices);
    if (a->type == TG_ATTR_INT && i < low && !(a->flags & TG_ATTR_OPTIONAL && i == TG_NONE_INT))
        return tg_fail(NULL, TG_EINVAL, "%s: %s is %lld, expected at least %lld", cls->name, a->name,
                       (long long)i, (long long)low);
    return TG_OK;
}

static tg_status check(const tg_lr_class *cls, tg_optimizer *o, const void *config, int64_t *last_epoch)
{
    tg_status status = TG_OK;
    *last_epoch = -1;
    for (const tg_attr_spec *a = cls->attrs; a->name && !status; a++) {
        status = check_attr(cls, a, config, o->n_groups);
        if (strcmp(a->name, "last_epoch") == 0)
            memcpy(last_epoch, (const char *)config + a->offset, sizeof *last_epoch);
    }
    if (!status && cls->check)
        status = cls->check(config);
    for (size_t g = 0; g < o->n_groups && !status && *last_epoch >= 0; g++)
        if (isnan(o->group[g].initial_lr))
            status = tg_fail(NULL, TG_EINVAL,
                             "%s: last_epoch is %lld, but no scheduler has set the first rate of group %zu",
                             cls->name, (long long)*last_epoch, g);
    return status;
}

static bool cycles(const tg_lr_class *cls, const void *config)
{
    const tg_cyclic_options *cyclic = config;
    const tg_one_cycle_options *one_cycle = config;
    return cls == &tg_lr_classes[TG_LR_CYCLIC]
               ? cyclic->cycle_momentum
               : cls == &tg_lr_classes[TG_LR_ONE_CYCLE] && one_cycle->cycle_momentum;
}

/* -- a step
 * -------------------------------------------------------------------------------------------------------- */
bool tg_lr_is(const tg_scheduler *s, int which)
{
    return s->cls == &tg_lr_classes[which];
}

void tg_lr_read_groups(const tg_scheduler *s, double *lr, double *momentum)
{
    for (size_t g = 0; g < s->n_groups; g++) {
        const double *m = tg_group_momentum(s->optimizer, g);
        lr[g] = s->optimizer->group[g].lr;
        momentum[g] = m ? *m : 0;
    }
}

void tg_lr_write_groups(const tg_scheduler *s, const double *lr, const double *momentum, bool cycles_momentum)
{
    for (size_t g = 0; g < s->n_groups; g++) {
        double *m = cycles_momentum ? tg_group_momentum(s->optimizer, g) : NULL;
        s->optimizer->group[g].lr = lr[g];
        if (m)
            *m = momentum[g];
    }
}

/* The rates of the epoch that it is now; of a part that a sequence starts anew: from lr₀, where there is a
 * form. */
static tg_status update(tg_scheduler *s, bool anew)
{
    const uint64_t before = tg_failures();
    tg_lr_read_groups(s, s->lr, s->momentum);
    for (size_t g = 0; g < s->n_groups; g++) {
        s->lr[g] = anew && s->cls->anew ? s->cls->anew(s, s->base[g]) : s->cls->next(s, g, s->lr[g]);
        if (tg_failures() != before)
            return TG_ESTATE;
        if (isnan(s->lr[g]) || (s->fn && (s->lr[g] < 0 || isinf(s->lr[g]))))
            return tg_fail(NULL, TG_EINVAL, "%s: the rate of group %zu at step %lld would be %g",
                           s->cls->name, g, (long long)s->now.epoch, s->lr[g]);
    }
    tg_lr_write_groups(s, s->lr, s->momentum, s->cycles);
    return TG_OK;
}

size_t tg_lr_place(const tg_scheduler *s, int64_t epoch)
{
    size_t i = 0;
    while (i < s->n_milestones && s->milestone[i] <= epoch)
        i++;
    return i;
}

static tg_status advance_sequence(tg_scheduler *s)
{
    size_t i = tg_lr_place(s, ++s->now.epoch);
    tg_scheduler *part = s->part[i];
    if (i == 0 || s->milestone[i - 1] != s->now.epoch)
        return tg_lr_advance(part);
    part->now.epoch = 0;
    return update(part, true);
}

tg_status tg_lr_check_optimizer(const tg_scheduler *s)
{
    if (!s->optimizer)
        return tg_fail(NULL, TG_ESTALE, "%s: its optimizer was destroyed", s->cls->name);
    if (s->optimizer->n_groups != s->n_groups)
        return tg_fail(NULL, TG_ESTATE,
                       "%s: the optimizer has %zu groups by now, the scheduler was made for %zu",
                       s->cls->name, s->optimizer->n_groups, s->n_groups);
    return TG_OK;
}

tg_status tg_lr_advance(tg_scheduler *s)
{
    tg_lr_now *now = &s->now;
    tg_status status = tg_lr_check_optimizer(s);
    if (status)
        return status;
    if (tg_lr_is(s, TG_LR_SEQUENTIAL))
        return advance_sequence(s);
    now->epoch++;
    for (size_t i = 0; i < s->n_parts && !status; i++)
        status = tg_lr_advance(s->part[i]);
    if (s->n_parts)
        return status;
    if (tg_lr_is(s, TG_LR_WARM_RESTARTS)) {
        const tg_plain_config *c = (const tg_plain_config *)(const void *)s->config;
        now->t_cur++;
        if (now->epoch == 0) {
            now->t_cur = 0;
            now->t_i = (double)c->count;
        } else if (now->t_cur >= now->t_i) {
            now->t_cur = fmod(now->t_cur, now->t_i);
            now->t_i *= (double)c->count2;
        }
    }
    return update(s, false);
}

static void keep(tg_scheduler *s)
{
    s->kept = s->now;
    for (size_t i = 0; i < s->n_parts; i++)
        keep(s->part[i]);
}

static void restore(tg_scheduler *s)
{
    s->now = s->kept;
    for (size_t i = 0; i < s->n_parts; i++)
        restore(s->part[i]);
}

/* All of it or nothing. */
static tg_status step(tg_scheduler *s)
{
    tg_status status = tg_lr_check_optimizer(s);
    if (status)
        return status;
    keep(s);
    tg_lr_read_groups(s, s->kept_lr, s->kept_moment);
    status = tg_lr_advance(s);
    if (!status)
        return TG_OK;
    restore(s);
    tg_lr_write_groups(s, s->kept_lr, s->kept_moment, true);
    return status;
}

tg_status tg_scheduler_step(tg_scheduler *s)
{
    if (!s)
        return tg_fail(NULL, TG_EINVAL, "tg_scheduler_step: the scheduler is NULL");
    if (tg_lr_is(s, TG_LR_PLATEAU))
        return tg_fail(NULL, TG_ESTATE, "%s: it steps with the metric: tg_scheduler_step_metric",
                       s->cls->name);
    return step(s);
}

tg_status tg_scheduler_step_metric(tg_scheduler *s, double metric)
{
    if (!s || !tg_lr_is(s, TG_LR_PLATEAU))
        return tg_scheduler_step(s);
    tg_status status = tg_lr_check_optimizer(s);
    if (status)
        return status;
    tg_lr_read_groups(s, s->lr, s->momentum);
    tg_lr_plateau(s, metric);
    tg_lr_write_groups(s, s->lr, s->momentum, false);
    s->now.epoch++;
    return TG_OK;
}

/* -- making
 * -------------------------------------------------------------------------------------------------------- */
void tg_schedulers_leave(tg_optimizer *o)
{
    for (tg_scheduler *s = o->schedulers; s; s = s->next)
        s->optimizer = NULL;
}

static void free_all(tg_scheduler *s)
{
    for (size_t i = 0; i < s->n_parts; i++)
        free_all(s->part[i]);
    tg_scheduler **at = s->optimizer ? &s->optimizer->schedulers : NULL;
    while (at && *at != s)
        at = &(*at)->next;
    if (at)
        *at = s->next;
    tg_free(tg_runtime_allocator(s->rt), s);
}

void tg_scheduler_destroy(tg_scheduler *s)
{
    if (s && !s->owned)
        free_all(s);
}

tg_scheduler *tg_scheduler_new(tg_optimizer *o, int which, const int64_t *milestones, size_t n_milestones,
                               size_t n_parts)
{
    const size_t n = o->n_groups;
    tg_scheduler *s = tg_alloc_zero(tg_runtime_allocator(o->rt), sizeof *s + 6 * n * sizeof(double) +
                                                                     n_milestones * sizeof *milestones +
                                                                     n_parts * sizeof(tg_scheduler *));
    if (!s) {
        tg_fail_again(NULL, TG_ENOMEM);
        return NULL;
    }
    s->rt = o->rt;
    s->cls = &tg_lr_classes[which];
    s->optimizer = o;
    s->n_groups = n;
    s->base = (double *)(void *)(s + 1);
    s->lr = s->base + n;
    s->momentum = s->lr + n;
    s->kept_lr = s->momentum + n;
    s->kept_moment = s->kept_lr + n;
    s->kept_first = s->kept_moment + n;
    s->milestone = (int64_t *)(void *)(s->kept_first + n);
    s->part = (tg_scheduler **)(void *)(s->milestone + n_milestones);
    if (n_milestones)
        memcpy(s->milestone, milestones, n_milestones * sizeof *milestones);
    s->n_milestones = n_milestones;
    s->next = o->schedulers;
    o->schedulers = s;
    return s;
}

static void set_initial_lr(const tg_optimizer *o)
{
    for (size_t g = 0; g < o->n_groups; g++)
        if (isnan(o->group[g].initial_lr))
            o->group[g].initial_lr = o->group[g].lr;
}

/* torch's constructor from here on: what it sets, lr₀, the initial step. */
static tg_status start(tg_scheduler *s)
{
    const bool fresh = s->now.epoch == -1, one_cycle = tg_lr_is(s, TG_LR_ONE_CYCLE),
               cyclic = tg_lr_is(s, TG_LR_CYCLIC);
    tg_group *group = s->optimizer->group;
    tg_lr_read_groups(s, s->lr, s->momentum);
    if (cyclic && fresh)
        tg_lr_start_cyclic(s);
    if (one_cycle && fresh)
        tg_lr_start_one_cycle(s);
    if (cyclic || one_cycle)
        tg_lr_write_groups(s, s->lr, s->momentum, s->cycles);
    for (size_t g = 0; one_cycle && fresh && g < s->n_groups; g++)
        group[g].initial_lr = s->base[g];
    set_initial_lr(s->optimizer);
    for (size_t g = 0; g < s->n_groups; g++)
        s->base[g] = group[g].initial_lr;
    if (tg_lr_is(s, TG_LR_PLATEAU))
        return TG_OK;
    s->initial = true;
    tg_status status = tg_lr_advance(s);
    s->initial = false;
    for (size_t g = 0; cyclic && g < s->n_groups; g++)
        s->base[g] = tg_lr_of_group(&((tg_cyclic_options *)(void *)s->config)->base_lr, g);
    return status;
}

static tg_scheduler *create_with(tg_optimizer *o, int which, const void *config, const int64_t *milestones,
                                 size_t n_milestones, tg_lr_function fn, void *arg)
{
    const tg_lr_class *cls = &tg_lr_classes[which];
    int64_t last_epoch;
    if (!o) {
        tg_fail(NULL, TG_EINVAL, "%s: the optimizer is NULL", cls->name);
        return NULL;
    }
    if (check(cls, o, config, &last_epoch))
        return NULL;
    const bool cycled = cycles(cls, config);
    if (cycled && !tg_group_momentum(o, 0)) {
        tg_fail(NULL, TG_EINVAL, "%s: %s has neither momentum nor betas, which cycle_momentum would change",
                cls->name, tg_optimizer_name(o));
        return NULL;
    }
    tg_scheduler *s = tg_scheduler_new(o, which, milestones, n_milestones, 0);
    if (!s)
        return NULL;
    memcpy(s->config, config, cls->size);
    const tg_plateau_options *plateau = config;
    s->now = (tg_lr_now){.epoch = which == TG_LR_PLATEAU ? 0 : last_epoch, .t_cur = (double)last_epoch};
    s->now.best = which == TG_LR_PLATEAU && plateau->mode == 1 ? -(double)INFINITY : (double)INFINITY;
    if (which == TG_LR_WARM_RESTARTS)
        s->now.t_i = (double)((const tg_plain_config *)config)->count;
    s->cycles = cycled;
    s->fn = fn;
    s->arg = arg;
    for (size_t g = 0; g < o->n_groups; g++)
        s->kept_first[g] = o->group[g].initial_lr;
    tg_lr_read_groups(s, s->kept_lr, s->kept_moment);
    if (start(s) == TG_OK)
        return s;
    tg_lr_write_groups(s, s->kept_lr, s->kept_moment, true);
    for (size_t g = 0; g < o->n_groups; g++)
        o->group[g].initial_lr = s->kept_first[g];
    tg_scheduler_destroy(s);
    return NULL;
}

static tg_scheduler *create(tg_optimizer *optimizer, int which, const void *config)
{
    const bool listed = which == TG_LR_MULTI_STEP;
    const tg_ints *milestones = &((const tg_plain_config *)config)->milestones;
    return create_with(optimizer, which, config, listed ? milestones->v : NULL,
                       listed ? (size_t)milestones->n : 0, NULL, NULL);
}

static void fail_unknown(const char *name)
{
    char known[512] = "";
    for (size_t i = 0, n = 0; i < TG_N_LR && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", tg_lr_classes[i].name);
    tg_fail(NULL, TG_EUNKNOWN, "tg_lr_create: no scheduler is called %s; known are %s", name ? name : "NULL",
            known);
}

tg_scheduler *tg_lr_create(tg_optimizer *optimizer, const char *name, const tg_attr *attrs, size_t n)
{
    const tg_lr_class *cls = find_class(name);
    _Alignas(16) unsigned char config[TG_LR_CONFIG] = {0};
    if (!cls)
        fail_unknown(name);
    else if (cls->made_by)
        tg_fail(NULL, TG_EUNSUPPORTED, "%s is not made from names and numbers: %s", name, cls->made_by);
    else if (!tg_attrs_fill(cls->name, cls->attrs, config, cls->size, attrs, n))
        return create(optimizer, (int)(cls - tg_lr_classes), config);
    return NULL;
}

#define PLAIN(WHICH, ...) create(optimizer, TG_LR_##WHICH, &(tg_plain_config){.last_epoch = -1, __VA_ARGS__})

tg_scheduler *tg_lr_step(tg_optimizer *optimizer, int64_t step_size, double gamma)
{
    return PLAIN(STEP, .count = step_size, .factor = gamma);
}

tg_scheduler *tg_lr_exponential(tg_optimizer *optimizer, double gamma)
{
    return PLAIN(EXPONENTIAL, .factor = gamma);
}

tg_scheduler *tg_lr_constant(tg_optimizer *optimizer, double factor, int64_t total_iters)
{
    return PLAIN(CONSTANT, .count = total_iters, .factor = factor);
}

tg_scheduler *tg_lr_linear(tg_optimizer *optimizer, double start_factor, double end_factor,
                           int64_t total_iters)
{
    return PLAIN(LINEAR, .count = total_iters, .factor = start_factor, .factor2 = end_factor);
}

tg_scheduler *tg_lr_polynomial(tg_optimizer *optimizer, int64_t total_iters, double power)
{
    return PLAIN(POLYNOMIAL, .count = total_iters, .factor = power);
}

tg_scheduler *tg_lr_cosine_annealing(tg_optimizer *optimizer, int64_t t_max, double eta_min)
{
    return PLAIN(COSINE, .count = t_max, .factor = eta_min);
}

tg_scheduler *tg_lr_cosine_annealing_warm_restarts(tg_optimizer *optimizer, int64_t t_0, int64_t t_mult,
                                                   double eta_min)
{
    return PLAIN(WARM_RESTARTS, .count = t_0, .count2 = t_mult, .factor = eta_min);
}

tg_scheduler *tg_lr_multi_step(tg_optimizer *optimizer, const int64_t *milestones, size_t n, double gamma)
{
    if (n && !milestones) {
        tg_fail(NULL, TG_EINVAL, "MultiStepLR: the array of milestones is NULL");
        return NULL;
    }
    return create_with(optimizer, TG_LR_MULTI_STEP, &(tg_plain_config){.last_epoch = -1, .factor = gamma},
                       milestones, n, NULL, NULL);
}

static tg_scheduler *of_function(tg_optimizer *optimizer, int which, tg_lr_function fn, void *arg)
{
    if (fn)
        return create_with(optimizer, which, &(tg_plain_config){.last_epoch = -1}, NULL, 0, fn, arg);
    tg_fail(NULL, TG_EINVAL, "%s: the function is NULL", tg_lr_classes[which].name);
    return NULL;
}

tg_scheduler *tg_lr_lambda(tg_optimizer *optimizer, tg_lr_function fn, void *arg)
{
    return of_function(optimizer, TG_LR_LAMBDA, fn, arg);
}

tg_scheduler *tg_lr_multiplicative(tg_optimizer *optimizer, tg_lr_function fn, void *arg)
{
    return of_function(optimizer, TG_LR_MULTIPLICATIVE, fn, arg);
}

/* -- options
 * ------------------------------------------------------------------------------------------------------- */
/* The table's, but the lists that have none: those are empty. */
static void defaults(int which, void *options, size_t size)
{
    tg_attr required[2];
    size_t n = 0;
    for (const tg_attr_spec *a = tg_lr_classes[which].attrs; a->name; a++)
        if (a->flags & TG_ATTR_REQUIRED)
            required[n++] = (tg_attr){.name = a->name, .type = TG_ATTR_REALS};
    tg_attrs_fill(tg_lr_classes[which].name, tg_lr_classes[which].attrs, options, size, required, n);
    memcpy(options, &size, sizeof size); /* struct_size is the first member */
}

static tg_scheduler *from_options(tg_optimizer *optimizer, int which, const void *given)
{
    _Alignas(16) unsigned char config[TG_LR_CONFIG];
    defaults(which, config, tg_lr_classes[which].size);
    if (tg_options_read(tg_lr_classes[which].name, config, tg_lr_classes[which].size, given))
        return NULL;
    return create(optimizer, which, config);
}

tg_cyclic_options tg_cyclic_defaults(void)
{
    tg_cyclic_options o;
    defaults(TG_LR_CYCLIC, &o, sizeof o);
    return o;
}

tg_scheduler *tg_lr_cyclic(tg_optimizer *optimizer, const tg_cyclic_options *options)
{
    return from_options(optimizer, TG_LR_CYCLIC, options);
}

tg_one_cycle_options tg_one_cycle_defaults(void)
{
    tg_one_cycle_options o;
    defaults(TG_LR_ONE_CYCLE, &o, sizeof o);
    return o;
}

tg_scheduler *tg_lr_one_cycle(tg_optimizer *optimizer, const tg_one_cycle_options *options)
{
    return from_options(optimizer, TG_LR_ONE_CYCLE, options);
}

tg_plateau_options tg_plateau_defaults(void)
{
    tg_plateau_options o;
    defaults(TG_LR_PLATEAU, &o, sizeof o);
    return o;
}

tg_scheduler *tg_lr_reduce_on_plateau(tg_optimizer *optimizer, const tg_plateau_options *options)
{
    const tg_plateau_options o = tg_plateau_defaults();
    return from_options(optimizer, TG_LR_PLATEAU, options ? options : &o);
}
