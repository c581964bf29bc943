/* Line charts as SVG. */
#include "autograd/internal.h"
#include <tapegrad/monitor.h>

#include <errno.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 460, HEIGHT = 320, LEFT = 62, RIGHT = 18, TOP = 44, BOTTOM = 74, LEGEND = 118 };

static const char *const colours[] = {"#0b62a4", "#d9541e", "#2f8f4e", "#8350a8", "#b8860b", "#4a4a4a"};
static const char *const dashes[] = {"none", "6 3", "2 3"};
enum { N_COLOURS = sizeof colours / sizeof *colours };

typedef struct axis {
    double low, high, step;
} axis;

/* -- scales ---------------------------------------------------------------------------------------------- */
/* 1, 2, 2.5 or 5 times a power of ten, for about `ticks` ticks. */
static double nice_step(double range, int ticks)
{
    double raw = range / ticks, power = pow(10, floor(log10(raw))), part = raw / power;
    return (part <= 1 ? 1 : part <= 2 ? 2 : part <= 2.5 ? 2.5 : part <= 5 ? 5 : 10) * power;
}

static axis make_axis(double low, double high, int ticks)
{
    if (!(low <= high))
        low = 0, high = 1;
    if (high - low < 1e-12 * fmax(fabs(low), fabs(high)) || high == low) {
        double pad = fabs(low) > 0 ? fabs(low) * 0.1 : 1;
        low -= pad;
        high += pad;
    }
    double step = nice_step(high - low, ticks);
    return (axis){floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, step};
}

static axis fit(const tg_chart *chart, bool vertical)
{
    double low = (double)INFINITY, high = -(double)INFINITY;
    for (size_t c = 0; c < chart->n_curves; c++) {
        const double *v = vertical ? chart->curves[c].y : chart->curves[c].x;
        for (size_t i = 0; i < chart->curves[c].n; i++)
            if (isfinite(v[i])) {
                low = fmin(low, v[i]);
                high = fmax(high, v[i]);
            }
    }
    axis a = make_axis(low, high, vertical ? 5 : 6);
    if (!vertical && low < high) { /* curves reach both edges */
        a.low = low > 0 && low < 0.1 * high ? 0 : low;
        a.high = high;
    }
    return a;
}

static double scale(axis a, double v, double from, double to)
{
    return from + (v - a.low) / (a.high - a.low) * (to - from);
}

/* -- drawing --------------------------------------------------------------------------------------------- */
static void put_text(FILE *f, const char *text)
{
    for (const char *c = text ? text : ""; *c; c++) {
        if (*c == '<')
            fputs("&lt;", f);
        else if (*c == '>')
            fputs("&gt;", f);
        else if (*c == '&')
            fputs("&amp;", f);
        else if ((unsigned char)*c >= 32)
            fputc(*c, f);
    }
}

static void put_label(FILE *f, const char *style, double x, double y, const char *extra, const char *text)
{
    fprintf(f, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\"%s>", style, x, y, extra);
    put_text(f, text);
    fputs("</text>\n", f);
}

/* As many decimals as the ticks' distance needs. */
static void format_tick(char *buf, size_t size, double value, double step)
{
    int decimals = 0;
    for (double s = step; decimals < 9 && fabs(s - round(s)) > 1e-6 * s; s *= 10)
        decimals++;
    if (fabs(value) < step * 1e-6)
        value = 0;
    snprintf(buf, size, "%.*f", decimals, value);
    if (fabs(value) >= 1e6)
        snprintf(buf, size, "%.3g", value);
}

static void draw_axes(FILE *f, const tg_chart *chart, axis x, axis y)
{
    char text[32];
    const double left = LEFT, right = WIDTH - RIGHT, top = TOP, bottom = HEIGHT - BOTTOM;
    for (double v = y.low; v <= y.high + y.step / 2; v += y.step) {
        double at = scale(y, v, bottom, top);
        fprintf(f, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", left, at,
                right, at);
        format_tick(text, sizeof text, v, y.step);
        put_label(f, "tick", left - 8, at + 4, " text-anchor=\"end\"", text);
    }
    for (double v = ceil(x.low / x.step - 1e-9) * x.step; v <= x.high + x.step * 1e-6; v += x.step) {
        double at = scale(x, v, left, right);
        fprintf(f, "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", at, bottom, at,
                bottom + 5);
        format_tick(text, sizeof text, v, x.step);
        put_label(f, "tick", at, bottom + 18, " text-anchor=\"middle\"", text);
    }
    fprintf(f, "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", left, top, bottom, right);
    put_label(f, "title", left, TOP - 18, "", chart->title);
    put_label(f, "label", (left + right) / 2, bottom + 36, " text-anchor=\"middle\"", chart->x_label);
    snprintf(text, sizeof text, " text-anchor=\"middle\"");
    fprintf(f, "<g transform=\"translate(16 %.1f) rotate(-90)\">", (top + bottom) / 2);
    put_label(f, "label", 0, 0, text, chart->y_label);
    fputs("</g>\n", f);
}

static void draw_curve(FILE *f, const tg_curve *c, size_t k, axis x, axis y)
{
    const char *colour = colours[k % N_COLOURS], *dash = dashes[k / N_COLOURS % 3];
    bool pen = false;
    fprintf(f, "<path class=\"curve\" stroke=\"%s\" stroke-dasharray=\"%s\" d=\"", colour, dash);
    for (size_t i = 0; i < c->n; i++) {
        bool there = isfinite(c->x[i]) && isfinite(c->y[i]);
        if (there)
            fprintf(f, "%c%.2f %.2f", pen ? 'L' : 'M', scale(x, c->x[i], LEFT, WIDTH - RIGHT),
                    scale(y, c->y[i], HEIGHT - BOTTOM, TOP));
        pen = there;
    }
    fputs("\"/>\n", f);
    for (size_t i = 0; i < c->n && c->n <= 25; i++)
        if (isfinite(c->x[i]) && isfinite(c->y[i]))
            fprintf(
                f,
                "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"2.6\" fill=\"%s\"><title>%.6g: %.6g</title></circle>\n",
                scale(x, c->x[i], LEFT, WIDTH - RIGHT), scale(y, c->y[i], HEIGHT - BOTTOM, TOP), colour,
                c->x[i], c->y[i]);
}

/* One row under the chart; what does not fit is left to the colours. */
static void draw_legend(FILE *f, const tg_chart *chart)
{
    for (size_t k = 0; k < chart->n_curves && k < (WIDTH - LEFT) / LEGEND; k++) {
        double x = LEFT + (double)k * LEGEND, y = HEIGHT - 14;
        fprintf(
            f, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2.5\"/>\n",
            x, y - 4, x + 20, y - 4, colours[k % N_COLOURS]);
        put_label(f, "tick", x + 26, y, "", chart->curves[k].label);
    }
}

static void draw_chart(FILE *f, const tg_chart *chart, size_t place)
{
    axis x = fit(chart, false), y = fit(chart, true);
    fprintf(f, "<g transform=\"translate(%zu 0)\">\n", place * WIDTH);
    draw_axes(f, chart, x, y);
    for (size_t k = 0; k < chart->n_curves; k++)
        draw_curve(f, &chart->curves[k], k, x, y);
    draw_legend(f, chart);
    fputs("</g>\n", f);
}

tg_status tg_charts_write_svg(const char *path, const tg_chart *charts, size_t n)
{
    if (!path || (n && !charts))
        return tg_fail(NULL, TG_EINVAL, "tg_charts_write_svg: the %s is NULL",
                       path ? "array of charts" : "path");
    FILE *f = fopen(path, "w");
    if (!f)
        return tg_fail(NULL, TG_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    const locale_t before = tg_plain_numbers();
    size_t width = n ? n * WIDTH : WIDTH;
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%zu\" height=\"%d\" viewBox=\"0 0 %zu %d\">\n"
            "<style>text{font-family:system-ui,-apple-system,'Segoe UI',sans-serif;fill:#222}"
            ".title{font-size:15px;font-weight:600}.label{font-size:12px;fill:#555}.tick{font-size:11px;fill:"
            "#444}"
            ".grid{stroke:#e4e4e4}.axis{stroke:#777;fill:none}"
            ".curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            width, HEIGHT, width, HEIGHT);
    for (size_t i = 0; i < n; i++)
        draw_chart(f, &charts[i], i);
    fputs("</svg>\n", f);
    uselocale(before);
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed)
        return tg_fail(NULL, TG_EIO, "%s: cannot be written: %s", path, strerror(errno));
    return TG_OK;
}
