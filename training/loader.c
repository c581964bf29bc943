/* The loader: an order, batches, and two places where a batch is gathered before it is put on a tape. With
 * prefetch a thread fills one place while the program works on the other; without, the program fills it
 * itself. */
#include "training/dataset.h"
#include "training/save.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct place {
    void *x, *y;
    bool full;
    tg_status status;
    char error[512];
} place;

typedef struct position {
    int64_t epoch, batch;
} position;

struct tg_loader {
    tg_runtime *rt;
    tg_dataset *data;
    tg_loader_options options;
    tg_dtype dtype; /* of a batch's x */
    int64_t n_batches;
    int32_t ndim, y_ndim; /* of a batch */
    int64_t dim[TG_MAX_DIM], y_dim[TG_MAX_DIM];
    size_t x_row, y_row; /* bytes of one example */
    float table32[256];  /* what a byte becomes */
    double table64[256];
    position next; /* what tg_loader_next returns next */

    /* Whoever gathers owns these: */
    int64_t *order, order_epoch;
    bool has_order;

    /* Under the lock, with prefetch: */
    place places[2];
    position fill;
    unsigned write, read;
    uint64_t round; /* raised by each jump: what was under way is thrown away */
    bool threaded, quit;
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    pthread_t thread;
};

/* -- the order ------------------------------------------------------------------------------------------- */
/* Fisher and Yates, from the end. Each step takes 64 bits of Philox(seed, 2⁶³ + epoch): the upper half of
 * their product with the range, whose bias is below 2⁻³² for any data set that fits a memory. */
static void shuffle(int64_t *order, int64_t n, uint64_t seed, uint64_t epoch)
{
    uint32_t words[4];
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1, k = 0; i > 0; i--, k++) {
        if (k % 2 == 0)
            tg_philox(seed, (uint64_t)1 << 63 | epoch, (uint64_t)k / 2, words);
        uint64_t high = words[k % 2 * 2], low = words[k % 2 * 2 + 1], range = (uint64_t)i + 1;
        /* ⌊(high·2³² + low)·range / 2⁶⁴⌋ for ranges below 2³² without a 128-bit product. */
        uint64_t j = range >> 32 ? (high << 32 | low) % range : (high * range + (low * range >> 32)) >> 32;
        int64_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

static void make_order(tg_loader *l, int64_t epoch)
{
    if (!l->options.shuffle || (l->has_order && l->order_epoch == epoch))
        return;
    shuffle(l->order, l->data->n, l->options.seed, (uint64_t)epoch);
    l->order_epoch = epoch;
    l->has_order = true;
}

/* -- batches --------------------------------------------------------------------------------------------- */
static int64_t count_batches(int64_t n, int64_t size, tg_last_batch last)
{
    if (last == TG_LAST_DROP)
        return n / size;
    if (last == TG_LAST_MERGE && n > size && n % size == 1)
        return n / size;
    return n / size + (n % size != 0);
}

static int64_t batch_size(const tg_loader *l, int64_t batch)
{
    int64_t size = l->options.batch_size, from = batch * size, left = l->data->n - from;
    bool takes_rest = batch + 1 == l->n_batches && l->options.last != TG_LAST_DROP;
    return takes_rest ? left : size;
}

static void gather_bytes(const tg_loader *l, void *x, const uint8_t *src, int64_t n)
{
    if (l->dtype == TG_F64)
        for (int64_t i = 0; i < n; i++)
            ((double *)x)[i] = l->table64[src[i]];
    else
        for (int64_t i = 0; i < n; i++)
            ((float *)x)[i] = l->table32[src[i]];
}

static tg_status gather_row(const tg_loader *l, int64_t example, void *x, void *y)
{
    const tg_dataset *d = l->data;
    if (d->fetch)
        return d->fetch(d->fetch_arg, example, x, y);
    if (d->dtype == TG_U8)
        gather_bytes(l, x, (const uint8_t *)d->x + example * d->row_count, d->row_count);
    else
        memcpy(x, (const char *)d->x + (size_t)example * l->x_row, l->x_row);
    memcpy(y, (const char *)d->y + (size_t)example * l->y_row, l->y_row);
    return TG_OK;
}

/* Runs on the prefetching thread: an error's sentence travels in the place. */
static void gather(tg_loader *l, place *p, position at)
{
    make_order(l, at.epoch);
    int64_t from = at.batch * l->options.batch_size, n = batch_size(l, at.batch);
    p->status = TG_OK;
    for (int64_t i = 0; i < n && !p->status; i++) {
        int64_t example = l->options.shuffle ? l->order[from + i] : from + i;
        p->status =
            gather_row(l, example, (char *)p->x + (size_t)i * l->x_row, (char *)p->y + (size_t)i * l->y_row);
        if (p->status)
            snprintf(p->error, sizeof p->error, "example %lld of the data set could not be fetched",
                     (long long)example);
    }
}

static position after(const tg_loader *l, position at)
{
    at.batch++;
    if (at.batch == l->n_batches)
        at = (position){at.epoch + 1, 0};
    return at;
}

/* -- the thread ------------------------------------------------------------------------------------------ */
static void *prefetch(void *arg)
{
    tg_loader *l = arg;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->quit && l->places[l->write].full)
            pthread_cond_wait(&l->emptied, &l->lock);
        if (l->quit)
            break;
        place *p = &l->places[l->write];
        position at = l->fill;
        uint64_t round = l->round;
        pthread_mutex_unlock(&l->lock);
        gather(l, p, at);
        pthread_mutex_lock(&l->lock);
        if (round != l->round)
            continue;
        p->full = true;
        l->write ^= 1u;
        l->fill = after(l, at);
        pthread_cond_signal(&l->filled);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static tg_status start_thread(tg_loader *l)
{
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->filled, NULL);
    pthread_cond_init(&l->emptied, NULL);
    /* The program's signal handlers run on the program's threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&l->thread, NULL, prefetch, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0) {
        l->threaded = true;
        return TG_OK;
    }
    pthread_cond_destroy(&l->emptied);
    pthread_cond_destroy(&l->filled);
    pthread_mutex_destroy(&l->lock);
    return tg_fail(NULL, TG_ENOMEM, "tg_loader_open: the prefetching thread cannot be started: %s",
                   strerror(code));
}

static void stop_thread(tg_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_signal(&l->emptied);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->emptied);
    pthread_cond_destroy(&l->filled);
    pthread_mutex_destroy(&l->lock);
}

/* The gathered batch that is due. */
static place *wait_place(tg_loader *l)
{
    place *p = &l->places[l->read];
    if (!l->threaded) {
        if (!p->full)
            gather(l, p, l->next);
        p->full = true;
        return p;
    }
    pthread_mutex_lock(&l->lock);
    while (!p->full)
        pthread_cond_wait(&l->filled, &l->lock);
    pthread_mutex_unlock(&l->lock);
    return p;
}

static void empty_place(tg_loader *l, place *p)
{
    if (!l->threaded) {
        p->full = false;
        return;
    }
    pthread_mutex_lock(&l->lock);
    p->full = false;
    l->read ^= 1u;
    pthread_cond_signal(&l->emptied);
    pthread_mutex_unlock(&l->lock);
}

/* Goes on from `at`, whatever has been gathered. */
static void jump(tg_loader *l, position at)
{
    l->next = at;
    if (!l->threaded) {
        l->places[0].full = false;
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->round++;
    l->places[0].full = l->places[1].full = false;
    l->read = l->write = 0;
    l->fill = at.batch == l->n_batches ? (position){at.epoch + 1, 0} : at;
    pthread_cond_signal(&l->emptied);
    pthread_mutex_unlock(&l->lock);
}

/* -- opening and closing --------------------------------------------------------------------------------- */
/* Those of the largest batch; what a batch holds replaces the first dim. */
static void make_shapes(tg_loader *l)
{
    const tg_dataset *d = l->data;
    if (l->options.flatten) {
        l->ndim = 2;
        l->dim[1] = d->row_count;
    } else {
        l->ndim = d->ndim + 1;
        memcpy(l->dim + 1, d->dim, (size_t)d->ndim * sizeof *l->dim);
    }
    l->y_ndim = d->y_ndim + 1;
    memcpy(l->y_dim + 1, d->y_dim, (size_t)d->y_ndim * sizeof *l->y_dim);
    l->dtype = d->dtype == TG_U8 ? tg_runtime_dtype(l->rt) : d->dtype;
    int64_t last = batch_size(l, l->n_batches - 1);
    l->dim[0] = l->y_dim[0] = last > l->options.batch_size || l->n_batches == 1 ? last : l->options.batch_size;
    l->x_row = (size_t)d->row_count * tg_dtype_size(l->dtype);
    l->y_row = (size_t)d->y_count * tg_dtype_size(d->y_dtype);
    for (int i = 0; i < 256; i++) {
        l->table64[i] = (i / 255.0 - d->normalise.mean) / d->normalise.std;
        l->table32[i] = (float)l->table64[i];
    }
}

static tg_status make_room(tg_loader *l)
{
    const tg_allocator *a = tg_runtime_allocator(l->rt);
    tg_desc x, y;
    tg_status status = tg_desc_make(&x, l->dtype, l->dim, (size_t)l->ndim);
    if (!status)
        status = tg_desc_make(&y, l->data->y_dtype, l->y_dim, (size_t)l->y_ndim);
    if (status)
        return status;
    if (l->options.shuffle && l->data->n > INT64_MAX / (int64_t)sizeof *l->order)
        return tg_fail(NULL, TG_EINVAL, "tg_loader_open: %lld examples are too many to be shuffled",
                       (long long)l->data->n);
    if (l->options.shuffle) {
        l->order = tg_alloc(a, (size_t)l->data->n * sizeof *l->order);
        if (!l->order)
            return tg_fail_again(NULL, TG_ENOMEM);
    }
    for (int i = 0; i < (l->options.prefetch ? 2 : 1); i++) {
        l->places[i].x = tg_alloc(a, (size_t)l->dim[0] * l->x_row + 1);
        l->places[i].y = l->places[i].x ? tg_alloc(a, (size_t)l->y_dim[0] * l->y_row + 1) : NULL;
        if (!l->places[i].y)
            return tg_fail_again(NULL, TG_ENOMEM);
    }
    return l->options.prefetch ? start_thread(l) : TG_OK;
}

static tg_status check_options(const tg_dataset *d, const tg_loader_options *o)
{
    if (o->batch_size < 1)
        return tg_fail(NULL, TG_EINVAL, "tg_loader_open: batch_size is %lld, expected at least 1",
                       (long long)o->batch_size);
    if (o->last != TG_LAST_KEEP && o->last != TG_LAST_DROP && o->last != TG_LAST_MERGE)
        return tg_fail(NULL, TG_EINVAL, "tg_loader_open: %d is no policy for the last batch", (int)o->last);
    if (d->n == 0)
        return tg_fail(NULL, TG_EINVAL, "tg_loader_open: the data set is empty");
    if (o->last == TG_LAST_DROP && d->n < o->batch_size)
        return tg_fail(
            NULL, TG_EINVAL,
            "tg_loader_open: TG_LAST_DROP leaves no batch: the data set has %lld examples, a batch "
            "%lld",
            (long long)d->n, (long long)o->batch_size);
    return TG_OK;
}

tg_status tg_loader_open(tg_loader **out, tg_runtime *rt, tg_dataset *dataset,
                         const tg_loader_options *options)
{
    if (!out || !rt || !dataset || !options)
        return tg_fail(NULL, TG_EINVAL, "tg_loader_open: the %s NULL",
                       !out       ? "result is"
                       : !rt      ? "runtime is"
                       : !dataset ? "data set is"
                                  : "options are");
    *out = NULL;
    tg_loader_options o = {0};
    memcpy(&o, options,
           options->struct_size && options->struct_size < sizeof o ? options->struct_size : sizeof o);
    tg_status status = check_options(dataset, &o);
    if (status)
        return status;
    tg_loader *l = tg_alloc_zero(tg_runtime_allocator(rt), sizeof *l);
    if (!l)
        return tg_fail_again(NULL, TG_ENOMEM);
    l->rt = rt;
    l->data = dataset;
    l->options = o;
    l->n_batches = count_batches(dataset->n, o.batch_size, o.last);
    make_shapes(l);
    status = make_room(l);
    if (status) {
        tg_loader_close(l);
        return status;
    }
    *out = l;
    return TG_OK;
}

void tg_loader_close(tg_loader *l)
{
    if (!l)
        return;
    if (l->threaded)
        stop_thread(l);
    const tg_allocator *a = tg_runtime_allocator(l->rt);
    for (int i = 0; i < 2; i++) {
        tg_free(a, l->places[i].x);
        tg_free(a, l->places[i].y);
    }
    tg_free(a, l->order);
    tg_free(a, l);
}

/* -- use ------------------------------------------------------------------------------------------------- */
/* A failure leaves the loader where it was: the same batch is tried again. */
static bool put(tg_loader *l, tg_tape *tape, tg_batch *batch, const place *p)
{
    int64_t n = batch_size(l, l->next.batch);
    l->dim[0] = l->y_dim[0] = n;
    tg_tape_reset(tape);
    tg_tensor *x = tg_input(tape, l->dtype, l->dim, (size_t)l->ndim, p->x);
    tg_tensor *y = x ? tg_input(tape, l->data->y_dtype, l->y_dim, (size_t)l->y_ndim, p->y) : NULL;
    if (!y)
        return false;
    *batch = (tg_batch){.x = x, .y = y, .size = n, .index = l->next.batch};
    return true;
}

bool tg_loader_next(tg_loader *l, tg_tape *tape, tg_batch *batch)
{
    if (!l || !tape || !batch) {
        tg_fail(tape, TG_EINVAL, "tg_loader_next: the %s is NULL", !l ? "loader" : !tape ? "tape" : "batch");
        return false;
    }
    *batch = (tg_batch){0};
    if (tg_tape_status(tape))
        return false;
    if (l->next.batch == l->n_batches) {
        l->next = (position){l->next.epoch + 1, 0};
        return false;
    }
    place *p = wait_place(l);
    if (p->status) {
        tg_fail(tape, p->status, "tg_loader_next: %s", p->error);
        jump(l, l->next);
        return false;
    }
    if (!put(l, tape, batch, p))
        return false;
    empty_place(l, p);
    l->next.batch++;
    return true;
}

int64_t tg_loader_batches(const tg_loader *l)
{
    return l ? l->n_batches : 0;
}

tg_status tg_loader_seek(tg_loader *l, int64_t epoch)
{
    if (!l || epoch < 0)
        return tg_fail(NULL, TG_EINVAL,
                       l ? "tg_loader_seek: epoch %lld" : "tg_loader_seek: the loader is NULL",
                       (long long)epoch);
    jump(l, (position){epoch, 0});
    return TG_OK;
}

tg_runtime *tg_loader_runtime(const tg_loader *l)
{
    return l->rt;
}

void tg_loader_walk(tg_walk *w, tg_loader *l)
{
    int64_t seed, at[4] = {l->next.epoch, l->next.batch, l->n_batches, 0};
    memcpy(&seed, &l->options.seed, sizeof seed);
    at[3] = seed;
    tg_walk_kind(w, "Loader");
    tg_walk_numbers(w, "position", TG_I64, 4, 0, at);
    if (w->pass == TG_CHECK && (at[2] != l->n_batches || at[3] != seed || at[0] < 0 || at[1] < 0 || at[1] > at[2]))
        tg_walk_fail(w, TG_EFORMAT,
                     "is before batch %lld of %lld in epoch %lld with seed %lld in the file, expected %lld batches and seed %lld",
                     (long long)at[1], (long long)at[2], (long long)at[0], (long long)at[3], (long long)l->n_batches,
                     (long long)seed);
    if (w->pass == TG_TAKE)
        jump(l, (position){at[0], at[1]});
}

/* -- accuracy -------------------------------------------------------------------------------------------- */
static tg_status mean_of_hits(tg_tape *tape, tg_tensor *logits, tg_tensor *labels, double *out)
{
    tg_tensor *best = tg_argmax(tape, logits, 1, false);
    tg_tensor *hit = tg_eq(tape, best, labels);
    tg_tensor *value = tg_to(tape, hit, TG_F64);
    tg_tensor *mean = tg_mean(tape, value);
    tg_status status = mean ? tg_item(mean, out) : tg_tape_status(tape);
    tg_tensor *made[] = {best, hit, value, mean};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (made[i])
            tg_discard(made[i]);
    return status;
}

tg_status tg_accuracy(tg_tape *tape, tg_tensor *logits, tg_tensor *labels, double *out)
{
    tg_desc x, y;
    char got_x[96], got_y[96];
    if (!tape || !out)
        return tg_fail(tape, TG_EINVAL, "tg_accuracy: the %s is NULL", tape ? "result" : "tape");
    if (tg_tape_status(tape))
        return tg_tape_status(tape);
    tg_status status = tg_tensor_desc(logits, &x);
    if (!status)
        status = tg_tensor_desc(labels, &y);
    if (status)
        return tg_fail_again(tape, status);
    if (x.ndim != 2 || y.ndim != 1 || y.dtype != TG_I64 || x.dim[0] != y.dim[0])
        return tg_fail(tape, y.dtype != TG_I64 ? TG_EDTYPE : TG_ESHAPE,
                       "tg_accuracy: got logits %s and labels %s, expected [N, C] and i64[N]",
                       tg_desc_format(&x, got_x, sizeof got_x), tg_desc_format(&y, got_y, sizeof got_y));
    bool recording = tg_tape_set_recording(tape, false);
    status = mean_of_hits(tape, logits, labels, out);
    tg_tape_set_recording(tape, recording);
    return status;
}
