/* n independent items on several threads. On one thread OpenMP is not asked at all: even a team of one costs
 * an allocation and a system call of libgomp's. */
#ifndef TG_REF_EACH_H
#define TG_REF_EACH_H

#include <stdint.h>

typedef void (*tg_ref_item_fn)(const void *arg, int64_t i);

static inline void tg_ref_each(int threads, int64_t n, tg_ref_item_fn fn, const void *arg)
{
    if (threads < 2 || n < 2) {
        for (int64_t i = 0; i < n; i++)
            fn(arg, i);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < n; i++)
        fn(arg, i);
}

typedef struct tg_ref_phase {
    int64_t n;
    tg_ref_item_fn fn;
} tg_ref_phase;

/* Phases one after the other, by one team: each waits for the whole of the one before. */
static inline void tg_ref_phases(int threads, int count, const tg_ref_phase *phases, const void *arg)
{
    if (threads < 2) {
        for (int p = 0; p < count; p++)
            tg_ref_each(1, phases[p].n, phases[p].fn, arg);
        return;
    }
#pragma omp parallel num_threads(threads)
    for (int p = 0; p < count; p++) {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < phases[p].n; i++)
            phases[p].fn(arg, i);
    }
}

#endif
