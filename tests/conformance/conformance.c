/* conformance [--backend NAME] [--dtype f64|f32] [--list] PATH...
 * Runs golden cases: see tests/golden/README.md. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "case.h"

typedef struct totals {
    size_t passed, failed, skipped;
} totals;

typedef struct settings {
    const char *backend;
    tg_dtype dtype;
    bool list;
} settings;

static const char usage[] = "usage: conformance [--backend NAME] [--dtype f64|f32] [--list] PATH...\n"
                            "PATH is a golden case (.safetensors) or a folder of them.\n";

static void case_name(const char *path, char *to, size_t size)
{
    const char *slash = strrchr(path, '/');
    snprintf(to, size, "%s", slash ? slash + 1 : path);
    char *end = strstr(to, ".safetensors");
    if (end)
        *end = 0;
}

static const char *subject(const golden *g)
{
    static const char *const keys[] = {"module", "op", "optimizer"};
    for (int i = 0; i < 3; i++) {
        const json_t *value = json_object_get(g->json, keys[i]);
        const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "name") : value);
        if (text)
            return text;
    }
    return "";
}

static verdict run_kind(golden *g)
{
    const char *kind = json_string_value(json_object_get(g->json, "kind"));
    if (!strcmp(kind, "module"))
        return run_module(g);
    if (!strcmp(kind, "op"))
        return run_op(g);
    if (!strcmp(kind, "training"))
        return run_training(g);
    return unsupported(g, "no kind '%s' here", kind);
}

static void run_case(const settings *s, tg_runtime *rt, tg_tape *tape, const char *path, totals *t)
{
    char name[256];
    bool f64 = s->dtype == TG_F64;
    golden g = {.rt = rt,
                .tape = tape,
                .dtype = s->dtype,
                .tolerance = f64 ? 1e-7 : 1e-3,
                .tolerance2 = f64 ? 1e-7 : 2e-3};
    case_name(path, name, sizeof name);
    tg_tape_clear_error(tape);
    tg_tape_reset(tape);
    verdict v = golden_open(&g, path);
    if (s->list) {
        printf("%s: %s %s\n", name,
               v == PASSED ? json_string_value(json_object_get(g.json, "kind")) : "not a case",
               v == PASSED ? subject(&g) : g.why);
        golden_close(&g);
        return;
    }
    if (v == PASSED)
        v = run_kind(&g);
    if (v == PASSED)
        printf("pass %s\n", name);
    else if (v == UNSUPPORTED)
        printf("unsupported %s: %s\n", name, g.why);
    else
        printf("fail %s: %s (largest error %.3g)\n", name, g.why, g.largest);
    t->passed += v == PASSED;
    t->skipped += v == UNSUPPORTED;
    t->failed += v == FAILED;
    tg_tape_reset(tape);
    golden_close(&g);
}

static int is_case(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 12 && !strcmp(entry->d_name + n - 12, ".safetensors");
}

static void run_path(const settings *s, tg_runtime *rt, tg_tape *tape, const char *path, totals *t)
{
    struct stat st;
    struct dirent **entry = NULL;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
        run_case(s, rt, tape, path, t);
        return;
    }
    int n = scandir(path, &entry, is_case, alphasort);
    if (n < 0) {
        printf("fail %s: %s\n", path, strerror(errno));
        t->failed++;
        return;
    }
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, entry[i]->d_name);
        run_case(s, rt, tape, file, t);
        free(entry[i]);
    }
    free(entry);
}

/* The index of the first path, or 0 for a wrong command line. */
static int read_arguments(settings *s, int argc, char **argv)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (!strcmp(argv[i], "--list"))
            s->list = true;
        else if (!strcmp(argv[i], "--backend") && i + 1 < argc)
            s->backend = argv[++i];
        else if (!strcmp(argv[i], "--dtype") && i + 1 < argc && !strcmp(argv[i + 1], "f64"))
            s->dtype = TG_F64, i++;
        else if (!strcmp(argv[i], "--dtype") && i + 1 < argc && !strcmp(argv[i + 1], "f32"))
            s->dtype = TG_F32, i++;
        else
            return 0;
    }
    return i < argc ? i : 0;
}

int main(int argc, char **argv)
{
    settings s = {.dtype = TG_F64};
    int first = read_arguments(&s, argc, argv);
    if (!first) {
        fputs(usage, stderr);
        return 2;
    }
    tg_runtime *rt = NULL;
    tg_tape *tape = NULL;
    tg_runtime_options options = {.struct_size = sizeof options, .backend = s.backend, .dtype = s.dtype};
    if (tg_runtime_open(&rt, &options) != TG_OK || tg_tape_open(&tape, rt) != TG_OK) {
        fprintf(stderr, "conformance: %s\n", tg_error_message());
        tg_runtime_close(rt);
        return 2;
    }
    totals t = {0};
    for (int i = first; i < argc; i++)
        run_path(&s, rt, tape, argv[i], &t);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    if (!s.list)
        printf("%zu passed, %zu failed, %zu skipped\n", t.passed, t.failed, t.skipped);
    return t.failed != 0;
}
