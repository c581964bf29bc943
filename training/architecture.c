#include "training/model_file.h"

#include <tapegrad/module_tools.h>

#include "layers/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* -- a module as JSON ------------------------------------------------------------------------------------ */
static json_t *describe_real(double x, bool optional)
{
    if (isfinite(x))
        return json_real(x);
    if (isnan(x) && optional)
        return json_null();
    return json_pack("{s:s}", "float", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

static json_t *describe_word(const char *choices, int64_t index)
{
    for (; choices; index--) {
        const char *bar = strchr(choices, '|');
        if (index == 0)
            return json_stringn(choices, bar ? (size_t)(bar - choices) : strlen(choices));
        choices = bar ? bar + 1 : NULL;
    }
    return NULL;
}

static json_t *describe_list(const tg_ints *ints, const tg_reals *reals)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < (ints ? ints->n : reals->n); i++)
        json_array_append_new(list, ints ? json_integer(ints->v[i]) : describe_real(reals->v[i], false));
    return list;
}

static json_t *describe_value(const tg_attr_spec *s, const char *at)
{
    bool optional = s->flags & TG_ATTR_OPTIONAL, b;
    int64_t i;
    double f;
    tg_ints ints;
    tg_reals reals;
    tg_tensor *t;
    switch (s->type) {
    case TG_ATTR_INT:
    case TG_ATTR_CHOICE:
        memcpy(&i, at, sizeof i);
        if (optional && i == TG_NONE_INT)
            return json_null();
        return s->type == TG_ATTR_INT ? json_integer(i) : describe_word(s->choices, i);
    case TG_ATTR_REAL: memcpy(&f, at, sizeof f); return describe_real(f, optional);
    case TG_ATTR_BOOL: memcpy(&b, at, sizeof b); return json_boolean(b);
    case TG_ATTR_INTS:
        memcpy(&ints, at, sizeof ints);
        if (s->choices && ints.n == 1 && ints.v[0] < 0)
            return describe_word(s->choices, ints.v[0] - TG_INTS_WORD(0));
        return describe_list(&ints, NULL);
    case TG_ATTR_REALS: memcpy(&reals, at, sizeof reals); return describe_list(NULL, &reals);
    case TG_ATTR_TENSOR:
        /* The module keeps its copy under the argument's name: a tensor of the state. */
        memcpy(&t, at, sizeof t);
        return t ? json_pack("{s:s}", "tensor", s->name) : json_null();
    case TG_ATTR_NONE: break;
    }
    return json_null();
}

static json_t *describe_arguments(const tg_module *module)
{
    json_t *arguments = json_object();
    const char *attrs = tg_module_attrs(module);
    for (const tg_attr_spec *s = tg_module_class(module)->attrs; s && s->name; s++)
        if (json_object_set_new(arguments, s->name, describe_value(s, attrs + s->offset)) != 0) {
            json_decref(arguments);
            return NULL;
        }
    return arguments;
}

/* Takes `object` over when it fails. */
static json_t *no_memory(json_t *object, tg_status *status)
{
    json_decref(object);
    *status = tg_fail(NULL, TG_ENOMEM, "tg_module_save: out of memory for the architecture");
    return NULL;
}

json_t *tg_architecture_describe(const tg_module *module, tg_status *status)
{
    const tg_layer_class *cls = tg_module_class(module);
    if (tg_layer_find(tg_module_runtime(module), cls->name) != cls) {
        char place[256];
        *status = tg_fail(NULL, TG_EUNSUPPORTED,
                          "tg_module_save: %s: its class is not registered, so no file can name it",
                          tg_module_describe(module, place, sizeof place));
        return NULL;
    }
    size_t n = tg_module_n_children(module);
    json_t *out = json_object(), *children = NULL, *names = NULL;
    if (json_object_set_new(out, "class", json_string(cls->name)) != 0 ||
        json_object_set_new(out, "arguments", describe_arguments(module)) != 0 ||
        (cls->flags & TG_LAYER_CONTAINER && module->parameters.n &&
         json_object_set_new(out, "parameters", names = json_array()) != 0) ||
        (n && json_object_set_new(out, "children", children = json_array()) != 0))
        return no_memory(out, status);
    for (size_t i = 0; names && i < module->parameters.n; i++)
        if (!module->parameters.at[i].owned) {
            json_decref(out);
            *status = tg_layer_fail(module, NULL, TG_EUNSUPPORTED, "no file can hold its tied parameter %s",
                                    module->parameters.at[i].name);
            return NULL;
        } else if (json_array_append_new(names, json_string(module->parameters.at[i].name)) != 0)
            return no_memory(out, status);
    for (size_t i = 0; i < n; i++) {
        json_t *child = tg_architecture_describe(tg_module_child(module, i), status);
        if (!child) {
            json_decref(out);
            return NULL;
        }
        if (json_object_set_new(child, "name", json_string(tg_module_child_name(module, i))) != 0)
            return json_decref(child), no_memory(out, status);
        if (json_array_append_new(children, child) != 0)
            return no_memory(out, status);
    }
    return out;
}

/* -- JSON as a module ------------------------------------------------------------------------------------ */
typedef struct builder {
    tg_runtime *rt;
    const tg_safetensors *file;
    const char *file_path;
    char path[1024]; /* of the module under construction, with a dot at its end */
    tg_status status;
} builder;

static tg_status bad(builder *b, const char *what)
{
    return b->status = tg_fail(NULL, TG_EFORMAT, "%s: the architecture of module \"%s\": %s", b->file_path,
                               b->path, what);
}

/* Only an argument that is a tensor gets a copy of one: else a file could ask for any number of them. */
static bool takes_tensor(const builder *b, const char *cls, const char *argument)
{
    const tg_layer_class *found = tg_layer_find(b->rt, cls);
    for (const tg_attr_spec *s = found ? found->attrs : NULL; s && s->name; s++)
        if (strcmp(s->name, argument) == 0)
            return s->type == TG_ATTR_TENSOR;
    return false;
}

/* {"float": "inf"} and {"tensor": "weight"}. */
static tg_status take_object(builder *b, const char *cls, const json_t *value, tg_attr *out)
{
    const char *number = json_string_value(json_object_get(value, "float"));
    const char *tensor = json_string_value(json_object_get(value, "tensor"));
    if (number) {
        out->type = TG_ATTR_REAL;
        out->as.f = strcmp(number, "inf") == 0    ? (double)INFINITY
                    : strcmp(number, "-inf") == 0 ? -(double)INFINITY
                                                  : (double)NAN;
        return TG_OK;
    }
    if (!tensor)
        return bad(b, "an argument is an object of an unknown kind");
    if (!takes_tensor(b, cls, out->name))
        return bad(b, "a tensor is given for an argument that is none");
    char name[1280];
    snprintf(name, sizeof name, "%s%s", b->path, tensor);
    const tg_file_tensor *t = tg_safetensors_find(b->file, name);
    if (!t)
        return bad(b, "an argument names a tensor that the file does not have");
    out->type = TG_ATTR_TENSOR;
    out->as.t = NULL;
    b->status = tg_tensor_create(&out->as.t, b->rt, t->dtype, t->dim, (size_t)t->ndim);
    if (!b->status)
        b->status = tg_tensor_write(out->as.t, t->data, t->bytes);
    return b->status;
}

static tg_status take_list(builder *b, const json_t *list, tg_attr *out)
{
    size_t n = json_array_size(list), i;
    const json_t *value;
    bool integers = true;
    if (n > TG_MAX_DIM)
        return bad(b, "an argument is a list that is too long");
    json_array_foreach(list, i, value)
    {
        if (!json_is_number(value))
            return bad(b, "an argument is a list of something other than numbers");
        integers = integers && json_is_integer(value);
    }
    out->type = integers ? TG_ATTR_INTS : TG_ATTR_REALS;
    if (integers)
        out->as.ints = (tg_ints){.n = (int64_t)n};
    else
        out->as.reals = (tg_reals){.n = (int64_t)n};
    json_array_foreach(list, i, value)
    {
        if (integers)
            out->as.ints.v[i] = (int64_t)json_integer_value(value);
        else
            out->as.reals.v[i] = json_number_value(value);
    }
    return TG_OK;
}

static tg_status take_value(builder *b, const char *cls, const json_t *value, tg_attr *out)
{
    switch (json_typeof(value)) {
    case JSON_NULL: out->type = TG_ATTR_NONE; return TG_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        out->type = TG_ATTR_BOOL;
        out->as.b = json_is_true(value);
        return TG_OK;
    case JSON_INTEGER:
        out->type = TG_ATTR_INT;
        out->as.i = (int64_t)json_integer_value(value);
        return TG_OK;
    case JSON_REAL:
        out->type = TG_ATTR_REAL;
        out->as.f = json_real_value(value);
        return TG_OK;
    case JSON_STRING:
        out->type = TG_ATTR_CHOICE;
        out->as.s = json_string_value(value);
        return TG_OK;
    case JSON_ARRAY: return take_list(b, value, out);
    case JSON_OBJECT: return take_object(b, cls, value, out);
    }
    return bad(b, "an argument of an unknown kind");
}

static tg_module *create(builder *b, const char *name, json_t *arguments)
{
    const tg_allocator *a = tg_runtime_allocator(b->rt);
    size_t n = 0, size = json_object_size(arguments);
    tg_attr *attrs = tg_alloc_zero(a, (size + 1) * sizeof *attrs);
    tg_module *module = NULL;
    const char *key;
    json_t *value;
    if (!attrs) {
        b->status = TG_ENOMEM;
        return NULL;
    }
    json_object_foreach(arguments, key, value)
    {
        attrs[n].name = key;
        if (take_value(b, name, value, &attrs[n++]))
            break;
    }
    if (!b->status && !(module = tg_module_create(b->rt, name, attrs, n)))
        b->status = tg_layer_find(b->rt, name) ? TG_EFORMAT : TG_EUNKNOWN;
    for (size_t i = 0; i < n; i++)
        if (attrs[i].type == TG_ATTR_TENSOR)
            tg_tensor_destroy(attrs[i].as.t);
    tg_free(a, attrs);
    return module;
}

static tg_module *build(builder *b, json_t *description);

/* Is the child that the class made itself the one that the description has? */
static bool is_described(const tg_module *child, const json_t *description)
{
    const char *cls = json_string_value(json_object_get(description, "class"));
    json_t *arguments = describe_arguments(child);
    const bool same = !strcmp(child->cls->name, cls) && json_equal(arguments, json_object_get(description, "arguments"));
    json_decref(arguments);
    return same;
}

static int64_t elements_of(const tg_module *m)
{
    int64_t n = 0;
    for (size_t i = 0; i < m->parameters.n; i++)
        n += m->parameters.at[i].owned ? tg_tensor_count(m->parameters.at[i].tensor) : 0;
    for (size_t i = 0; i < m->buffers.n; i++)
        n += tg_tensor_count(m->buffers.at[i].tensor);
    for (size_t i = 0; i < m->n_children; i++)
        n += elements_of(m->children[i]);
    return n;
}

/* Adds the parameters of a container, of the dims that the file has. */
static tg_status attach_parameters(builder *b, tg_module *module, const json_t *names)
{
    char name[1280];
    for (size_t i = 0; i < json_array_size(names) && !b->status; i++) {
        const char *last = json_string_value(json_array_get(names, i));
        snprintf(name, sizeof name, "%s%s", b->path, last ? last : "");
        const tg_file_tensor *t = last ? tg_safetensors_find(b->file, name) : NULL;
        if (!t || !(module->cls->flags & TG_LAYER_CONTAINER))
            return bad(b, "a parameter that the file, or its class, does not have");
        b->status = tg_module_add_parameter(module, last, t->dim, (size_t)t->ndim, NULL);
    }
    return b->status;
}

/* Adds the children, or holds those that the class made itself against the description. */
static tg_status attach(builder *b, tg_module *module, const json_t *children)
{
    size_t n = json_array_size(children), own = tg_module_n_children(module), length = strlen(b->path);
    if (own > n)
        return bad(b, "its class has another number of children");
    for (size_t i = 0; i < n && !b->status; i++) {
        json_t *description = json_array_get(children, i);
        const char *name = json_string_value(json_object_get(description, "name"));
        const char *cls = json_string_value(json_object_get(description, "class"));
        if (!name || !cls)
            return bad(b, "a child without a name or a class");
        if ((size_t)snprintf(b->path + length, sizeof b->path - length, "%s.", name) >=
            sizeof b->path - length)
            return b->path[length] = '\0', bad(b, "the names of its children are too long");
        const bool added = i >= own;
        if (!added && strcmp(tg_module_child_name(module, i), name) != 0) {
            bad(b, "the class has another child in this place");
        } else if (added || (!module->cls->state_size && !is_described(tg_module_child(module, i), description))) {
            if (!added) /* what it goes in the place of goes */
                tg_parts_allow(tg_parts_allow(0) + elements_of(tg_module_child(module, i)));
            tg_module *child = build(b, description);
            if (child)
                b->status = (added ? tg_module_add_child : tg_module_replace_child)(module, name, child);
        } else if (strcmp(tg_module_class_name(tg_module_child(module, i)), cls) != 0) {
            bad(b, "the class has another child in this place");
        } else {
            attach(b, tg_module_child(module, i), json_object_get(description, "children"));
        }
        b->path[length] = '\0';
    }
    return b->status;
}

static tg_module *build(builder *b, json_t *description)
{
    const char *cls = json_string_value(json_object_get(description, "class"));
    json_t *arguments = json_object_get(description, "arguments"),
           *children = json_object_get(description, "children");
    if (!cls || (arguments && !json_is_object(arguments)) || (children && !json_is_array(children))) {
        bad(b, "class, arguments or children are not what they should be");
        return NULL;
    }
    tg_module *module = create(b, cls, arguments);
    if (module && (attach_parameters(b, module, json_object_get(description, "parameters")) ||
                   attach(b, module, children))) {
        tg_module_destroy(module);
        return NULL;
    }
    return module;
}

tg_module *tg_architecture_build(tg_runtime *rt, const json_t *description, const tg_safetensors *file,
                                 const char *path, tg_status *status)
{
    builder b = {.rt = rt, .file = file, .file_path = path};
    /* Each parameter and buffer must be in the file: together they have no more elements than it. */
    int64_t elements = 0;
    for (size_t i = 0; i < tg_safetensors_count(file); i++) {
        const tg_file_tensor *t = tg_safetensors_at(file, i);
        elements += (int64_t)(t->bytes / tg_dtype_size((int32_t)t->dtype));
    }
    int64_t before = tg_parts_allow(elements);
    /* jansson's getters take no const. */
    tg_module *module = build(&b, (json_t *)(uintptr_t)description);
    tg_parts_allow(before);
    *status = b.status;
    return module;
}
