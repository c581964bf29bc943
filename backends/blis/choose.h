/* Which of its kernel sets BLIS shall take: decided from what the processor says, without calling BLIS. */
#ifndef TG_BLIS_CHOOSE_H
#define TG_BLIS_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum tg_blis_needs {
    TG_BLIS_NOTHING,
    TG_BLIS_SSSE3,
    TG_BLIS_AVX,
    TG_BLIS_BULLDOZER, /* AVX, FMA3, FMA4, XOP */
    TG_BLIS_AVX2,      /* and FMA3, BMI2       */
    TG_BLIS_AVX512,    /* F, DQ, BW, VL        */
    TG_BLIS_NEVER
} tg_blis_needs;

/* A sub-configuration that was built into the library. */
typedef struct tg_blis_set {
    const char *name;
    int id;
    tg_blis_needs needs;
} tg_blis_set;

/* Instructions count only where the operating system saves their registers. */
typedef struct tg_blis_cpu {
    bool intel, amd; /* neither: another vendor */
    unsigned family;
    bool has[TG_BLIS_NEVER + 1];
} tg_blis_cpu;

/* The set for this processor; NULL: what BLIS finds by itself is right. `users` is BLIS_ARCH_TYPE's value or
 * NULL: a number or a name, and it wins where it can run; else *why says why not (text that begins after the
 * value), and *set the name that it was read as, or NULL. */
const tg_blis_set *tg_blis_choose(const tg_blis_cpu *cpu, const tg_blis_set *sets, size_t n,
                                  const char *users, const char **why, const char **set);

#endif
