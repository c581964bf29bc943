/* torch.optim.lr_scheduler: a step computes the rate from the one before, as torch's chainable forms do. */
#include "training/optimizer.h"

#include <math.h>
#include <string.h>

typedef struct step_lr {
    int64_t step_size;
    double gamma;
} step_lr;

typedef struct cosine {
    int64_t t_max;
    double eta_min;
} cosine;

enum { CONFIG = 64 };

typedef struct lr_class {
    const char *name;
    const tg_attr_spec *attrs;
    size_t config_size;
    tg_status (*check)(const void *config);
    /* The rate of `epoch` (1 is the first step) from that of the epoch before. */
    double (*next)(const void *config, double base, double lr, int64_t epoch);
} lr_class;

struct tg_scheduler {
    const lr_class *cls;
    tg_runtime *rt;
    tg_optimizer *optimizer;
    double base;
    int64_t epoch;
    _Alignas(16) unsigned char config[CONFIG];
};

/* -- StepLR ---------------------------------------------------------------------------------------------- */
static const tg_attr_spec step_attrs[] = {
    {.name = "step_size",
     .type = TG_ATTR_INT,
     .flags = TG_ATTR_REQUIRED,
     .offset = offsetof(step_lr, step_size),
     .doc = "epochs between two drops, at least 1"},
    {.name = "gamma",
     .type = TG_ATTR_REAL,
     .offset = offsetof(step_lr, gamma),
     .value = 0.1,
     .doc = "the factor of a drop, at least 0"},
    {0},
};

static tg_status step_check(const void *config)
{
    const step_lr *c = config;
    if (c->step_size < 1)
        return tg_fail(NULL, TG_EINVAL, "StepLR: step_size is %lld, expected at least 1",
                       (long long)c->step_size);
    return tg_optim_at_least("StepLR", "gamma", c->gamma, 0);
}

static double step_next(const void *config, double base, double lr, int64_t epoch)
{
    const step_lr *c = config;
    (void)base;
    return epoch % c->step_size == 0 ? lr * c->gamma : lr;
}

/* -- CosineAnnealingLR (Loshchilov and Hutter 2017) ------------------------------------------------------ */
static const tg_attr_spec cosine_attrs[] = {
    {.name = "T_max",
     .type = TG_ATTR_INT,
     .flags = TG_ATTR_REQUIRED,
     .offset = offsetof(cosine, t_max),
     .doc = "epochs from the top to the bottom, at least 1"},
    {.name = "eta_min",
     .type = TG_ATTR_REAL,
     .offset = offsetof(cosine, eta_min),
     .doc = "the lowest rate, at least 0"},
    {0},
};

static tg_status cosine_check(const void *config)
{
    const cosine *c = config;
    if (c->t_max < 1)
        return tg_fail(NULL, TG_EINVAL, "CosineAnnealingLR: T_max is %lld, expected at least 1",
                       (long long)c->t_max);
    return tg_optim_at_least("CosineAnnealingLR", "eta_min", c->eta_min, 0);
}

static double cosine_next(const void *config, double base, double lr, int64_t epoch)
{
    const double pi = 3.14159265358979323846;
    const cosine *c = config;
    double t = (double)c->t_max;
    /* The step after the bottom: the ratio below would be 0/0. */
    if ((epoch - 1) % c->t_max == 0 && (epoch - 1) / c->t_max % 2 == 1)
        return lr + (base - c->eta_min) * (1 - cos(pi / t)) / 2;
    return (1 + cos(pi * (double)epoch / t)) / (1 + cos(pi * (double)(epoch - 1) / t)) * (lr - c->eta_min) +
           c->eta_min;
}

/* -- the registry ---------------------------------------------------------------------------------------- */
static const lr_class classes[] = {
    {"StepLR", step_attrs, sizeof(step_lr), step_check, step_next},
    {"CosineAnnealingLR", cosine_attrs, sizeof(cosine), cosine_check, cosine_next},
};
enum { N_CLASSES = sizeof classes / sizeof *classes };

static const lr_class *find_class(const char *name)
{
    for (size_t i = 0; name && i < N_CLASSES; i++)
        if (strcmp(classes[i].name, name) == 0)
            return &classes[i];
    return NULL;
}

size_t tg_lr_list(const char **out, size_t capacity)
{
    for (size_t i = 0; i < N_CLASSES && i < capacity; i++)
        out[i] = classes[i].name;
    return N_CLASSES;
}

const tg_attr_spec *tg_lr_attrs(const char *name)
{
    const lr_class *cls = find_class(name);
    return cls ? cls->attrs : NULL;
}

/* -- schedulers ------------------------------------------------------------------------------------------ */
static tg_scheduler *create(tg_optimizer *optimizer, const lr_class *cls, const void *config)
{
    if (!optimizer) {
        tg_fail(NULL, TG_EINVAL, "%s: the optimizer is NULL", cls->name);
        return NULL;
    }
    if (cls->check(config))
        return NULL;
    tg_scheduler *s = tg_alloc_zero(tg_runtime_allocator(optimizer->rt), sizeof *s);
    if (!s) {
        tg_fail_again(NULL, TG_ENOMEM);
        return NULL;
    }
    s->rt = optimizer->rt;
    s->cls = cls;
    s->optimizer = optimizer;
    memcpy(s->config, config, cls->config_size);
    if (isnan(optimizer->initial_lr))
        optimizer->initial_lr = optimizer->lr;
    s->base = optimizer->initial_lr;
    return s;
}

tg_scheduler *tg_lr_create(tg_optimizer *optimizer, const char *name, const tg_attr *attrs, size_t n)
{
    const lr_class *cls = find_class(name);
    if (!cls) {
        tg_fail(NULL, TG_EUNKNOWN,
                "tg_lr_create: no scheduler is called %s; known are StepLR, CosineAnnealingLR",
                name ? name : "NULL");
        return NULL;
    }
    _Alignas(16) unsigned char config[CONFIG] = {0};
    if (tg_attrs_fill(cls->name, cls->attrs, config, cls->config_size, attrs, n))
        return NULL;
    return create(optimizer, cls, config);
}

tg_scheduler *tg_lr_step(tg_optimizer *optimizer, int64_t step_size, double gamma)
{
    return create(optimizer, find_class("StepLR"), &(step_lr){step_size, gamma});
}

tg_scheduler *tg_lr_cosine_annealing(tg_optimizer *optimizer, int64_t t_max, double eta_min)
{
    return create(optimizer, find_class("CosineAnnealingLR"), &(cosine){t_max, eta_min});
}

tg_status tg_scheduler_step(tg_scheduler *s)
{
    if (!s)
        return tg_fail(NULL, TG_EINVAL, "tg_scheduler_step: the scheduler is NULL");
    s->epoch++;
    s->optimizer->lr = s->cls->next(s->config, s->base, s->optimizer->lr, s->epoch);
    return TG_OK;
}

void tg_scheduler_destroy(tg_scheduler *s)
{
    if (s)
        tg_free(tg_runtime_allocator(s->rt), s);
}
