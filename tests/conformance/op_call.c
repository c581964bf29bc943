#include "op_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static op_arg *find(op_call *c, const char *name)
{
    for (size_t i = 0; i < c->n_args; i++)
        if (!strcmp(c->arg[i].name, name)) {
            c->arg[i].used = true;
            return json_is_null(c->arg[i].value) ? NULL : &c->arg[i];
        }
    return NULL;
}

void cannot(op_call *c, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->v = unsupported(c->g, "%s", text);
}

bool has(op_call *c, const char *name)
{
    return find(c, name) != NULL;
}

tg_tensor *tensor(op_call *c, const char *name)
{
    op_arg *a = find(c, name);
    if (a && a->n_tensors == 1)
        return a->tensor[0];
    cannot(c, "argument '%s' is no tensor", name);
    return NULL;
}

tg_tensor *const *tensors(op_call *c, const char *name, size_t *n)
{
    op_arg *a = find(c, name);
    *n = a ? a->n_tensors : 0;
    if (!*n)
        cannot(c, "argument '%s' is no list of tensors", name);
    return a ? a->tensor : NULL;
}

bool is_integer(op_call *c, const char *name)
{
    op_arg *a = find(c, name);
    return a && json_is_integer(a->value);
}

bool is_number(op_call *c, const char *name)
{
    op_arg *a = find(c, name);
    double x;
    return a && (json_is_boolean(a->value) || read_real(a->value, &x));
}

double number(op_call *c, const char *name, double otherwise)
{
    op_arg *a = find(c, name);
    double x = otherwise;
    if (a && json_is_boolean(a->value))
        return json_is_true(a->value);
    if (a && !read_real(a->value, &x))
        cannot(c, "argument '%s' is no number", name);
    return x;
}

tg_tensor *tensor_or_number(op_call *c, const char *name)
{
    return is_number(c, name) ? tg_scalar(c->tape, c->g->dtype, number(c, name, 0.0)) : tensor(c, name);
}

int64_t integer(op_call *c, const char *name, int64_t otherwise)
{
    op_arg *a = find(c, name);
    if (!a)
        return otherwise;
    if (!json_is_integer(a->value))
        cannot(c, "argument '%s' is no integer", name);
    return json_integer_value(a->value);
}

bool flag(op_call *c, const char *name, bool otherwise)
{
    op_arg *a = find(c, name);
    if (!a)
        return otherwise;
    if (!json_is_boolean(a->value))
        cannot(c, "argument '%s' is neither true nor false", name);
    return json_is_true(a->value);
}

const char *text(op_call *c, const char *name)
{
    op_arg *a = find(c, name);
    const char *s = a ? json_string_value(a->value) : NULL;
    return s ? s : "";
}

static tg_ints integers_of(op_call *c, const json_t *value, const char *name)
{
    tg_ints out = {0};
    if (json_is_integer(value)) {
        out.n = 1;
        out.v[0] = json_integer_value(value);
        return out;
    }
    size_t n = json_array_size(value);
    for (size_t i = 0; i < n && i < TG_MAX_DIM; i++)
        if (json_is_integer(json_array_get(value, i)))
            out.v[out.n++] = json_integer_value(json_array_get(value, i));
    if (!json_is_array(value) || (size_t)out.n != n)
        cannot(c, "argument '%s' is no list of at most %d integers", name, TG_MAX_DIM);
    return out;
}

tg_ints integers(op_call *c, const char *name)
{
    op_arg *a = find(c, name);
    return a ? integers_of(c, a->value, name) : (tg_ints){0};
}

void two_lists(op_call *c, const char *name, tg_ints *first, tg_ints *second)
{
    op_arg *a = find(c, name);
    *first = *second = (tg_ints){0};
    if (!a || json_array_size(a->value) != 2)
        cannot(c, "argument '%s' is no list of two lists", name);
    else {
        *first = integers_of(c, json_array_get(a->value, 0), name);
        *second = integers_of(c, json_array_get(a->value, 1), name);
    }
}

tg_reals numbers(op_call *c, const char *name)
{
    tg_reals out = {0};
    op_arg *a = find(c, name);
    if (!a)
        return out;
    const bool one = !json_is_array(a->value);
    const size_t n = one ? 1 : json_array_size(a->value);
    for (size_t i = 0; i < n && i < TG_MAX_DIM; i++)
        out.n += read_real(one ? a->value : json_array_get(a->value, i), &out.v[i]);
    if ((size_t)out.n != n)
        cannot(c, "argument '%s' is no list of at most %d numbers", name, TG_MAX_DIM);
    return out;
}

tg_dtype dtype_or(op_call *c, tg_dtype otherwise)
{
    op_arg *a = find(c, "dtype");
    const char *name = a ? json_string_value(json_object_get(a->value, "dtype")) : NULL;
    if (!a)
        return otherwise;
    if (name && !strcmp(name, "float64"))
        return TG_F64;
    if (name && !strcmp(name, "float32"))
        return TG_F32;
    cannot(c, "dtype %s has no counterpart here", name ? name : "?");
    return otherwise;
}

void on_the_host(op_call *c)
{
    op_arg *a = find(c, "device");
    if (a && (!json_is_string(a->value) || strcmp(json_string_value(a->value), "cpu")))
        cannot(c, "a device other than the cpu has no counterpart here");
}

void give(op_call *c, tg_tensor *y)
{
    if (c->n_out < MAX_OUT)
        c->out[c->n_out++] = y;
    else
        cannot(c, "more outputs than this runner takes");
}
