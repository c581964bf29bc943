/* Attention by blocks of queries: a block's scores are all that stands in memory. For the backends; includes
 * nothing but the plug-in ABI. */
#ifndef TG_ATTENTION_VIEW_H
#define TG_ATTENTION_VIEW_H

#include <tapegrad/backend_abi.h>
#include <tapegrad/op_attrs.h>

#include <stdbool.h>

/* Two dims of a tensor, and where those of a member of the batch begin; in elements. */
typedef struct tg_attention_matrix {
    const tg_desc *d; /* NULL: absent */
    int at;           /* its argument's number */
    int64_t rows, cols, row, col;
} tg_attention_matrix;

typedef struct tg_attention_view {
    tg_attention_matrix q, k, v, mask, y, gq, gk, gv; /* y: of a backward the gradient */
    int64_t batch, block, blocks, step;               /* step: from one row of scores to the next */
    tg_attention_matrix lse;                          /* one dim: col                              */
    double scale;
    bool causal, backward;
} tg_attention_view;

static inline tg_attention_matrix tg_attention_last_two(const tg_desc *const *d, int at)
{
    tg_attention_matrix m = {.d = d[at], .at = at};
    if (m.d) {
        const int n = m.d->ndim;
        m.rows = m.d->dim[n - 2];
        m.cols = m.d->dim[n - 1];
        m.row = m.d->stride[n - 2];
        m.col = m.d->stride[n - 1];
    }
    return m;
}

/* [q, k, v, mask] → [y, lse], or [gy, q, k, v, mask, lse] → [gq, gk, gv]. */
static inline tg_attention_view tg_attention_make(const tg_call *c)
{
    const tg_attention_attrs *a = (const tg_attention_attrs *)c->attrs;
    const bool backward = c->n_in == 6;
    const tg_desc *const out[] = {&c->out[0], &c->out[1], &c->out[backward ? 2 : 0]};
    tg_attention_view w = {.q = tg_attention_last_two(c->in, backward),
                           .k = tg_attention_last_two(c->in, backward + 1),
                           .v = tg_attention_last_two(c->in, backward + 2),
                           .mask = tg_attention_last_two(c->in, backward + 3),
                           .y = tg_attention_last_two(backward ? c->in : out, 0),
                           .batch = 1,
                           .scale = a->scale,
                           .causal = a->is_causal != 0,
                           .backward = backward};
    w.lse = (tg_attention_matrix){.d = backward ? c->in[5] : &c->out[1], .at = backward ? 5 : 1};
    w.lse.col = w.lse.d->stride[w.lse.d->ndim - 1];
    if (backward) {
        w.gq = tg_attention_last_two(out, 0);
        w.gk = tg_attention_last_two(out, 1);
        w.gv = tg_attention_last_two(out, 2);
    }
    for (int i = 0; i < w.q.d->ndim - 2; i++)
        w.batch *= w.q.d->dim[i];
    w.step = (w.k.rows + 15) / 16 * 16;
    w.block = w.k.rows <= 1024 ? 64 : w.k.rows <= 4096 ? 32 : 16;
    if (w.block > w.q.rows)
        w.block = w.q.rows > 0 ? w.q.rows : 1;
    w.blocks = (w.q.rows + w.block - 1) / w.block;
    return w;
}

/* Elements of scratch for the scores of one thread. */
static inline int64_t tg_attention_scratch(const tg_attention_view *w)
{
    return w->block * w->step * (w->backward ? 2 : 1);
}

/* The same in bytes. */
static inline size_t tg_attention_bytes(const tg_attention_view *w)
{
    return (size_t)tg_attention_scratch(w) * (w->q.d->dtype == TG_F64 ? sizeof(double) : sizeof(float));
}

/* Operations of one product of a block: below some number a library's product gains nothing. */
static inline double tg_attention_work(const tg_attention_view *w)
{
    const int64_t width = w->q.cols < w->v.cols ? w->q.cols : w->v.cols;
    return 2.0 * (double)w->block * (double)w->k.rows * (double)width;
}

/* A thread's scratch is its scores and `more` bytes. */
static inline void tg_attention_prepare(const tg_call *c, size_t more, const char *implementation, tg_prepared *p)
{
    const tg_attention_view w = tg_attention_make(c);
    p->scratch_size = (tg_attention_bytes(&w) + more) * (size_t)(c->threads > 0 ? c->threads : 1);
    if (implementation && TG_ABI_HAS(p, implementation))
        p->implementation = implementation;
}

/* What threads share out: blocks, or of a gradient, whose keys are all queries', members of the batch. */
static inline int64_t tg_attention_jobs(const tg_attention_view *w)
{
    return w->backward ? w->batch : w->batch * w->blocks;
}

/* `own`: dims that are not the batch's. */
static inline int64_t tg_attention_place(const tg_attention_matrix *m, int own, int64_t index)
{
    int64_t offset = 0;
    for (int i = m->d->ndim - 1 - own; index && i >= 0; i--) {
        offset += index % m->d->dim[i] * m->d->stride[i];
        index /= m->d->dim[i];
    }
    return offset;
}

/* Does each row of it lie in one piece behind the one before? What libraries of products read. */
static inline bool tg_attention_in_rows(const tg_attention_matrix *m)
{
    return (m->col == 1 || m->cols == 1) && (m->row >= m->cols || m->rows == 1);
}

#endif
