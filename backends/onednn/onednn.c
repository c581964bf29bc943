/* The oneDNN backend: f32 only. It includes nothing of Tapegrad's but the plug-in ABI. */
#include "backends/onednn/plan.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

static const tg_dnnl_kernel *find(const char *op);

/* -- what it takes
 * ----------------------------------------------------------------------------------------------- */

bool tg_dnnl_is_dense(const tg_desc *d)
{
    int64_t step = 1;
    for (int i = d->ndim; i-- > 0; step *= d->dim[i])
        if (d->dim[i] > 1 && d->stride[i] != step)
            return false;
    return true;
}

bool tg_dnnl_all_dense(const tg_call *c)
{
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i] && !c->in[i]->layout && !tg_dnnl_is_dense(c->in[i]))
            return false;
    return true;
}

tg_accept tg_dnnl_can_dense(const tg_call *c, const char **reason)
{
    if (tg_dnnl_all_dense(c))
        return TG_ACCEPT;
    *reason = "not row-major: the reference is faster";
    return TG_DECLINE;
}

static bool is_empty(const tg_desc *d)
{
    for (int i = 0; i < d->ndim; i++)
        if (d->dim[i] == 0)
            return true;
    return false;
}

/* An output that a row leaves out, max_pool's indices for one, has the shape (0). */
static bool not_asked_for(const tg_desc *out)
{
    return out->ndim == 1 && out->dim[0] == 0;
}

static tg_accept check(const tg_desc *d, bool layouts, const char **reason)
{
    if (!d)
        return TG_ACCEPT;
    if (d->dtype != TG_F32) {
        *reason = "oneDNN has kernels for f32 only";
        return TG_REFUSE;
    }
    if (d->layout && !layouts) {
        *reason = "this backend reads strided tensors only";
        return TG_REFUSE;
    }
    if (is_empty(d)) {
        *reason = "nothing to compute: the reference does it";
        return TG_DECLINE;
    }
    return TG_ACCEPT;
}

/* May a plan be made? Not a question of speed. */
static tg_accept can(const tg_call *c, const tg_dnnl_kernel *k, const char **reason)
{
    tg_accept answer = TG_ACCEPT;
    for (uint32_t i = 0; answer == TG_ACCEPT && i < c->n_in; i++)
        answer = check(c->in[i], k->layouts, reason);
    for (uint32_t i = 0; answer == TG_ACCEPT && i < c->n_out; i++)
        answer = check(not_asked_for(&c->out[i]) ? NULL : &c->out[i], k->layouts, reason);
    return answer == TG_ACCEPT && k->can ? k->can(c, reason) : answer;
}

/* Whether oneDNN has code for it that was written to be fast. */
static tg_accept ask(tg_backend_state *s, const tg_call *c, const tg_dnnl_kernel *k, const char **reason)
{
    tg_dnnl_plan q = {0};
    tg_dnnl_maker m = {.s = s, .c = c, .q = &q, .dry = true};
    tg_dnnl_make(&m, k);
    if (!m.failed)
        return TG_ACCEPT;
    *reason = m.slow                           ? "oneDNN has only its plain implementation of it"
              : m.failed == dnnl_out_of_memory ? "oneDNN ran out of memory"
                                               : "oneDNN has no implementation of it";
    return m.slow ? TG_DECLINE : TG_REFUSE;
}

static tg_accept accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    const tg_dnnl_kernel *k = find(c->op);
    tg_accept answer = can(c, k, reason);
    if (answer == TG_ACCEPT && k->accept)
        answer = k->accept(c, reason);
    return answer == TG_ACCEPT ? ask(s, c, k, reason) : answer;
}

/* -- preparing and running
 * --------------------------------------------------------------------------------------- */

static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    const tg_dnnl_kernel *k = find(c->op);
    const char *reason = NULL;
    if (can(c, k, &reason) != TG_ACCEPT) { /* declined, and asked for all the same */
        s->host->error(s->host->arg, TG_EBACKEND, reason);
        return TG_EBACKEND;
    }
    tg_dnnl_plan *q = s->host->alloc(s->host->arg, sizeof *q, 64);
    if (!q) {
        s->host->error(s->host->arg, TG_ENOMEM, "no memory for the plan of a kernel");
        return TG_ENOMEM;
    }
    *q = (tg_dnnl_plan){0};
    tg_dnnl_maker m = {.s = s, .c = c, .q = q};
    tg_dnnl_make(&m, k);
    if (m.failed) {
        char text[80];
        tg_status status = m.failed == dnnl_out_of_memory ? TG_ENOMEM : TG_EBACKEND;
        snprintf(text, sizeof text, "oneDNN could not prepare it (its status is %d)", (int)m.failed);
        s->host->error(s->host->arg, status, text);
        tg_dnnl_plan_free(s, q);
        return status;
    }
    p->impl = q;
    p->scratch_size = m.scratch + m.scratchpad;
    p->saved_size = q->saved;
    if (TG_ABI_HAS(p, reorders)) {
        p->implementation = q->implementation[0] ? q->implementation : NULL;
        p->reorders = q->reorders;
    }
    if (TG_ABI_HAS(p, layout))
        p->layout = q->layout;
    return TG_OK;
}

static void release(tg_backend_state *s, tg_prepared *p)
{
    tg_dnnl_plan_free(s, p->impl);
    p->impl = NULL;
}

void *tg_dnnl_data(const tg_run *r, tg_dnnl_where where, size_t at)
{
    switch (where) {
    case TG_DNNL_IN: return (void *)(uintptr_t)r->in[at];
    case TG_DNNL_OUT: return r->out[at];
    case TG_DNNL_SAVED: return r->saved ? (char *)r->saved + sizeof(tg_dnnl_seal) : (char *)r->scratch + at;
    default: return (char *)r->scratch + at;
    }
}

static dnnl_status_t run_step(const tg_dnnl_plan *q, tg_dnnl_step *step, const tg_run *r)
{
    if (step->function) {
        step->function(q, r);
        return dnnl_success;
    }
    for (int i = 0; i < step->n; i++) {
        void *now = tg_dnnl_data(r, step->where[i], step->at[i]);
        if (now == step->last[i])
            continue;
        dnnl_status_t status = dnnl_memory_set_data_handle(step->arg[i].memory, now);
        if (status)
            return status;
        step->last[i] = now;
    }
    return dnnl_primitive_execute(step->primitive, q->stream, step->n, step->arg);
}

static bool skipped(const tg_dnnl_plan *q, const tg_dnnl_step *step, const tg_run *r)
{
    if (step->when == TG_DNNL_ALWAYS)
        return false;
    if (step->when >= TG_DNNL_WHEN_FINITE)
        return tg_dnnl_is_finite(q, r) != (step->when == TG_DNNL_WHEN_FINITE);
    const bool kept = r->saved && !memcmp(r->saved, &q->seal, sizeof q->seal);
    return kept != (step->when == TG_DNNL_WHEN_SAVED);
}

static tg_status run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)c;
    tg_dnnl_plan *q = p->impl;
    /* A primitive made for several threads waits for all of them, for ever where it gets but one. */
    if (q->threads > 1 && (omp_in_parallel() || omp_get_dynamic() || r->threads < q->threads)) {
        s->host->error(s->host->arg, TG_EBACKEND, "it was prepared for more threads than it may use now");
        return TG_EBACKEND;
    }
    int before = tg_dnnl_set_threads(q->threads);
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < q->n_steps && !status; i++)
        if (!skipped(q, &q->step[i], r))
            status = run_step(q, &q->step[i], r);
    tg_dnnl_restore_threads(before, q->threads);
    if (status) {
        s->host->error(s->host->arg, TG_EBACKEND, "oneDNN failed");
        return TG_EBACKEND;
    }
    return TG_OK;
}

/* -- the backend
 * ------------------------------------------------------------------------------------------------- */

static int score(const char **reason)
{
    *reason = "products, convolutions and what surrounds them by oneDNN, in f32";
    return 30;
}

static const char *isa(void)
{
    dnnl_cpu_isa_t now = dnnl_get_effective_cpu_isa();
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_avx, "avx"},
        {dnnl_cpu_isa_sse41, "sse41"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((now & names[i].isa) == names[i].isa)
            return names[i].name;
    return "generic";
}

static tg_status open_it(const tg_host *host, tg_backend_state **out)
{
    tg_backend_state *s = host->alloc(host->arg, sizeof *s, 64);
    if (!s) {
        host->error(host->arg, TG_ENOMEM, "no memory for its state");
        return TG_ENOMEM;
    }
    *s = (tg_backend_state){.host = host};
    dnnl_status_t status = dnnl_engine_create(&s->engine, dnnl_cpu, 0);
    if (status) {
        host->free(host->arg, s);
        host->error(host->arg, TG_EBACKEND, "oneDNN found no processor that it runs on");
        return status == dnnl_out_of_memory ? TG_ENOMEM : TG_EBACKEND;
    }
    if (mtx_init(&s->lock, mtx_plain) != thrd_success) {
        dnnl_engine_destroy(s->engine);
        host->free(host->arg, s);
        host->error(host->arg, TG_ENOMEM, "a mutex could not be made");
        return TG_ENOMEM;
    }
    const dnnl_version_t *v = dnnl_version();
    snprintf(s->library, sizeof s->library, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    *out = s;
    return TG_OK;
}

static void close_it(tg_backend_state *s)
{
    tg_dnnl_layouts_free(s);
    mtx_destroy(&s->lock);
    dnnl_engine_destroy(s->engine);
    s->host->free(s->host->arg, s);
}

static void facts(tg_backend_state *s, tg_backend_facts *out)
{
    out->library = s->library;
    out->kernels = isa();
    out->threads = s->host->threads;
}

#define KERNEL(name, ...)                                                                                    \
    {                                                                                                        \
        {.struct_size = sizeof(tg_kernel), .version = 1, .op = name, .accept = accept, .prepare = prepare,   \
         .run = run, .release = release},                                                                    \
            __VA_ARGS__                                                                                      \
    }
#define ATTENTION(name)                                                                                      \
    {                                                                                                        \
        .kernel = {.struct_size = sizeof(tg_kernel), .version = 1, .op = name,                               \
                   .accept = tg_dnnl_attention_accept, .prepare = tg_dnnl_attention_prepare,                 \
                   .run = tg_dnnl_attention_run}                                                             \
    }
static const tg_dnnl_kernel table[] = {
    ATTENTION("scaled_dot_product_attention"),
    ATTENTION("scaled_dot_product_attention_backward"),
    KERNEL("matmul", tg_dnnl_can_matmul, tg_dnnl_accept_matmul, tg_dnnl_build_matmul, false),
    KERNEL("linear", tg_dnnl_can_linear, tg_dnnl_accept_linear, tg_dnnl_build_linear, false),
    KERNEL("softmax", tg_dnnl_can_softmax, tg_dnnl_accept_softmax, tg_dnnl_build_softmax, false),
    KERNEL("softmax_backward", tg_dnnl_can_softmax, tg_dnnl_accept_softmax, tg_dnnl_build_softmax_backward, false),
    KERNEL("log_softmax", tg_dnnl_can_softmax, tg_dnnl_accept_log_softmax, tg_dnnl_build_log_softmax, false),
    KERNEL("log_softmax_backward", tg_dnnl_can_softmax, tg_dnnl_accept_log_softmax, tg_dnnl_build_log_softmax_backward,
     false),
    KERNEL("layer_norm", tg_dnnl_can_dense, tg_dnnl_accept_layer_norm, tg_dnnl_build_layer_norm, false),
    KERNEL("layer_norm_backward", tg_dnnl_can_layer_norm_backward, tg_dnnl_accept_layer_norm,
     tg_dnnl_build_layer_norm_backward, false),
    KERNEL("batch_norm_train", tg_dnnl_can_dense, tg_dnnl_accept_batch_norm, tg_dnnl_build_batch_norm_train, true),
    KERNEL("batch_norm_eval", tg_dnnl_can_dense, tg_dnnl_accept_batch_norm, tg_dnnl_build_batch_norm_eval, true),
    KERNEL("batch_norm_backward", tg_dnnl_can_batch_norm_backward, tg_dnnl_accept_batch_norm_backward,
     tg_dnnl_build_batch_norm_backward, true),
    KERNEL("batch_norm_relu_train", tg_dnnl_can_batch_norm_relu, tg_dnnl_accept_batch_norm,
     tg_dnnl_build_batch_norm_relu_train, true),
    KERNEL("batch_norm_relu_eval", tg_dnnl_can_batch_norm_relu, tg_dnnl_accept_batch_norm,
     tg_dnnl_build_batch_norm_relu_eval, true),
    KERNEL("batch_norm_relu_backward", tg_dnnl_can_batch_norm_relu_backward, tg_dnnl_accept_batch_norm_backward,
     tg_dnnl_build_batch_norm_relu_backward, true),
    KERNEL("convolution", tg_dnnl_can_convolution, NULL, tg_dnnl_build_convolution, true),
    KERNEL("convolution_affine", tg_dnnl_can_convolution_affine, NULL, tg_dnnl_build_convolution_affine, true),
    KERNEL("convolution_backward_data", tg_dnnl_can_convolution, tg_dnnl_accept_convolution_data,
     tg_dnnl_build_convolution_data, true),
    KERNEL("convolution_backward_weights", NULL, tg_dnnl_accept_convolution_weights, tg_dnnl_build_convolution_weights,
     true),
    KERNEL("sum", tg_dnnl_can_reduce, NULL, tg_dnnl_build_sum, true),
    KERNEL("mean", tg_dnnl_can_reduce, NULL, tg_dnnl_build_mean, true),
    KERNEL("gelu_backward", tg_dnnl_can_dense, tg_dnnl_accept_gelu_backward, tg_dnnl_build_gelu_backward, false),
    KERNEL("max_pool", tg_dnnl_can_pool, NULL, tg_dnnl_build_max_pool, true),
    KERNEL("max_pool_src_backward", tg_dnnl_can_pool, NULL, tg_dnnl_build_max_pool_backward, true),
    KERNEL("avg_pool", tg_dnnl_can_avg_pool, NULL, tg_dnnl_build_avg_pool, true),
    KERNEL("avg_pool_backward", tg_dnnl_can_pool, NULL, tg_dnnl_build_avg_pool_backward, true),
    KERNEL("contiguous", tg_dnnl_can_contiguous, NULL, tg_dnnl_build_contiguous, true),
    KERNEL("reorder", tg_dnnl_can_reorder, NULL, tg_dnnl_build_reorder, true),
};

static const tg_dnnl_kernel *find(const char *op)
{
    const tg_dnnl_kernel *k = table;
    while (strcmp(k->kernel.op, op) != 0)
        k++;
    return k;
}

static const tg_backend backend = {
    .struct_size = sizeof(tg_backend),
    .abi_major = TG_ABI_MAJOR,
    .abi_minor = TG_ABI_MINOR,
    .n_kernels = sizeof table / sizeof *table,
    .kernel_stride = sizeof *table,
    .name = "onednn",
    .kernels = &table[0].kernel,
    .score = score,
    .open = open_it,
    .close = close_it,
    .facts = facts,
};

TG_API const tg_backend *tg_backend_entry(void);
const tg_backend *tg_backend_entry(void)
{
    return &backend;
}
