/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011),
 * PHILOX_BATCH counters at a time. The loop over lanes is the definition; the vector forms give the same
 * words. */
#ifndef TG_REF_PHILOX_H
#define TG_REF_PHILOX_H

#include <stdint.h>

enum {
    PHILOX_BATCH = 32,               /* blocks            */
    PHILOX_WORDS = 4 * PHILOX_BATCH, /* words they give   */
    PHILOX_ROUNDS = 10
};
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

/* Words 4·block … 4·(block + PHILOX_BATCH) − 1 of the draw. */
typedef void (*philox_fn)(uint64_t seed, uint64_t draw, uint64_t block, uint32_t *words);

static inline void philox_plain(uint64_t seed, uint64_t draw, uint64_t block, uint32_t *words)
{
    uint32_t c[4][PHILOX_BATCH], k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int l = 0; l < PHILOX_BATCH; l++) {
        c[0][l] = (uint32_t)(block + (uint64_t)l);
        c[1][l] = (uint32_t)((block + (uint64_t)l) >> 32);
        c[2][l] = (uint32_t)draw;
        c[3][l] = (uint32_t)(draw >> 32);
    }
    for (int r = 0; r < PHILOX_ROUNDS; r++, k0 += PHILOX_W0, k1 += PHILOX_W1)
        for (int l = 0; l < PHILOX_BATCH; l++) {
            uint64_t p0 = (uint64_t)PHILOX_M0 * c[0][l], p1 = (uint64_t)PHILOX_M1 * c[2][l];
            c[0][l] = (uint32_t)(p1 >> 32) ^ c[1][l] ^ k0;
            c[1][l] = (uint32_t)p1;
            c[2][l] = (uint32_t)(p0 >> 32) ^ c[3][l] ^ k1;
            c[3][l] = (uint32_t)p0;
        }
    for (int l = 0; l < PHILOX_BATCH; l++)
        for (int i = 0; i < 4; i++)
            words[4 * l + i] = c[i][l];
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

/* The chains of one round side by side, in registers, at any level of optimisation. */
#ifdef __clang__
#define PHILOX_CHAINS _Pragma("clang loop unroll(full)")
#else
#define PHILOX_CHAINS _Pragma("GCC unroll 4")
#endif

/* Each 64-bit lane holds one 32-bit word and, above it, what the next product ignores anyway. A shuffle
 * brings the products' upper halves down: it runs beside the multiplications, where a shift would wait for
 * them. */
__attribute__((target("avx2"))) static inline void philox_avx2(uint64_t seed, uint64_t draw, uint64_t block,
                                                               uint32_t *words)
{
    enum { CHAINS = 2, LANES = 4 };
    const __m256i m0 = _mm256_set1_epi64x(PHILOX_M0), m1 = _mm256_set1_epi64x(PHILOX_M1);
    for (int part = 0; part < PHILOX_BATCH / (CHAINS * LANES); part++, words += 4 * CHAINS * LANES) {
        __m256i c0[CHAINS], c1[CHAINS], c2[CHAINS], c3[CHAINS];
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        PHILOX_CHAINS
        for (int i = 0; i < CHAINS; i++) {
            uint64_t first = block + (uint64_t)((part * CHAINS + i) * LANES);
            c0[i] = _mm256_add_epi64(_mm256_set1_epi64x((long long)first), _mm256_set_epi64x(3, 2, 1, 0));
            c1[i] = _mm256_srli_epi64(c0[i], 32);
            c2[i] = _mm256_set1_epi64x((long long)draw);
            c3[i] = _mm256_srli_epi64(c2[i], 32);
        }
        for (int r = 0; r < PHILOX_ROUNDS; r++, k0 += PHILOX_W0, k1 += PHILOX_W1) {
            __m256i key0 = _mm256_set1_epi64x(k0), key1 = _mm256_set1_epi64x(k1);
            PHILOX_CHAINS
            for (int i = 0; i < CHAINS; i++) {
                __m256i p0 = _mm256_mul_epu32(m0, c0[i]), p1 = _mm256_mul_epu32(m1, c2[i]);
                c0[i] = _mm256_xor_si256(_mm256_xor_si256(_mm256_shuffle_epi32(p1, 0xf5), c1[i]), key0);
                c2[i] = _mm256_xor_si256(_mm256_xor_si256(_mm256_shuffle_epi32(p0, 0xf5), c3[i]), key1);
                c1[i] = p1;
                c3[i] = p0;
            }
        }
        PHILOX_CHAINS
        for (int i = 0; i < CHAINS; i++) {
            __m256i a = _mm256_blend_epi32(c0[i], _mm256_slli_epi64(c1[i], 32), 0xaa);
            __m256i b = _mm256_blend_epi32(c2[i], _mm256_slli_epi64(c3[i], 32), 0xaa);
            __m256i even = _mm256_unpacklo_epi64(a, b), odd = _mm256_unpackhi_epi64(a, b);
            __m256i *to = (__m256i *)(void *)(words + 4 * i * LANES);
            _mm256_storeu_si256(to, _mm256_permute2x128_si256(even, odd, 0x20));
            _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(even, odd, 0x31));
        }
    }
}

__attribute__((target("avx512f"))) static inline void philox_avx512(uint64_t seed, uint64_t draw,
                                                                    uint64_t block, uint32_t *words)
{
    enum { LANES = 8, CHAINS = PHILOX_BATCH / LANES, XOR3 = 0x96 };
    const __m512i m0 = _mm512_set1_epi64(PHILOX_M0), m1 = _mm512_set1_epi64(PHILOX_M1);
    const __m512i count = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i first = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0),
                  last = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
    __m512i c0[CHAINS], c1[CHAINS], c2[CHAINS], c3[CHAINS];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    PHILOX_CHAINS
    for (int i = 0; i < CHAINS; i++) {
        c0[i] = _mm512_add_epi64(_mm512_set1_epi64((long long)(block + (uint64_t)(i * LANES))), count);
        c1[i] = _mm512_srli_epi64(c0[i], 32);
        c2[i] = _mm512_set1_epi64((long long)draw);
        c3[i] = _mm512_srli_epi64(c2[i], 32);
    }
    for (int r = 0; r < PHILOX_ROUNDS; r++, k0 += PHILOX_W0, k1 += PHILOX_W1) {
        __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
        PHILOX_CHAINS
        for (int i = 0; i < CHAINS; i++) {
            __m512i p0 = _mm512_mul_epu32(m0, c0[i]), p1 = _mm512_mul_epu32(m1, c2[i]);
            c0[i] = _mm512_ternarylogic_epi64(_mm512_shuffle_epi32(p1, _MM_PERM_DDBB), c1[i], key0, XOR3);
            c2[i] = _mm512_ternarylogic_epi64(_mm512_shuffle_epi32(p0, _MM_PERM_DDBB), c3[i], key1, XOR3);
            c1[i] = p1;
            c3[i] = p0;
        }
    }
    PHILOX_CHAINS
    for (int i = 0; i < CHAINS; i++) {
        __m512i a = _mm512_mask_blend_epi32(0xaaaa, c0[i], _mm512_slli_epi64(c1[i], 32));
        __m512i b = _mm512_mask_blend_epi32(0xaaaa, c2[i], _mm512_slli_epi64(c3[i], 32));
        _mm512_storeu_si512(words + 4 * i * LANES, _mm512_permutex2var_epi64(a, first, b));
        _mm512_storeu_si512(words + 4 * i * LANES + 2 * LANES, _mm512_permutex2var_epi64(a, last, b));
    }
}

static inline philox_fn philox_best(void)
{
    return __builtin_cpu_supports("avx512f") ? philox_avx512
           : __builtin_cpu_supports("avx2")  ? philox_avx2
                                             : philox_plain;
}
#else
static inline philox_fn philox_best(void)
{
    return philox_plain;
}
#endif

#endif
