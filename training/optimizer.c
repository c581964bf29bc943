#include "training/optimizer.h"

#include <math.h>
#include <string.h>

static const tg_optim_class *const classes[] = {&tg_optim_class_sgd, &tg_optim_class_adam,
                                                &tg_optim_class_adamw};
enum { N_CLASSES = sizeof classes / sizeof *classes };

/* -- the registry ---------------------------------------------------------------------------------------- */
static const tg_optim_class *find_class(const char *name)
{
    for (size_t i = 0; name && i < N_CLASSES; i++)
        if (strcmp(classes[i]->name, name) == 0)
            return classes[i];
    return NULL;
}

size_t tg_optim_list(const char **out, size_t capacity)
{
    for (size_t i = 0; i < N_CLASSES && i < capacity; i++)
        out[i] = classes[i]->name;
    return N_CLASSES;
}

const tg_attr_spec *tg_optim_attrs(const char *name)
{
    const tg_optim_class *cls = find_class(name);
    return cls ? cls->attrs : NULL;
}

tg_status tg_optim_at_least(const char *what, const char *argument, double value, double low)
{
    if (value >= low && !isinf(value))
        return TG_OK;
    return tg_fail(NULL, TG_EINVAL, "%s: %s is %g, expected a finite number of at least %g", what, argument,
                   value, low);
}

/* -- making and destroying ------------------------------------------------------------------------------- */
static tg_status check_parameter(const tg_optimizer *o, const tg_named_tensors *parameters, size_t i)
{
    const char *what = o->cls->name, *name = parameters->name ? parameters->name[i] : "?";
    tg_tensor *t = parameters->tensor[i];
    if (!t || !tg_tensor_is_alive(t))
        return tg_fail(NULL, TG_ESTALE, "%s: parameter %zu (%s) is NULL or was destroyed", what, i, name);
    if (tg_tensor_runtime(t) != o->rt)
        return tg_fail(NULL, TG_EINVAL, "%s: parameter %s belongs to another runtime", what, name);
    if (!tg_tensor_is_leaf(t))
        return tg_fail(NULL, TG_EINVAL, "%s: parameter %s is not a leaf, but the result of an operator", what,
                       name);
    if (!tg_dtype_is_float(tg_tensor_dtype(t)))
        return tg_fail(NULL, TG_EDTYPE, "%s: parameter %s is %s, expected f32 or f64", what, name,
                       tg_dtype_name(tg_tensor_dtype(t)));
    for (size_t k = 0; k < i; k++)
        if (parameters->tensor[k] == t)
            return tg_fail(NULL, TG_EINVAL, "%s: parameter %s is in the list twice", what, name);
    return TG_OK;
}

static tg_status make_room(tg_optimizer *o, size_t n)
{
    const tg_allocator *a = tg_runtime_allocator(o->rt);
    size_t period = 2 + o->row.n_state;
    o->parameter = tg_alloc_zero(a, n * sizeof *o->parameter);
    o->name = tg_alloc_zero(a, n * sizeof *o->name);
    o->state = tg_alloc_zero(a, (n * o->row.n_state + 1) * sizeof *o->state);
    o->steps = tg_alloc_zero(a, n * sizeof *o->steps);
    o->in = tg_alloc_zero(a, n * period * sizeof *o->in);
    o->scalars = tg_alloc_zero(a, (n * TG_OPTIM_SCALARS) * sizeof *o->scalars);
    o->active = tg_alloc_zero(a, n * sizeof *o->active);
    if (!o->parameter || !o->name || !o->state || !o->steps || !o->in || !o->scalars || !o->active)
        return TG_ENOMEM;
    o->n = n;
    return TG_OK;
}

static tg_status fill(tg_optimizer *o, const tg_named_tensors *parameters, const void *config)
{
    tg_status status = o->cls->check(config);
    if (status)
        return status;
    if (!parameters || parameters->n == 0)
        return tg_fail(NULL, TG_EINVAL, "%s: the list of parameters is empty", o->cls->name);
    o->group = &o->first;
    o->n_groups = 1;
    memcpy(o->first.config, config, o->cls->config_size);
    memcpy(&o->lr, config, sizeof o->lr);
    o->initial_lr = (double)NAN;
    o->cls->row(o->first.config, &o->row);
    o->op = tg_operator_find(o->rt, o->row.op);
    if (!o->op)
        return tg_fail(NULL, TG_EUNKNOWN, "%s: this runtime has no operator %s", o->cls->name, o->row.op);
    for (size_t i = 0; i < parameters->n; i++)
        if ((status = check_parameter(o, parameters, i)))
            return status;
    if ((status = make_room(o, parameters->n)))
        return status;
    for (size_t i = 0; i < o->n; i++) {
        o->parameter[i] = parameters->tensor[i];
        o->name[i] = tg_strdup(tg_runtime_allocator(o->rt),
                               parameters->name && parameters->name[i] ? parameters->name[i] : "?");
        if (!o->name[i])
            return TG_ENOMEM;
    }
    return TG_OK;
}

tg_optimizer *tg_optimizer_new(tg_runtime *rt, const tg_optim_class *cls, const tg_named_tensors *parameters,
                               const void *config)
{
    if (!rt) {
        tg_fail(NULL, TG_EINVAL, "%s: the runtime is NULL", cls->name);
        return NULL;
    }
    tg_optimizer *o = tg_alloc_zero(tg_runtime_allocator(rt), sizeof *o);
    if (!o) {
        tg_fail_again(NULL, TG_ENOMEM);
        return NULL;
    }
    o->rt = rt;
    o->cls = cls;
    if (fill(o, parameters, config) == TG_OK)
        return o;
    tg_optimizer_destroy(o);
    return NULL;
}

tg_optimizer *tg_optim_create(tg_runtime *rt, const char *name, const tg_named_tensors *parameters,
                              const tg_attr *attrs, size_t n)
{
    const tg_optim_class *cls = find_class(name);
    if (!cls) {
        tg_fail(NULL, TG_EUNKNOWN, "tg_optim_create: no optimizer is called %s; known are SGD, Adam, AdamW",
                name ? name : "NULL");
        return NULL;
    }
    _Alignas(16) unsigned char config[TG_OPTIM_CONFIG] = {0};
    if (tg_attrs_fill(cls->name, cls->attrs, config, cls->config_size, attrs, n))
        return NULL;
    return tg_optimizer_new(rt, cls, parameters, config);
}

void tg_optimizer_destroy(tg_optimizer *o)
{
    if (!o)
        return;
    const tg_allocator *a = tg_runtime_allocator(o->rt);
    for (size_t i = 0; i < o->n * o->row.n_state; i++)
        tg_tensor_destroy(o->state[i]);
    for (size_t i = 0; i < o->n; i++)
        tg_free(a, o->name[i]);
    tg_free(a, o->parameter);
    tg_free(a, o->name);
    tg_free(a, o->state);
    tg_free(a, o->steps);
    tg_free(a, o->in);
    tg_free(a, o->scalars);
    tg_free(a, o->active);
    tg_free(a, o);
}

/* -- a step ---------------------------------------------------------------------------------------------- */
/* State is made before anything changes; zeros, so that what a failed step leaves behind means nothing. */
static tg_status make_state(tg_optimizer *o, tg_tape *tape, size_t i)
{
    for (size_t k = 0; k < o->row.n_state; k++) {
        tg_tensor **state = &o->state[i * o->row.n_state + k];
        if (*state)
            continue;
        tg_desc d;
        tg_status status = tg_tensor_desc(o->parameter[i], &d);
        if (!status)
            status = tg_tensor_create(state, o->rt, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim);
        if (status)
            return tg_fail_again(tape, status);
    }
    return TG_OK;
}

/* Fills the arguments of the call; *active: how many parameters take part. */
static tg_status gather(tg_optimizer *o, tg_tape *tape, size_t *n_active)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < o->n; i++) {
        if (!tg_tensor_is_alive(o->parameter[i]))
            return tg_fail(tape, TG_ESTALE, "%s: parameter %s was destroyed before its optimizer",
                           o->cls->name, o->name[i]);
        tg_tensor *grad = tg_tensor_grad(o->parameter[i]);
        if (!grad)
            continue;
        tg_status status = make_state(o, tape, i);
        if (status)
            return status;
        o->in[at++] = o->parameter[i];
        o->in[at++] = grad;
        for (size_t k = 0; k < o->row.n_state; k++)
            o->in[at++] = o->state[i * o->row.n_state + k];
        o->cls->scalars(o->first.config, o->lr, o->steps[i] + 1, o->scalars + n * o->op->n_scalars);
        o->active[n++] = i;
    }
    *n_active = n;
    return TG_OK;
}

tg_status tg_optimizer_step(tg_optimizer *o, tg_tape *tape)
{
    if (!o || !tape)
        return tg_fail(tape, TG_EINVAL, "tg_optimizer_step: the %s is NULL", o ? "tape" : "optimizer");
    if (tg_tape_status(tape))
        return tg_tape_status(tape);
    if (tg_tape_runtime(tape) != o->rt)
        return tg_fail(tape, TG_EINVAL, "%s: the tape belongs to another runtime", o->cls->name);
    size_t n = 0;
    if (tape->planning)
        return TG_OK;
    tg_status status = gather(o, tape, &n);
    if (status || n == 0)
        return status;
    bool recording = tg_tape_set_recording(tape, false);
    status = tg_apply(tape, o->op, o->in, n * (2 + o->row.n_state), o->row.attrs, o->scalars, NULL);
    tg_tape_set_recording(tape, recording);
    if (status)
        return status;
    for (size_t k = 0; k < n; k++) {
        o->steps[o->active[k]]++;
        tg_tensor_zero_grad(o->parameter[o->active[k]]);
    }
    return TG_OK;
}

void tg_optimizer_zero_grad(tg_optimizer *o)
{
    for (size_t i = 0; o && i < o->n; i++)
        tg_tensor_zero_grad(o->parameter[i]);
}

double tg_optimizer_lr(const tg_optimizer *o)
{
    return o ? o->lr : (double)NAN;
}

tg_status tg_optimizer_set_lr(tg_optimizer *o, double lr)
{
    if (!o)
        return tg_fail(NULL, TG_EINVAL, "tg_optimizer_set_lr: the optimizer is NULL");
    tg_status status = tg_optim_at_least(o->cls->name, "lr", lr, 0);
    if (!status)
        o->lr = lr;
    return status;
}

double *tg_group_momentum(tg_optimizer *o, size_t group)
{
    if (group >= o->n_groups)
        return NULL;
    for (const tg_attr_spec *s = o->cls->attrs; s->name; s++) {
        unsigned char *at = o->group[group].config + s->offset;
        if (strcmp(s->name, "momentum") == 0)
            return (double *)(void *)at;
        if (strcmp(s->name, "betas") == 0)
            return ((tg_reals *)(void *)at)->v;
    }
    return NULL;
}

const char *tg_optimizer_name(const tg_optimizer *o)
{
    return o ? o->cls->name : "";
}
