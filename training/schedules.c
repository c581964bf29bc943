/* The formulae of torch.optim.lr_scheduler, term by term: the same rates to the last digit. */
#include "training/scheduler.h"

#include <math.h>

#include "layers/internal.h"

static const double pi = 3.14159265358979323846;

#define PLAIN(NAME, FIELD, TYPE, FLAGS, VALUE, DOC)                                                          \
    {                                                                                                        \
        .name = NAME, .type = TG_ATTR_##TYPE, .flags = FLAGS, .offset = offsetof(tg_plain_config, FIELD),    \
        .value = VALUE, .doc = DOC                                                                           \
    }
#define LAST_EPOCH(S)                                                                                        \
    {                                                                                                        \
        .name = "last_epoch", .type = TG_ATTR_INT, .offset = offsetof(S, last_epoch), .value = -1,           \
        .doc = "steps that were done before; −1: none"                                                     \
    }
#define GAMMA(FLAGS) PLAIN("gamma", factor, REAL, FLAGS, 0.1, "the factor of a drop, at least 0")

static const tg_plain_config *plain(const tg_scheduler *s)
{
    return (const tg_plain_config *)(const void *)s->config;
}

/* -- functions
 * ----------------------------------------------------------------------------------------------------- */
static const tg_attr_spec function_attrs[] = {LAST_EPOCH(tg_plain_config), {0}};

static double lambda_next(tg_scheduler *s, size_t g, double lr)
{
    (void)lr;
    return s->base[g] * s->fn(s->arg, s->now.epoch, g);
}

static double multiplicative_next(tg_scheduler *s, size_t g, double lr)
{
    return s->initial ? lr : lr * s->fn(s->arg, s->now.epoch, g);
}

/* -- drops
 * ---------------------------------------------------------------------------------------------------------
 */
static const tg_attr_spec step_attrs[] = {
    PLAIN("step_size", count, INT, TG_ATTR_REQUIRED, 0, "epochs between two drops, at least 1"),
    GAMMA(0),
    LAST_EPOCH(tg_plain_config),
    {0},
};

static double step_next(tg_scheduler *s, size_t g, double lr)
{
    (void)g;
    return s->now.epoch == 0 || s->now.epoch % plain(s)->count != 0 ? lr : lr * plain(s)->factor;
}

static double from_base(const tg_scheduler *s, double base)
{
    (void)s;
    return base;
}

static const tg_attr_spec multi_step_attrs[] = {
    PLAIN("milestones", milestones, INTS, TG_ATTR_REQUIRED, 0, "epochs of the drops"),
    GAMMA(0),
    LAST_EPOCH(tg_plain_config),
    {0},
};

static double multi_step_next(tg_scheduler *s, size_t g, double lr)
{
    (void)g;
    int n = 0;
    for (size_t i = 0; i < s->n_milestones; i++)
        n += s->milestone[i] == s->now.epoch;
    return n ? lr * pow(plain(s)->factor, n) : lr;
}

static double multi_step_anew(const tg_scheduler *s, double base)
{
    int n = 0;
    for (size_t i = 0; i < s->n_milestones; i++)
        n += s->milestone[i] <= 0;
    return base * pow(plain(s)->factor, n);
}

static const tg_attr_spec exponential_attrs[] = {
    GAMMA(TG_ATTR_REQUIRED),
    LAST_EPOCH(tg_plain_config),
    {0},
};

static double exponential_next(tg_scheduler *s, size_t g, double lr)
{
    (void)g;
    return s->initial ? lr : lr * plain(s)->factor;
}

/* -- constant, linear, polynomial
 * ---------------------------------------------------------------------------------- */
#define TOTAL_ITERS PLAIN("total_iters", count, INT, 0, 5, "steps until the end, at least 0")

static const tg_attr_spec constant_attrs[] = {
    PLAIN("factor", factor, REAL, 0, 1.0 / 3, "of the rate until then, 0 to 1"),
    TOTAL_ITERS,
    LAST_EPOCH(tg_plain_config),
    {0},
};

static double constant_next(tg_scheduler *s, size_t g, double lr)
{
    const tg_plain_config *c = plain(s);
    (void)g;
    return s->now.epoch == 0 ? lr * c->factor : s->now.epoch != c->count ? lr : lr * (1 / c->factor);
}

static double constant_anew(const tg_scheduler *s, double base)
{
    const tg_plain_config *c = plain(s);
    return base * (c->factor + (c->count <= 0) * (1 - c->factor));
}

static const tg_attr_spec linear_attrs[] = {
    PLAIN("start_factor", factor, REAL, 0, 1.0 / 3, "of the rate at the start, above 0, at most 1"),
    PLAIN("end_factor", factor2, REAL, 0, 1, "of it at the end, 0 to 1"),
    TOTAL_ITERS,
    LAST_EPOCH(tg_plain_config),
    {0},
};

static tg_status linear_check(const void *config)
{
    const tg_plain_config *c = config;
    return c->factor > 0 ? TG_OK
                         : tg_fail(NULL, TG_EINVAL, "LinearLR: start_factor is 0, expected more than 0");
}

static double linear_next(tg_scheduler *s, size_t g, double lr)
{
    const tg_plain_config *c = plain(s);
    (void)g;
    if (s->now.epoch == 0)
        return lr * c->factor;
    if (s->initial || s->now.epoch > c->count)
        return lr;
    return lr * (1 + (c->factor2 - c->factor) / ((double)c->count * c->factor +
                                                 (double)(s->now.epoch - 1) * (c->factor2 - c->factor)));
}

static double linear_anew(const tg_scheduler *s, double base)
{
    return base * plain(s)->factor;
}

static const tg_attr_spec polynomial_attrs[] = {
    TOTAL_ITERS,
    PLAIN("power", factor, REAL, 0, 1, "of what is left of the way, at least 0"),
    LAST_EPOCH(tg_plain_config),
    {0},
};

static double polynomial_next(tg_scheduler *s, size_t g, double lr)
{
    const tg_plain_config *c = plain(s);
    const double total = (double)c->count, epoch = (double)s->now.epoch;
    (void)g;
    if (s->initial || s->now.epoch > c->count)
        return lr;
    return lr * pow((1 - epoch / total) / (1 - (epoch - 1) / total), c->factor);
}

/* -- cosines
 * ------------------------------------------------------------------------------------------------------- */
#define ETA_MIN PLAIN("eta_min", factor, REAL, 0, 0, "the lowest rate, at least 0")

static const tg_attr_spec cosine_attrs[] = {
    PLAIN("T_max", count, INT, TG_ATTR_REQUIRED, 0, "epochs from top to bottom, at least 1"),
    ETA_MIN,
    LAST_EPOCH(tg_plain_config),
    {0},
};

static double cosine_next(tg_scheduler *s, size_t g, double lr)
{
    const tg_plain_config *c = plain(s);
    const double t = (double)c->count, epoch = (double)s->now.epoch;
    if (s->initial)
        return lr;
    /* The step after the bottom: the ratio below would be 0/0. */
    if ((s->now.epoch - 1) % c->count == 0 && (s->now.epoch - 1) / c->count % 2 != 0)
        return lr + (s->base[g] - c->factor) * (1 - cos(pi / t)) / 2;
    return (1 + cos(pi * epoch / t)) / (1 + cos(pi * (epoch - 1) / t)) * (lr - c->factor) + c->factor;
}

static double annealed(double base, double eta_min, double t_cur, double t)
{
    return eta_min + (base - eta_min) * (1 + cos(pi * t_cur / t)) / 2;
}

static double cosine_anew(const tg_scheduler *s, double base)
{
    return annealed(base, plain(s)->factor, 0, 1);
}

static const tg_attr_spec warm_restarts_attrs[] = {
    PLAIN("T_0", count, INT, TG_ATTR_REQUIRED, 0, "epochs until the first restart, at least 1"),
    PLAIN("T_mult", count2, INT, 0, 1, "times so many until the next, at least 1"),
    ETA_MIN,
    LAST_EPOCH(tg_plain_config),
    {0},
};

static double warm_restarts_next(tg_scheduler *s, size_t g, double lr)
{
    (void)lr;
    return annealed(s->base[g], plain(s)->factor, s->now.t_cur, s->now.t_i);
}

/* -- CyclicLR
 * ------------------------------------------------------------------------------------------------------ */
#define DEFAULT_INT(VALUE, VALUES) {VALUE}
#define DEFAULT_BOOL(VALUE, VALUES) {VALUE}
#define DEFAULT_REAL(VALUE, VALUES) {VALUE}
#define DEFAULT_CHOICE(VALUE, VALUES) {VALUE}
#define DEFAULT_REALS(VALUE, VALUES) {.values = VALUES}
#define ROW(S, NAME, TYPE, FLAGS, VALUE, VALUES, CHOICES, DOC)                                               \
    {                                                                                                        \
#NAME, TG_ATTR_##TYPE, FLAGS, offsetof(S, NAME), DEFAULT_##TYPE(VALUE, VALUES), CHOICES, DOC                         \
    }
#define CYCLIC(...) ROW(tg_cyclic_options, __VA_ARGS__)

static const tg_attr_spec cyclic_attrs[] = {
    CYCLIC(base_lr, REALS, TG_ATTR_REQUIRED, 0, NULL, NULL, "lowest rate: one, or one a group"),
    CYCLIC(max_lr, REALS, TG_ATTR_REQUIRED, 0, NULL, NULL, "the highest"),
    CYCLIC(step_size_up, REAL, 0, 2000, NULL, NULL, "steps of a rise, above 0"),
    CYCLIC(step_size_down, REAL, TG_ATTR_OPTIONAL, TG_NONE_REAL, NULL, NULL, "of a fall; None: as many"),
    CYCLIC(mode, CHOICE, 0, 0, NULL, "triangular|triangular2|exp_range", "how the height changes"),
    CYCLIC(gamma, REAL, 0, 1, NULL, NULL, "exp_range: the height's factor, each step"),
    CYCLIC(scale_mode, CHOICE, 0, 0, NULL, "cycle|iterations", "what scale_fn is given"),
    CYCLIC(cycle_momentum, BOOL, 0, 1, NULL, NULL, "momentum, or beta1, goes against the rate"),
    CYCLIC(base_momentum, REALS, 0, 0, "0.8", NULL, "the lowest momentum"),
    CYCLIC(max_momentum, REALS, 0, 0, "0.9", NULL, "the highest"),
    LAST_EPOCH(tg_cyclic_options),
    {0},
};

static const tg_cyclic_options *cyclic(const tg_scheduler *s)
{
    return (const tg_cyclic_options *)(const void *)s->config;
}

static tg_status cyclic_check(const void *config)
{
    const tg_cyclic_options *c = config;
    if (c->step_size_up > 0 && !(c->step_size_down < 0) && !isinf(c->step_size_down))
        return TG_OK;
    return tg_fail(NULL, TG_EINVAL,
                   "CyclicLR: step_size_up is %g and step_size_down %g, expected above 0 and at least 0",
                   c->step_size_up, c->step_size_down);
}

void tg_lr_start_cyclic(tg_scheduler *s)
{
    for (size_t g = 0; g < s->n_groups; g++) {
        s->lr[g] = tg_lr_of_group(&cyclic(s)->base_lr, g);
        s->momentum[g] = tg_lr_of_group(&cyclic(s)->max_momentum, g);
    }
}

static double scale_of(const tg_cyclic_options *c, double cycle, double epoch)
{
    if (c->scale_fn)
        return c->scale_fn(c->scale_arg, c->scale_mode == 0 ? cycle : epoch);
    return c->mode == 0 ? 1 : c->mode == 1 ? 1 / pow(2, cycle - 1) : pow(c->gamma, epoch);
}

static double cyclic_next(tg_scheduler *s, size_t g, double lr)
{
    const tg_cyclic_options *c = cyclic(s);
    const double up = c->step_size_up, total = up + (isnan(c->step_size_down) ? up : c->step_size_down);
    const double ratio = up / total, epoch = (double)s->now.epoch;
    const double cycle = floor(1 + epoch / total), x = 1 + epoch / total - cycle;
    const double height = x <= ratio ? x / ratio : (x - 1) / (ratio - 1);
    const double scale = scale_of(c, cycle, epoch);
    const double top = tg_lr_of_group(&c->max_momentum, g);
    (void)lr;
    s->momentum[g] = top - (top - tg_lr_of_group(&c->base_momentum, g)) * height * scale;
    return s->base[g] + (tg_lr_of_group(&c->max_lr, g) - s->base[g]) * height * scale;
}

/* -- OneCycleLR
 * ---------------------------------------------------------------------------------------------------- */
#define ONE_CYCLE(...) ROW(tg_one_cycle_options, __VA_ARGS__)

static const tg_attr_spec one_cycle_attrs[] = {
    ONE_CYCLE(max_lr, REALS, TG_ATTR_REQUIRED, 0, NULL, NULL, "highest rate: one, or one a group"),
    ONE_CYCLE(total_steps, INT, TG_ATTR_OPTIONAL, (double)TG_NONE_INT, NULL, NULL,
              "of the cycle; None: from the next two"),
    ONE_CYCLE(epochs, INT, TG_ATTR_OPTIONAL, (double)TG_NONE_INT, NULL, NULL, "of the training"),
    ONE_CYCLE(steps_per_epoch, INT, TG_ATTR_OPTIONAL, (double)TG_NONE_INT, NULL, NULL,
              "total_steps is their product"),
    ONE_CYCLE(pct_start, REAL, 0, 0.3, NULL, NULL, "the part of the steps that go up, 0 to 1"),
    ONE_CYCLE(anneal_strategy, CHOICE, 0, 0, NULL, "cos|linear", "how it goes"),
    ONE_CYCLE(cycle_momentum, BOOL, 0, 1, NULL, NULL, "momentum, or beta1, goes against the rate"),
    ONE_CYCLE(base_momentum, REALS, 0, 0, "0.85", NULL, "the lowest momentum"),
    ONE_CYCLE(max_momentum, REALS, 0, 0, "0.95", NULL, "the highest"),
    ONE_CYCLE(div_factor, REAL, 0, 25, NULL, NULL, "the first rate is max_lr divided by it"),
    ONE_CYCLE(final_div_factor, REAL, 0, 1e4, NULL, NULL, "the last rate is the first divided by it"),
    ONE_CYCLE(three_phase, BOOL, 0, 0, NULL, NULL, "down to the first rate as fast as up, then to the last"),
    LAST_EPOCH(tg_one_cycle_options),
    {0},
};

static const tg_one_cycle_options *one_cycle(const tg_scheduler *s)
{
    return (const tg_one_cycle_options *)(const void *)s->config;
}

/* None and what overflows: 0. */
static int64_t steps_of(const tg_one_cycle_options *c)
{
    int64_t total = c->total_steps;
    if (total == TG_NONE_INT && (c->epochs < 1 || c->steps_per_epoch < 1 ||
                                 __builtin_mul_overflow(c->epochs, c->steps_per_epoch, &total)))
        total = 0;
    return total;
}

static tg_status one_cycle_check(const void *config)
{
    const tg_one_cycle_options *c = config;
    if (steps_of(c) < 1)
        return tg_fail(NULL, TG_EINVAL, "OneCycleLR: it needs total_steps, or epochs and steps_per_epoch");
    if (c->div_factor == 0 || c->final_div_factor == 0)
        return tg_fail(NULL, TG_EINVAL,
                       "OneCycleLR: div_factor is %g and final_div_factor %g, expected above 0",
                       c->div_factor, c->final_div_factor);
    return TG_OK;
}

void tg_lr_start_one_cycle(tg_scheduler *s)
{
    for (size_t g = 0; g < s->n_groups; g++) {
        s->base[g] = tg_lr_of_group(&one_cycle(s)->max_lr, g) / one_cycle(s)->div_factor;
        s->momentum[g] = tg_lr_of_group(&one_cycle(s)->max_momentum, g);
    }
}

static double anneal(const tg_one_cycle_options *c, double start, double end, double part)
{
    if (c->anneal_strategy == 1)
        return (end - start) * part + start;
    return end + (start - end) / 2 * (cos(pi * part) + 1);
}

static double one_cycle_next(tg_scheduler *s, size_t g, double lr)
{
    const tg_one_cycle_options *c = one_cycle(s);
    const double total = (double)steps_of(c), step = (double)s->now.epoch;
    const double first = s->base[g], top = tg_lr_of_group(&c->max_lr, g), last = first / c->final_div_factor;
    const double low = tg_lr_of_group(&c->base_momentum, g), high = tg_lr_of_group(&c->max_momentum, g);
    const struct {
        double end, from, to, m_from, m_to;
    } phase[] = {
        {c->pct_start * total - 1, first, top, high, low},
        {c->three_phase ? 2 * c->pct_start * total - 2 : total - 1, top, c->three_phase ? first : last, low,
         high},
        {total - 1, first, last, high, high},
    };
    const int n = c->three_phase ? 3 : 2;
    double start = 0;
    int i = 0;
    (void)lr;
    if (s->now.epoch > steps_of(c)) {
        tg_fail(NULL, TG_ESTATE, "OneCycleLR: step %lld of a cycle of %lld steps", (long long)s->now.epoch,
                (long long)steps_of(c));
        return (double)NAN;
    }
    while (i < n - 1 && step > phase[i].end)
        start = phase[i++].end;
    const double part = (step - start) / (phase[i].end - start);
    s->momentum[g] = anneal(c, phase[i].m_from, phase[i].m_to, part);
    return anneal(c, phase[i].from, phase[i].to, part);
}

/* -- ReduceLROnPlateau
 * --------------------------------------------------------------------------------------------- */
#define PLATEAU(...) ROW(tg_plateau_options, __VA_ARGS__)

static const tg_attr_spec plateau_attrs[] = {
    PLATEAU(mode, CHOICE, 0, 0, NULL, "min|max", "is less better, or more?"),
    PLATEAU(factor, REAL, 0, 0.1, NULL, NULL, "of a drop, below 1"),
    PLATEAU(patience, INT, 0, 10, NULL, NULL, "steps without a better metric"),
    PLATEAU(threshold, REAL, 0, 1e-4, NULL, NULL, "by how much better it must be"),
    PLATEAU(threshold_mode, CHOICE, 0, 0, NULL, "rel|abs", "of the best, or in all"),
    PLATEAU(cooldown, INT, 0, 0, NULL, NULL, "steps after a drop that do not count"),
    PLATEAU(min_lr, REALS, 0, 0, "0", NULL, "lowest rate: one, or one a group"),
    PLATEAU(eps, REAL, 0, 1e-8, NULL, NULL, "no change of the rate that is not more"),
    {0},
};

static tg_status plateau_check(const void *config)
{
    const tg_plateau_options *c = config;
    return c->factor < 1 ? TG_OK : tg_fail(NULL, TG_EINVAL, "ReduceLROnPlateau: factor is 1, expected less");
}

void tg_lr_plateau(tg_scheduler *s, double metric)
{
    const tg_plateau_options *c = (const tg_plateau_options *)(const void *)s->config;
    tg_lr_now *now = &s->now;
    const bool max = c->mode == 1;
    const double by = max ? c->threshold : -c->threshold;
    const double bound = c->threshold_mode == 0 ? now->best * (1 + by) : now->best + by;
    if (max ? metric > bound : metric < bound) {
        now->best = metric;
        now->bad = 0;
    } else {
        now->bad++;
    }
    if (now->cooling > 0) {
        now->cooling--;
        now->bad = 0;
    }
    if (now->bad <= c->patience)
        return;
    now->cooling = c->cooldown;
    now->bad = 0;
    for (size_t g = 0; g < s->n_groups; g++) {
        const double lr = fmax(s->lr[g] * c->factor, tg_lr_of_group(&c->min_lr, g));
        if (s->lr[g] - lr > c->eps)
            s->lr[g] = lr;
    }
}

/* -- the registry
 * -------------------------------------------------------------------------------------------------- */
#define CLASS(NUMBER, NAME, ATTRS, CONFIG, CHECK, NEXT, ANEW, MADE_BY)                                       \
    {NAME, ATTRS, sizeof(CONFIG), CHECK, NEXT, ANEW, MADE_BY},

const tg_lr_class tg_lr_classes[TG_N_LR] = {TG_LR_ALL(CLASS)};
