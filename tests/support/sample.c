#include "support/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double sample_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

tg_sample_inputs sample_inputs(const tg_sample *sample)
{
    tg_sample_inputs inputs;
    if (tg_sample_read(sample, &inputs)) {
        fprintf(stderr, "%s\n", tg_error_message());
        abort();
    }
    return inputs;
}

void sample_tolerance(const tg_sample *sample, double *rtol, double *atol)
{
    const double own = (double)sample_inputs(sample).tolerance;
    *rtol = fmax(1e-5, own);
    *atol = fmax(1e-7, 0.01 * own);
}

static bool near_a_kink(const tg_sample_input *s, double x)
{
    for (int32_t k = 0; k < s->n_kinks; k++)
        if (fabs(x - (double)s->kinks[k]) < (double)s->distance)
            return true;
    return false;
}

/* The part u of the range. */
static double within(const tg_sample_input *s, double u)
{
    return (double)s->low + ((double)s->high - (double)s->low) * u;
}

static double draw_one(const tg_sample_input *s, uint64_t *state)
{
    for (int tries = 0; tries < 10000; tries++) {
        double x = within(s, sample_random(state));
        if (!near_a_kink(s, x))
            return x;
    }
    return (double)NAN; /* the range is all kinks: the sample is wrong, and NaN shows it */
}

/* One value from each of n shuffled slots of the range; the rest of a slot keeps neighbours apart. */
static void draw_distinct(const tg_sample_input *s, double *x, size_t n, uint64_t *state)
{
    size_t slots = n + 4 * (size_t)s->n_kinks, filled = 0;
    double width = ((double)s->high - (double)s->low) / (double)slots, apart = (double)s->distance;
    double room = width > apart ? width - apart : 0.0;
    for (size_t i = 0; i < slots && filled < n; i++) {
        double v = (double)s->low + width * (double)i + room * sample_random(state);
        if (!near_a_kink(s, v))
            x[filled++] = v;
    }
    while (filled < n)
        x[filled++] = (double)NAN;
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)(sample_random(state) * (double)i);
        double t = x[i - 1];
        x[i - 1] = x[j];
        x[j] = t;
    }
}

static double *draw_values(const tg_sample_input *s, size_t n, uint64_t *state, unsigned how)
{
    double *x = malloc((n + 1) * sizeof *x);
    if (!x)
        return NULL;
    if (s->dtype == TG_BOOL)
        for (size_t i = 0; i < n; i++)
            x[i] = sample_random(state) < 0.5 ? 0.0 : 1.0;
    else if (s->dtype == TG_I64)
        for (size_t i = 0; i < n; i++)
            x[i] = floor(within(s, sample_random(state)));
    else if (s->flags & TG_SAMPLE_DISTINCT)
        draw_distinct(s, x, n, state);
    else
        for (size_t i = 0; i < n; i++)
            x[i] = draw_one(s, state);
    if (s->dtype == TG_F32 && how & SAMPLE_ROUND_F32)
        for (size_t i = 0; i < n; i++)
            x[i] = (double)(float)x[i];
    for (size_t i = 0; s->dtype == TG_F32 && how & SAMPLE_ONES && i < n; i++)
        x[i] = 1.0;
    if (s->dtype == TG_F32 && how & (SAMPLE_NAN | SAMPLE_ZERO | SAMPLE_MARK) && n)
        x[0] = how & SAMPLE_NAN ? (double)NAN : how & SAMPLE_ZERO ? 0.0 : 2.0;
    return x;
}

static void store(void *to, size_t i, double x, tg_dtype dtype)
{
    switch ((int)dtype) {
    case TG_F32: ((float *)to)[i] = (float)x; break;
    case TG_F64: ((double *)to)[i] = x; break;
    case TG_I64: ((int64_t *)to)[i] = (int64_t)x; break;
    default: ((uint8_t *)to)[i] = x != 0.0; break;
    }
}

/* Memory in which the tensor's dims lie in reverse order, two elements apart; the gaps hold NaN (or what no
 * index and no mask is), so that reading them is seen. */
static tg_status make_strided(sample_set *set, size_t i, tg_runtime *rt, tg_dtype dtype, const int64_t *dim,
                              size_t ndim)
{
    int64_t stride[TG_MAX_DIM], step = 2;
    for (size_t d = 0; d < ndim; d++) {
        stride[d] = step;
        step *= dim[d] > 0 ? dim[d] : 1;
    }
    size_t total = (size_t)step;
    set->memory[i] = malloc(total * sizeof(double));
    if (!set->memory[i])
        return TG_ENOMEM;
    for (size_t e = 0; e < total; e++)
        store(set->memory[i], e, dtype == TG_I64 ? -9e15 : (double)NAN, dtype);
    return tg_tensor_wrap(&set->in[i], rt, dtype, dim, stride, ndim, set->memory[i]);
}

static tg_status fill_tensor(tg_tensor *t, const double *x, size_t n, tg_dtype dtype)
{
    size_t bytes = n * tg_dtype_size((int32_t)dtype);
    void *typed = malloc(bytes + 8);
    if (!typed)
        return TG_ENOMEM;
    for (size_t e = 0; e < n; e++)
        store(typed, e, x[e], dtype);
    tg_status status = tg_tensor_write(t, typed, bytes);
    free(typed);
    return status;
}

/* The same for all inputs, so that they still fit each other; what they broadcast to counts. */
static int64_t factor_of(const tg_sample_inputs *sample, unsigned how)
{
    double count = 1.0, free_dims = 0.0;
    if (!(how & (SAMPLE_LARGE | SAMPLE_ODD)))
        return 1;
    for (int32_t back = 1; back <= TG_MAX_DIM; back++) {
        int64_t size = 1;
        for (uint32_t i = 0; i < sample->n; i++) {
            const tg_sample_input *s = &sample->in[i];
            if (back <= s->ndim && s->dim[s->ndim - back] > size)
                size = s->dim[s->ndim - back];
        }
        count *= (double)size;
        free_dims += size > 1;
    }
    if (how & SAMPLE_ODD)
        return count * pow(7.0, free_dims) <= 40000.0 ? 7 : count * pow(3.0, free_dims) <= 40000.0 ? 3 : 1;
    double factor = free_dims > 0.0 ? pow(40000.0 / count, 1.0 / free_dims) : 1.0;
    return factor > 1.0 ? (int64_t)factor : 1;
}

static tg_status draw_input(sample_set *set, size_t i, tg_runtime *rt, const tg_sample_input *s,
                            tg_dtype under_test, uint64_t *state, unsigned how, int64_t factor)
{
    tg_dtype dtype = s->dtype == TG_F32 ? under_test : (tg_dtype)s->dtype;
    int64_t dim[TG_MAX_DIM];
    size_t n = 1;
    for (int32_t d = 0; d < s->ndim; d++) {
        dim[d] = how & SAMPLE_EMPTY && d == 0 ? 0 : s->dim[d] > 1 ? factor * s->dim[d] : s->dim[d];
        dim[d] *= how & SAMPLE_SIXTEEN && d < 2 ? 16 : 1;
        n *= (size_t)dim[d];
    }
    bool strided = s->ndim > 0 && (how & SAMPLE_ALL_STRIDED || s->flags & TG_SAMPLE_STRIDED);
    tg_status status = strided ? make_strided(set, i, rt, dtype, dim, (size_t)s->ndim)
                               : tg_tensor_create(&set->in[i], rt, dtype, dim, (size_t)s->ndim);
    if (status)
        return status;
    double *x = draw_values(s, n, state, how);
    status = x ? fill_tensor(set->in[i], x, n, dtype) : TG_ENOMEM;
    free(x);
    if (!status && tg_dtype_is_float((int32_t)dtype) && !(s->flags & TG_SAMPLE_NO_GRAD))
        status = tg_tensor_set_requires_grad(set->in[i], true);
    return status;
}

bool sample_draw(sample_set *set, tg_runtime *rt, const tg_sample *sample, tg_dtype dtype, uint64_t seed,
                 unsigned how)
{
    const tg_sample_inputs inputs = sample_inputs(sample);
    *set = (sample_set){.n = inputs.n};
    uint64_t state = seed;
    int64_t factor = factor_of(&inputs, how);
    for (size_t i = 0; i < inputs.n; i++)
        if (!(inputs.in[i].flags & TG_SAMPLE_ABSENT) &&
            draw_input(set, i, rt, &inputs.in[i], dtype, &state, how, factor) != TG_OK) {
            sample_free(set);
            return false;
        }
    return true;
}

void sample_free(sample_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        tg_tensor_destroy(set->in[i]);
        free(set->memory[i]);
    }
    *set = (sample_set){0};
}

double *sample_values(const tg_tensor *tensor, size_t *n)
{
    *n = (size_t)tg_tensor_count(tensor);
    tg_dtype dtype = tg_tensor_dtype(tensor);
    size_t bytes = *n * tg_dtype_size((int32_t)dtype);
    void *raw = malloc(bytes + 8);
    double *x = malloc((*n + 1) * sizeof *x);
    if (!raw || !x || tg_tensor_read(tensor, raw, bytes) != TG_OK) {
        free(raw);
        free(x);
        return NULL;
    }
    for (size_t i = 0; i < *n; i++)
        x[i] = dtype == TG_F64   ? ((double *)raw)[i]
               : dtype == TG_F32 ? (double)((float *)raw)[i]
               : dtype == TG_I64 ? (double)((int64_t *)raw)[i]
                                 : (double)((uint8_t *)raw)[i];
    free(raw);
    return x;
}
