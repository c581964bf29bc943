/* The loops of loss.c for one type: T and NAME are defined by the includer. */

/* Σ(a − b)² of at most REF_CHUNK elements. */
NAME(TG_REF_CLONES)
static double NAME(squares)(const T *a, const T *b, int64_t n)
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

NAME(TG_REF_CLONES)
static void NAME(each_square)(T *y, const T *a, const T *b, int64_t n)
{
    TG_REF_SIMD_LOOP
    for (int64_t i = 0; i < n; i++)
        y[i] = (a[i] - b[i]) * (a[i] - b[i]);
}

NAME(TG_REF_CLONES)
static void NAME(difference)(T *dx, T factor, const T *dy, const T *a, const T *b, int64_t n)
{
    if (dy) {
        TG_REF_SIMD_LOOP
        for (int64_t i = 0; i < n; i++)
            dx[i] = factor * dy[i] * (a[i] - b[i]);
    } else {
        TG_REF_SIMD_LOOP
        for (int64_t i = 0; i < n; i++)
            dx[i] = factor * (a[i] - b[i]);
    }
}

static void NAME(mse_item)(const void *arg, int64_t k)
{
    const mse_task *t = arg;
    int64_t i = k * REF_CHUNK, m = t->n - i < REF_CHUNK ? t->n - i : REF_CHUNK;
    const T *a = (const T *)t->a + i, *b = (const T *)t->b + i;
    if (t->partial)
        t->partial[k] = NAME(squares)(a, b, m);
    else
        NAME(each_square)((T *)t->dst + i, a, b, m);
}

static void NAME(mse)(const tg_run *r, int64_t reduction, int64_t n, int threads)
{
    double *partial = reduction == TG_REDUCE_NONE ? NULL : r->scratch, sum = 0.0;
    mse_task t = {.a = r->in[0], .b = r->in[1], .dst = r->out[0], .partial = partial, .n = n};
    int64_t chunks = (n + REF_CHUNK - 1) / REF_CHUNK;
    tg_ref_each(threads, chunks, NAME(mse_item), &t);
    if (!partial)
        return;
    for (int64_t k = 0; k < chunks; k++)
        sum += partial[k];
    *(T *)r->out[0] = (T)(reduction == TG_REDUCE_MEAN ? sum / (double)n : sum);
}

static void NAME(mse_back_item)(const void *arg, int64_t k)
{
    const mse_task *t = arg;
    int64_t i = k * REF_CHUNK, m = t->n - i < REF_CHUNK ? t->n - i : REF_CHUNK;
    const T *dy = t->dy ? (const T *)t->dy + i : NULL;
    NAME(difference)((T *)t->dst + i, (T)t->factor, dy, (const T *)t->a + i, (const T *)t->b + i, m);
}

static void NAME(mse_backward)(const tg_run *r, int64_t reduction, int64_t n, int threads)
{
    const T *dy = r->in[0];
    mse_task t = {.a = r->in[1], .b = r->in[2], .dst = r->out[0], .factor = 2.0, .n = n};
    if (reduction == TG_REDUCE_NONE)
        t.dy = dy;
    else
        t.factor = 2.0 * (double)dy[0] / (reduction == TG_REDUCE_MEAN ? (double)n : 1.0);
    tg_ref_each(threads, (n + REF_CHUNK - 1) / REF_CHUNK, NAME(mse_back_item), &t);
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

static void NAME(nll_item)(const void *arg, int64_t k)
{
    const nll_task *t = arg;
    int64_t i = k * REF_CHUNK, end = i + REF_CHUNK < t->q->count ? i + REF_CHUNK : t->q->count;
    double *sum = t->partial + 2 * k;
    sum[0] = sum[1] = 0.0;
    NAME(nll_some)(t->q, t->x, t->target, t->weight, t->dst, i, end, sum);
}

static void NAME(nll_loss)(const nll *q, const T *x, const int64_t *target, const T *weight, T *y,
                           double *partial, int threads)
{
    int64_t chunks = (q->count + REF_CHUNK - 1) / REF_CHUNK;
    double sum[2] = {0};
    bool each = q->reduction == TG_REDUCE_NONE;
    nll_task t = {
        .q = q, .x = x, .target = target, .weight = weight, .dst = each ? y : NULL, .partial = partial};
    tg_ref_each(threads, chunks, NAME(nll_item), &t);
    if (each)
        return;
    for (int64_t k = 0; k < 2 * chunks; k++)
        sum[k & 1] += partial[k];
    if (q->reduction ==
        TG_REDUCE_MEAN) /* the labels' own part of no weight at all is 0/0, whatever the rest */
        sum[0] = sum[1] == 0.0 ? (double)NAN : sum[0] / sum[1];
    y[0] = (T)sum[0];
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
NAME(TG_REF_CLONES)
static void NAME(back_rows)(const nll *q, T *dx, const T *dy, double scale, const T *log_probs,
                            const int64_t *target, const T *weight, int64_t from, int64_t to)
{
    int64_t n = q->classes;
    double keep = 1.0 - q->smoothing, spread = q->smoothing / (double)n;
    if (log_probs)
        NAME(ref_exps)(dx + from * n, log_probs + from * n, (to - from) * n);
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
        if (q->smoothing > 0.0) {
            TG_REF_SIMD_LOOP
            for (int64_t i = 0; i < n; i++)
                p[i] -= share * (weight ? weight[i] : (T)1);
        }
        p[t] -= (T)(k * keep * wt);
    }
}

/* Columns [j, j + w) of one sample's planes (inner > 1). */
NAME(TG_REF_CLONES)
static void NAME(back_columns)(const nll *q, T *dx, const T *dy, double scale, const T *log_probs,
                               const int64_t *target, const T *weight, int64_t w)
{
    T k[WIDTH], factor[WIDTH], e[WIDTH] = {0};
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
        if (log_probs)
            NAME(ref_exps)(e, log_probs + c * q->inner, w);
        TG_REF_SIMD_LOOP
        for (int64_t j = 0; j < w; j++) {
            T v = e[j] * factor[j];
            v -= spread * wc + (t[j] == c ? keep * wc : (T)0);
            p[j] = t[j] < 0 ? (T)0 : k[j] * v;
        }
    }
}

static void NAME(back_rows_item)(const void *arg, int64_t k)
{
    const nll_task *t = arg;
    int64_t i = k * t->step, end = i + t->step < t->q->count ? i + t->step : t->q->count;
    NAME(back_rows)(t->q, t->dst, t->dy, t->scale, t->x, t->target, t->weight, i, end);
}

static void NAME(back_columns_item)(const void *arg, int64_t b)
{
    const nll_task *t = arg;
    const nll *q = t->q;
    int64_t j = b % t->blocks * WIDTH, w = q->inner - j < WIDTH ? q->inner - j : WIDTH;
    int64_t i = b / t->blocks * q->inner + j, at = b / t->blocks * q->classes * q->inner + j;
    const T *dy = (const T *)t->dy + (q->reduction == TG_REDUCE_NONE ? i : 0);
    const T *x = t->x ? (const T *)t->x + at : NULL;
    NAME(back_columns)(q, (T *)t->dst + at, dy, t->scale, x, t->target + i, t->weight, w);
}

static void NAME(nll_back)(nll *q, T *dx, const T *dy, const T *log_probs, const int64_t *target,
                           const T *weight, int threads)
{
    nll_task t = {.q = q, .x = log_probs, .weight = weight, .target = target, .dst = dx, .dy = dy};
    t.scale = 1.0 / NAME(divisor)(q, target, weight);
    q->weights = (double)q->classes;
    if (weight) {
        q->weights = 0.0;
        for (int64_t c = 0; c < q->classes; c++)
            q->weights += (double)weight[c];
    }
    if (q->inner == 1) {
        t.step = q->classes < REF_CHUNK ? REF_CHUNK / q->classes : 1;
        tg_ref_each(threads, (q->count + t.step - 1) / t.step, NAME(back_rows_item), &t);
    } else {
        t.blocks = (q->inner + WIDTH - 1) / WIDTH;
        tg_ref_each(threads, q->count / q->inner * t.blocks, NAME(back_columns_item), &t);
    }
}
