/* The tapegrad command: what this build holds, what runs on this machine, how fast. */
#include <tapegrad/layer_class.h>
#include <tapegrad/operator.h>
#include <tapegrad/tapegrad.h>

#include "tools/tool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: tapegrad COMMAND\n"
    "  backends          each backend: loaded or the reason why not, library, kernels, threads\n"
    "  layers [NAME]     the registered layers with their arguments and defaults\n"
    "  operators [NAME]  the registered operators\n"
    "  optimizers [NAME] optimizers and learning-rate schedulers with their arguments and defaults\n"
    "  bench [tiny|mlp]  times a train step and an eval forward\n"
    "  report FILE       shows what TAPEGRAD_REPORT=FILE wrote, fallbacks first\n"
    "  version           this library's version\n"
    "  help              this text\n"
    "The environment (TAPEGRAD_BACKEND and others) holds as for any program.\n";

static tg_runtime *open_runtime(void)
{
    tg_runtime *rt;
    if (tg_runtime_open(&rt, NULL) == TG_OK)
        return rt;
    fprintf(stderr, "tapegrad: %s\n", tg_error_message());
    return NULL;
}

/* -- attributes ------------------------------------------------------------------------------------------ */

static void print_number(double v)
{
    if (isnan(v))
        printf("None");
    else
        printf("%.17g", v);
}

/* The shortest text that reads back as the same number. */
static void print_real(double v)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) {
            fputs(text, stdout);
            return;
        }
    }
    print_number(v);
}

static void print_word(const char *words, int64_t index)
{
    for (; index > 0 && *words; index--) {
        words += strcspn(words, "|");
        words += *words == '|';
    }
    printf("'%.*s'", (int)strcspn(words, "|"), words);
}

static void print_default(const tg_attr_spec *a)
{
    switch (a->type) {
    case TG_ATTR_INT:
        if (a->value <= (double)TG_NONE_INT)
            printf("None");
        else
            printf("%lld", (long long)a->value);
        break;
    case TG_ATTR_REAL: print_real(a->value); break;
    case TG_ATTR_BOOL: printf(a->value != 0 ? "True" : "False"); break;
    case TG_ATTR_CHOICE: print_word(a->choices ? a->choices : "", (int64_t)a->value); break;
    case TG_ATTR_INTS:
    case TG_ATTR_REALS: printf("(%s)", a->values ? a->values : ""); break;
    case TG_ATTR_NONE:
    case TG_ATTR_TENSOR: printf("None"); break;
    }
}

/* "(in_features, out_features, bias=True)". */
static void print_signature(const tg_attr_spec *attrs)
{
    putchar('(');
    for (const tg_attr_spec *a = attrs; a && a->name; a++) {
        printf("%s%s", a == attrs ? "" : ", ", a->name);
        if (!(a->flags & TG_ATTR_REQUIRED)) {
            putchar('=');
            print_default(a);
        }
    }
    putchar(')');
}

static const char *type_name(tg_attr_type type)
{
    static const char *const names[] = {"None", "int", "float", "bool", "str", "ints", "floats", "Tensor"};
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "?";
}

static void print_arguments(const tg_attr_spec *attrs)
{
    for (const tg_attr_spec *a = attrs; a && a->name; a++)
        printf("    %-20s %-7s %s%s%s\n", a->name, type_name(a->type), a->doc ? a->doc : "",
               a->choices ? "; one of " : "", a->choices ? a->choices : "");
}

/* One entry of a registry; its arguments line by line where it was asked for by name. */
static void print_entry(const char *name, const tg_attr_spec *attrs, const char *doc, bool details)
{
    printf("%s", name);
    print_signature(attrs);
    printf("%s%s\n", doc ? "  " : "", doc ? doc : "");
    if (details)
        print_arguments(attrs);
}

/* Whether this entry is to be shown: all, or the one named. */
static bool shows(const char *name, const char *wanted)
{
    return !wanted || !strcmp(name, wanted);
}

static int found(size_t shown, const char *what, const char *wanted)
{
    if (shown || !wanted)
        return TOOL_OK;
    fprintf(stderr, "tapegrad: there is no %s '%s'\n", what, wanted);
    return TOOL_FAILED;
}

/* -- commands -------------------------------------------------------------------------------------------- */

static int backends(const char *wanted)
{
    (void)wanted;
    tg_runtime *rt = open_runtime();
    if (!rt)
        return TOOL_FAILED;
    tg_backend_info info[64];
    size_t n = tg_runtime_backends(rt, info, 64);
    printf("chain: %s\n", tg_runtime_backend(rt));
    for (size_t i = 0; i < n && i < 64; i++) {
        const tg_backend_info *b = &info[i];
        if (b->loaded)
            printf("%-12s loaded%s  library %s  kernels %s (%zu operators)  threads %d%s%s\n", b->name,
                   b->in_chain ? ", in the chain" : "", *b->library ? b->library : "-",
                   *b->kernels ? b->kernels : "-", b->n_kernels, b->threads, *b->path ? "  " : "", b->path);
        else
            printf("%-12s not loaded: %s%s%s\n", b->name, b->reason, *b->path ? "  " : "", b->path);
    }
    tg_runtime_close(rt);
    return TOOL_OK;
}

static int layers(const char *wanted)
{
    tg_runtime *rt = open_runtime();
    if (!rt)
        return TOOL_FAILED;
    const tg_layer_class *list[512];
    size_t n = tg_layer_list(rt, list, 512), shown = 0;
    for (size_t i = 0; i < n && i < 512; i++)
        if (shows(list[i]->name, wanted)) {
            print_entry(list[i]->name, list[i]->attrs, list[i]->doc, wanted);
            shown++;
        }
    tg_runtime_close(rt);
    return found(shown, "layer", wanted);
}

static int operators(const char *wanted)
{
    tg_runtime *rt = open_runtime();
    if (!rt)
        return TOOL_FAILED;
    const tg_operator *list[512];
    size_t n = tg_operator_list(rt, list, 512), shown = 0;
    for (size_t i = 0; i < n && i < 512; i++)
        if (shows(list[i]->name, wanted)) {
            print_entry(list[i]->name, list[i]->attrs, list[i]->doc, wanted);
            shown++;
        }
    tg_runtime_close(rt);
    return found(shown, "operator", wanted);
}

static int optimizers(const char *wanted)
{
    const char *name[128];
    size_t n = tg_optim_list(name, 128), shown = 0;
    for (size_t i = 0; i < n && i < 128; i++)
        if (shows(name[i], wanted)) {
            print_entry(name[i], tg_optim_attrs(name[i]), NULL, wanted);
            shown++;
        }
    n = tg_lr_list(name, 128);
    for (size_t i = 0; i < n && i < 128; i++)
        if (shows(name[i], wanted)) {
            print_entry(name[i], tg_lr_attrs(name[i]), NULL, wanted);
            shown++;
        }
    return found(shown, "optimizer or scheduler", wanted);
}

static int version(const char *wanted)
{
    (void)wanted;
    printf("tapegrad %s\n", tg_version());
    return TOOL_OK;
}

static int help(const char *wanted)
{
    (void)wanted;
    fputs(usage, stdout);
    return TOOL_OK;
}

/* Prints the lines of the report that tell of fallbacks (or of none), then the others. */
static int report(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        return TOOL_FAILED;
    }
    char line[1024], op[64], backend[64];
    unsigned long long calls, fallbacks;
    double ms;
    if (!fgets(line, sizeof line, f) || strncmp(line, "tapegrad report:", 16) != 0) {
        fprintf(stderr, "tapegrad: %s is no report\n", path);
        fclose(f);
        return TOOL_FAILED;
    }
    fputs(line, stdout);
    for (int pass = 0; pass < 2; pass++) {
        size_t shown = 0;
        rewind(f);
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "%63s %63s %llu %lf %llu", op, backend, &calls, &ms, &fallbacks) == 5 &&
                (pass == 0) == (fallbacks > 0)) {
                if (!shown++)
                    printf(pass == 0 ? "fallbacks:\n" : "as chosen:\n");
                fputs(line, stdout);
            }
        if (pass == 0 && !shown)
            printf("no fallbacks\n");
    }
    fclose(f);
    return TOOL_OK;
}

/* -- main ------------------------------------------------------------------------------------------------ */

typedef struct command {
    const char *name;
    int (*run)(const char *argument);
    int least, most; /* arguments */
} command;

static const command commands[] = {
    {"backends", backends, 0, 0},
    {"layers", layers, 0, 1},
    {"operators", operators, 0, 1},
    {"optimizers", optimizers, 0, 1},
    {"report", report, 1, 1},
    {"version", version, 0, 0},
    {"help", help, 0, 0},
    {"--help", help, 0, 0},
    {"-h", help, 0, 0},
    {"--version", version, 0, 0},
};

int main(int argc, char **argv)
{
    if (argc >= 2 && !strcmp(argv[1], "bench"))
        return tool_bench(argc - 2, argv + 2);
    bool known = false;
    for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, argv[1]))
            continue;
        known = true;
        if (argc - 2 >= commands[i].least && argc - 2 <= commands[i].most) {
            int status = commands[i].run(argc > 2 ? argv[2] : NULL);
            if (fflush(stdout) != 0 && status == TOOL_OK)
                status = TOOL_FAILED;
            return status;
        }
    }
    if (argc >= 2)
        fprintf(stderr, "tapegrad: %s '%s'\n",
                known ? "too few or too many arguments for" : "there is no command", argv[1]);
    fputs(usage, stderr);
    return TOOL_USAGE;
}
