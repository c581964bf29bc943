/* The loops of layer norm for one type: T and NAME are defined by the includer. */

REF_CLONES static void NAME(layer_rows)(const T *x, const T *restrict weight, const T *restrict bias,
                                        T *restrict y, T *mean, T *rstd, double eps, int64_t rows, int64_t n)
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
REF_CLONES static void NAME(layer_back_rows)(const back_data *d, int64_t from, int64_t to, int64_t n,
                                             double *restrict a, double *restrict b)
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

static void NAME(layer)(const rows_shape *q, double eps, const T *x, const T *weight, const T *bias, T *y,
                        T *mean, T *rstd, int threads)
{
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t k = 0; k < q->chunks; k++) {
        int64_t r = k * q->step, m = q->rows - r < q->step ? q->rows - r : q->step;
        NAME(layer_rows)(x + r * q->n, weight, bias, y + r * q->n, mean + r, rstd + r, eps, m, q->n);
    }
}

static void NAME(layer_back)(const rows_shape *q, const back_data *d, double *scratch, int threads)
{
    double *a = d->dweight ? scratch : NULL, *b = d->dbias ? scratch + q->chunks * q->n : NULL;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for
        for (int64_t k = 0; k < q->chunks; k++) {
            double *ak = a ? a + k * q->n : NULL, *bk = b ? b + k * q->n : NULL;
            for (int64_t i = 0; ak && i < q->n; i++)
                ak[i] = 0.0;
            for (int64_t i = 0; bk && i < q->n; i++)
                bk[i] = 0.0;
            NAME(layer_back_rows)
            (d, k * q->step, k * q->step + q->step < q->rows ? k * q->step + q->step : q->rows, q->n, ak, bk);
        }
#pragma omp for
        for (int64_t i = 0; i < q->n; i++) {
            double sa = 0.0, sb = 0.0;
            for (int64_t k = 0; k < q->chunks; k++) {
                sa += a ? a[k * q->n + i] : 0.0;
                sb += b ? b[k * q->n + i] : 0.0;
            }
            if (a)
                ((T *)d->dweight)[i] = (T)sa;
            if (b)
                ((T *)d->dbias)[i] = (T)sb;
        }
    }
}
