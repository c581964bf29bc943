/* The loops of loss.c for one type: T, EXP and NAME are defined by the includer. */

/* Σ(a − b)² of at most REF_CHUNK elements. */
REF_CLONES static double NAME(squares)(const T *a, const T *b, int64_t n)
{
    double lane[REF_LANES] = {0}, s = 0.0;
    int64_t i = 0;
    for (; i + REF_LANES <= n; i += REF_LANES)
        for (int l = 0; l < REF_LANES; l++) {
            double d = (double)a[i + l] - (double)b[i + l];
            lane[l] += d * d;
        }
    for (; i < n; i++)
        s += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return s + ref_lanes_sum(lane);
}

REF_CLONES static void NAME(each_square)(T *y, const T *a, const T *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (a[i] - b[i]) * (a[i] - b[i]);
}

REF_CLONES static void NAME(difference)(T *dx, T factor, const T *dy, const T *a, const T *b, int64_t n)
{
    if (dy)
        for (int64_t i = 0; i < n; i++)
            dx[i] = factor * dy[i] * (a[i] - b[i]);
    else
        for (int64_t i = 0; i < n; i++)
            dx[i] = factor * (a[i] - b[i]);
}

static void NAME(mse)(const tg_run *r, int64_t reduction, int64_t n, int threads)
{
    const T *a = r->in[0], *b = r->in[1];
    T *y = r->out[0];
    double *partial = r->scratch, sum = 0.0;
    int64_t chunks = (n + REF_CHUNK - 1) / REF_CHUNK;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t k = 0; k < chunks; k++) {
        int64_t i = k * REF_CHUNK, m = n - i < REF_CHUNK ? n - i : REF_CHUNK;
        if (reduction == TG_REDUCE_NONE)
            NAME(each_square)(y + i, a + i, b + i, m);
        else
            partial[k] = NAME(squares)(a + i, b + i, m);
    }
    if (reduction == TG_REDUCE_NONE)
        return;
    for (int64_t k = 0; k < chunks; k++)
        sum += partial[k];
    y[0] = (T)(reduction == TG_REDUCE_MEAN ? sum / (double)n : sum);
}

static void NAME(mse_backward)(const tg_run *r, int64_t reduction, int64_t n, int threads)
{
    const T *dy = r->in[0], *a = r->in[1], *b = r->in[2];
    T *dx = r->out[0];
    bool each = reduction == TG_REDUCE_NONE;
    T factor = (T)(each ? 2.0 : 2.0 * (double)dy[0] / (reduction == TG_REDUCE_MEAN ? (double)n : 1.0));
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < n; i += REF_CHUNK)
        NAME(difference)
    (dx + i, factor, each ? dy + i : NULL, a + i, b + i, n - i < REF_CHUNK ? n - i : REF_CHUNK);
}

/* The losses of positions [i, end), each written where `y` is given; adds to sum[0] the losses, to sum[1] the
 * weights. */
static void NAME(nll_some)(const nll *q, const T *x, const int64_t *target, const T *weight, T *y, int64_t i,
                           int64_t end, double *sum)
{
    double keep = 1.0 - q->smoothing, spread = q->smoothing / (double)q->classes;
    for (; i < end; i++) {
        int64_t t = target[i];
        if (!counts(q, t)) {
            if (y)
                y[i] = 0;
            continue;
        }
        const T *p = x + i * q->classes; /* the plain case is spared the divisions */
        if (q->inner > 1)
            p = x + i / q->inner * q->classes * q->inner + i % q->inner;
        double w = weight ? (double)weight[t] : 1.0, loss = -keep * w * (double)p[t * q->inner];
        if (q->smoothing > 0.0) {
            double all = 0.0;
            for (int64_t k = 0; k < q->classes; k++)
                all += (weight ? (double)weight[k] : 1.0) * (double)p[k * q->inner];
            loss -= spread * all;
        }
        if (y)
            y[i] = (T)loss;
        sum[0] += loss;
        sum[1] += w;
    }
}

static void NAME(nll_loss)(const nll *q, const T *x, const int64_t *target, const T *weight, T *y,
                           double *partial, int threads)
{
    int64_t chunks = (q->count + REF_CHUNK - 1) / REF_CHUNK;
    double sum[2] = {0};
    T *each = q->reduction == TG_REDUCE_NONE ? y : NULL;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t k = 0; k < chunks; k++) {
        int64_t i = k * REF_CHUNK, end = i + REF_CHUNK < q->count ? i + REF_CHUNK : q->count;
        partial[2 * k] = partial[2 * k + 1] = 0.0;
        NAME(nll_some)(q, x, target, weight, each, i, end, partial + 2 * k);
    }
    if (each)
        return;
    for (int64_t k = 0; k < 2 * chunks; k++)
        sum[k & 1] += partial[k];
    y[0] = (T)(q->reduction == TG_REDUCE_MEAN ? sum[0] / sum[1] : sum[0]);
}

/* What one unit of loss sends back is dy, divided by Σw[t] for the mean. */
static double NAME(divisor)(const nll *q, const int64_t *target, const T *weight)
{
    if (q->reduction != TG_REDUCE_MEAN)
        return 1.0;
    double sum = 0.0;
    for (int64_t i = 0; i < q->count; i++)
        if (counts(q, target[i]))
            sum += weight ? (double)weight[target[i]] : 1.0;
    return sum;
}

/* Rows of classes (inner = 1), from `from` up to `to`. log_probs NULL: nll_loss's gradient, else
 * cross_entropy's. */
REF_CLONES static void NAME(back_rows)(const nll *q, T *dx, const T *dy, double scale, const T *log_probs,
                                       const int64_t *target, const T *weight, int64_t from, int64_t to)
{
    int64_t n = q->classes;
    double keep = 1.0 - q->smoothing, spread = q->smoothing / (double)n;
    if (log_probs)
        for (int64_t i = from * n; i < to * n; i++)
            dx[i] = EXP(log_probs[i]);
    for (int64_t r = from; r < to; r++) {
        int64_t t = target[r];
        T *p = dx + r * n;
        bool live = counts(q, t);
        double wt = weight && live ? (double)weight[t] : 1.0;
        double k = scale * (q->reduction == TG_REDUCE_NONE ? (double)dy[r] : (double)dy[0]);
        T factor = (T)(k * (keep * wt + spread * q->weights)), share = (T)(k * spread);
        if (!live || !log_probs)
            memset(p, 0, (size_t)n * sizeof *p);
        if (!live)
            continue;
        if (log_probs)
            for (int64_t i = 0; i < n; i++)
                p[i] *= factor;
        if (q->smoothing > 0.0)
            for (int64_t i = 0; i < n; i++)
                p[i] -= share * (weight ? weight[i] : (T)1);
        p[t] -= (T)(k * keep * wt);
    }
}

/* Columns [j, j + w) of one sample's planes (inner > 1). */
REF_CLONES static void NAME(back_columns)(const nll *q, T *dx, const T *dy, double scale, const T *log_probs,
                                          const int64_t *target, const T *weight, int64_t w)
{
    T k[WIDTH], factor[WIDTH];
    int64_t t[WIDTH];
    T keep = (T)(1.0 - q->smoothing), spread = (T)(q->smoothing / (double)q->classes);
    for (int64_t j = 0; j < w; j++) {
        bool live = counts(q, target[j]);
        T wt = live && weight ? weight[target[j]] : (T)1;
        t[j] = live ? target[j] : -1;
        k[j] = (T)(scale * (q->reduction == TG_REDUCE_NONE ? (double)dy[j] : (double)dy[0]));
        factor[j] = log_probs ? keep * wt + spread * (T)q->weights : (T)0;
    }
    for (int64_t c = 0; c < q->classes; c++) {
        T wc = weight ? weight[c] : (T)1, *p = dx + c * q->inner;
        for (int64_t j = 0; j < w; j++) {
            T v = log_probs ? EXP(log_probs[c * q->inner + j]) * factor[j] : (T)0;
            v -= spread * wc + (t[j] == c ? keep * wc : (T)0);
            p[j] = t[j] < 0 ? (T)0 : k[j] * v;
        }
    }
}

static void NAME(nll_back)(nll *q, T *dx, const T *dy, const T *log_probs, const int64_t *target,
                           const T *weight, int threads)
{
    double scale = 1.0 / NAME(divisor)(q, target, weight);
    q->weights = (double)q->classes;
    if (weight) {
        q->weights = 0.0;
        for (int64_t c = 0; c < q->classes; c++)
            q->weights += (double)weight[c];
    }
    bool each = q->reduction == TG_REDUCE_NONE;
    if (q->inner == 1) {
        int64_t step = q->classes < REF_CHUNK ? REF_CHUNK / q->classes : 1;
#pragma omp parallel for num_threads(threads) if (threads > 1)
        for (int64_t i = 0; i < q->count; i += step)
            NAME(back_rows)
        (q, dx, dy, scale, log_probs, target, weight, i, i + step < q->count ? i + step : q->count);
        return;
    }
    int64_t blocks = (q->inner + WIDTH - 1) / WIDTH, samples = q->count / q->inner;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t b = 0; b < samples * blocks; b++) {
        int64_t j = b % blocks * WIDTH, w = q->inner - j < WIDTH ? q->inner - j : WIDTH;
        int64_t i = b / blocks * q->inner + j, at = b / blocks * q->classes * q->inner + j;
        NAME(back_columns)
        (q, dx + at, each ? dy + i : dy, scale, log_probs ? log_probs + at : NULL, target + i, weight, w);
    }
}
