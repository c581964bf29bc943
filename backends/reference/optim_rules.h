/* The rules of optim_step on dense tiles of 8n elements, as torch has them: p is the parameter (already shrunk), g the
 * gradient with its decay, a to c the states, k the group's scalars. In eights, so that no loop has a rest. Included
 * once for each element type, as optim_spans.h is, with FABS besides. */
#define RULE(name)                                                                                           \
    static void SPAN(rule_##name)(REAL *restrict p, const REAL *restrict g, REAL *restrict a,                \
                                  REAL *restrict b, REAL *restrict c, size_t n, const double *restrict k)

/* torch.lerp computes from the nearer end. */
typedef struct SPAN(lerp_by) {
    bool far;
    REAL factor;
} SPAN(lerp_by);

static SPAN(lerp_by) SPAN(lerp_weight)(double weight, double rest)
{
    return (SPAN(lerp_by)){weight >= 0.5, (REAL)(weight >= 0.5 ? -rest : weight)};
}

static inline REAL SPAN(between)(REAL from, REAL to, SPAN(lerp_by) by)
{
    return (by.far ? to : from) + by.factor * (to - from);
}

static inline REAL SPAN(clamp)(REAL x, REAL low, REAL high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

RULE(rmsprop)
{
    const REAL lr = (REAL)k[2], eps = (REAL)k[3], alpha = (REAL)k[4], take = (REAL)(1 - k[4]), momentum = (REAL)k[5];
    const bool centered = k[6] != 0;
    const SPAN(lerp_by) by = SPAN(lerp_weight)(1 - k[4], k[4]);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = a[i] * alpha + take * g[i] * g[i];
        b[i] = SPAN(between)(b[i], g[i], by);
        REAL v = centered ? a[i] - b[i] * b[i] : a[i];
        c[i] = momentum * c[i] + g[i] / (SQRT(v) + eps);
        p[i] -= lr * c[i];
    }
}

RULE(adagrad)
{
    (void)b;
    (void)c;
    const REAL lr = (REAL)k[2], eps = (REAL)k[3], more = (REAL)k[4];
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = a[i] + more + g[i] * g[i];
        p[i] -= lr * g[i] / (SQRT(a[i]) + eps);
    }
}

RULE(adadelta)
{
    (void)c;
    const REAL lr = (REAL)k[2], eps = (REAL)k[3], rho = (REAL)k[4], take = (REAL)(1 - k[4]);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = a[i] * rho + take * g[i] * g[i];
        REAL d = SQRT((b[i] + eps) / (a[i] + eps)) * g[i];
        b[i] = b[i] * rho + take * d * d;
        p[i] -= lr * d;
    }
}

RULE(adamax)
{
    (void)c;
    const REAL lr = (REAL)k[2], eps = (REAL)k[3], beta2 = (REAL)k[5];
    const SPAN(lerp_by) by = SPAN(lerp_weight)(1 - k[4], k[4]);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = SPAN(between)(a[i], g[i], by);
        REAL old = b[i] * beta2, now = FABS(g[i]) + eps;
        b[i] = old > now || old != old ? old : now; /* a NaN in either stays */
        p[i] -= lr * a[i] / b[i];
    }
}

RULE(amsgrad)
{
    const REAL lr = (REAL)k[2], eps = (REAL)k[3], beta2 = (REAL)k[5], take2 = (REAL)(1 - k[5]), root = (REAL)k[6];
    const SPAN(lerp_by) by = SPAN(lerp_weight)(1 - k[4], k[4]);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = SPAN(between)(a[i], g[i], by);
        b[i] = b[i] * beta2 + take2 * g[i] * g[i];
        c[i] = c[i] >= b[i] ? c[i] : b[i]; /* a NaN in either stays: b is NaN with its gradient for good */
        p[i] -= lr * (a[i] / (SQRT(c[i]) / root + eps));
    }
}

RULE(nadam)
{
    (void)c;
    const REAL lr = (REAL)k[2], eps = (REAL)k[3], beta2 = (REAL)k[5], take2 = (REAL)(1 - k[5]), left = (REAL)(1 / k[6]), lr2 = (REAL)k[7];
    const SPAN(lerp_by) by = SPAN(lerp_weight)(1 - k[4], k[4]);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = SPAN(between)(a[i], g[i], by);
        b[i] = b[i] * beta2 + take2 * g[i] * g[i];
        p[i] -= (lr * g[i] + lr2 * a[i]) / (SQRT(b[i] * left) + eps);
    }
}

RULE(radam)
{
    (void)c;
    const REAL lr = (REAL)k[2], eps = (REAL)k[3], beta2 = (REAL)k[5], take2 = (REAL)(1 - k[5]), r = (REAL)k[6];
    const SPAN(lerp_by) by = SPAN(lerp_weight)(1 - k[4], k[4]);
    for (size_t i = 0; i < 8 * n; i++) {
        a[i] = SPAN(between)(a[i], g[i], by);
        b[i] = b[i] * beta2 + take2 * g[i] * g[i];
        REAL adapted = r / (SQRT(b[i]) + eps);
        p[i] -= a[i] * lr * (r != 0 ? adapted : 1);
    }
}

RULE(rprop)
{
    (void)c;
    const REAL more = (REAL)k[2], less = (REAL)k[4], greater = (REAL)k[5], low = (REAL)k[6], high = (REAL)k[7];
    for (size_t i = 0; i < 8 * n; i++) {
        REAL turn = g[i] * a[i], by = turn > 0 ? greater : turn < 0 ? less : 1, now = turn < 0 ? 0 : g[i];
        b[i] = SPAN(clamp)((b[i] + more) * by, low, high);
        p[i] -= b[i] * (REAL)((now > 0) - (now < 0));
        a[i] = now;
    }
}

RULE(asgd)
{
    (void)b;
    (void)c;
    const REAL eta = (REAL)k[2], mu = (REAL)k[4], keep = (REAL)k[5];
    for (size_t i = 0; i < 8 * n; i++) {
        p[i] = p[i] * keep - eta * g[i];
        a[i] = mu == 1 ? p[i] : a[i] + (p[i] - a[i]) * mu;
    }
}

RULE(muon)
{
    (void)c;
    const REAL lr = (REAL)k[2];
    for (size_t i = 0; i < 8 * n; i++) {
        p[i] -= lr * g[i];
        a[i] = b[i];
    }
}

RULE(lerp)
{
    (void)a;
    (void)b;
    (void)c;
    const SPAN(lerp_by) by = SPAN(lerp_weight)(k[2], 1 - k[2]);
    if (k[2] == 1) /* a copy, also of infinities */
        memcpy(p, g, 8 * n * sizeof *p);
    for (size_t i = 0; k[2] != 1 && i < 8 * n; i++)
        p[i] = SPAN(between)(p[i], g[i], by);
}

RULE(clamp)
{
    (void)g;
    (void)a;
    (void)b;
    (void)c;
    for (size_t i = 0; i < 8 * n; i++)
        p[i] = SPAN(clamp)(p[i], (REAL)k[2], (REAL)k[3]);
}

typedef void (*SPAN(rule_fn))(REAL *restrict p, const REAL *restrict g, REAL *restrict a, REAL *restrict b,
                              REAL *restrict c, size_t n, const double *restrict k);
static const SPAN(rule_fn) SPAN(rules)[TG_N_RULES] = {
    [TG_RULE_RMSPROP] = SPAN(rule_rmsprop), [TG_RULE_ADAGRAD] = SPAN(rule_adagrad), [TG_RULE_ADADELTA] = SPAN(rule_adadelta),
    [TG_RULE_ADAMAX] = SPAN(rule_adamax),   [TG_RULE_AMSGRAD] = SPAN(rule_amsgrad), [TG_RULE_NADAM] = SPAN(rule_nadam),
    [TG_RULE_RADAM] = SPAN(rule_radam),     [TG_RULE_RPROP] = SPAN(rule_rprop),     [TG_RULE_ASGD] = SPAN(rule_asgd),
    [TG_RULE_MUON] = SPAN(rule_muon),       [TG_RULE_LERP] = SPAN(rule_lerp),       [TG_RULE_CLAMP] = SPAN(rule_clamp),
};

/* Elements from `from` on, whatever their dtype and strides. */
static void SPAN(load)(const tg_desc *d, const void *src, int64_t from, size_t n, REAL *to)
{
    const bool dense = ref_is_dense(d);
    if (dense && d->dtype == KIND) {
        memcpy(to, (const REAL *)src + from, n * sizeof *to);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const int64_t at = dense ? from + (int64_t)i : ref_place(d, from + (int64_t)i);
        to[i] = d->dtype == TG_F64 ? (REAL)((const double *)src)[at] : (REAL)((const float *)src)[at];
    }
}

static void SPAN(store)(const tg_desc *d, void *dst, int64_t from, size_t n, const REAL *src)
{
    const bool dense = ref_is_dense(d);
    if (dense && d->dtype == KIND) {
        memcpy((REAL *)dst + from, src, n * sizeof *src);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const int64_t at = dense ? from + (int64_t)i : ref_place(d, from + (int64_t)i);
        if (d->dtype == TG_F64)
            ((double *)dst)[at] = (double)src[i];
        else
            ((float *)dst)[at] = (float)src[i];
    }
}

/* Elements [from, to) of a group, through dense tiles; an input that is absent is zeros. */
static void SPAN(run_rule)(const tg_desc *const *desc, const void *const *in, int64_t from, int64_t to,
                           const double *s, const tg_rule_attrs *k)
{
    REAL tile[MAX_PERIOD][TILE] __attribute__((aligned(64))) = {0};
    REAL *param = tile[0], *grad = tile[1];
    const REAL sign = k->maximize ? -1 : 1, shrink = (REAL)s[0], decay = (REAL)s[1];
    for (; from < to; from += TILE) {
        const size_t n = to - from < TILE ? (size_t)(to - from) : TILE, eights = (n + 7) / 8;
        for (int j = 0; j < MAX_PERIOD; j++)
            if (desc[j])
                SPAN(load)(desc[j], in[j], from, n, tile[j]);
            else
                memset(tile[j], 0, sizeof tile[j]);
        for (size_t i = 0; i < 8 * eights; i++) {
            const REAL p = param[i] * shrink, g = sign * grad[i];
            grad[i] = decay != 0 ? g + decay * param[i] : g;
            param[i] = p;
        }
        SPAN(rules)[k->rule](param, grad, tile[2], tile[3], tile[4], eights, s);
        for (int j = 0; j < MAX_PERIOD; j++)
            if (j != 1 && desc[j])
                SPAN(store)(desc[j], (void *)(uintptr_t)in[j], from, n, tile[j]);
    }
}
