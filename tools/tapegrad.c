/* The tapegrad command: what this build holds, what runs on this machine, how fast. */
#include <tapegrad/tapegrad.h>

#include "tools/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: tapegrad COMMAND\n"
    "  backends          each backend: loaded or the reason why not, library, kernels, threads\n"
    "  layers [NAME]     the registered layers with their arguments and defaults; NAME: each argument,\n"
    "                    the call's inputs, what the modes change, the names of its state\n"
    "  operators [NAME]  the registered operators; NAME: each argument, the C functions that apply it\n"
    "  operators --abi [NAME]\n"
    "                    the same as a backend's kernels see them\n"
    "  optimizers [NAME] the optimizers with their arguments and defaults\n"
    "  schedulers [NAME] the learning-rate schedulers\n"
    "  bench [WORKLOAD…]  times a train step and an eval forward\n"
    "  kit --backend PATH.so|NAME [--operator NAME] [--declined] [--strict]\n"
    "                    the conformance kit: a backend's kernels against the reference\n"
    "  report FILE       shows what TAPEGRAD_REPORT=FILE wrote, fallbacks first\n"
    "  profile FILE      sums what TAPEGRAD_PROFILE=FILE wrote, by operator and line\n"
    "  summary FILE --input DIMS[:DTYPE] [--input …] [--eval]\n"
    "                    what a saved model is made of and takes, called with inputs like 1x3x224x224 or "
    "8x20:i64\n"
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
    {"layers", tool_layers, 0, 1},
    {"operators", tool_operators, 0, 1},
    {"optimizers", tool_optimizers, 0, 1},
    {"schedulers", tool_schedulers, 0, 1},
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
        int status = tool_operators_for_kernels(argc > 3 ? argv[3] : NULL);
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
