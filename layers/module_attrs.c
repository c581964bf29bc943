#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layers/internal.h"

static const char *type_name(tg_attr_type type)
{
    static const char *const names[] = {"None",   "an integer", "a number", "a bool",
                                        "a word", "integers",   "numbers",  "a tensor"};
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "of an unknown type";
}

static size_t type_size(tg_attr_type type)
{
    switch (type) {
    case TG_ATTR_INT:
    case TG_ATTR_CHOICE: return sizeof(int64_t);
    case TG_ATTR_REAL: return sizeof(double);
    case TG_ATTR_BOOL: return sizeof(bool);
    case TG_ATTR_INTS: return sizeof(tg_ints);
    case TG_ATTR_REALS: return sizeof(tg_reals);
    case TG_ATTR_TENSOR: return sizeof(tg_tensor *);
    case TG_ATTR_NONE: break;
    }
    return 0;
}

/* "0.9, 0.999" into `ints` or `reals`. False for a text that is no such list. */
static bool parse_list(const char *text, tg_ints *ints, tg_reals *reals)
{
    int64_t n = 0;
    while (text && *text) {
        char *end;
        const locale_t before = tg_plain_numbers();
        double value = strtod(text, &end);
        uselocale(before);
        if (end == text || n == TG_MAX_DIM)
            return false;
        if (ints)
            ints->v[n] = (int64_t)value;
        else
            reals->v[n] = value;
        n++;
        text = end + strspn(end, ", ");
    }
    if (ints)
        ints->n = n;
    else
        reals->n = n;
    return true;
}

static tg_status set_default(const char *what, const tg_attr_spec *s, char *at)
{
    int64_t i = 0;
    bool b = s->value != 0;
    tg_ints ints = {0};
    tg_reals reals = {0};
    switch (s->type) {
    case TG_ATTR_INT:
    case TG_ATTR_CHOICE:
        i = (int64_t)s->value;
        memcpy(at, &i, sizeof i);
        return TG_OK;
    case TG_ATTR_REAL: memcpy(at, &s->value, sizeof s->value); return TG_OK;
    case TG_ATTR_BOOL: memcpy(at, &b, sizeof b); return TG_OK;
    case TG_ATTR_INTS:
        if (!parse_list(s->values, &ints, NULL))
            break;
        memcpy(at, &ints, sizeof ints);
        return TG_OK;
    case TG_ATTR_REALS:
        if (!parse_list(s->values, NULL, &reals))
            break;
        memcpy(at, &reals, sizeof reals);
        return TG_OK;
    case TG_ATTR_TENSOR: memset(at, 0, sizeof(tg_tensor *)); return TG_OK;
    case TG_ATTR_NONE: break;
    }
    return tg_fail(NULL, TG_EINVAL, "%s: the table's row of \"%s\" is malformed", what, s->name);
}

static tg_status wrong_type(const char *what, const tg_attr_spec *s, const tg_attr *g)
{
    return tg_fail(NULL, TG_EINVAL, "%s: %s is %s, expected %s%s", what, s->name, type_name(g->type),
                   type_name(s->type), s->flags & TG_ATTR_OPTIONAL ? " or None" : "");
}

static tg_status set_none(const char *what, const tg_attr_spec *s, const tg_attr *g, char *at)
{
    if (!(s->flags & TG_ATTR_OPTIONAL))
        return wrong_type(what, s, g);
    int64_t i = TG_NONE_INT;
    double f = TG_NONE_REAL;
    if (s->type == TG_ATTR_INT || s->type == TG_ATTR_CHOICE)
        memcpy(at, &i, sizeof i);
    else if (s->type == TG_ATTR_REAL)
        memcpy(at, &f, sizeof f);
    else
        memset(at, 0, type_size(s->type));
    return TG_OK;
}

/* The index of a word in "none|mean|sum", −1 when it is not there. */
static int64_t find_choice(const char *choices, const char *word)
{
    size_t length = strlen(word);
    for (int64_t i = 0; choices; i++) {
        const char *bar = strchr(choices, '|');
        size_t n = bar ? (size_t)(bar - choices) : strlen(choices);
        if (n == length && strncmp(choices, word, n) == 0)
            return i;
        choices = bar ? bar + 1 : NULL;
    }
    return -1;
}

tg_status tg_attrs_check_choices(const char *what, const tg_attr_spec *specs, const void *attrs)
{
    for (const tg_attr_spec *s = specs; s && s->name; s++) {
        if (s->type != TG_ATTR_CHOICE)
            continue;
        int64_t i, n = 1;
        memcpy(&i, (const char *)attrs + s->offset, sizeof i);
        for (const char *c = s->choices; c && *c; c++)
            n += *c == '|';
        if ((i < 0 || i >= n) && !(i == TG_NONE_INT && s->flags & TG_ATTR_OPTIONAL))
            return tg_fail(NULL, TG_EINVAL, "%s: %s is %lld, expected one of %s, counted from 0", what, s->name,
                           (long long)i, s->choices);
    }
    return TG_OK;
}

static tg_status set_choice(const char *what, const tg_attr_spec *s, const tg_attr *g, char *at)
{
    if (g->type != TG_ATTR_CHOICE)
        return wrong_type(what, s, g);
    int64_t i = g->as.s ? find_choice(s->choices, g->as.s) : -1;
    if (i < 0)
        return tg_fail(NULL, TG_EINVAL, "%s: %s is %s%s%s, expected one of %s", what, s->name, g->as.s ? "\"" : "",
                       g->as.s ? g->as.s : "NULL", g->as.s ? "\"" : "", s->choices);
    memcpy(at, &i, sizeof i);
    return TG_OK;
}

static tg_status set_real(const char *what, const tg_attr_spec *s, const tg_attr *g, char *at)
{
    double f = g->as.f;
    if (g->type == TG_ATTR_INT)
        f = (double)g->as.i;
    else if (g->type != TG_ATTR_REAL)
        return wrong_type(what, s, g);
    if (isnan(f) && s->flags & TG_ATTR_OPTIONAL)
        return tg_fail(NULL, TG_EINVAL, "%s: %s is NaN, expected a number or None", what, s->name);
    memcpy(at, &f, sizeof f);
    return TG_OK;
}

static tg_status set_list(const char *what, const tg_attr_spec *s, const tg_attr *g, char *at)
{
    tg_ints ints = {.n = 1};
    tg_reals reals = {.n = 1};
    if (s->type == TG_ATTR_INTS && s->choices && g->type == TG_ATTR_CHOICE) {
        tg_status status = set_choice(what, s, g, (char *)&ints.v[0]);
        ints.v[0] = TG_INTS_WORD(ints.v[0]);
        memcpy(at, &ints, sizeof ints);
        return status;
    }
    int64_t n = g->type == TG_ATTR_INTS ? g->as.ints.n : g->type == TG_ATTR_REALS ? g->as.reals.n : 1;
    if (n < 0 || n > TG_MAX_DIM)
        return tg_fail(NULL, TG_EINVAL, "%s: %s has %lld entries, expected at most %d", what, s->name,
                       (long long)n, TG_MAX_DIM);
    if (s->type == TG_ATTR_INTS) {
        if (g->type == TG_ATTR_INTS)
            ints = g->as.ints;
        else if (g->type == TG_ATTR_INT)
            ints.v[0] = g->as.i;
        else
            return wrong_type(what, s, g);
        memcpy(at, &ints, sizeof ints);
        return TG_OK;
    }
    if (g->type == TG_ATTR_REALS)
        reals = g->as.reals;
    else if (g->type == TG_ATTR_REAL)
        reals.v[0] = g->as.f;
    else if (g->type == TG_ATTR_INT)
        reals.v[0] = (double)g->as.i;
    else if (g->type == TG_ATTR_INTS) {
        reals.n = n;
        for (int64_t i = 0; i < n; i++)
            reals.v[i] = (double)g->as.ints.v[i];
    } else
        return wrong_type(what, s, g);
    memcpy(at, &reals, sizeof reals);
    return TG_OK;
}

static tg_status set_given(const char *what, const tg_attr_spec *s, const tg_attr *g, char *at)
{
    if (g->type == TG_ATTR_NONE)
        return set_none(what, s, g, at);
    if (s->type == TG_ATTR_CHOICE)
        return set_choice(what, s, g, at);
    if (s->type == TG_ATTR_REAL)
        return set_real(what, s, g, at);
    if (s->type == TG_ATTR_INTS || s->type == TG_ATTR_REALS)
        return set_list(what, s, g, at);
    if (g->type != s->type)
        return wrong_type(what, s, g);
    if (s->type == TG_ATTR_INT)
        memcpy(at, &g->as.i, sizeof g->as.i);
    else if (s->type == TG_ATTR_BOOL)
        memcpy(at, &g->as.b, sizeof g->as.b);
    else
        memcpy(at, &g->as.t, sizeof g->as.t);
    return TG_OK;
}

static const tg_attr_spec *find_spec(const tg_attr_spec *specs, const char *name)
{
    for (const tg_attr_spec *s = specs; s && s->name; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static tg_status unknown(const char *what, const tg_attr_spec *specs, const char *name)
{
    char known[512] = "";
    size_t n = 0;
    for (const tg_attr_spec *s = specs; s && s->name && n < sizeof known; s++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", s->name);
    return tg_fail(NULL, TG_EUNKNOWN, "%s has no argument \"%s\"; %s%s", what, name,
                   n ? "it has " : "it has none", known);
}

static bool is_given(const char *name, const tg_attr *given, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(given[i].name, name) == 0)
            return true;
    return false;
}

tg_status tg_attrs_fill(const char *what, const tg_attr_spec *specs, void *attrs, size_t attrs_size,
                        const tg_attr *given, size_t n)
{
    if (!what)
        what = "attributes";
    if (n && !given)
        return tg_fail(NULL, TG_EINVAL, "%s: %zu arguments, but the array is NULL", what, n);
    if (attrs_size && attrs)
        memset(attrs, 0, attrs_size);
    for (size_t i = 0; i < n; i++) {
        if (!given[i].name)
            return tg_fail(NULL, TG_EINVAL, "%s: argument %zu has no name", what, i);
        if (!find_spec(specs, given[i].name))
            return unknown(what, specs, given[i].name);
        if (is_given(given[i].name, given, i))
            return tg_fail(NULL, TG_EINVAL, "%s: %s is given twice", what, given[i].name);
    }
    for (const tg_attr_spec *s = specs; s && s->name; s++) {
        size_t size = type_size(s->type);
        if (!size || !attrs || s->offset > attrs_size || size > attrs_size - s->offset)
            return tg_fail(NULL, TG_EINVAL, "%s: the table's row of \"%s\" does not fit its struct", what,
                           s->name);
        if (s->flags & TG_ATTR_REQUIRED && !is_given(s->name, given, n))
            return tg_fail(NULL, TG_EINVAL, "%s: the argument %s is missing", what, s->name);
        tg_status status = set_default(what, s, (char *)attrs + s->offset);
        if (status)
            return status;
    }
    for (size_t i = 0; i < n; i++) {
        const tg_attr_spec *s = find_spec(specs, given[i].name);
        tg_status status = set_given(what, s, &given[i], (char *)attrs + s->offset);
        if (status)
            return status;
    }
    return TG_OK;
}

tg_status tg_options_read(const char *what, void *known, size_t known_size, const void *given)
{
    if (!given)
        return tg_fail(NULL, TG_EINVAL, "%s: the options are NULL", what);
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size == 0)
        size = known_size;
    if (size < sizeof size)
        return tg_fail(NULL, TG_EINVAL,
                       "%s: struct_size of the options is %zu, expected sizeof the struct (%zu)", what, size,
                       known_size);
    memcpy(known, given, size < known_size ? size : known_size);
    memcpy(known, &known_size, sizeof known_size);
    return TG_OK;
}
