/* The runtime: backends, registries, the default generator. One is shared by all threads of a program. Whatever the
 * program's locale is, numbers in messages, files, variables and printed text have a point. */
#ifndef TAPEGRAD_RUNTIME_H
#define TAPEGRAD_RUNTIME_H

#include <stdio.h>

#include <tapegrad/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_runtime tg_runtime;

/* Every allocation that Tapegrad makes goes through one of these. `alloc` returns `size` bytes aligned to
 * `align` (a power of two, 64 at the most) or NULL; `free` gets what alloc returned, never NULL. Both may be
 * called from several threads. */
typedef struct tg_allocator {
    void *(*alloc)(void *arg, size_t size, size_t align);
    void (*free)(void *arg, void *ptr);
    void *arg;
} tg_allocator;

typedef enum tg_log_level { TG_LOG_ERROR = 0, TG_LOG_WARNING = 1, TG_LOG_INFO = 2, TG_LOG_DEBUG = 3 } tg_log_level;
typedef void (*tg_log_fn)(void *arg, tg_log_level level, const char *message);

/* Zero means: the default. */
typedef struct tg_runtime_options {
    size_t struct_size;            /* sizeof(tg_runtime_options); 0 is read as the first version's          */
    const char *backend;           /* a name or a chain "blis,reference"; NULL: TAPEGRAD_BACKEND, or the best */
    const tg_allocator *allocator; /* copied; NULL: aligned_alloc and free                                  */
    uint64_t seed;                 /* of the generator; 0 is a seed like any other                          */
    int threads;                   /* 0: TAPEGRAD_NUM_THREADS, or what OpenMP gives                         */
    tg_dtype dtype;                /* of new parameters: TG_F32 (zero) or TG_F64                            */
    tg_log_fn log;                 /* NULL: silence                                                         */
    void *log_arg;
    const struct tg_backend *const *backends; /* n_backends (backend_abi.h) that the program brings, without a file: */
    size_t n_backends;                        /* they are found by name as plug-ins are                             */
} tg_runtime_options;

/* Opens a runtime: reads the environment, loads the backends of the chain, fills the registries. `options`
 * may be NULL. TG_EBACKEND for a backend that is unknown or cannot run here (the sentence lists the known
 * ones), TG_EINVAL for a malformed variable, TG_ENOMEM. On failure *out is NULL. */
TG_API tg_status tg_runtime_open(tg_runtime **out, const tg_runtime_options *options);

/* Closes it; its tapes, modules and tensors must have been closed before (those that were not become stale).
 * Writes the report if TAPEGRAD_REPORT asked for one. NULL is fine. */
TG_API void tg_runtime_close(tg_runtime *rt);

/* Sets the seed and puts the runtime's generator (initialisers, shuffles) back to draw 0. Tapes opened later
 * take the new seed; an open tape keeps its own (tg_tape_set_random_state). PyTorch's manual_seed. */
TG_API tg_status tg_seed(tg_runtime *rt, uint64_t seed);

/* The dtype of parameters made from now on. TG_EDTYPE unless f32 or f64. torch.set_default_dtype. */
TG_API tg_status tg_runtime_set_dtype(tg_runtime *rt, tg_dtype dtype);
TG_API tg_dtype tg_runtime_dtype(const tg_runtime *rt);

/* The threads that a tape opened from now on uses at the most; at least 1. */
TG_API tg_status tg_runtime_set_threads(tg_runtime *rt, int threads);
TG_API int tg_runtime_threads(const tg_runtime *rt);

/* The chain in force, "blis,reference". Borrowed. */
TG_API const char *tg_runtime_backend(const tg_runtime *rt);

/* One backend, as `tapegrad backends` lists it. Strings are borrowed from the runtime. */
typedef struct tg_backend_info {
    const char *name;
    bool loaded;         /* could be opened                                                    */
    bool in_chain;       /* is asked for kernels                                               */
    const char *reason;  /* why it was not loaded, or what its score says                      */
    const char *library; /* the vendor library's version, "" where there is none               */
    const char *kernels; /* the kernel set it chose ("skx", "avx512"), "" where there is none  */
    const char *path;    /* the plug-in's file; "" when built in                               */
    int threads;
    size_t n_kernels;
} tg_backend_info;

/* Loads every backend that can be found (also those outside the chain) and describes each in order. Returns
 * how many there are, writes at most `capacity`. */
TG_API size_t tg_runtime_backends(tg_runtime *rt, tg_backend_info *out, size_t capacity);

/* Writes the report of operators, backends, calls and fallbacks so far (of closed tapes). */
TG_API void tg_runtime_report(tg_runtime *rt, FILE *to);

#ifndef TG_NO_LOCATION
#define tg_runtime_open(...) TG_AT(tg_runtime_open(__VA_ARGS__))
#define tg_seed(...) TG_AT(tg_seed(__VA_ARGS__))
#define tg_runtime_set_dtype(...) TG_AT(tg_runtime_set_dtype(__VA_ARGS__))
#define tg_runtime_set_threads(...) TG_AT(tg_runtime_set_threads(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
