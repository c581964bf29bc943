/* A node is plain data: which row, on what, in which mode, from which line. */
#include "autograd/internal.h"

#include <string.h>

tg_node *tg_node_new(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                     tg_tensor *const out[], size_t n_out, size_t n_scalars)
{
    if (tape->n_nodes == tape->node_capacity &&
        tg_grow(&tape->rt->allocator, &tape->nodes, &tape->node_capacity, tape->n_nodes + 1,
                sizeof *tape->nodes))
        return NULL;
    size_t size = sizeof(tg_node) + (n_in + n_out) * (sizeof(tg_tensor *) + sizeof(uint32_t)) +
                  n_scalars * sizeof(double) + n_in;
    tg_node *node = tg_arena_get(&tape->arena, size);
    if (!node)
        return NULL;
    node->op = op;
    node->entry = NULL;
    node->layer = NULL;
    node->attrs = NULL;
    node->saved = NULL;
    node->draw = 0;
    node->n_in = (uint32_t)n_in;
    node->n_out = (uint32_t)n_out;
    node->mode = (uint8_t)tape->mode;
    node->released = false;
    node->out = node->in + n_in;
    double *scalars = (double *)(void *)(node->out + n_out);
    node->scalars = scalars;
    node->version = (uint32_t *)(void *)(scalars + n_scalars);
    node->needs = (bool *)(node->version + n_in + n_out);
    for (size_t i = 0; i < n_in; i++)
        node->in[i] = in[i];
    for (size_t o = 0; o < n_out; o++)
        node->out[o] = out[o];
    const tg_place here = tg_here();
    node->file = here.file;
    node->line = here.line;
    node->index = (uint32_t)tape->n_nodes;
    node->made_by = tape->rule_of ? tape->rule_of->index : TG_NO_NODE;
    node->seed = tape->rule_of ? tape->rule_of->seed : tape->next.seed;
    return node;
}

static inline void keep(const tg_tape *tape, tg_value *v, bool saved, uint32_t *version)
{
    *version = saved && v->storage ? v->storage->version : 0;
    if (v->home != &tape->home)
        return;
    v->flags |= TG_V_RECORDED;
    v->refs += saved;
}

static inline void keep_output(const tg_tape *tape, tg_node *node, uint32_t o, tg_value *v)
{
    const bool carries = !(o < 16 && (node->op->nondiff_out & (1u << o)));
    v->node = node->index;
    v->flags &= ~(uint32_t)TG_V_LEAF;
    keep(tape, v, tg_node_saves(node, true, o), &node->version[node->n_in + o]);
    if (carries && (v->desc->dtype == TG_F32 || v->desc->dtype == TG_F64))
        v->flags |= TG_V_REQUIRES_GRAD;
}

static inline void keep_input(const tg_tape *tape, tg_node *node, uint32_t i, tg_value *v)
{
    node->needs[i] = v && (v->flags & TG_V_REQUIRES_GRAD);
    if (v)
        keep(tape, v, tg_node_saves(node, false, i), &node->version[i]);
}

void tg_node_commit_values(tg_tape *tape, tg_node *node, tg_value *const in[], tg_value *const out[])
{
    for (uint32_t i = 0; i < node->n_in; i++)
        keep_input(tape, node, i, in[i]);
    for (uint32_t o = 0; o < node->n_out; o++)
        keep_output(tape, node, o, out[o]);
    tape->nodes[tape->n_nodes++] = node;
}

void tg_node_commit(tg_tape *tape, tg_node *node)
{
    for (uint32_t i = 0; i < node->n_in; i++)
        keep_input(tape, node, i, node->in[i] ? tg_resolve(node->in[i]) : NULL);
    for (uint32_t o = 0; o < node->n_out; o++)
        keep_output(tape, node, o, tg_resolve(node->out[o]));
    tape->nodes[tape->n_nodes++] = node;
}

static bool saves_any(const tg_node *node)
{
    return node->op->saves || node->layer;
}

void tg_node_release(tg_tape *tape, tg_node *node)
{
    if (node->released)
        return;
    node->released = true;
    for (uint32_t i = 0; i < node->n_in + node->n_out && saves_any(node); i++) {
        bool output = i >= node->n_in;
        tg_tensor *t = output ? node->out[i - node->n_in] : node->in[i];
        if (!t || !tg_node_saves(node, output, output ? i - node->n_in : i))
            continue;
        tg_value *v = tg_resolve(t);
        if (v && v->home == &tape->home)
            tg_value_release(v);
    }
    tg_pool_put(tape->pool, node->saved);
    node->saved = NULL;
}

static tg_status overwritten(tg_tape *tape, const tg_node *node, const char *which, uint32_t i,
                             const tg_storage *s)
{
    const char *name = node->layer ? tg_module_class_name(node->layer) : node->op->name;
    return tg_fail(
        tape, TG_ESTATE,
        "backward of %s (recorded at %s:%d): its saved %s %u was overwritten since, by a call at %s:%d", name,
        node->file ? node->file : "?", node->line, which, i, s->writer_file ? s->writer_file : "?",
        s->writer_line);
}

tg_status tg_node_check_versions(tg_tape *tape, const tg_node *node)
{
    for (uint32_t i = 0; i < node->n_in + node->n_out && saves_any(node); i++) {
        bool output = i >= node->n_in;
        uint32_t k = output ? i - node->n_in : i;
        tg_tensor *t = output ? node->out[k] : node->in[k];
        if (!t || !tg_node_saves(node, output, k))
            continue;
        const tg_value *v = tg_resolve(t);
        if (!v || !v->storage)
            return tg_fail(
                tape, TG_ESTALE, "backward of %s (recorded at %s:%d): its %s %u was destroyed since",
                node->op->name, node->file ? node->file : "?", node->line, output ? "output" : "input", k);
        if (v->storage->version != node->version[i])
            return overwritten(tape, node, output ? "output" : "input", k, v->storage);
    }
    return TG_OK;
}

const tg_operator *tg_node_operator(const tg_node *node)
{
    return node->op;
}

size_t tg_node_n_in(const tg_node *node)
{
    return node->n_in;
}

tg_tensor *tg_node_input(const tg_node *node, size_t i)
{
    return i < node->n_in ? node->in[i] : NULL;
}

tg_tensor *tg_node_output(const tg_node *node, size_t i)
{
    return i < node->n_out ? node->out[i] : NULL;
}

bool tg_node_needs(const tg_node *node, size_t i)
{
    return i < node->n_in && node->needs[i];
}

const void *tg_node_attrs(const tg_node *node)
{
    return node->attrs;
}

double tg_node_scalar(const tg_node *node, size_t i)
{
    return node->scalars[i];
}

uint64_t tg_node_draw(const tg_node *node)
{
    return node->draw;
}

tg_mode tg_node_mode(const tg_node *node)
{
    return (tg_mode)node->mode;
}
