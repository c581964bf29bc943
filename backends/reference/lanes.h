/* What the kernels of softmax, losses and normalisation share: clones for wider vectors, sums in 16 lanes of
 * f64 (one fixed order, whatever the vectors' width and the number of threads), and an exponential that
 * vectorises. */
#ifndef TG_REF_LANES_H
#define TG_REF_LANES_H

#include "backends/reference/clones.h"
#include "backends/reference/simd_loop.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    REF_LANES = 16,
    REF_SERIAL = 32768, /* elements below which one thread is faster */
    REF_CHUNK = 4096    /* elements of one partial sum               */
};

static inline double ref_lanes_sum(const double *lane)
{
    double s = 0.0;
    for (int l = 0; l < REF_LANES; l++)
        s += lane[l];
    return s;
}

/* e^x to 1.5 ulp (the polynomial is that of Moshier's Cephes): 0 below −104, inf above 89, NaN for NaN. */
static inline float ref_expf(float x)
{
    const float magic = 12582912.0f; /* 1.5·2²³: adding it rounds to an integer in the low bits */
    float c = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
    float t = c * 1.44269504f + magic;
    float n = t - magic;
    float r = c - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    /* 2ⁿ in two factors, so that results below the normal range round once more instead of vanishing. */
    union {
        float f;
        uint32_t u;
    } bits = {t}, lo, hi;
    int32_t k = (int32_t)(bits.u - 0x4b400000u), half = k >> 1;
    lo.u = (uint32_t)(half + 127) << 23;
    hi.u = (uint32_t)(k - half + 127) << 23;
    return p * lo.f * hi.f;
}

static inline double ref_exp(double x)
{
    return exp(x);
}

/* softmax.c: y = x − log Σexp(x) along the middle of a dense [outer, n, inner], n ≥ 1. */
void ref_log_softmax(int32_t dtype, int64_t outer, int64_t n, int64_t inner, void *y, const void *x,
                     int threads);
/* softmax.c: y = e^x, also in place. */
void ref_exps_f32(float *y, const float *x, int64_t n);
void ref_exps_f64(double *y, const double *x, int64_t n);

#endif
