/* A data set as the loader sees it. */
#ifndef TG_TRAINING_DATASET_H
#define TG_TRAINING_DATASET_H

#include "autograd/internal.h"
#include <tapegrad/data.h>

struct tg_dataset {
    tg_runtime *rt;
    int64_t n, row_count, y_count; /* examples; elements of one x and one y       */
    tg_dtype dtype, y_dtype;       /* TG_U8: becomes floats when batched          */
    int32_t ndim, y_ndim;
    int64_t dim[TG_MAX_DIM], y_dim[TG_MAX_DIM];
    const void *x, *y;
    tg_fetch_fn fetch; /* instead of x and y */
    void *fetch_arg;
    tg_normalise normalise;
    tg_idx images;   /* owned, where the data came from files */
    int64_t *labels; /* owned */
};

#endif
