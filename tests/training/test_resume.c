/* A training run in a file: every optimizer and every scheduler of the registries goes on from it bit for
 * bit. */
#include "training/files.h"

enum { EXAMPLES = 14, FEATURES = 5, CLASSES = 3, BATCH = 4, BEFORE = 5, AFTER = 7, MOST_ENTRIES = 9 };

static double rows[EXAMPLES * FEATURES];
static int64_t labels[EXAMPLES];

/* What a program has of its own, made anew by open_run(). */
typedef struct run {
    tg_module *net;
    tg_optimizer *optimizer;
    tg_scheduler *scheduler;
    tg_averaged_model *average;
    tg_dataset *data;
    tg_loader *loader;
    int64_t steps;
    double best;
    tg_named_tensors first, second; /* groups of parameters */
    const char *name[2][8];
    tg_tensor *tensor[2][8];
    tg_saved entries[MOST_ENTRIES];
    size_t n;
} run;

/* -- making one ------------------------------------------------------------------------------------------ */
static tg_module *layer(const char *name, const char *first, int64_t a, const char *second, int64_t b)
{
    tg_attr attrs[] = {{first, TG_ATTR_INT, {.i = a}}, {second, TG_ATTR_INT, {.i = b}}};
    tg_module *m = tg_module_create(rt, name, attrs, second ? 2 : first ? 1 : 0);
    ck_assert_msg(m != NULL, "%s", tg_error_message());
    return m;
}

static tg_module *make_net(void)
{
    tg_module *net = layer("Sequential", NULL, 0, NULL, 0);
    tg_module *parts[] = {
        layer("Linear", "in_features", FEATURES, "out_features", 4),
        layer("BatchNorm1d", "num_features", 4, NULL, 0),
        layer("Dropout", NULL, 0, NULL, 0),
        layer("Linear", "in_features", 4, "out_features", CLASSES),
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_int_eq(tg_nn_sequential_append(net, (const char *[]){"0", "1", "2", "3"}[i], parts[i]),
                         TG_OK);
    return net;
}

/* The last layer's parameters are a group of their own, where the class has groups; Muon takes matrices only.
 */
static void list_parameters(run *r, const char *optimizer)
{
    const tg_named_tensors *all = tg_module_parameters(r->net);
    const bool one = !strcmp(optimizer, "LBFGS");
    r->first = (tg_named_tensors){.name = r->name[0], .tensor = r->tensor[0]};
    r->second = (tg_named_tensors){.name = r->name[1], .tensor = r->tensor[1]};
    for (size_t i = 0; i < all->n; i++) {
        tg_desc d;
        ck_assert_int_eq(tg_tensor_desc(all->tensor[i], &d), TG_OK);
        if (!strcmp(optimizer, "Muon") && d.ndim != 2)
            continue;
        const int k = *all->name[i] == '3' && !one;
        tg_named_tensors *list = k ? &r->second : &r->first;
        r->name[k][list->n] = all->name[i];
        r->tensor[k][list->n++] = all->tensor[i];
    }
}

/* The class's defaults; or what it can do beside them. */
static size_t options_of(const char *name, bool more, tg_attr *out)
{
    size_t n = 0;
    for (const tg_attr_spec *s = tg_optim_attrs(name); more && s->name; s++) {
        const char *last = s->choices ? strrchr(s->choices, '|') : NULL;
        if (s->type == TG_ATTR_BOOL)
            out[n++] = (tg_attr){s->name, TG_ATTR_BOOL, {.b = true}};
        else if (!strcmp(s->name, "momentum"))
            out[n++] = (tg_attr){s->name, TG_ATTR_REAL, {.f = 0.9}};
        else if (!strcmp(s->name, "weight_decay"))
            out[n++] = (tg_attr){s->name, TG_ATTR_REAL, {.f = 0.01}};
        else if (last)
            out[n++] = (tg_attr){s->name, TG_ATTR_CHOICE, {.s = last + 1}};
        else if (!strcmp(s->name, "history_size"))
            out[n++] = (tg_attr){s->name, TG_ATTR_INT, {.i = 3}};
    }
    return n;
}

static void make_optimizer(run *r, const char *name, bool more)
{
    tg_attr attrs[16];
    const size_t n = options_of(name, more, attrs);
    list_parameters(r, name);
    r->optimizer = tg_optim_create(rt, name, &r->first, attrs, n);
    ck_assert_msg(r->optimizer != NULL, "%s", tg_error_message());
    if (r->second.n)
        ck_assert_msg(!tg_optimizer_add_group(r->optimizer, &r->second,
                                              (tg_attr[]){{"lr", TG_ATTR_REAL, {.f = 0.02}}}, 1),
                      "%s", tg_error_message());
}

static double falls(void *arg, int64_t epoch, size_t group)
{
    (void)arg;
    return 1 / (1 + 0.1 * (double)epoch + 0.01 * (double)group);
}

/* Any of the registry, made with what its table requires. */
static tg_scheduler *make_scheduler(tg_optimizer *o, const char *name)
{
    tg_attr attrs[16];
    size_t n = 0;
    if (!strcmp(name, "LambdaLR"))
        return tg_lr_lambda(o, falls, NULL);
    if (!strcmp(name, "MultiplicativeLR"))
        return tg_lr_multiplicative(o, falls, NULL);
    if (!strcmp(name, "SequentialLR"))
        return tg_lr_warmup(o, BEFORE + 2, 0.1, tg_lr_cosine_annealing_warm_restarts(o, 2, 2, 1e-4));
    if (!strcmp(name, "ChainedScheduler"))
        return tg_lr_chained(
            (tg_scheduler *[]){tg_lr_constant(o, 0.5, BEFORE + 1), tg_lr_exponential(o, 0.9)}, 2);
    for (const tg_attr_spec *s = tg_lr_attrs(name); s->name; s++) {
        if (!strcmp(s->name, "total_steps") || !strcmp(s->name, "patience"))
            attrs[n++] = (tg_attr){s->name, TG_ATTR_INT, {.i = *s->name == 't' ? 20 : 1}};
        if (!(s->flags & TG_ATTR_REQUIRED))
            continue;
        attrs[n] = (tg_attr){.name = s->name, .type = s->type};
        if (s->type == TG_ATTR_INT)
            attrs[n].as.i = 3;
        else if (s->type == TG_ATTR_REALS)
            attrs[n].as.reals = TG_REALS(0.02 * (double)(n + 1));
        else if (s->type == TG_ATTR_INTS)
            attrs[n].as.ints = (tg_ints){3, {2, BEFORE + 1, BEFORE + 3}};
        else
            attrs[n].as.f = 0.5;
        n++;
    }
    return tg_lr_create(o, name, attrs, n);
}

static void open_run(run *r, const char *optimizer, bool more, const char *scheduler)
{
    for (size_t i = 0; i < EXAMPLES * FEATURES; i++)
        rows[i] = noise(3, i);
    for (size_t i = 0; i < EXAMPLES; i++)
        labels[i] = (int64_t)(i * 5 % CLASSES);
    *r = (run){.net = make_net(), .best = INFINITY};
    make_optimizer(r, optimizer, more);
    r->scheduler = make_scheduler(r->optimizer, scheduler);
    ck_assert_msg(r->scheduler != NULL, "%s: %s", scheduler, tg_error_message());
    r->average = tg_averaged_model_new(r->net, 0.9, true);
    ck_assert_ptr_nonnull(r->average);
    ck_assert_int_eq(tg_dataset_wrap(&r->data, rt, EXAMPLES, TG_F64, (int64_t[]){FEATURES}, 1, rows, TG_I64,
                                     NULL, 0, labels),
                     TG_OK);
    /* On odd calls a thread gathers. */
    const tg_loader_options options = {
        .batch_size = BATCH, .shuffle = true, .seed = 5, .last = TG_LAST_MERGE, .prefetch = more};
    ck_assert_int_eq(tg_loader_open(&r->loader, rt, r->data, &options), TG_OK);
    const tg_saved entries[] = {
        {"model", .module = r->net},
        {"optimizer", .optimizer = r->optimizer},
        {"scheduler", .scheduler = r->scheduler},
        {"average", .average = r->average},
        {"generator", .tape = tape},
        {"data", .loader = r->loader},
        {"step", .integer = &r->steps},
        {"best", .real = &r->best},
    };
    r->n = sizeof entries / sizeof *entries;
    memcpy(r->entries, entries, sizeof entries);
}

static void close_run(run *r)
{
    tg_loader_close(r->loader);
    tg_dataset_close(r->data);
    tg_averaged_model_destroy(r->average);
    tg_scheduler_destroy(r->scheduler);
    tg_optimizer_destroy(r->optimizer);
    tg_module_destroy(r->net);
}

/* -- training -------------------------------------------------------------------------------------------- */
typedef struct evaluation {
    run *r;
    double x[6 * FEATURES];
    int64_t y[6], n;
} evaluation;

static tg_tensor *closure(void *arg, tg_tape *t)
{
    evaluation *e = arg;
    tg_tape_reset(t);
    tg_tensor *x = tg_input(t, TG_F64, DIMS(e->n, FEATURES), e->x),
              *y = tg_input(t, TG_I64, DIMS(e->n), e->y);
    tg_tensor *loss = tg_cross_entropy(t, tg_forward(t, e->r->net, x), y);
    return tg_backward(t, loss) ? NULL : loss;
}

static void train(run *r, int n)
{
    evaluation e = {.r = r};
    while (n > 0) {
        tg_batch b;
        if (!tg_loader_next(r->loader, tape, &b)) {
            ck_assert_msg(tg_tape_status(tape) == TG_OK, "%s", tg_tape_error(tape));
            continue;
        }
        double loss;
        e.n = b.size;
        ck_assert_int_eq(tg_tensor_read(b.x, e.x, (size_t)b.size * FEATURES * 8), TG_OK);
        ck_assert_int_eq(tg_tensor_read(b.y, e.y, (size_t)b.size * 8), TG_OK);
        ck_assert_msg(!tg_optimizer_step_closure(r->optimizer, tape, closure, &e, &loss), "%s",
                      tg_tape_error(tape));
        ck_assert_msg(!tg_averaged_model_update(r->average, tape), "%s", tg_tape_error(tape));
        ck_assert_msg(!tg_scheduler_step_metric(r->scheduler, loss), "%s", tg_error_message());
        r->best = loss < r->best ? loss : r->best;
        r->steps++;
        n--;
    }
}

static void save(const run *r, const char *name)
{
    ck_assert_msg(!tg_save(rt, in_folder(name), r->entries, r->n), "%s", tg_error_message());
}

static void load(const run *r, const char *name)
{
    ck_assert_msg(!tg_load(rt, in_folder(name), r->entries, r->n), "%s", tg_error_message());
}

static bool same_files(const char *a, const char *b)
{
    size_t n, m;
    unsigned char *x = read_whole(in_folder(a), &n), *y = read_whole(in_folder(b), &m);
    const bool same = n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

/* What else the program can ask for, beside what a file has. */
typedef struct seen {
    uint64_t model, average;
    double lr[2], state;
    int64_t steps, epoch, updates;
    tg_random_state random;
} seen;

static void look(const run *r, seen *s)
{
    memset(s, 0, sizeof *s);
    s->model = checksum(r->net);
    s->average = checksum(tg_averaged_module(r->average));
    for (size_t g = 0; g < tg_optimizer_n_groups(r->optimizer); g++)
        s->lr[g] = tg_optimizer_group_lr(r->optimizer, g);
    s->steps = tg_optimizer_steps(r->optimizer, "0.weight");
    s->epoch = tg_scheduler_last_epoch(r->scheduler);
    s->updates = tg_averaged_count(r->average);
    s->random = tg_tape_random_state(tape);
}

/* An allocator of its own for each runtime; another seed, so that nothing is right by chance. */
static void new_process(uint64_t seed)
{
    rig_close();
    ck_assert_msg(rig_open_runtime(TG_F64, 2, NULL) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(tg_seed(rt, seed), TG_OK);
    ck_assert_msg(tg_tape_open(&tape, rt) == TG_OK, "%s", tg_error_message());
}

static void goes_on(const char *optimizer, bool more, const char *scheduler, int before)
{
    run r;
    seen want, got, other;
    new_process(7);
    open_run(&r, optimizer, more, scheduler);
    save(&r, "begin");
    train(&r, before);
    save(&r, "middle");
    train(&r, AFTER);
    save(&r, "end");
    look(&r, &want);
    /* Back to the middle, and to the beginning, in the same objects: state that was not there yet goes. */
    load(&r, "middle");
    save(&r, "again");
    ck_assert_msg(same_files("middle", "again"), "%s, %s", optimizer, scheduler);
    train(&r, AFTER);
    save(&r, "again");
    ck_assert_msg(same_files("end", "again"), "%s, %s: in the same objects", optimizer, scheduler);
    load(&r, "begin");
    train(&r, before + AFTER);
    save(&r, "again");
    ck_assert_msg(same_files("end", "again"), "%s, %s: from the beginning", optimizer, scheduler);
    close_run(&r);

    new_process(8);
    open_run(&r, optimizer, more, scheduler);
    look(&r, &other);
    ck_assert_uint_ne(other.model, want.model);
    load(&r, "middle");
    ck_assert_int_eq(r.steps, before);
    train(&r, AFTER);
    look(&r, &got);
    ck_assert_msg(memcmp(&got, &want, sizeof got) == 0, "%s, %s: differs", optimizer, scheduler);
    save(&r, "again");
    ck_assert_msg(same_files("end", "again"), "%s, %s: in new objects", optimizer, scheduler);
    close_run(&r);
}

/* With defaults, and with all that can be switched on; after four steps, or one and more. */
START_TEST(every_optimizer)
{
    const char *names[32];
    const size_t n = tg_optim_list(names, 32);
    ck_assert_uint_gt(n, 0);
    for (size_t i = 0; i < n && i < 32; i++)
        for (int k = strcmp(names[i], "LBFGS") ? 6 : 0; k < 8; k++) /* its history grows */
            goes_on(names[i], k % 2, "StepLR", 1 + k / 2);
}
END_TEST

START_TEST(every_scheduler)
{
    const char *names[32];
    const size_t n = tg_lr_list(names, 32);
    ck_assert_uint_gt(n, 0);
    for (size_t i = 0; i < n && i < 32; i++)
        goes_on("SGD", true, names[i], BEFORE);
}
END_TEST

/* -- errors ---------------------------------------------------------------------------------------------- */
/* Loads what must fail into a run that has taken steps: nothing changes. */
static void refused(const run *r, const char *file, tg_status want, const char *text)
{
    save(r, "before");
    failed_with(tg_load(rt, in_folder(file), r->entries, r->n), want, text);
    save(r, "after");
    ck_assert_msg(same_files("before", "after"), "\"%s\" has changed something", text);
}

static void other_run(const char *optimizer, bool more, const char *scheduler)
{
    run r;
    open_run(&r, optimizer, more, scheduler);
    train(&r, 2);
    save(&r, "other");
    close_run(&r);
}

/* The file again without a tensor, or with another in its place. */
static void rewrite(const char *file, const char *without, const tg_file_tensor *instead,
                    const char *drop_key)
{
    static const char *const known[] = {"format",
                                        "class.model",
                                        "class.optimizer",
                                        "class.scheduler",
                                        "class.average",
                                        "class.generator",
                                        "class.data",
                                        "class.step",
                                        "class.best",
                                        "class.scheduler._schedulers.0",
                                        "class.scheduler._schedulers.1"};
    enum { KNOWN = sizeof known / sizeof *known };
    tg_safetensors *f;
    tg_file_tensor *all;
    const char *keys[KNOWN], *values[KNOWN];
    size_t n = 0, n_meta = 0;
    bool found = !without;
    ck_assert_int_eq(tg_safetensors_open(&f, rt, in_folder(file)), TG_OK);
    all = malloc((tg_safetensors_count(f) + 1) * sizeof *all);
    for (size_t i = 0; i < tg_safetensors_count(f); i++) {
        const tg_file_tensor *t = tg_safetensors_at(f, i);
        if (without && !strcmp(t->name, without))
            found = true;
        else
            all[n++] = *t;
    }
    ck_assert_msg(found, "%s", without);
    if (instead)
        all[n++] = *instead;
    for (size_t i = 0; i < KNOWN; i++)
        if (tg_safetensors_metadata(f, known[i]) && !(drop_key && !strcmp(drop_key, known[i]))) {
            keys[n_meta] = known[i];
            values[n_meta++] = tg_safetensors_metadata(f, known[i]);
        }
    ck_assert_msg(!tg_safetensors_write(rt, in_folder("other"), all, n, keys, values, n_meta), "%s",
                  tg_error_message());
    free(all);
    tg_safetensors_close(f);
}

START_TEST(wrong_files)
{
    run r;
    open_run(&r, "Adam", false, "StepLR");
    train(&r, 3);
    save(&r, "good");
    other_run("SGD", false, "StepLR");
    refused(&r, "other", TG_EFORMAT, "other: optimizer: is SGD in the file, expected Adam");
    other_run("Adam", false, "ExponentialLR");
    refused(&r, "other", TG_EFORMAT, "other: scheduler: is ExponentialLR in the file, expected StepLR");
    other_run("Adam", true, "StepLR"); /* amsgrad: the file says so, and it is taken over */
    load(&r, "other");
    load(&r, "good");

    rewrite("good", "optimizer.state.0.0.weight.exp_avg", NULL, NULL);
    refused(&r, "other", TG_EFORMAT, "other: optimizer.state.0.0.weight.exp_avg: is missing");
    rewrite("good", "model.3.bias", NULL, NULL);
    refused(&r, "other", TG_EFORMAT, "other: model.3.bias: is missing");
    double numbers[40] = {0};
    const tg_file_tensor wrong = {"optimizer.state.0.0.weight.exp_avg", TG_F64, 2, {FEATURES, 4}, numbers,
                                  sizeof(double) * 4 * FEATURES};
    rewrite("good", wrong.name, &wrong, NULL);
    refused(&r, "other", TG_ESHAPE, "exp_avg: is f64[5, 4] in the file, expected f64[4, 5]");
    const tg_file_tensor narrow = {"average.module.3.bias", TG_F32, 1, {CLASSES}, numbers,
                                   sizeof(float) * CLASSES};
    rewrite("good", narrow.name, &narrow, NULL);
    refused(&r, "other", TG_EDTYPE, "average.module.3.bias: is f32[3] in the file, expected f64[3]");
    const tg_file_tensor extra = {"optimizer.state.0.0.weight.more", TG_F64, 1, {1}, numbers, sizeof(double)};
    rewrite("good", NULL, &extra, NULL);
    refused(&r, "other", TG_EFORMAT, "optimizer.state.0.0.weight.more is unexpected");
    rewrite("good", NULL, NULL, "class.data");
    refused(&r, "other", TG_EFORMAT, "data: there is no such entry in the file, expected Loader");
    close_run(&r);
}
END_TEST

/* Values that no run can have. */
START_TEST(wrong_values)
{
    run r;
    open_run(&r, "Adam", false, "ReduceLROnPlateau");
    train(&r, 3);
    save(&r, "good");
    const double bad = -3, nan = NAN, bases[2] = {0.1, -1}, betas[2] = {0.9, 1.5};
    const int64_t less = -1, group[] = {0, 0, 0, 0, 1, 0}, steps[] = {3, 3, 3, -3, 3, 3};
    const int64_t place[] = {0, 99, 3, 5}, seed[] = {0, 1, 4, 5};
    const unsigned char used[] = {3, 3, 3, 3, 3, 8};
    const struct {
        tg_file_tensor t;
        tg_status status;
        const char *text;
    } cases[] = {
        {{"optimizer.param_groups.1.lr", TG_F64, 0, {0}, &bad, 8},
         TG_EINVAL,
         "param_groups.1: Adam: lr is -3"},
        {{"optimizer.param_groups.0.initial_lr", TG_F64, 0, {0}, &bad, 8}, TG_EINVAL, "initial_lr is -3"},
        {{"optimizer.param_groups.0.betas", TG_F64, 1, {2}, betas, 16}, TG_EINVAL, "beta2 is 1.5"},
        {{"optimizer.group", TG_I64, 1, {6}, group, 48},
         TG_EFORMAT,
         "parameter 5 (3.bias) is in group 0 in the file, expected group 1"},
        {{"optimizer.step", TG_I64, 1, {6}, steps, 48}, TG_EFORMAT, "parameter 3 (1.bias) took -3 steps"},
        {{"optimizer.used", TG_U8, 1, {6}, used, 6}, TG_EFORMAT, "with states 8"},
        {{"optimizer.step", TG_I64, 1, {5}, steps, 40},
         TG_ESHAPE,
         "optimizer.step: is i64[5] in the file, expected i64[6]"},
        {{"scheduler.T_cur", TG_F64, 0, {0}, &nan, 8}, TG_EFORMAT, "scheduler: T_cur is nan"},
        {{"scheduler.base_lrs", TG_F64, 1, {2}, bases, 16}, TG_EFORMAT, "the first rate of group 1 is -1"},
        {{"average.n_averaged", TG_I64, 0, {0}, &less, 8}, TG_EFORMAT, "-1 updates"},
        {{"data.position", TG_I64, 1, {4}, place, 32}, TG_EFORMAT, "data: is before batch 99"},
        {{"data.position", TG_I64, 1, {4}, seed, 32}, TG_EFORMAT, "expected 4 batches and seed 5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rewrite("good", cases[i].t.name, &cases[i].t, NULL);
        if (strstr(cases[i].text, "expected 4 batches")) {
            const int64_t other[] = {0, 1, 4, 6};
            tg_file_tensor t = cases[i].t;
            t.data = other;
            rewrite("good", t.name, &t, NULL);
        }
        refused(&r, "other", cases[i].status, cases[i].text);
    }
    close_run(&r);
}
END_TEST

START_TEST(other_groups)
{
    run r;
    open_run(&r, "Adam", false, "StepLR");
    train(&r, 1);
    tg_saved alone = {"optimizer", .optimizer = r.optimizer};
    ck_assert_int_eq(tg_save(rt, in_folder("two"), &alone, 1), TG_OK);
    list_parameters(&r, "LBFGS"); /* all in one list */
    alone.optimizer = tg_optim_adam(rt, &r.first, NULL);
    failed_with(tg_load(rt, in_folder("two"), &alone, 1), TG_EFORMAT,
                "two: optimizer: has 2 groups of parameters in the file, expected 1");
    ck_assert_int_eq(tg_optimizer_steps(alone.optimizer, "0.weight"), 0);
    ck_assert_double_eq(tg_optimizer_lr(alone.optimizer), 1e-3);
    ck_assert_int_eq(tg_save(rt, in_folder("one"), &alone, 1), TG_OK);
    tg_optimizer_destroy(alone.optimizer);
    alone.optimizer = r.optimizer;
    failed_with(tg_load(rt, in_folder("one"), &alone, 1), TG_EFORMAT,
                "has 1 groups of parameters in the file, expected 2");
    close_run(&r);
}
END_TEST

START_TEST(lbfgs_history)
{
    run r;
    tg_saved alone = {.name = "optimizer"};
    open_run(&r, "LBFGS", true, "StepLR");
    train(&r, 2);
    alone.optimizer = r.optimizer;
    ck_assert_int_eq(tg_save(rt, in_folder("three"), &alone, 1), TG_OK);
    alone.optimizer = tg_optim_lbfgs(rt, &r.first, NULL);
    failed_with(tg_load(rt, in_folder("three"), &alone, 1), TG_EFORMAT,
                "history_size is 3 in the file, expected 100");
    tg_optimizer_destroy(alone.optimizer);
    close_run(&r);
}
END_TEST

/* Cut at every length, or with garbage: an error each time, and nothing changes. */
START_TEST(cut_short)
{
    run r;
    size_t n;
    open_run(&r, "Adam", false, "StepLR");
    train(&r, 2);
    save(&r, "good");
    save(&r, "before");
    unsigned char *bytes = read_whole(in_folder("good"), &n);
    for (size_t length = 0; length < n; length += 1 + n / 97) {
        write_whole(in_folder("cut"), bytes, length);
        failed_with(tg_load(rt, in_folder("cut"), r.entries, r.n), TG_EFORMAT, "cut");
    }
    free(bytes);
    failed_with(tg_load(rt, in_folder("absent"), r.entries, r.n), TG_EIO, "absent");
    save(&r, "after");
    ck_assert(same_files("before", "after"));
    close_run(&r);
}
END_TEST

START_TEST(out_of_memory)
{
    run r;
    open_run(&r, "Adam", false, "SequentialLR");
    save(&r, "begin");
    train(&r, 2);
    save(&r, "good");
    load(&r, "begin");
    long failed = 0;
    for (tg_status status = TG_ENOMEM; status; failed++) {
        rig_fail_at = rig_calls + 1 + failed;
        status = tg_load(rt, in_folder("good"), r.entries, r.n);
        rig_fail_at = 0;
        ck_assert_msg(!status || status == TG_ENOMEM, "%s", tg_error_message());
        save(&r, "after");
        ck_assert(same_files(status ? "begin" : "good", "after"));
    }
    ck_assert_int_gt(failed, 5);
    failed = 0;
    for (tg_status status = TG_ENOMEM; status; failed++) {
        rig_fail_at = rig_calls + 1 + failed;
        status = tg_save(rt, in_folder("again"), r.entries, r.n);
        rig_fail_at = 0;
        ck_assert_msg(!status || status == TG_ENOMEM, "%s", tg_error_message());
    }
    ck_assert_int_gt(failed, 5);
    ck_assert(same_files("good", "again"));
    close_run(&r);
}
END_TEST

START_TEST(wrong_calls)
{
    int64_t i = 3;
    double x = 4;
    const tg_saved good = {"i", .integer = &i}, both = {"i", .integer = &i, .real = &x}, none = {.name = "i"},
                   dot = {"a.b", .integer = &i}, nameless = {.integer = &i},
                   twice[] = {good, {"x", .real = &x}, {"i", .real = &x}};
    failed_with(tg_save(rt, "x", &both, 1), TG_EINVAL, "tg_save: entry i has 2 objects, expected one");
    failed_with(tg_save(rt, "x", &none, 1), TG_EINVAL, "tg_save: entry i has 0 objects, expected one");
    failed_with(tg_load(rt, "x", &dot, 1), TG_EINVAL,
                "tg_load: entry 0 is called \"a.b\", expected a name without a dot");
    failed_with(tg_save(rt, "x", &nameless, 1), TG_EINVAL, "expected a name");
    failed_with(tg_save(rt, "x", twice, 3), TG_EINVAL, "entries 0 and 2 are both called i");
    failed_with(tg_save(NULL, "x", &good, 1), TG_EINVAL, "tg_save: the runtime is NULL");
    failed_with(tg_load(rt, NULL, &good, 1), TG_EINVAL, "tg_load: the path is NULL");
    failed_with(tg_save(rt, "x", NULL, 1), TG_EINVAL, "tg_save: the list of entries is NULL");
    tg_runtime *mine = rt, *other;
    ck_assert_int_eq(tg_runtime_open(&other, NULL), TG_OK);
    tg_module *net = make_net();
    failed_with(tg_save(other, "x", &(tg_saved){"m", .module = net}, 1), TG_EINVAL,
                "entry m belongs to another runtime");
    tg_runtime_close(other);
    rt = mine;
    tg_module_destroy(net);
    /* Entries of the file that are not asked for are left alone. */
    const tg_saved two[] = {good, {"x", .real = &x}};
    ck_assert_int_eq(tg_save(rt, in_folder("two"), two, 2), TG_OK);
    i = 0;
    x = 0;
    ck_assert_int_eq(tg_load(rt, in_folder("two"), &two[1], 1), TG_OK);
    ck_assert(i == 0 && x == 4);
    failed_with(tg_load(rt, in_folder("two"), &(tg_saved){"x", .integer = &i}, 1), TG_EFORMAT,
                "x: is real in the file, expected integer");
    ck_assert_int_eq(files_in_folder(), 1);
}
END_TEST

/* -- what was destroyed ---------------------------------------------------------------------------------- */
START_TEST(scheduler_without_its_optimizer)
{
    run r;
    open_run(&r, "SGD", false, "SequentialLR");
    tg_scheduler *plateau = tg_lr_reduce_on_plateau(r.optimizer, NULL),
                 *step = tg_lr_step(r.optimizer, 2, 0.5);
    tg_scheduler *gone = tg_lr_exponential(r.optimizer, 0.5);
    tg_scheduler_destroy(gone); /* before it: it is forgotten */
    tg_optimizer_destroy(r.optimizer);
    r.optimizer = NULL;
    failed_with(tg_scheduler_step(r.scheduler), TG_ESTALE, "SequentialLR: its optimizer was destroyed");
    failed_with(tg_scheduler_step(step), TG_ESTALE, "StepLR: its optimizer was destroyed");
    failed_with(tg_scheduler_step_metric(plateau, 1), TG_ESTALE,
                "ReduceLROnPlateau: its optimizer was destroyed");
    ck_assert_int_eq(tg_scheduler_last_epoch(step), 0);
    ck_assert_ptr_null(tg_lr_chained(&step, 1));
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "its optimizer was destroyed"));
    tg_scheduler_destroy(plateau);
    close_run(&r);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("going on from a file");
    TCase *t = tcase_create("the same bits");
    tcase_add_checked_fixture(t, folder_open, folder_close);
    tcase_set_timeout(t, 100);
    tcase_add_test(t, every_optimizer);
    tcase_add_test(t, every_scheduler);
    suite_add_tcase(s, t);
    t = tcase_create("errors");
    tcase_add_checked_fixture(t, folder_open, folder_close);
    tcase_add_test(t, wrong_files);
    tcase_add_test(t, wrong_values);
    tcase_add_test(t, other_groups);
    tcase_add_test(t, lbfgs_history);
    tcase_add_test(t, cut_short);
    tcase_add_test(t, out_of_memory);
    tcase_add_test(t, wrong_calls);
    tcase_add_test(t, scheduler_without_its_optimizer);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
