/* Loops compiled for AVX-512, AVX2 and the baseline, chosen when the library is loaded; where gcc or glibc is not
 * at hand, for the baseline alone. Every clone of a function costs its code, a resolver and a relocation, so only
 * f32, which networks are trained in, has them: TG_REF_CLONES_f32 and TG_REF_CLONES_f64 stand before a function
 * that is written once for both, NAME(TG_REF_CLONES) where NAME adds the suffix. */
#ifndef TG_REF_CLONES_H
#define TG_REF_CLONES_H

#include <stdint.h> /* for __GLIBC__ */

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define TG_REF_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define TG_REF_TWO_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define TG_REF_CLONES
#define TG_REF_TWO_CLONES
#endif

#define TG_REF_CLONES_f32 TG_REF_CLONES
#define TG_REF_CLONES_f64
#define TG_REF_TWO_CLONES_f32 TG_REF_TWO_CLONES
#define TG_REF_TWO_CLONES_f64

#endif
