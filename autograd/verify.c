/* TAPEGRAD_VERIFY: every operator runs on a second backend, too, and the results are compared. The second backend is a
 * runtime of its own beside the program's, with a tape for each of the program's tapes; what goes in is copied there
 * before the program's run, with the same draw, and nothing of it comes back. To the reference, f32 goes over as
 * f64; where that differs, it says in f32 whether that is the dtype's doing. */
#include "autograd/watch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Relative to the largest value of a result: what kernels may differ by that sum in another order. */
static const double tolerance_f32 = 1e-4, tolerance_f64 = 1e-9;

struct tg_verify {
    tg_tape *tape; /* the second backend's */
    tg_tensor **in, **use;
    size_t in_capacity, use_capacity;
    char *raw;
    double *got, *want;
    size_t raw_capacity, got_capacity, want_capacity;
};

/* The largest difference of one result. */
typedef struct difference {
    bool beyond, of_input;
    size_t result;
    int64_t at, n_got, n_want;
    double got, want, error, scale, tolerance, noise;
} difference;

/* -- opening ----------------------------------------------------------------------------------------------------- */

tg_status tg_verify_environment(tg_runtime *rt, const tg_runtime_options *o)
{
    const char *text = getenv("TAPEGRAD_VERIFY");
    char name[128];
    if (!text || !*text || !strcmp(text, "0"))
        return TG_OK;
    size_t n = strcspn(text, ":");
    char *end = NULL;
    const locale_t before = tg_plain_numbers();
    if (text[n])
        rt->verify_tolerance = strtod(text + n + 1, &end);
    uselocale(before);
    if (n >= sizeof name || (end && (*end || !(rt->verify_tolerance > 0) || rt->verify_tolerance > 1)))
        return tg_fail(NULL, TG_EINVAL, "TAPEGRAD_VERIFY=%s: a backend's name is expected, or NAME:TOLERANCE", text);
    memcpy(name, text, n);
    name[n] = '\0';
    tg_runtime_options beside = {
        .struct_size = sizeof beside, .backend = name, .backends = o->backends, .n_backends = o->n_backends};
    tg_status status = tg_runtime_open_beside(&rt->verify, rt, &beside);
    if (status == TG_OK || status == TG_ENOMEM)
        return status;
    char why[800];
    snprintf(why, sizeof why, "%s", tg_error_message());
    return tg_fail(NULL, status, "TAPEGRAD_VERIFY=%s: %s", text, why);
}

void tg_verify_close(tg_runtime *rt)
{
    tg_runtime_close(rt->verify);
    rt->verify = NULL;
}

tg_status tg_verify_open_tape(tg_tape *tape)
{
    if (!tape->rt->verify)
        return TG_OK;
    struct tg_verify *v = tape->verify = tg_alloc_zero(&tape->rt->allocator, sizeof *v);
    if (!v || tg_tape_open(&v->tape, tape->rt->verify))
        return TG_ENOMEM;
    tg_tape_set_recording(v->tape, false);
    v->tape->keeps_all = true;
    tape->watch |= TG_WATCH_VERIFY;
    return TG_OK;
}

void tg_verify_close_tape(tg_tape *tape)
{
    const tg_allocator *a = &tape->rt->allocator;
    struct tg_verify *v = tape->verify;
    if (!v)
        return;
    tg_tape_close(v->tape);
    tg_free(a, v->in);
    tg_free(a, v->use);
    tg_free(a, v->raw);
    tg_free(a, v->got);
    tg_free(a, v->want);
    tg_free(a, v);
    tape->verify = NULL;
}

/* -- values ------------------------------------------------------------------------------------------------------ */

static size_t bytes_of(const tg_desc *d)
{
    return (size_t)tg_desc_count(d) * tg_dtype_size(d->dtype);
}

static tg_status read_raw(tg_tape *tape, const tg_tensor *t, const tg_desc *d)
{
    struct tg_verify *v = tape->verify;
    tg_status status = tg_grow(&tape->rt->allocator, &v->raw, &v->raw_capacity, bytes_of(d) + 1, 1);
    return status ? status : tg_tensor_read(t, v->raw, bytes_of(d));
}

static double element(const void *raw, int64_t i, int32_t dtype)
{
    switch (dtype) {
    case TG_F32: return (double)((const float *)raw)[i];
    case TG_F64: return ((const double *)raw)[i];
    case TG_I64: return (double)((const int64_t *)raw)[i];
    default: return (double)((const uint8_t *)raw)[i];
    }
}

static tg_status read_doubles(tg_tape *tape, const tg_tensor *t, double **out, size_t *capacity, int64_t *n)
{
    tg_desc d;
    tg_status status = tg_tensor_desc(t, &d);
    *n = status ? 0 : tg_desc_count(&d);
    if (status == TG_OK)
        status = read_raw(tape, t, &d);
    if (status == TG_OK)
        status = tg_grow(&tape->rt->allocator, out, capacity, (size_t)*n + 1, sizeof **out);
    for (int64_t i = 0; status == TG_OK && i < *n; i++)
        (*out)[i] = element(tape->verify->raw, i, d.dtype);
    return status;
}

static bool written(const tg_operator *op, size_t i)
{
    if (op->period)
        i %= op->period;
    return i < 16 && (op->writes & TG_OP_IN(i));
}

static bool is_checked(const tg_watched *w)
{
    return !(w->op->flags & TG_OP_VIEW);
}

tg_status tg_verify_before(tg_tape *tape, const tg_watched *w)
{
    struct tg_verify *v = tape->verify;
    if (!is_checked(w))
        return TG_OK;
    const uint8_t watch = tape->watch;
    const tg_allocator *a = &tape->rt->allocator;
    tape->watch = 0;
    tg_tape_clear_error(v->tape);
    tg_tape_reset(v->tape);
    tg_status status = tg_grow(a, &v->in, &v->in_capacity, w->n_in + 1, sizeof *v->in);
    if (status == TG_OK)
        status = tg_grow(a, &v->use, &v->use_capacity, w->n_in + 1, sizeof *v->use);
    for (size_t i = 0; i < w->n_in && status == TG_OK; i++) {
        tg_desc d;
        v->in[i] = NULL;
        if (!w->in[i])
            continue;
        status = tg_tensor_desc(w->in[i], &d);
        if (status == TG_OK)
            status = read_raw(tape, w->in[i], &d);
        if (status == TG_OK) {
            v->in[i] = tg_input(v->tape, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, v->raw);
            status = tg_tape_status(v->tape);
        }
    }
    tape->watch = watch;
    return status ? tg_fail_again(tape, status) : TG_OK;
}

/* -- the second run ------------------------------------------------------------------------------------------------ */

/* In f64, or (`own`) in the dtypes of the program. */
static tg_status run_beside(tg_tape *tape, const tg_watched *w, bool own, tg_tensor *out[])
{
    struct tg_verify *v = tape->verify;
    tg_tape_clear_error(v->tape);
    for (size_t i = 0; i < w->n_in; i++) {
        v->use[i] = v->in[i];
        if (v->in[i] && !own && tg_tensor_dtype(v->in[i]) == TG_F32)
            v->use[i] = tg_to(v->tape, v->in[i], TG_F64);
        else if (v->in[i] && written(w->op, i))
            v->use[i] = tg_clone(v->tape, v->in[i]);
    }
    const uint64_t seed = tape->rule_of ? tape->rule_of->seed : tape->next.seed;
    tg_tape_set_random_state(v->tape, (tg_random_state){seed, w->draw});
    return tg_apply_draw(v->tape, w->op, v->use, w->n_in, w->attrs, w->scalars, w->draw, out);
}

static double tolerance_for(const tg_tape *tape, int32_t dtype)
{
    if (!tg_dtype_is_float(dtype))
        return 0.0;
    return tape->rt->verify_tolerance > 0 ? tape->rt->verify_tolerance
           : dtype == TG_F32              ? tolerance_f32
                                          : tolerance_f64;
}

static void weigh(const double *got, const double *want, int64_t n, difference *d)
{
    d->scale = 0.0;
    d->error = -1.0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(want[i]))
            d->scale = fmax(d->scale, fabs(want[i]));
    for (int64_t i = 0; i < n; i++) {
        bool same = got[i] == want[i] || (isnan(got[i]) && isnan(want[i]));
        double error = same ? 0.0 : isfinite(got[i]) && isfinite(want[i]) ? fabs(got[i] - want[i]) : (double)INFINITY;
        if (error > d->error) {
            d->error = error;
            d->at = i;
        }
    }
    d->beyond = d->error > d->tolerance * d->scale;
    if (n) {
        d->got = got[d->at];
        d->want = want[d->at];
    }
}

static tg_status compare(tg_tape *tape, const tg_tensor *mine, const tg_tensor *other, difference *d)
{
    struct tg_verify *v = tape->verify;
    tg_status status = read_doubles(tape, mine, &v->got, &v->got_capacity, &d->n_got);
    if (status == TG_OK)
        status = read_doubles(tape, other, &v->want, &v->want_capacity, &d->n_want);
    d->tolerance = tolerance_for(tape, (int32_t)tg_tensor_dtype(mine));
    if (status == TG_OK && d->n_got == d->n_want)
        weigh(v->got, v->want, d->n_got, d);
    else
        d->beyond = true;
    return status;
}

/* What sums that cancel may leave: a part of the largest product of the inputs, or of the largest input, and more of it
 * where a result has many terms: roundings add up like the root of their number. */
static double noise_of(tg_tape *tape, const tg_watched *w, int64_t n_results)
{
    struct tg_verify *v = tape->verify;
    double product = 1.0, largest = 0.0, terms = 1.0;
    for (size_t i = 0; i < w->n_in; i++) {
        int64_t n = 0;
        double most = 0.0;
        if (!v->in[i] || !tg_dtype_is_float((int32_t)tg_tensor_dtype(v->in[i])) ||
            read_doubles(tape, v->in[i], &v->want, &v->want_capacity, &n))
            continue;
        for (int64_t k = 0; k < n; k++)
            most = isfinite(v->want[k]) ? fmax(most, fabs(v->want[k])) : most;
        product *= most;
        largest = fmax(largest, most);
        terms = fmax(terms, (double)n / (double)(n_results ? n_results : 1));
    }
    return fmin(product, largest) * fmax(1.0, 0.25 * sqrt(terms));
}

/* The first result that differs; TG_ENOKERNEL: the second backend cannot run it so. */
static tg_status find_difference(tg_tape *tape, const tg_watched *w, tg_tensor *const out[], bool own, difference *d)
{
    tg_tensor *other[16];
    tg_status status = TG_OK;
    *d = (difference){0};
    if (run_beside(tape, w, own, other))
        return tape->verify->tape->status == TG_ENOMEM ? TG_ENOMEM : TG_ENOKERNEL;
    for (size_t o = 0; o < w->op->n_out && !d->beyond && status == TG_OK; o++) {
        d->result = o;
        status = compare(tape, out[o], other[o], d);
    }
    for (size_t i = 0; w->op->writes && i < w->n_in && !d->beyond && status == TG_OK; i++)
        if (w->in[i] && written(w->op, i)) {
            d->result = i;
            d->of_input = true;
            status = compare(tape, w->in[i], tape->verify->use[i], d);
        }
    if (status == TG_OK && d->beyond && d->n_got == d->n_want && d->tolerance > 0.0) {
        d->noise = 0.01 * d->tolerance * noise_of(tape, w, d->n_want);
        d->beyond = d->error > d->tolerance * d->scale + d->noise;
    }
    return status;
}

/* -- the sentence -------------------------------------------------------------------------------------------------- */

static void add_layout(const tg_tensor *t, char *text, size_t size, size_t *n)
{
    const tg_value *v = t ? tg_resolve(t) : NULL;
    char shape[128];
    if (!v) {
        tg_text_add(text, size, n, "-");
        return;
    }
    const tg_desc *d = v->desc;
    tg_text_add(text, size, n, "%s", tg_desc_format(d, shape, sizeof shape));
    if (d->layout)
        tg_text_add(text, size, n, " in %s's %s", d->layout->backend, d->layout->name);
    if (d->layout || tg_desc_is_dense(d))
        return;
    for (int32_t i = 0; i < d->ndim; i++)
        tg_text_add(text, size, n, "%s%lld", i ? ", " : " with strides (", (long long)d->stride[i]);
    tg_text_add(text, size, n, ")");
}

static tg_status put_back(tg_tape *tape, const tg_watched *w)
{
    tg_status status = TG_OK;
    for (size_t i = 0; w->op->writes && i < w->n_in && status == TG_OK; i++) {
        tg_desc d;
        if (!w->in[i] || !written(w->op, i))
            continue;
        status = tg_tensor_desc(w->in[i], &d);
        if (status == TG_OK)
            status = read_raw(tape, tape->verify->in[i], &d);
        if (status)
            break;
        tg_tensor *before = tg_input(tape, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, tape->verify->raw);
        status = tg_apply(tape, tape->rt->rows.copy_, (tg_tensor *[]){w->in[i], before}, 2, NULL, NULL, NULL);
        tg_discard(before);
    }
    return status;
}

static tg_status blame(tg_tape *tape, const tg_watched *w, tg_tensor *const out[], const difference *d)
{
    char text[900], place[128], who[300], inputs[500] = "";
    size_t n = 0;
    const tg_tensor *result = d->of_input ? w->in[d->result] : out[d->result];
    tg_desc of = {0};
    tg_tensor_desc(result, &of);
    for (size_t i = 0, at = 0; i < w->n_in && i < 6; i++) {
        tg_text_add(inputs, sizeof inputs, &at, "%s", i ? ", " : "");
        add_layout(w->in[i], inputs, sizeof inputs, &at);
    }
    tg_text_add(text, sizeof text, &n, "verify: %s(%s)", w->op->name, inputs);
    if (tape->rule_of)
        tg_text_add(text, sizeof text, &n, ", for the backward of %s,", tg_text_who(tape, tape->rule_of, who, sizeof who));
    tg_text_add(text, sizeof text, &n, " on backend '%s' differs from '%s': its %s %zu, ",
                w->entry && w->entry->backend ? w->entry->backend->name : "?", tape->rt->verify->chain,
                d->of_input ? "written input" : "result", d->result);
    add_layout(result, text, sizeof text, &n);
    if (d->n_got != d->n_want)
        tg_text_add(text, sizeof text, &n, ", has %lld values, expected %lld", (long long)d->n_got,
                    (long long)d->n_want);
    else
        tg_text_add(text, sizeof text, &n, ", has %.9g at %s, expected %.9g: off by %.3g, where its largest value is %.3g (%.2g allowed)",
                    d->got, tg_text_place(&of, d->at, place, sizeof place), d->want, d->error, d->scale,
                    d->tolerance * d->scale + d->noise);
    put_back(tape, w);
    return tg_fail(tape, TG_EBACKEND, "%s", text);
}

static bool has_f32(const tg_watched *w)
{
    for (size_t i = 0; i < w->n_in; i++)
        if (w->in[i] && tg_tensor_dtype(w->in[i]) == TG_F32)
            return true;
    return false;
}

tg_status tg_verify_after(tg_tape *tape, const tg_watched *w, tg_tensor *const out[])
{
    const tg_loaded *ran = w->entry ? w->entry->backend : NULL;
    if (!is_checked(w) || !ran || !strcmp(ran->name, tape->rt->verify->backends[0].name))
        return TG_OK;
    const uint8_t watch = tape->watch;
    const tg_observer observer = tape->observer;
    const bool recording = tape->recording;
    tape->watch = 0;
    tape->observer = (tg_observer){0};
    tape->recording = false;
    difference d = {0};
    /* A generator's numbers differ by dtype. */
    bool wide = has_f32(w) && !(w->op->flags & TG_OP_RANDOM) && !strcmp(tape->rt->verify->chain, "reference");
    tg_status status = wide ? find_difference(tape, w, out, false, &d) : TG_ENOKERNEL;
    if (status == TG_ENOKERNEL || (status == TG_OK && d.beyond && wide))
        status = find_difference(tape, w, out, true, &d);
    if (status == TG_ENOKERNEL)
        status = TG_OK; /* the second backend has nothing to say */
    else if (status)
        tg_fail_again(tape, status);
    else if (d.beyond)
        status = blame(tape, w, out, &d);
    tape->recording = recording;
    tape->observer = observer;
    tape->watch = watch;
    return status;
}
