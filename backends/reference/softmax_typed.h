/* The loops of softmax.c for one type: T, EXP and NAME are defined by the includer. */

/* The one copy of the polynomial: whoever takes pieces of some length may as well call. A function with clones is
 * exported, hidden or not, unless it is static. */
NAME(TG_REF_CLONES) static void NAME(exps)(T *y, const T *x, int64_t n)
{
    TG_REF_SIMD_LOOP
    for (int64_t i = 0; i < n; i++)
        y[i] = EXP(x[i]);
}

void NAME(ref_exps)(T *y, const T *x, int64_t n)
{
    NAME(exps)(y, x, n);
}

/* Rows of n elements, short ones a group at a time, so that the exponentials run over whole vectors. y = x −
 * max first; the exponentials of `logs` go through a buffer. */
NAME(TG_REF_CLONES)
static void NAME(rows)(T *y, const T *x, int64_t rows, int64_t n, bool logs)
{
    T buffer[PIECE];
    double sum[PIECE];
    int64_t group = n > PIECE ? 1 : PIECE / n;
    for (int64_t r0 = 0; r0 < rows; r0 += group) {
        int64_t m = rows - r0 < group ? rows - r0 : group;
        const T *src = x + r0 * n;
        T *dst = y + r0 * n;
        for (int64_t r = 0; r < m; r++) {
            const T *p = src + r * n;
            T *q = dst + r * n, max = NAME(max)(p, n);
            TG_REF_SIMD_LOOP
            for (int64_t i = 0; i < n; i++)
                q[i] = p[i] - max;
            sum[r] = 0.0;
        }
        for (int64_t p0 = 0; p0 < m * n; p0 += PIECE) {
            int64_t len = m * n - p0 < PIECE ? m * n - p0 : PIECE, each = m == 1 ? len : n;
            T *e = logs ? buffer : dst + p0;
            NAME(ref_exps)(e, dst + p0, len);
            for (int64_t r = 0; r < m; r++)
                sum[r] += NAME(sum)(e + r * each, each);
        }
        for (int64_t r = 0; r < m; r++) {
            T s = (T)(logs ? log(sum[r]) : sum[r]);
            T *p = dst + r * n;
            if (logs)
                for (int64_t i = 0; i < n; i++)
                    p[i] -= s;
            else
                for (int64_t i = 0; i < n; i++)
                    p[i] /= s;
        }
    }
}

/* The largest of each of w ≤ WIDTH neighbouring columns of n elements, `step` apart. */
NAME(TG_REF_CLONES)
static void NAME(column_max)(T *restrict max, const T *restrict x, int64_t n, int64_t step, int64_t w)
{
    memcpy(max, x, (size_t)w * sizeof *x);
    for (int64_t k = 1; k < n; k++)
        for (int64_t j = 0; j < w; j++)
            max[j] = x[k * step + j] > max[j] ? x[k * step + j] : max[j];
}

/* y = e^(x − max), its sums, and x − max itself at `less` (which may be y). */
NAME(TG_REF_CLONES)
static void NAME(column_exps)(double *restrict sum, T *y, T *less, const T *x, const T *max, int64_t w)
{
    TG_REF_SIMD_LOOP
    for (int64_t j = 0; j < w; j++)
        less[j] = x[j] - max[j];
    NAME(ref_exps)(y, less, w);
    for (int64_t j = 0; j < w; j++)
        sum[j] += (double)y[j];
}

NAME(TG_REF_CLONES)
static void NAME(columns)(T *y, const T *x, int64_t n, int64_t step, int64_t w, bool logs)
{
    T max[WIDTH], s[WIDTH], e[WIDTH];
    double sum[WIDTH] = {0};
    NAME(column_max)(max, x, n, step, w);
    for (int64_t k = 0; k < n; k++)
        NAME(column_exps)(sum, logs ? e : y + k * step, y + k * step, x + k * step, max, w);
    for (int64_t j = 0; j < w; j++)
        s[j] = (T)(logs ? log(sum[j]) : sum[j]);
    for (int64_t k = 0; k < n; k++) {
        T *out = y + k * step;
        if (logs)
            for (int64_t j = 0; j < w; j++)
                out[j] -= s[j];
        else
            for (int64_t j = 0; j < w; j++)
                out[j] /= s[j];
    }
}

/* dx = y·(dy − Σ dy·y); of `logs`, short rows a group at a time: dx = dy − e^y·Σ dy. */
NAME(TG_REF_CLONES)
static void NAME(rows_backward)(T *dx, const T *dy, const T *y, int64_t rows, int64_t n, bool logs)
{
    if (!logs) {
        for (int64_t r = 0; r < rows; r++, dx += n, dy += n, y += n) {
            T s = (T)NAME(dot)(dy, y, n);
            TG_REF_SIMD_LOOP
            for (int64_t i = 0; i < n; i++)
                dx[i] = y[i] * (dy[i] - s);
        }
        return;
    }
    T e[PIECE], s[PIECE];
    int64_t group = n > PIECE ? 1 : PIECE / n;
    for (int64_t r0 = 0; r0 < rows; r0 += group) {
        int64_t m = rows - r0 < group ? rows - r0 : group;
        for (int64_t r = 0; r < m; r++)
            s[r] = (T)NAME(sum)(dy + (r0 + r) * n, n);
        for (int64_t p0 = 0; p0 < m * n; p0 += PIECE) {
            int64_t len = m * n - p0 < PIECE ? m * n - p0 : PIECE, each = m == 1 ? len : n;
            int64_t at = r0 * n + p0;
            NAME(ref_exps)(e, y + at, len);
            for (int64_t r = 0; r < m; r++, at += each)
                TG_REF_SIMD_LOOP
                for (int64_t i = 0; i < each; i++)
                    dx[at + i] = dy[at + i] - e[r * each + i] * s[r];
        }
    }
}

NAME(TG_REF_CLONES)
static void NAME(columns_backward)(T *dx, const T *dy, const T *y, int64_t n, int64_t step, int64_t w,
                                   bool logs)
{
    double sum[WIDTH] = {0};
    T s[WIDTH], e[WIDTH];
    for (int64_t k = 0; k < n; k++)
        if (logs)
            for (int64_t j = 0; j < w; j++)
                sum[j] += (double)dy[k * step + j];
        else
            for (int64_t j = 0; j < w; j++)
                sum[j] += (double)dy[k * step + j] * (double)y[k * step + j];
    for (int64_t j = 0; j < w; j++)
        s[j] = (T)sum[j];
    for (int64_t k = 0; k < n; k++, dx += step, dy += step, y += step) {
        if (logs) {
            NAME(ref_exps)(e, y, w);
            TG_REF_SIMD_LOOP
            for (int64_t j = 0; j < w; j++)
                dx[j] = dy[j] - e[j] * s[j];
        } else {
            TG_REF_SIMD_LOOP
            for (int64_t j = 0; j < w; j++)
                dx[j] = y[j] * (dy[j] - s[j]);
        }
    }
}

/* Some whole rows, where the elements of a row lie side by side. */
static void NAME(rows_item)(const void *arg, int64_t i)
{
    const task *t = arg;
    int64_t n = t->p.n, r = i * t->step, m = t->p.outer - r < t->step ? t->p.outer - r : t->step;
    T *dst = (T *)t->dst + r * n;
    const T *src = (const T *)t->src + r * n;
    if (t->dy)
        NAME(rows_backward)(dst, (const T *)t->dy + r * n, src, m, n, t->logs);
    else
        NAME(rows)(dst, src, m, n, t->logs);
}

/* A block of neighbouring columns. */
static void NAME(columns_item)(const void *arg, int64_t i)
{
    const task *t = arg;
    int64_t n = t->p.n, inner = t->p.inner, j = i % t->blocks * WIDTH;
    int64_t w = inner - j < WIDTH ? inner - j : WIDTH, at = i / t->blocks * n * inner + j;
    T *dst = (T *)t->dst + at;
    const T *src = (const T *)t->src + at;
    if (t->dy)
        NAME(columns_backward)(dst, (const T *)t->dy + at, src, n, inner, w, t->logs);
    else
        NAME(columns)(dst, src, n, inner, w, t->logs);
}

/* log Σexp of one output: runs of `run` elements that lie side by side, started from each offset of the
 * odometer. */
NAME(TG_REF_CLONES)
static T NAME(logsumexp_one)(const T *x, const span *s)
{
    T max = -(T)INFINITY;
    int64_t at[TG_MAX_DIM] = {0}, offset = 0;
    bool nan = false;
    do {
        const T *p = x + offset;
        for (int64_t i = 0; i < s->run; i++) {
            nan |= p[i] != p[i];
            max = p[i] > max ? p[i] : max;
        }
    } while (advance(s, at, &offset));
    if (nan)
        return (T)NAN;
    if (isinf(max))
        return max;
    T e[WIDTH];
    double sum = 0.0;
    do {
        for (int64_t i = 0; i < s->run; i += WIDTH) {
            const int64_t w = s->run - i < WIDTH ? s->run - i : WIDTH;
            for (int64_t j = 0; j < w; j++)
                e[j] = x[offset + i + j] - max;
            NAME(ref_exps)(e, e, w);
            for (int64_t j = 0; j < w; j++)
                sum += (double)e[j];
        }
    } while (advance(s, at, &offset));
    return (T)(log(sum) + (double)max);
}

/* The same of w ≤ WIDTH neighbouring columns. An infinite maximum is not taken off: NaN would be the difference. */
NAME(TG_REF_TWO_CLONES) static void NAME(logsumexp_columns)(T *y, const T *x, int64_t n, int64_t step, int64_t w)
{
    T max[WIDTH], e[WIDTH];
    double sum[WIDTH] = {0};
    NAME(column_max)(max, x, n, step, w);
    for (int64_t j = 0; j < w; j++)
        max[j] = isfinite(max[j]) ? max[j] : 0;
    for (int64_t k = 0; k < n; k++)
        NAME(column_exps)(sum, e, e, x + k * step, max, w);
    for (int64_t j = 0; j < w; j++)
        y[j] = (T)(log(sum[j]) + (double)max[j]);
}

static void NAME(logsumexp_columns_item)(const void *arg, int64_t i)
{
    const task *t = arg;
    const int64_t inner = t->p.inner, o = i / t->blocks, j = i % t->blocks * WIDTH;
    NAME(logsumexp_columns)
    ((T *)t->dst + o * inner + j, (const T *)t->src + o * t->p.n * inner + j, t->p.n, inner,
     inner - j < WIDTH ? inner - j : WIDTH);
}
