/* Data sets, the loader's order and batches, prefetching, accuracy. */
#include "training/files.h"

enum { EXAMPLES = 23, ROW = 3 };
static double xs[EXAMPLES * ROW];
static int64_t ys[EXAMPLES];
static tg_dataset *data;

static void open_all(void)
{
    folder_open();
    for (int i = 0; i < EXAMPLES; i++) {
        ys[i] = i;
        for (int j = 0; j < ROW; j++)
            xs[i * ROW + j] = i * 10 + j;
    }
    ck_assert_int_eq(
        tg_dataset_wrap(&data, rt, EXAMPLES, TG_F64, (int64_t[]){ROW}, 1, xs, TG_I64, NULL, 0, ys), TG_OK);
}

static void close_all(void)
{
    tg_dataset_close(data);
    folder_close();
}

static tg_loader *loader_of(tg_loader_options o)
{
    tg_loader *l;
    ck_assert_msg(tg_loader_open(&l, rt, data, &o) == TG_OK, "%s", tg_error_message());
    return l;
}

/* One epoch: labels in order into `seen`; each row must be its label's. Returns how many examples. */
static int epoch(tg_loader *l, int64_t *seen, int64_t *sizes)
{
    tg_batch b;
    int n = 0;
    int64_t batches = 0;
    while (tg_loader_next(l, tape, &b)) {
        ck_assert_int_eq(b.index, batches);
        ck_assert_int_eq(tg_tensor_dim(b.x, 0), b.size);
        ck_assert_int_eq(tg_tensor_dim(b.y, 0), b.size);
        double x[EXAMPLES * ROW];
        ck_assert_int_eq(tg_tensor_read(b.x, x, (size_t)b.size * ROW * sizeof *x), TG_OK);
        ck_assert_int_eq(tg_tensor_read(b.y, seen + n, (size_t)b.size * sizeof *seen), TG_OK);
        for (int64_t i = 0; i < b.size; i++)
            for (int j = 0; j < ROW; j++)
                ck_assert_double_eq(x[i * ROW + j], (double)(seen[n + i] * 10 + j));
        n += (int)b.size;
        if (sizes)
            sizes[batches] = b.size;
        batches++;
    }
    ck_assert_msg(tg_tape_status(tape) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_int_eq(batches, tg_loader_batches(l));
    return n;
}

static bool is_permutation(const int64_t *seen)
{
    bool there[EXAMPLES] = {false};
    for (int i = 0; i < EXAMPLES; i++) {
        if (seen[i] < 0 || seen[i] >= EXAMPLES || there[seen[i]])
            return false;
        there[seen[i]] = true;
    }
    return true;
}

START_TEST(in_order)
{
    int64_t seen[EXAMPLES], sizes[8];
    tg_loader *l = loader_of((tg_loader_options){.batch_size = 5, .prefetch = _i});
    for (int e = 0; e < 3; e++) {
        ck_assert_int_eq(epoch(l, seen, sizes), EXAMPLES);
        for (int i = 0; i < EXAMPLES; i++)
            ck_assert_int_eq(seen[i], i);
        ck_assert_int_eq(sizes[4], 3);
    }
    tg_loader_close(l);
}
END_TEST

START_TEST(last_batches)
{
    static const struct {
        int64_t batch;
        tg_last_batch last;
        int64_t batches, largest, total;
    } rows[] = {
        {5, TG_LAST_KEEP, 5, 5, 23},   {5, TG_LAST_DROP, 4, 5, 20},    {5, TG_LAST_MERGE, 5, 5, 23},
        {11, TG_LAST_KEEP, 3, 11, 23}, {11, TG_LAST_DROP, 2, 11, 22},  {11, TG_LAST_MERGE, 2, 12, 23},
        {23, TG_LAST_KEEP, 1, 23, 23}, {22, TG_LAST_MERGE, 1, 23, 23}, {40, TG_LAST_KEEP, 1, 23, 23},
        {23, TG_LAST_DROP, 1, 23, 23}, {40, TG_LAST_MERGE, 1, 23, 23}, {1, TG_LAST_KEEP, 23, 1, 23},
        {1, TG_LAST_MERGE, 23, 1, 23},
    };
    for (size_t k = 0; k < 2 * sizeof rows / sizeof *rows; k++) {
        int64_t seen[EXAMPLES], sizes[EXAMPLES] = {0}, largest = 0;
        tg_loader *l = loader_of((tg_loader_options){
            .batch_size = rows[k / 2].batch, .last = rows[k / 2].last, .prefetch = k % 2});
        ck_assert_int_eq(tg_loader_batches(l), rows[k / 2].batches);
        for (int e = 0; e < 2; e++)
            ck_assert_int_eq(epoch(l, seen, sizes), rows[k / 2].total);
        for (int i = 0; i < EXAMPLES; i++)
            largest = sizes[i] > largest ? sizes[i] : largest;
        ck_assert_int_eq(largest, rows[k / 2].largest);
        tg_loader_close(l);
    }
}
END_TEST

START_TEST(the_order_is_a_function_of_seed_and_epoch)
{
    int64_t a[3][EXAMPLES], b[EXAMPLES], first[EXAMPLES];
    tg_loader *l = loader_of((tg_loader_options){.batch_size = 4, .shuffle = true, .seed = 5});
    for (int e = 0; e < 3; e++) {
        epoch(l, a[e], NULL);
        ck_assert(is_permutation(a[e]));
    }
    ck_assert_mem_ne(a[0], a[1], sizeof *a);
    ck_assert_mem_ne(a[1], a[2], sizeof *a);
    ck_assert_int_eq(tg_loader_seek(l, 1), TG_OK);
    epoch(l, b, NULL);
    ck_assert_mem_eq(a[1], b, sizeof b);
    tg_loader_close(l);
    /* The same with prefetching, another batch size, and a jump in the middle of an epoch. */
    l = loader_of((tg_loader_options){.batch_size = 7, .shuffle = true, .seed = 5, .prefetch = true});
    epoch(l, b, NULL);
    ck_assert_mem_eq(a[0], b, sizeof b);
    tg_batch batch;
    for (int i = 0; i < 50; i++) {
        for (int k = 0; k < i % 4; k++)
            ck_assert(tg_loader_next(l, tape, &batch));
        ck_assert_int_eq(tg_loader_seek(l, i % 3), TG_OK);
        epoch(l, b, NULL);
        ck_assert_mem_eq(a[i % 3], b, sizeof b);
    }
    tg_loader_close(l);
    l = loader_of((tg_loader_options){.batch_size = 4, .shuffle = true, .seed = 6});
    epoch(l, first, NULL);
    ck_assert_mem_ne(a[0], first, sizeof first);
    tg_loader_close(l);
}
END_TEST

START_TEST(every_place_is_equally_likely)
{
    /* χ² over (example, place) in 4000 epochs: mean 22·22 degrees of freedom, far below 700. */
    static int count[EXAMPLES][EXAMPLES];
    int64_t seen[EXAMPLES];
    tg_loader *l = loader_of((tg_loader_options){.batch_size = EXAMPLES, .shuffle = true, .seed = 1});
    memset(count, 0, sizeof count);
    for (int e = 0; e < 4000; e++) {
        epoch(l, seen, NULL);
        for (int i = 0; i < EXAMPLES; i++)
            count[seen[i]][i]++;
    }
    double expected = 4000.0 / EXAMPLES, chi = 0;
    for (int i = 0; i < EXAMPLES; i++)
        for (int j = 0; j < EXAMPLES; j++)
            chi += (count[i][j] - expected) * (count[i][j] - expected) / expected;
    ck_assert_double_lt(chi, 700);
    ck_assert_double_gt(chi, 300);
    tg_loader_close(l);
}
END_TEST

START_TEST(closing_early)
{
    tg_batch b;
    for (int i = 0; i < 100; i++) {
        tg_loader *l = loader_of((tg_loader_options){.batch_size = 2, .shuffle = true, .prefetch = true});
        for (int k = 0; k < i % 5; k++)
            ck_assert(tg_loader_next(l, tape, &b));
        tg_loader_close(l);
    }
    tg_loader_close(NULL);
}
END_TEST

START_TEST(later_epochs_allocate_nothing)
{
    int64_t seen[EXAMPLES];
    tg_loader *l = loader_of((tg_loader_options){.batch_size = 5, .shuffle = true, .prefetch = true});
    epoch(l, seen, NULL);
    long calls = rig_calls;
    epoch(l, seen, NULL);
    epoch(l, seen, NULL);
    ck_assert_int_eq(rig_calls, calls);
    tg_loader_close(l);
}
END_TEST

START_TEST(out_of_memory)
{
    long live = rig_live;
    tg_loader *l = NULL;
    tg_loader_options o = {.batch_size = 5, .shuffle = true, .prefetch = true};
    for (long k = 1; !l; k++) {
        rig_fail_at = rig_calls + k;
        tg_status status = tg_loader_open(&l, rt, data, &o);
        rig_fail_at = 0;
        ck_assert_int_eq(status, l ? TG_OK : TG_ENOMEM);
        if (!l)
            ck_assert_int_eq(rig_live, live);
    }
    tg_loader_close(l);
    tg_dataset *d = NULL;
    for (long k = 1; !d; k++) {
        rig_fail_at = rig_calls + k;
        tg_dataset_wrap(&d, rt, EXAMPLES, TG_F64, (int64_t[]){ROW}, 1, xs, TG_I64, NULL, 0, ys);
        rig_fail_at = 0;
    }
    tg_dataset_close(d);
    ck_assert_int_eq(rig_live, live);
}
END_TEST

START_TEST(options)
{
    tg_loader *l;
    tg_dataset *empty;
    ck_assert_int_eq(tg_loader_open(&l, rt, data, &(tg_loader_options){.batch_size = 0}), TG_EINVAL);
    ck_assert_int_eq(tg_loader_open(&l, rt, data, &(tg_loader_options){.batch_size = -1}), TG_EINVAL);
    ck_assert_int_eq(
        tg_loader_open(&l, rt, data, &(tg_loader_options){.batch_size = 1, .last = (tg_last_batch)7}),
        TG_EINVAL);
    failed_with(
        tg_loader_open(&l, rt, data, &(tg_loader_options){.batch_size = EXAMPLES + 1, .last = TG_LAST_DROP}),
        TG_EINVAL, "leaves no batch: the data set has 23 examples, a batch 24");
    ck_assert_ptr_null(l);
    ck_assert_int_eq(tg_loader_open(&l, rt, NULL, &(tg_loader_options){.batch_size = 1}), TG_EINVAL);
    ck_assert_int_eq(tg_dataset_wrap(&empty, rt, 0, TG_F64, (int64_t[]){3}, 1, NULL, TG_I64, NULL, 0, NULL),
                     TG_OK);
    ck_assert_int_eq(tg_loader_open(&l, rt, empty, &(tg_loader_options){.batch_size = 1}), TG_EINVAL);
    tg_dataset_close(empty);
    ck_assert_int_eq(tg_dataset_wrap(&empty, rt, 1, TG_F64, (int64_t[]){3}, 1, NULL, TG_I64, NULL, 0, NULL),
                     TG_EINVAL);
    ck_assert_int_eq(tg_dataset_wrap(&empty, rt, 1, TG_I64, (int64_t[]){3}, 1, xs, TG_I64, NULL, 0, ys),
                     TG_EDTYPE);
    ck_assert_int_eq(tg_dataset_wrap(&empty, rt, 1, TG_F64, (int64_t[]){3}, 1, xs, TG_BOOL, NULL, 0, ys),
                     TG_EDTYPE);
    ck_assert_int_eq(tg_dataset_wrap(&empty, rt, 1, TG_F64, (int64_t[]){-3}, 1, xs, TG_I64, NULL, 0, ys),
                     TG_ESHAPE);
    ck_assert_int_eq(tg_dataset_wrap(&empty, rt, -1, TG_F64, (int64_t[]){3}, 1, xs, TG_I64, NULL, 0, ys),
                     TG_EINVAL);
    ck_assert_ptr_null(empty);
    ck_assert_int_eq(tg_loader_seek(NULL, 0), TG_EINVAL);
    l = loader_of((tg_loader_options){.batch_size = 1});
    ck_assert_int_eq(tg_loader_seek(l, -1), TG_EINVAL);
    tg_loader_close(l);
}
END_TEST

/* A tape with an error stops the loop; the loader goes on where it was. */
START_TEST(a_sticky_error_stops)
{
    tg_batch b;
    tg_loader *l = loader_of((tg_loader_options){.batch_size = 5, .prefetch = _i});
    ck_assert(tg_loader_next(l, tape, &b));
    tg_add(tape, b.x, tg_input(tape, TG_F64, DIMS(7), NULL));
    ck_assert(!tg_loader_next(l, tape, &b));
    ck_assert_ptr_null(b.x);
    ck_assert_int_eq(tg_tape_status(tape), TG_ESHAPE);
    tg_tape_clear_error(tape);
    ck_assert(tg_loader_next(l, tape, &b));
    ck_assert_int_eq(b.index, 1);
    tg_loader_close(l);
}
END_TEST

/* -- a function as a data set ---------------------------------------------------------------------------- */
static atomic_int broken;

static tg_status fetch(void *arg, int64_t index, void *x, void *y)
{
    (void)arg;
    if (index == atomic_load(&broken))
        return TG_EIO;
    memcpy(x, xs + index * ROW, ROW * sizeof *xs);
    memcpy(y, ys + index, sizeof *ys);
    return TG_OK;
}

START_TEST(a_function)
{
    int64_t seen[EXAMPLES];
    tg_dataset *d;
    tg_loader *l;
    tg_batch b;
    ck_assert_int_eq(
        tg_dataset_open_fetch(&d, rt, EXAMPLES, TG_F64, (int64_t[]){ROW}, 1, TG_I64, NULL, 0, NULL, NULL),
        TG_EINVAL);
    ck_assert_int_eq(
        tg_dataset_open_fetch(&d, rt, EXAMPLES, TG_F64, (int64_t[]){ROW}, 1, TG_I64, NULL, 0, fetch, NULL),
        TG_OK);
    atomic_store(&broken, 12);
    ck_assert_int_eq(tg_loader_open(&l, rt, d, &(tg_loader_options){.batch_size = 5, .prefetch = _i}), TG_OK);
    for (int i = 0; i < 2; i++)
        ck_assert(tg_loader_next(l, tape, &b));
    /* It comes where the batch is due, not earlier. */
    for (int again = 0; again < 2; again++) {
        ck_assert(!tg_loader_next(l, tape, &b));
        ck_assert_int_eq(tg_tape_status(tape), TG_EIO);
        ck_assert_ptr_nonnull(strstr(tg_tape_error(tape), "example 12"));
        tg_tape_clear_error(tape);
    }
    atomic_store(&broken, -1);
    ck_assert_int_eq(tg_loader_seek(l, 0), TG_OK);
    ck_assert_int_eq(epoch(l, seen, NULL), EXAMPLES);
    tg_loader_close(l);
    tg_dataset_close(d);
}
END_TEST

/* -- files ----------------------------------------------------------------------------------------------- */
static void write_idx(const char *path, unsigned char rank, unsigned char n, const unsigned char *values,
                      size_t count)
{
    unsigned char bytes[256] = {0, 0, 8, rank, 0, 0, 0, n, 0, 0, 0, 2, 0, 0, 0, 2};
    memcpy(bytes + 4 + 4 * rank, values, count);
    write_whole(path, bytes, 4u + 4u * rank + count);
}

START_TEST(images_and_labels)
{
    static const unsigned char pixels[] = {0, 255, 51, 102, 10, 20, 30, 40, 255, 255, 0, 0},
                               labels[] = {1, 0, 2};
    write_idx(in_folder("x"), 3, 3, pixels, sizeof pixels);
    write_idx(in_folder("y"), 1, 3, labels, sizeof labels);
    tg_dataset *d;
    tg_loader *l;
    tg_batch b;
    int64_t dims[TG_MAX_DIM];
    ck_assert_msg(tg_dataset_open_idx(&d, rt, in_folder("x"), in_folder("y"), NULL, 3) == TG_OK, "%s",
                  tg_error_message());
    ck_assert_int_eq(tg_dataset_size(d), 3);
    ck_assert_uint_eq(tg_dataset_shape(d, dims), 2);
    ck_assert_int_eq(dims[1], 2);
    double mean = 0, square = 0;
    for (size_t i = 0; i < sizeof pixels; i++)
        mean += pixels[i] / 255.0 / sizeof pixels;
    for (size_t i = 0; i < sizeof pixels; i++)
        square += (pixels[i] / 255.0 - mean) * (pixels[i] / 255.0 - mean) / sizeof pixels;
    tg_normalise s = tg_dataset_statistics(d);
    ck_assert_double_eq_tol(s.mean, mean, 1e-15);
    ck_assert_double_eq_tol(s.std, sqrt(square), 1e-15);
    tg_dataset_set_normalise(d, (tg_normalise){0.25, 0.5});
    ck_assert_int_eq(tg_loader_open(&l, rt, d, &(tg_loader_options){.batch_size = 3}), TG_OK);
    ck_assert(tg_loader_next(l, tape, &b));
    ck_assert_int_eq(tg_tensor_ndim(b.x), 3);
    double x[12];
    int64_t y[3];
    get(b.x, x, 12);
    for (int i = 0; i < 12; i++)
        ck_assert_double_eq(x[i], (pixels[i] / 255.0 - 0.25) / 0.5);
    ck_assert_int_eq(tg_tensor_read(b.y, y, sizeof y), TG_OK);
    ck_assert(y[0] == 1 && y[1] == 0 && y[2] == 2);
    tg_loader_close(l);
    ck_assert_int_eq(tg_runtime_set_dtype(rt, TG_F32), TG_OK);
    ck_assert_int_eq(tg_loader_open(&l, rt, d, &(tg_loader_options){.batch_size = 3, .flatten = true}),
                     TG_OK);
    ck_assert(tg_loader_next(l, tape, &b));
    ck_assert_int_eq(tg_tensor_ndim(b.x), 2);
    ck_assert_int_eq(tg_tensor_dim(b.x, 1), 4);
    ck_assert_int_eq(tg_tensor_dtype(b.x), TG_F32);
    tg_loader_close(l);
    tg_dataset_close(d);
    ck_assert_int_eq(tg_dataset_open_idx(&d, rt, in_folder("x"), in_folder("y"), NULL, 2), TG_EINDEX);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "label 2 of example 2"));
    write_idx(in_folder("y2"), 1, 2, labels, 2);
    ck_assert_int_eq(tg_dataset_open_idx(&d, rt, in_folder("x"), in_folder("y2"), NULL, 0), TG_ESHAPE);
    ck_assert_int_eq(tg_dataset_open_idx(&d, rt, in_folder("x"), in_folder("x"), NULL, 0), TG_ESHAPE);
    ck_assert_int_eq(tg_dataset_open_idx(&d, rt, in_folder("x"), in_folder("none"), NULL, 0), TG_EIO);
    ck_assert_ptr_null(d);
}
END_TEST

/* -- accuracy -------------------------------------------------------------------------------------------- */
START_TEST(accuracy)
{
    double logits[] = {1, 2, 3, 5, 4, 4, 0, 0, 0, -1, -2, -3}, value;
    int64_t labels[] = {2, 0, 0, 1};
    tg_tensor *x = input((int64_t[]){4, 3}, 2, logits), *y = tg_input(tape, TG_I64, DIMS(4), labels);
    size_t nodes = tg_tape_size(tape);
    ck_assert_msg(tg_accuracy(tape, x, y, &value) == TG_OK, "%s", tg_tape_error(tape));
    ck_assert_double_eq(value, 0.75); /* the first of equal maxima counts */
    ck_assert_uint_eq(tg_tape_size(tape), nodes);
    ck_assert(tg_tape_recording(tape));
    ck_assert_int_eq(tg_accuracy(tape, y, y, &value), TG_ESHAPE);
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_accuracy(tape, x, x, &value), TG_EDTYPE);
    tg_tape_clear_error(tape);
    ck_assert_int_eq(tg_accuracy(tape, x, y, NULL), TG_EINVAL);
    tg_tape_clear_error(tape);
}
END_TEST

/* Images of sizes whose product overflows are no data set, even where there are none of them. */
START_TEST(images_too_large)
{
    static const unsigned char images[20] = {0, 0, 8, 4, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
                                             255, 255, 255, 255},
                               labels[8] = {0, 0, 8, 1};
    tg_dataset *d;
    write_whole(in_folder("x"), images, sizeof images);
    write_whole(in_folder("y"), labels, sizeof labels);
    ck_assert_int_eq(tg_dataset_open_idx(&d, rt, in_folder("x"), in_folder("y"), NULL, 0), TG_ESHAPE);
    ck_assert_ptr_null(d);
}
END_TEST

static tg_status never(void *arg, int64_t index, void *x, void *y)
{
    (void)arg, (void)index, (void)x, (void)y;
    return TG_EIO;
}

START_TEST(sizes_that_overflow)
{
    tg_dataset *d;
    tg_loader *l;
    ck_assert_int_eq(
        tg_dataset_open_fetch(&d, rt, (int64_t)1 << 61, TG_F64, NULL, 0, TG_I64, NULL, 0, never, NULL), TG_OK);
    ck_assert_int_eq(tg_loader_open(&l, rt, d, &(tg_loader_options){.batch_size = 8, .shuffle = true}),
                     TG_EINVAL);
    ck_assert_int_eq(tg_loader_open(&l, rt, d, &(tg_loader_options){.batch_size = (int64_t)1 << 60}),
                     TG_ESHAPE);
    ck_assert_ptr_null(l);
    ck_assert_int_eq(tg_loader_open(&l, rt, d, &(tg_loader_options){.batch_size = 8}), TG_OK);
    tg_loader_close(l);
    tg_dataset_close(d);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("loader");
    TCase *t = tcase_create("loader");
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_add_loop_test(t, in_order, 0, 2);
    tcase_add_test(t, last_batches);
    tcase_add_test(t, the_order_is_a_function_of_seed_and_epoch);
    tcase_add_test(t, every_place_is_equally_likely);
    tcase_add_test(t, closing_early);
    tcase_add_test(t, later_epochs_allocate_nothing);
    tcase_add_test(t, out_of_memory);
    tcase_add_test(t, options);
    tcase_add_test(t, images_too_large);
    tcase_add_test(t, sizes_that_overflow);
    tcase_add_loop_test(t, a_sticky_error_stops, 0, 2);
    tcase_add_loop_test(t, a_function, 0, 2);
    tcase_add_test(t, images_and_labels);
    tcase_add_test(t, accuracy);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
