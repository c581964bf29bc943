/* TAPEGRAD_PROFILE: an event a line, Chrome's trace format. A tape writes into a buffer of its own; the file
 * ends in its footer after each flush and the next flush writes over that, so that it is valid JSON at any
 * moment. */
#include "autograd/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 64 << 10, EVENT = 20 << 10, /* at the most */ SINKS = 8, SHAPES = 12 };
static const uint64_t LONG_AGO = 500000000u; /* ns */
static const char head[] = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n", foot[] = "\n]}\n";

/* A file of this process: runtimes that are open at the same time, or one after the other, share it. */
typedef struct tg_sink {
    char path[512];
    int fd, users, tapes;
    off_t at;  /* where the footer is */
    pid_t pid; /* a child after a fork writes nothing */
    bool empty;
    uint64_t start;
} tg_sink;

struct tg_profile {
    tg_sink *sink;
    uint64_t flushed;
    size_t n;
    int tid;
    char text[BUFFER];
};

static tg_sink sinks[SINKS];
static mtx_t lock;
static once_flag once = ONCE_FLAG_INIT;

static void make_lock(void)
{
    mtx_init(&lock, mtx_plain);
}

uint64_t tg_profile_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* -- the file ---------------------------------------------------------------------------------------------
 */

static bool put_at(int fd, const char *text, size_t n, off_t at)
{
    while (n) {
        ssize_t done = pwrite(fd, text, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        text += done;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

static bool start_file(tg_sink *s)
{
    s->empty = true;
    s->at = sizeof head - 1;
    return !ftruncate(s->fd, 0) && put_at(s->fd, head, sizeof head - 1, 0) &&
           put_at(s->fd, foot, sizeof foot - 1, s->at);
}

/* Goes on where this process ended, unless the file is another by now. */
static bool open_sink(tg_sink *s)
{
    struct stat st;
    s->pid = getpid();
    s->fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->fd < 0)
        return false;
    if (s->at && !fstat(s->fd, &st) && st.st_size == s->at + (off_t)sizeof foot - 1)
        return true;
    if (!s->start)
        s->start = tg_profile_now();
    if (start_file(s))
        return true;
    close(s->fd);
    return false;
}

static tg_sink *sink_for(const char *path)
{
    tg_sink *unused = NULL;
    for (int i = 0; i < SINKS; i++) {
        if (!strcmp(sinks[i].path, path))
            return &sinks[i];
        if (!sinks[i].path[0] && !unused)
            unused = &sinks[i];
    }
    return unused;
}

tg_status tg_profile_environment(tg_runtime *rt)
{
    const char *path = getenv("TAPEGRAD_PROFILE");
    if (!path || !*path || !strcmp(path, "0"))
        return TG_OK;
    call_once(&once, make_lock);
    mtx_lock(&lock);
    tg_sink *s = strlen(path) < sizeof sinks->path ? sink_for(path) : NULL;
    const char *why = "too long a name, or more than 8 files";
    if (s) {
        snprintf(s->path, sizeof s->path, "%s", path);
        bool opened = s->users || open_sink(s);
        why = strerror(errno);
        if (opened)
            s->users++;
        else if (!s->at)
            s->path[0] = '\0';
        s = opened ? s : NULL;
    }
    rt->profile = s;
    mtx_unlock(&lock);
    return s ? TG_OK : tg_fail(NULL, TG_EIO, "TAPEGRAD_PROFILE=%s cannot be written: %s", path, why);
}

void tg_profile_close(tg_runtime *rt)
{
    if (!rt->profile)
        return;
    mtx_lock(&lock);
    if (!--rt->profile->users)
        close(rt->profile->fd);
    rt->profile = NULL;
    mtx_unlock(&lock);
}

/* -- a tape's buffer --------------------------------------------------------------------------------------
 */

void tg_profile_flush(tg_tape *tape)
{
    struct tg_profile *p = tape->profile;
    if (!p)
        return;
    p->flushed = tg_profile_now();
    if (!p->n)
        return;
    tg_sink *s = p->sink;
    if (s->pid != getpid()) {
        p->n = 0;
        return;
    }
    mtx_lock(&lock);
    const size_t skip = s->empty ? 1 : 0; /* the comma before the first event */
    bool done = put_at(s->fd, p->text + skip, p->n - skip, s->at) &&
                put_at(s->fd, foot, sizeof foot - 1, s->at + (off_t)(p->n - skip));
    if (done) {
        s->at += (off_t)(p->n - skip);
        s->empty = false;
    }
    mtx_unlock(&lock);
    p->n = 0;
    if (done)
        return;
    tape->watch &= (uint8_t)~TG_WATCH_PROFILE;
    tg_runtime_log(tape->rt, TG_LOG_ERROR, "TAPEGRAD_PROFILE=%s: %s; the profile of a tape ends here",
                   s->path, strerror(errno));
}

void tg_profile_idle(tg_tape *tape)
{
    if (tape->profile && tg_profile_now() - tape->profile->flushed > LONG_AGO)
        tg_profile_flush(tape);
}

static void put(struct tg_profile *p, const char *format, ...) TG_PRINTF(2, 3);
static void put(struct tg_profile *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = tg_vformat(p->text + p->n, BUFFER - p->n, format, args);
    va_end(args);
    p->n = n < 0 || (size_t)n >= BUFFER - p->n ? BUFFER - 1 : p->n + (size_t)n;
}

/* The bytes of the UTF-8 sequence at s, 0 where there is none. */
static int sequence(const char *s)
{
    const unsigned char c = (unsigned char)*s;
    const int n = c < 0x80                ? 1
                  : c >= 0xc2 && c < 0xe0 ? 2
                  : c >= 0xe0 && c < 0xf0 ? 3
                  : c >= 0xf0 && c < 0xf5 ? 4
                                          : 0;
    for (int i = 1; i < n; i++)
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* A string's inside: some 512 bytes of it, so that an event fits its reserve. */
static void put_escaped(struct tg_profile *p, const char *s)
{
    int n;
    for (int i = 0; *s && i < 512; s += n ? n : 1, i += n ? n : 1) {
        n = sequence(s);
        if (!n)
            put(p, "?");
        else if (*s == '"' || *s == '\\')
            put(p, "\\%c", *s);
        else if (n == 1 && (unsigned char)*s < 0x20)
            put(p, "\\u%04x", (unsigned)*s);
        else
            put(p, "%.*s", n, s);
    }
}

tg_status tg_profile_open_tape(tg_tape *tape)
{
    tg_sink *s = tape->rt->profile;
    if (!s)
        return TG_OK;
    struct tg_profile *p = tape->profile = tg_alloc(&tape->rt->allocator, sizeof *p);
    if (!p)
        return TG_ENOMEM;
    mtx_lock(&lock);
    *p = (struct tg_profile){.sink = s, .tid = ++s->tapes, .flushed = tg_profile_now()};
    mtx_unlock(&lock);
    put(p, ",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":\"tape %d\"}}",
        (int)p->sink->pid, p->tid, p->tid);
    tape->watch |= TG_WATCH_PROFILE;
    return TG_OK;
}

void tg_profile_close_tape(tg_tape *tape)
{
    tg_profile_flush(tape);
    tg_free(&tape->rt->allocator, tape->profile);
    tape->profile = NULL;
}

/* -- events -----------------------------------------------------------------------------------------------
 */

static void reserve(tg_tape *tape)
{
    if (BUFFER - tape->profile->n < EVENT)
        tg_profile_flush(tape);
}

static const char *name_of(const tg_node *node)
{
    return node->layer ? tg_module_class_name(node->layer) : node->op->name;
}

static void put_times(struct tg_profile *p, const char *category, uint64_t start, uint64_t end)
{
    put(p,
        "\",\"cat\":\"%s\",\"ph\":\"X\",\"ts\":%.3f,\"dur\":%.3f,\"pid\":%d,\"tid\":%d,\"args\":{\"place\":"
        "\"",
        category, (double)(start - p->sink->start) / 1e3, (double)(end - start) / 1e3, (int)p->sink->pid,
        p->tid);
}

static void put_place(struct tg_profile *p, const char *file, int line)
{
    put_escaped(p, file ? file : "?");
    put(p, ":%d\"", line);
}

static int64_t put_shapes(struct tg_profile *p, const char *key, tg_tensor *const t[], size_t n)
{
    int64_t bytes = 0;
    put(p, ",\"%s\":\"", key);
    for (size_t i = 0; i < n; i++) {
        char shape[128];
        const tg_value *v = t[i] ? tg_resolve(t[i]) : NULL;
        bytes += v ? tg_desc_count(v->desc) * (int64_t)tg_dtype_size(v->desc->dtype) : 0;
        if (i < SHAPES)
            put(p, "%s%s", i ? ", " : "", v ? tg_desc_format(v->desc, shape, sizeof shape) : "-");
    }
    put(p, "%s\"", n > SHAPES ? ", ..." : "");
    return bytes;
}

void tg_profile_operator(tg_tape *tape, const tg_watched *w, tg_tensor *const out[])
{
    struct tg_profile *p = tape->profile;
    const uint64_t end = tg_profile_now();
    const tg_node *of = tape->rule_of;
    const tg_loaded *b = w->entry ? w->entry->backend : NULL;
    reserve(tape);
    put(p, ",\n{\"name\":\"");
    put_escaped(p, w->op->name);
    put_times(p, tape->sweep_depth ? "backward" : "forward", w->start, end);
    const tg_node *origin = of ? tg_watch_origin(tape, of) : NULL;
    put_place(p, origin ? origin->file : tg_here_file(), origin ? origin->line : tg_here_line());
    if (of) {
        put(p, ",\"backward_of\":\"");
        put_escaped(p, name_of(of));
        put(p, "\"");
    }
    int64_t bytes = put_shapes(p, "in", w->in, w->n_in);
    bytes += put_shapes(p, "out", out, w->op->n_out);
    if (b) {
        put(p, ",\"backend\":\"%s\",\"implementation\":\"%s%s", b->name, b->library,
            b->library[0] ? " " : "");
        put_escaped(p, w->entry->prepared.implementation ? w->entry->prepared.implementation : b->kernels);
        put(p, "\",\"threads\":%d", w->entry->threads);
        if (w->entry->fallback) {
            put(p, ",\"fallback\":\"");
            put_escaped(p, w->entry->fallback);
            put(p, "\"");
        }
    }
    put(p, ",\"bytes\":%" PRId64 "}}", w->op->flags & TG_OP_VIEW ? 0 : bytes);
}

void tg_profile_rule(tg_tape *tape, const tg_node *node, uint64_t start)
{
    struct tg_profile *p = tape->profile;
    const uint64_t end = tg_profile_now();
    reserve(tape);
    const tg_node *origin = tg_watch_origin(tape, node);
    put(p, ",\n{\"name\":\"backward of ");
    put_escaped(p, name_of(node));
    put_times(p, "rule", start, end);
    put_place(p, origin->file, origin->line);
    put(p, ",\"node\":%u}}", node->index);
}

const tg_node *tg_watch_origin(const tg_tape *tape, const tg_node *node)
{
    while (node->made_by < node->index && node->made_by < tape->n_nodes)
        node = tape->nodes[node->made_by];
    return node;
}

/* -- what apply.c and engine.c call -----------------------------------------------------------------------
 */

tg_status tg_watch_enter(tg_tape *tape, tg_watched *w)
{
    tg_status status = tape->watch & TG_WATCH_ANOMALY ? tg_anomaly_before(tape, w) : TG_OK;
    if (status == TG_OK && (tape->watch & TG_WATCH_VERIFY))
        status = tg_verify_before(tape, w);
    w->start = tape->watch & TG_WATCH_PROFILE ? tg_profile_now() : 0;
    return status;
}

tg_status tg_watch_leave(tg_tape *tape, tg_watched *w, tg_tensor *const out[], tg_status status)
{
    if ((tape->watch & TG_WATCH_PROFILE) && w->start && status == TG_OK)
        tg_profile_operator(tape, w, out);
    if (status == TG_OK && (tape->watch & TG_WATCH_VERIFY))
        status = tg_verify_after(tape, w, out);
    if (tape->watch & TG_WATCH_ANOMALY)
        status = tg_anomaly_after(tape, w, out, status);
    return status;
}

void tg_watch_rule_enter(tg_tape *tape, tg_watched_rule *w)
{
    *w = (tg_watched_rule){tape->suspect, tape->watch & TG_WATCH_PROFILE ? tg_profile_now() : 0};
    tape->suspect = NULL;
}

tg_status tg_watch_rule_leave(tg_tape *tape, const tg_watched_rule *w, const tg_node *node,
                              tg_tensor *const gy[], tg_tensor *const gx[], tg_status status)
{
    if ((tape->watch & TG_WATCH_PROFILE) && w->start)
        tg_profile_rule(tape, node, w->start);
    if (status == TG_OK && (tape->watch & TG_WATCH_ANOMALY))
        status = tg_anomaly_rule(tape, node, gy, gx);
    tape->suspect = w->suspect;
    return status;
}
