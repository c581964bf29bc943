#include <string.h>

#include <tapegrad/module_tools.h>

#include "layers/internal.h"

enum { LAYER, OUTPUT, PARAMETERS, MULTIPLY_ADDS, OUTPUT_BYTES, PARAMETER_BYTES, MODE, FROZEN, N_COLUMNS };
static const char *const titles[] = {"layer",      "output",        "parameters", "multiply-adds",
                                     "output mem", "parameter mem", "mode",       "frozen"};

/* "1,234,567". */
static const char *whole(double x, char out[40])
{
    char digits[32];
    const int n = snprintf(digits, sizeof digits, "%.0f", x);
    char *to = out;
    for (int i = 0; i < n; i++) {
        *to++ = digits[i];
        if ((n - i - 1) % 3 == 0 && i < n - 1)
            *to++ = ',';
    }
    *to = '\0';
    return out;
}

static const char *size_of(size_t bytes, char out[40])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double x = (double)bytes;
    int unit = 0;
    while (x >= 1024 && unit < 4) {
        x /= 1024;
        unit++;
    }
    snprintf(out, 40, unit ? "%.1f %s" : "%.0f %s", x, units[unit]);
    return out;
}

static const char *cell(const tg_summary_row *row, int column, char *buf, size_t size)
{
    static const char *const frozen[] = {"-", "statistics", "affine", "all"};
    const char *name = strrchr(row->path, '.');
    switch (column) {
    case LAYER:
        snprintf(buf, size, "%*s%s%s%s", 2 * row->depth, "", name ? name + 1 : row->path,
                 *row->path ? " " : "", row->class_name);
        return buf;
    case OUTPUT:
        if (!row->calls)
            return "not called";
        tg_desc_format(&row->out, buf, size);
        if (row->n_out > 1)
            snprintf(buf + strlen(buf), size - strlen(buf), " and %zu more", row->n_out - 1);
        return buf;
    case PARAMETERS: return whole((double)row->parameters, buf);
    case MULTIPLY_ADDS: return whole(row->multiply_adds, buf);
    case OUTPUT_BYTES: return size_of(row->output_bytes, buf);
    case PARAMETER_BYTES: return size_of(row->parameter_bytes, buf);
    case MODE: return row->mode == TG_TRAIN ? "train" : "eval";
    default: return frozen[row->frozen & 3];
    }
}

static void measure(const tg_summary *s, int width[N_COLUMNS])
{
    char buf[400];
    for (int c = 0; c < N_COLUMNS; c++) {
        width[c] = (int)strlen(titles[c]);
        for (size_t i = 0; i < s->n; i++) {
            const int n = (int)strlen(cell(&s->row[i], c, buf, sizeof buf));
            width[c] = n > width[c] ? n : width[c];
        }
    }
}

/* Numbers end, words begin, under each other. */
static bool ends_aligned(int column)
{
    return column >= PARAMETERS && column <= PARAMETER_BYTES;
}

static void print_row(FILE *to, const tg_summary_row *row, const int width[N_COLUMNS])
{
    char buf[400];
    for (int c = 0; c < N_COLUMNS; c++) {
        const char *text = row ? cell(row, c, buf, sizeof buf) : titles[c];
        const int w = c == N_COLUMNS - 1 ? 0 : width[c];
        fprintf(to, "%s%*s", c ? "  " : "", ends_aligned(c) ? w : -w, text);
    }
    fputc('\n', to);
}

static void print_totals(FILE *to, const tg_summary *s)
{
    const tg_summary_row *all = &s->row[0];
    char a[40], b[40], c[40];
    fprintf(to, "parameters     %s: %s trainable, %s not; %s in buffers\n", whole((double)all->parameters, a),
            whole((double)all->trainable, b), whole((double)(all->parameters - all->trainable), c),
            size_of(all->buffer_bytes, (char[40]){0}));
    fprintf(to, "multiply-adds  %s\n", whole(all->multiply_adds, a));
    fprintf(to, "memory         %s parameters and buffers; a forward %s more, with backward %s\n",
            size_of(all->parameter_bytes + all->buffer_bytes, a), size_of(s->forward.peak, b),
            size_of(s->training.peak, c));
}

tg_status tg_summary_print(const tg_summary *summary, FILE *to)
{
    int width[N_COLUMNS];
    if (!summary || !summary->n || !to)
        return tg_fail(NULL, TG_EINVAL, "tg_summary_print: the %s",
                       to ? "summary is empty" : "stream is NULL");
    const locale_t before = tg_plain_numbers();
    measure(summary, width);
    print_row(to, NULL, width);
    for (size_t i = 0; i < summary->n; i++)
        print_row(to, &summary->row[i], width);
    print_totals(to, summary);
    uselocale(before);
    return ferror(to) ? tg_fail(NULL, TG_EIO, "tg_summary_print: writing failed") : TG_OK;
}
