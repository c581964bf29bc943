/* torch.optim.LBFGS (Liu and Nocedal 1989), with minFunc's strong Wolfe line search. All vectors are flat:
 * the parameters' elements end to end. */
#include "training/optimizer.h"
#include "training/save.h"

#include <math.h>
#include <string.h>

/* Vectors beside the history: the gradient, the one of the last iteration, the direction, the next pair of
 * the history, and what the line search keeps. */
enum { GRAD, PREV, DIRECTION, NEW_Y, NEW_S, WORK, N_WORK = 4, N_VECTORS = WORK + N_WORK };

typedef struct lbfgs {
    tg_tensor *v[N_VECTORS];
    tg_tensor **y, **s; /* history_size of each, the oldest first; made when they are needed */
    double *ro, *al;
    size_t n_old;
    int64_t n_iter; /* over all steps */
    double t, h, prev_loss;
    int64_t n;    /* elements of a vector */
    char *x, *x0; /* the parameters' bytes: where a line search starts, where the step began */
} lbfgs;

/* What one step passes around. */
typedef struct run {
    tg_optimizer *o;
    lbfgs *m;
    tg_tape *tape;
    tg_closure closure;
    void *arg;
    tg_status status; /* the first failure; everything after it does nothing and gives 0 */
    int64_t evals;
} run;

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(1),
    TG_OPTIM_INT(max_iter, 20, "iterations a step, at least 1"),
    {.name = "max_eval",
     .type = TG_ATTR_INT,
     .flags = TG_ATTR_OPTIONAL,
     TG_OPTIM_AT(max_eval),
     .doc = "evaluations a step; 0 or None: max_iter·5/4"},
    TG_OPTIM_REAL(tolerance_grad, 1e-7, 0, "ends where no gradient is larger"),
    TG_OPTIM_REAL(tolerance_change, 1e-9, 0, "ends where loss and parameters change by less"),
    TG_OPTIM_INT(history_size, 100, "pairs of vectors kept, at least 1"),
    {.name = "line_search_fn",
     .type = TG_ATTR_CHOICE,
     .flags = TG_ATTR_OPTIONAL,
     TG_OPTIM_AT(line_search_fn),
     .choices = "none|strong_wolfe",
     .doc = "how far a step goes: lr, or where the Wolfe conditions hold"},
    TG_OPTIM_MAXIMIZE,
    {0},
};

static tg_status check(const tg_optim_config *c)
{
    if (c->history_size > 1 << 20)
        return tg_fail(NULL, TG_EINVAL, "LBFGS: history_size is %lld, expected at most %d",
                       (long long)c->history_size, 1 << 20);
    if (c->max_iter < 1 || c->history_size < 1)
        return tg_fail(NULL, TG_EINVAL, "LBFGS: %s is %lld, expected at least 1",
                       c->max_iter < 1 ? "max_iter" : "history_size",
                       (long long)(c->max_iter < 1 ? c->max_iter : c->history_size));
    if (c->max_eval < 0 && c->max_eval != TG_NONE_INT)
        return tg_fail(NULL, TG_EINVAL, "LBFGS: max_eval is %lld, expected at least 0",
                       (long long)c->max_eval);
    return TG_OK;
}

static void row(const tg_optim_config *c, tg_step_row *out)
{
    tg_optim_rule(c, TG_RULE_LERP, 0, out);
}

/* -- vectors --------------------------------------------------------------------------------------------- */
static void apply(run *r, const char *name, tg_tensor *const *in, size_t n_in, const void *row_attrs,
                  const double *scalars)
{
    if (!r->status)
        r->status = tg_apply(r->tape, tg_operator_find(r->o->rt, name), in, n_in, row_attrs, scalars, NULL);
}

static void copy(run *r, tg_tensor *to, tg_tensor *from)
{
    static const tg_rule_attrs lerp = {.rule = TG_RULE_LERP};
    apply(r, "optim_step", (tg_tensor *[TG_OPTIM_IN]){to, from}, TG_OPTIM_IN, &lerp,
          (double[TG_OPTIM_SCALARS]){1, 0, 1});
}

static void scale(run *r, tg_tensor *x, double by)
{
    apply(r, "scale_", &x, 1, NULL, &by);
}

/* to ← to + by·x */
static void add(run *r, tg_tensor *to, double by, tg_tensor *x)
{
    static const tg_sgd_attrs plain = {0};
    apply(r, "sgd_step", (tg_tensor *[]){to, x}, 2, &plain, (double[]){-by, 0});
}

static double number(run *r, tg_tensor *scalar)
{
    double out = 0;
    if (!r->status && !scalar)
        r->status = tg_tape_status(r->tape);
    if (!r->status)
        r->status = tg_item(scalar, &out);
    tg_discard(scalar);
    return out;
}

static double dot(run *r, tg_tensor *a, tg_tensor *b)
{
    return r->status ? 0 : number(r, tg_dot(r->tape, a, b));
}

static double norm(run *r, tg_tensor *x, double p)
{
    return r->status ? 0 : number(r, tg_norm_dims(r->tape, x, p, NULL, 0, false));
}

static tg_status make(run *r, tg_tensor **v)
{
    if (!r->status && !*v)
        r->status = tg_tensor_create(v, r->o->rt, tg_tensor_dtype(r->o->parameter[0]), &r->m->n, 1);
    return r->status;
}

/* GRAD from the parameters' gradients. */
static void gather(run *r)
{
    tg_optimizer *o = r->o;
    tg_scope scope;
    tg_scope_enter(r->tape, &scope);
    for (size_t i = 0; i < o->n && !r->status; i++) {
        tg_tensor *g = tg_tensor_grad(o->parameter[i]);
        o->in[i] =
            tg_reshape_dims(r->tape, g ? g : tg_zeros_like(r->tape, o->parameter[i]), (int64_t[]){-1}, 1);
    }
    if (!r->status)
        copy(r, r->m->v[GRAD], tg_cat_n(r->tape, o->in, o->n, 0));
    if (o->group[0].config.maximize)
        scale(r, r->m->v[GRAD], -1);
    tg_scope_leave(r->tape, &scope, NULL, 0);
}

/* The parameters ← parameters + t·direction. */
static void move(run *r, double t)
{
    static const tg_sgd_attrs plain = {0};
    tg_optimizer *o = r->o;
    int64_t at = 0;
    tg_scope scope;
    tg_scope_enter(r->tape, &scope);
    for (size_t i = 0; i < o->n && !r->status; i++) {
        tg_desc d;
        r->status = tg_tensor_desc(o->parameter[i], &d);
        tg_tensor *part = tg_narrow(r->tape, r->m->v[DIRECTION], 0, at, tg_desc_count(&d));
        o->in[2 * i] = o->parameter[i];
        o->in[2 * i + 1] = tg_reshape_dims(r->tape, part, d.dim, (size_t)d.ndim);
        o->scalars[2 * i] = -t;
        o->scalars[2 * i + 1] = 0;
        at += tg_desc_count(&d);
    }
    apply(r, "sgd_step", o->in, 2 * o->n, &plain, o->scalars);
    tg_scope_leave(r->tape, &scope, NULL, 0);
}

/* Not through the tape, which may carry an error. */
static tg_status keep(const tg_optimizer *o, char *x, bool back)
{
    tg_status status = TG_OK;
    for (size_t i = 0; i < o->n && !status; i++) {
        size_t bytes =
            (size_t)tg_tensor_count(o->parameter[i]) * tg_dtype_size(tg_tensor_dtype(o->parameter[i]));
        status =
            back ? tg_tensor_write(o->parameter[i], x, bytes) : tg_tensor_read(o->parameter[i], x, bytes);
        x += bytes;
    }
    return status;
}

/* The loss and GRAD where the parameters are. */
static double evaluate(run *r)
{
    double loss = 0;
    if (!r->status)
        r->status = tg_optim_evaluate(r->o, r->tape, r->closure, r->arg, &loss);
    if (!r->status)
        gather(r);
    r->evals++;
    return r->o->group[0].config.maximize ? -loss : loss;
}

/* The same at t along the direction; then the parameters are back. */
static double evaluate_at(run *r, double t)
{
    move(r, t);
    double loss = evaluate(r);
    if (!r->status)
        r->status = keep(r->o, r->m->x, true);
    return loss;
}

/* -- the line search ---------------------------------------------------------------------------------------
 */
typedef struct point {
    double t, f, gtd;
    tg_tensor *g;
} point;

static double larger(double a, double b)
{
    return b > a ? b : a;
}

static double smaller(double a, double b)
{
    return b < a ? b : a;
}

/* The lowest point, within [low, high], of the cubic through both. */
static double interpolate(const point *a, const point *b, double low, double high)
{
    if (a->t > b->t) {
        const point *c = a;
        a = b;
        b = c;
    }
    double d1 = a->gtd + b->gtd - 3 * (a->f - b->f) / (a->t - b->t), square = d1 * d1 - a->gtd * b->gtd;
    if (!(square >= 0))
        return (low + high) / 2;
    double d2 = sqrt(square), t = b->t - (b->t - a->t) * ((b->gtd + d2 - d1) / (b->gtd - a->gtd + 2 * d2));
    return smaller(larger(t, low), high);
}

static const double c1 = 1e-4, c2 = 0.9;

/* A working vector that neither end holds, with a copy of GRAD. */
static tg_tensor *hold(run *r, const point *a, const point *b)
{
    tg_tensor **w = r->m->v + WORK;
    while (*w == a->g || *w == b->g)
        w++;
    copy(r, *w, r->m->v[GRAD]);
    return *w;
}

static point point_at(run *r, double t)
{
    double f = evaluate_at(r, t);
    return (point){t, f, dot(r, r->m->v[GRAD], r->m->v[DIRECTION]), NULL};
}

/* Finds ends around a point that satisfies the conditions; true where `end[0]` is one. */
static bool bracket(run *r, const point *start, double t, int64_t most, int64_t *iter, point end[2])
{
    point before = *start, now = point_at(r, t);
    for (*iter = 0; *iter < most && !r->status; ++*iter) {
        if (now.f > start->f + c1 * now.t * start->gtd || (*iter > 1 && now.f >= before.f))
            break;
        bool found = fabs(now.gtd) <= -c2 * start->gtd;
        if (found || now.gtd >= 0) {
            now.g = hold(r, start, &before);
            end[0] = found ? now : before;
            end[1] = now;
            return found;
        }
        double next = interpolate(&before, &now, now.t + 0.01 * (now.t - before.t), now.t * 10);
        now.g = hold(r, start, &before);
        before = now;
        now = point_at(r, next);
    }
    now.g = hold(r, start, &before);
    end[0] = *iter == most ? *start : before;
    end[1] = now;
    return false;
}

/* Where to look next between the ends; not too near to either twice in a row. */
static double between(const point end[2], bool *stuck)
{
    double low = smaller(end[0].t, end[1].t), high = larger(end[0].t, end[1].t), margin = 0.1 * (high - low);
    double t = interpolate(&end[0], &end[1], low, high);
    if (!(smaller(high - t, t - low) < margin)) {
        *stuck = false;
    } else if (*stuck || t >= high || t <= low) {
        t = fabs(t - high) < fabs(t - low) ? high - margin : low + margin;
        *stuck = false;
    } else {
        *stuck = true;
    }
    return t;
}

/* Leaves the loss and GRAD at the t that it returns; the parameters are where they were. */
static double search(run *r, double t, double gtd, double *loss, double tolerance, int64_t most)
{
    lbfgs *m = r->m;
    const double longest = norm(r, m->v[DIRECTION], (double)INFINITY);
    point start = {0, *loss, gtd, NULL}, end[2];
    start.g = hold(r, &start, &start);
    int64_t iter;
    bool done = bracket(r, &start, t, most, &iter, end), stuck = false;
    int low = done || end[0].f <= end[1].f ? 0 : 1;
    while (!done && iter < most && !r->status && fabs(end[1].t - end[0].t) * longest >= tolerance) {
        point now = point_at(r, between(end, &stuck));
        iter++;
        now.g = hold(r, &end[0], &end[1]);
        if (now.f > start.f + c1 * now.t * gtd || now.f >= end[low].f) {
            end[!low] = now;
            low = end[0].f <= end[1].f ? 0 : 1;
            continue;
        }
        done = fabs(now.gtd) <= -c2 * gtd;
        if (!done && now.gtd * (end[!low].t - end[low].t) >= 0)
            end[!low] = end[low];
        end[low] = now;
    }
    *loss = end[low].f;
    copy(r, m->v[GRAD], end[low].g);
    return end[low].t;
}

/* -- a step ---------------------------------------------------------------------------------------------- */
/* The last iteration's y and s into the history, where the curvature is positive. */
static void remember(run *r, size_t most)
{
    lbfgs *m = r->m;
    copy(r, m->v[NEW_Y], m->v[GRAD]);
    add(r, m->v[NEW_Y], -1, m->v[PREV]);
    copy(r, m->v[NEW_S], m->v[DIRECTION]);
    scale(r, m->v[NEW_S], m->t);
    double ys = dot(r, m->v[NEW_Y], m->v[NEW_S]), yy = dot(r, m->v[NEW_Y], m->v[NEW_Y]);
    if (!(ys > 1e-10) || r->status)
        return;
    if (m->n_old == most) {
        tg_tensor *y = m->y[0], *s = m->s[0];
        memmove(m->y, m->y + 1, (most - 1) * sizeof *m->y);
        memmove(m->s, m->s + 1, (most - 1) * sizeof *m->s);
        memmove(m->ro, m->ro + 1, (most - 1) * sizeof *m->ro);
        m->y[most - 1] = y;
        m->s[most - 1] = s;
        m->n_old--;
    }
    if (make(r, &m->y[m->n_old]) || make(r, &m->s[m->n_old]))
        return;
    tg_tensor *y = m->y[m->n_old], *s = m->s[m->n_old];
    m->y[m->n_old] = m->v[NEW_Y];
    m->s[m->n_old] = m->v[NEW_S];
    m->v[NEW_Y] = y;
    m->v[NEW_S] = s;
    m->ro[m->n_old++] = 1 / ys;
    m->h = ys / yy;
}

/* DIRECTION ← −(approximate inverse Hessian)·GRAD, by the two loops. */
static void direct(run *r)
{
    lbfgs *m = r->m;
    tg_tensor *d = m->v[DIRECTION];
    copy(r, d, m->v[GRAD]);
    scale(r, d, -1);
    for (size_t i = m->n_old; i-- > 0;) {
        m->al[i] = dot(r, m->s[i], d) * m->ro[i];
        add(r, d, -m->al[i], m->y[i]);
    }
    if (m->n_old)
        scale(r, d, m->h);
    for (size_t i = 0; i < m->n_old; i++)
        add(r, d, m->al[i] - dot(r, m->y[i], d) * m->ro[i], m->s[i]);
}

/* One iteration; true where it was the last. */
static bool iterate(run *r, double *loss, bool last, int64_t max_eval)
{
    lbfgs *m = r->m;
    const tg_optim_config *c = &r->o->group[0].config;
    bool first = m->n_iter++ == 0;
    if (!first)
        remember(r, (size_t)c->history_size);
    direct(r);
    copy(r, m->v[PREV], m->v[GRAD]);
    m->prev_loss = *loss;
    m->t = r->o->group[0].lr * (first ? smaller(1, 1 / norm(r, m->v[GRAD], 1)) : 1);
    double gtd = dot(r, m->v[GRAD], m->v[DIRECTION]);
    if (r->status || gtd > -c->tolerance_change)
        return true;
    if (c->line_search_fn == TG_LBFGS_STRONG_WOLFE) {
        if (!(r->status = keep(r->o, m->x, false)))
            m->t = search(r, m->t, gtd, loss, 1e-9, max_eval - r->evals);
        move(r, m->t);
    } else {
        move(r, m->t);
        if (!last)
            *loss = evaluate(r);
    }
    return r->status || last || r->evals >= max_eval ||
           norm(r, m->v[GRAD], (double)INFINITY) <= c->tolerance_grad ||
           fabs(m->t) * norm(r, m->v[DIRECTION], (double)INFINITY) <= c->tolerance_change ||
           fabs(*loss - m->prev_loss) < c->tolerance_change;
}

static void close(tg_optimizer *o)
{
    lbfgs *m = o->more;
    const tg_allocator *a = tg_runtime_allocator(o->rt);
    if (!m)
        return;
    for (size_t i = 0; i < N_VECTORS; i++)
        tg_tensor_destroy(m->v[i]);
    for (int64_t i = 0; i < o->config.history_size; i++) {
        tg_tensor_destroy(m->y[i]);
        tg_tensor_destroy(m->s[i]);
    }
    tg_free(a, m);
    o->more = NULL;
}

static tg_status get_ready(run *r)
{
    tg_optimizer *o = r->o;
    const tg_allocator *a = tg_runtime_allocator(o->rt);
    const tg_optim_config *c = &o->group[0].config;
    size_t history = (size_t)c->history_size, bytes = 0;
    lbfgs *m = r->m = o->more;
    for (size_t i = 0; i < o->n; i++) {
        if (!tg_tensor_is_alive(o->parameter[i]))
            return tg_fail(r->tape, TG_ESTALE, "LBFGS: parameter %s was destroyed before its optimizer",
                           o->name[i]);
        if (tg_tensor_dtype(o->parameter[i]) != tg_tensor_dtype(o->parameter[0]))
            return tg_fail(r->tape, TG_EDTYPE, "LBFGS: parameters %s and %s differ in dtype", o->name[0],
                           o->name[i]);
        bytes += (size_t)tg_tensor_count(o->parameter[i]) * tg_dtype_size(tg_tensor_dtype(o->parameter[i]));
    }
    if (!m) {
        /* The vectors' handles, ro and al, x and x0 stand behind it. */
        m = r->m = o->more = tg_alloc_zero(a, sizeof *m + 4 * history * sizeof(double) + 2 * bytes);
        if (!m)
            return TG_ENOMEM;
        m->y = (tg_tensor **)(m + 1);
        m->s = m->y + history;
        m->ro = (double *)(m->s + history);
        m->al = m->ro + history;
        m->x = (char *)(m->al + history);
        m->x0 = m->x + bytes;
        for (size_t i = 0; i < o->n; i++)
            m->n += tg_tensor_count(o->parameter[i]);
    }
    size_t n = c->line_search_fn == TG_LBFGS_STRONG_WOLFE ? N_VECTORS : WORK;
    for (size_t i = 0; i < n; i++)
        make(r, &m->v[i]);
    return r->status ? r->status : keep(o, m->x0, false);
}

static tg_status by_closure(tg_optimizer *o, tg_tape *tape, tg_closure closure, void *arg, double *loss)
{
    run r = {.o = o, .tape = tape, .closure = closure, .arg = arg};
    const tg_optim_config *c = &o->group[0].config;
    const int64_t max_eval = c->max_eval > 0 ? c->max_eval : c->max_iter + c->max_iter / 4;
    bool recording = tg_tape_set_recording(tape, false);
    if ((r.status = get_ready(&r))) {
        close(o);
    } else {
        double now = evaluate(&r);
        *loss = c->maximize ? -now : now;
        bool done = norm(&r, r.m->v[GRAD], (double)INFINITY) <= c->tolerance_grad || r.status;
        for (int64_t i = 1; i <= c->max_iter && !done; i++)
            done = iterate(&r, &now, i == c->max_iter, max_eval);
        if (r.status) {
            /* As the step found it, but for what it knew of the curvature. */
            keep(o, r.m->x0, true);
            r.m->n_iter = 0;
            r.m->n_old = 0;
        }
    }
    tg_tape_set_recording(tape, recording);
    if (r.status)
        return tg_fail_again(tape, r.status);
    for (size_t i = 0; i < o->n; i++)
        o->steps[i]++;
    tg_optimizer_zero_grad(o);
    return TG_OK;
}

/* Vectors that a file's history asks for; a failure leaves more room than is used. */
static tg_status make_history(tg_optimizer *o, size_t n)
{
    run r = {.o = o};
    r.status = get_ready(&r);
    for (size_t i = 0; i < n && !r.status; i++)
        if (!make(&r, &r.m->y[i]))
            make(&r, &r.m->s[i]);
    return r.status;
}

static void walk_vectors(tg_walk *w, lbfgs *m, size_t n)
{
    tg_walk_tensor(w, "prev_flat_grad", m->v[PREV]);
    tg_walk_tensor(w, "d", m->v[DIRECTION]);
    for (size_t i = 0; i < n; i++) {
        size_t before = tg_walk_enter(w, "old_dirs.%zu", i);
        tg_walk_tensor(w, "", m->y[i]);
        tg_walk_leave(w, before);
        before = tg_walk_enter(w, "old_stps.%zu", i);
        tg_walk_tensor(w, "", m->s[i]);
        tg_walk_leave(w, before);
    }
}

static void walk(tg_walk *w, tg_optimizer *o, const tg_optim_config *config)
{
    lbfgs *m = o->more, none = {0};
    int64_t count[2] = {m ? m->n_iter : 0, m ? (int64_t)m->n_old : 0};
    double number[3] = {m ? m->t : 0, m ? m->h : 0, m ? m->prev_loss : 0};
    if (config->history_size != o->config.history_size)
        tg_walk_fail(w, TG_EFORMAT, "history_size is %lld in the file, expected %lld",
                     (long long)config->history_size, (long long)o->config.history_size);
    const size_t before = tg_walk_enter(w, "state.");
    tg_walk_numbers(w, "n_iter", TG_I64, 2, 0, count);
    tg_walk_numbers(w, "t", TG_F64, 3, 0, number);
    if (count[0] < 0 || count[1] < 0 || count[1] > o->config.history_size || (count[1] && !count[0]))
        tg_walk_fail(w, TG_EFORMAT, "%lld iterations with a history of %lld, which cannot be",
                     (long long)count[0], (long long)count[1]);
    if (w->pass == TG_CHECK && count[0] && !w->status && make_history(o, (size_t)count[1]))
        tg_walk_failed(w, TG_ENOMEM);
    m = o->more ? o->more : &none;
    tg_walk_numbers(w, "ro", TG_F64, count[1], 0, w->pass == TG_CHECK ? NULL : m->ro);
    if (count[0] && !w->status)
        walk_vectors(w, m, (size_t)count[1]);
    if (w->pass == TG_TAKE) {
        m->n_iter = count[0];
        m->n_old = (size_t)count[1];
        m->t = number[0];
        m->h = number[1];
        m->prev_loss = number[2];
    }
    tg_walk_leave(w, before);
}

const tg_optim_class tg_optim_class_lbfgs = {
    .name = "LBFGS",
    .attrs = attrs,
    .states = "",
    .check = check,
    .row = row,
    .by_closure = by_closure,
    .close = close,
    .walk = walk,
};
TG_OPTIM_PUBLIC(lbfgs)
