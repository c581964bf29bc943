/* The tape for people: as text, and as a graph in DOT. */
#include "autograd/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *name_of(const tg_node *node)
{
    return node->layer ? tg_module_class_name(node->layer) : node->op->name;
}

static const tg_value *value_at(const tg_node *node, size_t i)
{
    tg_tensor *t = i < node->n_in ? node->in[i] : node->out[i - node->n_in];
    return t ? tg_resolve(t) : NULL;
}

static bool saves(const tg_node *node, size_t i)
{
    return !node->released && tg_node_saves(node, i >= node->n_in, i < node->n_in ? i : i - node->n_in);
}

static int64_t bytes_of(const tg_value *v)
{
    return tg_desc_count(v->desc) * (int64_t)tg_dtype_size(v->desc->dtype);
}

/* What the node alone keeps alive, or shares: its saved values on the tape, and what its kernel left. `seen`,
 * by slot: each is counted once; NULL: all. */
static int64_t saved_bytes(const tg_tape *tape, const tg_node *node, bool *seen)
{
    int64_t n = node->saved ? (int64_t)node->saved->size : 0;
    for (size_t i = 0; i < (size_t)node->n_in + node->n_out; i++) {
        const tg_value *v = value_at(node, i);
        if (!v || v->home != &tape->home || !saves(node, i) || (seen && seen[v->slot]))
            continue;
        n += bytes_of(v);
        if (seen)
            seen[v->slot] = true;
    }
    return n;
}

/* -- text -------------------------------------------------------------------------------------------------
 */

static void print_values(const tg_node *node, size_t from, size_t to, FILE *f)
{
    char text[160];
    for (size_t i = from; i < to; i++) {
        const tg_value *v = value_at(node, i);
        fprintf(f, "%s", i > from ? ", " : " ");
        if (v)
            fprintf(f, "%c%u:%s%s", v->home->tape ? '%' : '$', v->slot,
                    tg_desc_format(v->desc, text, sizeof text), saves(node, i) ? "*" : "");
        else
            fprintf(f, "-");
    }
}

static void print_node(const tg_tape *tape, const tg_node *node, FILE *to)
{
    fprintf(to, "%u %s", node->index, name_of(node));
    print_values(node, 0, node->n_in, to);
    fprintf(to, " ->");
    print_values(node, node->n_in, (size_t)node->n_in + node->n_out, to);
    fprintf(to, "  %s", node->mode == TG_EVAL ? "eval" : "train");
    if (node->released)
        fprintf(to, "  given back");
    else
        fprintf(to, "  %" PRId64 " bytes saved", saved_bytes(tape, node, NULL));
    if (node->made_by != TG_NO_NODE)
        fprintf(to, "  by the backward of %u", node->made_by);
    fprintf(to, "  %s:%d\n", node->file ? node->file : "?", node->line);
}

void tg_tape_print(const tg_tape *tape, FILE *to)
{
    if (!tape || !to)
        return;
    const tg_allocator *a = &tape->rt->allocator;
    bool *seen = tg_alloc_zero(a, tape->home.n_slots + 1u);
    int64_t bytes = 0;
    size_t of_backward = 0;
    for (size_t i = 0; i < tape->n_nodes; i++) {
        print_node(tape, tape->nodes[i], to);
        bytes += seen ? saved_bytes(tape, tape->nodes[i], seen) : 0;
        of_backward += tape->nodes[i]->made_by != TG_NO_NODE;
    }
    fprintf(to, "%zu nodes, %zu of them recorded by a backward", tape->n_nodes, of_backward);
    if (seen)
        fprintf(to, "; %" PRId64 " bytes saved", bytes);
    fprintf(to, "\n");
    tg_free(a, seen);
}

/* -- DOT --------------------------------------------------------------------------------------------------
 */

typedef struct drawing {
    const tg_tape *tape;
    const tg_named_tensors *names;
    FILE *to;
    bool *on_tape, *outside; /* by slot: drawn as a leaf; of the tape's: read by somebody */
} drawing;

static void put_text(FILE *to, const char *s)
{
    for (; *s; s++)
        fprintf(to, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
}

static const char *leaf_name(const drawing *d, const tg_tensor *t, const tg_value *v)
{
    for (size_t i = 0; d->names && i < d->names->n; i++)
        if (d->names->tensor[i] == t)
            return d->names->name[i];
    return v->home->tape ? "input" : "tensor";
}

static void draw_leaf(const drawing *d, const tg_tensor *t, const tg_value *v)
{
    bool *drawn = v->home->tape ? &d->on_tape[v->slot] : &d->outside[v->slot];
    if (*drawn)
        return;
    *drawn = true;
    char shape[160];
    bool wants = v->flags & TG_V_REQUIRES_GRAD;
    fprintf(d->to, "  %c%u [shape=ellipse, fillcolor=\"%s\", label=\"", v->home->tape ? 't' : 'p', v->slot,
            wants ? "#d5e8d4" : "#f2f2f2");
    put_text(d->to, leaf_name(d, t, v));
    fprintf(d->to, "\\n%s\"];\n", tg_desc_format(v->desc, shape, sizeof shape));
}

static void draw_node(const drawing *d, const tg_node *node)
{
    bool own = false;
    fprintf(d->to, "  n%u [fillcolor=\"%s\", label=\"%u ", node->index,
            node->made_by == TG_NO_NODE ? "#dae8fc" : "#ffe6cc", node->index);
    put_text(d->to, name_of(node));
    fprintf(d->to, "\\n");
    const char *slash = node->file ? strrchr(node->file, '/') : NULL;
    put_text(d->to, slash ? slash + 1 : node->file ? node->file : "?");
    fprintf(d->to, ":%d", node->line);
    for (size_t o = 0; o < node->n_out; o++)
        own |= saves(node, node->n_in + o);
    if (node->made_by != TG_NO_NODE)
        fprintf(d->to, "\\nbackward of %u", node->made_by);
    fprintf(d->to, node->released ? "\\ngiven back\"];\n" : "\\n%" PRId64 " bytes saved%s\"];\n",
            saved_bytes(d->tape, node, NULL), own ? ", its result" : "");
}

static void draw_edges(const drawing *d, const tg_node *node)
{
    char shape[160];
    for (size_t i = 0; i < node->n_in; i++) {
        const tg_value *v = value_at(node, i);
        if (!v)
            continue;
        const bool made = v->home == &d->tape->home && v->node != TG_NO_NODE, saved = saves(node, i);
        if (!made)
            draw_leaf(d, node->in[i], v);
        else
            d->on_tape[v->slot] = true;
        fprintf(d->to, "  %c%u -> n%u [label=\"%s%s\"%s%s];\n",
                made            ? 'n'
                : v->home->tape ? 't'
                                : 'p',
                made ? v->node : v->slot, node->index, tg_desc_format(v->desc, shape, sizeof shape),
                saved ? " saved" : "", saved ? ", penwidth=2" : "",
                node->needs[i] ? "" : ", color=\"#999999\"");
    }
}

/* What nobody on the tape reads: the loss, a gradient. */
static void draw_results(const drawing *d, const tg_node *node)
{
    char shape[160];
    for (size_t o = 0; o < node->n_out; o++) {
        const tg_value *v = value_at(node, node->n_in + o);
        if (!v || d->on_tape[v->slot])
            continue;
        tg_desc_format(v->desc, shape, sizeof shape);
        fprintf(d->to,
                "  r%u [shape=plaintext, style=\"\", label=\"result\"];\n  n%u -> r%u [label=\"%s\"];\n",
                v->slot, node->index, v->slot, shape);
    }
}

tg_status tg_tape_dot(const tg_tape *tape, tg_module *names, FILE *to)
{
    if (!tape || !to)
        return tg_null(NULL, "tg_tape_dot", tape ? "the stream" : "the tape");
    const tg_allocator *a = &tape->rt->allocator;
    const size_t own = tape->home.n_slots + 1u, outside = tape->rt->home.n_slots + 1u;
    const tg_named_tensors *state = names ? tg_module_state(names) : NULL;
    bool *drawn = tg_alloc_zero(a, own + outside);
    if (!drawn || (names && !state)) {
        tg_free(a, drawn);
        return TG_ENOMEM;
    }
    const drawing d = {tape, state, to, drawn, drawn + own};
    fprintf(to, "digraph tape {\n  node [shape=box, style=filled, fontname=\"sans-serif\", fontsize=10];\n"
                "  edge [fontname=\"sans-serif\", fontsize=8];\n");
    for (size_t i = 0; i < tape->n_nodes; i++) {
        draw_node(&d, tape->nodes[i]);
        draw_edges(&d, tape->nodes[i]);
    }
    for (size_t i = 0; i < tape->n_nodes; i++)
        draw_results(&d, tape->nodes[i]);
    fprintf(to, "}\n");
    tg_free(a, drawn);
    return ferror(to) ? tg_fail(NULL, TG_EIO, "tg_tape_dot: the stream could not be written") : TG_OK;
}
