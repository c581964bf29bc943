/* A call: a sample of the row, changed. */
#include "fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -- choices -------------------------------------------------------------------------------------------- */

/* splitmix64 */
uint64_t fuzz_bits(fuzz_source *s)
{
    if (s->bytes) {
        uint64_t x = 0;
        for (int i = 0; i < 2 && s->n; i++, s->n--)
            x = x << 8 | *s->bytes++;
        return x * 0x9e3779b97f4a7c15u;
    }
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t fuzz_below(fuzz_source *s, int64_t n)
{
    return n > 0 ? (int64_t)(fuzz_bits(s) >> 1) % n : 0;
}

bool fuzz_chance(fuzz_source *s, int percent)
{
    return fuzz_below(s, 100) < percent;
}

double fuzz_uniform(fuzz_source *s, double low, double high)
{
    return low + (high - low) * (double)(fuzz_bits(s) >> 11) * 0x1p-53;
}

#define PICK(s, table) (table)[fuzz_below(s, (int64_t)(sizeof(table) / sizeof *(table)))]

static const int64_t some_sizes[] = {0, 1, 1, 2, 2, 3, 4, 5, 7, 8, 17};
static const int64_t some_integers[] = {-1,
                                        0,
                                        1,
                                        2,
                                        3,
                                        4,
                                        5,
                                        6,
                                        7,
                                        8,
                                        9,
                                        -2,
                                        -3,
                                        63,
                                        64,
                                        100,
                                        INT64_MIN,
                                        INT64_MAX,
                                        INT64_MIN + 1,
                                        INT64_MAX - 1,
                                        INT32_MAX,
                                        INT32_MIN,
                                        (int64_t)1 << 31,
                                        (int64_t)1 << 32,
                                        (int64_t)1 << 40,
                                        (int64_t)1 << 62,
                                        -((int64_t)1 << 62)};
static const double some_numbers[] = {0.0,
                                      -0.0,
                                      1.0,
                                      -1.0,
                                      0.5,
                                      2.0,
                                      1e-8,
                                      -0.25,
                                      3.5,
                                      1e8,
                                      1e30,
                                      1e38,
                                      1e300,
                                      -1e300,
                                      5e-324,
                                      1e-300,
                                      (double)NAN,
                                      (double)INFINITY,
                                      (double)-INFINITY};
static const tg_dtype dtypes[] = {TG_F32, TG_F64, TG_I64, TG_BOOL};

/* -- shapes --------------------------------------------------------------------------------------------- */

static void random_shape(fuzz_source *s, fuzz_input *in)
{
    in->ndim = (int)fuzz_below(s, 6);
    for (int d = 0; d < in->ndim; d++)
        in->dim[d] = PICK(s, some_sizes);
}

static fuzz_input *some_input(fuzz_call *c, fuzz_source *s)
{
    return c->n_in ? &c->in[fuzz_below(s, (int64_t)c->n_in)] : NULL;
}

/* Equal sizes stay equal: what fitted still fits. */
static void map_sizes(fuzz_call *c, fuzz_source *s)
{
    const int64_t old = c->n_in && c->in[0].ndim ? c->in[0].dim[fuzz_below(s, c->in[0].ndim)] : 1;
    const int64_t now = PICK(s, some_sizes);
    for (size_t i = 0; i < c->n_in; i++)
        for (int d = 0; d < c->in[i].ndim; d++)
            if (c->in[i].dim[d] == old)
                c->in[i].dim[d] = now;
}

static void change_rank(fuzz_call *c, fuzz_source *s)
{
    const bool drop = fuzz_chance(s, 40);
    const int64_t size = fuzz_chance(s, 50) ? 1 : PICK(s, some_sizes);
    fuzz_input *only = fuzz_chance(s, 50) ? some_input(c, s) : NULL;
    for (size_t i = 0; i < c->n_in; i++) {
        fuzz_input *in = &c->in[i];
        if ((only && only != in) || (drop ? in->ndim == 0 : in->ndim >= 5))
            continue;
        if (drop) {
            memmove(in->dim, in->dim + 1, sizeof in->dim - sizeof *in->dim);
            in->ndim--;
        } else {
            memmove(in->dim + 1, in->dim, sizeof in->dim - sizeof *in->dim);
            in->dim[0] = size;
            in->ndim++;
        }
    }
}

static void change_shapes(fuzz_call *c, fuzz_source *s)
{
    fuzz_input *in = some_input(c, s);
    if (!in)
        return;
    switch (fuzz_below(s, 6)) {
    case 0:
        map_sizes(c, s);
        map_sizes(c, s);
        break;
    case 1: change_rank(c, s); break;
    case 2: random_shape(s, in); break;
    case 3:
        random_shape(s, in);
        for (size_t i = 0; i < c->n_in; i++) {
            c->in[i].ndim = in->ndim;
            memmove(c->in[i].dim, in->dim, sizeof in->dim);
        }
        break;
    case 4:
        if (in->ndim)
            in->dim[fuzz_below(s, in->ndim)] = PICK(s, some_sizes);
        break;
    default: map_sizes(c, s); break;
    }
}

/* At most some thousand elements. */
static void cap_sizes(fuzz_call *c)
{
    for (size_t i = 0; i < c->n_in; i++) {
        int64_t count = 1;
        for (int d = 0; d < c->in[i].ndim; d++) {
            if (count * c->in[i].dim[d] > 3000)
                c->in[i].dim[d] = 1;
            count *= c->in[i].dim[d];
        }
    }
}

/* -- attributes and scalars ----------------------------------------------------------------------------- */

static int64_t some_integer(fuzz_source *s, int64_t near)
{
    return fuzz_chance(s, 30) ? (int64_t)((uint64_t)near + (uint64_t)fuzz_below(s, 5) - 2u)
                              : PICK(s, some_integers);
}

static void change_attribute(fuzz_call *c, const tg_attr_spec *spec, fuzz_source *s)
{
    unsigned char *at = c->attrs + spec->offset;
    int64_t i, n;
    double x;
    memcpy(&i, at, sizeof i);
    switch (spec->type) {
    case TG_ATTR_INTS:
    case TG_ATTR_REALS:
        n = fuzz_chance(s, 80) ? fuzz_below(s, 7) : PICK(s, some_integers);
        n = fuzz_chance(s, 50) ? i : n;
        memcpy(at, &n, sizeof n);
        for (int64_t k = 0; k < TG_MAX_DIM; k++) {
            memcpy(&i, at + 8 + 8 * k, sizeof i);
            i = k >= n               ? 0
                : fuzz_chance(s, 60) ? i
                : fuzz_chance(s, 70) ? PICK(s, some_sizes)
                                     : some_integer(s, 2);
            x = PICK(s, some_numbers);
            memcpy(at + 8 + 8 * k, spec->type == TG_ATTR_INTS ? (void *)&i : (void *)&x, 8);
        }
        break;
    case TG_ATTR_REAL:
        x = fuzz_chance(s, 30) ? fuzz_uniform(s, -2, 2) : PICK(s, some_numbers);
        memcpy(at, &x, sizeof x);
        break;
    case TG_ATTR_BOOL: *at = fuzz_chance(s, 50); break;
    default:
        i = some_integer(s, i);
        memcpy(at, &i, sizeof i);
        break;
    }
}

static void change_attributes(fuzz_call *c, fuzz_source *s)
{
    size_t n = 0;
    if (!c->op->attrs_size)
        return;
    if (fuzz_chance(s, 2))
        c->no_attrs = true;
    while (c->op->attrs && c->op->attrs[n].name)
        n++;
    if (n && fuzz_chance(s, 85)) {
        change_attribute(c, &c->op->attrs[fuzz_below(s, (int64_t)n)], s);
        return;
    }
    const int64_t words = (int64_t)(c->op->attrs_size / 8), value = PICK(s, some_integers);
    const double number = PICK(s, some_numbers);
    if (words)
        memcpy(c->attrs + 8 * fuzz_below(s, words),
               fuzz_chance(s, 50) ? (const void *)&value : (const void *)&number, 8);
}

static size_t n_scalars(const fuzz_call *c)
{
    size_t groups = c->op->period ? c->n_in / c->op->period : 1;
    return c->op->n_scalars * (groups ? groups : 1);
}

static void change_scalars(fuzz_call *c, fuzz_source *s)
{
    const size_t n = n_scalars(c);
    if (n && n <= FUZZ_SCALARS)
        c->scalars[fuzz_below(s, (int64_t)n)] =
            fuzz_chance(s, 30) ? fuzz_uniform(s, -3, 3) : PICK(s, some_numbers);
    if (n && fuzz_chance(s, 1))
        c->no_scalars = true;
}

/* -- the rest ------------------------------------------------------------------------------------------- */

static void change_inputs(fuzz_call *c, fuzz_source *s)
{
    fuzz_input *in = some_input(c, s);
    if (!in)
        return;
    switch (fuzz_below(s, 8)) {
    case 0: in->absent = true; break;
    case 1: in->foreign = fuzz_chance(s, 20); break;
    case 2: in->dtype = PICK(s, dtypes); break;
    case 3:
        in->dtype = PICK(s, dtypes);
        for (size_t i = 0; i < c->n_in; i++)
            c->in[i].dtype = in->dtype;
        break;
    case 4: in->high = in->low + (in->high - in->low) * 2 + 1; break;
    case 5: in->low = -5; break;
    case 6: in->low = -1e300, in->high = 1e300; break;
    default:
        if (c->op->n_in != TG_OP_VARIADIC && fuzz_chance(s, 10))
            c->n_in = (size_t)fuzz_below(s, TG_SAMPLE_IN);
        break;
    }
}

static void from_sample(fuzz_call *c, fuzz_source *s)
{
    const tg_operator *op = c->op;
    const tg_dtype under_test = fuzz_chance(s, 50) ? TG_F32 : TG_F64;
    tg_sample_inputs inputs;
    tg_sample_read(c->sample, &inputs); /* as it was when the row registered */
    size_t group = inputs.n, repeat = 1;
    if (op->n_in == TG_OP_VARIADIC && fuzz_chance(s, 40))
        repeat = 1 + (size_t)fuzz_below(s, 3);
    for (size_t r = 0; r < repeat && (r + 1) * group <= FUZZ_IN; r++)
        for (size_t i = 0; i < group; i++) {
            const tg_sample_input *from = &inputs.in[i];
            fuzz_input *in = &c->in[c->n_in++];
            *in = (fuzz_input){.absent = from->flags & TG_SAMPLE_ABSENT,
                               .dtype = from->dtype == TG_F32 ? under_test : (tg_dtype)from->dtype,
                               .ndim = from->ndim,
                               .low = (double)from->low,
                               .high = (double)from->high,
                               .gap = 1};
            for (int32_t d = 0; d < from->ndim; d++)
                in->dim[d] = from->dim[d];
        }
    if (op->attrs_size && op->attrs_size <= FUZZ_ATTRS && c->sample->attrs)
        memcpy(c->attrs, c->sample->attrs, op->attrs_size);
    for (size_t i = 0; op->n_scalars && c->sample->scalars && i < n_scalars(c) && i < FUZZ_SCALARS; i++)
        c->scalars[i] = c->sample->scalars[i % op->n_scalars];
}

static double value_of(const fuzz_input *in, fuzz_source *s, bool wild)
{
    if (in->dtype == TG_BOOL)
        return fuzz_chance(s, 50);
    if (wild && fuzz_chance(s, 20))
        return in->dtype == TG_I64 ? (double)PICK(s, some_integers) : PICK(s, some_numbers);
    double x = fuzz_uniform(s, in->low, in->high);
    return in->dtype == TG_I64 ? floor(fmin(fmax(x, -9e18), 9e18)) : x;
}

static void put(void *to, size_t i, tg_dtype dtype, double x)
{
    switch ((int)dtype) {
    case TG_F32:
        ((float *)to)[i] = x > 3e38 ? (float)INFINITY : x < -3e38 ? (float)-INFINITY : (float)x;
        break;
    case TG_F64: ((double *)to)[i] = x; break;
    case TG_I64: ((int64_t *)to)[i] = x >= 9.2e18 ? INT64_MAX : x <= -9.2e18 ? INT64_MIN : (int64_t)x; break;
    default: ((uint8_t *)to)[i] = x != 0.0; break;
    }
}

/* Values; those that differ along a repeated dim only are the same. */
static bool fill(fuzz_input *in, fuzz_source *s)
{
    const size_t size = tg_dtype_size((int32_t)in->dtype);
    const bool wild = fuzz_chance(s, 10), integral = fuzz_chance(s, 15);
    in->count = 1;
    for (int d = 0; d < in->ndim; d++)
        in->count *= (size_t)in->dim[d];
    in->values = malloc(in->count * size + 1);
    for (size_t i = 0; in->values && i < in->count; i++) {
        size_t from = 0, step = 1, left = i;
        for (int d = in->ndim - 1; d >= 0; d--) {
            if (!(in->repeated >> d & 1))
                from += left % (size_t)in->dim[d] * step;
            left /= (size_t)in->dim[d];
            step *= (size_t)in->dim[d];
        }
        const double x = value_of(in, s, wild);
        if (from == i)
            put(in->values, i, in->dtype, integral ? floor(x) : x);
        else
            memcpy((char *)in->values + i * size, (char *)in->values + from * size, size);
    }
    return in->values != NULL;
}

static void choose_layout(fuzz_input *in, fuzz_source *s)
{
    for (int d = 0; d < in->ndim; d++)
        in->order[d] = d;
    if (fuzz_chance(s, 60))
        for (int d = in->ndim - 1; d > 0; d--) {
            int other = (int)fuzz_below(s, d + 1), t = in->order[d];
            in->order[d] = in->order[other];
            in->order[other] = t;
        }
    in->gap = 1 + fuzz_below(s, 3);
    if (fuzz_chance(s, 20))
        in->repeated = (unsigned)fuzz_below(s, 1 << in->ndim);
}

bool fuzz_draw(fuzz_call *c, const tg_operator *op, fuzz_source *s)
{
    size_t n = 0;
    const tg_sample *samples = tg_operator_samples(op, &n);
    memset(c, 0, sizeof *c);
    c->op = op;
    c->sample = &samples[fuzz_below(s, (int64_t)n)];
    from_sample(c, s);
    static const int changes[] = {0, 0, 1, 1, 1, 1, 2, 2, 3};
    for (int k = PICK(s, changes); k > 0; k--)
        switch (fuzz_below(s, 8)) {
        case 0:
        case 1:
        case 2: change_shapes(c, s); break;
        case 3:
        case 4: change_attributes(c, s); break;
        case 5: change_scalars(c, s); break;
        default: change_inputs(c, s); break;
        }
    cap_sizes(c);
    c->draw = fuzz_bits(s);
    c->gy_seed = fuzz_bits(s);
    c->second_order = fuzz_chance(s, 25);
    for (size_t i = 0; i < c->n_in; i++) {
        fuzz_input *in = &c->in[i];
        choose_layout(in, s);
        in->grad = tg_dtype_is_float((int32_t)in->dtype) && fuzz_chance(s, 80);
        if (!fill(in, s))
            return false;
    }
    return true;
}

void fuzz_release(fuzz_call *c)
{
    for (size_t i = 0; i < FUZZ_IN; i++) {
        free(c->in[i].values);
        c->in[i].values = NULL;
    }
}

void fuzz_describe(const fuzz_call *c, FILE *to)
{
    fprintf(to, "%s, sample '%s':", c->op->name, c->sample->label);
    for (size_t i = 0; i < c->n_in; i++) {
        const fuzz_input *in = &c->in[i];
        fprintf(to, "%s %s[", i ? "," : "",
                in->absent    ? "absent"
                : in->foreign ? "stale"
                              : tg_dtype_name((int32_t)in->dtype));
        for (int d = 0; d < in->ndim; d++)
            fprintf(to, "%s%lld%s", d ? " " : "", (long long)in->dim[d], in->repeated >> d & 1 ? "*" : "");
        fprintf(to, "]");
    }
    for (size_t w = 0; w < c->op->attrs_size / 8 && !c->no_attrs; w++) {
        int64_t i;
        double x;
        memcpy(&i, c->attrs + 8 * w, 8);
        memcpy(&x, c->attrs + 8 * w, 8);
        if (fabs(x) > 1e-100 && fabs(x) < 1e100)
            fprintf(to, "%s%g", w ? " " : "; attributes ", x);
        else
            fprintf(to, "%s%lld", w ? " " : "; attributes ", (long long)i);
    }
    for (size_t k = 0; k < n_scalars(c) && k < FUZZ_SCALARS && !c->no_scalars; k++)
        fprintf(to, "%s%g", k ? " " : "; scalars ", c->scalars[k]);
    fprintf(to, "\n");
}
