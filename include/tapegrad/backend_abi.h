/* The plug-in ABI: the only header that a backend includes (it brings types.h for tg_desc and tg_status).
 *
 * A backend is a shared module that exports one function, tg_backend_entry. It links to nothing of Tapegrad's:
 * what it needs from the host comes in the tg_host table. The rules that let this live for years:
 *  - every struct starts with struct_size, set by whoever made it, and only ever grows at its end;
 *  - an array of such structs carries its stride;
 *  - the major changes on removal, reorder or retype, and then both sides refuse; the minor on growth, and then
 *    each side reads no further than the other's struct_size. A plug-in of a newer minor loads.
 *  - identity is the operator's name and version, never a number.
 * tg_desc's size is frozen per major.
 * A field that a later minor brought says so; before it is read or written, the other's struct_size is looked at:
 * TG_ABI_HAS(p, reorders). */
#ifndef TAPEGRAD_BACKEND_ABI_H
#define TAPEGRAD_BACKEND_ABI_H

#include <tapegrad/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TG_ABI_MAJOR 1
#define TG_ABI_MINOR 2

/* Does the struct that `p` points to, as whoever made it knows it, have this member? */
#define TG_ABI_HAS(p, member) \
    ((size_t)(p)->struct_size >= (size_t)((const char *)&(p)->member - (const char *)(p)) + sizeof((p)->member))

typedef struct tg_backend_state tg_backend_state; /* the plug-in's own       */
typedef struct tg_stream tg_stream;               /* NULL on host backends   */

/* Since minor 2: an order of a tensor's elements in memory that a backend likes better than row-major, for tensors of
 * certain dims: blocks of channels, channels last. It has each element once and no gaps, so it takes as many bytes as
 * the row-major one, and what is elementwise runs on it as on one long row, on any backend. The plug-in owns it, fills
 * it in once, hands out one pointer for one order of one tensor's dims, and keeps it until close.
 * A descriptor with a layout has the strides of the row-major tensor. A kernel gets inputs with layouts of its own
 * backend only, and only where accept takes them (one without accept gets none): where it does not, it is asked again
 * with all of them row-major. A backend that hands out layouts must have a kernel of "contiguous" that brings each of
 * them back; without, its layouts are not taken. */
struct tg_layout {
    uint32_t struct_size;
    uint32_t pad;
    const char *backend; /* tg_backend.name          */
    const char *name;    /* "nChw16c", for reports   */
};

/* One operator call as far as it is known before there are data. */
typedef struct tg_call {
    uint32_t struct_size;
    uint32_t version; /* of the operator */
    const char *op;
    const tg_desc *const *in; /* NULL: absent optional input. Broadcast already applied */
    uint32_t n_in, n_out;
    const tg_desc *out;
    const void *attrs;
    uint32_t attrs_size;
    int32_t threads; /* at the most */
} tg_call;

/* What prepare hands back; the host caches it and gives it to run. */
typedef struct tg_prepared {
    uint32_t struct_size;
    uint32_t pad;
    void *impl;          /* the plug-in's own, given back by release              */
    size_t scratch_size; /* bytes, 64-aligned, valid during one run               */
    size_t saved_size;   /* bytes that live from this forward to its backward     */
    /* Since minor 1, for the report: */
    const char *implementation; /* of this call, "jit:avx512_core"; valid until release; NULL: none to name */
    uint64_t reorders;          /* changes of layout in each run                                            */
    /* Since minor 2: the layout of each output, NULL where row-major; NULL: all are. The array is
     * valid until release. Parameters' gradients stay row-major: optimizers and files read them. */
    const tg_layout *const *layout;
} tg_prepared;

/* The arguments of one run. */
typedef struct tg_run {
    uint32_t struct_size;
    int32_t threads;          /* use no more                                                       */
    const void *const *in;    /* first element of each; NULL for an absent one                     */
    void *const *out;         /* n_out outputs; an in-place row writes through `in`                */
    void *scratch, *saved;    /* saved: written by a forward, read by the backward of its node     */
    const double *scalars;    /* run-time scalars: n_scalars (times the groups)                    */
    uint32_t n_in, n_out;
    uint64_t seed, draw;      /* random rows                                                       */
    tg_stream *stream;
} tg_run;

typedef enum tg_accept {
    TG_REFUSE = 0, /* cannot: whoever runs it instead is a fallback, counted and reported           */
    TG_ACCEPT = 1,
    TG_DECLINE = 2 /* a choice: measurement says that the next in the chain is faster, or it has no code for a case
                      that the next serves as well. Counted as no fallback */
} tg_accept;

typedef struct tg_kernel {
    uint32_t struct_size;
    uint32_t version; /* of the operator it implements */
    const char *op;
    /* Pure. *reason may be set to a static sentence. NULL accept: accepts everything. */
    tg_accept (*accept)(tg_backend_state *s, const tg_call *c, const char **reason);
    /* Cold: may allocate, compile, choose. NULL: nothing to prepare. */
    tg_status (*prepare)(tg_backend_state *s, const tg_call *c, tg_prepared *p);
    /* Hot: allocates nothing. */
    tg_status (*run)(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r);
    void (*release)(tg_backend_state *s, tg_prepared *p);
} tg_kernel;

/* NULL in tg_backend for host memory. */
typedef struct tg_device {
    uint32_t struct_size;
    tg_status (*alloc)(tg_backend_state *s, size_t size, void **out);
    void (*free)(tg_backend_state *s, void *ptr);
    tg_status (*copy)(tg_backend_state *s, tg_stream *q, void *dst, const void *src, size_t size, int direction);
    tg_status (*sync)(tg_backend_state *s, tg_stream *q);
} tg_device;

/* Services that the host lends. */
typedef struct tg_host {
    uint32_t struct_size, abi_major, abi_minor;
    int32_t threads;
    void *arg;
    void *(*alloc)(void *arg, size_t size, size_t align);
    void (*free)(void *arg, void *ptr);
    void (*log)(void *arg, int level, const char *message);
    void (*error)(void *arg, tg_status status, const char *message); /* the sentence of a failure */
} tg_host;

typedef struct tg_backend_facts {
    uint32_t struct_size;
    const char *library; /* "BLIS 0.9.0"; "" */
    const char *kernels; /* "skx"; ""        */
    int32_t threads;
} tg_backend_facts;

typedef struct tg_backend {
    uint32_t struct_size, abi_major, abi_minor;
    uint32_t n_kernels, kernel_stride; /* stride: the plug-in's sizeof(tg_kernel) */
    const char *name;
    const tg_kernel *kernels;
    /* Can this machine run it? 0: no; higher is better (reference: 1). *reason is set to a static sentence. */
    int (*score)(const char **reason);
    tg_status (*open)(const tg_host *host, tg_backend_state **out);
    void (*close)(tg_backend_state *s);
    void (*facts)(tg_backend_state *s, tg_backend_facts *out);
    const tg_device *device;
    const void *extensions;
} tg_backend;

/* The one exported symbol. May return NULL, which the host reports. */
typedef const tg_backend *(*tg_backend_entry_fn)(void);
#define TG_BACKEND_ENTRY "tg_backend_entry"

#ifdef __cplusplus
}
#endif
#endif
