/* The backend under test, run between guard bytes: every buffer that its kernels get is a copy of the host's, as large
 * as was promised and not a byte larger, and what is around it must stay. Each call runs twice, on fresh copies. */
#include "tools/kit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 1024, MAX_IN = 256, MAX_OUT = 16, MAX_SAVED = 64 };

/* NaN as f32 and as f64, no index as i64. */
static const uint64_t PATTERN = 0xfff7a5c3fff7a5c3u;

struct tg_backend_state {
    tg_backend_state *real;
    tg_host host; /* what the real one sees */
    const tg_host *outer;
};

static struct {
    const tg_backend *real;
    tg_backend wrapped;
    const tg_runtime *rows;
    bool run_declined, in_run;
    char row[40], doing[80], said[200];
    guard_notes notes;
} kit;

static void wrong(const char *format, ...) TG_PRINTF(1, 2);
static void wrong(const char *format, ...)
{
    va_list args;
    if (kit.notes.wrong[0])
        return;
    va_start(args, format);
    vsnprintf(kit.notes.wrong, sizeof kit.notes.wrong, format, args);
    va_end(args);
}

static void doing(const char *what, const char *op)
{
    snprintf(kit.doing, sizeof kit.doing, "%s%s%s", what, op ? " of " : "", op ? op : "");
}

const char *guard_doing(void)
{
    return kit.doing;
}

/* -- blocks ------------------------------------------------------------------------------------------------------ */

typedef struct block {
    char *base, *data;
    size_t size, total;
} block;

/* Both are multiples of 8. */
static void fill_pattern(char *at, size_t n)
{
    for (size_t i = 0; i < n; i += sizeof PATTERN)
        memcpy(at + i, &PATTERN, sizeof PATTERN);
}

/* Filled with the pattern, and as far from 64-byte alignment as `like` is. */
static bool block_make(block *b, size_t size, const void *like)
{
    if (size > (size_t)1 << 40)
        return false;
    b->size = size;
    b->total = (size + 2 * GUARD + 64 + 63) / 64 * 64;
    b->base = aligned_alloc(64, b->total);
    if (!b->base)
        return false;
    b->data = b->base + GUARD + ((uintptr_t)like & 63);
    fill_pattern(b->base, b->total);
    return true;
}

/* How far from the block a byte was written; 0: none was. Before it the distance is negative. */
static ptrdiff_t block_hurt(const block *b)
{
    const char *end = b->data + b->size;
    for (const char *p = b->data; p-- > b->base;)
        if (*p != ((const char *)&PATTERN)[(uintptr_t)p % sizeof PATTERN])
            return p - b->data;
    for (const char *p = end; p < b->base + b->total; p++)
        if (*p != ((const char *)&PATTERN)[(uintptr_t)p % sizeof PATTERN])
            return p - end + 1;
    return 0;
}

static void check_block(const block *b, const char *op, const char *what, int number)
{
    ptrdiff_t far = b->base ? block_hurt(b) : 0;
    char which[40];
    snprintf(which, sizeof which, number < 0 ? "%s" : "%s %d", what, number);
    if (far)
        wrong("%s wrote outside: byte %td %s its %s of %zu bytes", op, far < 0 ? -far : far,
              far < 0 ? "before" : "after", which, b->size);
}

/* -- one guarded run ---------------------------------------------------------------------------------------------- */

/* `given`: what an earlier forward of the backend's left, which a backward reads. */
typedef struct shot {
    block given;
    block in[MAX_IN], out[MAX_OUT], scratch, saved;
    const void *src[MAX_IN];
    void *dst[MAX_OUT];
} shot;

static size_t extent(const tg_desc *d)
{
    int64_t last = 0;
    for (int32_t i = 0; i < d->ndim; i++) {
        if (d->dim[i] == 0)
            return 0;
        last += (d->dim[i] - 1) * d->stride[i];
    }
    return (size_t)(last + 1) * tg_dtype_size(d->dtype);
}

static bool writes(const tg_call *c, uint32_t i)
{
    const tg_operator *op = tg_operator_find(kit.rows, c->op);
    uint32_t at = op && op->period ? i % op->period : i;
    return op && at < 16 && (op->writes & TG_OP_IN(at));
}

/* -- what forwards left for their backwards ------------------------------------------------------------------------ */

typedef struct left {
    const void *at; /* in the host's memory */
    size_t size;
    char *copy;
} left;
static left lefts[MAX_SAVED];
static size_t n_lefts;

/* The latest at this place. */
static left *find_left(const void *at)
{
    for (size_t i = 0; i < MAX_SAVED; i++)
        if (at && lefts[i].at == at)
            return &lefts[i];
    return NULL;
}

static void leave(const void *at, const block *saved)
{
    left *l = find_left(at);
    if (!l)
        l = &lefts[n_lefts++ % MAX_SAVED];
    free(l->copy);
    *l = (left){.at = at, .size = saved->size, .copy = malloc(saved->size + 1)};
    if (l->copy)
        memcpy(l->copy, saved->data, saved->size);
    else
        l->at = NULL;
}

/* A backward's own copy, between guards. */
static bool take_left(shot *s, const char *op, const tg_prepared *p, const tg_run *r)
{
    const left *l = p->saved_size ? NULL : find_left(r->saved);
    if (!l)
        return true;
    if (memcmp(r->saved, l->copy, l->size) != 0)
        wrong("%s: its saved memory of %zu bytes changed since the forward", op, l->size);
    if (!block_make(&s->given, l->size, NULL))
        return false;
    memcpy(s->given.data, l->copy, l->size);
    return true;
}

static bool load(shot *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    for (uint32_t i = 0; i < c->n_in; i++)
        if (r->in[i]) {
            if (!block_make(&s->in[i], extent(c->in[i]), r->in[i]))
                return false;
            memcpy(s->in[i].data, r->in[i], s->in[i].size);
            s->src[i] = s->in[i].data;
        }
    for (uint32_t o = 0; o < c->n_out; o++) {
        if (!block_make(&s->out[o], extent(&c->out[o]), NULL))
            return false;
        s->dst[o] = s->out[o].data;
    }
    return block_make(&s->scratch, p->scratch_size, NULL) &&
           (!r->saved || !p->saved_size || block_make(&s->saved, p->saved_size, NULL)) && take_left(s, c->op, p, r);
}

static void unload(shot *s)
{
    for (size_t i = 0; i < MAX_IN; i++)
        free(s->in[i].base);
    for (size_t o = 0; o < MAX_OUT; o++)
        free(s->out[o].base);
    free(s->scratch.base);
    free(s->saved.base);
    free(s->given.base);
    free(s);
}

static void check(const shot *s, const tg_call *c, const tg_run *r)
{
    for (uint32_t i = 0; i < c->n_in; i++) {
        check_block(&s->in[i], c->op, "input", (int)i);
        if (r->in[i] && !writes(c, i) && memcmp(s->in[i].data, r->in[i], s->in[i].size) != 0)
            wrong("%s changed its input %u", c->op, i);
    }
    for (uint32_t o = 0; o < c->n_out; o++)
        check_block(&s->out[o], c->op, "output", (int)o);
    check_block(&s->scratch, c->op, "scratch", -1);
    check_block(&s->saved, c->op, "saved memory", -1);
    check_block(&s->given, c->op, "forward's saved memory", -1);
    const left *l = s->given.base ? find_left(r->saved) : NULL;
    if (l && memcmp(l->copy, s->given.data, l->size) != 0)
        wrong("%s changed its forward's saved memory, which a second backward may read", c->op);
}

static tg_status shoot(tg_backend_state *w, const tg_kernel *k, const tg_call *c, const tg_prepared *p,
                       const tg_run *r, shot *s, bool again)
{
    tg_run guarded = *r;
    guarded.in = s->src;
    guarded.out = s->dst;
    guarded.scratch = s->scratch.data;
    guarded.saved = s->saved.base ? s->saved.data : s->given.base ? s->given.data : r->saved;
    kit.said[0] = '\0';
    kit.in_run = true;
    doing("run", c->op);
    if (again)
        heap_start();
    tg_status status = k->run(w->real, c, p, &guarded);
    if (again)
        kit.notes.mallocs += heap_stop();
    kit.in_run = false;
    doing("", NULL);
    check(s, c, r);
    return status;
}

static bool differ(const block *a, const block *b)
{
    return a->base && b->base && memcmp(a->data, b->data, a->size) != 0;
}

static void compare(const shot *a, const shot *b, const tg_call *c)
{
    for (uint32_t o = 0; o < c->n_out; o++)
        if (differ(&a->out[o], &b->out[o]))
            wrong("%s gave other bits in a second run: output %u", c->op, o);
    for (uint32_t i = 0; i < c->n_in; i++)
        if (differ(&a->in[i], &b->in[i]))
            wrong("%s wrote other bits in a second run: input %u", c->op, i);
}

static void deliver(const shot *s, const tg_call *c, const tg_run *r)
{
    for (uint32_t o = 0; o < c->n_out; o++)
        memcpy(r->out[o], s->out[o].data, s->out[o].size);
    for (uint32_t i = 0; i < c->n_in; i++)
        if (r->in[i] && writes(c, i))
            memcpy((void *)(uintptr_t)r->in[i], s->in[i].data, s->in[i].size);
    if (s->saved.base) {
        memcpy(r->saved, s->saved.data, s->saved.size);
        leave(r->saved, &s->saved);
    }
}

/* -- the kernels ---------------------------------------------------------------------------------------------------- */

static const tg_kernel *real_kernel(const tg_call *c)
{
    for (uint32_t i = 0; i < kit.real->n_kernels; i++) {
        const tg_kernel *k =
            (const tg_kernel *)(const void *)((const char *)kit.real->kernels + (size_t)i * kit.real->kernel_stride);
        if (!strcmp(k->op, c->op) && k->version == c->version)
            return k;
    }
    return NULL;
}

/* What the host shows to no kernel without an accept, and this one has one. */
static bool sees_layouts(const tg_call *c)
{
    bool any = false;
    for (uint32_t i = 0; i < c->n_in; i++)
        any |= c->in[i] && c->in[i]->layout;
    return any;
}

static void note_declined(const tg_call *c, const char *reason)
{
    if (!strcmp(c->op, kit.row))
        snprintf(kit.notes.declined, sizeof kit.notes.declined, "%s", reason ? reason : "it gave no reason");
}

static tg_accept accept(tg_backend_state *w, const tg_call *c, const char **reason)
{
    const tg_kernel *k = real_kernel(c);
    doing("accept", c->op);
    tg_accept answer = k->accept ? k->accept(w->real, c, reason) : sees_layouts(c) ? TG_REFUSE : TG_ACCEPT;
    if (k->accept && k->accept(w->real, c, reason) != answer)
        wrong("%s: accept gave two answers to one call", c->op);
    doing("", NULL);
    if (answer == TG_DECLINE && kit.run_declined)
        answer = TG_ACCEPT;
    if (answer != TG_ACCEPT)
        note_declined(c, *reason);
    return answer;
}

/* What the host keeps in the plug-in's place: release is not told whose it is. */
typedef struct kept {
    const tg_kernel *kernel;
    tg_prepared prepared;
} kept;

static tg_status prepare(tg_backend_state *w, const tg_call *c, tg_prepared *p)
{
    kept *own = calloc(1, sizeof *own);
    if (!own)
        return TG_ENOMEM;
    own->kernel = real_kernel(c);
    own->prepared = *p;
    kit.said[0] = '\0';
    doing("prepare", c->op);
    tg_status status = own->kernel->prepare ? own->kernel->prepare(w->real, c, &own->prepared) : TG_OK;
    doing("", NULL);
    if (status == TG_OK && (own->prepared.scratch_size > (size_t)1 << 40 || own->prepared.saved_size > (size_t)1 << 40)) {
        wrong("%s: prepare asks for %zu bytes of scratch and %zu to save", c->op, own->prepared.scratch_size,
              own->prepared.saved_size);
        free(own);
        return TG_ENOMEM;
    }
    if (status) {
        const char *reason = NULL;
        /* What it declines it may not be able to do, and says so here. */
        const bool declined = kit.run_declined && status != TG_ENOMEM && kit.said[0] && own->kernel->accept &&
                              own->kernel->accept(w->real, c, &reason) == TG_DECLINE;
        if (declined)
            note_declined(c, reason);
        else
            wrong("%s: prepare failed: %s", c->op, kit.said[0] ? kit.said : tg_status_name(status));
        free(own);
        return status;
    }
    *p = own->prepared;
    p->impl = own;
    return TG_OK;
}

static void release(tg_backend_state *w, tg_prepared *p)
{
    kept *own = p->impl;
    doing("release", own->kernel->op);
    if (own->prepared.impl && own->kernel->release)
        own->kernel->release(w->real, &own->prepared);
    doing("", NULL);
    free(own);
}

static tg_status run(tg_backend_state *w, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    const kept *own = p->impl;
    const tg_kernel *k = own->kernel;
    shot *first = c->n_in <= MAX_IN && c->n_out <= MAX_OUT ? calloc(1, sizeof *first) : NULL, *second = NULL;
    tg_status status = first && load(first, c, &own->prepared, r) ? TG_OK : TG_ENOMEM;
    if (status == TG_OK) {
        status = shoot(w, k, c, &own->prepared, r, first, false);
        if (status)
            wrong("%s: run failed: %s", c->op, kit.said[0] ? kit.said : tg_status_name(status));
    }
    second = status == TG_OK ? calloc(1, sizeof *second) : NULL;
    if (second && load(second, c, &own->prepared, r)) {
        if (shoot(w, k, c, &own->prepared, r, second, true))
            wrong("%s: run failed the second time: %s", c->op, kit.said);
        compare(first, second, c);
    }
    if (status == TG_OK)
        deliver(first, c, r);
    if (status == TG_OK && !strcmp(c->op, kit.row))
        kit.notes.runs++;
    if (first)
        unload(first);
    if (second)
        unload(second);
    return status;
}

/* -- the backend ----------------------------------------------------------------------------------------------------- */

static void *host_alloc(void *arg, size_t size, size_t align)
{
    tg_backend_state *w = arg;
    if (kit.in_run)
        wrong("%s allocates: %zu bytes from the host", kit.doing, size);
    return w->outer->alloc(w->outer->arg, size, align);
}

static void host_free(void *arg, void *ptr)
{
    tg_backend_state *w = arg;
    w->outer->free(w->outer->arg, ptr);
}

static void host_log(void *arg, int level, const char *message)
{
    tg_backend_state *w = arg;
    w->outer->log(w->outer->arg, level, message);
}

static void host_error(void *arg, tg_status status, const char *message)
{
    tg_backend_state *w = arg;
    snprintf(kit.said, sizeof kit.said, "%s", message ? message : "");
    w->outer->error(w->outer->arg, status, message);
}

static int score(const char **reason)
{
    return kit.real->score(reason);
}

static tg_status start(const tg_host *host, tg_backend_state **out)
{
    tg_backend_state *w = calloc(1, sizeof *w);
    if (!w)
        return TG_ENOMEM;
    w->outer = host;
    w->host = *host;
    w->host.arg = w;
    w->host.alloc = host_alloc;
    w->host.free = host_free;
    w->host.log = host_log;
    w->host.error = host_error;
    doing("open", NULL);
    tg_status status = kit.real->open(&w->host, &w->real);
    doing("", NULL);
    if (status) {
        free(w);
        return status;
    }
    *out = w;
    return TG_OK;
}

static void stop(tg_backend_state *w)
{
    doing("close", NULL);
    if (kit.real->close)
        kit.real->close(w->real);
    doing("", NULL);
    free(w);
}

static void facts(tg_backend_state *w, tg_backend_facts *out)
{
    if (kit.real->facts)
        kit.real->facts(w->real, out);
}

const tg_backend *guard_wrap(const tg_backend *real, const char *name, const tg_runtime *rows)
{
    tg_kernel *kernels = calloc(real->n_kernels, sizeof *kernels);
    if (!kernels)
        return NULL;
    kit.real = real;
    kit.rows = rows;
    for (uint32_t i = 0; i < real->n_kernels; i++) {
        const tg_kernel *k =
            (const tg_kernel *)(const void *)((const char *)real->kernels + (size_t)i * real->kernel_stride);
        kernels[i] = (tg_kernel){.struct_size = sizeof(tg_kernel),
                                 .version = k->version,
                                 .op = k->op,
                                 .accept = accept,
                                 .prepare = prepare,
                                 .run = run,
                                 .release = release};
    }
    kit.wrapped = (tg_backend){.struct_size = sizeof kit.wrapped,
                               .abi_major = TG_ABI_MAJOR,
                               .abi_minor = TG_ABI_MINOR,
                               .n_kernels = real->n_kernels,
                               .kernel_stride = sizeof *kernels,
                               .name = name,
                               .kernels = kernels,
                               .score = score,
                               .open = start,
                               .close = stop,
                               .facts = facts};
    return &kit.wrapped;
}

void guard_run_declined(bool yes)
{
    kit.run_declined = yes;
}

void guard_forget(const char *row)
{
    snprintf(kit.row, sizeof kit.row, "%s", row);
    kit.notes = (guard_notes){0};
}

const guard_notes *guard_seen(void)
{
    return &kit.notes;
}
