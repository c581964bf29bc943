/* Data: IDX files, datasets in memory, a loader. */
#ifndef TAPEGRAD_DATA_H
#define TAPEGRAD_DATA_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One IDX file (Y. LeCun's format of MNIST), plain or gzip: element type u8, big-endian header. */
typedef struct tg_idx {
    int32_t ndim;
    int64_t dim[TG_MAX_DIM];
    uint8_t *data; /* row-major, through the runtime's allocator */
    tg_runtime *rt;
} tg_idx;
/* Reads one; *out is yours, give it back with tg_idx_free. What the header promises is held against the
 * file's size before it is allocated. TG_EIO: cannot be opened or read. TG_EFORMAT: wrong magic, an element
 * type other than u8, sizes that lie or overflow, cut short, bytes left over, a corrupt gzip. TG_ENOMEM. *out
 * is zeroed on failure. */
TG_API tg_status tg_idx_read(tg_idx *out, tg_runtime *rt, const char *path);
TG_API void tg_idx_free(tg_idx *idx);

/* Examples in memory: x [N, …] u8 scaled as (x/255 − mean)/std into f32 (or the runtime's dtype) when
 * batched, or floats as they are; labels i64 [N]. */
typedef struct tg_dataset tg_dataset;
/* From a pair of IDX files. TG_ESHAPE when their counts differ; TG_EINDEX for a label ≥ classes (0: any).
 * `normalise`: NULL takes 0…1 scaling only. */
typedef struct tg_normalise {
    double mean, std;
} tg_normalise;
TG_API tg_status tg_dataset_open_idx(tg_dataset **out, tg_runtime *rt, const char *images, const char *labels,
                                     const tg_normalise *normalise, int64_t classes);
/* Mean and standard deviation (of the whole, not estimated) over all pixels, scaled to 0…1: for tg_normalise.
 * 0 and 1 for an empty data set, or one over a function. */
TG_API tg_normalise tg_dataset_statistics(const tg_dataset *dataset);
/* Of data from IDX files, for loaders that are opened from now on. A std of 0 is taken as 1. */
TG_API void tg_dataset_set_normalise(tg_dataset *dataset, tg_normalise normalise);
/* Over memory of yours (must outlive it): `x` holds n rows of `row` dims of `dtype` (f32, f64), `y` n rows of
 * y_row dims of y_dtype (i64 labels: y_ndim 0). */
TG_API tg_status tg_dataset_wrap(tg_dataset **out, tg_runtime *rt, int64_t n, tg_dtype dtype,
                                 const int64_t *row, size_t ndim, const void *x, tg_dtype y_dtype,
                                 const int64_t *y_row, size_t y_ndim, const void *y);
/* Over a function of yours: it writes example `index` to x (the row's elements of `dtype`) and y. It runs on
 * the loader's thread when that prefetches, on the caller's when not; a status other than TG_OK ends
 * tg_loader_next with that status. */
typedef tg_status (*tg_fetch_fn)(void *arg, int64_t index, void *x, void *y);
TG_API tg_status tg_dataset_open_fetch(tg_dataset **out, tg_runtime *rt, int64_t n, tg_dtype dtype,
                                       const int64_t *row, size_t ndim, tg_dtype y_dtype,
                                       const int64_t *y_row, size_t y_ndim, tg_fetch_fn fetch, void *arg);
TG_API int64_t tg_dataset_size(const tg_dataset *dataset);
/* The shape of one example. */
TG_API size_t tg_dataset_shape(const tg_dataset *dataset, int64_t dims[TG_MAX_DIM]);
TG_API void tg_dataset_close(tg_dataset *dataset);

typedef enum tg_last_batch {
    TG_LAST_KEEP = 0, /* a shorter last batch                                                  */
    TG_LAST_DROP = 1, /* no shorter batch                                                      */
    TG_LAST_MERGE = 2 /* a last batch of one is merged into the one before (BatchNorm in train) */
} tg_last_batch;

typedef struct tg_loader_options {
    size_t struct_size;
    int64_t batch_size;
    bool shuffle;
    uint64_t seed; /* epoch e's order is a pure function of (seed, e): Fisher and Yates with Philox */
    tg_last_batch last;
    bool prefetch; /* the next batch is gathered on a thread of its own    */
    bool flatten;  /* x as [B, product] */
} tg_loader_options;

typedef struct tg_batch {
    tg_tensor *x, *y; /* borrowed from the tape */
    int64_t size, index;
} tg_batch;

typedef struct tg_loader tg_loader;
/* Keeps the dataset, does not own it. TG_EINVAL for a batch size < 1, an empty dataset, one smaller than a
 * batch with TG_LAST_DROP, and one of too many examples to shuffle; TG_ESHAPE for a batch of more than 2^63
 * bytes; TG_ENOMEM. A loader belongs to one thread, as a tape does. From the second epoch on
 * nothing is allocated. */
TG_API tg_status tg_loader_open(tg_loader **out, tg_runtime *rt, tg_dataset *dataset,
                                const tg_loader_options *options);
TG_API void tg_loader_close(tg_loader *loader);
/* Resets the tape and puts the next batch on it. False at the end of the epoch (the tape is left as it is,
 * and the next call starts the following epoch) and on error, which the tape's status tells: also while the
 * tape carries an error already. After an error the loader stands where it was. */
TG_API bool tg_loader_next(tg_loader *loader, tg_tape *tape, tg_batch *batch);
/* Batches an epoch. */
TG_API int64_t tg_loader_batches(const tg_loader *loader);
/* Starts epoch e from its first batch. */
TG_API tg_status tg_loader_seek(tg_loader *loader, int64_t epoch);

/* The fraction of rows whose arg-max is the label: logits [N, C], labels i64 [N]. Records nothing. TG_ESHAPE,
 * TG_EDTYPE. */
TG_API tg_status tg_accuracy(tg_tape *tape, tg_tensor *logits, tg_tensor *labels, double *out);

#ifndef TG_NO_LOCATION
#define tg_idx_read(...) TG_AT(tg_idx_read(__VA_ARGS__))
#define tg_dataset_open_idx(...) TG_AT(tg_dataset_open_idx(__VA_ARGS__))
#define tg_dataset_wrap(...) TG_AT(tg_dataset_wrap(__VA_ARGS__))
#define tg_dataset_open_fetch(...) TG_AT(tg_dataset_open_fetch(__VA_ARGS__))
#define tg_loader_open(...) TG_AT(tg_loader_open(__VA_ARGS__))
#define tg_loader_next(...) TG_AT(tg_loader_next(__VA_ARGS__))
#define tg_loader_seek(...) TG_AT(tg_loader_seek(__VA_ARGS__))
#define tg_accuracy(...) TG_AT(tg_accuracy(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
