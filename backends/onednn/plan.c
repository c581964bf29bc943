/* Laying out plans. */
#include "backends/onednn/plan.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

/* -- descriptors
 * ------------------------------------------------------------------------------------------------- */

static tg_dnnl_md keep_box(tg_dnnl_maker *m, const tg_dnnl_box *box, dnnl_status_t status)
{
    m->failed = status;
    if (status)
        return NULL;
    m->box[m->n_boxes] = *box;
    return tg_dnnl_look(&m->box[m->n_boxes++]);
}

static bool no_room(tg_dnnl_maker *m)
{
    if (!m->failed && m->n_boxes == TG_DNNL_BOXES)
        m->failed = dnnl_runtime_error;
    return m->failed != dnnl_success;
}

tg_dnnl_md tg_dnnl_strided(tg_dnnl_maker *m, int n, const int64_t *dims, const int64_t *strides)
{
    dnnl_dims_t d = {0}, s = {0};
    tg_dnnl_box box;
    if (no_room(m))
        return NULL;
    memcpy(d, dims, (size_t)n * sizeof *d);
    memcpy(s, strides, (size_t)n * sizeof *s);
    return keep_box(m, &box, tg_dnnl_box_strided(&box, n, d, dnnl_f32, s));
}

tg_dnnl_md tg_dnnl_dense(tg_dnnl_maker *m, int n, const int64_t *dims)
{
    int64_t strides[DNNL_MAX_NDIMS], step = 1;
    for (int i = n; i-- > 0; step *= dims[i])
        strides[i] = step;
    return tg_dnnl_strided(m, n, dims, strides);
}

tg_dnnl_md tg_dnnl_tagged(tg_dnnl_maker *m, int n, const int64_t *dims, dnnl_format_tag_t tag)
{
    dnnl_dims_t d = {0};
    tg_dnnl_box box;
    if (no_room(m))
        return NULL;
    memcpy(d, dims, (size_t)n * sizeof *d);
    return keep_box(m, &box, tg_dnnl_box_tagged(&box, n, d, dnnl_f32, tag));
}

tg_dnnl_md tg_dnnl_any(tg_dnnl_maker *m, int n, const int64_t *dims)
{
    return tg_dnnl_tagged(m, n, dims, dnnl_format_tag_any);
}

tg_dnnl_operand tg_dnnl_given(tg_dnnl_maker *m, size_t i)
{
    const tg_desc *d = m->c->in[i];
    const tg_dnnl_layout *l = (const tg_dnnl_layout *)(const void *)d->layout;
    return tg_dnnl_in(l                     ? tg_dnnl_look(&l->box)
                      : tg_dnnl_is_dense(d) ? tg_dnnl_dense(m, d->ndim, d->dim)
                                            : tg_dnnl_strided(m, d->ndim, d->dim, d->stride),
                      i);
}

tg_dnnl_operand tg_dnnl_result(tg_dnnl_maker *m, size_t o, tg_dnnl_md md)
{
    const tg_desc *d = &m->c->out[o];
    const tg_layout *layout = m->failed ? NULL : tg_dnnl_layout_of(m->s, d, md);
    if (layout) {
        m->q->layout[o] = layout;
        return tg_dnnl_out(md, o);
    }
    return tg_dnnl_target(m, tg_dnnl_out(tg_dnnl_dense(m, d->ndim, d->dim), o), md);
}

void tg_dnnl_finish(tg_dnnl_maker *m, tg_dnnl_operand from, size_t o)
{
    if (from.where != TG_DNNL_OUT)
        tg_dnnl_deliver(m, from, tg_dnnl_out(tg_dnnl_dense(m, m->c->out[o].ndim, m->c->out[o].dim), o));
}

tg_dnnl_operand tg_dnnl_in(tg_dnnl_md md, size_t i)
{
    return (tg_dnnl_operand){md, TG_DNNL_IN, i};
}

tg_dnnl_operand tg_dnnl_out(tg_dnnl_md md, size_t i)
{
    return (tg_dnnl_operand){md, TG_DNNL_OUT, i};
}

size_t tg_dnnl_room(tg_dnnl_maker *m, size_t bytes)
{
    size_t at = m->scratch;
    m->scratch += (bytes + 63) / 64 * 64;
    return at;
}

/* -- steps
 * ------------------------------------------------------------------------------------------------------- */

void tg_dnnl_keep(tg_dnnl_maker *m, dnnl_primitive_desc_t pd)
{
    if (pd && !m->failed)
        m->pd[m->n_pds++] = pd;
}

tg_dnnl_md tg_dnnl_chosen(tg_dnnl_maker *m, dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return m->failed ? NULL : dnnl_primitive_desc_query_md(pd, what, 0);
}

const char *tg_dnnl_name_of(dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name);
    return name ? name : "ref";
}

tg_dnnl_step *tg_dnnl_add(tg_dnnl_maker *m, dnnl_primitive_desc_t pd)
{
    if (!m->failed && m->q->n_steps == TG_DNNL_STEPS)
        m->failed = dnnl_runtime_error;
    if (m->failed)
        return NULL;
    tg_dnnl_step *step = &m->q->step[m->q->n_steps++];
    /* What it has for every case is called ref, ref:any. */
    const char *name = tg_dnnl_name_of(pd);
    if (!m->named)
        snprintf(m->q->implementation, sizeof m->q->implementation, "%s", name);
    m->named = true;
    if (!strncmp(name, "ref", 3)) {
        m->slow = true;
        m->failed = dnnl_unimplemented;
    } else if (!m->dry) {
        m->failed = dnnl_primitive_create(&step->primitive, pd);
    }
    tg_dnnl_md md = tg_dnnl_chosen(m, pd, dnnl_query_scratchpad_md);
    size_t size = md ? dnnl_memory_desc_get_size(md) : 0;
    if (size) {
        m->scratchpad = size > m->scratchpad ? size : m->scratchpad;
        tg_dnnl_bind(m, step, DNNL_ARG_SCRATCHPAD,
                     (tg_dnnl_operand){md, TG_DNNL_SCRATCH, TG_DNNL_SCRATCHPAD});
    }
    return step;
}

void tg_dnnl_add_function(tg_dnnl_maker *m, tg_dnnl_function *function)
{
    if (!m->failed && m->q->n_steps == TG_DNNL_STEPS)
        m->failed = dnnl_runtime_error;
    if (m->failed)
        return;
    m->q->step[m->q->n_steps++].function = function;
    if (!m->named && (m->q->reorders || !m->q->implementation[0]))
        snprintf(m->q->implementation, sizeof m->q->implementation, "loops");
}

void tg_dnnl_bind(tg_dnnl_maker *m, tg_dnnl_step *step, int argument, tg_dnnl_operand x)
{
    if (!m->failed && step->n == TG_DNNL_ARGS)
        m->failed = dnnl_runtime_error;
    if (m->failed || m->dry)
        return;
    int i = step->n;
    step->arg[i].arg = argument;
    step->where[i] = x.where;
    step->at[i] = x.at;
    m->failed = dnnl_memory_create(&step->arg[i].memory, x.md, m->s->engine, DNNL_MEMORY_NONE);
    if (!m->failed)
        step->n++;
}

void tg_dnnl_as_into(tg_dnnl_maker *m, tg_dnnl_operand from, tg_dnnl_operand to)
{
    TG_DNNL_DESCRIBE(m, pd, dnnl_reorder_primitive_desc_create, from.md, m->s->engine, to.md, m->s->engine,
                     m->attr);
    const bool named = m->named;
    tg_dnnl_step *step = tg_dnnl_add(m, pd);
    tg_dnnl_bind(m, step, DNNL_ARG_FROM, from);
    tg_dnnl_bind(m, step, DNNL_ARG_TO, to);
    m->named = named;
    m->q->reorders++;
}

tg_dnnl_operand tg_dnnl_as(tg_dnnl_maker *m, tg_dnnl_operand x, tg_dnnl_md md)
{
    tg_dnnl_operand to = tg_dnnl_target(m, x, md);
    if (!m->failed && (to.where != x.where || to.at != x.at))
        tg_dnnl_as_into(m, x, to);
    return to;
}

tg_dnnl_operand tg_dnnl_target(tg_dnnl_maker *m, tg_dnnl_operand out, tg_dnnl_md md)
{
    if (m->failed || dnnl_memory_desc_equal(out.md, md))
        return out;
    return (tg_dnnl_operand){md, TG_DNNL_SCRATCH, tg_dnnl_room(m, dnnl_memory_desc_get_size(md))};
}

void tg_dnnl_deliver(tg_dnnl_maker *m, tg_dnnl_operand from, tg_dnnl_operand out)
{
    if (!m->failed && from.where != out.where)
        tg_dnnl_as_into(m, from, out);
}

/* -- from start to end
 * ------------------------------------------------------------------------------------------- */

void tg_dnnl_plan_free(tg_backend_state *s, tg_dnnl_plan *q)
{
    for (int i = 0; i < q->n_steps; i++) {
        for (int a = 0; a < q->step[i].n; a++)
            dnnl_memory_destroy(q->step[i].arg[a].memory);
        if (q->step[i].primitive)
            dnnl_primitive_destroy(q->step[i].primitive);
    }
    if (q->stream)
        dnnl_stream_destroy(q->stream);
    s->host->free(s->host->arg, q);
}

/* oneDNN takes the number of threads from OpenMP, when it makes a primitive and when it runs it, and these
 * must agree. Returns what to restore. */
int tg_dnnl_set_threads(int threads)
{
    int before = omp_get_max_threads();
    if (before != threads)
        omp_set_num_threads(threads);
    return before;
}

void tg_dnnl_restore_threads(int before, int threads)
{
    if (before != threads)
        omp_set_num_threads(before);
}

/* A team that OpenMP would not give whole must not be asked for. */
static int team(const tg_call *c)
{
    int limit = omp_get_dynamic() ? 1 : omp_get_thread_limit();
    return c->threads < limit ? c->threads : limit;
}

static void lay_out(tg_dnnl_maker *m, const tg_dnnl_kernel *k)
{
    m->failed = dnnl_primitive_attr_create(&m->attr);
    if (!m->failed)
        m->failed = dnnl_primitive_attr_set_scratchpad_mode(m->attr, dnnl_scratchpad_mode_user);
    if (!m->failed && !m->dry)
        m->failed = dnnl_stream_create(&m->q->stream, m->s->engine, dnnl_stream_default_flags);
    if (!m->failed)
        k->build(m);
    for (int i = 0; i < m->q->n_steps; i++)
        for (int a = 0; a < m->q->step[i].n; a++)
            if (m->q->step[i].where[a] == TG_DNNL_SCRATCH && m->q->step[i].at[a] == TG_DNNL_SCRATCHPAD)
                m->q->step[i].at[a] = m->scratch;
    for (int i = 0; i < m->n_pds; i++)
        dnnl_primitive_desc_destroy(m->pd[i]);
    for (int i = 0; i < m->n_boxes; i++)
        tg_dnnl_box_free(&m->box[i]);
    if (m->attr)
        dnnl_primitive_attr_destroy(m->attr);
}

void tg_dnnl_make(tg_dnnl_maker *m, const tg_dnnl_kernel *k)
{
    m->q->threads = team(m->c);
    int before = tg_dnnl_set_threads(m->q->threads);
    lay_out(m, k);
    tg_dnnl_restore_threads(before, m->q->threads);
}
