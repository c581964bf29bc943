/* Windows as columns and back, and the undoing of a max pooling. */
#include "backends/reference/each.h"
#include "backends/reference/lanes.h"
#include "backends/reference/reference.h"

typedef struct windows {
    const tg_windows_attrs *a;
    int64_t channels, n[2], size; /* windows down and across; bytes of an element */
    const void *x;
    void *y;
} windows;

static windows make_windows(const tg_call *c, const tg_run *r, int64_t channels)
{
    windows t = {.a = c->attrs, .channels = channels, .x = r->in[0], .y = r->out[0]};
    const tg_windows_attrs *a = t.a;
    t.size = c->out[0].dtype == TG_F64 ? 8 : 4;
    for (int k = 0; k < 2; k++)
        t.n[k] = (a->size.v[k] + 2 * a->padding.v[k] - a->dilation.v[k] * (a->kernel.v[k] - 1) - 1) /
                     a->stride.v[k] +
                 1;
    return t;
}

/* One row of the columns: one place of the kernel, in every window of one channel. */
static void im2col_item(const void *arg, int64_t row)
{
    const windows *t = arg;
    const tg_windows_attrs *a = t->a;
    const int64_t across = row % a->kernel.v[1], down = row / a->kernel.v[1] % a->kernel.v[0];
    const int64_t channel = row / a->kernel.v[1] / a->kernel.v[0], width = a->size.v[1];
    const char *x = (const char *)t->x + channel * a->size.v[0] * width * t->size;
    char *y = (char *)t->y + row * t->n[0] * t->n[1] * t->size;
    for (int64_t i = 0; i < t->n[0]; i++) {
        const int64_t h = i * a->stride.v[0] - a->padding.v[0] + down * a->dilation.v[0];
        for (int64_t j = 0; j < t->n[1]; j++, y += t->size) {
            const int64_t w = j * a->stride.v[1] - a->padding.v[1] + across * a->dilation.v[1];
            if (h >= 0 && h < a->size.v[0] && w >= 0 && w < width)
                memcpy(y, x + (h * width + w) * t->size, (size_t)t->size);
            else
                memset(y, 0, (size_t)t->size);
        }
    }
}

static tg_status run_im2col(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const windows t = make_windows(c, r, c->in[0]->dim[1]);
    const int64_t n = ref_count(&c->out[0]);
    if (n)
        tg_ref_each(n > REF_SERIAL ? r->threads : 1, c->out[0].dim[0] * c->out[0].dim[1], im2col_item, &t);
    return TG_OK;
}

/* The window along dim k whose place `at` of the kernel lies at `i`; −1: none. */
static int64_t window_of(const windows *t, int k, int64_t i, int64_t at)
{
    const int64_t from = i + t->a->padding.v[k] - at * t->a->dilation.v[k], step = t->a->stride.v[k];
    return from >= 0 && from % step == 0 && from / step < t->n[k] ? from / step : -1;
}

/* One line of x, each element the sum of what the windows hold of it. */
static void col2im_item(const void *arg, int64_t line)
{
    const windows *t = arg;
    const tg_windows_attrs *a = t->a;
    const int64_t height = a->size.v[0], width = a->size.v[1], h = line % height, channel = line / height;
    const int64_t columns = t->n[0] * t->n[1], places = a->kernel.v[0] * a->kernel.v[1];
    for (int64_t w = 0; w < width; w++) {
        double sum = 0.0;
        for (int64_t down = 0; down < a->kernel.v[0]; down++) {
            const int64_t i = window_of(t, 0, h, down);
            for (int64_t across = 0; i >= 0 && across < a->kernel.v[1]; across++) {
                const int64_t j = window_of(t, 1, w, across);
                if (j < 0)
                    continue;
                const int64_t row = channel * places + down * a->kernel.v[1] + across;
                const int64_t from = row * columns + i * t->n[1] + j;
                sum += t->size == 8 ? ((const double *)t->x)[from] : (double)((const float *)t->x)[from];
            }
        }
        if (t->size == 8)
            ((double *)t->y)[line * width + w] = sum;
        else
            ((float *)t->y)[line * width + w] = (float)sum;
    }
}

static tg_status run_col2im(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_desc *y = &c->out[0];
    const windows t = make_windows(c, r, y->dim[1]);
    if (ref_count(y))
        tg_ref_each(ref_count(c->in[0]) > REF_SERIAL ? r->threads : 1, y->dim[0] * y->dim[1] * y->dim[2],
                    col2im_item, &t);
    return TG_OK;
}

typedef struct unpooling {
    int64_t n, to, size; /* of a row, in and out; bytes of an element */
    const void *x;
    const int64_t *places;
    void *y;
} unpooling;

static void unpool_item(const void *arg, int64_t row)
{
    const unpooling *t = arg;
    char *y = (char *)t->y + row * t->to * t->size;
    memset(y, 0, (size_t)(t->to * t->size));
    for (int64_t i = row * t->n; i < (row + 1) * t->n; i++)
        memcpy(y + t->places[i] * t->size, (const char *)t->x + i * t->size, (size_t)t->size);
}

static tg_status run_max_unpool(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_desc *y = &c->out[0];
    const unpooling t = {.n = c->in[0]->dim[1],
                         .to = y->dim[1],
                         .size = y->dtype == TG_F64 ? 8 : 4,
                         .x = r->in[0],
                         .places = r->in[1],
                         .y = r->out[0]};
    if (ref_count(y))
        tg_ref_each(ref_count(y) > REF_SERIAL ? r->threads : 1, y->dim[0], unpool_item, &t);
    return TG_OK;
}

const tg_ref_kernel tg_ref_patches[] = {
    TG_REF_KERNEL("im2col", run_im2col),
    TG_REF_KERNEL("col2im", run_col2im),
    TG_REF_KERNEL("max_unpool", run_max_unpool),
    {0},
};
