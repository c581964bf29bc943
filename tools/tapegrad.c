/* The tapegrad command: what this build holds, what runs on this machine, how fast. */
#include <tapegrad/layer_class.h>
#include <tapegrad/operator.h>
#include <tapegrad/tapegrad.h>

#include "tools/tool.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char usage[] =
    "usage: tapegrad COMMAND\n"
    "  backends          each backend: loaded or the reason why not, library, kernels, threads\n"
    "  layers [NAME]     the registered layers with their arguments and defaults\n"
    "  operators [NAME]  the registered operators\n"
    "  operators --abi [NAME]\n"
    "                    the same as a backend's kernels see them\n"
    "  optimizers [NAME] optimizers and learning-rate schedulers with their arguments and defaults\n"
    "  bench [tiny|mlp]  times a train step and an eval forward\n"
    "  kit --backend PATH.so|NAME [--operator NAME] [--declined] [--strict]\n"
    "                    the conformance kit: a backend's kernels against the reference\n"
    "  report FILE       shows what TAPEGRAD_REPORT=FILE wrote, fallbacks first\n"
    "  profile FILE      sums what TAPEGRAD_PROFILE=FILE wrote, by operator and line\n"
    "  summary FILE --input DIMS[:DTYPE] [--input …] [--eval]\n"
    "                    what a saved model is made of and takes, called with inputs like 1x3x224x224 or 8x20:i64\n"
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
static void print_entry(const char *name, const tg_attr_spec *attrs, const char *note, const char *doc,
                        bool details)
{
    printf("%s", name);
    print_signature(attrs);
    printf("%s%s%s\n", note, doc ? "  " : "", doc ? doc : "");
    if (details)
        print_arguments(attrs);
}

/* "  [3 inputs (optional: 2, 3), 2 run-time scalars]": what tg_apply takes. */
static void describe_inputs(const tg_operator *op, char *out, size_t size)
{
    bool any = op->n_in == TG_OP_VARIADIC;
    unsigned n = !any ? op->n_in : op->period ? op->period : 1;
    size_t at = (size_t)snprintf(out, size, "  [%s%u input%s",
                                 !any         ? ""
                                 : op->period ? "groups of "
                                              : "at least ",
                                 n, n == 1 ? "" : "s");
    const char *between = " (optional: ";
    for (unsigned i = 0; i < n && i < 16; i++)
        if (op->optional & TG_OP_IN(i)) {
            at += (size_t)snprintf(out + at, size - at, "%s%u", between, i + 1);
            between = ", ";
        }
    if (op->optional)
        at += (size_t)snprintf(out + at, size - at, ")");
    if (op->n_scalars)
        at += (size_t)snprintf(out + at, size - at, ", %u run-time scalar%s%s", (unsigned)op->n_scalars,
                               op->n_scalars == 1 ? "" : "s", op->period ? " a group" : "");
    snprintf(out + at, size - at, "]");
}

/* What a list is asked for: all, or the one named. */
typedef struct search {
    const char *wanted, *near; /* near: the name but for its capitals */
    bool shown;
} search;

static bool shows(search *s, const char *name)
{
    if (s->wanted && !strcasecmp(name, s->wanted))
        s->near = name;
    bool yes = !s->wanted || !strcmp(name, s->wanted);
    s->shown |= yes;
    return yes;
}

static int found(const search *s, const char *what)
{
    if (s->shown || !s->wanted)
        return TOOL_OK;
    fprintf(stderr, "tapegrad: there is no %s '%s'", what, s->wanted);
    if (s->near)
        fprintf(stderr, "; did you mean '%s'?", s->near);
    fputc('\n', stderr);
    return TOOL_FAILED;
}

/* -- commands -------------------------------------------------------------------------------------------- */

static void list_backends(tg_runtime *rt, bool chain)
{
    tg_backend_info info[64];
    size_t n = tg_runtime_backends(rt, info, 64);
    if (chain)
        printf("chain: %s\n", tg_runtime_backend(rt));
    for (size_t i = 0; i < n && i < 64; i++) {
        const tg_backend_info *b = &info[i];
        if (b->loaded)
            printf("%-12s loaded%s  library %s  kernels %s (%zu operators)  threads %d%s%s\n", b->name,
                   chain && b->in_chain ? ", in the chain" : "", *b->library ? b->library : "-",
                   *b->kernels ? b->kernels : "-", b->n_kernels, b->threads, *b->path ? "  " : "", b->path);
        else
            printf("%-12s not loaded: %s%s%s\n", b->name, b->reason, *b->path ? "  " : "", b->path);
    }
    tg_runtime_close(rt);
}

/* Where the chain that was asked for does not open, the list says what there is instead. */
static int backends(const char *wanted)
{
    (void)wanted;
    tg_runtime *rt = open_runtime();
    if (rt) {
        list_backends(rt, true);
        return TOOL_OK;
    }
    if (tg_runtime_open(&rt, &(tg_runtime_options){.backend = "reference"}) == TG_OK)
        list_backends(rt, false);
    return TOOL_FAILED;
}

static int layers(const char *wanted)
{
    tg_runtime *rt = open_runtime();
    if (!rt)
        return TOOL_FAILED;
    const tg_layer_class *list[512];
    size_t n = tg_layer_list(rt, list, 512);
    search s = {.wanted = wanted};
    for (size_t i = 0; i < n && i < 512; i++)
        if (shows(&s, list[i]->name))
            print_entry(list[i]->name, list[i]->attrs, "", list[i]->doc, wanted);
    int status = found(&s, "layer");
    tg_runtime_close(rt);
    return status;
}

/* Of functions that are made of several rows, like tg_einsum; those over a list or dims end in _n, _dims. */
static bool is_function(const char *name)
{
    static const char *const end[] = {"", "_n", "_dims"};
    void *all = name ? dlopen(NULL, RTLD_LAZY) : NULL;
    bool is = false;
    for (size_t i = 0; all && i < sizeof end / sizeof *end && !is; i++) {
        char symbol[96];
        snprintf(symbol, sizeof symbol, "tg_%.64s%s", name, end[i]);
        is = dlsym(all, symbol) != NULL;
        if (is)
            printf("%s is no row: %s is a function of the headers that applies others\n", name, symbol);
    }
    if (all)
        dlclose(all);
    return is;
}

static int operators(const char *wanted)
{
    tg_runtime *rt = open_runtime();
    if (!rt)
        return TOOL_FAILED;
    const tg_operator *list[512];
    size_t n = tg_operator_list(rt, list, 512);
    search s = {.wanted = wanted};
    for (size_t i = 0; i < n && i < 512; i++)
        if (shows(&s, list[i]->name)) {
            char note[160];
            describe_inputs(list[i], note, sizeof note);
            print_entry(list[i]->name, list[i]->attrs, note, list[i]->doc, wanted);
        }
    int status = !s.shown && !s.near && is_function(wanted) ? TOOL_OK : found(&s, "operator");
    tg_runtime_close(rt);
    return status;
}

/* -- operators as kernels see them ----------------------------------------------------------------------- */

/* "in[0], in[2]", where a group has so many; "" for none. */
static const char *places(const char *what, uint32_t mask, char *text, size_t size)
{
    size_t n = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < 16 && n < size; i++)
        if (mask & 1u << i)
            n += (size_t)snprintf(text + n, size - n, "%s%s[%u]", n ? ", " : "", what, i);
    return text;
}

static void print_places(const char *what, uint32_t mask, const char *sentence)
{
    char text[200];
    if (mask)
        printf("    %s: %s\n", places(what, mask, text, sizeof text), sentence);
}

static void print_shape_of_call(const tg_operator *op)
{
    if (op->n_in != TG_OP_VARIADIC)
        printf("    in %u, out %u", (unsigned)op->n_in, (unsigned)op->n_out);
    else if (op->period)
        printf("    in groups of %u, out %u", (unsigned)op->period, (unsigned)op->n_out);
    else
        printf("    in 1 or more, out %u", (unsigned)op->n_out);
    if (op->n_scalars)
        printf(", %u run-time scalar%s%s", (unsigned)op->n_scalars, op->n_scalars == 1 ? "" : "s",
               op->period ? " for each group" : "");
    putchar('\n');
}

static void print_attributes(const tg_operator *op)
{
    static const char *const types[] = {"?", "int64_t", "double", "bool", "int64_t", "tg_ints", "tg_reals", "?"};
    if (op->attrs_size)
        printf("    attributes, %zu bytes:\n", op->attrs_size);
    for (const tg_attr_spec *a = op->attrs_size ? op->attrs : NULL; a && a->name; a++)
        printf("        at %3zu  %-8s %-20s %s%s%s\n", a->offset,
               (size_t)a->type < sizeof types / sizeof *types ? types[a->type] : "?", a->name, a->doc ? a->doc : "",
               a->choices ? "; words counted from 0: " : "", a->choices ? a->choices : "");
}

static void print_for_kernels(const tg_operator *op)
{
    static const struct {
        uint32_t flag;
        const char *sentence;
    } flags[] = {
        {TG_OP_VIEW, "a view: no kernel"},
        {TG_OP_DENSE, "dense: inputs are row-major"},
        {TG_OP_BROADCAST, "broadcast: inputs have out[0]'s dims, and stride 0 along those that were spread"},
        {TG_OP_POINTWISE, "pointwise: values in a layout come as one row of all their elements"},
        {TG_OP_RANDOM, "random: the run's seed and draw"},
    };
    printf("%s, version %u  %s\n", op->name, (unsigned)op->version, op->doc ? op->doc : "");
    print_shape_of_call(op);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (op->flags & flags[i].flag)
            printf("    %s\n", flags[i].sentence);
    print_places("in", op->optional, "may be NULL");
    print_places("in", op->writes, "written in place, by the pointer in `in`");
    print_places("out", op->kept_out, "for the backward, where nobody else sees it");
    print_places("in", op->saves & 0xffffu, "kept for the rows of the backward");
    print_places("out", op->saves >> 16, "kept for the rows of the backward");
    print_attributes(op);
}

static int operators_for_kernels(const char *wanted)
{
    tg_runtime *rt = open_runtime();
    if (!rt)
        return TOOL_FAILED;
    size_t n = tg_operator_list(rt, NULL, 0);
    const tg_operator **list = malloc((n + 1) * sizeof *list);
    search s = {.wanted = wanted};
    if (list)
        tg_operator_list(rt, list, n);
    for (size_t i = 0; list && i < n; i++)
        if (shows(&s, list[i]->name))
            print_for_kernels(list[i]);
    int status = list ? found(&s, "operator") : TOOL_FAILED;
    free(list);
    tg_runtime_close(rt);
    return status;
}

static int optimizers(const char *wanted)
{
    const char *name[128];
    size_t n = tg_optim_list(name, 128);
    search s = {.wanted = wanted};
    for (size_t i = 0; i < n && i < 128; i++)
        if (shows(&s, name[i]))
            print_entry(name[i], tg_optim_attrs(name[i]), "", NULL, wanted);
    n = tg_lr_list(name, 128);
    for (size_t i = 0; i < n && i < 128; i++)
        if (shows(&s, name[i]))
            print_entry(name[i], tg_lr_attrs(name[i]), "", NULL, wanted);
    return found(&s, "optimizer or scheduler");
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
    if (fgets(line, sizeof line, f))
        fputs(line, stdout); /* what the columns are */
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
    {"profile", tool_profile, 1, 1},
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
    if (argc >= 2 && !strcmp(argv[1], "kit"))
        return tool_kit(argc - 2, argv + 2);
    if (argc >= 2 && !strcmp(argv[1], "summary"))
        return tool_summary(argc - 2, argv + 2);
    if (argc >= 3 && argc <= 4 && !strcmp(argv[1], "operators") && !strcmp(argv[2], "--abi")) {
        int status = operators_for_kernels(argc > 3 ? argv[3] : NULL);
        return fflush(stdout) && status == TOOL_OK ? TOOL_FAILED : status;
    }
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
