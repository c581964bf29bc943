/* The optimizers' arithmetic on dense spans of n elements, in torch's order of operations. Included once for
 * each element type with REAL, SQRT and SPAN(name) defined. */

SPAN(TG_REF_TWO_CLONES)
static void SPAN(sgd)(REAL *restrict weights, const REAL *restrict grad, size_t n, const double *s, REAL sign)
{
    const REAL step = (REAL)-s[0], decay = (REAL)s[1];
    /* Decay by select: 0·inf would be NaN where torch skips the term. */
    for (size_t i = 0; i < n; i++) {
        REAL g = sign * grad[i];
        g = decay != 0 ? g + decay * weights[i] : g;
        weights[i] += step * g;
    }
}

/* With `nesterov` a constant, so that the loop is a vector's. */
static inline __attribute__((always_inline)) void SPAN(momentum)(REAL *restrict weights, const REAL *restrict grad,
                                                                 REAL *restrict buffer, size_t n, const double *s,
                                                                 REAL sign, bool nesterov)
{
    const REAL step = (REAL)-s[0], decay = (REAL)s[1], momentum = (REAL)s[2], keep = (REAL)s[3],
               take = (REAL)s[4];
    for (size_t i = 0; i < n; i++) {
        REAL g = sign * grad[i], w = weights[i];
        g = decay != 0 ? g + decay * w : g;
        REAL b = keep * buffer[i] + take * g;
        buffer[i] = b;
        weights[i] = w + step * (nesterov ? g + momentum * b : b);
    }
}

SPAN(TG_REF_TWO_CLONES)
static void SPAN(sgd_momentum)(REAL *restrict weights, const REAL *restrict grad, REAL *restrict buffer,
                               size_t n, const double *s, REAL sign, bool nesterov)
{
    if (nesterov)
        SPAN(momentum)(weights, grad, buffer, n, s, sign, true);
    else
        SPAN(momentum)(weights, grad, buffer, n, s, sign, false);
}

typedef struct SPAN(adam_scalars) {
    REAL step, shrink, decay, beta2, lerp, rest, take2, root, eps;
    bool far;
} SPAN(adam_scalars);

static SPAN(adam_scalars) SPAN(adam_read)(const double *s)
{
    return (SPAN(adam_scalars)){.step = (REAL)-s[0],
                                .shrink = (REAL)s[1],
                                .decay = (REAL)s[2],
                                .beta2 = (REAL)s[4],
                                .lerp = (REAL)(1 - s[3]),
                                .rest = (REAL)s[3],
                                .take2 = (REAL)(1 - s[4]),
                                .root = (REAL)s[5],
                                .eps = (REAL)s[6],
                                .far = 1 - s[3] >= 0.5};
}

/* torch.lerp computes from the nearer end. */
static inline REAL SPAN(lerp)(const SPAN(adam_scalars) * k, REAL from, REAL to)
{
    return k->far ? to - (to - from) * k->rest : from + k->lerp * (to - from);
}

SPAN(TG_REF_TWO_CLONES)
static void SPAN(adam)(REAL *restrict weights, const REAL *restrict grad, REAL *restrict avg,
                       REAL *restrict avg_sq, size_t n, const double *s, REAL sign)
{
    const SPAN(adam_scalars) k = SPAN(adam_read)(s);
    for (size_t i = 0; i < n; i++) {
        REAL g = sign * grad[i], w = weights[i] * k.shrink;
        g = k.decay != 0 ? g + k.decay * w : g;
        REAL m = SPAN(lerp)(&k, avg[i], g);
        REAL v = avg_sq[i] * k.beta2 + k.take2 * g * g;
        avg[i] = m;
        avg_sq[i] = v;
        weights[i] = w + k.step * (m / (SQRT(v) / k.root + k.eps));
    }
}

SPAN(TG_REF_TWO_CLONES)
static void SPAN(scale)(REAL *restrict dst, size_t n, const double *s)
{
    const REAL factor = (REAL)s[0];
    for (size_t i = 0; i < n; i++)
        dst[i] *= factor;
}

/* Eight lanes, so that the order of the sum is fixed and the loop is a vector's. */
SPAN(TG_REF_TWO_CLONES)
static double SPAN(sum_squares)(const REAL *restrict src, size_t n)
{
    double lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            lane[j] += (double)src[i + j] * (double)src[i + j];
    for (size_t j = 0; i < n; i++, j++)
        lane[j] += (double)src[i] * (double)src[i];
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}
