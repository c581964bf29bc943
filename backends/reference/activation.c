#include "backends/reference/through.h"

/* Conditions are written so that NaN passes through; + (b - b) makes a slope NaN where torch's is 0·∞, at ±∞. A function in a branch would keep its vector form from
 * being used, so it is evaluated always and selected from. */

#define SIGMOID(x) (1 / (1 + EXP(-(x))))

TG_REF_MAP1(sigmoid, , y = SIGMOID(x))
TG_REF_MAP2(sigmoid_backward, , y = a * b * (1 - b))
TG_REF_MAP2(tanh_backward, , y = a * (1 - b * b))

TG_REF_MAP1(relu, , y = x <= 0 ? 0 : x)
const tg_ref_map_fn tg_ref_sigmoid[2] = {sigmoid_f32, sigmoid_f64}, tg_ref_relu[2] = {relu_f32, relu_f64};
TG_REF_MAP2(relu_backward, , y = b <= 0 ? 0 : a)

TG_REF_MAP1(leaky_relu, const T slope = (T)k[0], y = x > 0 ? x : x * slope)
TG_REF_MAP2(leaky_relu_backward, const T slope = (T)k[0], y = b > 0 ? a : a * slope)

/* k: alpha, scale, input_scale. */
TG_REF_MAP1(elu, const T scale = (T)k[1]; const T low = (T)(k[0] * k[1]);
            const T inner = (T)k[2], const T e = EXPM1(x * inner); y = x > 0 ? x * scale : low * e)
TG_REF_MAP2(elu_backward, const T scale = (T)k[1]; const T low = (T)(k[0] * k[1] * k[2]);
            const T inner = (T)k[2], const T e = EXP(b * inner); y = b > 0 ? a * scale : a * (low * e))

/* Φ(x) and φ(x), the normal distribution. */
#define NORMAL_CDF(x) ((T)0.5 * (1 + ERF((x) * (T)0.70710678118654752440)))
#define NORMAL_PDF(x) ((T)0.39894228040143267794 * EXP((T)-0.5 * (x) * (x)))
TG_REF_MAP1(gelu, , y = x * NORMAL_CDF(x))
TG_REF_MAP2(gelu_backward, , y = a * (NORMAL_CDF(b) + b * NORMAL_PDF(b)))

#define GELU_K ((T)0.79788456080286535588)
#define GELU_INNER(x) (GELU_K * ((x) + (T)0.044715 * (x) * (x) * (x)))
TG_REF_MAP1(gelu_tanh, , y = (T)0.5 * x * (1 + TANH(GELU_INNER(x))))
/* Past ±10 the slope's second term is 0 to the last bit, and b² would overflow. */
TG_REF_MAP2(gelu_tanh_backward, ,
            const T c = b > 10    ? 10
                        : b < -10 ? -10
                                  : b;
            const T t = TANH(GELU_INNER(c)); const T slope = GELU_K * (1 + (T)0.134145 * c * c);
            y = a * ((T)0.5 * (1 + t) + (T)0.5 * c * (1 - t * t) * slope + (b - b)))

static tg_status run_gelu_kind(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    const tg_gelu_attrs *attrs = c->attrs;
    return attrs->tanh_approximation ? run_gelu_tanh(s, c, p, r) : run_gelu(s, c, p, r);
}

static tg_status run_gelu_kind_backward(tg_backend_state *s, const tg_call *c, const tg_prepared *p,
                                        const tg_run *r)
{
    const tg_gelu_attrs *attrs = c->attrs;
    return attrs->tanh_approximation ? run_gelu_tanh_backward(s, c, p, r) : run_gelu_backward(s, c, p, r);
}

TG_REF_MAP1(silu, , y = x / (1 + EXP(-x)))
TG_REF_MAP2(silu_backward, , const T p = SIGMOID(b); y = a * p * (1 + b * (1 - p)))

TG_REF_MAP1(hardswish, , const T up = x < -3 ? 0 : x + 3; y = x > 3 ? x : x * up / 6)

/* tanh(log(1 + e^x)) = n/(n + 2) with n = e^x·(e^x + 2): no cancellation; above 20 it is 1 to the last bit.
 */
TG_REF_MAP1(mish, , const T e = EXP(x); const T n = e * (e + 2); y = x > 20 ? x : x * (n / (n + 2)))
TG_REF_MAP2(mish_backward, , const T e = EXP(b); const T n = e * (e + 2); const T w = n / (n + 2);
            const T v = 2 / (n + 2) * (1 + w); /* 1 − w² */
            y = b > 20 ? a + (b - b) : a * (w + b * SIGMOID(b) * v))

TG_REF_MAP1(softplus, const T beta = (T)k[0]; const T threshold = (T)k[1], const T z = x * beta;
            const T l = LOG1P(EXP(z)) / beta; y = z > threshold ? x : l)
TG_REF_MAP2(softplus_backward, const T beta = (T)k[0]; const T threshold = (T)k[1], const T z = b * beta;
            const T p = SIGMOID(z); y = z > threshold ? a : a * p)

TG_REF_MAP1(softsign, , y = x / (1 + FABS(x)))
TG_REF_REAL_KERNEL(softsign_backward, x[0] / ((1 + fabs(x[1])) * (1 + fabs(x[1]))) + (x[1] - x[1]))
TG_REF_MAP1(log_sigmoid, , const T l = LOG1P(EXP(-FABS(x))); y = (x > 0 ? 0 : x) - l)

#define BOUNDS                                                                                               \
    const T low = isnan(k[0]) ? (T)-INFINITY : (T)k[0];                                                      \
    const T high = isnan(k[1]) ? (T)INFINITY : (T)k[1]
TG_REF_MAP1(clamp, BOUNDS, const T t = x < low ? low : x; y = t > high ? high : t)
/* Strictly inside: from the number next to the bound on. An infinity is inside where there is no bound on its side. */
#define NEXT(x, to) _Generic((x), float : nextafterf, default : nextafter)((x), (to))
#define INSIDE                                                                                               \
    const T low = isnan(k[0]) ? (T)-INFINITY : NEXT((T)k[0], (T)INFINITY);                                   \
    const T high = isnan(k[1]) ? (T)INFINITY : NEXT((T)k[1], (T)-INFINITY)
TG_REF_MAP2(clamp_backward, INSIDE, const T t = b >= low ? a : 0; y = b <= high ? t : 0)
TG_REF_MAP2(hardtanh_backward, BOUNDS, y = b <= low || b >= high ? 0 : a)

/* Of integers, whose bounds are whole; one that no i64 reaches is the last i64. NaN is no bound. */
static int64_t bound(double x, int64_t otherwise)
{
    return isnan(x) ? otherwise : x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x;
}

static int64_t clamp_whole(const int64_t *x, const double *k)
{
    const int64_t low = bound(k[0], INT64_MIN), high = bound(k[1], INT64_MAX), t = x[0] < low ? low : x[0];
    return t > high ? high : t;
}

static tg_status run_any_clamp(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r)
{
    if (c->in[0]->dtype != TG_I64)
        return run_clamp(s, c, p, r);
    return tg_ref_through(c, r, r->scalars, NULL, clamp_whole);
}

TG_REF_MAP2(prelu, , y = a > 0 ? a : b * a)

const tg_ref_kernel tg_ref_activation[] = {
    TG_REF_KERNEL("prelu", run_prelu),
    TG_REF_KERNEL("sigmoid", run_sigmoid),
    TG_REF_KERNEL("sigmoid_backward", run_sigmoid_backward),
    TG_REF_KERNEL("tanh_backward", run_tanh_backward),
    TG_REF_KERNEL("relu", run_relu),
    TG_REF_KERNEL("relu_backward", run_relu_backward),
    TG_REF_KERNEL("leaky_relu", run_leaky_relu),
    TG_REF_KERNEL("leaky_relu_backward", run_leaky_relu_backward),
    TG_REF_KERNEL("elu", run_elu),
    TG_REF_KERNEL("elu_backward", run_elu_backward),
    TG_REF_KERNEL("gelu", run_gelu_kind),
    TG_REF_KERNEL("gelu_backward", run_gelu_kind_backward),
    TG_REF_KERNEL("silu", run_silu),
    TG_REF_KERNEL("silu_backward", run_silu_backward),
    TG_REF_KERNEL("hardswish", run_hardswish),
    TG_REF_KERNEL("mish", run_mish),
    TG_REF_KERNEL("mish_backward", run_mish_backward),
    TG_REF_KERNEL("softplus", run_softplus),
    TG_REF_KERNEL("softplus_backward", run_softplus_backward),
    TG_REF_KERNEL("softsign", run_softsign),
    TG_REF_KERNEL("softsign_backward", run_softsign_backward),
    TG_REF_KERNEL("log_sigmoid", run_log_sigmoid),
    TG_REF_KERNEL("clamp", run_any_clamp),
    TG_REF_KERNEL("clamp_backward", run_clamp_backward),
    TG_REF_KERNEL("hardtanh", run_clamp),
    TG_REF_KERNEL("hardtanh_backward", run_hardtanh_backward),
    {0},
};
