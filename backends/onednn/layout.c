/* Layouts that stay from kernel to kernel: oneDNN's own, of four-byte elements without gaps. Each tensor's dims and each
 * order make one tg_layout, which lives until close. */
#include "backends/onednn/onednn.h"

#include <string.h>

static int64_t count_of(const tg_desc *d)
{
    int64_t n = 1;
    for (int i = 0; i < d->ndim; i++)
        n *= d->dim[i];
    return n;
}

/* -- names ------------------------------------------------------------------------------------------------ */

typedef struct format {
    int rank;
    dnnl_format_tag_t tag;
    const char *name;
    int64_t block; /* 0: all channels */
} format;
static const format known[] = {
    {3, dnnl_acb, "nwc", 0},     {3, dnnl_aBc16b, "nCw16c", 16},     {3, dnnl_aBc8b, "nCw8c", 8},
    {4, dnnl_acdb, "nhwc", 0},   {4, dnnl_aBcd16b, "nChw16c", 16},   {4, dnnl_aBcd8b, "nChw8c", 8},
    {5, dnnl_acdeb, "ndhwc", 0}, {5, dnnl_aBcde16b, "nCdhw16c", 16}, {5, dnnl_aBcde8b, "nCdhw8c", 8},
};

static bool is_tagged(const tg_desc *d, dnnl_format_tag_t tag, tg_dnnl_md md)
{
    dnnl_dims_t dims = {0};
    tg_dnnl_box box;
    memcpy(dims, d->dim, (size_t)d->ndim * sizeof *dims);
    if (tg_dnnl_box_tagged(&box, d->ndim, dims, dnnl_f32, tag))
        return false;
    bool same = dnnl_memory_desc_equal(tg_dnnl_look(&box), md);
    tg_dnnl_box_free(&box);
    return same;
}

static const format *format_of(const tg_desc *d, tg_dnnl_md md)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].rank == d->ndim && is_tagged(d, known[i].tag, md))
            return &known[i];
    return NULL;
}

int64_t tg_dnnl_block_of(const tg_desc *d)
{
    return ((const tg_dnnl_layout *)(const void *)d->layout)->block;
}

/* -- the list ---------------------------------------------------------------------------------------------- */

static bool is_row_major(const tg_desc *d, tg_dnnl_md md)
{
    dnnl_dims_t dims = {0}, strides = {0};
    tg_dnnl_box box;
    int64_t step = 1;
    for (int i = d->ndim; i-- > 0; step *= d->dim[i]) {
        dims[i] = d->dim[i];
        strides[i] = step;
    }
    if (tg_dnnl_box_strided(&box, d->ndim, dims, dnnl_f32, strides))
        return true;
    bool same = dnnl_memory_desc_equal(tg_dnnl_look(&box), md);
    tg_dnnl_box_free(&box);
    return same;
}

static tg_dnnl_layout *find(tg_backend_state *s, tg_dnnl_md md)
{
    tg_dnnl_layout *l = s->layouts;
    while (l && !dnnl_memory_desc_equal(tg_dnnl_look(&l->box), md))
        l = l->next;
    return l;
}

static tg_dnnl_layout *add(tg_backend_state *s, const tg_desc *d, tg_dnnl_md md)
{
    tg_dnnl_layout *l = s->host->alloc(s->host->arg, sizeof *l, 64);
    if (!l)
        return NULL;
    const format *f = format_of(d, md);
    *l = (tg_dnnl_layout){
        .layout = {.struct_size = sizeof(tg_layout), .backend = "onednn", .name = f ? f->name : "other"},
        .block = !f ? 0 : f->block ? f->block : d->dim[1],
        .next = s->layouts};
    if (tg_dnnl_box_copy(&l->box, md)) {
        s->host->free(s->host->arg, l);
        return NULL;
    }
    return s->layouts = l;
}

const tg_layout *tg_dnnl_layout_of(tg_backend_state *s, const tg_desc *d, tg_dnnl_md md)
{
    if (s->host->abi_minor < 2 || dnnl_memory_desc_get_size(md) != (size_t)count_of(d) * sizeof(float) ||
        is_row_major(d, md))
        return NULL;
    mtx_lock(&s->lock);
    tg_dnnl_layout *l = find(s, md);
    if (!l)
        l = add(s, d, md);
    mtx_unlock(&s->lock);
    return l ? &l->layout : NULL;
}

void tg_dnnl_layouts_free(tg_backend_state *s)
{
    while (s->layouts) {
        tg_dnnl_layout *l = s->layouts;
        s->layouts = l->next;
        tg_dnnl_box_free(&l->box);
        s->host->free(s->host->arg, l);
    }
}

/* -- to and fro --------------------------------------------------------------------------------------------- */

tg_accept tg_dnnl_can_contiguous(const tg_call *c, const char **reason)
{
    if (c->in[0]->layout)
        return TG_ACCEPT;
    *reason = "for this backend's layouts alone: the reference copies";
    return TG_DECLINE;
}

void tg_dnnl_build_contiguous(tg_dnnl_maker *m)
{
    tg_dnnl_as_into(m, tg_dnnl_given(m, 0), tg_dnnl_out(tg_dnnl_dense(m, m->c->out->ndim, m->c->out->dim), 0));
}

/* Blocks of 16 or 8 channels, whichever fit, else channels last. */
static dnnl_format_tag_t tag_for(const tg_desc *d)
{
    static const dnnl_format_tag_t tags[][3] = {{dnnl_acb, dnnl_aBc8b, dnnl_aBc16b},
                                                {dnnl_acdb, dnnl_aBcd8b, dnnl_aBcd16b},
                                                {dnnl_acdeb, dnnl_aBcde8b, dnnl_aBcde16b}};
    return tags[d->ndim - 3][d->dim[1] % 16 == 0 ? 2 : d->dim[1] % 8 == 0 ? 1 : 0];
}

tg_accept tg_dnnl_can_reorder(const tg_call *c, const char **reason)
{
    const tg_reorder_attrs *a = c->attrs;
    const tg_desc *d = c->in[0];
    if (a->layout == 0 && d->ndim >= 3 && d->ndim <= 5 && count_of(d) != d->dim[1])
        return TG_ACCEPT;
    *reason = "this backend has one layout for tensors of 3 to 5 dims";
    return TG_DECLINE;
}

void tg_dnnl_build_reorder(tg_dnnl_maker *m)
{
    const tg_desc *d = m->c->out;
    tg_dnnl_operand y = tg_dnnl_result(m, 0, tg_dnnl_tagged(m, d->ndim, d->dim, tag_for(d)));
    tg_dnnl_as_into(m, tg_dnnl_given(m, 0), y);
    tg_dnnl_finish(m, y, 0);
}
