/* Optimizers' arguments: from names, from option structs, and their ranges. */
#include "training/optimizer.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* -- the registry ---------------------------------------------------------------------------------------- */
static const tg_optim_class *find_class(const char *name)
{
    for (size_t i = 0; name && i < tg_n_optim_classes; i++)
        if (strcmp(tg_optim_classes[i]->name, name) == 0)
            return tg_optim_classes[i];
    return NULL;
}

size_t tg_optim_list(const char **out, size_t capacity)
{
    for (size_t i = 0; i < tg_n_optim_classes && i < capacity; i++)
        out[i] = tg_optim_classes[i]->name;
    return tg_n_optim_classes;
}

const tg_attr_spec *tg_optim_attrs(const char *name)
{
    const tg_optim_class *cls = find_class(name);
    return cls ? cls->attrs : NULL;
}

static void fail_unknown(const char *name)
{
    char known[256];
    size_t n = 0;
    for (size_t i = 0; i < tg_n_optim_classes && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", tg_optim_classes[i]->name);
    tg_fail(NULL, TG_EUNKNOWN, "tg_optim_create: no optimizer is called %s; known are %s",
            name ? name : "NULL", known);
}

/* -- ranges ---------------------------------------------------------------------------------------------- */
tg_status tg_optim_at_least(const char *what, const char *argument, double value, double low)
{
    if (value >= low && !isinf(value))
        return TG_OK;
    return tg_fail(NULL, TG_EINVAL, "%s: %s is %g, expected a finite number of at least %g", what, argument,
                   value, low);
}

static tg_status check_number(const char *what, const char *argument, unsigned flags, double value)
{
    if (flags & TG_OPTIM_BELOW && !(value >= 0 && value < 1))
        return tg_fail(NULL, TG_EINVAL, "%s: %s is %g, expected a number in [0, 1)", what, argument, value);
    if (flags & TG_OPTIM_LOW)
        return tg_optim_at_least(what, argument, value, 0);
    if (!isfinite(value))
        return tg_fail(NULL, TG_EINVAL, "%s: %s is %g, expected a finite number", what, argument, value);
    return TG_OK;
}

/* How many numbers a list has by default, which is how many it must have. */
static int64_t list_length(const tg_attr_spec *s)
{
    int64_t n = 1;
    for (const char *c = s->values; *c; c++)
        n += *c == ',';
    return n;
}

static tg_status check_list(const char *what, const tg_attr_spec *s, const tg_reals *list)
{
    if (list->n != list_length(s))
        return tg_fail(NULL, TG_EINVAL, "%s: %s has %lld values, expected %lld", what, s->name,
                       (long long)list->n, (long long)list_length(s));
    tg_status status = TG_OK;
    for (int64_t i = 0; i < list->n && !status; i++) {
        char name[32]; /* "betas" has beta1 and beta2 */
        snprintf(name, sizeof name, "%.*s%lld", (int)strlen(s->name) - 1, s->name, (long long)i + 1);
        status = check_number(what, name, s->flags, list->v[i]);
    }
    return status;
}

/* Everything that keeps a divisor above 0 is 0. */
static tg_status check_divisor(const tg_optim_class *cls, const tg_optim_config *config)
{
    char names[64] = "";
    size_t n = 0;
    for (const tg_attr_spec *s = cls->attrs; s->name; s++) {
        const char *at = (const char *)config + s->offset;
        if (!(s->flags & TG_OPTIM_KEEP))
            continue;
        const double *v = (const double *)(const void *)at;
        bool list = s->type == TG_ATTR_REALS;
        if (list)
            v = ((const tg_reals *)(const void *)at)->v;
        if (v[0] != 0 || (list && v[1] != 0))
            return TG_OK;
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "",
                              list ? "beta1, beta2" : s->name);
    }
    if (n == 0)
        return TG_OK;
    char function[32]; /* tg_adam_defaults */
    for (n = 0; n + 1 < sizeof function && cls->name[n]; n++)
        function[n] = (char)tolower((unsigned char)cls->name[n]);
    return tg_fail(NULL, TG_EINVAL,
                   "%s: %s and eps are all 0, which divides 0 by 0 where the gradient is 0; change what "
                   "tg_%.*s_defaults() returns",
                   cls->name, names, (int)n, function);
}

tg_status tg_optim_check(const tg_optim_class *cls, const tg_optim_config *config)
{
    for (const tg_attr_spec *s = cls->attrs; s->name; s++) {
        const void *at = (const char *)config + s->offset;
        tg_status status = TG_OK;
        if (s->type == TG_ATTR_REALS)
            status = check_list(cls->name, s, at);
        else if (s->type == TG_ATTR_REAL)
            status = check_number(cls->name, s->name, s->flags, *(const double *)at);
        if (status)
            return status;
    }
    tg_status status = config->eps == 0 ? check_divisor(cls, config) : TG_OK;
    if (!status && cls->check)
        status = cls->check(config);
    return status ? status : tg_attrs_check_choices(cls->name, cls->attrs, config);
}

/* -- what several classes' steps have ----------------------------------------------------------------------
 */
void tg_optim_rule(const tg_optim_config *config, int64_t rule, unsigned states, tg_step_row *out)
{
    tg_rule_attrs a = {.rule = rule, .maximize = config->maximize};
    out->op = "optim_step";
    out->states = states;
    memcpy(out->attrs, &a, sizeof a);
}

void tg_optim_decays(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    memset(out, 0, TG_OPTIM_SCALARS * sizeof *out);
    out[0] = c->decoupled_weight_decay ? 1 - now->lr * c->weight_decay : 1;
    out[1] = c->decoupled_weight_decay ? 0 : c->weight_decay;
}

/* -- named arguments ---------------------------------------------------------------------------------------
 */
/* What chooses among torch's own implementations of the same numbers. */
static bool changes_nothing(const tg_attr *a)
{
    if (!a->name || (a->type != TG_ATTR_BOOL && a->type != TG_ATTR_NONE))
        return false;
    return !strcmp(a->name, "foreach") || !strcmp(a->name, "fused") || !strcmp(a->name, "capturable") ||
           (!strcmp(a->name, "differentiable") && !(a->type == TG_ATTR_BOOL && a->as.b));
}

static size_t size_of(tg_attr_type type)
{
    return type == TG_ATTR_BOOL ? sizeof(bool) : type == TG_ATTR_REALS ? sizeof(tg_reals) : sizeof(double);
}

tg_status tg_optim_configure(const tg_optim_class *cls, const tg_attr *attrs, size_t n,
                             tg_optim_config *config)
{
    enum { MOST = 32 };
    tg_attr given[MOST];
    size_t n_given = 0;
    if (n > MOST)
        return tg_fail(NULL, TG_EINVAL, "%s: got %zu arguments, expected at most %d", cls->name, n, MOST);
    if (n && !attrs)
        return tg_fail(NULL, TG_EINVAL, "%s: %zu arguments, but the array is NULL", cls->name, n);
    for (size_t i = 0; i < n; i++)
        if (!changes_nothing(&attrs[i]))
            given[n_given++] = attrs[i];
    tg_optim_config all;
    tg_status status = tg_attrs_fill(cls->name, cls->attrs, &all, sizeof all, given, n_given);
    for (const tg_attr_spec *s = cls->attrs; !status && s->name; s++)
        for (size_t i = 0; i < n_given; i++)
            if (!strcmp(given[i].name, s->name))
                memcpy((char *)config + s->offset, (char *)&all + s->offset, size_of(s->type));
    return status;
}

tg_optimizer *tg_optim_create(tg_runtime *rt, const char *name, const tg_named_tensors *parameters,
                              const tg_attr *attrs, size_t n)
{
    const tg_optim_class *cls = find_class(name);
    if (!cls) {
        fail_unknown(name);
        return NULL;
    }
    tg_optim_config config;
    if (tg_attrs_fill(cls->name, cls->attrs, &config, sizeof config, NULL, 0) ||
        tg_optim_configure(cls, attrs, n, &config))
        return NULL;
    return tg_optimizer_new(rt, cls, parameters, &config);
}

/* -- option structs ----------------------------------------------------------------------------------------
 */
/* One argument between a config and its place in an options struct, which is `at` or the next that fits. */
static size_t move(const tg_attr_spec *s, char *config, char *options, size_t at, size_t size, bool out)
{
    char *field = config + s->offset;
    size_t one = size_of(s->type), count = one;
    if (s->type == TG_ATTR_REALS) {
        ((tg_reals *)(void *)field)->n = list_length(s);
        field = (char *)((tg_reals *)(void *)field)->v;
        count = (size_t)list_length(s) * sizeof(double);
        one = sizeof(double);
    }
    at = (at + one - 1) / one * one;
    if (at + count <= size)
        memcpy(out ? options + at : field, out ? field : options + at, count);
    return at + count;
}

static void move_all(const tg_optim_class *cls, tg_optim_config *config, char *options, size_t size, bool out)
{
    size_t at = sizeof(size_t);
    for (const tg_attr_spec *s = cls->attrs; s->name; s++)
        at = move(s, (char *)config, options, at, size, out);
}

void tg_optim_defaults(const tg_optim_class *cls, void *options, size_t size)
{
    tg_optim_config config;
    memset(options, 0, size);
    memcpy(options, &size, sizeof size);
    if (tg_attrs_fill(cls->name, cls->attrs, &config, sizeof config, NULL, 0) == TG_OK)
        move_all(cls, &config, options, size, true);
}

tg_optimizer *tg_optimizer_from(tg_runtime *rt, const tg_optim_class *cls, const tg_named_tensors *parameters,
                                const void *options, size_t size)
{
    tg_optim_config config;
    if (tg_attrs_fill(cls->name, cls->attrs, &config, sizeof config, NULL, 0))
        return NULL;
    if (options) {
        size_t given;
        memcpy(&given, options, sizeof given);
        move_all(cls, &config, (char *)(uintptr_t)options, given && given < size ? given : size, false);
    }
    return tg_optimizer_new(rt, cls, parameters, &config);
}
