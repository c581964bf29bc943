/* Resampling along one dim is a sparse matrix, built for each call; sampling on a grid finds its taps as it
 * goes. */
#include "backends/reference/each.h"
#include "backends/reference/lanes.h"
#include "backends/reference/reference.h"

enum { LINE = 64 };
enum { NEAREST, NEAREST_EXACT, LINEAR, CUBIC, AREA };

/* -- weights along one dim ------------------------------------------------------------------------------ */

/* Row r's entries are at[r] … at[r + 1] of column and weight. */
typedef struct matrix {
    int64_t rows, *at, *column;
    double *weight;
} matrix;

/* Keys' kernel and its derivatives by d, at distance d from the tap: inside 1, and from 1 to 2. */
static double keys(double a, double d, int order)
{
    const bool near = d <= 1.0;
    switch (order) {
    case 0: return near ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    case 1: return near ? (3 * (a + 2) * d - 2 * (a + 3)) * d : (3 * a * d - 10 * a) * d + 8 * a;
    case 2: return near ? 6 * (a + 2) * d - 2 * (a + 3) : 6 * a * d - 10 * a;
    case 3: return near ? 6 * (a + 2) : 6 * a;
    default: return 0.0;
    }
}

static double step_of(const tg_resample_attrs *a)
{
    if (a->align_corners)
        return a->to > 1 ? (double)(a->from - 1) / (double)(a->to - 1) : 0.0;
    return a->scale > 0.0 ? a->scale : (double)a->from / (double)a->to;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t inside(int64_t i, int64_t n)
{
    return i < 0 ? 0 : least(i, n - 1);
}

/* A source that falls a rounding below an integer counts as that integer. */
static int64_t floor_index(double x)
{
    return (int64_t)floor(x < 4194304.0 ? (double)(float)x : x);
}

/* All of window first … first + n − 1, weighted by the filter that `step` stretches. */
static int64_t filtered(const tg_resample_attrs *a, double step, int64_t o, int64_t *column, double *weight)
{
    const double stretch = step > 1.0 ? step : 1.0, support = stretch * (a->mode == CUBIC ? 2.0 : 1.0);
    const double centre = step * ((double)o + 0.5);
    int64_t first = (int64_t)(centre - support + 0.5),
            end = least((int64_t)(centre + support + 0.5), a->from);
    double total = 0.0;
    if (first < 0)
        first = 0;
    for (int64_t k = 0; k < end - first; k++) {
        const double t = fabs(((double)(first + k) - centre + 0.5) / stretch);
        column[k] = first + k;
        weight[k] = a->mode == CUBIC ? (t < 2.0 ? keys(-0.5, t, 0) : 0.0) : (t < 1.0 ? 1.0 - t : 0.0);
        total += weight[k];
    }
    for (int64_t k = 0; k < end - first && total != 0.0; k++)
        weight[k] /= total;
    return end > first ? end - first : 0;
}

/* Output o's entries; returns how many. */
static int64_t entries(const tg_resample_attrs *a, double step, int64_t o, int64_t *column, double *weight)
{
    const int64_t n = a->from;
    if (a->antialias && n != a->to)
        return filtered(a, step, o, column, weight);
    double c = a->align_corners ? step * (double)o : step * ((double)o + 0.5) - 0.5;
    weight[0] = 1.0;
    switch (a->mode) {
    case NEAREST: column[0] = inside(floor_index(step * (double)o), n); return 1;
    case NEAREST_EXACT: column[0] = inside(floor_index(fmax(c, 0.0) + 0.5), n); return 1;
    case AREA: {
        const double ratio = (double)n / (double)a->to;
        int64_t first = least((int64_t)floor((double)o * ratio), n - 1);
        if (o < INT32_MAX && n < INT32_MAX)
            first = o * n / a->to;
        int64_t end = n < INT32_MAX && o < INT32_MAX ? ((o + 1) * n + a->to - 1) / a->to
                                                     : least((int64_t)ceil((double)(o + 1) * ratio), n);
        for (int64_t k = 0; k < end - first; k++) {
            column[k] = first + k;
            weight[k] = 1.0 / (double)(end - first);
        }
        return end - first;
    }
    case LINEAR:
        if (n == a->to || a->antialias) {
            column[0] = o;
            return 1;
        }
        c = fmin(fmax(c, 0.0), (double)(n - 1));
        column[0] = inside((int64_t)c, n);
        column[1] = inside(column[0] + 1, n);
        weight[1] = c - (double)column[0];
        weight[0] = 1.0 - weight[1];
        return 2;
    default: {
        if (a->antialias) {
            column[0] = o;
            return 1;
        }
        const int64_t base = least((int64_t)floor(c), n - 1);
        const double t = fmin(fmax(c - (double)base, 0.0), 1.0);
        for (int64_t k = 0; k < 4; k++) {
            const double d = k < 2 ? t + (double)(1 - k) : (double)(k - 1) - t;
            column[k] = inside(base - 1 + k, n);
            weight[k] = keys(-0.75, d, 0);
        }
        return 4;
    }
    }
}

/* As many entries as one output has at the most. */
static double most_entries(const tg_resample_attrs *a)
{
    const double ratio = (double)a->from / (double)a->to, step = step_of(a);
    if (a->antialias)
        return fmin((double)a->from, 4.0 * fmax(step, 1.0) + 3.0) + 1.0;
    return a->mode == AREA ? ratio + 3.0 : 4.0;
}

static void build(const tg_resample_attrs *a, matrix *m)
{
    const double step = step_of(a);
    int64_t n = 0;
    for (int64_t o = 0; o < m->rows; o++) {
        m->at[o] = n;
        n += entries(a, step, o, m->column + n, m->weight + n);
    }
    m->at[m->rows] = n;
}

/* Entries of a column stay in the order of their rows. */
static void transpose(const matrix *m, matrix *t)
{
    for (int64_t r = 0; r <= t->rows; r++)
        t->at[r] = 0;
    for (int64_t k = 0; k < m->at[m->rows]; k++)
        t->at[m->column[k] + 1]++;
    for (int64_t r = 0; r < t->rows; r++)
        t->at[r + 1] += t->at[r];
    for (int64_t r = 0; r < m->rows; r++)
        for (int64_t k = m->at[r]; k < m->at[r + 1]; k++) {
            const int64_t place = t->at[m->column[k]]++;
            t->column[place] = r;
            t->weight[place] = m->weight[k];
        }
    for (int64_t r = t->rows; r > 0; r--)
        t->at[r] = t->at[r - 1];
    t->at[0] = 0;
}

static void *cut_matrix(char *p, int64_t rows, int64_t n, matrix *m)
{
    m->rows = rows;
    m->at = (int64_t *)(void *)p;
    m->column = m->at + rows + 1;
    m->weight = (double *)(void *)(m->column + n);
    return m->weight + n;
}

/* -- resample ------------------------------------------------------------------------------------------- */

typedef struct resampling {
    matrix m;
    int64_t lines, inner, from,
        per; /* a line: a row of the matrix at one outer place; per: lines of an item */
    bool f64;
    const void *x;
    void *y;
} resampling;

static tg_status prepare_resample(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    const tg_resample_attrs *a = c->attrs;
    (void)s;
    if (!ref_count(&c->out[0]) || !ref_count(c->in[0]))
        return TG_OK;
    const double one = most_entries(a) * (double)a->to * 16.0 + 8.0 * (double)a->to + 64.0;
    const double bytes = 2.0 * one + 8.0 * (double)a->from + 64.0;
    p->scratch_size = bytes < 1e15 ? (size_t)bytes : (size_t)1e15;
    return TG_OK;
}

static double value_at(bool f64, const void *x, int64_t i)
{
    return f64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

static void resample_item(const void *arg, int64_t item)
{
    const resampling *t = arg;
    const int64_t end = least((item + 1) * t->per, t->lines), inner = t->inner;
    for (int64_t line = item * t->per; line < end; line++) {
        const int64_t row = line % t->m.rows, base = line / t->m.rows * t->from;
        const int64_t first = t->m.at[row], last = t->m.at[row + 1];
        if (inner == 1) {
            double sum = 0;
            for (int64_t k = first; k < last; k++)
                sum += t->m.weight[k] * value_at(t->f64, t->x, base + t->m.column[k]);
            if (t->f64)
                ((double *)t->y)[line] = sum;
            else
                ((float *)t->y)[line] = (float)sum;
            continue;
        }
        for (int64_t i = 0; i < inner; i += LINE) {
            const int64_t n = least(LINE, inner - i);
            double sum[LINE] = {0};
            for (int64_t k = first; k < last; k++) {
                const double w = t->m.weight[k];
                const int64_t at = (base + t->m.column[k]) * inner + i;
                if (t->f64)
                    for (int64_t j = 0; j < n; j++)
                        sum[j] += w * ((const double *)t->x)[at + j];
                else
                    for (int64_t j = 0; j < n; j++)
                        sum[j] += w * (double)((const float *)t->x)[at + j];
            }
            for (int64_t j = 0; j < n; j++)
                if (t->f64)
                    ((double *)t->y)[line * inner + i + j] = sum[j];
                else
                    ((float *)t->y)[line * inner + i + j] = (float)sum[j];
        }
    }
}

static tg_status resample(const tg_call *c, const tg_run *r, bool backward)
{
    const tg_resample_attrs *a = c->attrs;
    const int64_t n = ref_count(&c->out[0]);
    if (!n)
        return TG_OK;
    matrix m, turned;
    resampling t = {.inner = 1, .x = r->in[0], .y = r->out[0], .f64 = c->in[0]->dtype == TG_F64};
    const int64_t capacity = (int64_t)(most_entries(a) * (double)a->to);
    char *rest = cut_matrix(r->scratch, a->to, capacity, &m);
    cut_matrix(rest, a->from, capacity, &turned);
    build(a, &m);
    if (backward)
        transpose(&m, &turned);
    t.m = backward ? turned : m;
    t.from = backward ? a->to : a->from;
    for (int d = c->in[0]->ndim - 1; d > a->dim; d--)
        t.inner *= c->in[0]->dim[d];
    t.lines = n / t.inner;
    t.per = t.inner < 1024 ? 1024 / t.inner : 1;
    tg_ref_each(n > REF_SERIAL ? r->threads : 1, (t.lines + t.per - 1) / t.per, resample_item, &t);
    return TG_OK;
}

static tg_status run_resample(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return resample(c, r, false);
}

static tg_status run_resample_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                       const tg_run *r)
{
    (void)s, (void)p;
    return resample(c, r, true);
}

/* -- grid_sample ---------------------------------------------------------------------------------------- */

enum { MAX_TAPS = 4, CHANNELS = 16 };

typedef struct sampling {
    const tg_grid_sample_attrs *a;
    int64_t channels, places, size[3], volume; /* places of the output; x's sizes and elements a channel */
    int64_t groups;                            /* of channels, for an item each */
    int dims, taps;
    bool f64, backward;
    const void *x, *grid; /* x: gy in the backward */
    void *y;
    double *sum; /* the backward's, where the result is f32 */
} sampling;

/* c reflected at low/2 and high/2, as often as needed; *slope changes its sign each time. */
static double reflect(double c, double low, double high, double *slope)
{
    if (low == high) {
        *slope = 0.0;
        return 0.0;
    }
    const double least_c = low / 2.0, span = (high - low) / 2.0;
    c -= least_c;
    if (c < 0.0) {
        c = -c;
        *slope = -*slope;
    }
    const double extra = fmod(c, span), flips = floor(c / span);
    if (fmod(flips, 2.0) == 0.0)
        return extra + least_c;
    *slope = -*slope;
    return span - extra + least_c;
}

static double clip(double c, int64_t n, double *slope)
{
    if (c > 0.0 && c < (double)(n - 1))
        return c;
    *slope = 0.0;
    return c > 0.0 ? (double)(n - 1) : 0.0; /* NaN: 0 */
}

static double padded(const tg_grid_sample_attrs *a, double c, int64_t n, double *slope)
{
    if (a->padding == 2)
        c = a->align_corners ? reflect(c, 0.0, 2.0 * (double)(n - 1), slope)
                             : reflect(c, -1.0, 2.0 * (double)n - 1.0, slope);
    return a->padding ? clip(c, n, slope) : c;
}

/* −1 outside. */
static int64_t index_of(double i, int64_t n)
{
    return i >= 0.0 && i < (double)n ? (int64_t)i : -1;
}

/* The taps of coordinate g over n elements, their weights differentiated `order` times by g. */
static void find_taps(const sampling *t, double g, int64_t n, int64_t order, int64_t *index, double *weight)
{
    const tg_grid_sample_attrs *a = t->a;
    double slope = (a->align_corners ? (double)(n - 1) : (double)n) / 2.0, ignored = 1.0;
    double c = a->align_corners ? (g + 1.0) / 2.0 * (double)(n - 1) : ((g + 1.0) * (double)n - 1.0) / 2.0;
    if (a->mode != CUBIC)
        c = padded(a, c, n, &slope);
    if (a->mode == NEAREST) {
        index[0] = index_of(nearbyint(c), n);
        weight[0] = order ? 0.0 : 1.0;
        return;
    }
    const double base = floor(c), f = c - base;
    double factor = 1.0;
    for (int64_t k = 0; k < order && k < 4; k++)
        factor *= slope;
    if (a->mode == LINEAR) {
        weight[0] = order ? (order > 1 ? 0.0 : -factor) : 1.0 - f;
        weight[1] = order ? (order > 1 ? 0.0 : factor) : f;
        index[0] = index_of(base, n);
        index[1] = index_of(base + 1.0, n);
        return;
    }
    for (int k = 0; k < 4; k++) {
        const double d = k < 2 ? f + (double)(1 - k) : (double)(k - 1) - f;
        weight[k] = keys(-0.75, d, (int)least(order, 4)) * factor * (k > 1 && order % 2 ? -1.0 : 1.0);
        index[k] = index_of(padded(a, base - 1.0 + k, n, &ignored), n);
    }
}

/* What one place of the output reads of a channel: where, −1 outside, and with what weight. */
typedef struct spot {
    int64_t at[MAX_TAPS * MAX_TAPS * MAX_TAPS];
    double weight[MAX_TAPS * MAX_TAPS * MAX_TAPS];
    int n;
} spot;

/* In x's order of dims; missing dims have one tap. */
static void find_spot(const sampling *t, int64_t place, spot *s)
{
    int64_t index[3][MAX_TAPS] = {{0}};
    double weight[3][MAX_TAPS] = {{1}, {1}, {1}};
    int n[3] = {1, 1, 1};
    for (int j = 0; j < t->dims; j++) {
        const int d = 2 - j; /* the dim of coordinate j, the last dim first */
        n[d] = t->taps;
        find_taps(t, value_at(t->f64, t->grid, place * t->dims + j), t->size[d], t->a->order.v[j], index[d], weight[d]);
    }
    s->n = 0;
    for (int a = 0; a < n[0]; a++)
        for (int b = 0; b < n[1]; b++)
            for (int c = 0; c < n[2]; c++) {
                const int64_t i = index[0][a], j = index[1][b], k = index[2][c];
                s->at[s->n] = i < 0 || j < 0 || k < 0 ? -1 : (i * t->size[1] + j) * t->size[2] + k;
                s->weight[s->n++] = weight[0][a] * weight[1][b] * weight[2][c];
            }
}

static double read_spot(const sampling *t, const spot *s, int64_t base)
{
    double sum = 0.0;
    for (int i = 0; i < s->n; i++)
        sum += s->weight[i] * (s->at[i] < 0 ? 0.0 : value_at(t->f64, t->x, base + s->at[i]));
    return sum;
}

static void add_spot(const spot *s, double *to, double g)
{
    for (int i = 0; i < s->n; i++)
        if (s->at[i] >= 0)
            to[s->at[i]] += s->weight[i] * g;
}

/* One sample's group of channels. */
static void sample_item(const void *arg, int64_t item)
{
    const sampling *t = arg;
    const int64_t n = item / t->groups, first = item % t->groups * CHANNELS;
    const int64_t begin = n * t->channels + first,
                  end = n * t->channels + least(first + CHANNELS, t->channels);
    double *sum = t->backward ? (t->f64 ? t->y : t->sum) : NULL;
    for (int64_t i = begin * t->volume; t->backward && i < end * t->volume; i++)
        sum[i] = 0.0;
    for (int64_t o = 0; o < t->places; o++) {
        spot s;
        find_spot(t, n * t->places + o, &s);
        for (int64_t c = begin; c < end; c++)
            if (t->backward)
                add_spot(&s, sum + c * t->volume, value_at(t->f64, t->x, c * t->places + o));
            else if (t->f64)
                ((double *)t->y)[c * t->places + o] = read_spot(t, &s, c * t->volume);
            else
                ((float *)t->y)[c * t->places + o] = (float)read_spot(t, &s, c * t->volume);
    }
    for (int64_t i = begin * t->volume; t->backward && !t->f64 && i < end * t->volume; i++)
        ((float *)t->y)[i] = (float)sum[i];
}

static tg_status grid_sample(const tg_call *c, const tg_run *r, bool backward)
{
    const tg_desc *full = backward ? &c->out[0] : c->in[0], *grid = c->in[1];
    const tg_grid_sample_attrs *a = c->attrs;
    if (!ref_count(&c->out[0]))
        return TG_OK;
    sampling t = {.a = a,
                  .channels = full->dim[1],
                  .places = 1,
                  .size = {1, 1, 1},
                  .volume = 1,
                  .dims = full->ndim - 2,
                  .f64 = full->dtype == TG_F64,
                  .backward = backward,
                  .taps = a->mode == NEAREST  ? 1
                          : a->mode == LINEAR ? 2
                                              : 4,
                  .x = r->in[0],
                  .grid = r->in[1],
                  .y = r->out[0],
                  .sum = r->scratch};
    for (int d = 0; d < t.dims; d++) {
        t.size[3 - t.dims + d] = full->dim[2 + d];
        t.volume *= full->dim[2 + d];
        t.places *= grid->dim[1 + d];
    }
    t.groups = (t.channels + CHANNELS - 1) / CHANNELS;
    const int64_t work = full->dim[0] * t.channels * (t.places + t.volume);
    tg_ref_each(work > REF_SERIAL ? r->threads : 1, full->dim[0] * t.groups, sample_item, &t);
    return TG_OK;
}

static tg_status run_grid_sample(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return grid_sample(c, r, false);
}

static tg_status prepare_grid_sample_backward(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    if (c->out[0].dtype == TG_F32)
        p->scratch_size = (size_t)ref_count(&c->out[0]) * sizeof(double);
    return TG_OK;
}

static tg_status run_grid_sample_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                          const tg_run *r)
{
    (void)s, (void)p;
    return grid_sample(c, r, true);
}

const tg_ref_kernel tg_ref_resample[] = {
    {.op = "resample",
     .prepare = prepare_resample,
     .run = run_resample},
    {.op = "resample_backward",
     .prepare = prepare_resample,
     .run = run_resample_backward},
    TG_REF_KERNEL("grid_sample", run_grid_sample),
    {.op = "grid_sample_backward",
     .prepare = prepare_grid_sample_backward,
     .run = run_grid_sample_backward},
    {0},
};
