/* A backend of one or two kernels, right or wrong in one way: PLUGIN names it, FLAW says how it is wrong.
 * "neg" on f32 stands for any operator, "add_" for one that writes in place. */
#include <tapegrad/backend_abi.h>

#define FINE 0
#define NULL_ENTRY 1
#define OTHER_MAJOR 2
#define NEWER_MINOR 3
#define SMALL_STRUCT 4
#define SMALL_STRIDE 5
#define NO_KERNELS 6
#define OTHER_NAME 7
#define SCORE_ZERO 8
#define OPEN_FAILS 9
#define PREPARE_FAILS 10
#define RUN_FAILS 11
#define REFUSES 12
#define DECLINES 13
#define NO_RUN 14
#define NO_MEMORY 15
#define SAVES 16
#define WRITES_AFTER 17
#define WRITES_BEFORE 18
#define SMALL_SCRATCH 19
#define CHANGES_INPUT 20
#define ALLOCATES 21
#define UNSTEADY 22
#define WRONG 23
#define HUGE_SCRATCH 24
#define CRASHES 25
#define LEAVES_GAPS 26
#define SMALL_SAVED 27
#define CANNOT 28       /* declines, its prepare says why */
#define MUTE 29         /* … and fails without a word     */
#define KEEPS 30        /* relu saves, its backward reads  */
#define WRITES_SAVED 31 /* … and writes                   */
#define FOREIGN 32      /* a backward without its forward */
#define IS_DECLINING (FLAW == DECLINES || FLAW == CANNOT || FLAW == MUTE)

#ifndef SCORE
#define SCORE 1
#endif

enum { SAVED_SIZE = 1 << 16 };

struct tg_backend_state {
    const tg_host *host;
};

static int score(const char **reason)
{
    *reason = FLAW == SCORE_ZERO ? "it wants a quantum processor" : "made for a test";
    return FLAW == SCORE_ZERO ? 0 : SCORE;
}

static tg_status plugin_open(const tg_host *host, tg_backend_state **out)
{
    if (FLAW == OPEN_FAILS) {
        host->error(host->arg, TG_EBACKEND, "the quantum processor is asleep");
        return TG_EBACKEND;
    }
    if (FLAW == NO_MEMORY)
        return TG_ENOMEM;
    *out = host->alloc(host->arg, sizeof **out, 64);
    if (!*out)
        return TG_ENOMEM;
    (*out)->host = host;
    return TG_OK;
}

static void plugin_close(tg_backend_state *s)
{
    s->host->free(s->host->arg, s);
}

static void facts(tg_backend_state *s, tg_backend_facts *out)
{
    out->library = "Test 1.2.3";
    out->kernels = "portable";
    out->threads = s->host->threads;
}

static int strcmp_(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a - *b;
}

static tg_accept accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    (void)s;
    if (c->in[0]->layout) /* it has none, so no host may show it any */
        __builtin_trap();
    *reason = FLAW == REFUSES ? "it is Monday" : IS_DECLINING ? "others are faster" : "only f32";
    if (FLAW == FOREIGN && !strcmp_(c->op, "relu"))
        return TG_REFUSE;
    if (FLAW == REFUSES || c->in[0]->dtype != TG_F32)
        return TG_REFUSE;
    return IS_DECLINING ? TG_DECLINE : TG_ACCEPT;
}

static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)c;
    if (FLAW == MUTE)
        return TG_EBACKEND;
    if (FLAW == PREPARE_FAILS || FLAW == CANNOT) {
        s->host->error(s->host->arg, TG_EBACKEND, "the mould is broken");
        return TG_EBACKEND;
    }
    p->saved_size = FLAW == SAVES || (FLAW >= KEEPS && !strcmp_(c->op, "relu")) ? SAVED_SIZE : FLAW == SMALL_SAVED ? 8 : 0;
    p->scratch_size = FLAW == SMALL_SCRATCH ? 16 : FLAW == HUGE_SCRATCH ? SIZE_MAX / 2 : 0;
#if TG_ABI_MINOR >= 1
    if (TG_ABI_HAS(p, reorders)) {
        p->implementation = "test: loops";
        p->reorders = 2;
    }
#endif
    p->impl = s->host->alloc(s->host->arg, 16, 16);
    return p->impl ? TG_OK : TG_ENOMEM;
}

static void release(tg_backend_state *s, tg_prepared *p)
{
    s->host->free(s->host->arg, p->impl);
}

static tg_status fail_in_run(tg_backend_state *s)
{
    s->host->error(s->host->arg, TG_EBACKEND, "a fuse has blown");
    return TG_EBACKEND;
}

static int64_t place(const tg_desc *d, int64_t at)
{
    int64_t where = 0;
    for (int i = d->ndim - 1; i >= 0; at /= d->dim[i--])
        where += at % d->dim[i] * d->stride[i];
    return where;
}

/* What only guard bytes, a second run or another backend shows. */
static void misbehave(tg_backend_state *s, const tg_run *r, int64_t n)
{
    static float runs;
    float *y = r->out[0];
    if (FLAW == WRITES_AFTER)
        y[n] = 1;
    if (FLAW == WRITES_BEFORE)
        y[-3] = 1;
    if (FLAW == SMALL_SCRATCH)
        ((char *)r->scratch)[16] = 1;
    if (FLAW == SMALL_SAVED && r->saved)
        ((char *)r->saved)[8] = 1;
    if (FLAW == CHANGES_INPUT && n)
        ((float *)(uintptr_t)r->in[0])[0] = 7;
    if (FLAW == ALLOCATES)
        s->host->free(s->host->arg, s->host->alloc(s->host->arg, 100, 16));
    if (FLAW == UNSTEADY && n)
        y[0] *= 1 + 1e-6f * runs++;
    if (FLAW == WRONG && n)
        y[n - 1] += 0.5f;
    if (FLAW == CRASHES)
        __builtin_trap();
}

static tg_status run_neg(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    if (FLAW == RUN_FAILS || (FLAW == SAVES && !r->saved))
        return fail_in_run(s);
    for (size_t i = 0; FLAW == SAVES && i < p->saved_size; i++)
        ((char *)r->saved)[i] = 1;
    int64_t n = 1;
    for (int i = 0; i < c->out->ndim; i++)
        n *= c->out->dim[i];
    for (int64_t i = 0; i < n - (FLAW == LEAVES_GAPS); i++)
        ((float *)r->out[0])[i] = -((const float *)r->in[0])[place(c->in[0], i)];
    misbehave(s, r, n);
    return TG_OK;
}

#if FLAW == RUN_FAILS || FLAW == WRONG
static tg_status run_in_place(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)p;
    if (FLAW == RUN_FAILS)
        return fail_in_run(s);
    if (c->in[0]->dtype == TG_F32 && r->in[0])
        *(float *)(uintptr_t)r->in[0] = 41;
    return TG_OK;
}
#endif

#if FLAW >= KEEPS
static tg_status run_relu(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    const bool back = c->n_in == 2;
    int64_t n = 1;
    for (int i = 0; i < c->out->ndim; i++)
        n *= c->out->dim[i];
    for (size_t i = 0; r->saved && i < p->saved_size; i++)
        ((char *)r->saved)[i] = 1;
    if (FLAW == FOREIGN && r->saved)
        return fail_in_run(s);
    for (size_t i = 0; back && r->saved && i < SAVED_SIZE; i++)
        if (((const char *)r->saved)[i] != 1)
            return fail_in_run(s);
    if (FLAW == WRITES_SAVED && back && r->saved)
        ((char *)r->saved)[3] = 2;
    for (int64_t i = 0; i < n; i++) {
        const float x = ((const float *)r->in[0])[place(c->in[0], i)];
        const float y = back ? ((const float *)r->in[1])[place(c->in[1], i)] : x;
        ((float *)r->out[0])[i] = y <= 0 ? 0 : x;
    }
    return TG_OK;
}
#endif

/* A later minor's kernel: longer than ours. */
typedef struct newer_kernel {
    tg_kernel kernel;
    void *later[3];
} newer_kernel;

#define COMMON .version = 1, .accept = accept, .prepare = prepare, .release = release
static const newer_kernel kernels[] = {
    {.kernel = {.struct_size = sizeof(newer_kernel), .op = "of a later version", COMMON, .run = run_neg}},
    {.kernel =
         {.struct_size = sizeof(newer_kernel), .op = "neg", COMMON, .run = FLAW == NO_RUN ? 0 : run_neg}},
#if FLAW >= KEEPS
    {.kernel = {.struct_size = sizeof(newer_kernel), .op = "relu", COMMON, .run = run_relu}},
    {.kernel = {.struct_size = sizeof(newer_kernel), .op = "relu_backward", COMMON, .run = run_relu}},
#endif
#if FLAW == RUN_FAILS || FLAW == WRONG
    {.kernel = {.struct_size = sizeof(newer_kernel), .op = "fill_", .version = 1, .run = run_in_place}},
#endif
};

typedef struct newer_backend {
    tg_backend backend;
    void *later[5];
} newer_backend;

static const newer_backend backend = {
    .backend =
        {
            .struct_size = FLAW == SMALL_STRUCT ? sizeof(tg_backend) - 16 : sizeof(newer_backend),
            .abi_major = FLAW == OTHER_MAJOR ? TG_ABI_MAJOR + 1 : TG_ABI_MAJOR,
            .abi_minor = FLAW == NEWER_MINOR ? TG_ABI_MINOR + 7 : FLAW == OTHER_MAJOR ? 0 : TG_ABI_MINOR,
            .n_kernels = FLAW == NO_KERNELS ? 0 : sizeof kernels / sizeof *kernels,
            .kernel_stride = FLAW == SMALL_STRIDE ? sizeof(tg_kernel) - 8 : sizeof(newer_kernel),
            .name = FLAW == OTHER_NAME ? "somebody_else" : PLUGIN,
            .kernels = &kernels[0].kernel,
            .score = score,
            .open = plugin_open,
            .close = plugin_close,
            .facts = facts,
        },
};

TG_API const tg_backend *tg_backend_entry(void);
const tg_backend *tg_backend_entry(void)
{
    return FLAW == NULL_ENTRY ? 0 : &backend.backend;
}
