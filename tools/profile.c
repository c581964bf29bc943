/* Sums what TAPEGRAD_PROFILE wrote: by operator, by the backward it is part of, and by the caller's line. */
#include "tools/tool.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    char name[120], place[160], backend[40];
    uint64_t hash;
    long long calls;
    double us, bytes;
} row;

typedef struct table {
    row *rows;
    size_t n, capacity;
} table;

static const char *text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static uint64_t hash(uint64_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h * 31;
}

/* The end of a place says more than its beginning. */
static const char *short_place(const char *place)
{
    const char *slash = strrchr(place, '/');
    return slash ? slash + 1 : place;
}

static row *row_for(table *t, const row *like)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->rows[i].hash == like->hash && !strcmp(t->rows[i].name, like->name) &&
            !strcmp(t->rows[i].place, like->place) && !strcmp(t->rows[i].backend, like->backend))
            return &t->rows[i];
    if (t->n == t->capacity) {
        row *more = realloc(t->rows, (t->capacity * 2 + 64) * sizeof *more);
        if (!more)
            return NULL;
        t->rows = more;
        t->capacity = t->capacity * 2 + 64;
    }
    t->rows[t->n] = *like;
    return &t->rows[t->n++];
}

/* An event of an operator; those of whole rules contain others. */
static bool add(table *t, const json_t *event)
{
    const char *category = text(event, "cat"), *of;
    if (strcmp(category, "forward") != 0 && strcmp(category, "backward") != 0)
        return true;
    const json_t *args = json_object_get(event, "args");
    row r = {.calls = 0};
    of = text(args, "backward_of");
    snprintf(r.name, sizeof r.name,
             *of                ? "%s, backward of %s"
             : *category == 'b' ? "%s, backward"
                                : "%s",
             text(event, "name"), of);
    snprintf(r.place, sizeof r.place, "%s", short_place(text(args, "place")));
    snprintf(r.backend, sizeof r.backend, "%s", *text(args, "backend") ? text(args, "backend") : "-");
    r.hash = hash(hash(hash(0xcbf29ce484222325u, r.name), r.place), r.backend);
    row *found = row_for(t, &r);
    if (!found)
        return false;
    found->calls++;
    found->us += json_number_value(json_object_get(event, "dur"));
    found->bytes += json_number_value(json_object_get(args, "bytes"));
    return true;
}

static int by_time(const void *a, const void *b)
{
    const row *x = a, *y = b;
    return x->us < y->us ? 1 : x->us > y->us ? -1 : strcmp(x->name, y->name);
}

static void print(table *t)
{
    double all = 0;
    long long calls = 0;
    for (size_t i = 0; i < t->n; i++) {
        all += t->rows[i].us;
        calls += t->rows[i].calls;
    }
    qsort(t->rows, t->n, sizeof *t->rows, by_time);
    printf("%lld calls, %.3f ms\n%12s %7s %10s %12s %9s  %-52s %-28s %s\n", calls, all / 1e3, "ms", "share",
           "calls", "us/call", "MB/s", "operator", "line", "backend");
    for (size_t i = 0; i < t->n; i++) {
        const row *r = &t->rows[i];
        printf("%12.3f %6.1f%% %10lld %12.3f %9.0f  %-52s %-28s %s\n", r->us / 1e3,
               all > 0 ? 100 * r->us / all : 0.0, r->calls, r->us / (double)r->calls,
               r->us > 0 ? r->bytes / r->us : 0.0, r->name, r->place, r->backend);
    }
}

/* The library writes an event a line: no more than one is held at a time. */
static int read_events(FILE *f, table *t)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n = getline(&line, &size, f);
    int status = n > 0 && strstr(line, "\"traceEvents\"") ? TOOL_OK : TOOL_FAILED;
    while (status == TOOL_OK && (n = getline(&line, &size, f)) > 0) {
        if (*line != '{')
            continue;
        json_error_t error;
        json_t *event = json_loadb(
            line, strcspn(line, "\n") - (n > 1 && line[strcspn(line, "\n") - 1] == ','), 0, &error);
        if (!event || !add(t, event))
            status = TOOL_FAILED;
        json_decref(event);
    }
    free(line);
    return status;
}

int tool_profile(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "tapegrad: %s: %s\n", path, strerror(errno));
        return TOOL_FAILED;
    }
    table t = {0};
    int status = read_events(f, &t);
    if (status == TOOL_OK)
        print(&t);
    else
        fprintf(stderr, "tapegrad: %s is no profile that TAPEGRAD_PROFILE wrote\n", path);
    free(t.rows);
    fclose(f);
    return status;
}
