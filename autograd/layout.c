/* Backends' layouts: how an operator's blocked inputs are shown to a kernel, and the way back to row-major.
 */
#include "autograd/internal.h"

#include <string.h>

/* Both arrays are the entry's own. */
static tg_desc *kernel_in(tg_entry *e, uint32_t i)
{
    return (tg_desc *)(uintptr_t)e->kernel_in[i];
}

static void broadcast_to(tg_desc *d, const tg_desc *to)
{
    tg_desc b = *d;
    int32_t lead = to->ndim - d->ndim;
    b.ndim = to->ndim;
    for (int32_t i = 0; i < to->ndim; i++) {
        bool own = i >= lead && d->dim[i - lead] == to->dim[i];
        b.stride[i] = own ? d->stride[i - lead] : 0;
        b.dim[i] = to->dim[i];
    }
    *d = b;
}

void tg_layouts_drop(tg_entry *e)
{
    e->flat = false;
    for (uint32_t i = 0; i < e->n_in; i++) {
        tg_desc *d = kernel_in(e, i);
        if (!d)
            continue;
        *d = *e->in[i];
        d->layout = NULL;
        if (e->op->flags & TG_OP_BROADCAST)
            broadcast_to(d, &e->out[0]);
    }
    for (uint32_t o = 0; o < e->op->n_out; o++) {
        e->out[o].layout = NULL;
        e->kernel_out[o] = e->out[o];
    }
}

bool tg_layouts_keep(tg_entry *e, const tg_loaded *b)
{
    bool any = false;
    tg_layouts_drop(e);
    for (uint32_t i = 0; i < e->n_in; i++) {
        const tg_layout *layout = e->in[i] ? e->in[i]->layout : NULL;
        if (!layout || strcmp(layout->backend, b->name) != 0 || !tg_desc_same_dims(e->in[i], e->kernel_in[i]))
            continue;
        kernel_in(e, i)->layout = layout;
        any = true;
    }
    return any;
}

/* The one layout that all inputs share, but those of one element, and all results may have; NULL: there is
 * none. */
static const tg_desc *shared(const tg_entry *e)
{
    const tg_desc *first = NULL;
    for (uint32_t i = 0; i < e->n_in; i++) {
        const tg_desc *d = e->in[i];
        if (!d || (!d->layout && tg_desc_count(d) == 1))
            continue;
        if (!d->layout || (first && (d->layout != first->layout || !tg_desc_same_dims(d, first))))
            return NULL;
        first = d;
    }
    for (uint32_t o = 0; first && o < e->op->n_out; o++)
        if (e->out[o].dtype != first->dtype || !tg_desc_same_dims(&e->out[o], first))
            return NULL;
    return first;
}

bool tg_layouts_seen(const tg_entry *e)
{
    bool any = false;
    for (uint32_t i = 0; i < e->n_in; i++)
        any |= e->kernel_in[i] && e->kernel_in[i]->layout;
    return any;
}

bool tg_layouts_sound(const tg_entry *e, const tg_loaded *b, bool back)
{
    bool sound = true;
    for (uint32_t o = 0; e->prepared.layout && o < e->op->n_out; o++) {
        const tg_layout *l = e->prepared.layout[o];
        sound &= !l || (back && !e->given && e->op != b->rt->rows.contiguous && l->backend && l->name &&
                        !strcmp(l->backend, b->name));
    }
    return sound;
}

bool tg_layouts_flat(tg_entry *e)
{
    tg_layouts_drop(e);
    const tg_desc *like = e->op->flags & TG_OP_POINTWISE ? shared(e) : NULL;
    if (!like)
        return false;
    const tg_desc row = {.dtype = like->dtype, .ndim = 1, .dim = {tg_desc_count(like)}, .stride = {1}};
    for (uint32_t i = 0; i < e->n_in; i++) {
        tg_desc *d = kernel_in(e, i);
        if (!d)
            continue;
        const int32_t dtype = d->dtype;
        *d = row;
        d->dtype = dtype;
        d->stride[0] = e->in[i]->layout ? 1 : 0;
    }
    for (uint32_t o = 0; o < e->op->n_out; o++)
        e->kernel_out[o] = row;
    e->flat = true;
    return true;
}

void tg_layouts_of_outputs(tg_entry *e)
{
    const tg_desc *like = e->flat ? shared(e) : NULL;
    for (uint32_t o = 0; o < e->op->n_out; o++) {
        tg_desc *d = &e->out[o];
        d->layout = like ? like->layout : e->prepared.layout ? e->prepared.layout[o] : NULL;
        e->facts[o].hash = tg_desc_hash(d);
        e->facts[o].flags = d->layout ? TG_V_BLOCKED : tg_desc_is_dense(d) ? TG_V_DENSE : 0;
    }
}

tg_status tg_layouts_enter(tg_tape *tape, const tg_entry *e, tg_value *const in[])
{
    tg_status status = TG_OK;
    for (uint32_t i = 0; i < e->n_in && status == TG_OK && !e->flat; i++)
        if (in[i] && in[i]->flags & TG_V_BLOCKED && !e->kernel_in[i]->layout)
            status = tg_value_plain(tape, in[i]);
    return status;
}

tg_status tg_value_plain(tg_tape *tape, tg_value *v)
{
    tg_value *const in[] = {v};
    if (!(v->flags & TG_V_BLOCKED))
        return TG_OK;
    tg_entry *e = tg_dispatch(tape, tape->rt->rows.contiguous, in, 1, NULL);
    if (!e)
        return tape->status;
    tg_storage *storage = tg_pool_get(tape->pool, e->facts[0].bytes);
    if (!storage)
        return tg_fail_again(tape, TG_ENOMEM);
    tg_value plain = {.storage = storage};
    tg_status status = tg_run_entry(tape, e, in, (tg_value *[]){&plain}, NULL, 0, NULL);
    if (status) {
        tg_pool_put(tape->pool, storage);
        return status;
    }
    storage->version = v->storage->version;
    storage->writer_file = v->storage->writer_file;
    storage->writer_line = v->storage->writer_line;
    tg_storage_recount(storage, v->storage->kind);
    tg_pool_put(tape->pool, v->storage);
    v->storage = storage;
    v->offset = 0;
    tg_value_describe(v, &e->out[0], &e->facts[0]);
    return TG_OK;
}
