/* torch.optim.swa_utils: averages of a model, and BatchNorm's statistics for them. */
#include "layers/internal.h"

#include <tapegrad/average.h>
#include <tapegrad/op_attrs.h>

#include "training/save.h"

enum { PERIOD = 5, SCALARS = 8 }; /* optim_step's */

struct tg_averaged_model {
    tg_runtime *rt;
    tg_module *model, *copy;
    const tg_operator *op;
    double decay;
    bool use_buffers;
    int64_t count;
    /* Room for one call: */
    size_t n;
    tg_tensor **in;
    double *scalars;
    void *bytes; /* a buffer that is not of floats on its way over */
};

/* -- the average ----------------------------------------------------------------------------------------- */
static size_t bytes_of(const tg_tensor *t)
{
    return (size_t)tg_tensor_count(t) * tg_dtype_size(tg_tensor_dtype(t));
}

static tg_status make_room(tg_averaged_model *a)
{
    const tg_allocator *allocator = tg_runtime_allocator(a->rt);
    const tg_named_tensors *parts[] = {tg_module_parameters(a->copy), tg_module_buffers(a->copy)};
    size_t most = 1;
    if (!parts[0] || !parts[1])
        return TG_ENOMEM;
    for (size_t i = 0; i < parts[1]->n; i++)
        if (!tg_dtype_is_float(tg_tensor_dtype(parts[1]->tensor[i])) && bytes_of(parts[1]->tensor[i]) > most)
            most = bytes_of(parts[1]->tensor[i]);
    a->n = parts[0]->n + parts[1]->n;
    a->in = tg_alloc_zero(allocator, (a->n * PERIOD + 1) * sizeof *a->in);
    a->scalars = tg_alloc_zero(allocator, (a->n * SCALARS + 1) * sizeof *a->scalars);
    a->bytes = tg_alloc(allocator, most);
    return a->in && a->scalars && a->bytes ? TG_OK : TG_ENOMEM;
}

tg_averaged_model *tg_averaged_model_new(tg_module *model, double decay, bool use_buffers)
{
    if (!model) {
        tg_null(NULL, "tg_averaged_model_new", "the module");
        return NULL;
    }
    if (!(decay >= 0 && decay <= 1)) {
        tg_fail(NULL, TG_EINVAL, "tg_averaged_model_new: decay is %g, expected a number in [0, 1]", decay);
        return NULL;
    }
    tg_averaged_model *a = tg_alloc_zero(tg_runtime_allocator(model->rt), sizeof *a);
    if (!a) {
        tg_fail_again(NULL, TG_ENOMEM);
        return NULL;
    }
    a->rt = model->rt;
    a->model = model;
    a->decay = decay;
    a->use_buffers = use_buffers;
    a->op = tg_operator_find(a->rt, "optim_step");
    a->copy = tg_module_copy(model);
    if (!a->copy || make_room(a)) {
        tg_averaged_model_destroy(a);
        return NULL;
    }
    tg_module_eval(a->copy);
    return a;
}

void tg_averaged_walk(tg_walk *w, tg_averaged_model *a)
{
    const int64_t *count =
        tg_walk_numbers(w, "n_averaged", TG_I64, -1, 0, w->pass == TG_CHECK ? NULL : &a->count);
    if (count && *count < 0)
        tg_walk_fail(w, TG_EFORMAT, "%lld updates, expected at least 0", (long long)*count);
    const size_t before = tg_walk_enter(w, "module.");
    tg_state_walk(w, a->copy);
    tg_walk_leave(w, before);
}

void tg_averaged_model_destroy(tg_averaged_model *a)
{
    if (!a)
        return;
    const tg_allocator *allocator = tg_runtime_allocator(a->rt);
    tg_module_destroy(a->copy);
    tg_free(allocator, a->in);
    tg_free(allocator, a->scalars);
    tg_free(allocator, a->bytes);
    tg_free(allocator, a);
}

/* Groups from `n` on for what is of floats; returns how many there are then. */
static size_t gather(tg_averaged_model *a, const tg_named_tensors *to, const tg_named_tensors *from,
                     double weight, size_t n)
{
    for (size_t i = 0; i < to->n; i++) {
        if (!tg_dtype_is_float(tg_tensor_dtype(to->tensor[i])))
            continue;
        a->in[n * PERIOD] = to->tensor[i];
        a->in[n * PERIOD + 1] = from->tensor[i];
        a->scalars[n * SCALARS] = 1;
        a->scalars[n * SCALARS + 2] = weight;
        n++;
    }
    return n;
}

/* Those that the operator does not take. */
static tg_status follow(tg_averaged_model *a, const tg_named_tensors *to, const tg_named_tensors *from)
{
    tg_status status = TG_OK;
    for (size_t i = 0; i < to->n && !status; i++) {
        if (tg_dtype_is_float(tg_tensor_dtype(to->tensor[i])))
            continue;
        status = tg_tensor_read(from->tensor[i], a->bytes, bytes_of(to->tensor[i]));
        if (!status)
            status = tg_tensor_write(to->tensor[i], a->bytes, bytes_of(to->tensor[i]));
    }
    return status;
}

static tg_status check_same(tg_tape *tape, const tg_named_tensors *to, const tg_named_tensors *from)
{
    if (!to || !from)
        return tg_fail_again(tape, TG_ENOMEM);
    if (to->n != from->n)
        return tg_fail(tape, TG_ESTATE,
                       "tg_averaged_model_update: the model has %zu tensors, its copy has %zu", from->n,
                       to->n);
    for (size_t i = 0; i < to->n; i++)
        if (bytes_of(to->tensor[i]) != bytes_of(from->tensor[i]))
            return tg_fail(tape, TG_ESTATE,
                           "tg_averaged_model_update: %s is not what it was when it was copied",
                           from->name[i]);
    return TG_OK;
}

tg_status tg_averaged_model_update(tg_averaged_model *a, tg_tape *tape)
{
    if (!a || !tape)
        return tg_null(tape, "tg_averaged_model_update", a ? "the tape" : "the average");
    if (tg_tape_status(tape) || tape->planning)
        return tg_tape_status(tape);
    const tg_named_tensors *to[] = {tg_module_parameters(a->copy), tg_module_buffers(a->copy)},
                           *from[] = {tg_module_parameters(a->model), tg_module_buffers(a->model)};
    tg_status status = check_same(tape, to[0], from[0]);
    if (!status)
        status = check_same(tape, to[1], from[1]);
    if (status)
        return status;
    double weight = a->count == 0 ? 1 : a->decay > 0 ? 1 - a->decay : 1 / (double)(a->count + 1);
    size_t n = gather(a, to[0], from[0], weight, 0);
    n = gather(a, to[1], from[1], a->use_buffers ? weight : 1, n);
    static const tg_rule_attrs lerp = {.rule = TG_RULE_LERP};
    bool recording = tg_tape_set_recording(tape, false);
    status = n ? tg_apply(tape, a->op, a->in, n * PERIOD, &lerp, a->scalars, NULL) : TG_OK;
    tg_tape_set_recording(tape, recording);
    if (!status && (status = follow(a, to[1], from[1])))
        return tg_fail_again(tape, status);
    a->count += !status;
    return status;
}

tg_module *tg_averaged_module(const tg_averaged_model *a)
{
    return a ? a->copy : NULL;
}

int64_t tg_averaged_count(const tg_averaged_model *a)
{
    return a ? a->count : 0;
}

void tg_averaged_set_count(tg_averaged_model *a, int64_t count)
{
    if (a)
        a->count = count < 0 ? 0 : count;
}

/* -- BatchNorm ------------------------------------------------------------------------------------------- */
/* What a pass changes of each module, in the order of the walk. */
typedef struct saved {
    tg_mode mode;
    bool restarted;
    double momentum; /* of one that is restarted */
} saved;

typedef struct recalibration {
    size_t n, n_norms;
    saved *was;
} recalibration;

static double *momentum_of(tg_module *m)
{
    return &((tg_batch_norm_options *)m->attrs)->momentum;
}

/* A frozen one keeps its statistics: its forwards would not refill them. */
static bool is_restarted(const tg_module *m)
{
    tg_batch_norm_facts facts;
    return tg_batch_norm_facts_of(m, &facts) && !(m->frozen & TG_FREEZE_STATISTICS);
}

static tg_status restart(tg_module *m)
{
    static const char *const names[] = {"running_mean", "running_var", "num_batches_tracked"};
    tg_status status = TG_OK;
    for (int i = 0; i < 3 && !status; i++) {
        tg_tensor *t = tg_module_tensor(m, names[i]);
        status = t ? tg_fill(t, i == 1) : TG_OK;
    }
    return status;
}

static void count_all(recalibration *r, tg_module *m)
{
    r->n++;
    r->n_norms += is_restarted(m);
    for (size_t i = 0; i < m->n_children; i++)
        count_all(r, m->children[i]);
}

static tg_status enter(recalibration *r, tg_module *m)
{
    saved *was = &r->was[r->n++];
    *was = (saved){.mode = m->mode, .restarted = is_restarted(m)};
    m->mode = TG_TRAIN;
    tg_status status = TG_OK;
    if (was->restarted) {
        was->momentum = *momentum_of(m);
        *momentum_of(m) = TG_NONE_REAL;
        status = restart(m);
    }
    for (size_t i = 0; i < m->n_children; i++) {
        tg_status below = enter(r, m->children[i]);
        status = status ? status : below;
    }
    return status;
}

static void leave(recalibration *r, tg_module *m)
{
    const saved *was = &r->was[r->n++];
    m->mode = was->mode;
    if (was->restarted)
        *momentum_of(m) = was->momentum;
    for (size_t i = 0; i < m->n_children; i++)
        leave(r, m->children[i]);
}

static tg_status pass(tg_tape *tape, tg_module *model, tg_next_input next, void *arg)
{
    tg_status status;
    for (;;) {
        tg_tape_reset(tape);
        const uint64_t before = tg_failures();
        tg_tensor *x = next(arg, tape);
        if ((status = tg_tape_status(tape)))
            return tg_returned(tape, before, status, "tg_update_bn_from: the function");
        if (!x)
            return TG_OK;
        if (!tg_forward(tape, model, x))
            return tg_tape_status(tape);
    }
}

tg_status tg_update_bn_from(tg_tape *tape, tg_module *model, tg_next_input next, void *arg)
{
    recalibration r = {0};
    if (!tape || !model || !next)
        return tg_null(tape, "tg_update_bn", !tape ? "the tape" : model ? "the function" : "the module");
    if (tg_tape_status(tape))
        return tg_tape_status(tape);
    count_all(&r, model);
    if (r.n_norms == 0)
        return TG_OK;
    const tg_allocator *a = tg_runtime_allocator(model->rt);
    r.was = tg_alloc(a, r.n * sizeof *r.was);
    if (!r.was)
        return tg_fail_again(tape, TG_ENOMEM);
    bool recording = tg_tape_set_recording(tape, false);
    r.n = 0;
    tg_status status = enter(&r, model);
    status = status ? tg_fail_again(tape, status) : pass(tape, model, next, arg);
    r.n = 0;
    leave(&r, model);
    tg_tape_set_recording(tape, recording);
    tg_free(a, r.was);
    return status;
}

static tg_tensor *next_of(void *loader, tg_tape *tape)
{
    tg_batch batch;
    return tg_loader_next(loader, tape, &batch) ? batch.x : NULL;
}

tg_status tg_update_bn(tg_tape *tape, tg_module *model, tg_loader *loader)
{
    if (!loader)
        return tg_null(tape, "tg_update_bn", "the loader");
    return tg_update_bn_from(tape, model, next_of, loader);
}
