/* Kernels of several backends, timed in turns without the rest of the library. */
#ifndef TG_BENCH_SIDE_H
#define TG_BENCH_SIDE_H

#include <tapegrad/backend_abi.h>

#include <stddef.h>

enum { SIDE_MOST = 8 };

typedef struct side {
    const tg_backend *backend;
    tg_backend_state *state;
    tg_host host;
} side;

/* The reference for NULL, else a plug-in's file; prints what it is. Ends the process where it cannot. With
 * TG_BENCH_PROCESSOR=zen5 they are told that they run on one (tests/abi/processor.c). */
void side_open(side *s, const char *file_name, int threads);

/* Uninitialised, aligned. */
void *side_alloc(size_t size);
/* n whole numbers from −8 to 8. */
void *side_numbers(int64_t n, tg_dtype dtype);

/* Microseconds and GFLOP/s of each backend ("declined" where accept says so; TG_BENCH_ACCEPT_ALL=1 runs it),
 * and the speed of each plug-in but the last as a share of the last one's. The best of some rounds counts. */
void side_time(const side *s, size_t n, const tg_call *c, const tg_run *r, double flops);

#endif
