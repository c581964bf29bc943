/* The teams of OpenMP's threads inside the kernels, by the library that asks for them. A library linked to no runtime, or
 * to a second one, computes right results on one thread, or on too many, in silence.
 *
 * What gcc compiled calls GOMP_parallel, and finds the one below before the runtime's. What clang compiled calls its own
 * runtime, which tells a tool (OMPT). */
#include "support/check_main.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <threads.h>

#include <tapegrad/tapegrad.h>

#if HAVE_OMPT
#include <omp-tools.h>
#endif

enum { TEAM = 3, MAX_LIBRARIES = 32, MAX_THREADS = 16 };

typedef struct library {
    void *base;
    char name[128];
    atomic_int widest;               /* threads of one region, at the most */
    atomic_long thread[MAX_THREADS]; /* that were in any of its regions    */
} library;

static library libraries[MAX_LIBRARIES];
static atomic_int n_libraries, inside, most_inside;

static library *find_library(const void *address)
{
    Dl_info info = {0};
    if (!dladdr((void *)(uintptr_t)address, &info) || !info.dli_fname)
        return NULL;
    for (int i = 0; i < n_libraries; i++)
        if (libraries[i].base == info.dli_fbase)
            return &libraries[i];
    if (n_libraries == MAX_LIBRARIES)
        return NULL;
    library *l = &libraries[n_libraries++];
    const char *slash = strrchr(info.dli_fname, '/');
    l->base = info.dli_fbase;
    snprintf(l->name, sizeof l->name, "%s", slash ? slash + 1 : info.dli_fname);
    return l;
}

static library *library_of(const void *address)
{
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER; /* a region may begin within another */
    pthread_mutex_lock(&one);
    library *l = find_library(address);
    pthread_mutex_unlock(&one);
    return l;
}

static thread_local int depth; /* of regions around each other */

static void enter(library *l, int team)
{
    const long me = syscall(SYS_gettid);
    const bool outermost = depth++ == 0;
    const int now = atomic_fetch_add(&inside, outermost) + outermost;
    for (int most = most_inside; now > most && !atomic_compare_exchange_weak(&most_inside, &most, now);)
        ;
    for (int widest = l->widest; team > widest && !atomic_compare_exchange_weak(&l->widest, &widest, team);)
        ;
    for (int i = 0; i < MAX_THREADS; i++) {
        long nobody = 0;
        if (atomic_compare_exchange_strong(&l->thread[i], &nobody, me) || nobody == me)
            return;
    }
}

static void leave(void)
{
    atomic_fetch_sub(&inside, --depth == 0);
}

/* -- gcc ---------------------------------------------------------------------------------------------------------- */

typedef struct region {
    void (*body)(void *);
    void *data;
    library *owner;
    atomic_int members;
} region;

static void watched(void *arg)
{
    region *r = arg;
    enter(r->owner, atomic_fetch_add(&r->members, 1) + 1);
    r->body(r->data);
    leave();
}

void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags)
{
    void (*real)(void (*)(void *), void *, unsigned, unsigned);
    *(void **)&real = dlsym(RTLD_NEXT, "GOMP_parallel");
    region r = {.body = body, .data = data, .owner = library_of(__builtin_return_address(0))};
    if (r.owner)
        real(watched, &r, threads, flags);
    else
        real(body, data, threads, flags);
}

/* -- clang -------------------------------------------------------------------------------------------------------- */

#if HAVE_OMPT
static void region_begins(ompt_data_t *task, const ompt_frame_t *frame, ompt_data_t *parallel, unsigned asked, int flags,
                          const void *from)
{
    (void)task, (void)frame, (void)asked, (void)flags;
    parallel->ptr = library_of(from);
}

static void member(ompt_scope_endpoint_t endpoint, ompt_data_t *parallel, ompt_data_t *task, unsigned team, unsigned index,
                   int flags)
{
    (void)index;
    if (!(flags & ompt_task_implicit))
        return;
    if (endpoint == ompt_scope_begin && parallel && parallel->ptr) {
        task->value = 1;
        enter(parallel->ptr, (int)team);
    } else if (endpoint == ompt_scope_end && task->value) {
        task->value = 0;
        leave();
    }
}

static int begin(ompt_function_lookup_t look_up, int device, ompt_data_t *data)
{
    (void)device, (void)data;
    ompt_set_callback_t set;
    *(void **)&set = (void *)look_up("ompt_set_callback");
    set(ompt_callback_parallel_begin, (ompt_callback_t)region_begins);
    set(ompt_callback_implicit_task, (ompt_callback_t)member);
    return 1;
}

static void end(ompt_data_t *data)
{
    (void)data;
}

TG_API ompt_start_tool_result_t *ompt_start_tool(unsigned version, const char *runtime);
ompt_start_tool_result_t *ompt_start_tool(unsigned version, const char *runtime)
{
    (void)version, (void)runtime;
    static ompt_start_tool_result_t tool = {begin, end, {0}};
    return &tool;
}
#endif

/* -- the kernels ---------------------------------------------------------------------------------------------------- */

static void forget(void)
{
    memset(libraries, 0, sizeof libraries);
    n_libraries = most_inside = 0;
}

static tg_tensor *halves(tg_tape *tape, const int64_t *dim, size_t ndim)
{
    return tg_full(tape, TG_F32, dim, ndim, 0.5);
}

static void is(tg_tape *tape, tg_tensor *t, float expected)
{
    static float values[1 << 20];
    const size_t n = (size_t)tg_tensor_count(t);
    ck_assert_msg(tg_tensor_read(t, values, n * sizeof *values) == TG_OK, "%s", tg_tape_error(tape));
    size_t right = 0;
    for (size_t i = 0; i < n; i++)
        right += values[i] == expected;
    ck_assert_uint_eq(right, n);
}

/* A large product, a narrow one, a convolution, and something pointwise, on the backend. */
static void compute(const char *chain, const char *backend)
{
    tg_runtime *rt = NULL;
    tg_tape *tape = NULL;
    tg_runtime_options options = {.struct_size = sizeof options, .backend = chain, .threads = 1};
    ck_assert_msg(tg_runtime_open(&rt, &options) == TG_OK && tg_tape_open(&tape, rt) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(tg_tape_set_threads(tape, TEAM), TG_OK);
    for (int i = 0; i < 2; i++) {
        tg_tensor *x = halves(tape, (int64_t[]){600, 600}, 2), *a = halves(tape, (int64_t[]){48, 4096}, 2),
                  *image = halves(tape, (int64_t[]){8, 16, 34, 34}, 4), *w = halves(tape, (int64_t[]){16, 16, 3, 3}, 4);
        is(tape, tg_matmul(tape, x, x), 150);
        is(tape, tg_matmul(tape, a, tg_transpose(tape, a, 0, 1)), 1024);
        is(tape, tg_conv2d(tape, image, w, NULL, (int64_t[]){1, 1}, (int64_t[]){0, 0}, (int64_t[]){1, 1}, 1), 36);
        is(tape, tg_mul(tape, x, x), 0.25f);
    }
    ck_assert_uint_eq(tg_tape_count_runs(tape, "matmul", backend), 4);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "convolution", backend), 2);
    tg_tape_close(tape);
    tg_runtime_close(rt);
}

static int threads_of_this_process(void)
{
    int n = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *d; tasks && (d = readdir(tasks));)
        n += d->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    return n;
}

static void had_the_team(const char *name)
{
    for (int i = 0; i < n_libraries; i++) {
        const library *l = &libraries[i];
        int n = 0;
        while (n < MAX_THREADS && l->thread[n])
            n++;
        if (strncmp(l->name, name, strlen(name)) != 0)
            continue;
        ck_assert_msg(l->widest == TEAM && n == TEAM, "%s: %d threads in a region, %d in all, asked for %d", l->name,
                      l->widest, n, TEAM);
        return;
    }
    ck_abort_msg("%s had no parallel region", name);
}

static const struct {
    const char *chain, *backend, *library;
    bool have;
} rows[] = {
    {"reference", "reference", "libtapegrad.so", true},
    {"blis", "blis", "libblis.so", HAVE_BLIS},
    {"onednn", "onednn", "libdnnl.so", HAVE_ONEDNN},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

START_TEST(kernels_run_on_the_threads_asked_for)
{
    if (!rows[_i].have)
        TG_SKIP("built without %s", rows[_i].backend);
    forget();
    compute(rows[_i].chain, rows[_i].backend);
    had_the_team("libtapegrad.so"); /* mul */
    had_the_team(rows[_i].library);
    ck_assert_int_le(most_inside, TEAM);
}
END_TEST

/* All of them, by turns: regions one at a time, and one pool of threads for all. */
START_TEST(there_is_one_pool)
{
    forget();
    for (int i = 0; i < 2 * N_ROWS; i++)
        if (rows[i % N_ROWS].have)
            compute(rows[i % N_ROWS].chain, rows[i % N_ROWS].backend);
    ck_assert_int_eq(most_inside, TEAM);
    ck_assert_int_eq(threads_of_this_process(), TEAM);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("threads");
    TCase *t = tcase_create("team");
    tcase_add_loop_test(t, kernels_run_on_the_threads_asked_for, 0, N_ROWS);
    tcase_add_test(t, there_is_one_pool);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
