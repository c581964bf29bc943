/* What a training loop shows: a progress bar, table rows, curves as SVG. Quiet where the stream is not a
 * terminal. */
#ifndef TAPEGRAD_MONITOR_H
#define TAPEGRAD_MONITOR_H

#include <stdio.h>

#include <tapegrad/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A bar on one line of a terminal: label, done/total, loss, examples/s, time left. Writes nothing when `to`
 * is not a terminal. Plain data of the caller's: no allocation. */
typedef struct tg_progress {
    FILE *to;
    bool terminal;
    int64_t total, done, examples;
    double start, last_drawn, loss;
    char label[48];
} tg_progress;
TG_API void tg_progress_begin(tg_progress *p, FILE *to, const char *label, int64_t total);
/* One more of `total`; `examples` seen in it. Draws at most ten times a second. */
TG_API void tg_progress_step(tg_progress *p, int64_t examples, double loss);
/* Clears the line. */
TG_API void tg_progress_end(tg_progress *p);
/* Seconds of a monotonic clock. */
TG_API double tg_seconds(void);

/* One curve of a chart: n points (x[i], y[i]); NaN breaks the line. */
typedef struct tg_curve {
    const char *label;
    const double *x, *y;
    size_t n;
} tg_curve;
typedef struct tg_chart {
    const char *title, *x_label, *y_label;
    const tg_curve *curves;
    size_t n_curves;
} tg_chart;
/* Writes the charts side by side as one SVG: axes with round ticks, a legend, up to six colours. Not finite
 * values are left out. TG_EIO. */
TG_API tg_status tg_charts_write_svg(const char *path, const tg_chart *charts, size_t n);

#ifndef TG_NO_LOCATION
#define tg_charts_write_svg(...) TG_AT(tg_charts_write_svg(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
