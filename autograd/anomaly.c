/* Anomaly mode: which operator made the first NaN or infinity. A result that has NaN is its operator's where
 * no input had one; a result that has an infinity where every input was finite. What a caller writes into an
 * operator (the value of a fill, of a mask) counts as an input. Of a backward, the gradients that a rule
 * returns are looked at, not the steps on its way: a rule may divide by 0 where it then takes another branch.
 */
#include "autograd/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the row nonfinite counts. */
typedef struct census {
    int64_t nan, inf, minus, first_nan, first_inf;
} census;

static bool is_float(const tg_tensor *t)
{
    const tg_value *v = t ? tg_resolve(t) : NULL;
    return v && v->storage && tg_dtype_is_float(v->desc->dtype);
}

/* By the one road, and leaves no trace: not recorded, not observed, its values are gone. */
static tg_status count(tg_tape *tape, tg_tensor *t, census *out)
{
    *out = (census){.first_nan = -1, .first_inf = -1};
    if (!is_float(t))
        return TG_OK;
    const uint8_t watch = tape->watch;
    const tg_observer observer = tape->observer;
    const bool recording = tape->recording;
    tg_scope scope;
    tape->watch = 0;
    tape->observer = (tg_observer){0};
    tape->recording = false;
    tg_scope_enter(tape, &scope);
    tg_tensor *counts = NULL;
    if (tg_resolve(t)->flags & TG_V_BLOCKED) /* which it stays */
        t = tg_contiguous(tape, t);
    tg_status status = t ? tg_apply(tape, tape->rt->rows.nonfinite, &t, 1, NULL, NULL, &counts) : tape->status;
    if (status == TG_OK)
        status = tg_tensor_read(counts, out, sizeof *out);
    tg_scope_undo(tape, &scope);
    tape->recording = recording;
    tape->observer = observer;
    tape->watch = watch;
    return status;
}

static bool is_culprit(const tg_tape *tape, const census *made, const census *given)
{
    if (made->nan && !given->nan)
        return true;
    const int64_t before = given->nan + given->inf + given->minus;
    return tape->anomaly == TG_ANOMALY_ALL && made->inf + made->minus && !before;
}

static void add_number(census *to, double x)
{
    to->nan += x != x;
    to->inf += x - x != 0 && x > 0;
    to->minus += x - x != 0 && x < 0;
}

/* A None is kept as NaN: that is no number of the caller's. */
static void add_attrs(census *to, const tg_operator *op, const void *attrs)
{
    for (const tg_attr_spec *a = attrs ? op->attrs : NULL; a && a->name; a++) {
        const char *at = (const char *)attrs + a->offset;
        double x;
        if (a->type == TG_ATTR_REAL) {
            memcpy(&x, at, sizeof x);
            if (x == x || !(a->flags & TG_ATTR_OPTIONAL))
                add_number(to, x);
        } else if (a->type == TG_ATTR_REALS) {
            tg_reals all;
            memcpy(&all, at, sizeof all);
            for (int64_t i = 0; i < all.n && i < TG_MAX_DIM; i++)
                add_number(to, all.v[i]);
        }
    }
}

static tg_status add_tensor(tg_tape *tape, census *to, tg_tensor *t)
{
    census c;
    tg_status status = count(tape, t, &c);
    to->nan += c.nan;
    to->inf += c.inf;
    to->minus += c.minus;
    return status;
}

/* -- the sentence ---------------------------------------------------------------------------------------- */

void tg_text_add(char *text, size_t size, size_t *n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int more = tg_vformat(text + *n, size - *n, format, args);
    va_end(args);
    *n = more < 0 || (size_t)more >= size - *n ? size - 1 : *n + (size_t)more;
}

const char *tg_text_place(const tg_desc *d, int64_t at, char *text, size_t size)
{
    int64_t place[TG_MAX_DIM];
    size_t n = 0;
    for (int32_t i = d->ndim - 1; i >= 0; i--) {
        place[i] = at % d->dim[i];
        at /= d->dim[i];
    }
    tg_text_add(text, size, &n, "[");
    for (int32_t i = 0; i < d->ndim; i++)
        tg_text_add(text, size, &n, "%s%" PRId64, i ? ", " : "", place[i]);
    tg_text_add(text, size, &n, "]");
    return text;
}

/* "f32[2, 3] with 2 NaN (first at [0, 1])". */
static const char *count_text(const tg_tensor *t, const census *c, char *text, size_t size)
{
    char shape[128], place[128];
    const tg_desc *d = tg_resolve(t)->desc;
    size_t n = 0;
    tg_text_add(text, size, &n, "%s has ", tg_desc_format(d, shape, sizeof shape));
    if (c->nan)
        tg_text_add(text, size, &n, "%" PRId64 " NaN", c->nan);
    if (c->inf + c->minus)
        tg_text_add(text, size, &n, "%s%" PRId64 " %s", c->nan ? " and " : "", c->inf + c->minus,
               !c->minus ? "inf"
               : !c->inf ? "-inf"
                         : "infinite");
    tg_text_add(text, size, &n, " of %" PRId64 " values, the first at %s", tg_desc_count(d),
           tg_text_place(d, c->nan ? c->first_nan : c->first_inf, place, sizeof place));
    return text;
}

static const char *inputs_text(tg_tensor *const in[], size_t n_in, char *text, size_t size)
{
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n_in && i < 6; i++) {
        char shape[128];
        const tg_value *v = in[i] ? tg_resolve(in[i]) : NULL;
        tg_text_add(text, size, &n, "%s%s", i ? ", " : "", v ? tg_desc_format(v->desc, shape, sizeof shape) : "-");
    }
    if (n_in > 6)
        tg_text_add(text, size, &n, ", …");
    return text;
}

static const char *node_name(const tg_node *node)
{
    return node->layer ? tg_module_class_name(node->layer) : node->op->name;
}

/* "mul (of the backward of pow, called at net.c:12)". */
const char *tg_text_who(const tg_tape *tape, const tg_node *node, char *text, size_t size)
{
    const tg_node *origin = tg_watch_origin(tape, node);
    const bool own = origin == node;
    snprintf(text, size, "%s (%s%s%scalled at %s:%d)", node_name(node), own ? "" : "of the backward of ",
             own ? "" : node_name(origin), own ? "" : ", ", origin->file ? origin->file : "?", origin->line);
    return text;
}

/* -- around a row ---------------------------------------------------------------------------------------- */

static bool writes(const tg_operator *op, size_t i)
{
    if (op->period)
        i %= op->period;
    return i < 16 && (op->writes & TG_OP_IN(i));
}

static tg_status quietly(tg_tape *tape, tg_status (*what)(tg_tape *, tg_watched *), tg_watched *w)
{
    const uint8_t watch = tape->watch;
    const tg_observer observer = tape->observer;
    const bool recording = tape->recording;
    tape->watch = 0;
    tape->observer = (tg_observer){0};
    tape->recording = false;
    tg_status status = what(tape, w);
    tape->recording = recording;
    tape->observer = observer;
    tape->watch = watch;
    return status;
}

static tg_status copy_written(tg_tape *tape, tg_watched *w)
{
    w->before = tg_arena_get(&tape->arena, w->n_in * sizeof *w->before);
    if (!w->before)
        return tg_fail_again(tape, TG_ENOMEM);
    memset(w->before, 0, w->n_in * sizeof *w->before);
    for (size_t i = 0; i < w->n_in; i++)
        if (writes(w->op, i) && is_float(w->in[i]) && !(w->before[i] = tg_clone(tape, w->in[i])))
            return tape->status;
    return TG_OK;
}

static tg_status put_back(tg_tape *tape, tg_watched *w)
{
    tg_status status = TG_OK;
    for (size_t i = 0; i < w->n_in && status == TG_OK; i++)
        if (w->before[i])
            status = tg_apply(tape, tape->rt->rows.copy_, (tg_tensor *[]){w->in[i], w->before[i]}, 2, NULL,
                              NULL, NULL);
    return status;
}

tg_status tg_anomaly_before(tg_tape *tape, tg_watched *w)
{
    return w->op->writes ? quietly(tape, copy_written, w) : TG_OK;
}

/* What went in, tensors and numbers. */
static tg_status given_to(tg_tape *tape, const tg_watched *w, census *out)
{
    *out = (census){0};
    tg_status status = TG_OK;
    for (size_t i = 0; i < w->n_in && status == TG_OK; i++)
        status = add_tensor(tape, out, w->before && w->before[i] ? w->before[i] : w->in[i]);
    for (size_t k = 0; k < w->op->n_scalars * w->n_groups; k++)
        add_number(out, w->scalars[k]);
    add_attrs(out, w->op, w->attrs);
    return status;
}

/* NaN that nobody made came with the data: said once a tape, for it explains all that follows. */
static void warn_of_data(tg_tape *tape, const tg_watched *w)
{
    for (size_t i = 0; i < w->n_in && !tape->anomaly_warned; i++) {
        census c;
        const tg_value *v = w->in[i] ? tg_resolve(w->in[i]) : NULL;
        if (!v || v->node != TG_NO_NODE || count(tape, w->in[i], &c) || !c.nan)
            continue;
        char text[400], line[700];
        snprintf(line, sizeof line,
                 "anomaly: input %zu of %s, which no operator on the tape made, %s (%s:%d)", i, w->op->name,
                 count_text(w->in[i], &c, text, sizeof text), tg_here_file() ? tg_here_file() : "?",
                 tg_here_line());
        tape->anomaly_warned = true;
        tg_runtime_log(tape->rt, TG_LOG_WARNING, "%s", line);
        if (!tape->rt->log && tape->rt->anomaly)
            fprintf(stderr, "tapegrad: %s\n", line);
    }
}

static tg_status judge(tg_tape *tape, tg_watched *w, tg_tensor *t, const char *which)
{
    census made, given;
    tg_status status = count(tape, t, &made);
    if (status || !(made.nan + made.inf + made.minus))
        return status;
    status = given_to(tape, w, &given);
    if (status)
        return status;
    if (!is_culprit(tape, &made, &given)) {
        if (given.nan)
            warn_of_data(tape, w);
        return TG_OK;
    }
    if (tape->rule_of) {
        if (!tape->suspect)
            tape->suspect = w->op;
        return TG_OK;
    }
    char text[400], inputs[400];
    if (w->before)
        quietly(tape, put_back, w);
    return tg_fail(tape, TG_ENUMERIC, "anomaly: %s made it%s: its %s %s; it was given %s", w->op->name,
                   tape->sweep_depth ? " while gradients were added up" : "", which,
                   count_text(t, &made, text, sizeof text),
                   inputs_text(w->in, w->n_in, inputs, sizeof inputs));
}

tg_status tg_anomaly_after(tg_tape *tape, tg_watched *w, tg_tensor *const out[], tg_status status)
{
    for (uint32_t o = 0; o < w->op->n_out && status == TG_OK && !(w->op->flags & TG_OP_VIEW); o++)
        status = judge(tape, w, out[o], "result");
    for (size_t i = 0; w->before && i < w->n_in && status == TG_OK; i++)
        if (w->before[i])
            status = judge(tape, w, w->in[i], "written input");
    for (size_t i = 0; w->before && i < w->n_in; i++)
        tg_discard(w->before[i]);
    return status;
}

/* -- around a rule --------------------------------------------------------------------------------------- */

static tg_status given_to_rule(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], census *out)
{
    *out = (census){0};
    tg_status status = TG_OK;
    for (uint32_t i = 0; i < node->n_out && status == TG_OK; i++) {
        status = add_tensor(tape, out, gy[i]);
        if (status == TG_OK && tg_node_saves(node, true, i))
            status = add_tensor(tape, out, node->out[i]);
    }
    for (uint32_t i = 0; i < node->n_in && status == TG_OK; i++)
        if (tg_node_saves(node, false, i))
            status = add_tensor(tape, out, node->in[i]);
    const size_t n_groups = node->op->period ? node->n_in / node->op->period : 1;
    for (size_t k = 0; k < node->op->n_scalars * n_groups; k++)
        add_number(out, node->scalars[k]);
    add_attrs(out, node->op, node->attrs);
    return status;
}

tg_status tg_anomaly_rule(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *const gx[])
{
    for (uint32_t i = 0; i < node->n_in; i++) {
        census made, given;
        tg_status status = node->needs[i] && gx[i] ? count(tape, gx[i], &made) : TG_OK;
        if (!node->needs[i] || !gx[i] || (!status && !(made.nan + made.inf + made.minus)))
            continue;
        if (status == TG_OK)
            status = given_to_rule(tape, node, gy, &given);
        if (status)
            return status;
        if (!is_culprit(tape, &made, &given))
            continue;
        char who[400], text[400], inputs[400];
        const tg_operator *suspect = tape->suspect;
        return tg_fail(
            tape, TG_ENUMERIC,
            "anomaly: the backward of %s made it%s%s: its gradient of input %u %s; the call was given %s",
            tg_text_who(tape, node, who, sizeof who), suspect ? ", first in " : "", suspect ? suspect->name : "",
            i, count_text(gx[i], &made, text, sizeof text),
            inputs_text(node->in, node->n_in, inputs, sizeof inputs));
    }
    return TG_OK;
}

/* -- settings -------------------------------------------------------------------------------------------- */

tg_status tg_anomaly_environment(tg_runtime *rt)
{
    const char *text = getenv("TAPEGRAD_ANOMALY");
    if (!text || !*text || !strcmp(text, "0"))
        return TG_OK;
    if (strcmp(text, "1") != 0 && strcmp(text, "nan") != 0)
        return tg_fail(NULL, TG_EINVAL, "TAPEGRAD_ANOMALY=%s: '0', '1' or 'nan' is expected", text);
    rt->anomaly = *text == '1' ? TG_ANOMALY_ALL : TG_ANOMALY_NAN;
    return TG_OK;
}

tg_anomaly tg_tape_set_anomaly(tg_tape *tape, tg_anomaly what)
{
    if (!tape)
        return TG_ANOMALY_OFF;
    tg_anomaly was = (tg_anomaly)tape->anomaly;
    tape->anomaly = (uint8_t)(what == TG_ANOMALY_NAN || what == TG_ANOMALY_ALL ? what : TG_ANOMALY_OFF);
    tape->anomaly_warned = false;
    tape->watch = (uint8_t)((tape->watch & ~TG_WATCH_ANOMALY) | (tape->anomaly ? TG_WATCH_ANOMALY : 0u));
    return was;
}
