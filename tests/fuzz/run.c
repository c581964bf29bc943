/* What must hold of a call: an error that says what, or a result that is sound and the same for every layout.
 */
#include "fuzz/fuzz.h"

#include <tapegrad/op_attrs.h>

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* -- memory --------------------------------------------------------------------------------------------- */

static void *memory_alloc(void *arg, size_t size, size_t align)
{
    fuzz_memory *m = arg;
    if (size > m->limit || m->live + size > 16 * m->limit)
        return NULL;
    const size_t head = align > 64 ? align : 64;
    if (size > m->largest)
        m->largest = size;
    unsigned char *p = aligned_alloc(head, head + (size + head - 1) / head * head);
    if (!p)
        return NULL;
    memcpy(p, &size, sizeof size);
    memcpy(p + sizeof size, &head, sizeof head);
    memset(p + head, (int)(0x5b + 37 * ++m->calls), size < 65536 ? size : 65536);
    m->live += size;
    if (m->live > m->peak)
        m->peak = m->live;
    return p + head;
}

static void memory_free(void *arg, void *ptr)
{
    fuzz_memory *m = arg;
    size_t size, head = 64;
    unsigned char *p = (unsigned char *)ptr - head; /* no alignment is above 64 */
    memcpy(&size, p, sizeof size);
    m->live -= size;
    free(p);
}

tg_allocator fuzz_allocator(fuzz_memory *m)
{
    return (tg_allocator){.alloc = memory_alloc, .free = memory_free, .arg = m};
}

/* -- one of the three calls ----------------------------------------------------------------------------- */

typedef struct attempt {
    const fuzz_call *call;
    fuzz_outcome *outcome;
    tg_runtime *rt;
    tg_tape *tape;
    bool otherwise; /* laid out as the call says, not row-major     */
    bool blocked;   /* some in the backend's own layouts           */
    tg_tensor *in[FUZZ_IN];
    tg_tensor *use[FUZZ_IN]; /* what the row gets: in[], or a copy in a layout */
    void *memory[FUZZ_IN];
    size_t bytes[FUZZ_IN];
    tg_tensor *out[FUZZ_OUT];
    tg_status status;
    void *result[FUZZ_OUT], *written[FUZZ_IN], *gradient[FUZZ_IN]; /* copies, row-major */
    tg_desc result_desc[FUZZ_OUT], in_desc[FUZZ_IN];
} attempt;

TG_PRINTF(2, 3) static void fault(attempt *a, const char *format, ...)
{
    va_list args;
    if (*a->outcome->fault)
        return;
    int n = snprintf(a->outcome->fault, sizeof a->outcome->fault,
                     "%s inputs: ", a->blocked ? "blocked" : a->otherwise ? "strided" : "row-major");
    va_start(args, format);
    vsnprintf(a->outcome->fault + n, sizeof a->outcome->fault - (size_t)n, format, args);
    va_end(args);
}

static bool written(const tg_operator *op, size_t i)
{
    if (op->period)
        i %= op->period;
    return i < 16 && op->writes & TG_OP_IN(i);
}

/* Memory of exactly the bytes that the layout reaches, so that a sanitizer sees one element too far. */
static bool make_input(attempt *a, size_t i)
{
    const fuzz_input *in = &a->call->in[i];
    const size_t size = tg_dtype_size((int32_t)in->dtype);
    int64_t stride[TG_MAX_DIM] = {0}, step = a->otherwise ? in->gap : 1;
    size_t reach = 1;
    for (int k = in->ndim - 1; k >= 0; k--) {
        const int d = a->otherwise ? in->order[k] : k;
        const bool once = a->otherwise && in->repeated >> d & 1;
        stride[d] = once ? 0 : step;
        step *= once ? 1 : in->dim[d] > 0 ? in->dim[d] : 1;
        reach += in->dim[d] > 0 ? (size_t)((in->dim[d] - 1) * stride[d]) : 0;
    }
    a->bytes[i] = in->count ? reach * size : 0;
    a->memory[i] = malloc(a->bytes[i] ? a->bytes[i] : 1);
    if (!a->memory[i])
        return false;
    memset(a->memory[i], in->dtype == TG_BOOL ? 1 : 0xff, a->bytes[i]);
    for (size_t e = 0; e < in->count; e++) {
        size_t at = 0, left = e;
        for (int d = in->ndim - 1; d >= 0; d--) {
            at += left % (size_t)in->dim[d] * (size_t)stride[d];
            left /= (size_t)in->dim[d];
        }
        memcpy((char *)a->memory[i] + at * size, (const char *)in->values + e * size, size);
    }
    if (tg_tensor_wrap(&a->in[i], a->rt, in->dtype, in->dim, stride, (size_t)in->ndim, a->memory[i]))
        return false;
    if (in->grad && !written(a->call->op, i))
        tg_tensor_set_requires_grad(a->in[i], true);
    if (in->foreign) {
        tg_tensor_destroy(a->in[i]);
    }
    return true;
}

static void *read_all(attempt *a, tg_tensor *x, tg_desc *d, const char *what, size_t i)
{
    if (tg_tensor_desc(x, d)) {
        fault(a, "%s %zu has no descriptor: %s", what, i, tg_error_message());
        return NULL;
    }
    bool sound = d->ndim >= 0 && d->ndim <= TG_MAX_DIM && tg_dtype_size(d->dtype) && !d->layout;
    for (int k = 0; k < TG_MAX_DIM; k++)
        sound = sound &&
                (k < d->ndim ? d->dim[k] >= 0 && d->stride[k] >= 0 : d->dim[k] == 0 && d->stride[k] == 0);
    if (!sound) {
        fault(a, "%s %zu has an unsound descriptor", what, i);
        return NULL;
    }
    /* a view's repeated elements may be any number */
    const int64_t count = tg_desc_count(d);
    if (count > (int64_t)1 << 24)
        return NULL;
    const size_t bytes = (size_t)count * tg_dtype_size(d->dtype);
    void *copy = malloc(bytes + 1);
    const tg_status status = copy ? tg_tensor_read(x, copy, bytes) : TG_ENOMEM;
    if (status && status != TG_ENOMEM)
        fault(a, "%s %zu cannot be read: %s", what, i, tg_error_message());
    for (size_t k = 0; !status && d->dtype == TG_BOOL && k < bytes; k++)
        if (((uint8_t *)copy)[k] > 1)
            fault(a, "%s %zu: a bool is %d", what, i, ((uint8_t *)copy)[k]);
    if (status) {
        free(copy);
        return NULL;
    }
    return copy;
}

static bool unchanged(const attempt *a, const attempt *fresh, size_t i)
{
    return !a->memory[i] || !fresh->memory[i] || !memcmp(a->memory[i], fresh->memory[i], a->bytes[i]);
}

/* An error's sentence names the operator, and nothing has changed. */
static void check_error(attempt *a, size_t nodes)
{
    const char *sentence = tg_tape_error(a->tape);
    if (tg_tape_status(a->tape) != a->status)
        fault(a, "%s was returned, and the tape has %s", tg_status_name(a->status),
              tg_status_name(tg_tape_status(a->tape)));
    else if (!*sentence)
        fault(a, "%s without a sentence", tg_status_name(a->status));
    else if (!strstr(sentence, a->call->op->name))
        fault(a, "the sentence does not name the operator: %s: %s", tg_status_name(a->status), sentence);
    if (tg_tape_size(a->tape) != nodes)
        fault(a, "an error left %zu nodes, there were %zu", tg_tape_size(a->tape), nodes);
    for (size_t o = 0; o < a->call->op->n_out; o++)
        if (a->out[o])
            fault(a, "an error gave result %zu", o);
}

/* Row-major; of attention also with the heads within the rows. */
static bool in_order(const tg_operator *op, tg_desc d)
{
    if (d.ndim == 4 && d.stride[1] < d.stride[2] && !strncmp(op->name, "scaled_dot_product_attention", 28)) {
        const int64_t heads = d.dim[1], step = d.stride[1];
        d.dim[1] = d.dim[2];
        d.stride[1] = d.stride[2];
        d.dim[2] = heads;
        d.stride[2] = step;
    }
    return tg_desc_is_dense(&d);
}

static void check_results(attempt *a)
{
    const tg_operator *op = a->call->op;
    for (size_t o = 0; o < op->n_out; o++) {
        if (op->kept_out & (1u << o))
            continue;
        if (!a->out[o]) {
            fault(a, "result %zu is NULL", o);
            continue;
        }
        a->result[o] = read_all(a, a->out[o], &a->result_desc[o], "result", o);
        if (a->result[o] && !(op->flags & TG_OP_VIEW) && !in_order(op, a->result_desc[o]))
            fault(a, "result %zu is not row-major", o);
    }
    for (size_t i = 0; i < a->call->n_in; i++)
        if (written(op, i) && a->in[i] && !a->call->in[i].absent)
            a->written[i] = read_all(a, a->use[i], &a->in_desc[i], "written input", i);
}

/* -- backward ------------------------------------------------------------------------------------------- */

static tg_tensor *random_like(attempt *a, const tg_desc *d, uint64_t seed)
{
    fuzz_source s = {.state = seed};
    const size_t n = (size_t)tg_desc_count(d);
    double *x = malloc((n + 1) * sizeof *x);
    if (!x)
        return NULL;
    for (size_t i = 0; i < n; i++)
        x[i] = fuzz_uniform(&s, -1, 1);
    if (d->dtype == TG_F32)
        for (size_t i = 0; i < n; i++)
            ((float *)x)[i] = (float)x[i];
    tg_tensor *t = tg_input(a->tape, (tg_dtype)d->dtype, d->dim, (size_t)d->ndim, x);
    free(x);
    return t;
}

static void check_gradient(attempt *a, tg_tensor *g, size_t i)
{
    tg_desc x, d;
    if (!g || tg_tensor_desc(a->in[i], &x) || tg_tensor_desc(g, &d))
        return;
    bool same = x.dtype == d.dtype && x.ndim == d.ndim;
    for (int k = 0; same && k < x.ndim; k++)
        same = x.dim[k] == d.dim[k];
    if (!same)
        fault(a, "the gradient of input %zu has another shape or dtype", i);
    else
        a->gradient[i] = read_all(a, g, &d, "the gradient of input", i);
}

static void backward(attempt *a)
{
    const fuzz_call *c = a->call;
    tg_tensor *wrt[FUZZ_IN], *gx[FUZZ_IN] = {NULL};
    size_t from[FUZZ_IN], n = 0, o = 0;
    for (size_t i = 0; i < c->n_in; i++)
        if (a->in[i] && !c->in[i].absent && tg_tensor_requires_grad(a->in[i])) {
            from[n] = i;
            wrt[n++] = a->in[i];
        }
    while (o < c->op->n_out && !(a->out[o] && tg_tensor_requires_grad(a->out[o]) && a->result[o]))
        o++;
    if (!n || o == c->op->n_out)
        return;
    tg_tensor *gy = random_like(a, &a->result_desc[o], c->gy_seed);
    const unsigned flags = TG_ALLOW_UNUSED | TG_RETAIN | (c->second_order ? TG_CREATE_GRAPH : 0);
    tg_status status = gy ? tg_grad(a->tape, a->out[o], gy, wrt, n, gx, flags) : tg_tape_status(a->tape);
    a->outcome->differentiated = status == TG_OK;
    if (status && !*tg_tape_error(a->tape))
        fault(a, "the backward gave %s without a sentence", tg_status_name(status));
    if (status && status != TG_ENOMEM && status != TG_ENODERIV)
        fault(a, "the backward gave %s: %s", tg_status_name(status), tg_tape_error(a->tape));
    for (size_t k = 0; k < n && !status; k++)
        check_gradient(a, gx[k], from[k]);
    tg_tensor *ggx[FUZZ_IN] = {NULL};
    for (size_t k = 0; k < n && !status && c->second_order; k++)
        if (gx[k] && tg_tensor_requires_grad(gx[k])) {
            tg_tensor *v = random_like(a, &(tg_desc){0}, 1);
            tg_desc d;
            v = tg_tensor_desc(gx[k], &d) ? v : random_like(a, &d, c->gy_seed + 1);
            status = v ? tg_grad(a->tape, gx[k], v, wrt, n, ggx, TG_ALLOW_UNUSED) : tg_tape_status(a->tape);
            if (status && status != TG_ENOMEM && status != TG_ENODERIV)
                fault(a, "the second backward gave %s: %s", tg_status_name(status), tg_tape_error(a->tape));
            break;
        }
    tg_tape_clear_error(a->tape);
}

/* -- both ----------------------------------------------------------------------------------------------- */

/* As the backend likes it best, by the row that the kit and backends use. */
static tg_tensor *blocked(attempt *a, tg_tensor *x, int64_t which)
{
    tg_tensor *y = NULL;
    const tg_status status = tg_apply(a->tape, tg_operator_find(a->rt, "reorder"), &x, 1, &(tg_reorder_attrs){which},
                                      NULL, &y);
    if (status && status != TG_ENOMEM)
        fault(a, "reorder gave %s: %s", tg_status_name(status), tg_tape_error(a->tape));
    tg_tape_clear_error(a->tape);
    return y ? y : x;
}

static void try_call(attempt *a)
{
    const fuzz_call *c = a->call;
    fuzz_source s = {.state = c->gy_seed + 77};
    for (size_t i = 0; i < c->n_in; i++) {
        if (!make_input(a, i)) {
            fault(a, "input %zu could not be made: %s", i, tg_error_message());
            return;
        }
        a->use[i] = c->in[i].absent ? NULL : a->in[i];
        if (a->blocked && a->use[i] && !c->in[i].foreign && fuzz_chance(&s, 70))
            a->use[i] = blocked(a, a->use[i], fuzz_chance(&s, 80) ? 0 : fuzz_below(&s, 3));
    }
    const size_t nodes = tg_tape_size(a->tape);
    a->status = tg_apply_draw(a->tape, c->op, a->use, c->n_in, c->no_attrs ? NULL : c->attrs,
                              c->no_scalars ? NULL : c->scalars, c->draw, a->out);
    if (a->status) {
        check_error(a, nodes);
        tg_tape_clear_error(a->tape);
        return;
    }
    if (tg_tape_status(a->tape))
        fault(a, "a result and an error: %s", tg_tape_error(a->tape));
    check_results(a);
    backward(a);
}

static void release(attempt *a)
{
    for (size_t i = 0; i < a->call->n_in; i++) {
        tg_tensor_destroy(a->in[i]);
        free(a->memory[i]);
        free(a->written[i]);
        free(a->gradient[i]);
    }
    for (size_t o = 0; o < FUZZ_OUT; o++)
        free(a->result[o]);
}

static double number(const void *p, tg_dtype dtype, size_t i)
{
    return dtype == TG_F32   ? (double)((const float *)p)[i]
           : dtype == TG_F64 ? ((const double *)p)[i]
           : dtype == TG_I64 ? (double)((const int64_t *)p)[i]
                             : (double)((const uint8_t *)p)[i];
}

/* How large a rounding may be where sums run in the order that elements lie in memory. */
static double rounding(const fuzz_call *c, tg_dtype dtype)
{
    double sum = 1.0;
    if (!tg_dtype_is_float((int32_t)dtype))
        return 0.0;
    for (size_t i = 0; i < c->n_in; i++)
        for (size_t k = 0; k < c->in[i].count; k++)
            sum += fabs(number(c->in[i].values, c->in[i].dtype, k));
    return sum * sum * (dtype == TG_F32 ? 0x1p-18 : 0x1p-46);
}

static bool repeats(const fuzz_call *c)
{
    bool some = false;
    for (size_t i = 0; i < c->n_in; i++)
        some |= c->in[i].repeated != 0;
    return some;
}

/* A backend may keep the variance instead: no 1/√ is below 0. */
static bool has_impossible_rstd(const fuzz_call *c)
{
    bool some = false;
    const fuzz_input *rstd = &c->in[4];
    const bool norm = !strcmp(c->op->name, "batch_norm_backward") || !strcmp(c->op->name, "batch_norm_relu_backward");
    for (size_t k = 0; norm && c->n_in > 4 && k < rstd->count; k++)
        some |= !(number(rstd->values, rstd->dtype, k) > 0.0);
    return some;
}

/* NaN is like NaN, and all else the same but for the rounding of sums. */
static void compare(attempt *b, const void *x, const void *y, tg_dtype dtype, size_t n, const char *what,
                    size_t i)
{
    const size_t size = tg_dtype_size((int32_t)dtype);
    if (!x || !y || !memcmp(x, y, n * size) || (b->blocked && has_impossible_rstd(b->call)))
        return;
    const double allowed = rounding(b->call, dtype);
    for (size_t k = 0; k < n; k++) {
        const double p = number(x, dtype, k), q = number(y, dtype, k);
        if (!memcmp((const char *)x + k * size, (const char *)y + k * size, size) || (isnan(p) && isnan(q)))
            continue;
        if (repeats(b->call) && !isfinite(p) && !isfinite(q))
            continue; /* zero, or a rounding, over zero */
        if (b->blocked && (isnan(p) || isnan(q)) && !strncmp(b->call->op->name, "convolution", 11))
            continue; /* NaN times the zeros around a plane; where exactly, the kit knows */
        if (b->blocked && dtype == TG_F32 && fmax(fabs(p), fabs(q)) > 1e30)
            continue; /* another order of steps overflows elsewhere */
        if (fabs(p - q) <= allowed * (1.0 + fabs(p)) || !isfinite(allowed) || isnan(allowed))
            continue;
        fault(b, "%s %zu, element %zu of %zu: %.17g, and %.17g where inputs are row-major", what, i, k, n, q,
              p);
        return;
    }
}

/* Expanded inputs cannot be written, and a view may need other strides than there are. */
static bool may_differ(const fuzz_call *c)
{
    bool expanded = false;
    for (size_t i = 0; i < c->n_in; i++)
        expanded |= written(c->op, i) && c->in[i].repeated;
    return c->op->flags & TG_OP_VIEW || expanded;
}

/* Of values that are equal but for their sum's rounding, a slope may be that rounding over itself: std's. */
static bool slopes_compare(const attempt *a, const attempt *b)
{
    bool same = true;
    for (size_t o = 0; o < a->call->op->n_out; o++)
        if (a->result[o] && b->result[o]) {
            const int64_t n = tg_desc_count(&a->result_desc[o]);
            same = same && n == tg_desc_count(&b->result_desc[o]) &&
                   !memcmp(a->result[o], b->result[o], (size_t)n * tg_dtype_size(a->result_desc[o].dtype));
        }
    return same || !repeats(a->call);
}

static void compare_attempts(const attempt *a, attempt *b)
{
    const fuzz_call *c = a->call;
    if (a->status != b->status) {
        if (!may_differ(c) && a->status != TG_ENOMEM && b->status != TG_ENOMEM)
            fault(b, "%s, and %s where inputs are row-major", tg_status_name(b->status),
                  tg_status_name(a->status));
        return;
    }
    for (size_t o = 0; o < c->op->n_out; o++) {
        const tg_desc *x = &a->result_desc[o], *y = &b->result_desc[o];
        if (!a->result[o] || !b->result[o])
            continue;
        if (x->dtype != y->dtype || x->ndim != y->ndim || memcmp(x->dim, y->dim, sizeof x->dim))
            fault(b, "result %zu has another shape or dtype than where inputs are row-major", o);
        else
            compare(b, a->result[o], b->result[o], (tg_dtype)x->dtype, (size_t)tg_desc_count(x), "result", o);
    }
    const bool slopes = slopes_compare(a, b);
    for (size_t i = 0; i < c->n_in; i++) {
        compare(b, a->written[i], b->written[i], c->in[i].dtype, c->in[i].count, "written input", i);
        if (slopes)
            compare(b, a->gradient[i], b->gradient[i], c->in[i].dtype, c->in[i].count,
                    "the gradient of input", i);
    }
}

/* Inputs that the row does not write, or that a failed call got, are what they were. */
static void compare_inputs(attempt *a)
{
    attempt fresh = {
        .call = a->call, .outcome = a->outcome, .rt = a->rt, .tape = a->tape, .otherwise = a->otherwise};
    for (size_t i = 0; i < a->call->n_in; i++) {
        if (written(a->call->op, i) && !a->status)
            continue;
        if (make_input(&fresh, i) && !unchanged(a, &fresh, i))
            fault(a, "input %zu was changed", i);
    }
    release(&fresh);
}

void fuzz_run(const fuzz_call *c, tg_runtime *rt, tg_tape *tape, fuzz_outcome *out)
{
    *out = (fuzz_outcome){.status = TG_OK};
    attempt a = {.call = c, .outcome = out, .rt = rt, .tape = tape}, b = a, l = a;
    b.otherwise = true;
    l.blocked = true;
    try_call(&a);
    try_call(&b);
    try_call(&l);
    out->status = a.status;
    compare_attempts(&a, &b);
    compare_attempts(&a, &l);
    compare_inputs(&a);
    compare_inputs(&b);
    compare_inputs(&l);
    release(&a);
    release(&b);
    release(&l);
}
