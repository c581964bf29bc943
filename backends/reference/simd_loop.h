/* TG_REF_SIMD_LOOP, before a loop whose passes do not touch each other's elements: without it there would be a second copy
 * of the loop, for arrays that overlap. clang warns where it cannot obey, and vectorises what it can anyway. */
#ifndef TG_REF_SIMD_LOOP

#ifdef __clang__
#define TG_REF_SIMD_LOOP
#else
#define TG_REF_SIMD_LOOP _Pragma("omp simd")
#endif

#endif
