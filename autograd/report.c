/* What ran where, and why not elsewhere: counted by the tapes, summed in the runtime, written at its close.
 */
#include "autograd/internal.h"

#include <stdio.h>
#include <string.h>

/* One word: the report's columns are apart by blanks. */
static const char *implementation(const tg_entry *e)
{
    const char *name = e->prepared.implementation;
    return name && *name ? name : "-";
}

static tg_report_row *row_for(tg_runtime *rt, const tg_entry *e)
{
    for (size_t i = 0; i < rt->n_report; i++) {
        tg_report_row *r = &rt->report[i];
        if (!strcmp(r->op, e->op->name) && !strcmp(r->backend, e->backend->name) &&
            !r->reason[0] == !e->fallback &&
            !strncmp(r->implementation, implementation(e), sizeof r->implementation - 1))
            return r;
    }
    if (tg_grow(&rt->allocator, &rt->report, &rt->report_capacity, rt->n_report + 1, sizeof *rt->report))
        return NULL;
    tg_report_row *r = &rt->report[rt->n_report++];
    *r = (tg_report_row){0};
    snprintf(r->op, sizeof r->op, "%s", e->op->name);
    snprintf(r->backend, sizeof r->backend, "%s", e->backend->name);
    snprintf(r->implementation, sizeof r->implementation, "%s", implementation(e));
    snprintf(r->reason, sizeof r->reason, "%s", e->fallback ? e->fallback : "");
    return r;
}

void tg_report_add(tg_runtime *rt, const tg_entry *e)
{
    if (!e->kernel || !e->calls || !(rt->report_to_stderr || rt->report_path[0]))
        return;
    mtx_lock(&rt->lock);
    tg_report_row *r = row_for(rt, e);
    if (r) {
        r->calls += e->calls;
        r->ns += e->seconds_ns;
        r->reorders += e->calls * e->prepared.reorders;
        r->fallbacks += e->fallback ? e->calls : 0;
    }
    mtx_unlock(&rt->lock);
}

void tg_runtime_report(tg_runtime *rt, FILE *to)
{
    if (!rt || !to)
        return;
    const locale_t before = tg_plain_numbers();
    mtx_lock(&rt->lock);
    fprintf(to, "tapegrad report: chain %s\n", rt->chain);
    fprintf(to, "%-24s %-12s %12s %12s %12s %10s  %-24s %s\n", "operator", "backend", "calls", "ms", "fallbacks",
            "reorders", "implementation", "reason");
    for (size_t i = 0; i < rt->n_report; i++) {
        const tg_report_row *r = &rt->report[i];
        fprintf(to, "%-24s %-12s %12llu %12.3f %12llu %10llu  ", r->op, r->backend, (unsigned long long)r->calls,
                (double)r->ns / 1e6, (unsigned long long)r->fallbacks, (unsigned long long)r->reorders);
        for (const char *c = r->implementation; *c; c++)
            fputc(*c == ' ' ? '_' : *c, to);
        fprintf(to, "%*s %s\n", (int)strlen(r->implementation) < 24 ? 24 - (int)strlen(r->implementation) : 0, "",
                r->reason);
    }
    mtx_unlock(&rt->lock);
    uselocale(before);
}
