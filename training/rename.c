/* Names of tensors by rules: "encoder.layer.*.attention." becomes "blocks.*.attn.". */
#include "training/model_file.h"

#include <stdio.h>
#include <string.h>

enum { MAX_STARS = 8 };

typedef struct stars {
    const char *at[MAX_STARS];
    size_t n[MAX_STARS];
} stars;

static size_t count_stars(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += *s == '*';
    return n;
}

tg_status tg_rename_check(const char *who, const tg_rename *rules, size_t n)
{
    if (n && !rules)
        return tg_fail(NULL, TG_EINVAL, "%s: the array of rules is NULL", who);
    for (size_t i = 0; i < n; i++) {
        const tg_rename *r = &rules[i];
        if (!r->from)
            return tg_fail(NULL, TG_EINVAL, "%s: rule %zu renames from NULL", who, i);
        if (count_stars(r->from) > MAX_STARS || (r->to && count_stars(r->to) > count_stars(r->from)))
            return tg_fail(
                NULL, TG_EINVAL,
                "%s: rule %zu, \"%s\" to \"%s\": expected at most %d stars, and no more on the right", who, i,
                r->from, r->to ? r->to : "", MAX_STARS);
    }
    return TG_OK;
}

/* Where the match of `p` at the beginning of `s` ends; NULL: there is none. */
static const char *match(const char *p, bool end_anywhere, const char *s, stars *found, size_t k)
{
    for (; *p && *p != '*'; p++, s++)
        if (*p != *s)
            return NULL;
        else
            end_anywhere = *p == '.';
    if (!*p)
        return end_anywhere || !*s ? s : NULL;
    for (size_t n = strcspn(s, "."); n > 0; n--) {
        const char *end = match(p + 1, false, s + n, found, k + 1);
        if (end) {
            found->at[k] = s;
            found->n[k] = n;
            return end;
        }
    }
    return NULL;
}

static bool put(char *out, size_t *at, const char *s, size_t n)
{
    if (*at + n >= TG_NAME_MAX)
        return false;
    memcpy(out + *at, s, n);
    *at += n;
    out[*at] = '\0';
    return true;
}

static bool expand(const char *to, const stars *found, const char *rest, char *out)
{
    size_t at = 0, k = 0;
    bool fits = true;
    for (; *to && fits; to++)
        if (*to == '*') {
            fits = put(out, &at, found->at[k], found->n[k]);
            k++;
        } else {
            fits = put(out, &at, to, 1);
        }
    return fits && put(out, &at, rest, strlen(rest));
}

tg_status tg_rename_apply(const tg_rename *rules, size_t n, const char *name, char out[TG_NAME_MAX])
{
    char now[TG_NAME_MAX];
    bool fits = strlen(name) < TG_NAME_MAX;
    snprintf(out, TG_NAME_MAX, "%s", name);
    for (size_t i = 0; i < n && fits; i++) {
        stars found;
        memcpy(now, out, sizeof now);
        const char *rest = match(rules[i].from, true, now, &found, 0);
        if (!rest)
            continue;
        if (!rules[i].to) {
            out[0] = '\0';
            return TG_OK;
        }
        fits = expand(rules[i].to, &found, rest, out);
    }
    return fits ? TG_OK
                : tg_fail(NULL, TG_EINVAL, "the name \"%.64s…\" would be longer than %d bytes", name,
                          TG_NAME_MAX - 1);
}
