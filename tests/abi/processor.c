/* Linux can make the instruction cpuid fault, and a handler then answers in its place: the machine's own
 * words, with another vendor and family, and without what that processor lacks. */
#include "abi/processor.h"

#include <string.h>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_CPUID_SET = 0x1012 };

typedef struct processor {
    const char *name, *vendor;
    unsigned signature; /* eax of leaf 1: family, model, stepping */
    bool avx, avx2, avx512;
} processor;
static const processor processors[] = {
    {"zen5", "AuthenticAMD", 0x00b40f40, true, true, true}, /* family 0x1a */
    {"zen6", "AuthenticAMD", 0x00c40f40, true, true, true}, /* 0x1b        */
    {"zen5-avx2", "AuthenticAMD", 0x00b40f40, true, true, false},
    {"zen3", "AuthenticAMD", 0x00a20f10, true, true, false},
    {"zen3-bare", "AuthenticAMD", 0x00a20f10, false, false, false}, /* a virtual machine's */
    {"jaguar", "AuthenticAMD", 0x00730f01, true, false, false},     /* 0x16                */
    {"xeon", "GenuineIntel", 0x000c06f2, true, true, true},
    {"haswell", "GenuineIntel", 0x000306c3, true, true, false},
    {"shanghai", "  Shanghai  ", 0x000607b0, true, true, false},
    {"hygon", "HygonGenuine", 0x00900f02, true, true, false}, /* 0x18 */
    {"nobody", "NobodysChips", 0x000006f0, false, false, false},
};
static const processor *now;

static void ask(const greg_t *in, unsigned *a, unsigned *b, unsigned *c, unsigned *d)
{
    syscall(SYS_arch_prctl, ARCH_CPUID_SET, 1);
    __cpuid_count((unsigned)in[REG_RAX], (unsigned)in[REG_RCX], *a, *b, *c, *d);
    syscall(SYS_arch_prctl, ARCH_CPUID_SET, 0);
}

static void answer(int number, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)(uintptr_t)r[REG_RIP];
    if (code[0] != 0x0f || code[1] != 0xa2) {
        signal(number, SIG_DFL); /* it faults again, and ends */
        return;
    }
    const unsigned leaf = (unsigned)r[REG_RAX], part = (unsigned)r[REG_RCX];
    unsigned a, b, c, d;
    ask(r, &a, &b, &c, &d);
    if (leaf == 0 || leaf == 0x80000000u) {
        memcpy(&b, now->vendor, 4);
        memcpy(&d, now->vendor + 4, 4);
        memcpy(&c, now->vendor + 8, 4);
    } else if (leaf == 1) {
        a = now->signature;
        if (!now->avx)
            c &= ~(1u << 28 | 1u << 12); /* AVX, FMA */
        if (!now->avx2)
            c &= ~(1u << 12);
    } else if (leaf == 7 && part == 0) {
        if (!now->avx2)
            b &= ~(1u << 5 | 1u << 8); /* AVX2, BMI2 */
        if (!now->avx512)
            b &= ~(1u << 16 | 1u << 17 | 1u << 30 | 1u << 31 | 1u << 28 | 1u << 21);
    }
    r[REG_RAX] = a;
    r[REG_RBX] = b;
    r[REG_RCX] = c;
    r[REG_RDX] = d;
    r[REG_RIP] += 2;
}

bool be_processor(const char *name, const char **why)
{
    *why = "there is no such processor in the list";
    for (size_t i = 0; i < sizeof processors / sizeof *processors; i++)
        if (!strcmp(processors[i].name, name))
            now = &processors[i];
    if (!now)
        return false;
    *why = "this machine lacks its instructions";
    __builtin_cpu_init();
    if ((now->avx512 && !__builtin_cpu_supports("avx512vl")) ||
        (now->avx2 && !__builtin_cpu_supports("avx2")) || (now->avx && !__builtin_cpu_supports("avx")))
        return false;
    *why = "cpuid cannot be made to fault here";
    struct sigaction act = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&act.sa_mask);
    return !sigaction(SIGSEGV, &act, NULL) && !syscall(SYS_arch_prctl, ARCH_CPUID_SET, 0);
}
#else
bool be_processor(const char *name, const char **why)
{
    (void)name;
    *why = "only on Linux and x86-64";
    return false;
}
#endif
