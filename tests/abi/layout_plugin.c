#include "abi/layout_plugin.h"

#include <math.h>
#include <string.h>
#include <threads.h>

#include <tapegrad/op_attrs.h>

layout_toy toy;

enum { REVERSED, ROTATED };

typedef struct toy_layout {
    tg_layout layout;
    int order;
    tg_desc of;
    struct toy_layout *next;
} toy_layout;

struct tg_backend_state {
    const tg_host *host;
    const char *name;
    mtx_t lock;
    toy_layout *first;
};

/* What prepare leaves. */
typedef struct toy_call {
    const tg_layout *out[1];
    int runs;
} toy_call;

static bool is(const char *which, const tg_call *c)
{
    return which && (!strcmp(which, "*") || !strcmp(which, c->op));
}

/* -- layouts
 * -------------------------------------------------------------------------------------------------- */

static int64_t count(const tg_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    return n;
}

static bool same_dims(const tg_desc *a, const tg_desc *b)
{
    return a->ndim == b->ndim && !memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof a->dim[0]);
}

static const tg_layout *layout_of(tg_backend_state *s, const tg_desc *d, int order)
{
    static const char *const names[] = {"reversed", "rotated"};
    mtx_lock(&s->lock);
    toy_layout *l = s->first;
    while (l && !(l->order == order && same_dims(&l->of, d)))
        l = l->next;
    if (!l && (l = s->host->alloc(s->host->arg, sizeof *l, 64))) {
        *l = (toy_layout){
            .layout = {.struct_size = sizeof l->layout, .backend = s->name, .name = names[order]},
            .order = order,
            .of = *d,
            .next = s->first};
        if (toy.stranger)
            l->layout.backend = toy.stranger;
        s->first = l;
        toy.kept++;
    }
    mtx_unlock(&s->lock);
    return l ? &l->layout : NULL;
}

/* Where the element at row-major place i lies. */
static int64_t place(const tg_desc *d, const tg_layout *layout, int64_t i)
{
    const int64_t n = count(d);
    if (layout)
        return ((const toy_layout *)(const void *)layout)->order == REVERSED ? n - 1 - i : (i + 1) % n;
    int64_t at = 0;
    for (int k = d->ndim - 1; k >= 0; i /= d->dim[k--])
        at += i % d->dim[k] * d->stride[k];
    return at;
}

/* The first input's that has one. */
static const tg_layout *layout_in(const tg_call *c)
{
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i]->layout)
            return c->in[i]->layout;
    return NULL;
}

/* Whatever the host gives: of this backend, of these dims, with the strides of the row-major tensor. */
static void look(const tg_backend_state *s, const tg_call *c)
{
    for (uint32_t i = 0; i < c->n_in; i++) {
        const tg_desc *d = c->in[i];
        int64_t step = 1;
        if (!d->layout)
            continue;
        const toy_layout *l = (const toy_layout *)(const void *)d->layout;
        toy.wrong += strcmp(l->layout.backend, s->name) != 0 || !same_dims(&l->of, d);
        for (int k = d->ndim - 1; k >= 0; step *= d->dim[k--])
            toy.wrong += d->stride[k] != step;
    }
    for (uint32_t o = 0; o < c->n_out; o++)
        toy.wrong += c->out[o].layout != NULL;
}

/* -- kernels
 * --------------------------------------------------------------------------------------------------- */

static tg_accept accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    const tg_layout *layout = layout_in(c);
    look(s, c);
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i]->dtype != TG_F32) {
            *reason = "only f32";
            return TG_REFUSE;
        }
    if (!strcmp(c->op, "contiguous")) {
        *reason = "for its own layouts alone";
        if (layout && toy.flat_only && !strcmp(toy.flat_only, c->op))
            return TG_REFUSE;
        return layout ? TG_ACCEPT : TG_DECLINE;
    }
    if (toy.no_reorder && !strcmp(c->op, "reorder") && !strcmp(s->name, toy.no_reorder)) {
        *reason = "not today";
        return TG_REFUSE;
    }
    if (layout && strcmp(c->op, "reorder") != 0 && is(toy.flat_only, c)) {
        *reason = "it takes no layouts";
        return TG_REFUSE;
    }
    return TG_ACCEPT;
}

static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    const bool claims = is(toy.claims, c) && toy.claimer && !strcmp(toy.claimer, s->name);
    toy_call *t = p->impl = s->host->alloc(s->host->arg, sizeof *t, 16);
    if (!t)
        return TG_ENOMEM;
    *t = (toy_call){0};
    p->implementation = "loops";
    if (!strcmp(c->op, "contiguous")) {
        t->out[0] = claims ? layout_of(s, &c->out[0], ROTATED) : NULL;
        p->reorders = 1;
    } else if (!strcmp(c->op, "reorder")) {
        const tg_reorder_attrs *a = c->attrs;
        t->out[0] = layout_of(s, &c->out[0], a->layout == 1 ? ROTATED : REVERSED);
        p->reorders = 1;
    } else if (c->n_out) {
        t->out[0] = layout_in(c) || claims ? layout_of(s, &c->out[0], REVERSED) : NULL;
    }
    const bool wants = layout_in(c) || claims || !strcmp(c->op, "reorder");
    if (c->n_out && wants && strcmp(c->op, "contiguous") != 0 && !t->out[0]) {
        s->host->free(s->host->arg, t);
        p->impl = NULL;
        return TG_ENOMEM;
    }
    p->layout = t->out;
    return TG_OK;
}

static void release(tg_backend_state *s, tg_prepared *p)
{
    s->host->free(s->host->arg, p->impl);
}

static float from(const tg_call *c, const tg_run *r, uint32_t i, int64_t at)
{
    return ((const float *)r->in[i])[place(c->in[i], c->in[i]->layout, at)];
}

static void softmax(const tg_call *c, const tg_run *r, const tg_layout *layout)
{
    const tg_softmax_attrs *a = c->attrs;
    const tg_desc *d = c->in[0];
    const int dim = (int)a->dim + (a->dim < 0 ? d->ndim : 0);
    int64_t inner = 1, n = d->dim[dim];
    for (int k = dim + 1; k < d->ndim; k++)
        inner *= d->dim[k];
    for (int64_t i = 0; i < count(d); i++) {
        const int64_t first = i / (n * inner) * n * inner + i % inner;
        double most = (double)-INFINITY, sum = 0;
        for (int64_t k = 0; k < n; k++)
            most = fmax(most, (double)from(c, r, 0, first + k * inner));
        for (int64_t k = 0; k < n; k++)
            sum += exp((double)from(c, r, 0, first + k * inner) - most);
        ((float *)r->out[0])[place(&c->out[0], layout, i)] =
            (float)(exp((double)from(c, r, 0, i) - most) / sum);
    }
}

static void each(const tg_call *c, const tg_run *r, const tg_layout *layout)
{
    const bool in_place = !strcmp(c->op, "add_");
    const tg_desc *to = in_place ? c->in[0] : &c->out[0];
    const tg_layout *order = in_place ? c->in[0]->layout : layout;
    float *y = in_place ? (float *)(uintptr_t)r->in[0] : r->out[0];
    for (int64_t i = 0; i < count(to); i++) {
        const float a = from(c, r, 0, i), b = c->n_in > 1 ? from(c, r, 1, i) : 0;
        y[place(to, order, i)] = !strcmp(c->op, "neg")   ? -a
                                 : !strcmp(c->op, "mul") ? a * b
                                 : c->n_in > 1           ? a + b
                                                         : a;
    }
    if (is(toy.lying, c) && count(to))
        y[place(to, order, count(to) - 1)] += 0.5f;
}

static tg_status run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    toy_call *t = p->impl;
    look(s, c);
    if (is(toy.failing, c) && (!toy.failer || !strcmp(toy.failer, s->name)) && t->runs >= toy.good_runs) {
        s->host->error(s->host->arg, TG_EBACKEND, "a fuse has blown");
        return TG_EBACKEND;
    }
    t->runs++;
    toy.in_layout += layout_in(c) || t->out[0];
    if (!strcmp(c->op, "softmax"))
        softmax(c, r, t->out[0]);
    else
        each(c, r, t->out[0]);
    return TG_OK;
}

/* add_ of src broadcast to dst: the row does not spread it. */
static tg_accept accept_add_(tg_backend_state *s, const tg_call *c, const char **reason)
{
    *reason = "of one shape alone";
    return same_dims(c->in[0], c->in[1]) ? accept(s, c, reason) : TG_REFUSE;
}

#define KERNEL(name)                                                                                         \
    {                                                                                                        \
        .struct_size = sizeof(tg_kernel), .version = 1, .op = name, .accept = accept, .prepare = prepare,    \
        .run = run, .release = release                                                                       \
    }
static const tg_kernel kernels[] = {
    KERNEL("contiguous"),
    KERNEL("reorder"),
    KERNEL("neg"),
    KERNEL("mul"),
    KERNEL("add"),
    KERNEL("softmax"),
    {.struct_size = sizeof(tg_kernel),
     .version = 1,
     .op = "add_",
     .accept = accept_add_,
     .prepare = prepare,
     .run = run,
     .release = release},
};
static const tg_kernel trusting[] = {
    KERNEL("contiguous"),
    KERNEL("reorder"),
    {.struct_size = sizeof(tg_kernel),
     .version = 1,
     .op = "softmax",
     .prepare = prepare,
     .run = run,
     .release = release},
};

/* -- the backends
 * ------------------------------------------------------------------------------------------------ */

static int score(const char **reason)
{
    *reason = "made for a test";
    return 1;
}

static tg_status start(const tg_host *host, tg_backend_state **out, const char *name)
{
    tg_backend_state *s = *out = host->alloc(host->arg, sizeof *s, 64);
    if (!s)
        return TG_ENOMEM;
    *s = (tg_backend_state){.host = host, .name = name};
    mtx_init(&s->lock, mtx_plain);
    return TG_OK;
}

static tg_status start_toy(const tg_host *host, tg_backend_state **out)
{
    return start(host, out, "toy");
}

static tg_status start_toy2(const tg_host *host, tg_backend_state **out)
{
    return start(host, out, "toy2");
}

static tg_status start_oneway(const tg_host *host, tg_backend_state **out)
{
    return start(host, out, "oneway");
}

static tg_status start_blind(const tg_host *host, tg_backend_state **out)
{
    return start(host, out, "blind");
}

static void stop(tg_backend_state *s)
{
    while (s->first) {
        toy_layout *l = s->first;
        s->first = l->next;
        s->host->free(s->host->arg, l);
        toy.kept--;
    }
    mtx_destroy(&s->lock);
    s->host->free(s->host->arg, s);
}

#define TOY(name_, open_, first, n)                                                                          \
    {                                                                                                        \
        .struct_size = sizeof(tg_backend), .abi_major = TG_ABI_MAJOR, .abi_minor = TG_ABI_MINOR,             \
        .n_kernels = (n), .kernel_stride = sizeof(tg_kernel), .name = name_, .kernels = (first),             \
        .score = score, .open = open_, .close = stop                                                         \
    }
enum { ALL = sizeof kernels / sizeof *kernels };
const tg_backend layout_toys[4] = {
    TOY("toy", start_toy, kernels, ALL),
    TOY("toy2", start_toy2, kernels, ALL),
    TOY("oneway", start_oneway, kernels + 1, ALL - 1),
    TOY("blind", start_blind, trusting, 3),
};
