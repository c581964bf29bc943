/* torch.set_printoptions' defaults: four digits, three at each edge above 1000 elements. */
#include "autograd/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EDGE = 3, SUMMARISE = 1000 };

typedef struct printer {
    FILE *to;
    const tg_desc *desc;
    const void *data; /* row-major */
    int width, digits;
    bool scientific, summarise;
} printer;

static double number(const printer *p, int64_t i)
{
    switch (p->desc->dtype) {
    case TG_F32: return (double)((const float *)p->data)[i];
    case TG_F64: return ((const double *)p->data)[i];
    case TG_I64: return (double)((const int64_t *)p->data)[i];
    default: return ((const unsigned char *)p->data)[i];
    }
}

static int element(const printer *p, int64_t i, char *buf, size_t size)
{
    if (p->desc->dtype == TG_BOOL)
        return snprintf(buf, size, "%s", number(p, i) != 0 ? "True" : "False");
    if (p->desc->dtype == TG_I64)
        return snprintf(buf, size, "%lld", (long long)((const int64_t *)p->data)[i]);
    double x = number(p, i);
    if (!isfinite(x))
        return snprintf(buf, size, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
    if (p->scientific)
        return snprintf(buf, size, "%.4e", x);
    return p->digits ? snprintf(buf, size, "%.*f", p->digits, x) : snprintf(buf, size, "%.0f.", x);
}

static void choose_format(printer *p, int64_t n)
{
    double low = (double)INFINITY, high = 0;
    bool whole = true;
    for (int64_t i = 0; i < n; i++) {
        double x = fabs(number(p, i));
        if (!isfinite(x))
            continue;
        whole &= x == floor(x);
        high = x > high ? x : high;
        low = x > 0 && x < low ? x : low;
    }
    p->digits = whole ? 0 : 4;
    p->scientific = high > 1e8 || (!whole && (low < 1e-4 || high / low > 1000));
    p->width = 0;
    for (int64_t i = 0; i < n; i++) {
        char buf[64];
        int w = element(p, i, buf, sizeof buf);
        p->width = w > p->width ? w : p->width;
    }
}

static void row(const printer *p, int dim, int64_t first, int64_t stride)
{
    char buf[64];
    int64_t n = p->desc->dim[dim], step = stride / (n ? n : 1);
    bool last = dim + 1 == p->desc->ndim;
    fputc('[', p->to);
    for (int64_t i = 0; i < n; i++) {
        if (p->summarise && n > 2 * EDGE && i == EDGE) {
            fputs(last ? ", ..." : ",\n ...", p->to);
            i = n - EDGE;
        }
        if (i && last)
            fputs(", ", p->to);
        else if (i)
            fprintf(p->to, ",%.*s%*s", p->desc->ndim - dim - 1, "\n\n\n\n\n\n\n\n", 8 + dim, "");
        if (last) {
            element(p, first + i, buf, sizeof buf);
            fprintf(p->to, "%*s", p->width, buf);
        } else {
            row(p, dim + 1, first + i * step, step);
        }
    }
    fputc(']', p->to);
}

static void print(const tg_desc *desc, const void *data, FILE *to)
{
    printer p = {.to = to, .desc = desc, .data = data};
    int64_t n = tg_desc_count(desc);
    p.summarise = n > SUMMARISE;
    choose_format(&p, n);
    fputs("tensor(", to);
    if (desc->ndim) {
        row(&p, 0, 0, n);
    } else {
        char buf[64];
        element(&p, 0, buf, sizeof buf);
        fputs(buf, to);
    }
    if (!n && desc->ndim > 1) {
        char text[128];
        fprintf(to, ", size=%s", tg_desc_format(desc, text, sizeof text));
    }
    fprintf(to, "%s%s)\n", desc->dtype == TG_F64 ? ", dtype=" : "", desc->dtype == TG_F64 ? "f64" : "");
}

tg_status tg_tensor_print(const tg_tensor *tensor, FILE *to)
{
    if (!to)
        return tg_null(NULL, "tg_tensor_print", "the stream");
    const tg_value *v = tg_alive(tensor, "tg_tensor_print");
    if (!v)
        return tensor ? TG_ESTALE : TG_EINVAL;
    const tg_desc desc = *v->desc;
    if (!tg_dtype_is_float(desc.dtype) && desc.dtype != TG_I64 && desc.dtype != TG_BOOL)
        return tg_fail(NULL, TG_EUNSUPPORTED, "tg_tensor_print: dtype %s", tg_dtype_name(desc.dtype));
    const tg_allocator *a = tg_runtime_allocator(tg_tensor_runtime(tensor));
    size_t size = (size_t)tg_desc_count(&desc) * tg_dtype_size(desc.dtype);
    void *data = tg_alloc(a, size);
    if (!data)
        return TG_ENOMEM;
    tg_status status = tg_tensor_read(tensor, data, size);
    const locale_t before = tg_plain_numbers();
    if (status == TG_OK)
        print(&desc, data, to);
    uselocale(before);
    tg_free(a, data);
    return status;
}
