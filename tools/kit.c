/* `tapegrad kit`: does a backend do what the rows ask? Every kernel on every sample of its row, drawn plain, strided,
 * empty, with NaN, odd and large, forward and backward, in f32 and f64, against the reference in f64. */
#include "tools/kit.h"
#include "tools/tool.h"

#include <tapegrad/tapegrad.h>

#include <dlfcn.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/outcome.h"

const tg_backend *tg_reference_backend(void); /* backends/reference/, linked into this command */

enum { MANY = 4 }; /* threads against one */

typedef struct kit {
    char name[64], path[4096];
    const char *only; /* one operator's name; NULL: all */
    bool strict;      /* what is only noted fails, too   */
    const tg_backend *backend;
    tg_runtime *reference;
    tg_tape *oracle;
    bool terminal; /* somebody watches */
    size_t passed, failed, declined, notes;
} kit;

/* What comes next takes the place of the line that says what is being done. */
static void clear(const kit *k)
{
    if (k->terminal)
        fputs("\r\033[K", stderr);
}

static void fail(kit *k, const char *format, ...) TG_PRINTF(2, 3);
static void fail(kit *k, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    clear(k);
    fputs("FAIL ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    k->failed++;
}

static void note(kit *k, const char *format, ...) TG_PRINTF(2, 3);
static void note(kit *k, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    clear(k);
    fputs(k->strict ? "FAIL " : "note ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    k->notes++;
    k->failed += k->strict;
}

/* The plug-in's code may do anything, and the last line should say where. */
static char crash_case[300];
static void crashed(int number)
{
    char line[512];
    int n = snprintf(line, sizeof line, "\nFAIL %s: signal %d in %s\n", crash_case, number,
                     *guard_doing() ? guard_doing() : "the plug-in's code or the kit's");
    ssize_t done = write(STDOUT_FILENO, line, n > 0 ? (size_t)n : 0);
    _exit(done < 0 ? TOOL_USAGE : TOOL_FAILED);
}

/* -- finding the backend ------------------------------------------------------------------------------------------ */

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* PATH.so: its folder goes first in TAPEGRAD_BACKEND_PATH, and the loader checks the rest. */
static bool look_in_folder(kit *k, const char *path)
{
    char real[4096], list[8192];
    const char *before = getenv("TAPEGRAD_BACKEND_PATH");
    if (!realpath(path, real) || !ends_in(path, ".so")) {
        fail(k, "%s is no plug-in's file, NAME.so", path);
        return false;
    }
    char *slash = strrchr(real, '/');
    size_t n = strlen(slash + 1) - strlen(".so");
    snprintf(k->name, sizeof k->name, "%.*s", (int)(n < sizeof k->name ? n : sizeof k->name - 1), slash + 1);
    *slash = '\0';
    snprintf(list, sizeof list, "%s%s%s", real, before && *before ? ":" : "", before ? before : "");
    return setenv("TAPEGRAD_BACKEND_PATH", list, 1) == 0;
}

/* "" is the reference's path. */
static const tg_backend *entry_of(const char *path)
{
    if (!*path)
        return tg_reference_backend();
    void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    tg_backend_entry_fn entry = NULL;
    if (file)
        *(void **)&entry = dlsym(file, TG_BACKEND_ENTRY);
    return entry ? entry() : NULL;
}

static bool has_kernel(const tg_backend *b, const char *op)
{
    for (uint32_t i = 0; b && i < b->n_kernels; i++) {
        const void *kernel = (const char *)b->kernels + (size_t)i * b->kernel_stride;
        if (!strcmp(((const tg_kernel *)kernel)->op, op))
            return true;
    }
    return false;
}

static void check_exports(kit *k)
{
    char extra[400];
    if (!elf_exports(k->path, TG_BACKEND_ENTRY, extra, sizeof extra))
        note(k, "%s: its exported symbols cannot be read", k->path);
    else if (extra[0])
        fail(k, "%s exports more than %s: %s", k->name, TG_BACKEND_ENTRY, extra);
    else
        k->passed++;
}

/* As any program would load it; what is wrong there is the loader's sentence. */
static bool load_as_a_program(kit *k)
{
    tg_runtime *rt = NULL;
    snprintf(crash_case, sizeof crash_case, "%s", k->name);
    if (tg_runtime_open(&rt, &(tg_runtime_options){.backend = k->name}) != TG_OK) {
        const char *said = tg_error_message(), *list = strstr(said, "; known here:");
        fail(k, "%.*s", list ? (int)(list - said) : (int)strlen(said), said);
        return false;
    }
    tg_backend_info info[64];
    size_t n = tg_runtime_backends(rt, info, 64);
    for (size_t i = 0; i < n && i < 64; i++)
        if (!strcmp(info[i].name, k->name)) {
            snprintf(k->path, sizeof k->path, "%s", info[i].path);
            printf("%s%s%s: library %s, kernels %s (%zu operators)\n", k->name, *info[i].path ? " " : "", info[i].path,
                   *info[i].library ? info[i].library : "-", *info[i].kernels ? info[i].kernels : "-",
                   info[i].n_kernels);
        }
    tg_runtime_close(rt);
    k->passed++;
    return true;
}

static bool find_backend(kit *k, const char *wanted)
{
    if (strchr(wanted, '/') || ends_in(wanted, ".so")) {
        if (!look_in_folder(k, wanted))
            return false;
    } else {
        snprintf(k->name, sizeof k->name, "%s", wanted);
    }
    if (!load_as_a_program(k))
        return false;
    if (k->path[0])
        check_exports(k);
    k->backend = entry_of(k->path);
    if (!k->backend)
        fail(k, "%s: its entry returned NULL the second time", k->name);
    return k->backend != NULL;
}

/* -- one operator --------------------------------------------------------------------------------------------------- */

typedef struct subject {
    tg_runtime *rt;
    tg_tape *tape;
    tg_dtype dtype;
    bool layouts; /* the backend has its own */
} subject;

typedef struct tally {
    size_t passed, failed, declined;
    uint64_t runs, mallocs;
    bool threads_matter;
    char reason[200];
} tally;

/* Runs it with this many threads; false: what is wrong is in `why`. */
static bool run_case(const subject *s, const tg_operator *op, const tg_sample *sample, unsigned how, int threads,
                     outcome *got, tally *t, char *why, size_t size)
{
    guard_forget(op->name);
    tg_tape_set_threads(s->tape, threads);
    outcome_run(got, s->tape, op, sample, s->dtype, how);
    const guard_notes *seen = guard_seen();
    t->runs += seen->runs;
    t->mallocs += seen->mallocs;
    if (seen->declined[0])
        snprintf(t->reason, sizeof t->reason, "%s", seen->declined);
    if (seen->wrong[0])
        snprintf(why, size, "%s", seen->wrong);
    return !seen->wrong[0];
}

static void check_case(kit *k, const subject *s, const tg_operator *op, const tg_sample *sample,
                       const outcome_way *way, tally *t)
{
    outcome got, many, want;
    char why[500] = "";
    size_t where = 0;
    snprintf(crash_case, sizeof crash_case, "%s %s, '%s', %s", op->name, tg_dtype_name((int32_t)s->dtype),
             sample->label, way->name);
    /* What a generator gives differs by dtype. */
    outcome_expect(&want, k->oracle, tg_operator_find(k->reference, op->name), sample,
                   op->flags & TG_OP_RANDOM ? s->dtype : TG_F64, way->how);
    const uint64_t before = t->runs;
    bool ok = run_case(s, op, sample, way->how, MANY, &got, t, why, sizeof why);
    const bool ran = t->runs > before;
    ok = ok && outcome_agrees(&got, &want, outcome_tolerance(sample, s->dtype), why, sizeof why);
    if (ok && ran) {
        ok = run_case(s, op, sample, way->how, 1, &many, t, why, sizeof why) &&
             outcome_agrees(&many, &want, outcome_tolerance(sample, s->dtype), why, sizeof why);
        t->threads_matter |= ok && !outcome_same_bits(&got, &many, &where);
        outcome_free(&many);
    }
    if (!ok) {
        fail(k, "%s: %s", crash_case, why);
        t->failed++;
    } else if (ran) {
        t->passed++;
    } else if (want.status == TG_OK) {
        t->declined++;
    }
    outcome_free(&got);
    outcome_free(&want);
    crash_case[0] = '\0';
}

static void check_operator(kit *k, const subject *s, const tg_operator *op)
{
    size_t n = 0;
    tally t = {0};
    const char *dtype = tg_dtype_name((int32_t)s->dtype);
    const tg_sample *samples = tg_operator_samples(op, &n);
    if (!samples || !n) {
        fail(k, "%s", tg_error_message());
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t w = 0; w < outcome_n_ways; w++)
            if (s->layouts || !(outcome_ways[w].how & SAMPLE_BLOCKED))
                check_case(k, s, op, &samples[i], &outcome_ways[w], &t);
    clear(k);
    printf("%-28s %-4s %4zu passed, %zu failed, %zu declined, %llu runs%s%s\n", op->name, dtype, t.passed, t.failed,
           t.declined, (unsigned long long)t.runs, t.declined && t.reason[0] ? ": " : "",
           t.declined ? t.reason : "");
    if (t.threads_matter)
        note(k, "%s %s: other bits on 1 thread than on %d, within the tolerance", op->name, dtype, MANY);
    if (t.mallocs)
        note(k, "%s %s: %llu calls of malloc in %llu runs, its own or its library's", op->name, dtype,
             (unsigned long long)t.mallocs, (unsigned long long)t.runs);
    k->passed += t.passed;
    k->declined += t.declined;
}

/* -- all of them ---------------------------------------------------------------------------------------------------- */

static bool open_subject(kit *k, subject *s, tg_dtype dtype, const tg_backend *wrapped)
{
    tg_runtime_options options = {.struct_size = sizeof options,
                                  .backend = wrapped->name,
                                  .dtype = dtype,
                                  .backends = &wrapped,
                                  .n_backends = 1};
    *s = (subject){.dtype = dtype};
    if (tg_runtime_open(&s->rt, &options) == TG_OK && tg_tape_open(&s->tape, s->rt) == TG_OK) {
        s->layouts = outcome_has_layouts(s->tape, wrapped->name);
        return true;
    }
    fail(k, "%s: %s", k->name, tg_error_message());
    tg_runtime_close(s->rt);
    return false;
}

static void check_all(kit *k, const tg_backend *wrapped, tg_dtype dtype)
{
    subject s;
    if (!open_subject(k, &s, dtype, wrapped))
        return;
    for (uint32_t i = 0; i < wrapped->n_kernels; i++) {
        const tg_kernel *kernel = &wrapped->kernels[i];
        const tg_operator *op = tg_operator_find(s.rt, kernel->op);
        if (k->only && strcmp(k->only, kernel->op) != 0)
            continue;
        if (!op || op->version != kernel->version) {
            if (dtype == TG_F32)
                note(k, "%s, version %u: this library has no such operator", kernel->op, kernel->version);
        } else if (!(op->flags & TG_OP_VIEW)) {
            if (k->terminal)
                fprintf(stderr, "\r\033[K%u of %u: %s, %s", i + 1, wrapped->n_kernels, op->name,
                        tg_dtype_name((int32_t)dtype));
            check_operator(k, &s, op);
        }
    }
    tg_tape_close(s.tape);
    tg_runtime_close(s.rt);
}

static bool open_reference(kit *k)
{
    tg_runtime_options options = {.backend = "reference", .dtype = TG_F64, .threads = 1};
    if (tg_runtime_open(&k->reference, &options) == TG_OK && tg_tape_open(&k->oracle, k->reference) == TG_OK)
        return true;
    fail(k, "%s", tg_error_message());
    return false;
}

static int finish(const kit *k)
{
    if (k->notes && !k->strict)
        printf("%zu notes\n", k->notes);
    printf("%zu passed, %zu failed, %zu declined\n", k->passed, k->failed, k->declined);
    return k->failed || fflush(stdout) ? TOOL_FAILED : TOOL_OK;
}

static int usage(const char *problem, const char *what)
{
    fprintf(stderr, "tapegrad: %s%s; tapegrad kit --help\n", problem, what);
    return TOOL_USAGE;
}

static void check_backend(kit *k, bool declined)
{
    snprintf(crash_case, sizeof crash_case, "%s", k->name);
    if (k->only && !has_kernel(k->backend, k->only)) {
        if (tg_operator_find(k->reference, k->only))
            fail(k, "%s has no kernel for '%s'", k->name, k->only);
        else
            fail(k, "there is no operator '%s'", k->only);
        return;
    }
    /* The reference is in every chain already, under its own name. */
    const tg_backend *wrapped = guard_wrap(k->backend, k->path[0] ? k->name : "kit_reference", k->reference);
    guard_run_declined(declined);
    if (wrapped) {
        check_all(k, wrapped, TG_F32);
        check_all(k, wrapped, TG_F64);
    } else {
        fail(k, "no memory");
    }
}

/* A command of its own, as if --backend had been given. */
static int run_on(const char *backend, int n, char **arguments)
{
    char command[] = "tapegrad", word[] = "kit", option[] = "--backend", name[64], *all[64] = {command, word, option, name};
    pid_t child;
    int status;
    snprintf(name, sizeof name, "%s", backend);
    for (int i = 0; i < n && i < 59; i++)
        all[4 + i] = arguments[i];
    fflush(stdout);
    if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, all, environ) || waitpid(child, &status, 0) != child ||
        !WIFEXITED(status))
        return TOOL_FAILED;
    return WEXITSTATUS(status);
}

/* On every backend here that has a kernel for the operator. */
static int run_on_all(const char *op, int n, char **arguments)
{
    tg_runtime *rt;
    tg_backend_info info[64];
    if (tg_runtime_open(&rt, &(tg_runtime_options){.backend = "reference"})) {
        fprintf(stderr, "tapegrad: %s\n", tg_error_message());
        return TOOL_FAILED;
    }
    int failed = TOOL_OK;
    size_t n_backends = tg_runtime_backends(rt, info, 64), ran = 0;
    for (size_t i = 0; i < n_backends && i < 64; i++)
        if (info[i].loaded && has_kernel(entry_of(info[i].path), op)) {
            failed |= run_on(info[i].name, n, arguments);
            ran++;
        }
    if (!ran)
        printf("FAIL there is no operator '%s'\n", op);
    tg_runtime_close(rt);
    return failed || !ran ? TOOL_FAILED : TOOL_OK;
}

/* Threads that spin while they wait take the processors from those that work: here are two OpenMP pools, and the runs are
 * short. OpenMP looks at its variables before main. */
static void wait_asleep(int n, char **arguments)
{
    char command[] = "tapegrad", word[] = "kit", *all[64] = {command, word};
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || n > 60)
        return;
    for (int i = 0; i < n; i++)
        all[2 + i] = arguments[i];
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execv("/proc/self/exe", all); /* where it returns, it is slower, no more */
}

static void prepare_process(void)
{
#ifdef M_MMAP_THRESHOLD /* the same blocks again and again */
    mallopt(M_MMAP_THRESHOLD, 1 << 28);
    mallopt(M_TRIM_THRESHOLD, 1 << 28);
#endif
    static const char *const variables[] = {"TAPEGRAD_BACKEND", "TAPEGRAD_FALLBACK", "TAPEGRAD_REPORT",
                                            "TAPEGRAD_PROFILE", "TAPEGRAD_ANOMALY", "TAPEGRAD_VERIFY"};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], crashed);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* what was said before a crash is seen */
}

int tool_kit(int n, char **arguments)
{
    kit k = {.terminal = isatty(STDERR_FILENO) && isatty(STDOUT_FILENO)};
    const char *wanted = NULL;
    bool declined = false;
    for (int i = 0; i < n; i++) {
        const char **to = !strcmp(arguments[i], "--backend")    ? &wanted
                          : !strcmp(arguments[i], "--operator") ? &k.only
                                                                : NULL;
        if (to && i + 1 < n)
            *to = arguments[++i];
        else if (!strcmp(arguments[i], "--declined"))
            declined = true;
        else if (!strcmp(arguments[i], "--strict"))
            k.strict = true;
        else
            return usage(to ? "a value is missing after " : "the kit knows no ", arguments[i]);
    }
    if (!wanted)
        return k.only ? run_on_all(k.only, n, arguments)
                      : usage("which backend? ", "--backend is missing, or --operator for one on all of them");
    wait_asleep(n, arguments);
    prepare_process();
    if (find_backend(&k, wanted) && open_reference(&k))
        check_backend(&k, declined);
    tg_tape_close(k.oracle);
    tg_runtime_close(k.reference);
    return finish(&k);
}
