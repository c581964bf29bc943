/* A whole backend: relu and add of f32. It includes the plug-in ABI, links to nothing of Tapegrad's and exports one
 * function, at the end. docs/backends.md goes through it. */
#include <tapegrad/backend_abi.h>

#include <string.h>

/* One runtime's use of this backend. */
struct tg_backend_state {
    const tg_host *host;
};

static tg_status fail(const tg_backend_state *s, tg_status status, const char *sentence)
{
    s->host->error(s->host->arg, status, sentence);
    return status;
}

/* -- what a call is: chosen once, in prepare ----------------------------------------------------------------- */

typedef struct plan {
    int64_t n;    /* elements of the result */
    int64_t flat; /* every input is row-major, too: one loop over n */
} plan;

static int64_t count(const tg_desc *d)
{
    int64_t n = 1;
    for (int32_t i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    return n;
}

static int is_row_major(const tg_desc *d)
{
    int64_t step = 1;
    for (int32_t i = d->ndim - 1; i >= 0; i--) {
        if (d->dim[i] != 1 && d->stride[i] != step)
            return 0;
        step *= d->dim[i];
    }
    return 1;
}

/* Looks at descriptors only, changes nothing, and says why not. Strides of any kind are fine. */
static tg_accept accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    (void)s;
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i]->dtype != TG_F32 || c->in[i]->layout) {
            *reason = "only plain f32";
            return TG_REFUSE;
        }
    return TG_ACCEPT;
}

/* May allocate. What it leaves in *p comes back in each run, and in release. */
static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    plan *q = s->host->alloc(s->host->arg, sizeof *q, _Alignof(plan));
    if (!q)
        return fail(s, TG_ENOMEM, "no memory for a plan");
    *q = (plan){.n = count(c->out), .flat = 1};
    for (uint32_t i = 0; i < c->n_in; i++)
        q->flat = q->flat && is_row_major(c->in[i]);
    p->impl = q;
    return TG_OK;
}

static void release(tg_backend_state *s, tg_prepared *p)
{
    s->host->free(s->host->arg, p->impl);
}

/* Where the result's element `at` (row-major) lies in an input, which has the result's dims: a dim that was
 * broadcast has stride 0. */
static int64_t place(const tg_desc *d, int64_t at)
{
    int64_t where = 0;
    for (int32_t i = d->ndim - 1; i >= 0; i--) {
        where += at % d->dim[i] * d->stride[i];
        at /= d->dim[i];
    }
    return where;
}

/* -- the kernels: they allocate nothing ------------------------------------------------------------------------ */

static float rectify(float x)
{
    return x < 0.0f ? 0.0f : x; /* NaN stays NaN */
}

static tg_status run_relu(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    const plan *q = p->impl;
    const float *x = r->in[0];
    float *y = r->out[0];
    (void)s;
    if (q->flat)
        for (int64_t i = 0; i < q->n; i++)
            y[i] = rectify(x[i]);
    else
        for (int64_t i = 0; i < q->n; i++)
            y[i] = rectify(x[place(c->in[0], i)]);
    return TG_OK;
}

static tg_status run_add(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    const plan *q = p->impl;
    const float *a = r->in[0], *b = r->in[1];
    float *y = r->out[0];
    (void)s;
    if (q->flat)
        for (int64_t i = 0; i < q->n; i++)
            y[i] = a[i] + b[i];
    else
        for (int64_t i = 0; i < q->n; i++)
            y[i] = a[place(c->in[0], i)] + b[place(c->in[1], i)];
    return TG_OK;
}

static const tg_kernel kernels[] = {
    {.struct_size = sizeof(tg_kernel), .version = 1, .op = "relu",
     .accept = accept, .prepare = prepare, .run = run_relu, .release = release},
    {.struct_size = sizeof(tg_kernel), .version = 1, .op = "add",
     .accept = accept, .prepare = prepare, .run = run_add, .release = release},
};

/* -- the backend ------------------------------------------------------------------------------------------------ */

/* Above 1, it would run without being named. */
static int score(const char **reason)
{
    *reason = "an example: slower than the reference";
    return 1;
}

static tg_status start(const tg_host *host, tg_backend_state **out)
{
    tg_backend_state *s = host->alloc(host->arg, sizeof *s, _Alignof(tg_backend_state));
    if (!s)
        return TG_ENOMEM;
    memset(s, 0, sizeof *s);
    s->host = host;
    *out = s;
    return TG_OK;
}

static void stop(tg_backend_state *s)
{
    s->host->free(s->host->arg, s);
}

static void facts(tg_backend_state *s, tg_backend_facts *out)
{
    (void)s;
    out->library = "plain C";
    out->kernels = "loops";
    out->threads = 1;
}

static const tg_backend backend = {
    .struct_size = sizeof(tg_backend),
    .abi_major = TG_ABI_MAJOR,
    .abi_minor = TG_ABI_MINOR,
    .n_kernels = sizeof kernels / sizeof *kernels,
    .kernel_stride = sizeof *kernels,
    .name = "plain",
    .kernels = kernels,
    .score = score,
    .open = start,
    .close = stop,
    .facts = facts,
};

TG_API const tg_backend *tg_backend_entry(void);
const tg_backend *tg_backend_entry(void)
{
    return &backend;
}
