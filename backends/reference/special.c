#include "backends/reference/through.h"

#include <float.h>

#define PI 3.14159265358979323846

TG_REF_REAL_KERNEL(erfc, erfc(x[0]))
TG_REF_REAL_KERNEL(sinc, x[0] == 0 ? 1 : sin(PI * x[0]) / (PI * x[0]))

/* Winitzki's closed form is good to 2e-3; each step of Halley's method triples the digits. Near ±1 the error is
 * that of erfc, where 1 − |x| is exact. */
static double erfinv(double x)
{
    const double size = fabs(x);
    if (!(size < 1))
        return size == 1 ? x * (double)INFINITY : (double)NAN;
    const double c = log1p(-size * size), t = 2 / (PI * 0.147) + c / 2, root = sqrt(t * t - c / 0.147);
    double y = sqrt(t > 0 ? -c / 0.147 / (root + t) : root - t);
    for (int i = 0; i < 3; i++) {
        const double error = size < 0.5 ? erf(y) - size : (1 - size) - erfc(y);
        const double step = error * exp(y * y) * 0.88622692545275801365;
        y -= step / (1 + y * step);
    }
    return copysign(y, x);
}
TG_REF_REAL_KERNEL(erfinv, erfinv(x[0]))

static double log_gamma(double x)
{
    int sign;
    return lgamma_r(x, &sign);
}
TG_REF_REAL_KERNEL(lgamma, log_gamma(x[0]))

/* Stirling's series from 10 on, the recurrence below, the reflection for negative x. */
static double digamma(double x)
{
    static const double b[] = {1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132, -691.0 / 32760, 1.0 / 12};
    double y = 0, tail = 0;
    if (x == 0)
        return copysign((double)INFINITY, -x);
    if (x < 0)
        return x == floor(x) ? (double)NAN : digamma(1 - x) - PI / tan(PI * (x - trunc(x)));
    for (; x < 10; x += 1)
        y -= 1 / x;
    const double z = 1 / (x * x);
    for (int i = 6; i >= 0; i--)
        tail = (tail + b[i]) * z;
    return y + log(x) - 0.5 / x - tail;
}
TG_REF_REAL_KERNEL(digamma, digamma(x[0]))

/* Σ 1/(a + k)^s for a > 0, s > 1: terms until they are small or a is large, then Euler and Maclaurin's formula. */
static double zeta_positive(double s, double a)
{
    /* B(2j)/(2j)! */
    static const double b[] = {1.0 / 12,
                               -1.0 / 720,
                               1.0 / 30240,
                               -1.0 / 1209600,
                               1.0 / 47900160,
                               -691.0 / 1307674368000,
                               1.0 / 74724249600,
                               -3617.0 / 10670622842880000,
                               43867.0 / 5109094217170944000};
    const double enough = 10 + fmin(s, 300) / 2;
    double sum = 0, term = pow(a, -s);
    if (isinf(a))
        return 0;
    for (; a < enough; a += 1, term = pow(a, -s)) {
        sum += term;
        if (term <= sum * (DBL_EPSILON / 64))
            return sum;
    }
    sum += term * (a / (s - 1) + 0.5);
    double factor = s * term / a;
    for (int j = 0; j < 9; j++) {
        sum += b[j] * factor;
        factor *= (s + 2 * j + 1) * (s + 2 * j + 2) / (a * a);
    }
    return sum;
}

/* Below 0, s being whole, the terms left and right of 0 are two such sums. */
static double zeta(double s, double a)
{
    if (a > 0 || isnan(a))
        return zeta_positive(s, a);
    const double r = a - floor(a);
    if (r == 0 || isinf(a))
        return (double)INFINITY;
    const double left = zeta_positive(s, 1 - r) - zeta_positive(s, 1 - a);
    return zeta_positive(s, r) + (fmod(s, 2) == 0 ? left : -left);
}

TG_REF_REAL(polygamma, k[1] * zeta(k[0] + 1, x[0]))

static tg_status run_polygamma(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    (void)s, (void)p;
    const tg_polygamma_attrs *attrs = c->attrs;
    const double n = (double)attrs->n, factorial = tgamma(n + 1), k[] = {n, attrs->n % 2 ? factorial : -factorial};
    return tg_ref_through(c, r, k, polygamma_real, NULL);
}

/* Iₙ, n 0 or 1: the power series, whose terms are all positive, and from 30 on the asymptotic one. */
static double bessel_i(int n, double x)
{
    const double size = fabs(x);
    double term = 1, sum = 1, y;
    if (size < 30) {
        for (int k = 1; term > sum * (DBL_EPSILON / 8); k++) {
            term *= size * size / (4.0 * k * (k + n));
            sum += term;
        }
        y = n ? size / 2 * sum : sum;
    } else {
        for (int k = 1; fabs(term) > DBL_EPSILON / 8 && k < 30; k++) {
            term *= -(4.0 * n - (2 * k - 1) * (2 * k - 1)) / (8 * k * size);
            sum += term;
        }
        const double half = exp(size / 2);
        y = isinf(size) ? size : half * (sum / sqrt(2 * PI * size)) * half;
    }
    return n && x < 0 ? -y : y;
}
TG_REF_REAL_KERNEL(i0, bessel_i(0, x[0]))
TG_REF_REAL_KERNEL(i1, bessel_i(1, x[0]))

const tg_ref_kernel tg_ref_special[] = {
    TG_REF_KERNEL("erfc", run_erfc),
    TG_REF_KERNEL("erfinv", run_erfinv),
    TG_REF_KERNEL("lgamma", run_lgamma),
    TG_REF_KERNEL("digamma", run_digamma),
    TG_REF_KERNEL("polygamma", run_polygamma),
    TG_REF_KERNEL("i0", run_i0),
    TG_REF_KERNEL("i1", run_i1),
    TG_REF_KERNEL("sinc", run_sinc),
    {0},
};
