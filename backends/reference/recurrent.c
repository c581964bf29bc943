/* A recurrent layer's steps in one direction. The sequences of a batch do not know of each other, so each
 * thread takes some of them through all steps, and nobody waits for anybody. The recurrent weights are packed
 * once. Unlike matmul's, the sums of f32 are f32: of a step's small product most of the time would go into
 * widening. */
#include "backends/reference/each.h"
#include "backends/reference/map.h"

#include <string.h>

/* Called once a step and sequence. */
#if defined(__GNUC__)
#define SMALL __attribute__((noinline))
#else
#define SMALL
#endif

enum { PANEL = 32, MOST_ROWS = 32, MANY = 200000 /* multiplications that are worth a team */ };

/* By the element type. */
typedef struct typed {
    void (*multiply)(int64_t groups, const void *const *a, int64_t depth, int64_t panels, const void *b,
                     void *tile, int64_t step);
    void (*pack)(const void *matrix, int64_t k_step, int64_t column_step, int64_t depth, int64_t columns,
                 int64_t panel, void *to);
    void (*add)(void *to, const void *from, int64_t n);
    void (*cell)(int64_t kind, int64_t n, const void *x, void *p, void *state, void *kept, void *h,
                 void *gates, void *more);
    void (*cell_back)(int64_t kind, int64_t n, const void *dh, const void *kept, void *state, void *dx,
                      void *dp);
} typed;

/* What a forward reads and writes, and what a backward does; tensors that it lacks are NULL. The scratch has
 * the packed weights, then each chunk's own part. Sizes count elements. */
typedef struct task {
    bool backward;
    int team;
    size_t element;
    const typed *on;
    int64_t kind, reverse, steps, batch, hidden, width, size, kept_width; /* width: of all gates */
    int64_t rows, chunks;                                                 /* sequences a chunk  */
    int64_t panels, panels_hr, tile_step, projected_step, state_step, gates_step, packed, packed_hr, each;
    const char *weight, *weight_hr, *bias, *x;
    const int64_t *lengths;
    char *first, *state, *y, *last_h, *last_c, *kept, *dx, *dp, *projected, *own;
} task;

/* A chunk of sequences: its own scratch. */
typedef struct chunk {
    int64_t first, n, groups; /* groups of 8, the last one filled up with its first sequence */
    char *tile, *projected, *state, *raw, *gates, *more;
} chunk;

/* The backward's lengths are not checked: where they are wrong its results may be, too, but it stays in its
 * tensors. */
static int64_t length(const task *t, int64_t sequence)
{
    const int64_t n = t->lengths ? t->lengths[sequence] : t->steps;
    return n < 0 ? 0 : n < t->steps ? n : t->steps;
}

/* Number of the row, over all steps, where a sequence is at step s; past its end, the places that are left.
 */
SMALL static int64_t place(const task *t, int64_t sequence, int64_t s)
{
    const int64_t n = length(t, sequence);
    return (t->reverse && s < n ? n - 1 - s : s) * t->batch + sequence;
}

/* Row `i` of a tensor whose rows have n elements; a missing tensor has none. */
static char *row(const task *t, const char *base, int64_t i, int64_t n)
{
    return base ? (char *)(uintptr_t)base + (size_t)(i * n) * t->element : NULL;
}

SMALL static void set(const task *t, char *to, const char *from, int64_t n)
{
    if (to && from)
        memcpy(to, from, (size_t)n * t->element);
    else if (to)
        memset(to, 0, (size_t)n * t->element);
}

static void pack_item(const void *arg, int64_t i)
{
    const task *t = arg;
    const int64_t back = t->backward;
    if (i < t->panels)
        t->on->pack(t->weight, back ? t->size : 1, back ? 1 : t->size, back ? t->width : t->size,
                    back ? t->size : t->width, i, t->own);
    else
        t->on->pack(t->weight_hr, back ? t->hidden : 1, back ? 1 : t->hidden, back ? t->size : t->hidden,
                    back ? t->hidden : t->size, i - t->panels, row(t, t->own, 1, t->packed));
}

static chunk open_chunk(const task *t, int64_t i)
{
    chunk c = {.first = i * t->rows, .tile = row(t, t->own, 1, t->packed + t->packed_hr + i * t->each)};
    c.n = t->batch - c.first < t->rows ? t->batch - c.first : t->rows;
    c.groups = (c.n + 7) / 8;
    c.projected = row(t, c.tile, t->rows, t->tile_step);
    c.state = row(t, c.projected, t->rows, t->projected_step);
    c.raw = row(t, c.state, t->rows, t->state_step);
    c.more = row(t, c.raw, t->rows, t->state_step);
    c.gates = row(t, c.more, 1, t->state_step);
    return c;
}

/* tile = rows·weight. */
static void weigh(const task *t, const chunk *c, const void *rows[])
{
    for (int64_t r = c->n; r < 8 * c->groups; r++)
        rows[r] = rows[0];
    t->on->multiply(c->groups, rows, t->backward ? t->width : t->size, t->panels, t->own, c->tile,
                    t->tile_step);
}

static void project(const task *t, const chunk *c, const void *rows[])
{
    for (int64_t r = c->n; r < 8 * c->groups; r++)
        rows[r] = rows[0];
    t->on->multiply(c->groups, rows, t->backward ? t->size : t->hidden, t->panels_hr,
                    row(t, t->own, 1, t->packed), c->projected, t->projected_step);
}

/* Step s of all sequences of a chunk, the tile holding p; h[r] becomes where sequence r's h is. */
static void step_forward(const task *t, const chunk *c, int64_t s, const void *h[])
{
    const void *raw[MOST_ROWS];
    for (int64_t r = 0; r < c->n; r++) {
        const int64_t sequence = c->first + r, at = place(t, sequence, s);
        char *y = row(t, t->y, at, t->size), *kept = row(t, t->kept, at, t->kept_width),
             *own = row(t, c->raw, r, t->state_step);
        h[r] = y;
        raw[r] = own;
        if (s >= length(t, sequence)) {
            set(t, y, NULL, t->size);
            set(t, kept, NULL, t->kept_width);
            continue;
        }
        char *p = row(t, c->tile, r, t->tile_step);
        if (t->bias)
            t->on->add(p, t->bias, t->width);
        t->on->cell(t->kind, t->hidden, row(t, t->x, at, t->width), p, row(t, c->state, r, t->state_step),
                    kept, t->weight_hr ? own : y, c->gates, c->more);
    }
    if (t->weight_hr)
        project(t, c, raw);
    for (int64_t r = 0; r < c->n; r++) {
        const int64_t sequence = c->first + r, left = length(t, sequence) - s;
        if (t->weight_hr && left > 0)
            set(t, row(t, t->y, place(t, sequence, s), t->size), row(t, c->projected, r, t->projected_step),
                t->size);
        if (left == 1) {
            set(t, row(t, t->last_h, sequence, t->size), h[r], t->size);
            set(t, row(t, t->last_c, sequence, t->hidden), row(t, c->state, r, t->state_step), t->hidden);
        }
    }
}

static void forward_item(const void *arg, int64_t i)
{
    const task *t = arg;
    const chunk c = open_chunk(t, i);
    const void *h[MOST_ROWS];
    /* A cell's functions take whole blocks: what stands behind a row's p, an LSTM's c and a GRU's space is read, too. */
    const bool lstm = t->kind == TG_RECURRENCE_LSTM;
    const int64_t behind_p = t->tile_step - t->width, behind_c = lstm ? t->state_step - t->hidden : 0;
    if (t->kind == TG_RECURRENCE_GRU)
        set(t, c.more, NULL, t->state_step);
    for (int64_t r = 0; r < c.n; r++) {
        char *p = row(t, c.tile, r, t->tile_step), *state = row(t, c.state, r, t->state_step);
        set(t, p, row(t, t->first, c.first + r, t->width), t->width);
        if (behind_p)
            set(t, row(t, p, 1, t->width), NULL, behind_p);
        set(t, state, row(t, t->state, c.first + r, t->hidden), t->hidden);
        if (behind_c)
            set(t, row(t, state, 1, t->hidden), NULL, behind_c);
    }
    for (int64_t s = 0; s < t->steps; s++) {
        if (s)
            weigh(t, &c, h);
        step_forward(t, &c, s, h);
    }
}

/* What arrives at each sequence's h at step s; the tile holds what the step after sent. */
static void arrive(const task *t, const chunk *c, int64_t s)
{
    const void *rows[MOST_ROWS];
    for (int64_t r = 0; r < c->n; r++) {
        const int64_t sequence = c->first + r, at = place(t, sequence, s), left = length(t, sequence) - s;
        char *dh = row(t, c->tile, r, t->tile_step), *state = row(t, c->state, r, t->state_step),
             *out = row(t, t->projected, at, t->size);
        rows[r] = out;
        if (left == 1) {
            set(t, dh, row(t, t->last_h, sequence, t->size), t->size);
            set(t, state, row(t, t->last_c, sequence, t->hidden), t->hidden);
        } else if (left > 0 && t->kind == TG_RECURRENCE_GRU) {
            t->on->add(dh, state, t->hidden);
        }
        if (left > 0 && t->y)
            t->on->add(dh, row(t, t->y, at, t->size), t->size);
        set(t, out, left > 0 ? dh : NULL, t->size);
    }
    if (t->weight_hr)
        project(t, c, rows);
}

static void backward_item(const void *arg, int64_t i)
{
    const task *t = arg;
    const chunk c = open_chunk(t, i);
    const void *d[MOST_ROWS];
    for (int64_t s = t->steps; s-- > 0;) {
        arrive(t, &c, s);
        for (int64_t r = 0; r < c.n; r++) {
            const int64_t sequence = c.first + r, at = place(t, sequence, s);
            char *dx = row(t, t->dx, at, t->width), *dp = row(t, t->dp, at, t->width),
                 *state = row(t, c.state, r, t->state_step);
            d[r] = dp ? dp : dx;
            if (s >= length(t, sequence)) {
                set(t, dx, NULL, t->width);
                set(t, dp, NULL, t->width);
            } else {
                const char *dh = t->weight_hr ? row(t, c.projected, r, t->projected_step)
                                              : row(t, c.tile, r, t->tile_step);
                t->on->cell_back(t->kind, t->hidden, dh, row(t, t->kept, at, t->kept_width), state, dx, dp);
            }
            if (s == 0) {
                set(t, row(t, t->first, sequence, t->width), d[r], t->width);
                set(t, row(t, t->state, sequence, t->hidden), state, t->hidden);
            }
        }
        if (s)
            weigh(t, &c, d);
    }
}

/* -- by type -------------------------------------------------------------------------------------------- */

#if defined(__GNUC__) && !defined(__clang__)
#define FUSED __attribute__((optimize("fp-contract=fast")))
#define SCALAR __attribute__((optimize("no-tree-vectorize")))
#else
#define FUSED
#define SCALAR
#endif

#define LANES 4
#define VECS 1
#define TARGET
#define MULTIPLY multiply_f32
#include "backends/reference/recurrent_kernel.h"
#if defined(__x86_64__) && defined(__GNUC__)
#undef LANES
#undef TARGET
#undef MULTIPLY
#define LANES 8
#define TARGET FUSED __attribute__((target("avx2,fma")))
#define MULTIPLY multiply_half_f32
#include "backends/reference/recurrent_kernel.h"
#undef LANES
#undef VECS
#undef TARGET
#undef MULTIPLY
#define LANES 16
#define VECS 2
#define TARGET FUSED __attribute__((target("avx512f")))
#define MULTIPLY multiply_whole_f32
#include "backends/reference/recurrent_kernel.h"
#endif

/* As recurrent_kernel.h's, without its blocks. */
static void multiply_f64(int64_t groups, const void *const *a, int64_t depth, int64_t panels,
                         const void *packed, void *to, int64_t step)
{
    const double *b = packed;
    for (double *tile = to; panels > 0; panels--, b += depth * PANEL, tile += PANEL)
        for (int64_t i = 0; i < 8 * groups; i++) {
            const double *x = a[i];
            for (int64_t j = 0; j < PANEL; j += 16) {
                double sum[16] = {0};
                for (int64_t k = 0; k < depth; k++)
                    for (int64_t l = 0; l < 16; l++)
                        sum[l] += x[k] * b[k * PANEL + j + l];
                memcpy(tile + i * step + j, sum, sizeof sum);
            }
        }
}

#define T float
#define NAME(x) x##_f32
#define ROOMY TG_REF_TWO_CLONES
#define FLAT
#define EACH TG_REF_SIMD_LOOP
#include "backends/reference/recurrent_typed.h"
#undef T
#undef NAME
#undef ROOMY
#undef FLAT
#undef EACH

#define T double
#define NAME(x) x##_f64
#define ROOMY SCALAR
#define FLAT SCALAR
#define EACH
#include "backends/reference/recurrent_typed.h"

static const typed on_f64 = {multiply_f64, pack_f64, add_f64, cell_f64, cell_back_f64};

static const typed *best_f32(void)
{
#define F32(multiply)                                                                                        \
    {                                                                                                        \
        multiply, pack_f32, add_f32, cell_f32, cell_back_f32                                                 \
    }
    static const typed plain = F32(multiply_f32);
#if defined(__x86_64__) && defined(__GNUC__)
    static const typed half = F32(multiply_half_f32), whole = F32(multiply_whole_f32);
    if (__builtin_cpu_supports("avx512f"))
        return &whole;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &half;
#endif
    return &plain;
}

/* -- kernels -------------------------------------------------------------------------------------------- */

SMALL static int64_t parts(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

static int64_t panels(int64_t n)
{
    return parts(n, PANEL);
}

/* Sizes, and how the work is cut, from the call alone. */
static task shape(const tg_call *c, bool backward)
{
    const tg_recurrence_attrs *a = c->attrs;
    const tg_desc *x = c->in[backward ? 5 : 0], *hr = c->in[backward ? 4 : 5];
    const bool single = x->dtype == TG_F32;
    task t = {.backward = backward,
              .element = single ? sizeof(float) : sizeof(double),
              .on = single ? best_f32() : &on_f64,
              .kind = a->kind,
              .reverse = a->reverse,
              .steps = x->dim[0],
              .batch = x->dim[1]};
    const int64_t gates = c->out[0].dim[2], kept = x->dim[2];
    t.width = backward ? gates : kept;
    t.hidden = t.width / (a->kind == TG_RECURRENCE_LSTM ? 4 : a->kind == TG_RECURRENCE_GRU ? 3 : 1);
    t.kept_width = backward ? kept : c->out[3].dim[2];
    t.size = hr ? hr->dim[0] : t.hidden;
    const int64_t depth = backward ? t.width : t.size, columns = backward ? t.size : t.width;
    const int64_t all = panels(columns);
    t.tile_step = all * PANEL;
    t.panels = t.steps > 1 ? all : 0;
    t.packed = t.panels * PANEL * depth;
    t.panels_hr = hr ? panels(backward ? t.hidden : t.size) : 0;
    t.projected_step = t.panels_hr * PANEL;
    t.packed_hr = t.projected_step * (backward ? t.size : t.hidden);
    t.state_step = panels(t.hidden) * PANEL;
    const int64_t team = t.steps * t.batch * t.width * t.size < MANY || c->threads < 1 ? 1 : c->threads;
    const int64_t rows = parts(parts(t.batch, team), 8) * 8;
    t.rows = rows > MOST_ROWS ? MOST_ROWS : rows;
    t.chunks = t.rows ? parts(t.batch, t.rows) : 0;
    t.each = t.rows * (t.tile_step + t.projected_step + 2 * t.state_step) + t.state_step +
             panels(t.width) * PANEL + PANEL;
    t.team = (int)team;
    return t;
}

static tg_status prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p)
{
    (void)s;
    const task t = shape(c, c->n_out == 5);
    p->scratch_size = (size_t)(t.packed + t.packed_hr + t.chunks * t.each) * t.element;
    return TG_OK;
}

static char *given(const void *tensor)
{
    return (char *)(uintptr_t)tensor;
}

static tg_status run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_recurrence_attrs *a = c->attrs;
    const bool lstm = a->kind == TG_RECURRENCE_LSTM, gru = a->kind == TG_RECURRENCE_GRU;
    task t = shape(c, c->n_out == 5);
    t.lengths = r->in[6];
    t.own = r->scratch;
    if (t.backward) {
        t.y = given(r->in[0]);
        t.last_h = given(r->in[1]);
        t.last_c = given(r->in[2]);
        t.weight = r->in[3];
        t.weight_hr = r->in[4];
        t.kept = given(r->in[5]);
        t.dx = r->out[0];
        t.dp = gru ? r->out[1] : NULL;
        t.first = r->out[2];
        t.state = lstm || gru ? r->out[3] : NULL;
        t.projected = t.weight_hr ? r->out[4] : NULL;
    } else {
        t.x = r->in[0];
        t.weight = r->in[1];
        t.first = given(r->in[2]);
        t.state = given(r->in[3]);
        t.bias = r->in[4];
        t.weight_hr = r->in[5];
        t.y = r->out[0];
        t.last_h = r->out[1];
        t.last_c = lstm ? r->out[2] : NULL;
        t.kept = t.kept_width ? r->out[3] : NULL;
    }
    const tg_ref_phase phases[] = {{t.panels + t.panels_hr, pack_item},
                                   {t.chunks, t.backward ? backward_item : forward_item}};
    tg_ref_phases(t.team < r->threads ? t.team : r->threads, 2, phases, &t);
    return TG_OK;
}

const tg_ref_kernel tg_ref_recurrent[] = {
    {.op = "recurrence", .prepare = prepare, .run = run},
    {.op = "recurrence_backward", .prepare = prepare, .run = run},
    {0},
};
