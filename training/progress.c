#include "autograd/internal.h"
#include <tapegrad/monitor.h>

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24 };

double tg_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void tg_progress_begin(tg_progress *p, FILE *to, const char *label, int64_t total)
{
    *p = (tg_progress){.to = to, .total = total, .start = tg_seconds()};
    p->terminal = to && isatty(fileno(to));
    p->last_drawn = -1;
    snprintf(p->label, sizeof p->label, "%s", label ? label : "");
}

static void format_time(char *buf, size_t size, double seconds)
{
    long s = seconds < 1e7 ? (long)ceil(seconds) : 9999999;
    if (s < 3600)
        snprintf(buf, size, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(buf, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

static void draw(const tg_progress *p, double now)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    double part = p->total > 0 ? (double)p->done / (double)p->total : 0, seconds = now - p->start;
    part = part > 1 ? 1 : part;
    int cells = (int)(part * BAR * 8), full = cells / 8;
    char bar[BAR * 4 + 8] = "", left[32];
    size_t at = 0;
    for (int i = 0; i < full; i++)
        at += (size_t)snprintf(bar + at, sizeof bar - at, "█");
    if (full < BAR)
        at += (size_t)snprintf(bar + at, sizeof bar - at, "%s", eighths[cells % 8]);
    for (int i = full + (full < BAR && cells % 8); i < BAR; i++)
        at += (size_t)snprintf(bar + at, sizeof bar - at, " ");
    format_time(left, sizeof left, part > 0 ? seconds / part - seconds : 0);
    const locale_t before = tg_plain_numbers();
    fprintf(p->to, "\r\033[K%s │%s│ %lld/%lld  loss %.4f  %.0f examples/s  %s left", p->label, bar,
            (long long)p->done, (long long)p->total, p->loss, seconds > 0 ? (double)p->examples / seconds : 0,
            left);
    uselocale(before);
    fflush(p->to);
}

void tg_progress_step(tg_progress *p, int64_t examples, double loss)
{
    p->done++;
    p->examples += examples;
    p->loss = loss;
    if (!p->terminal)
        return;
    double now = tg_seconds();
    if (p->last_drawn >= 0 && now - p->last_drawn < 0.1)
        return;
    p->last_drawn = now;
    draw(p, now);
}

void tg_progress_end(tg_progress *p)
{
    if (!p->terminal)
        return;
    fprintf(p->to, "\r\033[K");
    fflush(p->to);
}
