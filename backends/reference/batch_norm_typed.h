/* The loops of batch norm for one type: T and NAME are defined by the includer. Two layouts: [N, C], where
 * WIDTH channels lie side by side, and [N, C, inner], where each channel's values of a sample do. A task is a
 * block of channels in a chunk of the batch; both depend on the shape alone. */

/* acc[j] += Σ_rows x, and Σ_rows (x − mean[j])² where `mean` is given. */
REF_CLONES static void NAME(column_sums)(const T *x, const double *mean, int64_t rows, int64_t step,
                                         int64_t w, double *restrict acc)
{
    for (int64_t j = 0; j < w; j++)
        acc[j] = 0.0;
    if (mean)
        for (int64_t r = 0; r < rows; r++, x += step)
            for (int64_t j = 0; j < w; j++)
                acc[j] += ((double)x[j] - mean[j]) * ((double)x[j] - mean[j]);
    else
        for (int64_t r = 0; r < rows; r++, x += step)
            for (int64_t j = 0; j < w; j++)
                acc[j] += (double)x[j];
}

REF_CLONES static double NAME(squares)(const T *x, double mean, int64_t n)
{
    double lane[REF_LANES] = {0}, s = 0.0;
    int64_t i = 0;
    for (; i + REF_LANES <= n; i += REF_LANES)
        for (int l = 0; l < REF_LANES; l++)
            lane[l] += ((double)x[i + l] - mean) * ((double)x[i + l] - mean);
    for (; i < n; i++)
        s += ((double)x[i] - mean) * ((double)x[i] - mean);
    return s + ref_lanes_sum(lane);
}

REF_CLONES static double NAME(plain_sum)(const T *x, int64_t n)
{
    return NAME(sum)(x, n);
}

/* One chunk's share of Σx, or of Σ(x − mean)², of a block of channels. */
static void NAME(moment)(const layout *q, const T *x, const double *mean, int64_t block, int64_t chunk,
                         double *partial)
{
    int64_t c = block * q->width, w = q->channels - c < q->width ? q->channels - c : q->width;
    int64_t from = chunk * q->rows, to = from + q->rows < q->batch ? from + q->rows : q->batch;
    double *acc = partial + chunk * q->channels + c;
    x += (from * q->channels + c) * q->inner;
    if (q->inner == 1) {
        NAME(column_sums)(x, mean ? mean + c : NULL, to - from, q->channels, w, acc);
        return;
    }
    double sum = 0.0;
    for (int64_t r = from; r < to; r++, x += q->channels * q->inner)
        sum += mean ? NAME(squares)(x, mean[c], q->inner) : NAME(plain_sum)(x, q->inner);
    *acc = sum;
}

/* y = ((x − high) − low)·scale + shift; the mean comes in two parts, so that no digit of it is lost. */
REF_CLONES static void NAME(column_apply)(T *restrict y, const T *restrict x, int64_t rows, int64_t step,
                                          int64_t w, const T *restrict high, const T *restrict low,
                                          const T *restrict scale, const T *restrict shift)
{
    for (int64_t r = 0; r < rows; r++, x += step, y += step)
        for (int64_t j = 0; j < w; j++)
            y[j] = ((x[j] - high[j]) - low[j]) * scale[j] + shift[j];
}

REF_CLONES static void NAME(run_apply)(T *restrict y, const T *restrict x, int64_t n, T high, T low, T scale,
                                       T shift)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = ((x[i] - high) - low) * scale + shift;
}

static void NAME(normalise)(const layout *q, T *y, const T *x, const double *mean, const double *invstd,
                            const T *weight, const T *bias, int64_t block, int64_t chunk)
{
    int64_t c = block * q->width, w = q->channels - c < q->width ? q->channels - c : q->width;
    int64_t from = chunk * q->rows, to = from + q->rows < q->batch ? from + q->rows : q->batch;
    int64_t at = (from * q->channels + c) * q->inner, step = q->channels * q->inner;
    T high[WIDTH], low[WIDTH], scale[WIDTH], shift[WIDTH];
    for (int64_t j = 0; j < w; j++) {
        high[j] = (T)mean[c + j];
        low[j] = (T)(mean[c + j] - (double)high[j]);
        scale[j] = (T)(invstd[c + j] * (weight ? (double)weight[c + j] : 1.0));
        shift[j] = bias ? bias[c + j] : (T)0;
    }
    if (q->inner == 1)
        NAME(column_apply)(y + at, x + at, to - from, step, w, high, low, scale, shift);
    else
        for (int64_t r = from; r < to; r++, at += step)
            NAME(run_apply)(y + at, x + at, q->inner, *high, *low, *scale, *shift);
}

static void NAME(finish_var)(const layout *q, int64_t block, double eps, const double *partial,
                             const double *mean, double *invstd, T *const out[3])
{
    int64_t c = block * q->width, end = c + q->width < q->channels ? c + q->width : q->channels;
    for (; c < end; c++) {
        double sum = 0.0;
        for (int64_t k = 0; k < q->chunks; k++)
            sum += partial[k * q->channels + c];
        double var = sum / (double)(q->batch * q->inner);
        invstd[c] = 1.0 / sqrt(var + eps);
        out[0][c] = (T)mean[c];
        out[1][c] = (T)var;
        out[2][c] = (T)invstd[c];
    }
}

/* scratch: mean, invstd, then the partial sums, chunk by chunk. */
static void NAME(train)(const layout *q, double eps, const T *x, const T *weight, const T *bias, T *y,
                        T *const out[3], double *scratch, int threads)
{
    double *mean = scratch, *invstd = mean + q->channels, *partial = invstd + q->channels;
    int64_t tasks = q->blocks * q->chunks;
    if (q->chunks == 1) { /* a block's data stay in the cache */
#pragma omp parallel for num_threads(threads) if (threads > 1)
        for (int64_t b = 0; b < q->blocks; b++) {
            NAME(moment)(q, x, NULL, b, 0, partial);
            finish_mean(q, b, partial, mean);
            NAME(moment)(q, x, mean, b, 0, partial);
            NAME(finish_var)(q, b, eps, partial, mean, invstd, out);
            NAME(normalise)(q, y, x, mean, invstd, weight, bias, b, 0);
        }
        return;
    }
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for
        for (int64_t t = 0; t < tasks; t++)
            NAME(moment)(q, x, NULL, t % q->blocks, t / q->blocks, partial);
#pragma omp for
        for (int64_t b = 0; b < q->blocks; b++)
            finish_mean(q, b, partial, mean);
#pragma omp for
        for (int64_t t = 0; t < tasks; t++)
            NAME(moment)(q, x, mean, t % q->blocks, t / q->blocks, partial);
#pragma omp for
        for (int64_t b = 0; b < q->blocks; b++)
            NAME(finish_var)(q, b, eps, partial, mean, invstd, out);
#pragma omp for
        for (int64_t t = 0; t < tasks; t++)
            NAME(normalise)(q, y, x, mean, invstd, weight, bias, t % q->blocks, t / q->blocks);
    }
}

static void NAME(eval)(const layout *q, double eps, const T *x, const T *running_mean, const T *running_var,
                       const T *weight, const T *bias, T *y, T *mean, T *invstd, double *scratch, int threads)
{
    double *m = scratch, *s = m + q->channels;
    for (int64_t c = 0; c < q->channels; c++) {
        m[c] = (double)running_mean[c];
        s[c] = 1.0 / sqrt((double)running_var[c] + eps);
        mean[c] = running_mean[c];
        invstd[c] = (T)s[c];
    }
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t t = 0; t < q->blocks * q->chunks; t++)
        NAME(normalise)(q, y, x, m, s, weight, bias, t % q->blocks, t / q->blocks);
}

/* -- backward ------------------------------------------------------------------------------------------- */

/* a[j] = Σ_rows dy, b[j] = Σ_rows dy·(x − mean[j]) */
REF_CLONES static void NAME(column_back_sums)(const T *dy, const T *x, const T *restrict mean, int64_t rows,
                                              int64_t step, int64_t w, double *restrict a, double *restrict b)
{
    for (int64_t j = 0; j < w; j++)
        a[j] = b[j] = 0.0;
    for (int64_t r = 0; r < rows; r++, x += step, dy += step)
        for (int64_t j = 0; j < w; j++) {
            a[j] += (double)dy[j];
            b[j] += (double)dy[j] * ((double)x[j] - (double)mean[j]);
        }
}

REF_CLONES static double NAME(centred_dot)(const T *dy, const T *x, double mean, int64_t n)
{
    double lane[REF_LANES] = {0}, s = 0.0;
    int64_t i = 0;
    for (; i + REF_LANES <= n; i += REF_LANES)
        for (int l = 0; l < REF_LANES; l++)
            lane[l] += (double)dy[i + l] * ((double)x[i + l] - mean);
    for (; i < n; i++)
        s += (double)dy[i] * ((double)x[i] - mean);
    return s + ref_lanes_sum(lane);
}

static void NAME(back_moment)(const layout *q, const T *dy, const T *x, const T *mean, int64_t block,
                              int64_t chunk, double *partial)
{
    int64_t c = block * q->width, w = q->channels - c < q->width ? q->channels - c : q->width;
    int64_t from = chunk * q->rows, to = from + q->rows < q->batch ? from + q->rows : q->batch;
    int64_t at = (from * q->channels + c) * q->inner, step = q->channels * q->inner;
    double *a = partial + chunk * q->channels + c, *b = a + q->chunks * q->channels;
    if (q->inner == 1) {
        NAME(column_back_sums)(dy + at, x + at, mean + c, to - from, step, w, a, b);
        return;
    }
    double sa = 0.0, sb = 0.0;
    for (int64_t r = from; r < to; r++, at += step) {
        sa += NAME(plain_sum)(dy + at, q->inner);
        sb += NAME(centred_dot)(dy + at, x + at, (double)mean[c], q->inner);
    }
    *a = sa;
    *b = sb;
}

/* dx = scale·((dy − offset) − (x − mean)·slope) */
REF_CLONES static void NAME(column_back)(T *restrict dx, const T *restrict dy, const T *restrict x,
                                         int64_t rows, int64_t step, int64_t w, const T *restrict mean,
                                         const T *restrict scale, const T *restrict offset,
                                         const T *restrict slope)
{
    for (int64_t r = 0; r < rows; r++, dx += step, dy += step, x += step)
        for (int64_t j = 0; j < w; j++)
            dx[j] = scale[j] * ((dy[j] - offset[j]) - (x[j] - mean[j]) * slope[j]);
}

REF_CLONES static void NAME(run_back)(T *restrict dx, const T *restrict dy, const T *restrict x, int64_t n,
                                      T mean, T scale, T offset, T slope)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] = scale * ((dy[i] - offset) - (x[i] - mean) * slope);
}

REF_CLONES static void NAME(column_scale)(T *restrict dx, const T *restrict dy, int64_t rows, int64_t step,
                                          int64_t w, const T *restrict scale)
{
    for (int64_t r = 0; r < rows; r++, dx += step, dy += step)
        for (int64_t j = 0; j < w; j++)
            dx[j] = dy[j] * scale[j];
}

/* a and b: the channels' whole sums; NULL where the statistics are constants. */
static void NAME(back_apply)(const layout *q, const back_data *d, const double *a, const double *b,
                             int64_t block, int64_t chunk)
{
    int64_t c = block * q->width, w = q->channels - c < q->width ? q->channels - c : q->width;
    int64_t from = chunk * q->rows, to = from + q->rows < q->batch ? from + q->rows : q->batch;
    int64_t at = (from * q->channels + c) * q->inner, step = q->channels * q->inner;
    const T *dy = d->dy, *x = d->x, *weight = d->weight, *mean = d->mean, *invstd = d->invstd;
    T *dx = d->dx, scale[WIDTH], offset[WIDTH], slope[WIDTH];
    double n = (double)(q->batch * q->inner);
    for (int64_t j = 0; j < w; j++) {
        double s = (double)invstd[c + j];
        scale[j] = (T)(s * (weight ? (double)weight[c + j] : 1.0));
        offset[j] = a ? (T)(a[c + j] / n) : (T)0;
        slope[j] = b ? (T)(b[c + j] / n * s * s) : (T)0;
    }
    if (q->inner > 1)
        for (int64_t r = from; r < to; r++, at += step) {
            if (a)
                NAME(run_back)(dx + at, dy + at, x + at, q->inner, mean[c], *scale, *offset, *slope);
            else
                NAME(column_scale)(dx + at, dy + at, q->inner, 1, 1, scale);
        }
    else if (a)
        NAME(column_back)(dx + at, dy + at, x + at, to - from, step, w, mean + c, scale, offset, slope);
    else
        NAME(column_scale)(dx + at, dy + at, to - from, step, w, scale);
}

/* Whole sums from the partial ones (into the first chunk's place), and what they give the parameters. */
static void NAME(back_finish)(const layout *q, const back_data *d, int64_t block, double *a, double *b)
{
    int64_t c = block * q->width, end = c + q->width < q->channels ? c + q->width : q->channels;
    for (; c < end; c++) {
        for (int64_t k = 1; k < q->chunks; k++) {
            a[c] += a[k * q->channels + c];
            b[c] += b[k * q->channels + c];
        }
        if (d->dweight)
            ((T *)d->dweight)[c] = (T)(b[c] * (double)((const T *)d->invstd)[c]);
        if (d->dbias)
            ((T *)d->dbias)[c] = (T)a[c];
    }
}

static void NAME(backward)(const layout *q, const back_data *d, bool batch_stats, double *scratch,
                           int threads)
{
    double *a = scratch, *b = a + q->chunks * q->channels;
    bool sums = d->dweight || d->dbias || (d->dx && batch_stats);
    int64_t tasks = q->blocks * q->chunks;
    const double *pa = batch_stats ? a : NULL, *pb = batch_stats ? b : NULL;
    if (q->chunks == 1) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
        for (int64_t t = 0; t < q->blocks; t++) {
            if (sums) {
                NAME(back_moment)(q, d->dy, d->x, d->mean, t, 0, a);
                NAME(back_finish)(q, d, t, a, b);
            }
            if (d->dx)
                NAME(back_apply)(q, d, pa, pb, t, 0);
        }
        return;
    }
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        if (sums) {
#pragma omp for
            for (int64_t t = 0; t < tasks; t++)
                NAME(back_moment)(q, d->dy, d->x, d->mean, t % q->blocks, t / q->blocks, a);
#pragma omp for
            for (int64_t t = 0; t < q->blocks; t++)
                NAME(back_finish)(q, d, t, a, b);
        }
        if (d->dx) {
#pragma omp for
            for (int64_t t = 0; t < tasks; t++)
                NAME(back_apply)(q, d, pa, pb, t % q->blocks, t / q->blocks);
        }
    }
}
