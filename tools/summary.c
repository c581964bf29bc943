/* tapegrad summary: the table of a saved model. */
#include <tapegrad/tapegrad.h>

#include "tools/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUTS = 16 };

typedef struct asked {
    const char *path;
    tg_desc in[MAX_INPUTS];
    size_t n_in;
    bool eval;
} asked;

static int wrong(const char *what, const char *text)
{
    fprintf(stderr, "tapegrad summary: %s%s%s%s\n", what, text ? " '" : "", text ? text : "",
            text ? "'" : "");
    return TOOL_USAGE;
}

/* "1x3x224x224", "8x20:i64"; "" before the colon is a scalar. The runtime's dtype where none is said. */
static bool read_input(const char *text, tg_dtype otherwise, tg_desc *out)
{
    static const tg_dtype known[] = {TG_F32, TG_F64, TG_I64, TG_BOOL};
    int64_t dims[TG_MAX_DIM];
    size_t n = 0;
    tg_dtype dtype = otherwise;
    while (*text && *text != ':') {
        char *end;
        if (n == TG_MAX_DIM || *text < '0' || *text > '9')
            return false;
        dims[n++] = strtoll(text, &end, 10);
        text = *end == 'x' && end[1] >= '0' && end[1] <= '9' ? end + 1 : end;
    }
    if (*text == ':') {
        size_t k = 0;
        while (k < sizeof known / sizeof *known && strcmp(tg_dtype_name((int32_t)known[k]), text + 1))
            k++;
        if (k == sizeof known / sizeof *known)
            return false;
        dtype = known[k];
    }
    return tg_desc_make(out, dtype, dims, n) == TG_OK;
}

static int read_arguments(int n, char **arguments, tg_dtype dtype, asked *a)
{
    for (int i = 0; i < n; i++) {
        const char *s = arguments[i];
        if (!strcmp(s, "--eval")) {
            a->eval = true;
        } else if (!strcmp(s, "--input")) {
            if (++i == n || a->n_in == MAX_INPUTS)
                return wrong(i == n ? "--input needs dims, like 1x3x224x224"
                                    : "more inputs than a model can have",
                             NULL);
            if (!read_input(arguments[i], dtype, &a->in[a->n_in++]))
                return wrong("dims like 1x3x224x224 or 8x20:i64 are expected, not", arguments[i]);
        } else if (*s == '-' || a->path) {
            return wrong(*s == '-' ? "there is no option" : "one file is expected, not also", s);
        } else {
            a->path = s;
        }
    }
    return !a->path ? wrong("which file?", NULL) : !a->n_in ? wrong("which --input?", NULL) : TOOL_OK;
}

static tg_status print(tg_runtime *rt, const asked *a)
{
    tg_summary summary;
    tg_module *m = tg_module_load(rt, a->path);
    if (!m)
        return TG_EIO;
    tg_module_set_mode(m, a->eval ? TG_EVAL : TG_TRAIN);
    tg_status status = tg_module_summary(m, a->in, a->n_in, &summary);
    if (!status) {
        status = tg_summary_print(&summary, stdout);
        tg_summary_free(&summary);
    }
    tg_module_destroy(m);
    return status;
}

int tool_summary(int n, char **arguments)
{
    tg_runtime *rt;
    asked a = {0};
    tg_status status = tg_runtime_open(&rt, NULL);
    if (!status) {
        const int usage = read_arguments(n, arguments, tg_runtime_dtype(rt), &a);
        status = usage ? TG_OK : print(rt, &a);
        tg_runtime_close(rt);
        if (usage)
            return usage;
    }
    if (status)
        fprintf(stderr, "tapegrad summary: %s\n", tg_error_message());
    return status || fflush(stdout) ? TOOL_FAILED : TOOL_OK;
}
