/* What the rooms of the library share with each other and with nobody else. */
#ifndef TG_INTERNAL_H
#define TG_INTERNAL_H

#include <locale.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <threads.h>

#include <tapegrad/backend_abi.h>
#include <tapegrad/layer_class.h>
#include <tapegrad/memory.h>
#include <tapegrad/op_attrs.h>
#include <tapegrad/operator.h>
#include <tapegrad/ops.h>

/* -- status.c -------------------------------------------------------------------------------------------- */
/* The caller's line, as the location macros noted it for this thread. */
typedef struct tg_place {
    const char *file; /* NULL: unknown */
    int line;
} tg_place;
tg_place tg_here(void);
const char *tg_here_file(void);
int tg_here_line(void);
void tg_here_set(const char *file, int line);
tg_status tg_vfail(tg_tape *tape, tg_status status, const char *format, va_list args);
/* Numbers are read and written with a point, whatever the program's locale: between
 *     locale_t before = tg_plain_numbers(); … uselocale(before); */
locale_t tg_plain_numbers(void);
/* vsnprintf with plain numbers. */
int tg_vformat(char *buf, size_t size, const char *format, va_list args);
/* TG_EINVAL: "WHAT: ARGUMENT is NULL". */
tg_status tg_null(tg_tape *tape, const char *what, const char *argument);
/* Carries on with the thread's sentence as it is (a callee has already written it). */
tg_status tg_fail_again(tg_tape *tape, tg_status status);
/* How often tg_fail was called on this thread. */
uint64_t tg_failures(void);
/* After a function of the program's, before which tg_failures() was `before`: the tape's status, or what it returned.
 * An error of which it said nothing gets a sentence: "WHO returned TG_EINVAL". */
tg_status tg_returned(tg_tape *tape, uint64_t before, tg_status status, const char *format, ...) TG_PRINTF(4, 5);
/* Puts "what: " before the tape's sentence where that does not name it. */
void tg_fail_in(tg_tape *tape, const char *what);

/* -- memory.c: every allocation of the library ----------------------------------------------------------- */
/* 64-byte aligned; NULL sets the thread's sentence (TG_ENOMEM). */
void *tg_alloc(const tg_allocator *a, size_t size);
void *tg_alloc_zero(const tg_allocator *a, size_t size);
/* Grows an array to at least `want` elements (doubling); the old one stays valid on failure. */
tg_status tg_grow(const tg_allocator *a, void *array, size_t *capacity, size_t want, size_t element);
char *tg_strdup(const tg_allocator *a, const char *s);
void tg_free(const tg_allocator *a, void *ptr);
const tg_allocator *tg_runtime_allocator(const tg_runtime *rt);

/* -- storage.c, pool.c: bytes ---------------------------------------------------------------------------- */
typedef struct tg_pool tg_pool;
typedef struct tg_storage {
    void *data;
    size_t size;   /* capacity in bytes                                                        */
    tg_pool *pool; /* where it goes back to; NULL: to the allocator, or the caller's memory     */
    union {
        const tg_allocator *allocator; /* without a pool                                       */
        struct tg_slab *slab;          /* the pool's: NULL where it is a block of its own      */
    };
    const tg_device *device; /* NULL: host memory                                              */
    union {
        struct tg_storage *next; /* in the pool's free list                                    */
        const char *writer_file; /* the last writer's place                                    */
    };
    uint32_t version; /* bumped by each writer                                                 */
    atomic_uint refs;
    int32_t writer_line;
    uint8_t kind; /* a tg_memory_kind: what the pool counts it as                              */
} tg_storage;
_Static_assert(sizeof(tg_storage) == 64, "the data follow, aligned to 64 bytes");
tg_storage *tg_storage_new(const tg_allocator *a, size_t size);
tg_storage *tg_storage_wrap(const tg_allocator *a, void *data, size_t size);
void tg_storage_ref(tg_storage *s);
void tg_storage_unref(tg_storage *s); /* on any thread */
void tg_storage_written(tg_storage *s);

tg_pool *tg_pool_open(const tg_allocator *a);
void tg_pool_close(tg_pool *pool); /* storages still out are freed when they come back */
/* These three are for the thread of the pool's tape. */
tg_storage *tg_pool_get(tg_pool *pool, size_t size);
/* tg_storage_unref without a lock where it is the pool's. */
void tg_pool_put(tg_pool *pool, tg_storage *s);
/* What the pool's next storages are for; returns what they were for. */
unsigned tg_pool_kind(tg_pool *pool, unsigned kind);
/* Counts a storage under another kind. */
void tg_storage_recount(tg_storage *s, unsigned kind);
/* Its storages have no memory from here on: they are only counted. */
void tg_pool_plan(tg_pool *pool);
/* `again`: peaks start anew. `out` may be NULL. */
void tg_pool_memory(tg_pool *pool, bool again, tg_memory *out);

/* -- home.c: slots behind the handles -------------------------------------------------------------------- */
enum {
    TG_V_REQUIRES_GRAD = 1u,
    TG_V_LEAF = 2u,
    TG_V_DENSE = 4u,
    TG_V_HELD = 8u,      /* by the scope or the user                        */
    TG_V_RELEASED = 16u, /* its storage went back; the descriptor stays     */
    TG_V_PERSISTENT = 32u,
    TG_V_KEEP = 64u,     /* survives the scope that is ending               */
    TG_V_RECORDED = 128u, /* a node names it: the slot stays until the reset */
    TG_V_HOOKED = 256u,   /* hooks.c knows somebody who waits for its gradient */
    TG_V_OWNER = 512u,    /* desc[0] is its own, desc[1] its gradient's (row-major): freed with it */
    TG_V_BLOCKED = 1024u  /* in a backend's layout; its descriptor's strides are the row-major ones */
};
#define TG_NO_NODE UINT32_MAX
typedef struct tg_home tg_home;
typedef struct tg_value {
    uint32_t gen; /* 0: free */
    uint32_t flags;
    uint32_t refs; /* reasons to keep the storage: held, saved, a gradient under way */
    uint32_t node; /* creator on the tape, TG_NO_NODE for a leaf                     */
    uint32_t slot;
    uint32_t hash; /* of *desc */
    const tg_desc *desc;
    tg_storage *storage;
    int64_t offset; /* bytes */
    tg_home *home;
    tg_tensor *grad; /* a leaf's, NULL: absent */
} tg_value;
_Static_assert(sizeof(tg_value) == 64, "a value is one cache line");

struct tg_home {
    uint32_t id;
    _Atomic uint32_t n_slots; /* grows while other threads resolve handles */
    uint32_t n_fresh;         /* slots from here on have not been used since the rewind */
    tg_runtime *rt;
    tg_tape *tape; /* NULL: the runtime's own */
    const tg_allocator *allocator;
    tg_value *chunk[20]; /* chunk k holds 64<<k slots */
    uint32_t *free_slots;
    size_t n_free, free_capacity;
    uint32_t first_gen;
    mtx_t lock; /* the runtime's home only */
};
tg_status tg_home_open(tg_home *home, tg_runtime *rt, tg_tape *tape);
void tg_home_close(tg_home *home);
tg_value *tg_home_slot(tg_home *home, uint32_t slot);
tg_value *tg_home_new(tg_home *home);          /* NULL: no memory */
void tg_home_drop(tg_home *home, tg_value *v); /* invalidates the handle; the slot is reused */
/* When nothing is live: slots are given out from 0 again, so that equal steps take equal slots. */
void tg_home_rewind(tg_home *home);
/* The same for the runtime's home, which several threads use. */
tg_value *tg_home_new_locked(tg_home *home);
void tg_home_drop_locked(tg_home *home, tg_value *v);
extern _Atomic(tg_home *) tg_homes[4096];

static inline tg_tensor *tg_handle(const tg_value *v)
{
    return (tg_tensor *)(((uintptr_t)v->home->id << 52) | ((uintptr_t)(v->gen & 0xfffffffu) << 24) | v->slot);
}
static inline uint32_t tg_handle_slot(const tg_tensor *t)
{
    return (uint32_t)((uintptr_t)t & 0xffffffu);
}
/* NULL for a stale handle. */
static inline tg_value *tg_resolve(const tg_tensor *t)
{
    uintptr_t h = (uintptr_t)t;
    tg_home *home = atomic_load_explicit(&tg_homes[h >> 52], memory_order_acquire);
    uint32_t slot = tg_handle_slot(t);
    if (!home || slot >= atomic_load_explicit(&home->n_slots, memory_order_acquire))
        return NULL;
    uint32_t k = 31u - (uint32_t)__builtin_clz((slot >> 6) + 1u);
    tg_value *v = &home->chunk[k][slot - ((64u << k) - 64u)];
    return v->gen == (uint32_t)((h >> 24) & 0xfffffffu) && v->gen ? v : NULL;
}
static inline void *tg_value_data(const tg_value *v)
{
    return v->storage ? (char *)v->storage->data + v->offset : NULL;
}

/* plan_memory.c: the row's check, as if its data were zeros, for what it takes from the tape. */
tg_status tg_plan_check(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in, const void *attrs);
/* Of a tape that plans: without data. */
bool tg_value_planned(const tg_value *v);
/* One reason more to keep the storage. Persistent values, which several threads may read, count none: they
 * live until they are destroyed. */
static inline void tg_value_hold(tg_value *v)
{
    if (v->home->tape)
        v->refs++;
}

/* -- desc.c ---------------------------------------------------------------------------------------------- */
enum { TG_KIND_BOOL = 1, TG_KIND_INTEGER, TG_KIND_FLOAT };
/* 0 for what is no dtype. */
int tg_dtype_kind(int32_t dtype);
/* The higher of two dtypes as torch orders them; the other one where one of them is −1. */
int32_t tg_dtype_promote(int32_t a, int32_t b);
uint64_t tg_hash_bytes(uint64_t h, const void *bytes, size_t n);
uint32_t tg_desc_hash(const tg_desc *d);
static inline bool tg_desc_same_dims(const tg_desc *a, const tg_desc *b)
{
    bool same = a->ndim == b->ndim;
    for (int32_t i = 0; same && i < a->ndim; i++)
        same = a->dim[i] == b->dim[i];
    return same;
}
static inline bool tg_desc_equal(const tg_desc *a, const tg_desc *b)
{
    bool same = a->dtype == b->dtype && a->ndim == b->ndim && a->layout == b->layout;
    for (int32_t i = 0; same && i < a->ndim; i++)
        same = a->dim[i] == b->dim[i] && a->stride[i] == b->stride[i];
    return same;
}
/* Does broadcasting make `to`'s dims of `from`'s? */
bool tg_desc_spreads(const tg_desc *from, const tg_desc *to);
void tg_desc_row_major(tg_desc *d); /* strides from dims */
/* Fewer than 2^63 bytes? */
bool tg_desc_fits(const tg_desc *d);
/* Bytes from the lowest to past the highest element (strides ≥ 0). */
size_t tg_desc_extent(const tg_desc *d);

/* -- tape.c, apply.c, dispatch.c ------------------------------------------------------------------------- */
typedef struct tg_entry tg_entry; /* a prepared call: dispatch.c */
struct tg_node {
    const tg_operator *op;
    tg_entry *entry;
    tg_module *layer; /* a layer with a backward of its own: op is the layer's row */
    const void *attrs;
    const double *scalars;
    tg_storage *saved; /* the kernel's */
    const char *file;
    tg_tensor **out;
    uint32_t *version; /* of the inputs, then of the outputs, when recorded */
    bool *needs;       /* inputs whose gradient is wanted                   */
    uint64_t seed, draw;
    uint32_t index, n_in, n_out;
    int32_t line;
    uint32_t made_by; /* the node whose rule recorded it, TG_NO_NODE: none */
    uint8_t mode;
    bool released; /* a sweep has been through */
    tg_tensor *in[];
};

typedef struct tg_scope {
    size_t first_value, first_node, first_staged;
    tg_random_state next;
    tg_mode mode; /* of the caller */
    int step_depth;
} tg_scope;

typedef struct tg_staged {
    const tg_operator *op;
    tg_tensor *in[8];
    double scalars[4];
    uint32_t n_in;
} tg_staged;

typedef struct tg_arena_block tg_arena_block;
typedef struct tg_arena {
    const tg_allocator *allocator;
    tg_arena_block *first, *current;
    char *next, *end; /* what is left of the current block */
} tg_arena;
/* In a later block, or a new one. */
void *tg_arena_more(tg_arena *arena, size_t size);
/* Aligned to 16 bytes, not zeroed. */
static inline void *tg_arena_get(tg_arena *arena, size_t size)
{
    if (size >= (size_t)(arena->end - arena->next))
        return tg_arena_more(arena, size);
    void *p = arena->next;
    arena->next += (size + 15) & ~(size_t)15; /* blocks end on a multiple */
    return p;
}
void tg_arena_reset(tg_arena *arena);
void tg_arena_close(tg_arena *arena);

/* hooks.c: those of the tensors of one home. */
typedef struct tg_hook_entry {
    tg_tensor *tensor;
    tg_tensor *(*fn)(void *arg, tg_tape *tape, tg_tensor *grad);
    tg_status (*accumulated)(void *arg, tg_tape *tape, tg_tensor *leaf);
    void *arg;
    uint64_t id;
} tg_hook_entry;
typedef struct tg_hooks {
    tg_hook_entry *at;
    size_t n, capacity;
} tg_hooks;

/* carry.c: a value that outlives one reset. */
typedef struct tg_carried {
    tg_value *value; /* NULL: the entry is free */
    tg_desc *desc;   /* kept for the next */
    bool fresh;      /* the reset it is to outlive has not been yet */
} tg_carried;

struct tg_tape {
    tg_runtime *rt;
    tg_home home;
    tg_pool *pool;
    tg_arena arena; /* nodes and their arrays: until the reset  */
    tg_node **nodes;
    size_t n_nodes, node_capacity;
    tg_value **values; /* in order of creation since the reset     */
    size_t n_values, value_capacity;
    bool recording;
    tg_mode mode; /* of the module whose forward is running   */
    tg_status status;
    char error[1024];
    int forward_depth, step_depth, sweep_depth;
    size_t n_wanted; /* outputs that the module call under way was asked for; 0: outside of one */
    uint64_t n_errors, errors_at_step; /* a step in which anything failed does not commit */
    bool rolled_back;                  /* nor one with a rollback inside                   */
    size_t staged_at_step;
    tg_random_state next_at_step;
    tg_random_state committed, next; /* next: after the draws that are only staged */
    tg_staged *staged;
    size_t n_staged, staged_capacity;
    const tg_node *rule_of; /* the node whose rule runs                 */
    tg_observer observer;
    int threads;
    struct tg_cache *cache; /* dispatch.c                               */
    tg_storage *scratch;
    tg_tape *next_open; /* in the runtime's list                    */
    bool replaying;     /* statistics are not staged                */
    bool keeps_all;     /* also outputs that only a rule reads      */
    uint8_t watch;      /* watch.h; 0: nobody looks on              */
    uint8_t anomaly;    /* tg_anomaly                               */
    bool anomaly_warned;
    const tg_operator *suspect; /* in the rule that runs, the first that made a NaN or an infinity */
    struct tg_profile *profile; /* profile.c                                                      */
    struct tg_verify *verify;   /* verify.c                                                       */
    struct sweep *sweep;    /* the innermost under way                  */
    tg_hooks hooks;         /* of tensors of this tape                  */
    tg_carried *carried;
    size_t n_carried, carried_capacity;
    bool planning; /* storages have no memory, kernels do not run: plan_memory.c */
    bool plan_reads_zeros;
    struct tg_modes *modes; /* replay.c                                 */
};

/* carry.c: at a reset, or (`all`) at the end. */
void tg_carried_turn(tg_tape *tape, bool all);
void tg_carried_free(tg_tape *tape);
/* A tape that plans. NULL: no memory. */
tg_tape *tg_tape_plan_open(tg_runtime *rt);

/* A memory scope (scope.c): what is neither in keep[] nor saved goes back at leave. */
static inline void tg_scope_enter(const tg_tape *tape, tg_scope *scope)
{
    scope->first_value = tape->n_values;
    scope->first_node = tape->n_nodes;
    scope->first_staged = tape->n_staged;
    scope->next = tape->next;
    scope->mode = tape->mode;
    scope->step_depth = tape->step_depth;
}
void tg_scope_leave(tg_tape *tape, const tg_scope *scope, tg_tensor *const keep[], size_t n_keep);
/* Takes the tape back to where it was at enter. */
void tg_scope_undo(tg_tape *tape, const tg_scope *scope);
/* Gives back the slots of values made since `first` that nothing holds or names. */
void tg_values_compact(tg_tape *tape, size_t first);
/* Commits or drops what was staged (stage.c). */
tg_status tg_staged_commit(tg_tape *tape);
void tg_staged_drop(tg_tape *tape, size_t first, tg_random_state next);
/* Enter and leave of a tg_forward: the scope, the depth, the mode, commit or rollback. */
void tg_forward_enter(tg_tape *tape, tg_scope *scope, tg_mode mode);
tg_status tg_forward_leave(tg_tape *tape, tg_scope *scope, tg_status status, tg_tensor *const keep[],
                           size_t n_keep);

tg_value *tg_tape_new_value(tg_tape *tape, const tg_desc *desc, uint32_t hash); /* no storage yet; held */
void tg_value_release(tg_value *v);                                             /* one reason less */
tg_status tg_check_tensor(tg_tape *tape, const tg_tensor *t, const char *what, const char *argument,
                          tg_value **out);
/* The usual case, without a sentence being prepared; whatever it turns down, tg_check_tensor explains. */
static inline bool tg_usable(const tg_tape *tape, const tg_value *v)
{
    if (!v || (v->flags & TG_V_RELEASED) || !v->storage)
        return false;
    if (v->home == &tape->home)
        return (v->flags & TG_V_HELD) || v->refs || tape->rule_of;
    return !v->home->tape && v->home->rt == tape->rt;
}
/* Any handle that still has its data, on a tape or not; NULL sets the thread's sentence. */
tg_value *tg_alive(const tg_tensor *tensor, const char *what);
/* tg_desc_make whose sentences begin with the caller: "tg_input: ". */
tg_status tg_desc_make_for(const char *caller, tg_desc *out, tg_dtype dtype, const int64_t *dims, size_t ndim);

/* Another value of this tape over the same storage, without a history. NULL: no memory. */
tg_value *tg_value_alias(tg_tape *tape, tg_value *v);

/* Records one node for a layer with a backward of its own; `in` are its inputs, then its own parameters. */
tg_status tg_record_layer(tg_tape *tape, tg_module *module, tg_tensor *const in[], size_t n_in,
                          tg_tensor *const out[], size_t n_out, uint64_t draw);
/* A fresh node at the tape's end, its arrays allocated; not counted until tg_node_commit. NULL: no memory. */
tg_node *tg_node_new(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                     tg_tensor *const out[], size_t n_out, size_t n_scalars);

/* tg_grad of Σ y·gy over several y, in one sweep; `what` speaks in errors. */
tg_status tg_grad_of(tg_tape *tape, const char *what, tg_tensor *const y[], tg_tensor *const gy[], size_t n_y,
                     tg_tensor *const wrt[], size_t n, tg_tensor *out[], unsigned flags);

tg_status tg_check_flags(tg_tape *tape, const char *what, unsigned flags);
/* For rules: the row-major gradient of input i that other readers gave already, if this one may add to it in place and
 * then give none; else NULL. */
tg_tensor *tg_gradient_so_far(const tg_tape *tape, const tg_node *node, size_t i);

/* -- operators/batch_norm.c: tg_batch_norm_train and tg_batch_norm_eval, with relu after them in one row ----- */
tg_tensor *tg_batch_norm_train_then(tg_tape *tape, bool relu, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,
                                    double eps, tg_tensor **mean, tg_tensor **var);
tg_tensor *tg_batch_norm_eval_then(tg_tape *tape, bool relu, tg_tensor *x, tg_tensor *running_mean,
                                   tg_tensor *running_var, tg_tensor *weight, tg_tensor *bias, double eps);

/* -- operators/conv.c: a convolution of n spatial dims with what follows it in one row; `after` NULL: nothing ------- */
typedef struct tg_conv_after {
    tg_tensor *scale, *shift; /* NULL: 1, 0 */
    bool relu;
} tg_conv_after;
tg_tensor *tg_conv_then(tg_tape *tape, const char *what, size_t n, tg_tensor *x, tg_tensor *weight, tg_tensor *bias,
                        const int64_t *stride, const int64_t *padding, const int64_t *dilation, int64_t groups,
                        const tg_conv_after *after);

/* -- operators/recurrent.c: the row recurrence (op_attrs.h) of its seven inputs. Returns y; last: the last h and c ----- */
tg_tensor *tg_recurrence(tg_tape *tape, tg_recurrence_kind kind, bool reverse, tg_tensor *const in[7], tg_tensor *last[2]);

/* -- replay.c: what ran once runs again inside a rule ----------------------------------------------------- */
/* Fills out[0 … n_out) anew from what the node knows. */
typedef tg_status (*tg_rerun_fn)(tg_tape *tape, const tg_node *node, tg_tensor *out[]);
/* A rule for nodes that stand for many: runs them again, recorded, with the node's draws and modes, staging
 * nothing, and lets the sweep under way go on through what that recorded. */
tg_status tg_replay(tg_tape *tape, const tg_node *node, tg_rerun_fn rerun, tg_tensor *const gy[]);
/* Forgets the nodes from `scope`'s start on: what they made has no history any more. */
void tg_nodes_forget(tg_tape *tape, const tg_scope *scope);
/* The modes in which modules were called, in order, so that a replay calls them the same way. */
typedef struct tg_modes {
    struct tg_modes *outer;
    uint8_t *at; /* mode, frozen, mode, frozen … in the arena */
    size_t n, capacity, next;
    bool replay;
} tg_modes;
/* A module is about to be called in this mode: notes it, or puts what was noted in its place. */
tg_status tg_modes_call(tg_tape *tape, tg_mode *mode, unsigned *frozen);
/* The sweep under way goes on from y with gy through what was recorded since `first`, and ends at the node's
 * inputs: it adds to the gradients that they have so far. */
tg_status tg_sweep_through(tg_tape *tape, size_t first, const tg_node *node, tg_tensor *const y[],
                           tg_tensor *const gy[], size_t n);
tg_status tg_node_check_versions(tg_tape *tape, const tg_node *node);
void tg_node_commit(tg_tape *tape, tg_node *node);
/* The same where the values behind node->in and node->out are known. */
void tg_node_commit_values(tg_tape *tape, tg_node *node, tg_value *const in[], tg_value *const out[]);
/* Releases what the node saved; later sweeps see `released`. */
void tg_node_release(tg_tape *tape, tg_node *node);
static inline bool tg_node_saves(const tg_node *node, bool output, size_t i)
{
    if (node->layer)
        return true;
    if (!output && node->op->n_in == TG_OP_VARIADIC)
        i = 0;
    return i < 16 && (node->op->saves & (output ? TG_OP_OUT(i) : TG_OP_IN(i)));
}
extern const tg_operator tg_layer_row;

/* dispatch.c */
/* What dispatch knows of an output once its descriptor is inferred. */
typedef struct tg_out_facts {
    uint64_t hash;
    size_t bytes;
    uint32_t flags; /* TG_V_DENSE, TG_V_BLOCKED or neither */
} tg_out_facts;
static inline void tg_value_describe(tg_value *v, const tg_desc *desc, const tg_out_facts *facts)
{
    v->desc = desc;
    v->hash = (uint32_t)facts->hash;
    v->flags = (v->flags & ~(uint32_t)(TG_V_DENSE | TG_V_BLOCKED)) | facts->flags;
}

struct tg_entry {
    uint64_t hash;
    const tg_operator *op;
    const tg_desc **in; /* as the caller gave them: the key       */
    void *attrs;
    tg_entry *next_in_bucket;
    uint32_t n_in;
    int32_t threads;
    uint32_t step;           /* the last in which it was used */
    const tg_kernel *kernel; /* NULL for a view */
    struct tg_loaded *backend;
    tg_desc *out;
    tg_out_facts *facts; /* of each output */
    tg_prepared prepared;
    tg_call call;
    const tg_desc **kernel_in; /* broadcast applied, layouts if it takes them: what the kernel sees */
    tg_desc *kernel_out;
    bool blocked; /* an input of the key has a layout, and kernels may see it */
    bool flat;    /* the kernel sees all that has a layout as one row         */
    bool given;   /* values have its outputs' descriptors from earlier kernels */
    int64_t offset;
    uint64_t calls, seconds_ns;
    const char *fallback; /* why the chain's earlier ones did not take it; NULL: no fallback */
    char *said;           /* where that sentence is a plug-in's own, a copy                   */
    size_t chain_index;
    tg_entry *newer, *older;
};
/* Finds or makes the prepared call. NULL: tg_fail has been called. */
tg_entry *tg_dispatch(tg_tape *tape, const tg_operator *op, tg_value *const in[], size_t n_in,
                      const void *attrs);
/* apply.c. Calls of rows that write to their inputs and have no results, all or none of them: what can fail before a
 * kernel runs (checks, the choice of kernels, memory) does so before the first one does. */
typedef struct tg_row_call {
    const tg_operator *op;
    tg_tensor **in;
    size_t n_in;
    const void *attrs;
    const double *scalars;
} tg_row_call;
tg_status tg_apply_all(tg_tape *tape, const tg_row_call calls[], size_t n);
/* Room for a run that is to come. */
tg_status tg_ready_entry(tg_tape *tape, const tg_entry *e);
/* `node` (NULL: not recorded) gets what the kernel saves. */
tg_status tg_run_entry(tg_tape *tape, tg_entry *e, tg_value *const in[], tg_value *const out[],
                       const double *scalars, uint64_t draw, tg_node *node);
/* After a kernel failed: prepares the entry again on a backend further down the chain. */
tg_status tg_dispatch_next(tg_tape *tape, tg_entry *e, tg_status failure);
/* layout.c: three ways to show an entry's blocked inputs to a kernel; false: there are none to show so. */
bool tg_layouts_keep(tg_entry *e, const struct tg_loaded *b); /* those of b's own          */
bool tg_layouts_flat(tg_entry *e);                     /* everything as one long row */
void tg_layouts_drop(tg_entry *e);                     /* everything row-major       */
/* Does the kernel see any? */
bool tg_layouts_seen(const tg_entry *e);
/* Can the backend stand for those that the prepared kernel hands out? `back`: it has a kernel of contiguous. */
bool tg_layouts_sound(const tg_entry *e, const struct tg_loaded *b, bool back);
/* The outputs' layouts, once a kernel is prepared. */
void tg_layouts_of_outputs(tg_entry *e);
/* Brings what the entry's kernel wants row-major there. */
tg_status tg_layouts_enter(tg_tape *tape, const tg_entry *e, tg_value *const in[]);
/* Makes a value of this tape row-major, for good. */
tg_status tg_value_plain(tg_tape *tape, tg_value *v);
/* fork.c: from here on, a fork leaves OpenMP's threads behind; and whether one did. */
void tg_fork_watch(void);
extern atomic_bool tg_fork_happened;
static inline bool tg_forked(void)
{
    return atomic_load_explicit(&tg_fork_happened, memory_order_relaxed);
}
/* report.c: adds an entry's counters to the runtime's. */
void tg_report_add(tg_runtime *rt, const tg_entry *e);
struct tg_cache *tg_cache_open(tg_tape *tape);
void tg_cache_trim(tg_tape *tape);  /* at reset: keeps at most 4096 entries */
void tg_cache_close(tg_tape *tape); /* adds its counters to the runtime's report */
/* Has every backend of the chain that has a kernel of `op` one of `other`, too? */
bool tg_chain_knows(const tg_runtime *rt, const char *op, const char *other);

/* Core rows, found once at open (engine, tensor and storage need them). */
typedef struct tg_core_rows {
    const tg_operator *contiguous, *copy_, *fill_, *add_, *uniform_, *normal_, *nonfinite;
} tg_core_rows;

/* -- runtime.c ------------------------------------------------------------------------------------------- */
typedef struct tg_loaded {
    const tg_backend *backend;
    const tg_backend *given; /* the program's own, without a file */
    tg_backend_state *state;
    char name[32], reason[256], path[512], library[64], kernels[64];
    bool loaded, in_chain, explicit_in_chain;
    int score, threads;
    tg_host host;
    tg_runtime *rt;
    tg_status error_status; /* why it is not loaded */
} tg_loaded;

typedef struct tg_report_row {
    char op[40], backend[32], implementation[64], reason[160];
    uint64_t calls, fallbacks, reorders, ns;
} tg_report_row;

enum { TG_MAX_THREADS = 4096 };

struct tg_runtime {
    tg_allocator allocator;
    tg_log_fn log;
    void *log_arg;
    tg_home home;
    tg_dtype dtype;
    int threads;
    tg_random_state random; /* under tape_lock */
    uint64_t tapes_opened;
    tg_tape *tape; /* for initialising, loading, copying: under tape_lock */
    int tape_users;
    mtx_t tape_lock, lock;
    tg_tape *open_tapes;
    bool frozen, fallback_is_error, report_to_stderr;
    bool timed; /* a report is wanted: runs are timed */
    tg_anomaly anomaly;      /* of tapes at their opening */
    struct tg_sink *profile; /* profile.c; NULL: off      */
    tg_runtime *verify;      /* verify.c; NULL: off       */
    double verify_tolerance; /* 0: by dtype               */
    char report_path[512];
    char chain[256];
    tg_loaded *backends; /* chain order first */
    size_t n_backends, n_chain, backend_capacity;
    const tg_operator **operators;
    size_t n_operators, operator_capacity;
    const tg_layer_class **layers;
    size_t n_layers, layer_capacity;
    tg_core_rows rows;
    bool convolution_is_affine; /* whoever has a convolution has convolution_affine */
    tg_hooks hooks; /* of tensors of the program's */
    uint64_t last_hook;
    tg_report_row *report;
    size_t n_report, report_capacity;
};
/* The runtime's own tape, locked (by this thread, any number of times); NULL: no memory. Its random state is
 * the runtime's. Give it back with tg_runtime_tape_done, which resets it. */
tg_tape *tg_runtime_tape(tg_runtime *rt);
void tg_runtime_tape_done(tg_runtime *rt);
void tg_runtime_log(const tg_runtime *rt, tg_log_level level, const char *format, ...) TG_PRINTF(3, 4);

/* -- backends/loader.c ----------------------------------------------------------------------------------- */
/* Opens the chain (o->backend NULL: the environment's or the best there is) into rt->backends. */
tg_status tg_backends_open(tg_runtime *rt, const tg_runtime_options *o);
/* Loads the rest too, for listing. */
tg_status tg_backends_open_all(tg_runtime *rt);
void tg_backends_close(tg_runtime *rt);
/* What a plug-in last said on this thread through host->error, "" for nothing; and an empty start. */
const char *tg_backend_said(void);
void tg_backend_forget(void);
extern atomic_bool tg_backend_spoke; /* on any thread, ever */
static inline void tg_backend_hush(void)
{
    if (atomic_load_explicit(&tg_backend_spoke, memory_order_relaxed))
        tg_backend_forget();
}
const tg_backend *tg_reference_backend(void); /* backends/reference/backend.c */

/* -- autograd/operators/all.c, layers/all.c: the built-in tables ----------------------------------------- */
tg_status tg_operators_register_builtin(tg_runtime *rt);
tg_status tg_layers_register_builtin(tg_runtime *rt);

/* -- Philox4x32-10 (Salmon et al. 2011), random.c. The reference backend has its own vector form; this is for
 * shuffles. */
void tg_philox(uint64_t seed, uint64_t draw, uint64_t block, uint32_t out[4]);

/* layers/module_attrs.c. TG_EINVAL where a word of an options struct that the caller filled is none of its choices. */
tg_status tg_attrs_check_choices(const char *what, const tg_attr_spec *specs, const void *attrs);

/* proof.c. In the library a built-in row, or layer class, names this function; the module of samples is made from the same
 * files, and there it names the function that has them. */
const tg_sample *tg_samples_elsewhere(size_t *n);
#ifdef TG_SAMPLES_ELSEWHERE
#define TG_PROOF(samples) (1 ? tg_samples_elsewhere : (samples))
#else
#define TG_PROOF(samples) samples
#endif

#endif
