/* The rows by name. A row registers with its own proof or not at all. */
#include "autograd/internal.h"

#include <stdio.h>
#include <string.h>

/* Each sample must be a call that the row can take. */
static tg_status check_samples(const tg_operator *op)
{
    size_t n = 0;
    if (op->samples == tg_samples_elsewhere) /* built in: tests look at them */
        return TG_OK;
    const tg_sample *s = op->samples ? op->samples(&n) : NULL;
    if (!s || !n)
        return tg_fail(NULL, TG_EINVAL, "operator '%s' cannot register: it has no samples", op->name);
    for (size_t i = 0; i < n; i++) {
        tg_sample_inputs inputs;
        if (!s[i].label || tg_sample_read(&s[i], &inputs))
            return tg_fail(NULL, TG_EINVAL,
                           "operator '%s' cannot register: sample %zu needs a label, and at most %d inputs in the form of "
                           "operator.h",
                           op->name, i, TG_SAMPLE_IN);
        if (op->n_in != TG_OP_VARIADIC && inputs.n != op->n_in)
            return tg_fail(NULL, TG_EINVAL,
                           "operator '%s' cannot register: its sample '%s' has %u inputs, the row takes %u", op->name,
                           s[i].label, (unsigned)inputs.n, (unsigned)op->n_in);
        if ((op->attrs_size && !s[i].attrs) || (op->n_scalars && !s[i].scalars))
            return tg_fail(NULL, TG_EINVAL, "operator '%s' cannot register: its sample '%s' lacks the row's %s",
                           op->name, s[i].label, op->attrs_size && !s[i].attrs ? "attributes" : "scalars");
    }
    return TG_OK;
}

static tg_status check_row(const tg_runtime *rt, const tg_operator *op)
{
    if (!rt)
        return tg_null(NULL, "tg_operator_register", "the runtime");
    if (!op || !op->name || op->struct_size < sizeof(tg_operator))
        return tg_fail(NULL, TG_EINVAL, "tg_operator_register: a row needs a name and its struct_size");
    if (!op->infer)
        return tg_fail(NULL, TG_EINVAL, "operator '%s' cannot register: it has no infer", op->name);
    if (!op->vjp && !(op->flags & TG_OP_NONDIFF))
        return tg_fail(NULL, TG_EINVAL,
                       "operator '%s' cannot register: it has neither a rule nor TG_OP_NONDIFF", op->name);
    if (op->n_out > 16 || (op->n_in > 16 && op->n_in != TG_OP_VARIADIC))
        return tg_fail(NULL, TG_EINVAL,
                       "operator '%s' cannot register: %u inputs and %u outputs; a row has at most 16 of each", op->name,
                       (unsigned)op->n_in, (unsigned)op->n_out);
    if ((op->flags & TG_OP_DENSE) && (op->flags & TG_OP_BROADCAST))
        return tg_fail(NULL, TG_EINVAL,
                       "operator '%s' cannot register: TG_OP_DENSE with TG_OP_BROADCAST; what is spread has strides of "
                       "0 and is not dense",
                       op->name);
    tg_status status = check_samples(op);
    if (status)
        return status;
    if (op->kernel && op->kernel->struct_size < sizeof(tg_kernel))
        return tg_fail(NULL, TG_EINVAL, "operator '%s' cannot register: its kernel needs its struct_size", op->name);
    if (op->kernel && (!op->kernel->op || strcmp(op->kernel->op, op->name) || !op->kernel->run ||
                       op->kernel->version != op->version))
        return tg_fail(NULL, TG_EINVAL,
                       "operator '%s' cannot register: its kernel must have its name, its version and a run",
                       op->name);
    if ((op->flags & TG_OP_HOST_CHECK) && !op->check)
        return tg_fail(NULL, TG_EINVAL, "operator '%s' cannot register: TG_OP_HOST_CHECK without a check",
                       op->name);
    if (tg_operator_find(rt, op->name))
        return tg_fail(NULL, TG_EINVAL, "operator '%s' cannot register: the name is taken", op->name);
    if (rt->frozen)
        return tg_fail(NULL, TG_ESTATE, "operator '%s' cannot register: a tape is open already", op->name);
    return TG_OK;
}

tg_status tg_operator_register(tg_runtime *rt, const tg_operator *op)
{
    tg_status status = check_row(rt, op);
    if (status)
        return status;
    if (tg_grow(&rt->allocator, &rt->operators, &rt->operator_capacity, rt->n_operators + 1,
                sizeof *rt->operators))
        return TG_ENOMEM;
    rt->operators[rt->n_operators++] = op;
    return TG_OK;
}

const tg_operator *tg_operator_find(const tg_runtime *rt, const char *name)
{
    for (size_t i = 0; rt && name && i < rt->n_operators; i++)
        if (!strcmp(rt->operators[i]->name, name))
            return rt->operators[i];
    return NULL;
}

size_t tg_operator_list(const tg_runtime *rt, const tg_operator **out, size_t capacity)
{
    for (size_t i = 0; rt && out && i < rt->n_operators && i < capacity; i++)
        out[i] = rt->operators[i];
    return rt ? rt->n_operators : 0;
}

tg_status tg_infer_fail(const tg_infer *q, tg_status status, const char *format, ...)
{
    char text[600], shapes[300] = "";
    va_list args;
    va_start(args, format);
    tg_vformat(text, sizeof text, format, args);
    va_end(args);
    size_t n = 0;
    for (size_t i = 0; i < q->n_in && i < 6 && n < sizeof shapes - 1; i++) {
        char one[96];
        n += (size_t)snprintf(shapes + n, sizeof shapes - n, "%s%s", i ? ", " : "",
                              q->in[i] ? tg_desc_format(q->in[i], one, sizeof one) : "-");
    }
    const bool any = q->n_in > 0;
    return tg_fail(NULL, status, "%s%s%s%s: %s", q->op->name, any ? "(" : "", shapes, any ? ")" : "", text);
}

tg_status tg_infer_broadcast(const tg_infer *q, int32_t dtype, tg_desc *out)
{
    tg_desc d = {.dtype = dtype};
    for (size_t i = 0; i < q->n_in; i++)
        if (q->in[i] && q->in[i]->ndim > d.ndim)
            d.ndim = q->in[i]->ndim;
    for (int32_t k = 0; k < d.ndim; k++) {
        int64_t size = 1;
        for (size_t i = 0; i < q->n_in; i++) {
            int32_t own = q->in[i] ? k - (d.ndim - q->in[i]->ndim) : -1;
            int64_t n = own >= 0 ? q->in[i]->dim[own] : 1;
            if (n == 1 || n == size)
                continue;
            if (size != 1)
                return tg_infer_fail(q, TG_ESHAPE, "sizes %lld and %lld of dim %d do not broadcast",
                                     (long long)size, (long long)n, k);
            size = n;
        }
        d.dim[k] = size;
    }
    tg_desc_row_major(&d);
    *out = d; /* that it is not too large is dispatch's to check */
    return TG_OK;
}
