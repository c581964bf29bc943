/* Checkpoints of modules, and what their steps take. */
#include <tapegrad/memory.h>

#include "layers/internal.h"

/* Children [first, last) of a module, or the module itself. In the arena: until the reset. */
typedef struct part {
    tg_module *module;
    size_t first, last;
} part;

static tg_status run_module(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                            size_t n_out)
{
    return tg_forward_n(tape, arg, in, n_in, out, n_out);
}

static tg_status run_part(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                          size_t n_out)
{
    (void)n_in, (void)n_out;
    const part *p = arg;
    out[0] = in[0];
    for (size_t i = p->first; i < p->last && out[0]; i++)
        out[0] = tg_forward(tape, p->module->children[i], out[0]);
    return tg_tape_status(tape);
}

tg_tensor *tg_checkpoint_forward(tg_tape *tape, tg_module *module, tg_tensor *x)
{
    tg_tensor *y = NULL;
    return tg_checkpoint(tape, run_module, module, &x, 1, &y, 1) ? NULL : y;
}

tg_tensor *tg_checkpoint_sequential(tg_tape *tape, tg_module *m, size_t segments, tg_tensor *x)
{
    if (!tape || !m || m->cls != tg_layers_sequential[0]) {
        tg_fail(tape, TG_EINVAL, "tg_checkpoint_sequential: the %s",
                !tape ? "tape is NULL"
                : !m  ? "module is NULL"
                      : "module is not a Sequential");
        return NULL;
    }
    if (!segments || segments > m->n_children) {
        tg_fail(tape, TG_EINVAL, "tg_checkpoint_sequential: %zu segments of %zu children", segments,
                m->n_children);
        return NULL;
    }
    size_t size = m->n_children / segments;
    for (size_t s = 0; s < segments && x; s++) {
        bool last = s + 1 == segments;
        part *p = tg_arena_get(&tape->arena, sizeof *p);
        if (!p) {
            tg_fail_again(tape, TG_ENOMEM);
            return NULL;
        }
        *p = (part){m, s * size, last ? m->n_children : (s + 1) * size};
        tg_tensor *y = NULL;
        tg_status status = last ? run_part(p, tape, &x, 1, &y, 1) : tg_checkpoint(tape, run_part, p, &x, 1, &y, 1);
        x = status ? NULL : y;
    }
    return x;
}

typedef struct planned {
    tg_module *module, *loss;
} planned;

static tg_status plan_step(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *none[],
                           size_t n_none)
{
    (void)none, (void)n_none;
    const planned *p = arg;
    tg_tensor *out[TG_LAYER_MAX_ARGS], *loss;
    if (!p->loss) {
        tg_tape_set_recording(tape, false);
        return tg_forward_n(tape, p->module, in, n_in, out, p->module->cls->n_out);
    }
    tg_status status = tg_forward_n(tape, p->module, in, n_in - 1, out, p->module->cls->n_out);
    if (!status)
        status = tg_forward_n(tape, p->loss, (tg_tensor *[]){out[0], in[n_in - 1]}, 2, &loss, 1);
    return status ? status : tg_backward(tape, loss);
}

tg_status tg_plan_module(tg_module *module, tg_module *loss, const tg_desc in[], size_t n_in, tg_memory *out)
{
    if (!module || (loss && !n_in))
        return tg_fail(NULL, TG_EINVAL, "tg_plan_module: %s", module ? "there is no target" : "the module is NULL");
    return tg_plan_memory(module->rt, plan_step, &(planned){module, loss}, in, n_in, out);
}
