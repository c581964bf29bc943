#include "backends/reference/each.h"
#include "backends/reference/reference.h"

#include <math.h>
#include <string.h>

enum { PARALLEL = 32768, RUN = 16 };

/* An element as an unsigned number that orders as it does, and its place. */
typedef struct pair {
    uint64_t key;
    int64_t at;
} pair;

static uint64_t key_of(const void *x, int64_t at, int32_t dtype)
{
    double value;
    uint64_t bits;
    switch (dtype) {
    case TG_F32: value = (double)((const float *)x)[at]; break;
    case TG_F64: value = ((const double *)x)[at]; break;
    case TG_I64: return (uint64_t)((const int64_t *)x)[at] ^ UINT64_C(1) << 63;
    default: return ((const uint8_t *)x)[at];
    }
    if (value != value)
        return UINT64_MAX;
    value += 0.0; /* −0 becomes 0 */
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

/* Slices of several elements: what follows the first ones, whose keys the pairs have. NULL: there is no more.
 */
typedef struct slices {
    const void *x;
    tg_desc rest; /* of one slice */
    int64_t width, step;
} slices;

static int compare_rest(const slices *s, int64_t a, int64_t b)
{
    for (int64_t i = 1; i < s->width; i++) {
        const int64_t at = ref_place(&s->rest, i);
        const uint64_t p = key_of(s->x, a * s->step + at, s->rest.dtype),
                       q = key_of(s->x, b * s->step + at, s->rest.dtype);
        if (p != q)
            return p < q ? -1 : 1;
    }
    return 0;
}

/* The place decides last: no two are equal, so every way of sorting gives the same. */
static inline bool before(const slices *s, const pair *a, const pair *b)
{
    if (a->key != b->key)
        return a->key < b->key;
    const int rest = s ? compare_rest(s, a->at, b->at) : 0;
    return rest ? rest < 0 : a->at < b->at;
}

static void sort_pairs(const slices *s, pair *p, pair *spare, int64_t n)
{
    for (int64_t from = 0; from < n; from += RUN)
        for (int64_t i = from + 1; i < n && i < from + RUN; i++) {
            const pair one = p[i];
            int64_t j = i;
            for (; j > from && before(s, &one, &p[j - 1]); j--)
                p[j] = p[j - 1];
            p[j] = one;
        }
    pair *src = p, *dst = spare;
    for (int64_t run = RUN; run < n; run *= 2) {
        for (int64_t from = 0; from < n; from += 2 * run) {
            const int64_t middle = from + run < n ? from + run : n, end = middle + run < n ? middle + run : n;
            int64_t i = from, j = middle;
            for (int64_t k = from; k < end; k++)
                dst[k] = j == end || (i < middle && !before(s, &src[j], &src[i])) ? src[i++] : src[j++];
        }
        pair *swapped = src;
        src = dst;
        dst = swapped;
    }
    if (src != p)
        memcpy(p, src, (size_t)n * sizeof *p);
}

static void swap(pair *a, pair *b)
{
    const pair c = *a;
    *a = *b;
    *b = c;
}

/* Hoare's selection around the median of three: p[k] is as if sorted, what stands before it is not behind it.
 * With `places` the place decides between equal keys; without, their places come out as torch's kthvalue has
 * them. */
static void select_pair(pair *p, pair *spare, int64_t n, int64_t k, bool places)
{
#define BEHIND(a, b) (places ? before(NULL, b, a) : (a)->key > (b)->key)
    int64_t low = 0, high = n - 1;
    for (int round = 0; high > low + 1; round++) {
        if (round == 128) { /* a line that was made for this to take long */
            sort_pairs(NULL, p, spare, n);
            return;
        }
        swap(&p[low + (high - low) / 2], &p[low + 1]);
        if (BEHIND(&p[low + 1], &p[high]))
            swap(&p[low + 1], &p[high]);
        if (BEHIND(&p[low], &p[high]))
            swap(&p[low], &p[high]);
        if (BEHIND(&p[low + 1], &p[low]))
            swap(&p[low + 1], &p[low]);
        const pair pivot = p[low];
        int64_t i = low + 1, j = high;
        for (;;) {
            do
                i++;
            while (BEHIND(&pivot, &p[i]));
            do
                j--;
            while (BEHIND(&p[j], &pivot));
            if (j < i)
                break;
            swap(&p[i], &p[j]);
        }
        swap(&p[low], &p[j]);
        if (j <= k)
            low = i;
        if (j >= k)
            high = j - 1;
    }
    if (high == low + 1 && BEHIND(&p[low], &p[high]))
        swap(&p[low], &p[high]);
#undef BEHIND
}

/* -- lines ---------------------------------------------------------------------------------------------- */

/* What the lines along one dim share. `choose` brings the m chosen ones of n to the front. */
typedef struct task task;
typedef void (*choose_fn)(const task *t, pair *p, pair *spare);
struct task {
    const tg_desc *x;
    const void *src;
    void *values;
    int64_t *places; /* NULL: not wanted */
    pair *scratch;
    int64_t n, m, lines, inner, option;
    int32_t dtype;
    int dim, workers; /* dim −1: one line of all elements */
    bool descending;
    choose_fn choose;
};

static void one_line(const task *t, int64_t line, pair *p)
{
    tg_desc starts = *t->x;
    int64_t first = 0, step = 0;
    if (t->dim >= 0) {
        starts.dim[t->dim] = 1;
        first = ref_place(&starts, line);
        step = t->x->stride[t->dim];
    }
    for (int64_t i = 0; i < t->n; i++) {
        const uint64_t key = key_of(t->src, t->dim < 0 ? ref_place(t->x, i) : first + i * step, t->dtype);
        p[i] = (pair){t->descending ? ~key : key, i};
    }
    t->choose(t, p, p + t->n);
    const int64_t to = line / t->inner * t->inner * t->m + line % t->inner;
    for (int64_t i = 0; i < t->m; i++) {
        const int64_t from = t->dim < 0 ? ref_place(t->x, p[i].at) : first + p[i].at * step,
                      at = to + i * t->inner;
        if (t->dtype == TG_F32)
            ((float *)t->values)[at] = ((const float *)t->src)[from];
        else if (t->dtype == TG_BOOL)
            ((uint8_t *)t->values)[at] = ((const uint8_t *)t->src)[from];
        else
            memcpy((int64_t *)t->values + at, (const int64_t *)t->src + from, 8);
        if (t->places)
            t->places[at] = p[i].at;
    }
}

static void worker_item(const void *arg, int64_t w)
{
    const task *t = arg;
    const int64_t from = w * t->lines / t->workers, to = (w + 1) * t->lines / t->workers;
    for (int64_t line = from; line < to; line++)
        one_line(t, line, t->scratch + w * 2 * t->n);
}

static task make_task(const tg_call *c, int dim)
{
    const tg_desc *x = c->in[0];
    task t = {.x = x, .dtype = x->dtype, .dim = dim, .inner = 1, .lines = 1};
    t.n = dim < 0 ? ref_count(x) : x->dim[dim];
    t.m = dim < 0 ? 1 : c->out[0].dim[dim];
    for (int d = 0; dim >= 0 && d < x->ndim; d++) {
        t.lines *= d == dim ? 1 : x->dim[d];
        t.inner *= d > dim ? x->dim[d] : 1;
    }
    t.workers = t.n > 0 && t.lines > PARALLEL / t.n ? c->threads : 1;
    if (t.workers > t.lines || t.workers < 1)
        t.workers = t.lines > 0 && t.workers > 0 ? (int)t.lines : 1;
    return t;
}

/* The first member of each of these attribute structs is dim. */
static int dim_of(const tg_call *c)
{
    return strcmp(c->op, "median_all") ? (int)*(const int64_t *)c->attrs : -1;
}

static tg_status prepare_lines(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    const task t = make_task(c, dim_of(c));
    size_t pairs;
    if (__builtin_mul_overflow((size_t)t.workers * 2 * sizeof(pair), (size_t)t.n, &pairs))
        return TG_ENOMEM;
    p->scratch_size = pairs;
    return TG_OK;
}

static tg_status run_lines(const tg_call *c, const tg_run *r, choose_fn choose, int64_t option,
                           bool descending)
{
    task t = make_task(c, dim_of(c));
    t.src = r->in[0];
    t.values = r->out[0];
    t.places = t.dim >= 0 ? r->out[1] : NULL;
    t.scratch = r->scratch;
    t.choose = choose;
    t.option = option;
    t.descending = descending;
    if (t.m && t.lines)
        tg_ref_each(r->threads < t.workers ? r->threads : t.workers, t.workers, worker_item, &t);
    return TG_OK;
}

static void choose_sorted(const task *t, pair *p, pair *spare)
{
    sort_pairs(NULL, p, spare, t->n);
}

static void choose_top(const task *t, pair *p, pair *spare)
{
    if (t->m < t->n)
        select_pair(p, spare, t->n, t->m - 1, true);
    sort_pairs(NULL, p, spare, t->m);
}

static void choose_kth(const task *t, pair *p, pair *spare)
{
    select_pair(p, spare, t->n, t->option - 1, false);
    p[0] = p[t->option - 1];
}

static void choose_median(const task *t, pair *p, pair *spare)
{
    int64_t n_nan = 0, k;
    for (int64_t i = 0; t->dtype != TG_I64 && i < t->n; i++)
        if (p[i].key == UINT64_MAX && n_nan++ == 0 && !t->option) {
            p[0] = p[i];
            return;
        }
    k = t->n > n_nan ? (t->n - n_nan - 1) / 2 : 0;
    select_pair(p, spare, t->n, k, true);
    p[0] = p[k];
}

static void choose_mode(const task *t, pair *p, pair *spare)
{
    int64_t most = 0, length = 0;
    pair best = p[0];
    sort_pairs(NULL, p, spare, t->n);
    for (int64_t i = 0; i < t->n; i++) {
        const bool nan = t->dtype != TG_I64 && p[i].key == UINT64_MAX;
        length++;
        if (i + 1 < t->n && p[i + 1].key == p[i].key && !nan)
            continue;
        if (length > most) {
            most = length;
            best = p[i];
        }
        length = 0;
    }
    p[0] = best;
}

static tg_status run_sort(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run_lines(c, r, choose_sorted, 0, ((const tg_sort_attrs *)c->attrs)->descending);
}

static tg_status run_topk(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    return run_lines(c, r, choose_top, 0, ((const tg_sort_attrs *)c->attrs)->descending);
}

static tg_status run_pick(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const choose_fn choose = c->op[0] == 'k' ? choose_kth : c->op[1] == 'o' ? choose_mode : choose_median;
    return run_lines(c, r, choose, ((const tg_pick_attrs *)c->attrs)->option, false);
}

/* What is the median, or NaN where that is, shares its gradient. */
static void share_out(const tg_desc *x, const void *src, const void *value, void *out)
{
    const uint64_t key = key_of(value, 0, x->dtype);
    const int64_t n = ref_count(x);
    int64_t equal = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < n; i++) {
            const bool is = key_of(src, ref_place(x, i), x->dtype) == key;
            equal += is && !pass;
            if (pass && x->dtype == TG_F32)
                ((float *)out)[i] = is ? 1.0f / (float)equal : 0.0f;
            else if (pass)
                ((double *)out)[i] = is ? 1.0 / (double)equal : 0.0;
        }
}

static tg_status run_median_all(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    const tg_desc *x = c->in[0];
    tg_status status = TG_OK;
    if (ref_count(x))
        status = run_pick(s, c, p, r);
    else if (x->dtype == TG_F32)
        *(float *)r->out[0] = (float)NAN;
    else
        *(double *)r->out[0] = (double)NAN;
    if (x->dtype == TG_I64)
        memset(r->out[1], 0, (size_t)ref_count(x) * 8);
    else
        share_out(x, r->in[0], r->out[0], r->out[1]);
    return status;
}

/* -- ranks, searching ----------------------------------------------------------------------------------- */

static tg_status run_quantile_place(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                    const tg_run *r)
{
    (void)s, (void)p;
    const tg_quantile_attrs *a = c->attrs;
    const bool wide = c->in[0]->dtype == TG_F64;
    const int64_t m = c->in[0]->dim[0], lines = ref_count(c->in[1]);
    int64_t *below = r->out[0], *above = r->out[1];
    for (int64_t i = 0; i < lines * m; i++) {
        const int64_t at = i % m * c->in[0]->stride[0];
        const double last = (double)(a->n - 1);
        double rank = wide ? ((const double *)r->in[0])[at] * last
                           : (double)(float)((double)((const float *)r->in[0])[at] * last);
        if (((const uint8_t *)r->in[1])[ref_place(c->in[1], i / m)] || !(rank <= last))
            rank = last;
        rank = !(rank >= 0)            ? 0
               : a->interpolation == 1 ? floor(rank)
               : a->interpolation == 2 ? ceil(rank)
               : a->interpolation == 3 ? rint(rank)
                                       : rank;
        const double weight = a->interpolation == 4 ? 0.5 : rank - floor(rank);
        below[i] = (int64_t)floor(rank);
        above[i] = (int64_t)ceil(rank);
        if (wide)
            ((double *)r->out[2])[i] = weight;
        else
            ((float *)r->out[2])[i] = (float)weight;
    }
    return TG_OK;
}

/* Is the element of the sequence past the place that is looked for? What is compared with NaN is not. */
static bool is_past(const void *sequence, int64_t i, const void *values, int64_t j, int32_t dtype, bool right)
{
    if (dtype == TG_F32 || dtype == TG_F64) {
        const double a = dtype == TG_F64 ? ((const double *)sequence)[i]
                                         : (double)((const float *)sequence)[i],
                     b = dtype == TG_F64 ? ((const double *)values)[j] : (double)((const float *)values)[j];
        return right ? a > b : a >= b;
    }
    const uint64_t a = key_of(sequence, i, dtype), b = key_of(values, j, dtype);
    return right ? a > b : a >= b;
}

typedef struct search_task {
    const tg_call *c;
    const tg_run *r;
    int64_t n, m, total;
    bool right;
} search_task;

enum { CHUNK = 1024 };

static void search_item(const void *arg, int64_t chunk)
{
    const search_task *t = arg;
    const int32_t dtype = t->c->in[0]->dtype;
    const int64_t *sorter = t->c->in[2] ? t->r->in[2] : NULL;
    const int64_t end = (chunk + 1) * CHUNK < t->total ? (chunk + 1) * CHUNK : t->total;
    for (int64_t j = chunk * CHUNK; j < end; j++) {
        const int64_t line = t->c->in[0]->ndim == 1 ? 0 : j / t->m * t->n;
        int64_t low = 0, high = t->n;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2,
                          i = line + (sorter ? sorter[line + middle] : middle);
            if (is_past(t->r->in[0], i, t->r->in[1], j, dtype, t->right))
                high = middle;
            else
                low = middle + 1;
        }
        ((int64_t *)t->r->out[0])[j] = low;
    }
}

static tg_status run_searchsorted(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                  const tg_run *r)
{
    (void)s, (void)p;
    const tg_desc *values = c->in[1];
    const search_task t = {.c = c,
                           .r = r,
                           .n = c->in[0]->dim[c->in[0]->ndim - 1],
                           .m = values->ndim ? values->dim[values->ndim - 1] : 1,
                           .total = ref_count(values),
                           .right = ((const tg_searchsorted_attrs *)c->attrs)->right};
    tg_ref_each(t.total > PARALLEL ? r->threads : 1, (t.total + CHUNK - 1) / CHUNK, search_item, &t);
    return TG_OK;
}

/* -- what is the same ----------------------------------------------------------------------------------- */

static int64_t members(const tg_call *c)
{
    const int64_t dim = ((const tg_unique_attrs *)c->attrs)->dim;
    return dim < 0 ? ref_count(c->in[0]) : c->in[0]->dim[dim];
}

static tg_status prepare_unique(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    p->scratch_size = 2 * sizeof(pair) * (size_t)members(c);
    return TG_OK;
}

static bool has_nan(const slices *s, const pair *p)
{
    if (s->rest.dtype != TG_F32 && s->rest.dtype != TG_F64)
        return false;
    bool found = p->key == UINT64_MAX;
    for (int64_t i = 1; i < s->width && !found; i++)
        found = key_of(s->x, p->at * s->step + ref_place(&s->rest, i), s->rest.dtype) == UINT64_MAX;
    return found;
}

static tg_status run_unique(tg_backend_state *state, const tg_call *c, const tg_prepared *prepared,
                            const tg_run *r)
{
    (void)state, (void)prepared;
    const int64_t n = members(c), dim = ((const tg_unique_attrs *)c->attrs)->dim;
    const tg_desc *x = c->in[0];
    int64_t *inverse = r->out[0], *first = r->out[1], *counts = r->out[2], number = 0;
    slices s = {.x = r->in[0], .rest = *x, .width = 1};
    pair *p = r->scratch;
    if (dim >= 0) {
        s.rest.dim[dim] = 1;
        s.step = x->stride[dim];
        s.width = ref_count(&s.rest);
    }
    for (int64_t i = 0; i < n; i++)
        p[i] = (pair){key_of(r->in[0], dim < 0 ? ref_place(x, i) : i * s.step, x->dtype), i};
    const slices *rest = s.width > 1 ? &s : NULL;
    sort_pairs(rest, p, p + n, n);
    for (int64_t i = 0; i < n; i++) {
        const bool same = i && p[i].key == p[i - 1].key &&
                          (!rest || !compare_rest(rest, p[i - 1].at, p[i].at)) && !has_nan(&s, &p[i]);
        if (!same) {
            first[number] = p[i].at;
            counts[number++] = 0;
        }
        counts[number - 1]++;
        inverse[p[i].at] = number - 1;
    }
    if (number < n) {
        memset(first + number, 0, (size_t)(n - number) * sizeof *first);
        memset(counts + number, 0, (size_t)(n - number) * sizeof *counts);
    }
    *(int64_t *)r->out[3] = number;
    return TG_OK;
}

#define LINES(name, run_fn)                                                                                  \
    {                                                                                                        \
        .op = name, .prepare = prepare_lines, .run = run_fn  \
    }
const tg_ref_kernel tg_ref_sort[] = {
    LINES("sort", run_sort),
    LINES("topk", run_topk),
    LINES("kthvalue", run_pick),
    LINES("median", run_pick),
    LINES("mode", run_pick),
    LINES("median_all", run_median_all),
    TG_REF_KERNEL("quantile_place", run_quantile_place),
    TG_REF_KERNEL("searchsorted", run_searchsorted),
    {.op = "unique_plan",
     .prepare = prepare_unique,
     .run = run_unique},
    {0},
};
