/* Each allocation of ours fails once, in turn: an error comes back, the state is what it was, the next try
 * succeeds with the same bits as if nothing had happened, and nothing leaks. */
#include "support/check_main.h"

#include <string.h>
#include <sys/stat.h>

#include <tapegrad/tapegrad.h>

#include "memory/allocator.h"

enum { BATCH = 6, IN = 5, HIDDEN = 7, OUT = 3, MAX_RUNS = 20000 };

typedef struct world {
    counter count;
    tg_allocator allocator;
    const char *backend;
    tg_runtime *rt;
    tg_tape *tape;
    tg_module *net, *linear, *loaded;
    tg_optimizer *optimizer;
    tg_scheduler *scheduler;
    tg_tensor *own;
    tg_dataset *dataset;
    tg_loader *loader;
    float x[BATCH * IN];
    int64_t y[BATCH];
    double norm;
    char path[256];
} world;

/* -- the stages: each leaves everything as it was where it fails ---------------------------------------- */

static tg_status open_runtime(world *w)
{
    tg_runtime_options options = {.struct_size = sizeof options,
                                  .backend = w->backend,
                                  .allocator = &w->allocator,
                                  .seed = 3,
                                  .threads = 1};
    tg_status status = tg_runtime_open(&w->rt, &options);
    if (status) {
        ck_assert_ptr_null(w->rt);
        ck_assert_int_eq(atomic_load(&w->count.live), 0);
    }
    return status;
}

static tg_status make_linear(world *w)
{
    w->linear = tg_nn_linear(w->rt, IN, OUT);
    return w->linear ? TG_OK : TG_ENOMEM;
}

/* Several calls: what those before the failed one drew, the caller takes back. */
static tg_status make_net(world *w)
{
    tg_random_state before = tg_runtime_random_state(w->rt);
    w->net =
        tg_nn_sequential(w->rt, tg_nn_linear(w->rt, IN, HIDDEN), tg_nn_batch_norm1d(w->rt, HIDDEN),
                         tg_nn_relu(w->rt), tg_nn_dropout(w->rt, 0.25), tg_nn_linear(w->rt, HIDDEN, OUT));
    if (!w->net)
        tg_runtime_set_random_state(w->rt, before);
    return w->net ? TG_OK : TG_ENOMEM;
}

static tg_status open_tape(world *w)
{
    return tg_tape_open(&w->tape, w->rt);
}

static tg_status make_optimizer(world *w)
{
    tg_adam_options adam = tg_adam_defaults();
    const tg_named_tensors *p = tg_module_parameters(w->net);
    w->optimizer = p ? tg_optim_adam(w->rt, p, &adam) : NULL;
    return w->optimizer ? TG_OK : TG_ENOMEM;
}

static tg_status make_scheduler(world *w)
{
    w->scheduler = tg_lr_step(w->optimizer, 1, 0.5);
    return w->scheduler ? TG_OK : TG_ENOMEM;
}

static tg_status make_tensor(world *w)
{
    return tg_tensor_create(&w->own, w->rt, TG_F32, (int64_t[]){3, 2}, 2);
}

static tg_status init_tensor(world *w)
{
    return tg_init_normal(w->own, 0.0, 1.0);
}

/* Forward, loss and backward as one transaction, so that a failed backward commits no statistics. */
static tg_status train(world *w)
{
    tg_tape *t = w->tape;
    tg_status status = tg_step_begin(t);
    if (status)
        return status;
    tg_tensor *x = tg_input(t, TG_F32, (int64_t[]){BATCH, IN}, 2, w->x);
    tg_tensor *y = tg_input(t, TG_I64, (int64_t[]){BATCH}, 1, w->y);
    status = tg_backward(t, tg_cross_entropy(t, tg_forward(t, w->net, x), y));
    if (status) {
        tg_step_rollback(t);
        return status;
    }
    status = tg_step_commit(t);
    if (status)
        tg_optimizer_zero_grad(w->optimizer);
    return status;
}

/* The same by itself: the outermost forward is the transaction. */
static tg_status forward_alone(world *w)
{
    tg_tensor *x = tg_input(w->tape, TG_F32, (int64_t[]){BATCH, IN}, 2, w->x);
    return tg_forward(w->tape, w->net, x) ? TG_OK : tg_tape_status(w->tape);
}

static tg_status clip(world *w)
{
    return tg_clip_grad_norm(w->tape, tg_module_parameters(w->net), 0.5, &w->norm);
}

static tg_status update(world *w)
{
    return tg_optimizer_step(w->optimizer, w->tape);
}

static tg_status schedule(world *w)
{
    return tg_scheduler_step(w->scheduler);
}

static tg_status evaluate(world *w)
{
    double accuracy;
    tg_module_eval(w->net);
    tg_tensor *x = tg_input(w->tape, TG_F32, (int64_t[]){BATCH, IN}, 2, w->x);
    tg_tensor *y = tg_input(w->tape, TG_I64, (int64_t[]){BATCH}, 1, w->y);
    tg_status status = tg_accuracy(w->tape, tg_forward(w->tape, w->net, x), y, &accuracy);
    tg_module_train(w->net);
    return status;
}

static tg_status second_order(world *w)
{
    tg_tape *t = w->tape;
    tg_tensor *p = tg_module_tensor(w->net, "4.weight"), *g = NULL, *h = NULL;
    tg_module_eval(w->net);
    tg_tensor *x = tg_input(t, TG_F32, (int64_t[]){BATCH, IN}, 2, w->x);
    tg_tensor *loss = tg_sum(t, tg_square(t, tg_forward(t, w->net, x)));
    tg_module_train(w->net);
    tg_status status = tg_grad(t, loss, NULL, &p, 1, &g, TG_CREATE_GRAPH);
    return status ? status : tg_grad(t, tg_sum(t, tg_square(t, g)), NULL, &p, 1, &h, 0);
}

static tg_tensor *twice(void *arg, tg_tape *tape, tg_tensor *grad)
{
    (void)arg;
    return tg_mul_scalar(tape, grad, 2);
}

/* Checkpoints, a hook, a carried value; the gradients are dropped again. */
static tg_status checkpointed(world *w)
{
    tg_tape *t = w->tape;
    tg_tensor *p = tg_module_tensor(w->net, "0.weight"), *carried = NULL;
    tg_status status = tg_step_begin(t);
    tg_hook hook = status ? 0 : tg_tensor_register_hook(p, twice, NULL);
    if (!hook) {
        tg_step_rollback(t);
        return TG_ENOMEM;
    }
    tg_tensor *x = tg_input(t, TG_F32, (int64_t[]){BATCH, IN}, 2, w->x);
    tg_tensor *y = tg_checkpoint_sequential(t, w->net, 2, x);
    status = tg_backward(t, y ? tg_sum(t, tg_square(t, y)) : NULL);
    carried = tg_carry(t, y);
    status = status || !carried ? tg_tape_status(t) : TG_OK;
    tg_tensor_remove_hook(p, hook);
    if (status)
        tg_step_rollback(t);
    else
        status = tg_step_commit(t);
    tg_optimizer_zero_grad(w->optimizer);
    return status;
}

static tg_status plan(world *w)
{
    tg_memory memory;
    tg_desc in = {.dtype = TG_F32, .ndim = 2, .dim = {BATCH, IN}};
    return tg_plan_module(w->net, NULL, &in, 1, &memory);
}

static tg_status hessian_vector(world *w)
{
    tg_tape *t = w->tape;
    tg_tensor *p = tg_module_tensor(w->net, "4.weight"), *h = NULL;
    tg_module_eval(w->net);
    tg_tensor *x = tg_input(t, TG_F32, (int64_t[]){BATCH, IN}, 2, w->x);
    tg_tensor *loss = tg_sum(t, tg_square(t, tg_forward(t, w->net, x)));
    tg_module_train(w->net);
    return tg_hvp(t, loss, &p, &p, 1, &h, 0);
}

static tg_status save(world *w)
{
    struct stat st;
    tg_status status = tg_module_save(w->net, w->path);
    if (status)
        ck_assert_int_ne(stat(w->path, &st), 0); /* no half a file */
    return status;
}

static tg_status load_state(world *w)
{
    return tg_module_load_state(w->net, w->path, true, NULL);
}

static tg_status load(world *w)
{
    w->loaded = tg_module_load(w->rt, w->path);
    return w->loaded ? TG_OK : TG_ENOMEM;
}

static tg_status cube(void *arg, tg_tape *t, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                      size_t n_out)
{
    (void)arg;
    (void)n_in;
    (void)n_out;
    out[0] = tg_mul(t, tg_square(t, in[0]), in[0]);
    return tg_tape_status(t);
}

static tg_status check_gradient(world *w)
{
    static const double value[2] = {0.5, -1.25};
    double now[2];
    tg_tensor *x = NULL;
    tg_status status = tg_tensor_create(&x, w->rt, TG_F64, (int64_t[]){2}, 1);
    if (!status)
        status = tg_tensor_write(x, value, sizeof value);
    if (!status)
        status = tg_tensor_set_requires_grad(x, true);
    if (!status)
        status = tg_gradcheck(w->tape, cube, NULL, &x, 1, 1, NULL);
    if (x && !tg_tensor_read(x, now, sizeof now)) /* perturbed, and put back, or never written */
        ck_assert(!memcmp(now, value, sizeof now) || (now[0] == 0.0 && now[1] == 0.0));
    tg_tensor_destroy(x);
    return status;
}

static tg_status open_dataset(world *w)
{
    return tg_dataset_wrap(&w->dataset, w->rt, BATCH, TG_F32, (int64_t[]){IN}, 1, w->x, TG_I64, NULL, 0,
                           w->y);
}

static tg_status open_loader(world *w)
{
    tg_loader_options options = {
        .struct_size = sizeof options, .batch_size = 4, .shuffle = true, .seed = 9, .last = TG_LAST_KEEP};
    return tg_loader_open(&w->loader, w->rt, w->dataset, &options);
}

static tg_status next_batch(world *w)
{
    tg_batch batch = {0};
    if (tg_loader_next(w->loader, w->tape, &batch)) {
        ck_assert_int_eq(batch.index, 0);
        ck_assert_int_eq(batch.size, 4);
        return TG_OK;
    }
    return tg_tape_status(w->tape) ? tg_tape_status(w->tape) : TG_EINVAL;
}

typedef struct stage {
    const char *name;
    tg_status (*run)(world *w);
} stage;

static const stage stages[] = {
    {"runtime", open_runtime},
    {"linear", make_linear},
    {"module", make_net},
    {"tensor", make_tensor},
    {"init", init_tensor},
    {"tape", open_tape},
    {"optimizer", make_optimizer},
    {"scheduler", make_scheduler},
    {"train", train},
    {"clip", clip},
    {"update", update},
    {"train again", train},
    {"update again", update},
    {"schedule", schedule},
    {"forward", forward_alone},
    {"evaluate", evaluate},
    {"second order", second_order},
    {"checkpoints", checkpointed},
    {"plan", plan},
    {"Hessian", hessian_vector},
    {"save", save},
    {"load state", load_state},
    {"load", load},
    {"gradient check", check_gradient},
    {"dataset", open_dataset},
    {"loader", open_loader},
    {"batch", next_batch},
};
enum { N_STAGES = sizeof stages / sizeof *stages };

/* -- one run -------------------------------------------------------------------------------------------- */

typedef struct snapshot {
    uint64_t module;
    tg_random_state tape, runtime;
    double lr;
} snapshot;

/* What reading allocates is not counted, or the failure would hit the test. */
static snapshot take(world *w)
{
    snapshot s = {0};
    long fail_at = w->count.fail_at, calls = atomic_load(&w->count.calls);
    w->count.fail_at = 0;
    if (w->net)
        ck_assert_int_eq(tg_module_checksum(w->net, &s.module), TG_OK);
    if (w->tape)
        s.tape = tg_tape_random_state(w->tape);
    if (w->rt)
        s.runtime = tg_runtime_random_state(w->rt);
    if (w->optimizer)
        s.lr = tg_optimizer_lr(w->optimizer);
    w->count.fail_at = fail_at;
    atomic_store(&w->count.calls, calls);
    return s;
}

static bool same(const snapshot *a, const snapshot *b)
{
    return a->module == b->module && a->tape.draw == b->tape.draw && a->tape.seed == b->tape.seed &&
           a->runtime.draw == b->runtime.draw && a->runtime.seed == b->runtime.seed && a->lr == b->lr;
}

static void run_stage(world *w, const stage *st)
{
    snapshot before = take(w);
    tg_status status = st->run(w);
    if (status == TG_OK)
        return;
    long number = w->count.fail_at;
    w->count.fail_at = 0;
    ck_assert_msg(status == TG_ENOMEM, "allocation %ld, %s: %s: %s", number, st->name, tg_status_name(status),
                  w->tape && tg_tape_status(w->tape) ? tg_tape_error(w->tape) : tg_error_message());
    ck_assert_msg(tg_error_message()[0], "allocation %ld, %s: no sentence", number, st->name);
    snapshot after = take(w);
    ck_assert_msg(same(&before, &after), "allocation %ld, %s: it failed, and changed the state", number,
                  st->name);
    if (w->tape) {
        tg_tape_clear_error(w->tape);
        tg_tape_reset(w->tape);
    }
    status = st->run(w);
    ck_assert_msg(status == TG_OK, "allocation %ld, %s: the next try failed, too: %s: %s", number, st->name,
                  tg_status_name(status), tg_error_message());
}

static void finish(world *w)
{
    tg_loader_close(w->loader);
    tg_dataset_close(w->dataset);
    tg_module_destroy(w->loaded);
    tg_module_destroy(w->linear);
    tg_scheduler_destroy(w->scheduler);
    tg_optimizer_destroy(w->optimizer);
    tg_tensor_destroy(w->own);
    tg_module_destroy(w->net);
    tg_tape_close(w->tape);
    tg_runtime_close(w->rt);
    remove(w->path);
}

/* The state at the end; *failed: whether an allocation did. */
static snapshot run(const char *backend, const char *folder, long fail_at, bool *failed)
{
    world w = {.backend = backend, .count = {.fail_at = fail_at}};
    w.allocator = counter_allocator(&w.count);
    snprintf(w.path, sizeof w.path, "%s/model.safetensors", folder);
    for (int i = 0; i < BATCH * IN; i++)
        w.x[i] = (float)((i * 29) % 17) / 8.0f - 1.0f;
    for (int i = 0; i < BATCH; i++)
        w.y[i] = i % OUT;
    for (size_t s = 0; s < N_STAGES; s++)
        run_stage(&w, &stages[s]);
    snapshot end = take(&w);
    *failed = atomic_load(&w.count.failed);
    finish(&w);
    ck_assert_msg(atomic_load(&w.count.live) == 0, "allocation %ld failed: %ld blocks leak", fail_at,
                  atomic_load(&w.count.live));
    return end;
}

static void fail_each(const char *backend)
{
    char folder[] = "failing-XXXXXX";
    bool failed = true;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snapshot good = run(backend, folder, 0, &failed);
    ck_assert(!failed);
    long n = 1;
    for (failed = true; failed && n < MAX_RUNS; n++) {
        snapshot end = run(backend, folder, n, &failed);
        ck_assert_msg(same(&good, &end), "allocation %ld failed: the end is another one than without", n);
    }
    remove(folder);
    fprintf(stderr, "%s: each of %ld allocations failed once\n", backend, n - 2);
    ck_assert_int_gt(n, 50);
    ck_assert_int_lt(n, MAX_RUNS);
}

START_TEST(each_allocation_fails_once_on_reference)
{
    fail_each("reference");
}
END_TEST

START_TEST(each_allocation_fails_once_on_blis)
{
    tg_runtime *rt = NULL;
    tg_runtime_options options = {.struct_size = sizeof options, .backend = "blis"};
    if (tg_runtime_open(&rt, &options) != TG_OK)
        TG_SKIP("no blis here: %s", tg_error_message());
    tg_runtime_close(rt);
    fail_each("blis");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("failing allocations");
    TCase *c = tcase_create("failing");
    tcase_add_test(c, each_allocation_fails_once_on_reference);
    tcase_add_test(c, each_allocation_fails_once_on_blis);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
