/* The rules of optim_step on dense tiles of 8n doubles, as torch has them: p is the parameter
 * (already shrunk), g the gradient with its decay, a to c the states, k the group's scalars. In eights, so
 * that no loop has a rest. */
#define RULE(name)                                                                                           \
    static void rule_##name(double *restrict p, const double *restrict g, double *restrict a,                \
                            double *restrict b, double *restrict c, size_t n, const double *restrict k)

/* torch.lerp computes from the nearer end. */
typedef struct lerp_by {
    bool far;
    double factor;
} lerp_by;

static lerp_by lerp_weight(double weight, double rest)
{
    return (lerp_by){weight >= 0.5, weight >= 0.5 ? -rest : weight};
}

static inline double lerp(double from, double to, lerp_by by)
{
    return (by.far ? to : from) + by.factor * (to - from);
}

static inline double clamp(double x, double low, double high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

RULE(rmsprop)
{
    const double lr = k[2], eps = k[3], alpha = k[4], take = 1 - alpha, momentum = k[5];
    const bool centered = k[6] != 0;
    const lerp_by by = lerp_weight(take, alpha);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = a[i] * alpha + take * g[i] * g[i];
        b[i] = lerp(b[i], g[i], by);
        double v = centered ? a[i] - b[i] * b[i] : a[i];
        c[i] = momentum * c[i] + g[i] / (sqrt(v) + eps);
        p[i] -= lr * c[i];
    }
}

RULE(adagrad)
{
    (void)b;
    (void)c;
    const double lr = k[2], eps = k[3], more = k[4];
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = a[i] + more + g[i] * g[i];
        p[i] -= lr * g[i] / (sqrt(a[i]) + eps);
    }
}

RULE(adadelta)
{
    (void)c;
    const double lr = k[2], eps = k[3], rho = k[4], take = 1 - rho;
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = a[i] * rho + take * g[i] * g[i];
        double d = sqrt((b[i] + eps) / (a[i] + eps)) * g[i];
        b[i] = b[i] * rho + take * d * d;
        p[i] -= lr * d;
    }
}

RULE(adamax)
{
    (void)c;
    const double lr = k[2], eps = k[3], beta2 = k[5];
    const lerp_by by = lerp_weight(1 - k[4], k[4]);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = lerp(a[i], g[i], by);
        double old = b[i] * beta2, now = fabs(g[i]) + eps;
        b[i] = old > now || old != old ? old : now; /* a NaN in either stays */
        p[i] -= lr * a[i] / b[i];
    }
}

RULE(amsgrad)
{
    const double lr = k[2], eps = k[3], beta2 = k[5], take2 = 1 - beta2, root = k[6];
    const lerp_by by = lerp_weight(1 - k[4], k[4]);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = lerp(a[i], g[i], by);
        b[i] = b[i] * beta2 + take2 * g[i] * g[i];
        c[i] = c[i] >= b[i] ? c[i] : b[i]; /* a NaN in either stays: b is NaN with its gradient for good */
        p[i] -= lr * (a[i] / (sqrt(c[i]) / root + eps));
    }
}

RULE(nadam)
{
    (void)c;
    const double lr = k[2], eps = k[3], beta2 = k[5], take2 = 1 - beta2, left = 1 / k[6], lr2 = k[7];
    const lerp_by by = lerp_weight(1 - k[4], k[4]);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = lerp(a[i], g[i], by);
        b[i] = b[i] * beta2 + take2 * g[i] * g[i];
        p[i] -= (lr * g[i] + lr2 * a[i]) / (sqrt(b[i] * left) + eps);
    }
}

RULE(radam)
{
    (void)c;
    const double lr = k[2], eps = k[3], beta2 = k[5], take2 = 1 - beta2, r = k[6];
    const lerp_by by = lerp_weight(1 - k[4], k[4]);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = lerp(a[i], g[i], by);
        b[i] = b[i] * beta2 + take2 * g[i] * g[i];
        double adapted = r / (sqrt(b[i]) + eps);
        p[i] -= a[i] * lr * (r != 0 ? adapted : 1);
    }
}

RULE(rprop)
{
    (void)c;
    const double more = k[2], less = k[4], greater = k[5], low = k[6], high = k[7];
    for (size_t i = 0; i < 8 * n; i++) {
        double turn = g[i] * a[i], by = turn > 0 ? greater : turn < 0 ? less : 1, now = turn < 0 ? 0 : g[i];
        b[i] = clamp((b[i] + more) * by, low, high);
        p[i] -= b[i] * (double)((now > 0) - (now < 0));
        a[i] = now;
    }
}

RULE(asgd)
{
    (void)b;
    (void)c;
    const double eta = k[2], mu = k[4], keep = k[5];
    for (size_t i = 0; i < 8 * n; i++) {
        p[i] = p[i] * keep - eta * g[i];
        a[i] = mu == 1 ? p[i] : a[i] + (p[i] - a[i]) * mu;
    }
}

RULE(muon)
{
    (void)c;
    for (size_t i = 0; i < 8 * n; i++) {
        p[i] -= k[2] * g[i];
        a[i] = b[i];
    }
}

RULE(lerp)
{
    (void)a;
    (void)b;
    (void)c;
    const lerp_by by = lerp_weight(k[2], 1 - k[2]);
    if (k[2] == 1) /* a copy, also of infinities */
        memcpy(p, g, 8 * n * sizeof *p);
    for (size_t i = 0; k[2] != 1 && i < 8 * n; i++)
        p[i] = lerp(p[i], g[i], by);
}

RULE(clamp)
{
    (void)g;
    (void)a;
    (void)b;
    (void)c;
    for (size_t i = 0; i < 8 * n; i++)
        p[i] = clamp(p[i], k[2], k[3]);
}

typedef void (*rule_fn)(double *restrict p, const double *restrict g, double *restrict a, double *restrict b,
                        double *restrict c, size_t n, const double *restrict k);
static const rule_fn rules[TG_N_RULES] = {
    [TG_RULE_RMSPROP] = rule_rmsprop, [TG_RULE_ADAGRAD] = rule_adagrad, [TG_RULE_ADADELTA] = rule_adadelta,
    [TG_RULE_ADAMAX] = rule_adamax,   [TG_RULE_AMSGRAD] = rule_amsgrad, [TG_RULE_NADAM] = rule_nadam,
    [TG_RULE_RADAM] = rule_radam,     [TG_RULE_RPROP] = rule_rprop,     [TG_RULE_ASGD] = rule_asgd,
    [TG_RULE_MUON] = rule_muon,       [TG_RULE_LERP] = rule_lerp,       [TG_RULE_CLAMP] = rule_clamp,
};
