/* BLIS chooses its sub-configuration once, at its first call, and cannot be asked without doing so. Left
 * alone it takes newer processors for older or generic ones, several times slower; and what BLIS_ARCH_TYPE
 * holds it believes: up to version 1.1 a name is read as the number 0, and a sub-configuration that was not
 * built in ends the process. So the variable is checked here first, and set to a number that is safe while
 * BLIS initialises. */
#include "backends/blis/arch.h"

#include <blis.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#define VARIABLE "BLIS_ARCH_TYPE"

typedef enum needs { NOTHING, SSE3, AVX, BULLDOZER, AVX2, AVX512, NEVER } needs;

typedef struct arch {
    const char *name;
    int id;
    needs needs;
} arch;

/* What this build of BLIS holds and we know how to check. Of the others (Knights Landing, SVE, Power) it is
 * only safe to let BLIS find out by itself. */
static const arch table[] = {
#ifdef BLIS_CONFIG_SKX
    {"skx", BLIS_ARCH_SKX, AVX512},
#endif
#ifdef BLIS_CONFIG_KNL
    {"knl", BLIS_ARCH_KNL, NEVER},
#endif
#ifdef BLIS_CONFIG_HASWELL
    {"haswell", BLIS_ARCH_HASWELL, AVX2},
#endif
#ifdef BLIS_CONFIG_SANDYBRIDGE
    {"sandybridge", BLIS_ARCH_SANDYBRIDGE, AVX},
#endif
#ifdef BLIS_CONFIG_PENRYN
    {"penryn", BLIS_ARCH_PENRYN, SSE3},
#endif
#ifdef BLIS_CONFIG_ZEN3
    {"zen3", BLIS_ARCH_ZEN3, AVX2},
#endif
#ifdef BLIS_CONFIG_ZEN2
    {"zen2", BLIS_ARCH_ZEN2, AVX2},
#endif
#ifdef BLIS_CONFIG_ZEN
    {"zen", BLIS_ARCH_ZEN, AVX2},
#endif
#ifdef BLIS_CONFIG_EXCAVATOR
    {"excavator", BLIS_ARCH_EXCAVATOR, BULLDOZER},
#endif
#ifdef BLIS_CONFIG_STEAMROLLER
    {"steamroller", BLIS_ARCH_STEAMROLLER, BULLDOZER},
#endif
#ifdef BLIS_CONFIG_PILEDRIVER
    {"piledriver", BLIS_ARCH_PILEDRIVER, BULLDOZER},
#endif
#ifdef BLIS_CONFIG_BULLDOZER
    {"bulldozer", BLIS_ARCH_BULLDOZER, BULLDOZER},
#endif
#ifdef BLIS_CONFIG_GENERIC
    {"generic", BLIS_ARCH_GENERIC, NOTHING},
#endif
};
enum { N_TABLE = sizeof table / sizeof *table };

static const arch *by_name(const char *name)
{
    for (size_t i = 0; i < N_TABLE; i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
    return NULL;
}

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* These builtins also ask whether the operating system saves the registers. */
static bool runs_here(needs n)
{
    __builtin_cpu_init();
    switch (n) {
    case NOTHING: return true;
    case SSE3: return __builtin_cpu_supports("sse3");
    case AVX: return __builtin_cpu_supports("avx");
    case BULLDOZER:
        return __builtin_cpu_supports("avx") && __builtin_cpu_supports("fma4") &&
               __builtin_cpu_supports("xop") && __builtin_cpu_supports("fma");
    case AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("bmi2");
    case AVX512:
        return runs_here(AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    case NEVER: return false;
    }
    return false;
}

static unsigned family(void)
{
    unsigned a = 0, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    unsigned base = a >> 8 & 15;
    return base == 15 ? base + (a >> 20 & 255) : base;
}

/* What BLIS would get wrong; NULL: let it choose. Intel: BLIS tells Skylake-X from the brand string, which it
 * knows up to 2019, and takes later ones, and virtual machines, for haswell. Measured on a Sapphire Rapids,
 * one thread, with `bench_matmul`: 128×784×512 in f32 at 134 GFLOP/s with skx and 81 with haswell. AMD:
 * family 0x1a is newer than its table, and falls to generic; the earlier families it knows. */
static const arch *best(void)
{
    bool amd = __builtin_cpu_is("amd"), intel = __builtin_cpu_is("intel");
    unsigned f = family();
#ifdef BLIS_CONFIG_ZEN5
    bool amd_is_new = false;
#else
    bool amd_is_new = amd && f >= 0x1a;
#endif
    if (runs_here(AVX512) && (intel || amd_is_new))
        return by_name("skx");
    if (runs_here(AVX2) && !intel && (!amd || amd_is_new))
        return by_name("zen3");
    return NULL;
}
#else
static bool runs_here(needs n)
{
    return n == NOTHING;
}

static const arch *best(void)
{
    return NULL;
}
#endif

static once_flag once = ONCE_FLAG_INIT;
static char warning[256];

/* The user's choice as a row of the table; NULL, with the warning written, where it cannot be had. */
static const arch *chosen(const char *text)
{
    char *end;
    long id = strtol(text, &end, 10);
    const arch *a = NULL;
    if (*end) {
        a = by_name(text);
    } else {
        for (size_t i = 0; i < N_TABLE; i++)
            if (table[i].id == id)
                a = &table[i];
    }
    if (!a)
        snprintf(warning, sizeof warning,
                 VARIABLE "=%.40s is ignored: BLIS %s, as built here, has no such kernel set", text,
                 bli_info_get_version_str());
    else if (!runs_here(a->needs))
        snprintf(warning, sizeof warning, VARIABLE "=%.40s is ignored: this processor cannot run %s", text,
                 a->name);
    return a && runs_here(a->needs) ? a : NULL;
}

static void init(void)
{
    const char *text = getenv(VARIABLE);
    char *users = text ? strdup(text) : NULL;
    const arch *a = users && *users ? chosen(users) : NULL;
    if (!a)
        a = best();
    if (a) {
        char number[16];
        snprintf(number, sizeof number, "%d", a->id);
        setenv(VARIABLE, number, 1);
    } else {
        unsetenv(VARIABLE);
    }
    bli_init();
    if (users)
        setenv(VARIABLE, users, 1);
    else
        unsetenv(VARIABLE);
    free(users);
}

const char *tg_blis_init(void)
{
    call_once(&once, init);
    return warning;
}
