#include "autograd/internal.h"

#include <stdlib.h>
#include <string.h>

void *tg_alloc(const tg_allocator *a, size_t size)
{
    /* aligned_alloc wants a multiple of the alignment */
    size_t rounded = (size + 63) & ~(size_t)63;
    void *p = rounded < size ? NULL : a->alloc(a->arg, rounded ? rounded : 64, 64);
    if (!p)
        tg_fail(NULL, TG_ENOMEM, "out of memory: %zu bytes were asked for", size);
    return p;
}

void *tg_alloc_zero(const tg_allocator *a, size_t size)
{
    void *p = tg_alloc(a, size);
    if (p)
        memset(p, 0, size);
    return p;
}

tg_status tg_grow(const tg_allocator *a, void *array, size_t *capacity, size_t want, size_t element)
{
    if (want <= *capacity)
        return TG_OK;
    size_t n = *capacity ? *capacity : 8;
    while (n < want)
        n *= 2;
    void *old;
    memcpy(&old, array, sizeof old);
    void *grown = tg_alloc_zero(a, n * element);
    if (!grown)
        return TG_ENOMEM;
    if (old)
        memcpy(grown, old, *capacity * element);
    tg_free(a, old);
    memcpy(array, &grown, sizeof grown);
    *capacity = n;
    return TG_OK;
}

char *tg_strdup(const tg_allocator *a, const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = tg_alloc(a, n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

void tg_free(const tg_allocator *a, void *ptr)
{
    if (ptr)
        a->free(a->arg, ptr);
}

const tg_allocator *tg_runtime_allocator(const tg_runtime *rt)
{
    return &rt->allocator;
}

/* -- the arena: blocks that double, kept over a reset ---------------------------------------------------- */

struct tg_arena_block {
    tg_arena_block *next;
    size_t size;
};

enum { HEADER = 64 };

static void begin_block(tg_arena *arena, tg_arena_block *b)
{
    arena->current = b;
    arena->next = b ? (char *)b + HEADER : NULL;
    arena->end = b ? (char *)b + b->size : NULL;
}

void *tg_arena_more(tg_arena *arena, size_t size)
{
    tg_arena_block *b = arena->current;
    if (size > SIZE_MAX / 2) {
        tg_fail(NULL, TG_ENOMEM, "out of memory: %zu bytes were asked for", size);
        return NULL;
    }
    while (b && b->next && size >= b->next->size - HEADER)
        b = b->next;
    if (!b || !b->next) {
        size_t want = b ? b->size * 2 : 16384;
        if (want > (size_t)1 << 24)
            want = (size_t)1 << 24;
        if (want <= size + HEADER)
            want = (size + HEADER + 16) & ~(size_t)15;
        tg_arena_block *fresh = tg_alloc(arena->allocator, want);
        if (!fresh)
            return NULL;
        *fresh = (tg_arena_block){.size = want};
        *(b ? &b->next : &arena->first) = fresh;
        begin_block(arena, fresh);
    } else {
        begin_block(arena, b->next);
    }
    return tg_arena_get(arena, size);
}

void tg_arena_reset(tg_arena *arena)
{
    begin_block(arena, arena->first);
}

void tg_arena_close(tg_arena *arena)
{
    for (tg_arena_block *b = arena->first, *next; b; b = next) {
        next = b->next;
        tg_free(arena->allocator, b);
    }
    arena->first = NULL;
    begin_block(arena, NULL);
}
