#include "case.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static verdict note(golden *g, verdict v, const char *format, va_list args)
{
    if (!g->why[0])
        vsnprintf(g->why, sizeof g->why, format, args);
    for (char *c = g->why; *c; c++)
        if (*c == '\n')
            *c = ' ';
    return v;
}

verdict fail(golden *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(g, FAILED, format, args);
    va_end(args);
    return FAILED;
}

verdict unsupported(golden *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(g, UNSUPPORTED, format, args);
    va_end(args);
    return UNSUPPORTED;
}

verdict refused(golden *g, tg_status status, const char *what)
{
    const char *sentence = tg_tape_status(g->tape) ? tg_tape_error(g->tape) : tg_error_message();
    if (tg_tape_status(g->tape))
        status = tg_tape_status(g->tape);
    if (status == TG_EUNSUPPORTED || status == TG_EUNKNOWN)
        return unsupported(g, "%s: %s", what, sentence);
    return fail(g, "%s: %s: %s", what, tg_status_name(status), sentence);
}

verdict golden_open(golden *g, const char *path)
{
    if (tg_safetensors_open(&g->file, g->rt, path) != TG_OK)
        return fail(g, "not a golden case: %s", tg_error_message());
    const char *text = tg_safetensors_metadata(g->file, "case");
    if (!text)
        return fail(g, "not a golden case: no metadata named 'case'");
    json_error_t error;
    g->json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!g->json)
        return fail(g, "not a golden case: its JSON is broken: %s", error.text);
    if (!json_is_object(g->json) || !json_is_string(json_object_get(g->json, "kind")))
        return fail(g, "not a golden case: no 'kind'");
    return PASSED;
}

void golden_close(golden *g)
{
    for (size_t i = 0; i < g->n_owned; i++)
        tg_tensor_destroy(g->owned[i]);
    free(g->owned);
    json_decref(g->json);
    tg_safetensors_close(g->file);
}

bool golden_has(const golden *g, const char *name)
{
    return tg_safetensors_find(g->file, name) != NULL;
}

static double element(const tg_file_tensor *t, int64_t i)
{
    switch ((int)t->dtype) {
    case TG_F64: return ((const double *)t->data)[i];
    case TG_F32: return (double)((const float *)t->data)[i];
    case TG_I64: return (double)((const int64_t *)t->data)[i];
    case TG_I32: return (double)((const int32_t *)t->data)[i];
    default: return ((const uint8_t *)t->data)[i];
    }
}

static int64_t count(const tg_file_tensor *t)
{
    int64_t n = 1;
    for (int32_t d = 0; d < t->ndim; d++)
        n *= t->dim[d];
    return n;
}

/* The file's elements in `dtype`; malloc'd. */
static void *converted(const tg_file_tensor *t, tg_dtype dtype, size_t *bytes)
{
    int64_t n = count(t);
    *bytes = (size_t)n * tg_dtype_size((int32_t)dtype);
    void *data = malloc(*bytes + 8);
    for (int64_t i = 0; data && i < n; i++)
        switch ((int)dtype) {
        case TG_F64: ((double *)data)[i] = element(t, i); break;
        case TG_F32: ((float *)data)[i] = (float)element(t, i); break;
        case TG_I64:
            ((int64_t *)data)[i] =
                t->dtype == TG_I64 ? ((const int64_t *)t->data)[i] : (int64_t)element(t, i);
            break;
        default: ((uint8_t *)data)[i] = element(t, i) != 0.0; break;
        }
    return data;
}

static bool readable(const tg_file_tensor *t)
{
    return t->dtype == TG_F64 || t->dtype == TG_F32 || t->dtype == TG_I64 || t->dtype == TG_I32 ||
           t->dtype == TG_U8 || t->dtype == TG_BOOL;
}

static const tg_file_tensor *find(golden *g, const char *name)
{
    const tg_file_tensor *t = tg_safetensors_find(g->file, name);
    if (!t)
        fail(g, "the case names a tensor '%s' that the file lacks", name);
    else if (!readable(t))
        fail(g, "tensor '%s' is %s: expected F64, F32, I64, I32, U8 or BOOL", name,
             tg_dtype_name((int32_t)t->dtype));
    else
        return t;
    return NULL;
}

tg_tensor *golden_tensor(golden *g, const char *name)
{
    const tg_file_tensor *t = find(g, name);
    if (!t)
        return NULL;
    bool is_float = tg_dtype_is_float((int32_t)t->dtype);
    return golden_tensor_as(g, name, is_float ? g->dtype : t->dtype == TG_BOOL ? TG_BOOL : TG_I64);
}

tg_tensor *golden_tensor_as(golden *g, const char *name, tg_dtype dtype)
{
    const tg_file_tensor *t = find(g, name);
    if (!t)
        return NULL;
    if (g->n_owned == g->capacity) {
        size_t capacity = 2 * g->capacity + 16;
        tg_tensor **owned = realloc(g->owned, capacity * sizeof(tg_tensor *));
        if (!owned) {
            fail(g, "out of memory");
            return NULL;
        }
        g->owned = owned;
        g->capacity = capacity;
    }
    tg_tensor *out = NULL;
    tg_status status = tg_tensor_create(&out, g->rt, dtype, t->dim, (size_t)t->ndim);
    if (status) {
        refused(g, status, name);
        return NULL;
    }
    g->owned[g->n_owned++] = out;
    return golden_load(g, name, out) == PASSED ? out : NULL;
}

verdict golden_load(golden *g, const char *name, tg_tensor *to)
{
    const tg_file_tensor *t = find(g, name);
    if (!t)
        return FAILED;
    tg_desc desc;
    tg_status status = tg_tensor_desc(to, &desc);
    if (status)
        return refused(g, status, name);
    bool same = desc.ndim == t->ndim;
    for (int32_t d = 0; same && d < t->ndim; d++)
        same = desc.dim[d] == t->dim[d];
    if (!same) {
        char shape[128];
        return fail(g, "%s has another shape than the file's: %s", name,
                    tg_desc_format(&desc, shape, sizeof shape));
    }
    size_t bytes;
    void *data = converted(t, (tg_dtype)desc.dtype, &bytes);
    if (!data)
        return fail(g, "out of memory");
    status = tg_tensor_write(to, data, bytes);
    free(data);
    return status ? refused(g, status, name) : PASSED;
}

/* -- comparing ------------------------------------------------------------------------------------------ */

static bool near(golden *g, double got, double want, double tolerance)
{
    if (isnan(want))
        return isnan(got);
    if (isinf(want))
        return got == want;
    double error = fabs(got - want);
    if (!(error <= g->largest))
        g->largest = isnan(error) ? (double)INFINITY : error;
    return error <= tolerance + tolerance * fabs(want);
}

static bool same_kind(int32_t got, int32_t want)
{
    if (tg_dtype_is_float(want))
        return tg_dtype_is_float(got);
    return want == TG_BOOL ? got == TG_BOOL : got == TG_I64;
}

static double as_double(const void *data, int64_t i, int32_t dtype)
{
    switch (dtype) {
    case TG_F64: return ((const double *)data)[i];
    case TG_F32: return (double)((const float *)data)[i];
    case TG_I64: return (double)((const int64_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

static void format_dims(const tg_file_tensor *t, char *to, size_t size)
{
    size_t at = (size_t)snprintf(to, size, "[");
    for (int32_t d = 0; d < t->ndim && at < size; d++)
        at += (size_t)snprintf(to + at, size - at, "%s%lld", d ? ", " : "", (long long)t->dim[d]);
    if (at < size)
        snprintf(to + at, size - at, "]");
}

static verdict compare_elements(golden *g, const tg_file_tensor *want, const void *got, int32_t dtype,
                                double tolerance)
{
    int64_t n = count(want), wrong = 0, first = 0;
    for (int64_t i = 0; i < n; i++)
        if (!near(g, got ? as_double(got, i, dtype) : 0.0, element(want, i), tolerance) && wrong++ == 0)
            first = i;
    if (!wrong)
        return PASSED;
    return fail(g, "%s: %lld of %lld elements differ, the first at %lld: %.9g, expected %.9g", want->name,
                (long long)wrong, (long long)n, (long long)first, got ? as_double(got, first, dtype) : 0.0,
                element(want, first));
}

verdict compare(golden *g, const char *name, const tg_tensor *got, double tolerance)
{
    const tg_file_tensor *want = find(g, name);
    if (!want)
        return FAILED;
    if (!got)
        return compare_elements(g, want, NULL, TG_F64, tolerance);
    tg_desc desc;
    tg_status status = tg_tensor_desc(got, &desc);
    if (status)
        return refused(g, status, name);
    char is[128], should[96];
    bool same = desc.ndim == want->ndim;
    for (int32_t d = 0; same && d < want->ndim; d++)
        same = desc.dim[d] == want->dim[d];
    if (!same) {
        format_dims(want, should, sizeof should);
        return fail(g, "%s: the shape is %s, expected %s", name, tg_desc_format(&desc, is, sizeof is),
                    should);
    }
    if (!same_kind(desc.dtype, (int32_t)want->dtype))
        return fail(g, "%s: the dtype is %s, expected %s", name, tg_dtype_name(desc.dtype),
                    tg_dtype_name((int32_t)want->dtype));
    size_t bytes = (size_t)count(want) * tg_dtype_size(desc.dtype);
    void *data = malloc(bytes + 8);
    if (!data)
        return fail(g, "out of memory");
    status = tg_tensor_read(got, data, bytes);
    verdict v = status ? refused(g, status, name) : compare_elements(g, want, data, desc.dtype, tolerance);
    free(data);
    return v;
}

verdict compare_number(golden *g, const char *name, double got, double tolerance)
{
    const tg_file_tensor *want = find(g, name);
    if (!want)
        return FAILED;
    if (count(want) != 1)
        return fail(g, "%s has %lld elements, expected 1", name, (long long)count(want));
    return compare_elements(g, want, &got, TG_F64, tolerance);
}

/* -- JSON ----------------------------------------------------------------------------------------------- */

const char *tensor_name(const json_t *value)
{
    return json_is_object(value) ? json_string_value(json_object_get(value, "tensor")) : NULL;
}

bool read_real(const json_t *value, double *out)
{
    const char *word = json_is_object(value) ? json_string_value(json_object_get(value, "float")) : NULL;
    if (word && (!strcmp(word, "inf") || !strcmp(word, "-inf") || !strcmp(word, "nan"))) {
        double infinity = (double)INFINITY;
        *out = !strcmp(word, "inf") ? infinity : !strcmp(word, "-inf") ? -infinity : (double)NAN;
        return true;
    }
    if (!json_is_number(value))
        return false;
    *out = json_number_value(value);
    return true;
}

static bool json_numbers(const json_t *value, tg_attr *out, bool reals)
{
    size_t n = json_array_size(value);
    if (n > TG_MAX_DIM)
        return false;
    out->type = reals ? TG_ATTR_REALS : TG_ATTR_INTS;
    if (reals)
        out->as.reals.n = (int64_t)n;
    else
        out->as.ints.n = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(value, i);
        double x;
        if (reals && read_real(item, &x))
            out->as.reals.v[i] = x;
        else if (!reals && json_is_integer(item))
            out->as.ints.v[i] = json_integer_value(item);
        else if (!reals && json_is_null(item))
            out->as.ints.v[i] = TG_NONE_INT;
        else
            return false;
    }
    return true;
}

static bool make_attr(golden *g, const tg_attr_spec *spec, const json_t *value, tg_attr *out)
{
    double x;
    out->name = spec->name;
    if (json_is_null(value)) {
        out->type = TG_ATTR_NONE;
    } else if (json_is_boolean(value)) {
        out->type = TG_ATTR_BOOL;
        out->as.b = json_is_true(value);
    } else if (json_is_integer(value)) {
        out->type = TG_ATTR_INT;
        out->as.i = json_integer_value(value);
    } else if (read_real(value, &x)) {
        out->type = TG_ATTR_REAL;
        out->as.f = x;
    } else if (json_is_string(value)) {
        out->type = TG_ATTR_CHOICE;
        out->as.s = json_string_value(value);
    } else if (json_is_array(value)) {
        return json_numbers(value, out, spec->type == TG_ATTR_REALS);
    } else if (tensor_name(value)) {
        out->type = TG_ATTR_TENSOR;
        out->as.t = golden_tensor(g, tensor_name(value));
        return out->as.t != NULL;
    } else {
        return false;
    }
    return true;
}

/* What chooses among torch's own implementations of the same numbers, or is the absence of a choice. */
static bool changes_nothing(const char *key, const json_t *value)
{
    static const char *const how[] = {"foreach", "fused", "capturable", "differentiable"};
    for (size_t i = 0; i < sizeof how / sizeof *how; i++)
        if (!strcmp(key, how[i]) && json_is_boolean(value))
            return true;
    return json_is_null(value) ||
           (!strcmp(key, "last_epoch") && json_is_integer(value) && json_integer_value(value) == -1);
}

int make_attrs(golden *g, const char *what, const tg_attr_spec *specs, const json_t *arguments, tg_attr *out,
               verdict *v)
{
    int n = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)arguments, key, value)
    {
        const tg_attr_spec *spec = specs;
        while (spec && spec->name && strcmp(spec->name, key) != 0)
            spec++;
        if (!spec || !spec->name) {
            if (changes_nothing(key, value))
                continue;
            *v = unsupported(g, "%s has no argument '%s' here", what, key);
            return -1;
        }
        if (n == MAX_ATTRS || !make_attr(g, spec, value, &out[n])) {
            *v = g->why[0] ? FAILED
                           : unsupported(g, "%s: argument '%s' of a kind that is not known here", what, key);
            return -1;
        }
        n++;
    }
    return n;
}

/* -- names ---------------------------------------------------------------------------------------------- */

static int by_parts(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    while (*x && *y) {
        char *x_end, *y_end;
        if (*x >= '0' && *x <= '9' && *y >= '0' && *y <= '9') {
            long i = strtol(x, &x_end, 10), k = strtol(y, &y_end, 10);
            if (i != k)
                return i < k ? -1 : 1;
            x = x_end;
            y = y_end;
            continue;
        }
        if (*x != *y)
            return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
        x++;
        y++;
    }
    return (*x != 0) - (*y != 0);
}

size_t golden_names(const golden *g, const char *prefix, const char *out[MAX_NAMES])
{
    size_t n = 0, length = strlen(prefix);
    for (size_t i = 0; i < tg_safetensors_count(g->file) && n < MAX_NAMES; i++) {
        const char *name = tg_safetensors_at(g->file, i)->name;
        if (!strncmp(name, prefix, length))
            out[n++] = name;
    }
    qsort(out, n, sizeof *out, by_parts);
    return n;
}
