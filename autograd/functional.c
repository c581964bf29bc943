/* Jacobians, Hessians and products with them, made of sweeps. */
#include <tapegrad/functional.h>

#include "autograd/internal.h"

#include <string.h>

/* A call of this file: it records what it needs, and of that only the results stay. */
typedef struct bracket {
    tg_tape *tape;
    const char *what;
    tg_scope scope;
    bool recording;
    unsigned flags;
    tg_tensor **out;
    size_t n_out;
} bracket;

static tg_status enter(bracket *b, tg_tape *tape, const char *what, const void *y, const void *x,
                       tg_tensor *out[], size_t n_out, unsigned flags)
{
    *b = (bracket){.tape = tape, .what = what, .flags = flags, .out = out, .n_out = n_out};
    for (size_t i = 0; out && i < n_out; i++)
        out[i] = NULL;
    if (tape && tape->status)
        return tape->status;
    if (!tape || !y || !x || !out)
        return tg_null(tape, what, !tape ? "the tape" : !y ? "the value" : !x ? "an array of inputs" : "the results");
    if (tg_check_flags(tape, what, flags))
        return tape->status;
    tg_scope_enter(tape, &b->scope);
    b->recording = tg_tape_set_recording(tape, true);
    return TG_OK;
}

static tg_status leave(bracket *b, tg_status status)
{
    tg_tape *tape = b->tape;
    tg_tape_set_recording(tape, b->recording);
    if (status == TG_OK)
        status = tape->status;
    if (status) {
        tg_scope_undo(tape, &b->scope);
        for (size_t i = 0; i < b->n_out; i++)
            b->out[i] = NULL;
        return status;
    }
    if (!(b->flags & TG_CREATE_GRAPH))
        tg_nodes_forget(tape, &b->scope);
    tg_scope_leave(tape, &b->scope, b->out, b->n_out);
    return TG_OK;
}

static tg_tensor **handles(bracket *b, size_t n)
{
    tg_tensor **t = tg_arena_get(&b->tape->arena, (n + 1) * sizeof *t);
    if (t)
        memset(t, 0, (n + 1) * sizeof *t);
    else
        tg_fail_again(b->tape, TG_ENOMEM);
    return t;
}

/* What nothing depends on has the derivative zero. */
static tg_status fill_zeros(bracket *b, tg_tensor *const like[], size_t n, tg_tensor *out[])
{
    for (size_t i = 0; i < n; i++)
        if (!out[i] && !(out[i] = tg_zeros_like(b->tape, like[i])))
            return b->tape->status;
    return TG_OK;
}

/* out = Σ v·∂y/∂x over those y that depend on anything at all. */
static tg_status pull(bracket *b, tg_tensor *const y[], tg_tensor *const v[], size_t n_y, tg_tensor *const x[],
                      size_t n_x, tg_tensor *out[], unsigned flags)
{
    tg_tensor **some = handles(b, 2 * n_y), **with = some + n_y;
    size_t n = 0;
    if (!some)
        return b->tape->status;
    for (size_t k = 0; k < n_y; k++)
        if (y[k] && tg_tensor_requires_grad(y[k])) {
            some[n] = y[k];
            with[n++] = v[k];
        }
    tg_status status = n ? tg_grad_of(b->tape, b->what, some, with, n, x, n_x, out, flags | TG_ALLOW_UNUSED) : TG_OK;
    return status ? status : fill_zeros(b, x, n_x, out);
}

/* v[i] stands for x[i]: as many elements, in the same dims. */
static tg_status check_vectors(bracket *b, tg_tensor *const x[], tg_tensor *const v[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tg_value *a, *c;
        tg_status status = tg_check_tensor(b->tape, x[i], b->what, "an input to differentiate by", &a);
        if (!status)
            status = tg_check_tensor(b->tape, v[i], b->what, "a vector", &c);
        if (status)
            return status;
        char text[128], other[128];
        if (!tg_desc_same_dims(a->desc, c->desc) || a->desc->dtype != c->desc->dtype)
            return tg_fail(b->tape, TG_ESHAPE, "%s: vector %zu must be as its input, %s, but is %s", b->what, i,
                           tg_desc_format(a->desc, text, sizeof text), tg_desc_format(c->desc, other, sizeof other));
    }
    return TG_OK;
}

tg_status tg_vjp(tg_tape *tape, tg_tensor *const y[], tg_tensor *const v[], size_t n_y, tg_tensor *const x[],
                 size_t n_x, tg_tensor *out[], unsigned flags)
{
    bracket b;
    tg_status status = enter(&b, tape, "tg_vjp", y, x, out, n_x, flags);
    if (status)
        return status;
    status = tg_grad_of(tape, b.what, y, v, n_y, x, n_x, out, flags | TG_ALLOW_UNUSED);
    return leave(&b, status ? status : fill_zeros(&b, x, n_x, out));
}

static tg_status push(bracket *b, tg_tensor *const y[], size_t n_y, tg_tensor *const x[], tg_tensor *const v[],
                      size_t n_x, tg_tensor *out[])
{
    tg_tensor **u = handles(b, n_y + n_x), **g = u + n_y;
    tg_status status = u ? check_vectors(b, x, v, n_x) : b->tape->status;
    for (size_t k = 0; k < n_y && !status; k++) {
        u[k] = tg_zeros_like(b->tape, y[k]);
        status = u[k] ? tg_tensor_set_requires_grad(u[k], true) : b->tape->status;
    }
    if (!status)
        status = tg_grad_of(b->tape, b->what, y, u, n_y, x, n_x, g, TG_CREATE_GRAPH | TG_ALLOW_UNUSED);
    return status ? status : pull(b, g, v, n_x, u, n_y, out, b->flags);
}

tg_status tg_jvp(tg_tape *tape, tg_tensor *const y[], size_t n_y, tg_tensor *const x[], tg_tensor *const v[],
                 size_t n_x, tg_tensor *out[], unsigned flags)
{
    bracket b;
    tg_status status = enter(&b, tape, "tg_jvp", y, x && v ? x : NULL, out, n_y, flags);
    return status ? status : leave(&b, push(&b, y, n_y, x, v, n_x, out));
}

static tg_status hessian_product(bracket *b, tg_tensor *y, tg_tensor *const x[], tg_tensor *const v[], size_t n,
                                 tg_tensor *out[])
{
    tg_tensor **g = handles(b, n);
    tg_status status = g ? check_vectors(b, x, v, n) : b->tape->status;
    if (!status)
        status = tg_grad_of(b->tape, b->what, &y, NULL, 1, x, n, g, TG_CREATE_GRAPH | TG_ALLOW_UNUSED);
    return status ? status : pull(b, g, v, n, x, n, out, b->flags);
}

tg_status tg_hvp(tg_tape *tape, tg_tensor *y, tg_tensor *const x[], tg_tensor *const v[], size_t n_x,
                 tg_tensor *out[], unsigned flags)
{
    bracket b;
    tg_status status = enter(&b, tape, "tg_hvp", y, x && v ? x : NULL, out, n_x, flags);
    return status ? status : leave(&b, hessian_product(&b, y, x, v, n_x, out));
}

/* -- whole matrices -------------------------------------------------------------------------------------- */

/* The dims of y, then those of x. */
static tg_status joint_dims(bracket *b, const tg_desc *y, tg_tensor *x, tg_desc *joint)
{
    tg_value *v;
    tg_status status = tg_check_tensor(b->tape, x, b->what, "an input to differentiate by", &v);
    if (status)
        return status;
    if (y->ndim + v->desc->ndim > TG_MAX_DIM) {
        char text[128], other[128];
        return tg_fail(b->tape, TG_ESHAPE, "%s: %s by %s has more than %d dims", b->what,
                       tg_desc_format(y, text, sizeof text), tg_desc_format(v->desc, other, sizeof other), TG_MAX_DIM);
    }
    *joint = *y;
    for (int32_t d = 0; d < v->desc->ndim; d++)
        joint->dim[joint->ndim++] = v->desc->dim[d];
    return TG_OK;
}

/* The vector that is 1 at element k of y; `buffer` holds y's bytes, all 0. */
static tg_tensor *unit(bracket *b, const tg_desc *d, int64_t k, void *buffer)
{
    size_t size = tg_dtype_size(d->dtype);
    char *at = (char *)buffer + (size_t)k * size;
    if (d->dtype == TG_F32)
        memcpy(at, &(float){1}, size);
    else
        memcpy(at, &(double){1}, size);
    tg_tensor *t = tg_input(b->tape, (tg_dtype)d->dtype, d->dim, (size_t)d->ndim, buffer);
    memset(at, 0, size);
    return t;
}

/* One sweep from each element of y; the rows of x[i] stand from rows[i·n] on, NULL where y does not depend on it. */
static tg_status sweep_rows(bracket *b, tg_tensor *y, const tg_desc *d, tg_tensor *const x[], size_t n_x,
                            tg_tensor *rows[], unsigned flags)
{
    tg_tape *tape = b->tape;
    int64_t n = tg_desc_count(d);
    size_t bytes = (size_t)n * tg_dtype_size(d->dtype);
    tg_tensor **g = handles(b, n_x);
    void *buffer = tg_arena_get(&tape->arena, bytes + 1);
    if (!buffer || !g)
        return tg_fail_again(tape, TG_ENOMEM);
    memset(buffer, 0, bytes);
    for (int64_t k = 0; k < n; k++) {
        tg_tensor *gy = unit(b, d, k, buffer);
        if (!gy)
            return tape->status;
        unsigned last = k + 1 == n ? flags : flags | TG_RETAIN;
        tg_status status = tg_grad_of(tape, b->what, &y, &gy, 1, x, n_x, g, last | TG_ALLOW_UNUSED);
        if (status)
            return status;
        for (size_t i = 0; i < n_x; i++)
            rows[i * (size_t)n + (size_t)k] = g[i];
    }
    return TG_OK;
}

static tg_tensor *join_rows(bracket *b, tg_tensor *rows[], size_t n, tg_tensor *x, const tg_desc *joint)
{
    bool any = false;
    for (size_t k = 0; k < n; k++)
        any |= rows[k] != NULL;
    if (!any)
        return tg_full(b->tape, (tg_dtype)joint->dtype, joint->dim, (size_t)joint->ndim, 0);
    if (fill_zeros(b, &x, 1, &rows[0]))
        return NULL;
    for (size_t k = 1; k < n; k++)
        if (fill_zeros(b, &x, 1, &rows[k]))
            return NULL;
    tg_tensor *all = n == 1 ? rows[0] : tg_stack_n(b->tape, rows, n, 0);
    return all ? tg_reshape_dims(b->tape, all, joint->dim, (size_t)joint->ndim) : NULL;
}

static tg_status jacobian(bracket *b, tg_tensor *y, tg_tensor *const x[], size_t n_x, tg_tensor *out[], unsigned flags)
{
    tg_tape *tape = b->tape;
    tg_value *v;
    tg_status status = tg_check_tensor(tape, y, b->what, "the value", &v);
    if (status)
        return status;
    const tg_desc d = *v->desc;
    size_t n = (size_t)tg_desc_count(&d);
    tg_desc joint;
    for (size_t i = 0; i < n_x && !status; i++)
        status = joint_dims(b, &d, x[i], &joint);
    tg_tensor **rows = status ? NULL : handles(b, n_x * n);
    if (rows && v->flags & TG_V_REQUIRES_GRAD)
        status = sweep_rows(b, y, &d, x, n_x, rows, flags);
    if (!rows || status)
        return status ? status : tape->status;
    for (size_t i = 0; i < n_x; i++) {
        joint_dims(b, &d, x[i], &joint);
        if (!(out[i] = join_rows(b, rows + i * n, n, x[i], &joint)))
            return tape->status;
    }
    return TG_OK;
}

tg_status tg_jacobian(tg_tape *tape, tg_tensor *y, tg_tensor *const x[], size_t n_x, tg_tensor *out[], unsigned flags)
{
    bracket b;
    tg_status status = enter(&b, tape, "tg_jacobian", y, x, out, n_x, flags);
    return status ? status : leave(&b, jacobian(&b, y, x, n_x, out, flags));
}

tg_status tg_hessian(tg_tape *tape, tg_tensor *y, tg_tensor *const x[], size_t n_x, tg_tensor *out[], unsigned flags)
{
    bracket b;
    tg_status status = enter(&b, tape, "tg_hessian", y, x, out, n_x * n_x, flags);
    if (status)
        return status;
    tg_tensor **g = handles(&b, n_x);
    status = g ? tg_grad_of(tape, b.what, &y, NULL, 1, x, n_x, g, TG_CREATE_GRAPH | TG_ALLOW_UNUSED) : tape->status;
    if (!status)
        status = fill_zeros(&b, x, n_x, g);
    for (size_t i = 0; i < n_x && !status; i++)
        status = jacobian(&b, g[i], x, n_x, out + i * n_x, i + 1 < n_x ? flags | TG_RETAIN : flags);
    return leave(&b, status);
}

tg_status tg_per_sample_grad(tg_tape *tape, tg_tensor *losses, tg_tensor *const x[], size_t n_x, tg_tensor *out[],
                             unsigned flags)
{
    bracket b;
    tg_status status = enter(&b, tape, "tg_per_sample_grad", losses, x, out, n_x, flags);
    if (status)
        return status;
    tg_value *v;
    char text[128];
    status = tg_check_tensor(tape, losses, b.what, "the losses", &v);
    if (!status && v->desc->ndim != 1)
        status = tg_fail(tape, TG_ESHAPE, "tg_per_sample_grad: losses are one number a sample, f32[N], not %s",
                         tg_desc_format(v->desc, text, sizeof text));
    return leave(&b, status ? status : jacobian(&b, losses, x, n_x, out, flags));
}
