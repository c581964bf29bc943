/* The pooling layers: a table, and one forward for both modes. */
#include <math.h>
#include <string.h>

#include "autograd/operators/operators.h"
#include "layers/internal.h"

/* Of all of them; each has the members that its table of attributes names. A list may be empty (the default),
 * of one entry, or of one for each dim. */
typedef struct pool_nn_options {
    tg_ints kernel_size, padding, dilation, output_size;
    union {
        tg_ints stride;
        tg_reals output_ratio; /* of the fractional ones, which have no stride */
    };
    tg_tensor *_random_samples;
    double norm_type;
    int64_t divisor_override;
    bool return_indices, ceil_mode, count_include_pad;
} pool_nn_options;

typedef struct pooling pooling;
struct pooling {
    tg_layer_class cls;
    int64_t n;
    tg_tensor *(*run)(tg_tape *, const pooling *, const pool_nn_options *, tg_tensor *const in[],
                      tg_tensor **indices);
    const pooling *with_indices; /* what a module becomes that returns them: the same with two outputs */
};

static void spread(const tg_ints *list, int64_t n, int64_t otherwise, int64_t *out)
{
    for (int64_t k = 0; k < n; k++)
        out[k] = list->n == 0 ? otherwise : list->v[list->n == 1 ? 0 : k];
}

static tg_pool_options windows(const pool_nn_options *o, int64_t n)
{
    tg_pool_options w = {.ceil_mode = o->ceil_mode};
    spread(&o->kernel_size, n, 0, w.kernel);
    spread(&o->stride, n, 0, w.stride);
    spread(&o->padding, n, 0, w.padding);
    spread(&o->dilation, n, 0, w.dilation);
    return w;
}

static tg_tensor *max_pool(tg_tape *tape, const pooling *row, const pool_nn_options *o, tg_tensor *const in[],
                           tg_tensor **indices)
{
    const tg_pool_options w = windows(o, row->n);
    return tg_max_pool(tape, in[0], (size_t)row->n, &w, indices);
}

static tg_tensor *avg_pool(tg_tape *tape, const pooling *row, const pool_nn_options *o, tg_tensor *const in[],
                           tg_tensor **indices)
{
    (void)indices;
    tg_pool_options w = windows(o, row->n);
    w.exclude_pad = !o->count_include_pad;
    w.divisor_override = o->divisor_override == TG_NONE_INT ? 0 : o->divisor_override;
    return tg_avg_pool(tape, in[0], (size_t)row->n, &w);
}

static tg_tensor *lp_pool(tg_tape *tape, const pooling *row, const pool_nn_options *o, tg_tensor *const in[],
                          tg_tensor **indices)
{
    (void)indices;
    const tg_pool_options w = windows(o, row->n);
    return tg_lp_pool(tape, in[0], (size_t)row->n, o->norm_type, &w);
}

static tg_tensor *adaptive_max_pool(tg_tape *tape, const pooling *row, const pool_nn_options *o,
                                    tg_tensor *const in[], tg_tensor **indices)
{
    int64_t size[3];
    spread(&o->output_size, row->n, TG_NONE_INT, size);
    return tg_adaptive_max_pool(tape, in[0], (size_t)row->n, size, indices);
}

static tg_tensor *adaptive_avg_pool(tg_tape *tape, const pooling *row, const pool_nn_options *o,
                                    tg_tensor *const in[], tg_tensor **indices)
{
    (void)indices;
    int64_t size[3];
    spread(&o->output_size, row->n, TG_NONE_INT, size);
    return tg_adaptive_avg_pool(tape, in[0], (size_t)row->n, size);
}

static tg_status unpool_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const int64_t n = ((const pooling *)(const void *)m->cls)->n;
    const pool_nn_options *o = m->attrs;
    const tg_pool_options w = windows(o, n);
    int64_t size[3];
    if (in[2] && tg_layer_output_size(m, tape, in[2], tg_layer_desc(in[0])->ndim, (int)n, size))
        return tape->status;
    return tg_layer_result(tape,
                           tg_max_unpool(tape, in[0], in[1], (size_t)n, w.kernel, o->stride.n ? w.stride : NULL,
                                         w.padding, in[2] ? size : NULL),
                           out);
}

/* The size of the result, from a ratio where that was asked for; the windows must fit, or the module says so. */
static bool sizes_of(const tg_module *m, tg_tape *tape, const tg_desc *x, int64_t n, int64_t *kernel, int64_t *size)
{
    const pool_nn_options *o = m->attrs;
    bool fits = x->ndim == n + 1 || x->ndim == n + 2;
    spread(&o->kernel_size, n, 0, kernel);
    spread(&o->output_size, n, 0, size);
    for (int64_t k = 0; fits && k < n; k++) {
        const int64_t had = x->dim[x->ndim - n + k];
        if (!o->output_size.n)
            size[k] = (int64_t)((double)had * o->output_ratio.v[o->output_ratio.n == 1 ? 0 : k]);
        fits = size[k] > 0 && size[k] <= had - kernel[k] + 1;
    }
    char got[128];
    if (!fits)
        tg_layer_fail(m, tape, TG_ESHAPE, "got %s, expected %lld dims, or %lld with a batch, and room for the windows",
                      tg_desc_format(x, got, sizeof got), (long long)n + 1, (long long)n + 2);
    return fits;
}

/* Where the windows lie: as the module was told; drawn in train mode; in eval mode the same each time, and none is drawn. */
static tg_tensor *samples_of(const tg_module *m, tg_tape *tape, const tg_desc *x, int64_t n)
{
    const bool batched = x->ndim == n + 2;
    const int64_t dims[] = {batched ? x->dim[0] : 1, x->dim[batched], n};
    tg_tensor *own = m->buffers.n ? m->buffers.at[0].tensor : NULL, *out = NULL;
    if (own) /* torch takes the first ones */
        return tg_tensor_dim(own, 0) > dims[0] ? tg_narrow(tape, own, 0, 0, dims[0]) : own;
    own = tg_full(tape, (tg_dtype)x->dtype, dims, 3, 0);
    if (tape->mode == TG_TRAIN)
        return tg_rand_like(tape, own);
    return tg_apply_draw(tape, &tg_row_rand_like, &own, 1, NULL, NULL, 0, &out) ? NULL : out;
}

static tg_status fractional_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    (void)n_in;
    const int64_t n = ((const pooling *)(const void *)m->cls)->n;
    const tg_desc *x = tg_layer_desc(in[0]);
    int64_t kernel[3], size[3];
    if (!sizes_of(m, tape, x, n, kernel, size))
        return TG_ESHAPE;
    return tg_layer_result(tape,
                           tg_fractional_max_pool(tape, in[0], (size_t)n, kernel, size, samples_of(m, tape, x, n),
                                                  m->cls->n_out > 1 ? &out[1] : NULL),
                           out);
}

static tg_status pool_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                              tg_tensor *out[])
{
    (void)n_in;
    const pooling *row = (const pooling *)(const void *)m->cls;
    return tg_layer_result(tape, row->run(tape, row, m->attrs, in, m->cls->n_out > 1 ? &out[1] : NULL), out);
}

/* -- arguments ------------------------------------------------------------------------------------------ */

static tg_status check_list(const tg_module *m, const tg_ints *list, const char *name, int64_t n, int64_t low)
{
    if (list->n != 0 && list->n != 1 && list->n != n)
        return tg_fail(NULL, TG_EINVAL, "%s: %s has %lld entries, expected 1%s%s", m->cls->name, name,
                       (long long)list->n, n == 2 ? " or 2" : "", n == 3 ? " or 3" : "");
    for (int64_t k = 0; k < list->n; k++)
        if ((list->v[k] < low || list->v[k] > INT32_MAX) && list->v[k] != TG_NONE_INT)
            return tg_fail(NULL, TG_EINVAL, "%s: %s is %lld, expected at least %lld", m->cls->name, name,
                           (long long)list->v[k], (long long)low);
    return TG_OK;
}

/* Padding may be at most half a window. */
static tg_status check_padding(const tg_module *m, const pool_nn_options *o, int64_t n)
{
    const tg_pool_options w = windows(o, n);
    for (int64_t k = 0; k < n; k++) {
        const int64_t reach = (w.dilation[k] ? w.dilation[k] : 1) * (w.kernel[k] - 1) + 1;
        if (w.padding[k] > reach / 2)
            return tg_fail(NULL, TG_EINVAL, "%s: padding is %lld, expected at most half of the window's %lld",
                           m->cls->name, (long long)w.padding[k], (long long)reach);
    }
    return TG_OK;
}

/* Either a size or a ratio; and what says where the windows lie is copied into a buffer. */
static tg_status check_fractional(tg_module *m, const pool_nn_options *o, int64_t n)
{
    const tg_reals *ratio = &o->output_ratio;
    bool fine = (o->output_size.n != 0) != (ratio->n != 0) && (ratio->n <= 1 || ratio->n == n);
    for (int64_t k = 0; k < ratio->n; k++)
        fine = fine && ratio->v[k] > 0 && ratio->v[k] < 1;
    for (int64_t k = 0; k < o->output_size.n; k++)
        fine = fine && o->output_size.v[k] > 0;
    if (!fine)
        return tg_fail(NULL, TG_EINVAL, "%s: expected either output_size, or output_ratio of 1 or %lld entries between 0 and 1",
                       m->cls->name, (long long)n);
    return o->_random_samples ? tg_layer_keep(m, "_random_samples", o->_random_samples) : TG_OK;
}

static tg_status pool_init(tg_module *m, const void *attrs)
{
    const pool_nn_options *o = attrs;
    const pooling *row = (const pooling *)(const void *)m->cls;
    const struct {
        const tg_ints *list;
        const char *name;
        int64_t low;
    } lists[] = {{&o->kernel_size, "kernel_size", 1},
                 {&o->stride, "stride", 1},
                 {&o->padding, "padding", 0},
                 {&o->dilation, "dilation", 1},
                 {&o->output_size, "output_size", 0}};
    tg_status status = TG_OK;
    for (size_t l = 0; l < sizeof lists / sizeof *lists && !status; l++) {
        if (l == 1 && m->cls->flags & TG_LAYER_RANDOM)
            continue;
        status = check_list(m, lists[l].list, lists[l].name, row->n, lists[l].low);
        for (int64_t k = 0; k < lists[l].list->n && l < 4 && !status; k++)
            if (lists[l].list->v[k] == TG_NONE_INT)
                status = tg_fail(NULL, TG_EINVAL, "%s: an entry of %s is None", m->cls->name, lists[l].name);
    }
    if (!status && m->cls->attrs[0].offset == offsetof(pool_nn_options, kernel_size) && !o->kernel_size.n)
        status = tg_fail(NULL, TG_EINVAL, "%s: kernel_size has no entries", m->cls->name);
    if (!status && o->kernel_size.n && m->cls->n_in == 1)
        status = check_padding(m, o, row->n);
    if (!status && row->run == avg_pool && row->n > 1 && o->divisor_override == 0)
        status = tg_fail(NULL, TG_EINVAL, "%s: divisor_override is 0, expected another number or None",
                         m->cls->name);
    if (!status && row->run == lp_pool && !(fabs(o->norm_type) > 0))
        status = tg_fail(NULL, TG_EINVAL, "%s: norm_type is %g, expected a number other than 0", m->cls->name,
                         o->norm_type);
    if (!status && m->cls->flags & TG_LAYER_RANDOM)
        status = check_fractional(m, o, row->n);
    if (!status && o->return_indices && row->with_indices)
        m->cls = &row->with_indices->cls;
    return status;
}

#define S pool_nn_options
#define LIST(FIELD, FLAGS, VALUES, DOC)                                                                      \
    {                                                                                                        \
#FIELD, TG_ATTR_INTS, FLAGS, offsetof(S, FIELD), {.values = VALUES}, NULL, DOC                                \
    }
#define KERNEL LIST(kernel_size, TG_ATTR_REQUIRED, NULL, "of the windows: one number, or one for each dim")
#define STRIDE LIST(stride, TG_ATTR_OPTIONAL, NULL, "from window to window; None: as kernel_size")
#define PADDING LIST(padding, 0, "0", "on both sides, at most half a window")
#define CEIL TG_ATTR_ROW(S, ceil_mode, BOOL, 0, 0, NULL, "windows may reach over the end")
#define INDICES                                                                                              \
    TG_ATTR_ROW(S, return_indices, BOOL, 0, 0, NULL,                                                         \
                "a second output: where the largest stand, for MaxUnpool")
#define COUNT TG_ATTR_ROW(S, count_include_pad, BOOL, 0, 1, NULL, "padding counts in the mean")
#define SIZE                                                                                                 \
    LIST(output_size, TG_ATTR_REQUIRED | TG_ATTR_OPTIONAL, NULL,                                             \
         "of the result: one number, or one for each dim; None: the input's")
static const tg_attr_spec max_specs[] = {
    KERNEL,  STRIDE, PADDING,    LIST(dilation, 0, "1", "from element to element of a window"),
    INDICES, CEIL,   TG_ATTR_END};
static const tg_attr_spec avg1_specs[] = {KERNEL, STRIDE, PADDING, CEIL, COUNT, TG_ATTR_END};
static const tg_attr_spec avg_specs[] = {KERNEL,
                                         STRIDE,
                                         PADDING,
                                         CEIL,
                                         COUNT,
                                         TG_ATTR_ROW(S, divisor_override, INT, TG_ATTR_OPTIONAL,
                                                     (double)TG_NONE_INT, NULL,
                                                     "divides each sum instead of the count"),
                                         TG_ATTR_END};
static const tg_attr_spec lp_specs[] = {TG_ATTR_ROW(S, norm_type, REAL, TG_ATTR_REQUIRED, 0, NULL, "p"),
                                        KERNEL, STRIDE, CEIL, TG_ATTR_END};
static const tg_attr_spec adaptive_avg_specs[] = {SIZE, TG_ATTR_END};
static const tg_attr_spec adaptive_max_specs[] = {SIZE, INDICES, TG_ATTR_END};
static const tg_attr_spec fractional_specs[] = {
    KERNEL,
    LIST(output_size, TG_ATTR_OPTIONAL, NULL, "of the result: one number, or one for each dim"),
    {"output_ratio", TG_ATTR_REALS, TG_ATTR_OPTIONAL, offsetof(S, output_ratio), {.values = NULL}, NULL,
     "instead: the result's size over the input's, between 0 and 1"},
    INDICES,
    TG_ATTR_ROW(S, _random_samples, TENSOR, TG_ATTR_OPTIONAL, 0, NULL, "where the windows lie, [N, C, n] in [0, 1); copied"),
    TG_ATTR_END};
static const tg_attr_spec unpool_specs[] = {KERNEL, STRIDE, PADDING, TG_ATTR_END};

/* clang-format off */
/* The largest of a window must stay it; sums of an L_p pooling stay away from 0. */
#define LINE [2, 2, 5]
#define PLANE [2, 4, 5]
#define BLOCK [2, 3, 3, 4]
#define DISTINCT -3 : 3, distinct, apart 0.03
#define SAMPLE(LABEL, ATTRS, ...) {.label = LABEL, .in = TG_SAMPLE_INPUTS({__VA_ARGS__}), .attrs = &ATTRS}
#define PLACED(ATTRS, HIGH, ...)                                                                                       \
    {.label = "places", .attrs = &ATTRS,                                                                               \
     .in = TG_SAMPLE_INPUTS({__VA_ARGS__, -2 : 2},                                                                     \
                            {__VA_ARGS__, 0 : HIGH, i64, constant})}
static const S two = {.kernel_size = {1, {2}}, .output_size = {1, {2}}, .norm_type = 3, .divisor_override = TG_NONE_INT, .count_include_pad = true},
    over = {.kernel_size = {1, {3}}, .stride = {1, {2}}, .padding = {1, {1}}, .dilation = {1, {1}},
            .output_size = {1, {TG_NONE_INT}}, .divisor_override = 3, .ceil_mode = true};
static const tg_sample max1[] = {SAMPLE("kernel 2", two, LINE, DISTINCT), SAMPLE("padded", over, LINE, DISTINCT)};
static const tg_sample max2[] = {SAMPLE("kernel 2", two, PLANE, DISTINCT), SAMPLE("padded", over, PLANE, DISTINCT)};
static const tg_sample max3[] = {SAMPLE("kernel 2", two, BLOCK, DISTINCT), SAMPLE("padded", over, BLOCK, DISTINCT)};
static const tg_sample lp1[] = {SAMPLE("cubes", two, LINE, 0.5 : 2)};
static const tg_sample lp2[] = {SAMPLE("cubes", two, PLANE, 0.5 : 2)};
static const tg_sample lp3[] = {SAMPLE("cubes", two, BLOCK, 0.5 : 2)};
static const tg_sample to1[] = {SAMPLE("2", two, LINE, DISTINCT), SAMPLE("None", over, LINE, DISTINCT)};
static const tg_sample to2[] = {SAMPLE("2", two, PLANE, DISTINCT)};
static const tg_sample to3[] = {SAMPLE("2", two, BLOCK, DISTINCT)};
static const tg_sample un1[] = {
    {.label = "places", .attrs = &two,
     .in = TG_SAMPLE_INPUTS({[3, 2, 1], -2 : 2}, {[3, 2, 1], 0 : 2, i64, constant}, {[1], 3 : 4, i64, constant})}};
static const tg_sample un2[] = {PLACED(two, 4, [3, 1, 1, 1])};
static const tg_sample un3[] = {PLACED(two, 8, [2, 2, 1, 1, 1])};
/* clang-format on */
#undef S
TG_SAMPLES(max1_samples, max1)
TG_SAMPLES(max2_samples, max2)
TG_SAMPLES(max3_samples, max3)
TG_SAMPLES(lp1_samples, lp1)
TG_SAMPLES(lp2_samples, lp2)
TG_SAMPLES(lp3_samples, lp3)
TG_SAMPLES(to1_samples, to1)
TG_SAMPLES(to2_samples, to2)
TG_SAMPLES(to3_samples, to3)
TG_SAMPLES(un1_samples, un1)
TG_SAMPLES(un2_samples, un2)
TG_SAMPLES(un3_samples, un3)

static const char *const input_names[] = {"input", "indices", "output_size"};

#define ROW(NAME, N, N_IN, N_OUT, RUN, SPECS, SAMPLES, WITH, DOC)                                            \
    ROW_OF(NAME, N, N_IN, N_OUT, RUN, 0, pool_forward, SPECS, SAMPLES, WITH, DOC)
#define ROW_OF(NAME, N, N_IN, N_OUT, RUN, FLAGS, FORWARD, SPECS, SAMPLES, WITH, DOC)                         \
    {                                                                                                        \
        .cls = {.struct_size = sizeof(tg_layer_class),                                                       \
                .flags = FLAGS,                                                                              \
                .name = NAME #N "d",                                                                         \
                .attrs = SPECS,                                                                              \
                .attrs_size = sizeof(pool_nn_options),                                                       \
                .n_in = N_IN,                                                                                \
                .n_out = N_OUT,                                                                              \
                .optional = TG_OP_IN(2),                                                                     \
                .in_names = input_names,                                                                     \
                .init = pool_init,                                                                           \
                .forward = {FORWARD, FORWARD},                                                               \
                .samples = TG_PROOF(SAMPLES),                                                                          \
                .doc = DOC},                                                                                 \
        .n = N, .run = RUN, .with_indices = WITH                                                             \
    }
#define MAX(N, N_OUT, WITH)                                                                                  \
    ROW("MaxPool", N, 1, N_OUT, max_pool, max_specs, max##N##_samples, WITH, "the largest of each window")
#define AVG(N, SPECS)                                                                                        \
    ROW("AvgPool", N, 1, 1, avg_pool, SPECS, max##N##_samples, NULL, "the mean of each window")
#define LP(N) ROW("LPPool", N, 1, 1, lp_pool, lp_specs, lp##N##_samples, NULL, "(Σx^p)^(1/p) of each window")
#define TO_MAX(N, N_OUT, WITH)                                                                               \
    ROW("AdaptiveMaxPool", N, 1, N_OUT, adaptive_max_pool, adaptive_max_specs, to##N##_samples, WITH,        \
        "the largest of each of output_size parts")
#define TO_AVG(N)                                                                                            \
    ROW("AdaptiveAvgPool", N, 1, 1, adaptive_avg_pool, adaptive_avg_specs, to##N##_samples, NULL,            \
        "the mean of each of output_size parts")
#define UNPOOL(N)                                                                                            \
    ROW_OF("MaxUnpool", N, 3, 1, NULL, 0, unpool_forward, unpool_specs, un##N##_samples, NULL,               \
           "zeros, with the input at indices")
#define FRACTIONAL(N, N_OUT, WITH)                                                                           \
    ROW_OF("FractionalMaxPool", N, 1, N_OUT, NULL, TG_LAYER_RANDOM, fractional_forward, fractional_specs,    \
           to##N##_samples, WITH, "the largest of windows that lie at random; eval: the same ones each time")
static const pooling fractional_both[] = {FRACTIONAL(2, 2, NULL), FRACTIONAL(3, 2, NULL)};
static const pooling fractional_rows[] = {FRACTIONAL(2, 1, &fractional_both[0]), FRACTIONAL(3, 1, &fractional_both[1])};
static const pooling max_both[] = {MAX(1, 2, NULL), MAX(2, 2, NULL), MAX(3, 2, NULL)};
static const pooling max_rows[] = {MAX(1, 1, &max_both[0]), MAX(2, 1, &max_both[1]), MAX(3, 1, &max_both[2])};
static const pooling to_max_both[] = {TO_MAX(1, 2, NULL), TO_MAX(2, 2, NULL), TO_MAX(3, 2, NULL)};
static const pooling to_max_rows[] = {TO_MAX(1, 1, &to_max_both[0]), TO_MAX(2, 1, &to_max_both[1]),
                                      TO_MAX(3, 1, &to_max_both[2])};
static const pooling avg_rows[] = {AVG(1, avg1_specs), AVG(2, avg_specs), AVG(3, avg_specs)};
static const pooling lp_rows[] = {LP(1), LP(2), LP(3)};
static const pooling to_avg_rows[] = {TO_AVG(1), TO_AVG(2), TO_AVG(3)};
static const pooling unpool_rows[] = {UNPOOL(1), UNPOOL(2), UNPOOL(3)};

#define THREE(ROWS) &ROWS[0].cls, &ROWS[1].cls, &ROWS[2].cls
const tg_layer_class *const tg_layers_pool[] = {THREE(max_rows),
                                                THREE(unpool_rows),
                                                THREE(avg_rows),
                                                THREE(lp_rows),
                                                THREE(to_max_rows),
                                                THREE(to_avg_rows),
                                                &fractional_rows[0].cls,
                                                &fractional_rows[1].cls,
                                                NULL};

/* -- constructors --------------------------------------------------------------------------------------- */

static tg_module *make(tg_runtime *rt, const pooling rows[3], size_t n, const tg_pool_options *w,
                       pool_nn_options o)
{
    if (!w || n < 1 || n > 3) {
        tg_fail(NULL, TG_EINVAL, "%s: %s", rows[0].cls.name,
                w ? "n must be 1, 2 or 3" : "the options are NULL");
        return NULL;
    }
    const struct {
        const int64_t *from;
        tg_ints *to;
    } lists[] = {{w->kernel, &o.kernel_size},
                 {w->padding, &o.padding},
                 {w->stride, &o.stride},
                 {w->dilation, &o.dilation}};
    for (size_t l = 0; l < 4; l++) {
        lists[l].to->n = (int64_t)n;
        for (size_t k = 0; k < n; k++) {
            const int64_t otherwise = l == 2 ? w->kernel[k] : l == 3 ? 1 : 0;
            lists[l].to->v[k] = lists[l].from[k] ? lists[l].from[k] : otherwise;
        }
    }
    o.ceil_mode = w->ceil_mode;
    o.count_include_pad = !w->exclude_pad;
    o.divisor_override = w->divisor_override ? w->divisor_override : TG_NONE_INT;
    return tg_module_new(rt, &rows[n - 1].cls, &o);
}

static tg_module *make_square(tg_runtime *rt, const pooling rows[3], size_t n, int64_t kernel_size, double p)
{
    return make(rt, rows, n, &(tg_pool_options){.kernel = {kernel_size, kernel_size, kernel_size}},
                (pool_nn_options){.norm_type = p});
}

static tg_module *make_to(tg_runtime *rt, const pooling *row, int64_t a, int64_t b, int64_t c)
{
    const pool_nn_options o = {.output_size = {row->n, {a, b, c}}};
    return tg_module_new(rt, &row->cls, &o);
}

tg_module *tg_nn_max_pool_with(tg_runtime *rt, size_t n, const tg_pool_options *options, bool return_indices)
{
    return make(rt, max_rows, n, options, (pool_nn_options){.return_indices = return_indices});
}

tg_module *tg_nn_avg_pool_with(tg_runtime *rt, size_t n, const tg_pool_options *options)
{
    return make(rt, avg_rows, n, options, (pool_nn_options){0});
}

#define FOR_EACH_RANK(N)                                                                                     \
    tg_module *tg_nn_max_pool##N##d(tg_runtime *rt, int64_t kernel_size)                                     \
    {                                                                                                        \
        return make_square(rt, max_rows, N, kernel_size, 0);                                                 \
    }                                                                                                        \
    tg_module *tg_nn_avg_pool##N##d(tg_runtime *rt, int64_t kernel_size)                                     \
    {                                                                                                        \
        return make_square(rt, avg_rows, N, kernel_size, 0);                                                 \
    }                                                                                                        \
    tg_module *tg_nn_lp_pool##N##d(tg_runtime *rt, double norm_type, int64_t kernel_size)                    \
    {                                                                                                        \
        return make_square(rt, lp_rows, N, kernel_size, norm_type);                                          \
    }                                                                                                        \
    tg_module *tg_nn_max_unpool##N##d(tg_runtime *rt, int64_t kernel_size)                                   \
    {                                                                                                        \
        return make_square(rt, unpool_rows, N, kernel_size, 0);                                              \
    }
FOR_EACH_RANK(1)
FOR_EACH_RANK(2)
FOR_EACH_RANK(3)

#define ADAPTIVE(KIND, ROWS)                                                                                 \
    tg_module *tg_nn_adaptive_##KIND##_pool1d(tg_runtime *rt, int64_t length)                                \
    {                                                                                                        \
        return make_to(rt, &ROWS[0], length, 0, 0);                                                          \
    }                                                                                                        \
    tg_module *tg_nn_adaptive_##KIND##_pool2d(tg_runtime *rt, int64_t height, int64_t width)                 \
    {                                                                                                        \
        return make_to(rt, &ROWS[1], height, width, 0);                                                      \
    }                                                                                                        \
    tg_module *tg_nn_adaptive_##KIND##_pool3d(tg_runtime *rt, int64_t depth, int64_t height, int64_t width)  \
    {                                                                                                        \
        return make_to(rt, &ROWS[2], depth, height, width);                                                  \
    }
ADAPTIVE(max, to_max_rows)
ADAPTIVE(avg, to_avg_rows)

static tg_module *make_fractional(tg_runtime *rt, int row, int64_t kernel_size, tg_ints size)
{
    return tg_module_new(rt, &fractional_rows[row].cls,
                         &(pool_nn_options){.kernel_size = {1, {kernel_size}}, .output_size = size});
}

tg_module *tg_nn_fractional_max_pool2d(tg_runtime *rt, int64_t kernel_size, int64_t height, int64_t width)
{
    return make_fractional(rt, 0, kernel_size, (tg_ints){2, {height, width}});
}

tg_module *tg_nn_fractional_max_pool3d(tg_runtime *rt, int64_t kernel_size, int64_t depth, int64_t height, int64_t width)
{
    return make_fractional(rt, 1, kernel_size, (tg_ints){3, {depth, height, width}});
}
