#include "backends/blis/choose.h"

#include <stdlib.h>
#include <string.h>

static const tg_blis_set *by_name(const tg_blis_set *sets, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(sets[i].name, name))
            return &sets[i];
    return NULL;
}

/* The first of these that was built in and runs here. */
static const tg_blis_set *first_of(const tg_blis_cpu *cpu, const tg_blis_set *sets, size_t n,
                                   const char *const *names)
{
    for (; *names; names++) {
        const tg_blis_set *s = by_name(sets, n, *names);
        if (s && cpu->has[s->needs])
            return s;
    }
    return NULL;
}

/* AMD's families that BLIS knows, up to 2.1, on processors that have what it expects of them. */
static bool is_known(const tg_blis_cpu *cpu, const tg_blis_set *sets, size_t n)
{
    switch (cpu->family) {
    case 0x15: return cpu->has[TG_BLIS_BULLDOZER];
    case 0x17:
    case 0x19: return cpu->has[TG_BLIS_AVX2];
    case 0x1a: return cpu->has[TG_BLIS_AVX512] && by_name(sets, n, "zen5");
    default: return false;
    }
}

/* Intel: BLIS goes by the instructions, but tells Skylake-X from the brand string, which it knows up to 2019,
 * and takes later ones, and virtual machines, for haswell. 1024³ in f32 on a Sapphire Rapids, one thread: 152
 * GFLOP/s with skx, 83 with haswell and zen3, 26 with generic. AMD: what is newer than its table, or has not
 * all that it expects (in a virtual machine), falls to generic, and so does every other vendor's. Kernels of
 * zen3 need AVX2 and nothing of AMD's. */
static const tg_blis_set *best(const tg_blis_cpu *cpu, const tg_blis_set *sets, size_t n)
{
    static const char *const intels[] = {"skx", NULL};
    static const char *const new_amds[] = {"zen5",    "zen4",        "skx",    "zen3",
                                           "haswell", "sandybridge", "penryn", NULL};
    static const char *const others[] = {"zen3", "haswell", "sandybridge", "penryn", NULL};
    if (cpu->intel)
        return first_of(cpu, sets, n, intels);
    if (cpu->amd && is_known(cpu, sets, n))
        return NULL;
    return first_of(cpu, sets, n, cpu->amd && cpu->family >= 0x1a ? new_amds : others);
}

const tg_blis_set *tg_blis_choose(const tg_blis_cpu *cpu, const tg_blis_set *sets, size_t n,
                                  const char *users, const char **why, const char **set)
{
    *why = *set = NULL;
    if (!users || !*users)
        return best(cpu, sets, n);
    char *end;
    const long id = strtol(users, &end, 10);
    const tg_blis_set *s = NULL;
    if (*end)
        s = by_name(sets, n, users);
    for (size_t i = 0; !*end && i < n; i++)
        if (sets[i].id == id)
            s = &sets[i];
    if (s && cpu->has[s->needs])
        return s;
    *why = s ? "this processor cannot run" : "it was built without such a kernel set";
    *set = s ? s->name : NULL;
    return best(cpu, sets, n);
}
