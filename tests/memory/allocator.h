/* An allocator that counts, and fails one allocation on demand. */
#ifndef TG_TESTS_ALLOCATOR_H
#define TG_TESTS_ALLOCATOR_H

#include <stdatomic.h>
#include <stdlib.h>

#include <tapegrad/runtime.h>

typedef struct counter {
    atomic_long calls, live;
    long fail_at; /* the number of the call that fails, from 1; 0: none */
    atomic_bool failed;
} counter;

static inline void *counter_alloc(void *arg, size_t size, size_t align)
{
    counter *c = arg;
    long number = atomic_fetch_add(&c->calls, 1) + 1;
    if (number == c->fail_at) {
        atomic_store(&c->failed, true);
        return NULL;
    }
    void *p = aligned_alloc(align, (size + align - 1) / align * align);
    if (p)
        atomic_fetch_add(&c->live, 1);
    return p;
}

static inline void counter_free(void *arg, void *ptr)
{
    counter *c = arg;
    atomic_fetch_sub(&c->live, 1);
    free(ptr);
}

static inline tg_allocator counter_allocator(counter *c)
{
    return (tg_allocator){.alloc = counter_alloc, .free = counter_free, .arg = c};
}

#endif
