/* Which kernel: the first in the chain that accepts. The answer, with shapes inferred and the kernel
 * prepared, is cached under the operator, the inputs' descriptors, the attributes and the threads; a steady
 * step finds it by one probe. */
#include "autograd/internal.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { BUCKETS = 2048, MAX_ENTRIES = 4096 };

struct tg_cache {
    tg_entry *bucket[BUCKETS];
    tg_entry *newest, *oldest;
    size_t n;
    uint32_t step; /* counts resets: an entry's age is that of the step which used it last */
};

struct tg_cache *tg_cache_open(tg_tape *tape)
{
    return tg_alloc_zero(&tape->rt->allocator, sizeof(struct tg_cache));
}

static uint64_t key_hash(const tg_operator *op, tg_value *const in[], size_t n_in, const void *attrs,
                         int threads)
{
    uint64_t h = ((uint64_t)(uintptr_t)op >> 4) * 0x9e3779b97f4a7c15u + n_in + ((uint64_t)threads << 32);
    for (size_t i = 0; i < n_in; i++)
        h = (h ^ h >> 32 ^ (in[i] ? in[i]->hash : 0x5bd1e995u)) * 0x9e3779b97f4a7c15u;
    if (op->attrs_size)
        h = tg_hash_bytes(h, attrs, op->attrs_size);
    return h ^ h >> 31;
}

static bool key_equal(const tg_entry *e, const tg_operator *op, tg_value *const in[], size_t n_in,
                      const void *attrs, int threads)
{
    if (e->op != op || e->n_in != n_in || e->threads != threads)
        return false;
    if (op->attrs_size && memcmp(e->attrs, attrs, op->attrs_size))
        return false;
    for (size_t i = 0; i < n_in; i++) {
        if (!in[i] != !e->in[i])
            return false;
        if (in[i] && !tg_desc_equal(e->in[i], in[i]->desc))
            return false;
    }
    return true;
}

static void unlink_age(struct tg_cache *c, tg_entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct tg_cache *c, tg_entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void release_kernel(tg_entry *e)
{
    if (e->kernel && e->kernel->release && e->prepared.impl)
        e->kernel->release(e->backend->state, &e->prepared);
    e->prepared.impl = NULL;
    e->prepared.implementation = NULL;
    e->kernel = NULL;
}

static void entry_free(tg_tape *tape, tg_entry *e)
{
    release_kernel(e);
    tg_free(&tape->rt->allocator, e->said);
    tg_free(&tape->rt->allocator, e);
}

static tg_status check_registered(tg_tape *tape, const tg_operator *op)
{
    for (size_t i = 0; i < tape->rt->n_operators; i++)
        if (tape->rt->operators[i] == op)
            return TG_OK;
    return tg_fail(tape, TG_EINVAL, "%s: the row is not registered with the tape's runtime (tg_operator_register)",
                   op->name);
}

/* Everything of an entry is one block: the struct, then its arrays. */
static tg_entry *entry_new(tg_tape *tape, const tg_operator *op, tg_value *const in[], size_t n_in,
                           const void *attrs)
{
    size_t n_out = op->n_out, descs = 2 * (n_in + n_out);
    size_t size = sizeof(tg_entry) + descs * sizeof(tg_desc) + 2 * n_in * sizeof(tg_desc *) +
                  n_out * sizeof(tg_out_facts) + op->attrs_size;
    char *p = tg_alloc_zero(&tape->rt->allocator, size);
    if (!p) {
        tg_fail_again(tape, TG_ENOMEM);
        return NULL;
    }
    tg_entry *e = (tg_entry *)(void *)p;
    p += sizeof *e;
    e->op = op;
    e->n_in = (uint32_t)n_in;
    tg_desc *desc = (tg_desc *)(void *)p;
    p += descs * sizeof *desc;
    e->in = (const tg_desc **)(void *)p;
    e->kernel_in = e->in + n_in;
    p += 2 * n_in * sizeof *e->in;
    e->out = desc + 2 * n_in;
    e->kernel_out = e->out + n_out;
    e->facts = (tg_out_facts *)(void *)p;
    p += n_out * sizeof *e->facts;
    e->attrs = p;
    for (size_t i = 0; i < n_in; i++)
        if (in[i]) {
            desc[i] = desc[n_in + i] = *in[i]->desc;
            desc[n_in + i].layout = NULL;
            e->blocked |= desc[i].layout != NULL;
            e->in[i] = &desc[i];
            e->kernel_in[i] = &desc[n_in + i];
        }
    if (op->attrs_size && attrs)
        memcpy(e->attrs, attrs, op->attrs_size);
    return e;
}

/* Lists say themselves how long they are: infer must not read past their room. */
static tg_status check_lists(tg_tape *tape, const tg_entry *e)
{
    for (const tg_attr_spec *a = e->op->attrs; e->op->attrs_size && a && a->name; a++) {
        int64_t n;
        if (a->type != TG_ATTR_INTS && a->type != TG_ATTR_REALS)
            continue;
        memcpy(&n, (const char *)e->attrs + a->offset, sizeof n);
        if (n < 0 || n > TG_MAX_DIM)
            return tg_fail(tape, TG_ESHAPE, "%s: its attribute %s has %lld entries, expected 0 … %d", e->op->name,
                           a->name, (long long)n, TG_MAX_DIM);
    }
    return TG_OK;
}

static tg_status infer(tg_tape *tape, tg_entry *e)
{
    const tg_operator *op = e->op;
    tg_infer q = {.op = op,
                  .in = e->kernel_in,
                  .n_in = e->n_in,
                  .attrs = op->attrs_size ? e->attrs : NULL,
                  .out = e->out,
                  .offset = &e->offset};
    tg_status status = check_lists(tape, e);
    if (status)
        return status;
    const uint64_t before = tg_failures();
    status = tg_returned(tape, before, op->infer(&q), "infer of %s", op->name);
    if (status)
        return status;
    for (uint32_t o = 0; o < op->n_out; o++) {
        char text[192];
        if (!tg_desc_fits(&e->out[o]))
            return tg_fail(tape, TG_ESHAPE, "%s: its result %s would have more than 2^63 bytes", op->name,
                           tg_desc_format(&e->out[o], text, sizeof text));
        e->facts[o].bytes = (size_t)tg_desc_count(&e->out[o]) * tg_dtype_size(e->out[o].dtype);
    }
    tg_layouts_drop(e);
    tg_layouts_of_outputs(e);
    return TG_OK;
}

static const tg_kernel *find_kernel(const tg_backend *b, const tg_operator *op)
{
    for (uint32_t k = 0; k < b->n_kernels; k++) {
        const tg_kernel *kernel =
            (const tg_kernel *)(const void *)((const char *)b->kernels + (size_t)k * b->kernel_stride);
        if (kernel->version == op->version && !strcmp(kernel->op, op->name))
            return kernel;
    }
    /* A program's own row brings the reference's kernel with it. */
    return b == tg_reference_backend() ? op->kernel : NULL;
}

bool tg_chain_knows(const tg_runtime *rt, const char *op, const char *other)
{
    const tg_operator *first = tg_operator_find(rt, op), *second = tg_operator_find(rt, other);
    bool all = first && second;
    for (size_t i = 0; all && i < rt->n_chain; i++) {
        const tg_backend *b = rt->backends[i].backend;
        all = !find_kernel(b, first) || find_kernel(b, second);
    }
    return all;
}

/* What the chain's members said so far. */
typedef struct refusals {
    const char *reason;
    char said[256]; /* the reason, where it is a plug-in's own sentence */
    bool declined, no_memory, found; /* a kernel of its name */
} refusals;

static bool try_backend(tg_entry *e, tg_loaded *b, refusals *r)
{
    const tg_kernel *kernel = find_kernel(b->backend, e->op);
    const char *reason = "it has no kernel for it";
    r->found |= kernel != NULL;
    tg_accept accepted = TG_REFUSE;
    if (kernel) {
        reason = "its kernel refused";
        accepted = kernel->accept         ? kernel->accept(b->state, &e->call, &reason)
                   : tg_layouts_seen(e) ? TG_REFUSE
                                        : TG_ACCEPT;
    }
    if (accepted == TG_ACCEPT) {
        e->prepared = (tg_prepared){.struct_size = sizeof e->prepared};
        tg_backend_hush();
        tg_status status = kernel->prepare ? kernel->prepare(b->state, &e->call, &e->prepared) : TG_OK;
        if (status == TG_OK) {
            e->kernel = kernel;
            e->backend = b;
            if (tg_layouts_sound(e, b, find_kernel(b->backend, b->rt->rows.contiguous)))
                return true;
            release_kernel(e);
        }
        r->no_memory = status == TG_ENOMEM;
        reason = status ? "its kernel could not be prepared" : "it hands out a layout that could not come back";
        if (*tg_backend_said() && !r->reason) {
            snprintf(r->said, sizeof r->said, "%s", tg_backend_said());
            reason = r->said;
        }
    }
    r->declined |= accepted == TG_DECLINE;
    if (accepted != TG_DECLINE && !r->reason)
        r->reason = reason;
    return false;
}

/* Blocked inputs are made row-major where its kernel does not take them as they are. */
static bool try_forms(tg_entry *e, tg_loaded *b, refusals *r)
{
    refusals unsaid = {0};
    if (e->blocked && e->op == b->rt->rows.contiguous) /* others cannot read it */
        return tg_layouts_keep(e, b) && try_backend(e, b, r);
    if (e->blocked && ((tg_layouts_keep(e, b) && try_backend(e, b, &unsaid)) ||
                       (!unsaid.no_memory && tg_layouts_flat(e) && try_backend(e, b, &unsaid))))
        return true;
    r->no_memory |= unsaid.no_memory;
    if (e->blocked)
        tg_layouts_drop(e);
    return !r->no_memory && try_backend(e, b, r);
}

static tg_status no_kernel(tg_tape *tape, const tg_entry *e, const char *why, const char *reason)
{
    char shapes[512] = "";
    size_t n = 0;
    for (uint32_t i = 0; i < e->n_in && i < 6 && n < sizeof shapes - 160; i++) {
        char text[96];
        const tg_layout *l = e->in[i] ? e->in[i]->layout : NULL;
        n += (size_t)snprintf(shapes + n, sizeof shapes - n, "%s%s%s%.40s", i ? ", " : "",
                              e->in[i] ? tg_desc_format(e->in[i], text, sizeof text) : "-", l ? " in " : "",
                              l ? l->name : "");
    }
    return tg_fail(tape, TG_ENOKERNEL, "%s(%s): %s in the chain '%s': %s", e->op->name, shapes, why,
                   tape->rt->chain, reason ? reason : "none has a kernel");
}

/* The entry outlives the sentence that a plug-in left on this thread. */
static const char *lasting(tg_runtime *rt, tg_entry *e, const refusals *r)
{
    if (r->reason != r->said)
        return r->reason ? r->reason : "refused";
    tg_free(&rt->allocator, e->said);
    e->said = tg_strdup(&rt->allocator, r->said);
    return e->said ? e->said : "its kernel could not be prepared";
}

static tg_status choose(tg_tape *tape, tg_entry *e, size_t first, const char *reason)
{
    tg_runtime *rt = tape->rt;
    refusals r = {.reason = reason};
    for (size_t i = first; i < rt->n_chain; i++) {
        if (!try_forms(e, &rt->backends[i], &r)) {
            if (r.no_memory)
                return tg_fail(tape, TG_ENOMEM, "%s: no memory to prepare the kernel of backend '%s'",
                               e->op->name, rt->backends[i].name);
            continue;
        }
        e->chain_index = i;
        /* A program's own kernel is no fallback: there is no other. */
        bool implied = !rt->backends[i].explicit_in_chain && !r.declined && e->kernel != e->op->kernel;
        e->fallback = reason || implied ? lasting(rt, e, &r) : NULL;
        if (e->fallback && implied && rt->fallback_is_error) {
            release_kernel(e);
            return no_kernel(
                tape, e, "TAPEGRAD_FALLBACK=error, and only a reference that was not asked for can run it",
                r.reason);
        }
        tg_layouts_of_outputs(e);
        return TG_OK;
    }
    return no_kernel(tape, e, "no kernel",
                     r.found || reason ? r.reason : "give the row its own (.kernel), or the chain a backend with one");
}

static tg_status fill(tg_tape *tape, tg_entry *e)
{
    tg_status status = check_registered(tape, e->op);
    if (status == TG_OK)
        status = infer(tape, e);
    if (status || (e->op->flags & TG_OP_VIEW))
        return status;
    e->call = (tg_call){.struct_size = sizeof e->call,
                        .version = e->op->version,
                        .op = e->op->name,
                        .in = e->kernel_in,
                        .n_in = e->n_in,
                        .n_out = e->op->n_out,
                        .out = e->kernel_out,
                        .attrs = e->attrs,
                        .attrs_size = (uint32_t)e->op->attrs_size,
                        .threads = e->threads};
    return choose(tape, e, 0, NULL);
}

/* A new entry at the head of its bucket. */
static tg_entry *add_entry(tg_tape *tape, const tg_operator *op, tg_value *const in[], size_t n_in,
                           const void *attrs, int threads, uint64_t hash)
{
    struct tg_cache *c = tape->cache;
    if (threads > 1)
        tg_fork_watch();
    tg_entry *e = entry_new(tape, op, in, n_in, attrs);
    if (!e)
        return NULL;
    e->hash = hash;
    e->step = c->step;
    e->threads = threads;
    if (fill(tape, e)) {
        entry_free(tape, e);
        return NULL;
    }
    tg_entry **bucket = &c->bucket[hash % BUCKETS];
    e->next_in_bucket = *bucket;
    *bucket = e;
    link_newest(c, e);
    c->n++;
    return e;
}

tg_entry *tg_dispatch(tg_tape *tape, const tg_operator *op, tg_value *const in[], size_t n_in,
                      const void *attrs)
{
    struct tg_cache *c = tape->cache;
    int threads = tape->threads;
    if (threads > 1) {
        if (tg_forked()) {
            tg_fail(tape, TG_ESTATE,
                    "%s: this process was forked from one whose threads were at work, and has none of them: fork before "
                    "the first operator, exec afterwards, or go on with one thread (tg_tape_set_threads)", op->name);
            return NULL;
        }
        threads = omp_in_parallel() ? 1 : threads;
    }
    uint64_t hash = key_hash(op, in, n_in, attrs, threads);
    tg_entry *e = c->bucket[hash % BUCKETS];
    while (e && !(e->hash == hash && key_equal(e, op, in, n_in, attrs, threads)))
        e = e->next_in_bucket;
    if (!e)
        return add_entry(tape, op, in, n_in, attrs, threads, hash);
    if (e->step != c->step) {
        e->step = c->step;
        unlink_age(c, e);
        link_newest(c, e);
    }
    /* After a kernel failed when run, and no other might take over. */
    if (!e->kernel && !(op->flags & TG_OP_VIEW) && choose(tape, e, 0, NULL))
        return NULL;
    return e;
}

tg_status tg_dispatch_next(tg_tape *tape, tg_entry *e, tg_status failure)
{
    tg_loaded *b = e->backend;
    const char *said = *tg_backend_said() ? tg_backend_said() : tg_status_name(failure);
    bool alone = e->op->writes || (e->blocked && e->op == tape->rt->rows.contiguous);
    e->given |= e->calls != 0;
    for (uint32_t o = 0; o < e->op->n_out; o++)
        alone |= e->given && (e->out[o].layout || e->prepared.saved_size);
    if (alone || e->chain_index + 1 >= tape->rt->n_chain)
        return tg_fail(tape, TG_EBACKEND, "%s: the kernel of backend '%s' failed: %s", e->op->name, b->name,
                       said);
    tg_runtime_log(tape->rt, TG_LOG_WARNING, "%s: the kernel of backend '%s' failed: %s", e->op->name,
                   b->name, said);
    tg_report_add(tape->rt, e); /* the runs so far were this backend's */
    e->calls = e->seconds_ns = 0;
    release_kernel(e);
    /* The kernel that failed may have had its inputs brought to row-major. */
    e->blocked = false;
    tg_layouts_drop(e);
    return choose(tape, e, e->chain_index + 1,
                  "the kernel of an earlier backend in the chain failed when run");
}

static tg_status scratch(tg_tape *tape, size_t size)
{
    if (!size || (tape->scratch && tape->scratch->size >= size))
        return TG_OK;
    tg_storage *s = tg_pool_get(tape->pool, size);
    if (!s)
        return tg_fail_again(tape, TG_ENOMEM);
    tg_storage_recount(s, TG_MEMORY_SCRATCH);
    tg_pool_put(tape->pool, tape->scratch);
    tape->scratch = s;
    return TG_OK;
}

/* A kernel that saves writes to its own node's; one that does not may be part of a rule, and reads that
 * node's. */
static tg_status saved_of(tg_tape *tape, const tg_entry *e, tg_node *node, tg_storage **out)
{
    size_t size = e->prepared.saved_size;
    if (node && size && !(node->saved && node->saved->size >= size)) {
        tg_pool_put(tape->pool, node->saved);
        if (!(node->saved = tg_pool_get(tape->pool, size)))
            return tg_fail_again(tape, TG_ENOMEM);
        tg_storage_recount(node->saved, TG_MEMORY_SAVED);
    }
    if (node && !size) { /* of a kernel that failed */
        tg_pool_put(tape->pool, node->saved);
        node->saved = NULL;
    }
    const tg_node *of = tape->rule_of;
    const bool own = !size && of && of->entry && of->entry->backend == e->backend;
    *out = node && size ? node->saved : own ? of->saved : NULL;
    return TG_OK;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

tg_status tg_ready_entry(tg_tape *tape, const tg_entry *e)
{
    return scratch(tape, e->prepared.scratch_size);
}

tg_status tg_run_entry(tg_tape *tape, tg_entry *e, tg_value *const in[], tg_value *const out[],
                       const double *scalars, uint64_t draw, tg_node *node)
{
    const void *src_here[16];
    const void **src = src_here;
    void *dst[16];
    if (tape->planning) {
        tg_storage *saved;
        tg_status status = scratch(tape, e->prepared.scratch_size);
        return status ? status : saved_of(tape, e, node, &saved);
    }
    if (e->n_in > 16 && !(src = tg_arena_get(&tape->arena, e->n_in * sizeof *src)))
        return tg_fail_again(tape, TG_ENOMEM);
    const bool timed = tape->rt->timed;
    for (;;) {
        for (uint32_t i = 0; i < e->n_in; i++)
            src[i] = in[i] ? tg_value_data(in[i]) : NULL;
        for (uint32_t o = 0; o < e->op->n_out; o++)
            dst[o] = tg_value_data(out[o]);
        tg_storage *saved = NULL;
        tg_status status = scratch(tape, e->prepared.scratch_size);
        if (status == TG_OK)
            status = saved_of(tape, e, node, &saved);
        if (status)
            return status;
        tg_backend_hush();
        tg_run run = {.struct_size = sizeof run,
                      .threads = e->threads,
                      .in = src,
                      .out = dst,
                      .scratch = tape->scratch ? tape->scratch->data : NULL,
                      .saved = saved ? saved->data : NULL,
                      .scalars = scalars,
                      .n_in = e->n_in,
                      .n_out = e->op->n_out,
                      .draw = draw,
                      .seed = tape->rule_of ? tape->rule_of->seed : tape->next.seed};
        uint64_t start = timed ? now_ns() : 0;
        status = e->kernel->run(e->backend->state, &e->call, &e->prepared, &run);
        if (timed)
            e->seconds_ns += now_ns() - start;
        if (status == TG_OK) {
            e->calls++;
            return TG_OK;
        }
        status = tg_dispatch_next(tape, e, status);
        if (status == TG_OK)
            status = tg_layouts_enter(tape, e, in);
        if (status)
            return status;
        for (uint32_t o = 0; o < e->op->n_out; o++)
            tg_value_describe(out[o], &e->out[o], &e->facts[o]);
    }
}

static void remove_entry(tg_tape *tape, tg_entry *e)
{
    struct tg_cache *c = tape->cache;
    tg_report_add(tape->rt, e);
    unlink_age(c, e);
    tg_entry **p = &c->bucket[e->hash % BUCKETS];
    while (*p != e)
        p = &(*p)->next_in_bucket;
    *p = e->next_in_bucket;
    c->n--;
    entry_free(tape, e);
}

void tg_cache_trim(tg_tape *tape)
{
    tape->cache->step++;
    while (tape->cache->n > MAX_ENTRIES)
        remove_entry(tape, tape->cache->oldest);
}

void tg_cache_close(tg_tape *tape)
{
    if (!tape->cache)
        return;
    while (tape->cache->newest)
        remove_entry(tape, tape->cache->newest);
    tg_free(&tape->rt->allocator, tape->cache);
    tape->cache = NULL;
}

uint64_t tg_tape_count_runs(const tg_tape *tape, const char *op, const char *backend)
{
    uint64_t n = 0;
    for (const tg_entry *e = tape ? tape->cache->newest : NULL; e; e = e->older)
        if (e->kernel && (op ? !strcmp(e->op->name, op) : e->op != tape->rt->rows.nonfinite) &&
            (!backend || !strcmp(e->backend->name, backend)))
            n += e->calls;
    return n;
}
