/* From the second step on, our code allocates nothing: neither through the runtime's allocator nor behind its
 * back. What a vendor's library allocates inside is counted and told. */
#include "support/check_main.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include <tapegrad/tapegrad.h>

#include "memory/allocator.h"

/* -- every malloc of the process ------------------------------------------------------------------------ */

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define WATCHES_MALLOC 1
enum { MAX_CALLERS = 4096 };
static atomic_bool watching;
static atomic_uint n_callers;
static void *callers[MAX_CALLERS];

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
void *memalign(size_t align, size_t size);
int posix_memalign(void **out, size_t align, size_t size);

static void seen(void *caller)
{
    if (!atomic_load(&watching))
        return;
    unsigned i = atomic_fetch_add(&n_callers, 1);
    if (i < MAX_CALLERS)
        callers[i] = caller;
}

void *malloc(size_t size)
{
    seen(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    seen(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    seen(__builtin_return_address(0));
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    seen(__builtin_return_address(0));
    return __libc_memalign(align, size);
}

void *memalign(size_t align, size_t size)
{
    seen(__builtin_return_address(0));
    return __libc_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    seen(__builtin_return_address(0));
    *out = __libc_memalign(align, size);
    return *out ? 0 : ENOMEM;
}

/* libblis, libgomp: theirs. All else is ours, libc on our behalf included. */
static bool is_vendor(void *caller)
{
    Dl_info info;
    const char *name = dladdr(caller, &info) && info.dli_fname ? strrchr(info.dli_fname, '/') : NULL;
    return name &&
           (!strncmp(name, "/libblis", 8) || !strncmp(name, "/libgomp", 8) || !strncmp(name, "/libdnnl", 8) ||
            !strncmp(name, "/libomp", 7) || !strncmp(name, "/ld-linux", 9));
}
#endif

/* -- an mlp --------------------------------------------------------------------------------------------- */

enum { BATCH = 16, IN = 20, HIDDEN = 32, OUT = 10, STEPS = 6 };

typedef struct world {
    counter count;
    tg_runtime *rt;
    tg_tape *tape;
    tg_module *net;
    tg_optimizer *optimizer;
    float x[BATCH * IN];
    int64_t y[BATCH];
} world;

static bool open_world(world *w, const char *backend)
{
    tg_allocator allocator = counter_allocator(&w->count);
    tg_runtime_options options = {
        .struct_size = sizeof options, .backend = backend, .allocator = &allocator, .seed = 1};
    if (tg_runtime_open(&w->rt, &options) != TG_OK)
        return false;
    ck_assert_int_eq(tg_tape_open(&w->tape, w->rt), TG_OK);
    w->net = tg_nn_sequential(w->rt, tg_nn_linear(w->rt, IN, HIDDEN), tg_nn_batch_norm1d(w->rt, HIDDEN),
                              tg_nn_relu(w->rt), tg_nn_dropout(w->rt, 0.3), tg_nn_linear(w->rt, HIDDEN, OUT));
    ck_assert_msg(w->net != NULL, "%s", tg_error_message());
    tg_adam_options adam = tg_adam_defaults();
    w->optimizer = tg_optim_adam(w->rt, tg_module_parameters(w->net), &adam);
    ck_assert_msg(w->optimizer != NULL, "%s", tg_error_message());
    for (int i = 0; i < BATCH * IN; i++)
        w->x[i] = (float)((i * 37) % 101) / 50.0f - 1.0f;
    for (int i = 0; i < BATCH; i++)
        w->y[i] = i % OUT;
    return true;
}

static void close_world(world *w)
{
    tg_optimizer_destroy(w->optimizer);
    tg_module_destroy(w->net);
    tg_tape_close(w->tape);
    tg_runtime_close(w->rt);
    ck_assert_int_eq(atomic_load(&w->count.live), 0);
}

/* Without assertions: Check allocates in each. */
static tg_status step(world *w)
{
    double norm, accuracy;
    tg_tape *t = w->tape;
    tg_tape_reset(t);
    tg_module_train(w->net);
    tg_tensor *x = tg_input(t, TG_F32, (int64_t[]){BATCH, IN}, 2, w->x);
    tg_tensor *y = tg_input(t, TG_I64, (int64_t[]){BATCH}, 1, w->y);
    tg_tensor *out = tg_forward(t, w->net, x);
    tg_backward(t, tg_cross_entropy(t, out, y));
    tg_clip_grad_norm(t, tg_module_parameters(w->net), 1.0, &norm);
    tg_optimizer_step(w->optimizer, t);
    tg_module_eval(w->net);
    bool recording = tg_tape_set_recording(t, false);
    tg_accuracy(t, tg_forward(t, w->net, x), y, &accuracy);
    tg_tape_set_recording(t, recording);
    return tg_tape_status(t);
}

static void check_steady(const char *backend)
{
    world w = {.count = {0}};
    ck_assert(open_world(&w, backend));
    tg_status status = step(&w);
    long before = atomic_load(&w.count.calls);
#ifdef WATCHES_MALLOC
    atomic_store(&n_callers, 0);
    atomic_store(&watching, true);
#endif
    for (int i = 1; i < STEPS && !status; i++)
        status = step(&w);
    long after = atomic_load(&w.count.calls);
#ifdef WATCHES_MALLOC
    atomic_store(&watching, false);
    unsigned n = atomic_load(&n_callers), ours = 0;
    void *first = NULL;
    for (unsigned i = 0; i < n && i < MAX_CALLERS; i++)
        if (!is_vendor(callers[i])) {
            first = first ? first : callers[i];
            ours++;
        }
    ck_assert_msg(status == TG_OK, "%s", tg_tape_error(w.tape));
    fprintf(stderr, "%s: %u allocations in %d steps inside the vendor's libraries, %u in our code\n", backend,
            n - ours, STEPS - 1, ours);
    Dl_info info = {0};
    if (first)
        dladdr(first, &info);
    close_world(&w);
    ck_assert_msg(ours == 0, "%s: %u allocations behind the allocator's back, the first from %s+0x%zx",
                  backend, ours, info.dli_fname ? info.dli_fname : "?",
                  first ? (size_t)((char *)first - (char *)info.dli_fbase) : 0);
#else
    close_world(&w);
#endif
    ck_assert_msg(after == before, "%s: %ld allocations after the first step", backend, after - before);
}

START_TEST(nothing_after_the_first_step_on_reference)
{
    check_steady("reference");
}
END_TEST

START_TEST(nothing_after_the_first_step_on_blis)
{
    tg_runtime *rt = NULL;
    tg_runtime_options options = {.struct_size = sizeof options, .backend = "blis"};
    if (tg_runtime_open(&rt, &options) != TG_OK)
        TG_SKIP("no blis here: %s", tg_error_message());
    tg_runtime_close(rt);
    check_steady("blis");
}
END_TEST

/* Two shapes in turn: the second time that a shape comes, nothing is new. */
START_TEST(two_shapes_in_turn)
{
    world w = {.count = {0}};
    ck_assert(open_world(&w, "reference"));
    long before = 0;
    for (int i = 0; i < 8; i++) {
        if (i == 4)
            before = atomic_load(&w.count.calls);
        int64_t n = i % 2 ? BATCH : BATCH / 2;
        tg_tape_reset(w.tape);
        tg_tensor *x = tg_input(w.tape, TG_F32, (int64_t[]){n, IN}, 2, w.x);
        tg_tensor *y = tg_input(w.tape, TG_I64, &n, 1, w.y);
        tg_backward(w.tape, tg_cross_entropy(w.tape, tg_forward(w.tape, w.net, x), y));
        tg_optimizer_step(w.optimizer, w.tape);
        ck_assert_msg(tg_tape_status(w.tape) == TG_OK, "%s", tg_tape_error(w.tape));
    }
    long after = atomic_load(&w.count.calls);
    close_world(&w);
    ck_assert_int_eq(after, before);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("steady memory");
    TCase *c = tcase_create("steady");
    tcase_add_test(c, nothing_after_the_first_step_on_reference);
    tcase_add_test(c, nothing_after_the_first_step_on_blis);
    tcase_add_test(c, two_shapes_in_turn);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
