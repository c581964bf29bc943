/* What a model is made of and what a step of it takes, from a plan: nothing is computed, nothing moves. Hooks
 * tell which module is at work, an observer which rows it applies. */
#include <string.h>

#include <tapegrad/hooks.h>
#include <tapegrad/memory.h>
#include <tapegrad/module_tools.h>

#include "layers/internal.h"

typedef struct taking taking;

/* One module, while its calls are looked at. */
typedef struct seen {
    taking *of;
    tg_summary_row *row;
    tg_hook before, after;
    struct seen *caller; /* while it runs */
    bool runs;
} seen;

struct taking {
    const tg_allocator *a;
    tg_module *module;
    tg_summary *out;
    seen *at; /* one for each row */
    size_t n, filled;
    seen *now;
};

/* -- rows
 * ----------------------------------------------------------------------------------------------------------
 */

static size_t bytes_of(const tg_desc *d)
{
    return (size_t)tg_desc_count(d) * tg_dtype_size(d->dtype);
}

static tg_status count_tensors(const tg_named_tensors *list, int64_t *n, int64_t *wanting, size_t *bytes)
{
    if (!list)
        return tg_fail_again(NULL, TG_ENOMEM);
    for (size_t i = 0; i < list->n; i++) {
        tg_desc d;
        tg_status status = tg_tensor_desc(list->tensor[i], &d);
        if (status)
            return status;
        *n += tg_desc_count(&d);
        *wanting += tg_tensor_requires_grad(list->tensor[i]) ? tg_desc_count(&d) : 0;
        *bytes += bytes_of(&d);
    }
    return TG_OK;
}

static tg_status count_one(void *arg, tg_module *m, const char *path)
{
    taking *t = arg;
    (void)m, (void)path;
    t->n++;
    return TG_OK;
}

static int depth_of(const char *path)
{
    int depth = *path != '\0';
    for (; *path; path++)
        depth += *path == '.';
    return depth;
}

static tg_status fill_row(void *arg, tg_module *m, const char *path)
{
    taking *t = arg;
    tg_summary_row *row = &t->out->row[t->filled++];
    int64_t unused = 0;
    *row = (tg_summary_row){.class_name = m->cls->name,
                            .depth = depth_of(path),
                            .is_leaf = m->n_children == 0,
                            .mode = m->mode,
                            .frozen = m->frozen};
    if (!(row->path = tg_strdup(t->a, path)))
        return tg_fail_again(NULL, TG_ENOMEM);
    tg_status status =
        count_tensors(tg_module_parameters(m), &row->parameters, &row->trainable, &row->parameter_bytes);
    return status ? status : count_tensors(tg_module_buffers(m), &row->buffers, &unused, &row->buffer_bytes);
}

/* -- calls
 * ---------------------------------------------------------------------------------------------------------
 */

static tg_status enter(void *arg, tg_module *m, tg_tape *tape, tg_tensor *in[], size_t n_in)
{
    seen *s = arg;
    (void)m, (void)in, (void)n_in;
    if (s->runs)
        return tg_layer_fail(m, tape, TG_EUNSUPPORTED, "it calls itself, which a summary does not show");
    s->caller = s->of->now;
    s->runs = true;
    s->of->now = s;
    return TG_OK;
}

static tg_status leave(void *arg, tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                       tg_tensor *out[], size_t n_out)
{
    seen *s = arg;
    tg_summary_row *row = s->row;
    (void)m, (void)tape, (void)in, (void)n_in;
    row->calls++;
    row->n_out = 0;
    for (size_t o = 0; o < n_out; o++) {
        const tg_value *v = out[o] ? tg_resolve(out[o]) : NULL;
        if (!v)
            continue;
        if (row->n_out++ == 0)
            row->out = *v->desc;
        row->output_bytes += bytes_of(v->desc);
    }
    row->out.layout = NULL;
    s->of->now = s->caller;
    s->runs = false;
    return TG_OK;
}

static void applied(void *arg, tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                    tg_tensor *const out[], size_t n_out, const tg_node *rule_of)
{
    taking *t = arg;
    const tg_desc *desc[16] = {NULL};
    (void)tape;
    if (!op->multiply_adds || rule_of || !t->now || n_in > 16 || !n_out)
        return;
    const tg_value *y = out[0] ? tg_resolve(out[0]) : NULL;
    for (size_t i = 0; i < n_in; i++) {
        const tg_value *v = in[i] ? tg_resolve(in[i]) : NULL;
        if (in[i] && !v)
            return;
        desc[i] = v ? v->desc : NULL;
    }
    if (y)
        t->now->row->multiply_adds += op->multiply_adds(desc, y->desc);
}

static tg_status look_at(void *arg, tg_module *m, const char *path)
{
    taking *t = arg;
    seen *s = &t->at[t->filled];
    (void)path;
    *s = (seen){.of = t, .row = &t->out->row[t->filled++]};
    s->before = tg_module_register_forward_pre_hook(m, enter, s);
    s->after = tg_module_register_forward_hook(m, leave, s);
    return s->before && s->after ? TG_OK : tg_fail_again(NULL, TG_ENOMEM);
}

/* Allocates nothing: it must not fail. */
static void look_away(taking *t, tg_module *m, size_t *i)
{
    tg_module_remove_hook(m, t->at[*i].before);
    tg_module_remove_hook(m, t->at[*i].after);
    ++*i;
    for (size_t k = 0; k < m->n_children; k++)
        look_away(t, m->children[k], i);
}

static tg_status run(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *none[],
                     size_t n_none)
{
    taking *t = arg;
    tg_tensor *out[TG_LAYER_MAX_ARGS];
    (void)none, (void)n_none;
    tg_tape_set_recording(tape, false);
    tg_tape_observe(tape, &(tg_observer){.applied = applied, .arg = t});
    return tg_forward_n(tape, t->module, in, n_in, out, t->module->cls->n_out);
}

/* A step without a loss of its own: the gradient of the first output's sum. */
static tg_status step(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *none[],
                      size_t n_none)
{
    const taking *t = arg;
    tg_tensor *out[1];
    (void)none, (void)n_none;
    tg_status status = tg_forward_n(tape, t->module, in, n_in, out, 1);
    if (!status && tg_tensor_requires_grad(out[0]))
        status = tg_backward(tape, tg_sum(tape, out[0]));
    return status;
}

/* Rows of modules come before those of their children. */
static void add_up(tg_summary *s)
{
    for (size_t i = s->n; i-- > 1;) {
        size_t above = i - 1;
        while (s->row[above].depth >= s->row[i].depth)
            above--;
        s->row[above].multiply_adds += s->row[i].multiply_adds;
    }
}

static tg_status take(taking *t, const tg_desc in[], size_t n_in)
{
    tg_memory unused;
    tg_status status = tg_module_walk(t->module, count_one, t);
    if (status)
        return status;
    t->out->row = tg_alloc_zero(t->a, t->n * sizeof *t->out->row);
    t->at = tg_alloc_zero(t->a, t->n * sizeof *t->at);
    if (!t->out->row || !t->at)
        return tg_fail_again(NULL, TG_ENOMEM);
    t->out->n = t->n;
    status = tg_module_walk(t->module, fill_row, t);
    t->filled = 0;
    if (!status)
        status = tg_module_walk(t->module, look_at, t);
    if (!status)
        status = tg_plan_memory(t->module->rt, run, t, in, n_in, &unused);
    size_t i = 0;
    look_away(t, t->module, &i);
    if (status)
        return status;
    add_up(t->out);
    status = tg_plan_module(t->module, NULL, in, n_in, &t->out->forward);
    return status ? status : tg_plan_memory(t->module->rt, step, t, in, n_in, &t->out->training);
}

tg_status tg_module_summary(tg_module *module, const tg_desc in[], size_t n_in, tg_summary *out)
{
    if (out)
        *out = (tg_summary){0};
    if (!module || !out || (n_in && !in))
        return tg_fail(NULL, TG_EINVAL, "tg_module_summary: the %s NULL",
                       !module ? "module is"
                       : !out  ? "summary is"
                               : "inputs are");
    taking t = {.a = tg_runtime_allocator(module->rt), .module = module, .out = out};
    out->rt = module->rt;
    tg_status status = take(&t, in, n_in);
    tg_free(t.a, t.at);
    if (status)
        tg_summary_free(out);
    return status;
}

void tg_summary_free(tg_summary *summary)
{
    if (!summary || !summary->rt)
        return;
    const tg_allocator *a = tg_runtime_allocator(summary->rt);
    for (size_t i = 0; i < summary->n; i++)
        tg_free(a, summary->row[i].path);
    tg_free(a, summary->row);
    *summary = (tg_summary){0};
}
