/* What every optimizer does the same way: parameters, groups, state, and a step in one call. */
#include "training/optimizer.h"

#include <math.h>
#include <string.h>

/* -- parameters ------------------------------------------------------------------------------------------ */
static tg_status check_parameter(const tg_optimizer *o, const tg_named_tensors *parameters, size_t i)
{
    const char *what = o->cls->name, *name = parameters->name ? parameters->name[i] : "?";
    tg_tensor *t = parameters->tensor[i];
    if (!t || !tg_tensor_is_alive(t))
        return tg_fail(NULL, TG_ESTALE, "%s: parameter %zu (%s) is NULL or was destroyed", what, i, name);
    if (tg_tensor_runtime(t) != o->rt)
        return tg_fail(NULL, TG_EINVAL, "%s: parameter %s belongs to another runtime", what, name);
    if (!tg_tensor_is_leaf(t))
        return tg_fail(NULL, TG_EINVAL, "%s: parameter %s is not a leaf, but the result of an operator", what,
                       name);
    if (!tg_dtype_is_float(tg_tensor_dtype(t)))
        return tg_fail(NULL, TG_EDTYPE, "%s: parameter %s is %s, expected f32 or f64", what, name,
                       tg_dtype_name(tg_tensor_dtype(t)));
    for (size_t k = 0; k < i; k++)
        if (parameters->tensor[k] == t)
            return tg_fail(NULL, TG_EINVAL, "%s: parameter %s is in the list twice", what, name);
    for (size_t k = 0; k < o->n; k++)
        if (o->parameter[k] == t)
            return tg_fail(NULL, TG_EINVAL, "%s: parameter %s is in group %zu already", what, name,
                           o->group_of[k]);
    tg_desc d;
    tg_status status = o->cls->check_parameter ? tg_tensor_desc(t, &d) : TG_OK;
    return status || !o->cls->check_parameter ? status : o->cls->check_parameter(name, &d);
}

/* The arrays that have an entry (or several) a parameter. */
typedef struct column {
    void *array;
    size_t size;
} column;
enum { COLUMNS = 11 };

static void columns_of(tg_optimizer *o, column c[COLUMNS])
{
    const column all[COLUMNS] = {
        {&o->parameter, sizeof *o->parameter},
        {&o->name, sizeof *o->name},
        {&o->group_of, sizeof *o->group_of},
        {&o->state, o->n_states * sizeof *o->state},
        {&o->steps, sizeof *o->steps},
        {&o->used, sizeof *o->used},
        {&o->memory, 2 * sizeof *o->memory},
        {&o->in, TG_OPTIM_IN * sizeof *o->in},
        {&o->scalars, TG_OPTIM_SCALARS * sizeof *o->scalars},
        {&o->next, 2 * sizeof *o->next},
        {&o->active, sizeof *o->active},
    };
    memcpy(c, all, sizeof all);
}

/* Longer copies of all columns and of the groups, or nothing changes. */
static tg_status make_room(tg_optimizer *o, size_t n)
{
    const tg_allocator *a = tg_runtime_allocator(o->rt);
    column c[COLUMNS];
    void *longer[COLUMNS + 1] = {0};
    columns_of(o, c);
    bool enough = (longer[COLUMNS] = tg_alloc_zero(a, (o->n_groups + 1) * sizeof *o->group));
    for (size_t k = 0; k < COLUMNS && enough; k++)
        enough = (longer[k] = tg_alloc_zero(a, (o->n + n) * c[k].size + 1));
    if (!enough) {
        for (size_t k = 0; k <= COLUMNS; k++)
            tg_free(a, longer[k]);
        return TG_ENOMEM;
    }
    for (size_t k = 0; k < COLUMNS; k++) {
        void *old;
        memcpy(&old, c[k].array, sizeof old);
        if (o->n)
            memcpy(longer[k], old, o->n * c[k].size);
        memcpy(c[k].array, &longer[k], sizeof old);
        tg_free(a, old);
    }
    if (o->n_groups)
        memcpy(longer[COLUMNS], o->group, o->n_groups * sizeof *o->group);
    tg_free(a, o->group);
    o->group = longer[COLUMNS];
    return TG_OK;
}

/* Names of parameters that are not counted yet. */
static tg_status copy_names(tg_optimizer *o, const tg_named_tensors *parameters)
{
    const tg_allocator *a = tg_runtime_allocator(o->rt);
    char **name = o->name + o->n;
    for (size_t i = 0; i < parameters->n; i++) {
        name[i] = tg_strdup(a, parameters->name && parameters->name[i] ? parameters->name[i] : "?");
        if (name[i])
            continue;
        while (i > 0)
            tg_free(a, name[--i]);
        return TG_ENOMEM;
    }
    return TG_OK;
}

/* Which row computes the group's step as it is now. */
static tg_status choose_row(tg_optimizer *o, tg_group *g)
{
    const char *before = g->row.op;
    memset(&g->row, 0, sizeof g->row);
    o->cls->row(&g->config, &g->row);
    if (!g->op || g->row.op != before)
        g->op = tg_operator_find(o->rt, g->row.op);
    return g->op ? TG_OK
                 : tg_fail(NULL, TG_EUNKNOWN, "%s: this runtime has no operator %s", o->cls->name, g->row.op);
}

/* An empty group behind the others: counted by the caller. */
static tg_status begin_group(tg_optimizer *o, const tg_optim_config *config, size_t n)
{
    tg_status status = tg_optim_check(o->cls, config);
    if (!status)
        status = make_room(o, n);
    if (status)
        return status;
    tg_group *g = &o->group[o->n_groups];
    memset(g, 0, sizeof *g);
    g->config = *config;
    g->lr = config->lr;
    g->initial_lr = (double)NAN;
    return choose_row(o, g);
}

static tg_status add_group(tg_optimizer *o, const tg_named_tensors *parameters, const tg_optim_config *config)
{
    if (!parameters || parameters->n == 0)
        return tg_fail(NULL, TG_EINVAL, "%s: the list of parameters is empty", o->cls->name);
    tg_status status = TG_OK;
    for (size_t i = 0; i < parameters->n && !status; i++)
        status = check_parameter(o, parameters, i);
    if (!status)
        status = begin_group(o, config, parameters->n);
    if (!status)
        status = copy_names(o, parameters);
    for (size_t i = 0; i < parameters->n && !status; i++) {
        o->parameter[o->n + i] = parameters->tensor[i];
        o->group_of[o->n + i] = o->n_groups;
    }
    if (status)
        return status;
    o->n += parameters->n;
    o->n_groups++;
    return TG_OK;
}

/* -- making and destroying ------------------------------------------------------------------------------- */
static size_t count_words(const char *s)
{
    size_t n = s && *s;
    for (; s && *s; s++)
        n += *s == '|';
    return n;
}

tg_optimizer *tg_optimizer_new(tg_runtime *rt, const tg_optim_class *cls, const tg_named_tensors *parameters,
                               const tg_optim_config *config)
{
    if (!rt) {
        tg_fail(NULL, TG_EINVAL, "%s: the runtime is NULL", cls->name);
        return NULL;
    }
    tg_optimizer *o = tg_alloc_zero(tg_runtime_allocator(rt), sizeof *o);
    if (!o) {
        tg_fail_again(NULL, TG_ENOMEM);
        return NULL;
    }
    o->rt = rt;
    o->cls = cls;
    o->n_states = count_words(cls->states);
    o->config = *config;
    tg_status status = tg_optim_check(cls, config);
    if (status == TG_OK && add_group(o, parameters, config) == TG_OK)
        return o;
    tg_optimizer_destroy(o);
    return NULL;
}

void tg_optimizer_destroy(tg_optimizer *o)
{
    if (!o)
        return;
    const tg_allocator *a = tg_runtime_allocator(o->rt);
    tg_schedulers_leave(o);
    if (o->cls->close)
        o->cls->close(o);
    for (size_t i = 0; i < o->n * o->n_states; i++)
        tg_tensor_destroy(o->state[i]);
    for (size_t i = 0; i < o->n; i++)
        tg_free(a, o->name[i]);
    column c[COLUMNS];
    columns_of(o, c);
    for (size_t k = 0; k < COLUMNS; k++) {
        void *array;
        memcpy(&array, c[k].array, sizeof array);
        tg_free(a, array);
    }
    tg_free(a, o->group);
    tg_free(a, o);
}

/* -- groups ---------------------------------------------------------------------------------------------- */
static bool names_lr(const tg_attr *attrs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(attrs[i].name, "lr"))
            return true;
    return false;
}

/* The new last group's options: those of the making with `attrs` over them. */
static tg_status configure_group(tg_optimizer *o, const char *what, const tg_attr *attrs, size_t n,
                                 tg_optim_config *config)
{
    if (!o)
        return tg_null(NULL, what, "the optimizer");
    if (o->cls->by_closure)
        return tg_fail(NULL, TG_EINVAL, "%s: %s takes one group of parameters only", what, o->cls->name);
    *config = o->config;
    return tg_optim_configure(o->cls, attrs, n, config);
}

tg_status tg_optimizer_add_group(tg_optimizer *o, const tg_named_tensors *parameters, const tg_attr *attrs,
                                 size_t n)
{
    tg_optim_config config;
    tg_status status = configure_group(o, "tg_optimizer_add_group", attrs, n, &config);
    if (!status)
        status = add_group(o, parameters, &config);
    if (!status)
        o->group[o->n_groups - 1].own_lr = names_lr(attrs, n);
    return status;
}

tg_status tg_optimizer_split(tg_optimizer *o, tg_parameter_filter which, void *arg, const tg_attr *attrs,
                             size_t n)
{
    tg_optim_config config;
    tg_status status = configure_group(o, "tg_optimizer_split", attrs, n, &config);
    if (!status && !which)
        status = tg_null(NULL, "tg_optimizer_split", "the filter");
    if (!status)
        status = begin_group(o, &config, 0);
    if (status)
        return status;
    size_t moved = 0;
    for (size_t i = 0; i < o->n; i++)
        if (which(arg, o->name[i], o->parameter[i])) {
            o->group_of[i] = o->n_groups;
            moved++;
        }
    if (moved == 0)
        return TG_OK;
    o->group[o->n_groups].own_lr = names_lr(attrs, n);
    if (!o->group[o->n_groups].own_lr)
        o->group[o->n_groups].lr = o->group[0].lr;
    o->n_groups++;
    return TG_OK;
}

/* A norm's own parameter, a bias, and whatever is no matrix. */
static bool takes_no_decay(void *net, const char *name, const tg_tensor *p)
{
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
    char path[256] = "";
    tg_desc d;
    if (strstr(last, "bias") || tg_tensor_desc(p, &d) || d.ndim < 2)
        return true;
    if (dot && (size_t)(dot - name) < sizeof path)
        memcpy(path, name, (size_t)(dot - name));
    const tg_module *owner = tg_module_find(net, path);
    return owner && strstr(tg_module_class_name(owner), "Norm");
}

tg_status tg_optimizer_no_decay(tg_optimizer *o, tg_module *net)
{
    if (!net)
        return tg_null(NULL, "tg_optimizer_no_decay", "the module");
    const tg_attr none = {"weight_decay", TG_ATTR_REAL, {.f = 0}};
    return tg_optimizer_split(o, takes_no_decay, net, &none, 1);
}

size_t tg_optimizer_n_groups(const tg_optimizer *o)
{
    return o ? o->n_groups : 0;
}

double tg_optimizer_group_lr(const tg_optimizer *o, size_t group)
{
    return o && group < o->n_groups ? o->group[group].lr : (double)NAN;
}

double tg_optimizer_lr(const tg_optimizer *o)
{
    return tg_optimizer_group_lr(o, 0);
}

tg_status tg_optimizer_set_group_lr(tg_optimizer *o, size_t group, double lr)
{
    if (!o)
        return tg_null(NULL, "tg_optimizer_set_group_lr", "the optimizer");
    if (group >= o->n_groups)
        return tg_fail(NULL, TG_EINVAL, "%s: there is no group %zu, the optimizer has %zu", o->cls->name,
                       group, o->n_groups);
    tg_status status = tg_optim_at_least(o->cls->name, "lr", lr, 0);
    if (!status)
        o->group[group].lr = lr;
    return status;
}

tg_status tg_optimizer_set_lr(tg_optimizer *o, double lr)
{
    if (!o)
        return tg_null(NULL, "tg_optimizer_set_lr", "the optimizer");
    tg_status status = TG_OK;
    for (size_t g = 0; g < o->n_groups && !status; g++)
        if (g == 0 || !o->group[g].own_lr)
            status = tg_optimizer_set_group_lr(o, g, lr);
    return status;
}

double *tg_group_momentum(tg_optimizer *o, size_t group)
{
    for (const tg_attr_spec *s = o->cls->attrs; group < o->n_groups && s->name; s++) {
        if (strcmp(s->name, "momentum") == 0)
            return &o->group[group].config.momentum;
        if (strcmp(s->name, "betas") == 0)
            return o->group[group].config.betas.v;
    }
    return NULL;
}

const char *tg_optimizer_name(const tg_optimizer *o)
{
    return o ? o->cls->name : "";
}

/* -- state ----------------------------------------------------------------------------------------------- */
static size_t find_word(const char *words, const char *word)
{
    size_t k = 0, n = strlen(word);
    for (const char *s = words; s && *s; k++) {
        size_t length = strcspn(s, "|");
        if (length == n && strncmp(s, word, n) == 0)
            return k;
        s += length + (s[length] == '|');
    }
    return SIZE_MAX;
}

tg_tensor *tg_optimizer_state(const tg_optimizer *o, const char *parameter, const char *state)
{
    size_t k = o && parameter && state ? find_word(o->cls->states, state) : SIZE_MAX;
    for (size_t i = 0; k < SIZE_MAX && i < o->n; i++)
        if (strcmp(o->name[i], parameter) == 0)
            return o->used[i] & 1u << k ? o->state[i * o->n_states + k] : NULL;
    return NULL;
}

int64_t tg_optimizer_steps(const tg_optimizer *o, const char *parameter)
{
    for (size_t i = 0; o && parameter && i < o->n; i++)
        if (strcmp(o->name[i], parameter) == 0)
            return o->steps[i];
    return -1;
}

/* State is made before anything changes; zeros, so that what a failed step leaves behind means nothing. */
tg_status tg_optim_make_state(tg_optimizer *o, tg_tape *tape, size_t i, unsigned states)
{
    for (size_t k = 0; k < o->n_states; k++) {
        tg_tensor **state = &o->state[i * o->n_states + k];
        if (*state || !(states & 1u << k))
            continue;
        tg_desc d;
        tg_status status = tg_tensor_desc(o->parameter[i], &d);
        if (!status)
            status = tg_tensor_create(state, o->rt, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim);
        if (status)
            return tg_fail_again(tape, status);
    }
    return TG_OK;
}

/* -- a step ---------------------------------------------------------------------------------------------- */
static tg_status get_ready(tg_optimizer *o, tg_tape *tape)
{
    for (size_t g = 0; g < o->n_groups; g++)
        if (choose_row(o, &o->group[g]))
            return tg_fail_again(tape, TG_EUNKNOWN);
    for (size_t i = 0; i < o->n; i++) {
        if (!tg_tensor_is_alive(o->parameter[i]))
            return tg_fail(tape, TG_ESTALE, "%s: parameter %s was destroyed before its optimizer",
                           o->cls->name, o->name[i]);
        if (!tg_tensor_grad(o->parameter[i]))
            continue;
        tg_status status = tg_optim_make_state(o, tape, i, o->group[o->group_of[i]].row.states);
        if (status)
            return status;
    }
    return TG_OK;
}

static bool one_row(const tg_group *a, const tg_group *b)
{
    return a->op == b->op && a->row.states == b->row.states &&
           memcmp(a->row.attrs, b->row.attrs, sizeof a->row.attrs) == 0;
}

/* The n-th parameter of the step is the i-th; its group of the call starts at `in` and `scalars`. */
static tg_status gather(tg_optimizer *o, tg_tape *tape, size_t i, size_t n, tg_tensor **in, double *scalars)
{
    const tg_group *g = &o->group[o->group_of[i]];
    tg_desc d;
    tg_status status = tg_tensor_desc(o->parameter[i], &d);
    if (status)
        return tg_fail_again(tape, status);
    in[0] = o->parameter[i];
    in[1] = tg_tensor_grad(o->parameter[i]);
    for (size_t k = 0; k + 2 < g->op->period; k++)
        in[k + 2] = g->row.states & 1u << k ? o->state[i * o->n_states + k] : NULL;
    const tg_optim_now now = {
        .config = &g->config,
        .lr = g->lr,
        .step = o->steps[i] + 1,
        .fresh = g->row.states & ~(unsigned)o->used[i],
        .old = o->memory + 2 * i,
        .next = o->next + 2 * n,
        .desc = &d,
    };
    o->active[n] = i;
    o->cls->scalars(&now, scalars);
    return o->cls->direction ? o->cls->direction(o, tape, i, in) : TG_OK;
}

static void commit(tg_optimizer *o, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        size_t i = o->active[k];
        o->steps[i]++;
        o->used[i] |= (unsigned char)o->group[o->group_of[i]].row.states;
        memcpy(o->memory + 2 * i, o->next + 2 * k, 2 * sizeof *o->memory);
        tg_tensor_zero_grad(o->parameter[i]);
    }
}

/* All groups whose row is that of group g: a call behind the *n parameters of those before it. */
static tg_status gather_row(tg_optimizer *o, tg_tape *tape, const tg_group *g, size_t *n, tg_row_call *call)
{
    tg_status status = TG_OK;
    tg_tensor **in = o->in + *n * TG_OPTIM_IN;
    double *scalars = o->scalars + *n * TG_OPTIM_SCALARS;
    *call = (tg_row_call){.op = g->op, .in = in, .attrs = g->row.attrs, .scalars = scalars};
    for (size_t i = 0; i < o->n && !status; i++) {
        if (!one_row(&o->group[o->group_of[i]], g) || !tg_tensor_grad(o->parameter[i]))
            continue;
        status = gather(o, tape, i, (*n)++, in + call->n_in, scalars);
        call->n_in += g->op->period;
        scalars += g->op->n_scalars;
    }
    return status;
}

static tg_status step_rows(tg_optimizer *o, tg_tape *tape)
{
    size_t n = 0, n_calls = 0;
    tg_row_call *calls = tg_arena_get(&tape->arena, o->n_groups * sizeof *calls);
    tg_status status = calls ? TG_OK : tg_fail_again(tape, TG_ENOMEM);
    for (size_t g = 0; g < o->n_groups && !status; g++) {
        size_t first = 0;
        while (!one_row(&o->group[first], &o->group[g]))
            first++;
        if (first != g)
            continue;
        status = gather_row(o, tape, &o->group[g], &n, &calls[n_calls]);
        n_calls += calls[n_calls].n_in != 0;
    }
    if (!status)
        status = tg_apply_all(tape, calls, n_calls);
    if (!status)
        commit(o, n);
    return status;
}

static tg_status check_call(const tg_optimizer *o, tg_tape *tape)
{
    if (!o || !tape)
        return tg_fail(tape, TG_EINVAL, "tg_optimizer_step: the %s is NULL", o ? "tape" : "optimizer");
    if (tg_tape_status(tape))
        return tg_tape_status(tape);
    if (tg_tape_runtime(tape) != o->rt)
        return tg_fail(tape, TG_EINVAL, "%s: the tape belongs to another runtime", o->cls->name);
    return TG_OK;
}

tg_status tg_optimizer_step(tg_optimizer *o, tg_tape *tape)
{
    tg_status status = check_call(o, tape);
    if (!status && o->cls->by_closure)
        status = tg_fail(tape, TG_EINVAL,
                         "%s: evaluates the loss anew within a step: call tg_optimizer_step_closure",
                         o->cls->name);
    if (status || tape->planning)
        return status;
    if ((status = get_ready(o, tape)))
        return status;
    bool recording = tg_tape_set_recording(tape, false);
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    status = step_rows(o, tape);
    tg_scope_leave(tape, &scope, NULL, 0); /* the directions */
    tg_tape_set_recording(tape, recording);
    return status;
}

tg_status tg_optim_evaluate(tg_optimizer *o, tg_tape *tape, tg_closure closure, void *arg, double *loss)
{
    tg_optimizer_zero_grad(o);
    bool recording = tg_tape_set_recording(tape, true);
    const uint64_t before = tg_failures();
    tg_tensor *l = closure(arg, tape);
    tg_tape_set_recording(tape, recording);
    tg_status status = tg_tape_status(tape);
    if (status || !l)
        return tg_returned(tape, before, status ? status : TG_EINVAL, "%s: the closure", o->cls->name);
    status = tg_item(l, loss);
    return status ? tg_fail_again(tape, status) : TG_OK;
}

tg_status tg_optimizer_step_closure(tg_optimizer *o, tg_tape *tape, tg_closure closure, void *arg,
                                    double *loss)
{
    double found = (double)NAN;
    tg_status status = check_call(o, tape);
    if (!status && !closure)
        status = tg_null(tape, "tg_optimizer_step_closure", "the closure");
    if (status)
        return status;
    if (o->cls->by_closure)
        status = o->cls->by_closure(o, tape, closure, arg, &found);
    else if (!(status = tg_optim_evaluate(o, tape, closure, arg, &found)))
        status = tg_optimizer_step(o, tape);
    if (!status && loss)
        *loss = found;
    return status;
}

void tg_optimizer_zero_grad(tg_optimizer *o)
{
    for (size_t i = 0; o && i < o->n; i++)
        tg_tensor_zero_grad(o->parameter[i]);
}
