/* The tapegrad command: what this build holds, what runs on this machine, how fast. */
#include <tapegrad/tapegrad.h>

#include "tools/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tg_runtime *open_runtime(void)
{
    tg_runtime *rt;
    if (tg_runtime_open(&rt, NULL) == TG_OK)
        return rt;
    fprintf(stderr, "tapegrad: %s\n", tg_error_message());
    return NULL;
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

static int version(const char *wanted)
{
    (void)wanted;
    printf("tapegrad %s\n", tg_version());
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
    const char *help;                     /* what may follow the name, then what it does */
    int (*run)(const char *argument);     /* takes `least` to `most` arguments           */
    int (*read)(int n, char **arguments); /* or reads them itself                        */
    int least, most;
    void (*list)(FILE *to); /* adds names to the help */
} command;

static int help(const char *wanted);

static const command commands[] = {
    {"backends", "          each backend: loaded or the reason why not, library, kernels, threads\n", .run = backends},
    {"layers",
     " [NAME]     the registered layers with their arguments and defaults; NAME: each argument,\n"
     "                    the call's inputs, what the modes change, the names of its state\n",
     .run = tool_layers, .most = 1},
    {"operators",
     " [NAME]  the registered operators; NAME: each argument, the C functions that apply it\n"
     "  operators --abi [NAME]\n"
     "                    the same as a backend's kernels see them\n",
     .run = tool_operators, .most = 1},
    {"optimizers", " [NAME] the optimizers with their arguments and defaults\n", .run = tool_optimizers, .most = 1},
    {"schedulers", " [NAME] the learning-rate schedulers\n", .run = tool_schedulers, .most = 1},
    {"bench",
     " [WORKLOAD…]  times a train step and an eval forward of each; without names of all of\n"
     "                   ",
     .read = tool_bench, .list = tool_list_workloads},
    {"kit",
     " [--backend PATH.so|NAME] [--operator NAME] [--declined] [--strict]\n"
     "                    the conformance kit: a backend's kernels against the reference. --operator: those\n"
     "                    of one operator, without --backend on every backend that has some; --declined:\n"
     "                    runs what the backend declines, too; --strict: what is only noted fails\n",
     .read = tool_kit},
    {"report", " FILE       shows what TAPEGRAD_REPORT=FILE wrote, fallbacks first\n", .run = report, .least = 1, .most = 1},
    {"profile", " FILE      sums what TAPEGRAD_PROFILE=FILE wrote, by operator and line\n", .run = tool_profile, .least = 1,
     .most = 1},
    {"summary",
     " FILE --input DIMS[:DTYPE] [--input …] [--eval]\n"
     "                    what a saved model is made of and takes, called with inputs like 1x3x224x224 or "
     "8x20:i64\n",
     .read = tool_summary},
    {"version", "           this library's version\n", .run = version},
    {"help", " [COMMAND]    this text, or a command's part of it\n", .run = help, .most = 1},
    /* The same under other names. */
    {"--version", .run = version},
    {"--help", .run = help, .most = 1},
    {"-h", .run = help, .most = 1},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static const command *find(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

static void write_help(const command *c, FILE *to)
{
    fprintf(to, "  %s%s", c->name, c->help);
    if (c->list)
        c->list(to);
}

static void write_usage(FILE *to)
{
    fputs("usage: tapegrad COMMAND\n", to);
    for (int i = 0; i < N_COMMANDS; i++)
        if (commands[i].help)
            write_help(&commands[i], to);
    fputs("The environment (TAPEGRAD_BACKEND and others) holds as for any program.\n", to);
}

static int no_command(const char *name)
{
    fprintf(stderr, "tapegrad: there is no command '%s'\n", name);
    write_usage(stderr);
    return TOOL_USAGE;
}

static int help(const char *wanted)
{
    const command *c = wanted ? find(wanted) : NULL;
    if (wanted && !c)
        return no_command(wanted);
    if (c && c->help) {
        puts("usage: tapegrad");
        write_help(c, stdout);
    } else {
        write_usage(stdout);
    }
    return TOOL_OK;
}

static int run(const command *c, int n, char **arguments)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(arguments[i], "--help") || !strcmp(arguments[i], "-h"))
            return help(c->name);
    if (c->read)
        return c->read(n, arguments);
    if (c->run == tool_operators && n > 0 && n < 3 && !strcmp(arguments[0], "--abi"))
        return tool_operators_for_kernels(n > 1 ? arguments[1] : NULL);
    if (n >= c->least && n <= c->most)
        return c->run(n ? arguments[0] : NULL);
    fprintf(stderr, "tapegrad: too %s arguments for '%s'\n", n < c->least ? "few" : "many", c->name);
    write_usage(stderr);
    return TOOL_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        write_usage(stderr);
        return TOOL_USAGE;
    }
    const command *c = find(argv[1]);
    if (!c)
        return no_command(argv[1]);
    const int status = run(c, argc - 2, argv + 2);
    return fflush(stdout) != 0 && status == TOOL_OK ? TOOL_FAILED : status;
}
