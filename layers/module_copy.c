/* Deep copies: a module is made anew from its class and arguments, then brought to what the original has
 * become. */
#include <string.h>

#include <tapegrad/module_tools.h>

#include "layers/internal.h"

typedef struct copying {
    const tg_allocator *a;
    struct pair {
        tg_tensor *from, *to;
    } * pair; /* the original's own tensors, and the copy's */
    size_t n, capacity;
} copying;

static tg_tensor *copy_of(const copying *c, tg_tensor *from)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->pair[i].from == from)
            return c->pair[i].to;
    return from;
}

static tg_part *find_part(const tg_parts *parts, const char *name)
{
    for (size_t i = 0; i < parts->n; i++)
        if (strcmp(parts->at[i].name, name) == 0)
            return &parts->at[i];
    return NULL;
}

static tg_status differs(const tg_module *from, const char *what, const char *name)
{
    return tg_layer_fail(from, NULL, TG_EUNSUPPORTED, "made from its arguments again, it has another %s%s%s",
                         what, *name ? " " : "", name);
}

static tg_status copy_tensor(copying *c, const tg_module *from, const tg_part *p, const tg_part *q)
{
    tg_desc d, e;
    tg_status status = tg_tensor_desc(p->tensor, &d);
    if (!status)
        status = tg_tensor_desc(q->tensor, &e);
    if (!status && (d.dtype != e.dtype || !tg_desc_same_dims(&d, &e)))
        status = differs(from, d.dtype != e.dtype ? "dtype of" : "shape of", p->name);
    if (!status)
        status = tg_grow(c->a, &c->pair, &c->capacity, c->n + 1, sizeof *c->pair);
    if (status)
        return status;
    const size_t bytes = (size_t)tg_desc_count(&d) * tg_dtype_size(d.dtype);
    void *room = tg_alloc(c->a, bytes + 1);
    if (!room)
        return tg_fail_again(NULL, TG_ENOMEM);
    c->pair[c->n++] = (struct pair){p->tensor, q->tensor};
    status = tg_tensor_read(p->tensor, room, bytes);
    if (!status)
        status = tg_tensor_write(q->tensor, room, bytes);
    tg_free(c->a, room);
    if (!status && tg_tensor_requires_grad(q->tensor) != tg_tensor_requires_grad(p->tensor))
        status = tg_tensor_set_requires_grad(q->tensor, tg_tensor_requires_grad(p->tensor));
    return status;
}

/* One that was added after init. */
static tg_status add_part(copying *c, tg_module *to, const tg_part *p, bool parameter)
{
    tg_desc d;
    tg_status status = tg_tensor_desc(p->tensor, &d);
    if (status)
        return status;
    if (!p->owned)
        return tg_module_tie_parameter(to, p->name, copy_of(c, p->tensor));
    if (!parameter)
        return tg_module_add_buffer(to, p->name, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, NULL);
    const tg_dtype now = to->rt->dtype;
    to->rt->dtype = (tg_dtype)d.dtype;
    status = tg_module_add_parameter(to, p->name, d.dim, (size_t)d.ndim, NULL);
    to->rt->dtype = now;
    return status;
}

static tg_status copy_parts(copying *c, tg_module *to, const tg_module *from, bool parameters)
{
    const tg_parts *old = parameters ? &from->parameters : &from->buffers;
    tg_parts *new = parameters ? &to->parameters : &to->buffers;
    tg_status status = TG_OK;
    for (size_t i = 0; i < old->n && !status; i++) {
        const tg_part *p = &old->at[i];
        if (!find_part(new, p->name))
            status = add_part(c, to, p, parameters);
        tg_part *q = find_part(new, p->name);
        if (!status && (!q || q->owned != p->owned))
            status = differs(from, "owner of", p->name);
        if (!status && p->owned)
            status = copy_tensor(c, from, p, q);
        else if (!status)
            q->tensor = p->tensor; /* until tie_inside */
        if (!status)
            q->froze = p->froze;
    }
    return status ? status : new->n == old->n ? TG_OK : differs(from, "number of tensors", "");
}

static tg_module *make(copying *c, const tg_module *from);
static tg_status bring(copying *c, tg_module *to, const tg_module *from);

/* A child that init made; or what came into its place, by tg_module_replace_child. */
static tg_status bring_child(copying *c, tg_module *to, size_t i, const tg_module *old)
{
    const tg_module *made = to->children[i];
    if (strcmp(made->name, old->name))
        return differs(to, "child", old->name);
    if (to->cls->state_size ||
        (made->cls == old->cls && (!old->attrs || !memcmp(made->attrs, old->attrs, old->cls->attrs_size))))
        return bring(c, to->children[i], old);
    return tg_module_replace_child(to, old->name, make(c, old));
}

static tg_status bring(copying *c, tg_module *to, const tg_module *from)
{
    if (to->cls != from->cls)
        return differs(from, "class", "");
    tg_status status = copy_parts(c, to, from, true);
    if (!status)
        status = copy_parts(c, to, from, false);
    for (size_t i = 0; i < from->n_children && !status; i++) {
        const tg_module *old = from->children[i];
        if (i < to->n_children)
            status = bring_child(c, to, i, old);
        else
            status = tg_module_add_child(to, old->name, make(c, old));
    }
    to->mode = from->mode;
    to->frozen = from->frozen;
    return status                               ? status
           : to->n_children == from->n_children ? TG_OK
                                                : differs(from, "number of children", "");
}

/* What the runtime's dtype was when the module was made, as far as its tensors tell. */
static bool find_dtype(const tg_module *m, tg_dtype *out)
{
    const tg_parts *both[] = {&m->parameters, &m->buffers};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < both[k]->n; i++) {
            const tg_part *p = &both[k]->at[i];
            if (!p->owned || !tg_dtype_is_float(tg_tensor_dtype(p->tensor)))
                continue;
            *out = tg_tensor_dtype(p->tensor);
            return true;
        }
    for (size_t i = 0; i < m->n_children; i++)
        if (find_dtype(m->children[i], out))
            return true;
    return false;
}

static tg_module *make(copying *c, const tg_module *from)
{
    const tg_layer_class *cls = from->cls;
    char *attrs = cls->attrs_size ? tg_alloc(c->a, cls->attrs_size) : NULL;
    if (cls->attrs_size && !attrs) {
        tg_fail_again(NULL, TG_ENOMEM);
        return NULL;
    }
    if (attrs)
        memcpy(attrs, from->attrs, cls->attrs_size);
    for (const tg_attr_spec *s = attrs ? cls->attrs : NULL; s && s->name; s++) {
        tg_tensor *t;
        if (s->type != TG_ATTR_TENSOR)
            continue;
        memcpy(&t, attrs + s->offset, sizeof t);
        t = copy_of(c, t);
        memcpy(attrs + s->offset, &t, sizeof t);
    }
    const tg_dtype now = from->rt->dtype;
    find_dtype(from, &from->rt->dtype);
    tg_module *to = tg_module_new(from->rt, cls, attrs);
    from->rt->dtype = now;
    tg_free(c->a, attrs);
    if (!to || bring(c, to, from) == TG_OK)
        return to;
    tg_module_destroy(to);
    return NULL;
}

/* Ties into the original, made before the copy of what they are tied to was there. */
static void tie_inside(const copying *c, tg_module *m)
{
    m->version++;
    for (size_t i = 0; i < m->parameters.n; i++)
        if (!m->parameters.at[i].owned)
            m->parameters.at[i].tensor = copy_of(c, m->parameters.at[i].tensor);
    for (size_t i = 0; i < m->n_children; i++)
        tie_inside(c, m->children[i]);
}

tg_module *tg_module_copy(const tg_module *module)
{
    if (!module || !module->ready) {
        tg_fail(NULL, module ? TG_ESTATE : TG_EINVAL, "tg_module_copy: the module is %s",
                module ? "still being made" : "NULL");
        return NULL;
    }
    copying c = {.a = tg_runtime_allocator(module->rt)};
    const tg_random_state before = tg_runtime_random_state(module->rt);
    tg_module *copy = make(&c, module);
    tg_runtime_set_random_state(module->rt, before);
    if (copy)
        tie_inside(&c, copy);
    tg_free(c.a, c.pair);
    return copy;
}
