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

#endif
