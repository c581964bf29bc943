/* A sample's inputs, from their text (operator.h). */
#include <string.h>

#include "autograd/internal.h"

typedef struct reader {
    const char *at;
    bool wrong;
} reader;

/* Spaces and commas separate, and mean nothing. */
static char next(reader *r)
{
    while (*r->at == ' ' || *r->at == ',')
        r->at++;
    return *r->at;
}

static bool take(reader *r, char c)
{
    if (next(r) != c)
        return false;
    r->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* As C writes it, whatever the locale: -2, 0.25, .5f, 1e-5. */
static double number(reader *r)
{
    const bool minus = take(r, '-');
    double value = 0, scale = 1;
    int exponent = 0, digits = 0;
    next(r);
    for (; is_digit(*r->at); r->at++, digits++)
        value = 10 * value + (*r->at - '0');
    if (*r->at == '.')
        for (r->at++; is_digit(*r->at); r->at++, digits++, scale *= 10)
            value = 10 * value + (*r->at - '0');
    if (*r->at == 'e' && r->at[1] == '-')
        for (r->at += 2; is_digit(*r->at) && exponent < 30; r->at++)
            exponent = 10 * exponent + (*r->at - '0');
    for (; exponent > 0; exponent--)
        scale *= 10;
    if (*r->at == 'f')
        r->at++;
    r->wrong |= digits < 1 || digits > 15;
    return (minus ? -value : value) / scale;
}

static bool word(reader *r, const char *text)
{
    const size_t n = strlen(text);
    next(r);
    if (strncmp(r->at, text, n) != 0)
        return false;
    r->at += n;
    return true;
}

static void dims(reader *r, tg_sample_input *in)
{
    for (in->ndim = 0; !take(r, ']') && !r->wrong;) {
        const double n = number(r);
        r->wrong |= in->ndim == TG_MAX_DIM || !(n >= 0 && n <= INT16_MAX);
        if (!r->wrong)
            in->dim[in->ndim++] = (int16_t)n;
    }
}

static void kinks(reader *r, tg_sample_input *in)
{
    in->distance = (float)number(r);
    r->wrong |= !word(r, "from") || !take(r, '[');
    for (in->n_kinks = 0; !r->wrong && !take(r, ']');) {
        const float kink = (float)number(r);
        r->wrong |= in->n_kinks == TG_SAMPLE_KINKS;
        if (!r->wrong)
            in->kinks[in->n_kinks++] = kink;
    }
}

static void item(reader *r, tg_sample_input *in)
{
    static const struct {
        const char *text;
        uint8_t flag, dtype;
    } words[] = {
        {"i64", 0, TG_I64},
        {"boolean", 0, TG_BOOL},
        {"constant", TG_SAMPLE_NO_GRAD, 0},
        {"distinct", TG_SAMPLE_DISTINCT, 0},
        {"strided", TG_SAMPLE_STRIDED, 0},
        {"absent", TG_SAMPLE_ABSENT, 0},
        {"first_order", TG_SAMPLE_FIRST_ORDER, 0},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (word(r, words[i].text)) {
            in->flags |= words[i].flag;
            in->dtype = words[i].dtype ? words[i].dtype : in->dtype;
            return;
        }
    if (take(r, '['))
        dims(r, in);
    else if (word(r, "away"))
        kinks(r, in);
    else if (word(r, "apart"))
        in->distance = (float)number(r);
    else {
        in->low = (float)number(r);
        r->wrong |= !take(r, ':');
        in->high = (float)number(r);
    }
}

tg_status tg_sample_read(const tg_sample *sample, tg_sample_inputs *out)
{
    memset(out, 0, sizeof *out);
    reader r = {sample->in ? sample->in : "", false};
    while (next(&r) && !r.wrong) {
        if (word(&r, "tolerance")) {
            out->tolerance = (float)number(&r);
            continue;
        }
        r.wrong |= !take(&r, '{') || out->n == TG_SAMPLE_IN;
        while (!r.wrong && !take(&r, '}'))
            item(&r, &out->in[out->n]);
        out->n++;
    }
    return r.wrong ? tg_fail(NULL, TG_EINVAL, "sample '%s': its inputs are not as operator.h writes them, from '%.20s'",
                             sample->label ? sample->label : "", r.at)
                   : TG_OK;
}
