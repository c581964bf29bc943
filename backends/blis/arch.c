/* BLIS chooses its sub-configuration once, at its first call, and cannot be asked without doing so. Left
 * alone it takes newer processors for older or generic ones, several times slower; and what BLIS_ARCH_TYPE
 * holds it believes: up to version 1.1 a name is read as the number 0, and a sub-configuration that was not
 * built in ends the process. So the variable is checked here first, and set to a number that is safe while
 * BLIS initialises. */
#include "backends/blis/arch.h"
#include "backends/blis/choose.h"

#include <blis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#define VARIABLE "BLIS_ARCH_TYPE"

/* What this build of BLIS holds and we know how to check. Of the others (Knights Landing, SVE, Power) it is
 * only safe to let BLIS find out by itself. */
static const tg_blis_set table[] = {
#ifdef BLIS_CONFIG_ZEN5
    {"zen5", BLIS_ARCH_ZEN5, TG_BLIS_AVX512},
#endif
#ifdef BLIS_CONFIG_ZEN4
    {"zen4", BLIS_ARCH_ZEN4, TG_BLIS_AVX512},
#endif
#ifdef BLIS_CONFIG_SKX
    {"skx", BLIS_ARCH_SKX, TG_BLIS_AVX512},
#endif
#ifdef BLIS_CONFIG_KNL
    {"knl", BLIS_ARCH_KNL, TG_BLIS_NEVER},
#endif
#ifdef BLIS_CONFIG_HASWELL
    {"haswell", BLIS_ARCH_HASWELL, TG_BLIS_AVX2},
#endif
#ifdef BLIS_CONFIG_SANDYBRIDGE
    {"sandybridge", BLIS_ARCH_SANDYBRIDGE, TG_BLIS_AVX},
#endif
#ifdef BLIS_CONFIG_PENRYN
    {"penryn", BLIS_ARCH_PENRYN, TG_BLIS_SSSE3},
#endif
#ifdef BLIS_CONFIG_ZEN3
    {"zen3", BLIS_ARCH_ZEN3, TG_BLIS_AVX2},
#endif
#ifdef BLIS_CONFIG_ZEN2
    {"zen2", BLIS_ARCH_ZEN2, TG_BLIS_AVX2},
#endif
#ifdef BLIS_CONFIG_ZEN
    {"zen", BLIS_ARCH_ZEN, TG_BLIS_AVX2},
#endif
#ifdef BLIS_CONFIG_EXCAVATOR
    {"excavator", BLIS_ARCH_EXCAVATOR, TG_BLIS_BULLDOZER},
#endif
#ifdef BLIS_CONFIG_STEAMROLLER
    {"steamroller", BLIS_ARCH_STEAMROLLER, TG_BLIS_BULLDOZER},
#endif
#ifdef BLIS_CONFIG_PILEDRIVER
    {"piledriver", BLIS_ARCH_PILEDRIVER, TG_BLIS_BULLDOZER},
#endif
#ifdef BLIS_CONFIG_BULLDOZER
    {"bulldozer", BLIS_ARCH_BULLDOZER, TG_BLIS_BULLDOZER},
#endif
#ifdef BLIS_CONFIG_GENERIC
    {"generic", BLIS_ARCH_GENERIC, TG_BLIS_NOTHING},
#endif
};
enum { N_TABLE = sizeof table / sizeof *table };

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* Which registers the operating system saves. */
static unsigned saved_registers(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* By hand: gcc's __builtin_cpu_supports knows no instruction of a vendor that it does not know. */
static tg_blis_cpu this_cpu(void)
{
    enum { AVX_STATE = 6, AVX512_STATE = 0xe6 };
    unsigned a = 0, b = 0, c = 0, d = 0, c1 = 0, b7 = 0, amd = 0, vendor[3];
    tg_blis_cpu cpu = {.has[TG_BLIS_NOTHING] = true};
    if (!__get_cpuid(0, &a, &vendor[0], &vendor[2], &vendor[1]) || !__get_cpuid(1, &a, &b, &c1, &d))
        return cpu;
    cpu.intel = !memcmp(vendor, "GenuineIntel", sizeof vendor);
    cpu.amd = !memcmp(vendor, "AuthenticAMD", sizeof vendor);
    cpu.family = a >> 8 & 15;
    if (cpu.family == 15)
        cpu.family += a >> 20 & 255;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
        b7 = b;
    if (__get_cpuid(0x80000001u, &a, &b, &c, &d))
        amd = c;
    const unsigned saved = c1 & bit_OSXSAVE ? saved_registers() : 0;
    const bool avx = (saved & AVX_STATE) == AVX_STATE && c1 & bit_AVX, fma = avx && c1 & bit_FMA;
    const unsigned avx2 = bit_AVX2 | bit_BMI2,
                   avx512 = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    cpu.has[TG_BLIS_SSSE3] = c1 & bit_SSSE3;
    cpu.has[TG_BLIS_AVX] = avx;
    cpu.has[TG_BLIS_BULLDOZER] = fma && amd & bit_FMA4 && amd & bit_XOP;
    cpu.has[TG_BLIS_AVX2] = fma && (b7 & avx2) == avx2;
    cpu.has[TG_BLIS_AVX512] =
        cpu.has[TG_BLIS_AVX2] && (saved & AVX512_STATE) == AVX512_STATE && (b7 & avx512) == avx512;
    return cpu;
}
#else
static tg_blis_cpu this_cpu(void)
{
    return (tg_blis_cpu){.intel = true,
                         .has = {[TG_BLIS_NOTHING] = true}}; /* BLIS knows it as well as we do */
}
#endif

static once_flag once = ONCE_FLAG_INIT;
static char warning[256];

static void init(void)
{
    const char *text = getenv(VARIABLE), *why, *name;
    char *users = text ? strdup(text) : NULL;
    const tg_blis_cpu cpu = this_cpu();
    const tg_blis_set *s = tg_blis_choose(&cpu, table, N_TABLE, users, &why, &name);
    if (why)
        snprintf(warning, sizeof warning, VARIABLE "=%.40s is ignored by BLIS %s: %s%s%s", users,
                 bli_info_get_version_str(), why, name ? " " : "", name ? name : "");
    if (s) {
        char number[16];
        snprintf(number, sizeof number, "%d", s->id);
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
