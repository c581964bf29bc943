/* Bytes with a count of those who hold them, and a version that each writer bumps. */
#include "autograd/internal.h"

tg_storage *tg_storage_wrap(const tg_allocator *a, void *data, size_t size)
{
    tg_storage *s = tg_alloc_zero(a, sizeof *s);
    if (!s)
        return NULL;
    s->data = data;
    s->size = size;
    s->allocator = a;
    atomic_init(&s->refs, 1);
    return s;
}

tg_storage *tg_storage_new(const tg_allocator *a, size_t size)
{
    tg_storage *s = size > SIZE_MAX - sizeof *s ? NULL : tg_alloc(a, sizeof *s + size);
    if (!s)
        return NULL;
    *s = (tg_storage){.data = s + 1, .size = size, .allocator = a};
    atomic_init(&s->refs, 1);
    return s;
}

void tg_storage_ref(tg_storage *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void tg_storage_written(tg_storage *s)
{
    const tg_place here = tg_here();
    s->version++;
    s->writer_file = here.file;
    s->writer_line = here.line;
}
