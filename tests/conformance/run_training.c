/* Cases of kind "training": a Sequential, an optimizer, and a script of events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/layer_class.h>

#include "case.h"

enum { MAX_MODULES = 64, MAX_PARAMETERS = 128 };

typedef struct training {
    golden *g;
    tg_module *net, *loss;
    tg_optimizer *optimizer;
    tg_scheduler *scheduler;
    bool clips;
    double max_norm, norm;
    tg_tensor *loss_value, *output; /* of the event that ran; NULL: it gave none */
    double last_loss;               /* the metric of a scheduler that wants one  */
    bool has_norm;
    tg_tensor
        *left[MAX_PARAMETERS]; /* gradients that torch's optimizer leaves and ours consumes, by parameter */
} training;

/* -- making --------------------------------------------------------------------------------------------- */

static verdict make_layer(training *t, const json_t *entry)
{
    golden *g = t->g;
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *class_name = json_string_value(json_object_get(entry, "module"));
    if (!name || !class_name || !json_is_object(json_object_get(entry, "arguments")))
        return fail(g, "not a golden case: a model entry lacks 'name', 'module' or 'arguments'");
    const tg_layer_class *cls = tg_layer_find(g->rt, class_name);
    if (!cls)
        return unsupported(g, "no module %s here", class_name);
    tg_attr attrs[MAX_ATTRS];
    verdict v = PASSED;
    int n = make_attrs(g, class_name, cls->attrs, json_object_get(entry, "arguments"), attrs, &v);
    if (n < 0)
        return v;
    tg_module *child = tg_module_create(g->rt, class_name, attrs, (size_t)n);
    if (!child)
        return fail(g, "%s cannot be made: %s", class_name, tg_error_message());
    tg_status status = tg_nn_sequential_append(t->net, name, child);
    return status ? refused(g, status, "Sequential") : PASSED;
}

static verdict make_model(training *t)
{
    golden *g = t->g;
    const json_t *model = json_object_get(g->json, "model");
    if (!json_is_array(model))
        return fail(g, "not a golden case: no 'model'");
    t->net = tg_module_create(g->rt, "Sequential", NULL, 0);
    if (!t->net)
        return fail(g, "Sequential cannot be made: %s", tg_error_message());
    for (size_t i = 0; i < json_array_size(model); i++) {
        verdict v = make_layer(t, json_array_get(model, i));
        if (v != PASSED)
            return v;
    }
    const char *loss = json_string_value(json_object_get(g->json, "loss"));
    if (!loss)
        return fail(g, "not a golden case: no 'loss'");
    if (!tg_layer_find(g->rt, loss))
        return unsupported(g, "no loss %s here", loss);
    t->loss = tg_module_create(g->rt, loss, NULL, 0);
    return t->loss ? PASSED : fail(g, "%s cannot be made: %s", loss, tg_error_message());
}

static verdict load_initial(training *t)
{
    golden *g = t->g;
    const tg_named_tensors *parts[] = {tg_module_parameters(t->net), tg_module_buffers(t->net)};
    static const char *const prefix[] = {"initial.param.", "initial.buffer."};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; parts[k] && i < parts[k]->n; i++) {
            char name[256];
            snprintf(name, sizeof name, "%s%s", prefix[k], parts[k]->name[i]);
            verdict v = golden_load(g, name, parts[k]->tensor[i]);
            if (v != PASSED)
                return v;
        }
    return PASSED;
}

static verdict make_optimizer(training *t)
{
    golden *g = t->g;
    const json_t *o = json_object_get(g->json, "optimizer");
    const char *name = json_string_value(json_object_get(o, "name"));
    if (!name)
        return fail(g, "not a golden case: no 'optimizer'");
    if (!tg_optim_attrs(name))
        return unsupported(g, "no optimizer %s here", name);
    tg_attr attrs[MAX_ATTRS];
    verdict v = PASSED;
    int n = make_attrs(g, name, tg_optim_attrs(name), json_object_get(o, "arguments"), attrs, &v);
    if (n < 0)
        return v;
    t->optimizer = tg_optim_create(g->rt, name, tg_module_parameters(t->net), attrs, (size_t)n);
    return t->optimizer ? PASSED : fail(g, "%s cannot be made: %s", name, tg_error_message());
}

static verdict make_scheduler(training *t)
{
    golden *g = t->g;
    const json_t *s = json_object_get(g->json, "scheduler");
    if (!s || json_is_null(s))
        return PASSED;
    const char *name = json_string_value(json_object_get(s, "name"));
    if (!name)
        return fail(g, "not a golden case: a 'scheduler' without a name");
    if (!tg_lr_attrs(name))
        return unsupported(g, "no scheduler %s here", name);
    tg_attr attrs[MAX_ATTRS];
    verdict v = PASSED;
    int n = make_attrs(g, name, tg_lr_attrs(name), json_object_get(s, "arguments"), attrs, &v);
    if (n < 0)
        return v;
    t->scheduler = tg_lr_create(t->optimizer, name, attrs, (size_t)n);
    return t->scheduler ? PASSED : fail(g, "%s cannot be made: %s", name, tg_error_message());
}

static verdict read_clip(training *t)
{
    const json_t *clip = json_object_get(t->g->json, "clip_grad_norm");
    if (!clip || json_is_null(clip))
        return PASSED;
    t->clips = true;
    return read_real(clip, &t->max_norm) ? PASSED
                                         : fail(t->g, "not a golden case: 'clip_grad_norm' is no number");
}

/* -- events --------------------------------------------------------------------------------------------- */

static verdict batch(training *t, const json_t *event, const char *what, tg_tensor **out)
{
    char name[64];
    const json_t *number = json_object_get(event, "batch");
    if (!json_is_integer(number))
        return fail(t->g, "not a golden case: an event without its batch");
    snprintf(name, sizeof name, "batch.%lld.%s", (long long)json_integer_value(number), what);
    *out = golden_tensor(t->g, name);
    return *out ? PASSED : FAILED;
}

static verdict forward_and_back(training *t, const json_t *event)
{
    tg_tensor *x = NULL, *y = NULL;
    tg_tape *tape = t->g->tape;
    verdict v = batch(t, event, "input", &x);
    if (v == PASSED)
        v = batch(t, event, "target", &y);
    if (v != PASSED)
        return v;
    tg_tensor *predicted = tg_forward(tape, t->net, x);
    tg_status status = tg_tape_status(tape);
    if (!status)
        status = tg_forward_n(tape, t->loss, (tg_tensor *[]){predicted, y}, 2, &t->loss_value, 1);
    if (!status)
        status = tg_item(t->loss_value, &t->last_loss);
    if (!status)
        status = tg_backward(tape, t->loss_value);
    return status ? refused(t->g, status, "train step") : PASSED;
}

/* -- what a step leaves ----------------------------------------------------------------------------------- */

/* In torch a step leaves the gradients, and a backward after it adds to them. Ours consumes them: so they are
 * kept here, and sent in again before what follows. */

static void drop_left(training *t)
{
    for (size_t i = 0; i < MAX_PARAMETERS; i++) {
        tg_tensor_destroy(t->left[i]);
        t->left[i] = NULL;
    }
}

static tg_status copy_of(tg_runtime *rt, const tg_tensor *from, tg_tensor **out)
{
    tg_desc d;
    tg_status status = tg_tensor_desc(from, &d);
    size_t bytes = status ? 0 : (size_t)tg_desc_count(&d) * tg_dtype_size(d.dtype);
    void *data = malloc(bytes + 8);
    if (!status)
        status = data ? tg_tensor_create(out, rt, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim) : TG_ENOMEM;
    if (!status)
        status = tg_tensor_read(from, data, bytes);
    if (!status)
        status = tg_tensor_write(*out, data, bytes);
    free(data);
    return status;
}

static tg_status keep_left(training *t)
{
    const tg_named_tensors *p = tg_module_parameters(t->net);
    drop_left(t);
    for (size_t i = 0; i < p->n && i < MAX_PARAMETERS; i++) {
        tg_tensor *g = tg_tensor_grad(p->tensor[i]);
        tg_status status = g ? copy_of(t->g->rt, g, &t->left[i]) : TG_OK;
        if (status)
            return status;
    }
    return TG_OK;
}

/* The gradient of Σ left·parameter is what was left. */
static tg_status send_left(training *t)
{
    tg_tape *tape = t->g->tape;
    const tg_named_tensors *p = tg_module_parameters(t->net);
    tg_status status = TG_OK;
    for (size_t i = 0; i < p->n && i < MAX_PARAMETERS && !status; i++)
        if (t->left[i] && tg_tensor_requires_grad(p->tensor[i]))
            status = tg_backward(tape, tg_sum(tape, tg_mul(tape, p->tensor[i], t->left[i])));
    drop_left(t);
    return status;
}

static verdict optimizer_step(training *t, bool in_train_step)
{
    tg_status status = in_train_step ? TG_OK : send_left(t);
    if (in_train_step && t->clips) {
        status = tg_clip_grad_norm(t->g->tape, tg_module_parameters(t->net), t->max_norm, &t->norm);
        t->has_norm = true;
    }
    if (!status && in_train_step)
        status = keep_left(t);
    if (!status)
        status = tg_optimizer_step(t->optimizer, t->g->tape);
    if (!status && t->scheduler)
        status = tg_scheduler_step_metric(t->scheduler, t->last_loss);
    return status ? refused(t->g, status, "optimizer step") : PASSED;
}

static verdict accumulate(training *t, const json_t *event)
{
    tg_status status = send_left(t);
    return status ? refused(t->g, status, "accumulate") : forward_and_back(t, event);
}

static verdict train_step(training *t, const json_t *event)
{
    drop_left(t);
    tg_optimizer_zero_grad(t->optimizer);
    verdict v = forward_and_back(t, event);
    return v == PASSED ? optimizer_step(t, true) : v;
}

static size_t keep_modes(const tg_module *m, tg_mode *to, size_t n)
{
    if (n < MAX_MODULES)
        to[n++] = tg_module_mode(m);
    for (size_t i = 0; i < tg_module_n_children(m); i++)
        n = keep_modes(tg_module_child(m, i), to, n);
    return n;
}

/* A parent before its children: setting a mode goes all the way down. */
static size_t restore_modes(tg_module *m, const tg_mode *from, size_t n)
{
    if (n < MAX_MODULES)
        tg_module_set_mode(m, from[n++]);
    for (size_t i = 0; i < tg_module_n_children(m); i++)
        n = restore_modes(tg_module_child(m, i), from, n);
    return n;
}

static verdict forward_only(training *t, const json_t *event, tg_mode mode)
{
    tg_tensor *x = NULL;
    verdict v = batch(t, event, "input", &x);
    if (v != PASSED)
        return v;
    tg_mode modes[MAX_MODULES];
    keep_modes(t->net, modes, 0);
    tg_module_set_mode(t->net, mode);
    bool recording = tg_tape_set_recording(t->g->tape, false);
    t->output = tg_forward(t->g->tape, t->net, x);
    tg_tape_set_recording(t->g->tape, recording);
    restore_modes(t->net, modes, 0);
    return t->output ? PASSED : refused(t->g, tg_tape_status(t->g->tape), "forward");
}

static verdict set_mode(training *t, const json_t *event)
{
    const char *path = json_string_value(json_object_get(event, "module"));
    const char *mode = json_string_value(json_object_get(event, "mode"));
    tg_module *m = path ? tg_module_find(t->net, path) : NULL;
    if (!m || !mode || (strcmp(mode, "train") && strcmp(mode, "eval")))
        return fail(t->g, "not a golden case: a 'mode' event without a module and a mode that exist");
    tg_module_set_mode(m, strcmp(mode, "eval") ? TG_TRAIN : TG_EVAL);
    return PASSED;
}

static verdict set_frozen(training *t, const json_t *event, bool frozen)
{
    const char *path = json_string_value(json_object_get(event, "param"));
    tg_tensor *p = path ? tg_module_tensor(t->net, path) : NULL;
    if (!p)
        return fail(t->g, "not a golden case: a 'freeze' event without a parameter that exists");
    const tg_named_tensors *all = tg_module_parameters(t->net);
    for (size_t i = 0; frozen && i < all->n && i < MAX_PARAMETERS; i++)
        if (all->tensor[i] == p) {
            tg_tensor_destroy(t->left[i]);
            t->left[i] = NULL;
        }
    if (frozen)
        tg_tensor_zero_grad(p);
    tg_status status = tg_tensor_set_requires_grad(p, !frozen);
    return status ? refused(t->g, status, path) : PASSED;
}

static verdict run_event(training *t, const json_t *event)
{
    const char *what = json_string_value(json_object_get(event, "do"));
    tg_tape_reset(t->g->tape);
    t->loss_value = t->output = NULL;
    t->has_norm = false;
    if (!what)
        return fail(t->g, "not a golden case: an event without 'do'");
    if (!strcmp(what, "train_step"))
        return train_step(t, event);
    if (!strcmp(what, "accumulate"))
        return accumulate(t, event);
    if (!strcmp(what, "optimizer_step"))
        return optimizer_step(t, false);
    if (!strcmp(what, "eval_forward"))
        return forward_only(t, event, TG_EVAL);
    if (!strcmp(what, "train_forward_no_grad"))
        return forward_only(t, event, TG_TRAIN);
    if (!strcmp(what, "mode"))
        return set_mode(t, event);
    if (!strcmp(what, "freeze") || !strcmp(what, "unfreeze"))
        return set_frozen(t, event, !strcmp(what, "freeze"));
    return unsupported(t->g, "no event '%s' here", what);
}

static verdict compare_one(training *t, const char *name, const char *rest)
{
    golden *g = t->g;
    if (!strcmp(rest, "loss"))
        return t->loss_value ? compare(g, name, t->loss_value, g->tolerance2)
                             : fail(g, "%s: there was no loss", name);
    if (!strcmp(rest, "output"))
        return t->output ? compare(g, name, t->output, g->tolerance2)
                         : fail(g, "%s: there was no output", name);
    if (!strcmp(rest, "grad_norm"))
        return t->has_norm ? compare_number(g, name, t->norm, g->tolerance2)
                           : fail(g, "%s: nothing was clipped", name);
    if (!strcmp(rest, "lr"))
        return compare_number(g, name, tg_optimizer_lr(t->optimizer), g->tolerance2);
    const char *path = !strncmp(rest, "param.", 6)    ? rest + 6
                       : !strncmp(rest, "buffer.", 7) ? rest + 7
                                                      : NULL;
    const tg_tensor *p = path ? tg_module_tensor(t->net, path) : NULL;
    return p ? compare(g, name, p, g->tolerance2) : fail(g, "%s: the model has no such thing", name);
}

static verdict run_script(training *t)
{
    const json_t *script = json_object_get(t->g->json, "script");
    if (!json_is_array(script))
        return fail(t->g, "not a golden case: no 'script'");
    for (size_t i = 0; i < json_array_size(script); i++) {
        const json_t *event = json_array_get(script, i), *number = json_object_get(event, "event");
        if (!json_is_integer(number))
            return fail(t->g, "not a golden case: an event without its number");
        verdict v = run_event(t, event);
        char prefix[32];
        const char *names[MAX_NAMES];
        snprintf(prefix, sizeof prefix, "after.%lld.", (long long)json_integer_value(number));
        size_t n = golden_names(t->g, prefix, names);
        for (size_t k = 0; v == PASSED && k < n; k++)
            v = compare_one(t, names[k], names[k] + strlen(prefix));
        if (v != PASSED)
            return v;
    }
    return PASSED;
}

verdict run_training(golden *g)
{
    training t = {.g = g};
    verdict v = make_model(&t);
    if (v == PASSED)
        v = make_optimizer(&t);
    if (v == PASSED)
        v = load_initial(&t);
    if (v == PASSED)
        v = make_scheduler(&t);
    if (v == PASSED)
        v = read_clip(&t);
    if (v == PASSED)
        v = run_script(&t);
    drop_left(&t);
    tg_scheduler_destroy(t.scheduler);
    tg_optimizer_destroy(t.optimizer);
    tg_module_destroy(t.loss);
    tg_module_destroy(t.net);
    return v;
}
