#include "training/dataset.h"

#include <math.h>
#include <string.h>

/* -- making ---------------------------------------------------------------------------------------------- */
static tg_status new_dataset(tg_dataset **out, tg_runtime *rt, const char *what)
{
    if (!out || !rt)
        return tg_fail(NULL, TG_EINVAL, "%s: the %s is NULL", what, out ? "runtime" : "result");
    *out = NULL;
    tg_dataset *d = tg_alloc_zero(tg_runtime_allocator(rt), sizeof *d);
    if (!d)
        return tg_fail_again(NULL, TG_ENOMEM);
    d->rt = rt;
    d->normalise.std = 1;
    *out = d;
    return TG_OK;
}

static tg_status give_up(tg_dataset **out, tg_status status)
{
    tg_dataset_close(*out);
    *out = NULL;
    return status;
}

static tg_status take_labels(tg_dataset *d, const tg_idx *labels, const char *path, int64_t classes)
{
    d->labels = tg_alloc(tg_runtime_allocator(d->rt), (size_t)d->n * sizeof *d->labels);
    if (!d->labels)
        return tg_fail_again(NULL, TG_ENOMEM);
    for (int64_t i = 0; i < d->n; i++) {
        d->labels[i] = labels->data[i];
        if (classes > 0 && d->labels[i] >= classes)
            return tg_fail(NULL, TG_EINDEX, "%s: label %lld of example %lld, expected less than %lld", path,
                           (long long)d->labels[i], (long long)i, (long long)classes);
    }
    return TG_OK;
}

static tg_status take_files(tg_dataset *d, const tg_idx *labels, const char *images_path,
                            const char *labels_path, int64_t classes)
{
    if (labels->ndim != 1)
        return tg_fail(NULL, TG_ESHAPE, "%s: %d dimensions, expected labels with 1", labels_path,
                       labels->ndim);
    if (labels->dim[0] != d->images.dim[0])
        return tg_fail(NULL, TG_ESHAPE, "%s has %lld examples, but %s has %lld labels", images_path,
                       (long long)d->images.dim[0], labels_path, (long long)labels->dim[0]);
    /* Of no image at all, too: the file held their sizes against none. */
    tg_desc row;
    tg_status status = tg_desc_make(&row, TG_F64, d->images.dim + 1, (size_t)d->images.ndim - 1);
    if (status)
        return status;
    d->n = d->images.dim[0];
    d->ndim = row.ndim;
    memcpy(d->dim, row.dim, sizeof d->dim);
    d->row_count = tg_desc_count(&row);
    d->y_count = 1;
    d->dtype = TG_U8;
    d->y_dtype = TG_I64;
    status = take_labels(d, labels, labels_path, classes);
    d->x = d->images.data;
    d->y = d->labels;
    return status;
}

tg_status tg_dataset_open_idx(tg_dataset **out, tg_runtime *rt, const char *images, const char *labels,
                              const tg_normalise *normalise, int64_t classes)
{
    tg_status status = new_dataset(out, rt, "tg_dataset_open_idx");
    if (status)
        return status;
    tg_idx y = {0};
    status = tg_idx_read(&(*out)->images, rt, images);
    if (!status)
        status = tg_idx_read(&y, rt, labels);
    if (!status)
        status = take_files(*out, &y, images, labels, classes);
    tg_idx_free(&y);
    if (status)
        return give_up(out, status);
    if (normalise)
        tg_dataset_set_normalise(*out, *normalise);
    return TG_OK;
}

/* The shapes of a row of x and of y. */
static tg_status take_rows(tg_dataset *d, const char *what, int64_t n, tg_dtype dtype, const int64_t *row,
                           size_t ndim, tg_dtype y_dtype, const int64_t *y_row, size_t y_ndim)
{
    tg_desc x, y;
    if (n < 0)
        return tg_fail(NULL, TG_EINVAL, "%s: %lld examples", what, (long long)n);
    if (!tg_dtype_is_float(dtype))
        return tg_fail(NULL, TG_EDTYPE, "%s: x is %s, expected f32 or f64", what, tg_dtype_name(dtype));
    if (!tg_dtype_is_float(y_dtype) && y_dtype != TG_I64)
        return tg_fail(NULL, TG_EDTYPE, "%s: y is %s, expected i64, f32 or f64", what,
                       tg_dtype_name(y_dtype));
    if (ndim >= TG_MAX_DIM || y_ndim >= TG_MAX_DIM)
        return tg_fail(NULL, TG_ESHAPE, "%s: a row has at most %d dimensions", what, TG_MAX_DIM - 1);
    tg_status status = tg_desc_make(&x, dtype, row, ndim);
    if (!status)
        status = tg_desc_make(&y, y_dtype, y_row, y_ndim);
    if (status)
        return status;
    d->n = n;
    d->dtype = dtype;
    d->y_dtype = y_dtype;
    d->ndim = (int32_t)ndim;
    d->y_ndim = (int32_t)y_ndim;
    memcpy(d->dim, x.dim, sizeof d->dim);
    memcpy(d->y_dim, y.dim, sizeof d->y_dim);
    d->row_count = tg_desc_count(&x);
    d->y_count = tg_desc_count(&y);
    return TG_OK;
}

tg_status tg_dataset_wrap(tg_dataset **out, tg_runtime *rt, int64_t n, tg_dtype dtype, const int64_t *row,
                          size_t ndim, const void *x, tg_dtype y_dtype, const int64_t *y_row, size_t y_ndim,
                          const void *y)
{
    tg_status status = new_dataset(out, rt, "tg_dataset_wrap");
    if (status)
        return status;
    if (n > 0 && (!x || !y))
        return give_up(out, tg_fail(NULL, TG_EINVAL, "tg_dataset_wrap: %s is NULL", x ? "y" : "x"));
    status = take_rows(*out, "tg_dataset_wrap", n, dtype, row, ndim, y_dtype, y_row, y_ndim);
    if (status)
        return give_up(out, status);
    (*out)->x = x;
    (*out)->y = y;
    return TG_OK;
}

tg_status tg_dataset_open_fetch(tg_dataset **out, tg_runtime *rt, int64_t n, tg_dtype dtype,
                                const int64_t *row, size_t ndim, tg_dtype y_dtype, const int64_t *y_row,
                                size_t y_ndim, tg_fetch_fn fetch, void *arg)
{
    tg_status status = new_dataset(out, rt, "tg_dataset_open_fetch");
    if (status)
        return status;
    if (!fetch)
        return give_up(out, tg_fail(NULL, TG_EINVAL, "tg_dataset_open_fetch: the function is NULL"));
    status = take_rows(*out, "tg_dataset_open_fetch", n, dtype, row, ndim, y_dtype, y_row, y_ndim);
    if (status)
        return give_up(out, status);
    (*out)->fetch = fetch;
    (*out)->fetch_arg = arg;
    return TG_OK;
}

void tg_dataset_close(tg_dataset *d)
{
    if (!d)
        return;
    const tg_allocator *a = tg_runtime_allocator(d->rt);
    tg_idx_free(&d->images);
    tg_free(a, d->labels);
    tg_free(a, d);
}

/* -- looking --------------------------------------------------------------------------------------------- */
static double element(const tg_dataset *d, int64_t i)
{
    if (d->dtype == TG_U8)
        return ((const uint8_t *)d->x)[i] / 255.0;
    return d->dtype == TG_F64 ? ((const double *)d->x)[i] : (double)((const float *)d->x)[i];
}

/* Bytes are counted first: the sums are exact, whatever their number. */
static tg_normalise byte_statistics(const uint8_t *x, int64_t count)
{
    int64_t seen[256] = {0};
    double mean = 0, square = 0;
    for (int64_t i = 0; i < count; i++)
        seen[x[i]]++;
    for (int i = 0; i < 256; i++)
        mean += (double)seen[i] * (i / 255.0) / (double)count;
    for (int i = 0; i < 256; i++)
        square += (double)seen[i] * (i / 255.0 - mean) * (i / 255.0 - mean) / (double)count;
    return (tg_normalise){mean, sqrt(square)};
}

tg_normalise tg_dataset_statistics(const tg_dataset *d)
{
    int64_t count = d ? d->n * d->row_count : 0;
    if (count == 0 || d->fetch)
        return (tg_normalise){0, 1};
    if (d->dtype == TG_U8)
        return byte_statistics(d->x, count);
    double mean = 0, square = 0;
    for (int64_t i = 0; i < count; i++)
        mean += element(d, i);
    mean /= (double)count;
    for (int64_t i = 0; i < count; i++)
        square += (element(d, i) - mean) * (element(d, i) - mean);
    return (tg_normalise){mean, sqrt(square / (double)count)};
}

void tg_dataset_set_normalise(tg_dataset *d, tg_normalise normalise)
{
    if (!d)
        return;
    d->normalise = normalise;
    if (normalise.std == 0)
        d->normalise.std = 1;
}

int64_t tg_dataset_size(const tg_dataset *d)
{
    return d ? d->n : 0;
}

size_t tg_dataset_shape(const tg_dataset *d, int64_t dims[TG_MAX_DIM])
{
    if (!d)
        return 0;
    memcpy(dims, d->dim, sizeof d->dim);
    return (size_t)d->ndim;
}
