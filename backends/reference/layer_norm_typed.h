/* The loops of layer norm for one type: T and NAME are defined by the includer. */

NAME(TG_REF_CLONES)
static void NAME(layer_rows)(const T *x, const T *restrict weight, const T *restrict bias, T *restrict y,
                             T *mean, T *rstd, double eps, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += n, y += n) {
        double m = NAME(sum)(x, n) / (double)n;
        double s = 1.0 / sqrt(NAME(squares)(x, m, n) / (double)n + eps);
        T high = (T)m, low = (T)(m - (double)high), scale = (T)s;
        mean[r] = high;
        rstd[r] = scale;
        for (int64_t i = 0; i < n; i++)
            y[i] = ((x[i] - high) - low) * scale;
        if (weight)
            for (int64_t i = 0; i < n; i++)
                y[i] *= weight[i];
        if (bias)
            for (int64_t i = 0; i < n; i++)
                y[i] += bias[i];
    }
}

/* dx of some rows, and their sums for the parameters, added to a (Σdy·x̂) and b (Σdy) where given. */
NAME(TG_REF_CLONES)
static void NAME(layer_back_rows)(const back_data *d, int64_t from, int64_t to, int64_t n, double *restrict a,
                                  double *restrict b)
{
    const T *weight = d->weight;
    for (int64_t r = from; r < to; r++) {
        const T *dy = (const T *)d->dy + r * n, *x = (const T *)d->x + r * n;
        T mean = ((const T *)d->mean)[r], rstd = ((const T *)d->invstd)[r],
          *dx = d->dx ? (T *)d->dx + r * n : NULL;
        double lane[2][REF_LANES] = {{0}}, s[2] = {0};
        int64_t i = 0;
        for (; a && i < n; i++)
            a[i] += (double)dy[i] * (double)((x[i] - mean) * rstd);
        for (i = 0; b && i < n; i++)
            b[i] += (double)dy[i];
        if (!dx)
            continue;
        for (i = 0; i + REF_LANES <= n; i += REF_LANES)
            for (int l = 0; l < REF_LANES; l++) {
                double g = (double)dy[i + l] * (weight ? (double)weight[i + l] : 1.0);
                lane[0][l] += g;
                lane[1][l] += g * (double)((x[i + l] - mean) * rstd);
            }
        for (; i < n; i++) {
            double g = (double)dy[i] * (weight ? (double)weight[i] : 1.0);
            s[0] += g;
            s[1] += g * (double)((x[i] - mean) * rstd);
        }
        T offset = (T)((s[0] + ref_lanes_sum(lane[0])) / (double)n);
        T slope = (T)((s[1] + ref_lanes_sum(lane[1])) / (double)n);
        for (i = 0; i < n; i++) {
            T g = weight ? dy[i] * weight[i] : dy[i];
            dx[i] = rstd * ((g - offset) - (x[i] - mean) * rstd * slope);
        }
    }
}

static void NAME(layer_item)(const void *arg, int64_t k)
{
    const layer_task *t = arg;
    const rows_shape *q = t->q;
    int64_t r = k * q->step, m = q->rows - r < q->step ? q->rows - r : q->step;
    NAME(layer_rows)
    ((const T *)t->x + r * q->n, t->weight, t->bias, (T *)t->y + r * q->n, (T *)t->mean + r, (T *)t->rstd + r,
     t->eps, m, q->n);
}

/* One chunk's rows, and its sums for the parameters. */
static void NAME(layer_back_item)(const void *arg, int64_t k)
{
    const layer_back_task *t = arg;
    const rows_shape *q = t->q;
    int64_t from = k * q->step, to = from + q->step < q->rows ? from + q->step : q->rows;
    double *a = t->a ? t->a + k * q->n : NULL, *b = t->b ? t->b + k * q->n : NULL;
    for (int64_t i = 0; a && i < q->n; i++)
        a[i] = 0.0;
    for (int64_t i = 0; b && i < q->n; i++)
        b[i] = 0.0;
    NAME(layer_back_rows)(t->d, from, to, q->n, a, b);
}

/* The chunks' sums of one column. */
static void NAME(layer_sums_item)(const void *arg, int64_t i)
{
    const layer_back_task *t = arg;
    double sa = 0.0, sb = 0.0;
    for (int64_t k = 0; k < t->q->chunks; k++) {
        sa += t->a ? t->a[k * t->q->n + i] : 0.0;
        sb += t->b ? t->b[k * t->q->n + i] : 0.0;
    }
    if (t->d->dweight)
        ((T *)t->d->dweight)[i] = (T)sa;
    if (t->d->dbias)
        ((T *)t->d->dbias)[i] = (T)sb;
}
